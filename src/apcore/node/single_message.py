"""Process one message that a platform hands out, and record how it ended in place of settling it in a queue.

On a serverless platform, the queue calls your program with each message, and wants to hear whether to present it again.
New messages still go to the node's queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from apcore.errors import ConfigurationError
from apcore.ports import AsyncMessageQueue, Depth, Done, LeasedMessage, Message, MessageQueue, Settlement

__all__ = ["AsyncSingleMessageQueue", "SingleMessageQueue", "lease_of"]

Queue = TypeVar("Queue")
_ERROR_S: Final = 30.0
"""The delay of a message that nothing settled, because the store did not answer."""


def lease_of(message: Message, attempt: int) -> LeasedMessage:
    """Return the lease of a message that a platform holds. It never runs out here."""
    if attempt < 1:
        raise ValueError(f"attempt={attempt}: the first attempt is 1")
    return LeasedMessage(message, bytes(16), attempt)


def _require_queue(queue: Queue | None) -> Queue:
    """Return the queue of a node.

    Raises:
        ConfigurationError: There is none.
    """
    if queue is None:
        raise ConfigurationError("this node has no queue for new messages: pass queue=")
    return queue


class _Settlements:
    """The settlements of the one message."""

    def __init__(self) -> None:
        self._settlement: Settlement | None = None

    def note(self, settlements: Sequence[Settlement]) -> Sequence[LeasedMessage]:
        self._settlement = settlements[-1]
        return ()

    @property
    def retry_in_s(self) -> float | None:
        """The seconds after which to present the message again; None if it is done."""
        if self._settlement is None:
            return _ERROR_S
        return None if isinstance(self._settlement, Done) else self._settlement.delay_s


class SingleMessageQueue:
    """A `MessageQueue` in which one message is leased. New messages go to the node's queue."""

    def __init__(self, queue: MessageQueue | None) -> None:
        self._queue = _require_queue(queue)
        self.settlements: Final = _Settlements()

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        self._queue.enqueue(messages)

    def lease(self, _lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """Return nothing: the one message is leased."""
        del limit, lease_s
        return ()

    def extend(self, _leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """Return nothing: the lease never runs out here."""
        del lease_s
        return ()

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """Record the settlement of the one message."""
        return self.settlements.note(settlements)

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`."""
        return self._queue.depth(lanes)

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        self._queue.wait(lanes, timeout_s=timeout_s)

    def close(self) -> None:
        """Do nothing: the node closes its queue."""


class AsyncSingleMessageQueue:
    """An `AsyncMessageQueue` in which one message is leased; see `SingleMessageQueue`."""

    def __init__(self, queue: AsyncMessageQueue | None) -> None:
        self._queue = _require_queue(queue)
        self.settlements: Final = _Settlements()

    async def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        await self._queue.enqueue(messages)

    async def lease(self, _lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """Return nothing: the one message is leased."""
        del limit, lease_s
        return ()

    async def extend(self, _leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """Return nothing: the lease never runs out here."""
        del lease_s
        return ()

    async def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """Record the settlement of the one message."""
        return self.settlements.note(settlements)

    async def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`."""
        return await self._queue.depth(lanes)

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        await self._queue.wait(lanes, timeout_s=timeout_s)

    async def aclose(self) -> None:
        """Do nothing: the node closes its queue."""
