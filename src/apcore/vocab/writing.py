"""What leaves the machine: JSON as the servers out there read it."""

from __future__ import annotations

from typing import Any

from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS
from apcore.vocab.values import is_array, is_object
from apcore.vocab.views import View

__all__ = ["minimal_context", "to_wire"]


def to_wire(source: View | Document) -> dict[str, Any]:
    """Give the JSON to send or to serve: what is addressed in secret (``bto``, ``bcc``) is left out at every level."""
    document = source if isinstance(source, Document) else source.document
    return {name: _stripped(value) for name, value in document.to_json().items() if name not in {"bto", "bcc"}}


def minimal_context(document: Document) -> Any:
    """Give the ``@context`` that the words of ``document`` need."""
    del document
    return AS.context


def _stripped(value: Any) -> Any:
    if is_object(value):
        return {name: _stripped(inner) for name, inner in value.items() if name not in {"bto", "bcc"}}
    return [_stripped(item) for item in value] if is_array(value) else value
