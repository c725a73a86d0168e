"""Define connections, and pool the idle ones.

A `Connection` is a non-blocking socket with a checked peer address, with or without TLS. Nothing here waits, so both
transports share this module. The pool keeps few connections for a short time: a federated server talks to thousands of
hosts, mostly once.

The pool key includes the address policy. A connection that one request was allowed to make is not reused for a request
with a stricter policy.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from typing import Final

from attrs import frozen
from typing_extensions import override

from apcore.http import AddressPolicy, Origin

__all__ = ["Connection", "IdlePool", "PoolKey", "TlsLayer"]


@frozen
class PoolKey:
    """The properties that two requests must share to share a connection."""

    origin: Origin
    addresses: AddressPolicy


class TlsLayer:
    """TLS as bytes in and bytes out."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "clean_end")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.clean_end = False
        """Whether the peer has announced the end of its data (close_notify)."""

    def feed(self, data: bytes) -> None:
        """Process bytes from the wire. Empty ``data`` means that the peer closed."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def drain(self) -> bytes:
        """Return the bytes to send."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Continue the handshake, and return whether it is complete. Raises `ssl.SSLError`."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> bytes:
        """Encrypt ``data``, and return the bytes to send."""
        self._tls.write(data)
        return self.drain()

    def read(self) -> bytes:
        """Decrypt all received bytes. Raises `ssl.SSLError`, also if the connection ended without close_notify."""
        plain = bytearray()
        try:
            while piece := self._tls.read(65536):
                plain += piece
            self.clean_end = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.clean_end = True
        return bytes(plain)


class Connection:
    """A socket to a peer with a checked address."""

    __slots__ = ("reused", "sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: Final = sock
        self.tls: TlsLayer | None = None
        self.reused = False
        """Whether an earlier exchange used the connection. If so, the peer may have closed it since."""

    def close(self) -> None:
        """Close at once, without a TLS shutdown: callers count the bytes that they need."""
        self.sock.close()

    def is_stale(self) -> bool:
        """Return whether an idle connection has data to read: its end, or bytes that belong to no response."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    @override
    def __repr__(self) -> str:
        return f"Connection({self.sock!r}, {'tls' if self.tls else 'plain'})"


class IdlePool:
    """Idle connections by key; the newest is reused first. Safe to use from several threads."""

    def __init__(self, *, idle_max: int, idle_per_origin_max: int, idle_s: float) -> None:
        self._idle_max = idle_max
        self._per_key_max = idle_per_origin_max
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._is_open = True
        self._idle: dict[Connection, tuple[PoolKey, float]] = {}
        """The idle connections, oldest first, with the time since when they are idle."""
        self._by_key: dict[PoolKey, list[Connection]] = {}

    def take(self, key: PoolKey, now: float) -> Connection | None:
        """Return a connection that is probably alive, and close the dead ones."""
        while True:
            with self._lock:
                expired = self._expired(now)
                connection = self._newest(key)
            _close_all(expired)
            if connection is None or not connection.is_stale():
                return connection
            connection.close()

    def put(self, key: PoolKey, connection: Connection, now: float) -> None:
        """Keep a connection for the next exchange. If the pool is full, close this or an older one."""
        connection.reused = True
        with self._lock:
            closing = self._expired(now)
            if self._is_open:
                self._idle[connection] = (key, now)
                self._by_key.setdefault(key, []).append(connection)
                closing += self._excess(key)
            else:
                closing.append(connection)
        _close_all(closing)

    def shut(self) -> None:
        """Close all connections, also those returned later."""
        with self._lock:
            self._is_open = False
            closing = list(self._idle)
            self._idle.clear()
            self._by_key.clear()
        _close_all(closing)

    def abandon(self) -> None:
        """Close all connections in a child after a fork.

        The lock may be held by a thread that does not exist in the child.
        """
        self._lock = threading.Lock()
        self.shut()

    def __len__(self) -> int:
        return len(self._idle)

    def _newest(self, key: PoolKey) -> Connection | None:
        connections = self._by_key.get(key)
        return None if connections is None else self._remove(connections[-1])

    def _excess(self, key: PoolKey) -> list[Connection]:
        """Remove the oldest connection of ``key`` if it has too many, else the oldest of all if there are too many."""
        connections = self._by_key[key]
        if len(connections) > self._per_key_max:
            return [self._remove(connections[0])]
        return [self._remove(next(iter(self._idle)))] if len(self._idle) > self._idle_max else []

    def _expired(self, now: float) -> list[Connection]:
        expired: list[Connection] = []
        while self._idle:
            oldest = next(iter(self._idle))
            if now - self._idle[oldest][1] <= self._idle_s:
                break
            expired.append(self._remove(oldest))
        return expired

    def _remove(self, connection: Connection) -> Connection:
        key, _ = self._idle.pop(connection)
        connections = self._by_key[key]
        connections.remove(connection)
        if not connections:
            del self._by_key[key]
        return connection


def _close_all(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
