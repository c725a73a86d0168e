"""The conformance suite for `MessageQueue`: what `apcore.ports.queue` says, point by point, for anyone's adapter.

`queue_checks` gives the suite, `check_queue` runs all of it. How to run it, for event loops too, stands in `apcore.testing.conformance`. For a
queue that is also the store see `apcore.testing.atomic`.

Where the contract leaves room, the suite takes this reading:

- what ran out counts as ready in ``depth``; what a group holds back counts as ready or delayed by its own due time;
- a lease that ran out is not *waiting*, so it does not stand in a newcomer's way, and it is not merged with one either when it is handed out again;
- ``lease`` hands out as many as there are, up to its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import MessageQueue
from apcore.testing._queue_handing_out import HANDING_OUT
from apcore.testing._queue_timing import TIMING
from apcore.testing.conformance import Conformance, ManualClock, conformance
from apcore.testing.queue_model import play_queue

__all__ = ["check_queue", "queue_checks"]

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]

EXAMPLES: Final = 30
"""Histories that the state machine plays by default."""


def queue_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[MessageQueue], ...]:
    """Give the suite.

    Args:
        moves_clock: Whether the adapter runs by the clock that the factory is given; False leaves out what would need that.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeQueue) -> None:
        """Whatever is asked in whatever order, the answers are those of a plain list of messages."""
        play_queue(make, moves_clock=moves_clock, examples=examples)

    runs = (*HANDING_OUT, *(TIMING if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_queue(make: MakeQueue, /, *, moves_clock: bool = True, examples: int = EXAMPLES) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in queue_checks(moves_clock=moves_clock, examples=examples):
        check(make)
