"""Why a signed request is accepted or refused, step by step, for the person who has to make two implementations agree.

`parse` and `check` stop at the first thing that is wrong, as they must. Here everything that can be found out is: what the signature says, what
each preset thinks of it, and, with the key, whether it holds. Where it does not, the mistakes that implementations really make are tried
one after another; if the signature holds over one of those strings, the report names the mistake. Such a finding is a diagnosis and never an
acceptance.

Nothing in a report is secret: signing strings come with the values of secret fields taken out, and no other field's value is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen

from apcore.errors import ApcoreError
from apcore.http.digest import make_digest
from apcore.http.messages import Request
from apcore.signatures.errors import BadSignature, Explained, redacted_base
from apcore.signatures.keys import ALGORITHMS, Algorithm, PublicKey
from apcore.signatures.policy import DEFAULT, PRESETS, SignaturePolicy
from apcore.signatures.presented import Presented, Verified, check
from apcore.signatures.requests import parse_all

__all__ = ["Report", "Step", "explain"]

_CENTURY_S = 100 * 365 * 86400


@frozen
class Step:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """Whether it speaks for the request; None where it is only a fact."""
    detail: str
    """May have several lines."""


@frozen
class Report:
    """Everything that was found out about one request."""

    steps: tuple[Step, ...]
    verified: Verified | None
    """What was proved under the policy asked for; None if nothing was, or if no key was given."""
    error: ApcoreError | None
    """The first refusal under that policy."""

    def lines(self) -> tuple[str, ...]:
        """Give the report as text, one mark a step: `+` for, `-` against, blank for a fact."""
        shown: list[str] = []
        for step in self.steps:
            first, *rest = step.detail.split("\n")
            mark = " " if step.ok is None else "+" if step.ok else "-"
            shown += [f"{mark} {step.name}: {first}", *(f"      {line}" for line in rest)]
        return tuple(shown)


def explain(
    request: Request, *, now: datetime, policy: SignaturePolicy = DEFAULT, key: PublicKey | None = None
) -> Report:
    """Look at the signatures of ``request`` from every side. Never raises for what a peer sent.

    Args:
        request: As received.
        now: The clock to hold it against: for a captured request, that of its capture.
        policy: Whose verdict counts.
        key: The key it names, if it is at hand. Its id is not compared, so that any key can be tried.
    """
    steps = [
        Step("request", None, f"{request.method}, body of {len(request.body)} bytes with {make_digest(request.body)}")
    ]
    try:
        everything = parse_all(request, _relaxed(policy), now=now)
    except ApcoreError as exc:
        return Report((*steps, Step("read", False, _said(exc))), None, exc)
    steps += [Step(f"signature {_name(presented)}", None, _described(presented)) for presented in everything]
    accepted, error = _verdict(request, policy, now)
    steps += [_preset_step(request, preset, now) for preset in {policy.name: policy, **PRESETS}.values()]
    verified: Verified | None = None
    if key is not None:
        steps.append(Step("key", None, key.described))
        for presented in everything:
            step, refusal = _checked(presented, key)
            steps.append(step)
            if refusal is None and verified is None:
                verified, refusal = _under_policy(accepted, presented, key)
            error = error or refusal
    return Report(tuple(steps), verified, None if verified is not None else error)


def _relaxed(policy: SignaturePolicy) -> SignaturePolicy:
    """Give a policy that refuses only what cannot be read, or is not so."""
    return policy.with_(
        name="relaxed",
        schemes=frozenset({"cavage", "rfc9421"}),
        algorithms=ALGORITHMS,
        rsa_bits_min=1024,
        cavage_read=(),
        cavage_write=(),
        rfc9421_read=(),
        rfc9421_write=(),
        clock_skew_s=_CENTURY_S,
        age_s_max=_CENTURY_S,
        lifetime_s_max=_CENTURY_S,
        query_optional=True,
        authorization=True,
        pseudo_headers_any_algorithm=True,
    )


def _verdict(
    request: Request, policy: SignaturePolicy, now: datetime
) -> tuple[tuple[Presented, ...], ApcoreError | None]:
    try:
        return parse_all(request, policy, now=now), None
    except ApcoreError as exc:
        return (), exc


def _preset_step(request: Request, policy: SignaturePolicy, now: datetime) -> Step:
    accepted, error = _verdict(request, policy, now)
    if error is not None:
        return Step(f"policy {policy.name}", False, _said(error))
    return Step(f"policy {policy.name}", True, f"accepts what {', '.join(_name(one) for one in accepted)} covers")


def _checked(presented: Presented, key: PublicKey) -> tuple[Step, ApcoreError | None]:
    name = f"check {_name(presented)}"
    try:
        verified = check(presented, key.renamed(key_id=presented.key_id))
    except BadSignature as exc:
        mistake = next(
            _mistakes(presented, key), "it holds over none of the strings that are commonly signed by mistake"
        )
        return Step(name, False, f"{_said(exc)}\n{mistake}"), exc
    except ApcoreError as exc:
        return Step(name, False, _said(exc)), exc
    query = "" if verified.query_covered else ", without the query"
    return Step(name, True, f"holds by {verified.algorithm}{query}"), None


def _under_policy(
    accepted: tuple[Presented, ...], presented: Presented, key: PublicKey
) -> tuple[Verified | None, ApcoreError | None]:
    for one in accepted:
        if one.label == presented.label:
            try:
                return check(one, key.renamed(key_id=one.key_id)), None
            except ApcoreError as exc:
                return None, exc
    return None, None


def _name(presented: Presented) -> str:
    return presented.scheme if presented.label is None else f"{presented.scheme} {presented.label}"


def _said(error: ApcoreError) -> str:
    rule = error.explanation.rule if isinstance(error, Explained) else ""
    return f"{error.reason}: {error}" + (f" ({rule})" if rule else "")


def _described(presented: Presented) -> str:
    lines = [
        f"key id {presented.key_id}",
        f"algorithm {presented.algorithm or 'left to the key'}",
        f"covers {' '.join(presented.covered)}",
    ]
    if presented.signed is not None:
        offset = presented.signed - int(presented.now.timestamp())
        lines.append(f"signed at {datetime.fromtimestamp(presented.signed, UTC).isoformat()}, our clock {-offset:+d} s")
    if presented.expires is not None:
        lines.append(f"expires {presented.expires - int(presented.now.timestamp()):+d} s from now")
    lines += ["expected signing string:", *(f"    {line}" for line in _base_lines(presented))]
    return "\n".join(lines)


def _base_lines(presented: Presented) -> list[str]:
    return redacted_base(presented.bases[0].data).split("\n")


# --- what implementations really get wrong --------------------------------------------------------------------------


def _mistakes(presented: Presented, key: PublicKey) -> Iterator[str]:
    """Give the mistakes by which the signature would hold."""
    named = presented.algorithm
    algorithm = key.choose_algorithm(named)
    base = presented.bases[0].data
    for mistake, data in _other_strings(base):
        if data != base and _holds(presented, key, data, algorithm):
            yield f"it holds if {mistake}: the sender builds the string so"
    for other in sorted(ALGORITHMS - {algorithm}):
        if _fits(key, other) and _holds(presented, key, base, other):
            yield f"it holds by {other}, and {named or 'no algorithm'} is what the sender names"


def _other_strings(base: bytes) -> Iterator[tuple[str, bytes]]:
    yield "the string ends with a line feed", base + b"\n"
    yield "lines end with CR LF", base.replace(b"\n", b"\r\n")
    yield "lines are joined without a blank after the colon", re.sub(rb"(?m)^([^:\n]*): ", rb"\1:", base)
    yield "names keep their capitals", re.sub(rb"(?m)^[a-z-]+(?=: )", lambda name: name[0].title(), base)
    yield (
        "the method keeps its capitals",
        re.sub(rb"(?m)^(\(request-target\): )(\S+)", lambda line: line[1] + line[2].upper(), base),
    )
    yield (
        "the method is in lower case",
        re.sub(rb'(?m)^("@method": )(\S+)', lambda line: line[1] + line[2].lower(), base),
    )
    yield "the target has no query", re.sub(rb"(?m)^(\(request-target\): [^?\n]*)\?.*$", rb"\1", base)
    yield "the target has no query", re.sub(rb'(?m)^("@target-uri": [^?\n]*)\?.*$', rb"\1", base)
    yield "the scheme of the target is http", base.replace(b'"@target-uri": https://', b'"@target-uri": http://')
    yield "@query has no question mark", re.sub(rb'(?m)^("@query": )\?', rb"\1", base)
    yield (
        "the values of (created) and (expires) are left empty",
        re.sub(rb"(?m)^(\((?:created|expires)\): ).*$", rb"\1", base),
    )


def _holds(presented: Presented, key: PublicKey, data: bytes, algorithm: Algorithm) -> bool:
    try:
        key.verify(presented.signature, data, algorithm, dss_der=presented.scheme == "cavage")
    except BadSignature:
        return False
    return True


def _fits(key: PublicKey, algorithm: Algorithm) -> bool:
    try:
        return key.choose_algorithm(algorithm) == algorithm
    except ApcoreError:
        return False
