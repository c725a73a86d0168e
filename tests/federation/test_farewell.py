"""Check the deletion of a local actor: Deletes are accepted even days later, and a tombstone remains."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Announce, Delete, Follow, Person, Tombstone, Update
from inbox_fixture import Clock

A, B = "https://a.example", "https://b.example"
ALICE, BOB = f"{A}/users/alice", f"{B}/users/bob"


class Server:
    """A node with one actor that may be deleted, and a listener that records activities and actors."""

    def __init__(self, origin: str, name: str, network: PeerNetwork, clock: Clock) -> None:
        self.gone = False
        self.heard: list[tuple[str, str]] = []
        federation: Federation[None] = Federation(software="test/1.0")

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | Tombstone | None:
            if identifier != name:
                return None
            return Tombstone(former_type="Person") if self.gone else Person(preferred_username=name)

        for kind in (Announce, Delete, Update):
            federation.on(kind)(lambda ctx, activity, name=kind.__name__: self.heard.append((name, activity.actor.uri)))
        store = MemoryStore(clock=clock.seconds)
        self.node = Node(federation, origin, store, transport=network, signer=ReusedKeys(), runtime=clock)
        network.join(self.node)

    def get(self, url: str) -> Response:
        served = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
        assert isinstance(served, Response)
        return served


class FollowingServers:
    """Two servers: Bob on the second follows Alice on the first."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        self.a = Server(A, "alice", self.network, self.clock)
        self.b = Server(B, "bob", self.network, self.clock)
        self.b.node.send(Follow(object=ALICE), by="bob", to=ALICE)
        self.settle()
        self.a.node.send(Announce(object=f"{A}/x"), by="alice", to=f"{ALICE}/followers")
        self.settle()
        assert self.b.heard == [("Announce", ALICE)]

    def settle(self) -> None:
        for _ in range(4):
            self.a.node.work(until_idle=True)
            self.b.node.work(until_idle=True)

    def send_delete(self) -> None:
        self.a.node.send(Delete(object=ALICE), by="alice", to=f"{ALICE}/followers")

    def pass_days(self, count: float) -> None:
        for _ in range(int(count * 24)):
            self.clock.at += timedelta(hours=1)
            self.settle()


@pytest.mark.parametrize("first_step", ["the Delete", "the Tombstone"])
def test_follower_receives_the_delete_of_an_actor(first_step: str) -> None:
    servers = FollowingServers()
    servers.a.gone = first_step == "the Tombstone"
    servers.send_delete()
    servers.a.gone = True
    servers.settle()
    assert servers.b.heard[1:] == [("Delete", ALICE)]
    answer = servers.a.get(ALICE)
    tombstone = json.loads(answer.body)
    assert (answer.status, tombstone["type"], tombstone["id"]) == (410, "Tombstone", ALICE)
    assert "publicKey" not in tombstone


def test_host_that_was_down_for_two_days_receives_the_delete() -> None:
    servers = FollowingServers()
    servers.network.down.add(B)
    servers.send_delete()
    servers.a.gone = True
    servers.settle()
    servers.pass_days(2)
    assert servers.b.heard[1:] == []
    servers.network.down.clear()
    servers.pass_days(1)
    assert servers.b.heard[1:] == [("Delete", ALICE)]


def test_delete_after_a_key_rotation_is_accepted() -> None:
    servers = FollowingServers()
    servers.a.node.rotate_keys("alice")
    servers.settle()
    servers.send_delete()
    servers.a.gone = True
    servers.settle()
    assert servers.b.heard[1:] == [("Update", ALICE), ("Delete", ALICE)]
