"""What a document is by what it has, and whose it says that it is.

Types are many and new ones come; what decides about trust is told by the members that a document has (FEP-2277), in a fixed order, and its
owner by one of them (FEP-fe34). All of this is what the document *says*: an owner is believed when the document came from the owner's
origin, or carries the owner's proof.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from apcore.http.urls import same_origin
from apcore.vocab import values
from apcore.vocab.documents import Document

__all__ = ["Kind", "is_owned_by", "kind_of", "owners_of", "same_id"]


class Kind(Enum):
    """What a document is, as far as ownership goes."""

    ACTOR = "actor"
    VERIFICATION_METHOD = "verification-method"
    KEY = "key"
    LINK = "link"
    ACTIVITY = "activity"
    COLLECTION = "collection"
    OBJECT = "object"


_OWNER: Final = {
    Kind.ACTOR: "id",
    Kind.VERIFICATION_METHOD: "controller",
    Kind.KEY: "owner",
    Kind.ACTIVITY: "actor",
    Kind.COLLECTION: "attributedTo",
    Kind.OBJECT: "attributedTo",
}
"""Which member says whose it is; a link is nobody's."""
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_COLLECTION: Final = ("items", "orderedItems", "totalItems", "partOf", "first", "last", "next", "prev", "current")


def kind_of(document: Document) -> Kind:
    """Tell what ``document`` is by what it has (FEP-2277; the order matters)."""
    words = document.words
    if "inbox" in words and "outbox" in words:
        return Kind.ACTOR
    if "publicKeyMultibase" in words:
        return Kind.VERIFICATION_METHOD
    if "publicKeyPem" in words:
        return Kind.KEY
    if "href" in words:
        return Kind.LINK
    if "actor" in words:
        return Kind.ACTIVITY
    return Kind.OBJECT if words.keys().isdisjoint(_COLLECTION) else Kind.COLLECTION


def owners_of(document: Document) -> tuple[str, ...]:
    """Give the addresses of those whose ``document`` says that it is, each once."""
    member = _OWNER.get(kind_of(document))
    if member is None:
        return ()
    found = (values.reference(item, document) for item in values.many(document.words.get(member)))
    return tuple(dict.fromkeys(owner.uri for owner in found if owner is not None and owner.uri is not None))


def is_owned_by(document: Document, actor: str) -> bool:
    """Whether ``document`` says that it is ``actor``'s and nobody else's, and its id, if it has one, is of the actor's origin.

    Addresses are compared as `same_id` does.
    """
    owners = owners_of(document)
    if len(owners) != 1 or not same_id(owners[0], actor):
        return False
    return document.id is None or same_origin(document.id, actor)


def same_id(one: str, other: str) -> bool:
    """Whether two ids are the same: as they are written, except for the case of scheme and host (FEP-fe34)."""
    return one == other or _comparable(one) == _comparable(other)


def _comparable(address: str) -> str:
    found = _AUTHORITY.match(address)
    return address if found is None else found[0].lower() + address[found.end() :]
