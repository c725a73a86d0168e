"""What happens to an activity that was taken in: side effects, the listener, and one commit that says so.

An attempt reads the fact at a version and ends in one commit that checks this version: the fact done, everything that the handlers noted, and
the message settled. A worker that comes too late commits nothing, so whatever happens through a context happens once. What a listener does
elsewhere may happen again; `Context.activity_id` is a name to make it happen once.

Every start of an attempt is counted durably before the listener runs. The first is counted by the queue, which raises
the message's ``attempt`` before it hands the message out. If the message was handed out before, or an attempt was
recorded, the start is written into the fact first. So an attempt number of 1 is certain: the listener has not been
started for this activity before, as long as the queue itself is not lost.

Dead letters are facts: ``("dead", "1", …)`` with the reason, kept for people to look at.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import Call, Get, Now, Op, RandomBytes, Settle, commit
from apcore.errors import ContractError, Unavailable
from apcore.federation.context import UnitContexts
from apcore.federation.inbox.parse import DONE_KEPT_S
from apcore.federation.inbox.side_effects import apply_side_effects
from apcore.federation.outbox.pending_writes import Flushed, flush
from apcore.federation.policies import Drop, Failure, Later
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.wake_ups import read_wake
from apcore.http import parse_url
from apcore.ports import Check, DeleteEntry, Done, Entry, LeasedMessage, Put, Retry, Settlement, StoreKey, Write
from apcore.records.format import NewerFormat, Record, decode_record, due_in, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import read_with_contexts
from apcore.vocab import Activity, Document, owners_of, read_document

__all__ = ["DEAD_KEPT_S", "fail_attempt", "process"]

DEAD_KEPT_S: Final = 30 * 86400.0
_NEWER_S: Final = 60.0
_CONFLICT_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


@frozen
class _Work:
    """One activity to process, as it was read."""

    leased: LeasedMessage
    entry: Entry
    claimed: Entry
    fact: Record
    attempt: int
    """The number of this attempt, 1 for the first."""

    @property
    def claim(self) -> StoreKey:
        return self.claimed.key

    @property
    def checks(self) -> tuple[Check, ...]:
        """The fence: the commit that ends an attempt also Puts the claim, by which it is recognised if its answer is lost."""
        return (Check(self.entry.key, self.entry.version), Check(self.claim, self.claimed.version))


def process(site: Site, leased: LeasedMessage) -> Op[None]:
    """Process the activity that a message of the lane `INBOX` names.

    Asks for: one `Get`; before any attempt but the first, one commit that counts it; what side effects and the listener
    ask for; one commit. Never raises for what a handler raises: it is retried by the federation's ``listener_retries``,
    and in the end a dead letter.
    """
    work = yield from _open(site, leased)
    if work is None:
        return
    fact = work.fact
    document = yield from _read(site, fact)
    activity = document.view(Activity)
    scope = _scope_of(site, work)
    try:
        yield from apply_side_effects(site, scope, activity)
        found = site.federation.listener_for(document)
        if found is not None:
            view, listener = found
            _ = yield from Call(
                listener.fn, view.over(document), contexts_for=UnitContexts(scope), inline=listener.inline
            )
    except Drop as drop:
        yield from _finish(work, Flushed(), reason=drop.reason or "dropped")
    except Later as later:
        _ = yield from _again(site, work, "later", asked_s=later.delay_s)
    except Exception as error:
        _LOG.exception("listening to %s failed, attempt %d", fact.text("id"), work.attempt)
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        final = yield from _again(site, work, f"{type(error).__name__}: {error}", asked_s=asked_s)
        yield from _report(site, scope, Failure(activity, error, work.attempt, final))
    else:
        try:
            flushed = yield from flush(site, scope)
        except ContractError as error:
            # What the handler wants cannot be written: its failure, like any other, and not to be tried for ever.
            _LOG.exception("what listening to %s wants cannot be written, attempt %d", fact.text("id"), work.attempt)
            final = yield from _again(site, work, f"{type(error).__name__}: {error}", asked_s=None)
            yield from _report(site, scope, Failure(activity, error, work.attempt, final))
        else:
            yield from _finish(work, flushed)


def fail_attempt(site: Site, leased: LeasedMessage, error: Exception) -> Op[None]:
    """Record that an attempt has failed by ``error`` while its handler still runs, and tell the error hook.

    The handler's own commit, should it come after all, is refused: the fact has another version by then. Asks for: as
    `process`, without a listener.
    """
    entry, claimed = yield from _get(leased)
    if entry is None or claimed is None:
        _ = yield from Settle((Done(leased),))
        return
    fact = decode_record(entry.value)
    # The first attempt is counted by the queue alone, see above.
    work = _Work(leased, entry, claimed, fact, max(1, fact.number("attempts")))
    _LOG.error("processing %s failed, attempt %d: %s", fact.text("id"), work.attempt, error)
    final = yield from _again(site, work, f"{type(error).__name__}: {error}", asked_s=None)
    document = yield from _read(site, fact)
    yield from _report(site, _scope_of(site, work), Failure(document.view(Activity), error, work.attempt, final))


def _get(leased: LeasedMessage) -> Op[tuple[Entry | None, Entry | None]]:
    """Read the fact that a message names, and its claim."""
    todo = read_wake(leased.message).key
    [entry, claimed] = yield from Get((todo, ("in", *todo[1:])))
    return entry, claimed


def _open(site: Site, leased: LeasedMessage) -> Op[_Work | None]:
    """Read a message's fact and count the attempt; None, with the message settled, if there is nothing to do."""
    entry, claimed = yield from _get(leased)
    if entry is None or claimed is None:
        _ = yield from Settle((Done(leased),))
        return None
    try:
        fact = decode_record(entry.value)
    except NewerFormat:
        _ = yield from Settle((Retry(leased, _NEWER_S),))
        return None
    due_in_s = fact.due_in_s((yield from Now()))
    if due_in_s is not None:
        _ = yield from Settle((Retry(leased, due_in_s),))
        return None
    starts = fact.number("attempts") or leased.attempt > 1
    work = _Work(leased, entry, claimed, fact, int(starts) + 1)
    return (yield from _count_start(site, work)) if starts else work


def _count_start(site: Site, work: _Work) -> Op[_Work | None]:
    """Write into the fact that an attempt starts; None if another worker was faster, or the attempts are used up."""
    attempts_max = site.federation.listener_retries.attempts_max
    if attempts_max is not None and work.fact.number("attempts") >= attempts_max:
        last = evolve(work, attempt=work.fact.number("attempts"))
        _ = yield from _again(site, last, "the worker ended during the last attempt", asked_s=None)
        return None
    fact = Record(dict(work.fact.members) | {"attempts": work.attempt}, work.fact.body)
    value = encode_record(fact.members, fact.body)
    version = yield from commit(work.checks, (Put(work.entry.key, value),))
    if version is False:
        _ = yield from Settle((Retry(work.leased, _CONFLICT_S),))
        return None
    return evolve(work, entry=Entry(work.entry.key, value, version), fact=fact)


def _scope_of(site: Site, work: _Work) -> UnitOfWork[Any]:
    fact = work.fact
    return unit_of_work_for(
        site,
        activity_id=fact.text("id"),
        attempt=work.attempt,
        recipient=fact.optional("recipient"),
        actor=fact.text("actor"),
        auth_method=fact.optional("means"),
        relayed_by=fact.optional("relayed_by"),
        silenced=fact.members.get("silenced") is True,
        seed=bytes.fromhex(fact.text("seed")),
    )


def _read(site: Site, fact: Record) -> Op[Document]:
    """Read the activity as it is told to handlers: it was proved to come from its actor, so it is as if had from there.

    A context that was fetched may add meaning, and must not change what was proved and held against the rules of ownership; if it would, it is
    ignored after all.
    """
    origin = parse_url(fact.text("actor")).origin
    proved = read_document(fact.body, origin=origin, vocabulary=site.federation.vocabulary)
    if site.fetching.unknown_contexts == "ignore" or not proved.reading.ignored_contexts:
        return proved
    document = yield from read_with_contexts(fact.body, origin=origin, policy=site.fetching)
    return document if _gist(document) == _gist(proved) else proved


def _gist(document: Document) -> tuple[object, ...]:
    """What the rules of ownership look at, and who is told."""
    activity = Activity.over(document)
    named = (activity.actors, activity.objects, activity.targets)
    owners = [() if one.embedded is None else owners_of(one.embedded) for each in named for one in each]
    return (document.id, document.types, named, *owners)


def _report(site: Site, scope: UnitOfWork[Any], failure: Failure) -> Op[None]:
    """Tell the error hook; whatever comes of that is logged and changes nothing."""
    hook = site.federation.error_hook
    if hook is None:
        return
    try:
        _ = yield from Call(hook.fn, failure, contexts_for=UnitContexts(scope), inline=hook.inline)
    except Exception:
        _LOG.exception("the error hook failed on %s", scope.activity_id)


def _finish(work: _Work, flushed: Flushed, *, reason: str | None = None) -> Op[None]:
    done = Put(work.claim, encode_record({"state": "done", "id": work.fact.text("id"), "reason": reason}), DONE_KEPT_S)
    kept = yield from commit(
        (*work.checks, *flushed.checks),
        (DeleteEntry(work.entry.key), done, *flushed.writes),
        messages=flushed.messages,
        settles=(Done(work.leased),),
    )
    if kept is False:
        # Somebody else was faster, or something that a handler counted on has changed: look again, from the start.
        _ = yield from Settle((Retry(work.leased, _CONFLICT_S),))


def _again(site: Site, work: _Work, reason: str, *, asked_s: float | None) -> Op[bool]:
    """Record a failed attempt; answers whether it was the last."""
    now = yield from Now()
    chance = yield from RandomBytes(2)
    delay_s = site.federation.listener_retries.delay_s(
        work.attempt,
        age_s=_age_s(work.fact, now),
        chance=int.from_bytes(chance, "big") / 65535,
        asked_s=asked_s,
    )
    settlement: Settlement
    writes: tuple[Write, ...]
    if delay_s is None:
        about = dict(work.fact.members) | {"reason": reason[:500], "attempts": work.attempt, "died": to_epoch_ms(now)}
        done = encode_record({"state": "done", "id": work.fact.text("id"), "reason": "dead"})
        writes = (
            DeleteEntry(work.entry.key),
            Put(("dead", *work.entry.key), encode_record(about, work.fact.body), DEAD_KEPT_S),
            Put(work.claim, done, DONE_KEPT_S),
        )
        settlement = Done(work.leased)
        _LOG.error("gave up on %s after %d attempts: %s", work.fact.text("id"), work.attempt, reason)
    else:
        about = dict(work.fact.members) | {"attempts": work.attempt} | due_in(delay_s, now)
        writes = (Put(work.entry.key, encode_record(about, work.fact.body)), Put(work.claim, work.claimed.value))
        settlement = Retry(work.leased, delay_s)
    _ = yield from commit(work.checks, writes, settles=(settlement,))
    return delay_s is None


def _age_s(fact: Record, now: datetime) -> float:
    return (now - from_epoch_ms(fact.number("received"))).total_seconds()
