"""Declare the stored records of received activities."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import field, frozen

from apcore.federation.inbox.states import ClaimState
from apcore.http import Origin
from apcore.ports import digest_part
from apcore.records import DeferredRecord, RecordKind, StoredRecord, member

__all__ = [
    "CLAIMS",
    "DEAD_ACTIVITIES",
    "DEAD_KEPT_S",
    "DONE_KEPT_S",
    "FORWARDED",
    "RECEIVED_ACTIVITIES",
    "RECEIVED_BYTES",
    "UNDONE_ACTIVITIES",
    "USED_SIGNATURES",
    "ClaimKey",
    "ClaimRecord",
    "DeadActivityRecord",
    "ForwardedKey",
    "ForwardedRecord",
    "ReceivedActivityRecord",
    "ReceivedBytesRecord",
    "UndoneActivityKey",
    "UndoneActivityRecord",
    "UsedSignatureKey",
    "UsedSignatureRecord",
]

DONE_KEPT_S: Final = 30 * 86400.0
"""How long the id of a processed activity is remembered.

That is longer than any sender retries (7 days), and longer than signatures are valid. An older activity never counts as
new."""
DEAD_KEPT_S: Final = 30 * 86400.0
"""How long a dead letter is stored."""
_PENDING: Final = "pending"
_DONE: Final = "done"
_DEAD: Final = "dead"


class ClaimKey(NamedTuple):
    """The key of an activity of one actor at one inbox.

    It contains the actor, so that no other actor can use up the id. The inbox is the last part, so that the keys of
    all inboxes at an origin share a prefix. Under another policy than by inbox, the last part is the scope in which the
    activity counts once.
    """

    actor: str
    activity_id: str
    origin: str
    inbox: str

    @classmethod
    def of(cls, actor: str, activity_id: str, origin: Origin | str, recipient: str | None) -> ClaimKey:
        """Return the key at the inbox of ``recipient``, or at the shared inbox of ``origin`` if None.

        `apcore.federation.inbox.claims.claim_key` applies the policy of the federation.
        """
        parts = (actor, activity_id, str(origin), recipient or "")
        return cls(*map(digest_part, parts))


@frozen(kw_only=True)
class ClaimRecord(StoredRecord):
    """The claim of an activity at an inbox. It ensures that the activity is processed once."""

    progress: str = member("state")
    activity_id: str | None = member("id", default=None)
    reason: str | None = None
    """The reason for which the activity was dropped, or the word for a dead letter; None if it was handled."""
    received: datetime | None = None
    """The time at which the activity counted as new; None if an earlier release wrote the claim."""

    @classmethod
    def of(
        cls, state: ClaimState, activity_id: str, *, reason: str | None = None, received: datetime | None = None
    ) -> ClaimRecord:
        """Return the record of a state. ``reason`` is that of a dropped activity."""
        progress = _PENDING if state in (ClaimState.PENDING, ClaimState.PROCESSING) else _DONE
        reason = _DEAD if state is ClaimState.DEAD else reason
        return cls(progress=progress, activity_id=activity_id, reason=reason, received=received)

    @property
    def state(self) -> ClaimState:
        """Return the state of the activity."""
        if self.progress == _PENDING:
            return ClaimState.PENDING
        if self.reason == _DEAD:
            return ClaimState.DEAD
        return ClaimState.HANDLED if self.reason is None else ClaimState.DROPPED


@frozen(kw_only=True)
class ReceivedActivityRecord(DeferredRecord):
    """A received activity that waits to be processed; the body is the proved document, byte for byte."""

    origin: str
    """The origin of ours that received it."""
    actor: str
    activity_id: str = member("id")
    recipient: str | None = None
    """The identifier of the inbox's actor, None for the shared inbox."""
    auth_method: str | None = member("means", default=None)
    key_id: str | None = None
    relayed_by: str | None = None
    silenced: bool = False
    received: datetime
    seed: str = field(repr=False)
    """The seed of the ids that handlers mint, in hexadecimal digits."""
    attempts: int = 0
    followers: str | None = None
    """The value of `Collection-Synchronization`, if the actor's signature covers it."""
    has_bytes: bool = member("bytes", default=False)
    """Whether the bytes as received are stored too, because they differ from the proved document."""
    is_polled: bool = member("polled", default=False)
    """Whether it was not delivered, but found in a collection of its origin."""


@frozen(kw_only=True)
class ReceivedBytesRecord(StoredRecord):
    """The body of an activity as it was received, with its proofs. It is forwarded in this form."""


class ForwardedKey(NamedTuple):
    """The key of an activity that was forwarded to followers."""

    actor: str
    activity_id: str
    origin: str

    @classmethod
    def of(cls, actor: str, activity_id: str, origin: Origin) -> ForwardedKey:
        """Return the key for an activity that was received at ``origin``."""
        return cls(*map(digest_part, (actor, activity_id, str(origin))))


@frozen(kw_only=True)
class ForwardedRecord(StoredRecord):
    """The mark that a received activity was forwarded to followers, so that this happens once."""


@frozen(kw_only=True)
class DeadActivityRecord(ReceivedActivityRecord):
    """A dead letter: an activity of which the last attempt failed."""

    reason: str
    died: datetime


class UsedSignatureKey(NamedTuple):
    """The key of an HTTP signature."""

    key_id: str
    signature: str

    @classmethod
    def of(cls, key_id: str, signature_id: str) -> UsedSignatureKey:
        """Return the key of the signature that ``signature_id`` identifies among those of a key."""
        return cls(digest_part(key_id), digest_part(signature_id))


@frozen(kw_only=True)
class UsedSignatureRecord(StoredRecord):
    """An HTTP signature that has proved a delivery. It cannot prove another one."""

    claim: str = member("by")
    """The name of the claim's key."""


class UndoneActivityKey(NamedTuple):
    """The key of an activity that its own actor has undone, at an origin of ours."""

    actor: str
    activity_id: str
    origin: str

    @classmethod
    def of(cls, actor: str, activity_id: str, origin: Origin | str) -> UndoneActivityKey:
        """Return the key of an activity of ``actor``."""
        return cls(digest_part(actor), digest_part(activity_id), digest_part(str(origin)))


@frozen(kw_only=True)
class UndoneActivityRecord(StoredRecord):
    """The time at which an actor undid an activity. If it sends the id again later, the activity counts as new."""

    undone: datetime
    """The time at which the last Undo arrived."""


CLAIMS: Final = RecordKind(
    "in",
    ClaimRecord,
    ClaimKey,
    lifetime="30 days after the activity was processed",
    written_by="inboxes",
)
RECEIVED_ACTIVITIES: Final = RecordKind(
    "in-todo",
    ReceivedActivityRecord,
    ClaimKey,
    lifetime="until the activity is processed",
    written_by="inboxes",
    size="up to 1 MiB",
)
RECEIVED_BYTES: Final = RecordKind(
    "in-bytes",
    ReceivedBytesRecord,
    ClaimKey,
    lifetime="until the activity is processed",
    ttl_s=DONE_KEPT_S,
    written_by="inboxes",
    size="up to 1 MiB",
)
FORWARDED: Final = RecordKind(
    "forwarded",
    ForwardedRecord,
    ForwardedKey,
    lifetime="30 days",
    ttl_s=DONE_KEPT_S,
    written_by="the processing of received activities",
)
DEAD_ACTIVITIES: Final = RecordKind(
    "dead-activity",
    DeadActivityRecord,
    ClaimKey,
    prefix=("dead", "in-todo", "1"),
    lifetime="30 days",
    ttl_s=DEAD_KEPT_S,
    written_by="the processing of received activities",
    size="up to 1 MiB",
)
USED_SIGNATURES: Final = RecordKind(
    "used",
    UsedSignatureRecord,
    UsedSignatureKey,
    lifetime="as long as the signature is valid",
    written_by="inboxes",
)
UNDONE_ACTIVITIES: Final = RecordKind(
    "undone",
    UndoneActivityRecord,
    UndoneActivityKey,
    lifetime="30 days after the Undo arrived",
    ttl_s=DONE_KEPT_S,
    written_by="inboxes",
)
