"""Register the names of actors: handles, profile pages, other WebFinger resources, and links in WebFinger answers.

An identifier stands in the path of an actor's id, and never changes. A username is the part of a handle that people
type (``preferredUsername``), and may change. By default, both are one text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, cast, overload

from attrs import define, field
from typing_extensions import TypeVar

from apcore.discovery import DescriptorLink
from apcore.effects import Op
from apcore.errors import ConfigurationError
from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.decorators import LinksDecorator, NameDecorator
from apcore.federation.path_templates import parse_route
from apcore.federation.route_registration import RouteRegistration
from apcore.federation.routes import IDENTIFIER, USERNAME, Endpoint, Registered
from apcore.handlers import handler_name

__all__ = ["NameRegistration", "NameRules"]

Data = TypeVar("Data", default=None)

_NOT_IN_ADDRESS: Final = re.compile(r"[\x00-\x20\x7f]")


@define
class NameRules:
    """The registrations about names."""

    handle: Registered | None = None
    """The handler that returns the identifier for a username."""
    case_sensitive: bool = False
    """Whether a username is looked up only in the spelling of the request."""
    resource: Registered | None = None
    """The handler that returns the identifier for any other URI."""
    links: Registered | None = None
    """The handler that returns further links of one actor."""
    common_links: list[DescriptorLink] = field(factory=list[DescriptorLink])
    """The links of every actor. A path stands for the address under the origin of the request."""
    checked: dict[str, None] = field(factory=dict[str, None])
    """The actors whose handles were looked up once, to report in the log those that are not found."""

    @property
    def handlers(self) -> list[Registered]:
        """The registered handlers."""
        return [handler for handler in (self.handle, self.resource, self.links) if handler is not None]

    def registered(self, **routes: object) -> list[str]:
        """Return the names of the methods that registered something. ``routes`` are registered paths by method."""
        values = {"handle": self.handle, "resource": self.resource, "links": self.links, "link": self.common_links}
        return [name for name, value in (values | routes).items() if value]


class NameRegistration(RouteRegistration[Data]):
    """The part of a `Federation` that registers the names of actors."""

    def __init__(self, *, shared_inbox: str, instance_actor: str) -> None:
        super().__init__(shared_inbox=shared_inbox, instance_actor=instance_actor)
        self.names: Final = NameRules()

    @overload
    def handle(
        self, fn: Callable[[AsyncContext[Data], str], Coroutine[Any, Any, str | None]], /
    ) -> Callable[[AsyncContext[Data], str], Coroutine[Any, Any, str | None]]: ...
    @overload
    def handle(
        self, fn: Callable[[OpContext[Data], str], Op[str | None]], /
    ) -> Callable[[OpContext[Data], str], Op[str | None]]: ...
    @overload
    def handle(
        self, fn: Callable[[Context[Data], str], str | None], /
    ) -> Callable[[Context[Data], str], str | None]: ...
    @overload
    def handle(self, /, *, case_sensitive: bool = False) -> NameDecorator[Data]: ...
    def handle(self, fn: Callable[..., Any] | None = None, /, *, case_sensitive: bool = False) -> Any:
        """Register the handler that returns the identifier for a username, or None if there is no such user.

        It is called as ``(ctx, username)``. Register it if identifiers are not usernames, such as numbers. Without it,
        a username is looked up as an identifier.

        People and servers write a username in any case. So a name that is not found is looked up again in lower case,
        unless ``case_sensitive`` is set. A former username may go on to return the identifier: the answer names the
        ``preferredUsername`` of the actor.

        Raises:
            ConfigurationError: There is a handler already, or the handler does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("handle")
            handler = self._registered(fn, takes=2)
            self._refuse_second("handle", self.names.handle, fn)
            self.names.handle, self.names.case_sensitive = handler, case_sensitive
            return fn

        return register if fn is None else register(fn)

    def profile(self, path: str, /, *, identifier: str | None = None) -> None:
        """Register the path of the actors' profile pages: another address that leads to the actor.

        ``path`` has the one variable ``{username}`` or ``{identifier}``, such as ``/@{username}``. A path without a
        variable is the page of the actor ``identifier``. You may register several. WebFinger and lookups find the actor
        by them. A request that prefers ActivityPub is redirected to the actor's id. The page of the first path that
        fits is the ``url`` of an actor whose view has none.

        Raises:
            ConfigurationError: ``path`` is a route already, or has other variables.
        """
        self._check_open("profile")
        variables = parse_route(path).variables
        if identifier is None and variables not in {(USERNAME,), (IDENTIFIER,)}:
            raise ConfigurationError(
                f"the path of profile pages has one variable, {{{USERNAME}}} or {{{IDENTIFIER}}}: not {path!r:.80}; "
                "for the page of one actor, pass identifier="
            )
        if identifier is not None and (variables or not identifier):
            raise ConfigurationError(f"the page of one actor has a path without variables, not {path!r:.80}")
        self.places.add(path, Endpoint("profile", path), variables=variables)
        self.places.profiles[path] = identifier

    def actor_path(self, path: str, /, *, identifier: str) -> None:
        """Register the path of the id of one actor, in place of the path that all actors have: ``/bot`` for a bot.

        Its inbox and its collections keep their paths. The path that other actors have redirects to the id. An id never
        changes, so choose the path before the actor speaks to anybody.

        Raises:
            ConfigurationError: ``path`` is a route already, or has variables, or the actor has such a path already.
        """
        self._check_open("actor_path")
        if not identifier or not isinstance(identifier, str):
            raise ConfigurationError(f"actor_path takes the identifier of an actor, not {identifier!r:.60}")
        self.places.add(path, Endpoint("actor-path", identifier), variables=())
        self.places.actor_paths[identifier] = path

    @property
    def resource(self) -> NameDecorator[Data]:
        """Register a handler for WebFinger resources that no route matches: ``(ctx, uri) -> identifier, or None``.

        ``uri`` is any URI, such as that of a page on another host or a ``mailto:`` address. Servers ask your host for
        it if the other host redirects them to you.

        Raises:
            ConfigurationError: There is a handler already, or the handler does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("resource")
            handler = self._registered(fn, takes=2)
            self._refuse_second("resource", self.names.resource, fn)
            self.names.resource = handler
            return fn

        return cast("NameDecorator[Data]", register)

    def link(
        self,
        rel: str,
        /,
        *,
        href: str | None = None,
        template: str | None = None,
        type: str | None = None,  # noqa: A002 - the member's name
    ) -> None:
        """Add a link to the WebFinger answers of all actors.

        Give ``href``, an address, or ``template``, an address with variables. A path is completed by the origin. Two
        relations with a template let people act from their own server: ``http://ostatus.org/schema/1.0/subscribe``
        with ``{uri}``, and ``https://w3id.org/fep/3b86/`` with the type of an activity (FEP-3b86).

        Raises:
            ConfigurationError: There is not exactly one address, or it or ``rel`` cannot stand in a link.
        """
        self._check_open("link")
        address = href if template is None else template
        if not rel or _NOT_IN_ADDRESS.search(rel):
            raise ConfigurationError(f"the relation of a link is a word or a URI, not {rel!r:.80}")
        if address is None or (href is not None and template is not None):
            raise ConfigurationError(f"the link {rel} needs href= or template=, and not both")
        if not address.startswith(("/", "https://", "http://")) or _NOT_IN_ADDRESS.search(address):
            raise ConfigurationError(f"the link {rel} leads to a path or an https URL, not to {address!r:.80}")
        self.names.common_links.append(DescriptorLink(rel, type=type, href=href, template=template))

    @property
    def links(self) -> LinksDecorator[Data]:
        """Register a handler for further links of one actor: ``(ctx, identifier) -> list of DescriptorLink``.

        A path is completed by the origin, as in `link`.

        Raises:
            ConfigurationError: There is a handler already, or the handler does not have this form.
        """

        def register(fn: Callable[..., Sequence[DescriptorLink]]) -> Callable[..., Sequence[DescriptorLink]]:
            self._check_open("links")
            handler = self._registered(fn, takes=2)
            self._refuse_second("links", self.names.links, fn)
            self.names.links = handler
            return fn

        return cast("LinksDecorator[Data]", register)

    @staticmethod
    def _refuse_second(name: str, registered: Registered | None, fn: Callable[..., Any]) -> None:
        if registered is not None:
            raise ConfigurationError(
                f"{name} has a handler already, {handler_name(registered.fn)}: {handler_name(fn)} would be a second one"
            )
