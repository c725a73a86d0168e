"""Group commit: threads that write at the same time share one transaction, and so one wait for the disk.

The first thread that comes finds nobody leading, leads, and works at once: alone, it hands nothing to another thread. Who comes while it works
queues up and sleeps. A leader begins an immediate transaction, runs the works of all who wait by then (its own first), commits once, and answers them;
then it hands the lead to the first who came too late.

What one work comes to never touches another's: a work that ends in a refusal has changed nothing, and one that fails half-way (a bug) makes the leader
roll back and begin again without it. Only what befalls the transaction itself (no space, a damaged file) befalls all who were in it.

Nobody is answered before the COMMIT, not even who only read: what was read may be what another in the group wrote.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic, sleep
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from attrs import define

from apcore.adapters.sqlite.failures import failure, is_full
from apcore.adapters.sqlite.files import File, patiently
from apcore.adapters.sqlite.readers import Closed
from apcore.errors import Outcome, StoreBusy, StoreUnavailable

__all__ = ["GroupCommit", "Work"]

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Cursor, float], T]
"""What is done on a cursor, given the store's time. It may be run again from the start if the transaction could not commit."""

_GROUP_MAX: Final = 64


@define(eq=False)
class _Request(Generic[T]):
    """One thread's work, and what became of it."""

    work: Work[T] | None
    """None asks for the connection to be closed."""
    wakes: bool
    deadline: float
    turn: Lock | None = None
    """Held while its thread is to sleep; None while there was no need."""
    leads: bool = False
    result: T | None = None
    error: BaseException | None = None

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)

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
    """The one connection of a process that writes, and who uses it when."""

    def __init__(
        self, file: File, *, clock: Callable[[], float], housekeeping: Work[None], changed: Callable[[], None]
    ) -> None:
        """Open nothing yet.

        Args:
            file: The database.
            clock: The store's time; read once a transaction.
            housekeeping: Run last in each transaction that wrote.
            changed: Called after a transaction with a work that ``wakes``.
        """
        self._file = file
        self._clock = clock
        self._housekeeping = housekeeping
        self._changed = changed
        self._gate = Lock()  # guards the next three, and every request's `leads`
        self._led = False
        self._closed = False
        self._waiting: deque[_Request[Any]] = deque()
        # The rest belongs to whoever leads.
        self._cursor: sqlite3.Cursor | None = None
        self._committing = False
        self._crowded = False
        """Whether the last group was of several, or left somebody waiting."""

    def submit(self, work: Work[T], *, wakes: bool) -> T:
        """Run ``work`` in a transaction, and answer what it answered once that is committed.

        Raises:
            Closed: Nothing was done; there is a newer one of these.
            StoreBusy: Nobody got to it within the timeout.
            StoreUnavailable: The transaction failed.
            Exception: What ``work`` itself raised; then it changed nothing.
        """
        request = _Request(work, wakes, monotonic() + self._file.busy_timeout_s)
        if self._get_the_lead(request):
            self._lead(request)
        return request.answer()

    def close(self, wait_s: float) -> bool:
        """Close the connection as soon as nobody uses it; answers whether that came to be within ``wait_s``."""
        request = _Request[None](None, wakes=False, deadline=monotonic() + wait_s)
        if self._get_the_lead(request):
            self._lead(request)
        with self._gate:
            self._closed = True
            if not self._led:
                self._forget_connection()
        # If somebody still works on it, he closes when he is done.
        return not isinstance(request.error, StoreBusy)

    # --- who leads --------------------------------------------------------------------------------------------------

    def _get_the_lead(self, request: _Request[Any]) -> bool:
        """Wait until ``request`` is to be led by this thread (True) or has been answered (False)."""
        with self._gate:
            if not self._led:
                self._led = True
                return True
            request.turn = turn = Lock()
            _ = turn.acquire()
            self._waiting.append(request)
        try:
            if not turn.acquire(timeout=max(0.0, request.deadline - monotonic())):
                if self._withdraw(request):
                    request.error = self._busy()
                else:  # it is being run, or was handed the lead this moment
                    _ = turn.acquire()
        except BaseException:
            # An interrupt (Ctrl-C) in this thread: the others must not wait for it to lead.
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
        """Let those who wait into ``group``; answers whether there was anyone."""
        with self._gate:
            size = len(group)
            while self._waiting and len(group) < _GROUP_MAX and self._waiting[0].work is not None:
                group.append(self._waiting.popleft())
            return len(group) > size

    def _let_in_late(self, group: list[_Request[Any]]) -> bool:
        """Give the threads of the last group, just answered, one moment to come back with their next work.

        It is well spent only where a commit waits for the disk: then two threads that go on and on share each wait instead of taking turns.
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
            heir = self._waiting.popleft()
            heir.leads = True
        heir.let_go()

    # --- what a leader does -----------------------------------------------------------------------------------------

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
                    pass  # each time round, one work that was at fault has left
        except BaseException:
            # An interrupt in this thread. What was not committed has not happened, and the others are still to be served.
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
        """Try to commit ``group`` and whom it lets in. False: nothing has happened yet, and the first is to be tried again."""
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
        except Exception as error:  # every one is raised again, where it belongs
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
            if request.work is None:  # closing: `_let_in` keeps them out
                continue
            request.error = None  # an earlier attempt's
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
        """Answer what befell the transaction to all who were in it."""
        # When a COMMIT fails, its pages may still have reached the log, where a recovery would find them.
        outcome: Outcome = "unknown" if self._committing and not is_full(error) else "nothing"
        self._committing = False
        if isinstance(error, StoreUnavailable) or failure(error, "") is None:
            # The file could not be opened, or this is a bug: news for the one who tried, and the next leader sees for himself.
            group[0].error = error
            self._put_back(group)
            self._roll_back()
            return
        for request in group:
            # An instance each: they are raised in different threads.
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
