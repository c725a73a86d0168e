"""Play random histories of a `MessageQueue` beside a model, which is a plain list of messages.

The contract does not fix which of several due messages is leased first. So the machine does not predict a lease. It
checks that each leased message was available and that lanes and limit were respected, and continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from apcore.ports import Done, LeasedMessage, Message, MessageQueue, Retry, Settlement
from apcore.testing.conformance import ManualClock, machine_settings

__all__ = ["QueueMachine", "play_queue", "settlements"]

_LANES: Final = ("a", "b")
_delays = st.sampled_from((0, 0, 0, 1, 3, 11))
_lane_lists = st.sampled_from((("a",), ("b",), ("a", "b"), ("b", "a"), ("b", "a", "b")))
_labels = st.sampled_from((None, None, "x", "y", ""))

messages: Final = st.lists(st.tuples(st.sampled_from(_LANES), _labels, _labels, _delays), max_size=4)
"""(lane, group, dedup, delay) of messages to enqueue."""

settlements: Final = st.lists(st.tuples(st.integers(0, 11), st.one_of(st.none(), _delays)), max_size=4)
"""(lease, counted from the latest; None for Done, or the delay of a Retry) of settlements to make."""


@define(eq=False)
class _Record:
    """The model's record of a message."""

    message: Message
    when: float
    attempt: int = 0
    token: bytes | None = None


def play_queue(make: Callable[[ManualClock], MessageQueue], /, *, moves_clock: bool, examples: int) -> None:
    """Play ``examples`` random histories. A failing one is shrunk and printed step by step."""

    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(make, moves_clock=moves_clock)

    run_state_machine_as_test(Machine, settings=machine_settings(examples))


class QueueMachine(RuleBasedStateMachine):
    """The queue and the model, side by side. The model is in order of enqueue."""

    def __init__(self, make: Callable[[ManualClock], MessageQueue], *, moves_clock: bool) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.moves_clock = moves_clock
        self.stretch = 1 if moves_clock else 10_000
        """Where time passes by itself, nothing may expire while a history is played."""
        self.queue = make(self.clock)
        self.numbers = count(1)
        self.model: list[_Record] = []
        self.leases: list[LeasedMessage] = []
        """All leases that were ever returned, lost ones included."""

    def teardown(self) -> None:
        """Compare the counts once more, and close."""
        try:
            self.depth(_LANES)
        finally:
            self.queue.close()

    @rule(todo=messages)
    def enqueue(self, todo: list[tuple[str, str | None, str | None, float]]) -> None:
        """Enqueue a batch."""
        batch = self.made(todo)
        self.queue.enqueue(batch)
        self.take_in(batch)

    @rule(lanes=_lane_lists, limit=st.sampled_from((1, 2, 3, 100)), lease_s=st.sampled_from((1, 3, 11, 101)))
    def lease(self, lanes: tuple[str, ...], limit: int, lease_s: float) -> None:
        """Lease, and update the model from the result."""
        lease_s *= self.stretch
        can_be = [record for record in self.model if record.message.lane in lanes and self._is_available(record)]
        leases = self.queue.lease(lanes, limit=limit, lease_s=lease_s)
        assert len(leases) == min(limit, len(can_be)), f"{len(leases)} of {len(can_be)} were handed out, limit {limit}"
        available_by_lane = [sum(record.message.lane == lane for record in can_be) for lane in dict.fromkeys(lanes)]
        for lane, available in zip(dict.fromkeys(lanes), available_by_lane, strict=True):
            got = sum(leased.message.lane == lane for leased in leases)
            assert got == min(limit, available), f"{got} of {available} came from lane {lane!r}, limit {limit}"
            limit -= got
        by_id = {record.message.id: record for record in can_be}
        for leased in leases:
            record = by_id.pop(leased.message.id, None)
            assert record is not None, f"{leased} was not to be handed out"
            assert (leased.message.body, leased.message.group, leased.message.dedup) == (
                record.message.body,
                record.message.group,
                record.message.dedup,
            )
            assert leased.attempt == record.attempt + 1
            assert all(leased.token != other.token for other in self.leases), "a lease token came twice"
            self.leases.append(leased)
            record.attempt, record.token, record.when = leased.attempt, leased.token, self.clock() + lease_s

    @rule(which=st.lists(st.integers(0, 11), max_size=3), lease_s=st.sampled_from((1, 3, 11, 101)))
    def extend(self, which: list[int], lease_s: float) -> None:
        """Extend some leases, lost ones too."""
        lease_s *= self.stretch
        leases = self.chosen(which)
        lost_leases = self.queue.extend(leases, lease_s=lease_s)
        expected = [leased for leased in leases if self.held(leased) is None]
        assert _tokens(lost_leases) == _tokens(expected)
        for leased in leases:
            record = self.held(leased)
            if record is not None:
                record.when = self.clock() + lease_s

    @rule(todo=settlements)
    def settle(self, todo: list[tuple[int, float | None]]) -> None:
        """Settle some leases, lost ones too."""
        batch = self.settled(todo)
        lost_leases = self.queue.settle(batch)
        assert _tokens(lost_leases) == _tokens(
            [settlement.leased for settlement in batch if self.held(settlement.leased) is None]
        )
        self.end(batch)

    @rule(lanes=_lane_lists)
    def depth(self, lanes: tuple[str, ...]) -> None:
        """Count the messages."""
        now = self.clock()
        records = [record for record in self.model if record.message.lane in lanes]
        ready = [record for record in records if record.when <= now]
        delayed = [record for record in records if record.when > now and record.token is None]
        depth = self.queue.depth(lanes)
        leased = len(records) - len(ready) - len(delayed)
        assert (depth.ready, depth.delayed, depth.leased) == (len(ready), len(delayed), leased)
        if ready:
            since = now - min(record.when for record in ready)
            assert depth.oldest_ready_s is not None
            assert abs(depth.oldest_ready_s - since) <= 1
        else:
            assert depth.oldest_ready_s is None

    @precondition(lambda self: self.moves_clock)
    @rule(seconds=st.sampled_from((2, 4, 10, 100)))
    def time_passes(self, seconds: int) -> None:
        """Let delays and leases expire."""
        self.clock.advance(seconds)

    # --- the model ---

    def made(self, todo: list[tuple[str, str | None, str | None, float]]) -> list[Message]:
        """Make messages with new ids."""
        return [
            Message(
                next(self.numbers).to_bytes(16, "big"),
                lane,
                b"%d" % at,
                group=group,
                dedup=dedup,
                delay_s=self.stretch * delay_s,
            )
            for at, (lane, group, dedup, delay_s) in enumerate(todo)
        ]

    def chosen(self, which: list[int]) -> list[LeasedMessage]:
        """Choose leases, counted from the latest, each once."""
        return [self.leases[-1 - number] for number in self._numbers(which)]

    def settled(self, todo: list[tuple[int, float | None]]) -> list[Settlement]:
        """Make settlements of leases, counted from the latest, each once."""
        batch: list[Settlement] = []
        for leased, (_, delay_s) in zip(self.chosen([number for number, _ in todo]), todo, strict=False):
            batch.append(Done(leased) if delay_s is None else Retry(leased, self.stretch * delay_s))
        return batch

    def _numbers(self, which: list[int]) -> list[int]:
        lease_count = len(self.leases)
        return list(dict.fromkeys(number % lease_count for number in which)) if lease_count else []

    def held(self, leased: LeasedMessage) -> _Record | None:
        """Return the record of a message with this current lease."""
        return next((record for record in self.model if record.token == leased.token), None)

    def take_in(self, batch: list[Message]) -> None:
        """Enqueue in the model."""
        for message in batch:
            due = self.clock() + message.delay_s
            twin = self._waiting(message)
            if twin is None:
                self.model.append(_Record(message, due))
            else:
                twin.when = min(twin.when, due)

    def end(self, batch: list[Settlement]) -> None:
        """Settle in the model."""
        for settlement in batch:
            record = self.held(settlement.leased)
            if record is None:
                continue
            if isinstance(settlement, Done):
                self.model.remove(record)
                continue
            newcomer = self._waiting(record.message)
            record.token, record.when = None, self.clock() + settlement.delay_s
            if newcomer is not None:
                record.when = min(record.when, newcomer.when)
                self.model.remove(newcomer)

    def _waiting(self, message: Message) -> _Record | None:
        """Return the record of the message that waits with the lane and dedup of ``message``."""
        if message.dedup is None:
            return None
        like = (message.lane, message.dedup)
        return next(
            (
                record
                for record in self.model
                if record.token is None and (record.message.lane, record.message.dedup) == like
            ),
            None,
        )

    def _is_available(self, record: _Record) -> bool:
        group = (record.message.lane, record.message.group)
        ahead = next(
            record_ahead
            for record_ahead in self.model
            if (record_ahead.message.lane, record_ahead.message.group) == group
        )
        return record.when <= self.clock() and (record.message.group is None or ahead is record)


def _tokens(leases: Sequence[LeasedMessage]) -> list[bytes]:
    return sorted(leased.token for leased in leases)
