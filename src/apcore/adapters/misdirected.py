"""Answer and log requests for one of our paths at another address: most often, the proxy is configured wrongly.

The response tells the peer what is wrong, and the log tells the operator both addresses. The response does not name our
origins: a scanner that only knows an IP address must not learn from it which site is behind that address.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from apcore.federation.refusals import one_line
from apcore.http import Problem, Request, Response, is_activitypub, wants_activitypub
from apcore.node import AsyncNode, Node

__all__ = ["ADDRESSES_MAX", "REPEAT_S", "MisdirectedRequests"]

REPEAT_S: Final = 60.0
"""How long an address is not logged again."""
ADDRESSES_MAX: Final = 20
"""The number of addresses logged in that time. It is bounded, since clients can invent any number of them."""
_RETRY_AFTER_S: Final = 600.0
_CHARS_MAX: Final = 200
_ORIGINS_SHOWN: Final = 3
_INBOXES: Final = frozenset({"inbox", "shared-inbox"})
_LOOPBACK: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_LOG: Final = logging.getLogger("apcore.web")


class MisdirectedRequests:
    """Answer and log requests to an address that is none of a node's origins."""

    def __init__(
        self,
        node: Node[Any] | AsyncNode[Any],
        *,
        trust_proxy: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with an empty log history. ``clock`` returns seconds."""
        self._node = node
        self._trust_proxy = trust_proxy
        self._clock = clock
        self._logged: dict[str, float] = {}
        self._lock = Lock()

    def is_from_peer(self, request: Request) -> bool:
        """Check whether a request speaks ActivityPub. A browser's request is normal if the site has other addresses."""
        if request.method == "POST":
            return self._is_for_inbox(request) and is_activitypub(request.headers.get("content-type"))
        return wants_activitypub(request.headers.get("accept"))

    def answer(self, request: Request) -> Response:
        """Return the response: 421 (RFC 9110 §15.5.20), or 503 for a delivery.

        Most senders give up a delivery after any 4xx, and try again after a 503.
        """
        problem = Problem(
            status=421,
            detail="Nothing is served under the host and scheme of this request. "
            "The log of this server says which ones it expects.",
            extensions={"reason": "misdirected"},
        )
        if request.method == "POST" and self._is_for_inbox(request):
            problem = Problem(
                status=503, detail=problem.detail, extensions=problem.extensions, retry_after_s=_RETRY_AFTER_S
            )
        return problem.response()

    def log(self, request: Request) -> None:
        """Log both addresses and the remedy, at most once a minute for each address."""
        address = _address(request.url)
        if self._is_due(address):
            _LOG.warning(
                "%s %s was requested at %s, but this application serves %s. %s",
                request.method,
                one_line(_path(request.url), chars_max=_CHARS_MAX),
                address,
                self._expected(),
                self._hint(request, address),
            )

    def _is_for_inbox(self, request: Request) -> bool:
        place = self._node.federation.places.at(_path(request.url))
        return place is not None and place.target.kind in _INBOXES

    def _is_due(self, address: str) -> bool:
        now = self._clock()
        with self._lock:
            self._logged = {name: at for name, at in self._logged.items() if now - at < REPEAT_S}
            if address in self._logged or len(self._logged) >= ADDRESSES_MAX:
                return False
            self._logged[address] = now
            return True

    def _expected(self) -> str:
        origins = self._node.origins
        if origins.allows is not None:
            return "the origins that your function allows"
        names = ", ".join(map(str, origins.listed[:_ORIGINS_SHOWN]))
        further = len(origins.listed) - _ORIGINS_SHOWN
        return f"{names} and {further} more" if further > 0 else names

    def _hint(self, request: Request, address: str) -> str:
        if self._trust_proxy:
            return "trust_proxy is set: let your proxy send X-Forwarded-Host and X-Forwarded-Proto as the client asked."
        forwarded = [
            f"{name} {one_line(value, chars_max=_CHARS_MAX)!r}"
            for name in ("X-Forwarded-Host", "X-Forwarded-Proto")
            if (value := request.headers.get(name.lower())) is not None
        ]
        if forwarded:
            return f"It came with {' and '.join(forwarded)}: if a proxy of yours sets them, pass trust_proxy=True."
        hint = "Behind a proxy, let it send X-Forwarded-Host and X-Forwarded-Proto, and pass trust_proxy=True."
        if _LOOPBACK.fullmatch(address):
            # Only for loopback: a client must not be able to place its own host in this advice.
            return f'{hint} To try it on this machine, give the origin "{address}" and addresses=LOOPBACK_OPEN.'
        return hint


def _address(url: str) -> str:
    """Return the scheme, host and port of a URL as one bounded line."""
    return one_line("/".join(url.split("/", 3)[:3]), chars_max=_CHARS_MAX)


def _path(url: str) -> str:
    """Return the path of a URL that has an authority."""
    return "/" + url.split("/", 3)[3].partition("?")[0]
