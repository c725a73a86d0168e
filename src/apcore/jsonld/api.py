"""Expansion, compaction and normalisation: the functions that everyone calls.

Expansion replaces words by what they mean: `{"type": "Note", "content": "hi"}` becomes
`[{"@type": ["https://www.w3.org/ns/activitystreams#Note"], "https://...#content": [{"@value": "hi"}]}]`. Compaction is the way back, with a
context of one's choice, and `normalize` is both, one after the other: the document as if its author had used *our* context.
"""

from __future__ import annotations

from typing import Any

from apcore.errors import LimitExceeded
from apcore.jsonld.compaction import Compactor
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.expansion import Expander
from apcore.jsonld.fallback import slow_compact, slow_expand
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.parser import Json, JsonObject
from apcore.jsonld.tables import BUNDLED, ContextTable, ContextValue
from apcore.jsonld.terms import NotCovered
from apcore.jsonld.work import WorkBudget

__all__ = ["compact", "expand", "normalize", "unknown_terms"]


def expand(
    document: Json,
    *,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    base: str | None = None,
    expand_context: ContextValue = None,
    work: WorkBudget | None = None,
) -> list[Any]:
    """Replace the words of ``document`` by the IRIs that they stand for.

    Args:
        document: As parsed; it is not changed, and the result shares nothing with it.
        contexts: What its contexts stand for.
        limits: What it may cost.
        base: What relative references in it are relative to, usually where it came from. Without one they stay relative, and
            are no one's identity.
        expand_context: Applied before the document's own context, or instead if it has none: many servers leave it out
            of collection pages and the like.
        work: The budget of the document, if other passes over it spend from the same; by default it is made for this one.

    Raises:
        ContextNeeded: It refers to a context that is not in ``contexts``.
        DocumentError: It is not JSON-LD.
        LimitExceeded: It asks for more than ``limits`` allows.
    """
    base = base or None
    if work is None:
        work = WorkBudget.for_document(document, limits)
    try:
        return Expander(compiler_of(contexts), limits, base, work).expand(document, expand_context)
    except NotCovered:
        return slow_expand(
            document, contexts=contexts, limits=limits, base=base, expand_context=expand_context, work=work
        )
    except RecursionError:
        raise _nested_too_deeply() from None


def compact(
    expanded: list[Any],
    context: ContextValue,
    *,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    base: str | None = None,
    compact_arrays: bool = True,
    work: WorkBudget | None = None,
) -> JsonObject:
    """Say ``expanded`` in the words of ``context``.

    Args:
        expanded: In expanded form, as `expand` makes it; it is not changed.
        context: Goes into the result as its ``@context``.
        contexts: What the addresses in ``context`` stand for.
        limits: What it may cost.
        base: Absolute IRIs below it become relative. Nobody in the network wants that.
        compact_arrays: Write arrays of one member as that member, as everyone does.
        work: As for `expand`.

    Raises:
        ContextNeeded: ``context`` refers to a context that is not in ``contexts``.
        DocumentError: ``expanded`` is not in expanded form, or cannot be said in ``context``.
        LimitExceeded: It asks for more than ``limits`` allows.
    """
    base = base or None
    if work is None:
        work = WorkBudget.for_document(expanded, limits)
    if compact_arrays and base is None:
        try:
            return Compactor(compiler_of(contexts), limits, work).compact(expanded, context)
        except NotCovered:
            pass
        except RecursionError:
            raise _nested_too_deeply() from None
    return slow_compact(
        expanded, context, contexts=contexts, limits=limits, base=base, compact_arrays=compact_arrays, work=work
    )


def normalize(
    document: JsonObject,
    context: ContextValue,
    *,
    contexts: ContextTable = BUNDLED,
    limits: ProcessingLimits = DEFAULT_LIMITS,
    base: str | None = None,
    expand_context: ContextValue = None,
    work: WorkBudget | None = None,
) -> JsonObject:
    """Say ``document`` in the words of ``context``, whatever words its author chose.

    The arguments are those of `expand` and `compact`; ``base`` resolves what is relative in ``document``.
    """
    if work is None:
        work = WorkBudget.for_document(document, limits)
    expanded = expand(document, contexts=contexts, limits=limits, base=base, expand_context=expand_context, work=work)
    return compact(expanded, context, contexts=contexts, limits=limits, work=work)


def unknown_terms(expanded: list[Any]) -> frozenset[str]:
    """Return the words in ``expanded`` that no context gave a meaning.

    Activity Streams makes blank nodes of such words, which is how they are found; under contexts without it they are gone. Asked
    after a context was ignored, this says which of its terms the document would have used.
    """
    words: set[str] = set()
    stack: list[Json] = [expanded]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            words.update(key[2:] for key in value if key[:2] == "_:")
            types: Json = value.get("@type")
            if isinstance(types, list):
                words.update(type_[2:] for type_ in types if isinstance(type_, str) and type_[:2] == "_:")
            stack += value.values()
    return frozenset(words)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _nested_too_deeply() -> LimitExceeded:
    """Make the error for what the limits allow and the stack does not: the caller is already deep in it."""
    return LimitExceeded("a document nested too deeply to be processed")
