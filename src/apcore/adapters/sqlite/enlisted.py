"""Write inside a transaction of the application.

The store neither commits nor rolls back. Each call runs in a savepoint, so a call that fails leaves the application's
work unchanged. Workers see new messages once the application has committed.
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
from apcore.ports import Durability, check_lanes

__all__ = ["EnlistedStore"]

T = TypeVar("T")


class EnlistedStore(Port):
    """An `AtomicStore` within one open transaction. It cannot be used after that transaction."""

    def __init__(self, connection: object, file: File, clock: Callable[[], float], durability: Durability) -> None:
        """See `SqliteStore.enlist`."""
        if not isinstance(connection, sqlite3.Connection):
            raise ContractError(f"an SQLite store enlists in a sqlite3.Connection, not in {type(connection).__name__}")
        self._connection = connection
        self._file = file
        self._clock = clock
        self._durability: Durability = durability
        self._cursor: sqlite3.Cursor | None = None
        # A connection may be shared by threads if its owner allows it; a cursor must not be.
        self._lock = Lock()
        self._run(lambda cursor, _: self._check_database(cursor))

    @property
    def durability(self) -> Durability:
        """Return the failures that the application's commit survives.

        This holds if its connection uses the same settings as the store.
        """
        return self._durability

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """Refuse to wait: changes of other connections are not visible while a transaction is open.

        Raises:
            ContractError: Always.
        """
        check_lanes(lanes)
        raise ContractError(
            f"wait({timeout_s:g} s) is not possible inside the application's transaction: changes "
            "of other connections are not visible in it"
        )

    def close(self) -> None:
        """Do nothing: the connection belongs to the application."""

    def read(self, work: Work[T]) -> T:
        """See `Port.read`. Reads see the transaction's own writes."""
        return self._run(work)

    # The application commits, so this cannot wake waiting workers.
    def _write(self, work: Work[T], *, wakes: bool = False) -> T:  # noqa: ARG002
        def in_savepoint(cursor: sqlite3.Cursor, now: float) -> T:
            _ = cursor.execute("SAVEPOINT apcore")
            try:
                answer = work(cursor, now)
            except BaseException:
                with suppress(sqlite3.Error):  # some failures make SQLite roll back the whole transaction
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
                    "no transaction is open on this connection: begin one with BEGIN IMMEDIATE, then enlist"
                )
            with self._lock:
                if self._cursor is None:
                    self._cursor = self._connection.cursor(sqlite3.Cursor)
                    self._cursor.row_factory = None  # the application's factory would change our rows
                return work(self._cursor, self._clock())
        except sqlite3.ProgrammingError as error:
            raise ContractError(f"the enlisted connection cannot be used here: {error}") from error
        except sqlite3.Error as error:
            unavailable = failure(error, self._file.source)
            if isinstance(unavailable, StoreBusy):
                raise StoreBusy(f"{unavailable}; begin the application's transaction with BEGIN IMMEDIATE") from error
            if unavailable is not None:
                raise unavailable from error
            raise

    def _check_database(self, cursor: sqlite3.Cursor) -> None:
        # Number 0 is "main". The name of its file is text or bytes, depending on the connection's text_factory.
        [name] = [row[2] for row in cursor.execute("PRAGMA database_list").fetchall() if row[0] == 0]
        database_path = Path(os.fsdecode(name) or ":memory:")
        if not (database_path.exists() and self._file.path.exists() and database_path.samefile(self._file.path)):
            raise ContractError(f"the connection is to {database_path}, but the store is in {self._file.path}")
        if (file_format := format_of(self._connection)) < FORMAT:
            raise StoreUnavailable(
                f"{self._file.source} is in format {file_format} of {FORMAT}: use the store once, outside of a "
                "transaction, before enlisting"
            )
