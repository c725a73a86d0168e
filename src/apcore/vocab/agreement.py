"""Check whether the contexts of a document define the terms of a vocabulary as the vocabulary does.

Servers that read JSON-LD as plain JSON take ``actor`` for the actor of ActivityStreams. A context can define it
otherwise, by mistake or to deceive. So each context is judged once against a `Vocabulary`. The result is the set of
terms that a document with this context must not use if it is to be read as plain JSON; usually it is empty. Definitions
of terms that the vocabulary does not have are harmless. A second *name* for a property of the vocabulary is not: a
plain reader would miss it.

The check errs on one side only. A doubtful document is translated, which is always right and a little slower.

One rule differs from JSON-LD. The contexts of schema.org and identity/v1, which apcore ships, have their own
definitions of ``name``, ``url`` or ``Person``. Peers that name one of them after ActivityStreams want its other terms.
They, and the servers that read them as plain JSON, still use the terms of ActivityStreams. So a shipped context that
follows ActivityStreams in an array redefines none of its terms. Inline definitions, fetched contexts, and contexts that
an application registers are taken as they are. `restore_activitystreams` applies the same rule for the translation.

This rule does not apply to signatures over statements. `apcore.signatures.graphs` reads a document as JSON-LD does, and
returns that reading, so that only signed statements are used.
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

__all__ = ["Agreement", "judge", "restore_activitystreams"]

_PLAIN_CONTAINERS: Final[tuple[Any, ...]] = (None, "@list", "@set", "@graph", ["@list"], ["@set"], ["@graph"], [])
_LANGUAGE: Final[tuple[Any, ...]] = ("@language", ["@language"], ["@language", "@set"])
# A definition may have these entries and still define a term of the vocabulary.
_HARMLESS: Final = frozenset(
    {"@id", "@type", "@container", "@language", "@direction", "@protected", "@prefix", "@context"}
)
# Entries that are not terms, and that do not change the definition of any term.
_SILENT: Final = frozenset({"@version", "@language", "@direction", "@protected", "@propagate"})
# Coercions under which a value differs from its plain form.
_STRANGE_TYPES: Final = ("@json", "@none", "@vocab")
_DELIMITERS: Final = frozenset(":/?#[]@")
_ACTIVITYSTREAMS: Final = AS.context or ""
_NESTING_MAX: Final = 8
_VERDICTS_MAX: Final = 256
# The longest context of Mastodon has 2,000 characters. A context that is larger than this is judged again for each
# document, within its budget.
_VERDICT_KEY_BYTES_MAX: Final = 8192
_STEPS_OF_A_DEFINITION: Final = 2
_STEPS_OF_AN_ADDRESS: Final = 15
"""The work of a lookup in the tables, and of the check whether the context is a shipped one."""
_COPIES_IN_A_STEP: Final = 20
"""The terms that are copied per step, when a scoped context begins."""


@frozen
class Agreement:
    """The verdict on a context."""

    opaque: bool = False
    """Whether no document with this context can be read as plain JSON."""
    misused: frozenset[str] = frozenset()
    """Terms that it defines otherwise than the vocabulary, and other names for properties of the vocabulary."""
    prefixes: Mapping[str, str] = field(factory=dict[str, str])
    ignored: tuple[str, ...] = ()
    """Addresses of contexts that are not in the table."""
    overridden: bool = False
    """Whether a shipped context would redefine terms of ActivityStreams; see `restore_activitystreams`."""
    steps: int = 0
    """The steps that the first judgement took."""


def judge(context: Any, key: bytes, vocabulary: Vocabulary, contexts: ContextTable, work: WorkBudget) -> Agreement:
    """Judge the value of an ``@context``, and spend the steps of that from ``work``.

    ``key`` is the context's `content_key`. Equal contexts are judged once, within a bound.

    Raises:
        LimitExceeded: The judgement takes more steps than are left.
    """
    entry = vocabulary.seen.get(key)
    if entry is not None and entry[0] is contexts:
        verdict: Agreement = entry[1]
        work.spend(verdict.steps)
        return verdict
    steps_before = work.steps_left
    judgement = _Judgement(vocabulary.words, contexts, work)
    judgement.read(context, 0)
    verdict = Agreement(
        judgement.opaque,
        frozenset(judgement.misused),
        judgement.prefixes,
        tuple(dict.fromkeys(judgement.ignored)),
        judgement.overridden,
        steps_before - work.steps_left,
    )
    if len(key) <= _VERDICT_KEY_BYTES_MAX:
        if len(vocabulary.seen) >= _VERDICTS_MAX:
            vocabulary.seen.clear()
        vocabulary.seen[key] = (contexts, verdict)
    return verdict


def restore_activitystreams(value: Any, contexts: ContextTable) -> Any:
    """Return the document with ActivityStreams named again after each shipped context that follows it."""
    if is_object(value):
        return {
            name: _restored_context(inner, contexts) if name == "@context" else restore_activitystreams(inner, contexts)
            for name, inner in value.items()
        }
    return [restore_activitystreams(item, contexts) for item in value] if is_array(value) else value


# --- leaves ---------------------------------------------------------------------------------------------------------


def _restored_context(context: Any, contexts: ContextTable) -> Any:
    if not is_array(context):
        return context
    parts: list[Any] = []
    after_activitystreams = False
    for part in context:
        parts.append(part)
        if isinstance(part, str):
            if after_activitystreams and _is_shipped(part, contexts):
                parts.append(_ACTIVITYSTREAMS)
            after_activitystreams = after_activitystreams or _is_activitystreams(part)
    return parts


def _is_activitystreams(address: str) -> bool:
    return names_context(address, _ACTIVITYSTREAMS)


def _is_shipped(address: str, contexts: ContextTable) -> bool:
    """Return whether an address stands for a context that apcore ships, and that is not ActivityStreams."""
    if _is_activitystreams(address) or address not in BUNDLED or address not in contexts:
        return False
    return contexts.get(address) is BUNDLED.get(address)


class _Judgement:
    """The judgement of one context while its parts are read in order. As in JSON-LD, later definitions win."""

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
        self.protected_terms: frozenset[str] = frozenset()
        """The terms of ActivityStreams, while a context is read that must not redefine them."""

    def read(self, context: Any, depth: int) -> None:
        if depth > _NESTING_MAX:
            self.opaque = True
        elif is_array(context):
            activitystreams_terms: frozenset[str] = frozenset()
            for part in context:
                self.opaque = self.opaque or is_array(part)  # An array in an array is not JSON-LD.
                is_shipped = isinstance(part, str) and _is_shipped(part, self.contexts)
                self.protected_terms = activitystreams_terms if is_shipped else frozenset()
                self.read(part, depth + 1)
                self.protected_terms = frozenset()
                if isinstance(part, str) and _is_activitystreams(part):
                    activitystreams_terms = self.activitystreams_terms()
        elif isinstance(context, str):
            self.work.spend(_STEPS_OF_AN_ADDRESS)
            try:
                loaded_context = self.contexts.get(context)
            except ContextNeeded:
                self.ignored.append(context)
            else:
                self.read(loaded_context, depth + 1)
        elif is_object(context):
            self.define(context, depth)
        else:
            # Null removes all definitions. Any other value is an error, which the translation will raise.
            self.opaque = True

    def activitystreams_terms(self) -> frozenset[str]:
        try:
            context = self.contexts.get(_ACTIVITYSTREAMS)
        except ContextNeeded:
            return frozenset()
        return frozenset(context) if is_object(context) else frozenset()

    def define(self, definitions: dict[str, Any], depth: int) -> None:
        self.work.spend(_STEPS_OF_A_DEFINITION * len(definitions) + 1)
        meanings, iris, misused = self.words.meanings, self.words.iris, self.misused
        for term, definition in definitions.items():
            if term in self.protected_terms and self.redefines(term, definition, definitions):
                self.overridden = True
                continue
            if term[:1] == "@":
                # AS2 itself has the vocabulary "_:", which leaves undefined terms to the reader.
                if term not in _SILENT and not (term == "@vocab" and definition == "_:"):
                    self.opaque = True
                continue
            iri = self.iri_of(definition, definitions)
            if iri is not None and len(iri) > IRI_CHARS_MAX:
                self.opaque = True  # The translation will refuse it.
                continue
            expected = meanings.get(term)
            if expected is None:
                agrees = iri is None or (iri not in iris and iri[:1] != "@")
            else:
                agrees = iri in expected and self.is_harmless(term, definition)
            if agrees:
                misused.discard(term)
            else:
                misused.add(term)
            self.remember(term, iri, definition)
            if is_object(definition) and "@context" in definition:
                self.read_scoped(definition["@context"], depth + 1)

    def redefines(self, term: str, definition: Any, definitions: dict[str, Any]) -> bool:
        """Return whether a definition would change a term of ActivityStreams."""
        if term == "@vocab":
            return bool(definition != "_:")
        return self.iri_of(definition, definitions) != self.terms.get(term) or not self.is_harmless(term, definition)

    def remember(self, term: str, iri: str | None, definition: Any) -> None:
        """Remember a term, so that later definitions can build on it."""
        self.terms.pop(term, None)
        self.prefixes.pop(term, None)
        if iri is not None:
            self.terms[term] = iri
            if _is_prefix(definition, iri):
                self.prefixes[term] = iri

    def read_scoped(self, context: Any, depth: int) -> None:
        """Judge a scoped context. It can add misused terms, but it cannot remove any."""
        self.work.spend((len(self.misused) + 2 * len(self.terms)) // _COPIES_IN_A_STEP + 1)
        outer, terms, prefixes = set(self.misused), dict(self.terms), dict(self.prefixes)
        self.read(context, depth)
        self.misused |= outer
        self.terms, self.prefixes = terms, prefixes

    def iri_of(self, definition: Any, definitions: dict[str, Any], depth: int = 0) -> str | None:
        """Return the IRI of a definition, or None. If it builds on itself, the result is an IRI of no property."""
        if is_object(definition):
            definition = definition.get("@id")
        if not isinstance(definition, str) or depth > _NESTING_MAX:
            return None
        if definition[:1] == "@":
            return definition
        prefix, colon, rest = definition.partition(":")
        if not colon:  # The definition is another term.
            if definition in definitions:
                self.work.spend(1)
                return self.iri_of(definitions[definition], definitions, depth + 1)
            return self.terms.get(definition)
        if rest[:2] == "//":
            return definition
        if prefix in definitions:
            if depth:
                self.work.spend(1)
            base = self.iri_of(definitions[prefix], definitions, depth + 1)
            usable = base is not None and _is_prefix(definitions[prefix], base)
            return f"{base}{rest}" if usable else definition
        return self.prefixes.get(prefix, f"{prefix}:") + rest

    def is_harmless(self, term: str, definition: Any) -> bool:
        if not is_object(definition):
            return True
        if not definition.keys() <= _HARMLESS:
            return False
        container = definition.get("@container")
        if container in _LANGUAGE:
            return term in self.words.languages
        kind = definition.get("@type")
        # With `@vocab`, a string may be a name that stands for an IRI. Read as plain JSON, it is right as a text only.
        has_plain_type = kind not in _STRANGE_TYPES or (kind == "@vocab" and term in self.words.languages)
        return container in _PLAIN_CONTAINERS and has_plain_type


def _is_prefix(definition: Any, iri: str) -> bool:
    """Return whether a term is a prefix (JSON-LD 1.1 §4.2.2): plainly defined, with an IRI that ends in a delimiter."""
    if is_object(definition):
        return definition.get("@prefix") is True
    return iri[-1:] in _DELIMITERS
