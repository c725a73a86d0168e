"""Map SQLite's result codes to apcore's errors.

Codes that indicate a bug (an invalid statement, a wrong type) are not in the table. Such exceptions propagate
unchanged.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from apcore.errors import CommitOutcome, StoreBusy, StoreUnavailable

__all__ = ["failure", "is_busy", "is_full"]

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

_WORDS: Final = {
    sqlite3.SQLITE_FULL: "no disk space is left for the database",
    sqlite3.SQLITE_READONLY: "the database is read-only for this process",
    sqlite3.SQLITE_PERM: "this process may not open the database",
    sqlite3.SQLITE_AUTH: "this process may not use the database",
    sqlite3.SQLITE_CANTOPEN: "the database, or its -wal or -shm beside it, cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_FORMAT: "the file is not an SQLite database",
    sqlite3.SQLITE_IOERR: "the file system failed",
    sqlite3.SQLITE_NOLFS: "the file system cannot hold a file of this size",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
    # "no such table": the file was replaced, or our tables were dropped.
    sqlite3.SQLITE_ERROR: "the tables of apcore are missing or were changed",
    sqlite3.SQLITE_SCHEMA: "the tables of apcore are missing or were changed",
}


def failure(
    error: Exception, source: str, *, outcome: CommitOutcome = "nothing", waited_s: float | None = None
) -> StoreUnavailable | None:
    """Return the error that ``error`` stands for, or None if it is a bug. ``source`` names the file."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = _code(error)
    if code in _BUSY:
        waited = "" if waited_s is None else f" for {waited_s:g} s"
        return StoreBusy(f"{source}: another connection kept the database locked{waited}; nothing was written")
    words = _WORDS.get(code)
    return None if words is None else StoreUnavailable(f"{source}: {words} ({error})", outcome=outcome)


def is_busy(error: Exception) -> bool:
    """Return whether another connection holds a lock, so that trying again soon makes sense."""
    return _code(error) in _BUSY


def is_full(error: Exception) -> bool:
    """Return whether the disk was full.

    A COMMIT that fails in this way has written nothing: its last page never reached the log.
    """
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: Exception) -> int:
    # Errors of the sqlite3 module itself (a closed connection, a wrong thread) have no code. The low byte is the
    # primary code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
