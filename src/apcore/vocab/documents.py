"""`Document`: what was received or made, whole; and whether it is of a type.

A document keeps two trees. `tree` is what came over the wire, untouched, since proofs and forwarding need exactly that, and so that unknown
members and their order survive. `words` says the same in our own terms: "object" is the ActivityStreams object, whatever its author called
it. Of nearly all documents the two are one and the same tree, because nearly everybody writes the common terms with the common contexts;
`apcore.vocab.reading` decides that, and translates the others. Views read `words` and nothing else, so that no two readers of a
document see different things in it.

An embedded object is a document too. It shares what is known about the reading with the outer one.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import DocumentError
from apcore.http.urls import Origin
from apcore.jsonld.tables import names_context
from apcore.vocab import values
from apcore.vocab.namespaces import AS

if TYPE_CHECKING:
    from apcore.vocab.views import View
    from apcore.vocab.vocabulary import Vocabulary

__all__ = ["Document", "Reading", "WrongType"]

V = TypeVar("V", bound="View")


class WrongType(DocumentError):
    """A document was viewed as something that it does not declare itself to be."""

    reason = "wrong-type"


@frozen(kw_only=True, eq=False)
class Reading:
    """What holds for a document and everything embedded in it."""

    origin: Origin | None = None
    """Where it was obtained; None for what was made here, and for what has to be proved by other means."""
    context: Any = None
    """The ``@context`` under which `Document.tree` is written; None where that is ours to choose."""
    ignored_contexts: tuple[str, ...] = ()
    """Addresses of contexts that nobody here knows: their words were not understood."""
    translated: bool = False
    """Whether the words are not the tree's own but a translation."""
    vocabulary: Vocabulary | None = None
    """What it was read with; None for the built-in one."""
    made_of: frozenset[type[View]] = frozenset()
    """For what was made here: the view classes that made it, embedded ones included."""


_MADE_HERE: Final = Reading()


@frozen(eq=False)
class Document:
    """A JSON object with a meaning. Made by `read_document`, or by constructing a view. Never changes."""

    tree: dict[str, Any] = field(repr=False)
    """As received, byte for byte what JSON can tell. Whoever gets it must not change it."""
    words: dict[str, Any] = field(repr=False)
    """In our terms; mostly the very same object as `tree`. Whoever gets it must not change it."""
    reading: Reading = field(default=_MADE_HERE, repr=False)
    outer: bool = True
    """Whether it is the whole of what was read or made, and not embedded in it."""

    @property
    def id(self) -> str | None:
        """Its id; None if it has none. An empty one is none."""
        value = self.words.get("id")
        return value if type(value) is str and value else None

    @property
    def types(self) -> tuple[str, ...]:
        """The types that it declares, in our terms: short names for those we know, IRIs or what the author wrote for others."""
        value = self.words.get("type")
        if type(value) is str:
            return (value.removeprefix("_:"),) if value else ()
        if not values.is_array(value):
            return ()
        # A translator writes undefined types with "_:" in front.
        return tuple(item.removeprefix("_:") for item in value if type(item) is str and item)

    @property
    def says_activitypub(self) -> bool:
        """Whether its ``@context`` names ActivityStreams, or gives it a type that the vocabulary knows."""
        if "@context" not in self.tree:
            return False
        return names_context(self.tree["@context"], AS.context or "") or bool(self.classes())

    @property
    def origin(self) -> Origin | None:
        """Where it was obtained."""
        return self.reading.origin

    @property
    def vocabulary(self) -> Vocabulary:
        """What it was read with."""
        if self.reading.vocabulary is not None:
            return self.reading.vocabulary
        from apcore.vocab.builtin import FEDIVERSE  # which is made of classes that need this module

        return FEDIVERSE

    def is_a(self, view: type[View]) -> bool:
        """Whether it declares the type of ``view`` or a subtype of it, or ``view`` is a facet."""
        return view.covers(self)

    def view(self, view: type[V]) -> V:
        """Look at it as ``view``.

        Raises:
            WrongType: It is neither of that type nor of a subtype.
        """
        if not view.covers(self):
            raise WrongType(f"document {self.id or 'without id'} is {self.types or 'of no type'}, not {view.type_name}")
        return view.over(self)

    def classes(self) -> tuple[type[View], ...]:
        """Give the view classes of the declared types, in their order, as far as they are known."""
        known: list[type[View]] = []
        for name in self.types:
            found = self.vocabulary.class_of(name)
            if found is None:
                found = next(
                    (cls for cls in self.reading.made_of if cls.type_owner is cls and name in cls.type_names), None
                )
            if found is not None:
                known.append(found)
        return tuple(known)

    def as_declared(self, view: type[V]) -> V:
        """Look at it as the most specific kind of ``view`` that it declares, and as ``view`` itself if it declares none."""
        best = view
        for known in self.classes():
            if issubclass(known, best):
                best = known
        return best.over(self)

    def embedded(self, tree: dict[str, Any]) -> Document:
        """Make a document of an object inside `words`."""
        return Document(tree, tree, self.reading, outer=False)

    def to_json(self) -> dict[str, Any]:
        """Give a copy that stands alone: what was received as it was received; what was made or taken out, with its context."""
        made = bool(self.reading.made_of)
        if "@context" in self.tree or (self.outer and not made):
            return deepcopy(self.tree)
        context = self.reading.context
        if context is None and (made or self.reading.translated):
            from apcore.vocab.writing import minimal_context  # which needs this module

            context = minimal_context(self)
        return deepcopy(self.tree if context is None else {"@context": context, **self.tree})

    @override
    def __eq__(self, other: object) -> bool:
        if type(other) is not Document:
            return NotImplemented
        return self.tree == other.tree and self.origin == other.origin

    @override
    def __hash__(self) -> int:
        return hash((self.id, self.types))
