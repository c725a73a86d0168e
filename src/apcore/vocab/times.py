"""Parse times and durations leniently, and format them as the specifications say.

Parsing never fails: an invalid time is None, because a wrong ``published`` must not cost its post. These forms occur
and are accepted: no zone (taken as UTC), a space for the ``T``, fractions of up to 20 digits (cut to microseconds),
bare dates (midnight, UTC), leap seconds (the second before), seconds or milliseconds since 1970. Times are written in
RFC 3339, in UTC with ``Z``, which every server parses.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

__all__ = ["format_duration", "format_moment", "parse_duration", "parse_moment"]

_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,20}))?)?)? ?(?:([Zz])|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_DURATION: Final = re.compile(
    r"(-)?P(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?"
    r"(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,20})?)S)?)?",
    re.ASCII,
)
_YEAR_DAYS: Final = 365
_MONTH_DAYS: Final = 30
# 9999-12-31, the last day that datetime has.
_EPOCH_S_MAX: Final = 253_402_214_400
# A larger number of "seconds" is certainly milliseconds: as seconds it would be after the year 5138.
_EPOCH_MILLISECONDS: Final = 100_000_000_000


def parse_moment(value: Any) -> datetime | None:
    """Parse a time leniently; the result has a zone. None if the value is not a time."""
    if type(value) is str:
        return _parse_text(value.strip())
    if type(value) is int or type(value) is float:
        return _from_epoch(value)
    return None


def format_moment(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC, with a fraction only if there is one.

    Raises:
        ValueError: It has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"datetime {moment.isoformat()} has no zone: write datetime(..., tzinfo=UTC)")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_duration(value: Any) -> timedelta | None:
    """Parse an ``xsd:duration``, or a number of seconds. A year counts 365 days and a month 30. None if invalid."""
    if type(value) is int or type(value) is float:
        return _seconds(value)
    match = _DURATION.fullmatch(value.strip()) if type(value) is str else None
    if match is None or not any(match.groups()[1:]):
        return _seconds(float(value)) if type(value) is str and value.isascii() and value.isdigit() else None
    years, months, weeks, days, hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    total_days = years * _YEAR_DAYS + months * _MONTH_DAYS + weeks * 7 + days
    total = _seconds(((total_days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return -total if total is not None and match[1] else total


def format_duration(duration: timedelta) -> str:
    """Format a duration in hours, minutes and seconds, as media players do: ``PT1H2M3S``."""
    microseconds = abs(duration) // timedelta(microseconds=1)
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}H" if hours else ""
    text += f"{minutes}M" if minutes else ""
    if seconds or fraction or not text:
        text += str(seconds) + (f".{fraction:06}".rstrip("0") if fraction else "") + "S"
    return f"{'-' if duration < timedelta(0) else ''}PT{text}"


# --- leaves ---------------------------------------------------------------------------------------------------------


def _parse_text(text: str) -> datetime | None:
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = match.groups()
    zone: timezone = UTC
    if sign is not None:
        offset = timedelta(hours=int(zone_hour), minutes=int(zone_minute))
        if offset >= timedelta(hours=24):
            return None
        zone = timezone(-offset if sign == "-" else offset)
    try:
        # datetime has no leap seconds; the second before is the closest.
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            59 if second == "60" else int(second or 0),
            int(((fraction or "") + "000000")[:6]),
            tzinfo=zone,
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _from_epoch(value: float) -> datetime | None:
    seconds = value / 1000 if value >= _EPOCH_MILLISECONDS else value
    if not 0 < seconds < _EPOCH_S_MAX:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _seconds(value: float) -> timedelta | None:
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):
        return None
