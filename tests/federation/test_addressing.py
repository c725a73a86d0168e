"""Check the audience of published objects: an object and its Create name the same recipients, and all are served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.federation.outbox.addressing import addressing_of
from apcore.http import Headers, Request, Response
from apcore.vocab import PUBLIC, Audience, Like, Note, Update, joint_audience, read_document
from outbox_fixture import ALICE, FOLLOWERS, Outgoing

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
        addressing = addressing_of(audience, to, followers=FOLLOWERS)
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
