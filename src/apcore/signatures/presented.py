"""The two steps of verification, and the values between them.

A key is needed to check a signature, and the signature says which. So whoever verifies does it in two steps, with the fetching of the key, which
is none of our business here, in between::

    presented = parse(request, policy, now)     # everything that can be decided without the key, cheapest first
    key = ...                                   # from a cache, or from the network, for presented.key_id
    verified = check(presented, key)            # the cryptography

`parse` has already held the signature against the policy: coverage, clock, host, and the digest of the body. What it refuses costs no fetch.
`check` does what is left, and raises rather than returns False, since ignoring the answer would be unsafe.

`Unsigned` is the same seam on the other side: the request that will be sent, the bytes to sign, and a place for the signature, so that the
private key may be in another process or another machine.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from hashlib import sha256

from attrs import evolve, field, frozen

from apcore.http.messages import Request
from apcore.signatures.errors import BadSignature, Explained, Explanation, KeyMismatch, redacted_base
from apcore.signatures.keys import Algorithm, PublicKey
from apcore.signatures.policy import Scheme, SignaturePolicy

__all__ = ["Base", "Presented", "Unsigned", "Verified", "check"]


@frozen
class Base:
    """One signing string that a signature may be over."""

    data: bytes = field(repr=False)
    query_covered: bool = True
    """Whether it binds the query of the URL."""


@frozen(kw_only=True)
class Presented:
    """A signature that was read and meets the policy, and has yet to be checked with the key it names."""

    scheme: Scheme
    key_id: str
    """Where the key is, as the sender wrote it."""
    algorithm: Algorithm | None
    """What the sender names; None leaves it to the key."""
    label: str | None = None
    """Its RFC 9421 label."""
    covered: tuple[str, ...]
    signed: int | None
    """When it was made, in seconds of the epoch; None only where the policy's coverage does not ask for it."""
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
        """What is known of it."""
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
    """A signature that holds. It authenticates the owner of this key, once the key's ownership is established, and nobody else."""

    scheme: Scheme
    key_id: str
    owner: str
    """The owner that the key claims."""
    algorithm: Algorithm
    label: str | None
    covered: tuple[str, ...]
    query_covered: bool
    """False if the peer signed the path alone: then whoever was in between may have changed the query."""
    signed: int | None
    expires: int | None
    nonce: str | None
    tag: str | None
    signature: bytes = field(repr=False)

    @property
    def replay_id(self) -> str:
        """Names this very signature, for a replay cache; keep it for the policy's `replay_window_s`."""
        return sha256(self.signature).hexdigest()


def check(presented: Presented, key: PublicKey) -> Verified:
    """Check a presented signature with the key that it names.

    The key's id, or its owner's id, has to be ``presented.key_id``: some servers name the actor instead of the key. A key that was found by
    another spelling (`acct:`) is passed as ``key.renamed(key_id=presented.key_id)``.

    Raises:
        KeyMismatch: Another key, or another type of key than the algorithm named.
        KeyWeak, KeyExpired, AlgorithmRefused: The policy refuses the key.
        BadSignature: It does not hold.
    """
    try:
        if presented.key_id not in {key.key_id, key.owner}:
            raise KeyMismatch(f"the signature names key {presented.key_id}, and was to be checked with {key.key_id}")
        algorithm = key.choose_algorithm(presented.algorithm)
        presented.policy.check_key(key, algorithm, presented.now)
        base = _base_that_holds(presented, key, algorithm)
    except Explained as exc:
        known = presented.explanation
        exc.explained(
            scheme=known.scheme,
            label=known.label,
            key_id=known.key_id,
            algorithm=known.algorithm,
            covered=known.covered,
            signing_string=known.signing_string,
            clock_offset_s=known.clock_offset_s,
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
    """A request on its way out, complete but for its signature."""

    request: Request
    """With every field that the signature covers."""
    data: bytes = field(repr=False)
    """What is to be signed."""
    prefix: str = field(repr=False)
    suffix: str = field(repr=False)
    """What stands around the base64 of the signature in its field."""

    def attach(self, signature: bytes) -> Request:
        """Give the request that can be sent."""
        value = f"{self.prefix}{b64encode(signature).decode('ascii')}{self.suffix}"
        return evolve(self.request, headers=self.request.headers.with_set("signature", value))
