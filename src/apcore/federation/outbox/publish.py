"""Store published objects and kept activities, and list in the outbox those that are public."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apcore.collections import Member, add_member, remove_member
from apcore.collections.managed import order_after_newest
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.interactions.changes import collection_members
from apcore.federation.interactions.contexts import CONTEXT, context_at_publication
from apcore.federation.outbox.addressing import with_addressing
from apcore.federation.outbox.edit import wire_body
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.site import Site
from apcore.federation.write_notes import PublishObject, SendActivity
from apcore.ports import NO_CHANGE, Batch
from apcore.vocab import Activity, Create, Undo, read_document, to_wire

__all__ = ["keep", "publish", "sent_members", "withdraw"]


def publish(
    site: Site, note: PublishObject, now: datetime, *, create_id: str, order: str
) -> Op[tuple[SendActivity, Batch]]:
    """Return the Create to send for ``note``, and the part of its commit that stores both documents.

    ``order`` is the position of the Create in the outbox, unless a Create there is newer.

    Effects: one `Get` if the application has chosen the id, one for a reply to an object of ours, and one `Scan`.

    Raises:
        ContractError: An object is published at this id already.
    """
    yield from _check_unpublished(note)
    addressing, actor = note.addressing, site.actor_uri(note.by)
    if addressing is None:
        raise ContractError(f"the object {note.id} was not addressed")
    outbox = site.collection_uri("outbox", note.by)
    order = yield from order_after_newest(outbox, order)
    published = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    object_members = to_wire(note.object)
    context = object_members.pop("@context", None)
    defaults = {"id": note.id, "attributedTo": actor, "published": published, **collection_members(site, note.id)}
    conversation = yield from context_at_publication(site, note.object, note.id)
    if conversation is not None:
        defaults[CONTEXT] = conversation
    object_members = defaults | object_members | addressing.members
    create_members: dict[str, Any] = {
        "@context": context,
        "id": create_id,
        "type": Create.type_name,
        "actor": actor,
        "published": published,
        **addressing.members,
        "object": object_members,
    }
    stored_object = ObjectRecord(
        uri=note.id,
        owner=actor,
        is_public=addressing.audience.is_public,
        create=create_id,
        readers=addressing.recipients,
        body=wire_body({"@context": context, **object_members}),
    )
    stored_create = ObjectRecord(
        uri=create_id,
        owner=actor,
        is_public=addressing.audience.is_public,
        readers=addressing.recipients,
        order=order,
        body=wire_body(create_members),
    )
    batch = NO_CHANGE
    for record in (stored_object, stored_create):
        batch += Batch(writes=[OBJECTS.put(DigestKey.of(record.uri), record)])
    if addressing.is_listed:
        batch += add_member(outbox, Member(create_id), order=order)
    create = read_document(create_members, origin=site.origin)
    return SendActivity(create, note.by, id=create_id, push=note.push, addressing=addressing), batch


def sent_members(site: Site, note: SendActivity) -> dict[str, Any]:
    """Return the document of an activity as it is sent: with its id, its actor and its audience.

    Raises:
        ContractError: The activity was not addressed.
    """
    if note.addressing is None:
        raise ContractError(f"the activity {note.id} was not addressed")
    actor = site.actor_uri(note.by)
    members = with_addressing(to_wire(note.activity), note.activity, actor, note.addressing)
    return {"id": note.id} | members | {"actor": actor}


def keep(site: Site, note: SendActivity, *, order: str) -> Op[Batch]:
    """Return the part of a commit that serves an activity at its id, and lists it in the outbox if it is public.

    ``order`` is its position there, unless a newer activity is listed. Effects: one `Scan` for a public activity.
    """
    members, addressing = sent_members(site, note), note.addressing
    assert addressing is not None
    outbox = site.collection_uri("outbox", note.by)
    record = ObjectRecord(
        uri=note.id,
        owner=site.actor_uri(note.by),
        is_public=addressing.audience.is_public,
        readers=addressing.recipients,
        body=wire_body(members),
    )
    batch = Batch(writes=[OBJECTS.put(DigestKey.of(note.id), record)])
    if addressing.is_listed:
        order = yield from order_after_newest(outbox, order)
        batch += add_member(outbox, Member(note.id), order=order)
    return batch


def withdraw(site: Site, note: SendActivity) -> Op[Batch]:
    """Return the part of a commit that no longer serves the activity that an Undo undoes, if it was kept.

    Effects: two `Get`s for an Undo of a kept activity.
    """
    undone = Activity.over(note.activity).object if note.activity.is_a(Undo) else None
    uri = "" if undone is None else undone.uri or ""
    place = site.federation.places.read(site.origin, uri)
    if place is None or (place.target.kind, place.target.name) != ("managed", "activities"):
        return NO_CHANGE
    key = DigestKey.of(uri)
    [entry] = yield from Get((OBJECTS.key(key),))
    if entry is None or OBJECTS.decode(entry.value).owner != site.actor_uri(note.by):
        return NO_CHANGE
    batch = yield from remove_member(site.collection_uri("outbox", note.by), uri)
    return batch + Batch(writes=[OBJECTS.delete(key)])


def _check_unpublished(note: PublishObject) -> Op[None]:
    """Refuse an id chosen by the application at which an object is published already."""
    if note.object.id is None:
        return
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(note.id)),))
    if entry is not None:
        raise ContractError(f"{note.id} is published already: send an Update to change it")
