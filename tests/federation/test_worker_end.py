"""Check how an asynchronous worker ends: it cancels all its tasks, and abandons a handler that does not end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.effects import Lease
from apcore.federation import AsyncContext, Federation
from apcore.federation.wake_ups import KINDS
from apcore.node import AsyncNode, Node
from apcore.node.async_worker import AsyncWorker
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person
from inbox_fixture import ALICE, BOB, HERE

PATIENCE_S = 30.0


class Stubborn:
    """A server whose listener swallows every cancellation until the test releases it."""

    def __init__(self, *, swallows_max: float = float("inf"), fails: bool = False) -> None:
        self.swallows_max = swallows_max
        self.fails = fails
        self.is_released = False
        self.swallowed = 0
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.network = PeerNetwork()
        self.bob = self.network.peer(BOB)
        federation: Federation[None] = Federation()

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person:
            return Person(preferred_username=identifier)

        @federation.on(Activity)
        async def arrived(ctx: AsyncContext[None], activity: Activity) -> None:
            self.started.set()
            try:
                await self.hold_out()
            finally:
                self.ended.set()

        self.node = AsyncNode(federation, HERE, MemoryStore(), transport=self.network, signer=ReusedKeys())

    async def hold_out(self) -> None:
        never = asyncio.Event()
        while not self.is_released:
            try:
                _ = await asyncio.wait_for(never.wait(), 0.01)
            except TimeoutError:
                continue
            except asyncio.CancelledError:
                self.swallowed += 1
                if self.fails:
                    raise ValueError("instead of the cancellation") from None
                if self.swallowed > self.swallows_max:
                    raise

    async def work(self) -> int:
        activity = self.bob.activity("Like", object=ALICE)
        assert (await self.bob.deliver_async(self.node, activity, to="alice")).status == 202
        worker = asyncio.create_task(self.node.work(grace_s=0.0))
        _ = await asyncio.wait_for(self.started.wait(), PATIENCE_S)
        self.node.stop()
        return await asyncio.wait_for(worker, PATIENCE_S)


def test_handler_that_swallows_its_cancellation_is_abandoned(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apcore.node.async_worker._ABANDON_S", 0.05)

    async def main() -> None:
        server = Stubborn()
        assert await server.work() == 1
        assert server.swallowed == 1
        assert not server.ended.is_set()
        assert "has not ended within 0.05 s of its cancellation, and is abandoned" in caplog.text
        assert "is handled again when the lease ends" in caplog.text
        server.is_released = True
        _ = await asyncio.wait_for(server.ended.wait(), PATIENCE_S)
        await server.node.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_handler_that_ends_at_its_cancellation_is_not_abandoned(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = Stubborn(swallows_max=0, fails=fails)
        assert await server.work() == 1
        assert server.ended.is_set()
        assert "abandoned" not in caplog.text
        await server.node.aclose()

    asyncio.run(main())


def test_cancelled_worker_abandons_a_stubborn_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apcore.node.async_worker._ABANDON_S", 0.05)

    async def main() -> None:
        server = Stubborn()
        activity = server.bob.activity("Like", object=ALICE)
        assert (await server.bob.deliver_async(server.node, activity, to="alice")).status == 202
        worker = asyncio.create_task(server.node.work())
        _ = await asyncio.wait_for(server.started.wait(), PATIENCE_S)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(worker, PATIENCE_S)
        server.is_released = True
        _ = await asyncio.wait_for(server.ended.wait(), PATIENCE_S)

    asyncio.run(main())


class RecordedNursery:
    """A nursery that starts nothing by itself."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], Awaitable[None]]] = []

    def start(
        self, job: Callable[[], Awaitable[None]], /, *, abandon_after_s: float | None = None
    ) -> Callable[[], None]:
        self.jobs.append(job)
        return lambda: self.jobs.remove(job)


def test_every_task_that_has_not_ended_is_cancelled() -> None:
    """Start a `reconcile` and many watchers, of which every second one ends."""

    async def main() -> None:
        node = AsyncNode(Federation(), HERE, MemoryStore(), transport=PeerNetwork(), runtime=AsyncioRuntime())
        worker = AsyncWorker(node, until_idle=False, limit_s=None, grace_s=None)
        nursery = RecordedNursery()

        async def end() -> None:
            pass

        for _ in range(20):
            worker._start_task(nursery, end)
        for job in nursery.jobs[1::2]:
            await job()
            nursery.jobs.remove(job)
        assert len(nursery.jobs) == len(worker._task_cancels) == 10
        for cancel in list(worker._task_cancels.values()):
            cancel()
        assert nursery.jobs == []

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["async", "threads"])
def test_idle_worker_leaves_the_queue_alone_until_it_reports_a_message(kind: str) -> None:
    leases: list[Any] = []

    def observe(effect: object, _place: object) -> None:
        if isinstance(effect, Lease):
            leases.append(effect)

    federation: Federation[None] = Federation()
    if kind == "async":
        asyncio.run(AsyncNode(federation, HERE, MemoryStore(), observer=observe).work(limit_s=1.0))
    else:
        Node(federation, HERE, MemoryStore(), observer=observe).work(limit_s=1.0)
    # At the start, after the first reconciliation, and after a watch that began meanwhile.
    assert len(leases) <= 3 * len(KINDS)
