"""Define the methods with which a handler changes relations, passes activities on, and reads managed collections.

Those that may wait are written as operations, and each variant of the context has them in its own kind; see
`apcore.federation.waiting_methods`. Writes join the commit of the handler. The methods that change relations, and
`contains`, see the handler's own writes. The others do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apcore.collections import PageItems, count
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.outbox.validation import check_recipients
from apcore.federation.received_writes import ForwardActivity
from apcore.federation.relations import actions
from apcore.federation.relations.actions import PAGE_MAX, contains_after, member_ids
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import waiting
from apcore.vocab import Reference

__all__ = ["ActionMethods"]


class ActionMethods:
    """The methods for relations and managed collections, and those that pass a received activity on."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    def forward(self, *, by: str, to: str | Sequence[str]) -> None:
        """Deliver the received activity to further actors (ids) or to a local collection, byte for byte as received.

        The local actor ``by`` signs the requests. The receivers verify the proof or the LD signature that the activity
        carries; those that find none ask its origin. Servers that it came from get nothing. Activities for followers of
        yours are forwarded without this call; see `Federation`.

        Raises:
            ContractError: The handler is no listener for a received activity.
            ValueError: A recipient is not an address.
        """
        if self._scope.auth_method is None:
            raise ContractError("only a received activity can be forwarded, and only by its listener")
        addresses = (to,) if isinstance(to, str) else tuple(to)
        check_recipients(addresses)
        self._scope.notes.append(ForwardActivity(by, addresses))

    @waiting
    def follow(self, actor: str, /, *, by: str) -> Op[str]:
        """Ask to follow ``actor`` as our actor ``by``, and return the id of the Follow."""
        return actions.note_follow(self._scope, actor, by)

    @waiting
    def unfollow(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Stop following ``actor``, or withdraw the request.

        Return the id of the Undo, or None if there is no request and no relation.
        """
        return actions.note_action(self._scope, actions.unfollow, actor, by)

    @waiting
    def accept_follow(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Accept the request of ``actor`` to follow ``by``.

        Return the id of the Accept, or None if ``actor`` follows already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
            ContractError: ``by`` blocks ``actor``.
        """
        return actions.note_action(self._scope, actions.accept_follow, actor, by)

    @waiting
    def reject_follow(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Reject the request of ``actor`` to follow ``by``.

        Return the id of the Reject, or None if the request is rejected, or ``actor`` is blocked, already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
        """
        return actions.note_action(self._scope, actions.reject_follow, actor, by)

    @waiting
    def remove_follower(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Remove the follower ``actor`` of ``by``.

        Return the id of the Reject that tells its server, or None if ``actor`` does not follow.
        """
        return actions.note_action(self._scope, actions.remove_follower, actor, by)

    @waiting
    def block(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Block ``actor`` as our actor ``by``, which ends their relations in both directions.

        Return the id of the Block, or None if ``actor`` is blocked already. As with Mastodon, the Block is delivered to
        the actor, so that its server ends its side too.
        """
        return actions.note_action(self._scope, actions.block, actor, by)

    @waiting
    def unblock(self, actor: str, /, *, by: str) -> Op[str | None]:
        """Undo the Block of ``actor``. Return the id of the Undo, or None if ``actor`` is not blocked."""
        return actions.note_action(self._scope, actions.unblock, actor, by)

    @waiting
    def pending_follows(self, identifier: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
        """Return a page of the `FollowRequest`s that wait for our actor ``identifier``, newest first.

        ``cursor`` is the ``next`` of the page before. ``limit`` is from 1 to 100. The handler's own writes are not
        applied.
        """
        return actions.pending_follows(self._scope, identifier, cursor=cursor, limit=limit)

    @waiting
    def route(self, activity: Reference | str, /) -> Op[bool]:
        """Have an activity processed as if it had been received: its side effects, then the listener for its type.

        Use this for an activity inside another one, such as in the Announce of a group. ``activity`` is a reference, or
        the id. It must be proved, by its own proof or LD signature or by its origin. An object that its origin serves
        is routed as its Create. Return False if it was received before, or if nothing handles its type.

        Raises:
            ContractError: The handler is no listener.
            RemoteError: Nothing proves the activity, it is too old, or its actor must not perform it.
            Unavailable: Its origin does not answer now. If the listener does not catch this, it runs again later.
        """
        return _route(self._scope, activity)

    @waiting
    def contains(self, collection: str, item: str, /) -> Op[bool]:
        """Return whether an item is in a managed collection, with this handler's own writes applied."""
        return contains_after(self._scope, collection, item)

    @waiting
    def count(self, collection: str, /) -> Op[int]:
        """Return the number of items in a managed collection, as it was before this handler."""
        return count(collection)

    @waiting
    def members(self, collection: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
        """Return a page of the ids in a managed collection, newest first, as it was before this handler.

        ``cursor`` is the ``next`` of the page before. ``limit`` is from 1 to 100.
        """
        return member_ids(collection, cursor=cursor, limit=limit)


def _route(scope: UnitOfWork[Any], activity: Reference | str) -> Op[bool]:
    if scope.router is None:
        raise ContractError("only a listener can route another activity")
    return scope.router(scope, Reference(activity) if isinstance(activity, str) else activity)
