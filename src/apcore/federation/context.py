"""The context that handlers get, in three faces over the same operations.

`Context` waits, `AsyncContext` is awaited, and `OpContext` gives operations. Addresses and writes are the same in all three: an address is
computed, and a write is only noted, to be committed together with the fact that the handler is done. A handler's own later reads see its notes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic

from typing_extensions import TypeVar

from apcore.collections import contains
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.follow_relations import settle_relations
from apcore.federation.pointers import AsyncPointer, Pointer, resolved_by
from apcore.federation.routes import IDENTIFIER, Kind, RouteMatch
from apcore.federation.unit_of_work import AddMember, PublishObject, RemoveMember, SendActivity, UnitOfWork, membership
from apcore.vocab import Document, Reference, View

__all__ = ["AsyncContext", "Context", "OpContext", "UnitContexts"]

Data = TypeVar("Data", default=None)


class _Face(Generic[Data]):
    """What every face has."""

    __slots__ = ("_scope",)

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope

    @property
    def data(self) -> Data:
        """What the application gave to the node, or what its factory made for this request or job."""
        return self._scope.data

    @property
    def origin(self) -> str:
        """The origin that this request or job is for.

        Raises:
            ContractError: The node has none: it only pulls.
        """
        if self._scope.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return str(self._scope.origin)

    @property
    def activity_id(self) -> str | None:
        """The id of the activity that is listened to: a name under which side effects elsewhere can be made once."""
        return self._scope.activity_id

    @property
    def attempt(self) -> int:
        """1 when the handler is run for the first time for this activity."""
        return self._scope.attempt

    @property
    def recipient(self) -> str | None:
        """The identifier of the actor whose inbox was addressed; None for the shared inbox."""
        return self._scope.recipient

    @property
    def auth_method(self) -> str | None:
        """What proved the activity that is listened to: ``http-signature``, ``proof``, ``ld-signature`` or ``origin``; None if it is from here."""
        return self._scope.auth_method

    @property
    def relayed_by(self) -> str | None:
        """The actor who brought the activity, a relay for instance; None if it came from its own actor, or nobody signed the request."""
        return self._scope.relayed_by

    @property
    def silenced(self) -> bool:
        """Whether a domain rule says that the sender is to be kept quiet."""
        return self._scope.silenced

    # --- addresses --------------------------------------------------------------------------------------------------

    def actor_uri(self, identifier: str, /) -> str:
        """Give the id of an actor of ours."""
        return self._uri("actor", **{IDENTIFIER: identifier})

    def inbox_uri(self, identifier: str | None = None, /) -> str:
        """Give an actor's inbox; without one, the shared inbox."""
        return self._uri("shared-inbox") if identifier is None else self._uri("inbox", **{IDENTIFIER: identifier})

    def collection_uri(self, name: str, identifier: str, /) -> str:
        """Give an actor's collection: ``outbox``, ``followers``, ``following``, or one that was registered."""
        return self._uri("collection", name, **{IDENTIFIER: identifier})

    def object_uri(self, view: type[View], /, **values: str) -> str:
        """Give the id of an object that a registered handler makes."""
        return self._uri("object", view.type_name or "", **values)

    def parse_uri(self, uri: str, /) -> RouteMatch | None:
        """Tell what a URI of ours names; None if it is not ours, or names nothing."""
        return None if self._scope.origin is None else self._scope.places.read(self._scope.origin, uri)

    def _uri(self, kind: Kind, name: str = "", /, **values: str) -> str:
        if self._scope.origin is None:
            raise ContractError("this node has no origin, so nothing of it has an address")
        return self._scope.places.uri(self._scope.origin, kind, name, **values)

    # --- writes, noted until the handler returns --------------------------------------------------------------------

    def send(self, activity: View, /, *, by: str, to: str | Sequence[str]) -> str:
        """Deliver an activity to actors (by id), or to a collection of ours (by address), in the name of our actor ``by``.

        Its actor, and its id if it has none, are filled in. Everyone whom it names itself is delivered to as well. An
        Update or Delete of what was published changes it here too: an Update as a whole, so give it all that is to
        stay. A Follow, the answer to one, a Block, and the Undo of each change ``followers`` and ``following``. Nothing
        is fetched here: who is reached where is the worker's to find out.

        Answers the activity's id.

        Raises:
            ValueError: It is no activity, lacks its object, or has an id at which nothing of ``by`` is served; or a
                recipient is no address.
        """
        return self._scope.address(SendActivity(activity.document, by, _several(to)))

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
    ) -> str:
        """Keep an object, and deliver it with a Create to everyone whom it is addressed to.

        Its id, ``attributedTo`` and ``published`` are filled in, unless it has them. Its own ``to``, ``cc``,
        ``audience``, ``bto`` and ``bcc`` say whom it is for; ``to`` adds to them. An object that names nobody,
        published without ``to``, is public. With `PUBLIC` in ``to`` it goes to followers too, and its Create into the
        outbox of our actor ``by``; with `PUBLIC` in ``cc`` it is served and not listed.

        Answers its id.

        Raises:
            ValueError: It is no object, or has an id at which nothing of ``by`` would be served; or a recipient is no
                address.
            ContractError: ``to`` names everyone, and the object does not; in a handler, raised when the handler has
                returned.
        """
        return self._scope.address(PublishObject(object.document, by, None if to is None else _several(to)))

    def append(self, collection: str, item: str, /) -> None:
        """Put an item (an id) into a managed collection; being in it already is fine."""
        self._scope.notes.append(AddMember(collection, item))

    def remove(self, collection: str, item: str, /) -> None:
        """Take an item out of a managed collection; not being in it is fine."""
        self._scope.notes.append(RemoveMember(collection, item))


class OpContext(_Face[Data]):
    """The face for operations: what may wait is an operation, to be asked for with ``yield from``."""

    __slots__ = ()

    def contains(self, collection: str, item: str, /) -> Op[bool]:
        """Tell whether an item is in a managed collection, this handler's own writes included."""
        return _contains(self._scope, collection, item)

    def resolve(self, reference: Reference | str, /) -> Op[Document]:
        """Give the document that a reference points to: without a request if it came inside and is believed, else from where it belongs.

        Raises:
            ApcoreError: What came of asking, see `apcore.remote.load`.
        """
        return _resolve(self._scope, reference)


class Context(_Face[Data]):
    """The face for plain functions: what may wait, waits."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Any]) -> None:
        super().__init__(scope)
        self._run = run

    def contains(self, collection: str, item: str, /) -> bool:
        """As `OpContext.contains`."""
        return bool(self._run(_contains(self._scope, collection, item)))

    def resolve(self, reference: Reference | str, /) -> Document:
        """As `OpContext.resolve`."""
        document: Document = self._run(_resolve(self._scope, reference))
        return document

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Bind a reference, so that it can be resolved later; that costs nothing."""
        return Pointer(reference, lambda bound, fresh: self._run(_resolve(self._scope, bound, fresh=fresh)))


class AsyncContext(_Face[Data]):
    """The face for coroutine functions: what may wait is awaited."""

    __slots__ = ("_run",)

    def __init__(self, scope: UnitOfWork[Data], run: Callable[[Op[Any]], Coroutine[Any, Any, Any]]) -> None:
        super().__init__(scope)
        self._run = run

    async def contains(self, collection: str, item: str, /) -> bool:
        """As `OpContext.contains`."""
        return bool(await self._run(_contains(self._scope, collection, item)))

    async def resolve(self, reference: Reference | str, /) -> Document:
        """As `OpContext.resolve`."""
        document: Document = await self._run(_resolve(self._scope, reference))
        return document

    def reference(self, reference: Reference | str, /) -> AsyncPointer:
        """Bind a reference, so that it can be resolved later; that costs nothing."""
        return AsyncPointer(reference, lambda bound, fresh: self._run(_resolve(self._scope, bound, fresh=fresh)))


class UnitContexts(Generic[Data]):
    """Shows a scope in the colour that a handler needs; what `Call` takes as ``contexts_for``."""

    __slots__ = ("_scope",)

    def __init__(self, scope: UnitOfWork[Data]) -> None:
        self._scope = scope

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> Context[Data]:
        """For plain functions."""
        return Context(self._scope, run)

    def awaiting(self, run: Callable[[Op[Any]], Coroutine[Any, Any, Any]], /) -> AsyncContext[Data]:
        """For coroutine functions."""
        return AsyncContext(self._scope, run)

    def operation(self) -> OpContext[Data]:
        """For operations."""
        return OpContext(self._scope)


def _contains(scope: UnitOfWork[Any], collection: str, item: str) -> Op[bool]:
    settled = yield from settle_relations(scope.places, scope.origin, scope.notes)
    noted = membership(settled.notes, collection, item)
    if noted is not None:
        return noted
    [found] = yield from contains(collection, (item,))
    return found


def _several(to: str | Sequence[str]) -> tuple[str, ...]:
    return (to,) if isinstance(to, str) else tuple(to)


def _resolve(scope: UnitOfWork[Any], reference: Reference | str, *, fresh: bool = False) -> Op[Document]:
    return (
        yield from resolved_by(
            reference, policy=scope.fetching, asks=scope.asks, fresh=fresh, owner=scope.actor, wrapper=scope.activity_id
        )
    )
