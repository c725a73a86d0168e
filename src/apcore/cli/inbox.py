"""``apcore inbox``: an actor for as long as the command runs, that shows whatever arrives.

For looking at what other servers really send. It is a federation like any other, with one actor and one listener; its facts are in memory, so it is
a new actor, with new keys, each time.
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


@click.command("inbox", short_help="Show what arrives at an actor of the moment.")
@click.option("--origin", required=True, metavar="URL", help="Where peers reach this machine.")
@click.option("--name", default="inbox", show_default=True, metavar="NAME", help="The name of the actor.")
@click.option(
    "--follow", "follows", multiple=True, metavar="@USER@HOST|URL", help="Whom to follow; may be given several times."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen at.  [default: the origin's if http, or 8000]"
)
@click.option("--trust-proxy", is_flag=True, help="X-Forwarded-Host, -Proto and -For are written by a proxy of yours.")
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
    """Show what arrives at an actor that lives as long as this command, until Ctrl-C.

    Every request to follow it is accepted. Peers have to reach it at --origin; what is not signed as it should be is refused as ever, and not shown.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(name)s: %(message)s")
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    try:
        with _quiet():
            node = AsyncNode(_federation(name, as_json=as_json), origin, "memory:", addresses=addresses)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    server = server_for(asgi_app(node, trust_proxy=trust_proxy), log_level="warning")
    bound_to = parse_origin(origin)
    with closing(listen_at(host, port_for((bound_to,), port))) as listener:
        click.echo(f"@{name}@{bound_to.authority} listens; Ctrl-C ends it", err=True)

        async def serve() -> None:
            following = asyncio.create_task(_follow(node, name, follows))
            try:
                await server.serve(sockets=[listener])
            finally:
                _ = following.cancel()
                _ = await asyncio.gather(following, return_exceptions=True)

        asyncio.run(serve())
    return exit_codes.DONE if server.started else exit_codes.FAILED


def _federation(name: str, *, as_json: bool) -> Federation[None]:
    federation: Federation[None] = Federation(software=f"apcore-inbox/{installed_version()}")
    console = Console(highlight=False, soft_wrap=True)

    @federation.actor("/users/{identifier}", inline=True)
    def actor(ctx: Context, identifier: str) -> Person | None:
        del ctx
        return Person(preferred_username=name, name=f"apcore inbox ({name})") if identifier == name else None

    @federation.on(Activity)
    def arrived(ctx: Context, activity: Activity) -> None:
        del ctx
        if as_json:
            click.echo(json.dumps(activity.document.tree))
            return
        by = "" if activity.actor is None else activity.actor.uri or ""
        about = "" if activity.object is None else activity.object.uri or ""
        console.print(Text.assemble((plain("/".join(activity.document.types)), "bold"), f" {plain(by)} {plain(about)}"))

    return federation


async def _follow(node: AsyncNode[Any], name: str, follows: tuple[str, ...]) -> None:
    """Follow whom one was told to. Who is asked and asks back is answered: the address is taken, and the server about to start."""
    for what in follows:
        try:
            found = await node.run(lookup(what, policy=node.site().fetching))
            whom = found.document.id or what
            await node.send(Follow(object=whom), by=name, to=whom)
        except ApcoreError as error:
            click.echo(plain(f"{what} cannot be followed: {error}"), err=True)
        else:
            click.echo(plain(f"following {whom}"), err=True)


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Keep the node from warning that nothing is kept: here that is the point."""
    log = logging.getLogger("apcore.node")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
