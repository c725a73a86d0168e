"""Check that push and pull share one graph: delivered objects answer later look-ups, and a Delete ends them."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.federation.actors.keys import signing_key
from apcore.remote import Gone, Identity, NotFound, cached_owners, load_kept
from apcore.vocab import Note
from inbox_fixture import ALICE, BOB, CAROL, SHARED, Ground

AS2 = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{AS2}#Public"
NOTE = "https://remote.example/posts/7"


def note(content: str = "pushed", **members: Any) -> dict[str, Any]:
    return {"id": NOTE, "type": "Note", "attributedTo": BOB, "content": content, "to": PUBLIC} | members


def deliver(
    ground: Ground, kind: str, object_: Any, *, peer: Any = None, to: str | None = "alice", **members: Any
) -> None:
    sender = peer or ground.bob
    ground.clock.pass_s(2)
    activity = sender.activity(kind, object=object_, **members)
    url = SHARED if to is None else f"{ALICE}/inbox"
    assert ground.node.handle(sender.request(activity, url)).status == 202
    ground.work()
    ground.clock.pass_s(1)


def read(ground: Ground) -> str | None:
    return ground.node.reference(NOTE).resolve().view(Note).content


def fetches(ground: Ground) -> int:
    return sum(exchange.url == NOTE for exchange in ground.network.exchanges)


def test_delivered_object_answers_a_later_resolve_without_a_request() -> None:
    ground = Ground()
    deliver(ground, "Create", note(), to=None)
    assert read(ground) == "pushed"
    assert fetches(ground) == 0


def test_kept_object_has_the_contexts_and_members_of_the_activity() -> None:
    ground = Ground()
    deliver(ground, "Create", note(tag=[{"type": "Hashtag", "name": "#b"}, {"type": "Hashtag", "name": "#a"}]))
    document = ground.node.reference(NOTE).resolve()
    assert [tag["name"] for tag in document.words["tag"]] == ["#b", "#a"]
    assert document.says_activitypub


def test_update_replaces_a_fetched_copy() -> None:
    ground = Ground()
    ground.bob.serve(NOTE, note("fetched"))
    assert read(ground) == "fetched"
    deliver(ground, "Update", note("edited", updated="2026-01-01T12:00:01Z", to=PUBLIC))
    assert read(ground) == "edited"
    assert fetches(ground) == 1


def test_update_by_its_id_alone_has_a_worker_refresh_the_copy() -> None:
    ground = Ground()
    ground.bob.serve(NOTE, note("first"))
    assert read(ground) == "first"
    ground.bob.serve(NOTE, note("second"))
    deliver(ground, "Update", NOTE)
    ground.work()
    assert fetches(ground) == 2
    assert read(ground) == "second"
    assert fetches(ground) == 2


def test_late_create_does_not_replace_an_update() -> None:
    ground = Ground()
    deliver(ground, "Update", note("edited", published="2026-01-01T11:00:00Z", updated="2026-01-01T11:30:00Z"))
    deliver(ground, "Create", note("first", published="2026-01-01T11:00:00Z"))
    assert read(ground) == "edited"


def test_create_that_comes_once_more_does_not_undo_an_edit() -> None:
    ground = Ground()
    deliver(ground, "Create", note("first"))
    deliver(ground, "Update", note("edited"))
    deliver(ground, "Create", note("first"))
    deliver(ground, "Announce", note("first"))
    assert read(ground) == "edited"


def test_update_from_the_year_9999_does_not_freeze_a_document() -> None:
    ground = Ground()
    deliver(ground, "Update", note("a lie", updated="9999-12-31T23:59:59Z"))
    deliver(ground, "Update", note("true", updated="2026-01-01T12:00:01Z"))
    assert read(ground) == "true"


@pytest.mark.parametrize("owner", [CAROL, f"{BOB}-2"])
def test_object_of_another_actor_is_not_kept(owner: str) -> None:
    ground = Ground()
    ground.bob.serve(NOTE, note("true", attributedTo=owner))
    deliver(ground, "Announce", note("a lie", attributedTo=owner))
    assert fetches(ground) == 0
    ground.bob.serve(NOTE, note("true"))
    assert read(ground) == "true"


def test_copy_is_not_replaced_by_another_actor_that_claims_its_id() -> None:
    ground = Ground()
    neighbour = ground.network.peer(f"{BOB}-2")
    deliver(ground, "Create", note("true"), to=None)
    deliver(ground, "Create", note("a lie", attributedTo=f"{BOB}-2"), peer=neighbour, to=None)
    assert read(ground) == "true"


def test_private_object_is_kept_for_its_recipient_alone() -> None:
    ground = Ground()
    deliver(ground, "Create", note("secret", to=ALICE))
    node = ground.node
    key = node.run(signing_key(node.site(), ALICE))
    identity = key.identity(node.site())
    assert node.run(load_kept(NOTE, policy=node.site().fetching, identity=identity)) is not None
    other = Identity(key_name="x", key_id=f"{ALICE}-2#main-key")
    for stranger in (None, other):
        assert node.run(load_kept(NOTE, policy=node.site().fetching, identity=stranger)) is None


def test_post_for_followers_in_the_shared_inbox_is_not_kept() -> None:
    ground = Ground()
    deliver(ground, "Create", note("for followers", to=f"{BOB}/followers"), to=None)
    assert ground.node.run(cached_owners(NOTE)) is None


def test_delivered_copy_ends_when_its_origin_has_it_no_more() -> None:
    ground = Ground()
    deliver(ground, "Create", note())
    with pytest.raises(NotFound):
        ground.node.reference(NOTE).resolve(fresh=True)
    with pytest.raises(NotFound):
        read(ground)


def test_deleted_object_leaves_a_tombstone() -> None:
    ground = Ground()
    deliver(ground, "Create", note())
    deliver(ground, "Delete", NOTE)
    ground.bob.serve(NOTE, note("served again"))
    with pytest.raises(Gone):
        read(ground)
    deliver(ground, "Create", note("pushed again"))
    with pytest.raises(Gone):
        read(ground)
    assert fetches(ground) == 0


def test_delete_by_a_neighbour_leaves_no_tombstone() -> None:
    ground = Ground()
    neighbour = ground.network.peer(f"{BOB}-2")
    ground.bob.serve(NOTE, note("true"))
    deliver(ground, "Delete", NOTE, peer=neighbour)
    assert read(ground) == "true"
    deliver(ground, "Delete", NOTE, peer=neighbour)
    assert read(ground) == "true"


@pytest.mark.parametrize("form", ["id", "embedded"])
def test_undone_announce_is_gone(form: str) -> None:
    ground = Ground()
    ident = f"{BOB}/announces/1"
    announce = {"id": ident, "type": "Announce", "actor": BOB, "object": NOTE}
    ground.bob.serve(ident, announce)
    assert ground.node.reference(ident).resolve().id == ident
    deliver(ground, "Undo", ident if form == "id" else announce)
    with pytest.raises(Gone):
        ground.node.reference(ident).resolve()


def test_copy_is_kept_in_the_commit_that_completes_the_activity() -> None:
    ground = Ground()

    def fail(ctx: Any, activity: Any) -> None:
        raise RuntimeError

    ground.listeners.append(fail)
    deliver(ground, "Create", note())
    assert ground.node.run(cached_owners(NOTE)) is None
    ground.listeners.clear()
    ground.clock.pass_s(3600)
    ground.work()
    assert ground.node.run(cached_owners(NOTE)) == (BOB,)
