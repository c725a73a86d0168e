"""What becomes of a commit: lost answers, guarded repeats, and store and queue in one or apart."""

from __future__ import annotations

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.drivers import Ports, commit_calls, run
from apcore.effects import Commit, Op
from apcore.errors import ContractError, QueueUnavailable, StoreBusy, StoreUnavailable
from apcore.ports import Check, DeleteEntry, Done, Increment, Message, Put
from worlds import in_each_world, verdict

KEY = ("fact",)
TOKEN, OTHER = b"t" * 16, b"o" * 16
MESSAGE = Message(b"m" * 16, "lane", b"look")


def ask(commit: Commit) -> Op[bool]:
    return (yield from commit)


GUARDED = Commit((Check(KEY, None),), (Put(KEY, b"mine"),), token=TOKEN)
UNGUARDED = Commit((), (Put(KEY, b"mine"),), token=TOKEN)


class Cut(MemoryStore):
    """A store whose commits go wrong by a script: each step says what becomes of one commit."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self.script = list(script)
        self.commits = 0
        self.gets = 0

    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        self.commits += 1
        step = self.script.pop(0) if self.script else "fine"
        match step:
            case "lost after":
                super().commit(checks, writes, token=token, messages=messages, settles=settles)
                raise StoreUnavailable("cut", outcome="unknown")
            case "lost before":
                raise StoreUnavailable("cut", outcome="unknown")
            case "nothing":
                raise StoreUnavailable("not there", outcome="nothing")
            case "busy":
                raise StoreBusy("contention")
            case "lost after, then overwritten":
                super().commit(checks, writes, token=token, messages=messages, settles=settles)
                super().commit((), (Put(KEY, b"theirs"),), token=OTHER)
                raise StoreUnavailable("cut", outcome="unknown")
            case "overtaken":
                super().commit((), (Put(KEY, b"theirs"),), token=OTHER)
                raise StoreUnavailable("cut", outcome="unknown")
            case "lost after, then deleted":
                super().commit(checks, writes, token=token, messages=messages, settles=settles)
                super().commit((), (DeleteEntry(KEY),), token=OTHER)
                super().commit((), (Put(KEY, b"again"),), token=OTHER)
                super().commit((), (DeleteEntry(KEY),), token=OTHER)
                raise StoreUnavailable("cut", outcome="unknown")
        return super().commit(checks, writes, token=token, messages=messages, settles=settles)

    def get(self, keys, /):
        self.gets += 1
        if self.script and self.script[0] == "no reading":
            raise StoreUnavailable("not there", outcome="nothing")
        return super().get(keys)

    @property
    def value(self) -> bytes | None:
        [entry] = MemoryStore.get(self, (KEY,))
        return entry.value if entry else None


@pytest.mark.parametrize(
    ("script", "commit", "answer", "commits", "value"),
    [
        pytest.param([], GUARDED, True, 1, b"mine", id="fine"),
        pytest.param(["lost after"], GUARDED, True, 2, b"mine", id="lost-after-it-happened"),
        pytest.param(["lost before"], GUARDED, True, 2, b"mine", id="lost-before-it-happened"),
        pytest.param(["nothing"], GUARDED, "nothing", 1, None, id="certainly-nothing-is-not-repeated"),
        pytest.param(["busy"], GUARDED, "nothing", 1, None, id="busy-is-not-repeated"),
        pytest.param(["lost after"], UNGUARDED, "unknown", 1, b"mine", id="unguarded-is-not-repeated"),
        pytest.param(["lost before"], UNGUARDED, "unknown", 1, None, id="unguarded-is-told-as-unknown"),
        pytest.param(["overtaken"], GUARDED, "unknown", 2, b"theirs", id="false-is-not-told-after-a-lost-answer"),
        pytest.param(["lost after, then overwritten"], GUARDED, "unknown", 2, b"theirs", id="overwritten-since"),
        pytest.param(["lost after, then deleted"], GUARDED, True, 2, b"mine", id="deleted-since-so-it-happens-again"),
        pytest.param(["lost after", "lost before"], GUARDED, "unknown", 2, b"mine", id="lost-twice"),
        pytest.param(["lost after", "nothing"], GUARDED, "unknown", 2, b"mine", id="lost-then-nothing-stays-unknown"),
        pytest.param(["lost before", "busy"], GUARDED, "unknown", 2, None, id="lost-then-busy-stays-unknown"),
        pytest.param(["overtaken", "fine", "no reading"], GUARDED, "unknown", 2, b"theirs", id="lost-and-unreadable"),
    ],
)
@in_each_world
def test_what_is_told_about_a_commit(world, script, commit, answer, commits, value):
    store = Cut(*script)
    told = verdict(world, outcome_of(ask(commit)), store=store)
    assert (told.returned, store.commits, store.value) == (answer, commits, value)


def outcome_of(op: Op[bool]) -> Op[bool | str]:
    try:
        return (yield from op)
    except StoreUnavailable as error:
        return error.outcome


def test_the_second_error_is_the_cause_of_the_first():
    with pytest.raises(StoreUnavailable, match="cut") as raised:
        run(ask(GUARDED), Ports(runtime=_runtime(), store=Cut("lost before", "busy")))
    assert isinstance(raised.value.__cause__, StoreBusy)


def _runtime():
    from apcore.adapters.threads import BlockingRuntime

    return BlockingRuntime()


@in_each_world
def test_a_check_that_does_not_hold_is_false_and_read_no_further(world):
    store = Cut()
    MemoryStore.commit(store, (), (Put(KEY, b"theirs"),), token=OTHER)
    assert verdict(world, ask(GUARDED), store=store).returned is False
    assert (store.commits, store.gets, store.value) == (1, 0, b"theirs")


@pytest.mark.parametrize(
    ("commit", "guard"),
    [
        (GUARDED, KEY),
        (UNGUARDED, None),
        (Commit((Check(("a",), None),), (Put(("b",), b""),), token=TOKEN), None),
        (Commit((Check(("a",), None),), (DeleteEntry(("a",)),), token=TOKEN), None),
        (Commit((Check(("a",), None),), (Increment(("a",), 1),), token=TOKEN), None),
        (
            Commit((Check(("a",), None), Check(("b",), OTHER)), (Increment(("a",), 1), Put(("b",), b"")), token=TOKEN),
            ("b",),
        ),
    ],
    ids=["guarded", "unguarded", "elsewhere", "deleted", "counter", "second"],
)
def test_a_guard_is_checked_and_put(commit, guard):
    assert commit.guard == guard


# --- with messages and settlements ----------------------------------------------------------------------------------


def with_messages(**more) -> Commit:
    return Commit(GUARDED.checks, GUARDED.writes, token=TOKEN, messages=(MESSAGE,), **more)


@in_each_world
def test_a_store_that_is_the_queue_takes_all_in_one_commit(world):
    store = Cut("lost after")
    assert verdict(world, ask(with_messages()), store=store, queue=store).returned is True
    assert (store.commits, store.depth(("lane",)).ready) == (2, 1)


class CountedQueue(MemoryStore):
    """A queue of its own, which may be down."""

    def __init__(self, down: str = "") -> None:
        super().__init__()
        self.down = down
        self.calls: list[str] = []

    def enqueue(self, messages, /):
        self.calls.append("enqueue")
        if self.down == "enqueue":
            raise QueueUnavailable("down")
        super().enqueue(messages)

    def settle(self, settlements, /):
        self.calls.append("settle")
        if self.down == "settle":
            raise QueueUnavailable("down")
        return super().settle(settlements)

    def leased(self):
        MemoryStore.enqueue(self, (Message(b"e" * 16, "lane", b"earlier"),))
        [leased] = self.lease(("lane",), limit=1, lease_s=60)
        return leased


@in_each_world
def test_apart_the_store_comes_first_then_the_messages_then_the_settlements(world):
    store, queue = Cut("lost after"), CountedQueue()
    commit = with_messages(settles=(Done(queue.leased()),))
    assert verdict(world, ask(commit), store=store, queue=queue).returned is True
    assert (store.value, queue.calls, queue.depth(("lane",)).ready) == (b"mine", ["enqueue", "settle"], 1)


@in_each_world
def test_apart_nothing_follows_a_commit_that_answered_false(world):
    store, queue = Cut(), CountedQueue()
    MemoryStore.commit(store, (), (Put(KEY, b"theirs"),), token=OTHER)
    commit = with_messages(settles=(Done(queue.leased()),))
    assert verdict(world, ask(commit), store=store, queue=queue).returned is False
    assert queue.calls == []


@pytest.mark.parametrize("down", ["enqueue", "settle"])
@in_each_world
def test_apart_a_queue_that_is_down_is_told_with_the_fact_committed(world, down):
    store, queue = Cut(), CountedQueue(down)
    commit = with_messages(settles=(Done(queue.leased()),))
    assert verdict(world, ask(commit), store=store, queue=queue).raised is QueueUnavailable
    assert store.value == b"mine"


@in_each_world
def test_apart_a_lost_lease_is_no_news(world):
    store, queue = Cut(), CountedQueue()
    leased = queue.leased()
    MemoryStore.settle(queue, (Done(leased),))
    commit = with_messages(settles=(Done(leased),))
    assert verdict(world, ask(commit), store=store, queue=queue).returned is True


@in_each_world
def test_in_one_a_lost_lease_makes_it_false(world):
    store = CountedQueue()
    leased = store.leased()
    MemoryStore.settle(store, (Done(leased),))
    assert verdict(world, ask(with_messages(settles=(Done(leased),))), store=store, queue=store).returned is False
    assert store.get((KEY,)) == [None]


@in_each_world
def test_messages_without_a_queue_are_a_broken_contract_before_anything_is_written(world):
    store = Cut()
    told = verdict(world, ask(with_messages()), store=store, queue=None)
    assert (told.raised, store.commits) == (ContractError, 0)


def test_the_calls_can_be_made_by_anyone():
    store = MemoryStore()
    calls = commit_calls(GUARDED, store, None)
    call = next(calls)
    with pytest.raises(StopIteration) as stop:
        calls.send(call())
    assert stop.value.value is True
