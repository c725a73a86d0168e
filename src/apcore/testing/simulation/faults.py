"""Define the faults of a simulation, and their probabilities.

Each effect of an operation meets a `Fate`, drawn by the odds of its kind. Each run switches some kinds of fault off
(`swarm`): if everything fails a little, the faults that need a long success first stay hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from apcore.drivers.effect_table import EFFECT_TABLE, Composite
from apcore.effects import Effect, Fetch

__all__ = ["Fate", "Faults", "Kind", "Odds", "swarm"]

Kind: TypeAlias = type[Effect[Any]]
"""A kind of effect."""

_FALLIBLE: Final[tuple[Kind, ...]] = tuple(
    kind for kind, row in EFFECT_TABLE.items() if not isinstance(row, Composite) and row.port != "runtime"
)
"""Clock and randomness do not fail (but a node may crash as it reads the clock). `Call` and `All` have the fates of
their parts.
"""


class Fate(Enum):
    """The fate of one effect."""

    FINE = "fine"
    FAILED = "failed"
    """It does not happen, and the operation is told so."""
    LOST = "lost"
    """It happens, and its answer is lost."""
    LATE = "late"
    """The operation is told that the outcome is unknown, and it happens after that."""
    TWICE = "twice"
    """The network delivers it twice. Only for `Fetch`."""
    SLOW = "slow"
    """It takes a hundred times as long."""
    CRASHED_BEFORE = "crashed-before"
    """The node crashes before it happens."""
    CRASHED_AFTER = "crashed-after"
    """The node crashes after it happened, before the answer arrives."""


# Effects that cannot fail never meet these.
_NOT_SAFE: Final = frozenset({Fate.FAILED, Fate.LOST, Fate.LATE, Fate.TWICE})


def _is_probability(_instance: object, attribute: Any, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} is a probability from 0 to 1, not {value}")


@frozen(kw_only=True)
class Odds:
    """The probability of each fate. `ValueError` if their sum exceeds 1."""

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

    def draw(self, fraction: float) -> Fate:
        """Return the fate for ``fraction``, a number from 0 up to 1."""
        for fate, probability in self._table():
            if fraction < probability:
                return fate
            fraction -= probability
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
    """The odds of a run. By default, there are no faults."""

    otherwise: Odds = Odds()
    """For every kind that `by_kind` does not name."""
    by_kind: Mapping[Kind, Odds] = field(factory=dict[Kind, Odds], converter=MappingProxyType[Kind, Odds])
    down_s: float = 20.0
    """How long a crashed node stays down, on average."""
    partition_every_s: float | None = None
    """How often two nodes are partitioned, on average; None for never."""
    partition_s: float = 30.0
    """How long a partition lasts, on average."""
    queue_loss: float = field(default=0.0, validator=_is_probability)
    """The probability that a crash loses the whole queue, if the store is not the queue."""
    skew_s_max: float = 0.0
    """The most that a node's clock deviates from the true time, in either direction. Stores have their own clock."""

    def fate(self, kind: Kind, random: Random) -> Fate:
        """Draw the fate of one effect of this ``kind``."""
        fate = self.by_kind.get(kind, self.otherwise).draw(random.random())
        if fate in _NOT_SAFE and (kind not in _FALLIBLE or (fate is Fate.TWICE and kind is not Fetch)):
            return Fate.FINE
        return fate


def swarm(seed: int, *, worst: float = 0.15) -> Faults:
    """Draw the faults of a run.

    About half of the fates of each kind are off; the others have odds up to ``worst`` / 7. Requests fail, or lose their
    answer, up to three times as often. Crashes are at most half as likely.
    """
    random = Random(f"swarm {seed}")  # noqa: S311  # a repeatable history is the purpose

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
