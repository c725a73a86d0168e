"""Keys that are replaced: what signs, what is published, who hears of it, and that what was replaced is gone in the end."""

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
from apcore.federation.actors.keys import OwnKey, own_keys
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


class Rotating(Outgoing):
    """A server whose signer tells what it forgot."""

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
        """What signs, and what else is published."""
        document = self.document(url)
        return part(document["publicKey"]["id"]), [part(each["id"]) for each in document["assertionMethod"]]

    def key_of_posts(self) -> list[tuple[str, str]]:
        """Of every POST, what it was and what it was signed with."""
        fields = [
            f"{request.headers.get('signature')} {request.headers.get('signature-input')}"
            for _, request in self.post.posts
        ]
        keys = [re.findall(r'key[Ii]d="([^"]+)"', each)[0] for each in fields]
        return [(body["type"], part(key)) for body, key in zip(self.post.bodies, keys, strict=True)]


def part(key_id: str) -> str:
    return key_id.partition("#")[2]


def test_the_new_keys_sign_at_once_and_the_old_ones_stay_published() -> None:
    out = Rotating()
    assert out.ids() == ("main-key", ["ed25519-key"])
    out.follow(BOB)
    rotation = out.node.rotate_keys("alice")
    assert [part(key) for key in (*rotation.signs, *rotation.replaced)] == [
        "main-key-2",
        "ed25519-key-2",
        "main-key",
        "ed25519-key",
    ]
    assert rotation.actor == ALICE
    assert rotation.retired == out.clock.moment + timedelta(days=7)
    assert out.ids() == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert sorted(out.key_of_posts()) == [("Create", "main-key-2"), ("Update", "main-key")]


def test_followers_are_told_by_an_update_that_is_signed_with_the_old_key() -> None:
    out = Rotating()
    out.follow(BOB)
    out.node.rotate_keys("alice")
    out.work()
    [update] = out.post.bodies
    assert (update["type"], update["actor"], update["to"]) == (
        "Update",
        ALICE,
        ["https://www.w3.org/ns/activitystreams#Public"],
    )
    document = out.document()
    assert update["@context"] == document.pop("@context")
    assert update["object"] == document


def test_who_no_longer_knows_the_old_key_gets_it_signed_with_the_new() -> None:
    out = Rotating()
    out.follow(BOB)
    out.post.answers[f"{BOB}/inbox"] = 401
    out.node.rotate_keys("alice")
    out.work()
    out.post.answers.clear()
    out.pass_s(3600)
    # The first attempt knocks in both dialects.
    assert out.key_of_posts() == [("Update", "main-key"), ("Update", "main-key"), ("Update", "main-key-2")]


def test_nobody_is_told_if_nobody_is_to_be() -> None:
    out = Rotating()
    out.follow(BOB)
    out.node.rotate_keys("alice", announce=False)
    out.work()
    assert out.post.posts == []
    assert out.ids()[0] == "main-key-2"


def test_the_instance_actor_rotates_and_tells_nobody() -> None:
    out = Rotating()
    rotation = out.node.rotate_keys(None)
    assert rotation.actor == f"{HERE}/actor"
    assert out.ids(f"{HERE}/actor") == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    assert out.waiting() == 0


def test_an_actor_who_never_had_keys_can_rotate() -> None:
    out = Rotating()
    assert [part(key) for key in out.node.rotate_keys("alice").replaced] == ["main-key", "ed25519-key"]


def test_nobody_cannot_rotate() -> None:
    out = Rotating()
    with pytest.raises(ActorUnknown):
        out.node.rotate_keys("nobody")
    assert out.signer.made == []


def test_so_many_generations_and_no_more() -> None:
    out = Rotating(generations_max=3)
    out.node.rotate_keys("alice")
    out.clock.moment += timedelta(days=1)
    out.node.rotate_keys("alice")
    with pytest.raises(
        ContractError, match=r"3 generations .* at most 3 may be; the next is retired at 2026-01-08 12:00"
    ):
        out.node.rotate_keys("alice")
    assert out.ids()[1] == ["ed25519-key-3", "main-key-2", "ed25519-key-2", "main-key", "ed25519-key"]
    out.clock.moment += timedelta(days=6)
    out.node.rotate_keys("alice")
    assert out.ids()[0] == "main-key-4"


def test_of_two_rotations_at_once_each_has_ids_of_its_own() -> None:
    out = Rotating()
    out.published()
    other = Node(out.federation, HERE, out.store, runtime=out.clock, signer=StoreSigner(out.store))
    out.signer.meanwhile = lambda: other.rotate_keys("alice", announce=False)
    rotation = out.node.rotate_keys("alice", announce=False)
    assert part(rotation.signs[0]) == "main-key-3"
    assert [part(key) for key in rotation.replaced] == ["main-key-2", "ed25519-key-2"]
    keys = out.published()
    assert len({key.key_id for key in keys}) == len({key.public for key in keys}) == 6
    assert out.ids()[0] == "main-key-3"


def test_who_is_slower_each_time_gives_up_and_drops_its_keys() -> None:
    class Contended(MemoryStore):
        def commit(self, checks: Any, writes: Any, /, **more: Any) -> bool:
            return not any(write.key[0] == "keys-due" for write in writes) and super().commit(checks, writes, **more)

    out = Rotating()
    out.store = out.queue = Contended(clock=out.clock.seconds)
    out.node = out.made()
    with pytest.raises(StoreBusy, match="each of 5 attempts"):
        out.node.rotate_keys("alice")
    assert out.signer.dropped == out.signer.made[2:]
    assert out.ids() == ("main-key", ["ed25519-key"])


# --- keys that were there before ------------------------------------------------------------------------------------


def given(name: str) -> list[MadeKey]:
    """A pair that somebody made elsewhere."""
    kinds: tuple[KeyKind, ...] = ("rsa-2048", "ed25519")
    return [MadeKey(f"{kind} {name}", kind, reuse_key(f"{kind} {name}", kind).public.spki) for kind in kinds]


def test_an_actor_from_another_server_keeps_its_keys() -> None:
    out = Rotating()
    out.follow(BOB)
    rotation = out.node.rotate_keys("alice", keys=given("9"))
    assert ([part(key) for key in rotation.signs], rotation.replaced) == (["main-key", "ed25519-key"], ())
    assert out.document()["publicKey"]["publicKeyPem"] == reuse_key("rsa-2048 9", "rsa-2048").public.pem
    assert (out.signer.made, out.facts("keys-due"), out.waiting()) == ([], [], 0)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert out.key_of_posts() == [("Create", "main-key")]


def test_keys_of_ones_own_replace_others() -> None:
    out = Rotating()
    out.published()
    out.node.rotate_keys("alice", keys=given("9"))
    assert out.ids() == ("main-key-2", ["ed25519-key-2", "main-key", "ed25519-key"])
    assert len(out.signer.made) == 2


RSA, ED = given("9")
WRONG: dict[str, list[MadeKey]] = {
    "one": [RSA],
    "none": [],
    "three": [RSA, ED, RSA],
    "two of a kind": [RSA, RSA],
    "no public half": [RSA, MadeKey("x", "ed25519", b"nonsense")],
    "of another type": [RSA, MadeKey("x", "ed25519", RSA.public)],
    "short": [MadeKey("x", "rsa-2048", SHORT), ED],
}


@pytest.mark.parametrize("keys", WRONG.values(), ids=WRONG)
def test_keys_that_cannot_be_an_actors_are_refused(keys: list[MadeKey]) -> None:
    out = Rotating()
    with pytest.raises(ValueError):
        out.node.rotate_keys("alice", keys=keys)
    assert out.facts("keys") == []


def test_keys_that_were_replaced_do_not_come_back() -> None:
    out = Rotating()
    out.node.rotate_keys("alice", keys=given("9"))
    with pytest.raises(ValueError, match=r"is already a key of"):
        out.node.rotate_keys("alice", keys=given("9"))
    assert out.ids() == ("main-key", ["ed25519-key"])


# --- retiring -------------------------------------------------------------------------------------------------------


def test_what_was_replaced_is_gone_after_a_week() -> None:
    out = Rotating()
    old = [key.name for key in out.published()]
    out.node.rotate_keys("alice", announce=False)
    out.pass_s(7 * DAY_S - 60, step_s=3600)
    assert out.ids()[1] == ["ed25519-key-2", "main-key", "ed25519-key"]
    assert out.signer.dropped == []
    out.clock.moment += timedelta(seconds=60)
    assert out.ids() == ("main-key-2", ["ed25519-key-2"]), "out of the document on time, worker or not"
    assert out.facts("keys-due")
    out.work()
    assert out.signer.dropped == old
    assert out.facts("keys-due") == []
    out.pass_s(120)
    assert out.signer.dropped == old


def test_two_rotations_at_one_moment_leave_no_private_half_behind() -> None:
    out = Rotating()
    old = {key.name for key in out.published()}
    for _ in range(2):
        old |= {key.name for key in out.published()}
        out.node.rotate_keys("alice", announce=False)
    assert len(out.facts("keys-due")) == 2
    out.clock.moment += timedelta(seconds=7 * DAY_S)
    out.work()
    assert sorted(out.signer.dropped) == sorted(old)
    assert len(old) == 4
    assert out.facts("keys-due") == []


def test_an_id_is_never_used_again() -> None:
    out = Rotating()
    seen: list[str] = []
    for _ in range(5):
        seen += [key.key_id for key in out.published() if key.until is None]
        out.node.rotate_keys("alice", announce=False)
        out.pass_s(8 * DAY_S, step_s=DAY_S)
    assert len(set(seen)) == len(seen) == 10


def test_an_update_that_comes_late_is_signed_with_what_there_is() -> None:
    out = Rotating(retire_after_s=0)
    out.follow(BOB)
    out.node.rotate_keys("alice")
    out.work()
    assert out.key_of_posts() == [("Update", "main-key-2")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_fails_on_the_way_keys_are_retired_once_it_does_not(when: Any) -> None:
    """The Nth question fails, for every N: the next pass finishes, and no key is dropped that is published."""
    failed = 0
    for sabotage in fault_loop(when=when):
        out = Rotating()
        old = [key.name for key in out.published()]
        out.node.rotate_keys("alice", announce=False)
        out.clock.moment += timedelta(days=7)
        try:
            out.node.run(inject_failure(retire_due(), sabotage))
        except Unavailable:
            failed += 1
        published = {key.name for key in out.published()}
        assert published.isdisjoint(out.signer.dropped)
        out.node.run(retire_due())
        assert set(out.signer.dropped) == set(old)
        assert out.facts("keys-due") == []
        assert out.node.run(retire_due()) == 0
    assert failed >= 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_fails_on_the_way_an_actor_has_keys_that_sign(when: Any) -> None:
    for sabotage in fault_loop(when=when):
        out = Rotating()
        out.follow(BOB)

        def asks(out: Rotating = out) -> Op[Any]:
            return (yield from rotate(out.node.site(), "alice"))

        with suppress(Unavailable):
            out.node.run(inject_failure(asks(), sabotage))
        signing, others = out.ids()
        assert signing in {"main-key", "main-key-2"}
        assert len(others) == (1 if signing == "main-key" else 3)
        out.node.publish(Note(content="hi"), by="alice")
        out.work()
        assert ("Create", signing) in out.key_of_posts()


def test_a_signer_that_fails_is_asked_again() -> None:
    class Stubborn(Counting):
        down = True

        def drop_key(self, key_name: str, /) -> bool:
            if self.down:
                raise SignerUnavailable("no")
            return super().drop_key(key_name)

    out = Rotating()
    out.signer = signer = Stubborn()
    out.node = out.made()
    out.published()
    out.node.rotate_keys("alice", announce=False)
    out.clock.moment += timedelta(days=7)
    assert out.node.run(retire_due()) == 0
    assert len(out.facts("keys-due")) == 1
    signer.down = False
    assert out.node.run(retire_due()) == 1
    assert len(signer.dropped) == 2


def test_what_a_newer_release_wrote_is_left_alone() -> None:
    from apcore.ports import Put

    out = Rotating()
    key = ("keys-due", "1", f"{0:014d}", "x")
    assert out.store.commit((), (Put(key, b'{"v":99}\n'),), token=b"t" * 16)
    out.published()
    out.node.rotate_keys("alice", announce=False)
    out.clock.moment += timedelta(days=7)
    assert out.node.run(retire_due()) == 1
    assert [entry.key for entry in out.facts("keys-due")] == [key]


# --- seen by others -------------------------------------------------------------------------------------------------


class Wire:
    """The network between one who rotates and a server that listens."""

    checks_addresses = "enforced"

    def __init__(self, out: Rotating, ground: Ground) -> None:
        self.out, self.ground = out, ground
        self.statuses: list[int] = []

    def send(self, request: Request, /) -> Any:
        node = self.out.node if request.url.startswith(HERE) else self.ground.node
        answer = node.handle(request)
        if request.method == "POST":
            self.statuses.append(answer.status)
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("announce", [True, False], ids=["signed", "blind"])
@pytest.mark.parametrize("known", [True, False], ids=["cached", "never seen"])
def test_a_peer_believes_who_has_rotated(announce: bool, known: bool) -> None:
    out, ground = Rotating(), Ground()
    wire = Wire(out, ground)
    out.post, ground.network = wire, wire  # type: ignore[assignment]
    out.node = out.made()
    ports = {"queue": ground.queue, "transport": wire, "runtime": ground.clock, "signer": Counting()}
    ground.node = Node(ground.node.federation, "https://local.example", ground.store, **ports)
    out.follow(LOCAL_ALICE)

    def says(content: str) -> None:
        out.node.send(Announce(object=f"https://x.example/{content}"), by="alice", to=LOCAL_ALICE)
        out.work()
        ground.work()

    if known:
        says("before")
    ground.clock.at += timedelta(seconds=600)
    out.clock.moment = ground.clock.at
    heard = len(ground.heard)
    out.node.rotate_keys("alice", announce=announce)
    says("after")
    # What a stranger says of itself alone is nothing to anybody.
    assert len(ground.heard) - heard == 1 + (announce and known)
    assert set(wire.statuses) == {202}
