"""Servers that follow each other and publish, while everything that can fail does: what was acknowledged reaches every follower exactly once.

A seed is a history. `APCORE_SEEDS=100 pytest tests/simulation` plays more of them; a failure names its seed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache, partial
from typing import Any

import pytest
from attrs import define, field

from apcore.collections import members_page
from apcore.effects import Fetch, Op, Returned, Scan
from apcore.federation import Federation
from apcore.federation.outbox.send import act
from apcore.federation.serving.serve import serve
from apcore.federation.site import Site
from apcore.federation.unit_of_work import PublishObject, SendActivity
from apcore.federation.worker import handle, origin_of, reconcile
from apcore.http import Request, Response, parse_origin
from apcore.node import Elsewhere
from apcore.ports import KeyKind, LeasedMessage, MadeKey
from apcore.signatures import DEFAULT, PrivateKey, SignatureScheme, generate_key
from apcore.testing.simulation import Faults, Odds, Process, SimulatedNode, Simulation, swarm
from apcore.vocab import PUBLIC, Create, Follow, Note, Person

SEEDS = int(os.environ.get("APCORE_SEEDS", "4"))
ORIGINS = ("https://a.example", "https://b.example", "https://c.example")
SAID: tuple[SignatureScheme, ...] = ("cavage", "rfc9421", "cavage")
NOTES = 6
QUIET = Faults()


@cache
def key_of(kind: KeyKind) -> PrivateKey:
    return generate_key(kind, key_id=kind, owner=kind)


class OneKey:
    """A signer whose signatures hold, and take no time to make a key for: everyone has the same one."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return key_of("ed25519" if key_name == "ed25519" else "rsa-2048").sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        return MadeKey(kind, kind, key_of(kind).public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        return False


@define
class Server:
    """One server of the history: what its people did, and what it was told."""

    origin: str
    heard: Counter[str] = field(factory=Counter)
    """Runs of the listener by activity; a crash may repeat one, and what is committed with it still happens once."""
    deeds: list[tuple[str, Process]] = field(factory=list)
    posts: Counter[tuple[str, str]] = field(factory=Counter)
    """By inbox and activity."""
    takes: tuple[SignatureScheme, ...] = ("cavage", "rfc9421")
    """The signature schemes that it verifies."""
    says: SignatureScheme = "cavage"
    """The one that it knocks with where it knows nothing."""
    refused: int = 0
    """Requests signed in a scheme that it does not take."""
    federation: Federation[None] = field(init=False)
    node: SimulatedNode | None = None

    def __attrs_post_init__(self) -> None:
        self.federation = Federation(software="test/1.0", signature_scheme=self.says)

        @self.federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        @self.federation.on(Create)
        def created(ctx: Any, activity: Create) -> None:
            self.heard[activity.id or ""] += 1
            ctx.append(f"{self.origin}/timeline", activity.id or "")
            ctx.append(f"{self.origin}/timeline/{ctx.recipient}", activity.id or "")

    @property
    def alice(self) -> str:
        return f"{self.origin}/users/alice"

    @property
    def site(self) -> Site:
        policy = DEFAULT.with_(schemes=frozenset(self.takes))
        return Site(federation=self.federation, origin=parse_origin(self.origin), signatures=policy)

    def boot(self, node: SimulatedNode) -> None:
        self.node = node
        node.serve = self.serve
        for _ in range(2):
            node.work(self.handle)
        node.loop(reconcile, pause_s=30, name="reconcile")

    def serve(self, request: Request) -> Op[Response]:
        if request.method == "POST":
            self.refused += ("rfc9421" if "signature-input" in request.headers else "cavage") not in self.takes
            self.posts[request.url, json.loads(request.body)["id"]] += 1
        answer = yield from serve(self.site, request)
        return Response(404) if isinstance(answer, Elsewhere) else answer

    def handle(self, leased: LeasedMessage) -> Op[None]:
        origin = yield from origin_of(leased)
        if origin is not None:
            yield from handle(self.site, leased)

    def follow(self, other: str) -> None:
        self._do(f"follow {other}", SendActivity(Follow(object=other).document, "alice", (other,)))

    def publish(self, content: str) -> None:
        self._do(content, PublishObject(Note(content=content).document, "alice", (PUBLIC,)))

    def _do(self, what: str, note: Any) -> None:
        assert self.node is not None
        self.deeds.append((what, self.node.spawn(act(self.site, note), what)))

    def acknowledged(self) -> set[str]:
        return {what for what, process in self.deeds if isinstance(process.outcome, Returned)}

    def has(self, *prefix: str) -> list[Any]:
        assert self.node is not None

        def scan() -> Op[list[Any]]:
            return list((yield from Scan(prefix, limit=1000)))

        return self.node.look(scan())

    def members(self, collection: str) -> list[str]:
        assert self.node is not None
        page = self.node.look(members_page(collection, limit=1000))
        return [member.id for member in page.items]

    def contents(self) -> dict[str, str]:
        """What stands in the store, by the id of its activity."""
        found: dict[str, str] = {}
        for entry in self.has("obj", "1"):
            members = json.loads(entry.value.partition(b"\n")[2])
            if members["type"] == "Create":
                found[members["id"]] = members["object"]["content"]
        return found

    def is_at_rest(self) -> bool:
        return not any(self.has(name, "1") for name in ("in-todo", "send", "out", "out-retry"))


def play(
    seed: int, *, faults: Faults | None = None, atomic: bool = True, dialects: bool = False
) -> tuple[Simulation, list[Server]]:
    """Follow each other in calm weather, publish in a storm, and wait for the sea to lie down.

    ``dialects`` are servers that verify one signature scheme only, and know nothing of each other's.
    """
    sim = Simulation(seed)
    servers = [Server(origin) for origin in ORIGINS]
    if dialects:
        servers[0].takes, servers[1].takes = ("cavage",), ("rfc9421",)
        servers = [Server(one.origin, takes=one.takes, says=says) for one, says in zip(servers, SAID, strict=True)]
    for server in servers:
        sim.node(server.origin, server.boot, atomic=atomic, signer=OneKey())
    for one in servers:
        for other in servers:
            if one is not other:
                one.follow(other.alice)
    sim.run_until(
        lambda: all(len(server.members(f"{server.alice}/following")) == 2 for server in servers), within_s=600
    )
    sim.faults = swarm(seed) if faults is None else faults
    for number in range(NOTES):
        for server in servers:
            server.publish(f"{server.origin} says {number}")
        if number % 3 == 0:
            one, two = servers[number % 3], servers[(number + 1) % 3]
            sim.network.cut(one.origin, two.origin)
            sim.engine.after(45, partial(sim.network.mend, one.origin, two.origin))
        sim.run(for_s=20)
    sim.heal()
    sim.run_until(lambda: all(server.is_at_rest() for server in servers), within_s=86_400)
    return sim, servers


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_was_acknowledged_reaches_every_follower_exactly_once(seed: int) -> None:
    sim, servers = play(seed, atomic=seed % 2 == 0, dialects=seed % 4 >= 2)
    published = {server.origin: server.contents() for server in servers}
    for server in servers:
        mine = published[server.origin]
        # Acknowledged is kept, and nothing is kept twice.
        said = {what for what in server.acknowledged() if "says" in what}
        sim.hold(said <= set(mine.values()), f"{server.origin} kept what it acknowledged")
        sim.hold(len(mine) == len(set(mine.values())), f"{server.origin} kept each once")
        outbox = server.members(f"{server.alice}/outbox")
        sim.hold(sorted(outbox) == sorted(mine), f"the outbox of {server.origin} is what it keeps")
        # Everything that anybody else keeps is here, once, and nothing else.
        theirs = {ident for origin, kept in published.items() if origin != server.origin for ident in kept}
        timeline = server.members(f"{server.origin}/timeline")
        sim.hold(len(timeline) == len(set(timeline)), f"{server.origin} heard each once")
        sim.hold(set(timeline) == theirs, f"{server.origin} heard {len(timeline)} of {len(theirs)}")
        sim.hold(not server.has("dead"), f"nothing was given up at {server.origin}")
        sim.hold(set(server.heard) == theirs, f"the listener of {server.origin} was called for what it was told")


@pytest.mark.parametrize("atomic", [True, False], ids=["one store", "a queue of its own"])
def test_without_faults_every_post_and_every_listener_is_one(atomic: bool) -> None:
    sim, servers = play(1, faults=QUIET, atomic=atomic)
    for server in servers:
        sim.hold(len(server.contents()) == NOTES, "all was published")
        sim.hold(set(server.heard.values()) == {1}, f"listeners ran {server.heard}")
        # What the cut network lost on its way back was sent again.
        sim.hold(max(server.posts.values()) <= 2, f"POSTs: {server.posts.most_common(3)}")


def test_a_scheme_that_is_not_taken_is_tried_once_by_everyone_and_costs_nothing_else() -> None:
    sim, servers = play(1, faults=QUIET, dialects=True)
    one, two, both = servers
    for server in servers:
        sim.hold(set(server.heard.values()) == {1}, f"listeners ran {server.heard}")
        sim.hold(not server.has("dead"), f"nothing was given up at {server.origin}")
    # The first is knocked at by the second in the wrong scheme, the second by both others, the third by nobody.
    sim.hold((one.refused, two.refused, both.refused) == (1, 2, 0), f"{one.refused}, {two.refused}, {both.refused}")


def test_posts_are_bounded_by_what_failed() -> None:
    sim, servers = play(3, faults=Faults(by_kind={Fetch: Odds(lost=0.2, failed=0.2)}))
    sent = sum(len(server.posts) for server in servers)
    posts = sum(server.posts.total() for server in servers)
    # One in five answers is lost: on average a quarter more POSTs than activities.
    sim.hold(posts <= 2 * sent, f"{posts} POSTs for {sent} deliveries")
    for server in servers:
        sim.hold(set(server.heard.values()) == {1}, f"listeners ran {server.heard}")


def test_a_queue_that_dies_with_its_node_loses_nothing() -> None:
    faults = Faults(otherwise=Odds(crashed_before=0.01, crashed_after=0.01), queue_loss=1.0, down_s=5)
    sim, servers = play(4, faults=faults, atomic=False)
    sim.hold(sim.crashes >= 3, f"{sim.crashes} crashes")
    everything = {ident for server in servers for ident in server.contents()}
    for server in servers:
        sim.hold(
            set(server.members(f"{server.origin}/timeline")) == everything - set(server.contents()),
            f"{server.origin} heard all",
        )


def test_a_seed_is_a_history() -> None:
    assert play(1)[0].digest == play(1)[0].digest
