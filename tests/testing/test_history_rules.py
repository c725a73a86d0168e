"""Histories that can be true pass; each kind of history that cannot is found, by a sentence that says so."""

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


def swap(before, after, began, ended, answer=True):
    return SwapEvent(
        KEY, None if before is None else V[before], None if after is None else V[after], began, ended, answer
    )


def read(version, began, ended):
    return ReadEvent(KEY, None if version is None else V[version], began, ended)


def standing(version=None, **more):
    return FinalState(
        versions={} if version is None else {KEY: V[version]},
        **{"counters": {}, "claims": {}} | more,
    )


CHAIN = [swap(None, 1, 0, 1), swap(1, 2, 2, 3), swap(2, None, 4, 5), swap(None, 3, 6, 7)]

TRUE = {
    "nothing": ([], [], None),
    "a chain": (CHAIN, [], 3),
    "deleted in the end": (CHAIN[:3], [], None),
    "reads of what stood there": (CHAIN, [read(None, 0, 1), read(1, 1, 2), read(2, 4, 5), read(3, 9, 9)], 3),
    "reads while it changes": (CHAIN, [read(1, 0.5, 0.6), read(1, 2.5, 2.6), read(2, 2.5, 2.6)], 3),
    "refused for good reason": ([*CHAIN, swap(1, 8, 4, 5, answer=False), swap(None, 8, 2, 3, answer=False)], [], 3),
    "refused while it changes": ([*CHAIN, swap(1, 8, 1.5, 2.5, answer=False)], [], 3),
    "unknown and never seen": ([*CHAIN, swap(3, 4, 8, 9, answer=None)], [], 3),
    "unknown and there": ([*CHAIN, swap(3, 4, 8, 9, answer=None)], [], 4),
    "unknown and followed": ([*CHAIN, swap(3, 4, 8, 9, answer=None), swap(4, 5, 9, 10)], [], 5),
    "unknown, seen, and deleted": (
        [*CHAIN, swap(3, 4, 8, 9, answer=None), swap(4, None, 9, 10)],
        [read(4, 8, 9)],
        None,
    ),
    "an unknown deletion": ([*CHAIN, swap(3, None, 8, 9, answer=None)], [], None),
}


@pytest.mark.parametrize(("swaps", "reads", "last"), TRUE.values(), ids=TRUE.keys())
def test_what_can_be_true_passes(swaps, reads, last):
    assert check_history([WorkerLog(swaps=swaps[::2], reads=reads), WorkerLog(swaps=swaps[1::2])], standing(last)) == []


FALSE = {
    "a lost update": ([*CHAIN, swap(1, 4, 2, 3)], [], 3, "an update was lost"),
    "a lost write": ([*CHAIN, swap(3, 4, 8, 9)], [], 3, "version 04.* a write was lost"),
    "a write that was undone": (
        [*CHAIN, swap(3, 4, 8, 9), swap(4, 5, 10, 11)],
        [],
        4,
        "stands there, and was replaced",
    ),
    "a version from nowhere": ([*CHAIN, swap(6, 4, 8, 9)], [], 4, "version 06.* was replaced, and no commit wrote it"),
    "an entry from nowhere": (CHAIN, [], 7, "stands there, and no commit wrote it"),
    "a read from nowhere": (CHAIN, [read(7, 1, 2)], 3, "was seen, and no commit wrote it"),
    "a version that returned": ([*CHAIN, swap(3, 1, 8, 9)], [], 1, "was written 2 times"),
    "made twice": ([*CHAIN, swap(None, 4, 6, 7), swap(4, 5, 8, 9)], [], 3, "made 3 times, deleted 1 times"),
    "gone without a deletion": (CHAIN[:2], [], None, "made 1 times, deleted 0 times, and gone"),
    "a stale read": (CHAIN, [read(1, 3.5, 3.6)], 3, "seen after it had been replaced"),
    "a stale swap": ([swap(None, 1, 0, 1), swap(1, 2, 2, 3), swap(2, 3, 0, 1.5)], [], 3, "seen before it was written"),
    "a read of the future": (CHAIN, [read(2, 1, 1.5)], 3, "seen before it was written"),
    "refused for no reason": ([*CHAIN, swap(3, 8, 8, 9, answer=False)], [], 3, "failed while it stood there"),
    "refused between changes": ([*CHAIN, swap(1, 8, 1.2, 1.8, answer=False)], [], 3, "failed while it stood there"),
}


@pytest.mark.parametrize(("swaps", "reads", "last", "wrong"), FALSE.values(), ids=FALSE.keys())
def test_chains_that_cannot_be_true_are_found(swaps, reads, last, wrong):
    found = check_history([WorkerLog(swaps=swaps, reads=reads)], standing(last))
    assert any(re.search(wrong, each) for each in found), found


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
def test_counters_are_sums(adds, counter, holds):
    notes = WorkerLog(adds=[AddEvent(COUNT, delta, answer) for delta, answer in adds])
    found = check_history([notes], standing(counters={} if counter is None else {COUNT: counter}))
    assert (found == []) is holds, found


@pytest.mark.parametrize(
    ("claims", "stands", "wrong"),
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
def test_claims_have_one_winner(claims, stands, wrong):
    notes = [WorkerLog(claims=[ClaimEvent(CLAIM, name.encode(), answer)]) for name, answer in claims]
    found = check_history(notes, standing(claims={CLAIM: stands.encode()} if stands else {}))
    assert len(found) == (wrong is not None), found
    assert wrong is None or wrong in found[0]


def message(number, group="g", began=0.0, ended=1.0):
    return EnqueueEvent(V[number], group, began, ended)


def done(number, leased, settled, group="g", attempt=1, answer=True):
    return EndEvent(V[number], group, attempt, leased, settled, answer)


TWO = [message(1), message(2, began=2, ended=3)]
BOTH = [done(1, 4, 5), done(2, 6, 7)]

MESSAGES = {
    "one after the other": (TWO, BOTH, 0, None),
    "still there": (TWO, BOTH[:1], 1, None),
    "groupless at once": (
        [evolve(each, group=None) for each in TWO],
        [done(1, 4, 7, None), done(2, 4, 7, None)],
        0,
        None,
    ),
    "enqueued together, in any order": ([message(1), message(2)], BOTH[::-1], 0, None),
    "perhaps enqueued, and gone": ([*TWO, EnqueueEvent(V[3], None, 0, 1, sure=False)], BOTH, 0, None),
    "perhaps enqueued, and there": ([*TWO, EnqueueEvent(V[3], None, 0, 1, sure=False)], BOTH, 1, None),
    "perhaps ended, and gone": (TWO, [BOTH[0], done(2, 6, 7, answer=None)], 0, None),
    "perhaps ended, and there": (TWO, [BOTH[0], done(2, 6, 7, answer=None)], 1, None),
    "lost": (TWO, BOTH[:1], 0, "2 messages were enqueued, 1 ended, and 0 wait"),
    "one too many": (TWO, BOTH, 1, "2 messages were enqueued, 2 ended, and 1 wait"),
    "from nowhere": (TWO[:1], BOTH, 0, "nobody enqueued it"),
    "ended twice": (TWO, [*BOTH, done(2, 8, 9)], 0, "ended 2 times"),
    "handed out again": (TWO, [BOTH[0], done(2, 6, 7, attempt=2)], 0, "attempt 2 while its first lease lasted"),
    "lost from its lease": (TWO, [BOTH[0], done(2, 6, 7, answer=False)], 1, "lost from its lease"),
    "two of a group": (TWO, [done(1, 4, 8), done(2, 6, 7)], 0, "while another was held"),
    "out of order": (TWO, [done(2, 4, 5), done(1, 6, 7)], 0, "after one that was enqueued later"),
}


@pytest.mark.parametrize(("enqueued", "ended", "waiting", "wrong"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages_are_handed_out_once_and_in_order(enqueued, ended, waiting, wrong):
    found = check_history([WorkerLog(enqueued=enqueued), WorkerLog(ended=ended)], standing(waiting=waiting))
    if wrong is None:
        assert found == []
    else:
        assert any(wrong in each for each in found), found
