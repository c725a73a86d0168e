"""Reading a collection of a peer: from page to page, within bounds, whatever it claims.

Collections come in every shape, and each is read as it is:

- items on the collection itself, on its pages, or on both; an item that comes twice counts once;
- pages embedded or behind an address, with or without ids; an empty page with another one after it;
- a collection without an id, which is then the one at its address, and is not kept;
- ``next`` on the collection instead of ``first``, or only ``last`` or ``prev``, from which it is read backwards;
- a page at the address of the collection.

An embedded page that has an address and no ``next`` may be an excerpt, so its address is asked. Where a collection
shows fewer items than it counts, and no page of it was fetched, `Traversal.ended` says so: the rest is hidden, or
elsewhere. Otherwise ``totalItems`` is not looked at, since it counts what strangers are not shown.

A traversal counts pages and items against its own bounds, remembers where it has been, and stays on the collection's
origin. Items are references; an embedded item is a claim by the page's origin, like any other.
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
    """How far a traversal goes."""

    pages_max: int = 100
    items_max: int = 10_000


@frozen
class Traversal:
    """What was read of a collection."""

    items: tuple[Reference, ...]
    pages: int
    """How many documents were fetched, the collection itself included."""
    ended: str | None = None
    """Why it was not read to its end, in words; None if it was."""
    error: ApcoreError | None = field(default=None, eq=False)
    """The error that ended it, if one did. What was read before counts all the same."""


def traverse(
    collection: str | Reference,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: TraversalBounds = TraversalBounds(),
) -> Op[Traversal]:
    """Read a collection, given by its address or as a document refers to it, from its first page on.

    Asks for: the collection (see `load`), unless it is embedded without an id; then one fetch a page, at most
    ``bounds.pages_max``.

    Raises:
        ApcoreError: The collection itself could not be had, see `load`, or is none (`WrongType`).
    """
    root = yield from _root(collection, policy=policy, identity=identity)
    entrance = _entrance(root.document, root.home)
    onward: _Link = "prev" if entrance.is_backwards else "next"
    pages, visited, following = [root.document], set(root.home), entrance.reference
    fetched, shown = root.fetched, len(CollectionPage.over(root.document).items)
    ended: str | None = None
    cause: ApcoreError | None = None
    while following is not None and not (entrance.closes_at_home and following.uri in root.home):
        if shown > bounds.items_max:
            ended = f"it has more than {bounds.items_max} items"
            break
        page = _whole_page(following, onward, visited)
        if page is not None:
            visited |= {following.uri} if following.uri is not None else set[str]()
        else:
            ended = _refusal(following, root.origin, visited, fetched, bounds)
            if ended is None:
                try:
                    page = yield from _page(following.uri or "", root.origin, policy=policy, identity=identity)
                    fetched += 1
                except ApcoreError as error:
                    ended, cause = f"the page {following.uri} could not be had", error
            # What an embedded page shows counts, even if its address gives nothing.
            page = page or following.embedded
        if page is not None:
            pages.append(page)
            shown += len(CollectionPage.over(page).items)
        following = None if page is None or ended is not None else _link(page, onward)
    if ended is None and fetched <= 1:
        ended = _hidden(pages)
    return _result(entrance.ordered(pages), fetched, bounds, ended, cause)


@frozen
class _Root:
    """The collection itself."""

    document: Document
    origin: Origin
    home: frozenset[str] = frozenset()
    """Its addresses."""
    fetched: int = 0


def _root(collection: str | Reference, *, policy: FetchPolicy, identity: Identity | None) -> Op[_Root]:
    reference = Reference(collection) if isinstance(collection, str) else collection
    if reference.uri is None and reference.embedded is not None:
        document, origin = reference.embedded, reference.embedded.origin
        if origin is None:
            raise WrongId("the embedded collection has no id, and its document was not obtained from anywhere")
        root = _Root(document, origin)
    else:
        uri = reference.uri or ""
        loaded = yield from load(uri, policy=policy, identity=identity, unnamed=True)
        home = frozenset({uri, str(loaded.url), loaded.document.id or uri})
        root = _Root(loaded.document, loaded.url.origin, home, 1)
    if not root.document.is_a(Collection):
        name = reference.uri or "the embedded collection"
        raise WrongType(f"{name} is {root.document.types or 'of no type'}, and no collection")
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
    """Which link leads from the collection itself to its pages."""

    link: _Link | None = None
    reference: Reference | None = None
    from_a_page: bool = False
    """Whether a page is served as the collection."""

    @property
    def is_backwards(self) -> bool:
        return self.link in {"last", "prev"}

    @property
    def closes_at_home(self) -> bool:
        """Whether all pages were read once they lead to the collection itself."""
        return self.is_backwards or (self.from_a_page and self.link == "first")

    def ordered(self, pages: Sequence[Document]) -> list[Document]:
        """Return the pages in the order of the collection, of which the first one given is the collection itself."""
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
    """Return an embedded page, unless it may be an excerpt of what its address shows."""
    page = reference.embedded
    if page is None or reference.uri is None or _link(page, onward) is not None:
        return page
    # An address that was asked already shows nothing more.
    return page if reference.uri in visited and CollectionPage.over(page).items else None


def _refusal(
    following: Reference, origin: Origin, visited: set[str], fetched: int, bounds: TraversalBounds
) -> str | None:
    """Say why the next page is not fetched; None if it is, and then it counts as visited."""
    if following.uri is None:
        return "the next page is neither embedded nor anywhere"
    if following.uri in visited:
        return f"it leads back to {following.uri}"
    if fetched >= bounds.pages_max:
        return f"it has more than {bounds.pages_max} pages"
    try:
        if parse_url(following.uri).origin != origin:
            return f"it leads to another origin, {following.uri}"
    except ApcoreError as error:
        return str(error)
    visited.add(following.uri)
    return None


def _hidden(pages: Sequence[Document]) -> str | None:
    """Say that a collection shows fewer items than it counts, given all that is embedded in it; None if it does not."""
    views = [CollectionPage.over(page) for page in pages]
    shown, counted = sum(len(view.items) for view in views), max(view.total_items or 0 for view in views)
    return f"it counts {counted} items, and shows {shown} of them" if shown < counted else None


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
