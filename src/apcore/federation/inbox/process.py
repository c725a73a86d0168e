"""Process a received activity: side effects, the listener, and one commit that records the result.

An attempt reads the activity's record at a version, and ends in one commit that checks this version. The commit marks
the activity as done, applies the writes that the handlers noted, and settles the message. A worker that is too late
commits nothing, so every effect through a context happens once. A listener's effects elsewhere may happen again:
use `Context.activity_id` as the key that makes them idempotent.

Every start of an attempt is counted durably before the listener runs. The first is counted by the queue, which raises
the message's ``attempt`` before it hands the message out. If the message was handed out before, or an attempt was
recorded, the start is written into the record first. So an attempt number of 1 is certain: the listener has not been
started for this activity before, as long as the queue itself is not lost.

A dead letter is a record ``("dead", "1", …)`` with the reason. It is stored for `DEAD_KEPT_S`, for people to look at.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import Call, Get, Now, Op, RandomBytes, Settle, commit, commit_batch
from apcore.errors import ContractError, Unavailable
from apcore.federation.context import UnitContexts
from apcore.federation.inbox.parse import DONE_KEPT_S
from apcore.federation.inbox.side_effects import apply_side_effects
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.policies import Drop, Failure, Later
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.wake_ups import read_wake
from apcore.http import parse_url
from apcore.ports import (
    NO_CHANGE,
    Batch,
    Check,
    DeleteEntry,
    Done,
    Entry,
    LeasedMessage,
    Put,
    Retry,
    Settlement,
    StoreKey,
    Write,
)
from apcore.records.format import NewerFormat, Record, decode_record, due_in, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import read_with_contexts
from apcore.vocab import Activity, Document, owners_of, read_document

__all__ = ["DEAD_KEPT_S", "fail_attempt", "process"]

DEAD_KEPT_S: Final = 30 * 86400.0
"""How long a dead letter is stored."""
_NEWER_S: Final = 60.0
"""The delay of a message whose record a newer release wrote."""
_CONFLICT_S: Final = 1.0
"""The delay of a message whose commit met a conflict."""
_REASON_CHARS_MAX: Final = 500
"""The longest reason that a dead letter holds."""
_LOG: Final = logging.getLogger(__name__)


@frozen
class _Attempt:
    """One attempt at processing an activity, with the entries that were read for it."""

    leased: LeasedMessage
    entry: Entry
    claim_entry: Entry
    record: Record
    number: int
    """The number of this attempt, 1 for the first."""

    @property
    def claim(self) -> StoreKey:
        """Return the key of the claim."""
        return self.claim_entry.key

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the fence of the commit that ends the attempt: both entries as they were read.

        That commit also Puts the claim. If its answer is lost, the driver recognises it by the claim's version.
        """
        return (Check(self.entry.key, self.entry.version), Check(self.claim, self.claim_entry.version))


def process(site: Site, leased: LeasedMessage) -> Op[None]:
    """Process the activity that a message of the lane `INBOX` names.

    An error of a handler is not raised. The activity is retried by the federation's ``listener_retries``, and becomes a
    dead letter after the last attempt.

    Effects: one `Get`; before any attempt but the first, one commit that counts it; the effects of the side effects and
    of the listener; one commit.
    """
    attempt = yield from _begin_attempt(site, leased)
    if attempt is None:
        return
    record = attempt.record
    document = yield from _read_document(site, record)
    activity = document.view(Activity)
    scope = _scope_of(site, attempt)
    try:
        yield from apply_side_effects(site, scope, activity)
        match = site.federation.listener_for(document)
        if match is not None:
            view, listener = match
            _ = yield from Call(listener.fn, view.over(document), contexts_for=UnitContexts(scope))
    except Drop as drop:
        yield from _finish(attempt, NO_CHANGE, reason=drop.reason or "dropped")
    except Later as later:
        _ = yield from _record_failure(site, attempt, "later", asked_s=later.delay_s)
    except Exception as error:
        _LOG.exception("handling %s failed, attempt %d", record.text("id"), attempt.number)
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        final = yield from _record_failure(site, attempt, f"{type(error).__name__}: {error}", asked_s=asked_s)
        yield from _report(site, scope, Failure(activity, error, attempt.number, final))
    else:
        try:
            handler_writes = yield from flush(site, scope)
        except ContractError as error:
            # The handler noted a write that can never be committed. That is its failure like any other, so it is
            # retried a bounded number of times and not for ever.
            _LOG.exception(
                "the writes that handling %s noted are refused, attempt %d", record.text("id"), attempt.number
            )
            final = yield from _record_failure(site, attempt, f"{type(error).__name__}: {error}", asked_s=None)
            yield from _report(site, scope, Failure(activity, error, attempt.number, final))
        else:
            yield from _finish(attempt, handler_writes)


def fail_attempt(site: Site, leased: LeasedMessage, error: Exception) -> Op[None]:
    """Record that an attempt has failed by ``error`` while its handler still runs, and call the error hook.

    If the handler ends after all, its commit is refused: the record has another version by then.

    Effects: as for `process`, without a listener.
    """
    entry, claim_entry = yield from _read_entries(leased)
    if entry is None or claim_entry is None:
        _ = yield from Settle((Done(leased),))
        return
    record = decode_record(entry.value)
    # The record holds no count for a first attempt: only the queue counts that one.
    attempt = _Attempt(leased, entry, claim_entry, record, max(1, record.number("attempts")))
    _LOG.error("processing %s failed, attempt %d: %s", record.text("id"), attempt.number, error)
    final = yield from _record_failure(site, attempt, f"{type(error).__name__}: {error}", asked_s=None)
    document = yield from _read_document(site, record)
    failure = Failure(document.view(Activity), error, attempt.number, final)
    yield from _report(site, _scope_of(site, attempt), failure)


def _read_entries(leased: LeasedMessage) -> Op[tuple[Entry | None, Entry | None]]:
    """Read the record that a message names, and its claim."""
    todo = read_wake(leased.message).key
    [entry, claim_entry] = yield from Get((todo, ("in", *todo[1:])))
    return entry, claim_entry


def _begin_attempt(site: Site, leased: LeasedMessage) -> Op[_Attempt | None]:
    """Read a message's record and count the attempt; None, with the message settled, if there is nothing to do."""
    entry, claim_entry = yield from _read_entries(leased)
    if entry is None or claim_entry is None:
        _ = yield from Settle((Done(leased),))
        return None
    try:
        record = decode_record(entry.value)
    except NewerFormat:
        _ = yield from Settle((Retry(leased, _NEWER_S),))
        return None
    due_in_s = record.due_in_s((yield from Now()))
    if due_in_s is not None:
        _ = yield from Settle((Retry(leased, due_in_s),))
        return None
    # An attempt that only the queue counted was the first: it wrote nothing before it ended.
    earlier_attempts = record.number("attempts") or leased.attempt > 1
    attempt = _Attempt(leased, entry, claim_entry, record, int(earlier_attempts) + 1)
    return (yield from _count_start(site, attempt)) if earlier_attempts else attempt


def _count_start(site: Site, attempt: _Attempt) -> Op[_Attempt | None]:
    """Write the start of an attempt into the record.

    None if another worker was faster, or if all attempts are used up.
    """
    attempts_max = site.federation.listener_retries.attempts_max
    if attempts_max is not None and attempt.record.number("attempts") >= attempts_max:
        last = evolve(attempt, number=attempt.record.number("attempts"))
        _ = yield from _record_failure(site, last, "the worker ended during the last attempt", asked_s=None)
        return None
    record = Record(dict(attempt.record.members) | {"attempts": attempt.number}, attempt.record.body)
    value = encode_record(record.members, record.body)
    version = yield from commit(attempt.checks, (Put(attempt.entry.key, value),))
    if version is False:
        _ = yield from Settle((Retry(attempt.leased, _CONFLICT_S),))
        return None
    return evolve(attempt, entry=Entry(attempt.entry.key, value, version), record=record)


def _scope_of(site: Site, attempt: _Attempt) -> UnitOfWork[Any]:
    record = attempt.record
    return unit_of_work_for(
        site,
        activity_id=record.text("id"),
        attempt=attempt.number,
        recipient=record.optional("recipient"),
        actor=record.text("actor"),
        auth_method=record.optional("means"),
        relayed_by=record.optional("relayed_by"),
        silenced=record.members.get("silenced") is True,
        seed=bytes.fromhex(record.text("seed")),
    )


def _read_document(site: Site, record: Record) -> Op[Document]:
    """Read the activity for the handlers, as a document that was obtained from its actor's origin.

    A fetched context may add meaning. It must not change the members that were proved and checked against the rules of
    ownership: if it would, it is ignored after all.
    """
    origin = parse_url(record.text("actor")).origin
    proved = read_document(record.body, origin=origin, vocabulary=site.federation.vocabulary)
    if site.fetching.unknown_contexts == "ignore" or not proved.reading.ignored_contexts:
        return proved
    document = yield from read_with_contexts(record.body, origin=origin, policy=site.fetching)
    return document if _checked_members(document) == _checked_members(proved) else proved


def _checked_members(document: Document) -> tuple[object, ...]:
    """Return the members that the rules of ownership and the choice of recipients depend on."""
    activity = Activity.over(document)
    references = (activity.actors, activity.objects, activity.targets)
    owners = [
        () if reference.embedded is None else owners_of(reference.embedded)
        for group in references
        for reference in group
    ]
    return (document.id, document.types, references, *owners)


def _report(site: Site, scope: UnitOfWork[Any], failure: Failure) -> Op[None]:
    """Call the error hook. An error of the hook itself is logged, and changes nothing."""
    hook = site.federation.error_hook
    if hook is None:
        return
    try:
        _ = yield from Call(hook.fn, failure, contexts_for=UnitContexts(scope))
    except Exception:
        _LOG.exception("the error hook failed on %s", scope.activity_id)


def _finish(attempt: _Attempt, handler_writes: Batch, *, reason: str | None = None) -> Op[None]:
    """Commit the end of a successful attempt: the activity done, the handlers' writes, and the message settled."""
    done_claim = encode_record({"state": "done", "id": attempt.record.text("id"), "reason": reason})
    end = Batch(attempt.checks, [DeleteEntry(attempt.entry.key), Put(attempt.claim, done_claim, DONE_KEPT_S)])
    version = yield from commit_batch(end + handler_writes, settles=(Done(attempt.leased),))
    if version is False:
        # Another worker was faster, or an entry that a handler relied on has changed: start over.
        _ = yield from Settle((Retry(attempt.leased, _CONFLICT_S),))


def _record_failure(site: Site, attempt: _Attempt, reason: str, *, asked_s: float | None) -> Op[bool]:
    """Record a failed attempt, and schedule the next or write a dead letter; return whether it was the last."""
    now = yield from Now()
    random_bytes = yield from RandomBytes(2)
    delay_s = site.federation.listener_retries.delay_s(
        attempt.number,
        age_s=_age_s(attempt.record, now),
        chance=int.from_bytes(random_bytes, "big") / 65535,
        asked_s=asked_s,
    )
    activity_id = attempt.record.text("id")
    members = dict(attempt.record.members) | {"attempts": attempt.number}
    settlement: Settlement
    writes: tuple[Write, ...]
    if delay_s is None:
        members |= {"reason": reason[:_REASON_CHARS_MAX], "died": to_epoch_ms(now)}
        done_claim = encode_record({"state": "done", "id": activity_id, "reason": "dead"})
        writes = (
            DeleteEntry(attempt.entry.key),
            Put(("dead", *attempt.entry.key), encode_record(members, attempt.record.body), DEAD_KEPT_S),
            Put(attempt.claim, done_claim, DONE_KEPT_S),
        )
        settlement = Done(attempt.leased)
        _LOG.error("gave up on %s after %d attempts: %s", activity_id, attempt.number, reason)
    else:
        members |= due_in(delay_s, now)
        # The claim is written unchanged, so that a commit with a lost answer is recognised by its version.
        writes = (
            Put(attempt.entry.key, encode_record(members, attempt.record.body)),
            Put(attempt.claim, attempt.claim_entry.value),
        )
        settlement = Retry(attempt.leased, delay_s)
    _ = yield from commit(attempt.checks, writes, settles=(settlement,))
    return delay_s is None


def _age_s(record: Record, now: datetime) -> float:
    return (now - from_epoch_ms(record.number("received"))).total_seconds()
