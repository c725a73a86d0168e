"""Check record kinds: records read back, keep members of newer releases, and refuse values of another type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

import pytest
from attrs import evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.ports import Check, DeleteEntry, Entry
from apcore.records import RECORD_KINDS, RecordKind, StoredPart, StoredRecord, describe_kinds, member
from apcore.records.format import NewerFormat, encode_record


class SampleKey(NamedTuple):
    origin: str
    name: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Address(StoredPart):
    """One object of a list."""

    inbox: str
    shared: str | None = None


@frozen(kw_only=True)
class Sample(StoredRecord):
    """A record with one field of each type."""

    activity_id: str = member("id")
    actor: str | None
    attempts: int = 0
    is_gone: bool = member("gone", default=False)
    due: datetime | None = None
    recipients: tuple[str, ...] = member("to", default=())
    steps: tuple[int, ...] = ()
    lookups: Mapping[str, int] = field(factory=dict)
    document: Any = None
    public: bytes | None = None
    colour: Colour = Colour.RED
    scheme: Literal["cavage", "rfc9421"] | None = None
    addresses: tuple[Address, ...] = ()


@pytest.fixture(scope="module")
def samples():
    kind = RecordKind("sample", Sample, SampleKey, lifetime="one test", written_by="tests")
    yield kind
    del RECORD_KINDS["sample"]


INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
SAMPLES = st.builds(
    Sample,
    activity_id=st.text(),
    actor=st.none() | st.text(),
    attempts=st.integers(-(2**40), 2**40),
    is_gone=st.booleans(),
    due=st.none() | INSTANTS,
    recipients=st.lists(st.text(), max_size=3).map(tuple),
    steps=st.lists(st.integers(-5, 5), max_size=3).map(tuple),
    lookups=st.dictionaries(st.text(max_size=3), st.integers(0, 5), max_size=3),
    document=st.none() | st.dictionaries(st.text(max_size=3), st.integers() | st.text(), max_size=3),
    public=st.none() | st.binary(max_size=20),
    colour=st.sampled_from(Colour),
    scheme=st.sampled_from([None, "cavage", "rfc9421"]),
    addresses=st.lists(st.builds(Address, inbox=st.text(), shared=st.none() | st.text()), max_size=2).map(tuple),
    body=st.binary(max_size=50),
)


@given(record=SAMPLES)
def test_record_reads_back(samples, record):
    assert samples.decode(samples.encode(record)) == record


@given(key=st.builds(SampleKey, st.text(), st.text()), record=SAMPLES)
def test_entry_reads_back_with_its_key_check_and_deletion(samples, key, record):
    put = samples.put(key, record, ttl_s=5.0)
    stored = samples.read(Entry(put.key, put.value, b"version"))
    assert (stored.key, stored.record) == (key, record)
    assert stored.check == Check(put.key, b"version")
    assert stored.deletion == samples.delete(key) == DeleteEntry(put.key)
    assert samples.absent(key) == Check(put.key, None)
    assert put.ttl_s == 5.0


def test_unknown_members_survive_being_rewritten(samples):
    stored = encode_record({"id": "x", "novelty": 7})
    record = evolve(samples.decode(stored), attempts=2)
    assert json.loads(samples.encode(record)) == {"v": 1, "id": "x", "attempts": 2, "novelty": 7}
    addresses = [{"inbox": "https://a.example/inbox", "novelty": 7}, {"inbox": "b", "shared": "c"}]
    record = samples.decode(encode_record({"id": "x", "addresses": addresses}))
    assert json.loads(samples.encode(record))["addresses"] == addresses


def test_types_of_fields_have_their_stored_forms(samples):
    record = Sample(
        activity_id="x",
        actor=None,
        public=b"\x00",
        colour=Colour.BLUE,
        scheme="cavage",
        addresses=(Address(inbox="b"),),
    )
    assert json.loads(samples.encode(record)) == {
        "v": 1,
        "id": "x",
        "public": "AA==",
        "colour": "blue",
        "scheme": "cavage",
        "addresses": [{"inbox": "b"}],
    }


def test_missing_members_have_their_defaults(samples):
    assert samples.decode(encode_record({"id": "x"})) == Sample(activity_id="x", actor=None)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"id": 1},
        {"id": "x", "attempts": "1"},
        {"id": "x", "attempts": True},
        {"id": "x", "gone": "yes"},
        {"id": "x", "due": "tomorrow"},
        {"id": "x", "due": 10**30},
        {"id": "x", "to": "bob"},
        {"id": "x", "to": [1]},
        {"id": "x", "steps": 1},
        {"id": "x", "steps": ["1"]},
        {"id": "x", "lookups": []},
        {"id": "x", "lookups": {"a": "b"}},
        {"id": "x", "actor": 5},
        {"id": "x", "public": "no base64"},
        {"id": "x", "public": 1},
        {"id": "x", "colour": "green"},
        {"id": "x", "colour": []},
        {"id": "x", "scheme": "none"},
        {"id": "x", "scheme": {}},
        {"id": "x", "addresses": ["b"]},
        {"id": "x", "addresses": [{"shared": "c"}]},
        {"id": "x", "addresses": {"inbox": "b"}},
    ],
    ids=repr,
)
def test_member_of_another_type_is_a_contract_error(samples, members):
    with pytest.raises(ContractError, match="'sample' record"):
        samples.decode(encode_record(members))


def test_newer_format_is_refused_as_newer(samples):
    with pytest.raises(NewerFormat):
        samples.decode(b'{"v":2,"id":"x"}\n')


@pytest.mark.parametrize("key", [("sample", "1", "a"), ("sample", "2", "a", "b"), ("other", "1", "a", "b"), ()])
def test_key_of_another_kind_is_a_contract_error(samples, key):
    with pytest.raises(ContractError, match="no key of a 'sample' record"):
        samples.parts_of(key)


def test_prefix_is_a_key_with_fewer_parts(samples):
    assert samples.at("https://a.example") == ("sample", "1", "https://a.example")
    assert samples.at() == samples.prefix == ("sample", "1")


def test_second_kind_of_a_name_is_refused(samples):
    with pytest.raises(ValueError, match="two kinds of record are called 'sample'"):
        RecordKind("sample", Sample, SampleKey, lifetime="", written_by="")


def test_field_of_an_unsupported_type_is_refused_at_declaration():
    @frozen(kw_only=True)
    class Odd(StoredRecord):
        """A record with a field that cannot be stored."""

        ratio: float = 0.5

    with pytest.raises(TypeError, match=r"Odd\.ratio"):
        RecordKind("odd", Odd, SampleKey, lifetime="", written_by="")
    assert "odd" not in RECORD_KINDS


def test_reference_has_an_entry_for_each_kind(samples):
    entry = """\
`("sample", "1", origin, name)`
:   A record with one field of each type.
    Kept: one test. Size: under 1 KiB. Written by: tests.
"""
    assert entry in describe_kinds()
    assert describe_kinds([samples]) == entry


def test_empty_lists_and_objects_are_not_stored(samples):
    assert samples.encode(Sample(activity_id="x", actor=None)) == encode_record({"id": "x"})


@frozen(kw_only=True)
class Tally(StoredRecord):
    """A record of one number, stored as digits."""

    number: int


class Digits:
    def decode(self, value: bytes) -> Tally:
        return Tally(number=int(value))

    def encode(self, record: Tally) -> bytes:
        return b"%d" % record.number


@pytest.fixture(scope="module")
def tallies():
    kind = RecordKind(
        "tally",
        Tally,
        SampleKey,
        lifetime="",
        written_by="",
        prefix=("t",),
        layout=(None, "n", None),
        format=Digits(),
        ttl_s=9,
    )
    yield kind
    del RECORD_KINDS["tally"]


def test_fixed_parts_may_stand_between_the_parts_of_a_key(tallies):
    key = SampleKey("https://a.example", "x")
    assert tallies.key(key) == ("t", "https://a.example", "n", "x")
    assert tallies.parts_of(tallies.key(key)) == key
    assert tallies.at("https://a.example") == ("t", "https://a.example", "n")
    assert tallies.at() == ("t",)
    assert '`("t", origin, "n", name)`' in describe_kinds()


@pytest.mark.parametrize(
    "key", [("t", "a", "m", "x"), ("t", "a", "n"), ("t", "a", "n", "x", "y"), ("u", "a", "n", "x")]
)
def test_key_with_other_fixed_parts_is_a_contract_error(tallies, key):
    assert not tallies.holds(key)
    with pytest.raises(ContractError, match="no key of a 'tally' record with 2 parts"):
        tallies.parts_of(key)


def test_kind_may_have_its_own_format(tallies):
    put = tallies.put(SampleKey("a", "b"), Tally(number=7))
    assert put.value == b"7"
    assert tallies.decode(put.value) == Tally(number=7)
    with pytest.raises(ContractError, match="no 'tally' record"):
        tallies.decode(b"seven")


def test_record_is_put_for_the_lifetime_of_its_kind(tallies):
    key, record = SampleKey("a", "b"), Tally(number=7)
    assert tallies.put(key, record).ttl_s == 9
    assert tallies.put(key, record, ttl_s=5).ttl_s == 5
