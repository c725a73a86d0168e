"""Change a published object when an Update or Delete of it is sent, in the same commit.

This applies to objects that `publish` stored. Objects that a handler of the application makes are the application's to
change.

- An Update replaces the whole object, at its id and inside its Create in the outbox. Author and publication date stay
  as they were unless the Update sets them, and the activity that is sent states them too.
- An Update that names any of ``to``, ``cc`` and ``audience``, in the activity or in the object, replaces all three.
  Otherwise all three stay, and the activity states them. If the Update makes the object private, neither the object nor
  its Create is served to others any more, and the Create leaves the outbox. If it makes the object public, the Create
  returns to its place.
- An Update reaches its audience, and all recipients of earlier versions.
- A Delete leaves a tombstone at the id, and removes the Create from the outbox. Unless it names an audience, it has
  that of the object. It reaches all recipients of the object.
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
from apcore.federation.interactions.polls import with_poll_counts
from apcore.federation.outbox.addressing import (
    OPEN_MEMBERS,
    Addressing,
    addressing_of,
    embedded_objects,
    stated_audiences,
    states_audience,
)
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.routes import OBJECT_COLLECTIONS
from apcore.federation.site import Site
from apcore.federation.write_notes import SendActivity
from apcore.ports import NO_CHANGE, Batch, digest_part
from apcore.records import Stored
from apcore.vocab import (
    PUBLIC,
    Activity,
    Audience,
    Delete,
    Tombstone,
    Update,
    audience_of,
    read_document,
    to_wire,
    without_nulls,
)

__all__ = ["FORMER_READERS_MAX", "readers_of", "revise", "wire_body"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_INHERITED: Final = ("attributedTo", "published", "context", *OBJECT_COLLECTIONS)
"""The members that an Update need not repeat, besides the audience."""
FORMER_READERS_MAX: Final = 2_000
"""The most addresses that an object remembers because they got an earlier version of it."""

_StoredObject: TypeAlias = Stored[ObjectRecord, DigestKey]


def wire_body(members: dict[str, Any]) -> bytes:
    """Serialise a document with context, id and type first, where readers look for them, and without nulls."""
    members = without_nulls(members)
    first = {name: members[name] for name in ("@context", "id", "type") if name in members}
    return json.dumps(first | members, ensure_ascii=False, separators=(",", ":")).encode()


def revise(site: Site, note: SendActivity, now: datetime) -> Op[tuple[SendActivity, Batch]]:
    """Return the activity to send for ``note``, and the part of its commit that changes a published object.

    Only an Update or Delete of a published object changes anything. Asks for: up to three `Get`s, or nothing for
    another activity.

    Raises:
        ContractError: The object is of another actor than the sender, or the audience contradicts that of the object.
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
        return (yield from _delete(site, note, stored, now))
    return (yield from _update(site, note, stored, now))


def _read_object(site: Site, uri: str) -> Op[_StoredObject | None]:
    """Read a published object, or its tombstone."""
    if site.federation.places.read(site.origin, uri) is None:
        return None
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(uri)),))
    stored = OBJECTS.read_optional(entry)
    return None if stored is None or stored.record.uri != uri else stored


def _rewrite(stored: _StoredObject, record: ObjectRecord) -> Batch:
    """Return the part of a commit that replaces an object, unless it was changed meanwhile."""
    return Batch([stored.check], [OBJECTS.put(stored.key, record)])


def _update(site: Site, note: SendActivity, stored: _StoredObject, now: datetime) -> Op[tuple[SendActivity, Batch]]:
    if stored.record.is_gone:
        return note, NO_CHANGE
    members = to_wire(note.activity)
    is_readdressed = _is_readdressed(site, note)
    addressing = note.addressing if is_readdressed else _inherit(site, note, stored.record)
    assert addressing is not None
    object_: Any = members.get("object")
    is_whole = isinstance(object_, dict) and not {"id", "type"}.issuperset(cast("dict[str, Any]", object_))
    if not is_whole and not is_readdressed:
        # The Update only names the object, so there is nothing to replace.
        return _address(note, addressing, stored.record), NO_CHANGE
    previous: dict[str, Any] = json.loads(stored.record.body)
    context = members.get("@context", _AS2) if is_whole else previous.pop("@context", _AS2)
    if is_whole:
        inherited = {name: value for name, value in previous.items() if name in _INHERITED}
        object_ = yield from with_poll_counts(inherited | cast("dict[str, Any]", object_))
    else:
        object_ = previous
    object_ = _without_audience(object_) | addressing.members
    members = _without_audience(members) | addressing.members | {"@context": context, "object": object_}
    record = _readdress(stored.record, addressing)
    batch = _rewrite(stored, evolve(record, body=wire_body({"@context": context, **object_})))
    note = _address(evolve(note, activity=read_document(members, origin=site.origin)), addressing, stored.record)
    document = {"@context": context, "object": object_} | addressing.members
    batch += yield from _update_create(site, record, document, now, is_listed=addressing.is_listed)
    return note, batch


def _update_create(
    site: Site, record: ObjectRecord, members: dict[str, Any], now: datetime, *, is_listed: bool
) -> Op[Batch]:
    """Change the Create of an object: it is served too, so it shows the same object to the same audience.

    Add it to the outbox if it is to be listed there, and remove it otherwise.
    """
    if record.create is None:
        return NO_CHANGE
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(record.create)),))
    create = OBJECTS.read_optional(entry)
    if create is None:
        return NO_CHANGE
    create_body = wire_body(_without_audience(json.loads(create.record.body)) | members)
    create_record = evolve(create.record, is_public=record.is_public, readers=record.readers, body=create_body)
    batch = _rewrite(create, create_record)
    outbox = _outbox(site, record)
    if not is_listed:
        return batch + (yield from remove_member(outbox, record.create))
    order = create.record.order or f"{order_at(now)}{digest_part(record.create)[:8]}"
    return batch + (yield from put_member(outbox, Member(record.create), order=order))


def _outbox(site: Site, record: ObjectRecord) -> str:
    return site.federation.places.collection_uri(site.origin, "outbox", site.identifier_of(record.owner) or "")


def _delete(site: Site, note: SendActivity, stored: _StoredObject, now: datetime) -> Op[tuple[SendActivity, Batch]]:
    addressing = note.addressing if _is_readdressed(site, note) else _inherit(site, note, stored.record)
    assert addressing is not None
    note = _address(note, addressing, stored.record)
    if stored.record.is_gone:
        return note, NO_CHANGE
    previous: dict[str, Any] = json.loads(stored.record.body)
    tombstone = {
        "@context": _AS2,
        "id": stored.record.uri,
        "type": Tombstone.type_name,
        "formerType": previous.get("type"),
        "deleted": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    record = evolve(stored.record, is_gone=True, readers=readers_of(stored.record), body=wire_body(tombstone))
    batch = _rewrite(stored, record)
    create = stored.record.create
    if create is not None:
        batch += yield from remove_member(_outbox(site, stored.record), create)
        batch += Batch(writes=[OBJECTS.delete(DigestKey.of(create))])
    return note, batch


# --- audiences ------------------------------------------------------------------------------------------------------


def readers_of(record: ObjectRecord) -> tuple[str, ...]:
    """Return the addresses that an object, a Create or a tombstone is served to."""
    if record.readers is not None:
        return record.readers
    return audience_of(read_document(record.body)).everyone


def _is_readdressed(site: Site, note: SendActivity) -> bool:
    """Return whether an Update or Delete states an audience of its own."""
    documents = [note.activity, *embedded_objects(note.activity, site.actor_uri(note.by))]
    return note.visibility is not None or any(map(states_audience, documents))


def _inherit(site: Site, note: SendActivity, record: ObjectRecord) -> Addressing:
    """Return the addressing of an activity without an audience of its own: that of the object that it changes."""
    readers = readers_of(record)
    audience = Audience(to=(PUBLIC,) if record.is_public else ()) if record.is_gone else _audience_in(record)
    audience = evolve(audience, bcc=tuple(reader for reader in readers if reader not in audience.everyone))
    followers = site.federation.places.collection_uri(site.origin, "followers", note.by)
    secret = [
        Audience(bto=stated.bto, bcc=stated.bcc) for stated in stated_audiences(note.activity, site.actor_uri(note.by))
    ]
    return addressing_of([audience, *secret], note.to, followers=followers, is_inherited=True)


def _audience_in(record: ObjectRecord) -> Audience:
    return audience_of(read_document(record.body))


def _address(note: SendActivity, addressing: Addressing, record: ObjectRecord) -> SendActivity:
    """Return ``note`` with ``addressing``, and with all recipients of the object among its own."""
    recipients = dict.fromkeys((*addressing.recipients, *readers_of(record), *record.former_readers))
    return evolve(note, addressing=evolve(addressing, recipients=tuple(recipients)))


def _readdress(record: ObjectRecord, addressing: Addressing) -> ObjectRecord:
    """Return ``record`` with a new audience. It remembers the readers that the audience leaves out."""
    readers = addressing.recipients
    former_readers = dict.fromkeys((*record.former_readers, *readers_of(record)))
    remembered = tuple(reader for reader in former_readers if reader not in readers)
    if len(remembered) > FORMER_READERS_MAX:
        raise ContractError(
            f"{record.uri} went to {len(remembered)} addresses that are not in its audience any more, but at most "
            f"{FORMER_READERS_MAX} are remembered: delete it, and publish a new object"
        )
    is_public = addressing.audience.is_public
    return evolve(record, is_public=is_public, readers=readers, former_readers=remembered)


def _without_audience(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in OPEN_MEMBERS}
