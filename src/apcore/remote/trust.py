"""Decide which claims about documents to trust: the rules of FEP-fe34, as functions over documents, without I/O.

Ids of different origins do not trust each other; ids of one origin do. A document names its owner (`owners`), which
counts if the owner is on the document's own origin. Four decisions build on this:

- whether an embedded document may be trusted with the document around it (`is_embedded_trusted`);
- whether an actor may do what an activity says (`check_change`);
- whether a document may change its owner (`may_change_owner`);
- the owner of a collection that names none (`implied_owner`).

Two rules are applied more leniently than written, because of what servers send. An actor with `attributedTo` is no
error: PeerTube and Lemmy name its moderators there, and the actor still owns itself. Several owners count if all are on
one origin and the caller allows it: PeerTube attributes a video to an account and a channel.
"""

from __future__ import annotations

from typing import Any, Final, cast

from apcore.errors import DocumentError, Refused
from apcore.http import same_origin
from apcore.vocab import (
    Activity,
    Actor,
    Add,
    Delete,
    Document,
    Lock,
    Move,
    Reference,
    Remove,
    Undo,
    Update,
    owners_of,
    same_id,
)

__all__ = [
    "NotAnActivity",
    "OwnerUnclear",
    "check_change",
    "implied_owner",
    "is_embedded_trusted",
    "is_move_confirmed",
    "may_change_owner",
    "owners",
]

_IMPLIED: Final = ("inbox", "outbox", "followers", "following", "liked", "replies", "likes", "shares")

_OWNERS_CHANGES: Final = frozenset({Update, Delete, Lock, Undo})
"""The activities that change their object."""
_COLLECTION_CHANGES: Final = frozenset({Add, Remove})


class NotAnActivity(DocumentError):
    """The document lacks an actor or an object, so it is no activity."""

    status_hint = 400
    reason = "not-an-activity"


class OwnerUnclear(Refused):
    """A document names several owners, or an owner on another origin."""

    reason = "owner-unclear"


def owners(document: Document, *, several: bool = False) -> tuple[str, ...]:
    """Return the owner that ``document`` names, or an empty tuple if it names none (rules 8, 9 and 16).

    An actor owns itself. An activity belongs to its ``actor``, a key to its ``owner``, a verification method to its
    ``controller``, and anything else to its ``attributedTo``. A link has no owner. With ``several``, more than one
    owner may be returned if all are on one origin.

    Raises:
        OwnerUnclear: There are several owners, or one is not on the document's own origin.
    """
    distinct: list[str] = []
    for owner in owners_of(document):
        if not any(same_id(owner, other) for other in distinct):
            distinct.append(owner)
    if len(distinct) > 1 and not (several and all(same_origin(owner, distinct[0]) for owner in distinct)):
        raise OwnerUnclear(f"{document.id} names {len(distinct)} owners: {', '.join(distinct)[:300]}")
    if distinct and document.id is not None and not same_origin(document.id, distinct[0]):
        raise OwnerUnclear(f"{document.id} names the owner {distinct[0]}, which is of another origin")
    return tuple(distinct)


def is_embedded_trusted(embedded: Document, *, wrapper: str | None, owner: str) -> bool:
    """Check whether an embedded document is trusted with the document ``wrapper`` of ``owner`` around it (rule 7).

    It is trusted if it has no id, since then it is part of the wrapper; if its id is a fragment of the wrapper's id; or
    if it has the same origin and the same owner. A document without an owner is not trusted: it could belong to anyone
    on that origin.
    """
    if embedded.id is None or (wrapper is not None and embedded.id.startswith(f"{wrapper}#")):
        return True
    if not same_origin(embedded.id, owner):
        return False
    try:
        return any(same_id(embedded_owner, owner) for embedded_owner in owners(embedded, several=True))
    except OwnerUnclear:
        return False


def check_change(activity: Activity, actor: str) -> None:
    """Check that the authenticated ``actor`` of ``activity`` may make the change that it describes (rule 11).

    Update, Delete and Lock must be for documents of the actor, Undo for its own activities, Add and Remove for its own
    collections. Each object must be on the actor's origin and, if it is embedded and names an owner, belong to the
    actor. An object that is only named has no owner here; the listener checks the stored document. Everything else
    (Like, Follow, Announce) may point anywhere.

    Raises:
        NotAnActivity: An Update, a Delete, a Lock or an Undo has no object.
        Refused: The object does not belong to the actor.
    """
    document = activity.document
    if document.is_one_of(_OWNERS_CHANGES):
        changed_references = activity.objects
        # An activity may be undone without its id: some servers do not store the id, and embed the activity.
        has_nameless = any(reference.uri is None for reference in changed_references)
        if not changed_references or (has_nameless and not document.is_a(Undo)):
            raise NotAnActivity(f"{document.id} names no object that it changes")
    elif document.is_one_of(_COLLECTION_CHANGES):
        changed_references = activity.targets
    else:
        return
    for reference in changed_references:
        _check_owned(reference, actor)


def _check_owned(changed: Reference, actor: str) -> None:
    if changed.uri is not None and not same_origin(changed.uri, actor):
        raise Refused(f"{actor} changes {changed.uri}, which is of another origin")
    embedded_owners = () if changed.embedded is None else owners(changed.embedded, several=True)
    if embedded_owners and not any(same_id(owner, actor) for owner in embedded_owners):
        raise Refused(f"{actor} changes {changed.uri or 'a document'}, which is of {embedded_owners[0]}")


def may_change_owner(before: str, after: str) -> bool:
    """Check whether a document may pass from owner ``before`` to ``after``: only within one origin (rule 14)."""
    return same_origin(before, after)


def is_move_confirmed(move: Move, target: Document) -> bool:
    """Check whether the target of a Move, loaded from its own id, names the old actor as an alias (rule 13, FEP-7628).

    An actor can only move itself.
    """
    if move.actor is None or move.actor.uri is None or move.object is None or move.object.uri is None:
        return False
    moved = move.actor.uri
    if move.target is None or move.target.uri is None or target.id is None:
        return False
    return (
        same_id(move.object.uri, moved)
        and same_id(move.target.uri, target.id)
        and any(same_id(alias, moved) for alias in Actor.over(target).also_known_as)
    )


def implied_owner(uri: str, holder: Document) -> str | None:
    """Return the implied owner of a collection at ``uri`` that names none (rule 17).

    That is the owner of ``holder``, if it names the collection as its inbox, outbox, replies, or the like. For a page,
    pass the address of its collection. Return None if the holder does not name it, or is of another origin.
    """
    if holder.id is None or not same_origin(uri, holder.id):
        return None
    for name in _IMPLIED:
        value: Any = holder.words.get(name)
        address: Any = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) else value
        if isinstance(address, str) and same_id(address, uri):
            holder_owners = owners_of(holder)
            return holder_owners[0] if len(holder_owners) == 1 and same_origin(holder_owners[0], holder.id) else None
    return None
