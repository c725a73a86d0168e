"""Check the table of circuits: every state with every event, and the invariants of any sequence."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.federation.outbox.circuit_states import (
    CIRCUIT_TRANSITIONS,
    CircuitAction,
    CircuitEvent,
    CircuitState,
    advance_circuit,
)

CLOSED, OPEN, PACED, PROBING = CircuitState
E = CircuitEvent
A = CircuitAction
PAUSING = {OPEN, PACED}

# None: the event cannot happen in this state.
EXPECTED: dict[CircuitEvent, tuple[CircuitState | None, ...]] = {
    #           from CLOSED, OPEN, PACED, PROBING
    E.DUE: (None, PROBING, PROBING, None),
    E.ANSWERED: (CLOSED, None, None, CLOSED),
    E.ANSWERED_AIMED: (PACED, None, None, PACED),
    E.FAILED: (OPEN, None, None, OPEN),
    E.OUTAGE: (OPEN, None, None, OPEN),
    E.UNASKED: (CLOSED, None, None, PROBING),
}


@pytest.mark.parametrize(("state", "event"), list(product(CircuitState, CircuitEvent)), ids=lambda part: part.value)
def test_each_event_leads_to_its_state_or_is_refused(state, event):
    expected = EXPECTED[event][list(CircuitState).index(state)]
    if expected is None:
        with pytest.raises(ContractError, match=f"cannot happen to a circuit that is {state.value}"):
            advance_circuit(state, event)
    else:
        assert advance_circuit(state, event).state is expected


@pytest.mark.parametrize(("pair", "change"), CIRCUIT_TRANSITIONS.items(), ids=str)
def test_a_circuit_that_pauses_is_written_and_one_that_closes_is_not_kept(pair, change):
    assert (change.state in PAUSING) is bool({A.PAUSE, A.PACE}.intersection(change.actions))
    assert (A.FORGET in change.actions) is (change.state is CLOSED and pair[0] is not CLOSED)
    # A pause that grows has a reason to grow.
    assert (A.PAUSE in change.actions) is bool({A.COUNT_FAILURE, A.COUNT_OUTAGE}.intersection(change.actions))


def test_an_outage_of_ours_is_not_charged_to_the_host():
    for state in (CLOSED, PROBING):
        assert A.COUNT_FAILURE not in advance_circuit(state, E.OUTAGE).actions


@given(st.lists(st.sampled_from(CircuitEvent)))
def test_no_attempt_is_made_in_a_pause(events):
    state = CLOSED
    for event in events:
        if (state, event) not in CIRCUIT_TRANSITIONS:
            assert (state in PAUSING) is (event is not E.DUE)
            continue
        state = advance_circuit(state, event).state
