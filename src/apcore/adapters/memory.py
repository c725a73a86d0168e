"""Store and queue in one process's memory, for tests, simulations and programs that may forget.

Everything stands behind one lock that is never held for long, so no method but `MemoryStore.wait` ever waits, and all others may be called on an
event loop. Nothing outlives the process, and a forked child has a copy of its own: for several processes take a store in a file or on a server.

How cost stays flat:

- **The map** is a dict beside a sorted list of encoded keys: reading is a lookup, scanning a bisection, a new key an ``insort``. Expired entries
  are absent at once; each commit reclaims about as many as it writes, found by a heap of expiry times.
- **The queue** keeps one heap a lane, by the time at which a message can next be handed out: when it is due, or when its lease ends. Only what
  can be handed out stands in it: messages without group, and the head of each group. So leasing costs what it takes, whatever waits behind.
  An entry of a heap counts only while its time is still its message's; outdated ones are skipped, and swept out when they are the majority.

Lease tokens are numbered, not drawn: they fence mistakes, not attackers, and a simulation repeats exactly.
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

__all__ = ["MemoryStore", "open_url"]

_OUTDATED_MIN = 64
"""A heap is swept when its outdated entries outnumber the others by this much."""


def open_url(url: str, /) -> MemoryStore:
    """Open ``memory:``, a new and empty store.

    Raises:
        ConfigurationError: The URL says more than ``memory:``; there is nothing to say.
    """
    if url not in ("memory:", "memory://"):
        raise ConfigurationError(f"the memory store is opened by 'memory:', not {url!r:.80}")
    return MemoryStore()


class MemoryStore:
    """An `AtomicStore` in memory. Its content is this object's: closing keeps it."""

    durability: Durability = "none"
    never_waits: bool = True
    """All methods but `wait` may be called on an event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty store whose times to live, delays and leases run by ``clock``, in seconds."""
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
        todo = check_commit(checks, writes, token)
        check_enqueue(messages)
        check_settle(settles)
        with self._changed:
            now = self._clock()
            for key, version in todo.checks:
                entry = self._map.get(key, now)
                if (entry.version if entry else None) != version:
                    return False
            if not all(self._lanes.is_current(settlement.leased) for settlement in settles):
                return False
            changes = self._map.planned(todo.writes, token, now)  # may refuse, so before anything changes
            self._map.apply(changes)
            self._map.reclaim(len(changes) + 1, now)
            self._end(settles, now)
            self._take_in(messages, now)
            return True

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        check_enqueue(messages)
        with self._changed:
            self._take_in(messages, self._clock())

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
            return self._end(settlements, self._clock())

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. Goes through all messages of the lanes; meant for a look a minute."""
        check_lanes(lanes)
        with self._changed:
            return self._lanes.depth(lanes, self._clock())

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. Blocks the calling thread."""
        check_lanes(lanes)
        with self._changed:
            pause_s = min(timeout_s, self._lanes.next_time(lanes) - self._clock(), TIMEOUT_MAX)
            if pause_s > 0:
                # Woken by any change in any lane: looking costs little, and `wait` is a hint.
                _ = self._changed.wait(pause_s)

    def close(self) -> None:
        """Let go whoever waits; the content stays."""
        with self._changed:
            self._changed.notify_all()

    def _take_in(self, messages: Sequence[Message], now: float) -> None:
        for message in messages:
            self._lanes.enqueue(message, now)
        if messages:
            self._changed.notify_all()

    def _end(self, settlements: Sequence[Settlement], now: float) -> list[LeasedMessage]:
        lost = [settlement.leased for settlement in settlements if not self._lanes.settle(settlement, now)]
        if len(lost) < len(settlements):
            self._changed.notify_all()
        return lost


# --- the map --------------------------------------------------------------------------------------------------------


@define
class _Slot:
    """What stands at one key."""

    entry: Entry
    expires: float
    """On the store's clock; infinity for never."""


_Changes: TypeAlias = list[tuple[bytes, _Slot | None]]


class _Map:
    """The ordered map; knows no lock and no clock."""

    def __init__(self) -> None:
        self._slots: dict[bytes, _Slot] = {}
        self._order: list[bytes] = []
        self._expiries: list[tuple[float, bytes]] = []

    def get(self, key: bytes, now: float) -> Entry | None:
        slot = self._slots.get(key)
        return slot.entry if slot is not None and slot.expires > now else None

    def scan(self, low: bytes, high: bytes, limit: int, *, reverse: bool, now: float) -> list[Entry]:
        start, stop = bisect_right(self._order, low), bisect_left(self._order, high)
        found: list[Entry] = []
        for at in range(stop - 1, start - 1, -1) if reverse else range(start, stop):
            entry = self.get(self._order[at], now)
            if entry is not None:
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def planned(self, writes: Iterable[tuple[bytes, Write]], token: bytes, now: float) -> _Changes:
        """Say what each write comes to, changing nothing.

        Raises:
            ContractError: An `Increment` to what is no counter, or beyond 64 bits.
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
                            f"cannot add {delta} at {key!r:.80}: no counter stands there, or it is full"
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

    def reclaim(self, at_most: int, now: float) -> None:
        """Free what up to ``at_most`` expired entries hold."""
        while at_most and self._expiries and self._expiries[0][0] <= now:
            expires, encoded = heappop(self._expiries)
            slot = self._slots.get(encoded)
            if slot is not None and slot.expires == expires:
                self._remove(encoded)
                at_most -= 1

    def _remove(self, encoded: bytes) -> None:
        if self._slots.pop(encoded, None) is not None:
            del self._order[bisect_left(self._order, encoded)]


# --- the queue ------------------------------------------------------------------------------------------------------


@define(eq=False)
class _Held:
    """A message that the queue holds."""

    place: int
    """Its place in the order of enqueue."""
    message: Message
    when: float
    """When it can next be handed out: due, or at the end of its lease."""
    attempt: int = 0
    token: bytes | None = None
    """The current lease's, whether or not it ran out; None while waiting."""


@define(eq=False)
class _Lane:
    held: dict[int, _Held] = Factory(dict[int, _Held])
    heap: list[tuple[float, int]] = Factory(list[tuple[float, int]])
    """(when, place) of what can be handed out, and outdated entries."""


class _Lanes:
    """The queue; knows no lock and no clock."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes: dict[str, _Lane] = {}
        self._leases: dict[bytes, _Held] = {}
        self._waiting: dict[tuple[str, str], _Held] = {}  # by (lane, dedup); what was leased and ran out is not waiting
        self._groups: dict[tuple[str, str], OrderedDict[int, _Held]] = {}  # by (lane, group), in order of enqueue

    def enqueue(self, message: Message, now: float) -> None:
        due = now + message.delay_s
        if message.dedup is not None:
            twin = self._waiting.get((message.lane, message.dedup))
            if twin is not None:
                if due < twin.when:
                    twin.when = due
                    self._offer(twin)
                return
        self._count += 1
        held = _Held(self._count, message, due)
        self._lanes.setdefault(message.lane, _Lane()).held[held.place] = held
        if message.dedup is not None:
            self._waiting[message.lane, message.dedup] = held
        if message.group is not None:
            self._groups.setdefault((message.lane, message.group), OrderedDict())[held.place] = held
        self._offer(held)

    def lease(self, lanes: Sequence[str], limit: int, lease_s: float, now: float) -> list[LeasedMessage]:
        taken: list[_Held] = []
        for lane in map(self._lanes.get, dict.fromkeys(lanes)):
            while lane and lane.heap and lane.heap[0][0] <= now and len(taken) < limit:
                when, place = heappop(lane.heap)
                held = lane.held.get(place)
                if held is not None and held.when == when:
                    held.when = now + lease_s  # from here on, a second entry for it is outdated
                    taken.append(held)
        return [self._hand_out(held) for held in taken]

    def is_current(self, leased: LeasedMessage) -> bool:
        return leased.token in self._leases

    def extend(self, leased: LeasedMessage, until: float) -> bool:
        held = self._leases.get(leased.token)
        if held is None:
            return False
        held.when = until
        self._offer(held)
        return True

    def settle(self, settlement: Settlement, now: float) -> bool:
        held = self._leases.get(settlement.leased.token)
        if held is None:
            return False
        if isinstance(settlement, Retry):
            self._take_back(held, now + settlement.delay_s)
        else:
            self._remove(held)
        return True

    def depth(self, lanes: Sequence[str], now: float) -> Depth:
        ready = delayed = leased = 0
        oldest = now
        for lane in map(self._lanes.get, dict.fromkeys(lanes)):
            for held in lane.held.values() if lane else ():
                if held.when <= now:
                    ready += 1
                    oldest = min(oldest, held.when)
                elif held.token is None:
                    delayed += 1
                else:
                    leased += 1
        return Depth(ready, delayed, leased, now - oldest if ready else None)

    def next_time(self, lanes: Sequence[str]) -> float:
        """When something in ``lanes`` can next be handed out, or earlier; infinity for not before a change."""
        return min((lane.heap[0][0] for name in lanes if (lane := self._lanes.get(name)) and lane.heap), default=inf)

    def _hand_out(self, held: _Held) -> LeasedMessage:
        message = held.message
        if held.token is not None:
            del self._leases[held.token]
        elif message.dedup is not None:
            del self._waiting[message.lane, message.dedup]
        self._count += 1
        held.token = self._count.to_bytes(16, "big")
        held.attempt += 1
        self._leases[held.token] = held
        self._offer(held)
        return LeasedMessage(message, held.token, held.attempt)

    def _take_back(self, held: _Held, due: float) -> None:
        assert held.token is not None
        del self._leases[held.token]
        held.token = None
        message = held.message
        if message.dedup is not None:
            newcomer = self._waiting.get((message.lane, message.dedup))
            if newcomer is not None:
                due = min(due, newcomer.when)
                self._remove(newcomer)
            self._waiting[message.lane, message.dedup] = held
        held.when = due
        self._offer(held)

    def _remove(self, held: _Held) -> None:
        message = held.message
        lane = self._lanes[message.lane]
        del lane.held[held.place]
        if not lane.held:
            del self._lanes[message.lane]
        if held.token is not None:
            del self._leases[held.token]
        elif message.dedup is not None:
            del self._waiting[message.lane, message.dedup]
        if message.group is not None:
            group = self._groups[message.lane, message.group]
            del group[held.place]
            if group:
                self._offer(next(iter(group.values())))
            else:
                del self._groups[message.lane, message.group]

    def _offer(self, held: _Held) -> None:
        """Enter ``held`` at its present time, if it can be handed out at all: the others wait for their head."""
        if not self._is_head(held):
            return
        lane = self._lanes[held.message.lane]
        heappush(lane.heap, (held.when, held.place))
        if len(lane.heap) > 2 * len(lane.held) + _OUTDATED_MIN:
            lane.heap = [(each.when, each.place) for each in lane.held.values() if self._is_head(each)]
            heapify(lane.heap)

    def _is_head(self, held: _Held) -> bool:
        message = held.message
        return message.group is None or held.place == next(iter(self._groups[message.lane, message.group]))
