"""Call an async store as a blocking one, so that one suite serves both kinds of adapter, on asyncio and on trio.

::

    check(bridge(lambda clock: MyAsyncStore(..., clock=clock), "trio"))

A blocking store is used as the async driver uses it: through its own async twin, in threads, or inline if it never
waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from threading import Event, Lock, Thread
from typing import Any, Literal, Protocol, TypeVar

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.drivers.threaded_ports import async_store
from apcore.ports import (
    AsyncKvStore,
    AsyncRuntime,
    AtomicStore,
    Check,
    Depth,
    Durability,
    Entry,
    KvStore,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
    Write,
)
from apcore.testing.conformance import ManualClock

__all__ = ["bridge"]

T = TypeVar("T")

EventLoop = Literal["asyncio", "trio"]


def bridge(
    make: Callable[[ManualClock], KvStore | AsyncKvStore], loop: EventLoop, /
) -> Callable[[ManualClock], AtomicStore]:
    """Return a factory of blocking stores, made of a factory of async stores.

    Each store has an event loop in its own thread, from the first call until ``close``; a later call starts another
    one. The result supports only the methods of the async store (a mere `AsyncKvStore` has no queue).
    """
    return partial(_Bridged, make, loop)


class _Bridged:
    """An async store, called from outside its event loop."""

    def __init__(
        self, make: Callable[[ManualClock], KvStore | AsyncKvStore], loop: EventLoop, clock: ManualClock
    ) -> None:
        self._start: Callable[[], _LoopThread] = _AsyncioThread if loop == "asyncio" else _TrioThread
        self._lock = Lock()
        self._thread: _LoopThread | None = None
        self._twin: Any = None
        self._made = make(clock)

    @property
    def durability(self) -> Durability:
        return self._made.durability

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        return self._ask(lambda store: store.get(keys))

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        return self._ask(lambda store: store.scan(prefix, after=after, limit=limit, reverse=reverse))

    def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        # A store that is not a queue has neither parameter.
        more = {"messages": messages, "settles": settles} if messages or settles else {}
        answer: bool = self._ask(lambda store: store.commit(checks, writes, token=token, **more))
        return answer

    def enqueue(self, messages: Sequence[Message], /) -> None:
        self._ask(lambda store: store.enqueue(messages))

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        return self._ask(lambda store: store.lease(lanes, limit=limit, lease_s=lease_s))

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        return self._ask(lambda store: store.extend(leases, lease_s=lease_s))

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return self._ask(lambda store: store.settle(settlements))

    def depth(self, lanes: Sequence[str], /) -> Depth:
        answer: Depth = self._ask(lambda store: store.depth(lanes))
        return answer

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        self._ask(lambda store: store.wait(lanes, timeout_s=timeout_s))

    def close(self) -> None:
        self._ask(lambda store: store.aclose())
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

    def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        with self._lock:
            if self._thread is None:
                self._thread = self._start()
                self._twin = async_store(self._made, self._thread.runtime)
            thread, twin = self._thread, self._twin

        async def ask() -> T:
            return await question(twin)

        return thread.call(ask)


# --- event loops in threads -----------------------------------------------------------------------------------------


class _LoopThread(Protocol):
    @property
    def runtime(self) -> AsyncRuntime: ...

    def call(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T: ...

    def end(self) -> None: ...


class _AsyncioThread:
    def __init__(self) -> None:
        self.runtime = AsyncioRuntime()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="apcore-testing-asyncio", daemon=True)
        self._thread.start()

    def call(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        return asyncio.run_coroutine_threadsafe(job(), self._loop).result()

    def end(self) -> None:
        _ = self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.runtime.close()


class _TrioThread:
    def __init__(self) -> None:
        import trio

        from apcore.adapters.trio import TrioRuntime

        self._trio = trio
        self.runtime = TrioRuntime()
        self._started = Event()
        self._thread = Thread(target=trio.run, args=(self._main,), name="apcore-testing-trio", daemon=True)
        self._thread.start()
        _ = self._started.wait()

    async def _main(self) -> None:
        self._token = self._trio.lowlevel.current_trio_token()
        self._over = self._trio.Event()
        self._started.set()
        await self._over.wait()

    def call(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        return self._trio.from_thread.run(job, trio_token=self._token)

    def end(self) -> None:
        self._token.run_sync_soon(self._over.set)
        self._thread.join()
