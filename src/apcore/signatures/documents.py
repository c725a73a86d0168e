"""Verify signatures inside documents, in two steps as for requests.

Two things differ from a signed request. First, a document has no maximum age: it may be verified years after it was
signed. So only a time in the future and a passed expiry are refused, and other code decides whether the document is
*new*. Second, the signature may not cover the whole document. So verification returns the signed part, and you must use
no other part (never verify one thing and use another).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from apcore.jsonld import JsonObject
from apcore.signatures._parts import KEY_ID_CHARS_MAX
from apcore.signatures.errors import (
    ExplainedError,
    Explanation,
    KeyMismatch,
    ProofMalformed,
    ProofRefused,
    SignatureExpired,
    SignatureFromFuture,
)
from apcore.signatures.keys import Algorithm, PublicKey
from apcore.signatures.policy import SignaturePolicy

__all__ = ["DocumentScheme", "PresentedDocument", "VerifiedDocument", "check_document"]

DocumentScheme: TypeAlias = Literal["eddsa-jcs-2022", "eddsa-rdfc-2022", "RsaSignature2017"]

_ALGORITHMS: Final[dict[DocumentScheme, Algorithm]] = {
    "eddsa-jcs-2022": "ed25519",
    "eddsa-rdfc-2022": "ed25519",
    "RsaSignature2017": "rsa-v1_5-sha256",
}
# XML Schema's dateTime with a zone, which all of these schemes require.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@frozen(kw_only=True)
class PresentedDocument:
    """A parsed signature inside a document, ready to be checked with the key that it names."""

    scheme: DocumentScheme
    key_id: str
    """`verificationMethod`, or `creator`."""
    created: datetime
    expires: datetime | None
    document: JsonObject = field(repr=False)
    """The signed document."""
    data: bytes = field(repr=False)
    """The signed bytes: hashes."""
    signed_text: str = field(repr=False)
    """The hashed text, options first, for explanations."""
    signature: bytes = field(repr=False)
    policy: SignaturePolicy = field(repr=False)
    now: datetime = field(repr=False)


@frozen(kw_only=True)
class VerifiedDocument:
    """A valid signature inside a document.

    It authenticates ``document`` for the owner of this key, and nothing else.
    """

    scheme: DocumentScheme
    key_id: str
    owner: str
    """The owner that the key claims. Compare it with the document's owner once the key's ownership is established."""
    created: datetime
    expires: datetime | None
    document: JsonObject = field(repr=False)
    """The signed document. Use this, not the received one."""


def check_document(presented: PresentedDocument, key: PublicKey) -> VerifiedDocument:
    """Check a signature inside a document with the key that it names.

    Raises:
        KeyMismatch: The key has another id, or a type that the scheme does not use.
        KeyWeak, KeyExpired, AlgorithmRefused: The policy refuses the key.
        BadSignature: The signature does not hold.
    """
    try:
        if presented.key_id not in {key.key_id, key.owner}:
            raise KeyMismatch(f"the document names key {presented.key_id}, not {key.key_id}")
        algorithm = key.choose_algorithm(_ALGORITHMS[presented.scheme])
        presented.policy.check_key(key, algorithm, presented.now)
        key.verify(presented.signature, presented.data, algorithm)
    except ExplainedError as exc:
        exc.explained(
            scheme=presented.scheme,
            key_id=presented.key_id,
            algorithm=_ALGORITHMS[presented.scheme],
            signing_string=presented.signed_text,
            key=key.described,
            clock_offset_s=int((presented.created - presented.now).total_seconds()),
        )
        raise
    return VerifiedDocument(
        scheme=presented.scheme,
        key_id=presented.key_id,
        owner=key.owner,
        created=presented.created,
        expires=presented.expires,
        document=presented.document,
    )


# --- for the schemes ------------------------------------------------------------------------------------------------


def read_name(proof: JsonObject, member: str) -> str:
    """Return the id of the key that a proof names. Raises `ProofMalformed`."""
    name = proof.get(member)
    if not isinstance(name, str) or not 0 < len(name) <= KEY_ID_CHARS_MAX or not name.isprintable():
        raise ProofMalformed(f"the {member} of a proof is not a key id")
    return name


def read_time(proof: JsonObject, member: str) -> datetime | None:
    """Return a time of a proof, None if it has none. Raises `ProofMalformed`."""
    text = proof.get(member)
    if text is None:
        return None
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is not None:
            return datetime.fromisoformat(match[1] + ("+00:00" if match[2] == "Z" else match[2])).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ProofMalformed(f"the {member} of a proof is not a time with a zone: {str(text)[:60]!r}")


def known_of(scheme: DocumentScheme, proof: JsonObject, member: str, now: datetime) -> dict[str, object]:
    """Return the facts of a refused proof for its explanation. ``member`` names the proof's key."""
    facts: dict[str, object] = {"scheme": scheme, "algorithm": _ALGORITHMS[scheme]}
    try:
        facts["key_id"] = read_name(proof, member)
        created = read_time(proof, "created")
    except ProofMalformed:
        return facts
    return facts if created is None else {**facts, "clock_offset_s": int((created - now).total_seconds())}


def write_time(moment: datetime) -> str:
    """Format a time as all schemes here need it: to the second, in UTC. `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment!r} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_moments(created: datetime, expires: datetime | None, *, now: datetime, policy: SignaturePolicy) -> None:
    """Refuse a proof from the future or an expired one. Raises `SignatureFromFuture`, `SignatureExpired`."""
    ahead_s = (created - now).total_seconds()
    if ahead_s > policy.clock_skew_s:
        raise SignatureFromFuture(
            f"created {ahead_s:.0f} s ahead of our clock, at most {policy.clock_skew_s} s are accepted",
            explanation=Explanation(rule=f"policy {policy.name}: clock_skew_s", clock_offset_s=int(ahead_s)),
        )
    if expires is not None and (now - expires).total_seconds() > policy.clock_skew_s:
        raise SignatureExpired(
            f"expired at {expires.isoformat()}, at most {policy.clock_skew_s} s ago are accepted",
            explanation=Explanation(rule=f"policy {policy.name}: expires", clock_offset_s=int(ahead_s)),
        )


def check_meant_for(proof: JsonObject, member: str, expected: str | None) -> None:
    """Compare `domain` or `challenge` with the expected value. Raises `ProofRefused`.

    A value where none is expected is refused too: the proof was made for another receiver.
    """
    actual = proof.get(member)
    if actual != expected:
        raise ProofRefused(
            f"the {member} of a proof is {str(actual)[:80]!r}, expected {expected!r}",
            explanation=Explanation(rule=f"VC Data Integrity §4.4: {member}"),
        )


def check_text(document: JsonObject) -> None:
    """Refuse text that cannot be encoded: half a surrogate pair, which `parse_json` rejects.

    Raises `ProofMalformed`.
    """
    try:
        _ = json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as exc:  # UnicodeEncodeError is a ValueError
        raise ProofMalformed(f"the document cannot be written as JSON: {type(exc).__name__}") from exc
