"""Check the planning of deliveries: every recipient is reached, each inbox once, in bounded steps, despite failures."""

import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.collections import Member, PageItems, add_member
from apcore.drivers import Ports, run
from apcore.effects import Commit, commit
from apcore.errors import ConnectFailed, FetchTimedOut, Unavailable
from apcore.federation import DomainRules, Federation
from apcore.federation.outbox.records import SENT_ACTIVITIES
from apcore.federation.reconcile import reconcile
from apcore.federation.retry import RetryPolicy
from apcore.federation.worker import handle, lease_work
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import DeleteEntry
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import PUBLIC, Like, Note, Person
from outbox_fixture import ALICE, FOLLOWERS, HERE, Outgoing, alice_and_bob

X, Y = "https://x.example", "https://y.example"


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def shared_inbox(actor: str) -> str:
    return "/".join(actor.split("/")[:3]) + "/inbox"


@pytest.mark.parametrize("redirects", [0, 1, 5], ids=["at once", "after a redirect", "after five"])
def test_slow_lookup_takes_at_most_a_share_of_the_lease(out: Outgoing, redirects: int) -> None:
    """Delay a lookup: otherwise the lease expires, and worker after worker is stuck in the same step."""
    send, waits = out.post.send, list[float]()

    def slow(request: Request) -> Response:
        if request.method != "GET":
            return send(request)
        hops = int(request.url.partition("?")[2] or 0)
        waited_s = min(request.limits.deadline_s, 14.0)
        waits.append(waited_s)
        out.clock.moment += timedelta(seconds=waited_s)
        if hops < redirects:
            return Response(302, Headers({"Location": f"?{hops + 1}"}))
        raise FetchTimedOut("slow")

    out.post.send = slow  # type: ignore[method-assign]
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    assert waits
    assert sum(waits) <= 15
    assert len(out.facts("send", "1")) == 1
    out.post.send = send  # type: ignore[method-assign]
    out.pass_s(300)
    assert out.post.urls == [f"{X}/bob/inbox"]


def test_followers_with_one_shared_inbox_get_one_post(out: Outgoing) -> None:
    out.follow(*(f"{X}/users/{number}" for number in range(200)), f"{Y}/carol", shared=shared_inbox)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert sorted(out.post.urls) == [f"{X}/inbox", f"{Y}/inbox"]
    assert not out.facts("send", "1")


def test_inbox_in_two_spellings_gets_one_post(out: Outgoing) -> None:
    spellings = {"a": "https://X.example:443/inbox", "b": f"{X}/inbox"}
    out.follow(f"{X}/a", f"{X}/b", shared=lambda actor: spellings[actor[-1]])
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert out.post.urls == [f"{X}/inbox"]


def test_two_hundred_followers_are_planned_in_bounded_steps(out: Outgoing) -> None:
    out.follow(*(f"https://{number}.example/bob" for number in range(200)))
    commits: list[Commit] = []

    def observe(effect: object, _place: object) -> Any:
        if isinstance(effect, Commit):
            commits.append(effect)
        return lambda _outcome: None

    out.options["observer"] = observe
    out.node = out.made()
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert sorted(out.post.urls) == sorted(f"https://{number}.example/bob/inbox" for number in range(200))
    assert len({request.body for _, request in out.post.posts}) == 1
    planning = [commit for commit in commits if any(write.key[0] == "out" for write in commit.writes)]
    assert len([commit for commit in planning if len(commit.messages) == 20]) == 10
    assert all(len({*commit.checks, *commit.writes}) <= 100 for commit in commits)


BAD_INBOXES = [
    "",
    "no address",
    "ftp://x.example/inbox",
    "https://",
    "https://x.example/\u00e9",
    "https://u:p@x.example/inbox",
    "https://x.example/inbox#part",
    "http://[::1/inbox",
    "https://x.example:99999/i",
    "https://x.example/" + "a" * 5000,
]


@pytest.mark.parametrize("inbox", BAD_INBOXES, ids=lambda inbox: inbox[:30])
def test_malformed_inbox_does_not_affect_other_recipients(out: Outgoing, inbox: str) -> None:
    out.follow(f"{X}/bad", f"{Y}/carol", shared=lambda actor: inbox if actor.endswith("bad") else None)
    out.post.actors[f"{X}/worse"] = {"inbox": inbox}
    out.node.publish(Note(content="hi"), by="alice", to=[PUBLIC, f"{X}/worse"])
    out.work()
    out.pass_s(3600)
    assert f"{Y}/carol/inbox" in out.post.urls
    assert not out.facts("send", "1")
    assert out.waiting() == 0


def test_failed_lookup_is_retried_later_and_finally_given_up(out: Outgoing) -> None:
    out.post.actors = {f"{X}/{number}": ConnectFailed("no") for number in range(45)}
    out.node.send(Like(object=f"{X}/n"), by="alice", to=[*out.post.actors, f"{Y}/carol"])
    assert out.work() < 20
    assert out.post.urls == [f"{Y}/carol/inbox"]
    assert out.post.gets == [f"{X}/0", f"{Y}/carol"]  # the others share a host that has not answered
    out.post.actors = {f"{X}/0": ConnectFailed("no")}
    out.pass_s(120)
    assert len(out.post.urls) == 45
    out.pass_s(4 * 86400, step_s=3600)
    assert len(out.post.urls) == 45
    assert not out.facts("send", "1")


def test_failed_lookup_does_not_delay_later_activities(out: Outgoing) -> None:
    out.post.actors = {f"{X}/bob": ConnectFailed("no")}
    for _ in range(2):
        out.node.send(Like(object=f"{Y}/n"), by="alice", to=[f"{X}/bob", f"{Y}/carol"])
        out.work()
    assert out.post.urls == [f"{Y}/carol/inbox"] * 2


def test_followers_without_a_stored_inbox_are_looked_up(out: Outgoing) -> None:
    change = add_member(FOLLOWERS, Member(f"{X}/bob"), order="1")
    assert out.node.run(commit(change.checks, change.writes))
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert out.post.urls == [f"{X}/bob/inbox"]


@pytest.mark.parametrize("size", [7, 20, 45])
def test_followers_of_a_custom_collection_are_reached(size: int) -> None:
    followers = [f"https://{number}.example/bob" for number in range(100)]
    federation = alice_and_bob()

    @federation.collection("followers")
    def dispatch(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        first = int(cursor or 0)
        items: list[Any] = [*followers[first : first + size]]
        items[0] = Person(id=items[0])
        return PageItems(items, str(first + size) if first + size < len(followers) else None)

    out = Outgoing(federation)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert sorted(out.post.urls) == sorted(f"{follower}/inbox" for follower in followers)


def test_endless_pages_of_followers_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apcore.federation.outbox.fanout.STEPS_MAX", 50)
    federation = alice_and_bob()

    @federation.collection("followers")
    def dispatch(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        return PageItems([f"{X}/bob"], "again")

    out = Outgoing(federation)
    out.node.publish(Note(content="hi"), by="alice")
    assert out.work() <= 60
    assert len(out.post.urls) == 1
    assert not out.facts("send", "1")
    [letter] = out.facts("dead")
    assert b"the limit is 50 steps" in letter.value


def test_sending_without_its_activity_becomes_a_dead_letter() -> None:
    out = Outgoing(alice_and_bob())
    out.node.publish(Note(content="hi"), by="alice", to=f"{X}/bob")
    [sent] = [entry for entry in out.store.scan((), limit=100) if SENT_ACTIVITIES.holds(entry.key)]
    assert out.store.commit((), (DeleteEntry(sent.key),), token=bytes(16))
    out.work()
    assert out.post.urls == []
    [letter] = out.facts("dead")
    assert letter.key[:3] == ("dead", "1", "send")
    assert b"the activity is not stored any more" in letter.value
    assert not out.facts("send", "1")
    assert out.waiting() == 0


def test_named_recipient_uses_the_shared_inbox_and_others_their_own(out: Outgoing) -> None:
    for name in ("named", "unnamed"):
        out.post.actors[f"{X}/{name}"] = {"endpoints": {"sharedInbox": f"{X}/inbox"}}
    out.node.send(Like(object=f"{X}/n", to=[f"{X}/named"]), by="alice", to=[f"{X}/named", f"{X}/unnamed"])
    out.work()
    assert sorted(out.post.urls) == [f"{X}/inbox", f"{X}/unnamed/inbox"]


@pytest.mark.parametrize("public", [PUBLIC, "as:Public", "Public"])
def test_public_collection_gets_no_delivery(out: Outgoing, public: str) -> None:
    out.node.send(Like(object=f"{X}/n"), by="alice", to=[public, ALICE])
    out.work()
    assert not out.post.urls + out.post.gets
    assert not out.facts("send", "1")


# --- local recipients -----------------------------------------------------------------------------------------------


def test_local_follower_is_reached_once_without_a_request(out: Outgoing) -> None:
    calls: list[tuple[str | None, str]] = []
    federation = alice_and_bob()

    @federation.on(Like)
    def record_like(ctx: Any, activity: Like) -> None:
        calls.append((ctx.recipient, activity.id or ""))

    out = Outgoing(federation)
    bob = f"{HERE}/users/bob"
    out.follow(bob, ALICE, f"{HERE}/users/nobody", f"{HERE}/nothing")
    out.node.send(Like(object=f"{X}/n"), by="alice", to=[FOLLOWERS, bob, f"{HERE}/users/%62ob"])
    out.work()
    assert [recipient for recipient, _ in calls] == ["bob"]
    assert not out.post.urls + out.post.gets
    assert out.waiting() == 0


@pytest.mark.parametrize("case", ["lookup", "stored", "inbox"])
def test_suspended_recipient_is_neither_looked_up_nor_delivered_to(case: str) -> None:
    federation = alice_and_bob()
    federation.blocks(DomainRules.suspending(["x.example"]))
    out = Outgoing(federation)
    actor = f"{Y}/carol" if case == "inbox" else f"{X}/bob"
    if case == "lookup":
        out.node.send(Like(object=f"{Y}/n"), by="alice", to=actor)
    else:
        # An actor of a suspended domain with an inbox elsewhere, and one from elsewhere with an inbox there.
        out.follow(actor, shared=lambda _: f"{X}/inbox" if case == "inbox" else f"{Y}/inbox")
        out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert not out.post.urls + out.post.gets
    assert out.waiting() == 0


def test_large_body_for_many_local_recipients_fits_the_commits() -> None:
    names = [f"user{number}" for number in range(25)]
    recipients: list[str] = []
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person:
        return Person(preferred_username=identifier)

    @federation.on(Like)
    def record_like(ctx: Any, activity: Like) -> None:
        recipients.append(ctx.recipient)

    out = Outgoing(federation)
    like = Like(object=f"{X}/n", content="x" * 900_000)
    out.node.send(like, by="alice", to=[f"{HERE}/users/{name}" for name in names])
    out.work()
    assert sorted(recipients) == sorted(names)


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("own_queue", [False, True], ids=["one store", "a queue of its own"])
def test_every_recipient_is_reached_after_any_single_failure(
    when: Any, own_queue: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apcore.federation.outbox.fanout.PLAN_RECIPIENTS_MAX", 2)
    rounds = 0
    for sabotage in fault_loop(when=when):
        out = Outgoing(own_queue=own_queue)
        out.follow(*(f"{X}/{number}" for number in range(2)), *(f"{Y}/{number}" for number in range(3)))
        out.post.actors = {f"{Y}/{number}": {} for number in range(3)}
        out.node.publish(Note(content="hi"), by="alice", to=[PUBLIC, "https://z.example/dora"])
        ports: Ports = out.node.ports
        turn = 0
        while leases := run(lease_work(turn, limit=1), ports):
            turn += 1
            with suppress(Unavailable):  # if the settlement fails, the lease expires
                run(inject_failure(handle(out.node.site(), leases[0]), sabotage), ports)
        out.clock.moment = out.clock.moment.replace(hour=14)
        out.work()
        out.pass_s(3600)
        expected_urls = (
            {f"{X}/{n}/inbox" for n in range(2)}
            | {f"{Y}/{n}/inbox" for n in range(3)}
            | {"https://z.example/dora/inbox"}
        )
        assert set(out.post.urls) == expected_urls
        # Only the attempts under way are repeated: one commit records up to twenty.
        assert len(out.post.urls) <= len(expected_urls) + 20
        if sabotage.failed is None:
            assert len(out.post.urls) == len(expected_urls)
        assert len({request.body for _, request in out.post.posts}) == 1
        assert not out.facts("send", "1") + out.facts("out", "1") + out.facts("out-retry", "1") + out.facts("dead", "1")
        rounds += 1
    assert rounds > 30


def test_lost_queue_loses_no_delivery() -> None:
    out = Outgoing(own_queue=True)
    out.follow(*(f"https://{number}.example/bob" for number in range(60)))
    out.node.publish(Note(content="hi"), by="alice")
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    for turn in range(4):
        out.lose_queue()
        assert out.node.run(reconcile()) >= 1
        for lease in out.node.run(lease_work(turn, limit=3)):
            out.node.handle_leased(lease)
    out.lose_queue()
    out.work()
    assert sorted(out.post.urls) == sorted(
        [*(f"https://{number}.example/bob/inbox" for number in range(60)), f"{X}/bob/inbox"]
    )
    assert out.waiting() == 0


# --- a collection that cannot be read -------------------------------------------------------------------------------


def federation_with_collection(read: Any, **options: Any) -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0", **options)

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @federation.collection("followers")
    def followers(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        return read(cursor)

    return federation


def test_fan_out_whose_collection_fails_becomes_a_dead_letter() -> None:
    """It is tried as often as a listener; the recipients before the collection have their deliveries."""
    cursors: list[str | None] = []

    def read(cursor: str | None) -> PageItems:
        cursors.append(cursor)
        raise ValueError("the database has no such table")

    retries = RetryPolicy(attempts_max=3, base_s=10, delay_s_max=20, age_s_max=3600)
    out = Outgoing(federation_with_collection(read, listener_retries=retries))
    out.node.publish(Note(content="hi"), by="alice", to=[f"{X}/bob", f"{ALICE}/followers"])
    out.pass_s(600)
    assert cursors == [None] * 3
    assert out.post.urls == [f"{X}/bob/inbox"]
    [letter] = out.facts("dead")
    assert letter.key[:3] == ("dead", "1", "send")
    assert b"the database has no such table" in letter.value
    assert not out.facts("send") + out.facts("out")
    assert out.waiting() == 0


def test_fan_out_that_hangs_becomes_a_dead_letter() -> None:
    never = threading.Event()
    cursors: list[str | None] = []

    def read(cursor: str | None) -> PageItems:
        cursors.append(cursor)
        assert never.wait(30)
        return PageItems((f"{X}/late",), next=None)

    retries = RetryPolicy(attempts_max=2, base_s=0.01, delay_s_max=0.02, age_s_max=3600)
    federation = federation_with_collection(read, listener_retries=retries)
    store, network = MemoryStore(), PeerNetwork()
    with Node(federation, HERE, store, transport=network, signer=ReusedKeys(), handler_limit_s=0.05) as node:
        node.publish(Note(content="hi"), by="alice", to=f"{ALICE}/followers")
        while not store.scan(("dead",), limit=1):
            node.work(limit_s=0.1)
        never.set()
        node.work(until_idle=True)
        [letter] = store.scan(("dead",), limit=10)
    assert cursors == [None, None]
    assert b"has not ended after 0.05 s" in letter.value
    assert not [*store.scan(("send",), limit=1), *store.scan(("out",), limit=1)]


def test_failures_of_planning_are_counted_anew_after_each_step() -> None:
    """A collection of many pages that fails now and then reaches everyone."""
    calls: list[str | None] = []

    def read(cursor: str | None) -> PageItems:
        calls.append(cursor)
        if len(calls) % 2:
            raise ValueError("now and then")
        number = int(cursor or 0)
        return PageItems((f"{X}/{number}",), next=str(number + 1) if number < 5 else None)

    retries = RetryPolicy(attempts_max=2, base_s=10, delay_s_max=20, age_s_max=3600)
    out = Outgoing(federation_with_collection(read, listener_retries=retries))
    out.node.publish(Note(content="hi"), by="alice", to=f"{ALICE}/followers")
    out.pass_s(600)
    assert sorted(out.post.urls) == [f"{X}/{number}/inbox" for number in range(6)]
    assert not out.facts("dead") + out.facts("send")
