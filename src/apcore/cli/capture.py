"""Read a captured HTTP/1.1 request from a file leniently, and write it again.

A capture differs from the bytes on the wire. Editors change line ends or add one at the end. Tools join the chunks,
omit the length, or write HTTP/2 in the first line. A server must refuse such requests: if two parsers disagree about
the end of a body, request smuggling is possible. Here nothing depends on it. So if a deviation has only one meaning,
this reader accepts it and lists it in `CapturedRequest.notes`; it refuses all others with an explanation. For this
reason it does not use the transport's parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from apcore.errors import RequestError
from apcore.http import Headers, Origin, Request, TransportLimits, parse_url, redact_url

__all__ = ["CAPTURE_BYTES_MAX", "CapturedRequest", "read_capture", "ready_to_sign", "write_request"]

_LIMITS: Final = TransportLimits()
CAPTURE_BYTES_MAX: Final = 4 * 1024 * 1024
"""The most bytes of a file. Servers in use accept bodies of 1 MiB."""

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")
_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]+(\S+)(?:[ \t]+(HTTP/[0-9](?:\.[0-9])?))?[ \t]*")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", re.DOTALL)
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_AUTHORITY: Final = re.compile(r"[^/?#@\\\s]+")
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]+", re.IGNORECASE)


@frozen(kw_only=True)
class CapturedRequest:
    """A request that was read from a file."""

    request: Request
    target: str
    """The request target in the first line."""
    names: Mapping[str, str]
    """The spelling of each field name, by the name in lower case."""
    notes: tuple[str, ...] = ()
    """The deviations from a request on a connection."""


def read_capture(data: bytes, *, origin: Origin | None = None, scheme: str = "https") -> CapturedRequest:
    """Read one request.

    Args:
        data: The content of the file.
        origin: The origin that received the request. By default ``scheme`` and the `Host` of the request.
        scheme: The scheme of the URL if ``origin`` is not given. The request itself does not contain it.

    Raises:
        ValueError: The data is not a request, or is ambiguous. The message names the place.
    """
    if len(data) > CAPTURE_BYTES_MAX:
        raise ValueError(f"more than {CAPTURE_BYTES_MAX} bytes: no server would accept such a request")
    notes: list[str] = []
    head, rest = _split(data.lstrip(b"\r\n"))
    method, target, names, fields = _read_head(head)
    try:
        headers = Headers.from_wire(fields)
    except RequestError as error:
        raise ValueError(str(error)) from error
    body = _read_body(headers, rest, notes)
    if len(body) > _LIMITS.body_bytes_max:
        notes.append(f"the body has {len(body)} bytes, and many servers take {_LIMITS.body_bytes_max} bytes at most")
    url = _url(target, headers, origin, scheme, notes)
    return CapturedRequest(request=Request(method, url, headers, body), target=target, names=names, notes=tuple(notes))


def write_request(captured: CapturedRequest, request: Request) -> bytes:
    """Return ``request``, which was derived from ``captured``, as bytes for a connection.

    Field names have the spelling of the capture, lines end with CR LF, and the body is not chunked.
    """
    headers = request.headers.without("transfer-encoding")
    if request.body or "content-length" in headers or request.method not in {"GET", "HEAD"}:
        headers = headers.with_set("content-length", str(len(request.body)))
    lines = [f"{request.method} {captured.target} HTTP/1.1"]
    lines += [f"{captured.names.get(name, name.title())}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def ready_to_sign(captured: CapturedRequest) -> CapturedRequest:
    """Return the request with a length in place of chunks, so that the length can be signed, and without signatures."""
    headers = captured.request.headers.without("transfer-encoding", "signature", "signature-input")
    if captured.request.body or "content-length" in headers:
        headers = headers.with_set("content-length", str(len(captured.request.body)))
    return evolve(captured, request=evolve(captured.request, headers=headers))


# --- the head -------------------------------------------------------------------------------------------------------


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = _HEAD_END.search(data)
    head, rest = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
    if not head.strip():
        raise ValueError("it contains nothing")
    if len(head) > _LIMITS.header_bytes_max:
        raise ValueError(
            f"a head of {len(head)} bytes, at most {_LIMITS.header_bytes_max}; or the empty line after it is missing"
        )
    return head, rest


def _read_head(head: bytes) -> tuple[str, str, Mapping[str, str], list[tuple[bytes, bytes]]]:
    first, *lines = _LINE_END.split(head.rstrip(b"\r\n"))
    match = _REQUEST_LINE.fullmatch(first.decode("latin-1"))
    if match is None:
        raise ValueError(f"the first line, of {len(first)} bytes, is not a request line such as 'POST /inbox HTTP/1.1'")
    if len(lines) > _LIMITS.header_count_max:
        raise ValueError(f"{len(lines)} fields, at most {_LIMITS.header_count_max}")
    names: dict[str, str] = {}
    fields: list[tuple[bytes, bytes]] = []
    for number, line in enumerate(lines, 2):
        if line[:1] in {b" ", b"\t"}:
            # RFC 9112 §5.2: parsers unfold such a line in different ways.
            raise ValueError(
                f"line {number} begins with a blank: parsers disagree about a field on two lines, so join the lines"
            )
        field = _FIELD.fullmatch(line)
        if field is None:
            hint = "; it is from HTTP/2: write a request line and Host instead" if line.startswith(b":") else ""
            raise ValueError(f"line {number} is not a field such as 'Host: example.com'{hint}")
        name = field[1].decode("ascii")
        _ = names.setdefault(name.lower(), name)
        fields.append((field[1], field[2]))
    return match[1], match[2], MappingProxyType(names), fields


def _url(target: str, headers: Headers, origin: Origin | None, scheme: str, notes: list[str]) -> str:
    """Return the URL as the sender saw it. The path stays byte for byte the same, because signatures cover it."""
    absolute = _ABSOLUTE.match(target)
    host = headers.get("host")
    if absolute is not None:
        path = target[absolute.end() :] or "/"
        target_origin = absolute[0]
        if host is not None and host.lower() != target_origin.partition("://")[2].lower():
            notes.append(f"the target names {target_origin!r}, and Host names another one")
    elif not target.startswith("/"):
        raise ValueError(
            f"the target {redact_url(target)[:60]!r} begins neither with a slash nor with http:// or https://"
        )
    else:
        path, target_origin = target, f"{scheme}://{host or ''}"
        if origin is None and _AUTHORITY.fullmatch(host or "") is None:
            raise ValueError("no valid Host field: name the origin that received the request with --origin")
    url = (str(origin) if origin is not None else target_origin) + path
    if "#" in url:
        raise ValueError("the target has a fragment, which is never sent")
    try:
        _ = parse_url(url)
    except RequestError as error:
        raise ValueError(str(error)) from error
    return url


# --- the body -------------------------------------------------------------------------------------------------------


def _read_body(headers: Headers, rest: bytes, notes: list[str]) -> bytes:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise ValueError(
                "Transfer-Encoding has another value than chunked, or Content-Length beside it: "
                "the end of the body is ambiguous"
            )
        return _join_chunks(rest, notes)
    if length is not None:
        if not length.isascii() or not length.isdigit() or len(length) > 12:
            raise ValueError(f"Content-Length is {length[:40]!r}")
        return _cut_to_length(rest, int(length), notes)
    if rest and not rest.strip(b"\r\n"):
        notes.append("line ends after the head are ignored")
        return b""
    if rest:
        notes.append(f"no Content-Length: the body is all {len(rest)} bytes after the head")
    return rest


def _cut_to_length(rest: bytes, length: int, notes: list[str]) -> bytes:
    excess = rest[length:]
    if excess and not excess.strip(b"\r\n"):
        notes.append(f"Content-Length is {length}: line ends after the body are ignored")
    elif excess:
        notes.append(f"Content-Length is {length}: {len(excess)} bytes after the body are ignored")
    elif len(rest) < length:
        notes.append(
            f"Content-Length is {length}, but only {len(rest)} bytes are there: "
            "the capture is cut off, or has other line ends than on the wire"
        )
    return rest[:length]


def _join_chunks(rest: bytes, notes: list[str]) -> bytes:
    if rest and _CHUNK_SIZE.match(rest) is None:
        notes.append("Transfer-Encoding is chunked, but there are no chunks: the body is used as it is")
        return rest
    body, position = bytearray(), 0
    while (size_line := _CHUNK_SIZE.match(rest, position)) is not None:
        size, position = int(size_line[1], 16), size_line.end()
        if size == 0:
            return bytes(body)
        body += rest[position : position + size]
        end = _LINE_END.match(rest, position + size)
        if end is None:
            raise ValueError(f"no line end follows the chunk of {size} bytes at byte {position} of the body")
        position = end.end()
    raise ValueError(f"no chunk begins at byte {position} of the body, and the last chunk is missing")
