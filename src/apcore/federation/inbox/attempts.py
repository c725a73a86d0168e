"""Begin and end attempts at processing a received activity, by the table in `apcore.federation.inbox.states`.

Every start of an attempt is counted durably before the listener runs. The first is counted by the queue, which raises
the message's ``attempt`` before it hands the message out. If the message was handed out before, or an attempt was
recorded, the start is written into the record first. So an attempt number of 1 is certain: the listener has not been
started for this activity before, as long as the queue itself is not lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import attrs
from attrs import evolve, field, frozen

from apcore.effects import Get, Now, Op, RandomBytes, Settle, commit, commit_batch
from apcore.federation.dead_letter_forms import letter_of
from apcore.federation.domain_checks import unchecked_hosts
from apcore.federation.inbox.records import (
    CLAIMS,
    DEAD_ACTIVITIES,
    DONE_KEPT_S,
    RECEIVED_ACTIVITIES,
    RECEIVED_BYTES,
    ClaimKey,
    ClaimRecord,
    DeadActivityRecord,
    ReceivedActivityRecord,
)
from apcore.federation.inbox.states import ClaimAction, ClaimEvent, ClaimState, ClaimTransition, advance_claim
from apcore.federation.report_calls import call_hook
from apcore.federation.site import Site
from apcore.federation.snapshot import Snapshot
from apcore.federation.stored_rules import rule_keys
from apcore.federation.wake_ups import read_wake
from apcore.http import parse_url
from apcore.ports import Batch, Done, Entry, LeasedMessage, Retry, Settlement, StoreKey
from apcore.records import Stored, defer
from apcore.records.format import NewerFormat

__all__ = ["Attempt", "begin_attempt", "end_attempt", "record_failure", "resume_attempt"]

_NEWER_S: Final = 60.0
"""The delay of a message whose record a newer release wrote."""
_CONFLICT_S: Final = 1.0
"""The delay of a message whose commit met a conflict."""
_REASON_CHARS_MAX: Final = 500
"""The longest reason that a dead letter holds."""
_LOG: Final = logging.getLogger(__name__)


@frozen
class Attempt:
    """One attempt at processing an activity, with the records that were read for it."""

    leased: LeasedMessage
    activity: Stored[ReceivedActivityRecord, ClaimKey]
    claim: Stored[ClaimRecord, ClaimKey]
    number: int
    """The number of this attempt, 1 for the first."""
    snapshot: Snapshot = field(factory=Snapshot, eq=False, repr=False)
    """The time of the start, and the domain rules for the host that the message names."""

    @property
    def record(self) -> ReceivedActivityRecord:
        """Return the record of the activity."""
        return self.activity.record

    @property
    def fence(self) -> Batch:
        """Return the checks of the commit that ends the attempt: both records are as they were read.

        That commit also puts the claim. If its answer is lost, the driver recognises it by the claim's version.
        """
        return Batch((self.activity.check, self.claim.check))


def begin_attempt(site: Site, leased: LeasedMessage) -> Op[Attempt | None]:
    """Read a message's activity, and count the attempt. If there is nothing to do now, settle the message; return None.

    The domain rules for the actor's host are read with it.

    Effects: one `Get`, mostly `Now`, and one commit before any attempt but the first. If there is nothing to do, mostly
    one `Settle`.
    """
    wake = read_wake(leased.message)
    hosts = [] if wake.peer is None else unchecked_hosts(site, (parse_url(wake.peer).origin.host,))
    keys = [key for host in hosts for key in rule_keys(host)]
    entry, claim_entry, rule_entries = yield from _read_entries(leased, keys)
    if entry is None or claim_entry is None:
        state = ClaimState.ABSENT if claim_entry is None else CLAIMS.decode(claim_entry.value).state
        # The two records are written and deleted together, so a claim without its activity has ended.
        change = advance_claim(ClaimState.ABSENT if state is ClaimState.PENDING else state, ClaimEvent.LEASED)
        yield from _settle(leased, change, delay_s=0.0)
        return None
    try:
        activity, claim = RECEIVED_ACTIVITIES.read(entry), CLAIMS.read(claim_entry)
    except NewerFormat:
        yield from _settle(leased, advance_claim(ClaimState.PENDING, ClaimEvent.EARLY), delay_s=_NEWER_S)
        return None
    now = yield from Now()
    due_in_s = activity.record.due_in_s(now)
    if due_in_s is not None:
        yield from _settle(leased, advance_claim(ClaimState.PENDING, ClaimEvent.EARLY), delay_s=due_in_s)
        return None
    # An attempt that only the queue counted was the first: it wrote nothing before it ended.
    earlier_attempts = activity.record.attempts or int(leased.attempt > 1)
    attempt = Attempt(leased, activity, claim, earlier_attempts + 1, Snapshot(now, rule_entries))
    return (yield from _count_start(site, attempt)) if earlier_attempts else attempt


def resume_attempt(leased: LeasedMessage) -> Op[Attempt | None]:
    """Read the attempt that runs now; None if it has ended. Effects: one `Get`."""
    entry, claim_entry, _ = yield from _read_entries(leased, ())
    if entry is None or claim_entry is None:
        return None
    activity = RECEIVED_ACTIVITIES.read(entry)
    # The record holds no count for a first attempt: only the queue counts that one.
    return Attempt(leased, activity, CLAIMS.read(claim_entry), max(1, activity.record.attempts))


def end_attempt(attempt: Attempt, event: ClaimEvent, handler_writes: Batch, *, reason: str | None = None) -> Op[None]:
    """Commit the end of an attempt that did not fail, with the writes of its handlers."""
    change = advance_claim(ClaimState.PROCESSING, event)
    batch = attempt.fence + _end_of(attempt, change, reason=reason)
    if ClaimAction.APPLY in change.actions:
        batch += handler_writes
    version = yield from commit_batch(batch, settles=_settlements(attempt.leased, change))
    if version is False:
        # Another worker was faster, or an entry that a handler relied on has changed: start over.
        conflict = advance_claim(ClaimState.PROCESSING, ClaimEvent.CONFLICTED)
        yield from _settle(attempt.leased, conflict, delay_s=_CONFLICT_S)


def record_failure(
    site: Site, attempt: Attempt, reason: str, *, retry_after_s: float | None = None, is_permanent: bool = False
) -> Op[bool]:
    """Record a failed attempt, and schedule the next or write a dead letter. Return whether it was the last.

    A failure that ``is_permanent`` leaves no other attempt. If another worker has changed the records meanwhile,
    nothing is recorded: that worker decides what follows, so this attempt was not the last.
    """
    now = yield from Now()
    random_bytes = yield from RandomBytes(2)
    record = evolve(attempt.record, attempts=attempt.number)
    delay_s = site.federation.listener_retries.delay_s(
        attempt.number,
        age_s=(now - record.received).total_seconds(),
        jitter=int.from_bytes(random_bytes, "big") / 65535,
        retry_after_s=retry_after_s,
    )
    is_last = is_permanent or delay_s is None
    change = advance_claim(ClaimState.PROCESSING, ClaimEvent.GAVE_UP if is_last else ClaimEvent.FAILED)
    batch = attempt.fence + _end_of(attempt, change)
    dead_letter: DeadActivityRecord | None = None
    if ClaimAction.BURY in change.actions:
        members = {member.name: getattr(record, member.name) for member in attrs.fields(ReceivedActivityRecord)}
        dead_letter = DeadActivityRecord(**members, reason=reason[:_REASON_CHARS_MAX], died=now)
        batch += Batch((), (DEAD_ACTIVITIES.put(attempt.activity.key, dead_letter),))
    if ClaimAction.SCHEDULE in change.actions:
        batch += Batch((), (RECEIVED_ACTIVITIES.put(attempt.activity.key, defer(record, delay_s or 0.0, now)),))
    version = yield from commit_batch(batch, settles=_settlements(attempt.leased, change, delay_s=delay_s or 0.0))
    if version is False:
        conflict = advance_claim(ClaimState.PROCESSING, ClaimEvent.CONFLICTED)
        yield from _settle(attempt.leased, conflict, delay_s=_CONFLICT_S)
        return False
    if change.state is not ClaimState.DEAD:
        return False
    _LOG.error("gave up on %s after %d attempts: %s", record.activity_id, attempt.number, reason)
    if dead_letter is not None:
        _ = yield from call_hook(site, "on_dead_letter", letter_of(dead_letter, attempt.activity.key))
    return True


def _read_entries(
    leased: LeasedMessage, further_keys: Sequence[StoreKey]
) -> Op[tuple[Entry | None, Entry | None, dict[StoreKey, Entry | None]]]:
    """Read the activity that a message names, its claim, and further entries."""
    key = RECEIVED_ACTIVITIES.parts_of(read_wake(leased.message).key)
    entry, claim_entry, *further = yield from Get((RECEIVED_ACTIVITIES.key(key), CLAIMS.key(key), *further_keys))
    return entry, claim_entry, dict(zip(further_keys, further, strict=True))


def _count_start(site: Site, attempt: Attempt) -> Op[Attempt | None]:
    """Write the start of an attempt into the record, and return the attempt.

    The result is None if another worker was faster, or if all attempts are used up.
    """
    attempts_max = site.federation.listener_retries.attempts_max
    if attempts_max is not None and attempt.record.attempts >= attempts_max:
        last = evolve(attempt, number=attempt.record.attempts)
        _ = yield from record_failure(site, last, "the worker ended during the last attempt", retry_after_s=None)
        return None
    record = evolve(attempt.record, attempts=attempt.number)
    put = RECEIVED_ACTIVITIES.put(attempt.activity.key, record)
    version = yield from commit(attempt.fence.checks, (put,))
    if version is False:
        conflict = advance_claim(ClaimState.PENDING, ClaimEvent.CONFLICTED)
        yield from _settle(attempt.leased, conflict, delay_s=_CONFLICT_S)
        return None
    return evolve(attempt, activity=Stored(attempt.activity.key, record, Entry(put.key, put.value, version)))


def _end_of(attempt: Attempt, change: ClaimTransition, *, reason: str | None = None) -> Batch:
    """Return the writes to the two records of an attempt that ends with ``change``."""
    key = attempt.activity.key
    if ClaimAction.FORGET not in change.actions:
        # The claim is written unchanged, so that a commit with a lost answer is recognised by its version.
        return Batch((), (CLAIMS.put(key, attempt.claim.record),))
    record = attempt.record
    claim_record = ClaimRecord.of(change.state, record.activity_id, reason=reason, received=record.received)
    bytes_deletion = (RECEIVED_BYTES.delete(key),) if record.has_bytes else ()
    claim_put = CLAIMS.put(key, claim_record, ttl_s=DONE_KEPT_S)
    return Batch((), (RECEIVED_ACTIVITIES.delete(key), *bytes_deletion, claim_put))


def _settlements(leased: LeasedMessage, change: ClaimTransition, *, delay_s: float = 0.0) -> tuple[Settlement, ...]:
    if ClaimAction.SETTLE in change.actions:
        return (Done(leased),)
    return (Retry(leased, delay_s),)


def _settle(leased: LeasedMessage, change: ClaimTransition, *, delay_s: float) -> Op[None]:
    _ = yield from Settle(_settlements(leased, change, delay_s=delay_s))
