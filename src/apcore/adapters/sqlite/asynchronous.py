"""Use the SQLite store on an event loop: `AsyncSqliteStore`.

A read takes tens of microseconds and never waits for a writer, so it runs on the loop, where a thread would cost more
than the read. A read that would have to wait (for a connection to open, or a database in recovery) moves to a thread. A
write waits for the disk and for other writers, so it always runs in a thread. All writes that wait on the loop share
one call of a thread and one transaction (`apcore.adapters.sqlite.batches`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import local
from typing import TYPE_CHECKING, TypeVar

from apcore.adapters.sqlite.batches import WriteBatches
from apcore.adapters.sqlite.groupcommit import Work
from apcore.adapters.sqlite.port import (
    any_due_work,
    as_queue_failures,
    commit_work,
    enqueue_work,
    extend_work,
    get_work,
    lease_work,
    next_due_work,
    scan_work,
    settle_work,
)
from apcore.adapters.sqlite.readers import WouldWait
from apcore.ports import (
    AsyncRuntime,
    Check,
    Depth,
    Durability,
    Entry,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
    Write,
    check_lanes,
)

if TYPE_CHECKING:
    from apcore.adapters.sqlite.store import SqliteStore

__all__ = ["AsyncSqliteStore"]

T = TypeVar("T")


class AsyncSqliteStore:
    """An `AsyncAtomicStore` over a `SqliteStore`. You can go on using the `SqliteStore` directly."""

    def __init__(self, store: SqliteStore, runtime: AsyncRuntime) -> None:
        """Bind to the event loop and the threads of ``runtime``."""
        self._store = store
        self._runtime = runtime
        self._of_thread = local()

    @property
    def durability(self) -> Durability:
        """See `SqliteStore.durability`."""
        return self._store.durability

    async def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        return await self._read(get_work(keys))

    async def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        return await self._read(scan_work(prefix, after, limit, reverse=reverse))

    async def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        """See `AtomicStore.commit`. A cancelled commit may still happen."""
        work = commit_work(checks, writes, token, messages, settles)
        return await self._batches.write(work, wakes=bool(messages or settles))

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        await self._queue_write(enqueue_work(messages), wakes=True)

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`. A look at an empty queue needs no thread."""
        work = lease_work(lanes, limit, lease_s)
        if not self._store.found_last_time:
            with as_queue_failures():
                if not await self._read(any_due_work(lanes)):
                    return []
        leases = await self._queue_write(work, wakes=False)
        self._store.found_last_time = bool(leases)
        return leases

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        return await self._queue_write(extend_work(leases, lease_s), wakes=False)

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        return await self._queue_write(settle_work(settlements), wakes=True)

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`."""
        return await self._runtime.thread(lambda: self._store.depth(lanes), lane="port")

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. A commit on the same loop ends it at once."""
        check_lanes(lanes)
        deadline, closings, pace = time.monotonic() + timeout_s, self._store.closings, self._store.pace
        with as_queue_failures(), self._batches.watched() as commits:
            change = await self._change()
            due = await self._read(next_due_work(lanes))
            while (pause_s := min(pace.pause_s, self._store.due_in_s(due), deadline - time.monotonic())) > 0:
                await commits.wait(timeout_s=pause_s)
                if self._store.closings != closings:
                    return
                latest_change = await self._change()
                if latest_change is None or latest_change != change:
                    change = latest_change
                    pace.quicken()
                    due = await self._read(next_due_work(lanes))
                else:
                    pace.slow_down()

    async def aclose(self) -> None:
        """See `KvStore.close`. Closes the blocking store too."""
        await self._runtime.thread(self._store.close, lane="port")

    @property
    def _batches(self) -> WriteBatches:
        """The writes that wait on the running loop, which is the loop of this thread."""
        batches: WriteBatches | None = getattr(self._of_thread, "batches", None)
        if batches is None:
            batches = self._of_thread.batches = WriteBatches(self._store.write_all, self._runtime)
        return batches

    async def _change(self) -> int | None:
        try:
            return self._store.change_at_once()
        except WouldWait:
            return await self._runtime.thread(self._store.change, lane="port")

    async def _queue_write(self, work: Work[T], *, wakes: bool) -> T:
        with as_queue_failures():
            return await self._batches.write(work, wakes=wakes)

    async def _read(self, work: Work[T]) -> T:
        try:
            return self._store.read_at_once(work)
        except WouldWait:
            return await self._runtime.thread(lambda: self._store.read(work), lane="port")
