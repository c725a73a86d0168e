"""Read the addressees of a document: ``to``, ``cc``, ``audience``, and the secret ``bto`` and ``bcc``.

Peers write addressees in many forms: a string for an array, `PUBLIC` in four spellings, nulls and numbers among them,
embedded actors for their ids, the audience only on the activity, only on the object, or different on both.
`audience_of` reads one document. `joint_audience` reads an activity together with its object, which answers the
question "may this be shown to everyone?".
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import frozen

from apcore.vocab import values
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import PUBLIC, PUBLIC_FORMS

__all__ = ["Audience", "Visibility", "audience_of", "joint_audience"]


class Visibility(Enum):
    """How widely a post is visible, in Mastodon's terms.

    Posts for followers and posts for some people are both `LIMITED`: only the author's document tells which address is
    the followers collection.
    """

    PUBLIC = "public"
    """`PUBLIC` is in ``to``."""
    UNLISTED = "unlisted"
    """`PUBLIC` is in ``cc`` (or ``audience``): visible to everyone, but not promoted."""
    LIMITED = "limited"
    """Only for the named addressees: followers, or some people."""
    NONE = "none"
    """There are no addressees."""


@frozen
class Audience:
    """Addresses without duplicates, in order; `PUBLIC` in its canonical form."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    bto: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return all addressees, open and secret, without `PUBLIC`, which has no inbox."""
        named = (*self.to, *self.cc, *self.audience, *self.bto, *self.bcc)
        return tuple(dict.fromkeys(address for address in named if address != PUBLIC))

    @property
    def secret(self) -> tuple[str, ...]:
        """Return the addressees that only ``bto`` and ``bcc`` name. Never deliver to them through a shared inbox."""
        open_ = {*self.to, *self.cc, *self.audience}
        return tuple(dict.fromkeys(address for address in (*self.bto, *self.bcc) if address not in open_ | {PUBLIC}))

    @property
    def is_public(self) -> bool:
        """Return whether it is for everyone, listed or not. A secret `PUBLIC` (``bto``) makes nothing public."""
        return PUBLIC in self.to or PUBLIC in self.cc or PUBLIC in self.audience

    @property
    def visibility(self) -> Visibility:
        """Return how widely the document is visible."""
        if PUBLIC in self.to:
            return Visibility.PUBLIC
        if self.is_public:
            return Visibility.UNLISTED
        return Visibility.LIMITED if self.everyone else Visibility.NONE


def audience_of(document: Document) -> Audience:
    """Return the addressees of ``document``."""
    return Audience(*(_addresses(document, name) for name in ("to", "cc", "audience", "bto", "bcc")))


def joint_audience(document: Document) -> Audience:
    """Return the addressees of ``document`` and of the objects embedded in it, together.

    ActivityPub §6.2 wants both to agree; a server that addresses only one of them means both. The addressees of an
    embedded object are a claim, like the rest of it.
    """
    joint = audience_of(document)
    for item in values.many(document.words.get("object")):
        if values.is_object(item):
            inner = audience_of(document.embedded(item))
            joint = Audience(
                _joined(joint.to, inner.to),
                _joined(joint.cc, inner.cc),
                _joined(joint.audience, inner.audience),
                _joined(joint.bto, inner.bto),
                _joined(joint.bcc, inner.bcc),
            )
    return joint


# --- leaves ---------------------------------------------------------------------------------------------------------


def _addresses(document: Document, name: str) -> tuple[str, ...]:
    value: Any = document.words.get(name)
    if value is None:
        return ()
    uris: dict[str, None] = {}
    for item in values.many(value):
        if type(item) is str and item:
            # Nearly all addressees are written like this, and need no reference.
            uris[PUBLIC if item in PUBLIC_FORMS else item] = None
            continue
        reference = values.reference(item, document)
        if reference is not None and reference.uri is not None:
            uris[reference.uri] = None
    return tuple(uris)


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other))) if other else one
