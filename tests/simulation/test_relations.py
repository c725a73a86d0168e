"""Let two or three servers change their relations while everything fails: in the end, they agree on every relation.

The actors follow, answer, remove, block, move and delete themselves at random times, legally or not, and forge
statements about the relations of others. Requests and answers are lost, repeated and reordered. A seed is a history: a
failure names its seed. The suite plays a few dozen; `APCORE_RELATION_SEEDS=1000 pytest
tests/simulation/test_relations.py` plays more of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from attrs import define, field

from apcore.collections import members_page
from apcore.effects import Fetch, Op, Returned, Scan
from apcore.errors import ContractError
from apcore.federation import Federation, FollowVerdict
from apcore.federation.actors.actions import note_aliases, note_move
from apcore.federation.outbox.send import act, commit_action, commit_change, commit_deletion, commit_follow
from apcore.federation.reconcile import reconcile
from apcore.federation.relations import actions
from apcore.federation.serving.serve import serve
from apcore.federation.site import Site
from apcore.federation.worker import handle, origin_of
from apcore.federation.write_notes import PublishObject
from apcore.http import ACTIVITY_JSON, Headers, Request, Response, parse_origin
from apcore.node import Elsewhere
from apcore.ports import KeyKind, LeasedMessage, MadeKey
from apcore.signatures import PrivateKey, cavage
from apcore.testing.keys import reuse_key
from apcore.testing.simulation import Faults, Odds, Process, SimulatedNode, Simulation
from apcore.vocab import Create, Note, Person

SEEDS = int(os.environ.get("APCORE_RELATION_SEEDS", "24"))
NAMES = ("anna", "mila", "nora")
ACTIONS_MAX = 14
AS2 = "https://www.w3.org/ns/activitystreams"


class OneKey:
    """A signer with one key of each kind for every actor, so that no time is spent on making keys."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return reuse_key("one", "ed25519" if key_name == "ed25519" else "rsa-2048").sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        return MadeKey(kind, kind, reuse_key("one", kind).public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        return False


@define
class Server:
    """A server with one actor."""

    name: str
    verdict: FollowVerdict
    heard: list[str] = field(factory=list)
    """The contents of the notes that it received."""
    published: list[str] = field(factory=list)
    """The contents of the notes that it published for its followers."""
    blocks: dict[str, Process] = field(factory=dict)
    """The last Block of each actor that no unblocking followed."""
    is_deleting: bool = False
    node: SimulatedNode | None = None
    federation: Federation[None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.federation = Federation(software="test/1.0")
        self.federation.follows(self.verdict)
        self.federation.actor("/people/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=identifier) if identifier == self.name else None
        )

        @self.federation.on(Create)
        def created(ctx: Any, create: Create) -> None:
            note = None if create.object is None else create.object.claimed(Note)
            self.heard.append("" if note is None else note.content or "")

    @property
    def origin(self) -> str:
        return f"https://{self.name}.example"

    @property
    def actor(self) -> str:
        return f"{self.origin}/people/{self.name}"

    @property
    def site(self) -> Site:
        return Site(federation=self.federation, origin=parse_origin(self.origin))

    @property
    def key(self) -> PrivateKey:
        return reuse_key("one").renamed(key_id=f"{self.actor}#main-key", owner=self.actor)

    def boot(self, node: SimulatedNode) -> None:
        self.node = node
        node.serve = self.serve
        node.work(self.handle)
        node.loop(reconcile, pause_s=30, name="reconcile")

    def serve(self, request: Request) -> Op[Response]:
        answer = yield from serve(self.site, request)
        return Response(404) if isinstance(answer, Elsewhere) else answer

    def handle(self, leased: LeasedMessage) -> Op[None]:
        origin = yield from origin_of(leased)
        if origin is not None:
            yield from handle(self.site, leased)

    def spawn(self, op: Op[Any], name: str) -> Process:
        assert self.node is not None
        return self.node.spawn(refused_as_none(op), name)

    def members(self, name: str) -> set[str]:
        assert self.node is not None
        page = self.node.look(members_page(f"{self.actor}/{name}", limit=100))
        return {member.id for member in page.items}

    def is_at_rest(self) -> bool:
        assert self.node is not None

        def scan(name: str) -> Op[bool]:
            return bool((yield from Scan((name, "1"), limit=1)))

        return not any(self.node.look(scan(name)) for name in ("in-todo", "send", "out", "out-retry"))


def refused_as_none(op: Op[Any]) -> Op[Any]:
    """Run an operation that may be illegal; the library then refuses it."""
    try:
        return (yield from op)
    except (ContractError, ValueError):
        return None


# --- the actions ----------------------------------------------------------------------------------------------------


def change(action: actions.RelationChange, server: Server, other: Server) -> None:
    _ = server.spawn(commit_action(server.site, action, other.actor, server.name), action.__name__)


def follow(server: Server, other: Server) -> None:
    _ = server.spawn(commit_follow(server.site, other.actor, server.name), "follow")


def block(server: Server, other: Server) -> None:
    op = commit_action(server.site, actions.block, other.actor, server.name)
    server.blocks[other.actor] = server.spawn(op, "block")


def unblock(server: Server, other: Server) -> None:
    _ = server.blocks.pop(other.actor, None)
    change(actions.unblock, server, other)


def publish(server: Server, other: Server) -> None:
    del other
    blocked = [actor for actor, process in server.blocks.items() if isinstance(process.outcome, Returned)]
    content = f"{server.name} {len(server.published)} not for {' '.join(blocked)}"
    server.published.append(content)
    note = PublishObject(Note(content=content).document, server.name, (f"{server.actor}/followers",))
    _ = server.spawn(act(server.site, note), "publish")


def set_alias(server: Server, other: Server) -> None:
    op = commit_change(server.site, server.name, partial(note_aliases, identifier=server.name, aliases=[other.actor]))
    _ = server.spawn(op, "set alias")


def move(server: Server, other: Server) -> None:
    op = commit_change(server.site, server.name, partial(note_move, identifier=server.name, target=other.actor))
    _ = server.spawn(op, "move")


def delete(server: Server, other: Server) -> None:
    del other
    server.is_deleting = True
    _ = server.spawn(commit_deletion(server.site, server.name), "delete")


ACTIONS: dict[Callable[[Server, Server], None], int] = {
    follow: 8,
    partial(change, actions.unfollow): 3,
    partial(change, actions.accept_follow): 6,
    partial(change, actions.reject_follow): 2,
    partial(change, actions.remove_follower): 2,
    block: 2,
    unblock: 2,
    publish: 4,
    set_alias: 2,
    move: 2,
    delete: 1,
}
"""Every action with its weight. Most of them are illegal in some states."""


def forge(server: Server, victim: Server, other: Server, random: Random) -> None:
    """Post a statement of ``server`` about the relations of the two others to the inbox of ``victim``."""
    inbound_follow = {"type": "Follow", "actor": other.actor, "object": victim.actor}
    outbound_follow = {"type": "Follow", "actor": victim.actor, "object": other.actor}
    statements: list[dict[str, Any]] = [
        {"type": "Follow", "actor": other.actor, "object": victim.actor},
        {"type": "Undo", "object": inbound_follow},
        {"type": "Undo", "object": {"type": "Accept", "actor": other.actor, "object": outbound_follow}},
        {"type": "Accept", "object": outbound_follow},
        {"type": "Reject", "object": outbound_follow},
        {"type": "Block", "actor": other.actor, "object": victim.actor},
        {"type": "Delete", "object": other.actor},
        {"type": "Delete", "actor": other.actor, "object": other.actor},
        {"type": "Delete", "object": victim.actor},
        {"type": "Move", "object": other.actor, "target": server.actor},
        {"type": "Move", "actor": other.actor, "object": other.actor, "target": server.actor},
        {"type": "Update", "object": {"id": other.actor, "type": "Person", "inbox": f"{server.actor}/inbox"}},
        {"type": "Remove", "object": other.actor, "target": f"{victim.actor}/followers"},
    ]
    ident = f"{server.actor}#forged/{random.random()}"
    activity = {"@context": AS2, "id": ident, "actor": server.actor} | random.choice(statements)
    assert server.node is not None
    request = Request(
        "POST", f"{victim.actor}/inbox", Headers({"Content-Type": ACTIVITY_JSON}), json.dumps(activity).encode()
    )
    signed_request = cavage.sign(request, server.key, now=server.node.now())

    def post() -> Op[None]:
        _ = yield from Fetch(signed_request)

    _ = server.node.spawn(post(), "forge")


def play(seed: int) -> tuple[Simulation, list[Server]]:
    """Play the history of a seed, until the servers are at rest."""
    random = Random(f"relations {seed}")
    sim = Simulation(seed)
    servers = [
        Server(name, random.choice((FollowVerdict.ACCEPT, FollowVerdict.PENDING)))
        for name in NAMES[: random.choice((2, 3, 3))]
    ]
    for server in servers:
        _ = sim.node(server.origin, server.boot, signer=OneKey())
    meet(sim, servers)
    rates = [random.choice((0.0, 0.1, 0.2)) for _ in range(5)]
    odds = Odds(failed=rates[0], lost=rates[1], late=rates[2] / 4, twice=rates[3], slow=rates[4])
    sim.faults = Faults(by_kind={Fetch: odds})
    for _ in range(random.randint(4, ACTIONS_MAX)):
        server, other, *rest = random.sample(servers, len(servers))
        if rest and random.random() < 0.15:
            forge(server, other, rest[0], random)
        else:
            [action] = random.choices(list(ACTIONS), weights=list(ACTIONS.values()))
            action(server, other)
        sim.run(for_s=random.choice((0.0, 0.05, 1.0, 5.0, 15.0)))
    sim.heal()
    rest_at(sim, servers)
    return sim, servers


def meet(sim: Simulation, servers: list[Server]) -> None:
    """Let each server look up the actors of the others, without faults.

    A sending that waits for the look-up of an inbox may be overtaken by a later one to the same actor. A crash during
    its planning has the same effect. So nothing crashes here, and the histories are shorter than the three minutes for
    which the documents stay fresh.
    """
    for server in servers:
        for other in servers:
            if server is not other:
                change(actions.block, server, other)
    rest_at(sim, servers)
    for server in servers:
        for other in servers:
            if server is not other:
                change(actions.unblock, server, other)
    rest_at(sim, servers)


def rest_at(sim: Simulation, servers: list[Server]) -> None:
    for _ in range(2):
        sim.run_until(lambda: all(server.is_at_rest() for server in servers), within_s=3 * 86_400)
        sim.run(for_s=5)


def is_deleted(server: Server) -> bool:
    assert server.node is not None

    def scan() -> Op[bool]:
        entries = yield from Scan(("own-actor", "1"), limit=10)
        return any(b'"deleted"' in entry.value for entry in entries)

    return bool(server.node.look(scan()))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_servers_agree_on_every_relation_when_they_are_at_rest(seed: int) -> None:
    sim, servers = play(seed)
    alive = [server for server in servers if not is_deleted(server)]
    for server in alive:
        for name in ("followers", "following"):
            for other in servers:
                is_member = other.actor in server.members(name)
                if other not in alive:
                    sim.hold(not is_member, f"{other.name} is deleted, and not in {name} of {server.name}")
                elif name == "followers":
                    has_relation = server.actor in other.members("following")
                    sim.hold(
                        is_member is has_relation, f"{server.name} and {other.name} agree whether {other.name} follows"
                    )
    check_privacy(sim, servers, alive)


def check_privacy(sim: Simulation, servers: list[Server], alive: list[Server]) -> None:
    """Check that a note reaches exactly the followers at rest, and that no blocked actor got one at any time."""
    for server in servers:
        for content in server.heard:
            sim.hold(
                server.actor not in content.partition(" not for ")[2], f"{server.name} is blocked, but got {content!r}"
            )
    for server in alive:
        publish(server, server)
        rest_at(sim, servers)
        content = server.published[-1]
        for other in servers:
            is_follower = other.actor in server.members("followers")
            sim.hold((content in other.heard) is is_follower, f"{content!r} reaches {other.name} only as a follower")
