"""Decide whether the actor of an inbox exists, and remember for a short time that it does.

The application's handler knows which actors exist. If every delivery called it, a popular actor would cost one query of
the application's database for each. So an actor that the handler has returned counts as existing for the seconds that
its registration says (``inbox_cache_s``), in this process. Nothing else is remembered: an actor that did not exist is
asked for each time, since it may be created at any moment.

A deletion through apcore is a record, which is read for every delivery. So it takes effect at once, in every process.
"""

from __future__ import annotations

from apcore.effects import Op
from apcore.federation.actors.profiles import ActorGone, ActorUnknown, dispatch_actor
from apcore.federation.actors.records import OWN_ACTORS, OwnActorKey
from apcore.federation.site import Site
from apcore.federation.snapshot import Snapshot
from apcore.ports import StoreKey
from apcore.vocab import Tombstone

__all__ = ["check_recipient", "recipient_key"]


def recipient_key(site: Site, recipient: str) -> StoreKey:
    """Return the key of the record that tells whether the actor of an inbox was deleted through apcore."""
    return OWN_ACTORS.key(OwnActorKey.of(site.actor_uri(recipient)))


def check_recipient(site: Site, recipient: str, snapshot: Snapshot) -> Op[None]:
    """Check that the actor of an inbox exists.

    An actor that is a `Tombstone`, or that the handler does not return, is not remembered.

    Effects: one `Get` and `Now`, unless ``snapshot`` has the record and the time. The application's handler, unless
    the actor is remembered.

    Raises:
        ActorGone: The actor is deleted, through apcore or by the application, whose handler returns a `Tombstone` for
            it.
        ActorUnknown: The actor does not exist.
    """
    uri = site.actor_uri(recipient)
    [entry] = yield from snapshot.get((recipient_key(site, recipient),))
    if entry is not None and OWN_ACTORS.decode(entry.value).is_deleted:
        raise ActorGone(f"the actor {recipient!r:.60} is deleted")
    # The record comes first: what is remembered must not bring back an actor that was deleted meanwhile.
    now = yield from snapshot.now()
    kept_s = site.federation.inbox_cache_s
    if site.recipients.has(uri, now, kept_s):
        return
    route = site.federation.places.read(site.origin, uri)
    handler = None if route is None else route.target.handler
    # A route without a handler is that of the instance actor, which has no inbox of its own.
    view = None if handler is None else (yield from dispatch_actor(site, handler, recipient))
    if view is None:
        raise ActorUnknown(f"there is no actor {recipient!r:.60}")
    if isinstance(view, Tombstone):
        raise ActorGone(f"the actor {recipient!r:.60} is deleted")
    # The time is that of the request, not that of the answer: a slow handler shortens the time that its word counts.
    site.recipients.add(uri, now)
