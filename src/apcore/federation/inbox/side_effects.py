"""Apply side effects: the changes that apcore makes by itself because of a received activity.

`apcore.federation.side_effect_rules` has the table. `OPERATIONS` has the operation of each row that changes something.
A side effect runs in the worker, before the application's listener. It notes writes, which join the commit that marks
the activity as processed. There is one exception: an actor that changes its inbox, moves, or deletes itself, may
have thousands of relations. These are changed in earlier commits, a few in each.

An activity that may not change what it names changes nothing, and the log says why. A sent activity changes relations
by the same table (`apcore.federation.relations`), and collections by `apcore.federation.interactions.sent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from apcore.effects import Call, Op
from apcore.federation.context import UnitContexts
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.inbox.changed_objects import change_collection, forget_deleted, refresh_changed
from apcore.federation.inbox.delivered_copies import bury_undone, keep_delivered
from apcore.federation.inbox.follow_requests import answer_follow
from apcore.federation.inbox.interactions import (
    count_vote,
    record_interactions,
    refresh_reply,
    take_back_interaction,
)
from apcore.federation.inbox.moved_actors import follow_moved
from apcore.federation.inbox.permissions import is_permitted
from apcore.federation.inbox.quotes import answer_quote_request, store_stamp, withdraw_stamp
from apcore.federation.inbox.received_activity import Received, relation_updates
from apcore.federation.inbox.routing import route_relayed
from apcore.federation.relations.changes import is_late_answer
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import RelationState
from apcore.federation.relays import adopt_relay
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.vocab import Activity, Follow

__all__ = ["OPERATIONS", "SideEffect", "apply_side_effects"]

SideEffect: TypeAlias = Callable[[Received], Op[None]]


def apply_side_effects(site: Site, scope: UnitOfWork[Any], activity: Activity) -> Op[None]:
    """Note the changes that follow from an activity with a proved actor.

    Effects: for a change of another actor's object, those of `is_permitted`; for objects of the actor, those of
    `keep_delivered`; for a row that the application has
    replaced, its handler; for a Follow, the policy, the actor's handler and the follower's document (see `load`); for
    an Update, Delete, Add or Remove, `Now`, the instance actor's keys, and one `Get` for each of up to 20 objects; for
    an actor that updates or deletes itself, also one commit for each ten relations with it; for a Move, the target's
    document, and one commit for each follower of ours; for a Like, an Announce or a reply, up to seven `Get`s for each
    object; for an Announce, also those of `route_relayed`; for others, up to six `Get`s.

    Raises:
        Drop: The actor may not change what belongs to another one, the target of a Move does not confirm it, or what a
            relay announces is refused.
    """
    permitted = scope.actor is not None and (yield from is_permitted(site, scope, activity, scope.actor))
    if scope.actor is not None and not permitted:
        yield from keep_delivered(Received(site, scope, activity, scope.actor))
    choice = site.federation.side_effect_for(activity.document)
    if choice is None:
        return
    if choice.replacement is not None:
        view = choice.rule.activity.over(activity.document)
        _ = yield from Call(choice.replacement.fn, view, contexts_for=UnitContexts(scope))
        return
    if scope.actor is None:
        return
    received = Received(site, scope, activity, scope.actor, is_permitted=permitted)
    if activity.object is None:
        received.log_ignored(IgnoredReason.NO_OBJECT, None)
        return
    yield from OPERATIONS[choice.rule.name](received)


def _answer(received: Received) -> Op[None]:
    """Apply an Accept or a Reject of a Follow to the relation of our actor with the actor that answers."""
    adopted = yield from adopt_relay(received.scope, received.activity, received.actor)
    if adopted:
        received.scope.notes.extend(adopted)
        return
    updates = yield from relation_updates(received)
    if not updates and _names_follow(received.activity):
        received.log_ignored(IgnoredReason.NO_FOLLOW, _object_id(received))
    for update in updates:
        relation = yield from read_relation(received.site.federation.places, update.direction, update.us, update.them)
        if relation is None or relation.state is RelationState.NONE or is_late_answer(relation, update):
            received.log_ignored(IgnoredReason.NO_FOLLOW, update.follow_id or _object_id(received))
    received.scope.notes.extend(updates)


def _block(received: Received) -> Op[None]:
    """Apply a Block to the relations of its actor with our actor."""
    updates = yield from relation_updates(received)
    if not updates:
        received.log_ignored(IgnoredReason.NO_ACTOR, _object_id(received))
    received.scope.notes.extend(updates)


def _undo(received: Received) -> Op[None]:
    """Apply an Undo to the relations of its actor with ours, or take an interaction back that it names by its id."""
    yield from bury_undone(received)
    updates = yield from relation_updates(received)
    received.scope.notes.extend(updates)
    if not updates:
        yield from _take_back(received)


def _undo_interaction(received: Received) -> Op[None]:
    """Withdraw a Like or an Announce, and bury the copy of the activity."""
    yield from bury_undone(received)
    yield from _take_back(received)


def _take_back(received: Received) -> Op[None]:
    """Withdraw a Like or an Announce."""
    if not (yield from take_back_interaction(received)):
        received.log_ignored(IgnoredReason.NO_ACTIVITY, _object_id(received))


def _update(received: Received) -> Op[None]:
    yield from refresh_changed(received)
    yield from refresh_reply(received)


def _delete(received: Received) -> Op[None]:
    yield from forget_deleted(received)
    _ = yield from take_back_interaction(received)
    yield from withdraw_stamp(received)


def _announce(received: Received) -> Op[None]:
    """Process what a relay announces; record the Announce of any other actor."""
    yield from route_relayed(received)
    if not received.scope.is_replaced:
        yield from record_interactions(received)


def _names_follow(activity: Activity) -> bool:
    """Return whether an answer may be one to a Follow: it names a Follow, or an activity by its id alone."""
    subject = activity.object
    return subject is not None and (
        subject.embedded is None or not subject.embedded.types or subject.embedded.is_a(Follow)
    )


def _object_id(received: Received) -> str | None:
    return None if received.activity.object is None else received.activity.object.uri


OPERATIONS: Final[Mapping[str, SideEffect]] = MappingProxyType(
    {
        "follow": answer_follow,
        "accept-quote": store_stamp,
        "accept": _answer,
        "reject": _answer,
        "block": _block,
        "undo-like": _undo_interaction,
        "undo-announce": _undo_interaction,
        "undo-emoji-react": _undo_interaction,
        "undo": _undo,
        "update": _update,
        "delete": _delete,
        "undo-add": change_collection,
        "undo-remove": change_collection,
        "add": change_collection,
        "remove": change_collection,
        "move": follow_moved,
        "quote-request": answer_quote_request,
        "vote": count_vote,
        "create": record_interactions,
        "emoji-react": record_interactions,
        "like": record_interactions,
        "announce": _announce,
    }
)
"""The operation of each row of the table that changes something, by the row's name."""
