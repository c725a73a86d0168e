"""Add interactions to the collections of our objects and actors, and take them back.

Each collection has two managed collections: one of all members, and one of those that everyone may see
(`apcore.federation.interactions.statements.public_part`). The second is served. A record for each interaction holds its
memberships, so that an Undo or a Delete finds them by the id alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from apcore.collections.records import MEMBERSHIPS, MembershipKey
from apcore.effects import Get, Op
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.interactions.records import (
    INTERACTIONS,
    InteractionKey,
    InteractionRecord,
    decode_item,
    encode_item,
)
from apcore.federation.interactions.statements import (
    COLLECTION_RULES,
    Interaction,
    object_collection,
    public_part,
    read_undone,
)
from apcore.federation.outbox.readers import is_among
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.received_writes import WriteEntry
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.routes import OBJECT_COLLECTIONS
from apcore.federation.site import Site
from apcore.federation.write_notes import AddMember, PendingWrite, RemoveMember
from apcore.vocab import Activity, Undo

__all__ = [
    "REACTIONS_MAX",
    "Membership",
    "add_interactions",
    "collection_address",
    "collection_members",
    "find_collection",
    "find_interaction",
    "find_object",
    "memberships_of",
    "remove_interaction",
    "take_back",
]

REACTIONS_MAX: Final = 20
"""The most different emoji with which one actor may react to an object."""
Membership: TypeAlias = tuple[str, str]
"""The address of a collection, and the id of the member."""


def collection_members(site: Site, object_id: str) -> dict[str, str]:
    """Return the members of a published object that name its collections, as far as their side effects are on."""
    addresses = {name: collection_address(site, object_id, name) for name in OBJECT_COLLECTIONS}
    return {name: address for name, address in addresses.items() if address is not None}


def collection_address(site: Site, object_id: str, name: str) -> str | None:
    """Return the address of a collection of a published object.

    The result is None if objects have no such collection, or if its side effect is replaced or switched off.
    """
    rule = COLLECTION_RULES.get(name)
    if rule is None or not site.federation.side_effects.is_default(rule):
        return None
    return object_collection(site.federation.places, site.origin, object_id, name)


def find_object(site: Site, object_id: str, actor: str) -> Op[ObjectRecord | IgnoredReason | None]:
    """Return our published object with which ``actor`` may interact, or the reason why it may not.

    The result is None if ``object_id`` is not the id of a published object of ours.

    Effects: up to four `Get`s.
    """
    places, origin = site.federation.places, site.origin
    place = places.read(origin, object_id)
    if place is None or place.target.kind != "managed" or place.target.name != "objects":
        return None
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(object_id)),))
    record = None if entry is None else OBJECTS.decode(entry.value)
    if record is None or record.uri != object_id or record.is_gone:
        return IgnoredReason.NO_OBJECT
    if not record.is_public and not (yield from is_among(site, record, actor)):
        return IgnoredReason.NOT_VISIBLE
    relation = yield from read_relation(places, Direction.INBOUND, record.owner, actor)
    if relation is not None and relation.state is RelationState.BLOCKED:
        return IgnoredReason.BLOCKED
    return record


def find_collection(site: Site, interaction: Interaction, actor: str) -> Op[str | IgnoredReason | None]:
    """Return the collection of our object that ``actor`` may add to, or the reason why it may not.

    The result is None if the object is not a published object of ours.

    Effects: those of `find_object`, and one `Get` for a reaction.
    """
    target = yield from find_object(site, interaction.target, actor)
    collection = object_collection(site.federation.places, site.origin, interaction.target, interaction.collection)
    if target is None or isinstance(target, IgnoredReason) or collection is None:
        return target if isinstance(target, IgnoredReason) else None
    if interaction.rule == "emoji-react":
        used = yield from find_interaction(actor, collection)
        if used is not None and interaction.member not in used.members and len(used.members) >= REACTIONS_MAX:
            return IgnoredReason.TOO_MANY
    return collection


def memberships_of(site: Site, interaction: Interaction, *, sender: str | None = None) -> list[Membership]:
    """Return the memberships that an interaction adds. ``sender`` is the identifier of our actor, if it is ours."""
    memberships: list[Membership] = []
    collection = object_collection(site.federation.places, site.origin, interaction.target, interaction.collection)
    if collection is not None:
        memberships.append((collection, interaction.member))
    if sender is not None and interaction.rule == "like":
        memberships.append((site.collection_uri("liked", sender), interaction.target))
    return memberships


def add_interactions(
    interactions: Sequence[tuple[Interaction, Sequence[Membership]]], actor: str
) -> Op[list[PendingWrite]]:
    """Return the notes that add the interactions of one activity of ``actor``, each with its memberships.

    Memberships that the same id had before, for instance in the ``replies`` of another object, end.

    Effects: one `Get` for the id, and one for each membership.
    """
    if not interactions:
        return []
    first, _ = interactions[0]
    earlier = yield from find_interaction(actor, first.id)
    notes = [] if earlier is None else _removals(earlier)
    collections: list[str] = []
    members: list[str] = []
    for interaction, memberships in interactions:
        for collection, member in memberships:
            collections.append(collection)
            members.append(member)
            notes += yield from _add_member(interaction, collection, member, actor)
            if interaction.rule == "emoji-react":
                notes += yield from _count_emoji(interaction, collection, actor)
    record = InteractionRecord(
        actor=actor,
        id=first.id,
        rule=first.rule,
        target=first.target,
        collections=tuple(collections),
        members=tuple(members),
    )
    return [*notes, WriteEntry(INTERACTIONS.put(InteractionKey.of(actor, first.id), record))]


def find_interaction(actor: str, interaction_id: str) -> Op[InteractionRecord | None]:
    """Return the record of an interaction of ``actor``; None if there is none. Effects: one `Get`."""
    [entry] = yield from Get((INTERACTIONS.key(InteractionKey.of(actor, interaction_id)),))
    record = None if entry is None else INTERACTIONS.decode(entry.value)
    # Keys are digests, so the ids in the record settle which interaction it is.
    return None if record is None or (record.actor, record.id) != (actor, interaction_id) else record


def remove_interaction(record: InteractionRecord) -> list[PendingWrite]:
    """Return the notes that take an interaction back."""
    return [*_removals(record), WriteEntry(INTERACTIONS.delete(InteractionKey.of(record.actor, record.id)))]


def take_back(site: Site, activity: Activity, actor: str, *, sender: str | None = None) -> Op[list[PendingWrite]]:
    """Return the notes that take back what an Undo or a Delete of ``actor`` names, by its id or embedded.

    The result is empty if it names no interaction of this actor. ``sender`` is as for `memberships_of`.

    Effects: one `Get`.
    """
    object_id = None if activity.object is None else activity.object.uri
    record = None if object_id is None else (yield from find_interaction(actor, object_id))
    if record is not None and record.collections:
        undo_rule = f"{'' if sender is None else 'sent-'}undo-{record.rule}"
        # The row of an Undo that names only the id is `undo`. The application may have chosen for the undone type.
        return remove_interaction(record) if site.federation.side_effects.is_default(undo_rule) else []
    undone = read_undone(activity, actor) if activity.document.is_a(Undo) else []
    return [
        note
        for interaction in undone
        for collection, member in memberships_of(site, interaction, sender=sender)
        for note in _removals_of(collection, member)
    ]


def _read_membership(collection: str, member: str) -> Op[str | None]:
    """Return the id of the interaction that added a member; None if there is no such member. Effects: one `Get`."""
    [entry] = yield from Get((MEMBERSHIPS.key(MembershipKey.of(collection, member)),))
    stored = MEMBERSHIPS.read_optional(entry)
    return None if stored is None else decode_item(stored.record.body)


def _add_member(interaction: Interaction, collection: str, member: str, actor: str) -> Op[list[PendingWrite]]:
    item, public = encode_item(interaction.id), public_part(collection)
    notes: list[PendingWrite] = [
        AddMember(collection, member, item),
        AddMember(public, member, item) if interaction.is_public else RemoveMember(public, member),
    ]
    earlier_id = yield from _read_membership(collection, member)
    if earlier_id not in {None, interaction.id}:
        # The actor likes the object again under a new id. Without this, each repetition would leave a record.
        notes.append(WriteEntry(INTERACTIONS.delete(InteractionKey.of(actor, earlier_id or ""))))
    return notes


def _count_emoji(interaction: Interaction, collection: str, actor: str) -> Op[list[PendingWrite]]:
    """Return the note of the emoji that an actor has used on an object. An Undo does not make room for another one."""
    used = yield from find_interaction(actor, collection)
    members = () if used is None else used.members
    if interaction.member in members:
        return []
    record = InteractionRecord(
        actor=actor,
        id=collection,
        rule=interaction.rule,
        target=interaction.target,
        collections=(),
        members=(*members, interaction.member),
    )
    return [WriteEntry(INTERACTIONS.put(InteractionKey.of(actor, collection), record))]


def _removals(record: InteractionRecord) -> list[PendingWrite]:
    memberships = zip(record.collections, record.members, strict=False)
    return [note for collection, member in memberships for note in _removals_of(collection, member)]


def _removals_of(collection: str, member: str) -> list[PendingWrite]:
    return [RemoveMember(collection, member), RemoveMember(public_part(collection), member)]
