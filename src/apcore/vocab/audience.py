"""To whom something is addressed: ``to``, ``cc``, ``audience``, and in secret ``bto`` and ``bcc``.

Peers address in every shape: a string for an array, `PUBLIC` in four spellings, nulls and numbers between, embedded actors for their ids,
the audience only on the activity, only on the object, or differently on both. `audience_of` reads one document; `joint_audience` an activity
together with the object inside it, for those who ask "may this be shown to everyone?".
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import frozen

from apcore.vocab import values
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import PUBLIC

__all__ = ["Audience", "Visibility", "audience_of", "joint_audience"]


class Visibility(Enum):
    """How widely a post is meant, as Mastodon made it common. Whose followers are meant needs the author's document to tell."""

    PUBLIC = "public"
    """`PUBLIC` stands in ``to``."""
    UNLISTED = "unlisted"
    """`PUBLIC` stands in ``cc`` (or ``audience``): for everyone, and not to be advertised."""
    LIMITED = "limited"
    """Only for those named: followers, or some people."""
    NONE = "none"
    """Nobody is named."""


@frozen
class Audience:
    """Addresses, each once, in their order; `PUBLIC` in its one form."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    bto: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    @property
    def everyone(self) -> tuple[str, ...]:
        """All who are addressed, openly and in secret, without `PUBLIC`, which is nobody to deliver to."""
        named = (*self.to, *self.cc, *self.audience, *self.bto, *self.bcc)
        return tuple(dict.fromkeys(address for address in named if address != PUBLIC))

    @property
    def secret(self) -> tuple[str, ...]:
        """Those that only ``bto`` and ``bcc`` name: what reaches them must not go through a shared inbox."""
        open_ = {*self.to, *self.cc, *self.audience}
        return tuple(dict.fromkeys(address for address in (*self.bto, *self.bcc) if address not in open_ | {PUBLIC}))

    @property
    def is_public(self) -> bool:
        """Whether it is for everyone, listed or not. `PUBLIC` in secret (``bto``) makes nothing public."""
        return PUBLIC in self.to or PUBLIC in self.cc or PUBLIC in self.audience

    @property
    def visibility(self) -> Visibility:
        """How widely it is meant."""
        if PUBLIC in self.to:
            return Visibility.PUBLIC
        if self.is_public:
            return Visibility.UNLISTED
        return Visibility.LIMITED if self.everyone else Visibility.NONE


def audience_of(document: Document) -> Audience:
    """Read to whom ``document`` is addressed."""
    return Audience(*(_addresses(document, name) for name in ("to", "cc", "audience", "bto", "bcc")))


def joint_audience(document: Document) -> Audience:
    """Read to whom ``document`` and the objects embedded in it are addressed, together.

    ActivityPub §6.2 wants both to agree; servers that address one alone mean both. The embedded object's is as much a claim as the
    rest of it.
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
    found: dict[str, None] = {}
    value: Any = document.words.get(name)
    for item in values.many(value):
        reference = values.reference(item, document)
        if reference is not None and reference.uri is not None:
            found[reference.uri] = None
    return tuple(found)


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))
