"""Register handlers until a node is made of the federation, and choose the handlers that replace side effects."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Generic, cast

from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.decorators import ChangeDecorator, DocumentDecorator, ListenerDecorator, NodeInfoDecorator
from apcore.federation.routes import Registered
from apcore.federation.side_effect_choices import ChosenSideEffect, SideEffectChoices
from apcore.handlers import call_site, handler_kind_of, handler_name
from apcore.vocab import Activity, Document

__all__ = ["HandlerRegistration"]

Data = TypeVar("Data", default=None)


class HandlerRegistration(Generic[Data]):
    """The part of a `Federation` that checks and wraps handlers, and registers those that replace side effects."""

    def __init__(self) -> None:
        self.side_effects: Final = SideEffectChoices()
        """The rows of the table of side effects that are replaced or switched off."""
        self._change_policy: Registered | None = None
        self._document_hook: Registered | None = None
        self._client_authenticator: Registered | None = None
        self._bound_at: str | None = None
        self.nodeinfo_handler: Registered | None = None
        """The registered handler that describes the server, or None."""
        """The file and the line at which the first node was made."""

    def side_effect(self, name: str, /) -> ListenerDecorator[Data, Activity]:
        """Register a handler in place of a side effect, such as ``"accept"`` or ``"sent-like"``.

        For a received activity, it runs before the listener, and is called like one. For an activity that you send, it
        runs before the commit that sends it. The reference has the table of side effects.

        Raises:
            ConfigurationError: There is no side effect of this name, or it is replaced or switched off already.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("side_effect")
            self.side_effects.choose(name, self._registered(fn, takes=2))
            return fn

        return cast("ListenerDecorator[Data, Activity]", register)

    def switch_off(self, *names: str) -> None:
        """Switch side effects off. Listeners still get the activities, and what you send is still delivered.

        Without ``undo``, ``block`` or ``delete``, an actor that leaves stays a follower and gets private posts.

        Raises:
            ConfigurationError: There is no side effect of a name, or it is replaced or switched off already.
        """
        self._check_open("switch_off")
        for name in names:
            self.side_effects.choose(name, None)

    @property
    def may_change(self) -> ChangeDecorator[Data]:
        """Register the policy for changes of what belongs to another actor, called as `(ctx, actor, activity, id)`.

        It decides about a Delete, a Lock, an Undo, an Add or a Remove of an actor that is not the owner, such as a
        moderator. ``id`` is the object, or the collection for Add and Remove. `group_moderators` is such a policy.
        Without a policy, only owners change anything. An Update is the author's alone in any case.

        Raises:
            ConfigurationError: There is a policy already, or the handler does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("may_change")
            if self._change_policy is not None:
                raise ConfigurationError(f"may_change has a policy already: {handler_name(self._change_policy.fn)}")
            self._change_policy = self._registered(fn, takes=4)
            return fn

        return cast("ChangeDecorator[Data]", register)

    @property
    def on_document(self) -> DocumentDecorator[Data]:
        """Register the hook for documents of other servers, called as ``(ctx, old, new)`` before a copy changes.

        Use it to keep an index of your own. ``old`` is None for a document that is new here, and ``new`` is None for
        one that is gone. It is called once for each viewer whose copy changes, however the document came here: fetched,
        refreshed, or delivered. It runs *at least once* for each change: the copy is stored only after it returns. So
        make its effects idempotent. An exception reaches the caller that wanted the document, and the copy stays as it
        was. Writes through its context are discarded. Copies that are pruned, forgotten or expired are not announced,
        since the documents have not changed.

        Raises:
            ConfigurationError: There is a hook already, or the handler does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("on_document")
            if self._document_hook is not None:
                raise ConfigurationError(f"on_document has a hook already: {handler_name(self._document_hook.fn)}")
            self._document_hook = self._registered(fn, takes=3)
            return fn

        return cast("DocumentDecorator[Data]", register)

    @property
    def nodeinfo(self) -> NodeInfoDecorator[Data]:
        """Register the handler that describes the server (NodeInfo), called as ``(ctx)``.

        It returns a mapping with some of ``users``, ``users_active_month``, ``users_active_halfyear``, ``posts``,
        ``comments``, ``open_registrations``, ``repository``, ``homepage`` and ``metadata``. The document is public.

        Raises:
            ConfigurationError: There is a handler already, or it does not have this form.
        """

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open("nodeinfo")
            if self.nodeinfo_handler is not None:
                raise ConfigurationError(f"nodeinfo has a handler already: {handler_name(self.nodeinfo_handler.fn)}")
            self.nodeinfo_handler = self._registered(fn, takes=1)
            return fn

        return cast("NodeInfoDecorator[Data]", register)

    @property
    def document_hook(self) -> Registered | None:
        """The registered hook for documents of other servers, or None."""
        return self._document_hook

    @property
    def change_policy(self) -> Registered | None:
        """The registered policy for changes of what belongs to another actor, or None."""
        return self._change_policy

    @property
    def client_authenticator(self) -> Registered | None:
        """The registered handler that authenticates clients of our own users, or None."""
        return self._client_authenticator

    def side_effect_for(self, document: Document, /) -> ChosenSideEffect | None:
        """Return the side effect of a received activity. None if it has none, or if that is switched off."""
        return self.side_effects.find(document)

    def _check_open(self, name: str) -> None:
        if self._bound_at is not None:
            raise ConfigurationError(
                f"{name} is registered too late, at {call_site()}: a node was made of this federation at "
                f"{self._bound_at}; register everything before that"
            )

    def _registered(self, fn: Callable[..., Any], *, takes: int | None) -> Registered:
        handler_kind = handler_kind_of(fn)
        if takes is not None:
            try:
                _ = inspect.signature(fn).bind(*[None] * takes)
            except TypeError as error:
                raise ConfigurationError(f"{handler_name(fn)} is called with {takes} arguments, but {error}") from error
        return Registered(fn, handler_kind)
