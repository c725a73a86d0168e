"""Check how often an activity counts: under each policy, after an Undo, and if other actors deliver it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError, ContractError
from apcore.federation import Federation
from apcore.federation.inbox.authenticate import authenticate
from apcore.federation.inbox.claims import claim
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.inbox.records import CLAIMS, UNDONE_ACTIVITIES, ClaimKey
from apcore.federation.inbox.reuse import CLAIMS_SCANNED_MAX
from apcore.node import Node
from apcore.ports import Put
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Activity, Create, Note, Person
from inbox_fixture import ALICE, BOB, HERE, INBOX, SHARED, Ground

POST = f"{ALICE}/posts/1"
LIKE = f"{BOB}#like"
NOTE = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB}


def deliver(ground: Ground, activity: dict[str, Any], to: str = INBOX, *, sender: Any = None) -> int:
    """Deliver an activity in a request of its own, signed a second after the one before, and process it."""
    ground.clock.pass_s(1)
    status = ground.post((sender or ground.bob).request(activity, to)).status
    ground.work()
    return status


# --- policies -------------------------------------------------------------------------------------------------------


def by_type(activity: Activity, recipient: str | None) -> str:
    return "" if activity.document.is_a(Create) else recipient or ""


@pytest.mark.parametrize(
    ("policy", "type_name", "runs"),
    [
        ("inbox", "Create", 2),
        ("origin", "Create", 1),
        (by_type, "Create", 1),
        (by_type, "Like", 2),
    ],
)
def test_policy_decides_how_often_an_activity_for_two_inboxes_counts(policy, type_name, runs):
    ground = Ground(idempotency=policy)
    activity = ground.bob.activity(type_name, object=NOTE)
    for to in (INBOX, SHARED, INBOX):
        assert deliver(ground, activity, to) == 202
    assert ground.heard == [activity["id"]] * runs


@pytest.mark.parametrize("policy", ["inbox", "origin", by_type])
def test_actor_cannot_use_up_the_id_of_another_actor(policy):
    ground = Ground(idempotency=policy)
    mallory = ground.network.peer("https://remote.example/users/mallory")
    activity = ground.bob.activity("Create", object=NOTE)
    assert deliver(ground, mallory.activity("Create", id=activity["id"], object=[]), sender=mallory) == 202
    assert deliver(ground, activity) == 202
    assert ground.heard == [activity["id"]] * 2


def test_policy_by_origin_counts_what_was_received_under_the_policy_by_inbox():
    before, after = Ground(), Ground(idempotency="origin")
    activity = before.bob.activity("Create", object=NOTE)
    assert deliver(before, activity) == 202
    for entry in before.store.scan((), limit=1000):
        assert after.store.commit((), (Put(entry.key, entry.value),), token=entry.version[:16].rjust(16, b"\0"))
    for to in (SHARED, INBOX):
        assert deliver(after, activity, to) == 202
    assert after.heard == []


@pytest.mark.parametrize("policy", ["inbox", "origin", by_type])
def test_local_activity_counts_for_local_recipients_by_the_policy(policy):
    store, runs = MemoryStore(), []
    federation: Federation[None] = Federation(software="test/1.0", idempotency=policy)

    @federation.actor("/users/{identifier}")
    def actor(_: Any, identifier: str) -> Person:
        return Person(preferred_username=identifier)

    @federation.on(Create)
    def created(ctx: Any, _: Create) -> None:
        runs.append(ctx.recipient)

    node: Node[None] = Node(federation, HERE, store, queue=store, signer=ReusedKeys(), slots=0)
    recipients = [f"{HERE}/users/{name}" for name in ("bob", "carol")]
    node.publish(Note(content="Hello", to=recipients), by="alice")
    node.work(until_idle=True)
    assert len(runs) == (2 if policy == "inbox" else 1)


@pytest.mark.parametrize("policy", ["global", None, 7])
def test_unknown_policy_is_refused(policy):
    with pytest.raises(ConfigurationError, match="idempotency is inbox, origin, or a plain function"):
        Federation(idempotency=policy)


def test_coroutine_function_is_refused_as_policy():
    async def policy(activity: Activity, recipient: str | None) -> str:
        return ""

    with pytest.raises(ConfigurationError, match="a plain function"):
        Federation(idempotency=policy)  # type: ignore[arg-type]


def test_function_that_returns_no_text_is_reported():
    ground = Ground(idempotency=lambda *_: None)
    with pytest.raises(ContractError, match="the function for idempotency returns text, not None"):
        deliver(ground, ground.bob.activity("Like", object=POST))


# --- deliveries by other actors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["inbox", "origin", by_type, lambda _, recipient: f"for {recipient}"])
def test_forwarded_activity_counts_once_for_an_origin(policy):
    ground = Ground(idempotency=policy)
    activity = ground.bob.prove(ground.bob.activity("Like", object=POST))
    for to in (INBOX, SHARED, INBOX):
        assert deliver(ground, activity, to, sender=ground.carol) == 202
    assert ground.heard == [activity["id"]]


def test_copies_that_other_actors_deliver_at_one_moment_count_once():
    ground = Ground()
    activity = ground.bob.prove(ground.bob.activity("Like", object=POST))
    request = ground.carol.request(activity, INBOX)
    site = ground.node.site()
    authenticated = ground.node.run(authenticate(site, request, read_incoming(site, request.body)))
    # Neither request saw the claim of the other when it asked whether the activity is known.
    is_new = [
        ground.node.run(claim(site, authenticated, recipient, silenced=False)) for recipient in ("alice", None, None)
    ]
    ground.work()
    assert is_new == [True, False, False]
    assert ground.heard == [activity["id"]]


# --- ids that are used again ----------------------------------------------------------------------------------------


def undo_of(ground: Ground, activity: dict[str, Any], *, embedded: bool = True) -> dict[str, Any]:
    return ground.bob.activity("Undo", id=f"{activity['id']}/undo", object=activity if embedded else activity["id"])


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("policy", ["inbox", "origin", by_type])
@pytest.mark.parametrize(
    ("type_name", "object_uri"),
    [("Like", POST), ("Announce", POST), ("Dislike", POST), ("Block", ALICE), ("Follow", "https://else.example/1")],
)
def test_reused_ids_of_an_activity_and_its_undo_count_again(type_name, object_uri, policy, embedded):
    ground = Ground(idempotency=policy)
    activity = ground.bob.activity(type_name, id=LIKE, object=object_uri)
    undo = undo_of(ground, activity, embedded=embedded)
    for sent in (activity, undo) * 3:
        assert deliver(ground, sent) == 202
    assert ground.heard == [activity["id"], undo["id"]] * 3


def test_repetitions_count_once_between_undos():
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    undo = undo_of(ground, like)
    for activity in (like, like, undo, undo, like, like, undo, undo):
        assert deliver(ground, activity) == 202
    assert ground.heard == [LIKE, undo["id"]] * 2


@pytest.mark.parametrize("inboxes", [(SHARED, INBOX), (INBOX, SHARED)])
def test_undo_counts_for_an_activity_in_another_inbox(inboxes: Sequence[str]):
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    undo = undo_of(ground, like)
    for _ in range(2):
        for activity, to in zip((like, undo), inboxes, strict=True):
            assert deliver(ground, activity, to) == 202
    assert ground.heard == [LIKE, undo["id"]] * 2


def test_same_request_does_not_count_after_the_undo():
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    request = ground.bob.request(like, INBOX)
    assert ground.post(request).status == 202
    ground.work()
    assert deliver(ground, undo_of(ground, like)) == 202
    assert ground.post(request).status == 202
    ground.work()
    assert len(ground.heard) == 2


def test_proved_copy_does_not_count_after_the_undo():
    ground = Ground()
    like = ground.bob.prove(ground.bob.activity("Like", id=LIKE, object=POST))
    assert deliver(ground, like, sender=ground.carol) == 202
    assert deliver(ground, undo_of(ground, like)) == 202
    assert deliver(ground, like, sender=ground.carol) == 202
    assert len(ground.heard) == 2


def test_undo_by_another_actor_does_not_free_an_id():
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    mallory = ground.network.peer("https://remote.example/users/mallory")
    assert deliver(ground, like) == 202
    assert deliver(ground, mallory.activity("Undo", object=LIKE), sender=mallory) == 202
    assert deliver(ground, like) == 202
    assert ground.heard.count(LIKE) == 1


def test_claim_of_an_earlier_release_is_older_than_every_undo():
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    key = ClaimKey.of(BOB, LIKE, HERE, "alice")
    value = b'{"v":1,"state":"done","id":"https://remote.example/users/bob#like"}\n'
    assert ground.store.commit((), (Put(CLAIMS.key(key), value),), token=bytes(16))
    assert deliver(ground, like) == 202
    assert ground.heard == []
    assert deliver(ground, undo_of(ground, like)) == 202
    assert deliver(ground, like) == 202
    assert ground.heard[1:] == [LIKE]


def test_mark_of_an_undo_expires():
    ground = Ground()
    assert deliver(ground, undo_of(ground, ground.bob.activity("Like", id=LIKE, object=POST))) == 202
    assert len(ground.store.scan(UNDONE_ACTIVITIES.at(), limit=10)) == 1
    assert UNDONE_ACTIVITIES.ttl_s is not None
    ground.clock.pass_s(UNDONE_ACTIVITIES.ttl_s)
    assert ground.store.scan(UNDONE_ACTIVITIES.at(), limit=10) == []


def test_bounded_number_of_inboxes_is_searched_for_an_undone_activity():
    ground = Ground()
    like = ground.bob.activity("Like", id=LIKE, object=POST)
    undo = undo_of(ground, like)
    for activity in (like, undo, like):
        assert deliver(ground, activity) == 202
    before = len(ground.asked)
    assert deliver(ground, undo) == 202
    limits = [effect.limit for effect in ground.asked[before:] if type(effect).__name__ == "Scan"]
    assert CLAIMS_SCANNED_MAX in limits
