"""Register the listeners for activities, and the hook that is told of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, cast

from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.decorators import ErrorDecorator, ListenerDecorator
from apcore.federation.peer_rules import PeerRules
from apcore.federation.routes import Registered
from apcore.federation.subscriptions.terms import SubscriptionTerms
from apcore.handlers import handler_name
from apcore.vocab import Activity, Document, View

__all__ = ["ListenerRegistration"]

Data = TypeVar("Data", default=None)
A = TypeVar("A", bound=Activity)


class ListenerRegistration(PeerRules[Data]):
    """The part of a `Federation` that registers listeners and the error hook."""

    def __init__(self, *, shared_inbox: str, instance_actor: str) -> None:
        super().__init__(shared_inbox=shared_inbox, instance_actor=instance_actor)
        self._listeners: dict[type[Activity], Registered] = {}
        self._error_hook: Registered | None = None
        self._subscriptions: dict[str, SubscriptionTerms] = {}

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

    def subscribe(
        self,
        address: str,
        /,
        *,
        types: Iterable[type[View] | str] = (),
        by: str | None = None,
        since: datetime | None = None,
        history: int = 1,
    ) -> None:
        """Register a collection or actor of another server that every node of this federation polls.

        The arguments are those of `Node.subscribe`. The subscription begins when a worker starts. If you remove this
        line later, the subscription stays until `Node.unsubscribe`.

        Raises:
            ConfigurationError: The address is registered already.
            RequestError, ValueError: As for `Node.subscribe`.
        """
        self._check_open("subscribe")
        if address in self._subscriptions:
            raise ConfigurationError(f"the subscription to {address!r:.200} is registered already")
        self._subscriptions[address] = SubscriptionTerms.of(address, types=types, by=by, since=since, history=history)

    @property
    def registered_subscriptions(self) -> tuple[SubscriptionTerms, ...]:
        """The subscriptions that every node of this federation has."""
        return tuple(self._subscriptions.values())

    def listener_for(self, document: Document, /) -> tuple[type[Activity], Registered] | None:
        """Return the most specific listener for the types of a document, and the type for which it is registered.

        An activity of unknown types belongs to the listener for `Activity`.
        """
        candidates = [view for view in self._listeners if document.is_a(view)]
        if not candidates and Activity in self._listeners and not document.classes():
            return Activity, self._listeners[Activity]
        most_specific = [
            view
            for view in candidates
            if not any(other is not view and issubclass(other, view) for other in candidates)
        ]
        # A document of two types may match two listeners, neither more specific. Then the one registered first runs.
        return (most_specific[0], self._listeners[most_specific[0]]) if most_specific else None

    @property
    def on_error(self) -> ErrorDecorator[Data]:
        """Register an error hook, called as ``(ctx, failure)`` after each failed attempt to process an activity.

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
