"""`Batch`: one part of a commit. Parts add up, so that state that belongs together commits together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from apcore.ports.keys import StoreKey
from apcore.ports.queue import Message
from apcore.ports.store import Check, Increment, Write

__all__ = ["NO_CHANGE", "Batch", "merge_writes"]


def _as_checks(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(checks)


def _as_writes(writes: Iterable[Write]) -> tuple[Write, ...]:
    return tuple(writes)


def _as_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple(messages)


@frozen
class Batch:
    """The conditions, writes and messages of one part of a commit.

    ``one + two`` joins two parts. A part may repeat a check or write a key twice; `merged` removes the repetitions,
    which a store refuses.
    """

    checks: tuple[Check, ...] = field(default=(), converter=_as_checks)
    writes: tuple[Write, ...] = field(default=(), converter=_as_writes)
    messages: tuple[Message, ...] = field(default=(), converter=_as_messages)

    def __add__(self, other: Batch) -> Batch:
        # Many parts are empty, and every received activity adds up several.
        if not other:
            return self
        if not self:
            return other
        return Batch(self.checks + other.checks, self.writes + other.writes, self.messages + other.messages)

    @classmethod
    def joined(cls, parts: Iterable[Batch]) -> Batch:
        """Return the sum of ``parts``. It costs less than adding them one by one."""
        checks: list[Check] = []
        writes: list[Write] = []
        messages: list[Message] = []
        for part in parts:
            checks += part.checks
            writes += part.writes
            messages += part.messages
        return cls(checks, writes, messages)

    def __bool__(self) -> bool:
        return bool(self.checks or self.writes or self.messages)

    @property
    def merged(self) -> Batch:
        """The same part with each check once and one write per key, see `merge_writes`."""
        return Batch(dict.fromkeys(self.checks), merge_writes(self.writes), self.messages)


NO_CHANGE: Final = Batch()
"""The part that changes nothing: the start of a sum."""


def merge_writes(writes: Iterable[Write]) -> list[Write]:
    """Return one write per key, in the order of first mention.

    Increments add up; of other writes, the last one counts.
    """
    writes_by_key: dict[StoreKey, Write] = {}
    for write in writes:
        earlier = writes_by_key.get(write.key)
        if isinstance(write, Increment) and isinstance(earlier, Increment):
            writes_by_key[write.key] = Increment(write.key, earlier.delta + write.delta)
        else:
            writes_by_key[write.key] = write
    return list(writes_by_key.values())
