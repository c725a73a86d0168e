"""How a kind of stored record is declared, read and written.

A record is a frozen class whose fields are the members of the stored value. A `RecordKind` ties the class to its key,
its lifetime and a sentence for the reference. No other module writes the name of a key or of a member as a string: a
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
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
from attrs import Factory, field, frozen

from apcore.errors import ContractError
from apcore.ports import Check, DeleteEntry, Entry, Put, StoreKey
from apcore.records.format import decode_record, encode_record, from_epoch_ms, to_epoch_ms

__all__ = [
    "RECORD_KINDS",
    "RecordFormat",
    "RecordKey",
    "RecordKind",
    "Stored",
    "StoredRecord",
    "describe_kinds",
    "member",
]

KEY_FORMAT: Final = "1"
"""The second part of every key: the version of the key's own layout."""
_FORMAT_MEMBER: Final = "v"
_BODY: Final = "body"
_EXTRA: Final = "extra"
_MEMBER: Final = "apcore.records.member"


class RecordKey(Protocol):
    """The parts of a key after its kind: a `NamedTuple` of strings."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


@frozen(kw_only=True)
class StoredRecord:
    """The base of every record class.

    A subclass is frozen, with keyword-only fields of the types that `RecordKind` lists.
    """

    body: bytes = field(default=b"", repr=False)
    """Bytes stored after the members as they are, for what was signed or served byte for byte."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """Members of a newer release, kept as they are."""


def member(name: str, **options: Any) -> Any:
    """Declare a field that is stored under another ``name`` than its own; ``options`` are those of `attrs.field`."""
    return field(metadata={_MEMBER: name}, **options)


RecordT = TypeVar("RecordT", bound=StoredRecord)
KeyT = TypeVar("KeyT", bound=RecordKey)
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
class Stored(Generic[RecordT, KeyT]):
    """A record as it was read, with its key and the entry that holds it."""

    key: KeyT
    record: RecordT
    entry: Entry = field(repr=False)

    @property
    def check(self) -> Check:
        """The condition that nobody has changed the record since it was read."""
        return Check(self.entry.key, self.entry.version)

    @property
    def deletion(self) -> DeleteEntry:
        """The write that removes the record."""
        return DeleteEntry(self.entry.key)


class _Codec(NamedTuple):
    """How one type of field is stored. ``read`` raises `ValueError` for a value of another type."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _instance_of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{value!r:.40} is no {kind.__name__}")
        return value

    return read


def _read_flag(value: Any) -> bool:
    if value not in (True, False, 0, 1):
        raise ValueError(f"{value!r:.40} is no flag")
    return bool(value)


def _read_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise ValueError(f"{value!r:.40} is no list of strings")
    return tuple(cast("list[str]", value))


def _read_numbers(value: Any) -> tuple[int, ...]:
    return tuple(map(_instance_of(int), _instance_of(list)(value)))


def _read_counts(value: Any) -> Mapping[str, int]:
    return {name: _instance_of(int)(number) for name, number in _instance_of(dict)(value).items()}


def _read_instant(value: Any) -> datetime:
    return from_epoch_ms(_instance_of(int)(value))


def _same(value: Any) -> Any:
    return value


_CODECS: Final[dict[object, _Codec]] = {
    str: _Codec(_instance_of(str), _same),
    int: _Codec(_instance_of(int), _same),
    bool: _Codec(_read_flag, _same),
    datetime: _Codec(_read_instant, to_epoch_ms),
    tuple[str, ...]: _Codec(_read_texts, list),
    tuple[int, ...]: _Codec(_read_numbers, list),
    Mapping[str, int]: _Codec(_read_counts, dict),
    Any: _Codec(_same, _same),
}


@frozen
class _Field:
    """One field of a record class, resolved."""

    name: str
    member: str
    codec: _Codec
    is_optional: bool
    """Whether None is a value of the field."""
    default: Any
    """The value that is not stored; `attrs.NOTHING` for a required field."""


def _fields_of(record: type[StoredRecord]) -> tuple[_Field, ...]:
    hints = get_type_hints(record)
    fields: list[_Field] = []
    for attribute in attrs.fields(record):
        if attribute.name in {_BODY, _EXTRA}:
            continue
        hint = hints[attribute.name]
        is_union = get_origin(hint) in {Union, UnionType}
        kinds = [kind for kind in get_args(hint) if kind is not NoneType] if is_union else [hint]
        codec = _CODECS.get(kinds[0]) if len(kinds) == 1 else None
        if codec is None:
            raise TypeError(
                f"{record.__name__}.{attribute.name} is {hint}; a record holds {', '.join(map(str, _CODECS))}"
            )
        fields.append(
            _Field(
                attribute.name,
                attribute.metadata.get(_MEMBER, attribute.name),
                codec,
                is_optional=is_union,
                default=_default_of(attribute),
            )
        )
    return tuple(fields)


def _default_of(attribute: attrs.Attribute[Any]) -> Any:
    make_default = getattr(attribute.default, "factory", None)
    return attribute.default if make_default is None else make_default()


def _default_prefix(kind: RecordKind[Any, Any]) -> StoreKey:
    return (kind.name, KEY_FORMAT)


def _default_layout(kind: RecordKind[Any, Any]) -> tuple[None, ...]:
    return (None,) * len(getattr(kind.key_type, "_fields", ()))


def _resolve_fields(kind: RecordKind[Any, Any]) -> tuple[_Field, ...]:
    return _fields_of(kind.record) if kind.format is None else ()


RECORD_KINDS: Final[dict[str, RecordKind[Any, Any]]] = {}
"""Every kind that was declared, by name. The reference page is generated from it."""


@frozen(eq=False)
class RecordKind(Generic[RecordT, KeyT]):
    """One kind of stored record.

    The fields of a record are `str`, `int`, `bool`, `datetime` (to the millisecond), ``tuple[str, ...]``,
    ``tuple[int, ...]``, ``Mapping[str, int]`` or, for JSON of a peer, `Any`; each of them also ``| None``. None, False
    and the default of a field are not stored.

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
    _fields: tuple[_Field, ...] = field(init=False, repr=False, default=Factory(_resolve_fields, takes_self=True))

    def __attrs_post_init__(self) -> None:
        if self.name in RECORD_KINDS:
            raise ValueError(f"two kinds of record are called {self.name!r}")
        RECORD_KINDS[self.name] = self

    # --- keys ---

    def at(self, *parts: str) -> StoreKey:
        """Return the store key of a record, or with fewer parts the prefix of several."""
        remaining = list(parts)
        key = list(self.prefix)
        for fixed in self.layout:
            if fixed is None and not remaining:
                break
            key.append(remaining.pop(0) if fixed is None else fixed)
        return tuple(key)

    def key(self, key: KeyT) -> StoreKey:
        """Return the store key of the record with these key parts."""
        return self.at(*key)

    def parts_of(self, key: StoreKey) -> KeyT:
        """Return the key parts of a store key of this kind.

        Raises:
            ContractError: It is the key of another kind.
        """
        rest = key[len(self.prefix) :]
        if key[: len(self.prefix)] == self.prefix and len(rest) == len(self.layout):
            parts = [part for part, fixed in zip(rest, self.layout, strict=True) if fixed is None]
            if self.at(*parts) == key:
                return self.key_type(*parts)
        raise ContractError(f"{key!r:.80} is no key of a {self.name!r} record with {self.layout.count(None)} parts")

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
        members = dict(decoded.members)
        values: dict[str, Any] = {}
        for spec in self._fields:
            stored = members.pop(spec.member, None)
            if stored is None:
                if spec.default is not attrs.NOTHING:
                    continue
                if not spec.is_optional:
                    raise ContractError(f"the {self.name!r} record has no {spec.member!r}")
                values[spec.name] = None
                continue
            try:
                values[spec.name] = spec.codec.read(stored)
            except (ValueError, OverflowError, OSError) as error:
                raise ContractError(f"the {self.name!r} record has no usable {spec.member!r}: {error}") from error
        members.pop(_FORMAT_MEMBER, None)
        return self.record(**values, body=decoded.body, extra=members)

    def encode(self, record: RecordT) -> bytes:
        """Return the bytes of a record as they are stored."""
        if self.format is not None:
            return self.format.encode(record)
        members = dict(record.extra)
        for spec in self._fields:
            value = getattr(record, spec.name)
            members[spec.member] = None if value is None or value == spec.default else spec.codec.write(value)
        return encode_record(members, record.body)

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


def describe_kinds() -> str:
    """Return the reference table of all declared kinds, in Markdown, sorted by name."""
    lines = ["| Key | Holds | Kept | Size | Written by |", "|---|---|---|---|---|"]
    for _, kind in sorted(RECORD_KINDS.items()):
        names = iter(getattr(kind.key_type, "_fields", ()))
        layout = [next(names) if fixed is None else json.dumps(fixed) for fixed in kind.layout]
        parts = [*map(json.dumps, kind.prefix), *layout]
        meaning = (kind.record.__doc__ or "").strip().partition("\n")[0]
        lines.append(f"| `({', '.join(parts)})` | {meaning} | {kind.lifetime} | {kind.size} | {kind.written_by} |")
    return "\n".join(lines) + "\n"
