"""Put functions of the application before the transport: each may answer a request in its place.

So an application serves documents and contexts from its own cache or from files, or adds a scheme of its own for tests.
The rules for domains and the budgets apply before a loader is asked, as before any request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Literal, TypeAlias, cast

from apcore.errors import ConfigurationError
from apcore.http import Request, Response
from apcore.ports import AsyncTransport, Transport

__all__ = ["AsyncLoader", "Loader", "check_loaders", "with_async_loaders", "with_loaders"]

Loader: TypeAlias = Callable[[Request], Response | None]
"""A function that answers a request, or returns None to leave it to the next loader, and at last to the transport."""
AsyncLoader: TypeAlias = Callable[[Request], Awaitable[Response | None]]


def check_loaders(loaders: Sequence[Loader | AsyncLoader], *, blocking: bool) -> None:
    """Check the loaders of a node.

    Raises:
        ConfigurationError: One is not callable, or is a coroutine function although the node is ``blocking``.
    """
    for loader in loaders:
        if not callable(loader) or (blocking and iscoroutinefunction(loader)):
            kind = "plain functions" if blocking else "functions"
            raise ConfigurationError(f"loaders are {kind} of a request, not {loader!r:.60}")


def with_loaders(transport: Transport, loaders: Sequence[Any]) -> Transport:
    """Return a transport that asks the loaders first; the transport itself without loaders."""
    return _LoadingTransport(transport, loaders) if loaders else transport


def with_async_loaders(transport: AsyncTransport, loaders: Sequence[Any]) -> AsyncTransport:
    """Return a transport for event loops that asks the loaders first; the transport itself without loaders."""
    return _AsyncLoadingTransport(transport, loaders) if loaders else transport


class _LoadingTransport:
    """A blocking transport behind loaders."""

    def __init__(self, transport: Transport, loaders: Sequence[Loader]) -> None:
        self._transport = transport
        self._loaders = tuple(loaders)

    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        return self._transport.checks_addresses

    def send(self, request: Request, /) -> Response:
        for loader in self._loaders:
            response = loader(request)
            if response is not None:
                return response
        return self._transport.send(request)

    def close(self) -> None:
        self._transport.close()


class _AsyncLoadingTransport:
    """A transport for event loops behind loaders, which may be coroutine functions."""

    def __init__(self, transport: AsyncTransport, loaders: Sequence[Any]) -> None:
        self._transport = transport
        self._loaders = tuple(loaders)

    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        return self._transport.checks_addresses

    async def send(self, request: Request, /) -> Response:
        for loader in self._loaders:
            answer: Any = loader(request)
            response = cast("Response | None", await answer if isawaitable(answer) else answer)
            if response is not None:
                return response
        return await self._transport.send(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
