"""Drive operations as processes in virtual time: the fourth driver.

A `Run` is a running operation. It is the same loop over `Stepper` as in the other drivers, cut where they wait. Answers
return through the engine, later, in random order, so the runs of all nodes interleave at every effect. The rules of the
drivers hold here too: an `Unavailable` is thrown in at the ``yield``, as is any exception of a handler; any other
exception of a port is a bug and ends the run.

The effects are answered by the table of all drivers, so that lost answers are handled as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, Protocol, TypeAlias, cast

from apcore.drivers import EffectPath, Ports, Stepper
from apcore.drivers.effect_table import EFFECT_TABLE, CallSequence, Composite, PortCall
from apcore.drivers.outcomes import unwrapped
from apcore.effects import All, Call, CallOutcome, Effect, Fetch, Op, Raised, Returned
from apcore.errors import Unavailable
from apcore.handlers import HandlerKind
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
    def ports(self) -> Ports:
        """Return the ports of the node. Their calls take no time; `call` and `sense` delay them."""
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

    def sense(self, kind: type[Effect[Any]], job: Callable[[], object], then: Then, /) -> None:
        """Read the node's own clock or randomness by ``job``."""
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
        self._life.note(f"{self._name} {place} {effect.summary()}")
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

    # --- one method for each way to an answer -------------------------------------------------------------------------

    def call_transport(self, effect: Any, place: EffectPath) -> None:
        """Send a request over the simulated network."""
        self._life.fetch(effect, partial(self.answer, place))

    def call_runtime(self, effect: Effect[Any], place: EffectPath, *, row: PortCall) -> None:
        """Read the clock, or randomness."""
        self._life.sense(type(effect), partial(row.call, effect, self._life.ports), partial(self.answer, place))

    def call_port(self, effect: Effect[Any], place: EffectPath, *, row: PortCall) -> None:
        """Use the store, the queue or the signer."""
        job = partial(row.call, effect, self._life.ports)
        self._life.call(type(effect), row.method, job, partial(self.answer, place))

    def make_calls(self, effect: Effect[Any], place: EffectPath, *, row: CallSequence) -> None:
        """Make the calls of a sequence, one after another."""
        calls = row.calls(effect, self._life.ports)

        def advance(step: Callable[[], Callable[[], Any]]) -> None:
            try:
                call = cast("partial[Any]", step())  # it is a port's method, which names the failing call
            except StopIteration as stop:
                self.answer(place, Returned(stop.value))
            except Exception as error:
                self.answer(place, Raised(error))
            else:
                self._life.call(type(effect), call.func.__name__, call, take_answer)

        def take_answer(outcome: CallOutcome[Any]) -> None:
            if not self._life.alive:
                return
            if isinstance(outcome, Returned):
                advance(partial(calls.send, outcome.value))
            elif isinstance(outcome.error, Unavailable):
                advance(partial(calls.throw, outcome.error))
            else:
                self.answer(place, outcome)

        advance(partial(next, calls))

    def call(self, effect: Call[Any], place: EffectPath) -> None:
        """Call an application's function of any kind."""
        ended = partial(self.answer, place, by_handler=True)
        try:
            if effect.handler_kind is HandlerKind.OPERATION:
                context_args = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
                op = effect.fn(*context_args, *effect.args)
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


_COMPOSITES: Final[dict[Composite, Callable[[Run, Any, EffectPath], None]]] = {
    Composite.CALL: Run.call,
    Composite.ALL: Run.all,
}


def _ask_with(row: PortCall | CallSequence | Composite) -> Callable[[Run, Any, EffectPath], None]:
    """Return the method of `Run` that gets the answer which a row of the table describes."""
    if isinstance(row, Composite):
        return _COMPOSITES[row]
    if row.port == "transport":
        return Run.call_transport  # the simulated network, without the guard of a node
    if isinstance(row, CallSequence):
        return partial(Run.make_calls, row=row)
    return partial(Run.call_runtime if row.port == "runtime" else Run.call_port, row=row)


_ASKS: Final = {kind: _ask_with(row) for kind, row in EFFECT_TABLE.items()}


def _shown(outcome: CallOutcome[Any]) -> str:
    if isinstance(outcome, Raised):
        return f"{type(outcome.error).__name__}: {outcome.error}"
    text = repr(outcome.value)
    return type(outcome.value).__name__ if " at 0x" in text else text
