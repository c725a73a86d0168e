"""Provide `Memory`, a bounded cache that keeps its useful entries when a peer floods it.

The cache has two generations. A new entry enters the first generation; every newer entry can displace it there. An
entry that is read moves to the second generation; only other entries that were read can displace it there. So a flood
of values that are never repeated passes through the first generation, and leaves the second as it is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar, final

__all__ = ["Memory"]

_V = TypeVar("_V")

_SIZE: Final = 256
"""The default capacity of each generation. A compiled context takes about 30 KB."""


@final
class Memory(Generic[_V]):
    """A bounded map with two generations. A race between threads can only lose an entry, which costs a compilation."""

    __slots__ = ("_first", "_second", "_size")

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._first: dict[Hashable, _V] = {}
        self._second: dict[Hashable, _V] = {}

    def get(self, key: Hashable) -> _V | None:
        """Return the value of ``key``, and move it to the second generation."""
        value = self._second.pop(key, None)
        if value is None:
            value = self._first.pop(key, None)
            if value is None:
                return None
            if len(self._second) >= self._size:
                _forget_oldest(self._second)
        self._second[key] = value
        return value

    def put(self, key: Hashable, value: _V) -> None:
        """Store ``value`` in the first generation."""
        if len(self._first) >= self._size:
            _forget_oldest(self._first)
        self._first[key] = value

    def __len__(self) -> int:
        return len(self._first) + len(self._second)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _forget_oldest(memory: dict[Hashable, Any]) -> None:
    try:
        del memory[next(iter(memory))]
    except (KeyError, RuntimeError, StopIteration):  # Another thread has removed it.
        return
