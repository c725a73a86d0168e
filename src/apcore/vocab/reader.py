"""From JSON to a `Document`.

Nearly every document can be read as it stands: its contexts are known, and they mean by our words what we mean. That is decided here for the
document as a whole (`apcore.vocab.agreement` judges contexts), before anybody reads a member, so that no two readers see two meanings.

The others are translated, through expansion and compaction onto the words of the vocabulary. It takes one of these to make a document such:

- a context that defines one of our words otherwise, or another word for one of our meanings, *and* the document uses that word;
- a word with a prefix, a full IRI or a JSON-LD keyword (``as:actor``, ``@id``) where it matters;
- a context that changes everything (``@vocab``, ``@base``, null).

A context that apcore ships and that comes after ActivityStreams does not redefine its words
(`apcore.vocab.agreement`), in both ways of reading.

A context that nobody here knows defines nothing, and is reported; a document without context is read as if it had ours. Words that a
document uses without defining them (many do: ``Hashtag``, ``sensitive``) mean what they mean in ours, in both ways of reading.
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
from apcore.vocab.agreement import Agreement, judge, restored
from apcore.vocab.documents import Document, Reading
from apcore.vocab.values import is_array, is_object
from apcore.vocab.vocabulary import Vocabulary

__all__ = ["read_document"]

# A document in which these are in doubt is not read at all.
_NEVER_LEFT_OUT: Final = frozenset({"id", "type", "@id", "@type"})


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
        origin: Where it was obtained.
        vocabulary: The views that are known; the built-in ones by default.
        contexts: What addresses of contexts stand for. An address that is not there is ignored, and reported in
            `Reading.ignored_contexts`; who would rather fetch it, does so and reads again.
        limits: What reading may cost.
        work: The budget of the document, if more is to be spent from it; by default it is made for this reading.

    Raises:
        DocumentError: Not a JSON object, or not JSON-LD.
        LimitExceeded: It asks for more than ``limits`` allows.
    """
    tree = parse_document(source, limits=limits) if isinstance(source, bytes) else source
    if vocabulary is None:
        from apcore.vocab.builtin import FEDIVERSE  # which not everyone needs

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
    """How a document can be read."""

    plain: bool
    """As it stands."""
    ignored: tuple[str, ...] = ()
    """Addresses of contexts that are not known."""
    without: frozenset[str] | None = None
    """If it cannot be translated: the members that have to be left out so that the others can be read as they stand."""
    overridden: bool = False
    """Whether it names shipped contexts after ActivityStreams that would redefine its words."""


_PLAIN: Final = _Verdict(plain=True)


def _judge(tree: dict[str, Any], vocabulary: Vocabulary, contexts: ContextTable, work: WorkBudget) -> _Verdict:
    nodes, named_contexts, names, types = _survey(tree, vocabulary.words.meanings)
    work.spend(len(nodes) + len(names))
    distinct: dict[bytes, Any] = {}
    for context in named_contexts:
        try:
            distinct.setdefault(content_key(context), context)
        except ValueError:
            raise DocumentError("a context that is no JSON") from None
    for key, context in distinct.items():  # all of them, before the first is judged
        work.count_context(context, key)
    agreed = _joint([judge(context, key, vocabulary, contexts, work) for key, context in distinct.items()])
    misused, prefixes, ignored = agreed.misused, agreed.prefixes, agreed.ignored
    if agreed.opaque or any(
        name in misused or (":" in name and _hides_type(name, prefixes, vocabulary)) for name in types
    ):
        return _Verdict(False, ignored, overridden=agreed.overridden)
    used = set[str]()
    if misused:
        used = {name for node in nodes for name in misused.intersection(node)}
    iris = vocabulary.words.iris
    odd = {name for name in names if name[:1] == "@" or (":" in name and _expand(name, prefixes) in iris)}
    if used or odd:
        return _Verdict(False, ignored, frozenset(used | odd), agreed.overridden)
    return _Verdict(True, ignored) if ignored else _PLAIN


def _joint(agreements: list[Agreement]) -> Agreement:
    """What an embedded context says is held against the whole document: that errs on the side of translation."""
    different = list({id(agreement): agreement for agreement in agreements}.values())
    if len(different) == 1:  # nearly always, and then nothing is copied
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
    tree: dict[str, Any], known: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Any], list[str], list[str]]:
    """Go through ``tree`` once, without recursion. This is done for every document, so it does little.

    Returns:
        What decides how it can be read: its objects, their contexts, names of members that are not in ``known``, and types.
    """
    nodes: list[Any] = [tree]
    contexts: list[Any] = []
    odd: list[str] = []
    types: list[str] = []
    for node in nodes:  # which grows meanwhile
        for name, value in node.items():
            if name not in known:
                if name == "@context":
                    # At the top, null is read like an absent context: a sender means no other one.
                    if value is not None or node is not tree:
                        contexts.append(value)
                    continue
                odd.append(name)
            if type(value) is dict:
                nodes.append(value)
            elif type(value) is list:
                _unpack(value, nodes)
        declared = node.get("type")
        if type(declared) is str:
            types.append(declared)
        elif is_array(declared):
            types += [name for name in declared if isinstance(name, str)]
    return nodes, contexts, odd, types


def _unpack(array: Any, nodes: list[Any]) -> None:
    """Append the objects in ``array`` and in the arrays inside it."""
    arrays = [array]
    for inner in arrays:
        for item in inner:
            if is_object(item):
                nodes.append(item)
            elif is_array(item):
                arrays.append(item)


def _hides_type(name: str, prefixes: Mapping[str, str], vocabulary: Vocabulary) -> bool:
    """Whether a type with a prefix is one of ours that we would not recognise, or looks like one of ours and is not."""
    if name.partition(":")[0] not in prefixes:
        return False
    ours = vocabulary.class_of(name)
    meant = _expand(name, prefixes)
    return meant in vocabulary.words.iris if ours is None else meant not in ours.type_names


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
    """Say ``tree`` in the words of the vocabulary; if it is no JSON-LD, and only then, leave out what is not ours to guess."""
    context = vocabulary.words.context
    # Those that are named at the place of a context are known to be missing; others come to light on the way.
    ignored = list(verdict.ignored)
    if ignored:
        contexts = contexts.ignoring(*ignored)
    document = restored(tree, contexts) if verdict.overridden else tree
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
            if verdict.without is None or not verdict.without.isdisjoint(_NEVER_LEFT_OUT):
                raise
            return _without(tree, verdict.without), verdict.ignored
        else:
            words.pop("@context", None)
            return words, tuple(ignored)


def _without(value: Any, names: frozenset[str]) -> Any:
    if is_object(value):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return [_without(item, names) for item in value] if is_array(value) else value
