"""Define the addresses of a federation: those of its actors, inboxes, collections and objects, and how they are read.

They are computed, so they are the same in all variants of the context, and on nodes.
"""

from __future__ import annotations

from typing import Any

from apcore.errors import ContractError
from apcore.federation.routes import IDENTIFIER, Kind, RouteMatch
from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import Origin
from apcore.vocab import View

__all__ = ["AddressMethods"]


class AddressMethods:
    """The members that compute addresses."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    @property
    def origin(self) -> str:
        """The origin that this request or job is for.

        It comes from the configuration of the node, never from a header, so it is the canonical one.

        Raises:
            ContractError: The node has no origin: it only pulls.
        """
        return str(_origin(self._scope))

    @property
    def host(self) -> str:
        """The host of `origin`, with its port unless that is the port of the scheme. Raises as `origin`."""
        return _origin(self._scope).authority

    @property
    def hostname(self) -> str:
        """The host of `origin` without a port. Raises as `origin`."""
        return _origin(self._scope).host

    def actor_uri(self, identifier: str, /) -> str:
        """Return the id of a local actor. The name of the host is the identifier of the instance actor."""
        return self._scope.places.actor_uri(_origin(self._scope), identifier)

    def inbox_uri(self, identifier: str | None = None, /) -> str:
        """Return the address of an actor's inbox, or of the shared inbox without ``identifier``."""
        if identifier is None:
            return _uri(self._scope, "shared-inbox")
        return _uri(self._scope, "inbox", **{IDENTIFIER: identifier})

    def outbox_uri(self, identifier: str, /) -> str:
        """Return the address of an actor's outbox."""
        return self.collection_uri("outbox", identifier)

    def followers_uri(self, identifier: str, /) -> str:
        """Return the address of an actor's followers."""
        return self.collection_uri("followers", identifier)

    def following_uri(self, identifier: str, /) -> str:
        """Return the address of the actors that an actor follows."""
        return self.collection_uri("following", identifier)

    def liked_uri(self, identifier: str, /) -> str:
        """Return the address of the objects that an actor liked."""
        return self.collection_uri("liked", identifier)

    def featured_uri(self, identifier: str, /) -> str:
        """Return the address of the posts that an actor has pinned: the collection registered as ``featured``."""
        return self.collection_uri("featured", identifier)

    def featured_tags_uri(self, identifier: str, /) -> str:
        """Return the address of the hashtags that an actor features: the collection registered as ``featuredTags``."""
        return self.collection_uri("featuredTags", identifier)

    def collection_uri(self, name: str, identifier: str | None = None, /, **values: str) -> str:
        """Return the address of an actor's ``outbox``, ``followers``, ``following``, or of a registered collection.

        A collection that does not belong to an actor gets the variables of its route by name.
        """
        own_values = values if identifier is None else values | {IDENTIFIER: identifier}
        return _uri(self._scope, "collection", name, **own_values)

    def object_uri(self, view: type[View], /, **values: str) -> str:
        """Return the id of an object that a registered handler makes."""
        return _uri(self._scope, "object", view.type_name or "", **values)

    def nodeinfo_uri(self) -> str:
        """Return the address of the description of the server (NodeInfo 2.1)."""
        return _uri(self._scope, "nodeinfo", "2.1")

    def parse_uri(self, uri: str, /) -> RouteMatch | None:
        """Return the route and values of a URI of this origin, or None if no route matches it."""
        return None if self._scope.origin is None else self._scope.places.read(self._scope.origin, uri)


def _origin(scope: UnitOfWork[Any]) -> Origin:
    if scope.origin is None:
        raise ContractError("this node has no origin, so nothing of it has an address")
    return scope.origin


def _uri(scope: UnitOfWork[Any], kind: Kind, name: str = "", /, **values: str) -> str:
    return scope.places.uri(_origin(scope), kind, name, **values)
