"""Time limits that depend on one another, with the arithmetic that holds them together.

Change a limit here, and an assertion tells which other limit must change with it. A limit that depends on no other one
is defined where it is used.
"""

from __future__ import annotations

from typing import Final

from apcore.http import DELIVERY_LIMITS

__all__ = [
    "AIMED_PAUSE_S",
    "ATTEMPT_S",
    "CIRCUIT_KEPT_S",
    "DELIVERY_AGE_S_MAX",
    "DELIVERY_BASE_S",
    "EXCHANGE_S",
    "FOLLOWER_LOOKUP_S",
    "FOLLOW_UP_S",
    "HANDLER_LIMIT_S",
    "LEASE_S",
    "LOOKUPS_AT_ONCE",
    "LOOKUP_S",
    "OUTAGE_PAUSE_STEPS",
    "OVERDUE_S",
    "PLAN_RECIPIENTS_MAX",
    "REACH_RENEWED_S",
    "REACH_WINDOW_S",
    "RECORD_S",
    "RETRY_DELAY_S_MAX",
    "SENT_KEPT_S",
    "STEP_S",
    "UNPROVED_MAX",
]

_HOUR_S: Final = 3600.0
_DAY_S: Final = 24 * _HOUR_S

# --- one message ----------------------------------------------------------------------------------------------------

LEASE_S: Final = 90.0
"""The default length of the lease of a message. While it is handled, the worker extends the lease."""
HANDLER_LIMIT_S: Final = 300.0
"""The default time limit for handling a message."""
OVERDUE_S: Final = 600.0
"""The delay of a fan-out or a delivery that exceeded the handler limit."""

# Fan-outs and deliveries end within their first lease. If they reach the handler limit, they hang.
assert HANDLER_LIMIT_S > LEASE_S
# The hanging operation may still run. Its message comes back when that is no longer likely.
assert OVERDUE_S > HANDLER_LIMIT_S + LEASE_S

# --- a step of delivery ---------------------------------------------------------------------------------------------

EXCHANGE_S: Final = DELIVERY_LIMITS.deadline_s
"""The longest time of one HTTP exchange."""
FOLLOW_UP_S: Final = 30.0
"""An attempt begins no second knock and follows no redirect after this time."""
ATTEMPT_S: Final = FOLLOW_UP_S + EXCHANGE_S
"""The longest time of one attempt: its last exchange begins just before `FOLLOW_UP_S`."""
STEP_S: Final = 25.0
"""A step of delivery begins no attempt later than this."""
RECORD_S: Final = 1.0
"""The longest time that results stay unwritten, once the current round of attempts has ended."""

# The step ends before its lease, even if that is not extended. Otherwise two workers would deliver the same backlog.
assert LEASE_S > STEP_S + ATTEMPT_S
# A crash repeats the attempts of this time only, and not those of the whole step.
assert RECORD_S < STEP_S / 10

# --- a step of planning ---------------------------------------------------------------------------------------------

PLAN_RECIPIENTS_MAX: Final = 20
"""The most recipients of a step of planning."""
LOOKUPS_AT_ONCE: Final = 4
"""The look-ups of inboxes that run at once."""
LOOKUP_S: Final = 15.0
"""The time for each look-up of an inbox."""
FOLLOWER_LOOKUP_S: Final = 4.0
"""The time for the look-up of a follower whose inbox is missing. All other followers wait for it."""

# The step ends before its lease, even if every look-up takes all its time. A recipient needs one look-up at most:
# a follower with a stored inbox has only the shorter one.
assert LEASE_S > LOOKUP_S * PLAN_RECIPIENTS_MAX / LOOKUPS_AT_ONCE
assert FOLLOWER_LOOKUP_S < LOOKUP_S

# --- the retries of a delivery --------------------------------------------------------------------------------------

DELIVERY_BASE_S: Final = 30.0
"""The full delay after the first attempt, by the default policy. Each later delay is twice as long."""
RETRY_DELAY_S_MAX: Final = 12 * _HOUR_S
"""The longest delay between two attempts, by the default policy."""
DELIVERY_AGE_S_MAX: Final = 3 * _DAY_S
"""The age from which a delivery is not attempted again, by the default policy."""
UNPROVED_MAX: Final = 8
"""The attempts of a delivery that may end with 401. They span about an hour, so that a peer can fetch our key later."""
SENT_KEPT_S: Final = 10 * _DAY_S
"""How long an activity is kept for its deliveries: three days of retries, and a week for a queue that stood still."""

# A delivery without its activity is given up. So the activity outlives the last attempt, which is made up to one delay
# after the age is reached, and outlives a queue that was not served for six days.
assert SENT_KEPT_S >= DELIVERY_AGE_S_MAX + RETRY_DELAY_S_MAX + 6 * _DAY_S
# The random part shortens each delay by up to a half, so the shortest span of the unproved attempts is half of this.
assert _HOUR_S <= DELIVERY_BASE_S * (2 ** (UNPROVED_MAX - 1) - 1) < 2 * _HOUR_S

# --- the pauses of a host -------------------------------------------------------------------------------------------

REACH_WINDOW_S: Final = _HOUR_S
"""The age up to which an outcome counts when an outage of ours is judged."""
REACH_RENEWED_S: Final = REACH_WINDOW_S / 4
"""The age from which an unchanged outcome is written again."""
OUTAGE_PAUSE_STEPS: Final = 6
"""The longest pause during an outage of ours is that after so many failures: 16 minutes, by the default policy."""
CIRCUIT_KEPT_S: Final = 30 * _DAY_S
"""How long the record of a circuit is kept after the last failure."""
AIMED_PAUSE_S: Final = 36.0
"""The pause after each attempt at an inbox on another origin than its actor."""

# During an outage, hosts are asked again, and their outcomes written, while the earlier outcomes still count. Otherwise
# we would think that the outage has ended, and count its failures against the hosts.
assert DELIVERY_BASE_S * 2 ** (OUTAGE_PAUSE_STEPS - 1) + REACH_RENEWED_S < REACH_WINDOW_S
# The number of failures outlives the pause that it leads to, so that the next pause is longer.
assert CIRCUIT_KEPT_S > 2 * RETRY_DELAY_S_MAX
# One origin gets at most a hundred aimed attempts in an hour.
assert _HOUR_S / AIMED_PAUSE_S <= 100
