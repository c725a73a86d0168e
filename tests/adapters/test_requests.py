"""Who a request is from: what the server says of the connection, or a proxy of ours, and nobody else."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.requests import build_request, has_length
from apcore.adapters.wsgi import wsgi_app
from apcore.errors import RequestError
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.remote import Budgets, Rate
from apcore.signatures import cavage
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Person

FORWARDED = [
    ([], None),
    ([b"8.8.8.8"], "8.8.8.8"),
    ([b"1.1.1.1, 8.8.8.8"], "8.8.8.8"),  # what was there before, anybody may have written
    ([b"1.1.1.1", b"9.9.9.9,8.8.8.8"], "8.8.8.8"),
    ([b"8.8.8.8:51234"], "8.8.8.8"),
    ([b"2a00::1"], "2a00::1"),
    ([b"[2a00::1]"], "2a00::1"),
    ([b"[2a00::1]:51234"], "2a00::1"),
    ([b" "], ""),
    ([b"\xff"], "\xff"),
]


@pytest.mark.parametrize(("values", "client"), FORWARDED)
@pytest.mark.parametrize("trusted", [True, False])
def test_the_client_behind_a_proxy(values, client, trusted):
    made = build_request(
        method="GET",
        scheme="https",
        target="/",
        headers=[(b"Host", b"a.example"), *((b"X-Forwarded-For", value) for value in values)],
        body=b"",
        client="10.0.0.1",
        trust_proxy=trusted,
    )
    assert made.client == (client if trusted else "10.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a.example/users/bob?",
        b"a.example#",
        b"a.example?",
        b"a.example\\b",
        b"u@a.example",
        b"a.example b",
        b"a\xff",
    ],
)
@pytest.mark.parametrize("forwarded", [True, False])
def test_a_host_that_is_more_than_a_host_is_refused(host, forwarded):
    """Else who stands before the server has judged another path than the one that is served."""
    headers = [(b"Host", b"a.example"), (b"X-Forwarded-Host", host)] if forwarded else [(b"Host", host)]
    with pytest.raises(RequestError, match="Host"):
        build_request(
            method="GET", scheme="https", target="/users/alice", headers=headers, body=b"", trust_proxy=forwarded
        )


def test_a_target_with_a_fragment_is_refused():
    with pytest.raises(RequestError, match="path"):
        build_request(method="GET", scheme="https", target="/a#b", headers=[(b"Host", b"a.example")], body=b"")


@pytest.mark.parametrize("host", [b"a.example", b"a.example:8000", b"[2a00::1]:8000", b"A.example."])
def test_a_host_may_have_a_port(host):
    made = build_request(method="GET", scheme="https", target="/b?c", headers=[(b"Host", host)], body=b"")
    assert made.url == f"https://{host.decode()}/b?c"


@pytest.mark.parametrize(
    ("method", "status", "told"), [("GET", 200, True), ("GET", 404, True), ("HEAD", 200, False), ("GET", 304, False)]
)
def test_of_an_answer_without_a_body_no_length_is_told(method, status, told):
    """A cache would take it for the length of what it has stored."""
    assert has_length(method, Response(status)) is told


def federation() -> Federation[None]:
    """One that asks for one key for each client, and then no more."""
    made: Federation[None] = Federation(software="test/1.0", budgets=Budgets(client=Rate(1, 0.001)))
    made.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A"))
    return made


def signed(number: int) -> Request:
    actor = f"https://h{number}.example{number}/users/x"
    body = {"id": f"{actor}/1", "type": "Like", "actor": actor, "object": "https://ours.example/users/a"}
    request = Request(
        "POST",
        "https://ours.example/inbox",
        Headers({"content-type": "application/activity+json"}),
        json.dumps(body).encode(),
    )
    return cavage.sign(request, reuse_key("x").renamed(key_id=f"{actor}#k", owner=actor), now=datetime.now(UTC))


def over_asgi(app: Any, request: Request, client: str | None) -> bytes:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/inbox",
        "query_string": b"",
        "headers": request.headers.to_wire(),
        "client": None if client is None else (client, 51234),
    }
    asyncio.run(app(scope, receive, send))
    body: bytes = sent[1]["body"]
    return body


def over_wsgi(app: Any, request: Request, client: str | None) -> bytes:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "PATH_INFO": "/inbox",
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_LENGTH": str(len(request.body)),
    }
    environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in request.headers}
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    if client is not None:
        environ["REMOTE_ADDR"] = client
    return b"".join(app(environ, lambda status, fields: None))


@pytest.mark.parametrize(("make", "over"), [(asgi_app, over_asgi), (wsgi_app, over_wsgi)], ids=["asgi", "wsgi"])
def test_a_client_is_held_to_its_budget_and_no_other_is(make, over):
    app = make(
        federation(), "https://ours.example", MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys(), worker=False
    )
    clients = ["8.8.8.8", "8.8.8.8", "9.9.9.9", "9.9.9.9", "2a00::1", "2a00::2", None, None, "10.0.0.1", "10.0.0.1"]
    reasons = [json.loads(over(app, signed(number), client))["reason"] for number, client in enumerate(clients)]
    asked, spent = "key-unavailable", "budget-spent"
    assert reasons == [asked, spent, asked, spent, asked, spent, asked, asked, asked, asked]
