"""``apcore rotate``: replace the keys of an actor while its servers and workers run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from apcore.cli import exit_codes
from apcore.cli.binding import bind_node, node_options
from apcore.errors import ApcoreError
from apcore.federation import Rotation
from apcore.node import AsyncNode, Node

__all__ = ["command"]


@click.command("rotate", short_help="Replace the keys of an actor.")
@node_options
@click.option(
    "--actor", "identifier", metavar="IDENTIFIER", help="The actor: the identifier in its path, such as alice."
)
@click.option("--instance", is_flag=True, help="The instance actor, which signs the server's own fetches.")
@click.option(
    "--announce/--no-announce",
    default=None,
    help="Send followers an Update, signed with the old key, or do not; KeyPolicy.announce decides by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    target: str,
    origin: str | None,
    store: str | None,
    signer: str,
    allow_loopback: bool,
    identifier: str | None,
    instance: bool,
    announce: bool | None,
    as_json: bool,
) -> int:
    """Create new keys for an actor, sign with them at once, and retire the old keys later.

    Servers and workers on the same store need no restart. A worker sends the Update, and deletes the old keys when
    their time is over. Use the same MODULE:NAME, --origin and --store as for the servers. MODULE:NAME may also be a
    Node; --origin then selects one of its origins. Each run creates new keys: repeat it only after a leak.
    """
    if (identifier is None) is not instance:
        raise click.UsageError("name the actor: use --actor IDENTIFIER or --instance, not both")
    node = bind_node(
        target, origin=origin, store=store, signer=signer, allow_loopback=allow_loopback, picks_origin=True
    )
    try:
        node_origin = str(node.origins.pick(origin))
    except ValueError as error:
        raise click.UsageError(f"--origin: {error}") from error
    try:
        if isinstance(node, Node):
            with node:
                rotation = node.rotate_keys(identifier, announce=announce, origin=node_origin)
        else:
            rotation = asyncio.run(_rotate(node, identifier, announce=announce, origin=node_origin))
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error
    members = {
        "actor": rotation.actor,
        "signs": list(rotation.signs),
        "replaced": list(rotation.replaced),
        "retired": f"{rotation.retired:%Y-%m-%dT%H:%M:%SZ}",
    }
    if as_json:
        click.echo(json.dumps(members, indent=2))
    else:
        click.echo(f"{rotation.actor} signs with {rotation.signs[0]}")
        click.echo(f"{', '.join(rotation.replaced)} stay published until {members['retired']}")
    return exit_codes.DONE


async def _rotate(node: AsyncNode[Any], identifier: str | None, *, announce: bool | None, origin: str) -> Rotation:
    async with node:
        return await node.rotate_keys(identifier, announce=announce, origin=origin)
