"""Who stands behind an activity: the rules in their order, what each of them makes of what came, and nothing believed beyond that."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

from apcore.effects import Commit, Enqueue, Fetch
from apcore.errors import ApcoreError
from apcore.federation.inbox.authenticate import GRAPH_BYTES_MAX, Authenticated, authenticate
from apcore.federation.inbox.parse import DONE_KEPT_S, read_incoming
from apcore.federation.inbox.receive import receive
from apcore.http import Headers, Request, Response
from apcore.jsonld import parse_document
from apcore.remote import Budgets, FetchPolicy, Rate, UnauthenticatedClient
from apcore.signatures import DEFAULT, STRICT, ld_signature, proofs
from apcore.testing.peer import Peer
from apcore.vocab import Follow
from inbox_fixture import ALICE, BOB, CACHED, CAROL, INBOX, NOON, OWN, Ground, reason_of

AP = "application/activity+json"
AS2 = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
NOTE = "https://remote.example/notes/1"
LIKE = f"{BOB}/likes/1"
INSTANCE = "https://remote.example/actor"


def like(**members: Any) -> dict[str, Any]:
    given = {"@context": AS2, "id": LIKE, "type": "Like", "actor": BOB, "object": ALICE} | members
    return {name: value for name, value in given.items() if value is not None}


def post(ground: Ground, members: dict[str, Any] | bytes, by: Peer | None = None) -> Request:
    """A POST of an activity, signed by somebody, or by nobody."""
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    request = Request("POST", INBOX, Headers({"content-type": AP}), body)
    return request if by is None else by.sign(request)


def authenticated(ground: Ground, request: Request, **policy: Any) -> Authenticated:
    site = ground.node.site()
    site = evolve(site, signatures=site.signatures.with_(**policy))
    return ground.node.run(authenticate(site, request, read_incoming(site, request.body)))


def refusal(ground: Ground, request: Request, **policy: Any) -> tuple[int, str]:
    with pytest.raises(ApcoreError) as caught:
        authenticated(ground, request, **policy)
    return caught.value.status_hint, caught.value.reason


def fetched(ground: Ground) -> list[str]:
    return [effect.request.url for effect in ground.asked if isinstance(effect, Fetch)]


# --- what came, piece by piece --------------------------------------------------------------------------------------

Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def spoilt_proof(members: dict[str, Any]) -> dict[str, Any]:
    """A proof of our suite over something else."""
    return members | {"object": CAROL}


def other_suite(members: dict[str, Any]) -> dict[str, Any]:
    return members | {"proof": members["proof"] | {"cryptosuite": "mldsa44-jcs-2024"}}


def spoilt_signature(members: dict[str, Any]) -> dict[str, Any]:
    return members | {"signature": members["signature"] | {"signatureValue": "AAAA"}}


@frozen
class Came:
    """One way in which an activity of Bob's may come."""

    proof: str = ""
    """ "", "holds", "fails", "of another suite", "by a neighbour", "by a stranger"."""
    ld: str = ""
    """ "", "holds", "fails", "by a stranger"."""
    http: str = ""
    """ "", "his", "a relay's", "broken"."""
    origin: str = ""
    """What is at the activity's id: "", "the same", "another actor's", "another id", "undated", "old", "a page", "down"."""

    def make(self, ground: Ground) -> Request:
        dated = like(published="2026-01-01T11:00:00Z")
        members = dated
        neighbour = ground.network.peer(f"{BOB}2")
        prover = {"by a neighbour": neighbour, "by a stranger": ground.carol}.get(self.proof, ground.bob)
        if self.proof:
            members = prover.prove(members)
        if self.proof == "of another suite":
            members = other_suite(members)
        if self.proof == "fails":
            members = spoilt_proof(members)
        if self.ld:
            members = (ground.carol if self.ld == "by a stranger" else ground.bob).ld_sign(members)
        if self.ld == "fails":
            members = spoilt_signature(members)
        self.serve(ground, dated)
        signer = {"his": ground.bob, "a relay's": ground.carol, "broken": ground.bob}.get(self.http)
        request = post(ground, members, signer)
        return request if self.http != "broken" else evolve(request, body=request.body + b" ")

    def serve(self, ground: Ground, members: dict[str, Any]) -> None:
        served: dict[str, dict[str, Any]] = {
            "the same": members,
            "another actor's": members | {"actor": f"{BOB}2"},
            "another id": members | {"id": f"{LIKE}0"},
            "undated": like(),
            "old": like(published="2020-01-01T11:00:00Z"),
            "a page": {"@context": AS2, "id": LIKE, "type": "Note"},
        }
        if self.origin in served:
            ground.bob.serve(LIKE, served[self.origin])
        elif self.origin == "down":
            # The keys of his are known by now; what he has said is not to be had.
            ground.bob.serve(LIKE, None, status=503)


ORDER: dict[str, tuple[Came, str | tuple[int, str]]] = {
    # a. the proof decides
    "a proof": (Came(proof="holds"), "proof"),
    "a proof, relayed": (Came(proof="holds", http="a relay's"), "proof"),
    "a proof, his request": (Came(proof="holds", http="his"), "proof"),
    "a proof, a broken request": (Came(proof="holds", http="broken"), "proof"),
    "a proof, an LD signature that fails": (Came(proof="holds", ld="fails"), "proof"),
    "a proof that fails, his request": (Came(proof="fails", http="his"), (401, "bad-signature")),
    "a proof that fails, all else": (Came("fails", "holds", "his", "the same"), (401, "bad-signature")),
    "a neighbour's proof, his request": (Came(proof="by a neighbour", http="his"), (401, "not-the-actor")),
    "a stranger's proof, his request": (Came(proof="by a stranger", http="his"), (401, "not-the-actor")),
    "a proof of another suite": (Came(proof="of another suite"), (401, "signature-missing")),
    "a proof of another suite, his request": (Came(proof="of another suite", http="his"), "http-signature"),
    # b. his own request
    "his request": (Came(http="his"), "http-signature"),
    "his request, an LD signature that fails": (Came(ld="fails", http="his"), "http-signature"),
    "his request, his server without it": (Came(http="his", origin="down"), "http-signature"),
    # c. an LD signature
    "an LD signature": (Came(ld="holds"), "ld-signature"),
    "an LD signature, relayed": (Came(ld="holds", http="a relay's"), "ld-signature"),
    "an LD signature, a broken request": (Came(ld="holds", http="broken"), "ld-signature"),
    "an LD signature, and his server has it": (Came(ld="holds", http="a relay's", origin="the same"), "ld-signature"),
    "an LD signature that fails": (Came(ld="fails"), (401, "signature-missing")),
    "an LD signature that fails, relayed": (Came(ld="fails", http="a relay's"), (401, "not-the-actor")),
    "a stranger's LD signature": (Came(ld="by a stranger"), (401, "signature-missing")),
    "the relay's LD signature": (Came(ld="by a stranger", http="a relay's"), (401, "not-the-actor")),
    # d. his server
    "his server has it, relayed": (Came(http="a relay's", origin="the same"), "origin"),
    "his server has it, and an LD signature fails": (Came(ld="fails", http="a relay's", origin="the same"), "origin"),
    "his server has it, sent by nobody": (Came(origin="the same"), (401, "signature-missing")),
    "his server has it, a broken request": (Came(http="broken", origin="the same"), (401, "digest-mismatch")),
    "his server has another's": (Came(http="a relay's", origin="another actor's"), (401, "not-the-actor")),
    "his server has another": (Came(http="a relay's", origin="another id"), (401, "not-the-actor")),
    "his server has no activity": (Came(http="a relay's", origin="a page"), (401, "not-the-actor")),
    "his server does not date it": (Came(http="a relay's", origin="undated"), (401, "not-the-actor")),
    "his server dates it long ago": (Came(http="a relay's", origin="old"), (401, "not-the-actor")),
    "his server does not answer": (Came(http="a relay's", origin="down"), (503, "origin-unavailable")),
    # e. nothing
    "nothing": (Came(), (401, "signature-missing")),
    "a broken request": (Came(http="broken"), (401, "digest-mismatch")),
    "relayed, and nothing else": (Came(http="a relay's"), (401, "not-the-actor")),
}


@pytest.mark.parametrize(("came", "outcome"), ORDER.values(), ids=ORDER)
def test_the_rules_are_taken_in_their_order(came, outcome):
    ground = Ground()
    request = came.make(ground)
    if isinstance(outcome, tuple):
        assert refusal(ground, request) == outcome
        answer = ground.post(request)
        assert (answer.status, reason_of(answer)) == outcome
        ground.work()
        assert ground.heard == []
    else:
        found = authenticated(ground, request)
        assert (found.actor, found.id, found.auth_method) == (BOB, LIKE, outcome)
        assert found.relayed_by == (CAROL if came.http == "a relay's" and outcome != "proof" else None)
        assert ground.post(request).status == 202
        ground.work()
        assert ground.noted() == [LIKE]
    if came.http != "a relay's":
        assert LIKE not in fetched(ground), "a third server was asked for nobody in particular"
    elif outcome in {"proof", "ld-signature", "http-signature"}:
        assert LIKE not in fetched(ground), "what is proved already is not asked for"


def test_what_was_tried_is_told_to_the_operator():
    ground = Ground()
    request = Came(ld="fails", http="a relay's").make(ground)
    with pytest.raises(ApcoreError) as caught:
        authenticated(ground, request)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == ["bad-signature", "not-found"]


@pytest.mark.parametrize(
    ("came", "policy"),
    [
        (Came(ld="holds", http="a relay's"), {"ld_signatures": False}),
        (Came(ld="holds"), {"ld_signatures": STRICT.ld_signatures}),
        (Came(http="a relay's", origin="the same"), {"asks_origin": False}),
    ],
    ids=["no LD signatures", "strict", "no questions"],
)
def test_a_policy_may_do_without(came, policy):
    ground = Ground(signatures=DEFAULT.with_(**policy))
    assert ground.post(came.make(ground)).status == 401
    ground = Ground()
    assert refusal(ground, came.make(ground), **policy)[0] == 401
    assert "asks_origin" not in policy or LIKE not in fetched(ground)
    assert authenticated(ground, came.make(ground)).actor == BOB


# --- proofs ---------------------------------------------------------------------------------------------------------


def test_a_proof_needs_a_key_that_is_for_proofs():
    """A key of the right kind in publicKey is for requests."""
    ground = Ground()
    key = {"id": ground.bob.proof_key_id, "owner": BOB, "publicKeyPem": ground.bob.proof_key.public.pem}
    request = post(ground, ground.bob.prove(like()), ground.bob)
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": key, "assertionMethod": []})
    assert refusal(ground, request) == (401, "proof-refused")


def test_a_key_that_becomes_one_for_proofs_is_asked_for_again():
    ground = Ground()
    kept = ground.bob.document
    key = {"id": ground.bob.proof_key_id, "owner": BOB, "publicKeyPem": ground.bob.proof_key.public.pem}
    request = post(ground, ground.bob.prove(like()))
    ground.bob.serve(BOB, kept | {"publicKey": key, "assertionMethod": []})
    assert refusal(ground, request) == (401, "proof-refused")
    ground.bob.serve(BOB, kept)
    ground.clock.pass_s(400)
    assert authenticated(ground, request).auth_method == "proof"


def test_each_of_several_proofs_has_to_hold():
    ground = Ground()
    members = ground.bob.prove(ground.bob.prove(like()))
    assert len(members["proof"]) == 2
    assert authenticated(ground, post(ground, members)).auth_method == "proof"
    members["proof"][1] |= {"proofValue": ground.bob.prove(like(object=CAROL))["proof"]["proofValue"]}
    assert refusal(ground, post(ground, members)) == (401, "bad-signature")


MALFORMED = {
    "no object": ("proof", 400),
    "no key": ({"verificationMethod": None}, 400),
    "a key that is no address": ({"verificationMethod": "did:key:z6Mk#z6Mk"}, 401),
    "no value": ({"proofValue": None}, 400),
    "a value that is none": ({"proofValue": "z1"}, 400),
    "no time": ({"created": None}, 400),
    "of the future": ({"created": "2027-01-01T00:00:00Z"}, 401),
    "for another purpose": ({"proofPurpose": "authentication"}, 401),
    "for somebody": ({"domain": "third.example"}, 401),
    "under another context": ({"@context": ["https://third.example/context"]}, 401),
    "of a graph, with a context that nobody knows": ({"cryptosuite": "eddsa-rdfc-2022"}, 401),
}


@pytest.mark.parametrize(("change", "status"), MALFORMED.values(), ids=MALFORMED)
def test_a_proof_that_is_wrong_is_refused_before_its_key_is_asked_for(change, status):
    ground = Ground()
    members = ground.bob.prove(like(**{"@context": [AS2, "https://nobody.example/context"]}))
    members["proof"] = change if isinstance(change, str) else members["proof"] | change
    assert refusal(ground, post(ground, members, ground.bob))[0] == status
    assert fetched(ground) == []


# --- nothing but what was proved ------------------------------------------------------------------------------------


def test_what_is_kept_is_what_was_proved():
    ground = Ground()
    by_request = authenticated(ground, post(ground, b" " + json.dumps(like(summary="x")).encode(), ground.bob))
    assert by_request.body == b" " + json.dumps(like(summary="x")).encode()
    by_proof = authenticated(ground, post(ground, ground.bob.prove(like(summary="x"))))
    assert parse_document(by_proof.body).keys() == like(summary="x").keys()


def test_what_a_context_adds_after_the_proof_is_not_taken():
    """FEP-8b32 binds the beginning of the contexts: what comes after it was not signed, and could call a like something else."""
    ground = Ground()
    members = ground.bob.prove(like())
    members["@context"] = [*members["@context"], {"Like": "as:Delete", "summary": "as:content"}]
    found = authenticated(ground, post(ground, members))
    assert (found.actor, found.document.types, found.activity.object.uri) == (BOB, ("Like",), ALICE)
    assert b"as:Delete" not in found.body


def test_what_is_no_statement_was_not_signed():
    ground = Ground()
    signed = ground.bob.ld_sign(like(summary="said"))
    found = authenticated(ground, post(ground, signed | {"nobodyDefined": "not said"}))
    assert found.activity.summary == "said"
    assert b"not said" not in found.body
    assert b"signature" not in found.body


@pytest.mark.parametrize(
    "change",
    [
        {"@graph": [like(type="Delete")]},
        {"@included": [like(id=f"{LIKE}0")]},
        {"@reverse": {"object": like(id=f"{LIKE}0")}},
    ],
    ids=["@graph", "@included", "@reverse"],
)
def test_a_graph_that_is_arranged_otherwise_is_not_what_was_signed(change):
    """Mastodon CVE-2026-46349, Fedify CVE-2026-42462."""
    ground = Ground()
    assert refusal(ground, post(ground, ground.bob.ld_sign(like()) | change, ground.carol))[0] == 401


def test_what_the_origin_says_is_taken_and_not_what_was_brought():
    ground = Ground()
    ground.bob.serve(LIKE, like(object=CAROL, published="2026-01-01T11:00:00Z"))
    found = authenticated(ground, post(ground, like(object=ALICE), ground.carol))
    assert (found.auth_method, found.activity.object.uri) == ("origin", CAROL)


def test_an_activity_inside_another_stays_a_claim():
    """FEP-1b12: a group announces what its members do; whatever it carries proves the announcement of it."""
    ground = Ground()
    inside = ground.bob.prove(like())
    announce = ground.carol.activity("Announce", object=inside)
    assert ground.post(post(ground, announce, ground.carol)).status == 202
    ground.work()
    assert ground.heard == [announce["id"]]


CONTEXT = "https://remote.example/context"


@pytest.mark.parametrize(
    ("terms", "heard"),
    [
        ({"Like": "as:Delete"}, ("Like", CAROL, None)),
        ({"object": "as:target", "thing": "as:object"}, ("Like", CAROL, None)),
        ({"thing": {"@id": "as:object", "@type": "@id"}}, ("Like", CAROL, None)),
        ({"note": "as:summary"}, ("Like", CAROL, "a note")),
    ],
    ids=["another type", "another object", "one more object", "more meaning"],
)
def test_a_context_that_is_fetched_later_changes_nothing_that_was_held_against_the_rules(terms, heard):
    """What came was a Like of something of Carol's, which is for everybody; it does not become something that is not."""
    ground = Ground(unknown_contexts="fetch")
    ground.bob.serve(CONTEXT, {"@context": terms})
    seen: list[Any] = []
    ground.listeners.append(
        lambda ctx, activity: seen.append(
            (
                activity.document.types[0],
                *[each.uri for each in activity.objects],
                activity.summary,
            )
        )
    )
    members = like(object=CAROL, thing=BOB, note="a note") | {"@context": [AS2, CONTEXT]}
    assert ground.post(post(ground, members, ground.bob)).status == 202
    assert CONTEXT not in fetched(ground), "nothing is fetched for it before it is proved"
    ground.work()
    assert CONTEXT in fetched(ground)
    assert seen == [heard]


def test_a_context_that_is_fetched_later_and_is_none_keeps_nobody_from_hearing():
    ground = Ground(unknown_contexts="fetch")
    ground.bob.serve(CONTEXT, {"@context": {"@vocab": 5}})
    assert ground.post(post(ground, like() | {"@context": [AS2, CONTEXT]}, ground.bob)).status == 202
    ground.work()
    assert ground.heard == [LIKE]


def test_a_listener_is_told_what_proved_it_and_who_brought_it():
    ground = Ground()
    told: list[tuple[str | None, str | None]] = []
    ground.listeners.append(lambda ctx, _activity: told.append((ctx.auth_method, ctx.relayed_by)))
    for number, (prove, by) in enumerate([(Peer.prove, None), (Peer.ld_sign, ground.carol), (None, ground.bob)]):
        members = like(id=f"{BOB}/{number}")
        request = post(ground, members if prove is None else prove(ground.bob, members), by)
        assert ground.post(request).status == 202
    ground.work()
    assert told == [("proof", None), ("ld-signature", CAROL), ("http-signature", None)]


# --- old things are not new -----------------------------------------------------------------------------------------


def signed_at(ground: Ground, how: str, moment: datetime) -> dict[str, Any]:
    if how == "proof":
        return proofs.create(like(), ground.bob.proof_key, now=moment)
    return ld_signature.create(like(**{"@context": [AS2, SECURITY]}), ground.bob.key, now=moment)


@pytest.mark.parametrize("how", ["proof", "ld-signature"])
def test_an_old_activity_counts_only_under_a_fresh_request_of_its_actor(how):
    ground = Ground()
    old = NOON - timedelta(seconds=DONE_KEPT_S)
    young = old + timedelta(seconds=ground.node.site().signatures.clock_skew_s)
    assert authenticated(ground, post(ground, signed_at(ground, how, young))).auth_method == how
    members = signed_at(ground, how, old)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    refused = refusal(ground, post(ground, members))
    assert refused == ((401, "signature-too-old") if how == "proof" else (401, "signature-missing"))
    found = authenticated(ground, post(ground, members, ground.bob))
    assert found.auth_method == "http-signature"
    assert found.signed == NOON


@pytest.mark.parametrize("how", ["proof", "ld-signature"])
def test_what_was_done_is_never_done_again_by_what_it_carries(how):
    """Whenever it is repeated: either it is remembered, or it is too old."""
    ground = Ground()
    # As far ahead of our clock as is tolerated.
    ahead = NOON + timedelta(seconds=ground.node.site().signatures.clock_skew_s)
    request = post(ground, signed_at(ground, how, ahead))
    assert ground.post(request).status == 202
    ground.work()
    for _ in range(40):
        ground.clock.pass_s(86_399.0)
        assert ground.post(request).status in {202, 401}
        ground.work()
    assert ground.heard == [LIKE]


@pytest.mark.parametrize(("ahead_s", "status"), [(3600, 202), (3601, 401), (86_400 * 365, 401)])
def test_what_its_origin_dates_ahead_would_be_forgotten_before_it_is_old(ahead_s, status):
    ground = Ground()
    published = (NOON + timedelta(seconds=ahead_s)).isoformat()
    ground.bob.serve(LIKE, like(published=published))
    assert ground.post(post(ground, like(), ground.carol)).status == status


# --- deletions ------------------------------------------------------------------------------------------------------


def delete(object_: Any = NOTE, **members: Any) -> dict[str, Any]:
    return like(type="Delete", object=object_, id=f"{BOB}/deletes/1", **members)


DELETED = {
    "gone": (None, 410, True),
    "a tombstone": ({"@context": AS2, "id": NOTE, "type": "Tombstone"}, 200, True),
    "a tombstone of his": ({"@context": AS2, "id": NOTE, "type": "Tombstone", "attributedTo": BOB}, 200, True),
    "a neighbour's": (
        {"@context": AS2, "id": NOTE, "type": "Tombstone", "attributedTo": "https://remote.example/users/eve"},
        200,
        False,
    ),
    "not there": (None, 404, False),
    "there": ({"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB}, 200, False),
    "another's tombstone": ({"@context": AS2, "id": f"{NOTE}0", "type": "Tombstone"}, 200, False),
    "failing": (None, 500, False),
    "not for us": (None, 403, False),
}


@pytest.mark.parametrize(("served", "status", "confirmed"), DELETED.values(), ids=DELETED)
def test_a_delete_that_is_forwarded_is_confirmed_by_what_is_gone(served, status, confirmed):
    ground = Ground()
    ground.bob.serve(NOTE, served, status=status)
    answer = ground.post(post(ground, delete(to=[ALICE]), ground.carol))
    ground.work()
    if not confirmed:
        assert answer.status == (503 if status == 500 else 401)
        assert ground.heard == []
        return
    assert answer.status == 202
    # Neither its id, which nobody has proved, nor whom it is to.
    assert ground.heard == [f"{NOTE}#delete"]
    found = authenticated(ground, post(ground, delete(to=[ALICE]), ground.carol))
    assert (found.auth_method, found.relayed_by, found.activity.to) == ("origin", CAROL, ())


def test_a_deletion_that_was_kept_alive_is_asked_for_anew():
    ground = Ground()
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    _ = ground.node.reference(NOTE).resolve()
    ground.bob.serve(NOTE, None, status=410)
    assert ground.post(post(ground, delete(), ground.carol)).status == 202


def test_a_forwarded_delete_uses_up_no_id():
    ground = Ground()
    ground.bob.serve(NOTE, None, status=410)
    poison = delete() | {"id": LIKE}
    assert ground.post(post(ground, poison, ground.carol)).status == 202
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.work()
    assert sorted(map(str, ground.heard)) == sorted([f"{NOTE}#delete", LIKE])


@pytest.mark.parametrize("object_", [CAROL, ALICE, None, {"type": "Note"}])
def test_a_forwarded_delete_of_what_is_not_his_asks_nobody(object_):
    ground = Ground()
    assert ground.post(post(ground, delete(object_), ground.carol)).status in {400, 401, 403}
    assert [url for url in fetched(ground) if url != CAROL] == []


# --- somebody is gone, or has changed -------------------------------------------------------------------------------


def farewell(ground: Ground, by: Peer | None = None, **members: Any) -> Request:
    return post(ground, like(type="Delete", object=BOB, id=f"{BOB}#delete") | members, by or ground.bob)


def known() -> Ground:
    """Bob has been heard of a day ago, and his key counts no more."""
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.work()
    ground.clock.pass_s(2 * 86_400)
    ground.heard.clear()
    ground.asked.clear()
    ground.network.exchanges.clear()
    return ground


@pytest.mark.parametrize("kind", ["Delete", "Update"])
@pytest.mark.parametrize("how", ["his", "a relay's", "proof", "ld-signature", "a neighbour's"])
def test_what_a_stranger_says_of_itself_costs_nothing(kind, how):
    ground = Ground()
    members = like(type=kind, object=BOB, id=f"{BOB}#{kind}")
    signer = {"his": ground.bob, "a relay's": ground.carol, "a neighbour's": ground.network.peer(f"{BOB}2")}.get(how)
    if how == "proof":
        members = ground.bob.prove(members)
    if how == "ld-signature":
        members = ground.bob.ld_sign(members)
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(post(ground, members, signer)).status == 202
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)
    assert ground.kinds() == set()


def test_what_nobody_has_signed_is_nobodys_farewell():
    ground = known()
    ground.bob.serve(BOB, None, status=410)
    body = json.dumps(like(type="Delete", object=BOB, id=f"{BOB}#delete")).encode()
    for ground_ in (ground, Ground()):
        answer = ground_.post(Request("POST", INBOX, Headers({"content-type": AP}), body))
        assert (answer.status, reason_of(answer)) == (401, "signature-missing")
    assert fetched(ground) == []


def test_somebody_known_is_believed_by_the_key_that_is_kept():
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.bob.serve(BOB, None, status=410)
    ground.asked.clear()
    assert ground.post(farewell(ground)).status == 202
    assert fetched(ground) == []
    ground.work()
    assert ground.heard == [LIKE, f"{BOB}#delete"]


GONE = {
    "gone": (410, 202, [f"{BOB}#delete"]),
    "not there": (404, 401, []),
    "not for us": (401, 401, []),
    "failing": (503, 503, []),
}


@pytest.mark.parametrize(("served", "status", "heard"), GONE.values(), ids=GONE)
def test_somebody_known_whose_key_is_gone_is_believed_if_the_server_says_so(served, status, heard):
    ground = known()
    ground.bob.serve(BOB, None, status=served)
    request = farewell(ground)
    assert [ground.post(request).status, ground.post(request).status] == [status] * 2
    ground.work()
    assert ground.heard == heard


@pytest.mark.parametrize("follows", ["Bob", "Alice"])
@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_who_follows_or_is_followed_is_no_stranger_however_long_nothing_was_heard(follows, kind):
    ground = Ground()
    if follows == "Bob":
        assert ground.post(post(ground, like(type="Follow"), ground.bob)).status == 202
    else:
        ground.node.send(Follow(object=BOB), by="alice", to=BOB)
        ground.work()
        accept = ground.bob.activity("Accept", object=ground.bob.received[-1].activity)
        assert ground.post(post(ground, accept, ground.bob)).status == 202
    ground.work()
    ground.clock.pass_s(365 * 86_400)
    ground.heard.clear()
    if kind == "Delete":
        request = farewell(ground)
        ground.bob.serve(BOB, None, status=410)
    else:
        request = post(ground, like(type="Update", object=BOB, id=f"{BOB}#Update"), ground.bob)
    assert ground.post(request).status == 202
    ground.work()
    assert ground.heard == [f"{BOB}#{kind.lower() if kind == 'Delete' else kind}"]


def test_the_key_of_a_neighbour_who_is_gone_is_no_farewell():
    """That one is gone, and he is not."""
    ground = known()
    neighbour = ground.network.peer(f"{BOB}2")
    request = farewell(ground, neighbour)
    ground.bob.serve(f"{BOB}2", None, status=410)
    assert ground.post(request).status == 401
    ground.work()
    assert ground.heard == []


@pytest.mark.parametrize(("served", "status"), [(410, 202), (200, 401), (404, 401)])
def test_the_instance_actor_speaks_for_somebody_who_is_gone(served, status):
    ground = known()
    instance = ground.network.peer(INSTANCE)
    if served != 200:
        ground.bob.serve(BOB, None, status=served)
    assert ground.post(farewell(ground, instance)).status == status
    ground.work()
    assert ground.heard == ([f"{BOB}#delete"] if status == 202 else [])


def test_a_stranger_is_not_asked_to_confirm_a_farewell():
    ground = known()
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(farewell(ground, ground.carol)).status == 401
    assert fetched(ground) == [CAROL]


def test_an_update_of_somebody_known_is_taken():
    ground = known()
    assert ground.post(post(ground, like(type="Update", object=BOB, id=f"{BOB}#u"), ground.bob)).status == 202
    ground.work()
    assert ground.heard == [f"{BOB}#u"]


# --- what it may cost ---------------------------------------------------------------------------------------------


def long(members: dict[str, Any], length: int) -> bytes:
    """The bytes of an activity, made so long by blanks, which are no part of what is signed."""
    body = json.dumps(members).encode()
    return body + b" " * (length - len(body))


@pytest.mark.parametrize("over", [0, 1])
def test_no_large_graph_is_put_in_order_for_nobody_in_particular(over):
    ground = Ground()
    length = GRAPH_BYTES_MAX + over
    signed = long(ground.bob.ld_sign(like()), length)
    if over:
        assert refusal(ground, post(ground, signed)) == (401, "signature-missing")
    else:
        assert authenticated(ground, post(ground, signed)).auth_method == "ld-signature"
    assert authenticated(ground, post(ground, signed, ground.carol)).auth_method == "ld-signature"
    graph = ground.bob.prove(like())
    graph["proof"]["cryptosuite"] = "eddsa-rdfc-2022"
    for members in (graph, graph | {"proof": [graph["proof"]]}):
        outcome = refusal(ground, post(ground, long(members, length), ground.bob))
        assert outcome == ((413, "limit") if over else (401, "bad-signature"))
    # The other suite costs no more than reading.
    assert authenticated(ground, post(ground, long(ground.bob.prove(like()), length))).auth_method == "proof"


def test_whoever_makes_us_ask_pays_for_it():
    """Design rule 9: a relay that brings what nothing proves makes us ask a third server, and has a budget for that as for keys."""
    ground = Ground()
    few = FetchPolicy(budgets=Budgets(host=Rate(3, 0.001)))
    outcomes: list[int] = []
    for number in range(5):
        site = evolve(ground.node.site(), fetching=few, unauthenticated_client=UnauthenticatedClient("198.51.100.1"))
        request = post(ground, like(id=f"{BOB}/likes/{number}"), ground.carol)
        answer = ground.node.run(receive(site, request, recipient="alice"))
        outcomes.append(answer.status)
    assert outcomes == [401, 401, 401, 503, 503]
    assert reason_of(answer) == "budget-spent"
    assert fetched(ground) == [CAROL, *(f"{BOB}/likes/{number}" for number in range(3))]


# --- what can be had later ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["his", "proof", "ld-signature", "a relay's"])
def test_nothing_is_decided_while_his_server_is_down(how):
    ground = Ground()
    members = {"proof": ground.bob.prove, "ld-signature": ground.bob.ld_sign}.get(how, dict[str, Any])(like())
    request = post(ground, members, {"his": ground.bob, "a relay's": ground.carol}.get(how))
    ground.network.down.add("https://remote.example")
    answer = ground.post(request)
    assert answer.status == 503
    assert reason_of(answer) in {"key-unavailable", "origin-unavailable"}, "what our network answered is our business"
    assert int(answer.headers.get("retry-after") or 0) > 0
    assert ground.kinds() <= OWN | CACHED
    ground.network.down.clear()
    ground.clock.pass_s(700)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    assert ground.post(request).status == 202
    assert isinstance(answer, Response)
