"""Check the table of deliveries: every state with every event, and the invariants of any sequence."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.federation.outbox.delivery_states import (
    DELIVERY_TRANSITIONS,
    DeliveryAction,
    DeliveryEvent,
    DeliveryState,
    advance_delivery,
)

QUEUED, PUT_OFF, DELIVERED, DEAD = DeliveryState
E = DeliveryEvent
A = DeliveryAction
ENDED = {DELIVERED, DEAD}

# The next states from QUEUED and from PUT_OFF.
EXPECTED: dict[DeliveryEvent, tuple[DeliveryState, DeliveryState]] = {
    E.ACCEPTED: (DELIVERED, DELIVERED),
    E.REFUSED: (DEAD, DEAD),
    E.EXHAUSTED: (DEAD, DEAD),
    E.HOST_FAILED: (QUEUED, PUT_OFF),
    E.INBOX_FAILED: (PUT_OFF, PUT_OFF),
    E.UNPROVED: (PUT_OFF, PUT_OFF),
    E.OUTAGE: (QUEUED, PUT_OFF),
    E.UNSIGNED: (QUEUED, PUT_OFF),
    E.CROWDED_OUT: (PUT_OFF, PUT_OFF),
    E.HELD_BACK: (PUT_OFF, PUT_OFF),
}


@pytest.mark.parametrize(("state", "event"), list(product(DeliveryState, DeliveryEvent)), ids=lambda part: part.value)
def test_each_event_leads_to_its_state_or_is_refused(state, event):
    if state in ENDED:
        with pytest.raises(ContractError, match=f"'{event.value}' cannot happen to a .* that is {state.value}"):
            advance_delivery(state, event)
    else:
        assert advance_delivery(state, event).state is EXPECTED[event][(QUEUED, PUT_OFF).index(state)]


@pytest.mark.parametrize(("pair", "change"), DELIVERY_TRANSITIONS.items(), ids=str)
def test_a_row_is_deleted_moved_or_left_and_never_two_of_these(pair, change):
    assert (A.DELETE in change.actions) is (change.state in ENDED)
    assert (A.BURY in change.actions) is (change.state is DEAD)
    assert not {A.DELETE, A.PUT_OFF}.issubset(change.actions)
    # A row that changes its state without an end is moved.
    assert change.state is pair[0] or change.state in ENDED or A.PUT_OFF in change.actions


@pytest.mark.parametrize("event", [E.OUTAGE, E.UNSIGNED, E.CROWDED_OUT, E.HELD_BACK])
def test_a_delivery_is_not_charged_for_a_fault_of_ours_or_of_another_delivery(event):
    for state in (QUEUED, PUT_OFF):
        assert not {A.COUNT_ATTEMPT, A.COUNT_UNPROVED, A.BURY}.intersection(advance_delivery(state, event).actions)


@given(st.lists(st.sampled_from(DeliveryEvent)))
def test_a_delivery_ends_once_and_is_delivered_only_if_the_inbox_took_it(events):
    state, ends = QUEUED, 0
    for event in events:
        if state in ENDED:
            break
        change = advance_delivery(state, event)
        state = change.state
        ends += A.DELETE in change.actions
        assert (state is DELIVERED) is (event is E.ACCEPTED)
    assert ends == (state in ENDED)
