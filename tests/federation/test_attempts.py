"""What an attempt number says, and what a clock that is set back does: in the calling thread, on a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import ConnectFailed
from apcore.federation.retry import RetryPolicy
from apcore.federation.wake_ups import LANES
from apcore.federation.worker import lease_work, reconcile
from apcore.vocab import Like
from inbox_fixture import ALICE, BOB, INBOX, Ground
from outbox_fixture import Outgoing

X = "https://x.example"
HOUR_S = 3600.0


class PowerCut(BaseException):
    """Ends the process that a listener runs in."""


def arrive(ground: Ground, number: int = 1) -> str:
    activity = {"id": f"{BOB}/likes/{number}", "type": "Like", "actor": BOB, "object": ALICE}
    assert ground.post(ground.bob.request(activity, INBOX)).status == 202
    return str(activity["id"])


def die(*_: Any) -> None:
    raise PowerCut


def test_a_start_that_ended_with_its_process_is_counted() -> None:
    ground = Ground()
    attempts: list[int] = []
    ground.listeners.append(lambda ctx, _: attempts.append(ctx.attempt))
    ground.meanwhile += [die, die]
    _ = arrive(ground)
    for _ in range(2):
        with pytest.raises(PowerCut):
            ground.work()
        ground.clock.pass_s(100)  # its lease has run out
    ground.work()
    assert attempts == [1, 2, 3]


def test_an_activity_that_kills_its_worker_is_a_dead_letter_in_the_end() -> None:
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


def test_a_failure_and_a_crash_are_both_counted() -> None:
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


@pytest.mark.parametrize("apart", [False, True], ids=["atomic", "apart"])
def test_what_is_leased_waits_behind_itself(apart: bool) -> None:
    """A repetition and `reconcile` enqueue the same activity again while it is under way: it is not handed out beside itself."""
    ground = Ground(apart=apart)
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


def test_a_retry_that_is_overdue_at_a_restart_runs_once() -> None:
    ground = Ground()
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(HOUR_S)
    for turn in range(3):
        # Whatever comes first: a lease, or putting back what may have fallen off the queue.
        leased = ground.node.run(lease_work(turn)) if turn == 1 else ()
        ground.node.run(reconcile())
        for each in leased:
            ground.node.handle_leased(each)
    ground.work()
    assert len(ground.heard) == 2


# --- a clock that is set back ---------------------------------------------------------------------------------------


def test_a_listener_is_retried_though_the_clock_was_set_back() -> None:
    ground = Ground()
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(-HOUR_S)
    ground.work()  # each start of a worker looks for what fell off the queue, and so does each of its minutes
    assert len(ground.heard) == 2


def test_a_retry_that_is_put_off_is_not_early_by_a_small_step_of_the_clock() -> None:
    ground = Ground(listener_retries=RetryPolicy(base_s=600, age_s_max=86_400))
    ground.meanwhile.append(lambda: 1 / 0)
    _ = arrive(ground)
    ground.work()
    ground.clock.pass_s(-5)
    ground.work()
    assert len(ground.heard) == 1


@pytest.mark.parametrize("answer", [ConnectFailed("no"), 408], ids=["host", "inbox"])
def test_deliveries_go_on_though_the_clock_was_set_back(answer: Any) -> None:
    out = Outgoing()
    out.post.answers[X] = answer
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    out.work()
    out.post.answers.clear()
    before = len(out.post.posts)
    out.clock.moment -= timedelta(hours=1)
    out.work()
    assert len(out.post.posts) == before + 1
    assert out.waiting() == 0


def test_recipients_are_looked_up_again_though_the_clock_was_set_back() -> None:
    out = Outgoing()
    out.post.actors[f"{X}/bob"] = ConnectFailed("no")
    out.node.send(Like(object=f"{X}/n"), by="alice", to=f"{X}/bob")
    out.work()
    out.post.actors.clear()
    before = len(out.post.posts)
    out.clock.moment -= timedelta(hours=1)
    out.work()
    assert len(out.post.posts) == before + 1
    assert out.waiting() == 0
