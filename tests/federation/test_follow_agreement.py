"""Two servers agree on who follows whom after any sequence of activities, and nobody gets what is meant for others."""

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
from apcore.federation.relations.table import RelationState
from apcore.federation.unit_of_work import Direction
from apcore.http import Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Accept, Block, Create, Follow, Note, Person, Reject, Undo, View

HOME, AWAY = "https://home.example", "https://away.example"
ANNA, MILA = f"{HOME}/people/anna", f"{AWAY}/people/mila"


class Server:
    """A server with one actor; its policy lets every request wait."""

    def __init__(self, origin: str, name: str, network: PeerNetwork) -> None:
        self.actor, self.name = f"{origin}/people/{name}", name
        self.heard: list[str] = []
        federation: Federation[None] = Federation(software="test/1.0")
        federation.follows(FollowVerdict.PENDING)
        federation.actor("/people/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=name) if identifier == name else None
        )

        @federation.on(Create)
        def created(ctx: Any, create: Create) -> None:
            assert create.object is not None
            note = create.object.claimed(Note)
            assert note is not None
            self.heard.append(note.content or "")

        self.node: Node[None] = Node(federation, origin, MemoryStore(), transport=network, signer=ReusedKeys())
        network.join(self.node)

    def is_asked_by(self, follower: str) -> bool:
        """Return whether a Follow of the other actor stands, answered or not."""
        relation = self.node.run(read_relation(self.node.federation.places, Direction.INBOUND, self.actor, follower))
        assert relation is not None
        return relation.state not in {RelationState.NONE, RelationState.BLOCKED}

    def members(self, name: str) -> list[str]:
        answer = self.node.handle(Request("GET", f"{self.actor}/{name}?page=true"))
        assert isinstance(answer, Response)
        members: list[str] = json.loads(answer.body)["orderedItems"]
        return members


def activities(us: str, them: str) -> dict[str, View]:
    own, others = Follow(actor=us, object=them), Follow(actor=them, object=us)
    return {
        "follow": Follow(object=them),
        "undo follow": Undo(object=own),
        "accept": Accept(object=others),
        "reject": Reject(object=others),
        "undo accept": Undo(object=Accept(actor=us, object=others)),
        "undo reject": Undo(object=Reject(actor=us, object=others)),
        "block": Block(object=them),
        "undo block": Undo(object=Block(actor=us, object=them)),
    }


STEPS = st.tuples(st.booleans(), st.sampled_from(list(activities(ANNA, MILA))))


@settings(max_examples=25, deadline=None)
@example([(False, "block"), (True, "follow"), (False, "accept")])
@example([(False, "block"), (True, "follow"), (False, "undo block"), (False, "accept")])
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_two_servers_agree_after_any_sequence(steps: list[tuple[bool, str]]) -> None:
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    for is_anna, name in steps:
        one, other = (anna, mila) if is_anna else (mila, anna)
        if name == "accept" and not one.is_asked_by(other.actor):
            continue  # the other server would believe an Accept that answers nothing
        one.node.send(activities(one.actor, other.actor)[name], by=one.name, to=other.actor)
        quiesce(anna, mila)
    for one, other in ((anna, mila), (mila, anna)):
        follows = other.actor in one.members("followers")
        assert follows is (one.actor in other.members("following"))
        one.node.publish(Note(content=f"private, of {one.name}"), by=one.name, to=f"{one.actor}/followers")
        quiesce(anna, mila)
        assert (f"private, of {one.name}" in other.heard) is follows


def quiesce(*servers: Server) -> None:
    while sum(server.node.work(until_idle=True) for server in servers):
        pass


def test_a_blocked_actor_is_not_accepted():
    network = PeerNetwork()
    anna, mila = Server(HOME, "anna", network), Server(AWAY, "mila", network)
    mila.node.send(Block(object=ANNA), by="mila", to=ANNA)
    anna.node.send(Follow(object=MILA), by="anna", to=MILA)
    quiesce(anna, mila)
    with pytest.raises(ContractError, match=f"{MILA} blocks {ANNA}: send an Undo of the Block"):
        mila.node.send(Accept(object=Follow(actor=ANNA, object=MILA)), by="mila", to=ANNA)
    quiesce(anna, mila)
    assert anna.members("following") == mila.members("followers") == []
