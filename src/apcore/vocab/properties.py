"""Read and write single properties of a document.

Each property is a descriptor that decodes on access, by the rules of `apcore.vocab.values`. A value of an unexpected
form is treated as absent, because one invalid member must not cost a peer's whole document. Writing is strict: a value
of ours without a wire form is a ValueError.

This module has the common part; the concrete classes are in `apcore.vocab.scalars` and `apcore.vocab.relations`:

=============  ==========================  ==============================================================
class          reads as                    accepts
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

Each class takes the term on the wire (by default the attribute's name in camelCase), ``ns`` if the term is from another
namespace than the class, ``iri`` if the IRI is not namespace and term, and ``also``: other names, or IRIs, with the
same meaning.

Type checkers take the constructor's types from ``__set__``; its ``Never`` makes them report assignment, since views do
not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, Self, TypeVar, overload

from typing_extensions import TypeIs

from apcore.vocab.documents import Document
from apcore.vocab.namespaces import Namespace

if TYPE_CHECKING:
    from apcore.vocab.views import View

__all__ = ["Made", "Property", "camel_case", "is_property"]

Got = TypeVar("Got")
Given = TypeVar("Given")

Made = set[type["View"]]
"""The view classes that took part in making a document. They determine its context."""


def camel_case(attribute: str) -> str:
    """Return the term for an attribute: ``also_known_as`` is ``alsoKnownAs``."""
    first, *rest = attribute.strip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


class Property(Generic[Got, Given]):
    """One property: its term, its IRI, other names for it, and the decoding and encoding of its values."""

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
        """Whether a single value is still written as an array, for the peers that expect one."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if not self.term:
            self.term = camel_case(name)

    def bind(self, owner: str, namespace: Namespace | None) -> None:
        """Set the IRI when the class is made. A property belongs to the class that defines it."""
        if self.names:
            return  # a second class uses the property, which already has its meaning
        self.namespace = self.namespace or namespace
        if self.iri:
            is_inside = self.namespace is not None and self.iri.startswith(self.namespace.iri)
            self.iris = (
                self.namespace.iris(self.iri[len(self.namespace.iri) :])
                if is_inside and self.namespace
                else (self.iri,)
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
        """Decode ``value``, which is not null, from ``document``."""
        raise NotImplementedError

    def otherwise(self, document: Document) -> Any:  # noqa: ARG002 - used by overrides
        """Return the value to use if the term is absent."""
        return self.absent

    def encode(self, value: Any, view_classes: Made) -> Any:
        """Encode ``value``, which is not None, and add the classes of embedded views to ``view_classes``."""
        raise NotImplementedError

    def put(self, tree: dict[str, Any], value: Any, view_classes: Made) -> None:
        """Set the term in ``tree``, or remove it for None."""
        present = [name for name in self.names if name in tree]
        encoded = None if value is None else self.encode(value, view_classes)
        if encoded is None or (encoded == [] and not self.array):
            for name in present:
                del tree[name]
            return
        tree[present[0] if present else self.term] = encoded
        for name in present[1:]:
            del tree[name]

    def definition(self) -> dict[str, str]:
        """Return the definition of the term for a context."""
        entries = {"@id": self.iri, "@type": self.coercion, "@container": self.container}
        return {keyword: value for keyword, value in entries.items() if value is not None}

    def listed(self, encoded: list[Any]) -> Any:
        """Return the encoded form of several values. A single one is not in an array, unless peers expect an array."""
        return encoded[0] if len(encoded) == 1 and not self.array else encoded

    def refused(self, value: object, expected: str) -> ValueError:
        """Return the error for a value that has no wire form."""
        return ValueError(f"{self.term}={value!r:.200}: expected {expected}")


def is_property(value: object) -> TypeIs[Property[Any, Any]]:
    """Return whether ``value`` is a property."""
    return isinstance(value, Property)
