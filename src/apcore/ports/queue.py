"""`MessageQueue`: reasons to look, at least once, with fenced leases.

The store holds facts; a message only names one. Losing the whole queue costs time, not data. The contract, point by point, is what
`apcore.testing.queue` checks. In short:

- **dedup**: while a message with the same (lane, dedup) *waits*, another adds nothing, and the earlier of the two due times holds. A leased one
  does not block: the newcomer waits, so no wake-up is lost. When a leased message comes back while a newcomer waits, the two become one again,
  with the place and the attempts of the one that came back and the earlier due time.
- **group**: at most one lease at a time per (lane, group), in order of enqueue; a delayed head holds its group back.
- **lease** adds one to ``attempt`` durably *before* the message is handed out, so a message that kills its worker is counted.
- **fencing**: `settle` and `extend` act only on the current token of a message. A lease that ran out but was not handed out again is current.
- There is no dead state: a dead letter is a fact in the store, then `Done`.

All times are durations on the queue's one clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final, Protocol, TypeAlias

from attrs import field, frozen

from apcore.ports.store import AsyncKvStore, Check, KvStore, Write

__all__ = [
    "BODY_BYTES_MAX",
    "ENQUEUE_MAX",
    "LABEL_BYTES_MAX",
    "LEASE_MAX",
    "Again",
    "AsyncAtomicStore",
    "AsyncMessageQueue",
    "AtomicStore",
    "Depth",
    "Done",
    "Enlistable",
    "Leased",
    "Message",
    "MessageQueue",
    "Settlement",
    "checked_enqueue",
    "checked_extend",
    "checked_lanes",
    "checked_lease",
    "checked_settle",
]

BODY_BYTES_MAX: Final = 4096
LABEL_BYTES_MAX: Final = 256
ENQUEUE_MAX: Final = 100
LEASE_MAX: Final = 100


@frozen
class Message:
    """A reason to look: at most 4 KiB that name facts in the store."""

    id: bytes = field(repr=bytes.hex)
    """16 bytes."""
    lane: str
    """The kind of work; workers lease by lane. At most 256 bytes of UTF-8, as `group` and `dedup`."""
    body: bytes = field(repr=False)
    delay_s: float = field(default=0.0, kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    dedup: str | None = field(default=None, kw_only=True)


@frozen
class Leased:
    """A message in a worker's hands, until the lease ends."""

    message: Message
    token: bytes = field(repr=False)
    """16 bytes, fresh for each lease: the fence."""
    attempt: int
    """1 for the first time it was handed out."""


@frozen
class Done:
    """The message has served: remove it."""

    leased: Leased


@frozen
class Again:
    """Hand the message out again after ``delay_s``; it keeps its place in its group."""

    leased: Leased
    delay_s: float


Settlement: TypeAlias = Done | Again
"""How a worker ends a lease."""


@frozen
class Depth:
    """How much waits in some lanes."""

    ready: int
    delayed: int
    leased: int
    oldest_ready_s: float | None
    """Since when the longest waiting ready message is due; None when nothing is ready."""


class MessageQueue(Protocol):
    """Wake-ups, at least once, with fenced leases. Every method raises `QueueUnavailable`, and `ValueError` for wrong arguments."""

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """Take all of at most 100 messages or none; durable on return as the store is."""
        ...

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[Leased]:
        """Take up to ``limit`` (1 to 100) due messages, lanes in the order given, at most one a group."""
        ...

    def extend(self, leases: Sequence[Leased], /, *, lease_s: float) -> Sequence[Leased]:
        """Let leases end ``lease_s`` from now; answers those that were lost."""
        ...

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[Leased]:
        """End leases; answers those that were lost, whose settlement did nothing."""
        ...

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """Count what waits in ``lanes`` together."""
        ...

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """Return when something in ``lanes`` may be due, or after ``timeout_s``. A hint: it may return early."""
        ...

    def close(self) -> None:
        """As `KvStore.close`."""
        ...


class AsyncMessageQueue(Protocol):
    """`MessageQueue` for event loops: the same contract, awaited."""

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        """As `MessageQueue.enqueue`."""
        ...

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[Leased]:
        """As `MessageQueue.lease`."""
        ...

    async def extend(self, leases: Sequence[Leased], /, *, lease_s: float) -> Sequence[Leased]:
        """As `MessageQueue.extend`."""
        ...

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[Leased]:
        """As `MessageQueue.settle`."""
        ...

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        """As `MessageQueue.depth`."""
        ...

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """As `MessageQueue.wait`."""
        ...

    async def aclose(self) -> None:
        """As `MessageQueue.close`."""
        ...


class AtomicStore(KvStore, MessageQueue, Protocol):
    """A store that is also the queue, in one database: a commit takes messages and settlements along."""

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
        """As `KvStore.commit`, with ``messages`` enqueued and ``settles`` settled in the same transaction.

        A lost lease among ``settles`` makes it False, with nothing written.
        """
        ...

    def close(self) -> None:
        """As `KvStore.close`."""
        ...


class AsyncAtomicStore(AsyncKvStore, AsyncMessageQueue, Protocol):
    """`AtomicStore` for event loops: the same contract, awaited."""

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
        """As `AtomicStore.commit`."""
        ...

    async def aclose(self) -> None:
        """As `KvStore.close`."""
        ...


class Enlistable(Protocol):
    """A store that can write inside a transaction of the application's own."""

    def enlist(self, connection: object, /) -> AtomicStore:
        """Bind to the application's open transaction on ``connection``.

        The result neither commits nor rolls back, and wakes nobody. True from its ``commit`` means: when that transaction commits.

        Raises:
            ContractError: Not a connection of this technology, not to this database, or no suitable transaction is open on it.
        """
        ...


def checked_enqueue(messages: Sequence[Message], /) -> None:
    """Hold the bounds of ``enqueue``.

    Raises:
        ValueError: Over 100 messages, an id that is not 16 bytes, a body over 4 KiB, a label over 256 bytes or with a lone surrogate, a delay
            that is not a number >= 0.
    """
    if len(messages) > ENQUEUE_MAX:
        raise ValueError(f"enqueue takes at most {ENQUEUE_MAX} messages, not {len(messages)}")
    for message in messages:
        if not isinstance(message.id, bytes) or len(message.id) != 16:
            raise ValueError(f"a message id is 16 bytes, not {message.id!r:.60}")
        if not isinstance(message.body, bytes) or len(message.body) > BODY_BYTES_MAX:
            raise ValueError(f"a message body is at most {BODY_BYTES_MAX} bytes, not {_sized(message.body)}")
        _check_label("lane", message.lane)
        if message.group is not None:
            _check_label("group", message.group)
        if message.dedup is not None:
            _check_label("dedup", message.dedup)
        _check_seconds("delay_s", message.delay_s, least=0.0)


def checked_lease(lanes: Sequence[str], limit: int, lease_s: float) -> None:
    """Hold the bounds of ``lease``.

    Raises:
        ValueError: No lane or a bad one, a limit outside 1 to 100, a lease that is not a positive number of seconds.
    """
    checked_lanes(lanes)
    if not 1 <= limit <= LEASE_MAX:
        raise ValueError(f"lease takes a limit of 1 to {LEASE_MAX}, not {limit}")
    _check_seconds("lease_s", lease_s, least=0.001)


def checked_lanes(lanes: Sequence[str], /) -> None:
    """Hold the bounds of a list of lanes.

    Raises:
        ValueError: A string in place of a list, none, over 100, or a label over 256 bytes.
    """
    if isinstance(lanes, str) or not 1 <= len(lanes) <= LEASE_MAX:
        raise ValueError(f"lanes are a sequence of 1 to {LEASE_MAX} names, not {lanes!r:.60}")
    for lane in lanes:
        _check_label("lane", lane)


def checked_extend(leases: Sequence[Leased], lease_s: float) -> None:
    """Hold the bounds of ``extend``.

    Raises:
        ValueError: Over 100 leases, or a lease that is not a positive number of seconds.
    """
    if len(leases) > LEASE_MAX:
        raise ValueError(f"extend takes at most {LEASE_MAX} leases, not {len(leases)}")
    _check_seconds("lease_s", lease_s, least=0.001)


def checked_settle(settlements: Sequence[Settlement], /) -> None:
    """Hold the bounds of ``settle``.

    Raises:
        ValueError: Over 100, a delay that is not a number >= 0, or one lease twice.
    """
    if len(settlements) > LEASE_MAX:
        raise ValueError(f"settle takes at most {LEASE_MAX} settlements, not {len(settlements)}")
    if len({settlement.leased.token for settlement in settlements}) < len(settlements):
        raise ValueError("a lease is settled once in one call; here one stands twice")
    for settlement in settlements:
        if isinstance(settlement, Again):
            _check_seconds("delay_s", settlement.delay_s, least=0.0)


def _sized(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else f"a {type(value).__name__}"


def _check_label(name: str, label: str) -> None:
    try:
        size = len(label.encode())
    except AttributeError:
        raise ValueError(f"a {name} is a string, not {label!r:.60}") from None
    except UnicodeEncodeError:
        raise ValueError(f"a {name} has no lone surrogates; this one has: {label!r:.60}") from None
    if size > LABEL_BYTES_MAX:
        raise ValueError(f"a {name} has at most {LABEL_BYTES_MAX} bytes, not {size}: {label!r:.60}")


def _check_seconds(name: str, value: float, *, least: float) -> None:
    if not (isfinite(value) and value >= least):
        raise ValueError(f"{name} is a number of seconds >= {least:g}, not {value}")
