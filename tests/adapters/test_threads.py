"""Check the runtime of blocking programs: overlap and shared jobs in threads."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial

import pytest

from apcore.adapters.threads import BlockingRuntime, HandlerThreads
from apcore.errors import ConnectFailed, ThreadUnavailable


def test_clock_is_the_system_clock_in_utc():
    before = datetime.now(UTC)
    now = BlockingRuntime().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_random_bytes_differ():
    runtime = BlockingRuntime()
    assert len({runtime.random_bytes(16) for _ in range(50)}) == 50
    assert runtime.random_bytes(0) == b""


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_overlap_answers_in_order(limit):
    assert list(BlockingRuntime().overlap([lambda n=n: n for n in range(20)], limit=limit)) == list(range(20))


def test_overlap_with_limit_one_uses_no_thread():
    own_thread = threading.get_ident()
    assert set(BlockingRuntime().overlap([threading.get_ident] * 3, limit=1)) == {own_thread}
    assert BlockingRuntime().overlap([threading.get_ident], limit=9) == [own_thread]


def test_overlapping_jobs_may_overlap_further_jobs():
    runtime = BlockingRuntime()

    def deep(levels: int) -> int:
        return 1 if levels == 0 else sum(runtime.overlap([lambda: deep(levels - 1)] * 2, limit=2))

    assert deep(4) == 16


def test_context_variables_are_copied_into_jobs_but_not_back():
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("outer")

    def job() -> str:
        outer_value = variable.get()
        variable.set("inner")
        return outer_value

    assert list(BlockingRuntime().overlap([job, job], limit=2)) == ["outer", "outer"]
    assert variable.get() == "outer"


class BlockedJob:
    """A job that counts its runs and ends when it is released."""

    def __init__(self) -> None:
        self.runs = 0
        self.started = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> object:
        self.runs += 1
        self.started.set()
        assert self.released.wait(20)
        return self.end()

    def end(self) -> object:
        return object()


class FailingJob(BlockedJob):
    def end(self) -> object:
        raise ConnectFailed("nobody there")


class InterruptedJob(BlockedJob):
    """A job that is interrupted in its first run and succeeds in the next."""

    def end(self) -> object:
        if self.runs == 1:
            raise KeyboardInterrupt
        return "anew"


class CountingFlights(dict):
    """A table that sets an event after a number of lookups."""

    def __init__(self, lookups: int) -> None:
        super().__init__()
        self.lookups_left = lookups
        self.all_looked = threading.Event()

    def setdefault(self, key, default=None):
        flight = super().setdefault(key, default)
        self.lookups_left -= 1
        if self.lookups_left == 0:
            self.all_looked.set()
        return flight


def share_in_threads(job: BlockedJob, *, threads: int) -> list[object]:
    """Share a job in ``askers`` threads, which all ask before it ends, and return their answers."""
    runtime = BlockingRuntime()
    runtime._flights = flights = CountingFlights(threads)
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(runtime.share, "key", job) for _ in range(threads)]
        assert flights.all_looked.wait(20)
        job.released.set()
        answers = [future.exception(20) or future.result() for future in futures]
    assert not flights
    return answers


def test_equal_concurrent_jobs_run_once():
    job = BlockedJob()
    answers = share_in_threads(job, threads=5)
    assert (job.runs, len(set(map(id, answers)))) == (1, 1)


def test_error_of_a_shared_job_is_shared():
    job = FailingJob()
    answers = share_in_threads(job, threads=3)
    assert (job.runs, {str(answer) for answer in answers}) == (1, {"nobody there"})


def test_interrupt_of_a_shared_job_affects_only_its_own_thread():
    job = InterruptedJob()
    answers = share_in_threads(job, threads=4)
    assert sorted(map(str, answers)) == ["", "anew", "anew", "anew"]


def test_successive_jobs_and_different_keys_are_not_shared():
    runtime = BlockingRuntime()
    answers = [runtime.share(key, object) for key in ("a", "a", "b")]
    assert len(set(map(id, answers))) == 3


# --- threads that cannot be started ---------------------------------------------------------------------------------


@pytest.fixture
def thread_starts(monkeypatch):
    """Let the numbers in the list be refused, counted from 0; Python 3.12 refuses all once the process exits."""
    refused: set[int] = set()
    numbers = itertools.count()

    class RefusedThread(threading.Thread):
        def start(self) -> None:
            if next(numbers) in refused:
                raise RuntimeError("can't create new thread at interpreter shutdown")
            super().start()

    monkeypatch.setattr("apcore.adapters.threads.Thread", RefusedThread)
    return refused


def test_job_that_no_thread_can_run_is_refused_and_the_next_one_runs(thread_starts):
    thread_starts.add(0)
    threads = HandlerThreads(3, name="test")
    with pytest.raises(ThreadUnavailable, match=r"no thread can be started for test: can't create new thread"):
        threads.submit(lambda: 1)
    assert threads.submit(lambda: 2).result(20) == 2
    threads.close()


def test_job_waits_for_a_running_thread_when_no_other_can_be_started(thread_starts):
    thread_starts.update(range(1, 10))
    threads, gate = HandlerThreads(3, name="test"), threading.Event()
    futures = [threads.submit(gate.wait), threads.submit(lambda: 2), threads.submit(lambda: 3)]
    gate.set()
    assert [future.result(20) for future in futures] == [True, 2, 3]
    threads.close()


@pytest.mark.parametrize("refused", [{0}, {1}, {2}, {0, 1, 2}, set(range(20))])
def test_overlapping_jobs_run_once_each_whichever_threads_can_be_started(thread_starts, refused):
    thread_starts.update(refused)
    runs: list[int] = []

    def job(number: int) -> int:
        runs.append(number)
        return number

    jobs = [partial(job, number) for number in range(6)]
    assert list(BlockingRuntime().overlap(jobs, limit=3)) == list(range(6))
    assert sorted(runs) == list(range(6))


def test_overlap_waits_for_all_jobs_when_one_of_them_fails():
    gate, ended = threading.Event(), threading.Event()

    def fail() -> None:
        gate.set()
        raise ConnectFailed("nobody there")

    def end() -> None:
        assert gate.wait(20)
        ended.set()

    with pytest.raises(ConnectFailed):
        BlockingRuntime().overlap([fail, end], limit=2)
    assert ended.is_set()
