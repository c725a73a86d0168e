"""Implement the methods of `AtomicStore` over `read` and `_write`.

A store and an enlisted transaction differ only in these two. Arguments are checked here, before any I/O.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from apcore.adapters.sqlite import entries
from apcore.adapters.sqlite import messages as queue
from apcore.adapters.sqlite.groupcommit import Work
from apcore.errors import QueueUnavailable, StoreUnavailable
from apcore.ports import (
    Check,
    Depth,
    Durability,
    EncodedCommit,
    Entry,
    LeasedMessage,
    Message,
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
)

__all__ = [
    "Port",
    "any_due_work",
    "as_queue_failures",
    "commit_work",
    "enqueue_work",
    "extend_work",
    "get_work",
    "lease_work",
    "next_due_work",
    "scan_work",
    "settle_work",
]

T = TypeVar("T")


class Port(ABC):
    """`AtomicStore` without `wait` and `close`."""

    found_last_time = False
    """Whether the last lease returned a message. Then the next one skips the check for due messages."""

    @property
    @abstractmethod
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""

    @abstractmethod
    def read(self, work: Work[T]) -> T:
        """Run ``work``, which only reads."""

    @abstractmethod
    def _write(self, work: Work[T], *, wakes: bool = False) -> T:
        """Run ``work`` in a transaction; ``wakes`` says that it may make a message due."""

    # --- the store --------------------------------------------------------------------------------------------------

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        return self.read(get_work(keys))

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        return self.read(scan_work(prefix, after, limit, reverse=reverse))

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
        return self._write(commit_work(checks, writes, token, messages, settles), wakes=bool(messages or settles))

    # --- the queue --------------------------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        self._queue_write(enqueue_work(messages), wakes=True)

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`. A poll of an empty queue takes no lock, so idle workers do not hinder writers."""
        work = lease_work(lanes, limit, lease_s)
        if not (self.found_last_time or self._queue_read(any_due_work(lanes))):
            return []
        leases = self._queue_write(work, wakes=False)
        self.found_last_time = bool(leases)
        return leases

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        return self._queue_write(extend_work(leases, lease_s), wakes=False)

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        return self._queue_write(settle_work(settlements), wakes=True)

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. Its cost grows with the number of waiting messages; call it about once a minute."""
        check_lanes(lanes)
        return self._queue_read(lambda cursor, now: queue.depth(cursor, lanes, now))

    def _queue_read(self, work: Work[T]) -> T:
        with as_queue_failures():
            return self.read(work)

    def _queue_write(self, work: Work[T], *, wakes: bool) -> T:
        with as_queue_failures():
            return self._write(work, wakes=wakes)


@contextmanager
def as_queue_failures() -> Generator[None]:
    """Turn failures of the store into failures of the queue."""
    try:
        yield
    except StoreUnavailable as error:
        raise QueueUnavailable(str(error), retry_after_s=error.retry_after_s) from error


def get_work(keys: Sequence[StoreKey]) -> Work[list[Entry | None]]:
    """Check the arguments of ``get``, and return its work."""
    encoded = check_get(keys)
    return lambda cursor, now: entries.get(cursor, keys, encoded, now) if encoded else []


def scan_work(prefix: StoreKey, after: StoreKey | None, limit: int, *, reverse: bool) -> Work[list[Entry]]:
    """Check the arguments of ``scan``, and return its work."""
    low, high = check_scan(prefix, after, limit, reverse=reverse)
    return lambda cursor, now: entries.scan(cursor, low, high, limit=limit, reverse=reverse, now=now)


def commit_work(
    checks: Sequence[Check],
    writes: Sequence[Write],
    token: bytes,
    messages: Sequence[Message],
    settles: Sequence[Settlement],
) -> Work[bool]:
    """Check the arguments of ``commit``, and return its work."""
    commit = check_commit(checks, writes, token)
    check_enqueue(messages)
    check_settle(settles)
    return lambda cursor, now: _commit(cursor, commit, messages, settles, now)


def enqueue_work(messages: Sequence[Message]) -> Work[None]:
    """Check the arguments of ``enqueue``, and return its work."""
    check_enqueue(messages)
    return lambda cursor, now: queue.enqueue(cursor, messages, now)


def any_due_work(lanes: Sequence[str]) -> Work[bool]:
    """Return the work that finds out whether a message is due."""
    return lambda cursor, now: queue.any_due(cursor, lanes, now)


def next_due_work(lanes: Sequence[str]) -> Work[float | None]:
    """Return the work that finds the time at which the first message is due."""
    return lambda cursor, _: queue.next_due(cursor, lanes)


def lease_work(lanes: Sequence[str], limit: int, lease_s: float) -> Work[list[LeasedMessage]]:
    """Check the arguments of ``lease``, and return its work."""
    check_lease(lanes, limit, lease_s)
    return lambda cursor, now: queue.lease(cursor, lanes, limit=limit, lease_s=lease_s, now=now)


def extend_work(leases: Sequence[LeasedMessage], lease_s: float) -> Work[list[LeasedMessage]]:
    """Check the arguments of ``extend``, and return its work."""
    check_extend(leases, lease_s)
    return lambda cursor, now: queue.extend(cursor, leases, lease_s=lease_s, now=now)


def settle_work(settlements: Sequence[Settlement]) -> Work[list[LeasedMessage]]:
    """Check the arguments of ``settle``, and return its work."""
    check_settle(settlements)
    return lambda cursor, now: queue.settle(cursor, settlements, now)


def _commit(
    cursor: sqlite3.Cursor,
    commit: EncodedCommit,
    messages: Sequence[Message],
    settles: Sequence[Settlement],
    now: float,
) -> bool:
    """Check first, with reads only; then write."""
    if not (entries.checks_hold(cursor, commit.checks, now) and queue.are_current(cursor, settles)):
        return False
    counted = entries.totals(cursor, commit, now)
    entries.write(cursor, commit, counted, now)
    if settles:
        _ = queue.settle(cursor, settles, now)
    if messages:
        queue.enqueue(cursor, messages, now)
    return True
