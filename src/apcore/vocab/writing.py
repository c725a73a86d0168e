"""What leaves the machine: JSON as the servers out there read it.

Most servers read plain JSON by its words and never look at the context; some process JSON-LD. What satisfies both is written here, and each
of these is there because someone fails without it:

=====================================  ===========================================================================================
``@context`` says what is used         and no more: the ActivityStreams address alone if that covers it, then addresses, then inline terms
`PUBLIC` in full                       old Mastodon and Pleroma do not know ``as:Public``, Lemmy neither
arrays, also of one                    ``to``, ``cc``, ``tag``, ``attachment``, items and others: Mastodon, Pixelfed, BookWyrm iterate
``id``, ``type`` and short names       never ``@id``, ``@type``, ``as:Note`` or full IRIs for terms that everyone knows
no null, and no empty strings for ids  Pleroma and Lemmy take null for a wrong type
moments in UTC with ``Z``              several parse nothing else
``bto`` and ``bcc`` never              at any depth (ActivityPub §6)
no type on endpoints, keys, sources    Mastodon-shaped: their place says what they are
=====================================  ===========================================================================================

A document that was received is another matter: it is written as it came, since its author may have signed it; only ``bto`` and ``bcc``
are left out. Who forwards something signed sends the bytes that came.
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

__all__ = ["minimal_context", "to_wire", "without_secrets"]

_SECRET: Final = frozenset({"bto", "bcc"})
_WHO: Final = frozenset({"actor", "attributedTo", "to", "cc", "audience", "owner", "controller"})
_AUDIENCE: Final = frozenset({"to", "cc", "audience"})


def to_wire(source: View | Document, *, embed_actors: bool = True) -> dict[str, Any]:
    """Give the JSON to send or to serve.

    Args:
        source: What was made here, or received.
        embed_actors: False replaces actors that are embedded where only *who* is said (``actor``, ``attributedTo``, audiences) by
            their ids, as Mastodon has them. Where an actor is what it is about, as in ``Update``, it stays.
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


def minimal_context(document: Document) -> Any:
    """Give the ``@context`` that the words of ``document`` need: one address, or a list of addresses and inline terms."""
    addresses: list[str] = [AS.context or ""]
    inline: dict[str, Any] = {}
    known = document.vocabulary.words
    made = _words_of(document.reading.made_of)
    for word in _used(document.words, known, made):
        if word in ACTIVITYSTREAMS:
            continue
        words = made if word in made.namespaces else known
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


def _finished(tree: dict[str, Any], embed_actors: bool) -> dict[str, Any]:
    """Bring what `View` leaves open into the shape that peers expect."""
    finished: dict[str, Any] = {}
    for name, value in tree.items():
        if name == "@context" or value is None:
            if name == "@context":
                finished[name] = value
            continue
        if name in _WHO and not embed_actors:
            value = [_id_of(item) for item in value] if is_array(value) else _id_of(value)  # noqa: PLW2901 - the same, shorter
        if name in _AUDIENCE:
            value = [_in_full(item) for item in value] if is_array(value) else _in_full(value)  # noqa: PLW2901 - the same, longer
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


@lru_cache(maxsize=256)  # by the classes of an application's program, not by anything that a peer sends
def _words_of(views: frozenset[type[View]]) -> Words:
    # Words of bases belong to the class that was used; sorted, so that one set of classes gives one context.
    lineage = {base for view in views for base in view.lineage()}
    return words_of(tuple(sorted(lineage, key=lambda view: (len(view.__mro__), view.__module__, view.__qualname__))))


def _used(tree: dict[str, Any], known: Words, made: Words) -> list[str]:
    """Give the words of ``tree`` that a context has to define, in the order of their appearance."""
    used: dict[str, None] = {}
    nodes: list[Any] = [tree]
    for node in nodes:  # which grows meanwhile
        if is_array(node):
            nodes.extend(node)
        elif is_object(node) and ("@context" not in node or node is tree):
            declared = node.get("type")
            for name in (*node, *(declared if is_array(declared) else [declared])):
                if isinstance(name, str) and (name in made.namespaces or name in known.namespaces):
                    used[name] = None
            nodes.extend(node.values())
    return list(used)


def _defines(address: str, word: str) -> bool:
    """Whether the context at ``address`` defines ``word``. One that is not bundled is the application's own, and it should know."""
    if address not in BUNDLED:
        return True
    parts: list[Any] = [BUNDLED.get(address)]
    for part in parts:  # which grows meanwhile
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
