"""Properties that point: addresses, references, and things that are embedded."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from typing_extensions import TypeAliasType, override

from apcore.vocab import values
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS, PUBLIC, PUBLIC_FORMS, Namespace
from apcore.vocab.properties import Given, Got, Made, Property
from apcore.vocab.references import Reference

if TYPE_CHECKING:
    from apcore.vocab.views import View

__all__ = ["Many", "One", "Ref", "RefLike", "Refs", "SoleRef", "Uri", "Uris", "WebUri"]

V = TypeVar("V", bound="View")

RefLike = TypeAliasType("RefLike", "str | Reference | View | Document")
"""What may be given where a reference goes. A view or a document is embedded; to refer to one, give its id."""


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
    def encode(self, value: Any, made: Made) -> Any:
        if not isinstance(value, str) or not value:
            raise self.refused(value, "an address as a string")
        return [value] if self.array else value


class WebUri(Uri):
    """An address for people to be sent to: of several the first that is http or https, whatever else stands there (``javascript:``, ``data:``)."""

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> str | None:
        for item in values.many(value):
            uri = values.uri(item)
            if uri is not None and uri[:8].lower().startswith(("https://", "http://")):
                return uri
        return None


class Uris(Property[tuple[str, ...], Iterable[str] | None]):
    """Addresses, of things and links as in `Uri`."""

    __slots__ = ()
    coercion = "@id"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[str, ...]:
        return tuple(uri for item in values.many(value) if (uri := values.uri(item)) is not None)

    @override
    def encode(self, value: Any, made: Made) -> Any:
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
    def encode(self, value: Any, made: Made) -> Any:
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
    def encode(self, value: Any, made: Made) -> Any:
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
    def encode(self, value: Any, made: Made) -> Any:
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
    def encode(self, value: Any, made: Made) -> Any:
        items = _several(value)
        return self.listed([_encode_view(self, item, self.view, made) for item in items])


# --- leaves ---------------------------------------------------------------------------------------------------------


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _decode_view(item: Any, document: Document, view: type[V]) -> V | None:
    if type(item) is str and item:
        item = view.from_string(item)
    return document.embedded(item).as_declared(view) if values.is_object(item) else None


def _encode_reference(member: Property[Any, Any], value: Any, made: Made) -> Any:
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


def _encode_view(member: Property[Any, Any], value: Any, view: type[Any], made: Made) -> Any:
    document = getattr(value, "document", None)
    if not isinstance(document, Document) or not document.is_a(view):
        raise member.refused(value, f"a {view.__name__}")
    return _embedded_tree(document, made)


def _embedded_tree(document: Document, made: Made) -> Any:
    """Copy a document into another one. What was received keeps its own context, since that is what it was written in."""
    made |= document.reading.made_of
    if document.reading.made_of or document.reading.translated:
        return {name: deepcopy(value) for name, value in document.words.items() if name != "@context"}
    tree = document.to_json()
    if tree.get("@context") in (AS.context, [AS.context]):
        del tree["@context"]  # the outer document's begins with it
    return tree
