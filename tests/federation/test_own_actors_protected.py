"""An actor of ours changes only by itself: whatever another actor sends about it, it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from apcore import Federation, Node
from apcore.http import Headers, Request, Response
from apcore.node import Elsewhere
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Activity, Note, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
MALLORY = f"{HERE}/users/mallory"
EVE = "https://evil.example/users/eve"


class GuardedServer:
    """A server with alice, her followers bob and eve, and a listener for everything. Alice follows bob."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        federation: Federation[None] = Federation(software="test/1.0")
        federation.actor("/users/{identifier}")(
            lambda ctx, identifier: Person(preferred_username="alice") if identifier == "alice" else None
        )
        federation.on(Activity)(lambda ctx, activity: self.heard.append(activity.document.types[0]))
        self.network = PeerNetwork()
        self.node = Node(federation, HERE, "memory:", transport=self.network, signer=ReusedKeys())
        self.bob = self.network.peer("https://remote.example/users/bob")
        self.eve = self.network.peer(EVE, members={"alsoKnownAs": [ALICE]})
        # The key of another actor of our origin, as if it had leaked.
        self.mallory = Peer(MALLORY, network=self.network)
        # Eve follows alice too, so her activities are not ignored as those of a stranger.
        for peer in (self.bob, self.eve):
            self.deliver(peer, peer.activity("Follow", object=ALICE))
        self.follow = self.node.follow(self.bob.actor, by="alice")
        self.deliver(self.bob, self.bob.activity("Accept", object=self.follow))
        self.note = self.node.publish(Note(content="mine"), by="alice")
        self.work()
        self.heard.clear()

    def deliver(self, peer: Peer, activity: dict[str, Any], to: str | None = "alice") -> Response:
        answer = peer.deliver(self.node, activity, to=to)
        self.work()
        return answer

    def work(self) -> None:
        for _ in range(3):
            _ = self.node.work(until_idle=True)

    def state(self) -> dict[str, Any]:
        """Return what is served of alice, without the order of keys that are made on demand."""
        urls = [
            ALICE,
            self.note,
            f"{ALICE}/outbox",
            *(f"{ALICE}/{name}?page=true" for name in ("followers", "following")),
        ]
        state: dict[str, Any] = {}
        for url in urls:
            served = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
            assert not isinstance(served, Elsewhere)
            state[url] = (served.status, json.loads(served.body))
        return state


def change_of(server: GuardedServer, name: str, object_: Any, by: Peer) -> dict[str, Any]:
    members: dict[str, Any] = {"object": object_} | ({"target": EVE} if name == "Move" else {})
    return by.activity(name, **members)


OBJECTS: dict[str, Callable[[GuardedServer], Any]] = {
    "alice by id": lambda server: ALICE,
    "alice embedded": lambda server: {"id": ALICE, "type": "Person", "inbox": f"{EVE}/inbox", "name": "taken"},
    "alice as owned by the sender": lambda server: {"id": ALICE, "type": "Person", "attributedTo": EVE},
    "a tombstone of alice": lambda server: {"id": ALICE, "type": "Tombstone"},
    "her key": lambda server: {"id": f"{ALICE}#main-key", "owner": ALICE, "publicKeyPem": "x"},
    "her note": lambda server: server.note,
    "her followers": lambda server: f"{ALICE}/followers",
    "the instance actor": lambda server: f"{HERE}/actor",
    "the sender and alice": lambda server: [EVE, ALICE],
}
CASES = list(product(["Update", "Delete", "Move"], OBJECTS))


@pytest.mark.parametrize(("name", "object_name"), CASES, ids=[" ".join(case) for case in CASES])
@pytest.mark.parametrize("to", ["alice", None], ids=["her inbox", "the shared inbox"])
def test_follower_cannot_change_an_actor_of_ours(name: str, object_name: str, to: str | None) -> None:
    server = GuardedServer()
    before = server.state()
    answer = server.deliver(server.eve, change_of(server, name, OBJECTS[object_name](server), server.eve), to)
    assert server.state() == before
    if name != "Move" or object_name != "her key":
        assert (answer.status, server.heard) == (403, [])


@pytest.mark.parametrize("name", ["Update", "Delete", "Move"])
@pytest.mark.parametrize("object_name", ["alice by id", "her note", "her followers", "the instance actor"])
def test_another_actor_of_the_same_origin_cannot_change_it_either(name: str, object_name: str) -> None:
    server = GuardedServer()
    before = server.state()
    answer = server.deliver(server.mallory, change_of(server, name, OBJECTS[object_name](server), server.mallory))
    assert answer.status == 403
    assert (server.state(), server.heard) == (before, [])


@pytest.mark.parametrize("name", ["Update", "Delete", "Move", "Undo", "Reject", "Block"])
def test_activity_in_the_name_of_our_actor_is_refused(name: str) -> None:
    server = GuardedServer()
    before = server.state()
    ident = f"{ALICE}#forged"
    activity = change_of(server, name, server.follow if name == "Undo" else ALICE, server.eve)
    answer = server.deliver(server.eve, activity | {"id": ident, "actor": ALICE})
    # An Update or a Delete by an unknown actor about itself is ignored before its key is fetched.
    assert answer.status in ({202} if name in {"Update", "Delete"} else {401, 403})
    assert (server.state(), server.heard) == (before, [])


FOREIGN_STATEMENTS: dict[str, Callable[[GuardedServer], dict[str, Any]]] = {
    "Undo of bob's Follow": lambda server: {
        "type": "Undo",
        "object": {"type": "Follow", "actor": server.bob.actor, "object": ALICE},
    },
    "Undo of alice's Follow": lambda server: {"type": "Undo", "object": server.follow},
    "Reject of alice's Follow of bob": lambda server: {"type": "Reject", "object": server.follow},
    "Reject of an embedded Follow": lambda server: {
        "type": "Reject",
        "object": {"id": server.follow, "type": "Follow", "actor": ALICE, "object": server.bob.actor},
    },
    "Accept of a Follow of eve": lambda server: {
        "type": "Accept",
        "object": {"id": f"{EVE}/x", "type": "Follow", "actor": ALICE, "object": EVE},
    },
    "Add to her followers": lambda server: {"type": "Add", "object": EVE, "target": f"{ALICE}/followers"},
    "Remove from her followers": lambda server: {
        "type": "Remove",
        "object": server.bob.actor,
        "target": f"{ALICE}/followers",
    },
    "Move of bob": lambda server: {"type": "Move", "object": server.bob.actor, "target": EVE},
    "Delete of bob": lambda server: {"type": "Delete", "object": server.bob.actor},
}


@pytest.mark.parametrize("case", FOREIGN_STATEMENTS)
def test_third_party_cannot_change_relations_of_our_actor(case: str) -> None:
    server = GuardedServer()
    before = server.state()
    members = FOREIGN_STATEMENTS[case](server)
    _ = server.deliver(server.eve, server.eve.activity(members.pop("type"), **members))
    assert server.state() == before
