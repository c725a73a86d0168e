"""``apcore check``: what is missing, contradictory or risky in a federation, in words, before anything is served."""

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


@click.command("check", short_help="Say what is wrong with a federation.")
@click.argument("target", metavar="MODULE[:NAME]")
@click.option("--blocking", is_flag=True, help="It is to run in a blocking node: WSGI, a script.")
@click.option("--store", metavar="URL", help="Where it is to keep its facts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, target: str, blocking: bool, store: str | None, as_json: bool) -> int:
    """Say what is missing, contradictory or risky in the registrations of a federation.

    MODULE:NAME is a federation, a node or a function that makes one, as for `serve`; a node is checked with its origins, store and data. Exit code 1 if
    there are errors, with which nothing can be served.
    """
    value = load_target(target)
    if isinstance(value, Federation):
        findings = _findings(value, blocking=blocking, store=store)
    else:
        refuse_options(target, value, "blocking", "store")
        findings = value.findings
    wrong = any(finding.level == "error" for finding in findings)
    if as_json:
        told = [{"level": finding.level, "text": finding.text} for finding in findings]
        click.echo(json.dumps({"ok": not wrong, "findings": told}, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            style = "bold red" if finding.level == "error" else "yellow"
            console.print(Text.assemble((f"{finding.level}: ", style), finding.text))
        if not findings:
            console.print(Text("nothing is wrong", style="bold green"))
    return exit_codes.FAILED if wrong else exit_codes.DONE


def _findings(federation: Federation[Any], *, blocking: bool, store: str | None) -> tuple[CheckFinding, ...]:
    """Check a federation as a command would bind it, which gives it no data."""
    try:
        durability = None if store is None else open_store(store).durability
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    return federation.check(blocking=blocking, durability=durability, has_data=False)
