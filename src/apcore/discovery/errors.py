"""What can come of looking somebody up, beyond what can come of any fetch."""

from __future__ import annotations

from apcore.errors import DocumentError, Refused

__all__ = ["HandleMismatch", "NoActorLink", "NoUsableDocument", "SubjectMismatch"]


class HandleMismatch(DocumentError):
    """The handle's host and the actor's own server do not say the same of each other, so the handle proves nothing."""

    reason = "handle-mismatch"


class NoActorLink(DocumentError):
    """WebFinger knows the resource, and names no ActivityPub actor for it."""

    reason = "no-actor-link"


class NoUsableDocument(DocumentError):
    """The server offers the kind of document that was asked for, in no form that we read."""

    reason = "nothing-usable"


class SubjectMismatch(Refused):
    """A server points to another host for what it has to say of itself."""

    reason = "points-elsewhere"
