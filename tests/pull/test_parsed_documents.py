"""Check the documents in memory: they save the parsing, are never outdated, and are bounded in number and bytes."""

from __future__ import annotations

from typing import Any

from apcore.adapters.memory import MemoryStore
from apcore.federation import Federation
from apcore.node import Node
from apcore.ports import Entry
from apcore.remote.parsed import BYTES_MAX, DOCUMENTS_MAX, ParsedDocuments
from apcore.remote.records import CachedDocument
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Document
from scripted_web import NOON, ScriptedWeb, document

NOTE = "https://a.example/notes/1"
DOCUMENT = Document({}, {})


def entry(number: int, body: bytes = b"") -> tuple[Entry, CachedDocument]:
    copy = CachedDocument(uri=NOTE, url=NOTE, fetched=NOON, fresh_until=NOON, body=body)
    return Entry(("document", str(number)), b"", number.to_bytes(16, "big")), copy


def test_copy_that_was_read_lately_is_not_parsed_again() -> None:
    web = ScriptedWeb({NOTE: document({"id": NOTE, "type": "Note", "content": "one"})})
    with Node(Federation(), None, MemoryStore(clock=web.clock), transport=web, runtime=web.runtime) as node:
        pointer = node.reference(NOTE)
        pointer.resolve()
        assert pointer.resolve() is pointer.resolve()


def test_change_by_another_process_is_seen_at_once() -> None:
    web = ScriptedWeb({NOTE: document({"id": NOTE, "type": "Note", "content": "one"})})
    store = MemoryStore(clock=web.clock)
    options: dict[str, Any] = {"transport": web, "runtime": web.runtime, "signer": ReusedKeys()}
    with Node(Federation(), None, store, **options) as one, Node(Federation(), None, store, **options) as other:
        for node in (one, other, one, other):
            assert node.reference(NOTE).resolve().words["content"] == "one"
        web.pages[NOTE] = document({"id": NOTE, "type": "Note", "content": "two"})
        assert other.reference(NOTE).resolve(fresh=True).words["content"] == "two"
        assert one.reference(NOTE).resolve().words["content"] == "two"


def test_documents_in_memory_are_bounded_in_number() -> None:
    parsed = ParsedDocuments()
    for number in range(DOCUMENTS_MAX + 1):
        parsed.add(*entry(number), DOCUMENT)
    assert parsed.find(entry(0)[0]) is None
    assert parsed.find(entry(DOCUMENTS_MAX)[0]) is not None


def test_documents_in_memory_are_bounded_in_bytes() -> None:
    parsed = ParsedDocuments()
    half = bytes(BYTES_MAX // 2)
    for number in range(3):
        parsed.add(*entry(number, half), DOCUMENT)
    assert [parsed.find(entry(number)[0]) is not None for number in range(3)] == [False, False, True]
    parsed.add(*entry(9, bytes(BYTES_MAX + 1)), DOCUMENT)
    assert parsed.find(entry(9)[0]) is None
