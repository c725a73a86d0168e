"""What is asked for: actors, collections and objects of ours, as ActivityPub; and where inboxes take their POSTs.

A path that is not ours, or a client that would rather have a page, is the site's business: the answer is `Elsewhere`, and an adapter falls through
to the application. Whatever is not public is answered as if it did not exist.

What is served has a strong ETag of its bytes, and varies by `Accept`; where it depends on who asks (`apcore.federation.serving.access`), also by the signature, and
then no cache may share it.
"""

from __future__ import annotations

import json
import logging
from enum import Enum
from typing import Any, Final, TypeAlias, cast
from urllib.parse import parse_qs, urlencode

from attrs import evolve, frozen

from apcore.collections import PageItems, count, members_page
from apcore.effects import Get, Op
from apcore.errors import ContractError, RemoteError, RequestError, Unavailable
from apcore.federation.actors.documents import AS2, actor_document, add_id, instance_document
from apcore.federation.actors.keys import own_keys
from apcore.federation.actors.profiles import ActorUnknown, actor_view, dispatch_actor, require_actor
from apcore.federation.inbox.receive import receive
from apcore.federation.outbox.edit import object_key
from apcore.federation.refusals import log_refusal, refusal
from apcore.federation.routes import IDENTIFIER, PAGE_NAME, Registered, RouteMatch, RouteTable
from apcore.federation.serving.access import Visitor, check_access, identify_visitor, is_among, is_guarded
from apcore.federation.serving.page_names import cursor_of, page_name
from apcore.federation.serving.well_known import answer_discovery
from apcore.federation.site import Site
from apcore.http import (
    ACTIVITY_JSON,
    LD_JSON,
    Headers,
    Problem,
    Request,
    Response,
    Url,
    matches_etag,
    negotiate,
    parse_url,
    strong_etag,
    wants_activitypub,
)
from apcore.records.format import Record, decode_record
from apcore.remote import UnauthenticatedClient
from apcore.vocab import Document, Tombstone, View, to_wire

__all__ = ["Elsewhere", "Served", "is_ours", "serve"]

PAGE_ITEMS: Final = 20
_AGE_S: Final = 180
"""As Mastodon has it for actors and posts."""
_VARY_BY_VIEWER: Final = "Accept, Signature, Signature-Input"
_QUERY_FIELDS_MAX: Final = 10
_LOG: Final = logging.getLogger(__name__)
_WELL_KNOWN: Final = frozenset({"webfinger", "host-meta", "nodeinfo"})


class Elsewhere(Enum):
    """Why a request is not answered here."""

    NOT_OURS = "not-ours"
    """Nothing of ours is at this path."""
    NOT_ACCEPTABLE = "not-acceptable"
    """Something is, and the client would rather have another form of it: a page."""


Served: TypeAlias = Response | Elsewhere


def is_ours(places: RouteTable, path: str, method: str, *, has_pages: bool) -> bool:
    """Whether a request could be answered here, judged before its body is read.

    Where a site has pages at our paths, forms may be sent to them too: then only inboxes take anything but GET and HEAD.
    """
    place = places.at(path)
    return place is not None and _takes(place, method, has_pages=has_pages)


def _takes(place: RouteMatch, method: str, *, has_pages: bool) -> bool:
    return not has_pages or method in {"GET", "HEAD"} or place.target.kind in {"inbox", "shared-inbox"}


def serve(site: Site, request: Request, *, has_pages: bool = False) -> Op[Served]:
    """Answer a request to this origin, or say that it is for elsewhere.

    ``request.url`` has the authority that the peer meant. With ``has_pages``, a client gets ActivityPub only if it asks for it by name; else
    whatever it takes. Asks for: what the handlers ask for, and at most two reads; where the answer depends on who asks, also the key of the
    signature. A bug is raised; everything else is an answer.
    """
    site = evolve(site, unauthenticated_client=UnauthenticatedClient(request.client))
    url = parse_url(request.url)
    place = site.federation.places.at(url.path)
    if place is None or not _takes(place, request.method, has_pages=has_pages):
        return Elsewhere.NOT_OURS
    if place.target.kind in {"inbox", "shared-inbox"}:
        if request.method != "POST":
            return _not_allowed("POST")
        return (yield from receive(site, request, recipient=place.identifier))
    if request.method not in {"GET", "HEAD"}:
        return _not_allowed("GET, HEAD")
    if place.target.kind in _WELL_KNOWN:
        found = yield from answer_discovery(site, place, url)
        return Response(found.status, found.headers) if request.method == "HEAD" else found
    accept = request.headers.get("accept")
    wanted = wants_activitypub(accept) if has_pages else negotiate(accept, (ACTIVITY_JSON, LD_JSON)) is not None
    if not wanted:
        return Elsewhere.NOT_ACCEPTABLE
    try:
        seen = yield from _seen(site, request, place, url)
    except (RemoteError, Unavailable) as error:
        varies = _may_vary(site, place)
        if varies:
            log_refusal(_LOG, url.path, error)
        problem = refusal(site, request, error)
        headers = problem.headers.with_set("Vary", _VARY_BY_VIEWER) if varies else problem.headers
        return Response(problem.status, headers, b"" if request.method == "HEAD" else problem.body)
    return _answer(request, seen)


@frozen
class _Found:
    """What is served."""

    members: dict[str, Any]
    status: int = 200
    private: bool = False
    """Whether somebody else might have got another answer."""


def _may_vary(site: Site, place: RouteMatch) -> bool:
    return is_guarded(site, place) or (place.target.kind == "managed" and site.federation.authorized_fetch != "off")


def _seen(site: Site, request: Request, place: RouteMatch, url: Url) -> Op[_Found]:
    """Give what ``request`` may see of a place."""
    guarded = is_guarded(site, place)
    who = (yield from check_access(site, request, place, url)) if guarded else None
    try:
        if place.target.kind == "managed":
            found = yield from _managed(site, request, place, url, who)
        else:
            found = yield from _document(site, place, url)
    except ActorUnknown as error:
        raise error if who is None else who.unknown(error) from error
    return evolve(found, private=found.private or guarded)


def _document(site: Site, place: RouteMatch, url: Url) -> Op[_Found]:
    match place.target.kind:
        case "actor":
            return (yield from _actor(site, place))
        case "instance":
            return _Found((yield from _instance(site)))
        case "object":
            return (yield from _dispatched(site, place))
        case "collection" | "page":
            return _Found((yield from _collection(site, place, url)))
        case other:
            raise ContractError(f"nothing serves {other}")


def _canonical(site: Site, place: RouteMatch) -> str:
    """Give the one spelling of an address: a path may be escaped in many ways, and an id is the same by all of them."""
    return site.federation.places.uri(site.origin, place.target.kind, place.target.name, **place.values)


def _actor(site: Site, place: RouteMatch) -> Op[_Found]:
    made = yield from actor_view(site, place)
    identifier = place.identifier
    if made is None or identifier is None:
        raise ActorUnknown(f"there is no actor {place.identifier!r:.60}")
    uri = site.actor_uri(identifier)
    if isinstance(made, Tombstone):
        return _Found(add_id(made, uri), 410)
    keys = yield from own_keys(site, uri)
    return _Found(actor_document(site, identifier, made, keys))


def _instance(site: Site) -> Op[dict[str, Any]]:
    """The instance actor. Served to everyone, or two careful servers could never begin to talk."""
    keys = yield from own_keys(site, site.instance_uri)
    return instance_document(site, keys)


def _dispatched(site: Site, place: RouteMatch) -> Op[_Found]:
    if place.target.handler is None:
        raise ContractError(f"no handler makes {place.target.name}")
    made: View | None = yield from dispatch_actor(site, place.target.handler, **place.values)
    if made is None:
        raise ActorUnknown("there is no such object")
    return _Found(add_id(made, _canonical(site, place)), 410 if isinstance(made, Tombstone) else 200)


def _managed(site: Site, request: Request, place: RouteMatch, url: Url, who: Visitor | None) -> Op[_Found]:
    """What was published: for everyone, or for those in its audience, if we are to find out who they are."""
    uri = _canonical(site, place)
    [entry] = yield from Get((object_key(uri),))
    fact = None if entry is None else decode_record(entry.value)
    if fact is not None and fact.text("id") != uri:
        fact = None
    if fact is not None and fact.members.get("public") is True:
        return _kept(fact)
    unknown = ActorUnknown("there is no such object")
    if site.federation.authorized_fetch == "off":
        raise unknown
    # Asked before it is known whether there is one, so that the answer does not tell.
    asks = who or (yield from identify_visitor(site, request, url))
    if asks.uri is None or fact is None or not (yield from is_among(site, fact, asks.uri)):
        raise asks.unknown(unknown)
    return evolve(_kept(fact), private=True)


def _kept(fact: Record) -> _Found:
    return _Found(json.loads(fact.body), 410 if fact.members.get("gone") is True else 200)


def _collection(site: Site, place: RouteMatch, url: Url) -> Op[dict[str, Any]]:
    identifier = place.identifier or ""
    _ = yield from require_actor(site, identifier)
    uri = site.federation.places.uri(site.origin, "collection", place.target.name, **{IDENTIFIER: identifier})
    page_uri, cursor = _page_asked(site, place, url, uri)
    if page_uri is None:
        total = yield from _total(site, place, uri)
        root: dict[str, Any] = {"@context": AS2, "id": uri, "type": "OrderedCollection"}
        if total is not None:
            root["totalItems"] = total
        return root | {"first": _page_uri(site, place, uri, None)}
    page = yield from _page(site, place, uri, identifier, cursor)
    items = [_wire(item) for item in page.items]
    context = _common_context(items)
    members = {
        "@context": context,
        "id": page_uri,
        "type": "OrderedCollectionPage",
        "partOf": uri,
        "orderedItems": [_within(context, item) for item in items],
    }
    if page.next is not None:
        members["next"] = _page_uri(site, place, uri, page.next)
    return members


def _page_asked(site: Site, place: RouteMatch, url: Url, collection: str) -> tuple[str | None, str | None]:
    """Return the id of the page that is asked for and its cursor; no id if the collection itself is asked for."""
    if place.target.kind == "page":
        cursor = cursor_of(place.values[PAGE_NAME])
        return _page_uri(site, place, collection, cursor), cursor
    # Until 0.1, pages had addresses with a query, and peers have kept some of them.
    asked = _asked(url)
    if "page" not in asked:
        return None, None
    return f"{collection}?{url.query}", asked.get("cursor", [None])[0]


def _page_uri(site: Site, place: RouteMatch, collection: str, cursor: str | None) -> str:
    places, name = site.federation.places, place.target.name
    if places.has("page", name):
        values = {IDENTIFIER: place.identifier or "", PAGE_NAME: page_name(cursor)}
        return places.uri(site.origin, "page", name, **values)
    # The route of the collection takes the rest of the path, so its pages have to be told apart by a query.
    query = {"page": "true"} if cursor is None else {"page": "true", "cursor": cursor}
    return f"{collection}?{urlencode(query)}"


def _asked(url: Url) -> dict[str, list[str]]:
    try:
        return parse_qs(url.query or "", max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError as error:
        raise RequestError(f"a page is asked for with at most {_QUERY_FIELDS_MAX} fields in the query") from error


def _total(site: Site, place: RouteMatch, uri: str) -> Op[int | None]:
    if place.target.handler is None:
        return (yield from count(uri))
    page = yield from _dispatched_page(site, place.target.handler, place.identifier, None)
    return page.total


def _page(site: Site, place: RouteMatch, uri: str, identifier: str, cursor: str | None) -> Op[PageItems]:
    if place.target.handler is not None:
        return (yield from _dispatched_page(site, place.target.handler, identifier, cursor))
    page = yield from members_page(uri, cursor=cursor, limit=PAGE_ITEMS)
    if place.target.name != "outbox":
        return PageItems([member.id for member in page.items], page.next)
    entries = yield from Get([object_key(member.id) for member in page.items])
    facts = [decode_record(entry.value) for entry in entries if entry is not None]
    return PageItems([json.loads(fact.body) for fact in facts if fact.members.get("public") is True], page.next)


def _dispatched_page(site: Site, handler: Registered, identifier: str | None, cursor: str | None) -> Op[PageItems]:
    try:
        made = yield from dispatch_actor(site, handler, identifier, cursor)
    except ValueError as error:
        if cursor is None:
            raise
        # A handler that reads a number or a date out of a cursor says so of one that a peer made up.
        _LOG.info("no page at the cursor %.100r: %s", cursor, error)
        raise RequestError("there is no page at this cursor") from error
    if made is None:
        raise ActorUnknown("there is no such collection")
    if not isinstance(made, PageItems):
        raise ContractError(f"the handler of a collection gives a Page or None, not {made!r:.60}")
    return made


def _wire(item: Any) -> Any:
    return to_wire(item) if isinstance(item, View | Document) else item


def _common_context(items: list[Any]) -> Any:
    """Give the context of a page: that of its items if they agree."""
    contexts = [cast("dict[str, object]", item).get("@context", AS2) for item in items if isinstance(item, dict)]
    shared = contexts[0] if contexts and all(context == contexts[0] for context in contexts) else AS2
    names = cast("list[object]", shared) if isinstance(shared, list) else [shared]
    return names if len(names) > 1 and AS2 in names else AS2


def _within(context: Any, item: Any) -> Any:
    """Give an item for a page with a context: its own stays only where it differs, so that its words keep their meaning."""
    if not isinstance(item, dict):
        return item
    members = cast("dict[str, Any]", item)
    if members.get("@context", context) != context:
        return members
    return {name: value for name, value in members.items() if name != "@context"}


def _answer(request: Request, found: _Found) -> Response:
    body = json.dumps(found.members, ensure_ascii=False, separators=(",", ":")).encode()
    etag = strong_etag(body)
    vary = _VARY_BY_VIEWER if found.private else "Accept"
    caching = f"{'private' if found.private else 'public'}, max-age={_AGE_S}"
    headers = Headers({"ETag": etag, "Vary": vary, "Cache-Control": caching})
    if found.status == 200 and matches_etag(request.headers.get("if-none-match"), etag):
        return Response(304, headers)
    headers = headers.with_set("Content-Type", ACTIVITY_JSON)
    return Response(found.status, headers, b"" if request.method == "HEAD" else body)


def _not_allowed(allow: str) -> Response:
    answer = Problem(status=405, extensions={"reason": "method-not-allowed"}).response()
    return Response(405, answer.headers.with_set("Allow", allow), answer.body)
