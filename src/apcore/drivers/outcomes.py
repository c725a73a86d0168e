"""Handle the results of the application's functions and of members of `All`, for both drivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isawaitable, iscoroutine
from typing import Any, Protocol

from apcore.effects import CallOutcome, Raised
from apcore.errors import ContractError, RemoteError, Unavailable
from apcore.handlers import handler_name
from apcore.http import Request

__all__ = ["HandlerRaised", "OutboundGuard", "check_outbound", "not_awaited", "unwrapped"]


class HandlerRaised(Exception):
    """The exception of an application's function, on its way to the ``yield`` that called it.

    It never leaves a driver.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class OutboundRefused(HandlerRaised):
    """Carry the refusal of an `OutboundGuard` to the ``yield`` that asked for the request."""


class OutboundGuard(Protocol):
    """Judge each request before it leaves, also after redirects. A guard must neither wait nor raise."""

    def __call__(self, request: Request, /) -> RemoteError | None:
        """Return the error that refuses ``request``, or None to let it go."""
        ...


def check_outbound(request: Request, guard: OutboundGuard | None) -> None:
    """Ask ``guard`` about a request.

    Raises:
        OutboundRefused: The guard refuses it.
    """
    refusal = None if guard is None else guard(request)
    if refusal is not None:
        raise OutboundRefused(refusal)


def not_awaited(answer: object, fn: Callable[..., object]) -> object:
    """Return the answer of a plain function, which must not be awaitable.

    Raises:
        ContractError: ``answer`` is awaitable: ``fn`` is a hidden coroutine function (a lambda around one, say).
    """
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()
        raise ContractError(
            f"{handler_name(fn)} is a plain function but returned something to await; register an async def"
        )
    return answer


def unwrapped(outcomes: Sequence[CallOutcome[Any]]) -> tuple[CallOutcome[Any], ...]:
    """Return the outcomes of the members of an `All`, or raise the first one that is a bug, now that all have ended.

    A `LocalError` is such a bug. As an outcome, a missing port would look like a member that failed by chance.
    """
    for outcome in outcomes:
        if isinstance(outcome, Raised) and not isinstance(outcome.error, (RemoteError, Unavailable)):
            raise outcome.error
    return tuple(outcomes)
