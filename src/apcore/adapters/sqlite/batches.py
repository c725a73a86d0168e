"""Batch the writes of tasks: one call of a thread commits everything that waits on an event loop.

The first task that writes becomes the leader, and starts a thread at once. Tasks that write meanwhile wait on the loop,
without a thread each. When the thread has ended, the leader hands out the results, and the first task that waits leads
the next batch. So a single task waits for nobody, and many tasks share threads, transactions and waits for the disk.

The tasks of a batch do not affect each other: each gets its own result or error (`apcore.adapters.sqlite.groupcommit`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from math import inf
from threading import Event, Lock
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import define

from apcore.adapters.sqlite.groupcommit import GROUP_MAX, Work
from apcore.effects import CallOutcome, Raised
from apcore.ports import AsyncRuntime, AsyncSignal

__all__ = ["WriteAll", "WriteBatches"]

T = TypeVar("T")

WriteAll: TypeAlias = Callable[[Sequence[tuple[Work[Any], bool]]], Sequence[CallOutcome[Any]]]
"""A blocking function that runs works, each with whether it may make a message due, and returns their outcomes."""


@define(eq=False)
class _Write(Generic[T]):
    """The work of one task, and its outcome."""

    work: Work[T]
    wakes: bool
    signal: AsyncSignal | None = None
    """Set when the outcome is there, or when the task must lead. None if the task does not wait, or was cancelled."""
    leads: bool = False
    batch: _Batch | None = None
    """The running batch that the task inherits from a leader that did not wait for its end."""
    outcome: CallOutcome[T] | None = None

    def wake(self) -> None:
        if self.signal is not None:
            self.signal.set()


class _Batch:
    """Writes that one call of a thread commits."""

    def __init__(self, writes: list[_Write[Any]], write_all: WriteAll) -> None:
        self.writes = writes
        self.ended = Event()
        self._write_all = write_all
        self._outcomes: Sequence[CallOutcome[Any]] = ()
        self._lock = Lock()
        self._is_withdrawn = self._has_begun = False

    def run(self) -> None:
        """Commit the writes. Runs in a thread."""
        with self._lock:
            if self._is_withdrawn:
                return
            self._has_begun = True
        try:
            self._outcomes = self._write_all([(write.work, write.wakes) for write in self.writes])
        except Exception as error:
            self._outcomes = [Raised(error)] * len(self.writes)
        finally:
            self.ended.set()

    def withdraw(self) -> bool:
        """Keep a batch that has not begun from beginning, and return whether that was possible."""
        with self._lock:
            self._is_withdrawn = not self._has_begun
            return self._is_withdrawn

    def hand_out(self) -> None:
        """Set the outcomes of the writes, and wake their tasks."""
        for write, outcome in zip(self.writes, self._outcomes, strict=True):
            write.outcome = outcome
        for write in self.writes:
            write.wake()


class WriteBatches:
    """The writes that wait on one event loop."""

    def __init__(self, write_all: WriteAll, runtime: AsyncRuntime) -> None:
        self._write_all = write_all
        self._runtime = runtime
        self._waiting: list[_Write[Any]] = []
        self._is_led = False
        self._watchers: set[AsyncSignal] = set()

    @contextmanager
    def watched(self) -> Generator[AsyncSignal]:
        """Return a signal that is set after each write on this loop that may make a message due."""
        signal = self._runtime.signal()
        self._watchers.add(signal)
        try:
            yield signal
        finally:
            self._watchers.discard(signal)

    async def write(self, work: Work[T], *, wakes: bool) -> T:
        """Run ``work`` in a transaction, and return its result once the transaction is committed.

        ``wakes`` tells whether it may make a message due. If the task is cancelled, the work may still be committed.
        """
        write = _Write(work, wakes)
        if self._is_led:
            self._waiting.append(write)
            await self._wait(write)
        if write.outcome is None:
            self._is_led = True
            await self._lead(write)
        outcome = write.outcome
        if isinstance(outcome, Raised):
            raise outcome.error
        assert outcome is not None
        return outcome.value

    async def _wait(self, write: _Write[Any]) -> None:
        """Wait until the write has an outcome, or its task must lead."""
        write.signal = self._runtime.signal()
        try:
            while write.outcome is None and not write.leads:
                await write.signal.wait(timeout_s=inf)
        except BaseException:
            write.signal = None
            if write in self._waiting:
                self._waiting.remove(write)
            elif write.leads and write.outcome is None:
                self._leave(write.batch)
            raise

    async def _lead(self, first: _Write[Any]) -> None:
        batch = first.batch
        try:
            if batch is not None:
                _ = await self._runtime.thread(batch.ended.wait, lane="port")
            else:
                batch = _Batch([first, *self._waiting[: GROUP_MAX - 1]], self._write_all)
                del self._waiting[: GROUP_MAX - 1]
                await self._runtime.thread(batch.run, lane="port")
        except BaseException:
            self._leave(batch)
            raise
        self._hand_on()
        self._hand_out(batch)

    def _hand_out(self, batch: _Batch) -> None:
        batch.hand_out()
        if any(write.wakes for write in batch.writes):
            for signal in self._watchers:
                signal.set()

    def _leave(self, batch: _Batch | None) -> None:
        """Hand on the lead of a leader that was cancelled, and see to the others of its batch."""
        if batch is None:
            self._hand_on()
        elif batch.withdraw():
            self._waiting[:0] = [write for write in batch.writes[1:] if write.signal is not None]
            self._hand_on()
        elif batch.ended.is_set():
            self._hand_on()
            self._hand_out(batch)
        else:
            self._hand_on(batch)

    def _hand_on(self, batch: _Batch | None = None) -> None:
        """Let the next task lead: one of ``batch`` while that still runs, else the first that waits."""
        heirs = (
            [] if batch is None else [write for write in batch.writes if not write.leads and write.signal is not None]
        )
        if heirs:
            heirs[0].batch = batch
        elif self._waiting:
            heirs.append(self._waiting.pop(0))
        self._is_led = bool(heirs)
        for heir in heirs[:1]:
            heir.leads = True
            heir.wake()
