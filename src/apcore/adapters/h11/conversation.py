"""The whole of one exchange, from name to answer, as a generator that never waits.

`converse` decides; it yields the four things that take time (`Resolve`, `Connect`, `Write`, `Read`) and is sent their results, or
has their failure thrown in. Each step carries the moment by which it must be over, so the total deadline is kept by whoever waits. The two
transports are loops over these steps; TLS is bytes in and out here as well, so that the loops know nothing of it.

The order is the promise of the address policy:

1. the URL alone: scheme, port, spelling of the host;
2. *all* addresses that the name has, before the first SYN: one forbidden address refuses the exchange, since a name that has both was made to;
3. the address at the other end of the socket, again, before the first byte, TLS included.

A pooled connection may have been closed by the peer in the meantime. If so before any byte of an answer, and if the method is idempotent, the
exchange is done once more on a new connection; a POST is not, because the peer may have done what it says.
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
"""Between two attempts to connect, unless the earlier one has failed already (RFC 8305 §5)."""
_TARGETS_MAX: Final = 8


@frozen
class Resolve:
    """Ask for all addresses of a name. Answer: their texts."""

    host: str
    deadline: float


@frozen
class Connect:
    """Connect to the first of these that answers. Answer: a non-blocking socket."""

    addresses: tuple[str, ...]
    port: int
    deadline: float


@frozen
class Write:
    """Write all of it. Answer: None."""

    sock: socket.socket
    data: bytes
    deadline: float


@frozen
class Read:
    """Read something. Answer: bytes, none at the end."""

    sock: socket.socket
    deadline: float


Step = Resolve | Connect | Write | Read
"""What takes time. Each answers, or fails with `TimeoutError` at its deadline or another `OSError`."""


@frozen
class Party:
    """What a transport brings to each of its exchanges."""

    pool: IdlePool
    clock: Callable[[], float]
    tls: Callable[[], ssl.SSLContext]
    user_agent: str


class _WentAwayError(Exception):
    """The peer had closed a pooled connection before it answered anything."""


def converse(request: Request, party: Party) -> Generator[Step, Any, Response]:
    """Do one exchange.

    Raises:
        FetchFailed: One of its kinds, with host and limit in the message.
        ValueError: The request itself cannot be sent; nothing was.
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
                    raise ConnectFailed(f"{where}: closed a kept connection without an answer") from None
                exchange = Exchange(request, url, user_agent=party.user_agent)
        if connection is None:
            connection = yield from _open(url, request, party, min(deadline, party.clock() + limits.connect_s))
            yield from _exchange(connection, exchange, deadline, where)
        response = exchange.response()
        if exchange.reusable and (connection.tls is None or not connection.tls.clean_end):
            party.pool.put(key, connection, party.clock())
            connection = None
    except TimeoutError as exc:
        raise FetchTimedOut(f"{where}: no complete answer within {limits.deadline_s} s (deadline_s)") from exc
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
    except OSError as exc:  # it closed again at once
        raise ConnectFailed(f"{where}: {exc}") from exc
    match name:
        # An IPv6 name has two more parts, of which the scope has to be none. A Unix socket's name is text.
        case (str(peer), int()) | (str(peer), int(), int(), 0):
            pass
        case _:
            raise AddressBlocked(f"{where}: connected to {name!r}, which is no address that was checked")
    if parse_ip(peer) not in {parse_ip(target) for target in targets}:
        raise AddressBlocked(f"{where}: connected to {peer}, which is no address that was checked")
    _check_address(peer, request, host, where)


def _interleaved(addresses: Sequence[str]) -> tuple[str, ...]:
    """Alternate between the families, the resolver's first one first (RFC 8305 §4); a bounded number of them."""
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
                raise ConnectionResetError("closed without an answer")
            exchange.receive(data)
    except TimeoutError:
        if not exchange.break_off():
            raise
    except OSError as exc:  # ssl.SSLError is one
        if exchange.break_off():
            return
        if exchange.answered:
            raise ProtocolFailed(f"{where}: broke off in the middle of its answer: {exc}") from exc
        if connection.reused:
            raise _WentAwayError from exc
        raise ConnectFailed(f"{where}: {exc}") from exc


def _send(connection: Connection, data: bytes, deadline: float) -> Generator[Step, Any, None]:
    try:
        yield Write(connection.sock, data if connection.tls is None else connection.tls.write(data), deadline)
    except TimeoutError:
        raise
    except OSError:
        # A server that has read enough to say no (413, 401) answers and closes. The answer may be there, so look before giving up.
        return


def _read(connection: Connection, deadline: float) -> Generator[Step, Any, bytes]:
    """Read something of the answer; none at its end."""
    tls = connection.tls
    if tls is None:
        data: bytes = yield Read(connection.sock, deadline)
        return data
    while not tls.clean_end:
        received: bytes = yield Read(connection.sock, deadline)
        tls.feed(received)
        plain = tls.read()
        yield from _flush(connection, tls, deadline)  # the answer to a key update
        if plain:
            return plain
    return b""
