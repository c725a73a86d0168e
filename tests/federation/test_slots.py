"""Slots: who gets one, who gives his up, and who has to wait, on a clock that a test moves."""

from __future__ import annotations

from itertools import count

import pytest

from apcore.errors import ConfigurationError
from apcore.federation.slots import SLOW_S, Job, Slots, WorkerPolicy
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, KINDS, make_wake
from apcore.ports import LeasedMessage

NUMBERS = count()
HERE = "https://here.example"


def leased(kind: str = INBOX, peer: str | None = "https://x.example", fact: str | None = None) -> LeasedMessage:
    number = next(NUMBERS)
    ident = number.to_bytes(16)
    return LeasedMessage(make_wake(kind, (kind, fact or str(number)), ident, by=HERE, peer=peer), ident, 1)


def begin(slots: Slots, now_s: float, **options: str | None) -> Job:
    job = slots.begin(leased(**options), now_s)  # type: ignore[arg-type]
    assert isinstance(job, Job)
    return job


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_kind_takes_no_slot_of_another(kind: str) -> None:
    slots = Slots(WorkerPolicy(slots=8))
    for number in range(8):
        begin(slots, 0.0, kind=kind, peer=f"https://{number}.example")
    assert {each: slots.free(each, 0.5) for each in KINDS} == dict.fromkeys(KINDS, 8) | {kind: 0}


def test_a_slow_message_gives_its_slot_up() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    jobs = [begin(slots, 0.0, peer=f"https://{number}.example") for number in range(8)]
    assert slots.free(INBOX, SLOW_S - 0.01) == 0
    assert slots.change_s(SLOW_S - 0.01) == pytest.approx(0.01)
    assert slots.free(INBOX, SLOW_S) == 8
    for job in jobs:
        slots.end(job, SLOW_S + 1)
    assert slots.is_empty


def test_what_is_under_way_is_bounded_in_all() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    begun = 0
    for second in range(0, 200, 2):
        for number in range(slots.free(DELIVER, second)):
            begun += isinstance(slots.begin(leased(DELIVER, f"https://{second}-{number}.example"), second), Job)
    assert begun <= 3 * 8
    assert slots.free(INBOX, 200) == 8


def test_one_slow_peer_has_a_quarter_and_others_go_on() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    for _ in range(2):
        begin(slots, 0.0)
    delays = [slots.begin(leased(), 2.0) for _ in range(300)]
    assert all(isinstance(delay, float) and 1.0 <= delay <= 30.0 for delay in delays)
    assert delays == sorted(delays), "the more of them there are, the longer they wait"
    begin(slots, 2.0, peer="https://y.example")
    begin(slots, 2.0, kind=DELIVER)


def test_new_peers_together_leave_room_for_those_that_were_prompt() -> None:
    slots = Slots(WorkerPolicy(slots=8))
    slots.end(begin(slots, 0.0, peer="https://known.example"), 0.1)
    for number in range(8):
        begin(slots, 1.0, peer=f"https://new{number}.example")
    assert isinstance(slots.begin(leased(peer="https://another.example"), 3.0), float)
    job = begin(slots, 3.0, peer="https://known.example")
    # A peer that turns slow is as good as new.
    slots.end(job, 9.0)
    assert isinstance(slots.begin(leased(peer="https://known.example"), 9.0), float)


def test_a_share_is_free_again_when_its_messages_have_ended() -> None:
    slots = Slots(WorkerPolicy(slots=4))
    job = begin(slots, 0.0)
    assert isinstance(slots.begin(leased(), 2.0), float)
    slots.end(job, 3.0)
    begin(slots, 3.0)


def test_a_fact_that_is_under_way_is_not_begun_beside_itself() -> None:
    slots = Slots(WorkerPolicy())
    job = begin(slots, 0.0, fact="one")
    assert isinstance(slots.begin(leased(fact="one"), 0.0), float)
    slots.end(job, 0.1)
    begin(slots, 0.2, fact="one")


def test_overdue_messages_are_told_once_and_forsaken_up_to_a_bound() -> None:
    slots = Slots(WorkerPolicy(slots=2, handler_limit_s=10))
    jobs = [begin(slots, 0.0, kind=FANOUT, peer=None) for _ in range(2)]
    jobs += [begin(slots, 2.0, kind=FANOUT, peer=None)]
    assert list(slots.overdue(9.9)) == []
    assert slots.overdue(12.0) == jobs
    assert [slots.forsake(job, 12.0) for job in jobs] == [True, True, False]
    assert list(slots.overdue(13.0)) == []
    assert slots.jobs == [jobs[2]], "beyond the bound it keeps its slot"
    slots.end(jobs[0], 14.0)
    another = begin(slots, 14.0, kind=FANOUT, peer=None)
    assert slots.forsake(another, 30.0), "one has ended after all"
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
def test_bounds_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        WorkerPolicy(**options)  # type: ignore[arg-type]
