"""An application under uvicorn, as the commands that serve something have it."""

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
    """Return the port to listen at: the one that was asked for, the first origin's own if no proxy can stand before it, or 8000."""
    if port is not None:
        return port
    return origins[0].port if origins and origins[0].scheme == "http" else PORT


def listen_at(host: str, port: int) -> socket.socket:
    """Take an address before anything is started, so that there is nothing to stop where it is taken already.

    Raises:
        click.ClickException: It is taken, or not this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.ClickException(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error


def server_for(app: ASGIApp, *, log_level: str) -> uvicorn.Server:
    """Make a server; `entry.main` tells what to install where there is no uvicorn."""
    import uvicorn  # of the extra `cli`, and needed by few commands

    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_level=log_level,
            proxy_headers=False,  # whom to trust is asked once, by the application
            server_header=False,
        )
    )
