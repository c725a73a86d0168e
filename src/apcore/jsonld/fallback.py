"""The slow path: PyLD, for whatever the tables do not cover exactly.

This is the only file that imports PyLD, and it does so on first use: most processes never need it. What PyLD is given was measured first,
so that a document made to be slow is refused instead. What PyLD raises, whatever it raises, becomes an error of ours; what it would fetch
comes from the `ContextTable`.

Each call has a resolver of its own: nothing that one document leaves behind in a cache is seen by the next.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, NoReturn, cast

from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from apcore.jsonld.limits import IRI_CHARS_MAX, Limits
from apcore.jsonld.parsing import Json, JsonObject, check_size
from apcore.jsonld.tables import Context, ContextTable, count_terms

__all__ = ["slow_compact", "slow_expand"]


def slow_expand(
    document: Json, *, contexts: ContextTable, limits: Limits, base: str | None, expand_context: Context
) -> list[Any]:
    """Expand ``document`` with PyLD."""
    _check(document, contexts, limits)
    options: dict[str, Any] = _options(contexts, base)
    if expand_context is not None:
        options["expandContext"] = copy.deepcopy(expand_context)
    expanded = cast("list[Any]", _call("expand", document, options))
    _drop_null_types(expanded)
    return expanded


def _drop_null_types(expanded: list[Any]) -> None:
    """Take out the nulls that PyLD leaves for types that mean nothing, of which no other reader of an expanded document knows.

    (A reference that means nothing stays ``{"@id": null}``: the test suite of JSON-LD has it so.)
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
    context: Context,
    *,
    contexts: ContextTable,
    limits: Limits,
    base: str | None,
    compact_arrays: bool,
) -> dict[str, Any]:
    """Compact ``expanded``, which is in expanded form, with PyLD."""
    _check(expanded, contexts, limits)
    options: dict[str, Any] = _options(contexts, base)
    options |= {"skipExpansion": True, "compactArrays": compact_arrays}
    compacted: Json = _call("compact", copy.deepcopy(expanded), copy.deepcopy(context), options)
    if not isinstance(compacted, dict):
        raise DocumentError("not in expanded form")
    return compacted


_ADDRESSES_MAX: Final = 10
"""How far contexts that refer to contexts are followed to be counted; PyLD stops there as well."""

# --- leaves ---------------------------------------------------------------------------------------------------------


def _pyld() -> Any:
    # By name: it carries no types, and a checker without it installed has nothing to say about it.
    return import_module("pyld")


def _options(contexts: ContextTable, base: str | None) -> dict[str, Any]:
    def load(url: str, _options: object) -> dict[str, Any]:
        context = copy.deepcopy(contexts.get(url))
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": {"@context": context},
        }

    # `base` None, and not absent: PyLD's own default would make relative references absolute at example.org.
    return {"base": base, "documentLoader": load, "contextResolver": _pyld().ContextResolver({}, load)}


def _call(function: str, *arguments: Any) -> Any:
    try:
        with warnings.catch_warnings():
            # It warns about terms like "@foo", to whoever runs the process; they are a peer's.
            warnings.simplefilter("ignore", SyntaxWarning)
            return getattr(_pyld().jsonld.JsonLdProcessor(), function)(*arguments)
    except RecursionError:
        raise LimitExceeded("a document nested too deeply to be processed") from None
    except Exception as error:
        _translate(error)


def _translate(error: Exception) -> NoReturn:
    """Raise what ``error`` means as an error of ours."""
    deepest: BaseException = error
    for cause in _causes(error):
        if isinstance(cause, ApcoreError):
            raise cause from None
        deepest = cause
    code = getattr(deepest, "code", None)
    what = deepest.args[0] if deepest.args else type(deepest).__name__
    raise DocumentError(f"not linked data: {code or 'invalid input'}: {str(what)[:200]}") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _check(document: Json, contexts: ContextTable, limits: Limits) -> None:
    """Refuse what would take too long: many nodes, or contexts that are applied again and again."""
    nodes = check_size(document, limits)
    if nodes > limits.slow_nodes_max:
        raise LimitExceeded(
            f"a document of {nodes} nodes that only the slow path can read; the limit is {limits.slow_nodes_max} (slow_nodes_max)"
        )
    inline = scoped = applied = 0
    for context in _contexts_in(document):
        for part in _parts(context, contexts, addresses_left=_ADDRESSES_MAX):
            # One more than its terms, so that contexts made of many empty parts count too.
            applied += len(part) + 1
            _refuse_repetition(applied, limits)
        terms = count_terms(context)
        inline += terms
        scoped += terms - _outer_terms(context)
    if inline > limits.terms_max:
        raise LimitExceeded(f"inline contexts define {inline} terms; the limit is {limits.terms_max} (terms_max)")
    _refuse_repetition(applied + scoped * nodes, limits)
    _refuse_length(document, limits)


def _refuse_repetition(applied: int, limits: Limits) -> None:
    if applied > limits.slow_terms_max:
        raise LimitExceeded(
            f"contexts apply more than {limits.slow_terms_max} definitions, on the slow path (slow_terms_max)"
        )


def _refuse_length(document: Json, limits: Limits) -> None:
    """Refuse contexts that could make few words into many characters; see `IRI_CHARS_MAX`.

    A name may be built on another, of any context around it, so that none is longer than all of them together. One that is relative to the
    vocabulary or the base grows each time that its context is entered.
    """
    chars, times = 0, 1
    parts: list[Json] = list(_contexts_in(document))
    for part in parts:  # which grows meanwhile
        if isinstance(part, str):
            if len(part) > IRI_CHARS_MAX:
                raise LimitExceeded(f"a context has a word of {len(part)} characters, at most {IRI_CHARS_MAX}")
            chars += len(part)
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            chars += sum(map(len, part))
            if any(isinstance(place := part.get(name), str) and ":" not in place for name in ("@vocab", "@base")):
                times = limits.depth_max
    if chars and chars * times * _words_in(document) > limits.slow_chars_max:
        raise LimitExceeded(
            f"contexts of {chars} characters for so many words, on the slow path; the limit is {limits.slow_chars_max} (slow_chars_max)"
        )


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


def _outer_terms(context: Context) -> int:
    parts: list[Context] = context if isinstance(context, list) else [context]
    return sum(len(part) for part in parts if isinstance(part, dict))


def _contexts_in(document: Json) -> Iterator[Context]:
    stack: list[Json] = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if "@context" in value:
                yield value["@context"]
            stack += [member for name, member in value.items() if name != "@context"]


def _parts(context: Context, contexts: ContextTable, *, addresses_left: int) -> Iterator[JsonObject]:
    """Answer the definitions in ``context``, and in what it refers to."""
    if isinstance(context, dict):
        yield context
    elif isinstance(context, list):
        for part in context:
            yield from _parts(part, contexts, addresses_left=addresses_left)
    elif isinstance(context, str) and addresses_left > 0 and context in contexts:
        yield {}
        yield from _parts(contexts.get(context), contexts, addresses_left=addresses_left - 1)
