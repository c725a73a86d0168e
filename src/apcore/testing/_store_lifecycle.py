"""Check the life of a store: closing, threads, expiry."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from apcore.ports import (
    Check,
    Increment,
    KvStore,
    Put,
    StoreKey,
    Write,
)
from apcore.testing._shorthand import keys_under, put, value_of
from apcore.testing.conformance import ManualClock, Tokens, open_closing

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

__all__ = ["FORGETTING", "LIVING"]


def closing_is_not_the_end(make: MakeStore) -> None:
    """Closing twice is allowed, and a later call reopens. Commits persist unless durability is ``none``."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        put(store, tokens, {("a",): b"1"})
        store.close()
        store.close()
        entries = store.get([("a",)])
        assert len(entries) == 1
        assert store.durability in ("power", "process", "none")
        assert store.durability == "none" or entries[0] is not None
        put(store, tokens, {("b",): b"2"})
        assert value_of(store, ("b",)) == b"2"


def threads_may_share_it(make: MakeStore) -> None:
    """With several threads at once, no increment is lost, each claim has one winner, and no swap is lost."""
    workers, rounds = 4, 15

    def work(worker: int) -> int:
        won = 0
        for step in range(rounds):
            token = f"{worker:08}{step:08}".encode()
            won += store.commit(
                [Check(("claim", str(step)), None)], [Put(("claim", str(step)), b"%d" % worker)], token=token
            )
            assert store.commit([], [Increment(("adds",), 1)], token=b"a" + token[1:])
            tries = range(1_000)  # one thread succeeds each time, so no thread needs more attempts than there are swaps
            assert any(_swap(store, ("swaps",), token=b"s" + token[1:]) for _try in tries), "no swap ever succeeds"
        return won

    with open_closing(make) as (store, _), ThreadPoolExecutor(workers) as pool:
        assert sum(pool.map(work, range(workers))) == rounds, "claims and winners differ in number"
        assert value_of(store, ("adds",)) == b"%d" % (workers * rounds), "an increment was lost, or counted twice"
        assert value_of(store, ("swaps",)) == b"x" * (workers * rounds), "a swap was lost"


def _swap(store: KvStore, key: StoreKey, *, token: bytes) -> bool:
    [entry] = store.get([key])
    value = entry.value if entry else b""
    return store.commit([Check(key, entry.version if entry else None)], [Put(key, value + b"x")], token=token)


def expired_is_absent(make: MakeStore) -> None:
    """An expired entry is absent for get, scan, checks and increments, and its version does not recur."""
    with open_closing(make) as (store, clock):
        tokens = Tokens()
        token = tokens()
        writes = [
            Put(("p", "short"), b"1", 61),
            Put(("p", "long"), b"2", 121),
            Put(("p", "n"), b"40", 61),
            Put(("p", "stays"), b"3"),
        ]
        assert store.commit([], writes, token=token)
        clock.advance(60)
        assert keys_under(store, ("p",)) == [("p", "long"), ("p", "n"), ("p", "short"), ("p", "stays")]
        assert store.commit([Check(("p", "short"), token)], [], token=tokens())
        clock.advance(2)
        assert list(store.get([("p", "short")])) == [None]
        assert keys_under(store, ("p",)) == [("p", "long"), ("p", "stays")]
        assert [entry.key[1] for entry in store.scan(("p",), limit=2, reverse=True)] == ["stays", "long"]
        assert store.commit([Check(("p", "short"), token)], [], token=tokens()) is False
        assert store.commit([Check(("p", "short"), None)], [Put(("p", "short"), b"1")], token=tokens())
        assert store.commit([Check(("p", "short"), token)], [], token=tokens()) is False, "the version came back"
        assert store.commit([Check(("p", "n"), None)], [Increment(("p", "n"), 2)], token=tokens())
        assert value_of(store, ("p", "n")) == b"2", "an expired counter was counted on"
        clock.advance(1_000_000)
        assert keys_under(store, ("p",)) == [("p", "n"), ("p", "short"), ("p", "stays")]


def put_replaces_the_time_to_live(make: MakeStore) -> None:
    """Put replaces or removes the time to live, and a counter does not expire."""
    with open_closing(make) as (store, clock):
        tokens = Tokens()
        for name in ("freed", "longer", "shorter", "counted"):
            assert store.commit([], [Put((name,), b"1", 61)], token=tokens())
        writes: list[Write] = [
            Put(("freed",), b"2"),
            Put(("longer",), b"2", 121),
            Put(("shorter",), b"2", 31),
            Increment(("counted",), 1),
        ]
        assert store.commit([], writes, token=tokens())
        clock.advance(32)
        assert keys_under(store, ()) == [("counted",), ("freed",), ("longer",)]
        clock.advance(30)
        assert keys_under(store, ()) == [("counted",), ("freed",), ("longer",)]
        clock.advance(60)
        assert keys_under(store, ()) == [("counted",), ("freed",)]
        assert value_of(store, ("counted",)) == b"2"


def expired_entries_hide_nothing(make: MakeStore) -> None:
    """A scan across many expired entries finds those behind them, and returns full pages."""
    with open_closing(make) as (store, clock):
        tokens = Tokens()
        for batch in range(3):
            assert store.commit(
                [], [Put(("p", f"{batch}{number:03}"), b"", 11) for number in range(100)], token=tokens()
            )
        put(store, tokens, {("p", "9a"): b"", ("p", "9b"): b"", ("p", ""): b""})
        clock.advance(12)
        assert keys_under(store, ("p",)) == [("p", ""), ("p", "9a"), ("p", "9b")]
        assert [entry.key[1] for entry in store.scan(("p",), limit=2)] == ["", "9a"]
        assert [entry.key[1] for entry in store.scan(("p",), limit=3, reverse=True)] == ["9b", "9a", ""]
        for _step in range(40):  # gives the store time to reclaim, which must not affect live entries
            put(store, tokens, {("p", "9b"): b"still"})
        assert keys_under(store, ("p",)) == [("p", ""), ("p", "9a"), ("p", "9b")]


LIVING: Final = (closing_is_not_the_end, threads_may_share_it)

FORGETTING: Final = (expired_is_absent, put_replaces_the_time_to_live, expired_entries_hide_nothing)
