"""An actor of ours goes: its Deletes are delivered and believed however long that takes, and what is left is a tombstone."""

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
    """A node with one actor, who may go, and a listener that notes who has said what."""

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
            federation.on(kind)(lambda ctx, activity, said=kind.__name__: self.heard.append((said, activity.actor.uri)))
        store = MemoryStore(clock=clock.seconds)
        self.node = Node(federation, origin, store, transport=network, signer=ReusedKeys(), runtime=clock)
        network.join(self.node)

    def get(self, url: str) -> Response:
        served = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
        assert isinstance(served, Response)
        return served


class Two:
    """Bob follows Alice."""

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

    def farewell(self) -> None:
        self.a.node.send(Delete(object=ALICE), by="alice", to=f"{ALICE}/followers")

    def days(self, count: float) -> None:
        for _ in range(int(count * 24)):
            self.clock.at += timedelta(hours=1)
            self.settle()


@pytest.mark.parametrize("first", ["the Delete", "the Tombstone"])
def test_who_knows_the_actor_hears_that_it_is_gone(first: str) -> None:
    two = Two()
    two.a.gone = first == "the Tombstone"
    two.farewell()
    two.a.gone = True
    two.settle()
    assert two.b.heard[1:] == [("Delete", ALICE)]
    answer = two.a.get(ALICE)
    tombstone = json.loads(answer.body)
    assert (answer.status, tombstone["type"], tombstone["id"]) == (410, "Tombstone", ALICE)
    assert "publicKey" not in tombstone


def test_a_host_that_was_down_for_two_days_hears_it_too() -> None:
    two = Two()
    two.network.down.add(B)
    two.farewell()
    two.a.gone = True
    two.settle()
    two.days(2)
    assert two.b.heard[1:] == []
    two.network.down.clear()
    two.days(1)
    assert two.b.heard[1:] == [("Delete", ALICE)]


def test_keys_that_were_replaced_just_before_are_no_trouble() -> None:
    two = Two()
    two.a.node.rotate_keys("alice")
    two.settle()
    two.farewell()
    two.a.gone = True
    two.settle()
    assert two.b.heard[1:] == [("Update", ALICE), ("Delete", ALICE)]
