"""Convert expanded documents to RDF: one quad for each statement.

JSON-LD's algorithm first collects the statements about each node in a node map. This module writes each statement
directly into an ordered set of quads, which has the same result. As JSON-LD requires, the result omits relative
references, blank nodes as predicates, and literals with an invalid language tag (N-Quads do not escape the tag).
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final, Literal

from apcore.errors import DocumentError
from apcore.jsonld.api import expand
from apcore.jsonld.jcs import jcs
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.nquads import XSD_STRING, Quad, literal
from apcore.jsonld.parser import Json, JsonObject
from apcore.jsonld.tables import BUNDLED, ContextTable, ContextValue
from apcore.jsonld.work import WorkBudget

__all__ = ["RdfDirection", "quads_of", "to_rdf"]

RdfDirection = Literal["i18n-datatype", "compound-literal"]

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XSD: Final = "http://www.w3.org/2001/XMLSchema#"
_TYPE: Final = f"<{_RDF}type>"
_FIRST: Final = f"<{_RDF}first>"
_REST: Final = f"<{_RDF}rest>"
_NIL: Final = f"<{_RDF}nil>"

# More lenient than RFC 3987. Characters that would end the IRI in N-Quads are refused. Others that the RFC forbids
# ("|", "{") occur in real addresses, and their senders include them when they sign.
_ABSOLUTE: Final = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"#]*(?:#[^\s<>"#]*)?')
_LANGUAGE: Final = re.compile(r"[a-zA-Z]{1,8}(?:-[a-zA-Z0-9]{1,8})*")
_EXPONENT: Final = re.compile(r"(\d)0*E\+?(-?)0*(\d)")


def to_rdf(
    document: Json,
    *,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    base: str | None = None,
    expand_context: ContextValue = None,
    rdf_direction: RdfDirection | None = None,
    generalized: bool = False,
    work: WorkBudget | None = None,
) -> list[Quad]:
    """Convert ``document`` to RDF. The result holds each statement once, in no particular order.

    Args:
        document: The parsed document, as for `expand`.
        contexts: The content of the contexts that the document refers to.
        limits: The limits on the size and the cost of the document.
        base: The base of relative references.
        expand_context: A context that is applied before the document's own.
        rdf_direction: The representation of the base direction of strings. By default it is omitted.
        generalized: Keep blank nodes as predicates, which standard RDF does not allow.
        work: The budget, as for `expand`.

    Raises:
        ContextNeeded, DocumentError, LimitExceeded: As for `expand`.
    """
    expanded = expand(document, contexts=contexts, limits=limits, base=base, expand_context=expand_context, work=work)
    return quads_of(expanded, rdf_direction=rdf_direction, generalized=generalized)


def quads_of(
    expanded: list[Any], *, rdf_direction: RdfDirection | None = None, generalized: bool = False
) -> list[Quad]:
    """Convert ``expanded``, a document in expanded form, to RDF."""
    writer = _Writer(rdf_direction, generalized=generalized)
    try:
        for node in expanded:
            writer.node(node, "")
    except (KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"not in expanded form: {error}") from None
    return list(writer.quads)


class _Writer:
    """Collects quads, and names blank nodes."""

    def __init__(self, rdf_direction: RdfDirection | None, *, generalized: bool) -> None:
        self.quads: dict[Quad, None] = {}
        self._rdf_direction = rdf_direction
        self._generalized = generalized
        self._names: dict[str, str] = {}
        self._iris: dict[str, str | None] = {}
        self._indexes: dict[tuple[str, str], str] = {}
        self._issued = 0

    def node(self, node: JsonObject, graph: str | None) -> str | None:
        """Write the statements about ``node`` in ``graph``, and return its name in RDF, or None if it has none.

        A ``graph`` of None has no name in RDF. Its statements are omitted, but its blank nodes still use up names.
        """
        subject = self._resource(node["@id"]) if "@id" in node else self._new_name()
        for name, values in node.items():
            if name == "@type":
                for type_ in values:
                    self._add(subject, _TYPE, self._resource(type_), graph)
            elif name == "@graph":
                self._graph(values, subject)
            elif name == "@included":
                for included in values:
                    self.node(included, graph)
            elif name == "@reverse":
                self._reverse(values, subject, graph)
            elif name == "@index":
                self._check_index(subject, graph, values)
            elif not name.startswith("@"):
                predicate = self._predicate(name)
                for value in values:
                    self._add(subject, predicate, self._object(value, graph), graph)
        return subject

    def _graph(self, nodes: list[JsonObject], name: str | None) -> None:
        for node in nodes:
            self.node(node, name)

    def _reverse(self, properties: JsonObject, subject: str | None, graph: str | None) -> None:
        for name, nodes in properties.items():
            predicate = self._predicate(name)
            for node in nodes:
                self._add(self.node(node, graph), predicate, subject, graph)

    def _check_index(self, subject: str | None, graph: str | None, index: str) -> None:
        if subject is not None and graph is not None and self._indexes.setdefault((graph, subject), index) != index:
            raise DocumentError("not linked data: conflicting indexes")

    def _add(self, subject: str | None, predicate: str | None, object_: str | None, graph: str | None) -> None:
        if subject is not None and predicate is not None and object_ is not None and graph is not None:
            self.quads[Quad(subject, predicate, object_, graph)] = None

    # --- terms ------------------------------------------------------------------------------------------------------

    def _object(self, value: JsonObject, graph: str | None) -> str | None:
        if "@value" in value:
            return self._literal(value, graph)
        if "@list" in value:
            return self._list(value["@list"], graph)
        return self.node(value, graph)

    def _list(self, members: list[JsonObject], graph: str | None) -> str:
        head = cell = self._new_name() if members else _NIL
        for position, member in enumerate(members, start=1):
            self._add(cell, _FIRST, self._object(member, graph), graph)
            next_cell = self._new_name() if position < len(members) else _NIL
            self._add(cell, _REST, next_cell, graph)
            cell = next_cell
        return head

    def _literal(self, item: JsonObject, graph: str | None) -> str | None:
        value: Json = item["@value"]
        datatype: str | None = item.get("@type")
        if datatype == "@json":
            return literal(jcs(value).decode("utf-8"), datatype=f"{_RDF}JSON")
        if datatype is not None and _ABSOLUTE.fullmatch(datatype) is None:
            return None
        if isinstance(value, bool):
            return literal("true" if value else "false", datatype=datatype or f"{_XSD}boolean")
        if isinstance(value, (int, float)):
            return _number(value, datatype)
        if not isinstance(value, str):
            raise DocumentError("not in expanded form: a value that is not a scalar")
        if "@direction" in item and self._rdf_direction is not None:
            return self._directed(item, graph)
        language: str | None = item.get("@language")
        if language is not None and _LANGUAGE.fullmatch(language) is None:
            return None
        return literal(value, datatype=datatype or XSD_STRING, language=language)

    def _directed(self, item: JsonObject, graph: str | None) -> str | None:
        value: str = item["@value"]
        direction: str = item["@direction"]
        language: str = item.get("@language", "")
        if language and _LANGUAGE.fullmatch(language) is None:
            return None
        if self._rdf_direction == "i18n-datatype":
            return literal(value, datatype=f"https://www.w3.org/ns/i18n#{language}_{direction}")
        subject = self._new_name()
        self._add(subject, f"<{_RDF}value>", literal(value), graph)
        self._add(subject, f"<{_RDF}direction>", literal(direction), graph)
        if language:
            self._add(subject, f"<{_RDF}language>", literal(language), graph)
        return subject

    def _predicate(self, name: str) -> str | None:
        if name.startswith("_:") and not self._generalized:
            return None
        return self._resource(name)

    def _resource(self, name: str | None) -> str | None:
        if name is None:
            return None
        if name.startswith("_:"):
            if name not in self._names:
                self._names[name] = self._new_name()
            return self._names[name]
        if name not in self._iris:
            self._iris[name] = f"<{name}>" if _ABSOLUTE.fullmatch(name) is not None else None
        return self._iris[name]

    def _new_name(self) -> str:
        self._issued += 1
        return f"_:b{self._issued - 1}"


def _number(value: float, datatype: str | None) -> str:
    if not isfinite(value):
        raise DocumentError(f"the number {value} is not JSON")
    double = f"{_XSD}double"
    if datatype == double or abs(value) >= 1e21 or value != int(value):
        return literal(_EXPONENT.sub(r"\1E\2\3", f"{value:1.15E}"), datatype=datatype or double)
    return literal(str(int(value)), datatype=datatype or f"{_XSD}integer")
