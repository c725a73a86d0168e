"""When to try again: an immutable policy, and a pure function of the attempt and of chance."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

__all__ = ["DELIVERY_RETRIES", "LISTENER_RETRIES", "RetryPolicy"]

_HOUR_S: Final = 3600.0


@frozen(kw_only=True)
class RetryPolicy:
    """Exponential back-off with jitter, bounded in the single delay, in the number of attempts and in total time.

    The delay after attempt n is drawn evenly from the upper half of ``base_s * factor ** (n - 1)``, capped at ``delay_s_max``: spread enough
    that a thousand waiters do not return in one second, and never close to zero.
    """

    attempts_max: int = field(validator=ge(1))
    base_s: float = field(validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    delay_s_max: float = field(default=12 * _HOUR_S, validator=gt(0))
    age_s_max: float = field(validator=gt(0))
    """Nothing is tried again that is older than this."""

    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float | None:
        """Give the seconds to wait after ``attempt`` (1 for the first) failed, or None to give up.

        ``chance`` is a random number from 0 to 1. ``asked_s`` is what the other side asked for (`Retry-After`): it lengthens the delay, within
        ``delay_s_max``, and never shortens it.
        """
        if attempt >= self.attempts_max or age_s >= self.age_s_max:
            return None
        # The power is capped before it is taken: an attempt number of thousands must not overflow.
        steps = min(attempt - 1, 64)
        whole = min(self.base_s * self.factor**steps, self.delay_s_max)
        delay = whole / 2 + whole / 2 * chance
        return delay if asked_s is None else min(max(delay, asked_s), self.delay_s_max)


DELIVERY_RETRIES: Final = RetryPolicy(attempts_max=16, base_s=30.0, age_s_max=3 * 24 * _HOUR_S)
"""Three days, as the servers that keep trying longest do; the cap of 12 h is reached with the twelfth attempt."""

LISTENER_RETRIES: Final = RetryPolicy(attempts_max=10, base_s=5.0, delay_s_max=_HOUR_S, age_s_max=24 * _HOUR_S)
"""For the application's own handlers: a deployment or a database may be down for hours, not for days."""
