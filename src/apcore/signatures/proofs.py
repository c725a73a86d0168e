"""Make and check object integrity proofs (FEP-8b32): `eddsa-jcs-2022` is made and checked, `eddsa-rdfc-2022` checked.

A proof is a member of the document that it signs. The signed bytes are the SHA-256 of the proof without its value,
followed by the SHA-256 of the document without its proofs. Both are hashed as canonical bytes, so the order of members
does not matter, and the order of array elements does.

Rules that are easily missed:

- Everything in the proof except `proofValue` is signed, unknown members included.
- A proof with its own `@context` binds that context. The document's context must begin with it, and the rest of the
  document's context is *not* signed. So the returned document has the context of the proof. A proof without `@context`
  (older drafts) binds the document's context as a member.
- An LD `signature` is added after the proof. So it is removed before the check, and it is not in the returned document.
- Proofs of unknown suites are skipped. A wrong proof of a known suite is an error, even beside a valid one.
- `eddsa-rdfc-2022` signs a graph; see `apcore.signatures.graphs`.

The caller checks that the key is in the owner's `assertionMethod`, and that its owner is the owner of the document.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal

from attrs import field, frozen

from apcore.jsonld import (
    BUNDLED,
    DEFAULT_LIMITS,
    ContextTable,
    Json,
    JsonObject,
    WorkBudget,
    canonicalize,
    expand,
    jcs,
)
from apcore.signatures import multibase
from apcore.signatures.documents import (
    PresentedDocument,
    check_meant_for,
    check_moments,
    check_text,
    known_of,
    read_name,
    read_time,
    write_time,
)
from apcore.signatures.errors import (
    ExplainedError,
    Explanation,
    KeyMalformed,
    ProofMalformed,
    ProofRefused,
    SignatureMissing,
)
from apcore.signatures.graphs import signed_graph
from apcore.signatures.keys import PrivateKey
from apcore.signatures.policy import DEFAULT, SignaturePolicy

__all__ = ["UnsignedProof", "create", "parse", "prepare"]

PROOFS_MAX: Final = 8
"""The most proofs on one document. FEP-8b32 recommends a single one."""

Suite = Literal["eddsa-jcs-2022", "eddsa-rdfc-2022"]
_PURPOSE: Final = "assertionMethod"
_OPTIONS_CONTEXT: Final = "https://w3id.org/security/data-integrity/v2"
# The members of a proof that `parse` reads, by name; below, the same members by their meaning.
_READ_BY_NAME: Final = frozenset(
    {
        "type",
        "cryptosuite",
        "verificationMethod",
        "proofPurpose",
        "created",
        "expires",
        "domain",
        "challenge",
        "previousProof",
    }
)
_SECURITY: Final = "https://w3id.org/security#"
_READ_BY_MEANING: Final = (
    "@type",
    "http://purl.org/dc/terms/created",
    *(
        f"{_SECURITY}{name}"
        for name in (
            "cryptosuite",
            "verificationMethod",
            "proofPurpose",
            "expiration",
            "domain",
            "challenge",
            "previousProof",
        )
    ),
)


# --- verifying ------------------------------------------------------------------------------------------------------


def parse(
    document: JsonObject,
    *,
    now: datetime,
    domain: str | None = None,
    challenge: str | None = None,
    contexts: ContextTable = BUNDLED,
    policy: SignaturePolicy = DEFAULT,
    work: WorkBudget | None = None,
) -> tuple[PresentedDocument, ...]:
    """Read the proofs of ``document``.

    Args:
        document: All members, as parsed from the received bytes. It is not changed.
        now: Our clock.
        domain: The expected `domain`. With None, a proof that has one is refused.
        challenge: The expected `challenge`, likewise.
        contexts: Used for `eddsa-rdfc-2022` only.
        policy: Clock skew and key sizes.
        work: The budget of the document, if earlier steps spent from it too. By default this call makes its own.

    Returns:
        All proofs of known suites, at least one. Check each of them: a single invalid proof is a reason to refuse the
        document, even beside valid ones.

    Raises:
        SignatureMissing: There is no proof of a known suite.
        ProofMalformed, ProofRefused, SignatureFromFuture, SignatureExpired: A proof is wrong.
        DocumentError, LimitExceeded: The document has no canonical form, or one that is too large.
    """
    proofs = _proofs_of(document)
    readable_proofs = [proof for proof in proofs if _suite_of(proof) is not None]
    if not readable_proofs:
        raise SignatureMissing("the document has no proof of a known suite")
    if work is None:
        work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    return tuple(
        _read(document, proof, now=now, domain=domain, challenge=challenge, contexts=contexts, policy=policy, work=work)
        for proof in readable_proofs
    )


def _proofs_of(document: JsonObject) -> list[JsonObject]:
    member: Json = document.get("proof")
    proofs: list[Any] = member if isinstance(member, list) else [] if member is None else [member]
    if len(proofs) > PROOFS_MAX:
        raise ProofMalformed(f"{len(proofs)} proofs on one document, at most {PROOFS_MAX} are allowed")
    for proof in proofs:
        if not isinstance(proof, dict):
            raise ProofMalformed("a proof that is not an object")
    return proofs


def _suite_of(proof: JsonObject) -> Suite | None:
    if proof.get("type") != "DataIntegrityProof":
        return None
    match proof.get("cryptosuite"):
        case "eddsa-jcs-2022":
            return "eddsa-jcs-2022"
        case "eddsa-rdfc-2022":
            return "eddsa-rdfc-2022"
        case _:
            return None


def _read(
    document: JsonObject,
    proof: JsonObject,
    *,
    now: datetime,
    domain: str | None,
    challenge: str | None,
    contexts: ContextTable,
    policy: SignaturePolicy,
    work: WorkBudget,
) -> PresentedDocument:
    suite = _suite_of(proof)
    assert suite is not None
    try:
        return _read_suite(
            suite,
            document,
            proof,
            now=now,
            domain=domain,
            challenge=challenge,
            contexts=contexts,
            policy=policy,
            work=work,
        )
    except ExplainedError as exc:
        exc.explained(rule="FEP-8b32", **known_of(suite, proof, "verificationMethod", now))
        raise


def _read_suite(
    suite: Suite,
    document: JsonObject,
    proof: JsonObject,
    *,
    now: datetime,
    domain: str | None,
    challenge: str | None,
    contexts: ContextTable,
    policy: SignaturePolicy,
    work: WorkBudget,
) -> PresentedDocument:
    key_id = read_name(proof, "verificationMethod")
    if proof.get("proofPurpose") != _PURPOSE:
        raise ProofRefused(
            f"a proof for the purpose {str(proof.get('proofPurpose'))[:60]!r}, expected {_PURPOSE!r}",
            explanation=Explanation(rule="FEP-8b32: proofPurpose"),
        )
    if "previousProof" in proof:
        # A proof in a chain also signs the proofs before it. FEP-8b32 has no chains.
        raise ProofRefused("a proof that depends on another one (previousProof)")
    check_meant_for(proof, "domain", domain)
    check_meant_for(proof, "challenge", challenge)
    created, expires = read_time(proof, "created"), read_time(proof, "expires")
    if created is None:
        raise ProofMalformed("a proof without `created`")
    check_moments(created, expires, now=now, policy=policy)
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    signature = _value_of(proof)
    if suite == "eddsa-jcs-2022":
        signed = _bound_to_context(_unsecured(document), options, work)
        texts = jcs(options, work=work), jcs(signed, work=work)
    else:
        signed, texts = _read_graph(_unsecured(document), options, contexts, work)
    return PresentedDocument(
        scheme=suite,
        key_id=key_id,
        created=created,
        expires=expires,
        document=signed,
        data=_hashes(*texts),
        signed_text=b"\n".join(texts).decode("utf-8"),
        signature=signature,
        policy=policy,
        now=now,
    )


def _value_of(proof: JsonObject) -> bytes:
    text = proof.get("proofValue")
    try:
        value = multibase.decode(text) if isinstance(text, str) else b""
    except KeyMalformed as exc:
        raise ProofMalformed(f"proofValue: {exc}") from exc
    if len(value) != 64:
        raise ProofMalformed(f"proofValue has {len(value)} bytes, an Ed25519 signature has 64")
    return value


def _unsecured(document: JsonObject) -> JsonObject:
    """Return the document as it was signed: without proofs, and without the LD signature, which is added later."""
    signed = {name: value for name, value in document.items() if name != "proof"}
    ld_signature: Json = signed.get("signature")
    if isinstance(ld_signature, dict) and ld_signature.get("type") == "RsaSignature2017":
        del signed["signature"]
    return signed


def _bound_to_context(document: JsonObject, options: JsonObject, work: WorkBudget) -> JsonObject:
    """Replace the document's context by the proof's, with which it must begin (VC DI EdDSA §3.3.2)."""
    if "@context" not in options:
        return document
    bound, declared = _as_array(options["@context"]), _as_array(document.get("@context"))
    # Compare canonical forms: in Python, 1 and True are equal.
    if jcs(declared[: len(bound)], work=work) != jcs(bound, work=work):
        raise ProofRefused(
            "the document's @context does not begin with that of its proof",
            explanation=Explanation(rule="VC Data Integrity EdDSA §3.3.2: context injection"),
        )
    return {**document, "@context": options["@context"]}


def _as_array(context: Json) -> list[Any]:
    return context if isinstance(context, list) else [] if context is None else [context]


def _read_graph(
    document: JsonObject, options: JsonObject, contexts: ContextTable, work: WorkBudget
) -> tuple[JsonObject, tuple[bytes, bytes]]:
    bound = _bound_to_context(document, options, work)
    check_text({**bound, "proof": options})
    graph = signed_graph(bound, contexts=contexts, work=work)
    configured = {**options, "@context": bound.get("@context")}
    _check_meaning(configured, contexts, work)
    configuration = canonicalize(configured, contexts=contexts, work=work)
    return graph.document, (configuration.encode(), graph.nquads.encode())


def _check_meaning(options: JsonObject, contexts: ContextTable, work: WorkBudget) -> None:
    """Refuse options whose contexts define their members otherwise than we read them.

    The signature covers statements, and the contexts of the document define which. A peer chooses those contexts. A
    context that leaves `created` undefined, and gives the signed value another name, would make an old proof new.
    """
    read_options = {name: value for name, value in options.items() if name in _READ_BY_NAME}
    expected = _values_by_iri(expand({**read_options, "@context": _OPTIONS_CONTEXT}, contexts=contexts, work=work))
    signed = _values_by_iri(expand(options, contexts=contexts, work=work))
    if any(signed.get(iri, []) != expected.get(iri, []) for iri in _READ_BY_MEANING):
        raise ProofRefused(
            "a proof whose context gives its members another meaning",
            explanation=Explanation(rule="a signature over a graph covers the meaning of its members, not their names"),
        )


def _values_by_iri(expanded: list[Any]) -> dict[str, list[str]]:
    """Return the values of an expanded proof by property. Datatypes are left out: they differ by context version."""
    if len(expanded) != 1:
        return {}
    node: JsonObject = expanded[0]
    values_by_iri: dict[str, list[str]] = {}
    value: Json
    for name, value in node.items():
        values: list[Any] = value if isinstance(value, list) else [value]
        values_by_iri[name] = sorted(map(_text_of, values))
    return values_by_iri


def _text_of(value: Json) -> str:
    return str(value.get("@id", value.get("@value"))) if isinstance(value, dict) else str(value)


def _hashes(options: bytes, document: bytes) -> bytes:
    # The options come first. The other order is the most common mistake.
    return sha256(options).digest() + sha256(document).digest()


# --- making ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class UnsignedProof:
    """A document and a proof that lacks its value."""

    document: JsonObject = field(repr=False)
    options: JsonObject = field(repr=False)
    data: bytes = field(repr=False)
    """The bytes to sign with Ed25519."""

    def attach(self, signature: bytes) -> JsonObject:
        """Return the document with this proof, after any others. Raise `ValueError` if this is no Ed25519 signature."""
        if len(signature) != 64:
            raise ValueError(f"an Ed25519 signature has 64 bytes, not {len(signature)}")
        proof = {**self.options, "proofValue": multibase.encode(signature)}
        others = _proofs_of(self.document)
        return {**self.document, "proof": [*others, proof] if others else proof}


def prepare(document: JsonObject, *, key_id: str, now: datetime, expires: datetime | None = None) -> UnsignedProof:
    """Prepare an `eddsa-jcs-2022` proof of ``document`` for its signature.

    Args:
        document: Complete, with its `@context`, which should define the terms of proofs
            (`https://w3id.org/security/data-integrity/v2`).
        key_id: A Multikey in the owner's `assertionMethod`.
        now: The value of `created`.
        expires: The end of the proof, if it has one.

    Raises:
        ValueError: The document has an LD signature, which must be added after the proof.
        DocumentError: The document has no canonical form.
    """
    if "signature" in document:
        raise ValueError("the document has an LD signature already: a proof must be made first")
    options: JsonObject = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "verificationMethod": key_id,
        "proofPurpose": _PURPOSE,
        "created": write_time(now),
    }
    if expires is not None:
        options["expires"] = write_time(expires)
    if "@context" in document:
        options = {"@context": document["@context"], **options}
    data = _hashes(jcs(options), jcs(_unsecured(document)))
    return UnsignedProof(document=document, options=options, data=data)


def create(document: JsonObject, key: PrivateKey, *, now: datetime, expires: datetime | None = None) -> JsonObject:
    """Add an `eddsa-jcs-2022` proof, signed with ``key``. Arguments and errors are those of `prepare`.

    Raises:
        ValueError: The key is not an Ed25519 key.
    """
    algorithm = key.choose_algorithm("ed25519")
    unsigned = prepare(document, key_id=key.key_id, now=now, expires=expires)
    return unsigned.attach(key.sign(unsigned.data, algorithm))
