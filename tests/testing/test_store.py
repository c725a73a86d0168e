"""The store suite lets a right store pass and finds each of many wrong ones."""

from __future__ import annotations

from hashlib import sha256
from math import inf

import pytest
from hypothesis import Phase, settings

import apcore.adapters.memory as adapter
from apcore.adapters.memory import MemoryStore
from apcore.errors import ContractError
from apcore.ports import Check, Increment, Put, check_commit, encode_key, sum_counter
from apcore.testing.conformance import Conformance, ManualClock
from apcore.testing.store import check_store, store_checks
from apcore.testing.store_model import play_store


def make_right(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def test_a_right_store_passes():
    check_store(make_right, examples=3)


def test_a_store_with_a_clock_of_its_own_passes():
    check_store(lambda _clock: MemoryStore(), moves_clock=False, examples=3)


def test_each_check_has_a_name_and_a_sentence():
    checks = store_checks()
    assert len({str(check) for check in checks}) == len(checks)
    assert all(isinstance(check, Conformance) and check.says.endswith(".") for check in checks)
    assert len(store_checks(moves_clock=False)) < len(checks)


# --- wrong stores ---------------------------------------------------------------------------------------------------


class VersionsByContent(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        token = sha256(repr(writes).encode()).digest()[:16]
        return super().commit(checks, writes, token=token, **more)


class ChecksOnlyWhatItWrites(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        written = {write.key for write in writes}
        return super().commit([check for check in checks if check.key in written], writes, token=token, **more)


class TakesAnyVersion(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        there = self.get([check.key for check in checks])
        checks = [
            Check(check.key, entry.version if entry and check.version else check.version)
            for check, entry in zip(checks, there, strict=True)
        ]
        return super().commit(checks, writes, token=token, **more)


class WritesTheFirstAnyway(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        done = super().commit(checks, writes, token=token, **more)
        if not done and writes and isinstance(writes[0], Put):
            super().commit([], writes[:1], token=token)
        return done


class SaysTrueAnyway(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        super().commit(checks, writes, token=token, **more)
        return True


class RefusesBeforeItChecks(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        before = self.get([write.key for write in writes][:100])
        for write, entry in zip(writes, before, strict=False):
            if isinstance(write, Increment) and entry and sum_counter(entry.value, write.delta) is None:
                raise ContractError("refused too early")
        return super().commit(checks, writes, token=token, **more)


class ScansWhatStartsWith(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        found = super().scan((), after=after, limit=limit if prefix == () else 1000, reverse=reverse)
        start = encode_key(prefix)[:-1] if prefix else b""
        return [entry for entry in found if encode_key(entry.key).startswith(start)][:limit]


class ScansThePrefixToo(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        found = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        itself = self.get([prefix])[0] if prefix else None
        return [itself, *found][:limit] if itself and after is None and not reverse else found


class AfterIsInclusive(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        found = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        itself = self.get([after])[0] if after and after[: len(prefix)] == prefix and after != prefix else None
        return [itself, *found][:limit] if itself else found


class AfterMustExist(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        if after is not None and self.get([after]) == [None]:
            after = None
        return super().scan(prefix, after=after, limit=limit, reverse=reverse)


class ReversesOnlyThePage(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        page = super().scan(prefix, after=None if reverse else after, limit=limit)
        return page[::-1] if reverse else page


class GivesShortPages(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        return super().scan(prefix, after=after, limit=max(1, limit - limit // 3), reverse=reverse)


class OrdersByUtf16(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        found = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        return sorted(found, key=lambda entry: [part.encode("utf-16-be") for part in entry.key], reverse=reverse)


class IgnoresCase(MemoryStore):
    def get(self, keys, /):
        everything = {str(entry.key).casefold(): entry for entry in super().scan((), limit=1000)}
        super().get(keys)
        return [everything.get(str(key).casefold()) for key in keys]


class AnswersOncePerKey(MemoryStore):
    def get(self, keys, /):
        return super().get(list(dict.fromkeys(keys)))


class AnswersInKeyOrder(MemoryStore):
    def get(self, keys, /):
        return super().get(sorted(keys))


class NeverForgets(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self._map.get = lambda key, now: self._map._slots[key].entry if key in self._map._slots else None
        self._map.reclaim = lambda at_most, now: None


class ForgetsOnlyInGet(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        now, self._clock = self._clock, lambda: 0
        try:
            return super().scan(prefix, after=after, limit=limit, reverse=reverse)
        finally:
            self._clock = now


class ForgetsAMinuteEarly(MemoryStore):
    def commit(self, checks, writes, /, *, token, **more):
        writes = [
            Put(write.key, write.value, write.ttl_s - 30)
            if isinstance(write, Put) and (write.ttl_s or 0) > 30
            else write
            for write in writes
        ]
        return super().commit(checks, writes, token=token, **more)


class KeepsTheTimeToLive(MemoryStore):
    """Of what a Put or an Add replaces."""

    kind: type = Put

    def commit(self, checks, writes, /, *, token, **more):
        old = {key: slot.expires for key, slot in self._map._slots.items()}
        done = super().commit(checks, writes, token=token, **more)
        for write in writes if done else ():
            key = encode_key(write.key)
            if isinstance(write, self.kind) and old.get(key, inf) < inf and not getattr(write, "ttl_s", None):
                self._map._slots[key].expires = old[key]
        return done


class CountersKeepTheTimeToLive(KeepsTheTimeToLive):
    kind = Increment


class ReclaimsTheLiving(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self._map.reclaim = lambda at_most, now: [
            self._map._remove(key) for key, slot in list(self._map._slots.items())[:at_most] if slot.expires < inf
        ]


class IsSpentWhenClosed(MemoryStore):
    def close(self):
        super().close()
        self.get = None


class ClosesOnce(MemoryStore):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


def _counting(add):
    class Counts(MemoryStore):
        def commit(self, checks, writes, /, *, token, **more):
            real, adapter.added = adapter.added, add
            try:
                return super().commit(checks, writes, token=token, **more)
            finally:
                adapter.added = real

    return Counts


def _wraps(value, delta):
    total = int(value or 0) + delta + 2**63
    return b"%d" % (total % 2**64 - 2**63)


def _takes_text_for_nothing(value, delta):
    return sum_counter(value, delta) or b"%d" % delta


WRONG = [
    VersionsByContent,
    ChecksOnlyWhatItWrites,
    TakesAnyVersion,
    WritesTheFirstAnyway,
    SaysTrueAnyway,
    RefusesBeforeItChecks,
    ScansWhatStartsWith,
    ScansThePrefixToo,
    AfterIsInclusive,
    AfterMustExist,
    ReversesOnlyThePage,
    GivesShortPages,
    OrdersByUtf16,
    IgnoresCase,
    AnswersOncePerKey,
    AnswersInKeyOrder,
    NeverForgets,
    ForgetsOnlyInGet,
    ForgetsAMinuteEarly,
    KeepsTheTimeToLive,
    CountersKeepTheTimeToLive,
    ReclaimsTheLiving,
    IsSpentWhenClosed,
    ClosesOnce,
    pytest.param(_counting(_wraps), id="CounterWraps"),
    pytest.param(_counting(_takes_text_for_nothing), id="CountsText"),
]


def _failures(make, checks) -> list[str]:
    failed = []
    for check in checks:
        try:
            check(make)
        except Exception:
            failed.append(str(check))
    return failed


@pytest.mark.parametrize("wrong", WRONG)
def test_the_sentences_find(wrong):
    assert _failures(lambda clock: wrong(clock=clock), store_checks()[:-1])


@pytest.fixture
def unshrunk():
    """A failing history is proof enough here; making it short takes long."""
    settings.register_profile("unshrunk", phases=[Phase.generate], derandomize=True, database=None)
    settings.load_profile("unshrunk")
    yield
    settings.load_profile("default")


@pytest.mark.parametrize(
    "wrong",
    [
        VersionsByContent,
        ChecksOnlyWhatItWrites,
        TakesAnyVersion,
        WritesTheFirstAnyway,
        AfterMustExist,
        ReversesOnlyThePage,
        NeverForgets,
        CountersKeepTheTimeToLive,
        ReclaimsTheLiving,
    ],
)
@pytest.mark.usefixtures("unshrunk")
def test_the_machine_finds(wrong):
    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        play_store(lambda clock: wrong(clock=clock), moves_clock=True, examples=300)


@pytest.mark.parametrize("name", ["check_get", "check_scan", "check_commit"])
def test_a_store_without_bounds_is_found(name, monkeypatch):
    real = getattr(adapter, name)

    def unchecked(*args, **named):
        try:
            return real(*args, **named)
        except ValueError:
            return {"check_get": [], "check_scan": (b"", b""), "check_commit": check_commit([], [], bytes(16))}[name]

    monkeypatch.setattr(adapter, name, unchecked)
    assert _failures(make_right, store_checks()[:-1]) == ["wrong_arguments_are_refused"]
