"""Check expansion: the documents that the tables cover, and the limits."""

import pytest

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ProcessingLimits, WorkBudget, expand
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.expansion import Expander
from apcore.jsonld.terms import NotCovered

AS = "https://www.w3.org/ns/activitystreams"
SEC = "https://w3id.org/security#"


def expand_by_table(document, *, base=None):
    work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    return Expander(compiler_of(BUNDLED), DEFAULT_LIMITS, base, work).expand(document, None)


def expand_members(**document):
    [node] = expand_by_table({"@context": AS, **document})
    return {key.removeprefix(f"{AS}#"): value for key, value in node.items()}


@pytest.mark.parametrize(
    ("members", "expanded"),
    [
        pytest.param({"name": "x"}, {"name": [{"@value": "x"}]}, id="text"),
        pytest.param({"actor": "https://a.example/"}, {"actor": [{"@id": "https://a.example/"}]}, id="reference"),
        pytest.param({"actor": "as:Public"}, {"actor": [{"@id": f"{AS}#Public"}]}, id="reference with prefix"),
        pytest.param({"actor": 5}, {"actor": [{"@value": 5}]}, id="number for a reference"),
        pytest.param({"actor": None, "to": []}, {"to": []}, id="null"),
        pytest.param({"to": []}, {"to": []}, id="no values"),
        pytest.param({"to": ["a:b", ["c:d", None]]}, {"to": [{"@id": "a:b"}, {"@id": "c:d"}]}, id="array in array"),
        pytest.param(
            {"published": "now"},
            {"published": [{"@type": "http://www.w3.org/2001/XMLSchema#dateTime", "@value": "now"}]},
            id="datatype",
        ),
        pytest.param(
            {"contentMap": {"en": "a", "DE": ["b", None], "@none": "c"}},
            {"content": [{"@value": "c"}, {"@value": "b", "@language": "de"}, {"@value": "a", "@language": "en"}]},
            id="language map",
        ),
        pytest.param({"orderedItems": "a:b"}, {"items": [{"@list": [{"@id": "a:b"}]}]}, id="list"),
        pytest.param({"unknown": 1}, {"_:unknown": [{"@value": 1}]}, id="unknown word"),
        pytest.param(
            {"as:name": "b", "name": "a"}, {"name": [{"@value": "b"}, {"@value": "a"}]}, id="one meaning, two words"
        ),
        pytest.param({"type": ["Note", "x:y"]}, {"@type": [f"{AS}#Note", "x:y"]}, id="types"),
        pytest.param({"type": [], "name": "x"}, {"name": [{"@value": "x"}]}, id="no types"),
        pytest.param(
            {"name": {"@value": "a", "@language": "EN"}}, {"name": [{"@value": "a", "@language": "en"}]}, id="value"
        ),
        pytest.param({"icon": {}}, {"icon": [{}]}, id="empty object"),
        pytest.param(
            {"tag": {"@context": {"name": "x:name"}, "name": "n"}},
            {"tag": [{"x:name": [{"@value": "n"}]}]},
            id="context inside",
        ),
    ],
)
def test_members_are_expanded(members, expanded):
    assert expand_members(id="https://i.example/", **members) == {"@id": "https://i.example/", **expanded}


@pytest.mark.parametrize("document", [{}, {"id": "https://a.example/"}, {"@value": "x"}, {"@context": AS}])
def test_document_without_statements_expands_to_nothing(document):
    assert expand_by_table(document) == []


def test_type_scoped_context_ends_with_its_node():
    document = {
        "@context": [AS, "https://w3id.org/security/data-integrity/v2"],
        "type": "Note",
        "proof": {
            "type": "DataIntegrityProof",
            "proofPurpose": "assertionMethod",
            "verificationMethod": {"created": "outside"},
        },
    }
    [node] = expand_by_table(document)
    [proof] = node[f"{SEC}proof"][0]["@graph"]
    assert proof[f"{SEC}proofPurpose"] == [{"@id": f"{SEC}assertionMethod"}]
    assert proof[f"{SEC}verificationMethod"] == [{"_:created": [{"@value": "outside"}]}]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"@graph": []}, id="graph"),
        pytest.param({"@context": {"@base": "https://b.example/"}}, id="base"),
        pytest.param({"@context": {"x": {"@reverse": "a:b"}}}, id="reverse"),
        pytest.param({"@context": []}, id="no context at all"),
        pytest.param({"id": 5, "@context": AS}, id="error"),
        pytest.param({"@context": {"a": "b:c", "b": "a:d"}}, id="cycle"),
        pytest.param({"@context": AS, "name": {"@value": None}}, id="null value"),
        pytest.param([], id="array"),
    ],
)
def test_expansion_leaves_special_forms_to_the_slow_path(document):
    with pytest.raises(NotCovered):
        expand_by_table(document)


def test_relative_reference_with_a_base_takes_the_slow_path():
    document = {"@context": AS, "actor": "/x"}
    with pytest.raises(NotCovered):
        expand_by_table(document, base="https://a.example/")
    assert expand(document, base="https://a.example/")[0][f"{AS}#actor"] == [{"@id": "https://a.example/x"}]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"@context": AS, "id": 5}, id="id"),
        pytest.param({"@context": AS, "type": {}}, id="type"),
        pytest.param({"@context": 5}, id="context"),
        pytest.param({"@context": {"@vocab": None}}, id="oddity of the slow path"),
        pytest.param({"@context": {"@version": 1.0}}, id="version"),
        pytest.param({"@context": AS, "name": 10**400}, id="beyond a double"),
        pytest.param({"@context": {"@foo": "x", "a": "b"}}, id="term like a keyword"),
        pytest.param({"@context": ["https://w3id.org/security/multikey/v1", {"Multikey": "x:y"}]}, id="protected"),
        pytest.param({"@context": ["https://w3id.org/security/multikey/v1", None]}, id="protected, nullified"),
    ],
)
def test_invalid_linked_data_is_refused(document):
    with pytest.raises(DocumentError):
        expand(document)


def nested_document(levels):
    document = {"name": "x"}
    for _ in range(levels):
        document = {"object": document}
    return {"@context": AS, **document}


def nested_array_document(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return {"@context": AS, "name": value}


@pytest.mark.parametrize(
    ("document", "limits", "name"),
    [
        pytest.param(nested_document(64), ProcessingLimits(), "depth_max", id="depth"),
        pytest.param(nested_document(5_000), ProcessingLimits(), "depth_max", id="depth beyond the stack"),
        pytest.param(nested_array_document(5_000), ProcessingLimits(), "depth_max", id="depth of arrays"),
        pytest.param(
            {"@reverse": nested_document(5_000)}, ProcessingLimits(), "depth_max", id="depth on the slow path"
        ),
        pytest.param({"@context": AS, "tag": [{}] * 20}, ProcessingLimits(nodes_max=20), "nodes_max", id="nodes"),
        pytest.param({"@context": AS, "tag": [1] * 11}, ProcessingLimits(array_max=10), "array_max", id="array"),
        pytest.param({"@graph": [{}] * 5_001}, ProcessingLimits(), "slow_nodes_max", id="nodes on the slow path"),
        pytest.param(
            {"tag": [{"@context": {f"t{n}": "a:b"}} for n in range(257)], "@context": AS},
            ProcessingLimits(),
            "contexts_max",
            id="contexts",
        ),
        pytest.param({"@context": {f"t{n}": "a:b" for n in range(2_001)}}, ProcessingLimits(), "terms_max", id="terms"),
        pytest.param(
            {"@context": {f"t{n}": "a:b" for n in range(2_001)}, "@graph": []},
            ProcessingLimits(),
            "terms_max",
            id="terms, slow path",
        ),
        pytest.param(
            {
                "@context": {"T": {"@id": "a:T", "@context": {f"t{n}": "a:b" for n in range(500)}}},
                "@graph": [{"@type": "T"}] * 400,
            },
            ProcessingLimits(),
            "work_base",
            id="scoped terms, again and again",
        ),
    ],
)
def test_exceeded_limit_is_named(document, limits, name):
    with pytest.raises(LimitExceeded, match=name):
        expand(document, limits=limits)


def test_document_at_the_limits_is_expanded():
    expand(nested_document(63))
    expand({"@context": AS, "tag": [{}] * 18}, limits=ProcessingLimits(nodes_max=20, array_max=18))


def test_repeated_context_counts_once():
    expand({"@context": AS, "items": [{"@context": [AS, {"x": "as:x"}], "type": "Note"}] * 200})


def test_expansion_never_shares_or_changes_its_input():
    document = {"@context": {"data": {"@id": "x:data", "@type": "@json"}}, "data": {"a": [1]}}
    expanded = expand(document)
    expanded[0]["x:data"][0]["@value"]["a"].append(2)
    assert document["data"] == {"a": [1]}


def test_synonyms_are_ordered_by_the_names_that_have_a_value():
    document = {"@context": AS, "name": None, f"{AS}#name": "b", "as:name": "a"}
    assert expand_by_table(document) == [{f"{AS}#name": [{"@value": "a"}, {"@value": "b"}]}]
    assert expand({**document, "@graph": []})[0][f"{AS}#name"] == [{"@value": "a"}, {"@value": "b"}]
