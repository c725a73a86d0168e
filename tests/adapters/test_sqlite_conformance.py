"""Check that the SQLite store keeps the contracts: blocking, and on event loops by its async twin."""

from __future__ import annotations

from contextlib import closing
from itertools import count

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.sqlite import AsyncSqliteStore, SqliteStore
from apcore.ports import AsyncAtomicStore, AtomicStore, Enlistable, KvStore, MessageQueue
from apcore.testing.atomic import atomic_checks
from apcore.testing.bridge import bridge
from apcore.testing.histories import run_threads
from apcore.testing.queue import queue_checks
from apcore.testing.store import store_checks


@pytest.fixture
def make(tmp_path):
    """Return a factory of stores in new files. NORMAL, because the speed of the disk is not under test."""
    numbers = count()
    return lambda clock: SqliteStore(tmp_path / f"{next(numbers)}.db", synchronous="normal", clock=clock)


@pytest.mark.parametrize("check", store_checks(examples=10), ids=str)
def test_sqlite_store_is_a_store(check, make):
    check(make)


@pytest.mark.parametrize("check", queue_checks(examples=10), ids=str)
def test_sqlite_store_is_a_queue(check, make):
    check(make)


@pytest.mark.parametrize("check", atomic_checks(examples=10), ids=str)
def test_sqlite_store_is_an_atomic_store(check, make):
    check(make)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "check", [*store_checks(examples=2), *queue_checks(examples=2), *atomic_checks(examples=2)], ids=str
)
def test_sqlite_store_keeps_the_contracts_on_event_loops(check, loop, make):
    check(bridge(make, loop))


def test_histories_of_threads_are_consistent(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db", synchronous="normal")) as store:
        report = run_threads(store, threads=4, steps=30)
    assert report.wrong == []
    assert min(report.swaps, report.claims, report.messages) > 0


def test_sqlite_store_has_the_types_of_the_ports(tmp_path):
    store = SqliteStore(tmp_path / "a.db")
    as_store: KvStore = store
    as_queue: MessageQueue = store
    as_both: AtomicStore = store
    as_enlistable: Enlistable = store
    assert as_store is as_queue is as_both is as_enlistable


def test_async_twin_has_the_type_of_the_async_port(tmp_path):
    twin: AsyncAtomicStore = SqliteStore(tmp_path / "a.db").asynchronous(AsyncioRuntime())
    assert isinstance(twin, AsyncSqliteStore)
