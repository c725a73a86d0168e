"""Check that the memory store keeps the contracts, has flat costs, and opens by URL."""

from __future__ import annotations

import threading

import pytest

from apcore.adapters.memory import MemoryStore, open_url
from apcore.errors import ConfigurationError
from apcore.ports import AtomicStore, Done, KvStore, Message, MessageQueue, Put, Retry
from apcore.testing.atomic import atomic_checks
from apcore.testing.bridge import bridge
from apcore.testing.conformance import ManualClock, Tokens
from apcore.testing.queue import queue_checks
from apcore.testing.store import store_checks


def make(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.mark.parametrize("check", store_checks(), ids=str)
def test_memory_store_is_a_store(check):
    check(make)


@pytest.mark.parametrize("check", queue_checks(), ids=str)
def test_memory_store_is_a_queue(check):
    check(make)


@pytest.mark.parametrize("check", atomic_checks(), ids=str)
def test_memory_store_is_an_atomic_store(check):
    check(make)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "check", [*store_checks(examples=3), *queue_checks(examples=3), *atomic_checks(examples=3)], ids=str
)
def test_memory_store_keeps_the_contracts_on_event_loops(check, loop):
    check(bridge(make, loop))


def test_memory_store_has_the_types_of_the_ports():
    store = MemoryStore()
    as_store: KvStore = store
    as_queue: MessageQueue = store
    as_both: AtomicStore = store
    assert as_store is as_queue is as_both
    assert (store.durability, store.never_waits) == ("none", True)


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory_store_opens_by_url(url):
    assert isinstance(open_url(url), MemoryStore)


@pytest.mark.parametrize("url", ["memory", "memory:x", "memory:///x", "memory:?a=b", "sqlite:", ""])
def test_memory_url_with_more_parts_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"'memory:'"):
        open_url(url)


def test_close_keeps_the_entries_and_ends_waits():
    store = MemoryStore()
    assert store.commit([], [Put(("a",), b"1")], token=bytes(16))
    waiter = threading.Thread(target=lambda: store.wait(["lane"], timeout_s=60), daemon=True)
    waiter.start()
    while waiter.is_alive():  # close may come before the wait begins
        store.close()
    [entry] = store.get([("a",)])
    assert entry is not None


@pytest.mark.parametrize("settlement", [Done, lambda lease: Retry(lease, 0)], ids=["done", "retry"])
def test_settlement_ends_a_wait_for_the_group(settlement):
    store = MemoryStore()
    store.enqueue([Message(bytes(15) + bytes([number]), "lane", b"", group="g") for number in range(2)])
    [head] = store.lease(["lane"], limit=2, lease_s=1000)
    waiter = threading.Thread(target=lambda: store.wait(["lane"], timeout_s=60), daemon=True)
    waiter.start()
    while not store._changed._waiters:
        pass
    assert store.settle([settlement(head)]) == []
    waiter.join(30)
    assert not waiter.is_alive()


def test_two_stores_with_the_same_history_give_the_same_answers():
    def play() -> list[object]:
        store = MemoryStore(clock=ManualClock())
        store.enqueue([Message(bytes([number]) * 16, "lane", b"", group=f"{number % 3}") for number in range(20)])
        return [*store.lease(["lane"], limit=2, lease_s=1), *store.lease(["lane"], limit=100, lease_s=1)]

    assert play() == play()


class TestCostStaysFlat:
    """Count the records that a call visits: they do not grow with the number of stored records."""

    def test_expired_entries_are_reclaimed(self):
        clock, tokens = ManualClock(), Tokens()
        store = MemoryStore(clock=clock)
        for number in range(200):
            assert store.commit([], [Put(("short", f"{number}"), b"", 1)], token=tokens())
            assert store.commit([], [Put(("hot",), b"", 1000)], token=tokens())
            clock.advance(2)
        assert len(store._map._order) == len(store._map._slots) <= 3
        assert len(store._map._expiries) < 3 * 64

    def test_heap_of_outdated_entries_is_cleaned_up(self):
        clock = ManualClock()
        store = MemoryStore(clock=clock)
        store.enqueue([Message(bytes(16), "lane", b"", group="g"), Message(b"x" * 16, "lane", b"", group="g")])
        [lease] = store.lease(["lane"], limit=1, lease_s=10)
        for _ in range(500):
            assert store.extend([lease], lease_s=100) == []
            clock.advance(2)
        assert len(store._lanes._lanes["lane"].heap) < 100
        assert store.lease(["lane"], limit=9, lease_s=10) == []
        assert store.settle([Done(lease)]) == []
        assert [lease.message.id for lease in store.lease(["lane"], limit=9, lease_s=10)] == [b"x" * 16]

    def test_an_empty_queue_holds_nothing(self):
        store = MemoryStore(clock=ManualClock())
        for number in range(300):
            store.enqueue([Message(number.to_bytes(16, "big"), f"{number}", b"", group="g", dedup="d")])
            leases = store.lease([f"{number}"], limit=9, lease_s=10)
            assert store.settle([Done(lease) for lease in leases]) == []
        lanes = store._lanes
        assert [*lanes._lanes, *lanes._leases, *lanes._waiting, *lanes._groups] == []
