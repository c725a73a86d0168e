"""Answer WebFinger, host-meta and NodeInfo requests from the registrations.

The account of an actor is its identifier at the origin's authority (``alice@example.com``). The instance actor has the
host name instead of an identifier (``example.com@example.com``). Only accounts and addresses of this origin are
answered. Web pages of any origin may read the answers, as RFC 7033 §5 recommends.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qs

from apcore.discovery import (
    JRD_JSON,
    NODEINFO_LINKS_JSON,
    XRD_XML,
    Acct,
    DescriptorLink,
    host_meta_json,
    host_meta_xml,
    jrd,
    nodeinfo_document,
    nodeinfo_links,
    nodeinfo_media_type,
    parse_resource,
)
from apcore.effects import Op
from apcore.errors import RemoteError, RequestError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, actor_view
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site
from apcore.http import ACTIVITY_JSON, Headers, Response, Url, problem_for
from apcore.vocab import Tombstone

__all__ = ["answer_discovery"]

_AGE_S: Final = 3600
_QUERY_FIELDS_MAX: Final = 10


def answer_discovery(site: Site, route: RouteMatch, url: Url) -> Op[Response]:
    """Answer a request to one of the well-known addresses.

    Effects: those of the actor's handler, for WebFinger.
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
                return _nodeinfo(site, "2.0" if name == "2.0" else "2.1")
    except (RemoteError, Unavailable) as error:
        answer = problem_for(error).response()
        return Response(answer.status, answer.headers.with_set("Access-Control-Allow-Origin", "*"), answer.body)


def _nodeinfo(site: Site, version: Literal["2.0", "2.1"]) -> Response:
    federation = site.federation
    body = nodeinfo_document(version, federation.software_name, federation.software_version)
    return _answer(body, nodeinfo_media_type(version))


def _webfinger(site: Site, url: Url) -> Op[Response]:
    try:
        names = parse_qs(url.query or "", max_num_fields=_QUERY_FIELDS_MAX).get("resource", [])
    except ValueError as error:
        raise RequestError(f"a WebFinger request has at most {_QUERY_FIELDS_MAX} fields in its query") from error
    if len(names) != 1:
        raise RequestError(f"a WebFinger request names one resource, not {len(names)}")
    resource = parse_resource(names[0])
    identifier = _identifier(site, resource)
    if identifier is None:
        raise ActorUnknown(f"there is no account or actor {names[0]!r:.100} here")
    if not identifier:
        return _answer(_descriptor(site, site.origin.host, site.instance_uri), JRD_JSON)
    uri = site.actor_uri(identifier)
    route = site.federation.places.read(site.origin, uri)
    view = None if route is None else (yield from actor_view(site, route))
    if view is None:
        raise ActorUnknown(f"there is no account or actor {names[0]!r:.100} here")
    if isinstance(view, Tombstone):
        return Response(410, Headers({"Access-Control-Allow-Origin": "*"}))
    return _answer(_descriptor(site, identifier, uri), JRD_JSON)


def _identifier(site: Site, resource: Acct | str) -> str | None:
    """Return the identifier of the actor that a resource names.

    "" stands for the instance actor. None means that the resource is not of this origin.
    """
    if isinstance(resource, Acct):
        if resource.host != site.origin.authority or not site.federation.places.has("actor"):
            return "" if resource.host == site.origin.authority and resource.user == site.origin.host else None
        return "" if resource.user == site.origin.host else resource.user
    if resource in {site.instance_uri, f"{site.origin}/"}:
        return ""
    return site.identifier_of(resource)


def _descriptor(site: Site, user: str, uri: str) -> bytes:
    return jrd(f"acct:{user}@{site.origin.authority}", (uri,), (DescriptorLink("self", type=ACTIVITY_JSON, href=uri),))


def _answer(body: bytes, media_type: str) -> Response:
    headers = Headers(
        {
            "Content-Type": media_type,
            "Access-Control-Allow-Origin": "*",
            "Cache-Control": f"public, max-age={_AGE_S}",
        }
    )
    return Response(200, headers, body)
