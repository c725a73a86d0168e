"""Check that received activities are forwarded to followers of ours: only the right ones, once, and byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from apcore.errors import ConfigurationError, ContractError, Unavailable
from apcore.federation import DomainRules, Drop, Federation, Severity
from apcore.federation.inbox.forwarding import DEPTH_MAX, FETCHES_MAX
from apcore.federation.reconcile import reconcile
from apcore.federation.worker import handle, lease_work
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import PUBLIC, Create, Delete, Note, Object, Person
from inbox_fixture import Ground

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
FOLLOWERS = f"{ALICE}/followers"
BOB = "https://remote.example/users/bob"
CAROL = "https://third.example/users/carol"
DAN = "https://fourth.example/users/dan"
THEIRS = "https://remote.example/notes"


class Server:
    """A node with the actor `alice`, her followers Carol and Dan, and Bob as a correspondent."""

    def __init__(self, *, rules: DomainRules | None = None, **options: Any) -> None:
        self.heard: list[str | None] = []
        self.listeners: list[Callable[[Any], object]] = []
        self.network = PeerNetwork()
        self.bob, self.carol, self.dan = map(self.network.peer, (BOB, CAROL, DAN))
        federation: Federation[None] = Federation(software="test/1.0", **options)
        if rules is not None:
            federation.blocks(rules)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"alice", "zoe"} else None

        @federation.object(Object, "/things/{name}")
        def thing(ctx: Any, name: str) -> Object | None:
            return Object(name=name) if name == "here" else None

        @federation.on(Create)
        def heard(ctx: Any, activity: Create) -> None:
            self.heard.append(activity.id)
            for listener in self.listeners:
                listener(ctx)

        self.node = Node(federation, HERE, "memory:", transport=self.network, signer=ReusedKeys(), slots=0)
        self.network.join(self.node)
        for peer in (self.carol, self.dan):
            self.deliver(peer.activity("Follow", object=ALICE), by=peer)
            peer.received.clear()
        self.note = self.node.publish(Note(content="hello"), by="alice", to=BOB)
        self.work()

    def work(self) -> None:
        for _ in range(3):
            self.node.work(until_idle=True)

    def deliver(self, activity: Any, *, by: Peer | None = None, to: str | None = None) -> int:
        response = (by or self.bob).deliver(self.node, activity, to=to)
        self.work()
        return response.status

    def reply(self, **members: Any) -> dict[str, Any]:
        """Make Bob's reply to Alice's note, addressed to her followers."""
        note = {"id": f"{THEIRS}/1", "type": "Note", "attributedTo": BOB, "content": "hi", "inReplyTo": self.note}
        note = {name: value for name, value in (note | members.pop("note", {})).items() if value is not None}
        return self.bob.activity("Create", object=note, **({"to": [FOLLOWERS]} | members))

    @property
    def forwarded(self) -> list[dict[str, Any]]:
        assert [arrival for arrival in self.bob.received if arrival.activity["actor"] == BOB] == []
        peers = (self.carol, self.dan)
        carols, dans = ([one.activity for one in peer.received if one.activity["actor"] == BOB] for peer in peers)
        assert carols == dans
        return carols


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.node.close()


@pytest.mark.parametrize("sign", ["prove", "ld_sign"])
def test_signed_reply_for_our_followers_reaches_them_byte_for_byte(server: Server, sign: str) -> None:
    body = json.dumps(getattr(server.bob, sign)(server.reply()), indent=1).encode()
    assert server.deliver(body, to="alice") == 202
    [arrival] = server.carol.received
    assert arrival.request.body == body
    assert arrival.key_id == f"{ALICE}#main-key"
    assert len(server.forwarded) == 1


def test_forwarded_activity_is_proved_at_its_receiver(server: Server) -> None:
    heard: list[tuple[str | None, str | None]] = []
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier)

    federation.on(Create)(lambda ctx, activity: heard.append((activity.actor and activity.actor.uri, ctx.auth_method)))
    with Node(federation, "https://fifth.example", "memory:", transport=server.network, signer=ReusedKeys()) as fifth:
        server.network.join(fifth)
        fifth.follow(ALICE, by="eve")
        fifth.work(until_idle=True)
        server.work()
        server.deliver(server.bob.prove(server.reply()))
        fifth.work(until_idle=True)
    assert heard == [(BOB, "proof")]


def test_unsigned_reply_is_not_forwarded(server: Server) -> None:
    assert server.deliver(server.reply()) == 202
    assert server.heard
    assert server.forwarded == []


@pytest.mark.parametrize(("forwarding", "count"), [("off", 0), ("signed", 1), ("all", 2)])
def test_policy_decides_what_is_forwarded(forwarding: Any, count: int) -> None:
    server = Server(forwarding=forwarding)
    server.deliver(server.reply())
    server.deliver(server.bob.prove(server.reply(note={"id": f"{THEIRS}/2"})))
    assert len(server.forwarded) == count
    server.node.close()


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="off, signed or all"):
        Federation(forwarding="some")  # type: ignore[arg-type]


def test_activity_is_forwarded_once_however_often_it_arrives(server: Server) -> None:
    activity = server.bob.prove(server.reply())
    for to in ("alice", "alice", "zoe", None):
        assert server.deliver(activity, to=to) == 202
    assert server.deliver(activity, by=server.carol) == 202
    assert len(server.forwarded) == 1


def test_activity_without_a_listener_is_forwarded(server: Server) -> None:
    like = server.bob.prove(server.bob.activity("Like", object=server.note, to=[FOLLOWERS]))
    assert server.deliver(like) == 202
    assert [activity["id"] for activity in server.forwarded] == [like["id"]]


ADDRESSED = {
    "to": ({"to": [FOLLOWERS]}, 1),
    "cc": ({"to": [PUBLIC], "cc": [FOLLOWERS]}, 1),
    "audience": ({"to": [], "audience": FOLLOWERS}, 1),
    "nobody": ({"to": []}, 0),
    "the public": ({"to": [PUBLIC]}, 0),
    "our actor": ({"to": [ALICE]}, 0),
    "those that we follow": ({"to": [f"{ALICE}/following"]}, 0),
    "followers of an unknown actor": ({"to": [f"{HERE}/users/nobody/followers"]}, 0),
    "followers of the author": ({"to": [f"{BOB}/followers"]}, 0),
}


@pytest.mark.parametrize(("members", "count"), ADDRESSED.values(), ids=ADDRESSED)
def test_only_activities_for_our_followers_are_forwarded(server: Server, members: dict[str, Any], count: int) -> None:
    assert server.deliver(server.bob.prove(server.reply(**members))) == 202
    assert len(server.forwarded) == count


def mention(uri: str) -> dict[str, Any]:
    return {"inReplyTo": None, "tag": [{"type": "Mention", "href": uri, "name": "@someone"}]}


REFERRED = {
    "a reply to our note": (lambda server: {"note": {}}, 1),
    "a mention of our actor": (lambda server: {"note": mention(ALICE)}, 1),
    "a mention of another": (lambda server: {"note": mention(CAROL)}, 0),
    "a reply to a missing note": (lambda server: {"note": {"inReplyTo": f"{ALICE}/objects/none"}}, 0),
    "a reply to the author's own note": (lambda server: {"note": {"inReplyTo": f"{THEIRS}/9"}}, 0),
    "no reference": (lambda server: {"note": {"inReplyTo": None}}, 0),
    "an object of the application": (lambda server: {"note": {"inReplyTo": f"{HERE}/things/here"}}, 1),
    "a missing object of the application": (lambda server: {"note": {"inReplyTo": f"{HERE}/things/gone"}}, 0),
    "a target of ours": (lambda server: {"note": {"inReplyTo": None}, "target": FOLLOWERS}, 1),
    "the address of our inbox": (lambda server: {"note": {"inReplyTo": f"{HERE}/inbox"}}, 0),
}


@pytest.mark.parametrize(("make_members", "count"), REFERRED.values(), ids=REFERRED)
def test_only_activities_about_something_of_ours_are_forwarded(
    server: Server, make_members: Callable[[Server], dict[str, Any]], count: int
) -> None:
    assert server.deliver(server.bob.prove(server.reply(**make_members(server)))) == 202
    assert len(server.forwarded) == count


def test_deleted_note_is_nothing_of_ours(server: Server) -> None:
    server.node.send(Delete(object=server.note), by="alice", to=())
    assert server.deliver(server.bob.prove(server.reply())) == 202
    assert server.forwarded == []


@pytest.mark.parametrize(("distance", "count"), [(1, 1), (DEPTH_MAX - 1, 1), (DEPTH_MAX, 0), (50, 0)])
def test_thread_is_followed_to_our_note_over_a_few_documents(server: Server, distance: int, count: int) -> None:
    for number in range(distance):
        following = f"{THEIRS}/t{number + 1}" if number + 1 < distance else server.note
        note = {"@context": "https://www.w3.org/ns/activitystreams", "id": f"{THEIRS}/t{number}", "type": "Note"}
        server.bob.serve(f"{THEIRS}/t{number}", note | {"attributedTo": BOB, "inReplyTo": following})
    server.network.exchanges.clear()
    server.deliver(server.bob.prove(server.reply(note={"inReplyTo": f"{THEIRS}/t0"})))
    assert len(server.forwarded) == count
    notes = [exchange for exchange in server.network.exchanges if exchange.url.startswith(f"{THEIRS}/t")]
    assert len(notes) <= DEPTH_MAX


def test_number_of_fetches_is_bounded(server: Server) -> None:
    server.network.exchanges.clear()
    objects = [f"{THEIRS}/o{number}" for number in range(30)]
    server.deliver(server.bob.prove(server.bob.activity("Like", object=objects, to=[FOLLOWERS])))
    assert server.forwarded == []
    assert len([one for one in server.network.exchanges if one.url.startswith(f"{THEIRS}/o")]) == FETCHES_MAX


def test_blocked_author_reaches_no_followers(server: Server) -> None:
    server.node.block(BOB, by="alice")
    server.work()
    server.bob.received.clear()
    server.deliver(server.bob.prove(server.reply()))
    assert server.forwarded == []


def test_silenced_domain_reaches_no_followers() -> None:
    server = Server(rules=DomainRules({"remote.example": Severity.SILENCE}))
    server.deliver(server.bob.prove(server.reply()))
    assert server.heard
    assert server.forwarded == []
    server.node.close()


def test_listener_that_drops_the_activity_prevents_the_forwarding(server: Server) -> None:
    def drop(ctx: Any) -> None:
        raise Drop("spam")

    server.listeners.append(drop)
    server.deliver(server.bob.prove(server.reply()))
    assert server.forwarded == []


def test_servers_that_it_came_from_get_nothing(server: Server) -> None:
    neighbour = server.network.peer("https://remote.example/users/neighbour")
    server.deliver(neighbour.activity("Follow", object=ALICE), by=neighbour)
    neighbour.received.clear()
    # Carol's server delivers it. A proof needs no signed request, so only an LD signature names the deliverer.
    server.deliver(server.bob.ld_sign(server.reply()), by=server.carol)
    peers = (server.dan, server.carol, neighbour, server.bob)
    arrivals = [[one for one in peer.received if one.activity["actor"] == BOB] for peer in peers]
    assert [len(received) for received in arrivals] == [1, 0, 0, 0]


def test_listener_forwards_an_activity_where_it_likes(server: Server) -> None:
    server.listeners.append(lambda ctx: ctx.forward(by="alice", to=[CAROL, f"{ALICE}/followers"]))
    body = json.dumps(server.bob.prove(server.reply(to=[PUBLIC]))).encode()
    server.deliver(body)
    assert [peer.received[0].request.body for peer in (server.carol, server.dan)] == [body, body]
    assert len(server.forwarded) == 1


def test_explicit_forwarding_replaces_that_by_rule(server: Server) -> None:
    server.listeners.append(lambda ctx: ctx.forward(by="zoe", to=FOLLOWERS))
    server.deliver(server.bob.prove(server.reply()))
    assert [arrival.key_id for arrival in server.carol.received] == [f"{HERE}/users/zoe#main-key"]


def test_forwarding_to_no_address_is_refused(server: Server) -> None:
    errors: list[Exception] = []

    def forward(ctx: Any) -> None:
        try:
            ctx.forward(by="alice", to="followers")
        except ValueError as error:
            errors.append(error)

    server.listeners.append(forward)
    server.deliver(server.reply())
    assert "is not the address" in str(errors[0])


def test_only_a_listener_of_a_received_activity_can_forward(server: Server) -> None:
    errors: list[str] = []

    def forward(ctx: Any) -> None:
        try:
            ctx.forward(by="alice", to=CAROL)
        except ContractError as error:
            errors.append(str(error))

    server.listeners.append(forward)
    server.node.send(Create(object=Note(content="x", id=f"{ALICE}#n")), by="zoe", to=ALICE)
    server.work()
    assert "only a received activity can be forwarded" in errors[0]


def test_nothing_of_a_forwarded_activity_stays_behind(server: Server) -> None:
    server.deliver(server.bob.prove(server.reply()))
    store: Any = server.node.ports.store
    assert store.scan(("in-bytes",), limit=10) == store.scan(("in-todo",), limit=10) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_activity_is_forwarded_once_after_any_single_failure(when: Any) -> None:
    rounds = 0
    for sabotage in fault_loop(when=when):
        ground = Ground()
        assert ground.carol.deliver(ground.node, ground.carol.activity("Follow", object=ALICE)).status == 202
        ground.work()
        ground.carol.received.clear()
        like = ground.bob.prove(ground.bob.activity("Like", object=ALICE, to=[FOLLOWERS]))
        assert ground.bob.deliver(ground.node, like).status == 202
        [lease] = ground.node.run(lease_work(0))
        with suppress(Unavailable):  # if its settlement fails, the lease expires
            ground.node.run(inject_failure(handle(ground.node.site(), lease), sabotage))
        for _ in range(4):
            ground.clock.pass_s(700)
            ground.node.run(reconcile())
            ground.work()
        assert [arrival.activity["id"] for arrival in ground.carol.received] == [like["id"]]
        assert ground.kinds() & {"in-todo", "in-bytes", "send", "out", "out-retry"} == set()
        rounds += 1
    assert rounds > 5
