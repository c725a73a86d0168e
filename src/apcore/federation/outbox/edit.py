"""Change a published object when an Update or Delete of it is sent, in the same commit.

This applies to objects that `publish` stored. Objects that a handler of the application makes are the application's to
change.

- An Update replaces the whole object, at its id and inside its Create in the outbox. Author, publication date and
  audience stay as they were unless the Update sets them, and the activity that is sent states them too. If the Update
  makes the object private, neither the object nor its Create is served to others any more, and the Create leaves the
  outbox. If it makes the object public, the reverse happens.
- A Delete leaves a tombstone at the id, and removes the Create from the outbox.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

from attrs import evolve

from apcore.collections import Member, put_member, remove_member
from apcore.collections.order import order_at
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.routes import OBJECT_COLLECTIONS
from apcore.federation.site import Site
from apcore.federation.unit_of_work import SendActivity
from apcore.ports import NO_CHANGE, Batch, digest_part
from apcore.records import Stored
from apcore.vocab import Activity, Audience, Delete, Tombstone, Update, Visibility, audience_of, read_document, to_wire

__all__ = ["revise", "wire_body"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_ADDRESSED: Final = ("to", "cc", "audience")
_INHERITED: Final = ("attributedTo", "published", "to", "cc", *OBJECT_COLLECTIONS)
"""The members that an Update need not repeat."""


_StoredObject: TypeAlias = Stored[ObjectRecord, DigestKey]


def wire_body(members: dict[str, Any]) -> bytes:
    """Serialise a document with context, id and type first, where readers look for them."""
    first = {name: members[name] for name in ("@context", "id", "type") if name in members}
    return json.dumps(first | members, ensure_ascii=False, separators=(",", ":")).encode()


def revise(site: Site, note: SendActivity, now: datetime) -> Op[tuple[SendActivity, Batch]]:
    """Return the activity to send for ``note``, and the part of its commit that changes a published object.

    Only an Update or Delete of a published object changes anything. Asks for: up to three `Get`s, or nothing for
    another activity.

    Raises:
        ContractError: The object is of another actor than the sender.
    """
    if not note.has_effects or not (note.activity.is_a(Update) or note.activity.is_a(Delete)):
        return note, NO_CHANGE
    object_ = Activity.over(note.activity).object
    stored = None if object_ is None or object_.uri is None else (yield from _read_object(site, object_.uri))
    if stored is None:
        return note, NO_CHANGE
    owner = stored.record.owner
    if owner != site.actor_uri(note.by):
        raise ContractError(
            f"{note.by!r:.60} must not change {stored.record.uri}, which is of {owner}: send it by its owner"
        )
    if note.activity.is_a(Delete):
        return note, (yield from _delete(site, note, stored, now))
    return (yield from _update(site, note, stored, now))


def _read_object(site: Site, uri: str) -> Op[_StoredObject | None]:
    """Read a published object; None if there is none, or only its tombstone."""
    place = site.federation.places.read(site.origin, uri)
    if place is None or place.target.kind != "managed":
        return None
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(uri)),))
    stored = OBJECTS.read_optional(entry)
    return None if stored is None or stored.record.uri != uri or stored.record.is_gone else stored


def _rewrite(stored: _StoredObject, record: ObjectRecord) -> Batch:
    """Return the part of a commit that replaces an object, unless it was changed meanwhile."""
    return Batch([stored.check], [OBJECTS.put(stored.key, record)])


def _update(site: Site, note: SendActivity, stored: _StoredObject, now: datetime) -> Op[tuple[SendActivity, Batch]]:
    members = to_wire(note.activity)
    object_: Any = members.get("object")
    if not isinstance(object_, dict) or {"id", "type"}.issuperset(cast("dict[str, Any]", object_)):
        return note, NO_CHANGE  # the Update only names the object, so there is nothing to replace
    previous: dict[str, Any] = json.loads(stored.record.body)
    is_readdressed = not {*_ADDRESSED}.isdisjoint(cast("dict[str, Any]", object_))
    inherited = {name: value for name, value in previous.items() if name in _INHERITED}
    object_ = inherited | cast("dict[str, Any]", object_)
    members["object"] = object_
    context = members.get("@context", _AS2)
    document = {"@context": context, **object_}
    audience = audience_of(read_document(document, origin=site.origin))
    is_public = audience.is_public if is_readdressed else stored.record.is_public
    batch = _rewrite(stored, evolve(stored.record, is_public=is_public, body=wire_body(document)))
    create_uri = stored.record.create
    [entry] = (None,) if create_uri is None else (yield from Get((OBJECTS.key(DigestKey.of(create_uri)),)))
    create = OBJECTS.read_optional(entry)
    if create is not None and create_uri is not None:
        # The Create is served too, so it must show the same object to the same audience (ActivityPub 6.2).
        address_members = {name: object_[name] for name in _ADDRESSED if is_readdressed and name in object_}
        create_members = json.loads(create.record.body) | {"@context": context, "object": object_} | address_members
        batch += _rewrite(create, evolve(create.record, is_public=is_public, body=wire_body(create_members)))
        if is_readdressed:
            batch += yield from _list_create(site, note.by, create_uri, audience, now)
    return evolve(note, activity=read_document(members, origin=site.origin)), batch


def _list_create(site: Site, by: str, create: str, audience: Audience, now: datetime) -> Op[Batch]:
    """Add a Create to the outbox if it is public, and remove it if it is unlisted or private."""
    outbox = site.federation.places.uri(site.origin, "collection", "outbox", identifier=by)
    if audience.visibility is not Visibility.PUBLIC:
        return (yield from remove_member(outbox, create))
    return (yield from put_member(outbox, Member(create), order=f"{order_at(now)}{digest_part(create)[:8]}"))


def _delete(site: Site, note: SendActivity, stored: _StoredObject, now: datetime) -> Op[Batch]:
    previous: dict[str, Any] = json.loads(stored.record.body)
    tombstone = {
        "@context": _AS2,
        "id": stored.record.uri,
        "type": Tombstone.type_name,
        "formerType": previous.get("type"),
        "deleted": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    batch = _rewrite(stored, evolve(stored.record, is_gone=True, body=wire_body(tombstone)))
    create = stored.record.create
    if create is not None:
        outbox = site.federation.places.uri(site.origin, "collection", "outbox", identifier=note.by)
        batch += yield from remove_member(outbox, create)
        batch += Batch(writes=[OBJECTS.delete(DigestKey.of(create))])
    return batch
