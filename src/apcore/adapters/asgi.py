"""`asgi_app`: a federation as an ASGI application, alone or in front of a site.

What apcore does not serve, or what a browser asks for, goes to ``fallback``. The application starts one worker with its lifespan, and closes the node
with it; a server that does not do lifespans, or ``worker=False``, leaves the work to a process of its own (`AsyncNode.work`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from attrs import evolve

from apcore.adapters.requests import has_length, received_request
from apcore.errors import ApcoreError, RequestError
from apcore.federation import Federation
from apcore.federation.inbox import BODY_BYTES_MAX
from apcore.federation.serving import Elsewhere, Served, is_ours
from apcore.http import Problem, Response, problem_for
from apcore.node import AsyncNode

__all__ = ["ASGIApp", "asgi_app"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_STOP_S: Final = 8.0
"""Less than the 10 s or so after which those who stop servers kill them."""
_LOG: Final = logging.getLogger(__name__)


def asgi_app(
    node: AsyncNode[Any] | Federation[Any],
    /,
    *args: Any,
    fallback: ASGIApp | None = None,
    worker: bool = True,
    trust_proxy: bool = False,
    **options: Any,
) -> ASGIApp:
    """Make an ASGI application of a node, or of a federation and what `AsyncNode` takes: an origin, a store, options.

    Args:
        node: The node, or a federation to make one of.
        args: For a federation, the origin and the store.
        fallback: The application for what is not ours.
        worker: Whether to work through the queue in this process.
        trust_proxy: Whether `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Forwarded-For` are written by a proxy of yours.
        options: For a federation, further options of `AsyncNode`.

    Raises:
        ConfigurationError: As `AsyncNode`.
    """
    bound = node if isinstance(node, AsyncNode) else AsyncNode(node, *args, **options)
    return _Application(bound, fallback, worker=worker, trust_proxy=trust_proxy)


class _Application:
    def __init__(self, node: AsyncNode[Any], fallback: ASGIApp | None, *, worker: bool, trust_proxy: bool) -> None:
        self.node: Final = node
        self._fallback = fallback
        self._worker = worker
        self._trust_proxy = trust_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif self._fallback is not None:
            await self._fallback(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _target(scope)
        path, has_pages = target.partition("?")[0], self._fallback is not None
        if not is_ours(self.node.federation.places, path, scope["method"], has_pages=has_pages):
            await self._elsewhere(scope, receive, send, Elsewhere.NOT_OURS)
            return
        try:
            request = received_request(
                method=scope["method"],
                scheme=scope.get("scheme", "http"),
                target=target,
                headers=scope["headers"],
                body=b"",
                client=client[0] if (client := scope.get("client")) else None,
                trust_proxy=self._trust_proxy,
            )
        except RequestError as error:
            await _respond(send, problem_for(error).response(), method=scope["method"])
            return
        if self.node.asked_origin(request) is None:
            # Decided before the body is read: it is the site's, however long it is.
            await self._elsewhere(scope, receive, send, Elsewhere.NOT_OURS)
            return
        body = b"" if request.method in {"GET", "HEAD"} else await _body(receive)
        if body is None:
            await _respond(send, Problem(status=413, extensions={"reason": "limit"}).response(), method=scope["method"])
            return
        served = await self.node.handle(evolve(request, body=body), has_pages=self._fallback is not None)
        if isinstance(served, Response):
            await _respond(send, served, method=scope["method"])
        else:
            await self._elsewhere(scope, _again(body, receive), send, served)

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send, why: Served) -> None:
        if self._fallback is not None:
            await self._fallback(scope, receive, send)
            return
        status = 406 if why is Elsewhere.NOT_ACCEPTABLE else 404
        reason = "not-acceptable" if status == 406 else "not-found"
        await _respond(send, Problem(status=status, extensions={"reason": reason}).response(), method=scope["method"])

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the worker, let the site have its own lifespan, and close the node when both are over."""
        task = asyncio.create_task(_work(self.node)) if self._worker else None
        try:
            began = False if self._fallback is None else await _lifespan_of(self._fallback, scope, receive, send)
            if began is not None:
                await _answer_lifespan(receive, send, began=began)
        finally:
            if task is not None:
                await _end(self.node, task)
            await self.node.aclose()


async def _lifespan_of(site: ASGIApp, scope: Scope, receive: Receive, send: Send) -> bool | None:
    """Let a site have its lifespan. None if it had it; else it has none, and the answer is whether it has taken the start-up all the same.

    A site without one says so by raising, as the specification has it, or says nothing: servers go on in both cases, and so must the worker.
    """
    began = answered = False

    async def watched_receive() -> MutableMapping[str, Any]:
        nonlocal began
        message = await receive()
        began = True
        return message

    async def watched_send(message: MutableMapping[str, Any]) -> None:
        nonlocal answered
        answered = True
        await send(message)

    try:
        await site(scope, watched_receive, watched_send)
    except Exception as error:
        if answered:
            raise
        _LOG.info("the site has no lifespan: %s", error)
    return None if answered else began


async def _answer_lifespan(receive: Receive, send: Send, *, began: bool) -> None:
    if not began:
        _ = await receive()
    await send({"type": "lifespan.startup.complete"})
    _ = await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _end(node: AsyncNode[Any], working: asyncio.Task[None]) -> None:
    """Let the worker finish what it has begun; cancel it if that takes too long, and what it had leased waits for its lease to run out."""
    node.stop()
    _, late = await asyncio.wait((working,), timeout=_STOP_S)
    for task in late:
        task.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def _work(node: AsyncNode[Any]) -> None:
    while True:
        try:
            await node.work()
        except ApcoreError as error:
            _LOG.warning("the worker stopped, and starts again: %s", error)
            await asyncio.sleep(1.0)
        except Exception:
            _LOG.exception("the worker failed, and starts again")
            await asyncio.sleep(5.0)
        else:
            return


def _target(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        from urllib.parse import quote

        raw = quote(scope["path"]).encode("ascii")
    query: bytes = scope.get("query_string", b"")
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path


async def _body(receive: Receive) -> bytes | None:
    """Read the body; None if it is longer than any inbox takes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read to whoever reads it next, and then whatever comes."""
    given = False

    async def receive_again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _respond(send: Send, response: Response, *, method: str) -> None:
    headers = [(name, value) for name, value in response.headers.to_wire() if name.lower() != b"content-length"]
    if has_length(method, response):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
