"""Check a relay of ours: its subscribers, and the activities that they get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apcore.errors import ConfigurationError
from apcore.federation import DomainRules, Federation, FollowVerdict, Severity
from apcore.federation.inbox.relaying import SUBSCRIBERS_MAX
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Activity, Application, Create, Note, Person

HUB = "https://hub.example"
RELAY = f"{HUB}/users/relay"
SUBSCRIBERS = f"{RELAY}/followers"
NOTE = "https://one.example/notes/1"


class Hub:
    """A node with a relay; the instance actors of two servers, and Bob on the first of them."""

    def __init__(self, *, rules: DomainRules | None = None, verdict: Any = None, **options: Any) -> None:
        self.network = PeerNetwork()
        self.one = self.network.peer("https://one.example/actor", type="Application")
        self.two = self.network.peer("https://two.example/actor", type="Application")
        self.bob = self.network.peer("https://one.example/users/bob")
        federation: Federation[None] = Federation(software="hub/1.0", **options)
        if rules is not None:
            federation.blocks(rules)
        if verdict is not None:
            federation.follows(verdict)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Application | None:
            return Application(name="A relay") if identifier == "relay" else None

        federation.relay("relay")
        self.node = Node(federation, HUB, "memory:", transport=self.network, signer=ReusedKeys(), slots=0)
        self.network.join(self.node)

    def work(self) -> None:
        for _ in range(3):
            self.node.work(until_idle=True)

    def deliver(self, peer: Peer, activity: Any, to: str | None = "relay") -> int:
        status = peer.deliver(self.node, activity, to=to).status
        self.work()
        return status

    def subscribe(self, *peers: Peer, object_: str = PUBLIC, to: str | None = "relay") -> list[dict[str, Any]]:
        follows = [peer.activity("Follow", object=object_) for peer in peers]
        for peer, follow in zip(peers, follows, strict=True):
            assert self.deliver(peer, follow, to) == 202
        return follows

    @property
    def subscribers(self) -> list[Any]:
        return sorted(self.node.members(SUBSCRIBERS).items)

    def create(self, kind: str = "Create", **members: Any) -> dict[str, Any]:
        note = {"id": NOTE, "type": "Note", "attributedTo": self.bob.actor, "content": "hi", "to": [PUBLIC]}
        return self.bob.activity(kind, **({"object": note, "to": [PUBLIC]} | members))

    def relayed(self, peer: Peer) -> list[dict[str, Any]]:
        return [one.activity for one in peer.received if one.activity["type"] not in {"Accept", "Follow", "Reject"}]


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.node.close()


@pytest.mark.parametrize("to", ["relay", None], ids=["its inbox", "the shared inbox"])
@pytest.mark.parametrize("object_", [PUBLIC, "as:Public", RELAY])
def test_server_subscribes_with_a_follow_and_leaves_with_its_undo(hub: Hub, object_: str, to: str | None) -> None:
    [follow] = hub.subscribe(hub.one, object_=object_, to=to)
    assert hub.subscribers == [hub.one.actor]
    accept = hub.one.received[0].activity
    assert (accept["type"], accept["actor"], accept["object"]["id"]) == ("Accept", RELAY, follow["id"])
    followed_back = [one.activity["object"] for one in hub.one.received if one.activity["type"] == "Follow"]
    assert followed_back == ([hub.one.actor] if object_ == RELAY else [])
    assert hub.deliver(hub.one, hub.one.activity("Undo", object=follow), to) == 202
    assert hub.subscribers == []


def test_policy_for_follows_decides_about_subscriptions() -> None:
    hub = Hub(verdict=FollowVerdict.PENDING)
    hub.subscribe(hub.one)
    assert hub.subscribers == []
    assert [request.actor for request in hub.node.pending_follows("relay").items] == [hub.one.actor]
    hub.node.accept_follow(hub.one.actor, by="relay")
    assert hub.subscribers == [hub.one.actor]
    hub.node.close()


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete", "Move"])
@pytest.mark.parametrize("sign", ["prove", "ld_sign"])
def test_signed_public_activity_reaches_the_other_subscribers_as_it_came(hub: Hub, sign: str, kind: str) -> None:
    hub.subscribe(hub.one, hub.two)
    members = {"object": hub.bob.actor, "target": f"{hub.bob.actor}2"} if kind == "Move" else {}
    body = json.dumps(getattr(hub.bob, sign)(hub.create(kind, **members))).encode()
    for to in ("relay", None):
        assert hub.deliver(hub.bob, body, to) == 202
    [arrival] = [one for one in hub.two.received if one.activity["type"] == kind]
    assert arrival.request.body == body
    assert arrival.key_id == f"{RELAY}#main-key"
    assert hub.relayed(hub.one) == []


def test_unsigned_create_is_announced(hub: Hub) -> None:
    hub.subscribe(hub.one, hub.two)
    create = hub.create()
    for to in ("relay", None, "relay"):
        assert hub.deliver(hub.bob, create, to) == 202
    for peer in (hub.one, hub.two):
        [announce] = hub.relayed(peer)
        assert (announce["type"], announce["actor"], announce["object"]) == ("Announce", RELAY, NOTE)


NOT_RELAYED: dict[str, Any] = {
    "unlisted": lambda hub: hub.bob.prove(hub.create(to=[SUBSCRIBERS], cc=[PUBLIC])),
    "private": lambda hub: hub.bob.prove(hub.create(to=[hub.two.actor])),
    "a like": lambda hub: hub.bob.prove(hub.create("Like")),
    "an unsigned update": lambda hub: hub.create("Update"),
    "a note of another server": lambda hub: hub.create(object="https://three.example/notes/1"),
}


@pytest.mark.parametrize("make_activity", NOT_RELAYED.values(), ids=NOT_RELAYED)
def test_other_activities_are_not_passed_on(hub: Hub, make_activity: Any) -> None:
    hub.subscribe(hub.one, hub.two)
    hub.deliver(hub.bob, make_activity(hub))
    assert hub.relayed(hub.two) == []


def test_server_that_does_not_subscribe_is_not_passed_on(hub: Hub) -> None:
    hub.subscribe(hub.two)
    assert hub.deliver(hub.bob, hub.bob.prove(hub.create())) == 202
    assert hub.relayed(hub.two) == []


def test_silenced_server_is_not_passed_on() -> None:
    hub = Hub(rules=DomainRules({"one.example": Severity.SILENCE}))
    hub.subscribe(hub.one, hub.two)
    assert hub.deliver(hub.bob, hub.bob.prove(hub.create())) == 202
    assert hub.relayed(hub.two) == []
    hub.node.close()


@pytest.mark.parametrize("forwarding", ["off", "signed", "all"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_activity_for_subscribers_that_is_also_for_followers_is_passed_on_once(
    forwarding: Any, is_signed: bool
) -> None:
    """The activity mentions the relay and addresses its followers, so both rules apply to it."""
    hub = Hub(forwarding=forwarding)
    hub.subscribe(hub.one, hub.two)
    create = hub.create(to=[PUBLIC, SUBSCRIBERS], target=RELAY)
    create["object"]["inReplyTo"] = RELAY
    assert hub.deliver(hub.bob, hub.bob.prove(create) if is_signed else create) == 202
    types = [activity["type"] for activity in hub.relayed(hub.two)]
    expected = ["Create"] if is_signed else ["Create", "Announce"] if forwarding == "all" else ["Announce"]
    assert sorted(types) == sorted(expected)
    hub.node.close()


def test_search_for_the_authors_server_is_bounded(hub: Hub) -> None:
    hub.subscribe(hub.one, hub.two)
    for number in range(SUBSCRIBERS_MAX):
        hub.node.append(SUBSCRIBERS, f"https://s{number}.example/actor")
    hub.deliver(hub.bob, hub.bob.prove(hub.create()))
    assert hub.relayed(hub.two) == []


def test_relay_of_ours_serves_a_server_of_ours() -> None:
    heard: list[tuple[str | None, str | None]] = []
    hub = Hub()
    federation: Federation[None] = Federation(
        software="test/1.0", document_signatures=["eddsa-jcs-2022", "RsaSignature2017"]
    )
    federation.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username=identifier) if identifier == "alice" else None
    )

    def listen(ctx: Any, activity: Activity) -> None:
        heard.append((ctx.origin, activity.actor and activity.actor.uri))

    federation.on(Create)(listen)
    origins = ["https://a.example", "https://b.example"]
    nodes = [
        Node(federation, origin, "memory:", transport=hub.network, signer=ReusedKeys(), slots=0) for origin in origins
    ]
    for node, kind, url in zip(nodes, ("mastodon", "litepub"), (f"{RELAY}/inbox", RELAY), strict=True):
        hub.network.join(node)
        node.join_relay(url, kind=kind)  # type: ignore[arg-type]
    for _ in range(4):
        for node in (*nodes, hub.node):
            node.work(until_idle=True)
    assert [list(node.relays().values()) for node in nodes] == [["accepted"], ["accepted"]]
    assert hub.subscribers == ["https://a.example/actor", "https://b.example/actor"]
    for node in nodes:
        node.publish(Note(content="hello"), by="alice")
    for _ in range(4):
        for node in (*nodes, hub.node):
            node.work(until_idle=True)
    assert sorted(heard) == [
        ("https://a.example", "https://b.example/users/alice"),
        ("https://b.example", "https://a.example/users/alice"),
    ]
    for node in (*nodes, hub.node):
        node.close()


def test_federation_has_one_relay() -> None:
    federation: Federation[None] = Federation(software="hub/1.0")
    with pytest.raises(ConfigurationError, match="register actor"):
        federation.relay("relay")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
    with pytest.raises(ConfigurationError, match="identifier of an actor"):
        federation.relay("")
    federation.relay("relay")
    with pytest.raises(ConfigurationError, match="a relay already: relay"):
        federation.relay("another")
