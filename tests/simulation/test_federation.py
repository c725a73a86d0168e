"""Let servers follow each other and publish, while everything that can fail does.

Each acknowledged activity must reach every follower exactly once. A seed is a history: a failure names its seed, and
`APCORE_SEEDS=100 pytest tests/simulation` plays more of them.
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
from apcore.federation.reconcile import reconcile
from apcore.federation.serving.serve import serve
from apcore.federation.site import Site
from apcore.federation.worker import handle, origin_of
from apcore.federation.write_notes import PublishObject, SendActivity
from apcore.http import Request, Response, parse_origin
from apcore.node import Elsewhere
from apcore.ports import KeyKind, LeasedMessage, MadeKey
from apcore.signatures import DEFAULT, PrivateKey, SignatureScheme, generate_key
from apcore.testing.simulation import Faults, Odds, Process, SimulatedNode, Simulation, swarm
from apcore.vocab import PUBLIC, Create, Follow, Note, Person

SEEDS = int(os.environ.get("APCORE_SEEDS", "4"))
ORIGINS = ("https://a.example", "https://b.example", "https://c.example")
SCHEMES: tuple[SignatureScheme, ...] = ("cavage", "rfc9421", "cavage")
NOTES = 6
QUIET = Faults()


@cache
def key_of(kind: KeyKind) -> PrivateKey:
    return generate_key(kind, key_id=kind, owner=kind)


class OneKey:
    """A signer with one key for every actor, so that no time is spent on making keys."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return key_of("ed25519" if key_name == "ed25519" else "rsa-2048").sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        return MadeKey(kind, kind, key_of(kind).public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        return False


@define
class Server:
    """One server of the history, with the actions of its users and the activities that it received."""

    origin: str
    received: Counter[str] = field(factory=Counter)
    """Number of runs of the listener for each activity. A crash may repeat a run, but its commit happens only once."""
    actions: list[tuple[str, Process]] = field(factory=list)
    posts: Counter[tuple[str, str]] = field(factory=Counter)
    """Number of POSTs by inbox and activity."""
    accepted_schemes: tuple[SignatureScheme, ...] = ("cavage", "rfc9421")
    """The signature schemes that it verifies."""
    first_scheme: SignatureScheme = "cavage"
    """The signature scheme for the first request to an unknown server."""
    has_proofs: bool = True
    """Whether its activities carry proofs. A proof does where the scheme of the request is not accepted."""
    refused_count: int = 0
    """Number of requests in a signature scheme that the server does not accept."""
    federation: Federation[None] = field(init=False)
    node: SimulatedNode | None = None

    def __attrs_post_init__(self) -> None:
        self.federation = Federation(
            software="test/1.0",
            signature_scheme=self.first_scheme,
            document_signatures=("eddsa-jcs-2022",) if self.has_proofs else (),
        )

        @self.federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        @self.federation.on(Create)
        def created(ctx: Any, activity: Create) -> None:
            self.received[activity.id or ""] += 1
            ctx.append(f"{self.origin}/timeline", activity.id or "")
            ctx.append(f"{self.origin}/timeline/{ctx.recipient}", activity.id or "")

    @property
    def alice(self) -> str:
        return f"{self.origin}/users/alice"

    @property
    def site(self) -> Site:
        policy = DEFAULT.with_(schemes=frozenset(self.accepted_schemes))
        return Site(federation=self.federation, origin=parse_origin(self.origin), signatures=policy)

    def boot(self, node: SimulatedNode) -> None:
        self.node = node
        node.serve = self.serve
        for _ in range(2):
            node.work(self.handle)
        node.loop(reconcile, pause_s=30, name="reconcile")

    def serve(self, request: Request) -> Op[Response]:
        if request.method == "POST":
            self.refused_count += (
                "rfc9421" if "signature-input" in request.headers else "cavage"
            ) not in self.accepted_schemes
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

    def _do(self, action_name: str, note: Any) -> None:
        assert self.node is not None
        self.actions.append((action_name, self.node.spawn(act(self.site, note), action_name)))

    def acknowledged(self) -> set[str]:
        return {action_name for action_name, process in self.actions if isinstance(process.outcome, Returned)}

    def scan(self, *prefix: str) -> list[Any]:
        assert self.node is not None

        def scan_prefix() -> Op[list[Any]]:
            return list((yield from Scan(prefix, limit=1000)))

        return self.node.look(scan_prefix())

    def members(self, collection: str) -> list[str]:
        assert self.node is not None
        page = self.node.look(members_page(collection, limit=1000))
        return [member.id for member in page.items]

    def contents(self) -> dict[str, str]:
        """Return the content of each stored note by the id of its activity."""
        contents_by_id: dict[str, str] = {}
        for entry in self.scan("obj", "1"):
            members = json.loads(entry.value.partition(b"\n")[2])
            if members["type"] == "Create":
                contents_by_id[members["id"]] = members["object"]["content"]
        return contents_by_id

    def is_at_rest(self) -> bool:
        return not any(self.scan(name, "1") for name in ("in-todo", "send", "out", "out-retry"))


def play(
    seed: int, *, faults: Faults | None = None, atomic: bool = True, dialects: bool = False
) -> tuple[Simulation, list[Server]]:
    """Let the servers follow each other without faults, publish under faults, and wait until all work is done.

    With ``dialects``, some servers verify one signature scheme only, and none knows the schemes of the others.
    """
    sim = Simulation(seed)
    servers = [Server(origin) for origin in ORIGINS]
    if dialects:
        servers[0].accepted_schemes, servers[1].accepted_schemes = ("cavage",), ("rfc9421",)
        servers = [
            Server(server.origin, accepted_schemes=server.accepted_schemes, first_scheme=scheme, has_proofs=False)
            for server, scheme in zip(servers, SCHEMES, strict=True)
        ]
    for server in servers:
        sim.node(server.origin, server.boot, atomic=atomic, signer=OneKey())
    for server in servers:
        for other_server in servers:
            if server is not other_server:
                server.follow(other_server.alice)
    sim.run_until(
        lambda: all(len(server.members(f"{server.alice}/following")) == 2 for server in servers), within_s=600
    )
    sim.faults = swarm(seed) if faults is None else faults
    for number in range(NOTES):
        for server in servers:
            server.publish(f"{server.origin} says {number}")
        if number % 3 == 0:
            first, second = servers[number % 3], servers[(number + 1) % 3]
            sim.network.cut(first.origin, second.origin)
            sim.engine.after(45, partial(sim.network.mend, first.origin, second.origin))
        sim.run(for_s=20)
    sim.heal()
    sim.run_until(lambda: all(server.is_at_rest() for server in servers), within_s=86_400)
    return sim, servers


@pytest.mark.parametrize("seed", range(SEEDS))
def test_acknowledged_activities_reach_every_follower_exactly_once(seed: int) -> None:
    sim, servers = play(seed, atomic=seed % 2 == 0, dialects=seed % 4 >= 2)
    published = {server.origin: server.contents() for server in servers}
    for server in servers:
        own_contents = published[server.origin]
        # The server stores everything that it acknowledged, and stores nothing twice.
        acknowledged_contents = {action_name for action_name in server.acknowledged() if "says" in action_name}
        sim.hold(acknowledged_contents <= set(own_contents.values()), f"{server.origin} stored what it acknowledged")
        sim.hold(len(own_contents) == len(set(own_contents.values())), f"{server.origin} stored each activity once")
        outbox = server.members(f"{server.alice}/outbox")
        sim.hold(sorted(outbox) == sorted(own_contents), f"the outbox of {server.origin} lists the stored activities")
        # The timeline has everything that the other servers store, once, and nothing else.
        other_ids = {ident for origin, contents in published.items() if origin != server.origin for ident in contents}
        timeline = server.members(f"{server.origin}/timeline")
        sim.hold(len(timeline) == len(set(timeline)), f"{server.origin} received each activity once")
        sim.hold(set(timeline) == other_ids, f"{server.origin} heard {len(timeline)} of {len(other_ids)}")
        sim.hold(not server.scan("dead"), f"nothing was given up at {server.origin}")
        sim.hold(
            set(server.received) == other_ids, f"the listener of {server.origin} was called for every received activity"
        )


@pytest.mark.parametrize("atomic", [True, False], ids=["one store", "a queue of its own"])
def test_without_faults_each_activity_is_delivered_and_handled_once(atomic: bool) -> None:
    sim, servers = play(1, faults=QUIET, atomic=atomic)
    for server in servers:
        sim.hold(len(server.contents()) == NOTES, "all was published")
        sim.hold(set(server.received.values()) == {1}, f"listeners ran {server.received}")
        # Requests that were lost in the cut network were sent again.
        sim.hold(max(server.posts.values()) <= 2, f"POSTs: {server.posts.most_common(3)}")


def test_unsupported_signature_scheme_is_tried_only_once_by_each_server() -> None:
    sim, servers = play(1, faults=QUIET, dialects=True)
    cavage_only, rfc9421_only, accepts_both = servers
    for server in servers:
        sim.hold(set(server.received.values()) == {1}, f"listeners ran {server.received}")
        sim.hold(not server.scan("dead"), f"nothing was given up at {server.origin}")
    # The second server knocks at the first in the wrong scheme, both others at the second, and no one at the third.
    sim.hold(
        (cavage_only.refused_count, rfc9421_only.refused_count, accepts_both.refused_count) == (1, 2, 0),
        f"{cavage_only.refused_count}, {rfc9421_only.refused_count}, {accepts_both.refused_count}",
    )


def test_number_of_posts_is_bounded_by_the_failures() -> None:
    sim, servers = play(3, faults=Faults(by_kind={Fetch: Odds(lost=0.2, failed=0.2)}))
    sent = sum(len(server.posts) for server in servers)
    posts = sum(server.posts.total() for server in servers)
    # One in five answers is lost, so there are on average a quarter more POSTs than activities.
    sim.hold(posts <= 2 * sent, f"{posts} POSTs for {sent} deliveries")
    for server in servers:
        sim.hold(set(server.received.values()) == {1}, f"listeners ran {server.received}")


def test_activities_survive_the_loss_of_the_queue() -> None:
    faults = Faults(otherwise=Odds(crashed_before=0.01, crashed_after=0.01), queue_loss=1.0, down_s=5)
    sim, servers = play(4, faults=faults, atomic=False)
    sim.hold(sim.crashes >= 3, f"{sim.crashes} crashes")
    everything = {ident for server in servers for ident in server.contents()}
    for server in servers:
        sim.hold(
            set(server.members(f"{server.origin}/timeline")) == everything - set(server.contents()),
            f"{server.origin} received all activities",
        )


def test_equal_seeds_play_equal_histories() -> None:
    assert play(1)[0].digest == play(1)[0].digest
