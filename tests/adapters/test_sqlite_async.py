"""Check the async twin of the SQLite store: the calls on the loop, and those in threads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from time import monotonic

import pytest
from attrs import evolve

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.sqlite import SqliteStore
from apcore.adapters.sqlite.changes import POLL_S_MAX, POLL_S_MIN, PollPace
from apcore.adapters.sqlite.groupcommit import GROUP_MAX
from apcore.adapters.sqlite.readers import WouldWait
from apcore.errors import ContractError, QueueUnavailable, StoreBusy, StoreUnavailable
from apcore.ports import Check, Increment, Message, Put

A = ("a",)
OTHER = b"x" * 16


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


class HeldStore:
    """A twin whose writing connection is held by a work that waits in a thread."""

    def __init__(self, store, runtime):
        self.store, self.runtime = store, runtime
        self.batches = store._batches
        self.statements = []
        self._may_end = threading.Event()

    async def hold(self):
        started = threading.Event()

        def work(_cursor, _now):
            started.set()
            assert self._may_end.wait(60)

        writer = self.store._store._opened.writer
        writer._cursor.connection.set_trace_callback(self.statements.append)
        self._holder = asyncio.create_task(asyncio.to_thread(lambda: self.store._store._write(work)))
        await until(started.is_set)
        self.runtime.lanes.clear()

    async def release(self):
        self._may_end.set()
        await self._holder

    def add(self, key=A):
        return asyncio.create_task(self.store.commit([], [Increment(key, 1)], token=os.urandom(16)))

    async def count(self, key=A):
        [entry] = await self.store.get([key])
        return 0 if entry is None else int(entry.value)

    @property
    def waiting(self):
        return len(self.batches._waiting)

    @property
    def has_submitted(self):
        return bool(self.store._store._opened.writer._waiting)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # threads set no event of the loop
            await asyncio.sleep(0)


@asynccontextmanager
async def open_held(path):
    async with open_twin(path) as (store, runtime):
        await store.commit([], [], token=bytes(16))
        held_store = HeldStore(store, runtime)
        await held_store.hold()
        yield held_store


def test_tasks_share_threads_and_transactions(tmp_path):
    async def main():
        async with open_held(tmp_path / "a.db") as held_store:
            adds = [held_store.add() for _ in range(20)]
            await until(lambda: held_store.waiting == 19 and held_store.has_submitted)
            await held_store.release()
            assert all(await asyncio.gather(*adds))
            assert held_store.runtime.lanes == ["port", "port"]  # one for the first task, one for all others
            assert await held_store.count() == 20
            assert held_store.statements.count("COMMIT") == 2

    asyncio.run(main())


def test_batch_beyond_the_largest_group_takes_several_transactions(tmp_path):
    async def main():
        async with open_held(tmp_path / "a.db") as held_store:
            adds = [held_store.add() for _ in range(2 * GROUP_MAX + 2)]
            await until(lambda: held_store.waiting == 2 * GROUP_MAX + 1)
            await held_store.release()
            assert all(await asyncio.gather(*adds))
            assert len(held_store.runtime.lanes) == 4
            assert await held_store.count() == 2 * GROUP_MAX + 2

    asyncio.run(main())


def test_refused_and_failing_writes_do_not_affect_the_others_of_their_batch(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, runtime):
            await store.commit([], [Put(("text",), b"no number")], token=bytes(16))
            held_store = HeldStore(store, runtime)
            await held_store.hold()
            first = held_store.add()
            refused = asyncio.create_task(store.commit([Check(A, OTHER)], [Put(A, b"9")], token=os.urandom(16)))
            failing = held_store.add(("text",))
            last = held_store.add()
            await until(lambda: held_store.waiting == 3)
            await held_store.release()
            assert await first
            assert await last
            assert not await refused
            with pytest.raises(ContractError, match="not a counter"):
                await failing
            assert await held_store.count() == 2

    asyncio.run(main())


def test_write_of_a_task_that_was_cancelled_while_it_waited_is_not_committed(tmp_path):
    async def main():
        async with open_held(tmp_path / "a.db") as held_store:
            first, cancelled, last = (held_store.add((name,)) for name in ("first", "cancelled", "last"))
            await until(lambda: held_store.waiting == 2)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await held_store.release()
            assert await first
            assert await last
            counts = [await held_store.count((name,)) for name in ("first", "cancelled", "last")]
            assert counts == [1, 0, 1]

    asyncio.run(main())


@pytest.mark.parametrize("cancellations", [1, 2], ids=["waiting-for-the-batch", "not-waiting-for-it"])
def test_tasks_behind_a_cancelled_leader_get_their_results(tmp_path, cancellations):
    async def main():
        async with open_held(tmp_path / "a.db") as held_store:
            leader = held_store.add()
            await until(lambda: held_store.has_submitted)
            behind = [held_store.add() for _ in range(3)]
            await until(lambda: held_store.waiting == 3)
            for _ in range(cancellations):
                assert not leader.done()  # the first cancellation waits for a call that has begun
                leader.cancel()
                for _ in range(3):
                    await asyncio.sleep(0)
            assert leader.done() == (cancellations == 2)
            await held_store.release()
            with pytest.raises(asyncio.CancelledError):
                await leader
            assert all(await asyncio.gather(*behind))
            assert await held_store.count() == 4
            assert await held_store.store.commit([], [], token=bytes(16))  # the lead is free again

    asyncio.run(main())


@pytest.mark.parametrize("cancellations", [1, 2])
def test_followers_in_the_batch_of_a_cancelled_leader_get_their_results(tmp_path, cancellations):
    async def main():
        async with open_held(tmp_path / "a.db") as held_store:
            writes = held_store.batches
            first = held_store.add()
            await until(lambda: held_store.runtime.lanes == ["port"])
            leader, *followers = (held_store.add() for _ in range(4))
            await until(lambda: held_store.waiting == 4)
            started, may_end = threading.Event(), threading.Event()

            def write_all(works):
                started.set()
                assert may_end.wait(60)
                return held_store.store._store.write_all(works)

            writes._write_all = write_all
            await held_store.release()
            assert await first
            await until(started.is_set)
            for _ in range(cancellations):
                leader.cancel()
                await asyncio.sleep(0)
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await leader
            assert all(await asyncio.gather(*followers))
            assert await held_store.count() == 5
            assert writes._is_led is False

    asyncio.run(main())


def test_batch_that_has_not_begun_is_left_to_the_next_leader(tmp_path):
    async def main():
        runtime = AsyncioRuntime(port_threads_max=1)
        store = SqliteStore(tmp_path / "a.db", synchronous="normal").asynchronous(runtime)
        await store.commit([], [], token=bytes(16))
        may_end = threading.Event()
        blocker = asyncio.create_task(runtime.thread(lambda: may_end.wait(60), lane="port"))
        await asyncio.sleep(0)
        leader, follower = (
            asyncio.create_task(store.commit([], [Increment(A, 1)], token=os.urandom(16))) for _ in range(2)
        )
        await until(lambda: len(store._batches._waiting) == 1)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        may_end.set()
        assert await blocker
        assert await follower
        [entry] = await store.get([A])
        assert entry.value == b"1"
        await store.aclose()

    asyncio.run(main())


def test_failure_of_the_file_reaches_every_task(tmp_path):
    async def main():
        missing = tmp_path / "missing"
        store = SqliteStore(missing / "a.db").asynchronous(AsyncioRuntime())
        writes = [store.commit([], [], token=os.urandom(16)) for _ in range(3)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        with pytest.raises(QueueUnavailable):
            await store.enqueue([message()])

    asyncio.run(main())


def message():
    return Message(os.urandom(16), "lane", b"")


def test_commit_on_the_same_loop_ends_a_wait_without_a_thread(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, runtime):
            await store.wait(["lane"], timeout_s=0.001)  # opens the connections
            waiting = asyncio.create_task(store.wait(["lane"], timeout_s=300))
            await asyncio.sleep(0)
            runtime.lanes.clear()
            assert await store.commit([], [], token=bytes(16), messages=[message()])
            await asyncio.wait_for(waiting, 60)
            assert runtime.lanes == ["port"]  # for the commit

    asyncio.run(main())


def test_commit_of_another_store_ends_a_wait(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            with closing(SqliteStore(tmp_path / "a.db", synchronous="normal")) as other:
                waiting = asyncio.create_task(store.wait(["lane"], timeout_s=300))
                await asyncio.to_thread(other.enqueue, [message()])
                await asyncio.wait_for(waiting, 60)

    asyncio.run(main())


def test_wait_reads_the_queue_again_only_after_a_commit(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            await store.wait(["lane"], timeout_s=0.001)
            statements = []
            [cursor] = store._store._opened.readers._idle
            cursor.connection.set_trace_callback(statements.append)
            await store.wait(["lane"], timeout_s=0.2)
            assert len(statements) == 1, statements
            waiting = asyncio.create_task(store.wait(["lane"], timeout_s=300))
            # The commit must come after the first look, or it would be no change.
            await until(lambda: len(statements) == 2)
            await store.enqueue([evolve(message(), lane="other")])
            await until(lambda: len(statements) == 3)
            waiting.cancel()

    asyncio.run(main())


def test_cancelled_wait_ends_at_once(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.wait(["lane"], timeout_s=300), 0.01)
            assert not store._batches._watchers
            start = monotonic()
            await store.wait(["lane"], timeout_s=0.03)
            assert 0.03 <= monotonic() - start < 60

    asyncio.run(main())


def test_closing_the_store_ends_a_wait_and_leaves_the_file_closed(tmp_path):
    async def main():
        async with open_twin(tmp_path / "a.db") as (store, _):
            await store.wait(["lane"], timeout_s=0.001)  # opens the connections
            waiting = asyncio.create_task(store.wait(["lane"], timeout_s=300))
            await until(lambda: store._batches._watchers)
            await store.aclose()
            await asyncio.wait_for(waiting, 60)
            assert store._store._opened is None

    asyncio.run(main())


def test_looks_for_other_commits_become_rarer_up_to_a_bound():
    pace = PollPace()
    assert pace.pause_s == POLL_S_MIN
    for _ in range(100):
        pace.slow_down()
    assert pace.pause_s == POLL_S_MAX
    pace.quicken()
    assert pace.pause_s == POLL_S_MIN
