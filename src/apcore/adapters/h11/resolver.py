"""Resolve names in dedicated threads, as absolute names.

`getaddrinfo` blocks for an unbounded time and cannot be interrupted. So it runs in a few dedicated threads, and the
waiting exchange gives up at its deadline. A name server that hangs blocks only these threads.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

__all__ = ["HOSTS_BYTES_MAX", "HostsFile", "Resolver", "ResolverThreads", "SystemResolver", "system_resolver"]

Resolver = Callable[[str], Sequence[str]]
"""A function from a host name (an A-label) to all its addresses as text. Blocks; raises `OSError` if there are none."""

_LOOPBACK: Final = ("127.0.0.1", "::1")
HOSTS_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much of a hosts file is read. Lists against advertising have up to about 5 MiB."""
_ETC: Final = Path(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "drivers", "etc")
HOSTS_FILE: Final = _ETC / "hosts" if sys.platform == "win32" else Path("/etc/hosts")
"""Where this machine keeps the names that it knows by itself."""


class HostsFile:
    """The addresses in a hosts file (hosts(5)), read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._state: tuple[tuple[int, int, int] | None, dict[str, tuple[str, ...]]] = (None, {})

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of ``host``, in the order of the file. An unreadable file has none."""
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._state[0]:
                with self._path.open("rb") as file:
                    # One assignment, so that threads that read at the same moment see the one table or the other.
                    self._state = (version, _hosts_of(file.read(HOSTS_BYTES_MAX).decode("utf-8", "replace")))
        except OSError:
            return ()
        return self._state[1].get(host.lower(), ())


def _hosts_of(text: str) -> dict[str, tuple[str, ...]]:
    hosts: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or ("",)
        try:
            _ = ip_address(address)
        except ValueError:
            continue
        for name in dict.fromkeys(name.lower().rstrip(".") for name in names):
            hosts[name] = (*hosts.get(name, ()), address)
    return hosts


class SystemResolver:
    """Resolve names as this machine does, but never through its search list.

    A search list (``search`` in resolv.conf, ``ndots:5`` in Kubernetes) lets the machine try ``name.internal.example``
    for ``name``. So a public name could be answered by an internal host. A dot at the end of the name rules that out,
    but such a name is not found in the hosts file either, which Docker (``extra_hosts``) and Kubernetes
    (``hostAliases``) write. Therefore the hosts file is read here, by exact name, and the name servers are asked with
    the dot.

    A name without any dot is only asked for because the operator allows it (`AddressPolicy`). It goes to the system as
    it is, search list included.
    """

    def __init__(
        self,
        *,
        hosts_file: Path = HOSTS_FILE,
        getaddrinfo: Callable[..., Sequence[tuple[Any, ...]]] | None = None,
    ) -> None:
        self._hosts: Final = HostsFile(hosts_file)
        self._getaddrinfo: Final = getaddrinfo

    def __call__(self, host: str) -> Sequence[str]:
        """Return the addresses of ``host``. Raises `OSError` if it has none."""
        if host == "localhost" or host.endswith(".localhost"):
            return _LOOPBACK  # RFC 6761 §6.3: without asking anyone
        is_qualified = "." in host
        listed = self._hosts.addresses(host) if is_qualified else ()
        if listed:
            return listed
        ask = self._getaddrinfo or socket.getaddrinfo
        addresses: dict[str, None] = {}
        for *_, address in ask(f"{host}." if is_qualified else host, None, type=socket.SOCK_STREAM):
            match address:
                case (str(text), int(), int(), int(scope)) if scope and "%" not in text:
                    addresses[f"{text}%{scope}"] = None  # a scope refuses an address, so it must not get lost here
                case _:
                    addresses[str(address[0])] = None
        return tuple(addresses)


_SYSTEM: Final = SystemResolver()


def system_resolver(host: str) -> Sequence[str]:
    """Ask the operating system: its hosts file first, then its name servers. Its search list is never used."""
    return _SYSTEM(host)


class ResolverThreads:
    """A bounded pool of threads for one resolver. Starts with the first name, and again after a fork."""

    def __init__(self, resolver: Resolver, *, threads_max: int) -> None:
        self._resolver = resolver
        self._threads_max = threads_max
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def submit(self, host: str) -> Future[Sequence[str]]:
        """Start to resolve ``host``. Cancelling the future withdraws a name that no thread has started on."""
        if self._pid != os.getpid():
            # In a child after a fork the threads are gone, and one of them may have held the lock.
            self._lock, self._executor, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads_max, thread_name_prefix="apcore-dns")
            return self._executor.submit(self._resolver, host)

    def close(self) -> None:
        """Let the threads end, without waiting for them."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
