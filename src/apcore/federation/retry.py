"""Define retry policies: the delay after a failed attempt, as a pure function of the attempt and a random number."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, Protocol, TypeAlias, TypeGuard, cast

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from apcore.errors import ConfigurationError
from apcore.federation.time_limits import DELIVERY_AGE_S_MAX, DELIVERY_BASE_S, RETRY_DELAY_S_MAX

__all__ = [
    "DELIVERY_RETRIES",
    "LISTENER_RETRIES",
    "RetryFunction",
    "RetryPolicy",
    "RetryRules",
    "as_retry_rules",
    "check_retries",
    "host_pause_s",
]

_HOUR_S: Final = 3600.0
_FUNCTION_AGE_S_MAX: Final = 30 * 24 * _HOUR_S
"""The age from which nothing is attempted again if a function decides about retries."""
_PAUSE_S: Final = 30.0
"""The pause of a host under rules that return no delay even after a first attempt."""


class RetryRules(Protocol):
    """The members of a retry policy that apcore uses. You can use your own object in place of a `RetryPolicy`."""

    @property
    def attempts_max(self) -> int | None:
        """The most attempts, or None if only the age is bounded."""
        ...

    @property
    def age_s_max(self) -> float:
        """The age in seconds from which nothing is attempted again."""
        ...

    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float | None:
        """Return the seconds to wait after ``attempt`` failed, or None to give up. See `RetryPolicy.delay_s`."""
        ...


@frozen(kw_only=True)
class RetryPolicy:
    """Exponential back-off with jitter: a bounded delay, a bounded age, and optionally a bounded number of attempts.

    The full delay after attempt n is ``base_s * factor ** (n - 1)``, at most ``delay_s_max``. The actual delay is drawn
    evenly from the upper half of it. So a thousand retries do not arrive in the same second, and no delay is near zero.

    Without ``attempts_max``, attempts always go on until ``age_s_max`` has passed. The random numbers cannot end them
    earlier. The last attempt is made at that age, or up to ``delay_s_max`` later.
    """

    attempts_max: int | None = field(default=None, validator=optional(ge(1)))
    """The most attempts, or None for as many as the age allows. With a number, they may end long before
    ``age_s_max``."""
    base_s: float = field(validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    delay_s_max: float = field(default=RETRY_DELAY_S_MAX, validator=gt(0))
    age_s_max: float = field(validator=gt(0))
    """The age from which nothing is attempted again."""

    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float | None:
        """Return the seconds to wait after ``attempt`` (1 for the first) failed, or None to give up.

        ``jitter`` is a random number from 0 to 1. ``retry_after_s`` is the delay that the peer requested
        (`Retry-After`). It may lengthen the delay up to ``delay_s_max``, and never shortens it.
        """
        if (self.attempts_max is not None and attempt >= self.attempts_max) or age_s >= self.age_s_max:
            return None
        # Cap the exponent first: an attempt number in the thousands would overflow.
        exponent = min(attempt - 1, 64)
        full_delay = min(self.base_s * self.factor**exponent, self.delay_s_max)
        delay = full_delay / 2 + full_delay / 2 * jitter
        return delay if retry_after_s is None else min(max(delay, retry_after_s), self.delay_s_max)


DELIVERY_RETRIES: Final = RetryPolicy(base_s=DELIVERY_BASE_S, age_s_max=DELIVERY_AGE_S_MAX)
"""The default for deliveries: 17 to 23 attempts, the last one 3 to 3.5 days after the first.

The most persistent servers also try for three days. The first delay is between 15 and 30 s, and the longest between 6
and 12 h. `Retry-After` may lengthen a delay to at most 12 h.
"""

LISTENER_RETRIES: Final = RetryPolicy(
    attempts_max=10, base_s=5.0, factor=4.0, delay_s_max=_HOUR_S, age_s_max=24 * _HOUR_S
)
"""The default for the application's handlers: 10 attempts, the last one 2.2 to 4.5 hours after the first.

This survives a deployment or database outage of some hours, and ends the attempts of a broken handler the same day.
"""


RetryFunction: TypeAlias = Callable[[int, float], float | None]
"""A retry policy as a function of the attempt that failed and the age in seconds.

It returns the seconds to wait, or None to give up.
"""


@frozen
class _FunctionRules:
    """Retry rules by a function of the application. They end after `_FUNCTION_AGE_S_MAX` in any case."""

    function: RetryFunction
    attempts_max: None = None
    age_s_max: float = _FUNCTION_AGE_S_MAX

    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float | None:
        """See `RetryRules.delay_s`. `Retry-After` may lengthen the delay, as in a `RetryPolicy`."""
        del jitter
        delay = None if age_s >= self.age_s_max else self.function(attempt, age_s)
        if delay is None:
            return None
        return delay if retry_after_s is None else max(delay, min(retry_after_s, RETRY_DELAY_S_MAX))


def as_retry_rules(rules: RetryRules | RetryFunction, *, name: str) -> RetryRules:
    """Return retry rules, also for a function, after checking them. ``name`` is for messages.

    Raises:
        ConfigurationError: See `check_retries`.
    """
    is_function = callable(rules) and not hasattr(rules, "delay_s")
    checked: Any = _FunctionRules(cast("RetryFunction", rules)) if is_function else rules
    check_retries(checked, name=name)
    return cast("RetryRules", checked)


def host_pause_s(rules: RetryRules, failures: int, *, jitter: float, retry_after_s: float | None) -> float:
    """Return the seconds to pause a host after ``failures`` failures in a row.

    A delivery may be given up, but a host never is. If the rules allow a last attempt, the delay before that attempt is
    the pause after all later failures.
    """
    attempt = failures if rules.attempts_max is None else min(failures, rules.attempts_max - 1)
    delay_s = rules.delay_s(attempt, age_s=0.0, jitter=jitter, retry_after_s=retry_after_s)
    return _PAUSE_S if delay_s is None else delay_s


def check_retries(rules: object, *, name: str) -> None:
    """Check retry rules when they are configured, so that they cannot fail in a worker. ``name`` is for messages.

    Raises:
        ConfigurationError: A member is missing or has the wrong type. Or ``delay_s`` cannot be called with its
            arguments, raises, or returns neither None nor a number of seconds from 0.
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
        raise ConfigurationError(f"{name}: delay_s is a method that returns seconds or None, not {delay_s!r:.60}")
    for attempt, age_s, jitter, retry_after_s in _SAMPLES:
        arguments: dict[str, Any] = {"age_s": age_s, "jitter": jitter, "retry_after_s": retry_after_s}
        _check_delay(delay_s, attempt, arguments, name)


_SAMPLES: Final = (
    (1, 0.0, 0.0, None),
    (1, 0.0, 1.0, None),
    (2, 60.0, 0.5, 60.0),
    (1_000_000, 0.0, 1.0, None),
    (1, 1e9, 1.0, 1e9),
)
"""Sample arguments (attempt, age, jitter, `Retry-After`): a first and a late attempt, young and old, with and without
`Retry-After`."""


def _check_delay(delay_s: Any, attempt: int, arguments: dict[str, Any], name: str) -> None:
    call = f"{name}: delay_s({attempt}, {', '.join(f'{key}={value}' for key, value in arguments.items())})"
    try:
        _ = inspect.signature(delay_s).bind(attempt, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"{call} cannot be called: {error}") from error
    try:
        answer: object = delay_s(attempt, **arguments)
    except Exception as error:
        raise ConfigurationError(f"{call} raises {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(answer):
        answer.close()
    if answer is not None and (not _is_number(answer) or answer < 0):
        raise ConfigurationError(f"{call} returns {answer!r:.60}, which is neither None nor a number of seconds from 0")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
