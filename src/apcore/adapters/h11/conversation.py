"""Carry out one whole exchange, from name resolution to response, in a generator that never waits.

`converse` makes all decisions. It yields the four steps that take time (`Resolve`, `Connect`, `Write`, `Read`), and is
sent their results or has their failures thrown in. Each step carries its deadline, so the transport that waits also
keeps the total deadline. The two transports are loops over these steps. TLS is handled here as bytes in and out, so the
loops do not know about it.

The address policy holds because of this order:

1. Check the URL alone: scheme, port, spelling of the host.
2. Check *all* addresses of the name before the first SYN. One forbidden address refuses the exchange, since a name with
  both kinds is an attack.
3. Check the address at the other end of the socket before the first byte, TLS included.

The peer may have closed a pooled connection meanwhile. If it did so before any byte of a response, and if the method is
idempotent, the exchange is repeated once on a new connection. A POST is not repeated, because the peer may have acted
on it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, cast

from attrs import frozen

from apcore.adapters.h11.exchange import Exchange, is_idempotent
from apcore.adapters.h11.pool import Connection, IdlePool, PoolKey, TlsLayer
from apcore.errors import (
    AddressBlocked,
    ConnectFailed,
    FetchTimedOut,
    NameUnresolved,
    ProtocolFailed,
    RequestError,
    TlsFailed,
)
from apcore.http import Request, Response, Url, parse_ip, parse_url

__all__ = ["ATTEMPT_DELAY_S", "Connect", "Party", "Read", "Resolve", "Step", "Write", "converse"]

ATTEMPT_DELAY_S: Final = 0.25
"""The delay between two attempts to connect, unless the earlier one fails sooner (RFC 8305 §5)."""
_TARGETS_MAX: Final = 8


@frozen
class Resolve:
    """Resolve a name to all its addresses. Answer: their texts."""

    host: str
    deadline: float


@frozen
class Connect:
    """Connect to the first of these addresses that responds. Answer: a non-blocking socket."""

    addresses: tuple[str, ...]
    port: int
    deadline: float


@frozen
class Write:
    """Write all of the data. Answer: None."""

    sock: socket.socket
    data: bytes
    deadline: float


@frozen
class Read:
    """Read some data. Answer: bytes, empty at the end."""

    sock: socket.socket
    deadline: float


Step = Resolve | Connect | Write | Read
"""A step that takes time. It is answered, or fails with `TimeoutError` at its deadline or with another `OSError`."""


@frozen
class Party:
    """The parts of a transport that each of its exchanges uses."""

    pool: IdlePool
    clock: Callable[[], float]
    tls: Callable[[], ssl.SSLContext]
    user_agent: str


class _WentAwayError(Exception):
    """The peer had closed a pooled connection before it sent any byte of a response."""


def converse(request: Request, party: Party) -> Generator[Step, Any, Response]:
    """Make one exchange.

    Raises:
        FetchFailed: One of its subclasses, with host and limit in the message.
        ValueError: The request cannot be sent, and nothing was sent.
    """
    url = _checked_url(request)
    exchange = Exchange(request, url, user_agent=party.user_agent)
    key = PoolKey(url.origin, request.addresses)
    limits, where = request.limits, url.origin.authority
    started = party.clock()
    deadline = started + limits.deadline_s
    connection = party.pool.take(key, started)
    try:
        if connection is not None:
            try:
                yield from _exchange(connection, exchange, deadline, where)
            except _WentAwayError:
                connection.close()
                connection = None
                if not is_idempotent(request.method):
                    raise ConnectFailed(f"{where}: closed a pooled connection without a response") from None
                exchange = Exchange(request, url, user_agent=party.user_agent)
        if connection is None:
            connection = yield from _open(url, request, party, min(deadline, party.clock() + limits.connect_s))
            yield from _exchange(connection, exchange, deadline, where)
        response = exchange.response()
        if exchange.reusable and (connection.tls is None or not connection.tls.clean_end):
            party.pool.put(key, connection, party.clock())
            connection = None
    except TimeoutError as exc:
        raise FetchTimedOut(f"{where}: no complete response within {limits.deadline_s} s (deadline_s)") from exc
    else:
        return response
    finally:
        if connection is not None:
            connection.close()


def _checked_url(request: Request) -> Url:
    try:
        url = parse_url(request.url)
    except RequestError as exc:
        raise AddressBlocked(str(exc)) from exc
    origin = url.origin
    if (refusal := request.addresses.target_refusal(origin.scheme, origin.host, origin.port)) is not None:
        raise AddressBlocked(f"{origin.authority}: {refusal}")
    return url


# --- connecting -----------------------------------------------------------------------------------------------------


def _open(url: Url, request: Request, party: Party, deadline: float) -> Generator[Step, Any, Connection]:
    host, where = url.origin.host, url.origin.authority
    try:
        addresses = yield from _resolved(host, where, deadline)
        for address in addresses:
            _check_address(address, request, host, where)
        targets = _interleaved(addresses)
        connection = Connection((yield from _connected(targets, url.origin.port, where, deadline)))
        try:
            _check_peer(connection.sock, targets, request, host, where)
            if url.origin.scheme == "https":
                connection.tls = TlsLayer(party.tls(), host)
                yield from _shake_hands(connection, connection.tls, deadline, where)
        except BaseException:
            connection.close()
            raise
    except TimeoutError as exc:
        seconds = min(request.limits.connect_s, request.limits.deadline_s)
        raise FetchTimedOut(f"{where}: not connected within {seconds} s (connect_s)") from exc
    return connection


def _connected(targets: tuple[str, ...], port: int, where: str, deadline: float) -> Generator[Step, Any, socket.socket]:
    try:
        sock: socket.socket = yield Connect(targets, port, deadline)
    except TimeoutError:
        raise
    except OSError as exc:
        raise ConnectFailed(f"{where}: no connection to any of {len(targets)} addresses: {exc}") from exc
    return sock


def _resolved(host: str, where: str, deadline: float) -> Generator[Step, Any, Sequence[str]]:
    if parse_ip(host) is not None:
        return (host,)
    try:
        addresses: Sequence[str] = yield Resolve(host, deadline)
    except TimeoutError:
        raise
    except (OSError, UnicodeError) as exc:  # socket.gaierror is an OSError; getaddrinfo encodes names
        raise NameUnresolved(f"{where}: no address: {exc}") from exc
    if not addresses:
        raise NameUnresolved(f"{where}: no address")
    return addresses


def _check_address(address: str, request: Request, host: str, where: str) -> None:
    if (refusal := request.addresses.address_refusal(address, host=host)) is not None:
        raise AddressBlocked(f"{where}: {refusal}")


def _check_peer(sock: socket.socket, targets: tuple[str, ...], request: Request, host: str, where: str) -> None:
    try:
        name = cast("object", sock.getpeername())
    except OSError as exc:  # the peer closed at once
        raise ConnectFailed(f"{where}: {exc}") from exc
    match name:
        # The address of an IPv6 socket has two more parts; its scope must be zero. The address of a Unix socket is
        # text.
        case (str(peer), int()) | (str(peer), int(), int(), 0):
            pass
        case _:
            raise AddressBlocked(f"{where}: connected to {name!r}, which is not a checked address")
    if parse_ip(peer) not in {parse_ip(target) for target in targets}:
        raise AddressBlocked(f"{where}: connected to {peer}, which is not a checked address")
    _check_address(peer, request, host, where)


def _interleaved(addresses: Sequence[str]) -> tuple[str, ...]:
    """Alternate between the address families, starting with the resolver's first one (RFC 8305 §4), up to a bound."""
    first = ":" in addresses[0]
    same = [address for address in addresses if (":" in address) == first]
    other = [address for address in addresses if (":" in address) != first]
    mixed = chain.from_iterable(zip_longest(same, other))
    return tuple(address for address in mixed if address is not None)[:_TARGETS_MAX]


def _shake_hands(connection: Connection, tls: TlsLayer, deadline: float, where: str) -> Generator[Step, Any, None]:
    try:
        while True:
            over = tls.shake_hands()
            yield from _flush(connection, tls, deadline)
            if over:
                return
            data: bytes = yield Read(connection.sock, deadline)
            if not data:
                raise ConnectFailed(f"{where}: closed during the TLS handshake")
            tls.feed(data)
    except ssl.SSLError as exc:
        raise TlsFailed(f"{where}: {exc}") from exc
    except TimeoutError:
        raise
    except OSError as exc:
        raise ConnectFailed(f"{where}: {exc} during the TLS handshake") from exc


def _flush(connection: Connection, tls: TlsLayer, deadline: float) -> Generator[Step, Any, None]:
    if data := tls.drain():
        yield Write(connection.sock, data, deadline)


# --- talking --------------------------------------------------------------------------------------------------------


def _exchange(connection: Connection, exchange: Exchange, deadline: float, where: str) -> Generator[Step, Any, None]:
    try:
        yield from _send(connection, exchange.outgoing, deadline)
        while not exchange.done:
            data = yield from _read(connection, deadline)
            if not data and not exchange.answered:
                raise ConnectionResetError("closed without a response")
            exchange.receive(data)
    except TimeoutError:
        if not exchange.break_off():
            raise
    except OSError as exc:  # ssl.SSLError is one
        if exchange.break_off():
            return
        if exchange.answered:
            raise ProtocolFailed(f"{where}: broke off in the middle of its response: {exc}") from exc
        if connection.reused:
            raise _WentAwayError from exc
        raise ConnectFailed(f"{where}: {exc}") from exc


def _send(connection: Connection, data: bytes, deadline: float) -> Generator[Step, Any, None]:
    try:
        yield Write(connection.sock, data if connection.tls is None else connection.tls.write(data), deadline)
    except TimeoutError:
        raise
    except OSError:
        # A server that has read enough to refuse (413, 401) responds and closes. Its response may be there, so read
        # before giving up.
        return


def _read(connection: Connection, deadline: float) -> Generator[Step, Any, bytes]:
    """Read some of the response; empty at its end."""
    tls = connection.tls
    if tls is None:
        data: bytes = yield Read(connection.sock, deadline)
        return data
    while not tls.clean_end:
        received: bytes = yield Read(connection.sock, deadline)
        tls.feed(received)
        plain = tls.read()
        yield from _flush(connection, tls, deadline)  # such as the reply to a TLS key update
        if plain:
            return plain
    return b""
