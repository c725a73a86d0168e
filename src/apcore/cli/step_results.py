"""Run the steps of the demo, and record their results."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

from attrs import frozen

__all__ = ["StepFailed", "StepResult", "expect", "run_timed"]

_LOG: Final = logging.getLogger(__name__)


class StepFailed(Exception):
    """A step has found that a promise of apcore does not hold. The message describes the difference."""


@frozen
class StepResult:
    """The result of a step."""

    name: str
    ok: bool
    detail: str
    """The observation, or the reason of the failure."""
    duration_ms: float


def expect(holds: bool, failure: str, /) -> None:
    """Raise `StepFailed` with the message ``failure`` unless ``holds``."""
    if not holds:
        raise StepFailed(failure)


def run_timed(name: str, run: Callable[[], str], /) -> StepResult:
    """Run a step, and measure its time. ``run`` returns its observation; any exception fails the step."""
    start_s = perf_counter()
    try:
        ok, detail = True, run()
    except StepFailed as failure:
        ok, detail = False, str(failure)
    except Exception as error:
        _LOG.exception("step %s failed", name)
        ok, detail = False, f"{type(error).__name__}: {error}"
    return StepResult(name, ok, detail, (perf_counter() - start_s) * 1000)
