"""Adapt blocking ports to an event loop.

Each call runs in a worker thread, or on the loop itself if the port promises never to wait.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar, cast

from apcore.http import Request, Response
from apcore.ports import (
    AsyncAtomicStore,
    AsyncKvStore,
    AsyncMessageQueue,
    AsyncRuntime,
    AsyncSigner,
    AsyncTransport,
    AtomicStore,
    Check,
    Depth,
    Durability,
    Entry,
    KeyKind,
    KvStore,
    LeasedMessage,
    MadeKey,
    Message,
    MessageQueue,
    Settlement,
    Signer,
    StoreKey,
    Transport,
    Write,
    check_lanes,
)

__all__ = ["async_queue", "async_signer", "async_store", "async_transport", "store_on_loop", "threaded_store"]

T = TypeVar("T")

_WAIT_SLICE_S = 0.5
"""The longest uninterrupted part of a blocking ``wait``, so that a cancelled worker frees its thread soon."""


class _Port(Protocol):
    def close(self) -> None: ...


class _Threaded:
    """A blocking port with coroutine methods."""

    __slots__ = ("_never_waits", "_port", "_runtime")

    def __init__(self, port: _Port, runtime: AsyncRuntime, *, never_waits: bool = False) -> None:
        self._port: Any = port
        self._runtime = runtime
        self._never_waits = never_waits or bool(getattr(port, "never_waits", False))

    async def _call(self, job: Callable[[], T]) -> T:
        return job() if self._never_waits else await self._runtime.thread(job, lane="port")

    async def aclose(self) -> None:
        await self._call(self._port.close)


class _ThreadedQueue(_Threaded):
    async def enqueue(self, messages: Sequence[Message], /) -> None:
        await self._call(partial(self._port.enqueue, messages))

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        return await self._call(partial(self._port.lease, lanes, limit=limit, lease_s=lease_s))

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        return await self._call(partial(self._port.extend, leases, lease_s=lease_s))

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return await self._call(partial(self._port.settle, settlements))

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        return await self._call(partial(self._port.depth, lanes))

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        check_lanes(lanes)
        # `never_waits` does not cover `wait`, so it always gets a thread.
        remaining_s = timeout_s
        while (slice_s := min(remaining_s, _WAIT_SLICE_S)) > 0:
            began_s = self._runtime.monotonic_s()
            await self._runtime.thread(partial(self._port.wait, lanes, timeout_s=slice_s), lane="port")
            waited_s = self._runtime.monotonic_s() - began_s
            if waited_s < slice_s:  # it ended early: a message may be due
                return
            remaining_s -= waited_s


class _ThreadedStore(_Threaded):
    @property
    def durability(self) -> Durability:
        return cast("Durability", self._port.durability)

    async def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        return await self._call(partial(self._port.get, keys))

    async def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        return await self._call(partial(self._port.scan, prefix, after=after, limit=limit, reverse=reverse))

    async def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        return await self._call(partial(self._port.commit, checks, writes, token=token))


class _ThreadedAtomicStore(_ThreadedStore, _ThreadedQueue):
    async def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        return await self._call(
            partial(self._port.commit, checks, writes, token=token, messages=messages, settles=settles)
        )


class _ThreadedTransport(_Threaded):
    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        return cast("Literal['enforced', 'delegated']", self._port.checks_addresses)

    async def send(self, request: Request, /) -> Response:
        if self._never_waits:
            return await self._call(partial(self._port.send, request))
        # A peer may take half a minute to answer, so the transport has its own threads and never takes the store's.
        return await self._runtime.thread(partial(self._port.send, request), lane="wire")


class _ThreadedSigner(_Threaded):
    async def sign(self, key_name: str, data: bytes, /) -> bytes:
        return await self._call(partial(self._port.sign, key_name, data))

    async def make_key(self, kind: KeyKind, /) -> MadeKey:
        return await self._call(partial(self._port.make_key, kind))

    async def drop_key(self, key_name: str, /) -> bool:
        return await self._call(partial(self._port.drop_key, key_name))


def async_store(store: KvStore | AsyncKvStore, runtime: AsyncRuntime) -> AsyncKvStore:
    """Return ``store`` if it is asynchronous, else its own asynchronous twin, else ``store`` in threads.

    A store that is also a queue keeps the queue's methods.
    """
    if inspect.iscoroutinefunction(store.get):
        return cast("AsyncKvStore", store)
    make_twin: Callable[[AsyncRuntime], AsyncKvStore] | None = getattr(store, "asynchronous", None)
    if make_twin is not None:
        return make_twin(runtime)
    blocking = cast("AtomicStore", store)
    return threaded_store(blocking, runtime) if hasattr(store, "enqueue") else _ThreadedStore(blocking, runtime)


def threaded_store(store: AtomicStore, runtime: AsyncRuntime) -> AsyncAtomicStore:
    """Return a blocking store with coroutine methods, each of which runs in a thread."""
    return _ThreadedAtomicStore(store, runtime)


def store_on_loop(store: AtomicStore, runtime: AsyncRuntime) -> AsyncAtomicStore:
    """Return a blocking store with coroutine methods that run on the event loop itself: it must not change threads."""
    return _ThreadedAtomicStore(store, runtime, never_waits=True)


def async_queue(queue: MessageQueue | AsyncMessageQueue, runtime: AsyncRuntime) -> AsyncMessageQueue:
    """Return ``queue`` if it is asynchronous, else its own asynchronous twin, else ``queue`` in threads."""
    if inspect.iscoroutinefunction(queue.enqueue):
        return cast("AsyncMessageQueue", queue)
    make_twin: Callable[[AsyncRuntime], AsyncMessageQueue] | None = getattr(queue, "asynchronous", None)
    return make_twin(runtime) if make_twin is not None else _ThreadedQueue(cast("MessageQueue", queue), runtime)


def async_transport(transport: Transport | AsyncTransport, runtime: AsyncRuntime) -> AsyncTransport:
    """Return ``transport`` if it is asynchronous, else ``transport`` in threads."""
    if inspect.iscoroutinefunction(transport.send):
        return cast("AsyncTransport", transport)
    return _ThreadedTransport(cast("Transport", transport), runtime)


def async_signer(signer: Signer | AsyncSigner, runtime: AsyncRuntime) -> AsyncSigner:
    """Return ``signer`` if it is asynchronous, else ``signer`` in threads."""
    if inspect.iscoroutinefunction(signer.sign):
        return cast("AsyncSigner", signer)
    return _ThreadedSigner(cast("_Port", signer), runtime)
