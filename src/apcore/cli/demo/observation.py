"""Observe the other server over HTTP with requests signed by an actor: collections, objects, received activities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from attrs import frozen

from apcore.cli.demo.federation import ReceivedActivity
from apcore.cli.demo.servers import Server, eventually
from apcore.cli.step_results import StepFailed
from apcore.collections import Traversal, traverse
from apcore.discovery import LookupResult, lookup
from apcore.drivers import require_port
from apcore.federation.actors.keys import signing_key
from apcore.federation.outbox.deliver import DELIVER
from apcore.federation.outbox.delivery_records import DEAD_DELIVERIES
from apcore.federation.wake_ups import FANOUT, INBOX
from apcore.remote import Identity
from apcore.vocab import Create, View

__all__ = ["DemoActor", "check_once", "is_delivered", "received_at", "wait_for", "waiting_at"]


@frozen
class DemoActor:
    """An actor of one server."""

    server: Server
    name: str

    @property
    def uri(self) -> str:
        """Return the actor's id."""
        return f"{self.server.origin}/users/{self.name}"

    @property
    def handle(self) -> str:
        """Return the actor's handle, as people write it."""
        return f"@{self.name}@{self.server.origin.partition('//')[2]}"

    def list_uri(self, name: str) -> str:
        """Return the id of a collection of this actor."""
        return f"{self.uri}/{name}"

    def send(self, activity: View, to: str) -> None:
        """Send an activity."""
        self.server.node.send(activity, by=self.name, to=to)

    def look_up(self, text: str) -> LookupResult:
        """Find an actor by handle, or a document by address."""
        site = self.server.node.site()
        return self.server.node.run(lookup(text, policy=site.fetching, identity=self._identity()))

    def read(self, collection: str) -> Traversal:
        """Read a collection page by page."""
        site = self.server.node.site()
        traversal = self.server.node.run(traverse(collection, policy=site.fetching, identity=self._identity()))
        if traversal.ended is not None:
            raise StepFailed(f"{collection} could not be read to its end: {traversal.ended}")
        return traversal

    def ids(self, collection: str) -> list[str]:
        """Return the ids in a collection."""
        return [item.uri for item in self.read(collection).items if item.uri is not None]

    def created(self, outbox: str) -> dict[str, str]:
        """Return the Creates in an outbox: a map from the id of each to the id of its object."""
        creates = [create for item in self.read(outbox).items if (create := item.claimed(Create)) is not None]
        return {
            create.document.id: create.object.uri
            for create in creates
            if create.document.id is not None and create.object is not None and create.object.uri is not None
        }

    def _identity(self) -> Identity:
        return self.server.node.run(signing_key(self.server.node.site(), self.uri)).identity(self.server.node.site())


def received_at(listener: DemoActor, watcher: DemoActor) -> list[ReceivedActivity]:
    """Return the activities that the server of ``listener`` has received, as ``watcher`` sees them."""
    return [ReceivedActivity.read(uri) for uri in watcher.ids(listener.list_uri("heard"))]


def wait_for(listener: DemoActor, watcher: DemoActor, kind: str, count: int = 1) -> list[ReceivedActivity]:
    """Wait until at least ``count`` activities of a type have been received, and return all of them."""

    def look() -> list[ReceivedActivity] | None:
        received = [activity for activity in received_at(listener, watcher) if activity.type == kind]
        return received if len(received) >= count else None

    return eventually(look, lambda: f"{listener.handle} has not received {count} x {kind}")


def check_once(received: list[ReceivedActivity], ids: Collection[str]) -> None:
    """Check that each of ``ids`` was received exactly once.

    Raises:
        StepFailed: An activity was lost, or had its effects more than once.
    """
    counts = Counter(activity.id for activity in received)
    missing = [activity_id for activity_id in ids if counts[activity_id] == 0]
    repeated = [activity_id for activity_id in ids if counts[activity_id] > 1]
    if missing or repeated:
        raise StepFailed(f"{len(missing)} of {len(ids)} activities were lost, {len(repeated)} had effects twice")


def waiting_at(server: Server, kind: str = INBOX) -> int:
    """Count the messages of a kind that are ready, delayed or leased."""
    depth = require_port(server.node.ports.queue, "queue").depth(server.node.lanes[kind])
    return depth.ready + depth.delayed + depth.leased


def is_delivered(server: Server) -> bool | None:
    """Return True if all deliveries of a server were answered with 2xx, or None while some are pending.

    Raises:
        StepFailed: A delivery failed permanently.
    """
    if waiting_at(server, FANOUT) or waiting_at(server, DELIVER):
        return None
    dead_letters = require_port(server.node.ports.store, "store").scan(DEAD_DELIVERIES.at(), limit=1)
    if dead_letters:
        raise StepFailed(f"a delivery of {server.name} failed permanently: {dead_letters[0].value[:300]!r}")
    return True
