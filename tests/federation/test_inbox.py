"""Check an inbox: bad requests are refused with a reason and leave no record, good ones are processed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st

from apcore.effects import Commit, Enqueue, Fetch, MakeKey
from apcore.errors import RequestError, Unavailable
from apcore.federation import DomainRules, Severity
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.federation.reconcile import reconcile
from apcore.federation.serving.serve import serve
from apcore.federation.wake_ups import FANOUT, lanes_for
from apcore.federation.wake_ups import INBOX as ARRIVED
from apcore.federation.worker import handle, lease_work
from apcore.http import Headers, Request, Response
from apcore.ports import Done
from apcore.signatures import cavage, rfc9421
from apcore.testing.peer import Peer
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import Follow
from inbox_fixture import ALICE, BOB, CACHED, CAROL, HERE, INBOX, NOON, OWN, SHARED, Ground, reason_of

AP = "application/activity+json"
MONTH_S = 31 * 86400.0


def like(**members: Any) -> dict[str, Any]:
    return {"id": f"{BOB}/likes/1", "type": "Like", "actor": BOB, "object": ALICE} | members


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in like().items() if key != name}


def signed(
    ground: Ground, body: bytes | dict[str, Any], *, by: Peer | None = None, to: str = INBOX, **fields: str
) -> Request:
    """Sign a POST with this body. ``fields`` replace headers, for example content_type; empty ones are left out."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": AP} | {name.replace("_", "-"): value for name, value in fields.items()}
    request = Request("POST", to, Headers({name: value for name, value in headers.items() if value}), raw)
    return (by or ground.bob).sign(request)


def deep(levels: int) -> bytes:
    return json.dumps(like()).encode()[:-1] + b',"x":' + b"[" * levels + b"]" * levels + b"}"


def request_with(body: bytes | dict[str, Any], **fields: str) -> Callable[[Ground], Request]:
    return lambda ground: signed(ground, body, **fields)


def change_signed(change: Callable[[Request], Request]) -> Callable[[Ground], Request]:
    return lambda ground: change(signed(ground, like()))


def with_field(name: str, value: str) -> Callable[[Ground], Request]:
    """Change one field of a valid request after it was signed."""
    return change_signed(lambda request: evolve(request, headers=request.headers.with_set(name, value)))


def without_fields(*names: str) -> Callable[[Ground], Request]:
    return change_signed(lambda request: evolve(request, headers=request.headers.without(*names)))


def signed_at(seconds: float) -> Callable[[Ground], Request]:
    def make(ground: Ground) -> Request:
        request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
        return cavage.sign(request, ground.bob.key, now=NOON + timedelta(seconds=seconds))

    return make


def signed_as(**names: str) -> Callable[[Ground], Request]:
    """Sign with Bob's key under another key id or owner."""

    def make(ground: Ground) -> Request:
        request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
        return cavage.sign(request, ground.bob.key.renamed(**{"key_id": BOB, "owner": BOB} | names), now=NOON)

    return make


def not_listed(ground: Ground) -> Request:
    """Serve a key that names Carol as its owner, while Carol lists another."""
    key = {"id": "https://remote.example/key", "owner": CAROL, "publicKeyPem": ground.bob.key.public.pem}
    ground.bob.serve(key["id"], key)
    return signed_as(key_id=key["id"])(ground)


def other_owner(ground: Ground) -> Request:
    """Serve Bob's actor with a key that names Carol as its owner."""
    listed = ground.bob.document["publicKey"] | {"owner": CAROL}
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": listed})
    return signed(ground, like())


def actor_gone(ground: Ground) -> Request:
    ground.bob.serve(BOB, None, status=410)
    return signed(ground, like())


def wrong_actor_document(ground: Ground) -> Request:
    ground.bob.serve(BOB, ground.bob.document | {"id": CAROL})
    return signed(ground, like())


def without_digest(ground: Ground) -> Request:
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
    signed_request = cavage.sign(request, ground.bob.key, now=NOON, covered=("(request-target)", "host", "date"))
    return evolve(signed_request, headers=signed_request.headers.without("digest"))


def activity_about(name: str, object_: Any) -> Callable[[Ground], Request]:
    return request_with(like(type=name, object=object_))


NOTE = "https://remote.example/notes/1"

REFUSED: dict[str, tuple[Callable[[Ground], Request], int, str]] = {
    # --- the body
    "empty": (request_with(b""), 400, "bad-request"),
    "not JSON": (request_with(b'{"id":'), 400, "bad-request"),
    "not UTF-8": (request_with(b'{"type":"\xff"}'), 400, "bad-request"),
    "a string": (request_with(b'"Like"'), 400, "bad-request"),
    "an array of one": (request_with(json.dumps([like()]).encode()), 400, "bad-request"),
    "a name twice": (request_with(json.dumps(like()).encode()[:-1] + b',"actor":"x"}'), 400, "bad-request"),
    "too deep": (request_with(deep(100)), 413, "limit"),
    "too deep to recurse": (request_with(deep(200_000)), 413, "limit"),
    "too long": (request_with(json.dumps(like(content="x" * BODY_BYTES_MAX)).encode()), 413, "limit"),
    # --- the activity
    "no type": (request_with(without("type")), 400, "not-an-activity"),
    "a note": (request_with(like(type="Note")), 400, "not-an-activity"),
    "no actor": (request_with(without("actor")), 400, "not-an-activity"),
    "two actors": (request_with(like(actor=[BOB, CAROL])), 400, "not-an-activity"),
    "an actor that is no URL": (request_with(like(actor="bob")), 400, "bad-request"),
    "an actor without id": (request_with(like(actor={"type": "Person"})), 400, "not-an-activity"),
    "an actor over ftp": (request_with(like(actor="ftp://remote.example/bob")), 400, "bad-request"),
    "no id": (request_with(without("id") | {"type": "Create"}), 400, "not-an-activity"),
    "an empty id": (request_with(like(id="", type="Create")), 400, "not-an-activity"),
    "an id of another origin": (request_with(like(id="https://third.example/1")), 403, "forbidden"),
    "an id of another port": (request_with(like(id="https://remote.example:8443/1")), 403, "forbidden"),
    "an id that is no URL": (request_with(like(id="1")), 403, "forbidden"),
    "an id of ours": (request_with(like(id=f"{HERE}/1")), 403, "forbidden"),
    "a Delete of nothing, without id": (
        request_with(without("id") | {"type": "Delete", "object": None}),
        400,
        "not-an-activity",
    ),
    # --- ownership
    "Update of another origin's": (activity_about("Update", "https://third.example/1"), 403, "forbidden"),
    "Delete of another origin's": (activity_about("Delete", CAROL), 403, "forbidden"),
    "Delete of ours": (activity_about("Delete", ALICE), 403, "forbidden"),
    "Update of a neighbour's": (activity_about("Update", {"id": NOTE, "attributedTo": f"{BOB}2"}), 403, "forbidden"),
    "Update of a neighbour": (
        activity_about("Update", {"id": f"{BOB}2", "type": "Person", "inbox": f"{BOB}2/i", "outbox": f"{BOB}2/o"}),
        403,
        "forbidden",
    ),
    "Update of nothing": (activity_about("Update", None), 400, "not-an-activity"),
    "Update of something without id": (activity_about("Update", {"type": "Note"}), 400, "not-an-activity"),
    # --- the media type
    "no media type": (request_with(like(), content_type=""), 415, "unsupported-media-type"),
    "text": (request_with(like(), content_type="text/plain"), 415, "unsupported-media-type"),
    "plain JSON": (request_with(like(), content_type="application/json"), 415, "unsupported-media-type"),
    "a form": (request_with(like(), content_type="application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
    "a malformed media type": (request_with(like(), content_type="activity"), 400, "bad-request"),
    "two media types": (request_with(like(), content_type=f"{AP}, {AP}"), 400, "bad-request"),
    # --- the digest
    "another body than signed": (
        change_signed(lambda request: evolve(request, body=request.body + b" ")),
        401,
        "digest-mismatch",
    ),
    "another digest": (with_field("digest", "SHA-256=" + "A" * 43 + "="), 401, "digest-mismatch"),
    "a digest by MD5 only": (with_field("digest", "MD5=AAAA"), 401, "digest-mismatch"),
    "a malformed digest": (with_field("digest", "x"), 400, "digest-malformed"),
    "no digest": (without_fields("digest"), 401, "component-missing"),
    "no digest signed": (without_digest, 401, "coverage-too-small"),
    # --- the time
    "two hours old": (signed_at(-7200), 401, "signature-too-old"),
    "two hours ahead": (signed_at(7200), 401, "signature-from-future"),
    "a malformed date": (with_field("date", "yesterday"), 400, "signature-malformed"),
    "no date": (without_fields("date"), 401, "component-missing"),
    # --- the signature
    "unsigned": (without_fields("signature"), 401, "signature-missing"),
    "a malformed signature": (with_field("signature", "x"), 400, "signature-malformed"),
    "two signatures": (
        change_signed(lambda request: evolve(request, headers=request.headers.with_added("signature", "x"))),
        400,
        "signature-malformed",
    ),
    "signed for another host": (with_field("host", "third.example"), 401, "wrong-host"),
    "signed for another inbox": (change_signed(lambda request: evolve(request, url=SHARED)), 401, "bad-signature"),
    "read by the other scheme": (with_field("signature-input", "sig1=()"), 400, "signature-malformed"),
    # --- the key
    "a key that is no URL": (signed_as(key_id="bob-key"), 400, "bad-request"),
    "a key that is not served": (signed_as(key_id="https://remote.example/keys/9"), 401, "key-refused"),
    "a key at an unreachable host": (signed_as(key_id="https://unreachable.example/k"), 503, "key-unavailable"),
    "a key that its actor does not list": (signed_as(key_id=f"{BOB}#other"), 401, "key-not-owned"),
    "a key document that its owner does not list": (not_listed, 401, "key-not-owned"),
    "a key with another owner": (other_owner, 401, "key-not-owned"),
    "a key of a deleted actor": (actor_gone, 401, "key-gone"),
    "a key of another actor's document": (wrong_actor_document, 401, "key-not-owned"),
    "another actor's key id": (signed_as(key_id=f"{CAROL}#main-key"), 401, "bad-signature"),
    "another actor's signature": (lambda ground: signed(ground, like(), by=ground.carol), 401, "not-the-actor"),
    "signed by a neighbour of the actor": (
        lambda ground: signed(ground, like(actor=f"{BOB}2", id=f"{BOB}2/1")),
        401,
        "not-the-actor",
    ),
    # --- the recipient
    "an unknown recipient": (request_with(like(), to=f"{HERE}/users/eve/inbox"), 404, "no-such-actor"),
}


@pytest.mark.parametrize(("make_request", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_invalid_request_is_refused_with_its_reason_and_leaves_no_record(make_request, status, reason):
    ground = Ground()
    request = make_request(ground)
    answer = ground.post(request)
    assert (answer.status, reason_of(answer)) == (status, reason)
    if status == 503:
        assert int(answer.headers.get("retry-after") or 0) > 0
    # A repeated request gets the same answer, despite cached failures.
    second = ground.post(request)
    assert second.status == status
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED
    ground.clock.pass_s(MONTH_S)
    assert ground.kinds() <= OWN, "records about a stranger do not expire"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "post"])
@pytest.mark.parametrize("to", [INBOX, SHARED], ids=["inbox", "shared"])
def test_other_methods_than_post_are_refused(method, to):
    ground = Ground()
    answer = ground.post(evolve(signed(ground, like(), to=to), method=method))
    assert (answer.status, answer.headers.get("allow"), reason_of(answer)) == (405, "POST", "method-not-allowed")
    assert ground.kinds() == set()


@pytest.mark.parametrize(
    "content_type",
    [
        AP,
        f"{AP}; charset=utf-8",
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
        "application/ld+json",
    ],
)
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_valid_request_is_accepted(content_type, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    assert ground.post(signed(ground, like(), content_type=content_type)).status == 202
    ground.work()
    assert ground.heard == ground.noted() == [like()["id"]]


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_one_of_several_signatures_must_be_the_actors(down):
    """Add the signature of a proxy (RFC 9421 §4.3): its key is not fetched."""
    ground = Ground()
    if down:
        ground.network.down.add("https://third.example")
    signed_by_both = sign_by_both(ground.carol, ground.bob)
    assert ground.post(signed_by_both).status == 202
    assert [exchange.url for exchange in ground.network.exchanges] == [BOB]


@pytest.mark.parametrize("down", [BOB, CAROL])
def test_unavailable_key_is_answered_503(down):
    ground = Ground()
    ground.network.down.add(down.partition("/users")[0])
    mallory = ground.network.peer("https://other.example/mallory")
    answer = ground.post(sign_by_both(mallory, ground.bob if down == BOB else ground.carol))
    assert (answer.status, reason_of(answer)) == (503, "key-unavailable")


def sign_by_both(first: Peer, second: Peer) -> Request:
    """Sign a request by two peers, in this order."""
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
    first_signed = rfc9421.sign(request, first.key, now=NOON, label="one")
    second_signed = rfc9421.sign(request, second.key, now=NOON, label="two")
    for name in ("signature-input", "signature"):
        second_signed = evolve(
            second_signed,
            headers=second_signed.headers.with_set(
                name, f"{first_signed.headers.get(name)}, {second_signed.headers.get(name)}"
            ),
        )
    return second_signed


def test_suspended_domain_is_refused_before_any_fetch_or_write():
    for suspended in ("remote.example", "example"):
        ground = Ground(rules=DomainRules.suspending([suspended]))
        answer = ground.post(signed(ground, like()))
        assert (answer.status, reason_of(answer)) == (403, "forbidden")
        assert not any(isinstance(effect, (Fetch, Commit, Enqueue, MakeKey)) for effect in ground.asked)


def test_key_of_a_suspended_domain_is_not_fetched():
    ground = Ground(rules=DomainRules.suspending(["third.example"]))
    answer = ground.post(signed(ground, like(), by=ground.carol))
    assert (answer.status, reason_of(answer)) == (403, "forbidden")
    assert not any(isinstance(effect, (Fetch, Commit)) for effect in ground.asked)


def test_actor_of_a_suspended_domain_is_refused_for_any_key():
    ground = Ground(rules=DomainRules.suspending(["remote.example"]))
    answer = ground.post(signed(ground, like(), by=ground.carol))
    assert (answer.status, reason_of(answer)) == (403, "forbidden")
    assert not any(isinstance(effect, (Fetch, Commit)) for effect in ground.asked)


@pytest.mark.parametrize("domain", ["remote.example", "third.example"])
def test_listener_learns_that_an_actor_is_silenced(domain):
    ground = Ground(rules=DomainRules({domain: Severity.SILENCE}))
    assert ground.post(signed(ground, like())).status == 202
    ground.work()
    assert ground.silenced == [domain == "remote.example"]


def test_delete_of_an_unknown_actor_costs_neither_fetch_nor_write():
    ground = Ground()
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(signed(ground, like(type="Delete", object=BOB))).status == 202
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue, MakeKey)) for effect in ground.asked)
    assert ground.kinds() == set()


def test_delete_of_a_known_actor_reaches_the_listener():
    ground = Ground()
    assert ground.post(signed(ground, like())).status == 202
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(signed(ground, like(type="Delete", object=BOB, id=f"{BOB}#delete"))).status == 202
    ground.work()
    assert ground.heard == [like()["id"], f"{BOB}#delete"]


def test_update_of_an_own_object_is_accepted():
    ground = Ground()
    for number, object_ in enumerate(
        (NOTE, {"id": NOTE, "attributedTo": BOB}, {"id": NOTE, "attributedTo": [f"{BOB}2", BOB]}, ground.bob.document)
    ):
        activity = like(type="Update", object=object_, id=f"{BOB}/{number}")
        assert ground.post(signed(ground, activity)).status == 202
    ground.work()
    assert len(ground.heard) == 4


def test_deletes_without_id_are_distinguished_by_their_objects():
    ground = Ground()
    for number in (1, 2, 1):
        activity = without("id") | {"type": "Delete", "object": f"{BOB}/notes/{number}"}
        assert ground.post(signed(ground, activity)).status == 202
        ground.work()
    assert ground.noted() == [f"{BOB}/notes/1#delete", f"{BOB}/notes/2#delete"]


def test_unknown_type_reaches_the_listener_for_all_activities_once_it_is_proved():
    ground = Ground()
    assert ground.post(signed(ground, like(type="Shrug"), by=ground.carol)).status == 401
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED
    assert ground.post(signed(ground, like(type="Shrug"))).status == 202
    ground.work()
    assert ground.heard == [like()["id"]]


def test_unknown_type_is_accepted_and_ignored_without_a_listener():
    ground = Ground()
    ground.node.federation._listeners.clear()
    assert ground.post(signed(ground, like(type="Shrug"))).status == 202
    assert ground.kinds() <= OWN | CACHED


# --- processing once -----------------------------------------------------------------------------------------------


def test_id_is_processed_once_per_inbox():
    ground = Ground()
    for to in (INBOX, INBOX, SHARED, INBOX, SHARED):
        assert ground.post(signed(ground, like(), to=to)).status == 202
        ground.work()
    assert ground.heard == ground.noted() == [like()["id"]] * 2


@pytest.mark.hole(59)
def test_actor_cannot_use_up_the_id_of_another():
    ground = Ground()
    mallory = ground.network.peer("https://remote.example/users/mallory")
    forged_like = like(actor=mallory.actor)
    assert ground.post(signed(ground, forged_like, by=mallory)).status == 202, "an id of the actor's own origin"
    assert ground.post(signed(ground, like(), by=ground.carol)).status == 401
    assert ground.post(signed(ground, like())).status == 202
    ground.work()
    assert ground.noted() == [like()["id"]] * 2


def test_repeated_activity_is_enqueued_only_while_pending():
    ground = Ground(apart=True)

    def ready() -> int:
        return ground.queue.depth(lanes_for(ARRIVED)).ready

    assert ground.post(signed(ground, like())).status == 202
    leases = ground.queue.lease(lanes_for(ARRIVED), limit=1, lease_s=60)
    ground.queue.settle([Done(lease) for lease in leases])
    assert ready() == 0
    assert ground.post(signed(ground, like())).status == 202
    assert ready() == 1
    ground.work()
    assert ground.post(signed(ground, like())).status == 202
    assert ready() == 0
    assert ground.noted() == [like()["id"]]


def test_lost_queue_loses_no_activity():
    ground = Ground(apart=True)
    assert ground.post(signed(ground, like())).status == 202
    leases = ground.queue.lease(lanes_for(ARRIVED), limit=1, lease_s=60)
    ground.queue.settle([Done(lease) for lease in leases])
    assert ground.node.run(reconcile()) == 1
    ground.work()
    assert ground.noted() == [like()["id"]]


# --- ownership of Undo and answers ----------------------------------------------------------------------------------


def followed_by_bob() -> Ground:
    ground = Ground()
    assert ground.post(signed(ground, like(type="Follow", id=f"{BOB}/follow"))).status == 202
    ground.work()
    assert ground.collection("followers") == [BOB]
    return ground


FOLLOW = {"type": "Follow", "id": f"{BOB}/follow", "actor": BOB, "object": ALICE}


@pytest.mark.parametrize(
    "object_", [FOLLOW["id"], FOLLOW, FOLLOW | {"actor": None}], ids=["by id", "embedded", "without actor"]
)
def test_follow_can_be_undone_only_by_its_follower(object_):
    ground = followed_by_bob()
    undo = ground.carol.activity("Undo", object=object_)
    assert ground.post(signed(ground, undo, by=ground.carol)).status == 403
    neighbour = ground.network.peer(f"{BOB}2")
    is_refused = isinstance(object_, dict) and object_["actor"] is not None
    undo = neighbour.activity("Undo", object=object_)
    assert ground.post(signed(ground, undo, by=neighbour)).status == (403 if is_refused else 202)
    ground.work()
    assert ground.collection("followers") == [BOB]
    assert ground.post(signed(ground, like(type="Undo", object=object_))).status == 202
    ground.work()
    assert ground.collection("followers") == []


def test_undo_of_anothers_follow_does_not_undo_ones_own():
    ground = followed_by_bob()
    other_follow = ground.carol.activity("Follow", object=ALICE)
    assert ground.post(signed(ground, other_follow, by=ground.carol)).status == 202
    for object_ in (other_follow, other_follow["id"]):
        undo = ground.bob.activity("Undo", object=object_)
        assert ground.post(signed(ground, undo)).status == 403
        ground.work()
    assert sorted(ground.collection("followers")) == [BOB, CAROL]


@pytest.mark.hole(36)
@pytest.mark.parametrize("name", ["Accept", "Reject"])
@pytest.mark.parametrize("embedded", [True, False])
def test_follow_can_be_answered_only_by_the_followed_actor(name, embedded):
    ground = Ground()
    ground.node.send(Follow(object=BOB), by="alice", to=BOB)
    ground.work()
    [follow] = [delivery.activity for delivery in ground.bob.received]

    def answer(peer: Peer, name: str) -> None:
        activity = peer.activity(name, object=follow if embedded else follow["id"])
        assert ground.post(signed(ground, activity, by=peer)).status == 202
        ground.work()

    answer(ground.carol, "Accept")
    assert ground.collection("following") == []
    answer(ground.bob, "Accept")
    assert ground.collection("following") == [BOB]
    answer(ground.carol, "Reject")
    assert ground.collection("following") == [BOB]
    answer(ground.bob, name)
    assert ground.collection("following") == ([BOB] if name == "Accept" else [])


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_separate", [False, True], ids=["atomic", "separate"])
def test_activity_is_accepted_or_retried_after_any_single_failure(when, is_separate):
    rounds = 0
    for sabotage in fault_loop(when=when):
        ground = Ground(apart=is_separate)
        request = signed(ground, like())
        answer = ground.node.run(inject_failure(serve(ground.node.site(), request), sabotage))
        assert isinstance(answer, Response)
        assert answer.status in {202, 503}
        if answer.status == 503:
            assert reason_of(answer)
            assert int(answer.headers.get("retry-after") or 0) > 0
            ground.clock.pass_s(700)  # the pause of an unavailable key has passed
            assert ground.post(ground.bob.sign(request)).status == 202
        ground.node.run(reconcile())
        ground.work()
        assert ground.noted() == [like()["id"]]
        rounds += 1
    assert rounds > 8


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_separate", [False, True], ids=["atomic", "separate"])
def test_activity_is_processed_once_after_any_single_failure(when, is_separate):
    rounds = 0
    for sabotage in fault_loop(when=when):
        ground = Ground(apart=is_separate)
        follow = like(type="Follow")
        assert ground.post(signed(ground, follow)).status == 202
        [lease] = ground.node.run(lease_work(0))
        with suppress(Unavailable):  # if its settlement fails, the lease expires
            ground.node.run(inject_failure(handle(ground.node.site(), lease), sabotage))
        ground.clock.pass_s(700)
        ground.node.run(reconcile())
        for _ in range(3):
            ground.work()
            ground.clock.pass_s(700)
        assert ground.noted() == [follow["id"]]
        assert ground.collection("followers") == [BOB]
        accepts = {delivery.activity["id"] for delivery in ground.bob.received}
        assert len(accepts) == 1
        assert ground.kinds() & {"in-todo", "send", "out", "out-retry"} == set()
        rounds += 1
    assert rounds > 5


@pytest.mark.parametrize("is_separate", [False, True], ids=["atomic", "separate"])
def test_late_worker_writes_nothing(is_separate):
    ground = Ground(apart=is_separate)
    assert ground.post(signed(ground, like())).status == 202

    def take_over() -> None:
        """Let the lease expire, and another worker process the activity before the listener returns."""
        ground.clock.pass_s(1000)
        ground.work()
        assert ground.noted() == [like()["id"]]

    ground.meanwhile.append(take_over)
    ground.work()
    assert len(ground.heard) == 2
    assert ground.noted() == [like()["id"]]
    assert ground.kinds() & {"in-todo"} == set()


# --- arbitrary requests ---------------------------------------------------------------------------------------------

NAMES = (
    "content-type",
    "date",
    "host",
    "digest",
    "signature",
    "signature-input",
    "content-digest",
    "accept",
    "x-forwarded-host",
)
LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)
ANSWERS = {202, 400, 401, 403, 404, 405, 406, 413, 415, 503}


@st.composite
def spoiled_value(draw: st.DrawFn, value: str) -> str:
    """Draw a changed value, or another one."""
    if not value or draw(st.booleans()):
        return draw(LATIN)
    start = draw(st.integers(0, len(value)))
    end = draw(st.integers(start, min(len(value), start + 9)))
    return value[:start] + draw(st.text(st.sampled_from('",=;:()\\ a1A+/'), max_size=4)) + value[end:]


@pytest.mark.hole(59)
@given(data=st.data(), scheme=st.sampled_from(["cavage", "rfc9421"]))
@settings(max_examples=150)
def test_any_header_value_gets_a_status_with_a_reason(data, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    request = signed(ground, like())
    for name in data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)):
        value = data.draw(spoiled_value(request.headers.get(name) or ""))
        add_field = data.draw(st.sampled_from([Headers.with_set, Headers.with_added]))
        try:
            request = evolve(request, headers=add_field(request.headers, name, value))
        except ValueError:
            return  # not a valid field: a server never receives it
    answer = ground.post(request)
    assert answer.status in ANSWERS
    ground.work()
    if answer.status == 202:
        assert ground.heard == [like()["id"]]
    else:
        assert reason_of(answer)
        assert ground.heard == []
        assert ground.kinds() <= OWN | CACHED


IDS = st.sampled_from(
    [BOB, CAROL, ALICE, f"{BOB}/1", f"{HERE}/users/eve", "https://[", "x", "", "https://remote.example/\n", "#a"]
)
TYPES = st.sampled_from(
    ["Follow", "Undo", "Accept", "Reject", "Update", "Delete", "Create", "Person", "Lock", "as:Follow", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | IDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "object", "actor", "@context", "@id", "attributedTo", "inbox", "outbox", "first"]
            ),
            inner | IDS | TYPES,
            max_size=5,
        )
    ),
    max_leaves=8,
)
ACTIVITIES = st.fixed_dictionaries(
    # Mostly valid.
    {
        "type": TYPES,
        "id": st.just(f"{BOB}/1") | IDS,
        "actor": st.just(BOB) | st.just({"id": BOB}) | VALUES,
        "object": VALUES,
    },
    optional={"@context": VALUES, "to": VALUES, "@type": TYPES, "published": VALUES},
)


@given(ACTIVITIES)
@settings(max_examples=200)
def test_any_activity_gets_a_status_and_is_processed(members):
    ground = Ground()
    answer = ground.post(signed(ground, json.dumps(members).encode()))
    event(f"{answer.status} {reason_of(answer)}")
    assert answer.status in ANSWERS
    if answer.status != 202:
        assert reason_of(answer)
    ground.work()
    depth = ground.queue.depth([*lanes_for(ARRIVED), *lanes_for(FANOUT)])
    assert (depth.ready, depth.delayed, depth.leased) == (0, 0, 0), "a job has failed and is to be retried"


def test_malformed_headers_are_refused_as_request_errors():
    for headers in ([(b"a b", b"")], [(b"host", b"a\r\nb: c")], [(b"", b"")], [(b"x", b"\x00")]):
        with pytest.raises(RequestError):
            Request.received("POST", INBOX, headers, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/users/alice",
        "/actor",
        "/users/alice/followers",
        "/users/alice/followers?page=true",
        "/users/alice/outbox?page=true",
        "/users/alice/objects/x",
        "/.well-known/webfinger?resource=acct:alice@local.example",
        "/.well-known/webfinger?resource=https://local.example/users/alice",
        "/.well-known/nodeinfo",
        "/nodeinfo/2.1",
    ],
)
def test_any_single_failure_of_a_get_is_answered_503(path):
    for sabotage in fault_loop():
        ground = Ground()
        request = Request("GET", f"{HERE}{path}", Headers({"accept": AP if "known" not in path else "*/*"}))
        answer = ground.node.run(inject_failure(serve(ground.node.site(), request), sabotage))
        assert isinstance(answer, Response)
        if sabotage.failed is not None:
            assert (answer.status, bool(reason_of(answer))) == (503, True)


def test_expected_signing_string_is_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    ground = Ground()
    body = json.dumps(like()).encode()
    plain = Request("POST", INBOX, Headers({"content-type": AP, "cookie": "hunter2"}), body)
    covered = ("(request-target)", "host", "date", "digest", "cookie")
    request = cavage.sign(plain, ground.bob.key, now=NOON, covered=covered)
    with caplog.at_level("DEBUG", logger="apcore.inbox"):
        response = ground.post(evolve(request, url=f"{INBOX}?a"))
    assert response.status == 401
    assert "expected signing string:" in caplog.text
    assert "cookie: ..." in caplog.text
    assert "hunter2" not in caplog.text


def test_hostile_id_is_logged_in_one_bounded_line(caplog):
    caplog.set_level("INFO", logger="apcore")
    ground = Ground()
    ident = "https://evil.example/\x1b[2J\n2026-01-01 all is well\u2028" + "x" * 100_000
    assert ground.bob.deliver(ground.node, ground.bob.activity("Like", id=ident, object=ALICE)).status == 403
    [message] = [record.getMessage() for record in caplog.records if "refused at" in record.getMessage()]
    assert message.isprintable()
    assert "\\n2026-01-01 all is well\\u2028" in message
    assert len(message) < 2500
