"""Try handles that public bug reports could not look up."""

from __future__ import annotations

import json

import pytest

from apcore import Federation, Node
from apcore.discovery import lookup
from apcore.http import ACTIVITY_JSON, Headers, Request, Response
from apcore.remote import FetchPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Person
from local_server import BOB, LOCAL

ACTOR = {
    "@context": "https://www.w3.org/ns/activitystreams",
    "id": BOB,
    "type": "Person",
    "preferredUsername": "bob",
    "inbox": f"{BOB}/inbox",
    "outbox": f"{BOB}/outbox",
}
DESCRIPTOR = {
    "subject": "acct:bob@remote.example",
    "links": [{"rel": "self", "type": ACTIVITY_JSON, "href": BOB}],
}


class StaticHost:
    """A transport to a host of static files, which gives WebFinger's answer any media type, or none."""

    checks_addresses = "enforced"
    never_waits = True

    def __init__(self, media_type: str | None) -> None:
        self.headers = Headers({"Content-Type": media_type} if media_type is not None else {})

    def send(self, request: Request) -> Response:
        if "/.well-known/webfinger" in request.url:
            return Response(200, self.headers, json.dumps(DESCRIPTOR).encode())
        if request.url == BOB:
            return Response(200, Headers({"Content-Type": ACTIVITY_JSON}), json.dumps(ACTOR).encode())
        return Response(404)

    def close(self) -> None:
        """Do nothing: no connection is open."""


# mastodon/mastodon#11191, webfinger/webfinger.net#30
@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", None])
def test_webfinger_answer_of_a_static_host_is_read(media_type: str | None) -> None:
    host = StaticHost(media_type)
    node: Node[None] = Node(Federation(software="test/1.0"), None, "memory:", transport=host, signer=ReusedKeys())
    assert str(node.run(lookup("@bob@remote.example", policy=FetchPolicy())).acct) == "acct:bob@remote.example"


# fedify-dev/fedify#164, writefreely/writefreely#226
def test_actor_is_found_by_a_username_that_is_not_its_identifier() -> None:
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/ap/{identifier}")(
        lambda ctx, identifier: Person(preferred_username="alice") if identifier == "3f2c" else None
    )
    federation.handle(lambda ctx, username: {"alice": "3f2c"}.get(username))
    node = Node(federation, LOCAL, "memory:", transport=PeerNetwork(), signer=ReusedKeys())
    subjects = []
    for resource in ("acct:alice@local.example", f"{LOCAL}/ap/3f2c"):
        response = node.handle(Request("GET", f"{LOCAL}/.well-known/webfinger?resource={resource}"))
        assert isinstance(response, Response)
        assert response.status == 200
        subjects.append(json.loads(response.body)["subject"])
    assert subjects == ["acct:alice@local.example"] * 2
