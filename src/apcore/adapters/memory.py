"""Keep store and queue in the memory of one process, for tests, simulations and programs that may forget.

One lock guards everything, and is never held for long. So only `MemoryStore.wait` ever waits, and all other methods may
be called on an event loop. The content ends with the process, and a forked child has its own copy. For several
processes, use a store in a file or on a server.

How the cost stays flat:

- **The map** is a dict and a sorted list of encoded keys: a read is a lookup, a scan a bisection, a new key an
  ``insort``. Expired entries are absent at once. Each commit reclaims about as many of them as it writes, from a heap
  of expiry times.
- **The queue** has one heap per lane, ordered by the time at which a message can next be leased: when it is due, or
  when its lease ends. The heap has only messages that can be leased: those without group, and the first one of each
  group. So the cost of a lease does not depend on the backlog. An entry of the heap is valid only while its time is
  still that of its message. Outdated entries are skipped, and swept out when they are the majority.

Lease tokens are numbered, not random. They protect from mistakes, not from attackers, and a simulation repeats exactly.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from threading import TIMEOUT_MAX, Condition
from typing import TypeAlias

from attrs import Factory, define

from apcore.errors import ConfigurationError, ContractError
from apcore.ports import (
    Check,
    DeleteEntry,
    Depth,
    Durability,
    Entry,
    Increment,
    LeasedMessage,
    Message,
    Put,
    Retry,
    Settlement,
    StoreKey,
    Write,
    check_commit,
    check_enqueue,
    check_extend,
    check_get,
    check_lanes,
    check_lease,
    check_scan,
    check_settle,
    sum_counter,
)

__all__ = ["MemoryStore"]

_OUTDATED_MIN = 64
"""The excess of outdated entries over the others at which a heap is swept."""


def open_url(url: str, /) -> MemoryStore:
    """Open ``memory:``, a new and empty store.

    Raises:
        ConfigurationError: The URL has more parts than ``memory:``.
    """
    if url not in ("memory:", "memory://"):
        raise ConfigurationError(f"the memory store is opened by 'memory:', not {url!r:.80}")
    return MemoryStore()


class MemoryStore:
    """An `AtomicStore` in memory. The content lives as long as this object: `close` does not remove it."""

    durability: Durability = "none"
    never_waits: bool = True
    """All methods except `wait` may be called on an event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty store. ``clock`` returns seconds, for times to live, delays and leases."""
        self._clock = clock
        self._changed = Condition()  # its lock guards everything below
        self._map = _Map()
        self._lanes = _Lanes()

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        encoded = check_get(keys)
        with self._changed:
            now = self._clock()
            return [self._map.get(key, now) for key in encoded]

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        low, high = check_scan(prefix, after, limit, reverse=reverse)
        with self._changed:
            return self._map.scan(low, high, limit, reverse=reverse, now=self._clock())

    def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        """See `AtomicStore.commit`."""
        encoded_commit = check_commit(checks, writes, token)
        check_enqueue(messages)
        check_settle(settles)
        with self._changed:
            now = self._clock()
            for key, version in encoded_commit.checks:
                entry = self._map.get(key, now)
                if (entry.version if entry else None) != version:
                    return False
            if not all(self._lanes.is_current(settlement.leased) for settlement in settles):
                return False
            # Planning may raise, so it comes before the first change.
            changes = self._map.plan(encoded_commit.writes, token, now)
            self._map.apply(changes)
            self._map.reclaim(len(changes) + 1, now)
            self._settle(settles, now)
            self._enqueue(messages, now)
            return True

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        check_enqueue(messages)
        with self._changed:
            self._enqueue(messages, self._clock())

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`."""
        check_lease(lanes, limit, lease_s)
        with self._changed:
            return self._lanes.lease(lanes, limit, lease_s, self._clock())

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        check_extend(leases, lease_s)
        with self._changed:
            until = self._clock() + lease_s
            return [leased for leased in leases if not self._lanes.extend(leased, until)]

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        check_settle(settlements)
        with self._changed:
            return self._settle(settlements, self._clock())

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. It visits all messages of the lanes: call it about once a minute."""
        check_lanes(lanes)
        with self._changed:
            return self._lanes.depth(lanes, self._clock())

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. Blocks the calling thread."""
        check_lanes(lanes)
        with self._changed:
            pause_s = min(timeout_s, self._lanes.next_time(lanes) - self._clock(), TIMEOUT_MAX)
            if pause_s > 0:
                # Any change in any lane wakes it: another look is cheap, and `wait` is only a hint.
                _ = self._changed.wait(pause_s)

    def close(self) -> None:
        """Wake waiting threads. The content stays."""
        with self._changed:
            self._changed.notify_all()

    def _enqueue(self, messages: Sequence[Message], now: float) -> None:
        for message in messages:
            self._lanes.enqueue(message, now)
        if messages:
            self._changed.notify_all()

    def _settle(self, settlements: Sequence[Settlement], now: float) -> list[LeasedMessage]:
        lost_leases = [settlement.leased for settlement in settlements if not self._lanes.settle(settlement, now)]
        if len(lost_leases) < len(settlements):
            self._changed.notify_all()
        return lost_leases


# --- the map --------------------------------------------------------------------------------------------------------


@define
class _Slot:
    """The entry of a key, and its expiry."""

    entry: Entry
    expires: float
    """The time on the store's clock; infinity for never."""


_Changes: TypeAlias = list[tuple[bytes, _Slot | None]]


class _Map:
    """The ordered map. The caller holds the lock and passes the time."""

    def __init__(self) -> None:
        self._slots: dict[bytes, _Slot] = {}
        self._order: list[bytes] = []
        self._expiries: list[tuple[float, bytes]] = []

    def get(self, key: bytes, now: float) -> Entry | None:
        slot = self._slots.get(key)
        return slot.entry if slot is not None and slot.expires > now else None

    def scan(self, low: bytes, high: bytes, limit: int, *, reverse: bool, now: float) -> list[Entry]:
        start, stop = bisect_right(self._order, low), bisect_left(self._order, high)
        entries: list[Entry] = []
        for index in range(stop - 1, start - 1, -1) if reverse else range(start, stop):
            entry = self.get(self._order[index], now)
            if entry is not None:
                entries.append(entry)
                if len(entries) == limit:
                    break
        return entries

    def plan(self, writes: Iterable[tuple[bytes, Write]], token: bytes, now: float) -> _Changes:
        """Compute the new slot of each written key. This changes nothing.

        Raises:
            ContractError: An `Increment` of a value that is not a counter, or beyond 64 bits.
        """
        changes: _Changes = []
        for encoded, write in writes:
            match write:
                case Put(key, value, ttl_s):
                    changes.append((encoded, _Slot(Entry(key, value, token), inf if ttl_s is None else now + ttl_s)))
                case Increment(key, delta):
                    old = self.get(encoded, now)
                    total = sum_counter(old.value if old else None, delta)
                    if total is None:
                        raise ContractError(
                            f"cannot add {delta} at {key!r:.80}: the value is not a counter, or the sum exceeds 64 bits"
                        )
                    changes.append((encoded, _Slot(Entry(key, total, token), inf)))
                case DeleteEntry():
                    changes.append((encoded, None))
        return changes

    def apply(self, changes: _Changes) -> None:
        for encoded, slot in changes:
            if slot is None:
                self._remove(encoded)
                continue
            if encoded not in self._slots:
                insort(self._order, encoded)
            self._slots[encoded] = slot
            if slot.expires < inf:
                heappush(self._expiries, (slot.expires, encoded))
        if len(self._expiries) > 2 * len(self._slots) + _OUTDATED_MIN:
            self._expiries = [(slot.expires, key) for key, slot in self._slots.items() if slot.expires < inf]
            heapify(self._expiries)

    def reclaim(self, count_max: int, now: float) -> None:
        """Remove up to ``count_max`` expired entries."""
        while count_max and self._expiries and self._expiries[0][0] <= now:
            expires, encoded = heappop(self._expiries)
            slot = self._slots.get(encoded)
            if slot is not None and slot.expires == expires:
                self._remove(encoded)
                count_max -= 1

    def _remove(self, encoded: bytes) -> None:
        if self._slots.pop(encoded, None) is not None:
            del self._order[bisect_left(self._order, encoded)]


# --- the queue ------------------------------------------------------------------------------------------------------


@define(eq=False)
class _QueuedMessage:
    """A message in the queue, leased or not."""

    number: int
    """Its position in the order of enqueueing."""
    message: Message
    ready_at: float
    """The time at which it can next be leased: when it is due, or at the end of its lease."""
    attempt: int = 0
    token: bytes | None = None
    """The token of its lease, even if that has expired; None while it waits."""


@define(eq=False)
class _Lane:
    messages: dict[int, _QueuedMessage] = Factory(dict[int, _QueuedMessage])
    heap: list[tuple[float, int]] = Factory(list[tuple[float, int]])
    """``(ready_at, number)`` of the messages that can be leased, and outdated entries."""


class _Lanes:
    """The queue. The caller holds the lock and passes the time."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes: dict[str, _Lane] = {}
        self._leases: dict[bytes, _QueuedMessage] = {}
        # By (lane, dedup). A message with an expired lease is not waiting.
        self._waiting: dict[tuple[str, str], _QueuedMessage] = {}
        # By (lane, group), in order of enqueueing.
        self._groups: dict[tuple[str, str], OrderedDict[int, _QueuedMessage]] = {}

    def enqueue(self, message: Message, now: float) -> None:
        due = now + message.delay_s
        if message.dedup is not None:
            duplicate = self._waiting.get((message.lane, message.dedup))
            if duplicate is not None:
                if due < duplicate.ready_at:
                    duplicate.ready_at = due
                    self._offer(duplicate)
                return
        self._count += 1
        item = _QueuedMessage(self._count, message, due)
        self._lanes.setdefault(message.lane, _Lane()).messages[item.number] = item
        if message.dedup is not None:
            self._waiting[message.lane, message.dedup] = item
        if message.group is not None:
            self._groups.setdefault((message.lane, message.group), OrderedDict())[item.number] = item
        self._offer(item)

    def lease(self, lanes: Sequence[str], limit: int, lease_s: float, now: float) -> list[LeasedMessage]:
        leased_messages: list[_QueuedMessage] = []
        for lane in map(self._lanes.get, dict.fromkeys(lanes)):
            while lane and lane.heap and lane.heap[0][0] <= now and len(leased_messages) < limit:
                ready_at, number = heappop(lane.heap)
                item = lane.messages.get(number)
                if item is not None and item.ready_at == ready_at:
                    item.ready_at = now + lease_s  # A second entry of the heap for it is outdated from now on.
                    leased_messages.append(item)
        return [self._start_lease(item) for item in leased_messages]

    def is_current(self, leased: LeasedMessage) -> bool:
        return leased.token in self._leases

    def extend(self, leased: LeasedMessage, until: float) -> bool:
        item = self._leases.get(leased.token)
        if item is None:
            return False
        item.ready_at = until
        self._offer(item)
        return True

    def settle(self, settlement: Settlement, now: float) -> bool:
        item = self._leases.get(settlement.leased.token)
        if item is None:
            return False
        if isinstance(settlement, Retry):
            self._end_lease(item, now + settlement.delay_s)
        else:
            self._remove(item)
        return True

    def depth(self, lanes: Sequence[str], now: float) -> Depth:
        ready = delayed = leased = 0
        oldest = now
        for lane in map(self._lanes.get, dict.fromkeys(lanes)):
            for item in lane.messages.values() if lane else ():
                if item.ready_at <= now:
                    ready += 1
                    oldest = min(oldest, item.ready_at)
                elif item.token is None:
                    delayed += 1
                else:
                    leased += 1
        return Depth(ready, delayed, leased, now - oldest if ready else None)

    def next_time(self, lanes: Sequence[str]) -> float:
        """Return the time at which a message in ``lanes`` can next be leased, or an earlier one.

        Infinity means: not before the next change.
        """
        return min((lane.heap[0][0] for name in lanes if (lane := self._lanes.get(name)) and lane.heap), default=inf)

    def _start_lease(self, item: _QueuedMessage) -> LeasedMessage:
        message = item.message
        if item.token is not None:
            del self._leases[item.token]
        elif message.dedup is not None:
            del self._waiting[message.lane, message.dedup]
        self._count += 1
        item.token = self._count.to_bytes(16, "big")
        item.attempt += 1
        self._leases[item.token] = item
        self._offer(item)
        return LeasedMessage(message, item.token, item.attempt)

    def _end_lease(self, item: _QueuedMessage, due: float) -> None:
        assert item.token is not None
        del self._leases[item.token]
        item.token = None
        message = item.message
        if message.dedup is not None:
            newcomer = self._waiting.get((message.lane, message.dedup))
            if newcomer is not None:
                due = min(due, newcomer.ready_at)
                self._remove(newcomer)
            self._waiting[message.lane, message.dedup] = item
        item.ready_at = due
        self._offer(item)

    def _remove(self, item: _QueuedMessage) -> None:
        message = item.message
        lane = self._lanes[message.lane]
        del lane.messages[item.number]
        if not lane.messages:
            del self._lanes[message.lane]
        if item.token is not None:
            del self._leases[item.token]
        elif message.dedup is not None:
            del self._waiting[message.lane, message.dedup]
        if message.group is not None:
            group = self._groups[message.lane, message.group]
            del group[item.number]
            if group:
                self._offer(next(iter(group.values())))
            else:
                del self._groups[message.lane, message.group]

    def _offer(self, item: _QueuedMessage) -> None:
        """Add a message to the heap of its lane, unless it waits for others of its group."""
        if not self._is_head(item):
            return
        lane = self._lanes[item.message.lane]
        heappush(lane.heap, (item.ready_at, item.number))
        if len(lane.heap) > 2 * len(lane.messages) + _OUTDATED_MIN:
            lane.heap = [(other.ready_at, other.number) for other in lane.messages.values() if self._is_head(other)]
            heapify(lane.heap)

    def _is_head(self, item: _QueuedMessage) -> bool:
        message = item.message
        return message.group is None or item.number == next(iter(self._groups[message.lane, message.group]))
