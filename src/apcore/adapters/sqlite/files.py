"""Create the database file, and open connections to it.

A new file has mode 0600, regardless of the umask, because it may hold private keys. SQLite gives its -wal and -shm
files the mode of the database. An existing file keeps its mode: it may belong to the application.

Every connection has a timeout of 0, because the callers do the waiting: an event loop never waits, and a group of
commits waits once for all of them.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import uniform
from time import monotonic, sleep
from typing import Final, Literal, TypeVar

from attrs import field, frozen

from apcore.adapters.sqlite.failures import failure, is_busy
from apcore.adapters.sqlite.schema import FORMAT, format_of, migrate
from apcore.errors import StoreUnavailable

__all__ = ["File", "Synchronous", "patiently"]

T = TypeVar("T")

Synchronous = Literal["full", "normal"]

_PAUSE_S_MIN: Final = 0.000_2
_PAUSE_S_MAX: Final = 0.002
_WAL_BYTES_KEPT: Final = 64 * 1024 * 1024


@frozen
class File:
    """One database file, with its absolute path."""

    path: Path
    synchronous: Synchronous = "full"
    busy_timeout_s: float = field(default=5.0, kw_only=True)

    @property
    def source(self) -> str:
        """Return the name of the file for error messages."""
        return f"sqlite file {self.path}"

    def open(self, *, writable: bool) -> sqlite3.Connection:
        """Open a connection. Create the file, its journal mode and its tables if they are missing.

        Raises:
            StoreUnavailable: The file cannot be opened, or is not a database of apcore. `StoreBusy` if other
                connections held it past the timeout.
        """
        self._create()
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            patiently(lambda: self._prepare(connection, writable=writable), self.busy_timeout_s)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, Exception):
                raise
            if (unavailable := failure(error, self.source, waited_s=self.busy_timeout_s)) is not None:
                raise unavailable from error
            if isinstance(error, StoreUnavailable):
                raise StoreUnavailable(f"{self.source}: {error}") from None
            raise
        return connection

    def _create(self) -> None:
        """Create an empty file of mode 0600 if there is none.

        The file is created under another name and then linked. No descriptor of the database may be opened and closed
        here, because under POSIX, closing one drops every lock that this process holds on the file.
        """
        if self.path.exists():
            return
        try:
            descriptor, other_name = tempfile.mkstemp(prefix=".apcore-", dir=self.path.parent)
            try:
                os.fchmod(descriptor, 0o600)
                os.close(descriptor)
                with suppress(FileExistsError):  # another process created it first
                    os.link(other_name, self.path)
            finally:
                Path(other_name).unlink()
        except OSError as error:
            raise StoreUnavailable(f"{self.source} cannot be created: {error.strerror}") from error

    def _prepare(self, connection: sqlite3.Connection, *, writable: bool) -> None:
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            [(mode,)] = connection.execute("PRAGMA journal_mode = WAL").fetchall()
            if mode != "wal":
                raise StoreUnavailable(f"write-ahead logging is not possible here; the journal mode stays {mode!r}")
        for pragma in (
            f"synchronous = {self.synchronous}",
            "fullfsync = ON",  # macOS: without it, fsync does not reach the disk
            f"journal_size_limit = {_WAL_BYTES_KEPT}",
            "trusted_schema = OFF",
            "cache_size = -8192",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        if format_of(connection) < FORMAT:
            connection.execute("BEGIN IMMEDIATE")
            try:
                migrate(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        if not writable:
            connection.execute("PRAGMA query_only = ON").close()


def patiently(job: Callable[[], T], wait_s: float) -> T:
    """Run ``job``, and repeat it for up to ``wait_s`` while another connection holds a lock that it needs.

    Pauses are short and random, so that several processes take turns. SQLite's own handler pauses up to 100 ms, and
    lets newcomers go first.
    """
    try:
        return job()
    except sqlite3.OperationalError as error:
        if not is_busy(error) or wait_s <= 0:
            raise
    deadline = monotonic() + wait_s
    pause_s = _PAUSE_S_MIN
    while True:
        sleep(uniform(_PAUSE_S_MIN, pause_s))  # noqa: S311  # not a secret
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)
        try:
            return job()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or monotonic() >= deadline:
                raise
