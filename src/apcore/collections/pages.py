"""Define a page of a collection, as a dispatcher returns it and as it is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import field, frozen

__all__ = ["CURSOR_BYTES_MAX", "PAGE_ITEMS_MAX", "PageItems"]

PAGE_ITEMS_MAX: Final = 1000
CURSOR_BYTES_MAX: Final = 512


def _items(items: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(items, str):
        raise TypeError(f"the items of a page are a sequence, not the one string {items!r:.60}")
    return tuple(items)


@frozen
class PageItems:
    """Some items of a collection, newest first, and the cursor of the next page.

    ``next`` is the cursor that the dispatcher is called with for the next page; None marks the last page. It is sent to
    the peer as it is, and comes back from there. So do not put secrets into it, and do not trust it.

    Raises:
        ValueError: There are more than 1,000 items, or the cursor has more than 512 bytes.
    """

    items: tuple[Any, ...] = field(converter=_items)
    """Ids, views or documents."""
    next: str | None = None
    total: int | None = field(default=None, kw_only=True)
    """The number of items in the whole collection, if it is public."""
    prev: str | None = field(default=None, kw_only=True)
    """The cursor of the page before, if the page should link to it. An empty text stands for the first page."""

    def __attrs_post_init__(self) -> None:
        if len(self.items) > PAGE_ITEMS_MAX:
            raise ValueError(f"a page has at most {PAGE_ITEMS_MAX} items, not {len(self.items)}")
        for cursor in (self.next, self.prev):
            if cursor is not None and len(cursor.encode()) > CURSOR_BYTES_MAX:
                raise ValueError(f"a cursor has at most {CURSOR_BYTES_MAX} bytes, not {len(cursor.encode())}")
        if self.total is not None and self.total < 0:
            raise ValueError(f"a collection has a total of 0 or more items, not {self.total}")
