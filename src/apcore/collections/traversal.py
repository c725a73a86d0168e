"""Reading somebody else's collection: from page to page, within bounds, whatever it claims.

Collections come in every shape: items on the collection itself, or on its first page, or both; pages embedded or behind an address; an empty page
with another one after it; a ``next`` that leads back. So a traversal believes nothing: it counts pages and items against its own bounds, remembers
where it has been, and stays on the collection's origin. ``totalItems`` is never looked at.

Items are references; an embedded item is a claim by the page's origin, like any other.
"""

from __future__ import annotations

from attrs import field, frozen

from apcore.effects import Op
from apcore.errors import ApcoreError
from apcore.graph import FetchPolicy, Identity, WrongId, load, load_unbelieved
from apcore.http import Origin, parse_url
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
    uri: str,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: TraversalBounds = TraversalBounds(),
) -> Op[Traversal]:
    """Read the collection ``uri`` from its first page on.

    Asks for: the collection (see `load`), then one fetch a page, at most ``bounds.pages_max``.

    Raises:
        ApcoreError: The collection itself could not be had, see `load`, or is none (`WrongType`).
    """
    loaded = yield from load(uri, policy=policy, identity=identity)
    document, origin = loaded.document, loaded.url.origin
    if not document.is_a(Collection):
        raise WrongType(f"{uri} is {document.types or 'of no type'}, and no collection")
    items = list(Collection.over(document).items)
    visited = {uri, str(loaded.url)}
    fetched, following = 1, Collection.over(document).first
    while following is not None:
        if len(items) > bounds.items_max:
            return Traversal(tuple(items[: bounds.items_max]), fetched, f"it has more than {bounds.items_max} items")
        page, refused = _embedded(following), None
        if page is None:
            refused = _refusal(following, origin, visited, fetched, bounds)
            if refused is not None:
                return Traversal(tuple(items), fetched, refused)
            try:
                found = yield from load_unbelieved(following.uri or "", policy=policy, identity=identity)
                if found.url.origin != origin:
                    raise WrongId(f"the page {following.uri} is answered by {found.url}, of another origin")
            except ApcoreError as error:
                return Traversal(tuple(items), fetched, f"the page {following.uri} could not be had", error)
            fetched += 1
            page = found.document
        elif following.uri is not None:
            visited.add(following.uri)
        view = CollectionPage.over(page)
        items += view.items
        following = view.next
    return Traversal(tuple(items[: bounds.items_max]), fetched)


def _embedded(reference: Reference) -> Document | None:
    """Give an embedded page that holds something: items, or where to go on."""
    page = reference.embedded
    if page is None:
        return None
    view = CollectionPage.over(page)
    return page if view.items or view.next is not None else None


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
