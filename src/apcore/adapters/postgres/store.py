"""Keep store and queue in one PostgreSQL database, for any number of processes and machines: `PostgresStore`.

- Each call is one function of the server, in one transaction, and so one round trip.
- Tables and functions are in a schema of their own, and are created and migrated on first use.
- The clock is the server's, so the clocks of the machines need not agree.
- Workers that wait listen to one channel of the server, and also look once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.postgres.asynchronous import AsyncPostgresStore
from apcore.adapters.postgres.calls import PostgresCalls
from apcore.adapters.postgres.connections import Connection, Connections
from apcore.adapters.postgres.enlisted import EnlistedStore
from apcore.adapters.postgres.failures import failure, is_conflict
from apcore.adapters.postgres.migration import FORMAT, check_server, migrate, read_installation
from apcore.adapters.postgres.settings import Settings
from apcore.adapters.server_calls import ServerCall
from apcore.adapters.server_store import ServerStore
from apcore.drivers.threaded_ports import threaded_store
from apcore.ports import AsyncAtomicStore, AsyncRuntime, AtomicStore, check_lanes

__all__ = ["PostgresStore"]

T = TypeVar("T")

_LISTENERS_MAX: Final = 64
_POLL_S: Final = 1.0


class PostgresStore(ServerStore):
    """An `AtomicStore` in a PostgreSQL database. Opens on first use; safe with threads and across ``os.fork``."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] | None = None) -> None:
        """Bind to a database. ``clock`` replaces the server's clock, in tests."""
        self.settings: Final = settings
        self._durability = settings.durability
        self._server_calls = self._calls = PostgresCalls(settings.schema, clock)
        self._connections = Connections(settings, prepare=self._prepare, connections_max=settings.connections_max)
        self._listeners = Connections(settings, prepare=self._listen, connections_max=_LISTENERS_MAX, listens=True)
        self._preparing = Lock()
        self._installation: UUID | None = None

    def __repr__(self) -> str:
        return f"PostgresStore({self.settings.source!r})"

    def prepare(self) -> None:
        """Connect, check the server, and bring the tables up to date. Later calls only connect.

        Raises:
            ConfigurationError: The server, its settings or the user's rights are not suitable, or the tables are in a
                newer format.
            StoreUnavailable: The server cannot be reached.
        """
        with self._lent(self._connections):
            pass

    @property
    def newest_format(self) -> int:
        """Return the format that `prepare` brings the tables to."""
        return FORMAT

    def stored_format(self) -> int:
        """Return the format of the tables, and change nothing; 0 if there are no tables yet."""
        connections = Connections(self.settings, prepare=lambda _: None, connections_max=1)
        try:
            with self._lent(connections) as connection:
                installation = read_installation(connection, self.settings.schema)
        finally:
            connections.close()
        return 0 if installation is None else installation[0]

    @property
    def installation(self) -> UUID:
        """Return the random name of the installation in the database."""
        if self._installation is None:
            self.prepare()
        assert self._installation is not None
        return self._installation

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. Blocks the calling thread."""
        check_lanes(lanes)
        deadline = time.monotonic() + timeout_s
        with self._lent(self._listeners) as connection:
            while True:
                due_in_s = self._ask_on(connection, self._calls.next_due(lanes))
                pause_s = min(_POLL_S, deadline - time.monotonic(), float("inf") if due_in_s is None else due_in_s)
                if pause_s <= 0:
                    return
                try:
                    for _ in connection.notifies(timeout=pause_s, stop_after=1):
                        pass
                except psycopg.Error as error:
                    raise self._failure(error, self._calls.next_due(lanes)) from error

    def enlist(self, connection: object, /) -> AtomicStore:
        """Bind to the application's open transaction on ``connection``, a `psycopg.Connection` to the same database.

        The transaction must be READ COMMITTED, PostgreSQL's default.
        """
        return EnlistedStore(connection, self.settings, self._calls, self.installation)

    def close(self) -> None:
        """See `KvStore.close`."""
        self._connections.close()
        self._listeners.close()

    def asynchronous(self, runtime: AsyncRuntime, /) -> AsyncAtomicStore:
        """Return the twin of this store for event loops.

        On asyncio it has connections of its own, on the loop. On trio, which psycopg does not know, it calls this store
        in threads.
        """
        if isinstance(runtime, AsyncioRuntime):
            return AsyncPostgresStore(self, self._calls, runtime)
        return threaded_store(self, runtime)

    # --- calls --------------------------------------------------------------------------------------------------------

    def _ask(self, call: ServerCall[T]) -> T:
        deadline = time.monotonic() + self.settings.busy_timeout_s
        while True:
            with self._lent(self._connections) as connection:
                try:
                    return self._ask_on(connection, call, deadline=deadline)
                except _Conflict:
                    continue

    def _ask_on(self, connection: Connection, call: ServerCall[T], *, deadline: float = 0.0) -> T:
        try:
            rows = connection.execute(self._calls.statement(call), call.arguments, binary=True).fetchall()
        except psycopg.Error as error:
            if is_conflict(error) and time.monotonic() < deadline:
                raise _Conflict from error
            raise self._failure(error, call) from error
        except BaseException:
            connection.close()  # in the middle of a call
            raise
        return call.read(rows)

    def _failure(self, error: psycopg.Error, call: ServerCall[Any]) -> Exception:
        unavailable = failure(error, self.settings.source, outcome="unknown" if call.changes else "nothing")
        return error if unavailable is None else unavailable

    @contextmanager
    def _lent(self, connections: Connections) -> Generator[Connection, None, None]:
        connection = connections.take()
        try:
            yield connection
        finally:
            connections.give_back(connection)

    # --- new connections ----------------------------------------------------------------------------------------------

    def _prepare(self, connection: Connection) -> None:
        if self._installation is None:
            with self._preparing:
                check_server(connection, self.settings)
                _, self._installation = migrate(connection, self.settings)

    def _listen(self, connection: Connection) -> None:
        self._prepare(connection)
        _ = connection.execute(f"LISTEN {self.settings.schema}".encode())


class _Conflict(Exception):
    """The server gave this transaction up for another one."""
