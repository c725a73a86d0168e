"""Test transports, blocking and on asyncio, against the contract of `apcore.ports.Transport`.

The server does its worst. A check is called with a function that makes a transport around a resolver (from a host name
to its addresses), so that names can lie::

    @pytest.mark.parametrize("check", transport_checks(), ids=str)
    def test_my_transport_keeps_the_contract(check):
        check(lambda resolver: MyTransport(resolver=resolver))

Everything happens on 127.0.0.1. Nothing sleeps: timeouts are tested with deadlines of a fraction of a second. A check
that fails raises `AssertionError` with an explanation, or passes on the transport's own error.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, runtime_checkable

from attrs import evolve, field, frozen
from typing_extensions import override

from apcore.errors import (
    AddressBlocked,
    ConnectFailed,
    FetchFailed,
    FetchTimedOut,
    NameUnresolved,
    ProtocolFailed,
    ResponseTooBig,
)
from apcore.http import (
    DELIVERY_LIMITS,
    LOOPBACK_OPEN,
    AddressPolicy,
    Headers,
    HeadersLike,
    Request,
    Response,
    TransportLimits,
)
from apcore.ports import AsyncTransport, Transport
from apcore.testing.loopback import Script, ScriptedConnection, ScriptedServer, answer_with

__all__ = ["transport_checks"]

T = TypeVar("T")

Resolver = Callable[[str], Sequence[str]]
TransportFactory = Callable[[Resolver], Transport | AsyncTransport]
"""A function that makes a transport which resolves names only with the given function."""

_HERE: Final = ("127.0.0.1",)
_SHORT: Final = TransportLimits(deadline_s=0.25)
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_HEAD: Final = b"HTTP/1.1 200 OK\r\n"


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


class _Bench:
    """One transport, one server, and a resolver between them."""

    def __init__(self, make: TransportFactory, server: ScriptedServer) -> None:
        self.server = server
        self.resolved_hosts: list[str] = []
        self.addresses: Resolver = _always(_HERE)
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


def _always(addresses: Sequence[str]) -> Resolver:
    return lambda _: addresses


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


@contextmanager
def _bench(make: TransportFactory) -> Generator[_Bench, None, None]:
    with ScriptedServer(answer_with(_OK)) as server:
        bench = _Bench(make, server)
        try:
            yield bench
        finally:
            bench.end()


def _check(run: Callable[[_Bench], None]) -> TransportCheck:
    def on_a_bench(make: TransportFactory) -> None:
        with _bench(make) as bench:
            run(bench)

    return TransportCheck(run.__name__.strip("_"), " ".join((run.__doc__ or "").split()), on_a_bench)


def _ok(body: bytes, *fields: str) -> bytes:
    head = "".join(f"{field_line}\r\n" for field_line in (*fields, f"Content-Length: {len(body)}"))
    return _HEAD + head.encode() + b"\r\n" + body


def _chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"


def _after_request(act: Callable[[ScriptedConnection], None]) -> Script:
    def script(peer: ScriptedConnection) -> None:
        _ = peer.read_request()
        act(peer)

    return script


# --- content ----------------------------------------------------------------------------------------------------


def _request_arrives_as_given(bench: _Bench) -> None:
    """Method, target, fields in their order, and body arrive unchanged; fields that HTTP requires are added, once."""
    body = bytes(range(256)) * 300
    headers = Headers(
        [
            ("Date", "x"),
            ("Signature", 'keyId="a"'),
            ("X", "1"),
            ("x", "2"),
            ("Content-Type", "application/activity+json"),
        ]
    )
    bench.serve(answer_with(_OK, _OK))
    assert bench.send(bench.post(body, headers)).body == b"ok"
    assert bench.send(bench.get("/%7Ea/../b?c=%20d&&")).status == 200
    posted, got = bench.server.seen
    assert posted.line == b"POST /inbox HTTP/1.1", posted.line
    assert posted.body == body, "the body changed on the way"
    sent = [(name.lower(), value) for name, value in posted.fields]
    assert [pair for pair in sent if pair in headers.to_wire()] == headers.to_wire(), (
        f"fields changed on the way: {sent}"
    )
    for name, value in (
        (b"host", f"{bench.host}:{bench.server.port}".encode()),
        (b"content-length", b"%d" % len(body)),
    ):
        assert posted.get_all(name) == (value,), f"{name!r} is {posted.get_all(name)}"
    assert got.line == b"GET /%7Ea/../b?c=%20d&& HTTP/1.1", got.line
    assert not got.get_all(b"content-length"), "a GET without a body has a length"


def _answer_arrives_as_given(bench: _Bench) -> None:
    """Status, fields with their order and repetition, and body arrive as sent."""
    bench.serve(answer_with(_ok(b"a\0b", "Vary: a", "X-One:  1 ", "vary: b").replace(b"200 OK", b"410 Gone")))
    response = bench.send(bench.get())
    assert (response.status, response.body, response.truncated) == (410, b"a\0b", False), response
    assert response.headers.get_all("vary") == ("a", "b"), response.headers
    assert response.headers.get("x-one") == "1", response.headers


def _bodies_end_where_http_says(bench: _Bench) -> None:
    """Bodies end by chunks, by length, or with the connection; there is no body for HEAD, 204 and 304."""
    by_close = _HEAD + b"Connection: close\r\n\r\nuntil the end"
    for answer, body in ((_chunked(b"one", b"two"), b"onetwo"), (_ok(b""), b""), (by_close, b"until the end")):
        bench.serve(answer_with(answer))
        assert bench.send(bench.get()).body == body, answer
    for status in (b"204 No Content", b"304 Not Modified"):
        bench.serve(answer_with(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n"))
        assert bench.send(bench.get()).body == b"", status
    bench.serve(answer_with(_HEAD + b"Content-Length: 100\r\n\r\n"))
    assert bench.send(evolve(bench.get(), method="HEAD")).body == b"", "an answer to HEAD has a body"


def _codings_are_undone(bench: _Bench) -> None:
    """Content codings that the request asked for are decoded; others fail."""
    text = b"hello " * 100
    bench.serve(answer_with(_ok(gzip.compress(text), "Content-Encoding: gzip")))
    response = bench.send(evolve(bench.get(), headers=Headers({"Accept-Encoding": "gzip"})))
    assert response.body == text, response
    bench.serve(answer_with(_ok(b"xyz", "Content-Encoding: br")))
    bench.fails(ProtocolFailed)


def _trailers_are_dropped(bench: _Bench) -> None:
    """Trailers do not become headers, which they could forge. Trailers over the limit fail."""
    bench.serve(answer_with(_chunked(b"x", trailers=b"Content-Type: application/activity+json\r\nX: 1\r\n")))
    response = bench.send(bench.get())
    assert (response.body, "x" in response.headers, "content-type" in response.headers) == (b"x", False, False), (
        response
    )
    bench.serve(answer_with(_chunked(b"x", trailers=b"X: " + b"y" * 9000 + b"\r\n")))
    bench.fails(ResponseTooBig)


# --- excluded features ---------------------------------------------------------------------------------------------


def _redirects_are_handed_back(bench: _Bench) -> None:
    """A redirect is returned like any other response."""
    for status in (301, 302, 303, 307, 308):
        answer = _ok(b"", f"Location: http://{bench.host}:{bench.server.port}/elsewhere").replace(
            b"200", b"%d" % status
        )
        bench.serve(answer_with(answer))
        response = bench.send(bench.get())
        assert response.status == status, response
        assert (response.headers.get("location") or "").endswith("/elsewhere"), response
    assert len(bench.server.seen) == 5, "a redirect was followed"


def _nothing_is_remembered(bench: _Bench) -> None:
    """No cookie is sent back, and a cacheable response is requested again."""
    answer = _ok(b"ok", "Set-Cookie: a=b", "Cache-Control: max-age=3600", "ETag: x")
    bench.serve(answer_with(answer, answer))
    for _ in range(2):
        _ = bench.send(bench.get())
    assert len(bench.server.seen) == 2, "an answer was kept"
    second = bench.server.seen[1]
    assert not second.get_all(b"cookie"), "a cookie was kept"
    assert not second.get_all(b"if-none-match"), "a validator was kept"


def _environment_proxies_are_ignored(bench: _Bench) -> None:
    """``HTTP_PROXY`` and similar variables would carry requests around the address check."""
    names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "http://127.0.0.1:9"))
    try:
        assert bench.send(bench.get()).body == b"ok"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _statuses_never_become_retries(bench: _Bench) -> None:
    """503, 429 and 408 are responses; the caller decides whether to retry."""
    for status in (408, 429, 503):
        bench.serve(answer_with(*[_ok(b"", "Retry-After: 0").replace(b"200", b"%d" % status)] * 2))
        assert bench.send(bench.get()).status == status
    assert len(bench.server.seen) == 3, "a request was repeated"


# --- addresses ------------------------------------------------------------------------------------------------------


def _forbidden_addresses_are_refused(bench: _Bench) -> None:
    """The default policy forbids loopback, private, link-local and other special addresses, in every spelling."""
    policy = AddressPolicy(plain_http=True)
    spellings = (
        "127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::7f00:1", "2002:7f00:1::", "0.0.0.0",  # noqa: S104
        "10.0.0.1", "169.254.169.254",
        "168.63.129.16", "fe80::1", "fd00:ec2::254",
    )  # fmt: skip
    for spelling in spellings:
        bench.addresses = _always((spelling,))
        bench.fails(AddressBlocked, bench.get(addresses=policy))
    assert bench.server.connections == 0, "a connection was made to a forbidden address"


def _one_forbidden_address_refuses_the_name(bench: _Bench) -> None:
    """A name with an open and a closed address is an attack: there is no connection."""
    for addresses in (
        ("127.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%1"),
        ("127.0.0.1", "nonsense"),
    ):
        bench.addresses = _always(addresses)
        bench.fails(AddressBlocked)
    assert bench.server.connections == 0, "a connection was made although one address is forbidden"


def _rebinding_finds_no_second_question(bench: _Bench) -> None:
    """A name is resolved once per connection, and the checked address is the one that is connected to."""
    bench.addresses = lambda _: _HERE if len(bench.resolved_hosts) == 1 else ("10.0.0.1",)
    assert bench.send(bench.get()).body == b"ok"
    assert bench.resolved_hosts == [bench.host], f"the name was resolved {len(bench.resolved_hosts)} times"
    bench.close()
    bench.fails(AddressBlocked)


def _urls_are_judged_before_names_are_resolved(bench: _Bench) -> None:
    """Schemes, ports and spellings that the policy refuses never reach the resolver."""
    urls = (
        "https://peer.example:22/", "http://peer.example/", "ftp://peer.example/", "file:///etc/passwd",
        "https://2130706433/", "https://0177.0.0.1/",
        "https://127.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/",
        "https://localhost/", "https://localhost./",
        "https://x.internal/", "https://intranet/", "https://u:p@peer.example/", "https://peer.example./",
        "peer.example", "//peer.example/",
    )  # fmt: skip
    for url in urls:
        bench.fails(AddressBlocked, Request("GET", url))
    assert bench.resolved_hosts == [], f"resolved {bench.resolved_hosts}"


def _connections_belong_to_their_policy(bench: _Bench) -> None:
    """A connection that one policy allowed is not reused under another."""
    bench.serve(answer_with(_OK, _OK))
    assert bench.send(bench.get()).status == 200
    bench.fails(AddressBlocked, bench.get(addresses=AddressPolicy(plain_http=True)))
    assert len(bench.server.seen) == 1, "a request went over a connection that its policy forbids"


def _names_without_addresses_fail(bench: _Bench) -> None:
    """A resolver that finds nothing, or fails, is `NameUnresolved`."""

    def unknown(_: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for resolver in (unknown, _always(())):
        bench.addresses = resolver
        bench.fails(NameUnresolved)


def _refused_connections_fail(bench: _Bench) -> None:
    """A refused connection is `ConnectFailed`, after every address was tried."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound until the end, so that no other process listens there
        port = unused.getsockname()[1]
        bench.fails(ConnectFailed, Request("GET", f"http://{bench.host}:{port}/", addresses=LOOPBACK_OPEN))
    bench.addresses = _always(("127.0.0.2", "127.0.0.1"))
    assert bench.send(bench.get()).body == b"ok"


# --- time -----------------------------------------------------------------------------------------------------------


def _a_dripping_head_is_cut(bench: _Bench) -> None:
    """The deadline covers the whole exchange: a slow stream of bytes does not extend it."""
    bench.serve(_after_request(lambda peer: peer.drip(b"H")))
    bench.fails(FetchTimedOut, bench.get(limits=_SHORT))


def _a_dripping_body_is_cut(bench: _Bench) -> None:
    """The deadline also ends a slow body."""

    def drip(peer: ScriptedConnection) -> None:
        peer.send(_HEAD + b"Content-Length: 100000\r\n\r\n")
        peer.drip(b"x")

    bench.serve(_after_request(drip))
    bench.fails(FetchTimedOut, bench.get(limits=_SHORT))


def _a_silent_peer_is_cut(bench: _Bench) -> None:
    """The deadline also ends an exchange with a silent peer, with or without TLS, and with one that does not read."""
    bench.serve(lambda peer: peer.hold())
    bench.fails(FetchTimedOut, bench.get(limits=_SHORT))
    tls = evolve(bench.get(limits=_SHORT), url=f"https://{bench.host}:{bench.server.port}/")
    bench.fails(FetchTimedOut, tls)
    stopped = threading.Event()
    bench.serve(lambda _: _ignore(stopped.wait(10)))
    try:
        bench.fails(FetchTimedOut, bench.post(b"x" * 50_000_000, limits=_SHORT))
    finally:
        stopped.set()


def _a_silent_resolver_is_cut(bench: _Bench) -> None:
    """The deadline also ends name resolution."""
    answered = threading.Event()

    def silent(_: str) -> Sequence[str]:
        _ignore(answered.wait(10))
        return _HERE

    bench.addresses = silent
    try:
        bench.fails(FetchTimedOut, bench.get(limits=_SHORT))
    finally:
        answered.set()


# --- amounts --------------------------------------------------------------------------------------------------------


def _bodies_are_bounded(bench: _Bench) -> None:
    """A body of exactly the limit passes, and one more byte fails, in every framing."""
    limits = TransportLimits(body_bytes_max=1000, decoded_bytes_max=1000)
    for size, fits in ((1000, True), (1001, False)):
        body = b"x" * size
        for answer in (_ok(body), _chunked(body[:600], body[600:]), _HEAD + b"Connection: close\r\n\r\n" + body):
            bench.serve(answer_with(answer))
            if fits:
                assert bench.send(bench.get(limits=limits)).body == body, answer
            else:
                bench.fails(ResponseTooBig, bench.get(limits=limits))


def _endless_bodies_are_bounded(bench: _Bench) -> None:
    """An endless body, or one that is mostly chunk framing, ends at the limits and not at the deadline."""
    limits = TransportLimits(body_bytes_max=10_000, decoded_bytes_max=10_000)
    for head, more in (
        (b"Connection: close\r\n\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 5000 + b"\r\nx\r\n"),
    ):

        def flood(peer: ScriptedConnection, head: bytes = head, more: bytes = more) -> None:
            peer.send(_HEAD + head)
            peer.flood(more)

        bench.serve(_after_request(flood))
        bench.fails(ResponseTooBig, bench.get(limits=limits))


def _bombs_do_not_go_off(bench: _Bench) -> None:
    """Decoding stops at the limit."""
    bomb = gzip.compress(bytes(20_000_000))
    bench.serve(answer_with(_ok(bomb, "Content-Encoding: gzip")))
    accepting = Headers({"Accept-Encoding": "gzip"})
    bench.fails(ResponseTooBig, evolve(bench.get(), headers=accepting))
    bench.serve(answer_with(_ok(bomb, "Content-Encoding: gzip")))
    cut = TransportLimits(decoded_bytes_max=5000, body_excess="cut")
    response = bench.send(evolve(bench.get(limits=cut), headers=accepting))
    assert response.truncated, "a cut response is not marked as truncated"
    assert len(response.body) <= 5000, f"{len(response.body)} bytes"


def _heads_are_bounded(bench: _Bench) -> None:
    """The bytes and the number of fields of a header section are bounded, also without an end."""
    limits = TransportLimits(header_bytes_max=4096, header_count_max=20)
    long, many, line = b"X: " + b"y" * 4096 + b"\r\n", b"X: y\r\n" * 21, b"HTTP/1.1 200 " + b"y" * 4096 + b"\r\n"
    for answer in (
        _HEAD + long + b"\r\n",
        _HEAD + many + b"\r\n",
        _HEAD + (b"X: " + b"y" * 500 + b"\r\n") * 9 + b"\r\n",
        line + b"\r\n",
    ):
        bench.serve(answer_with(answer))
        bench.fails(ResponseTooBig, bench.get(limits=limits))
    for head in (_HEAD, _HEAD + b"X: "):

        def flood(peer: ScriptedConnection, head: bytes = head) -> None:
            peer.send(head)
            peer.flood(b"X: y\r\n" if head == _HEAD else b"y" * 1000)

        bench.serve(_after_request(flood))
        bench.fails(ResponseTooBig, bench.get(limits=limits))


def _informational_answers_are_bounded(bench: _Bench) -> None:
    """A few 1xx responses are skipped; too many fail."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    bench.serve(answer_with(hints * 3 + _OK))
    response = bench.send(bench.get())
    assert (response.status, response.body, "link" in response.headers) == (200, b"ok", False), response
    bench.serve(_after_request(lambda peer: peer.flood(hints)))
    bench.fails(ResponseTooBig)


def _deliveries_are_cut(bench: _Bench) -> None:
    """With ``body_excess`` "cut" the body ends at its limit or at an error, and the response says so."""

    def endless(peer: ScriptedConnection) -> None:
        peer.send(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n")
        peer.flood(b"x" * 65536)

    def dripping(peer: ScriptedConnection) -> None:
        peer.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n")
        peer.drip(b"")

    broken = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nxxxxx"
    for script in (_after_request(endless), answer_with(broken), _after_request(dripping)):
        bench.serve(script)
        response = bench.send(bench.post(b"{}", limits=evolve(DELIVERY_LIMITS, deadline_s=0.4)))
        assert (response.status, response.truncated) == (202, True), response
        assert response.body == b"x" * len(response.body), response.body
        assert len(response.body) <= 4096, f"{len(response.body)} bytes"
    bench.serve(answer_with(_OK))
    assert not bench.send(bench.post(b"{}", limits=DELIVERY_LIMITS)).truncated


# --- nonsense -------------------------------------------------------------------------------------------------------


def _nonsense_is_a_protocol_failure(bench: _Bench) -> None:
    """Invalid or ambiguous HTTP is `ProtocolFailed`."""
    answers = (
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"\0\xff" * 100, b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n", _HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        _HEAD + b"Content-Length: -1\r\n\r\n",
        _HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        _HEAD + b"Transfer-Encoding: gzip\r\n\r\n", _HEAD + b"a b: c\r\n\r\n",
        _HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    )  # fmt: skip
    for answer in answers:
        bench.serve(answer_with(answer))
        bench.fails(ProtocolFailed)


def _answers_that_break_off_fail(bench: _Bench) -> None:
    """Half a response is none: `ConnectFailed` before its first byte, `ProtocolFailed` after it."""
    bench.serve(answer_with(b""))
    bench.fails(ConnectFailed)
    halves = (
        b"HTT",
        _HEAD,
        _HEAD + b"Content-Length: 5\r\n\r\nxx",
        _chunked(b"abc")[:-5],
        _ok(gzip.compress(b"abc")[:-5], "Content-Encoding: gzip"),
    )
    for answer in halves:
        bench.serve(answer_with(answer))
        bench.fails(ProtocolFailed, evolve(bench.get(), headers=Headers({"Accept-Encoding": "gzip"})))


def _nothing_is_injected(bench: _Bench) -> None:
    """Fields that frame messages belong to the transport, and no line break is written."""
    forbidden_headers = (
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "1"},
        {"Connection": "upgrade"},
        {"Host": "other.example"},
        {"Expect": "100-continue"},
    )
    for headers in forbidden_headers:
        bench.fails(ValueError, bench.post(b"{}", headers))
    # Values are checked on construction. The transport must also stop a value that bypassed that check.
    smuggled = Headers({"x": "1"})
    object.__setattr__(smuggled, "pairs", (("x", "1\r\nEvil: 1"),))
    bench.fails(ValueError, evolve(bench.get(), headers=smuggled))
    assert bench.server.seen == [], "something was sent"


# --- connections ----------------------------------------------------------------------------------------------------


def _leftovers_answer_nothing(bench: _Bench) -> None:
    """Bytes after a response do not become the next response."""
    bench.serve(
        lambda peer: (
            answer_with(_OK + _ok(b"evil"), _ok(b"evil"))(peer)
            if bench.server.connections == 1
            else answer_with(_OK)(peer)
        )
    )
    assert bench.send(bench.get()).body == b"ok"
    assert bench.send(bench.get()).body == b"ok", "a leftover was taken for an answer"


def _a_post_is_never_sent_twice(bench: _Bench) -> None:
    """On a pooled connection that ends without a response, a GET may be repeated once, a POST must not be."""

    def forgetful(peer: ScriptedConnection) -> None:
        first = bench.server.connections == before + 1
        _ = peer.read_request()
        peer.send(_OK)
        if first:  # reads one more request and drops it
            _ = peer.read_request()

    for request, requests in ((bench.post(b"{}"), 2), (bench.get(), 3)):
        bench.serve(forgetful)
        before, seen_count = bench.server.connections, len(bench.server.seen)
        here = evolve(request, url=bench.get().url)
        assert bench.send(bench.get()).body == b"ok"
        try:
            assert bench.send(here).body == b"ok"
        except ConnectFailed:
            pass
        else:
            # A transport without a pool has no such case.
            assert request.method == "GET" or bench.server.connections == before + 2, "a POST was sent again"
        assert len(bench.server.seen) - seen_count <= requests, "a request was sent too often"


def _several_at_once_keep_apart(bench: _Bench) -> None:
    """Concurrent exchanges get their own responses."""

    def echo(peer: ScriptedConnection) -> None:
        for _ in range(100):
            peer.send(_ok(peer.read_request().line.split(b" ")[1]))

    bench.serve(echo)
    for _ in range(3):
        paths = [f"/{number}" for number in range(12)]
        responses = bench.send_all([bench.get(path) for path in paths])
        assert [response.body.decode() for response in responses] == paths


def _closing_is_no_end(bench: _Bench) -> None:
    """Closing twice is allowed, and a later exchange reopens."""
    bench.close()
    bench.close()
    assert bench.send(bench.get()).body == b"ok"
    bench.close()
    assert bench.send(bench.get()).body == b"ok"


def _ignore(_: object) -> None:
    """Ignore a result."""


_CHECKS: Final = (
    _request_arrives_as_given, _answer_arrives_as_given, _bodies_end_where_http_says, _codings_are_undone,
    _trailers_are_dropped,
    _redirects_are_handed_back, _nothing_is_remembered, _environment_proxies_are_ignored,
    _statuses_never_become_retries,
    _forbidden_addresses_are_refused, _one_forbidden_address_refuses_the_name, _rebinding_finds_no_second_question,
    _urls_are_judged_before_names_are_resolved, _connections_belong_to_their_policy,
    _names_without_addresses_fail, _refused_connections_fail,
    _a_dripping_head_is_cut, _a_dripping_body_is_cut, _a_silent_peer_is_cut, _a_silent_resolver_is_cut,
    _bodies_are_bounded, _endless_bodies_are_bounded, _bombs_do_not_go_off, _heads_are_bounded,
    _informational_answers_are_bounded,
    _deliveries_are_cut, _nonsense_is_a_protocol_failure, _answers_that_break_off_fail,
    _nothing_is_injected, _leftovers_answer_nothing,
    _a_post_is_never_sent_twice, _several_at_once_keep_apart, _closing_is_no_end,
)  # fmt: skip


def transport_checks() -> tuple[TransportCheck, ...]:
    """Return the checks, one per rule of the contract."""
    return tuple(_check(run) for run in _CHECKS)
