"""Actors of ours: what the application's handler makes, and what we know of everyone else's inbox."""

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
    "actor_view",
    "dispatch_actor",
    "inboxes_in",
    "inboxes_of",
    "load_actor",
    "require_actor",
]


class ActorUnknown(RemoteError):
    """There is no actor of this name here."""

    status_hint = 404
    reason = "no-such-actor"


@frozen
class Inboxes:
    """Where an actor is reached."""

    inbox: str
    shared: str | None = None


def dispatch_actor(site: Site, handler: Registered, *arguments: Any, **named: Any) -> Op[Any]:
    """Call an application's handler that makes something, with a context whose writes go nowhere. Asks for: `Call`."""
    scope = unit_of_work_for(site)
    fn = partial(handler.fn, **named) if named else handler.fn
    return (yield from Call(fn, *arguments, contexts_for=UnitContexts(scope), inline=handler.inline))


def actor_view(site: Site, place: RouteMatch) -> Op[View | None]:
    """Give what the application makes of an identifier; None if there is no such actor."""
    handler, identifier = place.target.handler, place.identifier
    if handler is None or identifier is None:
        return None
    made: View | None = yield from dispatch_actor(site, handler, identifier)
    return made


def require_actor(site: Site, identifier: str) -> Op[View]:
    """Give the actor of ours with this identifier.

    Raises:
        ActorUnknown: There is none, or it is gone.
    """
    place = site.federation.places.read(site.origin, site.actor_uri(identifier))
    made = None if place is None else (yield from actor_view(site, place))
    if made is None or isinstance(made, Tombstone):
        raise ActorUnknown(f"there is no actor {identifier!r:.60}")
    return made


def inboxes_of(site: Site, actor: str, *, within_s: float) -> Op[Inboxes]:
    """Give where a remote actor is reached, from its own document, redirects included, in so much time. Asks as `load`, and `Now`.

    Raises:
        DocumentError: It has no inbox, or one that is no address.
    """
    identity = yield from instance_identity(site)
    loaded = yield from load_actor(site, actor, identity=identity, within_s=within_s)
    return inboxes_in(loaded.document)


def load_actor(site: Site, actor: str, *, identity: Identity | None, within_s: float) -> Op[LoadedDocument]:
    """Load a remote actor's document in so much time, redirects included. Asks and raises as `load`, and asks for `Now`."""
    until = (yield from Now()) + timedelta(seconds=within_s)
    return (yield from load(actor, policy=evolve(site.fetching, until=until), identity=identity))


def inboxes_in(actor: Document) -> Inboxes:
    """Return the inboxes that an actor's document names.

    Raises:
        DocumentError: It names none.
        RequestError: One of them is no address.
    """
    view = Actor.over(actor)
    if view.inbox is None:
        raise DocumentError(f"actor {actor.id} has no inbox")
    shared = view.shared_inbox
    _ = parse_url(view.inbox)
    if shared is not None:
        _ = parse_url(shared)
    return Inboxes(view.inbox, shared)
