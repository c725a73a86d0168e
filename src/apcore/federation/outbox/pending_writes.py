"""From what a handler noted to the checks, writes and messages of one commit.

Everything that a handler wants goes into the same commit as the fact that it is done: members of collections, objects, outbox items, and
what is to be delivered. Delivery itself is only a fact here: who is to get it is found out by the worker.

Facts::

    ("obj", "1", H(id))          an object of ours, served at its id
    ("sent", "1", name)          what was sent, byte for byte as it will go out, as long as deliveries may be under way
    ("send", "1", name)          to whom, as far as that is not yet planned; its presence is the work that is left
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import define, field

from apcore.collections import Member, MembershipChange, add_member, put_member, remove_member
from apcore.effects import Get, Now, Op
from apcore.errors import ContractError
from apcore.federation.follow_relations import settle_relations
from apcore.federation.outbox.addressing import addressing_of
from apcore.federation.outbox.edit import object_key, revise, wire_body
from apcore.federation.site import Site
from apcore.federation.unit_of_work import (
    AddMember,
    PendingWrite,
    PublishObject,
    RelationUpdate,
    RemoveMember,
    SendActivity,
    UnitOfWork,
    WriteEntry,
)
from apcore.federation.wake_ups import FANOUT, make_wake
from apcore.http import Origin
from apcore.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    VALUE_BYTES_MAX,
    Check,
    Increment,
    Message,
    Put,
    StoreKey,
    Write,
    digest_part,
)
from apcore.records.format import decode_record, encode_record, key_name, to_epoch_ms
from apcore.vocab import PUBLIC_FORMS, Activity, Create, Visibility, audience_of, read_document, to_wire

__all__ = [
    "ACTIVITY_BYTES_MAX",
    "FANOUT",
    "SENT_KEPT_S",
    "Flushed",
    "flush",
    "merged",
    "send_message",
]

ACTIVITY_BYTES_MAX: Final = 1024 * 1024
"""What an inbox takes, ours and others'."""
SENT_KEPT_S: Final = 10 * 86400.0
"""How long what was sent is kept for deliveries: three days of retries, and a week for queues that stood still."""


@define
class Flushed:
    """Part of a commit."""

    checks: list[Check] = field(factory=list[Check])
    writes: list[Write] = field(factory=list[Write])
    messages: list[Message] = field(factory=list[Message])

    def take(self, change: MembershipChange) -> None:
        """Take in a change of a collection."""
        self.checks += change.checks
        self.writes += change.writes


def flush(site: Site, scope: UnitOfWork[Any]) -> Op[Flushed]:
    """Turn the notes of ``scope`` into part of a commit, in their order.

    Asks for: `Now`, one `Get` for each item that is put in or taken out and for each id that the application has
    chosen, and what `settle_relations` and `revise` ask for.

    Raises:
        ContractError: More than one commit can hold, or a note that contradicts itself (an activity with another actor than its sender).
    """
    now = yield from Now()
    settled = yield from settle_relations(site.federation.places, site.origin, scope.notes)
    flushed = Flushed(checks=list(settled.checks))
    for note in _last_words(settled.notes):
        match note:
            case AddMember():
                # Minted in any case: a handler that runs again mints the same names again, whatever others did meanwhile.
                order = _order(now, scope)
                change = yield from put_member(note.collection, Member(note.item, note.kept), order=order)
                if change is not None:
                    flushed.take(change)
            case RemoveMember():
                change = yield from remove_member(note.collection, note.item)
                if change is not None:
                    flushed.take(change)
            case SendActivity():
                yield from _check_kept(site, note)
                revision = yield from revise(site, note, now)
                flushed.take(revision.change)
                _send(site, scope, revision.note, now, flushed)
            case PublishObject():
                yield from _check_new(note)
                _publish(site, scope, note, now, flushed)
            case WriteEntry():
                flushed.writes.append(note.write)
            case RelationUpdate():
                raise ContractError(f"a relation update was not settled: {note}")
    flushed.checks = list(dict.fromkeys(flushed.checks))
    flushed.writes = merged(flushed.writes)
    _check_size(flushed.writes)
    return flushed


def merged(writes: Iterable[Write]) -> list[Write]:
    """Leave one write a key: additions add up, and of other writes the last counts."""
    merged: dict[StoreKey, Write] = {}
    for write in writes:
        before = merged.get(write.key)
        if isinstance(write, Increment) and isinstance(before, Increment):
            merged[write.key] = Increment(write.key, before.delta + write.delta)
        else:
            merged[write.key] = write
    return list(merged.values())


def _check_size(writes: Sequence[Write]) -> None:
    if len(writes) > COMMIT_KEYS_MAX - 5:
        raise ContractError(
            f"a handler wants {len(writes)} entries written at once; a commit holds {COMMIT_KEYS_MAX - 5}"
        )
    sizes = [len(write.value) for write in writes if isinstance(write, Put)]
    if max(sizes, default=0) > VALUE_BYTES_MAX or sum(sizes) > COMMIT_BYTES_MAX - VALUE_BYTES_MAX:
        raise ContractError(
            f"a handler wants {sum(sizes)} bytes written at once, at most {max(sizes)} in one entry; "
            f"a commit holds {COMMIT_BYTES_MAX - VALUE_BYTES_MAX}, and an entry {VALUE_BYTES_MAX}"
        )


def send_message(name: str, ident: bytes, *, by: Origin | str, about: str | None) -> Message:
    """Make the wake-up for planning a sending ``by`` an origin of ours, in line with those ``about`` one object."""
    key = ("send", "1", name)
    return make_wake(FANOUT, key, ident, by=by, group=about or key_name(key))


def _last_words(notes: Sequence[PendingWrite]) -> list[PendingWrite]:
    """Leave out what was noted about an item before the last word about it: a commit has one write a key."""
    seen: set[tuple[str, str]] = set()
    kept: list[PendingWrite] = []
    for note in reversed(notes):
        if isinstance(note, AddMember | RemoveMember):
            about = (note.collection, note.item)
            if about in seen:
                continue
            seen.add(about)
        kept.append(note)
    return kept[::-1]


def _order(now: datetime, scope: UnitOfWork[Any]) -> str:
    """A string that sorts by time, ended by chance."""
    return f"{to_epoch_ms(now):014d}{scope.mint()[:8]}"


def _send(site: Site, scope: UnitOfWork[Any], note: SendActivity, now: datetime, flushed: Flushed) -> None:
    """Add the facts that make an activity leave."""
    activity, actor = note.activity, site.actor_uri(note.by)
    members = to_wire(activity)
    said = members.get("actor", actor)
    if said != actor:
        raise ContractError(f"an activity sent by {note.by!r} has the actor {said!r:.200}, not {actor}")
    members["actor"] = actor
    name, wake = scope.mint(), scope.mint()
    _ = members.setdefault("id", note.id)
    body = wire_body(members)
    if len(body) > ACTIVITY_BYTES_MAX:
        raise ContractError(f"the activity {members['id']} has {len(body)} bytes; inboxes take {ACTIVITY_BYTES_MAX}")
    recipients = [uri for uri in dict.fromkeys(note.to) if uri not in PUBLIC_FORMS and uri != actor]
    about = {"origin": str(site.origin), "actor": actor, "id": members["id"], "created": to_epoch_ms(now)}
    flushed.checks.append(Check(("sent", "1", name), None))  # new for certain; it lets a commit be recognised
    flushed.writes.append(Put(("sent", "1", name), encode_record(about | {"key": note.key}, body), SENT_KEPT_S))
    if recipients:
        openly = audience_of(activity)
        # A shared inbox tells by the addresses who of its server is meant, so it is no use for who is not named there.
        direct = [uri for uri in recipients if uri not in {*openly.to, *openly.cc, *openly.audience}]
        object_ = activity.view(Activity).object if activity.is_a(Activity) else None
        line = digest_part(str(members["id"] if object_ is None or object_.uri is None else object_.uri))
        # By time, and within one commit as they were asked for.
        order = f"{to_epoch_ms(now):014d}{len(flushed.messages):03d}"
        left = {"to": recipients, "direct": direct or None, "about": line, "order": order}
        flushed.writes.append(Put(("send", "1", name), encode_record(about | left)))
        flushed.messages.append(send_message(name, wake.encode()[:16], by=site.origin, about=line))


def _check_new(note: PublishObject) -> Op[None]:
    """Refuse an id that the application has chosen for a second object."""
    if note.object.id is None:
        return
    [entry] = yield from Get((object_key(note.id),))
    if entry is not None:
        raise ContractError(f"{note.id} is published already: send an Update to change it")


def _check_kept(site: Site, note: SendActivity) -> Op[None]:
    """Refuse an id among managed activities under which none of this actor is kept: nothing would be served."""
    place = site.federation.places.read(site.origin, note.activity.id or "")
    if place is None or place.target.kind != "managed":
        return
    [entry] = yield from Get((object_key(note.id),))
    if entry is None or decode_record(entry.value).optional("owner") != site.actor_uri(note.by):
        raise ContractError(f"nothing of {note.by!r:.60} is kept at {note.id}: leave the id out, and one is made")


def _publish(site: Site, scope: UnitOfWork[Any], note: PublishObject, now: datetime, flushed: Flushed) -> None:
    """Mint ids, keep object and Create, append what is public to the outbox, send."""
    places, actor = site.federation.places, site.actor_uri(note.by)
    followers = places.uri(site.origin, "collection", "followers", identifier=note.by)
    outbox = places.uri(site.origin, "collection", "outbox", identifier=note.by)
    addressing = addressing_of(audience_of(note.object), note.to, followers=followers)
    published = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    object_members = to_wire(note.object)
    context = object_members.pop("@context", None)
    author = object_members.get("attributedTo", actor)
    if author not in (actor, [actor]):
        raise ContractError(f"an object published by {note.by!r:.60} is attributed to {author!r:.200}, not {actor}")
    addressed = addressing.members
    object_members = {"id": note.id, "attributedTo": actor, "published": published} | object_members | addressed
    create_members: dict[str, Any] = {
        "@context": context,
        "id": scope.mint_managed("activities", note.by),
        "type": Create.type_name,
        "actor": actor,
        "published": published,
        **addressed,
        "object": object_members,
    }
    is_public = addressing.audience.is_public or None
    for members in ({"@context": context, **object_members}, create_members):
        about = {"id": members["id"], "owner": actor, "public": is_public}
        if members is not create_members:
            about["create"] = create_members["id"]
        flushed.writes.append(Put(object_key(str(members["id"])), encode_record(about, wire_body(members))))
    if addressing.audience.visibility is Visibility.PUBLIC:
        # The outbox says how many there are, so it has only what everyone may know of.
        flushed.take(add_member(outbox, Member(str(create_members["id"])), order=_order(now, scope)))
    create = read_document(create_members, origin=site.origin)
    _send(site, scope, SendActivity(create, note.by, addressing.recipients, create_members["id"]), now, flushed)
