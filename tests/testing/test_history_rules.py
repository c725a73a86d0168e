"""Check the rules for histories: possible ones pass, and each kind of impossible one is reported in words."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from apcore.testing.history_rules import (
    AddEvent,
    ClaimEvent,
    EndEvent,
    EnqueueEvent,
    FinalState,
    ReadEvent,
    SwapEvent,
    WorkerLog,
    check_history,
)

KEY = ("run", "chain")
COUNT = ("run", "count")
CLAIM = ("run", "claim", "0")
V = [bytes([number]) * 16 for number in range(9)]


def swap_event(before, after, began, ended, answer=True):
    return SwapEvent(
        KEY, None if before is None else V[before], None if after is None else V[after], began, ended, answer
    )


def read_event(version, began, ended):
    return ReadEvent(KEY, None if version is None else V[version], began, ended)


def final_state(version=None, **members):
    return FinalState(
        versions={} if version is None else {KEY: V[version]},
        **{"counters": {}, "claims": {}} | members,
    )


CHAIN = [swap_event(None, 1, 0, 1), swap_event(1, 2, 2, 3), swap_event(2, None, 4, 5), swap_event(None, 3, 6, 7)]

POSSIBLE = {
    "nothing": ([], [], None),
    "a chain": (CHAIN, [], 3),
    "deleted in the end": (CHAIN[:3], [], None),
    "reads of what stood there": (
        CHAIN,
        [read_event(None, 0, 1), read_event(1, 1, 2), read_event(2, 4, 5), read_event(3, 9, 9)],
        3,
    ),
    "reads while it changes": (CHAIN, [read_event(1, 0.5, 0.6), read_event(1, 2.5, 2.6), read_event(2, 2.5, 2.6)], 3),
    "refused for good reason": (
        [*CHAIN, swap_event(1, 8, 4, 5, answer=False), swap_event(None, 8, 2, 3, answer=False)],
        [],
        3,
    ),
    "refused while it changes": ([*CHAIN, swap_event(1, 8, 1.5, 2.5, answer=False)], [], 3),
    "unknown and never seen": ([*CHAIN, swap_event(3, 4, 8, 9, answer=None)], [], 3),
    "unknown and there": ([*CHAIN, swap_event(3, 4, 8, 9, answer=None)], [], 4),
    "unknown and followed": ([*CHAIN, swap_event(3, 4, 8, 9, answer=None), swap_event(4, 5, 9, 10)], [], 5),
    "unknown, seen, and deleted": (
        [*CHAIN, swap_event(3, 4, 8, 9, answer=None), swap_event(4, None, 9, 10)],
        [read_event(4, 8, 9)],
        None,
    ),
    "an unknown deletion": ([*CHAIN, swap_event(3, None, 8, 9, answer=None)], [], None),
}


@pytest.mark.parametrize(("swaps", "reads", "last"), POSSIBLE.values(), ids=POSSIBLE.keys())
def test_possible_history_passes(swaps, reads, last):
    assert (
        check_history([WorkerLog(swaps=swaps[::2], reads=reads), WorkerLog(swaps=swaps[1::2])], final_state(last)) == []
    )


IMPOSSIBLE = {
    "a lost update": ([*CHAIN, swap_event(1, 4, 2, 3)], [], 3, "an update was lost"),
    "a lost write": ([*CHAIN, swap_event(3, 4, 8, 9)], [], 3, "version 04.* a write was lost"),
    "an undone write": (
        [*CHAIN, swap_event(3, 4, 8, 9), swap_event(4, 5, 10, 11)],
        [],
        4,
        "stands there, and was replaced",
    ),
    "a version from nowhere": (
        [*CHAIN, swap_event(6, 4, 8, 9)],
        [],
        4,
        "version 06.* was replaced, and no commit wrote it",
    ),
    "an entry from nowhere": (CHAIN, [], 7, "stands there, and no commit wrote it"),
    "a read from nowhere": (CHAIN, [read_event(7, 1, 2)], 3, "was seen, and no commit wrote it"),
    "a version that occurs again": ([*CHAIN, swap_event(3, 1, 8, 9)], [], 1, "was written 2 times"),
    "made twice": ([*CHAIN, swap_event(None, 4, 6, 7), swap_event(4, 5, 8, 9)], [], 3, "made 3 times, deleted 1 times"),
    "missing without a deletion": (CHAIN[:2], [], None, "made 1 times, deleted 0 times, and gone"),
    "a stale read": (CHAIN, [read_event(1, 3.5, 3.6)], 3, "seen after it had been replaced"),
    "a stale swap": (
        [swap_event(None, 1, 0, 1), swap_event(1, 2, 2, 3), swap_event(2, 3, 0, 1.5)],
        [],
        3,
        "seen before it was written",
    ),
    "a read of the future": (CHAIN, [read_event(2, 1, 1.5)], 3, "seen before it was written"),
    "refused for no reason": ([*CHAIN, swap_event(3, 8, 8, 9, answer=False)], [], 3, "failed while it stood there"),
    "refused between changes": (
        [*CHAIN, swap_event(1, 8, 1.2, 1.8, answer=False)],
        [],
        3,
        "failed while it stood there",
    ),
}


@pytest.mark.parametrize(("swaps", "reads", "last", "pattern"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_impossible_chain_is_reported(swaps, reads, last, pattern):
    violations = check_history([WorkerLog(swaps=swaps, reads=reads)], final_state(last))
    assert any(re.search(pattern, violation) for violation in violations), violations


@pytest.mark.parametrize(
    ("adds", "counter", "holds"),
    [
        ([(5, True), (-2, True)], 3, True),
        ([(5, True), (-2, True)], 5, False),
        ([(5, True), (-2, False)], 5, True),
        ([(5, True), (-2, None), (4, None)], 3, True),
        ([(5, True), (-2, None), (4, None)], 9, True),
        ([(5, True), (-2, None), (4, None)], 10, False),
        ([(5, True), (-2, None), (4, None)], 2, False),
        ([(5, None)], None, True),
        ([(5, True)], None, False),
    ],
)
def test_counter_must_be_a_possible_sum(adds, counter, holds):
    notes = WorkerLog(adds=[AddEvent(COUNT, delta, answer) for delta, answer in adds])
    violations = check_history([notes], final_state(counters={} if counter is None else {COUNT: counter}))
    assert (violations == []) is holds, violations


@pytest.mark.parametrize(
    ("claims", "winner", "violation"),
    [
        ([("a", True), ("b", False)], "a", None),
        ([("a", None), ("b", False)], "a", None),
        ([("a", True), ("b", None)], "a", None),
        ([("a", None), ("b", None)], None, None),
        ([("a", True), ("b", True)], "a", "2 winners"),
        ([("a", True), ("b", False)], "b", "won, and"),
        ([("a", True)], None, "won, and None"),
        ([("a", False), ("b", False)], None, "nobody won, of 2"),
        ([("a", None), ("b", False)], "b", "nobody won, and b'b'"),
    ],
)
def test_claim_must_have_one_winner(claims, winner, violation):
    notes = [WorkerLog(claims=[ClaimEvent(CLAIM, name.encode(), answer)]) for name, answer in claims]
    violations = check_history(notes, final_state(claims={CLAIM: winner.encode()} if winner else {}))
    assert len(violations) == (violation is not None), violations
    assert violation is None or violation in violations[0]


def enqueue_event(number, group="g", began=0.0, ended=1.0):
    return EnqueueEvent(V[number], group, began, ended)


def end_event(number, leased, settled, group="g", attempt=1, answer=True):
    return EndEvent(V[number], group, attempt, leased, settled, answer)


TWO = [enqueue_event(1), enqueue_event(2, began=2, ended=3)]
BOTH = [end_event(1, 4, 5), end_event(2, 6, 7)]

MESSAGES = {
    "one after the other": (TWO, BOTH, 0, None),
    "still there": (TWO, BOTH[:1], 1, None),
    "groupless at once": (
        [evolve(event, group=None) for event in TWO],
        [end_event(1, 4, 7, None), end_event(2, 4, 7, None)],
        0,
        None,
    ),
    "enqueued together, in any order": ([enqueue_event(1), enqueue_event(2)], BOTH[::-1], 0, None),
    "perhaps enqueued, and gone": ([*TWO, EnqueueEvent(V[3], None, 0, 1, sure=False)], BOTH, 0, None),
    "perhaps enqueued, and there": ([*TWO, EnqueueEvent(V[3], None, 0, 1, sure=False)], BOTH, 1, None),
    "perhaps ended, and gone": (TWO, [BOTH[0], end_event(2, 6, 7, answer=None)], 0, None),
    "perhaps ended, and there": (TWO, [BOTH[0], end_event(2, 6, 7, answer=None)], 1, None),
    "lost": (TWO, BOTH[:1], 0, "2 messages were enqueued, 1 ended, and 0 wait"),
    "one too many": (TWO, BOTH, 1, "2 messages were enqueued, 2 ended, and 1 wait"),
    "from nowhere": (TWO[:1], BOTH, 0, "nobody enqueued it"),
    "ended twice": (TWO, [*BOTH, end_event(2, 8, 9)], 0, "ended 2 times"),
    "handed out again": (TWO, [BOTH[0], end_event(2, 6, 7, attempt=2)], 0, "attempt 2 while its first lease lasted"),
    "lost from its lease": (TWO, [BOTH[0], end_event(2, 6, 7, answer=False)], 1, "lost from its lease"),
    "two of a group": (TWO, [end_event(1, 4, 8), end_event(2, 6, 7)], 0, "while another was held"),
    "out of order": (TWO, [end_event(2, 4, 5), end_event(1, 6, 7)], 0, "after one that was enqueued later"),
}


@pytest.mark.parametrize(("enqueued", "ended", "waiting", "violation"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages_must_be_leased_once_and_in_order(enqueued, ended, waiting, violation):
    violations = check_history([WorkerLog(enqueued=enqueued), WorkerLog(ended=ended)], final_state(waiting=waiting))
    if violation is None:
        assert violations == []
    else:
        assert any(violation in violation_text for violation_text in violations), violations
