"""Get local actors from the application's handler, and find the inboxes of remote actors.

The application's view of an actor gets the stored aliases and the new account, unless the view has its own. A deleted
actor is a `Tombstone`, whatever the application returns.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import Call, Get, Now, Op
from apcore.errors import ContractError, DocumentError, RemoteError
from apcore.federation.actors.keys import instance_identity, signing_key
from apcore.federation.actors.records import OWN_ACTORS, OwnActorKey, OwnActorRecord
from apcore.federation.context import UnitContexts
from apcore.federation.routes import IDENTIFIER, PAGE_NAME, Registered, RouteMatch
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.handlers import handler_name
from apcore.http import parse_url
from apcore.remote import Identity, LoadedDocument, load
from apcore.vocab import Actor, Document, Tombstone, View

__all__ = [
    "DISPATCHES_MAX",
    "ActorGone",
    "ActorUnknown",
    "Inboxes",
    "ResourceUnknown",
    "actor_view",
    "application_view",
    "dispatch_actor",
    "dispatch_page",
    "inboxes_in",
    "inboxes_of",
    "load_actor",
    "require_actor",
    "variables_of",
    "with_stored",
]


DISPATCHES_MAX: Final = 8
"""The most handlers that may wait for each other's documents."""


class ResourceUnknown(RemoteError):
    """There is no local resource of this kind, or it is hidden from the client."""

    status_hint = 404


class ActorUnknown(ResourceUnknown):
    """There is no local actor with this name."""

    reason = "no-such-actor"


class ActorGone(ActorUnknown):
    """The local actor with this name is deleted."""

    status_hint = 410
    reason = "actor-gone"


@frozen
class Inboxes:
    """The inboxes of an actor."""

    inbox: str
    shared: str | None = None
    """The shared inbox of its server, if the actor names one."""


def dispatch_actor(site: Site, handler: Registered, *arguments: Any, **named: Any) -> Op[Any]:
    """Call an application's handler that returns a view, a page or a decision.

    Writes through its context are discarded. Effects: `Call`.

    Raises:
        ContractError: The handler asks for a document that it makes itself, directly or through other handlers.
    """
    if site.dispatches >= DISPATCHES_MAX:
        raise ContractError(
            f"{handler_name(handler.fn)} runs in {DISPATCHES_MAX} others: handlers ask for each other's documents "
            "without end; use the application's own data in a handler, not get_actor, get_object or resolve"
        )
    scope = unit_of_work_for(evolve(site, dispatches=site.dispatches + 1))
    fn = partial(handler.fn, **named) if named else handler.fn
    return (yield from Call(fn, *arguments, contexts_for=UnitContexts(scope)))


def dispatch_page(site: Site, place: RouteMatch, cursor: str | None) -> Op[Any]:
    """Call the application's handler for a page of a collection; None if it has no handler. Effects: `Call`.

    The handler of an actor's collection gets the identifier and the cursor. Any other gets its variables by name.
    """
    if place.target.handler is None:
        return None
    values = variables_of(place)
    if values.keys() == {IDENTIFIER}:
        return (yield from dispatch_actor(site, place.target.handler, place.identifier, cursor))
    return (yield from dispatch_actor(site, place.target.handler, **values, cursor=cursor))


def variables_of(place: RouteMatch) -> dict[str, str]:
    """Return the values of the variables of a collection's route, without the name of a page."""
    return {name: value for name, value in place.values.items() if name != PAGE_NAME}


def actor_view(site: Site, route: RouteMatch) -> Op[View | None]:
    """Return the view of a local actor: a `Tombstone` if it is deleted, or None if it does not exist.

    Effects: one `Get`, and the application's handler.
    """
    handler, identifier = route.target.handler, route.identifier
    if handler is None or identifier is None:
        return None
    uri = site.actor_uri(identifier)
    [entry] = yield from Get((OWN_ACTORS.key(OwnActorKey.of(uri)),))
    record = None if entry is None else OWN_ACTORS.decode(entry.value)
    if record is not None and record.is_deleted:
        return Tombstone(former_type=record.former_type, deleted=record.deleted)
    view: View | None = yield from dispatch_actor(site, handler, identifier)
    return view if view is None or record is None else with_stored(view, record)


def application_view(site: Site, identifier: str) -> Op[View | None]:
    """Return the view that the application's handler makes of a local actor, without anything that is stored."""
    route = site.federation.places.read(site.origin, site.actor_uri(identifier))
    if route is None or route.target.handler is None:
        return None
    view: View | None = yield from dispatch_actor(site, route.target.handler, identifier)
    return view


def with_stored(view: View, record: OwnActorRecord) -> View:
    """Return the application's view of an actor with the stored aliases, and the new account unless it has one."""
    actor = view if isinstance(view, Actor) else Actor.over(view.document)
    aliases = tuple(dict.fromkeys((*actor.also_known_as, *record.also_known_as)))
    moved_to = actor.moved_to or record.moved_to
    if isinstance(view, Tombstone) or (aliases, moved_to) == (tuple(actor.also_known_as), actor.moved_to):
        return view
    return actor.evolve(also_known_as=aliases, moved_to=moved_to)


def require_actor(site: Site, identifier: str) -> Op[View]:
    """Return the view of the local actor with this identifier. Effects: see `actor_view`.

    Raises:
        ActorGone: The actor is deleted.
        ActorUnknown: The actor does not exist.
    """
    route = site.federation.places.read(site.origin, site.actor_uri(identifier))
    view = None if route is None else (yield from actor_view(site, route))
    if view is None:
        raise ActorUnknown(f"there is no actor {identifier!r:.60}")
    if isinstance(view, Tombstone):
        raise ActorGone(f"the actor {identifier!r:.60} is deleted")
    return view


def actor_identity(site: Site, identifier: str) -> Op[Identity]:
    """Return the identity of requests that the local actor with this identifier signs.

    Effects: see `actor_view` and `own_keys`. Errors: see `require_actor` and `own_keys`.
    """
    _ = yield from require_actor(site, identifier)
    key = yield from signing_key(site, site.actor_uri(identifier))
    return key.identity(site)


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
