"""Define `AsyncioRuntime`: concurrency, threads and shared jobs on asyncio."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from functools import partial
from math import inf
from threading import Lock
from typing import Any, Final, Literal, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from apcore.adapters.threads import HandlerThreads
from apcore.effects import CallOutcome, Raised, Returned
from apcore.errors import ContractError

__all__ = ["AsyncioRuntime"]

T = TypeVar("T")

PORT_THREADS_MAX: Final = 32
HANDLER_THREADS_MAX: Final = 256
"""More than the slots of a worker, including those of slow handlers, so that requests find a free thread too."""


WIRE_THREADS_MAX: Final = 256
"""The number of exchanges that a blocking transport runs at the same time under an event loop."""


class _Flight:
    """A shared job that is running. Without an outcome at its end, the next waiter runs it anew."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.outcome: CallOutcome[Any] | None = None


class _Bridge:
    """The connection from a worker thread back to its loop, until the task that waits for the thread is cancelled."""

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


class _PortCall:
    """A call of a port in a thread, and its result or error."""

    __slots__ = ("answered", "error", "is_handed_out", "job", "result")

    def __init__(self, job: Callable[[], object], answered: asyncio.Future[None]) -> None:
        self.job = job
        self.answered = answered
        self.result: object = None
        self.error: BaseException | None = None
        self.is_handed_out = False


class _Answers:
    """The answers of threads to the tasks of a loop. One wake-up of the loop hands out all that have come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._calls: deque[_PortCall] = deque()
        self._lock = Lock()
        self._is_scheduled = False

    def make(self, call: _PortCall) -> None:
        """Make a call. Runs in a thread."""
        try:
            call.result = call.job()
        except BaseException as error:
            call.error = error
        self._calls.append(call)
        with self._lock:
            loop = None if self._is_scheduled else self._loop()
            self._is_scheduled = True
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                _ = loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        with self._lock:
            self._is_scheduled = False
        while self._calls:
            call = self._calls.popleft()
            call.is_handed_out = True
            if not call.answered.done():
                call.answered.set_result(None)


_BRIDGE: Final[ContextVar[_Bridge | None]] = ContextVar("apcore_asyncio_bridge", default=None)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class AsyncioRuntime:
    """Provide the system's clock and randomness, tasks and threads. One runtime may serve several loops in turn.

    Plain handlers may call back into the loop, and that call may run plain handlers again. So there is a pool of
    handler threads for each depth of nesting. A full pool waits for deeper ones, never for itself.
    """

    def __init__(
        self, *, port_threads_max: int = PORT_THREADS_MAX, handler_threads_max: int = HANDLER_THREADS_MAX
    ) -> None:
        self._port_threads_max = port_threads_max
        self._handler_threads_max = handler_threads_max
        self._pools: dict[str, ThreadPoolExecutor | HandlerThreads] = {}
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Flight] = {}
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Answers] = WeakKeyDictionary()

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
        """Return an `asyncio.Event` that is cleared after each wait."""
        return _Signal()

    @asynccontextmanager
    async def nursery(self) -> AsyncGenerator[_Nursery, None]:
        """Open a task group."""
        async with asyncio.TaskGroup() as group:
            yield _Nursery(group)

    async def finish(self, job: Callable[[], Awaitable[None]], /, *, within_s: float) -> None:
        """Run ``job`` as a task of its own, and cancel it when its time is over."""
        task = asyncio.ensure_future(_awaited(job))
        cancelled: asyncio.CancelledError | None = None
        ends_s = time.monotonic() + within_s
        while not task.done() and (remaining_s := ends_s - time.monotonic()) > 0:
            try:
                _ = await asyncio.wait((task,), timeout=remaining_s)
            except asyncio.CancelledError as error:
                cancelled = error
        if not task.cancel():
            task.result()
        if cancelled is not None:
            raise cancelled

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
        """Run ``job``, or wait for a running one with the same key on this loop.

        If that one is cancelled, one of the waiters runs its own job.
        """
        place = (asyncio.get_running_loop(), key)
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

        Cancellation waits for a port's call that has begun. Such a call cannot be stopped, and the canceller may close
        the port next. Cancellation does not wait for a handler. Later calls of that handler into the loop are refused,
        and its result is dropped.
        """
        loop = asyncio.get_running_loop()
        outer = _BRIDGE.get()
        bridge = _Bridge(loop, 0 if outer is None else outer.depth + 1)
        context = copy_context()
        context.run(_BRIDGE.set, bridge)
        pool = self._pool(lane, bridge.depth)
        if not isinstance(pool, HandlerThreads):
            return await self._call_port(pool, bridge, partial(context.run, job))
        future = pool.submit(partial(context.run, job))
        try:
            return await asyncio.wrap_future(future, loop=loop)
        except asyncio.CancelledError:
            bridge.cancel()
            pool.forsake(future)
            raise

    async def _call_port(self, pool: ThreadPoolExecutor, bridge: _Bridge, job: Callable[[], T]) -> T:
        answers = self._answers.get(bridge.loop)
        if answers is None:
            answers = self._answers[bridge.loop] = _Answers(bridge.loop)
        call = _PortCall(job, bridge.loop.create_future())
        future = pool.submit(answers.make, call)
        try:
            await call.answered
        except asyncio.CancelledError:
            bridge.cancel()
            if not (future.cancel() or call.is_handed_out):
                call.answered = bridge.loop.create_future()
                await call.answered
            raise
        if call.error is not None:
            raise call.error
        return cast("T", call.result)

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job`` on the loop of this worker thread.

        Raises:
            asyncio.CancelledError: The task that waits for this thread was cancelled.
            ContractError: The calling thread was not started by `thread`.
        """
        bridge = _BRIDGE.get()
        if bridge is None or _on_a_loop():  # on a loop, it would wait for itself
            raise ContractError("a blocking context is used outside the worker thread that it was made for")
        if bridge.is_cancelled():
            raise asyncio.CancelledError

        async def awaited() -> T:
            return await job()

        pending = asyncio.run_coroutine_threadsafe(awaited(), bridge.loop)
        bridge.pending = pending
        if bridge.is_cancelled():  # cancelled between the two lines above
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
        """End idle threads. Busy threads end with their job."""
        for pool in self._pools.values():
            if isinstance(pool, HandlerThreads):
                pool.close()
            else:
                pool.shutdown(wait=False)
        self._pools.clear()

    def _pool(self, lane: Literal["port", "wire", "handler"], depth: int) -> ThreadPoolExecutor | HandlerThreads:
        name = f"apcore-{lane}" if lane != "handler" else f"apcore-handler-{depth}"
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = (
                ThreadPoolExecutor(
                    self._port_threads_max if lane == "port" else WIRE_THREADS_MAX, thread_name_prefix=name
                )
                if lane != "handler"
                else HandlerThreads(self._handler_threads_max, name=name)
            )
        return pool


class _Signal:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, *, timeout_s: float) -> None:
        if timeout_s == inf:
            _ = await self._event.wait()
        elif timeout_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    _ = await self._event.wait()
        self._event.clear()


class _Nursery:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(
        self, job: Callable[[], Awaitable[None]], /, *, abandon_after_s: float | None = None
    ) -> Callable[[], None]:
        task = self._group.create_task(
            _awaited(job) if abandon_after_s is None else _run_or_abandon(job, abandon_after_s)
        )

        def cancel() -> None:
            _ = task.cancel()

        return cancel


_ABANDONED: Final[set[asyncio.Future[None]]] = set()
"""The abandoned tasks that still run. An event loop refers only weakly to its tasks."""


async def _run_or_abandon(job: Callable[[], Awaitable[None]], abandon_after_s: float) -> None:
    """Run ``job`` as a task of its own. If it runs on after a cancellation, leave it behind when its time is over."""
    task = asyncio.ensure_future(_awaited(job))
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_task: asyncio.Future[None]) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(end)
    try:
        await ended
    except asyncio.CancelledError:
        ends_s = time.monotonic() + abandon_after_s
        _ = task.cancel()
        while not task.done() and (remaining_s := ends_s - time.monotonic()) > 0:
            try:
                _ = await asyncio.wait((task,), timeout=remaining_s)
            except asyncio.CancelledError:
                _ = task.cancel()
        if not task.done():
            _ABANDONED.add(task)
            task.add_done_callback(_forget_abandoned)
            raise
        if task.cancelled() or task.exception() is None:
            raise
    task.result()


def _forget_abandoned(task: asyncio.Future[None]) -> None:
    _ABANDONED.discard(task)
    if not task.cancelled():
        _ = task.exception()  # asyncio logs errors that were never read


async def _awaited(job: Callable[[], Awaitable[None]]) -> None:
    await job()
