"""Keys of remote actors: found by their id, and believed only if key and actor name each other.

A ``keyId`` is an address in one of many shapes: a fragment of the actor (most servers), a path under it (GoToSocial), a document of its own, or
the actor itself (PeerTube). What is found there is a claim. It becomes a key when both directions hold: the key names its owner, and the owner's
own document, loaded by the owner's id, lists the key.

Good keys and failures are kept, each with a bound in time. A cached key with which a signature fails is fetched anew, but not more often than
`FetchPolicy.key_refresh_s`, whoever asks: otherwise anyone could make us hammer a third server with bad signatures.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from apcore.effects import Get, Now, Op, committed
from apcore.errors import ApcoreError, RemoteError, Unavailable
from apcore.facts import Fact, instant_ms, of_instant_ms, pack, unpack
from apcore.graph.errors import Gone, KeyNotOwned
from apcore.graph.fetching import FetchPolicy, Identity
from apcore.graph.loading import load, load_unbelieved
from apcore.http import parse_url
from apcore.ports import Check, Entry, Key, Put, digest_part
from apcore.signatures import PublicKey, read_multikey, read_pem, read_spki
from apcore.vocab import Actor, CryptographicKey, Document, Multikey, Reference

__all__ = ["KeyFound", "KeyRefused", "KeyUnavailable", "remote_key"]


class KeyUnavailable(Unavailable):
    """The key cannot be had now, so nothing can be said about the signature."""

    reason = "key-unavailable"


class KeyRefused(RemoteError):
    """There is no such key, or it is not believed; found out a short while ago."""

    status_hint = 401
    reason = "key-refused"


@frozen
class KeyFound:
    """A key whose owner is established, and whether it came from the cache."""

    key: PublicKey
    cached: bool


def remote_key(
    key_id: str, *, policy: FetchPolicy, identity: Identity | None = None, anew: bool = False
) -> Op[KeyFound]:
    """Give the key with id ``key_id``, its ownership proved in both directions.

    Asks for: one `Get` and `Now`; on a miss at most three documents (see `load`), and one commit. ``anew`` passes over a cached key, unless
    it was fetched within ``policy.key_refresh_s``: then the cached one is given again.

    Raises:
        KeyNotOwned: Key and actor do not name each other.
        Gone: The key's or its owner's document is gone for certain.
        SignatureError: The key is malformed or weak.
        RemoteError: There is no such key, or what is there is none; kept for ``policy.key_retry_s``.
        KeyUnavailable: Its server cannot be reached or cannot answer now; kept as well.
    """
    cache_key: Key = ("key", "1", digest_part(key_id))
    [kept] = yield from Get((cache_key,))
    now = yield from Now()
    known = _known(kept, key_id)
    if known is not None:
        fetched = of_instant_ms(known.number("fetched"))
        young = now - fetched < timedelta(seconds=policy.key_refresh_s)
        if known.optional("failure") is not None:
            if now - fetched < timedelta(seconds=policy.key_retry_s):
                raise _kept_failure(known, key_id)
        elif now - fetched < timedelta(seconds=policy.key_ttl_s) and (young or not anew):
            key = read_spki(known.body, key_id=key_id, owner=known.text("owner"), source="cache")
            return KeyFound(key, cached=True)
    try:
        key = yield from _find(key_id, policy=policy, identity=identity)
    except ApcoreError as error:
        yield from _keep(cache_key, kept, _failure(key_id, error, now), policy.key_retry_s)
        if isinstance(error, Unavailable) and not isinstance(error, KeyUnavailable):
            raise KeyUnavailable(f"key {key_id}: {error}", retry_after_s=error.retry_after_s) from error
        raise
    value = pack({"key_id": key_id, "owner": key.owner, "fetched": instant_ms(now)}, key.spki)
    yield from _keep(cache_key, kept, value, policy.key_ttl_s)
    return KeyFound(key, cached=False)


def _find(key_id: str, *, policy: FetchPolicy, identity: Identity | None) -> Op[PublicKey]:
    address = str(parse_url(key_id).without_fragment())
    first = yield from load_unbelieved(address, policy=policy, identity=identity)
    document = first.document
    alone = _standing_alone(document)
    if alone is not None:
        # A key document: its own id is what was asked for, and its owner is asked whether that is so.
        if document.id != key_id:
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
    return _listed(owner, key_id, document if alone is not None else None)


def _standing_alone(document: Document) -> str | None:
    """Give the owner that a key document names; None if it is no key document."""
    pem, multikey = document.view(CryptographicKey), Multikey.over(document)
    if pem.public_key_pem is None and multikey.public_key_multibase is None:
        return None
    for owner in (pem.owner, pem.controller, multikey.controller):
        if owner is not None and owner.uri:
            return owner.uri
    raise KeyNotOwned(f"the key {document.id} names no owner")


def _listed(owner: Document, key_id: str, alone: Document | None) -> PublicKey:
    """Take the key out of its owner's document, or, if that only names it, out of the key document."""
    actor = Actor.over(owner)
    owner_id = owner.id or ""
    listed = [*actor.public_keys, *actor.assertion_method]
    chosen = [reference for reference in listed if reference.uri == key_id]
    if not chosen and key_id == owner_id and len(actor.public_keys) == 1:
        chosen = list(actor.public_keys)
    if not chosen:
        raise KeyNotOwned(f"{owner_id} does not list the key {key_id}")
    source = chosen[0].embedded or alone
    if source is None:
        raise KeyNotOwned(f"{owner_id} names the key {key_id}, and nothing there holds it")
    return _read(source, key_id=key_id, owner_id=owner_id)


def _read(source: Document, *, key_id: str, owner_id: str) -> PublicKey:
    pem, multikey = CryptographicKey.over(source), Multikey.over(source)
    for claimed in (pem.owner, pem.controller, multikey.controller):
        _check_owner(claimed, key_id, owner_id)
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


def _check_owner(claimed: Reference | None, key_id: str, owner_id: str) -> None:
    if claimed is not None and claimed.uri is not None and claimed.uri != owner_id:
        raise KeyNotOwned(f"key {key_id} names owner {claimed.uri}, expected {owner_id}")


def _known(kept: Entry | None, key_id: str) -> Fact | None:
    if kept is None:
        return None
    fact = unpack(kept.value)
    return fact if fact.text("key_id") == key_id else None


def _failure(key_id: str, error: ApcoreError, now: datetime) -> bytes:
    kind = "unavailable" if isinstance(error, Unavailable) else "gone" if isinstance(error, Gone) else "refused"
    return pack({"key_id": key_id, "failure": kind, "reason": error.reason, "fetched": instant_ms(now)})


def _kept_failure(known: Fact, key_id: str) -> ApcoreError:
    sentence = f"key {key_id} could not be had a short while ago ({known.text('reason')})"
    match known.text("failure"):
        case "unavailable":
            return KeyUnavailable(sentence)
        case "gone":
            return Gone(sentence)
        case _:
            return KeyRefused(sentence)


def _keep(key: Key, kept: Entry | None, value: bytes, ttl_s: float) -> Op[None]:
    try:
        _ = yield from committed((Check(key, None if kept is None else kept.version),), (Put(key, value, ttl_s),))
    except Unavailable:
        return
