"""Check the table of follow relations: every state with every event, and invariants of any sequence."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.federation.relations.statements import RELATION_EVENTS, UNDO_EVENTS
from apcore.federation.relations.table import TRANSITIONS, RelationAction, RelationEvent, RelationState, transition

PAIRS = list(product(RelationState, RelationEvent))
NONE, PENDING, ACCEPTED, REJECTED, BLOCKED = RelationState
A = RelationAction
E = RelationEvent

EXPECTED: dict[RelationEvent, tuple[RelationState, ...]] = {
    #               from NONE, PENDING, ACCEPTED, REJECTED, BLOCKED
    E.FOLLOW: (PENDING, PENDING, ACCEPTED, PENDING, BLOCKED),
    E.UNDO_FOLLOW: (NONE, NONE, NONE, NONE, BLOCKED),
    E.ACCEPT: (NONE, ACCEPTED, ACCEPTED, ACCEPTED, BLOCKED),
    E.REJECT: (NONE, REJECTED, REJECTED, REJECTED, BLOCKED),
    E.UNDO_ACCEPT: (NONE, PENDING, PENDING, REJECTED, BLOCKED),
    E.UNDO_REJECT: (NONE, PENDING, ACCEPTED, PENDING, BLOCKED),
    E.BLOCK: (BLOCKED, BLOCKED, BLOCKED, BLOCKED, BLOCKED),
    E.UNDO_BLOCK: (NONE, PENDING, ACCEPTED, REJECTED, NONE),
    E.REFRESH: (NONE, PENDING, ACCEPTED, REJECTED, BLOCKED),
    E.END: (NONE, NONE, NONE, NONE, BLOCKED),
}


def test_table_has_every_pair_of_state_and_event():
    assert set(TRANSITIONS) == set(PAIRS)


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda member: member.value)
def test_event_leads_to_the_expected_state(state, event):
    assert transition(state, event).state is EXPECTED[event][list(RelationState).index(state)]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda member: member.value)
def test_members_and_requests_follow_the_state(state, event):
    change = transition(state, event)
    if change.state is ACCEPTED and state is not ACCEPTED:
        assert A.ADD_MEMBER in change.actions
    if change.state is not ACCEPTED:
        assert A.ADD_MEMBER not in change.actions
        assert state is not ACCEPTED or A.REMOVE_MEMBER in change.actions
    if change.state is PENDING and state is not PENDING:
        assert A.ADD_REQUEST in change.actions
    if change.state is not PENDING and state is PENDING:
        assert A.REMOVE_REQUEST in change.actions
    assert not {A.ADD_MEMBER, A.REMOVE_MEMBER} <= set(change.actions)


@pytest.mark.parametrize("event", [event for event in E if event is not E.FOLLOW], ids=lambda member: member.value)
def test_only_a_follow_causes_an_answer(event):
    answers = {A.CONFIRM, A.REFUSE}
    assert not any(answers & set(transition(state, event).actions) for state in RelationState)


@given(st.lists(st.sampled_from(RelationEvent)))
def test_relation_is_accepted_only_after_a_follow(events):
    state, has_asked, is_member = NONE, False, False
    for event in events:
        change = transition(state, event)
        state = change.state
        has_asked = has_asked or event is E.FOLLOW
        if A.ADD_MEMBER in change.actions:
            is_member = True
        if A.REMOVE_MEMBER in change.actions:
            is_member = False
        assert is_member is (state is ACCEPTED)
        assert has_asked or state in {NONE, BLOCKED}


@given(
    st.lists(st.sampled_from(RelationEvent)), st.sampled_from([E.REJECT, E.UNDO_FOLLOW, E.UNDO_ACCEPT, E.BLOCK, E.END])
)
def test_ended_relation_needs_a_new_follow_or_accept(events, ending):
    state = NONE
    for event in [*events, ending]:
        state = transition(state, event).state
    assert state is not ACCEPTED
    for event in set(E) - {E.FOLLOW, E.ACCEPT}:
        assert transition(state, event).state is not ACCEPTED


@given(st.lists(st.sampled_from([event for event in E if event is not E.UNDO_BLOCK])))
def test_block_ends_only_with_its_undo(events):
    state = BLOCKED
    for event in events:
        state = transition(state, event).state
    assert state is BLOCKED


def test_every_relation_activity_has_an_undo():
    assert set(RELATION_EVENTS) == set(UNDO_EVENTS)
