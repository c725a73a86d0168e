"""Check headers, requests, responses and limits as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import DELIVERY_LIMITS, Headers, Request, Response, TransportLimits, redact_url

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=8)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters=[chr(c) for c in range(0x7F, 0x80)]),
    max_size=12,
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def test_headers_keep_order_and_repetition_and_ignore_case_of_names():
    headers = Headers([("B", "1"), ("a", "2"), ("b", "3")])
    assert headers.pairs == (("b", "1"), ("a", "2"), ("b", "3"))
    assert headers.get_all("B") == ("1", "3")
    assert "A" in headers
    assert 7 not in headers
    assert list(headers) == list(headers.pairs)
    assert len(headers) == 3


def test_repeated_fields_are_combined_in_wire_order():
    # RFC 9110 §5.2
    assert Headers([("Accept", "a"), ("X", "-"), ("accept", "b")]).get("ACCEPT") == "a, b"
    assert Headers().get("accept") is None


def test_headers_are_made_from_mappings_pairs_and_headers():
    headers = Headers({"A": "1"})
    assert (
        Headers([("a", "1")]) == Headers(headers) == headers == Request("GET", "https://a.example/", {"A": "1"}).headers
    )
    assert hash(Headers([("a", "1")])) == hash(headers)


def test_changed_headers_are_a_new_value():
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    assert headers.with_set("A", "9").pairs == (("a", "9"), ("b", "2"))
    assert headers.with_set("C", "9").pairs[-1] == ("c", "9")
    assert headers.with_added("A", "9").pairs[-1] == ("a", "9")
    assert headers.without("A", "b").pairs == ()
    assert headers.pairs == (("a", "1"), ("b", "2"), ("a", "3"))


@pytest.mark.hole(6)
@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x7f", "\x1b", "\u0100", "\u2028", "\ud800"], ids=ascii)
def test_dangerous_characters_in_values_are_refused_everywhere(character):
    value = f"ok{character}evil: yes"
    for make_headers in (
        lambda: Headers({"X": value}),
        lambda: Headers().with_set("X", value),
        lambda: Headers().with_added("X", value),
    ):
        with pytest.raises(ValueError, match=r"'X' has the forbidden character .* at position 2"):
            make_headers()


def test_refused_value_is_not_in_the_error_message():
    with pytest.raises(ValueError) as caught:
        Headers({"Authorization": "hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\n", "ä", "(x)", "a\0"], ids=ascii)
def test_header_names_other_than_tokens_are_refused(name):
    with pytest.raises(ValueError, match="is not a token"):
        Headers({name: "x"})
    with pytest.raises(ValueError, match="is not a token"):
        Headers().with_added(name, "x")


@pytest.mark.parametrize("pair", [(b"a b", b"x"), (b"a", b"x\ny"), (b"\xe4", b"x")])
def test_malformed_header_of_a_peer_is_a_request_error(pair):
    with pytest.raises(RequestError):
        Headers.from_wire([pair])
    with pytest.raises(RequestError):
        Request.received("GET", "https://a.example/", [pair], b"")


def test_white_space_around_a_value_is_removed():
    assert Headers({"a": " \tb c\t "}).get("a") == "b c"


@given(pairs=PAIRS)
def test_headers_round_trip_over_the_wire(pairs):
    headers = Headers(pairs)
    assert Headers.from_wire(headers.to_wire()) == headers


@given(pairs=PAIRS, name=NAMES, value=VALUES)
def test_with_set_leaves_exactly_one_value(pairs, name, value):
    headers = Headers(pairs).with_set(name, value)
    assert headers.get_all(name) == (value.strip(" \t"),)
    assert headers.without(name) == Headers(pairs).without(name)


@given(raw=st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=12)), max_size=4))
def test_any_bytes_give_headers_or_a_request_error(raw):
    try:
        headers = Headers.from_wire(raw)
    except RequestError:
        return
    assert all(char not in value for _, value in headers for char in "\r\n\0")


SECRETS = ["Authorization", "Cookie", "Set-Cookie", "Signature", "Proxy-Authorization"]


@pytest.mark.parametrize("name", SECRETS)
def test_repr_hides_secrets(name):
    request = Request(
        "POST", "https://a.example/inbox?token=hunter2", {name: "hunter2", "Host": "a.example"}, b"hunter2"
    )
    response = Response(302, {name: "hunter2", "Location": "https://b.example/?hunter2"}, b"hunter2", truncated=True)
    assert "hunter2" not in repr(request) + repr(response)
    assert repr(request).startswith("Request(POST https://a.example/inbox?..., Headers(")
    assert repr(response).endswith(", 7 bytes, truncated)")
    assert "a.example" in repr(request.headers)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://a.example/p?q", "https://a.example/p?..."),
        ("https://a.example/p", "https://a.example/p"),
        ("https://u:p@a.example/p?", "https://...@a.example/p?..."),
        ("https://u@v@a.example", "https://...@a.example"),
        ("https://a.example/@alice", "https://a.example/@alice"),
        ("nonsense", "nonsense"),
    ],
)
def test_redacted_url_hides_query_and_user_info(url, redacted):
    assert redact_url(url) == redacted


@pytest.mark.parametrize(
    "url",
    ["", "https://a.example/a b", "https://a.example/\r\nX: y", "https://ä.example/", "https://a.example/\0"],
    ids=ascii,
)
def test_request_refuses_ambiguous_urls(url):
    with pytest.raises(ValueError, match="url"):
        Request("GET", url)
    with pytest.raises(RequestError, match="url"):
        Request.received("GET", url, [], b"")


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "G\0", "ÄH"], ids=ascii)
def test_request_refuses_methods_other_than_tokens(method):
    with pytest.raises(ValueError, match="is not a token"):
        Request(method, "https://a.example/")


@pytest.mark.parametrize("status", [0, 99, 100, 199, 600, -1, 1000])
def test_a_response_has_a_final_status(status):
    with pytest.raises(ValueError, match="not a final HTTP status"):
        Response(status)


@pytest.mark.parametrize(
    "limits",
    [
        {"deadline_s": 0},
        {"deadline_s": -1},
        {"deadline_s": 1e9},
        {"deadline_s": float("nan")},
        {"connect_s": float("inf")},
        {"body_bytes_max": -1},
        {"decoded_bytes_max": -1},
        {"header_bytes_max": -1},
        {"header_count_max": -1},
        {"informational_max": -1},
        {"trailer_bytes_max": -1},
        {"body_bytes_max": 2**40},
        {"body_excess": "ignore"},
    ],
    ids=str,
)
def test_limits_out_of_range_are_refused_by_name(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        TransportLimits(**limits)


def test_values_are_frozen_and_have_defaults():
    request = Request("GET", "https://a.example/")
    with pytest.raises(AttributeError):
        request.url = "https://b.example/"
    assert (request.body, request.limits, len(request.headers)) == (b"", TransportLimits(), 0)
    assert DELIVERY_LIMITS.body_excess == "cut"


@pytest.mark.parametrize(
    ("deadline_s", "expected"),
    [(60.0, (30.0, 10.0)), (30.0, (30.0, 10.0)), (20.0, (20.0, 10.0)), (5.0, (5.0, 5.0)), (0.25, (0.25, 0.25))],
)
def test_limits_are_shortened_to_a_deadline(deadline_s, expected):
    limits = TransportLimits(body_bytes_max=7)
    shortened = limits.within(deadline_s)
    assert (shortened.deadline_s, shortened.connect_s, shortened.body_bytes_max) == (*expected, 7)
