"""``apcore verify``: explain step by step why a captured request is accepted or refused.

This module holds the options and the output; `apcore.cli.verdict` decides.
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
from apcore.cli.capture import CAPTURE_BYTES_MAX, CapturedRequest, read_capture
from apcore.cli.output import plain
from apcore.cli.signing_keys import read_file
from apcore.cli.timestamps import parse_time
from apcore.cli.verdict import VerifyInput, VerifyResult, judge
from apcore.http import parse_origin
from apcore.signatures import (
    PRESETS,
    ExplainedError,
)

__all__ = ["command", "read_request"]


@click.command("verify", short_help="Explain why a signed request is accepted or refused.")
@click.argument("request_file", metavar="REQUEST-FILE")
@click.option("--key", "key_file", metavar="FILE", help="The signer's key: a PEM (public or private) or a Multikey.")
@click.option("--fetch", is_flag=True, help="Fetch the keys that the request names, as an inbox does.")
@click.option(
    "--policy",
    "policy_name",
    type=click.Choice(list(PRESETS)),
    default="default",
    show_default=True,
    help="The policy that decides.",
)
@click.option(
    "--now", metavar="TIME", callback=parse_time, help="The time to compare with.  [default: this machine's clock]"
)
@click.option("--origin", metavar="URL", help="The origin that received the request.  [default: from its Host]")
@click.option(
    "--scheme",
    type=click.Choice(["https", "http"]),
    default="https",
    show_default=True,
    help="The scheme of the URL if --origin is not given.",
)
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
    """Explain why a captured HTTP/1.1 request is accepted or refused. Use - to read it from standard input.

    The output shows the content of the signature, the rule that decides, and the string that has to be signed. If the
    signature is wrong, the usual mistakes are tried, and the one that explains it is named.

    The exit code is 0 if the request is verified, and 1 if it is refused or a key is needed. The last line of the
    output names the reason. It is 2 if the file does not contain a request.
    """
    if key_file is not None and fetch:
        raise click.UsageError("use either --key or --fetch, not both")
    captured = read_request(request_file, origin=origin, scheme=scheme)
    inputs = VerifyInput(
        captured, PRESETS[policy_name], datetime.now(UTC) if now is None else now, is_time_given=now is not None
    )
    result = judge(inputs, key_file, fetch=fetch, allow_loopback=allow_loopback)
    if as_json:
        click.echo(json.dumps(_members(inputs, result), indent=2))
    else:
        _print_text(result)
    return exit_codes.DONE if result.verdict == "verified" else exit_codes.FAILED


def read_request(path: str, *, origin: str | None, scheme: str) -> CapturedRequest:
    """Read the request of a command.

    Raises:
        click.UsageError: The file cannot be read, or does not contain a request.
    """
    try:
        request_origin = None if origin is None else parse_origin(origin)
    except ValueError as error:
        raise click.UsageError(f"--origin: {error}") from error
    data = read_file(path, CAPTURE_BYTES_MAX, "the request in")
    try:
        return read_capture(data, origin=request_origin, scheme=scheme)
    except ValueError as error:
        raise click.UsageError(plain(f"{path} does not contain a readable request: {error}")) from error


# --- output ---------------------------------------------------------------------------------------------------------

_MARKS: Final = {True: ("+ ", "green"), False: ("- ", "bold red"), None: ("  ", "")}


def _print_text(result: VerifyResult) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for step in result.steps:
        first, *rest = step.detail.split("\n")
        console.print(Text.assemble(_MARKS[step.ok], (f"{step.name}: ", "bold"), plain(first)))
        for line in rest:
            console.print(Text(f"      {plain(line)}"))
    style = {"verified": "bold green", "refused": "bold red", "key-needed": "bold yellow"}[result.verdict]
    console.print(Text(plain(result.sentence), style=style))


def _members(inputs: VerifyInput, result: VerifyResult) -> dict[str, Any]:
    error = result.error
    verified, document = result.verified, result.document
    return {
        "ok": result.verdict == "verified",
        "verdict": result.verdict,
        "reason": result.reason,
        "sentence": result.sentence,
        "policy": inputs.policy.name,
        "now": inputs.now.isoformat(),
        "keys": list(result.key_ids),
        "steps": [{"name": step.name, "ok": step.ok, "detail": step.detail} for step in result.steps],
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
