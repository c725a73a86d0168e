"""Apply received Updates, Deletes, Adds and Removes to cached copies and to managed collections.

A managed collection of ours changes if its owner, or an actor that the application's policy permits, says so. Of the
collections of other servers, cached copies are dropped.

An Update or Delete of the actor itself also changes the relations with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from apcore.effects import Now, Op, RandomBytes, commit_batch
from apcore.errors import DocumentError, RequestError, StoreBusy
from apcore.federation.actors.keys import existing_identity
from apcore.federation.actors.profiles import inboxes_in
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.inbox.delivered_copies import bury_document
from apcore.federation.inbox.received_activity import Received
from apcore.federation.interactions.targets import CollectionChange, changed_collections, managed_owner
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.outbox.records import encode_inboxes
from apcore.federation.received_writes import WriteBatch, WriteEntry
from apcore.federation.refreshing import refresh_message
from apcore.federation.relations.stored import relations_of, remember_deleted_actor
from apcore.federation.relations.table import Direction, RelationEvent
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import RelationUpdate
from apcore.http import same_origin
from apcore.ports import Batch, StoreKey
from apcore.remote import cached_owners, changed_document
from apcore.vocab import Reference, Update, same_id

__all__ = ["change_collection", "drop_copies", "forget_deleted", "refresh_changed"]

_RELATIONS_A_COMMIT: Final = 10
"""The most relations that one commit changes. Each takes up to seven of the hundred entries of a commit."""
_COMMITS_MAX: Final = 200
"""The most commits that change the relations of one actor: 2,000 relations.

The other relations of a deleted actor stay, but nothing is delivered to it, because it is remembered as gone. The other
relations of an actor with a new inbox get the new inbox when the old one does not answer."""
_COMMIT_ATTEMPTS_MAX: Final = 5
_CHANGED_MAX: Final = 20
"""The most objects of one activity whose cached copies are dropped."""
_REFRESHED_AFTER_S: Final = 1.0
"""The delay of a refresh after an Update. A copy from the same moment as the Update could be the old one."""
_LOG: Final = logging.getLogger(__name__)


def drop_copies(received: Received, references: Sequence[Reference], *, gone: bool = False) -> Op[None]:
    """Invalidate the cached copies of documents that the activity changes; with ``gone``, that its actor ends.

    An Update that names a document without sending it has a worker refresh the copy.
    """
    site, actor = received.site, received.actor
    now = yield from Now()
    identity = yield from existing_identity(site)
    uris = dict.fromkeys(reference.uri for reference in references if reference.uri is not None)
    unsent = {reference.uri for reference in references if received.document.is_a(Update) and not reference.embedded}
    for uri in tuple(uris)[:_CHANGED_MAX]:
        try:
            owners = yield from cached_owners(uri, identity=identity)
            # `check_change` has checked the owner that the activity itself names. The owner in a copy from the object's
            # origin is better evidence, so it decides here.
            if owners and not received.is_permitted and not any(same_id(owner, actor) for owner in owners):
                _LOG.info(
                    "%s cannot change %.200s, which belongs to %.200s: the cached copy stays", actor, uri, owners[0]
                )
                continue
            received.scope.notes.append(WriteEntry(changed_document(uri, now)))
            if gone and not received.is_permitted:
                yield from bury_document(received, uri, owners, now)
            elif uri in unsent and owners is not None and identity is not None:
                # The copy of the instance actor is the one that handlers use.
                message_id = yield from RandomBytes(16)
                message = refresh_message(uri, identity.actor, message_id, by=site.origin, delay_s=_REFRESHED_AFTER_S)
                received.scope.notes.append(WriteBatch(Batch(messages=(message,))))
        except RequestError:
            continue  # An id that is no address was never fetched, so there is no copy.


def change_collection(received: Received) -> Op[None]:
    """Change the target collections of an Add or a Remove, or take the change back.

    Effects: those of `drop_copies` for collections of other servers, else none.
    """
    for change in changed_collections(received.activity):
        if _is_here(received, change):
            _change_managed(received, change)
        elif received.is_permitted or same_origin(change.collection, received.actor):
            yield from drop_copies(received, [Reference(change.collection)])
        else:
            received.log_ignored(IgnoredReason.NOT_OWN, change.collection)


def refresh_changed(received: Received) -> Op[None]:
    """Drop the copies of updated objects, and store the new inboxes of an actor that updates itself."""
    yield from drop_copies(received, received.activity.objects)
    own_reference = next(
        (reference for reference in received.activity.objects if _is_actor_itself(received, reference)), None
    )
    if own_reference is None or own_reference.embedded is None:
        return
    try:
        item = encode_inboxes(inboxes_in(own_reference.embedded))
    except (DocumentError, RequestError):
        return  # The Update names no inbox, or none that is an address: the stored one stays.
    yield from _change_relations_of(received, RelationEvent.REFRESH, item=item)


def forget_deleted(received: Received) -> Op[None]:
    """Drop the copies of deleted objects, and end all relations with an actor that deletes itself."""
    yield from drop_copies(received, received.activity.objects, gone=True)
    if received.is_permitted or not any(
        _is_actor_itself(received, reference) for reference in received.activity.objects
    ):
        return
    received.scope.notes.append(WriteEntry(remember_deleted_actor(received.actor)))
    yield from _change_relations_of(received, RelationEvent.END)
    # A relation in the format of an earlier release has no key under the other actor. It is reached only through the
    # actor whose inbox received the Delete.
    recipient = received.scope.recipient
    if recipient is not None:
        us = received.site.actor_uri(recipient)
        received.scope.notes += [
            RelationUpdate(direction, us, received.actor, RelationEvent.END, received=received.scope.received)
            for direction in Direction
        ]


def _is_actor_itself(received: Received, reference: Reference) -> bool:
    return reference.uri is not None and same_id(reference.uri, received.actor)


def _change_relations_of(received: Received, event: RelationEvent, *, item: bytes = b"") -> Op[None]:
    """Apply an event to all relations with the activity's actor. Each commit changes a few: there may be thousands.

    With ``item``, skip the relations in which our actor follows, and those that store this item already.
    """
    after: StoreKey | None = None
    for _ in range(_COMMITS_MAX):
        updates, after = yield from relations_of(
            received.actor, event, item=item, after=after, limit=_RELATIONS_A_COMMIT
        )
        yield from _commit_updates(received.site, updates)
        if after is None:
            break


def _commit_updates(site: Site, updates: Sequence[RelationUpdate]) -> Op[None]:
    """Commit the change of a few relations. If one of them changes meanwhile, try again, up to five times in all."""
    for _ in range(_COMMIT_ATTEMPTS_MAX):
        scope = unit_of_work_for(site)
        scope.notes.extend(updates)
        batch = yield from flush(site, scope)
        if not batch.writes:
            return
        if (yield from commit_batch(batch)) is not False:
            return
    raise StoreBusy(
        f"relations with one actor changed during each of {_COMMIT_ATTEMPTS_MAX} commits that change them: "
        "try again later"
    )


def _is_here(received: Received, change: CollectionChange) -> bool:
    return same_origin(change.collection, str(received.site.origin))


def _change_managed(received: Received, change: CollectionChange) -> None:
    site = received.site
    identifier = managed_owner(site.federation.places, site.origin, change.collection)
    if identifier is None:
        received.log_ignored(IgnoredReason.NO_OBJECT, change.collection)
    elif received.is_permitted or same_id(site.actor_uri(identifier), received.actor):
        received.scope.notes += change.notes
    else:
        received.log_ignored(IgnoredReason.NOT_OWN, change.collection)
