"""Writing inside a transaction of the application's own.

It neither commits nor rolls back. Each call stands in a savepoint, so one that fails leaves the application's work as it was; whoever waits for
messages sees them when the application has committed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

from apcore.adapters.sqlite.failures import failure
from apcore.adapters.sqlite.files import File
from apcore.adapters.sqlite.groupcommit import Work
from apcore.adapters.sqlite.port import Port
from apcore.adapters.sqlite.schema import FORMAT, format_of
from apcore.errors import ContractError, StoreBusy, StoreUnavailable
from apcore.ports import Durability, checked_lanes

__all__ = ["EnlistedStore"]

T = TypeVar("T")


class EnlistedStore(Port):
    """An `AtomicStore` within one open transaction; of no use after it."""

    def __init__(self, connection: object, file: File, clock: Callable[[], float], durability: Durability) -> None:
        """As `SqliteStore.enlist`."""
        if not isinstance(connection, sqlite3.Connection):
            raise ContractError(f"an SQLite store enlists in a sqlite3.Connection, not in {type(connection).__name__}")
        self._connection = connection
        self._file = file
        self._clock = clock
        self._durability: Durability = durability
        self._cursor: sqlite3.Cursor | None = None
        # A connection may be shared by threads, if its owner says so; a cursor must not be.
        self._lock = Lock()
        self._run(lambda cursor, _: self._check_database(cursor))

    @property
    def durability(self) -> Durability:
        """What the application's commit survives, if its connection is as careful as the store's own."""
        return self._durability

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """Refuse: while a transaction is open, nothing that others do can be seen in it.

        Raises:
            ContractError: Always.
        """
        checked_lanes(lanes)
        raise ContractError(f"wait({timeout_s:g} s) inside the application's transaction would only hold it open")

    def close(self) -> None:
        """Do nothing: the connection is the application's."""

    def read(self, work: Work[T]) -> T:
        """As `Port.read`: the transaction's own writes are seen."""
        return self._run(work)

    def _write(self, work: Work[T], *, wakes: bool = False) -> T:  # noqa: ARG002  # the commit is not ours, so neither is the news
        def in_savepoint(cursor: sqlite3.Cursor, now: float) -> T:
            _ = cursor.execute("SAVEPOINT apcore")
            try:
                answer = work(cursor, now)
            except BaseException:
                with suppress(sqlite3.Error):  # on some failures the engine has already rolled everything back
                    _ = cursor.execute("ROLLBACK TO apcore")
                    _ = cursor.execute("RELEASE apcore")
                raise
            _ = cursor.execute("RELEASE apcore")
            return answer

        return self._run(in_savepoint)

    def _run(self, work: Work[T]) -> T:
        try:
            if not self._connection.in_transaction:
                raise ContractError(
                    "no transaction is open on this connection: begin one, by BEGIN IMMEDIATE, and enlist then"
                )
            with self._lock:
                if self._cursor is None:
                    self._cursor = self._connection.cursor(sqlite3.Cursor)
                    self._cursor.row_factory = None  # the application's would shape our rows
                return work(self._cursor, self._clock())
        except sqlite3.ProgrammingError as error:
            raise ContractError(f"the enlisted connection cannot be used here: {error}") from error
        except sqlite3.Error as error:
            unavailable = failure(error, self._file.source)
            if isinstance(unavailable, StoreBusy):
                raise StoreBusy(f"{unavailable}; begin the application's transaction by BEGIN IMMEDIATE") from error
            if unavailable is not None:
                raise unavailable from error
            raise

    def _check_database(self, cursor: sqlite3.Cursor) -> None:
        # Number 0 is "main"; the name of its file comes as text or bytes, as the application's connection likes it.
        [name] = [row[2] for row in cursor.execute("PRAGMA database_list").fetchall() if row[0] == 0]
        theirs = Path(os.fsdecode(name) or ":memory:")
        if not (theirs.exists() and self._file.path.exists() and theirs.samefile(self._file.path)):
            raise ContractError(f"the connection is to {theirs}, and the store is in {self._file.path}")
        if (found := format_of(self._connection)) < FORMAT:
            raise StoreUnavailable(
                f"{self._file.source} is in format {found} of {FORMAT}: use the store once, outside of a transaction, before enlisting"
            )
