"""Parse store URLs: ``postgresql://user:password@host:5432/database``, as libpq does, and a few options of our own.

Options: ``?schema=apcore``, the schema of the tables; ``?durability=power`` (the default) or ``process``, which accepts
a server with ``fsync=off``; ``?busy_timeout_s=5``, the seconds that a call waits for locks and connections;
``?connections_max=16``, for each process (and on asyncio as many for each event loop). All others go to libpq, such as
``host=/run/postgresql`` or ``sslmode=verify-full``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from apcore.errors import ConfigurationError
from apcore.ports import AtomicStore

if TYPE_CHECKING:
    from apcore.adapters.postgres.settings import Settings

__all__ = ["open_url", "parse_url"]

_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def open_url(url: str, /) -> AtomicStore:
    """Make the store that ``url`` names. It connects on first use.

    Raises:
        ConfigurationError: The URL is malformed, an option has no such value, or psycopg is not installed.
    """
    try:
        from apcore.adapters.postgres.store import PostgresStore
    except ImportError as error:
        raise ConfigurationError(
            f"a store at postgresql:// needs psycopg ({error}): python -m pip install 'apcore[postgres]'"
        ) from error
    return PostgresStore(parse_url(url))


def parse_url(url: str, /) -> Settings:
    """Return the settings that ``url`` names.

    Raises:
        ConfigurationError: As for `open_url`.
    """
    import psycopg

    from apcore.adapters.postgres.settings import Settings

    conninfo, options = _split(url)
    settings = Settings(conninfo, **options)
    try:
        _ = settings.connection_string
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"{_without_password(url)} is no PostgreSQL URL: {str(error).strip()}") from error
    return settings


def _split(url: str) -> tuple[str, dict[str, Any]]:
    """Split our options from the URL."""
    base, _, query = url.partition("?")
    options: dict[str, Any] = {}
    others: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name:
            case "schema" if _SCHEMA.fullmatch(value):
                options["schema"] = value
            case "durability" if value in ("power", "process"):
                options["durability"] = value
            case "busy_timeout_s" if re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", value) and float(value) > 0:
                options["busy_timeout_s"] = float(value)
            case "connections_max" if re.fullmatch(r"[1-9][0-9]{0,3}", value):
                options["connections_max"] = int(value)
            case "schema" | "durability" | "busy_timeout_s" | "connections_max":
                raise ConfigurationError(
                    f"{_without_password(url)}: {name}={value!r:.60} is not possible; write schema=name (lower case), "
                    "durability=power or process, busy_timeout_s=5, connections_max=16"
                )
            case _:
                others.append((name, value))
    return f"{base}?{urlencode(others)}" if others else base, options


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
