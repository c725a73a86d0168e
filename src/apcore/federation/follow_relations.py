"""Store the follow relations of our actors, and change them by the activities that are sent and received.

Sent and received activities change relations in the same way. `RELATION_EVENTS` and `UNDO_EVENTS` give the role of an
activity's actor and the event. `settle_relations` finds the relation, applies the table of
`apcore.federation.relations`, and turns the result into notes. These join the commit that sends or processes the
activity.

The collections ``followers`` and ``following`` decide about membership, so an application may add and remove members
itself. A member is accepted even if its record has another state. A record in the state accepted means no relation
without the member.

Records::

    ("relation", "1", H(them), H(us), direction)   an actor of ours and another one; "inbound" or "outbound"
    ("follow", "1", H(us), H(them))                our Follow in the format of earlier releases, replaced on a change
    ("followed", "1", H(actor), H(id))             the actor of ours that a received Follow names, found by its id
    ("met", "1", H(actor))                         an actor that follows or is followed here, and so is no stranger
    ("gone", "1", H(actor))                        an actor that deleted itself, for followers without a record
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from attrs import define, evolve, field, frozen

from apcore.collections import contains
from apcore.effects import Get, Op, Scan
from apcore.errors import ContractError
from apcore.federation.relations import Direction, RelationAction, RelationEvent, RelationState, transition
from apcore.federation.routes import RouteTable
from apcore.federation.unit_of_work import (
    AddMember,
    PendingWrite,
    RelationUpdate,
    RemoveMember,
    SendActivity,
    WriteEntry,
)
from apcore.http import Origin, parse_url, same_origin
from apcore.ports import Check, DeleteEntry, Entry, Put, StoreKey, digest_part
from apcore.records.format import decode_record, encode_record
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

__all__ = [
    "FOLLOW_IDS_MAX",
    "RELATION_EVENTS",
    "UNDO_EVENTS",
    "Relation",
    "Role",
    "SettledNotes",
    "followed_key",
    "gone_fact",
    "gone_key",
    "inbound_updates",
    "met_key",
    "read_relation",
    "relation_key",
    "relations_of",
    "requests_collection",
    "settle_relations",
]

FOLLOW_IDS_MAX: Final = 8
"""The most Follow ids that a relation stores. Some servers send a new id each time, and an answer may name any."""
_CANDIDATES_MAX: Final = 20
"""The most recipients whose relations are searched if a sent activity names another activity only by its id."""
_GONE_KEPT_S: Final = 365 * 86400.0
"""How long the deletion of an actor is remembered."""
_REFUSED_KEPT_S: Final = 30 * 86400.0
"""How long a rejected request of another actor is stored. It expires because strangers decide how many there are."""
_LEGACY_STATES: Final = {"asked": "pending"}


class Role(Enum):
    """The part that the actor of an activity has in a relation."""

    FOLLOWER = "follower"
    FOLLOWED = "followed"


RELATION_EVENTS: Final[Mapping[type[Activity], tuple[tuple[Role, RelationEvent], ...]]] = MappingProxyType(
    {
        Follow: ((Role.FOLLOWER, RelationEvent.FOLLOW),),
        Accept: ((Role.FOLLOWED, RelationEvent.ACCEPT),),
        Reject: ((Role.FOLLOWED, RelationEvent.REJECT),),
        Block: ((Role.FOLLOWED, RelationEvent.BLOCK), (Role.FOLLOWER, RelationEvent.END)),
    }
)
"""The events of each activity, by the role of its actor in the relation."""

UNDO_EVENTS: Final[Mapping[type[Activity], tuple[tuple[Role, RelationEvent], ...]]] = MappingProxyType(
    {
        Follow: ((Role.FOLLOWER, RelationEvent.UNDO_FOLLOW),),
        Accept: ((Role.FOLLOWED, RelationEvent.UNDO_ACCEPT),),
        Reject: ((Role.FOLLOWED, RelationEvent.UNDO_REJECT),),
        Block: ((Role.FOLLOWED, RelationEvent.UNDO_BLOCK),),
    }
)
"""The events of the Undo of each activity."""

_UNDO_OF_ANSWER: Final[Mapping[RelationState, RelationEvent]] = MappingProxyType(
    {
        RelationState.ACCEPTED: RelationEvent.UNDO_ACCEPT,
        RelationState.REJECTED: RelationEvent.UNDO_REJECT,
        RelationState.BLOCKED: RelationEvent.UNDO_BLOCK,
    }
)

_ANSWERS: Final[Mapping[RelationEvent, RelationState]] = MappingProxyType(
    {
        RelationEvent.ACCEPT: RelationState.ACCEPTED,
        RelationEvent.REJECT: RelationState.REJECTED,
        RelationEvent.BLOCK: RelationState.BLOCKED,
    }
)
"""The state after an activity of the followed actor. An Undo that names only the activity's id reverts the state."""
_INDEXED: Final = frozenset({RelationState.PENDING, RelationState.ACCEPTED})
"""The states in which a received Follow can be found by its id."""


@frozen
class Relation:
    """A stored relation of an actor of ours and another actor."""

    direction: Direction
    us: str
    them: str
    members: str
    """The collection of ours that holds the other actor while the relation is accepted."""
    state: RelationState = RelationState.NONE
    follow_ids: tuple[str, ...] = ()
    answer_id: str | None = None
    """The id of the followed actor's activity that led to the present state; None if there is none."""
    item: bytes = field(default=b"", repr=False)
    """The bytes that the collection stores with the member."""
    entry: Entry | None = field(default=None, repr=False)
    legacy: bool = False
    """Whether the relation was read from the record of an earlier release."""


@frozen
class SettledNotes:
    """Notes in which every relation update is replaced by plain writes, with the checks of those writes."""

    notes: list[PendingWrite]
    checks: list[Check]


# --- where relations are stored -------------------------------------------------------------------------------------


def relation_key(direction: Direction, us: str, them: str) -> StoreKey:
    """Return the key of a relation. All relations with one other actor share a prefix."""
    return ("relation", "1", digest_part(them), digest_part(us), direction.value)


def followed_key(follower: str, follow_id: str) -> StoreKey:
    """Return the key under which a received Follow is found by its id.

    The key contains the follower. Two actors of one origin may use the same id, and neither may undo the Follow of the
    other.
    """
    return ("followed", "1", digest_part(follower), digest_part(follow_id))


def met_key(actor: str) -> StoreKey:
    """Return the key of the record that an actor follows, or is followed, here."""
    return ("met", "1", digest_part(actor))


def gone_key(actor: str) -> StoreKey:
    """Return the key of the record that an actor has deleted itself."""
    return ("gone", "1", digest_part(actor))


def gone_fact(actor: str) -> Put:
    """Return the write of the record that an actor has deleted itself."""
    return Put(gone_key(actor), encode_record({"actor": actor}), _GONE_KEPT_S)


def requests_collection(us: str) -> str:
    """Return the name of the managed collection of actors that wait for ``us`` to answer. It is not served."""
    return f"{us}#follow-requests"


def members_collection(places: RouteTable, direction: Direction, us: str) -> str | None:
    """Return the address of the collection for a relation of ``us``; None if ``us`` is no actor of ours."""
    origin = parse_url(us).origin
    place = places.read(origin, us)
    if place is None or place.target.kind != "actor" or place.identifier is None:
        return None
    name = "followers" if direction is Direction.INBOUND else "following"
    return places.uri(origin, "collection", name, identifier=place.identifier)


def read_relation(places: RouteTable, direction: Direction, us: str, them: str) -> Op[Relation | None]:
    """Read the relation of our actor ``us`` and ``them``; None if ``us`` is no actor of ours.

    Effects: one `Get` of two entries, and one for the membership.
    """
    members = members_collection(places, direction, us)
    if members is None:
        return None
    entry, legacy = yield from Get((relation_key(direction, us, them), _legacy_key(us, them)))
    relation = _relation_from(Relation(direction, us, them, members), entry, legacy)
    [is_member] = yield from contains(relation.members, (them,))
    return evolve(relation, state=_true_state(relation.state, is_member))


def relations_of(them: str, *, after: StoreKey | None, limit: int) -> Op[tuple[list[RelationUpdate], StoreKey | None]]:
    """Return the updates that end up to ``limit`` relations with ``them``, at all origins of ours.

    The returned key is the ``after`` of the next call; None at the end.

    Effects: one `Scan`.
    """
    entries = yield from Scan(("relation", "1", digest_part(them)), after=after, limit=limit)
    updates: list[RelationUpdate] = []
    for entry in entries:
        record = decode_record(entry.value)
        if record.text("them") == them:
            updates.append(
                RelationUpdate(Direction(record.text("direction")), record.text("us"), them, RelationEvent.END)
            )
    return updates, entries[-1].key if len(entries) == limit else None


def _legacy_key(us: str, them: str) -> StoreKey:
    return ("follow", "1", digest_part(us), digest_part(them))


def _relation_from(blank: Relation, entry: Entry | None, legacy: Entry | None) -> Relation:
    if entry is not None:
        record = decode_record(entry.value)
        if (record.text("us"), record.text("them")) != (blank.us, blank.them):
            return blank
        return evolve(
            blank,
            members=record.text("members"),
            state=RelationState(record.text("state")),
            follow_ids=tuple(record.members.get("follow_ids", ())),
            answer_id=record.optional("answer_id"),
            item=record.body,
            entry=entry,
        )
    if legacy is None or blank.direction is Direction.INBOUND:
        return blank
    record = decode_record(legacy.value)
    if record.text("object") != blank.them:
        return blank
    state = record.text("state")
    return evolve(
        blank,
        state=RelationState(_LEGACY_STATES.get(state, state)),
        follow_ids=(record.text("id"),),
        legacy=True,
    )


def _true_state(state: RelationState, is_member: bool) -> RelationState:
    if state is RelationState.BLOCKED:
        return state
    if is_member:
        return RelationState.ACCEPTED
    return RelationState.NONE if state is RelationState.ACCEPTED else state


# --- statements of activities ---------------------------------------------------------------------------------------


def inbound_updates(
    places: RouteTable, origin: Origin, activity: Activity, *, actor: str, recipient: str | None
) -> Op[list[RelationUpdate]]:
    """Return the updates that a received activity of ``actor`` makes to its relations with our actors at ``origin``.

    ``recipient`` is the id of the actor of ours whose inbox received the activity.

    Effects: two `Get`s if the activity names another one only by its id, else none.
    """
    statement = _read_statement(activity)
    if statement is None:
        return []
    if statement.other is not None:
        us = statement.other if _is_ours(places, origin, statement.other) else None
        follow_actor = statement.follow_actor
        if us is None or (follow_actor is not None and statement.is_about_own_follow and follow_actor != actor):
            return []
        return [
            _received(role, event, us, actor, follow_id=statement.follow_id, activity_id=activity.document.id)
            for role, event in statement.events
        ]
    if statement.named_id is None:
        return []
    candidates = yield from _named_actors(places, origin, statement.named_id, actor, recipient)
    return (yield from _named_updates(statement, [(us, actor) for us in candidates], activity, sent=False))


def _sent_updates(places: RouteTable, origin: Origin, note: SendActivity) -> Op[list[RelationUpdate]]:
    """Return the updates that an activity of ours makes to the relations of its actor.

    Raises:
        ContractError: The activity answers a Follow of another actor of ours.
    """
    activity = Activity.over(note.activity)
    us = places.uri(origin, "actor", identifier=note.by)
    statement = _read_statement(activity)
    if statement is None:
        return []
    if statement.other is not None:
        followed = None if statement.is_about_own_follow else statement.follow_object
        if followed is not None and followed != us and _is_ours(places, origin, followed):
            raise ContractError(f"{us} answers a Follow of {followed}: send the answer as {followed}")
        return [
            _sent(role, event, us, statement.other, note.id)
            for role, event in statement.events
            if statement.other != us
        ]
    candidates = [(us, them) for them in note.to[:_CANDIDATES_MAX] if them != us]
    return (yield from _named_updates(statement, candidates, activity, sent=True, activity_id=note.id))


@frozen
class _Statement:
    """The content of an activity about a relation, whichever of the two actors is ours."""

    events: tuple[tuple[Role, RelationEvent], ...]
    is_undo: bool
    other: str | None = None
    """The other actor; None if the activity names another activity only by its id."""
    named_id: str | None = None
    follow_id: str | None = None
    follow_actor: str | None = None
    follow_object: str | None = None
    is_about_own_follow: bool = False
    """Whether ``other`` is the object of a Follow or Block. If False, it is the actor of a Follow that is answered."""


def _read_statement(activity: Activity) -> _Statement | None:
    document, is_undo = activity.document, False
    subject: Reference | None = activity.object
    table = RELATION_EVENTS
    if document.is_a(Undo):
        if subject is None:
            return None
        if subject.embedded is None or not subject.embedded.types:
            return _Statement((), True, named_id=subject.uri)
        document, is_undo, table = subject.embedded, True, UNDO_EVENTS
        undone_id = subject.uri
        subject = Activity.over(document).object
    else:
        undone_id = None
    kind = _kind_of(document, table)
    if kind is None:
        return None
    statement = _Statement(table[kind], is_undo, named_id=undone_id)
    if issubclass(kind, Follow | Block):
        own = Activity.over(document)
        return evolve(
            statement,
            other=None if subject is None else subject.uri,
            follow_id=document.id if kind is Follow else None,
            follow_actor=None if own.actor is None else own.actor.uri,
            is_about_own_follow=True,
        )
    if subject is None:
        return statement if is_undo else None
    follow = subject.claimed(Follow)
    if follow is None and subject.embedded is not None and subject.embedded.types:
        return None  # The activity answers an Offer, an Invite or a Join.
    if follow is not None and follow.actor is not None and follow.actor.uri is not None:
        return evolve(
            statement,
            other=follow.actor.uri,
            follow_id=subject.uri,
            follow_object=None if follow.object is None else follow.object.uri,
        )
    return statement if is_undo else evolve(statement, named_id=subject.uri)


def _kind_of(document: Document, table: Iterable[type[Activity]]) -> type[Activity] | None:
    # A tentative answer does not change the state of the request.
    if document.is_a(TentativeAccept) or document.is_a(TentativeReject):
        return None
    return next((kind for kind in table if document.is_a(kind)), None)


def _received(
    role: Role, event: RelationEvent, us: str, them: str, *, follow_id: str | None, activity_id: str | None
) -> RelationUpdate:
    if role is Role.FOLLOWER:
        follow_id = follow_id if event is RelationEvent.FOLLOW else None
        return RelationUpdate(Direction.INBOUND, us, them, event, follow_id=follow_id)
    # The other actor's Block ends our Follow. Its server may never tell us that the Block is over, so the outbound
    # relation has no state for it.
    event = RelationEvent.END if event is RelationEvent.BLOCK else event
    return RelationUpdate(Direction.OUTBOUND, us, them, event, follow_id=follow_id, answer_id=activity_id)


def _sent(role: Role, event: RelationEvent, us: str, them: str, activity_id: str) -> RelationUpdate:
    if role is Role.FOLLOWER:
        return RelationUpdate(
            Direction.OUTBOUND, us, them, event, follow_id=activity_id if event is RelationEvent.FOLLOW else None
        )
    return RelationUpdate(Direction.INBOUND, us, them, event, answer_id=activity_id)


def _named_actors(
    places: RouteTable, origin: Origin, named_id: str, actor: str, recipient: str | None
) -> Op[list[str]]:
    """Return the actors of ours that may be concerned by an activity that names another one only by its id.

    Effects: one `Get`.
    """
    candidates: dict[str, None] = {}
    [entry] = yield from Get((followed_key(actor, named_id),))
    record = None if entry is None else decode_record(entry.value)
    if record is not None and record.text("follower") == actor:
        us = record.optional("us") or places.uri(origin, "actor", identifier=record.text("identifier"))
        candidates[us] = None
    # Our own ids are fragments of the actor's id, unless the application has chosen others.
    for uri in (named_id.partition("#")[0], recipient):
        if uri is not None and _is_ours(places, origin, uri):
            candidates[uri] = None
    return list(candidates)


def _named_updates(
    statement: _Statement,
    candidates: Sequence[tuple[str, str]],
    activity: Activity,
    *,
    sent: bool,
    activity_id: str | None = None,
) -> Op[list[RelationUpdate]]:
    """Return the updates of the relations in which the named id occurs. ``candidates`` are pairs (us, them).

    Effects: one `Get`.
    """
    named_id = statement.named_id
    if named_id is None or not candidates:
        return []
    # The actor of the activity is the follower in one direction, and the followed actor in the other.
    own = Direction.OUTBOUND if sent else Direction.INBOUND
    answered = Direction.INBOUND if sent else Direction.OUTBOUND
    answer_id = activity_id if sent else activity.document.id
    keys: list[StoreKey] = []
    for us, them in candidates:
        keys += [relation_key(direction, us, them) for direction in Direction] + [_legacy_key(us, them)]
    entries = yield from Get(keys)
    relations = [
        _relation_from(Relation(direction, us, them, ""), entries[3 * number + offset], entries[3 * number + 2])
        for number, (us, them) in enumerate(candidates)
        for offset, direction in enumerate(Direction)
    ]
    updates: list[RelationUpdate] = []
    for relation in relations:
        is_follow = named_id in relation.follow_ids
        if not statement.is_undo and is_follow and relation.direction is answered:
            updates += [
                RelationUpdate(relation.direction, relation.us, relation.them, event, answer_id=answer_id)
                for _, event in statement.events
            ]
        elif statement.is_undo and is_follow and relation.direction is own:
            updates.append(RelationUpdate(own, relation.us, relation.them, RelationEvent.UNDO_FOLLOW))
        elif statement.is_undo and relation.answer_id == named_id and relation.direction is answered:
            event = _UNDO_OF_ANSWER.get(relation.state)
            if event is not None:
                updates.append(RelationUpdate(answered, relation.us, relation.them, event))
    return updates


def _is_ours(places: RouteTable, origin: Origin, uri: str) -> bool:
    place = places.read(origin, uri)
    return place is not None and place.target.kind == "actor"


# --- changes of relations -------------------------------------------------------------------------------------------


@define
class _Settling:
    """Notes that are being settled, with the state after the earlier notes, which later notes start from."""

    places: RouteTable
    notes: list[PendingWrite] = field(factory=list[PendingWrite])
    checks: dict[StoreKey, Check] = field(factory=dict[StoreKey, Check])
    relations: dict[StoreKey, Relation] = field(factory=dict[StoreKey, Relation])
    memberships: dict[tuple[str, str], bool] = field(factory=dict[tuple[str, str], bool])

    def add(self, note: PendingWrite) -> None:
        if isinstance(note, AddMember | RemoveMember):
            self.memberships[note.collection, note.item] = isinstance(note, AddMember)
        self.notes.append(note)

    def read(self, update: RelationUpdate) -> Op[Relation | None]:
        key = relation_key(update.direction, update.us, update.them)
        relation = self.relations.get(key)
        if relation is None:
            relation = yield from read_relation(self.places, update.direction, update.us, update.them)
        if relation is None:
            return None
        is_member = self.memberships.get((relation.members, relation.them), relation.state is RelationState.ACCEPTED)
        return evolve(relation, state=_true_state(relation.state, is_member))

    def apply(self, update: RelationUpdate) -> Op[None]:
        relation = yield from self.read(update)
        if relation is None:
            return
        if _is_late(relation, update):
            return
        change = transition(relation.state, update.event)
        new = evolve(
            relation,
            state=change.state,
            item=update.item or relation.item,
            follow_ids=_follow_ids(relation, update),
            answer_id=_answer_id(relation, update, change.state),
        )
        requests = requests_collection(relation.us)
        for action in change.actions:
            match action:
                case RelationAction.ADD_MEMBER:
                    self.add(AddMember(relation.members, relation.them, new.item))
                    self.add(WriteEntry(Put(met_key(relation.them), encode_record({"actor": relation.them}))))
                case RelationAction.REMOVE_MEMBER:
                    self.add(RemoveMember(relation.members, relation.them))
                case RelationAction.ADD_REQUEST if relation.direction is Direction.INBOUND:
                    self.add(AddMember(requests, relation.them, new.item))
                case RelationAction.REMOVE_REQUEST if relation.direction is Direction.INBOUND:
                    self.add(RemoveMember(requests, relation.them))
                case _:
                    pass  # CONFIRM and REFUSE are answers: the side effect of a received Follow sends them.
        if update.event is RelationEvent.FOLLOW and change.state is RelationState.ACCEPTED and update.item:
            # Store the follower again: its inboxes may have changed.
            self.add(AddMember(relation.members, relation.them, update.item))
        self._write(relation, new)

    def _write(self, before: Relation, new: Relation) -> None:
        key = relation_key(new.direction, new.us, new.them)
        self.relations[key] = new
        if new.direction is Direction.INBOUND:
            self._write_index(before, new)
        if new.legacy:
            self.add(WriteEntry(DeleteEntry(_legacy_key(new.us, new.them))))
        is_blank = new.state is RelationState.NONE
        if is_blank and new.entry is None and key not in self.checks:
            return
        version = None if new.entry is None else new.entry.version
        self.checks[key] = Check(key, version)
        expiry_s = _REFUSED_KEPT_S if _is_stranger(new) else None
        self.add(WriteEntry(DeleteEntry(key) if is_blank else Put(key, _packed(new), expiry_s)))

    def _write_index(self, before: Relation, new: Relation) -> None:
        """Index the ids of Follows that are pending or accepted, and remove all other ids from the index."""
        old_ids = before.follow_ids if before.state in _INDEXED else ()
        new_ids = new.follow_ids if new.state in _INDEXED else ()
        index_entry = {"follower": new.them, "us": new.us, "identifier": self._identifier(new.us)}
        for follow_id in new_ids:
            if follow_id not in old_ids:
                self.add(WriteEntry(Put(followed_key(new.them, follow_id), encode_record(index_entry))))
        for follow_id in old_ids:
            if follow_id not in new_ids:
                self.add(WriteEntry(DeleteEntry(followed_key(new.them, follow_id))))

    def _identifier(self, us: str) -> str | None:
        place = self.places.read(parse_url(us).origin, us)
        return None if place is None else place.identifier


def _is_stranger(relation: Relation) -> bool:
    return relation.direction is Direction.INBOUND and relation.state is RelationState.REJECTED


def settle_relations(places: RouteTable, origin: Origin | None, notes: Sequence[PendingWrite]) -> Op[SettledNotes]:
    """Replace the relation updates in ``notes``, and those of the activities that they send, by plain writes.

    The notes stay in their order, and later notes see the changes of earlier ones. Other notes cause no effects.

    Effects: two `Get`s for each relation, and one more for an activity that names another one only by its id.

    Raises:
        ContractError: An answer to a Follow of another actor of ours, or an Accept of a Follow by a blocked actor.
    """
    settling = _Settling(places)
    for note in notes:
        match note:
            case RelationUpdate():
                yield from settling.apply(note)
            case SendActivity() if origin is not None:
                for update in (yield from _sent_updates(places, origin, note)):
                    yield from settling.apply(update)
                    yield from _check_accepted(settling, update)
                settling.add(note)
            case _:
                settling.add(note)
    return SettledNotes(settling.notes, list(settling.checks.values()))


def _check_accepted(settling: _Settling, update: RelationUpdate) -> Op[None]:
    """Refuse to send an Accept to a blocked actor: its server would record a relation that ours does not have."""
    if update.event is not RelationEvent.ACCEPT:
        return
    relation = yield from settling.read(update)
    if relation is not None and relation.state is RelationState.BLOCKED:
        raise ContractError(f"{update.us} blocks {update.them}: send an Undo of the Block before an Accept")


def _answer_id(relation: Relation, update: RelationUpdate, state: RelationState) -> str | None:
    if update.answer_id is not None and _ANSWERS.get(update.event) is state:
        return update.answer_id
    return relation.answer_id if state is relation.state else None


def _is_late(relation: Relation, update: RelationUpdate) -> bool:
    """Return whether an answer names a Follow of ours that was undone before we sent a new one.

    An id of another origin is no evidence of that: some servers give the embedded Follow an id of their own.
    """
    if relation.direction is Direction.INBOUND or update.event is RelationEvent.FOLLOW or not relation.follow_ids:
        return False
    named_id = update.follow_id
    return named_id is not None and same_origin(named_id, relation.us) and named_id not in relation.follow_ids


def _follow_ids(relation: Relation, update: RelationUpdate) -> tuple[str, ...]:
    if update.follow_id is None or update.event is not RelationEvent.FOLLOW:
        return relation.follow_ids
    earlier = () if relation.state is RelationState.NONE else relation.follow_ids
    others = [follow_id for follow_id in earlier if follow_id != update.follow_id]
    return (*others, update.follow_id)[-FOLLOW_IDS_MAX:]


def _packed(relation: Relation) -> bytes:
    members: dict[str, Any] = {
        "direction": relation.direction.value,
        "us": relation.us,
        "them": relation.them,
        "members": relation.members,
        "state": relation.state.value,
        "follow_ids": list(relation.follow_ids) or None,
        "answer_id": relation.answer_id,
    }
    return encode_record(members, relation.item)
