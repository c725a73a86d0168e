"""Check the bounds of a transport: time and amounts."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from attrs import evolve

from apcore.errors import FetchTimedOut, ResponseTooBig
from apcore.http import DELIVERY_LIMITS, Headers, Response, TransportLimits
from apcore.testing._transport_bench import (
    HEAD,
    LOCAL,
    OK,
    SHORT,
    Bench,
    act_after_request,
    make_answer,
    make_chunked_answer,
)
from apcore.testing.loopback import ScriptedConnection, answer_with

__all__ = ["LIMITS"]


def _ignore(_: object) -> None:
    """Ignore a result."""


# --- time -----------------------------------------------------------------------------------------------------------


def a_dripping_head_is_cut(bench: Bench) -> None:
    """The deadline covers the whole exchange: a slow stream of bytes does not extend it."""
    bench.serve(act_after_request(lambda peer: peer.drip(b"H")))
    bench.fails(FetchTimedOut, bench.get(limits=SHORT))


def a_dripping_body_is_cut(bench: Bench) -> None:
    """The deadline also ends a slow body."""

    def drip(peer: ScriptedConnection) -> None:
        peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        peer.drip(b"x")

    bench.serve(act_after_request(drip))
    bench.fails(FetchTimedOut, bench.get(limits=SHORT))


def a_silent_peer_is_cut(bench: Bench) -> None:
    """The deadline also ends an exchange with a silent peer, with or without TLS, and with one that does not read."""
    bench.serve(lambda peer: peer.hold())
    bench.fails(FetchTimedOut, bench.get(limits=SHORT))
    tls = evolve(bench.get(limits=SHORT), url=f"https://{bench.host}:{bench.server.port}/")
    bench.fails(FetchTimedOut, tls)
    stopped = threading.Event()
    bench.serve(lambda _: _ignore(stopped.wait(10)))
    try:
        bench.fails(FetchTimedOut, bench.post(b"x" * 50_000_000, limits=SHORT))
    finally:
        stopped.set()


def a_silent_resolver_is_cut(bench: Bench) -> None:
    """The deadline also ends name resolution."""
    answered = threading.Event()

    def silent(_: str) -> Sequence[str]:
        _ignore(answered.wait(10))
        return LOCAL

    bench.addresses = silent
    try:
        bench.fails(FetchTimedOut, bench.get(limits=SHORT))
    finally:
        answered.set()


# --- amounts --------------------------------------------------------------------------------------------------------


def bodies_are_bounded(bench: Bench) -> None:
    """A body of exactly the limit passes, and one more byte fails, in every framing."""
    limits = TransportLimits(body_bytes_max=1000, decoded_bytes_max=1000)
    for size, fits in ((1000, True), (1001, False)):
        body = b"x" * size
        for answer in (
            make_answer(body),
            make_chunked_answer(body[:600], body[600:]),
            HEAD + b"Connection: close\r\n\r\n" + body,
        ):
            bench.serve(answer_with(answer))
            if fits:
                assert bench.send(bench.get(limits=limits)).body == body, answer
            else:
                bench.fails(ResponseTooBig, bench.get(limits=limits))


def endless_bodies_are_bounded(bench: Bench) -> None:
    """An endless body, or one that is mostly chunk framing, ends at the limits and not at the deadline."""
    limits = TransportLimits(body_bytes_max=10_000, decoded_bytes_max=10_000)
    for head, more in (
        (b"Connection: close\r\n\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 5000 + b"\r\nx\r\n"),
    ):

        def flood(peer: ScriptedConnection, head: bytes = head, more: bytes = more) -> None:
            peer.send(HEAD + head)
            peer.flood(more)

        bench.serve(act_after_request(flood))
        bench.fails(ResponseTooBig, bench.get(limits=limits))


def bombs_do_not_go_off(bench: Bench) -> None:
    """Decoding stops at the limit."""
    bomb = gzip.compress(bytes(20_000_000))
    bench.serve(answer_with(make_answer(bomb, "Content-Encoding: gzip")))
    accepting = Headers({"Accept-Encoding": "gzip"})
    bench.fails(ResponseTooBig, evolve(bench.get(), headers=accepting))
    bench.serve(answer_with(make_answer(bomb, "Content-Encoding: gzip")))
    cut = TransportLimits(decoded_bytes_max=5000, body_excess="cut")
    response = bench.send(evolve(bench.get(limits=cut), headers=accepting))
    assert response.truncated, "a cut response is not marked as truncated"
    assert len(response.body) <= 5000, f"{len(response.body)} bytes"


def heads_are_bounded(bench: Bench) -> None:
    """The bytes and the number of fields of a header section are bounded, also without an end."""
    limits = TransportLimits(header_bytes_max=4096, header_count_max=20)
    long, many, line = b"X: " + b"y" * 4096 + b"\r\n", b"X: y\r\n" * 21, b"HTTP/1.1 200 " + b"y" * 4096 + b"\r\n"
    for answer in (
        HEAD + long + b"\r\n",
        HEAD + many + b"\r\n",
        HEAD + (b"X: " + b"y" * 500 + b"\r\n") * 9 + b"\r\n",
        line + b"\r\n",
    ):
        bench.serve(answer_with(answer))
        bench.fails(ResponseTooBig, bench.get(limits=limits))
    for head in (HEAD, HEAD + b"X: "):

        def flood(peer: ScriptedConnection, head: bytes = head) -> None:
            peer.send(head)
            peer.flood(b"X: y\r\n" if head == HEAD else b"y" * 1000)

        bench.serve(act_after_request(flood))
        bench.fails(ResponseTooBig, bench.get(limits=limits))


def informational_answers_are_bounded(bench: Bench) -> None:
    """A few 1xx responses are skipped; too many fail."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    bench.serve(answer_with(hints * 3 + OK))
    response = bench.send(bench.get())
    assert (response.status, response.body, "link" in response.headers) == (200, b"ok", False), response
    bench.serve(act_after_request(lambda peer: peer.flood(hints)))
    bench.fails(ResponseTooBig)


def deliveries_are_cut(bench: Bench) -> None:
    """With ``body_excess`` "cut" the body ends at its limit or at an error, and the response says so."""

    def endless(peer: ScriptedConnection) -> None:
        peer.send(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n")
        peer.flood(b"x" * 65536)

    def dripping(peer: ScriptedConnection) -> None:
        peer.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n")
        peer.drip(b"")

    broken = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nxxxxx"

    def check(response: Response) -> None:
        assert (response.status, response.truncated) == (202, True), response
        assert response.body == b"x" * len(response.body), response.body
        assert len(response.body) <= 4096, f"{len(response.body)} bytes"

    for script in (act_after_request(endless), answer_with(broken)):
        bench.serve(script)
        check(bench.send(bench.post(b"{}", limits=DELIVERY_LIMITS)))
    bench.serve(act_after_request(dripping))
    check(_send_within(bench, (0.4, 5.0)))
    bench.serve(answer_with(OK))
    assert not bench.send(bench.post(b"{}", limits=DELIVERY_LIMITS)).truncated


def _send_within(bench: Bench, deadlines_s: Sequence[float]) -> Response:
    """Deliver with the first deadline within which the peer sends a head: on a busy machine, it may be late."""
    for deadline_s in deadlines_s[:-1]:
        with suppress(FetchTimedOut):
            return bench.send(bench.post(b"{}", limits=evolve(DELIVERY_LIMITS, deadline_s=deadline_s)))
    return bench.send(bench.post(b"{}", limits=evolve(DELIVERY_LIMITS, deadline_s=deadlines_s[-1])))


LIMITS: Final = (
    a_dripping_head_is_cut,
    a_dripping_body_is_cut,
    a_silent_peer_is_cut,
    a_silent_resolver_is_cut,
    bodies_are_bounded,
    endless_bodies_are_bounded,
    bombs_do_not_go_off,
    heads_are_bounded,
    informational_answers_are_bounded,
    deliveries_are_cut,
)
