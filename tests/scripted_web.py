"""Provide a web of scripted responses, a store in memory and a manual clock, for operations that fetch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, run
from apcore.effects import Op
from apcore.errors import ConnectFailed
from apcore.http import ACTIVITY_JSON, Request, Response
from apcore.ports import KeyKind, MadeKey

T = TypeVar("T")
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
Answer = Response | Exception | Callable[[Request], Response]


def document(
    members: Mapping[str, Any], *, content_type: str = ACTIVITY_JSON, status: int = 200, **headers: str
) -> Response:
    """Return a response with a JSON document; underscores in header names become hyphens."""
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"Content-Type": content_type, **given_headers}, json.dumps(members).encode())


def redirect(location: str, status: int = 302) -> Response:
    return Response(status, {"Location": location})


class _ManualRuntime(BlockingRuntime):
    """A clock that stands until a test moves it, and reproducible random bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = NOON
        self._count = 0

    def now(self) -> datetime:
        return self.moment

    def random_bytes(self, count: int, /) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")


class ScriptedWeb:
    """A web that answers from a table of URLs, refuses other connections, and records every request."""

    checks_addresses = "enforced"

    def __init__(self, pages: Mapping[str, Answer] | None = None) -> None:
        self.pages: dict[str, Answer] = dict(pages or {})
        self.requests: list[Request] = []
        self.runtime = _ManualRuntime()
        self.store = MemoryStore(clock=self.clock)

    # --- a transport --------------------------------------------------------------------------------------------

    def send(self, request: Request, /) -> Response:
        self.requests.append(request)
        answer = self.pages.get(request.url)
        if answer is None:
            raise ConnectFailed(f"nothing at {request.url}")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    # --- a signer -----------------------------------------------------------------------------------------------

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return key_name.encode() + b" signed " + data

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        return MadeKey(kind, kind, b"public")

    def drop_key(self, key_name: str, /) -> bool:
        return False

    # --- for tests ----------------------------------------------------------------------------------------------

    def run(self, op: Op[T]) -> T:
        return run(op, Ports(runtime=self.runtime, store=self.store, transport=self, signer=self))

    def clock(self) -> float:
        return self.runtime.moment.timestamp()

    def pass_s(self, seconds: float) -> None:
        self.runtime.moment += timedelta(seconds=seconds)

    def asked(self) -> list[str]:
        """Return the URLs that were requested since the last call."""
        urls = [request.url for request in self.requests]
        self.requests.clear()
        return urls
