"""Process documents with PyLD: the slow path, for documents that the tables do not cover exactly.

Only this module imports PyLD, and only on first use: most processes never need it. Each expensive step of PyLD is
metered: it spends from the document's `WorkBudget` before it runs, so that a document built to be slow is refused. All
exceptions of PyLD become errors of `apcore.errors`. PyLD fetches nothing: contexts come from the `ContextTable`.

Each call has its own resolver, so that one document cannot influence the next through a cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final, NoReturn, cast

from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from apcore.jsonld.cache import Memory
from apcore.jsonld.compiler import has_no_references
from apcore.jsonld.limits import IRI_CHARS_MAX, ProcessingLimits
from apcore.jsonld.parser import Json, check_size, copy_json
from apcore.jsonld.tables import ContextTable, ContextValue, count_terms
from apcore.jsonld.work import WorkBudget, content_key

__all__ = ["slow_compact", "slow_expand"]


def slow_expand(
    document: Json,
    *,
    contexts: ContextTable,
    limits: ProcessingLimits,
    base: str | None,
    expand_context: ContextValue,
    work: WorkBudget,
) -> list[Any]:
    """Expand ``document`` with PyLD."""
    _check(document, limits, work)
    options: dict[str, Any] = _options(contexts, base, work)
    if expand_context is not None:
        options["expandContext"] = expand_context
    expanded = cast("list[Any]", _call(contexts, work, "expand", document, options))
    _drop_null_types(expanded)
    return expanded


def _drop_null_types(expanded: list[Any]) -> None:
    """Remove the nulls that PyLD leaves in ``@type`` for types defined as null. Other code does not expect them.

    A reference defined as null stays ``{"@id": null}``, as the JSON-LD test suite requires.
    """
    stack: list[Json] = [expanded]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            stack += value.values()
            types: Json = value.get("@type")
            if isinstance(types, list) and None in types:
                value["@type"] = [type_ for type_ in types if type_ is not None]
                if not value["@type"]:
                    del value["@type"]


def slow_compact(
    expanded: list[Any],
    context: ContextValue,
    *,
    contexts: ContextTable,
    limits: ProcessingLimits,
    base: str | None,
    compact_arrays: bool,
    work: WorkBudget,
) -> dict[str, Any]:
    """Compact ``expanded`` (in expanded form) with PyLD."""
    _check(expanded, limits, work)
    options: dict[str, Any] = _options(contexts, base, work)
    options |= {"skipExpansion": True, "compactArrays": compact_arrays}
    compacted: Json = _call(contexts, work, "compact", copy_json(expanded), copy_json(context), options)
    if not isinstance(compacted, dict):
        raise DocumentError("not in expanded form")
    return compacted


# --- leaves ---------------------------------------------------------------------------------------------------------


def _pyld() -> Any:
    # Imported by name: PyLD has no types, and type checkers must pass without it being installed.
    return import_module("pyld")


def _options(contexts: ContextTable, base: str | None, work: WorkBudget) -> dict[str, Any]:
    def load(url: str, _options: object) -> dict[str, Any]:
        context = contexts.get(url)
        terms = count_terms(context)
        work.spend(terms)
        if work.steps_left < _STEPS_OF_A_DEFINITION * terms:
            work.refuse()  # The budget cannot pay for defining these terms: refuse before the work is done.
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": {"@context": copy_json(context)},
        }

    resolver = _pyld().ContextResolver({}, load)
    # Pass `base` even if it is None: PyLD's default would resolve relative references against example.org.
    return {"base": base, "documentLoader": load, "contextResolver": resolver}


def _call(contexts: ContextTable, work: WorkBudget, function: str, *arguments: Any) -> Any:
    processor = _pyld().jsonld.JsonLdProcessor()
    _cache_own_contexts(processor, contexts)
    _Meter(work).attach(processor, arguments[-1]["contextResolver"])
    try:
        with warnings.catch_warnings():
            # PyLD warns about terms like "@foo". They come from a peer, so the operator can do nothing about them.
            warnings.simplefilter("ignore", SyntaxWarning)
            return getattr(processor, function)(*arguments)
    except RecursionError:
        raise LimitExceeded("a document nested too deeply to be processed") from None
    except Exception as error:
        _translate(error)


def _cache_own_contexts(processor: Any, contexts: ContextTable) -> None:
    """Let ``processor`` reuse the processed contexts of apcore and the application.

    PyLD calls ``process_context`` for the context to expand with and the context to compact to. It processes contexts
    of documents with another method. A context without addresses has the same result for every document.
    """
    process = processor.process_context

    def process_context(active: Any, context: ContextValue, options: dict[str, Any]) -> Any:
        if options["base"] is not None or not has_no_references(context):
            return process(active, copy_json(context), options)
        memory = cast("Memory[Any]", contexts.shared.setdefault("own contexts, slow path", Memory[Any](_OWN_MAX)))
        key = content_key(context)
        processed = memory.get(key)
        if processed is None:
            unmetered = _pyld().jsonld.JsonLdProcessor()
            resolver = _pyld().ContextResolver({}, options["documentLoader"])
            processed = unmetered.process_context(active, copy_json(context), {**options, "contextResolver": resolver})
            memory.put(key, processed)
        return processed

    processor.process_context = process_context


_OWN_MAX: Final = 16
_STEPS_OF_A_DEFINITION: Final = 8
_MAPPINGS_IN_A_STEP: Final = 8
"""Definitions that PyLD copies, freezes or searches in one step."""
_CHARS_IN_A_STEP: Final = 6
"""Characters of addresses that PyLD resolves in one step. It processes them one by one."""


class _Meter:
    """Spends steps from a budget for each method call of a PyLD processor, before the call.

    PyLD has no hook for this, so the methods of one processor are wrapped. The prices are measured, in microseconds.
    Methods without a wrapper take time in proportion to those with one.
    """

    def __init__(self, work: WorkBudget) -> None:
        self._work = work
        self._chain = 0
        self._inverted: set[str] = set()
        self._largest = 0
        """The number of definitions in the largest context so far."""

    def attach(self, processor: Any, resolver: Any) -> None:
        """Wrap the methods of ``processor`` and of ``resolver``, its context resolver."""
        spend = self._work.spend
        self._wrap(processor, "_expand_iri", self._before_expand_iri)
        self._wrap(processor, "_clone_active_context", self._before_clone)
        self._wrap(processor, "_compact_iri", self._before_search)
        self._wrap(processor, "_get_inverse_context", self._before_inversion)
        self._wrap(processor, "_process_context", lambda *_, **__: spend(8))
        self._wrap(processor, "_expand_object", lambda *_, **__: spend(8))
        self._wrap(processor, "_expand_value", lambda *_, **__: spend(4))
        self._wrap(processor, "_compact_value", lambda *_, **__: spend(5))
        self._wrap(resolver, "resolve", self._before_resolve)
        self._wrap_by_result(resolver, "resolve", 1)
        for name, price in (("_expand", 5), ("_expand_language_map", 2), ("_expand_index_map", 4), ("_compact", 8)):
            self._wrap_by_result(processor, name, price)
        self._wrap_definition(processor)

    def _wrap(self, holder: Any, name: str, before: Callable[..., None]) -> None:
        method = getattr(holder, name)

        def metered(*args: Any, **kwargs: Any) -> Any:
            before(*args, **kwargs)
            return method(*args, **kwargs)

        setattr(holder, name, metered)

    def _wrap_by_result(self, holder: Any, name: str, price: int) -> None:
        """Wrap a method whose caller iterates over the returned list."""
        method, spend = getattr(holder, name), self._work.spend

        def metered(*args: Any, **kwargs: Any) -> Any:
            spend(price)
            result: Json = method(*args, **kwargs)
            if isinstance(result, list):
                spend(len(result))
            return result

        setattr(holder, name, metered)

    def _wrap_definition(self, processor: Any) -> None:
        """Wrap the method that defines a term. It calls itself for the terms that the definition depends on."""
        name = "_create_term_definition"
        method, work = getattr(processor, name), self._work

        def metered(active: Any, local: Any, term: str, defined: Any, *args: Any, **kwargs: Any) -> None:
            work.spend(_STEPS_OF_A_DEFINITION + len(defined) // 100)
            self._chain += 1
            if self._chain > work.limits.chain_max:
                raise LimitExceeded(
                    f"a context defines {term[:80]!r} by a chain of more than {work.limits.chain_max} terms (chain_max)"
                )
            method(active, local, term, defined, *args, **kwargs)
            self._chain -= 1

        setattr(processor, name, metered)

    # --- prices -----------------------------------------------------------------------------------------------------

    def _before_expand_iri(self, active: Any, value: Any, base: str | None = None, *_: Any, **__: Any) -> None:
        steps = 2
        if base is not None and isinstance(value, str):
            steps += (len(value) + len(base) + len(active.get("@base") or "")) // _CHARS_IN_A_STEP
        self._work.spend(steps)

    def _before_clone(self, active: Any) -> None:
        mappings = len(active["mappings"])
        self._largest = max(self._largest, mappings)
        self._work.spend(8 + mappings // _MAPPINGS_IN_A_STEP)

    def _before_search(self, active: Any, *_: Any, **__: Any) -> None:
        self._work.spend(5 + len(active["mappings"]) // 4)

    def _before_inversion(self, active: Any) -> None:
        if active["_uuid"] not in self._inverted:
            self._inverted.add(active["_uuid"])
            self._work.spend(len(active["mappings"]))

    def _before_resolve(self, _active: Any, context: Any, base: Any, *_: Any, **__: Any) -> None:
        """Spend steps for a context that is about to be resolved.

        PyLD serialises an inline context each time, and searches all terms for protected ones on null.
        """
        steps = 4
        parts: list[Any] = [context]
        for part in parts:  # The loop appends to this list.
            if isinstance(part, list):
                parts += part
            elif isinstance(part, str):
                steps += 3 + (len(part) + len(base or "")) // _CHARS_IN_A_STEP
            elif part is None or part is False:
                steps += 2 + self._largest // _MAPPINGS_IN_A_STEP
            elif hasattr(part, "values"):
                steps += 2 + 2 * len(part)
                parts += [inner for inner in part.values() if isinstance(inner, (dict, list))]
        self._work.spend(steps)


def _translate(error: Exception) -> NoReturn:
    """Raise an apcore error for ``error`` from PyLD: the `ApcoreError` in its chain of causes, or a `DocumentError`."""
    deepest: BaseException = error
    for cause in _causes(error):
        if isinstance(cause, ApcoreError):
            raise cause from None
        deepest = cause
    code = getattr(deepest, "code", None)
    details = deepest.args[0] if deepest.args else type(deepest).__name__
    raise DocumentError(f"not linked data: {code or 'invalid input'}: {str(details)[:200]}") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _check(document: Json, limits: ProcessingLimits, work: WorkBudget) -> None:
    """Refuse a document that is too large for the slow path, before PyLD sees it."""
    nodes = check_size(document, limits)
    if nodes > limits.slow_nodes_max:
        raise LimitExceeded(
            f"a document of {nodes} nodes that only the slow path can read; "
            f"the limit is {limits.slow_nodes_max} (slow_nodes_max)"
        )
    for context in _contexts_in(document):
        try:
            key = content_key(context)
        except ValueError:
            raise DocumentError("not linked data: a context that is not JSON") from None
        work.count_context(context, key)
    _refuse_length(document, limits)
    # PyLD copies every node and every member.
    work.spend(4 * nodes + _members_in(document))


def _refuse_length(document: Json, limits: ProcessingLimits) -> None:
    """Refuse contexts that could expand few words to very many characters; see `IRI_CHARS_MAX`.

    One definition can build on others, of any context around it. So no IRI is longer than all contexts together. With a
    relative ``@vocab`` or ``@base``, IRIs also grow each time that the context is entered, at most once per level.
    """
    chars, times = 0, 1
    parts: list[Json] = list(_contexts_in(document))
    for part in parts:  # The loop appends to this list.
        if isinstance(part, str):
            if len(part) > IRI_CHARS_MAX:
                raise LimitExceeded(f"a context has a word of {len(part)} characters, at most {IRI_CHARS_MAX}")
            chars += len(part)
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            chars += sum(map(len, part))
            if any(isinstance(iri := part.get(name), str) and ":" not in iri for name in ("@vocab", "@base")):
                times = limits.depth_max
    words = _words_in(document) if chars else 0
    if chars * times * words > limits.slow_chars_max:
        raise LimitExceeded(
            f"contexts of {chars} characters for {words} words could expand to {chars * times * words} characters "
            f"on the slow path; the limit is {limits.slow_chars_max} (slow_chars_max)"
        )


def _members_in(document: Json) -> int:
    """Count the members of all objects and arrays."""
    count = 0
    stack: list[Json] = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, (dict, list)):
            members = value.values() if isinstance(value, dict) else value
            count += len(members)
            stack += [member for member in members if isinstance(member, (dict, list))]
    return count


def _words_in(document: Json) -> int:
    count = 0
    stack: list[Json] = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            count += len(value)
            stack += [member for name, member in value.items() if name != "@context"]
        else:
            count += isinstance(value, str)
    return count


def _contexts_in(document: Json) -> Iterator[ContextValue]:
    stack: list[Json] = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if "@context" in value:
                yield value["@context"]
            stack += [member for name, member in value.items() if name != "@context"]
