"""Read the statement that an activity makes about a follow relation.

A statement does not say which of the two actors is ours. `RELATION_EVENTS` and `UNDO_EVENTS` give the role of an
activity's actor in the relation, and the event of the table in `apcore.federation.relations.table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import evolve, frozen

from apcore.federation.relations.table import RelationEvent
from apcore.vocab import (
    Accept,
    Activity,
    Block,
    Document,
    Follow,
    Reference,
    Reject,
    TentativeAccept,
    TentativeReject,
    Undo,
)

__all__ = ["RELATION_EVENTS", "UNDO_EVENTS", "RelationEvents", "Role", "Statement", "read_statement"]


class Role(Enum):
    """The part that the actor of an activity has in a relation."""

    FOLLOWER = "follower"
    FOLLOWED = "followed"


RelationEvents: TypeAlias = tuple[tuple[Role, RelationEvent], ...]

RELATION_EVENTS: Final[Mapping[type[Activity], RelationEvents]] = MappingProxyType(
    {
        Follow: ((Role.FOLLOWER, RelationEvent.FOLLOW),),
        Accept: ((Role.FOLLOWED, RelationEvent.ACCEPT),),
        Reject: ((Role.FOLLOWED, RelationEvent.REJECT),),
        Block: ((Role.FOLLOWED, RelationEvent.BLOCK), (Role.FOLLOWER, RelationEvent.END)),
    }
)
"""The events of each activity, by the role of its actor in the relation."""

UNDO_EVENTS: Final[Mapping[type[Activity], RelationEvents]] = MappingProxyType(
    {
        Follow: ((Role.FOLLOWER, RelationEvent.UNDO_FOLLOW),),
        Accept: ((Role.FOLLOWED, RelationEvent.UNDO_ACCEPT),),
        Reject: ((Role.FOLLOWED, RelationEvent.UNDO_REJECT),),
        Block: ((Role.FOLLOWED, RelationEvent.UNDO_BLOCK),),
    }
)
"""The events of the Undo of each activity."""


@frozen
class Statement:
    """The content of an activity about a relation. Either of the two actors may be ours."""

    events: RelationEvents
    is_undo: bool
    other: str | None = None
    """The other actor; None if the activity names another activity only by its id."""
    named_id: str | None = None
    """The id of the activity that is answered or undone."""
    undone_actor: str | None = None
    """The actor of the activity that is undone, as far as the Undo names one."""
    follow_id: str | None = None
    """The id of the Follow that is made, undone or answered."""
    follow_actor: str | None = None
    """The actor of the Follow or Block; None for an answer."""
    follow_object: str | None = None
    """The object of the Follow that is answered; None for a Follow or Block."""
    is_about_own_follow: bool = False
    """Whether ``other`` is the object of a Follow or Block. If False, it is the actor of a Follow that is answered."""


def read_statement(activity: Activity) -> Statement | None:
    """Read the statement of an activity; None if it makes none about a follow relation."""
    if not activity.document.is_a(Undo):
        return _read_relation_activity(activity, is_undo=False)
    undone = activity.object
    if undone is None:
        return None
    if undone.embedded is None or not undone.embedded.types:
        return Statement((), is_undo=True, named_id=undone.uri)
    undone_activity = Activity.over(undone.embedded)
    statement = _read_relation_activity(undone_activity, is_undo=True)
    if statement is None:
        return None
    return evolve(statement, named_id=undone.uri, undone_actor=_uri_of(undone_activity.actor))


def _read_relation_activity(activity: Activity, *, is_undo: bool) -> Statement | None:
    """Read a Follow, an answer to one, or a Block.

    An answer that names no Follow counts only inside an Undo: the Undo can name the answer by its id.
    """
    document, subject = activity.document, activity.object
    table = UNDO_EVENTS if is_undo else RELATION_EVENTS
    kind = _kind_of(document, table)
    if kind is None:
        return None
    statement = Statement(table[kind], is_undo)
    if issubclass(kind, Follow | Block):
        return evolve(
            statement,
            other=_uri_of(subject),
            follow_id=document.id if kind is Follow else None,
            follow_actor=_uri_of(activity.actor),
            is_about_own_follow=True,
        )
    if subject is None:
        return statement if is_undo else None
    follow = subject.claimed(Follow)
    if follow is None and subject.embedded is not None and subject.embedded.types:
        return None  # The activity answers an Offer, an Invite or a Join.
    follower = None if follow is None else _uri_of(follow.actor)
    if follow is None or follower is None:
        return evolve(statement, named_id=subject.uri)
    return evolve(statement, other=follower, follow_id=subject.uri, follow_object=_uri_of(follow.object))


def _uri_of(reference: Reference | None) -> str | None:
    return None if reference is None else reference.uri


def _kind_of(document: Document, table: Iterable[type[Activity]]) -> type[Activity] | None:
    # A tentative answer does not change the state of the request.
    if document.is_a(TentativeAccept) or document.is_a(TentativeReject):
        return None
    return next((kind for kind in table if document.is_a(kind)), None)
