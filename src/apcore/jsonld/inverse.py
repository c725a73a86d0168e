"""From meaning back to words: which term of a context says a given IRI best, for a given value.

JSON-LD's inverse context: for each IRI, the terms that mean it, by container and by the type or language that they give to their values. It is
made once for a context, when something is first compacted to it. Contexts to compact to are our own; no sender makes us do this.

Which term is right depends on the value, but mostly in one of four ways, and those answers are kept in the `Entry` of the IRI.
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
    """The terms that mean one IRI."""

    __slots__ = ("as_word", "bare", "by_datatype", "for_node", "for_plain", "groups", "has_vocab", "node", "reference")

    def __init__(self) -> None:
        self.groups: Final[dict[str, Group]] = {}
        self.has_vocab = False
        """Whether a term coerces to ``@vocab``: then the choice depends on what the value refers to."""
        self.as_word: Choice = None
        """For the IRI as a type, or by itself."""
        self.for_node: Choice = None
        """For nodes and references, unless `has_vocab`."""
        self.for_plain: Choice = None
        """For values with neither type nor language."""
        # The same again, but only where nothing is left to decide: a term without container or scoped context that says all.
        self.bare: Choice = None
        """A value with neither type nor language is its content."""
        self.reference: Choice = None
        """A reference is its identifier."""
        self.node: Choice = None
        """A node is its members."""
        self.by_datatype: Final[dict[str, str]] = {}
        """A value of this datatype is its content."""

    def settle(self, active: ActiveContext) -> None:
        """Work out the frequent choices, when all terms are in."""
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
        """Take the first of ``containers`` that has a term for one of ``preferred``, or for anything."""
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
        """Choose the term for a value with a type, with a language, or with neither."""
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
        """Choose the term for a graph without a name."""
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
    """The inverse of one context: it names properties, types and identifiers."""

    __slots__ = ("_aliases", "_prefix_iris", "_prefix_names", "_prefixes", "_unshortened", "active", "entries", "terms")

    def __init__(self, active: ActiveContext) -> None:
        if any(":" in term for term in active.terms):
            raise NotCovered  # such a term can be what a prefix and a rest look like
        self.active: Final = active
        self.terms: Final = active.terms
        self.entries: Final[dict[str, Entry]] = _entries(active)
        for entry in self.entries.values():
            entry.settle(active)
        self._prefixes: Final = [(term.iri, name) for name, term in active.terms.items() if term.prefix and term.iri]
        self._prefix_iris: Final = tuple(iri for iri, _ in self._prefixes)
        self._prefix_names: Final = frozenset(name for _, name in self._prefixes)
        # Most identifiers are addresses, which have to be looked at no further.
        self._unshortened: Final = tuple(
            f"{scheme}://" for scheme in ("https", "http") if scheme not in self._prefix_names
        )
        self._aliases: Final[dict[str, str]] = {keyword: self._alias(keyword) for keyword in KEYWORDS}

    def alias(self, keyword: str) -> str:
        """Say ``keyword`` in words of the context."""
        alias = self._aliases.get(keyword)
        if not alias:
            raise NotCovered
        return alias

    def property(self, iri: str, value: JsonObject) -> str:
        """Name the property ``iri`` of ``value``."""
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
        """Name ``iri`` in the manner of the vocabulary: a type, a datatype, a property without values."""
        if type(iri) is not str:
            raise NotCovered
        if iri[:1] == "@":
            return self.alias(iri)
        entry = self.entries.get(iri)
        choice = None if entry is None else entry.as_word
        return self._without_term(iri) if choice is None else choice

    def identifier(self, iri: Json) -> str:
        """Shorten ``iri`` by a prefix, or leave it as it is."""
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
            raise NotCovered  # it would be read as something else: an error
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
    """Return the inverse of ``active``, which keeps it."""
    inverse = active.inverse
    if inverse is None:
        inverse = active.inverse = Inverse(active)
    assert isinstance(inverse, Inverse)
    return inverse


# --- leaves ---------------------------------------------------------------------------------------------------------


def _simple(active: ActiveContext, name: Choice) -> Term | None:
    """Return the term ``name`` if it has neither a container nor a scoped context, and is none for a keyword."""
    term = None if name is None else active.terms[name]
    if term is None or term.container or term.scoped is not UNSET or term.iri in KEYWORDS:
        return None
    return term


def _entries(active: ActiveContext) -> dict[str, Entry]:
    default_language = "@none" if active.language is None else active.language
    entries: dict[str, Entry] = {}
    # The shortest term is the best one, and of several the least.
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
    """Answer the language and the type that all ``members`` of a list have in common, or ``@none``; None for no members."""
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
    # An empty language is one; the loop above could not tell it from none so far.
    if type(language) is not str or type(type_) is not str or not language or "_" in language:
        raise NotCovered
    if "@language" in member:
        return language, "@none"
    return ("@none", type_) if "@type" in member else ("@null", "@none")
