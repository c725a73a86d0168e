"""Properties: how one word of a document is read and written.

Each is a descriptor that decodes on read, by the rules of `apcore.vocab.values`: what is not of the expected shape is absent, because one
bad member must not cost a peer's whole document. Writing is strict: a value of ours that has no wire form is a ValueError.

=============  ==========================  ==============================================================
class          reads as                    may be given as
=============  ==========================  ==============================================================
`Text`         ``str | None``              a string
`Texts`        ``tuple[str, ...]``         strings
`LanguageMap`  ``Mapping[str, str]``       a mapping from language tag to text
`Boolean`      ``bool | None``             a bool
`Integer`      ``int | None``              an int
`Number`       ``float | None``            an int or float
`Numbers`      ``tuple[float, ...]``       ints and floats
`Moment`       ``datetime | None``         a datetime with a zone
`Duration`     ``timedelta | None``        a timedelta
`Uri`, `Uris`  ``str | None``, a tuple     addresses; read from links, too
`Ref`, `Refs`  `Reference` ``| None``, ..  an address, a `Reference`, a view or a document (which is embedded)
`One`, `Many`  a view ``| None``, a tuple  views
`Raw`          the JSON itself             JSON
=============  ==========================  ==============================================================

Each takes the term that is on the wire (by default the attribute's name in camelCase), ``iri`` if that is not namespace and term, and
``also``: other names that mean the same.

Type checkers take the constructor's types from ``__set__``; its ``Never`` makes them report assignment, since views do not change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Never, Self, TypeVar, overload

from typing_extensions import TypeAliasType, TypeIs, override

from apcore.vocab import values
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import PUBLIC, PUBLIC_FORMS, Namespace
from apcore.vocab.references import Reference
from apcore.vocab.times import format_duration, format_moment, parse_duration, parse_moment

if TYPE_CHECKING:
    from apcore.vocab.views import View

__all__ = [
    "Boolean",
    "Duration",
    "Integer",
    "LanguageMap",
    "Many",
    "Moment",
    "Number",
    "Numbers",
    "One",
    "Property",
    "Raw",
    "Ref",
    "RefLike",
    "Refs",
    "SoleRef",
    "Text",
    "Texts",
    "Uri",
    "Uris",
    "camel_case",
    "is_property",
]

Got = TypeVar("Got")
Given = TypeVar("Given")
V = TypeVar("V", bound="View")

RefLike = TypeAliasType("RefLike", "str | Reference | View | Document")
"""What may be given where a reference goes. A view or a document is embedded; to refer to one, give its id."""

_Made = set[type["View"]]


def camel_case(attribute: str) -> str:
    """Give the term for an attribute: ``also_known_as`` is ``alsoKnownAs``."""
    first, *rest = attribute.strip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


class Property(Generic[Got, Given]):
    """One word: its term, its IRI, other names for it, and how values are decoded and encoded."""

    __slots__ = ("also", "array", "iri", "iris", "names", "namespace", "term")

    coercion: ClassVar[str | None] = None
    """The ``@type`` of its definition in a context."""
    container: ClassVar[str | None] = None
    """The ``@container`` of its definition in a context."""
    absent: ClassVar[Any] = None

    def __init__(
        self,
        term: str | None = None,
        *,
        ns: Namespace | None = None,
        iri: str | None = None,
        also: tuple[str, ...] = (),
        array: bool = False,
    ) -> None:
        self.term: str = term or ""
        self.iri: str = iri or ""
        self.namespace: Namespace | None = ns
        self.iris: tuple[str, ...] = ()
        self.also: tuple[str, ...] = also
        self.names: tuple[str, ...] = ()
        self.array: bool = array
        """Whether one value is still written as an array, for the peers that expect one."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if not self.term:
            self.term = camel_case(name)

    def bind(self, owner: str, namespace: Namespace | None) -> None:
        """Settle the IRI when the class is made; a property belongs to the class that defines it."""
        if self.names:
            return  # it was lent to a second class; what it means is settled
        self.namespace = self.namespace or namespace
        if self.iri:
            spoken = self.namespace is not None and self.iri.startswith(self.namespace.iri)
            self.iris = (
                self.namespace.iris(self.iri[len(self.namespace.iri) :]) if spoken and self.namespace else (self.iri,)
            )
        elif self.namespace is not None:
            self.iris = self.namespace.iris(self.term)
        elif not self.term.startswith("@") and self.term not in {"id", "type"}:
            raise ValueError(f"{owner}.{self.term} has no IRI: give the class ns=..., or the property iri=...")
        self.iri = self.iris[0] if self.iris else f"@{self.term}"
        self.names = (self.term, *self.also, *self.iris)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: View, owner: type[Any]) -> Got: ...
    def __get__(self, instance: View | None, owner: type[Any]) -> Any:
        if instance is None:
            return self
        document = instance.document
        words = document.words
        for name in self.names:
            value = words.get(name)
            if value is not None:
                return self.decode(value, document)
        return self.otherwise(document)

    def __set__(self, instance: Never, value: Given) -> None:
        raise AttributeError("views do not change")

    def decode(self, value: Any, document: Document) -> Any:
        """Read ``value``, which is not null, out of ``document``."""
        raise NotImplementedError

    def otherwise(self, document: Document) -> Any:  # noqa: ARG002 - for those that override
        """Give what is read if the word is not there."""
        return self.absent

    def encode(self, value: Any, made: _Made) -> Any:
        """Write ``value``, which is not None; view classes that are embedded are added to ``made``."""
        raise NotImplementedError

    def put(self, tree: dict[str, Any], value: Any, made: _Made) -> None:
        """Set the word in ``tree``, or take it away for None."""
        present = [name for name in self.names if name in tree]
        encoded = None if value is None else self.encode(value, made)
        if encoded is None or (encoded == [] and not self.array):
            for name in present:
                del tree[name]
            return
        tree[present[0] if present else self.term] = encoded
        for name in present[1:]:
            del tree[name]

    def definition(self) -> dict[str, str]:
        """Give what a context says about the word."""
        found = {"@id": self.iri, "@type": self.coercion, "@container": self.container}
        return {keyword: value for keyword, value in found.items() if value is not None}

    def listed(self, encoded: list[Any]) -> Any:
        """Write several values: one alone stands for itself unless peers expect an array."""
        return encoded[0] if len(encoded) == 1 and not self.array else encoded

    def refused(self, value: object, expected: str) -> ValueError:
        """Make the error for a value that has no wire form."""
        return ValueError(f"{self.term}={value!r:.200}: expected {expected}")


def is_property(value: object) -> TypeIs[Property[Any, Any]]:
    """Whether ``value`` is a property."""
    return isinstance(value, Property)


class Text(Property[str | None, str | None]):
    """A string. If there is only a language map, its undetermined text, or else its first."""

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
        """``languages`` is the term under which the same word has a language map."""
        super().__init__(term, ns=ns, iri=iri, also=also)
        self.map_term: Final = languages

    @override
    def decode(self, value: Any, document: Document) -> str | None:
        return values.text(value)

    @override
    def otherwise(self, document: Document) -> str | None:
        mapped = document.words.get(self.map_term) if self.map_term else None
        return None if mapped is None else values.text(mapped)

    @override
    def encode(self, value: Any, made: _Made) -> str:
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
    def encode(self, value: Any, made: _Made) -> Any:
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
    def encode(self, value: Any, made: _Made) -> Any:
        texts: dict[Any, Any] = dict(value)
        if not all(isinstance(part, str) for pair in texts.items() for part in pair):
            raise self.refused(value, "a mapping from language tag to text")
        return texts


class Boolean(Property[bool | None, bool | None]):
    """True or false."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> bool | None:
        return values.boolean(value)

    @override
    def encode(self, value: Any, made: _Made) -> bool:
        if not isinstance(value, bool):
            raise self.refused(value, "True or False")
        return value


class Integer(Property[int | None, int | None]):
    """A whole number; one in a string, or with a fraction of zero, is read too."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> int | None:
        return values.integer(value)

    @override
    def encode(self, value: Any, made: _Made) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refused(value, "an int")
        return value


class Number(Property[float | None, float | None]):
    """A finite number."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> float | None:
        return values.number(value)

    @override
    def encode(self, value: Any, made: _Made) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
            raise self.refused(value, "a finite number")
        return value


class Numbers(Property[tuple[float, ...], Iterable[float] | None]):
    """Finite numbers, in their order."""

    __slots__ = ()
    container = "@list"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[float, ...]:
        return tuple(found for item in values.many(value) if (found := values.number(item)) is not None)

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        items: list[Any] = list(value)
        if not all(isinstance(item, (int, float)) and isfinite(item) for item in items):
            raise self.refused(value, "finite numbers")
        return items


class Moment(Property[datetime | None, datetime | None]):
    """A moment in UTC."""

    __slots__ = ()
    coercion = "http://www.w3.org/2001/XMLSchema#dateTime"

    @override
    def decode(self, value: Any, document: Document) -> datetime | None:
        return parse_moment(values.literal(value))

    @override
    def encode(self, value: Any, made: _Made) -> str:
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
    def encode(self, value: Any, made: _Made) -> str:
        if not isinstance(value, timedelta):
            raise self.refused(value, "a timedelta")
        return format_duration(value)


class Uri(Property[str | None, str | None]):
    """An address: of several the first, of a thing its id, of a link where it leads."""

    __slots__ = ()
    coercion = "@id"

    @override
    def decode(self, value: Any, document: Document) -> str | None:
        for item in values.many(value):
            uri = values.uri(item)
            if uri is not None:
                return uri
        return None

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        if not isinstance(value, str) or not value:
            raise self.refused(value, "an address as a string")
        return [value] if self.array else value


class Uris(Property[tuple[str, ...], Iterable[str] | None]):
    """Addresses, of things and links as in `Uri`."""

    __slots__ = ()
    coercion = "@id"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[str, ...]:
        return tuple(uri for item in values.many(value) if (uri := values.uri(item)) is not None)

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        items = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(item, str) and item for item in items):
            raise self.refused(value, "addresses as strings")
        return self.listed(items)


class Ref(Property[Reference | None, RefLike | None]):
    """A reference: of several, the first."""

    __slots__ = ()
    coercion = "@id"

    @override
    def decode(self, value: Any, document: Document) -> Reference | None:
        for item in values.many(value):
            found = values.reference(item, document)
            if found is not None:
                return found
        return None

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        encoded = _encode_reference(self, value, made)
        return [encoded] if self.array else encoded


class SoleRef(Ref):
    """A reference that has to be the only one: of several different ones, none (FEP-fe34 on actors and owners)."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> Reference | None:
        found = [ref for item in values.many(value) if (ref := values.reference(item, document)) is not None]
        return found[0] if found and all(ref.uri == found[0].uri for ref in found) else None


class Refs(Property[tuple[Reference, ...], RefLike | Iterable[RefLike] | None]):
    """References, in their order."""

    __slots__ = ()
    coercion = "@id"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[Reference, ...]:
        return tuple(ref for item in values.many(value) if (ref := values.reference(item, document)) is not None)

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        items = _several(value)
        return self.listed([_encode_reference(self, item, made) for item in items])


class _Embedding(Property[Got, Given]):
    """What embeds views of one class. The class may be named by a string, if it is defined later in the same module."""

    __slots__ = ("_module", "_view")
    coercion = "@id"

    def __init__(
        self,
        view: type[View] | str,
        term: str | None = None,
        *,
        ns: Namespace | None = None,
        iri: str | None = None,
        also: tuple[str, ...] = (),
        array: bool = False,
    ) -> None:
        super().__init__(term, ns=ns, iri=iri, also=also, array=array)
        self._view: type[View] | str = view
        self._module = ""

    @override
    def __set_name__(self, owner: type[Any], name: str) -> None:
        super().__set_name__(owner, name)
        self._module = owner.__module__

    @property
    def view(self) -> type[View]:
        """The class."""
        if isinstance(self._view, str):
            self._view = getattr(sys.modules[self._module], self._view)
        assert not isinstance(self._view, str)
        return self._view


class One(_Embedding[V | None, V | None], Generic[V]):
    """A thing that is embedded, as a view: of several the first, of a bare address a thing with nothing else."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            view: type[V] | str,
            term: str | None = None,
            *,
            ns: Namespace | None = None,
            iri: str | None = None,
            also: tuple[str, ...] = (),
            array: bool = False,
        ) -> None: ...

    @override
    def decode(self, value: Any, document: Document) -> View | None:
        for item in values.many(value):
            found = _decode_view(item, document, self.view)
            if found is not None:
                return found
        return None

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        encoded = _encode_view(self, value, self.view, made)
        return [encoded] if self.array else encoded


class Many(_Embedding[tuple[V, ...], Iterable[V] | V | None], Generic[V]):
    """Things that are embedded, as views, in their order."""

    __slots__ = ()
    absent = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            view: type[V] | str,
            term: str | None = None,
            *,
            ns: Namespace | None = None,
            iri: str | None = None,
            also: tuple[str, ...] = (),
            array: bool = False,
        ) -> None: ...

    @override
    def decode(self, value: Any, document: Document) -> tuple[View, ...]:
        found = (_decode_view(item, document, self.view) for item in values.many(value))
        return tuple(view for view in found if view is not None)

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        items = _several(value)
        return self.listed([_encode_view(self, item, self.view, made) for item in items])


class Raw(Property[Any, Any]):
    """The JSON itself; whoever reads it must not change it."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> Any:
        return value

    @override
    def encode(self, value: Any, made: _Made) -> Any:
        return deepcopy(value)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _decode_view(item: Any, document: Document, view: type[V]) -> V | None:
    if type(item) is str and item:
        item = view.from_string(item)
    return document.embedded(item).as_declared(view) if values.is_object(item) else None


def _encode_reference(member: Property[Any, Any], value: Any, made: _Made) -> Any:
    if isinstance(value, str) and value:
        return PUBLIC if value in PUBLIC_FORMS else value
    if isinstance(value, Reference):
        if value.uri is not None:
            return value.uri
        value = value.embedded
    document = value if isinstance(value, Document) else getattr(value, "document", None)
    if not isinstance(document, Document):
        raise member.refused(value, "an address, a Reference, a view or a Document")
    return _embedded_tree(document, made)


def _encode_view(member: Property[Any, Any], value: Any, view: type[Any], made: _Made) -> Any:
    document = getattr(value, "document", None)
    if not isinstance(document, Document) or not document.is_a(view):
        raise member.refused(value, f"a {view.__name__}")
    return _embedded_tree(document, made)


def _embedded_tree(document: Document, made: _Made) -> Any:
    """Copy a document into another one. What was received keeps its own context, since that is what it was written in."""
    made |= document.reading.made_of
    if document.reading.made_of or document.reading.translated:
        return {name: deepcopy(value) for name, value in document.words.items() if name != "@context"}
    return document.to_json()
