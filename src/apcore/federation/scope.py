"""What a handler's context knows, and what it wants written.

A `Scope` lives as long as one run of a handler. Writes are only noted in it; whoever runs the handler turns the notes into one commit with the
fact that the handler is done, or throws them away. So a handler that fails half way has written nothing.
"""

from __future__ import annotations

from typing import Any, Generic, TypeAlias

from attrs import define, field, frozen
from typing_extensions import TypeVar

from apcore.federation.places import Places
from apcore.http import Origin

__all__ = ["Appending", "Note", "Removing", "Scope"]

Data = TypeVar("Data", default=None)


@frozen
class Appending:
    """Wanted: an item in a managed collection."""

    collection: str
    item: str


@frozen
class Removing:
    """Wanted: an item out of a managed collection."""

    collection: str
    item: str


Note: TypeAlias = Appending | Removing


@define(kw_only=True)
class Scope(Generic[Data]):
    """One run of a handler."""

    places: Places
    origin: Origin | None
    data: Data
    activity_id: str | None = None
    attempt: int = 1
    recipient: str | None = None
    """The identifier of the actor whose inbox was addressed; None for the shared one."""
    silenced: bool = False
    notes: list[Any] = field(factory=list[Any])

    def membership(self, collection: str, item: str) -> bool | None:
        """What the notes say about an item in a collection; None if they say nothing."""
        for note in reversed(self.notes):
            if isinstance(note, Appending | Removing) and (note.collection, note.item) == (collection, item):
                return isinstance(note, Appending)
        return None
