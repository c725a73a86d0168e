"""Define `BlockingRuntime`, the runtime of blocking programs, and `HandlerThreads` for jobs that may never end."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from threading import Condition, Event, Lock, Thread, current_thread
from typing import Any, Final, TypeVar

from apcore.effects import CallOutcome, Raised, Returned
from apcore.errors import ThreadUnavailable

__all__ = ["BlockingRuntime"]

T = TypeVar("T")

_IDLE_S: Final = 10.0
"""How long a thread waits for its next job before it ends."""
_CLOSE_S: Final = 1.0


class _Flight:
    """A shared job that is running. Without an outcome at its end, the next waiter runs it anew."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = Event()
        self.outcome: CallOutcome[Any] | None = None


class BlockingRuntime:
    """Provide the system's clock and randomness, and run overlapping jobs in threads that end with them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def now(self) -> datetime:
        """Return the system's time, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the system's monotonic clock."""
        return time.monotonic()

    def random_bytes(self, count: int, /) -> bytes:
        """Return random bytes from the operating system."""
        return os.urandom(count)

    def signal(self) -> _Signal:
        """Return a condition with a flag."""
        return _Signal()

    def crew(self, threads_max: int, /) -> _Crew:
        """Return a crew of up to ``threads_max`` daemon threads, and as many abandoned ones."""
        return _Crew(threads_max)

    def overlap(self, jobs: Sequence[Callable[[], T]], /, *, limit: int) -> Sequence[T]:
        """Run the jobs in up to ``limit`` threads, or in this one if that is enough. Context variables are copied."""
        workers = min(limit, len(jobs))
        if workers <= 1:
            return [job() for job in jobs]
        # Threads of its own for each call: shared ones would wait for themselves when a job overlaps jobs of its own.
        threads = HandlerThreads(workers, name="apcore-overlap")
        try:
            futures = [threads.submit(partial(copy_context().run, job)) for job in jobs]
        except ThreadUnavailable:  # from the first job: the process is exiting, or has as many threads as it may
            return [job() for job in jobs]
        try:
            _ = wait(futures)
            return [future.result() for future in futures]
        finally:
            threads.close()

    def share(self, key: Hashable, job: Callable[[], T], /) -> T:
        """Run ``job``, or wait for a running one with the same key in another thread."""
        while True:
            with self._lock:
                own_flight = _Flight()
                flight = self._flights.setdefault(key, own_flight)
            if flight is own_flight:
                return self._lead(key, own_flight, job)
            flight.landed.wait()
            if isinstance(flight.outcome, Raised):
                raise flight.outcome.error
            if flight.outcome is not None:
                answer: T = flight.outcome.value
                return answer

    def _lead(self, key: Hashable, flight: _Flight, job: Callable[[], T]) -> T:
        try:
            answer = job()
            flight.outcome = Returned(answer)
        except Exception as error:
            flight.outcome = Raised(error)
            raise
        else:
            return answer
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()


class HandlerThreads:
    """Run an application's functions in up to ``threads_max`` threads, and queue those beyond that number.

    A job that never returns cannot be ended. Call `forsake` to give it up: its thread then no longer counts, up to
    ``threads_max`` such threads. All threads are daemons, so none of them keeps the process alive.
    """

    def __init__(self, threads_max: int, *, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._changed = Condition()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._running: set[Future[Any]] = set()
        self._forsaken: set[Future[Any]] = set()
        self._started = 0
        self._closed = False
        self._alive: set[Thread] = set()

    def submit(self, job: Callable[[], T], /) -> Future[T]:
        """Run ``job`` in a thread, as soon as one is free.

        Raises:
            ThreadUnavailable: The system starts no thread, and none is running. Python starts none during its exit.
        """
        future: Future[T] = Future()
        with self._changed:
            self._jobs.append((future, job))
            try:
                self._ensure_thread()
            except RuntimeError as error:
                if not self._threads:
                    _ = self._jobs.pop()
                    raise ThreadUnavailable(f"no thread can be started for {self._name}: {error}") from error
        return future

    def forsake(self, future: Future[Any], /) -> None:
        """Abandon a job. If it has not begun, it never will; if it runs, another thread takes its place."""
        if future.cancel():
            return
        with self._changed:
            if future in self._running and len(self._forsaken) < self._threads_max:
                self._forsaken.add(future)
                self._threads -= 1
                with suppress(RuntimeError):  # waiting jobs begin with the next thread that can be started
                    self._ensure_thread()

    def close(self) -> None:
        """End idle threads, and wait until they have ended. Busy threads end with their job."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            alive = list(self._alive) if not self._running and not self._jobs else []
        for thread in alive:
            thread.join(_CLOSE_S)

    def _ensure_thread(self) -> None:
        if self._idle >= len(self._jobs):
            self._changed.notify()
        elif self._threads < self._threads_max:
            thread = Thread(target=self._work, name=f"{self._name}_{self._started}", daemon=True)
            thread.start()  # it waits for the lock that this thread holds
            self._threads += 1
            self._started += 1
            self._alive.add(thread)

    def _work(self) -> None:
        try:
            self._work_on()
        finally:
            with self._changed:
                self._alive.discard(current_thread())

    def _work_on(self) -> None:
        while True:
            with self._changed:
                if not self._jobs and not self._closed:
                    self._idle += 1
                    _ = self._changed.wait(_IDLE_S)
                    self._idle -= 1
                if not self._jobs:
                    self._threads -= 1
                    return
                future, job = self._jobs.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                self._running.add(future)
            try:
                answer = job()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(answer)
                del answer
            with self._changed:
                self._running.discard(future)
                if future in self._forsaken:
                    self._forsaken.discard(future)
                    return
            del future, job


class _Signal:
    def __init__(self) -> None:
        self._changed = Condition()
        self._is_set = False

    def set(self) -> None:
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def wait(self, *, timeout_s: float) -> None:
        with self._changed:
            if not self._is_set:
                _ = self._changed.wait(max(0.0, timeout_s))
            self._is_set = False


class _Crew:
    def __init__(self, threads_max: int) -> None:
        self._threads = HandlerThreads(threads_max, name="apcore-worker")

    def start(self, job: Callable[[], None], /) -> Callable[[], None]:
        future = self._threads.submit(partial(copy_context().run, job))
        return partial(self._threads.forsake, future)

    def close(self) -> None:
        self._threads.close()
