"""Keep the conversation of a published object as a collection: its context (FEP-7888, FEP-f228).

An object of ours that answers nothing begins a conversation. Its context is a collection at `{object}/context`, which
belongs to its author. A reply of ours has the context of the object that it answers, as far as that is one of ours. The
application gives the context of a reply to another server's object, or the reply has none.

A reply joins a context of ours

- if it answers an object of ours in this context, even if it does not name the context;
- if it names the context, and answers an object that has joined it.

The author of the first object decides who may take part: an actor that the author blocks does not join, nor one that
may not see the first object. The first object is the first item of the collection without being stored as a member.
"""

from __future__ import annotations

from typing import Final

from apcore.collections import contains
from apcore.effects import Get, Op
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.interactions.changes import collection_address, find_object
from apcore.federation.interactions.statements import Interaction
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.routes import IDENTIFIER, MANAGED_NAME, OBJECT_COLLECTION
from apcore.federation.site import Site
from apcore.vocab import Document, Object, read_document

__all__ = ["CONTEXT", "begins_context", "context_at_publication", "find_context", "first_object_of"]

CONTEXT: Final = "context"
"""The name of the collection, and of the member that names it."""


def context_at_publication(site: Site, document: Document, object_id: str) -> Op[str | None]:
    """Return the context of an object that is published at ``object_id``; None if it is not known.

    Effects: one `Get` for a reply to an object of ours that names no context, else none.
    """
    view = Object.over(document)
    if view.context is not None:
        return view.context
    if view.in_reply_to is None:
        return collection_address(site, object_id, CONTEXT)
    parent_id = view.in_reply_to.uri
    if parent_id is None or site.federation.places.read(site.origin, parent_id) is None:
        return None
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(parent_id)),))
    record = None if entry is None else OBJECTS.decode(entry.value)
    return None if record is None or record.uri != parent_id else _context_of(site, record)


def find_context(site: Site, interaction: Interaction, actor: str) -> Op[str | IgnoredReason | None]:
    """Return the context of ours that a reply of ``actor`` joins, or the reason why it may not; None if there is none.

    Effects: up to eight `Get`s.
    """
    if interaction.rule != "create":
        return None
    parent = yield from find_object(site, interaction.target, actor)
    if isinstance(parent, IgnoredReason):
        return parent
    context = interaction.context if parent is None else _context_of(site, parent)
    first_id = None if context is None else first_object_of(site, context)
    if context is None or first_id is None:
        return None
    if parent is not None and parent.uri == first_id:
        return context
    if parent is None:
        [is_member] = yield from contains(context, (interaction.target,))
        if not is_member:
            return None
    first = yield from find_object(site, first_id, actor)
    return first if isinstance(first, IgnoredReason) else context


def first_object_of(site: Site, context: str) -> str | None:
    """Return the id of the object whose context this would be; None if it is no collection of an object of ours."""
    route = site.federation.places.read(site.origin, context)
    if route is None or route.target.kind != "object-collection" or route.values[OBJECT_COLLECTION] != CONTEXT:
        return None
    values = {name: route.values[name] for name in (IDENTIFIER, MANAGED_NAME)}
    object_id = site.federation.places.uri(site.origin, "managed", "objects", **values)
    return object_id if collection_address(site, object_id, CONTEXT) == context else None


def begins_context(site: Site, record: ObjectRecord) -> bool:
    """Return whether an object has a context of its own, so that it begins a conversation."""
    return not record.is_gone and _context_of(site, record) == collection_address(site, record.uri, CONTEXT)


def _context_of(site: Site, record: ObjectRecord) -> str | None:
    """Return the context of a published object. Earlier releases stored none for an object that answers nothing."""
    view = Object.over(read_document(record.body, origin=site.origin))
    if view.context is not None:
        return view.context
    return collection_address(site, record.uri, CONTEXT) if view.in_reply_to is None else None
