"""Find the relations that a sent or received activity changes.

Sent and received activities change relations in the same way. The result is a list of `RelationUpdate`s;
`apcore.federation.relations.changes` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from attrs import evolve

from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.relations.records import FOLLOW_IDS, FollowIdKey
from apcore.federation.relations.statements import Role, Statement, read_statement
from apcore.federation.relations.stored import Relation, is_our_actor, read_relation_records
from apcore.federation.relations.table import Direction, RelationEvent, RelationState
from apcore.federation.routes import RouteTable
from apcore.federation.write_notes import RelationUpdate, SendActivity
from apcore.http import Origin
from apcore.vocab import PUBLIC, PUBLIC_FORMS, Activity

__all__ = ["CANDIDATES_MAX", "received_updates", "sent_updates"]

CANDIDATES_MAX: Final = 20
"""The most recipients whose relations are searched if a sent activity names another activity only by its id."""

_UNDO_OF_ANSWER: Final[Mapping[RelationState, RelationEvent]] = MappingProxyType(
    {
        RelationState.ACCEPTED: RelationEvent.UNDO_ACCEPT,
        RelationState.REJECTED: RelationEvent.UNDO_REJECT,
        RelationState.BLOCKED: RelationEvent.UNDO_BLOCK,
    }
)


def received_updates(
    routes: RouteTable, origin: Origin, activity: Activity, *, actor: str, recipient: str | None
) -> Op[list[RelationUpdate]]:
    """Return the updates that a received activity of ``actor`` makes to its relations with our actors at ``origin``.

    ``recipient`` is the id of the actor of ours whose inbox received the activity. An answer to a Follow
    changes nothing if the object of the Follow is another actor than ``actor``. Nor does an Undo of another actor's
    activity.

    Effects: two `Get`s if the activity names another one only by its id, else none.
    """
    statement = read_statement(activity)
    if statement is None or statement.undone_actor not in {None, actor}:
        return []
    if statement.other is not None:
        us = statement.other
        if us == PUBLIC:  # a subscription to our relay
            us = routes.relay_uri(origin) or PUBLIC
        named_actor = statement.follow_actor if statement.is_about_own_follow else statement.follow_object
        # A subscription to a relay is a Follow of `PUBLIC` that is delivered to the relay. The answer embeds it.
        if named_actor not in {None, actor, PUBLIC} or not is_our_actor(routes, origin, us):
            return []
        return [
            _received_update(role, event, us, actor, follow_id=statement.follow_id, activity_id=activity.document.id)
            for role, event in statement.events
        ]
    if statement.named_id is None:
        return []
    candidates, legacy_us = yield from _named_actors(routes, origin, statement.named_id, actor, recipient)
    pairs = [(us, actor) for us in candidates]
    activity_id = activity.document.id
    return (yield from _named_updates(statement, pairs, is_sent=False, activity_id=activity_id, legacy_us=legacy_us))


def sent_updates(routes: RouteTable, origin: Origin, note: SendActivity) -> Op[list[RelationUpdate]]:
    """Return the updates that an activity of ours makes to the relations of its actor.

    Effects: one `Get` if the activity names another one only by its id, else none.

    Raises:
        ContractError: The activity answers a Follow whose object is another actor of ours, or undoes an activity of
            another actor.
    """
    activity = Activity.over(note.activity)
    us = routes.actor_uri(origin, note.by)
    statement = read_statement(activity)
    if statement is None:
        return []
    if statement.undone_actor not in {None, us}:
        raise ContractError(f"{us} undoes an activity of {statement.undone_actor}: only its own actor can undo it")
    if statement.other is None:
        pairs = [(us, them) for them in note.recipients[:CANDIDATES_MAX] if them != us]
        return (yield from _named_updates(statement, pairs, is_sent=True, activity_id=note.id))
    followed = None if statement.is_about_own_follow else statement.follow_object
    if followed not in {None, us, PUBLIC}:
        if is_our_actor(routes, origin, followed or ""):
            raise ContractError(f"{us} answers a Follow of {followed}: send the answer as {followed}")
        return []
    # A Follow of `PUBLIC` is a subscription to the relays that get it.
    others = note.recipients[:CANDIDATES_MAX] if statement.other == PUBLIC else (statement.other,)
    return [
        _sent_update(role, event, us, other, note.id)
        for other in others
        if other not in {us, *PUBLIC_FORMS}
        for role, event in statement.events
    ]


def _received_update(
    role: Role, event: RelationEvent, us: str, them: str, *, follow_id: str | None, activity_id: str | None
) -> RelationUpdate:
    if role is Role.FOLLOWER:
        follow_id = follow_id if event is RelationEvent.FOLLOW else None
        return RelationUpdate(Direction.INBOUND, us, them, event, follow_id=follow_id)
    if event is RelationEvent.BLOCK:
        # The Block rejects our Follow. Its server may never tell us that the Block is over, so the outbound relation
        # has no state for it. A Follow of ours that arrives after the Block is over may still be accepted.
        return RelationUpdate(Direction.OUTBOUND, us, them, RelationEvent.REJECT)
    return RelationUpdate(Direction.OUTBOUND, us, them, event, follow_id=follow_id, answer_id=activity_id)


def _sent_update(role: Role, event: RelationEvent, us: str, them: str, activity_id: str) -> RelationUpdate:
    if role is Role.FOLLOWER:
        follow_id = activity_id if event is RelationEvent.FOLLOW else None
        return RelationUpdate(Direction.OUTBOUND, us, them, event, follow_id=follow_id)
    return RelationUpdate(Direction.INBOUND, us, them, event, answer_id=activity_id)


# --- activities that name another one by its id ---------------------------------------------------------------------


def _named_actors(
    routes: RouteTable, origin: Origin, named_id: str, actor: str, recipient: str | None
) -> Op[tuple[list[str], str | None]]:
    """Return the actors of ours whose relations the activity ``named_id`` may belong to.

    The second result is the actor of ours that this Follow asks, if an earlier release recorded the Follow, else None.

    Effects: one `Get`.
    """
    candidates: dict[str, None] = {}
    legacy_us: str | None = None
    [entry] = yield from Get((FOLLOW_IDS.key(FollowIdKey.of(actor, named_id)),))
    record = None if entry is None else FOLLOW_IDS.decode(entry.value)
    if record is not None and record.follower == actor:
        us = record.us or (None if record.identifier is None else routes.actor_uri(origin, record.identifier))
        if us is not None:
            candidates[us] = None
        legacy_us = us if record.us is None else None
    # Our own ids are fragments of the actor's id, or below it, unless the application has chosen others.
    for uri in (named_id.partition("#")[0], recipient):
        match = None if uri is None else routes.read(origin, uri)
        if match is not None and match.target.kind == "instance":
            candidates[routes.actor_uri(origin, origin.host)] = None
        elif match is not None and match.identifier is not None and routes.has("actor"):
            candidates[routes.actor_uri(origin, match.identifier)] = None
    return list(candidates), legacy_us


def _named_updates(
    statement: Statement,
    pairs: Sequence[tuple[str, str]],
    *,
    is_sent: bool,
    activity_id: str | None,
    legacy_us: str | None = None,
) -> Op[list[RelationUpdate]]:
    """Return the updates of the relations of ``pairs`` (us, them) in which the named id occurs.

    ``legacy_us`` is the second result of `_named_actors`.

    Effects: one `Get`.
    """
    named_id = statement.named_id
    if named_id is None or not pairs:
        return []
    relations = yield from read_relation_records(pairs)
    if legacy_us is not None:
        # Earlier releases stored the follower and the id of its Follow, and no relation.
        relations = [
            evolve(relation, follow_ids=(named_id,))
            if relation.entry is None and relation.direction is Direction.INBOUND and relation.us == legacy_us
            else relation
            for relation in relations
        ]
    updates = (_named_update(statement, named_id, relation, is_sent=is_sent) for relation in relations)
    return [
        evolve(update, answer_id=None if statement.is_undo else activity_id) for update in updates if update is not None
    ]


def _named_update(statement: Statement, named_id: str, relation: Relation, *, is_sent: bool) -> RelationUpdate | None:
    # The actor of the activity is the follower in one direction, and the followed actor in the other.
    is_follower = is_sent is (relation.direction is Direction.OUTBOUND)
    event: RelationEvent | None = None
    if named_id in relation.follow_ids:
        if statement.is_undo and is_follower:
            event = RelationEvent.UNDO_FOLLOW
        elif not statement.is_undo and not is_follower:
            [(_, event)] = statement.events
    elif statement.is_undo and not is_follower and named_id in relation.answer_ids:
        event = _UNDO_OF_ANSWER.get(relation.state)
    return None if event is None else RelationUpdate(relation.direction, relation.us, relation.them, event)
