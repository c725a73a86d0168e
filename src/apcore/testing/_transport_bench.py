"""Provide the bench of the transport checks: one transport, one server on 127.0.0.1, and a resolver between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, runtime_checkable

from attrs import evolve, field, frozen
from typing_extensions import override

from apcore.errors import FetchFailed
from apcore.http import LOOPBACK_OPEN, AddressPolicy, HeadersLike, Request, Response, TransportLimits
from apcore.ports import AsyncTransport, Transport
from apcore.testing.loopback import Script, ScriptedConnection, ScriptedServer, answer_with

__all__ = [
    "HEAD",
    "LOCAL",
    "OK",
    "SHORT",
    "Bench",
    "Resolver",
    "TransportCheck",
    "TransportFactory",
    "act_after_request",
    "make_answer",
    "make_check",
    "make_chunked_answer",
    "resolve_to",
]

T = TypeVar("T")

Resolver = Callable[[str], Sequence[str]]
TransportFactory = Callable[[Resolver], Transport | AsyncTransport]
"""A function that makes a transport which resolves names only with the given function."""

LOCAL: Final = ("127.0.0.1",)
SHORT: Final = TransportLimits(deadline_s=0.25)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD: Final = b"HTTP/1.1 200 OK\r\n"


@frozen
class TransportCheck:
    """One rule of the contract, and its check."""

    name: str
    says: str
    run: Callable[[TransportFactory], None] = field(repr=False)

    def __call__(self, make: TransportFactory, /) -> None:
        """Check the transports that ``make`` makes."""
        self.run(make)

    @override
    def __str__(self) -> str:
        return self.name


class Bench:
    """One transport, one server, and a resolver between them."""

    def __init__(self, make: TransportFactory, server: ScriptedServer) -> None:
        self.server = server
        self.resolved_hosts: list[str] = []
        self.addresses: Resolver = resolve_to(LOCAL)
        self._hosts = 0
        self._runner = asyncio.Runner()
        self._transport = make(self._resolve)

    def _resolve(self, host: str) -> Sequence[str]:
        self.resolved_hosts.append(host)
        return self.addresses(host)

    @property
    def host(self) -> str:
        return f"peer{self._hosts}.example"

    def serve(self, script: Script) -> None:
        """Serve by another script from now on, under another name.

        So no pooled connection leads to the old script.
        """
        self._hosts += 1
        self.server.script = script

    def get(
        self, path: str = "/", *, limits: TransportLimits | None = None, addresses: AddressPolicy = LOOPBACK_OPEN
    ) -> Request:
        url = f"http://{self.host}:{self.server.port}{path}"
        return Request("GET", url, limits=limits or TransportLimits(), addresses=addresses)

    def post(self, body: bytes, headers: HeadersLike = (), *, limits: TransportLimits | None = None) -> Request:
        return evolve(self.get("/inbox", limits=limits), method="POST", headers=headers, body=body)

    def send(self, request: Request) -> Response:
        sent = self._transport.send(request)
        return sent if isinstance(sent, Response) else self._runner.run(_awaited(sent))

    def send_all(self, requests: Sequence[Request]) -> list[Response]:
        """Send the requests at once."""
        if isinstance(self._transport, _Blocking):
            with ThreadPoolExecutor(len(requests)) as threads:
                return list(threads.map(self.send, requests))
        transport = self._transport

        async def gather() -> list[Response]:
            return await asyncio.gather(*(transport.send(request) for request in requests))

        return self._runner.run(gather())

    def fails(self, kind: type[Exception], request: Request | None = None) -> None:
        """Check that the exchange fails with ``kind``, and that the message names the host."""
        try:
            response = self.send(request or self.get())
        except kind as exc:
            words = str(exc)
        else:
            raise AssertionError(f"{kind.__name__} was expected, but the answer was {response!r:.200}")
        if request is None and issubclass(kind, FetchFailed):
            assert self.host in words, f"the message names no host: {words}"

    def close(self) -> None:
        if isinstance(self._transport, _Blocking):
            self._transport.close()
        else:
            self._runner.run(self._transport.aclose())

    def end(self) -> None:
        self.close()
        self._runner.close()


@runtime_checkable
class _Blocking(Protocol):
    """The difference between the two kinds of transport."""

    def send(self, request: Request, /) -> Response: ...
    def close(self) -> None: ...


def resolve_to(addresses: Sequence[str]) -> Resolver:
    """Return a resolver that knows these addresses for every name."""
    return lambda _: addresses


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


@contextmanager
def open_bench(make: TransportFactory) -> Generator[Bench, None, None]:
    """Start a server and make a transport, for one check."""
    with ScriptedServer(answer_with(OK)) as server:
        bench = Bench(make, server)
        try:
            yield bench
        finally:
            bench.end()


def make_check(run: Callable[[Bench], None]) -> TransportCheck:
    """Make a check of a function on a bench. Its docstring is the rule."""

    def on_a_bench(make: TransportFactory) -> None:
        with open_bench(make) as bench:
            run(bench)

    return TransportCheck(run.__name__, " ".join((run.__doc__ or "").split()), on_a_bench)


def make_answer(body: bytes, *fields: str) -> bytes:
    """Return a 200 with further header fields."""
    head = "".join(f"{field_line}\r\n" for field_line in (*fields, f"Content-Length: {len(body)}"))
    return HEAD + head.encode() + b"\r\n" + body


def make_chunked_answer(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """Return a 200 with a chunked body."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"


def act_after_request(act: Callable[[ScriptedConnection], None]) -> Script:
    """Return a script that reads a request, then acts."""

    def script(peer: ScriptedConnection) -> None:
        _ = peer.read_request()
        act(peer)

    return script
