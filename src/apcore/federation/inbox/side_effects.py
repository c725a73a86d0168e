"""Apply side effects: the changes that apcore makes by itself because of a received activity.

`SIDE_EFFECTS` is the table, with a row for each type of activity. A side effect runs in the worker, before the
application's listener. It notes writes, which join the commit that marks the activity as done. Only the deletion of an
actor commits earlier, step by step, since there may be thousands of relations to end.

A sent activity changes the same relations, by the same table (`apcore.federation.relations`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen

from apcore.effects import Call, Now, Op, commit_batch
from apcore.errors import RemoteError, RequestError, StoreBusy
from apcore.federation.actors.keys import existing_identity
from apcore.federation.actors.profiles import inboxes_of, require_actor
from apcore.federation.context import UnitContexts
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.policies import FollowVerdict
from apcore.federation.relations.records import DELETED_ACTORS, ActorKey
from apcore.federation.relations.stored import read_relation, relations_of, remember_deleted_actor
from apcore.federation.relations.table import Direction, RelationAction, RelationEvent, transition
from apcore.federation.relations.updates import received_updates
from apcore.federation.routes import Registered
from apcore.federation.site import Site
from apcore.federation.unit_of_work import RelationUpdate, SendActivity, UnitOfWork, WriteEntry
from apcore.federation.unit_setup import unit_of_work_for
from apcore.ports import StoreKey
from apcore.remote import cached_owners, changed_document
from apcore.vocab import (
    Accept,
    Activity,
    Block,
    Delete,
    Document,
    Follow,
    Reject,
    TentativeAccept,
    TentativeReject,
    Undo,
    Update,
    same_id,
)

__all__ = ["MANAGED", "SIDE_EFFECTS", "SideEffect", "apply_side_effects"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_LOOK_UP_S: Final = 30.0
"""The time limit for looking up the inbox of a follower: a third of the lease of the message."""
_RELATIONS_A_COMMIT: Final = 10
"""Relations that one commit ends. Each takes up to seven of the hundred entries that a commit can hold."""
_COMMITS_MAX: Final = 200
"""Commits that end the relations of one deleted actor.

Relations beyond 2,000 are not ended one by one. The actor is remembered as gone, and nothing is delivered to it."""
_CHANGED_MAX: Final = 20
"""Objects of one Update or Delete whose cached copies are dropped."""
_LOG: Final = logging.getLogger(__name__)


@frozen
class _Received:
    """An activity with a proved actor, and the site and unit of work that process it."""

    site: Site
    scope: UnitOfWork[Any]
    activity: Activity
    actor: str

    @property
    def document(self) -> Document:
        return self.activity.document


SideEffect: TypeAlias = Callable[[_Received], Op[None]]


def apply_side_effects(site: Site, scope: UnitOfWork[Any], activity: Activity) -> Op[None]:
    """Note the changes that follow from an activity with a proved actor.

    Effects: for a Follow, the policy, the actor's handler and the follower's document (see `load`); for a Delete of its
    own actor, one commit for each ten relations with it; for others, up to three `Get`s.
    """
    actor = activity.actor
    if actor is None or actor.uri is None or activity.object is None:
        return
    side_effect = _side_effect_of(activity.document)
    if side_effect is not None:
        yield from side_effect(_Received(site, scope, activity, actor.uri))


def _side_effect_of(document: Document) -> SideEffect | None:
    return next((effect for kind, effect in SIDE_EFFECTS if document.is_a(kind)), None)


# --- relations ------------------------------------------------------------------------------------------------------


def _change_relations(received: _Received) -> Op[None]:
    """Apply an Accept, a Reject, a Block or an Undo to the relations of its actor with our actors."""
    updates = yield from _updates_of(received)
    received.scope.notes.extend(updates)


def _updates_of(received: _Received) -> Op[list[RelationUpdate]]:
    site, recipient = received.site, received.scope.recipient
    return (
        yield from received_updates(
            site.federation.places,
            site.origin,
            received.activity,
            actor=received.actor,
            recipient=None if recipient is None else site.actor_uri(recipient),
        )
    )


def _answer_follow(received: _Received) -> Op[None]:
    """Store a request to follow one of our actors, and answer it according to the policy."""
    site, scope, follower = received.site, received.scope, received.actor
    follow = received.document.view(Follow)
    for update in (yield from _updates_of(received)):
        identifier = site.identifier_of(update.us)
        if identifier is None:
            continue
        try:
            _ = yield from require_actor(site, identifier)
        except RemoteError:
            continue
        verdict = yield from _verdict(site, scope, follow, update)
        if verdict is FollowVerdict.REJECT:
            scope.notes.append(update)
        else:
            inboxes = yield from inboxes_of(site, follower, within_s=_LOOK_UP_S)
            item = json.dumps({"inbox": inboxes.inbox, "shared": inboxes.shared}).encode()
            scope.notes += [evolve(update, item=item), WriteEntry(DELETED_ACTORS.delete(ActorKey.of(follower)))]
        if verdict is not FollowVerdict.PENDING:
            _ = scope.address(SendActivity(_answer(received, follow, verdict), identifier, (follower,)))


def _verdict(site: Site, scope: UnitOfWork[Any], follow: Follow, update: RelationUpdate) -> Op[FollowVerdict]:
    relation = yield from read_relation(site.federation.places, update.direction, update.us, update.them)
    actions = () if relation is None else transition(relation.state, RelationEvent.FOLLOW).actions
    if RelationAction.REFUSE in actions:
        return FollowVerdict.REJECT
    policy = site.federation.follow_verdict
    verdict = policy
    if isinstance(policy, Registered):
        answer = yield from Call(policy.fn, follow, contexts_for=UnitContexts(scope))
        verdict = FollowVerdict(answer)
    assert isinstance(verdict, FollowVerdict)
    is_follower = RelationAction.CONFIRM in actions
    return FollowVerdict.ACCEPT if is_follower and verdict is FollowVerdict.PENDING else verdict


def _answer(received: _Received, follow: Follow, verdict: FollowVerdict) -> Document:
    # The answer embeds the request with its original id, because some servers recognise the request by that id alone.
    # It is rewritten under our own context. Under the requester's context, our signed text could mean anything, for
    # instance a Delete.
    request = {
        "id": received.document.id,
        "type": "Follow",
        "actor": received.actor,
        "object": follow.object and follow.object.uri,
    }
    kind = "Accept" if verdict is FollowVerdict.ACCEPT else "Reject"
    answer: dict[str, Any] = {"@context": _AS2, "type": kind, "object": request}
    return Document(answer, answer)


# --- changed and deleted objects --------------------------------------------------------------------------------------


def _drop_copies(received: _Received) -> Op[None]:
    """Invalidate the cached copies of the activity's objects."""
    site, actor = received.site, received.actor
    now = yield from Now()
    identity = yield from existing_identity(site)
    uris = dict.fromkeys(reference.uri for reference in received.activity.objects if reference.uri is not None)
    for uri in tuple(uris)[:_CHANGED_MAX]:
        try:
            owners = yield from cached_owners(uri, identity=identity)
            # `check_change` has checked the owner that the activity itself names. The owner in a copy from the object's
            # origin is better evidence, so it decides here.
            if owners and not any(same_id(owner, actor) for owner in owners):
                _LOG.info(
                    "%s cannot change %.200s, which belongs to %.200s: the cached copy stays", actor, uri, owners[0]
                )
                continue
            received.scope.notes.append(WriteEntry(changed_document(uri, now)))
        except RequestError:
            continue  # An id that is no address was never fetched, so there is no copy.


def _forget_deleted(received: _Received) -> Op[None]:
    """Drop the copies of a deleted object, and end all relations with an actor that deletes itself."""
    yield from _drop_copies(received)
    object_uris = (reference.uri for reference in received.activity.objects)
    if not any(uri is not None and same_id(uri, received.actor) for uri in object_uris):
        return
    received.scope.notes.append(WriteEntry(remember_deleted_actor(received.actor)))
    after: StoreKey | None = None
    for _ in range(_COMMITS_MAX):
        updates, after = yield from relations_of(received.actor, after=after, limit=_RELATIONS_A_COMMIT)
        yield from _end_relations(received.site, updates)
        if after is None:
            break
    # A relation in the format of an earlier release has no key under the other actor. It is reached only through the
    # actor whose inbox received the Delete.
    recipient = received.scope.recipient
    if recipient is not None:
        us = received.site.actor_uri(recipient)
        received.scope.notes += [
            RelationUpdate(direction, us, received.actor, RelationEvent.END) for direction in Direction
        ]


def _end_relations(site: Site, updates: list[RelationUpdate]) -> Op[None]:
    """Commit the end of a few relations. Try up to five times if one of them changes meanwhile."""
    for _ in range(5):
        scope = unit_of_work_for(site)
        scope.notes.extend(updates)
        batch = yield from flush(site, scope)
        if not batch.writes:
            return
        if (yield from commit_batch(batch)) is not False:
            return
    raise StoreBusy("relations with a deleted actor changed during each of 5 commits that end them: try again later")


SIDE_EFFECTS: Final[tuple[tuple[type[Activity], SideEffect | None], ...]] = (
    (TentativeAccept, None),
    (TentativeReject, None),
    (Follow, _answer_follow),
    (Accept, _change_relations),
    (Reject, _change_relations),
    (Block, _change_relations),
    (Undo, _change_relations),
    (Update, _drop_copies),
    (Delete, _forget_deleted),
)
"""The side effect of each type of activity. The first matching row counts; None means no side effect."""

MANAGED: Final[tuple[type[Activity], ...]] = tuple(kind for kind, effect in SIDE_EFFECTS if effect is not None)
"""The types of activity that have a side effect, with or without a listener."""
