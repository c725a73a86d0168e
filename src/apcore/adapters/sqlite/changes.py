"""Notice commits of other processes: `ChangeCounter`, and `PollPace` for looking at it.

SQLite tells cheaply, in a few microseconds, whether any other connection has committed since a connection last asked.
So a process that waits for messages looks at this number, and reads the queue only if it has changed.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from threading import Lock
from typing import Final

from apcore.adapters.sqlite.failures import failure, is_busy
from apcore.adapters.sqlite.files import File
from apcore.adapters.sqlite.readers import Closed

__all__ = ["POLL_S_MAX", "POLL_S_MIN", "ChangeCounter", "PollPace"]

POLL_S_MIN: Final = 0.02
"""The first pause between two looks at the number."""
POLL_S_MAX: Final = 0.1
"""The longest pause. A commit of another process is noticed after this time at the latest."""
_POLL_FACTOR: Final = 1.05


class ChangeCounter:
    """A number that every commit to a file changes. Safe to use from several threads."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._lock = Lock()
        self._cursor: sqlite3.Cursor | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether the next look neither opens a connection nor waits for one."""
        return self._cursor is not None and not self._lock.locked()

    def value(self) -> int | None:
        """Return the number; None if a lock keeps it from being read now, which counts as a change.

        Raises:
            Closed: The counter was closed.
            StoreUnavailable: The file cannot be opened or read.
        """
        with self._lock:
            if self._closed:
                raise Closed
            if self._cursor is None:
                self._cursor = self._file.open(writable=False).cursor()
            try:
                [(number,)] = self._cursor.execute("PRAGMA data_version").fetchall()
            except sqlite3.Error as error:
                if is_busy(error):
                    return None
                self._forget_connection()
                unavailable = failure(error, self._file.source)
                if unavailable is None:
                    raise
                raise unavailable from error
            return int(number)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._closed = True
            self._forget_connection()

    def _forget_connection(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(sqlite3.Error):
                cursor.connection.close()


class PollPace:
    """The pause between two looks at a `ChangeCounter`: short after a change, and longer while nothing changes."""

    def __init__(self) -> None:
        self.pause_s = POLL_S_MIN

    def quicken(self) -> None:
        """Look often from now on: something has changed."""
        self.pause_s = POLL_S_MIN

    def slow_down(self) -> None:
        """Look less often: nothing has changed."""
        self.pause_s = min(self.pause_s * _POLL_FACTOR, POLL_S_MAX)
