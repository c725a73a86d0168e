"""`BlockingRuntime`: the runtime of programs that wait by waiting."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any, TypeVar

from apcore.effects import Outcome, Raised, Returned

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class _Flight:
    """A shared job under way. Without an outcome at its end, nobody may speak for it: the next waiter runs it anew."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = Event()
        self.outcome: Outcome[Any] | None = None


class BlockingRuntime:
    """The system's clock and randomness; overlap by threads that live as long as the jobs that overlap."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def now(self) -> datetime:
        """The system's time, in UTC."""
        return datetime.now(UTC)

    def random_bytes(self, count: int, /) -> bytes:
        """From the operating system."""
        return os.urandom(count)

    def overlap(self, jobs: Sequence[Callable[[], T]], /, *, limit: int) -> Sequence[T]:
        """Run the jobs in up to ``limit`` threads; in this one if that is enough. Context variables are carried over."""
        workers = min(limit, len(jobs))
        if workers <= 1:
            return [job() for job in jobs]
        # A pool a call: a shared one would wait for itself as soon as a job overlaps jobs of its own.
        with ThreadPoolExecutor(workers, thread_name_prefix="apcore-overlap") as pool:
            return [future.result() for future in [pool.submit(copy_context().run, job) for job in jobs]]

    def share(self, key: Hashable, job: Callable[[], T], /) -> T:
        """Run ``job``, or wait for an equal one that another thread has under way."""
        while True:
            with self._lock:
                mine = _Flight()
                flight = self._flights.setdefault(key, mine)
            if flight is mine:
                return self._lead(key, mine, job)
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
