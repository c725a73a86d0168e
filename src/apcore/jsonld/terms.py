"""Define compiled contexts: tables from a word to its definition.

A document's ``@context`` is compiled once into an `ActiveContext`, a table from word to `Term`. Expansion looks up each
key and dispatches on `Term.kind`; it computes nothing about the context for each document or key. Terms and contexts
are immutable, and shared between documents, threads and contexts. An inline context of 20 terms on top of Activity
Streams copies a table of pointers and adds 20 entries.

The tables cover the features that contexts in the fediverse use: coercion, languages, lists, sets, graphs, language
maps, prefixes, vocabularies, protection and scoped contexts. For other features (``@reverse``, ``@nest``, ``@index``,
``@base``, ``@import``, directions and so on), and for every error, compilation and expansion raise `NotCovered`. The
whole document then takes the slow path (`apcore.jsonld.fallback`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from itertools import count
from typing import Any, Final, final

__all__ = [
    "INITIAL",
    "KEYWORDS",
    "UNSET",
    "ActiveContext",
    "Kind",
    "NotCovered",
    "Term",
    "Unset",
    "expand_word",
    "is_absolute",
]

KEYWORDS: Final = frozenset(
    [
        "@base",
        "@container",
        "@context",
        "@default",
        "@direction",
        "@embed",
        "@explicit",
        "@first",
        "@graph",
        "@id",
        "@import",
        "@included",
        "@index",
        "@json",
        "@language",
        "@list",
        "@nest",
        "@none",
        "@omitDefault",
        "@propagate",
        "@protected",
        "@preserve",
        "@requireAll",
        "@reverse",
        "@set",
        "@type",
        "@value",
        "@version",
        "@vocab",
    ]
)

# Equal to PyLD's expression, including two quirks: "+-." is a range, and "$" also matches before a final line break.
_ABSOLUTE: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+-.]*|_):[^\s]*$")


def is_absolute(iri: str) -> bool:
    """Return whether ``iri`` is an absolute IRI or a blank node."""
    return _ABSOLUTE.match(iri) is not None


class NotCovered(Exception):
    """The tables do not cover the document exactly: the slow path has to process it."""


@final
class Unset:
    """The type of `UNSET`, which marks an absent value where None has a meaning of its own."""


UNSET: Final = Unset()


class Kind(IntEnum):
    """The treatment of a term's values by expansion, the most frequent first."""

    REFERENCE = 0
    """Strings are IRIs."""
    PLAIN = 1
    """Scalars are values; strings may get the default language."""
    TYPED = 2
    """Scalars are values of a datatype."""
    ID = 3
    """The identifier of the node."""
    TYPE = 4
    """The types of the node."""
    LANGUAGE_MAP = 5
    """Members of an object are texts by language."""
    DROPPED = 6
    """The term has no meaning: the key is skipped."""
    LIST = 7
    """Members of an array are an ordered list."""
    OTHER = 8
    """Everything else; expansion reads the other attributes of the `Term`."""


@final
class Term:
    """The definition of one term."""

    __slots__ = ("container", "iri", "kind", "language", "prefix", "protected", "scoped", "simple", "type")

    def __init__(
        self,
        iri: str | None,
        *,
        type_: str | None,
        container: tuple[str, ...],
        language: str | Unset | None,
        scoped: Any,
        prefix: bool,
        protected: bool,
    ) -> None:
        self.iri: Final = iri
        self.type: Final = type_
        self.container: Final = container
        self.language: Final = language
        """The language of strings. `UNSET` means the language of the context."""
        self.scoped: Final = scoped
        """The term's own context, which holds inside its values, or `UNSET`."""
        self.prefix: Final = prefix
        self.protected: Final = protected
        self.kind: Final = _kind(iri, type_, container, scoped)
        self.simple: Final = self.kind <= Kind.TYPED
        """Whether each value can be expanded without looking at the nodes around it."""

    def same(self, other: Term, *, protected: bool) -> bool:
        """Return whether ``other`` equals this definition, with ``protected`` in place of its own flag."""
        return (
            self.iri == other.iri
            and self.type == other.type
            and self.container == other.container
            and self.language == other.language
            and self.scoped == other.scoped
            and self.prefix == other.prefix
            and self.protected == protected
        )


def _kind(iri: str | None, type_: str | None, container: tuple[str, ...], scoped: Any) -> Kind:
    if iri == "@id":
        return Kind.ID
    if iri == "@type":
        return Kind.TYPE
    if iri is None:
        return Kind.DROPPED
    if iri in KEYWORDS or scoped is not UNSET:
        return Kind.OTHER
    if not is_absolute(iri):
        return Kind.DROPPED
    if "@language" in container:
        return Kind.LANGUAGE_MAP
    if "@graph" in container or type_ in ("@vocab", "@json"):
        return Kind.OTHER
    if "@list" in container:
        return Kind.LIST
    if type_ is None or type_ == "@none":
        return Kind.PLAIN
    return Kind.REFERENCE if type_ == "@id" else Kind.TYPED


_serials: Final = count()


@final
class ActiveContext:
    """The definitions of all words at one place of a document."""

    __slots__ = ("has_scoped", "inverse", "language", "pinned", "previous", "serial", "terms", "value_words", "vocab")

    def __init__(
        self,
        terms: Mapping[str, Term],
        *,
        vocab: str | None,
        language: str | None,
        previous: ActiveContext | None,
        pinned: bool,
    ) -> None:
        self.terms: Final = terms
        self.vocab: Final = vocab
        self.language: Final = language
        self.previous: Final = previous
        """The context that holds again in the nodes below, if this one belongs to a type."""
        self.pinned: Final = pinned
        """Whether it consists of registered contexts alone, with no definition from a sender."""
        self.serial: Final = next(_serials)
        """A number that is never used twice. Caches use it as a key."""
        self.has_scoped: Final = any(term.scoped is not UNSET for term in terms.values())
        """Whether any term has a scoped context."""
        self.value_words: Final = frozenset(name for name, term in terms.items() if term.iri == "@value")
        """The aliases of ``@value``. An object with one of them is a value, not a node."""
        self.inverse: Any = None
        """The `apcore.jsonld.inverse.Inverse`, which compaction creates on first use."""


INITIAL: Final = ActiveContext({}, vocab=None, language=None, previous=None, pinned=True)
"""The empty context."""


def expand_word(active: ActiveContext, word: str) -> str | None:
    """Expand ``word`` (a key or a type) relative to the vocabulary.

    Return None if the context defines the word as null. The result may be relative if there is no ``@vocab``.
    """
    if word[:1] == "@":
        if word in KEYWORDS:
            return word
        raise NotCovered
    terms = active.terms
    term = terms.get(word)
    if term is not None:
        return term.iri
    colon = word.find(":")
    if colon > 0:
        prefix = word[:colon]
        if prefix == "_" or word.startswith("//", colon + 1):
            return word
        term = terms.get(prefix)
        if term is not None and term.prefix:
            return f"{term.iri}{word[colon + 1 :]}"
        if is_absolute(word):
            return word
    return word if active.vocab is None else active.vocab + word
