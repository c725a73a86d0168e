"""Make strings that sort by the time and the number of an event."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apcore.records.format import to_epoch_ms

__all__ = ["ORDER_DIGITS", "order_at"]

ORDER_DIGITS: Final = 20


def order_at(moment: datetime, number: int = 0) -> str:
    """Return 20 digits that sort by time to the microsecond, then by ``number``, which counts the events of one commit.

    Earlier releases wrote 14 digits (milliseconds). These sort before all others of their millisecond, or among them.
    """
    return f"{to_epoch_ms(moment):014d}{moment.microsecond % 1000:03d}{number:03d}"
