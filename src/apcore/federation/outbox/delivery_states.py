"""Define the states of a delivery: states, events, and the table of transitions.

A delivery is one activity for one inbox. The table knows no store and no network: `apcore.federation.outbox.deliver`
names the event, asks the table, and commits the actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import frozen

from apcore.errors import ContractError

__all__ = [
    "DELIVERY_TRANSITIONS",
    "DeliveryAction",
    "DeliveryEvent",
    "DeliveryState",
    "DeliveryTransition",
    "advance_delivery",
]


class DeliveryState(Enum):
    """The state of a delivery."""

    QUEUED = "queued"
    """It waits for its turn in the backlog of the host."""
    PUT_OFF = "put off"
    """It waits until it is due, and deliveries of its line wait behind it."""
    DELIVERED = "delivered"
    """The inbox has the activity. Nothing is stored any more."""
    DEAD = "dead"
    """It was given up. The reason is stored for people to look at."""


class DeliveryEvent(Enum):
    """An event that can change a delivery."""

    ACCEPTED = "accepted"
    """The inbox took the activity."""
    REFUSED = "refused"
    """The inbox will never take the activity, or the delivery is given up without an attempt."""
    EXHAUSTED = "exhausted"
    """An attempt failed, and no further one is allowed."""
    HOST_FAILED = "host failed"
    """The host does not answer, or answers that it cannot work."""
    INBOX_FAILED = "inbox failed"
    """The inbox cannot take the activity now."""
    UNPROVED = "unproved"
    """The peer answered 401."""
    OUTAGE = "our outage"
    """The host cannot be reached, because our own network is down."""
    UNSIGNED = "unsigned"
    """The sender's key cannot sign now, so no request left."""
    CROWDED_OUT = "crowded out"
    """The sender's key cannot sign now, and other senders may wait behind it."""
    HELD_BACK = "held back"
    """An earlier delivery of its line was put off."""


class DeliveryAction(Enum):
    """An action that belongs to a transition."""

    DELETE = "delete"
    """Delete the row of the delivery."""
    BURY = "bury"
    """Put a dead letter with the delivery and the reason."""
    COUNT_ATTEMPT = "count attempt"
    """Count an attempt. The delay after it grows with their number."""
    COUNT_UNPROVED = "count 401"
    """Count an attempt that ended with 401. The eighth is the last."""
    PUT_OFF = "put off"
    """Move the row, so that the delivery is not tried before it is due."""
    HOLD_LINE = "hold line"
    """Put off the deliveries behind it in its line, until the same time."""


@frozen
class DeliveryTransition:
    """The next state of a delivery, and the actions that belong to the change."""

    state: DeliveryState
    actions: tuple[DeliveryAction, ...] = ()


_Pair: TypeAlias = tuple[DeliveryState, DeliveryEvent]
_QUEUED, _PUT_OFF, _DELIVERED, _DEAD = DeliveryState
_WAITING: Final = (_QUEUED, _PUT_OFF)
_GIVE_UP: Final = DeliveryTransition(_DEAD, (DeliveryAction.DELETE, DeliveryAction.BURY))


def _from_waiting(event: DeliveryEvent, change: DeliveryTransition) -> Mapping[_Pair, DeliveryTransition]:
    """Return the rows of an event that has the same effect on every delivery that waits."""
    return {(state, event): change for state in _WAITING}


def _in_place(event: DeliveryEvent, *actions: DeliveryAction) -> Mapping[_Pair, DeliveryTransition]:
    """Return the rows of an event that leaves a delivery where it waits."""
    return {(state, event): DeliveryTransition(state, actions) for state in _WAITING}


DELIVERY_TRANSITIONS: Final[Mapping[_Pair, DeliveryTransition]] = MappingProxyType(
    {
        **_from_waiting(DeliveryEvent.ACCEPTED, DeliveryTransition(_DELIVERED, (DeliveryAction.DELETE,))),
        **_from_waiting(DeliveryEvent.REFUSED, _GIVE_UP),
        **_from_waiting(DeliveryEvent.EXHAUSTED, _GIVE_UP),
        # The circuit of the host delays its whole backlog, so the delivery keeps its place.
        **_in_place(DeliveryEvent.HOST_FAILED, DeliveryAction.COUNT_ATTEMPT),
        **_from_waiting(
            DeliveryEvent.INBOX_FAILED,
            DeliveryTransition(
                _PUT_OFF, (DeliveryAction.COUNT_ATTEMPT, DeliveryAction.PUT_OFF, DeliveryAction.HOLD_LINE)
            ),
        ),
        **_from_waiting(
            DeliveryEvent.UNPROVED,
            DeliveryTransition(
                _PUT_OFF,
                (
                    DeliveryAction.COUNT_ATTEMPT,
                    DeliveryAction.COUNT_UNPROVED,
                    DeliveryAction.PUT_OFF,
                    DeliveryAction.HOLD_LINE,
                ),
            ),
        ),
        # Neither the delivery nor the host is charged for a fault of ours.
        **_in_place(DeliveryEvent.OUTAGE),
        **_in_place(DeliveryEvent.UNSIGNED),
        # Others may wait behind a full step, so it makes room for them.
        **_from_waiting(
            DeliveryEvent.CROWDED_OUT,
            DeliveryTransition(_PUT_OFF, (DeliveryAction.PUT_OFF, DeliveryAction.HOLD_LINE)),
        ),
        **_from_waiting(DeliveryEvent.HELD_BACK, DeliveryTransition(_PUT_OFF, (DeliveryAction.PUT_OFF,))),
    }
)
"""The transition of every pair of a state and an event. A delivery that has ended has no transitions."""


def advance_delivery(state: DeliveryState, event: DeliveryEvent) -> DeliveryTransition:
    """Return the transition of a delivery in ``state`` on ``event``.

    Raises:
        ContractError: The delivery has ended.
    """
    change = DELIVERY_TRANSITIONS.get((state, event))
    if change is None:
        raise ContractError(f"the event {event.value!r} cannot happen to a delivery that is {state.value}")
    return change
