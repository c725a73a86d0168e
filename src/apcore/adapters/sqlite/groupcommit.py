"""Group commits: threads that write at the same time share one transaction, and so wait for the disk once.

The first thread becomes the leader and starts at once, so a single thread hands nothing over. Threads that arrive
meanwhile queue up and sleep. A leader begins an immediate transaction and runs all queued works (its own first). It
commits once, wakes their threads with the results, and hands the lead to the first thread that arrived too late.

The works of a group do not affect each other. A work that is refused has changed nothing. If a work fails half-way (a
bug), the leader rolls back and begins again without it. Only a failure of the transaction itself (a full disk, a
damaged file) fails every work in it.

No thread gets its result before the COMMIT, not even one that only read: it may have read the writes of another work in
the group.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic, sleep
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from attrs import define

from apcore.adapters.sqlite.failures import failure, is_full
from apcore.adapters.sqlite.files import File, patiently
from apcore.adapters.sqlite.readers import Closed
from apcore.effects import CallOutcome, Raised, Returned
from apcore.errors import CommitOutcome, StoreBusy, StoreUnavailable

__all__ = ["GROUP_MAX", "GroupCommit", "Work"]

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Cursor, float], T]
"""A function of a cursor and the store's time. It may run again from the start if the transaction could not commit."""

GROUP_MAX: Final = 64
"""The most works of one transaction."""


@define(eq=False)
class _Request(Generic[T]):
    """The work of one thread, and its result."""

    work: Work[T] | None
    """The work; None closes the connection."""
    wakes: bool
    deadline: float
    turn: Lock | None = None
    """A lock that the leader holds while the thread of this request must sleep; None if it never had to."""
    leads: bool = False
    result: T | None = None
    error: BaseException | None = None

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)

    @property
    def outcome(self) -> CallOutcome[T]:
        if isinstance(self.error, Exception):
            return Raised(self.error)
        return Returned(self.answer())

    def let_go(self) -> None:
        if self.turn is not None:
            self.turn.release()


class _Halfway(Exception):  # never leaves this module
    """The work of ``request`` failed after it had written."""

    def __init__(self, request: _Request[Any], error: Exception) -> None:
        super().__init__()
        self.request = request
        self.error = error


class GroupCommit:
    """The writing connection of a process, and the queue of threads that use it."""

    def __init__(
        self, file: File, *, clock: Callable[[], float], housekeeping: Work[None], changed: Callable[[], None]
    ) -> None:
        """Prepare, without opening a connection.

        Args:
            file: The database.
            clock: The store's time, read once per transaction.
            housekeeping: Called last in each transaction that wrote.
            changed: Called after a transaction with a work that ``wakes``.
        """
        self._file = file
        self._clock = clock
        self._housekeeping = housekeeping
        self._changed = changed
        self._gate = Lock()  # guards the next three, and `leads` of every request
        self._led = False
        """Whether a thread is the leader."""
        self._closed = False
        self._waiting: deque[_Request[Any]] = deque()
        # The fields below belong to the leader.
        self._cursor: sqlite3.Cursor | None = None
        self._committing = False
        self._crowded = False
        """Whether the last group had several members, or left threads waiting."""

    def submit(self, work: Work[T], *, wakes: bool) -> T:
        """Run ``work`` in a transaction, and return its result once the transaction is committed.

        Raises:
            Closed: The connection was closed before ``work`` ran; a newer `GroupCommit` exists.
            StoreBusy: ``work`` did not run within the timeout.
            StoreUnavailable: The transaction failed.
            Exception: An exception of ``work`` itself, which then changed nothing.
        """
        request = _Request(work, wakes, monotonic() + self._file.busy_timeout_s)
        if self._get_the_lead(request):
            self._lead(request)
        return request.answer()

    def submit_all(self, works: Sequence[tuple[Work[Any], bool]]) -> list[CallOutcome[Any]]:
        """Run several works, each with its ``wakes``, and return their outcomes once they are committed.

        They share a transaction if there are at most 64, and otherwise do not affect each other. Errors are those of
        `submit`.
        """
        deadline = monotonic() + self._file.busy_timeout_s
        requests = [_Request(work, wakes, deadline) for work, wakes in works]
        is_leader = self._join(requests)
        for request in requests:
            if is_leader or self._wait_for_turn(request):
                self._lead(request)
            is_leader = False
        return [request.outcome for request in requests]

    def close(self, wait_s: float) -> bool:
        """Close the connection once it is free, and return whether that happened within ``wait_s``."""
        request = _Request[None](None, wakes=False, deadline=monotonic() + wait_s)
        if self._get_the_lead(request):
            self._lead(request)
        with self._gate:
            self._closed = True
            if not self._led:
                self._forget_connection()
        # If another thread still uses the connection, that thread closes it at its end.
        return not isinstance(request.error, StoreBusy)

    # --- the lead ----------------------------------------------------------------------------------------------------

    def _get_the_lead(self, request: _Request[Any]) -> bool:
        """Wait until this thread leads ``request`` (return True) or ``request`` has a result (return False)."""
        return self._join([request]) or self._wait_for_turn(request)

    def _join(self, requests: Sequence[_Request[Any]]) -> bool:
        """Lead with the first of ``requests`` if there is no leader (return True). Let the others wait."""
        with self._gate:
            is_leader = not self._led
            self._led = True
            for request in requests[1:] if is_leader else requests:
                request.turn = Lock()
                _ = request.turn.acquire()
                self._waiting.append(request)
            return is_leader

    def _wait_for_turn(self, request: _Request[Any]) -> bool:
        """Wait until this thread must lead ``request`` (return True) or ``request`` has a result (return False)."""
        turn = request.turn
        assert turn is not None
        try:
            if not turn.acquire(timeout=max(0.0, request.deadline - monotonic())):
                if self._withdraw(request):
                    request.error = self._busy()
                else:  # it is running, or has just been handed the lead
                    _ = turn.acquire()
        except BaseException:
            # An interrupt (Ctrl-C) in this thread. The other threads must not wait for it to lead.
            if not self._withdraw(request) and request.leads:
                self._hand_on()
            raise
        return request.leads

    def _withdraw(self, request: _Request[Any]) -> bool:
        with self._gate:
            try:
                self._waiting.remove(request)
            except ValueError:
                return False
            return True

    def _let_in(self, group: list[_Request[Any]]) -> bool:
        """Move waiting requests into ``group``, and return whether there were any."""
        with self._gate:
            size = len(group)
            while self._waiting and len(group) < GROUP_MAX and self._waiting[0].work is not None:
                group.append(self._waiting.popleft())
            return len(group) > size

    def _let_in_late(self, group: list[_Request[Any]]) -> bool:
        """Wait a moment for the next work of the threads that were in the last group.

        This pays only where a commit waits for the disk: then two busy threads share each wait instead of taking turns.
        """
        if not (self._crowded and self._file.synchronous == "full"):
            return False
        self._crowded = False
        sleep(0)
        return self._let_in(group)

    def _put_back(self, group: list[_Request[Any]]) -> None:
        """Leave all but the first of ``group`` to the next leader."""
        with self._gate:
            self._waiting.extendleft(reversed(group[1:]))
        del group[1:]

    def _hand_on(self) -> None:
        with self._gate:
            if not self._waiting:
                self._led = False
                if self._closed:
                    self._forget_connection()
                return
            next_leader = self._waiting.popleft()
            next_leader.leads = True
        next_leader.let_go()

    # --- the leader's work ------------------------------------------------------------------------------------------

    def _lead(self, first: _Request[Any]) -> None:
        group = [first]
        try:
            if self._closed:
                first.error = Closed()
            elif first.work is None:
                self._closed = True
                self._forget_connection()
            else:
                while not self._attempt(group):
                    pass  # each round removes one work that failed
        except BaseException:
            # An interrupt in this thread. Uncommitted work has not happened, and the other requests must still be
            # served.
            if not self._has_committed():
                self._roll_back()
                self._put_back(group)
            raise
        finally:
            for request in group[1:]:
                request.let_go()
            self._crowded = len(group) > 1 or bool(self._waiting)
            self._hand_on()

    def _attempt(self, group: list[_Request[Any]]) -> bool:
        """Try to commit ``group``, and requests that join it.

        Return False if nothing has happened yet and the leader must try again.
        """
        self._committing = False
        try:
            cursor = self._begin(group[0].deadline)
            self._run(cursor, group)
            self._committing = True
            _ = cursor.execute("COMMIT")
        except _Halfway as fault:
            self._roll_back()
            fault.request.error = fault.error
            if fault.request is not group[0]:
                group.remove(fault.request)
                self._put_back(group)
                fault.request.let_go()
                return False
            self._put_back(group)
        except Exception as error:  # each one is raised again in its own thread
            self._fail(group, error)
        else:
            if any(request.wakes for request in group):
                self._changed()
        return True

    def _begin(self, deadline: float) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self._file.open(writable=True).cursor()
        cursor = self._cursor
        _ = patiently(lambda: cursor.execute("BEGIN IMMEDIATE"), deadline - monotonic())
        return cursor

    def _run(self, cursor: sqlite3.Cursor, group: list[_Request[Any]]) -> None:
        connection = cursor.connection
        changes = changes_at_first = connection.total_changes
        now = self._clock()
        position = 0
        while position < len(group) or self._let_in(group) or self._let_in_late(group):
            request = group[position]
            position += 1
            if request.work is None:  # closing: `_let_in` keeps further requests out
                continue
            request.error = None  # left by an earlier attempt
            try:
                request.result = request.work(cursor, now)
            except Exception as error:
                if failure(error, "") is not None:
                    raise
                if connection.total_changes != changes:
                    raise _Halfway(request, error) from error
                request.error = error
            changes = connection.total_changes
        if changes != changes_at_first:
            self._housekeeping(cursor, now)

    def _fail(self, group: list[_Request[Any]], error: Exception) -> None:
        """Fail every request of the transaction."""
        # When a COMMIT fails, its pages may still have reached the log, where a recovery would find them.
        outcome: CommitOutcome = "unknown" if self._committing and not is_full(error) else "nothing"
        self._committing = False
        if isinstance(error, StoreUnavailable) or failure(error, "") is None:
            # The file could not be opened, or this is a bug. Only the thread that tried gets the error; the next leader
            # tries again.
            group[0].error = error
            self._put_back(group)
            self._roll_back()
            return
        for request in group:
            # Each request gets its own instance, because they are raised in different threads.
            request.error = failure(error, self._file.source, outcome=outcome, waited_s=self._file.busy_timeout_s)
            if request.error is not None:
                request.error.__cause__ = error
        self._roll_back()
        if not isinstance(group[0].error, StoreBusy):
            self._forget_connection()

    def _has_committed(self) -> bool:
        return self._committing and self._cursor is not None and not self._cursor.connection.in_transaction

    def _roll_back(self) -> None:
        if self._cursor is not None and self._cursor.connection.in_transaction:
            try:
                _ = self._cursor.execute("ROLLBACK")
            except sqlite3.Error:
                self._forget_connection()

    def _forget_connection(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(sqlite3.Error):
                cursor.connection.close()

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"{self._file.source}: other threads kept it busy for {self._file.busy_timeout_s:g} s; nothing was written"
        )
