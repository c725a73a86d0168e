"""Virtual time: a heap of things to do, one source of chance, and a digest of all that happened.

Nothing here waits. Time goes to whatever is due next, in an order that depends on the seed alone; so a seed and a state of the code are one
history, and `Engine.digest` proves it.
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
    """A law did not hold, a bug came up, or there was no end to it. The message names the seed, which repeats it."""


class Engine:
    """What is due, when, and what has happened."""

    def __init__(self, seed: int, *, steps_max: int) -> None:
        self.seed: Final = seed
        self.random: Final = Random(seed)  # noqa: S311  # a repeatable history is the point
        self.now_s = 0.0
        self.steps = 0
        self._steps_max = steps_max
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._hash = blake2b(digest_size=16)
        self._last: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def digest(self) -> str:
        """What happened so far, in 32 characters: equal for equal histories."""
        return self._hash.hexdigest()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do ``action`` in ``delay_s`` from now; what is due at one time is done in the order in which it was asked for."""
        self._count += 1
        heappush(self._due, (self.now_s + delay_s, self._count, action))

    def latency_s(self, mean_s: float) -> float:
        """Draw how long something takes."""
        return self.random.expovariate(1 / mean_s)

    def note(self, line: str) -> None:
        """Enter ``line`` into the history."""
        line = f"{self.now_s:.6f} {line}"
        self._hash.update(line.encode("utf-8", "surrogatepass") + b"\n")
        self._last.append(line)

    def advance(self, until_s: float) -> bool:
        """Do the next thing that is due by ``until_s``; False if there is none, and then it is ``until_s``."""
        if not self._due or self._due[0][0] > until_s:
            self.now_s = max(self.now_s, until_s)
            return False
        self.steps += 1
        if self.steps > self._steps_max:
            raise self.failure(f"no end after {self._steps_max} steps")
        self.now_s, _, action = heappop(self._due)
        action()
        return True

    def failure(self, what: str) -> SimulationFailed:
        """Put ``what`` into words that repeat it: the seed, and the last that happened."""
        last = "\n  ".join(self._last)
        return SimulationFailed(f"seed {self.seed}, at {self.now_s:.3f} s, step {self.steps}: {what}\n  {last}")
