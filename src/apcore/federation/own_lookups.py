"""Look up our own actors and documents by the names that people paste, without a request.

A node that asked itself over HTTP would wait for itself, and its domain rules and limits would apply to it. So a handle
or an address of our own is resolved as WebFinger would answer it. Every other one is left to a lookup at its host.
"""

from __future__ import annotations

from attrs import evolve

from apcore.discovery import Acct, Descriptor, LookupResult, parse_resource
from apcore.discovery.accounts import parse_pasted
from apcore.effects import Now, Op
from apcore.federation.actors.handles import describe_actor, handle_of
from apcore.federation.actors.names import find_actor
from apcore.federation.actors.profiles import ActorGone, ActorUnknown
from apcore.federation.origins import Origins
from apcore.federation.site import Site
from apcore.http import Origin, parse_url
from apcore.remote import Gone, LoadedDocument, NotFound

__all__ = ["describe_own", "find_own"]


def find_own(site: Site, text: str) -> Op[LookupResult | None]:
    """Find an actor or a document of our own by the text that a person pasted. Return None for the name of others.

    Effects and errors are those of `find_actor` and `load_own_document`.

    Raises:
        NotFound, Gone: The name is our own, and there is no such actor or document.
        RequestError: The text is no name; see `parse_pasted`.
    """
    name = parse_pasted(text).name
    own_site = _own_site(site, name)
    if own_site is None:
        return None
    try:
        named = yield from find_actor(own_site, name)
    except ActorGone as error:
        raise Gone(f"{name} is our own: {error}") from error
    except ActorUnknown as error:
        if isinstance(name, Acct):
            raise NotFound(f"{name} is our own: {error}") from error
        # Another web server answers for the other pages at the host of the handles.
        is_served = site.origins.has(parse_url(name).origin)
        return LookupResult((yield from _load(own_site, name))) if is_served else None
    loaded = yield from _load(own_site, own_site.actor_uri(named.identifier))
    return LookupResult(loaded, handle_of(own_site, named.identifier, named.view))


def describe_own(site: Site, resource: str) -> Op[Descriptor | None]:
    """Return our own WebFinger answer about a resource. Return None for the resource of others.

    Raises:
        NotFound, Gone: The resource is our own, and names no actor.
        RequestError: ``resource`` is neither an account nor a URI.
    """
    name = parse_resource(resource)
    own_site = _own_site(site, name)
    if own_site is None:
        return None
    try:
        return (yield from describe_actor(own_site, name))
    except ActorGone as error:
        raise Gone(f"{name} is our own: {error}") from error
    except ActorUnknown as error:
        raise NotFound(f"{name} is our own: {error}") from error


def _own_site(site: Site, name: Acct | str) -> Site | None:
    """Return the site of ours that a name belongs to; None for the name of another server."""
    origin = _origin_of(site.origins, name)
    return None if origin is None else evolve(site, origin=origin, handle_host=site.origins.handle_host(origin))


def _origin_of(origins: Origins, name: Acct | str) -> Origin | None:
    urls = (name,) if isinstance(name, str) else (f"https://{name.host}/", f"http://{name.host}/")
    own_origins = (origins.find(url) or origins.find_by_handle_host(url) for url in urls)
    return next((origin for origin in own_origins if origin is not None), None)


def _load(site: Site, uri: str) -> Op[LoadedDocument]:
    document = yield from site.load_own(site, uri)
    if document is None:
        raise NotFound(f"{uri} is on our own origin, and no document is served there")
    return LoadedDocument(document, parse_url(document.id or uri), (yield from Now()))
