"""NodeInfo: written as the schemas demand, read as it is found."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.discovery import (
    DescriptorLink,
    NodeInfo,
    NoUsableDocument,
    SubjectMismatch,
    jrd,
    lookup_nodeinfo,
    nodeinfo_document,
    nodeinfo_links,
    nodeinfo_media_type,
    read_nodeinfo,
)
from apcore.errors import ApcoreError, ConnectFailed, DocumentError, LimitExceeded
from apcore.http import Response
from apcore.remote import FetchPolicy, Gone, NotFound, PeerFailing
from scripted_web import ScriptedWeb, redirect
from vector_files import VECTORS, load_json, needs_vectors

SCHEMA = "http://nodeinfo.diaspora.software/ns/schema/"


def test_the_links():
    assert json.loads(nodeinfo_links("https://example.com")) == {
        "links": [
            {"rel": f"{SCHEMA}2.1", "href": "https://example.com/nodeinfo/2.1"},
            {"rel": f"{SCHEMA}2.0", "href": "https://example.com/nodeinfo/2.0"},
        ]
    }


def test_the_media_type_names_the_schema():
    assert nodeinfo_media_type("2.1") == f'application/json; profile="{SCHEMA}2.1#"'


def test_what_is_not_told_is_left_out():
    assert json.loads(nodeinfo_document("2.0", "hello", "1.0")) == {
        "version": "2.0",
        "software": {"name": "hello", "version": "1.0"},
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": False,
        "usage": {"users": {}},
        "metadata": {},
    }


def _full(version):
    return json.loads(
        nodeinfo_document(
            version,
            "hello",
            "1.0",
            users=3,
            users_active_month=2,
            users_active_halfyear=0,
            posts=5,
            comments=6,
            open_registrations=True,
            repository="https://example.com/r",
            homepage="https://example.com/",
            metadata={"a": [1]},
        )
    )


def test_what_is_told_stands_in_its_place():
    assert _full("2.1") == {
        "version": "2.1",
        "software": {
            "name": "hello",
            "version": "1.0",
            "repository": "https://example.com/r",
            "homepage": "https://example.com/",
        },
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": True,
        "usage": {
            "users": {"total": 3, "activeMonth": 2, "activeHalfyear": 0},
            "localPosts": 5,
            "localComments": 6,
        },
        "metadata": {"a": [1]},
    }


@needs_vectors
@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize("full", [False, True], ids=["bare", "full"])
def test_the_schema_takes_what_is_written(version, full):
    schema = load_json(f"nodeinfo/{version}_schema.json")
    _hold(schema, _full(version) if full else json.loads(nodeinfo_document(version, "hello", "1.0")))


def _hold(schema, value):
    """The part of JSON Schema that NodeInfo's are written in."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]])
    if "enum" in schema:
        assert value in schema["enum"]
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= value.keys()
        if schema.get("additionalProperties") is False:
            assert value.keys() <= schema.get("properties", {}).keys()
        for name, member in value.items():
            _hold(schema.get("properties", {}).get(name, {}), member)
    elif isinstance(value, list):
        assert len(value) >= schema.get("minItems", 0)
        for item in value:
            _hold(schema.get("items", {}), item)
    elif isinstance(value, int):
        assert value >= schema.get("minimum", value)


@pytest.mark.parametrize(
    ("version", "name", "counts", "words"),
    [
        ("2.2", "hello", {}, "'2.2'"),
        ("2.1", "Hello World", {}, "'Hello World'"),
        ("2.1", "", {}, "''"),
        ("2.1", "hello", {"users": -1}, "-1"),
        ("2.1", "hello", {"posts": -2}, "-2"),
    ],
)
def test_what_no_schema_takes(version, name, counts, words):
    with pytest.raises(ValueError, match=words):
        _ = nodeinfo_document(version, name, "1.0", **counts)


# --- read -----------------------------------------------------------------------------------------------------------

EXAMPLES = ["1.0", "1.1", "2.0", "2.1", "2.2"]


@needs_vectors
@pytest.mark.parametrize("version", EXAMPLES)
def test_every_example_is_read(version):
    info = read_nodeinfo((VECTORS / f"nodeinfo/{version}_example.json").read_bytes())
    assert (info.version, info.software_name, info.software_version) == (version, "diaspora", "0.5.0")
    assert info.protocols[:1] == ("diaspora",)
    assert (info.users, info.users_active_month, info.users_active_halfyear) == (123, 23, 42)
    assert (info.posts, info.comments, info.open_registrations) == (500, 1000, True)
    assert not info.speaks_activitypub


@needs_vectors
def test_the_vectors_are_all_there():
    assert len(list((VECTORS / "nodeinfo").glob("*_example.json"))) == len(EXAMPLES)
    assert len(list((VECTORS / "payloads/nodeinfo").glob("*.json"))) == 2


@needs_vectors
@pytest.mark.parametrize(
    ("path", "name", "users"),
    [
        ("discovery/pleroma-repo__mastodon-nodeinfo20.json", "mastodon", 971090),
        ("payloads/nodeinfo/dat__nodeinfo_mastodon.json", "mastodon", None),
        ("payloads/nodeinfo/dat__nodeinfo_nodebb.json", "nodebb", None),
    ],
)
def test_what_servers_sent_is_read(path, name, users):
    info = read_nodeinfo((VECTORS / path).read_bytes())
    assert info.software_name == name
    assert users is None or info.users == users
    assert info.speaks_activitypub


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_what_is_written_is_read_back(version):
    info = read_nodeinfo(
        nodeinfo_document(version, "hello", "1.0", users=3, posts=5, open_registrations=True, metadata={"a": 1})
    )
    assert (info.version, info.software_name, info.software_version) == (version, "hello", "1.0")
    assert (info.users, info.posts, info.comments, info.open_registrations) == (3, 5, None, True)
    assert info.members["metadata"] == {"a": 1}
    assert info.speaks_activitypub


@pytest.mark.parametrize(
    ("members", "name", "expected"),
    [
        ({}, "version", None),
        ({"usage": []}, "users", None),
        ({"usage": {"users": []}}, "users", None),
        ({"usage": {"users": {"total": 3.0}}}, "users", 3),
        ({"usage": {"users": {"total": "3"}}}, "users", 3),
        ({"usage": {"users": {"total": 3.5}}}, "users", None),
        ({"usage": {"users": {"total": -3}}}, "users", None),
        ({"usage": {"users": {"total": True}}}, "users", None),
        ({"usage": {"users": {"total": "9" * 5000}}}, "users", None),
        ({"software": {"name": "Hello World"}}, "software_name", "hello world"),
        ({"software": {"name": 7}}, "software_name", None),
        ({"software": "hello"}, "software_name", None),
        ({"metadata": []}, "software_name", None),
        ({"openRegistrations": "true"}, "open_registrations", None),
        ({"protocols": "activitypub"}, "protocols", ()),
        ({"protocols": ["activitypub", 1, None]}, "protocols", ("activitypub",)),
        ({"protocols": {"inbound": ["a", "b"], "outbound": ["b"]}}, "protocols", ("a", "b")),
    ],
)
def test_what_is_odd_is_left_out(members, name, expected):
    assert getattr(read_nodeinfo(json.dumps(members).encode()), name) == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", DocumentError), (b"[]", DocumentError), (b" " * 300_000, LimitExceeded), (b'{"a":' * 90 + b"1" + b"}" * 90, LimitExceeded)],
    ids=["nothing", "array", "long", "deep"],
)  # fmt: skip
def test_what_is_none(data, error):
    with pytest.raises(error):
        _ = read_nodeinfo(data)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["usage", "users", "total", "software", "name", "protocols", "inbound", "version", "openRegistrations"]), inner
), max_leaves=20))  # fmt: skip
def test_whatever_comes_is_read_or_refused(value):
    with suppress(ApcoreError):
        assert isinstance(read_nodeinfo(json.dumps(value).encode()), NodeInfo)


# --- looked up ------------------------------------------------------------------------------------------------------

A, B = "https://a.example", "https://b.example"
WELL_KNOWN = f"{A}/.well-known/nodeinfo"
POLICY = FetchPolicy()
INFO = Response(200, {"Content-Type": "application/json"}, nodeinfo_document("2.1", "hello", "1.0"))


def links(*versions_and_hrefs: tuple[str, str]) -> Response:
    body = jrd(None, links=[DescriptorLink(f"{SCHEMA}{version}", href=href) for version, href in versions_and_hrefs])
    return Response(200, {"Content-Type": "application/json"}, body)


def looked_up(web: ScriptedWeb) -> NodeInfo:
    return web.run(lookup_nodeinfo(A, policy=POLICY))


def test_our_own_is_found():
    web = ScriptedWeb({WELL_KNOWN: Response(200, {}, nodeinfo_links(A)), f"{A}/nodeinfo/2.1": INFO})
    assert looked_up(web).software_name == "hello"
    assert web.asked() == [WELL_KNOWN, f"{A}/nodeinfo/2.1"]


@pytest.mark.parametrize(
    ("given_links", "chosen"),
    [
        ([("2.0", f"{A}/20"), ("2.1", f"{A}/21")], f"{A}/21"),
        ([("2.1", f"{A}/21"), ("2.2", f"{A}/22"), ("9.9", f"{A}/99")], f"{A}/22"),
        ([("1.0", f"{A}/10")], f"{A}/10"),
        ([("2.1", "data:application/json,{}"), ("2.0", f"{A}/20")], f"{A}/20"),
    ],
    ids=["best", "newer", "old", "the-next"],
)
def test_the_best_version_is_taken(given_links, chosen):
    web = ScriptedWeb({WELL_KNOWN: links(*given_links), chosen: INFO})
    assert looked_up(web).software_name == "hello"
    assert web.asked() == [WELL_KNOWN, chosen]


def test_a_host_may_be_led_to_another_which_speaks_for_itself():
    there = f"{B}/.well-known/nodeinfo"
    web = ScriptedWeb({WELL_KNOWN: redirect(there), there: links(("2.0", f"{B}/20")), f"{B}/20": INFO})
    assert looked_up(web).software_name == "hello"


@pytest.mark.parametrize(
    ("pages", "error"),
    [
        ({WELL_KNOWN: links(("2.1", f"{B}/21")), f"{B}/21": INFO}, SubjectMismatch),
        ({WELL_KNOWN: links(("2.1", "http://a.example/21"))}, SubjectMismatch),
        ({WELL_KNOWN: links(("2.1", "https://a.example:8443/21"))}, SubjectMismatch),
        ({WELL_KNOWN: links(("2.1", "http://169.254.169.254/latest"))}, SubjectMismatch),
        ({WELL_KNOWN: links(("2.1", f"{A}/21")), f"{A}/21": redirect(f"{B}/21"), f"{B}/21": INFO}, SubjectMismatch),
        ({WELL_KNOWN: links()}, NoUsableDocument),
        ({WELL_KNOWN: links(("9.9", f"{A}/99"))}, NoUsableDocument),
        ({WELL_KNOWN: links(("2.1", "data:application/json,{}"))}, NoUsableDocument),
        ({WELL_KNOWN: links(("2.1", "/nodeinfo/2.1"))}, NoUsableDocument),
        ({WELL_KNOWN: Response(404)}, NotFound),
        ({WELL_KNOWN: Response(503)}, PeerFailing),
        ({WELL_KNOWN: Response(200, {}, b"<html>")}, DocumentError),
        ({WELL_KNOWN: links(("2.1", f"{A}/21")), f"{A}/21": Response(410)}, Gone),
        ({WELL_KNOWN: links(("2.1", f"{A}/21")), f"{A}/21": Response(200, {}, b"[]")}, DocumentError),
        ({WELL_KNOWN: redirect("")}, LimitExceeded),
        ({}, ConnectFailed),
    ],
    ids=[
        *("another-host", "another-scheme", "another-port", "metadata-service", "led-away", "no-links", "unknown-version"),
        *("data-url", "relative", "404", "503", "page", "410", "array", "circle", "refused"),
    ],
)  # fmt: skip
def test_refused(pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error):
        _ = looked_up(web)
    assert len(web.asked()) <= 3


@pytest.mark.parametrize("origin", ["a.example", f"{A}/", f"{A}/x", ""])
def test_an_origin_is_given(origin):
    web = ScriptedWeb()
    with pytest.raises(ValueError, match=r"url|origin"):
        _ = web.run(lookup_nodeinfo(origin, policy=POLICY))
    assert web.requests == []


def test_an_answer_is_bounded():
    web = ScriptedWeb({WELL_KNOWN: Response(200, {}, nodeinfo_links(A)), f"{A}/nodeinfo/2.1": INFO})
    _ = looked_up(web)
    assert {request.limits.decoded_bytes_max for request in web.requests} == {256 * 1024}
