"""Check the keys of local actors: made once, in bounded numbers, and published under ids that are used once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any

import pytest

from apcore.adapters.keys import StoreSigner
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, run
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation import Federation, KeyPolicy
from apcore.federation.actors.key_ring import KeyRing, OwnKey, key_members
from apcore.federation.actors.keys import (
    instance_identity,
    own_keys,
    read_key_ring,
    signing_key,
)
from apcore.federation.site import Site
from apcore.http import Headers, Request, parse_origin
from apcore.node import Node
from apcore.ports import KeyKind, MadeKey
from apcore.signatures import read_multikey, read_pem
from apcore.testing.keys import reuse_key
from apcore.vocab import Announce, Person
from outbox_fixture import HERE, NOON, Clock, Counting, Outgoing

AP = Headers({"Accept": "application/activity+json"})


class Ground:
    """A node with any number of actors."""

    def __init__(self, policy: KeyPolicy | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.signer = Counting()
        self.store = MemoryStore(clock=self.clock.seconds)
        self.federation: Federation[None] = Federation(keys=policy or KeyPolicy())
        self.federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(name=identifier))
        ports = {"store": self.store, "runtime": self.clock, "signer": self.signer} | options
        self.node = Node(self.federation, HERE, **ports)
        self.site = Site(federation=self.federation, origin=parse_origin(HERE))

    def request_actor(self, identifier: str) -> Any:
        return self.node.handle(Request("GET", self.uri(identifier), AP))

    def uri(self, identifier: str) -> str:
        return f"{HERE}/users/{identifier}"

    def keys(self, identifier: str) -> tuple[OwnKey, ...]:
        return self.node.run(own_keys(self.site, self.uri(identifier)))


def test_keys_are_made_once() -> None:
    ground = Ground()
    first = ground.keys("alice")
    assert [key.kind for key in first] == ["rsa-2048", "ed25519"]
    assert [key.key_id for key in first] == [f"{HERE}/users/alice#main-key", f"{HERE}/users/alice#ed25519-key"]
    assert ground.keys("alice") == first
    assert ground.request_actor("alice").status == 200
    assert len(ground.signer.made) == 2
    assert ground.node.run(signing_key(ground.site, ground.uri("alice"))) == first[0]


def test_unknown_actor_gets_no_keys() -> None:
    ground = Ground()
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
    node = Node(federation, HERE, ground.store, runtime=ground.clock, signer=ground.signer)
    for number in range(100):
        assert node.handle(Request("GET", f"{HERE}/users/{number}", AP)).status == 404
    assert ground.signer.made == []


# --- the limit ------------------------------------------------------------------------------------------------------


def test_number_of_new_keys_per_window_is_bounded() -> None:
    ground = Ground(KeyPolicy(made_max=5, made_window_s=60))
    statuses = [ground.request_actor(f"user{number}").status for number in range(1000)]
    assert statuses == [200] * 5 + [503] * 995
    assert len(ground.signer.made) == 10
    answer = ground.request_actor("user999")
    assert json.loads(answer.body)["reason"] == "keys-capped"
    assert 1 <= int(answer.headers.get("retry-after")) <= 60
    assert ground.request_actor("user0").status == 200
    ground.clock.moment += timedelta(seconds=int(answer.headers.get("retry-after")))
    assert [ground.request_actor(f"user{number}").status for number in range(990, 1000)] == [200] * 5 + [503] * 5


def test_instance_actor_is_exempt_from_the_limit() -> None:
    ground = Ground(KeyPolicy(made_max=1))
    assert ground.request_actor("alice").status == 200
    assert ground.request_actor("bob").status == 503
    assert ground.node.handle(Request("GET", f"{HERE}/actor", AP)).status == 200
    assert ground.node.run(instance_identity(ground.site)).key_id == f"{HERE}/actor#main-key"


def test_each_origin_has_its_own_window() -> None:
    ground = Ground(KeyPolicy(made_max=1))
    other = "https://other.example"
    node = Node(ground.federation, (HERE, other), ground.store, runtime=ground.clock, signer=ground.signer)
    urls = [f"{origin}/users/{name}" for name in ("alice", "bob") for origin in (HERE, other)]
    assert [node.handle(Request("GET", url, AP)).status for url in urls] == [200, 200, 503, 503]


def test_failed_attempt_is_not_counted_again() -> None:
    class FailingSigner(Counting):
        down = True

        def make_key(self, kind: KeyKind, /) -> MadeKey:
            from apcore.errors import SignerUnavailable

            if self.down:
                raise SignerUnavailable("no")
            return super().make_key(kind)

    signer = FailingSigner()
    ground = Ground(KeyPolicy(made_max=2), signer=signer)
    assert [ground.request_actor("alice").status for _ in range(5)] == [503] * 5
    signer.down = False
    assert [ground.request_actor(name).status for name in ("alice", "bob", "carol")] == [200, 200, 503]


def test_deliveries_wait_for_the_next_window_without_blaming_the_peer() -> None:
    federation: Federation[None] = Federation(software="test/1.0", keys=KeyPolicy(made_max=1))
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    outgoing = Outgoing(federation)
    for name in ("alice", "bob"):
        outgoing.node.send(Announce(object="https://x.example/1"), by=name, to=f"https://{name}.example/users/carol")
    outgoing.work()
    assert len(outgoing.post.posts) == 1
    assert outgoing.facts("circuit") == outgoing.facts("dead") == []
    outgoing.pass_s(120, step_s=30)
    assert sorted(body["actor"] for body in outgoing.post.bodies) == [f"{HERE}/users/alice", f"{HERE}/users/bob"]


@pytest.mark.parametrize(
    "options", [{"made_max": 0}, {"made_window_s": 0}, {"retire_after_s": -1}, {"generations_max": 1}], ids=str
)
def test_invalid_key_policy_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        KeyPolicy(**options)


# --- concurrency ----------------------------------------------------------------------------------------------------


class SlowSigner(StoreSigner):
    """A signer with a barrier, at which all requests for a key meet before it is made."""

    def __init__(self, store: MemoryStore, askers: int) -> None:
        super().__init__(store)
        self.barrier = Barrier(askers)
        self.pairs = count()

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        next(self.pairs)
        return super().make_key(kind)


def test_concurrent_requests_in_one_process_publish_one_pair() -> None:
    askers = 6
    store = MemoryStore()
    signer = SlowSigner(store, askers)
    federation: Federation[None] = Federation()

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person:
        signer.barrier.wait(10)
        return Person()

    node = Node(federation, HERE, store, signer=signer, runtime=BlockingRuntime())
    with ThreadPoolExecutor(askers) as pool:
        answers = list(pool.map(lambda _: node.handle(Request("GET", f"{HERE}/users/alice", AP)), range(askers)))
    assert [answer.status for answer in answers] == [200] * askers
    assert len({answer.body for answer in answers}) == 1
    assert len(store.scan(("private",), limit=100)) == 2, "the surplus keys are not dropped"


def test_concurrent_processes_publish_one_pair_and_drop_the_other() -> None:
    ground = Ground()
    other = Node(ground.federation, HERE, ground.store, runtime=Clock(), signer=StoreSigner(ground.store))
    ground.signer.meanwhile = lambda: other.handle(Request("GET", ground.uri("alice"), AP))
    keys = ground.keys("alice")
    assert {key.name for key in keys}.isdisjoint(ground.signer.made)
    assert ground.signer.dropped == ground.signer.made


def test_keys_missing_from_the_store_are_a_contract_error() -> None:
    class StoreWithoutKeys(MemoryStore):
        def commit(self, checks: Any, writes: Any, /, **kwargs: Any) -> bool:
            return not any(write.key[0] == "keys" for write in writes) and super().commit(checks, writes, **kwargs)

    with pytest.raises(ContractError, match="does not return them"):
        Ground(store=StoreWithoutKeys()).keys("alice")


# --- publication ----------------------------------------------------------------------------------------------------


def generation(number: int, until: Any = None) -> tuple[OwnKey, ...]:
    kinds: tuple[KeyKind, ...] = ("rsa-2048", "ed25519")
    return tuple(
        OwnKey(f"{kind} {number}", kind, "https://x.example/a", public(kind, number), NOON, number, until)
        for kind in kinds
    )


def public(kind: KeyKind, number: int) -> bytes:
    return reuse_key(f"{kind} {number}", kind).public.spki


def test_signing_key_is_published_alone_and_the_others_in_a_list() -> None:
    later = NOON + timedelta(days=1)
    stored_keys = KeyRing("https://x.example/a", (*generation(1, later), *generation(2)), 2)
    published = stored_keys.published(NOON)
    assert [key.key_id.partition("#")[2] for key in published] == [
        "main-key-2",
        "ed25519-key-2",
        "main-key",
        "ed25519-key",
    ]
    members = key_members(published)
    assert members["publicKey"]["id"].endswith("#main-key-2")
    assert read_pem(members["publicKey"]["publicKeyPem"], key_id="", owner="").spki == public("rsa-2048", 2)
    listed_keys = [
        (method["id"].partition("#")[2], method["type"], method.get("expires")) for method in members["assertionMethod"]
    ]
    assert listed_keys == [
        ("ed25519-key-2", "Multikey", None),
        ("main-key", "Multikey", "2026-01-02T12:00:00Z"),
        ("ed25519-key", "Multikey", "2026-01-02T12:00:00Z"),
    ]
    old_method = members["assertionMethod"][1]
    assert read_multikey(old_method["publicKeyMultibase"], key_id="", owner="").spki == public("rsa-2048", 1)
    assert [key.generation for key in stored_keys.published(later)] == [2, 2]


def test_stored_keys_round_trip() -> None:
    def read_keys() -> Op[KeyRing | None]:
        return (yield from read_key_ring("https://x.example/a"))

    later = NOON + timedelta(days=1)
    stored_keys = KeyRing("https://x.example/a", (*generation(1, later), *generation(2)), 2)
    store = MemoryStore()
    ports = Ports(runtime=BlockingRuntime(), store=store)
    assert run(read_keys(), ports) is None
    assert store.commit((stored_keys.unchanged_check,), (stored_keys.to_put(),), token=b"t" * 16)
    loaded_keys = run(read_keys(), ports)
    assert loaded_keys is not None
    assert (loaded_keys.keys, loaded_keys.generation, loaded_keys.actor) == (stored_keys.keys, 2, stored_keys.actor)
    assert loaded_keys.unchanged_check.version == b"t" * 16


def test_keys_stored_by_earlier_releases_are_read() -> None:
    from base64 import b64encode

    from apcore.federation.actors.records import KEY_RINGS, KeyRingKey
    from apcore.ports import Put
    from apcore.records.format import encode_record

    ground = Ground()
    member = {"name": "n", "kind": "rsa-2048", "public": b64encode(public("rsa-2048", 1)).decode(), "created": 0}
    fact = encode_record({"actor": ground.uri("alice"), "keys": [member]})
    assert ground.store.commit((), (Put(KEY_RINGS.key(KeyRingKey.of(ground.uri("alice"))), fact),), token=b"t" * 16)
    [key] = ground.keys("alice")
    assert (key.name, key.key_id, key.generation, key.until) == ("n", f"{HERE}/users/alice#main-key", 1, None)


def test_preferred_key_signs_as_long_as_it_is_published() -> None:
    ground = Ground()
    later = NOON + timedelta(days=1)
    stored_keys = KeyRing(ground.uri("alice"), (*generation(1, later), *generation(2)), 2)
    assert ground.store.commit((), (stored_keys.to_put(),), token=b"t" * 16)

    def name(prefer: str | None) -> str:
        return ground.node.run(signing_key(ground.site, ground.uri("alice"), prefer=prefer)).name

    preferences = (None, "rsa-2048 1", "ed25519 1", "nothing")
    assert [name(prefer) for prefer in preferences] == ["rsa-2048 2", "rsa-2048 1", "rsa-2048 2", "rsa-2048 2"]
    ground.clock.moment = later
    assert [name(prefer) for prefer in preferences] == ["rsa-2048 2"] * 4
