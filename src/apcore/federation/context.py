"""Define the context of handlers, in three variants over the same operations.

Plain functions get `Context`, with methods that block. Coroutine functions get `AsyncContext`, with coroutine methods.
Operations get `OpContext`, with operations as methods. Addresses and writes are the same in all three. An address is
computed. A write is only noted: it is committed together with the mark that the handler has finished. `contains`, and
the methods that change relations, see the noted writes of the same handler. Counts and pages do not.

A method that may wait is defined once, as an operation (`apcore.federation.waiting_methods`). With ``run``, a handler
of any kind can run any other operation.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic

from typing_extensions import TypeVar, override

from apcore.effects import Op
from apcore.federation.account_methods import AccountMethods
from apcore.federation.context_facts import ContextFacts
from apcore.federation.context_lookups import LookUpMethods, RequestMethods
from apcore.federation.context_methods import ActionMethods
from apcore.federation.context_writes import WriteMethods
from apcore.federation.pointers import AsyncPointer, Pointer, resolver_for
from apcore.federation.resolving import Resolver
from apcore.federation.resolving_methods import ResolvingMethods
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import AwaitedVariant, BlockingVariant, OperationVariant
from apcore.vocab import Reference

__all__ = ["AsyncContext", "Context", "OpContext", "UnitContexts"]

Data = TypeVar("Data", default=None)
T = TypeVar("T")


class _BaseContext(
    ResolvingMethods,
    LookUpMethods,
    RequestMethods,
    ActionMethods,
    WriteMethods,
    AccountMethods,
    ContextFacts[Data],
    Generic[Data],
):
    """The members of all variants. Those that may wait are operations here."""

    __slots__ = ()

    _scope: UnitOfWork[Data]


class OpContext(OperationVariant, _BaseContext[Data]):
    """The variant for operations: methods that may wait are operations, run with ``yield from``."""

    __slots__ = ()

    def run(self, op: Op[T], /) -> Op[T]:
        """Return an operation unchanged, to be run with ``yield from``."""
        return op


class Context(BlockingVariant, _BaseContext[Data]):
    """The variant for plain functions: methods that may wait block."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Any]) -> None:
        super().__init__(scope)
        self._run = run

    def run(self, op: Op[T], /) -> T:
        """Run any operation with the ports of the node, and return its result."""
        result: T = self._run(op)
        return result

    @override
    def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        result: T = self._run(make_op(self))
        return result

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Return a pointer, which resolves the reference when you ask for it. Nothing is fetched before."""
        return Pointer(reference, self._scope.is_own, self._run_resolver)

    def _run_resolver(self, make_op: Callable[[Resolver], Op[Any]], /, *, with_data: bool) -> Any:
        del with_data  # a context has its data already
        return self._run(make_op(resolver_for(self._scope)))


class AsyncContext(AwaitedVariant, _BaseContext[Data]):
    """The variant for coroutine functions: methods that may wait are awaited."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Coroutine[Any, Any, Any]]) -> None:
        super().__init__(scope)
        self._run = run

    async def run(self, op: Op[T], /) -> T:
        """Run any operation with the ports of the node, and return its result."""
        result: T = await self._run(op)
        return result

    @override
    async def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        result: T = await self._run(make_op(self))
        return result

    def reference(self, reference: Reference | str, /) -> AsyncPointer:
        """Return a pointer, which resolves the reference when you ask for it. Nothing is fetched before."""
        return AsyncPointer(reference, self._scope.is_own, self._run_resolver)

    async def _run_resolver(self, make_op: Callable[[Resolver], Op[Any]], /, *, with_data: bool) -> Any:
        del with_data  # a context has its data already
        return await self._run(make_op(resolver_for(self._scope)))


class UnitContexts(Generic[Data]):
    """The context variants of a unit of work, for the ``contexts_for`` argument of `Call`."""

    __slots__ = ("_scope",)

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> Context[Data]:
        """See `apcore.effects.HandlerContexts.blocking`."""
        return Context(self._scope, run)

    def awaiting(self, run: Callable[[Op[Any]], Coroutine[Any, Any, Any]], /) -> AsyncContext[Data]:
        """See `apcore.effects.HandlerContexts.awaiting`."""
        return AsyncContext(self._scope, run)

    def operation(self) -> OpContext[Data]:
        """See `apcore.effects.HandlerContexts.operation`."""
        return OpContext(self._scope)
