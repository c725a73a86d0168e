"""Make effect number N of an operation fail, for N = 1, 2, ... until it passes, so that every failure point is tested.

`inject_failure` wraps an operation, so it works under every driver, and ports need no support for it::

    for sabotage in fault_loop():
        store = MemoryStore()
        with suppress(Unavailable):
            run(inject_failure(deliver(), sabotage), ports(store))
        check_invariants(store)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeVar, cast

from attrs import define, evolve, field

from apcore.drivers import Stepper
from apcore.drivers.effect_table import EFFECT_TABLE, Composite, PortName
from apcore.effects import All, Effect, Op
from apcore.errors import FetchTimedOut, QueueUnavailable, SignerUnavailable, StoreUnavailable, Unavailable

__all__ = ["InjectedFailure", "fault_loop", "inject_failure"]

T = TypeVar("T")

When = Literal["before", "after"]

_PORT_ERRORS: Final[dict[PortName, Callable[[str, When], Unavailable]]] = {
    "transport": lambda message, _: FetchTimedOut(message),
    "signer": lambda message, _: SignerUnavailable(message),
    "queue": lambda message, _: QueueUnavailable(message),
    "store": lambda message, when: StoreUnavailable(message, outcome="nothing" if when == "before" else "unknown"),
}
_ERRORS: Final = {
    kind: _PORT_ERRORS[row.port]
    for kind, row in EFFECT_TABLE.items()
    if not isinstance(row, Composite) and row.port in _PORT_ERRORS
}
"""The effects that can fail, and their errors. `Now`, `RandomBytes`, `Call` and `All` cannot; the members of an `All`
are sabotaged like the whole.
"""


@define
class InjectedFailure:
    """One planned failure, and whether it has happened."""

    number: int
    """The number of the effect that fails, counted among those that can fail, from 1."""
    when: When = "before"
    """``before``: the effect does not happen, and the error says so. ``after``: it happens, and its answer is lost."""
    effect_count: int = field(default=0, init=False)
    """How many effects were made so far, of those that can fail."""
    failed: Effect[Any] | None = field(default=None, init=False)
    """The effect that failed; None if the operation made fewer effects."""


def fault_loop(*, when: When = "before", number_max: int = 1000) -> Iterator[InjectedFailure]:
    """Yield one planned failure after another. The first one that does not happen is the last.

    Raises:
        AssertionError: There was no end after ``number_max``, or a round did not use `inject_failure`.
    """
    for number in range(1, number_max + 1):
        sabotage = InjectedFailure(number, when)
        yield sabotage
        if sabotage.failed is None:
            assert number == 1 or sabotage.effect_count >= 1, (
                f"round {number} made no effect: was inject_failure() used?"
            )
            return
    raise AssertionError(f"the operation asks more than {number_max} questions")


def inject_failure(op: Op[T], sabotage: InjectedFailure) -> Op[T]:
    """Run ``op`` with the planned failure."""
    step = Stepper(op)
    try:
        while (effect := step.wants) is not None:
            planned = _counts(effect, sabotage)
            if planned:
                sabotage.failed = effect
            if planned and sabotage.when == "before":
                step.fail(_error(effect, sabotage))
                continue
            failure: Exception | None = None
            answer: object = None
            try:
                answer = yield from _within(effect, sabotage)
            except Exception as error:
                failure = error
            if planned:
                failure = _error(effect, sabotage)
            if failure is None:
                step.resume(answer)
            else:
                step.fail(failure)
    finally:
        step.close()
    return step.result


def _counts(effect: Effect[Any], sabotage: InjectedFailure) -> bool:
    if type(effect) not in _ERRORS:
        return False
    sabotage.effect_count += 1
    return sabotage.effect_count == sabotage.number


def _within(effect: Effect[Any], sabotage: InjectedFailure) -> Effect[Any]:
    if EFFECT_TABLE[type(effect)] is not Composite.ALL:
        return effect
    group = cast("All", effect)
    return evolve(group, members=tuple(inject_failure(member, sabotage) for member in group.members))


def _error(effect: Effect[Any], sabotage: InjectedFailure) -> Unavailable:
    return _ERRORS[type(effect)](f"sabotage: question {sabotage.number} failed", sabotage.when)
