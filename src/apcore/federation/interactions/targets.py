"""Read the change that an Add, a Remove, or the Undo of one makes to its target collections."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from apcore.federation.routes import ACTOR_COLLECTIONS, RouteTable
from apcore.federation.write_notes import AddMember, PendingWrite, RemoveMember
from apcore.http import Origin
from apcore.vocab import Activity, Add, Remove, Undo

__all__ = ["CollectionChange", "changed_collections", "managed_owner"]

_CHANGED_MAX: Final = 20
"""The most targets, and the most items for each, that one activity changes."""


@frozen
class CollectionChange:
    """A change of one target collection."""

    collection: str
    items: tuple[str, ...]
    is_addition: bool

    @property
    def notes(self) -> list[PendingWrite]:
        """Return the notes that make the change, if the collection is a managed one of ours."""
        kind = AddMember if self.is_addition else RemoveMember
        return [kind(self.collection, item) for item in self.items]


def changed_collections(activity: Activity) -> list[CollectionChange]:
    """Return the changes that an Add or a Remove states, or that the Undo of an embedded one takes back."""
    is_undo = activity.document.is_a(Undo)
    if is_undo:
        undone = None if activity.object is None else activity.object.embedded
        if undone is None:
            return []
        activity = Activity.over(undone)
    document = activity.document
    if not (document.is_a(Add) or document.is_a(Remove)):
        return []
    items = [reference.uri for reference in activity.objects[:_CHANGED_MAX] if reference.uri is not None]
    is_addition = document.is_a(Add) is not is_undo
    return [
        CollectionChange(reference.uri, tuple(items), is_addition)
        for reference in activity.targets[:_CHANGED_MAX]
        if reference.uri is not None
    ]


def managed_owner(places: RouteTable, origin: Origin, collection: str) -> str | None:
    """Return the identifier of our actor whose collection this is, if Add and Remove may change it; else None.

    ``followers`` and the other collections of every actor change by activities of their own.
    """
    place = places.read(origin, collection)
    if place is None or place.target.kind != "collection" or place.target.handler is not None:
        return None
    return None if place.target.name in ACTOR_COLLECTIONS else place.identifier
