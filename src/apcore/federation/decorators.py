"""Define the types of the registration decorators. Each accepts a handler of any kind, and returns it unchanged.

Type checkers tell the kinds apart by the context in the handler's first parameter: `AsyncContext` for coroutine
functions, `OpContext` for operations, `Context` for plain functions.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from apcore.collections import PageItems
from apcore.discovery import DescriptorLink
from apcore.effects import Op
from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.policies import Failure
from apcore.http import Request
from apcore.vocab import Activity, Document, View

__all__ = [
    "ActorDecorator",
    "ChangeDecorator",
    "ClientDecorator",
    "CollectionDecorator",
    "DocumentDecorator",
    "ErrorDecorator",
    "LinksDecorator",
    "ListenerDecorator",
    "NameDecorator",
    "NodeInfoDecorator",
    "ObjectDecorator",
    "ReportDecorator",
]

D = TypeVar("D")
V = TypeVar("V", bound=View)
R = TypeVar("R")
A = TypeVar("A")
P = ParamSpec("P")


class ActorDecorator(Protocol[D]):
    """The decorator for ``(ctx, identifier) -> view of the actor, or None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], str], Coroutine[Any, Any, V | None]], /
    ) -> Callable[[AsyncContext[D], str], Coroutine[Any, Any, V | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], str], Op[V | None]], /
    ) -> Callable[[OpContext[D], str], Op[V | None]]: ...
    @overload
    def __call__(self, fn: Callable[[Context[D], str], V | None], /) -> Callable[[Context[D], str], V | None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class ChangeDecorator(Protocol[D]):
    """The decorator for ``(ctx, actor, activity, object_id) -> bool``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], str, Activity, str], Coroutine[Any, Any, bool]], /
    ) -> Callable[[AsyncContext[D], str, Activity, str], Coroutine[Any, Any, bool]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], str, Activity, str], Op[bool]], /
    ) -> Callable[[OpContext[D], str, Activity, str], Op[bool]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D], str, Activity, str], bool], /
    ) -> Callable[[Context[D], str, Activity, str], bool]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the policy, and return it."""
        ...


class ClientDecorator(Protocol[D]):
    """The decorator for ``(ctx, request) -> identifier of the actor for which the client acts, or None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], Request], Coroutine[Any, Any, str | None]], /
    ) -> Callable[[AsyncContext[D], Request], Coroutine[Any, Any, str | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], Request], Op[str | None]], /
    ) -> Callable[[OpContext[D], Request], Op[str | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D], Request], str | None], /
    ) -> Callable[[Context[D], Request], str | None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class DocumentDecorator(Protocol[D]):
    """The decorator for ``(ctx, old document or None, new document or None) -> None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], Document | None, Document | None], Coroutine[Any, Any, None]], /
    ) -> Callable[[AsyncContext[D], Document | None, Document | None], Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], Document | None, Document | None], Op[None]], /
    ) -> Callable[[OpContext[D], Document | None, Document | None], Op[None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D], Document | None, Document | None], None], /
    ) -> Callable[[Context[D], Document | None, Document | None], None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the hook, and return it."""
        ...


class ErrorDecorator(Protocol[D]):
    """The decorator for ``(ctx, failure) -> None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], Failure], Coroutine[Any, Any, None]], /
    ) -> Callable[[AsyncContext[D], Failure], Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], Failure], Op[None]], /
    ) -> Callable[[OpContext[D], Failure], Op[None]]: ...
    @overload
    def __call__(self, fn: Callable[[Context[D], Failure], None], /) -> Callable[[Context[D], Failure], None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class NodeInfoDecorator(Protocol[D]):
    """The decorator for ``(ctx) -> the facts of NodeInfo``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D]], Coroutine[Any, Any, Mapping[str, Any]]], /
    ) -> Callable[[AsyncContext[D]], Coroutine[Any, Any, Mapping[str, Any]]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D]], Op[Mapping[str, Any]]], /
    ) -> Callable[[OpContext[D]], Op[Mapping[str, Any]]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D]], Mapping[str, Any]], /
    ) -> Callable[[Context[D]], Mapping[str, Any]]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class ReportDecorator(Protocol[D, R, A]):
    """The decorator for a hook, called as ``(ctx, report)``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], R], Coroutine[Any, Any, A]], /
    ) -> Callable[[AsyncContext[D], R], Coroutine[Any, Any, A]]: ...
    @overload
    def __call__(self, fn: Callable[[OpContext[D], R], Op[A]], /) -> Callable[[OpContext[D], R], Op[A]]: ...
    @overload
    def __call__(self, fn: Callable[[Context[D], R], A], /) -> Callable[[Context[D], R], A]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the hook, and return it."""
        ...


class ObjectDecorator(Protocol[D, V]):
    """The decorator for ``(ctx, **values of the route) -> view of the object, or None``."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[AsyncContext[D], P], Coroutine[Any, Any, V | None]], /
    ) -> Callable[Concatenate[AsyncContext[D], P], Coroutine[Any, Any, V | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[OpContext[D], P], Op[V | None]], /
    ) -> Callable[Concatenate[OpContext[D], P], Op[V | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[Context[D], P], V | None], /
    ) -> Callable[Concatenate[Context[D], P], V | None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class CollectionDecorator(Protocol[D]):
    """The decorator for ``(ctx, identifier, cursor or None) -> PageItems, or None if there is no such collection``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], str, str | None], Coroutine[Any, Any, PageItems | None]], /
    ) -> Callable[[AsyncContext[D], str, str | None], Coroutine[Any, Any, PageItems | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], str, str | None], Op[PageItems | None]], /
    ) -> Callable[[OpContext[D], str, str | None], Op[PageItems | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D], str, str | None], PageItems | None], /
    ) -> Callable[[Context[D], str, str | None], PageItems | None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class ListenerDecorator(Protocol[D, V]):
    """The decorator for ``(ctx, activity) -> None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], V], Coroutine[Any, Any, None]], /
    ) -> Callable[[AsyncContext[D], V], Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(self, fn: Callable[[OpContext[D], V], Op[None]], /) -> Callable[[OpContext[D], V], Op[None]]: ...
    @overload
    def __call__(self, fn: Callable[[Context[D], V], None], /) -> Callable[[Context[D], V], None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class NameDecorator(Protocol[D]):
    """The decorator for ``(ctx, name) -> identifier, or None``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], str], Coroutine[Any, Any, str | None]], /
    ) -> Callable[[AsyncContext[D], str], Coroutine[Any, Any, str | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], str], Op[str | None]], /
    ) -> Callable[[OpContext[D], str], Op[str | None]]: ...
    @overload
    def __call__(self, fn: Callable[[Context[D], str], str | None], /) -> Callable[[Context[D], str], str | None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...


class LinksDecorator(Protocol[D]):
    """The decorator for ``(ctx, identifier) -> links``."""

    @overload
    def __call__(
        self, fn: Callable[[AsyncContext[D], str], Coroutine[Any, Any, Sequence[DescriptorLink]]], /
    ) -> Callable[[AsyncContext[D], str], Coroutine[Any, Any, Sequence[DescriptorLink]]]: ...
    @overload
    def __call__(
        self, fn: Callable[[OpContext[D], str], Op[Sequence[DescriptorLink]]], /
    ) -> Callable[[OpContext[D], str], Op[Sequence[DescriptorLink]]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Context[D], str], Sequence[DescriptorLink]], /
    ) -> Callable[[Context[D], str], Sequence[DescriptorLink]]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register ``fn`` as the handler, and return it."""
        ...
