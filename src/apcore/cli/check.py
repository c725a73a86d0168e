"""``apcore check``: report the mistakes and risks in a federation before it is served."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from apcore.cli import exit_codes
from apcore.cli.binding import load_target, refuse_options
from apcore.errors import ConfigurationError
from apcore.federation import CheckFinding, Federation
from apcore.node import open_store

__all__ = ["command"]


@click.command("check", short_help="Report mistakes and risks in a federation.")
@click.argument("target", metavar="MODULE[:NAME]")
@click.option("--blocking", is_flag=True, help="Check it for a blocking node (WSGI, a script).")
@click.option("--store", metavar="URL", help="The store that it will use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, target: str, blocking: bool, store: str | None, as_json: bool) -> int:
    """Report missing, contradictory and risky registrations of a federation.

    MODULE:NAME is a federation, a node or a function that returns one, as for `serve`. A node is checked with its
    origins, store and data. The exit code is 1 if there are errors: the federation cannot be served then.
    """
    value = load_target(target)
    if isinstance(value, Federation):
        findings = _findings(value, blocking=blocking, store=store)
    else:
        refuse_options(target, value, "blocking", "store")
        findings = value.findings
    has_errors = any(finding.level == "error" for finding in findings)
    if as_json:
        members = [{"level": finding.level, "text": finding.text} for finding in findings]
        click.echo(json.dumps({"ok": not has_errors, "findings": members}, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            style = "bold red" if finding.level == "error" else "yellow"
            console.print(Text.assemble((f"{finding.level}: ", style), finding.text))
        if not findings:
            console.print(Text("no mistakes found", style="bold green"))
    return exit_codes.FAILED if has_errors else exit_codes.DONE


def _findings(federation: Federation[Any], *, blocking: bool, store: str | None) -> tuple[CheckFinding, ...]:
    """Check a federation as `serve` would bind it: without data."""
    try:
        durability = None if store is None else open_store(store).durability
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    return federation.check(blocking=blocking, durability=durability, has_data=False)
