"""Find the handlers that need the application's data: their annotation says so, or their code reads ``ctx.data``.

The answer is used for a warning, and no handler is run to find it. A handler that only passes its context on to other
functions is recognised by its annotation.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from apcore.federation.context import AsyncContext, Context, OpContext

__all__ = ["is_data_type", "needs_data"]

_CONTEXTS: Final = (Context, AsyncContext, OpContext)


def needs_data(fn: Callable[..., Any], /) -> bool:
    """Return whether a handler needs data.

    It does if its context is annotated as ``Context[Something]``, or if it reads the attribute ``data`` of its context.
    """
    function = _function_of(fn)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    name = _context_name(fn, function)
    return name is not None and (_is_annotated(function, name) or _reads_data(code, name))


def is_data_type(annotation: object, /) -> bool:
    """Return whether an annotation requires data: not None, nor a union with None, nor `Any`, nor a type variable."""
    if annotation in {None, NoneType, Any} or isinstance(annotation, TypeVar):
        return False
    return not (get_origin(annotation) in {Union, UnionType} and NoneType in get_args(annotation))


def _function_of(fn: Callable[..., Any]) -> Any:
    target: Any = fn
    while isinstance(target, partial):
        target = target.func
    target = inspect.unwrap(target)
    if not inspect.isroutine(target):
        target = type(target).__call__
    return inspect.unwrap(target)


def _context_name(fn: Callable[..., Any], function: Any) -> str | None:
    """Return the name of the function's parameter for the context: the first that the handler is called with."""
    try:
        names = list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return None
    return names[0] if names and names[0] in function.__code__.co_varnames else None


def _is_annotated(function: Any, name: str) -> bool:
    try:
        annotation = get_type_hints(function).get(name)
    except Exception:  # Annotations may name types that exist only for the type checker.
        return False
    return get_origin(annotation) in _CONTEXTS and any(map(is_data_type, get_args(annotation)))


def _reads_data(code: CodeType, name: str) -> bool:
    previous: dis.Instruction | None = None
    for instruction in dis.get_instructions(code):
        is_read = instruction.opname == "LOAD_ATTR" and instruction.argval == "data"
        if is_read and previous is not None and _loads(previous, name):
            return True
        previous = instruction
    return any(_reads_data(inner, name) for inner in _inner_codes(code) if name in inner.co_freevars)


def _loads(instruction: dis.Instruction, name: str) -> bool:
    """Return whether an instruction leaves the variable on top of the stack. Some instructions load two variables."""
    if not instruction.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "STORE_FAST_LOAD_FAST")):
        return False
    loaded: object = instruction.argval
    return loaded == name or (isinstance(loaded, tuple) and loaded[-1:] == (name,))


def _inner_codes(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
