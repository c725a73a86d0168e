"""Retry delays grow, stay within their bounds, and end."""

import ast
import inspect
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ConfigurationError
from apcore.federation import Federation, retry
from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryPolicy, check_retries, host_pause_s

DAY_S = 86400.0
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
    is_over = policy.attempts_max is not None and attempt >= policy.attempts_max
    assert delay is None if is_over else policy.base_s / 2 <= delay <= policy.delay_s_max


# --- what the defaults promise --------------------------------------------------------------------------------------


def last_attempt(policy: RetryPolicy, chance: Callable[[], float]) -> tuple[int, float]:
    """How many attempts there are if all fail, and how old the last one is, in seconds."""
    attempt, age_s = 1, 0.0
    while (delay_s := policy.delay_s(attempt, age_s=age_s, chance=chance())) is not None:
        attempt, age_s = attempt + 1, age_s + delay_s
    return attempt, age_s


def said_of(constant: str) -> str:
    """The docstring under a constant of the module."""
    body = ast.parse(inspect.getsource(retry)).body
    [text] = [
        after.value.value
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign) and ast.unparse(before.target) == constant
        and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]  # fmt: skip
    return str(text)


def test_docstring_of_deliveries_has_the_numbers_of_the_schedule() -> None:
    fewest, latest_s = last_attempt(DELIVERY_RETRIES, lambda: 1.0)
    most, _ = last_attempt(DELIVERY_RETRIES, lambda: 0.0)
    assert DAY_S * 3 <= latest_s <= DAY_S * 3.5
    assert f"{fewest} to {most} attempts, the last one 3 to 3.5 days" in said_of("DELIVERY_RETRIES")


def test_docstring_of_listeners_has_the_numbers_of_the_schedule() -> None:
    attempts, latest_s = last_attempt(LISTENER_RETRIES, lambda: 1.0)
    _, soonest_s = last_attempt(LISTENER_RETRIES, lambda: 0.0)
    said = said_of("LISTENER_RETRIES")
    assert f"{attempts} attempts, the last one {soonest_s / 3600:.1f} to {latest_s / 3600:.1f} hours" in said


@given(st.randoms(use_true_random=False))
def test_deliveries_are_tried_for_three_days_whatever_chance_does(random: Random) -> None:
    attempts, age_s = last_attempt(DELIVERY_RETRIES, lambda: random.choice([0.0, 1.0, random.random()]))
    assert 3 * DAY_S <= age_s <= 3.5 * DAY_S
    assert 17 <= attempts <= 23


@given(st.randoms(use_true_random=False), st.floats(1, 1e6), st.floats(1, 10), st.floats(1, 1e6), st.floats(1, 1e6))
def test_policy_without_a_bound_of_attempts_is_bound_by_its_age(
    random: Random, base_s: float, factor: float, delay_s_max: float, age_s_max: float
) -> None:
    # A thousand attempts at most, so that the test ends.
    least_s = age_s_max / 1000
    policy = RetryPolicy(
        base_s=max(base_s, least_s), factor=factor, delay_s_max=max(delay_s_max, least_s), age_s_max=age_s_max
    )
    _, age_s = last_attempt(policy, random.random)
    assert age_s_max <= age_s <= age_s_max + policy.delay_s_max


@pytest.mark.parametrize("wrong", [{"attempts_max": 0}, {"base_s": 0}, {"factor": 0.5}, {"age_s_max": -1}], ids=str)
def test_a_policy_out_of_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(**({"attempts_max": 1, "base_s": 1, "age_s_max": 1} | wrong))


# --- what stands in the place of a policy ---------------------------------------------------------------------------


@frozen(kw_only=True)
class Own:
    """Retry rules of an application's own."""

    attempts_max: Any = 3
    age_s_max: Any = 60.0
    answer: Any = 1.0

    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> Any:
        return self.answer


class WithoutDelay:
    attempts_max, age_s_max = 3, 60.0


class WithoutAge:
    attempts_max = 3

    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float:
        return 1.0


class WithoutAttempts(WithoutAge):
    age_s_max = 60.0
    attempts_max = property()  # type: ignore[assignment]


class DelayOfAttempt(Own):
    def delay_s(self, attempt: int) -> float:  # type: ignore[override]
        return 1.0


class DelayInOrder(Own):
    def delay_s(self, attempt: int, age_s: float, /, chance: float, asked_s: float) -> float:  # type: ignore[override]
        return 1.0


class DelayWithoutAsked(Own):
    def delay_s(self, attempt: int, *, age_s: float, chance: float) -> float:  # type: ignore[override]
        return 1.0


class AsyncDelay(Own):
    async def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float:
        return 1.0


class Table(Own):
    def delay_s(self, attempt: int, *, age_s: float, chance: float, asked_s: float | None = None) -> float:
        return [1.0, 2.0][attempt - 1]


class DelayThatIsNoMethod(Own):
    delay_s = 1.0  # type: ignore[assignment]


REFUSED = {
    "nothing": (None, "lacks attempts_max and age_s_max and delay_s"),
    "a number": (3, "lacks attempts_max and age_s_max and delay_s"),
    "the class": (RetryPolicy, "attempts_max is a whole number from 1, or None"),
    "without a delay": (WithoutDelay(), "lacks delay_s"),
    "without an age": (WithoutAge(), "lacks age_s_max"),
    "without attempts": (WithoutAttempts(), "lacks attempts_max"),
    "attempts of zero": (Own(attempts_max=0), "attempts_max is a whole number from 1, or None for no bound, not 0"),
    "half an attempt": (Own(attempts_max=1.5), "attempts_max"),
    "attempts in words": (Own(attempts_max="3"), "attempts_max"),
    "attempts as truth": (Own(attempts_max=True), "attempts_max"),
    "no age": (Own(age_s_max=None), "age_s_max is a number of seconds above 0, not None"),
    "endless": (Own(age_s_max=float("inf")), "age_s_max"),
    "a delay that is a number": (DelayThatIsNoMethod(), "delay_s is a method"),
    "a delay of the attempt alone": (DelayOfAttempt(), "cannot be called: "),
    "a delay by position": (DelayInOrder(), "cannot be called: "),
    "a delay that cannot be asked for": (DelayWithoutAsked(), "unexpected keyword argument 'asked_s'"),
    "a delay to await": (AsyncDelay(), "returns <coroutine"),
    "a delay in words": (Own(answer="1"), "returns '1', which is neither None nor a number of seconds from 0"),
    "a delay as truth": (Own(answer=True), "neither None nor a number of seconds"),
    "a delay into the past": (Own(answer=-1.0), "returns -1.0"),
    "a delay without end": (Own(answer=float("inf")), "returns inf"),
    "a delay that is no number": (Own(answer=float("nan")), "returns nan"),
    "a table that ends": (Table(), "raises IndexError: list index out of range"),
}


@pytest.mark.parametrize("argument", ["listener_retries", "delivery_retries"])
@pytest.mark.parametrize(("rules", "words"), REFUSED.values(), ids=REFUSED)
def test_rules_that_would_fail_in_a_worker_are_refused_when_the_federation_is_made(
    argument: str, rules: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Federation(**{argument: rules})
    assert str(caught.value).startswith(argument)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "rules", [DELIVERY_RETRIES, LISTENER_RETRIES, POLICY, RetryPolicy(attempts_max=1, base_s=1, age_s_max=1), Own(), Own(answer=None), Own(attempts_max=None), Own(answer=0)], ids=repr
)  # fmt: skip
def test_rules_with_all_members_are_taken(rules: Any) -> None:
    check_retries(rules, name="delivery_retries")
    assert Federation(delivery_retries=rules, listener_retries=rules).delivery_retries is rules


@pytest.mark.parametrize("failures", [1, 2, 5, 100])
def test_host_is_paused_however_often_it_has_failed(failures: int) -> None:
    for rules in (POLICY, DELIVERY_RETRIES, RetryPolicy(attempts_max=1, base_s=1, age_s_max=1), Own(answer=None)):
        assert host_pause_s(rules, failures, chance=0.0, asked_s=None) > 0  # type: ignore[arg-type]
