"""Provide a server for tests of the inbox: one actor, a listener that records its activities, and a fixed clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import members_page
from apcore.effects import Effect, Fetch
from apcore.federation import DomainRules, Federation
from apcore.http import Request, Response, parse_url
from apcore.node import Elsewhere, Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
INBOX = f"{ALICE}/inbox"
SHARED = f"{HERE}/inbox"
HEARD = f"{HERE}/heard"
"""A collection to which the listener adds."""
BOB = "https://remote.example/users/bob"
CAROL = "https://third.example/users/carol"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

OWN = {"keys", "private"}
"""The kinds of record that a server stores about itself when it first needs them."""
CACHED = {"key", "document", "document-due", "document-origin", "document-owner", "budget"}
"""The kinds of record that a request of an unknown peer may leave, for a limited time."""


class Clock(BlockingRuntime):
    def __init__(self) -> None:
        super().__init__()
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Ground:
    def __init__(
        self, *, rules: DomainRules | None = None, apart: bool = False, observed: bool = True, **options: Any
    ) -> None:
        """Create the server; ``apart`` gives it a queue besides the store, ``options`` are for the federation.

        Without ``observed``, `asked` stays empty. Set `records_runs` to False for a listener that writes nothing.
        """
        self.records_runs = True
        self.heard: list[str | None] = []
        self.silenced: list[bool] = []
        self.meanwhile: list[Callable[[], object]] = []
        """Functions to run during the listener, one for each run."""
        self.listeners: list[Callable[[Any, Activity], object]] = []
        """Further listeners for every activity."""
        self.asked: list[Effect[Any]] = []
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.queue = MemoryStore(clock=self.clock.seconds) if apart else self.store
        self.bob = self.network.peer(BOB)
        self.carol = self.network.peer(CAROL)
        self.node = Node(
            self._federation(rules, options),
            HERE,
            self.store,
            queue=self.queue,
            transport=self.network,
            signer=ReusedKeys(),
            runtime=self.clock,
            observer=self._observe if observed else None,
            slots=0,
        )

    def _federation(self, rules: DomainRules | None, options: dict[str, Any]) -> Federation[None]:
        federation: Federation[None] = Federation(software="test/1.0", **options)
        if rules is not None:
            federation.blocks(rules)

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return Person(preferred_username="alice") if identifier == "alice" else None

        @federation.on(Activity)
        def arrived(ctx, activity):
            self.heard.append(ctx.activity_id)
            self.silenced.append(ctx.is_silenced)
            if not self.records_runs:
                return
            # Each run has its own name, so that the test sees an activity that is committed twice.
            ctx.append(HEARD, f"{ctx.activity_id} {len(self.heard)}")
            for listener in self.listeners:
                listener(ctx, activity)
            if self.meanwhile:
                self.meanwhile.pop(0)()

        return federation

    def _observe(self, effect: Effect[Any], place: tuple[int, ...], /) -> None:
        self.asked.append(effect)
        if isinstance(effect, Fetch):
            # In every test: each request has the node's own address policy, and stays within it.
            url, addresses = parse_url(effect.request.url), effect.request.addresses
            assert addresses == self.node.addresses
            assert addresses.target_refusal(url.origin.scheme, url.origin.host, url.origin.port) is None

    def post(self, request: Request) -> Response:
        served = self.node.handle(request)
        assert not isinstance(served, Elsewhere)
        return served

    def work(self) -> None:
        self.node.work(until_idle=True)

    def kinds(self) -> set[str]:
        """Return the first part of every key in the store: the kinds of record."""
        entries = self.store.scan((), limit=1000)
        assert len(entries) < 1000
        return {entry.key[0] for entry in entries}

    def noted(self) -> list[str]:
        """Return the sorted ids of the activities that the listener recorded through its context."""
        page = self.node.run(members_page(HEARD, limit=1000, oldest_first=True))
        return sorted(member.id.partition(" ")[0] for member in page.items)

    def collection(self, name: str) -> list[str]:
        response = self.node.handle(Request("GET", f"{ALICE}/{name}?page=true"))
        assert isinstance(response, Response)
        items: list[str] = json.loads(response.body)["orderedItems"]
        return items


def reason_of(response: Response) -> str | None:
    """Return the reason in a problem document (RFC 9457), or None for a response without a body."""
    if not response.body:
        return None
    assert response.headers.get("content-type") == "application/problem+json"
    members = json.loads(response.body)
    assert members["status"] == response.status
    assert members["type"] == "about:blank"
    assert members["title"]
    reason: str = members["reason"]
    return reason
