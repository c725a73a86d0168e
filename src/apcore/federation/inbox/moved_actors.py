"""Apply a received Move: actors of ours that follow the moved actor follow its new account instead.

`apcore.federation.actors.moves` checks that both accounts agree. As with Mastodon, only the followers pass to the new
account. The other relations of the moved actor stay: if it follows an actor of ours, its new account asks for that
itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from apcore.effects import Op
from apcore.errors import ContractError, RemoteError
from apcore.federation.actors.moves import MoveUnconfirmed, confirm_move
from apcore.federation.actors.profiles import ActorUnknown, require_actor
from apcore.federation.inbox.received_activity import Received
from apcore.federation.outbox.send import commit_notes
from apcore.federation.policies import Drop, Later
from apcore.federation.refusals import one_line
from apcore.federation.relations.actions import note_follow, unfollow
from apcore.federation.relations.stored import followers_of, read_relation
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.ports import StoreKey
from apcore.vocab import Move, same_id

__all__ = ["FOLLOWERS_MAX", "follow_moved"]

FOLLOWERS_MAX: Final = 1000
"""The most followers of ours that one attempt moves. A later attempt goes on with the others."""
_PAGE: Final = 100
_LOG: Final = logging.getLogger("apcore.inbox")


def follow_moved(received: Received) -> Op[None]:
    """Make our followers of a moved actor follow the target, each in a commit of its own.

    A Move of another object than its actor changes nothing. Nothing is fetched if no actor of ours follows the moved
    one, and the application does not listen for the Move.

    Raises:
        Drop: The target does not confirm the Move.
        Later: More than `FOLLOWERS_MAX` actors of ours follow it.
        Unavailable: The target cannot be loaded now.
    """
    site, old_actor, move = received.site, received.actor, received.document.view(Move)
    if move.object is None or move.object.uri is None or not same_id(move.object.uri, old_actor):
        return
    followers, after = yield from followers_of(old_actor, after=None, limit=_PAGE)
    if not followers and after is None and site.federation.listener_for(received.document) is None:
        return
    targets = [reference.uri for reference in received.activity.targets]
    target = targets[0] if len(targets) == 1 else None
    try:
        if target is None:
            raise MoveUnconfirmed("the Move does not have exactly one target")
        yield from confirm_move(site, actor=old_actor, target=target)
    except RemoteError as error:
        reason = one_line(f"{error.reason}: {error}")
        _LOG.info("dropped the Move %s of %s: %s", one_line(move.id or ""), one_line(old_actor), reason)
        raise Drop(reason) from error
    yield from _move_followers(site, followers, after, old_actor, target)


def _move_followers(
    site: Site, followers: Sequence[str], after: StoreKey | None, old_actor: str, target: str
) -> Op[None]:
    """Move ``followers``, and those on the pages ``after`` them.

    If the attempt is repeated, it does not meet the followers that have moved: their relation with the old actor ends.
    """
    for _ in range(FOLLOWERS_MAX // _PAGE):
        for follower in followers:
            identifier = site.identifier_of(follower)
            if identifier is not None:
                yield from _move_follower(site, identifier, old_actor, target)
        if after is None:
            return
        followers, after = yield from followers_of(old_actor, after=after, limit=_PAGE)
    raise Later(0.0, f"more than {FOLLOWERS_MAX} actors follow {old_actor}")


def _move_follower(site: Site, identifier: str, old_actor: str, target: str) -> Op[None]:
    try:
        _ = yield from require_actor(site, identifier)
    except ActorUnknown:
        return

    def note_both(scope: UnitOfWork[Any]) -> Op[None]:
        undo = yield from unfollow(scope, old_actor, identifier)
        if undo is None:
            return  # the actor has unfollowed meanwhile
        if (yield from _may_follow(site, identifier, target)):
            _ = yield from note_follow(scope, target, identifier)
        _ = scope.address(undo)

    yield from commit_notes(site, note_both)


def _may_follow(site: Site, identifier: str, target: str) -> Op[bool]:
    """Return whether to ask: an actor does not follow itself, those that it has asked already, or that it blocks."""
    us, routes = site.actor_uri(identifier), site.federation.places
    if us == target:
        return False
    outbound = yield from read_relation(routes, Direction.OUTBOUND, us, target)
    inbound = yield from read_relation(routes, Direction.INBOUND, us, target)
    if outbound is None or inbound is None:
        raise ContractError(f"{us} is no actor of this server")
    is_asked = outbound.state in {RelationState.PENDING, RelationState.ACCEPTED}
    return not is_asked and inbound.state is not RelationState.BLOCKED
