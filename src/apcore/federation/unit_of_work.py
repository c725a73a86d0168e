"""What a handler's context knows, and what it wants written.

A `UnitOfWork` lives as long as one run of a handler. Writes are only noted in it; whoever runs the handler turns the notes into one commit with the
fact that the handler is done, or throws them away. So a handler that fails half way has written nothing.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Generic, TypeAlias

from attrs import define, evolve, field, frozen
from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.outbox.validation import check_activity, check_object, check_recipients
from apcore.federation.relations import Direction, RelationEvent
from apcore.federation.routes import MANAGED_NAME, RouteTable
from apcore.http import Origin
from apcore.ports import Write
from apcore.remote import FetchPolicy, Identity
from apcore.vocab import Document, audience_of

__all__ = [
    "AddMember",
    "PendingWrite",
    "PublishObject",
    "RelationUpdate",
    "RemoveMember",
    "SendActivity",
    "UnitOfWork",
    "WriteEntry",
    "membership",
]

Data = TypeVar("Data", default=None)


def _nobody() -> Op[Identity | None]:
    return None
    yield  # an operation that asks for nothing


@frozen
class AddMember:
    """Wanted: an item in a managed collection, with what is kept beside it."""

    collection: str
    item: str
    kept: bytes = b""


@frozen
class RemoveMember:
    """Wanted: an item out of a managed collection."""

    collection: str
    item: str


@frozen
class SendActivity:
    """Wanted: an activity delivered."""

    activity: Document
    by: str
    to: tuple[str, ...]
    id: str = ""
    """Given when it is noted, see `UnitOfWork.address`."""
    key: str | None = None
    """The name of the key to sign with at the first attempt; without one, the one that signs."""


@frozen
class PublishObject:
    """Wanted: an object kept, announced in the outbox by a Create, and delivered."""

    object: Document
    by: str
    to: tuple[str, ...] | None = None
    """None for the audience that the object names itself."""
    id: str = ""
    """Given when it is noted, see `UnitOfWork.address`."""


@frozen
class WriteEntry:
    """Wanted: a plain write. Only apcore's own side effects note these."""

    write: Write


@frozen
class RelationUpdate:
    """Wanted: an event applied to the relation of our actor ``us`` and another. Only side effects note these."""

    direction: Direction
    us: str
    them: str
    event: RelationEvent
    follow_id: str | None = None
    """The id of the Follow that asks, or of the one that is answered."""
    answer_id: str | None = None
    """The id of the activity of the followed actor."""
    item: bytes = field(default=b"", repr=False)
    """What is to be kept beside the member; empty leaves it as it is."""


PendingWrite: TypeAlias = AddMember | RemoveMember | SendActivity | PublishObject | WriteEntry | RelationUpdate


@define(kw_only=True)
class UnitOfWork(Generic[Data]):
    """One run of a handler."""

    places: RouteTable
    origin: Origin | None
    fetching: FetchPolicy = field(factory=FetchPolicy, repr=False)
    asks: Callable[[], Op[Identity | None]] = field(default=_nobody, repr=False)
    """Gives who asks when something has to be fetched: the instance actor, whose keys may have to be made first."""
    data: Data
    activity_id: str | None = None
    actor: str | None = None
    """Who is proved to have done what is listened to: what came inside is believed if it is theirs."""
    auth_method: str | None = None
    """What proved it; None if it is from here."""
    relayed_by: str | None = None
    """Who brought it, if that is not its actor."""
    attempt: int = 1
    recipient: str | None = None
    """The identifier of the actor whose inbox was addressed; None for the shared one."""
    silenced: bool = False
    seed: bytes = field(default=b"", repr=False)
    """Where minted ids come from: kept with the activity, so that a handler which runs again mints the same ids again."""
    notes: list[PendingWrite] = field(factory=list[PendingWrite])
    minted: int = 0

    def address(self, note: SendActivity | PublishObject) -> str:
        """Note what is to be sent or published, under the id that it will have; answers that: minted now, unless it has one.

        Raises:
            ContractError: There is no origin to mint an id for.
            ValueError: A recipient is no address, or the document cannot go out; see `apcore.federation.outbox.validation`.
        """
        document = note.activity if isinstance(note, SendActivity) else note.object
        named = audience_of(document).everyone
        check_recipients((*(note.to or ()), *named))
        if isinstance(note, SendActivity):
            check_activity(document, by=note.by, places=self.places, origin=self._here())
            to = tuple(dict.fromkeys((*note.to, *named)))
            addressed: SendActivity | PublishObject = evolve(
                note, to=to, id=document.id or self._mint_activity_id(note)
            )
        else:
            check_object(document, by=note.by, places=self.places, origin=self._here())
            addressed = evolve(note, id=document.id or self.mint_managed("objects", note.by))
        self.notes.append(addressed)
        return addressed.id

    def mint_managed(self, kind: str, by: str) -> str:
        """Give a new address of what is kept and served for our actor ``by``: one of its ``objects`` or ``activities``."""
        return self.places.uri(self._here(), "managed", kind, identifier=by, **{MANAGED_NAME: self.mint()})

    def _mint_activity_id(self, note: SendActivity) -> str:
        actor = self.places.uri(self._here(), "actor", identifier=note.by)
        return f"{actor}#{(note.activity.types or ('activities',))[0].lower()}/{self.mint()}"

    def _here(self) -> Origin:
        if self.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return self.origin

    def mint(self) -> str:
        """Give the next new name: 22 characters that nobody can guess from others."""
        self.minted += 1
        digest = sha256(self.seed + self.minted.to_bytes(4, "big")).digest()
        return urlsafe_b64encode(digest[:16]).decode("ascii").rstrip("=")


def membership(notes: Sequence[PendingWrite], collection: str, item: str) -> bool | None:
    """Return whether ``notes`` leave an item in a collection; None if they say nothing about it."""
    for note in reversed(notes):
        if isinstance(note, AddMember | RemoveMember) and (note.collection, note.item) == (collection, item):
            return isinstance(note, AddMember)
    return None
