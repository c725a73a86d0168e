"""A real site with a federation in front of it: ``python site_server.py SERVER FRAMEWORK``, until it is interrupted.

SERVER is ``uvicorn``, ``hypercorn``, ``wsgiref`` or ``werkzeug``, FRAMEWORK is ``django``, ``starlette`` or ``flask``.
The process prints ``ready PORT``. The site answers every method at every path with the request, as JSON, and:

- ``?slow`` in a query delays the answer.
- ``?wait`` in a query delays the answer until the client has left.
- ``/state`` counts clients that the site waits for, and clients that have left.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
import time
from contextlib import suppress

from apcore.adapters.asgi import asgi_app
from apcore.adapters.wsgi import wsgi_app
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN
from apcore.vocab import Person

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
SLOW_S = 0.2
state = {"waiting": 0, "left": 0}

federation: Federation[None] = Federation(software="site/1.0")
federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))


def answer_body(method: str, path: str, body: bytes) -> bytes:
    """Return the answer of the site."""
    if path == "/state":
        return json.dumps(state).encode()
    about = {"method": method, "path": path, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(about).encode()


def django_urls(*, asynchronous: bool) -> None:
    """Make this module a Django site, without a settings file."""
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import re_path

    settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], LOGGING_CONFIG=None)

    def answer(request) -> HttpResponse:
        return HttpResponse(answer_body(request.method, request.path, request.body), headers={"X-Site": "django"})

    def view(request) -> HttpResponse:
        if "slow" in request.GET:
            time.sleep(SLOW_S)
        return answer(request)

    async def asynchronous_view(request) -> HttpResponse:
        if "slow" in request.GET:
            await asyncio.sleep(SLOW_S)
        if "wait" in request.GET:
            state["waiting"] += 1
            try:
                await asyncio.Event().wait()
            finally:
                state["left"] += 1
        return answer(request)

    globals()["urlpatterns"] = [re_path("", asynchronous_view if asynchronous else view)]


def django_asgi():
    django_urls(asynchronous=True)
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def django_wsgi():
    django_urls(asynchronous=False)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def starlette_asgi():
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def view(request) -> Response:
        body = await request.body()
        if "slow" in request.query_params:
            await asyncio.sleep(SLOW_S)
            assert not await request.is_disconnected()
        if "wait" in request.query_params:
            state["waiting"] += 1
            while not await request.is_disconnected():  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
            state["left"] += 1
        return Response(answer_body(request.method, request.url.path, body), headers={"X-Site": "starlette"})

    return Starlette(routes=[Route("/{path:path}", view, methods=METHODS)])


def flask_wsgi():
    from flask import Flask, Response, request

    site = Flask(__name__)

    @site.route("/", defaults={"path": ""}, methods=METHODS, provide_automatic_options=False)
    @site.route("/<path:path>", methods=METHODS, provide_automatic_options=False)
    def view(path):
        if "slow" in request.args:
            time.sleep(SLOW_S)
        return Response(answer_body(request.method, request.path, request.get_data()), headers={"X-Site": "flask"})

    return site


SITES = {
    ("asgi", "django"): django_asgi,
    ("asgi", "starlette"): starlette_asgi,
    ("wsgi", "django"): django_wsgi,
    ("wsgi", "flask"): flask_wsgi,
}


def serve_uvicorn(app, listener: socket.socket) -> None:
    import uvicorn

    uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False)).run(sockets=[listener])


def serve_hypercorn(app, listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "WARNING"
    asyncio.run(serve(app, config))


def serve_wsgiref(app, listener: socket.socket) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_message) -> None:
            pass

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    server = Threaded(listener.getsockname(), Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = listener.getsockname()
    server.setup_environ()
    server.set_app(app)
    server.serve_forever()


def serve_werkzeug(app, listener: socket.socket) -> None:
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = listener.getsockname()
    make_server(host, port, app, threaded=True, fd=listener.fileno()).serve_forever()


SERVERS = {
    "uvicorn": ("asgi", serve_uvicorn),
    "hypercorn": ("asgi", serve_hypercorn),
    "wsgiref": ("wsgi", serve_wsgiref),
    "werkzeug": ("wsgi", serve_werkzeug),
}


def main(server: str, framework: str) -> None:
    interface, serve = SERVERS[server]
    site = SITES[interface, framework]()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    make = asgi_app if interface == "asgi" else wsgi_app
    app = make(federation, f"http://127.0.0.1:{port}", "memory:", fallback=site, addresses=LOOPBACK_OPEN)
    os.write(1, f"ready {port}\n".encode())
    serve(app, listener)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
