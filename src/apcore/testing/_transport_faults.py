"""Check a transport with servers that do not keep to HTTP, and with connections that end or repeat."""

from __future__ import annotations

import gzip
from typing import Final

from attrs import evolve

from apcore.errors import ConnectFailed, ProtocolFailed
from apcore.http import Headers
from apcore.testing._transport_bench import HEAD, OK, Bench, make_answer, make_chunked_answer
from apcore.testing.loopback import ScriptedConnection, answer_with

__all__ = ["FAULTS"]

# --- nonsense -------------------------------------------------------------------------------------------------------


def nonsense_is_a_protocol_failure(bench: Bench) -> None:
    """Invalid or ambiguous HTTP is `ProtocolFailed`."""
    answers = (
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"\0\xff" * 100, b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n", HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n", HEAD + b"a b: c\r\n\r\n",
        HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    )  # fmt: skip
    for answer in answers:
        bench.serve(answer_with(answer))
        bench.fails(ProtocolFailed)


def answers_that_break_off_fail(bench: Bench) -> None:
    """Half a response is none: `ConnectFailed` before its first byte, `ProtocolFailed` after it."""
    bench.serve(answer_with(b""))
    bench.fails(ConnectFailed)
    halves = (
        b"HTT",
        HEAD,
        HEAD + b"Content-Length: 5\r\n\r\nxx",
        make_chunked_answer(b"abc")[:-5],
        make_answer(gzip.compress(b"abc")[:-5], "Content-Encoding: gzip"),
    )
    for answer in halves:
        bench.serve(answer_with(answer))
        bench.fails(ProtocolFailed, evolve(bench.get(), headers=Headers({"Accept-Encoding": "gzip"})))


def nothing_is_injected(bench: Bench) -> None:
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


def leftovers_answer_nothing(bench: Bench) -> None:
    """Bytes after a response do not become the next response."""
    bench.serve(
        lambda peer: (
            answer_with(OK + make_answer(b"evil"), make_answer(b"evil"))(peer)
            if bench.server.connections == 1
            else answer_with(OK)(peer)
        )
    )
    assert bench.send(bench.get()).body == b"ok"
    assert bench.send(bench.get()).body == b"ok", "a leftover was taken for an answer"


def a_post_is_never_sent_twice(bench: Bench) -> None:
    """On a pooled connection that ends without a response, a GET may be repeated once, a POST must not be."""

    def forgetful(peer: ScriptedConnection) -> None:
        first = bench.server.connections == before + 1
        _ = peer.read_request()
        peer.send(OK)
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


def several_at_once_keep_apart(bench: Bench) -> None:
    """Concurrent exchanges get their own responses."""

    def echo(peer: ScriptedConnection) -> None:
        for _ in range(100):
            peer.send(make_answer(peer.read_request().line.split(b" ")[1]))

    bench.serve(echo)
    for _ in range(3):
        paths = [f"/{number}" for number in range(12)]
        responses = bench.send_all([bench.get(path) for path in paths])
        assert [response.body.decode() for response in responses] == paths


def closing_is_no_end(bench: Bench) -> None:
    """Closing twice is allowed, and a later exchange reopens."""
    bench.close()
    bench.close()
    assert bench.send(bench.get()).body == b"ok"
    bench.close()
    assert bench.send(bench.get()).body == b"ok"


FAULTS: Final = (
    nonsense_is_a_protocol_failure,
    answers_that_break_off_fail,
    nothing_is_injected,
    leftovers_answer_nothing,
    a_post_is_never_sent_twice,
    several_at_once_keep_apart,
    closing_is_no_end,
)
