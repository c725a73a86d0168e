"""Represent references: an address, and the claims of the referring document about it.

A property such as ``object`` or ``attributedTo`` holds an address, a whole embedded document, or a `Link`. All of them
are read as a `Reference`. Embedded content is a *claim* of the author of the outer document. To believe it you need a
reason: the same origin and owner, a proof, or a check with the authoritative source. Other code provides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http.urls import parse_url

if TYPE_CHECKING:
    from apcore.vocab.documents import Document
    from apcore.vocab.views import View

__all__ = ["Reference"]

V = TypeVar("V", bound="View")


@frozen(eq=False)
class Reference:
    """An address, and perhaps the document there, as the referring document describes it.

    Making one costs nothing and asks nobody. Two references are equal if their keys are.
    """

    uri: str | None
    """The address, as written, but `PUBLIC` is in its canonical form. None for an embedded object without an id."""
    embedded: Document | None = field(default=None, repr=False)
    """The embedded document: a claim. It does not count for equality."""

    @property
    def key(self) -> str | None:
        """The address in its canonical form: scheme and host in lower case, and no default port.

        An address that is no http or https URL has no other form than its own.
        """
        if self.uri is None:
            return None
        try:
            return str(parse_url(self.uri))
        except RequestError:
            return self.uri

    @override
    def __eq__(self, other: object) -> bool:
        if type(other) is not Reference:
            return NotImplemented
        return self.uri == other.uri or self.key == other.key

    @override
    def __hash__(self) -> int:
        return hash(self.key)

    def claimed(self, view: type[V]) -> V | None:
        """Return the embedded claim as ``view``; None if there is none, or if it has another type."""
        if self.embedded is None or not self.embedded.is_a(view):
            return None
        return self.embedded.view(view)
