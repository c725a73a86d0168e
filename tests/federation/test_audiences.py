"""Check for random audiences that deliveries and GETs agree: an object is served to the actors that it is delivered to.

A model of a few lines names these actors: those that the call names, and the members of the collections that it
names, without ourselves and the actors that we block.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.collections import PageItems
from apcore.errors import ContractError
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import Entry
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Activity, Delete, Note, Person, Update

HERE = "https://here.example"
ALICE, BOB = f"{HERE}/users/alice", f"{HERE}/users/bob"
FOLLOWERS, FRIENDS, COLLEAGUES = (f"{ALICE}/{name}" for name in ("followers", "friends", "colleagues"))
FAN, FRIEND, NAMED, SECOND, BLOCKED, STRANGER = (
    f"https://{name}.example/users/{name}" for name in ("fan", "friend", "named", "second", "blocked", "stranger")
)
PEERS = (FAN, FRIEND, NAMED, SECOND, BLOCKED, STRANGER)
MEMBERS = {FOLLOWERS: {FAN, BLOCKED}, FRIENDS: {FRIEND, FAN, BLOCKED, ALICE}, COLLEAGUES: {SECOND, BOB, BLOCKED}}
AP = Headers({"Accept": "application/activity+json"})


class Server:
    """A server with the actor Alice. She has a follower and two lists, and blocks an actor that is on all of them."""

    def __init__(self, mode: Any) -> None:
        self.network = PeerNetwork()
        self.peers = {actor: self.network.peer(actor) for actor in PEERS}
        self.local_deliveries: list[str] = []
        federation: Federation[None] = Federation(software="test/1.0", authorized_fetch=mode)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"alice", "bob"} else None

        @federation.collection("friends", "/users/{identifier}/friends")
        def friends(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
            pages: dict[str | None, PageItems] = {
                None: PageItems([BLOCKED, ALICE], "2"),
                "2": PageItems([FAN, FRIEND], None),
            }
            return pages[cursor]

        federation.managed_collection("colleagues", "/users/{identifier}/colleagues")

        @federation.on(Activity)
        def listen(ctx: Any, activity: Activity) -> None:
            self.local_deliveries.append(BOB if ctx.recipient == "bob" else ALICE)

        self.store = MemoryStore()
        self.node = Node(federation, HERE, self.store, transport=self.network, signer=ReusedKeys())
        self.network.join(self.node)
        for name in (FAN, BLOCKED):
            peer = self.peers[name]
            peer.deliver(self.node, peer.activity("Follow", object=ALICE), to="alice")
        self.node.work(until_idle=True)
        self.node.block(BLOCKED, by="alice")
        # The application may add an actor to the followers in spite of the Block.
        self.node.append(FOLLOWERS, BLOCKED)
        for member in MEMBERS[COLLEAGUES]:
            self.node.append(COLLEAGUES, member)
        self.delivered_to()

    def delivered_to(self) -> set[str]:
        """Return the actors that got something since the last call."""
        self.node.work(until_idle=True)
        recipients = {actor for actor, peer in self.peers.items() if peer.received} | set(self.local_deliveries)
        for peer in self.peers.values():
            peer.received.clear()
        self.local_deliveries.clear()
        return recipients

    def get(self, url: str, by: Peer | None = None) -> Response:
        request = Request("GET", url, AP)
        answer = self.node.handle(request if by is None else by.sign(request))
        assert isinstance(answer, Response)
        return answer

    def viewers(self, url: str, status: int) -> set[str | None]:
        """Return the viewers that get this status; None for an unsigned request. All others must see nothing."""
        answers = {None: self.get(url)} | {actor: self.get(url, peer) for actor, peer in self.peers.items()}
        hidden = {actor: answer.status for actor, answer in answers.items() if answer.status != status}
        assert set(hidden.values()) <= {401, 404}
        return answers.keys() - hidden.keys()

    def stored(self) -> list[Entry]:
        """Return the objects and the sent activities."""
        entries: list[Entry] = []
        for prefix in (("obj",), ("sent",)):
            page = self.store.scan(prefix, limit=1000)
            while page:
                entries += page
                page = self.store.scan(prefix, after=page[-1].key, limit=1000)
        return entries


SERVERS = {mode: Server(mode) for mode in ("optional", "required")}


@frozen
class Model:
    """The addresses that a version of an object is for, and those of all versions."""

    addresses: frozenset[str]
    is_public: bool
    is_listed: bool
    all_addresses: frozenset[str]

    @property
    def recipients(self) -> set[str]:
        return actors(self.all_addresses)

    def viewers(self, mode: str) -> set[str | None]:
        if not self.is_public:
            return {actor for actor in actors(self.addresses) if actor in PEERS}
        # A public object needs no signature, so a blocked actor sees it, unless the server demands signatures.
        return set(PEERS) - {BLOCKED} if mode == "required" else {None, *PEERS}


def actors(addresses: frozenset[str]) -> set[str]:
    """Return the actors to deliver to: all but ourselves and the blocked actor."""
    members = set[str]()
    for address in addresses - {PUBLIC}:
        members |= MEMBERS.get(address, {address})
    return members - {ALICE, BLOCKED}


def model(audience: dict[str, list[str]], to: list[str] | None, word: str | None, *, publishes: bool = True) -> Model:
    """Return the model of a first version, for an audience that is not refused."""
    shown = {name: list(audience.get(name, ())) for name in ("to", "cc", "audience")}
    secret = [*audience.get("bto", ()), *audience.get("bcc", ())]
    if word is not None or publishes or not (any(shown.values()) or secret):
        shown["to"] += to or []
    addresses = {*shown["to"], *shown["cc"], *shown["audience"], *secret, *(to or ())}
    if word == "public" or (word is None and to is None and publishes and not addresses):
        shown["to"] += [PUBLIC]
    if word == "unlisted":
        shown["cc"] += [PUBLIC]
    stated = {*shown["to"], *shown["cc"], *shown["audience"]}
    is_listed = PUBLIC in shown["to"]
    if PUBLIC in audience.get("cc", []) + audience.get("audience", []) and PUBLIC not in audience.get("to", []):
        is_listed = False
    if is_listed or word in {"unlisted", "followers"}:
        addresses.add(FOLLOWERS)
    everyone = frozenset(addresses - {PUBLIC})
    return Model(everyone, PUBLIC in stated, is_listed, everyone)


ADDRESSES = st.lists(st.sampled_from([PUBLIC, *MEMBERS, ALICE, BOB, NAMED, SECOND, BLOCKED]), max_size=3)
ACTORS = ADDRESSES.map(lambda addresses: [address for address in addresses if address not in {PUBLIC, FOLLOWERS}])
OPEN = st.fixed_dictionaries({}, optional={"to": ADDRESSES, "cc": ADDRESSES, "audience": ADDRESSES.filter(bool)})
SECRET = st.fixed_dictionaries({}, optional={"bto": ACTORS, "bcc": ACTORS})
AUDIENCES = st.one_of(st.just({}), SECRET, st.builds(lambda one, other: one | other, OPEN, SECRET))
WORDS = st.none() | st.sampled_from(["public", "unlisted", "followers", "direct"])
TO = st.none() | ADDRESSES


def check(server: Server, mode: str, ident: str, expected: Model, *, status: int = 200) -> None:
    assert server.delivered_to() == expected.recipients
    assert server.viewers(ident, status) == expected.viewers(mode)


@pytest.mark.parametrize("mode", SERVERS)
@settings(max_examples=100)
@given(first=st.tuples(AUDIENCES, TO, WORDS), second=st.tuples(AUDIENCES, TO, WORDS), is_inner=st.booleans())
@example(first=({}, [], None), second=({"to": [PUBLIC]}, None, None), is_inner=False)
def test_deliveries_and_visibility_agree_for_any_audience(mode: str, first: Any, second: Any, is_inner: bool) -> None:
    server = SERVERS[mode]
    outbox_uri = f"{ALICE}/outbox"
    total, stored = total_of(server, outbox_uri), server.stored()
    audience, to, word = first
    try:
        ident = server.node.publish(Note(content="1", **audience), by="alice", to=to, visibility=word)
    except (ValueError, ContractError):
        assert server.stored() == stored
        return
    expected = model(audience, to, word)
    check(server, mode, ident, expected)
    assert total_of(server, outbox_uri) == total + expected.is_listed

    audience, to, word = second
    note = Note(id=ident, content="2", **(audience if is_inner else {}))
    stored = server.stored()
    try:
        server.node.send(Update(object=note, **({} if is_inner else audience)), by="alice", to=to, visibility=word)
    except (ValueError, ContractError):
        assert server.stored() == stored
    else:
        expected = updated(expected, audience, to, word)
        check(server, mode, ident, expected)
        assert total_of(server, outbox_uri) == total + expected.is_listed

    server.node.send(Delete(object=ident), by="alice")
    check(server, mode, ident, expected, status=410)
    assert total_of(server, outbox_uri) == total


def updated(before: Model, audience: dict[str, list[str]], to: list[str] | None, word: str | None) -> Model:
    if word is None and not {"to", "cc", "audience"} & audience.keys():
        addresses = before.addresses | {*audience.get("bto", ()), *audience.get("bcc", ()), *(to or ())} - {PUBLIC}
        return evolve(before, addresses=addresses, all_addresses=before.all_addresses | addresses)
    after = model(audience, to, word, publishes=False)
    return evolve(after, all_addresses=before.all_addresses | after.addresses)


def total_of(server: Server, outbox_uri: str) -> int:
    answer = server.get(outbox_uri, server.peers[STRANGER])
    assert answer.status == 200
    return int(json.loads(answer.body)["totalItems"])
