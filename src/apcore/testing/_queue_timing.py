"""What time does to a queue: delays, leases that run out, attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import (
    Again,
    Depth,
    Done,
    MessageQueue,
    Settlement,
)
from apcore.testing._shorthand import counts, id_of, made, taken
from apcore.testing.conformance import ManualClock, opened

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]

__all__ = ["TIMING"]


def delays_hold(make: MakeQueue) -> None:
    """A delayed message is handed out when it is due and not before, at its first time and again."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1, delay_s=11), made(2)])
        [now] = queue.lease(["lane"], limit=9, lease_s=61)
        assert now.message.id == id_of(2)
        assert list(queue.settle([Again(now, 21)])) == []
        assert counts(queue, "lane") == (0, 2, 0)
        clock.advance(10)
        assert taken(queue, "lane") == []
        clock.advance(2)
        assert taken(queue, "lane") == [id_of(1)]
        clock.advance(10)
        assert taken(queue, "lane") == [id_of(2)]


def the_earlier_due_time_holds(make: MakeQueue) -> None:
    """Of two messages that became one, the earlier due time holds, whichever came first."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1, dedup="a", delay_s=11), made(2, dedup="a", delay_s=31)])
        queue.enqueue([made(3, dedup="b", delay_s=31), made(4, dedup="b", delay_s=11)])
        queue.enqueue([made(5, dedup="c", group="g", delay_s=31), made(6, dedup="c", group="g", delay_s=11)])
        clock.advance(10)
        assert taken(queue, "lane") == []
        clock.advance(2)
        assert taken(queue, "lane") == [id_of(1), id_of(3), id_of(5)]
        clock.advance(30)
        assert counts(queue, "lane") == (0, 0, 3)


def first_due_is_first_served(make: MakeQueue) -> None:
    """Between groups, and among the groupless, what is long due goes before what is newly due."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(3, delay_s=201), made(1, delay_s=1), made(2, group="g", delay_s=101)])
        queue.enqueue([made(4, group="h", delay_s=301)])
        clock.advance(400)
        served = [id_ for _ in range(4) for id_ in taken(queue, "lane", limit=1)]
        assert served == [id_of(1), id_of(2), id_of(3), id_of(4)]


def delayed_heads_hold_back(make: MakeQueue) -> None:
    """A delayed head holds its group back, from its enqueue on, until it is due."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1, group="g", delay_s=11), made(2, group="g")])
        assert taken(queue, "lane") == []
        clock.advance(12)
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        assert head.message.id == id_of(1)
        assert list(queue.settle([Again(head, 31)])) == []
        clock.advance(30)
        assert taken(queue, "lane") == []
        clock.advance(2)
        assert taken(queue, "lane") == [id_of(1)]


def leases_run_out(make: MakeQueue) -> None:
    """A lease that ran out is handed out again, with one attempt more; then the late worker's settlement and extension are lost."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1, group="g"), made(2, group="g")])
        [first] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(10)
        assert taken(queue, "lane") == []
        clock.advance(2)
        [second] = queue.lease(["lane"], limit=9, lease_s=11)
        assert (second.message.id, second.attempt) == (first.message.id, 2)
        assert second.token != first.token
        for settlement in (Done(first), Again(first, 101)):
            assert list(queue.settle([settlement])) == [first]
        assert list(queue.extend([first], lease_s=1001)) == [first]
        assert list(queue.settle([Done(second)])) == []
        assert taken(queue, "lane") == [id_of(2)]


def run_out_is_still_current(make: MakeQueue) -> None:
    """A lease that ran out but was not handed out again is current: it can be settled and extended."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(number) for number in range(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=11)}
        clock.advance(12)
        assert counts(queue, "lane") == (3, 0, 0)
        settlements: list[Settlement] = [Done(leases[id_of(0)]), Again(leases[id_of(1)], 101)]
        assert list(queue.settle(settlements)) == []
        assert list(queue.extend([leases[id_of(2)]], lease_s=101)) == []
        assert taken(queue, "lane") == []
        assert counts(queue, "lane") == (0, 1, 1)
        clock.advance(102)
        assert taken(queue, "lane") == [id_of(1), id_of(2)]


def run_out_does_not_absorb(make: MakeQueue) -> None:
    """A lease that ran out does not block its like either: its holder may still end it."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1, dedup="d")])
        [late] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(12)
        queue.enqueue([made(2, dedup="d")])
        assert list(queue.settle([Done(late)])) == []
        assert taken(queue, "lane") == [id_of(2)], "a wake-up was lost"


def extensions_count_from_now(make: MakeQueue) -> None:
    """``extend`` lets a lease end so much from now, be that later or earlier, and answers the lost ones alone."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1), made(2), made(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=31)}
        clock.advance(20)
        assert list(queue.settle([Done(leases[id_of(3)])])) == []
        assert list(queue.extend([leases[id_of(1)], leases[id_of(3)]], lease_s=31)) == [leases[id_of(3)]]
        assert list(queue.extend([leases[id_of(2)]], lease_s=1)) == []
        clock.advance(2)
        assert taken(queue, "lane") == [id_of(2)]
        clock.advance(28)
        assert taken(queue, "lane") == []
        clock.advance(2)
        assert taken(queue, "lane") == [id_of(1)]


def attempts_are_counted_before(make: MakeQueue) -> None:
    """An attempt is counted durably when it is handed out: a worker that dies, and a queue that is closed, do not take it back."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1)])
        for attempt in range(1, 6):
            [leased] = queue.lease(["lane"], limit=9, lease_s=11)
            assert leased.attempt == attempt
            queue.close()
            if attempt % 2:
                assert list(queue.settle([Again(leased, 1)])) == []
            clock.advance(12)


def depth_counts(make: MakeQueue) -> None:
    """``depth`` counts what is ready, delayed and leased in all the lanes named, and tells the age of what is ready longest."""
    with opened(make) as (queue, clock):
        queue.enqueue([made(1), made(2, delay_s=31), made(3, "lane 2", delay_s=11), made(4, "lane 3")])
        assert len(queue.lease(["lane"], limit=1, lease_s=101)) == 1
        assert queue.depth(["lane", "lane 2"]) == Depth(ready=0, delayed=2, leased=1, oldest_ready_s=None)
        clock.advance(20)
        depth = queue.depth(["lane", "lane 2", "lane"])
        assert (depth.ready, depth.delayed, depth.leased) == (1, 1, 1)
        assert depth.oldest_ready_s is not None
        assert abs(depth.oldest_ready_s - 9) <= 1, f"ready for {depth.oldest_ready_s} s, where 9 was due"
        clock.advance(20)
        depth = queue.depth(["lane", "lane 2", "lane 3"])
        assert (depth.ready, depth.delayed, depth.leased) == (3, 0, 1)
        assert depth.oldest_ready_s is not None
        assert abs(depth.oldest_ready_s - 40) <= 1, f"ready for {depth.oldest_ready_s} s, where 40 was due"


TIMING: Final = (
    delays_hold,
    the_earlier_due_time_holds,
    first_due_is_first_served,
    delayed_heads_hold_back,
    leases_run_out,
    run_out_is_still_current,
    run_out_does_not_absorb,
    extensions_count_from_now,
    attempts_are_counted_before,
    depth_counts,
)
