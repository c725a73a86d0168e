"""Explain step by step why a signed request is accepted or refused, to help two implementations agree.

`parse` and `check` stop at the first fault. A report contains everything else that can be found out: the content of the
signature, the verdict of each preset, and, with the key, whether the signature holds. If it does not hold, the mistakes
that implementations really make are tried one after another. If the signature holds over one of those strings, the
report names the mistake. This is a diagnosis and never an acceptance.

A report contains no secrets: signing strings come without the values of secret fields, and no other field's value is
shown. It cannot move a terminal's cursor either: non-printable and non-ASCII characters are escaped, and so is a blank
at the end of a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, Generic, TypeVar

from attrs import frozen

from apcore.errors import ApcoreError
from apcore.http.digest import check_content_digest, check_digest, make_content_digest, make_digest
from apcore.http.messages import Request, redact_url
from apcore.signatures import cavage, rfc9421
from apcore.signatures._mistakes import find_body, find_mistake, restored
from apcore.signatures._parts import Target
from apcore.signatures.errors import BadSignature, ExplainedError, KeyMismatch, redacted_lines, visible
from apcore.signatures.keys import ALGORITHMS, PublicKey
from apcore.signatures.policy import DEFAULT, PRESETS, SignaturePolicy
from apcore.signatures.presented import Presented, Verified, check
from apcore.signatures.requests import parse_all

__all__ = ["SignatureReport", "SignatureStep", "describe_error", "display_base", "explain"]

_CENTURY_S: Final = 100 * 365 * 86400
_HOUR_S: Final = 3600
_SHOWN_CHARS_MAX: Final = 500

V = TypeVar("V")


@frozen
class SignatureStep:
    """One step of a report."""

    name: str
    ok: bool | None
    """Whether the step speaks for the request; None if it is only a fact."""
    detail: str
    """May have several lines."""


@frozen
class SignatureReport(Generic[V]):
    """The full report about one request or document."""

    steps: tuple[SignatureStep, ...]
    verified: V | None
    """The verified signature under the chosen policy; None if none holds, or if no key is available."""
    error: ApcoreError | None
    """The first refusal under that policy."""
    key_ids: tuple[str, ...] = ()
    """The keys that are needed, as the sender names them."""

    def lines(self) -> tuple[str, ...]:
        """Return the report as text, with one mark per step: `+` for, `-` against, blank for a fact."""
        text_lines: list[str] = []
        for step in self.steps:
            first, *rest = step.detail.split("\n")
            mark = " " if step.ok is None else "+" if step.ok else "-"
            text_lines += [f"{mark} {step.name}: {first}", *(f"      {line}" for line in rest)]
        return tuple(text_lines)


def explain(
    request: Request,
    *,
    now: datetime,
    policy: SignaturePolicy = DEFAULT,
    key: PublicKey | None = None,
    keys: Mapping[str, PublicKey] | None = None,
) -> SignatureReport[Verified]:
    """Examine the signatures of ``request`` in detail. Never raises for the content of a request.

    Args:
        request: As received.
        now: The time to compare with: for a captured request, the time of its capture.
        policy: The policy that decides.
        key: The key that the signature names, if you have it. Its id is not compared, so you can try any key.
        keys: Several keys by their ids. ``key`` is used for ids that are not among them.
    """
    body = f"body of {len(request.body)} bytes with {make_digest(request.body)}"
    steps = [SignatureStep("request", None, f"{request.method} {redact_url(request.url)[:_SHOWN_CHARS_MAX]}, {body}")]
    find_key = partial(_key_for, key, keys or {})
    try:
        examined = _examined(request, _relaxed(policy), now)
    except ApcoreError as exc:
        # The policy's own verdict is returned; it may not even look at this part.
        return SignatureReport(
            (*steps, SignatureStep("read", False, describe_error(exc))), None, _verdict(request, policy, now)[1] or exc
        )
    presented = [one for one in examined if isinstance(one, Presented)]
    key_ids: list[str | None] = []
    for one in examined:
        if isinstance(one, Presented):
            steps.append(SignatureStep(f"signature {_name(one)}", None, _described(one)))
            key_ids.append(one.key_id)
        else:
            steps.append(_unread_step(request, one, find_key(one.explanation.key_id), now, policy))
            key_ids.append(one.explanation.key_id)
    steps += _field_steps(request, presented)
    accepted, error = _verdict(request, policy, now)
    steps += [_preset_step(request, preset, now) for preset in {policy.name: policy, **PRESETS}.values()]
    described_keys: set[str] = set()
    verified: Verified | None = None
    for one in presented:
        signing_key = find_key(one.key_id)
        if signing_key is None:
            continue
        if signing_key.described not in described_keys:
            described_keys.add(signing_key.described)
            steps.append(SignatureStep("key", None, signing_key.described))
        step, refusal = _checked(request, one, signing_key)
        steps.append(step)
        if refusal is None and verified is None:
            verified, refusal = _under_policy(accepted, one, signing_key)
        error = error or refusal
    named = tuple(dict.fromkeys(name for name in key_ids if name))
    return SignatureReport(tuple(steps), verified, None if verified is not None else error, named)


def describe_error(error: ApcoreError) -> str:
    """Return an error as text for a report: its reason, its message, and the rule that decided."""
    rule = error.explanation.rule if isinstance(error, ExplainedError) else ""
    return visible(f"{error.reason}: {error}" + (f" ({rule})" if rule else ""))


def _key_for(key: PublicKey | None, keys: Mapping[str, PublicKey], key_id: str | None) -> PublicKey | None:
    return key if key_id is None else keys.get(key_id, key)


# --- the signatures -------------------------------------------------------------------------------------------------


def _relaxed(policy: SignaturePolicy) -> SignaturePolicy:
    """Return a policy that refuses only malformed signatures."""
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


def _examined(request: Request, policy: SignaturePolicy, now: datetime) -> tuple[Presented | ExplainedError, ...]:
    """Return every signature, or its parse error. Raise if the signatures cannot be told apart."""
    if "signature-input" in request.headers:
        return rfc9421.examine(request, policy, now, compare=False)
    try:
        return (cavage.present(request, policy, now, compare=False),)
    except ExplainedError as exc:
        if not exc.explanation.covered:
            raise
        return (exc,)


def _name(presented: Presented) -> str:
    return presented.scheme if presented.label is None else f"{presented.scheme} {presented.label}"


def _described(presented: Presented) -> str:
    lines = [
        f"key id {visible(presented.key_id)}",
        f"algorithm {presented.algorithm or 'left to the key'}",
        f"covers {' '.join(presented.covered)}",
    ]
    if presented.signed is not None:
        offset = presented.signed - int(presented.now.timestamp())
        lines.append(f"signed at {_moment(presented.signed)}, our clock {-offset:+d} s{_zone_hint(offset)}")
    if presented.expires is not None:
        lines.append(f"expires {presented.expires - int(presented.now.timestamp()):+d} s from now")
    lines += ["expected signing string:", *(f"    {line}" for line in display_base(presented.bases[0].data))]
    return "\n".join(lines)


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # beyond the years that `datetime` supports
        return f"{seconds} s of the epoch"


def _zone_hint(offset_s: int) -> str:
    """Return a hint for whole hours, give or take a minute: a wrong time zone, not a slow network."""
    hours = round(offset_s / _HOUR_S)
    if not 1 <= abs(hours) <= 14 or abs(offset_s - hours * _HOUR_S) > 60:
        return ""
    return f", whole hours: is {'its' if hours > 0 else 'one'} clock in local time and called GMT?"


def display_base(base: bytes) -> list[str]:
    """Return the lines of a signing string, without the values of secret fields.

    Invisible characters are escaped.
    """
    return [visible(line, ascii_only=True) for line in redacted_lines(base.decode("latin-1")).split("\n")]


def _unread_step(
    request: Request, refusal: ExplainedError, key: PublicKey | None, now: datetime, policy: SignaturePolicy
) -> SignatureStep:
    """Return the step for a signature that cannot be parsed.

    If fields were lost or doubled, it names those with which the signature would hold.
    """
    explanation = refusal.explanation
    name = (
        explanation.scheme or "signature" if explanation.label is None else f"{explanation.scheme} {explanation.label}"
    )
    lines = [describe_error(refusal), *(line for line in explanation.lines() if not line.startswith("rule: "))]
    if key is not None:
        for words, whole in restored(request, explanation.covered):
            if any(
                isinstance(one, Presented) and one.label == explanation.label and _holds(one, key)
                for one in _examined(whole, _relaxed(policy), now)
            ):
                lines.append(f"it would hold if the message {visible(words)}")
                break
    return SignatureStep(f"signature {name}", False, "\n".join(lines))


# --- covered fields and received fields -----------------------------------------------------------------------------


def _field_steps(request: Request, presented: list[Presented]) -> Iterator[SignatureStep]:
    covered = {name.strip('"').partition('"')[0] for one in presented for name in one.covered}
    for name, check_field, make in (
        ("digest", check_digest, make_digest),
        ("content-digest", check_content_digest, make_content_digest),
    ):
        value = request.headers.get(name)
        if value is not None:
            yield _digest_step(name, value, request.body, check_field, make, covered=name in covered)
    host = request.headers.get("host")
    if host is not None and "host" in covered:
        try:
            Target(request.url).check_host(host)
        except ApcoreError as exc:
            yield SignatureStep("host", False, describe_error(exc))


def _digest_step(
    name: str,
    value: str,
    body: bytes,
    check_field: Callable[[str, bytes], None],
    make: Callable[[bytes], str],
    *,
    covered: bool,
) -> SignatureStep:
    aside = "" if covered else ", and is not covered"

    def fits(other: bytes) -> bool:
        try:
            check_field(value, other)
        except ApcoreError:
            return False
        return True

    if fits(body):
        return SignatureStep(name, True, f"is that of the body{aside}: {visible(value[:_SHOWN_CHARS_MAX])}")
    lines = [
        f"is not that of the body{aside}",
        f"found    {visible(value[:_SHOWN_CHARS_MAX])}",
        f"expected {make(body)}",
    ]
    changed = find_body(body, fits)
    return SignatureStep(name, False, "\n".join([*lines, changed or "it matches none of the common mistakes"]))


# --- the policies and the key ---------------------------------------------------------------------------------------


def _verdict(
    request: Request, policy: SignaturePolicy, now: datetime
) -> tuple[tuple[Presented, ...], ApcoreError | None]:
    try:
        return parse_all(request, policy, now=now), None
    except ApcoreError as exc:
        return (), exc


def _preset_step(request: Request, policy: SignaturePolicy, now: datetime) -> SignatureStep:
    accepted, error = _verdict(request, policy, now)
    if error is not None:
        return SignatureStep(f"policy {policy.name}", False, describe_error(error))
    return SignatureStep(
        f"policy {policy.name}", True, f"accepts the coverage of {', '.join(_name(one) for one in accepted)}"
    )


def _checked(request: Request, presented: Presented, key: PublicKey) -> tuple[SignatureStep, ApcoreError | None]:
    name = f"check {_name(presented)}"
    try:
        verified = check(presented, key.renamed(key_id=presented.key_id))
    except (BadSignature, KeyMismatch) as exc:
        mistake = find_mistake(request, presented, key)
        nothing = "it holds under none of the common mistakes: is it another key?"
        return SignatureStep(name, False, f"{describe_error(exc)}\n{visible(mistake or nothing)}"), exc
    except ApcoreError as exc:
        return SignatureStep(name, False, describe_error(exc)), exc
    query = "" if verified.query_covered else ", without the query"
    return SignatureStep(name, True, f"holds by {verified.algorithm}{query}"), None


def _holds(presented: Presented, key: PublicKey) -> bool:
    try:
        _ = check(presented, key.renamed(key_id=presented.key_id))
    except ApcoreError:
        return False
    return True


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
