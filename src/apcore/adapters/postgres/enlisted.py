"""Write inside a transaction of the application: `EnlistedStore`, and `AsyncEnlistedStore` on asyncio.

The store neither commits nor rolls back. The server wakes waiting workers when the application commits. If a call
fails, PostgreSQL accepts nothing more in that transaction, so the application has to roll it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final, Self, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from apcore.adapters.postgres.calls import PostgresCalls
from apcore.adapters.postgres.failures import failure
from apcore.adapters.postgres.settings import Settings
from apcore.adapters.server_calls import ServerCall
from apcore.adapters.server_store import AsyncServerStore, ServerStore
from apcore.errors import ContractError, StoreBusy, StoreUnavailable
from apcore.ports import check_lanes

__all__ = ["AsyncEnlistedStore", "EnlistedStore"]

T = TypeVar("T")

_STATE: Final = b"""SELECT current_setting('transaction_isolation'), to_regclass(%s) IS NOT NULL,
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, true)"""

Rows = list[tuple[Any, ...]]


class EnlistedStore(ServerStore):
    """An `AtomicStore` within one open transaction. It cannot be used after that transaction."""

    def __init__(self, connection: object, settings: Settings, calls: PostgresCalls, installation: UUID) -> None:
        """See `PostgresStore.enlist`."""
        if not isinstance(connection, psycopg.Connection):
            raise ContractError(_describe_type(connection, "psycopg.Connection"))
        self._connection: psycopg.Connection[Any] = connection
        self._lock = Lock()
        self._settings = settings
        self._durability = settings.durability
        self._server_calls = self._calls = calls
        _check_status(self._connection, first=True)
        [(isolation, exists, _)] = self._execute(_STATE, (f"{settings.schema}.format",))
        _check_state(isolation, exists=exists, settings=settings)
        _check_installation(self._execute(_installation_statement(settings), ()), settings, installation)

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """Refuse to wait: the transaction would stay open.

        Raises:
            ContractError: Always.
        """
        check_lanes(lanes)
        raise ContractError(f"wait({timeout_s:g} s) is not possible inside the application's transaction")

    def close(self) -> None:
        """Do nothing: the connection belongs to the application."""

    def _ask(self, call: ServerCall[T]) -> T:
        with self._lock:  # during a call of another thread, the connection shows no open transaction
            _check_status(self._connection)
            rows = self._execute(self._calls.statement(call), call.arguments)
        return call.read(rows)

    def _execute(self, statement: bytes, arguments: Sequence[object]) -> Rows:
        # A cursor of our own: the application's factories would change statements or rows.
        cursor = psycopg.Cursor(self._connection, row_factory=tuple_row)
        try:
            with cursor:
                return cursor.execute(statement, arguments, binary=True).fetchall()
        except psycopg.Error as error:
            raise _translate(error, self._settings) from error


class AsyncEnlistedStore(AsyncServerStore):
    """An `AsyncAtomicStore` within one open transaction. It cannot be used after that transaction."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], settings: Settings, calls: PostgresCalls) -> None:
        """Use `bind`."""
        self._connection = connection
        self._lock = asyncio.Lock()
        self._settings = settings
        self._durability = settings.durability
        self._server_calls = self._calls = calls

    @classmethod
    async def bind(cls, connection: object, settings: Settings, calls: PostgresCalls, installation: UUID) -> Self:
        """Bind to an open transaction; see `PostgresStore.enlist`."""
        if not isinstance(connection, psycopg.AsyncConnection):
            raise ContractError(_describe_type(connection, "psycopg.AsyncConnection"))
        store = cls(cast("Any", connection), settings, calls)
        _check_status(store._connection, first=True)
        [(isolation, exists, _)] = await store._execute(_STATE, (f"{settings.schema}.format",))
        _check_state(isolation, exists=exists, settings=settings)
        _check_installation(await store._execute(_installation_statement(settings), ()), settings, installation)
        return store

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `EnlistedStore.wait`."""
        check_lanes(lanes)
        raise ContractError(f"wait({timeout_s:g} s) is not possible inside the application's transaction")

    async def aclose(self) -> None:
        """See `EnlistedStore.close`."""

    async def _ask(self, call: ServerCall[T]) -> T:
        async with self._lock:  # during a call of another task, the connection shows no open transaction
            _check_status(self._connection)
            rows = await self._execute(self._calls.statement(call), call.arguments)
        return call.read(rows)

    async def _execute(self, statement: bytes, arguments: Sequence[object]) -> Rows:
        cursor = psycopg.AsyncCursor(self._connection, row_factory=tuple_row)
        try:
            async with cursor:
                _ = await cursor.execute(statement, arguments, binary=True)
                return await cursor.fetchall()
        except psycopg.Error as error:
            raise _translate(error, self._settings) from error


def _installation_statement(settings: Settings) -> bytes:
    return f"SELECT installation FROM {settings.schema}.format".encode()  # noqa: S608 - a checked name


def _describe_type(connection: object, accepted: str) -> str:
    return (
        f"a PostgreSQL store enlists in a {accepted}, not in {type(connection).__module__}."
        f"{type(connection).__name__}; with SQLAlchemy, use the URL postgresql+psycopg://, and with Django, psycopg 3"
    )


def _check_status(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], *, first: bool = False) -> None:
    """Refuse a connection without a usable transaction. With autocommit off, the first statement opens one."""
    status = connection.info.transaction_status
    # ACTIVE: another thread of the application is waiting for a statement of the same transaction.
    if status in {TransactionStatus.INTRANS, TransactionStatus.ACTIVE} or (
        first and status == TransactionStatus.IDLE and not connection.autocommit
    ):
        return
    if status == TransactionStatus.INERROR:
        raise ContractError("the transaction on this connection has failed: roll it back, then enlist in a new one")
    raise ContractError(
        "no transaction is open on this connection: enlist inside `with connection.transaction():` or the like"
    )


def _check_state(isolation: str, *, exists: bool, settings: Settings) -> None:
    if isolation != "read committed":
        # REPEATABLE READ reads a snapshot from before our locks. SERIALIZABLE protects only from other transactions
        # that are SERIALIZABLE too, and the store's own are not.
        raise ContractError(
            f"the transaction is {isolation.upper()}, in which the checks of a commit would see old data: use READ "
            "COMMITTED, PostgreSQL's default"
        )
    if not exists:
        raise ContractError(f"the connection's database has no tables of apcore; the store is {settings.source}")


def _check_installation(rows: Rows, settings: Settings, installation: UUID) -> None:
    if rows != [(installation,)]:
        raise ContractError(f"the connection is to another database than the store, {settings.source}")


def _translate(error: psycopg.Error, settings: Settings) -> Exception:
    unavailable = failure(error, settings.source)
    if isinstance(unavailable, StoreBusy):
        return StoreBusy(f"{unavailable}; roll the application's transaction back and repeat it")
    return error if unavailable is None else StoreUnavailable(f"{unavailable}; roll the transaction back")
