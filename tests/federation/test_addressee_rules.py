"""Check activities from blocked actors, and mass mentions by strangers."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError
from apcore.federation import Federation, InboxPolicy
from apcore.http import Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import PUBLIC, Activity, Person
from inbox_fixture import reason_of

HERE = "https://local.example"
BOB = "https://remote.example/users/bob"
ALICE, ANNA = f"{HERE}/users/alice", f"{HERE}/users/anna"
LOCAL = [f"{HERE}/users/{number}" for number in range(60)]


class Ground:
    """A server where every name is an actor, with the ids of the activities that its listener got."""

    def __init__(self, **policy: Any) -> None:
        federation: Federation[None] = Federation(inbox=InboxPolicy(**policy))
        self.heard: list[str | None] = []

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person:
            return Person(preferred_username=identifier)

        @federation.on(Activity)
        def arrived(ctx: Any, activity: Activity) -> None:
            self.heard.append(activity.id)

        self.network = PeerNetwork()
        self.bob = self.network.peer(BOB)
        self.node = Node(federation, HERE, MemoryStore(), transport=self.network, signer=ReusedKeys(), slots=0)

    def deliver(self, type_name: str = "Create", inbox: str | None = None, **members: Any) -> Response:
        if type_name == "Create" and "object" not in members:
            members["object"] = {"type": "Note", "id": f"{BOB}/notes/1", "attributedTo": BOB}
        return self.bob.deliver(self.node, self.bob.activity(type_name, **members), to=inbox)

    def listen(self) -> int:
        """Process all activities, and return how many the listener got."""
        self.heard.clear()
        self.node.work(until_idle=True)
        return len(self.heard)

    def block(self, *identifiers: str) -> None:
        for identifier in identifiers:
            assert self.node.block(BOB, by=identifier)
        self.node.work(until_idle=True)


def test_blocked_actor_is_refused_at_the_inbox_until_the_block_ends() -> None:
    ground = Ground()
    assert ground.deliver("Like", "alice", object=ALICE).status == 202
    ground.block("alice")
    ground.listen()
    refused = ground.deliver("Like", "alice", object=ALICE)
    assert (refused.status, reason_of(refused)) == (403, "actor-blocked")
    assert ground.deliver("Like", "anna", object=ANNA).status == 202
    assert ground.listen() == 1
    assert ground.node.unblock(BOB, by="alice")
    assert ground.deliver("Like", "alice", object=ALICE).status == 202
    assert ground.listen() == 1


def test_blocked_actor_is_dropped_by_policy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ground = Ground(blocked_actors="drop")
    ground.block("alice")
    assert ground.deliver("Like", "alice", object=ALICE).status == 202
    assert ground.listen() == 0
    assert f"dropped, since {BOB} is blocked by {ALICE}," in caplog.text


@pytest.mark.parametrize(
    ("addressees", "status"),
    [
        ({"to": ALICE}, 403),
        ({"to": [ALICE, ANNA]}, 202),
        ({"to": PUBLIC}, 202),
        ({"to": [PUBLIC, f"{BOB}/followers"], "cc": ALICE}, 403),
        ({"to": "https://third.example/users/carol"}, 202),
    ],
    ids=["only-the-blocking-actor", "another-actor-too", "everyone", "everyone-and-the-blocking-actor", "elsewhere"],
)
def test_blocked_actor_at_the_shared_inbox_is_refused_if_all_that_it_names_block_it(
    addressees: dict[str, Any], status: int
) -> None:
    ground = Ground()
    ground.block("alice")
    assert ground.deliver(**addressees).status == status
    assert ground.listen() == (status == 202)


def test_actor_that_all_addressees_block_is_refused() -> None:
    ground = Ground()
    ground.block("alice", "anna")
    assert ground.deliver(cc=[ALICE, ANNA]).status == 403


@pytest.mark.parametrize("type_name", ["Undo", "Delete", "Block", "Follow"])
def test_activity_that_takes_away_or_needs_an_answer_is_accepted_from_a_blocked_actor(type_name: str) -> None:
    ground = Ground()
    ground.block("alice")
    target: Any = {"Undo": {"type": "Like", "id": f"{BOB}/likes/1", "actor": BOB, "object": ALICE}}.get(
        type_name, f"{BOB}/notes/1" if type_name == "Delete" else ALICE
    )
    assert ground.deliver(type_name, "alice", object=target).status == 202
    ground.node.work(until_idle=True)
    answers = [delivered.activity["type"] for delivered in ground.bob.received]
    assert answers == (["Block", "Reject"] if type_name == "Follow" else ["Block"])


def test_unproved_sender_does_not_learn_about_a_block() -> None:
    ground = Ground()
    ground.block("alice")
    eve = ground.network.peer("https://evil.example/users/eve")
    activity = ground.bob.activity("Like", object=ALICE)
    forged = ground.node.handle(eve.request(activity, f"{ALICE}/inbox"))
    assert isinstance(forged, Response)
    assert forged.status == 401


# --- mass mentions --------------------------------------------------------------------------------------------------


def mention(uri: str) -> dict[str, str]:
    return {"type": "Mention", "href": uri}


@pytest.mark.parametrize("place", ["to", "cc", "bcc", "tag", "object-to", "object-tag"])
@pytest.mark.parametrize("count", [20, 21])
def test_stranger_names_a_bounded_number_of_actors(place: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ground = Ground()
    names: list[Any] = [mention(uri) for uri in LOCAL[:count]] if place.endswith("tag") else LOCAL[:count]
    note = {"type": "Note", "id": f"{BOB}/notes/1", "attributedTo": BOB}
    if place.startswith("object-"):
        answer = ground.deliver(object=note | {place.removeprefix("object-"): names})
    else:
        answer = ground.deliver(**{place: names})
    if count == 20:
        assert answer.status == 202
    else:
        assert (answer.status, reason_of(answer)) == (403, "too-many-mentions")
        assert f"{BOB}, which no actor of this server follows, names 21 of them, at most 20" in caplog.text
    assert ground.listen() == (count == 20)


def test_actors_of_other_servers_and_repetitions_do_not_count() -> None:
    ground = Ground(stranger_mentions_max=1)
    others = [f"https://third.example/users/{number}" for number in range(50)]
    assert ground.deliver(cc=[*others, ALICE, ALICE], tag=[mention(ALICE)]).status == 202


def test_follower_is_still_a_stranger_and_a_followed_actor_is_not() -> None:
    ground = Ground(stranger_mentions_max=1)
    assert ground.deliver("Follow", "alice", object=ALICE).status == 202
    ground.node.work(until_idle=True)
    assert ground.deliver(cc=[ALICE, ANNA]).status == 403
    follow_id = ground.node.follow(BOB, by="anna")
    ground.node.work(until_idle=True)
    assert ground.deliver(cc=[ALICE, ANNA]).status == 403, "the Follow is not accepted yet"
    assert ground.deliver("Accept", "anna", object=follow_id).status == 202
    ground.node.work(until_idle=True)
    assert ground.deliver(cc=[ALICE, ANNA]).status == 202


def test_no_limit_by_policy() -> None:
    assert Ground(stranger_mentions_max=None).deliver(cc=LOCAL).status == 202


@pytest.mark.parametrize("policy", [{"stranger_mentions_max": 0}, {"blocked_actors": "ignore"}])
def test_malformed_policy_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises((ValueError, ConfigurationError)):
        InboxPolicy(**policy)
