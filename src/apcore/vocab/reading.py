"""From JSON to a `Document`."""

from __future__ import annotations

from typing import Any

from apcore.http.urls import Origin
from apcore.jsonld.limits import DEFAULT_LIMITS, Limits
from apcore.jsonld.parsing import parse_document
from apcore.jsonld.tables import BUNDLED, ContextTable
from apcore.vocab.documents import Document, Reading
from apcore.vocab.vocabulary import Vocabulary

__all__ = ["read_document"]


def read_document(
    source: bytes | dict[str, Any],
    *,
    origin: Origin | None = None,
    vocabulary: Vocabulary | None = None,
    contexts: ContextTable = BUNDLED,
    limits: Limits = DEFAULT_LIMITS,
) -> Document:
    """Read a document.

    Args:
        source: As received, or as parsed by `parse_document`; it must not be changed afterwards.
        origin: Where it was obtained.
        vocabulary: The views that are known; the built-in ones by default.
        contexts: What addresses of contexts stand for. An address that is not there is ignored, and reported in
            `Reading.ignored_contexts`.
        limits: What reading may cost.

    Raises:
        DocumentError: Not a JSON object, or not JSON-LD.
        LimitExceeded: It asks for more than ``limits`` allows.
    """
    del contexts
    tree = parse_document(source, limits=limits) if isinstance(source, bytes) else source
    return Document(tree, tree, Reading(origin=origin, context=tree.get("@context"), vocabulary=vocabulary))
