"""What a worker does: lease, handle, and put back on the queue what fell off it.

Every message is handled by the operation of its lane. What a message names may be gone, done or newer than this release; all of that is normal. A
worker that dies leaves its leases to run out; nothing is lost and nothing happens twice, because every operation ends in one fenced commit.

`reconcile` is why losing the queue costs time and no data: whatever is left to do is a fact under one of three prefixes, and is enqueued again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import evolve

from apcore.effects import Enqueue, Get, Lease, Now, Op, RandomBytes, Scan, Settle
from apcore.errors import ApcoreError, ContractError
from apcore.facts import Fact, Newer, named_key, unpack
from apcore.federation.delivery import DELIVER, deliver, deliver_message
from apcore.federation.inbox import INBOX, inbox_message
from apcore.federation.planning import plan
from apcore.federation.processing import process
from apcore.federation.rotation import retire_due
from apcore.federation.site import Site
from apcore.federation.writes import FANOUT, send_message
from apcore.http import Origin, parse_origin
from apcore.ports import Again, Done, Entry, Key, Leased, Message

__all__ = ["LANES", "LEASE_S", "handle", "lease_work", "origin_of", "put_off", "reconcile"]

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
        yield from put_off(leased)


def put_off(leased: Leased) -> Op[None]:
    """Hand out again later what could not be handled. Asks for: one `Settle`."""
    _ = yield from Settle((Again(leased, _TROUBLE_S),))


def origin_of(leased: Leased) -> Op[Origin | None]:
    """Give the origin of ours that a message is for; None if there is nothing left to do for it now, and then it is settled.

    Asks for: one `Get`, for what is not a delivery; one `Settle` where the answer is None.
    """
    try:
        if leased.message.lane == DELIVER:
            return parse_origin(json.loads(leased.message.body)["by"])
        [entry] = yield from Get((named_key(leased.message.body.decode()),))
        if entry is not None:
            return parse_origin(unpack(entry.value).text("origin"))
    except Newer:
        yield from put_off(leased)
        return None
    except (ContractError, ValueError, KeyError, TypeError):
        _LOG.exception("a message of the lane %r that cannot be read is dropped", leased.message.lane)
    _ = yield from Settle((Done(leased),))
    return None


def reconcile() -> Op[int]:
    """Enqueue whatever is left to do and may have fallen off the queue; answers how many messages that were.

    Each for when it is due, and messages that still wait are not doubled (dedup). Asks for: `Scan`s of 50 entries over what arrived and what
    was sent, one `Scan` a peer over deliveries; and an `Enqueue` for up to 50 of them. Keys of ours whose time has come are
    retired on the way, see `retire_due`.
    """
    _ = yield from retire_due()
    now = yield from Now()
    count = yield from _wake_facts("in-todo", _arrived, now)
    count += yield from _wake_facts("send", _sending, now)
    for prefix in ("out", "out-retry"):
        count += yield from _wake_peers((prefix, "1"), now)
    return count


def _wake_facts(prefix: str, wake: Callable[[Key, Fact, bytes], Message], now: datetime) -> Op[int]:
    count, after = 0, None
    while True:
        entries = yield from Scan((prefix, "1"), after=after, limit=_PAGE)
        messages: list[Message] = []
        for entry in entries:
            name = yield from RandomBytes(16)
            fact = _read(entry)
            if fact is not None:
                messages.append(evolve(wake(entry.key, fact, name), delay_s=fact.early_s(now) or 0.0))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
        if len(entries) < _PAGE:
            return count
        after = entries[-1].key


def _read(entry: Entry) -> Fact | None:
    try:
        return unpack(entry.value)
    except ContractError as error:
        # Of a newer release, whose own worker looks after it; or nothing that anybody can read.
        _LOG.warning("%s is left alone: %s", entry.key[0], error)
        return None


def _arrived(key: Key, _fact: Fact, name: bytes) -> Message:
    return inbox_message(key, name)


def _sending(key: Key, fact: Fact, name: bytes) -> Message:
    # Who waits for a recipient that cannot be found out has left the line of its object; see planning.
    return send_message(key[2], name, about=None if fact.number("attempts") else fact.optional("about"))


def _wake_peers(prefix: Key, now: datetime) -> Op[int]:
    count, after = 0, None
    while True:
        first: list[Entry] = []
        while len(first) < _PAGE:
            entries = yield from Scan(prefix, after=after, limit=1)
            if not entries:
                break
            first += entries
            after = (*prefix, entries[0].key[2], _LAST)
        if not first:
            return count
        circuits = yield from Get([("circuit", "1", entry.key[2]) for entry in first])
        messages: list[Message] = []
        for entry, circuit in zip(first, circuits, strict=True):
            name = yield from RandomBytes(16)
            row, state = _read(entry), None if circuit is None else _read(circuit)
            if row is None:
                continue
            delay_s = 0.0 if state is None else state.early_s(now) or 0.0
            if prefix[0] == "out-retry":
                delay_s = max(delay_s, int(entry.key[3]) / 1000 - now.timestamp())
            messages.append(evolve(deliver_message(entry.key[2], name, by=row.text("origin")), delay_s=delay_s))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
