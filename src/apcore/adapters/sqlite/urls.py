"""Parse store URLs: ``sqlite:///relative.db`` and ``sqlite:////absolute/path.db``.

Options: ``?synchronous=full`` (the default: commits survive power loss) or ``normal`` (commits survive the death of
every process, and are about twice as fast); ``?busy_timeout_s=5``, the seconds that a call waits for other writers.
Percent-encode characters with a meaning in URLs.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from apcore.adapters.sqlite.files import Synchronous
from apcore.adapters.sqlite.store import SqliteStore
from apcore.errors import ConfigurationError

__all__ = ["open_url"]


def open_url(url: str, /) -> SqliteStore:
    """Make the store that ``url`` names. The file is opened, or created, on first use.

    Raises:
        ConfigurationError: The URL is malformed, or has an unknown option.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or parts.fragment or len(parts.path) < 2:
        raise ConfigurationError(
            f"{url!r:.200} does not name an SQLite file: write sqlite:///relative.db or sqlite:////absolute/path.db "
            "(a '#' or '?' in a name is written %23 or %3F); for a store in memory, write memory:"
        )
    path = unquote(parts.path[1:])
    if path == ":memory:" or "\x00" in path:
        raise ConfigurationError(f"{url!r:.200} names no file; for a store in memory, write memory:")
    synchronous: str = "full"
    busy_timeout_s = 5.0
    try:
        for name, value in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else ():
            match name:
                case "synchronous":
                    synchronous = value
                case "busy_timeout_s":
                    busy_timeout_s = float(value)
                case _:
                    raise ConfigurationError(
                        f"{url!r:.200} has an unknown option {name!r}; the options are synchronous and busy_timeout_s"
                    )
        return SqliteStore(path, synchronous=cast("Synchronous", synchronous), busy_timeout_s=busy_timeout_s)
    except ValueError as error:
        raise ConfigurationError(f"{url!r:.200}: {error}") from error
