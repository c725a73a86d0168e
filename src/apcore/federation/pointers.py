"""Pointers: references bound to whoever can resolve them. They cost nothing until then.

A pointer is resolved once: from what came inside and is believed, from what is kept and fresh, or from where it belongs. After that its document is at hand, and
views of it are computed. `Pointer` waits and `AsyncPointer` is awaited; both come from a node or from a context, which know who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.remote import FetchPolicy, Identity, load, resolve, trusted_embedding
from apcore.vocab import Document, Reference, View

__all__ = ["AsyncPointer", "Pointer", "resolved_by"]

V = TypeVar("V", bound=View)


def resolved_by(
    reference: Reference | str,
    *,
    policy: FetchPolicy,
    asks: Callable[[], Op[Identity | None]],
    fresh: bool = False,
    owner: str | None = None,
    wrapper: str | None = None,
) -> Op[Document]:
    """Give the document of a reference, asked for by whoever ``asks`` names; as `resolve`, and with ``fresh`` from its origin in any case."""
    if isinstance(reference, Reference) and not fresh:
        believed = trusted_embedding(reference, owner=owner, wrapper=wrapper)
        if believed is not None:
            return believed
    identity = yield from asks()
    uri = reference.uri if isinstance(reference, Reference) else reference
    if fresh and uri is not None:
        loaded = yield from load(uri, policy=policy, identity=identity, fresh=True)
        return loaded.document
    return (yield from resolve(reference, policy=policy, identity=identity, owner=owner, wrapper=wrapper))


class _Bound:
    """What both pointers are."""

    __slots__ = ("_document", "_reference")

    def __init__(self, reference: Reference | str) -> None:
        self._reference = Reference(reference) if isinstance(reference, str) else reference
        self._document: Document | None = None

    @property
    def reference(self) -> Reference:
        """What is pointed with."""
        return self._reference

    @property
    def uri(self) -> str | None:
        """Where it points."""
        return self._reference.uri

    @property
    def document(self) -> Document:
        """What it points to.

        Raises:
            ContractError: It was not resolved yet.
        """
        if self._document is None:
            raise ContractError(f"{self.uri} is not resolved yet: call resolve() first")
        return self._document

    def view(self, view: type[V], /) -> V:
        """Look at what it points to as ``view``.

        Raises:
            ContractError: It was not resolved yet.
            WrongType: It is neither of that type nor of a subtype.
        """
        return self.document.view(view)


class Pointer(_Bound):
    """A reference that plain functions resolve."""

    __slots__ = ("_ask",)

    def __init__(self, reference: Reference | str, ask: Callable[[Reference, bool], Document]) -> None:
        super().__init__(reference)
        self._ask = ask

    def resolve(self, *, fresh: bool = False) -> Document:
        """Give what it points to, asking for it at most once; ``fresh`` asks its origin whatever is known.

        Raises:
            ApcoreError: What came of asking, see `apcore.remote.load`.
        """
        if self._document is None or fresh:
            self._document = self._ask(self._reference, fresh)
        return self._document


class AsyncPointer(_Bound):
    """A reference that coroutine functions resolve."""

    __slots__ = ("_ask",)

    def __init__(self, reference: Reference | str, ask: Callable[[Reference, bool], Awaitable[Document]]) -> None:
        super().__init__(reference)
        self._ask = ask

    async def resolve(self, *, fresh: bool = False) -> Document:
        """As `Pointer.resolve`."""
        if self._document is None or fresh:
            self._document = await self._ask(self._reference, fresh)
        return self._document
