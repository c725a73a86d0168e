"""Define `TrioRuntime`: concurrency, threads and shared jobs on trio."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import trio

from apcore.effects import CallOutcome, Raised, Returned
from apcore.errors import ContractError

__all__ = ["HandlerForsaken", "TrioRuntime"]

T = TypeVar("T")

PORT_THREADS_MAX: Final = 32
HANDLER_THREADS_MAX: Final = 256
"""See `apcore.adapters.asyncio.HANDLER_THREADS_MAX`."""


WIRE_THREADS_MAX: Final = 256
"""See `apcore.adapters.asyncio.WIRE_THREADS_MAX`."""


class _Flight:
    """A shared job that is running. Without an outcome at its end, the next waiter runs it anew."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.outcome: CallOutcome[Any] | None = None


class HandlerForsaken(BaseException):
    """Raised in a handler's thread by its context: the task that waited for the handler was cancelled."""


class _Bridge:
    """The connection from a handler's thread back to its loop, until the task that waits for it is cancelled."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.token = trio.lowlevel.current_trio_token()
        self.scope: trio.CancelScope | None = None
        self.is_cancelled = False
        self._lends = False

    def lend(self, limiter: trio.CapacityLimiter) -> None:
        """Free the place of a thread that may never end."""
        self._lends = True
        limiter.total_tokens += 1

    def give_back(self, limiter: trio.CapacityLimiter) -> None:
        """Reclaim the place after the thread has ended."""
        if self._lends:
            self._lends = False
            limiter.total_tokens -= 1

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.scope is not None:
            self.scope.cancel()


_BRIDGE: Final[ContextVar[_Bridge | None]] = ContextVar("apcore_trio_bridge", default=None)


class TrioRuntime:
    """Provide the system's clock and randomness, nurseries and threads.

    Handler threads are limited for each depth of nesting, as under asyncio.
    """

    def __init__(
        self, *, port_threads_max: int = PORT_THREADS_MAX, handler_threads_max: int = HANDLER_THREADS_MAX
    ) -> None:
        self._port_limiter = trio.CapacityLimiter(port_threads_max)
        self._wire_limiter = trio.CapacityLimiter(WIRE_THREADS_MAX)
        self._handler_threads_max = handler_threads_max
        self._handler_limiters: list[trio.CapacityLimiter] = []
        self._flights: dict[tuple[trio.lowlevel.TrioToken, Hashable], _Flight] = {}

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
        """Return a `trio.Event` that is replaced after each wait."""
        return _Signal()

    @asynccontextmanager
    async def nursery(self) -> AsyncGenerator[_Nursery, None]:
        """Open a trio nursery, with a cancel scope for each task."""
        async with trio.open_nursery() as nursery:
            yield _Nursery(nursery)

    async def finish(self, job: Callable[[], Awaitable[None]], /, *, within_s: float) -> None:
        """Run ``job`` in a shielded scope with a deadline."""
        with trio.move_on_after(within_s, shield=True):
            await job()

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
        """Run ``job``, or wait for a running one with the same key on this loop.

        If that one is cancelled, one of the waiters runs its own job.
        """
        place = (trio.lowlevel.current_trio_token(), key)
        while (flight := self._flights.get(place)) is not None:
            await flight.landed.wait()
            if isinstance(flight.outcome, Raised):
                raise flight.outcome.error
            if flight.outcome is not None:
                answer: T = flight.outcome.value
                return answer
        own_flight = self._flights[place] = _Flight()
        try:
            answer = await job()
            own_flight.outcome = Returned(answer)
        except Exception as error:
            own_flight.outcome = Raised(error)
            raise
        else:
            return answer
        finally:
            del self._flights[place]
            own_flight.landed.set()

    async def thread(self, job: Callable[[], T], /, *, lane: Literal["port", "wire", "handler"]) -> T:
        """Run ``job`` in a thread of its lane, with this task's context variables.

        Cancellation waits for a port's call to end. It does not wait for a handler. Later calls of that handler into
        the loop are refused.
        """
        if lane != "handler":
            limiter = self._port_limiter if lane == "port" else self._wire_limiter
            return await trio.to_thread.run_sync(job, limiter=limiter)
        outer = _BRIDGE.get()
        bridge = _Bridge(0 if outer is None else outer.depth + 1)
        while len(self._handler_limiters) <= bridge.depth:
            self._handler_limiters.append(trio.CapacityLimiter(self._handler_threads_max))
        limiter = self._handler_limiters[bridge.depth]
        ended = False

        def bridged() -> T:
            nonlocal ended
            _ = _BRIDGE.set(bridge)
            try:
                return job()
            finally:
                ended = True
                if bridge.is_cancelled:
                    with suppress(trio.RunFinishedError):
                        bridge.token.run_sync_soon(bridge.give_back, limiter)

        try:
            return await trio.to_thread.run_sync(bridged, limiter=limiter, abandon_on_cancel=True)
        except trio.Cancelled:
            bridge.cancel()
            if not ended and limiter.total_tokens < 2 * self._handler_threads_max:
                bridge.lend(limiter)
            raise

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job`` on the loop of this worker thread.

        Raises:
            HandlerForsaken: The task that waits for this thread was cancelled.
            ContractError: The calling thread was not started by `thread`.
        """
        bridge = _BRIDGE.get()
        if bridge is None or trio.lowlevel.in_trio_run():  # on a loop, it would wait for itself
            raise ContractError("a blocking context is used outside the worker thread that it was made for")

        async def awaited() -> CallOutcome[T] | None:
            if bridge.is_cancelled:
                return None
            with trio.CancelScope() as scope:
                bridge.scope = scope
                try:
                    return Returned(await job())
                except Exception as error:
                    return Raised(error)
                finally:
                    bridge.scope = None
            return None

        try:
            outcome = trio.from_thread.run(awaited, trio_token=bridge.token)
        except trio.RunFinishedError:
            outcome = None
        if outcome is None:
            raise HandlerForsaken
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome.value


class _Signal:
    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, *, timeout_s: float) -> None:
        with trio.move_on_after(max(0.0, timeout_s)):
            await self._event.wait()
        self._event = trio.Event()


class _Nursery:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(
        self,
        job: Callable[[], Awaitable[None]],
        /,
        *,
        abandon_after_s: float | None = None,  # noqa: ARG002 - trio cancels every further wait
    ) -> Callable[[], None]:
        scope = trio.CancelScope()

        async def scoped() -> None:
            with scope:
                await job()

        self._nursery.start_soon(scoped)
        return scope.cancel
