"""Provide the common parts of the conformance suites: named checks, and a clock that tests move.

A suite is a tuple of `Conformance` checks, one per rule of a contract. Each is called with a *factory*: a function of a
clock that opens a new and empty adapter that uses this clock. So any test runner can be used; with pytest::

    @pytest.mark.parametrize("check", store_checks(), ids=str)
    def test_my_store_keeps_the_contract(check, tmp_path):
        check(lambda clock: MyStore(fresh_file_in(tmp_path), clock=clock))

Each check closes everything that it opened. A check that fails raises `AssertionError` with an explanation, or passes
on the adapter's own error.

If the clock of your adapter cannot be moved (that of a server), leave out the checks that need it:
``store_checks(moves_clock=False)``. An adapter for event loops is tested by the same suites through
`apcore.testing.bridge`.

Times in the suites avoid edges: ends are at odd seconds, and clocks are moved to even ones. So an adapter may round.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen
from hypothesis import HealthCheck, settings

__all__ = ["Conformance", "ManualClock"]


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        """Start at a whole and even number of seconds."""
        self._now = start

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds


class Tokens:
    """Commit tokens that never repeat within one object, and are the same in every run."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self) -> bytes:
        """Return the next 16 bytes."""
        return sha256(b"token %d" % next(self._numbers)).digest()[:16]


class _Closable(Protocol):
    def close(self) -> None: ...


P = TypeVar("P")
C = TypeVar("C", bound=_Closable)


@frozen
class Conformance(Generic[P]):
    """One rule of a contract, and its check."""

    name: str
    says: str
    run: Callable[[Callable[[ManualClock], P]], None] = field(repr=False)

    def __call__(self, make: Callable[[ManualClock], P], /) -> None:
        """Check the adapters that ``make`` opens."""
        self.run(make)

    def __str__(self) -> str:
        return self.name


def conformance(run: Callable[[Callable[[ManualClock], P]], None], /) -> Conformance[P]:
    """Make a check from a documented function."""
    return Conformance(run.__name__.strip("_"), " ".join((run.__doc__ or "").split()), run)


@contextmanager
def open_closing(make: Callable[[ManualClock], C]) -> Generator[tuple[C, ManualClock], None, None]:
    """Open an adapter on its own clock, and close it at the end."""
    clock = ManualClock()
    adapter = make(clock)
    try:
        yield adapter, clock
    finally:
        adapter.close()


def expect_refusal(kind: type[Exception], case: str, call: Callable[[], object]) -> None:
    """Assert that ``call`` raises ``kind``. The message of a failure begins with ``case``."""
    try:
        answer = call()
    except kind:
        return
    raise AssertionError(f"{case}: {kind.__name__} was expected, but the answer was {answer!r:.80}")


def machine_settings(examples: int) -> settings:
    """Return the settings of a state machine, which allow slow adapters."""
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
