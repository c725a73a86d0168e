"""Check explanations of proofs inside a body: steps, common mistakes, and contexts that are not available."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.jsonld import jcs
from apcore.signatures import ld_signature, proofs
from apcore.signatures.explain_documents import explain_ld_signature, explain_proofs
from apcore.signatures.policy import STRICT

AS2 = "https://www.w3.org/ns/activitystreams"
NOTE = {
    "@context": [AS2, "https://w3id.org/security/data-integrity/v2"],
    "id": "https://remote.example/notes/1",
    "type": "Note",
    "content": "hi",
}


def report_text(report):
    return "\n".join(report.lines())


def test_valid_proof_is_explained(ed_key, now):
    document = proofs.create(NOTE, ed_key, now=now, expires=now)
    report = explain_proofs(document, now=now, keys={ed_key.key_id: ed_key.public})
    assert f"expires {now.isoformat()}" in report_text(report)
    assert (report.verified.owner, report.error, report.key_ids) == (ed_key.public.owner, None, (ed_key.key_id,))
    assert "+ check eddsa-jcs-2022: holds" in report_text(report)
    assert '"content":"hi"' in report_text(report)
    assert explain_ld_signature(document, now=now).steps == ()


def test_valid_ld_signature_is_explained(rsa_key, now):
    document = ld_signature.create({**NOTE, "@context": AS2}, rsa_key, now=now)
    keys = {rsa_key.key_id: rsa_key.public}
    report = explain_ld_signature(document, now=now, keys=keys)
    assert (report.verified.owner, report.error) == (rsa_key.public.owner, None)
    assert explain_ld_signature(document, now=now, keys=keys, policy=STRICT).error.reason == "scheme-refused"
    assert explain_proofs(document, now=now).steps == ()


def test_both_of_two_proofs_must_hold(ed_key, now):
    other = ed_key.renamed(key_id=f"{ed_key.key_id}-2", owner=ed_key.public.owner)
    document = proofs.create(proofs.create(NOTE, ed_key, now=now), other, now=now)
    report = explain_proofs(document, now=now, keys={ed_key.key_id: ed_key.public})
    assert (report.verified, report.error, len(report.key_ids)) == (None, None, 2)
    assert explain_proofs(document, now=now, keys=dict.fromkeys(report.key_ids, ed_key.public)).verified


def test_key_of_another_type_is_a_mismatch(ed_key, rsa_key, now):
    report = explain_proofs(proofs.create(NOTE, ed_key, now=now), now=now, keys={ed_key.key_id: rsa_key.public})
    assert (report.error.reason, report.steps[-1].ok) == ("key-mismatch", False)


def joined_hashes(options, document):
    return sha256(options).digest() + sha256(document).digest()


MISTAKES = {
    "came before that of the options": lambda options, document: joined_hashes(document, options),
    "were in hexadecimal": lambda options, document: joined_hashes(options, document).hex().encode(),
    "hashed once more": lambda options, document: sha256(joined_hashes(options, document)).digest(),
    "the document's hash alone": lambda _, document: sha256(document).digest(),
    "instead of its hashes, without a line": lambda options, document: options + document,
    "none of the common mistakes": lambda options, document: options + document + b"x",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_common_mistake_is_named(ed_key, now, words):
    unsigned = proofs.prepare(NOTE, key_id=ed_key.key_id, now=now)
    document = unsigned.attach(ed_key.sign(MISTAKES[words](jcs(unsigned.options), jcs(NOTE))))
    report = explain_proofs(document, now=now, keys={ed_key.key_id: ed_key.public})
    assert (report.verified, report.error.reason) == (None, "bad-signature")
    assert words in report.steps[-1].detail


def test_missing_context_is_named(rsa_key, now):
    document = ld_signature.create({**NOTE, "@context": AS2}, rsa_key, now=now)
    document["@context"] = [AS2, "https://remote.example/ctx\x1b[2J"]
    report = explain_ld_signature(document, now=now, keys={rsa_key.key_id: rsa_key.public})
    assert report.verified
    assert "https://remote.example/ctx\\x1b[2J is not available" in report_text(report)
    document["@context"] = [f"https://remote.example/{number}" for number in range(20)]
    assert explain_ld_signature(document, now=now).error.reason == "context-needed"


def test_long_texts_are_shortened(ed_key, rsa_key, now):
    document = proofs.create({**NOTE, "content": "x" * 5000}, ed_key, now=now)
    assert "characters)" in report_text(explain_proofs(document, now=now))
    recipients = [f"https://r.example/{n}" for n in range(90)]
    note = {"@context": AS2, "id": "https://r.example/1", "type": "Note", "to": recipients}
    document = ld_signature.create(note, rsa_key, now=now)
    assert "lines more" in report_text(explain_ld_signature(document, now=now))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["DataIntegrityProof", "RsaSignature2017", "eddsa-jcs-2022", "2026-11-22T08:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "cryptosuite", "created", "proofValue", "creator", "@context"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_garbage_is_explained_and_not_verified(ed_key, now, proof, signature):
    document = {**NOTE, "proof": proof, "signature": signature}
    for report in (explain_proofs(document, now=now), explain_ld_signature(document, now=now)):
        assert report.verified is None
        assert (report.error is not None) or not report.steps
