"""Declare the stored records of follow relations."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import frozen

from apcore.federation.relations.table import Direction
from apcore.http import Origin
from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord

__all__ = [
    "DELETED_ACTORS",
    "DELETED_KEPT_S",
    "ENDED_KEPT_S",
    "FOLLOW_IDS",
    "LEGACY_FOLLOWS",
    "MET_ACTORS",
    "REJECTED_KEPT_S",
    "RELATIONS",
    "RELAYS",
    "ActorKey",
    "ActorRecord",
    "FollowIdKey",
    "FollowIdRecord",
    "LegacyFollowKey",
    "LegacyFollowRecord",
    "RelationKey",
    "RelationRecord",
    "RelayKey",
    "RelayRecord",
]

REJECTED_KEPT_S: Final = 30 * 86400.0
"""How long a rejected request of another actor is stored. It expires because strangers decide how many there are."""
ENDED_KEPT_S: Final = 10 * 86400.0
"""How long the end of a relation is stored, in case that an earlier Follow is still to be processed."""
DELETED_KEPT_S: Final = 365 * 86400.0
"""How long the deletion of an actor is remembered."""


class RelationKey(NamedTuple):
    """The key of a relation. The other actor comes first, so that all relations with it share a prefix."""

    them: str
    us: str
    direction: str

    @classmethod
    def of(cls, direction: Direction, us: str, them: str) -> RelationKey:
        """Return the key of the relation of our actor ``us`` and ``them``."""
        return cls(digest_part(them), digest_part(us), direction.value)


@frozen(kw_only=True)
class RelationRecord(StoredRecord):
    """The follow relation of an actor of ours and another actor. The collection stores the body with the member."""

    direction: str
    us: str
    them: str
    members: str
    """The address of the collection that holds the other actor while the relation is accepted."""
    state: str
    follow_ids: tuple[str, ...] = ()
    answer_id: str | None = None
    """The id of the newest activity of the followed actor that led to the state."""
    earlier_answer_ids: tuple[str, ...] = ()
    """The ids of earlier activities that led to the same state, oldest first."""
    last_received: datetime | None = None
    """The time at which the newest activity of the other actor was received that changed the relation."""


class LegacyFollowKey(NamedTuple):
    """The key of a Follow of ours in the format of earlier releases."""

    us: str
    them: str

    @classmethod
    def of(cls, us: str, them: str) -> LegacyFollowKey:
        """Return the key of the Follow of ``them`` by our actor ``us``."""
        return cls(digest_part(us), digest_part(them))


@frozen(kw_only=True)
class LegacyFollowRecord(StoredRecord):
    """A Follow of ours as development versions before 0.1 stored it."""

    id: str
    state: str
    object: str


class FollowIdKey(NamedTuple):
    """The key of a received Follow.

    It contains the follower: two actors of one origin may use the same id, and neither may undo the Follow of the
    other.
    """

    follower: str
    follow_id: str

    @classmethod
    def of(cls, follower: str, follow_id: str) -> FollowIdKey:
        """Return the key of the Follow ``follow_id`` of an actor."""
        return cls(digest_part(follower), digest_part(follow_id))


@frozen(kw_only=True)
class FollowIdRecord(StoredRecord):
    """The actor of ours that is the object of a received Follow. It is found by the id of the Follow."""

    follower: str
    us: str | None = None
    """None in records of earlier releases."""
    identifier: str | None = None


class ActorKey(NamedTuple):
    """The key of a record about another actor."""

    actor: str

    @classmethod
    def of(cls, actor: str) -> ActorKey:
        """Return the key of the record about the actor with this id."""
        return cls(digest_part(actor))


@frozen(kw_only=True)
class ActorRecord(StoredRecord):
    """The id of an actor about which something is remembered."""

    actor: str


class RelayKey(NamedTuple):
    """The key of a relay. The origin of ours comes first, so that its relays share a prefix."""

    origin: str
    url: str

    @classmethod
    def of(cls, origin: Origin, url: str) -> RelayKey:
        """Return the key of the subscription of ``origin`` to the relay at ``url``."""
        return cls(digest_part(str(origin)), digest_part(url))


@frozen(kw_only=True)
class RelayRecord(StoredRecord):
    """The subscription of an origin of ours to a relay."""

    url: str
    """The inbox or the actor of the relay, as its kind says."""
    kind: str
    follow_id: str
    actor: str | None = None
    """The actor of the relay; None until a relay that is known by its inbox has answered."""


@frozen(kw_only=True)
class MetActorRecord(ActorRecord):
    """An actor that has had a relation with one of ours. Its key is fetched to check its Updates and Deletes."""


@frozen(kw_only=True)
class DeletedActorRecord(ActorRecord):
    """An actor that deleted itself: nothing is delivered to it, even if a collection still holds it."""


RELATIONS: Final = RecordKind(
    "relation",
    RelationRecord,
    RelationKey,
    lifetime="until the relation ends; 10 days after its follower ended it; 30 days after a rejection",
    written_by="follow relations",
    size="up to 10 KiB",
)
LEGACY_FOLLOWS: Final = RecordKind(
    "follow",
    LegacyFollowRecord,
    LegacyFollowKey,
    lifetime="until the relation changes; then a `relation` replaces it",
    written_by="development versions before 0.1",
)
FOLLOW_IDS: Final = RecordKind(
    "followed",
    FollowIdRecord,
    FollowIdKey,
    lifetime="while the request waits or is accepted",
    written_by="follow relations",
)
MET_ACTORS: Final = RecordKind("met", MetActorRecord, ActorKey, lifetime="for ever", written_by="follow relations")
DELETED_ACTORS: Final = RecordKind(
    "gone", DeletedActorRecord, ActorKey, lifetime="a year", written_by="side effects of a received Delete"
)
RELAYS: Final = RecordKind(
    "relay", RelayRecord, RelayKey, lifetime="until the relay is left", written_by="subscriptions to relays"
)
