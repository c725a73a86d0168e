"""A signature counts once: repeated as it was it is answered as before, and for anything else it is refused."""

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


def loosely_signed(ground: Ground, made: Request) -> Request:
    """Over the date and the digest only, as the most lenient policy has it: it says nothing of where it goes."""
    return cavage.sign(made, ground.bob.key, now=NOON, covered=("date", "digest"))


def by_nonce(ground: Ground, made: Request) -> Request:
    return rfc9421.sign(made, ground.bob.key, now=NOON, nonce=NONCE)


def post(ground: Ground, made: Request) -> Response:
    site = evolve(ground.node.site(), signatures=LENIENT)
    answer = ground.node.run(serve(site, made))
    assert isinstance(answer, Response)
    return answer


def used(ground: Ground) -> int:
    return len(ground.store.scan(("used",), limit=100))


SIGNERS: dict[str, Callable[[Ground, Request], Request]] = {
    "cavage": lambda ground, made: cavage.sign(made, ground.bob.key, now=NOON),
    "rfc9421": lambda ground, made: rfc9421.sign(made, ground.bob.key, now=NOON),
    "with a nonce": by_nonce,
    "loosely": loosely_signed,
}


@pytest.mark.hole(40)
@pytest.mark.parametrize("sign", SIGNERS.values(), ids=SIGNERS)
def test_what_is_repeated_as_it_was_is_answered_as_it_was(sign):
    """Senders repeat what they have no answer to."""
    ground = Ground()
    signed = sign(ground, request())
    for _ in range(2):
        assert post(ground, signed).status == 202
        ground.work()
        assert post(ground, signed).status == 202
        assert used(ground) == 1
    ground.work()
    assert ground.heard == [LIKE]


ELSE: dict[str, Callable[[Ground], tuple[Request, Request]]] = {
    "another inbox": lambda ground: (
        loosely_signed(ground, request()),
        evolve(loosely_signed(ground, request()), url=SHARED),
    ),
    "another activity under the same nonce": lambda ground: (
        by_nonce(ground, request()),
        by_nonce(ground, request(f"{BOB}/likes/2")),
    ),
    "another inbox under the same nonce": lambda ground: (
        by_nonce(ground, request()),
        by_nonce(ground, request(to=SHARED)),
    ),
}


@pytest.mark.hole(40)
@pytest.mark.parametrize("make", ELSE.values(), ids=ELSE)
def test_what_has_proved_one_thing_proves_no_other(make):
    ground = Ground()
    first, second = make(ground)
    assert post(ground, first).status == 202
    for _ in range(2):
        answer = post(ground, second)
        assert (answer.status, reason_of(answer)) == (401, "replayed")
        ground.work()
    assert ground.heard == [LIKE]


def test_it_is_remembered_for_as_long_as_it_could_count():
    ground = Ground()
    first, second = ELSE["another inbox"](ground)
    assert post(ground, first).status == 202
    ground.clock.pass_s(LENIENT.replay_window_s - 1)
    assert used(ground) == 1
    assert post(ground, second).status == 401, "too old by now"
    ground.clock.pass_s(1)
    assert used(ground) == 0


def test_a_signature_that_proves_nothing_is_not_used_up():
    """Or whoever sees it first could make it worthless."""
    ground = Ground()
    signed = loosely_signed(ground, request())
    for spoilt in (
        evolve(signed, body=body(f"{BOB}/likes/2")),
        evolve(signed, headers=signed.headers.with_set("date", "Thu, 01 Jan 2026 11:59:59 GMT")),
        evolve(signed, url=f"{INBOX}s"),
    ):
        served: Any = ground.node.run(serve(evolve(ground.node.site(), signatures=LENIENT), spoilt))
        assert not isinstance(served, Response) or served.status in {401, 404}
        assert used(ground) == 0
    assert post(ground, signed).status == 202


def test_what_nobody_listens_to_uses_up_nothing():
    ground = Ground()
    unknown = json.dumps({"id": LIKE, "type": "Lock", "actor": BOB, "object": ALICE}).encode()
    assert post(ground, cavage.sign(evolve(request(), body=unknown), ground.bob.key, now=NOON)).status == 202
    assert used(ground) == 0


def test_what_others_carry_uses_up_no_signature():
    """A relay's signature is no proof of the activity, and a proof is for everybody to carry."""
    ground = Ground()
    proved = json.dumps(ground.bob.prove(json.loads(body()))).encode()
    for to in (INBOX, SHARED):
        made = evolve(request(to=to), body=proved)
        assert post(ground, ground.carol.sign(made)).status == 202
    assert used(ground) == 0
    ground.work()
    assert ground.heard == [LIKE]


# --- another inbox --------------------------------------------------------------------------------------------------

CARRIED: dict[str, Callable[[Ground, dict[str, Any]], dict[str, Any]]] = {
    "proof": lambda ground, members: ground.bob.prove(members),
    "ld-signature": lambda ground, members: ground.bob.ld_sign(members),
    "origin": lambda ground, members: members,
}


@pytest.mark.parametrize("how", CARRIED)
def test_what_was_undone_is_not_done_again_at_the_next_inbox(how):
    """Nothing in a document that proves itself says where it was meant to go; so who brings it does not choose."""
    ground = Ground()
    follow = {"@context": AS2, "id": f"{BOB}/follows/1", "type": "Follow", "actor": BOB, "object": ALICE}
    follow = CARRIED[how](ground, follow | {"published": "2026-01-01T12:00:00Z"})
    ground.bob.serve(follow["id"], follow)
    assert ground.bob.deliver(ground.node, follow, to="alice").status == 202
    ground.work()
    assert ground.collection("followers") == [BOB]
    assert ground.bob.deliver(ground.node, ground.bob.activity("Undo", object=follow), to="alice").status == 202
    ground.work()
    assert ground.collection("followers") == []
    heard = list(ground.heard)
    ground.clock.pass_s(86_400.0)
    again = Request("POST", SHARED, Headers({"content-type": "application/activity+json"}), json.dumps(follow).encode())
    assert ground.post(ground.carol.sign(again)).status == 202
    ground.work()
    assert ground.heard == heard
    assert ground.collection("followers") == []


@pytest.mark.parametrize("how", CARRIED)
def test_what_its_actor_delivers_counts_in_each_inbox(how):
    ground = Ground()
    like = CARRIED[how](ground, json.loads(body()) | {"@context": AS2})
    for to in ("alice", None, "alice"):
        assert ground.bob.deliver(ground.node, like, to=to).status == 202
    ground.work()
    assert ground.heard == [LIKE, LIKE]
    assert used(ground) >= 1


def test_whether_its_actor_has_brought_it_may_have_to_wait():
    """What is known elsewhere, and signed by a key that cannot be had now, may be its actor's own: nobody says that it was taken in."""
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
