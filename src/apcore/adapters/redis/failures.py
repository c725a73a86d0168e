"""Map the errors of redis-py to apcore's errors.

Redis names the kind of an error in its first word. A kind that indicates a bug (a wrong type, an error of the script)
is not in the table. Such an exception propagates unchanged.
"""

from __future__ import annotations

from typing import Final

from redis import exceptions

from apcore.errors import StoreBusy, StoreUnavailable

__all__ = ["failure", "refusal"]

_WORDS: Final = {
    "OOM": "its memory is full: raise maxmemory",
    "MISCONF": "it cannot write its files, and so takes no writes",
    "READONLY": "it is a replica, which takes no writes",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it refuses this user or password",
    "NOPERM": "this user may not run scripts, or not use these keys",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "it has lost its primary",
    "CLUSTERDOWN": "the cluster is down",
    "NOREPLICAS": "it has too few replicas to take writes",
}


def failure(error: exceptions.RedisError, source: str, *, changes: bool) -> StoreUnavailable | None:
    """Return the error that ``error`` stands for, or None if it is a bug.

    Args:
        error: The error of a call.
        source: The name of the server.
        changes: Whether the call changes anything. Then its outcome is unknown if its answer never came. A call that
            the server has refused has changed nothing.
    """
    text = _line(error)
    kind = text.partition(" ")[0].strip(":")
    if isinstance(error, exceptions.OutOfMemoryError):
        kind = "OOM"
    elif isinstance(error, exceptions.ReadOnlyError):
        kind = "READONLY"
    elif isinstance(error, exceptions.NoPermissionError):
        kind = "NOPERM"
    elif isinstance(error, exceptions.BusyLoadingError):
        kind = "LOADING"
    if kind == "BUSY":
        return StoreBusy(f"{source} is running a long script; nothing was written")
    if kind in _WORDS:
        return StoreUnavailable(f"{source}: {_WORDS[kind]} ({text})")
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return StoreUnavailable(f"{source} does not answer: {text}", outcome="unknown" if changes else "nothing")
    return None


def refusal(error: exceptions.RedisError, source: str) -> StoreUnavailable:
    """Return the error for a connection that could not be opened, so that nothing was sent."""
    if "No connection available" in str(error):
        return StoreBusy(f"{source}: all connections of this process stayed in use; nothing was written")
    return failure(error, source, changes=False) or StoreUnavailable(f"{source} cannot be used: {_line(error)}")


def _line(error: exceptions.RedisError) -> str:
    return " ".join(str(error).split())[:300]
