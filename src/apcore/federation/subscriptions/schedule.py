"""Decide when a source is polled: by its changes, its wishes, its failures, and a budget for each host. No effects."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from apcore.errors import ApcoreError, Unavailable
from apcore.federation.moderation import DomainSuspended
from apcore.federation.subscriptions.records import SubscriptionRecord, SubscriptionState
from apcore.records import defer
from apcore.remote import Forbidden, Gone, NotFound, Rate

__all__ = ["PollPolicy", "after_failure", "after_poll", "state_of"]

_DAY_S: Final = 86400.0
_FASTER: Final = 0.5
"""The factor of the interval after a poll that found something new."""
_SLOWER: Final = 1.5
"""The factor of the interval after a poll that found nothing."""
_JITTER: Final = 0.1
"""The largest random part of an interval, in both directions, so that subscriptions do not stay in step."""
_FAILURES_MAX: Final = 16
"""The number of failures from which the pause does not grow any more."""
_REASON_CHARS_MAX: Final = 500


def _check_seconds(_policy: object, attribute: object, value: float) -> None:
    name = getattr(attribute, "name", "")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= 30 * _DAY_S:
        raise ValueError(f"{name} is a number of seconds from 1 to {30 * _DAY_S:.0f}, not {value!r:.40}")


def _check_count(_policy: object, attribute: object, value: int) -> None:
    name = getattr(attribute, "name", "")
    if type(value) is not int or not 1 <= value <= 1000:
        raise ValueError(f"{name} is a whole number from 1 to 1000, not {value!r:.40}")


@frozen(kw_only=True)
class PollPolicy:
    """The limits of polling.

    Raises:
        ValueError: A value is out of its range, or the shortest interval is longer than the longest.
    """

    interval_s: float = field(default=900.0, validator=_check_seconds)
    """The first interval between two polls of a source."""
    interval_s_min: float = field(default=300.0, validator=_check_seconds)
    """The shortest interval. The interval is halved after each poll that finds something new."""
    interval_s_max: float = field(default=_DAY_S, validator=_check_seconds)
    """The longest interval, also after failures. It grows by a half after each poll that finds nothing."""
    host_rate: Rate = Rate(20, 0.2)  # noqa: RUF009 - immutable
    """The requests to one host, for all subscriptions of this store: 20 at once, and one in 5 seconds in the long run.
    A page takes one request, and an item that must be fetched another."""
    pages_max: int = field(default=10, validator=_check_count)
    """The most pages of one poll. A longer walk goes on a minute later."""
    fetches_max: int = field(default=20, validator=_check_count)
    """The most items of one poll that are fetched from their own origin. The others follow a minute later."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.host_rate, Rate):
            raise ValueError(f"host_rate is a Rate, not {self.host_rate!r:.60}")  # noqa: TRY004 - as the others
        if not self.interval_s_min <= self.interval_s <= self.interval_s_max:
            raise ValueError(
                f"interval_s={self.interval_s:g} is not between interval_s_min={self.interval_s_min:g} and "
                f"interval_s_max={self.interval_s_max:g}"
            )


def after_poll(
    record: SubscriptionRecord, policy: PollPolicy, now: datetime, *, new_items: int, wish_s: float, jitter: float
) -> SubscriptionRecord:
    """Return the record after a successful poll, with the time of the next.

    ``new_items`` is their number. ``wish_s`` is how long the source says that its answer is fresh. ``jitter`` is
    a random number from 0 to 1.
    """
    present_s = record.interval_s or policy.interval_s
    factor = _FASTER if new_items else _SLOWER if record.polled is not None else 1.0
    interval_s = min(max(present_s * factor, policy.interval_s_min), policy.interval_s_max)
    delay_s = max(_with_jitter(interval_s, jitter), min(wish_s, policy.interval_s_max))
    record = evolve(
        record,
        state="active",
        reason=None,
        failures=0,
        interval_s=round(interval_s),
        polled=now,
        changed=now if new_items else record.changed,
        polls=record.polls + 1,
    )
    return defer(record, delay_s, now)


def after_failure(
    record: SubscriptionRecord, policy: PollPolicy, now: datetime, error: ApcoreError, *, jitter: float
) -> SubscriptionRecord:
    """Return the record after a failed poll. The pause doubles with each failure, and respects `Retry-After`."""
    state = state_of(error)
    failures = min(record.failures + 1, _FAILURES_MAX)
    pause_s = min((record.interval_s or policy.interval_s) * 2.0**failures, policy.interval_s_max)
    if state in {"forbidden", "suspended"}:
        pause_s = policy.interval_s_max  # asking again soon would change nothing
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable | NotFound | Forbidden) else None
    delay_s = max(_with_jitter(pause_s, jitter), retry_after_s or 0.0)
    record = evolve(
        record,
        state=state,
        reason=f"{error.reason}: {error}"[:_REASON_CHARS_MAX],
        failures=failures,
        polled=now,
        polls=record.polls + 1,
    )
    return defer(record, delay_s, now)


def state_of(error: ApcoreError) -> SubscriptionState:
    """Return the state of a subscription after ``error``."""
    if isinstance(error, Gone):
        return "gone"
    if isinstance(error, NotFound):
        return "missing"
    if isinstance(error, Forbidden):
        return "forbidden"
    if isinstance(error, DomainSuspended):
        return "suspended"
    return "failing" if error.retryable else "unreadable"


def _with_jitter(seconds: float, jitter: float) -> float:
    return seconds * (1 - _JITTER + 2 * _JITTER * jitter)
