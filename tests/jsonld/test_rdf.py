"""Check the statements of a document: the form of the values, and the values that are left out."""

import pytest

from apcore.errors import DocumentError
from apcore.jsonld import Quad, parse_nquads, quads_of, to_nquads, to_rdf

S = "https://s.example/"
P = "https://p.example/"
XSD = "http://www.w3.org/2001/XMLSchema#"


def objects(value, **settings):
    return [quad.object for quad in quads_of([{"@id": S, P: [value]}], **settings)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"@value": "a"}, '"a"'),
        ({"@value": 'q"\\\n\t\r\b\f\x00\x7f\u00e9'}, '"q\\"\\\\\\n\\t\\r\\b\\f\\u0000\\u007F\u00e9"'),
        ({"@value": "a", "@language": "en-gb"}, '"a"@en-gb'),
        ({"@value": True}, f'"true"^^<{XSD}boolean>'),
        ({"@value": 5}, f'"5"^^<{XSD}integer>'),
        ({"@value": 5.0}, f'"5"^^<{XSD}integer>'),
        ({"@value": 5.5}, f'"5.5E0"^^<{XSD}double>'),
        ({"@value": 10**21}, f'"1.0E21"^^<{XSD}double>'),
        ({"@value": 5, "@type": f"{XSD}double"}, f'"5.0E0"^^<{XSD}double>'),
        ({"@value": 5.5, "@type": f"{XSD}float"}, f'"5.5E0"^^<{XSD}float>'),
        (
            {"@value": {"b": 1, "a": []}, "@type": "@json"},
            '"{\\"a\\":[],\\"b\\":1}"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON>',
        ),
        ({"@id": "https://o.example/"}, "<https://o.example/>"),
        ({"@id": "https://o.example/a|b{c}"}, "<https://o.example/a|b{c}>"),
    ],
)
def test_value_has_its_rdf_form(value, expected):
    assert objects(value) == [expected]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"@id": "relative"}, id="relative reference"),
        pytest.param({"@id": "https://a b.example/"}, id="space"),
        pytest.param({"@id": "https://o.example/\n"}, id="line break at the end"),
        pytest.param({"@id": "https://o.example/> <x"}, id="ends the IRI"),
        pytest.param({"@value": "a", "@language": "en .\n<s> <p> <o>"}, id="statement in a language"),
        pytest.param({"@value": "a", "@type": "https://t.example/\n"}, id="line break in a datatype"),
    ],
)
def test_value_without_an_rdf_form_is_left_out(value):
    assert objects(value) == []


def test_blank_node_predicates_are_left_out_by_default():
    node = {"@id": S, "_:p": [{"@value": 1}]}
    assert quads_of([node]) == []
    assert len(quads_of([node], generalized=True)) == 1


def test_equal_statements_are_merged():
    assert len(quads_of([{"@id": S, P: [{"@value": 1}, {"@value": 1.0}]}, {"@id": S, P: [{"@value": 1}]}])) == 1


def test_text_direction_is_written_on_request():
    value = {"@value": "a", "@language": "ar", "@direction": "rtl"}
    assert objects(value) == ['"a"@ar']
    assert objects(value, rdf_direction="i18n-datatype") == ['"a"^^<https://www.w3.org/ns/i18n#ar_rtl>']
    assert len(objects(value, rdf_direction="compound-literal")) == 4


@pytest.mark.parametrize("expanded", [[1], [None], [{P: 5}], [{P: [5]}], [{P: [None]}], [{"@reverse": []}]], ids=repr)
def test_document_that_is_not_expanded_is_refused(expanded):
    with pytest.raises(DocumentError):
        quads_of(expanded)


def test_conflicting_indexes_of_a_node_are_refused():
    with pytest.raises(DocumentError, match="index"):
        quads_of([{"@id": S, "@index": "a"}, {"@id": S, "@index": "b"}])


def test_graph_is_named_by_its_id():
    document = {"@id": "https://g.example/", "@graph": [{"@id": S, P: "x"}]}
    assert to_nquads(to_rdf(document)) == f'<{S}> <{P}> "x" <https://g.example/> .\n'


def test_nquads_read_back():
    text = (
        '<https://s.example/> <https://p.example/> "a\\u00e9\\U0001F600\\t\\"" <https://g.example/> . # said here\n'
        "# a comment\n"
        "_:a <https://p.example/> _:b.c .\n"
    )
    quads = parse_nquads(text)
    assert quads == [
        Quad("<https://s.example/>", "<https://p.example/>", '"a\u00e9\U0001f600\\t\\""', "<https://g.example/>"),
        Quad("_:a", "<https://p.example/>", "_:b.c", ""),
    ]
    assert parse_nquads(to_nquads(quads)) == sorted(quads)


@pytest.mark.parametrize(
    "line", ["<s> <p> .", "<s> _:p <o> .", '"s" <p> <o> .', '<s> <p> "\\UFFFFFFFF" .', "<s> <p> <o> <g>"]
)
def test_malformed_nquads_line_is_refused(line):
    with pytest.raises(DocumentError):
        parse_nquads(line)
