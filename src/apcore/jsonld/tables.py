"""Define `ContextTable`, a map from the addresses of contexts to their content.

A table is an immutable value. Nothing in this room fetches: a document that refers to a context outside the table
raises `ContextNeeded`. The caller then decides by its policy: read the context from a cache, fetch it, or ignore it::

    while True:
        try:
            expanded = expand(document, contexts=table)
        except ContextNeeded as needed:
            table = table.ignoring(needed.url)      # or: table.with_document(needed.url, fetched)
        else:
            break

Documents spell the address of one context in several ways: with ``http`` or ``https``, and with a slash, a ``#`` or
``.jsonld`` at the end. All spellings lead to the same entry, for bundled contexts and for those of an application.

A derived table shares the compiled contexts of its origin, so that they are compiled once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld.contexts import BUNDLED_CONTEXTS, SERVED_BY_EVERY_HOST
from apcore.jsonld.limits import DEFAULT_LIMITS, IRI_CHARS_MAX, ProcessingLimits
from apcore.jsonld.parser import Json, JsonObject, check_size

__all__ = ["BUNDLED", "ContextNeeded", "ContextTable", "ContextValue", "count_terms", "names_context"]

ContextValue: TypeAlias = str | JsonObject | list[Any] | None
"""A value of ``@context``: an address, an object of definitions, a list of both, or None."""

_NOTHING: Final[JsonObject] = {}
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)


class ContextNeeded(DocumentError):
    """A document refers to a context that is not in the table."""

    reason = "context-needed"

    def __init__(self, url: str) -> None:
        super().__init__(f"the context {url[:200]!r} is not in the context table")
        self.url: Final = url
        """The address as the document spells it, resolved against its base."""


def _canonical(url: str) -> str:
    """Normalise the spelling of an address: remove the scheme, the fragment, and a slash or ``.jsonld`` at the end."""
    address = _SCHEME.sub("//", url, count=1) if url[:4].lower() == "http" else url
    return address.partition("#")[0].rstrip("/").removesuffix(".jsonld")


def names_context(context: ContextValue, url: str) -> bool:
    """Return whether ``context`` is the address ``url`` in any spelling, or an array that contains it."""
    parts: list[Any] = context if isinstance(context, list) else [context]
    canonical = _canonical(url)
    return any(isinstance(part, str) and _canonical(part) == canonical for part in parts)


Entry: TypeAlias = ContextValue | Callable[[], ContextValue]
"""A context, or a function that returns it (the same one each time) if building it takes long."""


def _canonical_keys(contexts: Mapping[str, Entry]) -> dict[str, Entry]:
    return {_canonical(url): context for url, context in contexts.items()}


@frozen(eq=False)
class ContextTable:
    """An immutable map from the addresses of contexts to their content."""

    _contexts: Mapping[str, Entry] = field(factory=dict[str, Entry], converter=_canonical_keys)
    _patterns: tuple[tuple[re.Pattern[str], ContextValue], ...] = ()
    shared: dict[str, object] = field(factory=dict[str, object], repr=False)
    """Compiled contexts by content, for this table and the tables derived from it."""
    compiled: dict[str, object] = field(factory=dict[str, object], init=False, repr=False)
    """Compiled contexts of this table alone."""

    def get(self, url: str) -> ContextValue:
        """Return the content of ``url``. The caller must not change it.

        Raises:
            ContextNeeded: The address is not in this table.
        """
        canonical = _canonical(url)
        if canonical in self._contexts:
            context = self._contexts[canonical]
            return context() if callable(context) else context
        for pattern, context in self._patterns:
            if pattern.fullmatch(url):
                return context
        raise ContextNeeded(url)

    def __contains__(self, url: str) -> bool:
        return _canonical(url) in self._contexts or any(pattern.fullmatch(url) for pattern, _ in self._patterns)

    def with_context(self, url: str, context: ContextValue) -> ContextTable:
        """Return a table in which ``url`` has the content ``context``: the application's own value for ``@context``."""
        return evolve(self, contexts={**self._contexts, url: copy.deepcopy(context)})

    def with_document(
        self, url: str, document: JsonObject, *, limits: ProcessingLimits = DEFAULT_LIMITS
    ) -> ContextTable:
        """Return a table in which ``url`` has the ``@context`` of ``document``, which was fetched from there.

        Raises:
            LimitExceeded: Over ``limits.fetched_terms_max`` definitions, a text over `IRI_CHARS_MAX`, or a document
                that is nested too deeply.
        """
        check_size(document, limits)
        context: ContextValue = document.get("@context", {})
        terms = count_terms(context)
        if terms > limits.fetched_terms_max:
            raise LimitExceeded(
                f"the context {url[:200]!r} defines {terms} terms; "
                f"the limit is {limits.fetched_terms_max} (fetched_terms_max)"
            )
        if (longest := _longest_text(context)) > IRI_CHARS_MAX:
            # Refused here, the context can be ignored. Refused on use, the whole document would be lost.
            raise LimitExceeded(
                f"the context {url[:200]!r} expands a term to {longest} characters, at most {IRI_CHARS_MAX}"
            )
        return self.with_context(url, context)

    def ignoring(self, *urls: str) -> ContextTable:
        """Return a table in which ``urls`` define nothing: documents that use them are read without their terms."""
        return evolve(self, contexts={**self._contexts, **dict.fromkeys(urls, _NOTHING)})


BUNDLED: Final = ContextTable(BUNDLED_CONTEXTS, SERVED_BY_EVERY_HOST)
"""The contexts that real servers refer to."""


def count_terms(context: ContextValue) -> int:
    """Count the definitions in ``context``, including those of scoped contexts."""
    terms = 0
    stack: list[ContextValue] = [context]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += part
        elif isinstance(part, dict):
            terms += len(part)
            definitions: list[Json] = list(part.values())
            stack += [term["@context"] for term in definitions if isinstance(term, dict) and "@context" in term]
    return terms


def _longest_text(context: ContextValue) -> int:
    longest = 0
    stack: list[Json] = [context]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            longest = max(longest, len(part))
        elif isinstance(part, list):
            stack += part
        elif isinstance(part, dict):
            stack += part.values()
    return longest
