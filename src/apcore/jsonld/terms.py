"""Compiled contexts: what each word means, in the form in which a walk needs it.

A document's ``@context`` is compiled once into an `ActiveContext`, a table from word to `Term`. Expansion then looks every key up and does what
`Term.kind` says; nothing about the context is worked out again for each document, or for each key. Both are immutable after they are
made, and shared between documents, threads and contexts: an inline context of twenty terms on top of Activity Streams copies a
table of pointers and adds twenty.

The tables cover what contexts in the network use: coercion, languages, lists, sets, graphs, language maps, prefixes, vocabularies, protection,
scoped contexts. For the rest (``@reverse``, ``@nest``, ``@index``, ``@base``, ``@import``, directions ...), and for everything that is an error,
compiling and walking raise `NotCovered`, and the whole document goes the slow way.
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

# With the range "+-." and the "$" that also matches before a line break: exactly as the slow path decides.
_ABSOLUTE: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+-.]*|_):[^\s]*$")


def is_absolute(iri: str) -> bool:
    """Say whether ``iri`` is an absolute IRI, or a blank node."""
    return _ABSOLUTE.match(iri) is not None


class NotCovered(Exception):
    """The tables do not say exactly what to do here."""


@final
class Unset:
    """Absence, where null means something."""


UNSET: Final = Unset()


class Kind(IntEnum):
    """What expansion does with the values of a term, the most frequent first."""

    REFERENCE = 0
    """Strings are IRIs."""
    PLAIN = 1
    """Scalars are values; strings may get a language."""
    TYPED = 2
    """Scalars are values of a datatype."""
    ID = 3
    TYPE = 4
    LANGUAGE_MAP = 5
    DROPPED = 6
    """Means nothing: the key is skipped."""
    LIST = 7
    OTHER = 8
    """Everything else; `Term` is asked in detail."""


@final
class Term:
    """One definition."""

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
        """`UNSET`: whatever the context's language is."""
        self.scoped: Final = scoped
        """A context for what stands below, or `UNSET`."""
        self.prefix: Final = prefix
        self.protected: Final = protected
        self.kind: Final = _kind(iri, type_, container, scoped)
        self.simple: Final = self.kind <= Kind.TYPED
        """Whether each value stands by itself: nothing above or around it has a say."""

    def same(self, other: Term, *, protected: bool) -> bool:
        """Say whether ``other``, with ``protected`` as given, is this definition once more."""
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
    """What every word means at one place of a document."""

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
        """What holds again in the next node below, if this came from a type."""
        self.pinned: Final = pinned
        """Made of registered contexts alone; nothing in it is a sender's."""
        self.serial: Final = next(_serials)
        """Never used twice: caches are keyed by it."""
        self.has_scoped: Final = any(term.scoped is not UNSET for term in terms.values())
        """Whether there are scoped contexts to look for at all."""
        self.value_words: Final = frozenset(name for name, term in terms.items() if term.iri == "@value")
        """Other names of ``@value``: an object that has one is a value and not a node."""
        self.inverse: Any = None
        """Made by compaction, on first use."""


INITIAL: Final = ActiveContext({}, vocab=None, language=None, previous=None, pinned=True)
"""No context at all."""


def expand_word(active: ActiveContext, word: str) -> str | None:
    """Expand ``word`` (a key, a type) in the manner of the vocabulary; None if it is defined to mean nothing.

    What is still relative afterwards is returned as it is.
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
