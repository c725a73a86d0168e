"""Apply side effects: the changes that apcore makes by itself because of a received activity.

`apcore.federation.side_effect_rules` has the table. `OPERATIONS` has the operation of each row that changes something.
A side effect runs in the worker, before the application's listener. It notes writes, which join the commit that marks
the activity as processed. There is one exception: an actor that changes its inbox, moves, or deletes itself, may
have thousands of relations. These are changed in earlier commits, a few in each.

A sent activity changes the same relations, by the same table (`apcore.federation.relations`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from apcore.effects import Call, Op
from apcore.federation.context import UnitContexts
from apcore.federation.inbox.changed_objects import drop_target_copies, forget_deleted, refresh_changed
from apcore.federation.inbox.follow_requests import answer_follow
from apcore.federation.inbox.moved_actors import follow_moved
from apcore.federation.inbox.received_activity import Received, relation_updates
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.vocab import Activity

__all__ = ["OPERATIONS", "SideEffect", "apply_side_effects"]

SideEffect: TypeAlias = Callable[[Received], Op[None]]


def apply_side_effects(site: Site, scope: UnitOfWork[Any], activity: Activity) -> Op[None]:
    """Note the changes that follow from an activity with a proved actor.

    Effects: for a row that the application has replaced, its handler; for a Follow, the policy, the actor's handler and
    the follower's document (see `load`); for an Update, Delete, Add or Remove, `Now`, the instance actor's keys, and
    one `Get` for each of up to 20 objects; for an actor that updates or deletes itself, also one commit for each ten
    relations with it; for a Move, the target's document, and one commit for each follower of ours; for others, up to
    three `Get`s.

    Raises:
        Drop: The target of a Move does not confirm it.
    """
    choice = site.federation.side_effect_for(activity.document)
    if choice is None:
        return
    if choice.replacement is not None:
        view = choice.rule.activity.over(activity.document)
        _ = yield from Call(choice.replacement.fn, view, contexts_for=UnitContexts(scope))
        return
    actor = activity.actor
    if actor is None or actor.uri is None or activity.object is None:
        return
    yield from OPERATIONS[choice.rule.name](Received(site, scope, activity, actor.uri))


def _change_relations(received: Received) -> Op[None]:
    """Apply an Accept, a Reject, a Block or an Undo to the relations of its actor with our actors."""
    updates = yield from relation_updates(received)
    received.scope.notes.extend(updates)


OPERATIONS: Final[Mapping[str, SideEffect]] = MappingProxyType(
    {
        "follow": answer_follow,
        "accept": _change_relations,
        "reject": _change_relations,
        "block": _change_relations,
        "undo": _change_relations,
        "update": refresh_changed,
        "delete": forget_deleted,
        "add": drop_target_copies,
        "remove": drop_target_copies,
        "move": follow_moved,
    }
)
"""The operation of each row of the table that changes something, by the row's name."""
