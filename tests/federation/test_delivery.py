"""Deliveries: what is tried, when it is tried again, when it is given up, and that it is the same each time."""

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
from apcore.federation.outbox.deliver import AttemptOutcome, classify, deliver, deliver_message
from apcore.federation.wake_ups import DELIVER, kind_of_lane
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
def test_what_a_status_means(status: int, answer: AttemptOutcome) -> None:
    assert classify(status) is answer


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def like(out: Outgoing, *to: str, of: str = f"{X}/notes/1", ident: str | None = None) -> None:
    out.node.send(Like(object=of) if ident is None else Like(id=ident, object=of), by="alice", to=to)


# --- trying again ---------------------------------------------------------------------------------------------------

PASSING: dict[str, Any] = {
    "no connection": ConnectFailed("no"),
    "timeout": FetchTimedOut("no"),
    "tls": TlsFailed("no"),
    "500": 500,
    "408": 408,
    "429": 429,
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_fails_for_now_is_tried_until_it_arrives_and_is_the_same_each_time(out: Outgoing, answer: Any) -> None:
    out.post.answers[X] = answer
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(HOUR_S)
    del out.post.answers[X]
    out.pass_s(2 * HOUR_S)
    tries = len(out.post.posts)
    assert 5 <= tries <= 10
    assert len({request.body for _, request in out.post.posts}) == 1
    assert len({request.headers.get("date") for _, request in out.post.posts}) == tries
    assert len({request.headers.get("signature") for _, request in out.post.posts}) == tries
    gaps = [later - sooner for sooner, later in zip(out.post.times_s, out.post.times_s[1:], strict=False)]
    # From the upper half of 30 s * 2^n, and up to a minute until the worker looks.
    assert all(15 * 2**n <= gap <= 30 * 2**n + 61 for n, gap in enumerate(gaps))
    assert out.waiting() == 0
    assert not out.facts("out", "1") + out.facts("out-retry", "1") + out.facts("circuit", "1") + out.facts("dead", "1")


@pytest.mark.parametrize("answer", [ConnectFailed("no"), 408], ids=["host", "inbox"])
def test_what_never_arrives_is_given_up_in_the_end_and_kept_for_people_to_see(out: Outgoing, answer: Any) -> None:
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
def test_host_that_comes_back_within_three_days_gets_everything(out: Outgoing, answer: Any) -> None:
    """Also where new activities keep waking its backlog, which finds old ones that it may not try now."""
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


FINAL: dict[str, Any] = {
    **{str(status): status for status in (400, 403, 404, 410, 413, 501, 301)},
    "blocked address": AddressBlocked("10.0.0.1"),
    "an answer without end": ResponseTooBig("no"),
}


@pytest.mark.parametrize("answer", FINAL.values(), ids=FINAL)
def test_a_refusal_is_final(out: Outgoing, answer: Any) -> None:
    out.post.answers[X] = answer
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(DAY_S, step_s=HOUR_S)
    assert len(out.post.posts) == (2 if answer in {400, 403} else 1)  # two knocks, one attempt
    assert len(out.facts("dead", "1", "out")) == 1
    assert out.waiting() == 0


@pytest.mark.parametrize("status", [429, 503, 401])
def test_who_asks_for_time_gets_it(out: Outgoing, status: int) -> None:
    out.post.answers[X] = Response(status, Headers({"Retry-After": "7200"}))
    like(out, f"{X}/bob")
    out.work()
    knocks = 2 if status == 401 else 1
    out.pass_s(7140)
    assert len(out.post.posts) == knocks
    out.pass_s(120)
    assert len(out.post.posts) == 2 * knocks


@pytest.mark.parametrize("asked", ["", "soon", "-1", "99999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_what_is_asked_for_in_odd_words_is_bounded(out: Outgoing, asked: str) -> None:
    out.post.answers[X] = Response(503, Headers({"Retry-After": asked}))
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(12 * HOUR_S + 60, step_s=600)
    assert 2 <= len(out.post.posts) <= 12


# --- one host and the others ----------------------------------------------------------------------------------------


def test_a_dead_host_delays_nobody_and_is_one_delayed_message(out: Outgoing) -> None:
    out.post.answers[X] = ConnectFailed("no")
    for number in range(30):
        like(out, f"{X}/bob", f"{Y}/bob", of=f"{X}/notes/{number}")
    out.work()
    assert sum(url.startswith(Y) for url in out.post.urls) == 30
    # Each time something is planned the host may be looked at, but it is asked once.
    assert sum(url.startswith(X) for url in out.post.urls) == 1
    assert out.waiting() == 1
    del out.post.answers[X]
    out.pass_s(120)
    assert sum(url.startswith(X) for url in out.post.urls) == 31
    assert out.waiting() == 0


def test_the_backlog_of_a_host_that_stays_dead_ends(out: Outgoing) -> None:
    out.post.answers[X] = ConnectFailed("no")
    for number in range(90):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    out.work()
    out.pass_s(4 * DAY_S, step_s=HOUR_S)
    assert not out.facts("out", "1")
    assert len(out.facts("dead", "1", "out")) == 90
    assert len(out.post.posts) <= 20
    assert out.waiting() == 0


def test_an_inbox_that_fails_holds_back_what_is_about_the_same_object_and_nothing_else(out: Outgoing) -> None:
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
    tried = [body["id"].partition("#")[2] for body in out.post.bodies]
    assert tried == ["1", "2", "4"]
    del out.post.answers[busy]
    out.pass_s(180)
    assert [body["id"].partition("#")[2] for body in out.post.bodies][3:] == ["1", "3"]
    assert not out.facts("out", "1") + out.facts("out-retry", "1")


def test_what_is_about_one_object_arrives_in_its_order_also_after_a_failure(out: Outgoing) -> None:
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


def test_things_go_out_in_the_order_in_which_they_were_sent(out: Outgoing) -> None:
    for number in range(25):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
        out.clock.moment += timedelta(milliseconds=5)
    out.work()
    assert [body["object"] for body in out.post.bodies] == [f"{X}/notes/{number}" for number in range(25)]


def test_a_slow_host_is_left_before_the_lease_ends(out: Outgoing) -> None:
    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=20)
        return Response(202)

    for number in range(10):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    while leased := out.node.run(lease_work(1, limit=1)):
        if kind_of_lane(leased[0].message.lane) == DELIVER:
            break
        out.node.handle_leased(leased[0])
    out.post.answers[X] = slow
    started = out.clock.moment
    out.node.run(deliver(out.node.site(), leased[0]))
    assert (out.clock.moment - started).total_seconds() <= 45 + 80  # one round of four, which nothing overlaps here
    assert len(out.post.posts) < 10
    out.work()
    assert len(out.post.posts) == 10


class _Killed(BaseException):
    """As a process dies: nothing after this runs."""


@pytest.mark.parametrize(("seconds", "recorded"), [(0.05, 0), (0.2, 13), (1.5, 13), (3.0, 10)])
def test_what_was_delivered_more_than_a_second_ago_is_recorded(out: Outgoing, seconds: float, recorded: int) -> None:
    """A worker that is killed repeats what it did within the last second, and the round that was under way."""

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
    # The first one of a step alone, and then four at once, which are one after another here.
    assert 20 - len(out.facts("out", "1")) == recorded
    out.post.answers.clear()
    out.pass_s(120)
    assert len(out.post.posts) == 20 + 14 - recorded
    assert len({request.body for _, request in out.post.posts}) == 20


def test_a_worker_that_was_overtaken_in_the_middle_leaves_the_rest_to_the_other(out: Outgoing) -> None:
    def slow(request: Request) -> Response:
        out.clock.moment += timedelta(seconds=2)
        if len(out.post.posts) == 3:
            taken = out.facts("out", "1")[0]
            assert out.store.commit((), (Put(taken.key, taken.value),), token=b"0" * 16)
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


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "did not land"])
@pytest.mark.parametrize("answer", [202, 404, 408, 500, ConnectFailed("no")], ids=str)
def test_a_commit_whose_answer_is_lost_repeats_no_post(
    out: Outgoing, answer: Any, landed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lost = out.store.commit, []

    def losing(checks: Any, writes: Any, **named: Any) -> bool:
        delivering = bool(out.post.posts) and any(write.key[0] in {"out", "circuit"} for write in writes)
        if not delivering or lost:
            return commit(checks, writes, **named)
        lost.append(landed and commit(checks, writes, **named))
        raise StoreUnavailable("no answer", outcome="unknown")

    out.post.answers[X] = answer
    for number in range(5):
        like(out, f"{X}/bob", of=f"{X}/notes/{number}")
    monkeypatch.setattr(out.store, "commit", losing)
    out.work()
    assert lost == [landed]
    assert len(out.post.posts) == (1 if answer == 500 or isinstance(answer, Exception) else 5)
    rows = out.facts("out", "1") + out.facts("out-retry", "1")
    assert len(rows) == (0 if answer in {202, 404} else 5)
    assert sum(json.loads(row.value.partition(b"\n")[0]).get("attempts", 0) for row in rows) == len(
        out.post.posts
    ) * bool(rows)


# --- whatever is answered -------------------------------------------------------------------------------------------

WHATEVER = st.sampled_from(
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
@given(st.lists(WHATEVER, min_size=1, max_size=12))
def test_each_delivery_ends_once_and_is_never_made_again_after_that(answers: list[Any]) -> None:
    out = Outgoing(_FEDERATION)
    taken: list[tuple[str, str]] = []
    turn = 0

    def answer(request: Request) -> Response:
        nonlocal turn
        turn += 1
        given = answers[turn % len(answers)]
        if isinstance(given, Exception):
            raise given
        response = Response(given) if isinstance(given, int) else given
        name = (parse_url(request.url).origin.host, json.loads(request.body)["id"])
        if name in taken or response.status == 202:
            taken.append(name)
        return response

    out.post.answers = {X: answer, Y: answer}
    for number in range(3):
        like(out, f"{X}/bob", f"{Y}/carol", of=f"{X}/notes/{number}")
    out.pass_s(5 * DAY_S, step_s=HOUR_S)
    assert len(taken) == len(set(taken))
    assert len(taken) + len(out.facts("dead", "1", "out")) == 6
    assert not out.facts("out", "1") + out.facts("out-retry", "1")
    assert out.waiting() == 0
    assert turn <= 6 * 16 * 8


_FEDERATION = alice_and_bob()


# --- inboxes away from their actors ----------------------------------------------------------------------------------


def aimed(out: Outgoing, *, by: str = "https://evil.example", at: str = X, count: int = 60) -> None:
    """Put followers in whose inboxes are somebody else's."""
    for number in range(count):
        kept = json.dumps({"inbox": f"{at}/victim/{number}", "shared": None}).encode()
        change = add_member(FOLLOWERS, Member(f"{by}/{number}", kept), order=f"{number:06d}")
        assert out.node.run(commit(change.checks, change.writes))


def test_who_aims_our_followers_at_a_third_server_reaches_it_a_hundred_times_an_hour(out: Outgoing) -> None:
    aimed(out)
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


def test_what_is_aimed_at_a_server_does_not_hold_up_what_is_its_own(out: Outgoing) -> None:
    """Neither by its number, nor by opening the circuit."""
    aimed(out)
    out.follow(f"{X}/bob")
    out.post.answers = {f"{X}/victim/{number}": 500 for number in range(60)}
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert f"{X}/bob/inbox" in out.post.urls
    like(out, f"{X}/bob")
    out.work()
    assert out.post.urls.count(f"{X}/bob/inbox") == 2
    assert len(out.post.posts) == 3


def test_an_inbox_that_is_where_one_of_its_actors_is_is_not_aimed(out: Outgoing) -> None:
    out.follow(f"{Y}/a", f"{X}/bob", f"{Y}/c", shared=lambda _: f"{X}/inbox")
    out.node.publish(Note(content="hi"), by="alice")
    assert not out.facts("out", "1")
    leased = out.node.run(lease_work(1, limit=1))
    out.node.handle_leased(leased[0])
    assert [entry.key[2] for entry in out.facts("out", "1")] == [f"{X} {HERE}"]


@pytest.mark.parametrize("strangers", [1, 19, 20, 40])
def test_strangers_who_follow_first_do_not_have_an_inbox_wait_that_is_others_own(out: Outgoing, strangers: int) -> None:
    """Whoever is read first of the followers names the shared inbox of another server, in an earlier step than those who live there."""
    first = [f"{Y}/{number}" for number in range(strangers)]
    out.follow(*first, *(f"{X}/{number}" for number in range(30)), shared=lambda _: f"{X}/inbox")
    for number in range(30):
        out.node.publish(Note(content=str(number)), by="alice")
        out.work()
    assert out.post.urls == [f"{X}/inbox"] * 30, "each at once, and once"
    assert not out.facts("out", "1")


def test_what_was_tried_among_the_aimed_is_not_sent_again_when_somebody_lives_there(out: Outgoing) -> None:
    out.follow(*(f"{Y}/{number}" for number in range(20)), f"{X}/bob", shared=lambda _: f"{X}/inbox")
    out.node.publish(Note(content="hi"), by="alice")
    for lane_first in (1, 2):
        # The first step of planning, and what it has planned.
        [leased] = out.node.run(lease_work(lane_first, limit=1))
        out.node.handle_leased(leased)
    assert len(out.post.posts) == 1
    out.work()
    assert len(out.post.posts) == 1


def test_what_is_too_much_to_be_aimed_is_given_up_by_its_age(out: Outgoing) -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=3, base_s=1, age_s_max=600))
    out = Outgoing(federation)
    aimed(out)
    out.node.publish(Note(content="hi"), by="alice")
    out.pass_s(HOUR_S, step_s=300)
    assert len(out.post.posts) == 20
    assert len(out.facts("dead", "1", "out")) == 40
    assert out.waiting() == 0


def test_an_aimed_backlog_survives_the_loss_of_the_queue() -> None:
    out = Outgoing(own_queue=True)
    aimed(out)
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    out.lose_queue()
    out.pass_s(2 * HOUR_S)
    assert len(set(out.post.urls)) == 60


# --- ours to answer for ---------------------------------------------------------------------------------------------


def test_our_own_signer_failing_is_charged_to_nobody() -> None:
    out = Outgoing()
    signer: Any = out.node.ports.signer
    sign, calls = signer.sign, []

    def failing(name: str, data: bytes, /) -> bytes:
        calls.append(name)
        raise SignerUnavailable("no")

    like(out, *(f"{X}/{number}" for number in range(3)))
    while leased := out.node.run(lease_work(1, limit=1)):
        if kind_of_lane(leased[0].message.lane) == DELIVER:
            break
        out.node.handle_leased(leased[0])
    signer.sign = failing
    out.node.handle_leased(leased[0])
    out.pass_s(HOUR_S)
    assert calls
    assert not out.post.posts
    assert not out.facts("circuit", "1") + out.facts("out-retry", "1")
    signer.sign = sign
    out.pass_s(120)
    assert len(out.post.posts) == 3
    assert not out.facts("dead", "1")


@pytest.mark.parametrize("backlog", [1, 19, 20, 150])
def test_a_sender_whose_key_is_lost_keeps_nobody_else_from_sending(backlog: int) -> None:
    out = Outgoing()
    signer: Any = out.node.ports.signer
    sign, able = signer.sign, []
    like(out, f"{Y}/warm")
    out.node.send(Like(object=f"{Y}/n"), by="bob", to=f"{Y}/warm")
    out.work()
    alices = {key.name for key in out.node.run(own_keys(out.node.site(), ALICE))}

    def failing(name: str, data: bytes, /) -> bytes:
        if name in alices and not able:
            raise SignerUnavailable("lost")
        return sign(name, data)

    signer.sign = failing
    for number in range(backlog):
        out.clock.moment += timedelta(seconds=1)
        out.node.send(Like(object=f"{Y}/{number}"), by="alice", to=f"{X}/dora")
        out.work()
    out.clock.moment += timedelta(seconds=1)
    out.node.send(Like(object=f"{Y}/n"), by="bob", to=f"{X}/dora")
    out.pass_s(60)
    assert out.post.urls.count(f"{X}/dora/inbox") == 1
    assert out.post.bodies[-1]["actor"].endswith("/bob")
    assert not out.facts("dead", "1") + out.facts("circuit", "1")
    able.append(True)
    out.pass_s(HOUR_S)
    assert out.post.urls.count(f"{X}/dora/inbox") == 1 + backlog
    assert len({body["id"] for body in out.post.bodies}) == len(out.post.bodies)
    assert out.waiting() == 0


def test_what_a_newer_release_has_sent_does_not_have_others_sent_twice(out: Outgoing) -> None:
    like(out, *(f"{X}/{number}" for number in range(3)))
    for number in range(3):
        out.node.send(Like(object=f"{Y}/{number}"), by="bob", to=f"{X}/{number}")
    while not out.facts("out", "1"):
        out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    [first, *_] = out.facts("sent", "1")
    newer = Put(first.key, b'{"v":99}\n')
    assert out.node.run(commit((), (newer,)))
    out.pass_s(HOUR_S)
    sent = [(request.url, request.body) for _, request in out.post.posts]
    assert len(set(sent)) == len(sent)
    assert 3 <= len(sent) < 6
    assert out.facts("out", "1")
    assert not out.facts("dead", "1")


def test_what_is_suspended_after_planning_is_not_delivered_to() -> None:
    out = Outgoing()
    like(out, f"{X}/bob")
    leased = out.node.run(lease_work(1, limit=1))
    out.node.handle_leased(leased[0])
    federation = alice_and_bob()
    federation.blocks(DomainRules.suspending(["x.example"]))
    out.federation = federation
    out.node = out.made()
    out.work()
    assert not out.post.posts
    assert len(out.facts("dead", "1", "out")) == 1


def test_a_host_with_the_longest_name_is_a_host_like_others(out: Outgoing) -> None:
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(host) == 253
    message = deliver_message(f"https://{host}:65535", b"0" * 16, by=HERE)
    assert message.dedup is not None
    assert len(message.dedup) <= 256
    like(out, f"https://{host}:65535/bob")
    out.work()
    assert out.post.urls == [f"https://{host}:65535/bob/inbox"]


def test_a_worker_that_comes_late_changes_nothing(out: Outgoing) -> None:
    like(out, f"{X}/bob")
    out.node.handle_leased(out.node.run(lease_work(1, limit=1))[0])
    [late] = out.node.run(lease_work(2, limit=1))
    out.clock.moment += timedelta(seconds=91)
    out.work()
    assert len(out.post.posts) == 1
    before = [*out.facts("out", "1"), *out.facts("circuit", "1")]
    out.node.handle_leased(late)
    assert [*out.facts("out", "1"), *out.facts("circuit", "1")] == before
    assert len(out.post.posts) == 1


def test_what_was_sent_and_is_not_kept_any_more_is_not_made_up(out: Outgoing) -> None:
    like(out, f"{X}/bob")
    out.post.answers[X] = ConnectFailed("no")
    out.work()
    out.clock.moment += timedelta(days=11)
    out.work()
    assert len(out.post.posts) == 1
    [dead] = out.facts("dead", "1", "out")
    assert b"not stored" in dead.value


def test_a_policy_of_one_attempt_makes_one() -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=1, base_s=1, age_s_max=10))
    out = Outgoing(federation)
    out.post.answers[X] = 500
    like(out, f"{X}/bob")
    out.work()
    out.pass_s(HOUR_S)
    assert len(out.post.posts) == 1
    assert out.waiting() == 0


# --- everything an attempt is made of -------------------------------------------------------------------------------


def test_a_post_is_what_an_inbox_takes(out: Outgoing) -> None:
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


def test_nothing_secret_is_on_the_wire(out: Outgoing) -> None:
    secret = f"{Y}/carol"
    note = Note(content="hi", to=[PUBLIC], bto=[secret], bcc=[f"{Y}/dora"])
    out.node.publish(note, by="alice", to=PUBLIC)
    out.node.send(Like(object=f"{X}/n", bcc=[secret]), by="alice", to=f"{X}/bob")
    out.work()
    assert sorted(out.post.urls) == [f"{X}/bob/inbox", *[f"{Y}/carol/inbox"] * 2, f"{Y}/dora/inbox"]
    assert not [request for _, request in out.post.posts if b"carol" in request.body or b"dora" in request.body]
    accept = Headers({"Accept": "application/activity+json"})
    page = out.node.handle(Request("GET", f"{ALICE}/outbox?page=true", accept))
    assert isinstance(page, Response)
    assert b"hi" in page.body
    assert b"carol" not in page.body + b"".join(entry.value for entry in out.facts("obj", "1"))
