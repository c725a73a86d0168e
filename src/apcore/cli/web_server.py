"""Run an application under uvicorn, for the commands with a web server."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from apcore.adapters.asgi import ASGIApp
from apcore.http import Origin

if TYPE_CHECKING:
    import uvicorn

__all__ = ["PORT", "listen_at", "port_for", "server_for"]

PORT = 8000


def port_for(origins: Sequence[Origin], port: int | None) -> int:
    """Return the port to listen at: ``port``, or the port of the first origin if it is plain http, or 8000.

    An https origin needs a TLS proxy in front, so that its port belongs to the proxy.
    """
    if port is not None:
        return port
    return origins[0].port if origins and origins[0].scheme == "http" else PORT


def listen_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    The commands call this before they start anything, so that nothing has to be stopped if the address is in use.

    Raises:
        click.ClickException: The address is in use, or does not belong to this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.ClickException(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error


def server_for(app: ASGIApp, *, log_level: str) -> uvicorn.Server:
    """Create a server. If uvicorn is not installed, `apcore.cli.entry.main` tells how to install it."""
    import uvicorn  # Part of the extra `cli`, and used by few commands.

    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_level=log_level,
            proxy_headers=False,  # The application alone decides which proxies to trust.
            server_header=False,
        )
    )
