"""Check subscriptions to relays of both kinds, and what a relay may tell us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Activity, Announce, Create, Follow, Note, Person, Undo

HERE = "https://local.example"
HOST = "local.example"
ALICE = f"{HERE}/users/alice"
INSTANCE = f"{HERE}/actor"
FOLLOWING = f"{INSTANCE}#following"
RELAY = "https://relay.example/actor"
BOB = "https://remote.example/users/bob"
AS2 = "https://www.w3.org/ns/activitystreams"


class Server:
    """A node with an actor `alice`, a relay, and Bob on a third server."""

    def __init__(self, **options: Any) -> None:
        self.heard: list[tuple[str, str | None, str | None, str | None]] = []
        self.network = PeerNetwork()
        self.relay = self.network.peer(RELAY, type="Application")
        self.bob = self.network.peer(BOB)
        federation: Federation[None] = Federation(software="test/1.0", **options)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"alice", HOST} else None

        def heard(ctx: Any, activity: Activity) -> None:
            uri = None if activity.object is None else activity.object.uri
            self.heard.append((activity.document.types[0], uri, ctx.auth_method, ctx.relayed_by))

        federation.on(Create)(heard)
        federation.on(Announce)(heard)
        self.node = Node(federation, HERE, "memory:", transport=self.network, signer=ReusedKeys(), slots=0)
        self.network.join(self.node)

    def work(self) -> None:
        for _ in range(3):
            self.node.work(until_idle=True)

    def deliver(self, peer: Peer, activity: Any, to: str | None = None) -> int:
        status = peer.deliver(self.node, activity, to=to).status
        self.work()
        return status

    def following(self, collection: str = FOLLOWING) -> list[Any]:
        return list(self.node.members(collection).items)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.node.close()


# --- the instance actor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "us", "collection"), [(HOST, INSTANCE, FOLLOWING), ("alice", ALICE, None)])
def test_accepted_follow_of_the_public_is_a_subscription(
    server: Server, by: str, us: str, collection: str | None
) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=by, to=RELAY)
    server.work()
    [arrival] = server.relay.received
    follow = arrival.activity
    assert (follow["id"], follow["actor"], follow["object"]) == (follow_id, us, PUBLIC)
    assert follow_id.startswith(f"{us}#follow/")
    assert arrival.key_id == f"{us}#main-key"
    members = collection or f"{ALICE}/following"
    assert server.following(members) == []
    accept = server.relay.activity("Accept", object={"id": follow_id, "type": "Follow", "actor": us, "object": PUBLIC})
    assert server.deliver(server.relay, accept) == 202
    assert server.following(members) == [RELAY]


ACCEPTED = {
    "by its id": lambda follow_id: follow_id,
    "with its object": lambda follow_id: {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": PUBLIC},
    "with a short name of the public": lambda follow_id: {
        "id": follow_id,
        "type": "Follow",
        "actor": INSTANCE,
        "object": "as:Public",
    },
    "with the relay as its object": lambda follow_id: {
        "id": follow_id,
        "type": "Follow",
        "actor": INSTANCE,
        "object": RELAY,
    },
    "with an id of the relay": lambda follow_id: {
        "id": f"{RELAY}#1",
        "type": "Follow",
        "actor": INSTANCE,
        "object": PUBLIC,
    },
}


@pytest.mark.parametrize("make_object", ACCEPTED.values(), ids=ACCEPTED)
def test_relays_name_the_follow_in_their_accept_in_several_ways(server: Server, make_object: Any) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.work()
    accept = server.relay.activity("Accept", object=make_object(follow_id))
    assert server.deliver(server.relay, accept) == 202
    assert server.following() == [RELAY]


def test_accept_by_another_actor_subscribes_to_nothing(server: Server) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.work()
    follow = {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": PUBLIC}
    assert server.deliver(server.bob, server.bob.activity("Accept", object=follow)) == 202
    assert server.following() == []


def test_undone_follow_of_the_public_ends_the_subscription(server: Server) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.deliver(server.relay, server.relay.activity("Accept", object=follow_id))
    assert server.following() == [RELAY]
    server.node.send(Undo(object=Follow(id=follow_id, actor=INSTANCE, object=PUBLIC)), by=HOST, to=RELAY)
    server.work()
    assert server.following() == []
    assert server.relay.received[-1].activity["object"]["object"] == PUBLIC


def test_instance_actor_publishes_nothing(server: Server) -> None:
    with pytest.raises(ValueError, match="has no outbox"):
        server.node.publish(Note(content="hi"), by=HOST)


def test_name_of_the_host_is_no_other_actor(server: Server) -> None:
    """The application's handler knows the name, but it belongs to the instance actor, as in WebFinger."""
    for path in ("/users/local.example", "/users/local.example/followers"):
        request = Request("GET", HERE + path, Headers({"Accept": "application/activity+json"}))
        answer = server.node.handle(request)
        assert isinstance(answer, Response)
        assert answer.status == 404
    follow = server.bob.activity("Follow", object=f"{HERE}/users/{HOST}")
    assert server.deliver(server.bob, follow) == 202
    assert server.bob.received == []


def test_stranger_cannot_follow_the_instance_actor(server: Server) -> None:
    assert server.deliver(server.bob, server.bob.activity("Follow", object=INSTANCE)) == 202
    assert server.bob.received == []
    assert server.following(f"{INSTANCE}#followers") == []
