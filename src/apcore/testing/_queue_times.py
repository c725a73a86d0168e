"""Check how a queue handles time: delays, expired leases, attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import (
    Depth,
    Done,
    MessageQueue,
    Retry,
    Settlement,
)
from apcore.testing._shorthand import counts, id_of, lease_ids, make_message
from apcore.testing.conformance import ManualClock, open_closing

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]

__all__ = ["TIMING"]


def delays_hold(make: MakeQueue) -> None:
    """A delayed message is leased when it is due and not before, the first time and after a `Retry`."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1, delay_s=11), make_message(2)])
        [now] = queue.lease(["lane"], limit=9, lease_s=61)
        assert now.message.id == id_of(2)
        assert list(queue.settle([Retry(now, 21)])) == []
        assert counts(queue, "lane") == (0, 2, 0)
        clock.advance(10)
        assert lease_ids(queue, "lane") == []
        clock.advance(2)
        assert lease_ids(queue, "lane") == [id_of(1)]
        clock.advance(10)
        assert lease_ids(queue, "lane") == [id_of(2)]


def the_earlier_due_time_holds(make: MakeQueue) -> None:
    """Of two merged messages, the earlier due time holds, whichever came first."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1, dedup="a", delay_s=11), make_message(2, dedup="a", delay_s=31)])
        queue.enqueue([make_message(3, dedup="b", delay_s=31), make_message(4, dedup="b", delay_s=11)])
        queue.enqueue(
            [make_message(5, dedup="c", group="g", delay_s=31), make_message(6, dedup="c", group="g", delay_s=11)]
        )
        clock.advance(10)
        assert lease_ids(queue, "lane") == []
        clock.advance(2)
        assert lease_ids(queue, "lane") == [id_of(1), id_of(3), id_of(5)]
        clock.advance(30)
        assert counts(queue, "lane") == (0, 0, 3)


def first_due_is_first_served(make: MakeQueue) -> None:
    """Between groups, and among messages without a group, the one that has been due longest comes first."""
    with open_closing(make) as (queue, clock):
        queue.enqueue(
            [make_message(3, delay_s=201), make_message(1, delay_s=1), make_message(2, group="g", delay_s=101)]
        )
        queue.enqueue([make_message(4, group="h", delay_s=301)])
        clock.advance(400)
        served = [id_ for _ in range(4) for id_ in lease_ids(queue, "lane", limit=1)]
        assert served == [id_of(1), id_of(2), id_of(3), id_of(4)]


def delayed_heads_hold_back(make: MakeQueue) -> None:
    """A delayed head delays its group, from its enqueue until it is due."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1, group="g", delay_s=11), make_message(2, group="g")])
        assert lease_ids(queue, "lane") == []
        clock.advance(12)
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        assert head.message.id == id_of(1)
        assert list(queue.settle([Retry(head, 31)])) == []
        clock.advance(30)
        assert lease_ids(queue, "lane") == []
        clock.advance(2)
        assert lease_ids(queue, "lane") == [id_of(1)]


def leases_run_out(make: MakeQueue) -> None:
    """A message with an expired lease is leased again, with one more attempt.

    The late worker's settlement and extension are then lost.
    """
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1, group="g"), make_message(2, group="g")])
        [first] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(10)
        assert lease_ids(queue, "lane") == []
        clock.advance(2)
        [second] = queue.lease(["lane"], limit=9, lease_s=11)
        assert (second.message.id, second.attempt) == (first.message.id, 2)
        assert second.token != first.token
        for settlement in (Done(first), Retry(first, 101)):
            assert list(queue.settle([settlement])) == [first]
        assert list(queue.extend([first], lease_s=1001)) == [first]
        assert list(queue.settle([Done(second)])) == []
        assert lease_ids(queue, "lane") == [id_of(2)]


def run_out_is_still_current(make: MakeQueue) -> None:
    """An expired lease is current until the message is leased again: it can be settled and extended."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(number) for number in range(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=11)}
        clock.advance(12)
        assert counts(queue, "lane") == (3, 0, 0)
        settlements: list[Settlement] = [Done(leases[id_of(0)]), Retry(leases[id_of(1)], 101)]
        assert list(queue.settle(settlements)) == []
        assert list(queue.extend([leases[id_of(2)]], lease_s=101)) == []
        assert lease_ids(queue, "lane") == []
        assert counts(queue, "lane") == (0, 1, 1)
        clock.advance(102)
        assert lease_ids(queue, "lane") == [id_of(1), id_of(2)]


def run_out_does_not_absorb(make: MakeQueue) -> None:
    """An expired lease does not block an equal message either: its worker may still end it."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1, dedup="d")])
        [late] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(12)
        queue.enqueue([make_message(2, dedup="d")])
        assert list(queue.settle([Done(late)])) == []
        assert lease_ids(queue, "lane") == [id_of(2)], "a wake-up was lost"


def extensions_count_from_now(make: MakeQueue) -> None:
    """``extend`` lets a lease end later or earlier, counted from now, and returns only the lost leases."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1), make_message(2), make_message(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=31)}
        clock.advance(20)
        assert list(queue.settle([Done(leases[id_of(3)])])) == []
        assert list(queue.extend([leases[id_of(1)], leases[id_of(3)]], lease_s=31)) == [leases[id_of(3)]]
        assert list(queue.extend([leases[id_of(2)]], lease_s=1)) == []
        clock.advance(2)
        assert lease_ids(queue, "lane") == [id_of(2)]
        clock.advance(28)
        assert lease_ids(queue, "lane") == []
        clock.advance(2)
        assert lease_ids(queue, "lane") == [id_of(1)]


def attempts_are_counted_before(make: MakeQueue) -> None:
    """An attempt is counted durably when a message is leased. A worker's death or a closed queue does not undo it."""
    with open_closing(make) as (queue, clock):
        queue.enqueue([make_message(1)])
        for attempt in range(1, 6):
            [leased] = queue.lease(["lane"], limit=9, lease_s=11)
            assert leased.attempt == attempt
            queue.close()
            if attempt % 2:
                assert list(queue.settle([Retry(leased, 1)])) == []
            clock.advance(12)


def depth_counts(make: MakeQueue) -> None:
    """``depth`` counts ready, delayed and leased messages in all given lanes, and the age of the oldest ready one."""
    with open_closing(make) as (queue, clock):
        queue.enqueue(
            [
                make_message(1),
                make_message(2, delay_s=31),
                make_message(3, "lane 2", delay_s=11),
                make_message(4, "lane 3"),
            ]
        )
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
