"""Answer WebFinger, host-meta and NodeInfo requests, and those for profile pages, from the registrations.

The names of actors are those of `apcore.federation.actors.names`. The instance actor has the host name instead of a
username (``example.com@example.com``). ``rel`` in a WebFinger request selects links (RFC 7033 §4.3). Web pages of any
origin may read the answers, as §5 recommends.
"""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import parse_qs

from apcore.discovery import (
    JRD_JSON,
    NODEINFO_LINKS_JSON,
    XRD_XML,
    host_meta_json,
    host_meta_xml,
    jrd,
    nodeinfo_document,
    nodeinfo_links,
    nodeinfo_media_type,
    parse_resource,
)
from apcore.effects import Op
from apcore.errors import ContractError, RemoteError, RequestError, Unavailable
from apcore.federation.actors.handles import describe_actor
from apcore.federation.actors.names import find_actor
from apcore.federation.actors.profiles import ActorGone, ActorUnknown, dispatch_actor
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site
from apcore.http import Headers, Response, Url, problem_for

__all__ = ["answer_discovery", "redirect_to_actor"]

_AGE_S: Final = 3600
_QUERY_FIELDS_MAX: Final = 20


def answer_discovery(site: Site, route: RouteMatch, url: Url) -> Op[Response]:
    """Answer a request to one of the well-known addresses.

    Effects: those of `describe_actor`, for WebFinger.
    """
    try:
        match route.target.kind, route.target.name:
            case "webfinger", _:
                return (yield from _webfinger(site, url))
            case "host-meta", "xml":
                return _answer(host_meta_xml(site.origin), XRD_XML)
            case "host-meta", _:
                return _answer(host_meta_json(site.origin), JRD_JSON)
            case _, "links":
                return _answer(nodeinfo_links(site.origin), NODEINFO_LINKS_JSON)
            case _, name:
                return (yield from _nodeinfo(site, "2.0" if name == "2.0" else "2.1"))
    except (RemoteError, Unavailable) as error:
        answer = problem_for(error).response()
        return Response(answer.status, answer.headers.with_set("Access-Control-Allow-Origin", "*"), answer.body)


def redirect_to_actor(site: Site, url: Url, *, age_s: int) -> Op[Response | None]:
    """Redirect from a profile page to the id of its actor, so that a document is only served at its id.

    Return None if the page belongs to no actor. Effects: those of `find_actor`.
    """
    try:
        named = yield from find_actor(site, f"{site.origin}{url.path}")
    except ActorUnknown:
        return None
    caching = {"Vary": "Accept", "Cache-Control": f"public, max-age={age_s}"}
    return Response(302, Headers({"Location": site.actor_uri(named.identifier), **caching}))


_NODEINFO_FACTS: Final = frozenset(
    {
        *("users", "users_active_month", "users_active_halfyear", "posts", "comments"),
        *("open_registrations", "repository", "homepage", "metadata"),
    }
)


def _nodeinfo(site: Site, version: Literal["2.0", "2.1"]) -> Op[Response]:
    federation = site.federation
    handler = federation.nodeinfo_handler
    facts: dict[str, Any] = {} if handler is None else dict((yield from dispatch_actor(site, handler)) or {})
    unknown = sorted(facts.keys() - _NODEINFO_FACTS)
    if unknown:
        raise ContractError(f"the handler of NodeInfo returns {', '.join(unknown)}; see Federation.nodeinfo")
    body = nodeinfo_document(version, federation.software_name, federation.software_version, **facts)
    return _answer(body, nodeinfo_media_type(version))


def _webfinger(site: Site, url: Url) -> Op[Response]:
    try:
        query = parse_qs(url.query or "", max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError as error:
        raise RequestError(f"a WebFinger request has at most {_QUERY_FIELDS_MAX} fields in its query") from error
    names = query.get("resource", [])
    if len(names) != 1:
        raise RequestError(f"a WebFinger request names one resource, not {len(names)}")
    try:
        descriptor = yield from describe_actor(site, parse_resource(names[0]))
    except ActorGone:
        return Response(410, Headers({"Access-Control-Allow-Origin": "*"}))
    rels = {rel.lower() for rel in query.get("rel", [])}
    links = [link for link in descriptor.links if not rels or link.rel.lower() in rels]
    return _answer(jrd(descriptor.subject, descriptor.aliases, links), JRD_JSON)


def _answer(body: bytes, media_type: str) -> Response:
    headers = Headers(
        {
            "Content-Type": media_type,
            "Access-Control-Allow-Origin": "*",
            "Cache-Control": f"public, max-age={_AGE_S}",
        }
    )
    return Response(200, headers, body)
