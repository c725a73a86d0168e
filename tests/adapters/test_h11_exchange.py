"""Check the HTTP exchange machine and the content codings without a socket."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.adapters.h11.codings import decode_body
from apcore.adapters.h11.exchange import Exchange, is_idempotent
from apcore.errors import FetchFailed, ProtocolFailed, ResponseTooBig
from apcore.http import DELIVERY_LIMITS, Request, Response, TransportLimits, parse_url

URL = "https://peer.example:8443/a?b"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def start_exchange(method="GET", *, headers=(), body=b"", limits=None, url=URL):
    request = Request(method, url, headers, body, limits or TransportLimits())
    return Exchange(request, parse_url(url), user_agent="test")


def run_exchange(data: bytes, *, closes=False, pieces=None, **options) -> Response | type[FetchFailed]:
    exchange = start_exchange(**options)
    try:
        for piece in pieces or [data]:
            if not exchange.done:
                exchange.receive(piece)
        if closes and not exchange.done:
            exchange.receive(b"")
        assert exchange.done
        return exchange.response()
    except FetchFailed as exc:
        return type(exc)


def written_lines(**options) -> list[bytes]:
    head, _, body = start_exchange(**options).outgoing.partition(b"\r\n\r\n")
    return [*head.lower().split(b"\r\n"), body]


def test_missing_fields_are_added_after_those_of_the_request():
    assert written_lines(headers={"B": "1", "A": "2"}) == [
        b"get /a?b http/1.1",
        b"host: peer.example:8443",
        b"b: 1",
        b"a: 2",
        b"user-agent: test",
        b"accept-encoding: gzip, deflate",
        b"",
    ]


def test_fields_of_the_request_are_not_added_again():
    fields = {"User-Agent": "mine", "Accept-Encoding": "identity", "Host": "peer.example", "Content-Length": "2"}
    assert written_lines(method="POST", headers=fields, body=b"{}") == [
        b"post /a?b http/1.1",
        b"host: peer.example",
        b"user-agent: mine",
        b"accept-encoding: identity",
        b"content-length: 2",
        b"{}",
    ]


@pytest.mark.parametrize(
    ("method", "length"),
    [("POST", True), ("PUT", True), ("PATCH", True), ("GET", False), ("DELETE", False), ("HEAD", False)],
)
def test_methods_with_content_send_content_length_zero(method, length):
    assert (b"content-length: 0" in written_lines(method=method)) == length


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "CONNECT"}, "CONNECT"),
        *(
            ({"headers": {name: "x"}}, f"'{name}' belongs to the transport")
            for name in (
                "connection",
                "expect",
                "keep-alive",
                "proxy-connection",
                "te",
                "trailer",
                "transfer-encoding",
                "upgrade",
            )
        ),
        ({"headers": {"content-length": "1"}}, "'content-length' is '1' for a body of 0"),
        ({"headers": [("content-length", "0"), ("content-length", "0")]}, "'content-length' is '0, 0'"),
        ({"headers": {"host": "other.example"}}, "'host' is 'other.example'"),
        ({"headers": [("host", "peer.example"), ("host", "peer.example")]}, "'host' is"),
    ],
    ids=str,
)
def test_request_with_fields_of_the_transport_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        start_exchange(**options)


ANSWERS = [
    OK,
    b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 404 Not Found\r\n\r\nold",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 23\r\n\r\n" + gzip.compress(b"abc", mtime=0),
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    b"nonsense\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("data", ANSWERS, ids=range(len(ANSWERS)))
@pytest.mark.parametrize("excess", ["refuse", "cut"])
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_response_does_not_depend_on_the_division_into_pieces(data, excess, cuts):
    limits = TransportLimits(body_bytes_max=200, header_bytes_max=2000, body_excess=excess)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges) if data[a:b]]
    assert run_exchange(data, pieces=pieces, closes=True, limits=limits) == run_exchange(
        data, closes=True, limits=limits
    )


@given(
    data=st.binary(max_size=60)
    | st.lists(st.sampled_from([*ANSWERS, b"\r\n", b"\0", b"1", b"HTTP/1.1 "]), max_size=4).map(b"".join)
)
def test_any_bytes_give_a_response_or_a_fetch_failure(data):
    outcome = run_exchange(data, closes=True, limits=TransportLimits(body_bytes_max=100, decoded_bytes_max=100))
    assert isinstance(outcome, Response) or issubclass(outcome, FetchFailed)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000 + b"\r\n\r\n", ResponseTooBig),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", ResponseTooBig),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK, ResponseTooBig),
        (b"HTTP/1.1 199 Hm\r\n\r\n" * 8 + OK, 200),
        (
            (b"HTTP/1.1 100 A\r\nX: " + b"y" * 900 + b"\r\n\r\n") * 5 + OK,
            ResponseTooBig,
        ),  # together more than the limit of one section
        (b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n", ProtocolFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\nx", ProtocolFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 200),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"T: u\r\n" * 101 + b"\r\n",
            ResponseTooBig,
        ),
    ],
    ids=range(9),
)
def test_limits_of_a_response_are_enforced(data, kind):
    outcome = run_exchange(data, limits=TransportLimits(header_bytes_max=4096))
    assert outcome == kind if isinstance(kind, type) else outcome.status == kind


def test_failure_names_host_and_limit():
    exchange = start_exchange(limits=TransportLimits(body_bytes_max=1))
    with pytest.raises(ResponseTooBig, match=r"^peer\.example:8443: body of more than 1 bytes \(body_bytes_max\)$"):
        exchange.receive(OK)


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (OK, True),
        (OK + b"x", False),
        (OK.replace(b"OK", b"OK\r\nConnection: close"), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_connection_is_reusable_after_a_complete_response(data, reusable):
    exchange = start_exchange()
    exchange.receive(data)
    assert (exchange.done, exchange.reusable) == (True, reusable)


def test_truncated_response_has_a_status_or_fails():
    assert run_exchange(b"HTTP/1.1 202 A\r\nContent-Length: 9\r\n\r\nxx", closes=True, limits=DELIVERY_LIMITS).truncated
    assert run_exchange(b"HTTP/1.1 202 A\r\nContent-L", closes=True, limits=DELIVERY_LIMITS) is ProtocolFailed
    exchange = start_exchange(limits=DELIVERY_LIMITS)
    assert not exchange.break_off()
    exchange.receive(b"HTTP/1.1 202 A\r\nContent-Length: 9\r\n\r\nx")
    assert exchange.break_off()
    assert (exchange.done, exchange.reusable, exchange.response().body) == (True, False, b"x")
    garbled = b"HTTP/1.1 202 A\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz"
    assert run_exchange(garbled, limits=DELIVERY_LIMITS).truncated


def test_idempotent_methods():
    assert [method for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "get") if is_idempotent(method)] == [
        "GET",
        "HEAD",
        "PUT",
        "DELETE",
    ]


# --- codings ---------------------------------------------------------------------------------------------------------

CODED = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:3]) + gzip.compress(body[3:]),  # two members
    "deflate": zlib.compress,
    " Deflate ": lambda body: zlib.compress(body, wbits=-15),
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODED)
@given(body=st.binary(max_size=200), bytes_max=st.integers(0, 250))
def test_codings_round_trip_within_their_bound(coding, body, bytes_max):
    decoded, ending = decode_body(coding, CODED[coding](body), bytes_max)
    assert (decoded, ending) == (body[:bytes_max], "whole" if len(body) <= bytes_max else "excess")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(body=st.binary(min_size=1, max_size=100), cut=st.integers(1, 8))
def test_incomplete_coded_body_is_broken(coding, body, cut):
    coded = CODED[coding](body)
    decoded, ending = decode_body(coding, coded[:-cut], 1000)
    assert ending == "broken"
    assert body.startswith(decoded)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"x"),
        ("", b"x"),
        ("gzip, gzip", b"x"),
        ("gzip", b"x" * 30),
        ("deflate", b"\x78\x9cxyz"),
        ("gzip", gzip.compress(b"a", mtime=0) + b"tail"),
    ],
)
def test_malformed_or_unknown_coding_is_broken(coding, body):
    assert decode_body(coding, body, 100)[1] == "broken"


def test_number_of_gzip_members_is_bounded():
    assert decode_body("gzip", gzip.compress(b"") * 17, 100)[1] == "broken"
    assert decode_body("gzip", gzip.compress(b"") * 16, 100) == (b"", "whole")


@given(body=st.binary(max_size=80), coding=st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_decoded_within_the_bound(body, coding):
    decoded, _ = decode_body(coding, body, 50)
    assert len(decoded) <= 50
