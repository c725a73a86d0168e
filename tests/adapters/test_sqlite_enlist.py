"""Check writes inside a transaction of the application."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from itertools import count

import pytest

from apcore.adapters.sqlite import SqliteStore
from apcore.errors import ContractError, QueueUnavailable, StoreBusy, StoreUnavailable
from apcore.ports import AtomicStore, Check, DeleteEntry, Done, Increment, Message, Put, Retry
from apcore.testing.atomic import atomic_checks
from apcore.testing.queue import queue_checks
from apcore.testing.store import store_checks

TOKEN = bytes(16)
OTHER = b"x" * 16
A, B, N = ("a",), ("b",), ("n",)
MESSAGE = Message(TOKEN, "lane", b"body", group="g", dedup="d")


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "site.db", synchronous="normal", busy_timeout_s=0.05)) as store:
        assert store.commit([], [Put(A, b"1")], token=TOKEN)
        yield store


@pytest.fixture
def site(store):
    """Open the application's connection, with settings of its own."""
    with closing(sqlite3.connect(store.path, timeout=0)) as connection:
        connection.execute("CREATE TABLE article (title TEXT)")
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def articles(store):
    with closing(sqlite3.connect(store.path)) as connection:
        return connection.execute("SELECT title FROM article").fetchall()


def value(store, key):
    [entry] = store.get([key])
    return entry and entry.value


def call_every_method(tx):
    """Call each writing method once; return the remaining lease."""
    assert tx.commit(
        [Check(A, TOKEN), Check(B, None)],
        [Put(B, bytes(2000)), Increment(N, 3), DeleteEntry(A)],
        token=OTHER,
        messages=[MESSAGE],
    )
    tx.enqueue([Message(OTHER, "lane", b"second")])
    leases = tx.lease(["lane"], limit=5, lease_s=60)
    assert [lease.message.body for lease in leases] == [b"body", b"second"]
    assert tx.extend(leases, lease_s=100) == []
    assert tx.settle([Retry(leases[0], 10)]) == []
    assert tx.settle([Done(leases[0])]) == [leases[0]]
    return leases[1]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_writes_are_committed_or_rolled_back_with_the_applications_rows(ending, store, site):
    tx: AtomicStore = store.enlist(site)
    site.execute("INSERT INTO article VALUES ('hello')")
    call_every_method(tx)
    assert site.in_transaction
    assert (value(store, A), value(store, B), store.depth(["lane"]).leased) == (
        b"1",
        None,
        0,
    )  # not visible outside the transaction yet
    getattr(site, ending)()
    if ending == "commit":
        assert articles(store) == [("hello",)]
        assert (value(store, A), value(store, B), value(store, N)) == (None, bytes(2000), b"3")
        depth = store.depth(["lane"])
        assert (depth.ready, depth.delayed, depth.leased) == (0, 1, 1)
    else:
        assert articles(store) == []
        assert (value(store, A), value(store, B), value(store, N)) == (b"1", None, None)


def test_reads_see_the_writes_of_the_transaction(store, site):
    tx = store.enlist(site)
    call_every_method(tx)
    assert [entry and entry.value for entry in tx.get([A, B, N])] == [None, bytes(2000), b"3"]
    assert [entry.key for entry in tx.scan((), limit=5)] == [B, N]
    assert (tx.depth(["lane"]).delayed, tx.depth(["lane"]).leased) == (1, 1)
    assert tx.durability == store.durability
    tx.close()
    assert value(tx, N) == b"3"


def test_failed_check_writes_nothing_and_leaves_the_transaction_usable(store, site):
    tx = store.enlist(site)
    site.execute("INSERT INTO article VALUES ('kept')")
    assert not tx.commit([Check(A, OTHER)], [Put(B, b"2")], token=OTHER)
    [lease] = (tx.enqueue([MESSAGE]), tx.lease(["lane"], limit=1, lease_s=60))[1]
    assert tx.settle([Done(lease)]) == []
    assert not tx.commit([], [Put(B, b"2")], token=OTHER, settles=[Done(lease)])
    assert tx.commit([], [Put(N, b"no number")], token=OTHER)
    with pytest.raises(ContractError, match="not a counter, or beyond 64 bits"):
        tx.commit([], [Put(B, b"2"), Increment(N, 1)], token=OTHER)
    site.commit()
    assert articles(store) == [("kept",)]
    assert (value(store, A), value(store, B), value(store, N)) == (b"1", None, b"no number")


def test_failed_write_is_undone_without_the_applications_rows(store, site):
    tx = store.enlist(site)
    site.execute("INSERT INTO article VALUES ('kept')")

    def faulty(cursor, _now):
        cursor.execute("DELETE FROM apcore_entry")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tx._write(faulty)
    site.commit()
    assert articles(store) == [("kept",)]
    assert value(store, A) == b"1"


def test_full_disk_is_store_unavailable(store, site):
    tx = store.enlist(site)
    site.execute("INSERT INTO article VALUES ('kept')")
    [(pages,)] = [tuple(row) for row in site.execute("PRAGMA page_count")]
    site.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="no disk space is left"):
        tx.commit([], [Put(B, bytes(100_000))], token=OTHER)
    site.execute("PRAGMA max_page_count = 1000000")
    if site.in_transaction:  # SQLite may have rolled back the whole transaction
        site.rollback()
    assert value(store, B) is None


# --- contracts within one transaction -------------------------------------------------------------------------------


class EnlistedStore:
    """A store that makes every call in one endless transaction."""

    def __init__(self, store):
        store.get([A])
        self._connection = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")
        self._store = store
        self._tx = store.enlist(self._connection)

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
def test_enlisted_store_keeps_the_contracts(check, tmp_path):
    numbers = count()
    check(lambda clock: EnlistedStore(SqliteStore(tmp_path / f"{next(numbers)}.db", clock=clock)))


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connection", [None, "sqlite:///a.db", object()], ids=["none", "url", "other"])
def test_connection_of_another_library_is_refused(connection, store):
    with pytest.raises(ContractError, match=r"sqlite3\.Connection, not in (NoneType|str|object)"):
        store.enlist(connection)


def test_connection_without_an_open_transaction_is_refused(store, site):
    tx = store.enlist(site)
    site.commit()
    for call in (
        lambda: store.enlist(site),
        lambda: tx.get([A]),
        lambda: tx.commit([], [Put(B, b"2")], token=OTHER),
        lambda: tx.enqueue([MESSAGE]),
    ):
        with pytest.raises(ContractError, match="BEGIN IMMEDIATE"):
            call()
    assert value(store, B) is None


@pytest.mark.parametrize("name", ["other.db", ":memory:"])
def test_connection_to_another_database_is_refused(name, store, tmp_path):
    path = name if name == ":memory:" else tmp_path / name
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (x)")
        connection.execute("BEGIN")
        with pytest.raises(ContractError) as caught:
            store.enlist(connection)
    assert name in str(caught.value)
    assert str(store.path) in str(caught.value)


def test_connection_to_the_same_database_by_another_path_is_accepted(store, tmp_path):
    (tmp_path / "link.db").symlink_to(store.path)
    with closing(sqlite3.connect(os.fspath(tmp_path / "link.db"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert store.enlist(connection).commit([], [Put(B, b"2")], token=OTHER)
        connection.execute("COMMIT")
    assert value(store, B) == b"2"


def test_closed_connection_and_another_thread_are_refused(store, site):
    tx = store.enlist(site)
    errors = []

    def run_in_thread():
        for call in (lambda: tx.get([A]), lambda: store.enlist(site)):
            try:
                call()
            except ContractError as error:
                errors.append(str(error))

    thread = threading.Thread(target=run_in_thread)
    thread.start()
    thread.join()
    assert len(errors) == 2
    assert "thread" in errors[0]
    site.close()
    with pytest.raises(ContractError, match="closed"):
        store.enlist(site)
    with pytest.raises(ContractError, match="closed"):
        tx.get([A])


def test_enlist_before_the_first_use_of_the_store_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (x)")
        connection.execute("BEGIN")
        with pytest.raises(StoreUnavailable, match="use the store once"):
            SqliteStore(tmp_path / "a.db").enlist(connection)


def test_wait_in_a_transaction_is_refused(store, site):
    with pytest.raises(ContractError, match="not visible in it"):
        store.enlist(site).wait(["lane"], timeout_s=5)


@pytest.mark.parametrize("is_stale", [True, False], ids=["snapshot too old", "lock taken"])
def test_busy_write_leaves_the_transaction_usable(is_stale, store, tmp_path):
    with (
        closing(sqlite3.connect(store.path, timeout=0, isolation_level=None)) as site,
        closing(sqlite3.connect(store.path, isolation_level=None)) as other,
    ):
        site.execute("CREATE TABLE article (title)")
        site.execute("BEGIN DEFERRED")
        tx = store.enlist(site)
        assert value(tx, A) == b"1"  # takes the snapshot
        if is_stale:
            assert store.commit([], [Put(A, b"2")], token=OTHER)
        else:
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="BEGIN IMMEDIATE"):
            tx.commit([], [Put(B, b"2")], token=OTHER)
        with pytest.raises(QueueUnavailable, match="BEGIN IMMEDIATE"):
            tx.enqueue([MESSAGE])
        assert site.in_transaction
        assert value(tx, A) == b"1"
        site.execute("ROLLBACK")


def test_commit_of_the_store_is_busy_while_the_application_writes(store, site):
    with pytest.raises(StoreBusy):
        store.commit([], [Put(A, b"2")], token=OTHER)
    site.rollback()
    assert store.commit([], [Put(A, b"2")], token=OTHER)
