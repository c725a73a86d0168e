"""Why a signed request is accepted or refused, step by step, for the person who has to make two implementations agree.

`parse` and `check` stop at the first thing that is wrong, as they must. Here everything that can be found out is: what the signature says, what
each preset thinks of it, and, with the key, whether it holds. Where it does not, the mistakes that implementations really make are tried
one after another; if the signature holds over one of those strings, the report names the mistake. Such a finding is a diagnosis and never an
acceptance.

Nothing in a report is secret: signing strings come with the values of secret fields taken out, and no other field's value is shown. Nor can it
move a cursor: what is not printable ASCII is escaped, a blank at the end of a line as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, Generic, TypeVar

from attrs import frozen

from apcore.errors import ApcoreError
from apcore.http.digest import check_content_digest, check_digest, make_content_digest, make_digest
from apcore.http.messages import Request, redacted_url
from apcore.signatures import cavage, rfc9421
from apcore.signatures._mistakes import find_body, find_mistake, restored
from apcore.signatures._parts import Target
from apcore.signatures.errors import BadSignature, Explained, KeyMismatch, redacted_lines, visible
from apcore.signatures.keys import ALGORITHMS, PublicKey
from apcore.signatures.policy import DEFAULT, PRESETS, SignaturePolicy
from apcore.signatures.presented import Presented, Verified, check
from apcore.signatures.requests import parse_all

__all__ = ["Report", "Step", "explain", "said", "shown_base"]

_CENTURY_S: Final = 100 * 365 * 86400
_HOUR_S: Final = 3600
_SHOWN_CHARS_MAX: Final = 500

V = TypeVar("V")


@frozen
class Step:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """Whether it speaks for the request; None where it is only a fact."""
    detail: str
    """May have several lines."""


@frozen
class Report(Generic[V]):
    """Everything that was found out about one request or document."""

    steps: tuple[Step, ...]
    verified: V | None
    """What was proved under the policy asked for; None if nothing was, or if no key was given."""
    error: ApcoreError | None
    """The first refusal under that policy."""
    key_ids: tuple[str, ...] = ()
    """The keys that would be needed, as the sender names them."""

    def lines(self) -> tuple[str, ...]:
        """Give the report as text, one mark a step: `+` for, `-` against, blank for a fact."""
        shown: list[str] = []
        for step in self.steps:
            first, *rest = step.detail.split("\n")
            mark = " " if step.ok is None else "+" if step.ok else "-"
            shown += [f"{mark} {step.name}: {first}", *(f"      {line}" for line in rest)]
        return tuple(shown)


def explain(
    request: Request,
    *,
    now: datetime,
    policy: SignaturePolicy = DEFAULT,
    key: PublicKey | None = None,
    keys: Mapping[str, PublicKey] | None = None,
) -> Report[Verified]:
    """Look at the signatures of ``request`` from every side. Never raises for what a peer sent.

    Args:
        request: As received.
        now: The clock to hold it against: for a captured request, that of its capture.
        policy: Whose verdict counts.
        key: The key it names, if it is at hand. Its id is not compared, so that any key can be tried.
        keys: Where several may be needed: by the id that a signature names. ``key`` is for those that are not among them.
    """
    body = f"body of {len(request.body)} bytes with {make_digest(request.body)}"
    steps = [Step("request", None, f"{request.method} {redacted_url(request.url)[:_SHOWN_CHARS_MAX]}, {body}")]
    find_key = partial(_key_for, key, keys or {})
    try:
        examined = _examined(request, _relaxed(policy), now)
    except ApcoreError as exc:
        # The verdict is the policy's own, which may not even look where this was found.
        return Report((*steps, Step("read", False, said(exc))), None, _verdict(request, policy, now)[1] or exc)
    presented = [one for one in examined if isinstance(one, Presented)]
    key_ids: list[str | None] = []
    for one in examined:
        if isinstance(one, Presented):
            steps.append(Step(f"signature {_name(one)}", None, _described(one)))
            key_ids.append(one.key_id)
        else:
            steps.append(_unread_step(request, one, find_key(one.explanation.key_id), now, policy))
            key_ids.append(one.explanation.key_id)
    steps += _field_steps(request, presented)
    accepted, error = _verdict(request, policy, now)
    steps += [_preset_step(request, preset, now) for preset in {policy.name: policy, **PRESETS}.values()]
    told: set[str] = set()
    verified: Verified | None = None
    for one in presented:
        found = find_key(one.key_id)
        if found is None:
            continue
        if found.described not in told:
            told.add(found.described)
            steps.append(Step("key", None, found.described))
        step, refusal = _checked(request, one, found)
        steps.append(step)
        if refusal is None and verified is None:
            verified, refusal = _under_policy(accepted, one, found)
        error = error or refusal
    named = tuple(dict.fromkeys(name for name in key_ids if name))
    return Report(tuple(steps), verified, None if verified is not None else error, named)


def said(error: ApcoreError) -> str:
    """Give an error as a report has it: its reason, its words, and the rule that decided."""
    rule = error.explanation.rule if isinstance(error, Explained) else ""
    return visible(f"{error.reason}: {error}" + (f" ({rule})" if rule else ""))


def _key_for(key: PublicKey | None, keys: Mapping[str, PublicKey], key_id: str | None) -> PublicKey | None:
    return key if key_id is None else keys.get(key_id, key)


# --- what was presented ---------------------------------------------------------------------------------------------


def _relaxed(policy: SignaturePolicy) -> SignaturePolicy:
    """Give a policy that refuses only what cannot be read."""
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


def _examined(request: Request, policy: SignaturePolicy, now: datetime) -> tuple[Presented | Explained, ...]:
    """Give every signature, or why it cannot be read; raises if none can be told from another."""
    if "signature-input" in request.headers:
        return rfc9421.examine(request, policy, now, compare=False)
    try:
        return (cavage.present(request, policy, now, compare=False),)
    except Explained as exc:
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
    lines += ["expected signing string:", *(f"    {line}" for line in shown_base(presented.bases[0].data))]
    return "\n".join(lines)


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # beyond the years that there are names for
        return f"{seconds} s of the epoch"


def _zone_hint(offset_s: int) -> str:
    """Whole hours, give or take a minute, are a wrong time zone and not a slow network."""
    hours = round(offset_s / _HOUR_S)
    if not 1 <= abs(hours) <= 14 or abs(offset_s - hours * _HOUR_S) > 60:
        return ""
    return f", whole hours: is {'its' if hours > 0 else 'one'} clock in local time and called GMT?"


def shown_base(base: bytes) -> list[str]:
    """Give the lines of a signing string byte for byte: what nobody would see is escaped, and the values of secret fields are taken out."""
    return [visible(line, ascii_only=True) for line in redacted_lines(base.decode("latin-1")).split("\n")]


def _unread_step(
    request: Request, refusal: Explained, key: PublicKey | None, now: datetime, policy: SignaturePolicy
) -> Step:
    """Tell why one signature cannot be read, and, where fields were lost or doubled, with which it would hold."""
    known = refusal.explanation
    name = known.scheme or "signature" if known.label is None else f"{known.scheme} {known.label}"
    lines = [said(refusal), *(line for line in known.lines() if not line.startswith("rule: "))]
    if key is not None:
        for words, whole in restored(request, known.covered):
            if any(
                isinstance(one, Presented) and one.label == known.label and _holds(one, key)
                for one in _examined(whole, _relaxed(policy), now)
            ):
                lines.append(f"it would hold if the message {visible(words)}")
                break
    return Step(f"signature {name}", False, "\n".join(lines))


# --- what is covered, and what came ---------------------------------------------------------------------------------


def _field_steps(request: Request, presented: list[Presented]) -> Iterator[Step]:
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
            yield Step("host", False, said(exc))


def _digest_step(
    name: str,
    value: str,
    body: bytes,
    check_field: Callable[[str, bytes], None],
    make: Callable[[bytes], str],
    *,
    covered: bool,
) -> Step:
    aside = "" if covered else ", and is not covered"

    def fits(other: bytes) -> bool:
        try:
            check_field(value, other)
        except ApcoreError:
            return False
        return True

    if fits(body):
        return Step(name, True, f"is that of the body{aside}: {visible(value[:_SHOWN_CHARS_MAX])}")
    lines = [
        f"is not that of the body{aside}",
        f"found    {visible(value[:_SHOWN_CHARS_MAX])}",
        f"expected {make(body)}",
    ]
    changed = find_body(body, fits)
    return Step(
        name, False, "\n".join([*lines, changed or "it fits none of the bodies that are commonly sent by mistake"])
    )


# --- what the policies say, and the key -----------------------------------------------------------------------------


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
        return Step(f"policy {policy.name}", False, said(error))
    return Step(f"policy {policy.name}", True, f"accepts what {', '.join(_name(one) for one in accepted)} covers")


def _checked(request: Request, presented: Presented, key: PublicKey) -> tuple[Step, ApcoreError | None]:
    name = f"check {_name(presented)}"
    try:
        verified = check(presented, key.renamed(key_id=presented.key_id))
    except (BadSignature, KeyMismatch) as exc:
        mistake = find_mistake(request, presented, key)
        nothing = "it holds over none of the strings that are commonly signed by mistake: is it another key?"
        return Step(name, False, f"{said(exc)}\n{visible(mistake or nothing)}"), exc
    except ApcoreError as exc:
        return Step(name, False, said(exc)), exc
    query = "" if verified.query_covered else ", without the query"
    return Step(name, True, f"holds by {verified.algorithm}{query}"), None


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
