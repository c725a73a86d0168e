"""The table of a generation of keys: every state with every event, and the steps of a rotation along it."""

from __future__ import annotations

from itertools import product

import pytest

from apcore.errors import ContractError
from apcore.federation.actors.generations import (
    GENERATION_TRANSITIONS,
    GenerationAction,
    GenerationEvent,
    GenerationState,
    advance_generation,
)

S, E, A = GenerationState, GenerationEvent, GenerationAction

NEXT_STATES = {
    #           ADD        REPLACE      CLOSE       EXPIRE     RETIRE
    S.ABSENT: (S.SIGNING, None, None, None, None),
    S.SIGNING: (None, S.REPLACED, S.REPLACED, None, None),
    S.REPLACED: (None, S.REPLACED, S.REPLACED, S.EXPIRED, None),
    S.EXPIRED: (None, S.EXPIRED, S.EXPIRED, None, S.WITHDRAWN),
    S.WITHDRAWN: (None, None, None, None, S.RETIRED),
    S.RETIRED: (None, None, None, None, None),
}
"""The next state by state and event, in the order of `GenerationEvent`; None for a pair that cannot happen."""


@pytest.mark.parametrize(("state", "event"), list(product(S, E)), ids=lambda member: member.name)
def test_every_pair_of_state_and_event_has_its_next_state_or_is_refused(state, event):
    expected = NEXT_STATES[state][list(E).index(event)]
    if expected is None:
        with pytest.raises(ContractError, match=f"'{event.value}' cannot happen to a .* that is {state.value}"):
            advance_generation(state, event)
    else:
        assert advance_generation(state, event).state is expected
        assert GENERATION_TRANSITIONS[state, event].state is expected


def test_every_action_belongs_to_one_transition():
    # The keys of a deleted actor are scheduled like replaced ones, by an event of their own.
    changes = [change for (_, event), change in GENERATION_TRANSITIONS.items() if event is not E.CLOSE]
    actions = [action for change in changes for action in change.actions]
    assert sorted(actions, key=lambda action: action.value) == sorted(A, key=lambda action: action.value)


def test_only_keys_that_sign_are_scheduled_and_only_their_replacement_is_announced():
    for (state, event), change in GENERATION_TRANSITIONS.items():
        assert (A.SCHEDULE_RETIREMENT in change.actions) is (state is S.SIGNING)
        assert (A.ANNOUNCE in change.actions) is ((state, event) == (S.SIGNING, E.REPLACE))


def test_private_keys_are_dropped_only_after_the_public_ones_are_withdrawn():
    for (state, _), change in GENERATION_TRANSITIONS.items():
        assert (A.DROP_KEYS in change.actions) is (state is S.WITHDRAWN)


def test_every_generation_can_reach_retirement():
    reachable, pending = set(), [S.ABSENT]
    while pending:
        state = pending.pop()
        if state not in reachable:
            reachable.add(state)
            pending += [change.state for (before, _), change in GENERATION_TRANSITIONS.items() if before is state]
    assert reachable == set(S)
