"""The list of steps, and running one.

Each step stands alone: it gets an empty directory, and answers with a sentence about what it saw. So one that fails leaves the others their say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import field, frozen

from apcore.cli.selfcheck.crashing import survive_a_kill
from apcore.cli.selfcheck.driving import agree_under_every_driver
from apcore.cli.selfcheck.fetching import exchange_on_loopback, refuse_private_addresses
from apcore.cli.selfcheck.storing import keep_facts, wake_a_worker
from apcore.cli.step_results import StepFailed, StepResult, timed

__all__ = ["STEPS", "Step", "StepFailed", "StepResult", "run_step"]


@frozen
class Step:
    """One thing to show."""

    name: str
    says: str
    """What holds if it passes."""
    run: Callable[[Path], str] = field(repr=False)
    """Given an empty directory; answers with what was seen, or raises."""


STEPS: Final = (
    Step("store", "a SQLite file keeps what was committed and refuses stale writes", keep_facts),
    Step("queue", "a message is leased to one worker at a time, and settled by its token", wake_a_worker),
    Step("drivers", "one operation, the same verdict and trace under every driver", agree_under_every_driver),
    Step("http", "one exchange over a socket of this machine", exchange_on_loopback),
    Step("addresses", "a request to a private network is refused before it leaves", refuse_private_addresses),
    Step("crash", "a killed writer loses nothing that was acknowledged", survive_a_kill),
)


def run_step(step: Step, directory: Path, /) -> StepResult:
    """Run ``step`` in an empty ``directory``; whatever it raises makes it a failed one."""
    return timed(step.name, lambda: step.run(directory))
