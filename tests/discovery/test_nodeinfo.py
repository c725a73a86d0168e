"""NodeInfo: written as the schemas demand, read as it is found."""

from __future__ import annotations

import json

import pytest

from apcore.discovery import nodeinfo_document, nodeinfo_links, nodeinfo_media_type
from vector_files import load_json, needs_vectors

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
