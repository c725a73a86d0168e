"""`TrioRuntime`: overlap, threads and shared jobs on trio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import trio

from apcore.effects import Outcome, Raised, Returned
from apcore.errors import ContractError

__all__ = ["TrioRuntime"]

T = TypeVar("T")

PORT_THREADS_MAX: Final = 32
HANDLER_THREADS_MAX: Final = 40


class _Flight:
    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.outcome: Outcome[Any] | None = None


_DEPTH: Final[ContextVar[int]] = ContextVar("apcore_trio_depth", default=-1)


class TrioRuntime:
    """The system's clock and randomness, nurseries and threads; handler threads are limited by depth of nesting, as under asyncio."""

    def __init__(
        self, *, port_threads_max: int = PORT_THREADS_MAX, handler_threads_max: int = HANDLER_THREADS_MAX
    ) -> None:
        self._port_limiter = trio.CapacityLimiter(port_threads_max)
        self._handler_threads_max = handler_threads_max
        self._handler_limiters: list[trio.CapacityLimiter] = []
        self._flights: dict[tuple[trio.lowlevel.TrioToken, Hashable], _Flight] = {}

    def now(self) -> datetime:
        """The system's time, in UTC."""
        return datetime.now(UTC)

    def random_bytes(self, count: int, /) -> bytes:
        """From the operating system."""
        return os.urandom(count)

    async def overlap(self, jobs: Sequence[Callable[[], Awaitable[T]]], /, *, limit: int) -> Sequence[T]:
        """Run the jobs as tasks, up to ``limit`` at a time."""
        if min(limit, len(jobs)) <= 1:
            return [await job() for job in jobs]
        slots = trio.Semaphore(limit)
        answers: dict[int, T] = {}

        async def within(index: int, job: Callable[[], Awaitable[T]]) -> None:
            async with slots:
                answers[index] = await job()

        async with trio.open_nursery() as nursery:
            for index, job in enumerate(jobs):
                nursery.start_soon(within, index, job)
        return [answers[index] for index in range(len(jobs))]

    async def share(self, key: Hashable, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job``, or wait for an equal one under way on this loop; if that one is cancelled, a waiter runs its own."""
        place = (trio.lowlevel.current_trio_token(), key)
        while (flight := self._flights.get(place)) is not None:
            await flight.landed.wait()
            if isinstance(flight.outcome, Raised):
                raise flight.outcome.error
            if flight.outcome is not None:
                answer: T = flight.outcome.value
                return answer
        mine = self._flights[place] = _Flight()
        try:
            answer = await job()
            mine.outcome = Returned(answer)
        except Exception as error:
            mine.outcome = Raised(error)
            raise
        else:
            return answer
        finally:
            del self._flights[place]
            mine.landed.set()

    async def thread(self, job: Callable[[], T], /, *, lane: Literal["port", "handler"]) -> T:
        """Run ``job`` in a thread of its lane, with this task's context variables; cancellation waits for it to end."""
        if lane == "port":
            return await trio.to_thread.run_sync(job, limiter=self._port_limiter)
        depth = _DEPTH.get() + 1
        while len(self._handler_limiters) <= depth:
            self._handler_limiters.append(trio.CapacityLimiter(self._handler_threads_max))

        def deeper() -> T:
            _DEPTH.set(depth)
            return job()

        return await trio.to_thread.run_sync(deeper, limiter=self._handler_limiters[depth])

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job`` on the loop that this thread works for.

        Raises:
            trio.Cancelled: The task that waits for this thread was cancelled.
            ContractError: Not called in a thread of `thread`.
        """
        begun = False

        async def begin() -> T:
            nonlocal begun
            begun = True
            return await job()

        try:
            return trio.from_thread.run(begin)
        except RuntimeError as error:
            if begun:
                raise
            raise ContractError("a blocking context is used outside the worker thread that it was made for") from error
