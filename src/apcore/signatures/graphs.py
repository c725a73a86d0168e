"""What a signature over a graph says about a tree.

Linked Data signatures, and `eddsa-rdfc-2022`, sign statements. The same statements can be written as different trees, and whoever reads a
document as a tree then acts on something that its author never wrote: with `@graph`, `@included` or `@reverse`, under their names or under
aliases of them, another node becomes the top of the document while the signed hash stays what it was. And a tree can say more than its
statements: what a context does not define, what is relative, what is only an index, is no statement and is not signed.

So three things are done here, and all of them before a hash is compared:

1. What re-arranges is refused: those keywords after expansion, where no alias hides them, and in what came; a node that is described in two
   places; more than one top node.
2. What is not a statement is taken out of what is handed on, leaf by leaf, by asking the same function that makes the statements to be hashed.
   A type that no context defines is a statement about a blank node, whose name is nobody's word: it is hashed, and taken out.
3. What remains is said in *our* context, and only that is handed on.

Contexts come from the table that is given, and never from the network.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.jsonld import (
    BUNDLED,
    DEFAULT_LIMITS,
    ContextTable,
    ContextValue,
    Json,
    JsonObject,
    ProcessingLimits,
    WorkBudget,
    canonicalize_quads,
    compact,
    expand,
    quads_of,
)
from apcore.signatures.errors import Explanation, GraphRestructured

__all__ = ["OUR_CONTEXT", "SignedGraph", "signed_graph"]

OUR_CONTEXT: Final[ContextValue] = [
    "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/v1",
    {
        "Emoji": "toot:Emoji",
        "Hashtag": "as:Hashtag",
        "PropertyValue": "schema:PropertyValue",
        "alsoKnownAs": {"@id": "as:alsoKnownAs", "@type": "@id"},
        "atomUri": "ostatus:atomUri",
        "attributionDomains": {"@id": "toot:attributionDomains", "@type": "@id"},
        "blurhash": "toot:blurhash",
        "conversation": "ostatus:conversation",
        "discoverable": "toot:discoverable",
        "featured": {"@id": "toot:featured", "@type": "@id"},
        "featuredTags": {"@id": "toot:featuredTags", "@type": "@id"},
        "focalPoint": {"@id": "toot:focalPoint", "@container": "@list"},
        "inReplyToAtomUri": "ostatus:inReplyToAtomUri",
        "indexable": "toot:indexable",
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
        "movedTo": {"@id": "as:movedTo", "@type": "@id"},
        "ostatus": "http://ostatus.org#",
        "quoteUrl": "as:quoteUrl",
        "schema": "http://schema.org#",
        "sensitive": "as:sensitive",
        "toot": "http://joinmastodon.org/ns#",
        "value": "schema:value",
        "votersCount": "toot:votersCount",
    },
]
"""The words that a verified document is handed on in: Activity Streams, keys, and what nearly every server adds."""

_REARRANGING: Final = frozenset({"@graph", "@included", "@nest", "@reverse"})
# The contexts of proofs put each into a graph of its own. Statements in there stay there: they are hashed, and not handed on.
_PROOF: Final = "https://w3id.org/security#proof"
_ANYTHING: Final = "https://apcore.invalid/any"


@frozen(kw_only=True)
class SignedGraph:
    """The statements of a document, and a document that says nothing but them."""

    nquads: str = field(repr=False)
    """Canonical: what is hashed."""
    document: JsonObject = field(repr=False)
    """In our words: what may be used if the hash holds."""


def signed_graph(
    document: JsonObject,
    *,
    contexts: ContextTable = BUNDLED,
    context: ContextValue = OUR_CONTEXT,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    work: WorkBudget | None = None,
) -> SignedGraph:
    """Give the statements of ``document`` and the document, in the words of ``context``, that is made of them alone.

    ``work`` is the budget of the document, if more is spent from it; by default it is made for this.

    Raises:
        GraphRestructured: It can be read as another tree with the same statements.
        DocumentError, ContextNeeded, LimitExceeded: As `apcore.jsonld.expand` and `canonicalize`.
    """
    if work is None:
        work = WorkBudget.for_document(document, limits)
    _refuse_keywords(document)
    expanded = expand(document, contexts=contexts, limits=limits, work=work)
    _refuse_keywords(expanded)
    if len(expanded) != 1 or "@value" in expanded[0] or "@list" in expanded[0]:
        raise _restructured(f"the document has {len(expanded)} top nodes")
    _refuse_two_descriptions(expanded[0])
    stated = _stated_node(expanded[0], work)
    if stated is None:
        raise _restructured("the document is about a relative reference, so nothing of it is signed")
    said = compact([stated], context, contexts=contexts, limits=limits, work=work)
    _refuse_keywords({name: value for name, value in said.items() if name != "@context"})
    nquads = canonicalize_quads(quads_of(expanded), limits=limits, work=work).nquads
    return SignedGraph(nquads=nquads, document=said)


def _refuse_keywords(part: Json) -> None:
    """Refuse the keywords anywhere, as names or as what a term in a context stands for; but a proof may be a graph."""
    stack: list[Json] = [part]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            if not _REARRANGING.isdisjoint(one):
                raise _restructured(f"the document has {', '.join(sorted(_REARRANGING & one.keys()))}")
            if "@context" in one:
                _refuse_in_context(one["@context"])
            stack += [_inside(name, value) for name, value in one.items() if name != "@context"]
        elif isinstance(one, list):
            stack += one


def _inside(name: str, value: Json) -> Json:
    """Give what has to be looked at under ``name``: the nodes in a proof's graph, instead of the graph."""
    if name != _PROOF or not isinstance(value, list):
        return value
    return [one["@graph"] if isinstance(one, dict) and one.keys() == {"@graph"} else one for one in value]


def _refuse_in_context(context: Json) -> None:
    stack: list[Json] = [context]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            if one in _REARRANGING:
                raise _restructured(f"a context has a term for {one}")
        elif isinstance(one, dict):
            stack += one.values()
            if not _REARRANGING.isdisjoint(one):
                raise _restructured(f"a context defines by {', '.join(sorted(_REARRANGING & one.keys()))}")
        elif isinstance(one, list):
            stack += one


def _refuse_two_descriptions(root: JsonObject) -> None:
    """Refuse a node that has properties in two places: its statements could be anywhere else in the tree."""
    described: set[str] = set()
    stack: list[Json] = [root]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack += one
        elif isinstance(one, dict):
            name = one.get("@id")
            if isinstance(name, str) and len(one) > 1:
                if name in described:
                    raise _restructured(f"{name[:200]!r} is described in two places")
                described.add(name)
            stack += [value for name, value in one.items() if name != _PROOF]


_STEPS_OF_A_LEAF: Final = 10
"""Whether a leaf is a statement is asked of the function that makes statements."""


def _stated_node(node: JsonObject, work: WorkBudget) -> JsonObject | None:
    """Give ``node`` without what is no statement; None if nothing can be stated of it, or by it."""
    work.spend(_STEPS_OF_A_LEAF * (len(node) + 1))
    kept: JsonObject = {}
    if "@id" in node:
        if not isinstance(node["@id"], str) or not _is_stated({"@id": node["@id"]}):
            return None
        kept["@id"] = node["@id"]
    for name, values in node.items():
        if name == "@type":
            work.spend(_STEPS_OF_A_LEAF * len(values))
            types = [one for one in values if isinstance(one, str) and one[:2] != "_:" and _is_stated({"@id": one})]
            if types:
                kept["@type"] = types
        elif name != _PROOF and not name.startswith(("@", "_:")) and quads_of([{name: [{"@id": _ANYTHING}]}]):
            work.spend(_STEPS_OF_A_LEAF * len(values))
            stated = [statement for value in values if (statement := _stated(value, work)) is not None]
            if stated:
                kept[name] = stated
    return kept


def _stated(value: JsonObject, work: WorkBudget) -> JsonObject | None:
    if "@list" in value:
        work.spend(_STEPS_OF_A_LEAF * len(value["@list"]))
        members = [_stated(member, work) for member in value["@list"]]
        # Leaving out a member would move the others.
        return None if None in members else {"@list": members}
    if "@value" in value:
        kept = {name: part for name, part in value.items() if name in {"@value", "@type", "@language"}}
        return kept if _is_stated(kept) else None
    return _stated_node(value, work)


def _is_stated(leaf: JsonObject) -> bool:
    return bool(quads_of([{"@id": _ANYTHING, _ANYTHING: [leaf]}]))


def _restructured(what: str) -> GraphRestructured:
    return GraphRestructured(
        what, explanation=Explanation(rule="a signature over a graph does not cover the shape of its tree")
    )
