"""Authorised fetch: who asks for a GET, and whether that one may see it (FEP-fe34, rule 15).

Who asks is who has signed the request, and only where the answer depends on it is that found out: a key may have to be fetched for it. It does depend

- on everything, if `Federation` has ``authorized_fetch="required"``: who does not sign gets 401, before it is known whether there is such a thing;
- on what an application's ``authorize`` predicate guards: an actor with all that it has, a collection, objects of a type;
- on what was published for some only, from ``"optional"`` on: who is in its audience sees it.

The instance actor is served to everyone, and so is what finds accounts: two servers that both demand signatures need each other's keys first, and
begin with those of the instance actors.

What may not be seen is answered as if it were not there: 404 for who has signed, 401 for who has not, whether there is such a thing or not. The
401 is for the many servers that ask without a signature first; a 404 might make them forget what they have.

A signature that does not hold, or cannot be checked now, is as good as none; it is said why where one was needed. Who signed the path and not the
query has not asked for this page, and may have been made to ask. A suspended domain is refused (403).
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.collections import contains
from apcore.effects import Op
from apcore.errors import ApcoreError, Refused, RemoteError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, dispatch_actor
from apcore.federation.request_signers import check_domain, find_signer
from apcore.federation.routes import Registered, RouteMatch
from apcore.federation.site import Site
from apcore.http import Request, Url
from apcore.records.format import Record
from apcore.signatures import BadSignature, SignatureMissing, is_signed
from apcore.vocab import audience_of, read_document

__all__ = ["Visitor", "check_access", "identify_visitor", "is_among", "is_guarded", "predicates"]

_OF_THE_ACTOR: Final = frozenset({"actor", "collection", "page", "managed"})


@frozen
class Visitor:
    """Who asks for something."""

    uri: str | None = None
    """The actor who has signed; None if nobody has, so that it holds."""
    missing: ApcoreError = field(factory=lambda: SignatureMissing("this is served to who signs the request"), eq=False)
    """Why nobody has."""

    def unknown(self, error: ActorUnknown) -> ApcoreError:
        """Give what is said about something that is not there for this one."""
        return self.missing if self.uri is None else error


def is_guarded(site: Site, place: RouteMatch) -> bool:
    """Whether what stands at a place may not be for everyone, by what is registered alone."""
    if place.target.kind == "instance":
        return False
    return site.federation.authorized_fetch == "required" or bool(predicates(site, place))


def predicates(site: Site, place: RouteMatch) -> list[Registered]:
    """Give the predicates that all have to agree: the actor's, and the place's own."""
    of_actor = site.federation.actor_authorize if place.target.kind in _OF_THE_ACTOR else None
    return [each for each in dict.fromkeys((of_actor, place.target.authorize)) if each is not None]


def identify_visitor(site: Site, request: Request, url: Url) -> Op[Visitor]:
    """Find out who asks.

    Asks for: nothing if there is no signature, else as `find_signer`.

    Raises:
        Refused: The domain is suspended.
    """
    if not is_signed(request):
        return Visitor()
    try:
        signed = yield from find_signer(site, request)
        _ = check_domain(site, signed.owner)
    except Refused:
        raise
    except (RemoteError, Unavailable) as error:
        return Visitor(None, error)
    if url.query is not None and not signed.signature.query_covered:
        return Visitor(
            None, BadSignature(f"the signature of {signed.owner} covers the path of {url}, and not its query")
        )
    return Visitor(signed.owner)


def check_access(site: Site, request: Request, place: RouteMatch, url: Url) -> Op[Visitor]:
    """Find out who asks for a guarded place, and hold the rules.

    Asks for: as `identify_visitor`, and the predicates.

    Raises:
        RemoteError, Unavailable: Not for this one; said in the same words whether or not there is such a thing.
    """
    found = yield from identify_visitor(site, request, url)
    if found.uri is None and site.federation.authorized_fetch == "required":
        raise found.missing
    for predicate in predicates(site, place):
        if not (yield from _agrees(site, place, predicate, found.uri)):
            raise found.unknown(ActorUnknown(f"{place.target.kind} {dict(place.values)} is not for {found.uri}"))
    return found


def _agrees(site: Site, place: RouteMatch, predicate: Registered, viewer: str | None) -> Op[bool]:
    if place.target.kind == "object":
        return bool((yield from dispatch_actor(site, predicate, **place.values, viewer=viewer)))
    return bool((yield from dispatch_actor(site, predicate, place.identifier, viewer)))


def is_among(site: Site, fact: Record, viewer: str) -> Op[bool]:
    """Tell whether ``viewer`` is among those for whom an object of ours was published: named, a follower where followers are, or its owner.

    Asks for: one `Get` where it was published for followers.
    """
    owner = fact.text("owner")
    if viewer == owner:
        return True
    audience = audience_of(read_document(fact.body, origin=site.origin)).everyone
    if viewer in audience:
        return True
    identifier = site.identifier_of(owner)
    if identifier is None:
        return False
    followers = site.federation.places.uri(site.origin, "collection", "followers", identifier=identifier)
    if followers not in audience:
        return False
    [follows] = yield from contains(followers, (viewer,))
    return follows
