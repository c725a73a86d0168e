# pyright: reportUnusedCallResult=true
"""Run `Node.work`: lease messages as slots become free, and handle each one in a thread.

The calling thread leases messages, and extends the leases of running ones. It records an attempt as failed if the
handler exceeds its time limit. Only this thread changes the worker's state; the others report to it through a queue.

A handler that never returns cannot be ended, so its thread is abandoned and its slot becomes free. The number of such
handlers is bounded (`apcore.federation.slots`). Beyond it, a handler keeps its slot.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, Protocol, TypeVar

from apcore.drivers import Ports, require_port
from apcore.effects import Op
from apcore.errors import QueueUnavailable, StoreUnavailable, Unavailable
from apcore.federation.origins import Origins
from apcore.federation.reconcile import reconcile
from apcore.federation.slots import Job, Slots, WorkerPolicy
from apcore.federation.worker import extend_leases, hand_back, is_elsewhere, lease_lanes, leave, put_back
from apcore.node.binding import IDLE_PAUSE_S, IDLE_WAIT_S, WAIT_S, BackOff, Pace
from apcore.ports import Crew, LeasedMessage

__all__ = ["HandlingNode", "SequentialWorker", "ThreadWorker"]

T = TypeVar("T")

_BATCH: Final = 20
_SEQUENTIAL_BATCH: Final = 10
_TICK_S: Final = 1.0
_INTERRUPT_S: Final = 8.0
"""How long handlers may go on after an interrupt."""
_THREADS_MAX: Final = 5_000
_WAITED_S: Final = 4.0
"""The age from which a sequential worker extends the leases of waiting messages before it begins one."""
_LOG: Final = logging.getLogger("apcore.node")


class HandlingNode(Protocol):
    """The part of a node that its worker needs."""

    @property
    def ports(self) -> Ports:
        """The ports."""
        ...

    @property
    def origins(self) -> Origins:
        """The origins that the node serves."""
        ...

    @property
    def lanes(self) -> Mapping[str, tuple[str, ...]]:
        """The lanes that the worker leases from, by kind."""
        ...

    @property
    def served_kinds(self) -> tuple[str, ...]:
        """The kinds of work that the worker does."""
        ...

    @property
    def served_lanes(self) -> tuple[str, ...]:
        """The lanes that the worker leases from."""
        ...

    @property
    def worker_policy(self) -> WorkerPolicy:
        """The worker's slots and limits."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether the worker must not lease any more messages."""
        ...

    def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end."""
        ...

    def handle_leased(self, leased: LeasedMessage, /, *, has_ended: Callable[[], bool] | None = None) -> None:
        """Handle one leased message. Once ``has_ended`` returns True, the handler can use no port any more."""
        ...

    def fail_leased(self, leased: LeasedMessage, /) -> None:
        """Record that the handler of one leased message took too long."""
        ...


class ThreadWorker:
    """Run a worker with a thread for each message, once."""

    def __init__(self, node: HandlingNode, *, until_idle: bool, limit_s: float | None, grace_s: float | None) -> None:
        self._node = node
        self._runtime = node.ports.runtime
        self._queue = require_port(node.ports.queue, "queue")
        self._until_idle = until_idle
        self._grace_s = grace_s
        self._policy = node.worker_policy
        self._pace = Pace(self._now_s(), limit_s)
        self._slots = Slots(self._policy)
        self._signal = self._runtime.signal()
        self._crew = self._runtime.crew(_THREADS_MAX)
        self._reports: deque[Callable[[], None]] = deque()
        """Reports from other threads, which the calling thread runs."""
        self._forsakes: dict[Job, Callable[[], None]] = {}
        """Functions that abandon the threads of running messages."""
        self._dry: set[str] = set()
        """Kinds for which the last lease returned fewer messages than its limit."""
        self._turn = 0
        self._is_watching = self._is_reconciling = False
        self._extended_s = self._now_s()
        self._back_off = BackOff()
        self._goes_on = not until_idle and limit_s is None
        """Whether the worker outlasts a store or queue that is away, since only `Node.stop` ends it."""
        self._failure: Exception | None = None
        self._handled = 0
        self._failing: dict[Job, float] = {}
        """Overdue messages whose failure is being recorded, with the time until which the worker waits for that."""
        self._has_ended = False

    def work(self) -> int:
        """Work until the requested end, and return the number of messages begun.

        Handlers that outlive the grace period go on in their threads. They can use no port of the node any more, since
        the owner of the ports may close them now.
        """
        try:
            self._dispatch()
            self._drain(self._grace_s)
        except BaseException:
            self._drain(_INTERRUPT_S if self._grace_s is None else min(_INTERRUPT_S, self._grace_s))
            raise
        finally:
            self._has_ended = True
            running = [job.leased for job in self._slots.jobs if not job.is_overdue]
            if running:
                with suppress(Unavailable):
                    self._node.run(hand_back(running))
            self._crew.close()
        if self._failure is not None:
            raise self._failure
        return self._handled

    def _now_s(self) -> float:
        return self._runtime.monotonic_s()

    # --- leasing ----------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self._failure is None and not (self._node.is_stopped or self._pace.is_over(self._now_s())):
            if not self._is_reconciling and self._pace.is_due(self._now_s()):
                self._is_reconciling = self._try_start(self._reconcile)
            self._keep()
            if self._is_reconciling and self._until_idle:
                # A message leased meanwhile would be enqueued a second time, and its duplicate put back for a second.
                self._pause()
                continue
            was_idle = not self._is_busy() and not self._is_reconciling
            try:
                leased = self._lease()
            except Exception as error:
                self._take_failure(error)
                continue
            if leased:
                continue
            if was_idle and self._until_idle and not self._is_calm():
                return
            try:
                self._pause()
            except Unavailable as error:
                self._take_failure(error)

    def _lease(self) -> int:
        """Lease messages for each kind with free slots that may have more. Return the number of leases."""
        if self._is_calm():
            return 0
        count = 0
        self._turn += 1
        for number in range(len(self._node.served_kinds)):
            kind = self._node.served_kinds[(self._turn + number) % len(self._node.served_kinds)]
            limit = min(self._slots.free(kind, self._now_s()), _BATCH)
            if not limit or (kind in self._dry and (self._is_watching or not self._slots.is_empty)):
                continue
            lanes = self._slots.open_lanes(self._node.lanes[kind], self._now_s())
            if not lanes:
                continue
            leases = self._node.run(lease_lanes(lanes, limit=limit, lease_s=self._policy.lease_s))
            self._back_off.end()
            if len(leases) < limit:
                self._dry.add(kind)
            else:
                self._dry.discard(kind)
            count += len(leases)
            for position, leased in enumerate(leases):
                try:
                    self._begin(leased)
                except Unavailable:
                    with suppress(Unavailable):
                        self._node.run(hand_back(leases[position:]))
                    raise
        return count

    def _begin(self, leased: LeasedMessage) -> None:
        if is_elsewhere(leased, self._node.origins.has):
            self._slots.avoid(leased, self._now_s())
            self._node.run(leave(leased))
            return
        job = self._slots.begin(leased, self._now_s())
        if isinstance(job, Job):
            try:
                self._forsakes[job] = self._crew.start(partial(self._handle, job))
            except Unavailable:
                self._slots.end(job, self._now_s())
                raise
            self._handled += 1
        else:
            self._node.run(put_back(leased, job))

    def _pause(self) -> None:
        """Wait until a slot is free, a message may be due, or `WAIT_S` has passed."""
        now_s = self._now_s()
        if self._is_calm():
            self._run_reports(min(WAIT_S, self._policy.lease_s / 3, self._policy.handler_limit_s / 4))
            return
        dry = [kind for kind in self._node.served_kinds if kind in self._dry and self._slots.free(kind, now_s)]
        if (
            len(dry) == len(self._node.served_kinds)
            and self._slots.is_empty
            and not self._is_reconciling
            and not self._is_watching
        ):
            # No message is running, so no thread can report anything: wait for the queue in this thread.
            self._wait_idle(self._slots.open_lanes(self._node.served_lanes, now_s), now_s)
            self._dry.clear()
            return
        # A worker that ends when idle does not watch: the watch would outlast the work, and the end waits for it.
        if dry and not self._is_watching and not self._until_idle:
            lanes = [lane for kind in dry for lane in self._slots.open_lanes(self._node.lanes[kind], now_s)]
            self._is_watching = self._try_start(partial(self._watch, dry, lanes))
        pause_s = WAIT_S if len(dry) == len(self._node.served_kinds) else self._slots.change_s(now_s) + 0.001
        self._run_reports(min(pause_s, WAIT_S, self._policy.lease_s / 3, self._policy.handler_limit_s / 4))

    def _wait_idle(self, lanes: Sequence[str], began_s: float) -> None:
        """Wait until the queue reports that a message may be due, and look at times whether the work must end."""
        ends_s = began_s + (IDLE_WAIT_S if len(lanes) == len(self._node.served_lanes) else WAIT_S)
        while not self._node.is_stopped and (now_s := self._now_s()) < ends_s and not self._pace.is_over(now_s):
            self._queue.wait(lanes, timeout_s=IDLE_PAUSE_S)
            if self._now_s() - now_s < IDLE_PAUSE_S:  # it ended early: a message may be due
                return

    def _run_reports(self, timeout_s: float) -> None:
        """Wait for reports from other threads, and run them."""
        if not self._reports:
            self._signal.wait(timeout_s=timeout_s)
        while self._reports:
            self._reports.popleft()()

    def _report(self, report: Callable[[], None]) -> None:
        self._reports.append(report)
        self._signal.set()

    def _watch(self, kinds: Sequence[str], lanes: Sequence[str]) -> None:
        """Wait for messages of some kinds, then wake the dispatcher. Runs in a thread."""
        failure: Exception | None = None
        try:
            self._queue.wait(lanes, timeout_s=WAIT_S)
        except Exception as error:
            failure = error

        def end_watch() -> None:
            self._is_watching = False
            self._dry.difference_update(kinds)
            if failure is not None:
                self._take_failure(failure)

        self._report(end_watch)

    def _reconcile(self) -> None:
        failure: Exception | None = None
        try:
            _ = self._node.run(reconcile(self._node.origins.has))
        except Exception as error:
            failure = error

        def end_reconcile() -> None:
            self._is_reconciling = False
            self._dry.clear()
            if failure is not None:
                self._take_failure(failure)

        self._report(end_reconcile)

    def _take_failure(self, error: Exception) -> None:
        """End the run with an error, unless it is a passing one, and the worker goes on or messages are running."""
        passes = isinstance(error, (StoreUnavailable, QueueUnavailable)) and self._goes_on
        if passes or (isinstance(error, Unavailable) and not self._slots.is_empty):
            pause_s = self._back_off.begin(self._now_s())
            _LOG.warning("no message can be leased or begun, the next try follows after %.1f s: %s", pause_s, error)
        elif self._failure is None:
            self._failure = error

    def _try_start(self, job: Callable[[], None]) -> bool:
        """Run a job of the worker's own in a thread, and return whether one could be started."""
        try:
            _ = self._crew.start(job)
        except Unavailable:
            return False
        return True

    def _is_calm(self) -> bool:
        return self._back_off.is_on(self._now_s())

    # --- running messages -------------------------------------------------------------------------------------------

    def _handle(self, job: Job) -> None:
        try:
            self._node.handle_leased(job.leased, has_ended=lambda: self._has_ended)
        finally:
            self._report(partial(self._end, job))

    def _end(self, job: Job) -> None:
        self._slots.end(job, self._now_s())
        _ = self._forsakes.pop(job, None)

    def _keep(self) -> None:
        """Run reports, extend leases once in a third of `lease_s`, and record overdue attempts as failed."""
        while self._reports:
            self._reports.popleft()()
        now_s = self._now_s()
        self._failing = {job: ends_s for job, ends_s in self._failing.items() if now_s < ends_s}
        for job in self._slots.overdue(now_s):
            if self._slots.forsake(job, now_s):
                self._forsakes[job]()
            self._failing[job] = now_s + self._policy.handler_limit_s
            if not self._try_start(partial(self._fail, job)):
                self._fail(job)
        if now_s - self._extended_s >= self._policy.lease_s / 3:
            with suppress(Unavailable):
                self._extend()
                self._extended_s = now_s

    def _extend(self) -> None:
        running = {job.leased.token: job for job in self._slots.jobs if not job.is_overdue and not job.is_lost}
        leases = [job.leased for job in running.values()]
        for leased in self._node.run(extend_leases(leases, lease_s=self._policy.lease_s)):
            job = running[leased.token]
            job.is_lost = True
            # The handler may have just ended. Otherwise its commit is refused, since its lease is not current any more.
            _LOG.debug("the lease of a message of the lane %r has ended", leased.message.lane)

    def _fail(self, job: Job) -> None:
        try:
            self._node.fail_leased(job.leased)
        finally:
            self._report(partial(self._end_failing, job))

    def _end_failing(self, job: Job) -> None:
        _ = self._failing.pop(job, None)
        self._dry.clear()

    # --- ending -----------------------------------------------------------------------------------------------------

    def _drain(self, grace_s: float | None) -> None:
        """Let running handlers finish within the grace period."""
        ends_s = inf if grace_s is None else self._now_s() + grace_s
        while self._is_busy() and self._now_s() < ends_s:
            self._run_reports(
                min(_TICK_S, self._policy.lease_s / 3, self._policy.handler_limit_s / 4, ends_s - self._now_s())
            )
            self._keep()
        while self._is_reconciling or self._is_watching:
            self._run_reports(WAIT_S)

    def _is_busy(self) -> bool:
        """Return whether messages are running, or failures are being recorded within their time limit."""
        return not self._slots.is_empty or bool(self._failing)


class SequentialWorker:
    """Run a worker that handles one message after another in the calling thread, once."""

    def __init__(self, node: HandlingNode, *, until_idle: bool, limit_s: float | None) -> None:
        self._node = node
        self._runtime = node.ports.runtime
        self._queue = require_port(node.ports.queue, "queue")
        self._until_idle = until_idle
        self._lease_s = node.worker_policy.lease_s
        self._pace = Pace(self._now_s(), limit_s)
        self._back_off = BackOff()
        self._goes_on = not until_idle and limit_s is None
        self._current: LeasedMessage | None = None
        self._keeper: Crew | None = None
        self._signal = self._runtime.signal()
        self._is_closing = False

    def work(self) -> int:
        """Work until the requested end, and return the number of messages handled."""
        handled = turn = 0
        try:
            while not (self._node.is_stopped or self._pace.is_over(self._now_s())):
                if self._back_off.is_on(self._now_s()):
                    self._signal.wait(timeout_s=WAIT_S)
                    continue
                try:
                    leased = self._lease(turn)
                    if not leased and not self._until_idle:
                        self._queue.wait(self._node.served_lanes, timeout_s=WAIT_S)
                except (StoreUnavailable, QueueUnavailable) as error:
                    if not self._goes_on:
                        raise
                    pause_s = self._back_off.begin(self._now_s())
                    _LOG.warning("no message can be leased, the next try follows after %.1f s: %s", pause_s, error)
                    continue
                turn += 1
                handled += self._handle_all(leased)
                if not leased and self._until_idle:
                    break
        finally:
            self._end_keeper()
        return handled

    def _lease(self, turn: int) -> Sequence[LeasedMessage]:
        if self._pace.is_due(self._now_s()):
            _ = self._node.run(reconcile(self._node.origins.has))
        served_kinds = self._node.served_kinds
        first = turn % len(served_kinds)
        kinds = (*served_kinds[first:], *served_kinds[:first])
        lanes = [lane for kind in kinds for lane in self._node.lanes[kind]]
        leases = self._node.run(lease_lanes(lanes, limit=_SEQUENTIAL_BATCH, lease_s=self._lease_s))
        self._back_off.end()
        return leases

    def _now_s(self) -> float:
        return self._runtime.monotonic_s()

    def _handle_all(self, leases: Sequence[LeasedMessage]) -> int:
        """Handle leased messages one after another, and return the number of messages handled.

        Leases that have waited long are extended first. A message whose lease is lost is left to its new worker.
        """
        waiting: list[LeasedMessage] = list(leases)
        leased_at, handled = self._runtime.now(), 0
        if waiting:
            self._start_keeper(waiting)
        while waiting and not self._node.is_stopped:
            now = self._runtime.now()
            if abs((now - leased_at).total_seconds()) > _WAITED_S:
                lost_leases = self._node.run(extend_leases(waiting, lease_s=self._lease_s))
                waiting, leased_at = [leased for leased in waiting if leased not in lost_leases], now
            if waiting:
                self._current = waiting.pop(0)
                self._node.handle_leased(self._current)
                self._current = None
                handled += 1
        if waiting:
            with suppress(Unavailable):
                self._node.run(hand_back(waiting))
        return handled

    def _start_keeper(self, waiting: Sequence[LeasedMessage]) -> None:
        """Extend the lease of the current message once in a third of `lease_s`, in a thread.

        The thread starts with the first message, since a look at an idle queue needs none.
        """
        if self._keeper is not None:
            return
        keeper = self._runtime.crew(1)
        try:
            _ = keeper.start(self._keep)
        except Unavailable:
            with suppress(Unavailable):
                self._node.run(hand_back(waiting))
            raise
        self._keeper = keeper

    def _end_keeper(self) -> None:
        self._is_closing = True
        self._signal.set()
        if self._keeper is not None:
            self._keeper.close()

    def _keep(self) -> None:
        while not self._is_closing:
            self._signal.wait(timeout_s=self._lease_s / 3)
            current = self._current
            if current is not None and not self._is_closing:
                with suppress(Unavailable):
                    _ = self._node.run(extend_leases([current], lease_s=self._lease_s))
