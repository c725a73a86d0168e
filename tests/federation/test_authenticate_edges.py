"""Who stands behind an activity, at the edges that mutation testing found open."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from apcore.effects import Fetch
from apcore.errors import ApcoreError
from apcore.federation.inbox.authenticate import GRAPH_BYTES_MAX, Authenticated, authenticate, keys_named
from apcore.federation.inbox.parse import DONE_KEPT_S, read_incoming
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


def authenticated(ground: Ground, request: Request, **policy: Any) -> Authenticated:
    site = ground.node.site()
    site = evolve(site, signatures=site.signatures.with_(**policy))
    return ground.node.run(authenticate(site, request, read_incoming(site, request.body)))


def refused(ground: Ground, request: Request, **policy: Any) -> ApcoreError:
    with pytest.raises(ApcoreError) as caught:
        authenticated(ground, request, **policy)
    return caught.value


def fetched(ground: Ground) -> list[str]:
    return [effect.request.url for effect in ground.asked if isinstance(effect, Fetch)]


# --- a neighbour: of the same origin, and not the actor -------------------------------------------------------------


def test_a_neighbours_ld_signature_is_not_the_actors():
    ground = Ground()
    neighbour = ground.network.peer(NEIGHBOUR)
    for signer in (None, neighbour):
        error = refused(ground, post(neighbour.ld_sign(like()), signer))
        assert error.status_hint == 401
    assert "not-the-actor" in [note.partition(":")[0] for note in error.__notes__] + [error.reason]


def test_a_context_that_makes_another_the_actor_does_not_make_the_signer_him():
    """The proof binds the first contexts alone. With one more, the sender is whom the proof's key belongs to, and what was proved is Bob's."""
    ground = Ground()
    neighbour = ground.network.peer(NEIGHBOUR)
    members = neighbour.prove(like(x=NEIGHBOUR))
    turned = {"actor": {"@id": "as:target", "@type": "@id"}, "x": {"@id": "as:actor", "@type": "@id"}}
    context = members["@context"]
    members["@context"] = [*(context if isinstance(context, list) else [context]), turned]
    request = post(members)
    assert read_incoming(ground.node.site(), request.body).actor == NEIGHBOUR
    assert refused(ground, request).reason == "proof-refused"


# --- what was proved is what is taken -------------------------------------------------------------------------------


def test_an_old_proof_under_a_fresh_request_still_says_what_was_proved():
    ground = Ground()
    members = ground.bob.prove(like())
    ground.clock.pass_s(DONE_KEPT_S + DAY_S)
    members["@context"] = [*members["@context"], {"Like": "as:Delete"}]
    found = authenticated(ground, post(members, ground.bob))
    assert (found.auth_method, found.document.types) == ("http-signature", ("Like",))
    assert b"as:Delete" not in found.body
    assert refused(ground, post(members)).reason == "signature-too-old"


def test_proofs_of_different_documents_are_of_none():
    ground = Ground()
    one = ground.bob.prove(like())
    more = {name: value for name, value in one.items() if name != "proof"}
    more["@context"] = [*more["@context"], {"nobody": "as:nobody"}]
    two = ground.bob.prove(more)
    assert authenticated(ground, post({**two, "proof": [two["proof"], two["proof"]]})).auth_method == "proof"
    assert authenticated(ground, post({**two, "proof": one["proof"]})).auth_method == "proof"
    assert refused(ground, post({**two, "proof": [one["proof"], two["proof"]]})).reason == "proof-refused"


def test_of_several_proofs_the_oldest_says_how_old_it_is():
    ground = Ground()
    members = ground.bob.prove(like())
    ground.clock.pass_s(20 * DAY_S)
    both = ground.bob.prove(members)
    found = authenticated(ground, post(both))
    assert (found.auth_method, found.signed) == ("proof", NOON)
    ground.clock.pass_s(15 * DAY_S)
    assert refused(ground, post(both)).reason == "signature-too-old"


def test_each_way_names_its_key_and_its_time():
    ground = Ground()
    by_request = authenticated(ground, post(like(), ground.bob))
    assert (by_request.key_id, by_request.signed) == (ground.bob.key_id, NOON)
    by_proof = authenticated(ground, post(ground.bob.prove(like())))
    assert (by_proof.key_id, by_proof.signed) == (ground.bob.proof_key_id, NOON)
    by_ld = authenticated(ground, post(ground.bob.ld_sign(like())))
    assert (by_ld.key_id, by_ld.signed) == (ground.bob.key_id, NOON)
    ground.bob.serve(LIKE, like(published="2026-01-01T11:00:00Z"))
    by_origin = authenticated(ground, post(like(), ground.carol))
    assert (by_origin.key_id, by_origin.signed, by_origin.signature) == (None, None, None)


# --- one way that cannot be gone now does not close the next --------------------------------------------------------


def test_a_relay_whose_key_cannot_be_had_may_bring_an_ld_signature():
    ground = Ground()
    ground.network.down.add("https://third.example")
    assert authenticated(ground, post(ground.bob.ld_sign(like()), ground.carol)).auth_method == "ld-signature"


def test_an_ld_signature_whose_key_cannot_be_had_is_tried_again():
    ground = Ground()
    request = post(ground.bob.ld_sign(like()), ground.carol)
    ground.network.down.add("https://remote.example")
    error = refused(ground, request)
    assert (error.status_hint, error.reason) == (503, "key-unavailable")
    assert [note.partition(":")[0] for note in error.__notes__] == ["not-the-actor", "origin-unavailable"]


def test_a_signature_of_another_type_is_not_tried():
    ground = Ground()
    members = ground.bob.ld_sign(like())
    members["signature"] |= {"type": "RsaSignature2016"}
    error = refused(ground, post(members, ground.carol))
    assert error.reason == "not-the-actor"
    assert [note.partition(":")[0] for note in error.__notes__] == ["not-found"]


# --- what the origin says -------------------------------------------------------------------------------------------

NOTE = f"{BOB}/notes/1"


def gone(ground: Ground) -> Request:
    return post(like(id=f"{BOB}/deletes/9", type="Delete", object={"id": NOTE, "type": "Tombstone"}), ground.carol)


@pytest.mark.parametrize("how", ["gone", "a tombstone"])
def test_a_deletion_that_the_origin_confirms_is_that_deletion_and_nothing_else(how):
    ground = Ground()
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Tombstone"} if how != "gone" else None, status=200 if how != "gone" else 410)  # fmt: skip
    found = authenticated(ground, gone(ground))
    assert (found.auth_method, found.relayed_by) == ("origin", CAROL)
    told = {"@context": AS2, "id": f"{NOTE}#delete", "type": "Delete", "actor": BOB, "object": NOTE}
    assert json.loads(found.body) == told
    [asked] = [effect.request for effect in ground.asked if isinstance(effect, Fetch) and effect.request.url == NOTE]
    assert "signature" in asked.headers


@pytest.mark.parametrize("there", ["a note", "another's tombstone", "nothing"])
def test_a_deletion_that_the_origin_does_not_confirm(there):
    ground = Ground()
    other = {"@context": AS2, "id": f"{NOTE}0", "type": "Tombstone"}
    if there == "a note":
        ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    elif there == "another's tombstone":
        ground.bob.serve(NOTE, other)
        ground.bob.serve(f"{NOTE}0", other)
    assert refused(ground, gone(ground)).status_hint == 401


def test_an_origin_that_nobody_may_ask_is_no_reason_to_come_again():
    ground = Ground()
    inside = like(id="https://10.0.0.1/1", actor="https://10.0.0.1/users/x")
    error = refused(ground, post(inside, ground.carol))
    assert (error.status_hint, error.reason) == (401, "not-the-actor")
    assert [note.partition(":")[0] for note in error.__notes__] == ["forbidden"]


def test_an_origin_is_asked_for_so_long_and_no_longer():
    """Its answer leads to another address; by then, the time that a stranger may take of ours is over."""
    ground = Ground()
    ground.bob.serve(LIKE, like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    ground.bob.serve(f"{LIKE}0", like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    request = post(like(), ground.carol)
    assert refused(ground, request).status_hint == 401
    assert f"{LIKE}0" in fetched(ground)

    slow = Ground()
    slow.bob.serve(LIKE, like(id=f"{LIKE}0", published="2026-01-01T11:00:00Z"))
    send = slow.network.send

    def late(asked: Request) -> Response:
        slow.clock.pass_s(slow.node.site().fetching.key_s_max if asked.url == LIKE else 0)
        return send(asked)

    slow.network.send = late
    assert refused(slow, request).status_hint == 503
    assert f"{LIKE}0" not in fetched(slow)


# --- nobody is asked for nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("creator", [f"{CAROL}#main-key", None, 5, "", "x"])
def test_of_an_ld_signature_by_another_origin_no_key_is_asked_for(creator):
    ground = Ground()
    members = ground.carol.ld_sign(like())
    members["signature"] |= {"creator": creator}
    assert refused(ground, post(members)).status_hint in {400, 401}
    assert fetched(ground) == []


@pytest.mark.parametrize("members", [{"type": "Delete", "object": f"{BOB}/notes/1"}, {"type": "Like"}])
def test_nobody_in_particular_makes_us_ask(members):
    ground = Ground()
    assert refused(ground, post(like(**members))).reason == "signature-missing"
    assert fetched(ground) == []


def test_a_strangers_key_that_is_gone_is_no_reason_to_ask_for_somebody_else():
    ground = Ground()
    farewell = like(id=f"{CAROL}#delete", type="Delete", actor=CAROL, object=CAROL)
    request = post(farewell, ground.bob)
    ground.bob.serve(BOB, None, status=410)
    ground.carol.serve(CAROL, None, status=410)
    assert refused(ground, request).status_hint == 401
    assert CAROL not in fetched(ground)


def test_a_farewell_is_understood_whatever_else_it_carries():
    """His key is gone with him; that somebody has put an LD signature beside it changes nothing about that."""
    ground = Ground()
    farewell = like(id=f"{BOB}#delete", type="Delete", object=BOB)
    request = post(ground.carol.ld_sign(farewell), ground.bob)
    ground.bob.serve(BOB, None, status=410)
    assert authenticated(ground, request).auth_method == "origin"


def test_one_graph_among_the_proofs_of_a_large_document_is_too_many():
    ground = Ground()
    members = ground.bob.prove(like(summary="x" * GRAPH_BYTES_MAX))
    both = [members["proof"], members["proof"] | {"cryptosuite": "eddsa-rdfc-2022"}]
    assert authenticated(ground, post(members)).auth_method == "proof"
    assert refused(ground, post(members | {"proof": both})).reason == "limit"
    assert GRAPH_BYTES_MAX == 128 * 1024, "FEDERATION.md says so"


# --- the policy is the site's ---------------------------------------------------------------------------------------


def test_clocks_are_held_against_the_sites_policy():
    ground = Ground()
    ground.clock.pass_s(60)
    ahead = [post(ground.bob.prove(like())), post(ground.bob.ld_sign(like()))]
    ground.clock.pass_s(-60)
    for request in ahead:
        assert authenticated(ground, request).actor == BOB
        error = refused(ground, request, clock_skew_s=0)
        assert "signature-from-future" in [
            error.reason,
            *(note.partition(":")[0] for note in getattr(error, "__notes__", ())),
        ]


# --- keys that are named, for what is counted before anything is read -----------------------------------------------


def test_the_keys_that_are_named():
    proof, signature = {"verificationMethod": "p"}, {"creator": "c"}
    assert keys_named({"proof": proof, "signature": signature}) == ["p", "c"]
    assert keys_named({"proof": [proof, {"verificationMethod": 5}, "x", None]}) == ["p"]
    assert keys_named({"signature": {"creator": ["c"]}}) == []
    assert keys_named({}) == []
    assert len(keys_named({"proof": [proof] * 100})) == proofs.PROOFS_MAX
