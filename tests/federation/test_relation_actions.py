"""Following, answering, removing and blocking by one call, on nodes and in the contexts of handlers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from apcore import AsyncNode, Federation, FollowVerdict, Node
from apcore.adapters.memory import MemoryStore
from apcore.errors import ContractError
from apcore.handlers import operation
from apcore.http import Headers, Request, Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Create, Note, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
FOLLOWERS, FOLLOWING = f"{ALICE}/followers", f"{ALICE}/following"


class RelationServer:
    """A server with an actor alice that leaves requests pending, and a peer bob."""

    def __init__(self, federation: Federation[Any] | None = None, **options: Any) -> None:
        self.network = PeerNetwork()
        self.federation = federation or make_federation()
        self.store = MemoryStore()
        self.options = {"transport": self.network, "signer": ReusedKeys(), **options}
        self.node = Node(self.federation, HERE, self.store, **self.options)
        self.network.join(self.node)
        self.bob = self.network.peer("https://remote.example/users/bob")

    def receive(self, peer: Peer, type_name: str, **members: Any) -> dict[str, Any]:
        activity = peer.activity(type_name, **members)
        assert peer.deliver(self.node, activity, to="alice").status == 202
        self.work()
        return activity

    def work(self) -> None:
        for _ in range(3):
            _ = self.node.work(until_idle=True)

    def types_received(self, peer: Peer) -> list[str]:
        return [str(delivery.activity["type"]) for delivery in peer.received]


def make_federation() -> Federation[Any]:
    federation: Federation[Any] = Federation(software="test/1.0")
    federation.follows(FollowVerdict.PENDING)
    federation.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username=identifier) if identifier in {"alice", "carol"} else None
    )
    return federation


# --- every action in every state ------------------------------------------------------------------------------------

INBOUND_STATES: dict[str, Callable[[RelationServer], object]] = {
    "none": lambda server: None,
    "pending": lambda server: server.receive(server.bob, "Follow", object=ALICE),
    "accepted": lambda server: (
        server.receive(server.bob, "Follow", object=ALICE),
        server.node.accept_follow(server.bob.actor, by="alice"),
    ),
    "rejected": lambda server: (
        server.receive(server.bob, "Follow", object=ALICE),
        server.node.reject_follow(server.bob.actor, by="alice"),
    ),
    "blocked": lambda server: server.node.block(server.bob.actor, by="alice"),
}
OUTBOUND_STATES: dict[str, Callable[[RelationServer], object]] = {
    "none": lambda server: None,
    "pending": lambda server: server.node.follow(server.bob.actor, by="alice"),
    "accepted": lambda server: server.receive(
        server.bob, "Accept", object=server.node.follow(server.bob.actor, by="alice")
    ),
    "rejected": lambda server: server.receive(
        server.bob, "Reject", object=server.node.follow(server.bob.actor, by="alice")
    ),
}
# The type of the activity that is sent, None if nothing is, or the error that is raised.
INBOUND_RESULTS: dict[str, dict[str, str | type[Exception] | None]] = {
    "accept_follow": {
        "none": ValueError,
        "pending": "Accept",
        "accepted": None,
        "rejected": "Accept",
        "blocked": ContractError,
    },
    "reject_follow": {"none": ValueError, "pending": "Reject", "accepted": "Reject", "rejected": None, "blocked": None},
    "remove_follower": {"none": None, "pending": None, "accepted": "Reject", "rejected": None, "blocked": None},
    "block": {**dict.fromkeys(("none", "pending", "accepted", "rejected"), "Block"), "blocked": None},
    "unblock": {**dict.fromkeys(("none", "pending", "accepted", "rejected"), None), "blocked": "Undo"},
    "follow": {**dict.fromkeys(("none", "pending", "accepted", "rejected"), "Follow"), "blocked": ContractError},
}
OUTBOUND_RESULTS: dict[str, dict[str, str | type[Exception] | None]] = {
    "follow": dict.fromkeys(OUTBOUND_STATES, "Follow"),
    "unfollow": {"none": None, "pending": "Undo", "accepted": "Undo", "rejected": "Undo"},
}
CASES = [
    (states, name, state, expected)
    for states, results in ((INBOUND_STATES, INBOUND_RESULTS), (OUTBOUND_STATES, OUTBOUND_RESULTS))
    for name, row in results.items()
    for state, expected in row.items()
]


@pytest.mark.parametrize(("states", "name", "state", "expected"), CASES, ids=lambda value: str(value)[:30])
def test_action_sends_one_activity_nothing_or_an_error_in_each_state(
    states: dict[str, Callable[[RelationServer], object]],
    name: str,
    state: str,
    expected: str | type[Exception] | None,
) -> None:
    server = RelationServer()
    states[state](server)
    server.work()
    server.bob.received.clear()
    action = getattr(server.node, name)
    if isinstance(expected, type):
        with pytest.raises(expected):
            action(server.bob.actor, by="alice")
    else:
        ident = action(server.bob.actor, by="alice")
        assert (ident is None) == (expected is None)
    server.work()
    assert server.types_received(server.bob) == ([expected] if isinstance(expected, str) else [])


def test_every_action_is_idempotent_and_keeps_the_collections_right() -> None:
    server = RelationServer()
    node, bob = server.node, server.bob.actor
    server.receive(server.bob, "Follow", object=ALICE)
    assert [request.actor for request in node.pending_follows("alice").items] == [bob]
    assert node.accept_follow(bob, by="alice") is not None
    assert (node.members(FOLLOWERS).items, node.pending_follows("alice").items) == ((bob,), ())
    assert node.remove_follower(bob, by="alice") is not None
    assert (node.contains(FOLLOWERS, bob), node.count(FOLLOWERS)) == (False, 0)
    follow_id = node.follow(bob, by="alice")
    server.work()
    server.receive(server.bob, "Accept", object=follow_id)
    assert node.members(FOLLOWING).items == (bob,)
    assert node.block(bob, by="alice") is not None
    assert (node.count(FOLLOWING), node.count(FOLLOWERS)) == (0, 0)
    assert node.unblock(bob, by="alice") is not None
    assert node.unfollow(bob, by="alice") is None


@pytest.mark.parametrize("name", {**INBOUND_RESULTS, **OUTBOUND_RESULTS})
@pytest.mark.parametrize(
    ("actor", "by", "words"),
    [
        ("bob", "alice", "not the address of an actor"),
        ("ftp://remote.example/bob", "alice", "not the address of an actor"),
        (ALICE, "alice", "no relation with itself"),
        ("https://remote.example/users/bob", "nobody", "no such actor"),
    ],
)
def test_actor_that_cannot_be_meant_is_refused_at_the_call(name: str, actor: str, by: str, words: str) -> None:
    server = RelationServer()
    with pytest.raises(ValueError, match=words):
        getattr(server.node, name)(actor, by=by)
    server.work()
    assert server.bob.received == []


# --- the same in handlers -------------------------------------------------------------------------------------------


def act_blocking(ctx: Any, activity: Any) -> None:
    bob = activity.actor.uri
    assert ctx.follow(bob, by="alice")
    assert ctx.unfollow(bob, by="alice")
    assert ctx.unfollow(bob, by="alice") is None
    assert [request.actor for request in ctx.pending_follows("alice").items] == [bob]
    assert ctx.accept_follow(bob, by="alice")
    assert ctx.contains(FOLLOWERS, bob)
    assert ctx.remove_follower(bob, by="alice")
    assert not ctx.contains(FOLLOWERS, bob)
    assert ctx.block(bob, by="alice")
    assert ctx.unblock(bob, by="alice")
    assert (ctx.count(FOLLOWERS), ctx.members(FOLLOWERS).items) == (0, ())


async def act_asynchronously(ctx: Any, activity: Any) -> None:
    bob = activity.actor.uri
    assert await ctx.follow(bob, by="alice")
    assert await ctx.unfollow(bob, by="alice")
    assert await ctx.unfollow(bob, by="alice") is None
    assert [request.actor for request in (await ctx.pending_follows("alice")).items] == [bob]
    assert await ctx.accept_follow(bob, by="alice")
    assert await ctx.contains(FOLLOWERS, bob)
    assert await ctx.remove_follower(bob, by="alice")
    assert not await ctx.contains(FOLLOWERS, bob)
    assert await ctx.block(bob, by="alice")
    assert await ctx.unblock(bob, by="alice")
    assert (await ctx.count(FOLLOWERS), (await ctx.members(FOLLOWERS)).items) == (0, ())


@operation
def act_as_operation(ctx: Any, activity: Any) -> Any:
    bob = activity.actor.uri
    assert (yield from ctx.follow(bob, by="alice"))
    assert (yield from ctx.unfollow(bob, by="alice"))
    assert (yield from ctx.unfollow(bob, by="alice")) is None
    page = yield from ctx.pending_follows("alice")
    assert [request.actor for request in page.items] == [bob]
    assert (yield from ctx.accept_follow(bob, by="alice"))
    assert (yield from ctx.contains(FOLLOWERS, bob))
    assert (yield from ctx.remove_follower(bob, by="alice"))
    assert not (yield from ctx.contains(FOLLOWERS, bob))
    assert (yield from ctx.block(bob, by="alice"))
    assert (yield from ctx.unblock(bob, by="alice"))
    members = yield from ctx.members(FOLLOWERS)
    assert ((yield from ctx.count(FOLLOWERS)), members.items) == (0, ())


SENT = ["Follow", "Undo", "Accept", "Reject", "Block", "Undo"]


@pytest.mark.parametrize("listener", [act_blocking, act_as_operation])
def test_handler_changes_relations_and_sees_its_own_changes(listener: Any) -> None:
    federation = make_federation()
    federation.on(Create)(listener)
    server = RelationServer(federation)
    server.receive(server.bob, "Follow", object=ALICE)
    server.receive(server.bob, "Create", object={"type": "Note", "id": f"{server.bob.actor}/n", "content": "hi"})
    assert server.types_received(server.bob) == SENT
    assert (server.node.count(FOLLOWERS), server.node.pending_follows("alice").items) == (0, ())


def test_coroutine_changes_relations_and_sees_its_own_changes() -> None:
    federation = make_federation()
    federation.on(Create)(act_asynchronously)
    server = RelationServer()
    server.receive(server.bob, "Follow", object=ALICE)

    async def run() -> None:
        async with AsyncNode(federation, HERE, server.store, **server.options) as node:
            create = server.bob.activity("Create", object=Note(id=f"{server.bob.actor}/n", content="hi").to_json())
            assert (await server.bob.deliver_async(node, create, to="alice")).status == 202
            for _ in range(3):
                _ = await node.work(until_idle=True)
            assert await node.follow(server.bob.actor, by="alice")
            assert await node.unfollow(server.bob.actor, by="alice")
            assert await node.block(server.bob.actor, by="alice")
            assert await node.remove_follower(server.bob.actor, by="alice") is None
            assert (await node.pending_follows("alice")).items == ()
            await node.append("list", "https://a.example/1")
            assert (await node.contains("list", "https://a.example/1"), await node.count("list")) == (True, 1)
            await node.remove("list", "https://a.example/1")
            assert (await node.members("list")).items == ()
            for _ in range(3):
                _ = await node.work(until_idle=True)

    asyncio.run(run())
    assert server.types_received(server.bob) == [*SENT, "Follow", "Undo", "Block"]


def test_handler_that_fails_has_changed_nothing() -> None:
    federation = make_federation()

    @federation.on(Create)
    def fail(ctx: Any, activity: Any) -> None:
        ctx.accept_follow(activity.actor.uri, by="alice")
        raise RuntimeError("later")

    server = RelationServer(federation)
    server.receive(server.bob, "Follow", object=ALICE)
    server.receive(server.bob, "Create", object={"type": "Note", "id": f"{server.bob.actor}/n"})
    assert server.types_received(server.bob) == []
    assert (server.node.count(FOLLOWERS), len(server.node.pending_follows("alice").items)) == (0, 1)


# --- the order of deliveries, and pages -----------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 5])
def test_activities_about_one_relation_arrive_in_their_order(rounds: int) -> None:
    server = RelationServer()
    server.receive(server.bob, "Follow", object=ALICE)
    actions = ["accept_follow", "follow", "unfollow", "block", "unblock"]
    for _ in range(rounds):
        for name in actions if rounds == 1 else actions[1:]:
            assert getattr(server.node, name)(server.bob.actor, by="alice") is not None
    server.work()
    one_round = ["Accept", "Follow", "Undo", "Block", "Undo"]
    assert server.types_received(server.bob) == (one_round if rounds == 1 else one_round[1:] * rounds)


def test_pending_requests_are_paged_newest_first_with_the_ids_of_their_follows() -> None:
    server = RelationServer()
    peers = [server.network.peer(f"https://p{number}.example/actor") for number in range(7)]
    follow_ids = [str(server.receive(peer, "Follow", object=ALICE)["id"]) for peer in peers]
    requests, cursor = [], None
    for _ in range(3):
        page = server.node.pending_follows("alice", cursor=cursor, limit=3)
        requests += page.items
        cursor = page.next
    assert cursor is None
    expected = [(peer.actor, follow_id) for peer, follow_id in zip(peers, follow_ids, strict=True)]
    assert [(request.actor, request.id) for request in requests] == expected[::-1]
    assert server.node.pending_follows("carol").items == ()


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_page_of_no_or_too_many_items_is_refused(limit: int) -> None:
    server = RelationServer()
    for read in (server.node.members, server.node.pending_follows):
        with pytest.raises(ValueError, match="a page has 1 to 100 items"):
            read("alice", limit=limit)


def test_managed_collection_is_listed_by_the_order_that_the_application_chooses() -> None:
    node = RelationServer().node
    for name, order in (("b", "2026-02"), ("c", "2026-03"), ("a", "2026-01")):
        node.append(f"{ALICE}/featured", f"https://a.example/{name}", order=order)
    node.append(f"{ALICE}/featured", "https://a.example/a", order="2027")  # it keeps its place
    first = node.members(f"{ALICE}/featured", limit=2)
    rest = node.members(f"{ALICE}/featured", limit=2, cursor=first.next)
    assert [ident[-1] for ident in (*first.items, *rest.items)] == ["c", "b", "a"]
    assert rest.next is None


@pytest.mark.parametrize("order", ["", "x" * 65, "tab\t", "é", "line\n"])
def test_order_that_does_not_sort_as_text_is_refused(order: str) -> None:
    node = RelationServer().node
    with pytest.raises(ValueError, match="1 to 64 printable ASCII characters"):
        node.append("list", "https://a.example/1", order=order)
    assert node.count("list") == 0


def test_node_of_several_origins_finds_the_origin_of_a_collection_itself() -> None:
    origins = [HERE, "https://second.example"]
    node = Node(make_federation(), origins, "memory:", transport=PeerNetwork(), signer=ReusedKeys())
    node.append("https://second.example/users/alice/featured", "https://a.example/1")
    assert node.count("https://second.example/users/alice/featured") == 1
    with pytest.raises(ValueError, match="name one origin"):
        node.append("list", "https://a.example/1")


def test_outbox_has_the_order_of_publishing_within_one_commit_and_one_millisecond() -> None:
    federation = make_federation()

    @federation.on(Create)
    def publish_several(ctx: Any, activity: Any) -> None:
        for number in range(5):
            ctx.publish(Note(content=str(number)), by="alice")

    server = RelationServer(federation)
    server.receive(server.bob, "Create", object={"type": "Note", "id": f"{server.bob.actor}/n"})
    for number in range(5, 15):
        server.node.publish(Note(content=str(number)), by="alice")
    listed = server.node.members(f"{ALICE}/outbox").items
    contents = []
    for ident in listed[::-1]:
        response = server.node.handle(Request("GET", ident, Headers({"Accept": "application/activity+json"})))
        assert isinstance(response, Response)
        contents.append(int(json.loads(response.body)["object"]["content"]))
    assert contents == list(range(15))
