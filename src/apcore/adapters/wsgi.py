"""Define `wsgi_app`: serve a federation as a WSGI application, alone or in front of a site.

Requests for other paths than the federation's go to ``fallback``, and so do browsers that ask for one of its paths. A
worker thread starts with the first request, since servers fork before that. It finishes its running messages when the
process exits. With ``worker=False``, run the worker in a process of its own (`Node.work`).
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from attrs import evolve

from apcore.adapters.misdirected import MisdirectedRequests
from apcore.adapters.requests import GRACE_S, build_request, check_bound, check_grace, has_length
from apcore.errors import ApcoreError, LimitExceeded, RemoteError, RequestError
from apcore.federation import Federation
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.federation.refusals import log_refusal
from apcore.federation.serving.serve import Elsewhere, Served, is_ours
from apcore.http import Problem, Request, Response, problem_for
from apcore.node import Node

__all__ = ["WSGIApp", "WsgiApplication", "wsgi_app"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_DIGITS_MAX: Final = 20
_EXIT_S: Final = 0.1
"""How soon a worker that fails because the process exits is stopped."""
_LOG: Final = logging.getLogger("apcore.web")


def wsgi_app(
    node: Node[Any] | Federation[Any],
    /,
    *args: Any,
    fallback: WSGIApp | None = None,
    worker: bool = True,
    trust_proxy: bool = False,
    grace_s: float = GRACE_S,
    **options: Any,
) -> WsgiApplication:
    """Return a WSGI application for a node, or for a federation and the arguments of `Node`.

    The arguments and errors are those of `asgi_app`. ``grace_s`` counts from the exit of the process. A SIGTERM that
    the server does not handle ends the process without an exit. Then another worker repeats the running messages.
    """
    bound = node if isinstance(node, Node) else Node(node, *args, **options)
    check_bound(bound, "wsgi_app")
    check_grace(grace_s)
    return WsgiApplication(bound, fallback, worker=worker, trust_proxy=trust_proxy, grace_s=grace_s)


class WsgiApplication:
    """Serve a node as a WSGI application; made by `wsgi_app`."""

    def __init__(
        self, node: Node[Any], fallback: WSGIApp | None, *, worker: bool, trust_proxy: bool, grace_s: float
    ) -> None:
        self.node: Final = node
        self._fallback = fallback
        self._worker = worker
        self._trust_proxy = trust_proxy
        self._grace_s = grace_s
        self._misdirected = MisdirectedRequests(node, trust_proxy=trust_proxy)
        self._started_in: int | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        self._ensure_worker()
        target, method = _target(environ), environ["REQUEST_METHOD"]
        path, has_pages = target.partition("?")[0], self._fallback is not None
        if not is_ours(self.node.federation.places, path, method, has_pages=has_pages):
            return self._elsewhere(environ, start_response, Elsewhere.NOT_OURS)
        try:
            request = build_request(
                method=method,
                scheme=environ["wsgi.url_scheme"],
                target=target,
                headers=_headers(environ),
                body=b"",
                client=environ.get("REMOTE_ADDR"),
                trust_proxy=self._trust_proxy,
            )
            if self.node.asked_origin(request) is None:
                # Decided before the body is read, since a body of any length may belong to the site.
                return self._answer_misdirected(request, environ, start_response)
            body = b"" if method in {"GET", "HEAD"} else _read_body(environ)
        except (RequestError, LimitExceeded) as error:
            return _refuse(start_response, error, path=path, method=method)
        served = self.node.handle(evolve(request, body=body), has_pages=has_pages)
        if isinstance(served, Response):
            return _respond(start_response, served, method=method)
        if body:
            environ["wsgi.input"] = BytesIO(body)
        return self._elsewhere(environ, start_response, served)

    def _answer_misdirected(self, request: Request, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self._fallback is None:
            self._misdirected.log(request)
            return _respond(start_response, self._misdirected.answer(request), method=request.method)
        if not isinstance(self._fallback, WsgiApplication) and self._misdirected.is_from_peer(request):
            self._misdirected.log(request)
        return self._fallback(environ, start_response)

    def _elsewhere(self, environ: Environ, start_response: StartResponse, outcome: Served) -> Iterable[bytes]:
        if self._fallback is not None:
            return self._fallback(environ, start_response)
        status = 406 if outcome is Elsewhere.NOT_ACCEPTABLE else 404
        reason = "not-acceptable" if status == 406 else "not-found"
        answer = Problem(status=status, extensions={"reason": reason}).response()
        return _respond(start_response, answer, method=environ["REQUEST_METHOD"])

    def _ensure_worker(self) -> None:
        if not self._worker or self._started_in == os.getpid():
            return
        with self._lock:
            if self._started_in != os.getpid():
                self._started_in = os.getpid()
                worker = _Worker(self.node, self._grace_s)
                with suppress(RuntimeError):  # the process is exiting
                    worker.start()


class _Worker:
    """Run the worker of an application in a thread, until the process exits."""

    def __init__(self, node: Node[Any], grace_s: float) -> None:
        self._node = node
        self._grace_s = grace_s
        self._stopping = threading.Event()
        # A daemon thread, since a handler that takes longer than the grace period must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="apcore-worker", daemon=True)

    def start(self) -> None:
        # `atexit` runs too late: by then, thread pools that the worker may use accept no more jobs.
        # `concurrent.futures` uses this function too. It calls the functions in reverse order of registration.
        register: Callable[[Callable[[], object]], object] = getattr(threading, "_register_atexit", atexit.register)
        _ = register(self._stop)
        self._thread.start()
        _LOG.info("the worker has started")

    def _stop(self) -> None:
        self._node.stop()
        self._stopping.set()
        with suppress(KeyboardInterrupt):  # a second Ctrl-C ends the grace period
            self._thread.join(self._grace_s)
        if self._thread.is_alive():
            _LOG.warning(
                "the worker has not finished within its grace period of %g s (grace_s): running messages are "
                "repeated when their leases end",
                self._grace_s,
            )
        else:
            _ = atexit.register(self._node.close)  # it runs after the last request has been answered

    def _work(self) -> None:
        while not self._node.is_stopped:
            try:
                _ = self._node.work()
            except ApcoreError as error:
                # Python 3.12 starts no thread once the process exits, and says so before it stops the worker.
                if not self._stopping.wait(_EXIT_S):
                    _LOG.warning("the worker stopped, and starts again after 1 s: %s", error)
                    _ = self._stopping.wait(1.0)
            except Exception:
                _LOG.exception("the worker failed, and starts again after 5 s")
                _ = self._stopping.wait(5.0)


def _target(environ: Environ) -> str:
    """Return the path and query as on the wire if the server tells, else encoded again in one of several spellings."""
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


def _read_body(environ: Environ) -> bytes:
    """Read the whole body.

    Raises:
        LimitExceeded: The body is longer than the limit of an inbox.
        RequestError: The body's length is no number, or the client disconnected before its end.
    """
    content_length: str = environ.get("CONTENT_LENGTH") or ""
    if content_length and not (
        content_length.isascii() and content_length.isdigit() and len(content_length) <= _DIGITS_MAX
    ):
        raise RequestError(f"Content-Length {content_length[:_DIGITS_MAX]!r} is not a number of bytes")
    if not content_length and not environ.get("wsgi.input_terminated"):
        return b""
    # A body without a length is sent in chunks, and the server knows their end.
    length = int(content_length) if content_length else None
    if length is not None and length > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has {length} bytes; the limit is {BODY_BYTES_MAX}")
    try:
        body: bytes = environ["wsgi.input"].read(BODY_BYTES_MAX + 1 if length is None else length)
    except OSError as error:
        raise RequestError(f"the body cannot be read to its end: {error}") from error
    if len(body) > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has more than {BODY_BYTES_MAX} bytes")
    if length is not None and len(body) < length:
        raise RequestError(f"the body ends after {len(body)} of {length} bytes")
    return body


def _refuse(start_response: StartResponse, error: RemoteError, *, path: str, method: str) -> Iterable[bytes]:
    log_refusal(_LOG, path, error)
    return _respond(start_response, problem_for(error).response(), method=method)


def _respond(start_response: StartResponse, response: Response, *, method: str) -> Iterable[bytes]:
    headers = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
    if has_length(method, response):
        headers.append(("content-length", str(len(response.body))))
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
    return [] if method == "HEAD" else [response.body]
