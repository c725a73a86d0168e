"""Lists, both sides: paging, membership, and reading somebody else's."""

from apcore.collections.managed import Change, Member, adding, contains, count, members_page, putting, removing
from apcore.collections.paging import CURSOR_BYTES_MAX, PAGE_ITEMS_MAX, Page
from apcore.collections.traversal import Traversal, TraversalBounds, traverse

__all__ = [
    "CURSOR_BYTES_MAX",
    "PAGE_ITEMS_MAX",
    "Change",
    "Member",
    "Page",
    "Traversal",
    "TraversalBounds",
    "adding",
    "contains",
    "count",
    "members_page",
    "putting",
    "removing",
    "traverse",
]
