"""Parse store URLs: ``redis://user:password@host:6379/0``, as redis-py does, and a few options of our own.

``rediss://`` uses TLS. A socket is written ``redis:///path/of/socket?socket=yes``. Options:

- ``?prefix={apcore}:``, the beginning of all keys.
- ``?durability=power`` (the default) or ``none``, which accepts a server without ``appendfsync always``.
- ``?busy_timeout_s=5``, the seconds that a call waits for a connection.
- ``?connections_max=16``, for each process (and on asyncio as many for each event loop).

All others go to redis-py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from apcore.errors import ConfigurationError
from apcore.ports import AtomicStore

if TYPE_CHECKING:
    from apcore.adapters.redis.settings import Settings

__all__ = ["open_url", "parse_url"]


def open_url(url: str, /) -> AtomicStore:
    """Make the store that ``url`` names. It connects on first use.

    Raises:
        ConfigurationError: The URL is malformed, an option has no such value, or redis-py is not installed.
    """
    try:
        from apcore.adapters.redis.store import RedisStore
    except ImportError as error:
        raise ConfigurationError(
            f"a store at redis:// needs redis-py ({error}): python -m pip install 'apcore[redis]'"
        ) from error
    try:
        return RedisStore(parse_url(url))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{_without_password(url)} is no Redis URL: {error}") from error


def parse_url(url: str, /) -> Settings:
    """Return the settings that ``url`` names.

    Raises:
        ConfigurationError: As for `open_url`.
    """
    from apcore.adapters.redis.settings import Settings

    base, _, query = url.partition("?")
    options: dict[str, Any] = {}
    others: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name:
            case "prefix" if re.fullmatch(r"[ -~]{1,80}", value):
                options["prefix"] = value
            case "durability" if value in ("power", "none"):
                options["durability"] = value
            case "busy_timeout_s" if re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", value) and float(value) > 0:
                options["busy_timeout_s"] = float(value)
            case "connections_max" if re.fullmatch(r"[1-9][0-9]{0,3}", value):
                options["connections_max"] = int(value)
            case "socket" if value == "yes":
                base = "unix:" + base.partition(":")[2]
            case "prefix" | "durability" | "busy_timeout_s" | "connections_max" | "socket":
                raise ConfigurationError(
                    f"{_without_password(url)}: {name}={value!r:.60} is not possible; write prefix={{apcore}}:, "
                    "durability=power or none, busy_timeout_s=5, connections_max=16, socket=yes"
                )
            case _:
                others.append((name, value))
    return Settings(f"{base}?{urlencode(others)}" if others else base, **options)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
