# pyright: reportUnusedCallResult=true
"""One run of `Node.work`: leases messages as slots become free, and handles each in a thread.

The calling thread leases, extends the leases of what is under way, and records attempts that take longer than a handler
may. It alone touches the bookkeeping; threads report to it through a queue. A handler that never returns cannot be
ended: its thread is forsaken, up to as many as there are slots, and beyond that it keeps its slot.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import Final, Protocol, TypeVar

from apcore.drivers import Ports, require_port
from apcore.effects import Op
from apcore.errors import Unavailable
from apcore.federation.origins import Origins
from apcore.federation.slots import Job, Slots, WorkerPolicy
from apcore.federation.wake_ups import KINDS
from apcore.federation.worker import extend_leases, hand_back, is_elsewhere, lease_lanes, leave, put_back, reconcile
from apcore.node.binding import WAIT_S, Pace
from apcore.ports import LeasedMessage

__all__ = ["HandlingNode", "SequentialWorker", "ThreadWorker"]

T = TypeVar("T")

_BATCH: Final = 20
_SEQUENTIAL_BATCH: Final = 10
_CALM_S: Final = 1.0
_TICK_S: Final = 1.0
_INTERRUPT_S: Final = 8.0
"""How long an interrupt lets handlers go on."""
_THREADS_MAX: Final = 5_000
_WAITED_S: Final = 4.0
"""Leases that have waited longer in a sequential worker are extended before their message is begun."""
_LOG: Final = logging.getLogger("apcore.node")


class HandlingNode(Protocol):
    """The node as its worker sees it."""

    @property
    def ports(self) -> Ports:
        """The ports."""
        ...

    @property
    def origins(self) -> Origins:
        """The origins that it works for."""
        ...

    @property
    def lanes(self) -> Mapping[str, tuple[str, ...]]:
        """The lanes that it leases from, by kind."""
        ...

    @property
    def all_lanes(self) -> tuple[str, ...]:
        """The lanes that it leases from."""
        ...

    @property
    def worker_policy(self) -> WorkerPolicy:
        """Its slots and limits."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether no more is to be leased."""
        ...

    def run(self, op: Op[T], /) -> T:
        """Drive an operation."""
        ...

    def handle_leased(self, leased: LeasedMessage, /) -> None:
        """Handle one message."""
        ...

    def fail_leased(self, leased: LeasedMessage, /) -> None:
        """Record that the handling of one message took too long."""
        ...


class ThreadWorker:
    """One run of a worker with a thread for each message."""

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
        """What threads have to tell; run by the calling thread."""
        self._forsakes: dict[Job, Callable[[], None]] = {}
        self._dry: set[str] = set()
        """Kinds of which the last lease found fewer than it might have."""
        self._turn = 0
        self._is_watching = self._is_reconciling = False
        self._extended_s = self._now_s()
        self._calm_until_s = -inf
        self._failure: Exception | None = None
        self._handled = 0

    def work(self) -> int:
        """Work until the end that was asked for; answers how many messages were begun."""
        try:
            self._dispatch()
            self._drain(self._grace_s)
        except BaseException:
            self._drain(_INTERRUPT_S if self._grace_s is None else min(_INTERRUPT_S, self._grace_s))
            raise
        finally:
            under_way = [job.leased for job in self._slots.jobs if not job.is_overdue]
            if under_way:
                with suppress(Unavailable):
                    self._node.run(hand_back(under_way))
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
                self._is_reconciling = True
                _ = self._crew.start(self._reconcile)
            self._keep()
            was_idle = self._slots.is_empty and not self._is_reconciling
            try:
                leased = self._lease()
            except Exception as error:
                self._take_failure(error)
                continue
            if leased:
                continue
            if was_idle and self._until_idle and not self._is_calm():
                return
            self._pause()

    def _lease(self) -> int:
        """Lease for each kind that has free slots and may have more messages; answers how many there were."""
        if self._is_calm():
            return 0
        count = 0
        self._turn += 1
        for number in range(len(KINDS)):
            kind = KINDS[(self._turn + number) % len(KINDS)]
            limit = min(self._slots.free(kind, self._now_s()), _BATCH)
            if not limit or (kind in self._dry and not self._slots.is_empty):
                continue
            lanes = self._slots.open_lanes(self._node.lanes[kind], self._now_s())
            if not lanes:
                continue
            leases = self._node.run(lease_lanes(lanes, limit=limit, lease_s=self._policy.lease_s))
            if len(leases) < limit:
                self._dry.add(kind)
            else:
                self._dry.discard(kind)
            count += len(leases)
            for leased in leases:
                self._begin(leased)
        return count

    def _begin(self, leased: LeasedMessage) -> None:
        if is_elsewhere(leased, self._node.origins.has):
            self._slots.avoid(leased, self._now_s())
            self._node.run(leave(leased))
            return
        job = self._slots.begin(leased, self._now_s())
        if isinstance(job, Job):
            self._handled += 1
            self._forsakes[job] = self._crew.start(partial(self._handle, job))
        else:
            self._node.run(put_back(leased, job))

    def _pause(self) -> None:
        """Wait until a slot is free, a message may be due, or a moment has passed."""
        now_s = self._now_s()
        dry = [kind for kind in KINDS if kind in self._dry and self._slots.free(kind, now_s)]
        if len(dry) == len(KINDS) and self._slots.is_empty and not self._is_reconciling and not self._is_watching:
            # Nothing is under way, so there is nobody else to hear from.
            self._queue.wait(self._slots.open_lanes(self._node.all_lanes, now_s), timeout_s=WAIT_S)
            self._dry.clear()
            return
        if dry and not self._is_watching:
            self._is_watching = True
            lanes = [lane for kind in dry for lane in self._slots.open_lanes(self._node.lanes[kind], now_s)]
            _ = self._crew.start(partial(self._watch, dry, lanes))
        pause_s = WAIT_S if len(dry) == len(KINDS) else self._slots.change_s(now_s) + 0.001
        self._listen(min(pause_s, WAIT_S, self._policy.lease_s / 3, self._policy.handler_limit_s / 4))

    def _listen(self, timeout_s: float) -> None:
        """Wait for what threads have to tell, and take it in."""
        if not self._reports:
            self._signal.wait(timeout_s=timeout_s)
        while self._reports:
            self._reports.popleft()()

    def _tell(self, report: Callable[[], None]) -> None:
        self._reports.append(report)
        self._signal.set()

    def _watch(self, kinds: Sequence[str], lanes: Sequence[str]) -> None:
        """Wait for messages of some kinds, and let the dispatcher look. Runs in a thread."""
        failure: Exception | None = None
        try:
            self._queue.wait(lanes, timeout_s=WAIT_S)
        except Exception as error:
            failure = error

        def watched() -> None:
            self._is_watching = False
            self._dry.difference_update(kinds)
            if failure is not None:
                self._take_failure(failure)

        self._tell(watched)

    def _reconcile(self) -> None:
        failure: Exception | None = None
        try:
            _ = self._node.run(reconcile(self._node.origins.has))
        except Exception as error:
            failure = error

        def reconciled() -> None:
            self._is_reconciling = False
            self._dry.clear()
            if failure is not None:
                self._take_failure(failure)

        self._tell(reconciled)

    def _take_failure(self, error: Exception) -> None:
        """End the run by an error, unless messages are under way and the error is a passing one."""
        if isinstance(error, Unavailable) and not self._slots.is_empty:
            _LOG.warning("the queue is looked at again in a moment: %s", error)
            self._calm_until_s = self._now_s() + _CALM_S
        elif self._failure is None:
            self._failure = error

    def _is_calm(self) -> bool:
        return self._now_s() < self._calm_until_s

    # --- what is under way ------------------------------------------------------------------------------------------

    def _handle(self, job: Job) -> None:
        try:
            self._node.handle_leased(job.leased)
        finally:
            self._tell(partial(self._end, job))

    def _end(self, job: Job) -> None:
        self._slots.end(job, self._now_s())
        _ = self._forsakes.pop(job, None)

    def _keep(self) -> None:
        """Take in what was told, extend leases each third of their length, and record what takes too long."""
        while self._reports:
            self._reports.popleft()()
        now_s = self._now_s()
        for job in self._slots.overdue(now_s):
            if self._slots.forsake(job, now_s):
                self._forsakes[job]()
            _ = self._crew.start(partial(self._fail, job))
        if now_s - self._extended_s >= self._policy.lease_s / 3:
            with suppress(Unavailable):
                self._extend()
                self._extended_s = now_s

    def _extend(self) -> None:
        under_way = {job.leased.token: job for job in self._slots.jobs if not job.is_overdue and not job.is_lost}
        leases = [job.leased for job in under_way.values()]
        for leased in self._node.run(extend_leases(leases, lease_s=self._policy.lease_s)):
            job = under_way[leased.token]
            job.is_lost = True
            # It may just have ended; else its commit is refused.
            _LOG.debug("the lease of a message of the lane %r is over", leased.message.lane)

    def _fail(self, job: Job) -> None:
        self._node.fail_leased(job.leased)
        self._tell(self._dry.clear)

    # --- ending -----------------------------------------------------------------------------------------------------

    def _drain(self, grace_s: float | None) -> None:
        """Let what is under way end, within the grace."""
        ends_s = inf if grace_s is None else self._now_s() + grace_s
        while not self._slots.is_empty and self._now_s() < ends_s:
            self._listen(
                min(_TICK_S, self._policy.lease_s / 3, self._policy.handler_limit_s / 4, ends_s - self._now_s())
            )
            self._keep()
        while self._is_reconciling or self._is_watching:
            self._listen(WAIT_S)


class SequentialWorker:
    """One run of a worker that handles one message after another in the calling thread."""

    def __init__(self, node: HandlingNode, *, until_idle: bool, limit_s: float | None) -> None:
        self._node = node
        self._runtime = node.ports.runtime
        self._queue = require_port(node.ports.queue, "queue")
        self._until_idle = until_idle
        self._lease_s = node.worker_policy.lease_s
        self._pace = Pace(self._now_s(), limit_s)
        self._current: LeasedMessage | None = None
        self._is_closing = False

    def work(self) -> int:
        """Work until the end that was asked for; answers how many messages were handled."""
        handled = turn = 0
        with self._kept():
            while not (self._node.is_stopped or self._pace.is_over(self._now_s())):
                if self._pace.is_due(self._now_s()):
                    _ = self._node.run(reconcile(self._node.origins.has))
                kinds = (*KINDS[turn % len(KINDS) :], *KINDS[: turn % len(KINDS)])
                lanes = [lane for kind in kinds for lane in self._node.lanes[kind]]
                leased = self._node.run(lease_lanes(lanes, limit=_SEQUENTIAL_BATCH, lease_s=self._lease_s))
                turn += 1
                handled += self._handle_all(leased)
                if not leased and self._until_idle:
                    break
                if not leased:
                    self._queue.wait(self._node.all_lanes, timeout_s=WAIT_S)
        return handled

    def _now_s(self) -> float:
        return self._runtime.monotonic_s()

    def _handle_all(self, leases: Sequence[LeasedMessage]) -> int:
        """Handle one after another; extend leases that have waited long, and leave lost ones to their new holders.

        Answers how many were handled.
        """
        waiting: list[LeasedMessage] = list(leases)
        since, handled = self._runtime.now(), 0
        while waiting and not self._node.is_stopped:
            now = self._runtime.now()
            if abs((now - since).total_seconds()) > _WAITED_S:
                lost = self._node.run(extend_leases(waiting, lease_s=self._lease_s))
                waiting, since = [leased for leased in waiting if leased not in lost], now
            if waiting:
                self._current = waiting.pop(0)
                self._node.handle_leased(self._current)
                self._current = None
                handled += 1
        if waiting:
            with suppress(Unavailable):
                self._node.run(hand_back(waiting))
        return handled

    @contextmanager
    def _kept(self) -> Generator[None]:
        """Extend the lease of the message that is being handled each third of its length, in a thread."""
        crew, self._signal = self._runtime.crew(1), self._runtime.signal()
        _ = crew.start(self._keep)
        try:
            yield
        finally:
            self._is_closing = True
            self._signal.set()
            crew.close()

    def _keep(self) -> None:
        while not self._is_closing:
            self._signal.wait(timeout_s=self._lease_s / 3)
            current = self._current
            if current is not None and not self._is_closing:
                with suppress(Unavailable):
                    _ = self._node.run(extend_leases([current], lease_s=self._lease_s))
