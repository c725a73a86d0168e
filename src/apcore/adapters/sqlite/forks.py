"""Stores and ``fork``: before one, every connection of ours is closed; after it, parent and child open their own.

A child that leaves inherited connections alone and opens new ones is *not* safe. SQLite keeps one record of its locks for each file and process; the
child inherits that record, but not the locks, so its new connections hold none that the kernel knows of. When the parent then closes its last
connection, it takes itself for the last of all and deletes the log into which the child still writes: commits that answered True are gone. (The
test in ``test_sqlite_forks`` shows it.) Closing before the fork leaves nothing to inherit.

Python calls these hooks around ``os.fork`` and `multiprocessing`. A fork in C that does not call them is noticed by the process id, and refused.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forking", "watch"]


class Forking(Protocol):
    """Something that must not be open across a fork."""

    def before_fork(self) -> None:
        """Close, and let nobody open until `after_fork`."""
        ...

    def after_fork(self, *, in_child: bool) -> None:
        """Allow opening again."""
        ...


class _Watched:
    """All that is open in this process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.things: WeakSet[Forking] = WeakSet()
        self.held: list[Forking] = []
        self.is_registered = False

    def before(self) -> None:
        _ = self.lock.acquire()
        self.held = list(self.things)
        for thing in self.held:
            thing.before_fork()

    def after_in_parent(self) -> None:
        self._after(in_child=False)
        self.lock.release()

    def after_in_child(self) -> None:
        self._after(in_child=True)
        self.lock = Lock()

    def _after(self, *, in_child: bool) -> None:
        held, self.held = self.held, []
        for thing in held:
            thing.after_fork(in_child=in_child)


_watched = _Watched()


def watch(thing: Forking) -> None:
    """Have ``thing`` told of forks for as long as it lives."""
    with _watched.lock:
        if not _watched.is_registered:
            _watched.is_registered = True
            os.register_at_fork(
                before=_watched.before,
                after_in_parent=_watched.after_in_parent,
                after_in_child=_watched.after_in_child,
            )
        _watched.things.add(thing)
