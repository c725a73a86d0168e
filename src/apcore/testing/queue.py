"""Test a `MessageQueue` against the contract in `apcore.ports.queue`, point by point.

`queue_checks` returns the suite, `check_queue` runs all of it. `apcore.testing.conformance` explains how to run it,
also for event loops. For a queue that is also the store, see `apcore.testing.atomic`.

Where the contract is open, the suite assumes this:

- A message with an expired lease counts as ready in ``depth``. A message behind its group's head counts as ready or
  delayed by its own due time.
- A message with an expired lease is not *waiting*, so it does not block a new one, and it is not merged with one when
  it is leased again.
- ``lease`` returns as many messages as there are, up to its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import MessageQueue
from apcore.testing._queue_leases import HANDING_OUT
from apcore.testing._queue_times import TIMING
from apcore.testing.conformance import Conformance, ManualClock, conformance
from apcore.testing.queue_model import play_queue

__all__ = ["check_queue", "queue_checks"]

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]

EXAMPLES: Final = 30
"""The number of histories that the state machine plays by default."""


def queue_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[MessageQueue], ...]:
    """Return the suite.

    Args:
        moves_clock: Whether the adapter uses the clock of the factory. False leaves out the checks that need it.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeQueue) -> None:
        """In any sequence of calls, the results are those of a plain list of messages."""
        play_queue(make, moves_clock=moves_clock, examples=examples)

    runs = (*HANDING_OUT, *(TIMING if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_queue(make: MakeQueue, /, *, moves_clock: bool = True, examples: int = EXAMPLES) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in queue_checks(moves_clock=moves_clock, examples=examples):
        check(make)
