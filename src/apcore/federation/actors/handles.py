"""Describe local actors for WebFinger, and find those that other servers cannot find by their handles.

The subject of an answer is the handle that the actor has now: its ``preferredUsername`` at the host of the handles. A
former username, and an account at the host of the server, lead to it. So other servers verify the handle in one more
step (a split domain).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, cast

from attrs import evolve

from apcore.discovery import Acct, Descriptor, DescriptorLink
from apcore.effects import Op, Scan
from apcore.errors import ContractError, RequestError
from apcore.federation.actors.names import NamedActor, find_actor, find_user, load_named
from apcore.federation.actors.profiles import dispatch_actor
from apcore.federation.actors.records import KEY_RINGS
from apcore.federation.findings import CheckFinding
from apcore.federation.site import Site
from apcore.handlers import handler_name
from apcore.http import ACTIVITY_JSON
from apcore.ports import Entry
from apcore.vocab import Actor, Tombstone

__all__ = ["CHECKED_MAX", "check_actors", "describe_actor", "handle_of", "profile_of"]

_PROFILE_PAGE: Final = "http://webfinger.net/rel/profile-page"
_AVATAR: Final = "http://webfinger.net/rel/avatar"
_REPORTED_MAX: Final = 1000
"""The number of actors whose handles are looked up once for the log. Strangers choose which actors these are."""
CHECKED_MAX: Final = 1000
"""The number of actors with keys in the store that are looked at."""
_PAGE: Final = 100
_LOG: Final = logging.getLogger("apcore.web")


def handle_of(site: Site, identifier: str, view: Actor | None) -> Acct | None:
    """Return the handle that an actor has by its ``preferredUsername``, or else by its identifier.

    None if neither can be the name of an account.
    """
    if view is None:
        return Acct.at(site.origin.host, site.origin)
    for name in (view.preferred_username, identifier):
        try:
            if name:
                return evolve(Acct.at(name, site.origin), host=site.acct_host)
        except RequestError:
            continue
    return None


def profile_of(site: Site, identifier: str, view: Actor) -> str | None:
    """Return the address of an actor's registered profile page; None without one."""
    return site.federation.places.profile_uri(site.origin, identifier, view.preferred_username or identifier)


def describe_actor(site: Site, resource: Acct | str) -> Op[Descriptor]:
    """Return the WebFinger answer about a resource.

    Effects: those of `find_actor`, and of the handler for links. If the resource is no account with the actor's name,
    also those of finding that name.

    Raises:
        ActorGone, ActorUnknown: As `find_actor`.
    """
    named = yield from find_actor(site, resource)
    uri = site.actor_uri(named.identifier)
    own_link = DescriptorLink("self", type=ACTIVITY_JSON, href=uri)
    acct = handle_of(site, named.identifier, named.view)
    if named.view is None or acct is None:
        return Descriptor(uri if acct is None else str(acct), (uri,), (own_link,))
    if not (isinstance(resource, Acct) and resource.user.casefold() == acct.user.casefold()):
        yield from _report_unfound(site, named, acct)
    pages = _pages(site, named.identifier, named.view)
    server_acct = [] if site.acct_host == site.origin.authority else [str(evolve(acct, host=site.origin.authority))]
    links = [own_link, *_own_links(pages, named.view)]
    links += site.federation.names.common_links
    if site.federation.names.links is not None:
        handler = site.federation.names.links
        more: object = yield from dispatch_actor(site, handler, named.identifier)
        links += _checked_links(more, handler_name(handler.fn))
    links = [_completed(link, site) for link in links]
    return Descriptor(str(acct), tuple(dict.fromkeys((uri, *pages, *server_acct))), links)


def _pages(site: Site, identifier: str, view: Actor) -> list[str]:
    pages = [link.href for link in view.urls if link.href and link.media_type in {None, "text/html"}]
    profile = profile_of(site, identifier, view)
    return pages or ([] if profile is None else [profile])


def _own_links(pages: Sequence[str], view: Actor) -> list[DescriptorLink]:
    links = [DescriptorLink(_PROFILE_PAGE, type="text/html", href=page) for page in pages]
    return links + [
        DescriptorLink(_AVATAR, type=icon.media_type, href=icon.url) for icon in view.icons if icon.url is not None
    ]


def _completed(link: DescriptorLink, site: Site) -> DescriptorLink:
    """Return a link with its path completed by the origin."""
    if link.href is not None and link.href.startswith("/"):
        return evolve(link, href=f"{site.origin}{link.href}")
    if link.template is not None and link.template.startswith("/"):
        return evolve(link, template=f"{site.origin}{link.template}")
    return link


def _checked_links(links: object, name: str) -> list[DescriptorLink]:
    items = list(cast("Sequence[object]", links)) if isinstance(links, Sequence) else [links]
    checked_links = [link for link in items if isinstance(link, DescriptorLink)]
    if len(checked_links) < len(items):
        raise ContractError(f"{name} returned {links!r:.60}: it returns a list of DescriptorLink")
    return checked_links


# --- handles that are not found -------------------------------------------------------------------------------------


def check_actors(site: Site, identifiers: Sequence[str] = ()) -> Op[list[CheckFinding]]:
    """Return a finding for each actor that other servers cannot find by its handle.

    Without identifiers, the actors that have keys in the store are checked, at most `CHECKED_MAX`.

    Effects: those of `find_actor` by the identifier, and by the name; without identifiers also scans of the keys.
    """
    findings: list[CheckFinding] = []
    for identifier in identifiers or (yield from _stored_actors(site)):
        named = yield from load_named(site, identifier)
        if named is None:
            findings.append(CheckFinding("error", f"there is no actor {identifier!r:.80}"))
            continue
        if named.view is None or named.view.document.is_a(Tombstone):
            continue
        acct = handle_of(site, identifier, named.view)
        if not named.view.preferred_username:
            findings.append(
                CheckFinding("warning", f"the actor {identifier!r:.80} has no handle: set its preferred_username")
            )
        elif acct is None or acct.user != named.view.preferred_username:
            findings.append(
                CheckFinding(
                    "warning",
                    f"the actor {identifier!r:.80} has no handle: its preferred_username "
                    f"{named.view.preferred_username!r:.80} cannot be the name of an account",
                )
            )
        else:
            reason = yield from _unfound_reason(site, named, acct)
            if reason is not None:
                findings.append(CheckFinding("warning", reason))
    return findings


def _stored_actors(site: Site) -> Op[list[str]]:
    """Return the identifiers of the actors of this origin that have keys, without the instance actor."""
    identifiers: list[str] = []
    after = None
    for _ in range(CHECKED_MAX // _PAGE):
        entries: Sequence[Entry] = yield from Scan(KEY_RINGS.at(), after=after, limit=_PAGE)
        for entry in entries:
            identifier = site.identifier_of(KEY_RINGS.decode(entry.value).actor)
            if identifier is not None and identifier != site.origin.host:
                identifiers.append(identifier)
        if len(entries) < _PAGE:
            break
        after = entries[-1].key
    return identifiers


def _unfound_reason(site: Site, named: NamedActor, acct: Acct) -> Op[str | None]:
    """Return the reason why a handle does not lead to its actor; None if it does."""
    other = yield from find_user(site, acct.user)
    if other is not None and other.identifier == named.identifier:
        return None
    handler = site.federation.names.handle
    result = "no actor" if other is None else f"the actor {other.identifier!r:.80}"
    reason = f"the actor {named.identifier!r:.80} cannot be found by its handle {acct.handle:.200}"
    if handler is None:
        return (
            f"{reason}: {acct.user!r:.80} is looked up as an identifier, and leads to {result}. "
            "Register federation.handle, which returns the identifier for a username"
        )
    return f"{reason}: {handler_name(handler.fn)} leads from {acct.user!r:.80} to {result}"


def _report_unfound(site: Site, named: NamedActor, acct: Acct) -> Op[None]:
    """Look up the handle of an actor once, and log if it does not lead back."""
    checked = site.federation.names.checked
    if named.identifier in checked or len(checked) >= _REPORTED_MAX:
        return
    checked[named.identifier] = None
    reason = yield from _unfound_reason(site, named, acct)
    if reason is not None:
        _LOG.warning("%s", reason)
