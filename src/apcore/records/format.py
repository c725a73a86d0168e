"""Encode records: named JSON members, then raw bytes, under a format version.

Everything that must survive is an entry of the store; a message of the queue only names one. Both carry the version of
their format, so two releases can share a store during an upgrade. A record in a newer format is left alone
(`NewerFormat`) and never guessed at.

An entry is one line of JSON with the members, a line feed, and the body's bytes as received. So the bytes that were
signed stay exactly as they were signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii
from typing import Any, Final, cast

from attrs import field, frozen

from apcore.errors import ContractError
from apcore.ports import StoreKey

__all__ = [
    "CLOCK_SKEW_MS",
    "FORMAT",
    "NewerFormat",
    "Record",
    "decode_record",
    "encode_line",
    "encode_member",
    "encode_record",
    "from_epoch_ms",
    "key_name",
    "parse_key_name",
    "quote_json",
    "to_epoch_ms",
]

FORMAT: Final = 1
"""The version that this release writes, and the newest that it reads."""

CLOCK_SKEW_MS: Final = 60_000
"""The largest difference between the clocks of machines that share a store. A clock further behind was set back."""

# Created once: `json.dumps` with separators creates an encoder for every call, which costs as much as the encoding.
_as_json: Final = json.JSONEncoder(separators=(",", ":")).encode


quote_json: Final = encode_basestring_ascii
"""Encode a string as JSON in ASCII."""
_FIRST_MEMBER: Final = f'{{"v":{FORMAT}'

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class NewerFormat(ContractError):
    """The record was written by a newer release. This release must leave it alone."""

    reason = "newer-format"


@frozen
class Record:
    """A decoded record: its members and its body."""

    members: Mapping[str, Any]
    body: bytes = field(default=b"", repr=False)


def encode_record(members: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Encode a record."""
    return encode_line([f"{quote_json(name)}:{encode_member(value)}" for name, value in members.items()], body)


def encode_line(members: Iterable[str], body: bytes) -> bytes:
    """Encode a record of encoded members, such as ``"id":1``."""
    return ",".join((_FIRST_MEMBER, *members)).encode("ascii") + b"}\n" + body


def encode_member(value: Any) -> str:
    """Encode the value of a member as JSON in ASCII."""
    if type(value) is str:
        return quote_json(value)
    return repr(value) if type(value) is int else _as_json(value)


def decode_record(value: bytes) -> Record:
    """Decode a record.

    Raises:
        NewerFormat: The record is in a format that this release does not know.
        ContractError: The bytes are no record.
    """
    line, line_feed, body = value.partition(b"\n")
    members: dict[str, Any] | None = None
    try:
        loaded: object = json.loads(line)
    except ValueError:
        loaded = None
    if isinstance(loaded, dict):
        members = cast("dict[str, Any]", loaded)
    if not line_feed or members is None or not isinstance(members.get("v"), int):
        raise ContractError(f"this is no record: {value[:40]!r}")
    if members["v"] > FORMAT:
        raise NewerFormat(f"a record in format {members['v']}; this release reads up to {FORMAT}")
    return Record(members, body)


def key_name(key: StoreKey) -> str:
    """Encode a key as text, for the body of a message and for its ``dedup`` label."""
    return f"[{','.join(map(quote_json, key))}]"


def parse_key_name(text: str) -> StoreKey:
    """Decode a key that `key_name` has encoded.

    Raises:
        ContractError: The text is no key.
    """
    try:
        loaded: object = json.loads(text)
    except ValueError:
        loaded = None
    parts = cast("list[object]", loaded) if isinstance(loaded, list) else []
    key = tuple(part for part in parts if isinstance(part, str))
    if not key or len(key) != len(parts):
        raise ContractError(f"this is no store key: {text[:60]!r}")
    return key


def to_epoch_ms(when: datetime) -> int:
    """Return an instant as whole milliseconds since 1970, UTC, rounded down."""
    # Whole numbers, since a float of seconds can lose a millisecond, and a record that is rewritten often would drift.
    return (when - _EPOCH) // _MILLISECOND


def from_epoch_ms(value: int) -> datetime:
    """Return the instant that is ``value`` milliseconds after 1970, UTC."""
    return _EPOCH + value * _MILLISECOND
