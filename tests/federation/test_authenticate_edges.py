"""Check the edges of authentication that mutation testing has found untested."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from apcore.effects import Fetch
from apcore.errors import ApcoreError
from apcore.federation.inbox.authenticate import authenticate
from apcore.federation.inbox.document_proofs import GRAPH_BYTES_MAX, keys_named
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.inbox.records import DONE_KEPT_S
from apcore.http import Headers, Request, Response
from apcore.signatures import proofs
from apcore.testing.peer import Peer
from inbox_fixture import ALICE, BOB, CAROL, INBOX, NOON, Ground

AS2 = "https://www.w3.org/ns/activitystreams"
LIKE = f"{BOB}/likes/1"
NEIGHBOUR = f"{BOB}2"
DAY_S = 86400.0


def like(**members: Any) -> dict[str, Any]:
    return {"@context": AS2, "id": LIKE, "type": "Like", "actor": BOB, "object": ALICE} | members


def post(members: dict[str, Any], by: Peer | None = None) -> Request:
    headers = Headers({"content-type": "application/activity+json"})
    request = Request("POST", INBOX, headers, json.dumps(members).encode())
    return request if by is None else by.sign(request)


def run_authenticate(ground: Ground, request: Request, **policy: Any) -> Authenticated:
    site = ground.node.site()
    site = evolve(site, signatures=site.signatures.with_(**policy))
    return ground.node.run(authenticate(site, request, read_incoming(site, request.body)))


def get_refusal(ground: Ground, request: Request, **policy: Any) -> ApcoreError:
    with pytest.raises(ApcoreError) as caught:
        run_authenticate(ground, request, **policy)
    return caught.value


def fetched_urls(ground: Ground) -> list[str]:
    return [effect.request.url for effect in ground.asked if isinstance(effect, Fetch)]


# --- another actor of the same origin -------------------------------------------------------------------------------


def test_ld_signature_of_another_actor_of_the_origin_is_refused():
    ground = Ground()
    neighbour = ground.network.peer(NEIGHBOUR)
    for signer in (None, neighbour):
        error = get_refusal(ground, post(neighbour.ld_sign(like()), signer))
        assert error.status_hint == 401
    assert "not-the-actor" in [note.partition(":")[0] for note in error.__notes__] + [error.reason]


def test_context_that_redefines_actor_does_not_change_the_proven_actor():
    """Append a context that makes the neighbour the actor: the proof binds only the first contexts."""
    ground = Ground()
    neighbour = ground.network.peer(NEIGHBOUR)
    members = neighbour.prove(like(x=NEIGHBOUR))
    swapped_terms = {"actor": {"@id": "as:target", "@type": "@id"}, "x": {"@id": "as:actor", "@type": "@id"}}
    context = members["@context"]
    members["@context"] = [*(context if isinstance(context, list) else [context]), swapped_terms]
    request = post(members)
    assert read_incoming(ground.node.site(), request.body).actor == NEIGHBOUR
    assert get_refusal(ground, request).reason == "proof-refused"


# --- only proven content ----------------------------------------------------------------------------------------------


def test_old_proof_in_a_fresh_request_still_fixes_the_content():
    ground = Ground()
    members = ground.bob.prove(like())
    ground.clock.pass_s(DONE_KEPT_S + DAY_S)
    members["@context"] = [*members["@context"], {"Like": "as:Delete"}]
    authentication = run_authenticate(ground, post(members, ground.bob))
    assert (authentication.auth_method, authentication.document.types) == ("http-signature", ("Like",))
    assert b"as:Delete" not in authentication.body
    assert get_refusal(ground, post(members)).reason == "signature-too-old"


def test_proofs_over_different_contexts_are_refused():
    ground = Ground()
    first = ground.bob.prove(like())
    unproven = {name: value for name, value in first.items() if name != "proof"}
    unproven["@context"] = [*unproven["@context"], {"extra": "as:extra"}]
    second = ground.bob.prove(unproven)
    assert (
        run_authenticate(ground, post({**second, "proof": [second["proof"], second["proof"]]})).auth_method == "proof"
    )
    assert run_authenticate(ground, post({**second, "proof": first["proof"]})).auth_method == "proof"
    assert get_refusal(ground, post({**second, "proof": [first["proof"], second["proof"]]})).reason == "proof-refused"


def test_oldest_of_several_proofs_dates_the_activity():
    ground = Ground()
    members = ground.bob.prove(like())
    ground.clock.pass_s(20 * DAY_S)
    twice_proven = ground.bob.prove(members)
    authentication = run_authenticate(ground, post(twice_proven))
    assert (authentication.auth_method, authentication.signed) == ("proof", NOON)
    ground.clock.pass_s(15 * DAY_S)
    assert get_refusal(ground, post(twice_proven)).reason == "signature-too-old"


def test_each_auth_method_reports_its_key_and_time():
    ground = Ground()
    by_request = run_authenticate(ground, post(like(), ground.bob))
    assert (by_request.key_id, by_request.signed) == (ground.bob.key_id, NOON)
    by_proof = run_authenticate(ground, post(ground.bob.prove(like())))
    assert (by_proof.key_id, by_proof.signed) == (ground.bob.proof_key_id, NOON)
    by_ld = run_authenticate(ground, post(ground.bob.ld_sign(like())))
    assert (by_ld.key_id, by_ld.signed) == (ground.bob.key_id, NOON)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    by_origin = run_authenticate(ground, post(like(), ground.carol))
    assert (by_origin.key_id, by_origin.signed, by_origin.signature) == (None, None, None)


# --- unavailable evidence does not prevent the next rule ------------------------------------------------------------


def test_relay_without_an_available_key_may_bring_an_ld_signature():
    ground = Ground()
    ground.network.down.add("https://third.example")
    assert run_authenticate(ground, post(ground.bob.ld_sign(like()), ground.carol)).auth_method == "ld-signature"


def test_ld_signature_with_an_unavailable_key_is_retryable():
    ground = Ground()
    request = post(ground.bob.ld_sign(like()), ground.carol)
    ground.network.down.add("https://remote.example")
    error = get_refusal(ground, request)
    assert (error.status_hint, error.reason) == (503, "key-unavailable")
    assert [note.partition(":")[0] for note in error.__notes__] == ["not-the-actor", "origin-unavailable"]


def test_ld_signature_of_another_type_is_not_verified():
    ground = Ground()
    members = ground.bob.ld_sign(like())
    members["signature"] |= {"type": "RsaSignature2016"}
    error = get_refusal(ground, post(members, ground.carol))
    assert error.reason == "not-the-actor"
    assert [note.partition(":")[0] for note in error.__notes__] == ["document-not-found"]


# --- answers of the origin -------------------------------------------------------------------------------------------

NOTE = f"{BOB}/notes/1"


def forwarded_delete(ground: Ground) -> Request:
    return post(like(id=f"{BOB}/deletes/9", type="Delete", object={"id": NOTE, "type": "Tombstone"}), ground.carol)


@pytest.mark.parametrize("state", ["gone", "a tombstone"])
def test_delete_confirmed_by_the_origin_contains_only_the_object(state):
    ground = Ground()
    tombstone = {"@context": AS2, "id": NOTE, "type": "Tombstone"}
    ground.bob.serve(NOTE, None if state == "gone" else tombstone, status=410 if state == "gone" else 200)
    authentication = run_authenticate(ground, forwarded_delete(ground))
    assert (authentication.auth_method, authentication.relayed_by) == ("origin", CAROL)
    expected_body = {"@context": AS2, "id": f"{NOTE}#delete", "type": "Delete", "actor": BOB, "object": NOTE}
    assert json.loads(authentication.body) == expected_body
    [request] = [effect.request for effect in ground.asked if isinstance(effect, Fetch) and effect.request.url == NOTE]
    assert "signature" in request.headers


@pytest.mark.parametrize("answer", ["a note", "another's tombstone", "nothing"])
def test_delete_not_confirmed_by_the_origin_is_refused(answer):
    ground = Ground()
    other = {"@context": AS2, "id": f"{NOTE}0", "type": "Tombstone"}
    if answer == "a note":
        ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    elif answer == "another's tombstone":
        ground.bob.serve(NOTE, other)
        ground.bob.serve(f"{NOTE}0", other)
    assert get_refusal(ground, forwarded_delete(ground)).status_hint == 401


def test_activity_of_a_forbidden_origin_is_refused_for_good():
    ground = Ground()
    private_like = like(id="https://10.0.0.1/1", actor="https://10.0.0.1/users/x")
    error = get_refusal(ground, post(private_like, ground.carol))
    assert (error.status_hint, error.reason) == (401, "not-the-actor")
    assert [note.partition(":")[0] for note in error.__notes__] == ["forbidden"]


def test_fetch_from_the_origin_has_a_time_limit():
    """Answer the first of two fetches late: the second is not made."""
    ground = Ground()
    ground.bob.serve(LIKE, like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    ground.bob.serve(f"{LIKE}0", like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    request = post(like(), ground.carol)
    assert get_refusal(ground, request).status_hint == 401
    assert f"{LIKE}0" in fetched_urls(ground)

    slow = Ground()
    slow.bob.serve(LIKE, like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    send = slow.network.send

    def late(outgoing: Request) -> Response:
        slow.clock.pass_s(slow.node.site().fetching.key_s_max if outgoing.url == LIKE else 0)
        return send(outgoing)

    slow.network.send = late
    assert get_refusal(slow, request).status_hint == 503
    assert f"{LIKE}0" not in fetched_urls(slow)


# --- no needless fetches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("creator", [f"{CAROL}#main-key", None, 5, "", "x"])
def test_ld_signature_by_another_origin_causes_no_fetch(creator):
    ground = Ground()
    members = ground.carol.ld_sign(like())
    members["signature"] |= {"creator": creator}
    assert get_refusal(ground, post(members)).status_hint in {400, 401}
    assert fetched_urls(ground) == []


@pytest.mark.parametrize("members", [{"type": "Delete", "object": f"{BOB}/notes/1"}, {"type": "Like"}])
def test_unsigned_activity_causes_no_fetch(members):
    ground = Ground()
    assert get_refusal(ground, post(like(**members))).reason == "signature-missing"
    assert fetched_urls(ground) == []


def test_delete_signed_by_a_deleted_stranger_does_not_fetch_the_actor():
    ground = Ground()
    actor_delete = like(id=f"{CAROL}#delete", type="Delete", actor=CAROL, object=CAROL)
    request = post(actor_delete, ground.bob)
    ground.bob.serve(BOB, None, status=410)
    ground.carol.serve(CAROL, None, status=410)
    assert get_refusal(ground, request).status_hint == 401
    assert CAROL not in fetched_urls(ground)


def test_actor_delete_with_a_foreign_ld_signature_is_accepted():
    """Sign Bob's Delete by Bob, with an LD signature of Carol inside: his account is gone, which confirms it."""
    ground = Ground()
    actor_delete = like(id=f"{BOB}#delete", type="Delete", object=BOB)
    request = post(ground.carol.ld_sign(actor_delete), ground.bob)
    ground.bob.serve(BOB, None, status=410)
    assert run_authenticate(ground, request).auth_method == "origin"


def test_one_graph_proof_of_a_large_document_is_refused():
    ground = Ground()
    members = ground.bob.prove(like(summary="x" * GRAPH_BYTES_MAX))
    proof_list = [members["proof"], members["proof"] | {"cryptosuite": "eddsa-rdfc-2022"}]
    assert run_authenticate(ground, post(members)).auth_method == "proof"
    assert get_refusal(ground, post(members | {"proof": proof_list})).reason == "limit"
    assert GRAPH_BYTES_MAX == 128 * 1024, "FEDERATION.md says so"


# --- policy ---------------------------------------------------------------------------------------------------------


def test_clock_skew_comes_from_the_policy_of_the_site():
    ground = Ground()
    ground.clock.pass_s(60)
    ahead = [post(ground.bob.prove(like())), post(ground.bob.ld_sign(like()))]
    ground.clock.pass_s(-60)
    for request in ahead:
        assert run_authenticate(ground, request).actor == BOB
        error = get_refusal(ground, request, clock_skew_s=0)
        assert "signature-from-future" in [
            error.reason,
            *(note.partition(":")[0] for note in getattr(error, "__notes__", ())),
        ]


# --- keys named in an unparsed activity -----------------------------------------------------------------------------


def test_keys_named_by_proofs_and_signatures_are_listed():
    proof, signature = {"verificationMethod": "p"}, {"creator": "c"}
    assert keys_named({"proof": proof, "signature": signature}) == ["p", "c"]
    assert keys_named({"proof": [proof, {"verificationMethod": 5}, "x", None]}) == ["p"]
    assert keys_named({"signature": {"creator": ["c"]}}) == []
    assert keys_named({}) == []
    assert len(keys_named({"proof": [proof] * 100})) == proofs.PROOFS_MAX
