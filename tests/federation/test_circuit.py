"""Hosts that do not answer: whose doing it is, and what is charged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apcore.effects import Scan
from apcore.errors import ConnectFailed
from apcore.federation import RetryPolicy
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult
from apcore.federation.outbox.circuit import HOSTS_MIN, Host, after_attempts, is_our_outage
from apcore.federation.outbox.host_records import CIRCUITS, CircuitRecord
from apcore.federation.retry import DELIVERY_RETRIES
from apcore.federation.time_limits import REACH_WINDOW_S
from apcore.http import Response
from apcore.ports import DeleteEntry, Entry, Put
from apcore.records.format import decode_record, encode_record, to_epoch_ms
from apcore.remote import Dialect
from apcore.vocab import Like
from outbox_fixture import Outgoing, alice_and_bob

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
DOWN = ConnectFailed("no")


def host(number: int) -> str:
    return f"https://h{number}.example"


def send(out: Outgoing, *numbers: int, of: str = "https://n.example/1") -> None:
    out.node.send(Like(object=of), by="alice", to=[f"{host(number)}/bob" for number in numbers])
    out.work()


def answering(out: Outgoing, answer: Any, *numbers: int) -> None:
    for number in numbers:
        out.post.answers[host(number)] = answer


def recover(out: Outgoing) -> None:
    out.post.answers.clear()


def state(out: Outgoing, number: int) -> CircuitRecord:
    [circuit] = [
        circuit for circuit in map(CIRCUITS.read, out.facts("circuit", "1")) if circuit.key.circuit == host(number)
    ]
    return circuit.record


def attempts(out: Outgoing) -> dict[str, int]:
    """What the deliveries that wait are charged with."""
    return {
        entry.key[2].partition(" ")[0]: decode_record(entry.value).number("attempts") for entry in out.facts("out", "1")
    }


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def test_a_host_that_is_down_alone_is_charged(out: Outgoing) -> None:
    answering(out, DOWN, 0)
    send(out, *range(10))
    assert attempts(out) == {host(0): 1}
    assert (state(out, 0).failures, state(out, 0).spared) == (1, 0)


def test_when_most_are_down_at_once_nobody_is_charged(out: Outgoing) -> None:
    send(out, *range(10))
    answering(out, DOWN, *range(10))
    send(out, *range(10))
    # Until more than half have failed, nobody can know: six of ten.
    assert sorted(attempts(out).values()) == [0] * 5 + [1] * 5
    charged = {entry.key[2]: decode_record(entry.value).number("failures") for entry in out.facts("circuit", "1")}
    assert charged == attempts(out)
    out.pass_s(6 * HOUR_S, step_s=300)
    assert sorted(attempts(out).values()) == [0] * 5 + [1] * 5
    last = len(out.post.posts)
    recover(out)
    out.pass_s(1000)
    assert not out.facts("out", "1") + out.facts("dead", "1") + out.facts("circuit", "1")
    assert len(out.post.posts) == last + 10


def test_who_cannot_be_found_in_an_outage_of_ours_is_charged_with_nothing(out: Outgoing) -> None:
    answering(out, DOWN, *range(8))
    send(out, *range(8))
    unauthenticated_client = "https://stranger.example/dora"
    out.post.actors[unauthenticated_client] = DOWN
    out.node.send(Like(object="https://n.example/1"), by="alice", to=unauthenticated_client)
    out.work()
    out.pass_s(HOUR_S)
    assert 10 <= out.post.gets.count(unauthenticated_client) <= 14
    [waiting] = out.facts("send", "1")
    assert "lookups" not in decode_record(waiting.value).members
    del out.post.actors[unauthenticated_client]
    out.pass_s(HOUR_S, step_s=300)
    assert f"{unauthenticated_client}/inbox" in out.post.urls


def test_an_outage_of_ours_is_not_hammered_into(out: Outgoing) -> None:
    answering(out, DOWN, *range(6))
    send(out, *range(6))
    out.pass_s(6 * HOUR_S, step_s=120)
    # The pause grows to between 8 and 16 minutes.
    assert 6 * (6 * 60 / 18) <= len(out.post.posts) <= 6 * (6 * 60 / 8 + 8)


def test_even_in_an_outage_of_ours_nothing_is_tried_for_ever(out: Outgoing) -> None:
    answering(out, DOWN, *range(6))
    send(out, *range(6))
    out.pass_s(3 * DAY_S - HOUR_S, step_s=3000)
    assert not out.facts("dead", "1", "out")
    out.pass_s(2 * HOUR_S, step_s=600)
    assert len(out.facts("dead", "1", "out")) == 6
    assert not out.facts("out", "1")
    assert out.waiting() == 0


@pytest.mark.parametrize("answer", [500, 503, 429])
def test_who_answers_is_charged_whatever_the_others_do(out: Outgoing, answer: int) -> None:
    """An answer of any kind shows that the network is there."""
    answering(out, answer, *range(10))
    send(out, *range(10))
    assert set(attempts(out).values()) == {1}


def test_of_few_hosts_nothing_is_concluded(out: Outgoing) -> None:
    answering(out, DOWN, *range(HOSTS_MIN - 1))
    send(out, *range(HOSTS_MIN - 1))
    assert set(attempts(out).values()) == {1}


@pytest.mark.parametrize("spelled", ["https://h{}.evil.example", "https://evil.example:{}", "https://[2a00::{}]"])
def test_one_who_owns_many_hosts_does_not_make_it_our_outage(out: Outgoing, spelled: str) -> None:
    out.post.answers = {spelled.format(number): DOWN for number in range(2000, 2040)} | {host(0): DOWN}
    send(out, *range(1, 5))
    out.node.send(Like(object="https://n.example/1"), by="alice", to=[f"{origin}/bob" for origin in out.post.answers])
    out.work()
    assert len(attempts(out)) == 41
    assert set(attempts(out).values()) == {1}


def test_the_same_host_counts_once(out: Outgoing) -> None:
    answering(out, DOWN, 0)
    for number in range(20):
        send(out, 0, of=f"https://n.example/{number}")
    out.pass_s(HOUR_S)
    assert state(out, 0).spared == 0
    assert state(out, 0).failures > 3


def test_what_was_an_hour_ago_counts_no_more(out: Outgoing) -> None:
    send(out, *range(8))
    out.clock.moment += timedelta(seconds=REACH_WINDOW_S + 60)
    answering(out, DOWN, *range(10, 16))
    send(out, *range(10, 16))
    # The eight that answered are forgotten, so four that fail and a fifth are all of those that were tried.
    assert sorted(attempts(out).values()) == [0, 0, 1, 1, 1, 1]


def test_a_redirect_or_a_refusal_is_an_answer(out: Outgoing) -> None:
    answering(out, 404, *range(6))
    answering(out, Response(301, {"Location": "/x"}), 6)
    answering(out, DOWN, 7)
    send(out, *range(8))
    assert attempts(out) == {host(7): 1}


def test_hosts_are_looked_at_only_when_one_cannot_be_reached() -> None:
    scans: list[Any] = []

    def observe(effect: object, _place: object) -> Any:
        if isinstance(effect, Scan) and effect.prefix[0] == "reach":
            scans.append(effect)
        return lambda _outcome: None

    out = Outgoing(observer=observe)
    answering(out, 500, 0)
    send(out, *range(10))
    assert not scans
    answering(out, DOWN, 1)
    send(out, 1)
    assert len(scans) == 1


def test_one_attempt_is_one_attempt_without_an_outage() -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=1, base_s=1, age_s_max=10))
    out = Outgoing(federation)
    answering(out, DOWN, 0)
    send(out, 0)
    assert len(out.facts("dead", "1", "out")) == 1


def test_that_a_host_answers_is_written_four_times_an_hour_at_most() -> None:
    out = Outgoing()
    versions = set()
    for number in range(60):
        send(out, 0, of=f"https://n.example/{number}")
        versions |= {entry.version for entry in out.facts("reach", "1")}
        out.clock.moment += timedelta(seconds=60)
    assert len(versions) == 4


def test_what_a_commit_has_changed_is_known_to_the_rest_of_the_step() -> None:
    """Attempts that follow a record within a step are judged by what was just written."""
    now = Outgoing().clock.moment
    host = Host("https://h0.example")
    failed = AttemptResult(AttemptOutcome.HOST_FAILING, "no", reached=False)
    taken = AttemptResult(AttemptOutcome.DELIVERED, "yes", reached=True, accepted=Dialect("rfc9421"))
    writes, _ = after_attempts(host, [taken, failed], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5)
    known = host.after(writes)
    assert known.circuit is not None
    assert known.circuit.failures == 1
    assert known.due_in_s(now) == 22.5
    assert known.known_dialect == Dialect("rfc9421")
    assert known.reach is not None
    again, _ = after_attempts(known, [failed], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5)
    assert [write.key[0] for write in again] == ["circuit"]  # what is known is not written again
    failing = known.after(again).circuit
    assert failing is not None
    assert failing.failures == 2
    mended, wait_s = after_attempts(
        known.after(again), [taken], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5
    )
    assert wait_s == 0
    assert known.after(mended).circuit is None
    assert known.after([Put(("else",), b"")]) == known


OUTAGES = {
    "nobody else": ([], False),
    "too few": ([0, 0, 0], False),
    "all of five": ([0, 0, 0, 0], True),
    "three of five": ([0, 0, 1, 1], True),
    "half of six": ([0, 0, 1, 1, 1], False),
    "four of six": ([0, 0, 0, 1, 1], True),
}


@pytest.mark.parametrize(("others", "ours"), OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("itself", [None, 0, 1])
def test_more_than_half_of_at_least_five_hosts(others: list[int], ours: bool, itself: int | None) -> None:
    out = Outgoing()
    now = out.clock.moment

    def reach(name: str, ok: int, age_s: float) -> Entry:
        return Entry(
            ("reach", "1", name), encode_record({"ok": ok, "at": to_epoch_ms(now) - int(age_s * 1000)}), b"v" * 16
        )

    entries = [reach(host(number), ok, REACH_WINDOW_S - 1) for number, ok in enumerate(others)]
    # By the clock of the store they may still be there.
    entries += [reach(host(100 + number), ok, REACH_WINDOW_S) for number, ok in enumerate([0, 1] * 5)]
    entries += [] if itself is None else [reach("https://x.example", itself, 0)]
    op = is_our_outage("https://x.example", now)
    assert isinstance(next(op), Scan)
    with pytest.raises(StopIteration) as ended:
        _ = op.send(entries)
    assert ended.value.value is ours


def test_what_was_not_asked_for_our_own_fault_waits_half_a_minute_and_says_nothing() -> None:
    now = Outgoing().clock.moment
    unasked, taken = (
        AttemptResult(AttemptOutcome.NOT_ASKED, "no"),
        AttemptResult(AttemptOutcome.DELIVERED, "yes", reached=True),
    )
    before = Host("https://h0.example", circuit=CircuitRecord(failures=3))
    for attempts, deleted, wait in (([unasked], 0, 30.0), ([taken, unasked], 1, 30.0), ([taken], 1, 0.0)):
        writes, wait_s = after_attempts(before, attempts, policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0)
        assert wait_s == wait
        assert [type(write) for write in writes if write.key[0] == "circuit"] == [DeleteEntry] * deleted


@pytest.mark.parametrize(("ours", "failures", "spared"), [(False, 4, 0), (True, 3, 3)])
def test_failures_are_counted_one_by_one(ours: bool, failures: int, spared: int) -> None:
    now = Outgoing().clock.moment
    before = Host("https://h0.example", circuit=CircuitRecord(failures=3, spared=2))
    failed = AttemptResult(AttemptOutcome.HOST_FAILING, "no", reached=False)
    writes, wait_s = after_attempts(before, [failed], policy=DELIVERY_RETRIES, our_outage=ours, now=now, jitter=1)
    after = before.after(writes)
    assert wait_s == 0
    assert after.circuit is not None
    assert (after.circuit.failures, after.circuit.spared) == (failures, spared)
    assert after.due_in_s(now) == 30 * 2 ** (failures if not ours else spared) / 2
