"""Define the reasons for which a received activity changes nothing."""

from __future__ import annotations

from enum import Enum

__all__ = ["IgnoredReason"]


class IgnoredReason(Enum):
    """The reason why a received activity changes nothing. The log names it."""

    NO_ACTOR = "no-such-actor"
    """The actor of ours that the activity names does not exist."""
    NO_FOLLOW = "no-such-follow"
    """The activity answers a Follow that was never sent, or that was undone."""
    NO_ACTIVITY = "no-such-activity"
    """The actor undoes an activity that is not its own, or that changed nothing here."""
    NO_OBJECT = "no-such-object"
    """Nothing is published at the address of the object, or it was deleted."""
    NOT_VISIBLE = "object-not-visible"
    """The object was published for others than the actor."""
    BLOCKED = "actor-blocked"
    """The author of the object blocks the actor."""
    NOT_OWN = "object-not-own"
    """The object belongs to another actor than that of the activity."""
    NO_OPTION = "no-such-option"
    """The poll has no option of this name."""
    CLOSED = "poll-closed"
    """The time for votes is over."""
    VOTED = "already-voted"
    """The actor has voted in a poll with one choice, or for this option."""
    NO_STAMP = "no-such-stamp"
    """The stamp of a quote cannot be fetched from the author's origin, or names other posts."""
    TOO_MANY = "too-many-reactions"
    """The actor has reacted to the object with as many emoji as it may."""
