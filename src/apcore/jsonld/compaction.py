"""Compaction by table.

One walk over the expanded form. For each property and each of its values the `Inverse` names the term; the term says how the value is written.
As with expansion, PyLD is the measure to the letter, and what the tables do not cover exactly, errors included, is left to it.
"""

from __future__ import annotations

from typing import Any, Final, final

from apcore.errors import LimitExceeded
from apcore.jsonld.compiler import Compiler
from apcore.jsonld.inverse import Entry, Inverse, inverse_of
from apcore.jsonld.limits import ProcessingLimits
from apcore.jsonld.parser import Json, JsonObject
from apcore.jsonld.tables import ContextValue
from apcore.jsonld.terms import UNSET, ActiveContext, NotCovered, Term, Unset
from apcore.jsonld.work import WorkBudget

__all__ = ["Compactor"]

_SCALARS: Final = frozenset((str, int, float, bool))
_NO_NODE: Final = frozenset(("@list", "@graph", "@index", "@direction", "@set"))
_LITERALS: Final = ({"@value"}, {"@value", "@type"}, {"@value", "@language"})


@final
class Compactor:
    """One document's compaction: spends its `WorkBudget` on the way."""

    __slots__ = ("_compiler", "_entered", "_limits", "_nodes", "_work")

    def __init__(self, compiler: Compiler, limits: ProcessingLimits, work: WorkBudget) -> None:
        self._compiler = compiler
        self._limits = limits
        self._nodes = 0
        self._work = work
        self._entered: dict[tuple[int, int], ActiveContext] = {}

    def compact(self, expanded: list[Any], context: ContextValue) -> JsonObject:
        """Compact a whole document.

        Raises:
            NotCovered: The tables do not say how.
            ContextNeeded, LimitExceeded: As documented for `apcore.jsonld.compact`.
        """
        if type(expanded) is not list or len(expanded) > 1 or context is None:
            raise NotCovered
        active = self._compiler.own(context)
        members: JsonObject = {}
        if expanded:
            node: Json = expanded[0]
            if (
                type(node) is not dict
                or _is_reference(node)
                or not node.keys().isdisjoint(("@value", "@list", "@graph"))
            ):
                raise NotCovered
            members = self._node(node, active, None, self._limits.depth_max)
        parts: list[Any] = context if type(context) is list else [context]
        said = [part for part in parts if part != {}]
        if not said:
            return members
        return {"@context": said[0] if len(said) == 1 else said, **members}

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _node(self, node: JsonObject, active: ActiveContext, name: str | None, depth: int) -> JsonObject:
        """Say a node, which is a value of the term ``name``."""
        self._count(depth)
        self._work.spend(2 * len(node) + 2)
        outer = active
        if active.has_scoped or active.previous is not None:
            outer, active = self._enter(node, active, name)
        words = inverse_of(active)
        said: JsonObject = {}
        iri: str
        values: Json
        for iri, values in node.items():
            if iri[:1] == "@":
                self._keyword(iri, values, said, words, outer)
            elif type(values) is not list:
                raise NotCovered
            elif values:
                self._property(iri, values, said, words, depth)
            else:
                said[_fresh(said, words.word(iri))] = []
        return said

    def _count(self, depth: int) -> None:
        if depth <= 0:
            raise LimitExceeded(f"a document nested deeper than {self._limits.depth_max} levels (depth_max)")
        self._nodes += 1
        if self._nodes > self._limits.nodes_max:
            raise LimitExceeded(f"a document of more than {self._limits.nodes_max} objects and arrays (nodes_max)")

    def _property(self, iri: str, values: list[Json], said: JsonObject, words: Inverse, depth: int) -> None:
        """Say the values of the property ``iri``: the most frequent kinds on a short way, the others through `_add`."""
        entry = words.entries.get(iri)
        own: set[str] = set()
        """The names that the values went under: usually one."""
        self._work.spend(2 * len(values))
        for value in values:
            name: str | None = None
            content: Json = None
            if entry is None or type(value) is not dict:
                pass
            elif "@value" in value:
                content = value["@value"]
                if type(content) in _SCALARS:
                    name = entry.bare if len(value) == 1 else _datatype_term(entry, value)
            elif len(value) == 1 and "@id" in value:
                name = entry.reference
                content = words.identifier(value["@id"])
            elif entry.node is not None and value.keys().isdisjoint(_NO_NODE):
                name = entry.node
                content = self._node(value, words.active, name, depth - 1)
            if name is None:
                self._add(iri, value, said, words, own=own, depth=depth)
            elif name not in said:
                own.add(name)
                said[name] = content
            elif name in own:
                _append(said, name, content, as_array=False)
            else:
                raise NotCovered

    def _add(self, iri: str, value: Json, said: JsonObject, words: Inverse, *, own: set[str], depth: int) -> None:
        """Say one value of the property ``iri``; ``own`` are the names that its other values went under."""
        if type(value) is not dict:
            raise NotCovered
        name = words.property(iri, value)
        if name not in own:
            own.add(_fresh(said, name))
        term = words.terms.get(name)
        container = () if term is None else term.container
        as_array = "@set" in container
        if "@list" in value:
            members = self._members(value, "@list", name, words, depth)
            if "@list" in container:
                said[name] = members  # a second list under one term replaces the first: so does PyLD
            else:
                _append(said, name, {words.alias("@list"): members}, as_array=as_array)
        elif "@graph" in value:
            members = self._members(value, "@graph", name, words, depth)
            if "@graph" not in container or len(members) != 1:
                raise NotCovered
            _append(said, name, members[0], as_array=as_array)
        elif "@language" in container:
            text = self._value(value, name, words, depth)
            if type(text) is dict and "@value" in text:
                text = text["@value"]
            by_language: JsonObject = said.setdefault(name, {})
            _append(by_language, value.get("@language") or words.alias("@none"), text, as_array=as_array)
        elif "@list" in container or "@graph" in container:
            raise NotCovered
        else:
            _append(said, name, self._value(value, name, words, depth), as_array=as_array)

    def _members(self, value: JsonObject, keyword: str, name: str, words: Inverse, depth: int) -> list[Any]:
        """Say the members of a list, or of a graph."""
        members: Json = value[keyword]
        if type(members) is not list or len(value) != 1:
            raise NotCovered
        if len(members) > self._limits.array_max:
            raise LimitExceeded(
                f"an array of {len(members)} members; the limit is {self._limits.array_max} (array_max)"
            )
        self._work.spend(2 * len(members))
        said: list[Any] = []
        member: Json
        for member in members:
            if type(member) is not dict or "@list" in member or "@graph" in member:
                raise NotCovered
            said.append(self._value(member, name, words, depth - 1))
        return said

    # --- values -----------------------------------------------------------------------------------------------------

    def _value(self, value: JsonObject, name: str, words: Inverse, depth: int) -> Json:
        """Say a value of the term ``name``: a literal, a reference or a node."""
        if "@value" not in value and not _is_reference(value):
            return self._node(value, words.active, name, depth - 1)
        term = words.terms.get(name)
        if term is not None and term.scoped is not UNSET:
            words = inverse_of(self._scoped(words.active, term, of_type=False))
            if words.terms.get(name) is not term:
                raise NotCovered
        return self._leaf(value, term, words)

    def _leaf(self, value: JsonObject, term: Term | None, words: Inverse) -> Json:
        """Say a literal or a reference: shortly if ``term`` says the rest, as an object otherwise."""
        if "@value" in value:
            return self._literal(value, term, words)
        coercion = None if term is None else term.type
        if term is not None and term.iri is not None and term.iri[:1] == "@":
            raise NotCovered
        if coercion == "@id":
            return words.identifier(value["@id"])
        if coercion == "@vocab":
            return words.word(value["@id"])
        return {words.alias("@id"): words.identifier(value["@id"])}

    def _literal(self, value: JsonObject, term: Term | None, words: Inverse) -> Json:
        content: Json = value["@value"]
        if type(content) not in _SCALARS:
            raise NotCovered
        coercion = None if term is None else term.type
        default = words.active.language
        if len(value) == 1:
            if coercion != "@none" and (
                default is None or type(content) is not str or (term is not None and term.language is None)
            ):
                return content
            return {words.alias("@value"): content}
        if value.keys() not in _LITERALS:
            raise NotCovered
        if "@type" in value:
            datatype: Json = value["@type"]
            if type(datatype) is not str or datatype[:1] == "@":
                raise NotCovered
            if datatype == coercion:
                return content
            return {words.alias("@type"): words.word(datatype), words.alias("@value"): content}
        expected = default if term is None or isinstance(term.language, Unset) else term.language
        if coercion != "@none" and value["@language"] == expected:
            return content
        return {words.alias("@language"): value["@language"], words.alias("@value"): content}

    # --- keywords and contexts --------------------------------------------------------------------------------------

    def _keyword(self, keyword: str, value: Json, said: JsonObject, words: Inverse, outer: ActiveContext) -> None:
        if keyword == "@id":
            said[_fresh(said, words.alias("@id"))] = words.identifier(value)
        elif keyword == "@type" and type(value) is list:
            # Types are said in the context around them, not in the one that they bring along.
            names = inverse_of(outer)
            types = [names.word(type_) for type_ in value]
            said[_fresh(said, words.alias("@type"))] = types[0] if len(types) == 1 else types
        else:
            raise NotCovered

    def _enter(self, node: JsonObject, active: ActiveContext, name: str | None) -> tuple[ActiveContext, ActiveContext]:
        """Enter the contexts of the property ``name`` and of the types; answer also the one in which types are said."""
        outer = self._enter_property(active, active, name)
        active = self._enter_property(outer, outer.previous or outer, name)
        types: Json = node.get("@type", [])
        if type(types) is not list or not all(type(type_) is str for type_ in types):
            raise NotCovered
        words = inverse_of(active)
        for type_ in sorted(types):
            term = outer.terms.get(words.word(type_))
            if term is not None and term.scoped is not UNSET:
                active = self._scoped(active, term, of_type=True)
        return outer, active

    def _enter_property(self, defining: ActiveContext, active: ActiveContext, name: str | None) -> ActiveContext:
        term = None if name is None else defining.terms.get(name)
        if term is None or term.scoped is UNSET:
            return active
        return self._scoped(active, term, of_type=False)

    def _scoped(self, active: ActiveContext, term: Term, *, of_type: bool) -> ActiveContext:
        """Enter the context of a property or of a type."""
        place = (active.serial, 2 * id(term) + of_type)
        known = self._entered.get(place)
        if known is None:
            known = self._compiler.scoped(active, term.scoped, self._work, of_type=of_type)
            self._work.spend(2 * len(known.terms))  # its inverse has to be made, too
            self._entered[place] = known
        return known


# --- leaves ---------------------------------------------------------------------------------------------------------


def _is_reference(value: JsonObject) -> bool:
    return len(value) == 1 and "@id" in value


def _datatype_term(entry: Entry, value: JsonObject) -> str | None:
    """Return the term that says the datatype of ``value``, if that is all that it has besides its content."""
    datatype: Json = value.get("@type")
    return entry.by_datatype.get(datatype) if len(value) == 2 and type(datatype) is str else None


def _fresh(said: JsonObject, name: str) -> str:
    """Return ``name`` if it is free: two properties under one name would have to be merged, in an order."""
    if name in said:
        raise NotCovered
    return name


def _append(said: JsonObject, name: str, value: Json, *, as_array: bool) -> None:
    if name not in said:
        said[name] = [value] if as_array else value
    elif type(said[name]) is list:
        said[name].append(value)
    else:
        said[name] = [said[name], value]
