"""Check the helpers that the conformance suites share."""

from __future__ import annotations

import pytest

from apcore.testing.conformance import Conformance, ManualClock, Tokens, conformance, expect_refusal, open_closing


class Door:
    def __init__(self, clock):
        self.clock = clock
        self.closed = 0

    def close(self):
        self.closed += 1


def test_manual_clock_moves_only_when_advanced():
    clock = ManualClock(100)
    assert (clock(), clock()) == (100, 100)
    clock.advance(2.5)
    assert clock() == 102.5


def test_tokens_never_repeat_and_are_reproducible():
    first, second = Tokens(), Tokens()
    tokens = [first() for _ in range(100)]
    assert tokens == [second() for _ in range(100)]
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {16}


def test_store_is_opened_on_its_own_clock_and_always_closed():
    doors = []

    def fail():
        with open_closing(Door) as (door, clock):
            doors.append(door)
            assert door.clock is clock
            raise KeyError("as it happens")

    with pytest.raises(KeyError):
        fail()
    assert [door.closed for door in doors] == [1]


def test_expect_refusal_accepts_only_the_expected_error():
    expect_refusal(ValueError, "what", lambda: int("x"))
    with pytest.raises(AssertionError, match="what: ValueError was expected, but the answer was 1"):
        expect_refusal(ValueError, "what", lambda: 1)
    with pytest.raises(KeyError):
        expect_refusal(ValueError, "what", lambda: {}["x"])


def test_check_has_the_name_and_the_docstring_of_its_function():
    arguments = []

    def _doors_close(make):
        """Doors close."""
        arguments.append(make)

    check = conformance(_doors_close)
    assert isinstance(check, Conformance)
    assert (str(check), check.says) == ("doors_close", "Doors close.")
    check(Door)
    assert arguments == [Door]
