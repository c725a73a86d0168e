"""Check concurrent histories: correct stores pass, even with lost answers, and faulty ones fail."""

from __future__ import annotations

from itertools import count
from random import Random
from threading import Condition, Lock

import pytest
from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError
from apcore.ports import Retry
from apcore.testing.faults import AnswerFate, LosingStore
from apcore.testing.histories import main, run_processes, run_threads


class CollidingStore(MemoryStore):
    """Let threads wait for each other for a moment, so that they collide on any machine."""

    def __init__(self, **options):
        super().__init__(**options)
        self.met, self.turn = 0, Condition()

    def meet(self):
        with self.turn:
            self.met = mine = self.met + 1
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.met > mine, timeout=0.005)


class CollidingReads(CollidingStore):
    def get(self, keys, /):
        entries = super().get(keys)
        self.meet()
        return entries


def test_correct_store_passes():
    report = run_threads(CollidingReads(), threads=4, steps=150)
    assert report.wrong == []
    assert min(report.swaps, report.refused, report.adds, report.claims, report.messages) > 0
    assert report.unknown == 0
    assert "0 violations" in str(report)


class StoreWithoutQueue:
    """A store that is no queue."""

    def __init__(self):
        store = MemoryStore()
        self.get, self.scan, self.commit = store.get, store.scan, store.commit


def test_store_without_a_queue_passes():
    report = run_threads(StoreWithoutQueue(), threads=2, steps=60)
    assert (report.wrong, report.messages) == ([], 0)


def test_correct_store_with_lost_answers_passes():
    random, lock = Random(7), Lock()
    lossy = (
        AnswerFate.ANSWERED,
        AnswerFate.ANSWERED,
        AnswerFate.ANSWERED,
        AnswerFate.LOST_BEFORE,
        AnswerFate.LOST_AFTER,
    )

    def fate(name):
        with lock:  # A lost settle or lease leaves messages in the queue, as expected.
            return random.choice(lossy) if name in ("commit", "enqueue", "settle") else AnswerFate.ANSWERED

    store = MemoryStore()
    report = run_threads(LosingStore(store, fate), threads=3, steps=150)
    assert report.wrong == []
    assert report.unknown > 0


class ChecksThenWrites(CollidingStore):
    """Lock each call, but not both together."""

    def commit(self, checks, writes, /, *, token, **more):
        if not super().commit(checks, [], token=token):
            return False
        self.meet()
        return super().commit([], writes, token=token, **more)


class LosesSomeCommits(MemoryStore):
    """Return True, and do nothing now and then."""

    calls = 0

    def commit(self, checks, writes, /, *, token, **more):
        self.calls += 1
        return self.calls % 50 == 0 or super().commit(checks, writes, token=token, **more)


class RefusesSomeCommits(MemoryStore):
    calls = 0

    def commit(self, checks, writes, /, *, token, **more):
        self.calls += 1
        return self.calls % 50 != 0 and super().commit(checks, writes, token=token, **more)


class ReadsStaleCopies(MemoryStore):
    """Read from a copy that is renewed now and then."""

    calls, copy = 0, {}

    def get(self, keys, /):
        self.calls += 1
        if self.calls % 20 == 0:
            self.copy = {}
        for key in keys:
            if key not in self.copy:
                self.copy[key] = super().get([key])[0]
        return [self.copy[key] for key in keys]


class TornReads(MemoryStore):
    def get(self, keys, /):
        return [entry and evolve(entry, value=entry.value[1:]) for entry in super().get(keys)]


class StutteringScans(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        page = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        return page if after or not reverse else [*page[:1], *page][:limit]


class HandsOutTwice(CollidingStore):
    """End each lease at once, and let another thread lease before the message is handled."""

    def __init__(self):
        super().__init__(clock=count().__next__)

    def lease(self, lanes, /, *, limit, lease_s):
        leases = super().lease(lanes, limit=limit, lease_s=0.001)
        self.meet()
        return leases


class DropsMessages(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue(messages[:3])


class IgnoresGroupOrder(MemoryStore):
    """Let a leased message step aside for the next of its group."""

    def lease(self, lanes, /, *, limit, lease_s):
        leases = super().lease(lanes, limit=limit, lease_s=lease_s)
        for group in self._lanes._groups.values():
            group.move_to_end(next(iter(group)))
            self._lanes._offer(next(iter(group.values())))
        return leases


class RetriesOnSettle(MemoryStore):
    def settle(self, settlements, /):
        return super().settle([Retry(settlement.leased, 0) for settlement in settlements])


@pytest.mark.parametrize(
    "store_class",
    [
        ChecksThenWrites,
        LosesSomeCommits,
        RefusesSomeCommits,
        ReadsStaleCopies,
        TornReads,
        StutteringScans,
        HandsOutTwice,
        DropsMessages,
        IgnoresGroupOrder,
        RetriesOnSettle,
    ],
)
def test_faulty_store_fails(store_class):
    for seed in range(20):  # Collisions are likely, but not certain.
        if run_threads(store_class(), threads=4, steps=100, seed=seed).wrong:
            return
    pytest.fail(f"{store_class.__name__} came out clean")


def test_processes_share_a_store_file(tmp_path, capsys):
    status = main(["--store", f"sqlite:///{tmp_path / 'a.db'}", "--processes", "2", "--seconds", "0.3", "--seed", "3"])
    out, err = capsys.readouterr()
    assert (status, "2 processes, 0.3 s, seed 3: " in out, "0 violations" in out) == (0, True, True), out
    assert "steps" in err


def test_processes_cannot_share_a_memory_store():
    with pytest.raises(ConfigurationError, match="durability is 'none'"):
        run_processes("memory:", processes=2, seconds=1)
