"""Read a collection one document at a time, from a cursor that can be stored between two documents.

A cursor holds everything that the next step needs, except the addresses and items that were read before: the caller
keeps those, in memory (`apcore.collections.traversal`) or in the store (`apcore.collections.resumable`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve, field, frozen

from apcore.collections.shapes import (
    NO_MARK,
    Entrance,
    Link,
    Mark,
    entrance_of,
    is_collection,
    items_of,
    link_of,
    pages_in,
    total_of,
    url_of,
)
from apcore.effects import Now, Op
from apcore.errors import ApcoreError
from apcore.http import Url, parse_url
from apcore.remote import FetchPolicy, Identity, LoadedDocument, WrongId, load, load_unverified
from apcore.vocab import Document, Reference, WrongType

__all__ = ["Cursor", "ReadPages", "TraversalBounds", "advance", "begin", "open_cursor", "read_on"]

_NO_LINK: Final[tuple[object, ...]] = (None, "", {}, [])


@frozen(kw_only=True)
class TraversalBounds:
    """The limits of a traversal."""

    pages_max: int = 100
    items_max: int = 10_000
    bytes_max: int = 32 * 1024 * 1024
    """The total size of the documents."""
    time_s_max: float = 600.0
    """The total time for fetching the documents."""


@frozen(kw_only=True)
class Cursor:
    """The position of a traversal, and the totals so far."""

    collection: str
    """The address of the collection; empty for an embedded one without an id."""
    home: tuple[str, ...] = ()
    """All addresses of the collection."""
    base: Url
    """The address of the document that was read last."""
    next: str | None = None
    """The address of the document to read next; None if there is none."""
    onward: Link = "next"
    closes_at_home: bool = False
    pages: int = 0
    """The number of fetched documents."""
    items: int = 0
    """The number of different items. The caller counts them."""
    listed: int = 0
    """The number of items as listed, repetitions included."""
    size: int = 0
    """The bytes of the fetched documents."""
    spent_ms: int = 0
    total: int = 0
    """The highest number of items that the collection or a page claims."""
    ended: str | None = None
    """The reason why it was not read to its end; None if it was, or is not yet."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to read."""
        return self.next is None or self.ended is not None

    def end(self, reason: str | None) -> Cursor:
        """Return the cursor after its last step. An earlier reason counts."""
        return evolve(self, next=None, ended=self.ended or reason)

    def within(self, bounds: TraversalBounds) -> Cursor:
        """Return the cursor, or its end if one of the bounds is reached."""
        if self.items > bounds.items_max:
            return self.end(f"it has more than {bounds.items_max} items")
        if self.is_over:
            return self
        if self.pages >= bounds.pages_max:
            return self.end(f"it has more than {bounds.pages_max} pages")
        if self.size > bounds.bytes_max:
            return self.end(f"it has more than {bounds.bytes_max} bytes")
        if self.spent_ms > bounds.time_s_max * 1000:
            return self.end(f"reading it takes more than {bounds.time_s_max:g} s")
        return self


@frozen
class ReadPages:
    """The pages of one fetched document, and the cursor after it."""

    cursor: Cursor
    pages: tuple[tuple[Reference, ...], ...] = ()
    """The items of each page. An item may have been read before."""
    addresses: tuple[str, ...] = ()
    """The addresses of the embedded pages."""
    entrance: Entrance | None = None
    """The entrance, if the document is the collection itself."""
    error: ApcoreError | None = field(default=None, eq=False)


def open_cursor(
    collection: str | Reference, *, policy: FetchPolicy, identity: Identity | None, mark: Mark = NO_MARK
) -> Op[ReadPages]:
    """Read the collection itself. Asks for: one document (as `load`) unless it is embedded without an id; two `Now`s.

    Raises:
        ApcoreError: The collection cannot be loaded, or is no collection (`WrongType`).
    """
    reference = Reference(collection) if isinstance(collection, str) else collection
    if reference.uri is None and reference.embedded is not None:
        document, origin = reference.embedded, reference.embedded.origin
        if origin is None:
            raise WrongId("the embedded collection has no id, and the origin of its document is not known")
        cursor = Cursor(collection="", base=parse_url(f"{origin}/"))
    else:
        uri = reference.uri or ""
        started = yield from Now()
        loaded = yield from load(uri, policy=policy, identity=identity, unnamed=True)
        document = loaded.document
        home = tuple(dict.fromkeys((uri, str(loaded.url), document.id or uri)))
        spent_ms = round(((yield from Now()) - started).total_seconds() * 1000)
        size = len(loaded.body)
        cursor = Cursor(collection=uri, home=home, base=loaded.url, pages=1, size=size, spent_ms=spent_ms)
    return begin(cursor, document, mark)


def read_on(cursor: Cursor, *, policy: FetchPolicy, identity: Identity | None, mark: Mark = NO_MARK) -> Op[ReadPages]:
    """Read the document at ``cursor.next``. An error ends the cursor. Asks for: one fetch (as `load_unverified`)."""
    assert cursor.next is not None
    started = yield from Now()
    try:
        loaded = yield from load_unverified(cursor.next, policy=policy, identity=identity)
        _check_origin(loaded, cursor)
    except ApcoreError as error:
        return ReadPages(cursor.end(f"the page {cursor.next} could not be loaded"), error=error)
    spent_ms = cursor.spent_ms + round(((yield from Now()) - started).total_seconds() * 1000)
    return advance(evolve(cursor, spent_ms=max(0, spent_ms)), loaded, mark)


# --- pure parts -----------------------------------------------------------------------------------------------------


def begin(cursor: Cursor, document: Document, mark: Mark = NO_MARK) -> ReadPages:
    """Return the items on the collection itself, and the cursor for its pages.

    Raises:
        WrongType: The document is no collection.
    """
    if not is_collection(document):
        name = cursor.collection or "the embedded collection"
        raise WrongType(f"{name} is {document.types or 'of no type'}, not a collection")
    entrance = entrance_of(document, cursor.home)
    cursor = evolve(cursor, onward=entrance.onward, closes_at_home=entrance.closes_at_home)
    unreadable = _unreadable(document, ("first", "next"))
    return evolve(_consume(cursor, [document], entrance.reference, mark, unreadable), entrance=entrance)


def advance(cursor: Cursor, loaded: LoadedDocument, mark: Mark = NO_MARK) -> ReadPages:
    """Return the items of a page, and the cursor after it."""
    cursor = evolve(cursor, base=loaded.url, pages=cursor.pages + 1, size=cursor.size + len(loaded.body))
    following_page = link_of(loaded.document, cursor.onward)
    unreadable = _unreadable(loaded.document, (cursor.onward,))
    return _consume(cursor, [loaded.document], following_page, mark, unreadable)


def _check_origin(loaded: LoadedDocument, cursor: Cursor) -> None:
    if loaded.url.origin != cursor.base.origin:
        raise WrongId(f"the page {cursor.next} is answered by {loaded.url}, of another origin")


def _unreadable(document: Document, names: Sequence[Link]) -> str | None:
    """Return the reason if the link onward has a value that is no link, so that more pages may exist."""
    for name in names:
        if document.words.get(name) not in _NO_LINK and link_of(document, name) is None:
            return f"its {name!r} is {document.words[name]!r:.60}, which is no link"
    return None


def _consume(
    cursor: Cursor, documents: list[Document], reference: Reference | None, mark: Mark, unreadable: str | None
) -> ReadPages:
    """Return the items of a document and of the pages embedded in it, and the cursor for the next document."""
    embedded_pages, reference, addresses = pages_in(reference, cursor.onward, cursor.home)
    documents += embedded_pages
    pages: list[tuple[Reference, ...]] = []
    reason = unreadable
    for document in documents:
        items, reached = mark.cut(items_of(document), cursor.onward)
        pages.append(items)
        if reached is not None:
            reason, reference = reached, None
            break
    listed = cursor.listed + sum(len(items_of(document)) for document in documents)
    cursor = evolve(cursor, listed=listed, total=max(cursor.total, total_of(documents)))
    if reference is None or (cursor.closes_at_home and reference.uri in cursor.home):
        if reason is None and cursor.pages <= 1 and cursor.listed < cursor.total:
            # No page was fetched, so the other items are hidden or elsewhere.
            reason = f"it counts {cursor.total} items, and shows {cursor.listed} of them"
        cursor = cursor.end(reason)
    else:
        url = url_of(reference, cursor.base)
        cursor = cursor.end(url) if isinstance(url, str) else evolve(cursor, next=str(url))
    return ReadPages(cursor, tuple(pages), tuple(addresses))
