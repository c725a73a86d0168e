"""Check bodies that are made to be slow: an inbox refuses each in bounded CPU time and stores nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import context_grammar as grammar
import cpu_budget
from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.vocab import Person
from inbox_fixture import ALICE, BOB, HERE, INBOX, OWN, Ground

AS = grammar.AS
CHAIN = {f"c{n}": f"c{n + 1}:x" for n in range(400)} | {"c400": "https://x.example/#"}
REPEATED = {"T": {"@id": "https://x.example/T", "@context": [grammar.SCHEMA] * 200}}


def activity(context: Any, **members: Any) -> dict[str, Any]:
    return {"@context": context, "id": f"{BOB}/1", "type": "Create", "actor": BOB, "as:name": "x", **members}


def signature() -> dict[str, Any]:
    return {
        "type": "RsaSignature2017",
        "creator": f"{BOB}#main-key",
        "created": "2026-01-01T00:00:00Z",
        "signatureValue": "AAAA",
    }


BODIES = {
    "a chain": activity([AS, CHAIN]),
    "a chain with a signature": activity([AS, CHAIN], signature=signature()),
    "repeated in a scope": activity([AS, REPEATED], tag=[{"type": "T"}] * 100),
    "repeated at the top": activity([AS, *[grammar.SCHEMA] * 2_000]),
}


def request(body: bytes) -> Request:
    return Request("POST", INBOX, Headers({"Content-Type": "application/activity+json"}), body)


@pytest.mark.parametrize("name", BODIES)
def test_slow_body_is_refused_by_the_node(name):
    ground = Ground()
    body = json.dumps(BODIES[name]).encode()
    spent_ms = cpu_budget.cpu_ms(lambda: ground.post(request(body)))
    response = ground.post(request(body))
    assert response.status == 413
    assert json.loads(response.body)["status"] == 413
    assert ground.kinds() <= OWN
    assert cpu_budget.excess(body, lambda data: ground.post(request(data)), spent_ms) <= 1


def test_bodies_of_the_grammar_are_answered_in_bounded_time():
    ground = Ground()
    for number in range(30):
        body = grammar.document(88, number)
        spent_ms = cpu_budget.cpu_ms(lambda body=body: ground.post(request(body)))
        # 503: it names a key at a host that does not answer.
        assert ground.post(request(body)).status in {*range(400, 500), 503}
        assert cpu_budget.excess(body, lambda data: ground.post(request(data)), spent_ms) <= 1, number


@pytest.mark.parametrize("name", BODIES)
def test_slow_body_is_refused_over_asgi(name):
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A"))
    app = asgi_app(federation, HERE, MemoryStore(), worker=False)
    path = ALICE.removeprefix(HERE) + "/inbox"
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"local.example"), (b"content-type", b"application/activity+json")],
    }
    sent: list[dict[str, Any]] = []

    async def receive():
        return {"type": "http.request", "body": json.dumps(BODIES[name]).encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("context", [[AS, CHAIN], [AS, REPEATED], [AS, *[grammar.SCHEMA] * 2_000]])
def test_slow_actor_document_fails_only_its_own_signature(context):
    ground = Ground()
    document = {"@context": context, "id": BOB, "type": "Person", "as:name": "x", "tag": [{"type": "T"}] * 100}
    ground.bob.serve(BOB, document)
    delivery = ground.bob.request({"id": f"{BOB}/1", "type": "Create", "actor": BOB, "object": f"{BOB}/2"}, INBOX)
    assert 400 <= ground.post(delivery).status < 500
    assert not ground.heard
