"""Load documents from their origin, cache them in the store, and revalidate stale copies.

A document is trusted about its ``id`` only if it came from that address, with an ActivityPub media type. The generic
JSON-LD media type is accepted too if the document itself says that it is ActivityPub. If the document names another id
on the same origin, that id is fetched once; any other id is refused. A cached copy belongs to the signer that it was
fetched as, and is never served for another one: a document can look different to each viewer.

A document that an unauthenticated client made us load is cached only if it is small, and only for a short time
(`FetchPolicy.kept_s`). Otherwise clients could fill the store.

After its owner has changed a document, it is fetched again: `changed_document` marks its address, and copies fetched
before that time no longer count. The mark covers the copies of all signers, and a fetch that is in flight at that time.

A failed write to the cache is ignored, since the document was loaded all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

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
from apcore.ports import Check, DeleteEntry, Entry, Put
from apcore.remote.contexts import read_with_contexts
from apcore.remote.dialects import Identity
from apcore.remote.errors import Gone, WrongId, WrongMediaType
from apcore.remote.records import (
    CACHED_DOCUMENTS,
    DOCUMENT_CHANGES,
    CachedDocument,
    DocumentChange,
    DocumentChangeKey,
    DocumentKey,
)
from apcore.remote.retrieval import FetchedResponse, FetchPolicy, check_status, fetch
from apcore.vocab import Document, owners_of, read_document

__all__ = ["LoadedDocument", "cached_owners", "changed_document", "load", "load_kept", "load_unverified"]


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
        WrongMediaType, WrongId, DocumentError: The response is not this document.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    slot = yield from _slot(str(parse_url(uri)), identity)
    now = yield from Now()
    cached = slot.record
    if cached is not None and not fresh and now < cached.fresh_until:
        return (yield from _loaded_from(cached, policy))
    headers = Headers()
    if cached is not None:
        headers = conditional_headers(headers, Validators(cached.etag, cached.last_modified))
    fetched = yield from fetch(slot.uri, policy=policy, identity=identity, headers=headers)
    if fetched.response.status == 304 and cached is not None:
        if str(fetched.url) == cached.url:
            is_cached = yield from _cache(slot, fetched, cached.body, now, policy)
            return evolve((yield from _loaded_from(cached, policy, fetched=now)), cached=is_cached)
        # The redirects ended at another URL than last time. That server did not send the cached copy, so it cannot say
        # that the copy is unchanged.
        fetched = yield from fetch(slot.uri, policy=policy, identity=identity)
    try:
        document, fetched = yield from _trusted(
            slot.uri, fetched, now, policy=policy, identity=identity, unnamed=unnamed
        )
    except Gone:
        yield from _forget(slot)
        raise
    if document.id is None:
        return LoadedDocument(document, fetched.url, now, fetched.response.body)
    ident = str(parse_url(document.id))
    if ident != slot.uri:
        # It is cached under its own id. A request for another address asks the origin again.
        slot = yield from _slot(ident, identity)
    is_cached = yield from _cache(slot, fetched, fetched.response.body, now, policy)
    return LoadedDocument(document, fetched.url, now, fetched.response.body, is_cached)


def load_kept(uri: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LoadedDocument | None]:
    """Return the document with the id ``uri`` if the cache is fresh, or None where `load` would ask the origin.

    Asks for: one `Get` and `Now`.
    """
    slot = yield from _slot(str(parse_url(uri)), identity)
    now = yield from Now()
    cached = slot.record
    if cached is None or now >= cached.fresh_until:
        return None
    return (yield from _loaded_from(cached, policy))


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


def cached_owners(uri: str, *, identity: Identity | None = None) -> Op[tuple[str, ...] | None]:
    """Return the owners named by the cached copies of a document: the copy for ``identity`` and the unsigned one.

    None means that there is no copy; an empty tuple that the copies name no owner. Asks for: one `Get`.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    url = parse_url(uri)
    keys = dict.fromkeys(CACHED_DOCUMENTS.key(_document_key(str(url), viewer)) for viewer in (None, identity))
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
    _check_response(refetched, ident, now)
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


def _cache(slot: _Slot, fetched: FetchedResponse, body: bytes, now: datetime, policy: FetchPolicy) -> Op[bool]:
    """Cache a document, or drop the cached copy if it must not be cached. Return whether it is cached."""
    response = fetched.response
    if not is_storable(response):
        # The cached copy is older than this response.
        yield from _forget(slot)
        return False
    validators = validators_of(response.headers)
    if not validators and response.status == 304 and slot.record is not None:
        validators = Validators(slot.record.etag, slot.record.last_modified)
    until = fresh_until(
        response.headers,
        received=now,
        default_s=policy.document_ttl_s,
        min_s=policy.document_ttl_s_min,
        max_s=policy.document_ttl_s_max,
    )
    full_ttl_s = (until + timedelta(seconds=policy.document_kept_s) - now).total_seconds()
    # A copy that we loaded on our own account keeps its full lifetime, even if an unauthenticated client asks for it.
    is_own = slot.record is not None and not slot.record.unproved
    ttl_s = full_ttl_s if is_own else policy.kept_s(full_ttl_s, len(body))
    if ttl_s is None:
        yield from _forget(slot)
        return False
    document = CachedDocument(
        uri=slot.uri,
        url=str(fetched.url),
        fetched=now,
        fresh_until=until,
        etag=validators.etag,
        last_modified=validators.last_modified,
        unproved=policy.unauthenticated_client is not None and not is_own,
        body=body,
    )
    return (yield from _write(slot, CACHED_DOCUMENTS.put(slot.key, document, ttl_s=ttl_s)))


def _forget(slot: _Slot) -> Op[None]:
    if slot.entry is not None:
        _ = yield from _write(slot, CACHED_DOCUMENTS.delete(slot.key))


def _write(slot: _Slot, write: Put | DeleteEntry) -> Op[bool]:
    version = None if slot.entry is None else slot.entry.version
    try:
        # A lost race means that another process has just cached the document.
        _ = yield from commit((Check(write.key, version),), (write,))
    except Unavailable:
        return False
    return True


@frozen
class _Slot:
    """The cache entry of a document, and its current content."""

    uri: str
    key: DocumentKey
    entry: Entry | None
    record: CachedDocument | None
    """None also if the entry is for another address with the same digest, or older than the last change."""


def _slot(uri: str, identity: Identity | None) -> Op[_Slot]:
    key = _document_key(uri, identity)
    change_key = DOCUMENT_CHANGES.key(DocumentChangeKey.of(uri))
    entry, change = yield from Get((CACHED_DOCUMENTS.key(key), change_key))
    record = None if entry is None else CACHED_DOCUMENTS.decode(entry.value)
    # The full address is compared, since the key is only its digest.
    if record is not None and (record.uri != uri or _is_outdated(record, change)):
        record = None
    return _Slot(uri, key, entry, record)


def _document_key(uri: str, identity: Identity | None) -> DocumentKey:
    return DocumentKey.of(uri, viewer=None if identity is None else identity.key_id)


def _is_outdated(cached: CachedDocument, change_entry: Entry | None) -> bool:
    """Check whether a copy was fetched before its owner changed the document."""
    if change_entry is None:
        return False
    change = DOCUMENT_CHANGES.decode(change_entry.value)
    return change.uri == cached.uri and cached.fetched <= change.at


def _loaded_from(cached: CachedDocument, policy: FetchPolicy, *, fetched: datetime | None = None) -> Op[LoadedDocument]:
    url = parse_url(cached.url)
    try:
        document = yield from read_with_contexts(cached.body, origin=url.origin, policy=policy)
    except DocumentError as error:
        raise DocumentError(f"the cached copy of {cached.uri} cannot be read any more: {error}") from error
    confirmed_at = cached.fetched if fetched is None else fetched
    return LoadedDocument(document, url, confirmed_at, cached.body, cached=True)
