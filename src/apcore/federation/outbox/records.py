"""Declare the stored records of the outbox: published objects, and sendings that are being planned.

Deliveries are in `apcore.federation.outbox.delivery_records`, and the hosts of peers in
`apcore.federation.outbox.host_records`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from attrs import field, frozen

from apcore.federation.actors.profiles import Inboxes
from apcore.federation.time_limits import SENT_KEPT_S
from apcore.ports import digest_part
from apcore.records import DeferredRecord, RecordKind, StoredRecord, member

__all__ = [
    "DEAD_KEPT_S",
    "DEAD_SENDINGS",
    "FOLLOWER_DIGESTS",
    "OBJECTS",
    "PLANNED_INBOXES",
    "SENDINGS",
    "SENT_ACTIVITIES",
    "DeadSendingRecord",
    "DigestKey",
    "FollowerDigestsRecord",
    "ObjectRecord",
    "PlannedInboxKey",
    "PlannedInboxRecord",
    "SendingKey",
    "SendingRecord",
    "SentRecord",
    "decode_inboxes",
    "encode_inboxes",
]

_INBOX: Final = "inbox"
_SHARED: Final = "shared"
_MAX_BODY: Final = "up to 1 MiB"
DEAD_KEPT_S: Final = 30 * 86400.0
"""How long a sending or a delivery that was given up is stored, for people to look at."""


class DigestKey(NamedTuple):
    """The key of a record about one address, which enters as its digest. Compare the address in the record too."""

    address: str

    @classmethod
    def of(cls, address: str) -> DigestKey:
        """Return the key for an address."""
        return cls(digest_part(address))


# --- objects and activities of ours ---------------------------------------------------------------------------------


@frozen(kw_only=True)
class ObjectRecord(StoredRecord):
    """A published object or its Create, served at its id; the body is the document."""

    uri: str = member("id")
    owner: str
    """The actor that published it."""
    is_public: bool = member("public", default=False)
    """Whether it is served to everyone."""
    create: str | None = None
    """The id of its Create. None for a Create."""
    is_gone: bool = member("gone", default=False)
    """Whether the body is a tombstone."""
    readers: tuple[str, ...] | None = None
    """The addresses that it is served to, also those in ``bto`` and ``bcc``. Earlier releases stored None: then the
    body names them all."""
    former_readers: tuple[str, ...] = member("former", default=())
    """Addresses that got it, or an earlier version, and are not among the readers any more."""
    order: str | None = None
    """The position of a Create in the outbox. None for an object, and in the records of earlier releases."""


OBJECTS: Final = RecordKind(
    "obj",
    ObjectRecord,
    DigestKey,
    lifetime="for ever; a Delete leaves a tombstone",
    size=_MAX_BODY,
    written_by="publishing",
)


class SendingKey(NamedTuple):
    """The key of an activity that is sent, and of its sending."""

    name: str
    """A random name, chosen when the activity is sent."""


@frozen(kw_only=True)
class SentRecord(StoredRecord):
    """An activity as it is delivered; the body is sent byte for byte."""

    origin: str
    """The origin of ours that sends it."""
    actor: str
    activity_id: str = member("id")
    created: datetime
    key_name: str | None = member("key", default=None)
    """The name of the key that signs the first attempt. None for the actor's current signing key."""


SENT_ACTIVITIES: Final = RecordKind(
    "sent", SentRecord, SendingKey, lifetime="10 days", ttl_s=SENT_KEPT_S, size=_MAX_BODY, written_by="sending"
)


@frozen(kw_only=True)
class SendingRecord(DeferredRecord):
    """The recipients of an activity whose deliveries are not planned yet."""

    origin: str
    """The origin of ours that sends it."""
    actor: str
    activity_id: str = member("id")
    created: datetime
    recipients: tuple[str, ...] = member("to")
    """The addresses that are not planned yet. A collection that is partly read is the first of them."""
    inboxes: tuple[str, ...] = ()
    """Those of the recipients that are inboxes themselves, and not actors or collections."""
    direct: tuple[str, ...] = ()
    """Recipients that the activity does not name. They are reached at their own inboxes."""
    skips_blocked: bool = False
    """Whether actors that the sender blocks get nothing. Not so for activities about relations, such as the Block.
    Earlier releases did not store it, and skipped none."""
    sources: tuple[str, ...] = member("from", default=())
    """The origins that a forwarded activity came from, to which it is not delivered. Empty for an activity of ours."""
    line: str | None = member("about", default=None)
    """The digest of the object that the activity is about. Sendings about one object are planned one after another."""
    order: str
    """The place of the deliveries in their backlogs; sorts by the time of sending."""
    steps: int = 0
    """The number of steps of planning so far."""
    cursor: str | None = None
    """The page of the collection at which the next step begins."""
    skip: int = 0
    """The number of items of that page that are planned already."""
    lookups: Mapping[str, int] = field(factory=dict[str, int])
    """The number of failed look-ups, by the address of the recipient."""
    attempts: int = 0
    """The number of failed look-ups for all recipients together, which earlier releases counted; no longer used."""
    failed: tuple[str, ...] = ()
    """The recipients whose inboxes could not be found, while others are still to be planned."""
    failed_due_ms: tuple[int, ...] = member("failed_due", default=())
    """The time of the next look-up of one of them, in milliseconds since 1970; at most one."""

    failures: int = 0
    """The number of times that the handler of the collection has failed in the next step."""

    @property
    def waits_for_lookups(self) -> bool:
        """Whether only recipients remain whose inboxes could not be found."""
        return bool(self.due_ms) and not self.failures


@frozen(kw_only=True)
class DeadSendingRecord(SendingRecord):
    """A sending that was given up before all deliveries were planned, for people to look at."""

    reason: str
    died: datetime


SENDINGS: Final = RecordKind(
    "send", SendingRecord, SendingKey, lifetime="until all deliveries are planned", size=_MAX_BODY, written_by="sending"
)


DEAD_SENDINGS: Final = RecordKind(
    "dead-send",
    DeadSendingRecord,
    SendingKey,
    prefix=("dead", "1", "send"),
    lifetime="30 days",
    ttl_s=DEAD_KEPT_S,
    written_by="planning",
)


class PlannedInboxKey(NamedTuple):
    """The key of the marker of an inbox that a sending has planned already."""

    name: str
    inbox: str

    @classmethod
    def of(cls, name: str, inbox: str) -> PlannedInboxKey:
        """Return the key for the sending ``name`` and an inbox."""
        return cls(name, digest_part(inbox))


@frozen(kw_only=True)
class PlannedInboxRecord(StoredRecord):
    """An inbox that an earlier step of a sending has planned."""

    is_aimed: bool = False
    """Whether its delivery is in the aimed backlog, see `apcore.federation.outbox.circuit`."""


class _PlannedInboxFormat:
    """One word, since a sending to many followers writes thousands of these."""

    _AIMED: Final = b"aimed"

    def decode(self, value: bytes) -> PlannedInboxRecord:
        return PlannedInboxRecord(is_aimed=value == self._AIMED)

    def encode(self, record: PlannedInboxRecord) -> bytes:
        return self._AIMED if record.is_aimed else b""


PLANNED_INBOXES: Final = RecordKind(
    "planned",
    PlannedInboxRecord,
    PlannedInboxKey,
    lifetime="10 days",
    ttl_s=SENT_KEPT_S,
    size="under 10 bytes",
    written_by="planning",
    format=_PlannedInboxFormat(),
)


@frozen(kw_only=True)
class FollowerDigestsRecord(StoredRecord):
    """The digests of the followers, for an activity that is for followers only; the body maps origins to digests."""

    collection: str
    url: str
    """The address at which a server gets those of its own actors that follow."""


FOLLOWER_DIGESTS: Final = RecordKind(
    "followers",
    FollowerDigestsRecord,
    SendingKey,
    lifetime="10 days",
    ttl_s=SENT_KEPT_S,
    size="up to 1 MiB",
    written_by="planning",
)


# --- followers ------------------------------------------------------------------------------------------------------


def encode_inboxes(inboxes: Inboxes) -> bytes:
    """Return the item that is stored with a follower: its inboxes, in JSON."""
    return json.dumps({_INBOX: inboxes.inbox, _SHARED: inboxes.shared}).encode()


def decode_inboxes(item: bytes) -> Inboxes | None:
    """Read the inboxes that are stored with a follower. A member that the application added has none."""
    members: dict[str, Any] = json.loads(item) if item else {}
    inbox = members.get(_INBOX)
    return Inboxes(inbox, members.get(_SHARED)) if inbox else None
