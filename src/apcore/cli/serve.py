"""``apcore serve``: run a federation or a node as a server of its own, under uvicorn.

If your application already has a server, add the federation to it with `apcore.adapters.asgi` or
`apcore.adapters.wsgi`.
"""

from __future__ import annotations

import logging
from contextlib import closing

import click

from apcore.adapters.asgi import asgi_app
from apcore.cli import exit_codes
from apcore.cli.binding import bind_node, node_options
from apcore.cli.web_server import listen_at, port_for, server_for
from apcore.node import Node

__all__ = ["command"]

_LEVELS = ("debug", "info", "warning", "error")


@click.command("serve", short_help="Serve a federation over HTTP.")
@node_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen at.  [default: the origin's if http, or 8000]"
)
@click.option("--no-worker", is_flag=True, help="Do not process the queue: run apcore work in another process.")
@click.option("--trust-proxy", is_flag=True, help="Trust X-Forwarded-Host, -Proto and -For: your proxy sets them.")
@click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="The lowest level to log."
)
def command(
    *,
    target: str,
    origin: str | None,
    store: str | None,
    signer: str,
    allow_loopback: bool,
    host: str,
    port: int | None,
    no_worker: bool,
    trust_proxy: bool,
    log_level: str,
) -> int:
    """Serve a federation over HTTP, and process its queue, until interrupted.

    MODULE:NAME is importable, such as hello:federation. It is a federation, which --origin and --store bind, or an
    AsyncNode with its own origins, store, data and ports, or a function without parameters that returns one of them.
    The server has no TLS: put a reverse proxy in front of it, and use --trust-proxy.
    """
    logging.basicConfig(level=log_level.upper(), format="%(levelname)s:     %(name)s: %(message)s")
    node = bind_node(target, origin=origin, store=store, signer=signer, allow_loopback=allow_loopback)
    if isinstance(node, Node):
        raise click.UsageError(
            f"{target} is a blocking Node: serve it with apcore.adapters.wsgi under a WSGI server, or use an AsyncNode"
        )
    if not node.origins.serves:
        raise click.UsageError(f"{target} is an AsyncNode without an origin: peers cannot reach it")
    behind_proxy = [str(origin) for origin in node.origins.listed if origin.scheme == "https"]
    if behind_proxy and not trust_proxy:
        click.echo(
            f"apcore: requests to {', '.join(behind_proxy)} arrive through a TLS proxy;"
            " without --trust-proxy they are not recognised.",
            err=True,
        )
    server = server_for(asgi_app(node, worker=not no_worker, trust_proxy=trust_proxy), log_level=log_level)
    port = port_for(node.origins.listed, port)
    with closing(listen_at(host, port)) as listener:
        name = f"{node.federation.software_name}/{node.federation.software_version}"
        logging.getLogger("apcore").info("%s at %s, listening at %s, port %d", name, node.origins, host, port)
        server.run(sockets=[listener])
    if not server.started:
        raise click.ClickException("the server could not start; the lines above say why")
    return exit_codes.DONE if server.started else exit_codes.FAILED
