"""Check the JSON parser: input that is accepted, refused or replaced."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from apcore.jsonld import ProcessingLimits, parse_document, parse_json
from apcore.jsonld.jcs import jcs
from vector_files import VECTORS, needs_vectors

PARSING = sorted((VECTORS / "json-parsing" / "test_parsing").glob("*.json"))
# JSON that two parsers read differently: the suite accepts it, apcore refuses it.
AMBIGUOUS = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
# Files for which the suite leaves the choice, and which apcore accepts. It refuses all others of that kind.
ACCEPTED_BY_CHOICE = {
    "i_number_double_huge_neg_exp.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
    "i_structure_UTF-8_BOM_empty_object.json",
}


@needs_vectors
def test_suite_has_all_files():
    assert len(PARSING) >= 318


@pytest.mark.hole(42)
@pytest.mark.parametrize("path", PARSING, ids=lambda path: path.stem)
def test_suite_file_is_accepted_or_refused(path):
    is_accepted = path.name in ACCEPTED_BY_CHOICE or (path.name.startswith("y_") and path.name not in AMBIGUOUS)
    if is_accepted:
        parse_json(path.read_bytes())
    else:
        with pytest.raises((DocumentError, LimitExceeded)):
            parse_json(path.read_bytes())


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="byte order mark"),
        pytest.param(b'{"n": 9007199254740993}', {"n": 9007199254740993}, id="integers are exact"),
        pytest.param(b"-0", 0, id="minus zero"),
        pytest.param(b"1e-999", 0.0, id="underflow"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="surrogate pair"),
        pytest.param(b'"\\\\ud800"', "\\ud800", id="escaped backslash"),
        pytest.param(b'{"\\u00e9": 1, "e\\u0301": 2}', {"\u00e9": 1, "e\u0301": 2}, id="names that normalise alike"),
    ],
)
def test_valid_json_is_parsed(data, value):
    assert parse_json(data) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b'{"a": 1, "a": 1}', "twice", id="repeated name"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', "twice", id="repeated name, escaped"),
        pytest.param(b'{"a": "\\ud800"}', "surrogate", id="lone surrogate"),
        pytest.param(b'{"\\udc00": 1}', "surrogate", id="lone surrogate in a name"),
        pytest.param(b'"\xed\xa0\x80"', "UTF-8", id="surrogate in UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON", id="two byte order marks"),
        pytest.param(b"[NaN]", "NaN", id="NaN"),
        pytest.param(b"[-Infinity]", "Infinity", id="Infinity"),
        pytest.param(b"[1e400]", "double", id="too big for a double"),
        pytest.param(b"", "not JSON", id="nothing"),
    ],
)
def test_invalid_json_is_refused_in_words(data, words):
    with pytest.raises(DocumentError, match=words):
        parse_json(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(b"[" * 65 + b"]" * 65, "depth_max", id="depth"),
        pytest.param(b"[" * 100_000, "depth_max", id="depth beyond the parser's"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "depth_max", id="depth of objects"),
        pytest.param(b"[" + b"[]," * 20_000 + b"1]", "array_max", id="array"),
        pytest.param(b"{" + b",".join(b'"%d":1' % n for n in range(10_001)) + b"}", "array_max", id="object"),
        pytest.param(b"[" + b",".join([b"[[],[],[],[],[]]"] * 5_000) + b"]", "nodes_max", id="nodes"),
        pytest.param(b"1" * 301, "integer_digits_max", id="digits"),
        pytest.param(b" " * 1_048_577, "bytes_max", id="bytes"),
    ],
)
def test_exceeded_limit_is_named(data, name):
    with pytest.raises(LimitExceeded, match=name):
        parse_json(data)


@pytest.mark.parametrize(
    ("limit", "at_limit", "beyond"),
    [
        ("depth_max", b"[[[]]]", b"[[[[]]]]"),
        ("nodes_max", b"[[], []]", b"[[], [], []]"),
        ("array_max", b"[1, 2, 3]", b"[1, 2, 3, 4]"),
    ],
)
def test_each_size_limit_holds_however_small_it_is(limit, at_limit, beyond):
    """Set one limit to 3 and leave the others at their defaults."""
    limits = ProcessingLimits(**{limit: 3})
    assert parse_json(at_limit, limits=limits)
    with pytest.raises(LimitExceeded, match=limit):
        parse_json(beyond, limits=limits)


def test_input_at_the_limits_is_parsed():
    parse_json(b"[" * 64 + b"]" * 64)
    parse_json(b"1" * 300)
    parse_json(b"[" + b"0," * 9_999 + b"0]")


def test_lone_surrogates_are_replaced_on_request():
    assert parse_json(b'{"a\\ud800": ["\\udfff!"]}', lone_surrogates="replace") == {"a\ufffd": ["\ufffd!"]}


def test_names_made_equal_by_replacement_are_refused():
    with pytest.raises(DocumentError, match="twice"):
        parse_json(b'{"\\ud800": 1, "\\ud801": 2}', lone_surrogates="replace")


@pytest.mark.parametrize("data", [b"[{}]", b'"x"', b"null", b"1", b"true"])
def test_document_must_be_an_object(data):
    with pytest.raises(DocumentError, match="has to be a JSON object"):
        parse_document(data)


def test_impossible_limits_are_refused():
    with pytest.raises(ValueError, match="nodes_max is 0"):
        ProcessingLimits(nodes_max=0)
    with pytest.raises(ValueError, match="depth_max is 1000"):
        ProcessingLimits(depth_max=1000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_reads_back(value):
    assert parse_json(jcs(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused_with_our_error(data):
    with contextlib.suppress(ApcoreError):
        parse_json(data)
