"""`Vocabulary`: the view classes that a reader knows, and the words that follow from them.

There is no registry: a vocabulary is a value, given to whoever reads. The built-in one is `FEDIVERSE`; an application adds its own classes
and gets another one::

    vocabulary = FEDIVERSE.with_views(Recipe, Step)

From the classes follow a table of words (term -> what it may mean), the types by each of their spellings, and the context into which
documents are translated that use other words. These are built on first use: most of a start-up needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from apcore.vocab.namespaces import Namespace
from apcore.vocab.properties import Property, is_property
from apcore.vocab.scalars import LanguageMap, Text

if TYPE_CHECKING:
    from apcore.jsonld.tables import Context, ContextTable
    from apcore.vocab.views import View

__all__ = ["Vocabulary", "Words", "words_of"]

_KEYWORDS: Final = {"id": "@id", "type": "@type"}


@frozen
class Words:
    """What follows from the view classes of a vocabulary."""

    types: Mapping[str, type[View]]
    """Each spelling of each type -> the class that declares it."""
    meanings: Mapping[str, frozenset[str]]
    """Each word, of a property or a type -> the IRIs that it may stand for."""
    iris: frozenset[str]
    """All IRIs that some word stands for."""
    languages: frozenset[str]
    """The words of which a context may say that they hold a language map."""
    context: dict[str, Any]
    """The words as a JSON-LD context: documents with other words are translated into these."""
    namespaces: Mapping[str, Namespace]
    """Each word -> where it comes from, for whoever writes it."""


@frozen(eq=False)
class Vocabulary:
    """View classes, and what they know. Make one from another by `with_views`."""

    views: tuple[type[View], ...]
    contexts: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)
    """What the application's own contexts hold, by their addresses; see `with_views`."""
    seen: dict[Any, Any] = field(factory=dict[Any, Any], init=False, repr=False)
    """Contexts of documents that were judged lately; `apcore.vocab.reading` keeps it, within bounds."""
    _words: list[Words] = field(factory=list[Words], init=False, repr=False)

    @property
    def words(self) -> Words:
        """The words that follow from the classes."""
        if not self._words:
            self._words.append(words_of(self.views))
        return self._words[0]

    def class_of(self, type_name: str) -> type[View] | None:
        """Give the view class for a declared type in any of its spellings; None if it is not known here."""
        return self.words.types.get(type_name)

    def with_views(self, *views: type[View], contexts: Mapping[str, Context] | None = None) -> Vocabulary:
        """Make a vocabulary that knows ``views``, too.

        Args:
            views: The classes. If two declare one type, the later is the one that `Document.as_declared` gives.
            contexts: What documents of the application refer to by address, as it stands under ``@context`` there; so that
                reading them asks nobody.

        Raises:
            ValueError: A word would mean two things. Give one of the two another term, or one IRI.
        """
        made = Vocabulary((*self.views, *views), contexts={**self.contexts, **(contexts or {})})
        _ = made.words  # where two words clash is better said here than when the first document arrives
        return made

    def table(self, contexts: ContextTable) -> ContextTable:
        """Give ``contexts`` together with those of the vocabulary."""
        for url, context in self.contexts.items():
            if url not in contexts:
                contexts = contexts.with_context(url, context)
        return contexts


def words_of(views: tuple[type[View], ...]) -> Words:
    """Work out the words of ``views``; those that they inherit are their parents'.

    Raises:
        ValueError: A word would mean two things.
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
    """Note who says what ``word`` means; refuse a second meaning."""
    other, meant = owners.setdefault(word, (owner, iri))
    if meant != iri:
        raise ValueError(
            f"{word!r} means {meant} in {other} and {iri} in {owner}: give one of them another term, or ns"
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
