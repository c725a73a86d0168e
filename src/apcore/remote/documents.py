"""Load documents from their origin, cache them in the store, and revalidate stale copies.

A document is trusted about its ``id`` only if it came from that address, with an ActivityPub media type. The generic
JSON-LD media type is accepted too if the document itself says that it is ActivityPub. If the document names another id
on the same origin, that id is fetched once; any other id is refused. `apcore.remote.copies` says which copy is served
for which viewer.

A document that an unauthenticated client made us load is cached only if it is small, and only for a short time
(`FetchPolicy.kept_s`). Otherwise clients could fill the store.

After its owner has changed a document, it is fetched again: `changed_document` marks its address, and copies fetched
before that time no longer count. The mark covers the copies of all viewers, and a fetch that is in flight at that time.
A copy is not replaced by an older version: by one with an earlier ``updated``. A document that is gone, because its
origin answered 410 or its owner deleted it, leaves a tombstone. No answer and no delivery of the document revives it.
`forget_copies` does, and so does an actor that follows one of ours after its own deletion (`revive_actor`).

A failed write to the cache is ignored, since the document was loaded all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from attrs import evolve, field, frozen

from apcore.effects import Get, Now, Op, commit
from apcore.errors import DocumentError, RemoteError, RequestError, Unavailable
from apcore.http import (
    Headers,
    Url,
    Validators,
    conditional_headers,
    fresh_until,
    is_activitypub,
    is_storable,
    is_unprofiled_json_ld,
    parse_url,
    validators_of,
)
from apcore.ports import Entry, Put, StoreKey, Write
from apcore.remote.contexts import read_with_contexts
from apcore.remote.copies import (
    AddressRecords,
    believed_version,
    canonical,
    content_digest,
    copy_deletions,
    copy_writes,
    kept_ttl_s,
    owner_in,
    prune_at_times,
    read_address,
    read_known,
)
from apcore.remote.dialects import Identity
from apcore.remote.errors import Gone, NotFound, WrongId, WrongMediaType
from apcore.remote.freshness import Freshness
from apcore.remote.records import (
    CACHED_DOCUMENTS,
    DOCUMENT_ALIASES,
    DOCUMENT_CHANGES,
    PUBLIC_VIEWER,
    TOMBSTONES,
    AddressKey,
    CachedDocument,
    DocumentAlias,
    DocumentChange,
    DocumentChangeKey,
    DocumentKey,
    DocumentTombstone,
)
from apcore.remote.retrieval import FetchedResponse, FetchPolicy, check_status, fetch
from apcore.vocab import Document, owners_of, read_document, same_id

__all__ = [
    "LoadedDocument",
    "bury_deleted",
    "cached_owners",
    "changed_document",
    "delivered_copy",
    "drop_copy",
    "find_fresh",
    "freshness_of",
    "load",
    "load_changed",
    "load_from",
    "load_kept",
    "load_unverified",
    "loaded_from",
    "raise_if_gone",
    "revive_actor",
    "viewer_of",
]


@frozen
class LoadedDocument:
    """A document, the URL that it came from, and the time at which its origin confirmed it."""

    document: Document
    url: Url
    fetched: datetime
    """The time at which the origin last sent the document, or said that it had not changed."""
    body: bytes = field(default=b"", repr=False)
    """The document's bytes as received."""
    cached: bool = False
    """Whether the store caches it, so that loading it again soon costs no request."""


def viewer_of(identity: Identity | None) -> str | None:
    """Return the actor that a document fetched by ``identity`` is for; None if it is for everyone."""
    return None if identity is None else identity.actor


def load(
    uri: str, *, policy: FetchPolicy, identity: Identity | None = None, fresh: bool = False, unnamed: bool = False
) -> Op[LoadedDocument]:
    """Return the document with the id ``uri``: from the cache while it is fresh, else from its origin.

    The document may have another id if ``uri`` is an alias or redirects. Compare the id where that matters.

    With ``fresh``, the origin is asked even if the cache is fresh. A cached copy still saves the transfer of an
    unchanged body. With ``unnamed``, a document without an id is accepted if it came from the origin of ``uri``; it is
    not cached.

    Asks for: one `Get` and `Now`. Without a fresh copy also up to three fetches (each as `fetch`), one more `Get` if
    the id is another one, and one commit.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: The origin answered with another status than 200.
        Gone: The document is known to be gone; nothing is requested.
        WrongMediaType, WrongId, DocumentError: The response is not this document.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    address, viewer = str(parse_url(uri)), viewer_of(identity)
    records = yield from (read_address if fresh else read_known)(address, viewer=viewer)
    now = yield from Now()
    return (yield from load_from(records, now, policy=policy, identity=identity, fresh=fresh, unnamed=unnamed))


def load_from(
    records: AddressRecords,
    now: datetime,
    *,
    policy: FetchPolicy,
    identity: Identity | None,
    fresh: bool = False,
    unnamed: bool = False,
) -> Op[LoadedDocument]:
    """Load the document that ``records`` are about, as `load` does."""
    raise_if_gone(records)
    copy = records.copy
    if copy is not None and not fresh and now < copy.fresh_until:
        return (yield from loaded_from(copy, policy))
    own = records.own
    headers = Headers()
    if own is not None:
        headers = conditional_headers(headers, Validators(own.etag, own.last_modified))
    fetched = yield from fetch(records.uri, policy=policy, identity=identity, headers=headers)
    if fetched.response.status == 304 and own is not None:
        if str(fetched.url) == own.url:
            unchanged = yield from loaded_from(own, policy, fetched=now)
            return (yield from _cache(records, fetched, unchanged, policy))
        # The redirects ended at another URL than last time. That server did not send the cached copy, so it cannot say
        # that the copy is unchanged.
        fetched = yield from fetch(records.uri, policy=policy, identity=identity)
    try:
        document, confirmed = yield from _trusted(
            records.uri, fetched, now, policy=policy, identity=identity, unnamed=unnamed
        )
    except Gone:
        is_ours = policy.unauthenticated_client is None
        yield from (_bury(records, now, policy) if is_ours else _forget(records))
        raise
    loaded = LoadedDocument(document, confirmed.url, now, confirmed.response.body)
    if document.id is None:
        return loaded
    ident = str(parse_url(document.id))
    alias: DocumentAlias | None = None
    if ident != records.uri:
        # It is cached under its own id. A request for another address asks the origin again, unless that address has
        # moved for good.
        if fetched.has_moved and ident == str(fetched.url):
            alias = DocumentAlias(uri=records.uri, target=ident, at=now)
            yield from _forget(records)
        address = records.uri
        records = yield from read_address(ident, viewer=records.viewer)
        try:
            raise_if_gone(records)
        except Gone as error:
            # The tombstone is that of another address. Without an alias, this one could answer otherwise later.
            if alias is None:
                raise NotFound(f"{address} stands for a document that is gone: {error}") from error
            if policy.unauthenticated_client is None:
                _ = yield from _write(records, [DOCUMENT_ALIASES.put(AddressKey.of(alias.uri), alias)])
            raise
    return (yield from _cache(records, confirmed, loaded, policy, alias=alias))


def find_fresh(uri: str, *, viewer: str | None, policy: FetchPolicy) -> Op[LoadedDocument | None]:
    """Return the document at the canonical address ``uri`` if a copy that ``viewer`` may use is fresh, else None.

    This is the short way to the common case: None also stands for all others, a tombstone or an alias among them.

    Asks for: one `Get`, and `Now` if there is a copy.
    """
    change_entry, tombstone_entry, *entries = yield from Get(_common_keys(uri, viewer))
    if tombstone_entry is not None or not any(entries):
        return None
    now = yield from Now()
    changed = None if change_entry is None else DOCUMENT_CHANGES.decode(change_entry.value).at
    best: LoadedDocument | None = None
    for number, candidate in enumerate(entries):
        if candidate is None:
            continue
        copy, document = _read_entry(candidate, policy)
        if copy.uri != uri or now >= copy.fresh_until or (changed is not None and copy.fetched <= changed):
            continue
        if (number and copy.provenance == "fetched") or (best is not None and copy.fetched <= best.fetched):
            continue
        if document is None:
            best = yield from loaded_from(copy, policy)
            _remember(candidate, copy, best.document, policy)
        else:
            best = LoadedDocument(document, parse_url(copy.url), copy.fetched, copy.body, cached=True)
    return best


# The digests of an address cost as much as the read itself.
@lru_cache(maxsize=512)
def _common_keys(uri: str, viewer: str | None) -> tuple[StoreKey, ...]:
    """Return the keys of the change, the tombstone and the copies of an address: the viewer's own, then everyone's."""
    key = DocumentKey.of(uri, viewer=viewer)
    keys = [
        DOCUMENT_CHANGES.key(DocumentChangeKey(key.uri_digest)),
        TOMBSTONES.key(AddressKey(key.uri_digest)),
        CACHED_DOCUMENTS.key(key),
    ]
    if viewer is not None:
        keys.append(CACHED_DOCUMENTS.key(DocumentKey(key.uri_digest, PUBLIC_VIEWER)))
    return tuple(keys)


def _read_entry(entry: Entry, policy: FetchPolicy) -> tuple[CachedDocument, Document | None]:
    """Return the copy in an entry, and its document if it was read lately."""
    parsed = None if policy.parsed is None else policy.parsed.find(entry)
    return (CACHED_DOCUMENTS.decode(entry.value), None) if parsed is None else parsed


def _remember(entry: Entry, copy: CachedDocument, document: Document, policy: FetchPolicy) -> None:
    # A fetched context may change, and the meaning of the document with it.
    if policy.parsed is not None and policy.unknown_contexts == "ignore":
        policy.parsed.add(entry, copy, document)


def raise_if_gone(records: AddressRecords) -> None:
    """Raise `Gone` if there is a tombstone."""
    tombstone = records.tombstone
    if tombstone is not None:
        cause = "its owner deleted it" if tombstone.reason == "deleted" else "its origin answered 410"
        raise Gone(f"{records.uri} is gone: {cause} at {tombstone.at:%Y-%m-%d %H:%M:%SZ}")


def load_kept(uri: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LoadedDocument | None]:
    """Return the document with the id ``uri`` if the cache is fresh, or None where `load` would ask the origin.

    Asks for: one `Get` and `Now` if it is fresh; else one more of each.

    Raises:
        Gone: The document is known to be gone.
    """
    address, viewer = str(parse_url(uri)), viewer_of(identity)
    fresh_document = yield from find_fresh(address, viewer=viewer, policy=policy)
    if fresh_document is not None:
        return fresh_document
    records = yield from read_known(address, viewer=viewer)
    now = yield from Now()
    raise_if_gone(records)
    if records.copy is None or now >= records.copy.fresh_until:
        return None
    return (yield from loaded_from(records.copy, policy))


def changed_document(uri: str, now: datetime) -> Put:
    """Return the write that makes all cached copies of a document fetched until ``now`` stale.

    Add it to the commit that proves the change, and only if the document's own owner has announced the change (see
    `cached_owners`).

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    address = str(parse_url(uri))
    change = DocumentChange(uri=address, at=now)
    return DOCUMENT_CHANGES.put(DocumentChangeKey.of(address), change)


def bury_deleted(uri: str, *, by: str, viewer: str | None, now: datetime, policy: FetchPolicy) -> Op[Put]:
    """Return the write of the tombstone of a document that its owner ``by`` has deleted. It counts for all viewers.

    Add it to the commit that proves the deletion. ``policy.on_document`` is run with the copy that ``viewer`` may use.

    Asks for: one `Get`.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    records = yield from read_address(str(parse_url(uri)), viewer=viewer)
    if records.tombstone is None:
        yield from announce_change(records.copy, None, None, policy)
    tombstone = DocumentTombstone(uri=records.uri, at=now, reason="deleted", by=by)
    return TOMBSTONES.put(AddressKey.of(records.uri), tombstone)


def revive_actor(uri: str) -> Op[None]:
    """Delete the tombstone of an actor, because the actor itself has just acted again. There may be none.

    Asks for: one `Get`, and one commit if there is a tombstone.
    """
    address = AddressKey.of(str(parse_url(uri)))
    [entry] = yield from Get((TOMBSTONES.key(address),))
    if entry is not None:
        _ = yield from commit((), (TOMBSTONES.delete(address),))


def delivered_copy(
    document: Document,
    body: bytes,
    *,
    owner: str,
    viewer: str | None,
    now: datetime,
    policy: FetchPolicy,
    is_update: bool = False,
    is_proved: bool = False,
) -> Op[list[Write]]:
    """Return the writes that keep a document as its ``owner`` delivered it, for ``viewer`` or for everyone.

    There are none if the document is gone, if the copy in the store is newer, or if that copy names another owner. A
    copy of the same version is replaced only if ``is_update``: a Create that comes once more must not undo an edit.
    ``is_proved`` tells that someone else delivered it, with a proof by the owner.

    Asks for: one `Get`.

    Raises:
        RequestError: The id of the document is no http or https URL.
    """
    address = str(parse_url(document.id or ""))
    records = yield from read_address(address, viewer=viewer)
    stored = records.stored
    version = believed_version(document, now, published=True)
    if records.tombstone is not None or len(body) > policy.limits.body_bytes_max:
        return []
    if stored is not None:
        if stored.owner is not None and not same_id(stored.owner, owner):
            return []
        if stored.updated is not None and version is not None and version < stored.updated:
            return []
        is_newer = stored.updated is not None and version is not None and version > stored.updated
        if records.own is not None and not is_update and not is_newer:
            return []
    freshness = freshness_of(document, policy)
    until = now + timedelta(seconds=freshness.fresh_s)
    copy = CachedDocument(
        uri=address,
        url=address,
        viewer=viewer,
        provenance="proved" if is_proved else "delivered",
        fetched=now,
        fresh_until=until,
        rule=freshness.rule,
        stale_ms=int(freshness.stale_s * 1000),
        error_ms=int(freshness.error_s * 1000),
        digest=content_digest(body),
        updated=version,
        owner=canonical(owner),
        body=body,
    )
    yield from announce_change(stored, copy, document, policy)
    ttl_s = kept_ttl_s(until, now, policy.document_kept_s)
    return copy_writes(records.key, copy, ttl_s=ttl_s, replaced=stored)


def cached_owners(uri: str, *, identity: Identity | None = None) -> Op[tuple[str, ...] | None]:
    """Return the owners named by the cached copies of a document: the copy for ``identity`` and the one for everyone.

    None means that there is no copy; an empty tuple that the copies name no owner. Asks for: one `Get`.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    url = parse_url(uri)
    keys = dict.fromkeys(
        CACHED_DOCUMENTS.key(DocumentKey.of(str(url), viewer=viewer)) for viewer in (None, viewer_of(identity))
    )
    owners: dict[str, None] = {}
    has_copy = False
    for entry in (yield from Get(tuple(keys))):
        cached = None if entry is None else CACHED_DOCUMENTS.decode(entry.value)
        if cached is None or cached.uri != str(url):
            continue
        has_copy = True
        try:
            document = read_document(cached.body, origin=url.origin)
        except RemoteError:
            continue
        owners |= dict.fromkeys(owners_of(document))
    return tuple(owners) if has_copy else None


def load_unverified(url: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LoadedDocument]:
    """Fetch the document at ``url`` without a check of its id, and without the cache.

    Use it for documents whose id the caller checks (keys). Asks and raises as `fetch`; raises as `load` if the response
    is no document.
    """
    fetched = yield from fetch(url, policy=policy, identity=identity)
    now = yield from Now()
    _check_response(fetched, url, now)
    document = yield from _document_of(fetched, policy)
    return LoadedDocument(document, fetched.url, now, fetched.response.body)


def load_changed(
    url: str, *, validators: Validators, policy: FetchPolicy, identity: Identity | None = None
) -> Op[tuple[LoadedDocument | None, Headers]]:
    """Fetch the document at ``url`` if it has changed, without a check of its id, and without the cache.

    Return it, or None if its server answers 304, and the header fields of the answer. Asks and raises as `fetch`;
    raises as `load` if the response is no document.
    """
    headers = conditional_headers(Headers(), validators)
    fetched = yield from fetch(url, policy=policy, identity=identity, headers=headers)
    if fetched.response.status == 304 and validators:
        return None, fetched.response.headers
    now = yield from Now()
    _check_response(fetched, url, now)
    document = yield from _document_of(fetched, policy)
    return LoadedDocument(document, fetched.url, now, fetched.response.body), fetched.response.headers


def _trusted(
    uri: str, fetched: FetchedResponse, now: datetime, *, policy: FetchPolicy, identity: Identity | None, unnamed: bool
) -> Op[tuple[Document, FetchedResponse]]:
    """Return the document of a response if it came from the address in its id; fetch that address once if needed."""
    _check_response(fetched, uri, now)
    document = yield from _document_of(fetched, policy)
    if unnamed and document.id is None and fetched.url.origin == parse_url(uri).origin:
        return document, fetched
    ident = _address(document, fetched.url)
    if ident == uri:
        # The id is right, but redirects may have led elsewhere: the final URL must be on the id's own origin.
        if parse_url(uri).origin == fetched.url.origin:
            return document, fetched
        raise WrongId(f"{uri} is answered by {fetched.url}, of another origin")
    if parse_url(uri).fragment is not None:
        raise WrongId(f"{uri} names a part of a document, which has the id {document.id}")
    if ident == str(fetched.url):
        return document, fetched
    # One more hop, on the same origin only: the URL was an alias or the address of a page. No server may speak for
    # another origin.
    if parse_url(ident).origin != fetched.url.origin:
        raise WrongId(f"the document at {fetched.url} has the id {document.id}, of another origin")
    refetched = yield from fetch(ident, policy=policy, identity=identity)
    try:
        _check_response(refetched, ident, now)
    except Gone as error:
        raise NotFound(f"{uri} stands for a document that is gone: {error}") from error
    document = yield from _document_of(refetched, policy)
    if _address(document, refetched.url) != ident or refetched.url.origin != parse_url(ident).origin:
        raise WrongId(f"the document at {refetched.url} has the id {document.id}, not {ident}")
    return document, refetched


def _address(document: Document, url: Url) -> str:
    if document.id is None:
        raise WrongId(f"the document at {url} has no id")
    try:
        return str(parse_url(document.id))
    except RequestError as error:
        raise WrongId(f"the id of the document at {url} is no http or https URL: {error}") from error


def _check_response(fetched: FetchedResponse, url: str, now: datetime) -> None:
    """Raise the error that describes a response without an ActivityPub document."""
    check_status(fetched, url, now=now)
    media_type = fetched.response.headers.get("content-type")
    if not is_activitypub(media_type) and not is_unprofiled_json_ld(media_type):
        raise WrongMediaType(
            f"{fetched.url} answers with {media_type or 'no media type':.100}, which is not ActivityPub"
        )


def _document_of(fetched: FetchedResponse, policy: FetchPolicy) -> Op[Document]:
    document = yield from read_with_contexts(fetched.response.body, origin=fetched.url.origin, policy=policy)
    media_type = fetched.response.headers.get("content-type")
    if not is_activitypub(media_type) and not document.says_activitypub:
        raise WrongMediaType(
            f"{fetched.url} answers with {media_type!r:.100}, and nothing in the document says ActivityPub"
        )
    return document


def freshness_of(document: Document, policy: FetchPolicy) -> Freshness:
    """Return how long ``document`` may be used if its server does not say."""
    if policy.freshness is None:
        return Freshness(rule="document_ttl_s", fresh_s=policy.document_ttl_s)
    return policy.freshness(document)


def _cache(
    records: AddressRecords,
    fetched: FetchedResponse,
    loaded: LoadedDocument,
    policy: FetchPolicy,
    *,
    alias: DocumentAlias | None = None,
) -> Op[LoadedDocument]:
    """Cache a document, or drop the cached copy if it must not be cached. Return it, and whether it is cached.

    If the stored copy is a newer version, that copy is kept and returned.
    """
    response, now, stored = fetched.response, loaded.fetched, records.stored
    if not is_storable(response):
        # The cached copy is older than this response.
        yield from _forget(records)
        return loaded
    validators = validators_of(response.headers)
    if response.status == 304 and not validators and stored is not None:
        validators = Validators(stored.etag, stored.last_modified)
    version = believed_version(loaded.document, now)
    if stored is not None and stored.updated is not None and version is not None and version < stored.updated:
        # A cache between the origin and us, or one of the origin's servers, is behind.
        loaded, validators, version = (
            (yield from loaded_from(stored, policy, fetched=now)),
            Validators(),
            stored.updated,
        )
    freshness = freshness_of(loaded.document, policy)
    has_rule = _is_silent(response.headers)
    until = now + timedelta(seconds=freshness.fresh_s)
    if not has_rule:
        until = fresh_until(
            response.headers,
            received=now,
            default_s=freshness.fresh_s,
            min_s=policy.document_ttl_s_min,
            max_s=max(policy.document_ttl_s_max, freshness.fresh_s),
        )
    # A copy that we loaded on our own account keeps its full lifetime, even if an unauthenticated client asks for it.
    is_own = stored is not None and not stored.unproved
    full_ttl_s = kept_ttl_s(until, now, policy.document_kept_s)
    ttl_s = full_ttl_s if is_own else policy.kept_s(full_ttl_s, len(loaded.body))
    if ttl_s is None:
        yield from _forget(records)
        return loaded
    copy = CachedDocument(
        uri=records.uri,
        url=str(loaded.url),
        viewer=records.viewer,
        fetched=now,
        fresh_until=until,
        rule=freshness.rule if has_rule else "server",
        stale_ms=int(freshness.stale_s * 1000),
        error_ms=int(freshness.error_s * 1000),
        etag=validators.etag,
        last_modified=validators.last_modified,
        digest=content_digest(loaded.body),
        updated=version,
        owner=owner_in(loaded.document),
        unproved=policy.unauthenticated_client is not None and not is_own,
        body=loaded.body,
    )
    if not copy.unproved:
        yield from announce_change(stored, copy, loaded.document, policy)
    writes = copy_writes(records.key, copy, ttl_s=ttl_s, replaced=stored)
    if alias is not None and policy.unauthenticated_client is None:
        writes.append(DOCUMENT_ALIASES.put(AddressKey.of(alias.uri), alias))
    if records.alias is not None:
        # The address answers for itself again.
        writes.append(DOCUMENT_ALIASES.delete(AddressKey.of(records.uri)))
    token = yield from _write(records, writes)
    if token:
        yield from prune_at_times(
            token, now, documents_max=policy.graph_documents_max, bytes_max=policy.graph_bytes_max
        )
    return evolve(loaded, cached=token is not None)


def announce_change(
    stored: CachedDocument | None, copy: CachedDocument | None, document: Document | None, policy: FetchPolicy
) -> Op[None]:
    """Run ``policy.on_document`` with the old and the new document, if the content changes or goes."""
    if policy.on_document is None:
        return
    # A copy that a client had us load was never announced.
    old_copy = None if stored is None or stored.unproved else stored
    if copy is not None and old_copy is not None and old_copy.digest == copy.digest:
        return
    old_document: Document | None = None
    if old_copy is not None:
        try:
            old_document = (yield from loaded_from(old_copy, policy)).document
        except DocumentError:
            old_document = None
    if old_document is not None or document is not None:
        yield from policy.on_document(old_document, document)


def _is_silent(headers: Headers) -> bool:
    """Return whether the server says nothing about how long its response is fresh."""
    cache_control = (headers.get("cache-control") or "").lower()
    return "max-age" not in cache_control and "no-cache" not in cache_control and "expires" not in headers


def _bury(records: AddressRecords, now: datetime, policy: FetchPolicy) -> Op[None]:
    """Replace the copy of a document that is gone by a tombstone."""
    yield from announce_change(records.stored, None, None, policy)
    tombstone = DocumentTombstone(uri=records.uri, at=now, reason="gone")
    deletions = [] if records.stored is None else copy_deletions(records.key, records.stored)
    _ = yield from _write(records, [*deletions, TOMBSTONES.put(AddressKey.of(records.uri), tombstone)])


def drop_copy(records: AddressRecords, policy: FetchPolicy, *, for_everyone: bool) -> Op[None]:
    """Delete the copy of a document that its origin does not serve any more to the viewer, or ``for_everyone``."""
    writes: dict[StoreKey, Write] = {}
    for copy in (records.stored, records.copy if for_everyone else None):
        if copy is not None:
            deletions = copy_deletions(DocumentKey.of(copy.uri, viewer=copy.viewer), copy)
            writes |= {write.key: write for write in deletions}
    if writes:
        yield from announce_change(records.copy or records.stored, None, None, policy)
        _ = yield from _write(records, list(writes.values()))


def _forget(records: AddressRecords) -> Op[None]:
    if records.stored is not None:
        _ = yield from _write(records, copy_deletions(records.key, records.stored))


def _write(records: AddressRecords, writes: list[Write]) -> Op[bytes | None]:
    """Commit the writes. Return the token, empty after a lost race, or None if the store fails."""
    try:
        # A lost race means that another process has just cached the document.
        return (yield from commit((records.check,), writes)) or b""
    except Unavailable:
        return None


def loaded_from(copy: CachedDocument, policy: FetchPolicy, *, fetched: datetime | None = None) -> Op[LoadedDocument]:
    """Return the document of a cached copy, as confirmed at ``fetched`` or when the copy came here.

    Raises:
        DocumentError: A newer release or another vocabulary cannot read it any more.
    """
    url = parse_url(copy.url)
    try:
        document = yield from read_with_contexts(copy.body, origin=url.origin, policy=policy)
    except DocumentError as error:
        raise DocumentError(f"the cached copy of {copy.uri} cannot be read any more: {error}") from error
    return LoadedDocument(document, url, copy.fetched if fetched is None else fetched, copy.body, cached=True)
