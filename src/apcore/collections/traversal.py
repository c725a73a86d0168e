"""Read a peer's collection page by page, within bounds.

Collections come in many shapes, and all of these are read:

- items on the collection itself, on its pages, or on both; an item that comes twice counts once;
- embedded pages and pages behind an address, with or without ids; an empty page before another one;
- a collection without an id, which is then the one at its address, and is not cached;
- ``next`` on the collection instead of ``first``; or only ``last`` or ``prev``, from which it is read backwards;
- a page at the address of the collection.

An embedded page that has an address and no ``next`` may be an excerpt, so its address is fetched. If a collection shows
fewer items than it counts, and no page was fetched, `Traversal.ended` says so: the others are hidden, or elsewhere.
Otherwise ``totalItems`` is ignored, since it also counts items that are hidden from strangers.

A traversal counts pages and items against its own bounds, never fetches a page twice, and stays on the collection's
origin. Items are references; an embedded item is a claim by the page's origin, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from apcore.effects import Op
from apcore.errors import ApcoreError
from apcore.http import Origin, parse_url
from apcore.remote import FetchPolicy, Identity, WrongId, load, load_unverified
from apcore.vocab import Collection, CollectionPage, Document, Reference, WrongType

__all__ = ["Traversal", "TraversalBounds", "traverse"]


@frozen(kw_only=True)
class TraversalBounds:
    """The limits of a traversal."""

    pages_max: int = 100
    items_max: int = 10_000


@frozen
class Traversal:
    """The items that were read of a collection, and the reason if it was not read to its end."""

    items: tuple[Reference, ...]
    pages: int
    """The number of fetched documents, the collection itself included."""
    ended: str | None = None
    """The reason why it was not read to its end, in words; None if it was."""
    error: ApcoreError | None = field(default=None, eq=False)
    """The error that ended the traversal, if one did. The items read before it still count."""


def traverse(
    collection: str | Reference,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: TraversalBounds = TraversalBounds(),
) -> Op[Traversal]:
    """Read a collection from its first page on. Pass its address, or a document's reference to it.

    Asks for: the collection (as `load`), unless it is embedded without an id; then one fetch for each page, at most
    ``bounds.pages_max``.

    Raises:
        ApcoreError: The collection itself cannot be loaded (see `load`), or is no collection (`WrongType`).
    """
    root = yield from _root(collection, policy=policy, identity=identity)
    entrance = _entrance(root.document, root.home)
    onward: _Link = "prev" if entrance.is_backwards else "next"
    pages, visited, next_page = [root.document], set(root.home), entrance.reference
    fetched, item_count = root.fetched, len(CollectionPage.over(root.document).items)
    end_reason: str | None = None
    cause: ApcoreError | None = None
    while next_page is not None and not (entrance.closes_at_home and next_page.uri in root.home):
        if item_count > bounds.items_max:
            end_reason = f"it has more than {bounds.items_max} items"
            break
        page = _whole_page(next_page, onward, visited)
        if page is not None:
            visited |= {next_page.uri} if next_page.uri is not None else set[str]()
        else:
            end_reason = _refusal(next_page, root.origin, visited, fetched, bounds)
            if end_reason is None:
                try:
                    page = yield from _page(next_page.uri or "", root.origin, policy=policy, identity=identity)
                    fetched += 1
                except ApcoreError as error:
                    end_reason, cause = f"the page {next_page.uri} could not be loaded", error
            # The items of an embedded page count, even if its address cannot be fetched.
            page = page or next_page.embedded
        if page is not None:
            pages.append(page)
            item_count += len(CollectionPage.over(page).items)
        next_page = None if page is None or end_reason is not None else _link(page, onward)
    if end_reason is None and fetched <= 1:
        end_reason = _hidden(pages)
    return _result(entrance.ordered(pages), fetched, bounds, end_reason, cause)


@frozen
class _Root:
    """The collection itself."""

    document: Document
    origin: Origin
    home: frozenset[str] = frozenset()
    """The addresses of the collection."""
    fetched: int = 0


def _root(collection: str | Reference, *, policy: FetchPolicy, identity: Identity | None) -> Op[_Root]:
    reference = Reference(collection) if isinstance(collection, str) else collection
    if reference.uri is None and reference.embedded is not None:
        document, origin = reference.embedded, reference.embedded.origin
        if origin is None:
            raise WrongId("the embedded collection has no id, and the origin of its document is not known")
        root = _Root(document, origin)
    else:
        uri = reference.uri or ""
        loaded = yield from load(uri, policy=policy, identity=identity, unnamed=True)
        home = frozenset({uri, str(loaded.url), loaded.document.id or uri})
        root = _Root(loaded.document, loaded.url.origin, home, 1)
    if not root.document.is_a(Collection):
        name = reference.uri or "the embedded collection"
        raise WrongType(f"{name} is {root.document.types or 'of no type'}, not a collection")
    return root


def _page(uri: str, origin: Origin, *, policy: FetchPolicy, identity: Identity | None) -> Op[Document]:
    loaded = yield from load_unverified(uri, policy=policy, identity=identity)
    if loaded.url.origin != origin:
        raise WrongId(f"the page {uri} is answered by {loaded.url}, of another origin")
    return loaded.document


# --- pure parts -----------------------------------------------------------------------------------------------------


_Link: TypeAlias = Literal["first", "next", "last", "prev"]
_FROM_A_COLLECTION: Final[tuple[_Link, ...]] = ("first", "next", "last", "prev")
_FROM_A_PAGE: Final[tuple[_Link, ...]] = ("next", "first", "last", "prev")


@frozen
class _Entrance:
    """The link that leads from the collection itself to its pages."""

    link: _Link | None = None
    reference: Reference | None = None
    from_a_page: bool = False
    """Whether a page is served as the collection."""

    @property
    def is_backwards(self) -> bool:
        return self.link in {"last", "prev"}

    @property
    def closes_at_home(self) -> bool:
        """Whether all pages have been read when they lead to the collection itself."""
        return self.is_backwards or (self.from_a_page and self.link == "first")

    def ordered(self, pages: Sequence[Document]) -> list[Document]:
        """Return the pages in the order of the collection; ``pages`` starts with the collection itself."""
        root, *others = pages
        if self.is_backwards:
            others.reverse()
        return [*others, root] if self.from_a_page and self.closes_at_home else [root, *others]


def _link(document: Document, name: _Link) -> Reference | None:
    view = CollectionPage.over(document)
    return {"first": view.first, "next": view.next, "last": view.last, "prev": view.prev}[name]


def _entrance(root: Document, home: frozenset[str]) -> _Entrance:
    is_page = root.is_a(CollectionPage)
    names = _FROM_A_PAGE if is_page else _FROM_A_COLLECTION
    links: list[tuple[_Link, Reference]] = []
    for name in names:
        reference = _link(root, name)
        if reference is not None:
            links.append((name, reference))
    # A page that is served as the collection often names itself as the first or the last one.
    elsewhere = [pair for pair in links if pair[1].embedded is not None or pair[1].uri not in home]
    if not elsewhere and CollectionPage.over(root).items:
        return _Entrance()
    for name, reference in elsewhere or links:
        return _Entrance(name, reference, is_page)
    return _Entrance()


def _whole_page(reference: Reference, onward: _Link, visited: set[str]) -> Document | None:
    """Return an embedded page, unless it may be an excerpt of the page at its address."""
    page = reference.embedded
    if page is None or reference.uri is None or _link(page, onward) is not None:
        return page
    # An address that was fetched before has nothing more to offer.
    return page if reference.uri in visited and CollectionPage.over(page).items else None


def _refusal(
    next_page: Reference, origin: Origin, visited: set[str], fetched: int, bounds: TraversalBounds
) -> str | None:
    """Return why the next page is not fetched. Otherwise mark it as visited and return None."""
    if next_page.uri is None:
        return "the next page is neither embedded nor has an address"
    if next_page.uri in visited:
        return f"it leads back to {next_page.uri}"
    if fetched >= bounds.pages_max:
        return f"it has more than {bounds.pages_max} pages"
    try:
        if parse_url(next_page.uri).origin != origin:
            return f"it leads to another origin, {next_page.uri}"
    except ApcoreError as error:
        return str(error)
    visited.add(next_page.uri)
    return None


def _hidden(pages: Sequence[Document]) -> str | None:
    """Return a note if a collection and its embedded pages show fewer items than it counts, else None."""
    views = [CollectionPage.over(page) for page in pages]
    item_count, counted = sum(len(view.items) for view in views), max(view.total_items or 0 for view in views)
    return f"it counts {counted} items, and shows {item_count} of them" if item_count < counted else None


def _result(
    pages: Sequence[Document], fetched: int, bounds: TraversalBounds, ended: str | None, error: ApcoreError | None
) -> Traversal:
    items: dict[object, Reference] = {}
    for page in pages:
        for item in CollectionPage.over(page).items:
            _ = items.setdefault(len(items) if item.uri is None else item.uri, item)
    if len(items) > bounds.items_max:
        ended = ended or f"it has more than {bounds.items_max} items"
    return Traversal(tuple(items.values())[: bounds.items_max], fetched, ended, error)
