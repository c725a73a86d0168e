"""Read a peer's collection page by page, within bounds.

`apcore.collections.shapes` lists the shapes that are read. If a collection shows fewer items than it counts, and no
page was fetched, `Traversal.ended` says so: the others are hidden, or elsewhere. Otherwise ``totalItems`` is ignored,
since it also counts items that are hidden from strangers.

A traversal counts pages, items, bytes and time against its own bounds, never fetches a page twice, and stays on the
collection's origin. Each item comes once. Items are references; an embedded item is a claim by the page's origin, as
everywhere.
"""

from __future__ import annotations

from collections.abc import Collection as AnyCollection
from datetime import datetime

from attrs import evolve, field, frozen

from apcore.collections.cursors import Cursor, TraversalBounds, open_cursor, read_on
from apcore.collections.shapes import Entrance, Mark, item_key
from apcore.effects import Op
from apcore.errors import ApcoreError
from apcore.remote import FetchPolicy, Identity
from apcore.vocab import Reference

__all__ = ["Traversal", "traverse"]


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
    total: int = field(default=0, kw_only=True)
    """The number of items that the collection claims to have; 0 if it claims none. Show it, but never rely on it."""


def traverse(
    collection: str | Reference,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: TraversalBounds = TraversalBounds(),  # noqa: B008 - immutable
    since: datetime | str | AnyCollection[str] | None = None,
) -> Op[Traversal]:
    """Read a collection from its first page on. Pass its address, or a document's reference to it.

    With ``since``, only the newer items are read: those before a known id or before the first of several, or those
    published at or after a date. Items without a date count as newer. `Traversal.ended` then names the known item.

    Asks for: the collection (as `load`), unless it is embedded without an id; then one fetch for each page, at most
    ``bounds.pages_max``; for each, twice `Now`.

    Raises:
        ApcoreError: The collection itself cannot be loaded (see `load`), or is no collection (`WrongType`).
        ValueError: ``since`` is a date without a time zone.
    """
    mark = Mark.of(since)
    step = yield from open_cursor(collection, policy=policy, identity=identity, mark=mark)
    entrance = step.entrance or Entrance()
    visited = {*step.cursor.home, *step.addresses}
    pages = list(step.pages)
    keys = {item_key(item) for page in pages for item in page}
    cursor, error = evolve(step.cursor, items=len(keys)).within(bounds), step.error
    while not cursor.is_over:
        cursor = _visit(cursor, visited)
        if cursor.is_over:
            break
        step = yield from read_on(cursor, policy=policy, identity=identity, mark=mark)
        visited.update(step.addresses)
        pages += step.pages
        keys.update(item_key(item) for page in step.pages for item in page)
        cursor, error = evolve(step.cursor, items=len(keys)).within(bounds), step.error
    return _result(entrance, pages, cursor, bounds, error)


# --- pure parts -----------------------------------------------------------------------------------------------------


def _visit(cursor: Cursor, visited: set[str]) -> Cursor:
    """Mark the next address as visited, or end the cursor if it was visited before."""
    assert cursor.next is not None
    if cursor.next in visited:
        return cursor.end(f"it leads back to {cursor.next}")
    visited.add(cursor.next)
    return cursor


def _result(
    entrance: Entrance,
    pages: list[tuple[Reference, ...]],
    cursor: Cursor,
    bounds: TraversalBounds,
    error: ApcoreError | None,
) -> Traversal:
    root, *others = pages
    if entrance.is_backwards:
        others.reverse()
    ordered = [*others, root] if entrance.from_a_page and entrance.closes_at_home else [root, *others]
    items: dict[str, Reference] = {}
    for page in ordered:
        for item in page:
            _ = items.setdefault(item_key(item), item)
    return Traversal(tuple(items.values())[: bounds.items_max], cursor.pages, cursor.ended, error, total=cursor.total)
