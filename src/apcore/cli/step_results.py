"""Steps that hold or do not: how one says so, and what came of it. The self-check and the demo are made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

from attrs import frozen

__all__ = ["StepFailed", "StepResult", "expect", "timed"]

_LOG: Final = logging.getLogger(__name__)


class StepFailed(Exception):
    """Something that apcore promises does not hold here; the message says what."""


@frozen
class StepResult:
    """What came of a step."""

    name: str
    ok: bool
    detail: str
    """What was seen, or what does not hold."""
    duration_ms: float


def expect(holds: bool, otherwise: str, /) -> None:
    """Fail the step unless ``holds``; ``otherwise`` says in words what was found."""
    if not holds:
        raise StepFailed(otherwise)


def timed(name: str, run: Callable[[], str], /) -> StepResult:
    """Run a step, which answers with a sentence about what it saw; whatever it raises makes it a failed one."""
    started = perf_counter()
    try:
        ok, detail = True, run()
    except StepFailed as failed:
        ok, detail = False, str(failed)
    except Exception as error:
        _LOG.exception("step %s failed", name)
        ok, detail = False, f"{type(error).__name__}: {error}"
    return StepResult(name, ok, detail, (perf_counter() - started) * 1000)
