"""Check the bridge to async stores: calls run on the requested event loop, and no thread stays behind."""

from __future__ import annotations

import threading

import pytest
import sniffio

from apcore.adapters.memory import MemoryStore
from apcore.errors import StoreUnavailable
from apcore.ports import Message, Put
from apcore.testing.bridge import bridge
from apcore.testing.conformance import ManualClock
from apcore.testing.store import store_checks
from started_threads import ends_its_threads


class AsyncStore:
    """A store for event loops that is no queue, and records where each call runs."""

    durability = "none"

    def __init__(self, clock):
        self.inner = MemoryStore(clock=clock)
        self.call_places = set()

    def note(self):
        self.call_places.add((sniffio.current_async_library(), threading.current_thread().name))

    async def get(self, keys, /):
        self.note()
        return self.inner.get(keys)

    async def scan(self, prefix, /, *, after=None, limit, reverse=False):
        self.note()
        return self.inner.scan(prefix, after=after, limit=limit, reverse=reverse)

    async def commit(self, checks, writes, /, *, token):
        self.note()
        return self.inner.commit(checks, writes, token=token)

    async def aclose(self):
        self.note()
        self.inner.close()


@pytest.fixture(params=["asyncio", "trio"])
def loop(request):
    with ends_its_threads("apcore"):
        yield request.param


@pytest.mark.parametrize("check", store_checks(examples=2), ids=str)
def test_async_store_passes_the_store_suite(check, loop):
    check(bridge(AsyncStore, loop))


def test_bridge_runs_on_the_requested_loop_in_its_own_thread(loop):
    stores = []
    store = bridge(lambda clock: stores.append(AsyncStore(clock)) or stores[0], loop)(ManualClock())
    assert store.commit([], [Put(("a",), b"1")], token=bytes(16))
    assert store.scan((), limit=9) == store.get([("a",)])
    store.close()
    assert stores[0].call_places == {(loop, f"apcore-testing-{loop}")}


def test_bridge_opens_another_loop_after_closing(loop):
    store = bridge(AsyncStore, loop)(ManualClock())
    store.close()
    store.close()
    assert store.commit([], [Put(("a",), b"1")], token=bytes(16))
    store.close()
    assert len(store.get([("a",)])) == 1
    store.close()


def test_blocking_store_is_bridged_with_its_queue(loop):
    store = bridge(lambda clock: MemoryStore(clock=clock), loop)(ManualClock())
    assert store.durability == "none"
    assert store.commit([], [], token=bytes(16), messages=[Message(bytes(16), "lane", b"")])
    assert len(store.lease(["lane"], limit=9, lease_s=1)) == 1
    store.close()


def test_errors_cross_the_bridge(loop):
    class Failing(AsyncStore):
        async def get(self, keys, /):
            raise StoreUnavailable(f"{len(keys)} keys are too many today")

    store = bridge(Failing, loop)(ManualClock())
    with pytest.raises(StoreUnavailable, match="1 keys are too many today"):
        store.get([("a",)])
    with pytest.raises(ValueError, match="limit"):
        store.scan((), limit=0)
    store.close()
