"""Represent references: an address, and the claims of the referring document about it.

A property such as ``object`` or ``attributedTo`` holds an address, a whole embedded document, or a `Link`. All of them
are read as a `Reference`. Embedded content is a *claim* of the author of the outer document. To believe it you need a
reason: the same origin and owner, a proof, or a check with the authoritative source. Other code provides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from apcore.vocab.documents import Document
    from apcore.vocab.views import View

__all__ = ["Reference"]

V = TypeVar("V", bound="View")


@frozen
class Reference:
    """An address, and perhaps the document there, as the referring document describes it."""

    uri: str | None
    """The address, as written, but `PUBLIC` is in its canonical form. None for an embedded object without an id."""
    embedded: Document | None = field(default=None, eq=False, repr=False)
    """The embedded document: a claim. It does not count for equality."""

    def claimed(self, view: type[V]) -> V | None:
        """Return the embedded claim as ``view``; None if there is none, or if it has another type."""
        if self.embedded is None or not self.embedded.is_a(view):
            return None
        return self.embedded.view(view)
