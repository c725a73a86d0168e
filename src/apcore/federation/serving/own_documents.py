"""Read documents of our own origins as the application and the store hold them, without a request.

A node that fetched its own ids over HTTP would wait for itself, and would see only what strangers may see.
"""

from __future__ import annotations

import json
from typing import Final

from attrs import evolve

from apcore.effects import Get, Op
from apcore.federation.actors.names import find_actor
from apcore.federation.actors.profiles import ActorGone, ResourceUnknown
from apcore.federation.interactions.polls import with_poll_counts
from apcore.federation.origins import Origins
from apcore.federation.outbox.records import OBJECTS, DigestKey
from apcore.federation.routes import RouteMatch
from apcore.federation.serving.object_collections import object_collection_document, object_route
from apcore.federation.serving.serve import document_at
from apcore.federation.site import Site
from apcore.http import Url, parse_url
from apcore.remote import Gone, NotFound, WrongId
from apcore.vocab import Document, read_document

__all__ = ["load_own_document"]

_STORED: Final = frozenset({"managed", "object-collection", "object-page"})
_WITH_DOCUMENT: Final = _STORED | {"actor", "instance", "object", "collection", "page"}


def load_own_document(site: Site, uri: str, *, origins: Origins) -> Op[Document | None]:
    """Return the document with the id ``uri`` if an origin of ours has that id, else None.

    The address of a profile page leads to the actor.

    No access is checked: the document is for the application itself. An object that was published for a limited
    audience is returned too. The handler of an actor or an object gets the data of ``site``.

    Effects: one `Get` for a published object, and those of the handler for anything else.

    Raises:
        NotFound: The id is on our origin, and nothing is there.
        Gone: The document was deleted.
        WrongId: ``uri`` names a part of a document.
    """
    origin = origins.find(uri)
    if origin is None:
        return None
    url = parse_url(uri)
    if url.fragment is not None:
        raise WrongId(f"{uri} names a part of a document: resolve {url.without_fragment()}")
    own_site = evolve(site, origin=origin)
    route = own_site.federation.places.read(origin, str(url))
    if route is not None and route.target.kind == "profile":
        route = yield from _actor_route(own_site, str(url))
    if route is None or route.target.kind not in _WITH_DOCUMENT:
        raise NotFound(f"{uri} is on our own origin, and no document is served there")
    try:
        members, status = yield from _members_at(own_site, route, url)
    except ResourceUnknown as error:
        raise NotFound(f"{uri} is on our own origin: {error}") from error
    if status == 410:
        raise Gone(f"{uri} was deleted here")
    return read_document(members, origin=origin, vocabulary=site.fetching.vocabulary)


def _actor_route(site: Site, profile: str) -> Op[RouteMatch | None]:
    """Return the route of the actor with a profile page at an address of ours."""
    try:
        named = yield from find_actor(site, profile)
    except ActorGone as error:
        raise Gone(f"{profile} is the page of an actor that was deleted here") from error
    except ResourceUnknown as error:
        raise NotFound(f"{profile} is on our own origin: {error}") from error
    return site.federation.places.read(site.origin, site.actor_uri(named.identifier))


def _members_at(site: Site, route: RouteMatch, url: Url) -> Op[tuple[dict[str, object], int]]:
    if route.target.kind not in _STORED:
        resource = yield from document_at(site, route, url)
        return resource.members, resource.status
    stored_route = route if route.target.kind == "managed" else object_route(route)
    uri = site.federation.places.uri(site.origin, "managed", stored_route.target.name, **stored_route.values)
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(uri)),))
    record = None if entry is None else OBJECTS.decode(entry.value)
    if record is None or record.uri != uri:
        raise NotFound(f"{uri} is on our own origin, and no object was published there")
    if route.target.kind != "managed" and not record.is_gone:
        return (yield from object_collection_document(site, route, record)), 200
    return (yield from with_poll_counts(json.loads(record.body))), 410 if record.is_gone else 200
