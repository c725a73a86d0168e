"""Define the routes of a federation: from a path to its endpoint, and from an endpoint to its URI.

The variable of an actor's route is its identifier. The inbox, outbox, followers, following and registered collections
of an actor have routes of their own with the same one variable. The pages of a collection are below it, at
``…/page/{page}``, unless its route takes the rest of the path. The collections of a published object are below its
address. The table is filled while handlers are registered, and only read afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen

from apcore.errors import ConfigurationError, RequestError
from apcore.federation.path_templates import PathMatcher, Route, parse_route
from apcore.handlers import HandlerKind
from apcore.http import Origin, parse_url

__all__ = [
    "ACTOR_COLLECTIONS",
    "IDENTIFIER",
    "MANAGED_NAME",
    "OBJECT_COLLECTION",
    "OBJECT_COLLECTIONS",
    "PAGE_NAME",
    "USERNAME",
    "CollectionForm",
    "CollectionItems",
    "Endpoint",
    "Kind",
    "Registered",
    "RouteMatch",
    "RouteTable",
]

CollectionItems: TypeAlias = Literal["returned", "linked", "embedded"]
"""The items of a collection as they are served.

``returned``: as the handler returns them, or ids. ``linked``: ids. ``embedded``: public objects of ours as documents.
"""
Kind: TypeAlias = Literal[
    "actor",
    "actor-path",
    "instance",
    "profile",
    "inbox",
    "shared-inbox",
    "collection",
    "page",
    "partial",
    "object",
    "managed",
    "object-collection",
    "object-page",
    "webfinger",
    "host-meta",
    "nodeinfo",
]


IDENTIFIER: Final = "identifier"
USERNAME: Final = "username"
MANAGED_NAME: Final = "name"
PAGE_NAME: Final = "page"
OBJECT_COLLECTION: Final = "collection"
ACTOR_COLLECTIONS: Final = ("outbox", "followers", "following", "liked")
"""The collections that every actor has, even without a handler of the application."""
OBJECT_COLLECTIONS: Final = ("likes", "shares", "replies")
"""The collections that every published object has."""
_PAGE_KINDS: Final[Mapping[Kind, Kind]] = {"collection": "page", "object-collection": "object-page"}
"""The kind of the pages of each kind of collection."""


@frozen
class Registered:
    """A registered handler of the application."""

    fn: Callable[..., Any]
    handler_kind: HandlerKind
    takes_viewer: bool = True
    """Of a predicate: whether it is called with the viewer. If not, it asks its context for the signer."""


@frozen(kw_only=True)
class CollectionForm:
    """The form in which a collection is served."""

    counter: Registered | None = None
    """The handler that returns the number of items."""
    first: Registered | None = None
    """The handler that returns the cursor of the first page."""
    last: Registered | None = None
    """The handler that returns the cursor of the last page."""
    is_paged: bool = True
    is_ordered: bool = True
    items: CollectionItems = "returned"

    @property
    def handlers(self) -> list[Registered]:
        """The handlers of the application in this form."""
        return [handler for handler in (self.counter, self.first, self.last) if handler is not None]


@frozen
class Endpoint:
    """The target of a route."""

    kind: Kind
    name: str = ""
    """The name of the collection or of the pages' collection, the object's type, the managed objects' kind, the
    document's version, the template of the profile pages, or the identifier of the actor with a path of its own."""
    handler: Registered | None = None
    authorize: Registered | None = None
    """The application's predicate that decides about visibility, if there is one."""
    form: CollectionForm = CollectionForm()
    """The form of a collection."""


@frozen
class RouteMatch:
    """The match of a path: its endpoint, and the values of the route's variables."""

    target: Endpoint
    values: Mapping[str, str]

    @property
    def identifier(self) -> str | None:
        """The identifier of the actor to which the resource belongs; None if it belongs to no actor."""
        return self.values.get(IDENTIFIER)


class RouteTable:
    """The table of routes."""

    def __init__(self) -> None:
        self._router: PathMatcher[Endpoint] = PathMatcher()
        self._routes: dict[tuple[Kind, str], Route] = {}
        self.profiles: dict[str, str | None] = {}
        """The templates of profile pages, in the order of their registration. A template without a variable has the
        identifier of its actor."""
        self.actor_paths: dict[str, str] = {}
        """The paths of the ids of single actors, by identifier."""
        self._further_routes: dict[tuple[Kind, str], list[Route]] = {}
        """The routes of a type of object after its first. They differ in their variables."""
        self.relay_identifier: str | None = None
        """The identifier of the actor that is a relay: a Follow of the public collection asks this actor."""
        self.ignores_trailing_slash: bool = False
        self.accepts_clients: bool = False
        """Whether clients of our own users may post to outboxes."""

    def add(self, template: str, target: Endpoint, *, variables: tuple[str, ...] | None = None) -> None:
        """Add a route. The pages of a collection get a route too.

        Raises:
            ConfigurationError: `parse_route` or `PathMatcher.add` refuses the route, or this kind and name have one.
        """
        endpoint_key = (target.kind, target.name)
        route = parse_route(template, variables=variables)
        for other in self._all_routes(endpoint_key):
            if target.kind != "object" or set(other.variables) == set(route.variables):
                label = f"{target.kind} {target.name}".strip()
                raise ConfigurationError(f"{label} is registered already, at {other.template!r}")
        self._router.add(route, target)
        if endpoint_key in self._routes:
            self._further_routes.setdefault(endpoint_key, []).append(route)
            return
        self._routes[endpoint_key] = route
        page_kind = _PAGE_KINDS.get(target.kind)
        if page_kind is not None and "{+" not in template:
            page_variables = None if variables is None else (*variables, PAGE_NAME)
            self.add(f"{template}/page/{{{PAGE_NAME}}}", evolve(target, kind=page_kind), variables=page_variables)
            if (target.kind, target.name) == ("collection", "followers"):
                self.add(f"{template}/synchronization", evolve(target, kind="partial"), variables=variables)

    def replace(self, target: Endpoint) -> None:
        """Replace the endpoint of an existing route, for a new handler or predicate."""
        route = self._routes[target.kind, target.name]
        self._router.replace(route, target)
        if target.kind == "collection" and self.has("page", target.name):
            self.replace(evolve(target, kind="page"))
        if target.kind == "collection" and self.has("partial", target.name):
            self.replace(evolve(target, kind="partial"))

    def targets(self) -> list[Endpoint]:
        """Return all endpoints in the table."""
        return self._router.targets()

    def has(self, kind: Kind, name: str = "") -> bool:
        """Return whether there is a route for this kind and name."""
        return (kind, name) in self._routes

    def template(self, kind: Kind, name: str = "") -> str:
        """Return the template of a route, for messages."""
        return self._routes[kind, name].template

    def at(self, path: str) -> RouteMatch | None:
        """Return the match of ``path`` (percent-encoded, without query), or None."""
        match = self._router.match(path)
        if match is None:
            return None
        target, values = match
        if target.kind == "actor-path":
            actors = [other for other in self.targets() if other.kind == "actor"]
            return RouteMatch(actors[0], {IDENTIFIER: target.name}) if actors else None
        if target.kind == "actor" and values[IDENTIFIER] in self.actor_paths:
            # An actor has one id. The path that others have leads to it.
            return RouteMatch(Endpoint("profile", self.template("actor")), values)
        return RouteMatch(target, values)

    def uri(self, origin: Origin, kind: Kind, name: str = "", /, **values: str) -> str:
        """Return the URI of an endpoint under ``origin``.

        Raises:
            ConfigurationError: No route of this kind and name is registered.
            ValueError: The values do not fit the route.
        """
        routes = self._all_routes((kind, name))
        if not routes:
            raise ConfigurationError(f"no {kind} {name} is registered".replace("  ", " ").strip())
        route = next((route for route in routes if set(route.variables) == values.keys()), routes[0])
        return f"{origin}{route.build(values)}"

    def _all_routes(self, endpoint_key: tuple[Kind, str]) -> list[Route]:
        """Return the routes of an endpoint: none or one, or several for a type of object."""
        first = self._routes.get(endpoint_key)
        return [] if first is None else [first, *self._further_routes.get(endpoint_key, ())]

    def actor_uri(self, origin: Origin, identifier: str) -> str:
        """Return the id of a local actor. Raises as `uri`.

        The name of the host is the identifier of the instance actor.
        """
        if identifier == origin.host:
            return self.uri(origin, "instance")
        if identifier in self.actor_paths:
            return f"{origin}{self.actor_paths[identifier]}"
        return self.uri(origin, "actor", identifier=identifier)

    def profile_uri(self, origin: Origin, identifier: str, username: str) -> str | None:
        """Return the address of the first profile page that is registered for an actor; None without one."""
        for template, only in self.profiles.items():
            if only not in {None, identifier}:
                continue
            [*variables] = self._routes["profile", template].variables
            values = {name: identifier if name == IDENTIFIER else username for name in variables}
            try:
                return self.uri(origin, "profile", template, **values)
            except ValueError:
                continue  # the name cannot stand in this path
        return None

    def relay_uri(self, origin: Origin) -> str | None:
        """Return the id of the local actor that is a relay; None if there is none."""
        return None if self.relay_identifier is None else self.actor_uri(origin, self.relay_identifier)

    def collection_uri(self, origin: Origin, name: str, identifier: str) -> str:
        """Return the address of a local actor's collection. Raises as `uri`.

        The collections of the instance actor are not served. Their addresses are fragments of its id.
        """
        if identifier == origin.host and name in ACTOR_COLLECTIONS:
            return f"{self.uri(origin, 'instance')}#{name}"
        return self.uri(origin, "collection", name, identifier=identifier)

    def identifier_of(self, origin: Origin, uri: str) -> str | None:
        """Return the identifier if ``uri`` has the form of a local actor's id. The actor need not exist."""
        match = self.read(origin, uri)
        if match is None:
            return None
        if match.target.kind == "instance":
            return origin.host
        return match.identifier if match.target.kind == "actor" else None

    def takes_posts(self, match: RouteMatch) -> bool:
        """Return whether a POST to a route is answered: to an inbox, and to an outbox if clients may post there."""
        target = match.target
        is_outbox = (target.kind, target.name) == ("collection", "outbox")
        return target.kind in {"inbox", "shared-inbox"} or (is_outbox and self.accepts_clients)

    def read(self, origin: Origin, uri: str) -> RouteMatch | None:
        """Return the match of ``uri`` under ``origin``.

        The result is None if the URI is invalid, has another origin, or matches no route. A URI with a query or a
        fragment names something other than the endpoint, so it never matches. Only a collection of the instance actor
        has a fragment.
        """
        try:
            url = parse_url(uri)
        except RequestError:
            return None
        if url.origin != origin or url.query is not None:
            return None
        if url.fragment is None:
            return self.at(url.path)
        if url.fragment in ACTOR_COLLECTIONS and uri == self.collection_uri(origin, url.fragment, origin.host):
            return RouteMatch(Endpoint("collection", url.fragment), {IDENTIFIER: origin.host})
        return None
