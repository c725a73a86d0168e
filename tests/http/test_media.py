"""Check media types: which count as ActivityPub, and content negotiation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import (
    ACCEPT_ACTIVITYPUB,
    ACTIVITY_JSON,
    LD_JSON,
    MediaType,
    is_activitypub,
    is_unprofiled_json_ld,
    negotiate,
    parse_media_type,
    quality,
    wants_activitypub,
)
from vector_files import load_json, needs_vectors

VECTORS = (load_json("identifiers/content-types.json") or {"cases": []})["cases"]
AS2 = "https://www.w3.org/ns/activitystreams"


@needs_vectors
def test_content_type_vectors_are_complete():
    assert len(VECTORS) == 8


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["contentType"] or "empty")
def test_content_type_vectors(case):
    assert is_activitypub(case["contentType"]) == case["accept"]


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        (None, False),
        ("Application/Activity+JSON; Charset=UTF-8", True),
        ("application/activity+json;", True),
        (f"application/ld+json;profile={AS2}", True),
        (f'application/ld+json; PROFILE="https://w3id.org/security/v1 {AS2}"', True),
        (f'application/ld+json; profile="{AS2}#"', False),
        ("application/ld+json", False),
        (f'application/ld+json; profile="{AS2}"; profile="x"', False),
        (f'application/ld+json; charset="; profile={AS2}"', False),
        ("application/activity+json, application/activity+json", False),
        ("application/activity+json, text/html", False),
        ("text/html; application/activity+json", False),
        ("application/activity+jsonx", False),
        ("application/activity+json x", False),
        ("image/png", False),
        ("*/*", False),
    ],
)
def test_activitypub_media_types_are_recognised(content_type, accepted):
    assert is_activitypub(content_type) == accepted


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [
        ("application/ld+json", True),
        ("Application/LD+JSON; charset=utf-8", True),
        (f'application/ld+json; profile="{AS2}"', False),
        ('application/ld+json; profile="http://www.w3.org/ns/json-ld#expanded"', False),
        ('application/ld+json; profile=""', False),
        ("application/ld+json; profile", False),
        ("application/activity+json", False),
        ("application/json", False),
        ("text/html", False),
        ("", False),
        (None, False),
    ],
)
def test_json_ld_without_a_profile_is_recognised(content_type, answer):
    assert is_unprofiled_json_ld(content_type) is answer


def test_accept_field_of_a_fetch_leaves_the_profile_out_for_frameworks_that_compare_parameters():
    assert ACCEPT_ACTIVITYPUB == "application/activity+json, application/ld+json"


def test_media_type_is_parsed_into_its_parts():
    parsed = parse_media_type('Text/HTML; Charset="a\\"b"; x=y')
    assert parsed == MediaType("text", "html", (("charset", 'a"b'), ("x", "y")))
    assert (parsed.essence, parsed.get("x"), parsed.get("z")) == ("text/html", "y", None)
    assert parse_media_type(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "text/",
        "/html",
        "text/html/x",
        "text/html; a",
        "text/html; a=",
        'text/html; a="b',
        "text/html; a=1; A=2",
        "text /html",
        "a/b, c/d",
    ],
)
def test_malformed_media_type_is_refused(text):
    with pytest.raises(RequestError, match="media type"):
        parse_media_type(text)


HTML = "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, HTML),
        ("", HTML),
        ("rubbish", HTML),
        ("*/*", HTML),
        (BROWSER, HTML),
        (ACTIVITY_JSON, ACTIVITY_JSON),
        (ACCEPT_ACTIVITYPUB, ACTIVITY_JSON),
        (f"{ACTIVITY_JSON}, {HTML};q=0.1", ACTIVITY_JSON),
        (f"{ACTIVITY_JSON};q=0.1, {HTML}", HTML),
        ("application/*", ACTIVITY_JSON),
        ("application/ld+json", LD_JSON),
        ('application/ld+json; profile="http://other.example/"', None),
        (f"{ACTIVITY_JSON}; charset=utf-8", ACTIVITY_JSON),
        ("text/plain", None),
        ("*/*;q=0", None),
        ("text/html;q=0, */*;q=0.5", ACTIVITY_JSON),
        ("text/*;q=0.5, text/html;q=0.1, application/ld+json;q=0.3", LD_JSON),
        ("text/html;q=2, application/activity+json;q=0.1", ACTIVITY_JSON),
        ("application/activity+json rubbish, text/html", HTML),
    ],
)
def test_negotiation_selects_the_preferred_media_type(accept, media_type):
    assert negotiate(accept, [HTML, ACTIVITY_JSON, LD_JSON]) == media_type


def test_negotiation_without_offers_selects_nothing():
    assert negotiate("*/*", []) is None


@pytest.mark.parametrize(
    ("accept", "is_preferred"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        (BROWSER, False),
        (ACTIVITY_JSON, True),
        (LD_JSON, True),
        (ACCEPT_ACTIVITYPUB, True),
        ("application/ld+json", True),
        (f"{HTML}, {ACTIVITY_JSON}", True),
        (f"{HTML}, {ACTIVITY_JSON};q=0.9", False),
        (f"{ACTIVITY_JSON};q=0", False),
        ("application/activity+json, application/ld+json", True),
        (f"{ACTIVITY_JSON};q=0.5, */*;q=0.4", True),
        ("application/json", False),
    ],
)
def test_accept_field_that_prefers_activitypub_is_recognised(accept, is_preferred):
    assert wants_activitypub(accept) == is_preferred


def test_quality_is_that_of_the_most_specific_range():
    accept = "text/*;q=0.3, text/html;q=0.7, text/html;level=1, */*;q=0.5"  # RFC 9110 §12.5.1
    weights = {"text/html;level=1": 1, "text/html": 0.7, "text/plain": 0.3, "image/jpeg": 0.5, "text/html;level=3": 0.7}
    assert {offered: quality(accept, offered) for offered in weights} == weights


@given(text=st.text('aq/*;=,."\\ 01', max_size=40) | st.text(max_size=30))
def test_any_text_is_read_without_error(text):
    assert quality(text, HTML) in {value / 1000 for value in range(1001)}
    assert is_activitypub(text) is False
    assert is_unprofiled_json_ld(text) is False
    assert wants_activitypub(text) is False


def test_hostile_accept_field_is_read_in_linear_time():
    for hostile in ("a/b;" + ";" * 60000, "a/b" + " " * 60000 + "x", 'a/b;a="' + "\\" * 60000, "a/b," * 15000):
        assert quality(hostile, HTML) in {0, 1}
