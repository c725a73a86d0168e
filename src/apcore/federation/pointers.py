"""Define pointers: references that resolve themselves when you ask for the document.

A pointer is resolved at the first call. A document of our own comes from the store or its handler. Any other comes
from a trusted embedding, from a fresh cache entry, or from its origin.
Afterwards it holds the document, and views are computed from it. Only ``resolve(fresh=True)`` loads it again. `Pointer`
blocks, and `AsyncPointer` is awaited. A node or a context makes them, and chooses the identity that signs the requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.moderation import without_media
from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import same_origin
from apcore.remote import FetchPolicy, Identity, load_unless_failed, resolve, trusted_embedding
from apcore.vocab import Document, Reference, View

__all__ = ["AsyncPointer", "Pointer", "resolve_in", "resolve_reference"]

V = TypeVar("V", bound=View)


def resolve_reference(
    reference: Reference | str,
    *,
    policy: FetchPolicy,
    load_identity: Callable[[], Op[Identity | None]],
    load_own: Callable[[str], Op[Document | None]],
    fresh: bool = False,
    owner: str | None = None,
    wrapper: str | None = None,
) -> Op[Document]:
    """Return the document of a reference, as `resolve` does. With ``fresh``, always load it from its origin.

    ``load_own`` returns a document of our own origins, and None for any other id. Such a document is never fetched.
    ``load_identity`` returns the identity that signs the requests. It is called only if a request may be needed.
    """
    uri = reference.uri if isinstance(reference, Reference) else reference
    own_document = None if uri is None else (yield from load_own(uri))
    if own_document is not None:
        return own_document
    if isinstance(reference, Reference) and not fresh:
        embedded_document = trusted_embedding(reference, owner=owner, wrapper=wrapper)
        if embedded_document is not None:
            return embedded_document
    # The identity comes late: it may have to make keys, which a trusted embedding does not need.
    identity = yield from load_identity()
    if fresh and uri is not None:
        loaded = yield from load_unless_failed(uri, policy=policy, identity=identity, fresh=True)
        return loaded.document
    return (yield from resolve(reference, policy=policy, identity=identity, owner=owner, wrapper=wrapper))


def resolve_in(scope: UnitOfWork[Any], reference: Reference | str, *, fresh: bool = False) -> Op[Document]:
    """Resolve a reference for a handler, as `resolve_reference` does.

    The document of an actor whose domain's media is rejected comes without its media.
    """
    document = yield from resolve_reference(
        reference,
        policy=scope.fetching,
        load_identity=scope.load_identity,
        load_own=scope.load_own,
        fresh=fresh,
        owner=scope.actor,
        wrapper=scope.activity_id,
    )
    is_of_actor = scope.actor is not None and document.id is not None and same_origin(document.id, scope.actor)
    return without_media(document) if scope.rejects_media and is_of_actor else document


class _BasePointer:
    """The members that both pointers share."""

    __slots__ = ("_document", "_reference")

    def __init__(self, reference: Reference | str) -> None:
        self._reference = Reference(reference) if isinstance(reference, str) else reference
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
    def document(self) -> Document:
        """The document of the reference.

        Raises:
            ContractError: The pointer is not resolved yet.
        """
        if self._document is None:
            raise ContractError(f"{self.uri} is not resolved yet: call resolve() first")
        return self._document

    def view(self, view: type[V], /) -> V:
        """Return the document as a ``view``.

        Raises:
            ContractError: The pointer is not resolved yet.
            WrongType: The document is neither of that type nor of a subtype.
        """
        return self.document.view(view)


class Pointer(_BasePointer):
    """A pointer for plain functions."""

    __slots__ = ("_load",)

    def __init__(self, reference: Reference | str, load_document: Callable[[Reference, bool], Document]) -> None:
        super().__init__(reference)
        self._load = load_document

    def resolve(self, *, fresh: bool = False) -> Document:
        """Return the document, and load it at the first call. With ``fresh``, always load it again from its origin.

        Raises:
            ApcoreError: The document could not be loaded; see `apcore.remote.load`.
        """
        if self._document is None or fresh:
            self._document = self._load(self._reference, fresh)
        return self._document


class AsyncPointer(_BasePointer):
    """A pointer for coroutine functions."""

    __slots__ = ("_load",)

    def __init__(
        self, reference: Reference | str, load_document: Callable[[Reference, bool], Awaitable[Document]]
    ) -> None:
        super().__init__(reference)
        self._load = load_document

    async def resolve(self, *, fresh: bool = False) -> Document:
        """See `Pointer.resolve`."""
        if self._document is None or fresh:
            self._document = await self._load(self._reference, fresh)
        return self._document
