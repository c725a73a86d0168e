"""Check the side effects of a Follow: the signed answer has a fixed meaning, and followers do not affect each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.collections import contains, members_page
from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.federation.inbox.side_effects import OPERATIONS
from apcore.federation.side_effect_rules import RECEIVED_RULES, SENT_RULES
from apcore.testing.peer import Peer
from apcore.vocab import Activity, Follow, read_document
from inbox_fixture import ALICE, BOB, CAROL, HERE, Ground

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
    assert delivered.activity["@context"] == [AS2, "https://w3id.org/security/data-integrity/v1"]
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


# --- the table, and the application's choices -------------------------------------------------------------------------


def test_each_row_that_changes_something_has_an_operation():
    assert set(OPERATIONS) == {rule.name for rule in RECEIVED_RULES if rule.change is not None}


@pytest.mark.parametrize("rules", [RECEIVED_RULES, SENT_RULES], ids=["received", "sent"])
def test_no_row_is_hidden_by_an_earlier_one(rules):
    for number, rule in enumerate(rules):
        assert not any(
            issubclass(rule.activity, earlier.activity) and earlier.inner in {None, rule.inner} and not earlier.narrow
            for earlier in rules[:number]
        )


@pytest.mark.parametrize("rule", RECEIVED_RULES, ids=lambda rule: rule.name)
def test_any_row_is_replaced_by_a_handler_or_switched_off(rule):
    calls: list[Activity] = []
    federation: Federation[None] = Federation()
    federation.side_effect(rule.name)(lambda ctx, activity: calls.append(activity))
    target: Any = ALICE if rule.inner is None else {"type": rule.inner.type_name, "object": ALICE}
    if rule.narrow is not None:
        target = {"type": "Note", "name": "red", "inReplyTo": f"{ALICE}/objects/1"}
    document = read_document({"@context": AS2, "type": rule.activity.type_name, "actor": BOB, "object": target})
    choice = federation.side_effect_for(document)
    assert choice is not None
    assert choice.replacement is not None
    assert choice.rule is rule
    other: Federation[None] = Federation()
    other.switch_off(rule.name)
    assert other.side_effect_for(document) is None


def test_unknown_and_repeated_names_are_refused():
    federation: Federation[None] = Federation()
    with pytest.raises(ConfigurationError, match="there is no side effect 'nothing'; the names are tentative-accept, "):
        federation.switch_off("nothing")
    federation.switch_off("undo")
    with pytest.raises(ConfigurationError, match="'undo' is replaced or switched off already"):
        federation.side_effect("undo")(lambda ctx, activity: None)


def test_a_bound_federation_takes_no_replacement():
    ground = Ground()
    with pytest.raises(ConfigurationError, match="registered too late"):
        ground.node.federation.switch_off("undo")


class Chosen(Ground):
    """A server that replaces the side effect of a Follow, or switches it off without a handler."""

    def __init__(self, handler: Any = None) -> None:
        self.handler = handler
        super().__init__()

    def _federation(self, rules: Any, options: dict[str, Any]) -> Federation[None]:
        federation = super()._federation(rules, options)
        if self.handler is None:
            federation.switch_off("follow")
        else:
            federation.side_effect("follow")(self.handler)
        return federation

    def follow(self) -> None:
        assert self.bob.deliver(self.node, self.bob.activity("Follow", object=ALICE)).status == 202
        self.work()


def test_a_replacement_runs_in_place_of_the_row_and_its_writes_are_committed():
    ground = Chosen(lambda ctx, follow: ctx.append(f"{ALICE}/asked", follow.actor.uri))
    ground.follow()
    assert ground.node.run(contains(f"{ALICE}/asked", (BOB,))) == (True,)
    assert ground.collection("followers") == []
    assert ground.bob.received == []
    assert len(ground.heard) == 1


def test_a_row_that_is_switched_off_leaves_the_activity_to_the_listener():
    ground = Chosen()
    ground.follow()
    assert ground.collection("followers") == []
    assert ground.bob.received == []
    assert len(ground.heard) == 1


# --- actors that change ---------------------------------------------------------------------------------------------


def test_new_inboxes_of_a_follower_are_used_after_its_update():
    ground = Ground()
    assert ground.bob.deliver(ground.node, ground.bob.activity("Follow", object=ALICE)).status == 202
    ground.work()
    moved = {"id": BOB, "type": "Person", "inbox": f"{BOB}/new-inbox", "outbox": f"{BOB}/outbox"}
    assert ground.bob.deliver(ground.node, ground.bob.activity("Update", object=moved)).status == 202
    ground.work()
    [member] = ground.node.run(members_page(f"{ALICE}/followers", limit=10)).items
    assert json.loads(member.item) == {"inbox": f"{BOB}/new-inbox", "shared": None}


def test_an_update_makes_nobody_a_follower():
    ground = Ground()
    moved = {"id": BOB, "type": "Person", "inbox": f"{BOB}/new-inbox", "outbox": f"{BOB}/outbox"}
    follow = ground.bob.activity("Follow", object=ALICE)
    for activity in (follow, ground.bob.activity("Undo", object=follow), ground.bob.activity("Update", object=moved)):
        assert ground.bob.deliver(ground.node, activity).status == 202
        ground.work()
    assert ground.collection("followers") == []


def test_the_inbox_that_an_update_of_another_actor_names_is_not_stored():
    ground = Ground()
    assert ground.bob.deliver(ground.node, ground.bob.activity("Follow", object=ALICE)).status == 202
    ground.work()
    before = ground.node.run(members_page(f"{ALICE}/followers", limit=10)).items
    moved = {"id": BOB, "type": "Person", "inbox": f"{CAROL}/inbox", "outbox": f"{BOB}/outbox"}
    _ = ground.carol.deliver(ground.node, ground.carol.activity("Update", object=moved))
    ground.work()
    assert ground.node.run(members_page(f"{ALICE}/followers", limit=10)).items == before


@pytest.mark.parametrize("kind", ["Add", "Remove"])
def test_a_changed_collection_is_fetched_again(kind):
    ground = Ground()
    collection = f"{BOB}/featured"
    document = {"@context": AS2, "id": collection, "type": "OrderedCollection", "attributedTo": BOB, "orderedItems": []}
    ground.bob.serve(collection, document)
    _ = ground.node.reference(collection).resolve()
    _ = ground.node.reference(collection).resolve()
    assert fetches(ground, collection) == 1
    change = ground.bob.activity(kind, object=f"{BOB}/notes/1", target=collection)
    assert ground.bob.deliver(ground.node, change).status == 202
    ground.work()
    _ = ground.node.reference(collection).resolve()
    assert fetches(ground, collection) == 2


def fetches(ground: Ground, url: str) -> int:
    return sum(exchange.method == "GET" and exchange.url == url for exchange in ground.network.exchanges)
