"""What an inbox does with what it gets: bad input is named and leaves nothing behind; good input counts once, whatever fails."""

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
from apcore.federation.serving.serve import serve
from apcore.federation.wake_ups import FANOUT, lanes_for
from apcore.federation.wake_ups import INBOX as ARRIVED
from apcore.federation.worker import handle, lease_work, reconcile
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
    """A POST that is right but for its body or some fields: content_type, and so on; an empty one is left out."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": AP} | {name.replace("_", "-"): value for name, value in fields.items()}
    request = Request("POST", to, Headers({name: value for name, value in headers.items() if value}), raw)
    return (by or ground.bob).sign(request)


def deep(levels: int) -> bytes:
    return json.dumps(like()).encode()[:-1] + b',"x":' + b"[" * levels + b"]" * levels + b"}"


def sent(body: bytes | dict[str, Any], **fields: str) -> Callable[[Ground], Request]:
    return lambda ground: signed(ground, body, **fields)


def changed(change: Callable[[Request], Request]) -> Callable[[Ground], Request]:
    return lambda ground: change(signed(ground, like()))


def field(name: str, value: str) -> Callable[[Ground], Request]:
    """A right request with one field changed after it was signed."""
    return changed(lambda request: evolve(request, headers=request.headers.with_set(name, value)))


def dropped(*names: str) -> Callable[[Ground], Request]:
    return changed(lambda request: evolve(request, headers=request.headers.without(*names)))


def at(seconds: float) -> Callable[[Ground], Request]:
    def make(ground: Ground) -> Request:
        request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
        return cavage.sign(request, ground.bob.key, now=NOON + timedelta(seconds=seconds))

    return make


def by(**names: str) -> Callable[[Ground], Request]:
    """Signed by Bob's key under other names."""

    def make(ground: Ground) -> Request:
        request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
        return cavage.sign(request, ground.bob.key.renamed(**{"key_id": BOB, "owner": BOB} | names), now=NOON)

    return make


def not_listed(ground: Ground) -> Request:
    """The key document says that it is Carol's, and Carol's actor lists another."""
    key = {"id": "https://remote.example/key", "owner": CAROL, "publicKeyPem": ground.bob.key.public.pem}
    ground.bob.serve(key["id"], key)
    return by(key_id=key["id"])(ground)


def other_owner(ground: Ground) -> Request:
    """Bob's actor lists his key as Carol's."""
    listed = ground.bob.document["publicKey"] | {"owner": CAROL}
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": listed})
    return signed(ground, like())


def gone(ground: Ground) -> Request:
    ground.bob.serve(BOB, None, status=410)
    return signed(ground, like())


def no_document(ground: Ground) -> Request:
    ground.bob.serve(BOB, ground.bob.document | {"id": CAROL})
    return signed(ground, like())


def without_digest(ground: Ground) -> Request:
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
    made = cavage.sign(request, ground.bob.key, now=NOON, covered=("(request-target)", "host", "date"))
    return evolve(made, headers=made.headers.without("digest"))


def update(name: str, object_: Any) -> Callable[[Ground], Request]:
    return sent(like(type=name, object=object_))


NOTE = "https://remote.example/notes/1"

REFUSED: dict[str, tuple[Callable[[Ground], Request], int, str]] = {
    # --- the body
    "empty": (sent(b""), 400, "bad-request"),
    "not JSON": (sent(b'{"id":'), 400, "bad-request"),
    "not UTF-8": (sent(b'{"type":"\xff"}'), 400, "bad-request"),
    "a string": (sent(b'"Like"'), 400, "bad-request"),
    "an array of one": (sent(json.dumps([like()]).encode()), 400, "bad-request"),
    "a name twice": (sent(json.dumps(like()).encode()[:-1] + b',"actor":"x"}'), 400, "bad-request"),
    "too deep": (sent(deep(100)), 413, "limit"),
    "too deep to recurse": (sent(deep(200_000)), 413, "limit"),
    "too long": (sent(json.dumps(like(content="x" * BODY_BYTES_MAX)).encode()), 413, "limit"),
    # --- the activity
    "no type": (sent(without("type")), 400, "not-an-activity"),
    "a note": (sent(like(type="Note")), 400, "not-an-activity"),
    "no actor": (sent(without("actor")), 400, "not-an-activity"),
    "two actors": (sent(like(actor=[BOB, CAROL])), 400, "not-an-activity"),
    "an actor that is no address": (sent(like(actor="bob")), 400, "bad-request"),
    "an actor without id": (sent(like(actor={"type": "Person"})), 400, "not-an-activity"),
    "an actor over ftp": (sent(like(actor="ftp://remote.example/bob")), 400, "bad-request"),
    "no id": (sent(without("id")), 400, "not-an-activity"),
    "an empty id": (sent(like(id="")), 400, "not-an-activity"),
    "an id of another origin": (sent(like(id="https://third.example/1")), 403, "forbidden"),
    "an id of another port": (sent(like(id="https://remote.example:8443/1")), 403, "forbidden"),
    "an id that is no address": (sent(like(id="1")), 403, "forbidden"),
    "an id of ours": (sent(like(id=f"{HERE}/1")), 403, "forbidden"),
    "a Delete of nothing, without id": (
        sent(without("id") | {"type": "Delete", "object": None}),
        400,
        "not-an-activity",
    ),
    # --- whose it is to change
    "Update of another origin's": (update("Update", "https://third.example/1"), 403, "forbidden"),
    "Delete of another origin's": (update("Delete", CAROL), 403, "forbidden"),
    "Delete of ours": (update("Delete", ALICE), 403, "forbidden"),
    "Update of a neighbour's": (update("Update", {"id": NOTE, "attributedTo": f"{BOB}2"}), 403, "forbidden"),
    "Update of a neighbour": (
        update("Update", {"id": f"{BOB}2", "type": "Person", "inbox": f"{BOB}2/i", "outbox": f"{BOB}2/o"}),
        403,
        "forbidden",
    ),
    "Update of nothing": (update("Update", None), 400, "not-an-activity"),
    "Update of something without id": (update("Update", {"type": "Note"}), 400, "not-an-activity"),
    # --- the media type
    "no media type": (sent(like(), content_type=""), 415, "unsupported-media-type"),
    "text": (sent(like(), content_type="text/plain"), 415, "unsupported-media-type"),
    "plain JSON": (sent(like(), content_type="application/json"), 415, "unsupported-media-type"),
    "a form": (sent(like(), content_type="application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
    "no media type at all": (sent(like(), content_type="activity"), 400, "bad-request"),
    "two media types": (sent(like(), content_type=f"{AP}, {AP}"), 400, "bad-request"),
    # --- the digest
    "another body than signed": (
        changed(lambda request: evolve(request, body=request.body + b" ")),
        401,
        "digest-mismatch",
    ),
    "another digest": (field("digest", "SHA-256=" + "A" * 43 + "="), 401, "digest-mismatch"),
    "a digest by MD5 only": (field("digest", "MD5=AAAA"), 401, "digest-mismatch"),
    "a digest that is none": (field("digest", "x"), 400, "digest-malformed"),
    "no digest": (dropped("digest"), 401, "component-missing"),
    "no digest signed": (without_digest, 401, "coverage-too-small"),
    # --- the time
    "two hours old": (at(-7200), 401, "signature-too-old"),
    "two hours ahead": (at(7200), 401, "signature-from-future"),
    "a date that is none": (field("date", "yesterday"), 400, "signature-malformed"),
    "no date": (dropped("date"), 401, "component-missing"),
    # --- the signature
    "not signed": (dropped("signature"), 401, "signature-missing"),
    "a signature that is none": (field("signature", "x"), 400, "signature-malformed"),
    "two signatures": (
        changed(lambda request: evolve(request, headers=request.headers.with_added("signature", "x"))),
        400,
        "signature-malformed",
    ),
    "signed for another host": (field("host", "third.example"), 401, "wrong-host"),
    "signed for another inbox": (changed(lambda request: evolve(request, url=SHARED)), 401, "bad-signature"),
    "read by the other scheme": (field("signature-input", "sig1=()"), 400, "signature-malformed"),
    # --- the key
    "a key that is no address": (by(key_id="bob-key"), 400, "bad-request"),
    "a key that nobody serves": (by(key_id="https://remote.example/keys/9"), 401, "key-refused"),
    "a key at a host that is not there": (by(key_id="https://nobody.example/k"), 503, "key-unavailable"),
    "a key that its actor does not list": (by(key_id=f"{BOB}#other"), 401, "key-not-owned"),
    "a key document that its owner does not know": (not_listed, 401, "key-not-owned"),
    "a key that says it is another's": (other_owner, 401, "key-not-owned"),
    "a key whose actor is gone": (gone, 401, "key-gone"),
    "a key of an actor that is another": (no_document, 401, "key-not-owned"),
    "somebody else's key id": (by(key_id=f"{CAROL}#main-key"), 401, "bad-signature"),
    "somebody else's signature": (lambda ground: signed(ground, like(), by=ground.carol), 401, "not-the-actor"),
    "an id that its actor does not speak for": (
        lambda ground: signed(ground, like(actor=f"{BOB}2", id=f"{BOB}2/1")),
        401,
        "not-the-actor",
    ),
    # --- where it goes
    "an actor that is not here": (sent(like(), to=f"{HERE}/users/eve/inbox"), 404, "no-such-actor"),
}


@pytest.mark.parametrize(("make", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named_and_leaves_nothing(make, status, reason):
    ground = Ground()
    request = make(ground)
    answer = ground.post(request)
    assert (answer.status, reason_of(answer)) == (status, reason)
    if status == 503:
        assert int(answer.headers.get("retry-after") or 0) > 0
    # The second time it is the same, whatever is kept from the first.
    second = ground.post(request)
    assert second.status == status
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED
    ground.clock.pass_s(MONTH_S)
    assert ground.kinds() <= OWN, "what a stranger made us keep is kept for ever"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "post"])
@pytest.mark.parametrize("to", [INBOX, SHARED], ids=["inbox", "shared"])
def test_an_inbox_takes_posts_only(method, to):
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
def test_what_is_right_is_taken(content_type, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    assert ground.post(signed(ground, like(), content_type=content_type)).status == 202
    ground.work()
    assert ground.heard == ground.noted() == [like()["id"]]


@pytest.mark.parametrize("down", [False, True], ids=["there", "down"])
def test_one_of_several_signatures_is_the_actors(down):
    """A proxy may have added its own (RFC 9421 §4.3); nobody needs its key."""
    ground = Ground()
    if down:
        ground.network.down.add("https://third.example")
    signed_by_both = both(ground.carol, ground.bob)
    assert ground.post(signed_by_both).status == 202
    assert [exchange.url for exchange in ground.network.exchanges] == [BOB]


@pytest.mark.parametrize("down", [BOB, CAROL])
def test_nothing_is_decided_while_a_key_cannot_be_had(down):
    ground = Ground()
    ground.network.down.add(down.partition("/users")[0])
    mallory = ground.network.peer("https://other.example/mallory")
    answer = ground.post(both(mallory, ground.bob if down == BOB else ground.carol))
    assert (answer.status, reason_of(answer)) == (503, "key-unavailable")


def both(first: Peer, second: Peer) -> Request:
    """Signed by two, the first of whom stands first."""
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(like()).encode())
    one = rfc9421.sign(request, first.key, now=NOON, label="one")
    two = rfc9421.sign(request, second.key, now=NOON, label="two")
    for name in ("signature-input", "signature"):
        two = evolve(two, headers=two.headers.with_set(name, f"{one.headers.get(name)}, {two.headers.get(name)}"))
    return two


def test_a_suspended_domain_is_refused_before_any_fetch_or_write():
    for suspended in ("remote.example", "example"):
        ground = Ground(rules=DomainRules.suspending([suspended]))
        answer = ground.post(signed(ground, like()))
        assert (answer.status, reason_of(answer)) == (403, "forbidden")
        assert not any(isinstance(effect, (Fetch, Commit, Enqueue, MakeKey)) for effect in ground.asked)


def test_a_key_of_a_suspended_domain_is_not_fetched():
    ground = Ground(rules=DomainRules.suspending(["third.example"]))
    answer = ground.post(signed(ground, like(), by=ground.carol))
    assert (answer.status, reason_of(answer)) == (403, "forbidden")
    assert not any(isinstance(effect, (Fetch, Commit)) for effect in ground.asked)


def test_an_actor_of_a_suspended_domain_is_refused_whoever_has_the_key():
    ground = Ground(rules=DomainRules.suspending(["remote.example"]))
    answer = ground.post(signed(ground, like(), by=ground.carol))
    assert (answer.status, reason_of(answer)) == (403, "forbidden")
    assert not any(isinstance(effect, (Fetch, Commit)) for effect in ground.asked)


@pytest.mark.parametrize("domain", ["remote.example", "third.example"])
def test_a_listener_is_told_who_is_silenced(domain):
    ground = Ground(rules=DomainRules({domain: Severity.SILENCE}))
    assert ground.post(signed(ground, like())).status == 202
    ground.work()
    assert ground.silenced == [domain == "remote.example"]


def test_a_stranger_who_is_gone_costs_neither_a_fetch_nor_a_write():
    ground = Ground()
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(signed(ground, like(type="Delete", object=BOB))).status == 202
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue, MakeKey)) for effect in ground.asked)
    assert ground.kinds() == set()


def test_somebody_known_who_is_gone_is_heard_of():
    ground = Ground()
    assert ground.post(signed(ground, like())).status == 202
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(signed(ground, like(type="Delete", object=BOB, id=f"{BOB}#delete"))).status == 202
    ground.work()
    assert ground.heard == [like()["id"], f"{BOB}#delete"]


def test_an_update_of_ones_own_is_taken():
    ground = Ground()
    for number, object_ in enumerate(
        (NOTE, {"id": NOTE, "attributedTo": BOB}, {"id": NOTE, "attributedTo": [f"{BOB}2", BOB]}, ground.bob.document)
    ):
        activity = like(type="Update", object=object_, id=f"{BOB}/{number}")
        assert ground.post(signed(ground, activity)).status == 202
    ground.work()
    assert len(ground.heard) == 4


def test_deletes_without_id_are_told_apart_by_what_they_delete():
    ground = Ground()
    for number in (1, 2, 1):
        activity = without("id") | {"type": "Delete", "object": f"{BOB}/notes/{number}"}
        assert ground.post(signed(ground, activity)).status == 202
        ground.work()
    assert ground.noted() == [f"{BOB}/notes/1#delete", f"{BOB}/notes/2#delete"]


def test_a_type_that_nobody_knows_is_taken_and_nothing_happens():
    ground = Ground()
    assert ground.post(signed(ground, like(type="Lock"))).status == 202
    assert ground.post(signed(ground, like(type="Lock"), by=ground.carol)).status == 401
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED


# --- once -----------------------------------------------------------------------------------------------------------


def test_an_id_counts_once_in_an_inbox_and_once_in_each():
    ground = Ground()
    for to in (INBOX, INBOX, SHARED, INBOX, SHARED):
        assert ground.post(signed(ground, like(), to=to)).status == 202
        ground.work()
    assert ground.heard == ground.noted() == [like()["id"]] * 2


@pytest.mark.hole(59)
def test_nobody_uses_up_somebody_elses_id():
    ground = Ground()
    mallory = ground.network.peer("https://remote.example/users/mallory")
    poison = like(actor=mallory.actor)
    assert ground.post(signed(ground, poison, by=mallory)).status == 202, "an id of the own origin"
    assert ground.post(signed(ground, like(), by=ground.carol)).status == 401
    assert ground.post(signed(ground, like())).status == 202
    ground.work()
    assert ground.noted() == [like()["id"]] * 2


def test_what_is_done_is_not_enqueued_again_and_what_is_pending_is():
    ground = Ground(apart=True)

    def ready() -> int:
        return ground.queue.depth(lanes_for(ARRIVED)).ready

    assert ground.post(signed(ground, like())).status == 202
    lost = ground.queue.lease(lanes_for(ARRIVED), limit=1, lease_s=60)
    ground.queue.settle([Done(each) for each in lost])
    assert ready() == 0
    assert ground.post(signed(ground, like())).status == 202
    assert ready() == 1
    ground.work()
    assert ground.post(signed(ground, like())).status == 202
    assert ready() == 0
    assert ground.noted() == [like()["id"]]


def test_a_queue_that_is_lost_costs_time_only():
    ground = Ground(apart=True)
    assert ground.post(signed(ground, like())).status == 202
    ground.queue.settle([Done(each) for each in ground.queue.lease(lanes_for(ARRIVED), limit=1, lease_s=60)])
    assert ground.node.run(reconcile()) == 1
    ground.work()
    assert ground.noted() == [like()["id"]]


# --- whose it is to undo, or to answer ------------------------------------------------------------------------------


def followed_by_bob() -> Ground:
    ground = Ground()
    assert ground.post(signed(ground, like(type="Follow", id=f"{BOB}/follow"))).status == 202
    ground.work()
    assert ground.collection("followers") == [BOB]
    return ground


FOLLOW = {"type": "Follow", "id": f"{BOB}/follow", "actor": BOB, "object": ALICE}


@pytest.mark.parametrize("object_", [FOLLOW["id"], FOLLOW, FOLLOW | {"actor": None}], ids=["named", "embedded", "open"])
def test_a_follow_is_undone_by_its_follower_alone(object_):
    ground = followed_by_bob()
    undo = ground.carol.activity("Undo", object=object_)
    assert ground.post(signed(ground, undo, by=ground.carol)).status == 403
    neighbour = ground.network.peer(f"{BOB}2")
    refused = isinstance(object_, dict) and object_["actor"] is not None
    undo = neighbour.activity("Undo", object=object_)
    assert ground.post(signed(ground, undo, by=neighbour)).status == (403 if refused else 202)
    ground.work()
    assert ground.collection("followers") == [BOB]
    assert ground.post(signed(ground, like(type="Undo", object=object_))).status == 202
    ground.work()
    assert ground.collection("followers") == []


def test_undoing_what_somebody_else_did_takes_back_nothing_of_ones_own():
    ground = followed_by_bob()
    theirs = ground.carol.activity("Follow", object=ALICE)
    assert ground.post(signed(ground, theirs, by=ground.carol)).status == 202
    for object_ in (theirs, theirs["id"]):
        undo = ground.bob.activity("Undo", object=object_)
        assert ground.post(signed(ground, undo)).status == 403
        ground.work()
    assert sorted(ground.collection("followers")) == [BOB, CAROL]


@pytest.mark.hole(36)
@pytest.mark.parametrize("name", ["Accept", "Reject"])
@pytest.mark.parametrize("embedded", [True, False])
def test_a_follow_is_answered_by_whom_was_asked_alone(name, embedded):
    ground = Ground()
    ground.node.send(Follow(object=BOB), by="alice", to=BOB)
    ground.work()
    [asked] = [each.activity for each in ground.bob.received]

    def answer(peer: Peer, name: str) -> None:
        activity = peer.activity(name, object=asked if embedded else asked["id"])
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


# --- what fails -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("apart", [False, True], ids=["atomic", "apart"])
def test_whatever_fails_while_it_arrives_it_is_taken_or_asked_for_again(when, apart):
    rounds = 0
    for sabotage in fault_loop(when=when):
        ground = Ground(apart=apart)
        request = signed(ground, like())
        answer = ground.node.run(inject_failure(serve(ground.node.site(), request), sabotage))
        assert isinstance(answer, Response)
        assert answer.status in {202, 503}
        if answer.status == 503:
            assert reason_of(answer)
            assert int(answer.headers.get("retry-after") or 0) > 0
            ground.clock.pass_s(700)  # a key that could not be had is asked for again by then
            assert ground.post(ground.bob.sign(request)).status == 202
        ground.node.run(reconcile())
        ground.work()
        assert ground.noted() == [like()["id"]]
        rounds += 1
    assert rounds > 8


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("apart", [False, True], ids=["atomic", "apart"])
def test_whatever_fails_while_it_is_processed_it_is_processed_once(when, apart):
    rounds = 0
    for sabotage in fault_loop(when=when):
        ground = Ground(apart=apart)
        follow = like(type="Follow")
        assert ground.post(signed(ground, follow)).status == 202
        [leased] = ground.node.run(lease_work(0))
        with suppress(Unavailable):  # where its settlement fails, the lease runs out
            ground.node.run(inject_failure(handle(ground.node.site(), leased), sabotage))
        ground.clock.pass_s(700)
        ground.node.run(reconcile())
        for _ in range(3):
            ground.work()
            ground.clock.pass_s(700)
        assert ground.noted() == [follow["id"]]
        assert ground.collection("followers") == [BOB]
        accepts = {each.activity["id"] for each in ground.bob.received}
        assert len(accepts) == 1
        assert ground.kinds() & {"in-todo", "send", "out", "out-retry"} == set()
        rounds += 1
    assert rounds > 5


@pytest.mark.parametrize("apart", [False, True], ids=["atomic", "apart"])
def test_a_worker_that_comes_too_late_writes_nothing(apart):
    ground = Ground(apart=apart)
    assert ground.post(signed(ground, like())).status == 202

    def take_over() -> None:
        """The listener took so long that its lease has ended; another worker does all of it, and then the listener returns."""
        ground.clock.pass_s(1000)
        ground.work()
        assert ground.noted() == [like()["id"]]

    ground.meanwhile.append(take_over)
    ground.work()
    assert len(ground.heard) == 2
    assert ground.noted() == [like()["id"]]
    assert ground.kinds() & {"in-todo"} == set()


# --- whatever comes -------------------------------------------------------------------------------------------------

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
def spoilt(draw: st.DrawFn, value: str) -> str:
    """A value with something cut out or put in, or another one."""
    if not value or draw(st.booleans()):
        return draw(LATIN)
    start = draw(st.integers(0, len(value)))
    end = draw(st.integers(start, min(len(value), start + 9)))
    return value[:start] + draw(st.text(st.sampled_from('",=;:()\\ a1A+/'), max_size=4)) + value[end:]


@pytest.mark.hole(59)
@given(data=st.data(), scheme=st.sampled_from(["cavage", "rfc9421"]))
@settings(max_examples=150)
def test_no_field_whatever_is_in_it_does_harm(data, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    request = signed(ground, like())
    for name in data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)):
        value = data.draw(spoilt(request.headers.get(name) or ""))
        how = data.draw(st.sampled_from([Headers.with_set, Headers.with_added]))
        try:
            request = evolve(request, headers=how(request.headers, name, value))
        except ValueError:
            return  # no field at all: a server never gets to see it
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
    # Mostly so that it gets in.
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
def test_no_activity_whatever_is_in_it_does_harm(members):
    ground = Ground()
    answer = ground.post(signed(ground, json.dumps(members).encode()))
    event(f"{answer.status} {reason_of(answer)}")
    assert answer.status in ANSWERS
    if answer.status != 202:
        assert reason_of(answer)
    ground.work()
    depth = ground.queue.depth([*lanes_for(ARRIVED), *lanes_for(FANOUT)])
    assert (depth.ready, depth.delayed, depth.leased) == (0, 0, 0), "something of it fails, and is tried again"


def test_what_cannot_be_a_request_is_refused_by_the_door():
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
def test_whatever_fails_while_it_is_read_is_said_to_be_for_now(path):
    for sabotage in fault_loop():
        ground = Ground()
        request = Request("GET", f"{HERE}{path}", Headers({"accept": AP if "known" not in path else "*/*"}))
        answer = ground.node.run(inject_failure(serve(ground.node.site(), request), sabotage))
        assert isinstance(answer, Response)
        if sabotage.failed is not None:
            assert (answer.status, bool(reason_of(answer))) == (503, True)


def test_why_a_signature_was_refused_is_logged_for_whoever_debugs(caplog: pytest.LogCaptureFixture) -> None:
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


def test_what_strangers_write_is_one_line_of_a_log_and_not_a_book(caplog):
    caplog.set_level("INFO", logger="apcore")
    ground = Ground()
    ident = "https://evil.example/\x1b[2J\n2026-01-01 all is well\u2028" + "x" * 100_000
    assert ground.bob.deliver(ground.node, ground.bob.activity("Like", id=ident, object=ALICE)).status == 403
    [message] = [record.getMessage() for record in caplog.records if "refused at" in record.getMessage()]
    assert message.isprintable()
    assert "\\n2026-01-01 all is well\\u2028" in message
    assert len(message) < 2500
