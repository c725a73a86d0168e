"""Check slots on a manual clock: which messages get one, give it up, or wait."""

from __future__ import annotations

from itertools import count

import pytest

from apcore.errors import ConfigurationError
from apcore.federation.slots import SLOW_S, Job, Slots, WorkerPolicy
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, KINDS, make_wake
from apcore.ports import LeasedMessage

NUMBERS = count()
HERE = "https://here.example"


def lease_message(kind: str = INBOX, peer: str | None = "https://x.example", fact: str | None = None) -> LeasedMessage:
    number = next(NUMBERS)
    ident = number.to_bytes(16)
    return LeasedMessage(make_wake(kind, (kind, fact or str(number)), ident, by=HERE, peer=peer), ident, 1)


def begin(slots: Slots, now_s: float, **options: str | None) -> Job:
    job = slots.begin(lease_message(**options), now_s)  # type: ignore[arg-type]
    assert isinstance(job, Job)
    return job


@pytest.mark.parametrize("kind", KINDS)
def test_full_kind_takes_no_slot_of_another_kind(kind: str) -> None:
    slots = Slots(WorkerPolicy(slots=8))
    for number in range(8):
        begin(slots, 0.0, kind=kind, peer=f"https://{number}.example")
    assert {name: slots.free(name, 0.5) for name in KINDS} == dict.fromkeys(KINDS, 8) | {kind: 0}


def test_slow_message_gives_up_its_slot() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    jobs = [begin(slots, 0.0, peer=f"https://{number}.example") for number in range(8)]
    assert slots.free(INBOX, SLOW_S - 0.01) == 0
    assert slots.change_s(SLOW_S - 0.01) == pytest.approx(0.01)
    assert slots.free(INBOX, SLOW_S) == 8
    for job in jobs:
        slots.end(job, SLOW_S + 1)
    assert slots.is_empty


def test_total_number_of_jobs_is_bounded() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    started = 0
    for second in range(0, 200, 2):
        for number in range(slots.free(DELIVER, second)):
            started += isinstance(
                slots.begin(lease_message(DELIVER, f"https://{second}-{number}.example"), second), Job
            )
    assert started <= 3 * 8
    assert slots.free(INBOX, 200) == 8


def test_slow_peer_gets_a_quarter_of_the_slots() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    for _ in range(2):
        begin(slots, 0.0)
    delays = [slots.begin(lease_message(), 2.0) for _ in range(300)]
    assert all(isinstance(delay, float) and 1.0 <= delay <= 30.0 for delay in delays)
    assert delays == sorted(delays), "the delays do not grow with the number of waiting messages"
    begin(slots, 2.0, peer="https://y.example")
    begin(slots, 2.0, kind=DELIVER)


def test_new_peers_leave_slots_for_prompt_peers() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    slots.end(begin(slots, 0.0, peer="https://prompt.example"), 0.1)
    for number in range(8):
        begin(slots, 1.0, peer=f"https://new{number}.example")
    assert isinstance(slots.begin(lease_message(peer="https://another.example"), 3.0), float)
    job = begin(slots, 3.0, peer="https://prompt.example")
    # A peer that has become slow counts as new.
    slots.end(job, 9.0)
    assert isinstance(slots.begin(lease_message(peer="https://prompt.example"), 9.0), float)


def test_share_of_a_peer_is_free_after_its_jobs_have_ended() -> None:
    slots = Slots(WorkerPolicy(slots=4))
    job = begin(slots, 0.0)
    assert isinstance(slots.begin(lease_message(), 2.0), float)
    slots.end(job, 3.0)
    begin(slots, 3.0)


def test_record_under_way_is_not_started_twice() -> None:
    slots = Slots(WorkerPolicy())
    job = begin(slots, 0.0, fact="one")
    assert isinstance(slots.begin(lease_message(fact="one"), 0.0), float)
    slots.end(job, 0.1)
    begin(slots, 0.2, fact="one")


@pytest.mark.parametrize("slow", [False, True])
def test_second_end_of_a_job_changes_nothing(slow: bool) -> None:
    """End a job twice while a newer job handles the same record."""
    slots = Slots(WorkerPolicy(slots=2))
    job = begin(slots, 0.0, fact="one")
    ended_s = 2.0 if slow else 0.1
    slots.end(job, ended_s)
    newer = begin(slots, ended_s, fact="one")
    slots.end(job, ended_s)
    assert slots.jobs == [newer]
    assert isinstance(slots.begin(lease_message(fact="one"), ended_s), float), "the record is handled twice"


def test_second_end_of_a_forsaken_job_changes_nothing() -> None:
    slots = Slots(WorkerPolicy(slots=1, handler_limit_s=10))
    first, second, third = (begin(slots, 0.0, kind=FANOUT, peer=None, fact=str(number)) for number in range(3))
    assert slots.forsake(first, 12.0)
    slots.end(first, 13.0)
    slots.end(first, 13.0)
    assert slots.forsake(second, 14.0)
    assert not slots.forsake(third, 14.0), "a job that ended twice made room for two"


def test_overdue_jobs_are_reported_once_and_abandoned_up_to_a_bound() -> None:
    slots = Slots(WorkerPolicy(slots=2, handler_limit_s=10))
    jobs = [begin(slots, 0.0, kind=FANOUT, peer=None) for _ in range(2)]
    jobs += [begin(slots, 2.0, kind=FANOUT, peer=None)]
    assert list(slots.overdue(9.9)) == []
    assert slots.overdue(12.0) == jobs
    assert [slots.forsake(job, 12.0) for job in jobs] == [True, True, False]
    assert list(slots.overdue(13.0)) == []
    assert slots.jobs == [jobs[2]], "a job beyond the bound lost its slot"
    slots.end(jobs[0], 14.0)
    another = begin(slots, 14.0, kind=FANOUT, peer=None)
    assert slots.forsake(another, 30.0), "an ended job still counts against the bound"
    slots.end(jobs[2], 31.0)
    assert slots.is_empty


@pytest.mark.parametrize(
    "options",
    [
        {"slots": -1},
        {"slots": 1001},
        {"slots": 2.5},
        {"slots": True},
        {"handler_limit_s": 0},
        {"handler_limit_s": 90_000},
        {"lease_s": 0},
        {"lease_s": float("nan")},
    ],
    ids=str,
)
def test_invalid_worker_policy_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        WorkerPolicy(**options)  # type: ignore[arg-type]
