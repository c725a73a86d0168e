"""Check how a store reads: order, prefixes, pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from apcore.ports import (
    SCAN_LIMIT_MAX,
    KvStore,
    StoreKey,
)
from apcore.testing._shorthand import keys_under, put
from apcore.testing.conformance import ManualClock, Tokens, open_closing
from apcore.testing.store_model import AWKWARD_KEYS

MakeStore: TypeAlias = Callable[[ManualClock], KvStore]

__all__ = ["READING"]


def answers_as_asked(make: MakeStore) -> None:
    """``get`` returns one result per key, in order, also for a repeated key."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        put(store, tokens, {("a",): b"1", ("b",): b"2"})
        answers = store.get([("b",), ("gone",), ("a",), ("b",)])
        assert [answer.value if answer else None for answer in answers] == [b"2", None, b"1", b"2"]
        assert [answer.key for answer in answers if answer] == [("b",), ("a",), ("b",)]
        assert list(store.get([])) == [], "no keys, no answers"


def any_bytes_and_any_key(make: MakeStore) -> None:
    """Values are any bytes and keys any strings: NUL, empty, all planes, 16 parts, 1,024 bytes.

    None is mistaken for another.
    """
    with open_closing(make) as (store, _):
        tokens = Tokens()
        values = {key: bytes([number]) * number for number, key in enumerate(AWKWARD_KEYS)}
        values["bytes",] = bytes(range(256)) * 2
        for key, value in values.items():
            put(store, tokens, {key: value})
        for key, value in values.items():
            [entry] = store.get([key])
            assert entry is not None, f"{key!r:.80} was put and is absent"
            assert (entry.key, entry.value) == (key, value)
        assert [entry.key for entry in store.scan((), limit=SCAN_LIMIT_MAX)] == sorted(values)


def order_is_by_code_point(make: MakeStore) -> None:
    """Keys are in Python's tuple order: by code point, with no locale, and not as UTF-16."""
    texts = ("", "\x00", "\x00a", "A", "B", "a", "a\x00", "aa", "z", "é", "ß", "\uffff", "\U00010000")
    keys: list[StoreKey] = [
        ("a", ""),
        ("a", "\x00"),
        ("a", "b"),
        ("a", "b", ""),
        ("aa", "a"),
        *((text,) for text in texts),
    ]
    with open_closing(make) as (store, _):
        put(store, Tokens(), dict.fromkeys(keys, b""))
        assert [entry.key for entry in store.scan((), limit=100)] == sorted(keys)
        assert [entry.key for entry in store.scan((), limit=100, reverse=True)] == sorted(keys, reverse=True)


def scan_takes_strict_extensions(make: MakeStore) -> None:
    """``scan`` returns the entries under the prefix, and not the prefix itself.

    A key that merely starts with the characters of the prefix is not under it.
    """
    with open_closing(make) as (store, _):
        beside: list[StoreKey] = [
            ("p",),
            ("p\x00",),
            ("p\x00", "x"),
            ("pp", "x"),
            ("o", "p"),
            ("q",),
            ("", "p"),
            ("p\U0010ffff", "x"),
        ]
        under: list[StoreKey] = [
            ("p", ""),
            ("p", "\x00"),
            ("p", "\x00", ""),
            ("p", "x"),
            ("p", "x", "y"),
            ("p", "\U0010ffff"),
        ]
        put(store, Tokens(), dict.fromkeys([*beside, *under], b"v"))
        assert keys_under(store, ("p",)) == under
        assert keys_under(store, ("p", "x")) == [("p", "x", "y")]
        assert keys_under(store, ("p", "x", "y")) == []
        assert keys_under(store, ("absent",)) == []


def after_is_exclusive(make: MakeStore) -> None:
    """``after`` is exclusive in scan direction, need not exist, and may lie outside the prefix."""
    with open_closing(make) as (store, _):
        keys: list[StoreKey] = [("a", "x"), ("p", "b"), ("p", "d"), ("p", "f"), ("z", "x")]
        put(store, Tokens(), dict.fromkeys(keys, b""))

        def parts(after: StoreKey, *, reverse: bool = False) -> str:
            page = store.scan(("p",), after=after, limit=10, reverse=reverse)
            return "".join(entry.key[1] for entry in page)

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


def fewer_than_limit_is_the_end(make: MakeStore) -> None:
    """``scan`` returns ``limit`` entries while there are as many; fewer means the end."""
    with open_closing(make) as (store, _):
        put(store, Tokens(), {("p", f"{number:02}"): b"" for number in range(7)})
        for limit in (1, 3, 7, 8, SCAN_LIMIT_MAX):
            for reverse in (False, True):
                keys: list[StoreKey] = []
                for _page in range(9):  # a faulty store may have no end
                    page = store.scan(("p",), after=keys[-1] if keys else None, limit=limit, reverse=reverse)
                    keys += [entry.key for entry in page]
                    if len(page) < limit:
                        break
                    assert len(page) == limit, f"{len(page)} entries for a limit of {limit}"
                assert [key[1] for key in keys] == sorted((f"{number:02}" for number in range(7)), reverse=reverse)


def paging_while_others_write(make: MakeStore) -> None:
    """Over several scans, a key that stays occurs exactly once, and no key twice, regardless of other writes."""
    with open_closing(make) as (store, _):
        tokens = Tokens()
        staying: list[StoreKey] = [("p", f"{number:02}") for number in range(0, 40, 2)]
        put(store, tokens, dict.fromkeys(staying, b""))
        keys: list[StoreKey] = []
        for step in range(40):
            page = store.scan(("p",), after=keys[-1] if keys else None, limit=3)
            keys += [entry.key for entry in page]
            changed = step if step % 2 == 0 else 40 - step
            put(store, tokens, {("p", f"{changed:02}"): b"written in between"})
            if len(page) < 3:
                break
        assert len(set(keys)) == len(keys), "a key came twice"
        assert set(staying) <= set(keys), "a key that stayed did not come"


READING: Final = (
    answers_as_asked,
    any_bytes_and_any_key,
    order_is_by_code_point,
    scan_takes_strict_extensions,
    after_is_exclusive,
    fewer_than_limit_is_the_end,
    paging_while_others_write,
)
