"""Read the deliveries that wait in a backlog, and commit what follows for them.

A delivery waits in `DELIVERIES`, in the order of sending. If its inbox failed, it waits in `RETRIES` until it is due.
Deliveries to one inbox about one object are a line. A later one waits while an earlier one of its line waits, and may
overtake those of other lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from attrs import evolve, frozen

from apcore.effects import Op, Scan, commit
from apcore.errors import StoreUnavailable
from apcore.federation.outbox.delivery_records import DELIVERIES, RETRIES, DeliveryKey, DeliveryRecord, RetryKey
from apcore.federation.outbox.delivery_states import DeliveryState
from apcore.ports import Settlement, Write
from apcore.records import Stored
from apcore.records.format import CLOCK_SKEW_MS, to_epoch_ms

__all__ = ["STEP_DELIVERIES_MAX", "Backlog", "Line", "WaitingDelivery", "commit_again_if_lost", "read_backlog"]

STEP_DELIVERIES_MAX: Final = 20
"""The most deliveries of one step."""
_WAITING_MAX: Final = 100
"""The most deliveries in `RETRIES` that a step reads. Those that are not due hold back later ones of their lines."""

Line: TypeAlias = tuple[str, str]
"""The digests of an inbox and of the object that the deliveries are about."""


@frozen
class WaitingDelivery:
    """One activity for one inbox, as it is stored."""

    stored: Stored[DeliveryRecord, DeliveryKey | RetryKey]

    @property
    def record(self) -> DeliveryRecord:
        """The stored record."""
        return self.stored.record

    @property
    def name(self) -> str:
        """The name of the sending."""
        return self.stored.key.name

    @property
    def line(self) -> Line:
        """The line of the delivery."""
        return self.stored.key.inbox, self.record.line or self.name

    @property
    def state(self) -> DeliveryState:
        """The state of the delivery, which its key tells."""
        return DeliveryState.PUT_OFF if isinstance(self.stored.key, RetryKey) else DeliveryState.QUEUED

    @property
    def due_ms(self) -> int:
        """The time at which the delivery is due; 0 for one that was not put off."""
        key = self.stored.key
        return int(key.due) if isinstance(key, RetryKey) else 0

    def age_s(self, now: datetime) -> float:
        """Return the seconds since the delivery was planned."""
        return (now - self.record.created).total_seconds()

    def is_due(self, now: datetime) -> bool:
        """Return whether the delivery is due.

        A delivery that was put off at a time in the future is due as well: the clock was set back since.
        """
        now_ms = to_epoch_ms(now)
        return self.due_ms <= now_ms or self.record.put_off_ms - now_ms > CLOCK_SKEW_MS

    def rewrite(self, record: DeliveryRecord) -> Write:
        """Return the write that changes the delivery in its place."""
        key = self.stored.key
        return RETRIES.put(key, record) if isinstance(key, RetryKey) else DELIVERIES.put(key, record)

    def move(self, record: DeliveryRecord, due_ms: int, now: datetime) -> list[Write]:
        """Return the writes that store the delivery as ``record``, and let it wait until ``due_ms``."""
        key = self.stored.key
        retry_key = RetryKey(key.backlog, f"{due_ms:014d}", key.order, key.name, key.inbox)
        return [self.stored.deletion, RETRIES.put(retry_key, evolve(record, put_off_ms=to_epoch_ms(now)))]


@frozen
class Backlog:
    """The deliveries of a backlog that concern one step."""

    due: list[WaitingDelivery]
    """The deliveries that are due, in the order in which they are tried."""
    due_ms_by_line: dict[Line, int]
    """The due times of the lines in which a delivery waits that is not due."""

    @property
    def blocked(self) -> list[tuple[WaitingDelivery, int]]:
        """The deliveries behind one that is not due, with its due time."""
        due_ms_by_line = self.due_ms_by_line
        return [(delivery, due_ms_by_line[delivery.line]) for delivery in self.due if delivery.line in due_ms_by_line]

    @property
    def lines(self) -> dict[Line, list[WaitingDelivery]]:
        """The deliveries that may be tried, by line, in their order."""
        lines: dict[Line, list[WaitingDelivery]] = {}
        for delivery in self.due:
            if delivery.line not in self.due_ms_by_line:
                lines.setdefault(delivery.line, []).append(delivery)
        return lines

    @property
    def first(self) -> list[WaitingDelivery]:
        """The delivery that is tried first, or none."""
        return [delivery for delivery in self.due if delivery.line not in self.due_ms_by_line][:1]

    @property
    def is_full(self) -> bool:
        """Whether there may be more deliveries behind those that are due."""
        return len(self.due) >= STEP_DELIVERIES_MAX

    @property
    def may_leave_deliveries(self) -> bool:
        """Whether deliveries may remain in the backlog after all that are due were made."""
        return self.is_full or bool(self.due_ms_by_line)

    def next_due_s(self, now: datetime) -> float | None:
        """Return the seconds until the next delivery is due, if none is due now; None if the backlog is empty."""
        now_ms = to_epoch_ms(now)
        return min((max(0.0, (due_ms - now_ms) / 1000) for due_ms in self.due_ms_by_line.values()), default=None)


def read_backlog(name: str, now: datetime) -> Op[Backlog]:
    """Read up to 20 deliveries that are due, those that were put off first. Asks for: two `Scan`s."""
    retry_entries = yield from Scan(RETRIES.at(name), limit=_WAITING_MAX)
    new_entries = yield from Scan(DELIVERIES.at(name), limit=STEP_DELIVERIES_MAX)
    retries = [WaitingDelivery(RETRIES.read(entry)) for entry in retry_entries]
    new = [WaitingDelivery(DELIVERIES.read(entry)) for entry in new_entries]
    due = [delivery for delivery in retries if delivery.is_due(now)]
    due_ms_by_line = {delivery.line: delivery.due_ms for delivery in retries if not delivery.is_due(now)}
    return Backlog([*due, *new][:STEP_DELIVERIES_MAX], due_ms_by_line)


def commit_again_if_lost(
    deliveries: Sequence[WaitingDelivery], writes: Sequence[Write], *, settles: Sequence[Settlement] = ()
) -> Op[bool]:
    """Commit, and commit once more if the answer to the first commit was lost.

    If the first commit took place, its deliveries have changed. Then the checks of the second one fail, and the result
    is False.
    """
    checks = [delivery.stored.check for delivery in deliveries]
    try:
        return bool((yield from commit(checks, writes, settles=settles)))
    except StoreUnavailable as error:
        if error.outcome != "unknown":
            raise
        return bool((yield from commit(checks, writes, settles=settles)))
