"""Read the fields of a record class from JSON members, and write them back.

`apcore.records.declaration` declares records from them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from apcore.records.format import encode_member, from_epoch_ms, quote_json, to_epoch_ms

__all__ = ["RecordField", "StoredPart", "fields_of", "member", "read_members", "write_members"]

_BODY: Final = "body"
_EXTRA: Final = "extra"
_MEMBER: Final = "apcore.records.member"


@frozen(kw_only=True)
class StoredPart:
    """The base of a class for one object in a list that a record holds.

    A subclass is frozen, with keyword-only fields of the types that `RecordKind` lists.
    """

    extra: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """Members of a newer release, kept as they are."""


def member(name: str, **options: Any) -> Any:
    """Declare a field that is stored under another ``name`` than its own; ``options`` are those of `attrs.field`."""
    return field(metadata={_MEMBER: name}, **options)


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


def _read_base64(value: Any) -> bytes:
    return b64decode(_instance_of(str)(value), validate=True)


def _write_base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _same(value: Any) -> Any:
    return value


_CODECS: Final[dict[object, _Codec]] = {
    str: _Codec(_instance_of(str), _same),
    int: _Codec(_instance_of(int), _same),
    bool: _Codec(_read_flag, _same),
    bytes: _Codec(_read_base64, _write_base64),
    datetime: _Codec(_read_instant, to_epoch_ms),
    tuple[str, ...]: _Codec(_read_texts, list),
    tuple[int, ...]: _Codec(_read_numbers, list),
    Mapping[str, int]: _Codec(_read_counts, dict),
    Any: _Codec(_same, _same),
}


@frozen
class RecordField:
    """One field of a record class, resolved."""

    name: str
    member: str
    codec: _Codec
    is_optional: bool
    """Whether None is a value of the field."""
    default: Any
    """The value that is not stored; `attrs.NOTHING` for a required field."""
    json_start: str
    """The name of the member as JSON, with the colon."""
    plain_type: type | None = None
    """The type of the stored value, if every value of that type is one of the field."""


def _codec_for(hint: Any) -> _Codec | None:
    """Return the codec of a type, or None for a type that a record cannot hold."""
    if hint in _CODECS:
        return _CODECS[hint]
    arguments = get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Codec(hint, _value_of)
    if get_origin(hint) is Literal and all(isinstance(argument, str) for argument in arguments):
        return _Codec(_one_of(arguments), _same)
    if get_origin(hint) is tuple and arguments[1:] == (...,) and issubclass(arguments[0], StoredPart):
        return _parts_codec(arguments[0])
    return None


def _value_of(value: Enum) -> Any:
    return value.value


def _one_of(words: tuple[str, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in words:
            raise ValueError(f"{value!r:.40} is none of {', '.join(words)}")
        return value

    return read


def _parts_codec(part: type[StoredPart]) -> _Codec:
    fields = fields_of(part)

    def read(value: Any) -> tuple[StoredPart, ...]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[object]", value)):
            raise ValueError(f"{value!r:.40} is no list of objects")
        return tuple(part(**read_members(fields, item)) for item in cast("list[dict[str, Any]]", value))

    def write(value: tuple[StoredPart, ...]) -> list[dict[str, Any]]:
        return [write_members(fields, item) for item in value]

    return _Codec(read, write)


def read_members(fields: tuple[RecordField, ...], members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a class's fields, and the members that are none of its fields as ``extra``.

    Raises:
        ValueError: A member is missing or of another type.
    """
    extra = dict(members)
    values: dict[str, Any] = {}
    for spec in fields:
        stored = extra.pop(spec.member, None)
        if stored is None:
            if spec.default is not attrs.NOTHING:
                continue
            if not spec.is_optional:
                raise ValueError(f"there is no {spec.member!r}")
            values[spec.name] = None
            continue
        if type(stored) is spec.plain_type:
            # Most members are texts and numbers, which are stored as they are.
            values[spec.name] = stored
            continue
        try:
            values[spec.name] = spec.codec.read(stored)
        except (ValueError, OverflowError, OSError) as error:
            raise ValueError(f"{spec.member!r}: {error}") from error
    values[_EXTRA] = extra
    return values


def write_members(fields: tuple[RecordField, ...], part: StoredPart) -> dict[str, Any]:
    """Return the members of a record or part. A None, or the default of its field, is no member."""
    members = dict(part.extra)
    for spec in fields:
        value = getattr(part, spec.name)
        if value is not None and value != spec.default:
            write = spec.codec.write
            members[spec.member] = value if write is _same else write(value)
    return members


def encode_members(fields: tuple[RecordField, ...], part: StoredPart) -> list[str]:
    """Return the members of a record as JSON, such as ``"id":1``. They are those of `write_members`."""
    members: dict[str, str] = {}
    if part.extra:
        members = {name: f"{quote_json(name)}:{encode_member(value)}" for name, value in part.extra.items()}
    for spec in fields:
        value = getattr(part, spec.name)
        if value is not None and value != spec.default:
            write = spec.codec.write
            stored = value if write is _same else write(value)
            text = quote_json(stored) if type(stored) is str else encode_member(stored)
            members[spec.member] = spec.json_start + text
    return list(members.values())


def fields_of(record: type[StoredPart]) -> tuple[RecordField, ...]:
    """Return the fields of a class, with their codecs.

    Raises:
        TypeError: A record cannot hold the type of a field.
    """
    hints = get_type_hints(record)
    fields: list[RecordField] = []
    for attribute in attrs.fields(record):
        if attribute.name in {_BODY, _EXTRA}:
            continue
        hint = hints[attribute.name]
        is_union = get_origin(hint) in {Union, UnionType}
        kinds = [kind for kind in get_args(hint) if kind is not NoneType] if is_union else [hint]
        codec = _codec_for(kinds[0]) if len(kinds) == 1 else None
        if codec is None:
            raise TypeError(
                f"{record.__name__}.{attribute.name} is {hint}; a record holds {', '.join(map(str, _CODECS))}, "
                "an Enum, a Literal of strings, or a tuple of StoredParts"
            )
        fields.append(
            RecordField(
                attribute.name,
                attribute.metadata.get(_MEMBER, attribute.name),
                codec,
                is_optional=is_union,
                default=_default_of(attribute),
                json_start=f"{quote_json(attribute.metadata.get(_MEMBER, attribute.name))}:",
                plain_type=kinds[0] if kinds[0] in (str, int) else None,
            )
        )
    return tuple(fields)


def _default_of(attribute: attrs.Attribute[Any]) -> Any:
    make_default = getattr(attribute.default, "factory", None)
    return attribute.default if make_default is None else make_default()
