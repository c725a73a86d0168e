"""Hold apcore to the ActivityPub Recommendation, sections 3 to 5: objects, actors and collections.

The number in the name of a test is that of an item in `test_checklist.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from apcore import Federation
from apcore.discovery import lookup
from apcore.http import Request, Response
from apcore.testing.peer import Peer
from apcore.vocab import Create, Like, Note, Source
from local_server import ALICE, BOB, CAROL, FOLLOWERS, LOCAL, PUBLIC_URI, LocalServer

AS2 = "https://www.w3.org/ns/activitystreams"
AS2_PROFILE = f'application/ld+json; profile="{AS2}"'
COLLECTION_TYPES = {"Collection", "OrderedCollection"}


def contexts_of(document: dict[str, Any]) -> list[Any]:
    context = document["@context"]
    return context if isinstance(context, list) else [context]


def publish(server: LocalServer, text: str, **options: Any) -> str:
    """Publish a note of alice, deliver it, and return its id."""
    note_id = server.node.publish(Note(content=text), by="alice", **options)
    server.work()
    return note_id


# --- objects (3) ----------------------------------------------------------------------------------------------------


def test_item_01_documents_have_the_activity_streams_context() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = publish(server, "hello")
    documents = [server.document(url) for url in (ALICE, note_id, FOLLOWERS, f"{ALICE}/outbox")]
    for document in [*documents, *(delivery.activity for delivery in server.bob.received)]:
        assert AS2 in contexts_of(document)


def test_item_02_object_of_another_origin_is_not_believed() -> None:
    contents: list[str | None] = []

    def register(federation: Federation[None]) -> None:
        federation.on(Create)(lambda ctx, create: contents.append(ctx.resolve(create.object).view(Note).content))

    server = LocalServer(register=register)
    carol = server.network.peer(CAROL)
    forged_note = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "content": "forged", "to": PUBLIC_URI}
    server.bob.serve(f"{BOB}/notes/1", {"@context": AS2, **forged_note, "content": "real"})
    create = carol.activity("Create", object=forged_note, to=PUBLIC_URI)
    server.receive(carol, create)
    assert contents == ["real"]


def test_item_03_ids_are_unique_ours_and_lead_to_their_objects() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_ids = {publish(server, "the same text") for _ in range(3)}
    creates = [delivery.activity for delivery in server.bob.received[1:]]
    create_ids = {create["id"] for create in creates}
    assert len(note_ids) == len(create_ids) == 3
    for uri in note_ids | create_ids:
        assert uri.startswith(f"{LOCAL}/")
        assert server.document(uri)["id"] == uri


def test_item_04_public_ids_use_https() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    publish(server, "hello")
    accept, create = (delivery.activity for delivery in server.bob.received)
    for uri in (accept["id"], create["id"], create["object"]["id"], create["actor"]):
        assert uri.startswith("https://")


def test_item_05_every_sent_activity_has_an_id() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    server.node.follow(BOB, by="alice")
    server.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
    publish(server, "hello")
    activities = [delivery.activity for delivery in server.bob.received]
    assert {activity["type"] for activity in activities} == {"Accept", "Follow", "Like", "Create"}
    assert len({activity["id"] for activity in activities}) == 4


def test_item_06_every_object_has_an_id_and_a_type() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = publish(server, "hello")
    create = server.bob.received[-1].activity
    for document in (create, create["object"], server.document(note_id), server.document(ALICE)):
        assert document["id"]
        assert document["type"]


class AcceptRecorder(Peer):
    """A peer that records the Accept headers of fetches."""

    def answer(self, request: Request, /) -> Response | None:
        if request.method == "GET":
            self.accepts.append(request.headers.get("accept") or "")
        return super().answer(request)

    @property
    def accepts(self) -> list[str]:
        """The recorded headers."""
        headers: list[str] = self.__dict__.setdefault("_accepts", [])
        return headers


def test_item_07_documents_are_served_by_the_profile_and_fetched_as_linked_data() -> None:
    """A fetch leaves the profile out, as Mastodon's does: some frameworks answer with less if it is there."""
    server = LocalServer()
    note_id = publish(server, "hello")
    for uri in (ALICE, note_id, FOLLOWERS):
        for accept in (AS2_PROFILE, "application/activity+json"):
            response = server.request(uri, accept=accept)
            assert response.status == 200
            content_type = response.headers.get("content-type") or ""
            assert content_type.partition(";")[0] in {"application/activity+json", "application/ld+json"}
    carol = AcceptRecorder(CAROL, network=server.network)
    assert server.node.reference(CAROL).resolve().id == CAROL
    assert carol.accepts
    assert all("application/ld+json" in accept.split(", ") for accept in carol.accepts)


def test_item_08_hidden_object_is_answered_like_an_absent_one() -> None:
    server = LocalServer(authorized_fetch="optional")
    server.become_follower(server.bob)
    note_id = publish(server, "for followers", to=FOLLOWERS)
    carol = server.network.peer(CAROL)
    absent = server.request(f"{note_id}-absent", by=carol)
    hidden = server.request(note_id, by=carol)
    assert (hidden.status, hidden.body) == (absent.status, absent.body)
    assert hidden.status == 404
    assert server.request(note_id, by=server.bob).status == 200


def test_item_09_source_keeps_the_original_markup() -> None:
    server = LocalServer()
    source = Source(content="*hello*", media_type="text/markdown")
    note_id = server.node.publish(Note(content="<em>hello</em>", source=source), by="alice")
    document = server.document(note_id)
    assert document["source"] == {"content": "*hello*", "mediaType": "text/markdown"}


# --- actors and collections (4, 5) ----------------------------------------------------------------------------------


def test_item_10_actor_names_its_inbox_and_collections() -> None:
    server = LocalServer()
    actor = server.document(ALICE)
    for name in ("outbox", "following", "followers", "liked"):
        assert server.document(actor[name])["type"] in COLLECTION_TYPES
    follow = server.bob.activity("Follow", object=ALICE)
    for inbox in (actor["inbox"], actor["endpoints"]["sharedInbox"]):
        assert server.bob.deliver(server.node, follow, to=inbox).status == 202
    assert actor["preferredUsername"] == "alice"


@pytest.mark.parametrize("text", ["@bob@remote.example", "bob@remote.example", "acct:bob@remote.example", BOB])
def test_item_11_user_input_leads_to_the_id(text: str) -> None:
    server = LocalServer()
    assert server.node.run(lookup(text, policy=server.node.site().fetching)).document.id == server.bob.actor


def test_item_12_shared_inbox_shows_readers_nothing() -> None:
    server = LocalServer()
    secret = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "content": "secret", "to": ALICE}
    server.receive(server.bob, server.bob.activity("Create", object=secret, to=ALICE), to=None)
    assert len(server.activities) == 1
    for by in (None, server.bob):
        response = server.request(f"{LOCAL}/inbox", by=by)
        assert response.status == 405
        assert b"secret" not in response.body


def test_item_13_ordered_collections_are_newest_first() -> None:
    server = LocalServer()
    note_ids = []
    for number in range(4):
        note_ids.append(publish(server, str(number)))
        server.clock.pass_s(1)
    items = server.items(f"{ALICE}/outbox")
    assert [item["object"]["id"] for item in items] == list(reversed(note_ids))
    for name in ("bob", "erin", "frank"):
        server.become_follower(server.network.peer(f"https://{name}.example/users/{name}"))
        server.clock.pass_s(1)
    assert [uri.rpartition("/")[2] for uri in server.items(FOLLOWERS)] == ["frank", "erin", "bob"]


def test_item_14_outbox_shows_public_posts_without_authorization() -> None:
    server = LocalServer(authorized_fetch="optional")
    server.become_follower(server.bob)
    public_id = publish(server, "public")
    publish(server, "followers only", to=FOLLOWERS)
    publish(server, "direct", to=BOB)
    assert server.document(f"{ALICE}/outbox")["type"] == "OrderedCollection"
    for by in (None, server.network.peer(CAROL)):
        page = server.document(server.document(f"{ALICE}/outbox")["first"], by=by)
        assert [item["object"]["id"] for item in page["orderedItems"]] == [public_id]


def test_item_15_activity_that_is_delivered_twice_counts_once() -> None:
    server = LocalServer()
    like = server.bob.activity("Like", object=f"{LOCAL}/notes/1")
    for inbox in ("alice", "alice", None, "dora"):
        server.receive(server.bob, like, to=inbox)
        server.clock.pass_s(2)  # another Date, so another signature
    # Each inbox is one owner's; the shared inbox counts as one too.
    assert 1 <= len(server.activities) <= 3
    repeated = len(server.activities)
    server.receive(server.bob, like, to="alice")
    assert len(server.activities) == repeated


def test_item_17_followers_and_following_are_collections() -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    for name, count in (("followers", 1), ("following", 0)):
        collection = server.document(f"{ALICE}/{name}")
        assert collection["type"] in COLLECTION_TYPES
        assert collection["totalItems"] == count


def test_item_18_liked_likes_and_shares_are_collections() -> None:
    server = LocalServer()
    note_id = publish(server, "hello")
    note = server.document(note_id)
    for uri in (f"{ALICE}/liked", note["likes"], note["shares"]):
        assert server.document(uri if isinstance(uri, str) else uri["id"])["type"] in COLLECTION_TYPES


def test_item_19_public_is_readable_by_all_and_never_delivered_to() -> None:
    server = LocalServer(authorized_fetch="optional")
    server.become_follower(server.bob)
    note_id = publish(server, "public", to=PUBLIC_URI)
    assert server.request(note_id).status == 200
    urls = [exchange.url for exchange in server.network.exchanges]
    assert urls
    assert not any(url.startswith("https://www.w3.org/") for url in urls)
