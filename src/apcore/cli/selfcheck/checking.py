"""How a step of the self-check says that something does not hold."""

from __future__ import annotations

__all__ = ["StepFailed", "expect"]


class StepFailed(Exception):
    """Something that the kernel promises does not hold here; the message says what."""


def expect(holds: bool, otherwise: str, /) -> None:
    """Fail the step unless ``holds``; ``otherwise`` says in words what was found."""
    if not holds:
        raise StepFailed(otherwise)
