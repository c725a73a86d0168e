"""A deferred record is due at its time, and at once if the clock was set back since it was put off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import frozen

from apcore.records import DeferredRecord, defer
from apcore.records.format import CLOCK_SKEW_MS, Record, due_in

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class Errand(DeferredRecord):
    """A record that waits."""

    name: str = ""


def test_new_record_is_due():
    assert Errand().due_in_s(NOW) is None


@pytest.mark.parametrize("elapsed_s", [-CLOCK_SKEW_MS / 1000 - 1, -CLOCK_SKEW_MS / 1000, 0, 1, 4.999, 5, 60])
def test_deferred_record_is_due_when_the_record_of_earlier_releases_was(elapsed_s):
    now = NOW + timedelta(seconds=elapsed_s)
    assert defer(Errand(name="x"), 5.0, NOW).due_in_s(now) == Record(due_in(5.0, NOW)).due_in_s(now)


def test_delay_may_end_after_the_last_year_of_the_calendar():
    assert defer(Errand(), 1e12, NOW).due_in_s(NOW) == 1e12
