"""Keys of remote actors: found by their id, and believed only if key and actor name each other.

A ``keyId`` is an address in one of many shapes: a fragment of the actor (most servers), a path under it (GoToSocial), a document of its own, or
the actor itself (PeerTube). What is found there is a claim. It becomes a key when both directions hold: the key names its owner, and the owner's
own document, loaded by the owner's id, lists the key.

Good keys and failures are kept, each with a bound in time. A cached key with which a signature fails is refreshed:
fetched anew at once, since peers change keys under the same id. A refresh that brings the same key again is followed by
a pause of `FetchPolicy.key_refresh_s`, whoever asks: otherwise anyone could make us hammer a third server with bad
signatures. Nothing else begins a pause, and an Update that the key's owner is proved to have sent ends it
(`end_refresh_pause`). If the key's server cannot be reached then, the cached key stays what it was: otherwise anyone
could take it from us with one bad signature at the right moment. For the same reason a stale key still counts, while it
is kept, when strangers have spent the budget for asking: otherwise a flood would shut out those whom we know.

A key that was proved is the same for everyone. A failure counts only for the viewer it was met as: who was let in there may be let in still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Final

from attrs import evolve, frozen

from apcore.effects import Get, Now, Op, commit
from apcore.errors import AddressBlocked, ApcoreError, FetchFailed, RemoteError, SignatureError, Unavailable
from apcore.http import Url, parse_url
from apcore.ports import Check, Entry, Put, StoreKey, digest_part
from apcore.records.format import Record, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote.budgets import BudgetSpent, UnauthenticatedClient
from apcore.remote.dialects import Identity
from apcore.remote.documents import load, load_unverified
from apcore.remote.errors import Gone, KeyNotOwned, PeerFailing
from apcore.remote.retrieval import FetchPolicy, check_target
from apcore.signatures import PublicKey, read_multikey, read_pem, read_spki
from apcore.vocab import Actor, CryptographicKey, Document, Multikey, Reference, same_id

__all__ = ["KeyRefused", "KeyUnavailable", "RemoteKey", "cached_key_owners", "end_refresh_pause", "remote_key"]

_LOG: Final = logging.getLogger(__name__)


class KeyUnavailable(Unavailable):
    """The key cannot be had now, so nothing can be said about the signature."""

    reason = "key-unavailable"


class KeyRefused(RemoteError):
    """There is no such key, or it is not believed; found out a short while ago."""

    status_hint = 401
    reason = "key-refused"


@frozen
class RemoteKey:
    """A key whose owner is established, and whether it came from the cache."""

    key: PublicKey
    cached: bool
    asserts: bool = False
    """Whether its owner lists it in `assertionMethod`: only then may it prove documents."""
    replaced: bool = False
    """Another key was known by this id: it was changed without notice, or its actor was deleted and made anew."""


def remote_key(
    key_id: str,
    *,
    policy: FetchPolicy,
    identity: Identity | Callable[[], Op[Identity | None]] | None = None,
    anew: bool = False,
    unauthenticated_client: UnauthenticatedClient | None = None,
    is_our_outage: Callable[[str, datetime], Op[bool]] | None = None,
) -> Op[RemoteKey]:
    """Give the key with id ``key_id``, its ownership proved in both directions.

    Asks for: one `Get` and `Now`; on a miss the ``identity`` if that is an operation, one document as `fetch`, one as `load`, and one commit.
    ``anew`` refreshes a cached key. Within ``policy.key_refresh_s`` after a refresh that brought the same key, the cached one is given again. ``unauthenticated_client`` pays for
    what is fetched; see `apcore.remote.budgets`. ``is_our_outage`` is asked about an origin that cannot be reached, whether that is for us to mend;
    then nothing is kept.

    Raises:
        RequestError: ``key_id`` is no http or https URL; nothing is asked for.
        KeyNotOwned: Key and actor do not name each other.
        Gone: The key's or its owner's document is gone for certain.
        SignatureError: The key is malformed or weak.
        RemoteError: There is no such key, or what is there is none; kept for ``policy.key_retry_s``.
        KeyRefused: That was found out a short while ago; or asking is not allowed, or exceeds a limit.
        KeyUnavailable: Its server cannot be reached, or cannot answer now, or not within ``policy.key_s_max``; kept as well.
        BudgetSpent: The stranger cannot pay, and no key is kept, be it a stale one; or ``anew`` was asked for. Nothing is kept.
    """
    url = parse_url(key_id).without_fragment()
    cache_key = _cache_key(key_id)
    [kept] = yield from Get((cache_key,))
    now = yield from Now()
    slot = _Slot(cache_key, kept, _known(kept, key_id), "", now)
    usable = slot.usable(policy)
    if usable is not None and (not anew or slot.age_s("refreshed") < policy.key_refresh_s):
        return RemoteKey(usable, cached=True, asserts=slot.asserts)
    if callable(identity):
        identity = yield from identity()
    slot = evolve(slot, viewer="" if identity is None else identity.key_id)
    if slot.known is not None:
        tried_s = slot.age_s("failed")
        if tried_s < policy.key_retry_s and slot.known.optional("viewer") == slot.viewer:
            raise _kept_failure(slot.known, key_id, policy.key_retry_s - tried_s)
    _check_place(url, key_id, policy)
    looking = evolve(
        policy, unauthenticated_client=unauthenticated_client, until=now + timedelta(seconds=policy.key_s_max)
    )
    try:
        key, asserts = yield from _find(key_id, str(url), policy=looking, identity=identity)
    except BudgetSpent:
        # Others may have spent it so that those whom we know are shut out; what was proved a while ago counts until it can be looked at again.
        stale = None if anew else slot.held()
        if stale is None:
            raise
        return RemoteKey(stale, cached=True, asserts=slot.asserts)
    except (RemoteError, FetchFailed, PeerFailing) as error:
        unreached = isinstance(error, FetchFailed) and error.retryable
        if not (unreached and is_our_outage is not None and (yield from is_our_outage(str(url.origin), now))):
            yield from _keep_failure(slot, key_id, error, policy, usable)
        if isinstance(error, RemoteError):
            raise
        raise _not_had(key_id, error) from error
    except Unavailable as error:
        # Ours to mend, a store or a signer: it says nothing about the key, so nothing is kept.
        raise _not_had(key_id, error) from error
    replaced = usable is not None and usable.spki != key.spki
    # Only the key's own server can make it another one, so finding another begins no pause.
    in_vain = anew and usable is not None and not replaced
    refreshed = to_epoch_ms(now) if in_vain else None if replaced else slot.optional_number("refreshed")
    yield from _keep(slot, _packed(key, asserts, now, refreshed), policy.key_kept_s)
    if replaced:
        _LOG.info("key %s of %s is another than before, and nobody has told us", key_id, key.owner)
    return RemoteKey(key, cached=False, asserts=asserts, replaced=replaced)


def _check_place(url: Url, key_id: str, policy: FetchPolicy) -> None:
    """Refuse an address that is out of bounds as it is spelled.

    That costs nothing to find out again. Kept, it would cost the store an entry for each that somebody makes up.
    """
    try:
        check_target(url, policy.addresses)
    except AddressBlocked as error:
        raise KeyRefused(f"key {key_id}: {error}") from error


def _not_had(key_id: str, error: Unavailable) -> KeyRefused | KeyUnavailable:
    sentence = f"key {key_id}: {error}"
    return KeyUnavailable(sentence, retry_after_s=error.retry_after_s) if error.retryable else KeyRefused(sentence)


def cached_key_owners(key_ids: Sequence[str]) -> Op[tuple[str | None, ...]]:
    """Tell whose keys these are, as far as we have ever had them and still know; they may be stale, or gone by now.

    Asks for: one `Get`.
    """
    entries = yield from Get([_cache_key(key_id) for key_id in key_ids])
    facts = [_known(entry, key_id) for entry, key_id in zip(entries, key_ids, strict=True)]
    return tuple(None if fact is None else _owner_of(fact) for fact in facts)


def end_refresh_pause(key_ids: Sequence[str], *, owner: str, said: datetime, policy: FetchPolicy) -> Op[None]:
    """Let the next signature that fails with one of these keys refresh it again, because ``owner`` may have changed it.

    Only cached keys of ``owner`` count, and only where the pause began before ``said``: an old Update that is repeated
    ends no pause. Asks for: one `Get`, and one commit for each key whose pause ends. If the store does not answer, the
    pause stays.
    """
    try:
        entries = yield from Get([_cache_key(key_id) for key_id in key_ids])
        for entry, key_id in zip(entries, key_ids, strict=True):
            fact = _known(entry, key_id)
            if entry is None or fact is None or not same_id(fact.optional("owner") or "", owner):
                continue
            if not 0 < fact.number("refreshed") < to_epoch_ms(said):
                continue
            members = {name: value for name, value in fact.members.items() if name != "refreshed"}
            age_s = (said - from_epoch_ms(fact.number("fetched"))).total_seconds()
            ttl_s = max(policy.key_kept_s - age_s, 1.0)
            _ = yield from commit(
                (Check(entry.key, entry.version),), (Put(entry.key, encode_record(members, fact.body), ttl_s),)
            )
    except Unavailable:
        return


def _find(key_id: str, address: str, *, policy: FetchPolicy, identity: Identity | None) -> Op[tuple[PublicKey, bool]]:
    first = yield from load_unverified(address, policy=policy, identity=identity)
    document = first.document
    alone = _standing_alone(document)
    if alone is not None:
        # A key document: its own id is what was asked for, it is where its id says, and its owner is asked whether that is so.
        if document.id != key_id or first.url.origin != parse_url(key_id).origin:
            raise KeyNotOwned(f"the key document at {first.url} says that it is {document.id}, not {key_id}")
        owner_id = alone
    elif document.id is None:
        raise KeyNotOwned(f"the document at {first.url} has neither a key nor an id")
    else:
        owner_id = document.id
    if alone is None and document.id == str(first.url):
        owner = document
    else:
        loaded = yield from load(owner_id, policy=policy, identity=identity, fresh=True)
        owner = loaded.document
    return _listed(owner, key_id, document if alone is not None else None, keys_max=policy.keys_max)


def _standing_alone(document: Document) -> str | None:
    """Give the owner that a key document names; None if it is no key document."""
    pem, multikey = document.view(CryptographicKey), Multikey.over(document)
    if pem.public_key_pem is None and multikey.public_key_multibase is None:
        return None
    for owner in (pem.owner, pem.controller, multikey.controller):
        if owner is not None and owner.uri:
            return owner.uri
    raise KeyNotOwned(f"the key {document.id} names no owner")


def _listed(owner: Document, key_id: str, alone: Document | None, *, keys_max: int) -> tuple[PublicKey, bool]:
    """Take the key out of its owner's document, or, if that only names it, out of the key document; and tell whether it is for proofs."""
    actor = Actor.over(owner)
    owner_id = owner.id or ""
    listed = [*actor.public_keys, *actor.assertion_method][:keys_max]
    chosen = [reference for reference in listed if reference.uri == key_id]
    if not chosen and key_id == owner_id:
        chosen = _only_key(actor.public_keys[:keys_max])
    if not chosen:
        raise KeyNotOwned(f"{owner_id} does not list the key {key_id} among its first {keys_max}")
    source = next((reference.embedded for reference in chosen if reference.embedded is not None), alone)
    if source is None:
        raise KeyNotOwned(f"{owner_id} names the key {key_id}, and nothing there holds it")
    asserts = any(reference.uri == key_id for reference in actor.assertion_method)
    return _read(source, key_id=key_id, owner_id=owner_id), asserts


def _only_key(listed: Sequence[Reference]) -> list[Reference]:
    """Give the key that is meant by the actor's own id (PeerTube, Hubzilla): the only one, or the only one by RSA."""
    if len(listed) == 1:
        return list(listed)
    by_rsa = [each for each in listed if each.embedded is not None and _is_rsa(each.embedded)]
    return by_rsa if len(by_rsa) == 1 else []


def _is_rsa(source: Document) -> bool:
    pem = CryptographicKey.over(source).public_key_pem
    try:
        return pem is not None and read_pem(pem, key_id="", owner="").type == "rsa"
    except SignatureError:
        return False


def _read(source: Document, *, key_id: str, owner_id: str) -> PublicKey:
    pem, multikey = CryptographicKey.over(source), Multikey.over(source)
    claimed = {reference.uri for reference in (pem.owner, pem.controller, multikey.controller) if reference is not None}
    if claimed != {owner_id}:
        named = " and ".join(sorted(str(uri) for uri in claimed)) or "nobody"
        raise KeyNotOwned(f"key {key_id} names owner {named}, expected {owner_id}")
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
    raise KeyNotOwned(f"{owner_id} lists {key_id}, which holds no key")


# --- kept -----------------------------------------------------------------------------------------------------------


@frozen
class _Slot:
    """Where a key is kept, what is there, and who asks."""

    key: StoreKey
    kept: Entry | None
    known: Record | None
    viewer: str
    now: datetime

    def age_s(self, name: str) -> float:
        """How long ago the moment of that name was; for ever, if there was none."""
        if self.known is None or name not in self.known.members:
            return inf
        return (self.now - from_epoch_ms(self.known.number(name))).total_seconds()

    def optional_number(self, name: str) -> int | None:
        """Give the number of that name, if it is there."""
        return None if self.known is None or name not in self.known.members else self.known.number(name)

    @property
    def asserts(self) -> bool:
        return self.known is not None and self.known.members.get("asserts") is True

    def usable(self, policy: FetchPolicy) -> PublicKey | None:
        """Give the key that is kept, if there is one that still counts."""
        return None if self.age_s("fetched") >= policy.key_ttl_s else self.held()

    def held(self) -> PublicKey | None:
        """Give the key that is kept, be it stale; a key that was refused since is kept no more."""
        if self.known is None or "owner" not in self.known.members:
            return None
        key_id, owner = self.known.text("key_id"), self.known.text("owner")
        key = read_spki(self.known.body, key_id=key_id, owner=owner, source="cache")
        if "expires" in self.known.members:
            return evolve(key, expires=from_epoch_ms(self.known.number("expires")))
        return key


def _known(kept: Entry | None, key_id: str) -> Record | None:
    if kept is None:
        return None
    fact = decode_record(kept.value)
    return fact if fact.text("key_id") == key_id else None


def _cache_key(key_id: str) -> StoreKey:
    return ("key", "1", digest_part(key_id))


def _owner_of(known: Record) -> str | None:
    """Whose the key is, or was when we last had it."""
    return known.optional("owner") or known.optional("was")


def _packed(key: PublicKey, asserts: bool, now: datetime, refreshed: int | None) -> bytes:
    about = {
        "key_id": key.key_id,
        "owner": key.owner,
        "asserts": asserts or None,
        "fetched": to_epoch_ms(now),
        "refreshed": refreshed,
        "expires": None if key.expires is None else to_epoch_ms(key.expires),
    }
    return encode_record(about, key.spki)


def _keep_failure(
    slot: _Slot, key_id: str, error: ApcoreError, policy: FetchPolicy, usable: PublicKey | None
) -> Op[None]:
    refused = isinstance(error, RemoteError) or not error.retryable
    kind = "gone" if isinstance(error, Gone) else "refused" if refused else "unavailable"
    failure = {"failure": kind, "reason": error.reason, "failed": to_epoch_ms(slot.now), "viewer": slot.viewer}
    if usable is not None and slot.known is not None and not isinstance(error, RemoteError):
        left_s = policy.key_kept_s - slot.age_s("fetched")
        yield from _keep(slot, encode_record({**slot.known.members, **failure}, slot.known.body), left_s)
        return
    # The key counts no more; that it was somebody's we remember, so that we understand the farewell.
    was = None if slot.known is None else _owner_of(slot.known)
    value = encode_record({"key_id": key_id, "was": was, **failure})
    yield from _keep(slot, value, policy.key_retry_s if was is None else policy.key_kept_s)


def _kept_failure(known: Record, key_id: str, left_s: float) -> ApcoreError:
    sentence = f"key {key_id} could not be had a short while ago ({known.text('reason')})"
    match known.text("failure"):
        case "unavailable":
            return KeyUnavailable(sentence, retry_after_s=left_s)
        case "gone":
            return Gone(sentence)
        case _:
            return KeyRefused(sentence)


def _keep(slot: _Slot, value: bytes, ttl_s: float) -> Op[None]:
    version = None if slot.kept is None else slot.kept.version
    try:
        _ = yield from commit((Check(slot.key, version),), (Put(slot.key, value, ttl_s),))
    except Unavailable:
        return
