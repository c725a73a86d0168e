"""Apply one object of definitions to a context: JSON-LD's "Create Term Definition", as far as the tables cover it.

The order of the checks follows PyLD's context processing step by step. Where PyLD raises an error, or uses a feature
beyond the tables, this module raises `NotCovered`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, final

from apcore.errors import LimitExceeded
from apcore.jsonld.limits import IRI_CHARS_MAX
from apcore.jsonld.parser import Json, JsonObject
from apcore.jsonld.tables import ContextValue
from apcore.jsonld.terms import KEYWORDS, UNSET, ActiveContext, NotCovered, Term, Unset, is_absolute
from apcore.jsonld.work import WorkBudget

__all__ = ["Definer", "Standalone", "make_standalone"]

_LIKE_AN_IRI: Final = re.compile(r".*((:[^:])|/)")
_ENDS_LIKE_A_NAMESPACE: Final = re.compile(r".*[:/\?#\[\]@]$")
_HAS_COLON_OR_SLASH: Final = re.compile(r".*(:|/)")
_STEPS_OF_A_DEFINITION: Final = 5
_COPIES_IN_A_STEP: Final = 10
"""Terms that are copied and searched in one step, when definitions are applied to a context."""
_TERM_KEYS: Final = frozenset(("@id", "@type", "@container", "@language", "@context", "@prefix", "@protected"))
_CONTEXT_KEYS: Final = frozenset(("@vocab", "@language", "@version", "@protected"))
_CONTAINERS: Final = frozenset(
    (
        ("@list",),
        ("@set",),
        ("@language",),
        ("@graph",),
        ("@language", "@set"),
        ("@set", "@language"),
        ("@graph", "@set"),
        ("@set", "@graph"),
    )
)


@final
class Definer:
    """Applies one object of definitions to a context."""

    def __init__(
        self,
        active: ActiveContext,
        definitions: JsonObject,
        *,
        override: bool,
        pinned: bool,
        check: Callable[[ActiveContext, ContextValue], None],
        work: WorkBudget,
    ) -> None:
        """Prepare to apply ``definitions`` to ``active``.

        Args:
            active: The context that holds so far.
            definitions: A value of ``@context`` that is an object.
            override: Whether protected terms may be redefined.
            pinned: Whether ``active`` and ``definitions`` both come from registered contexts.
            check: Raises an error for an invalid scoped context. A scoped context is checked where it is defined, and
                applied where its term is used.
            work: The budget to spend from.
        """
        self._check = check
        self._work = work
        self._chain = 0
        work.spend(_STEPS_OF_A_DEFINITION * len(definitions) + len(active.terms) // _COPIES_IN_A_STEP + 2)
        self._definitions = definitions
        self._override = override
        self._pinned = pinned
        self._previous = active.previous
        self._terms: dict[str, Term] = dict(active.terms)
        self._vocab = active.vocab
        self._language = active.language
        self._protect = False
        self._defined: dict[str, bool] = {}

    def define(self) -> ActiveContext:
        """Return the context with the definitions added."""
        definitions = self._definitions
        self._settings()
        definition: Json
        for term, definition in definitions.items():
            if term in _CONTEXT_KEYS:
                continue
            self._define(term, override=self._override)
            if type(definition) is dict and "@context" in definition:
                self._work.spend(len(self._terms) // _COPIES_IN_A_STEP + 2)
                self._check(self._result(), definition["@context"])
        return self._result()

    def _result(self) -> ActiveContext:
        return ActiveContext(
            self._terms.copy(), vocab=self._vocab, language=self._language, previous=self._previous, pinned=self._pinned
        )

    def _settings(self) -> None:
        definitions = self._definitions
        if definitions.get("@version", 1.1) != 1.1 or definitions.get("@protected", True) is not True:
            raise NotCovered
        self._protect = "@protected" in definitions
        if "@vocab" in definitions:
            vocab = definitions["@vocab"]
            if vocab is None and self._vocab is not None:
                self._vocab = None
            elif type(vocab) is str and vocab:
                self._vocab = self._absolute(_expand_vocab(vocab, self._terms, self._vocab))
            else:
                raise NotCovered
        if "@language" in definitions:
            language = definitions["@language"]
            if language is None and self._language is not None:
                self._language = None
            elif type(language) is str:
                self._language = _bounded(language.lower())
            else:
                raise NotCovered

    def _define(self, term: str, *, override: bool) -> None:
        if term in self._defined:
            if self._defined[term]:
                return
            raise NotCovered  # The term depends on itself.
        self._defined[term] = False
        self._chain += 1
        if self._chain > self._work.limits.chain_max:
            raise LimitExceeded(
                f"a context defines {term[:80]!r} by a chain of more than {self._work.limits.chain_max} terms "
                "(chain_max)"
            )
        if term[:1] in ("", "@") or term == "_uuid":
            raise NotCovered
        old_term = self._terms.pop(term, None)
        definition: Json = self._definitions[term]
        simple = type(definition) is str or definition is None
        if simple:
            definition = {"@id": definition}
        if type(definition) is not dict or not definition.keys() <= _TERM_KEYS:
            raise NotCovered
        iri, prefix = self._iri_of(term, definition, simple=simple)
        if "@prefix" in definition:
            prefix = _prefix_of(term, iri, definition["@prefix"])
        new_term = Term(
            iri,
            type_=self._type_of(definition),
            container=_container_of(definition),
            language=_language_of(definition),
            scoped=definition.get("@context", UNSET),
            prefix=prefix,
            protected=_protection_of(definition, self._protect)
            or (old_term is not None and old_term.protected and not override),
        )
        if old_term is not None and old_term.protected and not override and not old_term.same(new_term, protected=True):
            raise NotCovered  # The definition changes a protected term.
        self._terms[term] = new_term
        self._defined[term] = True
        self._chain -= 1

    def _iri_of(self, term: str, definition: JsonObject, *, simple: bool) -> tuple[str | None, bool]:
        """Return the IRI of ``term``, and whether it can be used as a prefix."""
        colon = term.find(":")
        if "@id" in definition:
            iri = definition["@id"]
            if iri is None:
                return None, False
            if type(iri) is not str or not iri:
                raise NotCovered
            if iri[0] == "@":
                if iri not in KEYWORDS or iri in ("@context", "@preserve") or _LIKE_AN_IRI.match(term) is not None:
                    raise NotCovered
                return iri, False
            if iri != term:
                expanded = self._absolute(self._expand(iri))
                if _LIKE_AN_IRI.match(term) is not None and self._expand(term, current_term=term) != expanded:
                    raise NotCovered
                prefix = (
                    simple
                    and colon <= 0
                    and (expanded.startswith("_:") or _ENDS_LIKE_A_NAMESPACE.match(expanded) is not None)
                )
                return expanded, prefix
        if colon > 0:
            return _bounded(self._compact_form(term, colon)), False
        if self._vocab is None:
            raise NotCovered
        return _bounded(self._vocab + term), False

    def _compact_form(self, term: str, colon: int) -> str:
        name = term[:colon]
        if name in self._definitions:
            self._define(name, override=False)
        parent = self._terms.get(name)
        if parent is None:
            return term
        if parent.iri is None:
            raise NotCovered
        return parent.iri + term[colon + 1 :]

    def _expand(self, value: str, *, current_term: str | None = None) -> str | None:
        """Expand ``value`` with these definitions, after defining the terms that it depends on.

        ``current_term`` is the term being defined: it is not defined again.
        """
        if value[:1] == "@":
            raise NotCovered
        definitions = self._definitions
        if value != current_term and value in definitions and self._defined.get(value) is not True:
            self._define(value, override=False)
        if value not in self._terms:
            name, colon, rest = value.partition(":")
            absolute = not name or not colon or name == "_" or rest.startswith("//")
            if not absolute and name != current_term and name in definitions and not self._defined.get(name):
                self._define(name, override=False)
        return _expand_vocab(value, self._terms, self._vocab)

    def _absolute(self, iri: str | None) -> str:
        if iri is None or not is_absolute(iri):
            raise NotCovered
        return _bounded(iri)

    def _type_of(self, definition: JsonObject) -> str | None:
        if "@type" not in definition:
            return None
        type_ = definition["@type"]
        if type(type_) is not str:
            raise NotCovered
        if type_ in ("@id", "@vocab", "@json", "@none"):
            return type_
        expanded = self._absolute(self._expand(type_))
        if expanded.startswith("_:"):
            raise NotCovered
        return expanded


@final
class Standalone:
    """Compiled definitions that can be copied into any context that does not define one of their open names.

    An open name is a name that the definitions use and do not define. See `make_standalone`.
    """

    __slots__ = ("_definitions", "_open_names", "_own")

    def __init__(self, definitions: JsonObject, own: ActiveContext, open_names: frozenset[str]) -> None:
        self._definitions: Final = definitions
        self._own: Final = own
        self._open_names: Final = open_names

    def apply(self, active: ActiveContext, *, pinned: bool, work: WorkBudget) -> ActiveContext | None:
        """Return a copy of ``active`` with the definitions added; None if a `Definer` has to add them one by one."""
        work.spend((len(active.terms) + len(self._own.terms)) // _COPIES_IN_A_STEP + 2)
        if not self._open_names.isdisjoint(active.terms) or any(term.protected for term in active.terms.values()):
            return None
        definitions, own = self._definitions, self._own
        return ActiveContext(
            {**active.terms, **own.terms},
            vocab=own.vocab if "@vocab" in definitions else active.vocab,
            language=own.language if "@language" in definitions else active.language,
            previous=active.previous,
            pinned=pinned,
        )


def make_standalone(definitions: JsonObject, own: ActiveContext) -> Standalone | None:
    """Return ``definitions`` as `Standalone`, or None if they have scoped contexts.

    ``own`` is the result of the definitions on the empty context. Scoped contexts are excluded because they are checked
    against all definitions that hold. Names in ``@vocab`` are always open: they are looked up before the definitions.
    """
    used: set[str] = set()
    definition: Json
    for name, definition in definitions.items():
        used.add(name.partition(":")[0])
        members: JsonObject = definition if isinstance(definition, dict) else {"@id": definition}
        if "@context" in members:
            return None
        for value in members.values():
            if isinstance(value, str):
                used.update((value, value.partition(":")[0]))
    open_names = used - definitions.keys()
    vocab: Json = definitions.get("@vocab")
    if type(vocab) is str:
        open_names.update((vocab, vocab.partition(":")[0]))
    return Standalone(definitions, own, frozenset(open_names))


# --- leaves ---------------------------------------------------------------------------------------------------------


def _bounded(name: str) -> str:
    """Return ``name``, or refuse it if it is long: expansion repeats it wherever the short term occurs."""
    if len(name) > IRI_CHARS_MAX:
        raise LimitExceeded(f"a context expands a term to {len(name)} characters, at most {IRI_CHARS_MAX}")
    return name


def _expand_vocab(value: str, terms: dict[str, Term], vocab: str | None) -> str | None:
    if value[:1] == "@":
        raise NotCovered
    term = terms.get(value)
    if term is not None:
        return term.iri
    colon = value.find(":")
    if colon > 0:
        name = value[:colon]
        if name == "_" or value.startswith("//", colon + 1):
            return value
        term = terms.get(name)
        if term is not None and term.prefix:
            return f"{term.iri}{value[colon + 1 :]}"
        if is_absolute(value):
            return value
    return value if vocab is None else vocab + value


def _prefix_of(term: str, iri: str | None, value: Any) -> bool:
    if type(value) is not bool or _HAS_COLON_OR_SLASH.match(term) is not None or iri in KEYWORDS or iri is None:
        raise NotCovered
    return value


def _container_of(definition: JsonObject) -> tuple[str, ...]:
    if "@container" not in definition:
        return ()
    container: Json = definition["@container"]
    parts: list[Json] = container if type(container) is list else [container]
    names = tuple(part for part in parts if type(part) is str)
    if len(names) != len(parts) or names not in _CONTAINERS:
        raise NotCovered
    return names


def _language_of(definition: JsonObject) -> str | Unset | None:
    if "@language" not in definition or "@type" in definition:
        return UNSET
    language = definition["@language"]
    if language is None:
        return None
    if type(language) is not str:
        raise NotCovered
    return _bounded(language.lower())


def _protection_of(definition: JsonObject, protect: bool) -> bool:
    own = definition.get("@protected", protect)
    if type(own) is not bool:
        raise NotCovered
    return own
