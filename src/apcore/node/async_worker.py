# pyright: reportUnusedCallResult=true
"""Run `AsyncNode.work`: lease messages as slots become free, and handle each one in a task of its own.

The dispatcher leases messages. The keeper extends the leases of running messages, and cancels handlers that exceed
their time limit. The watcher waits for messages while the dispatcher has nothing to lease. `reconcile` has a task of
its own. None of these tasks holds up a message.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, Protocol, TypeVar

from apcore.drivers import AsyncPorts, require_port
from apcore.effects import Op
from apcore.errors import QueueUnavailable, StoreUnavailable, Unavailable
from apcore.federation.origins import Origins
from apcore.federation.reconcile import reconcile
from apcore.federation.slots import Job, Slots, WorkerPolicy
from apcore.federation.worker import extend_leases, hand_back, is_elsewhere, lease_lanes, leave, put_back
from apcore.node.binding import IDLE_PAUSE_S, IDLE_WAIT_S, WAIT_S, BackOff, Pace
from apcore.ports import AsyncNursery, LeasedMessage

__all__ = ["AsyncWorker", "HandlingNode"]

T = TypeVar("T")

_BATCH: Final = 20
"""The number of messages leased at a time. It leaves some for other workers on the same queue."""
_TICK_S: Final = 1.0
_HAND_BACK_S: Final = 5.0
_ABANDON_S: Final = 5.0
"""How long the end of a worker waits for a handler after it was cancelled. A coroutine may swallow the cancellation."""
_LOG: Final = logging.getLogger("apcore.node")


class HandlingNode(Protocol):
    """The part of a node that its worker needs."""

    @property
    def ports(self) -> AsyncPorts:
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
    def worker_policy(self) -> WorkerPolicy:
        """The worker's slots and limits."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether the worker must not lease any more messages."""
        ...

    async def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end."""
        ...

    async def handle_leased(self, leased: LeasedMessage, /) -> None:
        """Handle one leased message."""
        ...

    async def fail_leased(self, leased: LeasedMessage, /) -> None:
        """Record that the handler of one leased message took too long."""
        ...


class AsyncWorker:
    """Run a worker on an event loop, once."""

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
        self._cancels: dict[Job, Callable[[], None]] = {}
        """Functions that cancel the handling of messages, for each that has not ended."""
        self._started: set[Job] = set()
        """The jobs that have begun to run. A task that is cancelled before it starts runs nothing at all."""
        self._failing: dict[Job, tuple[Callable[[], None], float]] = {}
        """Overdue messages whose failure is being recorded: a function that cancels the recording, and its deadline."""
        self._task_cancels: dict[object, Callable[[], None]] = {}
        """Functions that cancel the tasks of the worker itself, for each that has not ended."""
        self._dry: set[str] = set()
        """Kinds for which the last lease returned fewer messages than its limit."""
        self._turn = 0
        self._is_watching = self._is_reconciling = False
        self._back_off = BackOff()
        self._goes_on = not until_idle and limit_s is None
        """Whether the worker outlasts a store or queue that is away, since only `Node.stop` ends it."""
        self._failure: Exception | None = None
        self._cancelled_leases: list[LeasedMessage] = []
        """Messages whose handlers were cancelled, and whose leases are handed back."""
        self._handled = 0

    async def work(self) -> int:
        """Work until the requested end, and return the number of messages begun."""
        try:
            async with self._runtime.nursery() as nursery:
                try:
                    self._start_task(nursery, self._keep)
                    await self._dispatch(nursery)
                    await self._drain()
                finally:
                    for cancel in list(self._task_cancels.values()):
                        cancel()
        finally:
            self._leave_jobs()
            if self._cancelled_leases:
                await self._runtime.finish(self._hand_back, within_s=_HAND_BACK_S)
        if self._failure is not None:
            raise self._failure
        return self._handled

    def _now_s(self) -> float:
        return self._runtime.monotonic_s()

    # --- leasing ----------------------------------------------------------------------------------------------------

    async def _dispatch(self, nursery: AsyncNursery) -> None:
        while self._failure is None and not (self._node.is_stopped or self._pace.is_over(self._now_s())):
            if not self._is_reconciling and self._pace.is_due(self._now_s()):
                self._is_reconciling = True
                self._start_task(nursery, self._reconcile)
            if self._is_reconciling and self._until_idle:
                # A message leased meanwhile would be enqueued a second time, and its duplicate put back for a second.
                await self._pause(nursery)
                continue
            was_idle = self._slots.is_empty and not self._is_reconciling
            try:
                leased = await self._lease(nursery)
            except Exception as error:
                self._take_failure(error)
                continue
            if leased:
                continue
            if was_idle and self._until_idle and not self._is_calm():
                return
            await self._pause(nursery)

    async def _lease(self, nursery: AsyncNursery) -> int:
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
            leases = await self._node.run(lease_lanes(lanes, limit=limit, lease_s=self._policy.lease_s))
            self._back_off.end()
            if len(leases) < limit:
                self._dry.add(kind)
            else:
                self._dry.discard(kind)
            count += len(leases)
            for leased in leases:
                await self._begin(nursery, leased)
        return count

    async def _begin(self, nursery: AsyncNursery, leased: LeasedMessage) -> None:
        if is_elsewhere(leased, self._node.origins.has):
            self._slots.avoid(leased, self._now_s())
            await self._node.run(leave(leased))
            return
        job = self._slots.begin(leased, self._now_s())
        if isinstance(job, Job):
            self._handled += 1
            self._cancels[job] = nursery.start(partial(self._handle, job), abandon_after_s=_ABANDON_S)
        else:
            await self._node.run(put_back(leased, job))

    async def _pause(self, nursery: AsyncNursery) -> None:
        """Wait until a slot is free, a message may be due, or `WAIT_S` has passed."""
        now_s = self._now_s()
        if self._is_calm():
            await self._signal.wait(timeout_s=WAIT_S)
            return
        dry = [kind for kind in self._node.served_kinds if kind in self._dry and self._slots.free(kind, now_s)]
        # A worker that ends when idle does not watch: the watch would outlast the work, and the end waits for it.
        if dry and not self._is_watching and not self._until_idle:
            self._is_watching = True
            self._start_task(nursery, partial(self._watch, dry))
        if len(dry) < len(self._node.served_kinds):
            pause_s = min(WAIT_S, self._slots.change_s(now_s) + 0.001)
        else:
            pause_s = IDLE_PAUSE_S if self._slots.is_empty and self._is_watching else WAIT_S
        await self._signal.wait(timeout_s=pause_s)

    async def _watch(self, kinds: Sequence[str]) -> None:
        """Wait for messages of some kinds, then wake the dispatcher."""
        try:
            all_lanes = [lane for kind in kinds for lane in self._node.lanes[kind]]
            lanes = self._slots.open_lanes(all_lanes, self._now_s())
            # While nothing is running, no other kind can run dry, so the next message of any kind ends the watch.
            is_idle = (
                self._slots.is_empty and len(kinds) == len(self._node.served_kinds) and len(lanes) == len(all_lanes)
            )
            await self._queue.wait(lanes, timeout_s=IDLE_WAIT_S if is_idle else WAIT_S)
        except Exception as error:
            self._take_failure(error)
        finally:
            self._is_watching = False
            self._dry.difference_update(kinds)
            self._signal.set()

    async def _reconcile(self) -> None:
        try:
            _ = await self._node.run(reconcile(self._node.origins.has))
        except Exception as error:
            self._take_failure(error)
        finally:
            self._is_reconciling = False
            self._dry.clear()
            self._signal.set()

    def _start_task(self, nursery: AsyncNursery, job: Callable[[], Awaitable[None]]) -> None:
        """Start a task that is cancelled when the worker ends: the keeper, a watcher or a `reconcile`."""
        key = object()

        async def run() -> None:
            try:
                await job()
            finally:
                _ = self._task_cancels.pop(key, None)

        self._task_cancels[key] = nursery.start(run)

    def _take_failure(self, error: Exception) -> None:
        """End the run with an error, unless it is a passing one, and the worker goes on or messages are running."""
        passes = isinstance(error, (StoreUnavailable, QueueUnavailable)) and self._goes_on
        if passes or (isinstance(error, Unavailable) and not self._slots.is_empty):
            pause_s = self._back_off.begin(self._now_s())
            _LOG.warning("no message can be leased or begun, the next try follows after %.1f s: %s", pause_s, error)
        elif self._failure is None:
            self._failure = error

    def _is_calm(self) -> bool:
        return self._back_off.is_on(self._now_s())

    # --- running messages -------------------------------------------------------------------------------------------

    async def _handle(self, job: Job) -> None:
        self._started.add(job)
        try:
            await self._node.handle_leased(job.leased)
        except BaseException:
            if not (job.is_overdue or job.is_lost):
                self._cancelled_leases.append(job.leased)
            raise
        finally:
            self._slots.end(job, self._now_s())
            self._started.discard(job)
            _ = self._cancels.pop(job, None)
            self._signal.set()

    async def _keep(self) -> None:
        """Extend the leases of running messages once in a third of `lease_s`, and cancel overdue handlers."""
        policy, signal = self._policy, self._runtime.signal()
        third_s = policy.lease_s / 3
        extended_s = self._now_s()
        async with self._runtime.nursery() as nursery:
            while True:
                await signal.wait(timeout_s=min(third_s, policy.handler_limit_s / 4, _TICK_S))
                now_s = self._now_s()
                for job in self._slots.overdue(now_s):
                    _ = self._slots.forsake(job, now_s)
                    cancel_recording = nursery.start(partial(self._fail, job), abandon_after_s=_ABANDON_S)
                    self._failing[job] = (cancel_recording, now_s + policy.handler_limit_s)
                for cancel_recording, ends_s in list(self._failing.values()):
                    if now_s >= ends_s:  # the error handler hangs too
                        cancel_recording()
                if now_s - extended_s >= third_s:
                    with suppress(Unavailable):
                        await self._extend()
                        extended_s = now_s

    async def _extend(self) -> None:
        running = {job.leased.token: job for job in self._slots.jobs if not job.is_overdue}
        for leased in await self._node.run(
            extend_leases([job.leased for job in running.values()], lease_s=self._policy.lease_s)
        ):
            job = running[leased.token]
            cancel = self._cancels.get(job)
            if cancel is not None:
                _LOG.warning(
                    "another worker has leased a message of the lane %r: its handler is cancelled here",
                    leased.message.lane,
                )
                job.is_lost = True
                cancel()

    async def _fail(self, job: Job) -> None:
        """Record a failed attempt, then cancel its handler. In this order the recorded failure decides the outcome."""
        try:
            await self._node.fail_leased(job.leased)
        finally:
            _ = self._failing.pop(job, None)
            cancel = self._cancels.get(job)
            if cancel is not None:
                cancel()
            self._dry.clear()
            self._signal.set()

    # --- ending -----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let running handlers finish within the grace period, then cancel the others."""
        ends_s = inf if self._grace_s is None else self._now_s() + self._grace_s
        while not self._slots.is_empty and self._now_s() < ends_s:
            await self._signal.wait(timeout_s=min(WAIT_S, ends_s - self._now_s()))
        for cancel in list(self._cancels.values()):
            cancel()

    async def _hand_back(self) -> None:
        with suppress(Unavailable):
            await self._node.run(hand_back(self._cancelled_leases))

    def _leave_jobs(self) -> None:
        """Log the handlers that are abandoned, and hand back the messages that were never begun."""
        for job in self._cancels:
            if job not in self._started:
                self._cancelled_leases.append(job.leased)
                continue
            _LOG.error(
                "a handler of the lane %r has not ended within %g s of its cancellation, and is abandoned: does it "
                "catch CancelledError? Its message is handled again when the lease ends, after %g s at most",
                *(job.leased.message.lane, _ABANDON_S, self._policy.lease_s),
            )
