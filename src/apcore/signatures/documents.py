"""Signatures inside documents: the two steps of verification, as for requests, and what both schemes share.

Two things differ from a signed request. A document has no age: it may be verified years after it was signed, so only a time in the future and an
expiry that has passed are refused, and what is *new* is for others to decide. And what was signed is not always all that the document says:
so verification hands on the signed document, and nothing else of it may be used (never verify one thing and use another).
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
    Explained,
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
# XML Schema's dateTime with a zone, which all of these schemes demand.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@frozen(kw_only=True)
class PresentedDocument:
    """A signature inside a document that was read and may be checked with the key that it names."""

    scheme: DocumentScheme
    key_id: str
    """`verificationMethod`, or `creator`."""
    created: datetime
    expires: datetime | None
    document: JsonObject = field(repr=False)
    """What is signed."""
    data: bytes = field(repr=False)
    """What the signature is over: hashes."""
    signed_text: str = field(repr=False)
    """What was hashed, the options first, for explanations."""
    signature: bytes = field(repr=False)
    policy: SignaturePolicy = field(repr=False)
    now: datetime = field(repr=False)


@frozen(kw_only=True)
class VerifiedDocument:
    """A signature inside a document that holds. It authenticates ``document``, for the owner of this key, and nothing else."""

    scheme: DocumentScheme
    key_id: str
    owner: str
    """The owner that the key claims; to be compared with the document's once the key's ownership is established."""
    created: datetime
    expires: datetime | None
    document: JsonObject = field(repr=False)
    """What was signed. Use this, not what was received."""


def check_document(presented: PresentedDocument, key: PublicKey) -> VerifiedDocument:
    """Check a signature inside a document with the key that it names.

    Raises:
        KeyMismatch: Another key, or another type of key than the scheme takes.
        KeyWeak, KeyExpired, AlgorithmRefused: The policy refuses the key.
        BadSignature: It does not hold.
    """
    try:
        if presented.key_id not in {key.key_id, key.owner}:
            raise KeyMismatch(f"the document names key {presented.key_id}, and was to be checked with {key.key_id}")
        algorithm = key.choose_algorithm(_ALGORITHMS[presented.scheme])
        presented.policy.check_key(key, algorithm, presented.now)
        key.verify(presented.signature, presented.data, algorithm)
    except Explained as exc:
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
    """Give the id of the key that a proof names. Raises `ProofMalformed`."""
    name = proof.get(member)
    if not isinstance(name, str) or not 0 < len(name) <= KEY_ID_CHARS_MAX or not name.isprintable():
        raise ProofMalformed(f"a proof whose {member} is no id of a key")
    return name


def read_time(proof: JsonObject, member: str) -> datetime | None:
    """Give a time of a proof, None if it has none. Raises `ProofMalformed`."""
    text = proof.get(member)
    if text is None:
        return None
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is not None:
            return datetime.fromisoformat(match[1] + ("+00:00" if match[2] == "Z" else match[2])).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ProofMalformed(f"a proof whose {member} is no time with a zone: {str(text)[:60]!r}")


def known_of(scheme: DocumentScheme, proof: JsonObject, member: str, now: datetime) -> dict[str, object]:
    """Give what an explanation can tell of a proof that was refused; ``member`` is the one that names its key."""
    known: dict[str, object] = {"scheme": scheme, "algorithm": _ALGORITHMS[scheme]}
    try:
        known["key_id"] = read_name(proof, member)
        created = read_time(proof, "created")
    except ProofMalformed:
        return known
    return known if created is None else {**known, "clock_offset_s": int((created - now).total_seconds())}


def write_time(moment: datetime) -> str:
    """Write a time as every scheme here has it: to the second, in UTC. `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment!r} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_moments(created: datetime, expires: datetime | None, *, now: datetime, policy: SignaturePolicy) -> None:
    """Refuse a proof of the future or one that has ended. Raises `SignatureFromFuture`, `SignatureExpired`."""
    ahead_s = (created - now).total_seconds()
    if ahead_s > policy.clock_skew_s:
        raise SignatureFromFuture(
            f"created {ahead_s:.0f} s after our clock, tolerated are {policy.clock_skew_s} s",
            explanation=Explanation(rule=f"policy {policy.name}: clock_skew_s", clock_offset_s=int(ahead_s)),
        )
    if expires is not None and expires < now:
        raise SignatureExpired(
            f"expired at {expires.isoformat()}",
            explanation=Explanation(rule="the proof's own expires", clock_offset_s=int(ahead_s)),
        )


def check_meant_for(proof: JsonObject, member: str, expected: str | None) -> None:
    """Hold `domain` or `challenge` against what the caller expects; one that nobody asked for is for somebody else. Raises `ProofRefused`."""
    given = proof.get(member)
    if given != expected:
        raise ProofRefused(
            f"a proof whose {member} is {str(given)[:80]!r}, expected {expected!r}",
            explanation=Explanation(rule=f"VC Data Integrity §4.4: {member}"),
        )


def check_text(document: JsonObject) -> None:
    """Refuse text that has no bytes: half a surrogate pair, which `parse_json` lets nobody send. Raises `ProofMalformed`."""
    try:
        _ = json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as exc:  # UnicodeEncodeError is a ValueError
        raise ProofMalformed(
            f"the document is no JSON document that could have been sent: {type(exc).__name__}"
        ) from exc
