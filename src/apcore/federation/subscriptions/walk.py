"""Decide which items of a page are new, and whether the next page is read. Pure functions over a subscription.

A walk reads from the newest item to the first known one. The marks of a subscription stand for the newest items
that it has handled; the marks of a walk that is under way stand beside them until it ends. So a walk that is cut short
by a limit, a failure or a crash goes on where it stopped, and an item that is listed twice is handled once.

A source that counts its pages moves items from one page to the next while it is read. An item that was moved to a later
page is met again, and has a mark. An item that was moved to an earlier page, since another was deleted, is missed by
this walk: so the next walk reads as many pages again.

A mark covers the date of the last change of an object. So an object that was changed is met as a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from apcore.collections.shapes import date_of, item_key
from apcore.federation.subscriptions.records import SubscriptionRecord
from apcore.ports import digest_part
from apcore.vocab import Kind, Object, Reference, kind_of

__all__ = ["PageVerdict", "end_walk", "is_changed", "judge_page", "mark_of", "restart_walk", "with_marks"]

MARKS_MAX: Final = 300
"""The most marks of a subscription, and of a walk. Mastodon's pages have 20 items."""
WALK_PAGES_MAX: Final = 100
"""The most pages of a walk after the first, which has a limit of its own."""
_EMPTY_PAGES_MAX: Final = 10
"""The most empty pages at the beginning of a walk."""
DEPTH_MAX: Final = 10
"""The most pages that a walk reads again because the walk before has read them."""
_MARK_CHARS: Final = 16
"""96 bits: two items of one source never have the same mark by chance."""
_VERSION_CHARS: Final = 6


@frozen
class PageVerdict:
    """The new items of a page, and whether the walk ends with it."""

    new_items: tuple[Reference, ...]
    """Newest first."""
    is_last: bool


def mark_of(item: Reference) -> str:
    """Return the mark of an item: a digest of its id, a full stop, and for an object one of its last change."""
    mark = digest_part(item_key(item))[:_MARK_CHARS]
    if item.embedded is None or kind_of(item.embedded) is not Kind.OBJECT:
        return f"{mark}."
    updated = Object.over(item.embedded).updated
    return f"{mark}." if updated is None else f"{mark}.{digest_part(updated.isoformat())[:_VERSION_CHARS]}"


def is_changed(record: SubscriptionRecord, item: Reference) -> bool:
    """Return whether a new item is another version of one that was handled before."""
    identity = mark_of(item).partition(".")[0]
    return any(mark.partition(".")[0] == identity for mark in record.marks)


def judge_page(record: SubscriptionRecord, items: Sequence[Reference], onward: str | None) -> PageVerdict:
    """Judge the items of the page that a walk has reached. ``onward`` is the address of the next page."""
    marks, fresh_marks = frozenset(record.marks), frozenset(record.fresh_marks)
    marks_by_item = {mark_of(item): item for item in items}
    new_items = [item for mark, item in marks_by_item.items() if mark not in marks and mark not in fresh_marks]
    is_first_walk = not record.marks and record.changed is None
    meets_known = not marks.isdisjoint(marks_by_item)
    pages = record.walked + 1
    is_last = (
        onward is None
        or pages >= (record.history if is_first_walk else WALK_PAGES_MAX)
        or (pages >= _EMPTY_PAGES_MAX and not (fresh_marks or items))
        or (meets_known and pages >= record.depth)
        # The next link of a page leads back to an earlier page, or to a page that repeats one.
        or (bool(items) and not new_items and fresh_marks.issuperset(marks_by_item))
    )
    since = record.since if is_first_walk else None
    if since is not None:
        dates = [date_of(item) for item in items]
        new_items = [item for item in new_items if (date := date_of(item)) is None or date >= since]
        is_last = is_last or (bool(items) and all(date is not None and date < since for date in dates))
    return PageVerdict(tuple(new_items), is_last)


def with_marks(
    record: SubscriptionRecord, items: Sequence[Reference], now: datetime, *, new_items: int
) -> SubscriptionRecord:
    """Return the record after a walk has handled ``items``, of which ``new_items`` are new."""
    marks = (mark_of(item) for item in items)
    fresh_marks = tuple(dict.fromkeys((*record.fresh_marks, *marks)))
    dates = [date for item in items if (date := date_of(item)) is not None and date <= now]
    newest = max([*dates, *(() if record.newest is None else (record.newest,))], default=None)
    return evolve(record, fresh_marks=fresh_marks[:MARKS_MAX], newest=newest, walk_items=record.walk_items + new_items)


def end_walk(record: SubscriptionRecord) -> SubscriptionRecord:
    """Return the record after the last page of a walk."""
    marks = tuple(dict.fromkeys((*record.fresh_marks, *record.marks)))[:MARKS_MAX]
    depth = min(record.walked, DEPTH_MAX) if record.walk_items else 1
    return evolve(record, marks=marks, fresh_marks=(), onward=None, walked=0, walk_items=0, depth=max(1, depth))


def restart_walk(record: SubscriptionRecord) -> SubscriptionRecord:
    """Return the record for a walk that begins anew at the collection. Items that were handled are met again."""
    return evolve(record, page=None, etag=None, last_modified=None, onward=None, walked=0, walk_items=0, fresh_marks=())
