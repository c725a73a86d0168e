"""Check outbound URLs, origins and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import URL_LENGTH_MAX, Origin, join_url, parse_origin, parse_url, same_origin
from vector_files import load_json, needs_vectors

ORIGINS = (load_json("identifiers/origins.json") or {"cases": []})["cases"]


@needs_vectors
def test_origin_vectors_are_complete():
    assert len(ORIGINS) == 8


@pytest.mark.parametrize("case", ORIGINS, ids=lambda case: f"{case['a']} {case['b']}")
def test_origin_vectors_compare_as_expected(case):
    assert same_origin(case["a"], case["b"]) == case["same"] == same_origin(case["b"], case["a"])


def test_text_other_than_http_urls_has_no_common_origin():
    assert not same_origin("urn:x", "urn:x")
    assert not same_origin("https://a.example/", "")
    assert not same_origin("ap://example.com/a", "ap://example.com/a")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A?B#C", "https://example.com/A?B#C"),
        ("http://example.com:80", "http://example.com/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://example.com:08443/", "https://example.com:8443/"),
        ("https://example.com?", "https://example.com/?"),
        ("https://example.com/%7Ea/../b//c;d", "https://example.com/%7Ea/../b//c;d"),
        ("https://exämple.com/ü?ö#ä", "https://xn--exmple-cua.com/%C3%BC?%C3%B6#%C3%A4"),
        ("https://faß.de/", "https://xn--fa-hia.de/"),
        ("https://xn--n3h.net/", "https://xn--n3h.net/"),
        ("https://[2001:DB8:0:0::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("https://example.com/@a'b\"<>{}|^`", "https://example.com/@a'b\"<>{}|^`"),
    ],
)
def test_url_has_one_canonical_form(text, canonical):
    assert str(parse_url(text)) == canonical
    assert str(parse_url(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "/a",
        "//example.com/",
        "https:",
        "https:/a",
        "https:///a",
        "https://",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "https://a@example.com/",
        "https://@example.com/",
        "https://example.com:/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:443443/",
        "https://example.com:+1/",
        "https://example.com:a/",
        "https://[::1/",
        "https://::1/",
        "https://[::1]x/",
        "https://[127.0.0.1]/",
        "https://[::1%25lo]/",
        "https://exa%6dple.com/",
        "https://exa mple.com/",
        "https://example.com/\\a",
        "https://example.com\t/",
        "https://example.com/\n",
        "https://ex\u00adample.com\u3002evil.example/",
        "https://\uff0e\uff0e/",
        "https://a..b/",
        "https://.a/",
        "https://☃.net/",
        "https://" + "a" * 64 + ".example/",
        "https://a!b.example/",
        "https://example.com/\u2028",
        "https://example.com/\ud800",
        "https://" + "a." * 130 + "example/",
        " https://example.com/",
        "https://exam\u2026ple.com/",
    ],
    ids=ascii,
)
def test_url_that_parsers_read_differently_is_refused(text):
    with pytest.raises(RequestError, match="url"):
        parse_url(text)


def test_length_of_url_and_of_error_message_is_bounded():
    assert parse_url("https://a.example/".ljust(URL_LENGTH_MAX, "x"))
    with pytest.raises(RequestError, match=r"url of 4097 characters, at most 4096") as caught:
        parse_url("https://a.example/".ljust(URL_LENGTH_MAX + 1, "x"))
    assert len(str(caught.value)) < 200


def test_error_message_does_not_repeat_the_query():
    with pytest.raises(RequestError) as caught:
        parse_url("https://u:hunter2@a.example/?token=hunter2")
    assert "hunter2" not in str(caught.value)


def test_url_gives_target_authority_and_fragment():
    url = parse_url("https://example.com:8443/a?b#c")
    assert (url.target, url.origin.authority, url.fragment) == ("/a?b", "example.com:8443", "c")
    assert str(url.without_fragment()) == "https://example.com:8443/a?b"
    assert parse_url("https://[::1]/").origin == Origin("https", "::1", 443)
    assert parse_url("https://[::1]:444/").origin.authority == "[::1]:444"


@pytest.mark.parametrize(
    "text",
    ["https://example.com/", "https://example.com/a", "https://example.com?", "https://example.com#", "example.com"],
)
def test_origin_with_path_query_or_fragment_is_refused(text):
    with pytest.raises(ValueError):
        parse_origin(text)


def test_configured_origin_is_normalised():
    assert str(parse_origin("HTTPS://Example.com:443")) == "https://example.com"


# RFC 3986 §5.4, as far as the results are http URLs.
RFC3986 = [
    ("g", "/b/c/g"),
    ("./g", "/b/c/g"),
    ("g/", "/b/c/g/"),
    ("/g", "/g"),
    ("?y", "/b/c/d;p?y"),
    ("g?y", "/b/c/g?y"),
    ("#s", "/b/c/d;p?q#s"),
    ("g#s", "/b/c/g#s"),
    ("g?y#s", "/b/c/g?y#s"),
    (";x", "/b/c/;x"),
    ("g;x", "/b/c/g;x"),
    ("g;x?y#s", "/b/c/g;x?y#s"),
    ("", "/b/c/d;p?q"),
    (".", "/b/c/"),
    ("./", "/b/c/"),
    ("..", "/b/"),
    ("../", "/b/"),
    ("../g", "/b/g"),
    ("../..", "/"),
    ("../../", "/"),
    ("../../g", "/g"),
    ("../../../g", "/g"),
    ("../../../../g", "/g"),
    ("/./g", "/g"),
    ("/../g", "/g"),
    ("g.", "/b/c/g."),
    (".g", "/b/c/.g"),
    ("g..", "/b/c/g.."),
    ("..g", "/b/c/..g"),
    ("./../g", "/b/g"),
    ("./g/.", "/b/c/g/"),
    ("g/./h", "/b/c/g/h"),
    ("g/../h", "/b/c/h"),
    ("g;x=1/./y", "/b/c/g;x=1/y"),
    ("g;x=1/../y", "/b/c/y"),
    ("g?y/./x", "/b/c/g?y/./x"),
    ("g?y/../x", "/b/c/g?y/../x"),
    ("g#s/./x", "/b/c/g#s/./x"),
    ("g#s/../x", "/b/c/g#s/../x"),
]


@pytest.mark.parametrize(("reference", "expected"), RFC3986, ids=[row[0] or "empty" for row in RFC3986])
def test_references_resolve_as_in_rfc_3986(reference, expected):
    base = parse_url("http://a.example/b/c/d;p?q")
    assert str(join_url(base, reference)) == f"http://a.example{expected}"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("//b.example/x", "https://b.example/x"),
        ("http://b.example", "http://b.example/"),
        ("", "https://a.example/p"),
        ("/q", "https://a.example/q"),
        ("/q#", "https://a.example/q#"),
        ("ä", "https://a.example/%C3%A4"),
    ],
)
def test_reference_resolves_without_the_fragment_of_its_base(reference, expected):
    assert str(join_url(parse_url("https://a.example/p#f"), reference)) == expected


@pytest.mark.parametrize(
    "reference",
    ["g:h", "javascript:x", "//", "///x", "//u@b.example/", "file:///x", "\\\\evil", "x" * 5000, "a b"],
    ids=lambda r: r[:12],
)
def test_malformed_reference_is_refused(reference):
    with pytest.raises(RequestError):
        join_url(parse_url("https://a.example/"), reference)


@given(text=st.text(max_size=40).map(lambda tail: "https://" + tail) | st.text(max_size=40))
def test_any_text_gives_a_canonical_url_or_a_request_error(text):
    try:
        url = parse_url(text)
    except RequestError:
        return
    assert parse_url(str(url)) == url
    assert str(url).isascii()
    assert str(url).split("/")[2] == url.origin.authority


@given(reference=st.text("./?#:a@\\ä%", max_size=12))
def test_any_reference_gives_a_canonical_url_or_a_request_error(reference):
    try:
        url = join_url(parse_url("https://a.example/b/c?d"), reference)
    except RequestError:
        return
    assert parse_url(str(url)) == url
