"""Hold a whole document, received or made, and tell whether it has a type: `Document`.

A document has two trees. `tree` is the received JSON, unchanged, since proofs and forwarding need exactly that, and so
that unknown members and their order survive. `words` is the same content in the terms of the vocabulary: "object" is
the ActivityStreams object, under any name that its author used. For nearly all documents the two are the same tree,
because nearly all servers use the common terms with the common contexts. `apcore.vocab.reader` decides that, and
translates the others. Views read only `words`, so that no two readers of a document see different content.

An embedded object is a document too. It shares the `Reading` of the outer one.
"""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
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
    """A document does not declare the type that it was viewed as."""

    reason = "wrong-type"


@frozen(kw_only=True, eq=False)
class Reading:
    """The facts about reading that a document shares with everything embedded in it."""

    origin: Origin | None = None
    """The origin that the document came from; None for our own documents, and for those that must be proved by other
    means.
    """
    context: Any = None
    """The ``@context`` of `Document.tree`; None if apcore chooses it."""
    ignored_contexts: tuple[str, ...] = ()
    """The addresses of unknown contexts: their terms were not understood."""
    translated: bool = False
    """Whether `Document.words` is a translation of the tree."""
    vocabulary: Vocabulary | None = None
    """The vocabulary that it was read with; None for the built-in one."""
    made_of: frozenset[type[View]] = frozenset()
    """For our own documents: the view classes that made it, embedded ones included."""


_MADE_HERE: Final = Reading()


# Every activity is tested some twenty times. The peers of the world combine few types, and both caches are bounded.
@lru_cache(maxsize=512)
def _ancestors_of(view_classes: tuple[type[View], ...]) -> frozenset[type]:
    return frozenset(base for view_class in view_classes for base in view_class.__mro__)


@lru_cache(maxsize=128)
def _names_of(views: frozenset[type[View]]) -> frozenset[str]:
    return frozenset[str]().union(*(view.type_names for view in views))


@frozen(eq=False)
class Document:
    """A JSON object with a meaning. Made by `read_document`, or by constructing a view. It never changes."""

    tree: dict[str, Any] = field(repr=False)
    """As received, with everything that JSON preserves. Do not change it."""
    words: dict[str, Any] = field(repr=False)
    """In the terms of the vocabulary; mostly the same object as `tree`. Do not change it."""
    reading: Reading = field(default=_MADE_HERE, repr=False)
    outer: bool = True
    """Whether it is the whole document, and not embedded in another."""
    # What follows from the members is worked out once: every rule of the inbox asks for the types of an activity.
    _types: tuple[str, ...] | None = field(default=None, init=False, repr=False)
    _classes: tuple[type[View], ...] | None = field(default=None, init=False, repr=False)
    _ancestors: frozenset[type] | None = field(default=None, init=False, repr=False)

    @property
    def id(self) -> str | None:
        """Return its id; None if it has none or an empty one."""
        value = self.words.get("id")
        return value if type(value) is str and value else None

    @property
    def types(self) -> tuple[str, ...]:
        """Return the declared types: short names for known types, IRIs or the author's text for others."""
        types = self._types
        if types is None:
            types = self._read_types()
            object.__setattr__(self, "_types", types)
        return types

    def _read_types(self) -> tuple[str, ...]:
        value = self.words.get("type")
        if type(value) is str:
            return (value.removeprefix("_:"),) if value else ()
        if not values.is_array(value):
            return ()
        # A translator writes "_:" before undefined types.
        return tuple(item.removeprefix("_:") for item in value if type(item) is str and item)

    @property
    def says_activitypub(self) -> bool:
        """Return whether it has an ``@context``, and either that names ActivityStreams or a declared type is known."""
        if "@context" not in self.tree:
            return False
        return names_context(self.tree["@context"], AS.context or "") or bool(self.classes())

    @property
    def origin(self) -> Origin | None:
        """Return the origin that it came from."""
        return self.reading.origin

    @property
    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary that it was read with."""
        if self.reading.vocabulary is not None:
            return self.reading.vocabulary
        from apcore.vocab.builtin import FEDIVERSE  # FEDIVERSE is made of classes that need this module

        return FEDIVERSE

    def is_a(self, view: type[View]) -> bool:
        """Return whether it declares the type of ``view`` or a subtype, or ``view`` is a facet."""
        return view in (self._ancestors or self.ancestors) or view.covers(self)

    def is_one_of(self, views: frozenset[type[View]]) -> bool:
        """Return whether `is_a` is true for one of ``views``, which all have types of their own.

        This takes as long as a single `is_a`. It is not for `Object`, which documents without a known type are too.
        """
        ancestors = self._ancestors or self.ancestors
        return not (ancestors.isdisjoint(views) and _names_of(views).isdisjoint(self._types or self.types))

    @property
    def ancestors(self) -> frozenset[type]:
        """Return the known view classes of the declared types, and all their base classes."""
        ancestors = self._ancestors
        if ancestors is None:
            ancestors = _ancestors_of(self.classes())
            object.__setattr__(self, "_ancestors", ancestors)
        return ancestors

    def view(self, view: type[V]) -> V:
        """Return the document as ``view``.

        Raises:
            WrongType: It has neither that type nor a subtype.
        """
        if not view.covers(self):
            raise WrongType(f"document {self.id or 'without id'} is {self.types or 'of no type'}, not {view.type_name}")
        return view.over(self)

    def classes(self) -> tuple[type[View], ...]:
        """Return the known view classes of the declared types, in order."""
        view_classes = self._classes
        if view_classes is None:
            view_classes = self._find_classes()
            object.__setattr__(self, "_classes", view_classes)
        return view_classes

    def _find_classes(self) -> tuple[type[View], ...]:
        view_classes: list[type[View]] = []
        for name in self.types:
            view_class = self.vocabulary.class_of(name)
            if view_class is None:
                view_class = next(
                    (cls for cls in self.reading.made_of if cls.type_owner is cls and name in cls.type_names), None
                )
            if view_class is not None:
                view_classes.append(view_class)
        return tuple(view_classes)

    def as_declared(self, view: type[V]) -> V:
        """Return the most specific subclass of ``view`` that it declares, or ``view`` itself if it declares none."""
        best = view
        for view_class in self.classes():
            if issubclass(view_class, best):
                best = view_class
        return best.over(self)

    def embedded(self, tree: dict[str, Any]) -> Document:
        """Return the document of an object inside `words`."""
        return Document(tree, tree, self.reading, outer=False)

    def to_json(self) -> dict[str, Any]:
        """Return a self-contained copy as JSON.

        A received document is copied as received. A document of our own, or one taken out of another, gets its context.
        """
        return deepcopy(self._with_context())

    def to_bytes(self) -> bytes:
        """Return `to_json` as bytes: JSON in ASCII without white space. This saves the copy."""
        return json.dumps(self._with_context(), separators=(",", ":")).encode("ascii")

    def _with_context(self) -> dict[str, Any]:
        is_own = bool(self.reading.made_of)
        if "@context" in self.tree or (self.outer and not is_own):
            return self.tree
        context = self.reading.context
        if context is None and (is_own or self.reading.translated):
            from apcore.vocab.writer import minimal_context  # this module needs `documents`

            context = minimal_context(self)
        return self.tree if context is None else {"@context": context, **self.tree}

    @override
    def __eq__(self, other: object) -> bool:
        if type(other) is not Document:
            return NotImplemented
        return self.tree == other.tree and self.origin == other.origin

    @override
    def __hash__(self) -> int:
        return hash((self.id, self.types))
