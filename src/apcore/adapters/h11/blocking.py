"""Run `conversation.converse` with blocking calls: `H11Transport`. It polls until the deadline of each step."""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import ssl
import time
from collections import deque
from typing import Any, Final, Literal

from apcore.adapters.h11.connection_parties import PoolBounds, Shared
from apcore.adapters.h11.conversation import ATTEMPT_DELAY_S, Connect, Read, Resolve, Step, Write, converse
from apcore.adapters.h11.resolver import Resolver, system_resolver
from apcore.http import Request, Response

__all__ = ["H11Transport"]

_READ_BYTES: Final = 64 * 1024
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class H11Transport:
    """HTTP/1.1 over blocking calls.

    Safe to use from several threads; opens on first use, and again after a fork or `close`.

    Args:
        resolver: Maps a name to all its addresses; the system's resolver by default.
        tls: The context for https; by default the system's roots, and TLS 1.2 or later.
        pool: The number of idle connections to keep, and how long to keep them.
        resolver_threads_max: How many names are resolved at once.
        user_agent: The `User-Agent` of requests that have none.
    """

    def __init__(
        self,
        *,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        pool: PoolBounds | None = None,
        resolver_threads_max: int = 8,
        user_agent: str = "apcore",
    ) -> None:
        self._shared: Final = Shared(resolver, tls, pool or PoolBounds(), resolver_threads_max, user_agent)

    @property
    def checks_addresses(self) -> Literal["enforced"]:
        """Return ``enforced``: this transport checks addresses at connect time."""
        return "enforced"

    def send(self, request: Request, /) -> Response:
        """Make one exchange.

        Raises the subclasses of `FetchFailed`, or `ValueError` before sending if the request cannot be sent.
        """
        steps = converse(request, self._shared.party())
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._perform(step)
                except (OSError, UnicodeError) as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            response: Response = stop.value
            return response
        finally:
            steps.close()

    def close(self) -> None:
        """Close idle connections and end the resolver threads. Running exchanges go on; a later one reopens."""
        self._shared.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Read():
                return _read(step)
            case Write():
                return _write(step)
            case Connect():
                return _connect(step)
            case Resolve():
                return self._resolve(step)

    def _resolve(self, step: Resolve) -> Any:
        future = self._shared.resolver.submit(step.host)
        try:
            return future.result(_seconds_until(step.deadline))
        finally:
            future.cancel()


def _seconds_until(deadline: float) -> float:
    """Return the seconds until ``deadline``.

    Raises:
        TimeoutError: None are left. This check also stops a peer that always has more data ready.
    """
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("deadline")
    return remaining_s


def _wait(sock: socket.socket, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(sock, events)
    # Milliseconds, rounded up: rounding down would spin through the last one.
    if not poll.poll(int(_seconds_until(deadline) * 1000) + 1):
        raise TimeoutError("deadline")


def _read(step: Read) -> bytes:
    while True:
        _seconds_until(step.deadline)
        try:
            return step.sock.recv(_READ_BYTES)
        except BlockingIOError:
            _wait(step.sock, select.POLLIN, step.deadline)


def _write(step: Write) -> None:
    rest = memoryview(step.data)
    while rest:
        _seconds_until(step.deadline)
        try:
            rest = rest[step.sock.send(rest) :]
        except BlockingIOError:
            _wait(step.sock, select.POLLOUT, step.deadline)


def _connect(step: Connect) -> socket.socket:
    """Start connection attempts one after another, and return the first that succeeds (RFC 8305 §5).

    The next attempt starts after a fixed delay, or as soon as all earlier ones have failed.
    """
    waiting = deque(step.addresses)
    last: OSError = ConnectionRefusedError("no address to try")
    with selectors.DefaultSelector() as attempts:
        try:
            while waiting or attempts.get_map():
                if waiting:
                    try:
                        attempts.register(_start(waiting.popleft(), step.port), selectors.EVENT_WRITE)
                    except OSError as exc:
                        last = exc
                        continue
                remaining_s = _seconds_until(step.deadline)
                for key, _ in attempts.select(min(remaining_s, ATTEMPT_DELAY_S) if waiting else remaining_s):
                    sock = _socket_of(key)
                    attempts.unregister(sock)
                    if not (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                        return sock
                    sock.close()
                    last = OSError(code, os.strerror(code))
        finally:
            for key in list(attempts.get_map().values()):
                _socket_of(key).close()
    raise last


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def _start(address: str, port: int) -> socket.socket:
    sock = open_socket(address)
    code = sock.connect_ex((address, port))
    if code and code not in _IN_PROGRESS:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def open_socket(address: str) -> socket.socket:
    """Make a non-blocking socket of the address's family, without delay for small writes (TCP_NODELAY)."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
