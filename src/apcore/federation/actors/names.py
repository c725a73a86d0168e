"""Find local actors by their names.

A resource is an account (``acct:alice@example.com``), the id of an actor, the address of a profile page, or any URI
that the application's handler knows. An account may be at the host of the handles or at the host of the server.
"""

from __future__ import annotations

from attrs import evolve, frozen

from apcore.discovery import Acct
from apcore.effects import Op
from apcore.errors import ContractError, RequestError
from apcore.federation.actors.profiles import ActorGone, ActorUnknown, actor_view, dispatch_actor
from apcore.federation.routes import USERNAME, Registered
from apcore.federation.site import Site
from apcore.handlers import handler_name
from apcore.http import parse_url
from apcore.vocab import Actor, Tombstone, View

__all__ = ["NamedActor", "find_actor", "find_user", "load_named"]


@frozen
class NamedActor:
    """A local actor that was found by a name."""

    identifier: str
    """The identifier; for the instance actor, the host of the origin."""
    view: Actor | None = None
    """The application's view with what is stored; None for the instance actor."""


def find_actor(site: Site, resource: Acct | str) -> Op[NamedActor]:
    """Return the local actor that a resource names. A URL is in canonical form.

    Effects: those of at most two calls of the handlers for usernames or resources, and as `actor_view`.

    Raises:
        ActorGone: The actor is deleted.
        ActorUnknown: The resource names no actor here.
    """
    if isinstance(resource, Acct):
        hosts = {site.origin.authority, site.acct_host}
        named = (yield from find_user(site, resource.user)) if resource.host in hosts else None
    else:
        named = yield from _find_uri(site, resource)
    if named is None:
        raise ActorUnknown(f"there is no account or actor {str(resource)!r:.100} here")
    if named.view is not None and named.view.document.is_a(Tombstone):
        raise ActorGone(f"the actor {named.identifier!r:.60} is deleted")
    return named


def find_user(site: Site, username: str) -> Op[NamedActor | None]:
    """Return the local actor with a username; None if there is none. Its view is a `Tombstone` if it is deleted.

    Effects: as `find_actor`.
    """
    names = site.federation.names
    if username == site.origin.host:
        return NamedActor(username)
    lower = username.lower()
    spellings = (username,) if names.case_sensitive or lower == username else (username, lower)
    for spelling in spellings:
        identifier: object = spelling
        if names.handle is not None:
            identifier = yield from dispatch_actor(site, names.handle, spelling)
        named = yield from load_named(site, identifier, source=names.handle)
        if named is None:
            continue
        if names.handle is None and named.view is not None:
            # An application that ignores the case of identifiers answers to all spellings, and has one name.
            name = named.view.preferred_username
            if name and name != spelling and name.casefold() == spelling.casefold():
                return evolve(named, identifier=name)
        return named
    return None


def _find_uri(site: Site, uri: str) -> Op[NamedActor | None]:
    places, names = site.federation.places, site.federation.names
    own_uri = _at_origin(site, uri)
    route = places.read(site.origin, own_uri)
    if route is not None and route.target.kind == "profile":
        if USERNAME in route.values:
            return (yield from find_user(site, route.values[USERNAME]))
        return (yield from load_named(site, route.identifier or places.profiles[route.target.name]))
    if uri in {site.instance_uri, f"{site.origin}/"}:
        return NamedActor(site.origin.host)
    identifier = site.identifier_of(uri)
    if identifier is not None:
        return (yield from load_named(site, identifier))
    if names.resource is None:
        return None
    return (yield from load_named(site, (yield from dispatch_actor(site, names.resource, uri)), source=names.resource))


def _at_origin(site: Site, uri: str) -> str:
    """Return the address at our origin for one at the host of the handles. Profile pages may be on both."""
    if site.acct_host == site.origin.authority:
        return uri
    try:
        url = parse_url(uri)
    except RequestError:
        return uri
    is_there = (url.origin.scheme, url.origin.authority) == (site.origin.scheme, site.acct_host)
    return f"{site.origin}{str(url).removeprefix(str(url.origin))}" if is_there else uri


def load_named(site: Site, identifier: object, source: Registered | None = None) -> Op[NamedActor | None]:
    """Return the actor with an identifier, which the handler ``source`` returned; None if there is none.

    Effects: as `actor_view`.

    Raises:
        ContractError: The handler returned something else than a text or None.
    """
    if identifier is None:
        return None
    if not isinstance(identifier, str) or not identifier:
        name = handler_name(getattr(source, "fn", source))
        raise ContractError(
            f"{name} returned {identifier!r:.60}: it returns the identifier of an actor as text, or None"
        )
    if identifier == site.origin.host:
        return NamedActor(identifier)
    if not site.federation.places.has("actor"):
        return None
    try:
        uri = site.actor_uri(identifier)
    except ValueError:
        return None  # the text cannot stand in the path of an actor
    route = site.federation.places.read(site.origin, uri)
    view: View | None = None if route is None else (yield from actor_view(site, route))
    return None if view is None else NamedActor(identifier, Actor.over(view.document))
