"""Provide collections of another server for tests: their documents, and a crash at any effect of an operation."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, quote

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.effects import Op
from apcore.federation import Federation
from apcore.http import Request, Response, parse_url
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person

T = TypeVar("T")
AS2 = "https://www.w3.org/ns/activitystreams"
HERE = "https://source.example"
OUTBOX = f"{HERE}/outbox"


def root(**members: Any) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": OUTBOX,
        "type": "OrderedCollection",
        **members,
    }


def page(items: Any = (), **members: Any) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "type": "OrderedCollectionPage",
        "orderedItems": list(items),
        **members,
    }


class Crash(Exception):
    """The process ends between two effects."""


def crash_before(op: Op[T], number: int) -> Op[T]:
    """Run an operation, and end it without a trace before its effect with this number."""
    answer: Any = None
    error: Exception | None = None
    for _ in range(number):
        try:
            effect = op.send(answer) if error is None else op.throw(error)
        except StopIteration as end:
            return end.value
        try:
            answer, error = (yield effect), None
        except Exception as thrown:
            error = thrown
    op.close()
    raise Crash


class Clock(BlockingRuntime):
    """A clock that a test moves, and random bytes that count."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self._numbers = count(1)

    def now(self) -> datetime:
        return self.moment

    def random_bytes(self, count: int, /) -> bytes:
        return next(self._numbers).to_bytes(count, "big")

    def seconds(self) -> float:
        return self.moment.timestamp()

    def overlap(self, jobs: Any, /, *, limit: int) -> Any:
        return [job() for job in jobs]


class Source:
    """An actor on another server, whose outbox is read and not delivered.

    ``paging`` is by ``cursor`` (the id of the last item of the page before), by ``offset``, or ``none``.
    """

    def __init__(
        self,
        web: SourceWeb,
        host: str = "source.example",
        *,
        paging: Literal["cursor", "offset", "none"] = "cursor",
        page_size: int = 5,
        embeds: bool = True,
        sends_validators: bool = True,
    ) -> None:
        self.here = f"https://{host}"
        self.web = web
        self.paging = paging
        self.page_size = page_size
        self.embeds = embeds
        self.sends_validators = sends_validators
        self.items: list[dict[str, Any]] = []
        """Newest first."""
        self.answer: Response | Exception | None = None
        """The answer to every request, in place of the right one."""
        self.statuses: list[tuple[str, int]] = []
        """The target and the status of each request."""
        self._count = count(1)
        self.peer = web.peer(f"{self.here}/users/anna")
        web.sources[host] = self

    @property
    def actor(self) -> str:
        return self.peer.actor

    @property
    def outbox(self) -> str:
        return f"{self.here}/users/anna/outbox"

    def publish(self, object_type: str = "Note", *, published: datetime | None = None, **members: Any) -> str:
        """Add the Create of a new object at the top of the outbox, and return the id of the Create."""
        number = next(self._count)
        moment = (published or self.web.clock()).strftime("%Y-%m-%dT%H:%M:%SZ")
        address = f"{self.here}/objects/{number}"
        thing = {"id": address, "type": object_type, "attributedTo": self.actor, "published": moment, **members}
        create = {
            "id": f"{address}/activity",
            "type": "Create",
            "actor": self.actor,
            "published": moment,
            "to": "as:Public",
            "object": thing,
        }
        self.items.insert(0, create)
        return str(create["id"])

    def respond(self, request: Request) -> Response | None:
        target = parse_url(request.url).target
        if isinstance(self.answer, Exception):
            self.statuses.append((target, 0))
            raise self.answer
        response = self.answer or self._response(request, target)
        if response is not None:
            self.statuses.append((target, response.status))
        return response

    def asked(self) -> list[tuple[str, int]]:
        """Return the targets and statuses since the last call."""
        statuses = list(self.statuses)
        self.statuses.clear()
        return statuses

    def _response(self, request: Request, target: str) -> Response | None:
        bare, _, query = target.partition("?")
        document: dict[str, Any] | None = None
        if bare == "/users/anna/outbox":
            document = self._collection(query)
        else:
            things = {
                thing["id"]: thing
                for item in self.items
                for thing in (item, item.get("object"))
                if isinstance(thing, dict)
            }
            document = things.get(f"{self.here}{target}")
        if document is None:
            return None
        body = json.dumps({"@context": AS2, **document}).encode()
        headers = {"Content-Type": "application/activity+json"}
        if self.sends_validators:
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            if request.headers.get("if-none-match") == headers["ETag"]:
                return Response(304, {"ETag": headers["ETag"]})
        return Response(200, headers, body)

    def _collection(self, query: str) -> dict[str, Any]:
        members: dict[str, Any] = {"id": self.outbox, "type": "OrderedCollection", "totalItems": len(self.items)}
        if self.paging == "none":
            return members | {"orderedItems": [self._shown(item) for item in self.items]}
        if not query:
            return members | {"first": f"{self.outbox}?page=true"}
        start = self._start(query)
        shown = self.items[start : start + self.page_size]
        page_members: dict[str, Any] = {
            "id": f"{self.outbox}?{query}",
            "type": "OrderedCollectionPage",
            "partOf": self.outbox,
            "orderedItems": [self._shown(item) for item in shown],
        }
        if start + self.page_size < len(self.items):
            after = str(start + self.page_size) if self.paging == "offset" else quote(shown[-1]["id"], safe="")
            page_members["next"] = f"{self.outbox}?after={after}"
        return page_members

    def _start(self, query: str) -> int:
        after = parse_qs(query).get("after", [""])[0]
        if not after:
            return 0
        if self.paging == "offset":
            return int(after)
        positions = [number for number, item in enumerate(self.items) if item["id"] == after]
        return positions[0] + 1 if positions else len(self.items)

    def _shown(self, item: dict[str, Any]) -> Any:
        return item if self.embeds else item["id"]


class SourceWeb(PeerNetwork):
    """A network of sources and peers, with a clock that a test moves."""

    def __init__(self) -> None:
        self.runtime = Clock()
        self.sources: dict[str, Source] = {}
        super().__init__(clock=self.runtime.now)

    def send(self, request: Request, /) -> Response:
        source = self.sources.get(parse_url(request.url).origin.host)
        response = None if source is None or request.method != "GET" else source.respond(request)
        return super().send(request) if response is None else response


class Reader:
    """A node that subscribes to sources, and the calls of its listener."""

    def __init__(
        self,
        web: SourceWeb,
        origin: str = "https://reader.example",
        *,
        store: Any = None,
        listens_to: type[Activity] = Activity,
        **options: Any,
    ) -> None:
        self.web = web
        self.calls: list[str] = []
        self.activities: list[Activity] = []
        self.methods: list[str | None] = []
        federation: Federation[None] = Federation(software="reader/1.0", **options)

        @federation.actor("/users/{identifier}")
        def actor(_ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "rita" else None

        @federation.on(listens_to)
        def listen(ctx: Any, activity: Activity) -> None:
            self.calls.append(ctx.activity_id)
            self.methods.append(ctx.auth_method)
            self.activities.append(activity)

        self.store = MemoryStore(clock=web.runtime.seconds) if store is None else store
        self.node: Node[None] = Node(
            federation, origin, self.store, transport=web, runtime=web.runtime, signer=ReusedKeys(), slots=0
        )
        web.join(self.node)

    def work(self, *, seconds: float = 0.0, step_s: float = 60.0) -> list[str]:
        """Work for a while, and return the ids of the activities that the listener got."""
        before = len(self.calls)
        _ = self.node.work(until_idle=True)
        for _ in range(int(seconds / step_s)):
            self.web.runtime.moment += timedelta(seconds=step_s)
            _ = self.node.work(until_idle=True)
        return self.calls[before:]

    def state(self, address: str) -> Any:
        subscription = self.node.subscription(address)
        assert subscription is not None
        return subscription
