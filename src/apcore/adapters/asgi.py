"""Define `asgi_app`: serve a federation as an ASGI application, alone or in front of a site.

Requests for other paths than the federation's go to ``fallback``, and so do browsers that ask for one of its paths. The
application starts one worker with its lifespan. At the end it lets the worker finish its running messages, closes the
node, and only then reports its shutdown, since servers end the event loop right after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from attrs import define, field

from apcore.adapters._application_options import GRACE_S, PATH_SAFE, check_bound, check_grace
from apcore.errors import ApcoreError
from apcore.federation import Federation
from apcore.federation.serving.request_head import TrustProxy, check_trust_proxy
from apcore.federation.serving.serve import Served
from apcore.http import Response
from apcore.node import AsyncNode, Elsewhere, IncomingRequest, RequestHead

__all__ = ["ASGIApp", "AsgiApplication", "asgi_app"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_CANCEL_S: Final = 2.0
"""How long cancelled handlers may take to clean up."""
_LOG: Final = logging.getLogger("apcore.web")


def asgi_app(
    node: AsyncNode[Any] | Federation[Any],
    /,
    *args: Any,
    fallback: ASGIApp | None = None,
    worker: bool = True,
    trust_proxy: TrustProxy = False,
    grace_s: float = GRACE_S,
    **options: Any,
) -> AsgiApplication:
    """Return an ASGI application for a node, or for a federation and the arguments of `AsyncNode`.

    Args:
        node: The node, or a federation to make a node of.
        args: For a federation, the origin and the store.
        fallback: The application for all other requests.
        worker: Whether to run a worker in this process.
        trust_proxy: The fields that your proxy writes: True or ``"x-forwarded"`` for `X-Forwarded-Host`,
            `X-Forwarded-Proto` and `X-Forwarded-For`, or ``"forwarded"`` for `Forwarded` (RFC 7239).
        grace_s: How many seconds running handlers and deliveries may take when the server shuts down. After that they
            are cancelled, and another worker repeats them.
        options: For a federation, further options of `AsyncNode`.

    Raises:
        ConfigurationError: There is no origin, ``grace_s`` is negative, ``trust_proxy`` is another word, or as
            `AsyncNode`.

    A store that cannot be reached, or that must not be used as it is, fails the start-up of the server (see
    `Node.prepare`).
    """
    bound = node if isinstance(node, AsyncNode) else AsyncNode(node, *args, **options)
    check_bound(bound, "asgi_app")
    check_grace(grace_s)
    check_trust_proxy(trust_proxy)
    return AsgiApplication(bound, fallback, worker=worker, trust_proxy=trust_proxy, grace_s=grace_s)


class AsgiApplication:
    """Serve a node as an ASGI application; made by `asgi_app`."""

    def __init__(
        self, node: AsyncNode[Any], fallback: ASGIApp | None, *, worker: bool, trust_proxy: TrustProxy, grace_s: float
    ) -> None:
        self.node: Final = node
        self._fallback = fallback
        self._worker = _Worker(node, grace_s) if worker else None
        self._trust_proxy: TrustProxy = trust_proxy
        self._has_warned = self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI 3 scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None, None]:
        """Run the worker while the context is open, then close the node.

        Use it if the application is mounted inside another one, and so gets no lifespan of its own. Pass this method as
        the ``lifespan`` of Starlette or FastAPI. In your own lifespan, write ``async with app.lifespan():``.
        """
        await self._start()
        try:
            yield
        finally:
            await self._close()

    async def _start(self) -> None:
        await self.node.prepare()
        if self._worker is not None:
            self._worker.start()

    async def _stop(self) -> None:
        if self._worker is not None:
            await self._worker.stop()

    async def _close(self) -> None:
        """Stop the worker and close the node, once. Servers cancel a lifespan that waits after its last message."""
        if not self._is_closed:
            await self._stop()
            await self.node.aclose()
            self._is_closed = True

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = self.node.match(
            _head(scope),
            has_pages=self._fallback is not None,
            trust_proxy=self._trust_proxy,
            # A fallback that serves another federation logs the requests that are for neither of them.
            log_misdirected=not isinstance(self._fallback, AsgiApplication),
        )
        outcome = incoming if isinstance(incoming, Elsewhere) else await self._respond(incoming, receive)
        if isinstance(outcome, Elsewhere) and self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif outcome is not None:
            await _send_response(send, outcome.response(scope["method"]) if isinstance(outcome, Elsewhere) else outcome)

    async def _respond(self, incoming: IncomingRequest, receive: Receive) -> Served | None:
        """Return the response, or None if the client disconnected before the end of its request."""
        self._check_worker()
        body = b"" if incoming.body_length == 0 else await _read_body(receive, incoming.body_bytes_max)
        return None if body is None else await self.node.respond(incoming, body)

    def _check_worker(self) -> None:
        """Warn once if a request comes before any lifespan: then there is no worker."""
        if self._has_warned or self._worker is None or self._worker.has_started:
            return
        self._has_warned = True
        _LOG.warning(
            "the worker of this application has not started, so incoming activities are only stored: no lifespan has "
            "reached the application. If it is mounted inside another one, start the worker there: "
            "Starlette(lifespan=app.lifespan), or `async with app.lifespan():` in a lifespan of yours. "
            "If the server has no lifespan (daphne), pass worker=False and run `apcore work` beside it."
        )

    # --- lifespan ---------------------------------------------------------------------------------------------------

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the worker between start-up and shutdown.

        The site starts before the worker and ends after it, so handlers may use everything that the site opens.
        """
        stage = _Stage()

        async def site_receive() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.startup":
                stage.is_starting = True
            elif message["type"] == "lifespan.shutdown":
                stage.is_stopping = True
                await self._stop()
            return message

        async def site_send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                message = await self._start_up(message)
            stage.answers.append(message["type"])
            if message["type"].startswith("lifespan.shutdown"):
                await self._close()
            await send(message)

        try:
            if self._fallback is not None:
                await self._site_lifespan(self._fallback, stage, scope, site_receive, site_send)
            if not stage.is_over:
                await self._own_lifespan(stage, site_receive, site_send)
        finally:
            await self._close()

    @staticmethod
    async def _own_lifespan(stage: _Stage, receive: Receive, send: Send) -> None:
        """Go through the lifespan, or through the part of it that the site has left."""
        if not stage.is_starting:
            _ = await receive()
        if not stage.answers:
            await send({"type": "lifespan.startup.complete"})
        while not stage.is_stopping and "lifespan.startup.failed" not in stage.answers:
            _ = await receive()
        if stage.is_stopping:
            await send({"type": "lifespan.shutdown.complete"})

    async def _start_up(self, message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Start, and return the site's message of completion, or a message of failure."""
        try:
            await self._start()
        except ApcoreError as error:
            return {"type": "lifespan.startup.failed", "message": f"apcore cannot start: {error}"}
        return message

    @staticmethod
    async def _site_lifespan(site: ASGIApp, stage: _Stage, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the site's own lifespan.

        A site without a lifespan raises, or returns without a message. The worker runs nevertheless.
        """
        try:
            await site(scope, receive, send)
        except Exception as error:
            if stage.is_over or stage.is_stopping:
                raise
            if stage.answers:
                _LOG.exception("the lifespan of the site failed after its start-up")
            else:
                _LOG.info("the site has no lifespan: %s", error)


@define
class _Stage:
    """The progress of a lifespan."""

    is_starting: bool = False
    is_stopping: bool = False
    answers: list[str] = field(factory=list[str])
    """The types of the messages that the site has sent."""

    @property
    def is_over(self) -> bool:
        """Whether the site has sent the last message that a server waits for."""
        return bool(self.answers) and self.answers[-1] != "lifespan.startup.complete"


class _Worker:
    """Run the worker of an application from its start-up to its shutdown."""

    def __init__(self, node: AsyncNode[Any], grace_s: float) -> None:
        self._node = node
        self._grace_s = grace_s
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event | None = None
        self.has_started = False

    def start(self) -> None:
        """Start the worker, unless it has started."""
        if self._task is None:
            self.has_started = True
            self._stopping = asyncio.Event()
            self._task = asyncio.create_task(self._work(self._stopping), name="apcore-worker")
            _LOG.info("the worker has started")

    async def stop(self) -> None:
        """Let running handlers finish within the grace period, then cancel them. Stopping twice is allowed."""
        self._node.stop()
        task, self._task = self._task, None
        if task is None or self._stopping is None:
            return
        self._stopping.set()
        try:
            _ = await asyncio.wait((task,), timeout=self._grace_s)
            if not task.done():
                _LOG.warning(
                    "the worker has not finished within its grace period of %g s (grace_s): running handlers are "
                    "cancelled, and their messages are handed back and repeated",
                    self._grace_s,
                )
        finally:  # also if the server cancels this wait
            _ = task.cancel()
        _ = await asyncio.wait((task,), timeout=_CANCEL_S)
        _LOG.info("the worker has stopped")

    async def _work(self, stopping: asyncio.Event) -> None:
        while not self._node.is_stopped:
            try:
                _ = await self._node.work()
            except ApcoreError as error:
                _LOG.warning("the worker stopped, and starts again after 1 s: %s", error)
                await _pause(stopping, 1.0)
            except Exception:
                _LOG.exception("the worker failed, and starts again after 5 s")
                await _pause(stopping, 5.0)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    stop_wait = asyncio.create_task(stopping.wait())
    try:
        _ = await asyncio.wait((stop_wait,), timeout=seconds)
    finally:
        _ = stop_wait.cancel()


# --- messages ---------------------------------------------------------------------------------------------------------


def _head(scope: Scope) -> RequestHead:
    client = scope.get("client")
    return RequestHead(
        method=scope["method"],
        scheme=scope.get("scheme", "http"),
        target=_target(scope),
        headers=scope["headers"],
        client=client[0] if client else None,
    )


def _target(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        from urllib.parse import quote

        raw = quote(scope["path"], safe=PATH_SAFE).encode("ascii")
    query: bytes = scope.get("query_string", b"")
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path


async def _read_body(receive: Receive, bytes_max: int) -> bytes | None:
    """Read the body up to the first part that exceeds ``bytes_max``. Return None if the client disconnects."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        parts.append(part)
        if size > bytes_max or not message.get("more_body", False):
            return b"".join(parts)


async def _send_response(send: Send, response: Response) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers.to_wire()})
    await send({"type": "http.response.body", "body": response.body})
