"""Check the peer for tests: its signatures verify, its documents are read, and it accepts only valid requests."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.errors import ConnectFailed, NameUnresolved, RequestError, SignerUnavailable
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.node import AsyncNode, Node
from apcore.signatures import read_private_pem
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import Exchange, Peer, PeerNetwork
from apcore.vocab import Create, Follow, Like, Note, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
BOB = "https://remote.example/users/bob"


def federation_of(received_ids: list[str]) -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username="alice") if identifier == "alice" else None

    @federation.on(Create)
    def created(ctx, activity):
        received_ids.append(activity.id)

    return federation


def node_on(network: PeerNetwork, origin: str = HERE, received_ids: list[str] | None = None) -> Node[None]:
    return Node(
        federation_of([] if received_ids is None else received_ids),
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


def test_actors_with_queries_in_their_ids_are_separate(peer_network):
    """WordPress has such actor ids. Each actor serves its document, signs with its key, and gets its own deliveries."""
    received_ids: list[str] = []
    peers = [peer_network.peer(actor) for actor in QUERIES]
    with node_on(peer_network, received_ids=received_ids) as node:
        peer_network.join(node)
        for peer in peers:
            activity = peer.activity("Create", object={"type": "Note", "content": "hi"})
            assert peer.deliver(node, activity, to="alice").status == 202
            assert peer.deliver(node, peer.activity("Follow", object=ALICE), to="alice").status == 202
            assert node.reference(peer.actor).resolve().view(Person).preferred_username == peer.actor[-1]
        node.work(until_idle=True)
    assert sorted(ident.partition("#")[0] for ident in received_ids) == sorted(QUERIES)
    for peer in peers:
        [accept] = peer.received
        assert (accept.inbox, accept.activity["type"]) == (peer.inbox, "Accept")
        assert accept.activity["object"]["actor"] == peer.actor
    assert len({peer.inbox for peer in peers}) == len(peers)


def test_document_with_a_query_in_its_id_is_served_only_there(peer_network):
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
def test_delivery_of_a_peer_is_accepted(peer_network, scheme, to):
    received_ids: list[str] = []
    bob = peer_network.peer(BOB, scheme=scheme)
    activity = bob.activity("Create", object={"type": "Note", "content": "hi"})
    with node_on(peer_network, received_ids=received_ids) as node:
        assert bob.deliver(node, activity, to=to).status == 202
        node.work(until_idle=True)
    assert received_ids == [activity["id"]]


def test_view_and_bytes_can_be_delivered(peer_network):
    received_ids: list[str] = []
    bob = peer_network.peer(BOB)
    create = Create(id=f"{BOB}/1", actor=BOB, object=Note(content="hi"))
    with node_on(peer_network, received_ids=received_ids) as node:
        assert bob.deliver(node, create).status == 202
        assert bob.deliver(node, json.dumps(bob.activity("Create", object=f"{BOB}/n")).encode()).status == 202
        node.work(until_idle=True)
    # The threads of a worker handle two activities side by side, so either may be first.
    assert sorted(received_ids) == [f"{BOB}#activities/1", f"{BOB}/1"]


def test_async_node_accepts_deliveries_of_a_peer():
    bob, received_ids = Peer(BOB), []

    async def main() -> int:
        node = AsyncNode(federation_of(received_ids), HERE, MemoryStore(), transport=bob.transport, signer=ReusedKeys())
        async with node:
            answer = await bob.deliver_async(node, bob.activity("Create", object=f"{BOB}/n"))
            await node.work(until_idle=True)
        return answer.status

    assert asyncio.run(main()) == 202
    assert received_ids == [f"{BOB}#activities/1"]


def test_peer_records_deliveries_with_their_key():
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


def test_node_with_authorized_fetch_delivers_to_a_peer():
    bob = Peer(BOB)
    federation = Federation(authorized_fetch="required")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, HERE, transport=bob.transport, signer=ReusedKeys()) as node:
        bob.transport.join(node)
        node.send(Like(object=f"{BOB}/n"), by="alice", to=BOB)
        node.work(until_idle=True)
    assert [activity_delivery.activity["type"] for activity_delivery in bob.received] == ["Like"]


def test_peer_accepts_a_rotated_key():
    bob = Peer(BOB)
    with node_on(bob.transport) as node:
        bob.transport.join(node)
        assert bob.deliver(node, bob.activity("Follow", object=ALICE)).status == 202
        node.work(until_idle=True)
        node.rotate_keys("alice")
        node.work(until_idle=True)
    assert [(activity_delivery.activity["type"], activity_delivery.key_id) for activity_delivery in bob.received] == [
        ("Accept", f"{ALICE}#main-key"),
        ("Update", f"{ALICE}#main-key"),
    ]


def test_peer_gives_the_scripted_answer():
    bob = Peer(BOB)
    bob.answers.append(503)
    with node_on(bob.transport) as node:
        node.send(Like(object=f"{BOB}/n"), by="alice", to=BOB)
        node.work(until_idle=True)
        assert node.ports.queue.depth(node.lanes["deliver"]).delayed == 1
    assert [exchange.status for exchange in bob.transport.exchanges] == [200, 503]


def test_peers_without_a_shared_inbox_get_their_own_deliveries(peer_network):
    first, second = (peer_network.peer(f"{BOB}{number}", members={"endpoints": None}) for number in (1, 2))
    with node_on(peer_network) as node:
        node.send(Like(object=f"{BOB}/n"), by="alice", to=[first.actor, second.actor])
        node.work(until_idle=True)
    assert [[activity_delivery.inbox for activity_delivery in peer.received] for peer in (first, second)] == [
        [first.inbox],
        [second.inbox],
    ]


def remove_signature(request: Request) -> Request:
    return evolve(request, headers=request.headers.without("signature"))


def alter(request: Request) -> Request:
    return evolve(request, body=request.body + b" ")


def break_signature(request: Request) -> Request:
    signature = request.headers.get("signature") or ""
    return evolve(
        request, headers=request.headers.with_set("signature", signature.replace('signature="', 'signature="AAAA'))
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(remove_signature, "signature-missing"), (alter, "digest-mismatch"), (break_signature, "bad-signature")],
    ids=["unsigned", "altered", "badly-signed"],
)
def test_peer_refuses_an_invalid_signature(peer_network, spoil, reason):
    bob, carol = peer_network.peer(BOB), peer_network.peer("https://third.example/carol")
    request = carol.request(carol.activity("Like", object=BOB), bob.inbox)
    assert peer_network.send(request).status == 202
    response = peer_network.send(spoil(request))
    assert (response.status, json.loads(response.body)["reason"]) == (401, reason)
    assert len(bob.received) == 1


def test_peer_refuses_a_signature_with_an_unpublished_key(peer_network):
    bob, carol = peer_network.peer(BOB), peer_network.peer("https://third.example/carol")
    for document in (None, {"publicKey": {"id": "https://third.example/other"}}):
        carol.serve(carol.actor, document, status=404 if document is None else 200)
        assert peer_network.send(carol.request(carol.activity("Like"), bob.inbox)).status == 401


def fetch(network: PeerNetwork, url: str) -> tuple[int, dict]:
    response = network.send(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    return response.status, json.loads(response.body or b"{}")


def test_peer_serves_its_documents(peer_network):
    bob = peer_network.peer(BOB, type="Service", members={"name": "Bob"})
    note = {"id": "https://remote.example/notes/1", "type": "Note"}
    bob.serve(note["id"], note)
    bob.serve("https://remote.example/gone", None, status=410)
    bob.outbox.append(bob.activity("Create", object=note))
    status, actor = fetch(peer_network, BOB)
    assert (status, actor["type"], actor["name"], actor["preferredUsername"]) == (200, "Service", "Bob", "bob")
    assert fetch(peer_network, note["id"]) == (200, note)
    assert fetch(peer_network, "https://remote.example/gone") == (410, {})
    assert fetch(peer_network, f"{BOB}/outbox?page=1")[1]["orderedItems"] == bob.outbox
    webfinger = fetch(peer_network, "https://remote.example/.well-known/webfinger?resource=acct:bob@remote.example")
    assert webfinger[1]["links"][0]["href"] == BOB
    for path in ("/nothing", "/.well-known/webfinger", "/.well-known/webfinger?resource=acct:eve@remote.example"):
        assert fetch(peer_network, f"https://remote.example{path}") == (404, {})
    assert fetch(peer_network, bob.inbox)[0] == 405


def test_unreachable_peer_and_unknown_host_do_not_answer(peer_network):
    bob = peer_network.peer(BOB)
    peer_network.down.add("https://remote.example")
    with pytest.raises(ConnectFailed):
        fetch(peer_network, bob.actor)
    with pytest.raises(NameUnresolved):
        fetch(peer_network, "https://nobody.example/")
    assert [exchange.status for exchange in peer_network.exchanges] == [None, None]


def test_nodes_on_one_network_reach_each_other_without_peers(peer_network):
    nodes = [node_on(peer_network, origin) for origin in ("https://a.example", "https://b.example")]
    for node in nodes:
        peer_network.join(node)
    nodes[0].send(Follow(object="https://b.example/users/alice"), by="alice", to="https://b.example/users/alice")
    for node in nodes * 2:
        node.work(until_idle=True)
    _, followers = fetch(peer_network, "https://b.example/users/alice/followers?page=true")
    assert followers["orderedItems"] == ["https://a.example/users/alice"]
    assert fetch(peer_network, "https://a.example/nothing") == (404, {})


def test_wrong_arguments_of_a_peer_are_refused(peer_network):
    bob = peer_network.peer(BOB)
    with node_on(peer_network) as node, pytest.raises(ValueError, match="no inbox"):
        bob.deliver(node, bob.activity("Like"), to=f"{HERE}/nothing")
    with pytest.raises(RequestError):
        Peer("acct:bob@remote.example")


def test_reused_rsa_keys_differ_and_are_sound():
    """Most of them combine the primes of others; reading a key from outside checks its numbers."""
    keys = [reuse_key(f"sound {number}") for number in range(20)]
    assert len({key.public.spki for key in keys}) == len(keys)
    for key in keys[:3]:
        assert read_private_pem(key.pem(), key_id="k", owner="o").public.spki == key.public.spki
        key.public.verify(key.sign(b"data"), b"data", key.choose_algorithm())


def test_threads_that_need_the_same_new_key_get_one():
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(reuse_key, ["needed at once"] * 8))
    assert len({id(key) for key in keys}) == 1


def test_reused_keys_are_generated_once():
    assert Peer(BOB).key.public == Peer(BOB).key.public != Peer(f"{BOB}2").key.public
    custom_key = reuse_key("another")
    assert Peer(BOB, key=custom_key).key.public.spki == custom_key.public.spki
    keys = [ReusedKeys().make_key("ed25519") for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(ReusedKeys().sign(keys[0].name, b"data")) == 64
    for unknown in ("rsa-2048", "rsa-2048 x", "rsa-9 1"):
        with pytest.raises(SignerUnavailable):
            ReusedKeys().sign(unknown, b"")
    assert ReusedKeys().make_key("rsa-2048").name == partial(ReusedKeys().make_key, "rsa-2048")().name
