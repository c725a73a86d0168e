"""Ask an ASGI or a WSGI application for something, without a server."""

from __future__ import annotations

import asyncio
import io

from attrs import frozen


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
