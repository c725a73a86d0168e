"""Read a thread: the posts above and below one post, each from its own origin.

A thread is found by three kinds of links:

- ``context``, if it leads to a collection (FEP-7888). Its items are posts, or activities about posts (FEP-f228).
- ``inReplyTo``, upwards.
- ``replies``, downwards, for each post of the thread.

A link only finds a post. The post itself is believed from its own origin, and it belongs to the thread only if it says
so: it is a reply to a post of the thread, or has the same ``context``, or a post of the thread is a reply to it. So no
server can put the posts of others into a thread.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from apcore.collections.cursors import TraversalBounds
from apcore.collections.shapes import is_collection
from apcore.collections.traversal import traverse
from apcore.effects import Now, Op
from apcore.errors import ApcoreError, RemoteError, Unavailable
from apcore.http import parse_url
from apcore.remote import FetchPolicy, Identity, resolve
from apcore.vocab import Activity, Document, Kind, Object, Reference, kind_of

__all__ = ["Thread", "ThreadBounds", "read_thread"]

_PAGE_ITEMS: Final = 200
"""The most replies to one post that are looked at."""


@frozen(kw_only=True)
class ThreadBounds:
    """The limits of reading a thread."""

    posts_max: int = 500
    """Mastodon has the same limit."""
    loads_max: int = 200
    """The most documents and pages, of which some come from the cache."""
    depth_max: int = 50
    """The most posts above the first one, and the most levels below."""
    time_s_max: float = 120.0


@frozen
class Thread:
    """The posts of a thread that could be read."""

    posts: tuple[Document, ...]
    """The first post that was found above, then the others in the order in which they were found."""
    loads: int
    """The number of documents and pages that were loaded."""
    ended: str | None = None
    """The limit that was reached, in words; None if all links were followed."""
    failed: tuple[str, ...] = field(default=(), kw_only=True)
    """The addresses that could not be loaded."""


def read_thread(
    post: str | Reference,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    bounds: ThreadBounds = ThreadBounds(),
) -> Op[Thread]:
    """Read the thread around a post. Posts that cannot be loaded are left out, and named in `Thread.failed`.

    Asks for: one document for each post (as `resolve`), and a page or more for each collection, up to
    ``bounds.loads_max``.

    Raises:
        ApcoreError: The first post cannot be loaded.
    """
    now = yield from Now()
    policy = evolve(policy, until=now + timedelta(seconds=bounds.time_s_max))
    reader = _Reader(policy, identity, bounds)
    start = yield from resolve(post, policy=policy, identity=identity)
    reader.loads += 1
    top = yield from reader.climb(start)
    yield from reader.read_context(start)
    yield from reader.descend()
    return Thread((top, *reader.others(top)), reader.loads, reader.ended, failed=tuple(reader.failed))


@define
class _Reader:
    """The posts so far, and the bounds that remain."""

    policy: FetchPolicy
    identity: Identity | None
    bounds: ThreadBounds
    posts: dict[str, Document] = field(factory=dict[str, Document])
    levels: dict[str, int] = field(factory=dict[str, int])
    pending: deque[str] = field(factory=deque[str])
    """The ids of the posts whose replies are not read yet."""
    failed: dict[str, None] = field(factory=dict[str, None])
    loads: int = 0
    ended: str | None = None

    def others(self, top: Document) -> list[Document]:
        """Return all posts but ``top``."""
        return [post for post in self.posts.values() if post.id != top.id]

    def climb(self, start: Document) -> Op[Document]:
        """Follow ``inReplyTo`` upwards, and return the highest post."""
        self._add(start, 0)
        top = start
        for _ in range(self.bounds.depth_max):
            reference = Object.over(top).in_reply_to
            if reference is None or reference.uri is None or reference.uri in self.posts:
                return top
            parent = yield from self._load(Reference(reference.uri))
            if parent is None:
                return top
            self._add(parent, 0)
            top = parent
        self.ended = self.ended or f"more than {self.bounds.depth_max} posts are above it"
        return top

    def read_context(self, start: Document) -> Op[None]:
        """Add the posts of the collection that ``context`` leads to."""
        address = Object.over(start).context
        if address is None or not _is_web(address):
            return
        reference = Reference(address)
        context = yield from self._load(reference)
        if context is None or not is_collection(context):
            return
        for item in (yield from self._items(reference)):
            if self._is_full():
                return
            post = yield from self._post_of(item)
            if post is not None and Object.over(post).context == address:
                self._add(post, 0)

    def descend(self) -> Op[None]:
        """Read the replies to each post, level by level."""
        while self.pending and not self._is_full():
            parent_id = self.pending.popleft()
            level = self.levels[parent_id] + 1
            replies = Object.over(self.posts[parent_id]).replies
            if replies is None or level > self.bounds.depth_max:
                continue
            for item in (yield from self._items(replies)):
                if self._is_full():
                    return
                post = yield from self._post_of(item)
                parent = None if post is None else Object.over(post).in_reply_to
                if post is not None and parent is not None and parent.uri == parent_id:
                    self._add(post, level)

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        """Return whether a limit of the whole thread is reached, and note which."""
        reason = None
        if len(self.posts) >= self.bounds.posts_max:
            reason = f"it has more than {self.bounds.posts_max} posts"
        elif self.loads >= self.bounds.loads_max:
            reason = f"it takes more than {self.bounds.loads_max} documents"
        self.ended = self.ended or reason
        return reason is not None

    def _add(self, post: Document, level: int) -> None:
        if post.id is not None and post.id not in self.posts and kind_of(post) is Kind.OBJECT:
            self.posts[post.id] = post
            self.levels[post.id] = level
            self.pending.append(post.id)

    def _post_of(self, item: Reference) -> Op[Document | None]:
        """Return the post that an item of a collection is or, for an activity, is about."""
        if item.uri in self.posts:
            return self.posts[item.uri]
        document = yield from self._load(item)
        if document is None or kind_of(document) is not Kind.ACTIVITY:
            return document
        reference = Activity.over(document).object
        if reference is None or reference.uri in self.posts:
            return None if reference is None else self.posts[reference.uri or ""]
        return (yield from self._load(reference))

    def _load(self, reference: Reference) -> Op[Document | None]:
        if self.loads >= self.bounds.loads_max:
            return None
        self.loads += 1
        try:
            return (yield from resolve(reference, policy=self.policy, identity=self.identity))
        except (RemoteError, Unavailable) as error:
            self._note_failure(reference, error)
            return None

    def _items(self, collection: Reference) -> Op[tuple[Reference, ...]]:
        bounds = TraversalBounds(pages_max=max(1, min(20, self.bounds.loads_max - self.loads)), items_max=_PAGE_ITEMS)
        try:
            result = yield from traverse(collection, policy=self.policy, identity=self.identity, bounds=bounds)
        except (RemoteError, Unavailable) as error:
            self.loads += 1
            self._note_failure(collection, error)
            return ()
        self.loads += result.pages
        if result.error is not None:
            self._note_failure(collection, result.error)
        return result.items

    def _note_failure(self, reference: Reference, _error: ApcoreError) -> None:
        if reference.uri is not None:
            self.failed[reference.uri] = None


def _is_web(uri: str) -> bool:
    try:
        _ = parse_url(uri)
    except RemoteError:
        return False
    return True
