"""Make and verify Linked Data Signatures as Mastodon uses them: `RsaSignature2017`.

The member `signature` is inside the document that it signs. The signed text is two hashes in hexadecimal, one after the
other: that of the signature's own members (under the context `identity/v1`, without `type`, `id` and `signatureValue`),
and that of the document without the signature. Each is the SHA-256 of canonical N-Quads. The algorithm is RSA, PKCS #1
v1.5, SHA-256.

The scheme is old, binds no audience, and signs statements instead of a document. `apcore.signatures.graphs` explains
and handles the consequences. Verify such a signature if an activity was relayed and has no better one; make them only
on request.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import datetime
from hashlib import sha256
from typing import Final

from attrs import field, frozen

from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextTable, Json, JsonObject, WorkBudget, canonicalize
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
from apcore.signatures.errors import ExplainedError, ProofMalformed, SignatureMissing
from apcore.signatures.graphs import signed_graph
from apcore.signatures.keys import PrivateKey
from apcore.signatures.policy import DEFAULT, SignaturePolicy

__all__ = ["UnsignedDocument", "create", "parse", "prepare"]

_TYPE: Final = "RsaSignature2017"
_OPTIONS_CONTEXT: Final = "https://w3id.org/identity/v1"
_NOT_SIGNED: Final = frozenset({"type", "id", "signatureValue"})


def parse(
    document: JsonObject,
    *,
    now: datetime,
    contexts: ContextTable = BUNDLED,
    policy: SignaturePolicy = DEFAULT,
    work: WorkBudget | None = None,
) -> PresentedDocument:
    """Parse the LD signature of ``document``.

    Args:
        document: As parsed; not changed.
        now: The current time.
        contexts: The definitions of its contexts. A missing one raises `ContextNeeded`. A table that ignores it
            (`ignoring`) leaves its terms out of the statements, so that the signature fails if they were signed.
        policy: Clock skew and key sizes.
        work: The budget of the document, if earlier steps spent from it too. By default this call makes its own.

    Returns:
        The signature, and in `document` the signed part, in our own context (`apcore.signatures.graphs`).

    Raises:
        SignatureMissing: There is none of this type.
        ProofMalformed, ProofRefused, SignatureFromFuture, SignatureExpired: The signature is malformed or refused.
        GraphRestructured: The document can be read in more than one way.
        DocumentError, LimitExceeded: The document is not JSON-LD, or too expensive.
    """
    signature: Json = document.get("signature")
    if not isinstance(signature, dict) or signature.get("type") != _TYPE:
        raise SignatureMissing("the document has no RsaSignature2017")
    if work is None:
        work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    try:
        return _read(document, signature, now=now, contexts=contexts, policy=policy, work=work)
    except ExplainedError as exc:
        exc.explained(rule="Linked Data Signatures 1.0", **known_of(_TYPE, signature, "creator", now))
        raise


def _read(
    document: JsonObject,
    signature: JsonObject,
    *,
    now: datetime,
    contexts: ContextTable,
    policy: SignaturePolicy,
    work: WorkBudget,
) -> PresentedDocument:
    check_text(document)
    key_id = read_name(signature, "creator")
    created, expires = read_time(signature, "created"), read_time(signature, "expires")
    if created is None:
        raise ProofMalformed("the signature has no created time")
    check_moments(created, expires, now=now, policy=policy)
    check_meant_for(signature, "domain", None)
    value = _value_of(signature)
    graph = signed_graph(_without_signature(document), contexts=contexts, work=work)
    options = _options_text(signature, contexts, work)
    return PresentedDocument(
        scheme=_TYPE,
        key_id=key_id,
        created=created,
        expires=expires,
        document=graph.document,
        data=_hashes(options, graph.nquads),
        signed_text=options + graph.nquads,
        signature=value,
        policy=policy,
        now=now,
    )


def _value_of(signature: JsonObject) -> bytes:
    text = signature.get("signatureValue")
    try:
        value = a2b_base64("".join(text.split()), strict_mode=True) if isinstance(text, str) else b""
    except (Base64Error, ValueError) as exc:
        raise ProofMalformed(f"signatureValue is not padded base64: {exc}") from exc
    if not value:
        raise ProofMalformed("the signature has no signatureValue")
    return value


def _without_signature(document: JsonObject) -> JsonObject:
    return {name: value for name, value in document.items() if name != "signature"}


def _options_text(signature: JsonObject, contexts: ContextTable, work: WorkBudget) -> str:
    options = {name: value for name, value in signature.items() if name not in _NOT_SIGNED}
    return canonicalize({**options, "@context": _OPTIONS_CONTEXT}, contexts=contexts, work=work)


def _hashes(options: str, document: str) -> bytes:
    return "".join(sha256(text.encode("utf-8")).hexdigest() for text in (options, document)).encode("ascii")


# --- making ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class UnsignedDocument:
    """A document and an LD signature that lacks its value."""

    document: JsonObject = field(repr=False)
    options: JsonObject = field(repr=False)
    data: bytes = field(repr=False)
    """The bytes to sign with RSA, PKCS #1 v1.5 and SHA-256."""

    def attach(self, signature: bytes) -> JsonObject:
        """Return the signed document."""
        value = b64encode(signature).decode("ascii")
        return {**self.document, "signature": {"type": _TYPE, **self.options, "signatureValue": value}}


def prepare(document: JsonObject, *, key_id: str, now: datetime, contexts: ContextTable = BUNDLED) -> UnsignedDocument:
    """Prepare ``document`` for its LD signature. If it gets a proof too, make the proof first.

    Raises:
        ValueError: It has a signature already.
        GraphRestructured, DocumentError, LimitExceeded: apcore would not verify the result itself.
    """
    if "signature" in document:
        raise ValueError("the document has a signature already")
    options: JsonObject = {"creator": key_id, "created": write_time(now)}
    work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    graph = signed_graph(document, contexts=contexts, work=work)
    return UnsignedDocument(
        document=document, options=options, data=_hashes(_options_text(options, contexts, work), graph.nquads)
    )


def create(document: JsonObject, key: PrivateKey, *, now: datetime, contexts: ContextTable = BUNDLED) -> JsonObject:
    """Sign ``document`` with a local key. Errors as for `prepare`, and `ValueError` for another type of key."""
    key_algorithm = key.choose_algorithm("rsa-v1_5-sha256")
    unsigned = prepare(document, key_id=key.key_id, now=now, contexts=contexts)
    return unsigned.attach(key.sign(unsigned.data, key_algorithm))
