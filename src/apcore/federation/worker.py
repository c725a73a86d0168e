"""Run a worker's operations: lease messages, process them, and enqueue lost work again.

Each message is processed by the operation of its kind. The record that a message names may be deleted, done, or written
by a newer release; all of that is normal. If a worker dies, its leases expire. No work is lost, and every commit
happens once, because each operation ends in one fenced commit. `apcore.federation.slots` decides when a message is
begun, and which messages are handled at once.

`reconcile` makes the loss of the queue cost time and no data. All remaining work is in records under three groups of
keys (received, sent, and deliveries), and `reconcile` enqueues it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve

from apcore.effects import Enqueue, Extend, Get, Lease, Now, Op, RandomBytes, Scan, Settle
from apcore.errors import ApcoreError, ContractError, WorkerEnded
from apcore.federation.actors.rotation import retire_due
from apcore.federation.inbox.claims import inbox_message
from apcore.federation.inbox.process import fail_attempt, process
from apcore.federation.inbox.records import RECEIVED_ACTIVITIES
from apcore.federation.outbox.circuit import circuit_key
from apcore.federation.outbox.deliver import deliver, deliver_message
from apcore.federation.outbox.fanout import plan
from apcore.federation.outbox.pending_writes import send_message
from apcore.federation.site import Site
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, KINDS, LANES, kind_of_lane, lanes_for, read_wake
from apcore.http import Origin, parse_origin
from apcore.ports import LEASE_MAX, Done, Entry, LeasedMessage, Message, Retry, StoreKey
from apcore.records.format import CLOCK_SKEW_MS, NewerFormat, Record, decode_record, to_epoch_ms

__all__ = [
    "LANES",
    "LEASE_S",
    "extend_leases",
    "fail_overdue",
    "hand_back",
    "handle",
    "is_elsewhere",
    "lease_lanes",
    "lease_work",
    "leave",
    "origin_of",
    "put_back",
    "put_off",
    "reconcile",
]

LEASE_S: Final = 90.0
"""At least twice a transport's total deadline (30 s)."""
_BATCH: Final = 10
"""The default number of messages of one lease."""
_ERROR_S: Final = 30.0
"""The delay of a message whose operation raised an error."""
_OVERDUE_S: Final = 600.0
"""The delay of a fan-out or a delivery that exceeded the handler limit."""
_ELSEWHERE_S: Final = 0.05
"""The first delay of a message for an origin of another node."""
_ELSEWHERE_FACTOR: Final = 1.5
"""The factor by which that delay grows each time."""
_ELSEWHERE_S_MAX: Final = 60.0
"""The longest delay of a message for an origin of another node."""
_PAGE: Final = 50
"""Entries of one scan, and messages of one enqueue."""
_LAST: Final = "\U0010ffff"
"""A key part that sorts after all rows of a peer. One scan finds the next peer, however many rows the last one has."""
_LOG: Final = logging.getLogger(__name__)

_OPERATIONS: Final[dict[str, Callable[[Site, LeasedMessage], Op[None]]]] = {
    INBOX: process,
    FANOUT: plan,
    DELIVER: deliver,
}


def lease_work(
    turn: int, *, limit: int = _BATCH, origins: Iterable[Origin | str] | None = None
) -> Op[tuple[LeasedMessage, ...]]:
    """Lease up to ``limit`` messages for ``origins`` of ours, or for any origin if None.

    The first lanes are served first. ``turn`` rotates the kinds, so each kind comes first in turn.

    Effects: one `Lease`.
    """
    first = turn % len(KINDS)
    origin_list = None if origins is None else tuple(origins)
    lanes = [lane for kind in (*KINDS[first:], *KINDS[:first]) for lane in lanes_for(kind, origin_list)]
    return (yield from lease_lanes(lanes, limit=limit))


def lease_lanes(lanes: Sequence[str], *, limit: int, lease_s: float = LEASE_S) -> Op[tuple[LeasedMessage, ...]]:
    """Lease up to ``limit`` messages of some lanes.

    Effects: one `Lease`.
    """
    return tuple((yield from Lease(lanes, limit=limit, lease_s=lease_s)))


def extend_leases(leases: Sequence[LeasedMessage], *, lease_s: float = LEASE_S) -> Op[list[LeasedMessage]]:
    """Extend leases to ``lease_s`` from now, and return the leases that were already lost.

    Effects: one `Extend` for each hundred.
    """
    lost_leases: list[LeasedMessage] = []
    for start in range(0, len(leases), LEASE_MAX):
        lost_leases += yield from Extend(leases[start : start + LEASE_MAX], lease_s=lease_s)
    return lost_leases


def hand_back(leases: Sequence[LeasedMessage]) -> Op[None]:
    """Return leased messages to the queue, due at once, for other workers.

    Effects: one `Settle` for each hundred.
    """
    for start in range(0, len(leases), LEASE_MAX):
        _ = yield from Settle([Retry(leased, 0.0) for leased in leases[start : start + LEASE_MAX]])


def handle(site: Site, leased: LeasedMessage) -> Op[None]:
    """Process a message by the operation of its kind. On an error, log it and retry the message after 30 seconds.

    Effects: those of the operation, and on an error one `Settle`.
    """
    operation = _OPERATIONS.get(kind_of_lane(leased.message.lane))
    if operation is None:
        _LOG.error("dropped a message in the unknown lane %r", leased.message.lane)
        _ = yield from Settle((Done(leased),))
        return
    try:
        yield from operation(site, leased)
    except WorkerEnded:
        raise  # the message has been handed back
    except ApcoreError as error:
        _LOG.warning("a message in lane %s failed, attempt %d: %s", leased.message.lane, leased.attempt, error)
        yield from put_off(leased)


def fail_overdue(site: Site, leased: LeasedMessage, limit_s: float) -> Op[None]:
    """Record an attempt as failed because it took longer than ``limit_s``.

    The handler may still run. It cannot commit any more, because its lease and the version that it read are outdated.

    Effects: as for `fail_attempt` if the message is for a received activity, else one `Settle`.
    """
    if kind_of_lane(leased.message.lane) == INBOX:
        error = TimeoutError(f"the handler has not ended after {limit_s:g} s (handler_limit_s)")
        yield from fail_attempt(site, leased, error)
    else:
        _LOG.error(
            "a message in lane %s, attempt %d, has not ended after %g s (handler_limit_s)",
            *(leased.message.lane, leased.attempt, limit_s),
        )
        _ = yield from Settle((Retry(leased, _OVERDUE_S),))


def put_off(leased: LeasedMessage) -> Op[None]:
    """Return a message that could not be handled to the queue, due in 30 seconds.

    Effects: one `Settle`.
    """
    _ = yield from Settle((Retry(leased, _ERROR_S),))


def put_back(leased: LeasedMessage, delay_s: float) -> Op[None]:
    """Return a message that was not begun to the queue.

    If this was the message's first lease, a new message replaces it, so that the lease does not count as an attempt.

    Effects: one `Settle`; at the first lease also `RandomBytes` and one `Enqueue`.
    """
    if leased.attempt > 1:
        _ = yield from Settle((Retry(leased, delay_s),))
        return
    message_id = yield from RandomBytes(16)
    yield from Enqueue((evolve(leased.message, id=message_id, delay_s=delay_s),))
    _ = yield from Settle((Done(leased),))


def origin_of(leased: LeasedMessage, ours: Callable[[Origin], bool] | None = None) -> Op[Origin | None]:
    """Return the origin of ours that a message is for; None, with the message settled, if there is nothing to do here.

    A message for an origin that ``ours`` denies is returned to the queue, for the worker that serves the origin. The
    delay is half a second at first, and doubles each time up to a minute.

    Effects: one `Get` for a message that does not name its origin; one `Settle` if the answer is None.
    """
    try:
        wake = read_wake(leased.message)
        origin = wake.by
        if origin is None:
            [entry] = yield from Get((wake.key,))
            origin = None if entry is None else parse_origin(decode_record(entry.value).text("origin"))
    except NewerFormat:
        yield from put_off(leased)
        return None
    except (ContractError, ValueError):
        _LOG.exception("dropped a message in lane %r that cannot be read", leased.message.lane)
        origin = None
    if origin is None:
        _ = yield from Settle((Done(leased),))
        return None
    if ours is not None and not ours(origin):
        yield from leave(leased)
        return None
    return origin


def leave(leased: LeasedMessage) -> Op[None]:
    """Leave a message to the worker of another node, for longer each time. Asks for: one `Settle`."""
    steps = min(leased.attempt - 1, 16)
    _ = yield from Settle((Retry(leased, min(_ELSEWHERE_S * _ELSEWHERE_FACTOR**steps, _ELSEWHERE_S_MAX)),))


def is_elsewhere(leased: LeasedMessage, ours: Callable[[Origin], bool]) -> bool:
    """Whether a message names an origin that ``ours`` denies."""
    try:
        origin = read_wake(leased.message).by
    except ContractError:
        return False
    return origin is not None and not ours(origin)


def reconcile(ours: Callable[[Origin], bool] | None = None) -> Op[int]:
    """Enqueue the remaining work of the origins that ``ours`` admits, and return the number of messages.

    Each message is enqueued for the time at which its work is due. A message that already waits is not doubled (its
    ``dedup``). A message for a record that is being handled waits until that has ended (its ``group``). Our keys that
    are due to be retired are retired first, see `retire_due`.

    Effects: `Scan`s of 50 entries over received and sent activities, one `Scan` for each peer over deliveries, and one
    `Enqueue` for up to 50 of them.
    """
    _ = yield from retire_due(ours)
    now = yield from Now()
    count = yield from _enqueue_records(RECEIVED_ACTIVITIES.name, _inbox_message, now, ours)
    count += yield from _enqueue_records("send", _send_message, now, ours)
    for prefix in ("out", "out-retry"):
        count += yield from _enqueue_peers((prefix, "1"), now, ours)
    return count


def _enqueue_records(
    prefix: str,
    make_message: Callable[[StoreKey, Record, bytes], Message],
    now: datetime,
    ours: Callable[[Origin], bool] | None,
) -> Op[int]:
    """Enqueue a message for every record under a prefix, and return the number of messages."""
    count, after = 0, None
    while True:
        entries = yield from Scan((prefix, "1"), after=after, limit=_PAGE)
        messages: list[Message] = []
        for entry in entries:
            message_id = yield from RandomBytes(16)
            record = _read_own(entry, ours)
            if record is not None:
                delay_s = record.due_in_s(now) or 0.0
                messages.append(evolve(make_message(entry.key, record, message_id), delay_s=delay_s))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
        if len(entries) < _PAGE:
            return count
        after = entries[-1].key


def _read_own(entry: Entry, ours: Callable[[Origin], bool] | None = None) -> Record | None:
    """Read the record of an entry; None if it is of another node's origin, or if this release cannot read it."""
    try:
        record = decode_record(entry.value)
        return record if ours is None or ours(parse_origin(record.text("origin"))) else None
    except (ContractError, ValueError) as error:
        # A worker of a newer release handles its own records. A damaged record stays, for people to look at.
        _LOG.warning("skipped a record under %s that cannot be read: %s", entry.key[0], error)
        return None


def _inbox_message(key: StoreKey, record: Record, message_id: bytes) -> Message:
    return inbox_message(
        RECEIVED_ACTIVITIES.parts_of(key), message_id, by=record.text("origin"), actor=record.text("actor")
    )


def _send_message(key: StoreKey, record: Record, message_id: bytes) -> Message:
    # Once a fan-out waits for recipients that cannot be resolved now, later fan-outs about the same object no longer
    # wait for it; see `apcore.federation.outbox.fanout`.
    about = None if record.number("attempts") else record.optional("about")
    return send_message(key[2], message_id, by=record.text("origin"), about=about)


def _enqueue_peers(prefix: StoreKey, now: datetime, ours: Callable[[Origin], bool] | None) -> Op[int]:
    """Enqueue a message for every backlog under a prefix, and return the number of messages."""
    count, after = 0, None
    while True:
        # The first row of each backlog tells when the backlog is due.
        first_rows: list[Entry] = []
        while len(first_rows) < _PAGE:
            entries = yield from Scan(prefix, after=after, limit=1)
            if not entries:
                break
            first_rows += entries
            after = (*prefix, entries[0].key[2], _LAST)
        if not first_rows:
            return count
        circuits = yield from Get([circuit_key(entry.key[2]) for entry in first_rows])
        messages: list[Message] = []
        for entry, circuit_entry in zip(first_rows, circuits, strict=True):
            message_id = yield from RandomBytes(16)
            row = _read_own(entry, ours)
            circuit = None if circuit_entry is None else _read_own(circuit_entry)
            if row is None:
                continue
            delay_s = 0.0 if circuit is None else circuit.due_in_s(now) or 0.0
            # The key of a retry holds its time in ms. If the row was put off at a time later than now, the clock was
            # set back, so that time means nothing: deliver at once.
            if prefix[0] == "out-retry" and row.number("put_off") - to_epoch_ms(now) <= CLOCK_SKEW_MS:
                delay_s = max(delay_s, int(entry.key[3]) / 1000 - now.timestamp())
            message = deliver_message(entry.key[2], message_id, by=row.text("origin"))
            messages.append(evolve(message, delay_s=delay_s))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
