"""Views: a document seen as a `Note`, a `Person`, or as what your application calls it.

A view is one slot, the document. Its properties are descriptors that read the document when they are asked, so that a class costs nothing
to define, and reading two properties of a post does not decode forty. Views never change; `evolve` makes a changed copy.

A class says where its words come from and, unless it is a *facet*, which type it is::

    class Recipe(Article, ns="https://recipes.example/ns#", type="Recipe"):
        servings: Integer = Integer()
        cook_time: Duration = Duration()            # "cookTime" on the wire

- With ``type``, `Document.view` demands that the document has that type, or a subtype that the vocabulary knows.
- Without, a class inherits its parent's type: more properties for the same things.
- A class none of whose parents has a type is a facet: it views everything. That is how an extension adds words to types that exist.

Type checkers see a dataclass: `Recipe(servings=4)` is checked, and reading gives the decoded type.
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
    """Makes view classes without a dictionary per instance: whatever is not on the wire has no place in a view."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ViewType:
        """Make the class; ``options`` are those of `View.__init_subclass__`."""
        namespace.setdefault("__slots__", ())
        return super().__new__(mcls, name, bases, namespace, **options)


class View(metaclass=ViewType):
    """The root of all views, and the facet that has no property but those that every document has."""

    if not TYPE_CHECKING:
        __slots__ = ("document",)
    else:  # annotated as what it is, it would be an argument of every constructor

        @property
        def document(self) -> Document:
            """What is looked at."""
            raise NotImplementedError

    namespace: ClassVar[Namespace | None] = None
    """Where the words that the class adds come from."""
    type_iri: ClassVar[str | None] = None
    """The IRI of its type; None for a facet."""
    type_name: ClassVar[str | None] = None
    """Its type as written on the wire; None for a facet."""
    type_names: ClassVar[frozenset[str]] = frozenset()
    """Every spelling of its type that is read as such."""
    type_owner: ClassVar[type[View] | None] = None
    """The class that declared the type: this one, or the parent it was inherited from."""

    id: Uri = Uri(iri="@id")

    def __init__(self, **members: Any) -> None:
        """Make a document of ``members``; what is None is left out.

        Raises:
            TypeError: There is no such property.
            ValueError: The value cannot be written as what the property holds.
        """
        made: set[type[View]] = {type(self)}
        tree: dict[str, Any] = {}
        if type(self).type_name is not None:
            tree["type"] = type(self).type_name
        _write(type(self), tree, members, made)
        if "id" in tree:  # first, where people look for it
            tree = {"id": tree.pop("id"), **tree}
        object.__setattr__(self, "document", Document(tree, tree, Reading(made_of=frozenset(made))))

    def __init_subclass__(
        cls,
        *,
        ns: Namespace | str | None = None,
        type: str | None = None,  # noqa: A002 - what it is called on the wire
        also: tuple[str, ...] = (),
    ) -> None:
        """Make a view class.

        Args:
            ns: Where the words that it adds come from.
            type: The name of its type in ``ns``; without one it has its parent's, or is a facet.
            also: Other IRIs of the same type that are out there.
        """
        super().__init_subclass__()
        if ns is not None:
            cls.namespace = Namespace(ns) if isinstance(ns, str) else ns
        for attribute in vars(cls).values():
            if is_property(attribute):
                attribute.bind(cls.__name__, cls.namespace)
        if type is not None:
            if ns is None:
                raise ValueError(f"view {cls.__name__} has type={type!r} and no ns: which namespace is that in?")
            _declare_type(cls, type, also)

    @classmethod
    def covers(cls, document: Document) -> bool:
        """Whether `Document.view` would give this view of ``document``."""
        owner = cls.type_owner
        if owner is None:
            return True
        for name in document.types:
            if name in cls.type_names:
                return True
        # Every activity is asked this seven times, and a generator would be half of what it costs.
        for known in document.classes():  # noqa: SIM110
            if issubclass(known, owner):
                return True
        return False

    @classmethod
    def over(cls, document: Document) -> Self:
        """Look at ``document`` without asking for its type; `Document.view` asks."""
        view = object.__new__(cls)
        object.__setattr__(view, "document", document)
        return view

    @classmethod
    def from_string(cls, text: str) -> dict[str, Any]:
        """Give the object that was meant where one of this kind is expected and a string stands: a thing with that id."""
        return {"id": text}

    @property
    def types(self) -> tuple[str, ...]:
        """The types that the document declares."""
        return self.document.types

    def view(self, view: type[V]) -> V:
        """Look at the same document in another way.

        Raises:
            WrongType: It is neither of that type nor of a subtype.
        """
        return self.document.view(view)

    def to_json(self) -> dict[str, Any]:
        """Give a copy as JSON that stands alone; see `Document.to_json`. For what leaves the machine use `to_wire`."""
        return self.document.to_json()

    def evolve(self, **members: Any) -> Self:
        """Make a copy in which ``members`` are replaced, or taken away by None; everything else stays as and where it is.

        A document that had to be translated is copied in our terms.

        Raises:
            TypeError: There is no such property.
            ValueError: The value cannot be written as what the property holds.
        """
        old = self.document
        made: set[type[View]] = {type(self), *old.reading.made_of}
        tree = deepcopy(old.words)
        _write(type(self), tree, members, made)
        reading = Reading(
            context=None if old.reading.translated else old.reading.context,
            vocabulary=old.reading.vocabulary,
            made_of=frozenset(made),
        )
        return self.over(Document(tree, tree, reading))

    __replace__ = evolve

    @classmethod
    def lineage(cls) -> tuple[type[View], ...]:
        """Give the class and the views it is made of, the most specific first."""
        return tuple(base for base in cls.__mro__ if issubclass(base, View))

    @classmethod
    def properties(cls) -> Iterator[tuple[str, Property[Any, Any]]]:
        """Go through the properties of the class, with their names in Python; inherited ones come first."""
        seen: dict[str, Property[Any, Any]] = {}
        for base in reversed(cls.__mro__):
            seen |= {name: value for name, value in vars(base).items() if is_property(value)}
        yield from seen.items()

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


View.id.bind("View", None)  # a class is not told of its own making


def _declare_type(cls: type[View], name: str, also: tuple[str, ...]) -> None:
    namespace = cls.namespace
    assert namespace is not None
    iris = namespace.iris(name)
    cls.type_iri = iris[0]
    cls.type_name = name
    prefixed = {f"{namespace.prefix}:{name}"} if namespace.prefix else set[str]()
    cls.type_names = frozenset({name, *prefixed, *iris, *also})
    cls.type_owner = cls


def _write(cls: type[View], tree: dict[str, Any], members: dict[str, Any], made: set[type[View]]) -> None:
    """Put ``members`` into ``tree``, each in the place of what meant the same before."""
    terms: dict[str, str] = {}
    for attribute, value in members.items():
        member = getattr(cls, attribute, None)
        if not is_property(member):
            hint = camel_case(attribute)
            raise TypeError(f"{cls.__name__} has no property {attribute!r} ({hint!r} on the wire)")
        if value is not None and terms.setdefault(member.term, attribute) != attribute:
            raise ValueError(f"{cls.__name__}: {attribute} and {terms[member.term]} are both {member.term!r}; give one")
        if value is not None or member.term not in terms:
            member.put(tree, value, made)
