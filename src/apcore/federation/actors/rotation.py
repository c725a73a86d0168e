"""Replacing an actor's keys, and retiring the old ones.

A rotation is one commit. With it the new generation signs, and stands first in the actor's document; the old one stays published, with its end, until
it is retired (`KeyPolicy.retire_after_s`). There is no overlap in which the new key is published and the old one still signs, since most servers read
only one key of a document: that has to be the one that signs.

Followers learn of it by an Update of the actor that is signed with the *old* key, so that whoever has that one cached can believe the new. Who has
none cached finds only the new one, refuses, and gets the Update again signed with the new. Everyone else notices by themselves: a signature that
fails with a cached key makes a server look at the actor again.

Retiring goes in three steps, each of which may be repeated: out of the document, out of the signer, off the list of what is left to do.

Facts::

    ("keys-due", "1", when, H(actor), generation)     the keys before this generation are to be retired then
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import DropKey, Now, Op, RandomBytes, Scan, commit
from apcore.errors import ContractError, SignatureError, StoreBusy, Unavailable
from apcore.federation.actors.documents import actor_document
from apcore.federation.actors.keys import KeysKept, OwnKey, kept_keys, make_generation, own_keys
from apcore.federation.actors.profiles import require_actor
from apcore.federation.outbox.pending_writes import Flushed, flush
from apcore.federation.site import Site
from apcore.federation.unit_of_work import SendActivity
from apcore.federation.unit_setup import unit_of_work_for
from apcore.http import Origin, parse_url
from apcore.ports import Check, DeleteEntry, Entry, KeyKind, MadeKey, Put, StoreKey, digest_part
from apcore.records.format import NewerFormat, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.signatures import read_spki
from apcore.vocab import PUBLIC, Update, read_document

__all__ = ["Rotation", "retire_due", "rotate"]

_RSA_BITS_MIN: Final = 2048
"""Shorter ones are refused by most."""
_TYPES: Final[tuple[tuple[KeyKind, str], ...]] = (("rsa-2048", "rsa"), ("ed25519", "ed25519"))
_ATTEMPTS_MAX: Final = 5
_PAGE: Final = 20
_LOG: Final = logging.getLogger(__name__)


@frozen
class Rotation:
    """What a rotation has done."""

    actor: str
    signs: tuple[str, ...]
    """The ids of the new keys, that of the RSA key first."""
    replaced: tuple[str, ...]
    """The ids of those that signed until now."""
    retired: datetime
    """When those are no longer published."""


def rotate(
    site: Site, identifier: str | None, *, announce: bool = True, keys: Sequence[MadeKey] | None = None
) -> Op[Rotation]:
    """Replace the keys of an actor of ours; of the instance actor, if ``identifier`` is None.

    With ``keys``, an RSA and an Ed25519 key that the signer holds already take their place, and not new ones; if the actor never had any, they
    are its first.

    With ``announce``, followers are sent an Update of the actor that is signed with the old key; the instance actor has none.

    Asks for: the actor's handler, two `MakeKey` (none with ``keys``), one commit; again, at most five times and without new keys, if somebody else was faster.

    Raises:
        ActorUnknown: There is no such actor, or it is gone.
        ContractError: ``generations_max`` generations are published already.
        StoreBusy: Somebody else was faster each time.
        ValueError: ``keys`` are not one of each kind, or were this actor's before.
    """
    made = None if identifier is None else (yield from require_actor(site, identifier))
    actor = site.instance_uri if identifier is None else site.actor_uri(identifier)
    if keys is None:
        _ = yield from own_keys(site, actor)
    fresh: tuple[OwnKey, ...] = ()
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        kept = yield from kept_keys(actor)
        if kept is None:
            if keys is None:
                raise ContractError(f"the keys of {actor} were committed and are not there")
            kept = KeysKept(actor, (), 0)
        now = yield from Now()
        _check_room(site, kept, now)
        if keys is not None:
            fresh = _given(kept, keys, now)
        elif not fresh:
            fresh = yield from make_generation(actor, kept.generation + 1)
        until = now + timedelta(seconds=site.federation.key_policy.retire_after_s)
        rotated = _rotated(kept, fresh, until)
        old = [key for key in kept.keys if key.until is None]
        due = (
            [Put(_due_key(rotated, until), encode_record({"actor": actor, "names": [key.name for key in old]}))]
            if old
            else []
        )
        flushed = Flushed()
        if announce and old and identifier is not None and made is not None:
            document = actor_document(site, identifier, made, rotated.published(now))
            scope = unit_of_work_for(site, seed=seed)
            _ = scope.address(_announcement(site, identifier, document, old[0]))
            flushed = yield from flush(site, scope)
        done = yield from commit(
            (kept.checked, *flushed.checks), (rotated.written(), *due, *flushed.writes), messages=flushed.messages
        )
        if done is not False:
            new = [key.key_id for key in rotated.keys if key.until is None]
            return Rotation(actor, tuple(new), tuple(key.key_id for key in old), until)
    for key in () if keys is not None else fresh:
        _ = yield from DropKey(key.name)
    raise StoreBusy(f"the keys of {actor} had changed each of {_ATTEMPTS_MAX} times")


def _check_room(site: Site, kept: KeysKept, now: datetime) -> None:
    most = site.federation.key_policy.generations_max
    alive = {key.generation for key in kept.published(now)}
    if len(alive) >= most:
        ends = min(key.until for key in kept.keys if key.until is not None and key.until > now)
        raise ContractError(
            f"{len(alive)} generations of keys of {kept.actor} are published, and at most {most} are; the next is retired at {ends:%Y-%m-%d %H:%M} UTC"
        )


def _given(kept: KeysKept, keys: Sequence[MadeKey], now: datetime) -> tuple[OwnKey, ...]:
    """Take keys that were made elsewhere, once it is sure that they are what they are said to be."""
    by_kind = {key.kind: key for key in keys}
    if len(keys) != 2 or set(by_kind) != {"rsa-2048", "ed25519"}:
        raise ValueError(f"an actor has one RSA and one Ed25519 key, not {[key.kind for key in keys]}")
    fresh: list[OwnKey] = []
    for kind, type_ in _TYPES:
        key = by_kind[kind]
        try:
            public = read_spki(key.public, key_id=key.name, owner=kept.actor)
        except SignatureError as error:
            raise ValueError(f"{key.name!r:.60} has no public half that can be published: {error}") from error
        if public.type != type_ or (type_ == "rsa" and public.bits < _RSA_BITS_MIN):
            raise ValueError(f"{key.name!r:.60} is {public.type} of {public.bits} bits, and given as {kind}")
        if any(public.spki == other.public or key.name == other.name for other in kept.keys):
            raise ValueError(f"{key.name!r:.60} is a key of {kept.actor} already")
        fresh.append(OwnKey(key.name, key.kind, kept.actor, public.spki, now))
    return tuple(fresh)


def _rotated(kept: KeysKept, fresh: tuple[OwnKey, ...], until: datetime) -> KeysKept:
    generation = kept.generation + 1
    old = [evolve(key, until=until) if key.until is None else key for key in kept.keys]
    return evolve(kept, keys=(*old, *(evolve(key, generation=generation) for key in fresh)), generation=generation)


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


def retire_due(ours: Callable[[Origin], bool] | None = None) -> Op[int]:
    """Retire the keys whose time has come, at most twenty rotations' of them; answers how many of those it was.

    Only keys of actors at the origins that ``ours`` admits: other nodes on the same store may keep theirs in another
    signer. Asks for: `Now`, one `Scan` for every twenty that are due; for each rotation a `Get`, two commits, and
    `DropKey` for each key. What cannot be done now is left for the next time.
    """
    now = yield from Now()
    count, after = 0, None
    while count < _PAGE:
        entries = yield from Scan(("keys-due", "1"), after=after, limit=_PAGE)
        for entry in entries:
            if from_epoch_ms(int(entry.key[2])) > now:
                return count
            try:
                if ours is None or ours(parse_url(decode_record(entry.value).text("actor")).origin):
                    count += yield from _retire(entry)
            except (Unavailable, NewerFormat) as error:
                _LOG.warning("keys are not retired yet: %s", error)
        if len(entries) < _PAGE:
            break
        after = entries[-1].key
    return count


def _retire(due: Entry) -> Op[bool]:
    fact = decode_record(due.value)
    names: list[str] = fact.members["names"]
    kept = yield from kept_keys(fact.text("actor"))
    if kept is not None and any(key.name in names for key in kept.keys):
        left = evolve(kept, keys=tuple(key for key in kept.keys if key.name not in names))
        if (yield from commit((kept.checked,), (left.written(),))) is False:
            return False
    for name in names:
        _ = yield from DropKey(name)
    _ = yield from commit((Check(due.key, due.version),), (DeleteEntry(due.key),))
    return True


def _due_key(rotated: KeysKept, until: datetime) -> StoreKey:
    # With the generation, so that two rotations within a millisecond have an entry each.
    return ("keys-due", "1", f"{to_epoch_ms(until):014d}", digest_part(rotated.actor), str(rotated.generation))
