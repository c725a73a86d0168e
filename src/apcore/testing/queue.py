"""The conformance suite for `MessageQueue`: what `apcore.ports.queue` says, point by point, for anyone's adapter.

`queue_checks` gives the suite, `check_queue` runs all of it. How to run it, for event loops too, stands in `apcore.testing.conformance`. For a
queue that is also the store see `apcore.testing.atomic`.

Where the contract leaves room, the suite takes this reading:

- what ran out counts as ready in ``depth``; what a group holds back counts as ready or delayed by its own due time;
- a lease that ran out is not *waiting*, so it does not stand in a newcomer's way, and it is not merged with one either when it is handed out again;
- ``lease`` hands out as many as there are, up to its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Final, TypeAlias

from apcore.ports import (
    BODY_BYTES_MAX,
    ENQUEUE_MAX,
    LABEL_BYTES_MAX,
    LEASE_MAX,
    Again,
    Depth,
    Done,
    Leased,
    Message,
    MessageQueue,
    Settlement,
)
from apcore.testing.conformance import Conformance, ManualClock, conformance, opened, refusing
from apcore.testing.queue_model import play_queue

__all__ = ["check_queue", "queue_checks"]

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]

EXAMPLES: Final = 40
"""Histories that the state machine plays by default."""

_PATIENCE_S: Final = 10.0
"""How long a woken thread may take on a busy machine."""


def queue_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[MessageQueue], ...]:
    """Give the suite.

    Args:
        moves_clock: Whether the adapter runs by the clock that the factory is given; False leaves out what would need that.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeQueue) -> None:
        """Whatever is asked in whatever order, the answers are those of a plain list of messages."""
        play_queue(make, moves_clock=moves_clock, examples=examples)

    runs = (*_PLAIN, *(_TIMED if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_queue(make: MakeQueue, /, *, moves_clock: bool = True) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in queue_checks(moves_clock=moves_clock):
        check(make)


# --- handing out ----------------------------------------------------------------------------------------------------


def _what_goes_in_comes_out(make: MakeQueue) -> None:
    """A message comes out as it went in: id, lane, body, group and dedup, any bytes and any labels; then `Done` removes it."""
    label = "\x00é\U0010ffff" + "x" * (LABEL_BYTES_MAX - 7)
    messages = [
        Message(bytes(16), "lane", b""),
        Message(b"\xff" * 16, "lane", bytes(range(256)) * (BODY_BYTES_MAX // 256)),
        Message(_id(1), "lane", b"b", group="", dedup=""),
        Message(_id(2), "lane", b"c", group=label, dedup=label),
        Message(_id(3), label, b"d", group="g"),
        Message(_id(4), "", b"e", dedup="d"),
    ]
    with opened(make) as (queue, _):
        queue.enqueue(messages)
        leases = queue.lease(["lane", label, ""], limit=100, lease_s=61)
        assert sorted(_shown(leased.message) for leased in leases) == sorted(_shown(message) for message in messages)
        assert {leased.attempt for leased in leases} == {1}
        assert {len(leased.token) for leased in leases} == {16}
        assert len({leased.token for leased in leases}) == len(leases), "two leases have one token"
        assert list(queue.settle([Done(leased) for leased in leases])) == []
        assert _depth(queue, "lane", label, "") == (0, 0, 0)
        assert list(queue.lease(["lane", label, ""], limit=100, lease_s=61)) == []


def _nothing_to_do_is_fine(make: MakeQueue) -> None:
    """An unknown lane is empty, and empty calls are fine."""
    with opened(make) as (queue, _):
        queue.enqueue([])
        assert list(queue.lease(["unknown"], limit=1, lease_s=1)) == []
        assert list(queue.settle([])) == []
        assert list(queue.extend([], lease_s=1)) == []
        assert queue.depth(["unknown"]) == Depth(0, 0, 0, None)


def _limit_holds(make: MakeQueue) -> None:
    """``lease`` hands out what there is, up to its limit, each message to one lease; 100 at once go in and come out."""
    with opened(make) as (queue, _):
        messages = [_message(number) for number in range(ENQUEUE_MAX)]
        queue.enqueue(messages)
        seen = [*_take(queue, "lane", limit=1), *_take(queue, "lane", limit=7)]
        assert len(seen) == 8
        seen += _take(queue, "lane", limit=LEASE_MAX)
        assert sorted(seen) == [message.id for message in messages]
        assert _take(queue, "lane") == []


def _lanes_in_the_order_given(make: MakeQueue) -> None:
    """Lanes are served in the order given, and no lane but those."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(lane * 10 + number, f"lane {lane}") for lane in range(3) for number in range(2)])
        assert _lanes_of(queue.lease(["lane 2", "lane 0"], limit=3, lease_s=61)) == ["lane 0", "lane 2", "lane 2"]
        assert _lanes_of(queue.lease(["lane 1", "lane 2", "lane 1"], limit=100, lease_s=61)) == ["lane 1", "lane 1"]
        assert _lanes_of(queue.lease(["lane 2", "lane 0"], limit=100, lease_s=61)) == ["lane 0"]


def _the_same_id_twice_does_no_harm(make: MakeQueue) -> None:
    """Enqueueing a message again, as after a lost answer, hands it out once or twice, and breaks nothing."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1)])
        queue.enqueue([_message(1), _message(2)])
        leases = queue.lease(["lane"], limit=100, lease_s=61)
        assert {leased.message.id for leased in leases} == {_id(1), _id(2)}
        assert list(queue.settle([Done(leased) for leased in leases])) == []
        assert _depth(queue, "lane") == (0, 0, 0)


def _wrong_arguments_are_refused(make: MakeQueue) -> None:
    """Arguments out of bounds are `ValueError`; of a batch with one wrong message, none is taken."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1, "kept")])
        [leased] = queue.lease(["kept"], limit=1, lease_s=61)
        for what, call in (*_wrong_messages(queue), *_wrong_calls(queue, leased)):
            refusing(ValueError, what, call)
            assert _depth(queue, "lane", "kept") == (0, 0, 1), f"{what}: something changed"
        assert list(queue.settle([Done(leased)])) == []


def _wrong_messages(queue: MessageQueue) -> list[tuple[str, Callable[[], object]]]:
    def enqueue(message: Message) -> Callable[[], object]:
        return lambda: queue.enqueue([_message(2), message])

    long = "é" * (LABEL_BYTES_MAX // 2) + "x"
    return [
        ("an id of 15 bytes", enqueue(Message(b"x" * 15, "lane", b""))),
        ("a body over 4 KiB", enqueue(Message(_id(3), "lane", b"x" * (BODY_BYTES_MAX + 1)))),
        ("a long lane", enqueue(Message(_id(3), long, b""))),
        ("a long group", enqueue(Message(_id(3), "lane", b"", group=long))),
        ("a long dedup", enqueue(Message(_id(3), "lane", b"", dedup=long))),
        ("a lone surrogate in a lane", enqueue(Message(_id(3), "\ud800", b""))),
        ("a lone surrogate in a group", enqueue(Message(_id(3), "lane", b"", group="\udfff"))),
        ("a lone surrogate in a dedup", enqueue(Message(_id(3), "lane", b"", dedup="\udfff"))),
        ("a negative delay", enqueue(Message(_id(3), "lane", b"", delay_s=-1))),
        ("a delay that is no number", enqueue(Message(_id(3), "lane", b"", delay_s=float("nan")))),
        ("an endless delay", enqueue(Message(_id(3), "lane", b"", delay_s=float("inf")))),
        ("101 messages", lambda: queue.enqueue([_message(number) for number in range(ENQUEUE_MAX + 1)])),
    ]


def _wrong_calls(queue: MessageQueue, leased: Leased) -> list[tuple[str, Callable[[], object]]]:
    lanes = ["kept", "lane"]
    return [
        ("a lease of nothing", lambda: queue.lease(lanes, limit=0, lease_s=1)),
        ("a lease of 101", lambda: queue.lease(lanes, limit=LEASE_MAX + 1, lease_s=1)),
        ("a lease from no lane", lambda: queue.lease([], limit=1, lease_s=1)),
        ("a lease from a string", lambda: queue.lease("lane", limit=1, lease_s=1)),
        ("a lease from a lone surrogate", lambda: queue.lease(["\ud800"], limit=1, lease_s=1)),
        ("a lease for no time", lambda: queue.lease(lanes, limit=1, lease_s=0)),
        ("an endless lease", lambda: queue.lease(lanes, limit=1, lease_s=float("inf"))),
        ("an extension by no time", lambda: queue.extend([leased], lease_s=0)),
        ("101 extensions", lambda: queue.extend([leased] * (LEASE_MAX + 1), lease_s=1)),
        ("one lease settled twice", lambda: queue.settle([Done(leased), Again(leased, 1)])),
        ("a negative delay of an Again", lambda: queue.settle([Again(leased, -1)])),
        ("an Again that is no number", lambda: queue.settle([Again(leased, float("nan"))])),
        ("101 settlements", lambda: queue.settle([Done(leased)] * (LEASE_MAX + 1))),
        ("the depth of no lane", lambda: queue.depth([])),
        ("a wait for no lane", lambda: queue.wait([], timeout_s=0)),
    ]


# --- settling -------------------------------------------------------------------------------------------------------


def _settled_is_settled(make: MakeQueue) -> None:
    """A lease is settled once: later settlements and extensions of it are lost, and do nothing."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1), _message(2)])
        first, second = queue.lease(["lane"], limit=2, lease_s=61)
        assert list(queue.settle([Done(first), Again(second, 0)])) == []
        for settlement in (Done(first), Again(first, 0), Done(second), Again(second, 101)):
            assert list(queue.settle([settlement])) == [settlement.leased]
        assert list(queue.extend([first, second], lease_s=61)) == [first, second]
        [again] = queue.lease(["lane"], limit=2, lease_s=61)
        assert (again.message.id, again.attempt) == (second.message.id, 2)
        assert again.token != second.token
        assert list(queue.settle([Done(second), Done(again)])) == [second], "one lost, the other settled"
        assert _depth(queue, "lane") == (0, 0, 0)


# --- dedup ----------------------------------------------------------------------------------------------------------


def _waiting_absorbs_its_like(make: MakeQueue) -> None:
    """While a message waits, another with its (lane, dedup) adds nothing, in the same call too; another lane is another matter."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1, dedup="d"), _message(2, dedup="d"), _message(3, dedup="other"), _message(4)])
        queue.enqueue(
            [_message(5, dedup="d", delay_s=101), _message(6, "lane 2", dedup="d"), _message(7), _message(8, dedup="")]
        )
        queue.enqueue([_message(9, dedup="")])
        assert _take(queue, "lane") == [_id(1), _id(3), _id(4), _id(7), _id(8)]
        assert _take(queue, "lane 2") == [_id(6)]


def _leased_does_not_absorb(make: MakeQueue) -> None:
    """A leased message does not block its like: the newcomer waits. Nothing is remembered after `Done`."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1, dedup="d")])
        [first] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([_message(2, dedup="d"), _message(3, dedup="d")])
        [second] = queue.lease(["lane"], limit=9, lease_s=61)
        assert second.message.id == _id(2)
        assert list(queue.settle([Done(first), Done(second)])) == []
        queue.enqueue([_message(4, dedup="d")])
        assert _take(queue, "lane") == [_id(4)]


def _two_become_one_again(make: MakeQueue) -> None:
    """A leased message that comes back while its like waits takes the newcomer in: its own id and attempts, the earlier due time."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1, dedup="d")])
        [first] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([_message(2, dedup="d")])
        assert list(queue.settle([Again(first, 1001)])) == []
        assert _depth(queue, "lane") == (1, 0, 0)
        [again] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (again.message.id, again.attempt) == (_id(1), 2)
        queue.enqueue([_message(3, dedup="d", delay_s=1001)])
        assert list(queue.settle([Again(again, 0)])) == []
        queue.enqueue([_message(4, dedup="d")])
        [last] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (last.message.id, last.attempt) == (_id(1), 3)
        assert list(queue.settle([Done(last)])) == []
        assert _depth(queue, "lane") == (0, 0, 0)


# --- groups ---------------------------------------------------------------------------------------------------------


def _groups_go_one_by_one(make: MakeQueue) -> None:
    """A group has at most one lease at a time, in order of enqueue; groups of other names or lanes and the groupless do not wait for it."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(number, group="g") for number in (5, 3, 4)])
        queue.enqueue([_message(1, group="h"), _message(2, group=""), _message(6, "lane 2", group="g"), _message(7)])
        leases = queue.lease(["lane", "lane 2"], limit=100, lease_s=61)
        assert sorted(leased.message.id for leased in leases) == [_id(number) for number in (1, 2, 5, 6, 7)]
        for head, following in ((5, 3), (3, 4)):
            assert list(queue.lease(["lane"], limit=100, lease_s=61)) == [], "a group has two leases"
            [held] = [leased for leased in leases if leased.message.id == _id(head)]
            assert list(queue.settle([Done(held)])) == []
            leases = queue.lease(["lane"], limit=100, lease_s=61)
            assert [leased.message.id for leased in leases] == [_id(following)]


def _a_head_keeps_its_place(make: MakeQueue) -> None:
    """A head that comes back is still the head, and while it is delayed its group waits; merged with its like, too."""
    with opened(make) as (queue, _):
        queue.enqueue([_message(1, group="g", dedup="d"), _message(2, group="g")])
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([_message(3, group="g", dedup="d")])
        assert list(queue.settle([Again(head, 0)])) == []
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (head.message.id, head.attempt) == (_id(1), 2)
        assert list(queue.settle([Done(head)])) == []
        [behind] = queue.lease(["lane"], limit=9, lease_s=61)
        assert behind.message.id == _id(2)
        assert list(queue.settle([Again(behind, 1001)])) == []
        queue.enqueue([_message(4, group="g")])
        assert _take(queue, "lane") == [], "a delayed head holds its group back"


# --- the adapter ----------------------------------------------------------------------------------------------------


def _waiting_ends(make: MakeQueue) -> None:
    """``wait`` returns at once if something is due, after its timeout if nothing is, and when something is enqueued."""
    with opened(make) as (queue, _):
        queue.wait(["lane"], timeout_s=0)
        queue.wait(["lane"], timeout_s=0.01)
        waiter = Thread(target=lambda: queue.wait(["other", "lane"], timeout_s=_PATIENCE_S), daemon=True)
        waiter.start()
        queue.enqueue([_message(1)])
        queue.wait(["other", "lane"], timeout_s=1_000_000)
        waiter.join(_PATIENCE_S / 2)
        assert not waiter.is_alive(), "an enqueue woke nobody"


def _threads_share_the_work(make: MakeQueue) -> None:
    """From several threads at once, each message is leased once, and no group twice at a time."""
    workers, count = 4, 60

    def work(worker: int) -> list[bytes]:
        queue.enqueue(
            [
                _message(worker * 1000 + number, group=f"g{number % 7}" if number % 2 else None)
                for number in range(count)
            ]
        )
        done: list[bytes] = []
        while leases := queue.lease(["lane"], limit=5, lease_s=1001):
            groups = [leased.message.group for leased in leases if leased.message.group is not None]
            assert len(set(groups)) == len(groups), "one call took two of a group"
            assert {leased.attempt for leased in leases} == {1}, "a live lease was handed out again"
            assert list(queue.settle([Done(leased) for leased in leases])) == []
            done += [leased.message.id for leased in leases]
        return done

    with opened(make) as (queue, _):
        with ThreadPoolExecutor(workers) as pool:
            done = [each for part in pool.map(work, range(workers)) for each in part]
        done += work(workers)  # a group held by another thread looked empty: what is left
        assert len(done) == len(set(done)), "a message was done twice"
        assert len(done) == (workers + 1) * count, "a message was lost"


def _closing_is_not_the_end(make: MakeQueue) -> None:
    """Closing twice is fine; a later call opens again."""
    with opened(make) as (queue, _):
        queue.close()
        queue.close()
        queue.enqueue([_message(1)])
        assert _take(queue, "lane") == [_id(1)]


# --- time -----------------------------------------------------------------------------------------------------------


def _delays_hold(make: MakeQueue) -> None:
    """A delayed message is handed out when it is due and not before, at its first time and again."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1, delay_s=11), _message(2)])
        [now] = queue.lease(["lane"], limit=9, lease_s=61)
        assert now.message.id == _id(2)
        assert list(queue.settle([Again(now, 21)])) == []
        assert _depth(queue, "lane") == (0, 2, 0)
        clock.advance(10)
        assert _take(queue, "lane") == []
        clock.advance(2)
        assert _take(queue, "lane") == [_id(1)]
        clock.advance(10)
        assert _take(queue, "lane") == [_id(2)]


def _the_earlier_due_time_holds(make: MakeQueue) -> None:
    """Of two messages that became one, the earlier due time holds, whichever came first."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1, dedup="a", delay_s=11), _message(2, dedup="a", delay_s=31)])
        queue.enqueue([_message(3, dedup="b", delay_s=31), _message(4, dedup="b", delay_s=11)])
        queue.enqueue([_message(5, dedup="c", group="g", delay_s=31), _message(6, dedup="c", group="g", delay_s=11)])
        clock.advance(10)
        assert _take(queue, "lane") == []
        clock.advance(2)
        assert _take(queue, "lane") == [_id(1), _id(3), _id(5)]
        clock.advance(30)
        assert _depth(queue, "lane") == (0, 0, 3)


def _first_due_is_first_served(make: MakeQueue) -> None:
    """Between groups, and among the groupless, what is long due goes before what is newly due."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(3, delay_s=201), _message(1, delay_s=1), _message(2, group="g", delay_s=101)])
        queue.enqueue([_message(4, group="h", delay_s=301)])
        clock.advance(400)
        served = [id_ for _ in range(4) for id_ in _take(queue, "lane", limit=1)]
        assert served == [_id(1), _id(2), _id(3), _id(4)]


def _delayed_heads_hold_back(make: MakeQueue) -> None:
    """A delayed head holds its group back, from its enqueue on, until it is due."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1, group="g", delay_s=11), _message(2, group="g")])
        assert _take(queue, "lane") == []
        clock.advance(12)
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        assert head.message.id == _id(1)
        assert list(queue.settle([Again(head, 31)])) == []
        clock.advance(30)
        assert _take(queue, "lane") == []
        clock.advance(2)
        assert _take(queue, "lane") == [_id(1)]


def _leases_run_out(make: MakeQueue) -> None:
    """A lease that ran out is handed out again, with one attempt more; then the late worker's settlement and extension are lost."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1, group="g"), _message(2, group="g")])
        [first] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(10)
        assert _take(queue, "lane") == []
        clock.advance(2)
        [second] = queue.lease(["lane"], limit=9, lease_s=11)
        assert (second.message.id, second.attempt) == (first.message.id, 2)
        assert second.token != first.token
        for settlement in (Done(first), Again(first, 101)):
            assert list(queue.settle([settlement])) == [first]
        assert list(queue.extend([first], lease_s=1001)) == [first]
        assert list(queue.settle([Done(second)])) == []
        assert _take(queue, "lane") == [_id(2)]


def _run_out_is_still_current(make: MakeQueue) -> None:
    """A lease that ran out but was not handed out again is current: it can be settled and extended."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(number) for number in range(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=11)}
        clock.advance(12)
        assert _depth(queue, "lane") == (3, 0, 0)
        settlements: list[Settlement] = [Done(leases[_id(0)]), Again(leases[_id(1)], 101)]
        assert list(queue.settle(settlements)) == []
        assert list(queue.extend([leases[_id(2)]], lease_s=101)) == []
        assert _take(queue, "lane") == []
        assert _depth(queue, "lane") == (0, 1, 1)
        clock.advance(102)
        assert _take(queue, "lane") == [_id(1), _id(2)]


def _run_out_does_not_absorb(make: MakeQueue) -> None:
    """A lease that ran out does not block its like either: its holder may still end it."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1, dedup="d")])
        [late] = queue.lease(["lane"], limit=9, lease_s=11)
        clock.advance(12)
        queue.enqueue([_message(2, dedup="d")])
        assert list(queue.settle([Done(late)])) == []
        assert _take(queue, "lane") == [_id(2)], "a wake-up was lost"


def _extensions_count_from_now(make: MakeQueue) -> None:
    """``extend`` lets a lease end so much from now, be that later or earlier, and answers the lost ones alone."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1), _message(2), _message(3)])
        leases = {leased.message.id: leased for leased in queue.lease(["lane"], limit=9, lease_s=31)}
        clock.advance(20)
        assert list(queue.settle([Done(leases[_id(3)])])) == []
        assert list(queue.extend([leases[_id(1)], leases[_id(3)]], lease_s=31)) == [leases[_id(3)]]
        assert list(queue.extend([leases[_id(2)]], lease_s=1)) == []
        clock.advance(2)
        assert _take(queue, "lane") == [_id(2)]
        clock.advance(28)
        assert _take(queue, "lane") == []
        clock.advance(2)
        assert _take(queue, "lane") == [_id(1)]


def _attempts_are_counted_before(make: MakeQueue) -> None:
    """An attempt is counted durably when it is handed out: a worker that dies, and a queue that is closed, do not take it back."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1)])
        for attempt in range(1, 6):
            [leased] = queue.lease(["lane"], limit=9, lease_s=11)
            assert leased.attempt == attempt
            queue.close()
            if attempt % 2:
                assert list(queue.settle([Again(leased, 1)])) == []
            clock.advance(12)


def _depth_counts(make: MakeQueue) -> None:
    """``depth`` counts what is ready, delayed and leased in all the lanes named, and tells the age of what is ready longest."""
    with opened(make) as (queue, clock):
        queue.enqueue([_message(1), _message(2, delay_s=31), _message(3, "lane 2", delay_s=11), _message(4, "lane 3")])
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


# --- the suite ------------------------------------------------------------------------------------------------------


def _id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _message(
    number: int, lane: str = "lane", *, group: str | None = None, dedup: str | None = None, delay_s: float = 0
) -> Message:
    return Message(_id(number), lane, b"%d" % number, group=group, dedup=dedup, delay_s=delay_s)


def _take(queue: MessageQueue, *lanes: str, limit: int = 100) -> list[bytes]:
    """Lease for long, and tell the ids in order."""
    return sorted(leased.message.id for leased in queue.lease(lanes, limit=limit, lease_s=1_000_001))


def _shown(message: Message) -> tuple[bytes, str, bytes, str, str]:
    """All of a message but its delay, which is spent."""
    return message.id, message.lane, message.body, repr(message.group), repr(message.dedup)


def _lanes_of(leases: Sequence[Leased]) -> list[str]:
    return sorted(leased.message.lane for leased in leases)


def _depth(queue: MessageQueue, *lanes: str) -> tuple[int, int, int]:
    depth = queue.depth(lanes)
    return depth.ready, depth.delayed, depth.leased


_PLAIN: Final = (
    _what_goes_in_comes_out,
    _nothing_to_do_is_fine,
    _limit_holds,
    _lanes_in_the_order_given,
    _the_same_id_twice_does_no_harm,
    _wrong_arguments_are_refused,
    _settled_is_settled,
    _waiting_absorbs_its_like,
    _leased_does_not_absorb,
    _two_become_one_again,
    _groups_go_one_by_one,
    _a_head_keeps_its_place,
    _waiting_ends,
    _threads_share_the_work,
    _closing_is_not_the_end,
)
_TIMED: Final = (
    _delays_hold,
    _the_earlier_due_time_holds,
    _first_due_is_first_served,
    _delayed_heads_hold_back,
    _leases_run_out,
    _run_out_is_still_current,
    _run_out_does_not_absorb,
    _extensions_count_from_now,
    _attempts_are_counted_before,
    _depth_counts,
)
