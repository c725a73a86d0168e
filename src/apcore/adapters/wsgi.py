"""`wsgi_app`: a federation as a WSGI application, alone or in front of a site.

What apcore does not serve, or what a browser asks for, goes to ``fallback``. A worker thread starts with the first request, which is after a server
has forked; with ``worker=False`` the work is left to a process of its own (`Node.work`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from attrs import evolve

from apcore.adapters.requests import has_length, received_request
from apcore.errors import ApcoreError, RequestError
from apcore.federation import Federation
from apcore.federation.inbox import BODY_BYTES_MAX
from apcore.federation.serving import Elsewhere, Served, is_ours
from apcore.http import Problem, Response, problem_for
from apcore.node import Node

__all__ = ["WSGIApp", "wsgi_app"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_LOG: Final = logging.getLogger(__name__)
_PHRASES: Final = {200: "OK", 202: "Accepted", 304: "Not Modified"}


def wsgi_app(
    node: Node[Any] | Federation[Any],
    /,
    *args: Any,
    fallback: WSGIApp | None = None,
    worker: bool = True,
    trust_proxy: bool = False,
    **options: Any,
) -> WSGIApp:
    """Make a WSGI application of a node, or of a federation and what `Node` takes. Arguments and errors as `asgi_app`."""
    bound = node if isinstance(node, Node) else Node(node, *args, **options)
    return _Application(bound, fallback, worker=worker, trust_proxy=trust_proxy)


class _Application:
    def __init__(self, node: Node[Any], fallback: WSGIApp | None, *, worker: bool, trust_proxy: bool) -> None:
        self.node: Final = node
        self._fallback = fallback
        self._worker = worker
        self._trust_proxy = trust_proxy
        self._started_in: int | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._ensure_worker()
        target = _target(environ)
        path, has_pages = target.partition("?")[0], self._fallback is not None
        if not is_ours(self.node.federation.places, path, environ["REQUEST_METHOD"], has_pages=has_pages):
            return self._elsewhere(environ, start_response, Elsewhere.NOT_OURS)
        try:
            request = received_request(
                method=environ["REQUEST_METHOD"],
                scheme=environ["wsgi.url_scheme"],
                target=target,
                headers=_headers(environ),
                body=b"",
                client=environ.get("REMOTE_ADDR"),
                trust_proxy=self._trust_proxy,
            )
        except RequestError as error:
            return _respond(start_response, problem_for(error).response(), method=environ["REQUEST_METHOD"])
        if self.node.asked_origin(request) is None:
            # Decided before the body is read: it is the site's, however long it is.
            return self._elsewhere(environ, start_response, Elsewhere.NOT_OURS)
        body = b"" if request.method in {"GET", "HEAD"} else _body(environ)
        served = self.node.handle(evolve(request, body=body), has_pages=self._fallback is not None)
        if isinstance(served, Response):
            return _respond(start_response, served, method=environ["REQUEST_METHOD"])
        if body:
            environ["wsgi.input"] = BytesIO(body)
        return self._elsewhere(environ, start_response, served)

    def _elsewhere(self, environ: Environ, start_response: StartResponse, why: Served) -> Iterable[bytes]:
        if self._fallback is not None:
            return self._fallback(environ, start_response)
        status = 406 if why is Elsewhere.NOT_ACCEPTABLE else 404
        reason = "not-acceptable" if status == 406 else "not-found"
        answer = Problem(status=status, extensions={"reason": reason}).response()
        return _respond(start_response, answer, method=environ["REQUEST_METHOD"])

    def _ensure_worker(self) -> None:
        if not self._worker or self._started_in == os.getpid():
            return
        with self._lock:
            if self._started_in != os.getpid():
                self._started_in = os.getpid()
                threading.Thread(target=_work, args=(self.node,), name="apcore-worker", daemon=True).start()


def _work(node: Node[Any]) -> None:
    while True:
        try:
            node.work()
        except ApcoreError as error:
            _LOG.warning("the worker stopped, and starts again: %s", error)
            time.sleep(1.0)
        except Exception:
            _LOG.exception("the worker failed, and starts again")
            time.sleep(5.0)
        else:
            return


def _target(environ: Environ) -> str:
    """Path and query as on the wire, where the server tells; else encoded again, which spells them in one of several ways."""
    raw: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw is not None and raw.startswith("/"):
        return raw
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")) or "/"
    query: str = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    pairs = [
        (name[5:].replace("_", "-").encode("latin-1"), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    pairs += [
        (name.replace("_", "-").encode("ascii"), str(environ[name]).encode("latin-1"))
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if environ.get(name)
    ]
    return pairs


def _body(environ: Environ) -> bytes:
    """Read the body, and one byte more than any inbox takes, so that what is too long is seen to be."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return b""
    if not environ.get("CONTENT_LENGTH") and environ.get("wsgi.input_terminated"):
        length = BODY_BYTES_MAX + 1  # sent in chunks, and the server says where they end
    body: bytes = environ["wsgi.input"].read(min(max(length, 0), BODY_BYTES_MAX + 1))
    return body


def _respond(start_response: StartResponse, response: Response, *, method: str) -> Iterable[bytes]:
    headers = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
    if has_length(method, response):
        headers.append(("content-length", str(len(response.body))))
    start_response(f"{response.status} {_PHRASES.get(response.status, 'Answer')}", headers)
    return [response.body]
