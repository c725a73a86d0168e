"""Check retry policies: delays grow within their bounds, and retries end."""

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
    ("attempt", "delay_s_min", "delay_s_max"),
    [(1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 30, 60)],
    ids=["1st", "2nd", "3rd", "limited"],
)
def test_delay_doubles_up_to_the_limit(attempt: int, delay_s_min: float, delay_s_max: float) -> None:
    assert POLICY.delay_s(attempt, age_s=0, jitter=0.0) == delay_s_min
    assert POLICY.delay_s(attempt, age_s=0, jitter=1.0) == delay_s_max


def test_policy_gives_up_after_the_last_attempt_or_the_maximum_age() -> None:
    assert POLICY.delay_s(5, age_s=0, jitter=0.5) is None
    assert POLICY.delay_s(1, age_s=1000, jitter=0.5) is None


def test_requested_delay_lengthens_the_pause_within_the_limit() -> None:
    assert POLICY.delay_s(1, age_s=0, jitter=0.0, retry_after_s=30) == 30
    assert POLICY.delay_s(1, age_s=0, jitter=0.0, retry_after_s=1) == 5
    assert POLICY.delay_s(1, age_s=0, jitter=0.0, retry_after_s=1e9) == 60


@given(st.sampled_from([DELIVERY_RETRIES, LISTENER_RETRIES]), st.integers(1, 10**6), st.floats(0, 1))
def test_delay_of_any_attempt_is_within_the_bounds(policy: RetryPolicy, attempt: int, fraction: float) -> None:
    delay = policy.delay_s(attempt, age_s=0, jitter=fraction)
    is_over = policy.attempts_max is not None and attempt >= policy.attempts_max
    assert delay is None if is_over else policy.base_s / 2 <= delay <= policy.delay_s_max


# --- documented defaults --------------------------------------------------------------------------------------------


def last_attempt(policy: RetryPolicy, draw_chance: Callable[[], float]) -> tuple[int, float]:
    """Return the number of attempts if all fail, and the age of the last one in seconds."""
    attempt, age_s = 1, 0.0
    while (delay_s := policy.delay_s(attempt, age_s=age_s, jitter=draw_chance())) is not None:
        attempt, age_s = attempt + 1, age_s + delay_s
    return attempt, age_s


def constant_docstring(constant: str) -> str:
    """Return the docstring of a constant of the module."""
    body = ast.parse(inspect.getsource(retry)).body
    [text] = [
        after.value.value
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign) and ast.unparse(before.target) == constant
        and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]  # fmt: skip
    return str(text)


def test_docstring_of_delivery_retries_states_the_schedule() -> None:
    attempts_min, latest_s = last_attempt(DELIVERY_RETRIES, lambda: 1.0)
    attempts_max, _ = last_attempt(DELIVERY_RETRIES, lambda: 0.0)
    assert DAY_S * 3 <= latest_s <= DAY_S * 3.5
    assert f"{attempts_min} to {attempts_max} attempts, the last one 3 to 3.5 days" in constant_docstring(
        "DELIVERY_RETRIES"
    )


def test_docstring_of_listener_retries_states_the_schedule() -> None:
    attempts, latest_s = last_attempt(LISTENER_RETRIES, lambda: 1.0)
    _, soonest_s = last_attempt(LISTENER_RETRIES, lambda: 0.0)
    docstring = constant_docstring("LISTENER_RETRIES")
    assert f"{attempts} attempts, the last one {soonest_s / 3600:.1f} to {latest_s / 3600:.1f} hours" in docstring


@given(st.randoms(use_true_random=False))
def test_deliveries_are_tried_for_three_days_at_any_random_delays(random: Random) -> None:
    attempts, age_s = last_attempt(DELIVERY_RETRIES, lambda: random.choice([0.0, 1.0, random.random()]))
    assert 3 * DAY_S <= age_s <= 3.5 * DAY_S
    assert 17 <= attempts <= 23


@given(st.randoms(use_true_random=False), st.floats(1, 1e6), st.floats(1, 10), st.floats(1, 1e6), st.floats(1, 1e6))
def test_policy_without_attempts_max_is_bounded_by_its_age(
    random: Random, base_s: float, factor: float, delay_s_max: float, age_s_max: float
) -> None:
    # A thousand attempts at most, so that the test ends.
    least_s = age_s_max / 1000
    policy = RetryPolicy(
        base_s=max(base_s, least_s), factor=factor, delay_s_max=max(delay_s_max, least_s), age_s_max=age_s_max
    )
    _, age_s = last_attempt(policy, random.random)
    assert age_s_max <= age_s <= age_s_max + policy.delay_s_max


@pytest.mark.parametrize("options", [{"attempts_max": 0}, {"base_s": 0}, {"factor": 0.5}, {"age_s_max": -1}], ids=str)
def test_policy_out_of_bounds_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(**({"attempts_max": 1, "base_s": 1, "age_s_max": 1} | options))


# --- custom retry rules ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CustomRules:
    """Retry rules of an application."""

    attempts_max: Any = 3
    age_s_max: Any = 60.0
    answer: Any = 1.0

    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> Any:
        return self.answer


class WithoutDelay:
    attempts_max, age_s_max = 3, 60.0


class WithoutAge:
    attempts_max = 3

    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float:
        return 1.0


class WithoutAttempts(WithoutAge):
    age_s_max = 60.0
    attempts_max = property()  # type: ignore[assignment]


class DelayOfAttempt(CustomRules):
    def delay_s(self, attempt: int) -> float:  # type: ignore[override]
        return 1.0


class DelayInOrder(CustomRules):
    def delay_s(  # type: ignore[override]
        self, attempt: int, age_s: float, /, jitter: float, retry_after_s: float
    ) -> float:
        return 1.0


class DelayWithoutAsked(CustomRules):
    def delay_s(self, attempt: int, *, age_s: float, jitter: float) -> float:  # type: ignore[override]
        return 1.0


class AsyncDelay(CustomRules):
    async def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float:
        return 1.0


class Table(CustomRules):
    def delay_s(self, attempt: int, *, age_s: float, jitter: float, retry_after_s: float | None = None) -> float:
        return [1.0, 2.0][attempt - 1]


class DelayThatIsNoMethod(CustomRules):
    delay_s = 1.0  # type: ignore[assignment]


REFUSED = {
    "nothing": (None, "lacks attempts_max and age_s_max and delay_s"),
    "a number": (3, "lacks attempts_max and age_s_max and delay_s"),
    "the class": (RetryPolicy, "attempts_max is a whole number from 1, or None"),
    "without a delay": (WithoutDelay(), "lacks delay_s"),
    "without an age": (WithoutAge(), "lacks age_s_max"),
    "without attempts": (WithoutAttempts(), "lacks attempts_max"),
    "attempts of zero": (
        CustomRules(attempts_max=0),
        "attempts_max is a whole number from 1, or None for no bound, not 0",
    ),
    "half an attempt": (CustomRules(attempts_max=1.5), "attempts_max"),
    "attempts in words": (CustomRules(attempts_max="3"), "attempts_max"),
    "attempts as truth": (CustomRules(attempts_max=True), "attempts_max"),
    "no age": (CustomRules(age_s_max=None), "age_s_max is a number of seconds above 0, not None"),
    "endless": (CustomRules(age_s_max=float("inf")), "age_s_max"),
    "a delay that is a number": (DelayThatIsNoMethod(), "delay_s is a method"),
    "a delay of the attempt alone": (DelayOfAttempt(), "cannot be called: "),
    "a delay by position": (DelayInOrder(), "cannot be called: "),
    "a delay that cannot be asked for": (DelayWithoutAsked(), "unexpected keyword argument 'retry_after_s'"),
    "a delay to await": (AsyncDelay(), "returns <coroutine"),
    "a delay in words": (CustomRules(answer="1"), "returns '1', which is neither None nor a number of seconds from 0"),
    "a delay as truth": (CustomRules(answer=True), "neither None nor a number of seconds"),
    "a delay into the past": (CustomRules(answer=-1.0), "returns -1.0"),
    "a delay without end": (CustomRules(answer=float("inf")), "returns inf"),
    "a delay that is no number": (CustomRules(answer=float("nan")), "returns nan"),
    "a table that ends": (Table(), "raises IndexError: list index out of range"),
}


@pytest.mark.parametrize("argument", ["listener_retries", "delivery_retries"])
@pytest.mark.parametrize(("rules", "words"), REFUSED.values(), ids=REFUSED)
def test_unusable_retry_rules_are_refused_at_construction(argument: str, rules: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Federation(**{argument: rules})
    assert str(caught.value).startswith(argument)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        DELIVERY_RETRIES,
        LISTENER_RETRIES,
        POLICY,
        RetryPolicy(attempts_max=1, base_s=1, age_s_max=1),
        CustomRules(),
        CustomRules(answer=None),
        CustomRules(attempts_max=None),
        CustomRules(answer=0),
    ],
    ids=repr,
)
def test_complete_retry_rules_are_accepted(rules: Any) -> None:
    check_retries(rules, name="delivery_retries")
    assert Federation(delivery_retries=rules, listener_retries=rules).delivery_retries is rules


@pytest.mark.parametrize("failures", [1, 2, 5, 100])
def test_host_is_paused_after_any_number_of_failures(failures: int) -> None:
    for rules in (
        POLICY,
        DELIVERY_RETRIES,
        RetryPolicy(attempts_max=1, base_s=1, age_s_max=1),
        CustomRules(answer=None),
    ):
        assert host_pause_s(rules, failures, jitter=0.0, retry_after_s=None) > 0  # type: ignore[arg-type]
