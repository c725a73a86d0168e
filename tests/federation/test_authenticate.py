"""Check the authentication of activities: the rules in their order, and that only proven content is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

from apcore.effects import Commit, Enqueue, Fetch
from apcore.errors import ApcoreError
from apcore.federation.inbox.authenticate import authenticate
from apcore.federation.inbox.document_proofs import GRAPH_BYTES_MAX
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.inbox.receive import receive
from apcore.federation.inbox.records import DONE_KEPT_S
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
    values = {"@context": AS2, "id": LIKE, "type": "Like", "actor": BOB, "object": ALICE} | members
    return {name: value for name, value in values.items() if value is not None}


def post(ground: Ground, members: dict[str, Any] | bytes, by: Peer | None = None) -> Request:
    """Build a POST of an activity, signed by a peer or unsigned."""
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    request = Request("POST", INBOX, Headers({"content-type": AP}), body)
    return request if by is None else by.sign(request)


def run_authenticate(ground: Ground, request: Request, **policy: Any) -> Authenticated:
    site = ground.node.site()
    site = evolve(site, signatures=site.signatures.with_(**policy))
    return ground.node.run(authenticate(site, request, read_incoming(site, request.body)))


def refusal(ground: Ground, request: Request, **policy: Any) -> tuple[int, str]:
    with pytest.raises(ApcoreError) as caught:
        run_authenticate(ground, request, **policy)
    return caught.value.status_hint, caught.value.reason


def fetched_urls(ground: Ground) -> list[str]:
    return [effect.request.url for effect in ground.asked if isinstance(effect, Fetch)]


# --- the rules in their order ---------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], dict[str, Any]]


def with_wrong_proof(members: dict[str, Any]) -> dict[str, Any]:
    """Change the object, so that the proof no longer matches."""
    return members | {"object": CAROL}


def with_unknown_suite(members: dict[str, Any]) -> dict[str, Any]:
    return members | {"proof": members["proof"] | {"cryptosuite": "mldsa44-jcs-2024"}}


def with_wrong_signature(members: dict[str, Any]) -> dict[str, Any]:
    return members | {"signature": members["signature"] | {"signatureValue": "AAAA"}}


@frozen
class Arrival:
    """A combination of proofs and signatures with which Bob's activity may arrive."""

    proof: str = ""
    """ "", "valid", "wrong", "of another suite", "by a neighbour", "by a stranger"."""
    ld: str = ""
    """ "", "valid", "wrong", "by a stranger"."""
    http: str = ""
    """ "", "Bob's", "a relay's", "broken"."""
    origin: str = ""
    """Answer at the activity's id.

    One of "", "the same", "another actor's", "another id", "undated", "old", "a page", "down".
    """

    def make(self, ground: Ground) -> Request:
        dated = like(published="2026-01-01T11:00:00Z")
        members = dated
        neighbour = ground.network.peer(f"{BOB}2")
        prover = {"by a neighbour": neighbour, "by a stranger": ground.carol}.get(self.proof, ground.bob)
        if self.proof:
            members = prover.prove(members)
        if self.proof == "of another suite":
            members = with_unknown_suite(members)
        if self.proof == "wrong":
            members = with_wrong_proof(members)
        if self.ld:
            members = (ground.carol if self.ld == "by a stranger" else ground.bob).ld_sign(members)
        if self.ld == "wrong":
            members = with_wrong_signature(members)
        self.serve(ground, dated)
        signer = {"Bob's": ground.bob, "a relay's": ground.carol, "broken": ground.bob}.get(self.http)
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
            # His keys are cached by now; his activity is unavailable.
            ground.bob.serve(LIKE, None, status=503)


ORDER: dict[str, tuple[Arrival, str | tuple[int, str]]] = {
    # a. a proof
    "a proof": (Arrival(proof="valid"), "proof"),
    "a proof, relayed": (Arrival(proof="valid", http="a relay's"), "proof"),
    "a proof, Bob's request": (Arrival(proof="valid", http="Bob's"), "proof"),
    "a proof, a broken request": (Arrival(proof="valid", http="broken"), "proof"),
    "a proof, a wrong LD signature": (Arrival(proof="valid", ld="wrong"), "proof"),
    "a wrong proof, Bob's request": (Arrival(proof="wrong", http="Bob's"), (401, "bad-signature")),
    "a wrong proof, everything else valid": (Arrival("wrong", "valid", "Bob's", "the same"), (401, "bad-signature")),
    "a neighbour's proof, Bob's request": (Arrival(proof="by a neighbour", http="Bob's"), (401, "not-the-actor")),
    "a stranger's proof, Bob's request": (Arrival(proof="by a stranger", http="Bob's"), (401, "not-the-actor")),
    "a proof of another suite": (Arrival(proof="of another suite"), (401, "signature-missing")),
    "a proof of another suite, Bob's request": (Arrival(proof="of another suite", http="Bob's"), "http-signature"),
    # b. Bob's own request
    "Bob's request": (Arrival(http="Bob's"), "http-signature"),
    "Bob's request, a wrong LD signature": (Arrival(ld="wrong", http="Bob's"), "http-signature"),
    "Bob's request, not on his server": (Arrival(http="Bob's", origin="down"), "http-signature"),
    # c. an LD signature
    "an LD signature": (Arrival(ld="valid"), "ld-signature"),
    "an LD signature, relayed": (Arrival(ld="valid", http="a relay's"), "ld-signature"),
    "an LD signature, a broken request": (Arrival(ld="valid", http="broken"), "ld-signature"),
    "an LD signature, and on Bob's server": (Arrival(ld="valid", http="a relay's", origin="the same"), "ld-signature"),
    "a wrong LD signature": (Arrival(ld="wrong"), (401, "signature-missing")),
    "a wrong LD signature, relayed": (Arrival(ld="wrong", http="a relay's"), (401, "not-the-actor")),
    "a stranger's LD signature": (Arrival(ld="by a stranger"), (401, "signature-missing")),
    "the relay's LD signature": (Arrival(ld="by a stranger", http="a relay's"), (401, "not-the-actor")),
    # d. Bob's server
    "on Bob's server, relayed": (Arrival(http="a relay's", origin="the same"), "origin"),
    "on Bob's server, a wrong LD signature, relayed": (
        Arrival(ld="wrong", http="a relay's", origin="the same"),
        "origin",
    ),
    "on Bob's server, unsigned": (Arrival(origin="the same"), (401, "signature-missing")),
    "on Bob's server, a broken request": (Arrival(http="broken", origin="the same"), (401, "digest-mismatch")),
    "another actor's on Bob's server": (Arrival(http="a relay's", origin="another actor's"), (401, "not-the-actor")),
    "another id on Bob's server": (Arrival(http="a relay's", origin="another id"), (401, "not-the-actor")),
    "no activity on Bob's server": (Arrival(http="a relay's", origin="a page"), (401, "not-the-actor")),
    "undated on Bob's server": (Arrival(http="a relay's", origin="undated"), (401, "not-the-actor")),
    "old on Bob's server": (Arrival(http="a relay's", origin="old"), (401, "not-the-actor")),
    "Bob's server down": (Arrival(http="a relay's", origin="down"), (503, "origin-unavailable")),
    # e. no evidence
    "no evidence": (Arrival(), (401, "signature-missing")),
    "a broken request": (Arrival(http="broken"), (401, "digest-mismatch")),
    "relayed, no other evidence": (Arrival(http="a relay's"), (401, "not-the-actor")),
}


@pytest.mark.parametrize(("arrival", "outcome"), ORDER.values(), ids=ORDER)
def test_rules_are_applied_in_their_order(arrival, outcome):
    ground = Ground()
    request = arrival.make(ground)
    if isinstance(outcome, tuple):
        assert refusal(ground, request) == outcome
        answer = ground.post(request)
        assert (answer.status, reason_of(answer)) == outcome
        ground.work()
        assert ground.heard == []
    else:
        authentication = run_authenticate(ground, request)
        assert (authentication.actor, authentication.id, authentication.auth_method) == (BOB, LIKE, outcome)
        assert authentication.relayed_by == (CAROL if arrival.http == "a relay's" and outcome != "proof" else None)
        assert ground.post(request).status == 202
        ground.work()
        assert ground.noted() == [LIKE]
    if arrival.http != "a relay's":
        assert LIKE not in fetched_urls(ground), "a third server was asked for an unauthenticated client"
    elif outcome in {"proof", "ld-signature", "http-signature"}:
        assert LIKE not in fetched_urls(ground), "a proven activity was fetched"


def test_refusal_notes_the_failed_rules():
    ground = Ground()
    request = Arrival(ld="wrong", http="a relay's").make(ground)
    with pytest.raises(ApcoreError) as caught:
        run_authenticate(ground, request)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == ["bad-signature", "document-not-found"]


@pytest.mark.parametrize(
    ("arrival", "policy"),
    [
        (Arrival(ld="valid", http="a relay's"), {"ld_signatures": False}),
        (Arrival(ld="valid"), {"ld_signatures": STRICT.ld_signatures}),
        (Arrival(http="a relay's", origin="the same"), {"asks_origin": False}),
    ],
    ids=["no LD signatures", "strict", "no origin fetch"],
)
def test_policy_may_disable_rules(arrival, policy):
    ground = Ground(signatures=DEFAULT.with_(**policy))
    assert ground.post(arrival.make(ground)).status == 401
    ground = Ground()
    assert refusal(ground, arrival.make(ground), **policy)[0] == 401
    assert "asks_origin" not in policy or LIKE not in fetched_urls(ground)
    assert run_authenticate(ground, arrival.make(ground)).actor == BOB


# --- proofs ---------------------------------------------------------------------------------------------------------


def test_proof_by_a_key_for_requests_is_refused():
    """List the right key in `publicKey`, which is for requests only."""
    ground = Ground()
    key = {"id": ground.bob.proof_key_id, "owner": BOB, "publicKeyPem": ground.bob.proof_key.public.pem}
    request = post(ground, ground.bob.prove(like()), ground.bob)
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": key, "assertionMethod": []})
    assert refusal(ground, request) == (401, "proof-refused")


def test_key_that_becomes_an_assertion_method_is_fetched_again():
    ground = Ground()
    document = ground.bob.document
    key = {"id": ground.bob.proof_key_id, "owner": BOB, "publicKeyPem": ground.bob.proof_key.public.pem}
    request = post(ground, ground.bob.prove(like()))
    ground.bob.serve(BOB, document | {"publicKey": key, "assertionMethod": []})
    assert refusal(ground, request) == (401, "proof-refused")
    ground.bob.serve(BOB, document)
    ground.clock.pass_s(400)
    assert run_authenticate(ground, request).auth_method == "proof"


def test_each_of_several_proofs_must_be_valid():
    ground = Ground()
    members = ground.bob.prove(ground.bob.prove(like()))
    assert len(members["proof"]) == 2
    assert run_authenticate(ground, post(ground, members)).auth_method == "proof"
    members["proof"][1] |= {"proofValue": ground.bob.prove(like(object=CAROL))["proof"]["proofValue"]}
    assert refusal(ground, post(ground, members)) == (401, "bad-signature")


MALFORMED = {
    "no object": ("proof", 400),
    "no key": ({"verificationMethod": None}, 400),
    "a key that is no URL": ({"verificationMethod": "did:key:z6Mk#z6Mk"}, 401),
    "no value": ({"proofValue": None}, 400),
    "a malformed value": ({"proofValue": "z1"}, 400),
    "no time": ({"created": None}, 400),
    "of the future": ({"created": "2027-01-01T00:00:00Z"}, 401),
    "for another purpose": ({"proofPurpose": "authentication"}, 401),
    "for a domain": ({"domain": "third.example"}, 401),
    "under another context": ({"@context": ["https://third.example/context"]}, 401),
    "of a graph, with an unknown context": ({"cryptosuite": "eddsa-rdfc-2022"}, 401),
}


@pytest.mark.parametrize(("change", "status"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_proof_is_refused_before_its_key_is_fetched(change, status):
    ground = Ground()
    members = ground.bob.prove(like(**{"@context": [AS2, "https://unknown.example/context"]}))
    members["proof"] = change if isinstance(change, str) else members["proof"] | change
    assert refusal(ground, post(ground, members, ground.bob))[0] == status
    assert fetched_urls(ground) == []


# --- only proven content ---------------------------------------------------------------------------------------------


def test_body_of_an_activity_is_the_proven_content():
    ground = Ground()
    by_request = run_authenticate(ground, post(ground, b" " + json.dumps(like(summary="x")).encode(), ground.bob))
    assert by_request.body == b" " + json.dumps(like(summary="x")).encode()
    by_proof = run_authenticate(ground, post(ground, ground.bob.prove(like(summary="x"))))
    assert parse_document(by_proof.body).keys() == like(summary="x").keys()


def test_context_added_after_the_proof_is_dropped():
    """Append a context that redefines terms. FEP-8b32 binds only the first contexts: the rest was not signed."""
    ground = Ground()
    members = ground.bob.prove(like())
    members["@context"] = [*members["@context"], {"Like": "as:Delete", "summary": "as:content"}]
    authentication = run_authenticate(ground, post(ground, members))
    assert (authentication.actor, authentication.document.types, authentication.activity.object.uri) == (
        BOB,
        ("Like",),
        ALICE,
    )
    assert b"as:Delete" not in authentication.body


def test_undefined_member_is_dropped_from_an_ld_signed_activity():
    ground = Ground()
    signed_like = ground.bob.ld_sign(like(summary="said"))
    authentication = run_authenticate(ground, post(ground, signed_like | {"undefinedTerm": "not said"}))
    assert authentication.activity.summary == "said"
    assert b"not said" not in authentication.body
    assert b"signature" not in authentication.body


@pytest.mark.parametrize(
    "change",
    [
        {"@graph": [like(type="Delete")]},
        {"@included": [like(id=f"{LIKE}0")]},
        {"@reverse": {"object": like(id=f"{LIKE}0")}},
    ],
    ids=["@graph", "@included", "@reverse"],
)
def test_rearranged_signed_graph_is_refused(change):
    """Try Mastodon CVE-2026-46349 and Fedify CVE-2026-42462."""
    ground = Ground()
    assert refusal(ground, post(ground, ground.bob.ld_sign(like()) | change, ground.carol))[0] == 401


def test_content_from_the_origin_replaces_the_relayed_content():
    ground = Ground()
    ground.bob.serve(LIKE, like(object=CAROL, published="2026-01-01T11:00:00Z"))
    authentication = run_authenticate(ground, post(ground, like(object=ALICE), ground.carol))
    assert (authentication.auth_method, authentication.activity.object.uri) == ("origin", CAROL)


def test_proof_of_an_embedded_activity_is_ignored():
    """Announce a proven activity, as groups do (FEP-1b12): only the announcement is authenticated."""
    ground = Ground()
    embedded_like = ground.bob.prove(like())
    announce = ground.carol.activity("Announce", object=embedded_like)
    assert ground.post(post(ground, announce, ground.carol)).status == 202
    ground.work()
    assert ground.heard == [announce["id"]]


CONTEXT = "https://remote.example/context"


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"Like": "as:Delete"}, ("Like", CAROL, None)),
        ({"object": "as:target", "thing": "as:object"}, ("Like", CAROL, None)),
        ({"thing": {"@id": "as:object", "@type": "@id"}}, ("Like", CAROL, None)),
        ({"note": "as:summary"}, ("Like", CAROL, "a note")),
    ],
    ids=["another type", "another object", "one more object", "more meaning"],
)
def test_context_fetched_later_does_not_change_authorised_members(terms, expected):
    """Fetch a context that redefines terms: the type and the objects stay as they were checked."""
    ground = Ground(unknown_contexts="fetch")
    ground.bob.serve(CONTEXT, {"@context": terms})
    calls: list[Any] = []
    ground.listeners.append(
        lambda ctx, activity: calls.append(
            (
                activity.document.types[0],
                *[reference.uri for reference in activity.objects],
                activity.summary,
            )
        )
    )
    members = like(object=CAROL, thing=BOB, note="a note") | {"@context": [AS2, CONTEXT]}
    assert ground.post(post(ground, members, ground.bob)).status == 202
    assert CONTEXT not in fetched_urls(ground), "the context was fetched before authentication"
    ground.work()
    assert CONTEXT in fetched_urls(ground)
    assert calls == [expected]


def test_malformed_context_fetched_later_does_not_stop_the_listeners():
    ground = Ground(unknown_contexts="fetch")
    ground.bob.serve(CONTEXT, {"@context": {"@vocab": 5}})
    assert ground.post(post(ground, like() | {"@context": [AS2, CONTEXT]}, ground.bob)).status == 202
    ground.work()
    assert ground.heard == [LIKE]


def test_listener_gets_the_auth_method_and_the_relay():
    ground = Ground()
    calls: list[tuple[str | None, str | None]] = []
    ground.listeners.append(lambda ctx, _activity: calls.append((ctx.auth_method, ctx.relayed_by)))
    for number, (prove, signer) in enumerate([(Peer.prove, None), (Peer.ld_sign, ground.carol), (None, ground.bob)]):
        members = like(id=f"{BOB}/{number}")
        request = post(ground, members if prove is None else prove(ground.bob, members), signer)
        assert ground.post(request).status == 202
    ground.work()
    assert calls == [("proof", None), ("ld-signature", CAROL), ("http-signature", None)]


# --- age of activities ----------------------------------------------------------------------------------------------


def signed_at(ground: Ground, method: str, moment: datetime) -> dict[str, Any]:
    if method == "proof":
        return proofs.create(like(), ground.bob.proof_key, now=moment)
    return ld_signature.create(like(**{"@context": [AS2, SECURITY]}), ground.bob.key, now=moment)


@pytest.mark.parametrize("method", ["proof", "ld-signature"])
def test_old_activity_is_accepted_only_in_a_fresh_request_of_its_actor(method):
    ground = Ground()
    old_date = NOON - timedelta(seconds=DONE_KEPT_S)
    young_date = old_date + timedelta(seconds=ground.node.site().signatures.clock_skew_s)
    assert run_authenticate(ground, post(ground, signed_at(ground, method, young_date))).auth_method == method
    members = signed_at(ground, method, old_date)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    outcome = refusal(ground, post(ground, members))
    assert outcome == ((401, "signature-too-old") if method == "proof" else (401, "signature-missing"))
    authentication = run_authenticate(ground, post(ground, members, ground.bob))
    assert authentication.auth_method == "http-signature"
    assert authentication.signed == NOON


@pytest.mark.parametrize("method", ["proof", "ld-signature"])
def test_repeated_activity_is_never_processed_again(method):
    """Repeat a proven activity for 40 days: either its id is remembered, or it is too old."""
    ground = Ground()
    # As far in the future as is tolerated.
    ahead = NOON + timedelta(seconds=ground.node.site().signatures.clock_skew_s)
    request = post(ground, signed_at(ground, method, ahead))
    assert ground.post(request).status == 202
    ground.work()
    for _ in range(40):
        ground.clock.pass_s(86_399.0)
        assert ground.post(request).status in {202, 401}
        ground.work()
    assert ground.heard == [LIKE]


@pytest.mark.parametrize(("ahead_s", "status"), [(3600, 202), (3601, 401), (86_400 * 365, 401)])
def test_activity_dated_in_the_future_by_its_origin_is_refused(ahead_s, status):
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
    "not found": (None, 404, False),
    "still a note": ({"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB}, 200, False),
    "another's tombstone": ({"@context": AS2, "id": f"{NOTE}0", "type": "Tombstone"}, 200, False),
    "failing": (None, 500, False),
    "forbidden": (None, 403, False),
}


@pytest.mark.parametrize(("document", "status", "is_confirmed"), DELETED.values(), ids=DELETED)
def test_forwarded_delete_is_accepted_only_if_the_object_is_gone(document, status, is_confirmed):
    ground = Ground()
    ground.bob.serve(NOTE, document, status=status)
    answer = ground.post(post(ground, delete(to=[ALICE]), ground.carol))
    ground.work()
    if not is_confirmed:
        assert answer.status == (503 if status == 500 else 401)
        assert ground.heard == []
        return
    assert answer.status == 202
    # Neither its id nor its recipients are taken over: they were not proven.
    assert ground.heard == [f"{NOTE}#delete"]
    authentication = run_authenticate(ground, post(ground, delete(to=[ALICE]), ground.carol))
    assert (authentication.auth_method, authentication.relayed_by, authentication.activity.to) == ("origin", CAROL, ())


def test_forwarded_delete_bypasses_the_cached_object():
    ground = Ground()
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    _ = ground.node.reference(NOTE).resolve()
    ground.bob.serve(NOTE, None, status=410)
    assert ground.post(post(ground, delete(), ground.carol)).status == 202


def test_forwarded_delete_does_not_mark_its_id_as_processed():
    ground = Ground()
    ground.bob.serve(NOTE, None, status=410)
    forged_delete = delete() | {"id": LIKE}
    assert ground.post(post(ground, forged_delete, ground.carol)).status == 202
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.work()
    assert sorted(map(str, ground.heard)) == sorted([f"{NOTE}#delete", LIKE])


@pytest.mark.parametrize("object_", [CAROL, ALICE, None, {"type": "Note"}])
def test_forwarded_delete_of_anothers_object_causes_no_fetch(object_):
    ground = Ground()
    assert ground.post(post(ground, delete(object_), ground.carol)).status in {400, 401, 403}
    assert [url for url in fetched_urls(ground) if url != CAROL] == []


# --- deleted and changed actors -------------------------------------------------------------------------------------


def build_actor_delete(ground: Ground, signer: Peer | None = None, **members: Any) -> Request:
    return post(ground, like(type="Delete", object=BOB, id=f"{BOB}#delete") | members, signer or ground.bob)


def ground_that_knows_bob() -> Ground:
    """Build a ground that heard of Bob two days ago, so that his cached key has expired."""
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.work()
    ground.clock.pass_s(2 * 86_400)
    ground.heard.clear()
    ground.asked.clear()
    ground.network.exchanges.clear()
    return ground


@pytest.mark.parametrize("kind", ["Delete", "Update"])
@pytest.mark.parametrize("method", ["Bob's", "a relay's", "proof", "ld-signature", "a neighbour's"])
def test_delete_or_update_of_an_unknown_actor_costs_nothing(kind, method):
    ground = Ground()
    members = like(type=kind, object=BOB, id=f"{BOB}#{kind}")
    signer = {"Bob's": ground.bob, "a relay's": ground.carol, "a neighbour's": ground.network.peer(f"{BOB}2")}.get(
        method
    )
    if method == "proof":
        members = ground.bob.prove(members)
    if method == "ld-signature":
        members = ground.bob.ld_sign(members)
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(post(ground, members, signer)).status == 202
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)
    assert ground.kinds() == set()


def test_unsigned_delete_of_an_actor_is_refused():
    ground = ground_that_knows_bob()
    ground.bob.serve(BOB, None, status=410)
    body = json.dumps(like(type="Delete", object=BOB, id=f"{BOB}#delete")).encode()
    for ground_ in (ground, Ground()):
        answer = ground_.post(Request("POST", INBOX, Headers({"content-type": AP}), body))
        assert (answer.status, reason_of(answer)) == (401, "signature-missing")
    assert fetched_urls(ground) == []


def test_delete_of_a_known_actor_is_accepted_by_the_cached_key():
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.bob.serve(BOB, None, status=410)
    ground.asked.clear()
    assert ground.post(build_actor_delete(ground)).status == 202
    assert fetched_urls(ground) == []
    ground.work()
    assert ground.heard == [LIKE, f"{BOB}#delete"]


@pytest.mark.parametrize("kind", ["Delete", "Update", "Like"])
def test_proof_by_a_deleted_actor_falls_back_to_its_request_for_its_delete_only(kind):
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.bob.serve(BOB, None, status=410)
    members = ground.bob.prove(like(type=kind, object=BOB, id=f"{BOB}#last"))
    answer = ground.post(post(ground, members, ground.bob))
    ground.work()
    assert answer.status == (202 if kind == "Delete" else 401)
    assert ground.heard == [LIKE, f"{BOB}#last"][: 2 if kind == "Delete" else 1]


def test_proved_delete_of_a_deleted_actor_is_refused_without_its_own_signature():
    """Deliver it by another server, while the actor's own server still answers: nothing proves that it is gone."""
    ground = Ground()
    assert ground.post(post(ground, like(), ground.bob)).status == 202
    ground.bob.serve(f"{BOB}-other", None, status=410)
    members = ground.bob.prove(like(type="Delete", object=BOB, id=f"{BOB}#last"))
    members["proof"] = members["proof"] | {"verificationMethod": f"{BOB}-other#key"}
    assert ground.post(post(ground, members, ground.carol)).status == 401
    ground.work()
    assert ground.heard == [LIKE]


GONE = {
    "gone": (410, 202, [f"{BOB}#delete"]),
    "not found": (404, 401, []),
    "unauthorised": (401, 401, []),
    "failing": (503, 503, []),
}


@pytest.mark.parametrize(("served", "status", "heard"), GONE.values(), ids=GONE)
def test_delete_of_a_known_actor_is_accepted_if_the_server_answers_gone(served, status, heard):
    ground = ground_that_knows_bob()
    ground.bob.serve(BOB, None, status=served)
    request = build_actor_delete(ground)
    assert [ground.post(request).status, ground.post(request).status] == [status] * 2
    ground.work()
    assert ground.heard == heard


@pytest.mark.parametrize("follows", ["Bob", "Alice"])
@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_followers_and_followed_actors_stay_known(follows, kind):
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
        request = build_actor_delete(ground)
        ground.bob.serve(BOB, None, status=410)
    else:
        request = post(ground, like(type="Update", object=BOB, id=f"{BOB}#Update"), ground.bob)
    assert ground.post(request).status == 202
    ground.work()
    assert ground.heard == [f"{BOB}#{kind.lower() if kind == 'Delete' else kind}"]


def test_deleted_neighbours_key_does_not_delete_an_actor():
    """Sign Bob's Delete by a deleted neighbour while Bob's account exists."""
    ground = ground_that_knows_bob()
    neighbour = ground.network.peer(f"{BOB}2")
    request = build_actor_delete(ground, neighbour)
    ground.bob.serve(f"{BOB}2", None, status=410)
    assert ground.post(request).status == 401
    ground.work()
    assert ground.heard == []


@pytest.mark.parametrize(("served", "status"), [(410, 202), (200, 401), (404, 401)])
def test_instance_actor_may_sign_the_delete_of_an_actor_that_is_gone(served, status):
    ground = ground_that_knows_bob()
    instance = ground.network.peer(INSTANCE)
    if served != 200:
        ground.bob.serve(BOB, None, status=served)
    assert ground.post(build_actor_delete(ground, instance)).status == status
    ground.work()
    assert ground.heard == ([f"{BOB}#delete"] if status == 202 else [])


def test_actor_delete_by_another_origin_is_refused_without_a_fetch_of_the_actor():
    ground = ground_that_knows_bob()
    ground.bob.serve(BOB, None, status=410)
    assert ground.post(build_actor_delete(ground, ground.carol)).status == 401
    assert fetched_urls(ground) == [CAROL]


def test_update_of_a_known_actor_is_accepted():
    ground = ground_that_knows_bob()
    assert ground.post(post(ground, like(type="Update", object=BOB, id=f"{BOB}#u"), ground.bob)).status == 202
    ground.work()
    assert ground.heard == [f"{BOB}#u"]


# --- bounded cost ------------------------------------------------------------------------------------------------


def padded_body(members: dict[str, Any], length: int) -> bytes:
    """Return the bytes of an activity, padded with blanks. Blanks are not part of the signed content."""
    body = json.dumps(members).encode()
    return body + b" " * (length - len(body))


@pytest.mark.parametrize("excess", [0, 1])
def test_large_graph_is_not_canonicalised_for_an_unauthenticated_client(excess):
    ground = Ground()
    length = GRAPH_BYTES_MAX + excess
    signed_body = padded_body(ground.bob.ld_sign(like()), length)
    if excess:
        assert refusal(ground, post(ground, signed_body)) == (401, "signature-missing")
    else:
        assert run_authenticate(ground, post(ground, signed_body)).auth_method == "ld-signature"
    assert run_authenticate(ground, post(ground, signed_body, ground.carol)).auth_method == "ld-signature"
    graph_proved = ground.bob.prove(like())
    graph_proved["proof"]["cryptosuite"] = "eddsa-rdfc-2022"
    for members in (graph_proved, graph_proved | {"proof": [graph_proved["proof"]]}):
        outcome = refusal(ground, post(ground, padded_body(members, length), ground.bob))
        assert outcome == ((413, "limit") if excess else (401, "bad-signature"))
    # The JCS suite costs no more than parsing.
    assert run_authenticate(ground, post(ground, padded_body(ground.bob.prove(like()), length))).auth_method == "proof"


def test_fetch_from_the_origin_is_paid_by_the_budget_of_the_relay():
    """Relay five unproven activities: the fetches from their origin have a budget, as fetches of keys have."""
    ground = Ground()
    small_budgets = FetchPolicy(budgets=Budgets(host=Rate(3, 0.001)))
    outcomes: list[int] = []
    for number in range(5):
        site = evolve(
            ground.node.site(), fetching=small_budgets, unauthenticated_client=UnauthenticatedClient("198.51.100.1")
        )
        request = post(ground, like(id=f"{BOB}/likes/{number}"), ground.carol)
        answer = ground.node.run(receive(site, request, recipient="alice"))
        outcomes.append(answer.status)
    assert outcomes == [401, 401, 401, 503, 503]
    assert reason_of(answer) == "budget-spent"
    assert fetched_urls(ground) == [CAROL, *(f"{BOB}/likes/{number}" for number in range(3))]


# --- outages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Bob's", "proof", "ld-signature", "a relay's"])
def test_activity_is_neither_accepted_nor_refused_while_its_server_is_down(method):
    ground = Ground()
    members = {"proof": ground.bob.prove, "ld-signature": ground.bob.ld_sign}.get(method, dict[str, Any])(like())
    request = post(ground, members, {"Bob's": ground.bob, "a relay's": ground.carol}.get(method))
    ground.network.down.add("https://remote.example")
    answer = ground.post(request)
    assert answer.status == 503
    assert reason_of(answer) in {"key-unavailable", "origin-unavailable"}, "the reason discloses details of our network"
    assert int(answer.headers.get("retry-after") or 0) > 0
    assert ground.kinds() <= OWN | CACHED
    ground.network.down.clear()
    ground.clock.pass_s(700)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    assert ground.post(request).status == 202
    assert isinstance(answer, Response)
