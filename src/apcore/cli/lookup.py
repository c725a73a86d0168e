"""``apcore lookup``: what somebody wrote, found, the way a server would find it.

Handles are believed only when the handle's host and the actor's own server agree. Requests are unsigned: what is shown is what is public.
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
@click.argument("what", metavar="@USER@HOST|URL")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the whole document.")
@click.option("--allow-loopback", is_flag=True, help="Allow plain http and addresses of this machine. For development.")
def command(*, what: str, as_json: bool, allow_loopback: bool) -> int:
    """Find an actor by handle, or any document by its address.

    A handle counts only if its host and the actor's own server agree about it. Exit code 1 if nothing is found, or nothing that can be believed.
    """
    policy = FetchPolicy(
        addresses=LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY, user_agent=f"apcore/{installed_version()}"
    )
    try:
        with Node(Federation(), addresses=policy.addresses) as node:
            found, software = node.run(_find(what, policy))
    except ApcoreError as error:
        raise click.ClickException(plain(f"{what}: {error}")) from error
    if as_json:
        click.echo(json.dumps(_members(found, software), indent=2))
    else:
        _tell(found, software)
    return exit_codes.DONE


def _find(what: str, policy: FetchPolicy) -> Op[tuple[LookupResult, NodeInfo | None]]:
    found = yield from lookup(what, policy=policy)
    try:
        software = yield from lookup_nodeinfo(found.loaded.url.origin, policy=policy)
    except ApcoreError:
        software = None  # many servers tell nothing of themselves
    return found, software


def _members(found: LookupResult, software: NodeInfo | None) -> dict[str, Any]:
    return {
        "id": found.document.id,
        "handle": None if found.acct is None else found.acct.handle,
        "doubt": None if found.doubt is None else str(found.doubt),
        "software": None if software is None else f"{software.software_name} {software.software_version}",
        "document": to_wire(found.document),
    }


def _tell(found: LookupResult, software: NodeInfo | None) -> None:
    rows: list[tuple[str, str | None]] = [("id", found.document.id), ("type", ", ".join(found.document.types))]
    thing = Object.over(found.document)
    if found.document.is_a(Actor):
        actor = Actor.over(found.document)
        handle = "not proved: " + str(found.doubt) if found.acct is None else found.acct.handle
        rows += [("handle", handle), ("name", actor.name), ("inbox", actor.inbox), ("outbox", _uri(actor.outbox))]
        rows += [("followers", _uri(actor.followers))]
    else:
        author = thing.attributed_to
        rows += [("by", _uri(author)), ("published", None if thing.published is None else str(thing.published))]
        rows += [("name", thing.name), ("content", thing.content)]
    if software is not None:
        rows += [("software", f"{software.software_name} {software.software_version}")]
    width = max(len(name) for name, _ in rows)
    console = Console(highlight=False, soft_wrap=True)
    for name, value in rows:
        if value:
            console.print(Text.assemble((f"{name:<{width}}", "bold"), f"  {plain(value)}"))


def _uri(reference: Any) -> str | None:
    return None if reference is None else reference if isinstance(reference, str) else reference.uri
