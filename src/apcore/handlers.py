"""The colours of an application's functions: plain, coroutine, operation.

A handler's colour is fixed when it is registered, and decides which face of the context it gets and how a driver runs it. A plain function may
wait, so it runs in a worker thread under an event loop; a coroutine function is awaited; an operation yields effects and runs under every driver.
A generator function is an operation only where it says so with `operation`: one that was meant to be something else is refused rather than driven.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from apcore.errors import ConfigurationError

__all__ = ["Colour", "colour_of", "handler_name", "operation"]

F = TypeVar("F", bound=Callable[..., Generator[Any, Any, Any]])

_MARK = "__apcore_operation__"


class Colour(Enum):
    """What a handler is, and so which drivers can run it."""

    PLAIN = "plain function"
    COROUTINE = "coroutine function"
    OPERATION = "operation"


def operation(fn: F, /) -> F:
    """Mark a generator function as an operation: its yields are effects.

    Raises:
        ConfigurationError: ``fn`` is not a generator function.
    """
    if not inspect.isgeneratorfunction(fn):
        raise ConfigurationError(
            f"{handler_name(fn)} is marked @operation but is not a generator function: it has no yield"
        )
    setattr(fn, _MARK, True)
    return fn


def colour_of(fn: Callable[..., object], /) -> Colour:
    """Tell the colour of ``fn``; partials, methods and objects with ``__call__`` are looked through.

    Raises:
        ConfigurationError: Not callable, a class, an async generator function, or a generator function without `operation`.
    """
    if not callable(fn) or isinstance(fn, type):
        raise ConfigurationError(f"a handler is a function, not {fn!r:.80}")
    target: object = fn
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target):
        target = type(target).__call__
    if getattr(target, _MARK, False):
        return Colour.OPERATION
    if inspect.isasyncgenfunction(target):
        raise ConfigurationError(f"{handler_name(fn)} is an async generator function; a handler returns one answer")
    if inspect.isgeneratorfunction(target):
        raise ConfigurationError(
            f"{handler_name(fn)} is a generator function; mark it @operation if its yields are effects"
        )
    return Colour.COROUTINE if inspect.iscoroutinefunction(target) else Colour.PLAIN


def handler_name(fn: object, /) -> str:
    """Name a handler for people: module and qualified name where it has them."""
    while isinstance(fn, partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None)
    return f"{getattr(fn, '__module__', '?')}.{name}" if name else f"{fn!r:.80}"
