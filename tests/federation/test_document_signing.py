"""Check the signatures inside our activities: other servers accept them from any server that passes the activity on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import ConfigurationError, SignerUnavailable
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.node import Node
from apcore.signatures import BadSignature, check_document, ld_signature, proofs, read_multikey, read_pem
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import PUBLIC, Create, Delete, Document, Like, Note, Person, read_document
from outbox_fixture import ALICE, FOLLOWERS, HERE, NOON, Outgoing, alice_and_bob

X = "https://x.example"
HOUR_S = 3600


class Receiver:
    """A node that records how the activities of its listener were proved."""

    def __init__(self, network: PeerNetwork, origin: str = "https://there.example") -> None:
        self.proofs: list[str | None] = []
        federation: Federation[None] = Federation(software="test/1.0")

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "carol" else None

        @federation.on(Create)
        def heard(ctx: Any, activity: Create) -> None:
            self.proofs.append(ctx.auth_method)

        self.node = Node(federation, origin, "memory:", transport=network, signer=ReusedKeys())
        network.join(self.node)


def sender(network: PeerNetwork, **options: Any) -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0", **options)

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    node = Node(federation, HERE, "memory:", transport=network, signer=ReusedKeys())
    network.join(node)
    return node


@pytest.fixture
def network() -> PeerNetwork:
    return PeerNetwork()


@pytest.fixture
def receiver(network: PeerNetwork) -> Iterator[Receiver]:
    receiver = Receiver(network)
    yield receiver
    receiver.node.close()


@pytest.mark.parametrize(
    ("schemes", "auth_method"),
    [
        (("eddsa-jcs-2022",), "proof"),
        (("RsaSignature2017",), "ld-signature"),
        (("RsaSignature2017", "eddsa-jcs-2022"), "proof"),
    ],
    ids=["proof", "LD signature", "both"],
)
def test_forwarded_activity_is_proved_by_its_own_signature(
    network: PeerNetwork, receiver: Receiver, schemes: tuple[str, ...], auth_method: str
) -> None:
    forwarder = network.peer("https://between.example/users/bob")
    with sender(network, document_signatures=schemes) as node:
        node.publish(Note(content="hello"), by="alice", to=[PUBLIC, forwarder.actor])
        node.work(until_idle=True)
        [arrival] = forwarder.received
        assert forwarder.deliver(receiver.node, arrival.request.body).status == 202
        receiver.node.work(until_idle=True)
    assert receiver.proofs == [auth_method]


def test_ld_signature_beside_a_proof_covers_the_proof(network: PeerNetwork) -> None:
    bob = network.peer("https://between.example/users/bob")
    with sender(network, document_signatures=("eddsa-jcs-2022", "RsaSignature2017")) as node:
        node.publish(Note(content="hello"), by="alice", to=[PUBLIC, bob.actor])
        node.work(until_idle=True)
        public_key = json.loads(node.handle(bob.sign(get(ALICE))).body)["publicKey"]  # type: ignore[union-attr]
    [arrival] = bob.received
    presented = ld_signature.parse(arrival.activity, now=network.clock())
    key = read_pem(public_key["publicKeyPem"], key_id=public_key["id"], owner=public_key["owner"])
    assert check_document(presented, key).owner == ALICE
    without_proof = {name: value for name, value in arrival.activity.items() if name != "proof"}
    with pytest.raises(BadSignature):
        check_document(ld_signature.parse(without_proof, now=network.clock()), key)


def test_changed_activity_is_refused(network: PeerNetwork, receiver: Receiver) -> None:
    forwarder = network.peer("https://between.example/users/bob")
    with sender(network) as node:
        node.publish(Note(content="hello"), by="alice", to=[PUBLIC, forwarder.actor])
        node.work(until_idle=True)
        body = forwarder.received[0].request.body.replace(b"hello", b"hullo")
        assert forwarder.deliver(receiver.node, body).status == 401
    assert receiver.proofs == []


@pytest.mark.parametrize(
    ("schemes", "to", "signatures"),
    [
        ((), PUBLIC, set()),
        (("eddsa-jcs-2022", "RsaSignature2017"), PUBLIC, {"proof", "signature"}),
        (("eddsa-jcs-2022", "RsaSignature2017"), f"{X}/bob", {"proof"}),
        (("RsaSignature2017",), f"{X}/bob", set()),
    ],
    ids=["none", "public", "private", "private with an LD signature"],
)
def test_signatures_depend_on_the_policy_and_the_audience(
    schemes: tuple[Any, ...], to: str, signatures: set[str]
) -> None:
    out = Outgoing(federation_with(schemes))
    out.follow(f"{X}/bob")
    out.node.publish(Note(content="hello"), by="alice", to=to)
    out.work()
    [body] = out.post.bodies
    assert body.keys() & {"proof", "signature"} == signatures


def test_every_inbox_gets_the_same_bytes_also_in_a_retry() -> None:
    out = Outgoing()
    out.follow(*(f"https://{number}.example/bob" for number in range(45)))
    out.post.answers["https://7.example"] = 503
    out.node.publish(Note(content="hello"), by="alice", to=PUBLIC)
    out.work()
    out.post.answers.clear()
    out.pass_s(HOUR_S)
    assert len(out.post.posts) > 45
    assert len({request.body for _, request in out.post.posts}) == 1


def test_delete_of_the_actor_gets_a_proof_and_no_ld_signature() -> None:
    signatures = []
    for object_ in (ALICE, Person(id=ALICE), f"{ALICE}/notes/1"):
        out = Outgoing(federation_with(("eddsa-jcs-2022", "RsaSignature2017")))
        out.node.send(Delete(object=object_, to=PUBLIC), by="alice", to=f"{X}/bob")
        out.work()
        signatures += [body.keys() & {"proof", "signature"} for body in out.post.bodies]
    assert signatures == [{"proof"}, {"proof"}, {"proof", "signature"}]


def test_activity_without_a_canonical_form_is_delivered_without_a_proof() -> None:
    out = Outgoing()
    context = ["https://www.w3.org/ns/activitystreams", {"big": "https://x.example/big"}]
    like = {"@context": context, "type": "Like", "object": f"{X}/n", "big": 2**60 + 1}
    out.node.send(Like.over(read_document(like)), by="alice", to=f"{X}/bob")
    out.work()
    [body] = out.post.bodies
    assert "proof" not in body
    assert body["big"] == 2**60 + 1


def test_activity_that_cannot_be_read_is_delivered_without_a_proof() -> None:
    out = Outgoing()
    context = ["https://w3id.org/security/data-integrity/v2", None]  # protected terms must not be taken back
    like = Like(object=f"{X}/n").document.tree | {"@context": context}
    out.node.send(Like.over(Document(like, like)), by="alice", to=f"{X}/bob")
    out.work()
    assert "proof" not in out.post.bodies[0]


def test_activity_that_the_application_has_signed_is_delivered_as_it_is() -> None:
    out = Outgoing()
    proof = {"type": "DataIntegrityProof", "cryptosuite": "own-2026"}
    like = {"@context": "https://www.w3.org/ns/activitystreams", "type": "Like", "object": f"{X}/n", "proof": proof}
    out.node.send(Like.over(read_document(like)), by="alice", to=f"{X}/bob")
    out.work()
    assert out.post.bodies[0]["proof"] == proof


def test_activity_that_would_become_too_large_gets_no_proof() -> None:
    out = Outgoing()
    out.node.send(Create(object=Note(content="x" * (1024 * 1024 - 600))), by="alice", to=f"{X}/bob")
    out.work()
    [(_, request)] = out.post.posts
    assert "proof" not in json.loads(request.body)


class Signer(ReusedKeys):
    """A signer that may be down."""

    is_down = False

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        if self.is_down:
            raise SignerUnavailable("the signer is down")
        return super().sign(key_name, data)


def test_activity_waits_for_its_signer_an_hour_at_most() -> None:
    signer = Signer()
    out = Outgoing()
    out.node.close()
    heard: list[str | None] = []
    federation = alice_and_bob()
    federation.on(Like)(lambda ctx, activity: heard.append(ctx.recipient))
    out.federation = federation
    node = out.made()
    node = Node(federation, HERE, out.store, transport=out.post, runtime=out.clock, signer=signer, slots=0)
    signer.is_down = True
    node.send(Like(object=f"{X}/n"), by="alice", to=[f"{HERE}/users/bob", f"{X}/bob"])
    out.node = node
    out.work()
    assert heard == []
    out.pass_s(HOUR_S + 120)
    assert heard == ["bob"]
    assert out.post.posts == []
    signer.is_down = False
    out.pass_s(HOUR_S)
    [body] = out.post.bodies
    assert "proof" not in body


def test_activity_is_signed_when_the_signer_is_back() -> None:
    signer = Signer()
    out = Outgoing()
    out.node = Node(out.federation, HERE, out.store, transport=out.post, runtime=out.clock, signer=signer, slots=0)
    signer.is_down = True
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    out.work()
    signer.is_down = False
    out.pass_s(HOUR_S)
    assert "proof" in out.post.bodies[0]


def test_proof_of_a_key_rotation_is_by_a_key_that_peers_know() -> None:
    out = Outgoing()
    out.follow(f"{X}/bob")
    out.node.publish(Note(content="hello"), by="alice", to=FOLLOWERS)
    out.work()
    old_key_id = out.post.bodies[0]["proof"]["verificationMethod"]
    out.clock.moment = NOON + timedelta(days=1)
    out.node.rotate_keys("alice")
    out.work()
    update = out.post.bodies[1]
    assert update["type"] == "Update"
    assert update["proof"]["verificationMethod"] == old_key_id == f"{ALICE}#ed25519-key"


def test_proof_names_a_key_in_the_actors_assertion_method(network: PeerNetwork) -> None:
    bob = network.peer(f"{X}/bob")
    with sender(network) as node:
        node.send(Like(object=f"{X}/n"), by="alice", to=bob.actor)
        node.work(until_idle=True)
        [arrival] = bob.received
        bob_request = bob.sign(get(ALICE))
        document = json.loads(node.handle(bob_request).body)  # type: ignore[union-attr]
    [presented] = proofs.parse(arrival.activity, now=network.clock())
    [key] = [one for one in document["assertionMethod"] if one["id"] == presented.key_id]
    multikey = read_multikey(key["publicKeyMultibase"], key_id=key["id"], owner=key["controller"])
    assert check_document(presented, multikey).owner == ALICE


@pytest.mark.parametrize("schemes", ["eddsa-jcs-2022", ["eddsa-rdfc-2022"], ["Ed25519Signature2020"]])
def test_unknown_scheme_is_refused(schemes: Any) -> None:
    with pytest.raises(ConfigurationError, match="eddsa-jcs-2022 and RsaSignature2017"):
        Federation(document_signatures=schemes)


def federation_with(schemes: tuple[Any, ...]) -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0", document_signatures=schemes)

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    return federation


def get(url: str) -> Request:
    return Request("GET", url, Headers({"Accept": "application/activity+json"}))
