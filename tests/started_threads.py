"""Check that threads that a test starts end with it, even if other tests run threads in the same process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 30.0


@contextmanager
def ends_its_threads(name_prefix: str = "") -> Iterator[None]:
    """Fail if a thread that was started inside lives on; ``name_prefix`` excludes threads of other libraries.

    Threads of earlier tests may end meanwhile, so numbers of threads say nothing.
    """
    before = set(threading.enumerate())
    yield
    started = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith(name_prefix)]
    for thread in started:
        thread.join(PATIENCE_S)  # A pool that is shut down lets its threads end by themselves.
    alive = [thread.name for thread in started if thread.is_alive()]
    assert not alive, f"threads that stayed behind: {', '.join(alive)}"
