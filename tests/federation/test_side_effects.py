"""What apcore does by itself about a Follow: what it signs says what it says, and one follower's word is not another's."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.testing.peer import Peer
from apcore.vocab import Follow, read_document
from inbox_fixture import ALICE, BOB, HERE, Ground

AS2 = "https://www.w3.org/ns/activitystreams"
OTHER_WORDS: dict[str, Any] = {
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


@pytest.mark.parametrize("name", OTHER_WORDS)
def test_the_answer_to_a_follow_means_what_we_say(name):
    """Whoever asks does not choose the words that we sign, and that his inbox, which may be anybody's, reads."""
    ground = Ground()
    members = {"@context": [AS2, OTHER_WORDS[name]], "object": ALICE, "note": f"{HERE}/notes/1", "to": [ALICE]}
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


def test_a_neighbours_follow_of_the_same_id_takes_nobodys_undo_away():
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
