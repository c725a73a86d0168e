"""Define the list of steps, and run a step.

The steps are independent. Each gets an empty directory, and returns a sentence about its observation. So the others
still run after one fails.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import field, frozen

from apcore.cli.selfcheck.crashing import survive_a_kill
from apcore.cli.selfcheck.driving import agree_under_every_driver
from apcore.cli.selfcheck.fetching import exchange_on_loopback, refuse_private_addresses
from apcore.cli.selfcheck.storing import keep_entries, lease_and_settle
from apcore.cli.step_results import StepFailed, StepResult, run_timed

__all__ = ["STEPS", "Step", "StepFailed", "StepResult", "run_step"]


@frozen
class Step:
    """One step of the self-check."""

    name: str
    claim: str
    """The statement that the step checks."""
    run: Callable[[Path], str] = field(repr=False)
    """The function of the step. It gets an empty directory, and returns its observation or raises an exception."""


STEPS: Final = (
    Step("store", "a SQLite file keeps committed entries and refuses stale writes", keep_entries),
    Step("queue", "a message is leased to one worker at a time, and settled by its token", lease_and_settle),
    Step("drivers", "one operation has the same result and trace under every driver", agree_under_every_driver),
    Step("http", "one HTTP exchange over a socket of this machine works", exchange_on_loopback),
    Step("addresses", "a request to a private network is refused before it leaves", refuse_private_addresses),
    Step("crash", "a killed writer loses no acknowledged commit", survive_a_kill),
)


def run_step(step: Step, directory: Path, /) -> StepResult:
    """Run ``step`` in an empty ``directory``. Any exception fails the step."""
    return run_timed(step.name, lambda: step.run(directory))
