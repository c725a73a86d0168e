"""Check key rotation: which key signs, which keys are published, the announcement, and the end of replaced keys."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apcore.adapters.keys import StoreSigner
from apcore.adapters.memory import MemoryStore
from apcore.effects import Op
from apcore.errors import ContractError, SignerUnavailable, StoreBusy, Unavailable
from apcore.federation import Federation, KeyPolicy
from apcore.federation.actors.key_ring import OwnKey
from apcore.federation.actors.keys import own_keys
from apcore.federation.actors.profiles import ActorUnknown
from apcore.federation.actors.rotation import retire_due, rotate
from apcore.http import Headers, Request
from apcore.node import Node
from apcore.ports import KeyKind, MadeKey
from apcore.testing.keys import reuse_key
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import Announce, Note, Person
from inbox_fixture import ALICE as LOCAL_ALICE
from inbox_fixture import Ground
from outbox_fixture import ALICE, HERE, Counting, Outgoing

BOB = "https://x.example/users/bob"
DAY_S = 86400.0
SHORT = rsa.generate_private_key(65537, 1024).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class RotatingServer(Outgoing):
    """A server with a signer that records dropped keys."""

    def __init__(self, **policy: Any) -> None:
        self.signer = Counting()
        federation: Federation[None] = Federation(software="test/1.0", keys=KeyPolicy(**policy))

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        super().__init__(federation)

    def made(self) -> Node[None]:
        ports = {"store": self.store, "queue": self.queue, "transport": self.post, "runtime": self.clock}
        return Node(self.federation, HERE, signer=self.signer, **ports)

    def published(self, actor: str = ALICE) -> tuple[OwnKey, ...]:
        return self.node.run(own_keys(self.node.site(), actor))

    def document(self, url: str = ALICE) -> Any:
        answer = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
        assert answer.status == 200
        return json.loads(answer.body)

    def ids(self, url: str = ALICE) -> tuple[str, list[str]]:
        """Return the fragment of the signing key, and those of the other published keys."""
        document = self.document(url)
        return fragment(document["publicKey"]["id"]), [fragment(method["id"]) for method in document["assertionMethod"]]

    def key_of_posts(self) -> list[tuple[str, str]]:
        """Return the activity type of each POST and the fragment of its key."""
        fields = [
            f"{request.headers.get('signature')} {request.headers.get('signature-input')}"
            for _, request in self.post.posts
        ]
        keys = [re.findall(r'key[Ii]d="([^"]+)"', field)[0] for field in fields]
        return [(body["type"], fragment(key)) for body, key in zip(self.post.bodies, keys, strict=True)]


def fragment(key_id: str) -> str:
    return key_id.partition("#")[2]


def test_new_keys_sign_at_once_and_old_keys_stay_published() -> None:
    server = RotatingServer()
    assert server.ids() == ("main-key", ["ed25519-key"])
    server.follow(BOB)
    rotation = server.node.rotate_keys("alice")
    assert [fragment(key) for key in (*rotation.signs, *rotation.replaced)] == [
        "main-key-2",
        "ed25519-key-2",
        "main-key",
        "ed25519-key",
    ]
    assert rotation.actor == ALICE
    assert rotation.retired == server.clock.moment + timedelta(days=7)
    assert server.ids() == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    server.node.publish(Note(content="hi"), by="alice")
    server.work()
    assert sorted(server.key_of_posts()) == [("Create", "main-key-2"), ("Update", "main-key")]


def test_followers_get_an_update_signed_with_the_old_key() -> None:
    server = RotatingServer()
    server.follow(BOB)
    server.node.rotate_keys("alice")
    server.work()
    [update] = server.post.bodies
    assert (update["type"], update["actor"], update["to"]) == (
        "Update",
        ALICE,
        ["https://www.w3.org/ns/activitystreams#Public"],
    )
    document = server.document()
    assert update["@context"] == [*document.pop("@context"), "https://w3id.org/security/data-integrity/v1"]
    assert update["object"] == document


def test_peer_that_refuses_the_old_key_gets_the_update_signed_with_the_new_key() -> None:
    server = RotatingServer()
    server.follow(BOB)
    server.post.answers[f"{BOB}/inbox"] = 401
    server.node.rotate_keys("alice")
    server.work()
    server.post.answers.clear()
    server.pass_s(3600)
    # The first attempt tries both signature schemes.
    assert server.key_of_posts() == [("Update", "main-key"), ("Update", "main-key"), ("Update", "main-key-2")]


def test_rotation_without_announcement_sends_nothing() -> None:
    server = RotatingServer()
    server.follow(BOB)
    server.node.rotate_keys("alice", announce=False)
    server.work()
    assert server.post.posts == []
    assert server.ids()[0] == "main-key-2"


@pytest.mark.parametrize(("announce", "is_sent"), [(None, False), (True, True)])
def test_policy_decides_about_the_announcement_unless_a_rotation_does(announce: bool | None, is_sent: bool) -> None:
    server = RotatingServer(announce=False)
    server.follow(BOB)
    server.node.rotate_keys("alice", announce=announce)
    server.work()
    assert [update["type"] for update in server.post.bodies] == (["Update"] if is_sent else [])


def test_rotation_of_the_instance_actor_sends_nothing() -> None:
    server = RotatingServer()
    rotation = server.node.rotate_keys(None)
    assert rotation.actor == f"{HERE}/actor"
    assert server.ids(f"{HERE}/actor") == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    assert server.waiting() == 0


def test_actor_without_keys_can_rotate() -> None:
    server = RotatingServer()
    assert [fragment(key) for key in server.node.rotate_keys("alice").replaced] == ["main-key", "ed25519-key"]


def test_rotation_of_an_unknown_actor_is_refused() -> None:
    server = RotatingServer()
    with pytest.raises(ActorUnknown):
        server.node.rotate_keys("nobody")
    assert server.signer.made == []


def test_number_of_key_generations_is_bounded() -> None:
    server = RotatingServer(generations_max=3)
    server.node.rotate_keys("alice")
    server.clock.moment += timedelta(days=1)
    server.node.rotate_keys("alice")
    with pytest.raises(
        ContractError, match=r"3 generations .* at most 3 may be; the next is retired at 2026-01-08 12:00"
    ):
        server.node.rotate_keys("alice")
    assert server.ids()[1] == ["ed25519-key-3", "main-key-2", "ed25519-key-2", "main-key", "ed25519-key"]
    server.clock.moment += timedelta(days=6)
    server.node.rotate_keys("alice")
    assert server.ids()[0] == "main-key-4"


def test_concurrent_rotations_use_different_key_ids() -> None:
    server = RotatingServer()
    server.published()
    other = Node(server.federation, HERE, server.store, runtime=server.clock, signer=StoreSigner(server.store))
    server.signer.meanwhile = lambda: other.rotate_keys("alice", announce=False)
    rotation = server.node.rotate_keys("alice", announce=False)
    assert fragment(rotation.signs[0]) == "main-key-3"
    assert [fragment(key) for key in rotation.replaced] == ["main-key-2", "ed25519-key-2"]
    keys = server.published()
    assert len({key.key_id for key in keys}) == len({key.public for key in keys}) == 6
    assert server.ids()[0] == "main-key-3"


def test_rotation_that_loses_every_race_drops_its_keys() -> None:
    class ContendedStore(MemoryStore):
        def commit(self, checks: Any, writes: Any, /, **kwargs: Any) -> bool:
            return not any(write.key[0] == "keys-due" for write in writes) and super().commit(checks, writes, **kwargs)

    server = RotatingServer()
    server.store = server.queue = ContendedStore(clock=server.clock.seconds)
    server.node = server.made()
    with pytest.raises(StoreBusy, match="each of 5 attempts"):
        server.node.rotate_keys("alice")
    assert server.signer.dropped == server.signer.made[2:]
    assert server.ids() == ("main-key", ["ed25519-key"])


# --- imported keys --------------------------------------------------------------------------------------------------


def imported_keys(name: str) -> list[MadeKey]:
    """Return a pair of keys that was made elsewhere."""
    kinds: tuple[KeyKind, ...] = ("rsa-2048", "ed25519")
    return [MadeKey(f"{kind} {name}", kind, reuse_key(f"{kind} {name}", kind).public.spki) for kind in kinds]


def test_imported_keys_of_an_actor_without_keys_become_its_first() -> None:
    server = RotatingServer()
    server.follow(BOB)
    rotation = server.node.rotate_keys("alice", keys=imported_keys("9"))
    assert ([fragment(key) for key in rotation.signs], rotation.replaced) == (["main-key", "ed25519-key"], ())
    assert server.document()["publicKey"]["publicKeyPem"] == reuse_key("rsa-2048 9", "rsa-2048").public.pem
    assert (server.signer.made, server.facts("keys-due"), server.waiting()) == ([], [], 0)
    server.node.publish(Note(content="hi"), by="alice")
    server.work()
    assert server.key_of_posts() == [("Create", "main-key")]


def test_imported_keys_replace_existing_keys() -> None:
    server = RotatingServer()
    server.published()
    server.node.rotate_keys("alice", keys=imported_keys("9"))
    assert server.ids() == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    assert len(server.signer.made) == 2


RSA, ED = imported_keys("9")
INVALID_KEYS: dict[str, list[MadeKey]] = {
    "one": [RSA],
    "none": [],
    "three": [RSA, ED, RSA],
    "two of a kind": [RSA, RSA],
    "no public half": [RSA, MadeKey("x", "ed25519", b"nonsense")],
    "of another type": [RSA, MadeKey("x", "ed25519", RSA.public)],
    "short": [MadeKey("x", "rsa-2048", SHORT), ED],
}


@pytest.mark.parametrize("keys", INVALID_KEYS.values(), ids=INVALID_KEYS)
def test_invalid_imported_keys_are_refused(keys: list[MadeKey]) -> None:
    server = RotatingServer()
    with pytest.raises(ValueError):
        server.node.rotate_keys("alice", keys=keys)
    assert server.facts("keys") == []


def test_imported_keys_already_in_use_are_refused() -> None:
    server = RotatingServer()
    server.node.rotate_keys("alice", keys=imported_keys("9"))
    with pytest.raises(ValueError, match=r"is already a key of"):
        server.node.rotate_keys("alice", keys=imported_keys("9"))
    assert server.ids() == ("main-key", ["ed25519-key"])


# --- retiring -------------------------------------------------------------------------------------------------------


def test_replaced_keys_are_removed_after_a_week() -> None:
    server = RotatingServer()
    old_names = [key.name for key in server.published()]
    server.node.rotate_keys("alice", announce=False)
    server.pass_s(7 * DAY_S - 60, step_s=3600)
    assert server.ids()[1] == ["ed25519-key-2", "main-key", "ed25519-key"]
    assert server.signer.dropped == []
    server.clock.moment += timedelta(seconds=60)
    assert server.ids() == ("main-key-2", ["ed25519-key-2"]), "the document lists expired keys"
    assert server.facts("keys-due")
    server.work()
    assert server.signer.dropped == old_names
    assert server.facts("keys-due") == []
    server.pass_s(120)
    assert server.signer.dropped == old_names


def test_rotations_at_the_same_time_leave_no_private_key_behind() -> None:
    server = RotatingServer()
    old_names = {key.name for key in server.published()}
    for _ in range(2):
        old_names |= {key.name for key in server.published()}
        server.node.rotate_keys("alice", announce=False)
    assert len(server.facts("keys-due")) == 2
    server.clock.moment += timedelta(seconds=7 * DAY_S)
    server.work()
    assert sorted(server.signer.dropped) == sorted(old_names)
    assert len(old_names) == 4
    assert server.facts("keys-due") == []


def test_key_id_is_never_reused() -> None:
    server = RotatingServer()
    key_ids: list[str] = []
    for _ in range(5):
        key_ids += [key.key_id for key in server.published() if key.until is None]
        server.node.rotate_keys("alice", announce=False)
        server.pass_s(8 * DAY_S, step_s=DAY_S)
    assert len(set(key_ids)) == len(key_ids) == 10


def test_late_update_is_signed_with_the_new_key() -> None:
    server = RotatingServer(retire_after_s=0)
    server.follow(BOB)
    server.node.rotate_keys("alice")
    server.work()
    assert server.key_of_posts() == [("Update", "main-key-2")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_retirement_completes_after_any_single_failure(when: Any) -> None:
    """Fail the Nth effect, for every N: the next pass finishes, and no published key is dropped."""
    failures = 0
    for sabotage in fault_loop(when=when):
        server = RotatingServer()
        old_names = [key.name for key in server.published()]
        server.node.rotate_keys("alice", announce=False)
        server.clock.moment += timedelta(days=7)
        try:
            server.node.run(inject_failure(retire_due(), sabotage))
        except Unavailable:
            failures += 1
        published = {key.name for key in server.published()}
        assert published.isdisjoint(server.signer.dropped)
        server.node.run(retire_due())
        assert set(server.signer.dropped) == set(old_names)
        assert server.facts("keys-due") == []
        assert server.node.run(retire_due()) == 0
    assert failures >= 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_actor_has_signing_keys_after_any_single_failure_of_a_rotation(when: Any) -> None:
    for sabotage in fault_loop(when=when):
        server = RotatingServer()
        server.follow(BOB)

        def rotate_alice(server: RotatingServer = server) -> Op[Any]:
            return (yield from rotate(server.node.site(), "alice"))

        with suppress(Unavailable):
            server.node.run(inject_failure(rotate_alice(), sabotage))
        signing, others = server.ids()
        assert signing in {"main-key", "main-key-2"}
        assert len(others) == (1 if signing == "main-key" else 3)
        server.node.publish(Note(content="hi"), by="alice")
        server.work()
        assert ("Create", signing) in server.key_of_posts()


def test_failed_key_removal_is_retried() -> None:
    class FailingSigner(Counting):
        down = True

        def drop_key(self, key_name: str, /) -> bool:
            if self.down:
                raise SignerUnavailable("no")
            return super().drop_key(key_name)

    server = RotatingServer()
    server.signer = signer = FailingSigner()
    server.node = server.made()
    server.published()
    server.node.rotate_keys("alice", announce=False)
    server.clock.moment += timedelta(days=7)
    assert server.node.run(retire_due()) == 0
    assert len(server.facts("keys-due")) == 1
    signer.down = False
    assert server.node.run(retire_due()) == 1
    assert len(signer.dropped) == 2


@pytest.mark.parametrize("rest", [("x", "2"), ("x",)], ids=["value", "key"])
def test_record_of_a_newer_release_is_left_unchanged(rest: tuple[str, ...]) -> None:
    from apcore.ports import Put

    server = RotatingServer()
    key = ("keys-due", "1", f"{0:014d}", *rest)
    assert server.store.commit((), (Put(key, b'{"v":99}\n'),), token=b"t" * 16)
    server.published()
    server.node.rotate_keys("alice", announce=False)
    server.clock.moment += timedelta(days=7)
    assert server.node.run(retire_due()) == 1
    assert [entry.key for entry in server.facts("keys-due")] == [key]


# --- seen by peers --------------------------------------------------------------------------------------------------


class Wire:
    """A network between a server that rotates its keys and a server that listens."""

    checks_addresses = "enforced"

    def __init__(self, server: RotatingServer, ground: Ground) -> None:
        self.out, self.ground = server, ground
        self.statuses: list[int] = []

    def send(self, request: Request, /) -> Any:
        node = self.out.node if request.url.startswith(HERE) else self.ground.node
        answer = node.handle(request)
        if request.method == "POST":
            self.statuses.append(answer.status)
        return answer

    def close(self) -> None:
        """Do nothing: no connection is open."""


@pytest.mark.parametrize("announce", [True, False], ids=["signed", "blind"])
@pytest.mark.parametrize("is_known", [True, False], ids=["cached", "never seen"])
def test_peer_accepts_activities_signed_after_a_rotation(announce: bool, is_known: bool) -> None:
    server, ground = RotatingServer(), Ground()
    wire = Wire(server, ground)
    server.post, ground.network = wire, wire  # type: ignore[assignment]
    server.node = server.made()
    ports = {"queue": ground.queue, "transport": wire, "runtime": ground.clock, "signer": Counting()}
    ground.node = Node(ground.node.federation, "https://local.example", ground.store, **ports)
    server.follow(LOCAL_ALICE)

    def announce_and_process(content: str) -> None:
        server.node.send(Announce(object=f"https://x.example/{content}"), by="alice", to=LOCAL_ALICE)
        server.work()
        ground.work()

    if is_known:
        announce_and_process("before")
    ground.clock.at += timedelta(seconds=600)
    server.clock.moment = ground.clock.at
    heard_before = len(ground.heard)
    server.node.rotate_keys("alice", announce=announce)
    announce_and_process("after")
    # The Update of an unknown actor about itself is ignored.
    assert len(ground.heard) - heard_before == 1 + (announce and is_known)
    assert set(wire.statuses) == {202}
