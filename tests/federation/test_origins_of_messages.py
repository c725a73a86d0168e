"""Check workers of several federations on one store: each handles only the messages of its own origins."""

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
from apcore.federation.reconcile import reconcile
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
"""Another origin with the same lanes as A."""


class Post:
    """A network that accepts every delivery, and records the federation that sent it."""

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
        """Do nothing: there is no connection."""


def make_federation(name: str, received: list[tuple[str, str]]) -> Federation[None]:
    federation: Federation[None] = Federation(software=f"{name}/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @federation.on(Create)
    def created(ctx: Any, activity: Create) -> None:
        received.append((name, ctx.origin))

    return federation


@pytest.mark.parametrize("second", [B, SHARED_BUCKET], ids=["own lanes", "shared lanes"])
@pytest.mark.parametrize("store_kind", ["memory", "sqlite"])
def test_federations_on_one_store_never_handle_messages_of_each_other(
    store_kind: str, second: str, tmp_path: Any
) -> None:
    """Deliver mixed activities to both, with a blocking worker of one and an async worker of the other; both send."""
    count = 1000 if store_kind == "memory" and second == B else 100
    store = MemoryStore() if store_kind == "memory" else SqliteStore(tmp_path / "a.db", synchronous="normal")
    received: list[tuple[str, str]] = []
    network = PeerNetwork()
    post = Post(network)
    origins = {"one": A, "two": second}
    federations = {name: make_federation(name, received) for name in origins}
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
    moment = threading.Event()  # It is never set.
    for _ in range(15_000):
        if len(received) >= 2 * count and len(post.agents) >= 2:
            break
        moment.wait(0.01)
    for node in workers.values():
        node.stop()
    for thread in threads:
        thread.join(30)
    assert sorted(received) == sorted(list(origins.items()) * count)
    assert sorted(agent.partition("/")[0] + " " + actor for agent, actor in post.agents) == sorted(
        f"{name} {origin}/users/alice" for name, origin in origins.items()
    )
    store.close()


def test_worker_leaves_messages_of_other_origins_without_spinning() -> None:
    received: list[tuple[str, str]] = []
    clock = [0.0]
    store = MemoryStore(clock=lambda: clock[0])
    network = PeerNetwork()
    federation = make_federation("one", received)
    options: dict[str, Any] = {"signer": ReusedKeys(), "transport": network, "slots": 0}
    other_node = Node(make_federation("two", received), SHARED_BUCKET, store, **options)
    leases: list[int] = []
    node = Node(
        federation,
        A,
        store,
        observer=lambda effect, _: leases.append(1) if "Settle" in repr(effect) else None,
        **options,
    )
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert (
        bob.deliver(other_node, bob.activity("Create", object=object_), to=f"{SHARED_BUCKET}/users/alice/inbox").status
        == 202
    )
    for _ in range(120):
        clock[0] += 30.0
        node.work(until_idle=True)
    assert received == []
    assert len(leases) < 75, "the message is looked at once a minute, not more often"
    clock[0] += 60
    other_node.work(until_idle=True)
    assert received == [("two", SHARED_BUCKET)]


def test_reconcile_enqueues_only_for_its_own_origins() -> None:
    received: list[tuple[str, str]] = []
    store, network = MemoryStore(), PeerNetwork()
    queues = {A: MemoryStore(), B: MemoryStore()}
    options: dict[str, Any] = {"signer": ReusedKeys(), "transport": network}
    nodes = {
        origin: Node(make_federation("one", received), origin, store, queue=queues[origin], **options)
        for origin in (A, B)
    }
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert bob.deliver(nodes[B], bob.activity("Create", object=object_), to=f"{B}/users/alice/inbox").status == 202
    nodes[B].send(Like(object=f"{bob.actor}/1"), by="alice", to=bob.actor)
    assert nodes[A].run(reconcile(nodes[A].origins.has)) == 0
    assert nodes[B].run(reconcile(nodes[B].origins.has)) == 2


def test_node_without_an_origin_cannot_work() -> None:
    with Node(Federation(software="test/1.0")) as node, pytest.raises(ConfigurationError, match="no origin"):
        node.work(until_idle=True)


def test_all_lanes_fit_into_one_lease() -> None:
    assert len(LANES) == len(KINDS) * (BUCKETS + 1) <= 100
    assert set(lanes_for(INBOX, [A, B])) <= set(lanes_for(INBOX)) <= set(LANES)
    assert lane_of(INBOX, A) in lanes_for(INBOX, [A])
    assert {kind_of_lane(lane) for lane in LANES} == set(KINDS)


def test_wake_ups_of_earlier_releases_are_handled() -> None:
    received: list[tuple[str, str]] = []
    store, network = MemoryStore(), PeerNetwork()
    node = Node(make_federation("one", received), A, store, signer=ReusedKeys(), transport=network)
    bob = network.peer("https://remote.example/users/bob")
    object_ = {"type": "Note", "id": f"{bob.actor}/1", "attributedTo": bob.actor}
    assert bob.deliver(node, bob.activity("Create", object=object_), to=f"{A}/users/alice/inbox").status == 202
    [leased] = store.lease(node.lanes[INBOX], limit=10, lease_s=1000)
    key = read_wake(leased.message).key

    def enqueue() -> Op[None]:
        yield from Enqueue((Message(b"0" * 16, "inbox", json.dumps(key).encode(), dedup=json.dumps(key)),))

    node.run(enqueue())
    node.work(until_idle=True)
    assert received == [("one", A)]


def test_wake_up_reads_back() -> None:
    message = make_wake(INBOX, ("in-todo", "1", "x"), b"0" * 16, by=A, peer="https://remote.example")
    wake_up = read_wake(message)
    assert (wake_up.key, str(wake_up.by), wake_up.peer) == (("in-todo", "1", "x"), A, "https://remote.example")
