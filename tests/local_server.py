"""Provide a server with the actor alice beside the peer bob, on a network without sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apcore import DomainRules, Federation, FollowVerdict, Node
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.http import ACTIVITY_JSON, Headers, Request, Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Activity, Note, Person

__all__ = ["ALICE", "BOB", "CAROL", "FOLLOWERS", "LOCAL", "PUBLIC_URI", "REMOTE", "LocalServer", "MovableClock"]

LOCAL, REMOTE = "https://local.example", "https://remote.example"
ALICE, BOB, CAROL = f"{LOCAL}/users/alice", f"{REMOTE}/users/bob", "https://third.example/users/carol"
FOLLOWERS = f"{ALICE}/followers"
PUBLIC_URI = "https://www.w3.org/ns/activitystreams#Public"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class MovableClock(BlockingRuntime):
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment

    def seconds(self) -> float:
        return self.moment.timestamp()

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class LocalServer:
    """A server with the actors alice and dora, which records the activities that its listeners get.

    ``beside`` is another server, whose network, clock and peer this one shares. ``register`` adds to the federation
    before the node is made. Further options are for the federation.
    """

    def __init__(
        self,
        *,
        beside: LocalServer | None = None,
        origin: str = LOCAL,
        verdict: FollowVerdict = FollowVerdict.ACCEPT,
        rules: DomainRules | None = None,
        register: Callable[[Federation[None]], object] | None = None,
        **options: Any,
    ) -> None:
        self.clock = MovableClock() if beside is None else beside.clock
        self.network = PeerNetwork(clock=self.clock.now) if beside is None else beside.network
        self.bob: Peer = self.network.peer(BOB) if beside is None else beside.bob
        self.origin = origin
        self.alice = f"{origin}/users/alice"
        self.activities: list[Activity] = []
        """The activities that reached a listener."""
        self.federation: Federation[None] = Federation(software="test/1.0", **options)
        self.federation.follows(verdict)
        if rules is not None:
            self.federation.blocks(rules)
        self.federation.actor("/users/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=identifier) if identifier in {"alice", "dora"} else None
        )
        self.federation.object(Note, "/notes/{number}")(
            lambda ctx, number: Note(content="stored by the application") if number == "1" else None
        )
        self.federation.on(Activity)(lambda ctx, activity: self.activities.append(activity))
        if register is not None:
            register(self.federation)
        self.node = Node(
            self.federation,
            origin,
            MemoryStore(clock=self.clock.seconds),
            transport=self.network,
            signer=ReusedKeys(),
            runtime=self.clock,
        )
        self.network.join(self.node)

    def work(self) -> None:
        """Work until nothing is due."""
        for _ in range(3):
            _ = self.node.work(until_idle=True)

    def receive(self, peer: Peer, activity: dict[str, Any], *, to: str | None = "alice") -> None:
        """Deliver an activity of a peer, which is accepted, and work."""
        response = peer.deliver(self.node, activity, to=to)
        assert response.status == 202, response.body
        self.work()

    def become_follower(self, peer: Peer, *, to: str = "alice") -> dict[str, Any]:
        """Let a peer follow an actor of this server, and return its Follow."""
        follow = peer.activity("Follow", object=f"{self.origin}/users/{to}")
        self.receive(peer, follow, to=to)
        return follow

    def request(
        self, url: str, *, by: Peer | None = None, method: str = "GET", accept: str = ACTIVITY_JSON
    ) -> Response:
        """Return the response to a request, signed if ``by`` is a peer."""
        request = Request(method, url, Headers({"Accept": accept}))
        served = self.node.handle(request if by is None else by.sign(request))
        assert isinstance(served, Response), served
        return served

    def document(self, url: str, *, by: Peer | None = None) -> dict[str, Any]:
        """Return the document that is served at a URL."""
        response = self.request(url, by=by)
        assert response.status == 200, response.body
        document: dict[str, Any] = json.loads(response.body)
        return document

    def items(self, url: str) -> list[Any]:
        """Return the items on the first page of a collection; none if it has no page."""
        collection = self.document(url)
        page = self.document(collection["first"]) if isinstance(collection.get("first"), str) else collection
        items: list[Any] = page.get("orderedItems", page.get("items", []))
        return items

    def members(self, name: str, *, identifier: str = "alice") -> list[str]:
        """Return the members of a managed collection of an actor."""
        return list(self.node.members(f"{self.origin}/users/{identifier}/{name}").items)
