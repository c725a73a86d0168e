"""Check workers: no lost message is forgotten, none wakes too early, and none stops the others."""

import asyncio
import itertools
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from apcore.adapters.memory import MemoryStore
from apcore.drivers import run
from apcore.effects import Enqueue, Extend, Lease, commit
from apcore.errors import ConnectFailed, StoreUnavailable, Unavailable, WorkerEnded
from apcore.federation.reconcile import reconcile
from apcore.federation.wake_ups import DELIVER, KINDS, kind_of_lane, lane_of, lanes_for
from apcore.federation.worker import LANES, lease_work, origin_of
from apcore.http import Headers, Request, Response, parse_url
from apcore.node import AsyncNode, Node
from apcore.node.binding import BackOff
from apcore.ports import Check, LeasedMessage, Message, Put
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Like, Note
from outbox_fixture import ALICE, HERE, Outgoing, alice_and_bob

X = "https://x.example"
OTHER = "https://other.example"


def like(out: Outgoing, *to: str) -> None:
    out.node.send(Like(object=f"{X}/n"), by="alice", to=to)


# --- enqueueing again after a loss ----------------------------------------------------------------------------------


def test_reconcile_enqueues_again_once_and_keeps_the_delays() -> None:
    out = Outgoing(own_queue=True)
    out.post.answers[X] = ConnectFailed("no")
    out.post.answers["https://y.example"] = 408
    out.post.actors["https://z.example/dora"] = ConnectFailed("no")
    like(out, f"{X}/bob", "https://y.example/carol", "https://z.example/dora")
    out.work()
    posts, gets = len(out.post.posts), len(out.post.gets)
    out.lose_queue()
    for _ in range(3):
        assert out.node.run(reconcile()) == 3
    depth = out.queue.depth(LANES)
    assert (depth.ready, depth.delayed, depth.leased) == (0, 3, 0)
    out.work()
    assert (len(out.post.posts), len(out.post.gets)) == (posts, gets)
    out.post.answers.clear()
    out.post.actors.clear()
    out.pass_s(180)
    assert sorted(set(out.post.urls)) == [
        f"{X}/bob/inbox",
        "https://y.example/carol/inbox",
        "https://z.example/dora/inbox",
    ]
    assert out.waiting() == 0


def test_a_later_sending_does_not_wait_for_an_unfound_recipient_after_the_queue_is_lost() -> None:
    out = Outgoing(own_queue=True)
    out.post.actors["https://z.example/dora"] = ConnectFailed("no")
    like(out, "https://z.example/dora")
    out.work()
    out.lose_queue()
    assert out.node.run(reconcile()) == 1
    like(out, f"{X}/bob")
    out.clock.moment += timedelta(seconds=60)
    messages = [leased.message for leased in out.queue.lease(LANES, limit=10, lease_s=60)]
    assert len({message.group for message in messages}) == len(messages) == 2


def test_many_deliveries_are_enqueued_again_in_batches() -> None:
    out = Outgoing(own_queue=True)
    out.post.answers = {f"https://{number:03d}.example": ConnectFailed("no") for number in range(120)}
    out.follow(*(f"{origin}/bob" for origin in out.post.answers))
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    out.lose_queue()
    batch_sizes: list[int] = []

    def observe(effect: object, _place: object) -> Any:
        if isinstance(effect, Enqueue):
            batch_sizes.append(len(effect.messages))
        return lambda _outcome: None

    out.options["observer"] = observe
    out.node = out.made()
    assert out.node.run(reconcile()) == 120
    assert batch_sizes == [50, 50, 20]
    assert out.queue.depth(LANES).delayed == 120


@pytest.mark.parametrize("value", [b'{"v":99}\n', b"nonsense"], ids=["newer", "no fact"])
def test_unreadable_record_is_left_alone_and_stops_no_others(value: bytes) -> None:
    out = Outgoing(own_queue=True)
    for prefix in ("in-todo", "send"):
        key = (prefix, "1", "a", "b", "c")
        assert out.node.run(commit((Check(key, None),), (Put(key, value),)))
    row = ("out", "1", "https://a.example", "0", "n", "h")
    assert out.node.run(commit((Check(row, None),), (Put(row, value),)))
    like(out, f"{X}/bob")
    out.lose_queue()
    out.work()
    assert out.post.urls == [f"{X}/bob/inbox"]
    assert len(out.facts("in-todo")) + len(out.facts("out")) == 2


# --- no message stops the others ------------------------------------------------------------------------------------

ODD = {
    "an unknown lane's body": b"",
    "no JSON": b"{",
    "no key": b"[]",
    "numbers": b"[1,2]",
    "gone": b'["send","1","gone"]',
    "another thing": b'{"to":"x"}',
    "no origin": b'{"to":"x","by":"y"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
@pytest.mark.parametrize("lane", [lane for kind in KINDS for lane in (kind, lane_of(kind, HERE))])
def test_meaningless_message_is_dropped(lane: str, body: bytes) -> None:
    out = Outgoing()
    out.store.enqueue([Message(b"0" * 16, lane, body)])
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(300)
    assert out.post.urls == [f"{X}/bob/inbox"]
    assert out.waiting() == 0


def test_record_of_a_newer_release_is_deferred() -> None:
    out = Outgoing()
    key = ("send", "1", "newer")
    assert out.node.run(commit((Check(key, None),), (Put(key, b'{"v":99}\n'),)))
    out.store.enqueue([Message(b"0" * 16, "fanout", b'["send","1","newer"]')])
    like(out, f"{X}/bob")
    out.work()
    assert out.post.urls == [f"{X}/bob/inbox"]
    assert out.store.depth(LANES).delayed == 1


def test_bug_of_a_handler_stops_no_other_message() -> None:
    federation = alice_and_bob()

    @federation.collection("followers")
    def followers(ctx: Any, identifier: str, cursor: str | None) -> Any:
        raise KeyError("a bug of the application")

    out = Outgoing(federation)
    out.node.publish(Note(content="hi"), by="alice")
    like(out, f"{X}/bob")
    out.work()
    assert out.post.urls == [f"{X}/bob/inbox"]
    assert out.store.depth(LANES).delayed == 1


def test_message_is_deferred_if_the_data_is_unavailable() -> None:
    tries = []

    def data() -> Any:
        tries.append(1)
        raise OSError("the application's database is down")

    out = Outgoing()
    like(out, f"{X}/bob")
    out.options["data"] = data
    out.node = out.made()
    out.work()
    assert tries
    assert out.store.depth(LANES).delayed == 1


def test_listener_with_too_many_writes_becomes_a_dead_letter() -> None:
    federation = alice_and_bob()
    runs: list[int] = []

    @federation.on(Like)
    def liked(ctx: Any, activity: Like) -> None:
        runs.append(ctx.attempt)
        for number in range(60):
            ctx.append(f"{HERE}/likes", str(number))

    out = Outgoing(federation)
    like(out, f"{HERE}/users/bob")
    out.work()
    out.pass_s(2 * 86400, step_s=1800)
    assert runs == list(range(1, 11))
    assert len(out.facts("dead")) == 1
    assert out.waiting() == 0


# --- leases ---------------------------------------------------------------------------------------------------------


def test_leases_of_waiting_messages_are_extended() -> None:
    out = Outgoing()
    lost_leases: list[LeasedMessage] = []

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=29)
        # Another worker may lease messages of peers that are done.
        posted = {str(parse_url(url).origin) for url in out.post.urls}
        lost_leases.extend(
            leased
            for leased in run(_lease(), out.node.ports)
            if (leased.message.group or "").partition(" ")[0] not in posted
        )
        return Response(202)

    def _lease() -> Any:
        return (yield from Lease(lanes_for(DELIVER), limit=10, lease_s=90))

    for number in range(10):
        out.post.answers[f"https://{number}.example"] = slow
    like(out, *(f"https://{number}.example/bob" for number in range(10)))
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    out.work()
    assert not lost_leases
    assert len(out.post.urls) == 10


def test_each_step_begins_with_a_whole_lease() -> None:
    """One step may take 85 s. The second step must still have its lease, so that no other worker does the same."""
    out = Outgoing()
    lost_leases: list[LeasedMessage] = []

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=29 if len(out.post.posts) == 1 else 85)
        posted = {str(parse_url(url).origin) for url in out.post.urls[:-1]}
        leased = out.node.run(_lease_deliveries())
        lost_leases.extend(
            leased_message
            for leased_message in leased
            if (leased_message.message.group or "").partition(" ")[0] not in posted
        )
        return Response(202)

    for number in range(2):
        out.post.answers[f"https://{number}.example"] = slow
    like(out, *(f"https://{number}.example/bob" for number in range(2)))
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    out.work()
    assert not lost_leases
    assert len(out.post.urls) == 2


def _lease_deliveries() -> Any:
    return (yield from Lease(lanes_for(DELIVER), limit=10, lease_s=90))


def test_lease_of_another_worker_is_reported_as_lost() -> None:
    out = Outgoing()
    like(out, f"{X}/bob", "https://y.example/bob")
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    own_leases = out.node.run(lease_work(2))
    assert len(own_leases) == 2
    out.clock.moment += timedelta(seconds=91)
    other_leases = out.node.run(lease_work(2, limit=1))
    out.clock.moment += timedelta(seconds=1)
    lost_leases = out.node.run(_extend_leases(own_leases))
    assert [leased.message for leased in lost_leases] == [leased.message for leased in other_leases]


def _extend_leases(leases: Any) -> Any:
    return (yield from Extend(leases, lease_s=90))


# --- origins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", [(HERE, OTHER), lambda origin: origin in (HERE, OTHER)], ids=["two origins", "a function decides"]
)
def test_node_works_for_several_origins(origin: Any) -> None:
    out = Outgoing(origin=origin, own_queue=True)
    for here in (HERE, OTHER):
        out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob", origin=here)
        out.node.publish(Note(content=here), by="alice", to=f"{X}/bob", origin=here)
    out.lose_queue()
    out.work()
    out.lose_queue()
    out.work()
    assert sorted(body["actor"] for body in out.post.bodies) == sorted([ALICE] * 2 + [f"{OTHER}/users/alice"] * 2)
    for body, (_, request) in zip(out.post.bodies, out.post.posts, strict=True):
        assert f'keyId="{body["actor"]}#main-key"' in (request.headers.get("signature") or "")
    accept = Headers({"Accept": "application/activity+json"})
    for here in (HERE, OTHER):
        answer = out.node.handle(Request("GET", f"{here}/users/alice", accept))
        assert isinstance(answer, Response)
        assert f'"id":"{here}/users/alice"'.encode() in answer.body


def test_deliveries_have_their_origin_even_after_the_queue_was_lost() -> None:
    out = Outgoing(origin=lambda _: True, own_queue=True)
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob", origin=OTHER)
    out.node.handle_leased(out.node.run(lease_work(1))[0])
    out.lose_queue()
    assert out.node.run(reconcile()) == 1
    [leased] = out.node.run(lease_work(2))
    assert str(out.node.run(origin_of(leased))) == OTHER
    assert kind_of_lane(leased.message.lane) == DELIVER


def test_async_node_delivers_everything_once() -> None:
    out = Outgoing()
    out.clock.moment = datetime.now(UTC)  # An event loop uses the real time.
    like(out, *(f"https://{number}.example/bob" for number in range(30)))
    out.store.enqueue([Message(b"0" * 16, "deliver", b"{")])

    async def main() -> int:
        node = AsyncNode(out.federation, HERE, out.store, transport=out.post, signer=ReusedKeys(), runtime="asyncio")
        async with node:
            return await node.work(until_idle=True)

    assert asyncio.run(main()) > 30
    assert len(set(out.post.urls)) == len(out.post.urls) == 30
    assert not out.facts("out", "1")


@pytest.mark.parametrize("make_node", [Node, AsyncNode])
def test_worker_until_idle_leases_nothing_while_it_reconciles(make_node: Any) -> None:
    """A message leased meanwhile would get a duplicate, which delays its group by a second."""
    leased = threading.Event()

    class SlowScans(MemoryStore):
        def scan(self, *args: Any, **options: Any) -> Any:
            leased_early.append(leased.wait(0.02))
            return super().scan(*args, **options)

        def lease(self, *args: Any, **options: Any) -> Any:
            leased.set()
            return super().lease(*args, **options)

    async def work() -> None:
        async with make_node(alice_and_bob(), HERE, SlowScans(), signer=ReusedKeys()) as node:
            await node.work(until_idle=True)

    leased_early: list[bool] = []
    if make_node is AsyncNode:
        asyncio.run(work())
    else:
        make_node(alice_and_bob(), HERE, SlowScans(), signer=ReusedKeys()).work(until_idle=True)
    assert len(leased_early) > 2
    assert not any(leased_early)


# --- stopping -------------------------------------------------------------------------------------------------------


def test_stopped_worker_returns_messages_that_it_has_not_begun() -> None:
    out = Outgoing()

    def stopping(_: Request) -> Response:
        out.node.stop()
        return Response(202)

    for number in range(10):
        out.post.answers[f"https://{number}.example"] = stopping
    like(out, *(f"https://{number}.example/bob" for number in range(10)))
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    assert out.node.work() == 1, "it ended although no end was set"
    assert len(out.post.urls) == 1, "it finished the delivery that it had begun"
    assert out.queue.depth(LANES).leased == 0, "no other worker waits for its leases"
    assert out.node.is_stopped
    assert out.node.work() == 0
    out.post.answers.clear()
    out.node = out.made()
    out.work()
    assert len(set(out.post.urls)) == len(out.post.urls) == 10


@pytest.mark.parametrize("start", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_stopped_async_worker_finishes_what_it_has_begun(start: Any) -> None:
    out = Outgoing()
    out.clock.moment = datetime.now(UTC)
    like(out, *(f"https://{number}.example/bob" for number in range(10)))
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])

    async def main() -> int:
        node = AsyncNode(out.federation, HERE, out.store, transport=out.post, signer=ReusedKeys())

        def stopping(_: Request) -> Response:
            node.stop()
            return Response(202)

        out.post.answers = {f"https://{number}.example": stopping for number in range(10)}
        async with node:
            return await node.work()

    assert start(main) == 10 if start is trio.run else start(main()) == 10
    assert len(out.post.urls) == 10
    assert not out.facts("out", "1")
    assert out.queue.depth(LANES).leased == 0


def test_slow_peer_does_not_delay_messages_that_were_leased_later() -> None:
    out = Outgoing()
    out.clock.moment = datetime.now(UTC)
    others = [f"https://{number:02d}.example" for number in range(15)]
    like(out, f"{X}/slow", *(f"{origin}/bob" for origin in others))
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    reached = asyncio.Event()

    class Slow:
        """Answer for the slow peer after all others were reached."""

        checks_addresses = "enforced"

        async def send(self, request: Request, /) -> Response:
            if request.url.startswith(X):
                await asyncio.wait_for(reached.wait(), 10)
            answer = out.post.send(request)
            if len(out.post.urls) == len(others):
                reached.set()
            return answer

        async def aclose(self) -> None:
            """Do nothing: no connection is open."""

    async def main() -> int:
        async with AsyncNode(out.federation, HERE, out.store, transport=Slow(), signer=ReusedKeys()) as node:
            return await node.work(until_idle=True)

    assert asyncio.run(main()) >= 16
    assert out.post.urls[-1].startswith(X)


class Down(MemoryStore):
    """A store that fails for the first times that a worker leases."""

    failures = 2

    def lease(self, *args: Any, **options: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("it is down")
        return super().lease(*args, **options)


def test_error_of_the_store_reaches_the_caller_of_limited_work() -> None:
    out = Outgoing()

    async def main() -> None:
        async with AsyncNode(out.federation, HERE, Down(), transport=out.post, signer=ReusedKeys()) as node:
            await node.work(until_idle=True)

    with pytest.raises(StoreUnavailable, match="down"):
        asyncio.run(main())


@pytest.mark.parametrize("slots", [0, 8], ids=["sequential", "in threads"])
def test_blocking_worker_goes_on_when_the_store_is_back(monkeypatch, slots: int) -> None:
    monkeypatch.setattr("apcore.node.binding.BACK_OFF_S_MIN", 0.01)
    out, store = Outgoing(), Down()
    with Node(out.federation, HERE, store, transport=out.post, signer=ReusedKeys(), slots=slots) as node:
        store.wait = lambda *_, **__: None if store.failures else node.stop()  # type: ignore[method-assign]
        node.work()
    assert store.failures == 0


def test_async_worker_goes_on_when_the_store_is_back(monkeypatch) -> None:
    monkeypatch.setattr("apcore.node.binding.BACK_OFF_S_MIN", 0.01)
    out, store = Outgoing(), Down()

    async def main() -> None:
        async with AsyncNode(out.federation, HERE, store, transport=out.post, signer=ReusedKeys()) as node:
            store.wait = lambda *_, **__: None if store.failures else node.stop()  # type: ignore[method-assign]
            await node.work()

    asyncio.run(main())
    assert store.failures == 0


def test_pauses_of_a_worker_grow_to_a_bound_and_start_anew_after_a_success() -> None:
    back_off = BackOff()
    now_s, pauses = 0.0, []
    for _ in range(7):
        pauses.append(back_off.begin(now_s))
        assert back_off.is_on(now_s)
        assert back_off.begin(now_s) == pauses[-1], "a failure during a pause counted"
        now_s += pauses[-1]
        assert not back_off.is_on(now_s)
    assert pauses == [1, 2, 4, 8, 16, 16, 16]
    back_off.end()
    assert back_off.begin(now_s) == 1


@pytest.mark.parametrize("refused", [*({number} for number in range(6)), set(range(1, 100)), set(range(100))])
def test_worker_whose_threads_cannot_be_started_loses_no_message(monkeypatch, refused: set[int]) -> None:
    numbers = itertools.count()

    class RefusedThread(threading.Thread):
        def start(self) -> None:
            if next(numbers) in refused:
                raise RuntimeError("can't create new thread at interpreter shutdown")
            super().start()

    out = Outgoing(slots=4)
    origins = [f"https://{number}.example" for number in range(6)]
    for origin in origins:
        like(out, f"{origin}/bob")
    with monkeypatch.context() as patch:
        patch.setattr("apcore.adapters.threads.Thread", RefusedThread)
        with suppress(Unavailable):
            out.work()
    out.work()
    assert sorted(out.post.urls) == [f"{origin}/bob/inbox" for origin in origins]
    # A reconciliation beside a running delivery may have enqueued it again. Its message comes back a second later.
    out.pass_s(60)
    assert out.waiting() == 0
    assert len(out.post.urls) == len(origins)


def test_handler_that_outlives_its_worker_uses_no_port() -> None:
    """After its worker has ended, a closed store is never used again, whichever port the handler's thread calls."""
    calls: list[str] = []
    is_closed = threading.Event()

    class ClosingStore(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in {"get", "scan", "commit", "enqueue", "lease", "extend", "settle"} and is_closed.is_set():
                calls.append(name)
            return super().__getattribute__(name)

    started, released = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []
    federation = alice_and_bob()

    @federation.on(Like)
    def liked(ctx: Any, activity: Like) -> None:
        threads.append(threading.current_thread())
        started.set()
        assert released.wait(10)
        try:
            ctx.append(f"{HERE}/likes", activity.id)
            _ = ctx.resolve(f"{HERE}/users/bob")
        except Unavailable as error:
            errors.append(error)
            raise

    network = PeerNetwork()
    carol = network.peer(f"{X}/carol")
    with Node(federation, HERE, ClosingStore(), transport=network, signer=ReusedKeys()) as node:
        sent = carol.activity("Like", object=f"{ALICE}/n")
        assert carol.deliver(node, sent, to=f"{ALICE}/inbox").status == 202
        stopper = threading.Thread(target=lambda: started.wait(10) and node.stop())
        stopper.start()
        assert node.work(grace_s=0.0) == 1
        stopper.join()
        is_closed.set()
        released.set()
        threads[0].join(10)
    assert [type(error) for error in errors] == [WorkerEnded]
    assert calls == []
