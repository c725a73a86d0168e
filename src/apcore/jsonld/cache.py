"""A memory that strangers can fill and cannot spoil.

Two generations: what was asked for once waits in the first and is pushed out by whatever comes; what was asked for again moves to the second,
which only others that were asked for again can push out. A flood of things that are all different washes through the first.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar, final

__all__ = ["Memory"]

_V = TypeVar("_V")

_SIZE: Final = 256
"""Of each generation. A compiled context takes some thirty kilobytes."""


@final
class Memory(Generic[_V]):
    """A bounded map in two generations. A lost race between threads costs a compilation, nothing else."""

    __slots__ = ("_once", "_proven", "_size")

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._once: dict[Hashable, _V] = {}
        self._proven: dict[Hashable, _V] = {}

    def get(self, key: Hashable) -> _V | None:
        """Return what is known for ``key``, and remember that it was asked for."""
        value = self._proven.pop(key, None)
        if value is None:
            value = self._once.pop(key, None)
            if value is None:
                return None
            if len(self._proven) >= self._size:
                _forget_oldest(self._proven)
        self._proven[key] = value
        return value

    def put(self, key: Hashable, value: _V) -> None:
        """Remember ``value``, for now."""
        if len(self._once) >= self._size:
            _forget_oldest(self._once)
        self._once[key] = value

    def __len__(self) -> int:
        return len(self._once) + len(self._proven)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _forget_oldest(memory: dict[Hashable, Any]) -> None:
    try:
        del memory[next(iter(memory))]
    except (KeyError, RuntimeError, StopIteration):  # another thread was faster
        return
