"""Check captured requests: they are read in common forms, refused in words, and written as they would be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.cli.capture import CAPTURE_BYTES_MAX, read_capture, ready_to_sign, write_request
from apcore.http import parse_origin

POST = b"POST /inbox HTTP/1.1\r\nHost: local.example\r\nContent-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    ("data", "url", "body", "notes"),
    [
        (POST, "https://local.example/inbox", b"body", ""),
        (POST.replace(b"\r\n", b"\n"), "https://local.example/inbox", b"body", ""),
        (b"\r\n\n" + POST, "https://local.example/inbox", b"body", ""),
        (POST.replace(b"HTTP/1.1", b"HTTP/2"), "https://local.example/inbox", b"body", ""),
        (POST.replace(b" HTTP/1.1", b""), "https://local.example/inbox", b"body", ""),
        (POST + b"\n", "https://local.example/inbox", b"body", "line ends after the body"),
        (POST + b"GET /", "https://local.example/inbox", b"body", "5 bytes after the body"),
        (POST[:-1], "https://local.example/inbox", b"bod", "only 3 bytes are there"),
        (POST.replace(b"Content-Length: 4\r\n", b""), "https://local.example/inbox", b"body", "no Content-Length"),
        (b"GET /a?b HTTP/1.1\nHost: h.example\n\n\n", "https://h.example/a?b", b"", "line ends"),
        (b"GET / HTTP/1.1\nHost: h.example", "https://h.example/", b"", ""),
        (b"GET http://h.example/a HTTP/1.1\nHost: h.example\n\n", "http://h.example/a", b"", ""),
        (b"GET http://h.example HTTP/1.1\nHost: other.example\n\n", "http://h.example/", b"", "Host names another one"),
        (b"GET / HTTP/1.1\nHost: h.example:8443\n\n", "https://h.example:8443/", b"", ""),
        (
            b"POST / HTTP/1.1\nHost: h.example\nTransfer-Encoding: chunked\n\n3;x=y\nbod\n1\ny\n0\nTrailer: x\n\n",
            "https://h.example/",
            b"body",
            "",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "https://h.example/",
            b"body",
            "",
        ),
        (
            b'POST / HTTP/1.1\nHost: h.example\nTransfer-Encoding: chunked\n\n{"a": 1}',
            "https://h.example/",
            b'{"a": 1}',
            "no chunks",
        ),
    ],
)
def test_common_forms_of_a_request_are_read(data, url, body, notes):
    captured = read_capture(data)
    assert (captured.request.url, captured.request.body) == (url, body)
    assert notes in " ".join(captured.notes)
    assert bool(captured.notes) == bool(notes)


def test_large_body_is_noted_and_a_larger_file_refused():
    large = POST.replace(b": 4", b": 1048577") + b"y" * 1048573
    assert "many servers take 1048576" in read_capture(large).notes[0]
    with pytest.raises(ValueError, match="head of"):
        read_capture(b"GET / HTTP/1.1\nA: " + b"b" * 65536)
    with pytest.raises(ValueError, match="more than"):
        read_capture(b"x" * (CAPTURE_BYTES_MAX + 1))


def test_scheme_and_origin_can_be_overridden():
    assert read_capture(POST, scheme="http").request.url == "http://local.example/inbox"
    origin = parse_origin("https://seen.example:8443")
    assert read_capture(POST, origin=origin).request.url == "https://seen.example:8443/inbox"
    absolute = b"GET http://inside:80/a HTTP/1.1\n\n"
    assert read_capture(absolute, origin=origin).request.url == "https://seen.example:8443/a"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing"),
        (b"\r\n\r\n", "nothing"),
        (b"\x00\xff\xfe", "not a request line"),
        (b"HTTP/1.1 200 OK\nHost: x\n\n", "not a request line"),
        (b"Host: local.example\nCookie: hunter2\n\n", "not a request line"),
        (b"GET / HTTP/1.1\nCookie hunter2\n\n", "line 2 is not a field"),
        (b"GET / HTTP/1.1\n:authority: x\n\n", "HTTP/2"),
        (b"GET / HTTP/1.1\nHost : x\n\n", "line 2 is not a field"),
        (b"GET / HTTP/1.1\nHost: x\n more\n\n", "line 3 begins with a blank"),
        (b"GET / HTTP/1.1\nHost: x\rCookie: y\n\n", "forbidden character"),
        (b"GET / HTTP/1.1\n\n", "--origin"),
        (b"GET / HTTP/1.1\nHost: a\nHost: b\n\n", "no valid Host"),
        (b"GET / HTTP/1.1\nHost: a/b@c\n\n", "no valid Host"),
        (b"GET /a#b HTTP/1.1\nHost: x\n\n", "fragment"),
        (b"GET / HTTP/1.1\nHost: local.example:99999\n\n", "port"),
        (b"OPTIONS * HTTP/1.1\nHost: x\n\n", "neither with a slash"),
        (b"CONNECT x:443 HTTP/1.1\nHost: x\n\n", "neither with a slash"),
        (b"GET /\xe9 HTTP/1.1\nHost: x\n\n", "forbidden character"),
        (POST.replace(b": 4", b": four"), "Content-Length is 'four'"),
        (POST.replace(b": 4", b": -4"), "Content-Length is '-4'"),
        (POST.replace(b": 4", b": 4\r\nContent-Length: 4"), "Content-Length is '4, 4'"),
        (POST.replace(b": 4", b": 4\r\nTransfer-Encoding: chunked"), "is ambiguous"),
        (POST.replace(b"Content-Length: 4", b"Transfer-Encoding: gzip, chunked"), "is ambiguous"),
        (b"POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nbody\n0\n\n", "no line end follows"),
        (b"POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n4\nbody\n", "no chunk begins at byte 7"),
        (b"GET /\n" + b"A:\n" * 101, "101 fields"),
    ],
)
def test_malformed_capture_is_refused_in_words(data, words):
    with pytest.raises(ValueError, match=words) as exc_info:
        read_capture(data)
    assert "hunter2" not in str(exc_info.value)


PIECES = [
    *(b"GET / HTTP/1.1", b"\r\n", b"\n", b"Host: x", b"Transfer-Encoding: chunked"),
    *(b"0", b"5", b"a", b": ", b"\xff"),
]


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_garbage_is_read_or_refused_with_a_value_error(data):
    try:
        captured = read_capture(data)
    except ValueError:
        return
    assert captured.request.url


def test_written_request_keeps_names_target_and_order():
    head = b"POST http://h.example/a HTTP/1.0\nhOST: h.example\nX-Y: 1\nX-Y: 2\nTransfer-Encoding: chunked\n\n"
    data = head + b"4\nbody\n0\n\n"
    captured = ready_to_sign(read_capture(data))
    output = write_request(captured, captured.request)
    assert (
        output
        == b"POST http://h.example/a HTTP/1.1\r\nhOST: h.example\r\nX-Y: 1\r\nX-Y: 2\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert read_capture(output).request == captured.request


def test_earlier_signatures_are_dropped_before_signing():
    data = POST.replace(b"\r\n\r\n", b"\r\nSignature: x\r\nSignature-Input: y\r\n\r\n")
    assert {"signature", "signature-input"}.isdisjoint(dict(ready_to_sign(read_capture(data)).request.headers))
