"""Implement the methods of the store and queue ports over `ServerCall`: `ServerStore`, and `AsyncServerStore`.

An engine says how a call reaches its server (`_ask`), and makes the calls (`_server_calls`). Arguments are checked
here, before any I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from apcore.adapters.server_calls import ServerCall, ServerCalls
from apcore.errors import QueueUnavailable, StoreUnavailable
from apcore.ports import (
    Check,
    Depth,
    Durability,
    Entry,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
    Write,
    check_commit,
    check_enqueue,
    check_extend,
    check_get,
    check_lanes,
    check_lease,
    check_scan,
    check_settle,
)

__all__ = ["AsyncServerStore", "ServerStore"]

T = TypeVar("T")


class ServerStore(ABC):
    """`AtomicStore` without `wait` and `close`."""

    _server_calls: ServerCalls
    _durability: Durability

    @property
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""
        return self._durability

    @abstractmethod
    def _ask(self, call: ServerCall[T]) -> T:
        """Make a call in a transaction of its own, or in that of the application."""

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        encoded = check_get(keys)
        return self._ask(self._server_calls.get(keys, encoded)) if encoded else []

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        low, high = check_scan(prefix, after, limit, reverse=reverse)
        return self._ask(self._server_calls.scan(low, high, limit=limit, reverse=reverse))

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
        """See `AtomicStore.commit`."""
        commit = check_commit(checks, writes, token)
        check_enqueue(messages)
        check_settle(settles)
        return self._ask(self._server_calls.commit(commit, messages, settles))

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        check_enqueue(messages)
        if messages:
            self._ask_queue(self._server_calls.enqueue(messages))

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`."""
        check_lease(lanes, limit, lease_s)
        return self._ask_queue(self._server_calls.lease(lanes, limit=limit, lease_s=lease_s))

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        check_extend(leases, lease_s)
        return self._ask_queue(self._server_calls.extend(leases, lease_s=lease_s)) if leases else []

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        check_settle(settlements)
        return self._ask_queue(self._server_calls.settle(settlements)) if settlements else []

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. Call it about once a minute."""
        check_lanes(lanes)
        return self._ask_queue(self._server_calls.depth(lanes))

    def _ask_queue(self, call: ServerCall[T]) -> T:
        try:
            return self._ask(call)
        except StoreUnavailable as error:
            raise QueueUnavailable(str(error), retry_after_s=error.retry_after_s) from error


class AsyncServerStore(ABC):
    """`AsyncAtomicStore` without `wait` and `aclose`."""

    _server_calls: ServerCalls
    _durability: Durability

    @property
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""
        return self._durability

    @abstractmethod
    async def _ask(self, call: ServerCall[T]) -> T:
        """See `ServerStore._ask`."""

    async def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        encoded = check_get(keys)
        return await self._ask(self._server_calls.get(keys, encoded)) if encoded else []

    async def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        low, high = check_scan(prefix, after, limit, reverse=reverse)
        return await self._ask(self._server_calls.scan(low, high, limit=limit, reverse=reverse))

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
        """See `AtomicStore.commit`. A cancelled commit may still happen."""
        commit = check_commit(checks, writes, token)
        check_enqueue(messages)
        check_settle(settles)
        return await self._ask(self._server_calls.commit(commit, messages, settles))

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        check_enqueue(messages)
        if messages:
            await self._ask_queue(self._server_calls.enqueue(messages))

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`."""
        check_lease(lanes, limit, lease_s)
        return await self._ask_queue(self._server_calls.lease(lanes, limit=limit, lease_s=lease_s))

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        check_extend(leases, lease_s)
        return await self._ask_queue(self._server_calls.extend(leases, lease_s=lease_s)) if leases else []

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        check_settle(settlements)
        return await self._ask_queue(self._server_calls.settle(settlements)) if settlements else []

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`. Call it about once a minute."""
        check_lanes(lanes)
        return await self._ask_queue(self._server_calls.depth(lanes))

    async def _ask_queue(self, call: ServerCall[T]) -> T:
        try:
            return await self._ask(call)
        except StoreUnavailable as error:
            raise QueueUnavailable(str(error), retry_after_s=error.retry_after_s) from error
