"""Retry delays grow, stay within their bounds, and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryPolicy

POLICY = RetryPolicy(attempts_max=5, base_s=10, delay_s_max=60, age_s_max=1000)


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 30, 60)],
    ids=["1st", "2nd", "3rd", "capped"],
)
def test_the_delay_doubles_up_to_the_cap(attempt: int, least: float, most: float) -> None:
    assert POLICY.delay_s(attempt, age_s=0, chance=0.0) == least
    assert POLICY.delay_s(attempt, age_s=0, chance=1.0) == most


def test_it_gives_up_after_the_last_attempt_and_beyond_the_age() -> None:
    assert POLICY.delay_s(5, age_s=0, chance=0.5) is None
    assert POLICY.delay_s(1, age_s=1000, chance=0.5) is None


def test_what_the_other_side_asks_for_lengthens_within_the_cap() -> None:
    assert POLICY.delay_s(1, age_s=0, chance=0.0, asked_s=30) == 30
    assert POLICY.delay_s(1, age_s=0, chance=0.0, asked_s=1) == 5
    assert POLICY.delay_s(1, age_s=0, chance=0.0, asked_s=1e9) == 60


@given(st.sampled_from([DELIVERY_RETRIES, LISTENER_RETRIES]), st.integers(1, 10**6), st.floats(0, 1))
def test_no_attempt_number_leaves_the_bounds(policy: RetryPolicy, attempt: int, chance: float) -> None:
    delay = policy.delay_s(attempt, age_s=0, chance=chance)
    assert delay is None if attempt >= policy.attempts_max else policy.base_s / 2 <= delay <= policy.delay_s_max


def test_the_default_delivery_schedule_covers_days() -> None:
    total = sum(DELIVERY_RETRIES.delay_s(n, age_s=0, chance=0.5) or 0 for n in range(1, DELIVERY_RETRIES.attempts_max))
    assert total > 2 * 24 * 3600


@pytest.mark.parametrize("wrong", [{"attempts_max": 0}, {"base_s": 0}, {"factor": 0.5}, {"age_s_max": -1}], ids=str)
def test_a_policy_out_of_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(**({"attempts_max": 1, "base_s": 1, "age_s_max": 1} | wrong))
