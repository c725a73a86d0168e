"""Name resolution: once, absolutely, and in threads of its own.

`getaddrinfo` blocks for as long as it likes and cannot be interrupted. So it runs in a few threads that do nothing else, and whoever waits gives
up at the deadline of the exchange; a name server that hangs costs these threads and nobody else's.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

__all__ = ["Resolver", "ResolverThreads", "system_resolver"]

Resolver = Callable[[str], Sequence[str]]
"""From a host name (an A-label) to its addresses as text, all of them. Blocks; raises `OSError` if there are none."""

_LOOPBACK: Final = ("127.0.0.1", "::1")


def system_resolver(host: str) -> Sequence[str]:
    """Ask the operating system."""
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK  # RFC 6761 §6.3: without asking anyone
    # The dot makes the name absolute: without it the search list of this machine could turn a public name into an internal one. A name without
    # dots is only here because the operator vouches for it, and then it is found as the operator's other programs find it.
    name = f"{host}." if "." in host else host
    found: dict[str, None] = {}
    for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
        match address:
            case (str(text), int(), int(), int(scope)) if scope and "%" not in text:
                found[f"{text}%{scope}"] = None  # a scope refuses an address, so it must not get lost here
            case _:
                found[str(address[0])] = None
    return tuple(found)


class ResolverThreads:
    """A bounded pool of threads for one resolver; starts with the first name, and anew after fork."""

    def __init__(self, resolver: Resolver, *, threads_max: int) -> None:
        self._resolver = resolver
        self._threads_max = threads_max
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def submit(self, host: str) -> Future[Sequence[str]]:
        """Begin to resolve. Cancelling the future withdraws a name that no thread has taken up."""
        if self._pid != os.getpid():
            # In a child after fork the threads are gone, and one of them may have held the lock.
            self._lock, self._executor, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads_max, thread_name_prefix="apcore-dns")
            return self._executor.submit(self._resolver, host)

    def close(self) -> None:
        """Let the threads end; they are not waited for."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
