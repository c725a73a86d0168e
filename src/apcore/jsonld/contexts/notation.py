"""A short notation for contexts: which term means which IRI, of which type, in which container.

A context is a table of facts, and most of its rows differ in one word. Here a row is that word::

    context(
        {"@vocab": "_:"},
        prefixes(as_="https://www.w3.org/ns/activitystreams#"),
        keywords("id type"),
        terms("as", "Note Article"),
        terms("as", "actor object", type_="@id"),
        terms("as", "contentMap=content", container="@language"),
    )

``term=name`` is for a term that is not called like what it means. `context` merges the parts into what a document would call its
``@context``. These tables are compiled like any other context; they differ only in that nobody has to be asked for them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Definitions", "context", "keywords", "prefixes", "terms"]

Definitions = dict[str, Any]
"""Terms and their definitions, as JSON-LD writes them."""


def context(*parts: Definitions) -> Definitions:
    """Merge ``parts``; a term that stands in two of them is a mistake."""
    merged: Definitions = {}
    for part in parts:
        twice = merged.keys() & part.keys()
        if twice:
            raise ValueError(f"terms defined twice: {sorted(twice)}")
        merged |= part
    return merged


def prefixes(**namespaces: str) -> Definitions:
    """Name namespaces; a trailing underscore keeps a name from being a Python keyword."""
    return {name.rstrip("_"): iri for name, iri in namespaces.items()}


def keywords(names: str) -> Definitions:
    """Let ``id`` mean ``@id``, and so on."""
    return {name: f"@{name}" for name in names.split()}


def terms(
    namespace: str,
    words: str,
    *,
    type_: str | None = None,
    container: str | None = None,
    scoped: Definitions | None = None,
) -> Definitions:
    """Define each of ``words`` in ``namespace``, which is a prefix of the same context or an IRI."""
    joiner = "" if "://" in namespace else ":"
    rest: Definitions = {}
    if type_ is not None:
        rest["@type"] = type_
    if container is not None:
        rest["@container"] = container
    if scoped is not None:
        rest["@context"] = scoped
    defined: Definitions = {}
    for word in words.split():
        term, _, name = word.partition("=")
        iri = f"{namespace}{joiner}{name or term}"
        defined[term] = {"@id": iri, **rest} if rest else iri
    return defined
