"""``apcore check``: report the mistakes and risks in a federation before it is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from apcore.cli import exit_codes
from apcore.cli.binding import load_target, refuse_options
from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation import CheckFinding, Federation
from apcore.federation.actors.handles import check_actors
from apcore.node import AsyncNode, Node, open_store

__all__ = ["command"]

_ORIGIN: Final = "https://your.example"
"""The origin at which the actors of a federation are checked, since a federation has none."""


@click.command("check", short_help="Report mistakes and risks in a federation.")
@click.argument("target", metavar="MODULE[:NAME]")
@click.option("--blocking", is_flag=True, help="Check it for a blocking node (WSGI, a script).")
@click.option("--store", metavar="URL", help="The store that it will use.")
@click.option("--actor", "identifiers", multiple=True, metavar="IDENTIFIER", help="An actor to check by its handle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, target: str, blocking: bool, store: str | None, identifiers: tuple[str, ...], as_json: bool) -> int:
    """Report missing, contradictory and risky registrations of a federation.

    MODULE:NAME is a federation, a node or a function that returns one, as for `serve`. A node is checked with its
    origins, store and data, and so is every actor that has keys in its store: can it be found by its handle? The exit
    code is 1 if there are errors: the federation cannot be served then.
    """
    value = load_target(target)
    try:
        if isinstance(value, Federation):
            findings = _findings(value, blocking=blocking, store=store)
            if identifiers and not any(finding.level == "error" for finding in findings):
                findings += _actor_findings(AsyncNode(value, _ORIGIN, "memory:"), identifiers)
        else:
            refuse_options(target, value, "blocking", "store")
            findings = (*value.findings, *_actor_findings(value, identifiers))
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error
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


def _actor_findings(node: Node[Any] | AsyncNode[Any], identifiers: Sequence[str]) -> tuple[CheckFinding, ...]:
    """Check actors at every origin of a node: those that are named, or else those that have keys in its store."""
    try:
        return _checked_by(node, identifiers) if isinstance(node, Node) else asyncio.run(_awaited(node, identifiers))
    except ApcoreError:
        raise
    except Exception as error:
        # A handler of the application failed. That is a mistake to report like the others.
        return (CheckFinding("error", f"a handler for actors or usernames failed with {error!r:.200}"),)


def _checked_by(node: Node[Any], identifiers: Sequence[str]) -> tuple[CheckFinding, ...]:
    findings: list[CheckFinding] = []
    with node, node.entered() as data:
        for origin in node.origins.listed:
            findings += node.run(check_actors(node.site(origin, data), identifiers))
    return tuple(findings)


async def _awaited(node: AsyncNode[Any], identifiers: Sequence[str]) -> tuple[CheckFinding, ...]:
    findings: list[CheckFinding] = []
    async with node, node.entered() as data:
        for origin in node.origins.listed:
            findings += await node.run(check_actors(node.site(origin, data), identifiers))
    return tuple(findings)
