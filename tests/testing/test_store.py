"""Check the store suite: a correct store passes, and each faulty one is caught."""

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


def test_correct_store_passes():
    check_store(make_right, examples=3)


def test_store_with_its_own_clock_passes():
    check_store(lambda _clock: MemoryStore(), moves_clock=False, examples=3)


def test_each_check_has_a_unique_name_and_a_sentence():
    checks = store_checks()
    assert len({str(check) for check in checks}) == len(checks)
    assert all(isinstance(check, Conformance) and check.says.endswith(".") for check in checks)
    assert len(store_checks(moves_clock=False)) < len(checks)


# --- faulty stores --------------------------------------------------------------------------------------------------


class VersionsByContent(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        token = sha256(repr(writes).encode()).digest()[:16]
        return super().commit(checks, writes, token=token, **options)


class ChecksOnlyWrittenKeys(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        written_keys = {write.key for write in writes}
        return super().commit([check for check in checks if check.key in written_keys], writes, token=token, **options)


class AcceptsAnyVersion(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        current_entries = self.get([check.key for check in checks])
        checks = [
            Check(check.key, entry.version if entry and check.version else check.version)
            for check, entry in zip(checks, current_entries, strict=True)
        ]
        return super().commit(checks, writes, token=token, **options)


class WritesFirstDespiteFailedChecks(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        committed = super().commit(checks, writes, token=token, **options)
        if not committed and writes and isinstance(writes[0], Put):
            super().commit([], writes[:1], token=token)
        return committed


class AlwaysReturnsTrue(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        super().commit(checks, writes, token=token, **options)
        return True


class RefusesBeforeChecking(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        before = self.get([write.key for write in writes][:100])
        for write, entry in zip(writes, before, strict=False):
            if isinstance(write, Increment) and entry and sum_counter(entry.value, write.delta) is None:
                raise ContractError("refused too early")
        return super().commit(checks, writes, token=token, **options)


class ScansByBytePrefix(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        entries = super().scan((), after=after, limit=limit if prefix == () else 1000, reverse=reverse)
        start = encode_key(prefix)[:-1] if prefix else b""
        return [entry for entry in entries if encode_key(entry.key).startswith(start)][:limit]


class ScanIncludesPrefix(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        entries = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        itself = self.get([prefix])[0] if prefix else None
        return [itself, *entries][:limit] if itself and after is None and not reverse else entries


class AfterIsInclusive(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        entries = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        itself = self.get([after])[0] if after and after[: len(prefix)] == prefix and after != prefix else None
        return [itself, *entries][:limit] if itself else entries


class AfterMustExist(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        if after is not None and self.get([after]) == [None]:
            after = None
        return super().scan(prefix, after=after, limit=limit, reverse=reverse)


class ReversesOnlyThePage(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        page = super().scan(prefix, after=None if reverse else after, limit=limit)
        return page[::-1] if reverse else page


class ReturnsShortPages(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        return super().scan(prefix, after=after, limit=max(1, limit - limit // 3), reverse=reverse)


class OrdersByUtf16(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        entries = super().scan(prefix, after=after, limit=limit, reverse=reverse)
        return sorted(entries, key=lambda entry: [part.encode("utf-16-be") for part in entry.key], reverse=reverse)


class IgnoresCase(MemoryStore):
    def get(self, keys, /):
        entries_by_key = {str(entry.key).casefold(): entry for entry in super().scan((), limit=1000)}
        super().get(keys)
        return [entries_by_key.get(str(key).casefold()) for key in keys]


class AnswersOncePerKey(MemoryStore):
    def get(self, keys, /):
        return super().get(list(dict.fromkeys(keys)))


class AnswersInKeyOrder(MemoryStore):
    def get(self, keys, /):
        return super().get(sorted(keys))


class NeverExpires(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self._map.get = lambda key, now: self._map._slots[key].entry if key in self._map._slots else None
        self._map.reclaim = lambda at_most, now: None


class ExpiresOnlyInGet(MemoryStore):
    def scan(self, prefix, /, *, after=None, limit, reverse=False):
        now, self._clock = self._clock, lambda: 0
        try:
            return super().scan(prefix, after=after, limit=limit, reverse=reverse)
        finally:
            self._clock = now


class ExpiresEarly(MemoryStore):
    def commit(self, checks, writes, /, *, token, **options):
        writes = [
            Put(write.key, write.value, write.ttl_s - 30)
            if isinstance(write, Put) and (write.ttl_s or 0) > 30
            else write
            for write in writes
        ]
        return super().commit(checks, writes, token=token, **options)


class KeepsOldTimeToLive(MemoryStore):
    """Keep the time to live of an entry that a Put replaces."""

    kind: type = Put

    def commit(self, checks, writes, /, *, token, **options):
        old = {key: slot.expires for key, slot in self._map._slots.items()}
        committed = super().commit(checks, writes, token=token, **options)
        for write in writes if committed else ():
            key = encode_key(write.key)
            if isinstance(write, self.kind) and old.get(key, inf) < inf and not getattr(write, "ttl_s", None):
                self._map._slots[key].expires = old[key]
        return committed


class CountersKeepOldTimeToLive(KeepsOldTimeToLive):
    kind = Increment


class ReclaimsLiveEntries(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self._map.reclaim = lambda at_most, now: [
            self._map._remove(key) for key, slot in list(self._map._slots.items())[:at_most] if slot.expires < inf
        ]


class CannotBeUsedAfterClose(MemoryStore):
    def close(self):
        super().close()
        self.get = None


class ClosesOnce(MemoryStore):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


def make_counting_store(add):
    class Counts(MemoryStore):
        def commit(self, checks, writes, /, *, token, **options):
            original, adapter.added = adapter.added, add
            try:
                return super().commit(checks, writes, token=token, **options)
            finally:
                adapter.added = original

    return Counts


def sum_with_overflow(value, delta):
    total = int(value or 0) + delta + 2**63
    return b"%d" % (total % 2**64 - 2**63)


def sum_ignoring_text(value, delta):
    return sum_counter(value, delta) or b"%d" % delta


FAULTY_STORES = [
    VersionsByContent,
    ChecksOnlyWrittenKeys,
    AcceptsAnyVersion,
    WritesFirstDespiteFailedChecks,
    AlwaysReturnsTrue,
    RefusesBeforeChecking,
    ScansByBytePrefix,
    ScanIncludesPrefix,
    AfterIsInclusive,
    AfterMustExist,
    ReversesOnlyThePage,
    ReturnsShortPages,
    OrdersByUtf16,
    IgnoresCase,
    AnswersOncePerKey,
    AnswersInKeyOrder,
    NeverExpires,
    ExpiresOnlyInGet,
    ExpiresEarly,
    KeepsOldTimeToLive,
    CountersKeepOldTimeToLive,
    ReclaimsLiveEntries,
    CannotBeUsedAfterClose,
    ClosesOnce,
    pytest.param(make_counting_store(sum_with_overflow), id="CounterWraps"),
    pytest.param(make_counting_store(sum_ignoring_text), id="CountsText"),
]


def _failures(make, checks) -> list[str]:
    failed = []
    for check in checks:
        try:
            check(make)
        except Exception:
            failed.append(str(check))
    return failed


@pytest.mark.parametrize("store_class", FAULTY_STORES)
def test_single_checks_catch_the_fault(store_class):
    assert _failures(lambda clock: store_class(clock=clock), store_checks()[:-1])


@pytest.fixture
def without_shrinking():
    """Turn off shrinking: any failing history is proof enough, and making it short takes long."""
    settings.register_profile("without_shrinking", phases=[Phase.generate], derandomize=True, database=None)
    settings.load_profile("without_shrinking")
    yield
    settings.load_profile("default")


@pytest.mark.parametrize(
    "store_class",
    [
        VersionsByContent,
        ChecksOnlyWrittenKeys,
        AcceptsAnyVersion,
        WritesFirstDespiteFailedChecks,
        AfterMustExist,
        ReversesOnlyThePage,
        NeverExpires,
        CountersKeepOldTimeToLive,
        ReclaimsLiveEntries,
    ],
)
@pytest.mark.usefixtures("without_shrinking")
def test_state_machine_catches_the_fault(store_class):
    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        play_store(lambda clock: store_class(clock=clock), moves_clock=True, examples=300)


@pytest.mark.parametrize("name", ["check_get", "check_scan", "check_commit"])
def test_store_without_argument_checks_is_caught(name, monkeypatch):
    original = getattr(adapter, name)

    def unchecked(*args, **keywords):
        try:
            return original(*args, **keywords)
        except ValueError:
            return {"check_get": [], "check_scan": (b"", b""), "check_commit": check_commit([], [], bytes(16))}[name]

    monkeypatch.setattr(adapter, name, unchecked)
    assert _failures(make_right, store_checks()[:-1]) == ["wrong_arguments_are_refused"]
