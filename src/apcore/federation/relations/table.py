"""Define the follow relation of a follower and a followed actor: states, events, and the table of transitions.

Both servers use the same table. Each server stores the relations of its own actors, and changes them by the activities
that it sends and receives. The table knows no store and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from attrs import frozen

__all__ = ["TRANSITIONS", "Direction", "RelationAction", "RelationEvent", "RelationState", "Transition", "transition"]


class Direction(Enum):
    """The direction of a relation, seen from our actor."""

    INBOUND = "inbound"
    """The other actor follows ours."""
    OUTBOUND = "outbound"
    """Our actor follows the other one."""


class RelationState(Enum):
    """The state of a relation."""

    NONE = "none"
    """There is no request and no relation."""
    PENDING = "pending"
    """The follower has sent a Follow, and the followed actor has not answered it."""
    ACCEPTED = "accepted"
    """The follower follows."""
    REJECTED = "rejected"
    """The followed actor has rejected the request, or has removed the follower."""
    BLOCKED = "blocked"
    """The followed actor blocks the follower. Only the server of the followed actor uses this state."""


class RelationEvent(Enum):
    """An event that can change a relation, named after its activity."""

    FOLLOW = "follow"
    """The follower asks to follow."""
    UNDO_FOLLOW = "undo-follow"
    """The follower takes the request back, or unfollows."""
    ACCEPT = "accept"
    """The followed actor accepts the request."""
    REJECT = "reject"
    """The followed actor rejects the request, or removes the follower."""
    UNDO_ACCEPT = "undo-accept"
    """The followed actor takes its Accept back."""
    UNDO_REJECT = "undo-reject"
    """The followed actor takes its Reject back."""
    BLOCK = "block"
    """The followed actor, which is ours, blocks the follower."""
    UNDO_BLOCK = "undo-block"
    """The followed actor ends its Block."""
    REFRESH = "refresh"
    """The other actor has new inboxes."""
    END = "end"
    """The follower blocks the followed actor, or one of the two is deleted."""


class RelationAction(Enum):
    """An action that belongs to a transition. All actions are idempotent."""

    ADD_MEMBER = auto()
    """Add the other actor to ``followers`` or ``following``."""
    REMOVE_MEMBER = auto()
    """Remove the other actor from ``followers`` or ``following``."""
    ADD_REQUEST = auto()
    """Add the request to the requests that wait for an answer."""
    REMOVE_REQUEST = auto()
    """Remove the request from the requests that wait for an answer."""
    CONFIRM = auto()
    """Answer a repeated Follow with Accept: the follower's server has lost the relation, which is still accepted."""
    REFUSE = auto()
    """Answer a Follow with Reject, without asking the policy."""


@frozen
class Transition:
    """The next state of a relation, and the actions that belong to the change."""

    state: RelationState
    actions: tuple[RelationAction, ...] = ()


_NONE, _PENDING, _ACCEPTED, _REJECTED, _BLOCKED = RelationState
_ADD = (RelationAction.ADD_MEMBER, RelationAction.REMOVE_REQUEST)
_END = (RelationAction.REMOVE_MEMBER, RelationAction.REMOVE_REQUEST)
_ASK = (RelationAction.ADD_REQUEST,)
_SUSPEND = (RelationAction.REMOVE_MEMBER, RelationAction.ADD_REQUEST)


def _row(
    event: RelationEvent,
    *,
    none: Transition,
    pending: Transition,
    accepted: Transition,
    rejected: Transition,
    blocked: Transition = Transition(_BLOCKED),
) -> dict[tuple[RelationState, RelationEvent], Transition]:
    row = {_NONE: none, _PENDING: pending, _ACCEPTED: accepted, _REJECTED: rejected, _BLOCKED: blocked}
    return {(state, event): change for state, change in row.items()}


TRANSITIONS: Final[Mapping[tuple[RelationState, RelationEvent], Transition]] = MappingProxyType(
    _row(
        RelationEvent.FOLLOW,
        none=Transition(_PENDING, _ASK),
        pending=Transition(_PENDING, _ASK),
        accepted=Transition(_ACCEPTED, (RelationAction.CONFIRM,)),
        rejected=Transition(_PENDING, _ASK),
        blocked=Transition(_BLOCKED, (RelationAction.REFUSE,)),
    )
    | _row(
        RelationEvent.UNDO_FOLLOW,
        none=Transition(_NONE, _END),
        pending=Transition(_NONE, _END),
        accepted=Transition(_NONE, _END),
        rejected=Transition(_NONE, _END),
        blocked=Transition(_BLOCKED, _END),
    )
    # An Accept without a request changes nothing: the request was undone meanwhile, or never existed.
    | _row(
        RelationEvent.ACCEPT,
        none=Transition(_NONE),
        pending=Transition(_ACCEPTED, _ADD),
        accepted=Transition(_ACCEPTED, _ADD),
        rejected=Transition(_ACCEPTED, _ADD),
    )
    | _row(
        RelationEvent.REJECT,
        none=Transition(_NONE, _END),
        pending=Transition(_REJECTED, _END),
        accepted=Transition(_REJECTED, _END),
        rejected=Transition(_REJECTED, _END),
        blocked=Transition(_BLOCKED, _END),
    )
    # The request is pending again, as if it had not been answered. Mastodon reads an Undo of an Accept the same way.
    | _row(
        RelationEvent.UNDO_ACCEPT,
        none=Transition(_NONE, _END),
        pending=Transition(_PENDING),
        accepted=Transition(_PENDING, _SUSPEND),
        rejected=Transition(_REJECTED),
        blocked=Transition(_BLOCKED, _END),
    )
    | _row(
        RelationEvent.UNDO_REJECT,
        none=Transition(_NONE),
        pending=Transition(_PENDING),
        accepted=Transition(_ACCEPTED),
        rejected=Transition(_PENDING, _ASK),
    )
    | _row(
        RelationEvent.BLOCK,
        none=Transition(_BLOCKED, _END),
        pending=Transition(_BLOCKED, _END),
        accepted=Transition(_BLOCKED, _END),
        rejected=Transition(_BLOCKED, _END),
        blocked=Transition(_BLOCKED, _END),
    )
    | _row(
        RelationEvent.UNDO_BLOCK,
        none=Transition(_NONE),
        pending=Transition(_PENDING),
        accepted=Transition(_ACCEPTED),
        rejected=Transition(_REJECTED),
        blocked=Transition(_NONE),
    )
    # Adding a member again stores its new inboxes.
    | _row(
        RelationEvent.REFRESH,
        none=Transition(_NONE),
        pending=Transition(_PENDING, _ASK),
        accepted=Transition(_ACCEPTED, (RelationAction.ADD_MEMBER,)),
        rejected=Transition(_REJECTED),
    )
    | _row(
        RelationEvent.END,
        none=Transition(_NONE, _END),
        pending=Transition(_NONE, _END),
        accepted=Transition(_NONE, _END),
        rejected=Transition(_NONE, _END),
        blocked=Transition(_BLOCKED, _END),
    )
)
"""The transition of every pair of a state and an event."""


def transition(state: RelationState, event: RelationEvent) -> Transition:
    """Return the transition of a relation in ``state`` on ``event``."""
    return TRANSITIONS[state, event]
