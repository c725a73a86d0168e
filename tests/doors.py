"""Send a request to an adapter: to ASGI and WSGI without a server, to the adapter of the documentation over sockets."""

from __future__ import annotations

import asyncio
import io
import socket
from http.client import HTTPResponse
from pathlib import Path
from threading import Thread
from typing import Any

from attrs import frozen

from apcore.node import Node
from markdown_blocks import blocks

OTHER_FRAMEWORKS = Path(__file__).resolve().parents[1] / "docs" / "howto" / "other-frameworks.md"
PATIENCE_S = 150
"""How long a machine that is busy otherwise may take for anything."""


@frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask_asgi(app, method, target, headers=(), body=b"", *, scheme="https") -> Answer:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    decoded = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], decoded, b"".join(part["body"] for part in rest))


def ask_wsgi(app, method, target, headers=(), body=b"", *, scheme="https") -> Answer:
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "wsgi.url_scheme": scheme,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    started = []
    parts = app(environ, lambda status, fields: started.append((int(status.split()[0]), fields)))
    [(status, fields)] = started
    return Answer(status, {name.lower(): value for name, value in fields}, b"".join(parts))


def documented_adapter() -> str:
    """Return the source of the adapter that the documentation shows."""
    return blocks(OTHER_FRAMEWORKS, "python")[0].padded


class ServerApp:
    """A node behind the adapter of the documentation, which serves it with `http.server`."""

    def __init__(self, *args, worker=False, fallback=None, trust_proxy=False, **options) -> None:
        assert not worker, "the adapter has no worker"
        self.node = Node(*args, **options)
        self._site = fallback
        self._trust_proxy = trust_proxy
        namespace: dict[str, Any] = {}
        exec(compile(documented_adapter(), str(OTHER_FRAMEWORKS), "exec"), namespace)
        self._make_server = namespace["make_server"]

    def serve_one(self, request: bytes, *, scheme: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """Serve one request over a socket, and return its status, its fields and its body."""
        server = self._make_server(
            self.node, ("127.0.0.1", 0), scheme=scheme, trust_proxy=self._trust_proxy, site=self._site
        )
        server.RequestHandlerClass.log_message = lambda *_: None
        serving = Thread(target=server.handle_request)
        serving.start()
        with socket.create_connection(server.server_address, timeout=PATIENCE_S) as client:
            try:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
            except OSError:  # the server answers without reading the body to its end
                pass
            answer = HTTPResponse(client, method=request.partition(b" ")[0].decode())
            answer.begin()
            read = answer.status, answer.getheaders(), answer.read()
        serving.join(PATIENCE_S)
        server.server_close()
        return read


def on_wire(method: str, target: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return a request as a client sends it: without the bytes that a request line or a field cannot have."""
    encoded = b"".join(bytes([byte]) if 0x20 < byte < 0x7F else b"%%%02X" % byte for byte in target)
    if method not in {"GET", "HEAD"} and not any(name.lower() == b"content-length" for name, _ in fields):
        fields = [*fields, (b"Content-Length", str(len(body)).encode())]
    lines = [name + b": " + value.translate(None, b"\r\n\0") for name, value in fields]
    return b"\r\n".join([method.encode() + b" " + encoded + b" HTTP/1.0", *lines, b"", b""]) + body


def ask_server(app, method, target, headers=(), body=b"", *, scheme="https") -> Answer:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    request = on_wire(method, target.encode(), fields, b"" if method in {"GET", "HEAD"} else body)
    status, pairs, answer = app.serve_one(request, scheme=scheme)
    return Answer(status, {name.lower(): value for name, value in pairs}, answer)
