"""Check blocking ports under a loop: in a thread, on the loop if they never wait, or by an async twin."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.drivers import AsyncPorts, async_ports, run_async
from apcore.effects import Commit, Get, Op, Scan
from apcore.http import Request, Response
from apcore.ports import Done, Message, Put
from worlds import Keyring, Web

PAGE = Request("GET", "https://a.example/page")
MESSAGE = Message(b"m" * 16, "lane", b"look")


class CountingRuntime(AsyncioRuntime):
    def __init__(self) -> None:
        super().__init__()
        self.lanes: list[str] = []

    async def thread(self, job, /, *, lane):
        self.lanes.append(lane)
        return await super().thread(job, lane=lane)


class WaitingStore(MemoryStore):
    """A memory store that does not promise never to wait, and records its waits."""

    never_waits = False
    waits: tuple[float, ...] = ()

    def wait(self, lanes, /, *, timeout_s):
        self.waits += (timeout_s,)


def with_runtime(job) -> Any:
    runtime = CountingRuntime()

    async def main() -> Any:
        return await job(runtime)

    try:
        return asyncio.run(main()), runtime.lanes
    finally:
        runtime.close()


def use_every_port(ports: AsyncPorts):
    """Call every method of every port once and return the answers."""

    async def job() -> list[Any]:
        store, queue, transport, signer = ports.store, ports.queue, ports.transport, ports.signer
        assert store
        assert queue
        assert transport
        assert signer
        answers: list[Any] = [
            await store.commit((), (Put(("k",), b"v"),), token=b"t" * 16),
            [entry and entry.value for entry in await store.get((("k",),))],
            [entry.key for entry in await store.scan((), after=("a",), limit=5, reverse=False)],
            store.durability,
            await queue.enqueue((MESSAGE,)),
        ]
        [lease] = await queue.lease(("lane",), limit=1, lease_s=9)
        answers += [
            lease.message,
            list(await queue.extend((lease,), lease_s=9)),
            (await queue.depth(("lane",))).leased,
            list(await queue.settle((Done(lease),))),
            transport.checks_addresses,
            (await transport.send(PAGE)).status,
            await signer.sign("k", b"data"),
            (await signer.make_key("ed25519")).kind,
        ]
        for port in (store, queue, transport):
            await port.aclose()
        return answers

    return job()


EXPECTED = [True, [b"v"], [("k",)], "none", None, MESSAGE, [], 1, [], "enforced", 200, b"k:data", "ed25519"]


def bundle(runtime: AsyncioRuntime, store: Any, queue: Any) -> AsyncPorts:
    return async_ports(
        runtime=runtime, store=store, queue=queue, transport=Web({PAGE.url: Response(200)}), signer=Keyring()
    )


def test_waiting_ports_are_called_in_threads():
    store = WaitingStore()
    answers, lanes = with_runtime(lambda runtime: use_every_port(bundle(runtime, store, store)))
    assert (answers, set(lanes), len(lanes)) == (EXPECTED, {"port", "wire"}, 14)


def test_separate_waiting_queue_is_called_in_threads():
    answers, lanes = with_runtime(lambda runtime: use_every_port(bundle(runtime, MemoryStore(), WaitingStore())))
    assert (answers, set(lanes), len(lanes)) == (EXPECTED, {"port", "wire"}, 10)


def test_ports_that_never_wait_are_called_on_the_loop():
    store = MemoryStore()
    answers, lanes = with_runtime(lambda runtime: use_every_port(bundle(runtime, store, store)))
    assert (answers, len(lanes)) == (EXPECTED, 4)  # those of the transport (its closing too) and the signer


def test_store_that_is_the_queue_stays_one_object():
    store = MemoryStore()
    runtime = AsyncioRuntime()
    combined, separate = bundle(runtime, store, store), bundle(runtime, store, MemoryStore())
    assert combined.store is combined.queue
    assert separate.store is not separate.queue


class StoreWithoutQueue:
    """A store without the methods of a queue."""

    durability = "none"

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.get, self.scan, self.commit, self.close = (
            self._store.get,
            self._store.scan,
            lambda checks, writes, *, token: self._store.commit(checks, writes, token=token),
            self._store.close,
        )


def test_store_without_queue_methods_is_not_used_as_a_queue():
    def op() -> Op[object]:
        yield from Commit((), (Put(("k",), b"v"),), token=b"t" * 16, messages=(MESSAGE,))
        return [entry.value for entry in (yield from Scan((), limit=1))]

    queue = MemoryStore()
    answers, _ = with_runtime(
        lambda runtime: run_async(op(), async_ports(runtime=runtime, store=StoreWithoutQueue(), queue=queue))
    )
    assert (answers, queue.depth(("lane",)).ready) == ([b"v"], 1)
    twin = async_ports(runtime=AsyncioRuntime(), store=StoreWithoutQueue()).store
    assert not hasattr(twin, "enqueue")


class AsyncPort:
    """Ports that are async already: they are used unchanged."""

    durability = "none"
    checks_addresses = "enforced"

    async def get(self, keys, /): ...

    async def enqueue(self, messages, /): ...

    async def send(self, request, /): ...

    async def sign(self, key_name, data, /): ...


def test_async_ports_are_used_unchanged():
    native: Any = AsyncPort()
    ports = async_ports(runtime=AsyncioRuntime(), store=native, queue=native, transport=native, signer=native)
    assert all(port is native for port in (ports.store, ports.queue, ports.transport, ports.signer))
    separate_queue: Any = AsyncPort()
    assert async_ports(runtime=AsyncioRuntime(), store=native, queue=separate_queue).queue is separate_queue


class StoreWithTwin(MemoryStore):
    """A blocking store that provides its own async twin."""

    def asynchronous(self, runtime):
        self.runtime = runtime
        native: Any = AsyncPort()
        return native


def test_port_may_provide_its_own_async_twin():
    runtime = AsyncioRuntime()
    store, queue = StoreWithTwin(), StoreWithTwin()
    combined = async_ports(runtime=runtime, store=store, queue=store)
    assert isinstance(combined.store, AsyncPort)
    assert combined.queue is combined.store
    assert store.runtime is runtime
    separate = async_ports(runtime=runtime, store=MemoryStore(), queue=queue)
    assert isinstance(separate.queue, AsyncPort)
    assert queue.runtime is runtime


@pytest.mark.parametrize(("timeout_s", "slice_s"), [(60.0, 0.5), (0.2, 0.2)])
def test_wait_is_limited_to_short_slices(timeout_s, slice_s):
    store = WaitingStore()
    _, lanes = with_runtime(lambda runtime: wait_for_messages(bundle(runtime, store, store), timeout_s))
    assert (store.waits, lanes) == ((slice_s,), ["port"])


def test_queue_wait_runs_in_a_thread_even_if_the_port_never_waits():
    class ThreadRecordingStore(MemoryStore):
        thread = ""

        def wait(self, lanes, /, *, timeout_s):
            self.thread = threading.current_thread().name

    store = ThreadRecordingStore()
    with_runtime(lambda runtime: wait_for_messages(bundle(runtime, store, store), 1))
    assert store.thread.startswith("apcore-port")


async def wait_for_messages(ports: AsyncPorts, timeout_s: float) -> None:
    assert ports.queue is not None
    await ports.queue.wait(("lane",), timeout_s=timeout_s)


def test_value_error_in_a_thread_reaches_the_caller():
    def op() -> Op[object]:
        return (yield from Get(((),)))

    with pytest.raises(ValueError, match="a key is a tuple of 1 to 16 strings"):
        with_runtime(lambda runtime: run_async(op(), async_ports(runtime=runtime, store=WaitingStore())))
