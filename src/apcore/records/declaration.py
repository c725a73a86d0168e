"""Declare kinds of stored records, and read and write records of a kind.

A record is a frozen class: its fields are the members of the stored value. A `RecordKind` ties the class to its key,
its lifetime and a sentence for the reference. No other module writes the name of a key or of a member as a string, so a
misspelt field is a type error.

For example::

    class CircuitKey(NamedTuple):
        backlog: str

    @frozen(kw_only=True)
    class Circuit(StoredRecord):
        \"\"\"Whether deliveries to one host are tried.\"\"\"

        failures: int = 0
        due: datetime | None = None

    CIRCUITS = RecordKind("circuit", Circuit, CircuitKey, lifetime="until the host answers", written_by="delivery")

    stored = CIRCUITS.read(entry)          # Stored: .key.backlog, .record.failures
    write = CIRCUITS.put(stored.key, evolve(stored.record, failures=3))

Values are the format of `apcore.records.format`: one line of JSON, then the body. Members that this release does not
know are kept when a record is written again, so that two releases can share a store. A kind whose values are older than
that format, or that must be as short as possible, has a `RecordFormat` of its own.

A list of objects within a record is a tuple of `StoredPart`s, which are declared like records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from textwrap import wrap
from typing import Any, Final, Generic, Protocol, TypeVar

from attrs import Factory, field, frozen

from apcore.errors import ContractError
from apcore.ports import Check, DeleteEntry, Entry, Put, StoreKey
from apcore.records.fields import RecordField, StoredPart, encode_members, fields_of, read_members
from apcore.records.format import decode_record, encode_line

__all__ = [
    "RECORD_KINDS",
    "RecordFormat",
    "RecordKey",
    "RecordKind",
    "Stored",
    "StoredRecord",
    "describe_kinds",
]

KEY_FORMAT: Final = "1"
"""The second part of every key: the version of the key's own layout."""
_FORMAT_MEMBER: Final = "v"


class RecordKey(Protocol):
    """The parts of a key after its kind: a `NamedTuple` of strings."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


@frozen(kw_only=True)
class StoredRecord(StoredPart):
    """The base of every record class. It is declared like a `StoredPart`."""

    body: bytes = field(default=b"", repr=False)
    """Bytes stored after the members as they are, for what was signed or served byte for byte."""


RecordT = TypeVar("RecordT", bound=StoredRecord)
KeyT = TypeVar("KeyT", bound=RecordKey)
RecordT_co = TypeVar("RecordT_co", bound=StoredRecord, covariant=True)
KeyT_co = TypeVar("KeyT_co", bound=RecordKey, covariant=True)
FormatT = TypeVar("FormatT", bound=StoredRecord)


class RecordFormat(Protocol[FormatT]):
    """The bytes of a kind of record that is not stored as JSON."""

    def decode(self, value: bytes, /) -> FormatT:
        """Read a record. Raises `ContractError` or `ValueError` for bytes that are no such record."""
        ...

    def encode(self, record: FormatT, /) -> bytes:
        """Return the bytes of a record."""
        ...


@frozen
class Stored(Generic[RecordT_co, KeyT_co]):
    """A record as it was read, with its key and the entry that holds it."""

    key: KeyT_co
    record: RecordT_co
    entry: Entry = field(repr=False)

    @property
    def check(self) -> Check:
        """The condition that the record is unchanged since it was read."""
        return Check(self.entry.key, self.entry.version)

    @property
    def deletion(self) -> DeleteEntry:
        """The write that removes the record."""
        return DeleteEntry(self.entry.key)


def _default_prefix(kind: RecordKind[Any, Any]) -> StoreKey:
    return (kind.name, KEY_FORMAT)


def _default_layout(kind: RecordKind[Any, Any]) -> tuple[None, ...]:
    return (None,) * len(getattr(kind.key_type, "_fields", ()))


def _resolve_fields(kind: RecordKind[Any, Any]) -> tuple[RecordField, ...]:
    return fields_of(kind.record) if kind.format is None else ()


RECORD_KINDS: Final[dict[str, RecordKind[Any, Any]]] = {}
"""Every kind that was declared, by name. The reference page is generated from it."""


@frozen(eq=False)
class RecordKind(Generic[RecordT, KeyT]):
    """One kind of stored record.

    The fields of a record are `str`, `int`, `bool`, `bytes` (as base64), `datetime` (to the millisecond), an `Enum` (by
    its value), a `Literal` of strings, ``tuple[str, ...]``, ``tuple[int, ...]``, ``Mapping[str, int]``, a tuple of
    `StoredPart`s or, for JSON of a peer, `Any`; each of them also ``| None``. None and the default of a field are not
    stored.

    Raises:
        ValueError: Two kinds have one name.
    """

    name: str
    """The name of the kind, and the first part of its keys unless ``prefix`` says otherwise."""
    record: type[RecordT]
    key_type: type[KeyT]
    """The parts of the key after ``prefix``. A string chosen by a peer enters as its `apcore.ports.digest_part`."""
    lifetime: str = field(kw_only=True)
    """How long a record is kept, for people."""
    written_by: str = field(kw_only=True)
    """The part of apcore that writes it, for people."""
    size: str = field(kw_only=True, default="under 1 KiB")
    """How large one record is, for people."""
    prefix: StoreKey = field(kw_only=True, default=Factory(_default_prefix, takes_self=True))
    """The fixed parts that every key begins with: ``(name, "1")`` unless given."""
    layout: tuple[str | None, ...] = field(kw_only=True, default=Factory(_default_layout, takes_self=True))
    """The parts after ``prefix``: a string is fixed, and None stands for the next part of the key."""
    ttl_s: float | None = field(kw_only=True, default=None)
    """The time to live of a record that is put without another one. None for records that do not expire."""
    format: RecordFormat[RecordT] | None = field(kw_only=True, default=None, repr=False)
    """The bytes of a record; None for JSON."""
    _is_flat: bool = field(init=False, repr=False, default=Factory(lambda kind: not any(kind.layout), takes_self=True))
    """Whether every part after ``prefix`` is a part of the key."""
    _fields: tuple[RecordField, ...] = field(init=False, repr=False, default=Factory(_resolve_fields, takes_self=True))

    def __attrs_post_init__(self) -> None:
        if self.name in RECORD_KINDS:
            raise ValueError(f"two kinds of record are called {self.name!r}")
        RECORD_KINDS[self.name] = self

    # --- keys ---

    def at(self, *parts: str) -> StoreKey:
        """Return the store key of a record, or with fewer parts the prefix of several."""
        if self._is_flat:
            return self.prefix + parts
        remaining = list(parts)
        key = list(self.prefix)
        for fixed in self.layout:
            if fixed is None and not remaining:
                break
            key.append(remaining.pop(0) if fixed is None else fixed)
        return tuple(key)

    def key(self, key: KeyT) -> StoreKey:
        """Return the store key of the record with these key parts."""
        return (*self.prefix, *key) if self._is_flat else self.at(*key)

    def parts_of(self, key: StoreKey) -> KeyT:
        """Return the key parts of a store key of this kind.

        Raises:
            ContractError: It is the key of another kind.
        """
        if not self.holds(key):
            raise ContractError(f"{key!r:.80} is no key of a {self.name!r} record with {self.layout.count(None)} parts")
        rest = key[len(self.prefix) :]
        return self.key_type(*(part for part, fixed in zip(rest, self.layout, strict=True) if fixed is None))

    def holds(self, key: StoreKey) -> bool:
        """Return whether a store key is that of a record of this kind."""
        if self._is_flat:
            size = len(self.prefix)
            return len(key) == size + len(self.layout) and key[:size] == self.prefix
        pattern = (*self.prefix, *self.layout)
        return len(key) == len(pattern) and all(
            fixed is None or part == fixed for part, fixed in zip(key, pattern, strict=True)
        )

    # --- values ---

    def decode(self, value: bytes) -> RecordT:
        """Read a record from its stored bytes.

        Raises:
            NewerFormat: A newer release wrote it (`apcore.records.format.NewerFormat`).
            ContractError: It is no record of this kind.
        """
        if self.format is not None:
            try:
                return self.format.decode(value)
            except ValueError as error:
                raise ContractError(f"{value!r:.40} is no {self.name!r} record: {error}") from error
        decoded = decode_record(value)
        try:
            values = read_members(self._fields, decoded.members)
        except ValueError as error:
            raise ContractError(f"the {self.name!r} record is not usable: {error}") from error
        values["extra"].pop(_FORMAT_MEMBER, None)
        return self.record(**values, body=decoded.body)

    def encode(self, record: RecordT) -> bytes:
        """Return the bytes of a record as they are stored."""
        if self.format is not None:
            return self.format.encode(record)
        return encode_line(encode_members(self._fields, record), record.body)

    # --- entries and writes ---

    def read(self, entry: Entry) -> Stored[RecordT, KeyT]:
        """Read an entry of this kind. Raises as `decode` and `parts_of`."""
        return Stored(self.parts_of(entry.key), self.decode(entry.value), entry)

    def read_optional(self, entry: Entry | None) -> Stored[RecordT, KeyT] | None:
        """Read an entry, or return None where there is none."""
        return None if entry is None else self.read(entry)

    def put(self, key: KeyT, record: RecordT, *, ttl_s: float | None = None) -> Put:
        """Return the write that stores ``record``, for ``ttl_s`` or the lifetime of the kind."""
        return Put(self.key(key), self.encode(record), self.ttl_s if ttl_s is None else ttl_s)

    def delete(self, key: KeyT) -> DeleteEntry:
        """Return the write that removes the record."""
        return DeleteEntry(self.key(key))

    def absent(self, key: KeyT) -> Check:
        """Return the condition that there is no such record."""
        return Check(self.key(key), None)


def describe_kinds(kinds: Iterable[RecordKind[Any, Any]] | None = None) -> str:
    """Return the reference of ``kinds``, or of all declared ones, as a Markdown definition list, sorted by key."""
    blocks: list[str] = []
    for kind in sorted(RECORD_KINDS.values() if kinds is None else kinds, key=_pattern_of):
        meaning = (kind.record.__doc__ or "").strip().partition("\n")[0]
        facts = f"Kept: {kind.lifetime}. Size: {kind.size}. Written by: {kind.written_by}."
        lines = [line for text in (meaning, facts) for line in wrap(text, 116, break_on_hyphens=False)]
        blocks.append("\n".join([f"`{_pattern_of(kind)}`", f":   {lines[0]}", *(f"    {line}" for line in lines[1:])]))
    return "\n\n".join(blocks) + "\n"


def _pattern_of(kind: RecordKind[Any, Any]) -> str:
    """Return the store keys of a kind as people read them: fixed parts in quotes, and the names of the others."""
    names = iter(getattr(kind.key_type, "_fields", ()))
    layout = [next(names) if fixed is None else json.dumps(fixed) for fixed in kind.layout]
    return f"({', '.join([*map(json.dumps, kind.prefix), *layout])})"
