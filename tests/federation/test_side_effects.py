"""Check the side effects of a Follow: the signed answer has a fixed meaning, and followers do not affect each other."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.testing.peer import Peer
from apcore.vocab import Follow, read_document
from inbox_fixture import ALICE, BOB, HERE, Ground

AS2 = "https://www.w3.org/ns/activitystreams"
HOSTILE_CONTEXTS: dict[str, Any] = {
    "another type": {"Accept": "as:Delete"},
    "another object": {
        "Accept": {
            "@id": "as:Delete",
            "@context": {"object": {"@id": "as:object", "@type": "@id", "@context": {"id": None, "note": "@id"}}},
        }
    },
    "another actor": {"Accept": {"@id": "as:Like", "@context": {"actor": None, "note": "as:actor"}}},
    "a context of its own": "https://evil.example/context",
}


@pytest.mark.parametrize("name", HOSTILE_CONTEXTS)
def test_answer_to_a_follow_ignores_the_context_of_the_follow(name):
    """Send a Follow with a context that redefines terms: the signed answer must not use it."""
    ground = Ground()
    members = {"@context": [AS2, HOSTILE_CONTEXTS[name]], "object": ALICE, "note": f"{HERE}/notes/1", "to": [ALICE]}
    follow = ground.bob.activity("Follow", **members)
    assert ground.bob.deliver(ground.node, follow).status == 202
    ground.work()
    [delivered] = ground.bob.received
    assert delivered.activity["@context"] == AS2
    answer = read_document(delivered.request.body)
    assert (answer.types, answer.words["actor"]) == (("Accept",), ALICE)
    request = answer.words["object"]
    assert request == {"id": follow["id"], "type": "Follow", "actor": BOB, "object": ALICE}
    assert read_document({"@context": AS2, **request}).is_a(Follow)


def test_follows_with_one_id_by_two_actors_are_undone_separately():
    ground = Ground()
    eve = Peer("https://remote.example/users/eve", network=ground.network)
    ident = f"{BOB}/follows/1"
    for peer in (ground.bob, eve):
        assert peer.deliver(ground.node, peer.activity("Follow", id=ident, object=ALICE)).status == 202
        ground.work()
    assert sorted(ground.collection("followers")) == [BOB, eve.actor]
    assert ground.bob.deliver(ground.node, ground.bob.activity("Undo", object=ident)).status == 202
    ground.work()
    assert ground.collection("followers") == [eve.actor]
