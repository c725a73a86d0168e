"""Parse and format times as HTTP writes them.

Only IMF-fixdate is accepted (RFC 9110 §5.6.7). The two obsolete forms have a two-digit year or no zone, and federated
servers do not send them. The name of the day must be a valid name, but need not be the right one, because nothing
depends on it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from apcore.errors import RequestError

__all__ = ["format_http_date", "parse_http_date", "parse_retry_after"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IMF_FIXDATE: Final = re.compile(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) "
    rf"([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) GMT"
)
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def parse_http_date(text: str) -> datetime:
    """Parse a date such as ``Tue, 20 Apr 2021 02:07:55 GMT``, in UTC.

    Raises:
        RequestError: The date has another form, or does not exist. A leap second counts as a date that does not
            exist, since `datetime` has none.
    """
    return _parse_fixdate(text)


# Requests of one second have one date. Only valid dates, of 29 characters, are kept.
@lru_cache(maxsize=128)
def _parse_fixdate(text: str) -> datetime:
    match = _IMF_FIXDATE.fullmatch(text)
    if match is None:
        raise RequestError(f"date {text[:80]!r} is not an IMF-fixdate")
    day, month, year, hour, minute, second = match.groups()
    try:
        return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError as exc:
        raise RequestError(f"date {text!r} does not exist: {exc}") from exc


def format_http_date(moment: datetime) -> str:
    """Format a time to the second, independent of the locale. `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"date {moment!r} has no time zone")
    moment = moment.astimezone(UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def parse_retry_after(text: str | None, *, now: datetime, max_s: float) -> float | None:
    """Parse `Retry-After` as seconds from ``now``, from 0 to ``max_s``.

    Return None if it is absent or invalid (RFC 9110 §10.2.3).
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text) is not None:
        return min(float(text), max_s)
    try:
        moment = parse_http_date(text)
    except RequestError:
        return None
    return min(max((moment - now) / timedelta(seconds=1), 0.0), max_s)
