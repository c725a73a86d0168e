"""Define the facts that a handler can read of its context: about the activity, the request and the application's data.

They are the same in all variants of the context.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, Self

from typing_extensions import TypeVar

from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import Request

if TYPE_CHECKING:
    from apcore.federation.registration import Federation

__all__ = ["ContextFacts"]

Data = TypeVar("Data", default=None)


class ContextFacts(Generic[Data]):
    """The facts about the request or job that a handler runs for."""

    __slots__ = ("_data", "_scope")

    _scope: UnitOfWork[Data]

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope
        self._data: Any = scope.data

    @property
    def data(self) -> Data:
        """The data that the application gave to the node, or that its factory made for this request or job."""
        data: Data = self._data
        return data

    def with_data(self, data: Any, /) -> Self:
        """Return this context with other data, for a function that you call. Its writes join those of this context."""
        context = copy.copy(self)
        context._data = data  # noqa: SLF001 - a copy of this object
        return context

    @property
    def federation(self) -> Federation[Any]:
        """The `Federation` that the handler is registered with."""
        federation: Federation[Any] = self._scope.services.federation
        return federation

    @property
    def request(self) -> Request | None:
        """The request that is being answered. None in a job: a listener runs after its request was answered."""
        return self._scope.services.request

    @property
    def url(self) -> str | None:
        """The URL of `request`, as the client addressed it; None in a job."""
        request = self._scope.services.request
        return None if request is None else request.url

    @property
    def activity_id(self) -> str | None:
        """The id of the current activity. Use it as an idempotency key for side effects in other systems.

        If the activity came without an id, this is the one that stands in for it.
        """
        return self._scope.activity_id

    @property
    def actor(self) -> str | None:
        """The proved actor of the current activity: the first, if it has several. None outside a listener."""
        return self._scope.actor

    @property
    def attempt(self) -> int:
        """The number of this run for the activity, from 1."""
        return self._scope.attempt

    @property
    def recipient(self) -> str | None:
        """The identifier of the actor whose inbox was addressed; None for the shared inbox."""
        return self._scope.recipient

    @property
    def auth_method(self) -> str | None:
        """The proof of the current activity: ``http-signature``, ``proof``, ``ld-signature`` or ``origin``.

        None for a local activity.
        """
        return self._scope.auth_method

    @property
    def relayed_by(self) -> str | None:
        """The actor that relayed the activity. None if its own actor sent it, or if the request was not signed."""
        return self._scope.relayed_by

    @property
    def is_silenced(self) -> bool:
        """Whether a domain rule silences the actor of the activity (`Severity.SILENCE`)."""
        return self._scope.is_silenced

    @property
    def rejects_media(self) -> bool:
        """Whether a domain rule takes media out of the actor's documents (`Severity.REJECT_MEDIA`).

        The activity, and documents of the actor's origin that you resolve, come without attachments, icons and images.
        `Document.tree` still has them.
        """
        return self._scope.rejects_media
