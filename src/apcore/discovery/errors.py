"""Define the errors of lookups, in addition to those of any fetch."""

from __future__ import annotations

from apcore.errors import DocumentError, Refused

__all__ = ["HandleMismatch", "NoActorLink", "NoUsableDocument", "SubjectMismatch"]


class HandleMismatch(DocumentError):
    """The handle's host and the actor's own server do not name each other, so the handle proves nothing."""

    reason = "handle-mismatch"


class NoActorLink(DocumentError):
    """WebFinger knows the resource, but names no ActivityPub actor for it."""

    reason = "no-actor-link"


class NoUsableDocument(DocumentError):
    """The server offers the document in no version or format that apcore reads."""

    reason = "nothing-usable"


class SubjectMismatch(Refused):
    """A server's description of itself is on another host."""

    reason = "points-elsewhere"
