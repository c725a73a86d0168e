"""Proofs and LD signatures at the edges that mutation testing found open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from apcore.errors import LimitExceeded
from apcore.http.messages import Request
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextNeeded, canonicalize
from apcore.signatures import is_signed, ld_signature, multibase, parse, proofs, rfc9421
from apcore.signatures._parts import KEY_ID_CHARS_MAX
from apcore.signatures.documents import check_document, check_text, read_name, read_time, write_time
from apcore.signatures.errors import GraphRestructured, ProofMalformed, ProofRefused, SignatureMissing
from apcore.signatures.graphs import signed_graph

AS = "https://www.w3.org/ns/activitystreams"
ALICE = "https://remote.example/users/alice"
UNKNOWN = "https://unknown.example/ns"
CONTEXTS = BUNDLED.ignoring(UNKNOWN)
NOTE = {
    "@context": [AS, "https://w3id.org/security/v1", "https://w3id.org/security/data-integrity/v2", UNKNOWN],
    "id": "https://remote.example/notes/1",
    "type": "Note",
    "attributedTo": ALICE,
    "content": "hi",
}
LIKE = {"id": "https://remote.example/1", "type": "Like", "actor": ALICE, "object": ALICE}


# --- names and times ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "good"),
    [("", False), ("a", True), ("a" * KEY_ID_CHARS_MAX, True), ("a" * (KEY_ID_CHARS_MAX + 1), False), ("a\n", False), (5, False), (None, False)],
    ids=["empty", "one", "longest", "too long", "control", "number", "none"],
)  # fmt: skip
def test_names_of_keys(name, good):
    if good:
        assert read_name({"creator": name}, "creator") == name
    else:
        with pytest.raises(ProofMalformed):
            read_name({"creator": name}, "creator")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T08:00:00Z",
        "2026-11-22T08:00:00.123456789Z",
        "2026-11-22T10:00:00+02:00",
        "2026-11-22T03:30:00-04:30",
    ],
)
def test_times_with_any_zone(text):
    assert read_time({"created": text}, "created") == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert read_time({}, "created") is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T08:00:00", "2026-11-22T08:00:00Zx", "2026-11-22T08:00:00+02:00x", "x2026-11-22T08:00:00Z", "2026-11-22", "2026-11-22 08:00:00Z",
        "2026-11-22T08:00:00.Z", "2026-11-22T08:00Z", "2026-13-22T08:00:00Z", "2026-11-22T08:00:00+2:00", "0001-01-01T00:00:00+23:59", "", 5, [],
        "\uff1226-11-22T08:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time(text):
    with pytest.raises(ProofMalformed):
        read_time({"created": text}, "created")


def test_a_time_is_written_in_utc():
    moment = datetime(2026, 11, 22, 10, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert write_time(moment) == "2026-11-22T08:00:00Z"


def test_documents_that_nobody_could_have_sent():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for document in ({"a": deep}, {"a": {1, 2}}, {"a": "\ud800"}, {("a",): 1}):
        with pytest.raises(ProofMalformed, match="cannot be written as JSON"):
            check_text(document)
    check_text({"a": ["\U0001f600"]})


# --- proofs ---------------------------------------------------------------------------------------------------------


def test_as_many_proofs_as_are_read(ed_key, now):
    proof = proofs.create(LIKE, ed_key, now=now)["proof"]
    assert len(proofs.parse({**LIKE, "proof": [proof] * proofs.PROOFS_MAX}, now=now)) == proofs.PROOFS_MAX
    with pytest.raises(ProofMalformed, match="9 proofs"):
        proofs.parse({**LIKE, "proof": [proof] * (proofs.PROOFS_MAX + 1)}, now=now)
    others = [{"type": "Another"}] * (proofs.PROOFS_MAX + 1)
    with pytest.raises(ProofMalformed):
        proofs.parse({**LIKE, "proof": others}, now=now)


@pytest.mark.parametrize("change", [{"type": "Ed25519Signature2020"}, {"type": None}, {"cryptosuite": "eddsa-2022"}, {"cryptosuite": None}])  # fmt: skip
def test_a_proof_of_another_kind_is_passed_over(ed_key, now, change):
    signed = proofs.create(LIKE, ed_key, now=now)
    other = {**signed["proof"], **change}
    with pytest.raises(SignatureMissing):
        proofs.parse({**LIKE, "proof": other}, now=now)
    assert len(proofs.parse({**LIKE, "proof": [other, signed["proof"]]}, now=now)) == 1


def test_a_proof_that_binds_no_context_hands_none_on(ed_key, now):
    signed = proofs.create({"@context": None, **LIKE}, ed_key, now=now)
    [presented] = proofs.parse({**signed, "@context": AS}, now=now)
    assert check_document(presented, ed_key.public).document["@context"] is None


@pytest.mark.parametrize("suite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
def test_a_refusal_tells_whose_proof_it_was(ed_key, now, suite):
    proof = {**proofs.create(LIKE, ed_key, now=now)["proof"], "cryptosuite": suite, "previousProof": "x"}
    with pytest.raises(ProofRefused) as caught:
        proofs.parse({**LIKE, "proof": proof}, now=now + timedelta(seconds=5))
    told = caught.value.explanation
    assert (told.scheme, told.key_id, told.algorithm, told.clock_offset_s) == (suite, ed_key.key_id, "ed25519", -5)
    with pytest.raises(ProofMalformed) as caught:
        proofs.parse(
            {**LIKE, "proof": {**proof, "previousProof": None, "created": "x"} | {"verificationMethod": 5}}, now=now
        )
    assert (caught.value.explanation.scheme, caught.value.explanation.key_id) == (suite, None)


def test_statements_are_read_with_the_contexts_that_are_given(ed_key, now):
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-rdfc-2022",
        "verificationMethod": ed_key.key_id,
        "proofPurpose": "assertionMethod",
        "created": "2026-11-22T08:00:00Z",
    }
    texts = [canonicalize(part, contexts=CONTEXTS) for part in ({**options, "@context": NOTE["@context"]}, NOTE)]
    data = b"".join(sha256(text.encode()).digest() for text in texts)
    signed = {**NOTE, "proof": {**options, "proofValue": multibase.encode(ed_key.sign(data))}}
    [presented] = proofs.parse(signed, now=now, contexts=CONTEXTS)
    assert check_document(presented, ed_key.public).document["content"] == "hi"
    with pytest.raises(ContextNeeded):
        proofs.parse(signed, now=now)


# --- LD signatures --------------------------------------------------------------------------------------------------


def test_ld_signatures_are_made_and_read_with_the_contexts_that_are_given(rsa_key, now):
    signed = ld_signature.create(NOTE, rsa_key, now=now, contexts=CONTEXTS)
    presented = ld_signature.parse(signed, now=now, contexts=CONTEXTS)
    assert check_document(presented, rsa_key.public).document["content"] == "hi"
    for wrong in (lambda: ld_signature.create(NOTE, rsa_key, now=now), lambda: ld_signature.parse(signed, now=now)):
        with pytest.raises(ContextNeeded):
            wrong()


@pytest.mark.parametrize("value", ["aGk=x", "a!Gk=", "=aGk=", "aGk==", "aG=k", "é", "", "  ", None, 5])
def test_a_value_that_is_no_base64(rsa_key, now, value):
    signed = ld_signature.create(LIKE | {"@context": AS}, rsa_key, now=now)
    with pytest.raises(ProofMalformed) as caught:
        ld_signature.parse({**signed, "signature": {**signed["signature"], "signatureValue": value}}, now=now)
    told = caught.value.explanation
    assert (told.scheme, told.key_id, told.algorithm) == ("RsaSignature2017", rsa_key.key_id, "rsa-v1_5-sha256")


def test_white_space_in_a_value_is_no_matter(rsa_key, now):
    signed = ld_signature.create(LIKE | {"@context": AS}, rsa_key, now=now)
    value = signed["signature"]["signatureValue"]
    folded = {**signed["signature"], "signatureValue": f" {value[:60]}\n{value[60:]} \t"}
    assert check_document(ld_signature.parse({**signed, "signature": folded}, now=now), rsa_key.public)


# --- graphs ---------------------------------------------------------------------------------------------------------


def test_a_graph_costs_no_more_than_is_allowed():
    small = DEFAULT_LIMITS.__class__(nodes_max=3)
    many = {
        "@context": AS,
        "id": ALICE,
        "type": "Note",
        "tag": [{"type": "Mention", "href": f"{ALICE}/{n}"} for n in range(9)],
    }
    with pytest.raises(LimitExceeded):
        signed_graph(many, limits=small)
    assert signed_graph(many).nquads.count("\n") > 9


PROOF_AS_PLAIN = {"proof": "https://w3id.org/security#proof"}


@pytest.mark.parametrize(
    "proof", ["x", {"id": f"{ALICE}#p", "type": "as:Note"}, [{"id": f"{ALICE}#p", "type": "as:Note"}, 5], [], None]
)
@pytest.mark.parametrize("context", [AS, [AS, PROOF_AS_PLAIN], [AS, "https://w3id.org/security/data-integrity/v2"]])
def test_a_proof_may_be_anything_to_a_graph(proof, context):
    document = {"@context": context, "id": f"{ALICE}/1", "type": "Note", "content": "hi", "proof": proof}
    assert signed_graph(document).document["content"] == "hi"


@pytest.mark.parametrize("member", ["@graph", "@included", "@reverse"])
@pytest.mark.parametrize("context", [AS, [AS, PROOF_AS_PLAIN], [AS, "https://w3id.org/security/data-integrity/v2"]])
@pytest.mark.parametrize("name", ["proof", "https://w3id.org/security#proof"])
def test_nothing_is_rearranged_inside_a_proof(member, context, name):
    inside = {"object": {"id": f"{ALICE}/2"}} if member == "@reverse" else [{"id": f"{ALICE}/2", "type": "as:Note"}]
    document = {"@context": context, "id": f"{ALICE}/1", "type": "Note", name: {"type": "as:Note", member: inside}}
    with pytest.raises(GraphRestructured):
        signed_graph(document)


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "signed"),
    [((), False), (("signature",), True), (("signature-input",), True), (("signature", "signature-input"), True)],
)
def test_what_says_that_it_is_signed(names, signed):
    assert is_signed(Request("GET", "https://a.example/", dict.fromkeys(names, "x"))) == signed


def test_the_first_signature_that_is_accepted(ed_key, rsa_key, post, now):
    one, two = rfc9421.sign(post, rsa_key, now=now, label="a"), rfc9421.sign(post, ed_key, now=now, label="b")
    headers = one.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_added(name, two.headers.get(name))
    assert parse(Request("POST", post.url, headers, post.body), now=now).label == "a"
