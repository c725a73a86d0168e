"""``apcore inbox``: run a temporary actor that prints each incoming activity.

It shows the activities that other servers really send. It is an ordinary federation with one actor and one listener.
Its store is in memory, so that each run is a new actor with new keys.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from apcore.adapters.asgi import asgi_app
from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.version import installed_version
from apcore.cli.web_server import listen_at, port_for, server_for
from apcore.discovery import lookup
from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation import Context, Federation
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY, parse_origin
from apcore.node import AsyncNode
from apcore.vocab import Activity, Follow, Person

__all__ = ["command"]


@click.command("inbox", short_help="Print the activities that arrive at a temporary actor.")
@click.option("--origin", required=True, metavar="URL", help="The origin at which peers reach this machine.")
@click.option("--name", default="inbox", show_default=True, metavar="NAME", help="The name of the actor.")
@click.option(
    "--follow", "follows", multiple=True, metavar="@USER@HOST|URL", help="An actor to follow; may be repeated."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen at.  [default: the origin's if http, or 8000]"
)
@click.option("--trust-proxy", is_flag=True, help="Trust X-Forwarded-Host, -Proto and -For: your proxy sets them.")
@click.option("--allow-loopback", is_flag=True, help="Allow plain http and addresses of this machine. For development.")
@click.option("--json", "as_json", is_flag=True, help="Print each activity as one line of JSON.")
def command(
    *,
    origin: str,
    name: str,
    follows: tuple[str, ...],
    host: str,
    port: int | None,
    trust_proxy: bool,
    allow_loopback: bool,
    as_json: bool,
) -> int:
    """Run a temporary actor, and print the activities that it receives, until Ctrl-C.

    Peers must be able to reach it at --origin. Every follow request is accepted. Activities without a valid signature
    are refused and not shown, as on any server.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(name)s: %(message)s")
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    try:
        with _quiet():
            node = AsyncNode(_federation(name, as_json=as_json), origin, "memory:", addresses=addresses)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    server = server_for(asgi_app(node, trust_proxy=trust_proxy), log_level="warning")
    own_origin = parse_origin(origin)
    with closing(listen_at(host, port_for((own_origin,), port))) as listener:
        click.echo(f"@{name}@{own_origin.authority} listens; press Ctrl-C to stop", err=True)

        async def serve() -> None:
            follow_task = asyncio.create_task(_follow(node, name, follows))
            try:
                await server.serve(sockets=[listener])
            finally:
                _ = follow_task.cancel()
                _ = await asyncio.gather(follow_task, return_exceptions=True)

        asyncio.run(serve())
    return exit_codes.DONE if server.started else exit_codes.FAILED


def _federation(name: str, *, as_json: bool) -> Federation[None]:
    federation: Federation[None] = Federation(software=f"apcore-inbox/{installed_version()}")
    console = Console(highlight=False, soft_wrap=True)

    @federation.actor("/users/{identifier}")
    def actor(ctx: Context, identifier: str) -> Person | None:
        del ctx
        return Person(preferred_username=name, name=f"apcore inbox ({name})") if identifier == name else None

    @federation.on(Activity)
    def print_activity(ctx: Context, activity: Activity) -> None:
        del ctx
        if as_json:
            click.echo(json.dumps(activity.document.tree))
            return
        actor_id = "" if activity.actor is None else activity.actor.uri or ""
        object_id = "" if activity.object is None else activity.object.uri or ""
        types = plain("/".join(activity.document.types))
        console.print(Text.assemble((types, "bold"), f" {plain(actor_id)} {plain(object_id)}"))

    return federation


async def _follow(node: AsyncNode[Any], name: str, follows: tuple[str, ...]) -> None:
    """Send the follow requests of the options.

    A peer may fetch the actor before it answers. That works: the socket listens already, and the server starts in the
    same event loop.
    """
    for text in follows:
        try:
            result = await node.run(lookup(text, policy=node.site().fetching))
            actor_id = result.document.id or text
            await node.send(Follow(object=actor_id), by=name, to=actor_id)
        except ApcoreError as error:
            click.echo(plain(f"{text} cannot be followed: {error}"), err=True)
        else:
            click.echo(plain(f"following {actor_id}"), err=True)


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Suppress the node's warning that the memory store loses its data: this command intends it."""
    log = logging.getLogger("apcore.node")
    old_level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(old_level)
