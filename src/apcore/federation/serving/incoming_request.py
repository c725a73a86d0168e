"""Decide about a request before its body is read: whether it is for this node, and how much body to read.

Every adapter of a web framework asks here, so that a peer gets the same answer behind each of them. A request for a
path of ours at another address (`Elsewhere.MISDIRECTED`) shows most often that a proxy is configured wrongly. Its page
tells the peer what is wrong. It does not name our origins: a scanner that only knows an IP address must not learn from
it which site is behind that address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

from attrs import evolve, field, frozen

from apcore.errors import LimitExceeded, RemoteError, RequestError
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.federation.origins import Origins
from apcore.federation.refusals import log_refusal
from apcore.federation.routes import RouteMatch, RouteTable
from apcore.federation.serving.misdirected import MisdirectedLog
from apcore.federation.serving.request_head import RequestHead, TrustProxy, build_request, content_length
from apcore.http import Origin, Problem, Request, Response, is_activitypub, parse_url, problem_for, wants_activitypub

__all__ = ["Elsewhere", "IncomingRequest", "RequestMatcher", "finish_response", "is_inbox", "is_served", "served_route"]

_RETRY_AFTER_S: Final = 600.0
_AT_HANDLE_HOST: Final = frozenset({"webfinger", "host-meta"})
"""The kinds of resource that are also served at the host of the handles."""
_LOG: Final = logging.getLogger("apcore.web")


class Elsewhere(Enum):
    """The reason why a request is left to the site. Without a site, answer with `response`."""

    NOT_OURS = "not-found"
    """No route of the federation matches the path, or only pages of the site accept the method."""
    NOT_ACCEPTABLE = "not-acceptable"
    """A route matches, but the client prefers another representation, such as an HTML page."""
    MISDIRECTED = "misdirected"
    """A route matches, but the host or the scheme is not that of an origin of the node (RFC 9110 §15.5.20)."""
    MISDIRECTED_DELIVERY = "misdirected-delivery"
    """The same for a delivery. Most senders give up after any 4xx, and try again after a 503."""

    def response(self, method: str) -> Response:
        """Return the page for a client that no site serves. ``method`` is that of the request."""
        return finish_response(_PAGES[self].response(), method)


_MISDIRECTED: Final = Problem(
    status=421,
    detail="Nothing is served under the host and scheme of this request. "
    "The log of this server says which ones it expects.",
    extensions={"reason": "misdirected"},
)
_PAGES: Final = {
    Elsewhere.NOT_OURS: Problem(status=404, extensions={"reason": "not-found"}),
    Elsewhere.NOT_ACCEPTABLE: Problem(status=406, extensions={"reason": "not-acceptable"}),
    Elsewhere.MISDIRECTED: _MISDIRECTED,
    Elsewhere.MISDIRECTED_DELIVERY: evolve(_MISDIRECTED, status=503, retry_after_s=_RETRY_AFTER_S),
}


@frozen(kw_only=True)
class IncomingRequest:
    """A request that a node answers, before its body is read. Made by `Node.match`, and passed to `Node.respond`."""

    head: RequestHead
    has_pages: bool
    body_length: int | None
    """How many bytes of the body to read; 0 to leave it unread.

    None if the client did not announce a length. Then read the body to its end, but at most one byte more than
    `body_bytes_max`. A server that cannot tell where such a body ends reads nothing.
    """
    body_bytes_max: int = BODY_BYTES_MAX
    """The longest body that is accepted. `Node.respond` refuses a longer one."""
    request: Request | RemoteError = field(repr=False)
    """The request without its body, or the error that refuses it."""

    def complete(self, body: bytes | None) -> Request | Response:
        """Return the request with its body, or the response that refuses it. None is a body that broke off."""
        try:
            return self._complete(body)
        except RemoteError as error:
            log_refusal(_LOG, self.head.path, error)
            return problem_for(error).response()

    def _complete(self, body: bytes | None) -> Request:
        if isinstance(self.request, RemoteError):
            raise self.request
        if body is None:
            raise RequestError("the body cannot be read to its end")
        if len(body) > self.body_bytes_max:
            raise LimitExceeded(f"the body has more than {self.body_bytes_max} bytes")
        if self.body_length is not None and len(body) < self.body_length:
            raise RequestError(f"the body ends after {len(body)} of {self.body_length} bytes")
        return evolve(self.request, body=body)


class RequestMatcher:
    """Match the requests that one node gets against its routes and its origins."""

    def __init__(self, places: RouteTable, origins: Origins) -> None:
        self._places = places
        self._origins = origins
        self._misdirected = MisdirectedLog(origins)

    def find_discovered(self, url: str) -> Origin | None:
        """Return the origin with handles at the host of ``url``, if that is the address of a discovery document."""
        origin = self._origins.find_by_handle_host(url)
        if origin is None:
            return None
        route = self._places.at(parse_url(url).path)
        return origin if route is not None and route.target.kind in _AT_HANDLE_HOST else None

    def match(
        self,
        head: RequestHead,
        *,
        has_pages: bool,
        trust_proxy: TrustProxy,
        log_misdirected: bool,
        monotonic_s: Callable[[], float],
    ) -> IncomingRequest | Elsewhere:
        """Return the request if the node answers it, else the reason to leave it to the site; see `Node.match`."""
        route = served_route(self._places, head.path)
        if route is None or not is_served(self._places, route, head.method, has_pages=has_pages):
            return Elsewhere.NOT_OURS
        try:
            request = build_request(head, trust_proxy=trust_proxy)
        except RequestError as error:
            return IncomingRequest(head=head, has_pages=has_pages, body_length=0, request=error)
        if self._origins.find(request.url) is None and self.find_discovered(request.url) is None:
            # Decided before the body is read, since a body of any length may belong to the site.
            if log_misdirected and (not has_pages or _is_from_peer(request, route)):
                self._misdirected.log(request, trust_proxy=trust_proxy, now_s=monotonic_s())
            is_delivery = request.method == "POST" and is_inbox(route)
            return Elsewhere.MISDIRECTED_DELIVERY if is_delivery else Elsewhere.MISDIRECTED
        if request.method in {"GET", "HEAD"}:
            # Its body stays unread, so that the site can read it.
            return IncomingRequest(head=head, has_pages=has_pages, body_length=0, request=request)
        try:
            length = content_length(head)
            if length is not None and length > BODY_BYTES_MAX:
                raise LimitExceeded(f"the body has {length} bytes; the limit is {BODY_BYTES_MAX}")
        except RemoteError as error:
            return IncomingRequest(head=head, has_pages=has_pages, body_length=0, request=error)
        return IncomingRequest(head=head, has_pages=has_pages, body_length=length, request=request)


def served_route(places: RouteTable, path: str) -> RouteMatch | None:
    """Return the match of a requested path: by an option also with, or without, a slash at its end."""
    route = places.at(path)
    if route is not None or not places.ignores_trailing_slash or path == "/":
        return route
    return places.at(path[:-1] if path.endswith("/") else f"{path}/")


def is_served(places: RouteTable, route: RouteMatch, method: str, *, has_pages: bool) -> bool:
    """Return whether a request to a route may be answered here.

    If the application serves HTML pages at the same paths (``has_pages``), their forms may be posted there too. Then
    only inboxes, and outboxes to which clients post, accept methods other than GET and HEAD.
    """
    return not has_pages or method in {"GET", "HEAD"} or places.takes_posts(route)


def is_inbox(route: RouteMatch) -> bool:
    """Return whether a route is that of an inbox, of an actor's or the shared one."""
    return route.target.kind in {"inbox", "shared-inbox"}


def _is_from_peer(request: Request, route: RouteMatch) -> bool:
    """Return whether a request speaks ActivityPub. A browser's request is normal if the site has other addresses."""
    if request.method == "POST":
        return is_inbox(route) and is_activitypub(request.headers.get("content-type"))
    return wants_activitypub(request.headers.get("accept"))


def finish_response(response: Response, method: str) -> Response:
    """Return the response as a server sends it, with its `Content-Length`. ``method`` is that of the request.

    Responses to HEAD and 304 responses have no body. Their length would be that of the response to a GET (RFC 9110
    §8.6), and caches would take a 0 for that, so they have no length either.
    """
    headers = response.headers.without("content-length")
    if method != "HEAD" and response.status != 304:
        headers = headers.with_added("content-length", str(len(response.body)))
    return evolve(response, headers=headers, body=b"" if method == "HEAD" else response.body)
