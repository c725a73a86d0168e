"""Check compaction: the terms that are chosen, and the form of the values."""

import pytest

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ProcessingLimits, WorkBudget, compact
from apcore.jsonld.compaction import Compactor
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.terms import NotCovered

AS = "https://www.w3.org/ns/activitystreams"
XSD = "http://www.w3.org/2001/XMLSchema#"


def compact_by_table(expanded, context):
    return Compactor(compiler_of(BUNDLED), DEFAULT_LIMITS, WorkBudget(DEFAULT_LIMITS, 0)).compact(expanded, context)


def compact_members(context, **members):
    node = {key if key.startswith("@") else f"{AS}#{key}": value for key, value in members.items()}
    compacted = compact_by_table([{"@id": "https://i.example/", **node}], context)
    compacted.pop("@context", None)
    compacted.pop("id", None)
    compacted.pop("@id", None)
    return compacted


@pytest.mark.parametrize(
    ("context", "members", "expected"),
    [
        pytest.param(AS, {"name": [{"@value": "x"}]}, {"name": "x"}, id="text"),
        pytest.param(AS, {"name": [{"@value": "x"}, {"@value": "y"}]}, {"name": ["x", "y"]}, id="texts"),
        pytest.param(AS, {"name": []}, {"name": []}, id="nothing"),
        pytest.param(AS, {"to": [{"@id": f"{AS}#Public"}]}, {"to": "as:Public"}, id="prefix"),
        pytest.param(
            AS, {"content": [{"@value": "x", "@language": "en"}]}, {"contentMap": {"en": "x"}}, id="language map"
        ),
        pytest.param(
            AS,
            {"content": [{"@value": "x", "@language": "en"}, {"@value": "y"}, {"@value": "z", "@language": "en"}]},
            {"contentMap": {"en": ["x", "z"]}, "content": "y"},
            id="language map and text",
        ),
        pytest.param(AS, {"items": [{"@list": [{"@id": "a:b"}]}]}, {"orderedItems": ["a:b"]}, id="list"),
        pytest.param(AS, {"items": [{"@id": "a:b"}]}, {"items": "a:b"}, id="set"),
        pytest.param(AS, {"name": [{"@list": [{"@value": 1}]}]}, {"name": {"@list": [1]}}, id="list without a term"),
        pytest.param(
            AS, {"published": [{"@value": "n", "@type": f"{XSD}dateTime"}]}, {"published": "n"}, id="datatype"
        ),
        pytest.param(
            AS, {"published": [{"@value": "n"}]}, {"as:published": "n"}, id="another datatype than the term's"
        ),
        pytest.param(
            AS,
            {"name": [{"@value": "n", "@type": "x:y"}]},
            {"name": {"type": "x:y", "@value": "n"}},
            id="datatype without a term",
        ),
        pytest.param(AS, {"@type": [f"{AS}#Note", "x:y"]}, {"type": ["Note", "x:y"]}, id="types"),
        pytest.param(AS, {"@type": []}, {"type": []}, id="no types"),
        pytest.param({}, {"name": [{"@value": 1}]}, {f"{AS}#name": 1}, id="no context"),
        pytest.param({"@vocab": f"{AS}#"}, {"name": [{"@value": 1}]}, {"name": 1}, id="vocabulary"),
        pytest.param(
            [AS, {"@language": "en"}], {"name": [{"@value": "x"}]}, {"name": {"@value": "x"}}, id="no language"
        ),
        pytest.param(
            [AS, {"@language": "en"}],
            {"rel": [{"@value": "x", "@language": "en"}]},
            {"rel": "x"},
            id="default language",
        ),
        pytest.param(
            [AS, {"to": {"@id": "as:to", "@type": "@id", "@container": "@set"}}],
            {"to": [{"@id": "a:b"}]},
            {"to": ["a:b"]},
            id="always an array",
        ),
        pytest.param(
            [AS, {"kind": {"@id": "as:rel", "@type": "@vocab"}}],
            {"rel": [{"@id": f"{AS}#Note"}, {"@id": "x:y"}]},
            {"kind": ["Note", "x:y"]},
            id="words as values",
        ),
    ],
)
def test_members_are_compacted_to_their_terms(context, members, expected):
    assert compact_members(context, **members) == expected


def test_context_comes_first_without_its_empty_parts():
    compacted = compact_by_table([{f"{AS}#name": [{"@value": "x"}]}], [AS, {}])
    assert list(compacted) == ["@context", "name"]
    assert compacted["@context"] == AS
    assert compact_by_table([], AS) == {"@context": AS}


@pytest.mark.parametrize(
    "expanded",
    [
        pytest.param([{"@reverse": {}}], id="reverse"),
        pytest.param([{}, {}], id="two nodes"),
        pytest.param([{f"{AS}#name": [{"@value": 1, "@index": "x"}]}], id="index"),
        pytest.param([{f"{AS}#name": "x"}], id="not expanded"),
        pytest.param([{"@id": "as:x", f"{AS}#name": [{"@value": 1}]}], id="confused with a prefix"),
    ],
)
def test_compaction_leaves_special_forms_to_the_slow_path(expanded):
    with pytest.raises(NotCovered):
        compact_by_table(expanded, AS)


@pytest.mark.parametrize(
    "expanded",
    [
        pytest.param([{f"{AS}#name": "x"}], id="text"),
        pytest.param([{f"{AS}#name": [5]}], id="number"),
        pytest.param([{"@id": "as:x", f"{AS}#name": [{"@value": 1}]}], id="confused with a prefix"),
    ],
)
def test_malformed_expanded_form_is_refused(expanded):
    if expanded == [{f"{AS}#name": [5]}]:
        # PyLD accepts it, and so do we.
        assert compact(expanded, AS)["name"] == 5
    else:
        with pytest.raises(DocumentError):
            compact(expanded, AS)


def test_several_nodes_become_a_graph_of_nodes():
    nodes = [{"@id": "a:b", f"{AS}#name": [{"@value": 1}]}, {"@id": "a:c", f"{AS}#name": [{"@value": 2}]}]
    assert compact(nodes, AS)["@graph"] == [{"id": "a:b", "name": 1}, {"id": "a:c", "name": 2}]


def test_arrays_are_kept_on_request():
    assert compact([{f"{AS}#name": [{"@value": 1}]}], AS, compact_arrays=False)["@graph"] == [{"name": [1]}]


def test_depth_and_nodes_are_bounded():
    node = {f"{AS}#name": [{"@value": 1}]}
    for _ in range(100):
        node = {f"{AS}#object": [node]}
    with pytest.raises(LimitExceeded, match="depth_max"):
        compact([node], AS)
    with pytest.raises(LimitExceeded, match="nodes_max"):
        compact([{f"{AS}#object": [{}, {}, {}]}], AS, limits=ProcessingLimits(nodes_max=3))


def test_compaction_never_changes_its_input():
    expanded = [{f"{AS}#items": [{"@list": [{"@id": "a:b"}]}]}]
    compact(expanded, AS)["orderedItems"].append("x")
    assert expanded == [{f"{AS}#items": [{"@list": [{"@id": "a:b"}]}]}]


def test_compaction_needs_a_context():
    with pytest.raises(DocumentError, match="null"):
        compact([{f"{AS}#name": [{"@value": 1}]}], None)
