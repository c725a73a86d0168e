"""Turn the results of attempts into the writes that change their deliveries.

Each result is an event of its delivery. The table of `apcore.federation.outbox.delivery_states` tells what follows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import asdict, evolve, field, frozen

from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult
from apcore.federation.outbox.backlog import WaitingDelivery
from apcore.federation.outbox.delivery_records import (
    DEAD_DELIVERIES,
    DeadDeliveryKey,
    DeadDeliveryRecord,
    DeliveryRecord,
)
from apcore.federation.outbox.delivery_states import DeliveryAction, DeliveryEvent, advance_delivery
from apcore.federation.refusals import one_line
from apcore.federation.retry import RetryRules
from apcore.federation.time_limits import UNPROVED_MAX
from apcore.ports import Write
from apcore.records.format import to_epoch_ms

__all__ = ["Circumstances", "DeliveryResult", "attempt_count", "hold_back", "is_old", "judge", "result_writes"]

_UNSIGNED_S_MIN: Final = 30.0
"""The shortest wait of a delivery that is crowded out. The usual wait is half of its age."""
_UNSIGNED_S_MAX: Final = 3600.0
"""The longest wait of such a delivery."""
_REASON_CHARS_MAX: Final = 500
"""The longest reason that is stored with a delivery that was given up."""
_FAILURES: Final = {
    AttemptOutcome.HOST_FAILING: DeliveryEvent.HOST_FAILED,
    AttemptOutcome.INBOX_FAILING: DeliveryEvent.INBOX_FAILED,
    AttemptOutcome.UNPROVED: DeliveryEvent.UNPROVED,
}
_LOG: Final = logging.getLogger("apcore.delivery")


@frozen
class DeliveryResult:
    """The result of the attempt at one delivery."""

    delivery: WaitingDelivery
    attempt: AttemptResult
    behind: tuple[WaitingDelivery, ...] = field(default=(), kw_only=True)
    """The deliveries behind it in its line, which are not tried in this step."""


@frozen(kw_only=True)
class Circumstances:
    """The facts, besides the result, that decide about a delivery."""

    rules: RetryRules
    now: datetime
    jitter: float = 0.0
    """A random number from 0 to 1."""
    is_our_outage: bool = False
    """Whether our own network is down."""
    is_full: bool = False
    """Whether more deliveries may wait behind those of the step."""


def result_writes(result: DeliveryResult, circumstances: Circumstances) -> list[Write]:
    """Return the writes about a delivery that was tried or given up, and about those behind it in its line."""
    event, wait_s = judge(result, circumstances)
    _log(result, event)
    now = circumstances.now
    due_ms = to_epoch_ms(now) + int(wait_s * 1000)
    attempts = attempt_count(result)
    reason = result.attempt.detail
    return _apply(
        result.delivery, event, due_ms=due_ms, now=now, behind=result.behind, reason=reason, attempts=attempts
    )


def attempt_count(result: DeliveryResult) -> int:
    """Return the number of attempts at a delivery, with the one of the result if there was one."""
    return result.delivery.record.attempts + (result.attempt.activity is not None)


def hold_back(delivery: WaitingDelivery, due_ms: int, now: datetime) -> list[Write]:
    """Return the writes that let a delivery wait for an earlier one of its line, which is due at ``due_ms``."""
    return _apply(delivery, DeliveryEvent.HELD_BACK, due_ms=due_ms, now=now)


def _apply(
    delivery: WaitingDelivery,
    event: DeliveryEvent,
    *,
    due_ms: int,
    now: datetime,
    behind: Sequence[WaitingDelivery] = (),
    reason: str = "",
    attempts: int = 0,
) -> list[Write]:
    """Return the writes of the transition of a delivery."""
    change = advance_delivery(delivery.state, event)
    record = _count(delivery.record, change.actions)
    writes: list[Write] = []
    for action in change.actions:
        match action:
            case DeliveryAction.DELETE:
                writes.append(delivery.stored.deletion)
            case DeliveryAction.BURY:
                writes.append(_dead_letter(delivery, reason, now, attempts))
            case DeliveryAction.PUT_OFF:
                writes += delivery.move(record, due_ms, now)
            case DeliveryAction.HOLD_LINE:
                writes += [write for later in behind for write in hold_back(later, due_ms, now)]
            case DeliveryAction.COUNT_ATTEMPT | DeliveryAction.COUNT_UNPROVED:
                pass  # They are in the record already.
    # A delivery that stays in its place is written only if it was charged.
    return writes or ([] if record is delivery.record else [delivery.rewrite(record)])


def is_old(delivery: WaitingDelivery, rules: RetryRules, moment: datetime | None) -> bool:
    """Return whether the time for retries of a delivery was over at ``moment``."""
    return moment is not None and delivery.age_s(moment) >= rules.age_s_max


def judge(result: DeliveryResult, circumstances: Circumstances) -> tuple[DeliveryEvent, float]:
    """Return the event of a result, and the seconds that the delivery waits if the event puts it off."""
    delivery, attempt, now = result.delivery, result.attempt, circumstances.now
    match attempt.outcome:
        case AttemptOutcome.DELIVERED:
            return DeliveryEvent.ACCEPTED, 0.0
        case AttemptOutcome.REFUSED:
            return DeliveryEvent.REFUSED, 0.0
        case AttemptOutcome.NOT_ASKED if not circumstances.is_full:
            return DeliveryEvent.UNSIGNED, 0.0
        case AttemptOutcome.NOT_ASKED:
            wait_s = min(max(_UNSIGNED_S_MIN, delivery.age_s(now) / 2), _UNSIGNED_S_MAX)
            return DeliveryEvent.CROWDED_OUT, wait_s
        case AttemptOutcome.HOST_FAILING | AttemptOutcome.INBOX_FAILING | AttemptOutcome.UNPROVED:
            return _judge_failure(result, circumstances)


def _judge_failure(result: DeliveryResult, circumstances: Circumstances) -> tuple[DeliveryEvent, float]:
    delivery, attempt, now = result.delivery, result.attempt, circumstances.now
    event = _FAILURES[attempt.outcome]
    is_spared = circumstances.is_our_outage and attempt.reached is False
    if event is DeliveryEvent.HOST_FAILED and is_spared and not is_old(delivery, circumstances.rules, now):
        return DeliveryEvent.OUTAGE, 0.0
    charged = _count(delivery.record, advance_delivery(delivery.state, event).actions)
    delay_s = circumstances.rules.delay_s(
        charged.attempts, age_s=delivery.age_s(now), jitter=circumstances.jitter, retry_after_s=attempt.retry_after_s
    )
    if delay_s is None or charged.unproved >= UNPROVED_MAX:
        return DeliveryEvent.EXHAUSTED, 0.0
    return event, delay_s


def _count(record: DeliveryRecord, actions: tuple[DeliveryAction, ...]) -> DeliveryRecord:
    """Return a record with the counts that a transition adds."""
    if DeliveryAction.COUNT_ATTEMPT in actions:
        record = evolve(record, attempts=record.attempts + 1)
    if DeliveryAction.COUNT_UNPROVED in actions:
        record = evolve(record, unproved=record.unproved + 1)
    return record


def _dead_letter(delivery: WaitingDelivery, reason: str, now: datetime, attempts: int) -> Write:
    key = delivery.stored.key
    members: dict[str, Any] = {**asdict(delivery.record, recurse=False), "attempts": attempts}
    record = DeadDeliveryRecord(
        **members,
        reason=reason[:_REASON_CHARS_MAX],
        died=now,
        backlog=key.backlog,
        order=key.order,
    )
    return DEAD_DELIVERIES.put(DeadDeliveryKey(key.name, key.inbox), record)


def _log(result: DeliveryResult, event: DeliveryEvent) -> None:
    delivery, attempt = result.delivery, result.attempt
    activity, inbox, detail = map(one_line, (attempt.activity or delivery.name, delivery.record.inbox, attempt.detail))
    match event:
        case DeliveryEvent.ACCEPTED:
            _LOG.info("delivered %s to %s", activity, inbox)
        case DeliveryEvent.REFUSED:
            _LOG.info("the delivery of %s to %s failed for good: %s", activity, inbox, detail)
        case DeliveryEvent.EXHAUSTED:
            _LOG.warning("gave up on delivering %s to %s: %s", activity, inbox, detail)
        case DeliveryEvent.HOST_FAILED | DeliveryEvent.INBOX_FAILED | DeliveryEvent.UNPROVED:
            _LOG.info("will retry the delivery of %s to %s: %s", activity, inbox, detail)
        case _:
            pass  # The delivery is not charged, and is tried again soon.
