"""Declare the stored records about the hosts and inboxes of peers."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import frozen

from apcore.federation.outbox.records import DigestKey
from apcore.federation.time_limits import CIRCUIT_KEPT_S, REACH_WINDOW_S
from apcore.records import DeferredRecord, RecordKind, StoredRecord, member

__all__ = [
    "ACTOR_LOOKUPS",
    "CIRCUITS",
    "HOST_LOOKUPS",
    "MISSING_INBOXES",
    "REACHES",
    "ActorLookupRecord",
    "CircuitKey",
    "CircuitRecord",
    "HostLookupRecord",
    "MissingInboxRecord",
    "OriginKey",
    "ReachRecord",
]


class OriginKey(NamedTuple):
    """The key of a record about a peer's origin."""

    origin: str


class CircuitKey(NamedTuple):
    """The key of the circuit of a host."""

    circuit: str
    """The origin; with ``aimed `` before it for deliveries that are aimed at it."""


@frozen(kw_only=True)
class CircuitRecord(DeferredRecord):
    """A host that is asked again when it is due: after failures, or after a pause between aimed deliveries."""

    failures: int = 0
    """The failures in a row."""
    spared: int = 0
    """The failures in a row that were not charged, since our own network was down."""
    failed: datetime | None = None
    """The time of the last failure. None if an answer came since."""
    detail: str = ""
    """The last failure, in words."""

    @property
    def is_paced(self) -> bool:
        """Whether the pause follows answers, and not failures."""
        return not self.failures and not self.spared


CIRCUITS: Final = RecordKind(
    "circuit",
    CircuitRecord,
    CircuitKey,
    lifetime="until the host answers, at most 30 days",
    ttl_s=CIRCUIT_KEPT_S,
    written_by="delivery",
)


@frozen(kw_only=True)
class ReachRecord(StoredRecord):
    """Whether a host answered when it was last asked."""

    is_reachable: bool = member("ok")
    at: datetime


REACHES: Final = RecordKind(
    "reach", ReachRecord, OriginKey, lifetime="1 hour", ttl_s=REACH_WINDOW_S, written_by="delivery"
)


@frozen(kw_only=True)
class MissingInboxRecord(StoredRecord):
    """An inbox that is not there any more."""

    inbox: str
    is_gone: bool = member("gone", default=False)
    """Whether it answered 410."""


MISSING_INBOXES: Final = RecordKind(
    "lost-inbox", MissingInboxRecord, DigestKey, lifetime="7 days after 410, else 1 day", written_by="delivery"
)


@frozen(kw_only=True)
class ActorLookupRecord(DeferredRecord):
    """The outcome of the last look-up of an actor's inbox, and until when it counts."""

    actor: str = member("uri")
    failures: int = 0
    """The failures in a row."""
    failed: datetime | None = None
    """The time of the last failed look-up without an answer."""
    refusal: str | None = member("failure", default=None)
    """``gone``, or ``refused`` for any other answer that is no actor. None after a failure without an answer."""
    reason: str | None = None
    """The reason slug of the error."""
    inbox: str | None = None
    """The inbox after a success whose document must not be cached."""
    shared: str | None = None
    """The shared inbox then."""


ACTOR_LOOKUPS: Final = RecordKind(
    "lookup-actor",
    ActorLookupRecord,
    DigestKey,
    prefix=("lookup", "1", "actor"),
    lifetime="a minute after a success, 10 minutes after a refusal, a day after the pause of a failure",
    written_by="planning",
)


@frozen(kw_only=True)
class HostLookupRecord(DeferredRecord):
    """A host that did not answer the look-up of an actor."""

    failures: int = 0
    """The failures in a row, for different actors."""
    failed: datetime | None = None
    """The time of the last failure."""
    actor: str | None = None
    """The digest of the actor whose look-up failed last."""
    reason: str | None = None
    """The reason slug of the error."""


HOST_LOOKUPS: Final = RecordKind(
    "lookup-host",
    HostLookupRecord,
    OriginKey,
    prefix=("lookup", "1", "host"),
    lifetime="a day after the pause",
    written_by="planning",
)
