"""Turn the notes of a handler into the checks, writes and messages of one commit.

Everything that a handler writes is in one commit: members of collections, objects, outbox items and sendings. The same
commit records that the handler has run. No inbox is looked up here. A sending is only stored, and a worker plans its
deliveries later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from apcore.collections import Member, put_member, remove_member
from apcore.collections.order import order_at
from apcore.effects import Get, Now, Op
from apcore.errors import ContractError
from apcore.federation.interactions.sent import apply_sent_effects
from apcore.federation.outbox.actor_changes import settle_actor_changes
from apcore.federation.outbox.edit import revise, wire_body
from apcore.federation.outbox.forwarding import forward
from apcore.federation.outbox.publish import keep, publish, sent_members, withdraw
from apcore.federation.outbox.push_policy import is_pushed_widely, pushed_recipients
from apcore.federation.outbox.records import (
    OBJECTS,
    SENDINGS,
    SENT_ACTIVITIES,
    DigestKey,
    SendingKey,
    SendingRecord,
    SentRecord,
)
from apcore.federation.outgoing_options import apply_transformers
from apcore.federation.received_writes import ForwardActivity, WriteBatch, WriteEntry
from apcore.federation.relations.changes import settle_relations
from apcore.federation.relations.statements import read_statement
from apcore.federation.relays import is_for_relays, relays_for
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.wake_ups import FANOUT, make_wake
from apcore.federation.write_notes import (
    AddMember,
    ChangeActor,
    PendingWrite,
    PublishObject,
    RelationUpdate,
    RemoveMember,
    SendActivity,
)
from apcore.http import Origin
from apcore.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    NO_CHANGE,
    VALUE_BYTES_MAX,
    Batch,
    Message,
    Put,
    Write,
    digest_part,
)
from apcore.vocab import (
    Accept,
    Activity,
    Document,
    Flag,
    Reject,
    Undo,
)

__all__ = [
    "ACTIVITY_BYTES_MAX",
    "FANOUT",
    "flush",
    "send_message",
]

ACTIVITY_BYTES_MAX: Final = 1024 * 1024
"""The largest activity that inboxes accept, our own and those of other servers."""


def flush(site: Site, scope: UnitOfWork[Any]) -> Op[Batch]:
    """Turn the notes of ``scope``, in their order, into one part of a commit.

    Asks for: nothing without notes. Else `Now`, one `Get` for each item that is added or removed and for each id that
    the application has chosen, and the effects of `apply_sent_effects`, `settle_actor_changes`, `settle_relations`,
    `relays_for`, `revise` and `forward`.

    Raises:
        ContractError: The notes are more than one commit can hold, or one of them contradicts itself (an activity with
            another actor than its sender).
    """
    return (yield from _writes_of(site, scope)) if scope.notes else NO_CHANGE


def _writes_of(site: Site, scope: UnitOfWork[Any]) -> Op[Batch]:
    now = yield from Now()
    noted = yield from apply_sent_effects(site, scope)
    actor_notes, batch = yield from settle_actor_changes(site, noted, now)
    notes, relation_checks = yield from settle_relations(site.federation.places, site.origin, actor_notes)
    batch += relation_checks
    relays = yield from relays_for(site, notes)
    for number, note in enumerate(_without_superseded(notes)):
        match note:
            case AddMember():
                # The order is minted even if the item is a member already. So a handler that runs again mints the same
                # names again, whatever else has changed meanwhile.
                minted_order = _order(now, number, scope)
                order = minted_order if note.order is None else note.order
                batch += yield from put_member(note.collection, Member(note.item, note.value), order=order)
            case RemoveMember():
                batch += yield from remove_member(note.collection, note.item)
            case SendActivity():
                if not note.is_kept:
                    yield from _check_served(site, note)
                revised_note, revision = yield from revise(site, note, now)
                batch += revision
                batch += yield from withdraw(site, note)
                if note.is_kept:
                    batch += yield from keep(site, revised_note, order=_order(now, number, scope))
                batch += _send(site, scope, _with_relays(site, revised_note, relays), now, number=number)
            case PublishObject():
                create_id, order = scope.mint_managed("activities", note.by), _order(now, number, scope)
                create, publication = yield from publish(site, note, now, create_id=create_id, order=order)
                batch += publication
                batch += _send(site, scope, _with_relays(site, create, relays), now, number=number)
            case ForwardActivity():
                batch += yield from forward(site, scope, note, now, number=number)
            case WriteEntry():
                batch += Batch([note.check] if note.check else (), [note.write] if note.write else ())
            case WriteBatch():
                batch += note.batch
            case RelationUpdate() | ChangeActor():
                raise ContractError(f"a pending write was not settled: {note}")
    merged = batch.merged
    _check_size(merged.writes)
    return merged


def _with_relays(site: Site, note: SendActivity, relays: Sequence[str]) -> SendActivity:
    has_relays = bool(relays) and is_for_relays(note.activity) and is_pushed_widely(site, note)
    return note.add_recipients(relays) if has_relays else note


def _check_size(writes: Sequence[Write]) -> None:
    """Refuse writes that leave no room in the commit for the record of the handler itself."""
    keys_max, bytes_max = COMMIT_KEYS_MAX - 5, COMMIT_BYTES_MAX - VALUE_BYTES_MAX
    if len(writes) > keys_max:
        raise ContractError(
            f"a handler writes {len(writes)} entries at once, but a commit holds {keys_max}: do less in one handler"
        )
    sizes = [len(write.value) for write in writes if isinstance(write, Put)]
    if max(sizes, default=0) > VALUE_BYTES_MAX or sum(sizes) > bytes_max:
        raise ContractError(
            f"a handler writes {sum(sizes)} bytes at once, up to {max(sizes)} of them in one entry, but a commit holds "
            f"{bytes_max} and an entry {VALUE_BYTES_MAX}: do less in one handler"
        )


def send_message(name: str, ident: bytes, *, by: Origin | str, about: str | None) -> Message:
    """Make the message for planning a sending ``by`` an origin of ours, in the group of the object it is ``about``."""
    key = SENDINGS.key(SendingKey(name))
    return make_wake(FANOUT, key, ident, by=by, group=about)


def _without_superseded(notes: Sequence[PendingWrite]) -> list[PendingWrite]:
    """Return the notes without those about a member that a later note is about: a commit has one write per key."""
    members: set[tuple[str, str]] = set()
    remaining: list[PendingWrite] = []
    for note in reversed(notes):
        if isinstance(note, AddMember | RemoveMember):
            member = (note.collection, note.item)
            if member in members:
                continue
            members.add(member)
        remaining.append(note)
    return remaining[::-1]


def _order(now: datetime, number: int, scope: UnitOfWork[Any]) -> str:
    """Return a string that sorts by time, then by the position in the commit, and ends with random characters."""
    return f"{order_at(now, number)}{scope.mint()[:8]}"


def _send(site: Site, scope: UnitOfWork[Any], note: SendActivity, now: datetime, *, number: int) -> Batch:
    """Return the records of an activity and of its sending, and the message for planning it.

    ``number`` is the position of the note among the notes of the commit.
    """
    activity, actor, addressing = note.activity, site.actor_uri(note.by), note.addressing
    if addressing is None:
        raise ContractError(f"the activity {note.id} was not addressed")
    members = sent_members(site, note)
    name, message_name = scope.mint(), scope.mint()
    body = wire_body(apply_transformers(site.federation.transformers, members))
    if len(body) > ACTIVITY_BYTES_MAX:
        raise ContractError(
            f"the activity {members['id']} has {len(body)} bytes, but inboxes take at most {ACTIVITY_BYTES_MAX}"
        )
    recipients = [uri for uri in dict.fromkeys((*addressing.recipients, *note.inboxes)) if uri != actor]
    recipients = pushed_recipients(site, note, recipients)
    key, origin, activity_id = SendingKey(name), str(site.origin), str(members["id"])
    sent = SentRecord(origin=origin, actor=actor, activity_id=activity_id, created=now, key_name=note.key, body=body)
    # The minted name is new for certain. The check is there so that a repeated commit is recognised.
    batch = Batch([SENT_ACTIVITIES.absent(key)], [SENT_ACTIVITIES.put(key, sent)])
    if not recipients:
        return batch
    audience = addressing.audience
    is_about_relation = activity.is_a(Activity) and read_statement(Activity.over(activity)) is not None
    # A server learns from the addressing which of its actors a delivery to a shared inbox is for. So a recipient that
    # the activity does not name needs its own inbox. A Follow, its answer or a Block is for one actor, as Mastodon has
    # it: not every server looks for these at its shared inbox.
    named_uris = set[str]() if is_about_relation else {*audience.to, *audience.cc, *audience.audience}
    direct = [uri for uri in recipients if uri not in named_uris]
    line = digest_part(_subject(activity) or activity_id)
    sending = SendingRecord(
        origin=origin,
        actor=actor,
        activity_id=activity_id,
        created=now,
        recipients=tuple(recipients),
        inboxes=note.inboxes,
        direct=tuple(direct),
        # Reports go to the server of an actor that is often blocked at the same time.
        skips_blocked=not (is_about_relation or activity.is_a(Flag)),
        line=line,
        order=order_at(now, number),
    )
    return batch + Batch(
        writes=[SENDINGS.put(key, sending)],
        messages=[send_message(name, message_name.encode()[:16], by=site.origin, about=line)],
    )


def _subject(activity: Document) -> str | None:
    """Return the id of the subject of an activity. Activities with one subject are delivered in their order.

    The subject is the object. For an Undo, it is the subject of the undone activity, and for an answer to a Follow it
    is the follower: a Like and its Undo must not overtake each other, nor must a Follow and a Block of one actor.
    """
    reference = Activity.over(activity).object if activity.is_a(Activity) else None
    inner = None if reference is None else reference.embedded
    if inner is not None and inner.is_a(Activity):
        if activity.is_a(Undo):
            return _subject(inner) or inner.id
        if activity.is_a(Accept) or activity.is_a(Reject):
            reference = Activity.over(inner).actor or reference
    return None if reference is None else reference.uri


def _check_served(site: Site, note: SendActivity) -> Op[None]:
    """Refuse an id among managed activities where the actor has no stored object: nothing would be served there."""
    place = site.federation.places.read(site.origin, note.activity.id or "")
    if place is None or place.target.kind != "managed":
        return
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(note.id)),))
    stored = OBJECTS.read_optional(entry)
    if stored is None or stored.record.owner != site.actor_uri(note.by):
        raise ContractError(f"{note.by!r:.60} has no object at {note.id}: leave the id out, and one is made")
