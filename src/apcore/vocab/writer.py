"""Write JSON as other servers read it.

Most servers read plain JSON by its terms and never look at the context; some process JSON-LD. The output satisfies
both, and each of these rules exists because some server fails without it:

====================================  ===============================================================================
``@context`` lists the used terms     and no more: the ActivityStreams address alone if that suffices, then addresses,
                                      then inline terms
`PUBLIC` in full                      old Mastodon and Pleroma do not know ``as:Public``, Lemmy neither
arrays, also of one                   ``to``, ``cc``, ``tag``, ``attachment``, items and others: Mastodon, Pixelfed,
                                      BookWyrm iterate
``id``, ``type`` and short names      never ``@id``, ``@type``, ``as:Note`` or full IRIs for well-known terms
no null, no empty strings for ids     Pleroma and Lemmy take null for a wrong type
times in UTC with ``Z``               several servers parse nothing else
no ``bto`` and ``bcc``                at any depth (ActivityPub §6)
no type on endpoints, keys, sources   as in Mastodon: their position tells their type
====================================  ===============================================================================

A received document is written as it came, since its author may have signed it; only ``bto`` and ``bcc`` are removed. To
forward a signed document, send the received bytes instead.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from apcore.jsonld.contexts.activitystreams import ACTIVITYSTREAMS
from apcore.jsonld.tables import BUNDLED
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS, PUBLIC, PUBLIC_FORMS, Namespace
from apcore.vocab.values import is_array, is_object
from apcore.vocab.vocabulary import Words, words_of

if TYPE_CHECKING:
    from apcore.vocab.views import View

__all__ = ["minimal_context", "to_wire", "without_nulls", "without_secrets"]

_SIGNATURES: Final = frozenset({"proof", "signature"})
_SECRET: Final = frozenset({"bto", "bcc"})
_ACTOR_TERMS: Final = frozenset({"actor", "attributedTo", "to", "cc", "audience", "owner", "controller"})
_AUDIENCE: Final = frozenset({"to", "cc", "audience"})


def to_wire(source: View | Document, *, embed_actors: bool = True) -> dict[str, Any]:
    """Return the JSON to send or to serve.

    Args:
        source: A document of our own, or a received one.
        embed_actors: False replaces embedded actors by their ids where the document only refers to them (``actor``,
            ``attributedTo``, audiences), as Mastodon does. An actor that the document describes, as in ``Update``,
            stays.
    """
    document = source if isinstance(source, Document) else source.document
    if not document.reading.made_of:
        return without_secrets(document.to_json())
    tree = _finished(without_secrets(document.tree), embed_actors)
    if "@context" in tree:
        return tree
    return {"@context": minimal_context(Document(tree, tree, document.reading)), **tree}


def without_secrets(tree: dict[str, Any]) -> dict[str, Any]:
    """Copy ``tree`` without ``bto`` and ``bcc``, at any depth."""
    return {name: _without_secrets(value) for name, value in tree.items() if name not in _SECRET}


def without_nulls(tree: dict[str, Any]) -> dict[str, Any]:
    """Copy ``tree`` without nulls, at any depth.

    Nulls in contexts stay, and those in objects with a signature of their own, which covers them.
    """
    if not _SIGNATURES.isdisjoint(tree):
        return tree
    return {
        name: value if name == "@context" else _without_nulls(value)
        for name, value in tree.items()
        if value is not None or name == "@context"
    }


def minimal_context(document: Document) -> Any:
    """Return the ``@context`` for the terms of ``document``: one address, or a list of addresses and inline terms."""
    addresses: list[str] = [AS.context or ""]
    inline: dict[str, Any] = {}
    known_words = document.vocabulary.words
    own_words = _words_of(document.reading.made_of)
    for word in _used(document.words, known_words, own_words):
        if word in ACTIVITYSTREAMS:
            continue
        words = own_words if word in own_words.namespaces else known_words
        namespace, definition = words.namespaces[word], words.context.get(word)
        if namespace.context is not None and _defines(namespace.context, word):
            if namespace.context not in addresses:
                addresses.append(namespace.context)
        elif definition is not None:
            _define(inline, word, definition, namespace)
    if inline:
        return [*addresses, inline]
    return addresses if len(addresses) > 1 else addresses[0]


# --- leaves ---------------------------------------------------------------------------------------------------------


def _without_secrets(value: Any) -> Any:
    if is_object(value):
        return without_secrets(value)
    return [_without_secrets(item) for item in value] if is_array(value) else value


def _without_nulls(value: Any) -> Any:
    if is_object(value):
        return without_nulls(value)
    return [_without_nulls(item) for item in value if item is not None] if is_array(value) else value


def _finished(tree: dict[str, Any], embed_actors: bool) -> dict[str, Any]:
    """Convert the parts that `View` leaves open into the form that peers expect."""
    finished: dict[str, Any] = {}
    for name, value in tree.items():
        if name == "@context" or value is None:
            if name == "@context":
                finished[name] = value
            continue
        if name in _ACTOR_TERMS and not embed_actors:
            value = [_id_of(item) for item in value] if is_array(value) else _id_of(value)  # noqa: PLW2901
        if name in _AUDIENCE:
            value = [_in_full(item) for item in value] if is_array(value) else _in_full(value)  # noqa: PLW2901
        if is_object(value):
            finished[name] = _finished(value, embed_actors)
        elif is_array(value):
            finished[name] = [_finished(item, embed_actors) if is_object(item) else item for item in value]
        else:
            finished[name] = value
    return finished


def _id_of(value: Any) -> Any:
    if not is_object(value):
        return value
    address = value.get("id")
    return address if isinstance(address, str) and address else value


def _in_full(value: Any) -> Any:
    return PUBLIC if isinstance(value, str) and value in PUBLIC_FORMS else value


@lru_cache(maxsize=256)  # keyed by classes of the application, not by anything that a peer sends
def _words_of(views: frozenset[type[View]]) -> Words:
    # Terms of base classes belong to the class that uses them. They are sorted, so that a set of classes always gives
    # the same context.
    lineage = {base for view in views for base in view.lineage()}
    return words_of(tuple(sorted(lineage, key=lambda view: (len(view.__mro__), view.__module__, view.__qualname__))))


def _used(tree: dict[str, Any], known_words: Words, own_words: Words) -> list[str]:
    """Return the terms of ``tree`` that a context must define, in order of appearance."""
    used: dict[str, None] = {}
    nodes: list[Any] = [tree]
    for node in nodes:  # grows during the loop
        if is_array(node):
            nodes.extend(node)
        elif is_object(node) and ("@context" not in node or node is tree):
            declared = node.get("type")
            for name in (*node, *(declared if is_array(declared) else [declared])):
                if isinstance(name, str) and (name in own_words.namespaces or name in known_words.namespaces):
                    used[name] = None
            nodes.extend(node.values())
    return list(used)


def _defines(address: str, word: str) -> bool:
    """Return whether the context at ``address`` defines ``word``.

    A context that is not bundled belongs to the application, and is assumed to define it.
    """
    if address not in BUNDLED:
        return True
    parts: list[Any] = [BUNDLED.get(address)]
    for part in parts:  # grows during the loop
        if is_array(part):
            parts.extend(part)
        elif isinstance(part, str) and part in BUNDLED:
            parts.append(BUNDLED.get(part))
        elif is_object(part) and (
            word in part or any(is_object(term) and word in term.get("@context", {}) for term in part.values())
        ):
            return True
    return False


def _define(inline: dict[str, Any], word: str, definition: Any, namespace: Namespace) -> None:
    iri = definition["@id"] if is_object(definition) else definition
    prefix = namespace.prefix
    if prefix and iri.startswith(namespace.iri):
        if prefix not in ACTIVITYSTREAMS:
            inline.setdefault(prefix, namespace.iri)
        iri = f"{prefix}:{iri[len(namespace.iri) :]}"
    inline[word] = {**definition, "@id": iri} if is_object(definition) and len(definition) > 1 else iri
