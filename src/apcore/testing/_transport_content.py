"""Check what a transport sends and hands back, and what it leaves to its caller."""

from __future__ import annotations

import gzip
import os
from typing import Final

from attrs import evolve

from apcore.errors import ProtocolFailed, ResponseTooBig
from apcore.http import Headers
from apcore.testing._transport_bench import HEAD, OK, Bench, make_answer, make_chunked_answer
from apcore.testing.loopback import answer_with

__all__ = ["CONTENT"]

# --- content ----------------------------------------------------------------------------------------------------


def request_arrives_as_given(bench: Bench) -> None:
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
    bench.serve(answer_with(OK, OK))
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


def answer_arrives_as_given(bench: Bench) -> None:
    """Status, fields with their order and repetition, and body arrive as sent."""
    bench.serve(answer_with(make_answer(b"a\0b", "Vary: a", "X-One:  1 ", "vary: b").replace(b"200 OK", b"410 Gone")))
    response = bench.send(bench.get())
    assert (response.status, response.body, response.truncated) == (410, b"a\0b", False), response
    assert response.headers.get_all("vary") == ("a", "b"), response.headers
    assert response.headers.get("x-one") == "1", response.headers


def bodies_end_where_http_says(bench: Bench) -> None:
    """Bodies end by chunks, by length, or with the connection; there is no body for HEAD, 204 and 304."""
    by_close = HEAD + b"Connection: close\r\n\r\nuntil the end"
    for answer, body in (
        (make_chunked_answer(b"one", b"two"), b"onetwo"),
        (make_answer(b""), b""),
        (by_close, b"until the end"),
    ):
        bench.serve(answer_with(answer))
        assert bench.send(bench.get()).body == body, answer
    for status in (b"204 No Content", b"304 Not Modified"):
        bench.serve(answer_with(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n"))
        assert bench.send(bench.get()).body == b"", status
    bench.serve(answer_with(HEAD + b"Content-Length: 100\r\n\r\n"))
    assert bench.send(evolve(bench.get(), method="HEAD")).body == b"", "an answer to HEAD has a body"


def codings_are_undone(bench: Bench) -> None:
    """Content codings that the request asked for are decoded; others fail."""
    text = b"hello " * 100
    bench.serve(answer_with(make_answer(gzip.compress(text), "Content-Encoding: gzip")))
    response = bench.send(evolve(bench.get(), headers=Headers({"Accept-Encoding": "gzip"})))
    assert response.body == text, response
    bench.serve(answer_with(make_answer(b"xyz", "Content-Encoding: br")))
    bench.fails(ProtocolFailed)


def trailers_are_dropped(bench: Bench) -> None:
    """Trailers do not become headers, which they could forge. Trailers over the limit fail."""
    bench.serve(answer_with(make_chunked_answer(b"x", trailers=b"Content-Type: application/activity+json\r\nX: 1\r\n")))
    response = bench.send(bench.get())
    assert (response.body, "x" in response.headers, "content-type" in response.headers) == (b"x", False, False), (
        response
    )
    bench.serve(answer_with(make_chunked_answer(b"x", trailers=b"X: " + b"y" * 9000 + b"\r\n")))
    bench.fails(ResponseTooBig)


# --- excluded features ---------------------------------------------------------------------------------------------


def redirects_are_handed_back(bench: Bench) -> None:
    """A redirect is returned like any other response."""
    for status in (301, 302, 303, 307, 308):
        answer = make_answer(b"", f"Location: http://{bench.host}:{bench.server.port}/elsewhere").replace(
            b"200", b"%d" % status
        )
        bench.serve(answer_with(answer))
        response = bench.send(bench.get())
        assert response.status == status, response
        assert (response.headers.get("location") or "").endswith("/elsewhere"), response
    assert len(bench.server.seen) == 5, "a redirect was followed"


def nothing_is_remembered(bench: Bench) -> None:
    """No cookie is sent back, and a cacheable response is requested again."""
    answer = make_answer(b"ok", "Set-Cookie: a=b", "Cache-Control: max-age=3600", "ETag: x")
    bench.serve(answer_with(answer, answer))
    for _ in range(2):
        _ = bench.send(bench.get())
    assert len(bench.server.seen) == 2, "an answer was kept"
    second = bench.server.seen[1]
    assert not second.get_all(b"cookie"), "a cookie was kept"
    assert not second.get_all(b"if-none-match"), "a validator was kept"


def environment_proxies_are_ignored(bench: Bench) -> None:
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


def statuses_never_become_retries(bench: Bench) -> None:
    """503, 429 and 408 are responses; the caller decides whether to retry."""
    for status in (408, 429, 503):
        bench.serve(answer_with(*[make_answer(b"", "Retry-After: 0").replace(b"200", b"%d" % status)] * 2))
        assert bench.send(bench.get()).status == status
    assert len(bench.server.seen) == 3, "a request was repeated"


CONTENT: Final = (
    request_arrives_as_given,
    answer_arrives_as_given,
    bodies_end_where_http_says,
    codings_are_undone,
    trailers_are_dropped,
    redirects_are_handed_back,
    nothing_is_remembered,
    environment_proxies_are_ignored,
    statuses_never_become_retries,
)
