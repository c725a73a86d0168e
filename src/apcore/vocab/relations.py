"""Define properties that refer to other documents: addresses, references, and embedded views."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import deepcopy
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

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

_PAGE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})

RefLike = TypeAliasType("RefLike", "str | Reference | View | Document")
"""The values accepted for a reference. A view or a document is embedded; to refer to one, pass its id."""


class Uri(Property[str | None, str | None]):
    """An address: the first of several, the id of an object, the target of a link."""

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
    def encode(self, value: Any, view_classes: Made) -> Any:
        if not isinstance(value, str) or not value:
            raise self.refused(value, "an address as a string")
        return [value] if self.array else value


class WebUri(Uri):
    """An address for people. Only http and https count (not ``javascript:``, ``data:``).

    Of several, the first page counts: a bare address, or a link to HTML. Without one, a link that names no media type
    counts, then one to another file.
    """

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> str | None:
        addresses = [
            (_page_rank(item), uri)
            for item in values.many(value)
            if (uri := values.uri(item)) is not None and uri[:8].lower().startswith(("https://", "http://"))
        ]
        return min(addresses, key=itemgetter(0))[1] if addresses else None


class Uris(Property[tuple[str, ...], Iterable[str] | None]):
    """Addresses of objects and links, as in `Uri`."""

    __slots__ = ()
    coercion = "@id"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[str, ...]:
        return tuple(uri for item in values.many(value) if (uri := values.uri(item)) is not None)

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        items = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(item, str) and item for item in items):
            raise self.refused(value, "addresses as strings")
        return self.listed(items)


class Ref(Property[Reference | None, RefLike | None]):
    """A reference: the first of several."""

    __slots__ = ()
    coercion = "@id"

    @override
    def decode(self, value: Any, document: Document) -> Reference | None:
        for item in values.many(value):
            reference = values.reference(item, document)
            if reference is not None:
                return reference
        return None

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        encoded = _encode_reference(self, value, view_classes)
        return [encoded] if self.array else encoded


class SoleRef(Ref):
    """A reference that must be the only one (FEP-fe34 on actors and owners).

    Several different references read as None.
    """

    __slots__ = ()

    @override
    def decode(self, value: Any, document: Document) -> Reference | None:
        references = [ref for item in values.many(value) if (ref := values.reference(item, document)) is not None]
        return references[0] if references and all(ref.uri == references[0].uri for ref in references) else None


class Refs(Property[tuple[Reference, ...], RefLike | Iterable[RefLike] | None]):
    """References, in order."""

    __slots__ = ()
    coercion = "@id"
    absent = ()

    @override
    def decode(self, value: Any, document: Document) -> tuple[Reference, ...]:
        return tuple(ref for item in values.many(value) if (ref := values.reference(item, document)) is not None)

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        items = _several(value)
        return self.listed([_encode_reference(self, item, view_classes) for item in items])


class _Embedding(Property[Got, Given]):
    """A property that embeds views of one class.

    The class may be named by a string, if it is defined later in the same module.
    """

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
        """Return the class of the views."""
        if isinstance(self._view, str):
            self._view = getattr(sys.modules[self._module], self._view)
        assert not isinstance(self._view, str)
        return self._view


class One(_Embedding[V | None, V | None], Generic[V]):
    """An embedded view: the first of several. A bare address becomes a view with nothing else."""

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
            view = _decode_view(item, document, self.view)
            if view is not None:
                return view
        return None

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        encoded = _encode_view(self, value, self.view, view_classes)
        return [encoded] if self.array else encoded


class Many(_Embedding[tuple[V, ...], Iterable[V] | V | None], Generic[V]):
    """Embedded views, in order."""

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
        views = (_decode_view(item, document, self.view) for item in values.many(value))
        return tuple(view for view in views if view is not None)

    @override
    def encode(self, value: Any, view_classes: Made) -> Any:
        items = _several(value)
        return self.listed([_encode_view(self, item, self.view, view_classes) for item in items])


# --- leaves ---------------------------------------------------------------------------------------------------------


def _page_rank(item: Any) -> int:
    """Return how likely an address is a page for people: 0 is best."""
    if not values.is_object(item):
        return 0
    media_type = values.text(item.get("mediaType") or item.get("mimeType"))
    if media_type is None:
        return 1
    return 0 if media_type.partition(";")[0].strip().lower() in _PAGE_TYPES else 2


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _decode_view(item: Any, document: Document, view: type[V]) -> V | None:
    if type(item) is str and item:
        item = view.from_string(item)
    return document.embedded(item).as_declared(view) if values.is_object(item) else None


def _encode_reference(member: Property[Any, Any], value: Any, view_classes: Made) -> Any:
    if isinstance(value, str) and value:
        return PUBLIC if value in PUBLIC_FORMS else value
    if isinstance(value, Reference):
        if value.uri is not None:
            return value.uri
        value = value.embedded
    document = value if isinstance(value, Document) else getattr(value, "document", None)
    if not isinstance(document, Document):
        raise member.refused(value, "an address, a Reference, a view or a Document")
    return _embedded_tree(document, view_classes)


def _encode_view(member: Property[Any, Any], value: Any, view: type[Any], view_classes: Made) -> Any:
    document = getattr(value, "document", None)
    if not isinstance(document, Document) or not document.is_a(view):
        raise member.refused(value, f"a {view.__name__}")
    return _embedded_tree(document, view_classes)


def _embedded_tree(document: Document, view_classes: Made) -> Any:
    """Copy a document into another one. A received document keeps its context, since it was written under it."""
    view_classes |= document.reading.made_of
    if document.reading.made_of or document.reading.translated:
        return {name: deepcopy(value) for name, value in document.words.items() if name != "@context"}
    tree = document.to_json()
    if tree.get("@context") in (AS.context, [AS.context]):
        del tree["@context"]  # it is the beginning of the outer document's context
    return tree
