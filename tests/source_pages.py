"""Provide collections of another server for tests: their documents, and a crash at any effect of an operation."""

from __future__ import annotations

from typing import Any, TypeVar

from apcore.effects import Op

T = TypeVar("T")
HERE = "https://source.example"
OUTBOX = f"{HERE}/outbox"


def root(**members: Any) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": OUTBOX,
        "type": "OrderedCollection",
        **members,
    }


def page(items: Any = (), **members: Any) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "type": "OrderedCollectionPage",
        "orderedItems": list(items),
        **members,
    }


class Crash(Exception):
    """The process ends between two effects."""


def crash_before(op: Op[T], number: int) -> Op[T]:
    """Run an operation, and end it without a trace before its effect with this number."""
    answer: Any = None
    error: Exception | None = None
    for _ in range(number):
        try:
            effect = op.send(answer) if error is None else op.throw(error)
        except StopIteration as end:
            return end.value
        try:
            answer, error = (yield effect), None
        except Exception as thrown:
            error = thrown
    op.close()
    raise Crash
