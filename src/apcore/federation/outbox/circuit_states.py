"""Define the circuit of a host: states, events, and the table of transitions.

A circuit decides whether the host may be asked now. The table knows no store and no network:
`apcore.federation.outbox.circuit` names the event, asks the table, and turns the actions into writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import frozen

from apcore.errors import ContractError

__all__ = [
    "CIRCUIT_TRANSITIONS",
    "CircuitAction",
    "CircuitEvent",
    "CircuitState",
    "CircuitTransition",
    "advance_circuit",
]


class CircuitState(Enum):
    """The state of a circuit."""

    CLOSED = "closed"
    """The host is asked at any time. Nothing is stored about it."""
    OPEN = "open"
    """The host failed, and is not asked before the end of a pause."""
    PACED = "paced"
    """The host answered, and gets a pause because the deliveries are aimed at it."""
    PROBING = "probing"
    """The pause is over: the next attempts decide."""


class CircuitEvent(Enum):
    """An event that can change a circuit."""

    DUE = "due"
    """The pause is over."""
    ANSWERED = "answered"
    """All attempts of a step were answered by a host that works."""
    ANSWERED_AIMED = "answered, aimed"
    """The same, and the deliveries are aimed at the host."""
    FAILED = "failed"
    """The host does not answer, or answers that it cannot work."""
    OUTAGE = "our outage"
    """The host cannot be reached, because our own network is down."""
    UNASKED = "unasked"
    """No request left in this step, because our own signer or store failed."""


class CircuitAction(Enum):
    """An action that belongs to a transition."""

    FORGET = "forget"
    """Delete the record of the circuit."""
    COUNT_FAILURE = "count failure"
    """Count a failure of the host, and end the count of outages."""
    COUNT_OUTAGE = "count outage"
    """Count a failure that is not charged to the host. It only lengthens the pause."""
    PAUSE = "pause"
    """Begin a pause that grows with the number of failures or outages in a row."""
    PACE = "pace"
    """Begin a pause for every attempt of the step, and forget all failures."""


@frozen
class CircuitTransition:
    """The next state of a circuit, and the actions that belong to the change."""

    state: CircuitState
    actions: tuple[CircuitAction, ...] = ()


_Pair: TypeAlias = tuple[CircuitState, CircuitEvent]
_CLOSED, _OPEN, _PACED, _PROBING = CircuitState
_FAIL: Final = CircuitTransition(_OPEN, (CircuitAction.COUNT_FAILURE, CircuitAction.PAUSE))
_SPARE: Final = CircuitTransition(_OPEN, (CircuitAction.COUNT_OUTAGE, CircuitAction.PAUSE))
_PACE: Final = CircuitTransition(_PACED, (CircuitAction.PACE,))

CIRCUIT_TRANSITIONS: Final[Mapping[_Pair, CircuitTransition]] = MappingProxyType(
    {
        (_CLOSED, CircuitEvent.ANSWERED): CircuitTransition(_CLOSED),
        (_CLOSED, CircuitEvent.ANSWERED_AIMED): _PACE,
        (_CLOSED, CircuitEvent.FAILED): _FAIL,
        (_CLOSED, CircuitEvent.OUTAGE): _SPARE,
        (_CLOSED, CircuitEvent.UNASKED): CircuitTransition(_CLOSED),
        # Before the end of a pause nothing is asked, so nothing else can happen.
        (_OPEN, CircuitEvent.DUE): CircuitTransition(_PROBING),
        (_PACED, CircuitEvent.DUE): CircuitTransition(_PROBING),
        (_PROBING, CircuitEvent.ANSWERED): CircuitTransition(_CLOSED, (CircuitAction.FORGET,)),
        (_PROBING, CircuitEvent.ANSWERED_AIMED): _PACE,
        (_PROBING, CircuitEvent.FAILED): _FAIL,
        (_PROBING, CircuitEvent.OUTAGE): _SPARE,
        (_PROBING, CircuitEvent.UNASKED): CircuitTransition(_PROBING),
    }
)
"""The transition of every pair of a state and an event that can meet."""


def advance_circuit(state: CircuitState, event: CircuitEvent) -> CircuitTransition:
    """Return the transition of a circuit in ``state`` on ``event``.

    Raises:
        ContractError: The event cannot happen in this state.
    """
    change = CIRCUIT_TRANSITIONS.get((state, event))
    if change is None:
        raise ContractError(f"the event {event.value!r} cannot happen to a circuit that is {state.value}")
    return change
