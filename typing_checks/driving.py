"""A driver returns what the operation returns; what fulfils a port fits. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_type

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import AsyncPorts, EffectPath, Observer, Ports, Stepper, async_ports, run, run_async
from apcore.effects import CallOutcome, Effect, Now, Op
from apcore.ports import (
    AsyncRuntime,
    AtomicStore,
    Check,
    Durability,
    Entry,
    KvStore,
    MessageQueue,
    Runtime,
    StoreKey,
    Write,
)
from apcore.testing.simulation import SimulatedNode, Simulation


def asks() -> Op[list[int]]:
    _ = yield from Now()
    return [1]


runtime: Runtime = BlockingRuntime()
on_asyncio: AsyncRuntime = AsyncioRuntime()
on_trio: AsyncRuntime = TrioRuntime()
memory: AtomicStore = MemoryStore()
as_store: KvStore = MemoryStore()
as_queue: MessageQueue = MemoryStore()


class FromOutside:
    """Somebody's own store: no base class, no registration."""

    durability: Durability = "process"

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        return [None for _ in keys]

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> list[Entry]:
        return []

    def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        return True

    def close(self) -> None: ...


def observe(effect: Effect[Any], place: EffectPath, /) -> Callable[[CallOutcome[Any]], None] | None:
    return None


observer: Observer = observe
ports = Ports(runtime=runtime, store=FromOutside(), queue=MemoryStore(), observer=observe)
assert_type(run(asks(), ports), list[int])
assert_type(Stepper(asks()).result, list[int])
assert_type(Stepper(asks()).wants, Effect[Any] | None)


async def on_a_loop() -> None:
    bundle = async_ports(runtime=AsyncioRuntime(), store=FromOutside(), queue=memory, observer=observe)
    assert_type(bundle, AsyncPorts)
    assert_type(await run_async(asks(), bundle), list[int])


def simulated() -> None:
    def boot(node: SimulatedNode) -> None:
        node.loop(asks, pause_s=1.0)

    node = Simulation(1).node("https://a.example", boot)
    assert_type(node.spawn(asks()).outcome, CallOutcome[Any] | None)
