"""What the addresses of contexts stand for.

A `ContextTable` is a value: addresses and what each of them holds. Nothing in this room fetches; a context that is not in the table raises
`ContextNeeded`, and whoever called decides, by policy: take it from a cache, fetch it, or go on without it::

    while True:
        try:
            expanded = expand(document, contexts=table)
        except ContextNeeded as needed:
            table = table.ignoring(needed.url)      # or: table.with_document(needed.url, fetched)
        else:
            break

One context goes by several spellings: ``http`` or ``https``, with a slash, a ``#`` or ``.jsonld`` behind. All of them find the same entry,
for the bundled contexts as for those that an application registers.

Tables share what was compiled from them: deriving a table from another costs nothing that was paid for already.
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
"""What may stand under ``@context``: an address, definitions, several of both, or nothing."""

_NOTHING: Final[JsonObject] = {}
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)


class ContextNeeded(DocumentError):
    """A document refers to a context that is not in the table."""

    reason = "context-needed"

    def __init__(self, url: str) -> None:
        super().__init__(f"the context {url[:200]!r} is not known here")
        self.url: Final = url
        """Its address, as the document spells it, resolved."""


def _canonical(url: str) -> str:
    """Reduce the spellings of one address to one: no scheme, no fragment, no slash and no ``.jsonld`` at the end."""
    address = _SCHEME.sub("//", url, count=1) if url[:4].lower() == "http" else url
    return address.partition("#")[0].rstrip("/").removesuffix(".jsonld")


def names_context(context: ContextValue, url: str) -> bool:
    """Return whether ``context`` is the address ``url`` in any of its spellings, or an array with it."""
    parts: list[Any] = context if isinstance(context, list) else [context]
    canonical = _canonical(url)
    return any(isinstance(part, str) and _canonical(part) == canonical for part in parts)


Entry: TypeAlias = ContextValue | Callable[[], ContextValue]
"""A context; or a function that makes it, always the same, where making it takes a while."""


def _canonical_keys(contexts: Mapping[str, Entry]) -> dict[str, Entry]:
    return {_canonical(url): context for url, context in contexts.items()}


@frozen(eq=False)
class ContextTable:
    """Addresses of contexts, and what they hold."""

    _contexts: Mapping[str, Entry] = field(factory=dict[str, Entry], converter=_canonical_keys)
    _patterns: tuple[tuple[re.Pattern[str], ContextValue], ...] = ()
    shared: dict[str, object] = field(factory=dict[str, object], repr=False)
    """What was compiled from contexts, by content: for this table and those derived from it."""
    compiled: dict[str, object] = field(factory=dict[str, object], init=False, repr=False)
    """What was compiled for this table alone."""

    def get(self, url: str) -> ContextValue:
        """Return what ``url`` holds; whoever gets it must not change it.

        Raises:
            ContextNeeded: It is not in this table.
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
        """Return a table in which ``url`` holds ``context``: definitions of the application's own, as they would stand under ``@context``."""
        return evolve(self, contexts={**self._contexts, url: copy.deepcopy(context)})

    def with_document(
        self, url: str, document: JsonObject, *, limits: ProcessingLimits = DEFAULT_LIMITS
    ) -> ContextTable:
        """Return a table in which ``url`` holds what ``document``, fetched from there, has under ``@context``.

        Raises:
            LimitExceeded: More definitions than ``limits.fetched_terms_max``, one that is too long, or nested too deeply.
        """
        check_size(document, limits)
        context: ContextValue = document.get("@context", {})
        terms = count_terms(context)
        if terms > limits.fetched_terms_max:
            raise LimitExceeded(
                f"the context {url[:200]!r} defines {terms} terms; the limit is {limits.fetched_terms_max} (fetched_terms_max)"
            )
        if (longest := _longest_text(context)) > IRI_CHARS_MAX:
            # Here, so that the document is read without it; where it is used, that would be refused.
            raise LimitExceeded(
                f"the context {url[:200]!r} makes a word into {longest} characters, at most {IRI_CHARS_MAX}"
            )
        return self.with_context(url, context)

    def ignoring(self, *urls: str) -> ContextTable:
        """Return a table in which ``urls`` define nothing: a document that refers to them is read without their terms."""
        return evolve(self, contexts={**self._contexts, **dict.fromkeys(urls, _NOTHING)})


BUNDLED: Final = ContextTable(BUNDLED_CONTEXTS, SERVED_BY_EVERY_HOST)
"""The contexts that real servers refer to."""


def count_terms(context: ContextValue) -> int:
    """Count the definitions in ``context``, those of scoped contexts included."""
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
