"""FEP-fe34, the origin-based security model: each of its numbered rules has its test here, or its reason why it is not ours.

Numbers are those of the list that the project keeps of the FEP's rules; each test is named by its number.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

import pytest
from attrs import evolve

from apcore.effects import Fetch
from apcore.errors import RemoteError
from apcore.http import Headers, Request, same_origin
from apcore.remote import (
    NotAnActivity,
    OwnerUnclear,
    check_change,
    implied_owner,
    is_embedded_trusted,
    is_move_confirmed,
    may_change_owner,
    owners,
)
from apcore.remote.documents import load
from apcore.signatures import cavage
from apcore.vocab import Activity, Document, Kind, Move, Note, kind_of, read_document, same_id
from inbox_fixture import ALICE, BOB, CAROL, HERE, INBOX, Ground, reason_of

AS2 = "https://www.w3.org/ns/activitystreams"
NEIGHBOUR = f"{BOB}2"
NOTE = "https://remote.example/notes/1"
THEIRS = "https://third.example/notes/1"

NOT_OURS: Final = {
    5: "Servers validate what their own clients post: apcore has no client API (C2S). What an application publishes is its own; handlers make "
    "documents, and keys are only ever added by apcore.",
    12: "An option (MAY) that is not taken: nobody acts for a neighbour by the origin alone. An application may, in its listener.",
}
"""Rules without a test here, and why."""


def test_every_rule_has_its_test_or_its_reason():
    names = [name for name in dir(sys.modules[__name__]) if name.startswith("test_rule_")]
    tested = {int(found[1]) for name in names if (found := re.match(r"test_rule_([0-9]+)_", name))}
    assert tested | NOT_OURS.keys() == set(range(1, 18))
    assert not tested & NOT_OURS.keys()


def document(**members: Any) -> Document:
    return read_document(json.dumps({"@context": AS2} | members).encode())


def activity(name: str, **members: Any) -> Activity:
    given = {"id": f"{BOB}/1", "type": name, "actor": BOB} | members
    return Activity.over(document(**{key: value for key, value in given.items() if value is not None}))


def post(ground: Ground, members: dict[str, Any], by: Any = None) -> tuple[int, str | None]:
    body = json.dumps({"@context": AS2} | members).encode()
    request = Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), body)
    answer = ground.post((by or ground.bob).sign(request))
    return answer.status, reason_of(answer)


# --- 1 to 4: origins, and fetching from them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (BOB, NOTE, True),
        (BOB, "HTTPS://Remote.Example/x", True),
        (BOB, "https://remote.example:443/x", True),
        (BOB, "https://remote.example:8443/x", False),
        (BOB, "http://remote.example/x", False),
        (BOB, "https://www.remote.example/x", False),
        (BOB, "https://remote.example@third.example/x", False),
        ("urn:x", "urn:x", False),
    ],
)
def test_rule_1_an_origin_is_scheme_host_and_port(one, other, same):
    assert same_origin(one, other) is same_origin(other, one) is same


def test_rule_2_what_cannot_be_authenticated_is_discarded():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}
    assert post(ground, members, ground.carol) == (401, "not-the-actor")
    ground.work()
    assert ground.heard == []


@pytest.mark.parametrize(
    ("said", "believed"),
    [(NOTE, True), (f"{NOTE}0", True), (THEIRS, False), (None, False)],
    ids=["itself", "its neighbour, which is asked", "another origin's", "nothing"],
)
def test_rule_3_where_it_came_from_speaks_for_its_id(said, believed):
    ground = Ground()
    for uri in (NOTE, f"{NOTE}0"):
        ground.bob.serve(uri, {"@context": AS2, "type": "Note"} | ({} if said is None else {"id": said}))
    ask = load(NOTE, policy=ground.node.site().fetching)
    if believed:
        assert ground.node.run(ask).document.id == said
    else:
        with pytest.raises(RemoteError):
            ground.node.run(ask)


def test_rule_4_an_uploaded_file_is_no_document():
    for content_type, believed in (
        ("application/activity+json", True),
        ('application/ld+json; profile="https://www.w3.org/ns/activitystreams"', True),
        # Without a profile it counts only because the document names ActivityStreams itself.
        ("application/ld+json", True),
        ('application/ld+json; profile="https://remote.example/other"', False),
        ("application/json", False),
        ("text/html", False),
    ):
        ground = Ground()
        ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note"})
        given = ground.bob.answer

        def answer(request: Request, given: Any = given, content_type: str = content_type) -> Any:
            found = given(request)
            return evolve(found, headers=found.headers.with_set("content-type", content_type))

        ground.bob.answer = answer  # type: ignore[method-assign]
        ask = load(NOTE, policy=ground.node.site().fetching)
        if believed:
            assert ground.node.run(ask).document.id == NOTE
        else:
            with pytest.raises(RemoteError):
                ground.node.run(ask)


# --- 6 and 7: signatures, embedding ---------------------------------------------------------------------------------


def test_rule_6_the_key_is_of_the_objects_origin_and_owner():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}
    neighbour = ground.network.peer(NEIGHBOUR)
    proved = ground.bob.prove(members)
    assert post(ground, neighbour.prove(members))[0] == 401, "a key of the same origin, and of another owner"
    assert post(ground, ground.carol.prove(members))[0] == 401, "a key of another origin"
    assert post(ground, proved, ground.carol)[0] == 202
    # The claim is mutual: the actor lists the key, and the key names the actor.
    ground = Ground()
    ground.bob.serve(BOB, ground.bob.document | {"assertionMethod": [], "publicKey": []})
    assert post(ground, proved) == (401, "key-not-owned")
    assert post(ground, members) == (401, "key-not-owned")


INSIDE = {
    "the same owner": ({"id": NOTE, "attributedTo": BOB}, True),
    "the same, and another of its origin": ({"id": NOTE, "attributedTo": [NEIGHBOUR, BOB]}, True),
    "the actor itself": ({"id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, True),
    "a part of the wrapper": ({"id": f"{BOB}/1#x", "attributedTo": CAROL}, True),
    "without an id": ({"attributedTo": CAROL}, True),
    "a neighbour's": ({"id": NOTE, "attributedTo": NEIGHBOUR}, False),
    "a neighbour": ({"id": NEIGHBOUR, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, False),
    "nobody's": ({"id": NOTE}, False),
    "a stranger's": ({"id": THEIRS, "attributedTo": CAROL}, False),
    "his, on another origin": ({"id": THEIRS, "attributedTo": BOB}, False),
    "his and a stranger's": ({"id": NOTE, "attributedTo": [BOB, CAROL]}, False),
}


@pytest.mark.parametrize(("embedded", "believed"), INSIDE.values(), ids=INSIDE)
def test_rule_7_what_is_embedded_is_believed_of_the_same_origin_and_owner(embedded, believed):
    made = document(type="Thing", **embedded)
    assert is_embedded_trusted(made, wrapper=f"{BOB}/1", owner=BOB) is believed


@pytest.mark.parametrize("owner", [BOB, NEIGHBOUR])
def test_rule_7_a_listener_asks_for_what_is_not_believed(owner):
    ground = Ground()
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": owner, "content": "said"})
    seen: list[Any] = []

    ground.listeners.append(lambda ctx, activity: seen.append(ctx.resolve(activity.object).words["content"]))
    note = {"id": NOTE, "type": "Note", "attributedTo": owner, "content": "claimed"}
    assert post(ground, {"id": f"{BOB}/1", "type": "Create", "actor": BOB, "object": note})[0] == 202
    ground.work()
    assert seen == ["claimed" if owner == BOB else "said"]


# --- 8 to 11: owners, and what they may do --------------------------------------------------------------------------

OWNERS = [
    ({"type": "Person", "id": BOB, "inbox": "i", "outbox": "o"}, Kind.ACTOR, (BOB,)),
    ({"type": "Group", "id": BOB, "inbox": "i", "outbox": "o", "attributedTo": CAROL}, Kind.ACTOR, (BOB,)),
    ({"type": "Like", "id": f"{BOB}/1", "actor": BOB}, Kind.ACTIVITY, (BOB,)),
    ({"type": "Key", "id": f"{BOB}#k", "publicKeyPem": "p", "owner": BOB}, Kind.KEY, (BOB,)),
    (
        {"type": "Multikey", "id": f"{BOB}#k", "publicKeyMultibase": "z", "controller": BOB},
        Kind.VERIFICATION_METHOD,
        (BOB,),
    ),
    ({"type": "Note", "id": NOTE, "attributedTo": BOB}, Kind.OBJECT, (BOB,)),
    ({"type": "Collection", "id": NOTE, "totalItems": 0, "attributedTo": BOB}, Kind.COLLECTION, (BOB,)),
    ({"type": "Link", "href": "https://x.example/", "attributedTo": BOB}, Kind.LINK, ()),
    ({"type": "Note", "id": NOTE}, Kind.OBJECT, ()),
]


@pytest.mark.parametrize(("members", "kind", "expected"), OWNERS, ids=[str(n) for n in range(len(OWNERS))])
def test_rule_8_whose_a_thing_is_depends_on_what_it_has(members, kind, expected):
    """An actor with attributedTo is no error here: see `apcore.remote.trust`."""
    made = document(**members)
    assert (kind_of(made), owners(made)) == (kind, expected)


@pytest.mark.parametrize("members", [{"id": THEIRS}, {"id": "urn:x"}])
def test_rule_9_an_owner_is_of_the_things_origin(members):
    with pytest.raises(OwnerUnclear):
        owners(document(type="Note", attributedTo=BOB, **members))


def test_rule_9_an_activity_is_of_its_actors_origin():
    ground = Ground()
    assert post(ground, {"id": THEIRS, "type": "Like", "actor": BOB, "object": ALICE}) == (403, "forbidden")


def test_rule_10_owners_are_the_same_whatever_the_case_of_scheme_and_host():
    shouted = BOB.replace("https://remote.example", "HTTPS://Remote.EXAMPLE")
    assert same_id(BOB, shouted)
    assert not same_id(BOB, BOB.upper())
    assert owners(document(type="Note", id=NOTE, attributedTo=[BOB, shouted])) == (BOB,)
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Update", "actor": BOB, "object": {"id": NOTE, "attributedTo": shouted}}
    assert post(ground, members)[0] == 202


HIS: Final = {"id": NOTE, "type": "Note", "attributedTo": BOB}
NEIGHBOURS: Final = HIS | {"attributedTo": NEIGHBOUR}
STRANGERS: Final = {"id": THEIRS, "type": "Note", "attributedTo": CAROL}
LIKED: Final = {"id": f"{BOB}/2", "type": "Like", "actor": BOB, "object": ALICE}
LIST: Final = {"id": f"{BOB}/featured", "type": "OrderedCollection", "attributedTo": BOB, "totalItems": 1}

CHANGES: dict[str, tuple[Activity, type[RemoteError] | None]] = {
    **{
        f"{name} of {whose}": (activity(name, object=object_), error)
        for name in ("Update", "Delete")
        for whose, object_, error in (
            ("his", HIS, None),
            ("what is named of his origin", NOTE, None),
            ("himself", {"id": BOB, "type": "Person", "inbox": "i", "outbox": "o"}, None),
            ("a neighbour's", NEIGHBOURS, RemoteError),
            ("a stranger's", STRANGERS, RemoteError),
            ("what is named of another origin", THEIRS, RemoteError),
            ("ours", ALICE, RemoteError),
            ("nothing", None, NotAnActivity),
            ("something without id", {"type": "Note"}, NotAnActivity),
        )
    },
    **{
        f"Undo of {whose}": (activity("Undo", object=object_), error)
        for whose, object_, error in (
            ("what he did", LIKED, None),
            ("what is named of his origin", LIKED["id"], None),
            ("what he did, its id lost", {"type": "Like", "actor": BOB, "object": ALICE}, None),
            ("what a neighbour did", LIKED | {"actor": NEIGHBOUR}, RemoteError),
            ("what a neighbour did, its id lost", {"type": "Like", "actor": NEIGHBOUR}, RemoteError),
            ("what a stranger did", {"id": f"{CAROL}/1", "type": "Like", "actor": CAROL}, RemoteError),
            ("what a stranger did, as his", {"id": f"{CAROL}/1", "type": "Like", "actor": BOB}, RemoteError),
            ("what is named of another origin", f"{CAROL}/1", RemoteError),
            ("nothing", None, NotAnActivity),
        )
    },
    **{
        f"{name} {whose}": (activity(name, object=THEIRS, target=target), error)
        for name in ("Add", "Remove")
        for whose, target, error in (
            ("to his list", LIST, None),
            ("to what is named of his origin", LIST["id"], None),
            ("to nothing", None, None),
            ("to a neighbour's list", LIST | {"attributedTo": NEIGHBOUR}, RemoteError),
            ("to a stranger's list", {"id": f"{CAROL}/featured", "type": "Collection"}, RemoteError),
            ("to what is named of another origin", f"{CAROL}/featured", RemoteError),
            ("to ours", f"{ALICE}/featured", RemoteError),
        )
    },
    **{
        f"{name} of several, one of them {whose}": (activity(name, **{member: [f"{BOB}/1", other]}), error)
        for name, member in (
            ("Update", "object"),
            ("Delete", "object"),
            ("Undo", "object"),
            ("Add", "target"),
            ("Remove", "target"),
        )
        for whose, other, error in (
            ("named", f"{BOB}/2", None),
            ("a neighbour's", {"id": f"{BOB}/2", "type": "Note", "attributedTo": NEIGHBOUR}, RemoteError),
            ("of another origin", f"{CAROL}/1", RemoteError),
        )
    },
    **{f"{name} of anything": (activity(name, object=THEIRS), None) for name in ("Like", "Announce", "Follow")},
}


@pytest.mark.parametrize(("made", "error"), CHANGES.values(), ids=CHANGES)
def test_rule_11_only_its_owner_changes_a_thing(made, error):
    if error is None:
        check_change(made, BOB)
    else:
        with pytest.raises(error):
            check_change(made, BOB)


@pytest.mark.parametrize("name", ["Update", "Delete", "Undo", "Add", "Remove"])
def test_rule_11_is_held_before_anything_is_stored(name):
    ground = Ground()
    what = {"object": f"{CAROL}/1", "target": f"{CAROL}/featured"}
    assert post(ground, {"id": f"{BOB}/1", "type": name, "actor": BOB} | what) == (403, "forbidden")
    assert ground.kinds() & {"in", "in-todo", "used"} == set()


# --- 13 to 17 -------------------------------------------------------------------------------------------------------


def test_rule_13_a_key_on_another_origin_counts_if_its_owner_lists_it():
    ground = Ground()
    elsewhere = "https://third.example/keys/bob"
    key = {"id": elsewhere, "owner": BOB, "publicKeyPem": ground.bob.key.public.pem}
    ground.carol.serve(elsewhere, {"@context": [AS2, "https://w3id.org/security/v1"]} | key)
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}

    class By:
        @staticmethod
        def sign(request: Request) -> Request:
            return cavage.sign(request, ground.bob.key.renamed(key_id=elsewhere, owner=BOB), now=ground.clock.at)

    assert post(ground, members, By) == (401, "key-not-owned")
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": elsewhere})
    ground.clock.pass_s(700)
    assert post(ground, members, By)[0] == 202


@pytest.mark.parametrize(
    ("move", "known_as", "confirmed"),
    [
        ({}, BOB, True),
        ({}, [THEIRS, BOB], True),
        ({}, None, False),
        ({}, NEIGHBOUR, False),
        ({"object": NEIGHBOUR}, [BOB, NEIGHBOUR], False),
        ({"target": THEIRS}, BOB, False),
        ({"target": None}, BOB, False),
    ],
    ids=["mutual", "one of several", "not known", "another", "moving another", "another target", "no target"],
)
def test_rule_13_a_move_is_said_by_both(move, known_as, confirmed):
    made = activity("Move", **({"object": BOB, "target": CAROL} | move)).document.view(Move)
    target = {"id": CAROL, "type": "Person", "inbox": "i", "outbox": "o"}
    target |= {} if known_as is None else {"alsoKnownAs": known_as}
    assert is_move_confirmed(made, document(**target)) is confirmed


def test_rule_14_nothing_changes_hands_over_origins():
    assert may_change_owner(BOB, NEIGHBOUR)
    assert not may_change_owner(BOB, CAROL)
    # So what arrives cannot do it: an Update that gives a thing to somebody on another origin is not understood.
    with pytest.raises(RemoteError):
        check_change(activity("Update", object=HIS | {"attributedTo": CAROL}), BOB)


def test_rule_15_what_is_not_public_is_not_there():
    """Who may see more is told by the signature of the request; without one, what is not public is answered as if it were not there."""
    ground = Ground()
    uri = ground.node.publish(Note(content="secret"), by="alice", to=BOB)
    ground.work()
    request = Request("GET", str(uri), Headers({"accept": "application/activity+json"}))
    assert ground.post(request).status == 404


@pytest.mark.parametrize(
    ("given", "one", "several"),
    [
        ([BOB, BOB], (BOB,), (BOB,)),
        ([BOB, NEIGHBOUR], None, (BOB, NEIGHBOUR)),
        ([BOB, CAROL], None, None),
    ],
    ids=["one twice", "two of an origin", "two of two"],
)
def test_rule_16_several_owners_are_of_one_origin_or_none(given, one, several):
    made = document(type="Video", id=NOTE, attributedTo=given)
    for patient, expected in ((False, one), (True, several)):
        if expected is None:
            with pytest.raises(OwnerUnclear):
                owners(made, several=patient)
        else:
            assert owners(made, several=patient) == expected


def test_rule_16_an_activity_has_one_actor():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": [BOB, CAROL], "object": ALICE}
    assert post(ground, members) == (400, "not-an-activity")
    assert not any(isinstance(effect, Fetch) for effect in ground.asked)


@pytest.mark.parametrize(
    ("holder", "uri", "owner"),
    [
        ({"type": "Person", "id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, f"{BOB}/i", BOB),
        ({"type": "Person", "id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, f"{BOB}/o", BOB),
        (HIS | {"replies": f"{NOTE}/r"}, f"{NOTE}/r", BOB),
        (HIS | {"replies": {"id": f"{NOTE}/r", "type": "Collection"}}, f"{NOTE}/r", BOB),
        (HIS | {"replies": f"{NOTE}/r"}, f"{NOTE}/other", None),
        (HIS | {"replies": f"{THEIRS}/r"}, f"{THEIRS}/r", None),
        ({"type": "Note", "id": NOTE, "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
        (HIS | {"attributedTo": CAROL, "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
        ({"type": "Note", "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
    ],
)
def test_rule_17_a_collection_is_its_holders(holder, uri, owner):
    assert implied_owner(uri, document(**holder)) == owner
    assert HERE not in uri
