"""Check that the ASGI and WSGI applications answer any request from a server, and never raise."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.wsgi import wsgi_app
from apcore.federation import Federation
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.http import AddressPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person
from doors import ServerApp, on_wire

ORIGIN = "http://local.example"
INBOX = f"{ORIGIN}/users/alice/inbox"
STATUSES = {200, 202, 400, 401, 403, 404, 405, 406, 413, 415, 421, 503}
network = PeerNetwork()
bob = network.peer("http://remote.example/users/bob")
processed_ids: list[str] = []


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A") if identifier == "alice" else None)
    rules.on(Activity)(lambda ctx, activity: processed_ids.append(activity.id))
    return rules


OPTIONS = {"transport": network, "signer": ReusedKeys(), "addresses": AddressPolicy(plain_http=True)}
ASGI = asgi_app(federation(), ORIGIN, MemoryStore(), worker=False, **OPTIONS)
WSGI = wsgi_app(federation(), ORIGIN, MemoryStore(), worker=False, runtime=BlockingRuntime(), **OPTIONS)


SERVER = ServerApp(federation(), ORIGIN, MemoryStore(), **OPTIONS)


def over_asgi(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(ASGI(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def over_wsgi(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, bytes]:
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value.decode("latin-1")
    environ.setdefault("CONTENT_LENGTH", str(len(body)))
    statuses = []
    body = b"".join(WSGI(environ, lambda status, headers: statuses.append(int(status[:3]))))
    return statuses[0], body


def over_server(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, bytes]:
    target = path + b"?" + query if query else path
    status, _, answer = SERVER.serve_one(on_wire(method, target, headers, body), scheme="http")
    return status, answer


each_door = pytest.mark.parametrize("door", [over_asgi, over_wsgi, over_server], ids=["asgi", "wsgi", "http.server"])


def valid_request(number: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    request = bob.request(bob.activity("Like", id=f"{bob.actor}/{number}", object=INBOX), INBOX)
    return request.headers.to_wire(), request.body


@each_door
def test_valid_delivery_is_accepted(door):
    headers, body = valid_request(0)
    assert door("POST", b"/users/alice/inbox", b"", headers, body) == (202, b"")


BYTES = st.binary(max_size=20) | st.sampled_from(
    [b"", b"local.example", b"local.example:0", b"[::1", b"a, b", b"\r\n", b"\xff", b"a@b", b"-1", b"1e9"]
)
NAMES = st.sampled_from(
    [
        b"host",
        b"content-length",
        b"content-type",
        b"signature",
        b"date",
        b"digest",
        b"x-forwarded-host",
        b"accept",
        b"cookie",
    ]
)
PATHS = st.sampled_from(
    [
        b"/users/alice/inbox",
        b"/inbox",
        b"/users/alice",
        b"/users/alice/outbox",
        b"/users/%ff/inbox",
        b"/users/%00",
        b"/users//inbox",
        b"//inbox",
        b"/actor",
    ]
) | st.binary(max_size=9).map(lambda tail: b"/users/" + tail)
METHODS = st.sampled_from(["POST", "GET", "HEAD", "PUT", "OPTIONS", "BREW", "post"])


@each_door
@given(
    method=METHODS,
    path=PATHS,
    query=st.sampled_from([b"", b"page=true&cursor=x", b"page", b"a=%", b"resource=acct:alice@local.example"])
    | st.binary(max_size=6),
    changes=st.lists(st.tuples(NAMES, BYTES, st.booleans()), max_size=3),
)
@settings(max_examples=250)
def test_any_request_gets_a_known_status(door, method, path, query, changes):
    headers, body = valid_request(1)
    for name, value, is_added in changes:
        headers = [*(pair for pair in headers if is_added or pair[0] != name), (name, value)]
    status, answer = door(method, path, query, headers, body)
    assert status in STATUSES
    if status >= 400 and method != "HEAD":
        assert json.loads(answer)["reason"]


@each_door
@pytest.mark.parametrize("size", [BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 3 * BODY_BYTES_MAX])
def test_body_is_read_up_to_the_limit(door, size):
    headers, _ = valid_request(2)
    status, answer = door("POST", b"/users/alice/inbox", b"", headers, b" " * size)
    assert (status, json.loads(answer)["reason"]) == (
        (400, "bad-request") if size == BODY_BYTES_MAX else (413, "limit")
    )


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"CONTENT_LENGTH": "many"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": None}, 400),
        ({"PATH_INFO": "/users/\xff/inbox"}, 404),
        ({"PATH_INFO": ""}, 404),
        ({"REQUEST_URI": "http://local.example/inbox"}, 400),
        ({"REQUEST_URI": "*"}, 400),
        ({"HTTP_HOST": None}, 400),
    ],
)
def test_missing_or_malformed_wsgi_values_are_answered(environ, status):
    values = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/inbox",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/activity+json",
        "HTTP_HOST": "local.example",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b""),
    } | environ
    statuses = []
    WSGI(
        {name: value for name, value in values.items() if value is not None},
        lambda status, headers: statuses.append(status),
    )
    assert int(statuses[0][:3]) == status
