"""Store a published object and its Create, and list the Create in the outbox if it is public."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apcore.collections import Member, add_member
from apcore.collections.managed import order_after_newest
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.interactions.changes import collection_members
from apcore.federation.outbox.edit import wire_body
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.site import Site
from apcore.federation.unit_of_work import PublishObject, SendActivity
from apcore.ports import NO_CHANGE, Batch
from apcore.vocab import Create, read_document, to_wire

__all__ = ["publish"]


def publish(
    site: Site, note: PublishObject, now: datetime, *, create_id: str, order: str
) -> Op[tuple[SendActivity, Batch]]:
    """Return the Create to send for ``note``, and the part of its commit that stores both documents.

    ``order`` is the position of the Create in the outbox, unless a Create there is newer.

    Effects: one `Get` if the application has chosen the id, and one `Scan`.

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
    return SendActivity(create, note.by, id=create_id, addressing=addressing), batch


def _check_unpublished(note: PublishObject) -> Op[None]:
    """Refuse an id chosen by the application at which an object is published already."""
    if note.object.id is None:
        return
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(note.id)),))
    if entry is not None:
        raise ContractError(f"{note.id} is published already: send an Update to change it")
