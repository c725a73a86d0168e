"""Build the `Request` that a peer sent from the head that a web server has parsed.

A peer signs the address that it uses, so the scheme and the authority must be those that the peer saw. Behind a proxy
they are in header fields that any client can write. So these fields count only if you say that your proxy writes them
(``trust_proxy``). The same holds for the client's address, which identifies the budget of an unauthenticated client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from apcore.errors import RequestError
from apcore.http import Request

__all__ = ["RequestHead", "build_request", "content_length"]

# RFC 9110 §7.2: a host and a port. These characters could hide more, such as a path that no proxy has checked.
_NOT_IN_HOST: Final = re.compile(rb"[^!-~]|[/?#@\\]")
_DIGITS_MAX: Final = 20


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


def build_request(head: RequestHead, *, trust_proxy: bool = False) -> Request:
    """Build the request that a peer sent, without its body.

    Behind a trusted proxy, the client's address is the last entry of `X-Forwarded-For`; without that field it is
    unknown.

    Raises:
        RequestError: There is not exactly one valid `Host`, or another part is no valid request.
    """
    hosts, scheme, client = head.values(b"host"), head.scheme, head.client
    if trust_proxy:
        forwarded, proto = head.values(b"x-forwarded-host"), head.values(b"x-forwarded-proto")
        # A proxy appends to such a list, so the last entry is the one that your proxy wrote.
        hosts = [forwarded[-1].rpartition(b",")[2].strip()] if forwarded else hosts
        scheme = proto[-1].rpartition(b",")[2].strip().decode("latin-1") if proto else scheme
        client = _forwarded_for(head.values(b"x-forwarded-for"))
    if len(hosts) != 1:
        raise RequestError(f"a request has one Host, not {len(hosts)}")
    if not hosts[0] or _NOT_IN_HOST.search(hosts[0]) is not None:
        raise RequestError(f"Host {hosts[0][:60]!r} is not a host and a port")
    if not head.target.startswith("/") or "#" in head.target:
        raise RequestError(f"a request is for a path, not {head.target[:60]!r}")
    url = f"{scheme}://{hosts[0].decode('latin-1')}{head.target}"
    return Request.received(head.method, url, head.headers, b"", client=client)


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


def _forwarded_for(values: list[bytes]) -> str | None:
    """Return the last entry, without the port that some proxies add."""
    if not values:
        return None
    entry = values[-1].rpartition(b",")[2].strip().decode("latin-1")
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
