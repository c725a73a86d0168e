"""Define `ServerCall`: one call of a function that runs inside a database server.

Each method of the ports is one such call, and so one round trip. The functions in the server decide everything: in
PL/pgSQL for PostgreSQL, in Lua for Redis. So a blocking store, its twin for event loops and a transaction of the
application differ only in how they carry a call to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from attrs import field, frozen

from apcore.ports import (
    Depth,
    EncodedCommit,
    Entry,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
)

__all__ = ["ServerCall", "ServerCalls"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@frozen
class ServerCall(Generic[T_co]):
    """The name of a function in the server, its arguments, and the reading of its answer."""

    function: str
    arguments: Sequence[object] = field(repr=False)
    read: Callable[[Any], T_co] = field(repr=False)
    changes: bool = True
    """Whether the call may change anything. Then a lost answer leaves its outcome unknown."""


class ServerCalls(Protocol):
    """Make the calls of one engine. Arguments have been checked."""

    def get(self, keys: Sequence[StoreKey], encoded: Sequence[bytes], /) -> ServerCall[list[Entry | None]]:
        """See `KvStore.get`; ``encoded`` are the encoded ``keys``."""
        ...

    def scan(self, low: bytes, high: bytes, /, *, limit: int, reverse: bool) -> ServerCall[list[Entry]]:
        """Return up to ``limit`` entries strictly between two encoded keys."""
        ...

    def commit(
        self, commit: EncodedCommit, messages: Sequence[Message], settles: Sequence[Settlement], /
    ) -> ServerCall[bool]:
        """See `AtomicStore.commit`."""
        ...

    def enqueue(self, messages: Sequence[Message], /) -> ServerCall[None]:
        """See `MessageQueue.enqueue`."""
        ...

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `MessageQueue.lease`."""
        ...

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `MessageQueue.extend`."""
        ...

    def settle(self, settlements: Sequence[Settlement], /) -> ServerCall[list[LeasedMessage]]:
        """See `MessageQueue.settle`."""
        ...

    def depth(self, lanes: Sequence[str], /) -> ServerCall[Depth]:
        """See `MessageQueue.depth`."""
        ...

    def next_due(self, lanes: Sequence[str], /) -> ServerCall[float | None]:
        """Return the seconds until a message can be leased (0 or less: now); None if there is none."""
        ...
