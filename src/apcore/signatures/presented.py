"""Verify a signature in two steps, with the fetch of the key between them.

The signature names its key, so it must be parsed before the key can be fetched. The fetch is the caller's task::

    presented = parse(request, policy, now)     # everything that can be decided without the key, cheapest first
    key = ...                                   # from a cache, or from the network, for presented.key_id
    verified = check(presented, key)            # the cryptography

`parse` has already checked the signature against the policy: coverage, clock, host, and the digest of the body. A
refused signature costs no fetch. `check` does the rest, and raises rather than returns False, since a caller could
forget to look at the result.

`Unsigned` is the counterpart for signing: the request to send, the bytes to sign, and a place for the signature. So the
private key may be in another process or on another machine.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from typing import Final

from attrs import evolve, field, frozen

from apcore.http.messages import Request
from apcore.signatures.errors import BadSignature, ExplainedError, Explanation, KeyMismatch, redacted_base
from apcore.signatures.keys import Algorithm, PublicKey
from apcore.signatures.policy import SignaturePolicy, SignatureScheme

__all__ = ["AUTHORIZATION_SCHEME", "Base", "Presented", "Unsigned", "Verified", "check", "has_authorization"]

AUTHORIZATION_SCHEME: Final = "signature "
"""The start of an `Authorization` with a signature, in lower case."""


@frozen
class Base:
    """One possible signing string of a signature."""

    data: bytes = field(repr=False)
    query_covered: bool = True
    """Whether it binds the query of the URL."""


@frozen(kw_only=True)
class Presented:
    """A parsed signature that meets the policy, to be checked with the key that it names."""

    scheme: SignatureScheme
    key_id: str
    """The id of the key, as the sender wrote it."""
    algorithm: Algorithm | None
    """The algorithm that the sender names; None leaves it to the key."""
    label: str | None = None
    """Its RFC 9421 label."""
    covered: tuple[str, ...]
    signed: int | None
    """The time of signing, in seconds of the epoch; None only if the policy's coverage does not require it."""
    expires: int | None = None
    nonce: str | None = None
    tag: str | None = None
    signature: bytes = field(repr=False)
    bases: tuple[Base, ...] = field(repr=False)
    """The signing strings to try, in order: dialects build them differently."""
    policy: SignaturePolicy = field(repr=False)
    now: datetime = field(repr=False)

    @property
    def explanation(self) -> Explanation:
        """Return the known facts about the signature."""
        return Explanation(
            scheme=self.scheme,
            label=self.label,
            key_id=self.key_id,
            algorithm=self.algorithm,
            covered=self.covered,
            signing_string=redacted_base(self.bases[0].data),
            clock_offset_s=None if self.signed is None else self.signed - int(self.now.timestamp()),
        )


@frozen(kw_only=True)
class Verified:
    """A valid signature. It authenticates the owner of this key, once the key's ownership is established."""

    scheme: SignatureScheme
    key_id: str
    owner: str
    """The owner that the key claims."""
    algorithm: Algorithm
    label: str | None
    covered: tuple[str, ...]
    query_covered: bool
    """False if the peer signed the path alone. Then the query may have been changed in transit."""
    signed: int | None
    expires: int | None
    nonce: str | None
    tag: str | None
    signature: bytes = field(repr=False)

    @property
    def replay_id(self) -> str:
        """Return an id of exactly this signature for a replay cache. Keep it for the policy's `replay_window_s`."""
        return sha256(self.signature).hexdigest()


def has_authorization(request: Request) -> bool:
    """Return whether the request has its signature in `Authorization`, which the draft allows too."""
    authorization = request.headers.get("authorization") or ""
    return authorization[: len(AUTHORIZATION_SCHEME)].lower() == AUTHORIZATION_SCHEME


def check(presented: Presented, key: PublicKey) -> Verified:
    """Check a presented signature with the key that it names.

    The key's id, or its owner's id, must be ``presented.key_id``: some servers name the actor instead of the key. If
    you found the key by another spelling (`acct:`), pass ``key.renamed(key_id=presented.key_id)``.

    Raises:
        KeyMismatch: The key has another id, or a type that does not fit the named algorithm.
        KeyWeak, KeyExpired, AlgorithmRefused: The policy refuses the key.
        BadSignature: The signature does not hold.
    """
    try:
        if presented.key_id not in {key.key_id, key.owner}:
            raise KeyMismatch(f"the signature names key {presented.key_id}, not {key.key_id}")
        algorithm = key.choose_algorithm(presented.algorithm)
        presented.policy.check_key(key, algorithm, presented.now)
        base = _base_that_holds(presented, key, algorithm)
    except ExplainedError as exc:
        explanation = presented.explanation
        exc.explained(
            scheme=explanation.scheme,
            label=explanation.label,
            key_id=explanation.key_id,
            algorithm=explanation.algorithm,
            covered=explanation.covered,
            signing_string=explanation.signing_string,
            clock_offset_s=explanation.clock_offset_s,
            key=key.described,
        )
        raise
    return Verified(
        scheme=presented.scheme,
        key_id=presented.key_id,
        owner=key.owner,
        algorithm=algorithm,
        label=presented.label,
        covered=presented.covered,
        query_covered=base.query_covered,
        signed=presented.signed,
        expires=presented.expires,
        nonce=presented.nonce,
        tag=presented.tag,
        signature=presented.signature,
    )


def _base_that_holds(presented: Presented, key: PublicKey, algorithm: Algorithm) -> Base:
    last = len(presented.bases) - 1
    for number, base in enumerate(presented.bases):
        try:
            key.verify(presented.signature, base.data, algorithm, dss_der=presented.scheme == "cavage")
        except BadSignature:
            if number == last:
                raise
        else:
            return base
    raise AssertionError("a presented signature has at least one signing string")


@frozen(kw_only=True)
class Unsigned:
    """An outgoing request, complete except for its signature."""

    request: Request
    """With every field that the signature covers."""
    data: bytes = field(repr=False)
    """The bytes to sign."""
    prefix: str = field(repr=False)
    suffix: str = field(repr=False)
    """The text around the base64 of the signature in its field."""

    def attach(self, signature: bytes) -> Request:
        """Return the signed request."""
        value = f"{self.prefix}{b64encode(signature).decode('ascii')}{self.suffix}"
        return evolve(self.request, headers=self.request.headers.with_set("signature", value))
