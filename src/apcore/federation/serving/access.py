"""Decide whether the signer of a GET may see the resource: authorised fetch (FEP-fe34, rule 15).

The signer is identified only where the answer depends on it, because that may require fetching a key. The answer
depends on the signer:

- for every resource, if `Federation` has ``authorized_fetch="required"``. A request without a signature gets 401,
  before it is known whether the resource exists;
- for resources that an ``authorize`` predicate of the application guards: an actor with everything under it, a
  collection, or the objects of a type;
- for objects that were published for a limited audience, from ``authorized_fetch="optional"`` on. The members of the
  audience may see them, also those that ``bto`` or ``bcc`` names, and the members of collections that it names. The
  same holds for an object of a handler without a predicate, if it names an audience that is not public;
- for actors that one of our actors blocks. They do not see what it publishes, nor its collections, wherever the signer
  is known. They do see the actor itself, because they need its keys to check its Block.

The instance actor and the well-known documents are served to everyone. Two servers that both demand signatures need
each other's keys first, and start with those of the instance actors.

A forbidden resource is answered exactly like a missing one: 404 for a signed request, 401 for an unsigned one. Many
servers send their first request unsigned. The 401 tells them to sign; a 404 might make them delete their copy.

A signature that is invalid, or cannot be checked now, counts as no signature. Where one was required, the answer names
the reason. A signature that covers the path but not the query does not identify the signer either: another client may
have chosen the query.

A request that is signed with a key of a suspended domain gets 403, also for a public resource and before anything is
fetched. An unsigned one cannot be told from others.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen

from apcore.effects import Op
from apcore.errors import ApcoreError, Refused, RemoteError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, ResourceUnknown, dispatch_actor, variables_of
from apcore.federation.domain_checks import check_hosts
from apcore.federation.own_services import RequestSigner
from apcore.federation.relations.stored import blocked_among
from apcore.federation.request_signers import find_signer, signer_hosts
from apcore.federation.routes import IDENTIFIER, Registered, RouteMatch
from apcore.federation.site import Site
from apcore.http import Request, Url, parse_url
from apcore.signatures import BadSignature, SignatureMissing, is_signed

__all__ = [
    "CollectionUnknown",
    "ObjectUnknown",
    "Visitor",
    "check_access",
    "depends_on_viewer",
    "identify_visitor",
    "is_guarded",
    "predicates",
    "refuse_suspended",
    "resource_unknown",
    "signer_of_request",
]

_KINDS_OF_AN_ACTOR: Final = frozenset(
    {"actor", "collection", "page", "partial", "managed", "object-collection", "object-page"}
)
_HIDDEN_BY_A_BLOCK: Final = _KINDS_OF_AN_ACTOR - {"actor"}


_VISITOR: Final = "visitor"
"""The name of the visitor in `Site.memo`."""
_IS_ASKED: Final = "is_viewer_asked"
"""The name in `Site.memo` of the mark that a handler of the application asked for the signer."""


class ObjectUnknown(ResourceUnknown):
    """There is no object at this address."""

    reason = "no-such-object"


class CollectionUnknown(ResourceUnknown):
    """There is no collection at this address, or no actor that it would belong to."""

    reason = "no-such-collection"


def resource_unknown(route: RouteMatch, message: str) -> ResourceUnknown:
    """Return the error for a resource that does not exist, or that its client may not see.

    Its reason depends on the route alone. If a missing actor had another reason than a hidden collection, the answer
    would tell that the actor exists.
    """
    match route.target.kind:
        case "object" | "managed":
            return ObjectUnknown(message)
        case "collection" | "page" | "partial" | "object-collection" | "object-page":
            return CollectionUnknown(message)
        case _:
            return ActorUnknown(message)


@frozen
class Visitor:
    """The client that requests a resource."""

    uri: str | None = None
    """The actor that signed the request; None without a valid signature."""
    missing: ApcoreError = field(
        factory=lambda: SignatureMissing("this resource is served to signed requests only"), eq=False
    )
    """The reason why there is no valid signature."""
    key_id: str | None = None

    def unknown(self, error: ResourceUnknown) -> ApcoreError:
        """Return the error for a resource that does not exist, or that this visitor may not see."""
        return self.missing if self.uri is None else error


def is_guarded(site: Site, route: RouteMatch) -> bool:
    """Return whether the registrations alone restrict access to the resource."""
    if route.target.kind == "instance":
        return False
    return site.federation.authorized_fetch == "required" or bool(predicates(site, route))


def predicates(site: Site, route: RouteMatch) -> list[Registered]:
    """Return the predicates that must all agree: the actor's, and the resource's own."""
    is_of_actor = route.target.kind in _KINDS_OF_AN_ACTOR and route.identifier is not None
    actor_predicate = site.federation.actor_authorize if is_of_actor else None
    unique_predicates = dict.fromkeys((actor_predicate, route.target.authorize))
    return [predicate for predicate in unique_predicates if predicate is not None]


def refuse_suspended(site: Site, request: Request) -> Op[None]:
    """Refuse a request that is signed with a key of a suspended domain. The signature is not checked.

    Effects: none without a signature, else those of `check_hosts`.

    Raises:
        DomainSuspended: A key is on a suspended domain.
    """
    _ = yield from check_hosts(site, signer_hosts(request))


def identify_visitor(site: Site, request: Request, url: Url) -> Op[Visitor]:
    """Identify the client by the signature of its request. The signature is checked once for each request.

    Effects: none without a signature, else those of `find_signer`.

    Raises:
        Refused: The domain of the signer is suspended.
    """
    if not is_signed(request):
        return Visitor()
    if _VISITOR not in site.memo:
        site.memo[_VISITOR] = yield from _identify(site, request, url)
    visitor: Visitor = site.memo[_VISITOR]
    return visitor


def signer_of_request(site: Site) -> Op[RequestSigner | None]:
    """Return the proved signer of the site's request; None without a valid signature, or if its domain is suspended.

    Effects: those of `identify_visitor`.
    """
    if site.request is None:
        return None
    site.memo[_IS_ASKED] = True
    try:
        visitor = yield from identify_visitor(site, site.request, parse_url(site.request.url))
    except Refused:
        return None
    return None if visitor.uri is None or visitor.key_id is None else RequestSigner(visitor.uri, visitor.key_id)


def depends_on_viewer(site: Site) -> bool:
    """Return whether a handler of the application has asked for the signer of the site's request."""
    return _IS_ASKED in site.memo


def _identify(site: Site, request: Request, url: Url) -> Op[Visitor]:
    try:
        signed = yield from find_signer(site, request)
    except Refused:
        raise
    except (RemoteError, Unavailable) as error:
        return Visitor(None, error)
    if url.query is not None and not signed.signature.query_covered:
        return Visitor(
            None, BadSignature(f"the signature of {signed.owner} covers the path of {url} but not its query; sign both")
        )
    return Visitor(signed.owner, key_id=signed.key_id)


def check_access(site: Site, request: Request, route: RouteMatch, url: Url) -> Op[Visitor]:
    """Identify the client, and check that it may see a guarded resource.

    Effects: those of `identify_visitor` and of the predicates, and one `Get`.

    Raises:
        RemoteError, Unavailable: This client may not see it. The peer gets the same answer if it does not exist.
    """
    asked = predicates(site, route)
    is_signed_only = site.federation.authorized_fetch == "required"
    is_needed = is_signed_only or any(predicate.takes_viewer for predicate in asked)
    visitor = (yield from identify_visitor(site, request, url)) if is_needed else Visitor()
    if visitor.uri is None and is_signed_only:
        raise visitor.missing
    # The predicates run before the resource is looked up, so a refusal cannot tell whether it exists.
    for predicate in asked:
        if not (yield from _agrees(site, route, predicate, visitor.uri)):
            visitor = yield from identify_visitor(site, request, url)
            hidden = f"a predicate hides {route.target.kind} {dict(route.values)} from {visitor.uri}"
            raise visitor.unknown(resource_unknown(route, hidden))
    known_visitor: Visitor = site.memo.get(_VISITOR, visitor)
    visitor = known_visitor
    if visitor.uri is not None and route.identifier is not None and route.target.kind in _HIDDEN_BY_A_BLOCK:
        owner = site.actor_uri(route.identifier)
        if (yield from blocked_among(owner, (visitor.uri,))):
            raise visitor.unknown(resource_unknown(route, f"{owner} blocks {visitor.uri}"))
    return visitor


def _agrees(site: Site, route: RouteMatch, predicate: Registered, viewer: str | None) -> Op[bool]:
    values = variables_of(route)
    is_of_collection = route.target.kind in {"collection", "page"} and predicate is route.target.authorize
    if route.target.kind == "object" or (is_of_collection and values.keys() != {IDENTIFIER}):
        values_by_name: dict[str, Any] = values | ({"viewer": viewer} if predicate.takes_viewer else {})
        return bool((yield from dispatch_actor(site, predicate, **values_by_name)))
    viewers = (viewer,) if predicate.takes_viewer else ()
    return bool((yield from dispatch_actor(site, predicate, route.identifier, *viewers)))
