"""Documents from their authoritative source, kept in the store, asked about again when stale.

A document is believed about its ``id`` only if it came from there: same address in the end, with an ActivityPub media
type, or with JSON-LD's own if the document itself says that it is ActivityPub. If it names another id of the same
origin, that id is asked once; anything else is refused. Kept entries carry the signer they were fetched as, and are
never served for another: what was shown to one viewer is not believed for the next.

What a stranger made us load is kept small and for a short time (`FetchPolicy.kept_s`), or they could fill the store with what they please.

A document that its owner has changed is asked for anew: `changed_document` marks its address, and a copy that was
fetched before counts for nothing. The mark covers every signer's copy, and a fetch that is under way at that moment.

Facts::

    ("doc", "1", H(key id), H(uri))      a document as it was shown to a signer; an empty second part for no signer
    ("doc-changed", "1", H(uri))         when the document's owner said that it has changed or is gone

A cache that cannot be written is no reason to fail: the document was had all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

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
from apcore.ports import Check, DeleteEntry, Entry, Put, StoreKey, digest_part
from apcore.records.format import Record, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote.contexts import read_with_contexts
from apcore.remote.dialects import Identity
from apcore.remote.errors import Gone, WrongId, WrongMediaType
from apcore.remote.retrieval import FetchedResponse, FetchPolicy, check_status, fetch
from apcore.vocab import Document, owners_of, read_document

__all__ = ["LoadedDocument", "cached_owners", "changed_document", "load", "load_kept", "load_unverified"]

_CHANGE_KEPT_S: Final = 31 * 86400.0
"""How long a change is remembered: a copy is fresh for a day at most, and is kept for 30 more (see `FetchPolicy`)."""


@frozen
class LoadedDocument:
    """A document, where it was found, and since when we know it so."""

    document: Document
    url: Url
    fetched: datetime
    """When its source last said it, or that it had not changed."""
    body: bytes = field(default=b"", repr=False)
    """The document as it came."""
    kept: bool = False
    """Whether the store keeps it, so that asking for it again soon costs no request."""


def load(
    uri: str, *, policy: FetchPolicy, identity: Identity | None = None, fresh: bool = False, unnamed: bool = False
) -> Op[LoadedDocument]:
    """Give the document whose id is ``uri``, from the store while it is fresh, else from its origin.

    The document's own id may be another one, if ``uri`` led to it: an alias, a redirect. Compare it where that matters.

    Asks for: one `Get` and `Now`; if there is nothing fresh, up to three fetches (each as `fetch`), one more `Get` if the id is another one,
    and one commit.
    ``fresh`` asks the origin whatever is kept; a kept document still saves the body if it has not changed.
    ``unnamed`` takes a document without an id as well, if it came from the origin of ``uri``. It is not kept.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: What the origin answered instead.
        WrongMediaType, WrongId, DocumentError: It answered with something that is not this document.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    slot = yield from _slot(str(parse_url(uri)), identity)
    now = yield from Now()
    known = slot.known
    if known is not None and not fresh and now < from_epoch_ms(known.number("fresh_until")):
        return (yield from _loaded_from(known, policy))
    headers = Headers()
    if known is not None:
        headers = conditional_headers(headers, Validators(known.optional("etag"), known.optional("last_modified")))
    found = yield from fetch(slot.uri, policy=policy, identity=identity, headers=headers)
    if found.response.status == 304 and known is not None:
        if str(found.url) == known.text("url"):
            kept = yield from _keep(slot, found, known.body, now, policy)
            return evolve((yield from _loaded_from(known, policy, fetched=now)), kept=kept)
        # We were led elsewhere than last time, and who never gave us the document cannot say that it has not changed.
        found = yield from fetch(slot.uri, policy=policy, identity=identity)
    try:
        document, found = yield from _believed(slot.uri, found, now, policy=policy, identity=identity, unnamed=unnamed)
    except Gone:
        yield from _forget(slot)
        raise
    if document.id is None:
        return LoadedDocument(document, found.url, now, found.response.body)
    ident = str(parse_url(document.id))
    if ident != slot.uri:
        # Kept under its own id; whoever asks by another address asks the origin again.
        slot = yield from _slot(ident, identity)
    kept = yield from _keep(slot, found, found.response.body, now, policy)
    return LoadedDocument(document, found.url, now, found.response.body, kept)


def load_kept(uri: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LoadedDocument | None]:
    """Give the document whose id is ``uri`` if the store keeps it fresh; None where `load` would ask its origin. Asks for: one `Get` and `Now`."""
    slot = yield from _slot(str(parse_url(uri)), identity)
    now = yield from Now()
    known = slot.known
    if known is None or now >= from_epoch_ms(known.number("fresh_until")):
        return None
    return (yield from _loaded_from(known, policy))


def changed_document(uri: str, now: datetime) -> Put:
    """Return the write that makes every cached copy of a document count for nothing from ``now`` on.

    Join it to the commit that proves the change, and only where the document's own owner has said so (see
    `cached_owners`).

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    address = str(parse_url(uri))
    return Put(_change_key(address), encode_record({"uri": address, "at": to_epoch_ms(now)}), _CHANGE_KEPT_S)


def cached_owners(uri: str, *, identity: Identity | None = None) -> Op[tuple[str, ...] | None]:
    """Return the owners that the cached copies of a document name: the copy shown to ``identity`` and the one to nobody.

    None if there is no copy; empty if the copies name no owner. Asks for: one `Get`.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    url = parse_url(uri)
    keys = dict.fromkeys(_document_key(str(url), viewer) for viewer in (None, identity))
    owners: dict[str, None] = {}
    has_copy = False
    for entry in (yield from Get(tuple(keys))):
        fact = None if entry is None else decode_record(entry.value)
        if fact is None or fact.text("uri") != str(url):
            continue
        has_copy = True
        try:
            document = read_document(fact.body, origin=url.origin)
        except RemoteError:
            continue
        owners |= dict.fromkeys(owners_of(document))
    return tuple(owners) if has_copy else None


def load_unverified(url: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LoadedDocument]:
    """Fetch whatever document is at ``url``, without holding it to its id, and without keeping it.

    For documents whose id is judged by the caller (keys). Asks and raises as `fetch`, and as `load` for answers that are no document.
    """
    found = yield from fetch(url, policy=policy, identity=identity)
    now = yield from Now()
    _check_answer(found, url, now)
    document = yield from _document_of(found, policy)
    return LoadedDocument(document, found.url, now, found.response.body)


def _believed(
    wanted: str, found: FetchedResponse, now: datetime, *, policy: FetchPolicy, identity: Identity | None, unnamed: bool
) -> Op[tuple[Document, FetchedResponse]]:
    """Give the document of an answer if it is one, and is where its id says, fetching it once more from there if need be."""
    _check_answer(found, wanted, now)
    document = yield from _document_of(found, policy)
    if unnamed and document.id is None and found.url.origin == parse_url(wanted).origin:
        return document, found
    ident = _address(document, found.url)
    if ident == wanted:
        # Redirected away and back in name: the final address has to share the origin that the id speaks for.
        if parse_url(wanted).origin == found.url.origin:
            return document, found
        raise WrongId(f"{wanted} is answered by {found.url}, of another origin")
    if parse_url(wanted).fragment is not None:
        raise WrongId(f"{wanted} names a part of a document, which says that it is {document.id}")
    if ident == str(found.url):
        return document, found
    # One more hop, on its own origin only: an alias, or the address of its page. Nobody may speak for another origin.
    if parse_url(ident).origin != found.url.origin:
        raise WrongId(f"the document at {found.url} says that it is {document.id}, of another origin")
    again = yield from fetch(ident, policy=policy, identity=identity)
    _check_answer(again, ident, now)
    document = yield from _document_of(again, policy)
    if _address(document, again.url) != ident or again.url.origin != parse_url(ident).origin:
        raise WrongId(f"the document at {again.url} says that it is {document.id}, not {ident}")
    return document, again


def _address(document: Document, url: Url) -> str:
    if document.id is None:
        raise WrongId(f"the document at {url} has no id")
    try:
        return str(parse_url(document.id))
    except RequestError as error:
        raise WrongId(f"the document at {url} has an id that is no address: {error}") from error


def _check_answer(found: FetchedResponse, asked: str, now: datetime) -> None:
    """Turn an answer that is no document into the error that says what it is."""
    check_status(found, asked, now=now)
    media_type = found.response.headers.get("content-type")
    if not is_activitypub(media_type) and not is_unprofiled_json_ld(media_type):
        raise WrongMediaType(f"{found.url} answers with {media_type or 'no media type':.100}, which is not ActivityPub")


def _document_of(found: FetchedResponse, policy: FetchPolicy) -> Op[Document]:
    document = yield from read_with_contexts(found.response.body, origin=found.url.origin, policy=policy)
    media_type = found.response.headers.get("content-type")
    if not is_activitypub(media_type) and not document.says_activitypub:
        raise WrongMediaType(f"{found.url} answers with {media_type!r:.100}, and nothing in it says ActivityPub")
    return document


def _keep(slot: _Slot, found: FetchedResponse, body: bytes, now: datetime, policy: FetchPolicy) -> Op[bool]:
    """Keep a document, or forget it if it must not be kept; answers whether it is kept."""
    response = found.response
    if not is_storable(response):
        # What is kept is older than what was just said.
        yield from _forget(slot)
        return False
    validators = validators_of(response.headers)
    if not validators and response.status == 304 and slot.known is not None:
        validators = Validators(slot.known.optional("etag"), slot.known.optional("last_modified"))
    until = fresh_until(
        response.headers,
        received=now,
        default_s=policy.document_ttl_s,
        min_s=policy.document_ttl_s_min,
        max_s=policy.document_ttl_s_max,
    )
    wanted_s = (until + timedelta(seconds=policy.document_kept_s) - now).total_seconds()
    # What we keep for reasons of our own, a stranger's asking does not shorten.
    ours = slot.known is not None and slot.known.members.get("unproved") is not True
    ttl_s = wanted_s if ours else policy.kept_s(wanted_s, len(body))
    if ttl_s is None:
        yield from _forget(slot)
        return False
    value = encode_record(
        {
            "uri": slot.uri,
            "url": str(found.url),
            "fetched": to_epoch_ms(now),
            "fresh_until": to_epoch_ms(until),
            "etag": validators.etag,
            "last_modified": validators.last_modified,
            "unproved": True if policy.unauthenticated_client is not None and not ours else None,
        },
        body,
    )
    return (yield from _write(slot, Put(slot.key, value, ttl_s)))


def _forget(slot: _Slot) -> Op[None]:
    if slot.kept is not None:
        _ = yield from _write(slot, DeleteEntry(slot.key))


def _write(slot: _Slot, write: Put | DeleteEntry) -> Op[bool]:
    version = None if slot.kept is None else slot.kept.version
    try:
        # A lost race means that somebody else has kept it as well.
        _ = yield from commit((Check(slot.key, version),), (write,))
    except Unavailable:
        return False
    return True


@frozen
class _Slot:
    """Where a document is kept, and what is there."""

    uri: str
    key: StoreKey
    kept: Entry | None
    known: Record | None


def _slot(uri: str, identity: Identity | None) -> Op[_Slot]:
    key = _document_key(uri, identity)
    kept, change = yield from Get((key, _change_key(uri)))
    fact = None if kept is None else decode_record(kept.value)
    # The full address is compared: the key is only its digest.
    if fact is not None and (fact.text("uri") != uri or _is_outdated(fact, change)):
        fact = None
    return _Slot(uri, key, kept, fact)


def _document_key(uri: str, identity: Identity | None) -> StoreKey:
    viewer = "" if identity is None else digest_part(identity.key_id)
    return ("doc", "1", viewer, digest_part(uri))


def _change_key(uri: str) -> StoreKey:
    return ("doc-changed", "1", digest_part(uri))


def _is_outdated(fact: Record, change: Entry | None) -> bool:
    """Whether a copy was fetched before its owner changed the document."""
    if change is None:
        return False
    about = decode_record(change.value)
    return about.text("uri") == fact.text("uri") and fact.number("fetched") <= about.number("at")


def _loaded_from(known: Record, policy: FetchPolicy, *, fetched: datetime | None = None) -> Op[LoadedDocument]:
    url = parse_url(known.text("url"))
    try:
        document = yield from read_with_contexts(known.body, origin=url.origin, policy=policy)
    except DocumentError as error:
        raise DocumentError(f"what is kept of {known.text('uri')} cannot be read any more: {error}") from error
    moment = from_epoch_ms(known.number("fetched")) if fetched is None else fetched
    return LoadedDocument(document, url, moment, known.body, kept=True)
