"""The queue suite, and the one for stores that are the queue too, let a right one pass and find each of many wrong ones."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from attrs import evolve
from hypothesis import Phase, settings

import apcore.adapters.memory as adapter
from apcore.adapters.memory import MemoryStore
from apcore.ports import Done, LeasedMessage, Retry, check_enqueue
from apcore.testing.atomic import atomic_checks, check_atomic
from apcore.testing.conformance import ManualClock
from apcore.testing.queue import check_queue, queue_checks
from apcore.testing.queue_model import play_queue


def make_right(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def test_a_right_queue_passes():
    check_queue(make_right, examples=3)


def test_a_right_atomic_store_passes():
    check_atomic(make_right, examples=3)


def test_an_atomic_store_with_a_clock_of_its_own_passes():
    check_atomic(lambda _clock: MemoryStore(), moves_clock=False, examples=3)


@pytest.mark.parametrize("checks", [queue_checks, atomic_checks])
def test_each_check_has_a_name_and_a_sentence(checks):
    everything = checks()
    assert len({str(check) for check in everything}) == len(everything)
    assert all(check.says.endswith(".") for check in everything)
    assert len(checks(moves_clock=False)) < len(everything)


# --- wrong queues ---------------------------------------------------------------------------------------------------


class LeasedAbsorbs(MemoryStore):
    def enqueue(self, messages, /):
        held = {(each.message.lane, each.message.dedup) for each in self._lanes._leases.values()}
        super().enqueue([each for each in messages if each.dedup is None or (each.lane, each.dedup) not in held])


class RemembersAfterDone(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen = set()

    def enqueue(self, messages, /):
        fresh = [each for each in messages if each.dedup is None or (each.lane, each.dedup) not in self.seen]
        super().enqueue(fresh)

    def settle(self, settlements, /):
        lost = super().settle(settlements)
        self.seen |= {(each.leased.message.lane, each.leased.message.dedup) for each in settlements}
        return lost


class TheFirstDueTimeHolds(MemoryStore):
    def enqueue(self, messages, /):
        waiting = self._lanes._waiting
        for message in messages:
            super().enqueue([message] if (message.lane, message.dedup) not in waiting else [])


class DedupAcrossLanes(MemoryStore):
    def enqueue(self, messages, /):
        for message in messages:
            waiting = {dedup for _, dedup in self._lanes._waiting}
            super().enqueue([] if message.dedup in waiting else [message])


class TwoStayTwo(MemoryStore):
    def settle(self, settlements, /):
        newcomers = dict(self._lanes._waiting)
        self._lanes._waiting.clear()
        lost = super().settle(settlements)
        self._lanes._waiting = newcomers | self._lanes._waiting
        return lost


class TheNewcomerStays(MemoryStore):
    def settle(self, settlements, /):
        kept = []
        for each in settlements:
            message = each.leased.message
            newcomer = isinstance(each, Retry) and (message.lane, message.dedup) in self._lanes._waiting
            kept.append(Done(each.leased) if newcomer else each)
        return super().settle(kept)


class EmptyNamesAreNone(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue([evolve(each, group=each.group or None, dedup=each.dedup or None) for each in messages])


class NoGroups(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue([evolve(each, group=None) for each in messages])

    def lease(self, lanes, /, *, limit, lease_s):
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class DelayedHeadsArePassed(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        now = self._clock()
        for group in self._lanes._groups.values():
            for place, held in sorted(group.items(), key=lambda item: item[1].ready_at > now):
                group.move_to_end(place)
                del held
            first = next(iter(group.values()))
            self._lanes._offer(first)
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class ComesBackLast(MemoryStore):
    def settle(self, settlements, /):
        lost = super().settle(settlements)
        for each in settlements:
            group = self._lanes._groups.get((each.leased.message.lane, each.leased.message.group))
            if isinstance(each, Retry) and group:
                group.move_to_end(next(iter(group)))
                self._lanes._offer(next(iter(group.values())))
        return lost


class LastInFirstOut(MemoryStore):
    """In its groups."""

    def enqueue(self, messages, /):
        super().enqueue(messages)
        for name, group in self._lanes._groups.items():
            self._lanes._groups[name] = OrderedDict(sorted(group.items(), reverse=True))
            self._lanes._offer(next(iter(self._lanes._groups[name].values())))


class OneLaneAfterAnother(MemoryStore):
    """In an order of its own."""

    def lease(self, lanes, /, *, limit, lease_s):
        return super().lease(sorted(set(lanes)), limit=limit, lease_s=lease_s)


class OneAtATime(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        del limit
        return super().lease(lanes, limit=1, lease_s=lease_s)


class SettlesById(MemoryStore):
    """No fence: whoever once held the message may end it."""

    def settle(self, settlements, /):
        now = {held.message.id: token for token, held in self._lanes._leases.items()}
        return super().settle(
            [
                evolve(each, leased=evolve(each.leased, token=now.get(each.leased.message.id, each.leased.token)))
                for each in settlements
            ]
        )


class RunOutIsLost(MemoryStore):
    def _running(self, leased):
        held = self._lanes._leases.get(leased.token)
        return held is not None and held.ready_at > self._clock()

    def settle(self, settlements, /):
        good = [each for each in settlements if self._running(each.leased)]
        super().settle(good)
        return [each.leased for each in settlements if each not in good]


class TokensRepeat(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        self._lanes._count -= len(self._lanes._leases)
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class ForgetsAttempts(MemoryStore):
    def close(self):
        for held in self._lanes._leases.values():
            held.attempt -= 1


class AttemptsCountSettlements(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        again = {held.message.id for held in self._lanes._leases.values()}
        leases = super().lease(lanes, limit=limit, lease_s=lease_s)
        for leased in leases:
            if leased.message.id in again:
                self._lanes._leases[leased.token].attempt -= 1
        return [evolve(leased, attempt=self._lanes._leases[leased.token].attempt) for leased in leases]


class ExtendsFromTheEnd(MemoryStore):
    def extend(self, leases, /, *, lease_s):
        lost = []
        for leased in leases:
            held = self._lanes._leases.get(leased.token)
            ahead = max(0, held.ready_at - self._clock()) if held else 0
            lost += super().extend([leased], lease_s=lease_s + ahead)
        return lost


class ExtendsTheLost(MemoryStore):
    def extend(self, leases, /, *, lease_s):
        super().extend(leases, lease_s=lease_s)
        return []


class TakesWhatItCan(MemoryStore):
    """Of a batch with a wrong message, those before it."""

    def enqueue(self, messages, /):
        check_enqueue(messages[:0])
        if len(messages) > 100:
            messages = messages[:100] + messages[:1] * 101
        for message in messages if len(messages) <= 100 else [*messages[:1], messages]:
            super().enqueue(message if isinstance(message, list) else [message])


class DelaysAreForgotten(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue([evolve(each, delay_s=0) for each in messages])


class AgainIsAtOnce(MemoryStore):
    def settle(self, settlements, /):
        return super().settle([evolve(each, delay_s=0) if isinstance(each, Retry) else each for each in settlements])


class LatestDueFirst(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        leases = super().lease(lanes, limit=100, lease_s=lease_s)
        leases.sort(key=lambda leased: lanes.index(leased.message.lane))
        for leased in leases[:-limit]:
            held = self._lanes._leases[leased.token]
            held.attempt -= 1
            self._lanes._take_back(held, self._clock())
        return leases[-limit:]


class CountsTheRunOutAsLeased(MemoryStore):
    def depth(self, lanes, /):
        depth = super().depth(lanes)
        late = sum(
            held.ready_at <= self._clock() and held.message.lane in lanes for held in self._lanes._leases.values()
        )
        return evolve(depth, ready=depth.ready - late, leased=depth.leased + late)


class TheAgeIsOfTheYoungest(MemoryStore):
    def depth(self, lanes, /):
        depth = super().depth(lanes)
        return depth if depth.oldest_ready_s is None else evolve(depth, oldest_ready_s=0.0)


class WakesNobody(MemoryStore):
    def _take_in(self, messages, now):
        for message in messages:
            self._lanes.enqueue(message, now)


class ClosesForGood(MemoryStore):
    def close(self):
        self.enqueue = None


WRONG = [
    LeasedAbsorbs,
    RemembersAfterDone,
    TheFirstDueTimeHolds,
    DedupAcrossLanes,
    TwoStayTwo,
    TheNewcomerStays,
    EmptyNamesAreNone,
    NoGroups,
    DelayedHeadsArePassed,
    ComesBackLast,
    LastInFirstOut,
    OneLaneAfterAnother,
    OneAtATime,
    SettlesById,
    RunOutIsLost,
    TokensRepeat,
    ForgetsAttempts,
    AttemptsCountSettlements,
    ExtendsFromTheEnd,
    ExtendsTheLost,
    TakesWhatItCan,
    DelaysAreForgotten,
    AgainIsAtOnce,
    LatestDueFirst,
    CountsTheRunOutAsLeased,
    TheAgeIsOfTheYoungest,
    ClosesForGood,
]


def _first_failure(make, checks) -> str | None:
    for check in checks:
        try:
            check(make)
        except Exception:
            return str(check)
    return None


@pytest.mark.parametrize("wrong", WRONG)
def test_the_sentences_find(wrong):
    assert _first_failure(lambda clock: wrong(clock=clock), queue_checks()[:-1])


@pytest.fixture
def unshrunk():
    """A failing history is proof enough here; making it short takes long."""
    settings.register_profile("unshrunk", phases=[Phase.generate], derandomize=True, database=None)
    settings.load_profile("unshrunk")
    yield
    settings.load_profile("default")


@pytest.mark.parametrize(
    "wrong",
    [
        LeasedAbsorbs,
        TheFirstDueTimeHolds,
        TheNewcomerStays,
        DelayedHeadsArePassed,
        ComesBackLast,
        OneLaneAfterAnother,
        RunOutIsLost,
        TokensRepeat,
        ExtendsTheLost,
        AgainIsAtOnce,
    ],
)
@pytest.mark.usefixtures("unshrunk")
def test_the_machine_finds(wrong):
    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        play_queue(lambda clock: wrong(clock=clock), moves_clock=True, examples=300)


@pytest.mark.parametrize("name", ["check_enqueue", "check_lease", "check_extend", "check_settle", "check_lanes"])
def test_a_queue_without_bounds_is_found(name, monkeypatch):
    monkeypatch.setattr(adapter, name, lambda *_args: None)
    assert _first_failure(make_right, queue_checks()[:-1]) == "wrong_arguments_are_refused"


# --- wrong stores that are queues -----------------------------------------------------------------------------------


class IgnoresLostLeases(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        current = [each for each in settles if self._lanes.is_current(each.leased)]
        return super().commit(checks, writes, token=token, messages=messages, settles=current)


class EnqueuesAnyway(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        done = super().commit(checks, writes, token=token, settles=settles)
        self.enqueue(messages)
        return done


class SettlesAnyway(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        if not all(self._lanes.is_current(each.leased) for each in settles):
            return False
        done = super().commit(checks, writes, token=token, messages=messages)
        self.settle(settles)
        return done


class SettlesAfterwards(MemoryStore):
    """And writes even if the lease was lost."""

    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        done = super().commit(checks, writes, token=token, messages=messages)
        return not self.settle(settles) if done else False


class ForgetsMessages(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        check_enqueue(messages)
        return super().commit(checks, writes, token=token, settles=settles)


class WantsSomethingWritten(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        return bool(writes) and super().commit(checks, writes, token=token, messages=messages, settles=settles)


@pytest.mark.parametrize(
    "wrong",
    [IgnoresLostLeases, EnqueuesAnyway, SettlesAnyway, SettlesAfterwards, ForgetsMessages, WantsSomethingWritten],
)
@pytest.mark.usefixtures("unshrunk")
class TestWrongTogether:
    def test_the_sentences_find(self, wrong):
        assert _first_failure(lambda clock: wrong(clock=clock), atomic_checks()[:-1])

    def test_the_machine_finds(self, wrong):
        if wrong is not WantsSomethingWritten:  # its commits always write
            assert _first_failure(lambda clock: wrong(clock=clock), atomic_checks(examples=200)[-1:])


def test_a_lease_that_never_was_is_lost():
    store = MemoryStore()
    assert not store._lanes.is_current(LeasedMessage(None, b"x" * 16, 1))
