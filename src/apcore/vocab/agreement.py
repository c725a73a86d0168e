"""Whether the contexts of a document give our words the meanings that we give them.

Whoever reads JSON-LD as plain JSON believes that ``actor`` is the ActivityStreams actor. A context can say otherwise, by mistake or to
deceive. So each context is judged once against a `Vocabulary`: the result is the set of words that a document under this context may not use
if it is to be read as it stands. Mostly it is empty. Definitions of words that nobody here reads do not matter; another *name* for one of
our meanings does, since a plain reader would not see it.

The judgement errs on one side only: what is not certainly in agreement is translated, which is always right and a little slower.

One thing is read otherwise than JSON-LD says. The contexts of schema.org and identity/v1, which apcore ships, give ``name``,
``url`` or ``Person`` a meaning of their own. Peers that name one of them after ActivityStreams want its other words:
they, and the servers that read them as plain JSON, go on meaning the words of ActivityStreams. So a shipped context that
comes after ActivityStreams in one array redefines no word of it. Inline definitions, and contexts that were fetched or
that an application registers, count as they are. `restored` says the same to the translator.

Signatures over statements are another matter: `apcore.signatures.graphs` reads a document as JSON-LD says, and hands on
what that gives, so that nothing is used that was not signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from apcore.jsonld.limits import IRI_CHARS_MAX
from apcore.jsonld.tables import BUNDLED, ContextNeeded, ContextTable, names_context
from apcore.jsonld.work import WorkBudget
from apcore.vocab.namespaces import AS
from apcore.vocab.values import is_array, is_object
from apcore.vocab.vocabulary import Vocabulary, Words

__all__ = ["Agreement", "judge", "restored"]

_PLAIN_CONTAINERS: Final[tuple[Any, ...]] = (None, "@list", "@set", "@graph", ["@list"], ["@set"], ["@graph"], [])
_LANGUAGE: Final[tuple[Any, ...]] = ("@language", ["@language"], ["@language", "@set"])
# A definition may say these things about one of our words, and it is still our word.
_HARMLESS: Final = frozenset(
    {"@id", "@type", "@container", "@language", "@direction", "@protected", "@prefix", "@context"}
)
# Entries that are no terms, and change no meaning of a word that a document defines or that we know.
_SILENT: Final = frozenset({"@version", "@language", "@direction", "@protected", "@propagate"})
_STRANGE_TYPES: Final = ("@json", "@none", "@vocab")
_BEFORE_NAMES: Final = frozenset(":/?#[]@")
_ACTIVITYSTREAMS: Final = AS.context or ""
_NESTING_MAX: Final = 8
_SEEN_MAX: Final = 256
# Mastodon's longest has two thousand characters. What a stranger makes larger is judged again for each document, within its budget.
_SEEN_BYTES_MAX: Final = 8192
_STEPS_OF_A_DEFINITION: Final = 2
_STEPS_OF_AN_ADDRESS: Final = 15
"""Looking it up in the tables, also to see whether it is one of ours."""
_COPIES_IN_A_STEP: Final = 20
"""Words that are copied in a microsecond, around a context that holds in some places only."""


@frozen
class Agreement:
    """The verdict on a context."""

    opaque: bool = False
    """Nothing under it can be read as it stands."""
    misused: frozenset[str] = frozenset()
    """Words that mean something else under it, or ours under another name."""
    prefixes: Mapping[str, str] = field(factory=dict[str, str])
    ignored: tuple[str, ...] = ()
    """Addresses that the table does not have."""
    overridden: bool = False
    """Whether a shipped context would redefine words of ActivityStreams; see `restored`."""
    steps: int = 0
    """The work that it took to find out (the first time)."""


def judge(context: Any, key: bytes, vocabulary: Vocabulary, contexts: ContextTable, work: WorkBudget) -> Agreement:
    """Judge the value of an ``@context``, and spend the steps that it takes from ``work``.

    ``key`` is the context's `content_key`. Equal contexts are judged once, within a bound.

    Raises:
        LimitExceeded: Judging it takes more work than is left.
    """
    entry = vocabulary.seen.get(key)
    if entry is not None and entry[0] is contexts:
        verdict: Agreement = entry[1]
        work.spend(verdict.steps)
        return verdict
    steps_before = work.steps_left
    judge_ = _Judge(vocabulary.words, contexts, work)
    judge_.read(context, 0)
    verdict = Agreement(
        judge_.opaque,
        frozenset(judge_.misused),
        judge_.prefixes,
        tuple(dict.fromkeys(judge_.ignored)),
        judge_.overridden,
        steps_before - work.steps_left,
    )
    if len(key) <= _SEEN_BYTES_MAX:
        if len(vocabulary.seen) >= _SEEN_MAX:
            vocabulary.seen.clear()
        vocabulary.seen[key] = (contexts, verdict)
    return verdict


def restored(value: Any, contexts: ContextTable) -> Any:
    """Return a document in which ActivityStreams comes once more after each shipped context that follows it."""
    if is_object(value):
        return {
            name: _restored_context(inner, contexts) if name == "@context" else restored(inner, contexts)
            for name, inner in value.items()
        }
    return [restored(item, contexts) for item in value] if is_array(value) else value


# --- leaves ---------------------------------------------------------------------------------------------------------


def _restored_context(context: Any, contexts: ContextTable) -> Any:
    if not is_array(context):
        return context
    parts: list[Any] = []
    follows = False
    for part in context:
        parts.append(part)
        if isinstance(part, str):
            if follows and _is_shipped(part, contexts):
                parts.append(_ACTIVITYSTREAMS)
            follows = follows or _is_activitystreams(part)
    return parts


def _is_activitystreams(address: str) -> bool:
    return names_context(address, _ACTIVITYSTREAMS)


def _is_shipped(address: str, contexts: ContextTable) -> bool:
    """Whether an address stands for another context than ActivityStreams, and for the very one that apcore ships."""
    if _is_activitystreams(address) or address not in BUNDLED or address not in contexts:
        return False
    return contexts.get(address) is BUNDLED.get(address)


class _Judge:
    """Goes through contexts in their order; the later ones have the last word, as in JSON-LD."""

    def __init__(self, words: Words, contexts: ContextTable, work: WorkBudget) -> None:
        self.words: Final = words
        self.contexts: Final = contexts
        self.work: Final = work
        self.opaque = False
        self.misused: set[str] = set()
        self.terms: dict[str, str] = {}
        self.prefixes: dict[str, str] = {}
        self.ignored: list[str] = []
        self.overridden = False
        self.kept: frozenset[str] = frozenset()
        """The words of ActivityStreams, while a context is read that must not redefine them."""

    def read(self, context: Any, depth: int) -> None:
        if depth > _NESTING_MAX:
            self.opaque = True
        elif is_array(context):
            words: frozenset[str] = frozenset()
            for part in context:
                self.opaque = self.opaque or is_array(part)  # which is no JSON-LD
                self.kept = words if isinstance(part, str) and _is_shipped(part, self.contexts) else frozenset()
                self.read(part, depth + 1)
                self.kept = frozenset()
                if isinstance(part, str) and _is_activitystreams(part):
                    words = self.words_of_activitystreams()
        elif isinstance(context, str):
            self.work.spend(_STEPS_OF_AN_ADDRESS)
            try:
                found = self.contexts.get(context)
            except ContextNeeded:
                self.ignored.append(context)
            else:
                self.read(found, depth + 1)
        elif is_object(context):
            self.define(context, depth)
        else:
            self.opaque = (
                True  # null takes all definitions away; anything else is a mistake, for the translator to name
            )

    def words_of_activitystreams(self) -> frozenset[str]:
        try:
            context = self.contexts.get(_ACTIVITYSTREAMS)
        except ContextNeeded:
            return frozenset()
        return frozenset(context) if is_object(context) else frozenset()

    def define(self, definitions: dict[str, Any], depth: int) -> None:
        self.work.spend(_STEPS_OF_A_DEFINITION * len(definitions) + 1)
        meanings, iris, misused = self.words.meanings, self.words.iris, self.misused
        for term, definition in definitions.items():
            if term in self.kept and self.redefines(term, definition, definitions):
                self.overridden = True
                continue
            if term[:1] == "@":
                # AS2 itself has the vocabulary "_:", which leaves undefined words without a meaning: ours to give.
                if term not in _SILENT and not (term == "@vocab" and definition == "_:"):
                    self.opaque = True
                continue
            iri = self.meaning(definition, definitions)
            if iri is not None and len(iri) > IRI_CHARS_MAX:
                self.opaque = True  # for the translator to refuse
                continue
            expected = meanings.get(term)
            if expected is None:
                fine = iri is None or (iri not in iris and iri[:1] != "@")
            else:
                fine = iri in expected and self.harmless(term, definition)
            if fine:
                misused.discard(term)
            else:
                misused.add(term)
            self.remember(term, iri, definition)
            if is_object(definition) and "@context" in definition:
                self.scoped(definition["@context"], depth + 1)

    def redefines(self, term: str, definition: Any, definitions: dict[str, Any]) -> bool:
        """Whether a word of ActivityStreams would mean something else under a definition."""
        if term == "@vocab":
            return bool(definition != "_:")
        return self.meaning(definition, definitions) != self.terms.get(term) or not self.harmless(term, definition)

    def remember(self, term: str, iri: str | None, definition: Any) -> None:
        """Note what the next definitions can build on."""
        self.terms.pop(term, None)
        self.prefixes.pop(term, None)
        if iri is not None:
            self.terms[term] = iri
            if _is_prefix(definition, iri):
                self.prefixes[term] = iri

    def scoped(self, context: Any, depth: int) -> None:
        """Judge a context that holds in some places only: it can take trust away, and not give it back."""
        self.work.spend((len(self.misused) + 2 * len(self.terms)) // _COPIES_IN_A_STEP + 1)
        outer, terms, prefixes = set(self.misused), dict(self.terms), dict(self.prefixes)
        self.read(context, depth)
        self.misused |= outer
        self.terms, self.prefixes = terms, prefixes

    def meaning(self, definition: Any, definitions: dict[str, Any], depth: int = 0) -> str | None:
        """Give the IRI that a definition says; None if it says none. What builds on itself says something that is nobody's IRI."""
        if is_object(definition):
            definition = definition.get("@id")
        if not isinstance(definition, str) or depth > _NESTING_MAX:
            return None
        if definition[:1] == "@":
            return definition
        prefix, colon, rest = definition.partition(":")
        if not colon:  # a word that stands for another
            if definition in definitions:
                self.work.spend(1)
                return self.meaning(definitions[definition], definitions, depth + 1)
            return self.terms.get(definition)
        if rest[:2] == "//":
            return definition
        if prefix in definitions:
            if depth:
                self.work.spend(1)
            base = self.meaning(definitions[prefix], definitions, depth + 1)
            usable = base is not None and _is_prefix(definitions[prefix], base)
            return f"{base}{rest}" if usable else definition
        return self.prefixes.get(prefix, f"{prefix}:") + rest

    def harmless(self, term: str, definition: Any) -> bool:
        if not is_object(definition):
            return True
        if not definition.keys() <= _HARMLESS:
            return False
        container = definition.get("@container")
        if container in _LANGUAGE:
            return term in self.words.languages
        kind = definition.get("@type")
        # Names relative to a vocabulary can stand for texts only: as references they would be IRIs.
        fine = kind not in _STRANGE_TYPES or (kind == "@vocab" and term in self.words.languages)
        return container in _PLAIN_CONTAINERS and fine


def _is_prefix(definition: Any, iri: str) -> bool:
    """Whether a term may stand before a colon (JSON-LD 1.1 §4.2.2): plainly defined, and its IRI ends so that a name can follow."""
    if is_object(definition):
        return definition.get("@prefix") is True
    return iri[-1:] in _BEFORE_NAMES
