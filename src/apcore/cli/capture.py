"""A captured HTTP/1.1 request in a file: read with patience, and written again.

What people have is not what was on the wire: editors changed line ends or added one at the end, tools undid the chunks or left out the length, and
somebody wrote HTTP/2 into the first line. A server must refuse such things, since two opinions about where a body ends are request smuggling. Here
nothing depends on it, so what can only be meant in one way is taken so, and said in `Captured.notes`; all else is refused in words. That is why this
is not the parser of the transport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from apcore.errors import RequestError
from apcore.http import Headers, Origin, Request, TransportLimits, parse_url, redact_url

__all__ = ["CAPTURE_BYTES_MAX", "Captured", "read_capture", "ready_to_sign", "write_request"]

_LIMITS: Final = TransportLimits()
CAPTURE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Longer files are refused. Servers in use accept bodies of 1 MiB."""

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")
_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]+(\S+)(?:[ \t]+(HTTP/[0-9](?:\.[0-9])?))?[ \t]*")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", re.DOTALL)
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_AUTHORITY: Final = re.compile(r"[^/?#@\\\s]+")
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]+", re.IGNORECASE)


@frozen(kw_only=True)
class Captured:
    """A request as it was in a file."""

    request: Request
    target: str
    """As its first line has it."""
    names: Mapping[str, str]
    """The spelling of each field name, by the name in lower case."""
    notes: tuple[str, ...] = ()
    """What was not as it would be on a connection."""


def read_capture(data: bytes, *, origin: Origin | None = None, scheme: str = "https") -> Captured:
    """Read one request.

    Args:
        data: The file.
        origin: Where the request came to; by default ``scheme`` and what its `Host` says.
        scheme: That of the target, where ``origin`` is not given: the request itself does not say it.

    Raises:
        ValueError: It is none, or one that two readers could read differently; the message says where.
    """
    if len(data) > CAPTURE_BYTES_MAX:
        raise ValueError(f"more than {CAPTURE_BYTES_MAX} bytes: that is no request that a server would take")
    notes: list[str] = []
    head, rest = _split(data.lstrip(b"\r\n"))
    method, target, names, fields = _read_head(head)
    try:
        headers = Headers.from_wire(fields)
    except RequestError as error:
        raise ValueError(str(error)) from error
    body = _read_body(headers, rest, notes)
    if len(body) > _LIMITS.body_bytes_max:
        notes.append(f"the body has {len(body)} bytes, and many servers take {_LIMITS.body_bytes_max} at most")
    url = _url(target, headers, origin, scheme, notes)
    return Captured(request=Request(method, url, headers, body), target=target, names=names, notes=tuple(notes))


def write_request(captured: Captured, request: Request) -> bytes:
    """Write ``request``, which was made from ``captured``, as bytes that may be sent: names as they were spelled, CR LF, no chunks."""
    headers = request.headers.without("transfer-encoding")
    if request.body or "content-length" in headers or request.method not in {"GET", "HEAD"}:
        headers = headers.with_set("content-length", str(len(request.body)))
    lines = [f"{request.method} {captured.target} HTTP/1.1"]
    lines += [f"{captured.names.get(name, name.title())}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def ready_to_sign(captured: Captured) -> Captured:
    """Return the request as it would be sent again: a length instead of chunks, so that the length can be signed."""
    headers = captured.request.headers.without("transfer-encoding", "signature", "signature-input")
    if captured.request.body or "content-length" in headers:
        headers = headers.with_set("content-length", str(len(captured.request.body)))
    return evolve(captured, request=evolve(captured.request, headers=headers))


# --- the head -------------------------------------------------------------------------------------------------------


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = _HEAD_END.search(data)
    head, rest = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
    if not head.strip():
        raise ValueError("there is nothing in it")
    if len(head) > _LIMITS.header_bytes_max:
        raise ValueError(f"a head of {len(head)} bytes, at most {_LIMITS.header_bytes_max}; or no empty line behind it")
    return head, rest


def _read_head(head: bytes) -> tuple[str, str, Mapping[str, str], list[tuple[bytes, bytes]]]:
    first, *lines = _LINE_END.split(head.rstrip(b"\r\n"))
    match = _REQUEST_LINE.fullmatch(first.decode("latin-1"))
    if match is None:
        raise ValueError(f"the first line, of {len(first)} bytes, is no request line such as 'POST /inbox HTTP/1.1'")
    if len(lines) > _LIMITS.header_count_max:
        raise ValueError(f"{len(lines)} fields, at most {_LIMITS.header_count_max}")
    names: dict[str, str] = {}
    fields: list[tuple[bytes, bytes]] = []
    for number, line in enumerate(lines, 2):
        if line[:1] in {b" ", b"\t"}:
            # RFC 9112 §5.2: whoever unfolds it does so in a way of his own.
            raise ValueError(
                f"line {number} begins with a blank: a field that goes over two lines is read by nobody alike"
            )
        field = _FIELD.fullmatch(line)
        if field is None:
            hint = "; it is HTTP/2's: write the request line and Host instead" if line.startswith(b":") else ""
            raise ValueError(f"line {number} is no field such as 'Host: example.com'{hint}")
        name = field[1].decode("ascii")
        _ = names.setdefault(name.lower(), name)
        fields.append((field[1], field[2]))
    return match[1], match[2], MappingProxyType(names), fields


def _url(target: str, headers: Headers, origin: Origin | None, scheme: str, notes: list[str]) -> str:
    """Return the URL as the sender saw it: the path is kept byte for byte, since signatures are over it."""
    absolute = _ABSOLUTE.match(target)
    host = headers.get("host")
    if absolute is not None:
        path = target[absolute.end() :] or "/"
        before = absolute[0]
        if host is not None and host.lower() != before.partition("://")[2].lower():
            notes.append(f"the target names {before!r}, and Host another one")
    elif not target.startswith("/"):
        raise ValueError(
            f"the target {redact_url(target)[:60]!r} begins neither with a slash nor with http:// or https://"
        )
    else:
        path, before = target, f"{scheme}://{host or ''}"
        if origin is None and _AUTHORITY.fullmatch(host or "") is None:
            raise ValueError("there is no Host that names one, so say with --origin where the request came to")
    url = (str(origin) if origin is not None else before) + path
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
            raise ValueError("Transfer-Encoding is not chunked alone: where the body ends is anybody's guess")
        return _unchunked(rest, notes)
    if length is not None:
        if not length.isascii() or not length.isdigit() or len(length) > 12:
            raise ValueError(f"Content-Length is {length[:40]!r}")
        return _of_length(rest, int(length), notes)
    if rest and not rest.strip(b"\r\n"):
        notes.append("line ends behind the head are left out")
        return b""
    if rest:
        notes.append(f"no Content-Length: all {len(rest)} bytes behind the head are taken for the body")
    return rest


def _of_length(rest: bytes, length: int, notes: list[str]) -> bytes:
    behind = rest[length:]
    if behind and not behind.strip(b"\r\n"):
        notes.append(f"Content-Length is {length}: line ends behind the body are left out")
    elif behind:
        notes.append(f"Content-Length is {length}: what is behind the body is left out, {len(behind)} bytes")
    elif len(rest) < length:
        notes.append(
            f"Content-Length is {length}, and {len(rest)} bytes are there: cut off, or other line ends than on the wire"
        )
    return rest[:length]


def _unchunked(rest: bytes, notes: list[str]) -> bytes:
    if rest and _CHUNK_SIZE.match(rest) is None:
        notes.append("Transfer-Encoding says chunked, and there are no chunks: the body is taken as it stands")
        return rest
    body, position = bytearray(), 0
    while (size_line := _CHUNK_SIZE.match(rest, position)) is not None:
        size, position = int(size_line[1], 16), size_line.end()
        if size == 0:
            return bytes(body)
        body += rest[position : position + size]
        end = _LINE_END.match(rest, position + size)
        if end is None:
            raise ValueError(f"the chunk of {size} bytes at byte {position} of the body does not end there")
        position = end.end()
    raise ValueError(f"no chunk begins at byte {position} of the body, and the last one has not come")
