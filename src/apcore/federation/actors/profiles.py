"""Get local actors from the application's handler, and find the inboxes of remote actors."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from attrs import evolve, frozen

from apcore.effects import Call, Now, Op
from apcore.errors import DocumentError, RemoteError
from apcore.federation.actors.keys import instance_identity
from apcore.federation.context import UnitContexts
from apcore.federation.routes import Registered, RouteMatch
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.http import parse_url
from apcore.remote import Identity, LoadedDocument, load
from apcore.vocab import Actor, Document, Tombstone, View

__all__ = [
    "ActorUnknown",
    "Inboxes",
    "ResourceUnknown",
    "actor_view",
    "dispatch_actor",
    "inboxes_in",
    "inboxes_of",
    "load_actor",
    "require_actor",
]


class ResourceUnknown(RemoteError):
    """There is no local resource of this kind, or it is hidden from the client."""

    status_hint = 404


class ActorUnknown(ResourceUnknown):
    """There is no local actor with this name."""

    reason = "no-such-actor"


@frozen
class Inboxes:
    """The inboxes of an actor."""

    inbox: str
    shared: str | None = None
    """The shared inbox of its server, if the actor names one."""


def dispatch_actor(site: Site, handler: Registered, *arguments: Any, **named: Any) -> Op[Any]:
    """Call an application's handler that returns a view, a page or a decision.

    Writes through its context are discarded. Effects: `Call`.
    """
    scope = unit_of_work_for(site)
    fn = partial(handler.fn, **named) if named else handler.fn
    return (yield from Call(fn, *arguments, contexts_for=UnitContexts(scope)))


def actor_view(site: Site, route: RouteMatch) -> Op[View | None]:
    """Return the application's view of an actor, or None if the actor does not exist."""
    handler, identifier = route.target.handler, route.identifier
    if handler is None or identifier is None:
        return None
    view: View | None = yield from dispatch_actor(site, handler, identifier)
    return view


def require_actor(site: Site, identifier: str) -> Op[View]:
    """Return the application's view of the local actor with this identifier.

    Raises:
        ActorUnknown: The actor does not exist, or is gone.
    """
    route = site.federation.places.read(site.origin, site.actor_uri(identifier))
    view = None if route is None else (yield from actor_view(site, route))
    if view is None or isinstance(view, Tombstone):
        raise ActorUnknown(f"there is no actor {identifier!r:.60}")
    return view


def inboxes_of(site: Site, actor: str, *, within_s: float) -> Op[Inboxes]:
    """Load a remote actor's document within ``within_s`` seconds, and return its inboxes.

    Redirects count towards the time. Effects: `Now`, and those of `load` and `instance_identity`.

    Raises:
        DocumentError: The document names no inbox.
        RequestError: An inbox is not a valid URL.
    """
    identity = yield from instance_identity(site)
    loaded = yield from load_actor(site, actor, identity=identity, within_s=within_s)
    return inboxes_in(loaded.document)


def load_actor(site: Site, actor: str, *, identity: Identity | None, within_s: float) -> Op[LoadedDocument]:
    """Load a remote actor's document within ``within_s`` seconds, redirects included.

    Effects: `Now`, and those of `load`. Errors: see `load`.
    """
    deadline = (yield from Now()) + timedelta(seconds=within_s)
    return (yield from load(actor, policy=evolve(site.fetching, until=deadline), identity=identity))


def inboxes_in(actor: Document) -> Inboxes:
    """Return the inboxes that an actor's document names.

    Raises:
        DocumentError: The document names no inbox.
        RequestError: An inbox is not a valid URL.
    """
    view = Actor.over(actor)
    if view.inbox is None:
        raise DocumentError(f"actor {actor.id} has no inbox")
    shared = view.shared_inbox
    _ = parse_url(view.inbox)
    if shared is not None:
        _ = parse_url(shared)
    return Inboxes(view.inbox, shared)
