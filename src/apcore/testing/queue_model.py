"""Random histories of a `MessageQueue`, beside a model that is a plain list of messages.

The contract leaves open which of several due messages goes first. So the machine does not predict a lease: it checks that each message handed out
could be, that lanes and limit were kept, and goes on from what was handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from apcore.ports import Again, Done, Leased, Message, MessageQueue, Settlement
from apcore.testing.conformance import ManualClock, machine_settings

__all__ = ["QueueMachine", "play_queue", "settlements"]

_LANES: Final = ("a", "b")
_delays = st.sampled_from((0, 0, 0, 1, 3, 11))
_lane_lists = st.sampled_from((("a",), ("b",), ("a", "b"), ("b", "a"), ("b", "a", "b")))
_labels = st.sampled_from((None, None, "x", "y", ""))

messages: Final = st.lists(st.tuples(st.sampled_from(_LANES), _labels, _labels, _delays), max_size=4)
"""(lane, group, dedup, delay) of messages to come."""

settlements: Final = st.lists(st.tuples(st.integers(0, 11), st.one_of(st.none(), _delays)), max_size=4)
"""(which lease, counted from the latest; None for done or the delay of an Again) of settlements to come."""


@define(eq=False)
class _Known:
    """What the model knows of a message."""

    message: Message
    when: float
    attempt: int = 0
    token: bytes | None = None


def play_queue(make: Callable[[ManualClock], MessageQueue], /, *, moves_clock: bool, examples: int) -> None:
    """Play ``examples`` random histories; a failing one is shrunk and told step by step."""

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
        """Where time passes by itself, nothing may end while a history is played."""
        self.queue = make(self.clock)
        self.numbers = count(1)
        self.model: list[_Known] = []
        self.leases: list[Leased] = []
        """All that were ever handed out, lost ones included."""

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
        """Lease, and follow what was handed out."""
        lease_s *= self.stretch
        can_be = [known for known in self.model if known.message.lane in lanes and self._is_available(known)]
        leases = self.queue.lease(lanes, limit=limit, lease_s=lease_s)
        assert len(leases) == min(limit, len(can_be)), f"{len(leases)} of {len(can_be)} were handed out, limit {limit}"
        wanted = [sum(known.message.lane == lane for known in can_be) for lane in dict.fromkeys(lanes)]
        for lane, there_are in zip(dict.fromkeys(lanes), wanted, strict=True):
            got = sum(leased.message.lane == lane for leased in leases)
            assert got == min(limit, there_are), f"{got} of {there_are} came from lane {lane!r}, limit {limit}"
            limit -= got
        by_id = {known.message.id: known for known in can_be}
        for leased in leases:
            known = by_id.pop(leased.message.id, None)
            assert known is not None, f"{leased} was not to be handed out"
            assert (leased.message.body, leased.message.group, leased.message.dedup) == (
                known.message.body,
                known.message.group,
                known.message.dedup,
            )
            assert leased.attempt == known.attempt + 1
            assert all(leased.token != other.token for other in self.leases), "a lease token came twice"
            self.leases.append(leased)
            known.attempt, known.token, known.when = leased.attempt, leased.token, self.clock() + lease_s

    @rule(which=st.lists(st.integers(0, 11), max_size=3), lease_s=st.sampled_from((1, 3, 11, 101)))
    def extend(self, which: list[int], lease_s: float) -> None:
        """Extend some leases, lost ones too."""
        lease_s *= self.stretch
        leases = self.chosen(which)
        lost = self.queue.extend(leases, lease_s=lease_s)
        expected = [leased for leased in leases if self.held(leased) is None]
        assert _tokens(lost) == _tokens(expected)
        for leased in leases:
            known = self.held(leased)
            if known is not None:
                known.when = self.clock() + lease_s

    @rule(todo=settlements)
    def settle(self, todo: list[tuple[int, float | None]]) -> None:
        """Settle some leases, lost ones too."""
        batch = self.settled(todo)
        lost = self.queue.settle(batch)
        assert _tokens(lost) == _tokens([each.leased for each in batch if self.held(each.leased) is None])
        self.end(batch)

    @rule(lanes=_lane_lists)
    def depth(self, lanes: tuple[str, ...]) -> None:
        """Count."""
        now = self.clock()
        there = [known for known in self.model if known.message.lane in lanes]
        ready = [known for known in there if known.when <= now]
        delayed = [known for known in there if known.when > now and known.token is None]
        depth = self.queue.depth(lanes)
        leased = len(there) - len(ready) - len(delayed)
        assert (depth.ready, depth.delayed, depth.leased) == (len(ready), len(delayed), leased)
        if ready:
            since = now - min(known.when for known in ready)
            assert depth.oldest_ready_s is not None
            assert abs(depth.oldest_ready_s - since) <= 1
        else:
            assert depth.oldest_ready_s is None

    @precondition(lambda self: self.moves_clock)
    @rule(seconds=st.sampled_from((2, 4, 10, 100)))
    def time_passes(self, seconds: int) -> None:
        """Let delays and leases run out."""
        self.clock.advance(seconds)

    # --- the model ---

    def made(self, todo: list[tuple[str, str | None, str | None, float]]) -> list[Message]:
        """Make messages with ids of their own."""
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

    def chosen(self, which: list[int]) -> list[Leased]:
        """Pick leases, counted from the latest, each once."""
        return [self.leases[-1 - number] for number in self._numbers(which)]

    def settled(self, todo: list[tuple[int, float | None]]) -> list[Settlement]:
        """Make settlements of leases, counted from the latest, each once."""
        batch: list[Settlement] = []
        for leased, (_, delay_s) in zip(self.chosen([number for number, _ in todo]), todo, strict=False):
            batch.append(Done(leased) if delay_s is None else Again(leased, self.stretch * delay_s))
        return batch

    def _numbers(self, which: list[int]) -> list[int]:
        there = len(self.leases)
        return list(dict.fromkeys(number % there for number in which)) if there else []

    def held(self, leased: Leased) -> _Known | None:
        """Find the message whose current lease this is."""
        return next((known for known in self.model if known.token == leased.token), None)

    def take_in(self, batch: list[Message]) -> None:
        """Enqueue in the model."""
        for message in batch:
            due = self.clock() + message.delay_s
            twin = self._waiting(message)
            if twin is None:
                self.model.append(_Known(message, due))
            else:
                twin.when = min(twin.when, due)

    def end(self, batch: list[Settlement]) -> None:
        """Settle in the model."""
        for settlement in batch:
            known = self.held(settlement.leased)
            if known is None:
                continue
            if isinstance(settlement, Done):
                self.model.remove(known)
                continue
            newcomer = self._waiting(known.message)
            known.token, known.when = None, self.clock() + settlement.delay_s
            if newcomer is not None:
                known.when = min(known.when, newcomer.when)
                self.model.remove(newcomer)

    def _waiting(self, message: Message) -> _Known | None:
        """Find the message that waits with this one's lane and dedup."""
        if message.dedup is None:
            return None
        like = (message.lane, message.dedup)
        return next(
            (each for each in self.model if each.token is None and (each.message.lane, each.message.dedup) == like),
            None,
        )

    def _is_available(self, known: _Known) -> bool:
        group = (known.message.lane, known.message.group)
        ahead = next(each for each in self.model if (each.message.lane, each.message.group) == group)
        return known.when <= self.clock() and (known.message.group is None or ahead is known)


def _tokens(leases: Sequence[Leased]) -> list[bytes]:
    return sorted(leased.token for leased in leases)
