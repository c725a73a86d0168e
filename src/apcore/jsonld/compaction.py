"""Compact documents by table: the fast path of compaction.

`Compactor` walks over the expanded form once. For each value of each property, the `Inverse` selects the term, and the
term determines the form of the value. As in expansion, the result equals PyLD's exactly. PyLD compacts the documents
that the tables do not cover exactly, and reports the errors.
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
    """Compacts one document, and spends the steps from its `WorkBudget`."""

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
            NotCovered: The tables do not cover the document.
            ContextNeeded, LimitExceeded: As documented for `apcore.jsonld.compact`.
        """
        if type(expanded) is not list or len(expanded) > 1 or context is None:
            raise NotCovered
        active = self._compiler.compile_own(context)
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
        contexts = [part for part in parts if part != {}]
        if not contexts:
            return members
        return {"@context": contexts[0] if len(contexts) == 1 else contexts, **members}

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _node(self, node: JsonObject, active: ActiveContext, name: str | None, depth: int) -> JsonObject:
        """Compact a node, a value of the term ``name``."""
        self._count(depth)
        self._work.spend(2 * len(node) + 2)
        outer = active
        if active.has_scoped or active.previous is not None:
            outer, active = self._enter(node, active, name)
        inverse = inverse_of(active)
        result: JsonObject = {}
        iri: str
        values: Json
        for iri, values in node.items():
            if iri[:1] == "@":
                self._keyword(iri, values, result, inverse, outer)
            elif type(values) is not list:
                raise NotCovered
            elif values:
                self._property(iri, values, result, inverse, depth)
            else:
                result[_fresh(result, inverse.word(iri))] = []
        return result

    def _count(self, depth: int) -> None:
        if depth <= 0:
            raise LimitExceeded(f"a document nested deeper than {self._limits.depth_max} levels (depth_max)")
        self._nodes += 1
        if self._nodes > self._limits.nodes_max:
            raise LimitExceeded(f"a document of more than {self._limits.nodes_max} objects and arrays (nodes_max)")

    def _property(self, iri: str, values: list[Json], result: JsonObject, inverse: Inverse, depth: int) -> None:
        """Compact the values of the property ``iri``: the most frequent kinds directly, the others through `_add`."""
        entry = inverse.entries.get(iri)
        own_names: set[str] = set()
        """The terms that the values of this property are stored under: usually one."""
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
                content = inverse.identifier(value["@id"])
            elif entry.node is not None and value.keys().isdisjoint(_NO_NODE):
                name = entry.node
                content = self._node(value, inverse.active, name, depth - 1)
            if name is None:
                self._add(iri, value, result, inverse, own_names=own_names, depth=depth)
            elif name not in result:
                own_names.add(name)
                result[name] = content
            elif name in own_names:
                _append(result, name, content, as_array=False)
            else:
                raise NotCovered

    def _add(
        self, iri: str, value: Json, result: JsonObject, inverse: Inverse, *, own_names: set[str], depth: int
    ) -> None:
        """Compact one value of the property ``iri``. ``own_names`` are the terms that its other values have."""
        if type(value) is not dict:
            raise NotCovered
        name = inverse.property(iri, value)
        if name not in own_names:
            own_names.add(_fresh(result, name))
        term = inverse.terms.get(name)
        container = () if term is None else term.container
        as_array = "@set" in container
        if "@list" in value:
            members = self._members(value, "@list", name, inverse, depth)
            if "@list" in container:
                result[name] = members  # As in PyLD, a second list under one term replaces the first.
            else:
                _append(result, name, {inverse.alias("@list"): members}, as_array=as_array)
        elif "@graph" in value:
            members = self._members(value, "@graph", name, inverse, depth)
            if "@graph" not in container or len(members) != 1:
                raise NotCovered
            _append(result, name, members[0], as_array=as_array)
        elif "@language" in container:
            text = self._value(value, name, inverse, depth)
            if type(text) is dict and "@value" in text:
                text = text["@value"]
            by_language: JsonObject = result.setdefault(name, {})
            _append(by_language, value.get("@language") or inverse.alias("@none"), text, as_array=as_array)
        elif "@list" in container or "@graph" in container:
            raise NotCovered
        else:
            _append(result, name, self._value(value, name, inverse, depth), as_array=as_array)

    def _members(self, value: JsonObject, keyword: str, name: str, inverse: Inverse, depth: int) -> list[Any]:
        """Compact the members of a list or a graph."""
        members: Json = value[keyword]
        if type(members) is not list or len(value) != 1:
            raise NotCovered
        if len(members) > self._limits.array_max:
            raise LimitExceeded(
                f"an array of {len(members)} members; the limit is {self._limits.array_max} (array_max)"
            )
        self._work.spend(2 * len(members))
        values: list[Any] = []
        member: Json
        for member in members:
            if type(member) is not dict or "@list" in member or "@graph" in member:
                raise NotCovered
            values.append(self._value(member, name, inverse, depth - 1))
        return values

    # --- values -----------------------------------------------------------------------------------------------------

    def _value(self, value: JsonObject, name: str, inverse: Inverse, depth: int) -> Json:
        """Compact a value of the term ``name``: a literal, a reference or a node."""
        if "@value" not in value and not _is_reference(value):
            return self._node(value, inverse.active, name, depth - 1)
        term = inverse.terms.get(name)
        if term is not None and term.scoped is not UNSET:
            inverse = inverse_of(self._scoped(inverse.active, term, of_type=False))
            if inverse.terms.get(name) is not term:
                raise NotCovered
        return self._leaf(value, term, inverse)

    def _leaf(self, value: JsonObject, term: Term | None, inverse: Inverse) -> Json:
        """Compact a literal or a reference: to a scalar if ``term`` implies the rest, otherwise to an object."""
        if "@value" in value:
            return self._literal(value, term, inverse)
        coercion = None if term is None else term.type
        if term is not None and term.iri is not None and term.iri[:1] == "@":
            raise NotCovered
        if coercion == "@id":
            return inverse.identifier(value["@id"])
        if coercion == "@vocab":
            return inverse.word(value["@id"])
        return {inverse.alias("@id"): inverse.identifier(value["@id"])}

    def _literal(self, value: JsonObject, term: Term | None, inverse: Inverse) -> Json:
        content: Json = value["@value"]
        if type(content) not in _SCALARS:
            raise NotCovered
        coercion = None if term is None else term.type
        default = inverse.active.language
        if len(value) == 1:
            if coercion != "@none" and (
                default is None or type(content) is not str or (term is not None and term.language is None)
            ):
                return content
            return {inverse.alias("@value"): content}
        if value.keys() not in _LITERALS:
            raise NotCovered
        if "@type" in value:
            datatype: Json = value["@type"]
            if type(datatype) is not str or datatype[:1] == "@":
                raise NotCovered
            if datatype == coercion:
                return content
            return {inverse.alias("@type"): inverse.word(datatype), inverse.alias("@value"): content}
        expected = default if term is None or isinstance(term.language, Unset) else term.language
        if coercion != "@none" and value["@language"] == expected:
            return content
        return {inverse.alias("@language"): value["@language"], inverse.alias("@value"): content}

    # --- keywords and contexts --------------------------------------------------------------------------------------

    def _keyword(self, keyword: str, value: Json, result: JsonObject, inverse: Inverse, outer: ActiveContext) -> None:
        if keyword == "@id":
            result[_fresh(result, inverse.alias("@id"))] = inverse.identifier(value)
        elif keyword == "@type" and type(value) is list:
            # Types are compacted with the context around the node, not with their own scoped contexts.
            outer_inverse = inverse_of(outer)
            types = [outer_inverse.word(type_) for type_ in value]
            result[_fresh(result, inverse.alias("@type"))] = types[0] if len(types) == 1 else types
        else:
            raise NotCovered

    def _enter(self, node: JsonObject, active: ActiveContext, name: str | None) -> tuple[ActiveContext, ActiveContext]:
        """Enter the contexts of the property ``name`` and of the node's types.

        Return the context for the types themselves, and the context for the other members.
        """
        outer = self._enter_property(active, active, name)
        active = self._enter_property(outer, outer.previous or outer, name)
        types: Json = node.get("@type", [])
        if type(types) is not list or not all(type(type_) is str for type_ in types):
            raise NotCovered
        inverse = inverse_of(active)
        for type_ in sorted(types):
            term = outer.terms.get(inverse.word(type_))
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
        key = (active.serial, 2 * id(term) + of_type)
        scoped_context = self._entered.get(key)
        if scoped_context is None:
            scoped_context = self._compiler.scoped(active, term.scoped, self._work, of_type=of_type)
            self._work.spend(2 * len(scoped_context.terms))  # the price of its inverse
            self._entered[key] = scoped_context
        return scoped_context


# --- leaves ---------------------------------------------------------------------------------------------------------


def _is_reference(value: JsonObject) -> bool:
    return len(value) == 1 and "@id" in value


def _datatype_term(entry: Entry, value: JsonObject) -> str | None:
    """Return the term for the datatype of ``value``, if ``value`` has a content and a datatype only."""
    datatype: Json = value.get("@type")
    return entry.by_datatype.get(datatype) if len(value) == 2 and type(datatype) is str else None


def _fresh(result: JsonObject, name: str) -> str:
    """Return ``name`` if no other property has it. The tables do not cover two properties under one name."""
    if name in result:
        raise NotCovered
    return name


def _append(result: JsonObject, name: str, value: Json, *, as_array: bool) -> None:
    if name not in result:
        result[name] = [value] if as_array else value
    elif type(result[name]) is list:
        result[name].append(value)
    else:
        result[name] = [result[name], value]
