"""Define the errors of signatures: one class per reason, each with an explanation for developers.

There are two branches, by HTTP status. A *malformed* header, digest field or proof is a `RequestError`: 400, and the
message says where parsing stopped. A well-formed signature that does not *hold* is a `SignatureError`: 401, because it
proves nothing. All of them carry an `Explanation`: the expected signing string, the covered components, the key, the
distance between the two clocks, and the rule that decided. With it, a developer can compare the two signing strings.

An explanation never holds a secret: the values of `Authorization`, `Cookie` and similar fields are removed from the
signing string. It is for the operator's log and for the sender's developer. It does not say how the local network
answered.
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
    "ExplainedError",
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
    """Return a signing string as text, without the values of secret fields."""
    return redacted_lines(base.decode("utf-8", "replace"))


def redacted_lines(text: str) -> str:
    """Remove the values of secret fields from the lines of a signing string."""
    return _SECRET_LINE.sub(r"\1...", text)


def visible(text: str, *, ascii_only: bool = False) -> str:
    """Escape invisible characters and those that a terminal would act on: controls, backslashes, blanks at the end."""
    escaped = "".join(
        character
        if character != "\\" and character.isprintable() and (character.isascii() or not ascii_only)
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
    bare = escaped.rstrip(" ")
    return bare + "\\x20" * (len(escaped) - len(bare))


@frozen(kw_only=True)
class Explanation:
    """The facts about a refused signature. Unknown ones are None or empty."""

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
    """The expected signing string, without secrets."""
    key: str | None = None
    """The key that the signature was checked with: type, size, fingerprint, owner."""
    clock_offset_s: int | None = None
    """The time of signing, minus the current time. Whole hours indicate a wrong time zone; minutes, an inaccurate
    clock.
    """

    def lines(self) -> tuple[str, ...]:
        """Return the known facts as `name: value` lines, with invisible characters escaped.

        The signing string comes last, indented.
        """
        facts = [
            ("rule", self.rule or None),
            ("scheme", self.scheme),
            ("label", self.label),
            ("key id", self.key_id),
            ("algorithm", self.algorithm),
            ("covered", " ".join(self.covered) or None),
            ("key", self.key),
            ("clock offset", None if self.clock_offset_s is None else f"{self.clock_offset_s:+d} s"),
        ]
        text_lines = [f"{name}: {value}" for name, value in facts if value is not None]
        if self.signing_string is not None:
            text_lines += ["expected signing string:", *(f"    {line}" for line in self.signing_string.split("\n"))]
        return tuple(map(visible, text_lines))


_NOTHING: Final = Explanation()


# One per class. Unsigned documents are common, so their error should be cheap.
@lru_cache(maxsize=64)
def _of_rule(rule: str) -> Explanation:
    return Explanation(rule=rule)


class ExplainedError(ApcoreError):
    """An error with an explanation. Only its subclasses are raised."""

    rule: ClassVar[str] = ""
    """The rule that decides, unless the error names another. Empty on classes with a rule that always depends on a
    scheme or a policy.
    """

    def __init__(self, message: str, *, explanation: Explanation = _NOTHING) -> None:
        super().__init__(message)
        if self.rule and not explanation.rule:
            explanation = _of_rule(self.rule) if explanation is _NOTHING else evolve(explanation, rule=self.rule)
        self.explanation = explanation
        """The facts about the refused signature."""

    def explained(self, **facts: object) -> ExplainedError:
        """Fill in facts that the error lacks, without changing the others. Return the error, to be raised."""
        missing = {name: value for name, value in facts.items() if getattr(self.explanation, name) in {None, "", ()}}
        self.explanation = evolve(self.explanation, **missing)  # type: ignore[arg-type]
        return self


# --- 400: cannot be read --------------------------------------------------------------------------------------------


class SignatureMalformed(ExplainedError, RequestError):
    """A signature of a request is malformed: invalid syntax, a repeated part, or a missing part."""

    reason = "signature-malformed"


class DigestMalformed(ExplainedError, RequestError):
    """A `Digest` or `Content-Digest` is malformed."""

    reason = "digest-malformed"
    rule = "a digest must follow RFC 3230 or RFC 9530"


class ProofMalformed(ExplainedError, RequestError):
    """A proof or a linked data signature inside a document is malformed."""

    reason = "proof-malformed"
    rule = "FEP-8b32, or Linked Data Signatures 1.0"


# --- 401: was read, and does not hold -------------------------------------------------------------------------------


class SignatureMissing(ExplainedError, SignatureError):
    """The request or document has no signature."""

    reason = "signature-missing"
    rule = "this request or document must be signed"


class SchemeRefused(ExplainedError, SignatureError):
    """The policy does not accept this scheme."""

    reason = "scheme-refused"


class AlgorithmRefused(ExplainedError, SignatureError):
    """The policy, or the scheme, does not accept this algorithm."""

    reason = "algorithm-refused"


class CoverageTooSmall(ExplainedError, SignatureError):
    """The signature does not bind everything that it must: the target, the host, the body, the time."""

    reason = "coverage-too-small"


class ComponentMissing(ExplainedError, SignatureError):
    """The signature covers a component that the message does not have."""

    reason = "component-missing"


class SignatureTooOld(ExplainedError, SignatureError):
    """The signature is older than the policy's maximum age."""

    reason = "signature-too-old"


class SignatureExpired(ExplainedError, SignatureError):
    """The expiry of the signature has passed."""

    reason = "signature-expired"


class SignatureFromFuture(ExplainedError, SignatureError):
    """The signature was made in the future, beyond the accepted clock skew."""

    reason = "signature-from-future"


class DigestMismatch(ExplainedError, SignatureError):
    """The body is not the signed body."""

    reason = "digest-mismatch"
    rule = "the digest must match the body"


class WrongHost(ExplainedError, SignatureError):
    """The request was signed for another host than the one that it was sent to."""

    reason = "wrong-host"
    rule = "a signed Host must be the host that the request was sent to"


class KeyMismatch(ExplainedError, SignatureError):
    """The key is not the named one, or not of the type that the algorithm needs."""

    reason = "key-mismatch"
    rule = "the key must be the named one, and fit the algorithm"


class KeyMalformed(ExplainedError, SignatureError):
    """A public key is malformed."""

    reason = "key-malformed"
    rule = "a key must be SubjectPublicKeyInfo, PKCS #1 or a Multikey (FEP-521a)"


class KeyWeak(ExplainedError, SignatureError):
    """A key proves too little (too short, a point of small order), or costs too much (too long)."""

    reason = "key-weak"
    rule = "RSA keys need 1024 to 8192 bits, and points must not have small order"


class KeyExpired(ExplainedError, SignatureError):
    """The key's owner has declared it expired or revoked."""

    reason = "key-expired"


class BadSignature(ExplainedError, SignatureError):
    """The signature does not verify: another key, another message, or two different signing strings."""

    reason = "bad-signature"
    rule = "a signature must verify with the key that it names"


class ProofRefused(ExplainedError, SignatureError):
    """A proof was made for another purpose, domain, challenge or context."""

    reason = "proof-refused"
    rule = "VC Data Integrity §4.4: made for this purpose, domain and challenge"


class GraphRestructured(ExplainedError, SignatureError):
    """A document signed as a graph can be read as more than one tree."""

    reason = "graph-restructured"
    rule = "a signed graph must be readable as exactly one tree"
