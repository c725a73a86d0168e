"""Provide a short notation for contexts: terms with their IRIs, types and containers.

A context is a table, and most of its rows differ in one word only. In this notation, such a row is one word::

    context(
        {"@vocab": "_:"},
        prefixes(as_="https://www.w3.org/ns/activitystreams#"),
        keywords("id type"),
        terms("as", "Note Article"),
        terms("as", "actor object", type_="@id"),
        terms("as", "contentMap=content", container="@language"),
    )

``term=name`` defines a term that differs from the name in its IRI. `context` merges the parts into a value for
``@context``. These contexts are compiled like all others; they only need no fetch.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Definitions", "context", "keywords", "prefixes", "terms"]

Definitions = dict[str, Any]
"""Terms and their definitions, in the form of JSON-LD."""


def context(*parts: Definitions) -> Definitions:
    """Merge ``parts``.

    Raises:
        ValueError: Two parts define the same term.
    """
    merged: Definitions = {}
    for part in parts:
        duplicates = merged.keys() & part.keys()
        if duplicates:
            raise ValueError(f"terms defined twice: {sorted(duplicates)}")
        merged |= part
    return merged


def prefixes(**namespaces: str) -> Definitions:
    """Define prefixes. A trailing underscore in a name is removed: it avoids Python keywords, as in ``as_``."""
    return {name.rstrip("_"): iri for name, iri in namespaces.items()}


def keywords(names: str) -> Definitions:
    """Define aliases of keywords: ``id`` for ``@id``, and so on."""
    return {name: f"@{name}" for name in names.split()}


def terms(
    namespace: str,
    words: str,
    *,
    type_: str | None = None,
    container: str | None = None,
    scoped: Definitions | None = None,
) -> Definitions:
    """Define all ``words`` in ``namespace``, which is a prefix of the same context or an IRI."""
    joiner = "" if "://" in namespace else ":"
    rest: Definitions = {}
    if type_ is not None:
        rest["@type"] = type_
    if container is not None:
        rest["@container"] = container
    if scoped is not None:
        rest["@context"] = scoped
    definitions: Definitions = {}
    for word in words.split():
        term, _, name = word.partition("=")
        iri = f"{namespace}{joiner}{name or term}"
        definitions[term] = {"@id": iri, **rest} if rest else iri
    return definitions
