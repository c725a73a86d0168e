"""Check how a queue leases messages: lanes, limits, bounds, dedup, groups and threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from time import monotonic
from typing import Final, TypeAlias

from apcore.ports import (
    ENQUEUE_MAX,
    LABEL_BYTES_MAX,
    LEASE_MAX,
    MESSAGE_BYTES_MAX,
    Depth,
    Done,
    LeasedMessage,
    Message,
    MessageQueue,
    Retry,
)
from apcore.testing._shorthand import PATIENCE_S, counts, id_of, lease_ids, make_message
from apcore.testing.conformance import ManualClock, expect_refusal, open_closing

MakeQueue: TypeAlias = Callable[[ManualClock], MessageQueue]


__all__ = ["HANDING_OUT"]


def what_goes_in_comes_out(make: MakeQueue) -> None:
    """A message comes out as it went in: id, lane, body, group and dedup, any bytes and any labels.

    `Done` removes it.
    """
    label = "\x00é\U0010ffff" + "x" * (LABEL_BYTES_MAX - 7)
    messages = [
        Message(bytes(16), "lane", b""),
        Message(b"\xff" * 16, "lane", bytes(range(256)) * (MESSAGE_BYTES_MAX // 256)),
        Message(id_of(1), "lane", b"b", group="", dedup=""),
        Message(id_of(2), "lane", b"c", group=label, dedup=label),
        Message(id_of(3), label, b"d", group="g"),
        Message(id_of(4), "", b"e", dedup="d"),
    ]
    with open_closing(make) as (queue, _):
        queue.enqueue(messages)
        leases = queue.lease(["lane", label, ""], limit=100, lease_s=61)
        assert sorted(_shown(leased.message) for leased in leases) == sorted(_shown(message) for message in messages)
        assert {leased.attempt for leased in leases} == {1}
        assert {len(leased.token) for leased in leases} == {16}
        assert len({leased.token for leased in leases}) == len(leases), "two leases have one token"
        assert list(queue.settle([Done(leased) for leased in leases])) == []
        assert counts(queue, "lane", label, "") == (0, 0, 0)
        assert list(queue.lease(["lane", label, ""], limit=100, lease_s=61)) == []


def nothing_to_do_is_fine(make: MakeQueue) -> None:
    """An unknown lane is empty, and empty calls are allowed."""
    with open_closing(make) as (queue, _):
        queue.enqueue([])
        assert list(queue.lease(["unknown"], limit=1, lease_s=1)) == []
        assert list(queue.settle([])) == []
        assert list(queue.extend([], lease_s=1)) == []
        assert queue.depth(["unknown"]) == Depth(0, 0, 0, None)


def limit_holds(make: MakeQueue) -> None:
    """``lease`` returns all due messages up to its limit, each in one lease. Batches of 100 are possible."""
    with open_closing(make) as (queue, _):
        messages = [make_message(number) for number in range(ENQUEUE_MAX)]
        queue.enqueue(messages)
        ids = [*lease_ids(queue, "lane", limit=1), *lease_ids(queue, "lane", limit=7)]
        assert len(ids) == 8
        ids += lease_ids(queue, "lane", limit=LEASE_MAX)
        assert sorted(ids) == [message.id for message in messages]
        assert lease_ids(queue, "lane") == []


def lanes_in_the_order_given(make: MakeQueue) -> None:
    """Lanes are served in the given order, and no other lane is."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(lane * 10 + number, f"lane {lane}") for lane in range(3) for number in range(2)])
        assert _lanes_of(queue.lease(["lane 2", "lane 0"], limit=3, lease_s=61)) == ["lane 0", "lane 2", "lane 2"]
        assert _lanes_of(queue.lease(["lane 1", "lane 2", "lane 1"], limit=100, lease_s=61)) == ["lane 1", "lane 1"]
        assert _lanes_of(queue.lease(["lane 2", "lane 0"], limit=100, lease_s=61)) == ["lane 0"]


def the_same_id_twice_does_no_harm(make: MakeQueue) -> None:
    """A message that is enqueued again, as after a lost answer, is leased once or twice, and does no harm."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1)])
        queue.enqueue([make_message(1), make_message(2)])
        leases = queue.lease(["lane"], limit=100, lease_s=61)
        assert {leased.message.id for leased in leases} == {id_of(1), id_of(2)}
        assert list(queue.settle([Done(leased) for leased in leases])) == []
        assert counts(queue, "lane") == (0, 0, 0)


def wrong_arguments_are_refused(make: MakeQueue) -> None:
    """Arguments out of bounds are `ValueError`. A batch with one wrong message is refused as a whole."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1, "kept")])
        [leased] = queue.lease(["kept"], limit=1, lease_s=61)
        for case, call in (*_wrong_messages(queue), *_wrong_calls(queue, leased)):
            expect_refusal(ValueError, case, call)
            assert counts(queue, "lane", "kept") == (0, 0, 1), f"{case}: something changed"
        assert list(queue.settle([Done(leased)])) == []


def _wrong_messages(queue: MessageQueue) -> list[tuple[str, Callable[[], object]]]:
    def enqueue(message: Message) -> Callable[[], object]:
        return lambda: queue.enqueue([make_message(2), message])

    long = "é" * (LABEL_BYTES_MAX // 2) + "x"
    return [
        ("an id of 15 bytes", enqueue(Message(b"x" * 15, "lane", b""))),
        ("a body over 4 KiB", enqueue(Message(id_of(3), "lane", b"x" * (MESSAGE_BYTES_MAX + 1)))),
        ("a long lane", enqueue(Message(id_of(3), long, b""))),
        ("a long group", enqueue(Message(id_of(3), "lane", b"", group=long))),
        ("a long dedup", enqueue(Message(id_of(3), "lane", b"", dedup=long))),
        ("a lone surrogate in a lane", enqueue(Message(id_of(3), "\ud800", b""))),
        ("a lone surrogate in a group", enqueue(Message(id_of(3), "lane", b"", group="\udfff"))),
        ("a lone surrogate in a dedup", enqueue(Message(id_of(3), "lane", b"", dedup="\udfff"))),
        ("a negative delay", enqueue(Message(id_of(3), "lane", b"", delay_s=-1))),
        ("a delay that is no number", enqueue(Message(id_of(3), "lane", b"", delay_s=float("nan")))),
        ("an endless delay", enqueue(Message(id_of(3), "lane", b"", delay_s=float("inf")))),
        ("101 messages", lambda: queue.enqueue([make_message(number) for number in range(ENQUEUE_MAX + 1)])),
    ]


def _wrong_calls(queue: MessageQueue, leased: LeasedMessage) -> list[tuple[str, Callable[[], object]]]:
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
        ("one lease settled twice", lambda: queue.settle([Done(leased), Retry(leased, 1)])),
        ("a negative delay of a Retry", lambda: queue.settle([Retry(leased, -1)])),
        ("a Retry after a delay that is no number", lambda: queue.settle([Retry(leased, float("nan"))])),
        ("101 settlements", lambda: queue.settle([Done(leased)] * (LEASE_MAX + 1))),
        ("the depth of no lane", lambda: queue.depth([])),
        ("a wait for no lane", lambda: queue.wait([], timeout_s=0)),
    ]


def settled_is_settled(make: MakeQueue) -> None:
    """A lease is settled once. Later settlements and extensions of it are lost, and have no effect."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1), make_message(2)])
        first, second = queue.lease(["lane"], limit=2, lease_s=61)
        assert list(queue.settle([Done(first), Retry(second, 0)])) == []
        for settlement in (Done(first), Retry(first, 0), Done(second), Retry(second, 101)):
            assert list(queue.settle([settlement])) == [settlement.leased]
        assert list(queue.extend([first, second], lease_s=61)) == [first, second]
        [second_lease] = queue.lease(["lane"], limit=2, lease_s=61)
        assert (second_lease.message.id, second_lease.attempt) == (second.message.id, 2)
        assert second_lease.token != second.token
        assert list(queue.settle([Done(second), Done(second_lease)])) == [second], "one lost, the other settled"
        assert counts(queue, "lane") == (0, 0, 0)


def waiting_absorbs_its_like(make: MakeQueue) -> None:
    """While a message waits, another with its (lane, dedup) adds nothing, also in the same call.

    Lanes are independent.
    """
    with open_closing(make) as (queue, _):
        queue.enqueue(
            [make_message(1, dedup="d"), make_message(2, dedup="d"), make_message(3, dedup="other"), make_message(4)]
        )
        queue.enqueue(
            [
                make_message(5, dedup="d", delay_s=101),
                make_message(6, "lane 2", dedup="d"),
                make_message(7),
                make_message(8, dedup=""),
            ]
        )
        queue.enqueue([make_message(9, dedup="")])
        assert lease_ids(queue, "lane") == [id_of(1), id_of(3), id_of(4), id_of(7), id_of(8)]
        assert lease_ids(queue, "lane 2") == [id_of(6)]


def leased_does_not_absorb(make: MakeQueue) -> None:
    """A leased message does not block an equal one: the new one waits. After `Done`, dedup is forgotten."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1, dedup="d")])
        [first] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([make_message(2, dedup="d"), make_message(3, dedup="d")])
        [second] = queue.lease(["lane"], limit=9, lease_s=61)
        assert second.message.id == id_of(2)
        assert list(queue.settle([Done(first), Done(second)])) == []
        queue.enqueue([make_message(4, dedup="d")])
        assert lease_ids(queue, "lane") == [id_of(4)]


def two_become_one_again(make: MakeQueue) -> None:
    """A leased message that returns while an equal one waits is merged with it.

    The result has the id and attempts of the returned one, and the earlier due time.
    """
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1, dedup="d")])
        [first] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([make_message(2, dedup="d")])
        assert list(queue.settle([Retry(first, 1001)])) == []
        assert counts(queue, "lane") == (1, 0, 0)
        [second_lease] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (second_lease.message.id, second_lease.attempt) == (id_of(1), 2)
        queue.enqueue([make_message(3, dedup="d", delay_s=1001)])
        assert list(queue.settle([Retry(second_lease, 0)])) == []
        queue.enqueue([make_message(4, dedup="d")])
        [last] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (last.message.id, last.attempt) == (id_of(1), 3)
        assert list(queue.settle([Done(last)])) == []
        assert counts(queue, "lane") == (0, 0, 0)


def groups_go_one_by_one(make: MakeQueue) -> None:
    """A group has at most one lease at a time, in order of enqueue.

    Other groups, other lanes and messages without a group do not wait for it.
    """
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(number, group="g") for number in (5, 3, 4)])
        queue.enqueue(
            [
                make_message(1, group="h"),
                make_message(2, group=""),
                make_message(6, "lane 2", group="g"),
                make_message(7),
            ]
        )
        leases = queue.lease(["lane", "lane 2"], limit=100, lease_s=61)
        assert sorted(leased.message.id for leased in leases) == [id_of(number) for number in (1, 2, 5, 6, 7)]
        for head, next_id in ((5, 3), (3, 4)):
            assert list(queue.lease(["lane"], limit=100, lease_s=61)) == [], "a group has two leases"
            [head_lease] = [leased for leased in leases if leased.message.id == id_of(head)]
            assert list(queue.settle([Done(head_lease)])) == []
            leases = queue.lease(["lane"], limit=100, lease_s=61)
            assert [leased.message.id for leased in leases] == [id_of(next_id)]


def a_head_keeps_its_place(make: MakeQueue) -> None:
    """A returned head is still the head, and its group waits while it is delayed, also after a merge."""
    with open_closing(make) as (queue, _):
        queue.enqueue([make_message(1, group="g", dedup="d"), make_message(2, group="g")])
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        queue.enqueue([make_message(3, group="g", dedup="d")])
        assert list(queue.settle([Retry(head, 0)])) == []
        [head] = queue.lease(["lane"], limit=9, lease_s=61)
        assert (head.message.id, head.attempt) == (id_of(1), 2)
        assert list(queue.settle([Done(head)])) == []
        [behind] = queue.lease(["lane"], limit=9, lease_s=61)
        assert behind.message.id == id_of(2)
        assert list(queue.settle([Retry(behind, 1001)])) == []
        queue.enqueue([make_message(4, group="g")])
        assert lease_ids(queue, "lane") == [], "a delayed head holds its group back"


def waiting_ends(make: MakeQueue) -> None:
    """``wait`` returns at once if a message is due, after its timeout if none is, and when one is enqueued."""
    with open_closing(make) as (queue, _):
        queue.wait(["lane"], timeout_s=0)
        queue.wait(["lane"], timeout_s=0.01)
        waiter = Thread(target=lambda: queue.wait(["other", "lane"], timeout_s=PATIENCE_S), daemon=True)
        waiter.start()
        queue.enqueue([make_message(1)])
        began = monotonic()
        queue.wait(["other", "lane"], timeout_s=PATIENCE_S)
        assert monotonic() - began < PATIENCE_S / 2, "something is due, and wait waits"
        waiter.join(PATIENCE_S / 2)
        assert not waiter.is_alive(), "an enqueue did not wake the waiting thread"


def threads_share_the_work(make: MakeQueue) -> None:
    """With several threads at once, each message is leased once, and no group twice at a time."""
    workers, count = 4, 60

    def work(worker: int) -> list[bytes]:
        queue.enqueue(
            [
                make_message(worker * 1000 + number, group=f"g{number % 7}" if number % 2 else None)
                for number in range(count)
            ]
        )
        ended: list[bytes] = []
        while leases := queue.lease(["lane"], limit=5, lease_s=1001):
            groups = [leased.message.group for leased in leases if leased.message.group is not None]
            assert len(set(groups)) == len(groups), "one call took two of a group"
            assert {leased.attempt for leased in leases} == {1}, "a live lease was handed out again"
            assert list(queue.settle([Done(leased) for leased in leases])) == []
            ended += [leased.message.id for leased in leases]
        return ended

    with open_closing(make) as (queue, _):
        with ThreadPoolExecutor(workers) as pool:
            ended = [id_ for part in pool.map(work, range(workers)) for id_ in part]
        ended += work(workers)  # a group held by another thread looked empty: its messages remain
        assert len(ended) == len(set(ended)), "a message was done twice"
        assert len(ended) == (workers + 1) * count, "a message was lost"


def closing_is_not_the_end(make: MakeQueue) -> None:
    """Closing twice is allowed; a later call reopens."""
    with open_closing(make) as (queue, _):
        queue.close()
        queue.close()
        queue.enqueue([make_message(1)])
        assert lease_ids(queue, "lane") == [id_of(1)]


def _shown(message: Message) -> tuple[bytes, str, bytes, str, str]:
    """Return all of a message except its delay, which has passed."""
    return message.id, message.lane, message.body, repr(message.group), repr(message.dedup)


def _lanes_of(leases: Sequence[LeasedMessage]) -> list[str]:
    return sorted(leased.message.lane for leased in leases)


HANDING_OUT: Final = (
    what_goes_in_comes_out,
    nothing_to_do_is_fine,
    limit_holds,
    lanes_in_the_order_given,
    the_same_id_twice_does_no_harm,
    wrong_arguments_are_refused,
    settled_is_settled,
    waiting_absorbs_its_like,
    leased_does_not_absorb,
    two_become_one_again,
    groups_go_one_by_one,
    a_head_keeps_its_place,
    waiting_ends,
    threads_share_the_work,
    closing_is_not_the_end,
)
