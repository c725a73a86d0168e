"""Expand documents by table: the fast path of expansion.

`Expander` walks over the document once. It looks up each key in the `ActiveContext`, and `Kind` determines the
treatment of the values. The result equals PyLD's exactly, including its quirks. Where a quirk would cost too much code,
`NotCovered` is raised, and PyLD expands the document (`apcore.jsonld.fallback`). Errors take the same way: except for
limits, this module never decides that a document is invalid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from apcore.errors import LimitExceeded
from apcore.jsonld.compiler import Compiler, content_key
from apcore.jsonld.limits import ProcessingLimits
from apcore.jsonld.parser import Json, JsonObject, copy_json
from apcore.jsonld.tables import ContextValue
from apcore.jsonld.terms import (
    INITIAL,
    KEYWORDS,
    UNSET,
    ActiveContext,
    Kind,
    NotCovered,
    Term,
    expand_word,
    is_absolute,
)
from apcore.jsonld.work import WorkBudget

__all__ = ["Expander"]

_WEB: Final = ("https://", "http://")
_INTEGER_BITS_MAX: Final = 1_000
"""The most bits of an integer. PyLD fails on integers beyond the range of a double."""

_REFERENCE: Final = Kind.REFERENCE
_PLAIN: Final = Kind.PLAIN
_TYPED: Final = Kind.TYPED
_ID: Final = Kind.ID
_TYPE: Final = Kind.TYPE
_LANGUAGE_MAP: Final = Kind.LANGUAGE_MAP
_DROPPED: Final = Kind.DROPPED
_LIST: Final = Kind.LIST
_OTHER: Final = Kind.OTHER
_NAMING: Final = {"@id": Kind.ID, "@type": Kind.TYPE}


@final
class Expander:
    """Expands one document, and spends the steps from its `WorkBudget`."""

    __slots__ = (
        "_array_max",
        "_base",
        "_compiler",
        "_entered",
        "_limits",
        "_nodes",
        "_nodes_max",
        "_work",
    )

    def __init__(self, compiler: Compiler, limits: ProcessingLimits, base: str | None, work: WorkBudget) -> None:
        self._compiler = compiler
        self._limits = limits
        self._work = work
        self._base = base
        self._array_max = limits.array_max
        self._nodes = 0
        self._nodes_max = limits.nodes_max
        self._entered: dict[tuple[int, bytes | int], ActiveContext] = {}

    def expand(self, document: Json, expand_context: ContextValue) -> list[Any]:
        """Expand a whole document.

        Raises:
            NotCovered: The tables do not cover the document.
            ContextNeeded, LimitExceeded: As documented for `apcore.jsonld.expand`.
        """
        if type(document) is not dict:
            raise NotCovered
        # This context is the caller's: it counts towards neither the contexts nor the terms of the document.
        active = INITIAL if expand_context is None else self._compiler.compile_own(expand_context)
        expanded = self._object(document, active, None, self._limits.depth_max)
        # JSON-LD drops a node that has no properties, or nothing but an identifier.
        if not expanded or (len(expanded) == 1 and "@id" in expanded):
            return []
        if "@value" in expanded:
            return []
        return [expanded]

    # --- objects ----------------------------------------------------------------------------------------------------

    def _object(  # noqa: C901, PLR0912, PLR0915 - the inner loop: one call per member would double its time
        self, element: JsonObject, active: ActiveContext, name: str | None, depth: int
    ) -> JsonObject:
        """Expand one object, a value of the key ``name``."""
        self._nodes += 1
        self._work.steps_left -= len(element) + 2
        if depth <= 0 or self._nodes > self._nodes_max or self._work.steps_left < 0:
            self._refuse(depth)
        if active.has_scoped or active.previous is not None:
            active = self._enter(element, active, name)
        if "@context" in element:
            active = self._local(active, element["@context"])
        outer = active
        if active.has_scoped:
            active = self._enter_types(element, active)
        if "@value" in element or (active.value_words and not active.value_words.isdisjoint(element)):
            return self._value_object(element, active, outer)
        terms = active.terms
        language = active.language
        expanded: JsonObject = {}
        repetitions: list[tuple[str, str, list[Any]]] = []
        values: list[Any]
        value: Json
        for key, value in element.items():
            term = terms.get(key)
            if term is not None and term.simple:
                iri = term.iri
                if type(value) is str:
                    if term.kind is _REFERENCE:
                        values = [{"@id": value if value.startswith(_WEB) else self._iri(value, active)}]
                    elif term.kind is _PLAIN:
                        value_language = language if term.language is UNSET else term.language
                        values = [
                            {"@value": value}
                            if value_language is None
                            else {"@language": value_language, "@value": value}
                        ]
                    else:
                        values = [{"@type": term.type, "@value": value}]
                elif type(value) is list:
                    values = self._list(value, active, key, term, depth - 1)
                elif type(value) is dict:
                    values = [self._object(value, active, key, depth - 1)]
                elif value is None:
                    continue
                else:
                    values = [self._scalar(value, active, term)]
            else:
                kind = _NAMING.get(key) if term is None else term.kind
                if kind is _ID or kind is _TYPE:
                    self._name(kind, value, expanded, active, outer)
                    continue
                iri, values = self._member(key, value, active, depth)
            if iri is None:
                continue
            if iri in expanded:
                repetitions.append((iri, key, values))
            else:
                expanded[iri] = values
        if repetitions:
            _merge(expanded, repetitions, element, active)
        return expanded

    def _refuse(self, depth: int) -> None:
        if self._work.steps_left < 0:
            self._work.refuse()
        if depth <= 0:
            raise LimitExceeded(f"a document nested deeper than {self._limits.depth_max} levels (depth_max)")
        raise LimitExceeded(f"a document of more than {self._nodes_max} objects and arrays (nodes_max)")

    def _name(self, kind: Kind, value: Json, expanded: JsonObject, active: ActiveContext, outer: ActiveContext) -> None:
        """Expand the identifier, or the types, of an object."""
        if kind is _ID:
            if type(value) is not str or "@id" in expanded:
                raise NotCovered
            expanded["@id"] = value if value.startswith(_WEB) else self._iri(value, active)
            return
        if "@type" in expanded:
            raise NotCovered
        types = self._types(value, outer)
        if types:
            expanded["@type"] = types

    def _member(self, key: str, value: Json, active: ActiveContext, depth: int) -> tuple[str | None, list[Any]]:
        """Expand one key and its values. The IRI is None if the key has no meaning."""
        term = active.terms.get(key)
        if term is None:
            return self._unknown(key, value, active, depth)
        kind = term.kind
        if kind is _DROPPED:
            return None, []
        if value is None:
            if term.iri in KEYWORDS or term.type == "@json":
                raise NotCovered
            return None, []
        if kind is _LIST:
            if type(value) is not list:
                return term.iri, [{"@list": self._values(value, active, key, depth)}]
            if list in map(type, value):
                raise NotCovered
            return term.iri, [{"@list": self._list(value, active, key, term, depth - 1)}]
        if kind is _OTHER:
            return self._other(value, active, key, depth)
        if kind is _LANGUAGE_MAP and type(value) is dict:
            return term.iri, self._language_map(value, active)
        return term.iri, self._values(value, active, key, depth)

    def _unknown(self, key: str, value: Json, active: ActiveContext, depth: int) -> tuple[str | None, list[Any]]:
        """Expand a key that is not a term: an IRI, an IRI with a prefix, or a word relative to the vocabulary."""
        if key[:1] == "@":
            if key == "@context":
                return None, []
            raise NotCovered
        word = expand_word(active, key)
        if word is None or value is None or not is_absolute(word):
            return None, []
        return word, self._values(value, active, key, depth)

    def _value_object(self, element: JsonObject, active: ActiveContext, outer: ActiveContext) -> JsonObject:
        """Expand ``{"@value": ...}``, which has a type, a language, or neither."""
        members: JsonObject = {}
        for key, content in element.items():
            if key == "@context":
                continue
            word = expand_word(active, key)
            if word is None or word in members or word not in ("@value", "@type", "@language"):
                raise NotCovered
            members[word] = content
        value = members.get("@value")
        if not (type(value) is str or _is_number_or_boolean(value)):
            raise NotCovered
        expanded: JsonObject = {"@value": value}
        if "@type" in members:
            type_ = members["@type"]
            if type(type_) is not str or "@language" in members:
                raise NotCovered
            [expanded["@type"]] = self._types(type_, outer)
            if not is_absolute(expanded["@type"]) or expanded["@type"].startswith("_:"):
                raise NotCovered
        elif "@language" in members:
            language = members["@language"]
            if type(language) is not str or type(value) is not str:
                raise NotCovered
            expanded["@language"] = language.lower()
        return expanded

    # --- values -----------------------------------------------------------------------------------------------------

    def _values(self, value: Json, active: ActiveContext, key: str, depth: int) -> list[Any]:
        """Expand the values of ``key``."""
        if type(value) is dict:
            return [self._object(value, active, key, depth - 1)]
        term = active.terms.get(key)
        if type(value) is list:
            return self._list(value, active, key, term, depth - 1)
        return [self._scalar(value, active, term)]

    def _list(self, members: list[Json], active: ActiveContext, key: str, term: Term | None, depth: int) -> list[Any]:
        """Expand an array of values of ``key``. Nested arrays are flattened."""
        self._nodes += 1
        self._work.steps_left -= len(members) // 2 + 2
        if depth <= 0 or self._nodes > self._nodes_max or self._work.steps_left < 0:
            self._refuse(depth)
        if len(members) > self._array_max:
            raise LimitExceeded(f"an array of {len(members)} members; the limit is {self._array_max} (array_max)")
        expanded: list[Any] = []
        references = term is not None and term.type == "@id"
        for member in members:
            if type(member) is dict:
                expanded.append(self._object(member, active, key, depth - 1))
            elif type(member) is str and references and member.startswith(_WEB):
                expanded.append({"@id": member})
            elif type(member) is list:
                expanded += self._list(member, active, key, term, depth - 1)
            elif member is not None:
                expanded.append(self._scalar(member, active, term))
        return expanded

    def _scalar(self, value: Json, active: ActiveContext, term: Term | None) -> JsonObject:
        coercion = None if term is None else term.type
        if type(value) is str:
            if coercion is None or coercion == "@none":
                language = active.language if term is None or term.language is UNSET else term.language
                return {"@value": value} if language is None else {"@language": language, "@value": value}
            if coercion == "@id":
                return {"@id": value if value.startswith(_WEB) else self._iri(value, active)}
            if coercion == "@vocab":
                return {"@id": self._word(value, active)}
        elif not _is_number_or_boolean(value):
            raise NotCovered
        if coercion is None or coercion in ("@id", "@vocab", "@none"):
            return {"@value": value}
        return {"@type": coercion, "@value": value}

    def _language_map(self, value: JsonObject, active: ActiveContext) -> list[Any]:
        expanded: list[Any] = []
        terms = active.terms
        self._work.spend(len(value) + 1)
        for language in sorted(value):
            texts: Json = value[language]
            term = terms.get(language)
            plain = language == "@none" or (term is not None and term.iri == "@none")
            text: Json
            if type(texts) is list:
                self._work.spend(len(texts) // 2)
            for text in texts if type(texts) is list else [texts]:
                if type(text) is str:
                    expanded.append({"@value": text} if plain else {"@value": text, "@language": language.lower()})
                elif text is not None:
                    raise NotCovered
        return expanded

    def _other(self, value: Json, active: ActiveContext, key: str, depth: int) -> tuple[str, list[Any]]:
        """Expand the value of a rarer kind of term: a list, a graph, a scoped context or an unusual coercion."""
        term = active.terms[key]
        iri = term.iri
        if iri is None or iri[:1] == "@" or not is_absolute(iri):
            raise NotCovered
        if term.scoped is not UNSET:
            active = self._scoped(active, term, of_type=False)
            if active.terms.get(key) is not term:
                raise NotCovered
        if term.type == "@json":
            if term.container not in ((), ("@set",)):
                raise NotCovered
            return iri, [{"@type": "@json", "@value": copy_json(value)}]
        if "@language" in term.container:
            if type(value) is dict:
                return iri, self._language_map(value, active)
        elif "@list" in term.container and type(value) is list and list in map(type, value):
            raise NotCovered
        values = self._values(value, active, key, depth)
        if "@list" in term.container:
            return iri, [{"@list": values}]
        if "@graph" in term.container:
            return iri, [{"@graph": [member]} for member in values]
        return iri, values

    # --- names ------------------------------------------------------------------------------------------------------

    def _iri(self, value: str, active: ActiveContext) -> str:
        """Expand an identifier."""
        if value[:1] == "@":
            raise NotCovered
        colon = value.find(":")
        if colon > 0:
            prefix = value[:colon]
            if prefix == "_" or value.startswith("//", colon + 1):
                return value
            term = active.terms.get(prefix)
            if term is not None and term.prefix:
                return f"{term.iri}{value[colon + 1 :]}"
            if is_absolute(value):
                return value
        if self._base is not None:
            raise NotCovered
        return value

    def _word(self, value: str, active: ActiveContext) -> str:
        """Expand a name relative to the vocabulary."""
        word = expand_word(active, value)
        if word is None or word[:1] == "@":
            raise NotCovered
        if self._base is not None and active.vocab is None and not is_absolute(word):
            raise NotCovered  # The word would be relative to the base.
        return word

    def _types(self, value: Json, active: ActiveContext) -> list[str]:
        if type(value) is str:
            term = active.terms.get(value)
            if term is not None and term.kind is _PLAIN and term.iri is not None:
                return [term.iri]
            return [self._word(value, active)]
        if type(value) is not list:
            raise NotCovered
        types: list[str] = []
        member: Json
        for member in value:
            if type(member) is not str:
                raise NotCovered
            types.append(self._word(member, active))
        return types

    # --- contexts ---------------------------------------------------------------------------------------------------

    def _local(self, active: ActiveContext, context: ContextValue) -> ActiveContext:
        """Enter a context of the document itself."""
        key = content_key(context)
        local_context = self._entered.get((active.serial, key))
        if local_context is None:
            self._work.count_context(context, key)
            local_context = self._compiler.local(active, context, key, self._work)
            self._entered[active.serial, key] = local_context
        return local_context

    def _scoped(self, active: ActiveContext, term: Term, *, of_type: bool) -> ActiveContext:
        """Enter the context of a property or of a type."""
        key = (active.serial, 2 * id(term) + of_type)
        scoped_context = self._entered.get(key)
        if scoped_context is None:
            scoped_context = self._compiler.scoped(active, term.scoped, self._work, of_type=of_type)
            self._entered[key] = scoped_context
        return scoped_context

    def _enter(self, element: JsonObject, active: ActiveContext, name: str | None) -> ActiveContext:
        """Leave the context of the surrounding node's type, and enter the context of the property ``name``."""
        term = None if name is None else active.terms.get(name)
        if active.previous is not None and not _keeps_type_context(element, active):
            active = active.previous
        if term is not None and term.scoped is not UNSET:
            active = self._scoped(active, term, of_type=False)
        return active

    def _enter_types(self, element: JsonObject, active: ActiveContext) -> ActiveContext:
        """Enter the contexts of the types of ``element``."""
        outer = active
        for key in sorted(element):
            term = active.terms.get(key)
            if key != "@type" and (term is None or term.iri != "@type"):
                continue
            value: Json = element[key]
            types: list[Json] = value if type(value) is list else [value]
            for type_ in sorted(name for name in types if type(name) is str):
                type_term = outer.terms.get(type_)
                if type_term is not None and type_term.scoped is not UNSET:
                    active = self._scoped(active, type_term, of_type=True)
        return active


# --- leaves ---------------------------------------------------------------------------------------------------------


def _is_number_or_boolean(value: Json) -> bool:
    if type(value) is int:
        return value.bit_length() <= _INTEGER_BITS_MAX
    return type(value) is float or type(value) is bool


def _keeps_type_context(element: JsonObject, active: ActiveContext) -> bool:
    """Return whether the surrounding type's context holds in ``element``: it does in a value or a bare reference."""
    if len(element) > 2 or "@context" in element:
        return False
    for key in sorted(element):
        word = expand_word(active, key)
        if word == "@value":
            return True
        if word == "@id" and len(element) == 1:
            return True
    return False


def _merge(
    expanded: JsonObject, repetitions: list[tuple[str, str, list[Any]]], element: JsonObject, active: ActiveContext
) -> None:
    """Join the values of keys that expand to the same IRI, in the order of the keys."""
    parts_by_iri: dict[str, list[tuple[str, list[Any]]]] = {}
    for iri, key, values in repetitions:
        parts_by_iri.setdefault(iri, []).append((key, values))
    first_keys = _first_keys(parts_by_iri, element, active)
    for iri, parts in parts_by_iri.items():
        merged = sorted([(first_keys[iri], expanded[iri]), *parts], key=_key_of)
        expanded[iri] = [value for _, values in merged for value in values]


def _first_keys(iris: Iterable[str], element: JsonObject, active: ActiveContext) -> dict[str, str]:
    """Return the first key of ``element`` with a value other than null, for each of ``iris``."""
    terms = active.terms
    missing = set(iris)
    first_keys: dict[str, str] = {}
    for key, value in element.items():
        if not missing:
            break
        if value is None or key == "@context":
            continue
        term = terms.get(key)
        iri = expand_word(active, key) if term is None else term.iri
        if iri in missing:
            missing.remove(iri)
            first_keys[iri] = key
    if missing:
        raise NotCovered
    return first_keys


def _key_of(part: tuple[str, list[Any]]) -> str:
    return part[0]
