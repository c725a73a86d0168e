"""Find the statements that a signature over a graph covers, and a document with exactly these statements.

Linked Data signatures and `eddsa-rdfc-2022` sign statements, not text. The same statements can be written as different
trees, and a reader of the tree could then act on a document that its author never wrote: with `@graph`, `@included` or
`@reverse`, under their names or under aliases, another node becomes the top of the document while the signed hash stays
the same. A tree can also contain more than its statements: undefined terms, relative references and index keys are not
statements, so they are not signed.

Therefore three steps come before any hash is compared:

1. A document that can be rearranged is refused: one with those keywords or `@nest`, as received or after expansion
   (which resolves aliases); one with a node that is described in two places; one with more than one top node.
2. Members that are not statements are removed from the result, leaf by leaf. The function that makes the statements to
   be hashed decides. A type that no context defines is a statement about a blank node, but its name is not signed: it
   is hashed, and removed from the result.
3. The rest is compacted with *our* context, and only that is returned.

Contexts come from the given table, never from the network.
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
"""The context of verified documents: ActivityStreams, keys, and the extensions of nearly every server."""

_REARRANGING: Final = frozenset({"@graph", "@included", "@nest", "@reverse"})
# The contexts of proofs put each proof into its own graph. Its statements are hashed, but they are not in the result.
_PROOF: Final = "https://w3id.org/security#proof"
_ANYTHING: Final = "https://apcore.invalid/any"


@frozen(kw_only=True)
class SignedGraph:
    """The statements of a document, and a document with exactly these statements."""

    nquads: str = field(repr=False)
    """The canonical statements, which are hashed."""
    document: JsonObject = field(repr=False)
    """The document in our context. Use it only if the signature over the hash is valid."""


def signed_graph(
    document: JsonObject,
    *,
    contexts: ContextTable = BUNDLED,
    context: ContextValue = OUR_CONTEXT,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    work: WorkBudget | None = None,
) -> SignedGraph:
    """Return the statements of ``document``, and a document in ``context`` that is made from them alone.

    ``work`` is the budget of the document, if other steps spend from it too. By default this call makes its own.

    Raises:
        GraphRestructured: The document can be read as another tree with the same statements.
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
    signed_node = _signed_node(expanded[0], work)
    if signed_node is None:
        raise _restructured("the document is about a relative reference, so nothing of it is signed")
    signed_document = compact([signed_node], context, contexts=contexts, limits=limits, work=work)
    _refuse_keywords({name: value for name, value in signed_document.items() if name != "@context"})
    nquads = canonicalize_quads(quads_of(expanded), limits=limits, work=work).nquads
    return SignedGraph(nquads=nquads, document=signed_document)


def _refuse_keywords(part: Json) -> None:
    """Refuse the keywords anywhere in a document, as names or as definitions of terms. Only a proof may be a graph."""
    stack: list[Json] = [part]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            if not _REARRANGING.isdisjoint(one):
                raise _restructured(f"the document has {', '.join(sorted(_REARRANGING & one.keys()))}")
            if "@context" in one:
                _refuse_in_context(one["@context"])
            stack += [_searched_value(name, value) for name, value in one.items() if name != "@context"]
        elif isinstance(one, list):
            stack += one


def _searched_value(name: str, value: Json) -> Json:
    """Return the part of a value to search for keywords: of a proof's graph, its nodes; else the value itself."""
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
    """Refuse a node with properties in two places: its statements could move to another place in the tree."""
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
"""The work of a check whether a leaf is a statement: it calls the function that makes statements."""


def _signed_node(node: JsonObject, work: WorkBudget) -> JsonObject | None:
    """Return ``node`` with only those members that are statements; None if it cannot be part of a statement."""
    work.spend(_STEPS_OF_A_LEAF * (len(node) + 1))
    signed_members: JsonObject = {}
    if "@id" in node:
        if not isinstance(node["@id"], str) or not _is_statement({"@id": node["@id"]}):
            return None
        signed_members["@id"] = node["@id"]
    for name, values in node.items():
        if name == "@type":
            work.spend(_STEPS_OF_A_LEAF * len(values))
            types = [one for one in values if isinstance(one, str) and one[:2] != "_:" and _is_statement({"@id": one})]
            if types:
                signed_members["@type"] = types
        elif name != _PROOF and not name.startswith(("@", "_:")) and quads_of([{name: [{"@id": _ANYTHING}]}]):
            work.spend(_STEPS_OF_A_LEAF * len(values))
            signed_values = [part for value in values if (part := _signed_value(value, work)) is not None]
            if signed_values:
                signed_members[name] = signed_values
    return signed_members


def _signed_value(value: JsonObject, work: WorkBudget) -> JsonObject | None:
    if "@list" in value:
        work.spend(_STEPS_OF_A_LEAF * len(value["@list"]))
        members = [_signed_value(member, work) for member in value["@list"]]
        # Without one member, the others would move.
        return None if None in members else {"@list": members}
    if "@value" in value:
        signed_members = {name: part for name, part in value.items() if name in {"@value", "@type", "@language"}}
        return signed_members if _is_statement(signed_members) else None
    return _signed_node(value, work)


def _is_statement(leaf: JsonObject) -> bool:
    return bool(quads_of([{"@id": _ANYTHING, _ANYTHING: [leaf]}]))


def _restructured(message: str) -> GraphRestructured:
    return GraphRestructured(
        message, explanation=Explanation(rule="a signature over a graph does not cover the shape of its tree")
    )
