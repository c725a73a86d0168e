"""Check the audience of a document, in every shape in which software writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.vocab import (
    PUBLIC,
    PUBLIC_FORMS,
    Audience,
    Create,
    Note,
    Visibility,
    audience_of,
    joint_audience,
    read_document,
)

ALICE, BOB, FOLLOWERS = "https://a.example/alice", "https://b.example/bob", "https://a.example/alice/followers"

SHAPES = [
    ("a string", BOB, (BOB,)),
    ("an array", [BOB, ALICE], (BOB, ALICE)),
    ("the same twice", [BOB, BOB], (BOB,)),
    ("numbers and nulls between", [3, None, BOB, True, ""], (BOB,)),
    ("an embedded actor", [{"id": BOB, "type": "Person"}], (BOB,)),
    ("an embedded actor without id", [{"type": "Person"}], ()),
    ("null", None, ()),
    ("nothing", [], ()),
    ("public three times", sorted(PUBLIC_FORMS), (PUBLIC,)),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
@pytest.mark.parametrize("name", ["to", "cc", "bto", "bcc", "audience"])
def test_address_field_is_read_in_every_shape(name, value, expected):
    assert getattr(audience_of(read_document({"type": "Note", name: value})), name) == expected


VISIBILITIES = [
    ({"to": PUBLIC, "cc": FOLLOWERS}, Visibility.PUBLIC),
    ({"to": FOLLOWERS, "cc": "as:Public"}, Visibility.UNLISTED),
    ({"audience": "Public"}, Visibility.UNLISTED),
    ({"to": FOLLOWERS}, Visibility.LIMITED),
    ({"bto": BOB}, Visibility.LIMITED),
    ({"bto": PUBLIC}, Visibility.NONE),
    ({}, Visibility.NONE),
]


@pytest.mark.parametrize(("members", "expected"), VISIBILITIES, ids=str)
def test_visibility_follows_from_the_address_fields(members, expected):
    audience = audience_of(read_document({"type": "Note", **members}))
    assert audience.visibility is expected
    assert audience.is_public == (expected in {Visibility.PUBLIC, Visibility.UNLISTED})


def test_everyone_excludes_the_public_collection():
    audience = Audience(to=(PUBLIC, BOB), cc=(FOLLOWERS, BOB), bcc=(ALICE,))
    assert audience.everyone == (BOB, FOLLOWERS, ALICE)


def test_secret_has_recipients_named_only_in_bto_or_bcc():
    audience = Audience(to=(BOB,), bto=(BOB, ALICE), bcc=(ALICE, PUBLIC))
    assert audience.secret == (ALICE,)


def test_joint_audience_merges_activity_and_object():
    document = Create(to=BOB, object=Note(to=PUBLIC, cc=FOLLOWERS, bcc=ALICE)).document
    assert audience_of(document).visibility is Visibility.LIMITED
    assert joint_audience(document) == Audience(to=(BOB, PUBLIC), cc=(FOLLOWERS,), bcc=(ALICE,))
    assert joint_audience(Create(to=BOB, object="https://a.example/1").document) == Audience(to=(BOB,))


def test_aliased_address_field_is_read():
    tree = {
        "@context": ["https://www.w3.org/ns/activitystreams", {"an": {"@id": "as:to", "@type": "@id"}}],
        "type": "Note",
        "an": BOB,
    }
    assert audience_of(read_document(tree)).to == (BOB,)


addresses = st.lists(st.sampled_from([ALICE, BOB, FOLLOWERS, PUBLIC]), max_size=4).map(tuple)


@given(st.builds(Audience, to=addresses, cc=addresses, audience=addresses, bto=addresses, bcc=addresses))
def test_everyone_includes_secret_recipients_and_excludes_public(audience):
    assert set(audience.secret) <= set(audience.everyone)
    assert PUBLIC not in audience.everyone
    assert len(set(audience.everyone)) == len(audience.everyone)
