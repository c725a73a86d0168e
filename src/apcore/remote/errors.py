"""What can come of asking for a document: each outcome is a type of its own, since each calls for something else."""

from __future__ import annotations

from apcore.errors import DocumentError, RemoteError, Unavailable

__all__ = ["Forbidden", "Gone", "KeyNotOwned", "NotFound", "PeerFailing", "Rejected", "WrongId", "WrongMediaType"]


class NotFound(RemoteError):
    """404: nothing is there, for now; a server that is being moved answers so too."""

    status_hint = 404
    reason = "not-found"


class Gone(RemoteError):
    """410: deleted for certain, said by its own origin."""

    status_hint = 410
    reason = "gone"


class Forbidden(RemoteError):
    """401, 403 or 451: it is there, and not for us, or not for who we asked as."""

    status_hint = 403
    reason = "forbidden"


class Rejected(RemoteError):
    """Any other answer that is no document: asking again changes nothing."""

    reason = "rejected"


class PeerFailing(Unavailable):
    """429 or 5xx: the peer cannot, now."""

    reason = "peer-failing"


class WrongMediaType(DocumentError):
    """What came is not said to be ActivityPub, so its server never meant it to be believed as such."""

    reason = "wrong-media-type"


class WrongId(DocumentError):
    """The document says that it is another one, or none at all."""

    reason = "wrong-id"


class KeyNotOwned(DocumentError):
    """A key and an actor do not name each other, so the key proves nothing about the actor."""

    status_hint = 401
    reason = "key-not-owned"
