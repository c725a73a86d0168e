"""Declare the stored records about the keys of local actors. All of them hold only public data."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import frozen

from apcore.http import Origin
from apcore.ports import KeyKind, digest_part
from apcore.records import RecordKind, StoredPart, StoredRecord
from apcore.records.format import from_epoch_ms, to_epoch_ms

__all__ = [
    "KEY_RETIREMENTS",
    "KEY_RINGS",
    "KEY_WINDOWS",
    "OWN_ACTORS",
    "KeyRetirement",
    "KeyRetirementKey",
    "KeyRingKey",
    "KeyRingRecord",
    "KeyWindow",
    "KeyWindowKey",
    "OwnActorKey",
    "OwnActorRecord",
    "StoredKey",
]


class KeyRingKey(NamedTuple):
    """The actor of ours."""

    actor_digest: str

    @classmethod
    def of(cls, actor: str) -> KeyRingKey:
        """Return the key of the ring of ``actor``."""
        return cls(digest_part(actor))


@frozen(kw_only=True)
class StoredKey(StoredPart):
    """The public half of one key of a local actor."""

    name: str
    """The name of the private half in the signer."""
    kind: KeyKind
    public: bytes
    """SubjectPublicKeyInfo."""
    created: datetime
    generation: int = 1
    until: datetime | None = None
    """The time of retirement of a replaced key."""


@frozen(kw_only=True)
class KeyRingRecord(StoredRecord):
    """The public keys of an actor of yours, oldest first: the one that signs, and those that it replaced lately."""

    actor: str
    generation: int = 1
    """The number of the newest generation, even if it is no longer stored."""
    keys: tuple[StoredKey, ...]


KEY_RINGS: Final = RecordKind(
    "keys",
    KeyRingRecord,
    KeyRingKey,
    lifetime="for ever",
    size="about 1 KiB for each generation",
    written_by="the first use of an actor, and rotation",
)


class KeyWindowKey(NamedTuple):
    """The origin of ours, and the number of the window since 1970."""

    origin: str
    window: str

    @classmethod
    def of(cls, origin: Origin, window: int) -> KeyWindowKey:
        """Return the key of the window with this number at ``origin``."""
        return cls(str(origin), str(window))


@frozen(kw_only=True)
class KeyWindow(StoredRecord):
    """The actors of yours that got their first keys in a window of time, which bounds how many keys are made."""

    actors: tuple[str, ...]
    """Digests of their ids."""


KEY_WINDOWS: Final = RecordKind(
    "keys-made",
    KeyWindow,
    KeyWindowKey,
    lifetime="two windows of `KeyPolicy.made_window_s`",
    size="45 bytes for each actor, `KeyPolicy.made_max` at most",
    written_by="the first use of an actor",
)


class KeyRetirementKey(NamedTuple):
    """The time of retirement, the actor, and the generation that replaced the keys.

    The time is in milliseconds since 1970, in 14 digits, so that the keys sort by it. The generation keeps two
    rotations within a millisecond apart.
    """

    due_ms: str
    actor_digest: str
    generation: str

    @classmethod
    def of(cls, due: datetime, actor: str, generation: int) -> KeyRetirementKey:
        """Return the key of the retirement of the keys that ``generation`` replaced."""
        return cls(f"{to_epoch_ms(due):014d}", digest_part(actor), str(generation))

    @property
    def due(self) -> datetime:
        """The time of retirement."""
        return from_epoch_ms(int(self.due_ms))


@frozen(kw_only=True)
class KeyRetirement(StoredRecord):
    """The keys of an actor that are to be retired at a time."""

    actor: str
    names: tuple[str, ...]
    """The names of the keys in the signer."""


KEY_RETIREMENTS: Final = RecordKind(
    "keys-due", KeyRetirement, KeyRetirementKey, lifetime="until the keys are retired", written_by="rotation"
)


class OwnActorKey(NamedTuple):
    """The actor of ours."""

    actor_digest: str

    @classmethod
    def of(cls, actor: str) -> OwnActorKey:
        """Return the key of the record about our actor with this id."""
        return cls(digest_part(actor))


@frozen(kw_only=True)
class OwnActorRecord(StoredRecord):
    """The aliases of an actor of yours, its new account, and its deletion."""

    actor: str
    also_known_as: tuple[str, ...] = ()
    """The ids of its other accounts."""
    moved_to: str | None = None
    """The id of its new account."""
    deleted: datetime | None = None
    """The time of its deletion."""
    former_type: str | None = None
    """Its type before the deletion."""

    @property
    def is_deleted(self) -> bool:
        """Whether the actor is deleted."""
        return self.deleted is not None


OWN_ACTORS: Final = RecordKind(
    "own-actor",
    OwnActorRecord,
    OwnActorKey,
    lifetime="for ever",
    written_by="`set_aliases`, `move_actor` and `delete_actor`",
)
