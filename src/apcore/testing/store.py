"""Test a `KvStore` against the contract in `apcore.ports.store`, point by point.

`store_checks` returns the suite, `check_store` runs all of it. `apcore.testing.conformance` explains how to run it,
also for event loops.

The last check plays random batches against a model, which is a plain dict. Every other check tests one rule, which
`Conformance.says` has in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import KvStore
from apcore.testing._store_commits import COMMITTING
from apcore.testing._store_lifecycle import FORGETTING, LIVING
from apcore.testing._store_reads import READING
from apcore.testing.conformance import Conformance, ManualClock, conformance
from apcore.testing.store_model import play_store

__all__ = ["check_store", "store_checks"]

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

EXAMPLES: Final = 30
"""The number of histories that the state machine plays by default."""


def store_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[KvStore], ...]:
    """Return the suite.

    Args:
        moves_clock: Whether the adapter uses the clock of the factory. False leaves out the checks that need it.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeStore) -> None:
        """In any sequence of calls, the results are those of a plain dict."""
        play_store(make, moves_clock=moves_clock, examples=examples)

    runs = (*READING, *COMMITTING, *LIVING, *(FORGETTING if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_store(make: MakeStore, /, *, moves_clock: bool = True, examples: int = EXAMPLES) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in store_checks(moves_clock=moves_clock, examples=examples):
        check(make)
