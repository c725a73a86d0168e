"""``apcore verify``: why a captured request is believed or not, step by step.

Explains with `apcore.signatures.explain` and decides nothing by itself, except to compare the activity's actor with the owner of the key, which is
what an inbox does next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

import click
from attrs import asdict, field, frozen
from rich.console import Console
from rich.text import Text

from apcore.cli import exits
from apcore.cli.capture import CAPTURE_BYTES_MAX, Captured, read_capture
from apcore.cli.moments import to_moment
from apcore.cli.signing_keys import Fetched, fetch_keys, read_file, read_public_key
from apcore.cli.telling import plain
from apcore.cli.version import installed_version
from apcore.errors import ApcoreError
from apcore.federation.authenticate import NotTheActor
from apcore.http import Request, format_http_date, parse_origin
from apcore.jsonld import Json, JsonObject, parse_document
from apcore.signatures import (
    PRESETS,
    CoverageTooSmall,
    Explained,
    PublicKey,
    Report,
    SchemeRefused,
    SignatureExpired,
    SignatureMissing,
    SignaturePolicy,
    SignatureTooOld,
    Step,
    Verified,
    VerifiedDocument,
    challenge,
    explain,
    explain_document,
    read_challenges,
)

__all__ = ["command", "read_request"]

_KEY_NEEDED: Final = "key-needed"


@click.command("verify", short_help="Say why a signed request is accepted or refused.")
@click.argument("request_file", metavar="REQUEST-FILE")
@click.option(
    "--key", "key_file", metavar="FILE", help="The key it is signed with: PEM, public or private, or a Multikey."
)
@click.option("--fetch", is_flag=True, help="Fetch the keys that it names, as an inbox would.")
@click.option("--policy", "policy_name", type=click.Choice(list(PRESETS)), default="default", show_default=True, help="Whose verdict counts.")  # fmt: skip
@click.option(
    "--now", metavar="TIME", callback=to_moment, help="The clock to hold it against.  [default: this machine's]"
)
@click.option("--origin", metavar="URL", help="Where it came to.  [default: what its Host says]")
@click.option("--scheme", type=click.Choice(["https", "http"]), default="https", show_default=True, help="That of the URL, where --origin is not given.")  # fmt: skip
@click.option("--allow-loopback", is_flag=True, help="Allow plain http and addresses of this machine. For development.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    request_file: str,
    key_file: str | None,
    fetch: bool,
    policy_name: str,
    now: datetime | None,
    origin: str | None,
    scheme: str,
    allow_loopback: bool,
    as_json: bool,
) -> int:
    """Explain why a captured HTTP/1.1 request is accepted or refused; it is in a file or, for -, on standard input.

    Shows what its signature says, which rule decides, the string that it has to be over, and, where it does not hold, with which of the
    usual mistakes it would.

    Exit code 0 if it is verified, 1 if it is refused or lacks a key, and the output ends with the reason; 2 if there is no request in
    the file.
    """
    if key_file is not None and fetch:
        raise click.UsageError("--key and --fetch: the key comes from the one or from the other")
    captured = read_request(request_file, origin=origin, scheme=scheme)
    asked = _Question(
        captured, PRESETS[policy_name], datetime.now(UTC) if now is None else now, clock_given=now is not None
    )
    answer = _answer(asked, key_file, fetch=fetch, allow_loopback=allow_loopback)
    if as_json:
        click.echo(json.dumps(_members(asked, answer), indent=2))
    else:
        _tell(answer)
    return exits.DONE if answer.verdict == "verified" else exits.FAILED


def read_request(path: str, *, origin: str | None, scheme: str) -> Captured:
    """Read the request of a command. `click.UsageError` for what is none."""
    try:
        came_to = None if origin is None else parse_origin(origin)
    except ValueError as error:
        raise click.UsageError(f"--origin: {error}") from error
    data = read_file(path, CAPTURE_BYTES_MAX, "the request in")
    try:
        return read_capture(data, origin=came_to, scheme=scheme)
    except ValueError as error:
        raise click.UsageError(plain(f"{path} holds no request that can be read: {error}")) from error


@frozen
class _Question:
    captured: Captured
    policy: SignaturePolicy
    now: datetime
    clock_given: bool

    @property
    def request(self) -> Request:
        return self.captured.request


@frozen(kw_only=True)
class _Answer:
    steps: tuple[Step, ...]
    verdict: Literal["verified", "refused", "key-needed"]
    reason: str | None
    """The slug of a refusal."""
    sentence: str
    error: ApcoreError | None = None
    verified: Verified | None = None
    document: VerifiedDocument | None = None
    key_ids: tuple[str, ...] = field(default=())


def _answer(asked: _Question, key_file: str | None, *, fetch: bool, allow_loopback: bool) -> _Answer:
    document = _document(asked.request)
    report, embedded = _explained(asked, document, None, {})
    named = tuple(dict.fromkeys((*report.key_ids, *embedded.key_ids)))
    key: PublicKey | None = None
    unfit: ApcoreError | None = None
    fetched = Fetched()
    if key_file is not None:
        try:
            key = read_public_key(key_file)
        except ApcoreError as refusal:
            unfit = refusal
            fetched.steps.append(Step("key", False, f"{refusal.reason}: {refusal}"))
    elif fetch:
        fetched = fetch_keys(named, allow_loopback=allow_loopback, user_agent=f"apcore/{installed_version()}")
    if key is not None or fetched.keys:
        report, embedded = _explained(asked, document, key, fetched.keys)
    unfit = unfit or next((fetched.errors[name] for name in named if name in fetched.errors), None)
    steps = [Step("capture", None, note) for note in asked.captured.notes]
    steps += [*report.steps, *embedded.steps, *fetched.steps]
    proved = embedded.verified
    if proved is not None and fetch and proved.scheme != "RsaSignature2017" and proved.key_id not in fetched.asserting:
        steps.append(Step("purpose", False, f"{proved.owner} does not list {proved.key_id} in assertionMethod"))
        proved = None
    error = report.error
    if isinstance(error, SignatureMissing) and embedded.key_ids:
        error = None if proved is not None else embedded.error
    error = error or (unfit if report.verified is None and proved is None else None)
    if fetch and error is None:
        error = _actor_error(document, report.verified, proved, steps)
    steps += _further(asked, error)
    return _judged(steps, error, report.verified, proved, named=named, policy=asked.policy.name)


def _explained(
    asked: _Question, document: JsonObject | None, key: PublicKey | None, keys: dict[str, PublicKey]
) -> tuple[Report[Verified], Report[VerifiedDocument]]:
    report = explain(asked.request, now=asked.now, policy=asked.policy, key=key, keys=keys)
    if document is None:
        return report, Report((), None, None)
    return report, explain_document(document, now=asked.now, policy=asked.policy, key=key, keys=keys)


def _document(request: Request) -> JsonObject | None:
    try:
        return parse_document(request.body)
    except ApcoreError:
        return None


def _actor_error(
    document: JsonObject | None, verified: Verified | None, proved: VerifiedDocument | None, steps: list[Step]
) -> ApcoreError | None:
    """Compare the activity's actor with whoever is proved; adds a step."""
    actor: Json = None if document is None else document.get("actor")
    if isinstance(actor, dict):
        actor = actor.get("id")
    owners = [each.owner for each in (verified, proved) if each is not None]
    if not isinstance(actor, str) or not owners:
        return None
    if actor in owners:
        steps.append(Step("actor", True, f"{actor} is the activity's actor, and owns the key"))
        return None
    error = NotTheActor(f"the activity's actor is {actor}, and the key is owned by {owners[0]}")
    steps.append(Step("actor", False, f"{error.reason}: {error}"))
    return error


def _further(asked: _Question, error: ApcoreError | None) -> Iterator[Step]:
    """Say what is worth knowing beside the verdict."""
    offered = asked.request.headers.get("accept-signature")
    if offered is not None:
        try:
            read = [
                f"{each.label}: {' '.join(str(item.value) for item in each.components)}"
                for each in read_challenges(offered)
            ]
            yield Step(
                "accept-signature", None, "\n".join(["it asks to be answered with a signature of its own", *read])
            )
        except ApcoreError as refusal:
            yield Step("accept-signature", False, f"{refusal.reason}: {refusal}")
    if isinstance(error, SignatureTooOld | SignatureExpired) and not asked.clock_given and isinstance(error, Explained):
        offset_s = error.explanation.clock_offset_s
        if offset_s is not None:
            signed = format_http_date(datetime.fromtimestamp(int(asked.now.timestamp()) + offset_s, UTC))
            yield Step("clock", None, f"to hold it against the time of its signature: --now '{signed}'")
    if isinstance(error, SignatureMissing | CoverageTooSmall | SchemeRefused) and "rfc9421" in asked.policy.schemes:
        wanted = challenge(asked.request.method, policy=asked.policy, has_body=bool(asked.request.body))
        yield Step("wanted", None, f"a server may answer with what it would take\nAccept-Signature: {wanted}")


def _judged(
    steps: list[Step],
    error: ApcoreError | None,
    verified: Verified | None,
    proved: VerifiedDocument | None,
    *,
    named: tuple[str, ...],
    policy: str,
) -> _Answer:
    if error is not None:
        rule = f" ({error.explanation.rule})" if isinstance(error, Explained) and error.explanation.rule else ""
        sentence = f"refused by policy {policy}: {error.reason}: {error}{rule}"
        return _Answer(
            steps=tuple(steps), verdict="refused", reason=error.reason, sentence=sentence, error=error, key_ids=named
        )
    if verified is None and proved is None:
        sentence = f"a key is needed, by --key or --fetch: {', '.join(named)}"
        return _Answer(steps=tuple(steps), verdict="key-needed", reason=_KEY_NEEDED, sentence=sentence, key_ids=named)
    how = [f"{each.scheme} with {each.key_id}" for each in (verified, proved) if each is not None]
    return _Answer(
        steps=tuple(steps),
        verdict="verified",
        reason=None,
        sentence=f"verified by policy {policy}: {', '.join(how)}",
        verified=verified,
        document=proved,
        key_ids=named,
    )


# --- telling --------------------------------------------------------------------------------------------------------

_MARKS: Final = {True: ("+ ", "green"), False: ("- ", "bold red"), None: ("  ", "")}


def _tell(answer: _Answer) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for step in answer.steps:
        first, *rest = step.detail.split("\n")
        console.print(Text.assemble(_MARKS[step.ok], (f"{step.name}: ", "bold"), plain(first)))
        for line in rest:
            console.print(Text(f"      {plain(line)}"))
    style = {"verified": "bold green", "refused": "bold red", "key-needed": "bold yellow"}[answer.verdict]
    console.print(Text(plain(answer.sentence), style=style))


def _members(asked: _Question, answer: _Answer) -> dict[str, Any]:
    error = answer.error
    verified, document = answer.verified, answer.document
    return {
        "ok": answer.verdict == "verified",
        "verdict": answer.verdict,
        "reason": answer.reason,
        "sentence": answer.sentence,
        "policy": asked.policy.name,
        "now": asked.now.isoformat(),
        "keys": list(answer.key_ids),
        "steps": [{"name": step.name, "ok": step.ok, "detail": step.detail} for step in answer.steps],
        "explanation": asdict(error.explanation) if isinstance(error, Explained) else None,
        "verified": None
        if verified is None
        else {
            "scheme": verified.scheme,
            "key": verified.key_id,
            "owner": verified.owner or None,
            "algorithm": verified.algorithm,
            "covered": list(verified.covered),
            "queryCovered": verified.query_covered,
        },
        "document": None
        if document is None
        else {"scheme": document.scheme, "key": document.key_id, "owner": document.owner or None},
    }
