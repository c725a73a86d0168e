"""Check transactions of the application that the PostgreSQL store takes part in, by each library that opens them."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import IsolationLevel

from apcore import AsyncNode, Federation, Node
from apcore.adapters.sqlite import SqliteStore
from apcore.errors import ContractError, StoreBusy
from apcore.ports import Check, Done, Increment, Message, Put
from apcore.testing.atomic import atomic_checks
from apcore.testing.queue import queue_checks
from apcore.testing.store import store_checks
from apcore.vocab import Note, Person
from host_transactions import ASYNC_TRANSACTIONS, TRANSACTIONS, django_transaction

A, B = ("a",), ("b",)
ORIGIN = "https://local.example"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"

federation: Federation[None] = Federation(software="site/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None


@pytest.fixture
def site(postgres_server):
    """Return a store, its URL, and the name of a table of the application's in the same database."""
    url = postgres_server.new_url()
    store = postgres_server.open(url)
    store.prepare()
    table = f"article_{store.settings.schema}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (title text)")
    yield SimpleNamespace(
        store=store,
        url=url,
        insert=f"INSERT INTO {table} VALUES ('hello')",
        dsn={"host": str(postgres_server.folder), "user": "site", "dbname": "site"},
        alias=store.settings.schema,
        sqlalchemy_url=f"postgresql+psycopg://site@/site?host={postgres_server.folder}",
        titles=lambda: _rows(postgres_server, f"SELECT title FROM {table}"),
    )
    store.close()


def _rows(server, query):
    with server.connect(autocommit=True) as connection:
        return connection.execute(query).fetchall()


class _RolledBackError(Exception):
    """Ends a transaction."""


def _roll_back(*, unless):
    if not unless:
        raise _RolledBackError


# --- both or neither, by each library -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_committed", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("library", TRANSACTIONS)
def test_row_and_post_are_stored_together_or_not_at_all(library, is_committed, site):
    with Node(federation, ORIGIN, site.store) as node:
        ident = None
        try:
            with TRANSACTIONS[library](site) as (connection, execute):
                execute(site.insert)
                with node.enlist(connection) as tx:
                    ident = tx.publish(Note(content="hi"), by="alice", to=PUBLIC)
                _roll_back(unless=is_committed)
        except _RolledBackError:
            pass
        assert site.titles() == ([("hello",)] if is_committed else [])
        document = node.handle(_get(ident))
        assert document.status == (200 if is_committed else 404)


@pytest.mark.parametrize("is_committed", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("library", ASYNC_TRANSACTIONS)
def test_row_and_post_on_asyncio_are_stored_together_or_not_at_all(library, is_committed, site):
    async def main():
        async with AsyncNode(federation, ORIGIN, site.url) as node:
            ident = None
            try:
                async with ASYNC_TRANSACTIONS[library](site) as (connection, execute):
                    await execute(site.insert)
                    async with node.enlist(connection) as tx:
                        ident = await tx.publish(Note(content="hi"), by="alice", to=PUBLIC)
                    _roll_back(unless=is_committed)
            except _RolledBackError:
                pass
            assert site.titles() == ([("hello",)] if is_committed else [])
            document = await node.handle(_get(ident))
            assert document.status == (200 if is_committed else 404)

    asyncio.run(main())


def _get(ident):
    from apcore.http import Request

    return Request("GET", ident, headers=(("accept", "application/activity+json"),))


def test_workers_are_woken_by_the_applications_commit(site):
    message = Message(bytes(16), "lane", b"")
    with psycopg.connect(**site.dsn) as connection:
        with connection.transaction():
            tx = site.store.enlist(connection)
            assert tx.commit([], [Put(A, b"1")], token=bytes(16), messages=[message])
            assert site.store.lease(["lane"], limit=1, lease_s=60) == []
        [leased] = site.store.lease(["lane"], limit=1, lease_s=60)
        assert leased.message == message


# --- contracts within one transaction -------------------------------------------------------------------------------


class EnlistedStore:
    """A store that makes every call in one endless transaction."""

    def __init__(self, server, clock):
        self._store = server.open(server.new_url(), clock)
        self._connection = server.connect()
        self._store.prepare()
        self._tx = self._store.enlist(self._connection)

    def __getattr__(self, name):
        return getattr(self._tx, name)

    def close(self):
        self._connection.close()
        self._store.close()


_WAITS_OR_CLOSES = {
    "agrees_with_the_model",
    "an_enqueueing_commit_wakes",
    "attempts_are_counted_before",
    "closing_is_not_the_end",
    "lost_answers_are_recovered",
    "waiting_ends",
}


@pytest.mark.parametrize(
    "check",
    [check for check in (*store_checks(), *queue_checks(), *atomic_checks()) if check.name not in _WAITS_OR_CLOSES],
    ids=str,
)
def test_enlisted_store_keeps_the_contracts(check, postgres_server):
    check(lambda clock: EnlistedStore(postgres_server, clock))


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connection", [None, "postgresql://", object()], ids=["none", "url", "other"])
def test_connection_of_another_library_is_refused(connection, site):
    with pytest.raises(ContractError, match=r"psycopg\.Connection, not in builtins\.(NoneType|str|object)"):
        site.store.enlist(connection)


def test_connection_without_a_transaction_is_refused(site):
    with psycopg.connect(**site.dsn, autocommit=True) as connection:
        with pytest.raises(ContractError, match="no transaction is open"):
            site.store.enlist(connection)
        with connection.transaction():
            tx = site.store.enlist(connection)
        with pytest.raises(ContractError, match="no transaction is open"):
            tx.commit([], [Put(A, b"1")], token=bytes(16))


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
def test_transaction_with_an_old_snapshot_is_refused(level, site):
    with psycopg.connect(**site.dsn) as connection:
        connection.isolation_level = level
        with pytest.raises(ContractError, match=r"(REPEATABLE READ|SERIALIZABLE).*use READ COMMITTED"):
            site.store.enlist(connection)


def test_failed_transaction_is_refused(site):
    with psycopg.connect(**site.dsn) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        with pytest.raises(ContractError, match="has failed: roll it back"):
            site.store.enlist(connection)


def test_connection_to_another_installation_is_refused(site, postgres_server):
    with closing(postgres_server.open(postgres_server.new_url())) as other, psycopg.connect(**site.dsn) as connection:
        other.prepare()
        connection.execute(f"UPDATE {site.store.settings.schema}.format SET installation = gen_random_uuid()")
        with pytest.raises(ContractError, match="another database"):
            site.store.enlist(connection)


def test_connection_to_a_database_without_tables_is_refused(site, postgres_server):
    with (
        postgres_server.connect(user="admin", dbname="postgres") as connection,
        pytest.raises(ContractError, match="no tables of apcore"),
    ):
        site.store.enlist(connection)


def test_wait_in_a_transaction_is_refused(site):
    with psycopg.connect(**site.dsn) as connection:
        tx = site.store.enlist(connection)
        with pytest.raises(ContractError, match="not possible inside"):
            tx.wait(["lane"], timeout_s=5)
        assert tx.close() is None
        assert tx.durability == site.store.durability


def test_failed_check_leaves_the_transaction_usable(site):
    with psycopg.connect(**site.dsn) as connection:
        tx = site.store.enlist(connection)
        connection.execute(site.insert)
        assert tx.commit([], [Put(A, b"text")], token=bytes(16))
        assert not tx.commit([Check(B, bytes(16))], [Put(B, b"1")], token=os.urandom(16))
        with pytest.raises(ContractError, match="not a counter"):
            tx.commit([], [Increment(A, 1)], token=os.urandom(16))
        tx.enqueue([Message(bytes(16), "lane", b"")])
        [leased] = tx.lease(["lane"], limit=1, lease_s=60)
        assert tx.settle([Done(leased)]) == []
        assert tx.settle([Done(leased)]) == [leased]
        connection.commit()
    assert site.titles() == [("hello",)]


def test_held_key_is_busy_and_says_what_to_do(site):
    with psycopg.connect(**site.dsn) as first, psycopg.connect(**site.dsn) as second:
        assert site.store.enlist(first).commit([], [Put(A, b"1")], token=bytes(16))
        second.execute("SET lock_timeout = '20ms'")
        with pytest.raises(StoreBusy, match="roll the application's transaction back"):
            site.store.enlist(second).commit([], [Put(A, b"2")], token=os.urandom(16))


def test_django_connection_without_atomic_is_refused(site):
    with Node(federation, ORIGIN, site.store) as node:
        with django_transaction(site) as (connection, _):
            pass
        with pytest.raises(ContractError, match="atomic"), node.enlist(connection):
            pytest.fail("enlisted without a transaction")


# --- SQLite on an event loop ----------------------------------------------------------------------------------------


def test_async_node_enlists_in_a_sqlite_connection(tmp_path):
    import sqlite3

    async def main(is_committed):
        store = SqliteStore(tmp_path / f"{is_committed}.db")
        async with AsyncNode(federation, ORIGIN, store) as node:
            await node.run(_touch())
            with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                async with node.enlist(connection) as tx:
                    ident = await tx.publish(Note(content="hi"), by="alice", to=PUBLIC)
                connection.execute("COMMIT" if is_committed else "ROLLBACK")
            assert (await node.handle(_get(ident))).status == (200 if is_committed else 404)
        store.close()

    def _touch():
        from apcore.effects import Get

        yield Get((A,))

    asyncio.run(main(True))
    asyncio.run(main(False))
