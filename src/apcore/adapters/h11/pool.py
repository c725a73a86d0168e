"""Idle connections, and what a connection is.

A `Connection` is a non-blocking socket whose peer was checked, with or without TLS on it; nothing here waits, so both transports share it. The
pool keeps few of them, for a short time: a federated server talks to thousands of hosts, mostly once.

The key holds the address policy. A connection that one request was allowed to make is not handed to another request with a stricter policy.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from typing import Final

from attrs import frozen
from typing_extensions import override

from apcore.http import AddressPolicy, Origin

__all__ = ["Connection", "IdlePool", "PoolKey", "TlsLayer"]


@frozen
class PoolKey:
    """What two requests must share to share a connection."""

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
        """Whether the peer said that no more comes."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire; none mean that the peer closed."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def drain(self) -> bytes:
        """Give the bytes that have to go to the wire."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake; say whether it is over. Raises `ssl.SSLError`."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> bytes:
        """Encrypt; give the bytes that have to go to the wire."""
        self._tls.write(data)
        return self.drain()

    def read(self) -> bytes:
        """Decrypt all that came. Raises `ssl.SSLError`, also if the connection ended without saying so."""
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
    """A socket to a peer whose address was checked."""

    __slots__ = ("reused", "sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: Final = sock
        self.tls: TlsLayer | None = None
        self.reused = False
        """Whether an exchange went over it before: the peer may have closed it since."""

    def close(self) -> None:
        """Close at once, without ceremony: whoever cares whether all arrived has counted it."""
        self.sock.close()

    def is_stale(self) -> bool:
        """Whether an idle connection has something to read: its end, or bytes that belong to no answer."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    @override
    def __repr__(self) -> str:
        return f"Connection({self.sock!r}, {'tls' if self.tls else 'plain'})"


class IdlePool:
    """Idle connections by key, newest first out. Safe from several threads."""

    def __init__(self, *, idle_max: int, idle_per_origin_max: int, idle_s: float) -> None:
        self._idle_max = idle_max
        self._per_key_max = idle_per_origin_max
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._is_open = True
        self._idle: deque[tuple[PoolKey, Connection, float]] = deque()  # oldest first

    def take(self, key: PoolKey, now: float) -> Connection | None:
        """Give a connection that is probably alive; close those that are not."""
        while True:
            with self._lock:
                expired = self._expired(now)
                found = self._newest(key)
            _close_all(expired)
            if found is None or not found.is_stale():
                return found
            found.close()

    def put(self, key: PoolKey, connection: Connection, now: float) -> None:
        """Keep a connection for the next exchange, or close it, or an older one, if there are enough."""
        connection.reused = True
        with self._lock:
            closing = self._expired(now)
            if self._is_open:
                self._idle.append((key, connection, now))
                closing += self._excess(key)
            else:
                closing.append(connection)
        _close_all(closing)

    def shut(self) -> None:
        """Close all of them, and whatever is put here later."""
        with self._lock:
            self._is_open = False
            closing = [connection for _, connection, _ in self._idle]
            self._idle.clear()
        _close_all(closing)

    def abandon(self) -> None:
        """Close all of them in a child after fork, where the lock may be held by a thread that does not exist."""
        self._lock = threading.Lock()
        self.shut()

    def __len__(self) -> int:
        return len(self._idle)

    def _newest(self, key: PoolKey) -> Connection | None:
        for entry in reversed(self._idle):
            if entry[0] == key:
                self._idle.remove(entry)
                return entry[1]
        return None

    def _excess(self, key: PoolKey) -> list[Connection]:
        mine = [entry for entry in self._idle if entry[0] == key]
        excess = mine[: len(mine) - self._per_key_max] if len(mine) > self._per_key_max else []
        if not excess and len(self._idle) > self._idle_max:
            excess = [self._idle[0]]
        for entry in excess:
            self._idle.remove(entry)
        return [connection for _, connection, _ in excess]

    def _expired(self, now: float) -> list[Connection]:
        expired: list[Connection] = []
        while self._idle and now - self._idle[0][2] > self._idle_s:
            expired.append(self._idle.popleft()[1])
        return expired


def _close_all(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
