"""Check the rules of FEP-fe34, the origin-based security model. Each numbered rule has a test here or a reason why not.

The numbers are those of the project's list of the FEP's rules; each test is named by its number.
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
FOREIGN_NOTE = "https://third.example/notes/1"

NOT_OURS: Final = {
    5: "Servers validate the posts of their own clients: apcore has no client API (C2S). An application publishes its "
    "own documents, and only apcore adds keys.",
    12: "An option (MAY) that is not taken: no actor may act for another of its origin. An application may allow it.",
}
"""Rules without a test here, and the reasons."""


def test_every_rule_has_a_test_or_a_reason():
    names = [name for name in dir(sys.modules[__name__]) if name.startswith("test_rule_")]
    tested = {int(match[1]) for name in names if (match := re.match(r"test_rule_([0-9]+)_", name))}
    assert tested | NOT_OURS.keys() == set(range(1, 18))
    assert not tested & NOT_OURS.keys()


def document(**members: Any) -> Document:
    return read_document(json.dumps({"@context": AS2} | members).encode())


def activity(name: str, **members: Any) -> Activity:
    values = {"id": f"{BOB}/1", "type": name, "actor": BOB} | members
    return Activity.over(document(**{key: value for key, value in values.items() if value is not None}))


def post(ground: Ground, members: dict[str, Any], by: Any = None) -> tuple[int, str | None]:
    body = json.dumps({"@context": AS2} | members).encode()
    request = Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), body)
    answer = ground.post((by or ground.bob).sign(request))
    return answer.status, reason_of(answer)


# --- 1 to 4: origins, and fetching from them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
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
def test_rule_1_origin_is_scheme_host_and_port(first, second, is_same):
    assert same_origin(first, second) is same_origin(second, first) is is_same


def test_rule_2_unauthenticated_activity_is_discarded():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}
    assert post(ground, members, ground.carol) == (401, "not-the-actor")
    ground.work()
    assert ground.heard == []


@pytest.mark.parametrize(
    ("claimed_id", "is_accepted"),
    [(NOTE, True), (f"{NOTE}0", True), (FOREIGN_NOTE, False), (None, False)],
    ids=["own id", "id of the same origin", "id of another origin", "no id"],
)
def test_rule_3_document_is_accepted_only_under_an_id_of_its_origin(claimed_id, is_accepted):
    ground = Ground()
    for uri in (NOTE, f"{NOTE}0"):
        ground.bob.serve(uri, {"@context": AS2, "type": "Note"} | ({} if claimed_id is None else {"id": claimed_id}))
    operation = load(NOTE, policy=ground.node.site().fetching)
    if is_accepted:
        assert ground.node.run(operation).document.id == claimed_id
    else:
        with pytest.raises(RemoteError):
            ground.node.run(operation)


def test_rule_4_uploaded_file_is_not_a_document():
    for content_type, is_accepted in (
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
        original_answer = ground.bob.answer

        def answer(request: Request, original_answer: Any = original_answer, content_type: str = content_type) -> Any:
            response = original_answer(request)
            return evolve(response, headers=response.headers.with_set("content-type", content_type))

        ground.bob.answer = answer  # type: ignore[method-assign]
        operation = load(NOTE, policy=ground.node.site().fetching)
        if is_accepted:
            assert ground.node.run(operation).document.id == NOTE
        else:
            with pytest.raises(RemoteError):
                ground.node.run(operation)


# --- 6 and 7: signatures, embedding ---------------------------------------------------------------------------------


def test_rule_6_key_must_belong_to_the_owner_of_the_object():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}
    neighbour = ground.network.peer(NEIGHBOUR)
    proven_like = ground.bob.prove(members)
    assert post(ground, neighbour.prove(members))[0] == 401, "a key of the same origin, and of another owner"
    assert post(ground, ground.carol.prove(members))[0] == 401, "a key of another origin"
    assert post(ground, proven_like, ground.carol)[0] == 202
    # The claim is mutual: the actor lists the key, and the key names the actor.
    ground = Ground()
    ground.bob.serve(BOB, ground.bob.document | {"assertionMethod": [], "publicKey": []})
    assert post(ground, proven_like) == (401, "key-not-owned")
    assert post(ground, members) == (401, "key-not-owned")


EMBEDDED_OBJECTS = {
    "the same owner": ({"id": NOTE, "attributedTo": BOB}, True),
    "the same, and another of its origin": ({"id": NOTE, "attributedTo": [NEIGHBOUR, BOB]}, True),
    "the actor itself": ({"id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, True),
    "a part of the wrapper": ({"id": f"{BOB}/1#x", "attributedTo": CAROL}, True),
    "without an id": ({"attributedTo": CAROL}, True),
    "a neighbour's": ({"id": NOTE, "attributedTo": NEIGHBOUR}, False),
    "a neighbour": ({"id": NEIGHBOUR, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, False),
    "without an owner": ({"id": NOTE}, False),
    "a stranger's": ({"id": FOREIGN_NOTE, "attributedTo": CAROL}, False),
    "Bob's, on another origin": ({"id": FOREIGN_NOTE, "attributedTo": BOB}, False),
    "Bob's and a stranger's": ({"id": NOTE, "attributedTo": [BOB, CAROL]}, False),
}


@pytest.mark.parametrize(("embedded", "is_trusted"), EMBEDDED_OBJECTS.values(), ids=EMBEDDED_OBJECTS)
def test_rule_7_embedded_object_of_the_same_origin_and_owner_is_trusted(embedded, is_trusted):
    embedded_document = document(type="Thing", **embedded)
    assert is_embedded_trusted(embedded_document, wrapper=f"{BOB}/1", owner=BOB) is is_trusted


@pytest.mark.parametrize("owner", [BOB, NEIGHBOUR])
def test_rule_7_listener_fetches_an_untrusted_embedded_object(owner):
    ground = Ground()
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": owner, "content": "said"})
    contents: list[Any] = []

    ground.listeners.append(lambda ctx, activity: contents.append(ctx.resolve(activity.object).words["content"]))
    note = {"id": NOTE, "type": "Note", "attributedTo": owner, "content": "claimed"}
    assert post(ground, {"id": f"{BOB}/1", "type": "Create", "actor": BOB, "object": note})[0] == 202
    ground.work()
    assert contents == ["claimed" if owner == BOB else "said"]


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
def test_rule_8_owner_of_a_document_depends_on_its_kind(members, kind, expected):
    """Accept an actor with `attributedTo`, too: see `apcore.remote.trust`."""
    parsed = document(**members)
    assert (kind_of(parsed), owners(parsed)) == (kind, expected)


@pytest.mark.parametrize("members", [{"id": FOREIGN_NOTE}, {"id": "urn:x"}])
def test_rule_9_owner_must_have_the_origin_of_the_object(members):
    with pytest.raises(OwnerUnclear):
        owners(document(type="Note", attributedTo=BOB, **members))


def test_rule_9_activity_must_have_the_origin_of_its_actor():
    ground = Ground()
    assert post(ground, {"id": FOREIGN_NOTE, "type": "Like", "actor": BOB, "object": ALICE}) == (403, "forbidden")


def test_rule_10_owners_compare_without_case_of_scheme_and_host():
    upper_case = BOB.replace("https://remote.example", "HTTPS://Remote.EXAMPLE")
    assert same_id(BOB, upper_case)
    assert not same_id(BOB, BOB.upper())
    assert owners(document(type="Note", id=NOTE, attributedTo=[BOB, upper_case])) == (BOB,)
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Update", "actor": BOB, "object": {"id": NOTE, "attributedTo": upper_case}}
    assert post(ground, members)[0] == 202


NOTE_OF_BOB: Final = {"id": NOTE, "type": "Note", "attributedTo": BOB}
NOTE_OF_NEIGHBOUR: Final = NOTE_OF_BOB | {"attributedTo": NEIGHBOUR}
NOTE_OF_CAROL: Final = {"id": FOREIGN_NOTE, "type": "Note", "attributedTo": CAROL}
LIKE_OF_BOB: Final = {"id": f"{BOB}/2", "type": "Like", "actor": BOB, "object": ALICE}
FEATURED_OF_BOB: Final = {"id": f"{BOB}/featured", "type": "OrderedCollection", "attributedTo": BOB, "totalItems": 1}

CHANGES: dict[str, tuple[Activity, type[RemoteError] | None]] = {
    **{
        f"{name} of {label}": (activity(name, object=object_), error)
        for name in ("Update", "Delete")
        for label, object_, error in (
            ("Bob's own", NOTE_OF_BOB, None),
            ("an id of his origin", NOTE, None),
            ("himself", {"id": BOB, "type": "Person", "inbox": "i", "outbox": "o"}, None),
            ("a neighbour's", NOTE_OF_NEIGHBOUR, RemoteError),
            ("a stranger's", NOTE_OF_CAROL, RemoteError),
            ("an id of another origin", FOREIGN_NOTE, RemoteError),
            ("ours", ALICE, RemoteError),
            ("nothing", None, NotAnActivity),
            ("an object without id", {"type": "Note"}, NotAnActivity),
        )
    },
    **{
        f"Undo of {label}": (activity("Undo", object=object_), error)
        for label, object_, error in (
            ("his activity", LIKE_OF_BOB, None),
            ("an id of his origin", LIKE_OF_BOB["id"], None),
            ("his activity without id", {"type": "Like", "actor": BOB, "object": ALICE}, None),
            ("a neighbour's activity", LIKE_OF_BOB | {"actor": NEIGHBOUR}, RemoteError),
            ("a neighbour's activity without id", {"type": "Like", "actor": NEIGHBOUR}, RemoteError),
            ("a stranger's activity", {"id": f"{CAROL}/1", "type": "Like", "actor": CAROL}, RemoteError),
            (
                "a stranger's activity with Bob as actor",
                {"id": f"{CAROL}/1", "type": "Like", "actor": BOB},
                RemoteError,
            ),
            ("an id of another origin", f"{CAROL}/1", RemoteError),
            ("nothing", None, NotAnActivity),
        )
    },
    **{
        f"{name} {label}": (activity(name, object=FOREIGN_NOTE, target=target), error)
        for name in ("Add", "Remove")
        for label, target, error in (
            ("to his list", FEATURED_OF_BOB, None),
            ("to an id of his origin", FEATURED_OF_BOB["id"], None),
            ("to nothing", None, None),
            ("to a neighbour's list", FEATURED_OF_BOB | {"attributedTo": NEIGHBOUR}, RemoteError),
            ("to a stranger's list", {"id": f"{CAROL}/featured", "type": "Collection"}, RemoteError),
            ("to an id of another origin", f"{CAROL}/featured", RemoteError),
            ("to ours", f"{ALICE}/featured", RemoteError),
        )
    },
    **{
        f"{name} of two objects, one of them {label}": (activity(name, **{member: [f"{BOB}/1", other]}), error)
        for name, member in (
            ("Update", "object"),
            ("Delete", "object"),
            ("Undo", "object"),
            ("Add", "target"),
            ("Remove", "target"),
        )
        for label, other, error in (
            ("named", f"{BOB}/2", None),
            ("a neighbour's", {"id": f"{BOB}/2", "type": "Note", "attributedTo": NEIGHBOUR}, RemoteError),
            ("of another origin", f"{CAROL}/1", RemoteError),
        )
    },
    **{f"{name} of anything": (activity(name, object=FOREIGN_NOTE), None) for name in ("Like", "Announce", "Follow")},
}


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
def test_rule_11_only_the_owner_may_change_an_object(change, error):
    if error is None:
        check_change(change, BOB)
    else:
        with pytest.raises(error):
            check_change(change, BOB)


@pytest.mark.parametrize("name", ["Update", "Delete", "Undo", "Add", "Remove"])
def test_rule_11_is_checked_before_any_write(name):
    ground = Ground()
    targets = {"object": f"{CAROL}/1", "target": f"{CAROL}/featured"}
    assert post(ground, {"id": f"{BOB}/1", "type": name, "actor": BOB} | targets) == (403, "forbidden")
    assert ground.kinds() & {"in", "in-todo", "used"} == set()


# --- 13 to 17 -------------------------------------------------------------------------------------------------------


def test_rule_13_key_on_another_origin_counts_if_its_owner_lists_it():
    ground = Ground()
    key_id = "https://third.example/keys/bob"
    key = {"id": key_id, "owner": BOB, "publicKeyPem": ground.bob.key.public.pem}
    ground.carol.serve(key_id, {"@context": [AS2, "https://w3id.org/security/v1"]} | key)
    members = {"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}

    class KeySigner:
        @staticmethod
        def sign(request: Request) -> Request:
            return cavage.sign(request, ground.bob.key.renamed(key_id=key_id, owner=BOB), now=ground.clock.at)

    assert post(ground, members, KeySigner) == (401, "key-not-owned")
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": key_id})
    ground.clock.pass_s(700)
    assert post(ground, members, KeySigner)[0] == 202


@pytest.mark.parametrize(
    ("move", "known_as", "is_confirmed"),
    [
        ({}, BOB, True),
        ({}, [FOREIGN_NOTE, BOB], True),
        ({}, None, False),
        ({}, NEIGHBOUR, False),
        ({"object": NEIGHBOUR}, [BOB, NEIGHBOUR], False),
        ({"target": FOREIGN_NOTE}, BOB, False),
        ({"target": None}, BOB, False),
    ],
    ids=["mutual", "one of several", "no alsoKnownAs", "another", "moving another", "another target", "no target"],
)
def test_rule_13_move_must_be_confirmed_by_both_actors(move, known_as, is_confirmed):
    parsed_move = activity("Move", **({"object": BOB, "target": CAROL} | move)).document.view(Move)
    target = {"id": CAROL, "type": "Person", "inbox": "i", "outbox": "o"}
    target |= {} if known_as is None else {"alsoKnownAs": known_as}
    assert is_move_confirmed(parsed_move, document(**target)) is is_confirmed


def test_rule_14_owner_may_not_change_to_another_origin():
    assert may_change_owner(BOB, NEIGHBOUR)
    assert not may_change_owner(BOB, CAROL)
    # An incoming Update that gives an object to an owner on another origin is refused.
    with pytest.raises(RemoteError):
        check_change(activity("Update", object=NOTE_OF_BOB | {"attributedTo": CAROL}), BOB)


def test_rule_15_private_object_is_answered_like_a_missing_one():
    """Request a private note without a signature."""
    ground = Ground()
    uri = ground.node.publish(Note(content="secret"), by="alice", to=BOB)
    ground.work()
    request = Request("GET", str(uri), Headers({"accept": "application/activity+json"}))
    assert ground.post(request).status == 404


@pytest.mark.parametrize(
    ("owner_ids", "single_result", "several_result"),
    [
        ([BOB, BOB], (BOB,), (BOB,)),
        ([BOB, NEIGHBOUR], None, (BOB, NEIGHBOUR)),
        ([BOB, CAROL], None, None),
    ],
    ids=["one twice", "two of an origin", "two of two"],
)
def test_rule_16_several_owners_must_have_one_origin(owner_ids, single_result, several_result):
    video = document(type="Video", id=NOTE, attributedTo=owner_ids)
    for allows_several, expected in ((False, single_result), (True, several_result)):
        if expected is None:
            with pytest.raises(OwnerUnclear):
                owners(video, several=allows_several)
        else:
            assert owners(video, several=allows_several) == expected


def test_rule_16_activity_must_have_one_actor():
    ground = Ground()
    members = {"id": f"{BOB}/1", "type": "Like", "actor": [BOB, CAROL], "object": ALICE}
    assert post(ground, members) == (400, "not-an-activity")
    assert not any(isinstance(effect, Fetch) for effect in ground.asked)


@pytest.mark.parametrize(
    ("holder", "uri", "owner"),
    [
        ({"type": "Person", "id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, f"{BOB}/i", BOB),
        ({"type": "Person", "id": BOB, "inbox": f"{BOB}/i", "outbox": f"{BOB}/o"}, f"{BOB}/o", BOB),
        (NOTE_OF_BOB | {"replies": f"{NOTE}/r"}, f"{NOTE}/r", BOB),
        (NOTE_OF_BOB | {"replies": {"id": f"{NOTE}/r", "type": "Collection"}}, f"{NOTE}/r", BOB),
        (NOTE_OF_BOB | {"replies": f"{NOTE}/r"}, f"{NOTE}/other", None),
        (NOTE_OF_BOB | {"replies": f"{FOREIGN_NOTE}/r"}, f"{FOREIGN_NOTE}/r", None),
        ({"type": "Note", "id": NOTE, "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
        (NOTE_OF_BOB | {"attributedTo": CAROL, "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
        ({"type": "Note", "replies": f"{NOTE}/r"}, f"{NOTE}/r", None),
    ],
)
def test_rule_17_collection_belongs_to_the_owner_of_its_holder(holder, uri, owner):
    assert implied_owner(uri, document(**holder)) == owner
    assert HERE not in uri
