"""Define `UnitOfWork`: the data and the pending writes of one run of a handler.

Writes are only noted while the handler runs. After it returns, one commit has the notes and the mark that the handler
has finished. If it raises, the notes are discarded: a handler that fails half way has written nothing.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic

from attrs import Factory, define, evolve, field
from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.outbox.addressing import (
    Addressing,
    addressing_of,
    embedded_objects,
    stated_audiences,
)
from apcore.federation.outbox.validation import check_activity, check_local_recipients, check_object, check_recipients
from apcore.federation.own_services import NO_SERVICES, OwnServices
from apcore.federation.routes import MANAGED_NAME, RouteTable
from apcore.federation.side_effect_choices import SideEffectChoices
from apcore.federation.write_notes import PendingWrite, PublishObject, SendActivity
from apcore.http import Origin
from apcore.ports import StoreKey
from apcore.remote import FetchAllowance, FetchPolicy, Identity
from apcore.vocab import Audience, Delete, Document, Reference, Update, audience_of

__all__ = ["UnitOfWork"]

Data = TypeVar("Data", default=None)


def _no_document(_uri: str) -> Op[None]:
    yield from ()  # an operation without effects


def _no_identity() -> Op[None]:
    yield from ()  # an operation without effects


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
    services: OwnServices = field(default=NO_SERVICES, repr=False)
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
