"""Keep copies of other servers' documents in the store: one for each viewer, with indexes, tombstones and aliases.

A document can look different to each viewer. So a copy belongs to the actor that it was fetched as or delivered to, or
to everyone. The actor counts and not its key, so a copy survives the replacement of keys. A document that its
author delivered to everyone is complete, so each viewer may use it.

Three indexes lead to a copy: by the time at which it is stale, by its owner, and by its origin. They are written in
the commit of the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol, TypeVar, cast

from attrs import frozen

from apcore.effects import Get, Op, Scan, commit
from apcore.errors import RequestError, Unavailable
from apcore.http import parse_url
from apcore.ports import Check, DeleteEntry, Entry, StoreKey, Write
from apcore.records import RecordKind, StoredRecord
from apcore.records.format import to_epoch_ms
from apcore.remote.records import (
    CACHED_DOCUMENTS,
    COPY_KEPT_S_MAX,
    DOCUMENT_ALIASES,
    DOCUMENT_CHANGES,
    DUE_DOCUMENTS,
    FAILED_LOADS,
    ORIGIN_DOCUMENTS,
    OWNED_DOCUMENTS,
    PUBLIC_VIEWER,
    TOMBSTONES,
    AddressKey,
    CachedDocument,
    DocumentAlias,
    DocumentChange,
    DocumentChangeKey,
    DocumentKey,
    DocumentTombstone,
    DueDocumentKey,
    FailedLoad,
    IndexedDocument,
    OriginDocumentKey,
    OwnedDocumentKey,
)
from apcore.vocab import Document, Object, owners_of

__all__ = [
    "ALIASES_MAX",
    "AddressRecords",
    "believed_version",
    "canonical",
    "content_digest",
    "copy_deletions",
    "copy_writes",
    "due_copies",
    "forget_copies",
    "kept_ttl_s",
    "list_copies",
    "owner_in",
    "prune_at_times",
    "prune_copies",
    "read_address",
    "read_known",
]

RecordT = TypeVar("RecordT", bound=StoredRecord)

ALIASES_MAX: Final = 5
"""The most aliases that are followed from one address."""
CLOCK_AHEAD_S: Final = 86400.0
"""A document whose ``updated`` is later than this after now has no believable time."""
_FORGOTTEN_A_COMMIT: Final = 20
"""The most copies that one commit deletes. Each takes four of its hundred keys."""
_SCANNED: Final = 500
_PRUNED_FROM: Final = 0xE0
"""With the first byte, this leaves one token in 2,048."""


@frozen
class AddressRecords:
    """The records about one address, as far as they concern one viewer."""

    uri: str
    viewer: str | None
    key: DocumentKey
    entry: Entry | None
    """The entry of the viewer's own copy, usable or not."""
    stored: CachedDocument | None
    """The viewer's own copy, even if its owner has changed the document since."""
    own: CachedDocument | None
    """The viewer's own copy, unless its owner has changed the document since."""
    copy: CachedDocument | None
    """The best copy that the viewer may use."""
    tombstone: DocumentTombstone | None
    alias: DocumentAlias | None
    failure_entry: Entry | None
    failure: FailedLoad | None
    """The last failure, as stored. A change since then may have ended it."""
    changed: datetime | None
    """The time at which the owner announced the last change."""

    @property
    def check(self) -> Check:
        """The condition that the viewer's own copy is as it was read."""
        return Check(CACHED_DOCUMENTS.key(self.key), None if self.entry is None else self.entry.version)


def read_address(uri: str, *, viewer: str | None) -> Op[AddressRecords]:
    """Read the records about the canonical address ``uri`` for ``viewer``, an actor of ours or None.

    Asks for: one `Get`.
    """
    key = DocumentKey.of(uri, viewer=viewer)
    address = AddressKey(key.uri_digest)
    keys = [
        CACHED_DOCUMENTS.key(key),
        DOCUMENT_CHANGES.key(DocumentChangeKey(key.uri_digest)),
        TOMBSTONES.key(address),
        DOCUMENT_ALIASES.key(address),
        FAILED_LOADS.key(key),
    ]
    if viewer is not None:
        keys.append(CACHED_DOCUMENTS.key(DocumentKey(key.uri_digest, PUBLIC_VIEWER)))
    entry, change_entry, tombstone_entry, alias_entry, failure_entry, *public_entries = yield from Get(keys)
    # The full address is compared each time, since the key is only its digest.
    stored = _decoded(CACHED_DOCUMENTS, entry, uri)
    change: DocumentChange | None = _decoded(DOCUMENT_CHANGES, change_entry, uri)
    own = None if stored is None or _is_outdated(stored, change) else stored
    copy = own
    for public_entry in public_entries:
        shared = _decoded(CACHED_DOCUMENTS, public_entry, uri)
        if shared is not None and shared.provenance != "fetched" and not _is_outdated(shared, change):
            copy = shared if own is None or own.fetched < shared.fetched else own
    return AddressRecords(
        uri,
        viewer,
        key,
        entry,
        stored,
        own,
        copy,
        tombstone=_decoded(TOMBSTONES, tombstone_entry, uri),
        alias=_decoded(DOCUMENT_ALIASES, alias_entry, uri),
        failure_entry=failure_entry,
        failure=_decoded(FAILED_LOADS, failure_entry, uri),
        changed=None if change is None else change.at,
    )


def read_known(uri: str, *, viewer: str | None) -> Op[AddressRecords]:
    """Read the records about ``uri``, or about the address to which it has moved for good.

    Asks for: one `Get`, and one more for each of up to five aliases.
    """
    records = yield from read_address(uri, viewer=viewer)
    for _ in range(ALIASES_MAX):
        if records.alias is None or records.tombstone is not None:
            break
        records = yield from read_address(records.alias.target, viewer=viewer)
    return records


class _OfAddress(Protocol):
    """A record that names its address."""

    @property
    def uri(self) -> str: ...


def _decoded(kind: RecordKind[RecordT, Any], entry: Entry | None, uri: str) -> RecordT | None:
    """Return the record of an entry if it is about ``uri``."""
    record = None if entry is None else kind.decode(entry.value)
    return None if record is None or cast("_OfAddress", record).uri != uri else record


def _is_outdated(copy: CachedDocument, change: DocumentChange | None) -> bool:
    """Return whether a copy came here before its owner changed the document."""
    return change is not None and copy.fetched <= change.at


# --- writing --------------------------------------------------------------------------------------------------------


def copy_writes(
    key: DocumentKey, copy: CachedDocument, *, ttl_s: float, replaced: CachedDocument | None
) -> list[Write]:
    """Return the writes that store a copy and its entries in the indexes, in place of the copy ``replaced``."""
    index = IndexedDocument(uri=copy.uri, viewer=copy.viewer, fetched=copy.fetched, size=len(copy.body))
    writes: list[Write] = [CACHED_DOCUMENTS.put(key, copy, ttl_s=ttl_s)]
    writes.append(DUE_DOCUMENTS.put(DueDocumentKey.of(copy.fresh_until, key), index, ttl_s=ttl_s))
    writes.append(ORIGIN_DOCUMENTS.put(OriginDocumentKey.of(_origin(copy), key), index, ttl_s=ttl_s))
    if copy.owner is not None:
        writes.append(OWNED_DOCUMENTS.put(OwnedDocumentKey.of(copy.owner, key), index, ttl_s=ttl_s))
    written_keys = {write.key for write in writes}
    if replaced is not None:
        writes += [DeleteEntry(outdated) for outdated in _index_keys(key, replaced) if outdated not in written_keys]
    return writes


def copy_deletions(key: DocumentKey, copy: CachedDocument) -> list[Write]:
    """Return the writes that delete a copy and its entries in the indexes."""
    return [CACHED_DOCUMENTS.delete(key), *map(DeleteEntry, _index_keys(key, copy))]


def _index_keys(key: DocumentKey, copy: CachedDocument) -> list[StoreKey]:
    keys = [
        DUE_DOCUMENTS.key(DueDocumentKey.of(copy.fresh_until, key)),
        ORIGIN_DOCUMENTS.key(OriginDocumentKey.of(_origin(copy), key)),
    ]
    if copy.owner is not None:
        keys.append(OWNED_DOCUMENTS.key(OwnedDocumentKey.of(copy.owner, key)))
    return keys


def _origin(copy: CachedDocument) -> str:
    return str(parse_url(copy.uri).origin)


def kept_ttl_s(fresh_until: datetime, now: datetime, kept_s: float) -> float:
    """Return how long a copy is cached: ``kept_s`` after it is stale, and `COPY_KEPT_S_MAX` at most."""
    return max(1.0, min((fresh_until - now).total_seconds() + kept_s, COPY_KEPT_S_MAX))


def content_digest(body: bytes) -> str:
    """Return the digest by which two bodies are compared."""
    return sha256(body).hexdigest()[:32]


def owner_in(document: Document) -> str | None:
    """Return the first owner that a document names, as the index spells it."""
    owner = next(iter(owners_of(document)), None)
    return None if owner is None else canonical(owner)


def canonical(uri: str) -> str:
    """Return an address in its canonical form; any other text unchanged."""
    try:
        return str(parse_url(uri))
    except RequestError:
        return uri


def believed_version(document: Document, now: datetime, *, published: bool = False) -> datetime | None:
    """Return the ``updated`` of a document, or with ``published`` also its ``published`` in place of a missing one.

    A time later than a day after ``now`` is a mistake or a lie. It is not believed: the document would count as the
    newest for ever.
    """
    view = Object.over(document)
    version = view.updated or (view.published if published else None)
    if version is None or version > now + timedelta(seconds=CLOCK_AHEAD_S):
        return None
    return version.replace(microsecond=version.microsecond // 1000 * 1000)


# --- several copies -------------------------------------------------------------------------------------------------


def due_copies(now: datetime, *, limit: int) -> Op[tuple[CachedDocument, ...]]:
    """Return up to ``limit`` (1 to 100) copies that are stale at ``now``, those that are stale the longest first.

    Asks for: one `Scan` and one `Get`.
    """
    entries = yield from Scan(DUE_DOCUMENTS.prefix, limit=limit)
    indexed = [DUE_DOCUMENTS.read(entry) for entry in entries]
    due = [stored for stored in indexed if stored.key.due <= f"{to_epoch_ms(now):015d}"]
    copies = yield from _copies_of([DocumentKey(stored.key.uri_digest, stored.key.viewer) for stored in due])
    return tuple(copy for copy in copies if copy is not None and copy.fresh_until <= now)


def list_copies(
    *, owner: str | None = None, origin: str | None = None, after: StoreKey | None = None, limit: int
) -> Op[tuple[tuple[CachedDocument, ...], StoreKey | None]]:
    """Return a page of the copies, of those of one owner or origin, and the key to continue after; None at the end.

    Asks for: one `Scan` and one `Get`.
    """
    entries = yield from Scan(_index_prefix(owner, origin), after=after, limit=limit)
    copies = yield from _copies_of([DocumentKey(*entry.key[-2:]) for entry in entries])
    present = tuple(copy for copy in copies if copy is not None)
    return present, entries[-1].key if len(entries) == limit else None


def _index_prefix(owner: str | None, origin: str | None) -> StoreKey:
    no_copy = DocumentKey("", "")
    if owner is not None:
        return OWNED_DOCUMENTS.at(OwnedDocumentKey.of(owner, no_copy).owner_digest)
    if origin is not None:
        return ORIGIN_DOCUMENTS.at(OriginDocumentKey.of(origin, no_copy).origin_digest)
    return DUE_DOCUMENTS.prefix


def forget_copies(*, uri: str | None = None, owner: str | None = None, origin: str | None = None) -> Op[int]:
    """Delete all copies of one document, of one owner's documents, or of one origin's, and return their number.

    With ``uri``, the failures, the alias and the tombstone of the document are deleted too.

    Asks for: one `Scan`, one `Get` and one commit for each 20 copies.
    """
    if uri is not None:
        prefix = CACHED_DOCUMENTS.at(AddressKey.of(uri).uri_digest)
        yield from _forget_address(uri)
    else:
        prefix = _index_prefix(owner, origin or "")
    count = 0
    while True:
        entries = yield from Scan(prefix, limit=_FORGOTTEN_A_COMMIT)
        if not entries:
            return count
        count += yield from _delete_copies(entries)


def _forget_address(uri: str) -> Op[None]:
    address = AddressKey.of(uri)
    failures = yield from Scan(FAILED_LOADS.at(address.uri_digest), limit=_FORGOTTEN_A_COMMIT)
    _ = yield from commit(
        (),
        (
            TOMBSTONES.delete(address),
            DOCUMENT_ALIASES.delete(address),
            *(DeleteEntry(entry.key) for entry in failures),
        ),
    )


def prune_at_times(token: bytes, now: datetime, *, documents_max: int, bytes_max: int) -> Op[None]:
    """Prune the graph about once in two thousand commits, chosen by the random ``token`` of a commit.

    So the graph keeps to its bounds without a worker, and may exceed them by a few thousand copies at times. A failing
    store is ignored. Asks for: mostly nothing, else as `prune_copies`.
    """
    if token[0] != 0xFF or token[1] < _PRUNED_FROM:
        return
    with suppress(Unavailable):
        _ = yield from prune_copies(now, documents_max=documents_max, bytes_max=bytes_max, age_s_max=COPY_KEPT_S_MAX)


def prune_copies(now: datetime, *, documents_max: int, bytes_max: int, age_s_max: float) -> Op[int]:
    """Delete copies until the graph is within its bounds, and return the number of deleted copies.

    Copies that came here more than ``age_s_max`` ago go first. Then, while there are too many copies or bytes, those
    go that are stale the longest.

    Asks for: two `Scan`s for each 500 copies; one `Get` and one commit for each 20 deleted ones.
    """
    oldest = now - timedelta(seconds=age_s_max)
    documents, size, pruned = 0, 0, 0
    after: StoreKey | None = None
    while True:
        entries = yield from Scan(DUE_DOCUMENTS.prefix, after=after, limit=_SCANNED)
        expired: list[Entry] = []
        for entry in entries:
            index = DUE_DOCUMENTS.read(entry).record
            if index.fetched <= oldest:
                expired.append(entry)
            else:
                documents, size = documents + 1, size + index.size
        pruned += yield from _delete_all(expired)
        if len(entries) < _SCANNED:
            break
        after = entries[-1].key
    while documents > documents_max or size > bytes_max:
        entries = yield from Scan(DUE_DOCUMENTS.prefix, limit=_FORGOTTEN_A_COMMIT)
        excess: list[Entry] = []
        for entry in entries:
            if documents <= documents_max and size <= bytes_max:
                break
            excess.append(entry)
            documents, size = documents - 1, size - DUE_DOCUMENTS.read(entry).record.size
        if not excess:
            break
        pruned += yield from _delete_copies(excess)
    return pruned


def _delete_all(entries: Sequence[Entry]) -> Op[int]:
    count = 0
    for start in range(0, len(entries), _FORGOTTEN_A_COMMIT):
        count += yield from _delete_copies(entries[start : start + _FORGOTTEN_A_COMMIT])
    return count


def _delete_copies(entries: Sequence[Entry]) -> Op[int]:
    """Delete the copies that entries of an index, or the copies themselves, lead to."""
    keys = list(dict.fromkeys(DocumentKey(*entry.key[-2:]) for entry in entries))
    copies = yield from _copies_of(keys)
    writes: dict[StoreKey, Write] = {entry.key: DeleteEntry(entry.key) for entry in entries}
    for key, copy in zip(keys, copies, strict=True):
        if copy is not None:
            writes |= {write.key: write for write in copy_deletions(key, copy)}
    _ = yield from commit((), tuple(writes.values()))
    return sum(copy is not None for copy in copies)


def _copies_of(keys: Sequence[DocumentKey]) -> Op[list[CachedDocument | None]]:
    if not keys:
        return []
    entries = yield from Get([CACHED_DOCUMENTS.key(key) for key in keys])
    return [None if entry is None else CACHED_DOCUMENTS.decode(entry.value) for entry in entries]
