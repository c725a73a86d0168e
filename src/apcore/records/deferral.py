"""Records that wait until they are due."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from attrs import evolve, frozen

from apcore.records.declaration import StoredRecord
from apcore.records.fields import member
from apcore.records.format import CLOCK_SKEW_MS, to_epoch_ms

__all__ = ["DeferredRecord", "defer"]


@frozen(kw_only=True)
class DeferredRecord(StoredRecord):
    """The base of a record that says when to act on it. A message about it is only a reason to look."""

    # Whole milliseconds, and no `datetime`: a retry policy may return a delay that ends after the year 9999.
    due_ms: int = member("due", default=0)
    """The time at which the record is due, in milliseconds since 1970."""
    put_off_ms: int = member("put_off", default=0)
    """The time at which `due_ms` was set."""

    def due_in_s(self, now: datetime) -> float | None:
        """Return the seconds until the record is due, or None if it is due.

        A message can arrive early, for example from a queue that was rebuilt. Its worker then waits again.
        """
        now_ms = to_epoch_ms(now)
        # If the record was put off at a time in the future, the clock was set back since, and `due_ms` means nothing.
        if self.put_off_ms - now_ms > CLOCK_SKEW_MS or self.due_ms <= now_ms:
            return None
        return (self.due_ms - now_ms) / 1000


DeferredT = TypeVar("DeferredT", bound=DeferredRecord)


def defer(record: DeferredT, delay_s: float, now: datetime) -> DeferredT:
    """Return ``record`` with a due time ``delay_s`` after ``now``."""
    now_ms = to_epoch_ms(now)
    return evolve(record, due_ms=now_ms + int(delay_s * 1000), put_off_ms=now_ms)
