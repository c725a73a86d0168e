"""Parse times in arguments: ISO 8601 with a zone, seconds since the epoch, or an HTTP date."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from apcore.errors import RequestError
from apcore.http import parse_http_date

__all__ = ["parse_time"]


def parse_time(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Parse the value of an option, and return it in UTC. Use this as the callback of the option.

    Raises:
        click.BadParameter: The text is not a time, or has no time zone.
    """
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        time = parse_http_date(text) if "," in text else datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError, OSError, RequestError) as error:
        raise click.BadParameter(
            f"{text[:60]!r} is not a time: use a form such as 2026-11-22T08:00:00Z, seconds since the epoch, or a Date"
        ) from error
    raise click.BadParameter(f"{text[:60]!r} has no time zone: end it with Z")
