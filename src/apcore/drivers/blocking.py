"""Drive an operation with blocking ports: `run`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from apcore.drivers.effect_table import EFFECT_TABLE, CallSequence, Composite, PortCall, require_port
from apcore.drivers.observer import EffectPath
from apcore.drivers.outcomes import HandlerRaised, not_awaited, unwrapped
from apcore.drivers.port_bundle import Ports
from apcore.drivers.stepper import Stepper
from apcore.effects import All, Call, CallOutcome, Effect, Op, Raised, Returned
from apcore.errors import ContractError, Unavailable, WorkerEnded
from apcore.handlers import HandlerKind, handler_name

__all__ = ["run"]

T = TypeVar("T")


def run(op: Op[T], ports: Ports, /) -> T:
    """Drive ``op`` to its end and return its result.

    An `Unavailable` of a port is thrown into the operation at its ``yield``. So are a refusal of ``ports.outbound``,
    and `WorkerEnded` once ``ports.has_ended`` returns True. Any other exception of a port is a bug: the operation is
    closed, and the exception reaches the caller. The caller also gets `ContractError` if a port is missing, or if a
    `Call` names a coroutine function.

    Raises:
        Exception: Any exception of the operation.
    """
    return _drive(op, ports, ())


def _drive(op: Op[T], ports: Ports, place: EffectPath) -> T:
    step = Stepper(op)
    has_ended, observed = ports.has_ended, ports.observer is not None
    number = 0
    try:
        while (effect := step.wants) is not None:
            failure: Exception | None = None
            answer: object = None
            try:
                if has_ended is not None and has_ended():
                    raise WorkerEnded("the worker of this operation has ended, so nothing more is done in its thread")
                if observed:
                    answer = _ask_observed(effect, ports, (*place, number))
                elif (kind := type(effect)) in _ANSWERS:
                    answer = _ANSWERS[kind](effect, ports)
                else:
                    answer = _RUNS[kind](effect, ports, (*place, number))
            except HandlerRaised as raised:
                failure = raised.error
            except Unavailable as error:
                failure = error
            # Outside the except clauses, so that a later exception of the operation is not chained to one that it has
            # already caught.
            if failure is None:
                step.resume(answer)
            else:
                step.fail(failure)
            number += 1
    finally:
        step.close()
    return step.result


def _ask(effect: Effect[Any], ports: Ports, place: EffectPath) -> object:
    kind = type(effect)
    return _ANSWERS[kind](effect, ports) if kind in _ANSWERS else _RUNS[kind](effect, ports, place)


def _ask_observed(effect: Effect[Any], ports: Ports, place: EffectPath) -> object:
    observer = require_port(ports.observer, "observer")
    answered = observer(effect, place)
    if answered is None:
        return _ask(effect, ports, place)
    try:
        answer = _ask(effect, ports, place)
    except HandlerRaised as raised:
        answered(Raised(raised.error))
        raise
    except Exception as error:
        answered(Raised(error))
        raise
    answered(Returned(answer))
    return answer


def _make_calls(
    start: Callable[[Any, Ports], Generator[Callable[[], Any], Any, Any]], effect: Effect[Any], ports: Ports
) -> object:
    """Make the calls of a `CallSequence`, and return its answer."""
    calls = start(effect, ports)
    try:
        call = next(calls)
        while True:
            try:
                answer = call()
            except Unavailable as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
    except StopIteration as stop:
        return stop.value


def _call(effect: Call[Any], ports: Ports, place: EffectPath) -> object:
    if effect.handler_kind is HandlerKind.COROUTINE:
        raise ContractError(f"{handler_name(effect.fn)} is a coroutine function, and this driver is blocking")
    try:
        if effect.handler_kind is HandlerKind.OPERATION:
            context_args = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
            return _drive(effect.fn(*context_args, *effect.args), ports, place)
        runs = count()

        def drive(op: Op[Any]) -> Any:
            return _drive(op, ports, (*place, next(runs)))

        context_args = () if effect.contexts_for is None else (effect.contexts_for.blocking(drive),)
        return not_awaited(effect.fn(*context_args, *effect.args), effect.fn)
    except Exception as error:
        raise HandlerRaised(error) from error


def _all(effect: All, ports: Ports, place: EffectPath) -> tuple[CallOutcome[Any], ...]:
    jobs = [partial(_member, member, ports, (*place, index)) for index, member in enumerate(effect.members)]
    return unwrapped(ports.runtime.overlap(jobs, limit=min(effect.limit, ports.overlap_max)))


def _member(op: Op[Any], ports: Ports, place: EffectPath) -> CallOutcome[Any]:
    try:
        return Returned(_drive(op, ports, place))
    except Exception as error:  # `unwrapped` decides, once every member has ended
        return Raised(error)


_COMPOSITES: Final[dict[Composite, Callable[[Any, Ports, EffectPath], object]]] = {
    Composite.CALL: _call,
    Composite.ALL: _all,
}


def _answer_with(row: PortCall | CallSequence) -> Callable[[Any, Ports], object]:
    return row.call if isinstance(row, PortCall) else partial(_make_calls, row.calls)


_ANSWERS: Final = {kind: _answer_with(row) for kind, row in EFFECT_TABLE.items() if not isinstance(row, Composite)}
_RUNS: Final = {kind: _COMPOSITES[row] for kind, row in EFFECT_TABLE.items() if isinstance(row, Composite)}
