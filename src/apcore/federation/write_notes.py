"""Define the pending writes: the values that a handler notes, and that one commit writes after it returns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from apcore.federation.outbox.addressing import Addressing, VisibilityWord
from apcore.federation.received_writes import ForwardActivity, WriteBatch, WriteEntry
from apcore.federation.relations.table import Direction, RelationEvent
from apcore.vocab import Document

__all__ = [
    "AddMember",
    "ChangeActor",
    "PendingWrite",
    "PublishObject",
    "RelationUpdate",
    "RemoveMember",
    "SendActivity",
    "membership",
]

_ORDER: Final = re.compile(r"[ -~]{1,64}")


@frozen
class AddMember:
    """A pending write: add an item to a managed collection."""

    collection: str
    item: str
    value: bytes = b""
    """The value that is stored with the item."""
    order: str | None = field(default=None, kw_only=True)
    """The position in the collection, which is listed by descending order; None for the time of the commit."""

    def __attrs_post_init__(self) -> None:
        if self.order is not None and not _ORDER.fullmatch(self.order):
            raise ValueError(f"order={self.order!r:.80} is not 1 to 64 printable ASCII characters")


@frozen
class RemoveMember:
    """A pending write: remove an item from a managed collection."""

    collection: str
    item: str


@frozen
class SendActivity:
    """A pending write: deliver an activity."""

    activity: Document
    by: str
    to: tuple[str, ...] | None = None
    """Recipients in addition to those that the activity names; None for those alone."""
    id: str = ""
    """The id of the activity. `UnitOfWork.address` sets it."""
    key: str | None = None
    """The name of the key that signs the first attempt. None for the actor's current signing key."""
    has_effects: bool = True
    """Whether the default side effect of its type applies. `UnitOfWork.address` sets it."""
    inboxes: tuple[str, ...] = field(default=(), kw_only=True)
    """Inboxes that get it too, of actors that are not known."""
    visibility: VisibilityWord | None = field(default=None, kw_only=True)
    is_kept: bool = field(default=False, kw_only=True)
    """Whether the activity is served at its id, and listed in the outbox if it is public."""
    push: bool | None = field(default=None, kw_only=True)
    """Whether it is delivered; None to leave it to the policy of the federation."""
    addressing: Addressing | None = field(default=None, kw_only=True)
    """The audience and all recipients. `UnitOfWork.address` sets it."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses to deliver to."""
        return (self.to or ()) if self.addressing is None else self.addressing.recipients

    def add_recipients(self, addresses: Iterable[str]) -> SendActivity:
        """Return the activity with further addresses to deliver to. Its documents do not name them."""
        recipients = tuple(dict.fromkeys((*self.recipients, *addresses)))
        if self.addressing is None:
            return evolve(self, to=recipients)
        return evolve(self, addressing=evolve(self.addressing, recipients=recipients))


@frozen
class PublishObject:
    """A pending write: store an object, and deliver it with a Create, which is listed in the outbox if it is public."""

    object: Document
    by: str
    to: tuple[str, ...] | None = None
    """Recipients in addition to the audience that the object names; None for that audience alone."""
    id: str = ""
    """The id of the object. `UnitOfWork.address` sets it."""
    visibility: VisibilityWord | None = field(default=None, kw_only=True)
    push: bool | None = field(default=None, kw_only=True)
    """Whether its Create is delivered; None to leave it to the policy of the federation."""
    addressing: Addressing | None = field(default=None, kw_only=True)
    """The audience and all recipients. `UnitOfWork.address` sets it."""


@frozen
class ChangeActor:
    """A pending write: change the aliases of the local actor ``by``, or take its Move back."""

    by: str
    also_known_as: tuple[str, ...] | None = None
    """The ids of its other accounts; None to leave them unchanged."""
    cancels_move: bool = False


@frozen
class RelationUpdate:
    """A pending write: apply an event to the relation of the local actor ``us`` and the actor ``them``.

    Only apcore's own side effects note these.
    """

    direction: Direction
    us: str
    them: str
    event: RelationEvent
    follow_id: str | None = None
    """The id of the Follow that makes the request, or to which the event is an answer."""
    answer_id: str | None = None
    """The id of the followed actor's activity."""
    item: bytes = field(default=b"", repr=False)
    """The value to store with the member. Empty leaves the stored value unchanged."""
    received: datetime | None = None
    """The time at which the other actor's activity was received; None for an activity of ours."""


PendingWrite: TypeAlias = (
    AddMember
    | RemoveMember
    | SendActivity
    | PublishObject
    | ChangeActor
    | ForwardActivity
    | WriteBatch
    | WriteEntry
    | RelationUpdate
)


def membership(notes: Sequence[PendingWrite], collection: str, item: str) -> bool | None:
    """Return whether ``notes`` leave an item in a collection; None if they say nothing about it."""
    changes = [note for note in reversed(notes) if isinstance(note, AddMember | RemoveMember)]
    return next((isinstance(n, AddMember) for n in changes if (n.collection, n.item) == (collection, item)), None)
