"""Build the `Request` that a peer sent from the parts that a web server has parsed.

A peer signs the address that it uses, so the scheme and the authority must be those that the peer saw. Behind a proxy
they are in header fields that any client can write. So these fields count only if you say that your proxy writes them
(``trust_proxy``). The same holds for the client's address, which identifies the budget of an unauthenticated client.
A request to an origin that is not the node's is not handled by the node.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

from apcore.errors import ConfigurationError, RequestError
from apcore.http import Request, Response
from apcore.node import AsyncNode, Node

__all__ = ["GRACE_S", "build_request", "check_bound", "check_grace", "has_length"]

GRACE_S: Final = 8.0
"""How long a worker may finish its running messages. Service managers kill a process after 10 s, so it is less."""

# RFC 9110 §7.2: a host and a port. These characters could hide more, such as a path that no proxy has checked.
_NOT_IN_HOST: Final = re.compile(rb"[^!-~]|[/?#@\\]")


def build_request(
    *,
    method: str,
    scheme: str,
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    client: str | None = None,
    trust_proxy: bool = False,
) -> Request:
    """Build the request that a peer sent. ``target`` is the path and query as on the wire, still encoded.

    ``client`` is the address that the connection comes from. Behind a trusted proxy, the client's address is the last
    entry of `X-Forwarded-For`; without that field it is unknown.

    Raises:
        RequestError: There is not exactly one valid `Host`, or another part is no valid request.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    hosts = [value for name, value in pairs if name == b"host"]
    if trust_proxy:
        forwarded = [value for name, value in pairs if name == b"x-forwarded-host"]
        proto = [value for name, value in pairs if name == b"x-forwarded-proto"]
        # A proxy appends to such a list, so the last entry is the one that your proxy wrote.
        hosts = [forwarded[-1].rpartition(b",")[2].strip()] if forwarded else hosts
        scheme = proto[-1].rpartition(b",")[2].strip().decode("latin-1") if proto else scheme
        client = _forwarded_for([value for name, value in pairs if name == b"x-forwarded-for"])
    if len(hosts) != 1:
        raise RequestError(f"a request has one Host, not {len(hosts)}")
    if not hosts[0] or _NOT_IN_HOST.search(hosts[0]) is not None:
        raise RequestError(f"Host {hosts[0][:60]!r} is not a host and a port")
    if not target.startswith("/") or "#" in target:
        raise RequestError(f"a request is for a path, not {target[:60]!r}")
    authority = hosts[0].decode("latin-1")
    return Request.received(method, f"{scheme}://{authority}{target}", pairs, body, client=client)


def has_length(method: str, response: Response) -> bool:
    """Check whether to send a Content-Length.

    Responses to HEAD and 304 responses have no body. Their length would be that of the response to a GET (RFC 9110
    §8.6), and caches would take a 0 for that.
    """
    return method != "HEAD" and response.status != 304


def _forwarded_for(values: list[bytes]) -> str | None:
    """Return the last entry, without the port that some proxies add."""
    if not values:
        return None
    entry = values[-1].rpartition(b",")[2].strip().decode("latin-1")
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def check_bound(node: Node[Any] | AsyncNode[Any], maker: str) -> None:
    """Check that a node has an origin. ``maker`` is the function that needs it.

    Raises:
        ConfigurationError: The node has no origin.
    """
    if not node.origins.serves:
        raise ConfigurationError(
            f"{maker} needs the origin that it serves, for example: "
            f'{maker}(federation, "https://social.example", "sqlite:///social.db")'
        )


def check_grace(grace_s: float) -> None:
    """Check the grace period of a worker.

    Raises:
        ConfigurationError: ``grace_s`` is negative or not finite.
    """
    if not 0 <= grace_s < math.inf:
        raise ConfigurationError(f"grace_s is a finite number of seconds, 0 or more, not {grace_s!r:.40}")
