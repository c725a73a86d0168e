"""Blocking ports under a loop: in a thread, on the loop where they promise not to wait, or by a twin of their own."""

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


class Waiting(MemoryStore):
    """Memory that does not promise anything, and notes its waits."""

    never_waits = False
    waited: tuple[float, ...] = ()

    def wait(self, lanes, /, *, timeout_s):
        self.waited += (timeout_s,)


def with_runtime(job) -> Any:
    runtime = CountingRuntime()

    async def main() -> Any:
        return await job(runtime)

    try:
        return asyncio.run(main()), runtime.lanes
    finally:
        runtime.close()


def uses(ports: AsyncPorts):
    """Every method of every port once; answers what they answered."""

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
        [leased] = await queue.lease(("lane",), limit=1, lease_s=9)
        answers += [
            leased.message,
            list(await queue.extend((leased,), lease_s=9)),
            (await queue.depth(("lane",))).leased,
            list(await queue.settle((Done(leased),))),
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


def test_ports_that_may_wait_are_called_in_threads():
    store = Waiting()
    answers, lanes = with_runtime(lambda runtime: uses(bundle(runtime, store, store)))
    assert (answers, set(lanes), len(lanes)) == (EXPECTED, {"port", "wire"}, 14)


def test_a_queue_apart_is_called_in_threads():
    answers, lanes = with_runtime(lambda runtime: uses(bundle(runtime, MemoryStore(), Waiting())))
    assert (answers, set(lanes), len(lanes)) == (EXPECTED, {"port", "wire"}, 10)


def test_ports_that_never_wait_are_called_on_the_loop():
    store = MemoryStore()
    answers, lanes = with_runtime(lambda runtime: uses(bundle(runtime, store, store)))
    assert (answers, len(lanes)) == (EXPECTED, 4)  # those of the transport (its closing too) and the signer


def test_a_store_that_is_the_queue_stays_one_object():
    store = MemoryStore()
    runtime = AsyncioRuntime()
    one, two = bundle(runtime, store, store), bundle(runtime, store, MemoryStore())
    assert one.store is one.queue
    assert two.store is not two.queue


class KvOnly:
    """A store that is no queue."""

    durability = "none"

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.get, self.scan, self.commit, self.close = (
            self._store.get,
            self._store.scan,
            lambda checks, writes, *, token: self._store.commit(checks, writes, token=token),
            self._store.close,
        )


def test_a_store_that_is_no_queue_is_never_asked_for_one():
    def op() -> Op[object]:
        yield from Commit((), (Put(("k",), b"v"),), token=b"t" * 16, messages=(MESSAGE,))
        return [entry.value for entry in (yield from Scan((), limit=1))]

    queue = MemoryStore()
    answers, _ = with_runtime(
        lambda runtime: run_async(op(), async_ports(runtime=runtime, store=KvOnly(), queue=queue))
    )
    assert (answers, queue.depth(("lane",)).ready) == ([b"v"], 1)
    twin = async_ports(runtime=AsyncioRuntime(), store=KvOnly()).store
    assert not hasattr(twin, "enqueue")


class Native:
    """Ports that are awaited already: they are taken as they are."""

    durability = "none"
    checks_addresses = "enforced"

    async def get(self, keys, /): ...

    async def enqueue(self, messages, /): ...

    async def send(self, request, /): ...

    async def sign(self, key_name, data, /): ...


def test_async_ports_are_taken_as_they_are():
    native: Any = Native()
    ports = async_ports(runtime=AsyncioRuntime(), store=native, queue=native, transport=native, signer=native)
    assert all(port is native for port in (ports.store, ports.queue, ports.transport, ports.signer))
    apart: Any = Native()
    assert async_ports(runtime=AsyncioRuntime(), store=native, queue=apart).queue is apart


class WithTwin(MemoryStore):
    """A blocking store that brings its own twin."""

    def asynchronous(self, runtime):
        self.runtime = runtime
        native: Any = Native()
        return native


def test_a_port_may_bring_its_own_twin():
    runtime = AsyncioRuntime()
    store, queue = WithTwin(), WithTwin()
    both = async_ports(runtime=runtime, store=store, queue=store)
    assert isinstance(both.store, Native)
    assert both.queue is both.store
    assert store.runtime is runtime
    apart = async_ports(runtime=runtime, store=MemoryStore(), queue=queue)
    assert isinstance(apart.queue, Native)
    assert queue.runtime is runtime


@pytest.mark.parametrize(("asked", "slice_s"), [(60.0, 0.5), (0.2, 0.2)])
def test_waiting_is_taken_in_slices_so_that_a_cancelled_worker_leaves_its_thread_soon(asked, slice_s):
    store = Waiting()
    _, lanes = with_runtime(lambda runtime: waits(bundle(runtime, store, store), asked))
    assert (store.waited, lanes) == ((slice_s,), ["port"])


def test_even_a_port_that_never_waits_waits_in_a_thread():
    class Promising(MemoryStore):
        thread = ""

        def wait(self, lanes, /, *, timeout_s):
            self.thread = threading.current_thread().name

    store = Promising()
    with_runtime(lambda runtime: waits(bundle(runtime, store, store), 1))
    assert store.thread.startswith("apcore-port")


async def waits(ports: AsyncPorts, timeout_s: float) -> None:
    assert ports.queue is not None
    await ports.queue.wait(("lane",), timeout_s=timeout_s)


def test_wrong_arguments_come_out_of_the_thread():
    def op() -> Op[object]:
        return (yield from Get(((),)))

    with pytest.raises(ValueError, match="a key is a tuple of 1 to 16 strings"):
        with_runtime(lambda runtime: run_async(op(), async_ports(runtime=runtime, store=Waiting())))
