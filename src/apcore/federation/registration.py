"""Define `Federation`: the handlers and rules that an application registers.

A federation holds the routes of actors, objects and collections, the handlers that make them, the listeners for
activities, and the rules for peers. It holds no ports, no origin and no state. So one object can serve a web process, a
worker, a test and a simulation. `Node` binds it to ports and an origin.

Register handlers with decorators, at import. A contradiction is refused at once. `check` reports missing registrations.

``Data`` is the type of `Context.data`, a value of the application for all handlers, such as a session factory, a
repository or settings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, Literal, cast, get_args, overload

from attrs import frozen
from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ConfigurationError
from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.data_use import is_data_type, needs_data
from apcore.federation.decorators import (
    ActorDecorator,
    CollectionDecorator,
    ErrorDecorator,
    ListenerDecorator,
    ObjectDecorator,
)
from apcore.federation.moderation import DomainRules
from apcore.federation.path_templates import parse_route
from apcore.federation.policies import AuthorizedFetch, FollowVerdict, KeyPolicy
from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryRules, check_retries
from apcore.federation.routes import ACTOR_COLLECTIONS, IDENTIFIER, MANAGED_NAME, Endpoint, Registered, RouteTable
from apcore.handlers import HandlerKind, handler_kind_of, handler_name
from apcore.ports import Durability
from apcore.remote import DEFAULT_BUDGETS, Budgets
from apcore.signatures import DEFAULT, SignaturePolicy, SignatureScheme
from apcore.vocab import Activity, Document, Follow, View, Vocabulary

__all__ = ["CheckFinding", "Federation"]

Data = TypeVar("Data", default=None)
V = TypeVar("V", bound=View)
A = TypeVar("A", bound=Activity)

_WELL_KNOWN: Final = (
    ("/.well-known/webfinger", Endpoint("webfinger")),
    ("/.well-known/host-meta", Endpoint("host-meta", "xml")),
    ("/.well-known/host-meta.json", Endpoint("host-meta", "json")),
    ("/.well-known/nodeinfo", Endpoint("nodeinfo", "links")),
    ("/nodeinfo/2.0", Endpoint("nodeinfo", "2.0")),
    ("/nodeinfo/2.1", Endpoint("nodeinfo", "2.1")),
)

# A product token (RFC 9110 §10.1.5), with the name restricted to the characters that NodeInfo's schema allows.
_SOFTWARE: Final = re.compile(r"([a-z0-9-]+)/([A-Za-z0-9.+_-]+)")


@frozen
class CheckFinding:
    """A finding of `Federation.check`."""

    level: Literal["error", "warning"]
    """The severity: an error prevents a node from being made, a warning is logged."""
    text: str


class Federation(Generic[Data]):
    """The handlers and rules of a server. Register everything before you make a `Node` of it; later calls are refused.

    Raises:
        ConfigurationError: ``software`` is not written as ``name/version``, ``signatures`` is not a `SignaturePolicy`,
            ``budgets`` are not `Budgets`, ``authorized_fetch`` is an unknown word, ``accept_signature`` needs a policy
            with RFC 9421, or `check_retries` refuses ``listener_retries`` or ``delivery_retries``.
    """

    def __init__(
        self,
        *,
        software: str = "apcore/0.1",
        shared_inbox: str = "/inbox",
        instance_actor: str = "/actor",
        signature_scheme: SignatureScheme = "cavage",
        signatures: SignaturePolicy = DEFAULT,
        vocabulary: Vocabulary | None = None,
        unknown_contexts: Literal["ignore", "fetch"] = "ignore",
        budgets: Budgets = DEFAULT_BUDGETS,
        listener_retries: RetryRules = LISTENER_RETRIES,
        delivery_retries: RetryRules = DELIVERY_RETRIES,
        keys: KeyPolicy = KeyPolicy(),  # noqa: B008 - immutable
        authorized_fetch: AuthorizedFetch = "off",
        accept_signature: bool = False,
    ) -> None:
        software_match = _SOFTWARE.fullmatch(software)
        if software_match is None:
            raise ConfigurationError(
                f"software is written as name/version, the name in a-z, 0-9 and -: not {software!r}"
            )
        self.software_name: Final = software_match[1]
        self.software_version: Final = software_match[2]
        self.signature_scheme: Final = signature_scheme
        if not isinstance(signatures, SignaturePolicy):
            raise ConfigurationError(f"signatures takes a SignaturePolicy, not {signatures!r:.60}")
        self.signature_policy: Final = signatures
        self.vocabulary: Final = vocabulary
        self.unknown_contexts: Final = unknown_contexts
        if not isinstance(budgets, Budgets):
            raise ConfigurationError(f"budgets takes Budgets, not {budgets!r:.60}")
        self.budgets: Final = budgets
        check_retries(listener_retries, name="listener_retries")
        check_retries(delivery_retries, name="delivery_retries")
        self.listener_retries: Final = listener_retries
        self.delivery_retries: Final = delivery_retries
        self.key_policy: Final = keys
        if authorized_fetch not in get_args(AuthorizedFetch):
            raise ConfigurationError(f"authorized_fetch is off, optional or required, not {authorized_fetch!r:.60}")
        self.authorized_fetch: Final = authorized_fetch
        if accept_signature and "rfc9421" not in signatures.schemes:
            raise ConfigurationError(
                f"accept_signature needs RFC 9421, which the signature policy {signatures.name!r} does not accept"
            )
        self.accept_signature: Final = accept_signature
        self.places: Final = RouteTable()
        self.places.add(shared_inbox, Endpoint("shared-inbox"), variables=())
        self.places.add(instance_actor, Endpoint("instance"), variables=())
        for path, target in _WELL_KNOWN:
            self.places.add(path, target, variables=())
        self._collections: dict[str, Endpoint] = {}
        self._actor_authorize: Registered | None = None
        self._listeners: dict[type[Activity], Registered] = {}
        self._follows: FollowVerdict | Registered | None = None
        self._error_hook: Registered | None = None
        self._domains: DomainRules = DomainRules()
        self._bound = False

    # --- routes -----------------------------------------------------------------------------------------------------

    def actor(
        self,
        path: str,
        /,
        *,
        inbox: str | None = None,
        outbox: str | None = None,
        followers: str | None = None,
        following: str | None = None,
        authorize: Callable[..., Any] | None = None,
    ) -> ActorDecorator[Data]:
        """Register the handler for actors. It returns a view of the actor, a `Tombstone` if it is gone, or None.

        ``path`` has the one variable ``{identifier}``. Inbox and collections get paths below it (``…/inbox`` and so
        on), unless you give others. Keys, ``id`` and the addresses of inbox and collections are filled in. Members that
        the handler sets are left as they are.

        ``authorize`` is called as ``(ctx, identifier, viewer)``, and returns whether the viewer may see the actor, its
        collections and its published objects. ``viewer`` is the actor that signed the request, or None. It is called
        before the actor handler, so also for actors that do not exist.

        Raises:
            ConfigurationError: A path or the handler does not have this form, or there is already an actor handler.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("actor")
            handler = self._registered(fn, takes=2)
            predicate = None if authorize is None else self._registered(authorize, takes=3)
            self.places.add(path, Endpoint("actor", handler=handler, authorize=predicate), variables=(IDENTIFIER,))
            self._actor_authorize = predicate
            templates = {"inbox": inbox, "outbox": outbox, "followers": followers, "following": following}
            if "{+" in path and None in templates.values():
                raise ConfigurationError(
                    f"{path!r} takes the rest of the path: "
                    "give paths for inbox, outbox, followers and following as well"
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
            return fn

        return cast("ActorDecorator[Data]", register)

    @property
    def actor_authorize(self) -> Registered | None:
        """The registered predicate that guards actors and everything under them, or None."""
        return self._actor_authorize

    def object(
        self, view: type[V], path: str, /, *, authorize: Callable[..., Any] | None = None
    ) -> ObjectDecorator[Data, V]:
        """Register the handler for objects of a type. It gets the variables of ``path`` by name; None means 404.

        ``authorize`` gets the same values by name, and ``viewer``: the actor that signed the request, or None. It
        returns whether the viewer may see the object.

        Raises:
            ConfigurationError: The handler does not take the path's variables by name, or ``view`` already has a
                handler.
        """
        name = _type_name(view)

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("object")
            handler = self._registered(fn, takes=None)
            variables = parse_route(path).variables
            _check_takes(fn, variables)
            predicate = None if authorize is None else self._registered(authorize, takes=None)
            if authorize is not None:
                _check_takes(authorize, (*variables, "viewer"))
            self.places.add(path, Endpoint("object", name, handler, predicate))
            return fn

        return cast("ObjectDecorator[Data, V]", register)

    def collection(
        self,
        name: str,
        path: str | None = None,
        /,
        *,
        authorize: Callable[..., Any] | None = None,
    ) -> CollectionDecorator[Data]:
        """Register the handler for the pages of an actor's collection.

        A handler for ``outbox``, ``followers`` or ``following`` replaces the collection that apcore manages. Set its
        path in the registration of the actor. Any other ``name`` needs a ``path`` with the one variable
        ``{identifier}``.

        ``authorize`` is called as ``(ctx, identifier, viewer)``, and returns whether the viewer may see the collection.
        The actor's predicate must also agree.

        Raises:
            ConfigurationError: ``path`` is missing for another name, or given for one of the three; or ``name`` already
                has a handler.
        """
        is_actor_collection = name in ACTOR_COLLECTIONS
        if is_actor_collection and path is not None:
            raise ConfigurationError(f"the path of {name} belongs to the actor: actor(..., {name}={path!r})")
        if not is_actor_collection and path is None:
            raise ConfigurationError(
                f"a collection {name!r} needs a path; only {', '.join(ACTOR_COLLECTIONS)} are registered without one"
            )

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("collection")
            registered = self._collections.get(name)
            if registered is not None and registered.handler is not None:
                other = handler_name(registered.handler.fn)
                raise ConfigurationError(f"collection {name!r} has a handler already: {other}")
            handler = self._registered(fn, takes=3)
            predicate = None if authorize is None else self._registered(authorize, takes=3)
            target = Endpoint("collection", name, handler, predicate)
            if path is not None:
                self.places.add(path, target, variables=(IDENTIFIER,))
            elif self.places.has("collection", name):
                self.places.replace(target)
            self._collections[name] = target
            return fn

        return cast("CollectionDecorator[Data]", register)

    # --- listeners --------------------------------------------------------------------------------------------------

    def on(self, activity: type[A], /) -> ListenerDecorator[Data, A]:
        """Register a listener for authenticated activities of a type or its subtypes.

        Exactly one listener runs: the most specific. It runs after the side effects that apcore manages, such as
        accepting a Follow. It may raise `Drop` or `Later`. After any other exception it runs again.

        A listener runs *at least once* for each activity: again if the process died, the lease was lost, or an attempt
        took too long. Its writes through the context (`Context.publish`, `Context.append` ...) take effect exactly
        once. Make its other effects idempotent: use `Context.activity_id` as the key of a row or of a request. If that
        is not possible, check for an earlier effect when `Context.attempt` is more than 1.

        Raises:
            ConfigurationError: ``activity`` is not a type of activity, or already has a listener.
        """
        if not (isinstance(activity, type) and issubclass(activity, Activity)):
            raise ConfigurationError(f"a listener is for a type of activity, such as Create, not {activity!r:.80}")

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("on")
            if activity in self._listeners:
                other = handler_name(self._listeners[activity].fn)
                raise ConfigurationError(f"{activity.__name__} has a listener already: {other}")
            self._listeners[activity] = self._registered(fn, takes=2)
            return fn

        return cast("ListenerDecorator[Data, A]", register)

    def listener_for(self, document: Document, /) -> tuple[type[Activity], Registered] | None:
        """Return the most specific listener for the types of a document, and the type for which it is registered."""
        candidates = [view for view in self._listeners if document.is_a(view)]
        most_specific = [
            view
            for view in candidates
            if not any(other is not view and issubclass(other, view) for other in candidates)
        ]
        # A document of two types may match two listeners, neither more specific. Then the one registered first runs.
        return (most_specific[0], self._listeners[most_specific[0]]) if most_specific else None

    @property
    def on_error(self) -> ErrorDecorator[Data]:
        """Register an error hook, called as ``(ctx, failure)`` after each failed attempt of a listener.

        `Failure.final` marks the last attempt. Use the hook for reports: its writes through the context are discarded,
        and its exceptions are logged.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("on_error")
            if self._error_hook is not None:
                raise ConfigurationError(f"on_error has a handler already: {handler_name(self._error_hook.fn)}")
            self._error_hook = self._registered(fn, takes=2)
            return fn

        return cast("ErrorDecorator[Data]", register)

    @property
    def error_hook(self) -> Registered | None:
        """The registered error hook, or None."""
        return self._error_hook

    # --- rules for peers --------------------------------------------------------------------------------------------

    @overload
    def follows(self, policy: FollowVerdict, /) -> FollowVerdict: ...
    @overload
    def follows(
        self, policy: Callable[[AsyncContext[Data], Follow], Coroutine[Any, Any, FollowVerdict]], /
    ) -> Callable[[AsyncContext[Data], Follow], Coroutine[Any, Any, FollowVerdict]]: ...
    @overload
    def follows(
        self, policy: Callable[[OpContext[Data], Follow], Op[FollowVerdict]], /
    ) -> Callable[[OpContext[Data], Follow], Op[FollowVerdict]]: ...
    @overload
    def follows(
        self, policy: Callable[[Context[Data], Follow], FollowVerdict], /
    ) -> Callable[[Context[Data], Follow], FollowVerdict]: ...
    def follows(self, policy: Any, /) -> Any:
        """Set the answer to follow requests: one `FollowVerdict` for all, or a handler ``(ctx, follow)`` that decides.

        By default, all are accepted. You can use this as a decorator.

        Raises:
            ConfigurationError: A policy is already set, or the handler does not have this form.
        """
        self._check_open("follows")
        if self._follows is not None:
            raise ConfigurationError("follows has a policy already")
        self._follows = policy if isinstance(policy, FollowVerdict) else self._registered(policy, takes=2)
        return policy

    def blocks(self, rules: DomainRules, /) -> None:
        """Set the rules by domain.

        They apply to every outgoing request, to senders of activities, and to clients of guarded resources.
        """
        self._check_open("blocks")
        if not isinstance(rules, DomainRules):
            raise ConfigurationError(f"blocks takes DomainRules, not {rules!r:.60}")
        self._domains = rules

    @property
    def domain_rules(self) -> DomainRules:
        """The rules by domain in force."""
        return self._domains

    @property
    def follow_verdict(self) -> FollowVerdict | Registered:
        """The verdict for all follow requests, or the handler that decides."""
        return FollowVerdict.ACCEPT if self._follows is None else self._follows

    # --- binding ----------------------------------------------------------------------------------------------------

    def check(
        self,
        *,
        blocking: bool | None = None,
        serves: bool = True,
        durability: Durability | None = None,
        has_data: bool | None = None,
    ) -> tuple[CheckFinding, ...]:
        """Return findings about missing, contradictory or risky registrations.

        Describe the node with the arguments; None means unknown. A ``blocking`` node cannot run coroutine functions. A
        node that ``serves`` has an origin. ``durability`` is that of its store. ``has_data`` says whether it is made
        with ``data=``.
        """
        findings: list[CheckFinding] = []
        has_actor = self.places.has("actor")
        if serves and self._listeners and not has_actor:
            names = ", ".join(view.__name__ for view in self._listeners)
            findings.append(
                CheckFinding(
                    "error", f"there are listeners ({names}) but no actor, so nothing can arrive: register actor(path)"
                )
            )
        unrouted = [name for name in self._collections if not self.places.has("collection", name)]
        if unrouted:
            findings.append(
                CheckFinding(
                    "error",
                    f"there are collections of an actor ({', '.join(unrouted)}) but no actor: register actor(path)",
                )
            )
        if blocking:
            findings += [
                CheckFinding(
                    "error",
                    f"{handler_name(handler.fn)} is an async def, which a blocking node cannot run: "
                    "use AsyncNode, or a plain function",
                )
                for handler in self._handlers()
                if handler.handler_kind is HandlerKind.COROUTINE
            ]
        if serves and durability == "none":
            findings.append(
                CheckFinding(
                    "warning",
                    "the store keeps nothing when the process ends: "
                    "keys, followers and acknowledged activities are lost then",
                )
            )
        if has_data is False:
            findings += self._missing_data()
        return tuple(findings)

    def _missing_data(self) -> list[CheckFinding]:
        """Return a warning if handlers use data, or the federation declares its type: ``Federation[Session]()``."""
        names = [handler_name(handler.fn) for handler in self._handlers() if needs_data(handler.fn)]
        declared = get_args(getattr(self, "__orig_class__", None))
        if names:
            reason = f"ctx.data is used ({', '.join(names)})"
        elif any(map(is_data_type, declared)):
            reason = f"the federation declares data ({getattr(declared[0], '__name__', declared[0])})"
        else:
            return []
        advice = "make the node with data=, and name that node to commands (module:node)"
        return [CheckFinding("warning", f"{reason}, and no data is given: {advice}")]

    def bind(
        self, *, blocking: bool, serves: bool, durability: Durability | None = None, has_data: bool | None = None
    ) -> tuple[CheckFinding, ...]:
        """Close the registrations, and return the warnings of `check`. `Node` calls this.

        Raises:
            ConfigurationError: `check` reports errors. The message lists all of them.
        """
        findings = self.check(blocking=blocking, serves=serves, durability=durability, has_data=has_data)
        errors = [finding.text for finding in findings if finding.level == "error"]
        if errors:
            raise ConfigurationError("this federation cannot be bound:\n- " + "\n- ".join(errors))
        self._bound = True
        return findings

    def _handlers(self) -> list[Registered]:
        targets = [*self.places.targets(), *self._collections.values()]
        of_routes = [handler for target in targets for handler in (target.handler, target.authorize) if handler]
        listeners = list(self._listeners.values())
        policies = [handler for handler in (self._follows, self._error_hook) if isinstance(handler, Registered)]
        return list(dict.fromkeys(of_routes + listeners + policies))

    def _check_open(self, name: str) -> None:
        if self._bound:
            raise ConfigurationError(
                f"{name} is registered too late: a node was already made of this federation; register it before that"
            )

    def _registered(self, fn: Callable[..., Any], *, takes: int | None) -> Registered:
        handler_kind = handler_kind_of(fn)
        if takes is not None:
            try:
                _ = inspect.signature(fn).bind(*[None] * takes)
            except TypeError as error:
                raise ConfigurationError(f"{handler_name(fn)} is called with {takes} arguments, but {error}") from error
        return Registered(fn, handler_kind)


def _type_name(view: type[View]) -> str:
    name: str | None = view.type_name
    if not name:
        raise ConfigurationError(f"{view.__name__} is a facet without a type; objects are registered by type")
    return name


def _check_takes(fn: Callable[..., Any], names: Sequence[str]) -> None:
    try:
        _ = inspect.signature(fn).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise ConfigurationError(
            f"{handler_name(fn)} is called with the context and {', '.join(names)} by name, but {error}"
        ) from error
