"""Expand, compact and normalise JSON-LD documents.

Expansion replaces terms with IRIs. ``{"type": "Note", "content": "hi"}`` becomes::

    [
        {
            "@type": ["https://www.w3.org/ns/activitystreams#Note"],
            "https://www.w3.org/ns/activitystreams#content": [{"@value": "hi"}],
        }
    ]

Compaction is the reverse, with a context of your choice. `normalize` does both: it returns the document as if its
author had used your context.
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
    """Expand ``document``: replace its terms with the IRIs that its contexts define.

    Args:
        document: The parsed document. It is not changed, and the result shares nothing with it.
        contexts: The content of the contexts that the document refers to.
        limits: The limits on the size and the cost of the document.
        base: The base of relative references, usually the address of the document. Without a base they stay relative,
            and identify nothing.
        expand_context: A context that is applied before the document's own. Many servers omit the context from
            collection pages and similar documents.
        work: The budget of the document, if other passes over it spend from the same. By default a new one.

    Raises:
        ContextNeeded: The document refers to a context that is not in ``contexts``.
        DocumentError: The document is not JSON-LD.
        LimitExceeded: The document exceeds one of ``limits``.
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
    """Compact ``expanded``: replace its IRIs with the terms of ``context``.

    Args:
        expanded: A document in expanded form, as `expand` returns it. It is not changed.
        context: The context, which becomes the ``@context`` of the result.
        contexts: The content of the addresses in ``context``.
        limits: The limits on the size and the cost of the document.
        base: IRIs below this base become relative. Do not use it for documents that you send.
        compact_arrays: Whether an array of one member is written as that member, as all servers do.
        work: The budget, as for `expand`.

    Raises:
        ContextNeeded: ``context`` refers to a context that is not in ``contexts``.
        DocumentError: ``expanded`` is not in expanded form, or ``context`` cannot express it.
        LimitExceeded: The document exceeds one of ``limits``.
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
    """Expand ``document``, and compact it to ``context``, independently of the context that its author chose.

    The arguments are those of `expand` and `compact`. ``base`` resolves the relative references in ``document``.
    """
    if work is None:
        work = WorkBudget.for_document(document, limits)
    expanded = expand(document, contexts=contexts, limits=limits, base=base, expand_context=expand_context, work=work)
    return compact(expanded, context, contexts=contexts, limits=limits, work=work)


def unknown_terms(expanded: list[Any]) -> frozenset[str]:
    """Return the terms in ``expanded`` that no context defines.

    The Activity Streams context expands an undefined term to a blank node identifier, and this function collects those.
    Without that context, expansion drops undefined terms. If a context was ignored, its terms count as undefined.
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
    """Return the error for a document within the limits that exhausts the stack, because the caller used much of it."""
    return LimitExceeded("a document nested too deeply to be processed")
