"""Check lost inboxes: deleted followers are dropped, moved inboxes are found, and others are left alone for a while."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from apcore.collections import count, members_page
from apcore.errors import ConnectFailed, FetchTimedOut, Unavailable
from apcore.federation.worker import handle, lease_work
from apcore.http import Request, Response
from apcore.ports import DeleteEntry
from apcore.remote import Dialect, remember_dialect
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import Note
from outbox_fixture import FOLLOWERS, Outgoing

X, Y = "https://x.example", "https://y.example"
DAY_S = 86400.0
LOST_STATUSES = {str(status): status for status in (410, 404, 301, 302, 303, 307, 308)}


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def publish(out: Outgoing) -> list[str]:
    """Publish a note and return the URLs of its deliveries."""
    out.post.posts.clear()
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    return sorted(set(out.post.urls))


def followers(out: Outgoing) -> dict[str, Any]:
    page = out.node.run(members_page(FOLLOWERS, limit=100))
    assert out.node.run(count(FOLLOWERS)) == len(page.items)
    return {member.id: json.loads(member.item) for member in page.items}


def shared_inbox(actor: str) -> str:
    return "/".join(actor.split("/")[:3]) + "/inbox"


@pytest.mark.parametrize("status", LOST_STATUSES.values(), ids=LOST_STATUSES)
def test_deleted_follower_with_a_lost_inbox_is_dropped(out: Outgoing, status: int) -> None:
    out.follow(f"{X}/bob", f"{X}/carol", f"{Y}/dora")
    out.post.answers[f"{X}/bob/inbox"] = status
    _ = publish(out)
    out.post.actors[f"{X}/bob"] = Response(410)
    assert len(followers(out)) == 3
    assert publish(out) == [f"{X}/carol/inbox", f"{Y}/dora/inbox"]
    assert set(followers(out)) == {f"{X}/carol", f"{Y}/dora"}


@pytest.mark.parametrize("status", LOST_STATUSES.values(), ids=LOST_STATUSES)
def test_follower_with_a_new_inbox_is_reached_there_from_then_on(out: Outgoing, status: int) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[f"{X}/bob/inbox"] = status
    out.post.actors[f"{X}/bob"] = {"inbox": f"{X}/new/inbox"}
    _ = publish(out)
    assert publish(out) == [f"{X}/new/inbox"]
    assert followers(out) == {f"{X}/bob": {"inbox": f"{X}/new/inbox", "shared": None}}
    gets = len(out.post.gets)
    assert publish(out) == [f"{X}/new/inbox"]
    assert len(out.post.gets) == gets


@pytest.mark.parametrize("attempts", [1, 2])
def test_slow_lookups_of_lost_inboxes_do_not_delay_other_deliveries(out: Outgoing, attempts: int) -> None:
    out.follow(*(f"{X}/{number}" for number in range(20)), f"{Y}/dora", shared=shared_inbox)
    out.post.answers[f"{X}/inbox"] = 404
    _ = publish(out)
    send, start = out.post.send, out.clock.moment

    def slow(request: Request) -> Response:
        if request.method == "GET":
            out.clock.moment += timedelta(seconds=request.limits.deadline_s)
            if attempts == 2 and "signature-input" not in request.headers:
                return Response(401)
            raise FetchTimedOut("slow")
        return send(request)

    out.post.send = slow  # type: ignore[method-assign]
    assert publish(out) == [f"{X}/inbox", f"{Y}/inbox"]
    # The lookups run one after another here; a worker runs four at once.
    assert (out.clock.moment - start).total_seconds() <= 20 * 4
    assert len(followers(out)) == 21


def test_lost_shared_inbox_drops_only_deleted_followers(out: Outgoing) -> None:
    out.follow(*(f"{X}/{number}" for number in range(30)), f"{Y}/dora", shared=shared_inbox)
    out.post.answers[f"{X}/inbox"] = 410
    _ = publish(out)
    for number in range(30):
        actor = f"{X}/{number}"
        out.post.actors[actor] = Response(410) if number % 2 else {"endpoints": {"sharedInbox": f"{X}/inbox"}}
    assert publish(out) == [f"{Y}/inbox"]
    assert set(followers(out)) == {f"{Y}/dora", *(f"{X}/{number}" for number in range(0, 30, 2))}


@pytest.mark.parametrize(("status", "is_retried"), [(410, False), (404, True), (302, True)])
def test_follower_that_still_names_a_lost_inbox_is_retried_unless_gone(
    out: Outgoing, status: int, is_retried: bool
) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[f"{X}/bob/inbox"] = status
    for _ in range(3):
        _ = publish(out)
    assert len(out.post.posts) == (1 if is_retried else 0)
    assert set(followers(out)) == {f"{X}/bob"}
    assert len(out.post.gets) == 1  # the actor is cached
    out.post.answers.clear()
    out.pass_s(7 * DAY_S + 60, step_s=DAY_S)
    assert publish(out) == [f"{X}/bob/inbox"]


@pytest.mark.parametrize(("status", "deliveries"), [(410, []), (404, [f"{X}/bob/inbox"])])
def test_follower_with_an_unavailable_actor_is_not_dropped(out: Outgoing, status: int, deliveries: list[str]) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[f"{X}/bob/inbox"] = status
    out.post.actors[f"{X}/bob"] = ConnectFailed("no")
    _ = publish(out)
    assert publish(out) == deliveries
    assert set(followers(out)) == {f"{X}/bob"}


@pytest.mark.parametrize(("status", "days"), [(410, 7), (404, 1), (301, 1)])
def test_record_of_a_lost_inbox_expires_after_a_week_or_a_day(out: Outgoing, status: int, days: int) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[f"{X}/bob/inbox"] = status
    _ = publish(out)
    out.clock.moment += timedelta(days=days, seconds=-1)
    assert out.facts("lost-inbox", "1")
    out.clock.moment += timedelta(seconds=2)
    assert not out.facts("lost-inbox", "1")


def test_other_refusals_do_not_mark_an_inbox_as_lost(out: Outgoing) -> None:
    out.follow(f"{X}/bob")
    for status in (400, 403, 413, 422, 500, 501):
        out.post.answers[f"{X}/bob/inbox"] = status
        _ = publish(out)
    assert not out.facts("lost-inbox", "1")


@pytest.mark.parametrize("second_status", [404, 410, 301])
def test_status_of_the_second_attempt_counts_only_with_an_unknown_dialect(out: Outgoing, second_status: int) -> None:
    out.follow(f"{X}/bob")
    out.post.answers[X] = lambda request: Response(second_status if "signature-input" in request.headers else 403)
    remembered = remember_dialect(X, Dialect("cavage"), None, now=out.clock.moment)
    assert remembered is not None
    assert out.store.commit((), (remembered,), token=b"0" * 16)
    _ = publish(out)
    assert not out.facts("lost-inbox", "1")
    assert out.store.commit((), (DeleteEntry(remembered.key),), token=b"1" * 16)
    _ = publish(out)
    assert len(out.facts("lost-inbox", "1")) == 1


def test_lost_inbox_is_recognised_in_every_spelling(out: Outgoing) -> None:
    out.follow(f"{X}/bob", shared=lambda _: "https://X.example:443/shared")
    out.post.answers[f"{X}/shared"] = 410
    _ = publish(out)
    out.post.actors[f"{X}/bob"] = {"endpoints": {"sharedInbox": "https://X.EXAMPLE/shared"}}
    assert publish(out) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_followers_are_dropped_and_others_served_after_any_single_failure(when: Any) -> None:
    for sabotage in fault_loop(when=when):
        out = Outgoing()
        out.follow(f"{X}/bob", f"{X}/carol", f"{Y}/dora")
        for name in ("bob", "carol"):
            out.post.answers[f"{X}/{name}/inbox"] = 410
        _ = publish(out)
        for name in ("bob", "carol"):
            out.post.actors[f"{X}/{name}"] = Response(410)
        out.post.posts.clear()
        out.node.publish(Note(content="hi"), by="alice")
        while leases := out.node.run(lease_work(0, limit=1)):
            with suppress(Unavailable):
                out.node.run(inject_failure(handle(out.node.site(), leases[0]), sabotage))
        out.pass_s(300)
        assert set(out.post.urls) == {f"{Y}/dora/inbox"}
        # A follower that could not be looked up is looked up the next time.
        _ = publish(out)
        assert set(followers(out)) == {f"{Y}/dora"}
