"""Check what clients of our own users do through an outbox (ActivityPub §6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore import AsyncContext, Context, Federation
from apcore.errors import ConfigurationError
from apcore.http import Headers, Request, Response
from local_server import ALICE, BOB, FOLLOWERS, LOCAL, PUBLIC_URI, LocalServer

OUTBOX = f"{ALICE}/outbox"
AS2 = "https://www.w3.org/ns/activitystreams"
TOKENS = {"Bearer alice-token": "alice", "Bearer dora-token": "dora"}


def authenticate(ctx: Context[None], request: Request) -> str | None:
    """Return the owner of the token of a request."""
    return TOKENS.get(request.headers.get("authorization") or "")


def make_server(**options: Any) -> LocalServer:
    return LocalServer(register=lambda federation: federation.authenticate_client(authenticate), **options)


def post(
    server: LocalServer,
    members: Any,
    *,
    token: str | None = "Bearer alice-token",
    to: str = OUTBOX,
    content_type: str = f'application/ld+json; profile="{AS2}"',
) -> Response:
    """Post a document as a client does; the context is left out, as clients may."""
    headers = Headers({"Content-Type": content_type, **({} if token is None else {"Authorization": token})})
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return server.node.handle(Request("POST", to, headers, body))


def created(response: Response) -> str:
    """Return the id of the new activity."""
    assert response.status == 201, response.body
    location = response.headers.get("location")
    assert location is not None
    return location


def load(server: LocalServer, url: str) -> dict[str, Any]:
    response = server.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    assert response.status in {200, 410}, response
    document: dict[str, Any] = json.loads(response.body)
    return document


def outbox_items(server: LocalServer) -> list[str]:
    items = load(server, f"{OUTBOX}/page/first").get("orderedItems", [])
    return [item if isinstance(item, str) else item["id"] for item in items]


# --- publishing -----------------------------------------------------------------------------------------------------


def test_posted_object_is_published_with_a_create_and_delivered() -> None:
    server = make_server()
    server.become_follower(server.bob)
    note = {"type": "Note", "id": "https://evil.example/1", "content": "hello", "to": [PUBLIC_URI], "cc": [FOLLOWERS]}
    create_id = created(post(server, note))
    create = load(server, create_id)
    assert (create["type"], create["actor"], create["to"], create["cc"]) == (
        "Create",
        ALICE,
        [PUBLIC_URI],
        [FOLLOWERS],
    )
    object_ = create["object"]
    assert object_["id"].startswith(f"{ALICE}/objects/")
    assert (object_["attributedTo"], object_["to"]) == (ALICE, [PUBLIC_URI])
    assert load(server, object_["id"])["content"] == "hello"
    assert outbox_items(server) == [create_id]
    server.work()
    assert server.bob.received[-1].activity["id"] == create_id


def test_create_and_its_object_share_all_recipients() -> None:
    server = make_server()
    create = {"@context": AS2, "type": "Create", "id": "x:1", "to": BOB, "object": {"type": "Note", "bto": [FOLLOWERS]}}
    created(post(server, create))
    server.become_follower(server.bob)
    server.work()
    activity = next(r.activity for r in server.bob.received if r.activity["type"] == "Create")
    assert activity["to"] == activity["object"]["to"] == [BOB]
    assert "bto" not in json.dumps(activity)


def test_object_without_an_audience_is_published_to_nobody() -> None:
    server = make_server()
    server.become_follower(server.bob)
    create_id = created(post(server, {"type": "Note", "content": "a draft"}))
    server.work()
    assert [r for r in server.bob.received if r.activity["type"] == "Create"] == []
    assert server.node.handle(Request("GET", create_id, Headers({"Accept": "application/activity+json"}))).status == 404
    assert outbox_items(server) == []


# --- changing -------------------------------------------------------------------------------------------------------


def test_update_replaces_the_given_members_and_null_removes_one() -> None:
    server = make_server()
    note = {"type": "Note", "content": "first", "summary": "old", "name": "kept", "to": PUBLIC_URI}
    object_id = load(server, created(post(server, note)))["object"]["id"]
    update = {"type": "Update", "object": {"id": object_id, "type": "Note", "content": "second", "summary": None}}
    update_id = created(post(server, update))
    stored = load(server, object_id)
    assert (stored["content"], stored["name"], "summary" in stored) == ("second", "kept", False)
    assert load(server, update_id)["object"]["content"] == "second"


def test_delete_leaves_a_tombstone() -> None:
    server = make_server()
    object_id = load(server, created(post(server, {"type": "Note", "content": "x", "to": PUBLIC_URI})))["object"]["id"]
    created(post(server, {"type": "Delete", "object": object_id}))
    assert load(server, object_id)["type"] == "Tombstone"


def test_announce_is_listed_until_it_is_undone() -> None:
    server = make_server()
    boost = {"type": "Announce", "object": f"{BOB}/notes/1", "to": [PUBLIC_URI], "cc": [BOB]}
    boost_id = created(post(server, boost))
    assert load(server, boost_id)["object"] == f"{BOB}/notes/1"
    assert outbox_items(server) == [boost_id]
    created(post(server, {"type": "Undo", "object": boost_id, "to": [BOB]}))
    assert outbox_items(server) == []
    server.work()
    undo = next(r.activity for r in server.bob.received if r.activity["type"] == "Undo")
    assert (undo["type"], undo["object"]["type"], undo["object"]["id"]) == ("Undo", "Announce", boost_id)


def test_follow_reaches_the_actor_that_it_names() -> None:
    server = make_server()
    follow_id = created(post(server, {"type": "Follow", "object": BOB}))
    server.work()
    assert server.bob.received[-1].activity["id"] == follow_id
    server.bob.deliver(server.node, server.bob.activity("Accept", object=follow_id), to="alice")
    server.work()
    assert server.members("following") == [BOB]
    created(post(server, {"type": "Undo", "object": follow_id}))
    server.work()
    assert server.bob.received[-1].activity["type"] == "Undo"
    assert server.members("following") == []


# --- refusals -------------------------------------------------------------------------------------------------------

NOTE = {"type": "Note", "content": "x", "to": [PUBLIC_URI]}
REFUSED: dict[str, tuple[Any, int]] = {
    "no JSON": (b"{", 400),
    "a list": ([NOTE], 400),
    "no type": ({"content": "x"}, 400),
    "another actor": ({"type": "Like", "actor": BOB, "object": f"{BOB}/1"}, 403),
    "another author": ({**NOTE, "attributedTo": BOB}, 403),
    "an actor": ({"type": "Person", "inbox": f"{ALICE}/inbox", "outbox": OUTBOX}, 400),
    "a Create without an embedded object": ({"type": "Create", "object": f"{LOCAL}/notes/1"}, 400),
    "a Create of an activity": ({"type": "Create", "object": {"type": "Like", "object": BOB}}, 400),
    "a Like of nothing": ({"type": "Like"}, 400),
    "an Add without a target": ({"type": "Add", "object": BOB}, 400),
    "an Update of another server's object": ({"type": "Update", "object": {"id": f"{BOB}/1", "type": "Note"}}, 403),
    "an Update of a name": ({"type": "Update", "object": f"{ALICE}/objects/1"}, 400),
    "an Update of the application's object": (
        {"type": "Update", "object": {"id": f"{LOCAL}/notes/1", "type": "Note", "content": "y"}},
        403,
    ),
    "a Delete of the actor": ({"type": "Delete", "object": ALICE}, 403),
    "an Undo of another actor's activity": (
        {"type": "Undo", "object": {"type": "Like", "actor": BOB, "object": ALICE}},
        403,
    ),
    "an Undo of an unknown activity": ({"type": "Undo", "object": f"{ALICE}/activities/1"}, 403),
    "a key": ({**NOTE, "attachment": [{"type": "Key", "publicKeyPem": "-----"}]}, 403),
    "a signed object": ({**NOTE, "proof": {"type": "DataIntegrityProof"}}, 400),
    "a recipient that is no address": ({**NOTE, "to": ["bob"]}, 400),
    "an unknown actor of ours": ({**NOTE, "cc": [f"{LOCAL}/users/nobody"]}, 400),
    "Public in bcc": ({**NOTE, "to": [BOB], "bcc": [PUBLIC_URI]}, 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_document_gets_a_problem_and_stores_nothing(case: str) -> None:
    members, status = REFUSED[case]
    server = make_server()
    response = post(server, members)
    assert (response.status, response.headers.get("content-type")) == (status, "application/problem+json"), (
        response.body
    )
    assert json.loads(response.body)["status"] == status
    server.work()
    assert server.bob.received == []
    assert outbox_items(server) == []


@pytest.mark.parametrize(
    ("token", "to", "status"),
    [
        (None, OUTBOX, 401),
        ("Bearer wrong", OUTBOX, 401),
        ("Bearer dora-token", OUTBOX, 403),
        (None, f"{LOCAL}/users/nobody/outbox", 401),
        ("Bearer alice-token", f"{LOCAL}/users/nobody/outbox", 403),
    ],
)
def test_client_acts_only_for_the_actor_that_the_application_names(token: str | None, to: str, status: int) -> None:
    server = make_server()
    # Nothing is read before: even a body that is no JSON gets the same answer.
    for members in (NOTE, b"{"):
        response = post(server, members, token=token, to=to)
        assert response.status == status
        assert (response.headers.get("www-authenticate") is not None) == (status == 401)
    assert outbox_items(server) == []


def test_other_media_types_are_refused() -> None:
    server = make_server()
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        assert post(server, NOTE, content_type=content_type).status == 415


def test_outbox_takes_no_posts_without_a_handler() -> None:
    response = post(LocalServer(), NOTE)
    assert (response.status, response.headers.get("allow")) == (405, "GET, HEAD")


def test_second_handler_and_wrong_signature_are_refused() -> None:
    federation: Federation[None] = Federation(software="test/1.0")
    with pytest.raises(ConfigurationError, match="2 arguments"):
        federation.authenticate_client(lambda ctx: None)  # type: ignore[call-overload]
    federation.authenticate_client(authenticate)
    with pytest.raises(ConfigurationError, match="a handler already"):
        federation.authenticate_client(authenticate)


def test_coroutine_handler_belongs_to_an_async_node() -> None:
    async def slow(ctx: AsyncContext[None], request: Request) -> str | None:
        return None

    federation: Federation[None] = Federation(software="test/1.0")
    federation.authenticate_client(slow)
    assert any("slow" in finding.text for finding in federation.check(blocking=True))
