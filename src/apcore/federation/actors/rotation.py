"""Replace an actor's keys, and retire the old ones.

A rotation is one commit. From then on the new generation signs, and is first in the actor's document. The old one stays
published, with its time of retirement, for `KeyPolicy.retire_after_s`. The new key is never published while the old one
still signs: most servers read only one key of a document, and that must be the key that signs.

Followers get an Update of the actor that is signed with the *old* key. A peer with the old key in its cache can verify
it. A peer without it fetches the actor, finds only the new key, and refuses; the next attempt is signed with the new
key. Other peers need no message: when a signature fails with a cached key, they fetch the actor again.

Retiring has three steps, and each may be repeated: remove the keys from the document, from the signer, and from the
list of due retirements. `apcore.federation.actors.generations` has the table of all steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import frozen

from apcore.effects import DropKey, Now, Op, RandomBytes, Scan, commit, commit_batch
from apcore.errors import ContractError, SignatureError, StoreBusy, Unavailable
from apcore.federation.actors.documents import actor_document
from apcore.federation.actors.generations import GenerationAction
from apcore.federation.actors.key_ring import KeyRing, OwnKey
from apcore.federation.actors.keys import make_generation, own_keys, read_key_ring
from apcore.federation.actors.profiles import require_actor
from apcore.federation.actors.records import KEY_RETIREMENTS, KeyRetirement, KeyRetirementKey
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import SendActivity
from apcore.http import Origin, parse_url
from apcore.ports import Batch, KeyKind, MadeKey
from apcore.records import Stored
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
    site: Site, identifier: str | None, *, announce: bool | None = None, keys: Sequence[MadeKey] | None = None
) -> Op[Rotation]:
    """Replace the keys of a local actor, or those of the instance actor if ``identifier`` is None.

    By default, new keys are made. Give ``keys`` to use an RSA and an Ed25519 key that the signer already holds. If the
    actor has no keys yet, these become its first.

    With ``announce``, followers get an Update of the actor that is signed with the old key; None leaves that to
    `KeyPolicy.announce`. The instance actor has no followers.

    Effects: the actor's handler, two `MakeKey` (none with ``keys``), one commit. If another operation commits first,
    the commit is repeated with the same keys, up to five attempts in all.

    Raises:
        ActorUnknown: The actor does not exist, or is gone.
        ContractError: ``generations_max`` generations are already published.
        StoreBusy: Another operation committed first in all attempts.
        ValueError: ``keys`` are not one of each kind, or one of them is already this actor's.
    """
    if identifier is not None:
        _ = yield from require_actor(site, identifier)
    is_announced = site.federation.key_policy.announce if announce is None else announce
    actor = site.instance_uri if identifier is None else site.actor_uri(identifier)
    if keys is None:
        _ = yield from own_keys(site, actor)
    new_keys: tuple[OwnKey, ...] = ()
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        # The actor may have been deleted since the last attempt. Its keys are in the commit of that too.
        view = None if identifier is None else (yield from require_actor(site, identifier))
        ring = yield from read_key_ring(actor)
        if ring is None:
            if keys is None:
                raise ContractError(f"the keys of {actor} were committed, but the store does not return them")
            ring = KeyRing(actor, (), 0)
        now = yield from Now()
        _check_generations(site, ring, now)
        if keys is not None:
            new_keys = _check_supplied_keys(ring, keys, now)
        elif not new_keys:
            new_keys = yield from make_generation(actor, ring.generation + 1)
        retire_at = now + timedelta(seconds=site.federation.key_policy.retire_after_s)
        rotated, actions = ring.replace(new_keys, retire_at=retire_at, now=now)
        old_keys = [key for key in ring.keys if key.until is None]
        rotation = Batch([ring.unchanged_check], [rotated.to_put()])
        if GenerationAction.SCHEDULE_RETIREMENT in actions:
            retirement = KeyRetirement(actor=actor, names=tuple(key.name for key in old_keys))
            retirement_key = KeyRetirementKey.of(retire_at, actor, rotated.generation)
            rotation += Batch(writes=[KEY_RETIREMENTS.put(retirement_key, retirement)])
        if is_announced and GenerationAction.ANNOUNCE in actions and identifier is not None and view is not None:
            document = actor_document(site, identifier, view, rotated.published(now))
            unit = unit_of_work_for(site, seed=seed)
            _ = unit.address(_announcement(site, identifier, document, old_keys[0]))
            rotation += yield from flush(site, unit)
        # One commit, so that no peer can see the new key before it signs, and no retirement or Update is lost.
        if (yield from commit_batch(rotation)) is not False:
            new_ids = [key.key_id for key in rotated.keys if key.until is None]
            return Rotation(actor, tuple(new_ids), tuple(key.key_id for key in old_keys), retire_at)
    # Supplied keys belong to the caller. Only keys that were made here are dropped.
    for key in () if keys is not None else new_keys:
        _ = yield from DropKey(key.name)
    raise StoreBusy(f"the keys of {actor} changed during each of {_ATTEMPTS_MAX} attempts to replace them; try again")


def _check_generations(site: Site, ring: KeyRing, now: datetime) -> None:
    """Raise `ContractError` if as many generations are published as the policy allows."""
    generations_max = site.federation.key_policy.generations_max
    generations = {key.generation for key in ring.published(now)}
    if len(generations) >= generations_max:
        next_retirement = min(key.until for key in ring.keys if key.until is not None and key.until > now)
        raise ContractError(
            f"{len(generations)} generations of keys of {ring.actor} are published, and at most {generations_max} "
            f"may be; the next is retired at {next_retirement:%Y-%m-%d %H:%M} UTC"
        )


def _check_supplied_keys(ring: KeyRing, keys: Sequence[MadeKey], now: datetime) -> tuple[OwnKey, ...]:
    """Check the kinds and public halves of keys that were made elsewhere, and return them as keys of the actor."""
    by_kind = {key.kind: key for key in keys}
    if len(keys) != 2 or set(by_kind) != {"rsa-2048", "ed25519"}:
        raise ValueError(f"an actor has one RSA and one Ed25519 key, not {[key.kind for key in keys]}")
    own: list[OwnKey] = []
    for kind, type_ in _TYPES:
        key = by_kind[kind]
        try:
            public = read_spki(key.public, key_id=key.name, owner=ring.actor)
        except SignatureError as error:
            raise ValueError(f"the public half of {key.name!r:.60} cannot be published: {error}") from error
        if public.type != type_ or (type_ == "rsa" and public.bits < _RSA_BITS_MIN):
            raise ValueError(
                f"{key.name!r:.60} is a key of type {public.type} with {public.bits} bits, "
                f"but its kind says {kind}; RSA keys have at least {_RSA_BITS_MIN} bits"
            )
        if any(public.spki == other.public or key.name == other.name for other in ring.keys):
            raise ValueError(f"{key.name!r:.60} is already a key of {ring.actor}")
        own.append(OwnKey(key.name, key.kind, ring.actor, public.spki, now))
    return tuple(own)


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

    The list of retirements is read in pages of twenty. A call stops after the page on which the number reaches twenty.

    Only actors at origins that satisfy ``is_own_origin`` are considered: other nodes on the same store may keep their
    keys in another signer. A retirement that fails because a service is unavailable is left for the next call.

    Effects: `Now`, and one `Scan` for every twenty due rotations. For each rotation a `Get`, two commits, and one
    `DropKey` for each key.
    """
    now = yield from Now()
    count, after = 0, None
    while count < _PAGE:
        entries = yield from Scan(KEY_RETIREMENTS.at(), after=after, limit=_PAGE)
        for entry in entries:
            try:
                if KEY_RETIREMENTS.parts_of(entry.key).due > now:
                    return count
                due = KEY_RETIREMENTS.read(entry)
                if is_own_origin is None or is_own_origin(parse_url(due.record.actor).origin):
                    count += yield from _retire(due)
            except (Unavailable, ContractError) as error:
                # Also a record of a newer release, or a damaged one: the others are retired all the same.
                _LOG.warning("replaced keys could not be retired; the next run tries again: %s", error)
        if len(entries) < _PAGE:
            break
        after = entries[-1].key
    return count


def _retire(due: Stored[KeyRetirement, KeyRetirementKey]) -> Op[bool]:
    """Retire the keys of one rotation; return False if the actor's keys changed meanwhile."""
    actor, names = due.record.actor, due.record.names
    ring = (yield from read_key_ring(actor)) or KeyRing(actor, (), 0)
    change = ring.retire(names)
    if GenerationAction.WITHDRAW in change.actions:
        ring, check = ring.without(names), ring.unchanged_check
        if (yield from commit((check,), (ring.to_put(),))) is False:
            return False
        change = ring.retire(names)
    if GenerationAction.DROP_KEYS in change.actions:
        for name in names:
            _ = yield from DropKey(name)
    if GenerationAction.FORGET_RETIREMENT in change.actions:
        _ = yield from commit((due.check,), (due.deletion,))
    return True
