"""Recognise ids that an actor uses again, after the activity that had the id was undone.

Some servers derive the id of an activity from its actor and object. If a person likes, unlikes and likes a post again,
the second Like and the second Undo have the ids of the first ones. They are new activities all the same.

- About a relation (a Follow, its Accept, an Undo of either), the relation decides: it knows the requests and answers
  that are in force.
- About anything else, the order of arrival decides. An Undo leaves a mark with its time at the id that it undoes. An
  activity whose claim is older than the mark was undone since. An Undo whose claim is older than the claim of its
  object has something to undo again.

Only a new signature of the actor's own request makes a difference: a proof within a document can be sent again by
others. So `apcore.federation.inbox.claims` asks this module only about such requests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from apcore.effects import Get, Op, Scan
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.records import (
    CLAIMS,
    UNDONE_ACTIVITIES,
    ClaimKey,
    ClaimRecord,
    UndoneActivityKey,
)
from apcore.federation.relations.changes import is_late_answer
from apcore.federation.relations.stored import Relation, read_relation
from apcore.federation.relations.table import RelationEvent, RelationState
from apcore.federation.relations.updates import received_updates
from apcore.federation.site import Site
from apcore.federation.write_notes import RelationUpdate

__all__ = ["CLAIMS_SCANNED_MAX", "is_reused"]

CLAIMS_SCANNED_MAX: Final = 20
"""The most inboxes in which the activity is looked for that a repeated Undo undoes."""


def is_reused(site: Site, authenticated: Authenticated, recipient: str | None, earlier: ClaimRecord) -> Op[bool]:
    """Return whether an activity is new although it has the id of an ``earlier`` one, which was processed.

    Effects: for an activity about a relation, up to four `Get`s; for others, one `Get`, or one `Scan` for an Undo.
    """
    answer = yield from _answer_of_relations(site, authenticated, recipient)
    if answer is not None:
        return answer
    # An earlier release wrote no time. Its claim is older than all times that this one has written.
    since = earlier.received or datetime.min.replace(tzinfo=UTC)
    object_id = authenticated.proved.undone_id
    if object_id is None:
        undone = yield from _undone_at(site, authenticated)
        return undone is not None and undone > since
    object_key = ClaimKey.of(authenticated.actor, object_id, site.origin, None)
    entries = yield from Scan(CLAIMS.at(*object_key[:-1]), limit=CLAIMS_SCANNED_MAX)
    times = [CLAIMS.decode(entry.value).received for entry in entries]
    return any(received is not None and received > since for received in times)


def _undone_at(site: Site, authenticated: Authenticated) -> Op[datetime | None]:
    key = UndoneActivityKey.of(authenticated.actor, authenticated.id, site.origin)
    [entry] = yield from Get((UNDONE_ACTIVITIES.key(key),))
    return None if entry is None else UNDONE_ACTIVITIES.decode(entry.value).undone


# --- relations ------------------------------------------------------------------------------------------------------

_REUSABLE: Final = frozenset({RelationEvent.FOLLOW, RelationEvent.UNDO_FOLLOW, RelationEvent.ACCEPT})


def _answer_of_relations(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool | None]:
    """Return whether a relation shows that an activity about it is new; None if it is about no relation."""
    routes, us = site.federation.places, None if recipient is None else site.actor_uri(recipient)
    activity = authenticated.activity
    updates = yield from received_updates(routes, site.origin, activity, actor=authenticated.actor, recipient=us)
    object_uri = None if activity.object is None else activity.object.uri
    answer: bool | None = None
    for update in updates:
        if update.event not in _REUSABLE:
            continue
        if object_uri is None and update.event is RelationEvent.UNDO_FOLLOW:
            # The relation cannot tell which Follow is undone: it had no id. The order of arrival decides.
            continue
        relation = yield from read_relation(routes, update.direction, update.us, update.them)
        if relation is not None and _counts_anew(relation, update, object_uri):
            return True
        answer = False
    return answer


def _counts_anew(relation: Relation, update: RelationUpdate, object_uri: str | None) -> bool:
    """Return whether the relation shows that an activity with a used id is new, and not a late repetition.

    A Follow is new after its Undo. An Undo or an Accept is new if it names a Follow of the present relation, and an
    Accept only while that Follow waits.
    """
    if update.event is RelationEvent.FOLLOW:
        return relation.state is RelationState.NONE
    if object_uri not in relation.follow_ids:
        return False
    return update.event is RelationEvent.UNDO_FOLLOW or (
        relation.state is RelationState.PENDING and not is_late_answer(relation, update)
    )
