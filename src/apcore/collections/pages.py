"""Pages: what a dispatcher answers with, and what a collection is served as."""

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
    """Some items of a collection, newest first, and where the next ones are.

    ``next`` is whatever the dispatcher wants to be called with for the page after this one; it goes to the peer as it is and comes back as it
    went, so it must not carry secrets, and must not be trusted when it comes back. None says that this is the last page.

    Raises:
        ValueError: Over 1,000 items, or a cursor over 512 bytes.
    """

    items: tuple[Any, ...] = field(converter=_items)
    """Ids, views or documents."""
    next: str | None = None
    total: int | None = field(default=None, kw_only=True)
    """How many items the whole collection has, if that is told."""

    def __attrs_post_init__(self) -> None:
        if len(self.items) > PAGE_ITEMS_MAX:
            raise ValueError(f"a page has at most {PAGE_ITEMS_MAX} items, not {len(self.items)}")
        if self.next is not None and len(self.next.encode()) > CURSOR_BYTES_MAX:
            raise ValueError(f"a cursor has at most {CURSOR_BYTES_MAX} bytes, not {len(self.next.encode())}")
        if self.total is not None and self.total < 0:
            raise ValueError(f"a collection has a total of 0 or more items, not {self.total}")
