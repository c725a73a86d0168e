"""Followers and following change by what we send and by what arrives, and nothing private is sent after a relation has ended."""

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
from apcore.federation.relations.stored import read_relation, requests_collection
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.unit_of_work import AddMember, RemoveMember
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
    """A server with the actors anna and otto, and mila elsewhere."""

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

    def hear(self, activity: dict[str, Any], *, peer: Peer | None = None, to: str | None = "anna") -> None:
        """Deliver an activity of mila's, or of another peer, with a signature of its own, and process it."""
        self.clock.pass_s(2)
        answer = (peer or self.mila).deliver(self.node, activity, to=to)
        assert answer.status == 202, answer.body
        self.work()

    def send(self, activity: View, *, by: str = "anna", to: str = MILA) -> str:
        ident = self.node.send(activity, by=by, to=to)
        self.work()
        return ident

    def follow(self) -> dict[str, Any]:
        """Have mila ask to follow anna."""
        follow = self.mila.activity("Follow", id=f"{MILA}/follows/{next(self.ids)}", object=ANNA)
        self.hear(follow)
        return follow

    def ask(self) -> dict[str, Any]:
        """Have anna ask to follow mila; gives the Follow as it arrived there."""
        ident = self.send(Follow(object=MILA))
        [follow] = [one.activity for one in self.mila.received if one.activity["id"] == ident]
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
        return [one.activity["type"] for one in (peer or self.mila).received]

    def publish_private(self) -> list[str]:
        """Publish for followers only; gives the types of what mila gets because of it."""
        before = len(self.mila.received)
        self.node.publish(Note(content="for followers"), by="anna", to=f"{ANNA}/followers")
        self.work()
        return self.types()[before:]


def theirs(follow: dict[str, Any]) -> Follow:
    return Follow(id=follow["id"], actor=MILA, object=ANNA)


# --- somebody follows us --------------------------------------------------------------------------------------------

OUR_ENDINGS: dict[str, Callable[[dict[str, Any], str], View]] = {
    "Reject of the Follow": lambda follow, answer: Reject(object=theirs(follow)),
    "Reject by id": lambda follow, answer: Reject(object=follow["id"]),
    "Undo of the Accept": lambda follow, answer: Undo(object=Accept(id=answer, actor=ANNA, object=theirs(follow))),
    "Undo of the Accept by id": lambda follow, answer: Undo(object=answer),
    "Block": lambda follow, answer: Block(object=MILA),
}


@pytest.mark.parametrize("ending", OUR_ENDINGS.values(), ids=OUR_ENDINGS)
def test_a_follower_whom_we_remove_gets_nothing_private_any_more(ending):
    ground = Ground()
    follow = ground.follow()
    assert ground.members("followers") == [MILA]
    assert ground.publish_private() == ["Create"]
    answer = ground.mila.received[0].activity["id"]
    ground.send(ending(follow, answer))
    assert ground.members("followers") == []
    assert ground.publish_private() == []


def their_endings(ground: Ground, follow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    mila = ground.mila
    return {
        "Undo of the Follow": mila.activity("Undo", object=follow),
        "Undo by id": mila.activity("Undo", object=follow["id"]),
        "Undo without ids": mila.activity("Undo", object={"type": "Follow", "actor": MILA, "object": ANNA}),
        "Block": mila.activity("Block", object=ANNA),
        "Delete": mila.activity("Delete", object=MILA, to=[PUBLIC]),
        "Delete of the embedded actor": mila.activity("Delete", object={"id": MILA, "type": "Person"}),
    }


@pytest.mark.parametrize("name", their_endings(Ground(), {"id": "https://away.example/1"}))
@pytest.mark.parametrize("inbox", ["anna", None], ids=["own inbox", "shared inbox"])
def test_a_follower_who_leaves_gets_nothing_private_any_more(name, inbox):
    ground = Ground()
    follow = ground.follow()
    ground.hear(their_endings(ground, follow)[name], to=inbox)
    assert ground.members("followers") == []
    assert ground.publish_private() == []


def test_a_request_that_waits_is_listed_and_answered_later():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    assert (ground.members("followers"), ground.requests(), ground.types()) == ([], [MILA], [])
    assert ground.publish_private() == []
    ground.send(Accept(object=theirs(follow)))
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])
    assert ground.publish_private() == ["Create"]


def test_a_request_that_waits_is_accepted_by_its_id():
    ground = Ground(FollowVerdict.PENDING)
    ground.send(Accept(object=ground.follow()["id"]))
    assert ground.members("followers") == [MILA]


def test_the_follow_that_a_listener_was_given_is_accepted_later():
    requests: list[Follow] = []
    ground = Ground(FollowVerdict.PENDING, listen={Follow: lambda ctx, follow: requests.append(follow)})
    ground.follow()
    ground.send(Accept(object=requests[0]))
    assert ground.members("followers") == [MILA]


@pytest.mark.parametrize("kind", [TentativeAccept, TentativeReject])
def test_a_tentative_answer_leaves_a_request_where_it_is(kind):
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    ground.send(kind(object=theirs(follow)))
    assert (ground.members("followers"), ground.requests()) == ([], [MILA])


def test_an_accept_of_a_request_that_was_taken_back_adds_nobody():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    ground.hear(ground.mila.activity("Undo", object=follow))
    ground.send(Accept(object=theirs(follow)))
    assert (ground.members("followers"), ground.requests()) == ([], [])


def test_a_rejected_request_may_be_accepted_after_all():
    ground = Ground(FollowVerdict.REJECT)
    follow = ground.follow()
    assert (ground.types(), ground.requests(), ground.members("followers")) == (["Reject"], [], [])
    ground.send(Accept(object=theirs(follow)))
    assert ground.members("followers") == [MILA]


def test_an_undone_reject_lets_the_request_wait_again():
    ground = Ground()
    follow = ground.follow()
    rejected = ground.send(Reject(object=theirs(follow)))
    ground.send(Undo(object=Reject(id=rejected, object=theirs(follow))))
    assert (ground.members("followers"), ground.requests()) == ([], [MILA])


def test_nobody_answers_for_another_actor():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    for kind in (Accept, Reject):
        with pytest.raises(ContractError, match=r"answers a Follow of .*: send the answer as "):
            ground.send(kind(object=theirs(follow)), by="otto")
    assert ground.requests() == [MILA]
    assert ground.types() == []


def test_a_blocked_actor_cannot_follow_until_the_block_is_undone():
    verdicts: list[str] = []

    def policy(ctx: Any, follow: Follow) -> FollowVerdict:
        verdicts.append(follow.document.id or "")
        return FollowVerdict.ACCEPT

    ground = Ground(policy)
    blocked = ground.send(Block(object=MILA))
    ground.follow()
    assert (ground.types(), verdicts) == (["Block", "Reject"], [])
    assert ground.members("followers") == []
    ground.send(Undo(object=Block(id=blocked, actor=ANNA, object=MILA)))
    ground.follow()
    assert ground.members("followers") == [MILA]


def test_a_repeated_follow_is_answered_again_even_if_new_ones_wait():
    verdicts = [FollowVerdict.ACCEPT, FollowVerdict.PENDING]
    ground = Ground(lambda ctx, follow: verdicts.pop(0))
    for _ in range(2):
        ground.follow()
    assert ground.types() == ["Accept", "Accept"]
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])


def test_a_repeated_follow_that_the_policy_rejects_ends_the_relation():
    verdicts = [FollowVerdict.ACCEPT, FollowVerdict.REJECT]
    ground = Ground(lambda ctx, follow: verdicts.pop(0))
    for _ in range(2):
        ground.follow()
    assert ground.types() == ["Accept", "Reject"]
    assert ground.members("followers") == []


def test_an_undo_that_names_any_of_the_last_follows_is_understood():
    ground = Ground()
    follows = [ground.follow() for _ in range(FOLLOW_IDS_MAX + 1)]
    ground.hear(ground.mila.activity("Undo", object=follows[0]["id"]))
    assert ground.members("followers") == [MILA], "the oldest id is forgotten"
    ground.hear(ground.mila.activity("Undo", object=follows[1]["id"]))
    assert ground.members("followers") == []
    assert not ground.node.run(followed_ids())


def followed_ids() -> Any:
    return (yield from Scan(("followed",), limit=100))


def test_a_reused_follow_id_counts_after_its_undo():
    ground = Ground()
    follow = ground.mila.activity("Follow", id=f"{MILA}/follows/anna", object=ANNA)
    undo = ground.mila.activity("Undo", id=f"{MILA}/follows/anna/undo", object=follow)
    followers = []
    for activity in (follow, undo, follow, undo):
        ground.hear(activity)
        followers.append(ground.members("followers"))
    assert followers == [[MILA], [], [MILA], []]
    assert ground.types() == ["Accept", "Accept"]


def test_a_repeated_follow_or_undo_changes_nothing():
    ground = Ground()
    follow = ground.follow()
    ground.hear(follow)
    assert ground.types() == ["Accept"]
    undo = ground.mila.activity("Undo", object=follow)
    ground.hear(undo)
    again = ground.follow()
    ground.hear(undo)
    assert ground.members("followers") == [MILA], f"the Undo was of another Follow than {again['id']}"


def test_a_replayed_follow_does_not_count_after_its_undo():
    ground = Ground()
    follow = ground.mila.activity("Follow", object=ANNA)
    request = ground.mila.request(follow, f"{ANNA}/inbox")
    for _ in range(2):
        answer = ground.node.handle(request)
        assert isinstance(answer, Response)
        assert answer.status == 202
        ground.work()
        ground.hear(ground.mila.activity("Undo", object=follow))
        assert ground.members("followers") == []
    assert ground.types() == ["Accept"]


def test_a_handler_sees_what_its_own_answer_changes():
    seen: list[bool] = []

    def remove(ctx: Any, follow: Follow) -> None:
        followers = ctx.collection_uri("followers", "anna")
        seen.append(ctx.contains(followers, MILA))
        ctx.send(Reject(object=follow), by="anna", to=MILA)
        seen.append(ctx.contains(followers, MILA))

    ground = Ground(listen={Follow: remove})
    ground.follow()
    assert seen == [True, False]
    assert ground.members("followers") == []


def test_what_the_application_puts_in_or_takes_out_counts():
    ground = Ground(FollowVerdict.PENDING)
    follow = ground.follow()
    site, followers = ground.node.site(), f"{ANNA}/followers"
    ground.node.run(act(site, AddMember(followers, MILA)))
    assert ground.state(Direction.INBOUND) is RelationState.ACCEPTED
    ground.send(Accept(object=theirs(follow)))
    assert (ground.members("followers"), ground.requests()) == ([MILA], [])
    ground.node.run(act(site, RemoveMember(followers, MILA)))
    assert ground.state(Direction.INBOUND) is RelationState.NONE
    ground.send(Accept(object=theirs(follow)))
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


def test_only_its_own_actor_undoes_an_activity():
    ground = Ground()
    follow = ground.ask()
    ground.hear(ground.mila.activity("Accept", object=follow))
    with pytest.raises(ContractError, match="undoes an activity of"):
        ground.send(Undo(object=Follow(actor=OTTO, object=MILA)))
    assert ground.members("following") == [MILA]


def test_a_follower_removed_by_the_application_leaves_no_index_after_its_undo():
    ground = Ground()
    follow = ground.follow()
    ground.node.run(act(ground.node.site(), RemoveMember(f"{ANNA}/followers", MILA)))
    ground.hear(ground.mila.activity("Undo", object=follow))
    assert ground.node.run(followed_ids()) == []


def test_a_blocked_actor_that_the_application_added_leaves_when_it_is_deleted():
    ground = Ground()
    ground.send(Block(object=MILA))
    ground.node.run(act(ground.node.site(), AddMember(f"{ANNA}/followers", MILA)))
    ground.hear(ground.mila.activity("Delete", object=MILA))
    assert ground.members("followers") == []


# --- we follow somebody ---------------------------------------------------------------------------------------------


def accepted(ground: Ground) -> dict[str, Any]:
    follow = ground.ask()
    ground.hear(ground.mila.activity("Accept", object=follow))
    assert ground.members("following") == [MILA]
    return follow


OUR_WAYS_OUT: dict[str, Callable[[dict[str, Any]], View]] = {
    "Undo of the Follow": lambda follow: Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)),
    "Undo by id": lambda follow: Undo(object=follow["id"]),
    "Undo without an id": lambda follow: Undo(object=Follow(actor=ANNA, object=MILA)),
    "Block": lambda follow: Block(object=MILA),
}


@pytest.mark.parametrize("way_out", OUR_WAYS_OUT.values(), ids=OUR_WAYS_OUT)
def test_whom_we_unfollow_is_not_in_following_and_a_late_accept_changes_nothing(way_out):
    ground = Ground()
    follow = accepted(ground)
    ground.send(way_out(follow))
    assert ground.members("following") == []
    ground.hear(ground.mila.activity("Accept", object=follow))
    ground.hear(ground.mila.activity("Accept", object=follow["id"]))
    assert ground.members("following") == []
    assert ground.state(Direction.OUTBOUND) is RelationState.NONE


def test_an_accept_of_a_pending_follow_that_we_have_undone_changes_nothing():
    ground = Ground()
    follow = ground.ask()
    ground.send(Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)))
    ground.hear(ground.mila.activity("Accept", object=follow))
    assert ground.members("following") == []


def their_answers(ground: Ground, follow: dict[str, Any]) -> dict[str, dict[str, Any]]:
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


@pytest.mark.parametrize("name", their_answers(Ground(), {"id": f"{ANNA}#follow/1"}))
def test_whoever_ends_our_follow_is_not_in_following(name):
    ground = Ground()
    follow = ground.ask()
    ground.hear(ground.mila.activity("Accept", id=f"{MILA}#accept", object=follow))
    assert ground.members("following") == [MILA]
    ground.hear(their_answers(ground, follow)[name])
    assert ground.members("following") == []


def test_only_the_actor_that_was_asked_answers():
    ground = Ground()
    eve = ground.network.peer("https://away.example/@eve")
    follow = ground.ask()
    ground.hear(eve.activity("Accept", object=follow), peer=eve)
    ground.hear(eve.activity("Accept", object=follow["id"]), peer=eve)
    assert ground.members("following") == []
    ground.hear(ground.mila.activity("Accept", object=follow))
    ground.hear(eve.activity("Reject", object=follow), peer=eve)
    ground.hear(eve.activity("Block", object=ANNA), peer=eve)
    assert ground.members("following") == [MILA]


def test_a_late_answer_to_a_follow_that_was_undone_says_nothing_about_the_next_one():
    ground = Ground()
    first = ground.ask()
    ground.send(Undo(object=Follow(id=first["id"], actor=ANNA, object=MILA)))
    second = ground.ask()
    ground.hear(ground.mila.activity("Accept", object=first))
    assert ground.members("following") == []
    ground.hear(ground.mila.activity("Accept", object=second | {"id": f"{MILA}/a-name-of-its-own"}))
    ground.hear(ground.mila.activity("Reject", object=first))
    assert ground.members("following") == [MILA]


def test_an_accept_of_nothing_adds_nobody():
    ground = Ground()
    made_up = {"id": f"{ANNA}#follow/made-up", "type": "Follow", "actor": ANNA, "object": MILA}
    for activity in ({"object": made_up}, {"object": made_up["id"]}, {"object": ANNA}, {"object": f"{HOME}/nobody"}):
        ground.hear(ground.mila.activity("Accept", **activity))
    assert ground.members("following") == []
    assert ground.members("followers") == []


def test_a_reused_accept_id_counts_for_the_next_follow():
    ground = Ground()
    for _ in range(2):
        follow = ground.ask()
        accept = ground.mila.activity("Accept", id=f"{MILA}#accepts/anna", object=follow)
        ground.hear(accept)
        assert ground.members("following") == [MILA]
        ground.send(Undo(object=Follow(id=follow["id"], actor=ANNA, object=MILA)))
        ground.hear(accept)
        assert ground.members("following") == [], "the Accept is of a Follow that was undone"


def test_an_accept_of_a_follow_of_another_actor_adds_nobody():
    ground = Ground()
    eve = ground.network.peer("https://away.example/@eve")
    ground.send(Follow(object=eve.actor), to=eve.actor)
    follow_of_mila = {"type": "Follow", "actor": ANNA, "object": MILA}
    ground.hear(eve.activity("Accept", object=follow_of_mila), peer=eve)
    assert ground.members("following") == []


def test_an_accept_by_id_of_an_id_below_the_actor_is_found_at_the_shared_inbox():
    """The application may choose an id among the actor's own activities."""
    ground = Ground()
    follow_id = f"{ANNA}/activities/first-follow"
    ground.node.publish(Note(id=follow_id, content="a place for the Follow"), by="anna", to=f"{ANNA}/followers")
    ground.send(Follow(id=follow_id, object=MILA))
    ground.hear(ground.mila.activity("Accept", object=follow_id), to=None)
    assert ground.members("following") == [MILA]


def test_an_answer_to_something_else_than_a_follow_changes_nothing():
    ground = Ground()
    accepted(ground)
    offer = {"id": f"{ANNA}#offer/1", "type": "Offer", "actor": ANNA, "object": MILA}
    ground.hear(ground.mila.activity("Reject", object=offer))
    assert ground.members("following") == [MILA]


def test_a_follow_that_an_earlier_release_has_sent_is_accepted():
    """Earlier releases kept our Follow under another key, in other words."""
    ground = Ground()
    ident = f"{ANNA}#follow/old"
    legacy = Put(
        ("follow", "1", digest_part(ANNA), digest_part(MILA)),
        encode_record({"id": ident, "state": "asked", "object": MILA}),
    )
    assert ground.node.run(commit((), (legacy,)))
    assert ground.state(Direction.OUTBOUND) is RelationState.PENDING
    ground.hear(ground.mila.activity("Accept", object=ident))
    assert ground.members("following") == [MILA]
    ground.send(Undo(object=Follow(id=ident, actor=ANNA, object=MILA)))
    assert ground.members("following") == []
    assert ground.state(Direction.OUTBOUND) is RelationState.NONE


# --- both ways, and many --------------------------------------------------------------------------------------------


def test_a_deleted_actor_is_in_no_collection_and_gets_nothing():
    ground = Ground()
    follow = ground.ask()
    ground.hear(ground.mila.activity("Follow", object=ANNA))
    ground.hear(ground.mila.activity("Follow", object=OTTO), to="otto")
    ground.hear(ground.mila.activity("Accept", object=follow))
    assert [ground.members(name) for name in ("followers", "following")] == [[MILA], [MILA]]
    ground.hear(ground.mila.activity("Delete", object=MILA, to=[PUBLIC]), to=None)
    ground.network.exchanges.clear()
    for identifier in ("anna", "otto"):
        ground.node.publish(Note(content="hello"), by=identifier)
    ground.work()
    assert [ground.members(name) for name in ("followers", "following")] == [[], []]
    assert ground.members("followers", OTTO) == []
    assert [one.url for one in ground.network.exchanges if one.method == "POST"] == []


def test_a_follower_that_no_record_names_is_dropped_when_it_is_deleted():
    """An application, or an earlier release, may have put it in."""
    ground = Ground()
    site, followers = ground.node.site(), f"{OTTO}/followers"
    kept = json.dumps({"inbox": ground.mila.inbox, "shared": ground.mila.shared_inbox}).encode()
    ground.node.run(act(site, AddMember(followers, MILA, kept)))
    ground.follow()
    ground.hear(ground.mila.activity("Delete", object=MILA), to=None)
    ground.network.exchanges.clear()
    ground.node.publish(Note(content="hello"), by="otto")
    ground.work()
    assert ground.members("followers", OTTO) == []
    assert [one for one in ground.network.exchanges if one.method == "POST"] == []


def test_an_actor_that_comes_back_is_a_follower_again():
    ground = Ground()
    ground.follow()
    ground.hear(ground.mila.activity("Delete", object=MILA))
    ground.follow()
    assert ground.publish_private() == ["Create"]


def test_all_relations_of_a_deleted_actor_end_however_many_there_are():
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/people/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    ground = Ground()
    ground.node = Node(federation, HOME, "memory:", transport=ground.network, signer=ReusedKeys(), runtime=ground.clock)
    people = [f"{HOME}/people/{number}" for number in range(25)]
    for number, person in enumerate(people):
        ground.hear(ground.mila.activity("Follow", object=person), to=str(number))
    assert all(ground.members("followers", person) == [MILA] for person in people)
    ground.hear(ground.mila.activity("Delete", object=MILA), to=None)
    assert all(ground.members("followers", person) == [] for person in people)


def test_only_the_actor_itself_deletes_itself():
    ground = Ground()
    ground.follow()
    eve = ground.network.peer("https://away.example/@eve")
    ground.hear(eve.activity("Follow", object=OTTO), peer=eve, to="otto")
    for object_ in (MILA, {"id": MILA, "type": "Person"}, {"id": MILA, "type": "Tombstone"}):
        ground.hear(eve.activity("Delete", object=object_), peer=eve)
    assert ground.members("followers") == [MILA]


def test_two_actors_of_one_server_follow_and_unfollow_each_other():
    ground = Ground()
    ident = ground.send(Follow(object=OTTO), to=OTTO)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([ANNA], [OTTO])
    ground.send(Undo(object=Follow(id=ident, actor=ANNA, object=OTTO)), to=OTTO)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([], [])
    ground.send(Follow(object=OTTO), to=OTTO)
    ground.send(Block(object=ANNA), by="otto", to=ANNA)
    assert (ground.members("followers", OTTO), ground.members("following")) == ([], [])


def test_a_relation_that_has_ended_leaves_no_record():
    ground = Ground()
    follow = ground.follow()
    ground.hear(ground.mila.activity("Undo", object=follow))

    def facts(kind: str) -> Any:
        return (yield from Scan((kind,), limit=100))

    for kind in ("relation", "followed"):
        assert ground.node.run(facts(kind)) == []
    assert not any(ground.node.run(contains(requests_collection(ANNA), (MILA,))))


def test_a_rejected_stranger_is_not_remembered_for_ever():
    ground = Ground(FollowVerdict.REJECT)
    ground.follow()
    assert ground.state(Direction.INBOUND) is RelationState.REJECTED
    ground.clock.at += timedelta(days=31)
    assert ground.state(Direction.INBOUND) is RelationState.NONE
