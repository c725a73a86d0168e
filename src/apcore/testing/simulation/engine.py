"""Run actions in virtual time: a heap of actions, one source of chance, and a digest of the history.

Nothing here waits. Time jumps to the next action, in an order that depends on the seed alone. So a seed and a version
of the code give one history, and `Engine.digest` proves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Final

__all__ = ["Engine", "SimulationFailed"]

_LINES_KEPT: Final = 60


class SimulationFailed(AssertionError):
    """A law did not hold, a bug appeared, or the simulation did not end.

    The message names the seed, which repeats it.
    """


class Engine:
    """The pending actions, the current time and the history."""

    def __init__(self, seed: int, *, steps_max: int) -> None:
        self.seed: Final = seed
        self.random: Final = Random(seed)  # noqa: S311  # a repeatable history is the purpose
        self.now_s = 0.0
        self.steps = 0
        self._steps_max = steps_max
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._hash = blake2b(digest_size=16)
        self._last: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def digest(self) -> str:
        """Return 32 characters that are equal for equal histories."""
        return self._hash.hexdigest()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run ``action`` in ``delay_s`` from now. Actions at the same time run in the order of these calls."""
        self._count += 1
        heappush(self._due, (self.now_s + delay_s, self._count, action))

    def latency_s(self, mean_s: float) -> float:
        """Draw a random duration."""
        return self.random.expovariate(1 / mean_s)

    def note(self, line: str) -> None:
        """Add ``line`` to the history."""
        line = f"{self.now_s:.6f} {line}"
        self._hash.update(line.encode("utf-8", "surrogatepass") + b"\n")
        self._last.append(line)

    def advance(self, until_s: float) -> bool:
        """Run the next action that is due by ``until_s``. If there is none, advance to ``until_s`` and return False."""
        if not self._due or self._due[0][0] > until_s:
            self.now_s = max(self.now_s, until_s)
            return False
        self.steps += 1
        if self.steps > self._steps_max:
            raise self.failure(f"no end after {self._steps_max} steps")
        self.now_s, _, action = heappop(self._due)
        action()
        return True

    def failure(self, problem: str) -> SimulationFailed:
        """Return an error that can be reproduced: with the seed, and the end of the history."""
        last = "\n  ".join(self._last)
        return SimulationFailed(f"seed {self.seed}, at {self.now_s:.3f} s, step {self.steps}: {problem}\n  {last}")
