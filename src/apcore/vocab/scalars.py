"""Define properties that hold plain values: texts, numbers, booleans, times, and raw JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, ClassVar, Final, TypeGuard

from typing_extensions import override

from apcore.vocab import values
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import Namespace
from apcore.vocab.properties import Made, Property
from apcore.vocab.times import format_duration, format_moment, parse_duration, parse_moment

__all__ = ["Boolean", "Duration", "Integer", "LanguageMap", "Moment", "Number", "Numbers", "Raw", "Text", "Texts"]


class Text(Property[str | None, str | None]):
    """A string. If it is missing or blank, the text is taken from its language map, as by `values.text`."""

    __slots__ = ("map_term",)

    def __init__(
        self,
        term: str | None = None,
        *,
        ns: Namespace | None = None,
        iri: str | None = None,
        also: tuple[str, ...] = (),
        languages: str = "",
    ) -> None:
        """Create the property. ``languages`` is the term for its language map."""
        super().__init__(term, ns=ns, iri=iri, also=also)
        self.map_term: Final = languages

    @override
    def decode(self, value: Any, document: Document) -> str | None:
        text = values.text(value)
        if text is not None and text.strip():
            return text
        mapped = self.otherwise(document)
        return mapped if mapped is not None and mapped.strip() else text

    @override
    def otherwise(self, document: Document) -> str | None:
        mapped = document.words.get(self.map_term) if self.map_term else None
        return None if mapped is None else values.text(mapped)

    @override
    def encode(self, value: Any, view_classes: Made) -> str:
        if not isinstance(value, str):
            raise self.refused(value, "a string")
        return value


class Texts(Property[tuple[str, ...], Iterable[str] | None]):
    """Strings."""

    __slots__ = ()
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[str, ...]:
        return tuple(text for item in values.many(value) if (text := values.text(item)) is not None)

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        items = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(item, str) for item in items):
            raise self.refused(value, "strings")
        return self.listed(items)


class LanguageMap(Property[Mapping[str, str], Mapping[str, str] | None]):
    """Texts by language tag. ``und`` and ``@none`` stand for an undetermined language."""

    __slots__ = ()
    container = "@language"
    absent: ClassVar[Any] = {}

    @override
    def decode(self, value: Any, document: Document) -> Mapping[str, str]:
        return values.language_map(value)

    @override
    def otherwise(self, document: Document) -> Mapping[str, str]:
        return {}

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        texts: dict[Any, Any] = dict(value)
        if not all(isinstance(part, str) for pair in texts.items() for part in pair):
            raise self.refused(value, "a mapping from language tag to text")
        return texts


class Boolean(Property[bool | None, bool | None]):
    """A boolean."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> bool | None:
        return values.boolean(value)

    @override
    def encode(self, value: Any, view_classes: Made) -> bool:
        if not isinstance(value, bool):
            raise self.refused(value, "True or False")
        return value


class Integer(Property[int | None, int | None]):
    """A whole number. A number in a string, or with a fraction of zero, is accepted too."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> int | None:
        return values.integer(value)

    @override
    def encode(self, value: Any, view_classes: Made) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refused(value, "an int")
        return value


def _is_finite_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


class Number(Property[float | None, float | None]):
    """A finite number."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> float | None:
        return values.number(value)

    @override
    def encode(self, value: Any, view_classes: Made) -> float:
        if not _is_finite_number(value):
            raise self.refused(value, "a finite number")
        return value


class Numbers(Property[tuple[float, ...], Iterable[float] | None]):
    """Finite numbers, in order."""

    __slots__ = ()
    container = "@list"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[float, ...]:
        return tuple(decoded for item in values.many(value) if (decoded := values.number(item)) is not None)

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        items: list[Any] = list(value)
        if not all(_is_finite_number(item) for item in items):
            raise self.refused(value, "finite numbers")
        return items


class Moment(Property[datetime | None, datetime | None]):
    """A time in UTC."""

    __slots__ = ()
    coercion = "http://www.w3.org/2001/XMLSchema#dateTime"

    @override
    def decode(self, value: Any, document: Document) -> datetime | None:
        return parse_moment(values.literal(value))

    @override
    def encode(self, value: Any, view_classes: Made) -> str:
        if not isinstance(value, datetime):
            raise self.refused(value, "a datetime with a zone")
        return format_moment(value)


class Duration(Property[timedelta | None, timedelta | None]):
    """A length of time."""

    __slots__ = ()
    coercion = "http://www.w3.org/2001/XMLSchema#duration"

    @override
    def decode(self, value: Any, document: Document) -> timedelta | None:
        return parse_duration(values.literal(value))

    @override
    def encode(self, value: Any, view_classes: Made) -> str:
        if not isinstance(value, timedelta):
            raise self.refused(value, "a timedelta")
        return format_duration(value)


class Raw(Property[Any, Any]):
    """Raw JSON. Do not change it."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> Any:
        return value

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        return deepcopy(value)
