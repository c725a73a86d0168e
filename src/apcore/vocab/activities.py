"""Activities: what someone did, or asks for."""

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
    """The root of all activities. Types that nobody here knows are covered if they declare a known one beside their own."""

    actor: SoleRef = SoleRef()
    """Who acts. None if several do: which of them would have to prove it?"""
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
    """The object is accepted: a `Follow`, an invitation, an offer."""


class Add(Activity, ns=AS, type="Add"):
    """The object goes into the collection that is the target."""


class Announce(Activity, ns=AS, type="Announce"):
    """The object is called to attention: a boost, a share; from a group, what happened in it."""


class Arrive(IntransitiveActivity, ns=AS, type="Arrive"):
    """The actor arrived at the location."""


class Create(Activity, ns=AS, type="Create"):
    """The actor made the object."""


class Delete(Activity, ns=AS, type="Delete"):
    """The object is gone."""


class Dislike(Activity, ns=AS, type="Dislike"):
    """The actor does not like the object."""


class Flag(Activity, ns=AS, type="Flag"):
    """The objects are reported to those who run their server."""


class Follow(Activity, ns=AS, type="Follow"):
    """The actor wants to receive what the object does."""


class Join(Activity, ns=AS, type="Join"):
    """The actor joins the object: a group, an event."""


class Leave(Activity, ns=AS, type="Leave"):
    """The actor leaves the object."""


class Like(Activity, ns=AS, type="Like"):
    """The actor likes the object; with `content`, in some servers, a reaction."""


class Listen(Activity, ns=AS, type="Listen"):
    """The actor listened to the object."""


class Move(Activity, ns=AS, type="Move"):
    """The object moved from origin to target: in practice, an account."""


class Offer(Activity, ns=AS, type="Offer"):
    """The actor offers the object."""


class Read(Activity, ns=AS, type="Read"):
    """The actor read the object."""


class Reject(Activity, ns=AS, type="Reject"):
    """The object is turned down; sent later, it takes an `Accept` back."""


class Remove(Activity, ns=AS, type="Remove"):
    """The object is taken out of the collection that is the target."""


class Travel(IntransitiveActivity, ns=AS, type="Travel"):
    """The actor travels to the target."""


class Undo(Activity, ns=AS, type="Undo"):
    """The object, an activity of the same actor, is to have no effect any more."""


class Update(Activity, ns=AS, type="Update"):
    """The object changed, and is given as it is now."""


class Block(Ignore, ns=AS, type="Block"):
    """The actor wants to have nothing to do with the object."""


class Invite(Offer, ns=AS, type="Invite"):
    """The actor invites someone to the object."""


class TentativeAccept(Accept, ns=AS, type="TentativeAccept"):
    """The object is accepted, perhaps."""


class TentativeReject(Reject, ns=AS, type="TentativeReject"):
    """The object is turned down, perhaps."""


class ViewActivity(Activity, ns=AS, type="View"):
    """The actor viewed the object. Called View on the wire."""
