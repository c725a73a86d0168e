"""Check account identifiers: their canonical form, and the texts that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.discovery import Acct, parse_acct, parse_resource
from apcore.discovery.accounts import PastedName, parse_pasted
from apcore.errors import RequestError
from apcore.http import parse_origin
from vector_files import load_json, needs_vectors

CASES = (load_json("identifiers/acct.json") or {"cases": []})["cases"]
# The vectors leave these cases to policy; apcore decides as follows.
RESULTS_BY_POLICY = {"alice%40host@example.com": "error", "alïce@example.com": "acct:al%C3%AFce@example.com"}


@needs_vectors
@pytest.mark.parametrize("case", CASES, ids=[repr(case["input"]) for case in CASES])
def test_account_of_the_vectors_is_read_or_refused(case):
    expected = RESULTS_BY_POLICY[case["input"]] if case["result"] == "either" else case["result"]
    if expected == "error":
        with pytest.raises(RequestError):
            _ = parse_acct(case["input"])
    else:
        assert str(parse_acct(case["input"])) == expected


@needs_vectors
def test_account_vectors_are_complete():
    assert len(CASES) == 13
    assert sum(case["result"] == "either" for case in CASES) == len(RESULTS_BY_POLICY)


@pytest.mark.parametrize(
    ("text", "user", "host"),
    [
        ("@alice@example.com", "alice", "example.com"),
        ("ACCT:alice@example.com", "alice", "example.com"),
        ("acct:@alice@example.com", "alice", "example.com"),
        ("alice@example.com.", "alice", "example.com"),
        ("alice@example.com:443", "alice", "example.com"),
        ("alice@localhost:8000", "alice", "localhost:8000"),
        ("alice@127.0.0.1:8000", "alice", "127.0.0.1:8000"),
        ("al%69ce@example.com", "alice", "example.com"),
        ("al%2569ce@example.com", "al%69ce", "example.com"),
        ("a.b-c_d~!$&'()*+,;=@example.com", "a.b-c_d~!$&'()*+,;=", "example.com"),
    ],
)
def test_account_is_read_in_every_form(text, user, host):
    assert parse_acct(text) == Acct(user, host)
    assert parse_acct(str(parse_acct(text))) == Acct(user, host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "acct:",
        "alice",
        "alice@",
        "@alice",
        "@@example.com",
        "alice@example.com:0",
        "alice@example.com:65536",
        "alice@example.com:x",
        "alice@example..com",
        "alice@.",
        "alice@exa mple.com",
        "alice@example.com?x",
        "alice@example.com\\x",
        "alice@example。com",
        "alice@example%2ecom",
        "al%ice@example.com",
        "al%FFice@example.com",
        "al%00ice@example.com",
        "al/ice@example.com",
        "al:ice@example.com",
        "al%2Fice@example.com",
        "al\u2028ice@example.com",
        "mailto:alice@example.com",
        "a" * 2048 + "@example.com",
        "alice@" + "a" * 64 + ".com",
    ],
    ids=lambda text: repr(text[:40]),
)
def test_malformed_account_is_refused(text):
    with pytest.raises(RequestError):
        _ = parse_acct(text)


def test_user_names_compare_without_case():
    assert parse_acct("Alice@example.com") == parse_acct("alice@EXAMPLE.com")
    assert len({parse_acct("Alice@example.com"), parse_acct("alice@example.com")}) == 1
    assert parse_acct("alice@example.com") != parse_acct("alice@example.org")


def test_handle_has_the_common_form():
    assert parse_acct("acct:Alice@example.com:8443").handle == "@Alice@example.com:8443"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://example.com", "example.com"),
        ("http://example.com", "example.com"),
        ("http://localhost:8000", "localhost:8000"),
    ],
)
def test_account_at_an_origin_has_its_host(origin, host):
    assert Acct.at("alice", parse_origin(origin)) == Acct("alice", host)


@pytest.mark.parametrize("user", ["", "a@b", "a b", "a" * 3000])
def test_impossible_user_name_is_refused(user):
    with pytest.raises(RequestError):
        _ = Acct.at(user, parse_origin("https://example.com"))


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("acct:alice@example.com", Acct("alice", "example.com")),
        ("alice@example.com", Acct("alice", "example.com")),
        ("HTTPS://EXAMPLE.com/users/Alice", "https://example.com/users/Alice"),
        ("http://example.com", "http://example.com/"),
        *((text, text) for text in ("ftp://example.com/", "mailto:a@b", "urn:isbn:9780", "tel:+1", "localhost:80")),
    ],
)
def test_resource_is_an_account_or_a_url(text, resource):
    assert parse_resource(text) == resource


@pytest.mark.parametrize("text", ["", "alice", "https://", "https://a@example.com/", "acct:", "ACCT:alice"])
def test_malformed_resource_is_refused(text):
    with pytest.raises(RequestError):
        _ = parse_resource(text)


@given(st.text() | st.from_regex(r"(acct:)?@?[^@]{0,5}@[^@]{0,12}(:[0-9]{0,6})?", fullmatch=True))
def test_any_account_that_is_read_is_canonical(text):
    try:
        acct = parse_acct(text)
    except RequestError:
        return
    parsed_again = parse_acct(str(acct))
    assert (parsed_again.user, parsed_again.host) == (acct.user, acct.host)
    assert "@" not in acct.user
    assert "@" not in acct.host


# --- pasted text ------------------------------------------------------------------------------------------------------

PAGE = "https://example.com/@alice"


@pytest.mark.parametrize(
    "text",
    [
        "@alice@example.com",
        "alice@example.com",
        "acct:alice@example.com",
        "ACCT:alice@EXAMPLE.com",
        " \t@alice@example.com\n",
        "\u200b@alice@example.com\u200e",
        "\ufeffalice@example.com\u00a0",
        "<alice@example.com>",
        '"@alice@example.com"',
        "(@alice@example.com).",
        "\u201c@alice@example.com\u201d,",
        "@alice@example.com.",
        "@alice@example.com!",
        "\uff20alice\uff20example.com",
        "https://other.example/@alice@example.com",
        "other.example/@alice@example.com/",
    ],
)
def test_pasted_account_is_read(text):
    assert parse_pasted(text) == PastedName(Acct("alice", "example.com"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f" {PAGE} ", PAGE),
        (f"<{PAGE}>", PAGE),
        (f"({PAGE}).", PAGE),
        ("HTTPS://EXAMPLE.com/@alice", PAGE),
        ("http://example.com/@alice", "http://example.com/@alice"),
        ("example.com/@alice", PAGE),
        ("web+ap://example.com/@alice", PAGE),
        ("example.com", "https://example.com/"),
        ("b\u00fccher.example/@alice", "https://xn--bcher-kva.example/@alice"),
        ("https://example.com/a_(b)", "https://example.com/a_(b)"),
        ("https://example.com/a.", "https://example.com/a."),
        ("https://example.com/a?b#c", "https://example.com/a?b#c"),
    ],
)
def test_pasted_address_is_read(text, url):
    assert parse_pasted(text) == PastedName(url)


def test_pasted_group_is_read():
    assert parse_pasted(" !books@example.com") == PastedName(Acct("books", "example.com"), is_group=True)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "!", ".", "(((", "alice", "@alice", "a@b@c", "see @alice@example.com", "@alice@example.com\nx"),
        *("ftp://a.example/", "https://u@a.example/", "https://", "alice@example.com/path", "javascript:alert(1)"),
        "x" * 2049,
    ],
)
def test_other_pasted_text_is_refused(text):
    with pytest.raises(RequestError):
        _ = parse_pasted(text)


@given(st.text(max_size=60))
def test_any_pasted_text_is_read_or_refused_with_our_error(text):
    try:
        pasted = parse_pasted(text)
    except RequestError:
        return
    assert parse_pasted(str(pasted.name)).name == pasted.name
