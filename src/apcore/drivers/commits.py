"""Turn a `Commit` into calls of the ports: in one transaction or store first, with a retry when an answer is lost.

One generator serves every driver. It yields calls (functions without arguments, with results that may have to be
awaited) and is sent their results.
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
    """Carry out ``effect``. If ``queue is store``, messages and settlements go into the same transaction.

    Raises:
        StoreUnavailable: With outcome ``unknown`` if it cannot be determined whether the commit happened.
        QueueUnavailable: The commit happened. The messages or settlements that follow it may be lost.
    """
    if not (effect.messages or effect.settles):
        return (
            yield from _once_more(
                effect, partial(store.commit, effect.checks, effect.writes, token=effect.token), store
            )
        )
    if queue is None:
        raise ContractError("the commit has messages or settlements, but there is no queue")
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
    is_committed = yield from _once_more(
        effect, partial(store.commit, effect.checks, effect.writes, token=effect.token), store
    )
    if is_committed and effect.messages:
        yield partial(queue.enqueue, effect.messages)
    if is_committed and effect.settles:
        # A lease that is lost by now is harmless: the facts are committed, and the message's next worker will see that.
        yield partial(queue.settle, effect.settles)
    return is_committed


def is_both(store: object, queue: object) -> TypeGuard[AtomicStore | AsyncAtomicStore]:
    """Return whether the store is also the queue: one object given as both."""
    return store is not None and store is queue


def _once_more(
    effect: Commit, commit: Callable[[], Any], store: KvStore | AsyncKvStore
) -> Generator[Callable[[], Any], Any, bool]:
    """Commit. If the answer is lost and the commit is guarded, commit again under the same token.

    If the second attempt returns False, and the guard now carries our token, then the first attempt was applied.
    Otherwise the first attempt may have been applied and overwritten since, or may still be applied: the outcome is
    ``unknown``, never False.
    """
    try:
        is_committed: bool = yield commit
    except StoreUnavailable as first_error:
        guard = effect.guard
        if first_error.outcome != "unknown" or guard is None:
            raise
        try:
            if (yield commit):
                return True
            [entry] = yield partial(store.get, (guard,))
        except StoreUnavailable as second_error:
            # The outcome of this error is about the second attempt only; the first one is still unknown.
            raise first_error from second_error
        if entry is None or entry.version != effect.token:
            raise
        return True
    return is_committed
