"""Lost answers are lost as told; the drivers recover guarded commits from them; a cut connection is cut where it should be."""

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


def losing(*fates: AnswerFate, name: str = "commit") -> LosingStore:
    following = chain(fates, repeat(AnswerFate.ANSWERED))
    return LosingStore(
        MemoryStore(clock=ManualClock()), lambda called: next(following) if called == name else AnswerFate.ANSWERED
    )


class TestLosingStore:
    @pytest.mark.parametrize(
        ("fate", "at_once", "in_the_end"), [(LOST[0], False, False), (LOST[1], True, True), (LOST[2], False, True)]
    )
    def test_a_commit_is_lost_as_told(self, fate, at_once, in_the_end):
        store = losing(fate)
        with pytest.raises(StoreUnavailable, match=fate.name) as caught:
            store.commit([], [Put(("a",), b"1")], token=bytes(16))
        assert caught.value.outcome == "unknown"
        assert (store.get([("a",)]) != [None]) is at_once
        assert store.commit([], [Put(("b",), b"2")], token=b"b" * 16) is True
        assert (store.get([("a",)]) != [None]) is in_the_end

    def test_what_is_delayed_lands_when_the_store_is_closed(self):
        store = losing(AnswerFate.DELAYED)
        with pytest.raises(StoreUnavailable):
            store.commit([], [Put(("a",), b"1")], token=bytes(16))
        store.close()
        assert [entry.key for entry in store.scan((), limit=9)] == [("a",)]

    def test_of_two_that_are_delayed_the_first_lands_first(self):
        store = losing(AnswerFate.DELAYED, AnswerFate.DELAYED)
        for value in (b"1", b"2"):
            with pytest.raises(StoreUnavailable):
                store.commit([], [Put(("a",), value)], token=value * 16)
        assert store.get([("a",)])[0].value == b"1"
        store.close()
        assert store.get([("a",)])[0].value == b"2"

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    @pytest.mark.parametrize("name", ["enqueue", "lease", "extend", "settle"])
    def test_the_queue_loses_answers_too(self, name, fate):
        store = losing(fate, name=name)
        calls = {
            "enqueue": lambda: store.enqueue([MESSAGE]),
            "lease": lambda: store.lease(["lane"], limit=1, lease_s=10),
            "extend": lambda: store.extend([], lease_s=10),
            "settle": lambda: store.settle([]),
        }
        with pytest.raises(QueueUnavailable, match=f"{name} was lost: {fate.name}"):
            calls[name]()
        calls[name]()

    def test_otherwise_it_is_the_store(self):
        store = losing()
        store.enqueue([MESSAGE])
        store.wait(["lane"], timeout_s=10)
        [leased] = store.lease(["lane"], limit=1, lease_s=10)
        assert store.depth(["lane"]).leased == 1
        assert store.extend([leased], lease_s=10) == []
        assert store.commit([], [], token=bytes(16), settles=[Done(leased)], messages=[MESSAGE])
        assert store.depth(["lane"]).ready == 1
        assert store.durability == "none"


class TestTheDrivers:
    @given(st.lists(st.sampled_from(AnswerFate), max_size=12))
    def test_apply_a_guarded_commit_once_or_say_that_nobody_knows(self, fates):
        store, tokens = losing(*fates), Tokens()
        done = unknown = 0
        for _ in range(6):
            [entry] = store.get([("a",)])
            try:
                done += run(
                    swap(entry.version if entry else None, tokens()), Ports(store=store, runtime=BlockingRuntime())
                )
            except StoreUnavailable:
                unknown += 1
        store.close()
        [count] = store.get([("n",)])
        counted = int(count.value) if count else 0
        assert done <= counted <= done + unknown

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    def test_recover_from_one_lost_answer(self, fate):
        store, tokens = losing(fate), Tokens()
        assert run(swap(None, tokens()), Ports(store=store, runtime=BlockingRuntime())) is True
        store.close()
        assert store.get([("n",)])[0].value == b"1"

    @pytest.mark.parametrize("fate", LOST, ids=lambda fate: fate.name)
    def test_do_not_repeat_what_is_not_guarded(self, fate):
        def add():
            return (yield from Commit((), (Increment(("n",), 1),), token=bytes(16)))

        store = losing(fate)
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


def asked(address, *lines: bytes) -> list[bytes]:
    """Send one line after another on one connection, until it ends; tell the answers."""
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
    following = iter(fates)
    return CuttingProxy("127.0.0.1", counter.port, lambda: next(following))


class TestCuttingProxy:
    def test_passes_on_what_is_not_fated(self, counter):
        with proxy_for(counter, repeat(AnswerFate.ANSWERED)) as proxy:
            assert asked(proxy.address, b"a\n", b"b\n", b"c" * 100_000 + b"\n") == [b"1\n", b"2\n", b"3\n"]
            assert asked(proxy.address, b"d\n") == [b"4\n"]

    @pytest.mark.parametrize(
        ("fate", "counted"),
        [(AnswerFate.LOST_BEFORE, 1), (AnswerFate.LOST_AFTER, 2), (AnswerFate.DELAYED, 2)],
        ids=str,
    )
    def test_cuts_before_or_after(self, counter, fate, counted):
        with proxy_for(counter, [AnswerFate.ANSWERED, fate]) as proxy:
            assert asked(proxy.address, b"a\n", b"b" * 100_000 + b"\n", b"never\n") == [b"1\n"]
        assert counter.count == counted

    def test_a_client_may_come_back(self, counter):
        with proxy_for(counter, [AnswerFate.LOST_AFTER, AnswerFate.LOST_BEFORE, AnswerFate.ANSWERED]) as proxy:
            assert [asked(proxy.address, b"a\n") for _ in range(3)] == [[], [], [b"2\n"]]

    def test_closing_ends_what_is_open(self, counter):
        proxy = proxy_for(counter, repeat(AnswerFate.ANSWERED))
        with socket.create_connection(proxy.address, timeout=30) as idle:
            idle.sendall(b"a\n")
            assert idle.recv(100) == b"1\n"
            proxy.close()
            proxy.close()
            assert idle.recv(100) == b""
        with pytest.raises(ConnectionError):
            asked(proxy.address, b"b\n")

    def test_a_server_that_is_away_closes_the_client(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))  # kept, so that nobody else comes to listen there
            with CuttingProxy("127.0.0.1", silent.getsockname()[1], lambda: AnswerFate.ANSWERED) as proxy:
                assert asked(proxy.address, b"a\n") == []
