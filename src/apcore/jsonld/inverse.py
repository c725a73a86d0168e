"""Select terms for IRIs: JSON-LD's inverse context.

For each IRI, the inverse context holds the terms that expand to it, by container and by the type or language of their
values. It is built once for a context, when a document is first compacted to it. Documents are compacted only to
contexts of apcore and the application, so a sender cannot cause this work.

The best term depends on the value. For four frequent kinds of values the term is stored in the `Entry` of the IRI.
"""

from __future__ import annotations

from typing import Final, final

from apcore.jsonld.parser import Json, JsonObject
from apcore.jsonld.terms import KEYWORDS, UNSET, ActiveContext, NotCovered, Term, Unset

__all__ = ["Entry", "Inverse", "inverse_of"]

Choice = str | None
Group = dict[str, dict[str, str]]

_NODE_CONTAINERS: Final = ("@set", "@none")
_PLAIN_CONTAINERS: Final = ("@set", "@none", "@language", "@language@set")
_LANGUAGE_CONTAINERS: Final = ("@language", "@language@set", "@set", "@none")
_LIST_CONTAINERS: Final = ("@list", "@none")
_GRAPH_CONTAINERS: Final = ("@graph", "@graph@set", "@set", "@none")


@final
class Entry:
    """The terms that expand to one IRI."""

    __slots__ = ("as_word", "bare", "by_datatype", "for_node", "for_plain", "groups", "has_vocab", "node", "reference")

    def __init__(self) -> None:
        self.groups: Final[dict[str, Group]] = {}
        self.has_vocab = False
        """Whether a term coerces to ``@vocab``. Then the choice depends on the IRI of the value."""
        self.as_word: Choice = None
        """The term for the IRI as a type, or without a value."""
        self.for_node: Choice = None
        """The term for nodes and references, unless `has_vocab`."""
        self.for_plain: Choice = None
        """The term for values with neither type nor language."""
        # The next four are shortcuts. Each is set only if its term has no container and no scoped context, so that the
        # form of the value is certain.
        self.bare: Choice = None
        """The term under which a value with neither type nor language is compacted to its content."""
        self.reference: Choice = None
        """The term under which a reference is compacted to its identifier."""
        self.node: Choice = None
        """The term under which a node is compacted to an object of its members."""
        self.by_datatype: Final[dict[str, str]] = {}
        """The terms under which a value is compacted to its content, by datatype."""

    def settle(self, active: ActiveContext) -> None:
        """Compute the frequent choices. Call this after all terms are added."""
        self.has_vocab = any("@vocab" in group["@type"] for group in self.groups.values())
        self.as_word = self.choose(_NODE_CONTAINERS, "@type", "@id")
        self.for_node = self.as_word
        self.for_plain = self.choose(_PLAIN_CONTAINERS, "@language", "@null")
        term = _simple(active, self.for_plain)
        if term is not None and term.type != "@none" and (active.language is None or term.language is None):
            self.bare = self.for_plain
        term = _simple(active, self.for_node)
        if term is not None and not self.has_vocab:
            self.node = self.for_node
            if term.type == "@id":
                self.reference = self.for_node
        for datatype in {datatype for group in self.groups.values() for datatype in group["@type"]}:
            choice = self.choose(_NODE_CONTAINERS, "@type", datatype)
            term = _simple(active, choice)
            if choice is not None and datatype[:1] != "@" and term is not None and term.type == datatype:
                self.by_datatype[datatype] = choice

    def choose(self, containers: tuple[str, ...], by: str, *preferred: str) -> Choice:
        """Return the term of the first of ``containers`` that has one for a ``preferred`` value, or for any value.

        ``by`` is the aspect of the value that decides: ``@type``, ``@language`` or ``@any``.
        """
        for container in containers:
            group = self.groups.get(container)
            if group is not None:
                for preference in preferred:
                    if preference in group[by]:
                        return group[by][preference]
                if "@none" in group[by]:
                    return group[by]["@none"]
        return None

    def for_literal(self, value: JsonObject) -> Choice:
        """Choose the term for a value with a type, a language, or neither."""
        if "@language" in value:
            language: Json = value["@language"]
            if type(language) is not str or "_" in language:
                raise NotCovered
            return self.choose(_LANGUAGE_CONTAINERS, "@language", language)
        if "@type" in value:
            datatype: Json = value["@type"]
            if type(datatype) is not str:
                raise NotCovered
            return self.choose(_NODE_CONTAINERS, "@type", datatype)
        return self.for_plain

    def for_reference(self, *, prefer_vocab: bool) -> Choice:
        """Choose the term for a node with an identifier."""
        first, second = ("@vocab", "@id") if prefer_vocab else ("@id", "@vocab")
        return self.choose(_NODE_CONTAINERS, "@type", first, second)

    def for_graph(self) -> Choice:
        """Choose the term for an unnamed graph."""
        return self.choose(_GRAPH_CONTAINERS, "@type", "@id")

    def for_list(self, members: Json) -> Choice:
        """Choose the most specific term that suits every member of a list."""
        common = _common(members)
        if common is None:
            return self.choose(_LIST_CONTAINERS, "@any", "@none")
        language, type_ = common
        if type_ == "@none":
            return self.choose(_LIST_CONTAINERS, "@language", language)
        return self.choose(_LIST_CONTAINERS, "@type", type_)


@final
class Inverse:
    """The inverse of one context. It compacts the names of properties, types and identifiers."""

    __slots__ = ("_aliases", "_prefix_iris", "_prefix_names", "_prefixes", "_unshortened", "active", "entries", "terms")

    def __init__(self, active: ActiveContext) -> None:
        if any(":" in term for term in active.terms):
            raise NotCovered  # A shortened IRI (prefix, colon, rest) could look like such a term.
        self.active: Final = active
        self.terms: Final = active.terms
        self.entries: Final[dict[str, Entry]] = _entries(active)
        for entry in self.entries.values():
            entry.settle(active)
        self._prefixes: Final = [(term.iri, name) for name, term in active.terms.items() if term.prefix and term.iri]
        self._prefix_iris: Final = tuple(iri for iri, _ in self._prefixes)
        self._prefix_names: Final = frozenset(name for _, name in self._prefixes)
        # Most identifiers start with one of these, and need no further checks.
        self._unshortened: Final = tuple(
            f"{scheme}://" for scheme in ("https", "http") if scheme not in self._prefix_names
        )
        self._aliases: Final[dict[str, str]] = {keyword: self._alias(keyword) for keyword in KEYWORDS}

    def alias(self, keyword: str) -> str:
        """Return the name that the context gives to ``keyword``."""
        alias = self._aliases.get(keyword)
        if not alias:
            raise NotCovered
        return alias

    def property(self, iri: str, value: JsonObject) -> str:
        """Return the name of the property ``iri`` for ``value``."""
        if "@index" in value or "@direction" in value:
            raise NotCovered
        entry = self.entries.get(iri)
        if entry is None:
            return self._without_term(iri)
        if "@value" in value:
            choice = entry.for_literal(value)
        elif "@list" in value:
            choice = entry.for_list(value["@list"])
        elif "@graph" in value:
            choice = entry.for_graph()
        elif entry.has_vocab and "@id" in value:
            word = self.terms.get(self.word(value["@id"]))
            choice = entry.for_reference(prefer_vocab=word is not None and word.iri == value["@id"])
        else:
            choice = entry.for_node
        return self._without_term(iri) if choice is None else choice

    def word(self, iri: Json) -> str:
        """Compact ``iri`` relative to the vocabulary: a type, a datatype, or a property without values."""
        if type(iri) is not str:
            raise NotCovered
        if iri[:1] == "@":
            return self.alias(iri)
        entry = self.entries.get(iri)
        choice = None if entry is None else entry.as_word
        return self._without_term(iri) if choice is None else choice

    def identifier(self, iri: Json) -> str:
        """Shorten ``iri`` by a prefix, or return it unchanged."""
        if type(iri) is not str or iri[:1] == "@":
            raise NotCovered
        if iri.startswith(self._unshortened) and not iri.startswith(self._prefix_iris):
            return iri
        if iri.startswith(self._prefix_iris):
            candidates = [
                f"{name}:{iri[len(namespace) :]}"
                for namespace, name in self._prefixes
                if iri != namespace and iri.startswith(namespace)
            ]
            if candidates:
                return min(candidates, key=lambda candidate: (len(candidate), candidate))
        if iri.partition(":")[0] in self._prefix_names:
            raise NotCovered  # Expansion would read its scheme as a prefix. JSON-LD makes this an error.
        return iri

    def _without_term(self, iri: str) -> str:
        vocab = self.active.vocab
        if vocab is not None and iri != vocab and iri.startswith(vocab):
            suffix = iri[len(vocab) :]
            if suffix not in self.terms:
                return suffix
        return self.identifier(iri)

    def _alias(self, keyword: str) -> str:
        entry = self.entries.get(keyword)
        if entry is None:
            return keyword
        return entry.groups.get("@none", {}).get("@type", {}).get("@none", "")


def inverse_of(active: ActiveContext) -> Inverse:
    """Return the inverse of ``active``. It is built on the first call and stored in ``active``."""
    inverse = active.inverse
    if inverse is None:
        inverse = active.inverse = Inverse(active)
    assert isinstance(inverse, Inverse)
    return inverse


# --- leaves ---------------------------------------------------------------------------------------------------------


def _simple(active: ActiveContext, name: Choice) -> Term | None:
    """Return the term ``name``, unless it has a container or a scoped context, or is an alias of a keyword."""
    term = None if name is None else active.terms[name]
    if term is None or term.container or term.scoped is not UNSET or term.iri in KEYWORDS:
        return None
    return term


def _entries(active: ActiveContext) -> dict[str, Entry]:
    default_language = "@none" if active.language is None else active.language
    entries: dict[str, Entry] = {}
    # JSON-LD prefers the shortest term, and among equally short ones the first in lexicographic order.
    for name, term in sorted(active.terms.items(), key=lambda item: (len(item[0]), item[0])):
        if not term.iri:
            continue
        container = "".join(sorted(term.container)) or "@none"
        entry = entries.setdefault(term.iri, Entry())
        group = entry.groups.setdefault(container, {"@language": {}, "@type": {}, "@any": {}})
        group["@any"].setdefault("@none", name)
        if term.type == "@none":
            group["@type"].setdefault("@none", name)
            group["@language"].setdefault("@none", name)
        elif term.type is not None:
            group["@type"].setdefault(term.type, name)
        elif not isinstance(term.language, Unset):
            group["@language"].setdefault("@null" if term.language is None else term.language, name)
        else:
            group["@language"].setdefault(default_language, name)
            group["@type"].setdefault("@none", name)
            group["@language"].setdefault("@none", name)
    return entries


def _common(members: Json) -> tuple[str, str] | None:
    """Return the language and the type that all ``members`` of a list share, or ``@none``; None for an empty list."""
    if type(members) is not list:
        raise NotCovered
    language = type_ = ""
    for member in members:
        own_language, own_type = _language_and_type(member)
        if not language:
            language = own_language
        elif own_language != language and "@value" in member:
            language = "@none"
        type_ = own_type if type_ in ("", own_type) else "@none"
    return (language, type_) if members else None


def _language_and_type(member: Json) -> tuple[str, str]:
    if type(member) is not dict or "@direction" in member:
        raise NotCovered
    if "@value" not in member:
        return "@none", "@id"
    language: Json = member.get("@language", "x")
    type_: Json = member.get("@type", "x")
    # `_common` uses "" for "no member yet", so it cannot handle an empty language.
    if type(language) is not str or type(type_) is not str or not language or "_" in language:
        raise NotCovered
    if "@language" in member:
        return language, "@none"
    return ("@none", type_) if "@type" in member else ("@null", "@none")
