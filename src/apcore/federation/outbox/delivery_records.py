"""Declare the stored records of deliveries: those that wait, those that were put off, and those that were given up."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import frozen

from apcore.federation.outbox.records import DEAD_KEPT_S
from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord, member

__all__ = [
    "DEAD_DELIVERIES",
    "DELIVERIES",
    "RETRIES",
    "DeadDeliveryKey",
    "DeadDeliveryRecord",
    "DeliveryKey",
    "DeliveryRecord",
    "RetryKey",
]


class DeliveryKey(NamedTuple):
    """The key of a delivery that waits for its turn in a backlog."""

    backlog: str
    order: str
    name: str
    """The name of the sending."""
    inbox: str

    @classmethod
    def of(cls, backlog: str, order: str, name: str, inbox: str) -> DeliveryKey:
        """Return the key of the delivery of the sending ``name`` to an inbox."""
        return cls(backlog, order, name, digest_part(inbox))


class RetryKey(NamedTuple):
    """The key of a delivery that was put off; sorts by the time at which it is due."""

    backlog: str
    due: str
    """Milliseconds since 1970, in 14 digits."""
    order: str
    name: str
    inbox: str


@frozen(kw_only=True)
class DeliveryRecord(StoredRecord):
    """One activity for one inbox."""

    inbox: str
    created: datetime
    origin: str
    """The origin of ours that sends it."""
    actor: str | None = None
    """The actor of ours that sends it. None in the records of earlier releases."""
    line: str | None = member("about", default=None)
    """The digest of the object that the activity is about. None for an activity without one."""
    attempts: int = 0
    unproved: int = 0
    """The attempts that ended with 401."""
    put_off_ms: int = member("put_off", default=0)
    """The time at which the delivery was put off, in milliseconds since 1970."""


DELIVERIES: Final = RecordKind(
    "out", DeliveryRecord, DeliveryKey, lifetime="until it is delivered or given up", written_by="planning"
)
RETRIES: Final = RecordKind(
    "out-retry", DeliveryRecord, RetryKey, lifetime="until it is delivered or given up", written_by="delivery"
)


class DeadDeliveryKey(NamedTuple):
    """The key of a delivery that was given up."""

    name: str
    """The name of the sending."""
    inbox: str


@frozen(kw_only=True)
class DeadDeliveryRecord(DeliveryRecord):
    """A delivery that was given up, for people to look at."""

    reason: str = ""
    died: datetime | None = None
    backlog: str | None = None
    """The backlog in which it waited, for a retry. Earlier releases did not store it."""
    order: str | None = None
    """Its place in the backlog. Earlier releases did not store it."""


DEAD_DELIVERIES: Final = RecordKind(
    "dead-out",
    DeadDeliveryRecord,
    DeadDeliveryKey,
    prefix=("dead", "1", "out"),
    lifetime="30 days",
    ttl_s=DEAD_KEPT_S,
    written_by="delivery",
)
