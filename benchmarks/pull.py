"""What pull costs without a request: ``python -m benchmarks.pull [ROUNDS]``.

A note is resolved and viewed: from the parsed documents of a node, and from its store, in memory and on SQLite. Beside
it, in the same turns, stands the least that any cache must do: one read of the store's entry, and ``json.loads``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from apcore import Federation, Node
from apcore.http import Headers, Request, Response
from apcore.remote.records import CACHED_DOCUMENTS, DocumentKey
from apcore.vocab import Note

NOTE = "https://remote.example/notes/1"
TREE: dict[str, Any] = {
    "@context": ["https://www.w3.org/ns/activitystreams", {"sensitive": "as:sensitive", "Hashtag": "as:Hashtag"}],
    "id": NOTE,
    "type": "Note",
    "attributedTo": "https://remote.example/users/bob",
    "content": "<p>" + "A post of the usual length, with some words in it. " * 6 + "</p>",
    "published": "2026-01-01T12:00:00Z",
    "to": ["https://www.w3.org/ns/activitystreams#Public"],
    "cc": ["https://remote.example/users/bob/followers"],
    "tag": [{"type": "Hashtag", "name": f"#{word}", "href": f"https://remote.example/tags/{word}"} for word in "abc"],
    "replies": {"id": f"{NOTE}/replies", "type": "Collection", "first": f"{NOTE}/replies?page=1"},
}


class OneNote:
    """A transport that answers every request with the note."""

    checks_addresses = "enforced"
    never_waits = True
    requests = 0

    def send(self, _request: Request, /) -> Response:
        self.requests += 1
        return Response(200, Headers({"content-type": "application/activity+json"}), json.dumps(TREE).encode())

    def close(self) -> None:
        """Do nothing."""


def duration_us(job: Callable[[], Any]) -> float:
    started = time.perf_counter()
    job()
    return (time.perf_counter() - started) * 1e6


def main(rounds: int) -> None:
    transport = OneNote()
    with TemporaryDirectory() as folder:
        print("store     parsed   from the store   get + json.loads   store / least")
        for name, store in (("memory", "memory:"), ("SQLite", f"sqlite:///{Path(folder) / 'pull.db'}")):
            with Node(Federation(), None, store, transport=transport) as node:
                pointer = node.reference(NOTE)
                _ = pointer.resolve()
                key = CACHED_DOCUMENTS.key(DocumentKey.of(NOTE, viewer=None))

                def resolve_and_view(pointer: Any = pointer) -> object:
                    _ = pointer.resolve()
                    return pointer.view(Note).content

                def read_and_load(node: Any = node, key: Any = key) -> object:
                    [entry] = node.ports.store.get((key,))
                    return json.loads(entry.value.partition(b"\n")[2])["content"]

                parsed, stored, least = list[float](), list[float](), list[float]()
                for _round in range(rounds):
                    parsed.append(duration_us(resolve_and_view))
                    node._parsed.clear()
                    stored.append(duration_us(resolve_and_view))
                    least.append(duration_us(read_and_load))
            medians = [median(values) for values in (parsed, stored, least)]
            print(f"{name:<7} {medians[0]:>5.1f} µs {medians[1]:>13.1f} µs {medians[2]:>15.1f} µs"
                  f" {medians[1] / medians[2]:>14.1f}")  # fmt: skip
    assert transport.requests == 2


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
