"""Why a signature was refused: one kind a reason, each with what a developer needs to see.

Two branches of the error tree, by what a peer can do about it. What cannot be *read* (a header, a digest field, a proof's members) is a
`RequestError`: 400, and the message says where reading stopped. What was read and does not *hold* is a `SignatureError`: 401, nothing was
proved. All of them carry an `Explanation`, so that nobody has to guess which of two signing strings differs: the string that we expected, what
it covers, the key it was checked with, the distance between the two clocks and the rule that decided.

An explanation never holds a secret: the values of `Authorization`, `Cookie` and their kind are taken out of the signing string before it is
kept. It is for the operator's log and for the sender's developer; what our network answered is not in it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, Final

from attrs import evolve, frozen

from apcore.errors import ApcoreError, RequestError, SignatureError

__all__ = [
    "AlgorithmRefused",
    "BadSignature",
    "ComponentMissing",
    "CoverageTooSmall",
    "DigestMalformed",
    "DigestMismatch",
    "Explained",
    "Explanation",
    "GraphRestructured",
    "KeyExpired",
    "KeyMalformed",
    "KeyMismatch",
    "KeyWeak",
    "ProofMalformed",
    "ProofRefused",
    "SchemeRefused",
    "SignatureExpired",
    "SignatureFromFuture",
    "SignatureMalformed",
    "SignatureMissing",
    "SignatureTooOld",
    "WrongHost",
    "redacted_base",
]

_SECRET_LINE: Final = re.compile(
    r"^(\"?(?:authorization|cookie|proxy-authorization|set-cookie|x-hub-signature(?:-256)?)(?:\"[^:\n]*)?: ).*$",
    re.MULTILINE | re.IGNORECASE,
)


def redacted_base(base: bytes) -> str:
    """Show a signing string with the values of secret fields taken out."""
    return redacted_lines(base.decode("utf-8", "replace"))


def redacted_lines(text: str) -> str:
    """Take the values of secret fields out of the lines of a signing string."""
    return _SECRET_LINE.sub(r"\1...", text)


def visible(text: str, *, ascii_only: bool = False) -> str:
    """Escape whatever a terminal would act upon or nobody would see: controls, backslashes, blanks at the end."""
    shown = "".join(
        each
        if each != "\\" and each.isprintable() and (each.isascii() or not ascii_only)
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
    bare = shown.rstrip(" ")
    return bare + "\\x20" * (len(shown) - len(bare))


@frozen(kw_only=True)
class Explanation:
    """What was looked at when a signature was refused. Whatever was not known yet is None or empty."""

    rule: str = ""
    """The rule that decided, with its source."""
    scheme: str | None = None
    label: str | None = None
    """The RFC 9421 label of the signature."""
    key_id: str | None = None
    """The key that the sender names."""
    algorithm: str | None = None
    """The algorithm that the sender names."""
    covered: tuple[str, ...] = ()
    """The components that the signature covers, in order."""
    signing_string: str | None = None
    """The string that the signature was expected to be over; secrets are taken out."""
    key: str | None = None
    """The key it was checked with: type, size, fingerprint, owner."""
    clock_offset_s: int | None = None
    """The time that the sender signed, minus ours. A few whole hours are a wrong time zone; minutes, a clock that is not kept."""

    def lines(self) -> tuple[str, ...]:
        """Give what is known as `name: value` lines, the signing string last and indented; with everything escaped that nobody would see."""
        known = [
            ("rule", self.rule or None),
            ("scheme", self.scheme),
            ("label", self.label),
            ("key id", self.key_id),
            ("algorithm", self.algorithm),
            ("covered", " ".join(self.covered) or None),
            ("key", self.key),
            ("clock offset", None if self.clock_offset_s is None else f"{self.clock_offset_s:+d} s"),
        ]
        shown = [f"{name}: {value}" for name, value in known if value is not None]
        if self.signing_string is not None:
            shown += ["expected signing string:", *(f"    {line}" for line in self.signing_string.split("\n"))]
        return tuple(map(visible, shown))


_NOTHING: Final = Explanation()


# As many as there are kinds. An unsigned document is nothing unusual, so its error should cost little.
@lru_cache(maxsize=64)
def _of_rule(rule: str) -> Explanation:
    return Explanation(rule=rule)


class Explained(ApcoreError):
    """An error that says what it looked at. Only its kinds are raised."""

    rule: ClassVar[str] = ""
    """What decides where the place that raises names no rule of its own. Empty on kinds whose rule is always a scheme's or a policy's."""

    def __init__(self, message: str, *, explanation: Explanation = _NOTHING) -> None:
        super().__init__(message)
        if self.rule and not explanation.rule:
            explanation = _of_rule(self.rule) if explanation is _NOTHING else evolve(explanation, rule=self.rule)
        self.explanation = explanation
        """What was looked at."""

    def explained(self, **known: object) -> Explained:
        """Fill in what the place that raised did not know; what it did know stays. Returns itself, to be raised."""
        missing = {name: value for name, value in known.items() if getattr(self.explanation, name) in {None, "", ()}}
        self.explanation = evolve(self.explanation, **missing)  # type: ignore[arg-type]
        return self


# --- 400: cannot be read --------------------------------------------------------------------------------------------


class SignatureMalformed(Explained, RequestError):
    """A signature of a request that cannot be read: not the syntax of its scheme, a part twice, a part missing."""

    reason = "signature-malformed"


class DigestMalformed(Explained, RequestError):
    """A `Digest` or `Content-Digest` that cannot be read."""

    reason = "digest-malformed"
    rule = "a digest of the body that can be read: RFC 3230, RFC 9530"


class ProofMalformed(Explained, RequestError):
    """A proof or a linked data signature inside a document that cannot be read."""

    reason = "proof-malformed"
    rule = "FEP-8b32, or Linked Data Signatures 1.0"


# --- 401: was read, and does not hold -------------------------------------------------------------------------------


class SignatureMissing(Explained, SignatureError):
    """Nothing was presented that could prove anything."""

    reason = "signature-missing"
    rule = "what is to be believed has to be signed"


class SchemeRefused(Explained, SignatureError):
    """The policy does not accept this scheme."""

    reason = "scheme-refused"


class AlgorithmRefused(Explained, SignatureError):
    """The policy, or the scheme, does not accept this algorithm."""

    reason = "algorithm-refused"


class CoverageTooSmall(Explained, SignatureError):
    """The signature may be right, but leaves open what it has to bind: the target, the host, the body, the time."""

    reason = "coverage-too-small"


class ComponentMissing(Explained, SignatureError):
    """The signature covers something that the message does not have."""

    reason = "component-missing"


class SignatureTooOld(Explained, SignatureError):
    """Signed longer ago than the policy's maximum age."""

    reason = "signature-too-old"


class SignatureExpired(Explained, SignatureError):
    """Its own expiry has passed."""

    reason = "signature-expired"


class SignatureFromFuture(Explained, SignatureError):
    """Signed at a time that our clock has not reached, beyond the tolerated skew."""

    reason = "signature-from-future"


class DigestMismatch(Explained, SignatureError):
    """The body is not the one that was signed."""

    reason = "digest-mismatch"
    rule = "the digest has to be that of the body"


class WrongHost(Explained, SignatureError):
    """Signed for another host than the one this request came to: somebody else's mail."""

    reason = "wrong-host"
    rule = "a signed Host has to be the host that the request came to"


class KeyMismatch(Explained, SignatureError):
    """The key is not the one that was named, or not of the kind that the algorithm asks for."""

    reason = "key-mismatch"
    rule = "the key has to be the one that is named, and the algorithm one that it is for"


class KeyMalformed(Explained, SignatureError):
    """A public key that cannot be read."""

    reason = "key-malformed"
    rule = "a key is SubjectPublicKeyInfo, PKCS #1 or a Multikey (FEP-521a)"


class KeyWeak(Explained, SignatureError):
    """A key that proves too little (too short, a point of small order), or costs too much (too long)."""

    reason = "key-weak"
    rule = "RSA of 1024 to 8192 bits, and no point of small order"


class KeyExpired(Explained, SignatureError):
    """The key's owner has declared it expired or revoked."""

    reason = "key-expired"


class BadSignature(Explained, SignatureError):
    """Checked, and wrong: another key, another message, or a signing string that the two sides build differently."""

    reason = "bad-signature"
    rule = "a signature has to hold under the key that it names"


class ProofRefused(Explained, SignatureError):
    """A proof made for another purpose, domain or challenge than this, or under another context."""

    reason = "proof-refused"
    rule = "VC Data Integrity §4.4: made for this purpose, domain and challenge"


class GraphRestructured(Explained, SignatureError):
    """A document signed as a graph whose tree can be read in more than one way."""

    reason = "graph-restructured"
    rule = "a signed graph has to be readable as one tree, and no other"
