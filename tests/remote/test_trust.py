"""Check the ownership rules of `apcore.remote.trust` for incomplete documents.

The complete rules are tried in `tests/federation/test_fe34.py`.
"""

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


def move_activity(**members: Any) -> Move:
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
def test_move_is_confirmed_only_if_complete_and_named_by_the_target(members, target, confirmed):
    move = move_activity(**members)
    assert is_move_confirmed(move, document(type="Person", **target)) == confirmed


@pytest.mark.parametrize("wrapper", [None, f"{B}/1"])
def test_embedded_fragment_is_trusted_only_inside_its_own_wrapper(wrapper):
    assert not is_embedded_trusted(document(id="None#1", type="Note"), wrapper=wrapper, owner=B)
    embedded_note = document(id=f"{B}/1#note", type="Note")
    assert is_embedded_trusted(embedded_note, wrapper=wrapper, owner=B) == (wrapper is not None)


@pytest.mark.parametrize("kind", ["Like", "Offer", "Announce", "Move", "Invite", "Arrive"])
def test_target_of_another_owner_is_allowed_unless_added_to_or_removed_from(kind):
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B, target=f"{B}/outbox").view(Activity), A)


@pytest.mark.parametrize("kind", ["Add", "Remove"])
def test_object_of_add_or_remove_may_belong_to_another_actor_but_not_the_target(kind):
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B, target=f"{A}/featured").view(Activity), A)
    check_change(document(id=f"{A}/1", type=kind, actor=A, object=B).view(Activity), A)
    with pytest.raises(Refused):
        check_change(document(id=f"{A}/1", type=kind, actor=A, object=A, target=f"{B}/featured").view(Activity), A)


def test_owner_named_in_two_spellings_counts_once():
    assert owners(document(id=f"{A}/1", type="Note", attributedTo=[A, "HTTPS://A.example/alice"])) == (A,)


@pytest.mark.parametrize("name", ["inbox", "outbox", "followers", "following", "liked", "replies", "likes", "shares"])
def test_collection_named_by_an_actor_belongs_to_that_actor(name):
    actor = {"type": "Person", "inbox": f"{A}/in", "outbox": f"{A}/out"}
    holder = document(id=A, **{**actor, name: f"{A}/collection"})
    assert implied_owner(f"{A}/collection", holder) == A
    assert implied_owner(f"{A}/another", holder) is None


def test_two_owners_are_refused_unless_the_caller_allows_several():
    shared_note = document(id=f"{A}/1", type="Note", attributedTo=[A, f"{A}2"])
    assert owners(shared_note, several=True) == (A, f"{A}2")
    with pytest.raises(OwnerUnclear) as caught:
        owners(shared_note)
    assert caught.value.reason == "owner-unclear"
