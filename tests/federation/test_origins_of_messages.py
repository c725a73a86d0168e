"""Whose messages: a worker handles those of its own origins, and leaves those of other federations on the same store to their workers."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.adapters.sqlite import SqliteStore
from apcore.effects import Enqueue, Op
from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.federation.wake_ups import (
    BUCKETS,
    INBOX,
    KINDS,
    LANES,
    kind_of_lane,
    lane_of,
    lanes_for,
    make_wake,
    read_wake,
)
from apcore.federation.worker import reconcile
from apcore.http import Request, Response
from apcore.node import AsyncNode, Node
from apcore.ports import Message
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Create, Like, Person

A, B = "https://a.example", "https://b.example"
SHARED_BUCKET = next(
    origin for number in range(1000) if lane_of(INBOX, origin := f"https://b{number}.example") == lane_of(INBOX, A)
)
"""Another origin whose messages wait in the very lanes of A's."""


class Post:
    """A network that takes every delivery, and tells which of our federations made it."""

    checks_addresses = "enforced"

    def __init__(self, network: PeerNetwork) -> None:
        self.agents: list[tuple[str, str]] = []
        self._network = network

    def send(self, request: Request, /) -> Response:
        if request.method == "GET":
            return self._network.send(request)
        self.agents.append((request.headers.get("user-agent") or "", json.loads(request.body)["actor"]))
        return Response(202)

    def close(self) -> None:
        """Nothing is open."""


def make_federation(name: str, heard: list[tuple[str, str]]) -> Federation[None]:
    federation: Federation[None] = Federation(software=f"{name}/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @federation.on(Create)
    def created(ctx: Any, activity: Create) -> None:
        heard.append((name, ctx.origin))

    return federation


@pytest.mark.parametrize("second", [B, SHARED_BUCKET], ids=["own lanes", "shared lanes"])
@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_no_message_of_two_federations_on_one_store_crosses(where: str, second: str, tmp_path: Any) -> None:
    """2,000 activities for both, mixed, beside a blocking worker of one and an asynchronous one of the other; and what both publish."""
    count = 1000 if where == "memory" and second == B else 100
    store = MemoryStore() if where == "memory" else SqliteStore(tmp_path / "a.db", synchronous="normal")
    heard: list[tuple[str, str]] = []
    network = PeerNetwork()
    post = Post(network)
    origins = {"one": A, "two": second}
    federations = {name: make_federation(name, heard) for name in origins}
    options: dict[str, Any] = {"signer": ReusedKeys()}
    doors = {name: Node(federations[name], origins[name], store, transport=network, **options) for name in origins}
    bob = network.peer("https://remote.example/users/bob")
    for number in range(count):
        for name, origin in origins.items():
            object_ = {"type": "Note", "id": f"{bob.actor}/{name}/{number}", "attributedTo": bob.actor}
            assert (
                bob.deliver(
                    doors[name], bob.activity("Create", object=object_), to=f"{origin}/users/alice/inbox"
                ).status
                == 202
            )
    workers = {
        "one": Node(federations["one"], origins["one"], store, transport=post, **options),
        "two": AsyncNode(federations["two"], origins["two"], store, transport=post, **options),
    }
    for name, door in doors.items():
        door.send(Like(object=f"{bob.actor}/1"), by="alice", to=bob.actor, origin=origins[name])

    async def work() -> None:
        async with workers["two"] as node:
            await node.work()

    threads = [threading.Thread(target=workers["one"].work), threading.Thread(target=asyncio.run, args=(work(),))]
    for thread in threads:
        thread.start()
    moment = threading.Event()  # which never comes
    for _ in range(15_000):
        if len(heard) >= 2 * count and len(post.agents) >= 2:
            break
        moment.wait(0.01)
    for node in workers.values():
        node.stop()
    for thread in threads:
        thread.join(30)
    assert sorted(heard) == sorted(list(origins.items()) * count)
    assert sorted(agent.partition("/")[0] + " " + actor for agent, actor in post.agents) == sorted(
        f"{name} {origin}/users/alice" for name, origin in origins.items()
    )
    store.close()


def test_a_worker_alone_leaves_what_is_not_its_own_and_does_not_spin() -> None:
    heard: list[tuple[str, str]] = []
    clock = [0.0]
    store = MemoryStore(clock=lambda: clock[0])
    network = PeerNetwork()
    federation = make_federation("one", heard)
    options: dict[str, Any] = {"signer": ReusedKeys(), "transport": network, "slots": 0}
    theirs = Node(make_federation("two", heard), SHARED_BUCKET, store, **options)
    leases: list[int] = []
    ours = Node(
        federation,
        A,
        store,
        observer=lambda effect, _: leases.append(1) if "Settle" in repr(effect) else None,
        **options,
    )
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert (
        bob.deliver(theirs, bob.activity("Create", object=object_), to=f"{SHARED_BUCKET}/users/alice/inbox").status
        == 202
    )
    for _ in range(120):
        clock[0] += 30.0
        ours.work(until_idle=True)
    assert heard == []
    assert len(leases) < 75, "it is looked at once a minute, and not more often"
    clock[0] += 60
    theirs.work(until_idle=True)
    assert heard == [("two", SHARED_BUCKET)]


def test_reconcile_enqueues_for_its_own_origins_only() -> None:
    heard: list[tuple[str, str]] = []
    store, network = MemoryStore(), PeerNetwork()
    queues = {A: MemoryStore(), B: MemoryStore()}
    options: dict[str, Any] = {"signer": ReusedKeys(), "transport": network}
    nodes = {
        origin: Node(make_federation("one", heard), origin, store, queue=queues[origin], **options) for origin in (A, B)
    }
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert bob.deliver(nodes[B], bob.activity("Create", object=object_), to=f"{B}/users/alice/inbox").status == 202
    nodes[B].send(Like(object=f"{bob.actor}/1"), by="alice", to=bob.actor)
    assert nodes[A].run(reconcile(nodes[A].origins.has)) == 0
    assert nodes[B].run(reconcile(nodes[B].origins.has)) == 2


def test_a_node_without_an_origin_has_nothing_to_work_on() -> None:
    with Node(Federation(software="test/1.0")) as node, pytest.raises(ConfigurationError, match="no origin"):
        node.work(until_idle=True)


def test_lanes_are_by_origin_and_all_together_fit_one_lease() -> None:
    assert len(LANES) == len(KINDS) * (BUCKETS + 1) <= 100
    assert set(lanes_for(INBOX, [A, B])) <= set(lanes_for(INBOX)) <= set(LANES)
    assert lane_of(INBOX, A) in lanes_for(INBOX, [A])
    assert {kind_of_lane(lane) for lane in LANES} == set(KINDS)


def test_wake_ups_of_earlier_releases_are_still_handled() -> None:
    heard: list[tuple[str, str]] = []
    store, network = MemoryStore(), PeerNetwork()
    node = Node(make_federation("one", heard), A, store, signer=ReusedKeys(), transport=network)
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert bob.deliver(node, bob.activity("Create", object=object_), to=f"{A}/users/alice/inbox").status == 202
    [leased] = store.lease(node.lanes[INBOX], limit=10, lease_s=1000)
    key = read_wake(leased.message).key

    def enqueue() -> Op[None]:
        yield from Enqueue((Message(b"0" * 16, "inbox", json.dumps(key).encode(), dedup=json.dumps(key)),))

    node.run(enqueue())
    node.work(until_idle=True)
    assert heard == [("one", A)]


def test_a_wake_up_says_what_it_is_about() -> None:
    message = make_wake(INBOX, ("in-todo", "1", "x"), b"0" * 16, by=A, peer="https://remote.example")
    wake = read_wake(message)
    assert (wake.key, str(wake.by), wake.peer) == (("in-todo", "1", "x"), A, "https://remote.example")
