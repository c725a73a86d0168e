"""Define the requirements for signatures as a value: schemes, algorithms, coverage, clocks, key sizes.

Signatures in the fediverse cover different components, and the specifications require little: under both schemes a
signature over `Date` alone is well-formed, and worthless. So a policy lists the required components. `Coverage` is a
conjunction of choices: every group needs one of its alternatives, and an alternative is a set of components that must
all be covered.

There are three presets. `DEFAULT` accepts the signatures of all current servers, and requires that target, host, body
and time are covered. `STRICT` refuses more, at the price of some peers: it has a short window, and requires the query.
`LENIENT` is for old software and for the analysis of captured requests: short RSA keys, `Authorization: Signature`, and
as little coverage as Mastodon accepts.

Clock skew and age are separate. Skew is the accepted difference between two clocks, in either direction. Age is the
accepted time of a signature in transit. A signature that names its own expiry may live longer than `age_s_max`, up to
`lifetime_s_max`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias

from attrs import Attribute, evolve, field, frozen

from apcore.signatures.errors import (
    AlgorithmRefused,
    CoverageTooSmall,
    Explanation,
    KeyExpired,
    KeyWeak,
    SignatureExpired,
    SignatureFromFuture,
    SignatureTooOld,
)
from apcore.signatures.key_formats import RSA_BITS_MAX, RSA_BITS_MIN
from apcore.signatures.keys import ALGORITHMS, Algorithm, PublicKey

__all__ = ["DEFAULT", "LENIENT", "PRESETS", "STRICT", "Coverage", "SignaturePolicy", "SignatureScheme"]

SignatureScheme: TypeAlias = Literal["cavage", "rfc9421"]

Coverage: TypeAlias = tuple[tuple[frozenset[str], ...], ...]
"""Groups of alternatives of components: every group needs one alternative with all components covered."""


def _any_of(*names: str) -> tuple[frozenset[str], ...]:
    """Return a group that any one of these components satisfies."""
    return tuple(frozenset({name}) for name in names)


_CAVAGE_READ: Final[Coverage] = (_any_of("(request-target)"), _any_of("host"), _any_of("date", "(created)"))
# RFC 9530 has replaced `Digest`; both are checked against the body wherever they are covered.
_BODY: Final = _any_of("digest", "content-digest")
_CAVAGE_WRITE: Final[Coverage] = (*_CAVAGE_READ, _BODY)
# The three ways to name the target completely. "@query" counts as covered where the URL has none.
_TARGET: Final = (
    frozenset({"@target-uri"}),
    frozenset({"@request-target", "@authority"}),
    frozenset({"@path", "@query", "@authority"}),
)
_RFC9421_READ: Final[Coverage] = (_any_of("@method"), _TARGET)
_RFC9421_WRITE: Final[Coverage] = (*_RFC9421_READ, _any_of("content-digest"))


def _positive(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, not {value!r}")


def _not_negative(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative: {value!r}")


@frozen(kw_only=True)
class SignaturePolicy:
    """The rules for accepting a signature. Start from a preset, and change fields with `with_`.

    `ValueError` for values that can never be right.
    """

    name: str = "default"
    """For explanations and logs."""
    schemes: frozenset[SignatureScheme] = frozenset({"cavage", "rfc9421"})
    algorithms: frozenset[Algorithm] = ALGORITHMS
    rsa_bits_min: int = 2048
    rsa_bits_max: int = RSA_BITS_MAX
    cavage_read: Coverage = _CAVAGE_READ
    """The required coverage of draft-cavage on GET and HEAD."""
    cavage_write: Coverage = _CAVAGE_WRITE
    """The required coverage of draft-cavage on every other method, and on requests with a body."""
    rfc9421_read: Coverage = _RFC9421_READ
    rfc9421_write: Coverage = _RFC9421_WRITE
    clock_skew_s: int = field(default=3600, validator=_not_negative)
    """The accepted lead of a peer's clock, and the time that a signed request is still accepted after its expiry.
    Fedify and Mastodon accept 1 h.
    """
    age_s_max: int = field(default=3600, validator=_positive)
    """The maximum age of a signature without expiry. Servers use from 60 s (Takahe) to a day (Pixelfed); 1 h is
    Fedify's value.
    """
    lifetime_s_max: int = field(default=12 * 3600, validator=_positive)
    """The maximum age of a signature with an expiry. 12 h is Mastodon's value."""
    query_optional: bool = True
    """On GET and HEAD, also try `(request-target)` without the query. Misskey, Pixelfed, Takahe and Pleroma sign it
    like that.
    """
    ld_signatures: bool = True
    """Accept `RsaSignature2017` on activities that others deliver for the actor: Mastodon's relays, and forwarded
    replies.
    """
    asks_origin: bool = True
    """Ask an actor's own server about an activity that another server delivers without proof."""
    authorization: bool = False
    """Accept draft-cavage in `Authorization: Signature`, which the draft allows and servers do not send."""
    pseudo_headers_any_algorithm: bool = True
    """Accept `(created)` and `(expires)` with an algorithm other than hs2019. The draft forbids it; Lemmy's compatible
    mode sends it.
    """
    labels_max: int = field(default=8, validator=_positive)
    """The most RFC 9421 signatures on one message. Each costs a verification."""
    covered_max: int = field(default=64, validator=_positive)
    """The most components that one signature may cover. The longest list in use has eleven."""

    def __attrs_post_init__(self) -> None:
        if not self.schemes or not self.algorithms:
            raise ValueError("a policy without schemes or without algorithms refuses everything")
        if not RSA_BITS_MIN <= self.rsa_bits_min <= self.rsa_bits_max <= RSA_BITS_MAX:
            raise ValueError(
                f"rsa_bits_min {self.rsa_bits_min} and rsa_bits_max {self.rsa_bits_max} must lie in order"
                f" between {RSA_BITS_MIN} and {RSA_BITS_MAX}"
            )

    def with_(self, **changes: object) -> SignaturePolicy:
        """Return a policy with ``changes``."""
        return evolve(self, **changes)  # type: ignore[arg-type]

    @property
    def replay_window_s(self) -> int:
        """Return the longest time that a signature may be accepted. A replay cache must remember it that long."""
        # A signature may be used from `clock_skew_s` before its time until its maximum age, both times included.
        return max(self.age_s_max, self.lifetime_s_max) + self.clock_skew_s + 1

    def coverage(self, scheme: SignatureScheme, method: str, *, has_body: bool) -> Coverage:
        """Return the required coverage of a signature on such a message."""
        reading = method in {"GET", "HEAD"} and not has_body
        if scheme == "cavage":
            return self.cavage_read if reading else self.cavage_write
        return self.rfc9421_read if reading else self.rfc9421_write

    def check_coverage(self, coverage: Coverage, covered: Iterable[str]) -> None:
        """Check ``covered`` against ``coverage``.

        Raises:
            CoverageTooSmall: A group is not satisfied; the message names its alternatives.
        """
        covered_names = frozenset(covered)
        for group in coverage:
            for alternative in group:
                if alternative <= covered_names:
                    break
            else:
                alternatives = " or ".join(" with ".join(sorted(alternative)) for alternative in group)
                raise CoverageTooSmall(
                    f"the signature does not cover {alternatives}",
                    explanation=Explanation(rule=f"policy {self.name}: minimum coverage"),
                )

    def check_times(self, *, signed: int, expires: int | None, now_s: float, expires_signed: bool = True) -> None:
        """Check the times of a signature against the clock.

        Args:
            signed: The time of signing, in seconds of the epoch. It is covered, so it is true if the signature holds.
            expires: The expiry of the signature.
            now_s: The current time.
            expires_signed: Whether ``expires`` is covered. A value that is not covered may be forged: it can end the
                signature, but never prolongs it.

        Raises:
            SignatureFromFuture, SignatureExpired, SignatureTooOld: By `clock_skew_s`, `age_s_max` and `lifetime_s_max`.
        """
        offset = signed - now_s
        if offset > self.clock_skew_s:
            raise SignatureFromFuture(
                f"signed {offset:.0f} s ahead of our clock, at most {self.clock_skew_s} s are accepted",
                explanation=Explanation(rule=f"policy {self.name}: clock_skew_s", clock_offset_s=int(offset)),
            )
        if expires is not None and now_s > expires + self.clock_skew_s:
            raise SignatureExpired(
                f"expired {now_s - expires:.0f} s ago, at most {self.clock_skew_s} s are accepted",
                explanation=Explanation(rule=f"policy {self.name}: expires", clock_offset_s=int(offset)),
            )
        has_signed_expiry = expires is not None and expires_signed
        limit = self.lifetime_s_max if has_signed_expiry else self.age_s_max
        if -offset > limit:
            raise SignatureTooOld(
                f"signed {-offset:.0f} s ago, at most {limit} s are accepted",
                explanation=Explanation(
                    rule=f"policy {self.name}: {'lifetime_s_max' if has_signed_expiry else 'age_s_max'}",
                    clock_offset_s=int(offset),
                ),
            )

    def check_key(self, key: PublicKey, algorithm: Algorithm, now: datetime) -> None:
        """Check a key, and the algorithm that it is used with, against the policy.

        Raises:
            KeyWeak, KeyExpired, AlgorithmRefused: It is too short or too long, has expired, or must not be used like
                this.
        """
        if key.type == "rsa" and not self.rsa_bits_min <= key.bits <= self.rsa_bits_max:
            raise KeyWeak(
                f"key {key.key_id} has {key.bits} bits, expected {self.rsa_bits_min} to {self.rsa_bits_max}",
                explanation=Explanation(rule=f"policy {self.name}: rsa_bits_min, rsa_bits_max", key=key.described),
            )
        if algorithm not in self.algorithms:
            raise AlgorithmRefused(
                f"algorithm {algorithm} is not accepted",
                explanation=Explanation(rule=f"policy {self.name}: algorithms", key=key.described),
            )
        if key.expires is not None and key.expires <= now:
            raise KeyExpired(
                f"key {key.key_id} expired at {key.expires.isoformat()}",
                explanation=Explanation(rule="Multikey expires and revoked", key=key.described),
            )


DEFAULT: Final = SignaturePolicy()
"""Accepts the signatures of every current server; target, host, body and time must be covered."""

STRICT: Final = SignaturePolicy(
    name="strict",
    algorithms=ALGORITHMS - {"rsa-v1_5-sha512"},
    rfc9421_read=(_any_of("@method"), _any_of("@target-uri")),
    rfc9421_write=(_any_of("@method"), _any_of("@target-uri"), _any_of("content-digest")),
    clock_skew_s=60,
    age_s_max=300,
    lifetime_s_max=3600,
    query_optional=False,
    ld_signatures=False,
    pseudo_headers_any_algorithm=False,
)
"""Allows five minutes, requires the whole target, follows the drafts to the letter, and refuses signatures over
graphs.
"""

LENIENT: Final = SignaturePolicy(
    name="lenient",
    rsa_bits_min=RSA_BITS_MIN,
    cavage_read=(_any_of("date", "(created)"),),
    cavage_write=(_any_of("date", "(created)"), _BODY),
    rfc9421_read=(_any_of("@method"), (*_TARGET, frozenset({"@path"}))),
    rfc9421_write=(_any_of("content-digest"),),
    clock_skew_s=3600,
    age_s_max=12 * 3600,
    authorization=True,
)
"""Requires as little as Mastodon has ever accepted, for old peers and for captured requests. Do not use it for an inbox
on the open network.
"""

PRESETS: Final = {preset.name: preset for preset in (DEFAULT, STRICT, LENIENT)}
