"""What an actor sees of the other server, asked over HTTP and signed as that actor: lists, objects, what was heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Several

from attrs import frozen

from apcore.cli.demo.federation import Heard
from apcore.cli.demo.servers import Server, eventually
from apcore.cli.step_results import StepFailed
from apcore.collections import Traversal, traverse
from apcore.discovery import LookupResult, lookup
from apcore.drivers import require_port
from apcore.federation.actors.keys import signing_key
from apcore.federation.inbox.receive import INBOX
from apcore.federation.outbox.deliver import DELIVER
from apcore.federation.outbox.pending_writes import FANOUT
from apcore.remote import Identity
from apcore.vocab import Create, View

__all__ = ["Player", "acknowledged", "check_once", "heard_at", "hears", "waiting_at"]


@frozen
class Player:
    """An actor of one server."""

    server: Server
    name: str

    @property
    def uri(self) -> str:
        """The actor's id."""
        return f"{self.server.origin}/users/{self.name}"

    @property
    def handle(self) -> str:
        """What people write."""
        return f"@{self.name}@{self.server.origin.partition('//')[2]}"

    def list_uri(self, name: str) -> str:
        """The id of a collection of this actor."""
        return f"{self.uri}/{name}"

    def send(self, activity: View, to: str) -> None:
        """Send an activity."""
        self.server.node.send(activity, by=self.name, to=to)

    def look_up(self, what: str) -> LookupResult:
        """Find somebody by handle or address."""
        site = self.server.node.site()
        return self.server.node.run(lookup(what, policy=site.fetching, identity=self._identity()))

    def read(self, collection: str) -> Traversal:
        """Read a collection page by page."""
        site = self.server.node.site()
        read = self.server.node.run(traverse(collection, policy=site.fetching, identity=self._identity()))
        if read.ended is not None:
            raise StepFailed(f"{collection} could not be read to its end: {read.ended}")
        return read

    def ids(self, collection: str) -> list[str]:
        """Return the ids in a collection."""
        return [item.uri for item in self.read(collection).items if item.uri is not None]

    def created(self, outbox: str) -> dict[str, str]:
        """Return what an outbox says was created: the ids of the Creates, and of what they are about."""
        found = [each for item in self.read(outbox).items if (each := item.claimed(Create)) is not None]
        return {
            create.document.id: create.object.uri
            for create in found
            if create.document.id is not None and create.object is not None and create.object.uri is not None
        }

    def _identity(self) -> Identity:
        return self.server.node.run(signing_key(self.server.node.site(), self.uri)).identity(self.server.node.site())


def heard_at(listener: Player, watcher: Player) -> list[Heard]:
    """Return what a listener's server has heard, as ``watcher`` sees it."""
    return [Heard.read(uri) for uri in watcher.ids(listener.list_uri("heard"))]


def hears(listener: Player, watcher: Player, kind: str, count: int = 1) -> list[Heard]:
    """Wait until so many activities of a type have been heard; answers all of them."""

    def look() -> list[Heard] | None:
        found = [each for each in heard_at(listener, watcher) if each.type == kind]
        return found if len(found) >= count else None

    return eventually(look, lambda: f"{listener.handle} has not heard {count} x {kind}")


def check_once(heard: list[Heard], ids: Several[str]) -> None:
    """Fail unless each of ``ids`` was heard exactly once."""
    counted = Counter(each.id for each in heard)
    missing = [each for each in ids if counted[each] == 0]
    doubled = [each for each in ids if counted[each] > 1]
    if missing or doubled:
        raise StepFailed(f"{len(missing)} of {len(ids)} activities were lost, {len(doubled)} had effects twice")


def waiting_at(server: Server, kind: str = INBOX) -> int:
    """Count the messages of a kind that wait, or are being worked on."""
    depth = require_port(server.node.ports.queue, "queue").depth(server.node.lanes[kind])
    return depth.ready + depth.delayed + depth.leased


def acknowledged(server: Server) -> bool | None:
    """Whether everything that a server had to deliver was answered with 2xx; None while something is left."""
    if waiting_at(server, FANOUT) or waiting_at(server, DELIVER):
        return None
    dead = require_port(server.node.ports.store, "store").scan(("dead", "1", "out"), limit=1)
    if dead:
        raise StepFailed(f"a delivery of {server.name} was refused for good: {dead[0].value[:300]!r}")
    return True
