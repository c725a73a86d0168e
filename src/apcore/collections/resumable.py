"""Read a peer's collection with a position in the store, so that a crash anywhere costs at most one request.

Each call reads one document. The writes for its items, marks for these items, and the new position are in one commit.
A long document takes several commits; the position moves with the last one. If the process dies before that, the
document is read again, and the marks tell which of its items were stored. So each item is stored once.

The memory of a traversal is that of one document, however long the collection is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Collection as AnyCollection
from datetime import datetime
from typing import Final, cast

from attrs import evolve, field, frozen

from apcore.collections.cursors import Cursor, ReadPages, TraversalBounds, open_cursor, read_on
from apcore.collections.records import (
    READ_MARKS,
    TRAVERSALS,
    ReadMarkKey,
    ReadMarkRecord,
    TraversalKey,
    TraversalRecord,
)
from apcore.collections.shapes import Mark, item_key
from apcore.effects import Get, Op, Scan, commit, commit_batch
from apcore.errors import ApcoreError, StoreBusy, Unavailable
from apcore.http import parse_url
from apcore.ports import GET_KEYS_MAX, Batch, Check
from apcore.remote import FetchPolicy, Identity
from apcore.vocab import Reference

__all__ = ["CHUNK_ITEMS", "TraversalProgress", "continue_traversal", "forget_traversal"]

CHUNK_ITEMS: Final = 20
"""The most items of one commit. A commit has up to 100 keys, so 75 remain for the writes of the caller."""
_PAGE_CHARS: Final = "page "
"""The beginning of the subject of a mark for a page."""
_FORGET_BATCH: Final = 90


@frozen(kw_only=True)
class TraversalProgress:
    """The state of a resumable traversal after one of its documents."""

    is_over: bool
    """Whether nothing is left to read."""
    pages: int
    """The number of documents that were fetched so far."""
    items: int
    """The number of items that were stored so far."""
    ended: str | None = None
    """The reason why it was not read to its end, in words; None if it was, or is not yet."""
    error: ApcoreError | None = field(default=None, eq=False)
    """The error that ended the traversal, if one did."""


def continue_traversal(
    name: str,
    collection: str,
    store_items: Callable[[Sequence[Reference]], Op[Batch]],
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: TraversalBounds = TraversalBounds(),  # noqa: B008 - immutable
    since: datetime | str | AnyCollection[str] | None = None,
) -> Op[TraversalProgress]:
    """Read the next document of a traversal, and store its items and the new position together.

    Call it until `TraversalProgress.is_over`. Further calls then return the same result without a request.

    Args:
        name: The name of the traversal. Another name begins anew.
        collection: The address of the collection.
        store_items: An operation that returns the writes for up to `CHUNK_ITEMS` new items: at most 75 keys.
        policy: The limits of fetching.
        identity: The signer of the requests.
        bounds: The limits of the whole traversal.
        since: As for `traverse`; the same value at each call.

    Asks for: one `Get`, one document, and for every 20 items one `Get`, those of ``store_items`` and one commit.

    Raises:
        ApcoreError: The collection itself cannot be loaded, or is no collection.
        Unavailable: The next page cannot be had now. The position is unchanged: call this again later.
        StoreBusy: Another process continues the same traversal.
    """
    [entry] = yield from Get((TRAVERSALS.key(TraversalKey.of(name)),))
    stored = TRAVERSALS.read_optional(entry)
    mark = Mark.of(since)
    if stored is None or stored.record.collection != collection:
        fence = Check(TRAVERSALS.key(TraversalKey.of(name)), None if entry is None else entry.version)
        step = yield from open_cursor(collection, policy=policy, identity=identity, mark=mark)
        address = None
    else:
        fence = stored.check
        cursor = _cursor_of(stored.record).within(bounds)
        if cursor.is_over:
            return _progress(cursor)
        address = cast("str", cursor.next)
        [page_entry] = yield from Get((READ_MARKS.key(ReadMarkKey.of(name, _PAGE_CHARS + address)),))
        if page_entry is not None or address in cursor.home:
            step = ReadPages(cursor.end(f"it leads back to {address}"))
        else:
            step = yield from read_on(cursor, policy=policy, identity=identity, mark=mark)
        if isinstance(step.error, Unavailable):
            raise step.error
    return (yield from _store(name, step, store_items, fence=fence, address=address, bounds=bounds))


def forget_traversal(name: str) -> Op[None]:
    """Delete the position and the marks of a traversal. Asks for: a `Scan` and a commit for each 90 marks."""
    key = TraversalKey.of(name)
    while True:
        entries = yield from Scan(READ_MARKS.at(key.name), limit=_FORGET_BATCH)
        writes = [READ_MARKS.read(entry).deletion for entry in entries]
        if len(entries) < _FORGET_BATCH:
            _ = yield from commit((), (*writes, TRAVERSALS.delete(key)))
            return
        _ = yield from commit((), writes)


def _store(
    name: str,
    step: ReadPages,
    store_items: Callable[[Sequence[Reference]], Op[Batch]],
    *,
    fence: Check,
    address: str | None,
    bounds: TraversalBounds,
) -> Op[TraversalProgress]:
    """Commit the new items of a document in chunks, the last one with the position after it."""
    items = {item_key(item): item for page in step.pages for item in page}
    new_keys = yield from _unread(name, list(items))
    cursor = step.cursor
    room = max(0, bounds.items_max - cursor.items)
    cursor = evolve(cursor, items=cursor.items + min(len(new_keys), room + 1)).within(bounds)
    cursor = evolve(cursor, items=min(cursor.items, bounds.items_max))
    new_keys = new_keys[:room]
    addresses = [*step.addresses, *(() if address is None else (address,))]
    marks = [ReadMarkKey.of(name, _PAGE_CHARS + page_address) for page_address in addresses[:CHUNK_ITEMS]]
    position = Batch([fence], [TRAVERSALS.put(TraversalKey.of(name), _record_of(cursor))])
    position += Batch(writes=[READ_MARKS.put(key, ReadMarkRecord()) for key in marks])
    chunks = [new_keys[start : start + CHUNK_ITEMS] for start in range(0, len(new_keys), CHUNK_ITEMS)]
    for chunk in chunks[:-1]:
        yield from _commit(Batch([fence]) + (yield from _writes_for(name, chunk, items, store_items)))
    last = Batch() if not chunks else (yield from _writes_for(name, chunks[-1], items, store_items))
    yield from _commit(position + last)
    return _progress(cursor, step.error)


def _writes_for(
    name: str,
    keys: Sequence[str],
    items: dict[str, Reference],
    store_items: Callable[[Sequence[Reference]], Op[Batch]],
) -> Op[Batch]:
    mark_keys = [ReadMarkKey.of(name, key) for key in keys]
    batch = yield from store_items([items[key] for key in keys])
    return batch + Batch(
        map(READ_MARKS.absent, mark_keys), [READ_MARKS.put(key, ReadMarkRecord()) for key in mark_keys]
    )


def _unread(name: str, keys: Sequence[str]) -> Op[list[str]]:
    """Return the keys of the items that this traversal has not stored yet."""
    unread: list[str] = []
    for start in range(0, len(keys), GET_KEYS_MAX):
        part = keys[start : start + GET_KEYS_MAX]
        entries = yield from Get([READ_MARKS.key(ReadMarkKey.of(name, key)) for key in part])
        unread += [key for key, entry in zip(part, entries, strict=True) if entry is None]
    return unread


def _commit(batch: Batch) -> Op[None]:
    if (yield from commit_batch(batch)) is False:
        raise StoreBusy("another process continues the same traversal, or has just done so")


# --- pure parts -----------------------------------------------------------------------------------------------------


def _cursor_of(record: TraversalRecord) -> Cursor:
    return Cursor(
        collection=record.collection,
        home=record.home,
        base=parse_url(record.base),
        next=record.next,
        onward=record.onward,
        closes_at_home=record.closes_at_home,
        pages=record.pages,
        items=record.items,
        listed=record.listed,
        size=record.size,
        spent_ms=record.spent_ms,
        total=record.total,
        ended=record.ended,
    )


def _record_of(cursor: Cursor) -> TraversalRecord:
    return TraversalRecord(
        collection=cursor.collection,
        home=cursor.home,
        base=str(cursor.base),
        next=cursor.next,
        onward=cursor.onward,
        closes_at_home=cursor.closes_at_home,
        pages=cursor.pages,
        items=cursor.items,
        listed=cursor.listed,
        size=cursor.size,
        spent_ms=cursor.spent_ms,
        total=cursor.total,
        ended=cursor.ended,
    )


def _progress(cursor: Cursor, error: ApcoreError | None = None) -> TraversalProgress:
    return TraversalProgress(
        is_over=cursor.is_over, pages=cursor.pages, items=cursor.items, ended=cursor.ended, error=error
    )
