"""Define `UnitOfWork`: the data and the pending writes of one run of a handler.

Writes are only noted while the handler runs. After it returns, one commit has the notes and the mark that the handler
has finished. If it raises, the notes are discarded: a handler that fails half way has written nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Generic, TypeAlias

from attrs import Factory, define, evolve, field, frozen
from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.outbox.addressing import (
    Addressing,
    VisibilityWord,
    addressing_of,
    embedded_objects,
    stated_audiences,
)
from apcore.federation.outbox.validation import check_activity, check_local_recipients, check_object, check_recipients
from apcore.federation.received_writes import ForwardActivity, WriteBatch, WriteEntry
from apcore.federation.relations.table import Direction, RelationEvent
from apcore.federation.routes import MANAGED_NAME, RouteTable
from apcore.federation.side_effect_choices import SideEffectChoices
from apcore.http import Origin
from apcore.ports import StoreKey
from apcore.remote import FetchAllowance, FetchPolicy, Identity
from apcore.vocab import Audience, Delete, Document, Reference, Update, audience_of

__all__ = [
    "AddMember",
    "ChangeActor",
    "PendingWrite",
    "PublishObject",
    "RelationUpdate",
    "RemoveMember",
    "SendActivity",
    "UnitOfWork",
    "membership",
]

Data = TypeVar("Data", default=None)

_ORDER: Final = re.compile(r"[ -~]{1,64}")


def _no_document(_uri: str) -> Op[Document | None]:
    return None
    yield  # makes this function an operation without effects


def _no_identity() -> Op[Identity | None]:
    return None
    yield  # makes this function an operation without effects


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


@define(kw_only=True)
class UnitOfWork(Generic[Data]):
    """The data and pending writes of one run of a handler."""

    places: RouteTable
    origin: Origin | None
    fetching: FetchPolicy = field(factory=FetchPolicy, repr=False)
    load_identity: Callable[[], Op[Identity | None]] = field(default=_no_identity, repr=False)
    """The operation that returns the identity for fetches: the instance actor, whose keys it may have to make first."""
    load_own: Callable[[str], Op[Document | None]] = field(default=_no_document, repr=False)
    """The operation that returns a document of our own origins; None for another id."""
    is_own: Callable[[str], bool] = field(default=lambda _uri: False, repr=False)
    viewer: str | None = None
    """The actor that fetches are signed as, and that copies are read for."""
    allowance: FetchAllowance = field(
        default=Factory(lambda scope: FetchAllowance(scope.fetching.fetches_a_job), takes_self=True), repr=False
    )
    data: Data
    side_effects: SideEffectChoices = field(factory=SideEffectChoices, repr=False)
    activity_id: str | None = None
    actor: str | None = None
    """The authenticated actor of the activity. Embedded documents that this actor owns are trusted."""
    auth_method: str | None = None
    """The proof of the activity, as in `Context.auth_method`. None for a local activity."""
    relayed_by: str | None = None
    """The actor that sent the activity, if that is not its own actor."""
    attempt: int = 1
    received: datetime | None = None
    """The time at which the activity was received; None for a local activity."""
    recipient: str | None = None
    """The identifier of the actor whose inbox was addressed. None for the shared inbox."""
    is_silenced: bool = False
    rejects_media: bool = False
    seed: bytes = field(default=b"", repr=False)
    """The seed of minted ids. It is stored with the activity, so that a repeated run mints the same ids."""
    received_key: StoreKey | None = field(default=None, repr=False)
    """The key of the record of the received activity; None outside of listeners."""
    notes: list[PendingWrite] = field(factory=list[PendingWrite])
    """The pending writes, in the order in which they were noted."""
    router: Callable[[UnitOfWork[Any], Reference], Op[bool]] | None = field(default=None, repr=False)
    """The operation that routes another activity through the rules of the inbox; None outside of listeners."""
    is_replaced: bool = False
    """Whether another activity is processed in place of this one, so that no listener gets this one."""
    minted: int = 0
    """The number of ids minted in this run."""

    def address(self, note: SendActivity | PublishObject) -> str:
        """Note an activity to send or an object to publish, and return its id. Mint the id if the document has none.

        Raises:
            ContractError: The node has no origin for which to mint an id, or the audience contradicts itself; see
                `addressing_of`.
            ValueError: A recipient is not an address, or the document must not be sent; see
                `apcore.federation.outbox.validation`. Or the audience contradicts the visibility or is too large.
        """
        places, origin = self.places, self._require_origin()
        if isinstance(note, SendActivity):
            check_activity(note.activity, by=note.by, places=places, origin=origin)
            addressing = self._address_activity(note, origin)
            ident = note.activity.id or self._mint_activity_id(note)
            choice = self.side_effects.find_sent(note.activity)
            note = evolve(note, has_effects=choice is not None and choice.replacement is None)
        else:
            if note.by == origin.host:
                raise ValueError(f"by={note.by!r:.60}: the instance actor sends activities, but it has no outbox")
            check_object(note.object, by=note.by, places=places, origin=origin)
            addressing = self._addressing(note, [audience_of(note.object)], origin, is_publication=True)
            ident = note.object.id or self.mint_managed("objects", note.by)
        self.notes.append(evolve(note, id=ident, addressing=addressing))
        return ident

    def _address_activity(self, note: SendActivity, origin: Origin) -> Addressing:
        actor = self.places.actor_uri(origin, note.by)
        is_new_version = note.activity.is_a(Update) and bool(embedded_objects(note.activity, actor))
        audiences = stated_audiences(note.activity, actor)
        addressing = self._addressing(note, audiences, origin, is_new_version=is_new_version)
        # An Update or a Delete may go to the audience of the object that it changes.
        may_inherit = note.activity.is_a(Update) or note.activity.is_a(Delete)
        if note.to is None and not (addressing.recipients or addressing.is_named or may_inherit):
            raise ValueError("the activity names no recipient: set visibility= or to= (or to=() to deliver it to none)")
        return addressing

    def _addressing(
        self, note: SendActivity | PublishObject, audiences: Sequence[Audience], origin: Origin, **kind: bool
    ) -> Addressing:
        """Return the addressing of a note. ``kind`` are the last arguments of `addressing_of`."""
        followers = self.places.collection_uri(origin, "followers", note.by)
        addressing = addressing_of(audiences, note.to, followers=followers, visibility=note.visibility, **kind)
        check_recipients(addressing.recipients)
        check_local_recipients(addressing.recipients, places=self.places, origin=origin)
        return addressing

    def mint_managed(self, kind: str, by: str) -> str:
        """Return a new address among the ``objects`` or ``activities`` (``kind``) of the local actor ``by``."""
        return self.places.uri(self._require_origin(), "managed", kind, identifier=by, **{MANAGED_NAME: self.mint()})

    def _mint_activity_id(self, note: SendActivity) -> str:
        if note.is_kept:
            return self.mint_managed("activities", note.by)
        fragment = (note.activity.types or ("activities",))[0].lower()
        return f"{self.places.actor_uri(self._require_origin(), note.by)}#{fragment}/{self.mint()}"

    def _require_origin(self) -> Origin:
        if self.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return self.origin

    def mint(self) -> str:
        """Return the next new name: 22 characters that cannot be guessed from other names."""
        self.minted += 1
        digest = sha256(self.seed + self.minted.to_bytes(4, "big")).digest()
        return urlsafe_b64encode(digest[:16]).decode("ascii").rstrip("=")


def membership(notes: Sequence[PendingWrite], collection: str, item: str) -> bool | None:
    """Return whether ``notes`` leave an item in a collection; None if they say nothing about it."""
    changes = [note for note in reversed(notes) if isinstance(note, AddMember | RemoveMember)]
    return next((isinstance(n, AddMember) for n in changes if (n.collection, n.item) == (collection, item)), None)
