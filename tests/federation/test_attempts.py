"""Check attempt numbers, and a clock that is set back. All work runs in the calling thread, on a manual clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import ConnectFailed
from apcore.federation import Failure, Federation
from apcore.federation.inbox.records import DEAD_ACTIVITIES, RECEIVED_ACTIVITIES
from apcore.federation.reconcile import reconcile
from apcore.federation.retry import RetryPolicy
from apcore.federation.wake_ups import LANES
from apcore.federation.worker import lease_work
from apcore.ports import Put
from apcore.vocab import Like
from inbox_fixture import ALICE, BOB, INBOX, Ground
from outbox_fixture import Outgoing

X = "https://x.example"
HOUR_S = 3600.0


class PowerCut(BaseException):
    """End the process in which a listener runs."""


def arrive(ground: Ground, number: int = 1) -> str:
    activity = {"id": f"{BOB}/likes/{number}", "type": "Like", "actor": BOB, "object": ALICE}
    assert ground.post(ground.bob.request(activity, INBOX)).status == 202
    return str(activity["id"])


def die(*_: Any) -> None:
    raise PowerCut


def test_attempt_that_ended_with_its_process_is_counted() -> None:
    ground = Ground()
    attempts: list[int] = []
    ground.listeners.append(lambda ctx, _: attempts.append(ctx.attempt))
    ground.meanwhile += [die, die]
    _ = arrive(ground)
    for _ in range(2):
        with pytest.raises(PowerCut):
            ground.work()
        ground.clock.pass_s(100)  # its lease has expired
    ground.work()
    assert attempts == [1, 2, 3]


def test_activity_that_kills_every_worker_becomes_a_dead_letter() -> None:
    ground = Ground(listener_retries=RetryPolicy(attempts_max=4, base_s=1, age_s_max=86_400))
    ground.listeners.append(die)
    _ = arrive(ground)
    for _ in range(4):
        with pytest.raises(PowerCut):
            ground.work()
        ground.clock.pass_s(100)
    ground.work()
    assert len(ground.heard) == 4
    assert "dead" in ground.kinds()
    depth = ground.queue.depth(LANES)
    assert (depth.ready, depth.delayed, depth.leased) == (0, 0, 0)


def test_failures_and_crashes_are_both_counted() -> None:
    ground = Ground()
    attempts: list[int] = []
    ground.listeners.append(lambda ctx, _: attempts.append(ctx.attempt))

    def fail() -> None:
        raise ValueError("not now")

    ground.meanwhile += [fail, die]
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(100)
    with pytest.raises(PowerCut):
        ground.work()
    ground.clock.pass_s(100)
    ground.work()
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("attempts_max", [1, 2])
def test_failure_that_is_not_recorded_is_not_final(attempts_max: int, caplog: pytest.LogCaptureFixture) -> None:
    """Change the activity's record during each first attempt, as another worker does."""
    ground = FailingGround(attempts_max)

    def change_record() -> None:
        [entry] = ground.store.scan(RECEIVED_ACTIVITIES.at(), limit=10)
        assert ground.store.commit((), (Put(entry.key, entry.value),), token=bytes(16))
        raise ValueError("the listener fails")

    def fail() -> None:
        raise ValueError("the listener fails")

    ground.meanwhile += [change_record, fail]
    arrive(ground)
    ground.work()
    assert ground.finals == [False]
    assert "gave up" not in caplog.text
    assert not ground.store.scan(DEAD_ACTIVITIES.at(), limit=1)
    for _ in range(10):
        ground.clock.pass_s(HOUR_S)
        ground.work()
    assert ground.finals[1:] == [True], "the queue counts the attempt that was not recorded"
    assert len(ground.store.scan(DEAD_ACTIVITIES.at(), limit=9)) == 1


class FailingGround(Ground):
    """A server with an error hook, which records whether each failure was final."""

    def __init__(self, attempts_max: int) -> None:
        self.finals: list[bool] = []
        retries = RetryPolicy(attempts_max=attempts_max, base_s=1, delay_s_max=2, age_s_max=100 * HOUR_S)
        super().__init__(listener_retries=retries)

    def _federation(self, rules: Any, options: dict[str, Any]) -> Federation[None]:
        federation = super()._federation(rules, options)

        @federation.on_error
        def report(ctx: Any, failure: Failure) -> None:
            self.finals.append(failure.final)

        return federation


@pytest.mark.parametrize("is_separate", [False, True], ids=["atomic", "separate"])
def test_leased_activity_is_not_leased_twice(is_separate: bool) -> None:
    """Enqueue an activity again while it is under way, by a repetition and by `reconcile`."""
    ground = Ground(apart=is_separate)
    activity = {"id": f"{BOB}/likes/1", "type": "Like", "actor": BOB, "object": ALICE}
    request = ground.bob.request(activity, INBOX)
    assert ground.post(request).status == 202

    def meanwhile() -> None:
        assert ground.post(request).status == 202
        ground.node.run(reconcile())
        assert ground.node.run(lease_work(0)) == ()

    ground.meanwhile.append(meanwhile)
    ground.work()
    ground.work()
    assert len(ground.heard) == 1
    assert ground.queue.depth(LANES).leased == 0


def test_retry_overdue_at_a_restart_runs_once() -> None:
    ground = Ground()
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(HOUR_S)
    for turn in range(3):
        # Lease and reconcile in both orders.
        leases = ground.node.run(lease_work(turn)) if turn == 1 else ()
        ground.node.run(reconcile())
        for lease in leases:
            ground.node.handle_leased(lease)
    ground.work()
    assert len(ground.heard) == 2


# --- a clock that is set back ---------------------------------------------------------------------------------------


def test_listener_is_retried_after_the_clock_was_set_back() -> None:
    ground = Ground()
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(-HOUR_S)
    ground.work()  # a worker reconciles at its start and every minute
    assert len(ground.heard) == 2


def test_small_step_of_the_clock_does_not_hasten_a_retry() -> None:
    ground = Ground(listener_retries=RetryPolicy(base_s=600, age_s_max=86_400))
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(-5)
    ground.work()
    assert len(ground.heard) == 1


@pytest.mark.parametrize("answer", [ConnectFailed("no"), 408], ids=["host", "inbox"])
def test_deliveries_continue_after_the_clock_was_set_back(answer: Any) -> None:
    outgoing = Outgoing()
    outgoing.post.answers[X] = answer
    outgoing.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    outgoing.work()
    outgoing.post.answers.clear()
    posts_before = len(outgoing.post.posts)
    outgoing.clock.moment -= timedelta(hours=1)
    outgoing.work()
    assert len(outgoing.post.posts) == posts_before + 1
    assert outgoing.waiting() == 0


def test_recipients_are_looked_up_after_the_clock_was_set_back() -> None:
    outgoing = Outgoing()
    outgoing.post.actors[f"{X}/bob"] = ConnectFailed("no")
    outgoing.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    outgoing.work()
    outgoing.post.actors.clear()
    posts_before = len(outgoing.post.posts)
    outgoing.clock.moment -= timedelta(hours=1)
    outgoing.work()
    assert len(outgoing.post.posts) == posts_before + 1
    assert outgoing.waiting() == 0
