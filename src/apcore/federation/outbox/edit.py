"""What one of ours changes of its own: an Update or a Delete that is sent changes what is served, in the same commit.

This holds for objects that were published, whose documents are kept here; what a handler of the application makes is the application's to change. An
Update replaces the object as a whole, at its id and inside its Create in the outbox; who it is by, since when it is there and whom it is for stay as
they were unless it says so, and what is sent says it too. Where it says that an object is not for everyone any more, it is served to no others, nor
its Create, which leaves the outbox; and the other way round. A Delete leaves a tombstone at the id, and takes the Create out of the outbox.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, cast

from attrs import evolve, field, frozen

from apcore.collections import Member, MembershipChange, put_member, remove_member
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.site import Site
from apcore.federation.unit_of_work import SendActivity
from apcore.ports import Check, DeleteEntry, Entry, Put, StoreKey, Write, digest_part
from apcore.records.format import Record, decode_record, encode_record, to_epoch_ms
from apcore.vocab import Activity, Audience, Delete, Tombstone, Update, Visibility, audience_of, read_document, to_wire

__all__ = ["Revision", "object_key", "revise", "wire_body"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_ADDRESSED: Final = ("to", "cc", "audience")
_KEPT: Final = ("attributedTo", "published", "to", "cc")


@frozen
class Revision:
    """What is to be sent, and what changes here with it."""

    note: SendActivity
    change: MembershipChange = field(factory=MembershipChange)


@frozen
class _Kept:
    """A published object as it is kept."""

    entry: Entry
    fact: Record
    uri: str


def object_key(uri: str) -> StoreKey:
    """Where an object of ours is kept."""
    return ("obj", "1", digest_part(uri))


def wire_body(members: dict[str, Any]) -> bytes:
    """Write a document: context, id and type first, where people look for them."""
    first = {name: members[name] for name in ("@context", "id", "type") if name in members}
    return json.dumps(first | members, ensure_ascii=False, separators=(",", ":")).encode()


def revise(site: Site, note: SendActivity, now: datetime) -> Op[Revision]:
    """Give what changes here when ``note`` is sent; for all but an Update or Delete of a published object, nothing.

    Asks for: for an Update or Delete up to four `Get`s.

    Raises:
        ContractError: The object is of another actor than the sender.
    """
    if not (note.activity.is_a(Update) or note.activity.is_a(Delete)):
        return Revision(note)
    object_ = Activity.over(note.activity).object
    kept = None if object_ is None or object_.uri is None else (yield from _kept(site, object_.uri))
    if kept is None:
        return Revision(note)
    if kept.fact.text("owner") != site.actor_uri(note.by):
        raise ContractError(f"{note.by!r:.60} changes {kept.uri}, which is of {kept.fact.text('owner')}")
    if note.activity.is_a(Delete):
        return Revision(note, (yield from _deleted(site, note, kept, now)))
    return (yield from _updated(site, note, kept, now))


def _kept(site: Site, uri: str) -> Op[_Kept | None]:
    place = site.federation.places.read(site.origin, uri)
    if place is None or place.target.kind != "managed":
        return None
    [entry] = yield from Get((object_key(uri),))
    if entry is None:
        return None
    fact = decode_record(entry.value)
    return None if fact.text("id") != uri or fact.members.get("gone") is True else _Kept(entry, fact, uri)


def _updated(site: Site, note: SendActivity, kept: _Kept, now: datetime) -> Op[Revision]:
    members = to_wire(note.activity)
    object_: Any = members.get("object")
    if not isinstance(object_, dict) or {"id", "type"}.issuperset(cast("dict[str, Any]", object_)):
        return Revision(note)  # it only names the object, and says nothing new of it
    before: dict[str, Any] = json.loads(kept.fact.body)
    readdressed = not {*_ADDRESSED}.isdisjoint(cast("dict[str, Any]", object_))
    object_ = {name: value for name, value in before.items() if name in _KEPT} | cast("dict[str, Any]", object_)
    members["object"] = object_
    context = members.get("@context", _AS2)
    document = {"@context": context, **object_}
    audience = audience_of(read_document(document, origin=site.origin))
    public = (audience.is_public or None) if readdressed else kept.fact.members.get("public")
    writes: list[Write] = [
        Put(kept.entry.key, encode_record(dict(kept.fact.members) | {"public": public}, wire_body(document)))
    ]
    create_uri = kept.fact.optional("create")
    [create] = (None,) if create_uri is None else (yield from Get((object_key(create_uri),)))
    checks = [Check(kept.entry.key, kept.entry.version)]
    if create is not None and create_uri is not None:
        fact = decode_record(create.value)
        addressed = {name: object_[name] for name in _ADDRESSED if readdressed and name in object_}
        announced = json.loads(fact.body) | {"@context": context, "object": object_} | addressed
        checks.append(Check(create.key, create.version))
        writes.append(Put(create.key, encode_record(dict(fact.members) | {"public": public}, wire_body(announced))))
        moved = (yield from _listed(site, note.by, create_uri, audience, now)) if readdressed else None
        if moved is not None:
            checks += moved.checks
            writes += moved.writes
    return Revision(
        evolve(note, activity=read_document(members, origin=site.origin)),
        MembershipChange(tuple(checks), tuple(writes)),
    )


def _listed(site: Site, by: str, create: str, audience: Audience, now: datetime) -> Op[MembershipChange | None]:
    """Have the outbox hold a Create if it is public, and not if it is unlisted or for some."""
    outbox = site.federation.places.uri(site.origin, "collection", "outbox", identifier=by)
    if audience.visibility is not Visibility.PUBLIC:
        return (yield from remove_member(outbox, create))
    return (yield from put_member(outbox, Member(create), order=f"{to_epoch_ms(now):014d}{digest_part(create)[:8]}"))


def _deleted(site: Site, note: SendActivity, kept: _Kept, now: datetime) -> Op[MembershipChange]:
    before: dict[str, Any] = json.loads(kept.fact.body)
    tombstone = {
        "@context": _AS2,
        "id": kept.uri,
        "type": Tombstone.type_name,
        "formerType": before.get("type"),
        "deleted": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    about = dict(kept.fact.members) | {"gone": True}
    checks: list[Check] = [Check(kept.entry.key, kept.entry.version)]
    writes: list[Write] = [Put(kept.entry.key, encode_record(about, wire_body(tombstone)))]
    create = kept.fact.optional("create")
    if create is not None:
        outbox = site.federation.places.uri(site.origin, "collection", "outbox", identifier=note.by)
        change = yield from remove_member(outbox, create)
        if change is not None:
            checks += change.checks
            writes += change.writes
        writes.append(DeleteEntry(object_key(create)))
    return MembershipChange(tuple(checks), tuple(writes))
