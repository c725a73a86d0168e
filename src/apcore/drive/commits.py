"""How a `Commit` becomes calls of the ports: atomically or store first, and what to do when an answer is lost.

One generator for every driver: it yields calls (functions without arguments, whose answers may have to be awaited) and is sent their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeGuard

from apcore.effects import Commit
from apcore.errors import ContractError, StoreUnavailable
from apcore.ports import AsyncAtomicStore, AsyncKvStore, AsyncMessageQueue, AtomicStore, KvStore, MessageQueue

__all__ = ["commit_calls", "is_both"]


def commit_calls(
    effect: Commit, store: KvStore | AsyncKvStore, queue: MessageQueue | AsyncMessageQueue | None
) -> Generator[Callable[[], Any], Any, bool]:
    """Carry out ``effect``; where ``queue is store``, messages and settlements go into the same transaction.

    Raises:
        StoreUnavailable: With outcome ``unknown`` if nobody can tell whether the commit happened.
        QueueUnavailable: The commit happened; what follows it on the queue may not have.
    """
    if not (effect.messages or effect.settles):
        return (
            yield from _once_more(
                effect, partial(store.commit, effect.checks, effect.writes, token=effect.token), store
            )
        )
    if queue is None:
        raise ContractError("a commit carries messages or settlements, and there is no queue")
    if is_both(store, queue):
        commit = partial(
            store.commit,
            effect.checks,
            effect.writes,
            token=effect.token,
            messages=effect.messages,
            settles=effect.settles,
        )
        return (yield from _once_more(effect, commit, store))
    done = yield from _once_more(effect, partial(store.commit, effect.checks, effect.writes, token=effect.token), store)
    if done and effect.messages:
        yield partial(queue.enqueue, effect.messages)
    if done and effect.settles:
        # A lease lost by now is no news: the fact has moved on, and the message will find it so.
        yield partial(queue.settle, effect.settles)
    return done


def is_both(store: object, queue: object) -> TypeGuard[AtomicStore | AsyncAtomicStore]:
    """Whether the store is also the queue: that is, one object is given as both."""
    return store is not None and store is queue


def _once_more(
    effect: Commit, commit: Callable[[], Any], store: KvStore | AsyncKvStore
) -> Generator[Callable[[], Any], Any, bool]:
    """Commit; if the answer is lost and the commit is guarded, commit again under the same token.

    A False from the second attempt means "done" if the guard now carries our token. If it does not, the first attempt may have been applied and
    overwritten since, or may still land: that is told as ``unknown``, never as False.
    """
    try:
        done: bool = yield commit
    except StoreUnavailable as lost:
        guard = effect.guard
        if lost.outcome != "unknown" or guard is None:
            raise
        try:
            if (yield commit):
                return True
            [entry] = yield partial(store.get, (guard,))
        except StoreUnavailable as again:
            # Its outcome speaks of the second attempt alone; about the first, nothing has become known.
            raise lost from again
        if entry is None or entry.version != effect.token:
            raise
        return True
    return done
