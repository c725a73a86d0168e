"""Check nodes, which bind a federation to ports: resources that they open and close, and refused configurations."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trio

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.effects import Get, Now, commit
from apcore.errors import ConfigurationError
from apcore.federation.registration import Federation
from apcore.http import LOOPBACK_OPEN, Request
from apcore.node import AsyncNode, Node, open_store
from apcore.ports import Message, Put
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Create, Person

KEY = ("test", "1")


def write_and_read():
    assert (yield from commit((), (Put(KEY, b"kept"),)))
    [entry] = yield from Get((KEY,))
    return entry.value


def with_actor() -> Federation[None]:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    return federation


def test_node_runs_operations_on_its_store(tmp_path) -> None:
    with Node(with_actor(), "https://ours.example", f"sqlite:///{tmp_path}/node.db") as node:
        assert node.run(write_and_read()) == b"kept"
    with Node(with_actor(), "https://ours.example", f"sqlite:///{tmp_path}/node.db") as second_node:
        [entry] = second_node.run(Get((KEY,)).__iter__())
        assert entry.value == b"kept"


@pytest.mark.parametrize("start", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)], ids=["asyncio", "trio"])
def test_async_node_finds_its_event_loop(start, tmp_path) -> None:
    async def main() -> bytes:
        async with AsyncNode(with_actor(), "https://ours.example", f"sqlite:///{tmp_path}/node.db") as node:
            return await node.run(write_and_read())

    assert start(main()) == b"kept"


def test_store_of_the_application_stays_open() -> None:
    store = MemoryStore()
    with Node(Federation(), None, store) as node:
        node.run(write_and_read())
    assert store.get([KEY])[0] is not None


def test_store_is_the_queue_if_it_can_be() -> None:
    with Node(Federation(), None, "memory:") as node:
        assert node.ports.queue is node.ports.store


class StoreAlone:
    """A store that is no queue, blocking or async; its methods are never called."""

    durability = "process"

    def __init__(self, *, is_async: bool) -> None:
        async def get(keys): ...

        self.get = get if is_async else lambda keys: ()


@pytest.mark.parametrize(("make", "is_async"), [(Node, False), (AsyncNode, False), (AsyncNode, True)])
def test_store_without_a_queue_is_refused_when_the_node_is_made(make, is_async) -> None:
    """Otherwise every delivery to an inbox would fail."""
    store, signer = StoreAlone(is_async=is_async), ReusedKeys()
    with pytest.raises(ConfigurationError, match=r"StoreAlone is a store without a queue.*pass queue=.*sqlite:"):
        make(with_actor(), "https://ours.example", store, signer=signer)
    assert make(with_actor(), "https://ours.example", store, signer=signer, queue=MemoryStore()).origins.serves
    assert not make(Federation(), None, store, signer=signer).origins.serves


def test_data_is_a_value_or_a_factory_entered_for_each_job() -> None:
    events = []

    @contextmanager
    def session():
        events.append("enter")
        yield "session"
        events.append("exit")

    with Node(Federation[str](), data="plain") as node, node.entered() as data:
        assert data == "plain"
    with Node(Federation[str](), data=session) as node:
        for _ in range(2):
            with node.entered() as data:
                assert data == "session"
    assert events == ["enter", "exit"] * 2


def test_async_node_enters_both_kinds_of_factory() -> None:
    @contextmanager
    def plain():
        yield "plain"

    @asynccontextmanager
    async def awaited():
        yield "awaited"

    async def main():
        entered_data = []
        for data in ("value", plain, awaited):
            async with AsyncNode(Federation[str](), data=data) as node, node.entered() as entered:
                entered_data.append(entered)
        return entered_data

    assert asyncio.run(main()) == ["value", "plain", "awaited"]


def test_enlisted_node_writes_in_the_transaction_of_the_application(tmp_path) -> None:
    path = tmp_path / "node.db"
    with Node(with_actor(), "https://ours.example", f"sqlite:///{path}") as node:
        node.run(Now().__iter__())
        node.run(Get((KEY,)).__iter__())  # The store creates its tables at first use.
        connection = sqlite3.connect(path, isolation_level=None)
        for end, is_kept in (("ROLLBACK", False), ("COMMIT", True)):
            connection.execute("BEGIN IMMEDIATE")
            with node.enlist(connection) as tx:
                assert tx.run(write_and_read()) == b"kept"
            connection.execute(end)
            [entry] = node.run(Get((KEY,)).__iter__())
            assert (entry is not None) is is_kept
        connection.close()


def test_store_that_cannot_be_enlisted_is_refused() -> None:
    with (
        Node(Federation(), None, "memory:") as node,
        pytest.raises(ConfigurationError, match="cannot take part"),
        node.enlist(object()),
    ):
        pass


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda: Node(Federation(), "https://ours.example/x"), "more than scheme", id="origin"),
        pytest.param(lambda: Node(Federation(), "http://127.0.0.1:1"), "plain http", id="plain-http"),
        pytest.param(lambda: Node("federation"), "needs a Federation", id="not-a-federation"),
        pytest.param(lambda: Node(Federation(), None, "nothing"), "URL such as", id="store-no-url"),
        pytest.param(lambda: Node(Federation(), None, "mongo://x"), "no adapter 'mongo'", id="store-unknown"),
        pytest.param(lambda: AsyncNode(Federation(), "https://"), "origin", id="async-origin"),
        pytest.param(lambda: open_store("mongo://x"), "installed: .*sqlite", id="open-store"),
    ],
)
def test_bad_configuration_is_refused_at_construction_in_words(make, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_loopback_over_plain_http_must_be_allowed() -> None:
    with Node(Federation(), "http://127.0.0.1:8000", addresses=LOOPBACK_OPEN) as node:
        assert str(node.origins.only) == "http://127.0.0.1:8000"


def test_blocking_node_refuses_coroutine_handlers() -> None:
    federation = with_actor()

    @federation.on(Create)
    async def created(ctx, activity):
        return None

    with pytest.raises(ConfigurationError, match="created"):
        Node(federation, "https://ours.example")
    AsyncNode(federation, "https://ours.example")


def test_store_in_memory_is_warned_of(caplog) -> None:
    Node(with_actor(), "https://ours.example", "memory:").close()
    assert "keeps nothing" in caplog.text


class Settable:
    """A runtime with a manual clock."""

    def __init__(self) -> None:
        self._real = BlockingRuntime()
        self.seconds = 0.0

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.mark.parametrize(("waited_s", "is_warned"), [(30, False), (300, True)], ids=["worker", "no-worker"])
def test_lane_without_a_worker_is_warned_of(caplog, waited_s: float, is_warned: bool) -> None:
    runtime = Settable()
    store = MemoryStore(clock=lambda: runtime.seconds)
    with Node(with_actor(), "https://ours.example", store, runtime=runtime) as node:
        store.enqueue([Message(bytes(16), "inbox", b"[]")])
        runtime.seconds += waited_s
        for _ in range(3):  # The warning is logged once a minute, not for every request.
            node.handle(Request("POST", "https://ours.example/inbox"))
    warnings = [record for record in caplog.records if "is a worker running?" in record.getMessage()]
    assert len(warnings) == is_warned
