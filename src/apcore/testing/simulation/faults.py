"""What may go wrong in a simulation, and how often.

Each question of an operation meets a `Fate`, drawn by the odds of its kind. Some kinds of fault are switched off in each run (`swarm`): a world
in which everything goes wrong a little hides the faults that need something else to go right for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from apcore.effects import Commit, DropKey, Effect, Enqueue, Extend, Fetch, Get, Lease, MakeKey, Scan, Settle, Sign

__all__ = ["Fate", "Faults", "Kind", "Odds", "swarm"]

Kind: TypeAlias = type[Effect[Any]]
"""A kind of question."""

_FALLIBLE: Final[tuple[Kind, ...]] = (Fetch, Get, Scan, Commit, Enqueue, Lease, Extend, Settle, Sign, MakeKey, DropKey)
"""Clock and randomness do not fail (but a node may die as it looks at the clock); `Call` and `All` have the fates of their parts."""


class Fate(Enum):
    """What becomes of one question."""

    FINE = "fine"
    FAILED = "failed"
    """It did not happen, and the asker is told so."""
    LOST = "lost"
    """It happened; its answer was lost."""
    LATE = "late"
    """The asker is told that nobody knows; it happens after that."""
    TWICE = "twice"
    """The network delivers it twice. Only for `Fetch`."""
    SLOW = "slow"
    """It takes a hundred times as long."""
    CRASHED_BEFORE = "crashed-before"
    """The asker's node dies before it happens."""
    CRASHED_AFTER = "crashed-after"
    """The asker's node dies after it happened, before the answer comes."""


_NOT_SAFE: Final = frozenset({Fate.FAILED, Fate.LOST, Fate.LATE, Fate.TWICE})


def _is_probability(_instance: object, attribute: Any, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} is a probability from 0 to 1, not {value}")


@frozen(kw_only=True)
class Odds:
    """The probability of each fate; what they leave of 1 is fine. `ValueError` if they leave less than nothing."""

    failed: float = field(default=0.0, validator=_is_probability)
    lost: float = field(default=0.0, validator=_is_probability)
    late: float = field(default=0.0, validator=_is_probability)
    twice: float = field(default=0.0, validator=_is_probability)
    slow: float = field(default=0.0, validator=_is_probability)
    crashed_before: float = field(default=0.0, validator=_is_probability)
    crashed_after: float = field(default=0.0, validator=_is_probability)

    def __attrs_post_init__(self) -> None:
        if (total := sum(probability for _, probability in self._table())) > 1:
            raise ValueError(f"the odds of all fates are at most 1 together, not {total}")

    def draw(self, chance: float) -> Fate:
        """Give the fate that belongs to ``chance``, a number from 0 up to 1."""
        for fate, probability in self._table():
            if chance < probability:
                return fate
            chance -= probability
        return Fate.FINE

    def _table(self) -> tuple[tuple[Fate, float], ...]:
        return (
            (Fate.FAILED, self.failed),
            (Fate.LOST, self.lost),
            (Fate.LATE, self.late),
            (Fate.TWICE, self.twice),
            (Fate.SLOW, self.slow),
            (Fate.CRASHED_BEFORE, self.crashed_before),
            (Fate.CRASHED_AFTER, self.crashed_after),
        )


@frozen(kw_only=True)
class Faults:
    """The odds of a run. Without arguments, nothing goes wrong."""

    otherwise: Odds = Odds()
    """For every kind that `by_kind` does not name."""
    by_kind: Mapping[Kind, Odds] = field(factory=dict[Kind, Odds], converter=MappingProxyType[Kind, Odds])
    down_s: float = 20.0
    """How long a crashed node stays down, on average."""
    partition_every_s: float | None = None
    """How often two nodes lose sight of each other, on average; None for never."""
    partition_s: float = 30.0
    """How long that lasts, on average."""
    queue_loss: float = field(default=0.0, validator=_is_probability)
    """How likely a crash takes the whole queue with it, where the store is not the queue."""
    skew_s_max: float = 0.0
    """How far, at most, the clock of a node is from the truth, either way. Stores keep time of their own."""

    def fate(self, kind: Kind, random: Random) -> Fate:
        """Draw the fate of one question of this ``kind``."""
        fate = self.by_kind.get(kind, self.otherwise).draw(random.random())
        if fate in _NOT_SAFE and (kind not in _FALLIBLE or (fate is Fate.TWICE and kind is not Fetch)):
            return Fate.FINE
        return fate


def swarm(seed: int, *, worst: float = 0.15) -> Faults:
    """Draw the faults of a run: about half of all fates are off for each kind, the others have odds of up to ``worst`` / 7."""
    random = Random(f"swarm {seed}")  # noqa: S311  # a repeatable history is the point

    def some() -> float:
        return random.choice((0.0, random.random() * worst / 7))

    def odds(crash: float) -> Odds:
        return Odds(
            failed=some(),
            lost=some(),
            late=some(),
            twice=some(),
            slow=some(),
            crashed_before=crash * some(),
            crashed_after=crash * some(),
        )

    crash = random.choice((0.0, 0.1, 0.5))
    by_kind: dict[Kind, Odds] = {kind: odds(crash) for kind in _FALLIBLE}
    by_kind[Fetch] = evolve(by_kind[Fetch], failed=some() * 3, lost=some() * 3)
    return Faults(
        otherwise=odds(crash),
        by_kind=by_kind,
        down_s=random.choice((1.0, 10.0, 60.0)),
        partition_every_s=random.choice((None, 60.0, 300.0)),
        queue_loss=random.choice((0.0, 0.0, 0.5)),
        skew_s_max=random.choice((0.0, 2.0)),
    )
