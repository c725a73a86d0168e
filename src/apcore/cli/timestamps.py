"""Points in time as an argument: ISO 8601 with a zone, seconds of the epoch, or as HTTP writes dates."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from apcore.errors import RequestError
from apcore.http import parse_http_date

__all__ = ["to_moment"]


def to_moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Read the value of an option, in UTC; the callback of such an option.

    Raises:
        click.BadParameter: It is none, or has no zone.
    """
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        moment = parse_http_date(text) if "," in text else datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError, RequestError) as error:
        raise click.BadParameter(
            f"{text[:60]!r} is no time such as 2026-11-22T08:00:00Z, seconds of the epoch, or a Date"
        ) from error
    raise click.BadParameter(f"{text[:60]!r} has no time zone: end it with Z")
