"""Subscribe to collections of other servers, unsubscribe, and list subscriptions.

An entry of an index by due time stands beside each subscription that is polled again. A worker enqueues the due ones
(`apcore.federation.reconcile`), so a subscription that is not due costs nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from apcore.collections import PageItems
from apcore.effects import Get, Now, Op, RandomBytes, Scan, commit_batch
from apcore.errors import StoreBusy
from apcore.federation.site import Site
from apcore.federation.subscriptions.records import (
    DUE_POLLS,
    SUBSCRIPTIONS,
    DuePollRecord,
    SubscriptionKey,
    SubscriptionRecord,
    SubscriptionState,
    due_key,
)
from apcore.federation.subscriptions.terms import SubscriptionTerms
from apcore.federation.wake_ups import POLL, make_wake
from apcore.http import Origin, parse_url
from apcore.ports import NO_CHANGE, Batch, Message, StoreKey, digest_part
from apcore.records import Stored, defer

__all__ = [
    "Subscription",
    "next_poll",
    "poll_message",
    "read_subscription",
    "rescheduled",
    "subscribe",
    "subscriptions_page",
    "unsubscribe",
]

PAGE_MAX: Final = 100
_SOON_S: Final = 120.0
"""A poll that is due within this time has a message. Others wait in the index, since some queues keep no long delay."""
_ROUNDS_MAX: Final = 5
"""The most attempts of a commit that meets a poll of the same subscription."""


@frozen(kw_only=True)
class Subscription:
    """A subscription to a collection of another server, and how its polls went."""

    address: str
    """The address as given: of a collection, or of an actor."""
    collection: str | None
    """The address of the collection that is polled; None before the first poll."""
    by: str | None
    types: tuple[str, ...]
    state: SubscriptionState
    """`active`, `failing`, `missing`, `forbidden`, `unreadable`, `suspended` or `gone`."""
    reason: str | None
    """The last error, in words."""
    created: datetime
    polled: datetime | None
    changed: datetime | None
    """The time of the last poll that found something new."""
    due_in_s: float
    """The seconds until the next poll; 0 if it is due."""
    polls: int
    unchanged: int
    """The number of polls that the source answered with 304."""
    activities: int
    """The number of activities that were handed over."""


def subscribe(site: Site, terms: SubscriptionTerms) -> Op[bool]:
    """Subscribe to a collection or an actor, and return whether that is new.

    A second call changes the types and the signer of the subscription that exists.

    Effects: one `Get`, `Now`, `RandomBytes`, one commit.

    Raises:
        ValueError: The address is one of ours.
    """
    address, names, by = terms.address, terms.types, terms.by
    if parse_url(address).origin == site.origin:
        raise ValueError(f"{address} is one of ours, so it is not polled")
    for _round in range(_ROUNDS_MAX):
        now = yield from Now()
        key = SubscriptionKey.of(site.origin, address)
        stored = yield from _read(key)
        if stored is not None and (stored.record.types, stored.record.by) == (names, by):
            return False
        if stored is None:
            origin = str(site.origin)
            record = SubscriptionRecord(
                origin=origin,
                address=address,
                by=by,
                types=names,
                since=terms.since,
                history=terms.history,
                created=now,
            )
            batch = Batch([SUBSCRIPTIONS.absent(key)]) + rescheduled(key, None, defer(record, 0.0, now))
        else:
            record = evolve(stored.record, types=names, by=by)
            batch = Batch([stored.check]) + rescheduled(key, stored.record, defer(record, 0.0, now))
        message_id = yield from RandomBytes(16)
        batch += Batch(messages=[poll_message(key, message_id, by=site.origin, peer=_peer_of(address))])
        if (yield from commit_batch(batch)) is not False:
            return stored is None
    raise StoreBusy(f"the subscription to {address} is being polled: try again")


def unsubscribe(site: Site, address: str) -> Op[bool]:
    """End a subscription, and return whether there was one. Effects: one `Get` and one commit."""
    key = SubscriptionKey.of(site.origin, address)
    for _round in range(_ROUNDS_MAX):
        stored = yield from _read(key)
        if stored is None:
            return False
        deletions = [stored.deletion, DUE_POLLS.delete(due_key(key, stored.record))]
        if (yield from commit_batch(Batch([stored.check], deletions))) is not False:
            return True
    raise StoreBusy(f"the subscription to {address} is being polled: try again")


def read_subscription(site: Site, address: str) -> Op[Subscription | None]:
    """Return a subscription and its state; None if there is none. Effects: one `Get` and `Now`."""
    stored = yield from _read(SubscriptionKey.of(site.origin, address))
    return None if stored is None else _view(stored.record, (yield from Now()))


def subscriptions_page(site: Site, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
    """Return a page of the `Subscription`s, in no particular order. Effects: one `Scan` and `Now`.

    Raises:
        ValueError: ``limit`` is not between 1 and 100.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit={limit}: a page has 1 to {PAGE_MAX} subscriptions")
    origin = digest_part(str(site.origin))
    after: StoreKey | None = None if cursor is None else SUBSCRIPTIONS.at(origin, cursor)
    entries = yield from Scan(SUBSCRIPTIONS.at(origin), after=after, limit=limit)
    now = yield from Now()
    stored = [SUBSCRIPTIONS.read(entry) for entry in entries]
    next_cursor = stored[-1].key.address if len(stored) == limit else None
    return PageItems([_view(one.record, now) for one in stored], next_cursor)


def rescheduled(key: SubscriptionKey, before: SubscriptionRecord | None, after: SubscriptionRecord) -> Batch:
    """Return the writes that store a subscription, and move its entry in the index."""
    batch = NO_CHANGE if before is None else Batch(writes=[DUE_POLLS.delete(due_key(key, before))])
    batch += Batch(writes=[SUBSCRIPTIONS.put(key, after)])
    if after.state != "gone":
        entry = DuePollRecord(origin=after.origin, peer=_peer_of(after.address))
        batch += Batch(writes=[DUE_POLLS.put(due_key(key, after), entry)])
    return batch


def poll_message(key: SubscriptionKey, message_id: bytes, *, by: Origin | str, peer: str) -> Message:
    """Make the message that has a subscription polled. ``message_id`` is 16 random bytes."""
    return make_wake(POLL, SUBSCRIPTIONS.key(key), message_id, by=by, peer=peer)


def next_poll(key: SubscriptionKey, record: SubscriptionRecord, message_id: bytes) -> Batch:
    """Return the message for the next poll if that is due soon. The index takes care of later ones."""
    delay_s = (record.due_ms - record.put_off_ms) / 1000
    if delay_s > _SOON_S or record.state == "gone":
        return NO_CHANGE
    message = poll_message(key, message_id, by=record.origin, peer=_peer_of(record.address))
    return Batch(messages=[evolve(message, delay_s=delay_s)])


# --- leaves ---------------------------------------------------------------------------------------------------------


def _read(key: SubscriptionKey) -> Op[Stored[SubscriptionRecord, SubscriptionKey] | None]:
    [entry] = yield from Get((SUBSCRIPTIONS.key(key),))
    return SUBSCRIPTIONS.read_optional(entry)


def _peer_of(address: str) -> str:
    return str(parse_url(address).origin)


def _view(record: SubscriptionRecord, now: datetime) -> Subscription:
    return Subscription(
        address=record.address,
        collection=record.collection,
        by=record.by,
        types=record.types,
        state=record.state,
        reason=record.reason,
        created=record.created,
        polled=record.polled,
        changed=record.changed,
        due_in_s=record.due_in_s(now) or 0.0,
        polls=record.polls,
        unchanged=record.unchanged,
        activities=record.activities,
    )
