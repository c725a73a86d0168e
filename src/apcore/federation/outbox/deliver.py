"""Deliver activities: take deliveries out of a backlog, and POST them to their inboxes.

Planning (`apcore.federation.outbox.fanout`) writes one record for each delivery, in the backlog of the peer's origin.
One message stands for a whole backlog, and one worker at a time leases it. So a dead host is one delayed message,
however many deliveries wait for it, and deliveries to other hosts are not held up. A step makes up to 20 deliveries.
`apcore.federation.outbox.attempt` makes a single attempt, and `apcore.federation.outbox.circuit` keeps the records
about the host.

A delivery waits in `DELIVERIES`, in the order of sending. If its inbox failed, it waits in `RETRIES` until it is due.

Deliveries to one inbox about one object are a line. A later one waits while an earlier one of its line waits, and may
overtake those of other lines.

A sender's key may be unable to sign now: the signer does not have it, or too many keys were made. Other senders are not
held up by that. The deliveries of this sender are passed over, and no attempt is charged. If they fill the step, so
that others may be behind them, they are moved to `RETRIES` for a while.

A peer gets every activity at least once, always with the same id and the same bytes. It gets one twice only if an
answer was lost, or if the worker crashed between the answer and its commit. The results of a step are committed within
a second or 20 attempts, so a crash repeats few attempts. Every attempt has a signature of its own.

A commit checks the versions of its deliveries, and deletes or moves those that were answered. So it can be repeated
when its answer was lost: the second time, the checks fail and nothing changes. No key is both checked and put for that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import asdict, define, evolve, field, frozen

from apcore.effects import Get, Now, Op, Raised, RandomBytes, Scan, Settle, commit, gather
from apcore.errors import ContractError, RemoteError, StoreUnavailable, Unavailable
from apcore.federation.actors.keys import signing_key
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult, classify, post
from apcore.federation.outbox.circuit import Host, after_attempts, is_our_outage, read_host
from apcore.federation.outbox.missing_inboxes import put_missing_inbox
from apcore.federation.outbox.records import (
    DEAD_DELIVERIES,
    DELIVERIES,
    RETRIES,
    SENT_ACTIVITIES,
    CircuitRecord,
    DeadDeliveryKey,
    DeadDeliveryRecord,
    DeliveryKey,
    DeliveryRecord,
    RetryKey,
    SendingKey,
)
from apcore.federation.refusals import one_line
from apcore.federation.site import Site
from apcore.federation.time_limits import RECORD_S, STEP_S, UNPROVED_MAX
from apcore.federation.wake_ups import DELIVER, lane_of, read_wake
from apcore.http import Origin, parse_origin
from apcore.ports import (
    Done,
    LeasedMessage,
    Message,
    Retry,
    Settlement,
    StoreKey,
    Write,
    digest_part,
)
from apcore.records import Stored
from apcore.records.format import CLOCK_SKEW_MS, to_epoch_ms
from apcore.remote import Dialect

__all__ = ["DELIVER", "UNPROVED_MAX", "AttemptOutcome", "classify", "deliver", "deliver_message"]

_STEP: Final = 20
_AT_ONCE: Final = 4
_WAITING_MAX: Final = 100
"""The waiting deliveries that a step reads, to hold back later ones of their lines."""
_UNSIGNED_S_MIN: Final = 30.0
"""The shortest wait of a delivery that was moved because its sender cannot sign. The usual wait is half of its age."""
_UNSIGNED_S_MAX: Final = 3600.0
"""The longest wait of such a delivery."""
_LABEL_BYTES_MAX: Final = 256
_REASON_CHARS_MAX: Final = 500
"""The longest reason that is stored with a delivery that was given up."""
_LOG: Final = logging.getLogger("apcore.delivery")


def deliver_message(backlog: str, name: bytes, *, by: Origin | str) -> Message:
    """Make the message for a backlog (`backlog_of`) of deliveries ``by`` an origin of ours."""
    # The longest host names do not fit into a label of the queue.
    label = backlog if len(backlog) <= _LABEL_BYTES_MAX else digest_part(backlog)
    body = json.dumps({"to": backlog, "by": str(by)}).encode()
    return Message(name, lane_of(DELIVER, by), body, dedup=label, group=label)


@frozen
class _Delivery:
    """One activity for one inbox, as it is stored."""

    stored: Stored[DeliveryRecord, DeliveryKey] | Stored[DeliveryRecord, RetryKey]

    @property
    def record(self) -> DeliveryRecord:
        return self.stored.record

    @property
    def inbox(self) -> str:
        return self.record.inbox

    @property
    def name(self) -> str:
        return self.stored.key.name

    @property
    def due_ms(self) -> int:
        """The time at which the delivery is due; 0 for one that was not put off."""
        key = self.stored.key
        return int(key.due) if isinstance(key, RetryKey) else 0

    @property
    def line(self) -> tuple[str, str]:
        """The line of the delivery: its inbox and the object that it is about."""
        return self.stored.key.inbox, self.record.line or self.name

    def age_s(self, now: datetime) -> float:
        """Return the seconds since the delivery was planned."""
        return (now - self.record.created).total_seconds()

    def is_due(self, now: datetime) -> bool:
        """Return whether a retry is due.

        A delivery that was moved at a time in the future is due as well: the clock was set back since.
        """
        now_ms = to_epoch_ms(now)
        return self.due_ms <= now_ms or self.record.put_off_ms - now_ms > CLOCK_SKEW_MS

    def rewrite(self, record: DeliveryRecord) -> Write:
        """Return the write that changes the delivery in its place."""
        key = self.stored.key
        return RETRIES.put(key, record) if isinstance(key, RetryKey) else DELIVERIES.put(key, record)

    def move(self, due_ms: int, now: datetime, record: DeliveryRecord | None = None) -> list[Write]:
        """Return the writes that let the delivery wait until ``due_ms``, with a changed record if one is given."""
        key = self.stored.key
        retry_key = RetryKey(key.backlog, f"{due_ms:014d}", key.order, key.name, key.inbox)
        record = evolve(record or self.record, put_off_ms=to_epoch_ms(now))
        return [self.stored.deletion, RETRIES.put(retry_key, record)]


@frozen
class _Result:
    """The result of the attempt at one delivery."""

    delivery: _Delivery
    attempt: AttemptResult
    behind: tuple[_Delivery, ...] = field(default=(), kw_only=True)
    """The deliveries behind it in its line, which are not tried in this step."""


@define
class _Step:
    """The state of a step, with the results that are not written yet."""

    site: Site
    leased: LeasedMessage
    host: Host
    results: list[_Result] = field(factory=list[_Result])
    attempt_count: int = 0
    """The number of attempts so far, without those that end as `NOT_ASKED`."""
    is_full: bool = False
    """Whether the step has as many deliveries as it may have, so that there may be more behind them."""
    unable_senders: set[str] = field(factory=set[str])
    """Senders whose keys cannot sign now. An empty string stands for a sender that could not be read."""


def deliver(site: Site, leased: LeasedMessage) -> Op[None]:
    """Make up to 20 deliveries of the backlog that a message of the lane `DELIVER` names.

    Asks for: two `Scan`s and one `Get`; per delivery two `Get`s, and as `post`, four deliveries at a time; one `Scan`
    if the host cannot be reached; one commit for every second that it takes.
    """
    backlog = read_wake(leased.message).peer or ""
    now = yield from Now()
    host = yield from read_host(backlog)
    step = _Step(site, leased, host)
    deliveries, waiting_lines = yield from _read_deliveries(backlog, now)
    due_in_s = host.due_in_s(now)
    # A delivery may be given up without an attempt of its own, if it was too old already when its host failed.
    # Otherwise a dead host, or too many deliveries that are aimed at one, would keep a backlog for ever. An aimed
    # backlog moves so slowly that the age now counts.
    old_since = now if host.is_cross_origin else host.failed_at
    old = [delivery for delivery in deliveries if _is_old(site, delivery, old_since)]
    if due_in_s is not None or (host.is_cross_origin and old):
        yield from _give_up(step, old, "too old before it could be tried again", then_s=0.0 if old else due_in_s or 0.0)
    elif not deliveries:
        due_s = min((_due_s(due_ms, now) for due_ms in waiting_lines.values()), default=None)
        _ = yield from Settle((Done(leased) if due_s is None else Retry(leased, due_s),))
    elif (refusal := site.federation.domain_rules.refusal(parse_origin(host.origin).host)) is not None:
        yield from _give_up(step, deliveries, str(refusal), then_s=0.0)
    else:
        blocked = [
            (delivery, waiting_lines[delivery.line]) for delivery in deliveries if delivery.line in waiting_lines
        ]
        unblocked = [delivery for delivery in deliveries if delivery.line not in waiting_lines]
        yield from _make_attempts(step, unblocked, blocked, now)


def _is_old(site: Site, delivery: _Delivery, moment: datetime | None) -> bool:
    """Return whether the time for retries of a delivery was over at ``moment``."""
    return moment is not None and delivery.age_s(moment) >= site.federation.delivery_retries.age_s_max


def _read_deliveries(backlog: str, now: datetime) -> Op[tuple[list[_Delivery], dict[tuple[str, str], int]]]:
    """Return up to 20 deliveries that are due, retries first, and the due times of the lines that wait."""
    retry_entries = yield from Scan(RETRIES.at(backlog), limit=_WAITING_MAX)
    new_entries = yield from Scan(DELIVERIES.at(backlog), limit=_STEP)
    retries = [_Delivery(RETRIES.read(entry)) for entry in retry_entries]
    due = [delivery for delivery in retries if delivery.is_due(now)]
    waiting = [delivery for delivery in retries if not delivery.is_due(now)]
    deliveries = [*due, *(_Delivery(DELIVERIES.read(entry)) for entry in new_entries)][:_STEP]
    return deliveries, {delivery.line: delivery.due_ms for delivery in waiting}


def _due_s(due_ms: int, now: datetime) -> float:
    return max(0.0, (due_ms - to_epoch_ms(now)) / 1000)


# --- attempts -------------------------------------------------------------------------------------------------------


def _make_attempts(
    step: _Step, deliveries: Sequence[_Delivery], blocked: Sequence[tuple[_Delivery, int]], now: datetime
) -> Op[None]:
    """Try as many ``deliveries`` as the host accepts and the time allows, and record the results.

    The deliveries of a line are tried in their order. Those that are ``blocked`` wait behind an earlier one of their
    line, and come with its due time.
    """
    lines: dict[tuple[str, str], list[_Delivery]] = {}
    for delivery in deliveries:
        lines.setdefault(delivery.line, []).append(delivery)
    known_dialect = step.host.known_dialect
    step.is_full = len(deliveries) + len(blocked) >= _STEP
    clock = recorded_at = now
    # The first attempt is made alone: it may show that the host is down, or which dialect it accepts.
    at_once = 1
    while lines and (clock - now).total_seconds() < STEP_S:
        if step.results and (clock - recorded_at).total_seconds() >= RECORD_S:
            if not (yield from _record_some(step)):
                # Another worker has taken over this backlog, so leave the rest to it.
                _ = yield from Settle((Retry(step.leased, 0.0),))
                return
            recorded_at = clock
        results = yield from _make_round(step, lines, known_dialect, at_once)
        step.results += results
        attempts = [result.attempt for result in results if result.attempt.outcome is not AttemptOutcome.NOT_ASKED]
        step.attempt_count += len(attempts)
        if any(attempt.outcome is AttemptOutcome.HOST_FAILING for attempt in attempts) or "" in step.unable_senders:
            break
        known_dialect = next((attempt.accepted for attempt in attempts if attempt.accepted is not None), known_dialect)
        at_once = _AT_ONCE if attempts else at_once
        clock = yield from Now()
    yield from _record(step, blocked, now)


def _make_round(
    step: _Step, lines: dict[tuple[str, str], list[_Delivery]], known_dialect: Dialect | None, at_once: int
) -> Op[list[_Result]]:
    """Try the heads of up to ``at_once`` lines, and remove from ``lines`` all that is not to be tried in this step."""
    batch = list(lines)[:at_once]
    outcomes = yield from gather(*[_attempt(step, lines[line][0], known_dialect) for line in batch], limit=at_once)
    results: list[_Result] = []
    for line, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Raised):
            raise outcome.error
        delivery, *behind = lines.pop(line)
        attempt = outcome.value
        if attempt.outcome in {AttemptOutcome.INBOX_FAILING, AttemptOutcome.UNPROVED, AttemptOutcome.NOT_ASKED}:
            results.append(_Result(delivery, attempt, behind=tuple(behind)))
        else:
            results.append(_Result(delivery, attempt))
            if behind:
                lines[line] = behind
    return results


def _attempt(step: _Step, delivery: _Delivery, known_dialect: Dialect | None) -> Op[AttemptResult]:
    sender = ""
    try:
        [entry] = yield from Get((SENT_ACTIVITIES.key(SendingKey(delivery.name)),))
        if entry is None:
            return AttemptResult(AttemptOutcome.REFUSED, "the activity is not stored any more")
        sent = SENT_ACTIVITIES.read(entry).record
        sender = sent.actor
        if sender in step.unable_senders:
            return AttemptResult(AttemptOutcome.NOT_ASKED, "the key of this sender cannot sign now")
        # The key that was named at sending counts for the first attempt only. A retry uses the key that signs now: the
        # first attempt may have failed because the peer no longer knows the named key.
        prefer = None if delivery.record.attempts else sent.key_name
        key = yield from signing_key(step.site, sender, prefer=prefer)
    except Unavailable as error:
        step.unable_senders.add(sender)
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    except RemoteError as error:
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    except ContractError as error:
        # A newer release wrote the record, and will deliver it. The other results of this step are still recorded.
        _LOG.warning("cannot read the activity %s, so it is left to a newer release: %s", delivery.name, error)
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    attempt = yield from post(step.site, delivery.inbox, sent.body, key=key, known_dialect=known_dialect)
    if attempt.outcome is AttemptOutcome.NOT_ASKED:
        step.unable_senders.add(sender)
    return evolve(attempt, activity=sent.activity_id)


# --- recording ------------------------------------------------------------------------------------------------------


def _give_up(step: _Step, deliveries: Sequence[_Delivery], reason: str, *, then_s: float) -> Op[None]:
    """Give up deliveries without an attempt. This writes nothing about the host."""
    now = yield from Now()
    results = [_Result(delivery, AttemptResult(AttemptOutcome.REFUSED, reason)) for delivery in deliveries]
    writes = [
        write
        for result in results
        for write in _delivery_writes(step.site, result, now=now, jitter=0.0, our_outage=False)
    ]
    yield from _commit_and_settle(deliveries, writes, Retry(step.leased, then_s))


def _record_some(step: _Step) -> Op[bool]:
    """Commit the results so far, and keep the lease. Return False if another worker has taken over."""
    results, step.results = step.results, []
    # The pause for attempts begins with the last record of the step, so none is counted here.
    writes, host_writes, _ = yield from _result_writes(step, results, attempt_count=0)
    is_committed = yield from _commit_twice(_deliveries_in(results), writes)
    step.host = step.host.after(host_writes)
    return is_committed


def _record(step: _Step, blocked: Sequence[tuple[_Delivery, int]], now: datetime) -> Op[None]:
    """Commit the remaining results, move ``blocked`` deliveries behind those that they wait for, and settle."""
    writes, _, wait_s = yield from _result_writes(step, step.results, attempt_count=step.attempt_count)
    if step.is_full and "" not in step.unable_senders:
        wait_s = 0.0
    for delivery, due_ms in blocked:
        writes += delivery.move(due_ms, now)
    deliveries = [*_deliveries_in(step.results), *(delivery for delivery, _ in blocked)]
    # Always look once more: new deliveries may have come, and retries may wait. An empty backlog costs two scans, and
    # its message ends with `Done`.
    yield from _commit_and_settle(deliveries, writes, Retry(step.leased, wait_s))


def _result_writes(
    step: _Step, results: Sequence[_Result], *, attempt_count: int
) -> Op[tuple[list[Write], list[Write], float]]:
    """Return the writes for results, those among them that are about the host, and the seconds to wait.

    The host gets a pause for ``attempt_count`` attempts.
    """
    now = yield from Now()
    jitter = int.from_bytes((yield from RandomBytes(2)), "big") / 65535
    attempts = [result.attempt for result in results]
    is_unreachable = any(attempt.reached is False for attempt in attempts)
    our_outage = is_unreachable and (yield from is_our_outage(step.host.origin, now))
    if our_outage and not (step.host.circuit or CircuitRecord()).spared:
        _LOG.warning(
            "%s and most other hosts cannot be reached, so no failure is charged: check your own network",
            step.host.origin,
        )
    host_writes, wait_s = after_attempts(
        step.host,
        attempts,
        policy=step.site.federation.delivery_retries,
        our_outage=our_outage,
        now=now,
        jitter=jitter,
        pause_s=step.host.pause_s(attempt_count),
    )
    writes = list(host_writes)
    missing_inboxes: dict[StoreKey, Write] = {}
    for result in results:
        writes += _delivery_writes(
            step.site, result, now=now, jitter=jitter, our_outage=our_outage, is_full=step.is_full
        )
        if result.attempt.missing_inbox is not None:
            put = put_missing_inbox(result.delivery.inbox, gone=result.attempt.missing_inbox == "gone")
            missing_inboxes[put.key] = put
    return [*writes, *missing_inboxes.values()], host_writes, wait_s


def _deliveries_in(results: Sequence[_Result]) -> list[_Delivery]:
    return [delivery for result in results for delivery in (result.delivery, *result.behind)]


def _commit_and_settle(deliveries: Sequence[_Delivery], writes: Sequence[Write], settlement: Settlement) -> Op[None]:
    """Commit and settle together; settle alone if there is nothing to write or another worker has taken over."""
    if not writes or not (yield from _commit_twice(deliveries, writes, settles=(settlement,))):
        _ = yield from Settle((settlement,))


def _commit_twice(
    deliveries: Sequence[_Delivery], writes: Sequence[Write], *, settles: Sequence[Settlement] = ()
) -> Op[bool]:
    """Commit, and commit once more if the answer to the first commit was lost.

    If the first commit took place, its deliveries are gone. Then the checks of the second one fail, and it is False.
    """
    checks = [delivery.stored.check for delivery in deliveries]
    try:
        return bool((yield from commit(checks, writes, settles=settles)))
    except StoreUnavailable as error:
        if error.outcome != "unknown":
            raise
        return bool((yield from commit(checks, writes, settles=settles)))


def _delivery_writes(
    site: Site, result: _Result, *, now: datetime, jitter: float, our_outage: bool, is_full: bool = False
) -> list[Write]:
    """Return the writes about one delivery, and about those behind it."""
    delivery, attempt = result.delivery, result.attempt
    record = delivery.record
    activity, inbox, detail = map(one_line, (attempt.activity or delivery.name, delivery.inbox, attempt.detail))
    is_spared = our_outage and attempt.reached is False
    match attempt.outcome:
        case AttemptOutcome.NOT_ASKED if not is_full:
            return []
        case AttemptOutcome.NOT_ASKED:
            # Others may wait behind a full step, so make room for them.
            wait_s = min(max(_UNSIGNED_S_MIN, delivery.age_s(now) / 2), _UNSIGNED_S_MAX)
            return _move_line(result, now, wait_s)
        case AttemptOutcome.DELIVERED:
            _LOG.info("delivered %s to %s", activity, inbox)
            return [delivery.stored.deletion]
        case AttemptOutcome.REFUSED:
            _LOG.info("the delivery of %s to %s failed for good: %s", activity, inbox, detail)
            return [delivery.stored.deletion, _dead_letter(delivery, attempt, now)]
        case AttemptOutcome.HOST_FAILING if is_spared and not _is_old(site, delivery, now):
            return []
        case AttemptOutcome.HOST_FAILING | AttemptOutcome.INBOX_FAILING | AttemptOutcome.UNPROVED:
            attempts = record.attempts + 1
            unproved = record.unproved + (1 if attempt.outcome is AttemptOutcome.UNPROVED else 0)
            delay_s = site.federation.delivery_retries.delay_s(
                attempts, age_s=delivery.age_s(now), chance=jitter, asked_s=attempt.retry_after_s
            )
            if delay_s is None or unproved >= UNPROVED_MAX:
                _LOG.warning("gave up on delivering %s to %s: %s", activity, inbox, detail)
                return [delivery.stored.deletion, _dead_letter(delivery, attempt, now)]
            _LOG.info("will retry the delivery of %s to %s: %s", activity, inbox, detail)
            charged = evolve(record, attempts=attempts, unproved=unproved)
            if attempt.outcome is AttemptOutcome.HOST_FAILING:
                # The circuit of the host delays its whole backlog, so the delivery keeps its place.
                return [delivery.rewrite(charged)]
            return _move_line(result, now, delay_s, charged)


def _move_line(result: _Result, now: datetime, wait_s: float, record: DeliveryRecord | None = None) -> list[Write]:
    """Return the writes that let a delivery, and those behind it, wait for ``wait_s``."""
    due_ms = to_epoch_ms(now) + int(wait_s * 1000)
    behind = [write for delivery in result.behind for write in delivery.move(due_ms, now)]
    return [*result.delivery.move(due_ms, now, record), *behind]


def _dead_letter(delivery: _Delivery, attempt: AttemptResult, now: datetime) -> Write:
    fields = asdict(delivery.record, recurse=False)
    record = DeadDeliveryRecord(**fields, reason=attempt.detail[:_REASON_CHARS_MAX], died=now)
    return DEAD_DELIVERIES.put(DeadDeliveryKey(delivery.name, delivery.stored.key.inbox), record)
