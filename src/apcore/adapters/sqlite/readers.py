"""Pool the connections that read: as many as read at one time, reused by later reads.

A pool, and not a connection per thread, so that a thread that ends leaves nothing open, and `close` can close all of
them.
"""

from __future__ import annotations

import sqlite3
from threading import Condition, Lock
from typing import Final

from apcore.adapters.sqlite.files import File

__all__ = ["Closed", "Readers", "WouldWait"]

_IDLE_MAX: Final = 16


class Closed(Exception):  # never leaves the package
    """The connection group was closed meanwhile; its owner opens another."""


class WouldWait(Exception):  # never leaves the package
    """The read would open a connection, or wait for one."""


class Readers:
    """A pool of read-only connections, lent as cursors."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._lock = Lock()
        self._all_back = Condition(self._lock)
        self._idle: list[sqlite3.Cursor] = []
        self._in_use = 0
        self._closed = False

    def take_idle(self) -> sqlite3.Cursor | None:
        """Borrow a cursor if one is open and idle."""
        with self._lock:
            if self._closed:
                raise Closed
            if not self._idle:
                return None
            self._in_use += 1
            return self._idle.pop()

    def take(self) -> sqlite3.Cursor:
        """Borrow a cursor. Return it with `give_back` or `discard`."""
        if (cursor := self.take_idle()) is not None:
            return cursor
        with self._lock:
            self._in_use += 1
        try:
            return self._file.open(writable=False).cursor()
        except BaseException:
            self._count_back()
            raise

    def give_back(self, cursor: sqlite3.Cursor) -> None:
        """Return a cursor whose rows have all been fetched, so that no transaction is open on it."""
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_MAX:
                self._in_use -= 1
                self._idle.append(cursor)
                return
        self.discard(cursor)

    def discard(self, cursor: sqlite3.Cursor) -> None:
        """Return a cursor that must not be used again."""
        try:
            cursor.connection.close()
        finally:
            self._count_back()

    def close(self, wait_s: float) -> bool:
        """Close the idle cursors, wait for the others, and return whether all of them came back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for cursor in idle:
            cursor.connection.close()
        with self._lock:
            return self._all_back.wait_for(lambda: self._in_use == 0, wait_s)

    def _count_back(self) -> None:
        with self._lock:
            self._in_use -= 1
            self._all_back.notify_all()
