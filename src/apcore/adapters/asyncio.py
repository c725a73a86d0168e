"""`AsyncioRuntime`: overlap, threads and shared jobs on asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from apcore.effects import Outcome, Raised, Returned
from apcore.errors import ContractError

__all__ = ["AsyncioRuntime"]

T = TypeVar("T")

PORT_THREADS_MAX: Final = 32
HANDLER_THREADS_MAX: Final = 40


class _Flight:
    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.outcome: Outcome[Any] | None = None


class _Bridge:
    """The way back from a worker thread to the loop it works for, until the task that waits for it is cancelled."""

    __slots__ = ("_cancelled", "depth", "loop", "pending")

    def __init__(self, loop: asyncio.AbstractEventLoop, depth: int) -> None:
        self.loop = loop
        self.depth = depth
        self.pending: Future[Any] | None = None
        self._cancelled = False

    def is_cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        self._cancelled = True
        if self.pending is not None:
            self.pending.cancel()


_BRIDGE: Final[ContextVar[_Bridge | None]] = ContextVar("apcore_asyncio_bridge", default=None)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class AsyncioRuntime:
    """The system's clock and randomness, tasks and threads. One object may serve several loops, one after another.

    Plain handlers may call back into the loop, and what they ask for may run plain handlers again. So handler threads are pooled by depth of
    nesting: a full pool waits for deeper ones, never for itself.
    """

    def __init__(
        self, *, port_threads_max: int = PORT_THREADS_MAX, handler_threads_max: int = HANDLER_THREADS_MAX
    ) -> None:
        self._port_threads_max = port_threads_max
        self._handler_threads_max = handler_threads_max
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Flight] = {}

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
        slots = asyncio.Semaphore(limit)

        async def within(job: Callable[[], Awaitable[T]]) -> T:
            async with slots:
                return await job()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(within(job)) for job in jobs]
        return [task.result() for task in tasks]

    async def share(self, key: Hashable, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job``, or wait for an equal one under way on this loop; if that one is cancelled, a waiter runs its own."""
        place = (asyncio.get_running_loop(), key)
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
        """Run ``job`` in a thread of its lane, with this task's context variables.

        Cancellation waits for a port's call that has begun: it cannot be stopped, and whoever cancelled may close the port next. It does not wait
        for a handler: what that asks of the loop from then on is refused, and its answer goes nowhere.
        """
        loop = asyncio.get_running_loop()
        outer = _BRIDGE.get()
        bridge = _Bridge(loop, 0 if outer is None else outer.depth + 1)
        context = copy_context()
        context.run(_BRIDGE.set, bridge)
        begun = self._pool(lane, bridge.depth).submit(context.run, job)
        working = asyncio.wrap_future(begun, loop=loop)
        try:
            return await (asyncio.shield(working) if lane == "port" else working)
        except asyncio.CancelledError:
            bridge.cancel()
            if lane == "port" and not begun.cancel():
                _ = await asyncio.wait([working])
                if not working.cancelled():
                    _ = working.exception()  # looked at, so that nobody complains that nobody did
            raise

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job`` on the loop that this thread works for.

        Raises:
            asyncio.CancelledError: The task that waits for this thread was cancelled.
            ContractError: Not called in a thread of `thread`.
        """
        bridge = _BRIDGE.get()
        if bridge is None or _on_a_loop():  # where it would wait for itself
            raise ContractError("a blocking context is used outside the worker thread that it was made for")
        if bridge.is_cancelled():
            raise asyncio.CancelledError

        async def awaited() -> T:
            return await job()

        pending = asyncio.run_coroutine_threadsafe(awaited(), bridge.loop)
        bridge.pending = pending
        if bridge.is_cancelled():  # between the two lines above
            pending.cancel()
        try:
            return pending.result()
        except Exception as error:
            if pending.cancelled():
                raise asyncio.CancelledError from error
            raise
        finally:
            bridge.pending = None

    def close(self) -> None:
        """End the threads that are idle; those at work end with their job."""
        for pool in self._pools.values():
            pool.shutdown(wait=False)
        self._pools.clear()

    def _pool(self, lane: Literal["port", "handler"], depth: int) -> ThreadPoolExecutor:
        name = "apcore-port" if lane == "port" else f"apcore-handler-{depth}"
        pool = self._pools.get(name)
        if pool is None:
            workers = self._port_threads_max if lane == "port" else self._handler_threads_max
            pool = self._pools[name] = ThreadPoolExecutor(workers, thread_name_prefix=name)
        return pool
