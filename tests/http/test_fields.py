"""Check structured fields: the suite of the HTTP working group, types, and the party blamed for an error."""

from __future__ import annotations

import base64
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import (
    FIELD_LENGTH_MAX,
    DisplayString,
    InnerList,
    Item,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_item,
    serialize_list,
    serialize_parameters,
)
from vector_files import VECTORS, load_json, needs_vectors

# 1591 cases; the two of the last kind are dates beyond the year 9999.
PINNED = {"refused": 864, "read": 725, "refused, and may be": 2}

SUITE = VECTORS / "structured-fields"
PARSE = {"item": parse_item, "list": parse_list, "dictionary": parse_dictionary}
SERIALIZE = {"item": serialize_item, "list": serialize_list, "dictionary": serialize_dictionary}


def parse_bare_item(json):
    if isinstance(json, dict):
        value = json["value"]
        return {
            "token": lambda: Token(value),
            "displaystring": lambda: DisplayString(value),
            "binary": lambda: base64.b32decode(value),
            "date": lambda: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value),
        }[json["__type"]]()
    return Decimal(str(json)) if isinstance(json, float) else json


def parse_member(json):
    value, parameters = json
    parsed_parameters = {key: parse_bare_item(item) for key, item in parameters}
    return (
        InnerList([parse_member(item) for item in value], parsed_parameters)
        if isinstance(value, list)
        else Item(parse_bare_item(value), parsed_parameters)
    )


def parse_field(kind, json):
    if kind == "item":
        return parse_member(json)
    return (
        tuple(parse_member(item) for item in json)
        if kind == "list"
        else {key: parse_member(item) for key, item in json}
    )


def cases(pattern):
    for path in sorted(SUITE.glob(pattern)):
        for case in load_json(str(path.relative_to(VECTORS))):
            yield path.stem, case


def verdict(case):
    """Parse and write one case; return "read", "refused" or a description of the error."""
    kind = case["header_type"]
    try:
        parsed = PARSE[kind](", ".join(case["raw"]))
    except RequestError:
        return (
            "refused" if case.get("must_fail") else "refused, and may be" if case.get("can_fail") else "WRONGLY REFUSED"
        )
    if case.get("must_fail"):
        return "WRONGLY READ"
    if parsed != parse_field(kind, case["expected"]):
        return f"MISREAD {parsed}"
    canonical = case.get("canonical", case["raw"])
    written_lines = [SERIALIZE[kind](parsed)] if parsed or kind == "item" else []
    return "read" if written_lines == canonical else f"MISWRITTEN {written_lines}"


@needs_vectors
def test_parsing_suite_has_the_expected_verdicts():
    verdicts = {(stem, case["name"]): verdict(case) for stem, case in cases("*.json")}
    assert {key: outcome for key, outcome in verdicts.items() if outcome[0].isupper()} == {}
    # Names repeat in the suite, so the count is of cases. The parser reads every case that it may refuse, except for
    # dates that have no `datetime`.
    assert Counter(verdict(case) for _, case in cases("*.json")) == PINNED


@needs_vectors
def test_serialising_suite_gives_canonical_text_or_errors():
    total = 0
    for stem, case in cases("serialisation-tests/*.json"):
        total += 1
        kind = case["header_type"]
        if case.get("must_fail"):
            with pytest.raises(ValueError):
                SERIALIZE[kind](parse_field(kind, case["expected"]))
        else:
            assert [SERIALIZE[kind](parse_field(kind, case["expected"]))] == case["canonical"], (stem, case["name"])
    assert total == 544


def test_members_are_items_or_inner_lists():
    assert parse_dictionary("a, b;x=1, c=(1 2);y") == {
        "a": Item(True), "b": Item(True, {"x": 1}), "c": InnerList([Item(1), Item(2)], {"y": True}),
    }  # fmt: skip
    assert parse_list("") == ()
    assert parse_dictionary("") == {}


def test_token_differs_from_string():
    assert parse_item("abc") == Item(Token("abc")) != Item("abc")
    assert serialize_item(Item("abc")) == '"abc"'
    assert serialize_list([InnerList((Item("abc"),))]) == '("abc")'
    for items in ((), (Item("abc"),)):
        with pytest.raises(ValueError):
            serialize_item(InnerList(items))
    assert str(Token("abc")) == str(DisplayString("abc")) == "abc"


@pytest.mark.parametrize("text", ["a=1, a=2", "a=1;b;b", "a=(1;x;x)"])
def test_duplicate_keys_are_refused_on_request(text):
    assert parse_dictionary(text)
    with pytest.raises(RequestError, match="twice in one"):
        parse_dictionary(text, duplicates="refuse")


def test_length_is_bounded():
    with pytest.raises(RequestError, match=f"at most {FIELD_LENGTH_MAX}"):
        parse_item("a" * (FIELD_LENGTH_MAX + 1))


@pytest.mark.parametrize("text", ["é", "Ā", "@99999999999999", "@-99999999999999", "1e5", ":a"], ids=ascii)
def test_malformed_item_is_a_request_error(text):
    with pytest.raises(RequestError, match="is not a valid item"):
        parse_item(text)


@pytest.mark.parametrize(
    "item",
    [
        Item("ä"),
        Item(10**15),
        Item(Token("1 a")),
        Item(None),
        Item(Decimal("NaN")),
        Item(1, {"Bad Key": 1}),
        Item(1, {1: 1}),
        Item(datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)),
    ],
    ids=str,
)
def test_unserialisable_item_is_a_value_error(item):
    with pytest.raises(ValueError):
        serialize_item(item)


def test_empty_list_or_dictionary_is_refused_by_the_serialiser():
    for serialize, empty in ((serialize_list, ()), (serialize_dictionary, {})):
        with pytest.raises(ValueError):
            serialize(empty)


def test_parameters_are_serialised_alone():
    assert (
        serialize_parameters({"created": 1, "keyid": "k", "t": True, "alg": Token("x")})
        == ';created=1;keyid="k";t;alg=x'
    )
    assert serialize_parameters({}) == ""


@given(text=st.text(st.characters(max_codepoint=0x17F), max_size=40) | st.text('a1;=(),:?"\\ .@%', max_size=30))
def test_any_text_is_read_or_a_request_error(text):
    for kind, parse in PARSE.items():
        try:
            parsed = parse(text)
        except RequestError:
            continue
        if parsed or kind == "item":
            assert parse(SERIALIZE[kind](parsed)) == parsed
