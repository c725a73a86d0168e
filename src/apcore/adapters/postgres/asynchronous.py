"""Use the PostgreSQL store on asyncio: `AsyncPostgresStore`, with connections of its own on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from apcore.adapters.postgres.calls import PostgresCalls
from apcore.adapters.postgres.connections import is_stale
from apcore.adapters.postgres.enlisted import AsyncEnlistedStore
from apcore.adapters.postgres.failures import failure, is_conflict, refusal
from apcore.adapters.server_calls import ServerCall
from apcore.adapters.server_store import AsyncServerStore
from apcore.errors import StoreBusy
from apcore.ports import AsyncAtomicStore, AsyncRuntime, check_lanes

if TYPE_CHECKING:
    from apcore.adapters.postgres.store import PostgresStore

__all__ = ["AsyncPostgresStore"]

T = TypeVar("T")

_POLL_S: Final = 1.0

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]


class AsyncPostgresStore(AsyncServerStore):
    """An `AsyncAtomicStore` for one event loop. You can go on using the `PostgresStore` in other threads."""

    def __init__(self, store: PostgresStore, calls: PostgresCalls, runtime: AsyncRuntime) -> None:
        """Bind to the event loop and the threads of ``runtime``."""
        self._store = store
        self._settings = store.settings
        self._durability = store.durability
        self._server_calls = self._calls = calls
        self._runtime = runtime
        self._places = asyncio.Semaphore(self._settings.connections_max)
        self._idle: list[AsyncConnection] = []
        self._listeners: list[AsyncConnection] = []
        self._closings = 0
        """The number of closings. A connection that was lent before the last one is closed when it comes back."""

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        check_lanes(lanes)
        deadline = time.monotonic() + timeout_s
        async with self._lent(self._listeners) as connection:
            try:
                while True:
                    due_in_s = await self._ask_on(connection, self._calls.next_due(lanes))
                    pause_s = min(_POLL_S, deadline - time.monotonic(), float("inf") if due_in_s is None else due_in_s)
                    if pause_s <= 0:
                        return
                    async for _ in connection.notifies(timeout=pause_s, stop_after=1):
                        pass
            except psycopg.Error as error:
                raise self._failure(error, changes=False) from error

    async def enlist(self, connection: object, /) -> AsyncAtomicStore:
        """Bind to the application's open transaction on a `psycopg.AsyncConnection`; see `PostgresStore.enlist`."""
        installation = await self._runtime.thread(lambda: self._store.installation, lane="port")
        return await AsyncEnlistedStore.bind(connection, self._settings, self._calls, installation)

    async def prepare(self) -> None:
        """See `PostgresStore.prepare`."""
        await self._runtime.thread(self._store.prepare, lane="port")

    async def aclose(self) -> None:
        """See `KvStore.close`. Closes the blocking store too."""
        self._closings += 1
        for connections in (self._idle, self._listeners):
            while connections:
                await connections.pop().close()
        self._store.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _ask(self, call: ServerCall[T]) -> T:
        deadline = time.monotonic() + self._settings.busy_timeout_s
        try:
            async with asyncio.timeout(self._settings.busy_timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise StoreBusy(
                f"{self._settings.source}: all {self._settings.connections_max} connections of this event loop stayed "
                f"in use for {self._settings.busy_timeout_s:g} s; nothing was written"
            ) from None
        try:
            while True:
                async with self._lent(self._idle) as connection:
                    try:
                        return await self._ask_on(connection, call)
                    except psycopg.Error as error:
                        if not is_conflict(error) or time.monotonic() >= deadline:
                            raise self._failure(error, changes=call.changes) from error
        finally:
            self._places.release()

    async def _ask_on(self, connection: AsyncConnection, call: ServerCall[T]) -> T:
        try:
            cursor = await connection.execute(self._calls.statement(call), call.arguments, binary=True)
            rows = await cursor.fetchall()
        except psycopg.Error:
            raise
        except BaseException:
            await connection.close()  # cancelled in the middle of a call
            raise
        return call.read(rows)

    def _failure(self, error: psycopg.Error, *, changes: bool) -> Exception:
        unavailable = failure(error, self._settings.source, outcome="unknown" if changes else "nothing")
        return error if unavailable is None else unavailable

    # --- connections --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _lent(self, connections: list[AsyncConnection]) -> AsyncGenerator[AsyncConnection, None]:
        closings = self._closings
        listens = connections is self._listeners
        while connections and not listens and is_stale(connections[-1]):
            await connections.pop().close()
        connection = connections.pop() if connections else await self._open(listens=listens)
        try:
            yield connection
        finally:
            if closings == self._closings and not connection.closed:
                connections.append(connection)
            else:
                await connection.close()

    async def _open(self, *, listens: bool) -> AsyncConnection:
        _ = await self._runtime.thread(lambda: self._store.installation, lane="port")
        try:
            connection = await psycopg.AsyncConnection.connect(self._settings.connection_string, autocommit=True)
        except psycopg.Error as error:
            raise refusal(error, self._settings.source) from error
        try:
            _ = await connection.execute(self._settings.session_statement)
            if listens:
                _ = await connection.execute(f"LISTEN {self._settings.schema}".encode())
        except psycopg.Error as error:
            await connection.close()
            raise self._failure(error, changes=False) from error
        return connection
