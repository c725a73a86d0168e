"""Check proofs and LD signatures at the edges that mutation testing found untested."""

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
    ("name", "is_valid"),
    [
        ("", False),
        ("a", True),
        ("a" * KEY_ID_CHARS_MAX, True),
        ("a" * (KEY_ID_CHARS_MAX + 1), False),
        ("a\n", False),
        (5, False),
        (None, False),
    ],
    ids=["empty", "one", "longest", "too long", "control", "number", "none"],
)
def test_key_name_is_a_bounded_string_without_controls(name, is_valid):
    if is_valid:
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
def test_time_is_read_with_any_zone(text):
    assert read_time({"created": text}, "created") == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert read_time({}, "created") is None


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-22T08:00:00", "2026-11-22T08:00:00Zx", "2026-11-22T08:00:00+02:00x", "x2026-11-22T08:00:00Z"),
        *("2026-11-22", "2026-11-22 08:00:00Z", "2026-11-22T08:00:00.Z", "2026-11-22T08:00Z", "2026-13-22T08:00:00Z"),
        *("2026-11-22T08:00:00+2:00", "0001-01-01T00:00:00+23:59", "", 5, [], "\uff1226-11-22T08:00:00Z"),
    ],
)
def test_malformed_time_is_refused(text):
    with pytest.raises(ProofMalformed):
        read_time({"created": text}, "created")


def test_time_is_written_in_utc():
    moment = datetime(2026, 11, 22, 10, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert write_time(moment) == "2026-11-22T08:00:00Z"


def test_document_without_a_json_form_is_refused():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    for document in ({"a": nested}, {"a": {1, 2}}, {"a": "\ud800"}, {("a",): 1}):
        with pytest.raises(ProofMalformed, match="cannot be written as JSON"):
            check_text(document)
    check_text({"a": ["\U0001f600"]})


# --- proofs ---------------------------------------------------------------------------------------------------------


def test_number_of_proofs_is_bounded(ed_key, now):
    proof = proofs.create(LIKE, ed_key, now=now)["proof"]
    assert len(proofs.parse({**LIKE, "proof": [proof] * proofs.PROOFS_MAX}, now=now)) == proofs.PROOFS_MAX
    with pytest.raises(ProofMalformed, match="9 proofs"):
        proofs.parse({**LIKE, "proof": [proof] * (proofs.PROOFS_MAX + 1)}, now=now)
    other_proofs = [{"type": "Another"}] * (proofs.PROOFS_MAX + 1)
    with pytest.raises(ProofMalformed):
        proofs.parse({**LIKE, "proof": other_proofs}, now=now)


@pytest.mark.parametrize(
    "change",
    [{"type": "Ed25519Signature2020"}, {"type": None}, {"cryptosuite": "eddsa-2022"}, {"cryptosuite": None}],
)
def test_proof_of_another_type_or_suite_is_ignored(ed_key, now, change):
    signed = proofs.create(LIKE, ed_key, now=now)
    other = {**signed["proof"], **change}
    with pytest.raises(SignatureMissing):
        proofs.parse({**LIKE, "proof": other}, now=now)
    assert len(proofs.parse({**LIKE, "proof": [other, signed["proof"]]}, now=now)) == 1


def test_verified_document_has_only_the_context_that_the_proof_binds(ed_key, now):
    signed = proofs.create({"@context": None, **LIKE}, ed_key, now=now)
    [presented] = proofs.parse({**signed, "@context": AS}, now=now)
    assert check_document(presented, ed_key.public).document["@context"] is None


@pytest.mark.parametrize("suite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
def test_refusal_names_the_suite_and_key_of_the_proof(ed_key, now, suite):
    proof = {**proofs.create(LIKE, ed_key, now=now)["proof"], "cryptosuite": suite, "previousProof": "x"}
    with pytest.raises(ProofRefused) as exc_info:
        proofs.parse({**LIKE, "proof": proof}, now=now + timedelta(seconds=5))
    explanation = exc_info.value.explanation
    assert (explanation.scheme, explanation.key_id, explanation.algorithm, explanation.clock_offset_s) == (
        suite,
        ed_key.key_id,
        "ed25519",
        -5,
    )
    with pytest.raises(ProofMalformed) as exc_info:
        proofs.parse(
            {**LIKE, "proof": {**proof, "previousProof": None, "created": "x"} | {"verificationMethod": 5}}, now=now
        )
    assert (exc_info.value.explanation.scheme, exc_info.value.explanation.key_id) == (suite, None)


def test_proof_of_a_graph_is_read_with_the_contexts_of_the_caller(ed_key, now):
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


def test_ld_signature_is_made_and_read_with_the_contexts_of_the_caller(rsa_key, now):
    signed = ld_signature.create(NOTE, rsa_key, now=now, contexts=CONTEXTS)
    presented = ld_signature.parse(signed, now=now, contexts=CONTEXTS)
    assert check_document(presented, rsa_key.public).document["content"] == "hi"
    for call in (lambda: ld_signature.create(NOTE, rsa_key, now=now), lambda: ld_signature.parse(signed, now=now)):
        with pytest.raises(ContextNeeded):
            call()


@pytest.mark.parametrize("value", ["aGk=x", "a!Gk=", "=aGk=", "aGk==", "aG=k", "é", "", "  ", None, 5])
def test_signature_value_outside_base64_is_refused(rsa_key, now, value):
    signed = ld_signature.create(LIKE | {"@context": AS}, rsa_key, now=now)
    with pytest.raises(ProofMalformed) as exc_info:
        ld_signature.parse({**signed, "signature": {**signed["signature"], "signatureValue": value}}, now=now)
    explanation = exc_info.value.explanation
    assert (explanation.scheme, explanation.key_id, explanation.algorithm) == (
        "RsaSignature2017",
        rsa_key.key_id,
        "rsa-v1_5-sha256",
    )


def test_white_space_in_a_signature_value_is_ignored(rsa_key, now):
    signed = ld_signature.create(LIKE | {"@context": AS}, rsa_key, now=now)
    value = signed["signature"]["signatureValue"]
    folded = {**signed["signature"], "signatureValue": f" {value[:60]}\n{value[60:]} \t"}
    assert check_document(ld_signature.parse({**signed, "signature": folded}, now=now), rsa_key.public)


# --- graphs ---------------------------------------------------------------------------------------------------------


def test_graph_size_is_bounded():
    small_limits = DEFAULT_LIMITS.__class__(nodes_max=3)
    document = {
        "@context": AS,
        "id": ALICE,
        "type": "Note",
        "tag": [{"type": "Mention", "href": f"{ALICE}/{n}"} for n in range(9)],
    }
    with pytest.raises(LimitExceeded):
        signed_graph(document, limits=small_limits)
    assert signed_graph(document).nquads.count("\n") > 9


PROOF_AS_PLAIN = {"proof": "https://w3id.org/security#proof"}


@pytest.mark.parametrize(
    "proof", ["x", {"id": f"{ALICE}#p", "type": "as:Note"}, [{"id": f"{ALICE}#p", "type": "as:Note"}, 5], [], None]
)
@pytest.mark.parametrize("context", [AS, [AS, PROOF_AS_PLAIN], [AS, "https://w3id.org/security/data-integrity/v2"]])
def test_signed_graph_ignores_the_shape_of_the_proof(proof, context):
    document = {"@context": context, "id": f"{ALICE}/1", "type": "Note", "content": "hi", "proof": proof}
    assert signed_graph(document).document["content"] == "hi"


@pytest.mark.parametrize("member", ["@graph", "@included", "@reverse"])
@pytest.mark.parametrize("context", [AS, [AS, PROOF_AS_PLAIN], [AS, "https://w3id.org/security/data-integrity/v2"]])
@pytest.mark.parametrize("name", ["proof", "https://w3id.org/security#proof"])
def test_restructuring_keyword_inside_a_proof_is_refused(member, context, name):
    value = {"object": {"id": f"{ALICE}/2"}} if member == "@reverse" else [{"id": f"{ALICE}/2", "type": "as:Note"}]
    document = {"@context": context, "id": f"{ALICE}/1", "type": "Note", name: {"type": "as:Note", member: value}}
    with pytest.raises(GraphRestructured):
        signed_graph(document)


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "signed"),
    [((), False), (("signature",), True), (("signature-input",), True), (("signature", "signature-input"), True)],
)
def test_request_with_a_signature_field_is_signed(names, signed):
    assert is_signed(Request("GET", "https://a.example/", dict.fromkeys(names, "x"))) == signed


def test_first_of_two_signatures_is_parsed(ed_key, rsa_key, post, now):
    by_rsa, by_ed25519 = rfc9421.sign(post, rsa_key, now=now, label="a"), rfc9421.sign(post, ed_key, now=now, label="b")
    headers = by_rsa.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_added(name, by_ed25519.headers.get(name))
    assert parse(Request("POST", post.url, headers, post.body), now=now).label == "a"
