"""View a document as a `Note`, a `Person`, or a class of your application.

A view has one slot, the document. Its properties are descriptors that decode the document on access. So a class costs
nothing to define, and reading two properties of a post does not decode forty. Views never change; `evolve` makes a
changed copy.

A class names the namespace of its terms and, unless it is a *facet*, its type::

    class Recipe(Article, ns="https://recipes.example/ns#", type="Recipe"):
        servings: Integer = Integer()
        cook_time: Duration = Duration()            # "cookTime" on the wire

- With ``type``, `Document.view` requires that the document has that type, or a subtype that the vocabulary knows.
- Without ``type``, a class inherits its parent's type: more properties for the same documents.
- A class without a type in any parent is a facet: it views every document. An extension uses it to add terms to
  existing types.

Type checkers see a dataclass: `Recipe(servings=4)` is checked, and reading returns the decoded type.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from typing_extensions import dataclass_transform, override

from apcore.vocab.documents import Document, Reading
from apcore.vocab.namespaces import Namespace
from apcore.vocab.properties import Property, camel_case, is_property
from apcore.vocab.relations import Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["View", "ViewType"]

V = TypeVar("V", bound="View")


@dataclass_transform(kw_only_default=True)
class ViewType(type):
    """The metaclass of views. Instances have no dictionary, so a view holds nothing that is not on the wire."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ViewType:
        """Make the class; ``options`` are those of `View.__init_subclass__`."""
        namespace.setdefault("__slots__", ())
        return super().__new__(mcls, name, bases, namespace, **options)


class View(metaclass=ViewType):
    """The base class of all views, and the facet with only those properties that every document has."""

    if not TYPE_CHECKING:
        __slots__ = ("document",)
    else:  # with an annotation, it would be an argument of every constructor

        @property
        def document(self) -> Document:
            """Return the document of the view."""
            raise NotImplementedError

    namespace: ClassVar[Namespace | None] = None
    """The namespace of the terms that the class adds."""
    type_iri: ClassVar[str | None] = None
    """The IRI of its type; None for a facet."""
    type_name: ClassVar[str | None] = None
    """Its type on the wire; None for a facet."""
    type_names: ClassVar[frozenset[str]] = frozenset()
    """Every accepted spelling of its type."""
    type_owner: ClassVar[type[View] | None] = None
    """The class that declared the type: this one, or the parent that it is inherited from."""

    id: Uri = Uri(iri="@id")

    def __init__(self, **members: Any) -> None:
        """Make a document of ``members``; None values are left out.

        Raises:
            TypeError: There is no such property.
            ValueError: The property cannot hold the value.
        """
        view_classes: set[type[View]] = {type(self)}
        tree: dict[str, Any] = {}
        if type(self).type_name is not None:
            tree["type"] = type(self).type_name
        _write(type(self), tree, members, view_classes)
        if "id" in tree:  # first, where people look for it
            tree = {"id": tree.pop("id"), **tree}
        object.__setattr__(self, "document", Document(tree, tree, Reading(made_of=frozenset(view_classes))))

    def __init_subclass__(
        cls,
        *,
        ns: Namespace | str | None = None,
        type: str | None = None,  # noqa: A002 - its name on the wire
        also: tuple[str, ...] = (),
    ) -> None:
        """Make a view class.

        Args:
            ns: The namespace of the terms that it adds.
            type: The name of its type in ``ns``. Without one it has its parent's type, or is a facet.
            also: Other IRIs of the same type in use.
        """
        super().__init_subclass__()
        if ns is not None:
            cls.namespace = Namespace(ns) if isinstance(ns, str) else ns
        for attribute in vars(cls).values():
            if is_property(attribute):
                attribute.bind(cls.__name__, cls.namespace)
        if type is not None:
            if ns is None:
                raise ValueError(f"view {cls.__name__} has type={type!r} but no ns: name the namespace of the type")
            _declare_type(cls, type, also)

    @classmethod
    def covers(cls, document: Document) -> bool:
        """Return whether `Document.view` would return this view of ``document``."""
        owner = cls.type_owner
        return owner is None or owner in document.ancestors or not cls.type_names.isdisjoint(document.types)

    @classmethod
    def over(cls, document: Document) -> Self:
        """View ``document`` without testing its type; `Document.view` tests it."""
        view = object.__new__(cls)
        object.__setattr__(view, "document", document)
        return view

    @classmethod
    def from_string(cls, text: str) -> dict[str, Any]:
        """Return the object that a bare string stands for: by default an object with that id."""
        return {"id": text}

    @property
    def types(self) -> tuple[str, ...]:
        """Return the declared types of the document."""
        return self.document.types

    def view(self, view: type[V]) -> V:
        """Return another view of the same document.

        Raises:
            WrongType: It has neither that type nor a subtype.
        """
        return self.document.view(view)

    def to_json(self) -> dict[str, Any]:
        """Return a self-contained copy as JSON; see `Document.to_json`. To send or serve a document, use `to_wire`."""
        return self.document.to_json()

    def evolve(self, **members: Any) -> Self:
        """Make a copy with ``members`` replaced, or removed by None. All other members keep their values and positions.

        A translated document is copied in the terms of the vocabulary.

        Raises:
            TypeError: There is no such property.
            ValueError: The property cannot hold the value.
        """
        old = self.document
        view_classes: set[type[View]] = {type(self), *old.reading.made_of}
        tree = deepcopy(old.words)
        _write(type(self), tree, members, view_classes)
        reading = Reading(
            context=None if old.reading.translated else old.reading.context,
            vocabulary=old.reading.vocabulary,
            made_of=frozenset(view_classes),
        )
        return self.over(Document(tree, tree, reading))

    __replace__ = evolve

    @classmethod
    def lineage(cls) -> tuple[type[View], ...]:
        """Return the class and its parent views, the most specific first."""
        return tuple(base for base in cls.__mro__ if issubclass(base, View))

    @classmethod
    def properties(cls) -> Iterator[tuple[str, Property[Any, Any]]]:
        """Yield the properties of the class with their names in Python; inherited ones come first."""
        properties: dict[str, Property[Any, Any]] = {}
        for base in reversed(cls.__mro__):
            properties |= {name: value for name, value in vars(base).items() if is_property(value)}
        yield from properties.items()

    @override
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"views do not change: make another one with evolve({name}=...)")

    @override
    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"views do not change: make another one with evolve({name}=None)")

    @override
    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.document == other.document

    @override
    def __hash__(self) -> int:
        return hash((type(self), self.document))

    @override
    def __repr__(self) -> str:
        types = "" if self.type_name in self.types else f" {'+'.join(self.types) or 'untyped'}"
        return f"<{type(self).__name__}{types} {self.document.id or 'without id'}>"


View.id.bind("View", None)  # __set_name__ runs before __init_subclass__, so `View` itself is bound here


def _declare_type(cls: type[View], name: str, also: tuple[str, ...]) -> None:
    namespace = cls.namespace
    assert namespace is not None
    iris = namespace.iris(name)
    cls.type_iri = iris[0]
    cls.type_name = name
    prefixed = {f"{namespace.prefix}:{name}"} if namespace.prefix else set[str]()
    cls.type_names = frozenset({name, *prefixed, *iris, *also})
    cls.type_owner = cls


def _write(cls: type[View], tree: dict[str, Any], members: dict[str, Any], view_classes: set[type[View]]) -> None:
    """Set ``members`` in ``tree``, each in place of terms with the same meaning."""
    terms: dict[str, str] = {}
    for attribute, value in members.items():
        member = getattr(cls, attribute, None)
        if not is_property(member):
            hint = camel_case(attribute)
            raise TypeError(f"{cls.__name__} has no property {attribute!r} ({hint!r} on the wire)")
        if value is not None and terms.setdefault(member.term, attribute) != attribute:
            raise ValueError(f"{cls.__name__}: {attribute} and {terms[member.term]} are both {member.term!r}; give one")
        if value is not None or member.term not in terms:
            member.put(tree, value, view_classes)
