"""Drive an operation on an event loop with `run_async`. Only the runtime port knows which event loop library it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from apcore.drivers.effect_table import EFFECT_TABLE, CallSequence, Composite, PortCall, require_port
from apcore.drivers.observer import EffectPath
from apcore.drivers.outcomes import HandlerRaised, not_awaited, unwrapped
from apcore.drivers.port_bundle import AsyncPorts
from apcore.drivers.stepper import Stepper
from apcore.effects import All, Call, CallOutcome, Effect, Op, Raised, Returned
from apcore.errors import Unavailable
from apcore.handlers import HandlerKind

__all__ = ["run_async"]

T = TypeVar("T")


async def run_async(op: Op[T], ports: AsyncPorts, /) -> T:
    """Drive ``op`` to its end and return its result, as `run` does. Cancellation closes the operation."""
    return await _drive(op, ports, ())


async def _drive(op: Op[T], ports: AsyncPorts, place: EffectPath) -> T:
    step = Stepper(op)
    ask = _ask if ports.observer is None else _ask_observed
    number = 0
    try:
        while (effect := step.wants) is not None:
            failure: Exception | None = None
            answer: object = None
            try:
                answer = await ask(effect, ports, (*place, number))
            except HandlerRaised as raised:
                failure = raised.error
            except Unavailable as error:
                failure = error
            if failure is None:
                step.resume(answer)
            else:
                step.fail(failure)
            number += 1
    finally:
        step.close()
    return step.result


def _ask(effect: Effect[Any], ports: AsyncPorts, place: EffectPath) -> Awaitable[object]:
    kind = type(effect)
    return _ANSWERS[kind](effect, ports) if kind in _ANSWERS else _RUNS[kind](effect, ports, place)


async def _ask_observed(effect: Effect[Any], ports: AsyncPorts, place: EffectPath) -> object:
    observer = require_port(ports.observer, "observer")
    answered = observer(effect, place)
    if answered is None:
        return await _ask(effect, ports, place)
    try:
        answer = await _ask(effect, ports, place)
    except HandlerRaised as raised:
        answered(Raised(raised.error))
        raise
    except Exception as error:
        answered(Raised(error))
        raise
    answered(Returned(answer))
    return answer


async def _make_calls(
    start: Callable[[Any, AsyncPorts], Generator[Callable[[], Any], Any, Any]], effect: Effect[Any], ports: AsyncPorts
) -> object:
    """Make the calls of a `CallSequence`, and return its answer."""
    calls = start(effect, ports)
    try:
        call = next(calls)
        while True:
            try:
                answer = await call()
            except Unavailable as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
    except StopIteration as stop:
        return stop.value


async def _at_once(call: Callable[[Any, AsyncPorts], object], effect: Effect[Any], ports: AsyncPorts) -> object:
    """Make a call that never waits."""
    return call(effect, ports)


async def _call(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    try:
        return await _KINDS[effect.handler_kind](effect, ports, place)
    except Exception as error:
        raise HandlerRaised(error) from error


async def _call_operation(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    context_args = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
    return await _drive(effect.fn(*context_args, *effect.args), ports, place)


async def _call_coroutine(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    runs = count()

    def drive(op: Op[Any]) -> Coroutine[Any, Any, Any]:
        return _drive(op, ports, (*place, next(runs)))

    context_args = () if effect.contexts_for is None else (effect.contexts_for.awaiting(drive),)
    return await effect.fn(*context_args, *effect.args)


async def _call_plain(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    runs = count()

    def drive(op: Op[Any]) -> Any:
        return ports.runtime.from_thread(partial(_drive, op, ports, (*place, next(runs))))

    def job() -> CallOutcome[Any]:
        # The future of a thread cannot carry every exception (StopIteration), so it carries an outcome.
        try:
            return Returned(not_awaited(effect.fn(*context_args, *effect.args), effect.fn))
        except Exception as error:
            return Raised(error)

    context_args = () if effect.contexts_for is None else (effect.contexts_for.blocking(drive),)
    outcome = await ports.runtime.thread(job, lane="handler")
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome.value


_KINDS: Final = {
    HandlerKind.OPERATION: _call_operation,
    HandlerKind.COROUTINE: _call_coroutine,
    HandlerKind.PLAIN: _call_plain,
}


async def _all(effect: All, ports: AsyncPorts, place: EffectPath) -> tuple[CallOutcome[Any], ...]:
    jobs = [partial(_member, member, ports, (*place, index)) for index, member in enumerate(effect.members)]
    return unwrapped(await ports.runtime.overlap(jobs, limit=min(effect.limit, ports.overlap_max)))


async def _member(op: Op[Any], ports: AsyncPorts, place: EffectPath) -> CallOutcome[Any]:
    try:
        return Returned(await _drive(op, ports, place))
    except Exception as error:  # `unwrapped` decides, once every member has ended
        return Raised(error)


_COMPOSITES: Final[dict[Composite, Callable[[Any, AsyncPorts, EffectPath], Awaitable[object]]]] = {
    Composite.CALL: _call,
    Composite.ALL: _all,
}


def _answer_with(row: PortCall | CallSequence) -> Callable[[Any, AsyncPorts], Awaitable[object]]:
    if isinstance(row, CallSequence):
        return partial(_make_calls, row.calls)
    return partial(_at_once, row.call) if row.port == "runtime" else row.call


_ANSWERS: Final = {kind: _answer_with(row) for kind, row in EFFECT_TABLE.items() if not isinstance(row, Composite)}
_RUNS: Final = {kind: _COMPOSITES[row] for kind, row in EFFECT_TABLE.items() if isinstance(row, Composite)}
