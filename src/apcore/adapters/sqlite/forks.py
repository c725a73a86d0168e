"""Close the stores before a ``fork``, so that parent and child each open their own connections afterwards.

Merely ignoring inherited connections in the child is *not* safe. SQLite keeps one record of its locks per file and
process. The child inherits that record, but not the locks, so the kernel knows of no lock for its new connections. When
the parent closes its last connection, it believes that no other is open, and deletes the log into which the child still
writes. Commits that returned True are then lost (the test in ``test_sqlite_forks`` shows this). Closing before the fork
leaves nothing to inherit.

Python calls these hooks around ``os.fork`` and `multiprocessing`. A fork in C that does not call them is detected by
the process id, and refused.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forking", "watch"]


class Forking(Protocol):
    """An object that must not be open across a fork."""

    def before_fork(self) -> None:
        """Close, and refuse to open until `after_fork`."""
        ...

    def after_fork(self, *, in_child: bool) -> None:
        """Allow opening again."""
        ...


class _Watched:
    """The open stores of this process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.stores: WeakSet[Forking] = WeakSet()
        self.closed_stores: list[Forking] = []
        self.is_registered = False

    def before(self) -> None:
        _ = self.lock.acquire()
        self.closed_stores = list(self.stores)
        for store in self.closed_stores:
            store.before_fork()

    def after_in_parent(self) -> None:
        self._after(in_child=False)
        self.lock.release()

    def after_in_child(self) -> None:
        self._after(in_child=True)
        self.lock = Lock()

    def _after(self, *, in_child: bool) -> None:
        closed_stores, self.closed_stores = self.closed_stores, []
        for store in closed_stores:
            store.after_fork(in_child=in_child)


_watched = _Watched()


def watch(store: Forking) -> None:
    """Call the hooks of ``store`` around forks, for as long as it lives."""
    with _watched.lock:
        if not _watched.is_registered:
            _watched.is_registered = True
            os.register_at_fork(
                before=_watched.before,
                after_in_parent=_watched.after_in_parent,
                after_in_child=_watched.after_in_child,
            )
        _watched.stores.add(store)
