"""`Federation`: the rules of a server, and nothing else.

A federation holds what an application registers: where its actors, objects and collections are, how they are made, who listens to what, whom
to talk to. It holds no ports, no origin and no state, so one object serves a web process, a worker, a test and a simulation; `Node` binds it to
those. Registering is done at import, by decorators; what contradicts itself is refused on the spot, and what is missing is told by `check`.

``Data`` is the type of what the application wants to have at hand in every handler (`Context.data`): a session factory, a repository, settings.
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

# RFC 9110 §10.1.5: product tokens; and what NodeInfo's schema takes as the name of a software.
_SOFTWARE: Final = re.compile(r"([a-z0-9-]+)/([A-Za-z0-9.+_-]+)")


@frozen
class CheckFinding:
    """Something that `Federation.check` found."""

    level: Literal["error", "warning"]
    """With an error no node can be made; a warning is logged."""
    text: str


class Federation(Generic[Data]):
    """The rules of a server. Every method may be called until a `Node` is made of it; afterwards it only answers.

    Raises:
        ConfigurationError: ``software`` is not written as ``name/version``, ``signatures`` or ``budgets`` are none, or ``listener_retries`` or
            ``delivery_retries`` lack a member or cannot be called (`check_retries`).
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
        found = _SOFTWARE.fullmatch(software)
        if found is None:
            raise ConfigurationError(
                f"software is written as name/version, the name in a-z, 0-9 and -: not {software!r}"
            )
        self.software_name: Final = found[1]
        self.software_version: Final = found[2]
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
                f"accept_signature asks for RFC 9421, and the policy {signatures.name!r} does not take it"
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

    # --- what is where ----------------------------------------------------------------------------------------------

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
        inline: bool = False,
    ) -> ActorDecorator[Data]:
        """Register how an actor is made from its identifier: a view of the actor, a `Tombstone` if it is gone, or None.

        ``path`` has the one variable ``{identifier}``. What an actor has stands under it (``…/inbox`` and so on) unless other paths are given.
        Keys, ``id``, the addresses of inbox and collections are filled in; what the handler sets itself is kept.

        ``authorize`` is asked ``(ctx, identifier, viewer)`` who may see the actor and what it has: its collections, and what it published.
        ``viewer`` is the actor who has signed the request, or None. It is asked first, so also about actors that there are not.

        Raises:
            ConfigurationError: The paths or the handler are not of the form, or there is an actor handler already.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("actor")
            handler = self._registered(fn, inline=inline, takes=2)
            allowed = None if authorize is None else self._registered(authorize, inline=False, takes=3)
            self.places.add(path, Endpoint("actor", handler=handler, authorize=allowed), variables=(IDENTIFIER,))
            self._actor_authorize = allowed
            given = {"inbox": inbox, "outbox": outbox, "followers": followers, "following": following}
            if "{+" in path and None in given.values():
                raise ConfigurationError(
                    f"{path!r} takes the rest of the path, so inbox, outbox, followers and following need paths"
                )
            for name, template in given.items():
                where = f"{path}/{name}" if template is None else template
                if name == "inbox":
                    self.places.add(where, Endpoint("inbox"), variables=(IDENTIFIER,))
                else:
                    target = self._collections.get(name, Endpoint("collection", name))
                    self.places.add(where, target, variables=(IDENTIFIER,))
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
        """What says who may see an actor and what it has, if anything does."""
        return self._actor_authorize

    def object(
        self, view: type[V], path: str, /, *, authorize: Callable[..., Any] | None = None, inline: bool = False
    ) -> ObjectDecorator[Data, V]:
        """Register how objects of a type are made from the values in their path, which the handler takes by name; None is 404.

        ``authorize`` is asked who may see one, with the same values by name, and ``viewer``: the actor who has signed the request, or None.

        Raises:
            ConfigurationError: The handler does not take the path's variables by name, or there is one for ``view`` already.
        """
        name = _type_name(view)

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("object")
            handler = self._registered(fn, inline=inline, takes=None)
            variables = parse_route(path).variables
            _check_takes(fn, variables)
            allowed = None if authorize is None else self._registered(authorize, inline=False, takes=None)
            if authorize is not None:
                _check_takes(authorize, (*variables, "viewer"))
            self.places.add(path, Endpoint("object", name, handler, allowed))
            return fn

        return cast("ObjectDecorator[Data, V]", register)

    def collection(
        self,
        name: str,
        path: str | None = None,
        /,
        *,
        authorize: Callable[..., Any] | None = None,
        inline: bool = False,
    ) -> CollectionDecorator[Data]:
        """Register how the pages of an actor's collection are made.

        ``outbox``, ``followers`` and ``following`` replace what apcore keeps itself, and stand where the actor's registration says. Any other
        ``name`` needs a ``path`` with the one variable ``{identifier}``.

        ``authorize`` is asked ``(ctx, identifier, viewer)`` who may see it, beside that of the actor.

        Raises:
            ConfigurationError: No path for a collection of another name, a path for one of the three, or a second handler for a name.
        """
        known = name in ACTOR_COLLECTIONS
        if known and path is not None:
            raise ConfigurationError(f"the path of {name} belongs to the actor: actor(..., {name}={path!r})")
        if not known and path is None:
            raise ConfigurationError(
                f"a collection {name!r} needs a path; without one there are {', '.join(ACTOR_COLLECTIONS)}"
            )

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("collection")
            taken = self._collections.get(name)
            if taken is not None and taken.handler is not None:
                raise ConfigurationError(f"collection {name!r} has a handler already: {handler_name(taken.handler.fn)}")
            handler = self._registered(fn, inline=inline, takes=3)
            allowed = None if authorize is None else self._registered(authorize, inline=False, takes=3)
            target = Endpoint("collection", name, handler, allowed)
            if path is not None:
                self.places.add(path, target, variables=(IDENTIFIER,))
            elif self.places.has("collection", name):
                self.places.replace(target)
            self._collections[name] = target
            return fn

        return cast("CollectionDecorator[Data]", register)

    # --- who listens ------------------------------------------------------------------------------------------------

    def on(self, activity: type[A], /, *, inline: bool = False) -> ListenerDecorator[Data, A]:
        """Register what happens when an activity of a type, or of a subtype of it, has arrived and is proved.

        Exactly one listener runs, the most specific. It runs after the side effects that apcore manages (accepting a Follow, say), at least
        once; what it does through its context happens exactly once. It may raise `Drop` or `Later`; any other exception is retried.

        Raises:
            ConfigurationError: Not a type of activity, or it has a listener already.
        """
        if not (isinstance(activity, type) and issubclass(activity, Activity)):
            raise ConfigurationError(f"a listener is for a type of activity, such as Create, not {activity!r:.80}")

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("on")
            if activity in self._listeners:
                other = handler_name(self._listeners[activity].fn)
                raise ConfigurationError(f"{activity.__name__} has a listener already: {other}")
            self._listeners[activity] = self._registered(fn, inline=inline, takes=2)
            return fn

        return cast("ListenerDecorator[Data, A]", register)

    def listener_for(self, document: Document, /) -> tuple[type[Activity], Registered] | None:
        """Give the most specific listener for what a document declares itself to be."""
        fitting = [view for view in self._listeners if document.is_a(view)]
        best = [view for view in fitting if not any(other is not view and issubclass(other, view) for other in fitting)]
        # A document of two types may fit two listeners of which neither is more specific: the first registered is as good a rule as any.
        return (best[0], self._listeners[best[0]]) if best else None

    @property
    def on_error(self) -> ErrorDecorator[Data]:
        """Register what is told when a listener raises: ``(ctx, failure)``, after each failed attempt, with `Failure.final` on the last.

        For reports; what it writes through its context is not kept, and what it raises is logged.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("on_error")
            if self._error_hook is not None:
                raise ConfigurationError(f"on_error has a handler already: {handler_name(self._error_hook.fn)}")
            self._error_hook = self._registered(fn, inline=False, takes=2)
            return fn

        return cast("ErrorDecorator[Data]", register)

    @property
    def error_hook(self) -> Registered | None:
        """What is told of failures, if anything is."""
        return self._error_hook

    # --- whom to talk to --------------------------------------------------------------------------------------------

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
        """Set how requests to follow are answered: one `FollowVerdict` for all, or a handler ``(ctx, follow)`` that decides about each.

        Without a word, all are accepted. Usable as a decorator.

        Raises:
            ConfigurationError: There is a policy already, or the handler is not of the form.
        """
        self._check_open("follows")
        if self._follows is not None:
            raise ConfigurationError("follows has a policy already")
        self._follows = policy if isinstance(policy, FollowVerdict) else self._registered(policy, inline=False, takes=2)
        return policy

    def blocks(self, rules: DomainRules, /) -> None:
        """Set the rules by domain, asked about every request that leaves and about the sender of each that arrives."""
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
        """What decides about requests to follow."""
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
        """Tell what is missing, contradictory or risky, in words; empty if nothing is.

        ``blocking`` says that the node is a blocking one (so coroutine functions cannot run), ``serves`` that it has an origin, ``durability``
        what its store survives, ``has_data`` whether it is made with ``data=``. None leaves the question open.
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
        waiting = [name for name in self._collections if not self.places.has("collection", name)]
        if waiting:
            findings.append(
                CheckFinding(
                    "error",
                    f"there are collections of an actor ({', '.join(waiting)}) but no actor: register actor(path)",
                )
            )
        if blocking:
            findings += [
                CheckFinding(
                    "error",
                    f"{handler_name(handler.fn)} is an async def, which a blocking node cannot run: use AsyncNode, or a plain function",
                )
                for handler in self._handlers()
                if handler.handler_kind is HandlerKind.COROUTINE
            ]
        if serves and durability == "none":
            findings.append(
                CheckFinding(
                    "warning",
                    "the store keeps nothing when the process ends: keys, followers and what was acknowledged are lost then",
                )
            )
        if has_data is False:
            findings += self._missing_data()
        return tuple(findings)

    def _missing_data(self) -> list[CheckFinding]:
        """Return a warning if handlers need data, or the type of the federation's data was given: ``Federation[Session]()``."""
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
        """Close the registrations, and answer the warnings of `check`; a `Node` does this.

        Raises:
            ConfigurationError: `check` finds errors; the message lists them all.
        """
        findings = self.check(blocking=blocking, serves=serves, durability=durability, has_data=has_data)
        errors = [finding.text for finding in findings if finding.level == "error"]
        if errors:
            raise ConfigurationError("this federation cannot be bound:\n- " + "\n- ".join(errors))
        self._bound = True
        return findings

    def _handlers(self) -> list[Registered]:
        targets = [*self.places.targets(), *self._collections.values()]
        placed = [each for target in targets for each in (target.handler, target.authorize) if each is not None]
        named = list(self._listeners.values())
        policies = [each for each in (self._follows, self._error_hook) if isinstance(each, Registered)]
        return list(dict.fromkeys(placed + named + policies))

    def _check_open(self, name: str) -> None:
        if self._bound:
            raise ConfigurationError(f"{name} is registered too late: a node was made of this federation already")

    def _registered(self, fn: Callable[..., Any], *, inline: bool, takes: int | None) -> Registered:
        handler_kind = handler_kind_of(fn)
        if inline and handler_kind is not HandlerKind.PLAIN:
            raise ConfigurationError(
                f"inline is for plain functions that never wait; {handler_name(fn)} is a {handler_kind.value}"
            )
        if takes is not None:
            try:
                _ = inspect.signature(fn).bind(*[None] * takes)
            except TypeError as error:
                raise ConfigurationError(f"{handler_name(fn)} is called with {takes} arguments, and {error}") from error
        return Registered(fn, handler_kind, inline)


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
            f"{handler_name(fn)} is called with the context and {', '.join(names)} by name, and {error}"
        ) from error
