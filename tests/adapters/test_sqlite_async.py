"""Check the async twin of the SQLite store: the calls on the loop, and those in threads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from time import monotonic

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.sqlite import SqliteStore
from apcore.adapters.sqlite.readers import WouldWait
from apcore.errors import StoreBusy
from apcore.ports import Increment, Message, Put

A = ("a",)


class CountingRuntime(AsyncioRuntime):
    """A runtime that records the lane of each job in a thread."""

    def __init__(self):
        super().__init__()
        self.lanes = []

    async def thread(self, job, /, *, lane):
        self.lanes.append(lane)
        return await super().thread(job, lane=lane)


@asynccontextmanager
async def open_twin(path, **options):
    runtime = CountingRuntime()
    twin = SqliteStore(path, synchronous="normal", **options).asynchronous(runtime)
    yield twin, runtime
    await twin.aclose()


def test_only_the_first_read_runs_in_a_thread(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, runtime):
            assert store.durability == "process"
            assert await store.get([A]) == [None]
            assert runtime.lanes == ["port"]  # to open the file
            assert await store.commit([], [Put(A, b"1")], token=bytes(16))
            assert runtime.lanes == ["port", "port"]
            for _ in range(3):
                [entry] = await store.get([A])
                assert entry.value == b"1"
                assert await store.scan((), limit=1) == [entry]
            assert runtime.lanes == ["port", "port"]

    asyncio.run(main())


def test_read_without_an_idle_connection_runs_in_a_thread(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, runtime):
            await store.get([A])
            readers = store._store._opened.readers
            cursor = readers.take()  # as another thread in the midst of reading
            assert await store.get([A]) == [None]
            assert len(runtime.lanes) == 2
            readers.give_back(cursor)
            await store.get([A])
            assert len(runtime.lanes) == 2

    asyncio.run(main())


def test_locked_database_is_busy_after_a_wait_in_a_thread(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db", busy_timeout_s=0.02) as (store, runtime):
            await store.get([A])
            with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
                other.execute("PRAGMA locking_mode = EXCLUSIVE")
                assert await store.get([A]) == [None]
                store._store.close()
                other.execute("BEGIN EXCLUSIVE")
                jobs_before = len(runtime.lanes)
                with pytest.raises(StoreBusy):
                    await store.get([A])
                assert len(runtime.lanes) == jobs_before + 1
                other.execute("COMMIT")

    asyncio.run(main())


def test_read_of_a_locked_database_does_not_wait_on_the_loop(tmp_path):
    with (
        closing(SqliteStore(tmp_path / "a.db", busy_timeout_s=60)) as store,
        closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other,
    ):
        assert store.get([A]) == [None]
        other.execute("BEGIN IMMEDIATE")

        def locked(cursor, _now):
            # A reader meets a lock only while another process recovers the log. This lock can be taken at will.
            cursor.execute("PRAGMA query_only = OFF")
            cursor.execute("BEGIN IMMEDIATE")

        with pytest.raises(WouldWait):
            store.read_at_once(locked)


def test_tasks_share_transactions(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, runtime):
            await store.commit([], [Increment(A, 1)], token=bytes(16))
            blocking, writer = store._store, store._store._opened.writer
            statements = []
            writer._cursor.connection.set_trace_callback(statements.append)
            started, may_end = threading.Event(), threading.Event()

            def hold(_cursor, _now):
                started.set()
                return may_end.wait(60)

            holder = asyncio.create_task(runtime.thread(lambda: blocking._write(hold), lane="port"))
            while not started.is_set():  # noqa: ASYNC110  # before the others, or one of them might lead
                await asyncio.sleep(0)
            adds = [store.commit([], [Increment(A, 1)], token=os.urandom(16)) for _ in range(20)]
            all_tasks = asyncio.gather(holder, *adds)
            while len(writer._waiting) < 20:  # noqa: ASYNC110  # the threads set no event
                await asyncio.sleep(0)
            may_end.set()
            assert all(await all_tasks)
            [entry] = await store.get([A])
            assert entry.value == b"21"
            assert statements.count("COMMIT") == 1

    asyncio.run(main())


def test_wait_is_ended_by_a_commit(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            waiting = asyncio.create_task(store.wait(["lane"], timeout_s=300))
            await asyncio.sleep(0)
            assert await store.commit([], [], token=bytes(16), messages=[Message(bytes(16), "lane", b"")])
            await asyncio.wait_for(waiting, 60)

    asyncio.run(main())


def test_cancelled_wait_releases_its_thread_soon(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            await store.get([A])
            start = monotonic()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.wait(["lane"], timeout_s=300), 0.01)
            while store._store._waiters:  # noqa: ASYNC110  # the thread sets no event
                await asyncio.sleep(0)
            assert monotonic() - start < 60
            start = monotonic()
            await store.wait(["lane"], timeout_s=0.03)
            assert 0.03 <= monotonic() - start < 60

    asyncio.run(main())
