"""Check object integrity proofs: the vectors, our own proofs, and proofs that do not belong to the document."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ApcoreError, DocumentError
from apcore.jsonld import canonicalize, jcs
from apcore.signatures import key_formats, multibase, proofs
from apcore.signatures.documents import check_document
from apcore.signatures.errors import (
    BadSignature,
    GraphRestructured,
    KeyExpired,
    KeyMismatch,
    ProofMalformed,
    ProofRefused,
    SignatureExpired,
    SignatureFromFuture,
    SignatureMissing,
)
from vector_files import VECTORS, load_json, needs_vectors

CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"]
NOTE = {
    "@context": CONTEXT,
    "id": "https://remote.example/notes/1",
    "type": "Note",
    "attributedTo": "https://remote.example/users/alice",
    "content": "ü",
    "to": ["as:Public", "https://remote.example/users/alice/followers"],
    "location": {"type": "Place", "longitude": -71.184902},
}


def verify(document, key, now, **expected):
    return [check_document(presented, key) for presented in proofs.parse(document, now=now, **expected)]


# --- both sides -----------------------------------------------------------------------------------------------------


def test_our_proof_verifies(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now, expires=now + timedelta(days=1))
    [verified] = verify(signed, ed_key.public, now)
    assert verified.document == NOTE
    assert (verified.owner, verified.created, verified.scheme) == (ed_key.public.owner, now, "eddsa-jcs-2022")
    assert verified.expires == now + timedelta(days=1)
    assert NOTE.get("proof") is None


def test_proof_carries_the_context_of_its_document(ed_key, now):
    assert proofs.create(NOTE, ed_key, now=now)["proof"]["@context"] == CONTEXT
    bare = {name: value for name, value in NOTE.items() if name != "@context"}
    signed = proofs.create(bare, ed_key, now=now)
    assert "@context" not in signed["proof"]
    assert verify(signed, ed_key.public, now)[0].document == bare


def test_context_of_a_proof_may_be_a_single_string(ed_key, now):
    note = {**NOTE, "@context": CONTEXT[0]}
    signed = proofs.create(note, ed_key, now=now)
    assert verify(signed, ed_key.public, now)[0].document == note
    assert verify({**signed, "@context": [CONTEXT[0], "https://example.com/"]}, ed_key.public, now)[0].document == note
    with pytest.raises(ProofRefused):
        verify({**signed, "@context": CONTEXT[1]}, ed_key.public, now)


def test_each_proof_of_a_set_verifies(ed_key, now):
    other = key_formats.generate_key("ed25519", key_id="https://other.example/key", owner="https://other.example/")
    signed = proofs.create(proofs.create(NOTE, ed_key, now=now), other, now=now)
    first, second = proofs.parse(signed, now=now)
    assert [proof["verificationMethod"] for proof in signed["proof"]] == [ed_key.key_id, other.key_id]
    assert check_document(first, ed_key.public).document == check_document(second, other.public).document == NOTE


def test_ld_signature_is_added_after_the_proof_and_not_covered_by_it(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now)
    relayed = {**signed, "signature": {"type": "RsaSignature2017", "creator": "x"}}
    assert verify(relayed, ed_key.public, now)[0].document == NOTE
    with pytest.raises(BadSignature):
        verify({**signed, "signature": "mine"}, ed_key.public, now)
    with pytest.raises(ValueError, match="made first"):
        proofs.create(relayed, ed_key, now=now)


@pytest.mark.parametrize("kind", [{}, [], None, 1, "Other"])
def test_signature_member_that_is_no_ld_signature_is_covered(ed_key, now, kind):
    document = {**NOTE, "signature": {"type": kind}}
    unsigned = proofs.prepare(NOTE, key_id=ed_key.key_id, now=now)
    data = proofs._hashes(jcs(unsigned.options), jcs(document))
    proof = {**unsigned.options, "proofValue": multibase.encode(ed_key.sign(data))}
    assert verify({**document, "proof": proof}, ed_key.public, now)[0].document == document


def test_proofs_of_other_suites_are_ignored(ed_key, now):
    old = {"type": "Ed25519Signature2020", "proofValue": "z1"}
    signed = proofs.create(NOTE, ed_key, now=now)
    both = {
        **signed,
        "proof": [old, signed["proof"], {"type": "DataIntegrityProof", "cryptosuite": "mldsa44-jcs-2024"}],
    }
    assert len(verify(both, ed_key.public, now)) == 1
    with pytest.raises(SignatureMissing):
        proofs.parse({**NOTE, "proof": old}, now=now)


def test_wrong_arguments_are_refused_in_words(rsa_key, ed_key, now):
    with pytest.raises(ValueError, match="ed25519"):
        proofs.create(NOTE, rsa_key, now=now)
    with pytest.raises(ValueError, match="64 bytes"):
        proofs.prepare(NOTE, key_id="k", now=now).attach(b"short")
    with pytest.raises(ValueError, match="time zone"):
        proofs.prepare(NOTE, key_id="k", now=now.replace(tzinfo=None))


# --- every member is signed -----------------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
DOCUMENTS = st.dictionaries(
    st.text(max_size=3).filter(lambda name: name not in {"proof", "signature", "@context"}),
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


@given(DOCUMENTS, DOCUMENTS)
def test_proof_holds_only_for_an_equal_document(ed_key, now, document, other_document):
    signed = proofs.create(document, ed_key, now=now)
    document_with_other_proof = {**other_document, "proof": signed["proof"]}
    if jcs(document) == jcs(other_document):
        assert verify(document_with_other_proof, ed_key.public, now)
    else:
        with pytest.raises(BadSignature):
            verify(document_with_other_proof, ed_key.public, now)


@pytest.mark.parametrize("member", ["created", "verificationMethod", "x-unknown", "nonce"])
def test_every_member_of_a_proof_is_signed_with_it(ed_key, now, member):
    signed = proofs.create(NOTE, ed_key, now=now)
    signed["proof"] = {
        **signed["proof"],
        member: "2026-11-22T07:59:59Z" if member == "created" else ed_key.public.owner,
    }
    with pytest.raises(BadSignature) as exc_info:
        verify(signed, ed_key.public, now)
    assert '"content":"ü"' in exc_info.value.explanation.signing_string


def test_order_of_members_does_not_matter(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now)
    assert verify(dict(reversed(signed.items())), ed_key.public, now)


def test_order_of_an_array_matters(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now)
    with pytest.raises(BadSignature):
        verify({**signed, "to": signed["to"][::-1]}, ed_key.public, now)


# --- context injection ----------------------------------------------------------------------------------------------


def test_context_added_after_signing_is_dropped(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now)
    injected = {**signed, "@context": [*CONTEXT, {"content": "https://evil.example/hidden"}]}
    [verified] = verify(injected, ed_key.public, now)
    assert verified.document["@context"] == CONTEXT


@pytest.mark.parametrize(
    "context",
    [
        CONTEXT[::-1],
        CONTEXT[:1],
        [],
        None,
        ["https://evil.example/context", *CONTEXT],
        "https://www.w3.org/ns/activitystreams",
        [True],
    ],
)
def test_document_must_begin_with_the_context_of_the_proof(ed_key, now, context):
    signed = {**proofs.create(NOTE, ed_key, now=now), "@context": context}
    if context is None:
        del signed["@context"]
    with pytest.raises(ProofRefused, match="does not begin"):
        verify(signed, ed_key.public, now)


def test_contexts_1_and_true_differ(ed_key, now):
    signed = proofs.create({**NOTE, "@context": [1]}, ed_key, now=now)
    with pytest.raises(ProofRefused):
        verify({**signed, "@context": [True]}, ed_key.public, now)


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSED = {
    "purpose": ({"proofPurpose": "authentication"}, ProofRefused),
    "no purpose": ({"proofPurpose": None}, ProofRefused),
    "a chain": ({"previousProof": "urn:x"}, ProofRefused),
    "a domain": ({"domain": "other.example"}, ProofRefused),
    "a challenge": ({"challenge": "x"}, ProofRefused),
    "created is missing": ({"created": None}, ProofMalformed),
    "created is no time": ({"created": "yesterday"}, ProofMalformed),
    "created has no zone": ({"created": "2026-11-22T08:00:00"}, ProofMalformed),
    "created is no day": ({"created": "2026-02-30T08:00:00Z"}, ProofMalformed),
    "created is before time": ({"created": "0001-01-01T00:00:00+23:59"}, ProofMalformed),
    "created is a number": ({"created": 1}, ProofMalformed),
    "from the future": ({"created": "2026-11-22T09:00:01Z"}, SignatureFromFuture),
    "expired": ({"expires": "2026-11-22T06:59:59Z"}, SignatureExpired),
    "expires is no time": ({"expires": "soon"}, ProofMalformed),
    "no method": ({"verificationMethod": None}, ProofMalformed),
    "method is an object": ({"verificationMethod": {"id": "x"}}, ProofMalformed),
    "method is empty": ({"verificationMethod": ""}, ProofMalformed),
    "method has a line break": ({"verificationMethod": "a\nb"}, ProofMalformed),
    "no value": ({"proofValue": None}, ProofMalformed),
    "value is a number": ({"proofValue": 1}, ProofMalformed),
    "value is short": ({"proofValue": multibase.encode(b"x" * 63)}, ProofMalformed),
    "value is long": ({"proofValue": multibase.encode(b"x" * 65)}, ProofMalformed),
    "value in another base": ({"proofValue": "u" + "A" * 86}, ProofMalformed),
    "value is no base58": ({"proofValue": "z0"}, ProofMalformed),
    "value is huge": ({"proofValue": "z" + "2" * 5000}, ProofMalformed),
}


@pytest.mark.parametrize(("changes", "error"), REFUSED.values(), ids=REFUSED)
def test_unacceptable_proof_is_refused_for_its_reason(ed_key, now, changes, error):
    signed = proofs.create(NOTE, ed_key, now=now)
    proof = {**signed["proof"], **changes}
    signed["proof"] = {name: value for name, value in proof.items() if value is not None}
    with pytest.raises(error):
        proofs.parse(signed, now=now)


@pytest.mark.parametrize(
    "proof",
    [[], None, "x", 1, [1], ["x"], [[]], {}, {"type": []}, {"type": "DataIntegrityProof", "cryptosuite": {}}, [{}] * 9],
)
def test_malformed_proof_member_is_refused(now, proof):
    with pytest.raises((SignatureMissing, ProofMalformed)):
        proofs.parse({**NOTE, "proof": proof}, now=now)


def test_clock_skew_of_an_hour_is_tolerated(ed_key, now):
    ahead = proofs.create(NOTE, ed_key, now=now + timedelta(hours=1), expires=now)
    assert verify(ahead, ed_key.public, now)
    with pytest.raises(SignatureFromFuture):
        verify(ahead, ed_key.public, now - timedelta(seconds=1))
    assert verify(ahead, ed_key.public, now + timedelta(hours=1))
    with pytest.raises(SignatureExpired):
        verify(ahead, ed_key.public, now + timedelta(hours=1, seconds=1))


def test_document_with_the_most_proofs_verifies(ed_key, now):
    signed = proofs.create(NOTE, ed_key, now=now)
    assert (
        len(verify({**signed, "proof": [signed["proof"]] * proofs.PROOFS_MAX}, ed_key.public, now)) == proofs.PROOFS_MAX
    )


def test_domain_and_challenge_must_match(ed_key, now):
    unsigned = proofs.prepare(NOTE, key_id=ed_key.key_id, now=now)
    options = {**unsigned.options, "domain": "local.example", "challenge": "c"}
    data = sha256(jcs(options)).digest() + sha256(jcs(NOTE)).digest()
    signed = {**NOTE, "proof": {**options, "proofValue": multibase.encode(ed_key.sign(data))}}
    assert verify(signed, ed_key.public, now, domain="local.example", challenge="c")
    for expected in ({}, {"domain": "local.example"}, {"domain": "other.example", "challenge": "c"}):
        with pytest.raises(ProofRefused):
            verify(signed, ed_key.public, now, **expected)
    with pytest.raises(ProofRefused):
        verify(proofs.create(NOTE, ed_key, now=now), ed_key.public, now, domain="local.example")


def test_key_must_match_the_proof_and_be_valid(ed_key, rsa_key, now):
    from attrs import evolve

    signed = proofs.create(NOTE, ed_key, now=now)
    with pytest.raises(KeyMismatch):
        verify(signed, rsa_key.public, now)
    with pytest.raises(KeyMismatch):
        verify(signed, rsa_key.public.renamed(key_id=ed_key.key_id), now)
    with pytest.raises(KeyMismatch):
        verify(signed, ed_key.public.renamed(key_id="x", owner="y"), now)
    with pytest.raises(KeyExpired):
        verify(signed, evolve(ed_key.public, expires=now), now)


# --- graphs ---------------------------------------------------------------------------------------------------------


def rdfc(document, key, *, options_to_add=None):
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-rdfc-2022",
        "verificationMethod": key.key_id,
        "proofPurpose": "assertionMethod",
        "created": "2026-11-22T08:00:00Z",
        **(options_to_add or {}),
    }
    canonical = canonicalize({**options, "@context": document["@context"]}), canonicalize(document)
    data = b"".join(sha256(text.encode()).digest() for text in canonical)
    return {**document, "proof": {**options, "proofValue": multibase.encode(key.sign(data))}}


def test_verified_graph_has_only_signed_statements(ed_key, now):
    signed = rdfc(NOTE, ed_key)
    signed["unsigned"] = "not a statement"
    [verified] = verify(signed, ed_key.public, now)
    assert verified.scheme == "eddsa-rdfc-2022"
    assert verified.document["content"] == "ü"
    assert "unsigned" not in verified.document
    with pytest.raises(BadSignature):
        verify({**signed, "content": "u"}, ed_key.public, now)


def test_lone_surrogate_is_refused(ed_key, now):
    for signed in (rdfc(NOTE, ed_key), proofs.create(NOTE, ed_key, now=now)):
        with pytest.raises((ProofMalformed, DocumentError)):
            verify({**signed, "content": "\ud800"}, ed_key.public, now)


def test_restructured_graph_is_refused(ed_key, now):
    signed = rdfc(NOTE, ed_key)
    with pytest.raises(GraphRestructured):
        verify({"@context": CONTEXT, "@graph": [NOTE], "proof": signed["proof"]}, ed_key.public, now)


_SEC = "https://w3id.org/security#"
_DC_CREATED = {"@id": "http://purl.org/dc/terms/created", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
_OWN_TERMS = {
    "DataIntegrityProof": f"{_SEC}DataIntegrityProof",
    "cryptosuite": {"@id": f"{_SEC}cryptosuite", "@type": f"{_SEC}cryptosuiteString"},
    "verificationMethod": {"@id": f"{_SEC}verificationMethod", "@type": "@id"},
    "proofPurpose": {"@id": f"{_SEC}proofPurpose", "@type": "@vocab"},
    "assertionMethod": f"{_SEC}assertionMethod",
    "authentication": f"{_SEC}authenticationMethod",
    "created": _DC_CREATED,
    "expires": {"@id": f"{_SEC}expiration", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"},
    "domain": f"{_SEC}domain",
    "challenge": f"{_SEC}challenge",
}
"""The context of proofs, written out where an attacker could write something else."""
RENAMED = {
    "a new date": ({}, "created", "2026-11-22T09:00:00Z"),
    "no expiry": ({"expires": "2026-11-22T08:30:00Z"}, "expires", None),
    "for any domain": ({"domain": "https://elsewhere.example"}, "domain", None),
    "without challenge": ({"challenge": "1234"}, "challenge", None),
    "for another purpose": ({"proofPurpose": "authentication"}, "proofPurpose", "assertionMethod"),
}


@pytest.mark.parametrize("name", RENAMED)
def test_context_cannot_rename_signed_members_of_a_graph_proof(name, ed_key, now):
    """The signed statements stay the same; only their names change."""
    options_to_add, member, value = RENAMED[name]
    document = {**NOTE, "@context": ["https://www.w3.org/ns/activitystreams", _OWN_TERMS]}
    signed = rdfc(document, ed_key, options_to_add=options_to_add)
    proof = signed["proof"]
    terms = dict(_OWN_TERMS) | {"was": _OWN_TERMS[member], member: None}
    renamed_proof = {key: member_value for key, member_value in proof.items() if key != member} | {"was": proof[member]}
    if value is not None:
        renamed_proof[member] = value
        if member == "proofPurpose":
            terms[value] = None
    disguised = {**signed, "@context": ["https://www.w3.org/ns/activitystreams", terms], "proof": renamed_proof}
    with pytest.raises(ProofRefused, match="another meaning"):
        verify(disguised, ed_key.public, now)


def test_graph_proof_needs_the_terms_of_proofs_in_its_context(ed_key, now):
    """Without the terms of proofs in the context, no member of the proof would be signed, not even its date."""
    signed = rdfc({**NOTE, "@context": "https://www.w3.org/ns/activitystreams"}, ed_key)
    with pytest.raises(ProofRefused, match="another meaning"):
        verify(signed, ed_key.public, now)
    document = {**NOTE, "@context": ["https://www.w3.org/ns/activitystreams", _OWN_TERMS]}
    [verified] = verify(rdfc(document, ed_key), ed_key.public, now)
    assert verified.scheme == "eddsa-rdfc-2022"


# --- vectors --------------------------------------------------------------------------------------------------------


@needs_vectors
def test_fep_8b32_vectors():
    file = load_json("integrity-proofs/fep-8b32.json")
    owner = file["actor"]["id"]
    private = key_formats.read_private_multikey(
        file["secretKeyMultibase"], key_id=file["verificationMethod"], owner=owner
    )
    signed = proofs.create(file["unsigned"], private, now=datetime.fromisoformat(file["created"]))
    assert signed == file["signed"]
    [presented] = proofs.parse(signed, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert presented.data.hex() == file["proofHash"] + file["documentHash"]
    assert presented.signed_text == f"{file['canonicalProofOptions']}\n{file['canonicalDocument']}"
    assert check_document(presented, private.public).document == file["unsigned"]


@needs_vectors
def test_fep_c390_vectors():
    file = load_json("integrity-proofs/fep-c390.json")
    [verified] = verify(file["signed"], key_formats.read_did_key(file["did"]), datetime(2026, 1, 1, tzinfo=UTC))
    assert verified.document == file["claim"]
    assert verified.owner == file["did"]
    assert proofs.parse(file["signed"], now=verified.created)[0].data.hex() == file["proofHash"] + file["documentHash"]


GENERATED = {
    "proof.created changed": "bad-signature",
    "proofPurpose authentication": "proof-refused",
    "proofValue with base64url multibase prefix u": "proof-malformed",
}


@needs_vectors
def test_generated_vectors():
    file = load_json("integrity-proofs/generated.json")
    counts = Counter()
    for case in file["cases"]:
        method = case["document"]["proof"]["verificationMethod"]
        key = key_formats.read_multikey(file["publicKeyMultibase"], key_id=method, owner=method.partition("#")[0])
        now = datetime.fromisoformat(file["now"])
        outcome = "ok"
        try:
            [presented] = proofs.parse(case["document"], now=now)
            assert presented.signed_text.startswith(case["canonicalProofOptions"])
            [verified] = verify(case["document"], key, now)
        except ApcoreError as exc:
            outcome = exc.reason
        else:
            # The signature of the other key holds. The caller finds that its owner is not the author.
            assert case["valid"] == (verified.owner == case["document"]["attributedTo"])
        assert outcome == GENERATED.get(case["name"], "ok")
        counts[outcome] += 1
    assert counts == {"ok": 5, "bad-signature": 1, "proof-refused": 1, "proof-malformed": 1}


@needs_vectors
def test_mastodon_vectors():
    file = load_json("integrity-proofs/mastodon-spec.json")
    key = key_formats.read_multikey(
        file["publicKeyMultibase"],
        key_id="https://server.example/users/alice#ed25519-key",
        owner="https://server.example/users/alice",
    )
    now = datetime.fromisoformat(file["now"])
    lasting, expired = (case["document"] for case in file["cases"])
    assert verify(lasting, key, now)
    with pytest.raises(SignatureExpired):
        verify(expired, key, now)
    assert verify(expired, key, datetime(2023, 2, 24, 23, 36, 39, tzinfo=UTC))


def text_of(*path):
    return (VECTORS.joinpath("vc-di-eddsa", *path)).read_text(encoding="utf-8")


@needs_vectors
def test_vc_di_eddsa_jcs_vectors():
    signed = load_json("vc-di-eddsa/eddsa-jcs-2022/signedJCS.json")
    key = key_formats.read_did_key(signed["proof"]["verificationMethod"])
    [presented] = proofs.parse(signed, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert presented.data.hex() == text_of("eddsa-jcs-2022", "combinedHashJCS.txt").strip()
    assert presented.signed_text.encode() == b"\n".join(
        text_of("eddsa-jcs-2022", name).encode() for name in ("proofCanonJCS.txt", "canonDocJCS.txt")
    )
    assert presented.signature.hex() == text_of("eddsa-jcs-2022", "sigHexJCS.txt").strip()
    assert check_document(presented, key).document == load_json("vc-di-eddsa/unsigned.json")


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        (("eddsa-rdfc-2022",), "DataInt"),
        (("eddsa-rdfc-2022", "employ"), "DataInt"),
        (("Ed25519Signature2020",), "EdSig"),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else None,
)
@needs_vectors
def test_vc_di_eddsa_graph_vectors(path, suffix):
    """The contexts are not among the vectors, so the test starts from the canonical texts."""
    texts = [text_of(*path, f"{name}{suffix}.txt").encode() for name in ("proofCanon", "canonDoc")]
    data = proofs._hashes(*texts)
    assert data.hex() == text_of(*path, f"combinedHash{suffix}.txt").strip()
    key = key_formats.read_multikey(load_json("vc-di-eddsa/keyPair.json")["publicKeyMultibase"], key_id="k", owner="o")
    key.verify(multibase.decode(text_of(*path, f"sigBTC58{suffix}.txt").strip()), data, "ed25519")


@needs_vectors
def test_vc_di_eddsa_key_pairs_are_read():
    pairs = load_json("vc-di-eddsa/proof-set-chain/multiKeyPairs.json")
    for pair in [*pairs.values(), load_json("vc-di-eddsa/keyPair.json")]:
        private = key_formats.read_private_multikey(pair["privateKeyMultibase"], key_id="k", owner="o")
        assert private.public.multibase == pair["publicKeyMultibase"]
    assert len(pairs) == 4


@needs_vectors
def test_vc_di_eddsa_proof_sets_and_chains_are_refused():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    # Their contexts are not bundled: the parser asks for the context and never guesses.
    for name in ("signedProofSet1", "signedProofSet2", "signedProofChain1"):
        with pytest.raises(ApcoreError) as exc_info:
            proofs.parse(load_json(f"vc-di-eddsa/proof-set-chain/{name}.json"), now=now)
        assert exc_info.value.reason in {"context-needed", "proof-refused"}
    chain = copy.deepcopy(load_json("vc-di-eddsa/proof-set-chain/signedProofChain2.json"))
    chain["proof"] = chain["proof"][2:]
    with pytest.raises(ProofRefused, match="previousProof"):
        proofs.parse(chain, now=now)


# --- garbage --------------------------------------------------------------------------------------------------------

MEMBERS = [
    "type",
    "cryptosuite",
    "verificationMethod",
    "proofPurpose",
    "created",
    "expires",
    "proofValue",
    "@context",
    "domain",
    "id",
]
GARBAGE = st.recursive(
    LEAVES
    | st.sampled_from(
        [
            "eddsa-jcs-2022",
            "eddsa-rdfc-2022",
            "assertionMethod",
            "2026-11-22T08:00:00Z",
            "DataIntegrityProof",
            "z" + "2" * 87,
        ]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(MEMBERS), GARBAGE, max_size=3),
    st.sampled_from(["eddsa-jcs-2022", "eddsa-rdfc-2022"]),
)
def test_garbage_proof_is_refused_in_words(ed_key, now, changes, suite):
    signed = rdfc(NOTE, ed_key) if suite == "eddsa-rdfc-2022" else proofs.create(NOTE, ed_key, now=now)
    changed = {**signed, "proof": {**signed["proof"], **changes}}
    try:
        verify(changed, ed_key.public, now)
    except ApcoreError as exc:
        status = exc.status_hint
        assert status in {400, 401, 413, 422}
    else:
        if suite == "eddsa-jcs-2022":
            assert jcs(changed) == jcs(signed)
