"""Parse and serialize structured fields (RFC 9651).

`http-sf` does the parsing. This module has its own types, so that no other module depends on that library, and raises
apcore's errors: `RequestError` if a peer's text cannot be parsed, `ValueError` if a value cannot be serialized.

An item is always an `Item` and an inner list an `InnerList`, with or without parameters, so callers handle one form
only. Text between quotation marks is `str`. The two other kinds of text have their own types, since a `Token` written
as a string would be another value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, NoReturn, cast

import http_sf
from attrs import field, frozen
from http_sf.parameters import ser_params
from typing_extensions import override

from apcore.errors import RequestError

__all__ = [
    "FIELD_LENGTH_MAX",
    "BareItem",
    "DisplayString",
    "InnerList",
    "Item",
    "StructuredMember",
    "Token",
    "parse_dictionary",
    "parse_item",
    "parse_list",
    "serialize_dictionary",
    "serialize_item",
    "serialize_list",
    "serialize_parameters",
]

FIELD_LENGTH_MAX: Final = 64 * 1024
"""The most characters of one combined field: as many as the default limit allows in a whole header section."""


@frozen
class Token:
    """A short identifier, written without quotation marks (RFC 9651 §3.3.4)."""

    text: str

    @override
    def __str__(self) -> str:
        return self.text


@frozen
class DisplayString:
    """Text for people, of any Unicode characters (RFC 9651 §3.3.8)."""

    text: str

    @override
    def __str__(self) -> str:
        return self.text


BareItem = int | Decimal | str | Token | bytes | bool | datetime | DisplayString


def _no_parameters() -> dict[str, BareItem]:
    return {}


@frozen
class Item:
    """A value and its parameters, in order."""

    value: BareItem
    parameters: Mapping[str, BareItem] = field(factory=_no_parameters)


@frozen
class InnerList:
    """Items in parentheses, and the parameters of the whole list."""

    items: tuple[Item, ...] = field(converter=tuple[Item, ...])
    parameters: Mapping[str, BareItem] = field(factory=_no_parameters)


StructuredMember = Item | InnerList
"""A member of a list or a dictionary."""

Duplicates = Literal["last", "refuse"]
"""How to treat a repeated key: use the last one, as RFC 9651 says; or refuse it, where a trust decision depends on
it.
"""


def parse_item(text: str, *, duplicates: Duplicates = "last") -> Item:
    """Parse a field that is one item.

    Raises:
        RequestError: The field is not an item.
    """
    return _to_item(_parse(text, "item", duplicates))


def parse_list(text: str, *, duplicates: Duplicates = "last") -> tuple[StructuredMember, ...]:
    """Parse a field that is a list; an empty field is an empty list.

    Raises:
        RequestError: The field is not a list.
    """
    return tuple(_to_member(member) for member in _parse(text, "list", duplicates))


def parse_dictionary(text: str, *, duplicates: Duplicates = "last") -> dict[str, StructuredMember]:
    """Parse a field that is a dictionary, in order; an empty field is an empty dictionary.

    Raises:
        RequestError: The field is not a dictionary.
    """
    return {key: _to_member(member) for key, member in _parse(text, "dictionary", duplicates).items()}


def serialize_item(item: Item) -> str:
    """Serialize an item in its canonical form.

    `ValueError` if the value has none. An inner list is not an item (RFC 9651 §3.3).
    """
    return _serialized(lambda: http_sf.ser(_from_member(item)))


def serialize_list(members: Sequence[StructuredMember]) -> str:
    """Serialize a list. `ValueError` for an empty one: leave out the field instead."""
    return _serialized(lambda: http_sf.ser([_from_member(member) for member in members]))


def serialize_dictionary(members: Mapping[str, StructuredMember]) -> str:
    """Serialize a dictionary. `ValueError` for an empty one: leave out the field instead."""
    return _serialized(lambda: http_sf.ser({key: _from_member(member) for key, member in members.items()}))


def serialize_parameters(parameters: Mapping[str, BareItem]) -> str:
    """Serialize parameters alone, each with a semicolon before it."""
    return _serialized(lambda: ser_params(_from_parameters(parameters)))


def _parse(text: str, kind: Literal["item", "list", "dictionary"], duplicates: Duplicates) -> Any:
    if len(text) > FIELD_LENGTH_MAX:
        raise RequestError(f"structured field of {len(text)} characters, at most {FIELD_LENGTH_MAX}")
    try:
        return http_sf.parse(
            text.encode("latin-1"), tltype=kind, on_duplicate_key=_refuse_duplicate if duplicates == "refuse" else None
        )
    except (ValueError, OverflowError) as exc:  # http_sf.StructuredFieldError and UnicodeEncodeError are ValueErrors
        raise RequestError(f"structured field is not a valid {kind}: {exc}") from exc


def _refuse_duplicate(key: str, where: str) -> NoReturn:
    raise RequestError(f"structured field has the key {key[:80]!r} twice in one {where}")


def _serialized(serialize: Callable[[], str]) -> str:
    try:
        return serialize()
    except (TypeError, OverflowError, AttributeError) as exc:
        raise ValueError(f"not a structured field: {exc}") from exc


def _to_member(parsed: Any) -> StructuredMember:
    return _to_inner_list(parsed) if isinstance(parsed[0], list) else _to_item(parsed)


def _to_inner_list(parsed: Any) -> InnerList:
    items, parameters = parsed
    return InnerList(tuple(_to_item(item) for item in items), _to_parameters(parameters))


def _to_item(parsed: Any) -> Item:
    value, parameters = parsed
    return Item(_to_bare(value), _to_parameters(parameters))


def _to_parameters(parsed: Mapping[str, object]) -> dict[str, BareItem]:
    return {key: _to_bare(value) for key, value in parsed.items()}


def _to_bare(parsed: object) -> BareItem:
    if isinstance(parsed, http_sf.Token):
        return Token(parsed.data)
    if isinstance(parsed, http_sf.DisplayString):
        return DisplayString(parsed.data)
    return cast("BareItem", parsed)


def _from_member(member: StructuredMember) -> Any:
    if isinstance(member, InnerList):
        return [_from_member(item) for item in member.items], _from_parameters(member.parameters)
    return _from_bare(member.value), _from_parameters(member.parameters)


def _from_parameters(parameters: Mapping[str, BareItem]) -> dict[str, Any]:
    return {key: _from_bare(value) for key, value in parameters.items()}


def _from_bare(value: BareItem) -> Any:
    if isinstance(value, Token):
        return http_sf.Token(value.text)
    if isinstance(value, DisplayString):
        return http_sf.DisplayString(value.text)
    return value
