"""`H11Transport`: `conversation.converse`, with every wait a `poll` until the step's deadline."""

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

from apcore.adapters.h11.conversation import ATTEMPT_DELAY_S, Connect, Read, Resolve, Step, Write, converse
from apcore.adapters.h11.party import PoolBounds, Shared
from apcore.adapters.h11.resolving import Resolver, system_resolver
from apcore.http import Request, Response

__all__ = ["H11Transport"]

_READ_BYTES: Final = 64 * 1024
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class H11Transport:
    """HTTP/1.1 over blocking calls, for threads. Safe from several of them at once; opens on first use, and anew after fork and `close`.

    Args:
        resolver: From a name to all its addresses; the system's by default. Tests inject their own.
        tls: The context for https; the system's roots and TLS 1.2 or later by default.
        pool: How many idle connections are kept, and how long.
        resolver_threads_max: How many names are resolved at once.
        user_agent: For requests that have no `User-Agent`.
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
        """The address policy is held here, at connect time."""
        return "enforced"

    def send(self, request: Request, /) -> Response:
        """Do one exchange. `FetchFailed`'s kinds, or `ValueError` for a request that cannot be sent, before anything is."""
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
        """Close idle connections and let resolver threads end. Exchanges under way are not disturbed; a later one opens again."""
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
            return future.result(_left(step.deadline))
        finally:
            future.cancel()


def _left(deadline: float) -> float:
    """Give the seconds until then; `TimeoutError` if there are none, so that a peer which is always ready is cut as well."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline")
    return left


def _wait(sock: socket.socket, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(sock, events)
    # Milliseconds, rounded up: rounding down would spin through the last one.
    if not poll.poll(int(_left(deadline) * 1000) + 1):
        raise TimeoutError("deadline")


def _read(step: Read) -> bytes:
    while True:
        _left(step.deadline)
        try:
            return step.sock.recv(_READ_BYTES)
        except BlockingIOError:
            _wait(step.sock, select.POLLIN, step.deadline)


def _write(step: Write) -> None:
    rest = memoryview(step.data)
    while rest:
        _left(step.deadline)
        try:
            rest = rest[step.sock.send(rest) :]
        except BlockingIOError:
            _wait(step.sock, select.POLLOUT, step.deadline)


def _connect(step: Connect) -> socket.socket:
    """Start an attempt every so often, or as soon as all earlier ones have failed; the first that succeeds wins (RFC 8305 §5)."""
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
                left = _left(step.deadline)
                for key, _ in attempts.select(min(left, ATTEMPT_DELAY_S) if waiting else left):
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
    """Make a non-blocking socket of the address's family, which sends small writes at once."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
