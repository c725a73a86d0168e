"""Define the reports to an application: deliveries that failed, dead letters, and activities that nothing proves.

An application registers a hook for each kind of report (`ReportRegistration`). A hook never changes what apcore does,
with one exception: the answer to an unproved activity. An exception in a hook is logged, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import field, frozen
from typing_extensions import TypeVar

from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation.decorators import ReportDecorator
from apcore.federation.handler_registration import HandlerRegistration
from apcore.federation.routes import Registered
from apcore.handlers import handler_name
from apcore.http import Response
from apcore.vocab import Activity

__all__ = ["DeadLetter", "DeadLetterKind", "FailedDelivery", "ReportName", "ReportRegistration", "UnprovedActivity"]

Data = TypeVar("Data", default=None)

ReportName: TypeAlias = Literal["on_delivery_failed", "on_delivery_dead", "on_dead_letter", "on_unverified"]
DeadLetterKind: TypeAlias = Literal["received", "planning", "delivery"]
"""The work that was given up: processing a received activity, planning the deliveries of a sent one, or a delivery."""
DEAD_LETTER_KINDS: Final[tuple[DeadLetterKind, ...]] = ("received", "planning", "delivery")


@frozen(kw_only=True)
class FailedDelivery:
    """A delivery of which an attempt failed, or that was given up."""

    activity_id: str | None
    """The id of the activity; None if it is not stored any more."""
    actor: str | None
    """The id of the actor of ours that sent it; None if it is not stored any more."""
    inbox: str
    status: int | None
    """The status of the last answer; None if none came. With 404 or 410, there is no such inbox any more."""
    reason: str
    """The reason in words, without text of the peer."""
    attempts: int
    """The number of attempts so far. Attempts that fail because our own network is down are not counted."""
    is_dead: bool
    """Whether the delivery was given up, so that it is now a dead letter."""


@frozen(kw_only=True)
class DeadLetter:
    """Work that was given up. It is stored for 30 days, for you to look at, to retry or to drop."""

    id: str
    kind: DeadLetterKind
    activity_id: str | None
    """The id of the activity; None for a delivery whose activity is not stored any more."""
    actor: str | None
    """The actor of the activity: a peer's for a received one, one of ours for the others."""
    inbox: str | None = None
    """The inbox of a delivery, or of the actor of ours that received it; None for planning and the shared inbox."""
    reason: str
    attempts: int
    died: datetime | None
    document: dict[str, Any] | None = field(default=None, repr=False)
    """The activity as JSON. A list of dead letters has None here, and so has an activity that is not stored any more.
    """


@frozen(kw_only=True)
class UnprovedActivity:
    """An activity that was refused at an inbox, because nothing proved that its actor performed it."""

    activity: Activity
    """The activity as it was sent. Anybody can send this, so believe nothing of it."""
    actor: str
    """The actor that it claims."""
    error: ApcoreError = field(eq=False)
    """The error. Its ``reason`` is a word such as ``signature-missing``, ``bad-signature`` or ``key-gone``."""
    recipient: str | None
    """The identifier of the inbox's actor; None for the shared inbox."""


class ReportRegistration(HandlerRegistration[Data]):
    """The part of a `Federation` that registers hooks for reports."""

    def __init__(self) -> None:
        super().__init__()
        self.report_hooks: Final[dict[ReportName, Registered]] = {}
        """The registered hooks by name."""

    @property
    def on_delivery_failed(self) -> ReportDecorator[Data, FailedDelivery, None]:
        """Register a hook, called as ``(ctx, failed_delivery)`` after each attempt that failed and will be repeated.

        Use it for logs and figures: its writes through the context are discarded.
        """
        return cast("ReportDecorator[Data, FailedDelivery, None]", self._hook("on_delivery_failed"))

    @property
    def on_delivery_dead(self) -> ReportDecorator[Data, FailedDelivery, None]:
        """Register a hook, called as ``(ctx, failed_delivery)`` when a delivery is given up.

        `FailedDelivery.status` tells why: after 404 or 410, drop the account. Its writes through the context are
        committed before the delivery is given up. So it is called once, and again only if the worker dies in between.
        """
        return cast("ReportDecorator[Data, FailedDelivery, None]", self._hook("on_delivery_dead"))

    @property
    def on_dead_letter(self) -> ReportDecorator[Data, DeadLetter, None]:
        """Register a hook, called as ``(ctx, dead_letter)`` when a received activity or the planning is given up.

        For deliveries there is `on_delivery_dead`. The dead letter is stored when the hook is called. Its writes
        through the context are committed after it has returned.
        """
        return cast("ReportDecorator[Data, DeadLetter, None]", self._hook("on_dead_letter"))

    @property
    def on_unverified(self) -> ReportDecorator[Data, UnprovedActivity, Response | None]:
        """Register a hook, called as ``(ctx, unproved_activity)`` when nothing proves an activity at an inbox.

        Use it for logs, or for policies such as an answer of 202 to a Delete by an actor whose key is gone. If it
        returns a `Response`, that is the answer; otherwise the answer is the error. Its writes through the context are
        discarded. Strangers decide how often it is called, so keep it cheap.
        """
        return cast("ReportDecorator[Data, UnprovedActivity, Response | None]", self._hook("on_unverified"))

    def _hook(self, name: ReportName) -> Callable[..., Any]:
        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._check_open(name)
            other = self.report_hooks.get(name)
            if other is not None:
                raise ConfigurationError(f"{name} has a handler already: {handler_name(other.fn)}")
            self.report_hooks[name] = self._registered(fn, takes=2)
            return fn

        return register
