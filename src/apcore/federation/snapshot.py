"""Define `Snapshot`: the time and the entries that one request reads at once, for all the rules that need them.

A POST to an inbox is judged by several rules, and each of them needs an entry or two: the rules for the sender's
domain, the record of the addressed actor, its block of the sender, and the key that signed. Every rule could read its
own, and each read would be a round trip to the store. So the keys of all rules are collected first and read together.

Two restrictions keep the verdicts the same as with separate reads:

- An entry serves the first rule that takes it. A later rule reads it again, so it sees what was written meanwhile.
- When something was fetched or written, the rest is dropped. A fetch takes seconds, in which all of it may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from apcore.effects import Get, Now, Op
from apcore.ports import GET_KEYS_MAX, Entry, StoreKey

__all__ = ["Snapshot", "read_snapshot"]


class Snapshot:
    """The time and the entries that were read for one request. An empty one answers no question."""

    __slots__ = ("_entries", "_now")

    def __init__(self, now: datetime | None = None, entries: dict[StoreKey, Entry | None] | None = None) -> None:
        self._now = now
        self._entries = entries or {}

    def take(self, keys: Sequence[StoreKey]) -> list[Entry | None] | None:
        """Remove and return the entries of ``keys``, in their order; None unless each was read, and not taken."""
        entries = self._entries
        for key in keys:
            if key not in entries:
                return None
        return [entries.pop(key) for key in keys]

    def get(self, keys: Sequence[StoreKey]) -> Op[Sequence[Entry | None]]:
        """Remove and return the entries of ``keys``, or read all of them.

        Effects: one `Get`, or none.
        """
        entries = self.take(keys)
        return (yield from Get(keys)) if entries is None else entries

    def now(self) -> Op[datetime]:
        """Return the time of the request, or the present time once the snapshot is dropped.

        Effects: `Now`, or none.
        """
        return (yield from Now()) if self._now is None else self._now

    def drop(self) -> None:
        """Forget the time and all entries, because something was fetched or written."""
        self._now = None
        self._entries.clear()


def read_snapshot(now: datetime, keys: Iterable[StoreKey]) -> Op[Snapshot]:
    """Read ``keys`` at once, and return a snapshot with their entries. Keys beyond `GET_KEYS_MAX` are left out.

    Effects: one `Get`.
    """
    distinct_keys = list(dict.fromkeys(keys))[:GET_KEYS_MAX]
    entries = yield from Get(distinct_keys)
    return Snapshot(now, dict(zip(distinct_keys, entries, strict=True)))
