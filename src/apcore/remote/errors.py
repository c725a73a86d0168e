"""Define the errors of fetching a document: one type for each outcome that calls for its own reaction."""

from __future__ import annotations

from apcore.errors import DocumentError, RemoteError, Unavailable

__all__ = ["Forbidden", "Gone", "KeyNotOwned", "NotFound", "PeerFailing", "Rejected", "WrongId", "WrongMediaType"]


class _MayChange(RemoteError):
    """An answer that may be another one later."""

    retry_after_s: float | None = None
    """Seconds before which the origin is not asked again, if the error is remembered (`load_unless_failed`)."""


class NotFound(_MayChange):
    """404: nothing is there for now. A server that is being moved answers 404 as well."""

    status_hint = 404
    reason = "document-not-found"


class Gone(RemoteError):
    """410 from the origin that was asked: the document is deleted for good."""

    status_hint = 410
    reason = "document-gone"


class Forbidden(_MayChange):
    """401, 403 or 451: the document exists, but not for us, or not for the identity that signed the request."""

    status_hint = 403
    reason = "document-forbidden"


class Rejected(RemoteError):
    """Any other status than 200: asking again changes nothing."""

    reason = "rejected"


class PeerFailing(Unavailable):
    """429 or 5xx: the peer cannot answer now."""

    reason = "peer-failing"


class WrongMediaType(DocumentError):
    """The response is not labelled as ActivityPub, so its server never meant it to be trusted as such."""

    reason = "wrong-media-type"


class WrongId(DocumentError):
    """The document names another id than expected, or none."""

    reason = "wrong-id"


class KeyNotOwned(DocumentError):
    """The key and the actor do not name each other, so the key proves nothing about the actor."""

    status_hint = 401
    reason = "key-not-owned"
