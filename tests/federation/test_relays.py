"""Check subscriptions to relays of both kinds, and the activities that a relay sends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import ContractError, Refused
from apcore.federation import DomainRules, Drop, Federation, InboxPolicy
from apcore.federation.relays import RELAYS_MAX
from apcore.http import Headers, Request, Response
from apcore.node import AsyncNode, Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Activity, Announce, Create, Delete, Follow, Like, Note, Person, Undo

HERE = "https://local.example"
HOST = "local.example"
ALICE = f"{HERE}/users/alice"
INSTANCE = f"{HERE}/actor"
FOLLOWING = f"{INSTANCE}#following"
RELAY = "https://relay.example/actor"
BOB = "https://remote.example/users/bob"
AS2 = "https://www.w3.org/ns/activitystreams"


class Server:
    """A node with an actor `alice`, a relay, and Bob on a third server."""

    def __init__(
        self,
        *,
        rules: DomainRules | None = None,
        switched_off: tuple[str, ...] = (),
        listens_to: tuple[type[Activity], ...] = (Create, Announce),
        on_announce: Any = None,
        **options: Any,
    ) -> None:
        self.heard: list[tuple[str, str | None, str | None, str | None]] = []
        self.network = PeerNetwork()
        self.relay = self.network.peer(RELAY, type="Application")
        self.bob = self.network.peer(BOB)
        federation: Federation[None] = Federation(software="test/1.0", **options)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"alice", HOST} else None

        def heard(ctx: Any, activity: Activity) -> None:
            uri = None if activity.object is None else activity.object.uri
            self.heard.append((activity.document.types[0], uri, ctx.auth_method, ctx.relayed_by))

        for kind in listens_to:
            federation.on(kind)(on_announce if on_announce is not None and kind is Announce else heard)
        if rules is not None:
            federation.blocks(rules)
        for name in switched_off:
            federation.switch_off(name)
        self.node = Node(federation, HERE, "memory:", transport=self.network, signer=ReusedKeys(), slots=0)
        self.network.join(self.node)

    def work(self) -> None:
        for _ in range(3):
            self.node.work(until_idle=True)

    def deliver(self, peer: Peer, activity: Any, to: str | None = None) -> int:
        status = peer.deliver(self.node, activity, to=to).status
        self.work()
        return status

    def following(self, collection: str = FOLLOWING) -> list[Any]:
        return list(self.node.members(collection).items)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.node.close()


# --- the instance actor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "us", "collection"), [(HOST, INSTANCE, FOLLOWING), ("alice", ALICE, None)])
def test_accepted_follow_of_the_public_is_a_subscription(
    server: Server, by: str, us: str, collection: str | None
) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=by, to=RELAY)
    server.work()
    [arrival] = server.relay.received
    follow = arrival.activity
    assert (follow["id"], follow["actor"], follow["object"]) == (follow_id, us, PUBLIC)
    assert follow_id.startswith(f"{us}#follow/")
    assert arrival.key_id == f"{us}#main-key"
    members = collection or f"{ALICE}/following"
    assert server.following(members) == []
    accept = server.relay.activity("Accept", object={"id": follow_id, "type": "Follow", "actor": us, "object": PUBLIC})
    assert server.deliver(server.relay, accept) == 202
    assert server.following(members) == [RELAY]


ACCEPTED = {
    "by its id": lambda follow_id: follow_id,
    "with its object": lambda follow_id: {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": PUBLIC},
    "with a short name of the public": lambda follow_id: {
        "id": follow_id,
        "type": "Follow",
        "actor": INSTANCE,
        "object": "as:Public",
    },
    "with the relay as its object": lambda follow_id: {
        "id": follow_id,
        "type": "Follow",
        "actor": INSTANCE,
        "object": RELAY,
    },
    "with an id of the relay": lambda follow_id: {
        "id": f"{RELAY}#1",
        "type": "Follow",
        "actor": INSTANCE,
        "object": PUBLIC,
    },
}


@pytest.mark.parametrize("make_object", ACCEPTED.values(), ids=ACCEPTED)
def test_relays_name_the_follow_in_their_accept_in_several_ways(server: Server, make_object: Any) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.work()
    accept = server.relay.activity("Accept", object=make_object(follow_id))
    assert server.deliver(server.relay, accept) == 202
    assert server.following() == [RELAY]


def test_accept_by_another_actor_subscribes_to_nothing(server: Server) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.work()
    follow = {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": PUBLIC}
    assert server.deliver(server.bob, server.bob.activity("Accept", object=follow)) == 202
    assert server.following() == []


def test_undone_follow_of_the_public_ends_the_subscription(server: Server) -> None:
    follow_id = server.node.send(Follow(object=PUBLIC), by=HOST, to=RELAY)
    server.deliver(server.relay, server.relay.activity("Accept", object=follow_id))
    assert server.following() == [RELAY]
    server.node.send(Undo(object=Follow(id=follow_id, actor=INSTANCE, object=PUBLIC)), by=HOST, to=RELAY)
    server.work()
    assert server.following() == []
    assert server.relay.received[-1].activity["object"]["object"] == PUBLIC


def test_instance_actor_publishes_nothing(server: Server) -> None:
    with pytest.raises(ValueError, match="has no outbox"):
        server.node.publish(Note(content="hi"), by=HOST)


def test_name_of_the_host_is_no_other_actor(server: Server) -> None:
    """The application's handler knows the name, but it belongs to the instance actor, as in WebFinger."""
    for path in ("/users/local.example", "/users/local.example/followers"):
        request = Request("GET", HERE + path, Headers({"Accept": "application/activity+json"}))
        answer = server.node.handle(request)
        assert isinstance(answer, Response)
        assert answer.status == 404
    follow = server.bob.activity("Follow", object=f"{HERE}/users/{HOST}")
    assert server.deliver(server.bob, follow) == 202
    assert server.bob.received == []


def test_stranger_cannot_follow_the_instance_actor(server: Server) -> None:
    assert server.deliver(server.bob, server.bob.activity("Follow", object=INSTANCE)) == 202
    assert server.bob.received == []
    assert server.following(f"{INSTANCE}#followers") == []


# --- joining and leaving ---------------------------------------------------------------------------------------------

INBOX = "https://relay.example/inbox"
URLS = {"mastodon": INBOX, "litepub": RELAY}
KINDS = pytest.mark.parametrize("kind", ["mastodon", "litepub"])


def answer(server: Server, type_name: str, follow_id: str, peer: Peer | None = None) -> None:
    by = peer or server.relay
    follow = {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": PUBLIC}
    assert server.deliver(by, by.activity(type_name, object=follow)) == 202


@KINDS
def test_relay_is_joined_by_a_follow_and_left_by_its_undo(server: Server, kind: Any) -> None:
    url, object_ = URLS[kind], PUBLIC if kind == "mastodon" else RELAY
    follow_id = server.node.join_relay(url, kind=kind)
    assert server.node.relays() == {url: "pending"}
    server.work()
    [arrival] = server.relay.received
    assert (arrival.activity["type"], arrival.activity["id"]) == ("Follow", follow_id)
    assert (arrival.activity["actor"], arrival.activity["object"]) == (INSTANCE, object_)
    assert arrival.key_id == f"{INSTANCE}#main-key"
    answer(server, "Accept", follow_id)
    assert server.node.relays() == {url: "accepted"}
    assert server.following() == [RELAY]
    undo_id = server.node.leave_relay(url)
    assert server.node.relays() == {}
    assert server.following() == []
    server.work()
    undo = server.relay.received[-1].activity
    assert (undo["type"], undo["id"], undo["actor"]) == ("Undo", undo_id, INSTANCE)
    assert undo["object"] == {"id": follow_id, "type": "Follow", "actor": INSTANCE, "object": object_}
    assert server.node.leave_relay(url) is None


@KINDS
def test_relay_may_reject(server: Server, kind: Any) -> None:
    follow_id = server.node.join_relay(URLS[kind], kind=kind)
    server.work()
    answer(server, "Reject", follow_id)
    assert server.node.relays() == {URLS[kind]: "rejected"}
    assert server.following() == []


@KINDS
def test_relay_may_end_the_subscription_and_accept_again(server: Server, kind: Any) -> None:
    follow_id = server.node.join_relay(URLS[kind], kind=kind)
    server.work()
    for type_name, state in (("Accept", "accepted"), ("Reject", "rejected"), ("Accept", "accepted")):
        answer(server, type_name, follow_id)
        assert server.node.relays() == {URLS[kind]: state}


@KINDS
def test_answer_of_another_server_changes_nothing(server: Server, kind: Any) -> None:
    follow_id = server.node.join_relay(URLS[kind], kind=kind)
    server.work()
    answer(server, "Accept", follow_id, server.bob)
    assert server.node.relays() == {URLS[kind]: "pending"}
    assert server.following() == []


def test_accept_that_names_the_follow_by_its_id_joins_a_relay_known_by_its_inbox(server: Server) -> None:
    follow_id = server.node.join_relay(INBOX, kind="mastodon")
    server.work()
    assert server.deliver(server.relay, server.relay.activity("Accept", object=follow_id)) == 202
    assert server.node.relays() == {INBOX: "accepted"}


def test_only_the_first_actor_that_accepts_is_the_relay(server: Server) -> None:
    follow_id = server.node.join_relay(INBOX, kind="mastodon")
    server.work()
    answer(server, "Accept", follow_id)
    answer(server, "Accept", follow_id, server.network.peer("https://relay.example/users/mallory"))
    assert server.following() == [RELAY]


def test_joining_again_sends_another_follow(server: Server) -> None:
    follow_ids = [server.node.join_relay(INBOX, kind="mastodon") for _ in range(2)]
    server.work()
    assert [arrival.activity["id"] for arrival in server.relay.received] == follow_ids
    answer(server, "Accept", follow_ids[1])
    assert server.node.relays() == {INBOX: "accepted"}


def test_pending_subscription_can_be_left(server: Server) -> None:
    server.node.join_relay(INBOX, kind="mastodon")
    assert server.node.leave_relay(INBOX) is not None
    server.work()
    assert [arrival.activity["type"] for arrival in server.relay.received] == ["Follow", "Undo"]
    assert server.node.relays() == {}


@pytest.mark.parametrize(
    ("url", "kind"),
    [("relay.example", "mastodon"), (f"{HERE}/inbox", "mastodon"), (PUBLIC, "litepub"), (INBOX, "pleroma")],
)
def test_address_that_is_no_relay_is_refused(server: Server, url: str, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"address|kind"):
        server.node.join_relay(url, kind=kind)
    assert server.node.relays() == {}


def test_number_of_relays_is_bounded(server: Server) -> None:
    for number in range(RELAYS_MAX):
        server.node.join_relay(f"https://relay{number}.example/inbox", kind="mastodon")
    with pytest.raises(ContractError, match="at most 100"):
        server.node.join_relay(INBOX, kind="mastodon")
    assert server.node.join_relay("https://relay7.example/inbox", kind="mastodon")


def test_async_node_joins_and_leaves_too() -> None:
    async def join() -> list[dict[str, str]]:
        federation: Federation[None] = Federation(software="test/1.0")
        federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
        async with AsyncNode(federation, HERE, "memory:", transport=PeerNetwork(), signer=ReusedKeys()) as node:
            await node.join_relay(INBOX, kind="mastodon")
            states = [await node.relays()]
            await node.leave_relay(INBOX)
            return [*states, await node.relays()]

    assert asyncio.run(join()) == [{INBOX: "pending"}, {}]


# --- activities from a relay ----------------------------------------------------------------------------------------

NOTE = "https://remote.example/notes/1"
CREATE = f"{NOTE}/activity"


def subscribed(**options: Any) -> Server:
    server = Server(**options)
    follow_id = server.node.join_relay(RELAY, kind="litepub")
    server.work()
    answer(server, "Accept", follow_id)
    server.network.exchanges.clear()
    return server


@pytest.fixture
def subscriber() -> Iterator[Server]:
    server = subscribed()
    yield server
    server.node.close()


def published_s_ago(server: Server, seconds: float = 60) -> str:
    return (server.network.clock() - timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def note_of_bob(server: Server, **members: Any) -> dict[str, Any]:
    note = {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB, "content": "hi", "to": [PUBLIC]}
    return note | {"published": published_s_ago(server)} | members


def create_of_bob(server: Server, **members: Any) -> dict[str, Any]:
    note = {name: value for name, value in note_of_bob(server).items() if name != "@context"}
    create = {"@context": AS2, "id": CREATE, "type": "Create", "actor": BOB, "to": [PUBLIC], "object": note}
    return {name: value for name, value in (create | members).items() if value is not None}


def announce(server: Server, object_: Any, by: Peer | None = None) -> int:
    peer = by or server.relay
    return server.deliver(peer, peer.activity("Announce", object=object_, to=[f"{RELAY}/followers"]))


def test_announced_activity_is_fetched_and_reaches_its_own_listener(subscriber: Server) -> None:
    subscriber.bob.serve(CREATE, create_of_bob(subscriber))
    assert announce(subscriber, CREATE) == 202
    assert subscriber.heard == [("Create", NOTE, "origin", RELAY)]


def test_announced_object_reaches_the_listener_for_its_create(subscriber: Server) -> None:
    subscriber.bob.serve(NOTE, note_of_bob(subscriber))
    assert announce(subscriber, NOTE) == 202
    assert subscriber.heard == [("Create", NOTE, "origin", RELAY)]


def test_embedded_activity_with_a_proof_is_not_fetched(subscriber: Server) -> None:
    create = subscriber.bob.prove(create_of_bob(subscriber))
    assert announce(subscriber, create) == 202
    assert subscriber.heard == [("Create", NOTE, "proof", RELAY)]
    assert CREATE not in [exchange.url for exchange in subscriber.network.exchanges]


def test_content_of_an_embedded_activity_is_not_believed(subscriber: Server) -> None:
    subscriber.bob.serve(CREATE, create_of_bob(subscriber))
    forged = create_of_bob(subscriber, object={"id": f"{NOTE}-forged", "type": "Note", "attributedTo": BOB})
    assert announce(subscriber, forged) == 202
    assert subscriber.heard == [("Create", NOTE, "origin", RELAY)]


def test_forwarded_activity_with_an_ld_signature_reaches_its_listener(subscriber: Server) -> None:
    assert subscriber.deliver(subscriber.relay, subscriber.bob.ld_sign(create_of_bob(subscriber))) == 202
    assert subscriber.heard == [("Create", NOTE, "ld-signature", RELAY)]


def test_activity_that_comes_both_ways_is_processed_once(subscriber: Server) -> None:
    create = create_of_bob(subscriber)
    subscriber.bob.serve(CREATE, create)
    for _ in range(2):
        announce(subscriber, CREATE)
        subscriber.deliver(subscriber.relay, subscriber.bob.ld_sign(create))
    assert [kind for kind, *_ in subscriber.heard] == ["Create"]


def test_announce_of_an_actor_that_is_no_relay_reaches_its_own_listener(subscriber: Server) -> None:
    subscriber.bob.serve(CREATE, create_of_bob(subscriber))
    carol = subscriber.network.peer("https://third.example/users/carol")
    assert announce(subscriber, CREATE, by=carol) == 202
    assert subscriber.heard == [("Announce", CREATE, "http-signature", None)]


def test_relay_that_was_left_is_an_actor_like_any_other(subscriber: Server) -> None:
    subscriber.bob.serve(CREATE, create_of_bob(subscriber))
    subscriber.node.leave_relay(RELAY)
    announce(subscriber, CREATE)
    assert subscriber.heard == [("Announce", CREATE, "http-signature", None)]


def test_application_can_have_the_announces_of_relays() -> None:
    server = subscribed(switched_off=("announce",))
    server.bob.serve(CREATE, create_of_bob(server))
    announce(server, CREATE)
    assert server.heard == [("Announce", CREATE, "http-signature", None)]
    server.node.close()


REFUSED: dict[str, Any] = {
    "an activity of ours": lambda server: f"{ALICE}#likes/1",
    "a missing document": lambda server: "https://remote.example/notes/none",
    "an actor": lambda server: BOB,
    "an undated activity": lambda server: served(server, CREATE, create_of_bob(server, object=NOTE)),
    "an old object": lambda server: served(
        server, NOTE, note_of_bob(server, published=published_s_ago(server, 31 * 86400))
    ),
    "an object of the future": lambda server: served(
        server, NOTE, note_of_bob(server, published=published_s_ago(server, -86400))
    ),
    "a note of another server's actor": lambda server: served(server, NOTE, note_of_bob(server, attributedTo=ALICE)),
    "a note without an author": lambda server: served(server, NOTE, note_of_bob(server, attributedTo=None)),
    "a tombstone": lambda server: served(server, NOTE, note_of_bob(server, type="Tombstone")),
    "an activity of another actor": lambda server: served(
        server, CREATE, create_of_bob(server, actor="https://third.example/users/carol")
    ),
    "a link without a server": lambda server: "https://nowhere.example/1",
}


def served(server: Server, uri: str, document: dict[str, Any]) -> str:
    server.bob.serve(uri, document)
    return uri


@pytest.mark.parametrize("make_object", REFUSED.values(), ids=REFUSED)
def test_announced_content_that_cannot_be_proved_is_dropped(subscriber: Server, make_object: Any) -> None:
    assert announce(subscriber, make_object(subscriber)) == 202
    assert subscriber.heard == []


@pytest.mark.parametrize("mentions", [[ALICE], [ALICE, f"{HERE}/users/carol"]], ids=["blocking", "another one too"])
def test_relayed_activity_of_an_actor_that_all_its_addressees_block_is_dropped(
    subscriber: Server, mentions: list[str]
) -> None:
    subscriber.node.block(BOB, by="alice")
    subscriber.bob.serve(CREATE, create_of_bob(subscriber, cc=mentions))
    assert announce(subscriber, CREATE) == 202
    assert [kind for kind, *_ in subscriber.heard] == ["Create"] * (len(mentions) - 1)


def test_relayed_activity_of_a_stranger_that_names_too_many_actors_is_dropped() -> None:
    server = subscribed(inbox=InboxPolicy(stranger_mentions_max=1))
    server.bob.serve(CREATE, create_of_bob(server, cc=[ALICE, f"{HERE}/users/carol"]))
    announce(server, CREATE)
    assert server.heard == []
    server.node.close()


def test_suspended_domain_is_not_fetched_for_a_relay() -> None:
    server = subscribed(rules=DomainRules.suspending(["remote.example"]))
    server.bob.serve(CREATE, create_of_bob(server))
    announce(server, CREATE)
    assert server.heard == []
    assert "remote.example" not in str(server.network.exchanges)
    server.node.close()


def test_announce_without_a_listener_costs_nothing_unless_a_relay_sent_it() -> None:
    server = subscribed(listens_to=(Create,))
    server.bob.serve(CREATE, create_of_bob(server))
    carol = server.network.peer("https://third.example/users/carol")
    announce(server, CREATE, by=carol)
    assert server.heard == []
    assert CREATE not in [exchange.url for exchange in server.network.exchanges]
    announce(server, CREATE)
    assert server.heard == [("Create", NOTE, "origin", RELAY)]
    server.node.close()


# --- routing by a listener -------------------------------------------------------------------------------------------


def test_listener_routes_what_a_group_announces() -> None:
    answers: list[bool] = []
    server = Server(on_announce=lambda ctx, activity: answers.append(ctx.route(activity.object)))
    server.bob.serve(CREATE, create_of_bob(server))
    group = server.network.peer("https://third.example/groups/club", type="Group")
    for _ in range(2):
        announce(server, create_of_bob(server), by=group)
    assert server.heard == [("Create", NOTE, "origin", group.actor)]
    assert answers == [True, False]
    server.node.close()


def test_routed_activity_is_discarded_with_a_handler_that_fails() -> None:
    def fail(ctx: Any, activity: Announce) -> None:
        assert ctx.route(CREATE)
        assert not ctx.route(CREATE)
        raise Drop("not today")

    server = Server(on_announce=fail)
    server.bob.serve(CREATE, create_of_bob(server))
    announce(server, CREATE, by=server.bob)
    assert server.heard == []
    server.node.close()


@pytest.mark.parametrize("kind", ["Move", "Delete", "Update"])
def test_routed_change_of_an_actor_of_ours_is_refused(kind: str) -> None:
    errors: list[str] = []

    def route(ctx: Any, activity: Announce) -> None:
        with pytest.raises(Refused) as caught:
            ctx.route(activity.object)
        errors.append(str(caught.value))

    server = Server(on_announce=route)
    change = create_of_bob(server, type=kind, object=ALICE, target=BOB, published=published_s_ago(server))
    server.bob.serve(CREATE, change)
    announce(server, CREATE, by=server.bob)
    assert len(errors) == 1
    assert server.heard == []
    server.node.close()


def test_routed_activity_without_a_listener_is_not_stored() -> None:
    answers: list[bool] = []
    server = Server(on_announce=lambda ctx, activity: answers.append(ctx.route(activity.object)))
    server.bob.serve(CREATE, create_of_bob(server, type="Listen", published=published_s_ago(server)))
    announce(server, CREATE, by=server.bob)
    assert answers == [False]
    server.node.close()


def test_only_a_listener_routes() -> None:
    federation: Federation[None] = Federation(software="test/1.0")
    errors: list[str] = []

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        try:
            ctx.route(NOTE)
        except ContractError as error:
            errors.append(str(error))
        return None

    with Node(federation, HERE, "memory:", transport=PeerNetwork(), signer=ReusedKeys()) as node:
        node.handle(Request("GET", ALICE, Headers({"Accept": "application/activity+json"})))
    assert errors == ["only a listener can route another activity"]


# --- activities for relays -------------------------------------------------------------------------------------------


@KINDS
def test_relay_gets_public_activities_and_no_others(kind: Any) -> None:
    server = Server(document_signatures=("eddsa-jcs-2022", "RsaSignature2017"))
    follow_id = server.node.join_relay(URLS[kind], kind=kind)
    server.work()
    answer(server, "Accept", follow_id)
    server.relay.received.clear()
    public = server.node.publish(Note(content="for all"), by="alice")
    server.node.publish(Note(content="unlisted"), by="alice", to=f"{ALICE}/followers")
    server.node.publish(Note(content="unlisted", cc=[PUBLIC]), by="alice")
    server.node.send(Like(object=NOTE, to=[PUBLIC]), by="alice", to=())
    server.work()
    [arrival] = server.relay.received
    assert arrival.inbox == (INBOX if kind == "mastodon" else server.relay.shared_inbox)
    assert arrival.activity["object"]["id"] == public
    assert {"proof", "signature"} <= arrival.activity.keys()
    server.node.send(Delete(object=public, to=[PUBLIC]), by="alice", to=())
    server.work()
    assert [one.activity["type"] for one in server.relay.received] == ["Create", "Delete"]
    server.node.close()


@pytest.mark.parametrize("state", ["none", "pending", "rejected", "left"])
def test_relay_without_a_subscription_gets_nothing(server: Server, state: str) -> None:
    follow_id = None if state == "none" else server.node.join_relay(RELAY, kind="litepub")
    server.work()
    if follow_id is not None and state != "pending":
        answer(server, "Reject" if state == "rejected" else "Accept", follow_id)
    if state == "left":
        server.node.leave_relay(RELAY)
    server.work()
    server.relay.received.clear()
    server.node.publish(Note(content="for all"), by="alice")
    server.work()
    assert server.relay.received == []


def test_relay_that_we_follow_may_follow_back(subscriber: Server) -> None:
    subscriber.relay.received.clear()
    follow = subscriber.relay.activity("Follow", object=INSTANCE)
    assert subscriber.deliver(subscriber.relay, follow) == 202
    [arrival] = subscriber.relay.received
    assert (arrival.activity["type"], arrival.activity["object"]["id"]) == ("Accept", follow["id"])
    assert arrival.key_id == f"{INSTANCE}#main-key"
    assert subscriber.following(f"{INSTANCE}#followers") == [RELAY]
