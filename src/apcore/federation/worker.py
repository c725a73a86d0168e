"""Run a worker's operations: lease messages, process them, and settle them.

Each message is processed by the operation of its kind. It is normal that the record that a message names is deleted,
done, or written by a newer release. If a worker dies, its leases expire. No work is lost, and every commit happens
once, because each operation ends in one fenced commit. `apcore.federation.slots` decides when a message is begun, and
which messages are handled at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attrs import evolve

from apcore.effects import Enqueue, Extend, Get, Lease, Op, RandomBytes, Settle
from apcore.errors import ApcoreError, ContractError, WorkerEnded
from apcore.federation.inbox.process import fail_attempt, process
from apcore.federation.inbox.records import RECEIVED_ACTIVITIES
from apcore.federation.outbox.deliver import deliver
from apcore.federation.outbox.failed_planning import fail_planning
from apcore.federation.outbox.fanout import plan
from apcore.federation.outbox.records import SENDINGS
from apcore.federation.refreshing import refresh
from apcore.federation.site import Site
from apcore.federation.subscriptions.poll import poll
from apcore.federation.subscriptions.records import SUBSCRIPTIONS
from apcore.federation.time_limits import LEASE_S, OVERDUE_S
from apcore.federation.wake_ups import (
    DELIVER,
    FANOUT,
    INBOX,
    KINDS,
    LANES,
    POLL,
    REFRESH,
    kind_of_lane,
    lanes_for,
    read_wake,
)
from apcore.http import Origin, parse_origin
from apcore.ports import LEASE_MAX, Done, Entry, LeasedMessage, Retry
from apcore.records.format import NewerFormat

__all__ = [
    "LANES",
    "extend_leases",
    "fail_overdue",
    "hand_back",
    "handle",
    "is_elsewhere",
    "lease_lanes",
    "lease_work",
    "leave",
    "named_origin",
    "origin_of",
    "put_back",
    "put_off",
]

_BATCH: Final = 10
"""The default number of messages of one lease."""
_ERROR_S: Final = 30.0
"""The delay of a message whose operation raised an error."""
_ELSEWHERE_S: Final = 0.05
"""The first delay of a message for an origin of another node."""
_ELSEWHERE_FACTOR: Final = 1.5
"""The factor by which that delay grows each time."""
_ELSEWHERE_S_MAX: Final = 60.0
"""The longest delay of a message for an origin of another node."""
_LOG: Final = logging.getLogger(__name__)

_OPERATIONS: Final[dict[str, Callable[[Site, LeasedMessage], Op[None]]]] = {
    INBOX: process,
    FANOUT: plan,
    DELIVER: deliver,
    REFRESH: refresh,
    POLL: poll,
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

    Effects: as for `fail_attempt` if the message is for a received activity, as for `fail_planning` if it is for a
    fan-out, else one `Settle`.
    """
    kind = kind_of_lane(leased.message.lane)
    error = TimeoutError(f"the handler has not ended after {limit_s:g} s (handler_limit_s)")
    if kind == INBOX:
        yield from fail_attempt(site, leased, error)
    elif kind == FANOUT:
        yield from fail_planning(site, leased, error)
    else:
        _LOG.error(
            "a message in lane %s, attempt %d, has not ended after %g s (handler_limit_s)",
            *(leased.message.lane, leased.attempt, limit_s),
        )
        _ = yield from Settle((Retry(leased, OVERDUE_S),))


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

    A message for an origin that ``ours`` denies is returned to the queue, for the worker that serves the origin (see
    `leave`).

    Effects: one `Get` for a message that does not name its origin; one `Settle` if the answer is None.
    """
    try:
        wake = read_wake(leased.message)
        origin = wake.by
        if origin is None:
            [entry] = yield from Get((wake.key,))
            origin = None if entry is None else parse_origin(_origin_in(entry))
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


def named_origin(leased: LeasedMessage, ours: Callable[[Origin], bool]) -> Origin | None:
    """Return the origin that a message names, if it is ours. `origin_of` decides about all other messages."""
    try:
        origin = read_wake(leased.message).by
    except ContractError:
        return None
    return origin if origin is not None and ours(origin) else None


def _origin_in(entry: Entry) -> str:
    """Return the origin of ours that a record belongs to."""
    if SENDINGS.holds(entry.key):
        return SENDINGS.read(entry).record.origin
    if SUBSCRIPTIONS.holds(entry.key):
        return SUBSCRIPTIONS.read(entry).record.origin
    return RECEIVED_ACTIVITIES.read(entry).record.origin


def leave(leased: LeasedMessage) -> Op[None]:
    """Return a message to the queue, for the worker of another node.

    The delay is 0.05 seconds at first, and half as long again each time, up to a minute.

    Effects: one `Settle`.
    """
    steps = min(leased.attempt - 1, 16)
    _ = yield from Settle((Retry(leased, min(_ELSEWHERE_S * _ELSEWHERE_FACTOR**steps, _ELSEWHERE_S_MAX)),))


def is_elsewhere(leased: LeasedMessage, ours: Callable[[Origin], bool]) -> bool:
    """Return whether a message names an origin that ``ours`` denies."""
    try:
        origin = read_wake(leased.message).by
    except ContractError:
        return False
    return origin is not None and not ours(origin)
