"""``apcore lookup``: find an actor or a document in the way a server does.

A handle is accepted only if its host and the actor's own server agree. Requests are unsigned, so that the output is
public.
"""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.version import installed_version
from apcore.discovery import LookupResult, NodeInfo, lookup, lookup_nodeinfo
from apcore.effects import Op
from apcore.errors import ApcoreError
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY
from apcore.node import Node
from apcore.remote import FetchPolicy
from apcore.vocab import Actor, Object, to_wire

__all__ = ["command"]


@click.command("lookup", short_help="Find an actor or a post.")
@click.argument("text", metavar="@USER@HOST|URL")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the whole document.")
@click.option("--allow-loopback", is_flag=True, help="Allow plain http and addresses of this machine. For development.")
def command(*, text: str, as_json: bool, allow_loopback: bool) -> int:
    """Find an actor by handle, or any document by its address.

    A handle is accepted only if its host and the actor's own server agree about it. The exit code is 1 if nothing is
    found, or the result cannot be trusted.
    """
    policy = FetchPolicy(
        addresses=LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY, user_agent=f"apcore/{installed_version()}"
    )
    try:
        with Node(Federation(), addresses=policy.addresses) as node:
            result, software = node.run(_find(text, policy))
    except ApcoreError as error:
        raise click.ClickException(plain(f"{text}: {error}")) from error
    if as_json:
        click.echo(json.dumps(_members(result, software), indent=2))
    else:
        _print_text(result, software)
    return exit_codes.DONE


def _find(text: str, policy: FetchPolicy) -> Op[tuple[LookupResult, NodeInfo | None]]:
    result = yield from lookup(text, policy=policy)
    try:
        software = yield from lookup_nodeinfo(result.loaded.url.origin, policy=policy)
    except ApcoreError:
        software = None  # Many servers do not publish NodeInfo.
    return result, software


def _members(result: LookupResult, software: NodeInfo | None) -> dict[str, Any]:
    return {
        "id": result.document.id,
        "handle": None if result.acct is None else result.acct.handle,
        "doubt": None if result.doubt is None else str(result.doubt),
        "software": None if software is None else f"{software.software_name} {software.software_version}",
        "document": to_wire(result.document),
    }


def _print_text(result: LookupResult, software: NodeInfo | None) -> None:
    rows: list[tuple[str, str | None]] = [("id", result.document.id), ("type", ", ".join(result.document.types))]
    view = Object.over(result.document)
    if result.document.is_a(Actor):
        actor = Actor.over(result.document)
        handle = "not proved: " + str(result.doubt) if result.acct is None else result.acct.handle
        rows += [("handle", handle), ("name", actor.name), ("inbox", actor.inbox), ("outbox", _uri(actor.outbox))]
        rows += [("followers", _uri(actor.followers))]
    else:
        author = view.attributed_to
        rows += [("by", _uri(author)), ("published", None if view.published is None else str(view.published))]
        rows += [("name", view.name), ("content", view.content)]
    if software is not None:
        rows += [("software", f"{software.software_name} {software.software_version}")]
    width = max(len(name) for name, _ in rows)
    console = Console(highlight=False, soft_wrap=True)
    for name, value in rows:
        if value:
            console.print(Text.assemble((f"{name:<{width}}", "bold"), f"  {plain(value)}"))


def _uri(reference: Any) -> str | None:
    return None if reference is None else reference if isinstance(reference, str) else reference.uri
