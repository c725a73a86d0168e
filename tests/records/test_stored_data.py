"""Data that earlier releases stored keeps its meaning: a node of today works on it as their own node would have."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from apcore.adapters.keys import StoreSigner
from apcore.adapters.memory import MemoryStore
from apcore.collections import Member, add_member, count, members_page
from apcore.effects import commit
from apcore.errors import SignerUnavailable
from apcore.federation import Federation, KeyPolicy
from apcore.http import Headers, Request, Response, parse_url
from apcore.node import Node
from apcore.ports import DeleteEntry, Entry, Increment, Put, Write, digest_part
from apcore.records import RecordKind
from apcore.remote import FetchPolicy
from apcore.remote.budgets import Budgets, BudgetSpent, Rate, UnauthenticatedClient, spend
from apcore.remote.contexts import read_with_contexts
from apcore.testing.peer import Peer
from apcore.vocab import Announce, Create, Note, Person
from declared_kinds import declared_kinds
from fixed_keys import fixed_rsa
from stored_samples import ALICE, CONTEXT, FRIEND, HERE, NOON, SECRETS, Clock, Web, read_samples

RELEASES = ["c60126e", "038fb3b"]
CAROL, DAVE, NINA = (f"{FRIEND}/users/{name}" for name in ("carol", "dave", "nina"))
ERIN, FRANK, GINA = (
    f"https://{name}" for name in ("dead.example/users/erin", "broken.example/users/frank", "lost.example/users/gina")
)
HENRY, MALLORY = f"{FRIEND}/users/henry", f"{FRIEND}/users/mallory"
FOLLOWERS = {
    # Before 0.1, a Delete of an actor removed no follower, and neither did our own Block.
    "c60126e": {CAROL, ERIN, FRANK, GINA, HENRY, MALLORY},
    "038fb3b": {CAROL, ERIN, FRANK, GINA},
}


class Restored:
    """A node of today on the data of an earlier release. All peers answer, unless a test says otherwise."""

    def __init__(self, release: str, **options: Any) -> None:
        samples = read_samples(release)
        self.clock = Clock()
        self.clock.moment = samples.now
        self.web = Web(clock=self.clock.now)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.queue = MemoryStore(clock=self.clock.seconds)
        self.activities: list[tuple[str | None, int]] = []
        """The activities that the listener got, with the number of the attempt."""
        self.peers = {
            actor: self.web.peer(actor, key=fixed_rsa("", ""), members={"assertionMethod": None})
            for actor in (
                CAROL,
                DAVE,
                NINA,
                HENRY,
                MALLORY,
                ERIN,
                FRANK,
                GINA,
                "https://unreachable.example/users/nora",
            )
        }
        self.ivan = self.web.peer(f"{FRIEND}/users/ivan", members={"inbox": "https://dead.example/ivan"})
        self.node: Node[None] = Node(
            self._federation(options),
            HERE,
            self.store,
            queue=self.queue,
            transport=self.web,
            runtime=self.clock,
            signer=StoreSigner(self.store),
            slots=0,
        )
        self.web.join(self.node)
        for number, (key, value) in enumerate(samples.records):
            # The number of members is a counter. A store may keep those in a form of its own.
            is_counter = key[0] == "c" and key[2] == "n"
            write: Write = Increment(key, int(value)) if is_counter else Put(key, value)
            assert self.store.commit((), (write,), token=(1 << 64 | number).to_bytes(16, "big"))
        self.queue.enqueue(samples.messages)

    def _federation(self, options: dict[str, Any]) -> Federation[None]:
        federation: Federation[None] = Federation(software="today/1.0", **options)

        @federation.actor("/users/{identifier}")
        def actor(_: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier in {"alice", "bob"} else None

        @federation.on(Create)
        def note(ctx: Any, activity: Create) -> None:
            self.activities.append((activity.document.id, ctx.attempt))

        return federation

    def get(self, url: str) -> tuple[int, Any]:
        served = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
        assert isinstance(served, Response)
        return served.status, json.loads(served.body)

    def receive(self, sender: str, activity: dict[str, Any]) -> int:
        request = self.peers[sender].request(activity, f"{ALICE}/inbox")
        served = self.node.handle(request)
        assert isinstance(served, Response)
        return served.status

    def work(self, *, days: float = 0.0, step_s: float = 1800.0) -> None:
        end = self.clock.moment + timedelta(days=days)
        self.node.work(until_idle=True)
        while self.clock.moment < end:
            self.clock.moment += timedelta(seconds=step_s)
            self.node.work(until_idle=True)

    def members(self, name: str) -> set[str]:
        page = self.node.run(members_page(f"{ALICE}/{name}", limit=100))
        return {member.id for member in page.items}

    def requests(self, method: str) -> list[str]:
        return [exchange.url for exchange in self.web.exchanges if exchange.method == method]

    def received(self, actor: str) -> list[str]:
        """The activities that a peer's host received, each under a signature that was checked."""
        shared = self.peers[actor].shared_inbox
        peers: list[Peer] = [peer for peer in self.peers.values() if peer.shared_inbox == shared]
        deliveries = [delivery for peer in peers for delivery in peer.received]
        assert {delivery.key_id.partition("#")[0] for delivery in deliveries} <= {ALICE}
        return [_summary(delivery.activity) for delivery in deliveries]


def _summary(activity: dict[str, Any]) -> str:
    target = activity["object"]
    return f"{activity['type']} {target.get('content', target['type']) if isinstance(target, dict) else target}"


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- what a node of today does with the data --------------------------------------------------------------------------


def test_followers_and_the_outbox_are_listed(release: str) -> None:
    restored = Restored(release)
    assert restored.members("followers") == FOLLOWERS[release]
    assert restored.node.run(count(f"{ALICE}/followers")) == len(FOLLOWERS[release])
    [create] = restored.members("outbox")
    assert restored.get(create)[1]["object"]["content"] == "third"


def test_published_objects_are_served_and_deleted_ones_are_gone(release: str) -> None:
    restored = Restored(release)
    [create] = restored.members("outbox")
    status, document = restored.get(restored.get(create)[1]["object"]["id"])
    assert (status, document["content"]) == (200, "third")
    tombstones = [
        json.loads(value.partition(b"\n")[2]) for key, value in read_samples(release).records if key[0] == "obj"
    ]
    [deleted] = [members["id"] for members in tombstones if members["type"] == "Tombstone"]
    assert restored.get(deleted)[0] == 410


def test_both_generations_of_a_rotated_key_are_published_until_the_old_one_is_retired(release: str) -> None:
    restored = Restored(release)
    _, document = restored.get(ALICE)
    keys = [entry["id"].partition("#")[2] for entry in (document["publicKey"], *document["assertionMethod"])]
    assert keys == ["main-key-2", "ed25519-key-2", "main-key", "ed25519-key"]
    names = [json.loads(value)["names"] for key, value in read_samples(release).records if key[0] == "keys-due"]
    restored.clock.moment += timedelta(days=8)
    restored.node.work(until_idle=True)
    _, document = restored.get(ALICE)
    keys = [entry["id"].partition("#")[2] for entry in (document["publicKey"], *document["assertionMethod"])]
    assert keys == ["main-key-2", "ed25519-key-2"]
    for name in names[0]:
        with pytest.raises(SignerUnavailable):
            StoreSigner(restored.store).sign(name, b"data")


def test_sealed_key_is_opened_with_its_secret(release: str) -> None:
    restored = Restored(release)
    [name] = [key[2] for key, value in read_samples(release).records if key[0] == "private" and b"secret" in value]
    assert StoreSigner(restored.store, secrets=SECRETS).sign(name, b"data")
    with pytest.raises(SignerUnavailable):
        StoreSigner(restored.store).sign(name, b"data")


def test_actors_that_got_keys_in_this_window_count(release: str) -> None:
    restored = Restored(release, keys=KeyPolicy(made_max=1))
    restored.node.run(commit((), (DeleteEntry(("keys", "1", digest_part(f"{HERE}/users/bob"))),)))
    # Bob is counted already. Alice is not, and the window is full.
    assert restored.get(f"{HERE}/users/bob")[0] == 200
    restored.node.run(commit((), (DeleteEntry(("keys", "1", digest_part(ALICE))),)))
    served = restored.node.handle(Request("GET", ALICE, Headers({"Accept": "application/activity+json"})))
    assert served.status == 503


def test_waiting_deliveries_are_made_in_order_when_the_hosts_answer(release: str) -> None:
    restored = Restored(release)
    restored.node.work(until_idle=True)
    # The circuit of that host is open for half a minute more.
    assert not [url for url in restored.requests("POST") if "dead.example" in url]
    restored.work(days=0.5)
    notes = ["Create first", "Create second", "Create third", "Update Person"]
    assert restored.received(ERIN) == notes
    # The deliveries to this host wait for longer: its inbox answered 408.
    assert sorted(restored.received(FRANK)) == notes
    assert restored.received(CAROL) == ["Update Person"]
    # This host could not be looked up.
    assert restored.received("https://unreachable.example/users/nora") == ["Create first"]
    # An inbox that has answered 410 gets nothing more.
    assert restored.received(GINA) == []
    # The inbox of an actor on another origin.
    assert "https://dead.example/ivan" in restored.requests("POST")


def test_host_is_asked_in_the_dialect_that_it_accepted(release: str) -> None:
    restored = Restored(release, signature_scheme="rfc9421")
    restored.node.work(until_idle=True)
    [request] = [delivery.request for delivery in restored.peers[CAROL].received]
    assert "signature-input" not in request.headers


def test_received_activities_that_wait_are_processed_with_their_attempts(release: str) -> None:
    restored = Restored(release)
    restored.work(days=0.1)
    assert sorted(restored.activities) == [(f"{CAROL}#activities/3", 2), (f"{CAROL}#waiting", 1)]


def test_cached_key_verifies_without_a_request(release: str) -> None:
    restored = Restored(release)
    assert (
        restored.receive(CAROL, restored.peers[CAROL].activity("Create", id=f"{CAROL}#new", object=f"{CAROL}/1")) == 202
    )
    assert restored.requests("GET") == []


def test_bad_signature_within_the_pause_of_a_key_causes_no_request(release: str) -> None:
    restored = Restored(release)
    request = restored.peers[FRANK].request(restored.peers[FRANK].activity("Like", object=ALICE), f"{HERE}/inbox")
    headers = request.headers.with_set("date", "Thu, 01 Jan 2026 12:11:00 GMT")
    served = restored.node.handle(Request("POST", request.url, headers, request.body))
    assert isinstance(served, Response)
    assert served.status == 401
    # The first of these releases did not note a refresh in this way.
    assert restored.requests("GET") == ([FRANK] if release == "c60126e" else [])


@pytest.mark.parametrize(
    ("actor", "status"), [(f"{FRIEND}/users/ghost", 401), ("https://down.example/users/dora", 503)]
)
def test_key_that_was_not_found_is_not_fetched_again(release: str, actor: str, status: int) -> None:
    restored = Restored(release)
    restored.peers[actor] = restored.web.peer(actor, key=fixed_rsa("", ""))
    assert restored.receive(actor, restored.peers[actor].activity("Like", object=ALICE)) == status
    assert restored.requests("GET") == []


def test_request_that_was_received_is_not_processed_again(release: str) -> None:
    restored = Restored(release)
    now = restored.clock.moment
    restored.clock.moment = NOON  # so that it is the same request, with the same signature
    assert restored.receive(CAROL, restored.peers[CAROL].activity("Follow", object=ALICE)) == 202
    restored.clock.moment = now
    restored.work(days=0.1)
    # Carol gets the Update that waited, and no second Accept.
    assert restored.received(CAROL) == ["Update Person"]


def test_signature_that_was_used_proves_nothing_else(release: str) -> None:
    restored = Restored(release)
    restored.clock.moment = NOON
    follow = restored.peers[CAROL].activity("Follow", object=ALICE)
    restored.node.run(commit((), [DeleteEntry(key) for key, _ in read_samples(release).records if key[0] == "in"]))
    assert restored.receive(CAROL, follow) == 503


def test_cached_documents_are_fetched_again(release: str) -> None:
    restored = Restored(release)
    assert restored.node.reference(CAROL).resolve().id == CAROL
    assert restored.requests("GET") == [CAROL]


def test_cached_context_is_used(release: str) -> None:
    restored = Restored(release)
    document = {"@context": ["https://www.w3.org/ns/activitystreams", CONTEXT], "type": "Note", "mood": "good"}
    policy = evolve(FetchPolicy(), unknown_contexts="fetch")
    reading = restored.node.run(
        read_with_contexts(json.dumps(document).encode(), origin=parse_url(CAROL).origin, policy=policy)
    )
    assert reading.reading.ignored_contexts == ()
    assert restored.requests("GET") == []


@pytest.mark.parametrize("budget", ["overall", "domain", "host", "client"])
def test_budgets_that_were_drawn_on_are_not_full(release: str, budget: str) -> None:
    restored = Restored(release)
    restored.clock.moment -= timedelta(seconds=3)
    small = evolve(Budgets(), **{budget: Rate(1, 0.001)})
    client = UnauthenticatedClient("1.1.1.1")
    with pytest.raises(BudgetSpent):
        restored.node.run(spend("friend.example", budgets=small, unauthenticated_client=client))
    restored.node.run(spend("friend.example", budgets=Budgets(), unauthenticated_client=client))


def test_answer_to_our_follow_is_understood(release: str) -> None:
    restored = Restored(release)
    accept = restored.peers[DAVE].activity("Accept", object=f"{ALICE}#follow-dave")
    assert restored.receive(DAVE, accept) == 202
    restored.work()
    assert restored.members("following") == {DAVE}


def test_undo_that_names_only_the_id_of_a_follow_removes_the_follower(release: str) -> None:
    restored = Restored(release)
    follow = restored.peers[CAROL].activity("Follow")["id"]
    assert restored.receive(CAROL, restored.peers[CAROL].activity("Undo", id=f"{CAROL}#undo", object=follow)) == 202
    restored.work()
    assert restored.members("followers") == FOLLOWERS[release] - {CAROL}


def test_blocked_actor_stays_blocked() -> None:
    restored = Restored("038fb3b")
    assert restored.receive(MALLORY, restored.peers[MALLORY].activity("Follow", id=f"{MALLORY}#2", object=ALICE)) == 202
    restored.work()
    assert MALLORY not in restored.members("followers")


def test_deleted_actor_gets_nothing_and_is_removed_as_a_follower() -> None:
    restored = Restored("038fb3b")
    item = json.dumps({"inbox": f"{HENRY}/inbox", "shared": None}).encode()
    change = add_member(f"{ALICE}/followers", Member(HENRY, item), order="0")
    restored.node.run(commit(change.checks, change.writes))
    restored.node.publish(Note(content="new"), by="alice")
    restored.work()
    assert restored.members("followers") == FOLLOWERS["038fb3b"]
    assert f"{HENRY}/inbox" not in restored.requests("POST")


def test_looked_up_inboxes_are_remembered() -> None:
    restored = Restored("038fb3b")
    ghost = f"{FRIEND}/users/ghost"
    restored.node.send(Announce(actor=ALICE, object=CAROL), by="alice", to=[NINA, ghost])
    restored.node.work(until_idle=True)
    assert not {NINA, ghost} & set(restored.requests("GET"))
    assert f"Announce {CAROL}" in restored.received(NINA)


# --- all kinds ------------------------------------------------------------------------------------------------------


def all_samples() -> list[tuple[tuple[str, ...], bytes]]:
    return [sample for name in RELEASES for sample in read_samples(name).records]


def kind_of(key: tuple[str, ...]) -> RecordKind[Any, Any] | None:
    """Return the declared kind of a key."""
    kinds = [kind for kind in declared_kinds() if kind.holds(key)]
    assert len(kinds) <= 1, f"{key} is of several kinds: {kinds}"
    return kinds[0] if kinds else None


def test_every_sample_is_of_a_declared_kind() -> None:
    assert {key[0] for key, _ in all_samples() if kind_of(key) is None} == DROPPED_KINDS


DROPPED_KINDS = {"doc"}
"""The caches of earlier releases that are not read any more. Their records expire within a month."""

NEW_KINDS = {
    "dead-send",
    "document",
    "document-alias",
    "document-due",
    "document-failed",
    "document-origin",
    "document-owner",
    "domain-rule",
    "followers",
    "forwarded",
    "in-bytes",
    "interaction",
    "own-actor",
    "poll-pace",
    "relay",
    "subscription",
    "subscription-due",
    "tombstone",
    "traversal",
    "traversal-read",
    "undone",
    "vote",
}
"""The kinds of record that neither of the two releases wrote."""


def test_every_declared_kind_has_a_sample() -> None:
    sampled = {kind.name for key, _ in all_samples() if (kind := kind_of(key)) is not None}
    assert {kind.name for kind in declared_kinds()} - NEW_KINDS == sampled


def test_samples_are_read_with_all_their_members_and_written_with_the_same_meaning() -> None:
    for key, value in all_samples():
        kind = kind_of(key)
        if kind is None:
            continue
        stored = kind.read(Entry(key, value, b""))
        assert kind.key(stored.key) == key
        assert stored.record.extra == {}, f"{kind.name!r} declares no {', '.join(stored.record.extra)}"
        assert kind.decode(kind.encode(stored.record)) == stored.record
