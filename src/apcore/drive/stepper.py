"""`Stepper`: one operation under way, as a machine that anyone can drive.

::

    step = Stepper(op)
    while (effect := step.wants) is not None:
        step.resume(answer)  # or step.fail(error)
    step.result

`run`, `run_async` and the simulator are such loops. An error that the operation raises comes out of the call that drove it there (the
constructor, for its first steps), and again from `result`.
"""

from __future__ import annotations

from types import GeneratorType
from typing import Any, Generic, TypeVar

from apcore.effects import Effect, Op, Outcome, Raised, Returned
from apcore.errors import ContractError

__all__ = ["Stepper"]

T = TypeVar("T")


class Stepper(Generic[T]):
    """One operation under way. Not for several threads at once."""

    __slots__ = ("_op", "_outcome", "wants")

    wants: Effect[Any] | None
    """What the operation asks for now; None when it has ended."""

    def __init__(self, op: Op[T], /) -> None:
        """Start ``op``.

        Raises:
            ContractError: Not a generator, or one that somebody has started or ended before.
            Exception: Whatever the operation raises before its first question.
        """
        if not isinstance(op, GeneratorType):
            raise ContractError(f"an operation is a generator, not {op!r:.80}")
        if op.gi_frame is None or op.gi_running or op.gi_suspended:
            raise ContractError(f"{op.__qualname__} was driven before: an operation runs once")
        self._op = op
        self._outcome: Outcome[T] | None = None
        self.wants = None
        self._advance(None, None)

    def resume(self, answer: object, /) -> None:
        """Give the answer to `wants`, and go on to the next question or to the end.

        Raises:
            ContractError: The operation has ended.
            Exception: Whatever the operation raises.
        """
        self._check_open()
        self._advance(answer, None)

    def fail(self, error: Exception, /) -> None:
        """Throw ``error`` in where the operation asked; else as `resume`."""
        self._check_open()
        self._advance(None, error)

    def close(self) -> None:
        """Give up: the operation's ``finally`` blocks run, and ask for nothing. Closing what has ended does nothing.

        Raises:
            ContractError: A ``finally`` block asked for something.
        """
        if self.wants is None:
            return
        self.wants = None
        self._outcome = Raised(ContractError("the operation was closed before it ended"))
        try:
            self._op.close()
        except RuntimeError as error:
            if "ignored GeneratorExit" not in str(error):
                raise
            raise ContractError("an operation asked for something while it was being closed") from error

    @property
    def ended(self) -> bool:
        """Whether there is a `result`."""
        return self._outcome is not None

    @property
    def result(self) -> T:
        """What the operation returned.

        Raises:
            ContractError: It is still under way.
            Exception: What the operation raised, if it raised.
        """
        if self._outcome is None:
            raise ContractError(f"the operation has not ended: it wants {type(self.wants).__name__}")
        if isinstance(self._outcome, Raised):
            raise self._outcome.error
        return self._outcome.value

    def _check_open(self) -> None:
        if self._outcome is not None:
            raise ContractError("the operation has ended: there is nothing to answer")

    def _advance(self, answer: object, error: Exception | None) -> None:
        self.wants = None
        try:
            wanted = self._op.send(answer) if error is None else self._op.throw(error)
            if not _is_effect(wanted):
                self._op.close()
                raise ContractError(f"an operation yields effects (`yield from Effect(...)`), not {wanted!r:.80}")  # noqa: TRY301
        except StopIteration as stop:
            self._outcome = Returned(stop.value)
        except Exception as raised:
            self._outcome = Raised(raised)
            raise
        except BaseException as raised:
            # Not an outcome (an interrupt, a cancellation), but an end.
            self._outcome = Raised(ContractError(f"the operation was ended by {type(raised).__name__}"))
            raise
        else:
            self.wants = wanted


def _is_effect(wanted: object) -> bool:
    return isinstance(wanted, Effect)
