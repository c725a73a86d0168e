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
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from apcore.adapters._application_options import GRACE_S, PATH_SAFE, check_bound, check_grace
from apcore.errors import ApcoreError
from apcore.federation import Federation
from apcore.federation.serving.request_head import TrustProxy, check_trust_proxy
from apcore.http import Response
from apcore.node import Elsewhere, IncomingRequest, Node, RequestHead

__all__ = ["WSGIApp", "WsgiApplication", "wsgi_app"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_EXIT_S: Final = 0.1
"""The wait after a failure before it is logged. If the process exits, the worker is stopped within this time."""
_LOG: Final = logging.getLogger("apcore.web")


def wsgi_app(
    node: Node[Any] | Federation[Any],
    /,
    *args: Any,
    fallback: WSGIApp | None = None,
    worker: bool = True,
    trust_proxy: TrustProxy = False,
    grace_s: float = GRACE_S,
    **options: Any,
) -> WsgiApplication:
    """Return a WSGI application for a node, or for a federation and the arguments of `Node`.

    The arguments and errors are those of `asgi_app`, and those of `Node.prepare`. ``grace_s`` counts from the exit of
    the process. A SIGTERM that the server does not handle ends the process without an exit. Then another worker repeats
    the running messages.
    """
    bound = node if isinstance(node, Node) else Node(node, *args, **options)
    check_bound(bound, "wsgi_app")
    check_grace(grace_s)
    check_trust_proxy(trust_proxy)
    bound.prepare()
    return WsgiApplication(bound, fallback, worker=worker, trust_proxy=trust_proxy, grace_s=grace_s)


class WsgiApplication:
    """Serve a node as a WSGI application; made by `wsgi_app`."""

    def __init__(
        self, node: Node[Any], fallback: WSGIApp | None, *, worker: bool, trust_proxy: TrustProxy, grace_s: float
    ) -> None:
        self.node: Final = node
        self._fallback = fallback
        self._worker = worker
        self._trust_proxy: TrustProxy = trust_proxy
        self._grace_s = grace_s
        self._started_in: int | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        self._ensure_worker()
        incoming = self.node.match(
            _head(environ),
            has_pages=self._fallback is not None,
            trust_proxy=self._trust_proxy,
            # A fallback that serves another federation logs the requests that are for neither of them.
            log_misdirected=not isinstance(self._fallback, WsgiApplication),
        )
        outcome = (
            incoming if isinstance(incoming, Elsewhere) else self.node.respond(incoming, _read_body(environ, incoming))
        )
        if not isinstance(outcome, Elsewhere):
            return _send_response(start_response, outcome)
        if self._fallback is not None:
            return self._fallback(environ, start_response)
        return _send_response(start_response, outcome.response(environ["REQUEST_METHOD"]))

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


def _head(environ: Environ) -> RequestHead:
    return RequestHead(
        method=environ["REQUEST_METHOD"],
        scheme=environ["wsgi.url_scheme"],
        target=_target(environ),
        headers=_headers(environ),
        client=environ.get("REMOTE_ADDR"),
    )


def _target(environ: Environ) -> str:
    """Return the path and query, as on the wire if the server has them, else encoded again.

    The second encoding may differ from the one on the wire.
    """
    raw: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw is not None and raw.startswith("/"):
        return raw
    path = (
        quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe=PATH_SAFE) or "/"
    )
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


def _read_body(environ: Environ, incoming: IncomingRequest) -> bytes | None:
    """Read the body, or return None if the server cannot read it to its end."""
    length = incoming.body_length
    if length is None:
        # The body has no length, so it is sent in chunks. Some servers know where these end, and some do not.
        length = incoming.body_bytes_max + 1 if environ.get("wsgi.input_terminated") else 0
    try:
        return environ["wsgi.input"].read(length) if length else b""
    except OSError as error:
        _LOG.info("the body of a request cannot be read to its end: %s", error)
        return None


def _send_response(start_response: StartResponse, response: Response) -> Iterable[bytes]:
    start_response(f"{response.status} {_reason_phrase(response.status)}", list(response.headers))
    return [response.body] if response.body else []


def _reason_phrase(status: int) -> str:
    """Return the phrase of a status code; for one that is not registered, that of its class (RFC 9110 §15)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return HTTPStatus(status // 100 * 100).phrase
