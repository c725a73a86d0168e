"""Define `KeyRing`, the keys of one local actor, and how they are published.

The keys of an actor come in generations (`apcore.federation.actors.generations`). The newest generation signs. Older
ones stay published until they are retired, so that peers can still verify earlier signatures. Each generation has its
own ids (``#main-key``, then ``#main-key-2``), because peers cache keys by id: if an id were given to another key, peers
would refuse our signatures until their cache expires.

``publicKey`` is always one key and never a list: the key that signs. Most servers read only that (Misskey, Pleroma,
Lemmy and Pixelfed read no other shape). All other keys are in ``assertionMethod`` (FEP-521a), older RSA keys too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, field, frozen

from apcore.federation.actors.generations import (
    GenerationAction,
    GenerationEvent,
    GenerationState,
    GenerationTransition,
    advance_generation,
)
from apcore.federation.actors.records import KEY_RINGS, KeyRingKey, KeyRingRecord, StoredKey
from apcore.federation.site import Site
from apcore.ports import Check, Entry, KeyKind, Put, StoreKey
from apcore.remote import Identity
from apcore.signatures import read_spki

__all__ = ["KEY_FRAGMENTS", "KeyRing", "OwnKey", "key_members", "key_ring_key"]

KEY_FRAGMENTS: Final[dict[KeyKind, str]] = {"rsa-2048": "main-key", "ed25519": "ed25519-key"}
"""The fragments of the ids of a generation's keys, by kind, in the order in which they are made."""
_PUBLISHED: Final = frozenset({GenerationState.SIGNING, GenerationState.REPLACED})


@frozen
class OwnKey:
    """A key of a local actor."""

    name: str
    """The name of the private key in the signer."""
    kind: KeyKind
    owner: str
    public: bytes = field(repr=False)
    created: datetime
    generation: int = 1
    until: datetime | None = None
    """The time of retirement of a replaced key. Until then it is published, but signs nothing."""

    @property
    def key_id(self) -> str:
        """The id under which peers find the key. No two keys ever share one."""
        number = "" if self.generation == 1 else f"-{self.generation}"
        return f"{self.owner}#{KEY_FRAGMENTS[self.kind]}{number}"

    def identity(self, site: Site) -> Identity:
        """Return the identity of requests that are signed with this key."""
        return Identity(key_name=self.name, key_id=self.key_id, scheme=site.federation.signature_scheme)

    def state(self, now: datetime) -> GenerationState:
        """Return the state of its generation."""
        if self.until is None:
            return GenerationState.SIGNING
        return GenerationState.REPLACED if self.until > now else GenerationState.EXPIRED


@frozen
class KeyRing:
    """The keys of an actor as stored, including expired keys that are not withdrawn yet."""

    actor: str
    keys: tuple[OwnKey, ...]
    generation: int
    """The number of the newest generation, even if it is no longer stored."""
    entry: Entry | None = None
    """The entry from which the keys were read; None if they are not stored yet."""

    @classmethod
    def read(cls, actor: str, entry: Entry) -> KeyRing:
        """Read the ring of ``actor`` from the entry that holds it."""
        keys, generation = _stored_keys(actor, entry.value)
        return cls(actor, keys, generation, entry)

    @property
    def unchanged_check(self) -> Check:
        """The check that the stored keys have not changed since they were read."""
        return Check(key_ring_key(self.actor), None if self.entry is None else self.entry.version)

    def to_put(self) -> Put:
        """Return the write that stores the keys."""
        keys = tuple(
            StoredKey(
                name=key.name,
                kind=key.kind,
                public=key.public,
                created=key.created,
                generation=key.generation,
                until=key.until,
            )
            for key in self.keys
        )
        record = KeyRingRecord(actor=self.actor, generation=self.generation, keys=keys)
        return KEY_RINGS.put(KeyRingKey.of(self.actor), record)

    def published(self, now: datetime) -> tuple[OwnKey, ...]:
        """Return the keys that are not expired: the signing generation first, then older keys from new to old."""
        keys = [key for key in self.keys if key.state(now) in _PUBLISHED]
        return tuple(sorted(keys, key=lambda key: (key.until is not None, -key.generation, key.kind != "rsa-2048")))

    def replace(
        self, new_keys: Sequence[OwnKey], *, retire_at: datetime, now: datetime
    ) -> tuple[KeyRing, set[GenerationAction]]:
        """Return the ring with ``new_keys`` as its newest generation, and the actions that belong to the change.

        Keys that signed until now are retired at ``retire_at``.
        """
        generation = self.generation + 1
        actions = set(advance_generation(GenerationState.ABSENT, GenerationEvent.ADD).actions)
        older_ring, older_actions = self._scheduled(GenerationEvent.REPLACE, retire_at, now)
        numbered_keys = [evolve(key, generation=generation) for key in new_keys]
        return evolve(self, keys=(*older_ring.keys, *numbered_keys), generation=generation), actions | older_actions

    def close(self, *, retire_at: datetime, now: datetime) -> tuple[KeyRing, set[GenerationAction]]:
        """Return the ring of an actor that is deleted, and the actions that belong to the change.

        Keys that sign now are retired at ``retire_at``, and none replaces them.
        """
        return self._scheduled(GenerationEvent.CLOSE, retire_at, now)

    def _scheduled(
        self, event: GenerationEvent, retire_at: datetime, now: datetime
    ) -> tuple[KeyRing, set[GenerationAction]]:
        actions: set[GenerationAction] = set()
        keys: list[OwnKey] = []
        for key in self.keys:
            change = advance_generation(key.state(now), event)
            actions.update(change.actions)
            is_scheduled = GenerationAction.SCHEDULE_RETIREMENT in change.actions
            keys.append(evolve(key, until=retire_at) if is_scheduled else key)
        return evolve(self, keys=tuple(keys)), actions

    def retire(self, names: Sequence[str]) -> GenerationTransition:
        """Return the transition of the keys with these names, whose time of retirement has come."""
        is_stored = any(key.name in names for key in self.keys)
        state = GenerationState.EXPIRED if is_stored else GenerationState.WITHDRAWN
        return advance_generation(state, GenerationEvent.RETIRE)

    def without(self, names: Sequence[str]) -> KeyRing:
        """Return the ring without the keys with these names."""
        return evolve(self, keys=tuple(key for key in self.keys if key.name not in names))


def key_ring_key(actor: str) -> StoreKey:
    """Return the store key of the ring of an actor."""
    return KEY_RINGS.key(KeyRingKey.of(actor))


def key_members(keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Return the members of an actor's document that publish its keys.

    The first key is in ``publicKey`` as PEM. The others are in ``assertionMethod`` (FEP-521a).
    """
    first, *others = keys
    members: dict[str, Any] = {
        "publicKey": {"id": first.key_id, "owner": first.owner, "publicKeyPem": _pem(first.public)}
    }
    for key in others:
        multikey = {
            "id": key.key_id,
            "type": "Multikey",
            "controller": key.owner,
            "publicKeyMultibase": _multibase(key.public),
        }
        if key.until is not None:
            multikey["expires"] = key.until.isoformat(timespec="seconds").replace("+00:00", "Z")
        members.setdefault("assertionMethod", []).append(multikey)
    return members


# They depend on nothing but the stored bytes, which are read each time. Only local keys enter these caches.
@lru_cache(maxsize=4096)
def _stored_keys(actor: str, value: bytes) -> tuple[tuple[OwnKey, ...], int]:
    record = KEY_RINGS.decode(value)
    keys = tuple(
        OwnKey(key.name, key.kind, actor, key.public, key.created, key.generation, key.until) for key in record.keys
    )
    return keys, record.generation


# Parsing a key costs more than the rest of an actor's document. Only local keys enter these caches, never a peer's.
@lru_cache(maxsize=4096)
def _pem(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").pem


@lru_cache(maxsize=4096)
def _multibase(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").multibase
