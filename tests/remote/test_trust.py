"""Whom to believe about what, where a document leaves something out; the rules themselves are tried in `tests/federation/test_fe34.py`."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.errors import Refused
from apcore.remote.trust import (
    OwnerUnclear,
    check_change,
    implied_owner,
    is_embedded_trusted,
    is_move_confirmed,
    owners,
)
from apcore.vocab import Activity, Move, read_document

A, B = "https://a.example/alice", "https://b.example/bob"
NEW = "https://c.example/alice"


def document(**members: Any):
    return read_document({"@context": "https://www.w3.org/ns/activitystreams", **members})


def moved(**members: Any) -> Move:
    return document(**{"id": f"{A}/1", "type": "Move", "actor": A, "object": A, "target": NEW, **members}).view(Move)


@pytest.mark.parametrize(
    ("members", "target", "confirmed"),
    [
        ({}, {"id": NEW, "alsoKnownAs": [A]}, True),
        ({"actor": None}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"actor": {"type": "Person"}}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"actor": [A, B]}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"object": None}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"object": {"type": "Person"}}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"object": B}, {"id": NEW, "alsoKnownAs": [A, B]}, False),
        ({"target": None}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"target": {"type": "Person"}}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({"target": B}, {"id": NEW, "alsoKnownAs": [A]}, False),
        ({}, {"alsoKnownAs": [A]}, False),
        ({}, {"id": NEW, "alsoKnownAs": [B]}, False),
        ({}, {"id": NEW}, False),
    ],
)
def test_a_move_lacks_nothing(members, target, confirmed):
    move = moved(**members)
    assert is_move_confirmed(move, document(type="Person", **target)) == confirmed


@pytest.mark.parametrize("wrapper", [None, f"{B}/1"])
def test_a_fragment_is_of_the_wrapper_that_there_is(wrapper):
    assert not is_embedded_trusted(document(id="None#1", type="Note"), wrapper=wrapper, owner=B)
    inside = document(id=f"{B}/1#note", type="Note")
    assert is_embedded_trusted(inside, wrapper=wrapper, owner=B) == (wrapper is not None)


@pytest.mark.parametrize("kind", ["Like", "Offer", "Announce", "Move", "Invite", "Arrive"])
def test_a_target_is_owned_only_where_something_is_put_or_taken(kind):
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B, target=f"{B}/outbox").view(Activity), A)


@pytest.mark.parametrize("kind", ["Add", "Remove"])
def test_what_is_put_somewhere_may_be_anybodys(kind):
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B, target=f"{A}/featured").view(Activity), A)
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B).view(Activity), A)
    with pytest.raises(Refused):
        check_change(document(id=f"{A}/1", type=kind, actor=A, object=A, target=f"{B}/featured").view(Activity), A)


def test_an_owner_that_is_named_twice_is_one():
    assert owners(document(id=f"{A}/1", type="Note", attributedTo=[A, "HTTPS://A.example/alice"])) == (A,)


@pytest.mark.parametrize("name", ["inbox", "outbox", "followers", "following", "liked", "replies", "likes", "shares"])
def test_a_collection_that_its_holder_names_is_its_holders(name):
    actor = {"type": "Person", "inbox": f"{A}/in", "outbox": f"{A}/out"}
    holder = document(id=A, **{**actor, name: f"{A}/collection"})
    assert implied_owner(f"{A}/collection", holder) == A
    assert implied_owner(f"{A}/another", holder) is None


def test_several_owners_are_unclear_unless_one_asks_for_them():
    both = document(id=f"{A}/1", type="Note", attributedTo=[A, f"{A}2"])
    assert owners(both, several=True) == (A, f"{A}2")
    with pytest.raises(OwnerUnclear) as caught:
        owners(both)
    assert caught.value.reason == "owner-unclear"
