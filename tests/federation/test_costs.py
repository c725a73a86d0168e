"""Count the effects, transactions, threads and calls of a delivery and of a POST on SQLite. Counts do not flicker.

A ceiling is a promise about speed: benchmarks depend on the machine, and these numbers do not. Lower a ceiling when you
need less. Before you raise one, look for a way without it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import pytest
from attrs import define, field

from apcore import AsyncNode, Federation, OpContext, operation
from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.sqlite import SqliteStore
from apcore.collections import Member, put_member
from apcore.effects import Op, commit_batch
from apcore.federation.actors.profiles import Inboxes
from apcore.federation.outbox.records import encode_inboxes
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, lanes_for
from apcore.federation.worker import handle, lease_lanes
from apcore.http import Request, Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Create, Note, Person
from source_tree import SOURCE

HERE = "https://here.example"
STEP = 20

DELIVERY_EFFECTS = 9
"""The effects of a delivery to an origin of its own."""
STEP_EFFECTS = 3.3
"""The effects of each delivery in a step of 20 to one origin."""
STEP_COMMITS = 1
DELIVERY_THREADS = 0.2
"""The threads that the store takes for each of 20 deliveries at once."""
DELIVERY_CALLS = 725
"""The calls of functions of apcore for each of 20 deliveries at once."""
PLANNING_EFFECTS = 14
"""The effects of a step of planning for 20 followers whose inboxes are stored, after the first step."""
POST_EFFECTS = 5
POST_COMMITS = 1
POST_THREADS = 1
PROCESSING_COMMITS = 1

OPENED_STORES: list[SqliteStore] = []


def open_sqlite(path: Any, **options: Any) -> SqliteStore:
    """Open a store that `close_stores` closes after the test: a node leaves a store open that was passed to it."""
    OPENED_STORES.append(SqliteStore(path, **options))
    return OPENED_STORES[-1]


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    yield
    while OPENED_STORES:
        OPENED_STORES.pop().close()


@define
class Counts:
    """The costs since the last reset."""

    effects: Counter[str] = field(factory=Counter[str])
    threads: int = 0
    calls: int = 0

    def observe(self, effect: object, _place: object, /) -> None:
        self.effects[type(effect).__name__] += 1

    @contextmanager
    def counted_calls(self) -> Any:
        """Count the calls of functions of apcore in this thread."""
        source = str(SOURCE / "apcore")

        def hook(frame: FrameType, event: str, _argument: object) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(source):
                self.calls += 1

        sys.setprofile(hook)
        try:
            yield
        finally:
            sys.setprofile(None)


class CountingRuntime(AsyncioRuntime):
    """A runtime that counts the calls of ports in threads."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    async def thread(self, job: Callable[[], Any], /, *, lane: Literal["port", "wire", "handler"]) -> Any:
        self._counts.threads += 1
        return await super().thread(job, lane=lane)


class LoopKeys:
    """A signer on the loop, so that only the threads of the store are counted."""

    def __init__(self) -> None:
        self._keys = ReusedKeys()

    async def sign(self, key_name: str, data: bytes, /) -> bytes:
        return self._keys.sign(key_name, data)

    async def make_key(self, kind: Any, /) -> Any:
        return self._keys.make_key(kind)

    async def drop_key(self, key_name: str, /) -> bool:
        return self._keys.drop_key(key_name)


class LoopNetwork:
    """The transport of a `PeerNetwork` on the loop; inboxes of other hosts answer 202."""

    checks_addresses: Literal["enforced"] = "enforced"

    def __init__(self, network: PeerNetwork) -> None:
        self._network = network
        self.posts = 0

    async def send(self, request: Request, /) -> Response:
        if request.method == "GET":
            return self._network.send(request)
        self.posts += 1
        return Response(202)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


class Server:
    """A node on SQLite with followers, whose costs are counted."""

    def __init__(self, path: Path) -> None:
        self.counts = Counts()
        self.network = PeerNetwork()
        self.transport = LoopNetwork(self.network)
        federation: Federation[None] = Federation()

        @federation.actor("/users/{identifier}")
        @operation
        def actor(_ctx: OpContext[None], identifier: str) -> Op[Person]:
            yield from ()
            return Person(preferred_username=identifier)

        @federation.on(Create)
        @operation
        def create(_ctx: OpContext[None], _activity: Create) -> Op[None]:
            yield from ()

        self.node: AsyncNode[None] = AsyncNode(
            federation,
            HERE,
            open_sqlite(path, synchronous="normal"),
            transport=self.transport,
            signer=LoopKeys(),
            runtime=CountingRuntime(self.counts),
            observer=self.counts.observe,
        )

    async def add_follower(self, actor: str) -> None:
        def add() -> Op[None]:
            member = Member(actor, encode_inboxes(Inboxes(f"{actor}/inbox")))
            batch = yield from put_member(f"{HERE}/users/alice/followers", member, order=actor)
            yield from commit_batch(batch)

        await self.node.run(add())

    async def publish(self) -> None:
        await self.node.publish(Note(content="Hello"), by="alice", visibility="public")

    async def lease(self, kind: str) -> Sequence[Any]:
        return await self.node.run(lease_lanes(lanes_for(kind), limit=100))

    async def handle_all(self, kind: str) -> None:
        """Handle all messages of a kind, at the same time."""
        while leases := await self.lease(kind):
            await asyncio.gather(*(self.node.run(handle(self.node.site(), leased)) for leased in leases))

    async def prepare_deliveries(self, activities: int) -> Sequence[Any]:
        """Publish and plan activities, and return the leased messages of their deliveries, with the counts at zero."""
        for _ in range(activities):
            await self.publish()
        await self.handle_all(FANOUT)
        leases = await self.lease(DELIVER)
        self.transport.posts = 0
        self.reset()
        return leases

    def reset(self) -> None:
        self.counts.effects.clear()
        self.counts.threads = self.counts.calls = 0


def run_server(path: Path, scenario: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(path)
        try:
            await scenario(server)
        finally:
            await server.node.aclose()

    asyncio.run(main())


def test_delivery_to_an_origin_of_its_own(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        for number in range(STEP):
            await server.add_follower(f"https://peer{number}.example/users/bob")
        await server.publish()
        await server.node.work(until_idle=True)  # makes keys, and records what is known about the hosts
        leases = await server.prepare_deliveries(1)
        assert len(leases) == STEP
        with server.counts.counted_calls():
            await asyncio.gather(*(server.node.run(handle(server.node.site(), leased)) for leased in leases))
        assert server.transport.posts == STEP
        effects = server.counts.effects
        assert effects.total() <= DELIVERY_EFFECTS * STEP, effects
        assert effects["Commit"] == STEP
        assert effects["Lease"] == 0
        assert server.counts.threads <= DELIVERY_THREADS * STEP
        assert server.counts.calls <= DELIVERY_CALLS * STEP
        # Nothing is left, so nothing is leased only to find that out.
        assert await server.lease(DELIVER) == ()

    run_server(tmp_path / "a.db", scenario)


def test_step_of_deliveries_to_one_origin(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        await server.add_follower("https://peer.example/users/bob")
        await server.publish()
        await server.node.work(until_idle=True)
        [leased] = await server.prepare_deliveries(STEP)
        await server.node.run(handle(server.node.site(), leased))
        assert server.transport.posts == STEP
        assert server.counts.effects.total() <= STEP_EFFECTS * STEP, server.counts.effects
        assert server.counts.effects["Commit"] == STEP_COMMITS

    run_server(tmp_path / "a.db", scenario)


def test_step_of_planning_for_stored_inboxes(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        for number in range(2 * STEP):
            await server.add_follower(f"https://peer{number}.example/users/bob")
        await server.publish()
        [leased] = await server.lease(FANOUT)
        await server.node.run(handle(server.node.site(), leased))  # signs the activity, and makes the keys
        [leased] = await server.lease(FANOUT)
        server.reset()
        await server.node.run(handle(server.node.site(), leased))
        effects = server.counts.effects
        assert effects.total() <= PLANNING_EFFECTS, effects
        assert effects["Fetch"] == 0
        assert effects["Commit"] == 1
        assert server.counts.threads <= 1

    run_server(tmp_path / "a.db", scenario)


def test_post_and_its_processing(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        bob = server.network.peer("https://peer.example/users/bob")

        def create(number: int) -> Request:
            note = {"type": "Note", "id": f"https://peer.example/notes/{number}", "attributedTo": bob.actor}
            return bob.request(bob.activity("Create", object=note), f"{HERE}/users/alice/inbox")

        response = await server.node.handle(create(1))
        assert isinstance(response, Response)
        assert response.status == 202
        await server.node.work(until_idle=True)
        request = create(2)
        server.reset()
        response = await server.node.handle(request)
        assert isinstance(response, Response)
        assert response.status == 202
        effects = server.counts.effects
        assert effects.total() <= POST_EFFECTS, effects
        assert effects["Commit"] == POST_COMMITS
        assert server.counts.threads <= POST_THREADS
        [leased] = await server.lease(INBOX)
        server.reset()
        await server.node.run(handle(server.node.site(), leased))
        assert server.counts.effects["Commit"] == PROCESSING_COMMITS
        assert server.counts.threads <= 1

    run_server(tmp_path / "a.db", scenario)
