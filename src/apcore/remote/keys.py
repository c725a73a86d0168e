"""Find the public keys of remote actors by their id, and trust a key only if key and actor name each other.

A ``keyId`` is an address in one of many shapes: a fragment of the actor's id (most servers), a path below it
(GoToSocial), a document of its own, or the actor itself (PeerTube). The document found there is a claim. The key is
trusted if both directions hold: the key names its owner, and the owner's own document, loaded by the owner's id, lists
the key.

Keys and failures are cached, each for a bounded time. When a signature fails with a cached key, the key is refreshed,
that is fetched at once, since peers change keys under the same id. If the refresh brings the same key, a pause of
`FetchPolicy.key_refresh_s` follows, whichever client asks. Otherwise anyone could make us flood a third server by
sending bad signatures. Nothing else begins a pause. An Update that was authenticated as the key owner's ends it
(`end_refresh_pause`).

If the key's server cannot be reached during a refresh, the cached key stays valid. Otherwise anyone could invalidate it
with one bad signature at the right moment. For the same reason a stale key still counts, while it is cached, when the
budget for unauthenticated clients is spent. Otherwise a flood would lock out the actors that we know.

A key that was proved is the same for all viewers. A failure counts only for the identity that the request was signed
as, since another identity may have access.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Final

from attrs import evolve, frozen

from apcore.effects import Get, Now, Op, commit
from apcore.errors import AddressBlocked, ApcoreError, FetchFailed, RemoteError, SignatureError, Unavailable
from apcore.http import Url, parse_url
from apcore.ports import Check, Entry, StoreKey
from apcore.remote.budgets import BudgetSpent, UnauthenticatedClient
from apcore.remote.dialects import Identity
from apcore.remote.documents import load, load_unverified
from apcore.remote.errors import Gone, KeyNotOwned, PeerFailing
from apcore.remote.records import KEY_LOOKUPS, KeyLookup, KeyLookupKey
from apcore.remote.retrieval import FetchPolicy, check_target
from apcore.signatures import PublicKey, read_multikey, read_pem, read_spki
from apcore.vocab import Actor, CryptographicKey, Document, Multikey, Reference, same_id

__all__ = [
    "KeyRefused",
    "KeyUnavailable",
    "LookupRead",
    "RemoteKey",
    "cached_key_owners",
    "end_refresh_pause",
    "lookup_key",
    "remote_key",
]

_LOG: Final = logging.getLogger(__name__)


class KeyUnavailable(Unavailable):
    """The key cannot be had for now, so the signature can be neither accepted nor rejected."""

    reason = "key-unavailable"


class KeyRefused(RemoteError):
    """The key does not exist or is not trusted, or this was found out a short while ago."""

    status_hint = 401
    reason = "key-refused"


@frozen
class LookupRead:
    """The cache entry of a key, read by the caller together with other entries, and the time of that read."""

    entry: Entry | None
    now: datetime


@frozen
class RemoteKey:
    """A key with an established owner."""

    key: PublicKey
    cached: bool
    """Whether it came from the cache."""
    asserts: bool = False
    """Whether its owner lists it in `assertionMethod`. Only then may it sign object proofs."""
    replaced: bool = False
    """Whether another key was cached under this id: the key was changed without notice, or the actor was recreated."""


def remote_key(
    key_id: str,
    *,
    policy: FetchPolicy,
    identity: Identity | Callable[[], Op[Identity | None]] | None = None,
    refresh: bool = False,
    unauthenticated_client: UnauthenticatedClient | None = None,
    is_our_outage: Callable[[str, datetime], Op[bool]] | None = None,
    lookup_read: LookupRead | None = None,
) -> Op[RemoteKey]:
    """Return the key with id ``key_id``, with its ownership proved in both directions.

    With ``refresh``, a cached key is fetched once more. Within ``policy.key_refresh_s`` after a refresh that brought
    the same key, the cached key is returned.

    ``unauthenticated_client`` pays for the fetches; see `apcore.remote.budgets`. ``is_our_outage`` tells whether an
    origin cannot be reached because of a fault on our side; then no failure is cached. ``lookup_read`` is the entry
    of `lookup_key`, if it was read just now.

    Asks for: one `Get` and `Now`, unless ``lookup_read`` is given. On a miss also the ``identity`` if it is an
    operation, one document as `fetch`, one as `load`, and one commit.

    Raises:
        RequestError: ``key_id`` is no http or https URL; nothing was fetched.
        KeyNotOwned: Key and actor do not name each other.
        Gone: The document of the key or of its owner is gone for good.
        SignatureError: The key is malformed or weak.
        RemoteError: There is no key at that address. This is cached for ``policy.key_retry_s``.
        KeyRefused: One of these was found out a short while ago, or a fetch is forbidden or exceeds a limit.
        KeyUnavailable: The key's server cannot be reached, cannot answer now, or needs longer than
            ``policy.key_s_max``. This is cached too.
        BudgetSpent: The budget for the client is spent, and either no key is cached, not even a stale one, or
            ``refresh`` is set. This is not cached.
    """
    key_url = parse_url(key_id)
    if lookup_read is None:
        [entry] = yield from Get((lookup_key(key_id),))
        now = yield from Now()
    else:
        entry, now = lookup_read.entry, lookup_read.now
    lookup = _lookup_of(entry, key_id)
    slot = _Slot(entry, lookup, "", now)
    fresh_key = slot.fresh_key(policy)
    if fresh_key is not None and (not refresh or slot.age_s(lookup.refreshed) < policy.key_refresh_s):
        return RemoteKey(fresh_key, cached=True, asserts=lookup.asserts)
    if callable(identity):
        identity = yield from identity()
    slot = evolve(slot, viewer="" if identity is None else identity.key_id)
    failure_age_s = slot.age_s(lookup.failed)
    if failure_age_s < policy.key_retry_s and lookup.viewer == slot.viewer:
        raise _cached_failure(lookup, policy.key_retry_s - failure_age_s)
    url = key_url.without_fragment()
    _check_key_url(url, key_id, policy)
    lookup_policy = evolve(
        policy, unauthenticated_client=unauthenticated_client, until=now + timedelta(seconds=policy.key_s_max)
    )
    try:
        key, asserts = yield from _find(key_id, str(url), policy=lookup_policy, identity=identity)
    except BudgetSpent:
        # An attacker may have spent the budget to lock out the actors that we know. So a key that was proved earlier
        # counts until it can be fetched again.
        stale_key = None if refresh else slot.cached_key()
        if stale_key is None:
            raise
        return RemoteKey(stale_key, cached=True, asserts=lookup.asserts)
    except (RemoteError, FetchFailed, PeerFailing) as error:
        is_unreachable = isinstance(error, FetchFailed) and error.retryable
        if not (is_unreachable and is_our_outage is not None and (yield from is_our_outage(str(url.origin), now))):
            yield from _cache_failure(slot, error, policy, fresh_key)
        if isinstance(error, RemoteError):
            raise
        raise _unavailable(key_id, error) from error
    except Unavailable as error:
        # A store or signer of ours failed. That says nothing about the key, so no failure is cached.
        raise _unavailable(key_id, error) from error
    replaced = fresh_key is not None and fresh_key.spki != key.spki
    # Only the key's own server can replace the key, so a refresh that brings another key begins no pause.
    is_unchanged = refresh and fresh_key is not None and not replaced
    refreshed = now if is_unchanged else None if replaced else lookup.refreshed
    new_lookup = KeyLookup(
        key_id=key.key_id,
        owner=key.owner,
        asserts=asserts,
        fetched=now,
        refreshed=refreshed,
        expires=key.expires,
        body=key.spki,
    )
    yield from _cache(slot, new_lookup, policy.key_kept_s)
    if replaced:
        _LOG.info("key %s of %s was replaced without an Update that announced it", key_id, key.owner)
    return RemoteKey(key, cached=False, asserts=asserts, replaced=replaced)


def _check_key_url(url: Url, key_id: str, policy: FetchPolicy) -> None:
    """Refuse an address that the policy forbids as it is spelled.

    The refusal is not cached: finding it again costs nothing, and caching it would cost an entry for each invented id.
    """
    try:
        check_target(url, policy.addresses)
    except AddressBlocked as error:
        raise KeyRefused(f"key {key_id}: {error}") from error


def _unavailable(key_id: str, error: Unavailable) -> KeyRefused | KeyUnavailable:
    message = f"key {key_id}: {error}"
    return KeyUnavailable(message, retry_after_s=error.retry_after_s) if error.retryable else KeyRefused(message)


def lookup_key(key_id: str) -> StoreKey:
    """Return the store key of the cache entry of a key."""
    return KEY_LOOKUPS.key(KeyLookupKey.of(key_id))


def cached_key_owners(key_ids: Sequence[str]) -> Op[tuple[str | None, ...]]:
    """Return the owners of keys as far as they are cached, in order. A key may be stale, or gone by now.

    Asks for: one `Get`.
    """
    entries = yield from Get([lookup_key(key_id) for key_id in key_ids])
    return tuple(_owner_of(_lookup_of(entry, key_id)) for entry, key_id in zip(entries, key_ids, strict=True))


def end_refresh_pause(key_ids: Sequence[str], *, owner: str, updated_at: datetime, policy: FetchPolicy) -> Op[None]:
    """Let the next signature that fails with one of these keys refresh it, because ``owner`` may have changed it.

    Only keys that are cached as keys of ``owner`` count, and only if the pause began before ``updated_at``, so a
    replayed Update ends no pause. If the store does not answer, the pause stays.

    Asks for: one `Get`, and one commit for each key whose pause ends.
    """
    try:
        entries = yield from Get([lookup_key(key_id) for key_id in key_ids])
        for entry, key_id in zip(entries, key_ids, strict=True):
            lookup = _lookup_of(entry, key_id)
            if entry is None or lookup.owner is None or not same_id(lookup.owner, owner):
                continue
            if lookup.fetched is None or lookup.refreshed is None or lookup.refreshed >= updated_at:
                continue
            ttl_s = max(policy.key_kept_s - (updated_at - lookup.fetched).total_seconds(), 1.0)
            write = KEY_LOOKUPS.put(KeyLookupKey.of(key_id), evolve(lookup, refreshed=None), ttl_s=ttl_s)
            _ = yield from commit((Check(entry.key, entry.version),), (write,))
    except Unavailable:
        return


def _find(key_id: str, address: str, *, policy: FetchPolicy, identity: Identity | None) -> Op[tuple[PublicKey, bool]]:
    fetched = yield from load_unverified(address, policy=policy, identity=identity)
    document = fetched.document
    key_owner = _key_document_owner(document)
    if key_owner is not None:
        # The address holds a key document. Its id must be the one that was asked for and be on its own origin. The
        # owner's document decides whether the claim of ownership is true.
        if document.id != key_id or fetched.url.origin != parse_url(key_id).origin:
            raise KeyNotOwned(f"the key document at {fetched.url} has the id {document.id}, not {key_id}")
        owner_id = key_owner
    elif document.id is None:
        raise KeyNotOwned(f"the document at {fetched.url} has neither a key nor an id")
    else:
        owner_id = document.id
    if key_owner is None and document.id == str(fetched.url):
        owner = document
    else:
        loaded = yield from load(owner_id, policy=policy, identity=identity, fresh=True)
        owner = loaded.document
    return _listed_key(owner, key_id, document if key_owner is not None else None, keys_max=policy.keys_max)


def _key_document_owner(document: Document) -> str | None:
    """Return the owner that a key document names, or None if it is no key document."""
    pem, multikey = document.view(CryptographicKey), Multikey.over(document)
    if pem.public_key_pem is None and multikey.public_key_multibase is None:
        return None
    for owner in (pem.owner, pem.controller, multikey.controller):
        if owner is not None and owner.uri:
            return owner.uri
    raise KeyNotOwned(f"the key {document.id} names no owner")


def _listed_key(
    owner: Document, key_id: str, key_document: Document | None, *, keys_max: int
) -> tuple[PublicKey, bool]:
    """Return the key that its owner's document lists, and whether it may sign object proofs.

    The key is read from the owner's document or, if that only names it, from the key document.
    """
    actor = Actor.over(owner)
    owner_id = owner.id or ""
    listed_keys = [*actor.public_keys, *actor.assertion_method][:keys_max]
    matches = [reference for reference in listed_keys if reference.uri == key_id]
    if not matches and key_id == owner_id:
        matches = _only_key(actor.public_keys[:keys_max])
    if not matches:
        raise KeyNotOwned(f"{owner_id} does not list the key {key_id} among its first {keys_max}")
    source = next((reference.embedded for reference in matches if reference.embedded is not None), key_document)
    if source is None:
        raise KeyNotOwned(f"{owner_id} names the key {key_id}, but neither document contains it")
    asserts = any(reference.uri == key_id for reference in actor.assertion_method)
    return _read(source, key_id=key_id, owner_id=owner_id), asserts


def _only_key(public_keys: Sequence[Reference]) -> list[Reference]:
    """Return the key that the actor's own id stands for (PeerTube, Hubzilla): the only key, or the only RSA key."""
    if len(public_keys) == 1:
        return list(public_keys)
    rsa_keys = [key for key in public_keys if key.embedded is not None and _is_rsa(key.embedded)]
    return rsa_keys if len(rsa_keys) == 1 else []


def _is_rsa(source: Document) -> bool:
    pem = CryptographicKey.over(source).public_key_pem
    try:
        return pem is not None and read_pem(pem, key_id="", owner="").type == "rsa"
    except SignatureError:
        return False


def _read(source: Document, *, key_id: str, owner_id: str) -> PublicKey:
    pem, multikey = CryptographicKey.over(source), Multikey.over(source)
    claimed_ids = {
        reference.uri for reference in (pem.owner, pem.controller, multikey.controller) if reference is not None
    }
    if claimed_ids != {owner_id}:
        names = " and ".join(sorted(str(uri) for uri in claimed_ids)) or "nobody"
        raise KeyNotOwned(f"key {key_id} names owner {names}, expected {owner_id}")
    if pem.public_key_pem is not None:
        return read_pem(pem.public_key_pem, key_id=key_id, owner=owner_id, source=owner_id)
    if multikey.public_key_multibase is not None:
        ends = [moment for moment in (multikey.expires, multikey.revoked) if moment is not None]
        return read_multikey(
            multikey.public_key_multibase,
            key_id=key_id,
            owner=owner_id,
            expires=min(ends) if ends else None,
            source=owner_id,
        )
    raise KeyNotOwned(f"{owner_id} lists {key_id}, which contains no key")


# --- cache ----------------------------------------------------------------------------------------------------------


@frozen
class _Slot:
    """The cache entry of a key, its content, and the viewer that asks."""

    entry: Entry | None
    lookup: KeyLookup
    viewer: str
    now: datetime

    def age_s(self, moment: datetime | None) -> float:
        """Return the seconds since a moment, or infinity if there is none."""
        return inf if moment is None else (self.now - moment).total_seconds()

    def fresh_key(self, policy: FetchPolicy) -> PublicKey | None:
        """Return the cached key if it is not stale."""
        return None if self.age_s(self.lookup.fetched) >= policy.key_ttl_s else self.cached_key()

    def cached_key(self) -> PublicKey | None:
        """Return the cached key, even if it is stale. A key that was refused since is not cached any more."""
        return None if self.entry is None or self.lookup.owner is None else _loaded_key(self.entry.value)


# Records and keys are read once for all requests that one key signs. They depend on nothing but the stored bytes, which
# the store is still asked for, so a key that was replaced or refused in another process counts as such at once. The
# age is judged for each request. A record has at most some KiB.
@lru_cache(maxsize=1024)
def _decoded_lookup(value: bytes) -> KeyLookup:
    return KEY_LOOKUPS.decode(value)


@lru_cache(maxsize=1024)
def _loaded_key(value: bytes) -> PublicKey:
    lookup = _decoded_lookup(value)
    key = read_spki(lookup.body, key_id=lookup.key_id, owner=lookup.owner or "", source="cache")
    return key if lookup.expires is None else evolve(key, expires=lookup.expires)


def _lookup_of(entry: Entry | None, key_id: str) -> KeyLookup:
    """Return the record about a key, or an empty one if there is none."""
    lookup = None if entry is None else _decoded_lookup(entry.value)
    # The full id is compared, since the store key is only its digest.
    return lookup if lookup is not None and lookup.key_id == key_id else KeyLookup(key_id=key_id)


def _owner_of(lookup: KeyLookup) -> str | None:
    """Return the owner of the key, or its last owner if the key does not count any more."""
    return lookup.owner or lookup.last_owner


def _cache_failure(slot: _Slot, error: ApcoreError, policy: FetchPolicy, fresh_key: PublicKey | None) -> Op[None]:
    is_refusal = isinstance(error, RemoteError) or not error.retryable
    # The key does not count any more. Its owner is remembered, so that the owner's Delete can still be attributed.
    base = KeyLookup(key_id=slot.lookup.key_id, last_owner=_owner_of(slot.lookup))
    ttl_s = policy.key_retry_s if base.last_owner is None else policy.key_kept_s
    if fresh_key is not None and not isinstance(error, RemoteError):
        base, ttl_s = slot.lookup, policy.key_kept_s - slot.age_s(slot.lookup.fetched)
    failed_lookup = evolve(
        base,
        failure="gone" if isinstance(error, Gone) else "refused" if is_refusal else "unavailable",
        reason=error.reason,
        failed=slot.now,
        viewer=slot.viewer,
    )
    yield from _cache(slot, failed_lookup, ttl_s)


def _cached_failure(lookup: KeyLookup, remaining_s: float) -> ApcoreError:
    message = f"key {lookup.key_id} could not be had a short while ago ({lookup.reason})"
    match lookup.failure:
        case "unavailable":
            return KeyUnavailable(message, retry_after_s=remaining_s)
        case "gone":
            return Gone(message)
        case _:
            return KeyRefused(message)


def _cache(slot: _Slot, lookup: KeyLookup, ttl_s: float) -> Op[None]:
    write = KEY_LOOKUPS.put(KeyLookupKey.of(slot.lookup.key_id), lookup, ttl_s=ttl_s)
    try:
        _ = yield from commit((Check(write.key, None if slot.entry is None else slot.entry.version),), (write,))
    except Unavailable:
        return
