"""Define pointers: references that resolve themselves when you ask for the document.

Making a pointer costs nothing. Each call of ``resolve`` looks again: while a copy is fresh, in the store; after that,
at the origin. `Pointer` blocks, and `AsyncPointer` is awaited. A node or a context makes them, and chooses the identity
that signs the requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from attrs import evolve

from apcore.effects import CallOutcome, Op
from apcore.errors import ContractError
from apcore.federation.resolving import WALK_REQUESTS_MAX, Resolver
from apcore.federation.unit_of_work import UnitOfWork
from apcore.remote import DocumentState
from apcore.vocab import Document, Reference, View

__all__ = ["AsyncPointer", "Pointer", "resolver_for"]

V = TypeVar("V", bound=View)
R_co = TypeVar("R_co", covariant=True)


class RunResolver(Protocol[R_co]):
    """A function that runs an operation of a resolver, with the application's data if ``with_data``."""

    def __call__(self, make_op: Callable[[Resolver], Op[Any]], /, *, with_data: bool) -> R_co: ...


def resolver_for(scope: UnitOfWork[Any]) -> Resolver:
    """Return the resolver for a handler. The requests of one run of a handler share a budget.

    The document of an actor whose domain's media is rejected comes without its media.
    """
    return Resolver(
        policy=evolve(scope.fetching, allowance=scope.allowance),
        load_identity=scope.load_identity,
        viewer=scope.viewer,
        load_own=scope.load_own,
        is_own=scope.is_own,
        owner=scope.actor,
        wrapper=scope.activity_id,
        rejects_media=scope.rejects_media,
    )


class _BasePointer:
    """The members that both pointers share."""

    __slots__ = ("_document", "_is_local", "_reference")

    def __init__(self, reference: Reference | str, is_own: Callable[[str], bool]) -> None:
        self._reference = Reference(reference) if isinstance(reference, str) else reference
        self._is_local = self._reference.uri is not None and is_own(self._reference.uri)
        self._document: Document | None = None

    @property
    def reference(self) -> Reference:
        """The reference that the pointer resolves."""
        return self._reference

    @property
    def uri(self) -> str | None:
        """The URI of the reference; None if it has none."""
        return self._reference.uri

    @property
    def is_local(self) -> bool:
        """Whether the address is on an origin of ours, so that it is never fetched."""
        return self._is_local

    @property
    def document(self) -> Document:
        """The document as `resolve` returned it last.

        Raises:
            ContractError: The pointer is not resolved yet.
        """
        if self._document is None:
            raise ContractError(f"{self.uri} is not resolved yet: call resolve() first")
        return self._document

    def view(self, view: type[V], /) -> V:
        """Return the document as a ``view``. Several views of one document cost no request.

        Raises:
            ContractError: The pointer is not resolved yet.
            WrongType: The document is neither of that type nor of a subtype.
        """
        return self.document.view(view)


class Pointer(_BasePointer):
    """A pointer for plain functions."""

    __slots__ = ("_run",)

    def __init__(self, reference: Reference | str, is_own: Callable[[str], bool], run: RunResolver[Any]) -> None:
        super().__init__(reference, is_own)
        self._run = run

    def resolve(self, *, fresh: bool = False) -> Document:
        """Return the document: from the store while it is fresh, else from its origin. With ``fresh``, ask its origin.

        Raises:
            ApcoreError: The document could not be loaded; see `apcore.remote.load`.
        """
        self._document = self._run(
            lambda resolver: resolver.resolve(self._reference, fresh=fresh), with_data=self._is_local
        )
        return self.document

    def state(self) -> DocumentState:
        """Return what the store knows about the document, without a request.

        Raises:
            RequestError: The address is no http or https URL.
        """
        state: DocumentState = self._run(
            lambda resolver: resolver.read_state(self._reference), with_data=self._is_local
        )
        return state

    def walk(self, path: str, /, *, requests_max: int = WALK_REQUESTS_MAX) -> tuple[CallOutcome[Document], ...]:
        """Follow a path of properties, such as ``"in_reply_to.attributed_to"``; see `Resolver.walk`.

        Raises:
            ValueError: The path names no property, or is longer than ten names.
        """
        outcomes: tuple[CallOutcome[Document], ...] = self._run(
            lambda resolver: resolver.walk(self._reference, path, requests_max=requests_max), with_data=True
        )
        return outcomes


class AsyncPointer(_BasePointer):
    """A pointer for coroutine functions."""

    __slots__ = ("_run",)

    def __init__(
        self, reference: Reference | str, is_own: Callable[[str], bool], run: RunResolver[Awaitable[Any]]
    ) -> None:
        super().__init__(reference, is_own)
        self._run = run

    async def resolve(self, *, fresh: bool = False) -> Document:
        """See `Pointer.resolve`."""
        self._document = await self._run(
            lambda resolver: resolver.resolve(self._reference, fresh=fresh), with_data=self._is_local
        )
        return self.document

    async def state(self) -> DocumentState:
        """See `Pointer.state`."""
        state: DocumentState = await self._run(
            lambda resolver: resolver.read_state(self._reference), with_data=self._is_local
        )
        return state

    async def walk(self, path: str, /, *, requests_max: int = WALK_REQUESTS_MAX) -> tuple[CallOutcome[Document], ...]:
        """See `Pointer.walk`."""
        outcomes: tuple[CallOutcome[Document], ...] = await self._run(
            lambda resolver: resolver.walk(self._reference, path, requests_max=requests_max), with_data=True
        )
        return outcomes
