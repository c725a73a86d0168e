"""Check how single values are read in each of their forms, and that reading never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.vocab import PUBLIC, PUBLIC_FORMS, Document, values

EMPTY = Document({}, {})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "@id", "@value", "@list", "@set", "@language", "href", "url", "en", "type"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_reading_any_value_returns_its_type_and_never_raises(value):
    assert isinstance(values.text(value), str | None)
    assert isinstance(values.boolean(value), bool | None)
    assert isinstance(values.integer(value), int | None)
    assert isinstance(values.number(value), int | float | None)
    assert isinstance(values.uri(value), str | None)
    assert all(isinstance(part, str) for pair in values.language_map(value).items() for part in pair)
    assert isinstance(values.many(value), list)
    reference = values.reference(value, EMPTY)
    assert reference is None or reference.uri is None or reference.uri


TEXTS = [
    ("a string", "hi", "hi"),
    ("an empty string", "", ""),
    ("a map: undetermined first", {"en": "hello", "und": "hi"}, "hi"),
    ("a map: @none", {"en": "hello", "@none": "hi"}, "hi"),
    ("a map: the first", {"fr": "salut", "en": "hello"}, "salut"),
    ("tagged values", [{"@value": "hello", "@language": "en"}, "hi"], "hi"),
    ("one tagged value", {"@value": "hello", "@language": "en"}, "hello"),
    ("an array of one", ["hi"], "hi"),
    ("a map of arrays", {"en": ["hello", "again"]}, "hello"),
    ("a number", 3, None),
    ("an empty array", [], None),
    ("an empty map", {}, None),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_text_is_read_in_every_form(value, expected):
    assert values.text(value) == expected


NUMBERS = [
    ("an int", 3, 3, 3),
    ("a string", "3", 3, 3),
    ("a negative string", "-3", -3, -3),
    ("a whole float", 3.0, 3, 3.0),
    ("a fraction", 3.5, None, 3.5),
    ("a typed value", {"@value": "3", "@type": "xsd:integer"}, 3, 3),
    ("an array of one", [3], 3, 3),
    ("a truth value", True, None, None),
    ("infinity", float("inf"), None, None),
    ("infinity in words", "inf", None, None),
    ("words", "three", None, None),
    ("too many digits", "9" * 400, None, None),
    ("beyond 2^53, exactly", 2**60 + 1, 2**60 + 1, 2**60 + 1),
    ("digits of another script", "\uff13", None, None),
]


@pytest.mark.parametrize(("value", "integer", "number"), [row[1:] for row in NUMBERS], ids=[row[0] for row in NUMBERS])
def test_number_is_read_in_every_form(value, integer, number):
    assert values.integer(value) == integer
    assert values.number(value) == number


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("false", False), ("True", True), ({"@value": True}, True), (1, None), ("yes", None), (None, None)],
    ids=str,
)
def test_boolean_is_read_in_every_form(value, expected):
    assert values.boolean(value) is expected


URIS = [
    ("a string", "https://a/", "https://a/"),
    ("a thing", {"id": "https://a/", "type": "Note"}, "https://a/"),
    ("a link", {"type": "Link", "href": "https://a/"}, "https://a/"),
    ("a picture with a link inside", {"url": [{"type": "Link", "href": "https://a/"}]}, "https://a/"),
    ("empty", "", None),
    ("an id that is no string", {"id": 3}, None),
    ("null", None, None),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in URIS], ids=[row[0] for row in URIS])
def test_uri_is_read_in_every_form(value, expected):
    assert values.uri(value) == expected


@pytest.mark.parametrize("form", sorted(PUBLIC_FORMS))
def test_every_form_of_public_is_read_as_the_public_iri(form):
    for value in (form, {"id": form, "type": "Collection"}):
        reference = values.reference(value, EMPTY)
        assert reference is not None
        assert reference.uri == PUBLIC


REFERENCES = [
    ("an address", "https://a/", "https://a/", False),
    ("a stub says nothing more", {"id": "https://a/"}, "https://a/", False),
    ("an embedded thing is a claim", {"id": "https://a/", "type": "Note"}, "https://a/", True),
    ("a thing without id", {"type": "Note"}, None, True),
    ("a thing with an empty id", {"id": "", "type": "Note"}, None, True),
    ("a link refers to where it leads", {"type": "Link", "href": "https://a/"}, "https://a/", True),
    ("a value object", {"@value": "https://a/"}, "https://a/", False),
]


@pytest.mark.parametrize(
    ("value", "address", "claim"), [row[1:] for row in REFERENCES], ids=[row[0] for row in REFERENCES]
)
def test_reference_is_read_in_every_form(value, address, claim):
    reference = values.reference(value, EMPTY)
    assert reference is not None
    assert (reference.uri, reference.embedded is not None) == (address, claim)


@pytest.mark.parametrize("value", ["", None, 3, True, {}, {"@value": 3}, []], ids=str)
def test_value_without_address_or_members_is_no_reference(value):
    reference = values.reference(value, EMPTY)
    assert reference is None
