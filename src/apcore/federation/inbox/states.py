"""Define the states of a received activity at one inbox, and the table of transitions.

The table knows no store and no queue. The operations that receive and process activities ask it, apply the actions, and
commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from apcore.errors import ContractError

__all__ = ["CLAIM_TRANSITIONS", "ClaimAction", "ClaimEvent", "ClaimState", "ClaimTransition", "advance_claim"]


class ClaimState(Enum):
    """The state of an activity at an inbox."""

    ABSENT = "absent"
    """The activity was not received here, or so long ago that it is forgotten."""
    PENDING = "pending"
    """It is stored, and waits to be processed, for the first time or again."""
    PROCESSING = "processing"
    """A worker processes it. Only the worker knows: in the store, the activity is still pending."""
    HANDLED = "handled"
    """It was processed: its side effects and the writes of its listener are committed."""
    DROPPED = "dropped"
    """Its listener raised `Drop`."""
    DEAD = "dead"
    """Its last attempt failed. A dead letter holds it."""


class ClaimEvent(Enum):
    """An event in the life of a received activity."""

    RECEIVED = "received"
    """An authenticated delivery of the activity arrived at the inbox."""
    REUSED = "reused"
    """Its actor sent the id again, and the earlier activity was undone meanwhile."""
    LEASED = "leased"
    """A worker got a message for the activity."""
    EARLY = "early"
    """The message came before the activity is due, or a newer release wrote the record."""
    SUCCEEDED = "succeeded"
    """The side effects and the listener returned."""
    DROPPED = "dropped"
    """The listener raised `Drop`."""
    FAILED = "failed"
    """The attempt failed or took too long, or the listener raised `Later`, and another attempt is left."""
    GAVE_UP = "gave up"
    """The same, and it was the last attempt, or no attempt can succeed. Or the worker ended during the last attempt."""
    CONFLICTED = "conflicted"
    """The commit of the attempt did not pass its checks: another worker was faster, or an entry has changed."""


class ClaimAction(Enum):
    """An action that belongs to a transition. All writes of one transition are in one commit."""

    STORE = "store"
    """Put the proved activity, byte for byte."""
    ENQUEUE = "enqueue"
    """Enqueue a message, so that a worker processes the activity."""
    RUN = "run"
    """Apply the side effects, and call the listener."""
    APPLY = "apply"
    """Commit the writes of the side effects and of the listener."""
    FORGET = "forget"
    """Delete the stored activity. Only its id is remembered."""
    BURY = "bury"
    """Put a dead letter with the activity and the reason."""
    SCHEDULE = "schedule"
    """Record the attempt and the time of the next, and put the message off until then."""
    POSTPONE = "postpone"
    """Put the message off, and record nothing."""
    SETTLE = "settle"
    """Settle the message: there is nothing more to do."""


@frozen
class ClaimTransition:
    """The next state of an activity, and the actions that belong to the change."""

    state: ClaimState
    actions: tuple[ClaimAction, ...] = ()


_S, _E, _A = ClaimState, ClaimEvent, ClaimAction
_ENDED: Final = (_S.HANDLED, _S.DROPPED, _S.DEAD)
_STORED: Final = ClaimTransition(_S.PENDING, (_A.STORE, _A.ENQUEUE))
_BURIED: Final = ClaimTransition(_S.DEAD, (_A.BURY, _A.FORGET, _A.SETTLE))

CLAIM_TRANSITIONS: Final[Mapping[tuple[ClaimState, ClaimEvent], ClaimTransition]] = MappingProxyType(
    {
        (_S.ABSENT, _E.RECEIVED): _STORED,
        # The first request may have ended after its commit, and before its message reached the queue.
        (_S.PENDING, _E.RECEIVED): ClaimTransition(_S.PENDING, (_A.ENQUEUE,)),
        (_S.PROCESSING, _E.RECEIVED): ClaimTransition(_S.PROCESSING, (_A.ENQUEUE,)),
        **{(state, _E.RECEIVED): ClaimTransition(state) for state in _ENDED},
        **{(state, _E.REUSED): _STORED for state in _ENDED},
        (_S.PENDING, _E.LEASED): ClaimTransition(_S.PROCESSING, (_A.RUN,)),
        # The lease of another worker has expired. At most one of the two can commit.
        (_S.PROCESSING, _E.LEASED): ClaimTransition(_S.PROCESSING, (_A.RUN,)),
        **{(state, _E.LEASED): ClaimTransition(state, (_A.SETTLE,)) for state in (_S.ABSENT, *_ENDED)},
        (_S.PENDING, _E.EARLY): ClaimTransition(_S.PENDING, (_A.POSTPONE,)),
        (_S.PENDING, _E.GAVE_UP): _BURIED,
        (_S.PROCESSING, _E.SUCCEEDED): ClaimTransition(_S.HANDLED, (_A.APPLY, _A.FORGET, _A.SETTLE)),
        (_S.PROCESSING, _E.DROPPED): ClaimTransition(_S.DROPPED, (_A.FORGET, _A.SETTLE)),
        (_S.PROCESSING, _E.FAILED): ClaimTransition(_S.PENDING, (_A.SCHEDULE,)),
        (_S.PROCESSING, _E.GAVE_UP): _BURIED,
        (_S.PENDING, _E.CONFLICTED): ClaimTransition(_S.PENDING, (_A.POSTPONE,)),
        (_S.PROCESSING, _E.CONFLICTED): ClaimTransition(_S.PENDING, (_A.POSTPONE,)),
    }
)
"""The transitions. A pair that is not in the table cannot happen."""


def advance_claim(state: ClaimState, event: ClaimEvent) -> ClaimTransition:
    """Return the transition of an activity in ``state`` on ``event``.

    Raises:
        ContractError: The event cannot happen in this state.
    """
    change = CLAIM_TRANSITIONS.get((state, event))
    if change is None:
        raise ContractError(f"the event {event.value!r} cannot happen to a received activity that is {state.value}")
    return change
