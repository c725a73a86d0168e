"""Whom to believe about what: the rules of FEP-fe34 as functions over documents, which ask nobody.

Ids of different origins are hostile to each other; whatever is of one origin trusts itself. A document says whose it is (`owners`), and that
counts if its owner is of its own origin. On this, four questions are answered here: whether something embedded may be believed with what it
came in (`is_embedded_trusted`), whether an actor may do what an activity says (`check_change`), whether a thing may have changed hands
(`may_change_owner`), and what belongs to somebody without saying so (`implied_owner`).

Two rules are read with more patience than they are written, because of what servers send. An actor with `attributedTo` is no error: PeerTube
and Lemmy name there who is in charge; the actor is its own owner all the same. And several owners count where they are all of one origin and the
caller asks for it: PeerTube attributes a video to an account and a channel.
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


class NotAnActivity(DocumentError):
    """It is no activity that somebody in particular has done to something in particular."""

    status_hint = 400
    reason = "not-an-activity"


class OwnerUnclear(Refused):
    """A document says that it is several actors', or somebody's on another origin."""

    reason = "owner-unclear"


def owners(document: Document, *, several: bool = False) -> tuple[str, ...]:
    """Give whose ``document`` says that it is: one actor, or nobody (rules 8, 9 and 16).

    By what it is: an actor is its own, an activity its ``actor``'s, a key its ``owner``'s, a verification method its ``controller``'s, anything
    else its ``attributedTo``'s; a link is nobody's. With ``several``, more than one count if they are of one origin.

    Raises:
        OwnerUnclear: There are more, or one is not of the document's own origin.
    """
    found: list[str] = []
    for owner in owners_of(document):
        if not any(same_id(owner, other) for other in found):
            found.append(owner)
    if len(found) > 1 and not (several and all(same_origin(owner, found[0]) for owner in found)):
        raise OwnerUnclear(f"{document.id} says that it is of {len(found)} owners: {', '.join(found)[:300]}")
    if found and document.id is not None and not same_origin(document.id, found[0]):
        raise OwnerUnclear(f"{document.id} says that it is of {found[0]}, which is of another origin")
    return tuple(found)


def is_embedded_trusted(embedded: Document, *, wrapper: str | None, owner: str) -> bool:
    """Whether something embedded is to be believed with the document ``wrapper``, of ``owner``, that it came in (rule 7).

    That is: it has no id, so it is part of the wrapper; or its id is a fragment of the wrapper's; or it is of the same origin and the same
    owner. What does not say whose it is may be anybody's of that origin, so it is not.
    """
    if embedded.id is None or (wrapper is not None and embedded.id.startswith(f"{wrapper}#")):
        return True
    if not same_origin(embedded.id, owner):
        return False
    try:
        return any(same_id(each, owner) for each in owners(embedded, several=True))
    except OwnerUnclear:
        return False


def check_change(activity: Activity, actor: str) -> None:
    """Hold an activity, of which ``actor`` is proved to be the actor, against whose it is to do that (rule 11).

    Update and Delete are for what the actor owns, Undo for what it has done, Add and Remove for collections of its own: of its own origin, and
    its own where it says whose it is. What is only named says nothing; what is kept of it decides there, and that is the listener's to know.
    Of several, each has to be. Everything else (Like, Follow, Announce) may point anywhere.

    Raises:
        NotAnActivity: An Update, a Delete or an Undo of nothing.
        Refused: It is for others to do that.
    """
    document = activity.document
    if document.is_a(Update) or document.is_a(Delete) or document.is_a(Undo):
        changed = activity.objects
        # An activity need not have an id to be undone: some have lost track of it, and embed what it was.
        if not changed or (any(each.uri is None for each in changed) and not document.is_a(Undo)):
            raise NotAnActivity(f"{document.id} changes nothing in particular")
    elif document.is_a(Add) or document.is_a(Remove):
        changed = activity.targets
    else:
        return
    for each in changed:
        _check_owned(each, actor)


def _check_owned(changed: Reference, actor: str) -> None:
    if changed.uri is not None and not same_origin(changed.uri, actor):
        raise Refused(f"{actor} changes {changed.uri}, which is of another origin")
    said = () if changed.embedded is None else owners(changed.embedded, several=True)
    if said and not any(same_id(owner, actor) for owner in said):
        raise Refused(f"{actor} changes {changed.uri or 'something'}, which is of {said[0]}")


def may_change_owner(before: str, after: str) -> bool:
    """Whether a thing of ``before`` may be one of ``after`` from now on: within an origin, and never across (rule 14)."""
    return same_origin(before, after)


def is_move_confirmed(move: Move, target: Document) -> bool:
    """Whether the account that somebody moves to, as loaded from its own id, says that it is the same one's (rule 13, FEP-7628).

    The actor moves itself, and nobody else.
    """
    if move.actor is None or move.actor.uri is None or move.object is None or move.object.uri is None:
        return False
    moved = move.actor.uri
    if move.target is None or move.target.uri is None or target.id is None:
        return False
    return (
        same_id(move.object.uri, moved)
        and same_id(move.target.uri, target.id)
        and any(same_id(known, moved) for known in Actor.over(target).also_known_as)
    )


def implied_owner(uri: str, holder: Document) -> str | None:
    """Tell whose a collection at ``uri`` is that does not say so: its holder's, if that names it as its inbox, outbox, replies, ... (rule 17).

    A page is its collection's; ask for that one's address. None if the holder does not name it, or is of another origin.
    """
    if holder.id is None or not same_origin(uri, holder.id):
        return None
    for name in _IMPLIED:
        named: Any = holder.words.get(name)
        address: Any = cast("dict[str, Any]", named).get("id") if isinstance(named, dict) else named
        if isinstance(address, str) and same_id(address, uri):
            said = owners_of(holder)
            return said[0] if len(said) == 1 and same_origin(said[0], holder.id) else None
    return None
