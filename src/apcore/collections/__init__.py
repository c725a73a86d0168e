"""Page, store and read collections: our own membership lists, and the collections of peers."""

from apcore.collections.managed import (
    Member,
    add_member,
    contains,
    count,
    members_page,
    put_member,
    remove_member,
)
from apcore.collections.pages import (
    CURSOR_BYTES_MAX as CURSOR_BYTES_MAX,
    PAGE_ITEMS_MAX as PAGE_ITEMS_MAX,
    PageItems,
)
from apcore.collections.cursors import TraversalBounds
from apcore.collections.resumable import TraversalProgress, continue_traversal, forget_traversal
from apcore.collections.threads import Thread, ThreadBounds, read_thread
from apcore.collections.traversal import Traversal, traverse

__all__ = [
    "Member",
    "PageItems",
    "Thread",
    "ThreadBounds",
    "Traversal",
    "TraversalBounds",
    "TraversalProgress",
    "add_member",
    "contains",
    "continue_traversal",
    "count",
    "forget_traversal",
    "members_page",
    "put_member",
    "read_thread",
    "remove_member",
    "traverse",
]
