"""How facts are written down: named JSON members, then raw bytes, under a format version.

Whatever must survive is an entry of the store, and a message of the queue only names one. Both carry the version of the format they are in, so
that two releases can share a store while one replaces the other: what is newer than this release is left alone (`NewerFormat`), never guessed at.

An entry is one line of JSON with the members, and after the line feed the body as it came: what was signed stays byte for byte what was signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
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
    "due_in",
    "encode_record",
    "from_epoch_ms",
    "key_name",
    "parse_key_name",
    "to_epoch_ms",
]

FORMAT: Final = 1
"""The version that this release writes, and the newest that it reads."""

CLOCK_SKEW_MS: Final = 60_000
"""Clocks of machines that share a store may differ by this much; a clock that is further behind was set back."""

# Made once: `json.dumps` with separators makes an encoder for every call, which costs as much as what we have to write.
_as_json: Final = json.JSONEncoder(separators=(",", ":")).encode


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class NewerFormat(ContractError):
    """A newer release wrote this; this one must leave it alone."""

    reason = "newer-format"


@frozen
class Record:
    """A fact as read: its members and its body."""

    members: Mapping[str, Any]
    body: bytes = field(default=b"", repr=False)

    def text(self, name: str) -> str:
        """Give a member that is a string.

        Raises:
            ContractError: It is not there or is something else: the store was written to by others.
        """
        value = self.members.get(name)
        if not isinstance(value, str):
            raise ContractError(f"the fact has no text {name!r}: {value!r:.40}")
        return value

    def number(self, name: str, default: int = 0) -> int:
        """Give a member that is a whole number."""
        value = self.members.get(name, default)
        if not isinstance(value, int):
            raise ContractError(f"the fact has no number {name!r}: {value!r:.40}")
        return value

    def due_in_s(self, now: datetime) -> float | None:
        """Give the seconds until the fact is due (its member ``due``), None if it is.

        Whoever is woken early, by a queue that was rebuilt for instance, goes back to waiting: when to act is a fact, and the queue only
        a reason to look. A fact that was put off at a time that is still to come is due: the clock was set back since.
        """
        if self.number("put_off") - to_epoch_ms(now) > CLOCK_SKEW_MS:
            return None
        left_s = (self.number("due") - to_epoch_ms(now)) / 1000
        return left_s if left_s > 0 else None

    def optional(self, name: str) -> str | None:
        """Give a member that is a string or not there."""
        return None if self.members.get(name) is None else self.text(name)


def due_in(delay_s: float, now: datetime) -> dict[str, int]:
    """Return the members of a fact that is due ``delay_s`` after ``now``; `Fact.early_s` reads them."""
    return {"due": to_epoch_ms(now) + int(delay_s * 1000), "put_off": to_epoch_ms(now)}


def encode_record(members: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Write a fact down; None members are left out."""
    line = _as_json({"v": FORMAT} | {name: value for name, value in members.items() if value is not None})
    return line.encode("ascii") + b"\n" + body


def decode_record(value: bytes) -> Record:
    """Read a fact.

    Raises:
        Newer: It is in a format that this release does not know.
        ContractError: It is no fact.
    """
    line, found, body = value.partition(b"\n")
    members: dict[str, Any] | None = None
    try:
        loaded: object = json.loads(line)
    except ValueError:
        loaded = None
    if isinstance(loaded, dict):
        members = cast("dict[str, Any]", loaded)
    if not found or members is None or not isinstance(members.get("v"), int):
        raise ContractError(f"this is no fact: {value[:40]!r}")
    if members["v"] > FORMAT:
        raise NewerFormat(f"a fact in format {members['v']}; this release reads up to {FORMAT}")
    return Record(members, body)


def key_name(key: StoreKey) -> str:
    """Write a key as text, for the body of a message and for its ``dedup`` label."""
    return _as_json(key)


def parse_key_name(text: str) -> StoreKey:
    """Read what `key_name` wrote.

    Raises:
        ContractError: It is no key.
    """
    try:
        loaded: object = json.loads(text)
    except ValueError:
        loaded = None
    parts = cast("list[object]", loaded) if isinstance(loaded, list) else []
    key = tuple(part for part in parts if isinstance(part, str))
    if not key or len(key) != len(parts):
        raise ContractError(f"this names no key: {text[:60]!r}")
    return key


def to_epoch_ms(when: datetime) -> int:
    """Return an instant as whole milliseconds since 1970, UTC, rounded down."""
    # In whole numbers: a float of seconds loses a millisecond now and then, and a record that is rewritten often would drift.
    return (when - _EPOCH) // _MILLISECOND


def from_epoch_ms(value: int) -> datetime:
    """Return the instant that is ``value`` milliseconds after 1970, UTC."""
    return _EPOCH + value * _MILLISECOND
