"""Check the kind of a document, which follows from its properties, and the owners that it names."""

from __future__ import annotations

import pytest

from apcore.vocab import Kind, is_owned_by, kind_of, owners_of, read_document, same_id

ALICE, BOB = "https://a.example/alice", "https://b.example/bob"

KINDS = [
    ({"id": ALICE, "inbox": "x", "outbox": "y", "actor": BOB}, Kind.ACTOR, (ALICE,)),
    ({"inbox": "x", "attributedTo": ALICE}, Kind.OBJECT, (ALICE,)),
    (
        {"publicKeyMultibase": "z", "publicKeyPem": "p", "controller": ALICE, "owner": BOB},
        Kind.VERIFICATION_METHOD,
        (ALICE,),
    ),
    ({"publicKeyPem": "p", "owner": ALICE}, Kind.KEY, (ALICE,)),
    ({"href": "https://x/", "attributedTo": ALICE}, Kind.LINK, ()),
    ({"type": "Note", "actor": ALICE, "attributedTo": BOB}, Kind.ACTIVITY, (ALICE,)),
    ({"totalItems": 0, "attributedTo": ALICE}, Kind.COLLECTION, (ALICE,)),
    ({"type": "Create", "attributedTo": ALICE}, Kind.OBJECT, (ALICE,)),
    ({"attributedTo": [ALICE, {"id": BOB, "type": "Group"}, ALICE, 3]}, Kind.OBJECT, (ALICE, BOB)),
    ({}, Kind.OBJECT, ()),
]


@pytest.mark.parametrize(("tree", "kind", "owners"), KINDS, ids=[f"{row[1].value}-{n}" for n, row in enumerate(KINDS)])
def test_kind_and_owners_of_a_document(tree, kind, owners):
    document = read_document(tree)
    assert (kind_of(document), owners_of(document)) == (kind, owners)


OWNED = [
    ("alone and of one origin", {"id": "https://a.example/1", "attributedTo": ALICE}, True),
    ("without an id", {"attributedTo": ALICE}, True),
    ("host in another case", {"id": "https://a.example/1", "attributedTo": "HTTPS://A.example/alice"}, True),
    ("path in another case", {"id": "https://a.example/1", "attributedTo": "https://a.example/Alice"}, False),
    ("shared with another", {"id": "https://a.example/1", "attributedTo": [ALICE, BOB]}, False),
    ("id of another origin", {"id": "https://b.example/1", "attributedTo": ALICE}, False),
    ("id that is no URL", {"id": "urn:x", "attributedTo": ALICE}, False),
    ("without owner", {"id": "https://a.example/1"}, False),
    ("of another actor", {"id": "https://a.example/1", "attributedTo": BOB}, False),
]


@pytest.mark.parametrize(("tree", "expected"), [row[1:] for row in OWNED], ids=[row[0] for row in OWNED])
def test_document_is_owned_only_by_a_sole_owner_of_the_same_origin(tree, expected):
    assert is_owned_by(read_document(tree), ALICE) is expected


SAME = [
    (ALICE, ALICE, True),
    ("HTTPS://A.EXAMPLE/alice", ALICE, True),
    ("https://a.example/Alice", ALICE, False),
    ("https://a.example/alice/", ALICE, False),
    ("https://a.example:443/alice", ALICE, False),
    ("https://a.example?by=Alice", "https://A.example?by=Alice", True),
    ("https://a.example?by=Alice", "https://a.example?by=alice", False),
    ("https://a.example#Alice", "https://a.example#alice", False),
    ("urn:A", "urn:a", False),
    ("acct:Alice@a.example", "acct:alice@a.example", False),
    ("", "", True),
]


@pytest.mark.parametrize(("first", "second", "expected"), SAME)
def test_ids_compare_exactly_except_for_scheme_and_host(first, second, expected):
    assert same_id(first, second) is same_id(second, first) is expected
