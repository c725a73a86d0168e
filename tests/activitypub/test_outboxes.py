"""Hold apcore to the ActivityPub Recommendation, section 6: activities that an actor of ours sends.

Clients reach apcore through the application: `publish` and `send` are the outbox. The number in the name of a test is
that of an item in `test_checklist.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from apcore import Federation
from apcore.errors import ContractError
from apcore.http import Headers, Request, Response
from apcore.vocab import (
    Accept,
    Activity,
    Add,
    Announce,
    Block,
    Create,
    Delete,
    Follow,
    Like,
    Note,
    Reject,
    Remove,
    Undo,
    Update,
)
from local_server import ALICE, BOB, CAROL, FOLLOWERS, LOCAL, PUBLIC_URI, LocalServer

PINNED = f"{ALICE}/pinned"
NEEDS_OBJECT = (Accept, Announce, Block, Create, Delete, Follow, Like, Reject, Undo, Update)


def register_pinned(federation: Federation[None]) -> None:
    federation.managed_collection("pinned", "/users/{identifier}/pinned")


def publish(server: LocalServer, note: Note | None = None, **options: Any) -> str:
    """Publish a note of alice, deliver it, and return its id."""
    note_id = server.node.publish(Note(content="hello") if note is None else note, by="alice", **options)
    server.work()
    return note_id


def test_item_22_objects_and_activities_are_sent_by_different_calls() -> None:
    server = LocalServer()
    publish(server, Note(content="hello", to=[BOB]))
    server.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
    server.work()
    assert [delivery.activity["type"] for delivery in server.bob.received] == ["Create", "Like"]
    with pytest.raises((ContractError, ValueError)):
        server.node.publish(Like(object=f"{BOB}/notes/1"), by="alice")
    with pytest.raises((ContractError, ValueError)):
        server.node.send(Note(content="no activity"), by="alice", to=BOB)


def test_item_24_hidden_recipients_get_the_post_and_are_not_shown() -> None:
    server = LocalServer()
    carol, erin = server.network.peer(CAROL), server.network.peer("https://erin.example/users/erin")
    note_id = publish(server, Note(content="hello", to=[PUBLIC_URI, BOB], bto=[CAROL], bcc=[erin.actor]))
    for peer in (server.bob, carol, erin):
        (delivery,) = peer.received
        for name in (b"bto", b"bcc", b"users/carol", b"users/erin"):
            assert name not in delivery.request.body
    for uri in (note_id, delivery.activity["id"], f"{ALICE}/outbox"):
        body = server.request(uri).body
        assert b"users/carol" not in body
        assert b"bcc" not in body


def test_item_25_sent_activity_is_in_the_outbox() -> None:
    server = LocalServer()
    note_id = publish(server)
    (item,) = server.items(f"{ALICE}/outbox")
    assert (item["type"], item["object"]["id"]) == ("Create", note_id)


def test_item_26_post_to_an_outbox_is_405_and_caching_is_respected() -> None:
    server = LocalServer()
    response = server.request(f"{ALICE}/outbox", method="POST")
    assert response.status == 405
    assert "POST" not in (response.headers.get("allow") or "")
    etag = server.request(ALICE).headers.get("etag")
    assert etag
    conditional = Request("GET", ALICE, Headers({"Accept": "application/activity+json", "If-None-Match": etag}))
    answer = server.node.handle(conditional)
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("activity", NEEDS_OBJECT)
def test_item_28_activity_without_its_object_is_refused(activity: type[Activity]) -> None:
    server = LocalServer()
    with pytest.raises((ContractError, ValueError)):
        server.node.send(activity(), by="alice", to=BOB)
    server.work()
    assert server.bob.received == []


@pytest.mark.parametrize("activity", [Add, Remove])
def test_item_28_add_and_remove_without_a_target_are_refused(activity: type[Activity]) -> None:
    server = LocalServer()
    with pytest.raises((ContractError, ValueError)):
        server.node.send(activity(object=f"{BOB}/notes/1"), by="alice", to=BOB)
    server.work()
    assert server.bob.received == []


def test_item_29_create_and_object_share_author_and_audience() -> None:
    server = LocalServer()
    publish(server, Note(content="hello", to=[BOB], cc=[CAROL]))
    create = server.bob.received[0].activity
    assert create["object"]["attributedTo"] == create["actor"] == ALICE
    for name in ("to", "cc"):
        assert create[name] == create["object"][name] != []


def test_item_30_object_is_wrapped_in_a_create_with_its_audience() -> None:
    server = LocalServer()
    group = server.network.peer("https://group.example/groups/books", type="Group")
    publish(server, Note(content="hello", to=[BOB], cc=[PUBLIC_URI], audience=[group.actor]))
    create = server.bob.received[0].activity
    assert create["type"] == "Create"
    assert create["id"] != create["object"]["id"]
    assert create["audience"] in (group.actor, [group.actor])
    assert (create["to"], create["cc"]) == ([BOB], [PUBLIC_URI])
    assert len(group.received) == 1


def test_item_31_update_changes_the_published_object() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = publish(server)
    server.node.send(Update(object=Note(id=note_id, content="changed")), by="alice", to=FOLLOWERS)
    server.work()
    note = server.document(note_id)
    assert (note["content"], note["attributedTo"]) == ("changed", ALICE)
    assert server.bob.received[-1].activity["object"]["content"] == "changed"
    with pytest.raises((ContractError, ValueError)):
        server.node.send(Update(object=Note(id=note_id, content="by another")), by="dora", to=BOB)
    assert server.document(note_id)["content"] == "changed"


def test_item_32_deleted_object_is_a_tombstone_with_410() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = publish(server)
    server.node.send(Delete(object=note_id), by="alice", to=FOLLOWERS)
    server.work()
    response = server.request(note_id)
    assert response.status == 410
    assert b'"Tombstone"' in response.body
    assert b"hello" not in response.body
    assert server.items(f"{ALICE}/outbox") == []
    assert server.bob.received[-1].activity["type"] == "Delete"


def test_item_33_followed_actor_is_in_following_only_after_its_accept() -> None:
    server = LocalServer()
    follow_id = server.node.follow(BOB, by="alice")
    server.work()
    assert server.members("following") == []
    server.receive(server.bob, server.bob.activity("Accept", object=follow_id))
    assert server.members("following") == [BOB]


def test_item_34_add_and_remove_change_collections_of_ours_alone() -> None:
    server = LocalServer(register=register_pinned)
    note_id = publish(server)
    server.node.send(Add(object=note_id, target=PINNED), by="alice", to=BOB)
    assert server.node.contains(PINNED, note_id)
    server.node.send(Remove(object=note_id, target=PINNED), by="alice", to=BOB)
    assert not server.node.contains(PINNED, note_id)
    for target in (FOLLOWERS, f"{LOCAL}/users/dora/pinned"):
        # On our own origin the call is refused; the collections of other servers are theirs to change.
        with pytest.raises(ContractError):
            server.node.send(Add(object=CAROL, target=target), by="alice", to=BOB)
        assert not server.node.contains(target, CAROL)


def test_item_35_liked_object_is_in_liked_of_its_actor() -> None:
    server = LocalServer()
    like_id = server.node.send(Like(object=f"{BOB}/notes/1", to=[PUBLIC_URI]), by="alice", to=BOB)
    assert server.items(f"{ALICE}/liked") == [f"{BOB}/notes/1"]
    server.node.send(Undo(object=like_id), by="alice", to=BOB)
    assert server.members("liked") == []


def test_item_36_blocked_actor_cannot_interact() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = publish(server)
    server.node.block(BOB, by="alice")
    server.work()
    for activity in (server.bob.activity("Follow", object=ALICE), server.bob.activity("Like", object=note_id)):
        assert server.bob.deliver(server.node, activity, to="alice").status in {202, 403}
        server.work()
    assert server.members("followers") == []
    assert server.document(f"{note_id}/likes")["totalItems"] == 0
    publish(server)
    assert [delivery.activity["type"] for delivery in server.bob.received].count("Create") == 1


def test_item_37_undo_is_by_the_same_actor_and_ends_the_effect() -> None:
    server = LocalServer()
    note_id = publish(server)
    like_id = server.node.send(Like(object=note_id), by="dora", to=ALICE)
    server.work()
    assert server.document(f"{note_id}/likes")["totalItems"] == 1
    like = Like(id=like_id, actor=f"{LOCAL}/users/dora", object=note_id)
    with pytest.raises(ContractError):
        server.node.send(Undo(object=like), by="alice", to=BOB)
    server.node.send(Undo(object=like_id), by="alice", to=BOB)
    assert server.document(f"{note_id}/likes")["totalItems"] == 1
    server.node.send(Undo(object=like_id), by="dora", to=ALICE)
    assert server.document(f"{note_id}/likes")["totalItems"] == 0


def test_item_38_everything_in_an_outbox_is_delivered() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_ids = {publish(server) for _ in range(3)}
    items = server.items(f"{ALICE}/outbox")
    received_ids = {delivery.activity["id"] for delivery in server.bob.received}
    assert {item["object"]["id"] for item in items} == note_ids
    assert {item["id"] for item in items} <= received_ids
