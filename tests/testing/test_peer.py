"""The peer to test against: what it signs is believed, what it serves is understood, and it believes only what holds."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.errors import ConnectFailed, NameUnresolved, RequestError, SignerUnavailable
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.node import AsyncNode, Node
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import Exchange, Peer, PeerNetwork
from apcore.vocab import Create, Follow, Like, Note, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
BOB = "https://remote.example/users/bob"


def federation_of(heard: list[str]) -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username="alice") if identifier == "alice" else None

    @federation.on(Create)
    def created(ctx, activity):
        heard.append(activity.id)

    return federation


def node_on(network: PeerNetwork, origin: str = HERE, heard: list[str] | None = None) -> Node[None]:
    return Node(
        federation_of([] if heard is None else heard),
        origin,
        MemoryStore(),
        transport=network,
        signer=ReusedKeys(),
        runtime=BlockingRuntime(),
    )


QUERIES = [
    "https://remote.example/?author=1",
    "https://remote.example/?author=2",
    "https://remote.example/blog/?p=7&author=3",
    "https://remote.example/index.php?route=/users/4",
]


def test_actors_whose_ids_have_queries_stand_beside_each_other(peer_network):
    """WordPress names its actors so. Each serves its own document, signs with its own key, and gets what is for it."""
    heard: list[str] = []
    peers = [peer_network.peer(actor) for actor in QUERIES]
    with node_on(peer_network, heard=heard) as node:
        peer_network.join(node)
        for peer in peers:
            activity = peer.activity("Create", object={"type": "Note", "content": "hi"})
            assert peer.deliver(node, activity, to="alice").status == 202
            assert peer.deliver(node, peer.activity("Follow", object=ALICE), to="alice").status == 202
            assert node.reference(peer.actor).resolve().view(Person).preferred_username == peer.actor[-1]
        node.work(until_idle=True)
    assert sorted(ident.partition("#")[0] for ident in heard) == sorted(QUERIES)
    for peer in peers:
        [accept] = peer.received
        assert (accept.inbox, accept.activity["type"]) == (peer.inbox, "Accept")
        assert accept.activity["object"]["actor"] == peer.actor
    assert len({peer.inbox for peer in peers}) == len(peers)


def test_documents_whose_ids_have_queries_are_served_at_them_alone(peer_network):
    peer = peer_network.peer(QUERIES[0])
    for number in (1, 2):
        uri = f"https://remote.example/?p={number}"
        peer.serve(uri, {"@context": "https://www.w3.org/ns/activitystreams", "id": uri, "type": "Note"})
    for path, status in [("/?p=1", 200), ("/?p=2", 200), ("/?p=3", 404), ("/", 404), ("/?author=9", 404)]:
        answer = peer_network.send(Request("GET", f"https://remote.example{path}"))
        assert answer.status == status
        assert status == 404 or json.loads(answer.body)["id"] == f"https://remote.example{path}"


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize("to", [None, "alice", f"{ALICE}/inbox"], ids=["shared", "identifier", "address"])
def test_what_a_peer_delivers_is_believed(peer_network, scheme, to):
    heard: list[str] = []
    bob = peer_network.peer(BOB, scheme=scheme)
    activity = bob.activity("Create", object={"type": "Note", "content": "hi"})
    with node_on(peer_network, heard=heard) as node:
        assert bob.deliver(node, activity, to=to).status == 202
        node.work(until_idle=True)
    assert heard == [activity["id"]]


def test_a_view_and_bytes_can_be_delivered(peer_network):
    heard: list[str] = []
    bob = peer_network.peer(BOB)
    create = Create(id=f"{BOB}/1", actor=BOB, object=Note(content="hi"))
    with node_on(peer_network, heard=heard) as node:
        assert bob.deliver(node, create).status == 202
        assert bob.deliver(node, json.dumps(bob.activity("Create", object=f"{BOB}/n")).encode()).status == 202
        node.work(until_idle=True)
    assert heard == [f"{BOB}/1", f"{BOB}#activities/1"]


def test_an_async_node_takes_deliveries_too():
    bob, heard = Peer(BOB), []

    async def main() -> int:
        node = AsyncNode(federation_of(heard), HERE, MemoryStore(), transport=bob.transport, signer=ReusedKeys())
        async with node:
            answer = await bob.deliver_async(node, bob.activity("Create", object=f"{BOB}/n"))
            await node.work(until_idle=True)
        return answer.status

    assert asyncio.run(main()) == 202
    assert heard == [f"{BOB}#activities/1"]


def test_what_is_delivered_to_a_peer_is_kept_with_who_signed_it():
    bob = Peer(BOB)
    with node_on(bob.transport) as node:
        bob.transport.join(node)
        assert bob.deliver(node, bob.activity("Follow", object=ALICE)).status == 202
        node.work(until_idle=True)
    [accept] = bob.received
    assert (accept.activity["type"], accept.inbox, accept.key_id) == (
        "Accept",
        bob.inbox,
        f"{ALICE}#main-key",
    )
    assert Exchange("POST", bob.inbox, 202) in bob.transport.exchanges


def test_a_node_that_demands_signatures_is_believed_too():
    bob = Peer(BOB)
    federation = Federation(authorized_fetch="required")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, HERE, transport=bob.transport, signer=ReusedKeys()) as node:
        bob.transport.join(node)
        node.send(Like(object=f"{BOB}/n"), by="alice", to=BOB)
        node.work(until_idle=True)
    assert [each.activity["type"] for each in bob.received] == ["Like"]


def test_a_key_that_was_replaced_counts_as_long_as_it_is_published():
    bob = Peer(BOB)
    with node_on(bob.transport) as node:
        bob.transport.join(node)
        assert bob.deliver(node, bob.activity("Follow", object=ALICE)).status == 202
        node.work(until_idle=True)
        node.rotate_keys("alice")
        node.work(until_idle=True)
    assert [(each.activity["type"], each.key_id) for each in bob.received] == [
        ("Accept", f"{ALICE}#main-key"),
        ("Update", f"{ALICE}#main-key"),
    ]


def test_a_peer_answers_as_it_is_told():
    bob = Peer(BOB)
    bob.answers.append(503)
    with node_on(bob.transport) as node:
        node.send(Like(object=f"{BOB}/n"), by="alice", to=BOB)
        node.work(until_idle=True)
        assert node.ports.queue.depth(node.lanes["deliver"]).delayed == 1
    assert [exchange.status for exchange in bob.transport.exchanges] == [200, 503]


def test_peers_without_a_shared_inbox_are_delivered_to_one_by_one(peer_network):
    one, two = (peer_network.peer(f"{BOB}{number}", members={"endpoints": None}) for number in (1, 2))
    with node_on(peer_network) as node:
        node.send(Like(object=f"{BOB}/n"), by="alice", to=[one.actor, two.actor])
        node.work(until_idle=True)
    assert [[each.inbox for each in peer.received] for peer in (one, two)] == [[one.inbox], [two.inbox]]


def unsigned(request: Request) -> Request:
    return evolve(request, headers=request.headers.without("signature"))


def altered(request: Request) -> Request:
    return evolve(request, body=request.body + b" ")


def badly_signed(request: Request) -> Request:
    signature = request.headers.get("signature") or ""
    return evolve(
        request, headers=request.headers.with_set("signature", signature.replace('signature="', 'signature="AAAA'))
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(unsigned, "signature-missing"), (altered, "digest-mismatch"), (badly_signed, "bad-signature")],
    ids=["unsigned", "altered", "badly-signed"],
)
def test_a_peer_believes_only_what_holds(peer_network, spoil, reason):
    bob, carol = peer_network.peer(BOB), peer_network.peer("https://third.example/carol")
    request = carol.request(carol.activity("Like", object=BOB), bob.inbox)
    assert peer_network.send(request).status == 202
    refused = peer_network.send(spoil(request))
    assert (refused.status, json.loads(refused.body)["reason"]) == (401, reason)
    assert len(bob.received) == 1


def test_a_signer_whose_server_is_there_and_does_not_know_the_key_is_refused(peer_network):
    bob, carol = peer_network.peer(BOB), peer_network.peer("https://third.example/carol")
    for served in (None, {"publicKey": {"id": "https://third.example/other"}}):
        carol.serve(carol.actor, served, status=404 if served is None else 200)
        assert peer_network.send(carol.request(carol.activity("Like"), bob.inbox)).status == 401


def get(network: PeerNetwork, url: str) -> tuple[int, dict]:
    response = network.send(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    return response.status, json.loads(response.body or b"{}")


def test_what_a_peer_serves(peer_network):
    bob = peer_network.peer(BOB, type="Service", members={"name": "Bob"})
    note = {"id": "https://remote.example/notes/1", "type": "Note"}
    bob.serve(note["id"], note)
    bob.serve("https://remote.example/gone", None, status=410)
    bob.outbox.append(bob.activity("Create", object=note))
    status, actor = get(peer_network, BOB)
    assert (status, actor["type"], actor["name"], actor["preferredUsername"]) == (200, "Service", "Bob", "bob")
    assert get(peer_network, note["id"]) == (200, note)
    assert get(peer_network, "https://remote.example/gone") == (410, {})
    assert get(peer_network, f"{BOB}/outbox?page=1")[1]["orderedItems"] == bob.outbox
    found = get(peer_network, "https://remote.example/.well-known/webfinger?resource=acct:bob@remote.example")
    assert found[1]["links"][0]["href"] == BOB
    for nothing in ("/nothing", "/.well-known/webfinger", "/.well-known/webfinger?resource=acct:eve@remote.example"):
        assert get(peer_network, f"https://remote.example{nothing}") == (404, {})
    assert get(peer_network, bob.inbox)[0] == 405


def test_who_is_not_there_does_not_answer(peer_network):
    bob = peer_network.peer(BOB)
    peer_network.down.add("https://remote.example")
    with pytest.raises(ConnectFailed):
        get(peer_network, bob.actor)
    with pytest.raises(NameUnresolved):
        get(peer_network, "https://nobody.example/")
    assert [exchange.status for exchange in peer_network.exchanges] == [None, None]


def test_nodes_on_one_network_reach_each_other(peer_network):
    nodes = [node_on(peer_network, origin) for origin in ("https://a.example", "https://b.example")]
    for node in nodes:
        peer_network.join(node)
    nodes[0].send(Follow(object="https://b.example/users/alice"), by="alice", to="https://b.example/users/alice")
    for node in nodes * 2:
        node.work(until_idle=True)
    _, followers = get(peer_network, "https://b.example/users/alice/followers?page=true")
    assert followers["orderedItems"] == ["https://a.example/users/alice"]
    assert get(peer_network, "https://a.example/nothing") == (404, {})


def test_wrong_arguments_are_refused(peer_network):
    bob = peer_network.peer(BOB)
    with node_on(peer_network) as node, pytest.raises(ValueError, match="no inbox"):
        bob.deliver(node, bob.activity("Like"), to=f"{HERE}/nothing")
    with pytest.raises(RequestError):
        Peer("acct:bob@remote.example")


def test_keys_are_made_once():
    assert Peer(BOB).key.public == Peer(BOB).key.public != Peer(f"{BOB}2").key.public
    own = reuse_key("another")
    assert Peer(BOB, key=own).key.public.spki == own.public.spki
    made = [ReusedKeys().make_key("ed25519") for _ in range(2)]
    assert made[0] == made[1]
    assert len(ReusedKeys().sign(made[0].name, b"data")) == 64
    for unknown in ("rsa-2048", "rsa-2048 x", "rsa-9 1"):
        with pytest.raises(SignerUnavailable):
            ReusedKeys().sign(unknown, b"")
    assert ReusedKeys().make_key("rsa-2048").name == partial(ReusedKeys().make_key, "rsa-2048")().name
