"""What a signature has to be, as a value: schemes, algorithms, coverage, clocks, key sizes.

Signatures in the fediverse differ in what they cover, and specifications demand little: under both schemes a signature over `Date` alone is
well-formed, and worthless. So a policy says what must be bound. `Coverage` is a conjunction of choices: each group has to be met by one of its
alternatives, and an alternative is a set of components that must all be covered.

Three presets. `DEFAULT` accepts whatever a current server sends and nothing that leaves target, host, body or time open. `STRICT` is for
those who would rather lose an odd peer: a short window, no signature over a path without its query. `LENIENT` is for old software and for
looking at captured requests: short RSA keys, `Authorization: Signature`, and as little coverage as Mastodon takes.

Clock skew is apart from age. Skew is how far two clocks may disagree, in either direction; age is how long a signature may be under way. A
signature that names its own expiry may live longer than `age_s_max`, up to `lifetime_s_max`.
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
from apcore.signatures.key_reading import RSA_BITS_MAX, RSA_BITS_MIN
from apcore.signatures.keys import ALGORITHMS, Algorithm, PublicKey

__all__ = ["DEFAULT", "LENIENT", "PRESETS", "STRICT", "Coverage", "Scheme", "SignaturePolicy"]

Scheme: TypeAlias = Literal["cavage", "rfc9421"]

Coverage: TypeAlias = tuple[tuple[frozenset[str], ...], ...]
"""Groups of alternatives of components: every group needs one alternative of which all components are covered."""


def _one(*names: str) -> tuple[frozenset[str], ...]:
    """Every component alone meets the group."""
    return tuple(frozenset({name}) for name in names)


_CAVAGE_READ: Final[Coverage] = (_one("(request-target)"), _one("host"), _one("date", "(created)"))
# RFC 9530 has replaced `Digest`; both are checked against the body wherever they are covered.
_BODY: Final = _one("digest", "content-digest")
_CAVAGE_WRITE: Final[Coverage] = (*_CAVAGE_READ, _BODY)
# The three ways to name the target completely. "@query" counts as covered where the URL has none.
_TARGET: Final = (
    frozenset({"@target-uri"}),
    frozenset({"@request-target", "@authority"}),
    frozenset({"@path", "@query", "@authority"}),
)
_RFC9421_READ: Final[Coverage] = (_one("@method"), _TARGET)
_RFC9421_WRITE: Final[Coverage] = (*_RFC9421_READ, _one("content-digest"))


def _positive(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, not {value!r}")


def _not_negative(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative: {value!r}")


@frozen(kw_only=True)
class SignaturePolicy:
    """What is accepted as proof. Start from a preset and `with_` what differs. `ValueError` for what could never be right."""

    name: str = "default"
    """For explanations and logs."""
    schemes: frozenset[Scheme] = frozenset({"cavage", "rfc9421"})
    algorithms: frozenset[Algorithm] = ALGORITHMS
    rsa_bits_min: int = 2048
    rsa_bits_max: int = RSA_BITS_MAX
    cavage_read: Coverage = _CAVAGE_READ
    """What draft-cavage has to cover on GET and HEAD."""
    cavage_write: Coverage = _CAVAGE_WRITE
    """What draft-cavage has to cover on every other method, and wherever there is a body."""
    rfc9421_read: Coverage = _RFC9421_READ
    rfc9421_write: Coverage = _RFC9421_WRITE
    clock_skew_s: int = field(default=3600, validator=_not_negative)
    """How far a peer's clock may be ahead of ours, and how long after its expiry a signature still counts. Fedify and Mastodon take 1 h."""
    age_s_max: int = field(default=3600, validator=_positive)
    """The age of a signature that names no expiry. In use are 60 s (Takahe) to a day (Pixelfed); 1 h is Fedify's."""
    lifetime_s_max: int = field(default=12 * 3600, validator=_positive)
    """The age of one that does: its expiry counts, but never beyond this. 12 h is Mastodon's."""
    query_optional: bool = True
    """On GET and HEAD, try `(request-target)` without the query as well. Misskey, Pixelfed, Takahe and Pleroma sign it so."""
    ld_signatures: bool = True
    """Accept `RsaSignature2017` on what others than its actor deliver: relays of Mastodon's kind, and forwarded replies."""
    asks_origin: bool = True
    """Ask an actor's own server about what others deliver in its name, if nothing in it proves it."""
    authorization: bool = False
    """Accept draft-cavage in `Authorization: Signature`, which the draft has and nobody sends."""
    pseudo_headers_any_algorithm: bool = True
    """Accept `(created)` and `(expires)` beside an algorithm other than hs2019, which the draft forbids. Lemmy's compatible mode sends it."""
    labels_max: int = field(default=8, validator=_positive)
    """RFC 9421 signatures on one message; more are refused, since each costs a verification."""
    covered_max: int = field(default=64, validator=_positive)
    """Components that one signature may cover. The longest list in use has eleven."""

    def __attrs_post_init__(self) -> None:
        if not self.schemes or not self.algorithms:
            raise ValueError("a policy without schemes or without algorithms refuses everything")
        if not RSA_BITS_MIN <= self.rsa_bits_min <= self.rsa_bits_max <= RSA_BITS_MAX:
            raise ValueError(
                f"rsa_bits_min {self.rsa_bits_min} and rsa_bits_max {self.rsa_bits_max} must lie in order"
                f" between {RSA_BITS_MIN} and {RSA_BITS_MAX}"
            )

    def with_(self, **changes: object) -> SignaturePolicy:
        """Give a policy that differs in ``changes``."""
        return evolve(self, **changes)  # type: ignore[arg-type]

    @property
    def replay_window_s(self) -> int:
        """How long a signature may be accepted at most, so how long a replay cache has to remember it."""
        return max(self.age_s_max, self.lifetime_s_max) + 2 * self.clock_skew_s

    def coverage(self, scheme: Scheme, method: str, *, has_body: bool) -> Coverage:
        """Give what a signature on such a message has to cover."""
        reading = method in {"GET", "HEAD"} and not has_body
        if scheme == "cavage":
            return self.cavage_read if reading else self.cavage_write
        return self.rfc9421_read if reading else self.rfc9421_write

    def check_coverage(self, coverage: Coverage, covered: Iterable[str]) -> None:
        """Hold ``covered`` against ``coverage``.

        Raises:
            CoverageTooSmall: A group is not met; the message names its alternatives.
        """
        have = frozenset(covered)
        for group in coverage:
            for alternative in group:
                if alternative <= have:
                    break
            else:
                wanted = " or ".join(" with ".join(sorted(alternative)) for alternative in group)
                raise CoverageTooSmall(
                    f"the signature does not cover {wanted}",
                    explanation=Explanation(rule=f"policy {self.name}: minimum coverage"),
                )

    def check_times(self, *, signed: int, expires: int | None, now_s: float, expires_signed: bool = True) -> None:
        """Hold the times of a signature against the clock.

        Args:
            signed: When it was made, in seconds of the epoch: covered, so true if the signature holds.
            expires: When it says it ends.
            now_s: Our clock.
            expires_signed: Whether ``expires`` is covered. One that is not may have been added by anybody: it can end the signature, and never
                prolongs it.

        Raises:
            SignatureFromFuture, SignatureExpired, SignatureTooOld: By `clock_skew_s`, `age_s_max` and `lifetime_s_max`.
        """
        offset = signed - now_s
        if offset > self.clock_skew_s:
            raise SignatureFromFuture(
                f"signed {offset:.0f} s after our clock, tolerated are {self.clock_skew_s} s",
                explanation=Explanation(rule=f"policy {self.name}: clock_skew_s", clock_offset_s=int(offset)),
            )
        if expires is not None and now_s > expires + self.clock_skew_s:
            raise SignatureExpired(
                f"expired {now_s - expires:.0f} s ago, tolerated are {self.clock_skew_s} s",
                explanation=Explanation(rule=f"policy {self.name}: expires", clock_offset_s=int(offset)),
            )
        lasting = expires is not None and expires_signed
        limit = self.lifetime_s_max if lasting else self.age_s_max
        if -offset > limit:
            raise SignatureTooOld(
                f"signed {-offset:.0f} s ago, at most {limit} s are accepted",
                explanation=Explanation(
                    rule=f"policy {self.name}: {'lifetime_s_max' if lasting else 'age_s_max'}",
                    clock_offset_s=int(offset),
                ),
            )

    def check_key(self, key: PublicKey, algorithm: Algorithm, now: datetime) -> None:
        """Hold a key and the algorithm that it would be used with against the policy.

        Raises:
            KeyWeak, KeyExpired, AlgorithmRefused: It is too short or too long, past its end, or not to be used so.
        """
        if key.type == "rsa" and not self.rsa_bits_min <= key.bits <= self.rsa_bits_max:
            raise KeyWeak(
                f"key {key.key_id} has {key.bits} bits, accepted are {self.rsa_bits_min} to {self.rsa_bits_max}",
                explanation=Explanation(rule=f"policy {self.name}: rsa_bits_min, rsa_bits_max", key=key.described),
            )
        if algorithm not in self.algorithms:
            raise AlgorithmRefused(
                f"algorithm {algorithm} is not accepted",
                explanation=Explanation(rule=f"policy {self.name}: algorithms", key=key.described),
            )
        if key.expires is not None and key.expires <= now:
            raise KeyExpired(
                f"key {key.key_id} ended at {key.expires.isoformat()}",
                explanation=Explanation(rule="Multikey expires and revoked", key=key.described),
            )


DEFAULT: Final = SignaturePolicy()
"""What every current server sends is accepted; target, host, body and time have to be covered."""

STRICT: Final = SignaturePolicy(
    name="strict",
    algorithms=ALGORITHMS - {"rsa-v1_5-sha512"},
    rfc9421_read=(_one("@method"), _one("@target-uri")),
    rfc9421_write=(_one("@method"), _one("@target-uri"), _one("content-digest")),
    clock_skew_s=60,
    age_s_max=300,
    lifetime_s_max=3600,
    query_optional=False,
    ld_signatures=False,
    pseudo_headers_any_algorithm=False,
)
"""Five minutes, the whole target, the letter of the drafts, and no signatures over graphs."""

LENIENT: Final = SignaturePolicy(
    name="lenient",
    rsa_bits_min=RSA_BITS_MIN,
    cavage_read=(_one("date", "(created)"),),
    cavage_write=(_one("date", "(created)"), _BODY),
    rfc9421_read=(_one("@method"), (*_TARGET, frozenset({"@path"}))),
    rfc9421_write=(_one("content-digest"),),
    clock_skew_s=3600,
    age_s_max=12 * 3600,
    authorization=True,
)
"""As little as Mastodon has ever accepted, for old peers and for reading captured requests. Not for an inbox on the open network."""

PRESETS: Final = {preset.name: preset for preset in (DEFAULT, STRICT, LENIENT)}
