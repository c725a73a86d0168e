"""Test an `AtomicStore`: a store that is also the queue, where a commit includes messages and settlements.

`atomic_checks` returns the checks of the combination. `check_atomic` runs them and the suites of both halves.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from apcore.errors import ContractError
from apcore.ports import AtomicStore, Check, Done, Increment, LeasedMessage, Message, Put, Retry, Settlement, Write
from apcore.testing._shorthand import PATIENCE_S, counts, id_of, make_message
from apcore.testing.conformance import (
    Conformance,
    ManualClock,
    Tokens,
    conformance,
    expect_refusal,
    machine_settings,
    open_closing,
)
from apcore.testing.queue import check_queue
from apcore.testing.queue_model import QueueMachine, messages, settlements
from apcore.testing.store import check_store

__all__ = ["atomic_checks", "check_atomic"]

MakeAtomic: TypeAlias = Callable[[ManualClock], AtomicStore]

EXAMPLES: Final = 30
"""The number of histories that the state machine plays by default."""


def atomic_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[AtomicStore], ...]:
    """Return the suite. The arguments are those of `store_checks`."""

    def agrees_with_the_model(make: MakeAtomic) -> None:
        """In any sequence of commits, entries, messages and leases change together or not at all."""
        _play_atomic(make, moves_clock=moves_clock, examples=examples)

    runs = (*_PLAIN, *(_TIMED if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_atomic(make: MakeAtomic, /, *, moves_clock: bool = True, examples: int = EXAMPLES) -> None:
    """Run the three suites: of the store, of the queue, and of the combination."""
    check_store(make, moves_clock=moves_clock, examples=examples)
    check_queue(make, moves_clock=moves_clock, examples=examples)
    for check in atomic_checks(moves_clock=moves_clock, examples=examples):
        check(make)


def _one_transaction(make: MakeAtomic) -> None:
    """Entries, messages and settlements of a commit take effect together.

    If it returns False, none of them does.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        store.enqueue([make_message(1), make_message(2)])
        first, second = store.lease(["lane"], limit=2, lease_s=61)
        for holds in (False, True):
            answer = store.commit(
                [Check(("a",), None if holds else tokens())],
                [Put(("a",), b"1"), Increment(("n",), 1)],
                token=tokens(),
                messages=[make_message(3), make_message(4, delay_s=1001)],
                settles=[Done(first), Retry(second, 1001)],
            )
            assert answer is holds
            assert len(store.scan((), limit=10)) == (2 if holds else 0)
            assert counts(store, "lane") == ((1, 2, 0) if holds else (0, 0, 2)), f"the commit was {holds}"
        assert list(store.settle([Done(first), Done(second)])) == [first, second]
        assert [leased.message.id for leased in store.lease(["lane"], limit=9, lease_s=61)] == [id_of(3)]


def _messages_or_settlements_alone(make: MakeAtomic) -> None:
    """A commit may consist of messages or settlements only."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [], token=tokens(), messages=[make_message(1)])
        [leased] = store.lease(["lane"], limit=9, lease_s=61)
        assert store.commit([], [], token=tokens(), settles=[Done(leased)])
        assert counts(store, "lane") == (0, 0, 0)


def _a_lost_lease_stops_all(make: MakeAtomic) -> None:
    """One lost lease among the settlements makes the commit False.

    Nothing is written or enqueued, and no other lease is settled.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        store.enqueue([make_message(1), make_message(2)])
        settled_lease, current_lease = store.lease(["lane"], limit=2, lease_s=61)
        assert list(store.settle([Done(settled_lease)])) == []
        never = LeasedMessage(settled_lease.message, b"x" * 16, 1)
        for gone in (settled_lease, never):
            orders: list[list[Settlement]] = [[Done(current_lease), Done(gone)], [Retry(gone, 0), Done(current_lease)]]
            for settles in orders:
                assert (
                    store.commit([], [Put(("a",), b"1")], token=tokens(), messages=[make_message(3)], settles=settles)
                    is False
                )
                assert list(store.scan((), limit=10)) == []
                assert counts(store, "lane") == (0, 0, 1)
        assert list(store.settle([Done(current_lease)])) == [], "the other lease was settled after all"


def _refused_is_untouched(make: MakeAtomic) -> None:
    """A refused commit changes nothing, whichever part caused the refusal."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        store.enqueue([make_message(1)])
        [leased] = store.lease(["lane"], limit=9, lease_s=61)
        fine, settlement = Put(("a",), b"1"), Done(leased)
        assert store.commit([], [Put(("text",), b"x")], token=tokens())
        bad = Message(b"short", "lane", b"")
        for case, kind, call in (
            (
                "no counter",
                ContractError,
                lambda: store.commit(
                    [],
                    [fine, Increment(("text",), 1)],
                    token=tokens(),
                    messages=[make_message(3)],
                    settles=[settlement],
                ),
            ),
            (
                "a short id",
                ValueError,
                lambda: store.commit([], [fine], token=tokens(), messages=[make_message(3), bad], settles=[settlement]),
            ),
            (
                "a negative delay",
                ValueError,
                lambda: store.commit(
                    [], [fine], token=tokens(), messages=[make_message(3)], settles=[Retry(leased, -1)]
                ),
            ),
            (
                "a lease twice",
                ValueError,
                lambda: store.commit(
                    [], [fine], token=tokens(), messages=[make_message(3)], settles=[settlement, settlement]
                ),
            ),
            (
                "a key twice",
                ValueError,
                lambda: store.commit(
                    [], [fine, fine], token=tokens(), messages=[make_message(3)], settles=[settlement]
                ),
            ),
            (
                "101 messages",
                ValueError,
                lambda: store.commit(
                    [], [fine], token=tokens(), messages=[make_message(3)] * 101, settles=[settlement]
                ),
            ),
        ):
            expect_refusal(kind, case, call)
            assert [entry.key for entry in store.scan((), limit=10)] == [("text",)], case
            assert counts(store, "lane") == (0, 0, 1), case


def _dedup_and_groups_hold_here_too(make: MakeAtomic) -> None:
    """Dedup and groups apply to the messages and settlements of a commit as to those of ``enqueue`` and ``settle``."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        store.enqueue([make_message(1, dedup="d", group="g"), make_message(2, group="g")])
        assert store.commit(
            [], [], token=tokens(), messages=[make_message(3, dedup="d", group="g"), make_message(4, group="g")]
        )
        [head] = store.lease(["lane"], limit=9, lease_s=61)
        assert head.message.id == id_of(1)
        assert store.commit(
            [], [], token=tokens(), messages=[make_message(5, dedup="d", group="g")], settles=[Retry(head, 1001)]
        )
        [head] = store.lease(["lane"], limit=9, lease_s=61)
        assert (head.message.id, head.attempt) == (id_of(1), 2), "the two did not become one, due at once"
        assert store.commit([], [], token=tokens(), messages=[make_message(6, dedup="d")], settles=[Done(head)])
        leases = store.lease(["lane"], limit=9, lease_s=61)
        assert sorted(leased.message.id for leased in leases) == [id_of(2), id_of(6)], "Done took the newcomer along"


def _a_repeat_settles_once(make: MakeAtomic) -> None:
    """A guarded commit with messages and settlements that is repeated with its token is recognisably False.

    The repetition changes nothing.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        store.enqueue([make_message(1)])
        [leased] = store.lease(["lane"], limit=9, lease_s=61)
        token = tokens()
        checks, writes = [Check(("a",), None)], [Put(("a",), b"1")]
        for first in (True, False):
            answer = store.commit(checks, writes, token=token, messages=[make_message(2)], settles=[Done(leased)])
            assert answer is first
        [entry] = store.get([("a",)])
        assert entry is not None
        assert entry.version == token
        assert counts(store, "lane") == (1, 0, 0)


def _an_enqueueing_commit_wakes(make: MakeAtomic) -> None:
    """A message of a commit wakes waiting workers, and is ready at once."""
    with open_closing(make) as (store, _):
        waiter = Thread(target=lambda: store.wait(["lane"], timeout_s=PATIENCE_S), daemon=True)
        waiter.start()
        assert store.commit([], [Put(("a",), b"1")], token=Tokens()(), messages=[make_message(1)])
        waiter.join(PATIENCE_S / 2)
        assert not waiter.is_alive(), "a commit with a message did not wake the waiting thread"
        assert len(store.lease(["lane"], limit=9, lease_s=61)) == 1


def _run_out_leases_settle_until_taken(make: MakeAtomic) -> None:
    """A commit may settle an expired lease until the message is leased again; then the lease is lost."""
    with open_closing(make) as (store, clock):
        tokens = Tokens()
        store.enqueue([make_message(1), make_message(2)])
        first, second = sorted(store.lease(["lane"], limit=9, lease_s=11), key=lambda leased: leased.message.id)
        clock.advance(12)
        assert store.commit([], [Put(("first",), b"")], token=tokens(), settles=[Done(first)])
        [second_lease] = store.lease(["lane"], limit=9, lease_s=11)
        assert second_lease.message.id == second.message.id
        assert store.commit([], [Put(("late",), b"")], token=tokens(), settles=[Done(second)]) is False
        assert store.commit([], [Put(("in time",), b"")], token=tokens(), settles=[Done(second_lease)])
        assert [entry.key[0] for entry in store.scan((), limit=9)] == ["first", "in time"]


# --- the machine ----------------------------------------------------------------------------------------------------


def _play_atomic(make: MakeAtomic, *, moves_clock: bool, examples: int) -> None:
    class Machine(_AtomicMachine):
        def __init__(self) -> None:
            super().__init__(make, moves_clock=moves_clock)

    run_state_machine_as_test(Machine, settings=machine_settings(examples))


class _AtomicMachine(QueueMachine):
    """The queue's machine, with commits that include messages and settlements, and a counter of True commits."""

    def __init__(self, make: MakeAtomic, *, moves_clock: bool) -> None:
        opened_stores: list[AtomicStore] = []

        def keep(clock: ManualClock) -> AtomicStore:
            opened_stores.append(make(clock))
            return opened_stores[0]

        super().__init__(keep, moves_clock=moves_clock)
        self.store = opened_stores[0]
        self.tokens = Tokens()
        self.version: bytes | None = None
        self.commits = 0

    @rule(todo=messages, ends=settlements, holds=st.sampled_from((True, True, True, False)))
    def commit(
        self,
        todo: list[tuple[str, str | None, str | None, float]],
        ends: list[tuple[int, float | None]],
        *,
        holds: bool,
    ) -> None:
        """Commit all three kinds of change."""
        batch, settles, token = self.made(todo), self.settled(ends), self.tokens()
        checks = [Check(("fact",), self.version if holds else self.tokens())]
        writes: list[Write] = [Put(("fact",), token), Increment(("commits",), 1)]
        expected = holds and all(self.held(settlement.leased) for settlement in settles)
        answer = self.store.commit(checks, writes, token=token, messages=batch, settles=settles)
        assert answer is expected
        if expected:
            self.version = token
            self.commits += 1
            self.end(settles)
            self.take_in(batch)
        entries = self.store.get([("fact",), ("commits",)])
        assert [entry and entry.value for entry in entries] == (
            [self.version, b"%d" % self.commits] if self.commits else [None, None]
        )


# --- the suite ------------------------------------------------------------------------------------------------------

_PLAIN: Final = (
    _one_transaction,
    _messages_or_settlements_alone,
    _a_lost_lease_stops_all,
    _refused_is_untouched,
    _dedup_and_groups_hold_here_too,
    _a_repeat_settles_once,
    _an_enqueueing_commit_wakes,
)
_TIMED: Final = (_run_out_leases_settle_until_taken,)
