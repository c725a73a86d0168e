"""Check the policy for changes of what belongs to another actor, and the moderators of groups (FEP-1b12)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from apcore.errors import ConfigurationError, ContractError
from apcore.federation import Federation, group_moderators
from apcore.vocab import Add, Remove
from effects_fixture import ALICE, AS2, Servers
from inbox_fixture import BOB, CAROL, HERE

GROUP = "https://forum.example/c/cats"
MODERATORS = f"{GROUP}/moderators"
POST = f"{CAROL}/posts/1"
FEATURED = f"{ALICE}/featured"


class Forum(Servers):
    """A server that asks a policy. Bob is a moderator of a group on a third server; carol is an author in it."""

    def __init__(self, policy: Any = group_moderators, **group: Any) -> None:
        self.policy = policy
        self.asked_about: list[tuple[str, str, str]] = []
        super().__init__()
        members = {"type": "Group", "attributedTo": MODERATORS, "featured": f"{GROUP}/featured", **group}
        self.group = self.network.peer(GROUP)
        self.group.serve(GROUP, {**self.group.document, **members})
        self.moderators(BOB)
        self.post()

    def register(self, federation: Federation[None], options: dict[str, Any]) -> None:
        federation.managed_collection("featured", "/users/{identifier}/featured")
        if self.policy is not None:
            federation.may_change(self.policy)

    def moderators(self, *actors: str) -> None:
        document = {"@context": AS2, "id": MODERATORS, "type": "OrderedCollection", "orderedItems": list(actors)}
        self.group.serve(MODERATORS, document)

    def post(self, **members: Any) -> None:
        document = {"@context": AS2, "id": POST, "type": "Page", "attributedTo": CAROL, "audience": GROUP, **members}
        self.carol.serve(POST, document)

    def told(self, type_name: str, **members: Any) -> bool:
        """Deliver an activity of bob, and return whether the listener got it."""
        activity = self.bob.activity(type_name, **members)
        assert self.receive(self.bob, activity) == 202
        return self.heard == [activity["id"]]


@pytest.mark.parametrize("type_name", ["Delete", "Lock"])
def test_moderator_may_change_a_post_in_the_group(type_name):
    assert Forum().told(type_name, object=POST)


def test_moderator_may_undo_the_lock_of_another_moderator():
    lock = {"id": f"{CAROL}#lock", "type": "Lock", "actor": CAROL, "object": POST}
    assert Forum().told("Undo", object=lock)


@pytest.mark.parametrize("type_name", ["Add", "Remove"])
@pytest.mark.parametrize("target", [MODERATORS, f"{GROUP}/featured"])
def test_moderator_may_change_the_collections_of_the_group(type_name, target):
    assert Forum().told(type_name, object=POST, target=target, audience=GROUP)


@pytest.mark.parametrize(
    "activity",
    [
        {"type_name": "Add", "object": POST, "target": f"{GROUP}/followers", "audience": GROUP},
        {"type_name": "Add", "object": POST, "target": f"{CAROL}/featured", "audience": GROUP},
        {"type_name": "Add", "object": POST, "target": MODERATORS},
    ],
)
def test_moderator_may_not_change_other_collections(activity):
    assert not Forum().told(**activity)


def test_actor_that_is_no_moderator_changes_nothing(caplog):
    caplog.set_level(logging.INFO, logger="apcore.inbox")
    forum = Forum()
    forum.moderators(CAROL)
    assert not forum.told("Delete", object=POST)
    assert caplog.messages[-1].endswith(f"on {POST}: not-permitted")


def test_post_outside_the_group_is_not_its_moderators_to_change():
    forum = Forum()
    forum.post(audience=f"{GROUP}2")
    assert not forum.told("Delete", object=POST, audience=GROUP)


def test_group_cannot_name_moderators_on_another_origin():
    forum = Forum(attributedTo="https://elsewhere.example/moderators")
    elsewhere = forum.network.peer("https://elsewhere.example/users/eve")
    document = {"@context": AS2, "id": "https://elsewhere.example/moderators", "type": "Collection", "items": [BOB]}
    elsewhere.serve("https://elsewhere.example/moderators", document)
    assert not forum.told("Delete", object=POST)


def test_actor_that_is_no_group_has_no_moderators():
    assert not Forum(type="Person").told("Delete", object=POST)


def test_moderators_on_pages_are_read():
    forum = Forum()
    first = {"id": f"{MODERATORS}?page=1", "type": "OrderedCollectionPage", "orderedItems": [CAROL]}
    second = {"@context": AS2, "id": f"{MODERATORS}?page=2", "type": "OrderedCollectionPage", "orderedItems": [BOB]}
    root = {"@context": AS2, "id": MODERATORS, "type": "OrderedCollection", "first": first}
    forum.group.serve(MODERATORS, {**root, "first": {**first, "next": f"{MODERATORS}?page=2"}})
    forum.group.serve(f"{MODERATORS}?page=2", second)
    assert forum.told("Delete", object=POST)


# --- the hook -------------------------------------------------------------------------------------------------------


def test_policy_gets_the_actor_the_activity_and_the_object():
    calls: list[tuple[str, str, str]] = []

    def policy(ctx, actor, activity, object_id):
        calls.append((actor, activity.document.types[0], object_id))
        return True

    forum = Forum(policy)
    assert forum.told("Delete", object=POST)
    assert calls == [(BOB, "Delete", POST)]


def test_policy_is_not_asked_about_an_actors_own_object():
    forum = Forum(lambda ctx, actor, activity, object_id: 1 / 0)
    assert forum.told("Delete", object=f"{BOB}/notes/1")


def test_all_objects_of_one_activity_must_be_permitted():
    forum = Forum(lambda ctx, actor, activity, object_id: object_id == POST)
    assert not forum.told("Delete", object=[POST, f"{CAROL}/posts/2"])


def test_update_of_another_actors_object_is_refused_without_asking():
    forum = Forum(lambda ctx, actor, activity, object_id: True)
    update = forum.bob.activity("Update", object={"id": POST, "type": "Note"})
    assert forum.receive(forum.bob, update) == 403


def test_without_a_policy_the_inbox_refuses():
    forum = Forum(None)
    assert forum.receive(forum.bob, forum.bob.activity("Delete", object=POST)) == 403
    assert forum.receive(forum.bob, forum.bob.activity("Lock", object=POST)) == 403


def test_permitted_delete_drops_the_cached_copy_of_another_actors_object():
    forum = Forum()
    _ = forum.node.reference(POST).resolve()
    before = forum.state()
    assert forum.told("Delete", object=POST)
    assert {key[0] for key in forum.state().keys() - before.keys()} >= {"doc-changed"}


@pytest.mark.parametrize("target", [f"{ALICE}/followers", f"{ALICE}/outbox", f"{HERE}/nothing"])
def test_permitted_add_never_changes_the_collections_of_every_actor(target):
    forum = Forum(lambda ctx, actor, activity, object_id: True)
    before = forum.state()
    assert forum.told("Add", object=POST, target=target)
    assert {key: value for key, value in forum.state().items() if key[0] == "c"} == {
        key: value for key, value in before.items() if key[0] == "c"
    }


def test_permitted_add_and_remove_change_a_managed_collection():
    forum = Forum(lambda ctx, actor, activity, object_id: object_id == FEATURED)
    assert forum.told("Add", object=POST, target=FEATURED)
    assert forum.listed(FEATURED) == [POST]
    forum.heard.clear()
    assert forum.told("Remove", object=POST, target=FEATURED)
    assert forum.total(FEATURED) == 0


def test_sent_add_and_remove_change_a_managed_collection():
    forum = Forum()
    _ = forum.send(Add(object=POST, target=FEATURED))
    assert forum.listed(FEATURED) == [POST]
    _ = forum.send(Remove(object=POST, target=FEATURED))
    assert forum.listed(FEATURED) == []
    with pytest.raises(ContractError, match="has no managed collection"):
        _ = forum.send(Add(object=POST, target=f"{ALICE}/followers"))


def test_second_policy_or_collection_is_refused():
    federation: Federation[None] = Federation()
    federation.may_change(group_moderators)
    with pytest.raises(ConfigurationError, match=r"may_change has a policy already: .*group_moderators"):
        federation.may_change(group_moderators)
    federation.managed_collection("featured", "/users/{identifier}/featured")
    with pytest.raises(ConfigurationError, match="there is a collection 'featured' already"):
        federation.managed_collection("featured", "/featured/{identifier}")
