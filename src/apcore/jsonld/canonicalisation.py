"""RDFC-1.0 (formerly URDNA2015): one text for one graph, however its blank nodes were named and its statements ordered.

Linked Data signatures and the `*-rdfc-*` cryptosuites sign a hash of that text. The algorithm gives each blank node a name that follows from its
surroundings alone:

1. *First degree*: hash the statements about a node with its own name written ``_:a`` and others ``_:z``. A hash that no other node has
   settles its place.
2. *N degree*: for nodes that still look alike, hash the neighbours by every path that leads away from them, and take the least. The number
   of paths is factorial in how alike they are, and a sender who wants it so needs a kilobyte for hours of work.

Therefore the work of the second part is counted, in paths tried and neighbours met, and a graph that asks for more than
`ProcessingLimits.canonical_work_max` is refused. Activities with proofs need none of it or nearly none. Both parts spend from the document's `WorkBudget`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any, Final, Literal

from attrs import frozen

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.nquads import Quad, line
from apcore.jsonld.parser import Json
from apcore.jsonld.rdf import to_rdf
from apcore.jsonld.tables import BUNDLED, ContextTable, ContextValue
from apcore.jsonld.work import WorkBudget

__all__ = ["CanonicalHash", "CanonicalQuads", "canonicalize", "canonicalize_quads"]

CanonicalHash = Literal["sha256", "sha384"]
Hasher = Callable[[str], str]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STEPS_OF_A_QUAD: Final = 8
_CHARS_IN_A_STEP: Final = 100
_STEPS_OF_A_PATH: Final = 5
_DEPTH_MAX: Final = 100
"""Neighbours of neighbours of ...: the stack of the interpreter, not the algorithm, sets this."""


@frozen
class CanonicalQuads:
    """A graph in its canonical form."""

    nquads: str
    """The statements, one a line, sorted."""
    names: dict[str, str]
    """What each blank node was called, and is called now."""


def canonicalize(
    document: Json,
    *,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    base: str | None = None,
    expand_context: ContextValue = None,
    algorithm: CanonicalHash = "sha256",
    work: WorkBudget | None = None,
) -> str:
    """Return the canonical N-Quads of what ``document`` says.

    Args:
        document: As for `expand`, and so are the arguments up to ``expand_context``.
        contexts: What its contexts stand for.
        limits: What it may cost.
        base: What relative references in it are relative to.
        expand_context: Applied before its own context.
        algorithm: The hash that orders blank nodes. Everything in the network uses SHA-256.
        work: As for `expand`.

    Raises:
        ContextNeeded, DocumentError: As for `expand`.
        LimitExceeded: Also for a graph of too many blank nodes, or of too many that look alike.
    """
    if work is None:
        work = WorkBudget.for_document(document, limits)
    quads = to_rdf(document, contexts=contexts, limits=limits, base=base, expand_context=expand_context, work=work)
    return canonicalize_quads(quads, limits=limits, algorithm=algorithm, work=work).nquads


def canonicalize_quads(
    quads: Iterable[Quad],
    *,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    algorithm: CanonicalHash = "sha256",
    work: WorkBudget | None = None,
) -> CanonicalQuads:
    """Return the canonical form of ``quads``.

    ``work`` is the budget of the document that they come from; by default only ``limits`` bound them.

    Raises:
        DocumentError: Something in it is half of a surrogate pair, which has no bytes and so no hash.
        LimitExceeded: More than ``limits.canonical_chars_max`` characters, ``limits.blank_nodes_max`` blank nodes, or
            ``limits.canonical_work_max`` steps.
    """
    # A set by way of a dict, so that the work counted for one input is always the same.
    distinct = list(dict.fromkeys(quads))
    chars = sum(sum(map(len, quad)) for quad in distinct)
    if chars > limits.canonical_chars_max:
        # Before any is written: names are shared here, and are not there.
        raise LimitExceeded(
            f"statements of {chars} characters; the limit is {limits.canonical_chars_max} (canonical_chars_max)"
        )
    if work is not None:
        work.spend(_STEPS_OF_A_QUAD * len(distinct) + chars // _CHARS_IN_A_STEP)
    for quad in distinct:
        _refuse_half_pairs(quad)
    graph = _Graph(distinct, limits, algorithm, work)
    names = graph.name()
    return CanonicalQuads("".join(sorted([line(_renamed(quad, names)) for quad in graph.quads])), names)


def _refuse_half_pairs(quad: Quad) -> None:
    for term in quad:
        if not term.isascii() and _SURROGATE.search(term) is not None:
            raise DocumentError("a statement contains half of a surrogate pair, which has no canonical form")


class _Graph:
    def __init__(
        self, quads: list[Quad], limits: ProcessingLimits, algorithm: CanonicalHash, work: WorkBudget | None
    ) -> None:
        self.quads = quads
        self._budget = work
        self._hash = _hasher(algorithm)
        self._work_left = self._work_max = limits.canonical_work_max
        self._names: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._occurrences: dict[str, str] = {}
        self._about: dict[str, list[Quad]] = {}
        for quad in quads:
            subject, _, object_, graph = quad
            if subject[0] == "_" or object_[0] == "_" or graph[:1] == "_":
                for term in {subject, object_, graph}:
                    if term[:2] == "_:":
                        self._about.setdefault(term, []).append(quad)
        if len(self._about) > limits.blank_nodes_max:
            raise LimitExceeded(
                f"a graph of {len(self._about)} blank nodes; the limit is {limits.blank_nodes_max} (blank_nodes_max)"
            )

    def name(self) -> dict[str, str]:
        """Name every blank node (RDFC-1.0 §4.4.3)."""
        alike: dict[str, list[str]] = {}
        for node in self._about:
            first = self._first[node] = self._first_degree(node)
            alike.setdefault(first, []).append(node)
        # Naming one node changes no first degree hash, so that one pass settles all that are unique.
        for first in sorted(alike):
            if len(alike[first]) == 1:
                self._issue(alike[first][0])
        for first in sorted(alike):
            paths = [self._n_degree(node, {node: "_:b0"}, 0) for node in alike[first] if node not in self._names]
            for _, met in sorted(paths, key=lambda path: path[0]):
                for node in met:
                    self._issue(node)
        return self._names

    def _issue(self, node: str) -> None:
        if node not in self._names:
            self._names[node] = f"_:c14n{len(self._names)}"

    def _first_degree(self, node: str) -> str:
        lines = [line(_seen_from(node, quad)) for quad in self._about[node]]
        return self._hash("".join(sorted(lines)))

    def _related(self, node: str, met: dict[str, str]) -> dict[str, list[str]]:
        """Group the blank nodes in statements about ``node`` by a hash of how they occur there."""
        groups: dict[str, list[str]] = {}
        for quad in self._about[node]:
            for position, term in (("s", quad.subject), ("o", quad.object), ("g", quad.graph)):
                if term == node or not term.startswith("_:"):
                    continue
                self._work(1)
                called = self._names.get(term) or met.get(term) or self._first[term]
                how = f"g{called}" if position == "g" else f"{position}{quad.predicate}{called}"
                hashed = self._occurrences.get(how)
                if hashed is None:
                    hashed = self._occurrences[how] = self._hash(how)
                groups.setdefault(hashed, []).append(term)
        return groups

    def _n_degree(self, node: str, met: dict[str, str], depth: int) -> tuple[str, dict[str, str]]:
        """Hash the surroundings of ``node`` (RDFC-1.0 §4.8.3); answer also who was met on the way, in order."""
        if depth > _DEPTH_MAX:
            raise LimitExceeded(f"a graph whose blank nodes look alike over more than {_DEPTH_MAX} steps")
        text = ""
        groups = self._related(node, met)
        for how in sorted(groups):
            chosen: tuple[str, dict[str, str]] | None = None
            for order in permutations(groups[how]):
                chosen = self._try(order, met, chosen, depth)
            assert chosen is not None  # a group has a member, and so at least one order
            text += how + chosen[0]
            met = chosen[1]
        return self._hash(text), met

    def _try(
        self, order: tuple[str, ...], met: dict[str, str], chosen: tuple[str, dict[str, str]] | None, depth: int
    ) -> tuple[str, dict[str, str]]:
        """Walk to the neighbours in ``order``; answer that path, or ``chosen`` if it is not greater."""
        self._work(len(order) + len(met) // 8)
        met = met.copy()
        path = ""
        visit: list[str] = []
        for neighbour in order:
            if neighbour in self._names:
                path += self._names[neighbour]
            else:
                if neighbour not in met:
                    met[neighbour] = f"_:b{len(met)}"
                    visit.append(neighbour)
                path += met[neighbour]
            if chosen is not None and _beyond(path, chosen[0]):
                return chosen
        for neighbour in visit:
            hashed, met_there = self._n_degree(neighbour, met, depth + 1)
            path += f"{met[neighbour]}<{hashed}>"
            met = met_there
            if chosen is not None and _beyond(path, chosen[0]):
                return chosen
        return (path, met) if chosen is None or path < chosen[0] else chosen

    def _work(self, steps: int) -> None:
        self._work_left -= steps
        if self._budget is not None:
            self._budget.spend(_STEPS_OF_A_PATH * steps)
        if self._work_left < 0:
            raise LimitExceeded(
                f"a graph of blank nodes that look alike: more than {self._work_max} steps (canonical_work_max)"
            )


# --- leaves ---------------------------------------------------------------------------------------------------------


def _hasher(algorithm: CanonicalHash) -> Hasher:
    make: Any = {"sha256": hashlib.sha256, "sha384": hashlib.sha384}.get(algorithm)
    if make is None:
        raise ValueError(f"algorithm is {algorithm!r}: it has to be 'sha256' or 'sha384'")

    def hashed(text: str) -> str:
        digest: str = make(text.encode("utf-8")).hexdigest()
        return digest

    return hashed


def _seen_from(node: str, quad: Quad) -> Quad:
    subject, predicate, object_, graph = quad
    if subject.startswith("_:"):
        subject = "_:a" if subject == node else "_:z"
    if object_.startswith("_:"):
        object_ = "_:a" if object_ == node else "_:z"
    if graph.startswith("_:"):
        graph = "_:a" if graph == node else "_:z"
    return Quad(subject, predicate, object_, graph)


def _renamed(quad: Quad, names: dict[str, str]) -> Quad:
    subject, predicate, object_, graph = quad
    if subject[0] != "_" and object_[0] != "_" and graph[:1] != "_":
        return quad
    return Quad(names.get(subject, subject), predicate, names.get(object_, object_), names.get(graph, graph))


def _beyond(path: str, chosen: str) -> bool:
    return len(path) >= len(chosen) and path > chosen
