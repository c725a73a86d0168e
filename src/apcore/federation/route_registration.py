"""Register the handlers of actors, objects and collections, and the routes that lead to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.collection_registration import CollectionRegistration, check_takes
from apcore.federation.decorators import ActorDecorator, ClientDecorator, ObjectDecorator
from apcore.federation.path_templates import parse_route
from apcore.federation.routes import (
    IDENTIFIER,
    MANAGED_NAME,
    OBJECT_COLLECTION,
    Endpoint,
    Registered,
)
from apcore.handlers import handler_name
from apcore.vocab import View

__all__ = ["RouteRegistration"]

Data = TypeVar("Data", default=None)
V = TypeVar("V", bound=View)

INBOX_CACHE_S: Final = 10.0
"""The default of ``inbox_cache_s``."""
INBOX_CACHE_S_MAX: Final = 3600.0
_WELL_KNOWN: Final = (
    ("/.well-known/webfinger", Endpoint("webfinger")),
    ("/.well-known/host-meta", Endpoint("host-meta", "xml")),
    ("/.well-known/host-meta.json", Endpoint("host-meta", "json")),
    ("/.well-known/nodeinfo", Endpoint("nodeinfo", "links")),
    ("/nodeinfo/2.0", Endpoint("nodeinfo", "2.0")),
    ("/nodeinfo/2.1", Endpoint("nodeinfo", "2.1")),
)


class RouteRegistration(CollectionRegistration[Data]):
    """The part of a `Federation` that registers routes."""

    def __init__(self, *, shared_inbox: str, instance_actor: str) -> None:
        super().__init__()
        self.places.add(shared_inbox, Endpoint("shared-inbox"), variables=())
        self.places.add(instance_actor, Endpoint("instance"), variables=())
        for path, target in _WELL_KNOWN:
            self.places.add(path, target, variables=())
        self._actor_authorize: Registered | None = None
        self.inbox_cache_s = INBOX_CACHE_S
        """How long an inbox takes an actor for existing after the handler has returned it."""

    def relay(self, identifier: str, /) -> None:
        """Make an actor of yours a relay (FEP-ae0c): its followers get the public activities of each other's servers.

        Other servers subscribe with a Follow of the public collection or of this actor. `Federation.follows` decides.

        Raises:
            ConfigurationError: There is a relay already, ``identifier`` is empty, or no handler for actors is
                registered yet.
        """
        self._check_open("relay")
        if not self.places.has("actor"):
            raise ConfigurationError("a relay is an actor of yours: register actor(path) before relay(identifier)")
        if not identifier or not isinstance(identifier, str):
            raise ConfigurationError(f"relay takes the identifier of an actor, not {identifier!r:.60}")
        if self.places.relay_identifier is not None:
            raise ConfigurationError(f"there is a relay already: {self.places.relay_identifier}")
        self.places.relay_identifier = identifier

    @property
    def authenticate_client(self) -> ClientDecorator[Data]:
        """Register the handler that authenticates clients of your users, called as ``(ctx, request)``.

        It returns the identifier of the actor for which the client acts, or None. With it, outboxes take POSTs: clients
        publish and send through them (ActivityPub §6). The answer is 401 for None, and 403 for another's outbox. Check
        a token in the field ``Authorization``. If you accept cookies, check that the request comes from your own pages.

        Raises:
            ConfigurationError: There is a handler already, or it does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("authenticate_client")
            if self._client_authenticator is not None:
                other = handler_name(self._client_authenticator.fn)
                raise ConfigurationError(f"authenticate_client has a handler already: {other}")
            self._client_authenticator = self._registered(fn, takes=2)
            self.places.accepts_clients = True
            return fn

        return cast("ClientDecorator[Data]", register)

    def actor(
        self,
        path: str,
        /,
        *,
        inbox: str | None = None,
        outbox: str | None = None,
        followers: str | None = None,
        following: str | None = None,
        liked: str | None = None,
        authorize: Callable[..., Any] | None = None,
        inbox_cache_s: float = INBOX_CACHE_S,
    ) -> ActorDecorator[Data]:
        """Register the handler for actors. It returns a view of the actor, a `Tombstone` if it is gone, or None.

        ``path`` has the one variable ``{identifier}``. Inbox and collections get paths below it (``…/inbox`` and so
        on), unless you give others. Keys, ``id`` and the addresses of inbox and collections are filled in. Members that
        the handler sets are left as they are.

        ``authorize`` is called as ``(ctx, identifier, viewer)``, and returns whether the viewer may see the actor, its
        collections and its published objects. ``viewer`` is the actor that signed the request, or None. It is called
        before the actor handler, so also for actors that do not exist. If it takes no ``viewer``, the signature is only
        checked when it asks for `Context.signed_key_owner`.

        ``inbox_cache_s`` is how long an inbox accepts activities without another call of the handler, after it has
        returned an actor: so many seconds after you delete the actor, its inbox answers with 202 at most. Use 0 to have
        the handler called for each activity. An actor that is deleted through apcore is gone at once.

        Raises:
            ConfigurationError: ``inbox_cache_s`` is not between 0 and 3,600. A path or the handler does not have this
                form, or there is already an actor handler.
        """
        if not 0 <= inbox_cache_s <= INBOX_CACHE_S_MAX:
            raise ConfigurationError(
                f"inbox_cache_s={inbox_cache_s!r:.60}: use 0 to {INBOX_CACHE_S_MAX:.0f} seconds, 0 for no cache"
            )

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("actor")
            self.inbox_cache_s = inbox_cache_s
            handler = self._registered(fn, takes=2)
            predicate = None if authorize is None else self._predicate(authorize)
            self.places.add(path, Endpoint("actor", handler=handler, authorize=predicate), variables=(IDENTIFIER,))
            self._actor_authorize = predicate
            templates = {
                "inbox": inbox,
                "outbox": outbox,
                "followers": followers,
                "following": following,
                "liked": liked,
            }
            if "{+" in path and None in templates.values():
                raise ConfigurationError(
                    f"{path!r} takes the rest of the path: "
                    "give paths for inbox, outbox, followers, following and liked as well"
                )
            for name, template in templates.items():
                endpoint_path = f"{path}/{name}" if template is None else template
                if name == "inbox":
                    self.places.add(endpoint_path, Endpoint("inbox"), variables=(IDENTIFIER,))
                else:
                    target = self._collections.get(name, Endpoint("collection", name))
                    self.places.add(endpoint_path, target, variables=(IDENTIFIER,))
            if "{+" not in path:
                for name in ("objects", "activities"):
                    self.places.add(
                        f"{path}/{name}/{{{MANAGED_NAME}}}",
                        Endpoint("managed", name),
                        variables=(IDENTIFIER, MANAGED_NAME),
                    )
                self.places.add(
                    f"{path}/objects/{{{MANAGED_NAME}}}/{{{OBJECT_COLLECTION}}}",
                    Endpoint("object-collection"),
                    variables=(IDENTIFIER, MANAGED_NAME, OBJECT_COLLECTION),
                )
            return fn

        return cast("ActorDecorator[Data]", register)

    @property
    def actor_authorize(self) -> Registered | None:
        """The registered predicate that guards actors and everything under them, or None."""
        return self._actor_authorize

    def object(
        self, view: type[V], path: str, /, *, authorize: Callable[..., Any] | None = None
    ) -> ObjectDecorator[Data, V]:
        """Register the handler for objects of a type. It gets the variables of ``path`` by name.

        It returns a view of the object, a `Tombstone` if it is gone, or None if there is none: the answer is then 404.
        A type may have several routes, if they have different variables.

        ``authorize`` gets the same values by name, and ``viewer``: the actor that signed the request, or None. It
        returns whether the viewer may see the object. As for `actor`, it may leave the ``viewer`` out.

        Raises:
            ConfigurationError: The handler does not take the path's variables by name, or ``view`` already has a route
                with these variables.
        """
        name = _type_name(view)

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("object")
            handler = self._registered(fn, takes=None)
            variables = parse_route(path).variables
            check_takes(fn, variables)
            predicate = None if authorize is None else self._predicate_by_name(authorize, variables)
            self.places.add(path, Endpoint("object", name, handler, predicate))
            return fn

        return cast("ObjectDecorator[Data, V]", register)


def _type_name(view: type[View]) -> str:
    name: str | None = view.type_name
    if not name:
        raise ConfigurationError(f"{view.__name__} is a facet without a type; objects are registered by type")
    return name
