"""Define `MessageQueue`: messages delivered at least once, with fenced leases.

The store holds the facts; a message only names one. Losing the whole queue costs time, not data. `apcore.testing.queue`
tests the contract point by point. In short:

- **dedup**: while a message with the same (lane, dedup) *waits*, enqueueing another adds nothing, and the earlier of
  the two due times holds. A leased message does not block a new one: the new one waits, so no message is lost. When a
  leased message returns while a new one waits, the two are merged. The merged message has the position and the attempts
  of the returned one, and the earlier due time.
- **group**: at most one lease at a time per (lane, group), in order of enqueue. A delayed head delays its group.
- **lease** adds one to ``attempt`` durably *before* the message is handed out, so a message that kills its worker is
  counted.
- **fencing**: `settle` and `extend` act only on the current token of a message. The token of an expired lease stays
  current until the message is leased again.
- There is no dead-letter state. A worker that gives up records that in the store, and settles the message as `Done`.

All times are durations on the queue's one clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final, Protocol, TypeAlias

from attrs import field, frozen

from apcore.ports.store import AsyncKvStore, Check, KvStore, Write

__all__ = [
    "ENQUEUE_MAX",
    "LABEL_BYTES_MAX",
    "LEASE_MAX",
    "MESSAGE_BYTES_MAX",
    "AsyncAtomicStore",
    "AsyncMessageQueue",
    "AtomicStore",
    "Depth",
    "Done",
    "Enlistable",
    "LeasedMessage",
    "Message",
    "MessageQueue",
    "Retry",
    "Settlement",
    "check_enqueue",
    "check_extend",
    "check_lanes",
    "check_lease",
    "check_settle",
]

MESSAGE_BYTES_MAX: Final = 4096
LABEL_BYTES_MAX: Final = 256
ENQUEUE_MAX: Final = 100
LEASE_MAX: Final = 100


@frozen
class Message:
    """A message: at most 4 KiB that name facts in the store."""

    id: bytes = field(repr=bytes.hex)
    """16 bytes."""
    lane: str
    """The kind of work; workers lease by lane. At most 256 bytes of UTF-8, as for `group` and `dedup`."""
    body: bytes = field(repr=False)
    delay_s: float = field(default=0.0, kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    dedup: str | None = field(default=None, kw_only=True)


@frozen
class LeasedMessage:
    """A message leased to a worker until the lease ends."""

    message: Message
    token: bytes = field(repr=False)
    """The fence: 16 bytes, new for each lease."""
    attempt: int
    """How often the message has been leased, this time included."""


@frozen
class Done:
    """The work is done: remove the message."""

    leased: LeasedMessage


@frozen
class Retry:
    """Deliver the message again after ``delay_s``; it keeps its position in its group."""

    leased: LeasedMessage
    delay_s: float


Settlement: TypeAlias = Done | Retry
"""The way a worker ends a lease."""


@frozen
class Depth:
    """The numbers of due, delayed and leased messages in some lanes."""

    ready: int
    delayed: int
    leased: int
    oldest_ready_s: float | None
    """Seconds since the longest waiting ready message became due; None if no message is ready."""


class MessageQueue(Protocol):
    """Messages delivered at least once, with fenced leases.

    Every method raises `QueueUnavailable`, and `ValueError` for wrong arguments.
    """

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """Enqueue all of at most 100 messages, or none. On return they are as durable as a commit."""
        ...

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """Lease up to ``limit`` (1 to 100) due messages, lanes in the order given, at most one per group."""
        ...

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """Let the leases end ``lease_s`` from now, and return the leases that were already lost."""
        ...

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """End leases, and return the leases that were already lost. Their settlements have no effect."""
        ...

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """Count the messages in ``lanes``, all lanes together."""
        ...

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """Return when a message in ``lanes`` may be due, or after ``timeout_s``.

        This is a hint: it may return early.
        """
        ...

    def close(self) -> None:
        """See `KvStore.close`."""
        ...


class AsyncMessageQueue(Protocol):
    """`MessageQueue` for event loops: the same contract, with coroutine methods."""

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        ...

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`."""
        ...

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        ...

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        ...

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`."""
        ...

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        ...

    async def aclose(self) -> None:
        """See `MessageQueue.close`."""
        ...


class AtomicStore(KvStore, MessageQueue, Protocol):
    """A store that is also the queue, in one database: one commit also enqueues and settles messages."""

    def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        """Commit as `KvStore.commit` does, and enqueue ``messages`` and settle ``settles`` in the same transaction.

        If a lease among ``settles`` is lost, return False and write nothing.
        """
        ...

    def close(self) -> None:
        """See `KvStore.close`."""
        ...


class AsyncAtomicStore(AsyncKvStore, AsyncMessageQueue, Protocol):
    """`AtomicStore` for event loops: the same contract, with coroutine methods."""

    async def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        """See `AtomicStore.commit`."""
        ...

    async def aclose(self) -> None:
        """See `KvStore.close`."""
        ...


class Enlistable(Protocol):
    """A store that can write inside a transaction of the application."""

    def enlist(self, connection: object, /) -> AtomicStore:
        """Bind the store to the application's open transaction on ``connection``.

        The returned store neither commits nor rolls back, and wakes no waiting worker. True from its ``commit`` means:
        written once that transaction commits.

        Raises:
            ContractError: ``connection`` is of another technology or database, or has no suitable open transaction.
        """
        ...


def check_enqueue(messages: Sequence[Message], /) -> None:
    """Check the arguments of ``enqueue``.

    Raises:
        ValueError: Over 100 messages, an id that is not 16 bytes, a body over 4 KiB, a label over 256 bytes or with a
            lone surrogate, or a delay that is not a number >= 0.
    """
    if len(messages) > ENQUEUE_MAX:
        raise ValueError(f"enqueue takes at most {ENQUEUE_MAX} messages, not {len(messages)}")
    for message in messages:
        if not isinstance(message.id, bytes) or len(message.id) != 16:
            raise ValueError(f"a message id is 16 bytes, not {message.id!r:.60}")
        if not isinstance(message.body, bytes) or len(message.body) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message body is at most {MESSAGE_BYTES_MAX} bytes, not {_sized(message.body)}")
        _check_label("lane", message.lane)
        if message.group is not None:
            _check_label("group", message.group)
        if message.dedup is not None:
            _check_label("dedup", message.dedup)
        _check_seconds("delay_s", message.delay_s, least=0.0)


def check_lease(lanes: Sequence[str], limit: int, lease_s: float) -> None:
    """Check the arguments of ``lease``.

    Raises:
        ValueError: No lane or an invalid one, a limit outside 1 to 100, or a lease that is not a positive number of
            seconds.
    """
    check_lanes(lanes)
    if not 1 <= limit <= LEASE_MAX:
        raise ValueError(f"lease takes a limit of 1 to {LEASE_MAX}, not {limit}")
    _check_seconds("lease_s", lease_s, least=0.001)


def check_lanes(lanes: Sequence[str], /) -> None:
    """Check a list of lanes.

    Raises:
        ValueError: A string instead of a list, no lane, over 100 lanes, or a label over 256 bytes.
    """
    if isinstance(lanes, str) or not 1 <= len(lanes) <= LEASE_MAX:
        raise ValueError(f"lanes are a sequence of 1 to {LEASE_MAX} names, not {lanes!r:.60}")
    for lane in lanes:
        _check_label("lane", lane)


def check_extend(leases: Sequence[LeasedMessage], lease_s: float) -> None:
    """Check the arguments of ``extend``.

    Raises:
        ValueError: Over 100 leases, or a lease that is not a positive number of seconds.
    """
    if len(leases) > LEASE_MAX:
        raise ValueError(f"extend takes at most {LEASE_MAX} leases, not {len(leases)}")
    _check_seconds("lease_s", lease_s, least=0.001)


def check_settle(settlements: Sequence[Settlement], /) -> None:
    """Check the arguments of ``settle``.

    Raises:
        ValueError: Over 100 settlements, a delay that is not a number >= 0, or the same lease twice.
    """
    if len(settlements) > LEASE_MAX:
        raise ValueError(f"settle takes at most {LEASE_MAX} settlements, not {len(settlements)}")
    if len({settlement.leased.token for settlement in settlements}) < len(settlements):
        raise ValueError("settle takes each lease at most once in a call; one lease is given twice")
    for settlement in settlements:
        if isinstance(settlement, Retry):
            _check_seconds("delay_s", settlement.delay_s, least=0.0)


def _sized(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else f"a {type(value).__name__}"


def _check_label(name: str, label: str) -> None:
    try:
        size = len(label.encode())
    except AttributeError:
        raise ValueError(f"a {name} is a string, not {label!r:.60}") from None
    except UnicodeEncodeError:
        raise ValueError(f"a {name} must not contain lone surrogates: {label!r:.60}") from None
    if size > LABEL_BYTES_MAX:
        raise ValueError(f"a {name} has at most {LABEL_BYTES_MAX} bytes, not {size}: {label!r:.60}")


def _check_seconds(name: str, value: float, *, least: float) -> None:
    if not (isfinite(value) and value >= least):
        raise ValueError(f"{name} is a number of seconds >= {least:g}, not {value}")
