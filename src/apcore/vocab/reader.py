"""Read JSON into a `Document`.

Nearly every document can be read as plain JSON: its contexts are known, and they define the terms of the vocabulary as
the vocabulary does. This is decided for the whole document (`apcore.vocab.agreement` judges contexts) before any member
is read, so that no two readers see two meanings.

Other documents are translated, by expansion and by compaction to the terms of the vocabulary. A document is translated
if it has:

- a context that defines a term otherwise than the vocabulary, or another name for one of its properties, *and* the
  document uses that term or name;
- a term with a prefix, a full IRI or a JSON-LD keyword (``as:actor``, ``@id``) where it matters;
- a context that changes everything (``@vocab``, ``@base``, null).

In both ways of reading:

- A context that apcore ships, and that comes after ActivityStreams, does not redefine its terms
  (`apcore.vocab.agreement`).
- An unknown context defines nothing, and is reported. A document without context is read with the vocabulary's.
- Undefined terms (``Hashtag`` and ``sensitive`` are common ones) are those of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from apcore.errors import DocumentError
from apcore.http.urls import Origin
from apcore.jsonld.api import normalize
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.parser import parse_document
from apcore.jsonld.tables import BUNDLED, ContextNeeded, ContextTable
from apcore.jsonld.work import WorkBudget, content_key
from apcore.vocab.agreement import Agreement, judge, restore_activitystreams
from apcore.vocab.documents import Document, Reading
from apcore.vocab.values import is_array, is_object
from apcore.vocab.vocabulary import Vocabulary

__all__ = ["read_document"]

# A document in which one of these is doubtful is refused.
_NEVER_OMITTED: Final = frozenset({"id", "type", "@id", "@type"})


def read_document(
    source: bytes | dict[str, Any],
    *,
    origin: Origin | None = None,
    vocabulary: Vocabulary | None = None,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    work: WorkBudget | None = None,
) -> Document:
    """Read a document.

    Args:
        source: As received, or as parsed by `parse_document`; it must not be changed afterwards.
        origin: The origin from which it was obtained.
        vocabulary: The known views; by default the built-in ones.
        contexts: The contexts by address. A missing address is ignored, and reported in `Reading.ignored_contexts`. To
            use that context, fetch it and read the document again.
        limits: The most that reading may cost.
        work: The budget of the document, if other steps spend from it too. By default this call makes its own.

    Raises:
        DocumentError: Not a JSON object, or not JSON-LD.
        LimitExceeded: It costs more than ``limits`` allows.
    """
    tree = parse_document(source, limits=limits) if isinstance(source, bytes) else source
    if vocabulary is None:
        from apcore.vocab.builtin import FEDIVERSE  # Imported on use: not every program needs it.

        vocabulary = FEDIVERSE
    if work is None:
        work = WorkBudget(limits, len(source)) if isinstance(source, bytes) else WorkBudget.for_document(tree, limits)
    contexts = vocabulary.table(contexts)
    verdict = _judge(tree, vocabulary, contexts, work)
    words, ignored, translated = tree, verdict.ignored, not verdict.plain
    if translated:
        words, ignored = _translate(tree, vocabulary, contexts, verdict, work)
    reading = Reading(
        origin=origin,
        context=None if translated else tree.get("@context"),
        ignored_contexts=ignored,
        translated=translated,
        vocabulary=vocabulary,
    )
    return Document(tree, words, reading)


# --- leaves ---------------------------------------------------------------------------------------------------------


@frozen
class _Verdict:
    """The way in which a document can be read."""

    plain: bool
    """Whether it can be read as plain JSON."""
    ignored: tuple[str, ...] = ()
    """Addresses of unknown contexts."""
    without: frozenset[str] | None = None
    """The doubtful members, which are omitted if the document cannot be translated."""
    overridden: bool = False
    """Whether it has shipped contexts after ActivityStreams that would redefine its terms."""


_PLAIN: Final = _Verdict(plain=True)


def _judge(tree: dict[str, Any], vocabulary: Vocabulary, contexts: ContextTable, work: WorkBudget) -> _Verdict:
    nodes, named_contexts, names, types = _survey(tree, vocabulary.words.meanings)
    work.spend(len(nodes) + len(names))
    distinct: dict[bytes, Any] = {}
    for context in named_contexts:
        try:
            distinct.setdefault(content_key(context), context)
        except ValueError:
            raise DocumentError("a context that is not JSON") from None
    for key, context in distinct.items():  # Count all contexts before the first one is judged.
        work.count_context(context, key)
    agreement = _join_agreements([judge(context, key, vocabulary, contexts, work) for key, context in distinct.items()])
    misused, prefixes, ignored = agreement.misused, agreement.prefixes, agreement.ignored
    if agreement.opaque or _is_doubtful(types, misused, prefixes, vocabulary):
        return _Verdict(False, ignored, overridden=agreement.overridden)
    used_terms = set[str]()
    if misused:
        used_terms = {name for node in nodes for name in misused.intersection(node)}
    prefixed_names: set[str] = set()
    if names:
        iris = vocabulary.words.iris
        prefixed_names = {
            name for name in names if name[:1] == "@" or (":" in name and _expand(name, prefixes) in iris)
        }
    if used_terms or prefixed_names:
        return _Verdict(False, ignored, frozenset(used_terms | prefixed_names), agreement.overridden)
    return _Verdict(True, ignored) if ignored else _PLAIN


def _is_doubtful(
    types: list[str], misused: frozenset[str], prefixes: Mapping[str, str], vocabulary: Vocabulary
) -> bool:
    """Return whether a declared type may mean something else than it says."""
    for name in types:  # noqa: SIM110 - every document is tested, and a generator would be half of the cost
        if name in misused or (":" in name and _hides_type(name, prefixes, vocabulary)):
            return True
    return False


def _join_agreements(agreements: list[Agreement]) -> Agreement:
    """Join the verdicts on all contexts of a document, embedded ones too. This errs on the side of translation."""
    if len(agreements) == 1:
        return agreements[0]
    different = list({id(agreement): agreement for agreement in agreements}.values())
    if len(different) == 1:  # The usual case, in which nothing is copied.
        return different[0]
    prefixes: dict[str, str] = {}
    for agreement in different:
        prefixes |= agreement.prefixes
    return Agreement(
        any(agreement.opaque for agreement in different),
        frozenset[str]().union(*(agreement.misused for agreement in different)),
        prefixes,
        tuple(dict.fromkeys(url for agreement in different for url in agreement.ignored)),
        overridden=any(agreement.overridden for agreement in different),
    )


def _survey(
    tree: dict[str, Any], vocabulary_names: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Any], list[str], list[str]]:
    """Visit all objects of ``tree`` once, without recursion. Every document pays for this, so it does little.

    Returns:
        The objects, their contexts, the names of members that are not in ``vocabulary_names``, and the types.
    """
    nodes: list[Any] = [tree]
    contexts: list[Any] = []
    other_names: list[str] = []
    types: list[str] = []
    for node in nodes:  # The list grows during the loop.
        for name, value in node.items():
            if name not in vocabulary_names:
                if name == "@context":
                    # At the top, null is read like an absent context: a sender means no other one.
                    if value is not None or node is not tree:
                        contexts.append(value)
                    continue
                other_names.append(name)
            if type(value) is dict:
                nodes.append(value)
            elif type(value) is list:
                _unpack(value, nodes)
        declared = node.get("type")
        if type(declared) is str:
            types.append(declared)
        elif is_array(declared):
            types += [name for name in declared if isinstance(name, str)]
    return nodes, contexts, other_names, types


def _unpack(array: Any, nodes: list[Any]) -> None:
    """Append the objects in ``array`` and in the arrays inside it."""
    arrays = [array]
    for inner in arrays:
        for item in inner:
            if type(item) is dict:
                nodes.append(item)
            elif type(item) is list:
                arrays.append(item)


def _hides_type(name: str, prefixes: Mapping[str, str], vocabulary: Vocabulary) -> bool:
    """Return whether a type with a prefix is a disguised type of the vocabulary, or only looks like one."""
    if name.partition(":")[0] not in prefixes:
        return False
    view = vocabulary.class_of(name)
    iri = _expand(name, prefixes)
    return iri in vocabulary.words.iris if view is None else iri not in view.type_names


def _expand(name: str, prefixes: Mapping[str, str]) -> str:
    prefix, _, rest = name.partition(":")
    return name if rest[:2] == "//" or prefix not in prefixes else prefixes[prefix] + rest


def _translate(
    tree: dict[str, Any],
    vocabulary: Vocabulary,
    contexts: ContextTable,
    verdict: _Verdict,
    work: WorkBudget,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Translate ``tree`` to the terms of the vocabulary. If it is not JSON-LD, omit its doubtful members instead."""
    context = vocabulary.words.context
    # The contexts of the document that are missing are already known. Normalising finds missing contexts inside others.
    ignored = list(verdict.ignored)
    if ignored:
        contexts = contexts.ignoring(*ignored)
    document = restore_activitystreams(tree, contexts) if verdict.overridden else tree
    while True:
        try:
            words = normalize(
                document, context, contexts=contexts, limits=work.limits, expand_context=context, work=work
            )
        except ContextNeeded as needed:
            if needed.url in ignored or len(ignored) >= work.limits.contexts_max:
                raise
            ignored.append(needed.url)
            contexts = contexts.ignoring(needed.url)
        except DocumentError:
            if verdict.without is None or not verdict.without.isdisjoint(_NEVER_OMITTED):
                raise
            return _without(tree, verdict.without), verdict.ignored
        else:
            words.pop("@context", None)
            return words, tuple(ignored)


def _without(value: Any, names: frozenset[str]) -> Any:
    if is_object(value):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return [_without(item, names) for item in value] if is_array(value) else value
