"""Check injected faults: answers get lost as configured, drivers recover guarded commits, and the proxy cuts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import closing
from itertools import chain, repeat
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, run
from apcore.effects import Commit
from apcore.errors import QueueUnavailable, StoreUnavailable
from apcore.ports import Check, Done, Increment, Message, Put
from apcore.testing.conformance import ManualClock, Tokens
from apcore.testing.faults import AnswerFate, CuttingProxy, LosingStore

LOST = [AnswerFate.LOST_BEFORE, AnswerFate.LOST_AFTER, AnswerFate.DELAYED]
MESSAGE = Message(bytes(16), "lane", b"")


def losing_store(*fates: AnswerFate, name: str = "commit") -> LosingStore:
    next_fates = chain(fates, repeat(AnswerFate.ANSWERED))
    return LosingStore(
        MemoryStore(clock=ManualClock()),
        lambda method_name: next(next_fates) if method_name == name else AnswerFate.ANSWERED,
    )


class TestLosingStore:
    @pytest.mark.parametrize(
        ("fate", "is_stored_at_once", "is_stored_finally"),
        [(LOST[0], False, False), (LOST[1], True, True), (LOST[2], False, True)],
    )
    def test_commit_is_lost_as_configured(self, fate, is_stored_at_once, is_stored_finally):
        store = losing_store(fate)
        with pytest.raises(StoreUnavailable, match=fate.name) as exc_info:
            store.commit([], [Put(("a",), b"1")], token=bytes(16))
        assert exc_info.value.outcome == "unknown"
        assert (store.get([("a",)]) != [None]) is is_stored_at_once
        assert store.commit([], [Put(("b",), b"2")], token=b"b" * 16) is True
        assert (store.get([("a",)]) != [None]) is is_stored_finally

    def test_delayed_commit_is_applied_when_the_store_is_closed(self):
        store = losing_store(AnswerFate.DELAYED)
        with pytest.raises(StoreUnavailable):
            store.commit([], [Put(("a",), b"1")], token=bytes(16))
        store.close()
        assert [entry.key for entry in store.scan((), limit=9)] == [("a",)]

    def test_delayed_commits_are_applied_in_order(self):
        store = losing_store(AnswerFate.DELAYED, AnswerFate.DELAYED)
        for value in (b"1", b"2"):
            with pytest.raises(StoreUnavailable):
                store.commit([], [Put(("a",), value)], token=value * 16)
        assert store.get([("a",)])[0].value == b"1"
        store.close()
        assert store.get([("a",)])[0].value == b"2"

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    @pytest.mark.parametrize("name", ["enqueue", "lease", "extend", "settle"])
    def test_queue_answers_are_lost_as_configured(self, name, fate):
        store = losing_store(fate, name=name)
        calls = {
            "enqueue": lambda: store.enqueue([MESSAGE]),
            "lease": lambda: store.lease(["lane"], limit=1, lease_s=10),
            "extend": lambda: store.extend([], lease_s=10),
            "settle": lambda: store.settle([]),
        }
        with pytest.raises(QueueUnavailable, match=f"{name} was lost: {fate.name}"):
            calls[name]()
        calls[name]()

    def test_other_calls_reach_the_store(self):
        store = losing_store()
        store.enqueue([MESSAGE])
        store.wait(["lane"], timeout_s=10)
        [leased] = store.lease(["lane"], limit=1, lease_s=10)
        assert store.depth(["lane"]).leased == 1
        assert store.extend([leased], lease_s=10) == []
        assert store.commit([], [], token=bytes(16), settles=[Done(leased)], messages=[MESSAGE])
        assert store.depth(["lane"]).ready == 1
        assert store.durability == "none"


class TestDriverRecovery:
    @given(st.lists(st.sampled_from(AnswerFate), max_size=12))
    def test_guarded_commit_is_applied_once_or_reported_as_unknown(self, fates):
        store, tokens = losing_store(*fates), Tokens()
        confirmed = unknown = 0
        for _ in range(6):
            [entry] = store.get([("a",)])
            try:
                confirmed += run(
                    swap(entry.version if entry else None, tokens()), Ports(store=store, runtime=BlockingRuntime())
                )
            except StoreUnavailable:
                unknown += 1
        store.close()
        [count] = store.get([("n",)])
        stored = int(count.value) if count else 0
        assert confirmed <= stored <= confirmed + unknown

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    def test_one_lost_answer_is_recovered(self, fate):
        store, tokens = losing_store(fate), Tokens()
        assert run(swap(None, tokens()), Ports(store=store, runtime=BlockingRuntime())) is True
        store.close()
        assert store.get([("n",)])[0].value == b"1"

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    def test_unguarded_commit_is_never_repeated(self, fate):
        def add():
            return (yield from Commit((), (Increment(("n",), 1),), token=bytes(16)))

        store = losing_store(fate)
        with pytest.raises(StoreUnavailable):
            run(add(), Ports(store=store, runtime=BlockingRuntime()))
        store.close()
        assert store.get([("n",)]) == [None] if fate is AnswerFate.LOST_BEFORE else store.get([("n",)])[0].value == b"1"


def swap(before, token):
    return (yield from Commit((Check(("a",), before),), (Put(("a",), b""), Increment(("n",), 1)), token=token))


# --- the proxy ------------------------------------------------------------------------------------------------------


class Counter:
    """A server that counts lines and answers each with its number."""

    def __init__(self):
        self.count = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rwb") as stream:
                for line in stream:
                    if line == b"stop\n":
                        return
                    self.count += 1
                    stream.write(b"%d\n" % self.count)
                    stream.flush()

    def close(self):
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop\n")
            self.threads[0].join()
        self.listener.close()


@pytest.fixture
def counter():
    with closing(Counter()) as server:
        yield server


def send_lines(address, *lines: bytes) -> list[bytes]:
    """Send lines on one connection until it ends, and return the answers."""
    answers = []
    with socket.create_connection(address, timeout=30) as connection, connection.makefile("rb") as stream:
        for line in lines:
            try:
                connection.sendall(line)
                answer = stream.readline()
            except ConnectionError:
                answer = b""
            if not answer:
                break
            answers.append(answer)
    return answers


def proxy_for(counter: Counter, fates: Iterable[AnswerFate]) -> CuttingProxy:
    next_fates = iter(fates)
    return CuttingProxy("127.0.0.1", counter.port, lambda: next(next_fates))


class TestCuttingProxy:
    def test_proxy_forwards_lines_without_a_fate(self, counter):
        with proxy_for(counter, repeat(AnswerFate.ANSWERED)) as proxy:
            assert send_lines(proxy.address, b"a\n", b"b\n", b"c" * 100_000 + b"\n") == [b"1\n", b"2\n", b"3\n"]
            assert send_lines(proxy.address, b"d\n") == [b"4\n"]

    @pytest.mark.parametrize(
        ("fate", "count"),
        [(AnswerFate.LOST_BEFORE, 1), (AnswerFate.LOST_AFTER, 2), (AnswerFate.DELAYED, 2)],
        ids=str,
    )
    def test_proxy_cuts_before_or_after_the_line(self, counter, fate, count):
        with proxy_for(counter, [AnswerFate.ANSWERED, fate]) as proxy:
            assert send_lines(proxy.address, b"a\n", b"b" * 100_000 + b"\n", b"never\n") == [b"1\n"]
        assert counter.count == count

    def test_client_may_reconnect(self, counter):
        with proxy_for(counter, [AnswerFate.LOST_AFTER, AnswerFate.LOST_BEFORE, AnswerFate.ANSWERED]) as proxy:
            assert [send_lines(proxy.address, b"a\n") for _ in range(3)] == [[], [], [b"2\n"]]

    def test_closing_the_proxy_ends_open_connections(self, counter):
        proxy = proxy_for(counter, repeat(AnswerFate.ANSWERED))
        with socket.create_connection(proxy.address, timeout=30) as idle:
            idle.sendall(b"a\n")
            assert idle.recv(100) == b"1\n"
            proxy.close()
            proxy.close()
            assert idle.recv(100) == b""
        with pytest.raises(ConnectionError):
            send_lines(proxy.address, b"b\n")

    def test_unreachable_server_closes_the_client(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))  # The port stays bound, so that no other process can listen on it.
            with CuttingProxy("127.0.0.1", silent.getsockname()[1], lambda: AnswerFate.ANSWERED) as proxy:
                assert send_lines(proxy.address, b"a\n") == []
