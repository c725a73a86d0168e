"""Define the observer hook: the source of spans, metrics and recorded sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from apcore.effects import CallOutcome, Effect

__all__ = ["Answered", "EffectPath", "Observer"]

EffectPath: TypeAlias = tuple[int, ...]
"""The position of an effect in a run: its number in the operation, after the positions of the enclosing `All` members
and `Call` effects.

Sorted by position, the effects of a run are the same under every driver, however they overlapped.
"""

Answered: TypeAlias = Callable[[CallOutcome[Any]], None]
"""The callback that an observer returns to receive the outcome of an effect."""


class Observer(Protocol):
    """A function that is called for every effect, in the thread or task that runs it.

    It must not raise, and must not log bodies or secrets.
    """

    def __call__(self, effect: Effect[Any], place: EffectPath, /) -> Answered | None:
        """Observe an effect. A returned callback is called with the outcome, unless the run is cancelled."""
        ...
