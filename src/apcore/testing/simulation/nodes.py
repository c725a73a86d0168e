"""Simulate a node: its store survives a crash, and everything else is lost.

The ports of a node are simulated here. Each call takes time on the way to the port and on the way back, and meets its
fate in between. A call on its way still happens if the node crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from attrs import define

from apcore.adapters.memory import MemoryStore
from apcore.drivers import Ports, run
from apcore.drivers.effect_table import PORT_OF_METHOD, PortName
from apcore.effects import CallOutcome, Effect, Fetch, Op, Raised, Returned
from apcore.errors import CommitOutcome as Known
from apcore.errors import (
    ContractError,
    QueueUnavailable,
    RemoteError,
    SignerUnavailable,
    StoreUnavailable,
    Unavailable,
)
from apcore.federation.slots import Job, Slots, WorkerPolicy
from apcore.federation.wake_ups import KINDS, lanes_for
from apcore.federation.worker import extend_leases, lease_lanes, put_back
from apcore.http import Request, Response
from apcore.ports import KeyKind, LeasedMessage, MadeKey, Signer
from apcore.testing.simulation.driver import Run, Then
from apcore.testing.simulation.faults import Fate
from apcore.testing.simulation.handlers import Handler

if TYPE_CHECKING:
    from apcore.testing.simulation.world import Simulation

__all__ = ["EPOCH", "Boot", "Process", "SimulatedNode", "SimulatedSigner"]

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time at which simulations begin."""

_PORT_S: Final = 0.002
"""How long a port takes on average, one way."""
_SENSE_S: Final = 0.000_001
"""Clock and randomness take almost no time, but other actions may come in between."""
_SLOW: Final = 100
_BATCH: Final = 10

_ERRORS: Final[dict[PortName, Callable[[str, Known], Unavailable]]] = {
    "store": lambda message, known_outcome: StoreUnavailable(message, outcome=known_outcome),
    "queue": lambda message, _: QueueUnavailable(message),
    "signer": lambda message, _: SignerUnavailable(message),
}
"""The error of each port."""

Boot: TypeAlias = Callable[["SimulatedNode"], None]
"""The start function of a node, called at each start: it sets `serve` and begins loops. A crash loses the objects made
here.
"""


class SimulatedSigner:
    """A signer with signatures that anyone can compute, for histories that need no valid ones."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """Return a digest of name and data."""
        return sha256(key_name.encode() + b"\x00" + data).digest()

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """Return the one key of this kind."""
        return MadeKey(f"simulated {kind}", kind, kind.encode())

    def drop_key(self, key_name: str, /) -> bool:
        """Return False: the keys are never destroyed."""
        del key_name
        return False


@define(eq=False)
class Process:
    """An operation that was started on a node."""

    name: str
    outcome: CallOutcome[Any] | None = None
    """Its outcome; None while it runs, and forever if its node crashed."""


class SimulatedNode:
    """One machine. Made by `Simulation.node`."""

    def __init__(
        self, world: Simulation, origin: str, boot: Boot, *, atomic: bool, signer: Signer | None, skew_s: float
    ) -> None:
        self.origin: Final = origin
        self.store: Final = MemoryStore(clock=self._time)
        self.queue = self.store if atomic else MemoryStore(clock=self._time)
        self.signer: Final[Signer] = SimulatedSigner() if signer is None else signer
        self.serve: Callable[[Request], Op[Response]] | None = None
        """The function that answers requests of other nodes; None refuses connections. Set by the start function, lost
        in a crash.
        """
        self.boots = 0
        self._world = world
        self._boot = boot
        self._skew = timedelta(seconds=skew_s)
        self._life: _Life | None = None
        self._processes = 0

    @property
    def is_up(self) -> bool:
        """Return whether the node runs."""
        return self._life is not None

    def now(self) -> datetime:
        """Return the time by this node's clock."""
        return EPOCH + timedelta(seconds=self._world.engine.now_s) + self._skew

    def seconds(self) -> float:
        """Return the seconds that have passed in the simulation."""
        return self._time()

    def start(self) -> None:
        """Start the node; does nothing if it is up."""
        if self._life is None:
            self._world.engine.note(f"{self.origin} starts")
            self.boots += 1
            self._life = _Life(self, self._world)
            self._boot(self)

    def crash(self) -> None:
        """Crash the node: lose everything except the store and calls on their way to it. Does nothing if it is down."""
        life, self._life, self.serve = self._life, None, None
        if life is None:
            return
        self._world.engine.note(f"{self.origin} crashes")
        life.end()
        random, faults = self._world.engine.random, self._world.faults
        if self.queue is not self.store and random.random() < faults.queue_loss:
            self._world.engine.note(f"{self.origin} loses its queue")
            self.queue = MemoryStore(clock=self._time)

    def spawn(self, op: Op[Any], name: str = "process") -> Process:
        """Run ``op`` as a separate process. Does nothing if the node is down."""
        process = Process(name)

        def ended(outcome: CallOutcome[Any]) -> None:
            process.outcome = outcome
            self._check(outcome)

        self.process(op, name, ended)
        return process

    def loop(self, make: Callable[[], Op[Any]], *, pause_s: float, name: str = "loop") -> None:
        """Run ``make()`` repeatedly until the crash.

        After it returned True, it runs again at once; else, or if it failed, after about ``pause_s``.

        Raises:
            ContractError: The node is down; begin loops in the start function.
        """
        life, engine = self._life, self._world.engine
        if life is None:
            raise ContractError(f"{self.origin} is down: begin loops in its start function")

        def run_next() -> None:
            if life.alive:
                self.process(make(), name, ended)

        def ended(outcome: CallOutcome[Any]) -> None:
            self._check(outcome)
            busy = isinstance(outcome, Returned) and outcome.value is True
            engine.after(_SENSE_S if busy else pause_s * (0.5 + engine.random.random()), run_next)

        engine.after(engine.random.random() * pause_s, run_next)

    def work(
        self,
        handle: Callable[[LeasedMessage], Op[None]],
        *,
        policy: WorkerPolicy = WorkerPolicy(),  # noqa: B008 - immutable
        pause_s: float = 2.0,
    ) -> None:
        """Work until the crash, as a real node does: run a process for each message, and extend its lease meanwhile.

        ``handle`` makes the operation for a leased message. While nothing is due, the queue is asked every ``pause_s``.
        A slow handler is not stopped: in a simulation all of them end.

        Raises:
            ContractError: The node is down; begin workers in the start function.
        """
        slots = Slots(policy)

        def ended(job: Job, outcome: CallOutcome[Any]) -> None:
            slots.end(job, self.seconds())
            self._check(outcome)

        def take() -> Op[bool]:
            count = 0
            for kind in KINDS:
                free = min(slots.free(kind, self.seconds()), _BATCH)
                leases = (yield from lease_lanes(lanes_for(kind), limit=free, lease_s=policy.lease_s)) if free else ()
                for leased in leases:
                    job = slots.begin(leased, self.seconds())
                    if isinstance(job, Job):
                        self.process(handle(leased), "handle", partial(ended, job))
                    else:
                        yield from put_back(leased, job)
                count += len(leases)
            return count > 0

        def extend() -> Op[None]:
            _ = yield from extend_leases([job.leased for job in slots.jobs], lease_s=policy.lease_s)

        self.loop(take, pause_s=pause_s, name="work")
        self.loop(extend, pause_s=policy.lease_s / 3, name="extend")

    def process(self, op: Op[Any], name: str, ended: Then) -> None:
        """Run ``op``, and call ``ended`` with its outcome, unless the node crashes first.

        Does nothing if the node is down.
        """
        self._processes += 1
        if self._life is None:
            op.close()
        else:
            Run(op, self._life, f"{self.origin} {name} #{self._processes}", (), ended)

    def _check(self, outcome: CallOutcome[Any]) -> None:
        if isinstance(outcome, Raised) and not isinstance(outcome.error, (RemoteError, Unavailable)):
            self._world.broke(outcome.error)

    def look(self, op: Op[Any]) -> Any:
        """Run ``op`` on this node's store at this instant, without faults: for laws, and for preparation."""
        return run(op, self.ports())

    def ports(self) -> Ports:
        """Return ports that answer at this instant, without faults."""
        return Ports(runtime=_Instant(self), store=self.store, queue=self.queue, signer=self.signer)

    def random_bytes(self, count: int) -> bytes:
        """Return bytes that depend on the seed."""
        return self._world.engine.random.randbytes(count)

    def _time(self) -> float:
        return self._world.engine.now_s


class _Instant:
    """The runtime of `SimulatedNode.look`: nothing overlaps and nothing takes time."""

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node

    def now(self) -> datetime:
        return self._node.now()

    def random_bytes(self, count: int, /) -> bytes:
        return self._node.random_bytes(count)

    def monotonic_s(self) -> float:
        return self._node.seconds()

    def signal(self) -> NoReturn:
        raise ContractError("nothing waits in a look")

    def crew(self, threads_max: int, /) -> NoReturn:
        raise ContractError(f"nothing runs beside a look, not to speak of {threads_max} threads")

    def overlap(self, jobs: Any, /, *, limit: int) -> Any:  # noqa: ARG002  # one at a time is within any limit
        return [job() for job in jobs]

    def share(self, key: Hashable, job: Callable[[], Any], /) -> Any:  # noqa: ARG002  # nothing is in flight
        return job()


class _Life:
    """A node from one start to the next crash, as `driver.Run` uses it."""

    def __init__(self, node: SimulatedNode, world: Simulation) -> None:
        self.alive = True
        self.ports: Final = node.ports()
        self._node = node
        self._world = world
        self._open: dict[int, Run | Handler] = {}
        self._count = 0
        self._flights: dict[Hashable, list[Then]] = {}

    def open(self, run: Run | Handler, /) -> int:
        self._count += 1
        self._open[self._count] = run
        return self._count

    def closed(self, number: int, /) -> None:
        self._open.pop(number, None)

    def note(self, line: str, /) -> None:
        self._world.engine.note(line)

    def soon(self, action: Callable[[], None], /) -> None:
        def act() -> None:
            if self.alive:
                action()

        self._world.engine.after(0, act)

    def broke(self, error: BaseException, /) -> None:
        self._world.broke(error)

    def end(self) -> None:
        self.alive = False
        while self._open:  # the newest first: members before the runs that wait for them
            self._open.popitem()[1].vanish()

    def sense(self, kind: type[Effect[Any]], job: Callable[[], object], then: Then, /) -> None:
        def happen() -> None:
            if self.alive:
                then(Returned(job()))

        fate = self._fate(kind)
        if fate in (Fate.CRASHED_BEFORE, Fate.CRASHED_AFTER):
            self._world.engine.after(0, self._crash)
        else:
            self._world.engine.after(_SENSE_S * (_SLOW if fate is Fate.SLOW else 1), happen)

    def call(self, kind: type[Effect[Any]], method: str, job: Callable[[], object], then: Then, /) -> None:
        engine = self._world.engine
        delay_s, back = engine.latency_s(_PORT_S), engine.latency_s(_PORT_S)
        fate = self._fate(kind)
        if fate is Fate.SLOW:
            delay_s, back = delay_s * _SLOW, back * _SLOW
        say = partial(_say, method, then)
        if fate is Fate.CRASHED_BEFORE:
            engine.after(0, self._crash)
            return
        if fate is Fate.FAILED:
            engine.after(delay_s + back, partial(say, "did nothing", "nothing"))
            return
        if fate is Fate.LATE:
            engine.after(delay_s, partial(say, "may do it yet", "unknown"))
            delay_s = delay_s + back * _SLOW

        def happen() -> None:
            try:
                outcome: CallOutcome[Any] = Returned(job())
            except Exception as error:
                outcome = Raised(error)
            if fate is Fate.LOST:
                engine.after(back, partial(say, "may have done it", "unknown"))
            elif fate is not Fate.LATE:
                engine.after(back, partial(then, outcome))
            if fate is Fate.CRASHED_AFTER:
                self._crash()

        engine.after(delay_s, happen)

    def fetch(self, effect: Fetch, then: Then, /) -> None:
        fate = self._fate(Fetch)
        if fate is Fate.CRASHED_BEFORE:
            self._world.engine.after(0, self._crash)
            return
        if effect.share is not None:
            joined = self._flights.get(effect.share)
            if joined is not None:
                joined.append(then)
                return
            waiting = self._flights[effect.share] = [then]
            then = partial(self._land, effect.share, waiting)
        self._world.network.send(self._node.origin, effect.request, fate, then)
        if fate is Fate.CRASHED_AFTER:
            self._world.engine.after(_PORT_S, self._crash)

    def _land(self, share: Hashable, waiting: list[Then], outcome: CallOutcome[Any]) -> None:
        del self._flights[share]
        for then in waiting:
            then(outcome)

    def _fate(self, kind: type[Effect[Any]]) -> Fate:
        fate = self._world.faults.fate(kind, self._world.engine.random)
        if fate is not Fate.FINE:
            self.note(f"{self._node.origin} {kind.__name__}: {fate.value}")
        return fate

    def _crash(self) -> None:
        if self.alive:
            self._world.crash(self._node)


def _say(method: str, then: Then, words: str, outcome: Known) -> None:
    then(Raised(_ERRORS[PORT_OF_METHOD[method]](f"simulated: {method} {words}", outcome)))
