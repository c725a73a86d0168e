"""Make the documents of the collections of a published object: ``likes``, ``shares``, ``replies`` and ``reactions``.

They are served to the viewers of the object. They list only what was public: the activities that like or share the
object, and the replies. The number of likes and shares counts all of them; the number of replies counts the listed
ones, since the number of private replies is private too.
"""

from __future__ import annotations

from typing import Any, Final

from apcore.collections import count, members_page
from apcore.effects import Op
from apcore.federation.actors.documents import AS2
from apcore.federation.interactions.changes import collection_address
from apcore.federation.interactions.records import decode_item
from apcore.federation.interactions.statements import public_part
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


def object_collection_document(site: Site, route: RouteMatch, object_id: str) -> Op[dict[str, Any]]:
    """Return the document of the collection, or of its page, at a route.

    Effects: one `Get`, or one `Scan`.

    Raises:
        CollectionUnknown: Objects have no such collection, or its side effect is switched off.
        RequestError: There is no such page.
    """
    name = route.values[OBJECT_COLLECTION]
    uri = collection_address(site, object_id, name)
    if uri is None:
        raise CollectionUnknown(f"objects have no collection {name!r:.60}")
    if route.target.kind == "object-collection":
        total = yield from count(uri if name in _COUNTED_WHOLE else public_part(uri))
        first = _page_uri(site, route, None)
        return {"@context": AS2, "id": uri, "type": "OrderedCollection", "totalItems": total, "first": first}
    cursor = cursor_of(route.values[PAGE_NAME])
    page = yield from members_page(public_part(uri), cursor=cursor, limit=_PAGE_ITEMS)
    members: dict[str, Any] = {
        "@context": AS2,
        "id": _page_uri(site, route, cursor),
        "type": "OrderedCollectionPage",
        "partOf": uri,
        "orderedItems": [decode_item(member.item) or member.id for member in page.items],
    }
    return members if page.next is None else members | {"next": _page_uri(site, route, page.next)}


def _page_uri(site: Site, route: RouteMatch, cursor: str | None) -> str:
    values = {**route.values, PAGE_NAME: page_name(cursor)}
    return site.federation.places.uri(site.origin, "object-page", **values)
