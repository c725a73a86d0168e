"""What the suites share does what it says."""

from __future__ import annotations

import pytest

from apcore.testing.conformance import Conformance, ManualClock, Tokens, conformance, expect_refusal, open_closing


class Door:
    def __init__(self, clock):
        self.clock = clock
        self.closed = 0

    def close(self):
        self.closed += 1


def test_a_clock_moves_when_it_is_moved():
    clock = ManualClock(100)
    assert (clock(), clock()) == (100, 100)
    clock.advance(2.5)
    assert clock() == 102.5


def test_tokens_never_repeat_and_are_the_same_each_time():
    first, second = Tokens(), Tokens()
    drawn = [first() for _ in range(100)]
    assert drawn == [second() for _ in range(100)]
    assert len(set(drawn)) == 100
    assert {len(token) for token in drawn} == {16}


def test_opens_on_a_clock_of_its_own_and_closes_whatever_happens():
    doors = []

    def fail():
        with open_closing(Door) as (door, clock):
            doors.append(door)
            assert door.clock is clock
            raise KeyError("as it happens")

    with pytest.raises(KeyError):
        fail()
    assert [door.closed for door in doors] == [1]


def test_refusing_wants_the_error_and_no_other():
    expect_refusal(ValueError, "what", lambda: int("x"))
    with pytest.raises(AssertionError, match="what: ValueError was expected, but the answer was 1"):
        expect_refusal(ValueError, "what", lambda: 1)
    with pytest.raises(KeyError):
        expect_refusal(ValueError, "what", lambda: {}["x"])


def test_a_check_has_the_name_and_the_sentence_of_its_function():
    ran = []

    def _doors_close(make):
        """Doors close."""
        ran.append(make)

    check = conformance(_doors_close)
    assert isinstance(check, Conformance)
    assert (str(check), check.says) == ("doors_close", "Doors close.")
    check(Door)
    assert ran == [Door]
