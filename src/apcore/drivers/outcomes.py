"""Handle the results of guards, of the application's functions and of members of `All`, for both drivers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from inspect import isawaitable, iscoroutine
from typing import Any, Protocol

from apcore.drivers.stepper import Stepper
from apcore.effects import CallOutcome, Effect, Op, Raised
from apcore.errors import ContractError, RemoteError, Unavailable
from apcore.handlers import handler_name
from apcore.http import Request

__all__ = ["HandlerRaised", "OutboundGuard", "guard_calls", "not_awaited", "unwrapped"]


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
    """Judge each request before it leaves, also after redirects.

    A guard is a function that neither waits nor raises, or an operation that only reads the store (`Get`).
    """

    def __call__(self, request: Request, /) -> RemoteError | Op[RemoteError | None] | None:
        """Return the error that refuses ``request``, or None to let it go."""
        ...


def guard_calls(
    request: Request, guard: OutboundGuard | None, call_of: Callable[[Effect[Any]], Callable[[], Any]]
) -> Generator[Callable[[], Any], Any, None]:
    """Ask ``guard`` about a request. Yield the calls of ports that it needs, and take their results.

    ``call_of`` returns the call for an effect of the guard.

    Raises:
        OutboundRefused: The guard refuses the request.
    """
    verdict = None if guard is None else guard(request)
    if isinstance(verdict, Generator):
        step = Stepper(verdict)
        try:
            while (effect := step.wants) is not None:
                try:
                    answer = yield call_of(effect)
                except Unavailable as error:
                    step.fail(error)
                else:
                    step.resume(answer)
        finally:
            step.close()
        verdict = step.result
    if verdict is not None:
        raise OutboundRefused(verdict)


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
