"""Provide a server with two actors that publish, and read the state that side effects change."""

from __future__ import annotations

import json
from typing import Any

from apcore.federation import DomainRules, Federation
from apcore.http import Request, Response
from apcore.vocab import Activity, Note, Person, View
from inbox_fixture import ALICE, HERE, Ground

DORA = f"{HERE}/users/dora"
AS2 = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{AS2}#Public"
MANAGED_KINDS = {"c", "relation", "vote", "followed", "interaction", "obj", "doc-changed", "gone"}
"""The kinds of record that side effects change. ``c`` are the members of collections."""


class Servers(Ground):
    """The server with the actors alice and dora, and its peers bob and carol."""

    def _federation(self, rules: DomainRules | None, options: dict[str, Any]) -> Federation[None]:
        federation: Federation[None] = Federation(software="test/1.0")

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return Person(preferred_username=identifier) if identifier in {"alice", "dora"} else None

        @federation.on(Activity)
        def heard(ctx, activity):
            self.heard.append(ctx.activity_id)
            if self.meanwhile:
                self.meanwhile.pop(0)()

        self.register(federation, options)
        return federation

    def register(self, federation: Federation[None], options: dict[str, Any]) -> None:
        """Make the choices of a test."""
        for name in options.get("off", ()):
            federation.switch_off(name)

    def publish(self, *, to: str | None = None, by: str = "alice", **members: Any) -> str:
        return self.node.publish(Note(content="hello", **members), by=by, to=to)

    def receive(self, sender: Any, activity: dict[str, Any]) -> int:
        """Deliver an activity to alice, process it, and return the status of the answer."""
        response = sender.deliver(self.node, activity, to="alice")
        self.work()
        return int(response.status)

    def send(self, activity: View, *, by: str = "alice", to: Any = ()) -> str:
        return self.node.send(activity, by=by, to=to)

    def state(self) -> dict[tuple[str, ...], bytes]:
        """Return the stored entries that side effects change."""
        entries = self.store.scan((), limit=1000)
        assert len(entries) < 1000
        return {tuple(entry.key): entry.value for entry in entries if entry.key[0] in MANAGED_KINDS}

    def get(self, url: str) -> dict[str, Any]:
        response = self.node.handle(Request("GET", url))
        assert isinstance(response, Response)
        assert response.status == 200, response.body
        document: dict[str, Any] = json.loads(response.body)
        return document

    def status(self, url: str) -> int:
        response = self.node.handle(Request("GET", url))
        assert isinstance(response, Response)
        return response.status

    def listed(self, collection: str) -> list[str]:
        """Return the items of the first page of a collection that is served."""
        items: list[str] = self.get(self.get(collection)["first"])["orderedItems"]
        return items

    def total(self, collection: str) -> int:
        number: int = self.get(collection)["totalItems"]
        return number


__all__ = ["ALICE", "AS2", "DORA", "HERE", "PUBLIC", "Servers"]
