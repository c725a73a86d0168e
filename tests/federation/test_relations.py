"""Check the table of follow relations: every state with every event, and invariants of any sequence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore import Federation, Node
from apcore.effects import Op, commit_batch
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.relations.actions import block, note_action, note_follow
from apcore.federation.relations.statements import RELATION_EVENTS, UNDO_EVENTS
from apcore.federation.relations.stored import own_requests_collection, read_relation, requests_collection
from apcore.federation.relations.table import (
    TRANSITIONS,
    Direction,
    RelationAction,
    RelationEvent,
    RelationState,
    transition,
)
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import RelationUpdate
from apcore.ports import Batch
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Person

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


# --- the full product on stored relations ---------------------------------------------------------------------------

US, THEM = "https://local.example/users/alice", "https://remote.example/users/bob"
PATHS: dict[RelationState, tuple[RelationEvent, ...]] = {
    NONE: (),
    PENDING: (E.FOLLOW,),
    ACCEPTED: (E.FOLLOW, E.ACCEPT),
    REJECTED: (E.FOLLOW, E.REJECT),
    BLOCKED: (E.BLOCK,),
}
"""Events that lead to each state."""
PRODUCT = list(product(RelationState, RelationEvent, Direction))


@pytest.mark.parametrize(("state", "event", "direction"), PRODUCT, ids=lambda member: member.value)
@pytest.mark.parametrize("is_received", [False, True], ids=["sent", "received"])
def test_stored_relation_follows_the_table_in_each_state_direction_and_way(
    state: RelationState, event: RelationEvent, direction: Direction, is_received: bool
) -> None:
    node = relation_node()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number, step in enumerate((*PATHS[state], event)):
        received = moment + timedelta(seconds=number) if is_received else None
        update = RelationUpdate(direction, US, THEM, step, item=b"{}", received=received)
        assert node.run(commit_update(node.site(), update))
    expected = transition(state, event).state
    relation = node.run(read_relation(node.federation.places, direction, US, THEM))
    assert relation is not None
    assert relation.state is expected
    members = "followers" if direction is Direction.INBOUND else "following"
    requests = requests_collection(US) if direction is Direction.INBOUND else own_requests_collection(US)
    assert node.contains(f"{US}/{members}", THEM) is (expected is ACCEPTED)
    assert node.contains(requests, THEM) is (expected is PENDING)


@pytest.mark.parametrize(
    ("event", "later"), list(product(RelationEvent, RelationEvent)), ids=lambda member: member.value
)
@pytest.mark.parametrize("direction", Direction, ids=lambda member: member.value)
def test_overtaken_activity_changes_nothing(event: RelationEvent, later: RelationEvent, direction: Direction) -> None:
    node = relation_node()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for step, seconds in ((E.FOLLOW, 0), (later, 2)):
        update = RelationUpdate(direction, US, THEM, step, received=moment + timedelta(seconds=seconds))
        assert node.run(commit_update(node.site(), update))
    before = node.run(read_relation(node.federation.places, direction, US, THEM))
    overtaken = RelationUpdate(direction, US, THEM, event, received=moment + timedelta(seconds=1))
    _ = node.run(commit_update(node.site(), overtaken))
    after = node.run(read_relation(node.federation.places, direction, US, THEM))
    assert before is not None
    assert after is not None
    # The end of an outbound relation is not remembered: only our own Follow begins it again.
    is_unordered = not {event, later}.isdisjoint({E.REFRESH, E.UNDO_BLOCK})
    is_forgotten = direction is Direction.OUTBOUND and before.state is NONE
    if is_unordered or is_forgotten:
        assert after.state is transition(before.state, event).state
    else:
        assert after.state is before.state


@pytest.mark.parametrize("is_follow_first", [True, False], ids=["Follow", "Block"])
def test_follow_and_block_of_the_same_moment_do_not_both_count(is_follow_first: bool) -> None:
    node = relation_node()

    def note_only() -> Op[Batch]:
        scope = unit_of_work_for(node.site(), seed=bytes(16))
        if is_follow_first:
            _ = yield from note_action(scope, block, THEM, "alice")
        else:
            _ = yield from note_follow(scope, THEM, "alice")
        return (yield from flush(node.site(), scope))

    batch = node.run(note_only())
    _ = node.follow(THEM, by="alice") if is_follow_first else node.block(THEM, by="alice")
    assert node.run(commit_batch(batch)) is False


def relation_node() -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    return Node(federation, "https://local.example", "memory:", transport=PeerNetwork(), signer=ReusedKeys())


def commit_update(site: Site, update: RelationUpdate) -> Op[bool]:
    scope = unit_of_work_for(site)
    scope.notes.append(update)
    batch = yield from flush(site, scope)
    return (yield from commit_batch(batch)) is not False
