"""Register collections: those that the application makes, and those that apcore keeps, at any route."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, get_args

from attrs import evolve
from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.decorators import CollectionDecorator
from apcore.federation.path_templates import parse_route
from apcore.federation.reports import ReportRegistration
from apcore.federation.routes import (
    ACTOR_COLLECTIONS,
    IDENTIFIER,
    PAGE_NAME,
    CollectionForm,
    CollectionItems,
    Endpoint,
    Registered,
    RouteTable,
)
from apcore.handlers import handler_name

__all__ = ["CollectionRegistration", "check_takes"]

Data = TypeVar("Data", default=None)


class CollectionRegistration(ReportRegistration[Data]):
    """The part of a `Federation` that registers collections."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Final = RouteTable()
        self._collections: dict[str, Endpoint] = {}

    def collection(
        self,
        name: str,
        path: str | None = None,
        /,
        *,
        authorize: Callable[..., Any] | None = None,
        counter: Callable[..., Any] | None = None,
        first: Callable[..., Any] | None = None,
        last: Callable[..., Any] | None = None,
        paged: bool = True,
        ordered: bool = True,
        items: CollectionItems = "returned",
    ) -> CollectionDecorator[Data]:
        """Register the handler for the pages of a collection.

        A handler for ``outbox``, ``followers``, ``following`` or ``liked`` replaces the collection that apcore manages.
        Set its path in the registration of the actor. Any other ``name`` needs a ``path``. If its one variable is
        ``{identifier}``, the collection belongs to an actor, and the handler is called as ``(ctx, identifier,
        cursor)``. Otherwise it gets the variables and ``cursor`` by name.

        Filter for the viewer by `Context.signed_key_owner`: caches then tell the clients apart.

        Args:
            name: The name for `Context.collection_uri`.
            path: The route.
            authorize: Called as ``(ctx, identifier, viewer)``, or with the variables and ``viewer`` by name. Returns
                whether the viewer may see the collection. The actor's predicate must also agree. It may leave the
                ``viewer`` out, as for `actor`.
            counter: Returns the number of items, in place of `PageItems.total`. It gets the variables by name. So do
                ``first`` and ``last``.
            first: Returns the cursor of the first page; None stands for a call without a cursor.
            last: Returns the cursor of the last page, or None to link none.
            paged: False serves all items in the collection itself. For small collections: at most 1,000 items.
            ordered: False serves a `Collection`, not an `OrderedCollection`.
            items: ``returned`` serves items as the handler returns them. ``linked`` serves their ids, and ``embedded``
                serves public objects of ours as documents.

        Raises:
            ConfigurationError: ``path`` is missing for another name, or given for one of the four; ``name`` already has
                a handler; or a handler cannot be called as it is.
        """
        is_actor_collection = name in ACTOR_COLLECTIONS
        if is_actor_collection and path is not None:
            raise ConfigurationError(f"the path of {name} belongs to the actor: actor(..., {name}={path!r})")
        if not is_actor_collection and path is None:
            raise ConfigurationError(
                f"a collection {name!r} needs a path; only {', '.join(ACTOR_COLLECTIONS)} are registered without one"
            )
        variables = (IDENTIFIER,) if path is None else self._variables(path)
        form = CollectionForm(
            counter=self._by_name(counter, variables),
            first=self._by_name(first, variables),
            last=self._by_name(last, variables),
            is_paged=paged,
            is_ordered=ordered,
            items=_checked_items(items),
        )

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("collection")
            registered = self._collections.get(name)
            if registered is not None and registered.handler is not None:
                other = handler_name(registered.handler.fn)
                raise ConfigurationError(f"collection {name!r} has a handler already: {other}")
            if variables == (IDENTIFIER,):
                handler = self._registered(fn, takes=3)
            else:
                handler = self._registered(fn, takes=None)
                check_takes(fn, (*variables, "cursor"))
            target = Endpoint("collection", name, handler, self._collection_predicate(authorize, variables), form)
            if path is not None:
                self.places.add(path, target)
            elif self.places.has("collection", name):
                self.places.replace(target)
            self._collections[name] = target
            return fn

        return cast("CollectionDecorator[Data]", register)

    def managed_collection(
        self,
        name: str,
        path: str,
        /,
        *,
        authorize: Callable[..., Any] | None = None,
        paged: bool = True,
        ordered: bool = True,
        items: CollectionItems = "returned",
    ) -> None:
        """Register a collection that apcore keeps and serves, such as ``featured``.

        If the one variable of ``path`` is ``{identifier}``, it is a collection of each actor. Write it with
        `Context.append` and `Context.remove`, or send an Add or a Remove with the collection as its target. The options
        are as for `collection`; the items are ids, unless they are ``embedded``. With ``paged=False``, a collection of
        up to 100 members is served as a whole.

        Raises:
            ConfigurationError: ``name`` is a collection already, or ``path`` is no route.
        """
        self._check_open("managed_collection")
        if name in ACTOR_COLLECTIONS or name in self._collections:
            raise ConfigurationError(f"there is a collection {name!r:.60} already")
        form = CollectionForm(is_paged=paged, is_ordered=ordered, items=_checked_items(items))
        predicate = self._collection_predicate(authorize, self._variables(path))
        target = Endpoint("collection", name, None, predicate, form)
        self.places.add(path, target)
        self._collections[name] = target

    def _variables(self, path: str) -> tuple[str, ...]:
        variables = parse_route(path).variables
        reserved = {PAGE_NAME, "cursor", "viewer"}.intersection(variables)
        if reserved:
            raise ConfigurationError(f"{path!r} has the variable {min(reserved)}, which has a meaning of its own")
        return variables

    def _by_name(self, fn: Callable[..., Any] | None, variables: Sequence[str]) -> Registered | None:
        if fn is None:
            return None
        check_takes(fn, variables)
        return self._registered(fn, takes=None)

    def _collection_predicate(self, fn: Callable[..., Any] | None, variables: tuple[str, ...]) -> Registered | None:
        if fn is None:
            return None
        return self._predicate(fn) if variables == (IDENTIFIER,) else self._predicate_by_name(fn, variables)

    def _predicate(self, fn: Callable[..., Any]) -> Registered:
        """Return the predicate of an actor or its collection, called with the identifier, and the viewer if it may."""
        takes_viewer = _takes(fn, 3)
        return evolve(
            self._registered(fn, takes=3 if takes_viewer or not _takes(fn, 2) else 2), takes_viewer=takes_viewer
        )

    def _predicate_by_name(self, fn: Callable[..., Any], variables: Sequence[str]) -> Registered:
        """Return a predicate that is called with variables by name, and the viewer if it takes one."""
        try:
            _ = inspect.signature(fn).bind(None, **dict.fromkeys(variables))
        except TypeError:
            check_takes(fn, (*variables, "viewer"))
            return self._registered(fn, takes=None)
        return evolve(self._registered(fn, takes=None), takes_viewer=_takes_viewer_by_name(fn))


def check_takes(fn: Callable[..., Any], names: Sequence[str]) -> None:
    """Check that a handler can be called with a context and with values by name.

    Raises:
        ConfigurationError: It cannot.
    """
    try:
        _ = inspect.signature(fn).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise ConfigurationError(
            f"{handler_name(fn)} is called with the context and {', '.join(names)} by name, but {error}"
        ) from error


def _takes(fn: Callable[..., Any], count: int) -> bool:
    try:
        _ = inspect.signature(fn).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def _takes_viewer_by_name(fn: Callable[..., Any]) -> bool:
    """Return whether a function has a parameter for the viewer, which may be one for any name."""
    parameters = inspect.signature(fn).parameters.values()
    return any(parameter.name == "viewer" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _checked_items(items: CollectionItems) -> CollectionItems:
    if items not in get_args(CollectionItems):
        raise ConfigurationError(f"items is {', '.join(get_args(CollectionItems))}, not {items!r:.60}")
    return items
