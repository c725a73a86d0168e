"""Play random histories of a `KvStore` beside a model, which is a plain dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from attrs import frozen
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from apcore.errors import ContractError
from apcore.ports import Check, DeleteEntry, Entry, Increment, KvStore, Put, StoreKey, Write
from apcore.testing.conformance import ManualClock, Tokens, machine_settings

__all__ = ["AWKWARD_KEYS", "play_store"]

AWKWARD_KEYS: Final[tuple[StoreKey, ...]] = (
    ("A", "b"),
    ("a", "b"),
    ("a", "b", "c"),
    ("a",),
    ("a", ""),
    ("a", "\x00"),
    ("a\x00",),
    ("a\x00", "b"),
    ("aa", "b"),
    ("a\x00b",),
    ("a", "\x01"),
    ("a", "\x00\x00"),
    ("\x00", ""),
    ("\x00",),
    ("",),
    ("", ""),
    ("", "\x00"),
    ("\x7f",),
    ("\x80", "é"),
    ("é",),
    ("e\u0301",),
    ("\ud7ff",),
    ("\uffff",),
    ("\U00010000",),
    ("\ue000",),
    ("\U0010ffff", "\U0010ffff"),
    ("\x00" * 511,),
    ("x" * 1023,),
    ("x" * 1021, ""),
    ("p",) * 16,
)
"""Keys that an encoding may confuse or misplace, beside those that they may be confused with. Three have the maximum
length.
"""

_HowChecked = Literal["as it is", "absent", "as it was", "as it never was"]


@frozen
class _Record:
    """The model's record of a key."""

    value: bytes
    version: bytes
    expires: float | None


def play_store(make: Callable[[ManualClock], KvStore], /, *, moves_clock: bool, examples: int) -> None:
    """Play ``examples`` random histories. A failing one is shrunk and printed step by step."""

    class Machine(_StoreMachine):
        def __init__(self) -> None:
            super().__init__(make, moves_clock=moves_clock)

    run_state_machine_as_test(Machine, settings=machine_settings(examples))


# A history has few keys, so that its commits collide; some are neighbours, so that they may be confused.
_pool = st.shared(
    st.tuples(st.integers(0, len(AWKWARD_KEYS) - 1), st.integers(2, 5)).map(
        lambda drawn: (AWKWARD_KEYS * 2)[drawn[0] : sum(drawn)]
    ),
    key="keys",
)
_keys = _pool.flatmap(st.sampled_from)
_prefixes = _pool.flatmap(lambda keys: st.sampled_from([(), (), *keys, *(key[:-1] for key in keys), ("absent",)]))
_lifetimes = st.one_of(st.none(), st.sampled_from((1, 3, 11, 101)))
_values = st.one_of(st.sampled_from((b"", b"0", b"-7", b"9223372036854775807")), st.binary(max_size=20))
_deltas = st.one_of(st.integers(-3, 3), st.sampled_from((2**63 - 1, -(2**63))))
_writes = st.one_of(
    st.builds(Put, _keys, _values, _lifetimes),
    st.builds(Put, _keys, _values),
    st.builds(DeleteEntry, _keys),
    st.builds(Increment, _keys, _deltas),
)
_how_checked = st.sampled_from(("as it is", "as it is", "as it is", "absent", "as it was", "as it never was"))


class _StoreMachine(RuleBasedStateMachine):
    """The store and the model, side by side."""

    def __init__(self, make: Callable[[ManualClock], KvStore], *, moves_clock: bool) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.moves_clock = moves_clock
        self.store = make(self.clock)
        self.tokens = Tokens()
        self.past: list[bytes] = []
        self.model: dict[StoreKey, _Record] = {}

    def teardown(self) -> None:
        """Compare everything once more, and close."""
        try:
            assert list(self.store.scan((), limit=1000)) == self._expected(lambda _key: True)
        finally:
            self.store.close()

    @rule(
        checked=st.lists(st.tuples(_keys, _how_checked), max_size=3, unique_by=lambda check: check[0]),
        writes=st.lists(_writes, max_size=5, unique_by=lambda write: write.key),
        again=st.booleans(),
    )
    def commit(self, checked: list[tuple[StoreKey, _HowChecked]], writes: list[Write], *, again: bool) -> None:
        """Commit. If the commit is guarded, perhaps repeat it with its token, as after a lost answer."""
        checks = [Check(key, self._version(key, how)) for key, how in checked]
        token = self.tokens()
        expected = self._apply(checks, writes, token)
        answer: bool | type[Exception]
        try:
            answer = self.store.commit(checks, writes, token=token)
        except ContractError as error:
            answer = type(error)
        assert answer == expected, f"commit returned {answer}, expected {expected}"
        if again and answer is True and {check.key for check in checks} & {w.key for w in writes if isinstance(w, Put)}:
            assert self.store.commit(checks, writes, token=token) is False
        touched = [*{check.key for check in checks} | {write.key for write in writes}]
        self.get(touched)

    @rule(keys=st.lists(_keys, max_size=8))
    def get(self, keys: list[StoreKey]) -> None:
        """Read some keys."""
        assert list(self.store.get(keys)) == [self._entry(key) for key in keys]

    @rule(
        prefix=_prefixes,
        after=st.one_of(st.none(), _keys, st.sampled_from(AWKWARD_KEYS)),
        limit=st.one_of(st.integers(1, 6), st.just(1000)),
        reverse=st.booleans(),
    )
    def scan(self, prefix: StoreKey, after: StoreKey | None, limit: int, *, reverse: bool) -> None:
        """Read one page."""

        def is_expected(key: StoreKey) -> bool:
            if len(key) <= len(prefix) or key[: len(prefix)] != prefix:
                return False
            return after is None or (key < after if reverse else key > after)

        expected = self._expected(is_expected)
        entries: Sequence[Entry] = self.store.scan(prefix, after=after, limit=limit, reverse=reverse)
        assert list(entries) == (expected[::-1] if reverse else expected)[:limit]

    @precondition(lambda self: self.moves_clock)
    @rule(seconds=st.sampled_from((2, 4, 10, 100)))
    def time_passes(self, seconds: int) -> None:
        """Let entries expire."""
        self.clock.advance(seconds)

    @rule()
    def closes(self) -> None:
        """Close; the next call reopens."""
        if self.store.durability != "none":
            self.store.close()

    # --- the model ---

    def _live_record(self, key: StoreKey) -> _Record | None:
        record = self.model.get(key)
        return None if record is None or (record.expires is not None and record.expires <= self.clock()) else record

    def _entry(self, key: StoreKey) -> Entry | None:
        record = self._live_record(key)
        return Entry(key, record.value, record.version) if record else None

    def _expected(self, is_expected: Callable[[StoreKey], bool]) -> list[Entry]:
        return [entry for key in sorted(self.model) if is_expected(key) and (entry := self._entry(key))]

    def _version(self, key: StoreKey, how: _HowChecked) -> bytes | None:
        record = self._live_record(key)
        match how:
            case "as it is":
                return record.version if record else None
            case "absent":
                return None
            case "as it was":
                return self.past[-1] if self.past else self.tokens()
            case "as it never was":
                return self.tokens()

    def _apply(self, checks: list[Check], writes: list[Write], token: bytes) -> bool | type[Exception]:
        for check in checks:
            record = self._live_record(check.key)
            if (record.version if record else None) != check.version:
                return False
        after: dict[StoreKey, Any] = dict(self.model)
        for write in writes:
            record = self._live_record(write.key)
            match write:
                case Put(key, value, ttl_s):
                    after[key] = _Record(value, token, None if ttl_s is None else self.clock() + ttl_s)
                case DeleteEntry(key):
                    _ = after.pop(key, None)
                case Increment(key, delta):
                    total = _counted(record.value if record else b"0")
                    if total is None or not -(2**63) <= total + delta < 2**63:
                        return ContractError
                    after[key] = _Record(b"%d" % (total + delta), token, None)
        for write in writes:
            if (record := self._live_record(write.key)) is not None:
                self.past.append(record.version)
        self.model = after
        return True


def _counted(value: bytes) -> int | None:
    try:
        number = int(value.decode("ascii"))
    except ValueError:
        return None
    return number if b"%d" % number == value else None
