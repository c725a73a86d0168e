"""Read and write the stored relations of our actors.

The collections ``followers`` and ``following`` decide about membership, so an application may add and remove members
itself. A member is accepted even if its record has another state. If the record is accepted, but the collection does
not hold the other actor, there is no relation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from apcore.collections import contains
from apcore.effects import Get, Op, Scan
from apcore.federation.relations.records import (
    DELETED_ACTORS,
    DELETED_KEPT_S,
    LEGACY_FOLLOWS,
    RELATIONS,
    ActorKey,
    DeletedActorRecord,
    LegacyFollowKey,
    RelationKey,
    RelationRecord,
)
from apcore.federation.relations.table import Direction, RelationEvent, RelationState
from apcore.federation.routes import RouteTable
from apcore.federation.write_notes import RelationUpdate
from apcore.http import Origin, parse_url
from apcore.ports import Entry, Put, StoreKey, digest_part

__all__ = [
    "INDEXED_STATES",
    "Relation",
    "blocked_among",
    "followers_of",
    "is_our_actor",
    "own_requests_collection",
    "read_relation",
    "read_relation_records",
    "relations_of",
    "remember_deleted_actor",
    "requests_collection",
    "true_state",
]

INDEXED_STATES: Final = frozenset({RelationState.PENDING, RelationState.ACCEPTED})
"""The states in which a received Follow can be found by its id."""
_LEGACY_STATES: Final = {"asked": RelationState.PENDING}


@frozen
class Relation:
    """A relation of an actor of ours and another actor, as it is stored."""

    direction: Direction
    us: str
    them: str
    members: str = ""
    """The address of our collection that holds the other actor while the relation is accepted."""
    state: RelationState = RelationState.NONE
    follow_ids: tuple[str, ...] = ()
    answer_ids: tuple[str, ...] = ()
    """The ids of the followed actor's activities that led to the present state, newest last."""
    last_received: datetime | None = None
    """The time at which the newest activity of the other actor was received that changed the relation."""
    item: bytes = field(default=b"", repr=False)
    """The bytes that the collection stores with the member."""
    indexed_ids: tuple[str, ...] = ()
    """The ids of received Follows under which the stored relation can be found."""
    entry: Entry | None = field(default=None, repr=False)
    record: RelationRecord | None = field(default=None, repr=False)
    """The record in ``entry``."""
    is_legacy: bool = False
    """Whether the relation was read from the record of an earlier release."""

    @property
    def key(self) -> RelationKey:
        """Return the key of the relation's record."""
        return RelationKey.of(self.direction, self.us, self.them)

    @property
    def new_record(self) -> RelationRecord:
        """Return the record that stores the relation. It keeps the fields that a newer release has added."""
        *earlier_answer_ids, answer_id = self.answer_ids or (None,)
        record = self.record or RelationRecord(direction="", us="", them="", members="", state="")
        return evolve(
            record,
            direction=self.direction.value,
            us=self.us,
            them=self.them,
            members=self.members,
            state=self.state.value,
            follow_ids=self.follow_ids,
            answer_id=answer_id,
            earlier_answer_ids=tuple(earlier_answer_ids),
            last_received=self.last_received,
            body=self.item,
        )


def requests_collection(us: str) -> str:
    """Return the name of the managed collection of actors that wait for ``us`` to answer. It is not served."""
    return f"{us}#follow-requests"


def own_requests_collection(us: str) -> str:
    """Return the name of the managed collection of actors that ``us`` waits for to answer. It is not served."""
    return f"{us}#own-follow-requests"


def is_our_actor(routes: RouteTable, origin: Origin, uri: str) -> bool:
    """Return whether ``uri`` has the form of the id of an actor of ours at ``origin``."""
    return routes.identifier_of(origin, uri) is not None


def read_relation(routes: RouteTable, direction: Direction, us: str, them: str) -> Op[Relation | None]:
    """Read the relation of our actor ``us`` and ``them``; None if ``us`` is no actor of ours.

    Effects: one `Get` of two entries, and one for the membership.
    """
    members = _members_collection(routes, direction, us)
    if members is None:
        return None
    entry, legacy_entry = yield from Get((RELATIONS.key(RelationKey.of(direction, us, them)), _legacy_key(us, them)))
    relation = _relation_from(Relation(direction, us, them, members), entry, legacy_entry)
    [is_member] = yield from contains(relation.members, (them,))
    return evolve(relation, state=true_state(relation.state, is_member))


def read_relation_records(pairs: Sequence[tuple[str, str]]) -> Op[list[Relation]]:
    """Read the relations of ``pairs`` (us, them) in both directions, without looking at the collections.

    Effects: one `Get`.
    """
    keys: list[StoreKey] = []
    for us, them in pairs:
        keys += [RELATIONS.key(RelationKey.of(direction, us, them)) for direction in Direction]
        keys.append(_legacy_key(us, them))
    entries = iter((yield from Get(keys)))
    relations: list[Relation] = []
    for us, them in pairs:
        direction_entries = [(direction, next(entries)) for direction in Direction]
        legacy_entry = next(entries)
        relations += [
            _relation_from(Relation(direction, us, them), entry, legacy_entry) for direction, entry in direction_entries
        ]
    return relations


def blocked_among(us: str, actors: Sequence[str]) -> Op[set[str]]:
    """Return those of up to 100 ``actors`` that our actor ``us`` blocks.

    Effects: one `Get`, or none without actors.
    """
    if not actors:
        return set()
    keys = [RELATIONS.key(RelationKey.of(Direction.INBOUND, us, them)) for them in actors]
    records = [RELATIONS.decode(entry.value) for entry in (yield from Get(keys)) if entry is not None]
    blocked = {record.them for record in records if record.us == us and record.state == RelationState.BLOCKED.value}
    return blocked.intersection(actors)


def relations_of(
    them: str, event: RelationEvent, *, item: bytes = b"", after: StoreKey | None, limit: int
) -> Op[tuple[list[RelationUpdate], StoreKey | None]]:
    """Return the updates that apply ``event`` to up to ``limit`` relations with ``them``, at all origins of ours.

    With ``item``, skip the relations in which our actor follows, and those that store this item already. The returned
    key is the ``after`` of the next call; None at the end.

    Effects: one `Scan`.
    """
    entries = yield from Scan(RELATIONS.at(digest_part(them)), after=after, limit=limit)
    records = [RELATIONS.decode(entry.value) for entry in entries]
    updates = [
        RelationUpdate(Direction(record.direction), record.us, them, event, item=item)
        for record in records
        if record.them == them and (not item or (record.direction == Direction.INBOUND.value and record.body != item))
    ]
    return updates, entries[-1].key if len(entries) == limit else None


def followers_of(them: str, *, after: StoreKey | None, limit: int) -> Op[tuple[list[str], StoreKey | None]]:
    """Return actors of ours that follow ``them`` or have asked to, from up to ``limit`` relations with it.

    The returned key is the ``after`` of the next call; None at the end.

    Effects: one `Scan`.
    """
    entries = yield from Scan(RELATIONS.at(digest_part(them)), after=after, limit=limit)
    records = [RELATIONS.decode(entry.value) for entry in entries]
    followers = [
        record.us
        for record in records
        if (record.them, record.direction) == (them, Direction.OUTBOUND.value)
        and RelationState(record.state) in INDEXED_STATES
    ]
    return followers, entries[-1].key if len(entries) == limit else None


def remember_deleted_actor(actor: str) -> Put:
    """Return the write of the record that an actor has deleted itself."""
    return DELETED_ACTORS.put(ActorKey.of(actor), DeletedActorRecord(actor=actor), ttl_s=DELETED_KEPT_S)


def true_state(state: RelationState, is_member: bool) -> RelationState:
    """Return the state of a relation, given the stored state and whether the collection holds the other actor."""
    if state is RelationState.BLOCKED:
        return state
    if is_member:
        return RelationState.ACCEPTED
    return RelationState.NONE if state is RelationState.ACCEPTED else state


def _members_collection(routes: RouteTable, direction: Direction, us: str) -> str | None:
    """Return the address of the collection for a relation of ``us``; None if ``us`` is no actor of ours."""
    origin = parse_url(us).origin
    identifier = routes.identifier_of(origin, us)
    if identifier is None:
        return None
    name = "followers" if direction is Direction.INBOUND else "following"
    return routes.collection_uri(origin, name, identifier)


def _legacy_key(us: str, them: str) -> StoreKey:
    return LEGACY_FOLLOWS.key(LegacyFollowKey.of(us, them))


def _relation_from(blank: Relation, entry: Entry | None, legacy_entry: Entry | None) -> Relation:
    if entry is not None:
        record = RELATIONS.decode(entry.value)
        if (record.us, record.them) != (blank.us, blank.them):
            return blank
        state = RelationState(record.state)
        is_indexed = blank.direction is Direction.INBOUND and state in INDEXED_STATES
        return evolve(
            blank,
            members=record.members,
            state=state,
            follow_ids=record.follow_ids,
            answer_ids=record.earlier_answer_ids + (() if record.answer_id is None else (record.answer_id,)),
            last_received=record.last_received,
            item=record.body,
            indexed_ids=record.follow_ids if is_indexed else (),
            entry=entry,
            record=record,
        )
    if legacy_entry is None or blank.direction is Direction.INBOUND:
        return blank
    legacy = LEGACY_FOLLOWS.decode(legacy_entry.value)
    if legacy.object != blank.them:
        return blank
    state = _LEGACY_STATES.get(legacy.state) or RelationState(legacy.state)
    return evolve(blank, state=state, follow_ids=(legacy.id,), is_legacy=True)
