"""Object integrity proofs (FEP-8b32): `eddsa-jcs-2022`, made and checked, and `eddsa-rdfc-2022`, checked.

A proof is a member of the document it is about. What is signed is SHA-256 of the proof without its value, then SHA-256 of the document without
its proofs: both as canonical bytes, so the order of members does not matter, and the order of array elements does.

Rules that are easily missed:

- Everything in the proof but `proofValue` is signed, members that nobody knows included.
- A proof with an `@context` of its own binds that context: the document's has to begin with it, and what the document adds is *not* signed. So
  the document that is handed on carries the proof's context. A proof without one (older drafts) binds the document's context as a member.
- An LD `signature` was added after the proof, so it is taken out first; and it is not part of what is handed on.
- Proofs of other suites are passed over; a proof of ours that is wrong is an error, even beside one that holds.
- `eddsa-rdfc-2022` signs a graph, with all that `apcore.signatures.graphs` says about that.

Whether the key is in the owner's `assertionMethod`, and its owner the owner of the document, is for the caller.
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

__all__ = ["PROOFS_MAX", "UnsignedProof", "create", "parse", "prepare"]

PROOFS_MAX: Final = 8
"""Proofs on one document that are read; FEP-8b32 advises a single one."""

Suite = Literal["eddsa-jcs-2022", "eddsa-rdfc-2022"]
_PURPOSE: Final = "assertionMethod"
_OPTIONS_CONTEXT: Final = "https://w3id.org/security/data-integrity/v2"
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
        document: As parsed from the bytes that came, every member kept; not changed.
        now: Our clock.
        domain: What `domain` has to be; a proof that names one is refused where none is expected.
        challenge: What `challenge` has to be, likewise.
        contexts: For `eddsa-rdfc-2022` alone.
        policy: Clock skew and key sizes.
        work: The budget of the document, if it was read before and more is left of it; by default it is made for this.

    Returns:
        Every proof of a suite that is known here, at least one. Each has to be checked, and one that does not hold is a reason not to
        believe the document, whatever the others say.

    Raises:
        SignatureMissing: There is none.
        ProofMalformed, ProofRefused, SignatureFromFuture, SignatureExpired: One is not what it has to be.
        DocumentError, LimitExceeded: The document has no canonical form, or too large a one.
    """
    proofs = _proofs_of(document)
    known = [proof for proof in proofs if _suite_of(proof) is not None]
    if not known:
        raise SignatureMissing("the document has no proof of a suite that is known here")
    if work is None:
        work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    return tuple(
        _read(document, proof, now=now, domain=domain, challenge=challenge, contexts=contexts, policy=policy, work=work)
        for proof in known
    )


def _proofs_of(document: JsonObject) -> list[JsonObject]:
    found: Json = document.get("proof")
    proofs: list[Any] = found if isinstance(found, list) else [] if found is None else [found]
    if len(proofs) > PROOFS_MAX:
        raise ProofMalformed(f"{len(proofs)} proofs on one document, at most {PROOFS_MAX}")
    for proof in proofs:
        if not isinstance(proof, dict):
            raise ProofMalformed("a proof that is no object")
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
        # A link of a chain signs the proofs before it as well; FEP-8b32 has no chains.
        raise ProofRefused("a proof that depends on another one (previousProof)")
    check_meant_for(proof, "domain", domain)
    check_meant_for(proof, "challenge", challenge)
    created, expires = read_time(proof, "created"), read_time(proof, "expires")
    if created is None:
        raise ProofMalformed("a proof that does not say when it was created")
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
        raise ProofMalformed(f"proofValue has {len(value)} bytes, a signature of Ed25519 has 64")
    return value


def _unsecured(document: JsonObject) -> JsonObject:
    """Give the document as it was when it was signed: without proofs, and without the LD signature that came later."""
    signed = {name: value for name, value in document.items() if name != "proof"}
    later: Json = signed.get("signature")
    if isinstance(later, dict) and later.get("type") == "RsaSignature2017":
        del signed["signature"]
    return signed


def _bound_to_context(document: JsonObject, options: JsonObject, work: WorkBudget) -> JsonObject:
    """Put the proof's context in the place of the document's, of which it has to be the beginning (VC DI EdDSA §3.3.2)."""
    if "@context" not in options:
        return document
    bound, given = _as_array(options["@context"]), _as_array(document.get("@context"))
    # By canonical form: to Python, 1 and true are equal.
    if jcs(given[: len(bound)], work=work) != jcs(bound, work=work):
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
    """Refuse options that do not mean what they are read as: what is signed are statements, and the document's contexts say which.

    Those are a stranger's to choose. One that gives `created` no meaning, and the signed value another name, would make an old proof new.
    """
    named = {name: value for name, value in options.items() if name in _READ_BY_NAME}
    meant = _said_of(expand({**named, "@context": _OPTIONS_CONTEXT}, contexts=contexts, work=work))
    said = _said_of(expand(options, contexts=contexts, work=work))
    if any(said.get(iri, []) != meant.get(iri, []) for iri in _READ_BY_MEANING):
        raise ProofRefused(
            "a proof whose context gives its members another meaning",
            explanation=Explanation(rule="a signature over a graph covers what its members mean, and not their names"),
        )


def _said_of(expanded: list[Any]) -> dict[str, list[str]]:
    """Give what an expanded proof says, by what it says it of; datatypes aside, which differ by the version of the context."""
    if len(expanded) != 1:
        return {}
    node: JsonObject = expanded[0]
    said: dict[str, list[str]] = {}
    value: Json
    for name, value in node.items():
        values: list[Any] = value if isinstance(value, list) else [value]
        said[name] = sorted(map(_said, values))
    return said


def _said(value: Json) -> str:
    return str(value.get("@id", value.get("@value"))) if isinstance(value, dict) else str(value)


def _hashes(options: bytes, document: bytes) -> bytes:
    # The options come first: the other order is the commonest mistake.
    return sha256(options).digest() + sha256(document).digest()


# --- making ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class UnsignedProof:
    """A document and a proof that lacks its value."""

    document: JsonObject = field(repr=False)
    options: JsonObject = field(repr=False)
    data: bytes = field(repr=False)
    """What is to be signed with Ed25519."""

    def attach(self, signature: bytes) -> JsonObject:
        """Give the document with its proof, beside those that it has. `ValueError` for what is no Ed25519 signature."""
        if len(signature) != 64:
            raise ValueError(f"a signature of Ed25519 has 64 bytes, not {len(signature)}")
        proof = {**self.options, "proofValue": multibase.encode(signature)}
        others = _proofs_of(self.document)
        return {**self.document, "proof": [*others, proof] if others else proof}


def prepare(document: JsonObject, *, key_id: str, now: datetime, expires: datetime | None = None) -> UnsignedProof:
    """Get an `eddsa-jcs-2022` proof of ``document`` ready for its signature.

    Args:
        document: Complete, with its `@context`, which should have the terms of proofs (`https://w3id.org/security/data-integrity/v2`).
        key_id: A Multikey in the owner's `assertionMethod`.
        now: Becomes `created`.
        expires: When the proof is to end.

    Raises:
        ValueError: The document has an LD signature, which comes after the proof and not before.
        DocumentError: It has no canonical form.
    """
    if "signature" in document:
        raise ValueError("the document has a signature already: the proof is made first")
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
    """Add an `eddsa-jcs-2022` proof with a key at hand; arguments and errors as `prepare`, and `ValueError` for another type of key."""
    chosen = key.choose_algorithm("ed25519")
    unsigned = prepare(document, key_id=key.key_id, now=now, expires=expires)
    return unsigned.attach(key.sign(unsigned.data, chosen))
