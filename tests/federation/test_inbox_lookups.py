"""Check inbox lookups: failures are retried after a pause for three days, and successes are cached."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import (
    AddressBlocked,
    ConnectFailed,
    FetchTimedOut,
    NameUnresolved,
    ProtocolFailed,
    StoreUnavailable,
    TlsFailed,
)
from apcore.federation import RetryPolicy
from apcore.federation.outbox.host_records import ACTOR_LOOKUPS, HOST_LOOKUPS
from apcore.federation.outbox.inbox_lookups import InboxRefused, InboxUnknown, look_up_inboxes
from apcore.http import Response
from apcore.records.format import decode_record
from apcore.remote import Gone
from apcore.vocab import Like
from outbox_fixture import Outgoing, alice_and_bob

X, Y = "https://x.example", "https://y.example"
BOB = f"{X}/bob"
AS2 = "https://www.w3.org/ns/activitystreams"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
UNREACHED = {type(error).__name__: error for error in (
    ConnectFailed("no"), NameUnresolved("no"), TlsFailed("no"), FetchTimedOut("no"), ProtocolFailed("no"))}  # fmt: skip
FAILING = UNREACHED | {"503": Response(503), "429": Response(429)}
REFUSED = {
    "404": Response(404),
    "403": Response(403),
    "a page": Response(200, {"Content-Type": "text/html"}, b"<html>"),
    "no inbox": {"inbox": None},
    "an inbox that is no address": {"inbox": "ftp://x.example/"},
    "a blocked address": AddressBlocked("10.0.0.1"),
}


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def send(out: Outgoing, *to: str, times: int = 1) -> None:
    """Send activities about different objects, so that no sending waits for another."""
    for _ in range(times):
        number = len(out.facts("sent", "1"))
        out.node.send(Like(object=f"{Y}/notes/{number}"), by="alice", to=to)
    out.work()


def due_s(out: Outgoing, *key: str) -> float:
    """Return the remaining pause of a lookup record, in seconds."""
    [entry] = out.facts("lookup", "1", *key)
    record = ACTOR_LOOKUPS.decode(entry.value) if key[0] == "actor" else HOST_LOOKUPS.decode(entry.value)
    due_in_s = record.due_in_s(out.clock.moment)
    assert due_in_s is not None
    return due_in_s


def jump(out: Outgoing, seconds: float) -> None:
    """Let time pass at once, and work."""
    out.clock.moment += timedelta(seconds=seconds)
    out.work()


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", FAILING.values(), ids=FAILING)
def test_failed_lookup_of_an_actor_is_repeated_once_per_pause(out: Outgoing, answer: Any) -> None:
    out.post.actors[BOB] = answer
    send(out, BOB, times=10)
    assert out.post.gets == [BOB]
    for failures in range(1, 5):
        pause_s = due_s(out, "actor")
        assert 15 * 2 ** (failures - 1) <= pause_s <= 30 * 2 ** (failures - 1)
        jump(out, pause_s - 1)
        assert len(out.post.gets) == failures
        jump(out, 1)
        assert len(out.post.gets) == failures + 1
    del out.post.actors[BOB]
    jump(out, due_s(out, "actor"))
    assert len(out.post.gets) == 6
    assert out.post.urls == [f"{BOB}/inbox"] * 10
    assert not out.facts("send", "1") + out.facts("lookup", "1")
    assert out.waiting() == 0


@pytest.mark.parametrize("answer", UNREACHED.values(), ids=UNREACHED)
@pytest.mark.parametrize("at_once", [False, True], ids=["separate", "in one sending"])
def test_actors_of_a_dead_host_cause_one_lookup(out: Outgoing, answer: Any, at_once: bool) -> None:
    actors = [f"{X}/{number}" for number in range(10)]
    out.post.actors = dict.fromkeys(actors, answer)
    if at_once:
        send(out, *actors)
    else:
        for actor in actors:
            send(out, actor)
    assert len(out.post.gets) == 1
    out.post.actors.clear()
    out.pass_s(60, step_s=30)
    assert sorted(out.post.urls) == sorted(f"{actor}/inbox" for actor in actors)


def test_host_that_answers_503_for_one_actor_is_used_for_others(out: Outgoing) -> None:
    out.post.actors[BOB] = Response(503)
    send(out, BOB)
    send(out, f"{X}/carol")
    assert out.post.urls == [f"{X}/carol/inbox"]


def test_retry_after_of_a_lookup_is_respected(out: Outgoing) -> None:
    out.post.actors[BOB] = Response(503, {"Retry-After": "7200"})
    send(out, BOB)
    assert due_s(out, "actor") == 7200
    out.pass_s(7000, step_s=600)
    assert len(out.post.gets) == 1


def test_actor_that_never_loads_does_not_block_others_of_its_host(out: Outgoing) -> None:
    out.post.actors[BOB] = FetchTimedOut("slow")
    send(out, BOB)
    for number in range(24):
        carol = f"{X}/carol{number}"
        send(out, BOB, carol)
        out.pass_s(HOUR_S, step_s=300)
        assert out.post.urls[-1:] == [f"{carol}/inbox"]
    # The actor that never loads is looked up ever more rarely.
    assert out.post.gets.count(BOB) <= 16


def test_redirect_to_a_dead_host_does_not_mark_the_redirecting_host(out: Outgoing) -> None:
    out.post.actors[BOB] = Response(302, {"Location": f"{Y}/dead"})
    out.post.actors[f"{Y}/dead"] = ConnectFailed("no")
    send(out, BOB, times=3)
    assert out.post.gets == [BOB, f"{Y}/dead"]
    send(out, f"{X}/carol")
    assert out.post.urls == [f"{X}/carol/inbox"]


def test_host_with_an_open_circuit_gets_no_lookup(out: Outgoing) -> None:
    send(out, f"{X}/carol")
    out.post.answers[X] = ConnectFailed("no")
    send(out, f"{X}/carol")
    gets = len(out.post.gets)
    send(out, BOB, times=3)
    assert len(out.post.gets) == gets
    out.post.answers.clear()
    out.pass_s(60, step_s=30)
    assert out.post.gets[gets:] == [BOB]
    assert out.post.urls.count(f"{BOB}/inbox") == 3


def test_failed_lookup_does_not_delay_deliveries_to_its_host(out: Outgoing) -> None:
    send(out, f"{X}/carol")
    out.post.actors[BOB] = ConnectFailed("no")
    send(out, BOB)
    posts = len(out.post.posts)
    send(out, f"{X}/carol")
    assert len(out.post.posts) == posts + 1
    assert not out.facts("circuit", "1")


def test_failed_lookup_in_our_own_outage_is_not_charged(out: Outgoing) -> None:
    hosts = [f"https://h{number}.example" for number in range(8)]
    out.post.answers = dict.fromkeys(hosts, ConnectFailed("no"))
    send(out, *(f"{host}/bob" for host in hosts))
    out.post.actors[BOB] = ConnectFailed("no")
    send(out, BOB)
    assert due_s(out, "actor") >= 300
    for kind in ("actor", "host"):
        [entry] = out.facts("lookup", "1", kind)
        assert decode_record(entry.value).members.get("failures", 0) == 0


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_refused_lookup_is_cached(out: Outgoing, answer: Any) -> None:
    out.post.actors[BOB] = answer
    send(out, BOB, times=10)
    attempts = 2 if answer is REFUSED["403"] else 1
    assert out.post.gets == [BOB] * attempts
    assert not out.facts("send", "1")
    del out.post.actors[BOB]
    jump(out, 3 * DAY_S)
    send(out, BOB)
    assert out.post.urls == [f"{BOB}/inbox"]


@pytest.mark.parametrize(("status", "error"), [(404, InboxRefused), (410, Gone)])
def test_refused_lookup_is_raised_again_without_a_request(out: Outgoing, status: int, error: type[Exception]) -> None:
    out.post.actors[BOB] = Response(status)
    for _ in range(3):
        with pytest.raises(Exception, match=r"404|410|in the last 600 s") as caught:
            out.node.run(look_up_inboxes(out.node.site(), BOB, within_s=15))
    assert type(caught.value) is error
    assert len(out.post.gets) == 1
    out.clock.moment += timedelta(seconds=600)
    with pytest.raises(Exception, match=str(status)):
        out.node.run(look_up_inboxes(out.node.site(), BOB, within_s=15))
    assert len(out.post.gets) == (1 if error is Gone else 2)


# --- successes ------------------------------------------------------------------------------------------------------


def actor_page(ident: str = BOB, **headers: str) -> Response:
    members = {"@context": AS2, "id": ident, "type": "Person", "inbox": f"{ident}/inbox"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(200, {"Content-Type": "application/activity+json", **named}, json.dumps(members).encode())


ACTOR_PAGES = {
    "cacheable": {BOB: actor_page()},
    "not to be stored": {BOB: actor_page(Cache_Control="no-store")},
    "stale at once": {BOB: actor_page(Cache_Control="max-age=0")},
    "an alias": {BOB: Response(301, {"Location": f"{X}/users/bob"}), f"{X}/users/bob": actor_page(f"{X}/users/bob")},
}


@pytest.mark.parametrize("pages", ACTOR_PAGES.values(), ids=ACTOR_PAGES)
def test_successful_lookup_is_cached(out: Outgoing, pages: dict[str, Any]) -> None:
    out.post.actors = pages
    send(out, BOB, times=10)
    assert out.post.gets == list(pages)
    assert len(out.post.posts) == 10


def test_no_store_inboxes_are_cached_for_a_minute(out: Outgoing) -> None:
    out.post.actors[BOB] = actor_page(Cache_Control="no-store")
    send(out, BOB)
    out.clock.moment += timedelta(seconds=60)
    send(out, BOB)
    assert out.post.gets == [BOB, BOB]


# --- retries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [ConnectFailed("no"), Response(503)], ids=["no connection", "503"])
def test_actor_found_within_three_days_gets_every_activity(out: Outgoing, answer: Any) -> None:
    out.post.actors[BOB] = answer
    for _ in range(71):
        send(out, BOB)
        out.pass_s(HOUR_S, step_s=1200)
    out.pass_s(HOUR_S - 1, step_s=1200)
    assert len(out.facts("send", "1")) == 71
    # All sendings together cause as many lookups as one delivery has attempts.
    assert len(out.post.gets) <= 23
    del out.post.actors[BOB]
    out.pass_s(12.5 * HOUR_S, step_s=600)
    assert len({request.body for _, request in out.post.posts}) == 71
    assert not out.facts("send", "1")


def test_actor_that_is_never_found_is_given_up_after_three_days(out: Outgoing) -> None:
    out.post.actors[BOB] = ConnectFailed("no")
    send(out, BOB, times=3)
    out.pass_s(3 * DAY_S - 1, step_s=HOUR_S)
    assert len(out.facts("send", "1")) == 3
    out.pass_s(13 * HOUR_S, step_s=HOUR_S)
    assert not out.facts("send", "1")
    assert 17 <= len(out.post.gets) <= 24
    assert out.waiting() == 0


def test_attempts_max_bounds_the_number_of_lookups() -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=3, base_s=10, age_s_max=DAY_S))
    out = Outgoing(federation)
    out.post.actors[BOB] = ConnectFailed("no")
    send(out, BOB)
    out.pass_s(DAY_S, step_s=600)
    assert len(out.post.gets) == 3
    assert not out.facts("send", "1")


def test_lookup_records_expire(out: Outgoing) -> None:
    out.post.actors = {f"https://h{number}.example/bob": ConnectFailed("no") for number in range(5)}
    send(out, *out.post.actors)
    assert len(out.facts("lookup", "1")) == 10
    out.pass_s(5 * DAY_S, step_s=6 * HOUR_S)
    assert out.facts("lookup", "1") == []


def test_lookup_works_if_its_record_cannot_be_written(out: Outgoing) -> None:
    out.post.actors[BOB] = ConnectFailed("no")
    commit = out.store.commit

    def failing(checks: Any, writes: Any, **kwargs: Any) -> Any:
        if any(write.key[0] == "lookup" for write in writes):
            raise StoreUnavailable("full")
        return commit(checks, writes, **kwargs)

    out.store.commit = failing  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(InboxUnknown) as caught:
            out.node.run(look_up_inboxes(out.node.site(), BOB, within_s=15))
        assert caught.value.tried == out.clock.moment
    assert len(out.post.gets) == 2
