"""The conformance suite for `KvStore`: what `apcore.ports.store` says, point by point, for anyone's adapter.

`store_checks` gives the suite, `check_store` runs all of it. How to run it, for event loops too, stands in `apcore.testing.conformance`.

The last check plays random batches against a model that is a plain dict; the others each hold one sentence, and say it when they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from apcore.errors import ContractError
from apcore.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    GET_KEYS_MAX,
    KEY_BYTES_MAX,
    KEY_PARTS_MAX,
    SCAN_LIMIT_MAX,
    VALUE_BYTES_MAX,
    Add,
    Check,
    Delete,
    Entry,
    Key,
    KvStore,
    Put,
    Write,
    encode_key,
)
from apcore.testing.conformance import Conformance, ManualClock, Tokens, conformance, opened, refusing
from apcore.testing.store_model import AWKWARD_KEYS, play_store

__all__ = ["check_store", "store_checks"]

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

EXAMPLES: Final = 40
"""Histories that the state machine plays by default."""


def store_checks(*, moves_clock: bool = True, examples: int = EXAMPLES) -> tuple[Conformance[KvStore], ...]:
    """Give the suite.

    Args:
        moves_clock: Whether the adapter runs by the clock that the factory is given; False leaves out what would need that.
        examples: How many random histories to play.
    """

    def agrees_with_the_model(make: MakeStore) -> None:
        """Whatever is asked in whatever order, the answers are those of a plain dict."""
        play_store(make, moves_clock=moves_clock, examples=examples)

    runs = (*_PLAIN, *(_TIMED if moves_clock else ()), agrees_with_the_model)
    return tuple(conformance(run) for run in runs)


def check_store(make: MakeStore, /, *, moves_clock: bool = True) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in store_checks(moves_clock=moves_clock):
        check(make)


# --- reading --------------------------------------------------------------------------------------------------------


def _answers_as_asked(make: MakeStore) -> None:
    """``get`` gives one answer per key, in the order asked, also for a key asked twice."""
    with opened(make) as (store, _):
        tokens = Tokens()
        _put(store, tokens, {("a",): b"1", ("b",): b"2"})
        answers = store.get([("b",), ("gone",), ("a",), ("b",)])
        assert [answer.value if answer else None for answer in answers] == [b"2", None, b"1", b"2"]
        assert [answer.key for answer in answers if answer] == [("b",), ("a",), ("b",)]
        assert list(store.get([])) == [], "no keys, no answers"


def _any_bytes_and_any_key(make: MakeStore) -> None:
    """Values are any bytes, keys any strings: NUL, empty, all planes, 16 parts, 1,024 bytes; none is taken for another."""
    with opened(make) as (store, _):
        tokens = Tokens()
        values = {key: bytes([number]) * number for number, key in enumerate(AWKWARD_KEYS)}
        values["bytes",] = bytes(range(256)) * 2
        for key, value in values.items():
            _put(store, tokens, {key: value})
        for key, value in values.items():
            [entry] = store.get([key])
            assert entry is not None, f"{key!r:.80} was put and is absent"
            assert (entry.key, entry.value) == (key, value)
        assert [entry.key for entry in store.scan((), limit=SCAN_LIMIT_MAX)] == sorted(values)


def _order_is_by_code_point(make: MakeStore) -> None:
    """Keys are in Python's tuple order: by code point, with no locale, and not as UTF-16."""
    texts = ("", "\x00", "\x00a", "A", "B", "a", "a\x00", "aa", "z", "é", "ß", "\uffff", "\U00010000")
    keys: list[Key] = [("a", ""), ("a", "\x00"), ("a", "b"), ("a", "b", ""), ("aa", "a"), *((text,) for text in texts)]
    with opened(make) as (store, _):
        _put(store, Tokens(), dict.fromkeys(keys, b""))
        assert [entry.key for entry in store.scan((), limit=100)] == sorted(keys)
        assert [entry.key for entry in store.scan((), limit=100, reverse=True)] == sorted(keys, reverse=True)


def _scan_takes_strict_extensions(make: MakeStore) -> None:
    """``scan`` takes what lies under the prefix: not the prefix itself, not what merely starts with the same characters."""
    with opened(make) as (store, _):
        beside: list[Key] = [
            ("p",),
            ("p\x00",),
            ("p\x00", "x"),
            ("pp", "x"),
            ("o", "p"),
            ("q",),
            ("", "p"),
            ("p\U0010ffff", "x"),
        ]
        under: list[Key] = [
            ("p", ""),
            ("p", "\x00"),
            ("p", "\x00", ""),
            ("p", "x"),
            ("p", "x", "y"),
            ("p", "\U0010ffff"),
        ]
        _put(store, Tokens(), dict.fromkeys([*beside, *under], b"v"))
        assert _scanned(store, ("p",)) == under
        assert _scanned(store, ("p", "x")) == [("p", "x", "y")]
        assert _scanned(store, ("p", "x", "y")) == []
        assert _scanned(store, ("absent",)) == []


def _after_is_exclusive(make: MakeStore) -> None:
    """``after`` is exclusive in scan direction, need not exist, and may lie outside the prefix."""
    with opened(make) as (store, _):
        keys: list[Key] = [("a", "x"), ("p", "b"), ("p", "d"), ("p", "f"), ("z", "x")]
        _put(store, Tokens(), dict.fromkeys(keys, b""))

        def parts(after: Key, *, reverse: bool = False) -> str:
            found = store.scan(("p",), after=after, limit=10, reverse=reverse)
            return "".join(entry.key[1] for entry in found)

        assert parts(("p", "b")) == "df"
        assert parts(("p", "c")) == "df"
        assert parts(("p", "f")) == ""
        assert parts(("p",)) == "bdf"
        assert parts(("a", "x")) == "bdf", "after a key before the prefix"
        assert parts(("z", "x")) == "", "after a key behind the prefix"
        assert parts(("p", "f"), reverse=True) == "db"
        assert parts(("p", "e"), reverse=True) == "db"
        assert parts(("p", "b"), reverse=True) == ""
        assert parts(("z", "x"), reverse=True) == "fdb", "in reverse, after a key behind the prefix"
        assert parts(("a", "x"), reverse=True) == "", "in reverse, after a key before the prefix"


def _fewer_than_limit_is_the_end(make: MakeStore) -> None:
    """``scan`` gives ``limit`` entries while there are as many; fewer means the end."""
    with opened(make) as (store, _):
        _put(store, Tokens(), {("p", f"{number:02}"): b"" for number in range(7)})
        for limit in (1, 3, 7, 8, SCAN_LIMIT_MAX):
            for reverse in (False, True):
                seen: list[Key] = []
                while True:
                    page = store.scan(("p",), after=seen[-1] if seen else None, limit=limit, reverse=reverse)
                    seen += [entry.key for entry in page]
                    if len(page) < limit:
                        break
                    assert len(page) == limit, f"{len(page)} entries for a limit of {limit}"
                assert [key[1] for key in seen] == sorted((f"{number:02}" for number in range(7)), reverse=reverse)


def _paging_while_others_write(make: MakeStore) -> None:
    """Over several scans, a key that stays comes exactly once, and no key twice, whatever is written in between."""
    with opened(make) as (store, _):
        tokens = Tokens()
        staying: list[Key] = [("p", f"{number:02}") for number in range(0, 40, 2)]
        _put(store, tokens, dict.fromkeys(staying, b""))
        seen: list[Key] = []
        for step in range(40):
            page = store.scan(("p",), after=seen[-1] if seen else None, limit=3)
            seen += [entry.key for entry in page]
            changed = step if step % 2 == 0 else 40 - step
            _put(store, tokens, {("p", f"{changed:02}"): b"written in between"})
            if len(page) < 3:
                break
        assert len(set(seen)) == len(seen), "a key came twice"
        assert set(staying) <= set(seen), "a key that stayed did not come"


# --- committing -----------------------------------------------------------------------------------------------------


def _version_is_the_token(make: MakeStore) -> None:
    """Every entry that a commit wrote has its token as version, in ``get`` and in ``scan``; a Put or an Add replaces it."""
    with opened(make) as (store, _):
        tokens = Tokens()
        first, second = tokens(), tokens()
        assert store.commit([], [Put(("a",), b"1"), Add(("b",), 1), Put(("c",), b"")], token=first)
        assert store.commit([], [Put(("a",), b"1"), Add(("b",), 0)], token=second)
        versions = {entry.key[0]: entry.version for entry in store.scan((), limit=10)}
        assert versions == {"a": second, "b": second, "c": first}
        assert [entry and entry.version for entry in store.get([("a",), ("c",)])] == [second, first]


def _checks_decide(make: MakeStore) -> None:
    """A check holds if the version is current, or if the key is absent; it counts equally for keys that are not written."""
    with opened(make) as (store, _):
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
            assert store.commit([], [Delete(("other",))], token=tokens())


def _false_writes_nothing(make: MakeStore) -> None:
    """A commit that answers False has changed nothing, whatever it would have written."""
    with opened(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [Put(("a",), b"1"), Put(("b",), b"2"), Add(("n",), 7)], token=tokens())
        before = list(store.scan((), limit=100))
        writes: list[Write] = [Put(("a",), b"x"), Put(("new",), b"x"), Delete(("b",)), Add(("n",), 1), Add(("m",), 1)]
        assert store.commit([Check(("a",), tokens())], writes, token=tokens()) is False
        assert list(store.scan((), limit=100)) == before
        bad: list[Write] = [Add(("a",), 1), Add(("b",), -(2**63))]
        assert store.commit([Check(("gone",), tokens())], bad, token=tokens()) is False, (
            "what is not applied cannot be wrong"
        )
        assert list(store.scan((), limit=100)) == before


def _versions_never_return(make: MakeStore) -> None:
    """A version is gone for good when its entry is replaced or deleted, also if the same value comes back."""
    with opened(make) as (store, _):
        tokens = Tokens()
        first = tokens()
        assert store.commit([], [Put(("a",), b"v")], token=first)
        assert store.commit([], [Delete(("a",))], token=tokens())
        assert store.commit([Check(("a",), first)], [], token=tokens()) is False
        assert store.commit([Check(("a",), None)], [Put(("a",), b"v")], token=tokens())
        assert store.commit([Check(("a",), first)], [], token=tokens()) is False


def _delete_of_nothing_is_fine(make: MakeStore) -> None:
    """Deleting what is absent is fine, and leaves it absent."""
    with opened(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [Delete(("gone",)), Put(("a",), b"")], token=tokens())
        assert store.commit([Check(("gone",), None)], [Delete(("gone",))], token=tokens())
        assert _scanned(store, ()) == [("a",)]


def _nothing_to_write_is_fine(make: MakeStore) -> None:
    """A commit may check without writing, write without checking, and do neither."""
    with opened(make) as (store, _):
        tokens = Tokens()
        assert store.commit([], [], token=tokens()) is True
        assert store.commit([Check(("gone",), None)], [], token=tokens()) is True
        assert _scanned(store, ()) == []


def _adds_add(make: MakeStore) -> None:
    """``Add`` counts in signed 64-bit decimals; absent counts as 0; a Put decimal is a counter, a deleted one starts anew."""
    with opened(make) as (store, _):
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
            assert store.commit([], [Delete(("n",)) if start is None else Put(("n",), start)], token=tokens())
            assert store.commit([], [Add(("n",), delta)], token=tokens())
            assert _value(store, ("n",)) == total, f"{start!r} + {delta}"


def _impossible_adds_are_refused(make: MakeStore) -> None:
    """``Add`` to what is no counter, or beyond 64 bits, is a `ContractError`, and nothing of the commit is written."""
    with opened(make) as (store, _):
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
            writes: list[Write] = [Put(("a",), b"1"), Add(("m",), 1), Add(("n",), delta), Delete(("n2",))]
            refusing(ContractError, f"{value!r} + {delta}", lambda: store.commit([], writes, token=tokens()))  # noqa: B023
            assert list(store.scan((), limit=10)) == before, f"{value!r} + {delta}: something was written"


def _wrong_arguments_are_refused(make: MakeStore) -> None:
    """Arguments out of bounds are `ValueError`, and nothing is written."""
    with opened(make) as (store, _):
        tokens = Tokens()
        _put(store, tokens, {("a",): b"1"})
        before = list(store.scan((), limit=10))
        fine = Put(("new",), b"x")
        for what, call in (*_wrong_reads(store), *_wrong_commits(store, fine, tokens)):
            refusing(ValueError, what, call)
            assert list(store.scan((), limit=10)) == before, f"{what}: something was written"


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
        ("a key twice among writes", commit([], [fine, Delete(fine.key)])),
        ("an empty key", commit([], [fine, Delete(())])),
        ("a lone surrogate written", commit([], [fine, Put(("\ud800",), b"")])),
        ("a lone surrogate checked", commit([Check(("a\udc00",), None)], [fine])),
        ("a value over 2 MiB", commit([], [fine, Put(key, big + b"x")])),
        ("over 8 MiB", commit([], [fine, *(Put((str(part),), big) for part in range(4))])),
        ("101 keys written", commit([], [Put((str(number),), b"") for number in range(101)])),
        ("101 keys, checked and written", commit([Check(("g", str(number)), None) for number in range(100)], [fine])),
        ("a delta beyond 64 bits", commit([], [fine, Add(("n",), 2**63)])),
        ("a delta below 64 bits", commit([], [fine, Add(("n",), -(2**63) - 1)])),
        ("a time to live of 0", commit([], [fine, Put(key, b"", 0)])),
        ("a negative time to live", commit([], [fine, Put(key, b"", -1)])),
        ("an endless time to live", commit([], [fine, Put(key, b"", float("inf"))])),
        ("a time to live that is no number", commit([], [fine, Put(key, b"", float("nan"))])),
    ]


def _bounds_are_reached(make: MakeStore) -> None:
    """The bounds themselves are allowed: 100 keys, 2 MiB a value, 8 MiB a commit, 1,000 entries a scan."""
    with opened(make) as (store, _):
        tokens = Tokens()
        keys: list[Key] = [("k", f"{number:03}") for number in range(COMMIT_KEYS_MAX)]
        assert store.commit(
            [Check(key, None) for key in keys], [Put(key, key[1].encode()) for key in keys], token=tokens()
        )
        assert [entry and entry.value for entry in store.get(keys)] == [key[1].encode() for key in keys]
        assert len(store.scan((), limit=SCAN_LIMIT_MAX)) == COMMIT_KEYS_MAX
        big: list[Key] = [("big", str(number)) for number in range(4)]
        room = COMMIT_BYTES_MAX - sum(len(encode_key(key)) for key in big) - 3 * VALUE_BYTES_MAX
        values = [b"\xff" * VALUE_BYTES_MAX] * 3 + [b"\x00" * room]
        assert store.commit([], [Put(key, value) for key, value in zip(big, values, strict=True)], token=tokens())
        assert [entry and entry.value for entry in store.get(big)] == values


def _guarded_commits_may_be_repeated(make: MakeStore) -> None:
    """A guarded commit, repeated under its token, is applied once: True, or False with its key's version equal to the token."""
    with opened(make) as (store, _):
        tokens = Tokens()
        version: bytes | None = None
        for _step in range(3):
            token = tokens()
            checks = [Check(("a",), version)]
            writes: list[Write] = [Put(("a",), b"v"), Add(("n",), 1)]
            assert store.commit(checks, writes, token=token) is True
            assert store.commit(checks, writes, token=token) is False
            [entry] = store.get([("a",)])
            assert entry is not None
            assert entry.version == token
            version = token
        assert _value(store, ("n",)) == b"3"


# --- the adapter ----------------------------------------------------------------------------------------------------


def _closing_is_not_the_end(make: MakeStore) -> None:
    """Closing twice is fine, a later call opens again; what was committed is there unless durability is ``none``."""
    with opened(make) as (store, _):
        tokens = Tokens()
        _put(store, tokens, {("a",): b"1"})
        store.close()
        store.close()
        entries = store.get([("a",)])
        assert len(entries) == 1
        assert store.durability in ("power", "process", "none")
        assert store.durability == "none" or entries[0] is not None
        _put(store, tokens, {("b",): b"2"})
        assert _value(store, ("b",)) == b"2"


def _threads_may_share_it(make: MakeStore) -> None:
    """From several threads at once, no Add is lost, each claim has one winner, and a swap never loses another's."""
    workers, rounds = 4, 15

    def work(worker: int) -> int:
        won = 0
        for step in range(rounds):
            token = f"{worker:08}{step:08}".encode()
            won += store.commit(
                [Check(("claim", str(step)), None)], [Put(("claim", str(step)), b"%d" % worker)], token=token
            )
            assert store.commit([], [Add(("adds",), 1)], token=b"a" + token[1:])
            while not _swap(store, ("swaps",), token=b"s" + token[1:]):
                pass
        return won

    with opened(make) as (store, _), ThreadPoolExecutor(workers) as pool:
        assert sum(pool.map(work, range(workers))) == rounds, "claims and winners differ in number"
        assert _value(store, ("adds",)) == b"%d" % (workers * rounds), "an Add was lost, or counted twice"
        assert _value(store, ("swaps",)) == b"x" * (workers * rounds), "a swap was lost"


def _swap(store: KvStore, key: Key, *, token: bytes) -> bool:
    [entry] = store.get([key])
    value = entry.value if entry else b""
    return store.commit([Check(key, entry.version if entry else None)], [Put(key, value + b"x")], token=token)


# --- time -----------------------------------------------------------------------------------------------------------


def _expired_is_absent(make: MakeStore) -> None:
    """An expired entry is absent to get, scan, checks and Add, and its version does not return."""
    with opened(make) as (store, clock):
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
        assert _scanned(store, ("p",)) == [("p", "long"), ("p", "n"), ("p", "short"), ("p", "stays")]
        assert store.commit([Check(("p", "short"), token)], [], token=tokens())
        clock.advance(2)
        assert list(store.get([("p", "short")])) == [None]
        assert _scanned(store, ("p",)) == [("p", "long"), ("p", "stays")]
        assert [entry.key[1] for entry in store.scan(("p",), limit=2, reverse=True)] == ["stays", "long"]
        assert store.commit([Check(("p", "short"), token)], [], token=tokens()) is False
        assert store.commit([Check(("p", "short"), None)], [Put(("p", "short"), b"1")], token=tokens())
        assert store.commit([Check(("p", "short"), token)], [], token=tokens()) is False, "the version came back"
        assert store.commit([Check(("p", "n"), None)], [Add(("p", "n"), 2)], token=tokens())
        assert _value(store, ("p", "n")) == b"2", "an expired counter was counted on"
        clock.advance(1_000_000)
        assert _scanned(store, ("p",)) == [("p", "n"), ("p", "short"), ("p", "stays")]


def _put_replaces_the_time_to_live(make: MakeStore) -> None:
    """Put sets the time to live anew or takes it away, and a counter does not expire."""
    with opened(make) as (store, clock):
        tokens = Tokens()
        for name in ("freed", "longer", "shorter", "counted"):
            assert store.commit([], [Put((name,), b"1", 61)], token=tokens())
        writes: list[Write] = [
            Put(("freed",), b"2"),
            Put(("longer",), b"2", 121),
            Put(("shorter",), b"2", 31),
            Add(("counted",), 1),
        ]
        assert store.commit([], writes, token=tokens())
        clock.advance(32)
        assert _scanned(store, ()) == [("counted",), ("freed",), ("longer",)]
        clock.advance(30)
        assert _scanned(store, ()) == [("counted",), ("freed",), ("longer",)]
        clock.advance(60)
        assert _scanned(store, ()) == [("counted",), ("freed",)]
        assert _value(store, ("counted",)) == b"2"


def _expired_entries_hide_nothing(make: MakeStore) -> None:
    """A scan across many expired entries still finds what lies behind them, and a full page is full."""
    with opened(make) as (store, clock):
        tokens = Tokens()
        for batch in range(3):
            assert store.commit(
                [], [Put(("p", f"{batch}{number:03}"), b"", 11) for number in range(100)], token=tokens()
            )
        _put(store, tokens, {("p", "9a"): b"", ("p", "9b"): b"", ("p", ""): b""})
        clock.advance(12)
        assert _scanned(store, ("p",)) == [("p", ""), ("p", "9a"), ("p", "9b")]
        assert [entry.key[1] for entry in store.scan(("p",), limit=2)] == ["", "9a"]
        assert [entry.key[1] for entry in store.scan(("p",), limit=3, reverse=True)] == ["9b", "9a", ""]
        for _step in range(40):  # room for reclaiming; nothing alive may go with it
            _put(store, tokens, {("p", "9b"): b"still"})
        assert _scanned(store, ("p",)) == [("p", ""), ("p", "9a"), ("p", "9b")]


# --- the suite ------------------------------------------------------------------------------------------------------


def _put(store: KvStore, tokens: Tokens, values: dict[Key, bytes]) -> None:
    assert store.commit([], [Put(key, value) for key, value in values.items()], token=tokens())


def _value(store: KvStore, key: Key) -> bytes | None:
    [entry] = store.get([key])
    return entry.value if entry else None


def _scanned(store: KvStore, prefix: Key) -> list[Key]:
    entries: Sequence[Entry] = store.scan(prefix, limit=SCAN_LIMIT_MAX)
    return [entry.key for entry in entries]


_PLAIN: Final = (
    _answers_as_asked,
    _any_bytes_and_any_key,
    _order_is_by_code_point,
    _scan_takes_strict_extensions,
    _after_is_exclusive,
    _fewer_than_limit_is_the_end,
    _paging_while_others_write,
    _version_is_the_token,
    _checks_decide,
    _false_writes_nothing,
    _versions_never_return,
    _delete_of_nothing_is_fine,
    _nothing_to_write_is_fine,
    _adds_add,
    _impossible_adds_are_refused,
    _wrong_arguments_are_refused,
    _bounds_are_reached,
    _guarded_commits_may_be_repeated,
    _closing_is_not_the_end,
    _threads_may_share_it,
)
_TIMED: Final = (_expired_is_absent, _put_replaces_the_time_to_live, _expired_entries_hide_nothing)
