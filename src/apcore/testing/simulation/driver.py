"""Drive operations as processes in virtual time: the fourth driver.

A `Run` is a running operation. It is the same loop over `Stepper` as in the other drivers, cut where they wait. Answers
return through the engine, later, in random order, so the runs of all nodes interleave at every effect. The rules of the
drivers hold here too: an `Unavailable` is thrown in at the ``yield``, as is any exception of a handler; any other
exception of a port is a bug and ends the run.

Commits go through `commit_calls`, so that lost answers are handled as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, Protocol, TypeAlias, cast

from apcore.drivers import EffectPath, Stepper, commit_calls
from apcore.drivers.outcomes import unwrapped
from apcore.effects import (
    All,
    Call,
    CallOutcome,
    Commit,
    DropKey,
    Effect,
    Enqueue,
    Extend,
    Fetch,
    Get,
    Lease,
    MakeKey,
    Now,
    Op,
    Raised,
    RandomBytes,
    Returned,
    Scan,
    Settle,
    Sign,
)
from apcore.errors import Unavailable
from apcore.handlers import HandlerKind, handler_name
from apcore.ports import AtomicStore, KvStore, MessageQueue, Signer
from apcore.testing.simulation.handlers import Asks, Handler, handler_of

__all__ = ["Life", "Run", "Then"]

Then: TypeAlias = Callable[[CallOutcome[Any]], None]
"""The callback for an outcome."""


class Life(Protocol):
    """A node between its start and its crash: its runs and its ports."""

    @property
    def alive(self) -> bool:
        """Return whether the node has not crashed. After a crash, no answer arrives."""
        ...

    @property
    def store(self) -> KvStore | AtomicStore:
        """Return the node's store."""
        ...

    @property
    def queue(self) -> MessageQueue:
        """Return the node's queue, which may be its store."""
        ...

    @property
    def signer(self) -> Signer:
        """Return the node's signer."""
        ...

    def open(self, run: Run | Handler, /) -> int:
        """Register a run or a handler that a crash ends, and return its number."""
        ...

    def closed(self, number: int, /) -> None:
        """Remove one that has ended by itself."""
        ...

    def call(self, kind: type[Effect[Any]], method: str, job: Callable[[], object], then: Then, /) -> None:
        """Call a port. ``job`` runs after a delay, or never, and ``then`` is called after a further delay."""
        ...

    def fetch(self, effect: Fetch, then: Then, /) -> None:
        """Send a request over the simulated network."""
        ...

    def sense(self, effect: Now | RandomBytes, then: Then, /) -> None:
        """Read the node's own clock or randomness."""
        ...

    def soon(self, action: Callable[[], None], /) -> None:
        """Run ``action`` next, from a short stack, unless the node crashes first."""
        ...

    def note(self, line: str, /) -> None:
        """Add ``line`` to the history."""
        ...

    def broke(self, error: BaseException, /) -> None:
        """Report ``error`` as a bug, which ends the simulation."""
        ...


class Run:
    """One running operation of a node. ``then`` is called with its outcome, unless the node crashes first."""

    __slots__ = ("_life", "_name", "_number", "_opened", "_place", "_step", "_then")

    def __init__(self, op: Op[Any], life: Life, name: str, place: EffectPath, then: Then) -> None:
        self._life = life
        self._name = name
        self._place = place
        self._number = 0
        self._then = then
        self._step: Stepper[Any] | None = None
        self._opened = life.open(self)
        try:
            self._step = Stepper(op)
        except Exception as error:
            self._end(Raised(error))
        else:
            self._go_on(self._step)

    def vanish(self) -> None:
        """End the run: the node has crashed."""
        # In reality nothing would run at all. Closing now keeps the interpreter from doing it at another time.
        if self._step is not None:
            self._step.close()

    def _go_on(self, step: Stepper[Any]) -> None:
        effect = step.wants
        if effect is None:
            self._end(Returned(step.result))
            return
        place = (*self._place, self._number)
        self._number += 1
        self._life.note(f"{self._name} {place} {_told(effect)}")
        _ASKS[type(effect)](self, effect, place)

    def _end(self, outcome: CallOutcome[Any]) -> None:
        self._life.closed(self._opened)
        self._life.soon(partial(self._then, outcome))

    def answer(self, place: EffectPath, outcome: CallOutcome[Any], *, by_handler: bool = False) -> None:
        """Continue with the outcome of the effect at ``place``."""
        step = self._step
        if not self._life.alive or step is None:
            return
        self._life.note(f"{self._name} {place} -> {_shown(outcome)}")
        try:
            if isinstance(outcome, Returned):
                step.resume(outcome.value)
            elif by_handler or isinstance(outcome.error, Unavailable):
                step.fail(outcome.error)
            else:
                step.close()
                self._end(outcome)
                return
        except Exception as error:
            self._end(Raised(error))
        else:
            self._go_on(step)

    # --- one method per kind of effect --------------------------------------------------------------------------------

    def fetch(self, effect: Fetch, place: EffectPath) -> None:
        """Use the network."""
        self._life.fetch(effect, partial(self.answer, place))

    def sense(self, effect: Now | RandomBytes, place: EffectPath) -> None:
        """Read the clock, or randomness."""
        self._life.sense(effect, partial(self.answer, place))

    def port(self, effect: Effect[Any], place: EffectPath) -> None:
        """Use the store, the queue or the signer."""
        method, job = _job(effect, self._life)
        self._life.call(type(effect), method, job, partial(self.answer, place))

    def commit(self, effect: Commit, place: EffectPath) -> None:
        """Make the calls of a commit, one after another."""
        calls = commit_calls(effect, self._life.store, self._life.queue)

        def make(call: partial[Any]) -> None:
            self._life.call(Commit, call.func.__name__, call, went)

        def went(outcome: CallOutcome[Any]) -> None:
            if not self._life.alive:
                return
            try:
                if isinstance(outcome, Returned):
                    make(_partial(calls.send(outcome.value)))
                elif isinstance(outcome.error, Unavailable):
                    make(_partial(calls.throw(outcome.error)))
                else:
                    self.answer(place, outcome)
            except StopIteration as stop:
                self.answer(place, Returned(stop.value))
            except Exception as error:
                self.answer(place, Raised(error))

        make(_partial(next(calls)))

    def call(self, effect: Call[Any], place: EffectPath) -> None:
        """Call an application's function of any colour."""
        ended = partial(self.answer, place, by_handler=True)
        try:
            if effect.handler_kind is HandlerKind.OPERATION:
                face = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
                op = effect.fn(*face, *effect.args)
                Run(op, self._life, self._name, place, ended)
                return
            handler = handler_of(effect)
        except Exception as error:  # called with wrong arguments, for example
            self._life.soon(partial(ended, Raised(error)))
            return
        opened = self._life.open(handler)
        runs = count()

        def go_on(answer: CallOutcome[Any] | None) -> None:
            if not self._life.alive:
                return
            try:
                step = handler.go_on(answer)
            except BaseException as error:  # an interrupt inside a handler's thread
                self._life.broke(error)
                return
            if isinstance(step, Asks):
                Run(step.op, self._life, self._name, (*place, next(runs)), go_on)
            else:
                self._life.closed(opened)
                ended(step.outcome)

        go_on(None)

    def all(self, effect: All, place: EffectPath) -> None:
        """Run members concurrently, as many as the effect allows."""
        outcomes: dict[int, CallOutcome[Any]] = {}
        members = iter(enumerate(effect.members))

        def start() -> None:
            for index, member in members:
                Run(member, self._life, self._name, (*place, index), partial(ended, index))
                return

        def ended(index: int, outcome: CallOutcome[Any]) -> None:
            outcomes[index] = outcome
            if len(outcomes) == len(effect.members):
                finish()
            else:
                start()

        def finish() -> None:
            try:
                answer = unwrapped([outcomes[index] for index in range(len(effect.members))])
            except Exception as error:  # a bug of a member
                self.answer(place, Raised(error))
            else:
                self.answer(place, Returned(answer))

        if not effect.members:
            finish()
        for _ in range(min(effect.limit, len(effect.members))):
            start()


def _partial(call: Callable[[], Any]) -> partial[Any]:
    return cast("partial[Any]", call)  # it is a port's method, which names the failing call


def _job(effect: Effect[Any], life: Life) -> tuple[str, Callable[[], object]]:
    """Return the name of the port's method that answers ``effect``, and the call with its arguments."""
    match effect:
        case Get():
            return "get", partial(life.store.get, effect.keys)
        case Scan():
            return "scan", partial(
                life.store.scan, effect.prefix, after=effect.after, limit=effect.limit, reverse=effect.reverse
            )
        case Enqueue():
            return "enqueue", partial(life.queue.enqueue, effect.messages)
        case Lease():
            return "lease", partial(life.queue.lease, effect.lanes, limit=effect.limit, lease_s=effect.lease_s)
        case Extend():
            return "extend", partial(life.queue.extend, effect.leases, lease_s=effect.lease_s)
        case Settle():
            return "settle", partial(life.queue.settle, effect.settlements)
        case Sign():
            return "sign", partial(life.signer.sign, effect.key_name, effect.data)
        case MakeKey():
            return "make_key", partial(life.signer.make_key, effect.kind)
        case DropKey():
            return "drop_key", partial(life.signer.drop_key, effect.key_name)
        case _:
            raise AssertionError(effect)


_ASKS: Final[dict[type[Effect[Any]], Callable[[Run, Any, EffectPath], None]]] = {
    Fetch: Run.fetch,
    Get: Run.port,
    Scan: Run.port,
    Commit: Run.commit,
    Enqueue: Run.port,
    Lease: Run.port,
    Extend: Run.port,
    Settle: Run.port,
    Sign: Run.port,
    MakeKey: Run.port,
    DropKey: Run.port,
    Now: Run.sense,
    RandomBytes: Run.sense,
    Call: Run.call,
    All: Run.all,
}


def _told(effect: Effect[Any]) -> str:
    """Describe an effect for the history, without parts that differ between processes."""
    match effect:
        case Call():
            return f"Call({handler_name(effect.fn)})"
        case All():
            return f"All({len(effect.members)}, limit={effect.limit})"
        case _:
            return repr(effect)


def _shown(outcome: CallOutcome[Any]) -> str:
    if isinstance(outcome, Raised):
        return f"{type(outcome.error).__name__}: {outcome.error}"
    text = repr(outcome.value)
    return type(outcome.value).__name__ if " at 0x" in text else text
