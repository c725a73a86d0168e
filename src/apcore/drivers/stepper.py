"""Drive one operation step by step.

::

    step = Stepper(op)
    while (effect := step.wants) is not None:
        step.resume(answer)  # or step.fail(error)
    step.result

`run`, `run_async` and the simulator are such loops. An exception of the operation is raised by the call that resumed it
(for its first steps, the constructor), and again by `result`.
"""

from __future__ import annotations

from types import GeneratorType
from typing import Any, Generic, TypeVar

from apcore.effects import CallOutcome, Effect, Op, Raised, Returned
from apcore.errors import ContractError

__all__ = ["Stepper"]

T = TypeVar("T")


class Stepper(Generic[T]):
    """One running operation. Do not use it from several threads at once."""

    __slots__ = ("_op", "_outcome", "wants")

    wants: Effect[Any] | None
    """The effect that the operation waits for; None once it has ended."""

    def __init__(self, op: Op[T], /) -> None:
        """Start ``op``.

        Raises:
            ContractError: ``op`` is not a generator, or was started before.
            Exception: Any exception of the operation before its first effect.
        """
        if not isinstance(op, GeneratorType):
            raise ContractError(f"an operation is a generator, not {op!r:.80}")
        if op.gi_frame is None or op.gi_running or op.gi_suspended:
            raise ContractError(f"{op.__qualname__} was driven before: an operation runs once")
        self._op = op
        self._outcome: CallOutcome[T] | None = None
        self.wants = None
        self._advance(None, None)

    def resume(self, answer: object, /) -> None:
        """Answer the effect in `wants`, and run to the next effect or to the end.

        Raises:
            ContractError: The operation has ended.
            Exception: Any exception of the operation.
        """
        if self._outcome is not None:
            raise _has_ended()
        self._advance(answer, None)

    def fail(self, error: Exception, /) -> None:
        """Throw ``error`` into the operation at its ``yield``; otherwise like `resume`."""
        if self._outcome is not None:
            raise _has_ended()
        self._advance(None, error)

    def close(self) -> None:
        """Close the operation: its ``finally`` blocks run, and must not yield. Closing an ended operation does nothing.

        Raises:
            ContractError: A ``finally`` block yielded an effect.
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
            raise ContractError("the operation yielded an effect while it was being closed") from error

    @property
    def ended(self) -> bool:
        """Return whether the operation has ended and has a `result`."""
        return self._outcome is not None

    @property
    def result(self) -> T:
        """Return the result of the operation.

        Raises:
            ContractError: The operation is still running.
            Exception: The exception of the operation, if it raised one.
        """
        if self._outcome is None:
            raise ContractError(f"the operation has not ended: it waits for {type(self.wants).__name__}")
        if isinstance(self._outcome, Raised):
            raise self._outcome.error
        return self._outcome.value

    def _advance(self, answer: object, error: Exception | None) -> None:
        self.wants = None
        try:
            effect = self._op.send(answer) if error is None else self._op.throw(error)
            if not isinstance(effect, Effect):
                self._op.close()
                message = f"an operation yields effects (`yield from Get(...)`), not {effect!r:.80}"
                raise ContractError(message)  # noqa: TRY301
        except StopIteration as stop:
            self._outcome = Returned(stop.value)
        except Exception as raised:
            self._outcome = Raised(raised)
            raise
        except BaseException as raised:
            # An interrupt or a cancellation is not an outcome, but it does end the operation.
            self._outcome = Raised(ContractError(f"the operation was ended by {type(raised).__name__}"))
            raise
        else:
            self.wants = effect


def _has_ended() -> ContractError:
    return ContractError("the operation has ended: it waits for no answer")
