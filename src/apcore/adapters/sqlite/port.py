"""Implement the methods of `AtomicStore` over `read` and `_write`.

A store and an enlisted transaction differ only in these two. Arguments are checked here, before any I/O.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
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

__all__ = ["Port", "get_work", "scan_work"]

T = TypeVar("T")


class Port(ABC):
    """`AtomicStore` without `wait` and `close`."""

    _found_last_time = False
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
        commit = check_commit(checks, writes, token)
        check_enqueue(messages)
        check_settle(settles)
        return self._write(
            lambda cursor, now: _commit(cursor, commit, messages, settles, now), wakes=bool(messages or settles)
        )

    # --- the queue --------------------------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        check_enqueue(messages)
        self._queue_write(lambda cursor, now: queue.enqueue(cursor, messages, now), wakes=True)

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`. A poll of an empty queue takes no lock, so idle workers do not hinder writers."""
        check_lease(lanes, limit, lease_s)
        if not (self._found_last_time or self._queue_read(lambda cursor, now: queue.any_due(cursor, lanes, now))):
            return []
        leases = self._queue_write(
            lambda cursor, now: queue.lease(cursor, lanes, limit=limit, lease_s=lease_s, now=now), wakes=False
        )
        self._found_last_time = bool(leases)
        return leases

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        check_extend(leases, lease_s)
        return self._queue_write(
            lambda cursor, now: queue.extend(cursor, leases, lease_s=lease_s, now=now), wakes=False
        )

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        check_settle(settlements)
        return self._queue_write(lambda cursor, now: queue.settle(cursor, settlements, now), wakes=True)

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. Its cost grows with the number of waiting messages; call it about once a minute."""
        check_lanes(lanes)
        return self._queue_read(lambda cursor, now: queue.depth(cursor, lanes, now))

    def _queue_read(self, work: Work[T]) -> T:
        try:
            return self.read(work)
        except StoreUnavailable as error:
            raise QueueUnavailable(str(error), retry_after_s=error.retry_after_s) from error

    def _queue_write(self, work: Work[T], *, wakes: bool) -> T:
        try:
            return self._write(work, wakes=wakes)
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
