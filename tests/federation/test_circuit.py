"""Check unreachable hosts: whether the outage is ours or theirs, and the charged attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apcore.effects import Scan
from apcore.errors import ConnectFailed
from apcore.federation import RetryPolicy
from apcore.federation.outages import HOSTS_MIN, is_our_outage
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult
from apcore.federation.outbox.circuit import Host, after_attempts
from apcore.federation.outbox.delivery_records import DELIVERIES
from apcore.federation.outbox.host_records import CIRCUITS, CircuitRecord
from apcore.federation.outbox.records import SENDINGS
from apcore.federation.retry import DELIVERY_RETRIES
from apcore.federation.time_limits import REACH_WINDOW_S
from apcore.http import Response
from apcore.ports import DeleteEntry, Entry, Put
from apcore.records.format import encode_record, to_epoch_ms
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


def set_answer(out: Outgoing, answer: Any, *numbers: int) -> None:
    for number in numbers:
        out.post.answers[host(number)] = answer


def clear_answers(out: Outgoing) -> None:
    out.post.answers.clear()


def state(out: Outgoing, number: int) -> CircuitRecord:
    [circuit] = [
        circuit for circuit in map(CIRCUITS.read, out.facts("circuit", "1")) if circuit.key.circuit == host(number)
    ]
    return circuit.record


def attempts(out: Outgoing) -> dict[str, int]:
    """Return the charged attempts of the waiting deliveries by origin."""
    return {entry.key[2].partition(" ")[0]: DELIVERIES.decode(entry.value).attempts for entry in out.facts("out", "1")}


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def test_single_host_that_is_down_is_charged(out: Outgoing) -> None:
    set_answer(out, DOWN, 0)
    send(out, *range(10))
    assert attempts(out) == {host(0): 1}
    assert (state(out, 0).failures, state(out, 0).spared) == (1, 0)


def test_hosts_are_not_charged_when_most_are_down_at_once(out: Outgoing) -> None:
    send(out, *range(10))
    set_answer(out, DOWN, *range(10))
    send(out, *range(10))
    # The outage shows only when more than half have failed: six of ten.
    assert sorted(attempts(out).values()) == [0] * 5 + [1] * 5
    charged = {entry.key[2]: CIRCUITS.decode(entry.value).failures for entry in out.facts("circuit", "1")}
    assert charged == attempts(out)
    out.pass_s(6 * HOUR_S, step_s=300)
    assert sorted(attempts(out).values()) == [0] * 5 + [1] * 5
    last = len(out.post.posts)
    clear_answers(out)
    out.pass_s(1000)
    assert not out.facts("out", "1") + out.facts("dead", "1") + out.facts("circuit", "1")
    assert len(out.post.posts) == last + 10


def test_failed_lookup_in_our_own_outage_is_not_charged(out: Outgoing) -> None:
    set_answer(out, DOWN, *range(8))
    send(out, *range(8))
    dora = "https://stranger.example/dora"
    out.post.actors[dora] = DOWN
    out.node.send(Like(object="https://n.example/1"), by="alice", to=dora)
    out.work()
    out.pass_s(HOUR_S)
    assert 10 <= out.post.gets.count(dora) <= 14
    [sending] = out.facts("send", "1")
    assert SENDINGS.decode(sending.value).lookups == {}
    del out.post.actors[dora]
    out.pass_s(HOUR_S, step_s=300)
    assert f"{dora}/inbox" in out.post.urls


def test_attempts_in_our_own_outage_become_rare(out: Outgoing) -> None:
    set_answer(out, DOWN, *range(6))
    send(out, *range(6))
    out.pass_s(6 * HOUR_S, step_s=120)
    # The pause grows to between 8 and 16 minutes.
    assert 6 * (6 * 60 / 18) <= len(out.post.posts) <= 6 * (6 * 60 / 8 + 8)


def test_deliveries_in_our_own_outage_are_given_up_after_three_days(out: Outgoing) -> None:
    set_answer(out, DOWN, *range(6))
    send(out, *range(6))
    out.pass_s(3 * DAY_S - HOUR_S, step_s=3000)
    assert not out.facts("dead", "1", "out")
    out.pass_s(2 * HOUR_S, step_s=600)
    assert len(out.facts("dead", "1", "out")) == 6
    assert not out.facts("out", "1")
    assert out.waiting() == 0


@pytest.mark.parametrize("answer", [500, 503, 429])
def test_host_that_answers_with_an_error_is_charged(out: Outgoing, answer: int) -> None:
    """Answer with errors from most hosts: any answer shows that the network works."""
    set_answer(out, answer, *range(10))
    send(out, *range(10))
    assert set(attempts(out).values()) == {1}


def test_few_failing_hosts_do_not_show_an_outage(out: Outgoing) -> None:
    set_answer(out, DOWN, *range(HOSTS_MIN - 1))
    send(out, *range(HOSTS_MIN - 1))
    assert set(attempts(out).values()) == {1}


@pytest.mark.parametrize("pattern", ["https://h{}.evil.example", "https://evil.example:{}", "https://[2a00::{}]"])
def test_many_hosts_of_one_domain_do_not_show_an_outage(out: Outgoing, pattern: str) -> None:
    out.post.answers = {pattern.format(number): DOWN for number in range(2000, 2040)} | {host(0): DOWN}
    send(out, *range(1, 5))
    out.node.send(Like(object="https://n.example/1"), by="alice", to=[f"{origin}/bob" for origin in out.post.answers])
    out.work()
    assert len(attempts(out)) == 41
    assert set(attempts(out).values()) == {1}


def test_repeated_failures_of_one_host_count_once(out: Outgoing) -> None:
    set_answer(out, DOWN, 0)
    for number in range(20):
        send(out, 0, of=f"https://n.example/{number}")
    out.pass_s(HOUR_S)
    assert state(out, 0).spared == 0
    assert state(out, 0).failures > 3


def test_results_older_than_an_hour_are_ignored(out: Outgoing) -> None:
    send(out, *range(8))
    out.clock.moment += timedelta(seconds=REACH_WINDOW_S + 60)
    set_answer(out, DOWN, *range(10, 16))
    send(out, *range(10, 16))
    # The eight successes have expired, so only the failing hosts count, from the fifth on.
    assert sorted(attempts(out).values()) == [0, 0, 1, 1, 1, 1]


def test_redirect_or_refusal_shows_that_a_host_is_reachable(out: Outgoing) -> None:
    set_answer(out, 404, *range(6))
    set_answer(out, Response(301, {"Location": "/x"}), 6)
    set_answer(out, DOWN, 7)
    send(out, *range(8))
    assert attempts(out) == {host(7): 1}


def test_other_hosts_are_read_only_after_an_unreachable_one() -> None:
    scans: list[Any] = []

    def observe(effect: object, _place: object) -> Any:
        if isinstance(effect, Scan) and effect.prefix[0] == "reach":
            scans.append(effect)
        return lambda _outcome: None

    out = Outgoing(observer=observe)
    set_answer(out, 500, 0)
    send(out, *range(10))
    assert not scans
    set_answer(out, DOWN, 1)
    send(out, 1)
    assert len(scans) == 1


def test_single_allowed_attempt_is_charged_without_an_outage() -> None:
    federation = alice_and_bob()
    object.__setattr__(federation, "delivery_retries", RetryPolicy(attempts_max=1, base_s=1, age_s_max=10))
    out = Outgoing(federation)
    set_answer(out, DOWN, 0)
    send(out, 0)
    assert len(out.facts("dead", "1", "out")) == 1


def test_reachability_of_a_host_is_written_at_most_four_times_an_hour() -> None:
    out = Outgoing()
    versions = set()
    for number in range(60):
        send(out, 0, of=f"https://n.example/{number}")
        versions |= {entry.version for entry in out.facts("reach", "1")}
        out.clock.moment += timedelta(seconds=60)
    assert len(versions) == 4


def test_host_state_after_a_commit_is_used_in_the_same_step() -> None:
    """Apply the writes of one attempt, and judge the next attempts of the step by the result."""
    now = Outgoing().clock.moment
    host = Host("https://h0.example")
    failure = AttemptResult(AttemptOutcome.HOST_FAILING, "no", reached=False)
    success = AttemptResult(AttemptOutcome.DELIVERED, "yes", reached=True, accepted=Dialect("rfc9421"))
    writes, _ = after_attempts(host, [success, failure], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5)
    updated_host = host.after(writes)
    assert updated_host.circuit is not None
    assert updated_host.circuit.failures == 1
    assert updated_host.due_in_s(now) == 22.5
    assert updated_host.known_dialect == Dialect("rfc9421")
    assert updated_host.reach is not None
    second_writes, _ = after_attempts(
        updated_host, [failure], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5
    )
    assert [write.key[0] for write in second_writes] == ["circuit"]  # the other state is unchanged
    second_circuit = updated_host.after(second_writes).circuit
    assert second_circuit is not None
    assert second_circuit.failures == 2
    recovery_writes, wait_s = after_attempts(
        updated_host.after(second_writes), [success], policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0.5
    )
    assert wait_s == 0
    assert updated_host.after(recovery_writes).circuit is None
    assert updated_host.after([Put(("else",), b"")]) == updated_host


OUTAGES = {
    "no other host": ([], False),
    "too few": ([0, 0, 0], False),
    "all of five": ([0, 0, 0, 0], True),
    "three of five": ([0, 0, 1, 1], True),
    "half of six": ([0, 0, 1, 1, 1], False),
    "four of six": ([0, 0, 0, 1, 1], True),
}


@pytest.mark.parametrize(("other_results", "is_ours"), OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("own_result", [None, 0, 1])
def test_outage_is_ours_if_more_than_half_of_five_hosts_fail(
    other_results: list[int], is_ours: bool, own_result: int | None
) -> None:
    out = Outgoing()
    now = out.clock.moment

    def reach(name: str, ok: int, age_s: float) -> Entry:
        return Entry(
            ("reach", "1", name), encode_record({"ok": ok, "at": to_epoch_ms(now) - int(age_s * 1000)}), b"v" * 16
        )

    entries = [reach(host(number), ok, REACH_WINDOW_S - 1) for number, ok in enumerate(other_results)]
    # These have expired, but the store may still have them.
    entries += [reach(host(100 + number), ok, REACH_WINDOW_S) for number, ok in enumerate([0, 1] * 5)]
    entries += [] if own_result is None else [reach("https://x.example", own_result, 0)]
    op = is_our_outage("https://x.example", now)
    assert isinstance(next(op), Scan)
    with pytest.raises(StopIteration) as stop:
        _ = op.send(entries)
    assert stop.value.value is is_ours


def test_attempt_that_failed_on_our_side_waits_and_charges_nothing() -> None:
    now = Outgoing().clock.moment
    not_sent, delivered = (
        AttemptResult(AttemptOutcome.NOT_ASKED, "no"),
        AttemptResult(AttemptOutcome.DELIVERED, "yes", reached=True),
    )
    before = Host("https://h0.example", circuit=CircuitRecord(failures=3))
    for attempts, deleted, wait in (([not_sent], 0, 30.0), ([delivered, not_sent], 1, 30.0), ([delivered], 1, 0.0)):
        writes, wait_s = after_attempts(before, attempts, policy=DELIVERY_RETRIES, our_outage=False, now=now, jitter=0)
        assert wait_s == wait
        assert [type(write) for write in writes if write.key[0] == "circuit"] == [DeleteEntry] * deleted


@pytest.mark.parametrize(("is_ours", "failures", "spared"), [(False, 4, 0), (True, 3, 3)])
def test_each_failure_is_counted(is_ours: bool, failures: int, spared: int) -> None:
    now = Outgoing().clock.moment
    before = Host("https://h0.example", circuit=CircuitRecord(failures=3, spared=2))
    failure = AttemptResult(AttemptOutcome.HOST_FAILING, "no", reached=False)
    writes, wait_s = after_attempts(before, [failure], policy=DELIVERY_RETRIES, our_outage=is_ours, now=now, jitter=1)
    after = before.after(writes)
    assert wait_s == 0
    assert after.circuit is not None
    assert (after.circuit.failures, after.circuit.spared) == (failures, spared)
    assert after.due_in_s(now) == 30 * 2 ** (failures if not is_ours else spared) / 2
