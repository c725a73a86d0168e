"""``apcore check``: what is missing, contradictory or risky in a federation, in words, before anything is served."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.text import Text

from apcore.cli import exits
from apcore.cli.binding import load_federation
from apcore.errors import ConfigurationError
from apcore.node import open_store

__all__ = ["command"]


@click.command("check", short_help="Say what is wrong with a federation.")
@click.argument("target", metavar="MODULE[:NAME]")
@click.option("--blocking", is_flag=True, help="It is to run in a blocking node: WSGI, a script.")
@click.option("--store", metavar="URL", help="Where it is to keep its facts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, target: str, blocking: bool, store: str | None, as_json: bool) -> int:
    """Say what is missing, contradictory or risky in the registrations of a federation.

    MODULE:NAME is an importable federation, such as hello:federation. Exit code 1 if there are errors, with which nothing can be served.
    """
    federation = load_federation(target)
    try:
        durability = None if store is None else open_store(store).durability
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    findings = federation.check(blocking=blocking, durability=durability)
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
    return exits.FAILED if wrong else exits.DONE
