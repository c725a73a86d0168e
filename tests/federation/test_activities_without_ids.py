"""Check activities that lack an id or have several actors, and that a refusal names the rule that was broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.federation.inbox.parse import ACTORS_MAX
from inbox_fixture import ALICE, BOB, CAROL, INBOX, SHARED, Ground

POST = f"{ALICE}/posts/1"
AS2 = "https://www.w3.org/ns/activitystreams"
TWIN = "https://remote.example/users/twin"


def activity(type_name: str, object_: Any = POST, **members: Any) -> dict[str, Any]:
    return {"@context": AS2, "type": type_name, "actor": BOB, "object": object_} | members


def deliver(ground: Ground, members: dict[str, Any], to: str = INBOX, *, sender: Any = None) -> tuple[int, str]:
    """Deliver an activity in a request of its own, and return the status and the detail of a refusal."""
    ground.clock.pass_s(1)
    answer = ground.post((sender or ground.bob).request(json.dumps(members).encode(), to))
    ground.work()
    return answer.status, json.loads(answer.body).get("detail", "") if answer.body else ""


# --- the rule that is broken ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        (activity("Create"), "the activity has no id, so a repetition of it could not be recognised"),
        (activity("Like", None), "the activity has no id, so a repetition of it could not be recognised"),
        (activity("Like", actor=None), "the activity has no actor"),
        (activity("Like", actor={"type": "Person"}), "an actor of the activity has no id"),
        (activity("Like", actor=[BOB, TWIN]), "the activity has several actors: exactly one is needed"),
        (activity("Note"), "the body is no activity: its type is Note"),
        (activity("Like", type=None), "the activity has no type"),
        (
            activity("Like", **{"@context": [None, {"x": "https://x.example/"}]}),
            "the activity has no type: a null in its @context removes the meaning of its members",
        ),
        (
            activity("Update", [], id=f"{BOB}/1"),
            "https://remote.example/users/bob/1 names no object that it changes",
        ),
    ],
)
def test_refusal_names_the_rule(members, detail):
    ground = Ground()
    assert deliver(ground, members) == (400, detail)
    assert ground.heard == []


def test_detail_of_a_refusal_is_bounded():
    status, detail = deliver(Ground(), activity("Note", type=["Note", "x" * 1000]))
    assert status == 400
    assert len(detail) < 310


@pytest.mark.parametrize("context", [{"@context": None}, {}])
def test_null_context_is_read_like_an_absent_one(context):
    ground = Ground()
    members = activity("Like", id=f"{BOB}/1")
    del members["@context"]
    assert deliver(ground, members | context) == (202, "")
    assert ground.heard == [f"{BOB}/1"]


# --- activities without an id ---------------------------------------------------------------------------------------

NAMELESS = {
    "Like": activity("Like"),
    "Announce": activity("Announce"),
    "Follow": activity("Follow", ALICE),
    "Undo of an id": activity("Undo", f"{BOB}/likes/1"),
    "Undo of a Like without id": activity("Undo", activity("Like")),
    "Undo of a Follow without id": activity("Undo", activity("Follow", ALICE)),
}


@pytest.mark.parametrize("members", NAMELESS.values(), ids=NAMELESS)
def test_activity_without_id_counts_once(members):
    ground = Ground()
    for _ in range(3):
        assert deliver(ground, members) == (202, "")
    assert len(ground.heard) == 1
    assert ground.heard[0] is not None
    assert ground.heard[0].startswith(f"{BOB}#{members['type'].lower()}-")


def test_stand_in_ids_differ_by_actor_type_and_object():
    ground = Ground()
    twin = ground.network.peer(TWIN)
    for members in (*NAMELESS.values(), activity("Like", f"{POST}2"), activity("Like", CAROL)):
        assert deliver(ground, members) == (202, "")
        assert deliver(ground, members | {"actor": TWIN}, sender=twin)[0] in {202, 400}
    assert len(set(ground.heard)) == len(ground.heard)
    assert {uri.partition("#")[0] for uri in ground.heard if uri is not None} == {BOB, TWIN}


@pytest.mark.parametrize(("type_name", "object_uri"), [("Like", POST), ("Announce", POST), ("Follow", ALICE)])
def test_activity_without_id_counts_again_after_its_undo(type_name, object_uri):
    ground = Ground()
    members = activity(type_name, object_uri)
    for sent in (members, activity("Undo", members)) * 3:
        assert deliver(ground, sent) == (202, "")
        # The repetition changes nothing.
        assert deliver(ground, sent) == (202, "")
    assert len(ground.heard) == 6
    assert len(set(ground.heard)) == 2


def test_follow_without_id_makes_a_follower_and_its_undo_removes_it():
    ground = Ground()
    follow = activity("Follow", ALICE)
    followers = []
    for sent in (follow, activity("Undo", follow)) * 2:
        assert deliver(ground, sent) == (202, "")
        followers.append(ground.collection("followers"))
    assert followers == [[BOB], []] * 2
    answers = [delivered.activity for delivered in ground.bob.received]
    assert [answer["object"] for answer in answers] == [{"type": "Follow", "actor": BOB, "object": ALICE}] * 2


@pytest.mark.parametrize("members", NAMELESS.values(), ids=NAMELESS)
def test_activity_without_id_needs_a_request_signed_by_its_actor(members):
    ground = Ground()
    for proved in (ground.bob.prove(members), ground.bob.ld_sign(members), members):
        status, _ = deliver(ground, proved, sender=ground.carol)
        assert status in {400, 401}
    assert deliver(ground, ground.bob.prove(members)) == (202, "")
    assert len(ground.heard) == 1


@pytest.mark.parametrize(
    "members",
    [
        activity("Create", {"type": "Note"}),
        activity("EmojiReact"),
        activity("Undo", activity("Create")),
        activity("Undo", activity("Undo", f"{BOB}/1")),
        activity("Undo", activity("Like", actor=CAROL)),
        activity("Like", [POST, f"{POST}2"]),
        activity("Like", type=["Like", "Announce"]),
    ],
)
def test_activity_that_its_object_does_not_identify_is_refused(members):
    ground = Ground()
    assert deliver(ground, members)[0] in {400, 403}
    assert ground.heard == []


# --- several actors -------------------------------------------------------------------------------------------------


def test_activity_of_several_actors_counts_for_the_first_by_policy():
    ground = Ground(several_actors="first")
    actors: list[str | None] = []
    ground.listeners.append(lambda ctx, _: actors.append(ctx.actor))
    assert deliver(ground, activity("Follow", ALICE, actor=[BOB, TWIN], id=f"{BOB}/1")) == (202, "")
    assert actors == [BOB]
    assert ground.collection("followers") == [BOB]


def test_activity_of_several_actors_must_be_signed_by_the_first():
    ground = Ground(several_actors="first")
    twin = ground.network.peer(TWIN)
    assert deliver(ground, activity("Like", actor=[BOB, TWIN], id=f"{BOB}/1"), sender=twin)[0] in {401, 403}
    assert ground.heard == []


@pytest.mark.parametrize(
    ("actors", "detail"),
    [
        ([BOB, CAROL], "the activity has actors of several origins"),
        ([BOB, {"type": "Person"}], "an actor of the activity has no id"),
        ([f"{BOB}{number}" for number in range(ACTORS_MAX + 1)], f"the activity has more than {ACTORS_MAX} actors"),
        ([], "the activity has no actor"),
    ],
)
def test_unclear_actors_are_refused_under_every_policy(actors, detail):
    ground = Ground(several_actors="first")
    assert deliver(ground, activity("Like", actor=actors, id=f"{BOB}/1")) == (400, detail)


def test_activity_of_several_actors_changes_only_what_is_of_the_first():
    ground = Ground(several_actors="first")
    note = {"id": f"{TWIN}/notes/1", "type": "Note", "attributedTo": TWIN}
    status, _ = deliver(ground, activity("Update", note, actor=[BOB, TWIN], id=f"{BOB}/1"), SHARED)
    assert status == 403


def test_unknown_policy_for_several_actors_is_refused():
    with pytest.raises(ConfigurationError, match="several_actors is refuse or first"):
        Federation(several_actors="all")  # type: ignore[arg-type]
