"""Find the kind of a document from its members, and its claimed owner.

New types appear all the time, so trust decisions do not use the type. They use the members of a document (FEP-2277), in
a fixed order, and one of these names the owner (FEP-fe34). All of this is a *claim* of the document. Believe the owner
if the document came from the owner's origin, or has the owner's proof.
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
    """The kind of a document, for ownership."""

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
"""The member that names the owner; a link has no owner."""
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_COLLECTION: Final = ("items", "orderedItems", "totalItems", "partOf", "first", "last", "next", "prev", "current")


def kind_of(document: Document) -> Kind:
    """Return the kind of ``document``, judged by its members (FEP-2277; the order matters)."""
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
    """Return the addresses of the claimed owners of ``document``, without duplicates."""
    member = _OWNER.get(kind_of(document))
    if member is None:
        return ()
    references = (values.reference(item, document) for item in values.many(document.words.get(member)))
    return tuple(dict.fromkeys(owner.uri for owner in references if owner is not None and owner.uri is not None))


def is_owned_by(document: Document, actor: str) -> bool:
    """Return whether ``actor`` is the only claimed owner of ``document``.

    If the document has an id, it must also have the actor's origin. Addresses are compared as by `same_id`.
    """
    owners = owners_of(document)
    if len(owners) != 1 or not same_id(owners[0], actor):
        return False
    return document.id is None or same_origin(document.id, actor)


def same_id(one: str, other: str) -> bool:
    """Return whether two ids are the same: equal, except for the case of scheme and host (FEP-fe34)."""
    return one == other or _comparable(one) == _comparable(other)


def _comparable(address: str) -> str:
    authority = _AUTHORITY.match(address)
    return address if authority is None else authority[0].lower() + address[authority.end() :]
