"""Define methods that may wait once, as operations, for the three kinds of caller.

A method that is marked with `waiting` is written as an operation. A class for operations (`OperationVariant`) has it as
it is written. A class for plain functions (`BlockingVariant`) has a method in its place that runs the operation and
blocks. A class for coroutine functions (`AwaitedVariant`) has a coroutine method. So the variants cannot differ.

The methods are made when the class is defined. Type checkers see the result of each variant through `Waiting.__get__`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from apcore.effects import Op

__all__ = ["AwaitedVariant", "BlockingVariant", "OperationVariant", "Waiting", "waiting", "waiting_without_data"]

P = ParamSpec("P")
T = TypeVar("T")


class OperationVariant:
    """The base of a class whose methods that may wait are operations."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _install(cls, lambda method: method.operation)


class BlockingVariant:
    """The base of a class whose methods that may wait block."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _install(cls, _blocking)

    def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        """Run the operation that ``make_op`` makes of the object that the method is for.

        ``uses_data`` tells whether a handler of the application may run in it, which needs the application's data.
        ``origin`` is the argument of the method with this name, if it has one.
        """
        raise NotImplementedError


class AwaitedVariant:
    """The base of a class whose methods that may wait are awaited."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _install(cls, _awaited)

    async def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        """See `BlockingVariant`."""
        raise NotImplementedError


class Waiting(Generic[P, T]):
    """A method that may wait, written as an operation. `waiting` makes it."""

    def __init__(self, operation: Callable[Concatenate[Any, P], Op[T]], /, *, uses_data: bool = True) -> None:
        self.operation = operation
        self.uses_data = uses_data
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: OperationVariant, owner: type, /) -> Callable[P, Op[T]]: ...
    @overload
    def __get__(self, instance: BlockingVariant, owner: type, /) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AwaitedVariant, owner: type, /) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: object, owner: type, /) -> Any:
        """Return the method for type checkers. At run time, each variant has a function of its own in its place."""
        return self if instance is None else functools.partial(self.operation, instance)


def waiting(operation: Callable[Concatenate[Any, P], Op[T]], /) -> Waiting[P, T]:
    """Mark a method that is written as an operation. Each variant of its class gets it in its own kind."""
    return Waiting(operation)


def waiting_without_data(operation: Callable[Concatenate[Any, P], Op[T]], /) -> Waiting[P, T]:
    """Mark a method as `waiting` does, if no handler of the application can run in it."""
    return Waiting(operation, uses_data=False)


def _install(cls: type, make_method: Callable[[Waiting[..., Any]], Callable[..., Any]]) -> None:
    """Put the methods of one kind into a class, in place of the marked operations that it inherits."""
    names = {name for base in cls.__mro__ for name, member in vars(base).items() if isinstance(member, Waiting)}
    for name in names:
        member: object = inspect.getattr_static(cls, name)
        if isinstance(member, Waiting):
            setattr(cls, name, make_method(cast("Waiting[..., Any]", member)))


def _blocking(method: Waiting[..., Any]) -> Callable[..., Any]:
    operation, uses_data = method.operation, method.uses_data

    @functools.wraps(operation)
    def perform(self: BlockingVariant, /, *args: Any, **kwargs: Any) -> Any:
        make_op = functools.partial(_call, operation, args, kwargs)
        run = self._perform  # pyright: ignore[reportPrivateUsage]
        return run(make_op, uses_data=uses_data, origin=kwargs.get("origin"))

    return _with_result(perform)


def _awaited(method: Waiting[..., Any]) -> Callable[..., Any]:
    operation, uses_data = method.operation, method.uses_data

    @functools.wraps(operation)
    async def perform(self: AwaitedVariant, /, *args: Any, **kwargs: Any) -> Any:
        make_op = functools.partial(_call, operation, args, kwargs)
        run = self._perform  # pyright: ignore[reportPrivateUsage]
        return await run(make_op, uses_data=uses_data, origin=kwargs.get("origin"))

    return _with_result(perform)


def _call(operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], target: object) -> Any:
    return operation(target, *args, **kwargs)


def _with_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose signature has the result of the operation, for documentation and editors."""
    signature = inspect.signature(fn)
    result = str(signature.return_annotation).removeprefix("Op[").removesuffix("]")
    fn.__annotations__ = fn.__annotations__ | {"return": result}
    fn.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    return fn
