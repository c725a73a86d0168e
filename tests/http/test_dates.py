"""Check HTTP dates and Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import format_http_date, parse_http_date, parse_retry_after

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_http_date_of_the_rfc_is_read_and_written():
    # RFC 9110 §5.6.7
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert (
        format_http_date(datetime(1994, 11, 6, 9, 49, 37, 5, tzinfo=timezone(timedelta(hours=1))))
        == "Sun, 06 Nov 1994 08:49:37 GMT"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 nov 1994 08:49:37 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 23:59:60 GMT",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_malformed_date_is_refused(text):
    with pytest.raises(RequestError, match="date"):
        parse_http_date(text)


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_http_date_round_trips(moment):
    assert parse_http_date(format_http_date(moment)) == moment.replace(microsecond=0)


def test_a_naive_date_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        format_http_date(datetime(2020, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("0", 0),
        ("120", 120),
        ("999999999", 3600),
        ("9999999999", None),
        ("Mon, 06 May 2024 07:09:09 GMT", 60),
        ("Mon, 06 May 2024 07:00:00 GMT", 0),
        ("Mon, 06 May 2999 07:00:00 GMT", 3600),
        ("120, 120", None),
    ],
)
def test_retry_after_is_bounded(text, seconds):
    assert parse_retry_after(text, now=NOW, max_s=3600) == seconds
