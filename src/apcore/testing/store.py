"""The conformance suite for `KvStore`: what `apcore.ports.store` says, point by point, for anyone's adapter.

`store_checks` gives the suite, `check_store` runs all of it. How to run it, for event loops too, stands in `apcore.testing.conformance`.

The last check plays random batches against a model that is a plain dict; the others each hold one sentence, and say it when they fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import KvStore
from apcore.testing._store_committing import COMMITTING
from apcore.testing._store_living import FORGETTING, LIVING
from apcore.testing._store_reading import READING
from apcore.testing.conformance import Conformance, ManualClock, conformance
from apcore.testing.store_model import play_store

__all__ = ["check_store", "store_checks"]

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

EXAMPLES: Final = 30
"""Histories that the state machine plays by default."""


def store_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[KvStore], ...]:
    """Give the suite.

    Args:
        moves_clock: Whether the adapter runs by the clock that the factory is given; False leaves out what would need that.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeStore) -> None:
        """Whatever is asked in whatever order, the answers are those of a plain dict."""
        play_store(make, moves_clock=moves_clock, examples=examples)

    runs = (*READING, *COMMITTING, *LIVING, *(FORGETTING if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_store(make: MakeStore, /, *, moves_clock: bool = True, examples: int = EXAMPLES) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in store_checks(moves_clock=moves_clock, examples=examples):
        check(make)
