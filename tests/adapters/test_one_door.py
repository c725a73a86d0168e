"""Check that every adapter asks the same two methods of a node, so a peer gets the same page behind each."""

from __future__ import annotations

import ast
import asyncio
from http import HTTPStatus
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.wsgi import _reason_phrase, wsgi_app
from apcore.federation import Federation
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.http import Response
from apcore.node import AsyncNode, Elsewhere, IncomingRequest, Node, RequestHead
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Person
from doors import ServerApp, ask_asgi, ask_server, ask_wsgi, documented_adapter

ORIGIN = "https://ours.example"
AP = "application/activity+json"
HOST = ("host", "ours.example")
ADAPTER_LINES_MAX = 60


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A") if identifier == "alice" else None)
    return rules


KEYS = ReusedKeys()
STORE = MemoryStore()  # one for all of them, so that an actor has the same keys
ADAPTERS = {
    (make, ask): make(federation(), ORIGIN, STORE, worker=False, signer=KEYS)
    for make, ask in ((asgi_app, ask_asgi), (wsgi_app, ask_wsgi), (ServerApp, ask_server))
}


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status"),
    [
        pytest.param("GET", "/users/alice", [HOST, ("accept", AP)], b"", 200, id="actor"),
        pytest.param("HEAD", "/users/alice", [HOST, ("accept", AP)], b"", 200, id="head"),
        pytest.param("GET", "/users/alice", [HOST, ("accept", "text/html")], b"", 406, id="not-acceptable"),
        pytest.param("GET", "/users/bob", [HOST], b"", 404, id="no-actor"),
        pytest.param("GET", "/robots.txt", [HOST], b"", 404, id="not-ours"),
        pytest.param("HEAD", "/robots.txt", [HOST], b"", 404, id="head-not-ours"),
        pytest.param("GET", "/.well-known/nodeinfo", [HOST], b"", 200, id="nodeinfo"),
        pytest.param("GET", "/users/alice", [("host", "other.example")], b"", 421, id="misdirected"),
        pytest.param("POST", "/inbox", [("host", "other.example")], b"{}", 503, id="misdirected-delivery"),
        pytest.param("GET", "/users/alice", [], b"", 400, id="no-host"),
        pytest.param("DELETE", "/users/alice", [HOST], b"", 405, id="method"),
        pytest.param("HEAD", "/inbox", [HOST], b"", 405, id="head-of-an-inbox"),
        pytest.param("POST", "/inbox", [HOST, ("content-type", "text/plain")], b"x", 415, id="media-type"),
        pytest.param("POST", "/inbox", [HOST, ("content-type", AP)], b"{}", 400, id="no-activity"),
        pytest.param("POST", "/inbox", [HOST, ("content-type", AP)], b" " * (BODY_BYTES_MAX + 1), 413, id="too-long"),
        pytest.param("POST", "/users/bob/inbox", [HOST, ("content-type", AP)], b"{}", 404, id="no-inbox"),
    ],
)
def test_page_is_the_same_behind_every_adapter(method, target, headers, body, status):
    pages = []
    for (_, ask), app in ADAPTERS.items():
        answer = ask(app, method, target, headers, body)
        fields = {name: value for name, value in answer.headers.items() if name not in {"server", "date"}}
        pages.append((answer.status, fields, answer.body))
    assert pages[0][0] == status
    assert pages == [pages[0]] * len(ADAPTERS)


def test_documented_adapter_is_short_and_imports_only_public_names():
    source = documented_adapter().strip()
    assert len(source.splitlines()) < ADAPTER_LINES_MAX
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    from_apcore = [node for node in imports if str(node.module).startswith("apcore")]
    assert from_apcore
    for node in from_apcore:
        assert {alias.name for alias in node.names} <= set(import_module(str(node.module)).__all__)


# --- before and after the body --------------------------------------------------------------------------------------


def head(method="POST", target="/inbox", *, host=b"ours.example", fields=()) -> RequestHead:
    return RequestHead(method=method, scheme="https", target=target, headers=[(b"Host", host), *fields])


@pytest.fixture(scope="module")
def node():
    with Node(federation(), ORIGIN, MemoryStore(), signer=KEYS) as node:
        yield node


@pytest.mark.parametrize(
    ("request_head", "length"),
    [
        pytest.param(head("GET", "/users/alice", fields=[(b"Content-Length", b"7")]), 0, id="get"),
        pytest.param(head("HEAD", "/users/alice"), 0, id="head"),
        pytest.param(head(fields=[(b"Content-Length", b"7")]), 7, id="announced"),
        pytest.param(head(), None, id="chunks"),
        pytest.param(head(fields=[(b"Content-Length", b"many")]), 0, id="no-number"),
        pytest.param(head(fields=[(b"Content-Length", str(BODY_BYTES_MAX).encode())]), BODY_BYTES_MAX, id="longest"),
        pytest.param(head(fields=[(b"Content-Length", str(BODY_BYTES_MAX + 1).encode())]), 0, id="too-long"),
        pytest.param(head(host=b"a b"), 0, id="refused"),
    ],
)
def test_body_is_read_as_far_as_it_may_be_needed(node, request_head, length):
    incoming = node.match(request_head)
    assert isinstance(incoming, IncomingRequest)
    assert (incoming.body_length, incoming.body_bytes_max) == (length, BODY_BYTES_MAX)


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        pytest.param([], None, 400, id="broken-off"),
        pytest.param([(b"Content-Length", b"5")], b"1234", 400, id="short"),
        pytest.param([], b" " * (BODY_BYTES_MAX + 1), 413, id="too-long"),
    ],
)
def test_body_that_is_not_whole_is_refused(node, fields, body, status):
    response = node.respond(node.match(head(fields=fields)), body)
    assert (response.status, response.headers.get("content-type")) == (status, "application/problem+json")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "get", "BREW"]),
    target=st.sampled_from(["/inbox", "/users/alice", "/users/alice/inbox", "/users/alice/outbox", "/actor", "/x"]),
    accept=st.sampled_from([b"text/html", b"*/*", AP.encode(), b"text/html, */*;q=0.8"]),
    has_pages=st.booleans(),
)
@settings(max_examples=60)
def test_request_is_left_to_the_site_only_with_an_unread_body(node, method, target, accept, has_pages):
    incoming = node.match(head(method, target, fields=[(b"Accept", accept)]), has_pages=has_pages)
    if isinstance(incoming, Elsewhere):
        return
    response = node.respond(incoming, b"")
    assert incoming.body_length == 0 or isinstance(response, Response)


def test_both_nodes_answer_alike(node):
    async def ask(request_head: RequestHead) -> object:
        async with AsyncNode(federation(), ORIGIN, MemoryStore(), signer=KEYS) as other:
            incoming = other.match(request_head)
            return incoming if isinstance(incoming, Elsewhere) else await other.respond(incoming, b"{}")

    for request_head in (head("GET", "/users/bob"), head("GET", "/x"), head(host=b"x.example"), head(), head("PUT")):
        incoming = node.match(request_head)
        outcome = incoming if isinstance(incoming, Elsewhere) else node.respond(incoming, b"{}")
        assert asyncio.run(ask(request_head)) == outcome


# --- WSGI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 299, 304, 404, 405, 413, 421, 499, 503, 599])
def test_status_line_has_the_registered_phrase_or_that_of_its_class(status):
    codes = {code.value: code.phrase for code in HTTPStatus}
    assert _reason_phrase(status) == codes.get(status, codes[status // 100 * 100])
