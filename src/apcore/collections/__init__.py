"""Lists, both sides: paging, membership."""

from apcore.collections.managed import Change, Member, adding, contains, count, members_page, removing
from apcore.collections.paging import CURSOR_BYTES_MAX, PAGE_ITEMS_MAX, Page

__all__ = [
    "CURSOR_BYTES_MAX",
    "PAGE_ITEMS_MAX",
    "Change",
    "Member",
    "Page",
    "adding",
    "contains",
    "count",
    "members_page",
    "removing",
]
