"""Check follow relations: they change by sent and received activities, and end all private deliveries when they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.collections import contains, members_page
from apcore.effects import Scan, commit
from apcore.errors import ContractError
from apcore.federation import Federation, FollowVerdict
from apcore.federation.outbox.send import act
from apcore.federation.relations.changes import FOLLOW_IDS_MAX
from apcore.federation.relations.records import ENDED_KEPT_S
from apcore.federation.relations.stored import read_relation, requests_collection
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.write_notes import AddMember, RemoveMember
from apcore.http import Request, Response
from apcore.node import Node
from apcore.ports import Put, digest_part
from apcore.records.format import encode_record
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import (
    PUBLIC,
    Accept,
    Activity,
    Block,
    Follow,
    Note,
    Person,
    Reject,
    TentativeAccept,
    TentativeReject,
    Undo,
    View,
)
from inbox_fixture import Clock

HOME = "https://home.example"
ANNA = f"{HOME}/people/anna"
OTTO = f"{HOME}/people/otto"
MILA = "https://away.example/@mila"


class Ground:
    """A server with the actors Anna and Otto, and Mila on another server."""

    def __init__(self, verdict: Any = FollowVerdict.ACCEPT, *, listen: dict[type[Activity], Any] | None = None) -> None:
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        self.mila = self.network.peer(MILA)
        self.ids = count(1)
        federation: Federation[None] = Federation(software="test/1.0")
        federation.follows(verdict)

        @federation.actor("/people/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"anna", "otto"} else None

        for kind, listener in (listen or {}).items():
            federation.on(kind)(listener)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.node: Node[None] = Node(
            federation, HOME, self.store, transport=self.network, signer=ReusedKeys(), runtime=self.clock
        )
        self.network.join(self.node)

    def work(self) -> None:
        self.node.work(until_idle=True)

    def receive(self, activity: dict[str, Any], *, peer: Peer | None = None, to: str | None = "anna") -> None:
        """Deliver an activity of Mila or another peer with its own signature, and process it."""
        self.clock.pass_s(2)
        answer = (peer or self.mila).deliver(self.node, activity, to=to)
        assert answer.status == 202, answer.body
        self.work()

    def send(self, activity: View, *, by: str = "anna", to: str = MILA) -> str:
        ident = self.node.send(activity, by=by, to=to)
        self.work()
        return ident

    def follow(self) -> dict[str, Any]:
        """Let Mila ask to follow Anna."""
        follow = self.mila.activity("Follow", id=f"{MILA}/follows/{next(self.ids)}", object=ANNA)
        self.receive(follow)
        return follow

    def request_follow(self) -> dict[str, Any]:
        """Let Anna ask to follow Mila; return the Follow as it arrived there."""
        ident = self.send(Follow(object=MILA))
        [follow] = [delivery.activity for delivery in self.mila.received if delivery.activity["id"] == ident]
        return follow

    def members(self, name: str, owner: str = ANNA) -> list[str]:
        answer = self.node.handle(Request("GET", f"{owner}/{name}?page=true"))
        assert isinstance(answer, Response)
        items: list[str] = json.loads(answer.body)["orderedItems"]
        return items

    def requests(self) -> list[str]:
        page = self.node.run(members_page(requests_collection(ANNA), limit=100))
        return [member.id for member in page.items]

    def state(self, direction: Direction) -> RelationState:
        relation = self.node.run(read_relation(self.node.federation.places, direction, ANNA, MILA))
        assert relation is not None
        return relation.state

    def types(self, peer: Peer | None = None) -> list[str]:
        return [delivery.activity["type"] for delivery in (peer or self.mila).received]

    def publish_private(self) -> list[str]:
        """Publish for followers only; return the types of the activities that Mila gets."""
        received_before = len(self.mila.received)
        self.node.publish(Note(content="for followers"), by="anna", to=f"{ANNA}/followers")
        self.work()
        return self.types()[received_before:]


def follow_by_mila(follow: dict[str, Any]) -> Follow:
    return Follow(id=follow["id"], actor=MILA, object=ANNA)


# --- incoming follows -----------------------------------------------------------------------------------------------

ENDINGS_BY_US: dict[str, Callable[[dict[str, Any], str], View]] = {
    "Reject of the Follow": lambda follow, answer: Reject(object=follow_by_mila(follow)),
    "Reject by id": lambda follow, answer: Reject(object=follow["id"]),
    "Undo of the Accept": lambda follow, answer: Undo(
        object=Accept(id=answer, actor=ANNA, object=follow_by_mila(follow))
    ),
    "Undo of the Accept by id": lambda follow, answer: Undo(object=answer),
    "Block": lambda follow, answer: Block(object=MILA),
}


@pytest.mark.parametrize("ending", ENDINGS_BY_US.values(), ids=ENDINGS_BY_US)
def test_removed_follower_gets_no_more_private_notes(ending):
    ground = Ground()
    follow = ground.follow()
    assert ground.members("followers") == [MILA]
    assert ground.publish_private() == ["Create"]
    answer = ground.mila.received[0].activity["id"]
    ground.send(ending(follow, answer))
    assert ground.members("followers") == []
    assert ground.publish_private() == []


def endings_by_follower(ground: Ground, follow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    mila = ground.mila
    return {
        "Undo of the Follow": mila.activity("Undo", object=follow),
        "Undo by id": mila.activity("Undo", object=follow["id"]),
        "Undo without ids": mila.activity("Undo", object={"type": "Follow", "actor": MILA, "object": ANNA}),
        "Block": mila.activity("Block", object=ANNA),
        "Delete": mila.activity("Delete", object=MILA, to=[PUBLIC]),
        "Delete of the embedded actor": mila.activity("Delete", object={"id": MILA, "type": "Person"}),
    }


@pytest.mark.parametrize("name", endings_by_follower(Ground(), {"id": "https://away.example/1"}))
@pytest.mark.parametrize("inbox", ["anna", None], ids=["own inbox", "shared inbox"])
def test_former_follower_gets_no_more_private_notes(name, inbox):
    ground = Ground()
    follow = ground.follow()
    ground.receive(endings_by_follower(ground, follow)[name], to=inbox)
    assert ground.members("followers") == []
    assert ground.publish_private() == []


def test_pending_follow_is_listed_and_accepted_later():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    assert (ground.members("followers"), ground.requests(), ground.types()) == ([], [MILA], [])
    assert ground.publish_private() == []
    ground.send(Accept(object=follow_by_mila(follow)))
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])
    assert ground.publish_private() == ["Create"]


def test_pending_follow_is_accepted_by_its_id():
    ground = Ground(FollowVerdict.PENDING)
    ground.send(Accept(object=ground.follow()["id"]))
    assert ground.members("followers") == [MILA]


def test_follow_from_a_listener_is_accepted_later():
    requests: list[Follow] = []
    ground = Ground(FollowVerdict.PENDING, listen={Follow: lambda ctx, follow: requests.append(follow)})
    ground.follow()
    ground.send(Accept(object=requests[0]))
    assert ground.members("followers") == [MILA]


@pytest.mark.parametrize("kind", [TentativeAccept, TentativeReject])
def test_tentative_answer_keeps_a_follow_pending(kind):
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    ground.send(kind(object=follow_by_mila(follow)))
    assert (ground.members("followers"), ground.requests()) == ([], [MILA])


def test_accept_of_an_undone_follow_adds_no_follower():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    ground.receive(ground.mila.activity("Undo", object=follow))
    ground.send(Accept(object=follow_by_mila(follow)))
    assert (ground.members("followers"), ground.requests()) == ([], [])


def test_rejected_follow_may_be_accepted_later():
    ground = Ground(FollowVerdict.REJECT)
    follow = ground.follow()
    assert (ground.types(), ground.requests(), ground.members("followers")) == (["Reject"], [], [])
    ground.send(Accept(object=follow_by_mila(follow)))
    assert ground.members("followers") == [MILA]


def test_undone_reject_makes_the_follow_pending_again():
    ground = Ground()
    follow = ground.follow()
    reject_id = ground.send(Reject(object=follow_by_mila(follow)))
    ground.send(Undo(object=Reject(id=reject_id, object=follow_by_mila(follow))))
    assert (ground.members("followers"), ground.requests()) == ([], [MILA])


def test_answer_for_another_actor_is_refused():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    for kind in (Accept, Reject):
        with pytest.raises(ContractError, match=r"answers a Follow of .*: send the answer as "):
            ground.send(kind(object=follow_by_mila(follow)), by="otto")
    assert ground.requests() == [MILA]
    assert ground.types() == []


def test_blocked_actor_cannot_follow_until_the_block_is_undone():
    verdicts: list[str] = []

    def policy(ctx: Any, follow: Follow) -> FollowVerdict:
        verdicts.append(follow.document.id or "")
        return FollowVerdict.ACCEPT

    ground = Ground(policy)
    block_id = ground.send(Block(object=MILA))
    ground.follow()
    assert (ground.types(), verdicts) == (["Block", "Reject"], [])
    assert ground.members("followers") == []
    ground.send(Undo(object=Block(id=block_id, actor=ANNA, object=MILA)))
    ground.follow()
    assert ground.members("followers") == [MILA]


def test_repeated_follow_is_accepted_again_even_if_new_ones_are_pending():
    verdicts = [FollowVerdict.ACCEPT, FollowVerdict.PENDING]
    ground = Ground(lambda ctx, follow: verdicts.pop(0))
    for _ in range(2):
        ground.follow()
    assert ground.types() == ["Accept", "Accept"]
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])


def test_repeated_follow_rejected_by_the_policy_ends_the_relation():
    verdicts = [FollowVerdict.ACCEPT, FollowVerdict.REJECT]
    ground = Ground(lambda ctx, follow: verdicts.pop(0))
    for _ in range(2):
        ground.follow()
    assert ground.types() == ["Accept", "Reject"]
    assert ground.members("followers") == []


def test_undo_may_name_any_of_the_last_follow_ids():
    ground = Ground()
    follows = [ground.follow() for _ in range(FOLLOW_IDS_MAX + 1)]
    ground.receive(ground.mila.activity("Undo", object=follows[0]["id"]))
    assert ground.members("followers") == [MILA], "the oldest id still counts"
    ground.receive(ground.mila.activity("Undo", object=follows[1]["id"]))
    assert ground.members("followers") == []
    assert not ground.node.run(followed_ids())


def followed_ids() -> Any:
    return (yield from Scan(("followed",), limit=100))


def test_reused_follow_id_counts_after_its_undo():
    ground = Ground()
    follow = ground.mila.activity("Follow", id=f"{MILA}/follows/anna", object=ANNA)
    undo = ground.mila.activity("Undo", id=f"{MILA}/follows/anna/undo", object=follow)
    followers = []
    for activity in (follow, undo, follow, undo):
        ground.receive(activity)
        followers.append(ground.members("followers"))
    assert followers == [[MILA], [], [MILA], []]
    assert ground.types() == ["Accept", "Accept"]


def test_repeated_follow_or_undo_changes_nothing():
    ground = Ground()
    follow = ground.follow()
    ground.receive(follow)
    assert ground.types() == ["Accept"]
    undo = ground.mila.activity("Undo", object=follow)
    ground.receive(undo)
    new_follow = ground.follow()
    ground.receive(undo)
    assert ground.members("followers") == [MILA], f"the Undo was of another Follow than {new_follow['id']}"


def test_replayed_follow_does_not_count_after_its_undo():
    ground = Ground()
    follow = ground.mila.activity("Follow", object=ANNA)
    request = ground.mila.request(follow, f"{ANNA}/inbox")
    for _ in range(2):
        answer = ground.node.handle(request)
        assert isinstance(answer, Response)
        assert answer.status == 202
        ground.work()
        ground.receive(ground.mila.activity("Undo", object=follow))
        assert ground.members("followers") == []
    assert ground.types() == ["Accept"]


def test_handler_sees_the_effect_of_its_own_answer():
    memberships: list[bool] = []

    def remove(ctx: Any, follow: Follow) -> None:
        followers = ctx.collection_uri("followers", "anna")
        memberships.append(ctx.contains(followers, MILA))
        ctx.send(Reject(object=follow), by="anna", to=MILA)
        memberships.append(ctx.contains(followers, MILA))

    ground = Ground(listen={Follow: remove})
    ground.follow()
    assert memberships == [True, False]
    assert ground.members("followers") == []


def test_members_changed_by_the_application_count():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    site, followers = ground.node.site(), f"{ANNA}/followers"
    ground.node.run(act(site, AddMember(followers, MILA)))
    assert ground.state(Direction.INBOUND) is RelationState.ACCEPTED
    ground.send(Accept(object=follow_by_mila(follow)))
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])
    ground.node.run(act(site, RemoveMember(followers, MILA)))
    assert ground.state(Direction.INBOUND) is RelationState.NONE
    ground.send(Accept(object=follow_by_mila(follow)))
    assert ground.members("followers") == []


def test_undoing_any_of_several_accepts_removes_the_follower():
    ground = Ground()
    for _ in range(2):
        ground.follow()
    first, second = (delivery.activity["id"] for delivery in ground.mila.received)
    assert first != second
    ground.send(Undo(object=first))
    assert ground.members("followers") == []
    assert ground.publish_private() == []


def test_only_the_actor_of_an_activity_may_undo_it():
    ground = Ground()
    follow = ground.request_follow()
    ground.receive(ground.mila.activity("Accept", object=follow))
    with pytest.raises(ContractError, match="undoes an activity of"):
        ground.send(Undo(object=Follow(actor=OTTO, object=MILA)))
    assert ground.members("following") == [MILA]


def test_follower_removed_by_the_application_leaves_no_index_after_its_undo():
    ground = Ground()
    follow = ground.follow()
    ground.node.run(act(ground.node.site(), RemoveMember(f"{ANNA}/followers", MILA)))
    ground.receive(ground.mila.activity("Undo", object=follow))
    assert ground.node.run(followed_ids()) == []


def test_blocked_actor_added_by_the_application_is_removed_when_it_is_deleted():
    ground = Ground()
    ground.send(Block(object=MILA))
    ground.node.run(act(ground.node.site(), AddMember(f"{ANNA}/followers", MILA)))
    ground.receive(ground.mila.activity("Delete", object=MILA))
    assert ground.members("followers") == []


# --- outgoing follows -----------------------------------------------------------------------------------------------


def accept_follow(ground: Ground) -> dict[str, Any]:
    follow = ground.request_follow()
    ground.receive(ground.mila.activity("Accept", object=follow))
    assert ground.members("following") == [MILA]
    return follow


UNFOLLOWS: dict[str, Callable[[dict[str, Any]], View]] = {
    "Undo of the Follow": lambda follow: Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)),
    "Undo by id": lambda follow: Undo(object=follow["id"]),
    "Undo without an id": lambda follow: Undo(object=Follow(actor=ANNA, object=MILA)),
    "Block": lambda follow: Block(object=MILA),
}


@pytest.mark.parametrize("unfollow", UNFOLLOWS.values(), ids=UNFOLLOWS)
def test_unfollowed_actor_is_not_added_by_a_late_accept(unfollow):
    ground = Ground()
    follow = accept_follow(ground)
    ground.send(unfollow(follow))
    assert ground.members("following") == []
    ground.receive(ground.mila.activity("Accept", object=follow))
    ground.receive(ground.mila.activity("Accept", object=follow["id"]))
    assert ground.members("following") == []
    assert ground.state(Direction.OUTBOUND) is RelationState.NONE


def test_accept_of_a_pending_follow_that_was_undone_changes_nothing():
    ground = Ground()
    follow = ground.request_follow()
    ground.send(Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)))
    ground.receive(ground.mila.activity("Accept", object=follow))
    assert ground.members("following") == []


def endings_by_followed_actor(ground: Ground, follow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    mila = ground.mila
    accept = {"id": f"{MILA}#accept", "type": "Accept", "actor": MILA, "object": follow}
    return {
        "Reject": mila.activity("Reject", object=follow),
        "Reject by id": mila.activity("Reject", object=follow["id"]),
        "Undo of the Accept": mila.activity("Undo", object=accept),
        "Undo of the Accept by id": mila.activity("Undo", object=accept["id"]),
        "Block": mila.activity("Block", object=ANNA),
        "Delete": mila.activity("Delete", object=MILA),
    }


@pytest.mark.parametrize("name", endings_by_followed_actor(Ground(), {"id": f"{ANNA}#follow/1"}))
def test_followed_actor_that_ends_the_relation_is_removed_from_following(name):
    ground = Ground()
    follow = ground.request_follow()
    ground.receive(ground.mila.activity("Accept", id=f"{MILA}#accept", object=follow))
    assert ground.members("following") == [MILA]
    ground.receive(endings_by_followed_actor(ground, follow)[name])
    assert ground.members("following") == []


def test_only_the_followed_actor_may_answer():
    ground = Ground()
    eve = ground.network.peer("https://away.example/@eve")
    follow = ground.request_follow()
    ground.receive(eve.activity("Accept", object=follow), peer=eve)
    ground.receive(eve.activity("Accept", object=follow["id"]), peer=eve)
    assert ground.members("following") == []
    ground.receive(ground.mila.activity("Accept", object=follow))
    ground.receive(eve.activity("Reject", object=follow), peer=eve)
    ground.receive(eve.activity("Block", object=ANNA), peer=eve)
    assert ground.members("following") == [MILA]


def test_late_accept_of_an_undone_follow_does_not_affect_the_next_one():
    ground = Ground()
    first = ground.request_follow()
    ground.send(Undo(object=Follow(id=first["id"], actor=ANNA, object=MILA)))
    second = ground.request_follow()
    ground.receive(ground.mila.activity("Accept", object=first))
    assert ground.members("following") == []
    ground.receive(ground.mila.activity("Accept", object=second | {"id": f"{MILA}/a-name-of-its-own"}))
    assert ground.members("following") == [MILA]


def test_follow_at_once_after_an_undo_has_a_new_id():
    """Fedify ignores an id that it has processed, whatever was undone since."""
    ground = Ground()
    for _ in range(3):
        for change in (ground.node.follow, ground.node.unfollow):
            _ = change(MILA, by="anna")
            ground.clock.pass_s(0.0001)
    ground.work()
    follows = [delivery.activity["id"] for delivery in ground.mila.received if delivery.activity["type"] == "Follow"]
    assert len(set(follows)) == 3
    assert ground.types() == ["Follow", "Undo"] * 3


NAMES_OF_A_FOLLOW: dict[str, Callable[[str], Any]] = {
    "known id, embedded": lambda known: {"id": known, "type": "Follow", "actor": ANNA, "object": MILA},
    "unknown id of ours, embedded": lambda known: {
        "id": f"{ANNA}#follow/unknown",
        "type": "Follow",
        "actor": ANNA,
        "object": MILA,
    },
    "unknown id of its own, embedded": lambda known: {
        "id": f"{MILA}/unknown",
        "type": "Follow",
        "actor": ANNA,
        "object": MILA,
    },
    "no id, embedded": lambda known: {"type": "Follow", "actor": ANNA, "object": MILA},
    "known id": lambda known: known,
    "unknown id": lambda known: f"{ANNA}#follow/unknown",
}
"""The ways in which an answer names a Follow of ours, given the id under which it was sent."""
NAMED = ("known id, embedded", "unknown id of its own, embedded", "no id, embedded", "known id")
"""The ways that can only mean our present Follow."""
EMBEDDED = tuple(name for name in NAMES_OF_A_FOLLOW if name.endswith("embedded"))
ANSWERS_THAT_COUNT: dict[str, tuple[RelationState, RelationState, tuple[str, ...]]] = {
    # Only an answer that means the present request grants it.
    "Accept": (RelationState.PENDING, RelationState.ACCEPTED, NAMED),
    # The followed actor ends a relation with any Follow of our actor that it names, although we do not know the id.
    "Reject": (RelationState.PENDING, RelationState.REJECTED, (*EMBEDDED, "known id")),
    "Reject of the accepted": (RelationState.ACCEPTED, RelationState.REJECTED, (*EMBEDDED, "known id")),
    # The answer that is undone has no id here, so only the Follow in it tells which relation is meant.
    "Undo of the Accept": (RelationState.ACCEPTED, RelationState.PENDING, EMBEDDED),
    "Undo of the Reject": (RelationState.REJECTED, RelationState.PENDING, NAMED[:-1]),
}
"""Each answer with the state before it, the state after it, and the ways of naming our Follow in which it counts."""


@pytest.mark.parametrize("way", NAMES_OF_A_FOLLOW)
@pytest.mark.parametrize("answer", ANSWERS_THAT_COUNT)
def test_answer_counts_by_the_way_in_which_it_names_our_follow(answer: str, way: str) -> None:
    before, after, ways = ANSWERS_THAT_COUNT[answer]
    ground = Ground()
    follow = ground.request_follow()
    if before is not RelationState.PENDING:
        verb = "Accept" if before is RelationState.ACCEPTED else "Reject"
        ground.receive(ground.mila.activity(verb, object=follow))
    assert ground.state(Direction.OUTBOUND) is before
    subject = NAMES_OF_A_FOLLOW[way](follow["id"])
    if answer.startswith("Undo"):
        answer, subject = "Undo", {"type": answer.rpartition(" ")[2], "actor": MILA, "object": subject}
    ground.receive(ground.mila.activity(answer.partition(" ")[0], object=subject))
    assert ground.state(Direction.OUTBOUND) is (after if way in ways else before)


def test_follow_that_arrives_after_the_block_is_over_may_be_accepted() -> None:
    ground = Ground()
    follow = ground.request_follow()
    block = ground.mila.activity("Block", object=ANNA)
    ground.receive(block)
    assert (ground.state(Direction.OUTBOUND), ground.members("following")) == (RelationState.REJECTED, [])
    ground.receive(ground.mila.activity("Undo", object=block))
    assert (ground.state(Direction.OUTBOUND), ground.members("following")) == (RelationState.REJECTED, [])
    ground.receive(ground.mila.activity("Accept", object=follow))
    assert ground.members("following") == [MILA]


@pytest.mark.parametrize("undone", ["id", "embedded"])
def test_end_of_a_block_makes_no_follow_of_ours_pending(undone: str) -> None:
    ground = Ground()
    _ = ground.request_follow()
    block = ground.mila.activity("Block", object=ANNA)
    ground.receive(block)
    ground.receive(ground.mila.activity("Undo", object=block["id"] if undone == "id" else block))
    assert ground.state(Direction.OUTBOUND) is RelationState.REJECTED


def test_accept_of_an_unknown_follow_adds_no_follower():
    ground = Ground()
    made_up = {"id": f"{ANNA}#follow/made-up", "type": "Follow", "actor": ANNA, "object": MILA}
    for activity in ({"object": made_up}, {"object": made_up["id"]}, {"object": ANNA}, {"object": f"{HOME}/unknown"}):
        ground.receive(ground.mila.activity("Accept", **activity))
    assert ground.members("following") == []
    assert ground.members("followers") == []


def test_reused_accept_id_counts_for_the_next_follow():
    ground = Ground()
    for _ in range(2):
        follow = ground.request_follow()
        accept = ground.mila.activity("Accept", id=f"{MILA}#accepts/anna", object=follow)
        ground.receive(accept)
        assert ground.members("following") == [MILA]
        ground.send(Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)))
        ground.receive(accept)
        assert ground.members("following") == [], "the Accept is of a Follow that was undone"


def test_accept_of_another_actors_follow_adds_no_follower():
    ground = Ground()
    eve = ground.network.peer("https://away.example/@eve")
    ground.send(Follow(object=eve.actor), to=eve.actor)
    follow_of_mila = {"type": "Follow", "actor": ANNA, "object": MILA}
    ground.receive(eve.activity("Accept", object=follow_of_mila), peer=eve)
    assert ground.members("following") == []


def test_accept_by_id_reaches_the_actor_at_the_shared_inbox():
    """Accept a Follow with an id below the actor, as an application may choose it."""
    ground = Ground()
    follow_id = f"{ANNA}/activities/first-follow"
    ground.node.publish(Note(id=follow_id, content="a place for the Follow"), by="anna", to=f"{ANNA}/followers")
    ground.send(Follow(id=follow_id, object=MILA))
    ground.receive(ground.mila.activity("Accept", object=follow_id), to=None)
    assert ground.members("following") == [MILA]


def test_answer_to_another_activity_changes_nothing():
    ground = Ground()
    accept_follow(ground)
    offer = {"id": f"{ANNA}#offer/1", "type": "Offer", "actor": ANNA, "object": MILA}
    ground.receive(ground.mila.activity("Reject", object=offer))
    assert ground.members("following") == [MILA]


def test_follow_sent_by_an_earlier_release_is_accepted():
    """Store a Follow as earlier releases did, under another key and with other members."""
    ground = Ground()
    ident = f"{ANNA}#follow/old"
    legacy = Put(
        ("follow", "1", digest_part(ANNA), digest_part(MILA)),
        encode_record({"id": ident, "state": "asked", "object": MILA}),
    )
    assert ground.node.run(commit((), (legacy,)))
    assert ground.state(Direction.OUTBOUND) is RelationState.PENDING
    ground.receive(ground.mila.activity("Accept", object=ident))
    assert ground.members("following") == [MILA]
    ground.send(Undo(object=Follow(id=ident, actor=ANNA, object=MILA)))
    assert ground.members("following") == []
    assert ground.state(Direction.OUTBOUND) is RelationState.NONE


# --- deleted and local actors ---------------------------------------------------------------------------------------


def test_deleted_actor_is_in_no_collection_and_gets_no_delivery():
    ground = Ground()
    follow = ground.request_follow()
    ground.receive(ground.mila.activity("Follow", object=ANNA))
    ground.receive(ground.mila.activity("Follow", object=OTTO), to="otto")
    ground.receive(ground.mila.activity("Accept", object=follow))
    assert [ground.members(name) for name in ("followers", "following")] == [[MILA], [MILA]]
    ground.receive(ground.mila.activity("Delete", object=MILA, to=[PUBLIC]), to=None)
    ground.network.exchanges.clear()
    for identifier in ("anna", "otto"):
        ground.node.publish(Note(content="hello"), by=identifier)
    ground.work()
    assert [ground.members(name) for name in ("followers", "following")] == [[], []]
    assert ground.members("followers", OTTO) == []
    assert [exchange.url for exchange in ground.network.exchanges if exchange.method == "POST"] == []


def test_deleted_follower_without_a_relation_record_is_dropped():
    """Add a follower without a record, as an application or an earlier release may have done."""
    ground = Ground()
    site, followers = ground.node.site(), f"{OTTO}/followers"
    stored = json.dumps({"inbox": ground.mila.inbox, "shared": ground.mila.shared_inbox}).encode()
    ground.node.run(act(site, AddMember(followers, MILA, stored)))
    ground.follow()
    ground.receive(ground.mila.activity("Delete", object=MILA), to=None)
    ground.network.exchanges.clear()
    ground.node.publish(Note(content="hello"), by="otto")
    ground.work()
    assert ground.members("followers", OTTO) == []
    assert [exchange for exchange in ground.network.exchanges if exchange.method == "POST"] == []


def test_deleted_actor_may_follow_again():
    ground = Ground()
    ground.follow()
    ground.receive(ground.mila.activity("Delete", object=MILA))
    ground.follow()
    assert ground.publish_private() == ["Create"]


def test_all_relations_of_a_deleted_actor_end():
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/people/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    ground = Ground()
    ground.node = Node(federation, HOME, "memory:", transport=ground.network, signer=ReusedKeys(), runtime=ground.clock)
    people = [f"{HOME}/people/{number}" for number in range(25)]
    for number, person in enumerate(people):
        ground.receive(ground.mila.activity("Follow", object=person), to=str(number))
    assert all(ground.members("followers", person) == [MILA] for person in people)
    ground.receive(ground.mila.activity("Delete", object=MILA), to=None)
    assert all(ground.members("followers", person) == [] for person in people)


def test_actor_can_be_deleted_only_by_itself():
    ground = Ground()
    ground.follow()
    eve = ground.network.peer("https://away.example/@eve")
    ground.receive(eve.activity("Follow", object=OTTO), peer=eve, to="otto")
    for object_ in (MILA, {"id": MILA, "type": "Person"}, {"id": MILA, "type": "Tombstone"}):
        ground.receive(eve.activity("Delete", object=object_), peer=eve)
    assert ground.members("followers") == [MILA]


def test_local_actors_follow_and_unfollow_each_other():
    ground = Ground()
    ident = ground.send(Follow(object=OTTO), to=OTTO)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([ANNA], [OTTO])
    ground.send(Undo(object=Follow(id=ident, actor=ANNA, object=OTTO)), to=OTTO)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([], [])
    ground.send(Follow(object=OTTO), to=OTTO)
    ground.send(Block(object=ANNA), by="otto", to=ANNA)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([], [])


def test_ended_relation_leaves_no_record_after_ten_days():
    ground = Ground()
    follow = ground.follow()
    ground.receive(ground.mila.activity("Undo", object=follow))
    ground.clock.pass_s(ENDED_KEPT_S + 1)

    def facts(kind: str) -> Any:
        return (yield from Scan((kind,), limit=100))

    for kind in ("relation", "followed"):
        assert ground.node.run(facts(kind)) == []
    assert not any(ground.node.run(contains(requests_collection(ANNA), (MILA,))))


class FailingOnce:
    """A listener that fails at its first run, so that the activity is processed again later."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, ctx: Any, activity: Activity) -> None:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError("not yet")


def test_follow_that_is_processed_after_its_undo_has_no_effect():
    listener = FailingOnce()
    ground = Ground(listen={Follow: listener})
    follow = ground.follow()
    ground.receive(ground.mila.activity("Undo", object=follow))
    ground.clock.pass_s(3600)
    ground.work()
    assert listener.runs == 2
    assert (ground.members("followers"), ground.types()) == ([], [])


def test_accept_that_is_processed_after_the_reject_has_no_effect():
    listener = FailingOnce()
    ground = Ground(listen={Accept: listener})
    follow = ground.request_follow()
    for type_name in ("Accept", "Reject"):
        ground.receive(ground.mila.activity(type_name, object=follow))
    ground.clock.pass_s(3600)
    ground.work()
    assert listener.runs == 2
    assert (ground.members("following"), ground.state(Direction.OUTBOUND)) == ([], RelationState.REJECTED)


def test_follow_that_is_processed_after_a_refresh_still_counts():
    listener = FailingOnce()
    ground = Ground(listen={Follow: listener})
    ground.follow()
    ground.receive(ground.mila.activity("Update", object={"id": MILA, "type": "Person", "inbox": f"{MILA}/new"}))
    ground.clock.pass_s(3600)
    ground.work()
    assert (listener.runs, ground.members("followers")) == (2, [MILA])


def test_new_follow_after_an_undo_counts():
    ground = Ground()
    ground.receive(ground.mila.activity("Undo", object=ground.follow()))
    ground.follow()
    assert ground.members("followers") == [MILA]


def test_rejected_relation_expires():
    ground = Ground(FollowVerdict.REJECT)
    ground.follow()
    assert ground.state(Direction.INBOUND) is RelationState.REJECTED
    ground.clock.at += timedelta(days=31)
    assert ground.state(Direction.INBOUND) is RelationState.NONE
