"""Define the states of one generation of an actor's keys, and the table of transitions.

A generation is an RSA key and an Ed25519 key that were added together. The table knows no store and no signer:
`apcore.federation.actors.key_ring` asks it, and the operations commit the actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from apcore.errors import ContractError

__all__ = [
    "GENERATION_TRANSITIONS",
    "GenerationAction",
    "GenerationEvent",
    "GenerationState",
    "GenerationTransition",
    "advance_generation",
]


class GenerationState(Enum):
    """The state of a generation."""

    ABSENT = "absent"
    """It is not stored yet."""
    SIGNING = "signing"
    """It is published, and signs. An actor has one such generation at most."""
    REPLACED = "replaced"
    """It has a time of retirement, and is published until then. A newer generation signs; if the actor is deleted, this
    one signs what is still to be delivered."""
    EXPIRED = "expired"
    """Its time of retirement has come. It is stored, and published no more."""
    WITHDRAWN = "withdrawn"
    """It is no longer stored. The signer still holds its private keys."""
    RETIRED = "retired"
    """The signer has dropped its private keys."""


class GenerationEvent(Enum):
    """An event in the life of a generation."""

    ADD = "added"
    """Its keys were made, or supplied, and are stored."""
    REPLACE = "replaced"
    """A newer generation is put into the ring that holds it."""
    CLOSE = "closed"
    """The actor is deleted. The time of retirement comes when all deliveries have ended."""
    EXPIRE = "expired"
    """Its time of retirement comes. Nothing is written: publishing compares the time with the clock."""
    RETIRE = "retired"
    """A worker meets it in the list of retirements that are due."""


class GenerationAction(Enum):
    """An action that belongs to a transition. All actions are idempotent, so that a crash between two costs nothing."""

    STORE = "store"
    """Put the generation into the ring of the actor's keys."""
    SCHEDULE_RETIREMENT = "schedule"
    """Put its time of retirement, and an entry in the list of retirements."""
    ANNOUNCE = "announce"
    """Send followers an Update of the actor that this generation signs."""
    WITHDRAW = "withdraw"
    """Remove it from the ring."""
    DROP_KEYS = "drop"
    """Have the signer drop its private keys."""
    FORGET_RETIREMENT = "forget"
    """Delete its entry in the list of retirements."""


@frozen
class GenerationTransition:
    """The next state of a generation, and the actions that belong to the change."""

    state: GenerationState
    actions: tuple[GenerationAction, ...] = ()


_S, _E, _A = GenerationState, GenerationEvent, GenerationAction

GENERATION_TRANSITIONS: Final[Mapping[tuple[GenerationState, GenerationEvent], GenerationTransition]] = (
    MappingProxyType(
        {
            (_S.ABSENT, _E.ADD): GenerationTransition(_S.SIGNING, (_A.STORE,)),
            (_S.SIGNING, _E.REPLACE): GenerationTransition(_S.REPLACED, (_A.SCHEDULE_RETIREMENT, _A.ANNOUNCE)),
            # A generation that was replaced earlier keeps its time of retirement.
            (_S.REPLACED, _E.REPLACE): GenerationTransition(_S.REPLACED),
            (_S.EXPIRED, _E.REPLACE): GenerationTransition(_S.EXPIRED),
            # The Delete of the actor is announcement enough.
            (_S.SIGNING, _E.CLOSE): GenerationTransition(_S.REPLACED, (_A.SCHEDULE_RETIREMENT,)),
            (_S.REPLACED, _E.CLOSE): GenerationTransition(_S.REPLACED),
            (_S.EXPIRED, _E.CLOSE): GenerationTransition(_S.EXPIRED),
            (_S.REPLACED, _E.EXPIRE): GenerationTransition(_S.EXPIRED),
            # The document first, then the signer, and the list last. After a crash the entry in the list is still
            # there, and the next run repeats the rest.
            (_S.EXPIRED, _E.RETIRE): GenerationTransition(_S.WITHDRAWN, (_A.WITHDRAW,)),
            (_S.WITHDRAWN, _E.RETIRE): GenerationTransition(_S.RETIRED, (_A.DROP_KEYS, _A.FORGET_RETIREMENT)),
        }
    )
)
"""The transitions. A pair that is not in the table cannot happen."""


def advance_generation(state: GenerationState, event: GenerationEvent) -> GenerationTransition:
    """Return the transition of a generation in ``state`` on ``event``.

    Raises:
        ContractError: A generation in that state cannot meet the event.
    """
    change = GENERATION_TRANSITIONS.get((state, event))
    if change is None:
        raise ContractError(f"the event {event.value!r} cannot happen to a generation of keys that is {state.value}")
    return change
