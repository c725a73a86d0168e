"""A received Move: followers of ours pass to the new account if that confirms it, and nothing changes otherwise."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from apcore import Federation
from apcore.adapters.memory import MemoryStore
from apcore.federation.inbox import moved_actors
from apcore.http import Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Move, Person
from inbox_fixture import Clock

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
OLD, NEW = "https://remote.example/users/bob", "https://third.example/users/bob"


class MovingServer:
    """A server with followers of bob. Bob has a second account on another server."""

    def __init__(
        self,
        *,
        aliases: Any = OLD,
        own_aliases: tuple[str, ...] = (),
        listens: bool = False,
        switched_off: tuple[str, ...] = (),
        followers: int = 1,
        **members: Any,
    ) -> None:
        self.heard: list[str] = []
        self.names = ["alice", *(f"user{number}" for number in range(1, followers))]
        federation: Federation[None] = Federation(software="test/1.0")
        federation.actor("/users/{identifier}")(
            lambda ctx, identifier: (
                Person(preferred_username=identifier, also_known_as=own_aliases) if identifier in self.names else None
            )
        )
        federation.switch_off(*switched_off)
        if listens:
            federation.on(Move)(lambda ctx, move: self.heard.append(move.id or ""))
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        store = MemoryStore(clock=self.clock.seconds)
        self.node = Node(
            federation, HERE, store, transport=self.network, signer=ReusedKeys(), runtime=self.clock, slots=0
        )
        self.network.join(self.node)
        self.old = self.network.peer(OLD)
        self.new = self.network.peer(NEW, members={"alsoKnownAs": aliases, **members})

    def follow_old(self, *names: str) -> None:
        for name in names or self.names:
            follow = self.node.follow(OLD, by=name)
            self.work()
            self.receive(self.old, self.old.activity("Accept", object=follow), to=name)

    def receive(self, peer: Peer, activity: dict[str, Any], to: str = "alice") -> None:
        assert peer.deliver(self.node, activity, to=to).status == 202
        self.work()

    def move(self, **members: Any) -> None:
        self.receive(self.old, self.old.activity("Move", **({"object": OLD, "target": NEW} | members)))

    def work(self) -> None:
        for _ in range(3):
            _ = self.node.work(until_idle=True)

    def following(self, name: str = "alice") -> list[str]:
        response = self.node.handle(Request("GET", f"{HERE}/users/{name}/following?page=true"))
        assert isinstance(response, Response)
        items: list[str] = json.loads(response.body)["orderedItems"]
        return items

    def types_at(self, peer: Peer) -> list[str]:
        return [str(delivery.activity["type"]) for delivery in peer.received]

    def is_unchanged(self) -> bool:
        return self.following() == [OLD] and self.types_at(self.old) == ["Follow"] and not self.new.received


def test_followers_of_a_moved_actor_ask_to_follow_the_new_account():
    server = MovingServer()
    server.follow_old()
    server.move()
    assert server.following() == []
    assert server.types_at(server.old) == ["Follow", "Undo"]
    [delivery] = server.new.received
    follow = delivery.activity
    assert (follow["type"], follow["actor"], follow["object"]) == ("Follow", ALICE, NEW)
    server.receive(server.new, server.new.activity("Accept", object=follow["id"]))
    assert server.following() == [NEW]


def test_request_that_waits_passes_to_the_new_account_too():
    server = MovingServer()
    _ = server.node.follow(OLD, by="alice")
    server.work()
    server.move()
    assert server.types_at(server.old) == ["Follow", "Undo"]
    assert server.types_at(server.new) == ["Follow"]


@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({"aliases": None}, {}),
        ({"aliases": [f"{OLD}2", "https://remote.example/"]}, {}),
        ({"movedTo": "https://fourth.example/bob"}, {}),
        ({}, {"target": None}),
        ({}, {"target": OLD}),
        ({}, {"target": f"{NEW}/gone"}),
        ({}, {"target": ALICE}),
        ({}, {"target": [NEW, f"{NEW}2"]}),
        ({}, {"target": "https://unknown.example/bob"}),
        ({}, {"object": "https://remote.example/users/carol"}),
        ({}, {"target": {"id": NEW, "type": "Person", "alsoKnownAs": [OLD]}, "object": NEW}),
    ],
    ids=[
        *("no alias", "other aliases", "target moved on", "no target", "target is itself", "target is missing"),
        *("target is ours and has no alias", "two targets", "no such host", "another object", "target as object"),
    ],
)
def test_move_without_proof_from_both_accounts_changes_nothing(options, members):
    server = MovingServer(**options)
    server.follow_old()
    server.move(**members)
    assert server.is_unchanged()


def test_alias_in_an_embedded_target_is_no_proof():
    server = MovingServer(aliases=None)
    server.follow_old()
    server.move(target={"id": NEW, "type": "Person", "inbox": f"{NEW}/inbox", "alsoKnownAs": [OLD]})
    assert server.is_unchanged()


def test_alias_is_fetched_anew_for_the_move():
    server = MovingServer(aliases=None)
    server.follow_old()
    _ = server.node.reference(NEW).resolve()
    server.new.serve(NEW, server.new.document | {"alsoKnownAs": [OLD]})
    server.move()
    assert server.types_at(server.new) == ["Follow"]


def test_dropped_move_is_logged_with_its_reason_and_not_told_to_the_listener(caplog):
    server = MovingServer(aliases=None, listens=True)
    server.follow_old()
    with caplog.at_level(logging.INFO, "apcore.inbox"):
        server.move()
    [record] = [record for record in caplog.records if "dropped the Move" in record.message]
    assert f"move-unconfirmed: {NEW} does not name {OLD} in alsoKnownAs" in record.message
    assert server.heard == []


def test_confirmed_move_is_told_to_the_listener():
    server = MovingServer(listens=True)
    server.move()
    assert len(server.heard) == 1


def test_move_of_an_actor_that_nobody_follows_fetches_nothing():
    server = MovingServer()
    server.move()
    assert not [exchange for exchange in server.network.exchanges if exchange.url == NEW]


def test_target_that_does_not_answer_is_asked_again():
    server = MovingServer()
    server.follow_old()
    server.network.down.add("https://third.example")
    server.move()
    assert server.is_unchanged()
    assert server.node.ports.queue is not None
    assert server.node.ports.queue.depth(server.node.all_lanes).delayed == 1


def test_repeated_move_changes_nothing_more():
    server = MovingServer()
    server.follow_old()
    server.move()
    server.move()
    assert server.types_at(server.old) == ["Follow", "Undo"]
    assert server.types_at(server.new) == ["Follow"]


@pytest.mark.parametrize("case", ["asked already", "blocked"])
def test_new_account_that_is_asked_already_or_blocked_gets_no_follow(case):
    server = MovingServer()
    server.follow_old()
    act = server.node.block if case == "blocked" else server.node.follow
    _ = act(NEW, by="alice")
    server.work()
    server.move()
    assert server.types_at(server.old) == ["Follow", "Undo"]
    assert server.types_at(server.new) == ["Block" if case == "blocked" else "Follow"]


def test_follower_that_is_the_new_account_itself_only_unfollows():
    server = MovingServer(own_aliases=(OLD,))
    server.follow_old()
    server.move(target=ALICE)
    assert server.following() == []
    assert server.types_at(server.old) == ["Follow", "Undo"]


def test_each_follower_moves(monkeypatch):
    monkeypatch.setattr(moved_actors, "_PAGE", 2)
    server = MovingServer(followers=5)
    server.follow_old()
    server.move()
    assert {delivery.activity["actor"] for delivery in server.new.received} == {
        f"{HERE}/users/{name}" for name in server.names
    }
    assert server.types_at(server.old).count("Undo") == 5


def test_more_followers_than_one_attempt_moves_are_moved_by_the_next(monkeypatch):
    monkeypatch.setattr(moved_actors, "_PAGE", 1)
    monkeypatch.setattr(moved_actors, "FOLLOWERS_MAX", 2)
    server = MovingServer(followers=4)
    server.follow_old()
    server.move()
    assert len(server.new.received) == 2
    server.clock.pass_s(60)
    server.work()
    assert len(server.new.received) == 4


def test_move_that_is_switched_off_changes_nothing_and_reaches_the_listener():
    server = MovingServer(listens=True, aliases=None, switched_off=("move",))
    server.follow_old()
    server.move()
    assert server.is_unchanged()
    assert len(server.heard) == 1


def test_follower_of_ours_stays_a_follower_when_it_moves():
    server = MovingServer()
    server.receive(server.old, server.old.activity("Follow", object=ALICE))
    server.follow_old()
    server.move()
    assert server.node.members(f"{ALICE}/followers").items == (OLD,)
