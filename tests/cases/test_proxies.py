"""Try a proxy that does not pass the host on (LemmyNet/lemmy#6581): the operator has to learn of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from apcore import Federation
from apcore.adapters.asgi import asgi_app
from apcore.vocab import Person
from local_server import LOCAL


def test_inbox_at_a_foreign_host_is_told_to_the_operator_and_may_be_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    app = asgi_app(federation, LOCAL, "memory:", worker=False)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/users/alice/inbox",
        "raw_path": b"/users/alice/inbox",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/activity+json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    with caplog.at_level(logging.WARNING):
        asyncio.run(app(scope, receive, send))
    (warning,) = [record.getMessage() for record in caplog.records if "127.0.0.1:8000" in record.getMessage()]
    assert "local.example" in warning
    assert "trust_proxy" in warning
    assert messages[0]["status"] == 503
