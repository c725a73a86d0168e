"""Check how a store commits: versions, checks, counters, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final, TypeAlias

from apcore.errors import ContractError, StoreUnavailable
from apcore.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    GET_KEYS_MAX,
    KEY_BYTES_MAX,
    KEY_PARTS_MAX,
    SCAN_LIMIT_MAX,
    VALUE_BYTES_MAX,
    Check,
    DeleteEntry,
    Increment,
    KvStore,
    Put,
    StoreKey,
    Write,
    encode_key,
)
from apcore.testing._shorthand import keys_under, put, value_of
from apcore.testing.conformance import ManualClock, Tokens, expect_refusal, open_closing
from apcore.testing.faults import AnswerFate, LosingStore

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

__all__ = ["COMMITTING"]


def version_is_the_token(make: MakeStore) -> None:
    """Every entry that a commit wrote has its token as version, in ``get`` and in ``scan``.

    A Put or an Increment replaces it.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        first, second = tokens(), tokens()
        assert store.commit([], [Put(("a",), b"1"), Increment(("b",), 1), Put(("c",), b"")], token=first)
        assert store.commit([], [Put(("a",), b"1"), Increment(("b",), 0)], token=second)
        versions = {entry.key[0]: entry.version for entry in store.scan((), limit=10)}
        assert versions == {"a": second, "b": second, "c": first}
        assert [entry and entry.version for entry in store.get([("a",), ("c",)])] == [second, first]


def checks_decide(make: MakeStore) -> None:
    """A check holds if the version is current, or the key absent as expected.

    It counts also for a key that is not written.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        old, new, never = tokens(), tokens(), tokens()
        assert store.commit([], [Put(("a",), b"1")], token=old)
        assert store.commit([Check(("a",), old)], [Put(("a",), b"2")], token=new)
        for checks, holds in (
            ([Check(("a",), new)], True),
            ([Check(("gone",), None)], True),
            ([Check(("a",), new), Check(("gone",), None)], True),
            ([Check(("a",), old)], False),
            ([Check(("a",), never)], False),
            ([Check(("a",), None)], False),
            ([Check(("gone",), never)], False),
            ([Check(("a",), new), Check(("gone",), never)], False),
            ([], True),
        ):
            assert store.commit(checks, [], token=tokens()) is holds, f"{checks} with nothing to write"
            wrote = store.commit(checks, [Put(("other",), b"x")], token=tokens())
            assert wrote is holds, f"{checks} with another key to write"
            assert (store.get([("other",)])[0] is not None) is holds, f"{checks}: False writes nothing, True everything"
            assert store.commit([], [DeleteEntry(("other",))], token=tokens())


def false_writes_nothing(make: MakeStore) -> None:
    """A commit that returns False has changed nothing."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [Put(("a",), b"1"), Put(("b",), b"2"), Increment(("n",), 7)], token=tokens())
        before = list(store.scan((), limit=100))
        writes: list[Write] = [
            Put(("a",), b"x"),
            Put(("new",), b"x"),
            DeleteEntry(("b",)),
            Increment(("n",), 1),
            Increment(("m",), 1),
        ]
        assert store.commit([Check(("a",), tokens())], writes, token=tokens()) is False
        assert list(store.scan((), limit=100)) == before
        assert store.commit([], [Put(("a",), b"no counter")], token=tokens())
        before = list(store.scan((), limit=100))
        bad: list[Write] = [Increment(("a",), 1)]
        stale = [Check(("gone",), tokens())]
        assert store.commit(stale, bad, token=tokens()) is False, (
            "a commit with a failed check is False, whatever it would write"
        )
        assert list(store.scan((), limit=100)) == before


def versions_never_return(make: MakeStore) -> None:
    """A version never recurs after its entry is replaced or deleted, even if the value does."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        first = tokens()
        assert store.commit([], [Put(("a",), b"v")], token=first)
        assert store.commit([], [DeleteEntry(("a",))], token=tokens())
        assert store.commit([Check(("a",), first)], [], token=tokens()) is False
        assert store.commit([Check(("a",), None)], [Put(("a",), b"v")], token=tokens())
        assert store.commit([Check(("a",), first)], [], token=tokens()) is False


def delete_of_nothing_is_fine(make: MakeStore) -> None:
    """Deleting an absent key is allowed, and leaves it absent."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [DeleteEntry(("gone",)), Put(("a",), b"")], token=tokens())
        assert store.commit([Check(("gone",), None)], [DeleteEntry(("gone",))], token=tokens())
        assert keys_under(store, ()) == [("a",)]


def nothing_to_write_is_fine(make: MakeStore) -> None:
    """A commit may check without writing, write without checking, or do neither."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [], token=tokens()) is True
        assert store.commit([Check(("gone",), None)], [], token=tokens()) is True
        assert keys_under(store, ()) == []


def adds_add(make: MakeStore) -> None:
    """``Increment`` counts in signed 64-bit decimals, from 0 for an absent key.

    A decimal that was Put is a counter, and a deleted counter starts anew.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        low, high = -(2**63), 2**63 - 1
        for start, delta, total in (
            (None, 5, b"5"),
            (None, -5, b"-5"),
            (None, 0, b"0"),
            (None, high, b"%d" % high),
            (None, low, b"%d" % low),
            (b"41", 1, b"42"),
            (b"-1", 1, b"0"),
            (b"%d" % high, low, b"-1"),
            (b"%d" % (high - 1), 1, b"%d" % high),
            (b"%d" % (low + 1), -1, b"%d" % low),
        ):
            assert store.commit([], [DeleteEntry(("n",)) if start is None else Put(("n",), start)], token=tokens())
            assert store.commit([], [Increment(("n",), delta)], token=tokens())
            assert value_of(store, ("n",)) == total, f"{start!r} + {delta}"


def impossible_adds_are_refused(make: MakeStore) -> None:
    """``Increment`` of a value that is not a counter, or beyond 64 bits, raises `ContractError` and writes nothing."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        high = 2**63 - 1
        for value, delta in (
            (b"", 1),
            (b"x", 1),
            (b"1.0", 1),
            (b" 1", 1),
            (b"-", 1),
            (b"\xd9\xa3", 1),
            (b"%d" % high, 1),
            (b"%d" % -high, -2),
            (b"1", high),
        ):
            assert store.commit([], [Put(("n",), value)], token=tokens())
            before = list(store.scan((), limit=10))
            writes: list[Write] = [
                Put(("a",), b"1"),
                Increment(("m",), 1),
                Increment(("n",), delta),
                DeleteEntry(("n2",)),
            ]
            expect_refusal(
                ContractError,
                f"{value!r} + {delta}",
                lambda: store.commit([], writes, token=tokens()),  # noqa: B023
            )
            assert list(store.scan((), limit=10)) == before, f"{value!r} + {delta}: something was written"


def wrong_arguments_are_refused(make: MakeStore) -> None:
    """Arguments out of bounds are `ValueError`, and no write is applied."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        put(store, tokens, {("a",): b"1"})
        before = list(store.scan((), limit=10))
        fine = Put(("new",), b"x")
        for case, call in (*_wrong_reads(store), *_wrong_commits(store, fine, tokens)):
            expect_refusal(ValueError, case, call)
            assert list(store.scan((), limit=10)) == before, f"{case}: something was written"


def _wrong_reads(store: KvStore) -> list[tuple[str, Callable[[], object]]]:
    key = ("a",)
    return [
        ("get of an empty key", lambda: store.get([()])),
        ("get of a lone surrogate", lambda: store.get([key, ("\ud800",)])),
        ("get of 17 parts", lambda: store.get([("x",) * (KEY_PARTS_MAX + 1)])),
        ("get of a long key", lambda: store.get([("x" * KEY_BYTES_MAX,)])),
        ("get of a long key of NULs", lambda: store.get([("\x00" * (KEY_BYTES_MAX // 2),)])),
        ("get of 101 keys", lambda: store.get([key] * (GET_KEYS_MAX + 1))),
        ("a scan for nothing", lambda: store.scan(key, limit=0)),
        ("a scan for less", lambda: store.scan(key, limit=-1)),
        ("a scan for too many", lambda: store.scan(key, limit=SCAN_LIMIT_MAX + 1)),
        ("a scan below a lone surrogate", lambda: store.scan(("\udfff",), limit=1)),
        ("a scan after a lone surrogate", lambda: store.scan((), after=("\udfff",), limit=1)),
        ("a scan after no key", lambda: store.scan((), after=(), limit=1)),
    ]


def _wrong_commits(store: KvStore, fine: Put, tokens: Tokens) -> list[tuple[str, Callable[[], object]]]:
    key = ("a",)
    big = b"x" * VALUE_BYTES_MAX

    def commit(checks: Sequence[Check], writes: Sequence[Write], token: bytes | None = None) -> Callable[[], object]:
        return lambda: store.commit(checks, writes, token=tokens() if token is None else token)

    return [
        ("a short token", commit([], [fine], b"x" * 15)),
        ("a long token", commit([], [fine], b"x" * 17)),
        ("a version of 15 bytes", commit([Check(key, b"x" * 15)], [fine])),
        ("a key twice among checks", commit([Check(("g",), None), Check(("g",), None)], [fine])),
        ("a key twice among writes", commit([], [fine, DeleteEntry(fine.key)])),
        ("an empty key", commit([], [fine, DeleteEntry(())])),
        ("a lone surrogate written", commit([], [fine, Put(("\ud800",), b"")])),
        ("a lone surrogate checked", commit([Check(("a\udc00",), None)], [fine])),
        ("a value over 2 MiB", commit([], [fine, Put(key, big + b"x")])),
        ("over 8 MiB", commit([], [fine, *(Put((str(part),), big) for part in range(4))])),
        ("101 keys written", commit([], [Put((str(number),), b"") for number in range(101)])),
        ("101 keys, checked and written", commit([Check(("g", str(number)), None) for number in range(100)], [fine])),
        ("a delta beyond 64 bits", commit([], [fine, Increment(("n",), 2**63)])),
        ("a delta below 64 bits", commit([], [fine, Increment(("n",), -(2**63) - 1)])),
        ("a time to live of 0", commit([], [fine, Put(key, b"", 0)])),
        ("a negative time to live", commit([], [fine, Put(key, b"", -1)])),
        ("an endless time to live", commit([], [fine, Put(key, b"", float("inf"))])),
        ("a time to live that is no number", commit([], [fine, Put(key, b"", float("nan"))])),
    ]


def bounds_are_reached(make: MakeStore) -> None:
    """The bounds themselves are allowed: 100 keys, 2 MiB per value, 8 MiB per commit, 1,000 entries per scan."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        keys: list[StoreKey] = [("k", f"{number:03}") for number in range(COMMIT_KEYS_MAX)]
        assert store.commit(
            [Check(key, None) for key in keys], [Put(key, key[1].encode()) for key in keys], token=tokens()
        )
        assert [entry and entry.value for entry in store.get(keys)] == [key[1].encode() for key in keys]
        assert len(store.scan((), limit=SCAN_LIMIT_MAX)) == COMMIT_KEYS_MAX
        big: list[StoreKey] = [("big", str(number)) for number in range(4)]
        room = COMMIT_BYTES_MAX - sum(len(encode_key(key)) for key in big) - 3 * VALUE_BYTES_MAX
        values = [b"\xff" * VALUE_BYTES_MAX] * 3 + [b"\x00" * room]
        assert store.commit([], [Put(key, value) for key, value in zip(big, values, strict=True)], token=tokens())
        assert [entry and entry.value for entry in store.get(big)] == values


def guarded_commits_may_be_repeated(make: MakeStore) -> None:
    """A guarded commit that is repeated with its token is applied once.

    The repetition returns True, or False with the token as the version of its guard.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        version: bytes | None = None
        for _step in range(3):
            token = tokens()
            checks = [Check(("a",), version)]
            writes: list[Write] = [Put(("a",), b"v"), Increment(("n",), 1)]
            assert store.commit(checks, writes, token=token) is True
            assert store.commit(checks, writes, token=token) is False
            [entry] = store.get([("a",)])
            assert entry is not None
            assert entry.version == token
            version = token
        assert value_of(store, ("n",)) == b"3"


def lost_answers_are_recovered(make: MakeStore) -> None:
    """After any lost answer, one repetition of a guarded commit reports the truth, and it was applied once.

    This holds even if the lost attempt is applied late.
    """
    for fate in AnswerFate:
        with open_closing(make) as (store, _):
            tokens, losing = Tokens(), LosingStore(store, _every_other(fate))
            version: bytes | None = None
            for _step in range(6):
                token = tokens()
                checks = [Check(("a",), version)]
                writes: list[Write] = [Put(("a",), b"v"), Increment(("n",), 1)]
                assert _committed(losing, checks, writes, token), f"{fate.name}: recognised as not done"
                version = token
            losing.close()  # carries out the delayed call
            assert value_of(store, ("n",)) == b"6", f"{fate.name}: a commit was applied twice, or not at all"


def _every_other(fate: AnswerFate) -> Callable[[str], AnswerFate]:
    fates = cycle((fate, AnswerFate.ANSWERED))
    return lambda _name: next(fates)


def _committed(store: KvStore, checks: Sequence[Check], writes: Sequence[Write], token: bytes) -> bool:
    try:
        return store.commit(checks, writes, token=token)
    except StoreUnavailable as first_error:
        if first_error.outcome == "nothing":
            raise
    if store.commit(checks, writes, token=token):
        return True
    [entry] = store.get([checks[0].key])
    return entry is not None and entry.version == token


COMMITTING: Final = (
    version_is_the_token,
    checks_decide,
    false_writes_nothing,
    versions_never_return,
    delete_of_nothing_is_fine,
    nothing_to_write_is_fine,
    adds_add,
    impossible_adds_are_refused,
    wrong_arguments_are_refused,
    bounds_are_reached,
    guarded_commits_may_be_repeated,
    lost_answers_are_recovered,
)
