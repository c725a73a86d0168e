"""Answer requests for local actors, collections and objects, and pass POSTs to the inboxes.

If no route matches the path, or the client prefers an HTML page, the result is `Elsewhere`. The adapter then passes the
request on to the application. A resource that the client may not see is answered as if it did not exist.

Each answer has a strong ETag of its bytes, and varies by `Accept`. Where it depends on the client
(`apcore.federation.serving.access`), it also varies by the signature, and shared caches may not store it.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final, TypeAlias

from attrs import evolve

from apcore.effects import Get, Op
from apcore.errors import ContractError, RemoteError, Unavailable
from apcore.federation.actors.documents import actor_document, add_id, instance_document
from apcore.federation.actors.keys import own_keys
from apcore.federation.actors.profiles import ActorGone, ActorUnknown, ResourceUnknown, actor_view, dispatch_actor
from apcore.federation.actors.records import OWN_ACTORS, OwnActorKey
from apcore.federation.clients.outbox_posts import receive_from_client
from apcore.federation.inbox.receive import receive
from apcore.federation.interactions.polls import with_poll_counts
from apcore.federation.outbox.readers import is_among, is_reader
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.refusals import log_refusal, refusal
from apcore.federation.routes import RouteMatch
from apcore.federation.serving.access import (
    CollectionUnknown,
    Visitor,
    check_access,
    depends_on_viewer,
    identify_visitor,
    is_guarded,
    refuse_suspended,
    resource_unknown,
    signer_of_request,
)
from apcore.federation.serving.collection_pages import collection_document, partial_followers
from apcore.federation.serving.incoming_request import Elsewhere, is_inbox, is_served, served_route
from apcore.federation.serving.object_collections import object_collection_document, object_route
from apcore.federation.serving.responses import AGE_S, VARY_BY_VIEWER, Resource, answer_with, not_allowed
from apcore.federation.serving.well_known import answer_discovery, redirect_to_actor
from apcore.federation.site import Site
from apcore.http import (
    ACTIVITY_JSON,
    LD_JSON,
    Request,
    Response,
    Url,
    negotiate,
    parse_url,
    wants_activitypub,
)
from apcore.remote import UnauthenticatedClient
from apcore.vocab import Object, Tombstone, View, Visibility, audience_of, read_document

__all__ = ["Served", "document_at", "serve"]

_LOG: Final = logging.getLogger(__name__)
_WELL_KNOWN: Final = frozenset({"webfinger", "host-meta", "nodeinfo"})
_STORED_KINDS: Final = frozenset({"managed", "object-collection", "object-page"})
"""The kinds of resource that are as visible as a stored object."""


Served: TypeAlias = Response | Elsewhere


def serve(site: Site, request: Request, *, has_pages: bool = False) -> Op[Served]:
    """Answer a request to this origin, or return the reason to leave it to the application.

    ``request.url`` has the authority to which the client addressed the request. With ``has_pages``, a client gets
    ActivityPub only if its ``Accept`` names it. Otherwise any ``Accept`` that admits ActivityPub is enough.

    A bug raises an exception. All other failures are responses.

    Effects: those of the handlers, and at most two reads; another one for a signed request. Where the answer
    depends on the client, also those of fetching its key.
    """
    url = parse_url(request.url)
    route = served_route(site.federation.places, url.path)
    if route is None or not is_served(site.federation.places, route, request.method, has_pages=has_pages):
        return Elsewhere.NOT_OURS
    if is_inbox(route):
        if request.method != "POST":
            return not_allowed("POST")
        return (yield from receive(site, request, recipient=route.identifier))
    client = UnauthenticatedClient(request.client)
    site = evolve(site, unauthenticated_client=client, request=request, memo={}, identify=signer_of_request)
    takes_posts = site.federation.places.takes_posts(route)
    if takes_posts and request.method == "POST" and site.federation.client_authenticator is not None:
        return (yield from receive_from_client(site, request, route, site.federation.client_authenticator))
    if request.method not in {"GET", "HEAD"}:
        return not_allowed("GET, HEAD, POST" if takes_posts else "GET, HEAD")
    if route.target.kind in _WELL_KNOWN:
        response = yield from answer_discovery(site, route, url)
        return Response(response.status, response.headers) if request.method == "HEAD" else response
    accept = request.headers.get("accept")
    is_acceptable = wants_activitypub(accept) if has_pages else negotiate(accept, (ACTIVITY_JSON, LD_JSON)) is not None
    if not is_acceptable:
        return Elsewhere.NOT_ACCEPTABLE
    if route.target.kind == "profile":
        return (yield from redirect_to_actor(site, url, age_s=AGE_S)) or Elsewhere.NOT_OURS
    try:
        resource = yield from _visible_resource(site, request, route, url)
    except (RemoteError, Unavailable) as error:
        varies = _may_vary(site, route)
        if varies:
            log_refusal(_LOG, url.path, error)
        problem = refusal(site, request, error)
        headers = problem.headers.with_set("Vary", VARY_BY_VIEWER) if varies else problem.headers
        return Response(problem.status, headers, b"" if request.method == "HEAD" else problem.body)
    return answer_with(request, resource)


def _may_vary(site: Site, route: RouteMatch) -> bool:
    """Return whether the answer may depend on the client, so that caches must tell the clients apart."""
    is_limitable = route.target.kind in _STORED_KINDS or _may_be_limited(route)
    is_limited = is_limitable and site.federation.authorized_fetch != "off"
    return is_guarded(site, route) or is_limited or route.target.kind == "partial"


def _visible_resource(site: Site, request: Request, route: RouteMatch, url: Url) -> Op[Resource]:
    """Return the resource at a route, after checking that the client may see it."""
    if route.target.kind != "instance":
        yield from refuse_suspended(site, request)
    guarded = is_guarded(site, route)
    visitor = (yield from check_access(site, request, route, url)) if guarded else None
    try:
        if route.target.kind == "managed":
            record = yield from _visible_record(site, request, route, url, visitor)
            members = yield from with_poll_counts(json.loads(record.body))
            resource = Resource(members, 410 if record.is_gone else 200, private=not record.is_public)
        elif route.target.kind == "partial":
            visitor = visitor or (yield from identify_visitor(site, request, url))
            resource = Resource((yield from partial_followers(site, route, visitor)), private=True)
        elif route.target.kind in _STORED_KINDS:
            record = yield from _visible_record(site, request, object_route(route), url, visitor)
            if record.is_gone:
                raise CollectionUnknown("the object was deleted")
            document = yield from object_collection_document(site, route, record)
            resource = Resource(document, private=not record.is_public)
        elif _may_be_limited(route):
            resource = yield from _audience_resource(site, request, route, url, visitor)
        else:
            resource = yield from document_at(site, route, url)
    except ActorGone:
        raise  # served to everyone who might see the actor itself, which is a tombstone
    except ResourceUnknown as error:
        unknown = resource_unknown(route, str(error))
        raise unknown if visitor is None else visitor.unknown(unknown) from error
    return evolve(resource, private=resource.private or guarded or depends_on_viewer(site))


def document_at(site: Site, route: RouteMatch, url: Url) -> Op[Resource]:
    """Return the document at a route of any kind but ``managed``, without a check of the viewer.

    Raises:
        ResourceUnknown: There is no such document.
    """
    match route.target.kind:
        case "actor":
            return (yield from _actor(site, route))
        case "instance":
            return Resource((yield from _instance(site)))
        case "object":
            return (yield from _dispatched(site, route))
        case "collection" | "page":
            return Resource((yield from collection_document(site, route, url)))
        case other:
            raise ContractError(f"routes of the kind {other!r} have no document to serve")


def _may_be_limited(route: RouteMatch) -> bool:
    """Return whether the audience of a handler's object decides about its viewers, and no predicate does."""
    return route.target.kind == "object" and route.target.authorize is None


def _audience_resource(
    site: Site, request: Request, route: RouteMatch, url: Url, visitor: Visitor | None
) -> Op[Resource]:
    """Return a handler's object. If it names a limited audience, only its author and the audience see it.

    Raises:
        ResourceUnknown: There is no such object, or the client may not see it.
    """
    readers: list[str] = []
    resource: Resource | None = None
    try:
        resource = yield from document_at(site, route, url)
    except ResourceUnknown as error:
        unknown = error
    else:
        document = read_document(resource.members, origin=site.origin)
        audience = audience_of(document)
        if audience.visibility is not Visibility.LIMITED:
            return resource
        unknown = resource_unknown(route, "the object is for a limited audience")
        author = Object.over(document).attributed_to
        readers = [*audience.everyone, *([] if author is None or author.uri is None else [author.uri])]
    if site.federation.authorized_fetch != "off":
        # The client is identified whether or not the object exists, so that no request tells if it does.
        visitor = visitor or (yield from identify_visitor(site, request, url))
        if visitor.uri is not None and resource and (yield from is_reader(site, readers, visitor.uri)):
            return evolve(resource, private=True)
    raise unknown


def _canonical(site: Site, route: RouteMatch) -> str:
    """Return the canonical URI of a resource.

    A path can be percent-encoded in many ways, but an id has one spelling.
    """
    return site.federation.places.uri(site.origin, route.target.kind, route.target.name, **route.values)


def _actor(site: Site, route: RouteMatch) -> Op[Resource]:
    view = yield from actor_view(site, route)
    identifier = route.identifier
    if view is None or identifier is None or identifier == site.origin.host:
        raise ActorUnknown(f"there is no actor {route.identifier!r:.60}")
    uri = site.actor_uri(identifier)
    if isinstance(view, Tombstone):
        return Resource(add_id(view, uri), 410)
    keys = yield from own_keys(site, uri)
    return Resource(actor_document(site, identifier, view, keys))


def _instance(site: Site) -> Op[dict[str, Any]]:
    """Return the document of the instance actor.

    It is served to everyone. Otherwise two servers that demand signatures could never fetch each other's first key.
    """
    keys = yield from own_keys(site, site.instance_uri)
    return instance_document(site, keys)


def _dispatched(site: Site, route: RouteMatch) -> Op[Resource]:
    if route.target.handler is None:
        raise ContractError(f"the route of {route.target.name} has no handler")
    view: View | None = yield from dispatch_actor(site, route.target.handler, **route.values)
    if view is None:
        raise resource_unknown(route, "there is no such object")
    return Resource(add_id(view, _canonical(site, route)), 410 if isinstance(view, Tombstone) else 200)


def _visible_record(
    site: Site, request: Request, route: RouteMatch, url: Url, visitor: Visitor | None
) -> Op[ObjectRecord]:
    """Return a published object: to everyone if it is public, else to its audience if authorised fetch is on."""
    uri, owner = _canonical(site, route), site.actor_uri(route.identifier or "")
    entry, owner_entry = yield from Get((OBJECTS.key(DigestKey.of(uri)), OWN_ACTORS.key(OwnActorKey.of(owner))))
    if owner_entry is not None and OWN_ACTORS.decode(owner_entry.value).is_deleted:
        raise ActorGone(f"the actor {route.identifier!r:.60} is deleted, with everything that it published")
    record = None if entry is None else OBJECTS.decode(entry.value)
    # Keys are digests, so the id in the record settles which object it is.
    if record is not None and record.uri != uri:
        record = None
    if record is not None and record.is_public:
        return record
    unknown = resource_unknown(route, "there is no such object")
    if site.federation.authorized_fetch == "off":
        raise unknown
    # The client is identified whether or not the object exists, so that the answer does not tell if it does.
    visitor = visitor or (yield from identify_visitor(site, request, url))
    if visitor.uri is None or record is None or not (yield from is_among(site, record, visitor.uri)):
        raise visitor.unknown(unknown)
    return record
