"""Declare the stored records of subscriptions to collections of other servers."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from attrs import frozen

from apcore.http import Origin
from apcore.ports import StoreKey, digest_part
from apcore.records import DeferredRecord, RecordKind, StoredRecord

__all__ = [
    "DUE_POLLS",
    "PACES",
    "SUBSCRIPTIONS",
    "DuePollKey",
    "DuePollRecord",
    "PaceKey",
    "PaceRecord",
    "SubscriptionKey",
    "SubscriptionRecord",
    "SubscriptionState",
    "due_bound",
    "due_key",
]

_DUE_DIGITS: Final = 16
_DUE_MS_MAX: Final = 10**_DUE_DIGITS - 1

SubscriptionState = Literal["active", "failing", "missing", "forbidden", "unreadable", "suspended", "gone"]
"""The state of a subscription.

``active``: the last poll succeeded, or the first has not been made. ``failing``: the server does not answer now.
``missing``: it answers 404. ``forbidden``: it refuses us. ``unreadable``: it answers, but not with a collection.
``suspended``: a domain rule of ours forbids requests. ``gone``: 410; it is never polled again.
"""


class SubscriptionKey(NamedTuple):
    """The origin of ours that subscribed, and the address it subscribed to."""

    origin: str
    address: str

    @classmethod
    def of(cls, origin: Origin | str, address: str) -> SubscriptionKey:
        """Return the key of the subscription of ``origin`` to ``address``."""
        return cls(digest_part(str(origin)), digest_part(address))


@frozen(kw_only=True)
class SubscriptionRecord(DeferredRecord):
    """A subscription to a collection of another server: what it wants, what it knows, and when it is polled next."""

    origin: str
    address: str
    """The address as given: of a collection, or of an actor, which stands for its outbox."""
    by: str | None = None
    """The identifier of the actor that signs the requests; None for the instance actor."""
    types: tuple[str, ...] = ()
    """The types of activities or objects that are wanted; empty for all."""
    since: datetime | None = None
    """The first poll hands over nothing that is older."""
    history: int = 1
    """The most pages of the first poll."""
    created: datetime
    state: Literal["active", "failing", "missing", "forbidden", "unreadable", "suspended", "gone"] = "active"
    reason: str | None = None
    """The last error, in words."""
    failures: int = 0
    """The number of failures in a row."""
    interval_s: int = 0
    """The present interval between polls, without the random part."""
    polled: datetime | None = None
    changed: datetime | None = None
    """The time of the last poll that found something new."""
    polls: int = 0
    unchanged: int = 0
    """The number of polls that were answered with 304."""
    activities: int = 0
    """The number of activities that were handed over."""

    # --- the source ---
    collection: str | None = None
    """The address of the collection; None until it was found."""
    owner: str | None = None
    """The proved owner of the collection, of which embedded items are believed."""
    page: str | None = None
    """The address of the first page, which is polled in place of the collection."""
    link: Literal["first", "next", "last", "prev"] = "next"
    """The link that leads from one page to the next."""
    etag: str | None = None
    last_modified: str | None = None

    # --- the high-water mark ---
    marks: tuple[str, ...] = ()
    """Marks of the newest items, newest first."""
    newest: datetime | None = None
    """The latest date of an item, but not later than the poll that found it."""
    depth: int = 1
    """The number of pages that the next walk reads even if it meets items that are known."""

    # --- a walk that is under way ---
    fresh_marks: tuple[str, ...] = ()
    """Marks of the items that this walk has handled."""
    onward: str | None = None
    """The address of the page at which the walk goes on; None if no walk is under way."""
    walked: int = 0
    """The number of pages that this walk has read to their end."""
    walk_items: int = 0
    """The number of new items that this walk has handled."""
    retries: tuple[str, ...] = ()
    """Items whose server did not answer: the number of attempts, a space, and the address."""


class DuePollKey(NamedTuple):
    """The time at which a subscription is due, in milliseconds since 1970, and the subscription."""

    due: str
    origin: str
    address: str


@frozen(kw_only=True)
class DuePollRecord(StoredRecord):
    """An entry of the index of subscriptions by due time."""

    origin: str
    peer: str
    """The origin of the source."""


class PaceKey(NamedTuple):
    """The host of the source."""

    host: str

    @classmethod
    def of(cls, host: str) -> PaceKey:
        """Return the key of the pace for ``host``."""
        return cls(digest_part(host))


@frozen(kw_only=True)
class PaceRecord(StoredRecord):
    """The pace of the polls of one host: the state of its budget, and the end of a pause that it asked for."""

    full_ms: int
    paused_ms: int = 0


def due_key(key: SubscriptionKey, record: SubscriptionRecord) -> DuePollKey:
    """Return the key of a subscription's entry in the index."""
    return DuePollKey(f"{min(record.due_ms, _DUE_MS_MAX):0{_DUE_DIGITS}d}", key.origin, key.address)


def due_bound(now_ms: int) -> StoreKey:
    """Return a key after all entries of the index that are due at ``now_ms``."""
    return DUE_POLLS.at(f"{now_ms + 1:0{_DUE_DIGITS}d}")


_WRITTEN_BY: Final = "subscriptions and their polls"

SUBSCRIPTIONS: Final = RecordKind(
    "subscription",
    SubscriptionRecord,
    SubscriptionKey,
    lifetime="until `unsubscribe`",
    size="up to 12 KiB",
    written_by=_WRITTEN_BY,
)
DUE_POLLS: Final = RecordKind(
    "subscription-due",
    DuePollRecord,
    DuePollKey,
    lifetime="until the poll, or `unsubscribe`",
    written_by=_WRITTEN_BY,
)
PACES: Final = RecordKind(
    "poll-pace",
    PaceRecord,
    PaceKey,
    lifetime="until the budget is full, and a minute at least",
    written_by=_WRITTEN_BY,
)
