"""Check the table of received activities: every state with every event, and the page generated from it."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ContractError
from apcore.federation.inbox.records import ClaimRecord
from apcore.federation.inbox.states import (
    CLAIM_TRANSITIONS,
    ClaimAction,
    ClaimEvent,
    ClaimState,
    advance_claim,
)

ABSENT, PENDING, PROCESSING, HANDLED, DROPPED, DEAD = ClaimState
E = ClaimEvent
A = ClaimAction
PAIRS = list(product(ClaimState, ClaimEvent))
ENDED = {HANDLED, DROPPED, DEAD}

# None: the event cannot happen in this state.
EXPECTED: dict[ClaimEvent, tuple[ClaimState | None, ...]] = {
    #             from ABSENT, PENDING, PROCESSING, HANDLED, DROPPED, DEAD
    E.RECEIVED: (PENDING, PENDING, PROCESSING, HANDLED, DROPPED, DEAD),
    E.REUSED: (None, None, None, PENDING, PENDING, PENDING),
    E.LEASED: (ABSENT, PROCESSING, PROCESSING, HANDLED, DROPPED, DEAD),
    E.EARLY: (None, PENDING, None, None, None, None),
    E.SUCCEEDED: (None, None, HANDLED, None, None, None),
    E.DROPPED: (None, None, DROPPED, None, None, None),
    E.FAILED: (None, None, PENDING, None, None, None),
    E.GAVE_UP: (None, DEAD, DEAD, None, None, None),
    E.CONFLICTED: (None, PENDING, PENDING, None, None, None),
}


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda part: part.value)
def test_each_event_leads_to_its_state_or_is_refused(state, event):
    expected = EXPECTED[event][list(ClaimState).index(state)]
    if expected is None:
        with pytest.raises(ContractError, match=f"'{event.value}' cannot happen to a .* that is {state.value}"):
            advance_claim(state, event)
    else:
        assert advance_claim(state, event).state is expected


def test_activity_is_stored_and_enqueued_together():
    for change in CLAIM_TRANSITIONS.values():
        assert A.STORE not in change.actions or A.ENQUEUE in change.actions


@pytest.mark.parametrize(("pair", "change"), CLAIM_TRANSITIONS.items(), ids=lambda part: str(part)[:60])
def test_final_attempt_deletes_the_activity_and_settles_its_message(pair, change):
    ends = pair[0] not in ENDED and change.state in ENDED
    assert (A.FORGET in change.actions) is ends
    assert (A.BURY in change.actions) is (ends and change.state is DEAD)
    assert not ends or A.SETTLE in change.actions
    assert A.APPLY not in change.actions or change.state is HANDLED
    # A message is settled, or put off, and never both.
    assert len({A.SETTLE, A.SCHEDULE, A.POSTPONE}.intersection(change.actions)) <= 1


@given(st.lists(st.sampled_from(ClaimEvent)))
def test_writes_of_a_listener_are_applied_once_per_stored_activity(events):
    state, stored, applied = ABSENT, 0, 0
    for event in events:
        if (state, event) not in CLAIM_TRANSITIONS:
            continue
        change = advance_claim(state, event)
        state = change.state
        stored += A.STORE in change.actions
        applied += A.APPLY in change.actions
        assert applied <= stored
        assert (state in ENDED) or applied < stored or state is ABSENT


@pytest.mark.parametrize("state", [state for state in ClaimState if state not in {ABSENT, PROCESSING}])
def test_stored_claim_gives_its_state(state):
    reason = "not wanted" if state is DROPPED else None
    assert ClaimRecord.of(state, "https://away.example/1", reason=reason).state is state


def test_activity_under_way_is_pending_in_the_store():
    assert ClaimRecord.of(PROCESSING, "https://away.example/1").state is PENDING
