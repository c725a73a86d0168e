"""The runtime of programs that wait by waiting: overlap and shared jobs in threads."""

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


def test_the_clock_is_the_systems_in_utc():
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


def test_one_at_a_time_needs_no_thread():
    here = threading.get_ident()
    assert set(BlockingRuntime().overlap([threading.get_ident] * 3, limit=1)) == {here}
    assert BlockingRuntime().overlap([threading.get_ident], limit=9) == [here]


def test_jobs_that_overlap_may_overlap_jobs():
    runtime = BlockingRuntime()

    def deep(levels: int) -> int:
        return 1 if levels == 0 else sum(runtime.overlap([lambda: deep(levels - 1)] * 2, limit=2))

    assert deep(4) == 16


def test_context_variables_are_carried_over_and_not_back():
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("outer")

    def job() -> str:
        seen = variable.get()
        variable.set("inner")
        return seen

    assert list(BlockingRuntime().overlap([job, job], limit=2)) == ["outer", "outer"]
    assert variable.get() == "outer"


class Meeting:
    """A job that many threads ask for at once; it ends when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> object:
        self.runs += 1
        self.begun.set()
        assert self.go_on.wait(20)
        return self.end()

    def end(self) -> object:
        return object()


class Failing(Meeting):
    def end(self) -> object:
        raise ConnectFailed("nobody there")


class Interrupted(Meeting):
    """Its first run ends in no outcome; the next ones are fine."""

    def end(self) -> object:
        if self.runs == 1:
            raise KeyboardInterrupt
        return "anew"


class Watched(dict):
    """Says when a certain number has looked."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks
        self.all_looked = threading.Event()

    def setdefault(self, key, default=None):
        found = super().setdefault(key, default)
        self.left -= 1
        if self.left == 0:
            self.all_looked.set()
        return found


def ask_for(job: Meeting, *, askers: int) -> list[object]:
    """What each of ``askers`` threads got, all of them having asked before the job ended."""
    runtime = BlockingRuntime()
    runtime._flights = watched = Watched(askers)
    with ThreadPoolExecutor(askers) as pool:
        futures = [pool.submit(runtime.share, "key", job) for _ in range(askers)]
        assert watched.all_looked.wait(20)
        job.go_on.set()
        answers = [future.exception(20) or future.result() for future in futures]
    assert not watched
    return answers


def test_equal_jobs_under_way_are_joined():
    job = Meeting()
    answers = ask_for(job, askers=5)
    assert (job.runs, len(set(map(id, answers)))) == (1, 1)


def test_errors_are_shared_too():
    job = Failing()
    answers = ask_for(job, askers=3)
    assert (job.runs, {str(answer) for answer in answers}) == (1, {"nobody there"})


def test_an_interrupted_leader_speaks_for_nobody():
    job = Interrupted()
    answers = ask_for(job, askers=4)
    assert sorted(map(str, answers)) == ["", "anew", "anew", "anew"]


def test_jobs_one_after_another_and_unequal_keys_are_not_joined():
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
