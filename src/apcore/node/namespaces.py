"""Give each federation a part of a shared store and queue: its own keys and its own lanes.

Nodes with different namespaces share a database and nothing else. A worker never sees the messages, records, keys or
caches of another namespace. A node without a namespace uses the keys and lanes as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from attrs import evolve

from apcore.drivers.threaded_ports import async_queue, async_store
from apcore.errors import ConfigurationError
from apcore.ports import (
    AsyncRuntime,
    Check,
    Depth,
    Durability,
    Entry,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
    Write,
)

__all__ = ["in_namespace"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_KEY_PART: Final = "ns"
"""The first part of the keys of every namespace. No kind of record is called so."""
_LANE_SEPARATOR: Final = "~"


def in_namespace(port: Any, namespace: str | None) -> Any:
    """Return a store or queue that uses only the part of a namespace; the port itself if there is no namespace.

    Raises:
        ConfigurationError: ``namespace`` is not 1 to 63 characters of ``a-z``, ``0-9``, ``.``, ``_`` and ``-``.
    """
    if namespace is None or port is None:
        return port
    if not isinstance(namespace, str) or not _NAME.fullmatch(namespace):
        raise ConfigurationError(
            f"a namespace has 1 to 63 characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit: "
            f"not {namespace!r:.80}"
        )
    is_store, is_queue = hasattr(port, "commit"), hasattr(port, "enqueue")
    is_async = iscoroutinefunction(port.get if is_store else port.enqueue)
    kinds: dict[tuple[bool, bool], tuple[type[_Names], type[_Names]]] = {
        (True, True): (_AtomicStore, _AsyncAtomicStore),
        (True, False): (_Store, _AsyncStore),
        (False, True): (_Queue, _AsyncQueue),
    }
    return kinds[is_store, is_queue][is_async](port, namespace)


class _Names:
    """The names of a namespace in a port, and their inverse."""

    def __init__(self, port: Any, namespace: str) -> None:
        self._port = port
        self._namespace = namespace
        self._lane_prefix = f"{namespace}{_LANE_SEPARATOR}"

    @property
    def never_waits(self) -> bool:
        return bool(getattr(self._port, "never_waits", False))

    def _key(self, key: StoreKey) -> StoreKey:
        return (_KEY_PART, self._namespace, *key)

    def _keys(self, keys: Sequence[StoreKey]) -> list[StoreKey]:
        return [self._key(key) for key in keys]

    def _entry(self, entry: Entry | None) -> Entry | None:
        return None if entry is None else evolve(entry, key=entry.key[2:])

    def _entries(self, entries: Sequence[Entry]) -> list[Entry]:
        return [evolve(entry, key=entry.key[2:]) for entry in entries]

    def _checks(self, checks: Sequence[Check]) -> list[Check]:
        return [evolve(check, key=self._key(check.key)) for check in checks]

    def _writes(self, writes: Sequence[Write]) -> list[Write]:
        return [evolve(write, key=self._key(write.key)) for write in writes]

    def _lanes(self, lanes: Sequence[str]) -> list[str]:
        return [self._lane_prefix + lane for lane in lanes]

    def _messages(self, messages: Sequence[Message]) -> list[Message]:
        return [evolve(message, lane=self._lane_prefix + message.lane) for message in messages]

    def _outer_lease(self, leased: LeasedMessage) -> LeasedMessage:
        return evolve(leased, message=evolve(leased.message, lane=self._lane_prefix + leased.message.lane))

    def _inner_leases(self, leases: Sequence[LeasedMessage]) -> list[LeasedMessage]:
        size = len(self._lane_prefix)
        return [evolve(leased, message=evolve(leased.message, lane=leased.message.lane[size:])) for leased in leases]

    def _settlements(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        return [evolve(settlement, leased=self._outer_lease(settlement.leased)) for settlement in settlements]

    def _queued(self, queued: dict[str, Any]) -> dict[str, Any]:
        """Return the messages and settlements of a commit, in the lanes of the namespace."""
        outer: dict[str, Any] = {}
        if "messages" in queued:
            outer["messages"] = self._messages(queued["messages"])
        if "settles" in queued:
            outer["settles"] = self._settlements(queued["settles"])
        return outer


class _Store(_Names):
    """A blocking store."""

    @property
    def durability(self) -> Durability:
        return cast("Durability", self._port.durability)

    def asynchronous(self, runtime: AsyncRuntime) -> Any:
        return in_namespace(async_store(self._port, runtime), self._namespace)

    def enlist(self, connection: object, /) -> Any:
        if not hasattr(self._port, "enlist"):
            raise ConfigurationError(
                f"{type(self._port).__name__} cannot take part in a transaction of the application"
            )
        return in_namespace(self._port.enlist(connection), self._namespace)

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        return [self._entry(entry) for entry in self._port.get(self._keys(keys))]

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        start = None if after is None else self._key(after)
        return self._entries(self._port.scan(self._key(prefix), after=start, limit=limit, reverse=reverse))

    def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes, **queued: Any) -> bool:
        return bool(self._port.commit(self._checks(checks), self._writes(writes), token=token, **self._queued(queued)))

    def close(self) -> None:
        self._port.close()


class _Queue(_Names):
    """A blocking queue."""

    def asynchronous(self, runtime: AsyncRuntime) -> Any:
        return in_namespace(async_queue(self._port, runtime), self._namespace)

    def enqueue(self, messages: Sequence[Message], /) -> None:
        self._port.enqueue(self._messages(messages))

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        return self._inner_leases(self._port.lease(self._lanes(lanes), limit=limit, lease_s=lease_s))

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        outer = [self._outer_lease(leased) for leased in leases]
        return self._inner_leases(self._port.extend(outer, lease_s=lease_s))

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return self._inner_leases(self._port.settle(self._settlements(settlements)))

    def depth(self, lanes: Sequence[str], /) -> Depth:
        return cast("Depth", self._port.depth(self._lanes(lanes)))

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        self._port.wait(self._lanes(lanes), timeout_s=timeout_s)

    def close(self) -> None:
        self._port.close()


class _AtomicStore(_Store, _Queue):
    """A blocking store that is also the queue."""


class _AsyncStore(_Names):
    """A store for event loops."""

    @property
    def durability(self) -> Durability:
        return cast("Durability", self._port.durability)

    async def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        return [self._entry(entry) for entry in await self._port.get(self._keys(keys))]

    async def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        start = None if after is None else self._key(after)
        return self._entries(await self._port.scan(self._key(prefix), after=start, limit=limit, reverse=reverse))

    async def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes, **queued: Any) -> bool:
        outer = self._queued(queued)
        return bool(await self._port.commit(self._checks(checks), self._writes(writes), token=token, **outer))

    async def aclose(self) -> None:
        await self._port.aclose()


class _AsyncQueue(_Names):
    """A queue for event loops."""

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        await self._port.enqueue(self._messages(messages))

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        return self._inner_leases(await self._port.lease(self._lanes(lanes), limit=limit, lease_s=lease_s))

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        outer = [self._outer_lease(leased) for leased in leases]
        return self._inner_leases(await self._port.extend(outer, lease_s=lease_s))

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return self._inner_leases(await self._port.settle(self._settlements(settlements)))

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        return cast("Depth", await self._port.depth(self._lanes(lanes)))

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        await self._port.wait(self._lanes(lanes), timeout_s=timeout_s)

    async def aclose(self) -> None:
        await self._port.aclose()


class _AsyncAtomicStore(_AsyncStore, _AsyncQueue):
    """A store for event loops that is also the queue."""
