"""Apply the table of follow relations to the stored relations of our actors.

`settle_relations` replaces the relation updates among the notes of a handler, and those of the activities that it
sends, by plain writes. These join the commit that sends or processes the activity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import define, evolve, field

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.received_writes import WriteEntry
from apcore.federation.relations.records import (
    ENDED_KEPT_S,
    FOLLOW_IDS,
    LEGACY_FOLLOWS,
    MET_ACTORS,
    REJECTED_KEPT_S,
    RELATIONS,
    ActorKey,
    FollowIdKey,
    FollowIdRecord,
    LegacyFollowKey,
    MetActorRecord,
    RelationKey,
)
from apcore.federation.relations.stored import (
    INDEXED_STATES,
    Relation,
    own_requests_collection,
    read_relation,
    requests_collection,
    true_state,
)
from apcore.federation.relations.table import Direction, RelationAction, RelationEvent, RelationState, transition
from apcore.federation.relations.updates import sent_updates
from apcore.federation.routes import RouteTable
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import AddMember, PendingWrite, RelationUpdate, RemoveMember, SendActivity
from apcore.http import Origin, parse_url, same_origin
from apcore.ports import Batch, Check, Write

__all__ = ["ANSWER_IDS_MAX", "FOLLOW_IDS_MAX", "is_late_answer", "is_overtaken", "settle_relations"]

FOLLOW_IDS_MAX: Final = 8
"""The most Follow ids that a relation stores. Some servers send a new id each time, and an answer may name any."""
ANSWER_IDS_MAX: Final = 8
"""The most ids of answers that a relation stores: a repeated Follow is answered again, and an Undo may name any."""

_ANSWERS: Final[Mapping[RelationEvent, RelationState]] = MappingProxyType(
    {
        RelationEvent.ACCEPT: RelationState.ACCEPTED,
        RelationEvent.REJECT: RelationState.REJECTED,
        RelationEvent.BLOCK: RelationState.BLOCKED,
    }
)
"""The state that an activity of the followed actor leads to. Its id is stored, for an Undo that names only the id."""


_NAMES_OF_SENT: Final = MappingProxyType({RelationEvent.ACCEPT: "an Accept", RelationEvent.FOLLOW: "a Follow"})
_GRANTS: Final = frozenset({RelationEvent.ACCEPT, RelationEvent.UNDO_REJECT})
"""The events by which the followed actor grants a request."""
_UNORDERED: Final = frozenset({RelationEvent.REFRESH, RelationEvent.UNDO_BLOCK})
"""The events that do not depend on other activities of the same actor, and that no other activity depends on."""


def settle_relations(
    routes: RouteTable, origin: Origin | None, notes: Sequence[PendingWrite]
) -> Op[tuple[list[PendingWrite], Batch]]:
    """Replace the relation updates in ``notes``, and those of the activities that they send, by plain writes.

    The notes stay in their order, and later notes see the changes of earlier ones. Other notes cause no effects. The
    returned batch holds the checks of the writes.

    Effects: two `Get`s for each relation, and one more for an activity that names another one only by its id.

    Raises:
        ContractError: An activity answers a Follow whose object is another actor of ours, undoes an activity of another
            actor, or is a Follow of a blocked actor or its Accept.
    """
    settling = _Settling(routes)
    yield from settling.apply_all(origin, notes)
    return settling.notes, Batch(settling.checks.values())


def relation_after(scope: UnitOfWork[Any], direction: Direction, us: str, them: str) -> Op[Relation | None]:
    """Return the relation of our actor ``us`` and ``them`` after the notes of ``scope``; None if ``us`` is not ours.

    Effects: those of `settle_relations`, and two `Get`s.
    """
    settling = _Settling(scope.places)
    yield from settling.apply_all(scope.origin, scope.notes)
    return (yield from settling.read(RelationUpdate(direction, us, them, RelationEvent.FOLLOW)))


def is_late_answer(relation: Relation, update: RelationUpdate) -> bool:
    """Return whether an answer grants a Follow of ours that was undone before we sent a new one.

    An id of another origin is no evidence of that: some servers give the embedded Follow an id of their own. An answer
    that ends the relation counts with any id, as with Mastodon: the followed actor decides who follows it.
    """
    if relation.direction is Direction.INBOUND or update.event not in _GRANTS or not relation.follow_ids:
        return False
    named_id = update.follow_id
    return named_id is not None and same_origin(named_id, relation.us) and named_id not in relation.follow_ids


def is_overtaken(relation: Relation, update: RelationUpdate) -> bool:
    """Return whether a later activity of the other actor has changed the relation already.

    A peer delivers its activities about a relation in their order. But the processing of one may fail and be repeated
    after the next: without this, an Accept would count after the Reject that followed it.
    """
    if update.received is None or relation.last_received is None or update.event in _UNORDERED:
        return False
    return update.received < relation.last_received


@define
class _Settling:
    """The notes that are settled so far, and the relations and memberships that later notes start from."""

    routes: RouteTable
    notes: list[PendingWrite] = field(factory=list[PendingWrite])
    checks: dict[RelationKey, Check] = field(factory=dict[RelationKey, Check])
    relations: dict[RelationKey, Relation] = field(factory=dict[RelationKey, Relation])
    memberships: dict[tuple[str, str], bool] = field(factory=dict[tuple[str, str], bool])

    def apply_all(self, origin: Origin | None, notes: Sequence[PendingWrite]) -> Op[None]:
        for note in notes:
            match note:
                case RelationUpdate():
                    yield from self.apply(note)
                case SendActivity(has_effects=True) if origin is not None:
                    for update in (yield from sent_updates(self.routes, origin, note)):
                        yield from self.apply(update)
                        yield from _check_not_blocked(self, update)
                    self.add(note)
                case _:
                    self.add(note)

    def add(self, note: PendingWrite) -> None:
        if isinstance(note, AddMember | RemoveMember):
            self.memberships[note.collection, note.item] = isinstance(note, AddMember)
        self.notes.append(note)

    def read(self, update: RelationUpdate) -> Op[Relation | None]:
        relation = self.relations.get(RelationKey.of(update.direction, update.us, update.them))
        if relation is None:
            relation = yield from read_relation(self.routes, update.direction, update.us, update.them)
        if relation is None:
            return None
        is_member = self.memberships.get((relation.members, relation.them), relation.state is RelationState.ACCEPTED)
        return evolve(relation, state=true_state(relation.state, is_member))

    def apply(self, update: RelationUpdate) -> Op[None]:
        relation = yield from self.read(update)
        if relation is None or is_late_answer(relation, update) or is_overtaken(relation, update):
            return
        change = transition(relation.state, update.event)
        changed = evolve(
            relation,
            state=change.state,
            item=update.item or relation.item,
            follow_ids=_follow_ids(relation, update),
            answer_ids=_answer_ids(relation, update, change.state),
            last_received=_last_received(relation, update),
        )
        for action in change.actions:
            self._act(action, changed)
        if update.event is RelationEvent.FOLLOW and change.state is RelationState.ACCEPTED and update.item:
            # Store the follower again: its inboxes may have changed.
            self.add(AddMember(relation.members, relation.them, update.item))
        self._write(changed)

    def check_unchanged(self, relation: Relation) -> None:
        version = None if relation.entry is None else relation.entry.version
        _ = self.checks.setdefault(relation.key, Check(RELATIONS.key(relation.key), version))

    def _act(self, action: RelationAction, relation: Relation) -> None:
        is_inbound = relation.direction is Direction.INBOUND
        requests = requests_collection(relation.us) if is_inbound else own_requests_collection(relation.us)
        match action:
            case RelationAction.ADD_MEMBER:
                self.add(AddMember(relation.members, relation.them, relation.item))
                met_actor = MetActorRecord(actor=relation.them)
                self._add_write(MET_ACTORS.put(ActorKey.of(relation.them), met_actor))
            case RelationAction.REMOVE_MEMBER:
                self.add(RemoveMember(relation.members, relation.them))
            case RelationAction.ADD_REQUEST:
                self.add(AddMember(requests, relation.them, relation.item))
            case RelationAction.REMOVE_REQUEST:
                self.add(RemoveMember(requests, relation.them))
            case RelationAction.CONFIRM | RelationAction.REFUSE:
                pass  # the side effect of a received Follow sends these answers

    def _add_write(self, write: Write) -> None:
        self.add(WriteEntry(write))

    def _write(self, relation: Relation) -> None:
        key = relation.key
        self.relations[key] = self._write_index(relation) if relation.direction is Direction.INBOUND else relation
        if relation.is_legacy:
            self._add_write(LEGACY_FOLLOWS.delete(LegacyFollowKey.of(relation.us, relation.them)))
        is_remembered = relation.direction is Direction.INBOUND and relation.last_received is not None
        is_blank = relation.state is RelationState.NONE and not is_remembered
        is_unwritten = is_blank and relation.entry is None and key not in self.checks
        # A Block finds nothing to end, but a Follow that is committed at the same moment must not pass unseen.
        self.check_unchanged(relation)
        if is_unwritten:
            return
        ttl_s = _ttl_s(relation)
        self._add_write(RELATIONS.delete(key) if is_blank else RELATIONS.put(key, relation.new_record, ttl_s=ttl_s))

    def _write_index(self, relation: Relation) -> Relation:
        """Index the ids of Follows that are pending or accepted, and remove all other ids from the index."""
        old_ids = relation.indexed_ids
        new_ids = relation.follow_ids if relation.state in INDEXED_STATES else ()
        match = self.routes.read(parse_url(relation.us).origin, relation.us)
        record = FollowIdRecord(
            follower=relation.them, us=relation.us, identifier=None if match is None else match.identifier
        )
        for follow_id in new_ids:
            if follow_id not in old_ids:
                self._add_write(FOLLOW_IDS.put(FollowIdKey.of(relation.them, follow_id), record))
        for follow_id in old_ids:
            if follow_id not in new_ids:
                self._add_write(FOLLOW_IDS.delete(FollowIdKey.of(relation.them, follow_id)))
        return evolve(relation, indexed_ids=new_ids)


def _ttl_s(relation: Relation) -> float | None:
    """Return how long a relation is stored. Strangers decide how many requests are rejected, and how many end."""
    if relation.direction is Direction.OUTBOUND:
        return None
    return {RelationState.REJECTED: REJECTED_KEPT_S, RelationState.NONE: ENDED_KEPT_S}.get(relation.state)


def _check_not_blocked(settling: _Settling, update: RelationUpdate) -> Op[None]:
    """Refuse to send an Accept or a Follow to a blocked actor.

    Its server would record a relation that ours does not have. Nor would our Delete reach it and end that relation.
    """
    if update.event not in {RelationEvent.ACCEPT, RelationEvent.FOLLOW}:
        return
    relation = yield from settling.read(evolve(update, direction=Direction.INBOUND))
    if relation is None:
        return
    if relation.state is RelationState.BLOCKED:
        raise ContractError(
            f"{update.us} blocks {update.them}: send an Undo of the Block before {_NAMES_OF_SENT[update.event]}"
        )
    # A Block that is committed at the same moment must not pass unseen.
    settling.check_unchanged(relation)


def _last_received(relation: Relation, update: RelationUpdate) -> datetime | None:
    is_ordered = update.received is not None and update.event not in _UNORDERED
    return update.received if is_ordered else relation.last_received


def _answer_ids(relation: Relation, update: RelationUpdate, state: RelationState) -> tuple[str, ...]:
    earlier_ids = relation.answer_ids if state is relation.state else ()
    if update.answer_id is None or _ANSWERS.get(update.event) is not state:
        return earlier_ids
    return _with_newest(earlier_ids, update.answer_id, ANSWER_IDS_MAX)


def _follow_ids(relation: Relation, update: RelationUpdate) -> tuple[str, ...]:
    if update.follow_id is None or update.event is not RelationEvent.FOLLOW:
        return relation.follow_ids
    earlier_ids = () if relation.state is RelationState.NONE else relation.follow_ids
    return _with_newest(earlier_ids, update.follow_id, FOLLOW_IDS_MAX)


def _with_newest(ids: tuple[str, ...], newest: str, ids_max: int) -> tuple[str, ...]:
    """Return up to ``ids_max`` ids, with ``newest`` last."""
    return (*(earlier for earlier in ids if earlier != newest), newest)[-ids_max:]
