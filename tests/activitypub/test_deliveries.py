"""Hold apcore to the ActivityPub Recommendation, section 7: deliveries between servers.

The number in the name of a test is that of an item in `test_checklist.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from apcore import Federation, FollowVerdict
from apcore.http import Headers, Request, Response
from apcore.remote import Gone
from apcore.vocab import Create, Note, Update
from local_server import ALICE, BOB, CAROL, FOLLOWERS, LOCAL, PUBLIC_URI, LocalServer

AS2_PROFILE = 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
PINNED = f"{ALICE}/pinned"
ERIN = "https://remote.example/users/erin"


def publish(server: LocalServer, note: Note | None = None, **options: Any) -> str:
    """Publish a note of alice, deliver it, and return its id."""
    note_id = server.node.publish(Note(content="hello") if note is None else note, by="alice", **options)
    server.work()
    return note_id


def remote_note(**members: Any) -> dict[str, Any]:
    """Return a note of bob."""
    note = {"@context": "https://www.w3.org/ns/activitystreams", "id": f"{BOB}/notes/1", "type": "Note"}
    return note | {"attributedTo": BOB, "content": "first text", "to": [PUBLIC_URI], **members}


# --- delivery (7, 7.1) ----------------------------------------------------------------------------------------------


def test_item_40_both_media_types_are_accepted_and_one_is_sent() -> None:
    server = LocalServer()
    for content_type in (AS2_PROFILE, "application/activity+json"):
        like = server.bob.request(server.bob.activity("Like", object=f"{LOCAL}/notes/1"), to=f"{ALICE}/inbox")
        request = Request("POST", like.url, Headers({"Content-Type": content_type}), like.body)
        server.node.handle(server.bob.sign(request))
        server.work()
    assert len({activity.id for activity in server.activities}) == 2
    publish(server, Note(content="hello", to=[BOB]))
    (delivery,) = server.bob.received
    assert delivery.request.headers.get("content-type") in {AS2_PROFILE, "application/activity+json"}
    assert delivery.activity["id"]


@pytest.mark.parametrize("type_name", ["Follow", "Like", "Create", "Undo", "Add", "Remove"])
def test_item_41_received_activity_without_an_object_has_no_effect(type_name: str) -> None:
    server = LocalServer()
    activity = server.bob.activity(type_name)
    assert server.bob.deliver(server.node, activity, to="alice").status in {202, 400, 422}
    server.work()
    assert server.members("followers") == []
    assert server.bob.received == []


def test_item_42_inbox_is_read_from_the_actor_and_collections_reach_their_members() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    frank = server.network.peer("https://frank.example/~frank", members={"endpoints": None})
    publish(server, Note(content="hello", to=[FOLLOWERS], cc=[frank.actor]))
    assert frank.received[0].inbox == frank.document["inbox"]
    assert server.bob.received[-1].activity["type"] == "Create"


def test_item_43_recipients_get_one_copy_and_the_sender_gets_none() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    publish(server, Note(content="hello", to=[BOB, FOLLOWERS, ALICE], cc=[BOB]))
    assert [delivery.activity["type"] for delivery in server.bob.received] == ["Accept", "Create"]
    urls = [exchange.url for exchange in server.network.exchanges]
    assert not any(url.startswith(f"{ALICE}/inbox") for url in urls)
    assert not any(activity.document.is_a(Create) for activity in server.activities)


def test_item_44_post_without_the_actors_signature_is_refused() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    like = server.bob.activity("Like", object=f"{LOCAL}/notes/1")
    headers = Headers({"Content-Type": "application/activity+json"})
    unsigned = Request("POST", f"{ALICE}/inbox", headers, server.bob.request(like, to=f"{ALICE}/inbox").body)
    answer = server.node.handle(unsigned)
    assert isinstance(answer, Response)
    assert answer.status == 401
    assert carol.deliver(server.node, like, to="alice").status in {202, 401, 403}
    server.work()
    assert server.activities == []
    server.receive(server.bob, like)
    assert len(server.activities) == 1


def test_item_45_failed_delivery_is_tried_again_and_does_not_hold_the_caller() -> None:
    server = LocalServer()
    server.bob.answers[:] = [503, 503]
    server.node.publish(Note(content="hello", to=[BOB]), by="alice")
    assert server.bob.received == []
    for _ in range(6):
        server.work()
        server.clock.pass_s(3600)
    assert [delivery.activity["type"] for delivery in server.bob.received] == ["Create"] * 3


@pytest.mark.parametrize("member", ["to", "cc", "bto", "bcc", "audience"])
@pytest.mark.parametrize("address", [BOB, FOLLOWERS])
def test_item_46_every_addressing_member_counts(member: str, address: str) -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    publish(server, Note(content="hello", **{member: [address]}))
    assert [delivery.activity["type"] for delivery in server.bob.received] == ["Accept", "Create"]


def test_item_47_reply_is_forwarded_to_followers_byte_for_byte() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    server.become_follower(carol)
    note_id = publish(server, Note(content="hello"))
    reply = remote_note(inReplyTo=note_id, cc=[FOLLOWERS, ALICE])
    create = server.bob.prove(server.bob.activity("Create", object=reply, to=[PUBLIC_URI], cc=[FOLLOWERS, ALICE]))
    request = server.bob.request(create, to=f"{ALICE}/inbox")
    server.node.handle(request)
    server.work()
    assert carol.received[-1].request.body == request.body
    count = len(carol.received)
    # The same activity again, and one that answers a note of another server, go no further.
    server.clock.pass_s(2)
    server.receive(server.bob, create)
    foreign = remote_note(id=f"{BOB}/notes/2", inReplyTo=f"{CAROL}/notes/1", cc=[FOLLOWERS])
    server.receive(server.bob, server.bob.prove(server.bob.activity("Create", object=foreign, cc=[FOLLOWERS])))
    assert len(carol.received) == count


def test_item_48_followers_of_one_server_share_a_delivery() -> None:
    server = LocalServer()
    erin = server.network.peer(ERIN)
    frank = server.network.peer("https://frank.example/users/frank", members={"endpoints": None})
    for peer in (server.bob, erin, frank):
        server.become_follower(peer)
    server.network.exchanges.clear()
    publish(server)
    posts = sorted(exchange.url for exchange in server.network.exchanges if exchange.method == "POST")
    assert posts == [frank.inbox, server.bob.shared_inbox]


# --- received activities (7.2 to 7.12) ------------------------------------------------------------------------------


def test_item_49_received_create_reaches_the_listener_with_its_object() -> None:
    server = LocalServer()
    server.receive(server.bob, server.bob.activity("Create", object=remote_note(), to=[PUBLIC_URI]))
    (activity,) = server.activities
    assert activity.document.is_a(Create)
    assert activity.object is not None
    assert activity.object.uri == f"{BOB}/notes/1"
    assert activity.object.embedded is not None
    assert activity.object.embedded.view(Note).content == "first text"


def test_item_50_update_replaces_the_copy_and_needs_the_origin_of_its_object() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    note = remote_note(summary="only in the first version")
    server.bob.serve(note["id"], note)
    reference = server.node.reference(note["id"])
    assert reference.resolve().view(Note).summary == "only in the first version"
    changed = remote_note(content="second text")
    forged = carol.activity("Update", object=changed | {"content": "forged"})
    assert carol.deliver(server.node, forged, to="alice").status in {202, 403}
    server.work()
    assert reference.resolve().view(Note).content == "first text"
    assert not any(activity.document.is_a(Update) for activity in server.activities)
    server.bob.serve(note["id"], changed)
    server.receive(server.bob, server.bob.activity("Update", object=changed))
    current = server.node.reference(note["id"]).resolve().view(Note)
    assert (current.content, current.summary) == ("second text", None)


def test_item_51_delete_drops_the_copy_and_needs_the_origin_of_its_object() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    note = remote_note()
    server.bob.serve(note["id"], note)
    assert server.node.reference(note["id"]).resolve().id == note["id"]
    server.bob.serve(note["id"], None, status=410)
    assert carol.deliver(server.node, carol.activity("Delete", object=note["id"]), to="alice").status in {202, 403}
    server.work()
    assert server.node.reference(note["id"]).resolve().id == note["id"]
    server.receive(server.bob, server.bob.activity("Delete", object=note["id"]))
    with pytest.raises(Gone):
        server.node.reference(note["id"]).resolve()


@pytest.mark.parametrize(
    ("verdict", "answers", "followers"),
    [
        (FollowVerdict.ACCEPT, ["Accept"], [BOB]),
        (FollowVerdict.REJECT, ["Reject"], []),
        (FollowVerdict.PENDING, [], []),
    ],
)
def test_item_52_follow_is_answered_as_the_policy_decides(
    verdict: FollowVerdict, answers: list[str], followers: list[str]
) -> None:
    server = LocalServer(verdict=verdict)
    follow = server.become_follower(server.bob)
    assert [delivery.activity["type"] for delivery in server.bob.received] == answers
    assert all(delivery.activity["object"]["id"] == follow["id"] for delivery in server.bob.received)
    assert server.members("followers") == followers


def test_item_53_accept_counts_only_for_our_follow_and_by_the_followed_actor() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    invented = {"id": f"{ALICE}#follows/invented", "type": "Follow", "actor": ALICE, "object": BOB}
    server.bob.deliver(server.node, server.bob.activity("Accept", object=invented), to="alice")
    server.work()
    assert server.members("following") == []
    follow_id = server.node.follow(BOB, by="alice")
    server.work()
    carol.deliver(server.node, carol.activity("Accept", object=follow_id), to="alice")
    server.work()
    assert server.members("following") == []
    server.receive(server.bob, server.bob.activity("Accept", object=follow_id))
    assert server.members("following") == [BOB]


def test_item_54_reject_adds_nothing_and_ends_what_was_accepted() -> None:
    server = LocalServer()
    follow_id = server.node.follow(BOB, by="alice")
    server.work()
    server.receive(server.bob, server.bob.activity("Reject", object=follow_id))
    assert server.members("following") == []
    follow_id = server.node.follow(BOB, by="alice")
    server.work()
    server.receive(server.bob, server.bob.activity("Accept", object=follow_id))
    assert server.members("following") == [BOB]
    server.receive(server.bob, server.bob.activity("Reject", object=follow_id))
    assert server.members("following") == []


@pytest.mark.parametrize("is_permitted", [True, False])
def test_item_55_add_and_remove_change_a_collection_if_permitted(is_permitted: bool) -> None:
    def register(federation: Federation[None]) -> None:
        federation.managed_collection("pinned", "/users/{identifier}/pinned")
        federation.may_change(lambda ctx, actor, activity, uri: is_permitted and actor == BOB and uri == PINNED)

    server = LocalServer(register=register)
    note_id = publish(server)
    server.bob.deliver(server.node, server.bob.activity("Add", object=note_id, target=PINNED), to="alice")
    server.work()
    assert server.node.contains(PINNED, note_id) == is_permitted
    server.node.append(PINNED, note_id)
    server.bob.deliver(server.node, server.bob.activity("Remove", object=note_id, target=PINNED), to="alice")
    server.work()
    assert server.node.contains(PINNED, note_id) == (not is_permitted)


@pytest.mark.parametrize(("type_name", "collection"), [("Like", "likes"), ("Announce", "shares")])
def test_item_56_like_and_announce_are_counted(type_name: str, collection: str) -> None:
    server = LocalServer()
    note_id = publish(server)
    server.receive(server.bob, server.bob.activity(type_name, object=note_id, to=[PUBLIC_URI]))
    server.receive(server.bob, server.bob.activity(type_name, object=note_id, to=[PUBLIC_URI]))
    assert server.document(f"{note_id}/{collection}")["totalItems"] == 1


def test_item_57_undo_counts_only_for_the_actors_own_activity() -> None:
    server = LocalServer()
    carol = server.network.peer(CAROL)
    note_id = publish(server)
    like = server.bob.activity("Like", object=note_id, to=[PUBLIC_URI])
    server.receive(server.bob, like)
    for undone in (like, like["id"]):
        carol.deliver(server.node, carol.activity("Undo", object=undone), to="alice")
        server.work()
        assert server.document(f"{note_id}/likes")["totalItems"] == 1
    server.receive(server.bob, server.bob.activity("Undo", object=like))
    assert server.document(f"{note_id}/likes")["totalItems"] == 0


# --- security considerations (B) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", ["https://localhost/notes/1", "https://127.0.0.1/notes/1", "file:///etc/passwd", "ftp://remote.example/1"]
)
def test_item_58_local_addresses_and_unsafe_schemes_are_never_fetched(uri: str) -> None:
    failures: list[str] = []

    def register(federation: Federation[None]) -> None:
        @federation.on(Create)
        def created(ctx: Any, create: Create) -> None:
            try:
                ctx.resolve(create.object)
            except Exception as error:
                failures.append(type(error).__name__)

    server = LocalServer(register=register)
    server.bob.deliver(server.node, server.bob.activity("Create", object=uri), to="alice")
    server.work()
    assert not any(exchange.url == uri for exchange in server.network.exchanges if exchange.status is not None)
    with pytest.raises(Exception, match=r".+"):
        server.node.reference(uri).resolve()
