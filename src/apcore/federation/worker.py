"""The work of a worker: lease messages, handle them, and put back on the queue what fell off it.

Each message is handled by the operation of its kind. The fact that a message names may be gone, done or newer than this
release; all of that is normal. A worker that dies leaves its leases to run out. Nothing is lost, and what is committed
happens once, because every operation ends in one fenced commit. When each message is begun, and beside which others, is
decided by `apcore.federation.slots`.

`reconcile` is why losing the queue costs time and no data: work that is left to do is a fact under one of three
prefixes, and is enqueued again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve

from apcore.effects import Enqueue, Extend, Get, Lease, Now, Op, RandomBytes, Scan, Settle
from apcore.errors import ApcoreError, ContractError
from apcore.federation.actors.rotation import retire_due
from apcore.federation.inbox.process import fail_attempt, process
from apcore.federation.inbox.receive import inbox_message
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
_TROUBLE_S: Final = 30.0
_OVERDUE_S: Final = 600.0
"""How long planning or delivering waits that took longer than a handler may."""
_ELSEWHERE_S: Final = 0.05
_ELSEWHERE_FACTOR: Final = 1.5
_ELSEWHERE_S_MAX: Final = 60.0
"""How long a message of another node's origin is left alone, at first and at most; the factor applies each time."""
_PAGE: Final = 50
_LAST: Final = "\U0010ffff"
"""Sorts after every origin's rows: the next origin is one scan away, however many rows the last one has."""
_LOG: Final = logging.getLogger(__name__)

_OPERATIONS: Final[dict[str, Callable[[Site, LeasedMessage], Op[None]]]] = {
    INBOX: process,
    FANOUT: plan,
    DELIVER: deliver,
}


def lease_work(
    turn: int, *, limit: int = _BATCH, origins: Iterable[Origin | str] | None = None
) -> Op[tuple[LeasedMessage, ...]]:
    """Lease up to ``limit`` messages for ``origins`` of ours, for any if None; ``turn`` rotates the kinds.

    Asks for: one `Lease`.
    """
    first = turn % len(KINDS)
    listed = None if origins is None else tuple(origins)
    lanes = [lane for kind in (*KINDS[first:], *KINDS[:first]) for lane in lanes_for(kind, listed)]
    return (yield from lease_lanes(lanes, limit=limit))


def lease_lanes(lanes: Sequence[str], *, limit: int, lease_s: float = LEASE_S) -> Op[tuple[LeasedMessage, ...]]:
    """Lease up to ``limit`` messages of some lanes. Asks for: one `Lease`."""
    return tuple((yield from Lease(lanes, limit=limit, lease_s=lease_s)))


def extend_leases(leases: Sequence[LeasedMessage], *, lease_s: float = LEASE_S) -> Op[list[LeasedMessage]]:
    """Let leases end ``lease_s`` from now; answers those that were lost. Asks for: one `Extend` for each hundred."""
    lost: list[LeasedMessage] = []
    for start in range(0, len(leases), LEASE_MAX):
        lost += yield from Extend(leases[start : start + LEASE_MAX], lease_s=lease_s)
    return lost


def hand_back(leases: Sequence[LeasedMessage]) -> Op[None]:
    """Let other workers have leased messages at once. Asks for: one `Settle` for each hundred."""
    for start in range(0, len(leases), LEASE_MAX):
        _ = yield from Settle([Retry(leased, 0.0) for leased in leases[start : start + LEASE_MAX]])


def handle(site: Site, leased: LeasedMessage) -> Op[None]:
    """Do the work that a message asks for. An error is logged, and the message tried again after a while.

    Asks for: whatever the operation of its kind asks for, and on an error one `Settle`.
    """
    operation = _OPERATIONS.get(kind_of_lane(leased.message.lane))
    if operation is None:
        _LOG.error("a message in the unknown lane %r is dropped", leased.message.lane)
        _ = yield from Settle((Done(leased),))
        return
    try:
        yield from operation(site, leased)
    except ApcoreError as error:
        _LOG.warning("%s, attempt %d: %s", leased.message.lane, leased.attempt, error)
        yield from put_off(leased)


def fail_overdue(site: Site, leased: LeasedMessage, limit_s: float) -> Op[None]:
    """Record that the handling of a message has taken longer than ``limit_s``: that attempt has failed.

    The handler may still run. It cannot commit any more: the lease and the version that it holds are outdated.
    Asks for: `fail_attempt` for what arrived, one `Settle` for the rest.
    """
    if kind_of_lane(leased.message.lane) == INBOX:
        error = TimeoutError(f"the handler has not ended after {limit_s:g} s (handler_limit_s)")
        yield from fail_attempt(site, leased, error)
    else:
        _LOG.error("%s, attempt %d has not ended after %g s", leased.message.lane, leased.attempt, limit_s)
        _ = yield from Settle((Retry(leased, _OVERDUE_S),))


def put_off(leased: LeasedMessage) -> Op[None]:
    """Hand out again later what could not be handled. Asks for: one `Settle`."""
    _ = yield from Settle((Retry(leased, _TROUBLE_S),))


def put_back(leased: LeasedMessage, delay_s: float) -> Op[None]:
    """Return a message that was not begun to the queue.

    At its first hand-out a fresh message takes its place, so that the attempt is not counted. Asks for: `RandomBytes`,
    one `Enqueue` and one `Settle`; later only the `Settle`.
    """
    if leased.attempt > 1:
        _ = yield from Settle((Retry(leased, delay_s),))
        return
    ident = yield from RandomBytes(16)
    yield from Enqueue((evolve(leased.message, id=ident, delay_s=delay_s),))
    _ = yield from Settle((Done(leased),))


def origin_of(leased: LeasedMessage, ours: Callable[[Origin], bool] | None = None) -> Op[Origin | None]:
    """Return the origin of ours that a message is for; None, with the message settled, if there is nothing to do here.

    A message for an origin that ``ours`` denies is left for the worker that has it: for half a second, then for twice
    as long each time. Asks for: one `Get`, for messages that do not name their origin; one `Settle` where the answer is
    None.
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
        _LOG.exception("a message of the lane %r that cannot be read is dropped", leased.message.lane)
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
    """Enqueue the work that is left for the origins that ``ours`` admits; answers how many messages that were.

    Each for when it is due. A message that waits is not doubled (its ``dedup``), and one for a fact that is being
    worked on waits behind it (its ``group``). Asks for: `Scan`s of 50 entries over what arrived and what was sent, one
    `Scan` a peer over deliveries; and an `Enqueue` for up to 50 of them. Keys of ours whose time has come are retired
    on the way, see `retire_due`.
    """
    _ = yield from retire_due(ours)
    now = yield from Now()
    count = yield from _wake_facts("in-todo", _arrived, now, ours)
    count += yield from _wake_facts("send", _sending, now, ours)
    for prefix in ("out", "out-retry"):
        count += yield from _wake_peers((prefix, "1"), now, ours)
    return count


def _wake_facts(
    prefix: str,
    wake: Callable[[StoreKey, Record, bytes], Message],
    now: datetime,
    ours: Callable[[Origin], bool] | None,
) -> Op[int]:
    count, after = 0, None
    while True:
        entries = yield from Scan((prefix, "1"), after=after, limit=_PAGE)
        messages: list[Message] = []
        for entry in entries:
            name = yield from RandomBytes(16)
            fact = _read(entry, ours)
            if fact is not None:
                messages.append(evolve(wake(entry.key, fact, name), delay_s=fact.due_in_s(now) or 0.0))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
        if len(entries) < _PAGE:
            return count
        after = entries[-1].key


def _read(entry: Entry, ours: Callable[[Origin], bool] | None = None) -> Record | None:
    """Read a fact of one of ``ours``; None for other nodes' facts, and for those that this release cannot read."""
    try:
        fact = decode_record(entry.value)
        return fact if ours is None or ours(parse_origin(fact.text("origin"))) else None
    except (ContractError, ValueError) as error:
        # Of a newer release, whose own worker looks after it; or nothing that anybody can read.
        _LOG.warning("%s is left alone: %s", entry.key[0], error)
        return None


def _arrived(key: StoreKey, fact: Record, name: bytes) -> Message:
    return inbox_message(key, name, by=fact.text("origin"), actor=fact.text("actor"))


def _sending(key: StoreKey, fact: Record, name: bytes) -> Message:
    # A sending that waits for recipients who cannot be found out has left the line of its object; see planning.
    about = None if fact.number("attempts") else fact.optional("about")
    return send_message(key[2], name, by=fact.text("origin"), about=about)


def _wake_peers(prefix: StoreKey, now: datetime, ours: Callable[[Origin], bool] | None) -> Op[int]:
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
        circuits = yield from Get([circuit_key(entry.key[2]) for entry in first])
        messages: list[Message] = []
        for entry, circuit in zip(first, circuits, strict=True):
            name = yield from RandomBytes(16)
            row, state = _read(entry, ours), None if circuit is None else _read(circuit)
            if row is None:
                continue
            delay_s = 0.0 if state is None else state.due_in_s(now) or 0.0
            if prefix[0] == "out-retry" and row.number("put_off") - to_epoch_ms(now) <= CLOCK_SKEW_MS:
                delay_s = max(delay_s, int(entry.key[3]) / 1000 - now.timestamp())
            messages.append(evolve(deliver_message(entry.key[2], name, by=row.text("origin")), delay_s=delay_s))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
