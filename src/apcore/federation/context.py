"""Define the context of handlers, in three variants over the same operations.

Plain functions get `Context`, with methods that block. Coroutine functions get `AsyncContext`, with coroutine methods.
Operations get `OpContext`, with operations as methods. Addresses and writes are the same in all three. An address is
computed. A write is only noted: it is committed together with the mark that the handler has finished. `contains`, and
the methods that change relations, see the noted writes of the same handler. Counts and pages do not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic

from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.account_methods import AccountMethods
from apcore.federation.context_methods import AwaitableMethods, BlockingMethods, OpMethods
from apcore.federation.outbox.addressing import VisibilityWord
from apcore.federation.resolving_methods import AwaitableResolving, BlockingResolving, OpResolving
from apcore.federation.routes import IDENTIFIER, Kind, RouteMatch
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import AddMember, PublishObject, RemoveMember, SendActivity
from apcore.vocab import View

__all__ = ["AsyncContext", "Context", "OpContext", "UnitContexts"]

Data = TypeVar("Data", default=None)


class _BaseContext(AccountMethods, Generic[Data]):
    """The members that all variants share."""

    __slots__ = ("_scope",)

    _scope: UnitOfWork[Data]

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope

    @property
    def data(self) -> Data:
        """The data that the application gave to the node, or that its factory made for this request or job."""
        return self._scope.data

    @property
    def origin(self) -> str:
        """The origin that this request or job is for.

        Raises:
            ContractError: The node has no origin: it only pulls.
        """
        if self._scope.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return str(self._scope.origin)

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

    # --- addresses --------------------------------------------------------------------------------------------------

    def actor_uri(self, identifier: str, /) -> str:
        """Return the id of a local actor. The name of the host is the identifier of the instance actor."""
        if self._scope.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return self._scope.places.actor_uri(self._scope.origin, identifier)

    def inbox_uri(self, identifier: str | None = None, /) -> str:
        """Return the address of an actor's inbox, or of the shared inbox without ``identifier``."""
        return self._uri("shared-inbox") if identifier is None else self._uri("inbox", **{IDENTIFIER: identifier})

    def collection_uri(self, name: str, identifier: str, /) -> str:
        """Return the address of an actor's ``outbox``, ``followers``, ``following``, or of a registered collection."""
        return self._uri("collection", name, **{IDENTIFIER: identifier})

    def object_uri(self, view: type[View], /, **values: str) -> str:
        """Return the id of an object that a registered handler makes."""
        return self._uri("object", view.type_name or "", **values)

    def parse_uri(self, uri: str, /) -> RouteMatch | None:
        """Return the route and values of a URI of this origin, or None if no route matches it."""
        return None if self._scope.origin is None else self._scope.places.read(self._scope.origin, uri)

    def _uri(self, kind: Kind, name: str = "", /, **values: str) -> str:
        if self._scope.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return self._scope.places.uri(self._scope.origin, kind, name, **values)

    # --- writes, noted until the handler returns --------------------------------------------------------------------

    def send(
        self,
        activity: View,
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
    ) -> str:
        """Deliver an activity of the local actor ``by`` to actors (ids) or to a local collection (its address).

        Return the id of the activity.

        The actor is filled in, and the id if there is none. The activity is delivered to all actors that it names, and
        to those in ``to``. If it names none itself, it names those in ``to``. With ``visibility``, it names the
        audience that the word stands for, see `publish`. This method fetches nothing: the worker looks up the inboxes.

        An Update or Delete of a published object changes the stored object too. Unless it names an audience, it has
        that of the object. It reaches all recipients of the object. An Update replaces the whole object, so
        include everything that must stay. A Follow, its Accept or Reject, a Block, and the Undo of each of these change
        ``followers`` and ``following``.

        Raises:
            ValueError: ``activity`` is not an activity, lacks its object, or has an id at which nothing of ``by`` is
                served; a recipient is not an address, or at this origin but neither an actor nor a collection; or the
                audience contradicts ``visibility``, has more than a thousand addresses, or is missing.
            ContractError: The audiences of the activity and its object contradict each other.
        """
        return self._scope.address(SendActivity(activity.document, by, _recipients(to), visibility=visibility))

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
        push: bool | None = None,
    ) -> str:
        """Store an object of the local actor ``by``, and deliver it with a Create to its audience.

        Return the id of the object.

        The id, ``attributedTo`` and ``published`` are filled in, unless the object has them. ``visibility`` names the
        audience: ``"public"`` for everyone, ``"unlisted"`` for everyone with the id, ``"followers"``, or
        ``"direct"`` for the actors that you name. Without it, the ``to``, ``cc``, ``audience``, ``bto`` and ``bcc`` of
        the object name the audience. The argument ``to`` adds recipients. Without any of these, the object is public.

        With `PUBLIC` in ``to``, the object also goes to the followers, and its Create into the outbox of ``by``. With
        `PUBLIC` in ``cc``, it is served to everyone but not listed.

        With ``push=False``, it is only published: nothing is delivered, and readers find it in the outbox or at its id.
        With ``push=True``, it is delivered to its whole audience. By default, `Federation` decides (``pushes``).

        Raises:
            ValueError: ``object`` is not an object, or has an id at which nothing of ``by`` would be served; a
                recipient is not an address, or at this origin but neither an actor nor a collection; or the audience
                contradicts ``visibility``, or has more than a thousand addresses.
            ContractError: ``to`` includes `PUBLIC`, but the object names an audience that is not public.
        """
        return self._scope.address(
            PublishObject(object.document, by, _recipients(to), visibility=visibility, push=push)
        )

    def append(self, collection: str, item: str, /, *, order: str | None = None) -> None:
        """Add an item (an id) to a managed collection. An item that is already there is not an error.

        A collection is listed by descending ``order``: by default the time of the addition, else 1 to 64 printable
        ASCII characters of yours.
        """
        self._scope.notes.append(AddMember(collection, item, order=order))

    def remove(self, collection: str, item: str, /) -> None:
        """Remove an item from a managed collection. A missing item is not an error."""
        self._scope.notes.append(RemoveMember(collection, item))


class OpContext(OpResolving, OpMethods, _BaseContext[Data]):
    """The variant for operations: methods that may wait are operations, run with ``yield from``."""

    __slots__ = ()


class Context(BlockingResolving, BlockingMethods, _BaseContext[Data]):
    """The variant for plain functions: methods that may wait block."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Any]) -> None:
        super().__init__(scope)
        self._run = run


class AsyncContext(AwaitableResolving, AwaitableMethods, _BaseContext[Data]):
    """The variant for coroutine functions: methods that may wait are awaited."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Coroutine[Any, Any, Any]]) -> None:
        super().__init__(scope)
        self._run = run


class UnitContexts(Generic[Data]):
    """The context variants of a unit of work, for the ``contexts_for`` argument of `Call`."""

    __slots__ = ("_scope",)

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> Context[Data]:
        """See `apcore.effects.HandlerContexts.blocking`."""
        return Context(self._scope, run)

    def awaiting(self, run: Callable[[Op[Any]], Coroutine[Any, Any, Any]], /) -> AsyncContext[Data]:
        """See `apcore.effects.HandlerContexts.awaiting`."""
        return AsyncContext(self._scope, run)

    def operation(self) -> OpContext[Data]:
        """See `apcore.effects.HandlerContexts.operation`."""
        return OpContext(self._scope)


def _recipients(to: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if to is None else (to,) if isinstance(to, str) else tuple(to)
