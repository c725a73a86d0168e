"""The list of steps, and running one.

Each step stands alone: it gets an empty directory, and answers with a sentence about what it saw. So one that fails leaves the others their say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final

from attrs import field, frozen

from apcore.cli.selfcheck.checking import StepFailed
from apcore.cli.selfcheck.crashing import survive_a_kill
from apcore.cli.selfcheck.driving import agree_under_every_driver
from apcore.cli.selfcheck.fetching import exchange_on_loopback, refuse_private_addresses
from apcore.cli.selfcheck.storing import keep_facts, wake_a_worker

__all__ = ["STEPS", "Step", "StepFailed", "StepResult", "run_step"]

_log = logging.getLogger(__name__)


@frozen
class Step:
    """One thing to show."""

    name: str
    says: str
    """What holds if it passes."""
    run: Callable[[Path], str] = field(repr=False)
    """Given an empty directory; answers with what was seen, or raises."""


@frozen
class StepResult:
    """What came of a step."""

    name: str
    ok: bool
    detail: str
    """What was seen, or what does not hold."""
    duration_ms: float


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
    started = perf_counter()
    try:
        ok, detail = True, step.run(directory)
    except StepFailed as failed:
        ok, detail = False, str(failed)
    except Exception as error:
        _log.exception("step %s failed", step.name)
        ok, detail = False, f"{type(error).__name__}: {error}"
    return StepResult(step.name, ok, detail, (perf_counter() - started) * 1000)
