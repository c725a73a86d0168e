"""The one hook around question and answer, from which spans, metrics and recorded sessions are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from apcore.effects import Effect, Outcome

__all__ = ["Answered", "Observer", "Place"]

Place: TypeAlias = tuple[int, ...]
"""Where in a run an effect was asked for: its number in the operation, after the places of the `All` member or `Call` it stands in.

Sorted by place, the effects of a run are the same under every driver, whatever overlapped.
"""

Answered: TypeAlias = Callable[[Outcome[Any]], None]
"""What an observer gives, to be told how a question ended."""


class Observer(Protocol):
    """Told of every effect, in the thread or task that asks. It must not raise, and must not log bodies or secrets."""

    def __call__(self, effect: Effect[Any], place: Place, /) -> Answered | None:
        """Take note of a question; what is returned is called with the outcome (not when the run is cancelled)."""
        ...
