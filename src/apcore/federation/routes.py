"""What is where under an origin: the routes of a federation, read in both directions.

An actor's route gives the identifier; everything an actor has (inbox, outbox, followers, following, and collections that the application
registers) stands at routes of its own with the same one variable. The pages of a collection stand below it, at
``…/page/{page}``, unless its route takes the rest of the path. The table is built while handlers are registered, and
only read afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen

from apcore.errors import ConfigurationError, RequestError
from apcore.federation.path_templates import Route, Router, parse_route
from apcore.handlers import HandlerKind
from apcore.http import Origin, parse_url

__all__ = [
    "ACTOR_COLLECTIONS",
    "IDENTIFIER",
    "MANAGED_NAME",
    "PAGE_NAME",
    "Endpoint",
    "Kind",
    "Registered",
    "RouteMatch",
    "RouteTable",
]

Kind: TypeAlias = Literal[
    "actor",
    "instance",
    "inbox",
    "shared-inbox",
    "collection",
    "page",
    "object",
    "managed",
    "webfinger",
    "host-meta",
    "nodeinfo",
]


IDENTIFIER: Final = "identifier"
MANAGED_NAME: Final = "name"
PAGE_NAME: Final = "page"
ACTOR_COLLECTIONS: Final = ("outbox", "followers", "following")
"""The collections that every actor has without a word from the application."""


@frozen
class Registered:
    """An application's handler as it was registered."""

    fn: Callable[..., Any]
    handler_kind: HandlerKind
    inline: bool = False


@frozen
class Endpoint:
    """What a route leads to."""

    kind: Kind
    name: str = ""
    """The name of the collection or of the pages' collection, the object's type, the managed objects' kind, or the
    document's version."""
    handler: Registered | None = None
    authorize: Registered | None = None
    """Who may see it, if the application has said."""


@frozen
class RouteMatch:
    """What stands at a path: a target, and the values of its variables."""

    target: Endpoint
    values: Mapping[str, str]

    @property
    def identifier(self) -> str | None:
        """Whose it is, where it is an actor's."""
        return self.values.get(IDENTIFIER)


class RouteTable:
    """The table of routes."""

    def __init__(self) -> None:
        self._router: Router[Endpoint] = Router()
        self._routes: dict[tuple[Kind, str], Route] = {}

    def add(self, template: str, target: Endpoint, *, variables: tuple[str, ...] | None = None) -> None:
        """Take in a route.

        Raises:
            ConfigurationError: As `parse_route` and `Router.add`, or there is one for this kind and name already.
        """
        place = (target.kind, target.name)
        if place in self._routes:
            shown = f"{target.kind} {target.name}".strip()
            raise ConfigurationError(f"{shown} is registered already, at {self._routes[place].template!r}")
        route = parse_route(template, variables=variables)
        self._router.add(route, target)
        self._routes[place] = route
        if target.kind == "collection" and "{+" not in template:
            page_variables = None if variables is None else (*variables, PAGE_NAME)
            self.add(f"{template}/page/{{{PAGE_NAME}}}", evolve(target, kind="page"), variables=page_variables)

    def replace(self, target: Endpoint) -> None:
        """Give a route that is there another handler."""
        route = self._routes[target.kind, target.name]
        self._router.replace(route, target)
        if target.kind == "collection" and self.has("page", target.name):
            self.replace(evolve(target, kind="page"))

    def targets(self) -> list[Endpoint]:
        """Give every target in the table."""
        return self._router.targets()

    def has(self, kind: Kind, name: str = "") -> bool:
        """Whether there is a route for it."""
        return (kind, name) in self._routes

    def template(self, kind: Kind, name: str = "") -> str:
        """Give the route's template, for messages."""
        return self._routes[kind, name].template

    def at(self, path: str) -> RouteMatch | None:
        """Give what stands at ``path`` (percent-encoded, without query), or None."""
        found = self._router.match(path)
        return None if found is None else RouteMatch(*found)

    def uri(self, origin: Origin, kind: Kind, name: str = "", /, **values: str) -> str:
        """Give the URI of a thing under ``origin``.

        Raises:
            ConfigurationError: Nothing of this kind and name is registered.
            ValueError: The values do not fit the route.
        """
        route = self._routes.get((kind, name))
        if route is None:
            raise ConfigurationError(f"no {kind} {name} is registered".replace("  ", " ").strip())
        return f"{origin}{route.build(values)}"

    def read(self, origin: Origin, uri: str) -> RouteMatch | None:
        """Give what ``uri`` names under ``origin``, or None if it is elsewhere, nothing, or no URI.

        A fragment or a query names something else than the place itself, so with either the answer is None.
        """
        try:
            url = parse_url(uri)
        except RequestError:
            return None
        if url.origin != origin or url.query is not None or url.fragment is not None:
            return None
        return self.at(url.path)
