"""Keep store and queue in one file, for any number of threads and processes at once: `SqliteStore`.

- Reads run on pooled connections and never wait for a writer (write-ahead log). Each read ends its transaction before
  it returns.
- Writes of all threads go through one connection per process, and share transactions (`groupcommit`). Processes take
  turns at the database's lock for up to ``busy_timeout_s``. After that, `StoreBusy` says that no write was applied.
- With ``synchronous="full"``, the default, a commit that returned has reached the disk, and survives power loss. With
  ``"normal"`` it survives the death of every process, and the file stays sound, but a power loss may undo the last
  commits.
- Expired entries are absent at once. Each commit deletes a bounded number of them.
- `wait` sleeps on a condition that commits of this process notify. For the commits of other processes, it looks at a
  number that they change (`changes`), 50 times a second at first, and 10 times when nothing happens.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Lock
from typing import Any, Final, TypeVar

from apcore.adapters.sqlite import entries
from apcore.adapters.sqlite.asynchronous import AsyncSqliteStore
from apcore.adapters.sqlite.changes import ChangeCounter, PollPace
from apcore.adapters.sqlite.enlisted import EnlistedStore
from apcore.adapters.sqlite.failures import failure, is_busy
from apcore.adapters.sqlite.files import File, Synchronous, patiently
from apcore.adapters.sqlite.forks import watch
from apcore.adapters.sqlite.groupcommit import GroupCommit, Work
from apcore.adapters.sqlite.port import Port, next_due_work
from apcore.adapters.sqlite.readers import Closed, Readers, WouldWait
from apcore.effects import CallOutcome, Raised
from apcore.errors import StoreBusy, StoreUnavailable
from apcore.ports import AsyncRuntime, AtomicStore, Durability, check_lanes

__all__ = ["SqliteStore"]

T = TypeVar("T")

_CLOSE_S_MAX: Final = 30.0
_FORK_S_MAX: Final = 5.0
_RECLAIM_MAX: Final = 32
_RECLAIM_EVERY_S: Final = 1.0


class _Opened:
    """The open connections of one process, between opening and closing."""

    def __init__(self, file: File, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self.pid = os.getpid()
        self.readers = Readers(file)
        self.changes = ChangeCounter(file)
        self.writer = GroupCommit(file, clock=clock, housekeeping=self._reclaim, changed=changed)
        self._reclaim_again = float("-inf")

    def close(self, wait_s: float) -> bool:
        self.changes.close()
        writer_closed = self.writer.close(wait_s)
        return self.readers.close(wait_s) and writer_closed

    def _reclaim(self, cursor: sqlite3.Cursor, now: float) -> None:
        """Remove some expired entries. If the last attempt found few, wait a second before the next one."""
        if now >= self._reclaim_again or now < self._reclaim_again - _RECLAIM_EVERY_S:
            many = entries.reclaim(cursor, now, _RECLAIM_MAX) == _RECLAIM_MAX
            self._reclaim_again = now if many else now + _RECLAIM_EVERY_S


class SqliteStore(Port):
    """An `AtomicStore` in a file. Opens on first use.

    Safe to use from several threads and processes, and across ``os.fork``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "full",
        busy_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind to the file at ``path``, relative to the current directory at this moment.

        Args:
            path: A file in an existing directory. A missing file is created with mode 0600.
            synchronous: "full" or "normal", as explained above.
            busy_timeout_s: How long a call waits for other writers.
            clock: Drives times to live, delays and leases. Processes that share a file need the same clock.
        """
        if synchronous not in ("full", "normal"):
            raise ValueError(f"synchronous must be 'full' or 'normal', not {synchronous!r}")
        if not 0 <= busy_timeout_s <= 3600:
            raise ValueError(f"busy_timeout_s must be a number of seconds from 0 to 3600, not {busy_timeout_s}")
        self._file = File(Path(path).absolute(), synchronous, busy_timeout_s=busy_timeout_s)
        self._clock = clock
        self._opening = Lock()
        self._opened: _Opened | None = None
        self.closings = 0
        """The number of closings. A `wait` that sees it grow ends, and does not open the file again."""
        self.pace = PollPace()
        """The pace at which waiting calls look for commits of other processes."""
        self._changed = Condition()
        self._waiters = 0
        self._holds_opening = False
        self._left_open: _Opened | None = None
        """The connections that a fork would have inherited open."""
        watch(self)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._file.path)!r})"

    @property
    def path(self) -> Path:
        """Return the absolute path of the file."""
        return self._file.path

    @property
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""
        return "power" if self._file.synchronous == "full" else "process"

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. Blocks the calling thread."""
        check_lanes(lanes)
        deadline, closings = time.monotonic() + timeout_s, self.closings
        change = self.change()
        due = self._queue_read(next_due_work(lanes))
        while (pause_s := min(self.pace.pause_s, self.due_in_s(due), deadline - time.monotonic())) > 0:
            is_notified = self._sleep(pause_s)
            if self.closings != closings:
                return
            latest_change = self.change()
            if is_notified or latest_change is None or latest_change != change:
                change = latest_change
                self.pace.quicken()
                due = self._queue_read(next_due_work(lanes))
            else:
                self.pace.slow_down()

    def due_in_s(self, due: float | None) -> float:
        """Return the seconds until a time of the store's clock; infinity if it is None."""
        return float("inf") if due is None else due - self._clock()

    def change(self) -> int | None:
        """Return a number that every commit to the file changes; None if it cannot be read now."""
        while True:
            with suppress(Closed):
                return self._open().changes.value()

    def change_at_once(self) -> int | None:
        """Return `change`, if that needs no waiting.

        Raises:
            WouldWait: It would have to wait.
        """
        opened = self._opened
        if opened is None or opened.pid != os.getpid() or not opened.changes.is_open:
            raise WouldWait
        try:
            return opened.changes.value()
        except Closed:
            raise WouldWait from None

    def _sleep(self, pause_s: float) -> bool:
        """Sleep, and return whether a commit of this process ended the sleep."""
        with self._changed:
            self._waiters += 1
            try:
                return self._changed.wait(pause_s)
            finally:
                self._waiters -= 1

    def enlist(self, connection: object, /) -> AtomicStore:
        """Bind to the application's open transaction on ``connection``, a `sqlite3.Connection` to the same file.

        Begin the transaction with ``BEGIN IMMEDIATE``. A deferred transaction that has read cannot always go on to
        write, and then every write raises `StoreBusy`. Use the returned store in the connection's own thread. Use this
        store at least once before, so that its tables exist.
        """
        return EnlistedStore(connection, self._file, self._clock, self.durability)

    def close(self) -> None:
        """See `KvStore.close`.

        Waits up to 30 s for running calls in other threads; a longer call closes its connection at its end.

        A running `wait` ends. Any other call that comes too late opens the file again, as does any later call.
        """
        with self._opening:
            self.closings += 1
            if self._opened is not None and self._opened.pid == os.getpid():
                self._left_open, self._opened = self._opened, None
                if self._left_open.close(_CLOSE_S_MAX):
                    self._left_open = None

    def asynchronous(self, runtime: AsyncRuntime, /) -> AsyncSqliteStore:
        """Return the twin of this store for event loops. The two share everything."""
        return AsyncSqliteStore(self, runtime)

    # --- reading and writing ------------------------------------------------------------------------------------------

    def read_at_once(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, if that needs no waiting.

        Raises:
            WouldWait: It would have to wait.
        """
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            raise WouldWait
        try:
            cursor = opened.readers.take_idle()
        except Closed:
            raise WouldWait from None
        if cursor is None:
            raise WouldWait
        try:
            return self._look(opened.readers, cursor, work, busy_timeout_s=0.0)
        except StoreBusy:
            raise WouldWait from None

    def read(self, work: Work[T]) -> T:
        """See `Port.read`."""
        while True:
            readers = self._open().readers
            try:
                cursor = readers.take()
            except Closed:
                continue
            return self._look(readers, cursor, work, busy_timeout_s=self._file.busy_timeout_s)

    def _look(self, readers: Readers, cursor: sqlite3.Cursor, work: Work[T], *, busy_timeout_s: float) -> T:
        try:
            try:
                answer = work(cursor, self._clock())
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                # Rare: another process is recovering the log, or the last connection to close is checkpointing.
                answer = patiently(lambda: work(cursor, self._clock()), busy_timeout_s)
        except Exception as error:
            readers.discard(cursor)
            unavailable = failure(error, self._file.source, waited_s=busy_timeout_s)
            if unavailable is None:
                raise
            raise unavailable from error
        except BaseException:
            readers.discard(cursor)
            raise
        readers.give_back(cursor)
        return answer

    def _write(self, work: Work[T], *, wakes: bool = False) -> T:
        while True:
            try:
                return self._open().writer.submit(work, wakes=wakes)
            except Closed:
                continue

    def write_all(self, works: Sequence[tuple[Work[Any], bool]]) -> Sequence[CallOutcome[Any]]:
        """Run several works in transactions, each with whether it may make a message due; return their outcomes.

        `AsyncSqliteStore` calls this once for all tasks that write at the same time.
        """
        outcomes: dict[int, CallOutcome[Any]] = {}
        remaining = list(range(len(works)))
        while remaining:
            results = self._open().writer.submit_all([works[number] for number in remaining])
            outcomes.update(zip(remaining, results, strict=True))
            # Those that came too late for a writer that was closed meanwhile.
            remaining = [number for number in remaining if _is_closed(outcomes[number])]
        return [outcomes[number] for number in range(len(works))]

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is not None and opened.pid == os.getpid():
            return opened
        with self._opening:
            if self._opened is None:
                self._opened = _Opened(self._file, self._clock, self._notify)
            elif self._opened.pid != os.getpid():
                raise StoreUnavailable(
                    f"{self._file.source} was open when this process was forked, by code that does not run Python's "
                    "fork hooks or during a long call, and is not safe to use here: open the store after the fork"
                )
            return self._opened

    def _notify(self) -> None:
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Implement `forks.Forking`. Called only by the fork hook."""
        self._holds_opening = self._opening.acquire(timeout=_FORK_S_MAX)
        opened, self._opened = self._opened, None
        if opened is not None and not opened.close(_FORK_S_MAX):
            self._left_open = opened

    def after_fork(self, *, in_child: bool) -> None:
        """Implement `forks.Forking`. Called only by the fork hook."""
        left_open, self._left_open = self._left_open, None
        if in_child:
            # Connections that could not be closed in time carry the parent's process id, and are refused.
            self._opened = left_open
            self._opening = Lock()
            self._changed = Condition()
            self._waiters = 0
        elif self._holds_opening:
            self._opening.release()


def _is_closed(outcome: CallOutcome[Any]) -> bool:
    return isinstance(outcome, Raised) and isinstance(outcome.error, Closed)
