"""Classify an application's functions by kind: plain, coroutine or operation.

The kind of a handler is fixed when it is registered. It decides which variant of the context the handler gets, and
how a driver runs it. A plain function may wait, so it runs in a worker thread under an event loop. A coroutine function
is awaited. An operation yields effects, and runs under every driver. A generator function counts as an operation only
if it is marked with `operation`; an unmarked one is refused, because it was probably meant to be something else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from apcore.errors import ConfigurationError

__all__ = ["HandlerKind", "call_site", "handler_kind_of", "handler_name", "operation"]

F = TypeVar("F", bound=Callable[..., Generator[Any, Any, Any]])

_MARK = "__apcore_operation__"


class HandlerKind(Enum):
    """The kind of a handler, which decides how drivers run it."""

    PLAIN = "plain function"
    COROUTINE = "coroutine function"
    OPERATION = "operation"


def operation(fn: F, /) -> F:
    """Mark a generator function as an operation: it yields effects.

    Raises:
        ConfigurationError: ``fn`` is not a generator function.
    """
    if not inspect.isgeneratorfunction(fn):
        raise ConfigurationError(
            f"{handler_name(fn)} is marked @operation but is not a generator function: it has no yield"
        )
    setattr(fn, _MARK, True)
    return fn


def handler_kind_of(fn: Callable[..., object], /) -> HandlerKind:
    """Return the kind of ``fn``, also for partials, methods and objects with ``__call__``.

    Raises:
        ConfigurationError: ``fn`` is a class, an async generator function, an unmarked generator function, or not
            callable at all.
    """
    if not callable(fn) or isinstance(fn, type):
        raise ConfigurationError(f"a handler is a function, not {fn!r:.80}")
    target: object = fn
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target):
        target = type(target).__call__
    if getattr(target, _MARK, False):
        return HandlerKind.OPERATION
    if inspect.isasyncgenfunction(target):
        raise ConfigurationError(f"{handler_name(fn)} is an async generator function; a handler returns one answer")
    if inspect.isgeneratorfunction(target):
        raise ConfigurationError(
            f"{handler_name(fn)} is a generator function; mark it @operation if its yields are effects"
        )
    return HandlerKind.COROUTINE if inspect.iscoroutinefunction(target) else HandlerKind.PLAIN


def handler_name(fn: object, /) -> str:
    """Return a readable name of a handler: module and qualified name if it has them."""
    while isinstance(fn, partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None)
    return f"{getattr(fn, '__module__', '?')}.{name}" if name else f"{fn!r:.80}"


def call_site() -> str:
    """Return the file and the line outside of this package that led to the call, for messages: ``/app/blog.py:12``."""
    frame, package = inspect.currentframe(), __name__.partition(".")[0]
    while frame is not None and f"{frame.f_globals.get('__name__')}.".startswith(f"{package}."):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
