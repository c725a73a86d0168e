"""Run a server on this machine that follows a script byte for byte, to test clients against any peer.

A script is a function of one connection (`ScriptedConnection`), run in its own thread. It reads requests, and sends
bytes, which need not be HTTP. A client that closes, even in the middle, ends the script quietly. Any other exception of
the script is raised when the server is closed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Self

from attrs import frozen

__all__ = ["ReceivedRequest", "Script", "ScriptedConnection", "ScriptedServer", "answer_with"]

_PATIENCE_S: Final = 10.0
"""How long a script waits for a client, or sends to it. Only a failing test takes that long."""


@frozen
class ReceivedRequest:
    """One request as it arrived."""

    line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    """In wire order and wire case."""
    body: bytes

    def get_all(self, name: bytes) -> tuple[bytes, ...]:
        """Return the values of every field of that name."""
        return tuple(value for field, value in self.fields if field.lower() == name.lower())


class ScriptedConnection:
    """One connection, from the server's side."""

    def __init__(self, sock: socket.socket, stopping: threading.Event, requests: list[ReceivedRequest]) -> None:
        self._sock = sock
        self._stopping = stopping
        self._seen = requests
        self._buffer = b""

    def read_request(self) -> ReceivedRequest:
        """Read one request with its body; `ConnectionError` if the client closes before its end."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        fields = tuple((name, value.strip()) for name, _, value in (field_line.partition(b":") for field_line in rest))
        request = ReceivedRequest(line, fields, b"")
        length = int((request.get_all(b"content-length") or (b"0",))[0])
        while len(self._buffer) < length:
            self._fill()
        request = ReceivedRequest(line, fields, self._buffer[:length])
        self._buffer = self._buffer[length:]
        self._seen.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._sock.sendall(data)

    def drip(self, data: bytes, *, every_s: float = 0.01) -> None:
        """Send the same bytes repeatedly, with a pause between.

        Ends when the client or the server stops, or time runs out.
        """
        ends = monotonic() + _PATIENCE_S
        while not self._stopping.wait(every_s) and monotonic() < ends:
            self.send(data)

    def flood(self, data: bytes) -> None:
        """Send the same bytes repeatedly, as fast as possible.

        Ends when the client or the server stops, or time runs out.
        """
        ends = monotonic() + _PATIENCE_S
        while not self._stopping.is_set() and monotonic() < ends:
            self.send(data)

    def hold(self) -> None:
        """Keep the connection open without sending until the client closes it."""
        with suppress(ConnectionError):
            while True:
                self._fill()

    def wrap(self, wrap: Callable[[socket.socket], socket.socket]) -> None:
        """Put another layer on the socket, TLS for example."""
        self._sock = wrap(self._sock)

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _fill(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionAbortedError("the client closed")
        self._buffer += data


Script = Callable[[ScriptedConnection], None]
"""The behaviour of a server on one connection."""


def answer_with(*answers: bytes) -> Script:
    """Answer one request after another on the same connection, and close after the last."""

    def script(peer: ScriptedConnection) -> None:
        for answer in answers:
            _ = peer.read_request()
            peer.send(answer)

    return script


class ScriptedServer:
    """A server on 127.0.0.1 that runs its script for every connection. A context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        """May be replaced between connections."""
        self.seen: Final[list[ReceivedRequest]] = []
        """Every complete request, in order of arrival."""
        self.connections = 0
        """The number of accepted connections."""
        self._stopping = threading.Event()
        self._peers: list[ScriptedConnection] = []
        self._failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End all scripts and wait for them. Raises the first exception of a script."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        # Not every system wakes an accept when its socket is shut down; a connection wakes it everywhere.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        for peer in list(self._peers):
            peer.close()
        for thread in list(self._threads):
            thread.join(_PATIENCE_S)
        self._listener.close()
        if self._failures:
            raise self._failures[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._stopping.is_set():
                sock.close()
                return
            self.connections += 1
            sock.settimeout(_PATIENCE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = ScriptedConnection(sock, self._stopping, self.seen)
            self._peers.append(peer)
            thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, peer: ScriptedConnection) -> None:
        try:
            self.script(peer)
        except OSError:
            pass  # the client closed, or was silent for too long; the test decides whether that is a failure
        except BaseException as exc:
            self._failures.append(exc)
        finally:
            peer.close()
