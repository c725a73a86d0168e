"""Define the activities: descriptions of an action, or requests for one."""

from __future__ import annotations

from apcore.vocab.namespaces import AS
from apcore.vocab.objects import Object
from apcore.vocab.relations import Ref, Refs, SoleRef

__all__ = [
    "Accept",
    "Activity",
    "Add",
    "Announce",
    "Arrive",
    "Block",
    "Create",
    "Delete",
    "Dislike",
    "Flag",
    "Follow",
    "Ignore",
    "IntransitiveActivity",
    "Invite",
    "Join",
    "Leave",
    "Like",
    "Listen",
    "Move",
    "Offer",
    "Read",
    "Reject",
    "Remove",
    "TentativeAccept",
    "TentativeReject",
    "Travel",
    "Undo",
    "Update",
    "ViewActivity",
]


class Activity(Object, ns=AS, type="Activity"):
    """The base class of all activities.

    It also covers an activity of an unknown type if that activity declares a known type too.
    """

    actor: SoleRef = SoleRef()
    """The actor of the activity. None if there are several, because the owner would be ambiguous."""
    actors: Refs = Refs("actor")
    object: Ref = Ref()
    objects: Refs = Refs("object")
    target: Ref = Ref()
    targets: Refs = Refs("target")
    result: Ref = Ref()
    origin: Ref = Ref()
    instrument: Ref = Ref()


class IntransitiveActivity(Activity, ns=AS, type="IntransitiveActivity"):
    """An activity without an object."""


class Ignore(Activity, ns=AS, type="Ignore"):
    """The actor ignores the object."""


class Accept(Activity, ns=AS, type="Accept"):
    """The actor accepts the object: a `Follow`, an invitation, an offer."""


class Add(Activity, ns=AS, type="Add"):
    """The actor adds the object to the target collection."""


class Announce(Activity, ns=AS, type="Announce"):
    """The actor calls attention to the object: a boost, a share. A group announces the activities inside it."""


class Arrive(IntransitiveActivity, ns=AS, type="Arrive"):
    """The actor arrived at the location."""


class Create(Activity, ns=AS, type="Create"):
    """The actor made the object."""


class Delete(Activity, ns=AS, type="Delete"):
    """The actor deleted the object."""


class Dislike(Activity, ns=AS, type="Dislike"):
    """The actor does not like the object."""


class Flag(Activity, ns=AS, type="Flag"):
    """The actor reports the objects to the people who run their server."""


class Follow(Activity, ns=AS, type="Follow"):
    """The actor wants to receive the activities of the object."""


class Join(Activity, ns=AS, type="Join"):
    """The actor joins the object: a group, an event."""


class Leave(Activity, ns=AS, type="Leave"):
    """The actor leaves the object."""


class Like(Activity, ns=AS, type="Like"):
    """The actor likes the object. On some servers, `content` makes it a reaction."""


class Listen(Activity, ns=AS, type="Listen"):
    """The actor listened to the object."""


class Move(Activity, ns=AS, type="Move"):
    """The object moved from origin to target. In practice, the object is an account."""


class Offer(Activity, ns=AS, type="Offer"):
    """The actor offers the object."""


class Read(Activity, ns=AS, type="Read"):
    """The actor read the object."""


class Reject(Activity, ns=AS, type="Reject"):
    """The actor rejects the object. After an `Accept`, it withdraws the acceptance."""


class Remove(Activity, ns=AS, type="Remove"):
    """The actor removes the object from the target collection."""


class Travel(IntransitiveActivity, ns=AS, type="Travel"):
    """The actor travels to the target."""


class Undo(Activity, ns=AS, type="Undo"):
    """The actor undoes the object, which is an earlier activity of the same actor."""


class Update(Activity, ns=AS, type="Update"):
    """The actor changed the object, which is in its new state."""


class Block(Ignore, ns=AS, type="Block"):
    """The actor wants no contact with the object."""


class Invite(Offer, ns=AS, type="Invite"):
    """The actor invites someone to the object."""


class TentativeAccept(Accept, ns=AS, type="TentativeAccept"):
    """The actor accepts the object tentatively."""


class TentativeReject(Reject, ns=AS, type="TentativeReject"):
    """The actor rejects the object tentatively."""


class ViewActivity(Activity, ns=AS, type="View"):
    """The actor viewed the object. Its type on the wire is View."""
