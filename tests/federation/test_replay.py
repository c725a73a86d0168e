"""Check replays: a repeated request gets the same answer, and its signature is refused for any other request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from apcore.federation.serving.serve import serve
from apcore.http import Headers, Request, Response
from apcore.signatures import LENIENT, cavage, rfc9421
from inbox_fixture import ALICE, BOB, INBOX, NOON, SHARED, Ground, reason_of

AS2 = "https://www.w3.org/ns/activitystreams"
LIKE = f"{BOB}/likes/1"
NONCE = "b3k2pp5k7z-50gnwp"


def body(ident: str = LIKE) -> bytes:
    return json.dumps({"id": ident, "type": "Like", "actor": BOB, "object": ALICE}).encode()


def request(ident: str = LIKE, to: str = INBOX) -> Request:
    return Request("POST", to, Headers({"content-type": "application/activity+json"}), body(ident))


def sign_loosely(ground: Ground, unsigned: Request) -> Request:
    """Sign only the date and the digest, as the most lenient policy allows: the target is not covered."""
    return cavage.sign(unsigned, ground.bob.key, now=NOON, covered=("date", "digest"))


def sign_with_nonce(ground: Ground, unsigned: Request) -> Request:
    return rfc9421.sign(unsigned, ground.bob.key, now=NOON, nonce=NONCE)


def post(ground: Ground, signed: Request) -> Response:
    site = evolve(ground.node.site(), signatures=LENIENT)
    answer = ground.node.run(serve(site, signed))
    assert isinstance(answer, Response)
    return answer


def count_used_signatures(ground: Ground) -> int:
    return len(ground.store.scan(("used",), limit=100))


SIGNERS: dict[str, Callable[[Ground, Request], Request]] = {
    "cavage": lambda ground, unsigned: cavage.sign(unsigned, ground.bob.key, now=NOON),
    "rfc9421": lambda ground, unsigned: rfc9421.sign(unsigned, ground.bob.key, now=NOON),
    "with a nonce": sign_with_nonce,
    "loosely": sign_loosely,
}


@pytest.mark.hole(40)
@pytest.mark.parametrize("sign", SIGNERS.values(), ids=SIGNERS)
def test_repeated_request_is_answered_again_but_processed_once(sign):
    """Repeat a request, as senders do if they got no answer."""
    ground = Ground()
    signed = sign(ground, request())
    for _ in range(2):
        assert post(ground, signed).status == 202
        ground.work()
        assert post(ground, signed).status == 202
        assert count_used_signatures(ground) == 1
    ground.work()
    assert ground.heard == [LIKE]


REPLAYS: dict[str, Callable[[Ground], tuple[Request, Request]]] = {
    "another inbox": lambda ground: (
        sign_loosely(ground, request()),
        evolve(sign_loosely(ground, request()), url=SHARED),
    ),
    "another activity under the same nonce": lambda ground: (
        sign_with_nonce(ground, request()),
        sign_with_nonce(ground, request(f"{BOB}/likes/2")),
    ),
    "another inbox under the same nonce": lambda ground: (
        sign_with_nonce(ground, request()),
        sign_with_nonce(ground, request(to=SHARED)),
    ),
}


@pytest.mark.hole(40)
@pytest.mark.parametrize("make_requests", REPLAYS.values(), ids=REPLAYS)
def test_used_signature_is_refused_for_another_request(make_requests):
    ground = Ground()
    first, second = make_requests(ground)
    assert post(ground, first).status == 202
    for _ in range(2):
        answer = post(ground, second)
        assert (answer.status, reason_of(answer)) == (401, "replayed")
        ground.work()
    assert ground.heard == [LIKE]


def test_used_signature_is_remembered_until_it_expires():
    ground = Ground()
    first, second = REPLAYS["another inbox"](ground)
    assert post(ground, first).status == 202
    ground.clock.pass_s(LENIENT.replay_window_s - 1)
    assert count_used_signatures(ground) == 1
    assert post(ground, second).status == 401, "an expired signature was accepted"
    ground.clock.pass_s(1)
    assert count_used_signatures(ground) == 0


def test_invalid_request_does_not_use_up_its_signature():
    """Send changed copies first: otherwise an observer of the signature could make it worthless."""
    ground = Ground()
    signed = sign_loosely(ground, request())
    for changed_request in (
        evolve(signed, body=body(f"{BOB}/likes/2")),
        evolve(signed, headers=signed.headers.with_set("date", "Thu, 01 Jan 2026 11:59:59 GMT")),
        evolve(signed, url=f"{INBOX}s"),
    ):
        served: Any = ground.node.run(serve(evolve(ground.node.site(), signatures=LENIENT), changed_request))
        assert not isinstance(served, Response) or served.status in {401, 404}
        assert count_used_signatures(ground) == 0
    assert post(ground, signed).status == 202


def test_ignored_activity_does_not_use_up_its_signature():
    ground = Ground()
    ground.node.federation._listeners.clear()
    unknown_body = json.dumps({"id": LIKE, "type": "Shrug", "actor": BOB, "object": ALICE}).encode()
    assert post(ground, cavage.sign(evolve(request(), body=unknown_body), ground.bob.key, now=NOON)).status == 202
    assert count_used_signatures(ground) == 0


def test_relayed_activity_does_not_use_up_a_signature():
    """Relay a proven activity: the relay's signature proves nothing, and any relay may bring the proof."""
    ground = Ground()
    proven_body = json.dumps(ground.bob.prove(json.loads(body()))).encode()
    for to in (INBOX, SHARED):
        relayed = evolve(request(to=to), body=proven_body)
        assert post(ground, ground.carol.sign(relayed)).status == 202
    assert count_used_signatures(ground) == 0
    ground.work()
    assert ground.heard == [LIKE]


# --- another inbox --------------------------------------------------------------------------------------------------

EVIDENCE: dict[str, Callable[[Ground, dict[str, Any]], dict[str, Any]]] = {
    "proof": lambda ground, members: ground.bob.prove(members),
    "ld-signature": lambda ground, members: ground.bob.ld_sign(members),
    "origin": lambda ground, members: members,
}


@pytest.mark.parametrize("method", EVIDENCE)
def test_undone_activity_relayed_to_another_inbox_is_not_processed_again(method):
    """Relay an undone Follow to the shared inbox: a proven document does not name its inbox."""
    ground = Ground()
    follow = {"@context": AS2, "id": f"{BOB}/follows/1", "type": "Follow", "actor": BOB, "object": ALICE}
    follow = EVIDENCE[method](ground, follow | {"published": "2026-01-01T12:00:00Z"})
    ground.bob.serve(follow["id"], follow)
    assert ground.bob.deliver(ground.node, follow, to="alice").status == 202
    ground.work()
    assert ground.collection("followers") == [BOB]
    assert ground.bob.deliver(ground.node, ground.bob.activity("Undo", object=follow), to="alice").status == 202
    ground.work()
    assert ground.collection("followers") == []
    heard_before = list(ground.heard)
    ground.clock.pass_s(86_400.0)
    repeated = Request(
        "POST", SHARED, Headers({"content-type": "application/activity+json"}), json.dumps(follow).encode()
    )
    assert ground.post(ground.carol.sign(repeated)).status == 202
    ground.work()
    assert ground.heard == heard_before
    assert ground.collection("followers") == []


@pytest.mark.parametrize("method", EVIDENCE)
def test_activity_delivered_by_its_actor_is_processed_in_each_inbox(method):
    ground = Ground()
    like = EVIDENCE[method](ground, json.loads(body()) | {"@context": AS2})
    for to in ("alice", None, "alice"):
        assert ground.bob.deliver(ground.node, like, to=to).status == 202
    ground.work()
    assert ground.heard == [LIKE, LIKE]
    assert count_used_signatures(ground) >= 1


def test_delivery_to_a_second_inbox_waits_for_an_unavailable_key():
    """Repeat a proven activity, signed by its actor, while the key is unavailable: the answer is 503, not 202."""
    ground = Ground()
    like = ground.bob.prove(json.loads(body()) | {"@context": AS2})
    unsigned = Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), json.dumps(like).encode())
    assert ground.post(unsigned).status == 202
    ground.network.down.add("https://remote.example")
    signed = ground.bob.sign(evolve(unsigned, url=SHARED))
    assert ground.post(signed).status == 503
    ground.network.down.clear()
    ground.clock.pass_s(1000.0)
    assert ground.post(ground.bob.sign(evolve(unsigned, url=SHARED))).status == 202
    ground.work()
    assert ground.heard == [LIKE, LIKE]
