"""Check the format of stored records: they read back, and newer formats are refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.records.format import (
    NewerFormat,
    decode_record,
    encode_record,
    from_epoch_ms,
    key_name,
    parse_key_name,
    to_epoch_ms,
)

MEMBERS = st.dictionaries(st.text(max_size=8).filter(lambda name: name != "v"), st.text() | st.integers(), max_size=5)


@given(MEMBERS, st.binary(max_size=200))
def test_record_reads_back_with_its_exact_body(members: dict[str, object], body: bytes) -> None:
    record = decode_record(encode_record(members, body))
    assert record.body == body
    assert {name: value for name, value in record.members.items() if name != "v"} == members


def test_newer_format_is_refused_as_newer() -> None:
    with pytest.raises(NewerFormat, match="format 2"):
        decode_record(b'{"v":2}\n')


@pytest.mark.parametrize("value", [b"", b"{}", b'{"v":1}', b"[]\n", b'{"v":"1"}\n', b"\xff\n", b'{"a":1}\n'], ids=repr)
def test_malformed_record_is_a_contract_error(value: bytes) -> None:
    with pytest.raises(ContractError):
        decode_record(value)


@given(st.lists(st.text(), min_size=1, max_size=16).map(tuple))
def test_key_reads_back_from_its_name(key: tuple[str, ...]) -> None:
    assert parse_key_name(key_name(key)) == key


@pytest.mark.parametrize("text", ["", "[]", "{}", '["a",1]', "[", '"a"'])
def test_malformed_key_name_is_a_contract_error(text: str) -> None:
    with pytest.raises(ContractError):
        parse_key_name(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_instant_reads_back_to_the_millisecond(when: datetime) -> None:
    assert abs((from_epoch_ms(to_epoch_ms(when)) - when).total_seconds()) < 0.001


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_read_back(value: int) -> None:
    assert to_epoch_ms(from_epoch_ms(value)) == value
