"""Run one worker of a concurrent history: make changes to the store, and note the results.

The work provokes collisions. A few keys get many swaps, deletions and re-creations; all workers race for the same
claims and add to the same counters. If the store is a queue too, messages are in few groups, and half of them are ended
by a commit. Commits with a lost answer are repeated as the drivers do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeGuard

from apcore.errors import QueueUnavailable, StoreUnavailable
from apcore.ports import (
    AtomicStore,
    Check,
    DeleteEntry,
    Done,
    Entry,
    Increment,
    KvStore,
    LeasedMessage,
    Message,
    Put,
    Settlement,
    StoreKey,
    Write,
)
from apcore.testing.history_rules import (
    AddEvent,
    ClaimEvent,
    EndEvent,
    EnqueueEvent,
    FinalState,
    ReadEvent,
    SwapEvent,
    WorkerLog,
)

__all__ = ["drain_queue", "is_queue", "play", "read_final_state"]

_CHAINS: Final = 6
_COUNTERS: Final = 2
_GROUPS: Final = (None, None, "a", "b", "c")
_LEASE_S: Final = 3600.0
"""Longer than any run, so that no lease expires and every message is leased once."""


def play(store: KvStore, *, run: str, worker: int, seed: int, goes_on: Callable[[], bool]) -> WorkerLog:
    """Work on ``store`` while ``goes_on`` returns True, and note the observations.

    Args:
        store: Shared with other workers.
        run: The name under which all workers of the run write.
        worker: The number of this worker.
        seed: Decides which steps are made, not when.
        goes_on: Called before each step.
    """
    player = _Player(store, run, worker, seed)
    while goes_on():
        player.step()
    return player.notes


def drain_queue(store: KvStore, *, run: str) -> WorkerLog:
    """Process the messages that ``run`` left in the queue, once all its workers have ended."""
    player = _Player(store, run, -1, 0)
    if is_queue(store):
        # Each round ends at least one message. More rounds than messages would be a fault of the queue.
        for _round in range(store.depth([run]).ready + 1):
            if not player.work():
                break
    return player.notes


def read_final_state(store: KvStore, *, run: str) -> FinalState:
    """Return the final content of the store."""
    counters = [*_all(store, (run, "sums")), *_all(store, (run, "swaps")), *_all(store, (run, "handled"))]
    waiting = 0
    if is_queue(store):
        depth = store.depth([run])
        waiting = depth.ready + depth.delayed + depth.leased
    return FinalState(
        versions={entry.key: entry.version for entry in _all(store, (run, "chain"))},
        counters={entry.key: int(entry.value) for entry in counters},
        claims={entry.key: entry.value for entry in _all(store, (run, "claim"))},
        waiting=waiting,
    )


def is_queue(store: KvStore) -> TypeGuard[AtomicStore]:
    """Return whether ``store`` is a queue too."""
    return hasattr(store, "enqueue")


class _Player:
    def __init__(self, store: KvStore, run: str, worker: int, seed: int) -> None:
        self.store = store
        self.run = run
        self.name = b"worker %d" % worker
        self.random = Random(f"{seed} {worker}")  # noqa: S311  (nothing here is secret)
        self.notes = WorkerLog()
        self.steps: list[Callable[[], object]] = [self.swap, self.swap, self.swap, self.add, self.claim, self.page]
        if is_queue(store):
            self.queue = store
            self.steps += [self.enqueue, self.work, self.work]

    def step(self) -> None:
        try:
            _ = self.random.choice(self.steps)()
        except StoreUnavailable as error:
            # "Nothing was written" is a valid answer under contention. Changes that may have happened are noted below.
            if error.outcome != "nothing":
                raise

    def swap(self) -> None:
        """Move a chain from its current version to a new one, or delete it; and count that, in one commit."""
        chain = str(self.random.randrange(_CHAINS))
        key, counter = (self.run, "chain", chain), (self.run, "swaps", chain)
        began = time.monotonic()
        [entry] = self.store.get([key])
        self.notes.reads.append(ReadEvent(key, entry.version if entry else None, began, time.monotonic()))
        if entry is not None and not entry.value.startswith(entry.version):
            self.notes.wrong.append(f"{key} has the value of another version")
        token = os.urandom(16)
        deletes = entry is not None and self.random.random() < 0.2
        write: Write = DeleteEntry(key) if deletes else Put(key, token + self.name)
        checks = [Check(key, entry.version if entry else None)]
        began = time.monotonic()
        answer = self._commit(checks, [write, Increment(counter, 1)], token, guard=None if deletes else key)
        ended = time.monotonic()
        self.notes.swaps.append(
            SwapEvent(key, entry.version if entry else None, None if deletes else token, began, ended, answer)
        )
        self.notes.adds.append(AddEvent(counter, 1, answer))

    def add(self) -> None:
        """Add to a counter that every worker adds to, without a check."""
        key = (self.run, "sums", str(self.random.randrange(_COUNTERS)))
        delta = self.random.randrange(-5, 10)
        self.notes.adds.append(
            AddEvent(key, delta, self._commit([], [Increment(key, delta)], os.urandom(16), guard=None))
        )

    def claim(self) -> None:
        """Claim the first key that is not claimed yet."""
        prefix = (self.run, "claim")
        last = self.store.scan(prefix, limit=1, reverse=True)
        key = (*prefix, f"{int(last[0].key[-1]) + 1 if last else 0:012}")
        answer = self._commit([Check(key, None)], [Put(key, self.name)], os.urandom(16), guard=key)
        self.notes.claims.append(ClaimEvent(key, self.name, answer))

    def page(self) -> None:
        """Read the chains with a scan."""
        began = time.monotonic()
        entries = self.store.scan((self.run, "chain"), limit=_CHAINS, reverse=self.random.random() < 0.5)
        ended = time.monotonic()
        keys = [entry.key for entry in entries]
        if len(set(keys)) < len(keys):
            self.notes.wrong.append(f"a scan gave a key twice: {keys}")
        self.notes.reads.extend(ReadEvent(entry.key, entry.version, began, ended) for entry in entries)

    def enqueue(self) -> None:
        """Enqueue a few messages in few groups."""
        messages = [
            Message(os.urandom(16), self.run, self.name, group=self.random.choice(_GROUPS))
            for _ in range(self.random.randint(1, 4))
        ]
        began = time.monotonic()
        sure = True
        try:
            self.queue.enqueue(messages)
        except QueueUnavailable:
            sure = False
        ended = time.monotonic()
        # A batch is enqueued at one time; its messages are in the given order.
        self.notes.enqueued.extend(EnqueueEvent(message.id, message.group, began, ended, sure) for message in messages)

    def work(self) -> bool:
        """Lease, and end each message with a commit or with ``settle``. Return whether there was any."""
        try:
            leases = self.queue.lease([self.run], limit=self.random.randint(1, 5), lease_s=_LEASE_S)
        except QueueUnavailable:
            return False
        leased_at = time.monotonic()
        for leased in leases:
            settled_at = time.monotonic()
            answer = self._end(leased)
            message = leased.message
            self.notes.ended.append(EndEvent(message.id, message.group, leased.attempt, leased_at, settled_at, answer))
        return bool(leases)

    def _end(self, leased: LeasedMessage) -> bool | None:
        if self.random.random() < 0.5:
            try:
                return not self.queue.settle([Done(leased)])
            except QueueUnavailable:
                return None
        counter, guard = (self.run, "handled", "n"), (self.run, "by", leased.message.id.hex())
        writes: list[Write] = [Put(guard, self.name), Increment(counter, 1)]
        try:
            answer = self._commit([Check(guard, None)], writes, os.urandom(16), guard=guard, settles=[Done(leased)])
        except StoreUnavailable:
            answer = None
        self.notes.adds.append(AddEvent(counter, 1, answer))
        return answer

    def _commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        token: bytes,
        *,
        guard: StoreKey | None,
        settles: Sequence[Settlement] = (),
    ) -> bool | None:
        """Commit, and if the answer is lost and there is a guard, commit once more.

        Return None if the outcome is unknown.
        """

        def commit() -> bool:
            if settles:
                return self.queue.commit(checks, writes, token=token, settles=settles)
            return self.store.commit(checks, writes, token=token)

        try:
            return commit()
        except StoreUnavailable as error:
            if error.outcome == "nothing":
                raise
        if guard is None:
            return None
        try:
            if commit():
                return True
            [entry] = self.store.get([guard])
        except StoreUnavailable:
            return None
        return True if entry is not None and entry.version == token else None


def _all(store: KvStore, prefix: StoreKey) -> list[Entry]:
    entries: list[Entry] = []
    while page := store.scan(prefix, after=entries[-1].key if entries else None, limit=1000):
        entries += page
    return entries
