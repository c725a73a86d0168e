"""Check the audience of published objects: an object and its Create name the same recipients, and all are served."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.federation.outbox.addressing import RECIPIENTS_MAX, addressing_of
from apcore.http import Headers, Request, Response
from apcore.node import AsyncNode
from apcore.vocab import (
    PUBLIC,
    Accept,
    Announce,
    Audience,
    Create,
    Flag,
    Follow,
    Like,
    Note,
    Person,
    Undo,
    Update,
    View,
    Visibility,
    joint_audience,
    read_document,
)
from outbox_fixture import ALICE, FOLLOWERS, HERE, Outgoing, alice_and_bob

X = "https://x.example"
Y = "https://y.example"
FAN, ROSA, TIM = f"{X}/fan", f"{Y}/rosa", f"{X}/tim"


@pytest.fixture
def out() -> Outgoing:
    outgoing = Outgoing()
    outgoing.follow(FAN)
    return outgoing


def get(out: Outgoing, url: str) -> tuple[int, Any]:
    answer = out.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    assert isinstance(answer, Response)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("member", ["to", "cc", "bto", "bcc", "audience"])
def test_every_recipient_named_by_an_object_gets_a_delivery(out: Outgoing, member: str) -> None:
    audience = {"to": [PUBLIC]} | {member: [PUBLIC, ROSA] if member == "to" else [ROSA]}
    out.node.publish(Note(content="@rosa hello", **audience), by="alice")
    out.work()
    assert sorted(out.post.urls) == [f"{X}/fan/inbox", f"{Y}/rosa/inbox"]
    for body in out.post.bodies:
        for name in ("to", "cc", "audience"):
            assert body.get(name) == body["object"].get(name)
        assert (ROSA in json.dumps(body)) is (member not in {"bto", "bcc"})
        assert FOLLOWERS in body["cc"]


EXAMPLES: dict[str, tuple[dict[str, Any], Any, dict[str, list[str]], str, list[str]]] = {
    # the object's own audience, the argument to=, the written members, the visibility, the recipients
    "nothing": ({}, None, {"to": [PUBLIC], "cc": [FOLLOWERS]}, "public", [FAN]),
    "public": ({"to": [PUBLIC]}, None, {"to": [PUBLIC], "cc": [FOLLOWERS]}, "public", [FAN]),
    "public, twice": ({"to": [PUBLIC]}, PUBLIC, {"to": [PUBLIC], "cc": [FOLLOWERS]}, "public", [FAN]),
    "public by its short name": ({"to": ["as:Public"]}, None, {"to": [PUBLIC], "cc": [FOLLOWERS]}, "public", [FAN]),
    "unlisted": (
        {"to": [FOLLOWERS], "cc": [PUBLIC]},
        None,
        {"to": [FOLLOWERS], "cc": [PUBLIC]},
        "unlisted",
        [FAN],
    ),
    "unlisted, named twice": (
        {"to": [FOLLOWERS], "cc": [PUBLIC]},
        FOLLOWERS,
        {"to": [FOLLOWERS], "cc": [PUBLIC]},
        "unlisted",
        [FAN],
    ),
    "an unlisted answer": ({"to": [ROSA], "cc": [PUBLIC]}, None, {"to": [ROSA], "cc": [PUBLIC]}, "unlisted", [ROSA]),
    "followers": ({"to": [FOLLOWERS]}, None, {"to": [FOLLOWERS], "cc": []}, "limited", [FAN]),
    "followers by to=": ({}, FOLLOWERS, {"to": [FOLLOWERS], "cc": []}, "limited", [FAN]),
    "followers and one more": (
        {"to": [FOLLOWERS], "cc": [ROSA]},
        None,
        {"to": [FOLLOWERS], "cc": [ROSA]},
        "limited",
        [FAN, ROSA],
    ),
    "direct": ({"to": [ROSA]}, None, {"to": [ROSA], "cc": []}, "limited", [ROSA]),
    "direct by to=": ({}, [ROSA, TIM], {"to": [ROSA, TIM], "cc": []}, "limited", [ROSA, TIM]),
    "one added": ({"to": [ROSA]}, TIM, {"to": [ROSA, TIM], "cc": []}, "limited", [ROSA, TIM]),
    "one added twice": ({"cc": [ROSA]}, ROSA, {"to": [], "cc": [ROSA]}, "limited", [ROSA]),
    "in secret": ({"bto": [ROSA]}, None, {"to": [], "cc": []}, "none", [ROSA]),
    "followers and in secret": (
        {"to": [FOLLOWERS], "bcc": [ROSA]},
        None,
        {"to": [FOLLOWERS], "cc": []},
        "limited",
        [FAN, ROSA],
    ),
    "an empty to=": ({}, (), {"to": [], "cc": []}, "none", []),
    "the author": ({"to": [ALICE]}, None, {"to": [ALICE], "cc": []}, "limited", []),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_object_and_create_have_the_same_audience_and_visibility(out: Outgoing, name: str) -> None:
    object_members, to, members, visibility, recipients = EXAMPLES[name]
    ident = out.node.publish(Note(content="hi", **object_members), by="alice", to=to)
    documents = [json.loads(entry.value.partition(b"\n")[2]) for entry in out.facts("obj", "1")]
    [create] = [document for document in documents if document["type"] == "Create"]
    [note] = [document for document in documents if document["type"] == "Note"]
    for document in (create, note, create["object"]):
        assert {member: document[member] for member in ("to", "cc")} == members
        assert not {"bto", "bcc"} & document.keys()
    assert joint_audience(read_document(create)).visibility.value == visibility
    assert get(out, ident)[0] == (200 if visibility in {"public", "unlisted"} else 404)
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == (1 if visibility == "public" else 0)
    out.work()
    assert sorted(out.post.urls) == sorted(f"{recipient}/inbox" for recipient in recipients)


NAMES = st.lists(st.sampled_from([PUBLIC, FOLLOWERS, FAN, ROSA, TIM]), unique=True, max_size=4).map(tuple)


@given(
    audience=st.builds(Audience, to=NAMES, cc=NAMES, audience=NAMES, bto=NAMES, bcc=NAMES),
    to=st.none() | NAMES,
)
def test_any_audience_reaches_exactly_its_named_recipients(audience: Audience, to: tuple[str, ...] | None) -> None:
    was_addressed = bool(audience.everyone) or audience.is_public
    try:
        addressing = addressing_of([audience], to, followers=FOLLOWERS, is_publication=True)
    except ContractError:
        assert PUBLIC in (*audience.bto, *audience.bcc) or (was_addressed and not audience.is_public)
        return
    named = {*audience.everyone, *(to or ())} - {PUBLIC}
    recipients = set(addressing.recipients)
    assert named <= recipients <= named | {FOLLOWERS}
    if FOLLOWERS in recipients - named:
        assert PUBLIC in addressing.audience.to
    assert addressing.audience.is_public is (
        audience.is_public or PUBLIC in (to or ()) or (to is None and not was_addressed)
    )
    written_uris = {address for addresses in addressing.members.values() for address in addresses}
    assert not written_uris & set(audience.secret)


def test_activity_is_delivered_to_every_named_recipient(out: Outgoing) -> None:
    out.node.send(Like(object=f"{X}/n", to=[TIM], cc=[ROSA, PUBLIC], bcc=[FAN]), by="alice", to=TIM)
    out.work()
    assert sorted(out.post.urls) == [f"{X}/fan/inbox", f"{X}/tim/inbox", f"{Y}/rosa/inbox"]
    assert b"fan" not in b"".join(request.body for _, request in out.post.posts)


def test_activity_without_an_audience_names_its_recipients(out: Outgoing) -> None:
    out.node.send(Like(object=f"{X}/n"), by="alice", to=[TIM, ROSA])
    out.node.send(Accept(object=Follow(actor=TIM, object=ALICE)), by="alice", to=TIM)
    out.node.send(Announce(object=f"{X}/n"), by="alice", to=PUBLIC)
    out.work()
    audiences = {body["type"]: (body["to"], body.get("cc")) for body in out.post.bodies}
    assert audiences == {"Like": ([TIM, ROSA], None), "Accept": ([TIM], None), "Announce": ([PUBLIC], [FOLLOWERS])}
    assert f"{X}/fan/inbox" in out.post.urls


@pytest.mark.parametrize("is_inner", [True, False], ids=["in the object", "in the activity"])
@pytest.mark.parametrize("activity_type", [Create, Update])
def test_object_and_activity_that_are_sent_have_the_same_audience(
    out: Outgoing, activity_type: type[Create | Update], is_inner: bool
) -> None:
    audience: dict[str, Any] = {"to": [TIM], "cc": [ROSA], "audience": [FAN]}
    inner, outer = (audience, {}) if is_inner else ({}, audience)
    note = Note(id=f"{ALICE}/objects/1", content="hi", **inner)
    out.node.send(activity_type(object=note, **outer), by="alice")
    out.work()
    assert sorted(out.post.urls) == [f"{X}/fan/inbox", f"{X}/tim/inbox", f"{Y}/rosa/inbox"]
    for document in (out.post.bodies[0], out.post.bodies[0]["object"]):
        assert {name: document[name] for name in audience} == audience


def test_audience_of_a_peers_object_is_not_used(out: Outgoing) -> None:
    peers_note = Note(id=f"{X}/n", attributed_to=TIM, to=[ROSA])
    out.node.send(Announce(object=peers_note), by="alice", to=FOLLOWERS)
    out.work()
    assert out.post.urls == [f"{X}/fan/inbox"]


def test_actor_in_an_update_gets_no_audience(out: Outgoing) -> None:
    out.node.send(Update(object=Person(id=ALICE, name="Alice")), by="alice", visibility="public")
    out.work()
    [update] = out.post.bodies
    assert (update["to"], update["cc"]) == ([PUBLIC], [FOLLOWERS])
    assert not {"to", "cc"} & update["object"].keys()


def test_blocked_actor_gets_only_reports_and_activities_about_the_relation(out: Outgoing) -> None:
    out.node.block(ROSA, by="alice")
    out.node.send(Like(object=f"{X}/n", cc=[ROSA]), by="alice", to=[ROSA, TIM])
    out.node.publish(Note(content="@rosa", cc=[ROSA]), by="alice", visibility="public")
    out.node.send(Flag(objects=[ROSA]), by="alice", to=ROSA)
    out.work()
    out.node.unblock(ROSA, by="alice")
    out.work()
    types = [body["type"] for url, body in zip(out.post.urls, out.post.bodies, strict=True) if url.startswith(ROSA)]
    assert sorted(types) == ["Block", "Flag", "Undo"]


def test_undo_reaches_the_audience_of_the_undone_activity(out: Outgoing) -> None:
    like = Like(id=f"{ALICE}#likes/1", actor=ALICE, object=f"{X}/n", to=[TIM], bcc=[ROSA])
    out.node.send(Undo(object=like), by="alice")
    out.node.send(Undo(object=like, to=[FAN]), by="alice")
    out.work()
    assert sorted(out.post.urls) == sorted(f"{actor}/inbox" for actor in (TIM, ROSA, FAN, TIM, ROSA))
    assert sorted(body["to"] for body in out.post.bodies) == [[FAN]] * 3 + [[TIM]] * 2
    assert b"rosa" not in b"".join(request.body for _, request in out.post.posts)


def test_nulls_do_not_go_out(out: Outgoing) -> None:
    note = {"type": "Note", "content": "hi", "summary": None, "to": [None, TIM], "tag": [None, {"href": None}]}
    ident = out.node.publish(View.over(read_document(note)), by="alice")
    like = {"type": "Like", "object": f"{X}/n", "to": [TIM, None], "instrument": None, "target": {"x": None}}
    out.node.send(View.over(read_document(like)), by="alice")
    second = {"type": "Note", "id": ident, "content": "hi", "to": None, "cc": [None, TIM], "attachment": [None]}
    out.node.send(View.over(read_document({"type": "Update", "object": second})), by="alice")
    out.node.send(View.over(read_document({"type": "Delete", "object": ident, "target": None})), by="alice")
    out.work()
    assert {body["type"] for body in out.post.bodies} == {"Create", "Like", "Update", "Delete"}
    stored_bodies = [entry.value.partition(b"\n")[2] for entry in out.facts("obj", "1")]
    for body in (*(request.body for _, request in out.post.posts), *stored_bodies):
        assert b"null" not in body


def test_nulls_of_a_handler_are_not_served() -> None:
    federation = alice_and_bob()
    note = {"type": "Note", "summary": None, "to": [None, PUBLIC]}
    federation.object(Note, "/notes/{number}")(lambda ctx, number: read_document(note).view(Note))
    status, served = get(Outgoing(federation), f"{HERE}/notes/1")
    assert (status, served["to"], "summary" in served) == (200, [PUBLIC], False)


# --- the words for a visibility -------------------------------------------------------------------------------------

WORDS: dict[str, tuple[str, dict[str, Any], Any, dict[str, list[str]], list[str]]] = {
    # the word, the object's own audience, the argument to=, the written members, the recipients
    "public": ("public", {}, None, {"to": [PUBLIC], "cc": [FOLLOWERS]}, [FAN]),
    "public, stated": ("public", {"to": [PUBLIC]}, PUBLIC, {"to": [PUBLIC], "cc": [FOLLOWERS]}, [FAN]),
    "public, to one more": ("public", {}, TIM, {"to": [PUBLIC, TIM], "cc": [FOLLOWERS]}, [FAN, TIM]),
    "public, one in cc": ("public", {"cc": [ROSA]}, None, {"to": [PUBLIC], "cc": [ROSA, FOLLOWERS]}, [FAN, ROSA]),
    "unlisted": ("unlisted", {}, None, {"to": [FOLLOWERS], "cc": [PUBLIC]}, [FAN]),
    "unlisted, one in cc": ("unlisted", {"cc": [ROSA]}, None, {"to": [FOLLOWERS], "cc": [PUBLIC, ROSA]}, [FAN, ROSA]),
    "followers": ("followers", {}, None, {"to": [FOLLOWERS], "cc": []}, [FAN]),
    "followers, one more": ("followers", {}, [TIM], {"to": [FOLLOWERS, TIM], "cc": []}, [FAN, TIM]),
    "followers, one in bcc": ("followers", {"bcc": [ROSA]}, None, {"to": [FOLLOWERS], "cc": []}, [FAN, ROSA]),
    "direct": ("direct", {"to": [ROSA]}, None, {"to": [ROSA], "cc": []}, [ROSA]),
    "direct by to=": ("direct", {}, [ROSA, TIM], {"to": [ROSA, TIM], "cc": []}, [ROSA, TIM]),
}


@pytest.mark.parametrize("name", WORDS)
def test_word_for_a_visibility_names_its_audience(out: Outgoing, name: str) -> None:
    word, object_members, to, members, recipients = WORDS[name]
    addressing: Any = {"to": to, "visibility": word}
    ident = out.node.publish(Note(content="hi", **object_members), by="alice", **addressing)
    out.work()
    assert sorted(out.post.urls) == sorted(f"{recipient}/inbox" for recipient in recipients)
    for document in (out.post.bodies[0], out.post.bodies[0]["object"]):
        assert {member: document[member] for member in ("to", "cc")} == members
    assert get(out, ident)[0] == (200 if word in {"public", "unlisted"} else 404)
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == (1 if word == "public" else 0)


@pytest.mark.parametrize("name", WORDS)
def test_word_for_a_visibility_works_for_activities(out: Outgoing, name: str) -> None:
    word, object_members, to, members, recipients = WORDS[name]
    addressing: Any = {"to": to, "visibility": word}
    out.node.send(Announce(object=f"{X}/n", **object_members), by="alice", **addressing)
    out.work()
    assert sorted(out.post.urls) == sorted(f"{recipient}/inbox" for recipient in recipients)
    assert {member: out.post.bodies[0].get(member, []) for member in ("to", "cc")} == members


CONTRADICTIONS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "no word": ("private", {}, None),
    "no text": (Visibility.PUBLIC, {}, None),
    "public, but unlisted": ("public", {"to": [FOLLOWERS], "cc": [PUBLIC]}, None),
    "public, but for followers": ("public", {"to": [FOLLOWERS]}, None),
    "public, but direct": ("public", {"to": [ROSA]}, None),
    "unlisted, but public": ("unlisted", {"to": [PUBLIC]}, None),
    "unlisted, but public by to=": ("unlisted", {}, PUBLIC),
    "unlisted, but public by a short name": ("unlisted", {}, "as:Public"),
    "followers, but public": ("followers", {"to": [PUBLIC]}, None),
    "followers, but unlisted": ("followers", {"cc": [PUBLIC]}, None),
    "followers, but public by to=": ("followers", {}, [ROSA, PUBLIC]),
    "direct, but public": ("direct", {"to": ["as:Public"]}, None),
    "direct, but for followers": ("direct", {"to": [FOLLOWERS]}, ROSA),
    "direct, but for followers by to=": ("direct", {}, [FOLLOWERS]),
    "direct to none": ("direct", {}, None),
}


@pytest.mark.parametrize(("word", "audience", "to"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictory_visibility_is_refused_before_anything_is_stored(
    out: Outgoing, word: Any, audience: dict[str, Any], to: Any
) -> None:
    with pytest.raises(ValueError, match="visibility="):
        out.node.publish(Note(content="hi", **audience), by="alice", to=to, visibility=word)
    with pytest.raises(ValueError, match="visibility="):
        out.node.send(Announce(object=f"{X}/n", **audience), by="alice", to=to, visibility=word)
    assert not out.facts("obj") + out.facts("sent")


def test_async_node_takes_the_words_too() -> None:
    async def call() -> list[bytes]:
        async with AsyncNode(alice_and_bob(), HERE, "memory:") as node:
            await node.publish(Note(content="hi"), by="alice", visibility="unlisted")
            await node.send(Announce(object=f"{X}/n"), by="alice", visibility="followers")
            with pytest.raises(ValueError, match="visibility="):
                await node.publish(Note(content="no", to=[PUBLIC]), by="alice", visibility="direct")
            return [entry.value.partition(b"\n")[2] for entry in await node.ports.store.scan(("sent", "1"), limit=10)]

    documents = {document["type"]: document for document in map(json.loads, asyncio.run(call()))}
    assert (documents["Create"]["to"], documents["Create"]["cc"]) == ([FOLLOWERS], [PUBLIC])
    assert documents["Announce"]["to"] == [FOLLOWERS]


def test_handler_learns_of_a_contradiction_at_the_call() -> None:
    federation = alice_and_bob()
    refusals: list[str] = []

    @federation.on(Like)
    def answer(ctx: Any, like: Like) -> None:
        try:
            ctx.publish(Note(content="no", to=[PUBLIC]), by="bob", visibility="direct")
        except ValueError as error:
            refusals.append(str(error))
        ctx.publish(Note(content="thanks"), by="bob", to=ALICE, visibility="direct")
        ctx.send(Announce(object=like.object.uri), by="bob", visibility="followers")

    out = Outgoing(federation)
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{HERE}/users/bob")
    out.work()
    assert len(refusals) == 1
    documents = [json.loads(entry.value.partition(b"\n")[2]) for entry in out.facts("sent", "1")]
    audiences = {document["type"]: document["to"] for document in documents}
    assert audiences == {
        "Like": [f"{HERE}/users/bob"],
        "Create": [ALICE],
        "Announce": [f"{HERE}/users/bob/followers"],
    }


@pytest.mark.parametrize(
    ("outer", "inner"),
    [([PUBLIC], [ROSA]), ([FOLLOWERS], [ROSA]), ([PUBLIC], [FOLLOWERS]), ([ROSA], [PUBLIC])],
    ids=["public, direct", "followers, direct", "public, followers", "direct, public"],
)
def test_activity_that_contradicts_its_object_is_refused(out: Outgoing, outer: list[str], inner: list[str]) -> None:
    note = Note(id=f"{ALICE}/objects/1", content="hi", to=inner)
    for activity in (Create(object=note, to=outer), Update(object=note, to=outer)):
        with pytest.raises(ContractError, match="both have one audience"):
            out.node.send(activity, by="alice")
    assert not out.facts("sent")


@pytest.mark.parametrize("member", ["to", "cc", "bto", "bcc", "audience", None])
def test_audience_of_a_hundred_thousand_names_is_refused(out: Outgoing, member: str | None) -> None:
    crowd = [f"{X}/{number}" for number in range(100_000)]
    note = Note(content="hi", **({} if member is None else {member: crowd}))
    with pytest.raises(ValueError, match="RECIPIENTS_MAX"):
        out.node.publish(note, by="alice", to=crowd if member is None else None)
    assert not out.facts("obj") + out.facts("sent")


@pytest.mark.parametrize("excess", [0, 1])
def test_audience_has_at_most_a_thousand_names(out: Outgoing, excess: int) -> None:
    crowd = [f"{X}/{number}" for number in range(RECIPIENTS_MAX + excess)]
    with pytest.raises(ValueError, match="at most 1000") if excess else nullcontext():
        out.node.publish(Note(content="hi", to=crowd[:500]), by="alice", to=crowd[400:])
    assert bool(out.facts("sent")) is not bool(excess)


UNKNOWN = {
    "no actor": f"{HERE}/users/nobody",
    "no path of ours": f"{HERE}/nothing",
    "an inbox": f"{ALICE}/inbox",
    "an object": f"{ALICE}/objects/1",
    "no address": "bob",
    "a handle": "@bob@here.example",
}


@pytest.mark.parametrize("recipient", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_recipient_is_refused_at_the_call(out: Outgoing, recipient: str) -> None:
    with pytest.raises(ValueError, match="to="):
        out.node.publish(Note(content="hi", cc=[recipient]), by="alice")
    with pytest.raises(ValueError, match="to="):
        out.node.send(Like(object=f"{X}/n"), by="alice", to=recipient)
    assert not out.facts("obj") + out.facts("sent")


def test_activity_without_any_recipient_needs_an_empty_to(out: Outgoing) -> None:
    with pytest.raises(ValueError, match="names no recipient"):
        out.node.send(Like(object=f"{X}/n"), by="alice")
    assert not out.facts("sent")
    out.node.send(Like(object=f"{X}/n"), by="alice", to=())
    assert len(out.facts("sent", "1")) == 1
    assert not out.facts("send", "1")


@pytest.mark.parametrize("audience", [{"to": ["rosa@y.example"]}, {"bcc": ["mailto:rosa@y.example"]}])
def test_recipient_without_a_url_is_refused(out: Outgoing, audience: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not the address of an actor"):
        out.node.publish(Note(content="hi", **audience), by="alice")
    assert not out.facts("obj") + out.facts("sent")


def test_update_may_switch_between_public_and_unlisted(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="hi"), by="alice")
    for to, cc, listed in (([FOLLOWERS], [PUBLIC], 0), ([PUBLIC], [FOLLOWERS], 1)):
        out.node.send(Update(object=Note(id=ident, content="hi", to=to, cc=cc)), by="alice", to=FOLLOWERS)
        assert get(out, ident)[0] == 200
        assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == listed
