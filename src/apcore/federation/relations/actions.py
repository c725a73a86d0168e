"""Make the activities for a user's decisions about a relation: follow, answer, remove or block another actor.

A function such as `unfollow` or `block` reads the relation as it is after the notes of the unit of work, and returns
the activity to send. `note_action` notes that activity. `note_follow` notes a Follow, whatever the relation is.
A noted activity then changes the relation by the table of `apcore.federation.relations.table`, like any sent activity.
The other functions read requests and memberships.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from attrs import frozen

from apcore.collections import Member, PageItems, contains, members_page
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.outbox.validation import check_recipients
from apcore.federation.relations.changes import relation_after, settle_relations
from apcore.federation.relations.stored import Relation, read_relation_records, requests_collection
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import SendActivity, membership
from apcore.vocab import Document

__all__ = [
    "PAGE_MAX",
    "FollowRequest",
    "RelationChange",
    "accept_follow",
    "block",
    "contains_after",
    "member_ids",
    "note_action",
    "note_follow",
    "pending_follows",
    "reject_follow",
    "remove_follower",
    "unblock",
    "unfollow",
]

PAGE_MAX: Final = 100
"""The most requests or members on one page."""
_AS2: Final = "https://www.w3.org/ns/activitystreams"
_PAIRS_A_READ: Final = 30
"""The pairs of actors whose relations one read fetches. A pair takes three of the hundred keys that a read may have."""


@frozen
class FollowRequest:
    """A request to follow one of our actors that waits for an answer."""

    actor: str
    """The id of the actor that wants to follow."""
    id: str | None
    """The id of its newest Follow; None if it is not known."""


RelationChange: TypeAlias = Callable[[UnitOfWork[Any], str, str], Op[SendActivity | None]]
"""A function of this module that returns the activity which changes a relation, or None if there is nothing to change.
"""


def note_action(scope: UnitOfWork[Any], change: RelationChange, actor: str, by: str) -> Op[str | None]:
    """Note the activity that ``change`` returns, and return its id; None if there is nothing to change."""
    note = yield from change(scope, actor, by)
    return None if note is None else scope.address(note)


def note_follow(scope: UnitOfWork[Any], actor: str, by: str) -> Op[str]:
    """Note the Follow of ``actor`` by our actor ``by``, and return its id.

    A Follow of an actor that is followed already is sent too: the other server may have lost the relation.

    Effects: those of `relation_after`.

    Raises:
        ContractError: ``by`` blocks ``actor``.
    """
    us = _check_actor(scope, actor, by)
    inbound = yield from relation_after(scope, Direction.INBOUND, us, actor)
    if inbound is not None and inbound.state is RelationState.BLOCKED:
        raise ContractError(f"{by!r:.60} blocks {actor}: unblock it before you follow it")
    return scope.address(_sending("Follow", actor, by=by, to=actor))


def unfollow(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Undo of our Follow, or None if there is none.

    Effects: those of `relation_after`.
    """
    relation = yield from _relation(scope, Direction.OUTBOUND, actor, by)
    if relation.state is RelationState.NONE:
        return None
    return _sending("Undo", _follow_of(relation), by=by, to=actor)


def accept_follow(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Accept of the newest request of ``actor``, or None if it follows already.

    Effects: those of `relation_after`.

    Raises:
        ValueError: ``actor`` has not asked to follow.
        ContractError: ``by`` blocks ``actor``.
    """
    relation = yield from _relation(scope, Direction.INBOUND, actor, by)
    if relation.state is RelationState.ACCEPTED:
        return None
    if relation.state is RelationState.BLOCKED:
        raise ContractError(f"{by!r:.60} blocks {actor}: unblock it before you accept its Follow")
    _check_requested(relation)
    return _sending("Accept", _follow_of(relation), by=by, to=actor)


def reject_follow(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Reject of the newest request of ``actor``, or None if it is rejected or blocked already.

    Effects: those of `relation_after`.

    Raises:
        ValueError: ``actor`` has not asked to follow.
    """
    relation = yield from _relation(scope, Direction.INBOUND, actor, by)
    if relation.state in {RelationState.REJECTED, RelationState.BLOCKED}:
        return None
    if relation.state is not RelationState.ACCEPTED:
        _check_requested(relation)
    return _sending("Reject", _follow_of(relation), by=by, to=actor)


def remove_follower(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Reject that removes the follower ``actor``, or None if it does not follow.

    Effects: those of `relation_after`.
    """
    relation = yield from _relation(scope, Direction.INBOUND, actor, by)
    if relation.state is not RelationState.ACCEPTED:
        return None
    return _sending("Reject", _follow_of(relation), by=by, to=actor)


def block(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Block of ``actor``, or None if it is blocked already.

    As with Mastodon, the Block is delivered to the actor, so that its server ends its side of the relations too.

    Effects: those of `relation_after`.
    """
    relation = yield from _relation(scope, Direction.INBOUND, actor, by)
    if relation.state is RelationState.BLOCKED:
        return None
    return _sending("Block", actor, by=by, to=actor)


def unblock(scope: UnitOfWork[Any], actor: str, by: str) -> Op[SendActivity | None]:
    """Return the Undo of the Block, or None if ``actor`` is not blocked.

    Effects: those of `relation_after`.
    """
    relation = yield from _relation(scope, Direction.INBOUND, actor, by)
    if relation.state is not RelationState.BLOCKED:
        return None
    blocked = {"id": relation.answer_ids[-1] if relation.answer_ids else None, "type": "Block", "actor": relation.us}
    return _sending("Undo", _without_none({**blocked, "object": actor}), by=by, to=actor)


def pending_follows(
    scope: UnitOfWork[Any], identifier: str, *, cursor: str | None = None, limit: int = PAGE_MAX
) -> Op[PageItems]:
    """Return a page of `FollowRequest`s that wait for our actor ``identifier``, newest first.

    ``cursor`` is the ``next`` of the page before. The notes of the unit of work are not applied.

    Effects: one `Scan`, and one `Get` for each 30 requests.

    Raises:
        ValueError: ``limit`` is not between 1 and 100.
    """
    _check_limit(limit)
    us = _actor_uri(scope, identifier)
    page = yield from members_page(requests_collection(us), cursor=cursor, limit=limit)
    members: Sequence[Member] = page.items
    requests: list[FollowRequest] = []
    for start in range(0, len(members), _PAIRS_A_READ):
        pairs = [(us, member.id) for member in members[start : start + _PAIRS_A_READ]]
        relations = yield from read_relation_records(pairs)
        follow_ids = {
            relation.them: relation.follow_ids[-1]
            for relation in relations
            if relation.direction is Direction.INBOUND and relation.follow_ids
        }
        requests += [FollowRequest(them, follow_ids.get(them)) for _, them in pairs]
    return PageItems(requests, page.next)


def contains_after(scope: UnitOfWork[Any], collection: str, item: str) -> Op[bool]:
    """Return whether an item is in a managed collection after the notes of the unit of work.

    Effects: those of `settle_relations`, and one `Get`.
    """
    notes, _ = yield from settle_relations(scope.places, scope.origin, scope.notes)
    noted_membership = membership(notes, collection, item)
    if noted_membership is not None:
        return noted_membership
    [is_member] = yield from contains(collection, (item,))
    return is_member


def member_ids(collection: str, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
    """Return a page of the ids in a managed collection, newest first.

    Effects: one `Scan`.

    Raises:
        ValueError: ``limit`` is not between 1 and 100.
    """
    _check_limit(limit)
    page = yield from members_page(collection, cursor=cursor, limit=limit)
    return PageItems([member.id for member in page.items], page.next)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit={limit}: a page has 1 to {PAGE_MAX} items")


def _actor_uri(scope: UnitOfWork[Any], identifier: str) -> str:
    if scope.origin is None:
        raise ContractError("this node has no origin, so it has no actors")
    return scope.places.actor_uri(scope.origin, identifier)


def _check_actor(scope: UnitOfWork[Any], actor: str, by: str) -> str:
    """Return the id of our actor ``by``, and refuse an ``actor`` that is no address or that is ``by`` itself."""
    check_recipients((actor,))
    us = _actor_uri(scope, by)
    if actor == us:
        raise ValueError(f"{by!r:.60} has no relation with itself")
    return us


def _relation(scope: UnitOfWork[Any], direction: Direction, actor: str, by: str) -> Op[Relation]:
    us = _check_actor(scope, actor, by)
    relation = yield from relation_after(scope, direction, us, actor)
    if relation is None:
        raise ValueError(f"by={by!r:.60}: the federation has no such actor")
    return relation


def _check_requested(relation: Relation) -> None:
    if relation.state is RelationState.NONE:
        raise ValueError(f"{relation.them} has not asked to follow {relation.us}")


def _follow_of(relation: Relation) -> dict[str, Any]:
    """Return the Follow of a relation, with its id and its actors: some servers recognise it by one, some by the other.

    It is written anew under our own context. A copy of the received Follow would be our signed text under the context
    of its sender, and could mean anything.
    """
    is_own = relation.direction is Direction.OUTBOUND
    return _without_none(
        {
            "id": relation.follow_ids[-1] if relation.follow_ids else None,
            "type": "Follow",
            "actor": relation.us if is_own else relation.them,
            "object": relation.them if is_own else relation.us,
        }
    )


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _sending(type_name: str, target: str | dict[str, Any], *, by: str, to: str) -> SendActivity:
    tree = {"@context": _AS2, "type": type_name, "object": target}
    return SendActivity(Document(tree, tree), by, (to,))
