"""Define the methods with which a handler resolves references, for the three variants of its context."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from apcore.effects import CallOutcome, Op
from apcore.federation.pointers import AsyncPointer, Pointer, resolver_for
from apcore.federation.resolving import PER_HOST, WALK_REQUESTS_MAX, Resolver
from apcore.federation.unit_of_work import UnitOfWork
from apcore.vocab import Document, Reference

__all__ = ["AwaitableResolving", "BlockingResolving", "OpResolving"]


class OpResolving:
    """The methods as operations, run with ``yield from``."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    def resolve(self, reference: Reference | str, /) -> Op[Document]:
        """Return the document of a reference.

        A document of our own is read from the store or made by its handler. An embedded document that can be trusted
        costs no request. Any other is loaded from its origin. `FetchPolicy.fetches_a_job` bounds the requests of one
        run of a handler.

        Raises:
            ApcoreError: The document could not be loaded; see `apcore.remote.load`.
            BudgetSpent: The requests of this run are spent.
        """
        return resolver_for(self._scope).resolve(reference)

    def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Resolve references at once; see `Node.resolve_many`.

        Raises:
            ValueError: There are more than a thousand references, or ``per_host`` is less than 1.
        """
        return resolver_for(self._scope).resolve_many(references, per_host=per_host)

    def walk(
        self, reference: Reference | str, path: str, /, *, requests_max: int = WALK_REQUESTS_MAX
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Follow a path of properties, such as ``"in_reply_to.attributed_to"``; see `Pointer.walk`.

        Raises:
            ValueError: The path names no property, or is longer than ten names.
        """
        return resolver_for(self._scope).walk(reference, path, requests_max=requests_max)


class BlockingResolving:
    """The methods for plain functions."""

    __slots__ = ()

    _scope: UnitOfWork[Any]
    _run: Callable[[Op[Any]], Any]

    def resolve(self, reference: Reference | str, /) -> Document:
        """See `OpContext.resolve`."""
        document: Document = self._run(resolver_for(self._scope).resolve(reference))
        return document

    def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST
    ) -> tuple[CallOutcome[Document], ...]:
        """See `OpContext.resolve_many`."""
        outcomes: tuple[CallOutcome[Document], ...] = self._run(
            resolver_for(self._scope).resolve_many(references, per_host=per_host)
        )
        return outcomes

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Return a pointer, which resolves the reference when you ask for it. Nothing is fetched before."""
        return Pointer(reference, self._scope.is_own, self._run_resolver)

    def _run_resolver(self, make_op: Callable[[Resolver], Op[Any]], /, *, with_data: bool) -> Any:
        del with_data  # the handler's data is that of its run
        return self._run(make_op(resolver_for(self._scope)))


class AwaitableResolving:
    """The methods for coroutine functions."""

    __slots__ = ()

    _scope: UnitOfWork[Any]
    _run: Callable[[Op[Any]], Coroutine[Any, Any, Any]]

    async def resolve(self, reference: Reference | str, /) -> Document:
        """See `OpContext.resolve`."""
        document: Document = await self._run(resolver_for(self._scope).resolve(reference))
        return document

    async def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST
    ) -> tuple[CallOutcome[Document], ...]:
        """See `OpContext.resolve_many`."""
        outcomes: tuple[CallOutcome[Document], ...] = await self._run(
            resolver_for(self._scope).resolve_many(references, per_host=per_host)
        )
        return outcomes

    def reference(self, reference: Reference | str, /) -> AsyncPointer:
        """Return a pointer, which resolves the reference when you ask for it. Nothing is fetched before."""
        return AsyncPointer(reference, self._scope.is_own, self._run_resolver)

    def _run_resolver(self, make_op: Callable[[Resolver], Op[Any]], /, *, with_data: bool) -> Coroutine[Any, Any, Any]:
        del with_data  # the handler's data is that of its run
        return self._run(make_op(resolver_for(self._scope)))
