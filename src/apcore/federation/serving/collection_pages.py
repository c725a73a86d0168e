"""Make the documents of collections and their pages, from stored members or from the application's handler."""

from __future__ import annotations

import json
import logging
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlencode

from attrs import evolve

from apcore.collections import PageItems, count, members_page
from apcore.effects import Get, Op
from apcore.errors import ContractError, RequestError
from apcore.federation.actors.documents import AS2
from apcore.federation.actors.profiles import dispatch_actor, dispatch_page, require_actor, variables_of
from apcore.federation.followers_sync import followers_at
from apcore.federation.interactions.polls import with_poll_counts
from apcore.federation.interactions.statements import public_part
from apcore.federation.outbox.recipients import item_id
from apcore.federation.outbox.records import OBJECTS, DigestKey
from apcore.federation.routes import PAGE_NAME, Registered, RouteMatch
from apcore.federation.serving.access import CollectionUnknown, Visitor
from apcore.federation.serving.page_names import cursor_of, page_name
from apcore.federation.site import Site
from apcore.handlers import handler_name
from apcore.http import Url, parse_url
from apcore.vocab import Document, View, to_wire

__all__ = ["collection_document", "partial_followers"]

_PAGE_ITEMS: Final = 20
_WHOLE_ITEMS: Final = 100
"""The most members of a managed collection that is not paged."""
_QUERY_FIELDS_MAX: Final = 10
_LOG: Final = logging.getLogger(__name__)


def collection_document(site: Site, route: RouteMatch, url: Url) -> Op[dict[str, Any]]:
    """Return the document of the collection or the page at a route.

    Raises:
        ActorUnknown: The actor of the collection does not exist.
        CollectionUnknown: The handler of the collection returns None.
        RequestError: There is no such page.
    """
    if route.identifier is not None:
        _ = yield from require_actor(site, route.identifier)
    values = variables_of(route)
    uri = site.federation.places.uri(site.origin, "collection", route.target.name, **values)
    page_uri, cursor = _requested_page(site, route, url, uri)
    if page_uri is None:
        return (yield from _root_document(site, route, uri))
    page = yield from _page(site, route, uri, cursor)
    document = _with_items(route, {"id": page_uri, "type": "CollectionPage", "partOf": uri}, page)
    if page.next is not None:
        document["next"] = _page_uri(site, route, uri, page.next)
    if page.prev is not None:
        document["prev"] = _page_uri(site, route, uri, page.prev or None)
    return document


def _root_document(site: Site, route: RouteMatch, uri: str) -> Op[dict[str, Any]]:
    """Return the document of a collection: its items if it is small or not paged, else links to its pages."""
    form = route.target.form
    whole = None if form.is_paged else (yield from _whole(site, route, uri))
    total = yield from _total(site, route, uri, whole)
    root: dict[str, Any] = {"id": uri, "type": "Collection"}
    if total is not None:
        root["totalItems"] = total
    if whole is not None:
        return _with_items(route, root, whole)
    first = yield from _cursor(site, route, form.first)
    root["first"] = _page_uri(site, route, uri, first)
    last = yield from _cursor(site, route, form.last)
    if last is not None:
        root["last"] = _page_uri(site, route, uri, last)
    return {"@context": AS2, **root, "type": _type_name(route, "Collection")}


def _whole(site: Site, route: RouteMatch, uri: str) -> Op[PageItems | None]:
    """Return all items of a collection that is not paged; None if apcore keeps too many for one document.

    Raises:
        ContractError: The handler names a further page.
    """
    page = yield from _page(site, route, uri, None, limit=_WHOLE_ITEMS)
    if page.next is None:
        return page
    if route.target.handler is None:
        return None
    raise ContractError(f"the collection {route.target.name!r} is not paged, but its handler returned a next cursor")


def _with_items(route: RouteMatch, members: dict[str, Any], page: PageItems) -> dict[str, Any]:
    """Return the document of a collection or page with items, under the context that the items share."""
    items = [_wire(item) for item in page.items]
    if route.target.form.items == "linked":
        items = [item_id(item) for item in page.items]
    context = _common_context(items)
    name = "orderedItems" if route.target.form.is_ordered else "items"
    typed = members | {"type": _type_name(route, members["type"])}
    return {"@context": context, **typed, name: [_without_context(context, item) for item in items]}


def _type_name(route: RouteMatch, name: str) -> str:
    return f"Ordered{name}" if route.target.form.is_ordered else name


def _cursor(site: Site, route: RouteMatch, handler: Registered | None) -> Op[str | None]:
    """Return the cursor that a handler names; None without a handler."""
    if handler is None:
        return None
    cursor: object = yield from dispatch_actor(site, handler, **variables_of(route))
    if cursor is not None and not isinstance(cursor, str):
        raise ContractError(f"{handler_name(handler.fn)} returns a cursor or None, not {cursor!r:.60}")
    return cursor


def partial_followers(site: Site, route: RouteMatch, visitor: Visitor) -> Op[dict[str, Any]]:
    """Return the followers of an actor that are on the server of the visitor (FEP-8fcf).

    Raises:
        ApcoreError: The visitor has not signed its request.
        ActorUnknown, CollectionUnknown: The actor does not exist, or its followers are not synchronised.
    """
    if visitor.uri is None:
        raise visitor.missing
    identifier = route.identifier or ""
    _ = yield from require_actor(site, identifier)
    collection = site.collection_uri("followers", identifier)
    ids: list[str] | None = None
    if route.target.handler is None:
        ids = yield from followers_at(collection, str(parse_url(visitor.uri).origin))
    if ids is None:
        raise CollectionUnknown(f"{collection} is not synchronised")
    uri = site.federation.places.uri(site.origin, "partial", "followers", **route.values)
    return {"@context": AS2, "id": uri, "type": "OrderedCollection", "orderedItems": ids}


def _requested_page(site: Site, route: RouteMatch, url: Url, collection: str) -> tuple[str | None, str | None]:
    """Return the id and the cursor of the requested page. The id is None if the collection itself is requested."""
    if route.target.kind == "page":
        cursor = cursor_of(route.values[PAGE_NAME])
        return _page_uri(site, route, collection, cursor), cursor
    # Until 0.1, pages had addresses with a query. Peers still request some of them.
    fields = _query_fields(url)
    if "page" not in fields:
        return None, None
    return f"{collection}?{url.query}", fields.get("cursor", [None])[0]


def _page_uri(site: Site, route: RouteMatch, collection: str, cursor: str | None) -> str:
    routes, name = site.federation.places, route.target.name
    if routes.has("page", name):
        values = variables_of(route) | {PAGE_NAME: page_name(cursor)}
        return routes.uri(site.origin, "page", name, **values)
    # The route of the collection takes the rest of the path, so only a query can tell its pages apart.
    query = {"page": "true"} if cursor is None else {"page": "true", "cursor": cursor}
    return f"{collection}?{urlencode(query)}"


def _query_fields(url: Url) -> dict[str, list[str]]:
    try:
        return parse_qs(url.query or "", max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError as error:
        raise RequestError(f"a request for a page has at most {_QUERY_FIELDS_MAX} fields in its query") from error


def _total(site: Site, route: RouteMatch, uri: str, whole: PageItems | None) -> Op[int | None]:
    counter = route.target.form.counter
    if counter is not None:
        total: object = yield from dispatch_actor(site, counter, **variables_of(route))
        if total is not None and not (isinstance(total, int) and total >= 0):
            raise ContractError(f"{handler_name(counter.fn)} returns a number of items or None, not {total!r:.60}")
        return total
    if route.target.handler is None:
        return (yield from count(_served_part(route, uri)))
    if whole is not None:
        return len(whole.items) if whole.total is None else whole.total
    page = yield from _dispatched_page(site, route, None)
    return page.total


def _served_part(route: RouteMatch, uri: str) -> str:
    """Return the name of the managed collection that is served: of ``liked``, only what was liked in public."""
    return public_part(uri) if route.target.name == "liked" else uri


def _page(site: Site, route: RouteMatch, uri: str, cursor: str | None, *, limit: int = _PAGE_ITEMS) -> Op[PageItems]:
    if route.target.handler is not None:
        page = yield from _dispatched_page(site, route, cursor)
        return page if route.target.form.items != "embedded" else (yield from _with_documents(page))
    members = yield from members_page(_served_part(route, uri), cursor=cursor, limit=limit)
    page = PageItems([member.id for member in members.items], members.next)
    if route.target.name == "outbox":
        return (yield from _with_documents(page, only_public=True))
    return page if route.target.form.items != "embedded" else (yield from _with_documents(page))


def _with_documents(page: PageItems, *, only_public: bool = False) -> Op[PageItems]:
    """Return a page with the public objects of ours among its ids as documents. Others stay, or are left out."""
    ids = [item for item in page.items if isinstance(item, str)]
    entries = (yield from Get([OBJECTS.key(DigestKey.of(ident)) for ident in ids])) if ids else ()
    records = [OBJECTS.decode(entry.value) for entry in entries if entry is not None]
    bodies = {record.uri: record.body for record in records if record.is_public}
    items: list[Any] = []
    for item in page.items:
        body = bodies.get(item) if isinstance(item, str) else None
        if body is not None:
            document = yield from with_poll_counts(json.loads(body))
            items.append(document)
        elif not only_public:
            items.append(item)
    return evolve(page, items=items)


def _dispatched_page(site: Site, route: RouteMatch, cursor: str | None) -> Op[PageItems]:
    try:
        page = yield from dispatch_page(site, route, cursor)
    except ValueError as error:
        if cursor is None:
            raise
        # A handler may parse a number or a date from the cursor. For a cursor that a peer invented, that fails here.
        _LOG.info("the collection handler refused the cursor %.100r: %s", cursor, error)
        raise RequestError("there is no page at this cursor") from error
    if page is None:
        raise CollectionUnknown("there is no such collection")
    if not isinstance(page, PageItems):
        raise ContractError(f"the handler of a collection returns PageItems or None, not {page!r:.60}")
    return page


def _wire(item: Any) -> Any:
    return to_wire(item) if isinstance(item, View | Document) else item


def _common_context(items: list[Any]) -> Any:
    """Return the context of a page: that of its items if all agree on one with ActivityStreams, else only that."""
    contexts = [cast("dict[str, object]", item).get("@context", AS2) for item in items if isinstance(item, dict)]
    shared = contexts[0] if contexts and all(context == contexts[0] for context in contexts) else AS2
    names = cast("list[object]", shared) if isinstance(shared, list) else [shared]
    return names if len(names) > 1 and AS2 in names else AS2


def _without_context(context: Any, item: Any) -> Any:
    """Return an item without its context if that is the page's. Another one stays: it defines the item's terms."""
    if not isinstance(item, dict):
        return item
    members = cast("dict[str, Any]", item)
    if members.get("@context", context) != context:
        return members
    return {name: value for name, value in members.items() if name != "@context"}
