"""Check NodeInfo: it is written as the schemas demand, and read leniently."""

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


def test_well_known_document_links_both_versions():
    assert json.loads(nodeinfo_links("https://example.com")) == {
        "links": [
            {"rel": f"{SCHEMA}2.1", "href": "https://example.com/nodeinfo/2.1"},
            {"rel": f"{SCHEMA}2.0", "href": "https://example.com/nodeinfo/2.0"},
        ]
    }


def test_media_type_names_the_schema():
    assert nodeinfo_media_type("2.1") == f'application/json; profile="{SCHEMA}2.1#"'


def test_document_without_counts_leaves_them_out():
    assert json.loads(nodeinfo_document("2.0", "hello", "1.0")) == {
        "version": "2.0",
        "software": {"name": "hello", "version": "1.0"},
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": False,
        "usage": {"users": {}},
        "metadata": {},
    }


def full_document(version):
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


def test_document_has_the_given_values():
    assert full_document("2.1") == {
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
def test_written_document_fits_the_schema(version, full):
    schema = load_json(f"nodeinfo/{version}_schema.json")
    check_schema(schema, full_document(version) if full else json.loads(nodeinfo_document(version, "hello", "1.0")))


def check_schema(schema, value):
    """Check a value against the part of JSON Schema that the NodeInfo schemas use."""
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
            check_schema(schema.get("properties", {}).get(name, {}), member)
    elif isinstance(value, list):
        assert len(value) >= schema.get("minItems", 0)
        for item in value:
            check_schema(schema.get("items", {}), item)
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
def test_value_outside_the_schema_is_refused(version, name, counts, words):
    with pytest.raises(ValueError, match=words):
        _ = nodeinfo_document(version, name, "1.0", **counts)


# --- reading --------------------------------------------------------------------------------------------------------

EXAMPLES = ["1.0", "1.1", "2.0", "2.1", "2.2"]


@needs_vectors
@pytest.mark.parametrize("version", EXAMPLES)
def test_example_of_each_version_is_read(version):
    info = read_nodeinfo((VECTORS / f"nodeinfo/{version}_example.json").read_bytes())
    assert (info.version, info.software_name, info.software_version) == (version, "diaspora", "0.5.0")
    assert info.protocols[:1] == ("diaspora",)
    assert (info.users, info.users_active_month, info.users_active_halfyear) == (123, 23, 42)
    assert (info.posts, info.comments, info.open_registrations) == (500, 1000, True)
    assert not info.speaks_activitypub


@needs_vectors
def test_nodeinfo_vectors_are_complete():
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
def test_nodeinfo_of_real_servers_is_read(path, name, users):
    info = read_nodeinfo((VECTORS / path).read_bytes())
    assert info.software_name == name
    assert users is None or info.users == users
    assert info.speaks_activitypub


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_written_document_reads_back(version):
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
        ({"software": "hello"}, "software_name", "hello"),
        ({"software": "Hello 1.2"}, "software_version", "1.2"),
        ({"software": "hello/1.2"}, "software_version", "1.2"),
        ({"software": {"name": " hello ", "version": 1.2}}, "software_version", "1.2"),
        ({"software": {"version": True}}, "software_version", None),
        ({"version": 2.0}, "version", "2.0"),
        ({"metadata": []}, "software_name", None),
        ({"openRegistrations": "true"}, "open_registrations", True),
        ({"openRegistrations": 0}, "open_registrations", False),
        ({"openRegistrations": "closed"}, "open_registrations", None),
        ({"openRegistrations": []}, "open_registrations", None),
        ({"protocols": "activitypub"}, "protocols", ("activitypub",)),
        ({"protocols": ["ActivityPub"]}, "protocols", ("activitypub",)),
        ({"protocols": 7}, "protocols", ()),
        ({"protocols": ["activitypub", 1, None]}, "protocols", ("activitypub",)),
        ({"protocols": {"inbound": ["a", "b"], "outbound": ["b"]}}, "protocols", ("a", "b")),
    ],
)
def test_malformed_members_are_left_out(members, name, expected):
    assert getattr(read_nodeinfo(json.dumps(members).encode()), name) == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DocumentError),
        (b"[]", DocumentError),
        (b" " * 300_000, LimitExceeded),
        (b'{"a":' * 90 + b"1" + b"}" * 90, LimitExceeded),
    ],
    ids=["nothing", "array", "long", "deep"],
)
def test_malformed_document_is_refused(data, error):
    with pytest.raises(error):
        _ = read_nodeinfo(data)


NAMES = ["usage", "users", "total", "software", "name", "protocols", "inbound", "version", "openRegistrations"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_read_or_refused_with_our_error(value):
    with suppress(ApcoreError):
        assert isinstance(read_nodeinfo(json.dumps(value).encode()), NodeInfo)


# --- lookup ---------------------------------------------------------------------------------------------------------

A, B = "https://a.example", "https://b.example"
WELL_KNOWN = f"{A}/.well-known/nodeinfo"
POLICY = FetchPolicy()
INFO = Response(200, {"Content-Type": "application/json"}, nodeinfo_document("2.1", "hello", "1.0"))


def links_response(*versions_and_hrefs: tuple[str, str]) -> Response:
    body = jrd(None, links=[DescriptorLink(f"{SCHEMA}{version}", href=href) for version, href in versions_and_hrefs])
    return Response(200, {"Content-Type": "application/json"}, body)


def run_lookup(web: ScriptedWeb) -> NodeInfo:
    return web.run(lookup_nodeinfo(A, policy=POLICY))


def test_lookup_finds_our_own_document():
    web = ScriptedWeb({WELL_KNOWN: Response(200, {}, nodeinfo_links(A)), f"{A}/nodeinfo/2.1": INFO})
    assert run_lookup(web).software_name == "hello"
    assert web.asked() == [WELL_KNOWN, f"{A}/nodeinfo/2.1"]


@pytest.mark.parametrize(
    ("given_links", "document_url"),
    [
        ([("2.0", f"{A}/20"), ("2.1", f"{A}/21")], f"{A}/21"),
        ([("2.1", f"{A}/21"), ("2.2", f"{A}/22"), ("9.9", f"{A}/99")], f"{A}/22"),
        ([("1.0", f"{A}/10")], f"{A}/10"),
        ([("2.1", "data:application/json,{}"), ("2.0", f"{A}/20")], f"{A}/20"),
        ([("2.1", "/nodeinfo/2.1")], f"{A}/nodeinfo/2.1"),
        ([("2.1", "http://a.example/21")], f"{A}/21"),
        ([("2.1#", f"{A}/21")], f"{A}/21"),
    ],
    ids=["best", "newer", "old", "the-next", "relative", "http-behind-a-proxy", "fragment"],
)
def test_lookup_takes_the_best_known_version(given_links, document_url):
    web = ScriptedWeb({WELL_KNOWN: links_response(*given_links), document_url: INFO})
    assert run_lookup(web).software_name == "hello"
    assert web.asked() == [WELL_KNOWN, document_url]


def test_host_may_redirect_to_another_with_its_own_document():
    target = f"{B}/.well-known/nodeinfo"
    web = ScriptedWeb({WELL_KNOWN: redirect(target), target: links_response(("2.0", f"{B}/20")), f"{B}/20": INFO})
    assert run_lookup(web).software_name == "hello"


@pytest.mark.parametrize(
    ("pages", "error"),
    [
        ({WELL_KNOWN: links_response(("2.1", f"{B}/21")), f"{B}/21": INFO}, SubjectMismatch),
        ({WELL_KNOWN: links_response(("2.1", "http://a.example:81/21"))}, SubjectMismatch),
        ({WELL_KNOWN: links_response(("2.1", "//b.example/21"))}, SubjectMismatch),
        ({WELL_KNOWN: links_response(("2.1", "https://a.example:8443/21"))}, SubjectMismatch),
        ({WELL_KNOWN: links_response(("2.1", "http://169.254.169.254/latest"))}, SubjectMismatch),
        (
            {WELL_KNOWN: links_response(("2.1", f"{A}/21")), f"{A}/21": redirect(f"{B}/21"), f"{B}/21": INFO},
            SubjectMismatch,
        ),
        ({WELL_KNOWN: links_response()}, NoUsableDocument),
        ({WELL_KNOWN: links_response(("9.9", f"{A}/99"))}, NoUsableDocument),
        ({WELL_KNOWN: links_response(("2.1", "data:application/json,{}"))}, NoUsableDocument),
        ({WELL_KNOWN: Response(404)}, NotFound),
        ({WELL_KNOWN: Response(503)}, PeerFailing),
        ({WELL_KNOWN: Response(200, {}, b"<html>")}, DocumentError),
        ({WELL_KNOWN: links_response(("2.1", f"{A}/21")), f"{A}/21": Response(410)}, Gone),
        ({WELL_KNOWN: links_response(("2.1", f"{A}/21")), f"{A}/21": Response(200, {}, b"[]")}, DocumentError),
        ({WELL_KNOWN: redirect("")}, LimitExceeded),
        ({}, ConnectFailed),
    ],
    ids=[
        *(
            "another-host",
            "another-scheme",
            "other-by-path",
            "another-port",
            "metadata-service",
            "led-away",
            "no-links",
        ),
        *("unknown-version", "data-url", "404", "503", "page", "410", "array", "circle", "refused"),
    ],
)
def test_failed_lookup_raises_its_error(pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error):
        _ = run_lookup(web)
    assert len(web.asked()) <= 3


@pytest.mark.parametrize("origin", ["a.example", f"{A}/", f"{A}/x", ""])
def test_lookup_needs_an_origin(origin):
    web = ScriptedWeb()
    with pytest.raises(ValueError, match=r"url|origin"):
        _ = web.run(lookup_nodeinfo(origin, policy=POLICY))
    assert web.requests == []


def test_nodeinfo_response_size_is_bounded():
    web = ScriptedWeb({WELL_KNOWN: Response(200, {}, nodeinfo_links(A)), f"{A}/nodeinfo/2.1": INFO})
    _ = run_lookup(web)
    assert {request.limits.decoded_bytes_max for request in web.requests} == {256 * 1024}
