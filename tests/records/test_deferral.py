"""A deferred record is due at its time, and at once if the clock was set back since it was put off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import frozen

from apcore.records import DeferredRecord, defer
from apcore.records.format import CLOCK_SKEW_MS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class Errand(DeferredRecord):
    """A record that waits."""

    name: str = ""


def test_new_record_is_due():
    assert Errand().due_in_s(NOW) is None


@pytest.mark.parametrize(
    ("elapsed_s", "due_in_s"),
    [(-CLOCK_SKEW_MS / 1000, 65.0), (0, 5.0), (1, 4.0), (4.999, 0.001), (5, None), (60, None)],
)
def test_deferred_record_is_due_at_its_time(elapsed_s, due_in_s):
    now = NOW + timedelta(seconds=elapsed_s)
    assert defer(Errand(name="x"), 5.0, NOW).due_in_s(now) == due_in_s


def test_deferred_record_is_due_at_once_if_the_clock_was_set_back():
    now = NOW - timedelta(milliseconds=CLOCK_SKEW_MS + 1)
    assert defer(Errand(), 5.0, NOW).due_in_s(now) is None


def test_delay_may_end_after_the_last_year_of_the_calendar():
    assert defer(Errand(), 1e12, NOW).due_in_s(NOW) == 1e12
