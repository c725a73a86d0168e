"""Canonicalise RDF graphs with RDFC-1.0 (formerly URDNA2015).

Equal graphs get the same text, independently of the names of their blank nodes and the order of their statements.
Linked Data signatures and the `*-rdfc-*` cryptosuites sign a hash of that text. The algorithm derives the name of each
blank node from its surroundings:

1. *First degree*: hash the statements about a node, with the node itself written as ``_:a`` and other blank nodes as
   ``_:z``. A hash that no other node has determines the node's position.
2. *N degree*: for nodes with equal hashes, hash the neighbours along every path that leads away from the node, and take
   the least path. The number of paths is factorial in the number of similar nodes: a malicious document of a kilobyte
   can cause hours of work.

So the work of the second part is counted in paths and neighbours. A graph that needs more steps than
`ProcessingLimits.canonical_work_max` is refused. Activities with proofs need almost no such steps. Both parts also
spend from the document's `WorkBudget`.
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
"""The longest path from neighbour to neighbour. The interpreter's stack requires this limit, not the algorithm."""


@frozen
class CanonicalQuads:
    """A graph in its canonical form."""

    nquads: str
    """The statements, sorted, one per line."""
    names: dict[str, str]
    """A map from the original name of each blank node to its canonical name."""


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
    """Return the canonical N-Quads of ``document``.

    Args:
        document: The parsed document, as for `expand`.
        contexts: The content of the contexts that the document refers to.
        limits: The limits on the size and the cost of the document.
        base: The base of relative references.
        expand_context: A context that is applied before the document's own.
        algorithm: The hash that orders blank nodes. All servers in the fediverse use SHA-256.
        work: The budget, as for `expand`.

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

    ``work`` is the budget of the document that they come from. By default only ``limits`` bound the work.

    Raises:
        DocumentError: A quad contains half of a surrogate pair, which has no UTF-8 bytes and so no hash.
        LimitExceeded: More than ``limits.canonical_chars_max`` characters, ``limits.blank_nodes_max`` blank nodes, or
            ``limits.canonical_work_max`` steps.
    """
    # A dict, not a set: its order is fixed, so that the same input always costs the same number of steps.
    distinct = list(dict.fromkeys(quads))
    chars = sum(sum(map(len, quad)) for quad in distinct)
    if chars > limits.canonical_chars_max:
        # Checked before the text is written: quads share their strings in memory, but the text repeats them.
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
        """Name all blank nodes, and return the names (RDFC-1.0 §4.4.3)."""
        nodes_by_hash: dict[str, list[str]] = {}
        for node in self._about:
            first_hash = self._first[node] = self._first_degree(node)
            nodes_by_hash.setdefault(first_hash, []).append(node)
        # Naming a node does not change the first-degree hashes, so that one pass names all nodes with unique hashes.
        for first_hash in sorted(nodes_by_hash):
            if len(nodes_by_hash[first_hash]) == 1:
                self._issue(nodes_by_hash[first_hash][0])
        for first_hash in sorted(nodes_by_hash):
            unnamed = [node for node in nodes_by_hash[first_hash] if node not in self._names]
            paths = [self._n_degree(node, {node: "_:b0"}, 0) for node in unnamed]
            for _, visited in sorted(paths, key=lambda path: path[0]):
                for node in visited:
                    self._issue(node)
        return self._names

    def _issue(self, node: str) -> None:
        if node not in self._names:
            self._names[node] = f"_:c14n{len(self._names)}"

    def _first_degree(self, node: str) -> str:
        lines = [line(_seen_from(node, quad)) for quad in self._about[node]]
        return self._hash("".join(sorted(lines)))

    def _related(self, node: str, visited: dict[str, str]) -> dict[str, list[str]]:
        """Group the blank nodes in statements about ``node`` by a hash of their position there.

        ``visited`` holds the temporary names of the nodes on the path so far.
        """
        groups: dict[str, list[str]] = {}
        for quad in self._about[node]:
            for position, term in (("s", quad.subject), ("o", quad.object), ("g", quad.graph)):
                if term == node or not term.startswith("_:"):
                    continue
                self._spend(1)
                name = self._names.get(term) or visited.get(term) or self._first[term]
                occurrence = f"g{name}" if position == "g" else f"{position}{quad.predicate}{name}"
                digest = self._occurrences.get(occurrence)
                if digest is None:
                    digest = self._occurrences[occurrence] = self._hash(occurrence)
                groups.setdefault(digest, []).append(term)
        return groups

    def _n_degree(self, node: str, visited: dict[str, str], depth: int) -> tuple[str, dict[str, str]]:
        """Hash the surroundings of ``node`` (RDFC-1.0 §4.8.3).

        Return the hash, and the nodes on the path with their temporary names, in the order of the visits.
        """
        if depth > _DEPTH_MAX:
            raise LimitExceeded(f"a graph with similar blank nodes on a path of more than {_DEPTH_MAX} nodes")
        text = ""
        groups = self._related(node, visited)
        for occurrence in sorted(groups):
            least: tuple[str, dict[str, str]] | None = None
            for order in permutations(groups[occurrence]):
                least = self._lesser_path(order, visited, least, depth)
            assert least is not None  # A group has at least one member, and so one order.
            text += occurrence + least[0]
            visited = least[1]
        return self._hash(text), visited

    def _lesser_path(
        self, order: tuple[str, ...], visited: dict[str, str], least: tuple[str, dict[str, str]] | None, depth: int
    ) -> tuple[str, dict[str, str]]:
        """Return the path to the neighbours in ``order``, or ``least`` if that is not greater."""
        self._spend(len(order) + len(visited) // 8)
        visited = visited.copy()
        path = ""
        new_neighbours: list[str] = []
        for neighbour in order:
            if neighbour in self._names:
                path += self._names[neighbour]
            else:
                if neighbour not in visited:
                    visited[neighbour] = f"_:b{len(visited)}"
                    new_neighbours.append(neighbour)
                path += visited[neighbour]
            if least is not None and _is_greater(path, least[0]):
                return least
        for neighbour in new_neighbours:
            digest, visited_below = self._n_degree(neighbour, visited, depth + 1)
            path += f"{visited[neighbour]}<{digest}>"
            visited = visited_below
            if least is not None and _is_greater(path, least[0]):
                return least
        return (path, visited) if least is None or path < least[0] else least

    def _spend(self, steps: int) -> None:
        self._work_left -= steps
        if self._budget is not None:
            self._budget.spend(_STEPS_OF_A_PATH * steps)
        if self._work_left < 0:
            raise LimitExceeded(
                f"a graph of similar blank nodes needs more than {self._work_max} steps (canonical_work_max)"
            )


# --- leaves ---------------------------------------------------------------------------------------------------------


def _hasher(algorithm: CanonicalHash) -> Hasher:
    make: Any = {"sha256": hashlib.sha256, "sha384": hashlib.sha384}.get(algorithm)
    if make is None:
        raise ValueError(f"algorithm is {algorithm!r}: it has to be 'sha256' or 'sha384'")

    def hash_text(text: str) -> str:
        digest: str = make(text.encode("utf-8")).hexdigest()
        return digest

    return hash_text


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


def _is_greater(path: str, least: str) -> bool:
    # RDFC-1.0 §4.8.3 skips a permutation only if both conditions hold.
    return len(path) >= len(least) and path > least
