"""From what a server has parsed to the `Request` that was meant, and which origin that is.

What a peer signed is the address it asked for, so scheme and authority have to be those that the peer saw. Behind a proxy they stand in fields that
anybody can write; they count only where the operator says that a proxy of theirs writes them (`trust_proxy`). An origin that is not one of the
node's is nobody's. The same goes for the address of the client, by which what strangers may cost is counted.
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
"""How long a worker may finish what it has begun: less than the 10 s after which those who stop servers kill them."""

# RFC 9110 §7.2: a host and a port. With any of these it would be more: a path that the front of the server has not seen, say.
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
    """Make the request that a peer meant; ``target`` is path and query as on the wire, still encoded.

    ``client`` is the address that the connection comes from. Behind a proxy that is the proxy's; the client's is the last entry of
    `X-Forwarded-For`, and without one it is not known.

    Raises:
        RequestError: No single `Host` that is one, or something that is no request.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    named = [value for name, value in pairs if name == b"host"]
    if trust_proxy:
        forwarded = [value for name, value in pairs if name == b"x-forwarded-host"]
        proto = [value for name, value in pairs if name == b"x-forwarded-proto"]
        # A proxy that adds to a list adds at the end; the last entry is the one it wrote.
        named = [forwarded[-1].rpartition(b",")[2].strip()] if forwarded else named
        scheme = proto[-1].rpartition(b",")[2].strip().decode("latin-1") if proto else scheme
        client = _forwarded_for([value for name, value in pairs if name == b"x-forwarded-for"])
    if len(named) != 1:
        raise RequestError(f"a request has one Host, not {len(named)}")
    if not named[0] or _NOT_IN_HOST.search(named[0]) is not None:
        raise RequestError(f"Host {named[0][:60]!r} is not a host and a port")
    if not target.startswith("/") or "#" in target:
        raise RequestError(f"a request is for a path, not {target[:60]!r}")
    authority = named[0].decode("latin-1")
    return Request.received(method, f"{scheme}://{authority}{target}", pairs, body, client=client)


def has_length(method: str, response: Response) -> bool:
    """Whether the length of the body is one to be told.

    An answer to HEAD and a 304 have no body, and the length that they tell is that of the answer to a GET (RFC 9110 §8.6): caches take 0 for that.
    """
    return method != "HEAD" and response.status != 304


def _forwarded_for(values: list[bytes]) -> str | None:
    """Give the last entry, without the port that some proxies add."""
    if not values:
        return None
    entry = values[-1].rpartition(b",")[2].strip().decode("latin-1")
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def check_bound(node: Node[Any] | AsyncNode[Any], maker: str) -> None:
    """Check that a node has an origin to serve; ``maker`` is the function that needs it.

    Raises:
        ConfigurationError: It has none.
    """
    if not node.origins.serves:
        raise ConfigurationError(
            f"{maker} needs the origin that it serves: "
            f'{maker}(federation, "https://social.example", "sqlite:///social.db")'
        )


def check_grace(grace_s: float) -> None:
    """Check how long a worker may take to finish.

    Raises:
        ConfigurationError: It is negative or not finite.
    """
    if not 0 <= grace_s < math.inf:
        raise ConfigurationError(f"grace_s is a number of seconds, 0 or more, not {grace_s!r:.40}")
