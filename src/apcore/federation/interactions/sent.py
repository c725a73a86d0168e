"""Apply the side effects of activities that are sent to the collections of our actors and objects.

Relations are changed by `apcore.federation.relations.changes`, and published objects by
`apcore.federation.outbox.edit`. This module adds the other changes of the table, and calls the application's handlers
that replace rows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apcore.effects import Call, Op
from apcore.errors import ContractError
from apcore.federation.context import UnitContexts
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.interactions.changes import (
    Membership,
    add_interactions,
    find_collection,
    memberships_of,
    take_back,
)
from apcore.federation.interactions.contexts import find_context
from apcore.federation.interactions.quotes import approve_quote
from apcore.federation.interactions.statements import Interaction, public_part, read_interactions, read_reply
from apcore.federation.interactions.targets import CollectionChange, changed_collections, managed_owner
from apcore.federation.side_effect_rules import is_vote
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import PendingWrite, PublishObject, RemoveMember, SendActivity
from apcore.http import same_origin
from apcore.vocab import Activity, Create, Delete, Undo, read_document, to_wire

__all__ = ["apply_sent_effects"]


def apply_sent_effects(site: Site, scope: UnitOfWork[Any]) -> Op[list[PendingWrite]]:
    """Return the notes of ``scope``, with the notes that follow from the activities and objects that are sent.

    Effects: for a row that the application has replaced, its handler; else up to five `Get`s for each Like, Announce,
    reply, Undo or Delete.

    Raises:
        ContractError: An actor of ours undoes an activity of another actor, or adds to a collection of ours that it
            does not have.
    """
    notes: list[PendingWrite] = []
    own_count = len(scope.notes)
    # A handler that replaces a row appends to the notes. What it sends has the default effects, so it ends.
    for number, note in enumerate(scope.notes):
        if isinstance(note, SendActivity) and note.has_effects:
            approved_note, stamp_notes = yield from approve_quote(site, scope, note)
            notes += [*stamp_notes, approved_note]
        else:
            notes.append(note)
        if isinstance(note, RemoveMember) and _is_object_collection(site, note.collection):
            notes.append(RemoveMember(public_part(note.collection), note.item))
        if isinstance(note, SendActivity):
            _check_own(Activity.over(note.activity), site.actor_uri(note.by))
            if number < own_count:
                yield from _call_replacement(site, scope, note)
            if note.has_effects:
                notes += yield from _effects_of(site, note)
        elif isinstance(note, PublishObject):
            create = _create_of(site, note)
            if number < own_count:
                yield from _call_replacement(site, scope, create)
            if site.federation.side_effects.is_default("sent-create") and not is_vote(create.activity):
                notes += yield from _publish_effects(site, note)
    return notes


def _is_object_collection(site: Site, collection: str) -> bool:
    place = site.federation.places.read(site.origin, collection)
    return place is not None and place.target.kind == "object-collection" and "#" not in collection


def _call_replacement(site: Site, scope: UnitOfWork[Any], note: SendActivity) -> Op[None]:
    choice = site.federation.side_effects.find_sent(note.activity)
    if choice is not None and choice.replacement is not None:
        members = {**to_wire(note.activity), "id": note.id, "actor": site.actor_uri(note.by)}
        view = choice.rule.activity.over(read_document(members, origin=site.origin))
        _ = yield from Call(choice.replacement.fn, view, contexts_for=UnitContexts(scope))


def _create_of(site: Site, note: PublishObject) -> SendActivity:
    """Return the Create of a publication, as far as it is known before the publication."""
    members = to_wire(note.object)
    context = members.pop("@context", None)
    create = {"@context": context, "type": Create.type_name, "object": {**members, "id": note.id}}
    return SendActivity(read_document(create, origin=site.origin), note.by, ())


def _effects_of(site: Site, note: SendActivity) -> Op[list[PendingWrite]]:
    actor, document = site.actor_uri(note.by), note.activity
    if is_vote(document):
        return []  # It is counted when it is received, on this server too.
    changes = changed_collections(Activity.over(document))
    if changes:
        return _change_collections(site, changes, sender=note.by)
    if document.is_a(Undo) or document.is_a(Delete):
        return (yield from take_back(site, Activity.over(document), actor, sender=note.by))
    return (yield from _add(site, read_interactions(document, actor, note.id), actor, sender=note.by))


def _change_collections(site: Site, changes: Sequence[CollectionChange], *, sender: str) -> list[PendingWrite]:
    """Return the notes that change collections of ours. Those of other servers are theirs to change."""
    notes: list[PendingWrite] = []
    for change in changes:
        if not same_origin(change.collection, str(site.origin)):
            continue
        if managed_owner(site.federation.places, site.origin, change.collection) != sender:
            raise ContractError(
                f"{sender!r:.60} has no managed collection {change.collection}: register it with managed_collection"
            )
        notes += change.notes
    return notes


def _publish_effects(site: Site, note: PublishObject) -> Op[list[PendingWrite]]:
    is_public = note.addressing is not None and note.addressing.audience.is_public
    reply = read_reply(note.object, is_public, object_id=note.id)
    interactions = [] if reply is None else [reply]
    return (yield from _add(site, interactions, site.actor_uri(note.by), sender=note.by))


def _add(site: Site, interactions: Sequence[Interaction], actor: str, *, sender: str) -> Op[list[PendingWrite]]:
    """Return the notes that add interactions. An object of ours that may not be changed stays as it is."""
    additions: list[tuple[Interaction, list[Membership]]] = []
    for interaction in interactions:
        if not site.federation.side_effects.is_default(f"sent-{interaction.rule}"):
            continue  # The emoji of a Like belongs to another row.
        memberships = memberships_of(site, interaction, sender=sender)
        collection = yield from find_collection(site, interaction, actor)
        if isinstance(collection, IgnoredReason):
            memberships = memberships[1:]  # the first is that in the collection of our object
        context = yield from find_context(site, interaction, actor)
        if isinstance(context, str):
            memberships.append((context, interaction.member))
        if memberships:
            additions.append((interaction, memberships))
    return (yield from add_interactions(additions, actor))


def _check_own(activity: Activity, actor: str) -> None:
    """Refuse an Undo of another actor's activity. Its receivers would refuse it too."""
    undone = activity.object.embedded if activity.object is not None and activity.document.is_a(Undo) else None
    undone_actor = None if undone is None else Activity.over(undone).actor
    if undone_actor is not None and undone_actor.uri not in {None, actor}:
        raise ContractError(f"{actor} undoes an activity of {undone_actor.uri}: only its own actor can undo it")
