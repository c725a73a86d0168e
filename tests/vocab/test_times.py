"""Check how moments and durations are read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.vocab import format_duration, format_moment, parse_duration, parse_moment
from vector_files import load_json, needs_vectors

VECTORS = (load_json("identifiers/datetimes.json") or {"cases": []})["cases"]


@needs_vectors
def test_number_of_vectors_is_pinned():
    assert len(VECTORS) == 9


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["input"] or "empty")
def test_published_moment_is_read(case):
    moment = parse_moment(case["input"])
    if case["utc"] == "either":  # The vectors leave the choice. apcore reads it as UTC.
        assert moment is not None
    else:
        assert (None if moment is None else moment.isoformat()) == case["utc"]


MOMENTS = [
    ("no zone is UTC", "2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("a bare date is midnight", "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
    ("a space for T", "2024-01-02 03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("no seconds", "2024-01-02T03:04Z", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
    ("an offset without colon", "2024-01-02T03:04:05+0130", datetime(2024, 1, 2, 1, 34, 5, tzinfo=UTC)),
    ("a negative offset", "2024-01-02T23:04:05-02:00", datetime(2024, 1, 3, 1, 4, 5, tzinfo=UTC)),
    ("nine digits are cut", "2024-01-02T03:04:05.123456789Z", datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    ("one digit is tenths", "2024-01-02T03:04:05.1Z", datetime(2024, 1, 2, 3, 4, 5, 100000, tzinfo=UTC)),
    ("a leap second", "2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("white space around", " 2024-01-02T03:04:05Z ", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("unix seconds", 1704164645, datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("unix milliseconds", 1704164645000, datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("month thirteen", "2022-13-01T00:00:00Z", None),
    ("past the end of time", "9999-12-31T23:59:59-01:00", None),
    ("an offset of a day", "2024-01-02T03:04:05+24:00", None),
    ("words", "yesterday", None),
    ("a truth value", True, None),
    ("zero", 0, None),
    ("a number beyond datetime", 10**30, None),
    ("not a number", float("nan"), None),
    ("an object", {}, None),
    ("digits of another script", "\uff12\uff10\uff12\uff14-01-02T03:04:05Z", None),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in MOMENTS], ids=[row[0] for row in MOMENTS])
def test_moment_is_read_or_ignored(value, expected):
    assert parse_moment(value) == expected


def test_moment_is_written_in_utc_with_z():
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert format_moment(moment) == "2024-01-02T01:04:05Z"
    assert format_moment(moment.replace(microsecond=5000)) == "2024-01-02T01:04:05.005000Z"


def test_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no zone"):
        format_moment(datetime(2024, 1, 2))  # noqa: DTZ001 - the point


@given(st.datetimes(timezones=st.just(UTC)))
def test_moment_reads_back(moment):
    assert parse_moment(format_moment(moment)) == moment


@given(st.one_of(st.text(max_size=40), st.floats(), st.integers(), st.none()))
def test_parsing_a_time_never_raises(value):
    parse_moment(value)
    parse_duration(value)


DURATIONS = [
    ("hours, minutes, seconds", "PT1H2M3S", timedelta(hours=1, minutes=2, seconds=3)),
    ("many seconds", "PT3612S", timedelta(seconds=3612)),
    ("a fraction", "PT1.5S", timedelta(seconds=1.5)),
    ("negative", "-PT5M", timedelta(minutes=-5)),
    ("days", "P1DT1H", timedelta(days=1, hours=1)),
    ("weeks", "P2W", timedelta(weeks=2)),
    ("years and months", "P1Y1M", timedelta(days=395)),
    ("seconds as a number", 90, timedelta(seconds=90)),
    ("seconds as a fraction", 1.5, timedelta(seconds=1.5)),
    ("seconds as digits", "90", timedelta(seconds=90)),
    ("nothing after P", "P", None),
    ("nothing after T", "PT", None),
    ("words", "an hour", None),
    ("a truth value", False, None),
    ("more than timedelta has", "P999999999Y", None),
    ("infinity", float("inf"), None),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in DURATIONS], ids=[row[0] for row in DURATIONS])
def test_duration_is_read_or_ignored(value, expected):
    assert parse_duration(value) == expected


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(hours=1, minutes=2, seconds=3), "PT1H2M3S"),
        (timedelta(0), "PT0S"),
        (timedelta(days=2), "PT48H"),
        (timedelta(seconds=-1.25), "-PT1.25S"),
    ],
    ids=str,
)
def test_duration_is_written_in_hours_minutes_and_seconds(duration, expected):
    assert format_duration(duration) == expected


@given(st.timedeltas(min_value=timedelta(days=-9999), max_value=timedelta(days=9999)))
def test_duration_reads_back(duration):
    parsed = parse_duration(format_duration(duration))
    assert parsed is not None
    assert abs(parsed - duration) <= timedelta(microseconds=200)  # A float carries it, as xsd:duration allows.
