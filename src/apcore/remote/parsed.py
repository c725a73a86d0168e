"""Keep copies that were read lately in memory, so that using one again costs no parsing.

A copy is found by the key and the version of its entry in the store. Each write has a new version. So a copy in memory
is never outdated, whichever process changes the store.
"""

from __future__ import annotations

from typing import Final

from apcore.ports import Entry, StoreKey
from apcore.remote.records import CachedDocument
from apcore.vocab import Document

__all__ = ["BYTES_MAX", "DOCUMENTS_MAX", "ParsedDocuments"]

DOCUMENTS_MAX: Final = 1000
"""The most documents of one node that are kept in memory."""
BYTES_MAX: Final = 4 * 1024 * 1024
"""The most bytes that they have together, as they were received. In memory they take several times as much."""


class ParsedDocuments:
    """The documents that one node has read lately. When it is full, it is emptied. Threads may share it."""

    __slots__ = ("_documents", "_size")

    def __init__(self) -> None:
        self._documents: dict[tuple[StoreKey, bytes], tuple[CachedDocument, Document]] = {}
        self._size = 0

    def find(self, entry: Entry) -> tuple[CachedDocument, Document] | None:
        """Return the copy in an entry, and its document; None if it was not read lately."""
        return self._documents.get((entry.key, entry.version))

    def add(self, entry: Entry, copy: CachedDocument, document: Document) -> None:
        """Add a document that was read, in place of all others if there is no room."""
        size = len(copy.body)
        if size > BYTES_MAX:
            return
        if len(self._documents) >= DOCUMENTS_MAX or self._size + size > BYTES_MAX:
            self.clear()
        self._documents[entry.key, entry.version] = (copy, document)
        self._size += size

    def clear(self) -> None:
        """Remove all documents."""
        self._documents, self._size = {}, 0
