"""Check that two servers agree on follow relations after any activities, and notes reach followers only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.errors import ContractError
from apcore.federation import Federation, FollowVerdict
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import Direction, RelationState
from apcore.http import Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Accept, Block, Create, Follow, Note, Person, Reject, Undo, View

HOME, AWAY = "https://home.example", "https://away.example"
ANNA, MILA = f"{HOME}/people/anna", f"{AWAY}/people/mila"


class Server:
    """A server with one actor that keeps every follow request pending."""

    def __init__(self, origin: str, name: str, network: PeerNetwork) -> None:
        self.actor, self.name = f"{origin}/people/{name}", name
        self.heard: list[str] = []
        federation: Federation[None] = Federation(software="test/1.0")
        federation.follows(FollowVerdict.PENDING)
        federation.actor("/people/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=name) if identifier == name else None
        )

        @federation.on(Create)
        def record_content(ctx: Any, create: Create) -> None:
            assert create.object is not None
            note = create.object.claimed(Note)
            assert note is not None
            self.heard.append(note.content or "")

        self.node: Node[None] = Node(federation, origin, MemoryStore(), transport=network, signer=ReusedKeys())
        network.join(self.node)

    def state_of(self, follower: str) -> RelationState:
        relation = self.node.run(read_relation(self.node.federation.places, Direction.INBOUND, self.actor, follower))
        assert relation is not None
        return relation.state

    def has_follow_from(self, follower: str) -> bool:
        """Return whether a Follow of the other actor stands, answered or not."""
        return self.state_of(follower) not in {RelationState.NONE, RelationState.BLOCKED}

    def blocks(self, other: str) -> bool:
        return self.state_of(other) is RelationState.BLOCKED

    def members(self, name: str) -> list[str]:
        answer = self.node.handle(Request("GET", f"{self.actor}/{name}?page=true"))
        assert isinstance(answer, Response)
        members: list[str] = json.loads(answer.body)["orderedItems"]
        return members


def activities(us: str, them: str) -> dict[str, View]:
    own_follow, other_follow = Follow(actor=us, object=them), Follow(actor=them, object=us)
    return {
        "follow": Follow(object=them),
        "undo follow": Undo(object=own_follow),
        "accept": Accept(object=other_follow),
        "reject": Reject(object=other_follow),
        "undo accept": Undo(object=Accept(actor=us, object=other_follow)),
        "undo reject": Undo(object=Reject(actor=us, object=other_follow)),
        "block": Block(object=them),
        "undo block": Undo(object=Block(actor=us, object=them)),
    }


STEPS = st.tuples(st.booleans(), st.sampled_from(list(activities(ANNA, MILA))))


@settings(max_examples=25, deadline=None)
@example([(False, "block"), (True, "follow"), (False, "accept")])
@example([(False, "block"), (True, "follow"), (False, "undo block"), (False, "accept")])
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_two_servers_agree_after_any_sequence_of_activities(steps: list[tuple[bool, str]]) -> None:
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    for is_anna, name in steps:
        sender, receiver = (anna, mila) if is_anna else (mila, anna)
        if name == "accept" and not sender.has_follow_from(receiver.actor):
            continue  # the other server would accept an Accept that answers no Follow
        if name == "follow" and sender.blocks(receiver.actor):
            continue  # refused, see `test_blocked_actor_cannot_be_followed`
        sender.node.send(activities(sender.actor, receiver.actor)[name], by=sender.name, to=receiver.actor)
        quiesce(anna, mila)
    for sender, receiver in ((anna, mila), (mila, anna)):
        follows = receiver.actor in sender.members("followers")
        assert follows is (sender.actor in receiver.members("following"))
        sender.node.publish(Note(content=f"private, of {sender.name}"), by=sender.name, to=f"{sender.actor}/followers")
        quiesce(anna, mila)
        assert (f"private, of {sender.name}" in receiver.heard) is follows


CROSSING = ("follow", "undo follow", "accept", "reject", "block", "undo block", "work")
CROSSING_STEPS = st.tuples(st.booleans(), st.sampled_from(CROSSING))
BLOCKED_WHILE_ASKING = [
    (True, "follow"),
    (False, "block"),
    (False, "undo block"),
    (False, "work"),
    (True, "work"),
    (False, "work"),
    (False, "accept"),
]


@settings(max_examples=25, deadline=None)
@example(BLOCKED_WHILE_ASKING)
@given(st.lists(CROSSING_STEPS, min_size=4, max_size=20))
def test_two_servers_agree_after_activities_that_cross_each_other(steps: list[tuple[bool, str]]) -> None:
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    for is_anna, name in steps:
        sender, receiver = (anna, mila) if is_anna else (mila, anna)
        if name == "work":
            _ = sender.node.work(until_idle=True)
            continue
        if name == "accept" and not sender.has_follow_from(receiver.actor):
            continue
        if name == "follow" and sender.blocks(receiver.actor):
            continue
        sender.node.send(activities(sender.actor, receiver.actor)[name], by=sender.name, to=receiver.actor)
    quiesce(anna, mila)
    for sender, receiver in ((anna, mila), (mila, anna)):
        assert (receiver.actor in sender.members("followers")) is (sender.actor in receiver.members("following"))


def quiesce(*servers: Server) -> None:
    while sum(server.node.work(until_idle=True) for server in servers):
        pass


def test_blocked_actor_cannot_be_accepted():
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    mila.node.send(Block(object=ANNA), by="mila", to=ANNA)
    anna.node.send(Follow(object=MILA), by="anna", to=MILA)
    quiesce(anna, mila)
    with pytest.raises(ContractError, match=f"{MILA} blocks {ANNA}: send an Undo of the Block"):
        mila.node.send(Accept(object=Follow(actor=ANNA, object=MILA)), by="mila", to=ANNA)
    quiesce(anna, mila)
    assert anna.members("following") == mila.members("followers") == []


def test_blocked_actor_cannot_be_followed():
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    mila.node.block(ANNA, by="mila")
    quiesce(anna, mila)
    with pytest.raises(ContractError, match=f"'mila' blocks {ANNA}: unblock it before you follow it"):
        mila.node.follow(ANNA, by="mila")
    with pytest.raises(ContractError, match=f"{MILA} blocks {ANNA}: send an Undo of the Block before a Follow"):
        mila.node.send(Follow(object=ANNA), by="mila", to=ANNA)
    quiesce(anna, mila)
    assert anna.members("followers") == mila.members("following") == []
    mila.node.unblock(ANNA, by="mila")
    mila.node.follow(ANNA, by="mila")
    quiesce(anna, mila)
    assert anna.state_of(MILA) is RelationState.PENDING
