"""`Reference`: a value that points, and what the document that holds it says about the thing pointed at.

A property such as ``object`` or ``attributedTo`` holds an address, or a thing embedded whole, or a `Link`. All of them are read as a
`Reference`. What is embedded is a *claim* by whoever wrote the outer document: believing it needs a reason (same origin and same owner, a
proof, or asking the authoritative source), and finding one is not this room's business.
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
    """An address, and perhaps the thing as the referring document describes it."""

    uri: str | None
    """Where it points, as written, except that the forms of `PUBLIC` are made one. None for an embedded thing without an id."""
    embedded: Document | None = field(default=None, eq=False, repr=False)
    """The thing as embedded: a claim. Not part of what makes two references equal."""

    def claimed(self, view: type[V]) -> V | None:
        """Give the embedded claim as ``view``; None if nothing is embedded, or something of another type."""
        if self.embedded is None or not self.embedded.is_a(view):
            return None
        return self.embedded.view(view)
