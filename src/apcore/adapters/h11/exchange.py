"""Encode one request and decode its response with h11: bytes in, bytes out, all limits checked, no socket.

The transport passes received bytes to `receive` until the exchange is `done`. h11 parses the syntax. This module
counts, because a peer chooses how much it sends: bytes and fields of header sections (1xx responses included), 1xx
responses, body bytes, trailers, and all received bytes. The last count stops a body of one-byte chunks with long
extensions, which would evade the other limits.

With `body_excess` "cut" the caller wants the status. Once the status has arrived, a problem with the body (a limit, a
coding that cannot be decoded, a broken connection, the deadline) ends the body and not the exchange. The peer has
responded, and asking again would deliver twice.
"""

from __future__ import annotations

from typing import Final, Literal

import h11

from apcore.adapters.h11.codings import ACCEPTED, decode_body
from apcore.errors import FetchFailed, ProtocolFailed, RequestError, ResponseTooBig
from apcore.http import Headers, Request, Response, Url

__all__ = ["Exchange", "is_idempotent"]

# The transport alone decides where a message ends and whether the connection persists. Two opinions about that are
# request smuggling.
_OURS: Final = frozenset(
    {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# RFC 9110 §9.2.2
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# RFC 9110 §8.6: these send their content length even if the content is empty.
_HAVE_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})
# Chunk framing may double a body. More than that is abuse.
_FRAMING_SLACK: Final = 64 * 1024


def is_idempotent(method: str) -> bool:
    """Return whether sending a request twice has the same effect as sending it once."""
    return method in _IDEMPOTENT


class Exchange:
    """One request to one server, until its response is complete."""

    __slots__ = (
        "_body", "_broken", "_h11", "_head_bytes", "_informational", "_limits", "_received", "_response", "_where",
        "answered", "done", "outgoing",
    )  # fmt: skip

    def __init__(self, request: Request, url: Url, *, user_agent: str) -> None:
        """Encode the request. `ValueError` if its method or headers belong to the transport (see `_wire_headers`)."""
        limits = request.limits
        self._limits = limits
        self._where = url.origin.authority
        # h11 counts the empty line at the end too.
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.header_bytes_max + 2)
        self._received = self._head_bytes = self._informational = 0
        self._response: h11.Response | None = None
        self._body = bytearray()
        self._broken: Literal["", "excess", "broken"] = ""
        self.answered = False
        """Whether any byte of a response has arrived."""
        self.done = False
        """Whether the response is complete, or cut."""
        self.outgoing = self._write(request, url, user_agent)
        """The whole request as bytes."""

    def _write(self, request: Request, url: Url, user_agent: str) -> bytes:
        fields = _wire_headers(request, url, user_agent)
        try:
            head = h11.Request(method=request.method, target=url.target, headers=fields)
        except h11.LocalProtocolError:
            # `Headers` refuses such values, so the caller bypassed it. The message of h11 would repeat the value.
            raise ValueError("the request has a field that cannot be written as one line") from None
        events: list[h11.Event] = [head, h11.EndOfMessage()]
        if request.body:
            events.insert(1, h11.Data(data=request.body))
        return b"".join(self._h11.send(event) or b"" for event in events)

    @property
    def reusable(self) -> bool:
        """Return whether another exchange may follow on the same connection."""
        return (
            self._h11.our_state is h11.DONE
            and self._h11.their_state is h11.DONE
            and not self._h11.trailing_data[0]
            and not self._broken
        )

    def receive(self, data: bytes) -> None:
        """Process received bytes. Empty ``data`` means that the peer closed.

        Raises:
            ProtocolFailed, ResponseTooBig: After either, do not call this again.
        """
        self.answered = self.answered or bool(data)
        self._received += len(data)
        try:
            self._count_wire()
            self._h11.receive_data(data)
            while not self.done:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    return
                self._handle(event)
        except h11.RemoteProtocolError as exc:
            # h11 hints at 431 when a line or a section does not end within its bound.
            kind = ResponseTooBig if exc.error_status_hint == 431 else ProtocolFailed
            self._fail(kind(f"{self._where}: {exc}"))
        except FetchFailed as exc:
            self._fail(exc)

    def break_off(self) -> bool:
        """End the body here if it may be cut and the status is known. Return whether it was cut."""
        if self._response is None or self._limits.body_excess != "cut":
            return False
        self._broken = self._broken or "broken"
        self.done = True
        return True

    def response(self) -> Response:
        """Return the response with its content coding decoded. Call this only once `done`."""
        assert self._response is not None
        try:
            headers = Headers.from_wire(self._response.headers)
        except RequestError as exc:
            raise ProtocolFailed(f"{self._where}: {exc}") from exc
        if not 200 <= self._response.status_code <= 599:
            raise ProtocolFailed(f"{self._where}: status {self._response.status_code} is not defined (RFC 9110 §15)")
        body = bytes(self._body)
        coding = headers.get("content-encoding")
        if coding and body:
            body = self._decoded(coding, body)
        return Response(self._response.status_code, headers, body, bool(self._broken))

    def _decoded(self, coding: str, body: bytes) -> bytes:
        decoded, ending = decode_body(coding, body, self._limits.decoded_bytes_max)
        if ending == "whole":
            return decoded
        if self._limits.body_excess == "cut":
            self._broken = ending
            return decoded
        if ending == "excess":
            raise ResponseTooBig(
                f"{self._where}: body of {len(body)} bytes decodes to more than "
                f"{self._limits.decoded_bytes_max} (decoded_bytes_max)"
            )
        raise ProtocolFailed(f"{self._where}: content coding {coding[:40]!r} cannot be decoded")

    def _handle(self, event: object) -> None:
        match event:
            case h11.InformationalResponse():
                self._informational += 1
                if self._informational > self._limits.informational_max:
                    raise ResponseTooBig(
                        f"{self._where}: more than {self._limits.informational_max} 1xx responses (informational_max)"
                    )
                self._count_head(event)
            case h11.Response():
                self._count_head(event)
                self._response = event
            case h11.Data():
                self._take_body(event.data)
            case h11.EndOfMessage():
                # Trailers are dropped: apcore uses none, and merged into the headers they could forge header fields.
                self._count_section("trailer_bytes_max", 0, list(event.headers))
                self.done = True
            case _:
                raise ProtocolFailed(f"{self._where}: closed or changed the protocol before the response was complete")

    def _take_body(self, data: bytes | bytearray) -> None:
        room = self._limits.body_bytes_max - len(self._body)
        self._body += data[:room]
        if len(data) > room:
            self._broken = "excess"
            raise ResponseTooBig(
                f"{self._where}: body of more than {self._limits.body_bytes_max} bytes (body_bytes_max)"
            )

    def _count_head(self, event: h11.Response | h11.InformationalResponse) -> None:
        if not event.http_version.startswith(b"1."):
            raise ProtocolFailed(f"{self._where}: speaks HTTP/{event.http_version.decode()}, not HTTP/1.1")
        # The status line also has "HTTP/1.1 200 " and a line end beside the reason.
        self._head_bytes = self._count_section(
            "header_bytes_max", self._head_bytes + 15 + len(event.reason), list(event.headers)
        )

    def _count_section(
        self,
        name: Literal["header_bytes_max", "trailer_bytes_max"],
        before: int,
        fields: list[tuple[bytes, bytes]],
    ) -> int:
        limits = self._limits
        size = before + sum(len(field) + len(value) + 4 for field, value in fields)
        bytes_max = limits.header_bytes_max if name == "header_bytes_max" else limits.trailer_bytes_max
        if size > bytes_max:
            raise ResponseTooBig(f"{self._where}: header section of more than {bytes_max} bytes ({name})")
        if len(fields) > limits.header_count_max:
            raise ResponseTooBig(f"{self._where}: more than {limits.header_count_max} fields (header_count_max)")
        return size

    def _count_wire(self) -> None:
        limits = self._limits
        wire_max = limits.header_bytes_max + limits.trailer_bytes_max + 2 * limits.body_bytes_max + _FRAMING_SLACK
        if self._received > wire_max:
            raise ResponseTooBig(f"{self._where}: response of more than {wire_max} bytes, framing included")

    def _fail(self, error: FetchFailed) -> None:
        if not self.break_off():
            raise error


def _wire_headers(request: Request, url: Url, user_agent: str) -> list[tuple[bytes, bytes]]:
    """Complete the fields for the wire: `Host` first, then the request's fields, then missing ones.

    Signatures cover the request's fields, so they are sent unchanged or not at all.
    """
    headers = request.headers
    if request.method == "CONNECT":
        raise ValueError("method CONNECT opens a tunnel, which this transport does not support")
    names = {name for name, _ in headers.pairs}
    if transport_fields := _OURS & names:
        raise ValueError(f"header {min(transport_fields)!r} belongs to the transport and cannot be set on a request")
    length = str(len(request.body))
    if headers.get("content-length") not in {None, length}:
        raise ValueError(f"header 'content-length' is {headers.get('content-length')!r} for a body of {length} bytes")
    host = headers.get("host")
    # Some servers sign the bare host on a non-default port.
    if host not in {None, url.origin.authority, url.origin.host}:
        raise ValueError(f"header 'host' is {host!r} in a request to {url.origin.authority!r}")
    pairs = [("host", host or url.origin.authority), *(pair for pair in headers.pairs if pair[0] != "host")]
    if "user-agent" not in names:
        pairs.append(("user-agent", user_agent))
    if "accept-encoding" not in names:
        pairs.append(("accept-encoding", ACCEPTED))
    if "content-length" not in names and (request.body or request.method in _HAVE_CONTENT):
        pairs.append(("content-length", length))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in pairs]
