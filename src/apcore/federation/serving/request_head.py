"""Build the `Request` that a peer sent from the head that a web server has parsed.

A peer signs the address that it uses, so the scheme and the authority must be those that the peer saw. Behind a proxy
they are in header fields that any client can write. So these fields count only if you say that your proxy writes them
(``trust_proxy``). The same holds for the client's address, which identifies the budget of an unauthenticated client.

There are two families of such fields: `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Forwarded-For`, and `Forwarded`
(RFC 7239). Only one of them counts, since a proxy that writes one passes the other on as the client wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from apcore.errors import ConfigurationError, RequestError
from apcore.http import Request

__all__ = ["ProxyFields", "RequestHead", "TrustProxy", "build_request", "check_trust_proxy", "content_length"]

ProxyFields: TypeAlias = Literal["x-forwarded", "forwarded"]
TrustProxy: TypeAlias = bool | ProxyFields
"""The fields that your proxy writes. True is for ``"x-forwarded"``, and False for none."""

# RFC 9110 §7.2: a host and a port. These characters could hide more, such as a path that no proxy has checked.
_NOT_IN_HOST: Final = re.compile(rb"[^!-~]|[/?#@\\]")
_DIGITS_MAX: Final = 20
# RFC 7239 §4: one pair of a name and a value, and the separator after it. Ports are often written without quotes.
_FORWARDED_PAIR: Final = re.compile(
    rb"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z:[\]-]+))[ \t]*([;,]|$)"""
)


def _with_lower_names(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower(), value) for name, value in fields)


@frozen(kw_only=True)
class RequestHead:
    """A request without its body, as a web server has parsed it. The parts may be invalid: a peer has chosen them."""

    method: str
    """As on the wire; case matters."""
    scheme: str
    """``http`` or ``https``: the scheme of the connection to this server."""
    target: str
    """The path and the query as on the wire, still encoded."""
    headers: tuple[tuple[bytes, bytes], ...] = field(converter=_with_lower_names, repr=False)
    """Names and values, in wire order. Names become lower case."""
    client: str | None = None
    """The IP address that the connection comes from, if the server knows it."""

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: bytes, /) -> list[bytes]:
        """Return the values of every field with this name, which is in lower case."""
        return [value for field_name, value in self.headers if field_name == name]


def check_trust_proxy(trust_proxy: object) -> None:
    """Check which fields of a proxy are trusted.

    Raises:
        ConfigurationError: ``trust_proxy`` is no value of `TrustProxy`.
    """
    if not isinstance(trust_proxy, bool) and trust_proxy not in get_args(ProxyFields):
        words = " or ".join(map(repr, get_args(ProxyFields)))
        raise ConfigurationError(f"trust_proxy is True, False, {words}, not {trust_proxy!r:.60}")


def build_request(head: RequestHead, *, trust_proxy: TrustProxy = False) -> Request:
    """Build the request that a peer sent, without its body.

    Behind a trusted proxy, the client's address is the last entry that the proxy wrote; without one it is unknown.

    Raises:
        RequestError: There is not exactly one valid `Host`, or another part is no valid request.
    """
    hosts, scheme, client = head.values(b"host"), head.scheme, head.client
    if trust_proxy:
        host, proto, node = _forwarded(head) if trust_proxy == "forwarded" else _x_forwarded(head)
        hosts = hosts if host is None else [host]
        scheme = scheme if proto is None else proto.decode("latin-1")
        client = None if node is None else _address(node.decode("latin-1"))
    if len(hosts) != 1:
        raise RequestError(f"a request has one Host, not {len(hosts)}")
    if not hosts[0] or _NOT_IN_HOST.search(hosts[0]) is not None:
        raise RequestError(f"Host {hosts[0][:60]!r} is not a host and a port")
    if not head.target.startswith("/") or "#" in head.target:
        raise RequestError(f"a request is for a path, not {head.target[:60]!r}")
    url = f"{scheme}://{hosts[0].decode('latin-1')}{head.target}"
    return Request.received(head.method, url, head.headers, b"", client=client)


def _x_forwarded(head: RequestHead) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the host, the scheme and the client that the nearest proxy wrote, each None if it wrote none."""
    host, proto, node = (
        # A proxy appends to such a list, so the last entry is the one that your proxy wrote.
        values[-1].rpartition(b",")[2].strip() if values else None
        for values in map(head.values, (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for"))
    )
    return host, proto, node


def _forwarded(head: RequestHead) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the same from the last element of `Forwarded`.

    Raises:
        RequestError: The field is malformed. It may end in an element of the client's then, so no part of it counts.
    """
    text = b",".join(head.values(b"forwarded"))
    pairs: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        pair = _FORWARDED_PAIR.match(text, position)
        if pair is None:
            raise RequestError(f"Forwarded is malformed at {text[position : position + 40]!r}")
        name, quoted, token, separator = pair.groups()
        pairs[name.lower()] = token or re.sub(rb"\\(.)", rb"\1", quoted or b"")
        position = pair.end()
        if separator == b"," and position < len(text):
            pairs = {}
    return pairs.get(b"host"), pairs.get(b"proto"), pairs.get(b"for")


def content_length(head: RequestHead) -> int | None:
    """Return the `Content-Length`, or None without one.

    Raises:
        RequestError: It is not a number, or there are several that differ.
    """
    lengths = set(head.values(b"content-length"))
    if not lengths:
        return None
    text = b", ".join(sorted(lengths)).strip()
    if not text.isdigit() or len(text) > _DIGITS_MAX:
        raise RequestError(f"Content-Length {text[:_DIGITS_MAX].decode('latin-1')!r} is not a number of bytes")
    return int(text)


def _address(entry: str) -> str:
    """Return the address of a client without the port that some proxies add."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
