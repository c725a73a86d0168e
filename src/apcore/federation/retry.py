"""When to try again: an immutable policy, and a pure function of the attempt and of chance."""

from __future__ import annotations

import inspect
from math import isfinite
from typing import Any, Final, Protocol, TypeGuard

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from apcore.errors import ConfigurationError

__all__ = ["DELIVERY_RETRIES", "LISTENER_RETRIES", "RetryPolicy", "RetryRules", "check_retries", "host_pause_s"]

_HOUR_S: Final = 3600.0
_PAUSE_S: Final = 30.0
"""How long a host is left alone by rules that give no delay even after a first attempt."""


class RetryRules(Protocol):
    """The members that apcore uses of a retry policy: those of `RetryPolicy`, or of an object of your own."""

    @property
    def attempts_max(self) -> int | None:
        """How many attempts there are at most; None leaves it to the age."""
        ...

    @property
    def age_s_max(self) -> float:
        """From which age on nothing is tried again."""
        ...

    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float | None:
        """Return the seconds to wait after ``attempt`` failed, or None to give up; see `RetryPolicy.delay_s`."""
        ...


@frozen(kw_only=True)
class RetryPolicy:
    """Exponential back-off with jitter, bounded in the single delay, in time and, if you like, in attempts.

    The delay after attempt n is drawn evenly from the upper half of ``base_s * factor ** (n - 1)``, capped at
    ``delay_s_max``: spread enough that a thousand waiters do not return in one second, and never close to zero.

    Without ``attempts_max`` the promise is the age: a failed attempt is followed by another one until ``age_s_max`` has
    passed, whatever chance does. So the last attempt is made at that age or up to ``delay_s_max`` later.
    """

    attempts_max: int | None = field(default=None, validator=optional(ge(1)))
    """None for as many as there is time for. With a number, attempts may end long before ``age_s_max``."""
    base_s: float = field(validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    delay_s_max: float = field(default=12 * _HOUR_S, validator=gt(0))
    age_s_max: float = field(validator=gt(0))
    """Nothing is tried again that is older than this."""

    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float | None:
        """Give the seconds to wait after ``attempt`` (1 for the first) failed, or None to give up.

        ``chance`` is a random number from 0 to 1. ``asked_s`` is what the other side asked for (`Retry-After`): it
        lengthens the delay, within ``delay_s_max``, and never shortens it.
        """
        if (self.attempts_max is not None and attempt >= self.attempts_max) or age_s >= self.age_s_max:
            return None
        # The power is capped before it is taken: an attempt number of thousands must not overflow.
        steps = min(attempt - 1, 64)
        whole = min(self.base_s * self.factor**steps, self.delay_s_max)
        delay = whole / 2 + whole / 2 * chance
        return delay if asked_s is None else min(max(delay, asked_s), self.delay_s_max)


DELIVERY_RETRIES: Final = RetryPolicy(base_s=30.0, age_s_max=3 * 24 * _HOUR_S)
"""Three days, as the most patient servers have it: 17 to 23 attempts, the last one 3 to 3.5 days after the first.

Pauses grow from between 15 and 30 s to between 6 and 12 h. `Retry-After` may lengthen them, to at most 12 h.
"""

LISTENER_RETRIES: Final = RetryPolicy(
    attempts_max=10, base_s=5.0, factor=4.0, delay_s_max=_HOUR_S, age_s_max=24 * _HOUR_S
)
"""For the application's own handlers: 10 attempts, the last one 2.2 to 4.5 hours after the first.

A deployment or a database may be down for hours; a handler that fails all the time is given up the same day.
"""


def host_pause_s(rules: RetryRules, failures: int, *, chance: float, asked_s: float | None) -> float:
    """Return how long to leave a host alone that has failed so many times in a row, in seconds.

    Hosts are never given up, only what is to be sent to them is. So where the rules end with an attempt, the pause
    before that one counts.
    """
    attempt = failures if rules.attempts_max is None else min(failures, rules.attempts_max - 1)
    delay_s = rules.delay_s(attempt, age_s=0.0, chance=chance, asked_s=asked_s)
    return _PAUSE_S if delay_s is None else delay_s


def check_retries(rules: object, *, name: str) -> None:
    """Refuse what cannot serve as retry rules, before a worker finds out. ``name`` is that of the argument.

    Raises:
        ConfigurationError: A member is missing or of another kind; or ``delay_s`` cannot be called as it will be, or
            answers no number of seconds.
    """
    missing = [member for member in ("attempts_max", "age_s_max", "delay_s") if not hasattr(rules, member)]
    if missing:
        raise ConfigurationError(
            f"{name} takes a RetryPolicy, or an object with attempts_max, age_s_max and delay_s; "
            f"{rules!r:.60} lacks {' and '.join(missing)}"
        )
    attempts_max, age_s_max, delay_s = (getattr(rules, member) for member in ("attempts_max", "age_s_max", "delay_s"))
    if attempts_max is not None and not (_is_number(attempts_max) and attempts_max == int(attempts_max) >= 1):
        raise ConfigurationError(
            f"{name}: attempts_max is a whole number from 1, or None for no bound, not {attempts_max!r:.60}"
        )
    if not _is_number(age_s_max) or age_s_max <= 0:
        raise ConfigurationError(f"{name}: age_s_max is a number of seconds above 0, not {age_s_max!r:.60}")
    if not callable(delay_s):
        raise ConfigurationError(f"{name}: delay_s is a method that answers seconds or None, not {delay_s!r:.60}")
    for attempt, age_s, chance, asked_s in _PROBES:
        arguments: dict[str, Any] = {"age_s": age_s, "chance": chance, "asked_s": asked_s}
        _check_delay(delay_s, attempt, arguments, name)


_PROBES: Final = (
    (1, 0.0, 0.0, None),
    (1, 0.0, 1.0, None),
    (2, 60.0, 0.5, 60.0),
    (1_000_000, 0.0, 1.0, None),
    (1, 1e9, 1.0, 1e9),
)
"""Attempt, age, chance and `Retry-After`: the first and a late attempt, young and old."""


def _check_delay(delay_s: Any, attempt: int, arguments: dict[str, Any], name: str) -> None:
    shown = f"{name}: delay_s({attempt}, {', '.join(f'{key}={value}' for key, value in arguments.items())})"
    try:
        _ = inspect.signature(delay_s).bind(attempt, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"{shown} cannot be called: {error}") from error
    try:
        answer: object = delay_s(attempt, **arguments)
    except Exception as error:
        raise ConfigurationError(f"{shown} raises {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(answer):
        answer.close()
    if answer is not None and (not _is_number(answer) or answer < 0):
        raise ConfigurationError(f"{shown} answers {answer!r:.60}, which is neither seconds from 0 nor None")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
