"""Provide a node that sends at a time and to inboxes with answers that a test decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import Member, add_member
from apcore.effects import Op, Scan, commit
from apcore.federation import Federation
from apcore.federation.worker import LANES
from apcore.http import PUBLIC_ONLY, Headers, Request, Response, parse_url
from apcore.node import Node
from apcore.ports import Entry, KeyKind, MadeKey
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Person

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HERE = "https://here.example"
ALICE = f"{HERE}/users/alice"
FOLLOWERS = f"{ALICE}/followers"


class Clock(BlockingRuntime):
    """A clock that a test moves; nothing runs in parallel, so requests are in the order of the decisions."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment

    def seconds(self) -> float:
        return self.moment.timestamp()

    def overlap(self, jobs: Any, /, *, limit: int) -> Any:
        assert limit >= 1
        return [job() for job in jobs]


class Counting(ReusedKeys):
    """A signer that records the keys that it makes and drops."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        self.dropped: list[str] = []
        self.meanwhile: Any = None

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        made_key = super().make_key(kind)
        self.made.append(made_key.name)
        return made_key

    def drop_key(self, key_name: str, /) -> bool:
        self.dropped.append(key_name)
        return True


class Post:
    """A network that answers every inbox with 202 unless `answers` has another answer, and that records POSTs.

    Each actor has a document.
    """

    checks_addresses = "enforced"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.answers: dict[str, int | Exception | Response | Callable[[Request], Response]] = {}
        """Answers by inbox or by origin."""
        self.actors: dict[str, Any] = {}
        """Further members for the documents of actors; or an exception, or a whole response."""
        self.posts: list[tuple[datetime, Request]] = []
        self.gets: list[str] = []
        self.addresses = PUBLIC_ONLY

    def send(self, request: Request, /) -> Response:
        # In every test: each request has the node's own address policy, and stays within it.
        origin = parse_url(request.url).origin
        assert request.addresses == self.addresses
        assert request.addresses.target_refusal(origin.scheme, origin.host, origin.port) is None
        if request.method == "GET":
            self.gets.append(request.url)
            return self._actor(request.url)
        self.posts.append((self._clock.moment, request))
        answer = self.answers.get(request.url, self.answers.get(str(parse_url(request.url).origin), 202))
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        return Response(answer) if isinstance(answer, int) else answer

    def _actor(self, url: str) -> Response:
        answer = self.actors.get(url, {})
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Response):
            return answer
        context = "https://www.w3.org/ns/activitystreams"
        members = {"@context": context, "id": url, "type": "Person", "inbox": f"{url}/inbox", "outbox": f"{url}/outbox"}
        return Response(
            200, Headers({"Content-Type": "application/activity+json"}), json.dumps(members | answer).encode()
        )

    def close(self) -> None:
        """Do nothing: there is no connection."""

    @property
    def urls(self) -> list[str]:
        return [request.url for _, request in self.posts]

    @property
    def times_s(self) -> list[float]:
        return [(moment - NOON).total_seconds() for moment, _ in self.posts]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for _, request in self.posts]


def alice_and_bob() -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier in {"alice", "bob"} else None

    return federation


class Outgoing:
    """A node with a store, queue, clock and network that the test controls."""

    def __init__(self, federation: Federation[None] | None = None, *, own_queue: bool = False, **options: Any) -> None:
        self.clock = Clock()
        self.post = Post(self.clock)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.queue = MemoryStore(clock=self.clock.seconds) if own_queue else self.store
        self.federation = federation or alice_and_bob()
        self.options = {"origin": HERE, "slots": 0} | options
        self.node = self.made()

    def made(self) -> Node[None]:
        return Node(
            self.federation,
            store=self.store,
            queue=self.queue,
            transport=self.post,
            runtime=self.clock,
            signer=ReusedKeys(),
            **self.options,
        )

    def lose_queue(self) -> None:
        """Lose all messages together with their leases."""
        assert self.queue is not self.store
        self.queue = MemoryStore(clock=self.clock.seconds)
        self.node = self.made()

    def work(self) -> int:
        return self.node.work(until_idle=True)

    def pass_s(self, seconds: float, *, step_s: float = 60.0) -> None:
        """Let time pass, and work every ``step_s``."""
        end = self.clock.moment + timedelta(seconds=seconds)
        while self.clock.moment < end:
            self.clock.moment = min(end, self.clock.moment + timedelta(seconds=step_s))
            self.work()

    def follow(self, *actors: str, shared: Callable[[str], str | None] = lambda _: None) -> None:
        """Store followers with their inboxes."""
        for number, actor in enumerate(actors):
            stored_member = json.dumps({"inbox": f"{actor}/inbox", "shared": shared(actor)}).encode()
            change = add_member(FOLLOWERS, Member(actor, stored_member), order=f"{number:06d}")
            assert self.node.run(commit(change.checks, change.writes))

    def facts(self, *prefix: str) -> list[Entry]:
        def scan_all() -> Op[list[Entry]]:
            return list((yield from Scan(prefix, limit=1000)))

        return self.node.run(scan_all())

    def waiting(self) -> int:
        depth = self.queue.depth(LANES)
        return depth.ready + depth.delayed + depth.leased
