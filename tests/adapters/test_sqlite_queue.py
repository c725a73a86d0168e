"""Check the queue in an SQLite file: the cost of leases, wake-ups, and calls that take no lock."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from time import monotonic

import pytest

from apcore.adapters.sqlite import SqliteStore
from apcore.ports import Done, Message, Retry

TOKEN = bytes(16)
STEP = 100
"""Virtual machine instructions between two calls of the counter."""


def message(number=0, **options):
    return Message(number.to_bytes(16, "big"), "lane", b"body", **options)


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db", synchronous="normal")) as store:
        yield store


def fill(store, messages):
    for at in range(0, len(messages), 100):
        store.enqueue(messages[at : at + 100])


def instructions(store, call):
    """Return the cost of ``call`` in hundreds of SQLite instructions, and its answer."""
    store.get([("a",)])
    opened = store._opened
    connections = [opened.writer._cursor.connection, *(cursor.connection for cursor in opened.readers._idle)]
    count = 0

    def tick():
        nonlocal count
        count += 1

    for connection in connections:
        connection.set_progress_handler(tick, STEP)
    answer = call()
    for connection in connections:
        connection.set_progress_handler(None, 0)
    return count, answer


def grouped(number):
    return message(number, group="one")


def delayed(number):
    return message(number, delay_s=1000)


def delayed_groups(number):
    return message(number, group=str(number % 100), delay_s=1000)


def ready(number):
    return message(number)


@pytest.mark.parametrize("kind", [grouped, delayed, delayed_groups, ready])
def test_cost_of_a_lease_does_not_depend_on_the_backlog(kind, tmp_path):
    costs = []
    for backlog in (300, 6000):
        with closing(SqliteStore(tmp_path / f"{backlog}.db", synchronous="normal")) as store:
            store.enqueue([message(9_999)])
            fill(store, [kind(number) for number in range(backlog)])
            cost, leases = instructions(store, lambda: store.lease(["lane"], limit=2, lease_s=60))
            assert len(leases) == (1 if kind in (delayed, delayed_groups) else 2)
            costs.append(cost)
    assert costs[1] <= costs[0] + 1


def test_cost_of_settle_and_extend_does_not_depend_on_the_backlog(tmp_path):
    costs = []
    for backlog in (300, 6000):
        with closing(SqliteStore(tmp_path / f"{backlog}.db", synchronous="normal")) as store:
            fill(store, [message(number, group="one", dedup=str(number)) for number in range(backlog)])
            [first] = store.lease(["lane"], limit=1, lease_s=60)

            def rounds():
                assert store.extend([first], lease_s=60) == []  # noqa: B023
                assert store.settle([Retry(first, 0)]) == []  # noqa: B023
                [second] = store.lease(["lane"], limit=1, lease_s=60)
                assert store.settle([Done(second)]) == []

            costs.append(instructions(store, rounds)[0])
    assert costs[1] <= costs[0] + 1


def test_lease_without_a_due_message_takes_no_lock(store):
    store.enqueue([message(delay_s=1000)])
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.lease(["lane", "other"], limit=10, lease_s=60) == []
        other.execute("COMMIT")


def test_attempt_is_committed_before_the_lease_is_returned(store, tmp_path):
    store.enqueue([message()])
    [lease] = store.lease(["lane"], limit=1, lease_s=0.001)
    with closing(sqlite3.connect(tmp_path / "a.db")) as other:
        assert other.execute("SELECT attempt, token FROM apcore_message").fetchall() == [(1, lease.token)]


def test_lane_and_dedup_may_contain_any_text(store):
    odd = Message(TOKEN, "lane\x00☃", b"", group="", dedup="\x00")
    store.enqueue([odd, odd])
    [lease] = store.lease(["lane\x00☃"], limit=2, lease_s=60)
    assert lease.message == odd


def test_messages_with_equal_ids_are_both_leased(store):
    store.enqueue([message(1), message(1)])
    assert len(store.lease(["lane"], limit=5, lease_s=60)) == 2


# --- waiting --------------------------------------------------------------------------------------------------------


class WaitingThread:
    """A thread that waits for a message in ``lane``."""

    def __init__(self, store):
        self.returned = threading.Event()
        self._thread = threading.Thread(target=self._wait, args=(store,))
        self._thread.start()

    def _wait(self, store):
        store.wait(["other", "lane"], timeout_s=300)
        self.returned.set()

    def join(self):
        self._thread.join(60)
        return not self._thread.is_alive()


def enqueue(store):
    store.enqueue([message(5)])


def commit(store):
    assert store.commit([], [], token=TOKEN, messages=[message(5)])


@pytest.mark.parametrize("add_message", [enqueue, commit])
@pytest.mark.parametrize("is_same_store", [True, False], ids=["this process", "another store"])
def test_new_message_wakes_a_waiting_thread(add_message, is_same_store, store):
    store.enqueue([Message(TOKEN, "third", b""), message(1, delay_s=1000)])
    waiting = WaitingThread(store)
    with closing(SqliteStore(store.path)) as another:
        assert not waiting.returned.wait(0.05)
        add_message(store if is_same_store else another)
        assert waiting.join()


@pytest.mark.parametrize("end", [Done, lambda leased: Retry(leased, 0)], ids=["done", "again"])
def test_settlement_wakes_a_thread_waiting_for_the_group(end, store):
    store.enqueue([message(1, group="g"), message(2, group="g")])
    [lease] = store.lease(["lane"], limit=2, lease_s=1000)
    waiting = WaitingThread(store)
    assert not waiting.returned.wait(0.05)
    assert store.settle([end(lease)]) == []
    assert waiting.join()


@pytest.mark.parametrize("delay_s", [0.0, 0.06], ids=["due", "due soon"])
def test_wait_ends_when_a_message_is_due(delay_s, store):
    store.enqueue([message(delay_s=delay_s)])
    start = monotonic()
    store.wait(["lane"], timeout_s=300)
    assert delay_s - 0.01 <= monotonic() - start < 60
    assert len(store.lease(["lane"], limit=1, lease_s=1)) == 1


def test_wait_ends_when_a_lease_expires(store):
    store.enqueue([message()])
    [first] = store.lease(["lane"], limit=1, lease_s=0.05)
    store.wait(["lane"], timeout_s=300)
    [second] = store.lease(["lane"], limit=1, lease_s=60)
    assert (first.attempt, second.attempt) == (1, 2)


def test_wait_ends_at_its_timeout(store):
    start = monotonic()
    store.wait(["lane"], timeout_s=0.03)
    assert 0.03 <= monotonic() - start < 60
    store.wait(["lane"], timeout_s=0)
