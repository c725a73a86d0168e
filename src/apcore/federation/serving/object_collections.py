"""Make the documents of the collections of a published object: ``likes``, ``replies``, ``context`` and so on.

They are served to the viewers of the object. They list only what was public: the activities that like or share the
object, and the replies. The number of likes and shares counts all of them; the number of replies counts the listed
ones, since the number of private replies is private too.

A context (FEP-7888) is in the order of joining, and begins with the object itself. It names its owner, who moderates
it. The other collections have the newest first.
"""

from __future__ import annotations

from typing import Any, Final

from apcore.collections import count, members_page
from apcore.effects import Op
from apcore.federation.actors.documents import AS2
from apcore.federation.interactions.changes import collection_address
from apcore.federation.interactions.contexts import CONTEXT, begins_context
from apcore.federation.interactions.records import decode_item
from apcore.federation.interactions.statements import public_part
from apcore.federation.outbox.records import ObjectRecord
from apcore.federation.routes import (
    IDENTIFIER,
    MANAGED_NAME,
    OBJECT_COLLECTION,
    PAGE_NAME,
    Endpoint,
    RouteMatch,
)
from apcore.federation.serving.access import CollectionUnknown
from apcore.federation.serving.page_names import cursor_of, page_name
from apcore.federation.site import Site

__all__ = ["object_collection_document", "object_route"]

_PAGE_ITEMS: Final = 20
_COUNTED_WHOLE: Final = frozenset({"likes", "shares", "reactions"})
"""The collections that count their hidden members too, as other servers do."""


def object_route(route: RouteMatch) -> RouteMatch:
    """Return the route of the object to which a collection belongs."""
    values = {name: route.values[name] for name in (IDENTIFIER, MANAGED_NAME)}
    return RouteMatch(Endpoint("managed", "objects"), values)


def object_collection_document(site: Site, route: RouteMatch, record: ObjectRecord) -> Op[dict[str, Any]]:
    """Return the document of the collection of an object, or of its page, at a route.

    Effects: one `Get`, or one `Scan`.

    Raises:
        CollectionUnknown: Objects have no such collection, its side effect is switched off, or the object belongs to
            another conversation.
        RequestError: There is no such page.
    """
    name = route.values[OBJECT_COLLECTION]
    uri, is_context = collection_address(site, record.uri, name), name == CONTEXT
    if uri is None or (is_context and not begins_context(site, record)):
        raise CollectionUnknown(f"{record.uri} has no collection {name!r:.60}")
    if route.target.kind == "object-collection":
        total = yield from count(uri if name in _COUNTED_WHOLE else public_part(uri))
        first = _page_uri(site, route, None)
        members: dict[str, Any] = {"@context": AS2, "id": uri, "type": "OrderedCollection"}
        if is_context:
            return members | {"attributedTo": record.owner, "totalItems": total + 1, "first": first}
        return members | {"totalItems": total, "first": first}
    cursor = cursor_of(route.values[PAGE_NAME])
    page = yield from members_page(public_part(uri), cursor=cursor, limit=_PAGE_ITEMS, oldest_first=is_context)
    first_items = [record.uri] if is_context and cursor is None else []
    members = {
        "@context": AS2,
        "id": _page_uri(site, route, cursor),
        "type": "OrderedCollectionPage",
        "partOf": uri,
        "orderedItems": first_items + [decode_item(member.item) or member.id for member in page.items],
    }
    return members if page.next is None else members | {"next": _page_uri(site, route, page.next)}


def _page_uri(site: Site, route: RouteMatch, cursor: str | None) -> str:
    values = {**route.values, PAGE_NAME: page_name(cursor)}
    return site.federation.places.uri(site.origin, "object-page", **values)
