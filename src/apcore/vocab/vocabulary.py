"""Collect the view classes that a reader knows, and derive the terms from them: `Vocabulary`.

There is no registry: a vocabulary is a value that is passed to the reader. The built-in one is `FEDIVERSE`. An
application adds its own classes and gets another one::

    vocabulary = FEDIVERSE.with_views(Recipe, Step)

Three tables follow from the classes: the terms with their possible meanings, the types by each of their spellings, and
the context that documents with other terms are translated into. They are built on first use, because most programs need
none of them at start-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from apcore.vocab.namespaces import Namespace
from apcore.vocab.properties import Property, is_property
from apcore.vocab.scalars import LanguageMap, Text

if TYPE_CHECKING:
    from apcore.jsonld.tables import ContextTable, ContextValue
    from apcore.vocab.views import View

__all__ = ["Vocabulary", "Words", "words_of"]

_KEYWORDS: Final = {"id": "@id", "type": "@type"}


@frozen
class Words:
    """The tables that follow from the view classes of a vocabulary."""

    types: Mapping[str, type[View]]
    """From each spelling of each type to the class that declares it."""
    meanings: Mapping[str, frozenset[str]]
    """From each term, of a property or a type, to the IRIs that it may stand for."""
    iris: frozenset[str]
    """All IRIs that have a term."""
    languages: frozenset[str]
    """The terms that may hold a language map in a context."""
    context: dict[str, Any]
    """The terms as a JSON-LD context: documents with other terms are translated into these."""
    namespaces: Mapping[str, Namespace]
    """From each term to its namespace, for writing."""


@frozen(eq=False)
class Vocabulary:
    """View classes and the terms that follow from them. Derive one from another with `with_views`."""

    views: tuple[type[View], ...]
    contexts: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)
    """The application's own contexts, by their addresses; see `with_views`."""
    seen: dict[Any, Any] = field(factory=dict[Any, Any], init=False, repr=False)
    """The verdicts on recent contexts of documents. `apcore.vocab.agreement` keeps this within bounds."""
    _words: list[Words] = field(factory=list[Words], init=False, repr=False)

    @property
    def words(self) -> Words:
        """Return the terms that follow from the classes."""
        if not self._words:
            self._words.append(words_of(self.views))
        return self._words[0]

    def class_of(self, type_name: str) -> type[View] | None:
        """Return the view class for a declared type in any of its spellings; None if it is unknown."""
        return self.words.types.get(type_name)

    def with_views(self, *views: type[View], contexts: Mapping[str, ContextValue] | None = None) -> Vocabulary:
        """Return a vocabulary that also knows ``views``.

        Args:
            views: The classes. If two declare one type, `Document.as_declared` returns the later one.
            contexts: The contexts that documents of the application refer to by address, in the form of an
                ``@context``. Reading these documents then needs no fetch.

        Raises:
            ValueError: A term would have two meanings. Give one of the two another term, or both one IRI.
        """
        vocabulary = Vocabulary((*self.views, *views), contexts={**self.contexts, **(contexts or {})})
        _ = vocabulary.words  # report a clash of terms now, not when the first document arrives
        return vocabulary

    def table(self, contexts: ContextTable) -> ContextTable:
        """Return ``contexts`` together with those of the vocabulary."""
        for url, context in self.contexts.items():
            if url not in contexts:
                contexts = contexts.with_context(url, context)
        return contexts


def words_of(views: tuple[type[View], ...]) -> Words:
    """Return the tables of ``views``; inherited terms belong to their parents.

    Raises:
        ValueError: A term would have two meanings.
    """
    types: dict[str, type[View]] = {}
    meanings: dict[str, set[str]] = {word: {keyword} for word, keyword in _KEYWORDS.items()}
    owners: dict[str, tuple[str, str]] = {}
    context: dict[str, Any] = dict(_KEYWORDS)
    namespaces: dict[str, Namespace] = {}
    languages: set[str] = set()
    for view in views:
        if view.type_owner is view and view.type_name is not None and view.namespace is not None:
            types.update(dict.fromkeys(view.type_names, view))
            _claim(owners, view.type_name, view.type_iri or "", view.__name__)
            meanings.setdefault(view.type_name, set()).update(name for name in view.type_names if "://" in name)
            context[view.type_name] = view.type_iri
            namespaces.setdefault(view.type_name, view.namespace)
        for attribute, member in vars(view).items():
            if is_property(member) and not member.iri.startswith("@"):
                _claim(owners, member.term, member.iri, f"{view.__name__}.{attribute}")
                _add(member, meanings, context)
                if member.namespace is not None:
                    namespaces.setdefault(member.term, member.namespace)
                if isinstance(member, (LanguageMap, Text)):
                    languages.add(member.term)
    frozen_meanings = {word: frozenset(iris) for word, iris in meanings.items()}
    return Words(
        types,
        frozen_meanings,
        frozenset[str]().union(*frozen_meanings.values()) - set(_KEYWORDS.values()),
        frozenset(languages),
        context,
        namespaces,
    )


# --- leaves ---------------------------------------------------------------------------------------------------------


def _claim(owners: dict[str, tuple[str, str]], word: str, iri: str, owner: str) -> None:
    """Record the meaning of ``word`` and its owner; refuse a second meaning."""
    first_owner, first_iri = owners.setdefault(word, (owner, iri))
    if first_iri != iri:
        raise ValueError(
            f"{word!r} means {first_iri} in {first_owner} and {iri} in {owner}: give one of them another term, or ns"
        )


def _add(member: Property[Any, Any], meanings: dict[str, set[str]], context: dict[str, Any]) -> None:
    meanings.setdefault(member.term, set()).update(member.iris)
    for other in member.also:
        if "//" not in other:
            meanings.setdefault(other, set()).update(member.iris)
        else:
            meanings[member.term].add(other)
    if ":" in member.term:
        return  # a prefixed name, which a context cannot define
    if member.term not in context or "@container" not in context[member.term]:
        context[member.term] = member.definition()
