"""Check deliveries: which are attempted, retried and given up, and that every attempt sends the same bytes."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.collections import Member, add_member
from apcore.effects import commit
from apcore.errors import (
    AddressBlocked,
    ConnectFailed,
    FetchTimedOut,
    ResponseTooBig,
    SignerUnavailable,
    StoreUnavailable,
    TlsFailed,
)
from apcore.federation import DomainRules, RetryPolicy
from apcore.federation.actors.keys import own_keys
from apcore.federation.outbox.deliver import AttemptOutcome, classify, deliver
from apcore.federation.wake_ups import DELIVER, deliver_message, kind_of_lane
from apcore.federation.worker import lease_work
from apcore.http import Headers, Request, Response, parse_url
from apcore.ports import Put
from apcore.vocab import PUBLIC, Delete, Like, Note, Tombstone
from outbox_fixture import ALICE, FOLLOWERS, HERE, Outgoing, alice_and_bob

X, Y = "https://x.example", "https://y.example"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

STATUSES = {
    AttemptOutcome.DELIVERED: (200, 201, 202, 204, 299),
    AttemptOutcome.REFUSED: (
        *(100, 199, 300, 301, 302, 304, 308, 399),
        *(400, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 431, 451, 499, 501),
    ),
    AttemptOutcome.UNPROVED: (401,),
    AttemptOutcome.INBOX_FAILING: (408, 425),
    AttemptOutcome.HOST_FAILING: (429, 500, 502, 503, 504, 520, 599),
}


@pytest.mark.parametrize(
    ("status", "answer"), [(status, answer) for answer, statuses in STATUSES.items() for status in statuses]
)
def test_status_is_classified(status: int, answer: AttemptOutcome) -> None:
    assert classify(status) is answer


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def like(out: Outgoing, *to: str, of: str = f"{X}/notes/1", ident: str | None = None) -> None:
    out.node.send(Like(object=of) if ident is None else Like(id=ident, object=of), by="alice", to=to)


# --- retries --------------------------------------------------------------------------------------------------------

TEMPORARY_FAILURES: dict[str, Any] = {
    "no connection": ConnectFailed("no"),
    "timeout": FetchTimedOut("no"),
    "tls": TlsFailed("no"),
    "500": 500,
    "408": 408,
    "429": 429,
}


@pytest.mark.parametrize("answer", TEMPORARY_FAILURES.values(), ids=TEMPORARY_FAILURES)
def test_temporary_failure_is_retried_with_the_same_body(out: Outgoing, answer: Any) -> None:
    out.post.answers[X] = answer
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(HOUR_S)
    del out.post.answers[X]
    out.pass_s(2 * HOUR_S)
    attempts = len(out.post.posts)
    assert 5 <= attempts <= 10
    assert len({request.body for _, request in out.post.posts}) == 1
    assert len({request.headers.get("date") for _, request in out.post.posts}) == attempts
    assert len({request.headers.get("signature") for _, request in out.post.posts}) == attempts
    gaps = [end - start for start, end in zip(out.post.times_s, out.post.times_s[1:], strict=False)]
    # The upper half of 30 s * 2^n, and up to a minute until the worker looks.
    assert all(15 * 2**n <= gap <= 30 * 2**n + 61 for n, gap in enumerate(gaps))
    assert out.waiting() == 0
    assert not out.facts("out", "1") + out.facts("out-retry", "1") + out.facts("circuit", "1") + out.facts("dead", "1")


@pytest.mark.parametrize("answer", [ConnectFailed("no"), 408], ids=["host", "inbox"])
def test_undeliverable_activity_becomes_a_dead_letter_after_three_days(out: Outgoing, answer: Any) -> None:
    out.post.answers[X] = answer
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(5 * DAY_S, step_s=600)
    assert 17 <= len(out.post.posts) <= 23
    # A worker looks every ten minutes here.
    assert 3 * DAY_S <= out.post.times_s[-1] <= 3 * DAY_S + 12 * HOUR_S + 600
    [dead] = out.facts("dead", "1", "out")
    assert b"x.example/bob/inbox" in dead.value
    assert not out.facts("out", "1") + out.facts("out-retry", "1")
    assert out.waiting() == 0


@pytest.mark.parametrize("answer", [ConnectFailed("no"), 503, 408], ids=["no connection", "503", "408"])
def test_host_that_returns_within_three_days_gets_every_activity(out: Outgoing, answer: Any) -> None:
    """Keep sending while the host is down: new activities wake its backlog, with old ones that must wait."""
    out.post.answers[X] = answer
    for number in range(71):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
        out.pass_s(HOUR_S, step_s=1200)
    out.pass_s(HOUR_S - 1, step_s=1200)
    assert not out.facts("dead", "1")
    out.post.posts.clear()
    out.post.answers.clear()
    like(out, f"{X}/bob")
    out.pass_s(12.5 * HOUR_S, step_s=600)
    assert len({request.body for _, request in out.post.posts}) == 72
    assert not out.facts("dead", "1")
    assert out.waiting() == 0


FINAL_ANSWERS: dict[str, Any] = {
    **{str(status): status for status in (400, 403, 404, 410, 413, 501, 301)},
    "blocked address": AddressBlocked("10.0.0.1"),
    "an answer without end": ResponseTooBig("no"),
}


@pytest.mark.parametrize("answer", FINAL_ANSWERS.values(), ids=FINAL_ANSWERS)
def test_refusal_is_final(out: Outgoing, answer: Any) -> None:
    out.post.answers[X] = answer
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(DAY_S, step_s=HOUR_S)
    assert len(out.post.posts) == (2 if answer in {400, 403} else 1)  # one attempt in two signature schemes
    assert len(out.facts("dead", "1", "out")) == 1
    assert out.waiting() == 0


@pytest.mark.parametrize("status", [429, 503, 401])
def test_retry_after_is_respected(out: Outgoing, status: int) -> None:
    out.post.answers[X] = Response(status, Headers({"Retry-After": "7200"}))
    like(out, f"{X}/bob")
    out.work()
    requests = 2 if status == 401 else 1
    out.pass_s(7140)
    assert len(out.post.posts) == requests
    out.pass_s(120)
    assert len(out.post.posts) == 2 * requests


@pytest.mark.parametrize("value", ["", "soon", "-1", "99999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_malformed_retry_after_is_bounded(out: Outgoing, value: str) -> None:
    out.post.answers[X] = Response(503, Headers({"Retry-After": value}))
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(12 * HOUR_S + 60, step_s=600)
    assert 2 <= len(out.post.posts) <= 12


# --- hosts and order -----------------------------------------------------------------------------------------------


def test_dead_host_delays_no_other_and_waits_in_one_message(out: Outgoing) -> None:
    out.post.answers[X] = ConnectFailed("no")
    for number in range(30):
        like(out, f"{X}/bob", f"{Y}/bob", of=f"{X}/notes/{number}")
    out.work()
    assert sum(url.startswith(Y) for url in out.post.urls) == 30
    # Each planned activity may wake the backlog, but the host gets one request.
    assert sum(url.startswith(X) for url in out.post.urls) == 1
    assert out.waiting() == 1
    del out.post.answers[X]
    out.pass_s(120)
    assert sum(url.startswith(X) for url in out.post.urls) == 31
    assert out.waiting() == 0


def test_backlog_of_a_dead_host_is_given_up(out: Outgoing) -> None:
    out.post.answers[X] = ConnectFailed("no")
    for number in range(90):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    out.work()
    out.pass_s(4 * DAY_S, step_s=HOUR_S)
    assert not out.facts("out", "1")
    assert len(out.facts("dead", "1", "out")) == 90
    assert len(out.post.posts) <= 20
    assert out.waiting() == 0


def test_failing_inbox_delays_only_activities_about_the_same_object(out: Outgoing) -> None:
    busy, note = f"{X}/bob/inbox", f"{X}/notes/1"
    out.post.answers[busy] = lambda request: Response(408 if b"notes/1" in request.body else 202)
    like(out, f"{X}/bob", of=note, ident=f"{ALICE}#1")
    out.clock.moment += timedelta(seconds=1)
    like(out, f"{X}/bob", of=f"{X}/notes/2", ident=f"{ALICE}#2")
    out.work()
    like(out, f"{X}/bob", of=note, ident=f"{ALICE}#3")
    out.clock.moment += timedelta(seconds=1)
    like(out, f"{X}/carol", of=note, ident=f"{ALICE}#4")
    out.work()
    attempted_ids = [body["id"].partition("#")[2] for body in out.post.bodies]
    assert attempted_ids == ["1", "2", "4"]
    del out.post.answers[busy]
    out.pass_s(180)
    assert [body["id"].partition("#")[2] for body in out.post.bodies][3:] == ["1", "3"]
    assert not out.facts("out", "1") + out.facts("out-retry", "1")


def test_activities_about_one_object_keep_their_order_after_a_failure(out: Outgoing) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[X] = 408
    ident = out.node.publish(Note(content="oops"), by="alice")
    out.clock.moment += timedelta(seconds=1)
    out.node.send(Delete(object=Tombstone(id=ident)), by="alice", to=f"{ALICE}/followers")
    out.work()
    assert [body["type"] for body in out.post.bodies] == ["Create"]
    del out.post.answers[X]
    out.pass_s(300)
    assert [body["type"] for body in out.post.bodies] == ["Create", "Create", "Delete"]


def test_activities_are_delivered_in_the_order_of_sending(out: Outgoing) -> None:
    for number in range(25):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
        out.clock.moment += timedelta(milliseconds=5)
    out.work()
    assert [body["object"] for body in out.post.bodies] == [f"{X}/notes/{number}" for number in range(25)]


def test_slow_host_is_postponed_before_the_lease_ends(out: Outgoing) -> None:
    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=20)
        return Response(202)

    for number in range(10):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    while leases := out.node.run(lease_work(1, limit=1)):
        if kind_of_lane(leases[0].message.lane) == DELIVER:
            break
        out.node.handle_leased(leases[0])
    out.post.answers[X] = slow
    started = out.clock.moment
    out.node.run(deliver(out.node.site(), leases[0]))
    assert (out.clock.moment - started).total_seconds() <= 45 + 80  # one round of four, one after another here
    assert len(out.post.posts) < 10
    out.work()
    assert len(out.post.posts) == 10


class _Killed(BaseException):
    """The death of a process: no code after it runs."""


@pytest.mark.parametrize(("seconds", "recorded"), [(0.05, 0), (0.2, 13), (1.5, 13), (3.0, 10)])
def test_deliveries_older_than_a_second_are_recorded(out: Outgoing, seconds: float, recorded: int) -> None:
    """Kill a worker: it repeats only the deliveries of the last second and the round under way."""

    def slow(request: Request) -> Response:
        out.clock.moment += timedelta(seconds=seconds)
        if len(out.post.posts) == 14:
            raise _Killed
        return Response(202)

    for number in range(20):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    out.post.answers[X] = slow
    with pytest.raises(_Killed):
        out.work()
    # The first of a step alone, then four at once, one after another here.
    assert 20 - len(out.facts("out", "1")) == recorded
    out.post.answers.clear()
    out.pass_s(120)
    assert len(out.post.posts) == 20 + 14 - recorded
    assert len({request.body for _, request in out.post.posts}) == 20


def test_overtaken_worker_leaves_the_remaining_deliveries_to_the_other(out: Outgoing) -> None:
    def slow(request: Request) -> Response:
        out.clock.moment += timedelta(seconds=2)
        if len(out.post.posts) == 3:
            row = out.facts("out", "1")[0]
            assert out.store.commit((), (Put(row.key, row.value),), token=b"0" * 16)
        return Response(202)

    for number in range(20):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    out.post.answers[X] = slow
    out.work()
    out.post.answers.clear()
    out.pass_s(120)
    assert not out.facts("out", "1")
    assert len({request.body for _, request in out.post.posts}) == 20
    assert len(out.post.posts) <= 25


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("answer", [202, 404, 408, 500, ConnectFailed("no")], ids=str)
def test_commit_with_a_lost_answer_repeats_no_post(
    out: Outgoing, answer: Any, is_committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lost_commits = out.store.commit, []

    def losing(checks: Any, writes: Any, **named: Any) -> bool:
        delivering = bool(out.post.posts) and any(write.key[0] in {"out", "circuit"} for write in writes)
        if not delivering or lost_commits:
            return commit(checks, writes, **named)
        lost_commits.append(is_committed and commit(checks, writes, **named))
        raise StoreUnavailable("no answer", outcome="unknown")

    out.post.answers[X] = answer
    for number in range(5):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    monkeypatch.setattr(out.store, "commit", losing)
    out.work()
    assert lost_commits == [is_committed]
    assert len(out.post.posts) == (1 if answer == 500 or isinstance(answer, Exception) else 5)
    rows = out.facts("out", "1") + out.facts("out-retry", "1")
    assert len(rows) == (0 if answer in {202, 404} else 5)
    assert sum(json.loads(row.value.partition(b"\n")[0]).get("attempts", 0) for row in rows) == len(
        out.post.posts
    ) * bool(rows)


# --- arbitrary answers ----------------------------------------------------------------------------------------------

ANSWERS = st.sampled_from(
    [
        *(202, 202, 301, 400, 401, 403, 404, 408, 410, 413, 425, 429, 500, 501, 503),
        ConnectFailed("no"),
        FetchTimedOut("no"),
        AddressBlocked("no"),
        Response(307, {"Location": "/elsewhere"}),
        Response(308, {"Location": "https://elsewhere.example/"}),
        Response(401, {"Accept-Signature": 's=("@method");created;nonce="1"'}),
        Response(503, {"Retry-After": "7200"}),
    ]
)


@settings(max_examples=15, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=12))
def test_any_delivery_ends_once_and_is_never_repeated(answers: list[Any]) -> None:
    out = Outgoing(_FEDERATION)
    accepted: list[tuple[str, str]] = []
    turn = 0

    def answer(request: Request) -> Response:
        nonlocal turn
        turn += 1
        current = answers[turn % len(answers)]
        if isinstance(current, Exception):
            raise current
        response = Response(current) if isinstance(current, int) else current
        name = (parse_url(request.url).origin.host, json.loads(request.body)["id"])
        if name in accepted or response.status == 202:
            accepted.append(name)
        return response

    out.post.answers = {X: answer, Y: answer}
    for number in range(3):
        like(out, f"{X}/bob", f"{Y}/carol", of=f"{X}/notes/{number}")
    out.pass_s(5 * DAY_S, step_s=HOUR_S)
    assert len(accepted) == len(set(accepted))
    assert len(accepted) + len(out.facts("dead", "1", "out")) == 6
    assert not out.facts("out", "1") + out.facts("out-retry", "1")
    assert out.waiting() == 0
    assert turn <= 6 * 16 * 8


_FEDERATION = alice_and_bob()


# --- inboxes on foreign servers --------------------------------------------------------------------------------------


def add_aimed_followers(out: Outgoing, *, by: str = "https://evil.example", at: str = X, count: int = 60) -> None:
    """Add followers with inboxes on the server of a third party."""
    for number in range(count):
        stored = json.dumps({"inbox": f"{at}/victim/{number}", "shared": None}).encode()
        change = add_member(FOLLOWERS, Member(f"{by}/{number}", stored), order=f"{number:06d}")
        assert out.node.run(commit(change.checks, change.writes))


def test_foreign_inboxes_of_followers_get_a_hundred_posts_an_hour(out: Outgoing) -> None:
    add_aimed_followers(out)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert len(out.post.posts) == 20
    out.pass_s(HOUR_S - 60)
    assert len(out.post.posts) <= 100
    for _ in range(5):
        out.node.publish(Note(content="hi"), by="alice")
    out.pass_s(10 * HOUR_S, step_s=300)
    assert len([url for url in out.post.urls if url.startswith(X)]) == 6 * 60
    assert all(
        sum(start <= moment < start + HOUR_S for moment in out.post.times_s) <= 120 for start in out.post.times_s
    )
    assert out.waiting() == 0


def test_foreign_inboxes_do_not_delay_deliveries_to_actors_of_the_host(out: Outgoing) -> None:
    """Aim sixty followers at a host, with failing inboxes: neither their number nor the failures matter."""
    add_aimed_followers(out)
    out.follow(f"{X}/bob")
    out.post.answers = {f"{X}/victim/{number}": 500 for number in range(60)}
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert f"{X}/bob/inbox" in out.post.urls
    like(out, f"{X}/bob")
    out.work()
    assert out.post.urls.count(f"{X}/bob/inbox") == 2
    assert len(out.post.posts) == 3


def test_inbox_on_the_host_of_one_of_its_actors_is_not_foreign(out: Outgoing) -> None:
    out.follow(f"{Y}/a", f"{X}/bob", f"{Y}/c", shared=lambda _: f"{X}/inbox")
    out.node.publish(Note(content="hi"), by="alice")
    assert not out.facts("out", "1")
    leases = out.node.run(lease_work(1, limit=1))
    out.node.handle_leased(leases[0])
    assert [entry.key[2] for entry in out.facts("out", "1")] == [f"{X} {HERE}"]


@pytest.mark.parametrize("strangers", [1, 19, 20, 40])
def test_foreign_followers_do_not_delay_a_shared_inbox_of_local_actors(out: Outgoing, strangers: int) -> None:
    """Let strangers name the shared inbox of another server, and be planned before its own actors."""
    foreign_actors = [f"{Y}/{number}" for number in range(strangers)]
    out.follow(*foreign_actors, *(f"{X}/{number}" for number in range(30)), shared=lambda _: f"{X}/inbox")
    for number in range(30):
        out.node.publish(Note(content=str(number)), by="alice")
        out.work()
    assert out.post.urls == [f"{X}/inbox"] * 30, "a note was delayed or sent twice"
    assert not out.facts("out", "1")


def test_post_to_a_foreign_inbox_is_not_repeated_for_an_actor_of_the_host(out: Outgoing) -> None:
    out.follow(*(f"{Y}/{number}" for number in range(20)), f"{X}/bob", shared=lambda _: f"{X}/inbox")
    out.node.publish(Note(content="hi"), by="alice")
    for lane_first in (1, 2):
        # The first step of planning, and the planned deliveries.
        [lease] = out.node.run(lease_work(lane_first, limit=1))
        out.node.handle_leased(lease)
    assert len(out.post.posts) == 1
    out.work()
    assert len(out.post.posts) == 1


def test_excess_deliveries_to_foreign_inboxes_are_given_up_by_age(out: Outgoing) -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=3, base_s=1, age_s_max=600))
    out = Outgoing(federation)
    add_aimed_followers(out)
    out.node.publish(Note(content="hi"), by="alice")
    out.pass_s(HOUR_S, step_s=300)
    assert len(out.post.posts) == 20
    assert len(out.facts("dead", "1", "out")) == 40
    assert out.waiting() == 0


def test_backlog_of_foreign_inboxes_survives_the_loss_of_the_queue() -> None:
    out = Outgoing(own_queue=True)
    add_aimed_followers(out)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    out.lose_queue()
    out.pass_s(2 * HOUR_S)
    assert len(set(out.post.urls)) == 60


# --- failures on our side -------------------------------------------------------------------------------------------


def test_failure_of_our_signer_is_not_charged_to_the_host() -> None:
    out = Outgoing()
    signer: Any = out.node.ports.signer
    sign, calls = signer.sign, []

    def failing(name: str, data: bytes, /) -> bytes:
        calls.append(name)
        raise SignerUnavailable("no")

    like(out, *(f"{X}/{number}" for number in range(3)))
    while leases := out.node.run(lease_work(1, limit=1)):
        if kind_of_lane(leases[0].message.lane) == DELIVER:
            break
        out.node.handle_leased(leases[0])
    signer.sign = failing
    out.node.handle_leased(leases[0])
    out.pass_s(HOUR_S)
    assert calls
    assert not out.post.posts
    assert not out.facts("circuit", "1") + out.facts("out-retry", "1")
    signer.sign = sign
    out.pass_s(120)
    assert len(out.post.posts) == 3
    assert not out.facts("dead", "1")


@pytest.mark.parametrize("backlog", [1, 19, 20, 150])
def test_sender_without_a_key_does_not_delay_other_senders(backlog: int) -> None:
    out = Outgoing()
    signer: Any = out.node.ports.signer
    sign, key_restored = signer.sign, []
    like(out, f"{Y}/warm")
    out.node.send(Like(object=f"{Y}/n"), by="bob", to=f"{Y}/warm")
    out.work()
    key_names = {key.name for key in out.node.run(own_keys(out.node.site(), ALICE))}

    def failing(name: str, data: bytes, /) -> bytes:
        if name in key_names and not key_restored:
            raise SignerUnavailable("lost")
        return sign(name, data)

    signer.sign = failing
    for number in range(backlog):
        out.clock.moment += timedelta(seconds=1)
        out.node.send(Like(object=f"{Y}/{number}"), by="alice", to=f"{X}/dora")
        if number % 10 == 0:  # Each start of a worker tries all of them again.
            out.work()
    out.clock.moment += timedelta(seconds=1)
    out.node.send(Like(object=f"{Y}/n"), by="bob", to=f"{X}/dora")
    out.pass_s(60)
    assert out.post.urls.count(f"{X}/dora/inbox") == 1
    assert out.post.bodies[-1]["actor"].endswith("/bob")
    assert not out.facts("dead", "1") + out.facts("circuit", "1")
    key_restored.append(True)
    out.pass_s(HOUR_S)
    assert out.post.urls.count(f"{X}/dora/inbox") == 1 + backlog
    assert len({body["id"] for body in out.post.bodies}) == len(out.post.bodies)
    assert out.waiting() == 0


def test_unreadable_newer_record_does_not_cause_repeated_posts(out: Outgoing) -> None:
    like(out, *(f"{X}/{number}" for number in range(3)))
    for number in range(3):
        out.node.send(Like(object=f"{Y}/{number}"), by="bob", to=f"{X}/{number}")
    while not out.facts("out", "1"):
        out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    delivery = out.facts("out", "1")[0]
    [planned] = [entry for entry in out.facts("sent", "1") if entry.key[-1] in delivery.key]
    newer = Put(planned.key, b'{"v":99}\n')
    assert out.node.run(commit((), (newer,)))
    out.pass_s(HOUR_S)
    posts = [(request.url, request.body) for _, request in out.post.posts]
    assert len(set(posts)) == len(posts)
    assert 3 <= len(posts) < 6
    assert out.facts("out", "1")
    assert not out.facts("dead", "1")


def test_host_suspended_after_planning_gets_no_delivery() -> None:
    out = Outgoing()
    like(out, f"{X}/bob")
    leases = out.node.run(lease_work(1, limit=1))
    out.node.handle_leased(leases[0])
    federation = alice_and_bob()
    federation.blocks(DomainRules.suspending(["x.example"]))
    out.federation = federation
    out.node = out.made()
    out.work()
    assert not out.post.posts
    assert len(out.facts("dead", "1", "out")) == 1


def test_host_with_the_longest_name_gets_deliveries(out: Outgoing) -> None:
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(host) == 253
    message = deliver_message(f"https://{host}:65535", b"0" * 16, by=HERE)
    assert message.dedup is not None
    assert len(message.dedup) <= 256
    like(out, f"https://{host}:65535/bob")
    out.work()
    assert out.post.urls == [f"https://{host}:65535/bob/inbox"]


def test_late_worker_changes_nothing(out: Outgoing) -> None:
    like(out, f"{X}/bob")
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    [late_lease] = out.node.run(lease_work(2, limit=1))
    out.clock.moment += timedelta(seconds=91)
    out.work()
    assert len(out.post.posts) == 1
    records_before = [*out.facts("out", "1"), *out.facts("circuit", "1")]
    out.node.handle_leased(late_lease)
    assert [*out.facts("out", "1"), *out.facts("circuit", "1")] == records_before
    assert len(out.post.posts) == 1


def test_delivery_of_an_expired_activity_becomes_a_dead_letter(out: Outgoing) -> None:
    like(out, f"{X}/bob")
    out.post.answers[X] = ConnectFailed("no")
    out.work()
    out.clock.moment += timedelta(days=11)
    out.work()
    assert len(out.post.posts) == 1
    [dead] = out.facts("dead", "1", "out")
    assert b"not stored" in dead.value


def test_policy_of_one_attempt_makes_one_attempt() -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=1, base_s=1, age_s_max=10))
    out = Outgoing(federation)
    out.post.answers[X] = 500
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(HOUR_S)
    assert len(out.post.posts) == 1
    assert out.waiting() == 0


# --- content of a post ---------------------------------------------------------------------------------------------


def test_post_has_the_fields_of_a_signed_activity(out: Outgoing) -> None:
    like(out, f"{X}/bob")
    out.work()
    [(_, request)] = out.post.posts
    assert request.headers.get("content-type") == "application/activity+json"
    assert request.headers.get("user-agent") == f"test/1.0 (+{HERE}/)"
    assert "digest" in request.headers
    assert f'keyId="{ALICE}#main-key"' in (request.headers.get("signature") or "")
    body = json.loads(request.body)
    assert body["actor"] == ALICE
    assert body["id"].startswith(f"{ALICE}#like/")


def test_secret_recipients_are_never_sent_or_served(out: Outgoing) -> None:
    secret = f"{Y}/carol"
    note = Note(content="hi", to=[PUBLIC], bto=[secret], bcc=[f"{Y}/dora"])
    ident = out.node.publish(note, by="alice", to=PUBLIC)
    out.node.send(Like(object=f"{X}/n", bcc=[secret]), by="alice", to=f"{X}/bob")
    out.work()
    assert sorted(out.post.urls) == [f"{X}/bob/inbox", *[f"{Y}/carol/inbox"] * 2, f"{Y}/dora/inbox"]
    assert not [request for _, request in out.post.posts if b"carol" in request.body or b"dora" in request.body]
    accept = Headers({"Accept": "application/activity+json"})
    page = out.node.handle(Request("GET", f"{ALICE}/outbox?page=true", accept))
    assert isinstance(page, Response)
    [create] = json.loads(page.body)["orderedItems"]
    served = [out.node.handle(Request("GET", url, accept)) for url in (ident, create["id"])]
    bodies = [page.body, *(answer.body for answer in served if isinstance(answer, Response))]
    assert [b"hi" in body for body in bodies] == [True] * 3
    assert not [body for body in bodies if b"carol" in body or b"dora" in body]
