"""Keep the objects that an activity delivers, and bury those that it ends, so that push and pull share one graph.

An activity carries objects of its actor. They are as good as fetched: the actor's key has signed them, and their ids
are on the actor's origin. So a later look at them costs no request. A copy for everyone is kept if the activity is for
everyone, else one for the actor of ours whose inbox got it, or for each that it names. An object that
comes to followers through the shared inbox is for none of them in particular, and is not kept.

An object that its owner deletes, and an activity that its actor undoes, leaves a tombstone. That takes proof of the
owner: the object is the actor itself, or a copy names its owner. Otherwise the copies only become stale.

All of it is written in the commit that marks the activity as processed. Keeping is no row of the table of side effects:
it holds whether or not the row of the activity is replaced or switched off.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from apcore.effects import Now, Op
from apcore.errors import RequestError
from apcore.federation.actors.keys import existing_identity
from apcore.federation.inbox.addressee_rules import local_actors_in
from apcore.federation.inbox.received_activity import Received
from apcore.federation.received_writes import WriteEntry
from apcore.http import parse_url
from apcore.remote import bury_deleted, cached_owners, delivered_copy, is_embedded_trusted
from apcore.remote.copies import prune_at_times
from apcore.vocab import Delete, Document, Undo, Update, joint_audience, same_id

__all__ = ["bury_document", "bury_undone", "keep_delivered"]

KEPT_MAX: Final = 4
"""The most objects of one activity that are kept."""
VIEWERS_MAX: Final = 4
"""The most actors of ours for which an object is kept."""
_AFTER_CHANGE: Final = timedelta(milliseconds=1)


def keep_delivered(received: Received) -> Op[None]:
    """Note the copies of the objects that the activity delivers.

    Effects: `Now`, and one `Get` for each of up to four objects and four actors.
    """
    objects = [
        reference.embedded
        for reference in received.activity.objects
        if reference.embedded is not None and _is_kept(received, reference.embedded)
    ]
    if not objects:
        return
    viewers = _viewers(received)
    # The Update that brings a copy also marks older ones as outdated, and must not outdate its own.
    now = (yield from Now()) + _AFTER_CHANGE
    for document in objects[:KEPT_MAX]:
        for viewer in viewers:
            yield from _keep(received, document, viewer, now)
    policy = received.site.fetching
    yield from prune_at_times(
        received.scope.seed or bytes(2),
        now,
        documents_max=policy.graph_documents_max,
        bytes_max=policy.graph_bytes_max,
    )


def _keep(received: Received, document: Document, viewer: str | None, now: datetime) -> Op[None]:
    writes = yield from delivered_copy(
        document,
        document.to_bytes(),
        owner=received.actor,
        viewer=viewer,
        now=now,
        policy=received.site.fetching,
        is_update=received.document.is_a(Update),
        is_proved=received.scope.auth_method != "http-signature",
    )
    received.scope.notes += [WriteEntry(write) for write in writes]


def _is_kept(received: Received, document: Document) -> bool:
    activity = received.document
    if activity.is_a(Delete) or activity.is_a(Undo) or received.scope.auth_method == "origin":
        return False
    if document.id is None or not document.types or document.id.partition("#")[0] == activity.id:
        return False
    try:
        _ = parse_url(document.id)
    except RequestError:
        return False
    return is_embedded_trusted(document, wrapper=None, owner=received.actor)


def _viewers(received: Received) -> list[str | None]:
    if joint_audience(received.document).is_public:
        return [None]
    site, recipient = received.site, received.scope.recipient
    if recipient is not None:
        return [site.actor_uri(recipient)]
    return list(local_actors_in(site, received.activity)[:VIEWERS_MAX])


def bury_undone(received: Received) -> Op[None]:
    """Note the tombstones of the undone activities that copies name the actor as the owner of.

    Effects: `Now`, the instance actor's keys, and one `Get` for each of up to four activities.
    """
    now = yield from Now()
    identity = yield from existing_identity(received.site)
    for reference in received.activity.objects[:KEPT_MAX]:
        if reference.uri is None:
            continue
        try:
            owners = yield from cached_owners(reference.uri, identity=identity)
        except RequestError:
            continue  # An id that is no address was never fetched, so there is no copy.
        if owners and not same_id(reference.uri, received.actor):
            yield from bury_document(received, reference.uri, owners, now)


def bury_document(received: Received, uri: str, owners: tuple[str, ...] | None, now: datetime) -> Op[None]:
    """Note the tombstone of a document that its owner has deleted or undone, if that is proved.

    ``owners`` are those that copies name, None without a copy. Effects: one `Get` if it is proved.
    """
    if same_id(uri, received.actor) or any(same_id(owner, received.actor) for owner in owners or ()):
        site = received.site
        tombstone = yield from bury_deleted(
            uri, by=received.actor, viewer=site.instance_uri, now=now, policy=site.fetching
        )
        received.scope.notes.append(WriteEntry(tombstone))
