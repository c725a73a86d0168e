"""Our own keys: made once, for a bounded number of actors at a time, published in the shape that others read, and never under a used id."""

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
from apcore.federation.actors.keys import (
    OwnKey,
    StoredKeys,
    instance_identity,
    key_members,
    own_keys,
    read_stored_keys,
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

    def ask(self, identifier: str) -> Any:
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
    assert ground.ask("alice").status == 200
    assert len(ground.signer.made) == 2
    assert ground.node.run(signing_key(ground.site, ground.uri("alice"))) == first[0]


def test_nobody_gets_no_keys() -> None:
    ground = Ground()
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
    node = Node(federation, HERE, ground.store, runtime=ground.clock, signer=ground.signer)
    for number in range(100):
        assert node.handle(Request("GET", f"{HERE}/users/{number}", AP)).status == 404
    assert ground.signer.made == []


# --- the cap --------------------------------------------------------------------------------------------------------


def test_a_thousand_actors_that_are_asked_for_at_once_get_keys_a_few_a_window() -> None:
    ground = Ground(KeyPolicy(made_max=5, made_window_s=60))
    statuses = [ground.ask(f"user{number}").status for number in range(1000)]
    assert statuses == [200] * 5 + [503] * 995
    assert len(ground.signer.made) == 10
    answer = ground.ask("user999")
    assert json.loads(answer.body)["reason"] == "keys-capped"
    assert 1 <= int(answer.headers.get("retry-after")) <= 60
    assert ground.ask("user0").status == 200
    ground.clock.moment += timedelta(seconds=int(answer.headers.get("retry-after")))
    assert [ground.ask(f"user{number}").status for number in range(990, 1000)] == [200] * 5 + [503] * 5


def test_the_instance_actor_is_not_counted_and_not_held_back() -> None:
    ground = Ground(KeyPolicy(made_max=1))
    assert ground.ask("alice").status == 200
    assert ground.ask("bob").status == 503
    assert ground.node.handle(Request("GET", f"{HERE}/actor", AP)).status == 200
    assert ground.node.run(instance_identity(ground.site)).key_id == f"{HERE}/actor#main-key"


def test_each_origin_has_its_own_window() -> None:
    ground = Ground(KeyPolicy(made_max=1))
    other = "https://other.example"
    node = Node(ground.federation, (HERE, other), ground.store, runtime=ground.clock, signer=ground.signer)
    asked = [f"{origin}/users/{name}" for name in ("alice", "bob") for origin in (HERE, other)]
    assert [node.handle(Request("GET", url, AP)).status for url in asked] == [200, 200, 503, 503]


def test_who_failed_on_the_way_is_not_counted_again() -> None:
    class Failing(Counting):
        down = True

        def make_key(self, kind: KeyKind, /) -> MadeKey:
            from apcore.errors import SignerUnavailable

            if self.down:
                raise SignerUnavailable("no")
            return super().make_key(kind)

    signer = Failing()
    ground = Ground(KeyPolicy(made_max=2), signer=signer)
    assert [ground.ask("alice").status for _ in range(5)] == [503] * 5
    signer.down = False
    assert [ground.ask(name).status for name in ("alice", "bob", "carol")] == [200, 200, 503]


def test_deliveries_wait_for_the_next_window_and_charge_nobody() -> None:
    federation: Federation[None] = Federation(software="test/1.0", keys=KeyPolicy(made_max=1))
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    out = Outgoing(federation)
    for name in ("alice", "bob"):
        out.node.send(Announce(object="https://x.example/1"), by=name, to=f"https://{name}.example/users/carol")
    out.work()
    assert len(out.post.posts) == 1
    assert out.facts("circuit") == out.facts("dead") == []
    out.pass_s(120, step_s=30)
    assert sorted(body["actor"] for body in out.post.bodies) == [f"{HERE}/users/alice", f"{HERE}/users/bob"]


@pytest.mark.parametrize(
    "wrong", [{"made_max": 0}, {"made_window_s": 0}, {"retire_after_s": -1}, {"generations_max": 1}], ids=str
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KeyPolicy(**wrong)


# --- several at once ------------------------------------------------------------------------------------------------


class Slow(StoreSigner):
    """Makes a pair only when everybody has asked for it, so that they do ask at once."""

    def __init__(self, store: MemoryStore, askers: int) -> None:
        super().__init__(store)
        self.barrier = Barrier(askers)
        self.made = count()

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        next(self.made)
        return super().make_key(kind)


def test_in_one_process_one_pair_is_made() -> None:
    askers = 6
    store = MemoryStore()
    signer = Slow(store, askers)
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
    assert len(store.scan(("private",), limit=100)) == 2, "what lost is dropped"


def test_of_two_processes_one_wins_and_the_other_drops_its_pair() -> None:
    ground = Ground()
    other = Node(ground.federation, HERE, ground.store, runtime=Clock(), signer=StoreSigner(ground.store))
    ground.signer.meanwhile = lambda: other.handle(Request("GET", ground.uri("alice"), AP))
    keys = ground.keys("alice")
    assert {key.name for key in keys}.isdisjoint(ground.signer.made)
    assert ground.signer.dropped == ground.signer.made


def test_keys_that_vanish_between_two_looks_are_a_bug_in_words() -> None:
    class Forgetful(MemoryStore):
        def commit(self, checks: Any, writes: Any, /, **more: Any) -> bool:
            return not any(write.key[0] == "keys" for write in writes) and super().commit(checks, writes, **more)

    with pytest.raises(ContractError, match="does not return them"):
        Ground(store=Forgetful()).keys("alice")


# --- how they are published -----------------------------------------------------------------------------------------


def generation(number: int, until: Any = None) -> tuple[OwnKey, ...]:
    kinds: tuple[KeyKind, ...] = ("rsa-2048", "ed25519")
    return tuple(
        OwnKey(f"{kind} {number}", kind, "https://x.example/a", public(kind, number), NOON, number, until)
        for kind in kinds
    )


def public(kind: KeyKind, number: int) -> bytes:
    return reuse_key(f"{kind} {number}", kind).public.spki


def test_one_key_is_published_as_one_and_the_others_as_a_list() -> None:
    later = NOON + timedelta(days=1)
    kept = StoredKeys("https://x.example/a", (*generation(1, later), *generation(2)), 2)
    published = kept.published(NOON)
    assert [key.key_id.partition("#")[2] for key in published] == [
        "main-key-2",
        "ed25519-key-2",
        "main-key",
        "ed25519-key",
    ]
    members = key_members(published)
    assert members["publicKey"]["id"].endswith("#main-key-2")
    assert read_pem(members["publicKey"]["publicKeyPem"], key_id="", owner="").spki == public("rsa-2048", 2)
    said = [(each["id"].partition("#")[2], each["type"], each.get("expires")) for each in members["assertionMethod"]]
    assert said == [
        ("ed25519-key-2", "Multikey", None),
        ("main-key", "Multikey", "2026-01-02T12:00:00Z"),
        ("ed25519-key", "Multikey", "2026-01-02T12:00:00Z"),
    ]
    old = members["assertionMethod"][1]
    assert read_multikey(old["publicKeyMultibase"], key_id="", owner="").spki == public("rsa-2048", 1)
    assert [key.generation for key in kept.published(later)] == [2, 2]


def test_what_is_written_is_read() -> None:
    def kept() -> Op[StoredKeys | None]:
        return (yield from read_stored_keys("https://x.example/a"))

    later = NOON + timedelta(days=1)
    wanted = StoredKeys("https://x.example/a", (*generation(1, later), *generation(2)), 2)
    store = MemoryStore()
    ports = Ports(runtime=BlockingRuntime(), store=store)
    assert run(kept(), ports) is None
    assert store.commit((wanted.unchanged_check,), (wanted.to_put(),), token=b"t" * 16)
    read = run(kept(), ports)
    assert read is not None
    assert (read.keys, read.generation, read.actor) == (wanted.keys, 2, wanted.actor)
    assert read.unchanged_check.version == b"t" * 16


def test_what_earlier_releases_kept_is_read() -> None:
    from base64 import b64encode

    from apcore.federation.actors.keys import keys_key
    from apcore.ports import Put
    from apcore.records.format import encode_record

    ground = Ground()
    member = {"name": "n", "kind": "rsa-2048", "public": b64encode(public("rsa-2048", 1)).decode(), "created": 0}
    fact = encode_record({"actor": ground.uri("alice"), "keys": [member]})
    assert ground.store.commit((), (Put(keys_key(ground.uri("alice")), fact),), token=b"t" * 16)
    [key] = ground.keys("alice")
    assert (key.name, key.key_id, key.generation, key.until) == ("n", f"{HERE}/users/alice#main-key", 1, None)


def test_a_name_is_preferred_as_long_as_it_is_published() -> None:
    ground = Ground()
    later = NOON + timedelta(days=1)
    kept = StoredKeys(ground.uri("alice"), (*generation(1, later), *generation(2)), 2)
    assert ground.store.commit((), (kept.to_put(),), token=b"t" * 16)

    def name(prefer: str | None) -> str:
        return ground.node.run(signing_key(ground.site, ground.uri("alice"), prefer=prefer)).name

    asked = (None, "rsa-2048 1", "ed25519 1", "nothing")
    assert [name(prefer) for prefer in asked] == ["rsa-2048 2", "rsa-2048 1", "rsa-2048 2", "rsa-2048 2"]
    ground.clock.moment = later
    assert [name(prefer) for prefer in asked] == ["rsa-2048 2"] * 4
