"""What a worker does: lease, handle, and put back on the queue what fell off it.

Every message is handled by the operation of its lane. What a message names may be gone, done or newer than this release; all of that is normal. A
worker that dies leaves its leases to run out; nothing is lost and nothing happens twice, because every operation ends in one fenced commit.

`reconcile` is why losing the queue costs time and no data: whatever is left to do is a fact under one of three prefixes, and is enqueued again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Final

from apcore.effects import Enqueue, Lease, Op, RandomBytes, Scan, Settle
from apcore.errors import ApcoreError
from apcore.federation.delivery import DELIVER, deliver, deliver_message, plan
from apcore.federation.inbox import INBOX, inbox_message
from apcore.federation.processing import process
from apcore.federation.site import Site
from apcore.federation.writes import FANOUT, send_message
from apcore.ports import Again, Done, Key, Leased, Message

__all__ = ["LANES", "LEASE_S", "handle", "lease_work", "reconcile", "site_of"]

LANES: Final = (INBOX, FANOUT, DELIVER)
LEASE_S: Final = 90.0
"""At least twice a transport's total deadline (30 s), and room for a batch."""
_BATCH: Final = 10
_TROUBLE_S: Final = 30.0
_PAGE: Final = 50
_LAST: Final = "\U0010ffff"
"""Sorts after every origin's rows: the next origin is one scan away, however many rows the last one has."""
_LOG: Final = logging.getLogger(__name__)

_OPERATIONS: Final[dict[str, Callable[[Site, Leased], Op[None]]]] = {INBOX: process, FANOUT: plan, DELIVER: deliver}


def lease_work(turn: int, *, limit: int = _BATCH) -> Op[tuple[Leased, ...]]:
    """Take up to ``limit`` messages; ``turn`` rotates the lanes, so that none of them starves. Asks for: one `Lease`."""
    first = turn % len(LANES)
    leased = yield from Lease((*LANES[first:], *LANES[:first]), limit=limit, lease_s=LEASE_S)
    return tuple(leased)


def handle(site: Site, leased: Leased) -> Op[None]:
    """Do what a message asks for. What goes wrong is logged, and tried again after a while.

    Asks for: whatever the operation of the lane asks for, and on an error one `Settle`.
    """
    operation = _OPERATIONS.get(leased.message.lane)
    if operation is None:
        _LOG.error("a message in the unknown lane %r is dropped", leased.message.lane)
        _ = yield from Settle((Done(leased),))
        return
    try:
        yield from operation(site, leased)
    except ApcoreError as error:
        _LOG.warning("%s, attempt %d: %s", leased.message.lane, leased.attempt, error)
        _ = yield from Settle((Again(leased, _TROUBLE_S),))


def site_of(leased: Leased) -> Key | None:
    """Give the key of the fact that a message is about, in which its origin stands; None for deliveries, which are of every origin."""
    if leased.message.lane == DELIVER:
        return None
    parts = json.loads(leased.message.body)
    return tuple(parts)


def reconcile() -> Op[int]:
    """Enqueue whatever is left to do and may have fallen off the queue; answers how many messages that were.

    Messages that still wait are not doubled (dedup). Asks for: `Scan`s of 50 entries over what is left, and one `Enqueue` for each.
    """
    count = 0
    for prefix, wake in (("in-todo", inbox_message), ("send", _sending)):
        after: Key | None = None
        while True:
            entries = yield from Scan((prefix, "1"), after=after, limit=_PAGE)
            messages: list[Message] = []
            for entry in entries:
                name = yield from RandomBytes(16)
                messages.append(wake(entry.key, name))
            if messages:
                yield from Enqueue(messages)
                count += len(messages)
            if len(entries) < _PAGE:
                break
            after = entries[-1].key
    for prefix in ("out", "out-retry"):
        count += yield from _wake_peers((prefix, "1"))
    return count


def _sending(key: Key, name: bytes) -> Message:
    return send_message(key[2], name)


def _wake_peers(prefix: Key) -> Op[int]:
    count, after = 0, None
    while True:
        entries = yield from Scan(prefix, after=after, limit=1)
        if not entries:
            return count
        peer = entries[0].key[2]
        name = yield from RandomBytes(16)
        yield from Enqueue((deliver_message(peer, name),))
        count += 1
        after = (*prefix, peer, _LAST)
