"""Decide whether an actor is in the audience of a published object.

The audience is every actor that the object was addressed to, and the members of our collections among these addresses.
Members of collections on other servers are not known here, so they are not in the audience.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apcore.collections import PageItems, contains
from apcore.effects import Op
from apcore.federation.actors.profiles import dispatch_page
from apcore.federation.outbox.edit import readers_of
from apcore.federation.outbox.recipients import item_id
from apcore.federation.outbox.records import ObjectRecord
from apcore.federation.relations.stored import blocked_among
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site

__all__ = ["AUDIENCE_PAGES_MAX", "is_among", "is_reader"]

AUDIENCE_PAGES_MAX: Final = 10
"""The most pages of an application's collection that are searched for a viewer."""


def is_among(site: Site, record: ObjectRecord, viewer: str) -> Op[bool]:
    """Return whether ``viewer`` is the owner of a published object or in its audience, and is not blocked.

    Effects: one `Get`, and those of `is_reader`.
    """
    if viewer == record.owner:
        return True
    if (yield from blocked_among(record.owner, (viewer,))):
        return False
    return (yield from is_reader(site, readers_of(record), viewer))


def is_reader(site: Site, readers: Sequence[str], viewer: str) -> Op[bool]:
    """Return whether ``viewer`` is one of ``readers``, or in a collection of ours that is one of them.

    Effects: one `Get` for each managed collection, or the handler of another one, for up to `AUDIENCE_PAGES_MAX` pages.
    """
    if viewer in readers:
        return True
    for uri in readers:
        place = site.federation.places.read(site.origin, uri)
        if place is not None and place.target.kind == "collection" and (yield from _has_member(site, place, viewer)):
            return True
    return False


def _has_member(site: Site, place: RouteMatch, actor: str) -> Op[bool]:
    """Return whether ``actor`` is in a collection of ours, or on the first pages of an application's collection."""
    if place.target.handler is None:
        uri = site.federation.places.uri(site.origin, "collection", place.target.name, **place.values)
        [is_member] = yield from contains(uri, (actor,))
        return is_member
    cursor: str | None = None
    for _ in range(AUDIENCE_PAGES_MAX):
        page: PageItems | None = yield from dispatch_page(site, place, cursor)
        if page is None:
            return False
        if actor in map(item_id, page.items):
            return True
        if page.next is None:
            return False
        cursor = page.next
    return False
