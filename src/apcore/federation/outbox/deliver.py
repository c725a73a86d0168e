"""Deliver activities: take deliveries out of a backlog, and POST them to their inboxes.

Planning (`apcore.federation.outbox.fanout`) writes one record for each delivery, in the backlog of the peer's origin.
One message stands for a whole backlog, and one worker at a time leases it. So a dead host is one delayed message,
however many deliveries wait for it, and deliveries to other hosts are not held up. A step makes up to 20 deliveries.
`apcore.federation.outbox.backlog` reads them, `apcore.federation.outbox.attempt` makes a single attempt,
`apcore.federation.outbox.delivery_results` decides what follows for the delivery, and
`apcore.federation.outbox.circuit` for the host.

A sender's key may be unable to sign now: the signer does not have it, or too many keys were made. Other senders are not
held up by that. The deliveries of this sender are passed over, and no attempt is charged. If they fill the step, so
that others may be behind them, they are moved to `RETRIES` for a while.

A peer gets every activity at least once, always with the same id and the same bytes. It gets one twice only if an
answer was lost, or if the worker crashed between the answer and its commit. The results of a step are committed within
a second or 20 attempts, so a crash repeats few attempts. Every attempt has a signature of its own.

A commit checks the versions of its deliveries, and deletes, moves or rewrites those that were charged or answered. So
it can be repeated when its answer was lost. If the first commit has changed deliveries, the checks of the second one
fail, and nothing changes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import define, field

from apcore.effects import Now, Op, RandomBytes, Settle
from apcore.federation.domain_checks import suspension_in, suspension_keys
from apcore.federation.outages import is_our_outage
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult, classify
from apcore.federation.outbox.backlog import Backlog, Line, WaitingDelivery, commit_again_if_lost, read_backlog
from apcore.federation.outbox.circuit import Host, after_attempts
from apcore.federation.outbox.delivery_reports import report_dead, report_failed
from apcore.federation.outbox.delivery_results import (
    Circumstances,
    DeliveryResult,
    hold_back,
    is_old,
    result_writes,
)
from apcore.federation.outbox.delivery_rounds import ROUND_MAX, SendingMaterial
from apcore.federation.outbox.host_records import CircuitRecord
from apcore.federation.outbox.missing_inboxes import put_missing_inbox
from apcore.federation.site import Site
from apcore.federation.stored_rules import read_all
from apcore.federation.time_limits import RECORD_S, STEP_S
from apcore.federation.wake_ups import DELIVER, read_wake
from apcore.http import parse_origin
from apcore.ports import Done, LeasedMessage, Retry, Settlement, StoreKey, Write
from apcore.remote import Dialect

__all__ = ["DELIVER", "AttemptOutcome", "classify", "deliver"]

_FINAL: Final = frozenset({AttemptOutcome.DELIVERED, AttemptOutcome.REFUSED})
"""The outcomes after which nothing remains of a delivery."""
_LOG: Final = logging.getLogger("apcore.delivery")


@define
class _Step:
    """The state of a step, with the results that are not written yet."""

    site: Site
    leased: LeasedMessage
    host: Host
    backlog: Backlog
    material: SendingMaterial
    may_leave_deliveries: bool
    """Whether deliveries may remain in the backlog after the step."""
    results: list[DeliveryResult] = field(factory=list[DeliveryResult])
    attempt_count: int = 0
    """The number of attempts so far, without those that end as `NOT_ASKED`."""


def deliver(site: Site, leased: LeasedMessage) -> Op[None]:
    """Make up to 20 deliveries of the backlog that a message of the lane `DELIVER` names.

    Asks for: `Now`, two `Scan`s and one `Get`; for each four deliveries as `SendingMaterial.attempt`, and `Now`; one
    `Scan` if the host cannot be reached; one commit for every second that the step takes.
    """
    name = read_wake(leased.message).peer or ""
    now = yield from Now()
    backlog = yield from read_backlog(name, now)
    blank_host, material = Host(name), SendingMaterial(site)
    peer_host = parse_origin(blank_host.origin).host
    # The first attempt is made alone, so its entries are read here.
    host_keys, rule_keys = blank_host.keys, suspension_keys(site, peer_host)
    material_keys = material.missing_keys(backlog.first)
    entries = yield from read_all((*host_keys, *material_keys, *rule_keys))
    host = blank_host.with_entries(entries)
    material.add_entries(material_keys, entries[len(host_keys) : len(host_keys) + len(material_keys)])
    suspended = suspension_in(site, peer_host, entries[len(host_keys) + len(material_keys) :])
    step = _Step(site, leased, host, backlog, material, backlog.may_leave_deliveries)
    due_in_s = host.due_in_s(now)
    # A delivery may be given up without an attempt of its own, if it was too old already when its host failed.
    # Otherwise a dead host, or too many deliveries that are aimed at one, would keep a backlog for ever. An aimed
    # backlog moves slowly, so there the present age of a delivery counts.
    age_checked_at = now if host.is_cross_origin else host.failed_at
    old = [delivery for delivery in backlog.due if is_old(delivery, site.federation.delivery_retries, age_checked_at)]
    if suspended is not None and backlog.due:
        yield from _give_up(step, backlog.due, str(suspended), wait_s=0.0)
    elif due_in_s is not None or (host.is_cross_origin and old):
        yield from _give_up(step, old, "too old before it could be tried again", wait_s=0.0 if old else due_in_s or 0.0)
    elif not backlog.due:
        due_s = backlog.next_due_s(now)
        _ = yield from Settle((Done(leased) if due_s is None else Retry(leased, due_s),))
    else:
        yield from _make_attempts(step, now)


# --- attempts -------------------------------------------------------------------------------------------------------


def _make_attempts(step: _Step, now: datetime) -> Op[None]:
    """Try as many deliveries as the host accepts and the time allows, and record the results.

    The deliveries of a line are tried in their order.
    """
    lines = step.backlog.lines
    known_dialect = step.host.known_dialect
    unable_senders = step.material.unable_senders
    clock = recorded_at = now
    # The first attempt is made alone: it may show that the host is down, or which dialect it accepts.
    at_once = 1
    while lines and (clock - now).total_seconds() < STEP_S:
        if step.results and (clock - recorded_at).total_seconds() >= RECORD_S:
            if not (yield from _record_some(step, clock)):
                # Another worker has taken over this backlog, so leave the rest to it.
                _ = yield from Settle((Retry(step.leased, 0.0),))
                return
            recorded_at = clock
        results = yield from _make_round(step, lines, known_dialect, at_once=at_once, now=clock)
        clock = yield from Now()
        step.results += results
        attempts = [result.attempt for result in results if result.attempt.outcome is not AttemptOutcome.NOT_ASKED]
        step.attempt_count += len(attempts)
        step.may_leave_deliveries |= any(result.attempt.outcome not in _FINAL for result in results)
        if any(attempt.outcome is AttemptOutcome.HOST_FAILING for attempt in attempts) or "" in unable_senders:
            break
        known_dialect = next((attempt.accepted for attempt in attempts if attempt.accepted is not None), known_dialect)
        at_once = ROUND_MAX if attempts else at_once
    step.may_leave_deliveries |= bool(lines)
    yield from _record(step, clock)


def _make_round(
    step: _Step,
    lines: dict[Line, list[WaitingDelivery]],
    known_dialect: Dialect | None,
    *,
    at_once: int,
    now: datetime,
) -> Op[list[DeliveryResult]]:
    """Try the heads of up to ``at_once`` lines, and remove from ``lines`` all that the step does not try again."""
    batch = list(lines)[:at_once]
    attempts = yield from step.material.attempt([lines[line][0] for line in batch], known_dialect, now)
    results: list[DeliveryResult] = []
    for line, attempt in zip(batch, attempts, strict=True):
        delivery, *behind = lines.pop(line)
        if attempt.outcome in {AttemptOutcome.INBOX_FAILING, AttemptOutcome.UNPROVED, AttemptOutcome.NOT_ASKED}:
            results.append(DeliveryResult(delivery, attempt, behind=tuple(behind)))
        else:
            results.append(DeliveryResult(delivery, attempt))
            if behind:
                lines[line] = behind
    return results


# --- recording ------------------------------------------------------------------------------------------------------


def _give_up(step: _Step, deliveries: Sequence[WaitingDelivery], reason: str, *, wait_s: float) -> Op[None]:
    """Give up deliveries without an attempt. This writes nothing about the host."""
    now = yield from Now()
    circumstances = Circumstances(rules=step.site.federation.delivery_retries, now=now)
    results = [DeliveryResult(delivery, AttemptResult(AttemptOutcome.REFUSED, reason)) for delivery in deliveries]
    yield from report_dead(step.site, results, circumstances)
    writes = [write for result in results for write in result_writes(result, circumstances)]
    yield from _commit_and_settle(deliveries, writes, Retry(step.leased, wait_s))


def _record_some(step: _Step, now: datetime) -> Op[bool]:
    """Commit the results so far, and keep the lease. Return False if another worker has taken over."""
    results, step.results = step.results, []
    # The pause for attempts begins with the last record of the step, so none is counted here.
    writes, host_writes, _ = yield from _result_writes(step, results, attempt_count=0, now=now)
    is_committed = yield from commit_again_if_lost(_deliveries_in(results), writes)
    step.host = step.host.after(host_writes)
    return is_committed


def _record(step: _Step, now: datetime) -> Op[None]:
    """Commit the remaining results, move blocked deliveries behind those that they wait for, and settle."""
    blocked = step.backlog.blocked
    writes, _, wait_s = yield from _result_writes(step, step.results, attempt_count=step.attempt_count, now=now)
    if step.backlog.is_full and "" not in step.material.unable_senders:
        wait_s = 0.0
    for delivery, due_ms in blocked:
        writes += hold_back(delivery, due_ms, now)
    deliveries = [*_deliveries_in(step.results), *(delivery for delivery, _ in blocked)]
    # Deliveries that were planned meanwhile have a message of their own, which waits behind this one. If any others
    # remain, look once more: the next look finds the time at which they are due.
    settlement = Retry(step.leased, wait_s) if step.may_leave_deliveries else Done(step.leased)
    yield from _commit_and_settle(deliveries, writes, settlement)


def _result_writes(
    step: _Step, results: Sequence[DeliveryResult], *, attempt_count: int, now: datetime
) -> Op[tuple[list[Write], list[Write], float]]:
    """Return the writes for results, those among them that are about the host, and the seconds to wait.

    The host gets a pause for ``attempt_count`` attempts.
    """
    attempts = [result.attempt for result in results]
    # Only the pauses after failures are random.
    needs_jitter = any(attempt.outcome not in _FINAL for attempt in attempts)
    jitter = int.from_bytes((yield from RandomBytes(2)), "big") / 65535 if needs_jitter else 0.0
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
    circumstances = Circumstances(
        rules=step.site.federation.delivery_retries,
        now=now,
        jitter=jitter,
        is_our_outage=our_outage,
        is_full=step.backlog.is_full,
    )
    yield from report_dead(step.site, results, circumstances)
    yield from report_failed(step.site, results, circumstances)
    writes = [*host_writes, *(write for result in results for write in result_writes(result, circumstances))]
    missing_inboxes: dict[StoreKey, Write] = {}
    for result in results:
        if result.attempt.missing_inbox is not None:
            put = put_missing_inbox(result.delivery.record.inbox, gone=result.attempt.missing_inbox == "gone")
            missing_inboxes[put.key] = put
    return [*writes, *missing_inboxes.values()], host_writes, wait_s


def _deliveries_in(results: Sequence[DeliveryResult]) -> list[WaitingDelivery]:
    return [delivery for result in results for delivery in (result.delivery, *result.behind)]


def _commit_and_settle(
    deliveries: Sequence[WaitingDelivery], writes: Sequence[Write], settlement: Settlement
) -> Op[None]:
    """Commit and settle together. If a delivery has changed meanwhile, nothing is written, and the backlog is due."""
    if not writes:
        _ = yield from Settle((settlement,))
    elif not (yield from commit_again_if_lost(deliveries, writes, settles=(settlement,))):
        _ = yield from Settle((Retry(settlement.leased, settlement.delay_s if isinstance(settlement, Retry) else 0.0),))
