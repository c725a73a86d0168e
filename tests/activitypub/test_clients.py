"""Hold apcore to the ActivityPub Recommendation, section 6: posts of clients to an outbox.

The number in the name of a test is that of an item in `test_checklist.py`. The effects of each activity are those of
`test_outboxes.py`; `tests/federation/test_clients.py` has the refusals.
"""

from __future__ import annotations

import json

from apcore.http import Headers, Request
from local_server import ALICE, LOCAL, PUBLIC_URI, LocalServer

LD_JSON = 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'


def make_server() -> LocalServer:
    return LocalServer(
        register=lambda federation: federation.authenticate_client(
            lambda ctx, request: "alice" if request.headers.get("authorization") == "Bearer token" else None
        )
    )


def post(server: LocalServer, *, content_type: str = LD_JSON, token: str = "token") -> tuple[int, str | None]:
    """Post a note to the outbox that the actor's document names; return the status and the new id."""
    actor = server.node.handle(Request("GET", ALICE, Headers({"Accept": LD_JSON})))
    headers = Headers({"Content-Type": content_type, "Authorization": f"Bearer {token}"})
    body = json.dumps({"id": "https://client.example/1", "type": "Note", "content": "x", "to": PUBLIC_URI}).encode()
    response = server.node.handle(Request("POST", json.loads(actor.body)["outbox"], headers, body))
    return response.status, response.headers.get("location")


def test_item_20_client_posts_both_media_types_to_the_outbox_of_the_profile() -> None:
    server = make_server()
    assert [post(server, content_type=name)[0] for name in (LD_JSON, "application/activity+json")] == [201, 201]


def test_item_21_only_the_owner_of_the_outbox_posts_to_it() -> None:
    assert post(make_server(), token="another")[0] == 401


def test_item_23_activity_gets_a_new_id_which_the_answer_names() -> None:
    server = make_server()
    status, location = post(server)
    assert status == 201
    assert location is not None
    assert location.startswith(f"{LOCAL}/users/alice/activities/")
    created = server.node.handle(Request("GET", location, Headers({"Accept": LD_JSON})))
    assert (created.status, json.loads(created.body)["id"]) == (200, location)
