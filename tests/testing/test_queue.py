"""Check the suites for queues and for stores that are queues: a correct one passes, and each faulty one is caught."""

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


def test_correct_queue_passes():
    check_queue(make_right, examples=3)


def test_correct_atomic_store_passes():
    check_atomic(make_right, examples=3)


def test_atomic_store_with_its_own_clock_passes():
    check_atomic(lambda _clock: MemoryStore(), moves_clock=False, examples=3)


@pytest.mark.parametrize("checks", [queue_checks, atomic_checks])
def test_each_check_has_a_unique_name_and_a_sentence(checks):
    everything = checks()
    assert len({str(check) for check in everything}) == len(everything)
    assert all(check.says.endswith(".") for check in everything)
    assert len(checks(moves_clock=False)) < len(everything)


# --- faulty queues --------------------------------------------------------------------------------------------------


class LeasedMessageAbsorbsDuplicates(MemoryStore):
    def enqueue(self, messages, /):
        leased_names = {(entry.message.lane, entry.message.dedup) for entry in self._lanes._leases.values()}
        super().enqueue(
            [
                message
                for message in messages
                if message.dedup is None or (message.lane, message.dedup) not in leased_names
            ]
        )


class DeduplicatesAfterDone(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen_names = set()

    def enqueue(self, messages, /):
        fresh = [
            message
            for message in messages
            if message.dedup is None or (message.lane, message.dedup) not in self.seen_names
        ]
        super().enqueue(fresh)

    def settle(self, settlements, /):
        lost_leases = super().settle(settlements)
        self.seen_names |= {
            (settlement.leased.message.lane, settlement.leased.message.dedup) for settlement in settlements
        }
        return lost_leases


class KeepsTheFirstDueTime(MemoryStore):
    def enqueue(self, messages, /):
        waiting = self._lanes._waiting
        for message in messages:
            super().enqueue([message] if (message.lane, message.dedup) not in waiting else [])


class DeduplicatesAcrossLanes(MemoryStore):
    def enqueue(self, messages, /):
        for message in messages:
            waiting = {dedup for _, dedup in self._lanes._waiting}
            super().enqueue([] if message.dedup in waiting else [message])


class KeepsRetryAndNewcomer(MemoryStore):
    def settle(self, settlements, /):
        newcomers = dict(self._lanes._waiting)
        self._lanes._waiting.clear()
        lost_leases = super().settle(settlements)
        self._lanes._waiting = newcomers | self._lanes._waiting
        return lost_leases


class NewcomerReplacesRetry(MemoryStore):
    def settle(self, settlements, /):
        changed_settlements = []
        for settlement in settlements:
            message = settlement.leased.message
            newcomer = isinstance(settlement, Retry) and (message.lane, message.dedup) in self._lanes._waiting
            changed_settlements.append(Done(settlement.leased) if newcomer else settlement)
        return super().settle(changed_settlements)


class TreatsEmptyNamesAsNone(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue(
            [evolve(message, group=message.group or None, dedup=message.dedup or None) for message in messages]
        )


class IgnoresGroups(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue([evolve(message, group=None) for message in messages])

    def lease(self, lanes, /, *, limit, lease_s):
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class SkipsDelayedGroupHeads(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        now = self._clock()
        for group in self._lanes._groups.values():
            for place, entry in sorted(group.items(), key=lambda item: item[1].ready_at > now):
                group.move_to_end(place)
                del entry
            first = next(iter(group.values()))
            self._lanes._offer(first)
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class RetriesLastInGroup(MemoryStore):
    def settle(self, settlements, /):
        lost_leases = super().settle(settlements)
        for settlement in settlements:
            group = self._lanes._groups.get((settlement.leased.message.lane, settlement.leased.message.group))
            if isinstance(settlement, Retry) and group:
                group.move_to_end(next(iter(group)))
                self._lanes._offer(next(iter(group.values())))
        return lost_leases


class LastInFirstOut(MemoryStore):
    """Reverse the order within a group."""

    def enqueue(self, messages, /):
        super().enqueue(messages)
        for name, group in self._lanes._groups.items():
            self._lanes._groups[name] = OrderedDict(sorted(group.items(), reverse=True))
            self._lanes._offer(next(iter(self._lanes._groups[name].values())))


class SortsLanes(MemoryStore):
    """Serve lanes in sorted order, not in the requested one."""

    def lease(self, lanes, /, *, limit, lease_s):
        return super().lease(sorted(set(lanes)), limit=limit, lease_s=lease_s)


class LeasesOneAtATime(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        del limit
        return super().lease(lanes, limit=1, lease_s=lease_s)


class SettlesById(MemoryStore):
    """Ignore the lease token: any earlier holder can settle the message."""

    def settle(self, settlements, /):
        now = {entry.message.id: token for token, entry in self._lanes._leases.items()}
        return super().settle(
            [
                evolve(
                    settlement,
                    leased=evolve(
                        settlement.leased, token=now.get(settlement.leased.message.id, settlement.leased.token)
                    ),
                )
                for settlement in settlements
            ]
        )


class LosesExpiredLeases(MemoryStore):
    def _is_running(self, leased):
        entry = self._lanes._leases.get(leased.token)
        return entry is not None and entry.ready_at > self._clock()

    def settle(self, settlements, /):
        current_settlements = [settlement for settlement in settlements if self._is_running(settlement.leased)]
        super().settle(current_settlements)
        return [settlement.leased for settlement in settlements if settlement not in current_settlements]


class RepeatsTokens(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        self._lanes._count -= len(self._lanes._leases)
        return super().lease(lanes, limit=limit, lease_s=lease_s)


class ForgetsAttempts(MemoryStore):
    def close(self):
        for entry in self._lanes._leases.values():
            entry.attempt -= 1


class CountsAttemptsBySettlements(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        leased_ids = {entry.message.id for entry in self._lanes._leases.values()}
        leases = super().lease(lanes, limit=limit, lease_s=lease_s)
        for leased in leases:
            if leased.message.id in leased_ids:
                self._lanes._leases[leased.token].attempt -= 1
        return [evolve(leased, attempt=self._lanes._leases[leased.token].attempt) for leased in leases]


class ExtendsFromTheOldEnd(MemoryStore):
    def extend(self, leases, /, *, lease_s):
        lost_leases = []
        for leased in leases:
            entry = self._lanes._leases.get(leased.token)
            ahead = max(0, entry.ready_at - self._clock()) if entry else 0
            lost_leases += super().extend([leased], lease_s=lease_s + ahead)
        return lost_leases


class HidesLostLeases(MemoryStore):
    def extend(self, leases, /, *, lease_s):
        super().extend(leases, lease_s=lease_s)
        return []


class EnqueuesPartOfABatch(MemoryStore):
    """Enqueue the valid messages before an invalid one of the same batch."""

    def enqueue(self, messages, /):
        check_enqueue(messages[:0])
        if len(messages) > 100:
            messages = messages[:100] + messages[:1] * 101
        for message in messages if len(messages) <= 100 else [*messages[:1], messages]:
            super().enqueue(message if isinstance(message, list) else [message])


class IgnoresDelays(MemoryStore):
    def enqueue(self, messages, /):
        super().enqueue([evolve(message, delay_s=0) for message in messages])


class RetriesAtOnce(MemoryStore):
    def settle(self, settlements, /):
        return super().settle(
            [
                evolve(settlement, delay_s=0) if isinstance(settlement, Retry) else settlement
                for settlement in settlements
            ]
        )


class LeasesLatestDueFirst(MemoryStore):
    def lease(self, lanes, /, *, limit, lease_s):
        leases = super().lease(lanes, limit=100, lease_s=lease_s)
        leases.sort(key=lambda leased: lanes.index(leased.message.lane))
        for leased in leases[:-limit]:
            entry = self._lanes._leases[leased.token]
            entry.attempt -= 1
            self._lanes._take_back(entry, self._clock())
        return leases[-limit:]


class CountsExpiredAsLeased(MemoryStore):
    def depth(self, lanes, /):
        depth = super().depth(lanes)
        expired = sum(
            entry.ready_at <= self._clock() and entry.message.lane in lanes for entry in self._lanes._leases.values()
        )
        return evolve(depth, ready=depth.ready - expired, leased=depth.leased + expired)


class ReportsZeroAge(MemoryStore):
    def depth(self, lanes, /):
        depth = super().depth(lanes)
        return depth if depth.oldest_ready_s is None else evolve(depth, oldest_ready_s=0.0)


class CannotReopen(MemoryStore):
    def close(self):
        self.enqueue = None


FAULTY_QUEUES = [
    LeasedMessageAbsorbsDuplicates,
    DeduplicatesAfterDone,
    KeepsTheFirstDueTime,
    DeduplicatesAcrossLanes,
    KeepsRetryAndNewcomer,
    NewcomerReplacesRetry,
    TreatsEmptyNamesAsNone,
    IgnoresGroups,
    SkipsDelayedGroupHeads,
    RetriesLastInGroup,
    LastInFirstOut,
    SortsLanes,
    LeasesOneAtATime,
    SettlesById,
    LosesExpiredLeases,
    RepeatsTokens,
    ForgetsAttempts,
    CountsAttemptsBySettlements,
    ExtendsFromTheOldEnd,
    HidesLostLeases,
    EnqueuesPartOfABatch,
    IgnoresDelays,
    RetriesAtOnce,
    LeasesLatestDueFirst,
    CountsExpiredAsLeased,
    ReportsZeroAge,
    CannotReopen,
]


def _first_failure(make, checks) -> str | None:
    for check in checks:
        try:
            check(make)
        except Exception:
            return str(check)
    return None


@pytest.mark.parametrize("store_class", FAULTY_QUEUES)
def test_single_checks_catch_the_fault(store_class):
    assert _first_failure(lambda clock: store_class(clock=clock), queue_checks()[:-1])


@pytest.fixture
def without_shrinking():
    """Turn off shrinking: any failing history is proof enough, and making it short takes long."""
    settings.register_profile("without_shrinking", phases=[Phase.generate], derandomize=True, database=None)
    settings.load_profile("without_shrinking")
    yield
    settings.load_profile("default")


@pytest.mark.parametrize(
    "store_class",
    [
        LeasedMessageAbsorbsDuplicates,
        KeepsTheFirstDueTime,
        NewcomerReplacesRetry,
        SkipsDelayedGroupHeads,
        RetriesLastInGroup,
        SortsLanes,
        LosesExpiredLeases,
        RepeatsTokens,
        HidesLostLeases,
        RetriesAtOnce,
    ],
)
@pytest.mark.usefixtures("without_shrinking")
def test_state_machine_catches_the_fault(store_class):
    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        play_queue(lambda clock: store_class(clock=clock), moves_clock=True, examples=300)


@pytest.mark.parametrize("name", ["check_enqueue", "check_lease", "check_extend", "check_settle", "check_lanes"])
def test_queue_without_argument_checks_is_caught(name, monkeypatch):
    monkeypatch.setattr(adapter, name, lambda *_args: None)
    assert _first_failure(make_right, queue_checks()[:-1]) == "wrong_arguments_are_refused"


# --- faulty stores that are queues ----------------------------------------------------------------------------------


class IgnoresLostLeases(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        current = [settlement for settlement in settles if self._lanes.is_current(settlement.leased)]
        return super().commit(checks, writes, token=token, messages=messages, settles=current)


class EnqueuesDespiteFailedChecks(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        committed = super().commit(checks, writes, token=token, settles=settles)
        self.enqueue(messages)
        return committed


class SettlesDespiteFailedChecks(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        if not all(self._lanes.is_current(settlement.leased) for settlement in settles):
            return False
        committed = super().commit(checks, writes, token=token, messages=messages)
        self.settle(settles)
        return committed


class SettlesAfterwards(MemoryStore):
    """Settle after the commit, so that it writes even if the lease was lost."""

    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        committed = super().commit(checks, writes, token=token, messages=messages)
        return not self.settle(settles) if committed else False


class ForgetsMessages(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        check_enqueue(messages)
        return super().commit(checks, writes, token=token, settles=settles)


class NeedsAWrite(MemoryStore):
    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        return bool(writes) and super().commit(checks, writes, token=token, messages=messages, settles=settles)


@pytest.mark.parametrize(
    "store_class",
    [
        IgnoresLostLeases,
        EnqueuesDespiteFailedChecks,
        SettlesDespiteFailedChecks,
        SettlesAfterwards,
        ForgetsMessages,
        NeedsAWrite,
    ],
)
@pytest.mark.usefixtures("without_shrinking")
class TestFaultyAtomicStores:
    def test_single_checks_catch_the_fault(self, store_class):
        assert _first_failure(lambda clock: store_class(clock=clock), atomic_checks()[:-1])

    def test_state_machine_catches_the_fault(self, store_class):
        if store_class is not NeedsAWrite:  # The state machine's commits always write.
            assert _first_failure(lambda clock: store_class(clock=clock), atomic_checks(examples=200)[-1:])


def test_unknown_lease_is_not_current():
    store = MemoryStore()
    assert not store._lanes.is_current(LeasedMessage(None, b"x" * 16, 1))
