"""Hold the settings of one store, and check those of its server."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from apcore.errors import ConfigurationError
from apcore.ports import Durability

__all__ = ["FORMAT", "SCRIPT", "Settings", "check_server", "migrate"]

FORMAT: Final = 1
"""The format of the keys (functions.lua) that this release reads and writes."""

SCRIPT: Final = files("apcore.adapters.redis").joinpath("functions.lua").read_bytes()

_SOCKET_TIMEOUT_S: Final = 30.0
_CONNECT_TIMEOUT_S: Final = 10.0

Execute = Callable[..., Any]
"""Runs one command, and returns its answer."""


@frozen
class Settings:
    """The server, and how its connections are used."""

    url: str = field(repr=False)
    """A URL of redis-py. It may hold a password."""
    prefix: str = "{apcore}:"
    """The beginning of all keys. The braces keep the keys of one store on one node of a cluster."""
    durability: Durability = "power"
    busy_timeout_s: float = 5.0
    connections_max: int = 16

    @property
    def source(self) -> str:
        """Return the name of the server in messages, without user and password."""
        parts = urlsplit(self.url)
        return f"Redis at {parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def pool_options(self) -> dict[str, Any]:
        """Return the options of a connection pool, apart from its retries: ours are none.

        A command must not be repeated behind our back: its first attempt may have been carried out.
        """
        return {
            "max_connections": self.connections_max,
            "timeout": self.busy_timeout_s,
            "protocol": 2,
            "decode_responses": False,
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        }


def check_server(execute: Execute, settings: Settings) -> None:
    """Refuse a server that may lose what it has acknowledged, or that would throw entries away.

    Raises:
        ConfigurationError: The server is a replica or a cluster, keeps no append-only file, syncs it too rarely for the
            promised durability, or evicts keys when its memory is full.
    """
    info = _read_info(execute("INFO"))
    source = settings.source
    if info.get("role") != "master":
        raise ConfigurationError(f"{source} is a replica, which takes no writes: name its primary")
    if info.get("maxmemory_policy") != "noeviction":
        raise ConfigurationError(
            f"{source} has maxmemory-policy {info.get('maxmemory_policy')}, so a full memory would cost stored data: "
            "set maxmemory-policy noeviction in redis.conf"
        )
    if info.get("aof_enabled") != "1":
        raise ConfigurationError(
            f"{source} keeps no append-only file, so its restart would cost what it has acknowledged: set appendonly "
            "yes in redis.conf"
        )
    if settings.durability == "power":
        _check_sync(execute, source)


def _check_sync(execute: Execute, source: str) -> None:
    hint = "set appendfsync always in redis.conf, or add durability=none to the URL to accept that"
    try:
        answer = execute("CONFIG", "GET", "appendfsync")
    except Exception as error:
        raise ConfigurationError(
            f"{source} does not say how often it syncs its append-only file ({error}): allow this user CONFIG GET, or "
            "add durability=none to the URL to accept that the last writes may be lost"
        ) from error
    if list(answer)[1:2] != [b"always"]:
        # With everysec, writes wait in the memory of the server while a sync is running.
        raise ConfigurationError(
            f"{source} syncs its append-only file with appendfsync {_text(list(answer)[-1])}, so its sudden end can "
            f"cost the writes of the last moments: {hint}"
        )


def migrate(execute: Execute, settings: Settings) -> None:
    """Bring the keys to `FORMAT`.

    Raises:
        ConfigurationError: The keys are in a newer format.
    """
    name = f"{settings.prefix}format"
    _ = execute("SET", name, FORMAT, "NX")
    stored = int(execute("GET", name))
    if stored > FORMAT:
        raise ConfigurationError(
            f"{settings.source} is in format {stored}, written by a newer apcore; this one knows formats up to "
            f"{FORMAT}: upgrade apcore, or restore a backup from before the upgrade"
        )


def _read_info(answer: Any) -> dict[str, str]:
    lines = _text(answer).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _text(answer: Any) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
