"""Check group commits: concurrent writers share a transaction, but no refusal, bug or interrupt."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import monotonic, sleep

import pytest

from apcore.adapters.sqlite import SqliteStore
from apcore.adapters.sqlite.groupcommit import _Request
from apcore.adapters.sqlite.readers import Closed
from apcore.errors import ContractError, QueueUnavailable, StoreBusy, StoreUnavailable
from apcore.ports import Check, Done, Increment, Message, Put

TOKEN = bytes(16)
OTHER = b"x" * 16
A, B, C, N = ("a",), ("b",), ("c",), ("n",)


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db", synchronous="normal")) as store:
        assert store.commit([], [], token=TOKEN)  # opens
        yield store


@contextmanager
def grouped(store, *jobs):
    """Run ``jobs`` in threads, so that one leader finds them all waiting in this order.

    Yield their futures, then the leader's.
    """
    writer = store._opened.writer
    started, may_end = threading.Event(), threading.Event()

    def lead(_cursor, _now):
        started.set()
        assert may_end.wait(60)

    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        leader = pool.submit(store._write, lead)
        assert started.wait(60)
        futures = []
        for number, job in enumerate(jobs, 1):
            futures.append(pool.submit(job))
            while len(writer._waiting) < number:
                assert not futures[-1].done(), futures[-1]
                sleep(0)
        may_end.set()
        yield [*futures, leader]


def put(store, key, value=b"1", checks=()):
    return lambda: store.commit(list(checks), [Put(key, value)], token=TOKEN)


def value(store, key):
    [entry] = store.get([key])
    return entry and entry.value


def statements(store):
    """Record the statements of the writing connection from now on."""
    trace = []
    store._opened.writer._cursor.connection.set_trace_callback(trace.append)
    return trace


def test_waiting_writers_share_one_transaction(store):
    trace = statements(store)
    with grouped(store, *(put(store, (str(number),)) for number in range(10))) as futures:
        assert [future.result(60) for future in futures[:-1]] == [True] * 10
    assert [text for text in trace if text.startswith(("BEGIN", "COMMIT", "ROLLBACK"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(store.scan((), limit=20)) == 10


@pytest.mark.parametrize(("synchronous", "commits"), [("full", 1), ("normal", 2)])
def test_late_writer_joins_the_group_if_commits_wait_for_the_disk(synchronous, commits, tmp_path, monkeypatch):
    with closing(SqliteStore(tmp_path / "a.db", synchronous=synchronous)) as store, ThreadPoolExecutor(1) as pool:
        assert put(store, A)()
        trace, writer, late_writers = statements(store), store._opened.writer, []

        def write_late(_seconds):
            late_writers.append(pool.submit(put(store, B)))
            while not writer._waiting:
                sleep(0)

        monkeypatch.setattr("apcore.adapters.sqlite.groupcommit.sleep", write_late)
        writer._crowded = True  # as after a group of several
        assert put(store, A)()
        late_writers = late_writers or [pool.submit(put(store, B))]
        assert late_writers[0].result(60)
        assert trace.count("COMMIT") == commits


def test_size_of_a_group_is_bounded(store):
    trace = statements(store)
    with grouped(store, *(put(store, (str(number),)) for number in range(70))) as futures:
        assert all(future.result(60) for future in futures[:-1])
    assert trace.count("COMMIT") == 2


def test_writer_in_a_group_sees_earlier_writes(store):
    claims = (put(store, A, value, [Check(A, None)]) for value in (b"first", b"second", b"third"))
    with grouped(store, *claims) as futures:
        assert [future.result(60) for future in futures[:-1]] == [True, False, False]
    assert value(store, A) == b"first"


def test_refused_commit_in_a_group_does_not_affect_the_others(store):
    put(store, A, b"no number")()
    put(store, N, b"9223372036854775807")()

    def add(key):
        return lambda: store.commit([], [Put(C, b"trace"), Increment(key, 1)], token=TOKEN)

    with grouped(store, put(store, B), add(A), add(N), put(store, ("d",))) as futures:
        assert futures[0].result(60) is futures[3].result(60) is True
        for future, words in ((futures[1], "no number"), (futures[2], "9223372036854775807")):
            with pytest.raises(ContractError, match=words):
                future.result(60)
    assert (value(store, B), value(store, ("d",)), value(store, C)) == (b"1", b"1", None)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
def test_bug_of_one_writer_does_not_affect_the_others(position, store):
    def faulty(cursor, _now):
        cursor.execute("DELETE FROM apcore_entry")
        cursor.execute("INSERT INTO apcore_entry (k, version) VALUES (x'00', x'00')")
        raise ZeroDivisionError("a bug")

    put(store, C)()
    jobs = [put(store, A), put(store, B)]
    jobs.insert(position, lambda: store._write(faulty))
    with grouped(store, *jobs) as futures:
        faulty_future = futures.pop(position)
        assert [future.result(60) for future in futures[:-1]] == [True, True]
        with pytest.raises(ZeroDivisionError):
            faulty_future.result(60)
    assert [entry.key for entry in store.scan((), limit=9)] == [A, B, C]


def test_repeated_job_is_answered_by_its_last_run(store):
    runs = []

    def refused_once(_cursor, _now):
        runs.append(1)
        if len(runs) == 1:
            raise ContractError("not yet")
        return "now"

    def faulty(cursor, _now):
        cursor.execute("DELETE FROM apcore_format")
        raise ZeroDivisionError

    with grouped(store, lambda: store._write(refused_once), lambda: store._write(faulty)) as futures:
        assert futures[0].result(60) == "now"
        assert isinstance(futures[1].exception(10), ZeroDivisionError)
    assert len(runs) == 2


def test_bug_of_a_single_writer_leaves_no_write_and_no_lock(store):
    def faulty(cursor, _now):
        cursor.execute("INSERT INTO apcore_entry (k, version) VALUES (x'00', x'00')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store._write(faulty)
    assert put(store, A)()
    assert len(store.scan((), limit=9)) == 1


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
def test_interrupt_of_the_leader_does_not_affect_the_others(position, store):
    """Raise Ctrl-C in the thread that works for all: the next leader repeats their work."""
    calls = []

    def interrupted(cursor, _now):
        calls.append(cursor.execute("INSERT INTO apcore_entry (k, version) VALUES (x'6e00', x'00')"))
        if len(calls) == 1:
            raise KeyboardInterrupt

    jobs = [put(store, A), put(store, B)]
    jobs.insert(position, lambda: store._write(interrupted) is None)
    with grouped(store, *jobs) as futures:
        *others, leader = futures
        assert isinstance(leader.exception(10), KeyboardInterrupt)
        assert [future.result(60) for future in others] == [True, True, True]
    assert len(calls) == 2
    assert [entry.key for entry in store.scan((), limit=9) if entry.key != N] == [A, B]


def test_interrupt_after_the_commit_keeps_the_writes(store, monkeypatch):
    def changed():
        raise KeyboardInterrupt

    monkeypatch.setattr(store._opened.writer, "_changed", changed)
    with grouped(store, put(store, A), lambda: store.enqueue([Message(TOKEN, "lane", b"")])) as futures:
        first, second, leader = futures
        assert first.result(60) is True
        assert second.result(60) is None
        assert isinstance(leader.exception(10), KeyboardInterrupt)
    monkeypatch.undo()
    assert value(store, A) == b"1"
    assert store.depth(["lane"]).ready == 1


@pytest.mark.parametrize("is_queued", [True, False], ids=["in the queue", "made leader"])
def test_interrupt_of_a_waiting_thread_leaves_no_request_in_the_queue(is_queued, store):
    writer = store._opened.writer
    request = _Request(lambda _cursor, _now: None, wakes=False, deadline=monotonic() + 60)

    class InterruptedLock:
        """A lock that raises Ctrl-C in a timed wait."""

        def acquire(self, timeout=None):
            if timeout is None:
                return True
            if not is_queued:
                writer._hand_on()
            raise KeyboardInterrupt

        def release(self):
            pass

    writer._led = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apcore.adapters.sqlite.groupcommit.Lock", InterruptedLock)
        with pytest.raises(KeyboardInterrupt):
            writer._get_the_lead(request)
    if is_queued:
        writer._hand_on()
    assert not writer._led
    assert not writer._waiting
    assert put(store, A)()


def test_failed_transaction_fails_every_writer_in_it(store):
    connection = store._opened.writer._cursor.connection
    [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    before = store.scan((), limit=9)
    jobs = (put(store, A, bytes(100_000)), put(store, B), lambda: store.enqueue([Message(TOKEN, "lane", b"")]))
    with grouped(store, *jobs) as futures:
        errors = [future.exception(10) for future in futures]
    assert [type(error) for error in errors] == [StoreUnavailable, StoreUnavailable, QueueUnavailable, StoreUnavailable]
    for error in errors:
        assert "no disk space is left" in str(error)
    assert (errors[0].outcome, errors[1].outcome) == ("nothing", "nothing")
    assert store.scan((), limit=9) == before
    assert put(store, B)()  # on a connection without that limit


# --- closing --------------------------------------------------------------------------------------------------------


def test_writer_queued_behind_a_close_uses_a_new_connection(store):
    writer = store._opened.writer
    write_late = lambda: writer.submit(lambda _cursor, _now: None, wakes=False)  # noqa: E731
    with grouped(store, put(store, A), lambda: writer.close(10), write_late) as futures:
        assert [future.result(60) for future in futures[:2]] == [True, True]
        with pytest.raises(Closed):
            futures[2].result(60)
    assert writer._cursor is None
    store._opened.readers.close(0)
    with pytest.MonkeyPatch.context() as patch:
        old_opened, open_store = store._opened, store._open

        def opened():
            store._opened = None
            patch.undo()
            return old_opened

        patch.setattr(store, "_open", opened)
        assert put(store, B)()
    assert [value(store, key) for key in (A, B)] == [b"1", b"1"]
    assert open_store() is not old_opened


def test_reader_after_a_close_uses_a_new_connection(store, monkeypatch):
    opened, old = store._open, store._opened

    def close_late():
        monkeypatch.undo()
        store.close()  # as another thread, between this one's two steps
        return old

    assert put(store, A)()
    monkeypatch.setattr(store, "_open", close_late)
    assert value(store, A) == b"1"
    assert opened() is not old
    with pytest.raises(Closed):
        old.readers.take_idle()


def test_connection_in_a_long_call_is_closed_when_the_call_ends(store, monkeypatch):
    monkeypatch.setattr("apcore.adapters.sqlite.store._CLOSE_S_MAX", 0.02)
    writer, may_end = store._opened.writer, threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(store._write, lambda _cursor, _now: may_end.wait(60))
        while not writer._led:
            sleep(0)
        store.close()
        assert writer._cursor is not None
        may_end.set()
        assert slow.result(60)
    assert writer._cursor is None
    assert put(store, A)()


# --- waiting for others ---------------------------------------------------------------------------------------------


def test_locked_file_is_busy_after_the_timeout_and_nothing_is_written(tmp_path):
    with (
        closing(SqliteStore(tmp_path / "a.db", busy_timeout_s=0.05)) as store,
        closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other,
    ):
        assert put(store, A, b"old")()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match=r"locked for 0\.05 s; nothing was written") as caught:
            put(store, A, b"new")()
        assert caught.value.outcome == "nothing"
        with pytest.raises(QueueUnavailable, match="locked"):
            store.enqueue([Message(TOKEN, "lane", b"")])
        assert value(store, A) == b"old"  # readers do not wait
        other.execute("COMMIT")
        assert put(store, A, b"newer")()


def test_follower_times_out_by_itself(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db", busy_timeout_s=0.05)) as store:
        assert put(store, A)()
        may_end = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            leader = pool.submit(store._write, lambda _cursor, _now: may_end.wait(60))
            while not store._opened.writer._led:
                sleep(0)
            store._opened.writer._let_in, let_in = lambda _group: False, store._opened.writer._let_in
            with pytest.raises(StoreBusy, match="nothing was written"):
                put(store, A, b"2")()
            store._opened.writer._let_in = let_in
            may_end.set()
            assert leader.result(60)
        assert value(store, A) == b"1"
        assert put(store, A, b"3")()


def test_writer_continues_when_another_process_releases_the_lock(tmp_path):
    with (
        closing(SqliteStore(tmp_path / "a.db")) as store,
        closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)) as other,
    ):
        assert put(store, A)()
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(put(store, A, b"2"))
            while not store._opened.writer._led:
                sleep(0)
            other.execute("COMMIT")
            assert future.result(60)


_FULL_DISK = """
import resource, sys
from pathlib import Path
from apcore.adapters.sqlite import SqliteStore
from apcore.errors import StoreUnavailable
from apcore.ports import Put
path = Path(sys.argv[1])
store = SqliteStore(path)
store.commit([], [Put(("a",), b"1")], token=bytes(16))
size = path.with_name("a.db-wal").stat().st_size
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
try:
    store.commit([], [Put(("a",), b"2")], token=bytes(16))
except StoreUnavailable as error:
    print(error.outcome, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(store.get([("a",)])[0].value)
print(store.commit([], [Put(("a",), b"3")], token=bytes(16)))
store.close()
"""


def test_commit_that_fails_in_the_file_system_has_an_unknown_outcome(tmp_path):
    program = [sys.executable, "-W", "error", "-c", _FULL_DISK, str(tmp_path / "a.db")]
    lines = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].startswith("unknown sqlite file")
    assert "file system failed" in lines[0]
    assert lines[1:] == ["b'1'", "True"]


# --- many threads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stores", [1, 3], ids=["one store", "three stores on one file"])
def test_threads_neither_lose_nor_repeat_a_commit(stores, tmp_path):
    opened = [SqliteStore(tmp_path / "a.db", synchronous="normal") for _ in range(stores)]
    claims = [[] for _ in range(6)]

    def work(number):
        store = opened[number % stores]
        for turn in range(30):
            token = os.urandom(16)
            assert store.commit([], [Increment(N, 1), Put(("mine", str(number), str(turn)), b"")], token=token)
            message = Message(token, "lane", b"")
            if store.commit(
                [Check(("claim", str(turn)), None)], [Put(("claim", str(turn)), token)], token=token, messages=[message]
            ):
                claims[number].append(turn)
            for lease in store.lease(["lane"], limit=1, lease_s=60):
                assert store.settle([Done(lease)]) == []

    with ThreadPoolExecutor(len(claims)) as pool:
        list(pool.map(work, range(len(claims))))
    assert value(opened[0], N) == b"180"
    assert len(opened[0].scan(("mine",), limit=1000)) == 180
    assert sorted(turn for turns in claims for turn in turns) == list(range(30))
    depth = opened[0].depth(["lane"])
    assert (depth.leased, depth.delayed) == (0, 0)
    for store in opened:
        store.close()
