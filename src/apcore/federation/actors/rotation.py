"""Replacing an actor's keys, and retiring the old ones.

A rotation is one commit. From then on the new generation signs, and is first in the actor's document. The old one stays
published, with its time of retirement, for `KeyPolicy.retire_after_s`. The new key is never published while the old one
still signs: most servers read only one key of a document, and that must be the key that signs.

Followers get an Update of the actor that is signed with the *old* key. A peer with the old key in its cache can verify
it. A peer without it fetches the actor, finds only the new key, and refuses; the next attempt is signed with the new
key. Other peers need no message: when a signature fails with a cached key, they fetch the actor again.

Retiring has three steps, and each may be repeated: remove the keys from the document, from the signer, and from the
list of due retirements.

Records::

    ("keys-due", "1", time, H(actor), generation)     retire the keys before this generation at this time
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import DropKey, Now, Op, RandomBytes, Scan, commit, commit_batch
from apcore.errors import ContractError, SignatureError, StoreBusy, Unavailable
from apcore.federation.actors.documents import actor_document
from apcore.federation.actors.keys import OwnKey, StoredKeys, make_generation, own_keys, read_stored_keys
from apcore.federation.actors.profiles import require_actor
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.site import Site
from apcore.federation.unit_of_work import SendActivity
from apcore.federation.unit_setup import unit_of_work_for
from apcore.http import Origin, parse_url
from apcore.ports import NO_CHANGE, Batch, Check, DeleteEntry, Entry, KeyKind, MadeKey, Put, StoreKey, digest_part
from apcore.records.format import NewerFormat, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.signatures import read_spki
from apcore.vocab import PUBLIC, Update, read_document

__all__ = ["Rotation", "retire_due", "rotate"]

_RSA_BITS_MIN: Final = 2048
"""Most servers refuse shorter keys."""
_TYPES: Final[tuple[tuple[KeyKind, str], ...]] = (("rsa-2048", "rsa"), ("ed25519", "ed25519"))
_ATTEMPTS_MAX: Final = 5
_PAGE: Final = 20
_LOG: Final = logging.getLogger(__name__)


@frozen
class Rotation:
    """The result of a key rotation."""

    actor: str
    signs: tuple[str, ...]
    """The ids of the new keys, that of the RSA key first."""
    replaced: tuple[str, ...]
    """The ids of the keys that signed until now."""
    retired: datetime
    """The time from which the replaced keys are no longer published."""


def rotate(
    site: Site, identifier: str | None, *, announce: bool = True, keys: Sequence[MadeKey] | None = None
) -> Op[Rotation]:
    """Replace the keys of a local actor, or those of the instance actor if ``identifier`` is None.

    By default, new keys are made. Give ``keys`` to use an RSA and an Ed25519 key that the signer already holds. If the
    actor has no keys yet, these become its first.

    With ``announce``, followers get an Update of the actor that is signed with the old key. The instance actor has no
    followers.

    Effects: the actor's handler, two `MakeKey` (none with ``keys``), one commit. If another operation commits first,
    the commit is repeated with the same keys, up to five attempts in all.

    Raises:
        ActorUnknown: The actor does not exist, or is gone.
        ContractError: ``generations_max`` generations are already published.
        StoreBusy: Another operation committed first in all attempts.
        ValueError: ``keys`` are not one of each kind, or one of them is already this actor's.
    """
    view = None if identifier is None else (yield from require_actor(site, identifier))
    actor = site.instance_uri if identifier is None else site.actor_uri(identifier)
    if keys is None:
        _ = yield from own_keys(site, actor)
    new_keys: tuple[OwnKey, ...] = ()
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        stored = yield from read_stored_keys(actor)
        if stored is None:
            if keys is None:
                raise ContractError(f"the keys of {actor} were committed, but the store does not return them")
            stored = StoredKeys(actor, (), 0)
        now = yield from Now()
        _check_generations(site, stored, now)
        if keys is not None:
            new_keys = _check_supplied_keys(stored, keys, now)
        elif not new_keys:
            new_keys = yield from make_generation(actor, stored.generation + 1)
        retire_at = now + timedelta(seconds=site.federation.key_policy.retire_after_s)
        rotated = _add_generation(stored, new_keys, retire_at)
        old_keys = [key for key in stored.keys if key.until is None]
        names = [key.name for key in old_keys]
        due = [Put(_due_key(rotated, retire_at), encode_record({"actor": actor, "names": names}))] if names else []
        announcement = NO_CHANGE
        if announce and old_keys and identifier is not None and view is not None:
            document = actor_document(site, identifier, view, rotated.published(now))
            unit = unit_of_work_for(site, seed=seed)
            _ = unit.address(_announcement(site, identifier, document, old_keys[0]))
            announcement = yield from flush(site, unit)
        # One commit, so that no peer can see the new key before it signs, and no retirement or Update is lost.
        rotation = Batch([stored.unchanged_check], [rotated.to_put(), *due])
        if (yield from commit_batch(rotation + announcement)) is not False:
            new_ids = [key.key_id for key in rotated.keys if key.until is None]
            return Rotation(actor, tuple(new_ids), tuple(key.key_id for key in old_keys), retire_at)
    # Supplied keys belong to the caller. Only keys that were made here are dropped.
    for key in () if keys is not None else new_keys:
        _ = yield from DropKey(key.name)
    raise StoreBusy(f"the keys of {actor} changed during each of {_ATTEMPTS_MAX} attempts to replace them; try again")


def _check_generations(site: Site, stored: StoredKeys, now: datetime) -> None:
    """Raise `ContractError` if as many generations are published as the policy allows."""
    generations_max = site.federation.key_policy.generations_max
    generations = {key.generation for key in stored.published(now)}
    if len(generations) >= generations_max:
        next_retirement = min(key.until for key in stored.keys if key.until is not None and key.until > now)
        raise ContractError(
            f"{len(generations)} generations of keys of {stored.actor} are published, and at most {generations_max} "
            f"may be; the next is retired at {next_retirement:%Y-%m-%d %H:%M} UTC"
        )


def _check_supplied_keys(stored: StoredKeys, keys: Sequence[MadeKey], now: datetime) -> tuple[OwnKey, ...]:
    """Check the kinds and public halves of keys that were made elsewhere, and return them as keys of the actor."""
    by_kind = {key.kind: key for key in keys}
    if len(keys) != 2 or set(by_kind) != {"rsa-2048", "ed25519"}:
        raise ValueError(f"an actor has one RSA and one Ed25519 key, not {[key.kind for key in keys]}")
    own: list[OwnKey] = []
    for kind, type_ in _TYPES:
        key = by_kind[kind]
        try:
            public = read_spki(key.public, key_id=key.name, owner=stored.actor)
        except SignatureError as error:
            raise ValueError(f"the public half of {key.name!r:.60} cannot be published: {error}") from error
        if public.type != type_ or (type_ == "rsa" and public.bits < _RSA_BITS_MIN):
            raise ValueError(
                f"{key.name!r:.60} is a key of type {public.type} with {public.bits} bits, "
                f"but its kind says {kind}; RSA keys have at least {_RSA_BITS_MIN} bits"
            )
        if any(public.spki == other.public or key.name == other.name for other in stored.keys):
            raise ValueError(f"{key.name!r:.60} is already a key of {stored.actor}")
        own.append(OwnKey(key.name, key.kind, stored.actor, public.spki, now))
    return tuple(own)


def _add_generation(stored: StoredKeys, new_keys: tuple[OwnKey, ...], retire_at: datetime) -> StoredKeys:
    generation = stored.generation + 1
    old_keys = [evolve(key, until=retire_at) if key.until is None else key for key in stored.keys]
    numbered_keys = [evolve(key, generation=generation) for key in new_keys]
    return evolve(stored, keys=(*old_keys, *numbered_keys), generation=generation)


def _announcement(site: Site, identifier: str, document: dict[str, Any], key: OwnKey) -> SendActivity:
    followers = site.federation.places.uri(site.origin, "collection", "followers", identifier=identifier)
    update = {
        "@context": document["@context"],
        "type": Update.type_name,
        "actor": document["id"],
        "to": [PUBLIC],
        "cc": [followers],
        "object": {name: value for name, value in document.items() if name != "@context"},
    }
    return SendActivity(read_document(update, origin=site.origin), identifier, (followers,), key=key.name)


# --- retiring -------------------------------------------------------------------------------------------------------


def retire_due(is_own_origin: Callable[[Origin], bool] | None = None) -> Op[int]:
    """Retire the keys of due rotations, and return the number of these rotations.

    A call stops after the page of twenty entries on which the number reaches twenty.

    Only actors at origins that satisfy ``is_own_origin`` are considered: other nodes on the same store may keep their
    keys in another signer. A retirement that fails because a service is unavailable is left for the next call.

    Effects: `Now`, and one `Scan` for every twenty due rotations. For each rotation a `Get`, two commits, and one
    `DropKey` for each key.
    """
    now = yield from Now()
    count, after = 0, None
    while count < _PAGE:
        entries = yield from Scan(("keys-due", "1"), after=after, limit=_PAGE)
        for entry in entries:
            if from_epoch_ms(int(entry.key[2])) > now:
                return count
            try:
                actor = decode_record(entry.value).text("actor")
                if is_own_origin is None or is_own_origin(parse_url(actor).origin):
                    count += yield from _retire(entry)
            except (Unavailable, NewerFormat) as error:
                _LOG.warning("replaced keys could not be retired; the next run tries again: %s", error)
        if len(entries) < _PAGE:
            break
        after = entries[-1].key
    return count


def _retire(due: Entry) -> Op[bool]:
    """Retire the keys of one rotation; return False if the actor's keys changed meanwhile."""
    record = decode_record(due.value)
    names: list[str] = record.members["names"]
    stored = yield from read_stored_keys(record.text("actor"))
    # Document first, then signer, then the due entry: after a crash the entry is still there, and the next run repeats.
    if stored is not None and any(key.name in names for key in stored.keys):
        remaining = evolve(stored, keys=tuple(key for key in stored.keys if key.name not in names))
        if (yield from commit((stored.unchanged_check,), (remaining.to_put(),))) is False:
            return False
    for name in names:
        _ = yield from DropKey(name)
    _ = yield from commit((Check(due.key, due.version),), (DeleteEntry(due.key),))
    return True


def _due_key(rotated: StoredKeys, retire_at: datetime) -> StoreKey:
    # The generation keeps two rotations within a millisecond apart.
    return ("keys-due", "1", f"{to_epoch_ms(retire_at):014d}", digest_part(rotated.actor), str(rotated.generation))
