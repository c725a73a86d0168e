"""Route the kinds of work to queues of their own, such as received activities, fan-outs and deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, Literal, TypeAlias, cast

from apcore.errors import ConfigurationError
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, KINDS, kind_of_lane
from apcore.node.namespaces import in_namespace
from apcore.ports import AsyncMessageQueue, Depth, LeasedMessage, Message, MessageQueue, Settlement

__all__ = ["ALL_WORK", "QueuesLike", "WorkKind", "check_kinds", "routed_queue"]

WorkKind: TypeAlias = Literal["inbox", "fanout", "deliver", "refresh", "poll"]
"""A kind of work: received activities, planning deliveries, deliveries, refreshing copies, and polling collections."""
ALL_WORK: Final[tuple[WorkKind, ...]] = ("inbox", "fanout", "deliver", "refresh", "poll")
QueuesLike: TypeAlias = Mapping[WorkKind, MessageQueue] | Mapping[WorkKind, AsyncMessageQueue]
_NAMES: Final = frozenset(KINDS)
_REQUIRED: Final = frozenset({INBOX, FANOUT, DELIVER})
"""The kinds that a mapping of queues names. The others share the queue of received activities, unless it names them."""


def check_kinds(kinds: Sequence[WorkKind]) -> tuple[str, ...]:
    """Return the kinds of work that a worker serves, in their usual order.

    Raises:
        ConfigurationError: There is none, or an unknown word.
    """
    words = set(kinds)
    if isinstance(kinds, str) or not words or not words <= _NAMES:
        raise ConfigurationError(f"works takes some of {', '.join(KINDS)}, not {kinds!r:.80}")
    return tuple(kind for kind in KINDS if kind in words)


def routed_queue(queue: Any, namespace: str | None) -> Any:
    """Return one queue for a mapping from kinds of work to queues. Any queue uses only the part of the namespace.

    Raises:
        ConfigurationError: A kind has no queue, or there is an unknown one, or blocking and async queues are mixed.
    """
    if not isinstance(queue, Mapping):
        return in_namespace(queue, namespace)
    queues: dict[str, Any] = dict(cast("Mapping[str, Any]", queue))
    if not _REQUIRED <= set(queues) <= _NAMES:
        raise ConfigurationError(
            f"queue= takes a queue for each of {', '.join(kind for kind in KINDS if kind in _REQUIRED)}, and may have "
            f"others for {', '.join(kind for kind in KINDS if kind not in _REQUIRED)}: not for {sorted(queues)!r:.80}"
        )
    queues = {kind: queues.get(kind, queues[INBOX]) for kind in KINDS}
    async_kinds = [kind for kind, one_queue in queues.items() if iscoroutinefunction(one_queue.enqueue)]
    if async_kinds and len(async_kinds) < len(queues):
        raise ConfigurationError("the queues of one node are all blocking or all async")
    parts = {id(one_queue): in_namespace(one_queue, namespace) for one_queue in queues.values()}
    by_kind = {kind: parts[id(one_queue)] for kind, one_queue in queues.items()}
    return (_AsyncRoutedQueue if async_kinds else _RoutedQueue)(by_kind)


class _Routes:
    """The queue of each kind of work."""

    def __init__(self, queues: dict[str, Any]) -> None:
        self._queues = queues

    def _queue(self, lane: str) -> Any:
        return self._queues[kind_of_lane(lane)]

    def _by_queue(self, items: Sequence[Any], lanes: Sequence[str]) -> list[tuple[Any, list[Any]]]:
        """Return the items for each queue, in the order in which the queues first appear."""
        groups: dict[int, tuple[Any, list[Any]]] = {}
        for item, lane in zip(items, lanes, strict=True):
            queue = self._queue(lane)
            groups.setdefault(id(queue), (queue, []))[1].append(item)
        return list(groups.values())

    def _messages(self, messages: Sequence[Message]) -> list[tuple[Any, list[Message]]]:
        return self._by_queue(messages, [message.lane for message in messages])

    def _leases(self, leases: Sequence[LeasedMessage]) -> list[tuple[Any, list[LeasedMessage]]]:
        return self._by_queue(leases, [leased.message.lane for leased in leases])

    def _settlements(self, settlements: Sequence[Settlement]) -> list[tuple[Any, list[Settlement]]]:
        return self._by_queue(settlements, [settlement.leased.message.lane for settlement in settlements])

    def _lanes(self, lanes: Sequence[str]) -> list[tuple[Any, list[str]]]:
        return self._by_queue(lanes, lanes)


class _RoutedQueue(_Routes):
    """A blocking queue over several."""

    def enqueue(self, messages: Sequence[Message], /) -> None:
        for queue, group in self._messages(messages):
            queue.enqueue(group)

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        leases: list[LeasedMessage] = []
        for queue, group in self._lanes(lanes):
            if len(leases) < limit:
                leases += queue.lease(group, limit=limit - len(leases), lease_s=lease_s)
        return leases

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        return [one for queue, group in self._leases(leases) for one in queue.extend(group, lease_s=lease_s)]

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return [one for queue, group in self._settlements(settlements) for one in queue.settle(group)]

    def depth(self, lanes: Sequence[str], /) -> Depth:
        return _sum([queue.depth(group) for queue, group in self._lanes(lanes)])

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        groups = self._lanes(lanes)
        for queue, group in groups:
            queue.wait(group, timeout_s=timeout_s / len(groups))

    def close(self) -> None:
        for queue in self._queues.values():
            queue.close()


class _AsyncRoutedQueue(_Routes):
    """A queue for event loops over several."""

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        for queue, group in self._messages(messages):
            await queue.enqueue(group)

    async def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        leases: list[LeasedMessage] = []
        for queue, group in self._lanes(lanes):
            if len(leases) < limit:
                leases += await queue.lease(group, limit=limit - len(leases), lease_s=lease_s)
        return leases

    async def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        return [one for queue, group in self._leases(leases) for one in await queue.extend(group, lease_s=lease_s)]

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        return [one for queue, group in self._settlements(settlements) for one in await queue.settle(group)]

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        return _sum([await queue.depth(group) for queue, group in self._lanes(lanes)])

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        groups = self._lanes(lanes)
        for queue, group in groups:
            await queue.wait(group, timeout_s=timeout_s / len(groups))

    async def aclose(self) -> None:
        for queue in self._queues.values():
            await queue.aclose()


def _sum(depths: Sequence[Depth]) -> Depth:
    oldest = [depth.oldest_ready_s for depth in depths if depth.oldest_ready_s is not None]
    return Depth(
        ready=sum(depth.ready for depth in depths),
        delayed=sum(depth.delayed for depth in depths),
        leased=sum(depth.leased for depth in depths),
        oldest_ready_s=max(oldest, default=None),
    )
