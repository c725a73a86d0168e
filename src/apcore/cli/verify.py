"""``apcore verify``: why a captured request is believed or not, step by step.

Here are its options and what it prints; the verdict is made in `apcore.cli.verdict`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import click
from attrs import asdict
from rich.console import Console
from rich.text import Text

from apcore.cli import exit_codes
from apcore.cli.capture import CAPTURE_BYTES_MAX, Captured, read_capture
from apcore.cli.output import plain
from apcore.cli.signing_keys import read_file
from apcore.cli.timestamps import to_moment
from apcore.cli.verdict import Answer, Question, judge
from apcore.http import parse_origin
from apcore.signatures import (
    PRESETS,
    ExplainedError,
)

__all__ = ["command", "read_request"]


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
    asked = Question(
        captured, PRESETS[policy_name], datetime.now(UTC) if now is None else now, clock_given=now is not None
    )
    answer = judge(asked, key_file, fetch=fetch, allow_loopback=allow_loopback)
    if as_json:
        click.echo(json.dumps(_members(asked, answer), indent=2))
    else:
        _tell(answer)
    return exit_codes.DONE if answer.verdict == "verified" else exit_codes.FAILED


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


# --- telling --------------------------------------------------------------------------------------------------------

_MARKS: Final = {True: ("+ ", "green"), False: ("- ", "bold red"), None: ("  ", "")}


def _tell(answer: Answer) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for step in answer.steps:
        first, *rest = step.detail.split("\n")
        console.print(Text.assemble(_MARKS[step.ok], (f"{step.name}: ", "bold"), plain(first)))
        for line in rest:
            console.print(Text(f"      {plain(line)}"))
    style = {"verified": "bold green", "refused": "bold red", "key-needed": "bold yellow"}[answer.verdict]
    console.print(Text(plain(answer.sentence), style=style))


def _members(asked: Question, answer: Answer) -> dict[str, Any]:
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
        "explanation": asdict(error.explanation) if isinstance(error, ExplainedError) else None,
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
