"""Check commits with lost answers, guarded repeats, and a store and queue in one or separate."""

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


def run_commit(commit: Commit) -> Op[bool]:
    return (yield from commit)


GUARDED = Commit((Check(KEY, None),), (Put(KEY, b"mine"),), token=TOKEN)
UNGUARDED = Commit((), (Put(KEY, b"mine"),), token=TOKEN)


class ScriptedStore(MemoryStore):
    """A store that fails its commits by a script: each step is the fate of one commit."""

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
def test_outcome_of_a_failed_commit(world, script, commit, answer, commits, value):
    store = ScriptedStore(*script)
    outcome = verdict(world, outcome_of(run_commit(commit)), store=store)
    assert (outcome.returned, store.commits, store.value) == (answer, commits, value)


def outcome_of(op: Op[bool]) -> Op[bool | str]:
    try:
        return (yield from op)
    except StoreUnavailable as error:
        return error.outcome


def test_second_error_is_the_cause_of_the_first():
    with pytest.raises(StoreUnavailable, match="cut") as raised:
        run(run_commit(GUARDED), Ports(runtime=_runtime(), store=ScriptedStore("lost before", "busy")))
    assert isinstance(raised.value.__cause__, StoreBusy)


def _runtime():
    from apcore.adapters.threads import BlockingRuntime

    return BlockingRuntime()


@in_each_world
def test_failed_check_answers_false_without_a_read(world):
    store = ScriptedStore()
    MemoryStore.commit(store, (), (Put(KEY, b"theirs"),), token=OTHER)
    assert verdict(world, run_commit(GUARDED), store=store).returned is False
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
def test_guard_of_a_commit_is_the_key_that_is_checked_and_put(commit, guard):
    assert commit.guard == guard


# --- with messages and settlements ----------------------------------------------------------------------------------


def with_messages(**kwargs) -> Commit:
    return Commit(GUARDED.checks, GUARDED.writes, token=TOKEN, messages=(MESSAGE,), **kwargs)


@in_each_world
def test_store_that_is_the_queue_commits_messages_too(world):
    store = ScriptedStore("lost after")
    assert verdict(world, run_commit(with_messages()), store=store, queue=store).returned is True
    assert (store.commits, store.depth(("lane",)).ready) == (2, 1)


class CountedQueue(MemoryStore):
    """A separate queue, of which one method may be down."""

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

    def lease_one(self):
        MemoryStore.enqueue(self, (Message(b"e" * 16, "lane", b"earlier"),))
        [lease] = self.lease(("lane",), limit=1, lease_s=60)
        return lease


@in_each_world
def test_separate_queue_gets_messages_and_settlements_after_the_commit(world):
    store, queue = ScriptedStore("lost after"), CountedQueue()
    commit = with_messages(settles=(Done(queue.lease_one()),))
    assert verdict(world, run_commit(commit), store=store, queue=queue).returned is True
    assert (store.value, queue.calls, queue.depth(("lane",)).ready) == (b"mine", ["enqueue", "settle"], 1)


@in_each_world
def test_separate_queue_gets_nothing_after_a_failed_check(world):
    store, queue = ScriptedStore(), CountedQueue()
    MemoryStore.commit(store, (), (Put(KEY, b"theirs"),), token=OTHER)
    commit = with_messages(settles=(Done(queue.lease_one()),))
    assert verdict(world, run_commit(commit), store=store, queue=queue).returned is False
    assert queue.calls == []


@pytest.mark.parametrize("down", ["enqueue", "settle"])
@in_each_world
def test_failure_of_a_separate_queue_is_raised_after_the_commit(world, down):
    store, queue = ScriptedStore(), CountedQueue(down)
    commit = with_messages(settles=(Done(queue.lease_one()),))
    assert verdict(world, run_commit(commit), store=store, queue=queue).raised is QueueUnavailable
    assert store.value == b"mine"


@in_each_world
def test_lost_lease_in_a_separate_queue_is_ignored(world):
    store, queue = ScriptedStore(), CountedQueue()
    lease = queue.lease_one()
    MemoryStore.settle(queue, (Done(lease),))
    commit = with_messages(settles=(Done(lease),))
    assert verdict(world, run_commit(commit), store=store, queue=queue).returned is True


@in_each_world
def test_lost_lease_in_a_store_that_is_the_queue_fails_the_commit(world):
    store = CountedQueue()
    lease = store.lease_one()
    MemoryStore.settle(store, (Done(lease),))
    assert verdict(world, run_commit(with_messages(settles=(Done(lease),))), store=store, queue=store).returned is False
    assert store.get((KEY,)) == [None]


@in_each_world
def test_messages_without_a_queue_are_refused_before_any_write(world):
    store = ScriptedStore()
    outcome = verdict(world, run_commit(with_messages()), store=store, queue=None)
    assert (outcome.raised, store.commits) == (ContractError, 0)


def test_commit_calls_can_be_made_without_a_driver():
    store = MemoryStore()
    calls = commit_calls(GUARDED, store, None)
    call = next(calls)
    with pytest.raises(StopIteration) as stop:
        calls.send(call())
    assert stop.value.value is True
