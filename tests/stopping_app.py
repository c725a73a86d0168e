"""Provide a federation with slow listeners, for servers that are stopped while a listener runs.

The environment binds it: ``STOP_ORIGIN``, ``STOP_STORE`` (a URL), ``STOP_TRACE`` (a file that gets a line when a
listener begins and one when it ends), ``STOP_LISTEN_S`` (how long a listener takes), ``STOP_LISTENERS`` ("plain" for
listeners in threads only) and ``STOP_GRACE_S``.
"""

from __future__ import annotations

import asyncio
import os
import time

from apcore.adapters.asgi import asgi_app
from apcore.adapters.wsgi import wsgi_app
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN
from apcore.vocab import Create, Like, Person

LISTEN_S = float(os.environ.get("STOP_LISTEN_S", "0.7"))
NAMES = {"ida", "ben"}


def trace(word: str, ident: str) -> None:
    log = os.open(os.environ["STOP_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{word} {ident}\n".encode())
    os.close(log)


def person(ctx, identifier):
    return Person(preferred_username=identifier) if identifier in NAMES else None


def listen(ctx, activity) -> None:
    trace("begin", activity.id)
    time.sleep(LISTEN_S)
    trace("end", activity.id)


async def listen_asynchronously(ctx, activity) -> None:
    trace("begin", activity.id)
    await asyncio.sleep(LISTEN_S)
    trace("end", activity.id)


def federation_of(*, asynchronous: bool) -> Federation[None]:
    rules: Federation[None] = Federation(software="stopping/1.0")
    rules.actor("/users/{identifier}")(person)
    rules.on(Create)(listen_asynchronously if asynchronous else listen)
    rules.on(Like)(listen)
    return rules


federation = federation_of(asynchronous=os.environ.get("STOP_LISTENERS") != "plain")


def bound() -> tuple[str, str]:
    return os.environ["STOP_ORIGIN"], os.environ["STOP_STORE"]


def asgi():
    """Return the application: the factory for servers."""
    grace_s = float(os.environ.get("STOP_GRACE_S", "20"))
    return asgi_app(federation, *bound(), addresses=LOOPBACK_OPEN, grace_s=grace_s)


def serve_wsgi() -> None:
    """Serve with wsgiref, and exit at SIGTERM and Ctrl-C once the request at hand is answered, as gunicorn does."""
    import signal
    from threading import Thread
    from wsgiref.simple_server import make_server

    from apcore.http import parse_origin

    app = wsgi_app(federation_of(asynchronous=False), *bound(), addresses=LOOPBACK_OPEN, grace_s=20)
    with make_server("127.0.0.1", parse_origin(bound()[0]).port, app) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    serve_wsgi()
elif "STOP_ORIGIN" in os.environ:
    app = asgi()
