"""Check the canonical JSON of RFC 8785."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import es6_number, jcs, parse_json
from vector_files import VECTORS, needs_vectors

INPUTS = sorted((VECTORS / "jcs" / "input").glob("*.json"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_published_vectors_are_reproduced(path):
    expected = (VECTORS / "jcs" / "output" / path.name).read_bytes()
    assert jcs(parse_json(path.read_bytes())) == expected


@needs_vectors
def test_ten_thousand_published_numbers_are_reproduced():
    lines = (VECTORS / "jcs" / "es6-numbers-10000.txt").read_text().split()
    rows = [line.split(",") for line in lines]
    doubles = [struct.unpack(">d", bytes.fromhex(bits.rjust(16, "0")))[0] for bits, _ in rows]
    assert len(rows) == 10_000
    assert len(INPUTS) == 6
    assert [es6_number(double) for double in doubles] == [text for _, text in rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e300, "1.5e+300"),
        (-1.25, "-1.25"),
        (2**53, "9007199254740992"),
        (2**60, "1152921504606847000"),
        (10**22, "1e+22"),
    ],
)
def test_number_has_its_ecmascript_form(value, text):
    assert es6_number(value) == text


@pytest.mark.parametrize("value", [2**53 + 1, 10**400, float("inf"), float("nan")], ids=str)
def test_number_beyond_a_double_is_refused(value):
    with pytest.raises(DocumentError):
        jcs([value])


def test_names_are_sorted_by_their_utf16_code_units():
    # U+1F600 is written as D83D DE00, so it is sorted before U+FB01.
    assert jcs({"ﬁ": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"ﬁ":1}'.encode()


def test_lone_surrogate_is_refused():
    with pytest.raises(DocumentError, match="surrogate"):
        jcs({"a": "\ud800"})
    with pytest.raises(DocumentError, match="surrogate"):
        jcs({"\udc00": ""})


def test_depth_of_the_value_is_bounded():
    value: object = 0
    for _ in range(200):
        value = [value]
    with pytest.raises(LimitExceeded):
        jcs(value)
    with pytest.raises(LimitExceeded):
        jcs({"a": value})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_digits_identify_the_double(number):
    assert float(es6_number(number)) == number
