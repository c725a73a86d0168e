"""Find the items and the links of a collection, whatever its shape. Pure functions over documents.

These shapes are read:

- items on the collection itself, on its pages, or on both;
- embedded pages and pages behind an address, with or without ids; an empty page before another one;
- ``next`` on the collection instead of ``first``; or only ``last`` or ``prev``, from which it is read backwards;
- a page at the address of the collection;
- a collection of an unknown type, which is recognised by its members (FEP-2277).
"""

from __future__ import annotations

import json
from collections.abc import Collection as AnyCollection
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import field, frozen

from apcore.errors import ApcoreError
from apcore.http import Url, join_url, parse_url
from apcore.vocab import Collection, CollectionPage, Document, Kind, Object, Reference, kind_of

__all__ = [
    "NO_MARK",
    "Entrance",
    "Link",
    "Mark",
    "date_of",
    "entrance_of",
    "is_collection",
    "item_key",
    "items_of",
    "link_of",
    "pages_in",
    "total_of",
    "url_of",
]

Link: TypeAlias = Literal["first", "next", "last", "prev"]
_FROM_A_COLLECTION: Final[tuple[Link, ...]] = ("first", "next", "last", "prev")
_FROM_A_PAGE: Final[tuple[Link, ...]] = ("next", "first", "last", "prev")


def is_collection(document: Document) -> bool:
    """Return whether a document is a collection, by its type or by its members."""
    return document.is_a(Collection) or kind_of(document) is Kind.COLLECTION


def items_of(page: Document) -> tuple[Reference, ...]:
    """Return the items of a page."""
    return CollectionPage.over(page).items


def link_of(document: Document, name: Link) -> Reference | None:
    """Return a link of a collection or page."""
    view = CollectionPage.over(document)
    return {"first": view.first, "next": view.next, "last": view.last, "prev": view.prev}[name]


def total_of(pages: Sequence[Document]) -> int:
    """Return the highest number of items that a collection or one of its pages claims; 0 if none does."""
    return max((CollectionPage.over(page).total_items or 0 for page in pages), default=0)


def item_key(item: Reference) -> str:
    """Return the text that identifies an item: its address, or the digest of an embedded object without one."""
    if item.uri is not None or item.embedded is None:
        return item.uri or ""
    return sha256(json.dumps(item.embedded.tree, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def date_of(item: Reference) -> datetime | None:
    """Return the date of an embedded item: its own, or that of the object that a new activity embeds."""
    if item.embedded is None:
        return None
    view = Object.over(item.embedded)
    if view.published is not None or view.updated is not None:
        return view.published or view.updated
    members: Any = item.embedded.words.get("object")
    if not isinstance(members, dict):
        return None
    return Object.over(item.embedded.embedded(cast("dict[str, Any]", members))).published


def url_of(reference: Reference, base: Url) -> Url | str:
    """Return the address of a page to fetch, or the reason for not fetching it.

    The address may be relative to the page that names it. It must be on the same origin.
    """
    if reference.uri is None:
        return "the next page is neither embedded nor has an address"
    try:
        url = join_url(base, reference.uri) if reference.uri[:1] in {"/", "?"} else parse_url(reference.uri)
    except ApcoreError as error:
        return str(error)
    return url if url.origin == base.origin else f"it leads to another origin, {reference.uri}"


@frozen
class Entrance:
    """The link that leads from the collection itself to its pages."""

    link: Link | None = None
    reference: Reference | None = None
    from_a_page: bool = False
    """Whether a page is served as the collection."""

    @property
    def onward(self) -> Link:
        """The link that leads from one page to the next."""
        return "prev" if self.is_backwards else "next"

    @property
    def is_backwards(self) -> bool:
        """Whether the pages are read from the last one."""
        return self.link in {"last", "prev"}

    @property
    def closes_at_home(self) -> bool:
        """Whether all pages have been read when they lead to the collection itself."""
        return self.is_backwards or (self.from_a_page and self.link == "first")


def entrance_of(root: Document, home: AnyCollection[str]) -> Entrance:
    """Return the entrance of a collection. ``home`` holds the addresses of the collection itself."""
    is_page = root.is_a(CollectionPage)
    names = _FROM_A_PAGE if is_page else _FROM_A_COLLECTION
    links: list[tuple[Link, Reference]] = []
    for name in names:
        reference = link_of(root, name)
        if reference is not None:
            links.append((name, reference))
    # A page that is served as the collection often names itself as the first or the last one.
    elsewhere = [pair for pair in links if pair[1].embedded is not None or pair[1].uri not in home]
    if not elsewhere and items_of(root):
        return Entrance()
    for name, reference in elsewhere or links:
        return Entrance(name, reference, is_page)
    return Entrance()


def pages_in(
    start: Reference | None, onward: Link, home: AnyCollection[str]
) -> tuple[list[Document], Reference | None, list[str]]:
    """Follow embedded pages. Return them, the reference to the next page to fetch, and the addresses of the pages.

    An embedded page that has an address and no link onward may be an excerpt. Its items count, and its address is
    fetched nevertheless.
    """
    pages: list[Document] = []
    addresses: list[str] = []
    reference = start
    while reference is not None and reference.embedded is not None:
        page = reference.embedded
        pages.append(page)
        following_page = link_of(page, onward)
        is_known = reference.uri is None or reference.uri in home or reference.uri in addresses
        if following_page is None and not (is_known and (reference.uri is None or items_of(page))):
            return pages, reference, addresses
        if reference.uri is not None:
            addresses.append(reference.uri)
        reference = following_page
    return pages, reference, addresses


@frozen
class Mark:
    """The newest part of a collection that is known already: ids, or a date."""

    ids: frozenset[str] = frozenset()
    moment: datetime | None = field(default=None)

    @classmethod
    def of(cls, since: datetime | str | AnyCollection[str] | None) -> Mark:
        """Return the mark for ``since``: an aware date, an id, or several ids.

        Raises:
            ValueError: The date has no time zone.
        """
        if since is None:
            return cls()
        if isinstance(since, datetime):
            if since.utcoffset() is None:
                raise ValueError(f"since={since!r} has no time zone")
            return cls(moment=since)
        return cls(frozenset({since} if isinstance(since, str) else since))

    def cut(self, items: Sequence[Reference], onward: Link) -> tuple[tuple[Reference, ...], str | None]:
        """Return the items of a page that are newer than the mark, and the reason if no later page has any.

        A collection may begin with its oldest item, and one that is read backwards does. All their pages are read,
        since the newest items come last.
        """
        if onward == "prev" and self.ids:
            return tuple(item for item in items if item_key(item) not in self.ids), None
        if self.ids:
            for position, item in enumerate(items):
                if item_key(item) in self.ids:
                    return tuple(items[:position]), f"it was read back to the known item {item.uri}"
            return tuple(items), None
        if self.moment is None:
            return tuple(items), None
        dates = [date_of(item) for item in items]
        newer = tuple(item for item, date in zip(items, dates, strict=True) if date is None or date >= self.moment)
        known_dates = [date for date in dates if date is not None]
        is_descending = onward == "next" and bool(known_dates) and known_dates[0] >= known_dates[-1]
        if not newer and is_descending:
            return (), f"it was read back to {self.moment.isoformat()}"
        return newer, None


NO_MARK: Final = Mark()
"""The mark of a collection of which nothing is known."""
