"""Change an actor of ours when its Move, Delete or Update is sent, in the same commit.

- A Move of the actor stores the new account, which is then in the served document as `movedTo`. It is refused unless
  the new account confirms it.
- A Delete of the actor stores its deletion. From then on it is served as a tombstone, and can send nothing more. The
  Delete goes to its followers, to the actors that it follows, and to those with a request, in both directions. Its keys
  stay until the last delivery has ended, and a worker retires them then.
- An Update that only names the actor gets its document, as it is served after the commit.

None of these may be about another actor of ours. Each commit of an actor that sends also checks that the actor has not
changed meanwhile, so nothing is sent after the Delete. Nor does a received activity change the relations of a deleted
actor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field

from apcore.effects import Get, Op
from apcore.errors import ContractError, RemoteError
from apcore.federation.actors.documents import actor_document
from apcore.federation.actors.generations import GenerationAction
from apcore.federation.actors.keys import own_keys, read_key_ring
from apcore.federation.actors.moves import confirm_move
from apcore.federation.actors.profiles import application_view, with_stored
from apcore.federation.actors.records import (
    KEY_RETIREMENTS,
    OWN_ACTORS,
    KeyRetirement,
    KeyRetirementKey,
    OwnActorKey,
    OwnActorRecord,
)
from apcore.federation.relations.stored import own_requests_collection, requests_collection
from apcore.federation.site import Site
from apcore.federation.time_limits import SENT_KEPT_S
from apcore.federation.write_notes import ChangeActor, PendingWrite, PublishObject, RelationUpdate, SendActivity
from apcore.ports import NO_CHANGE, Batch
from apcore.records import Stored
from apcore.vocab import Activity, Delete, Move, Tombstone, Update, View, read_document, to_wire

__all__ = ["settle_actor_changes"]


def settle_actor_changes(
    site: Site, notes: Sequence[PendingWrite], now: datetime
) -> Op[tuple[list[PendingWrite], Batch]]:
    """Apply the changes of our own actors among ``notes``; return the other notes, and a part of their commit.

    Effects: one `Get` for each actor that sends, or whose relations a received activity changes; for a Move, those of
    `confirm_move`; for an Update or a Delete, the actor's handler and those of `own_keys`; for a Delete, also a `Get`.

    Raises:
        ContractError: The actor is deleted, an activity is about another actor of ours, or a Move is not confirmed.
    """
    settling = _Settling(site, now)
    for note in notes:
        match note:
            case ChangeActor():
                yield from settling.change(note)
            case SendActivity():
                yield from settling.send(note)
            case PublishObject():
                _ = yield from settling.read_sender(note.by)
                settling.notes.append(note)
            case RelationUpdate(received=datetime()):
                # Planning finds those who get the Delete of an actor in its relations, so these stay as they are.
                if not (yield from settling.read(note.us)).is_deleted:
                    settling.notes.append(note)
            case _:
                settling.notes.append(note)
    return settling.notes, settling.batch


@define
class _Settling:
    """The notes that are settled so far, and our actors as they are after them."""

    site: Site
    now: datetime
    notes: list[PendingWrite] = field(factory=list[PendingWrite])
    stored: dict[str, Stored[OwnActorRecord, OwnActorKey] | None] = field(
        factory=dict[str, "Stored[OwnActorRecord, OwnActorKey] | None"]
    )
    records: dict[str, OwnActorRecord] = field(factory=dict[str, OwnActorRecord])
    """The records that are to be written, by the id of the actor."""
    keys: Batch = NO_CHANGE
    """The changes of the keys of deleted actors."""

    @property
    def batch(self) -> Batch:
        batch = self.keys
        for actor, stored in self.stored.items():
            key = OwnActorKey.of(actor)
            batch += Batch([OWN_ACTORS.absent(key) if stored is None else stored.check])
            if actor in self.records:
                batch += Batch(writes=[OWN_ACTORS.put(key, self.records[actor])])
        return batch

    def read(self, actor: str) -> Op[OwnActorRecord]:
        """Return the record of an actor after the notes so far."""
        if actor not in self.stored:
            [entry] = yield from Get((OWN_ACTORS.key(OwnActorKey.of(actor)),))
            self.stored[actor] = OWN_ACTORS.read_optional(entry)
        stored = self.stored[actor]
        return self.records.get(actor) or (OwnActorRecord(actor=actor) if stored is None else stored.record)

    def read_sender(self, identifier: str) -> Op[OwnActorRecord]:
        record = yield from self.read(self.site.actor_uri(identifier))
        if record.is_deleted:
            raise ContractError(f"{identifier!r:.60} is deleted, so it sends and publishes nothing any more")
        return record

    def change(self, note: ChangeActor) -> Op[None]:
        record = yield from self.read_sender(note.by)
        if note.also_known_as is not None:
            record = evolve(record, also_known_as=note.also_known_as)
        self.records[record.actor] = evolve(record, moved_to=None) if note.cancels_move else record

    def send(self, note: SendActivity) -> Op[None]:
        record = yield from self.read(self.site.actor_uri(note.by))
        is_about_itself = _check_subject(self.site, note)
        if record.is_deleted and is_about_itself and note.activity.is_a(Delete):
            return  # it is deleted already, and its Delete is sent
        _ = yield from self.read_sender(note.by)
        if is_about_itself and note.activity.is_a(Move):
            yield from self._move(note, record)
        elif is_about_itself and note.activity.is_a(Delete):
            note = yield from self._delete(note, record)
        elif is_about_itself and note.activity.is_a(Update):
            note = yield from self._embed(note, record)
        self.notes.append(note)

    def _move(self, note: SendActivity, record: OwnActorRecord) -> Op[None]:
        targets = [reference.uri for reference in Activity.over(note.activity).targets]
        target = targets[0] if len(targets) == 1 else None
        if target is None:
            raise ContractError(f"a Move of {record.actor} has exactly one target, the new account")
        try:
            yield from confirm_move(self.site, actor=record.actor, target=target)
        except RemoteError as error:
            raise ContractError(f"{record.actor} cannot move to {target}: {error}") from error
        self.records[record.actor] = evolve(record, moved_to=target)

    def _delete(self, note: SendActivity, record: OwnActorRecord) -> Op[SendActivity]:
        site, retire_at = self.site, self.now + timedelta(seconds=SENT_KEPT_S)
        view = yield from application_view(site, note.by)
        self.records[record.actor] = evolve(record, deleted=self.now, former_type=_former_type(view))
        # Without keys, the Delete could not be signed, and keys that are made later would never be retired.
        _ = yield from own_keys(site, record.actor)
        ring = yield from read_key_ring(record.actor)
        if ring is None:
            raise ContractError(f"the keys of {record.actor} were committed, but the store does not return them")
        closed_ring, actions = ring.close(retire_at=retire_at, now=self.now)
        self.keys += Batch([ring.unchanged_check], [closed_ring.to_put()])
        if GenerationAction.SCHEDULE_RETIREMENT in actions:
            names = tuple(key.name for key in ring.keys if key.until is None)
            retirement_key = KeyRetirementKey.of(retire_at, record.actor, ring.generation)
            self.keys += Batch(
                writes=[KEY_RETIREMENTS.put(retirement_key, KeyRetirement(actor=record.actor, names=names))]
            )
        # The collections are read when the Delete is planned, so a Follow that is committed meanwhile counts too.
        collections = [site.collection_uri(name, note.by) for name in ("followers", "following")]
        collections += [requests_collection(record.actor), own_requests_collection(record.actor)]
        return note.add_recipients(collections)

    def _embed(self, note: SendActivity, record: OwnActorRecord) -> Op[SendActivity]:
        object_ = Activity.over(note.activity).object
        if object_ is None or object_.embedded is not None:
            return note
        view = yield from application_view(self.site, note.by)
        if view is None or isinstance(view, Tombstone):
            raise ContractError(f"{note.by!r:.60} has no document for its Update: its handler returned {view!r:.60}")
        keys = yield from own_keys(self.site, record.actor)
        document = actor_document(self.site, note.by, with_stored(view, record), keys)
        members: dict[str, Any] = to_wire(note.activity) | {
            "@context": document["@context"],
            "object": {name: value for name, value in document.items() if name != "@context"},
        }
        return evolve(note, activity=read_document(members, origin=self.site.origin))


def _check_subject(site: Site, note: SendActivity) -> bool:
    """Return whether an activity changes its own actor. Refuse one that changes another actor of ours."""
    if not any(map(note.activity.is_a, (Move, Delete, Update))):
        return False
    actor = site.actor_uri(note.by)
    objects = [reference.uri for reference in Activity.over(note.activity).objects]
    for uri in objects:
        if uri is not None and uri != actor and (uri == site.instance_uri or site.identifier_of(uri) is not None):
            raise ContractError(f"{note.by!r:.60} must not change {uri}: only that actor can, so send it by that actor")
    return objects == [actor]


def _former_type(view: View | None) -> str | None:
    if view is None:
        return None
    if isinstance(view, Tombstone):
        return next(iter(view.former_type), None)
    return next(iter(view.types), None)
