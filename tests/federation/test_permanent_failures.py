"""Check that a listener ends at once if it needs a document that can never be loaded, and is repeated otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.federation import DomainRules
from apcore.federation.inbox.process import MISSING_ATTEMPTS_MAX
from apcore.federation.inbox.records import DEAD_ACTIVITIES
from apcore.federation.retry import LISTENER_RETRIES
from inbox_fixture import ALICE, CAROL, INBOX, Ground

DAY_S = 86_400.0
THIRD = "https://third.example"
ATTEMPTS_MAX = LISTENER_RETRIES.attempts_max


def attempts_of(ground: Ground, uri: str, status: int, document: dict[str, Any] | None) -> list[int]:
    """Run a listener that resolves ``uri``, and return the numbers of its attempts within two days."""
    attempts: list[int] = []

    def load(ctx: Any, _: Any) -> None:
        attempts.append(ctx.attempt)
        ctx.resolve(uri)

    ground.listeners.append(load)
    if uri.startswith(THIRD):
        ground.carol.serve(uri, document, status=status)
    assert ground.post(ground.bob.request(ground.bob.activity("Like", object=ALICE), INBOX)).status == 202
    for _ in range(96):
        ground.work()
        ground.clock.pass_s(DAY_S / 48)
    return attempts


@pytest.mark.parametrize(
    ("uri", "status", "document", "count", "reason"),
    [
        (f"{THIRD}/1", 410, None, 1, "Gone"),
        (f"{THIRD}/1", 400, None, 1, "Rejected"),
        (f"{THIRD}/1", 200, {"type": "Note"}, 1, "WrongId"),
        ("https://127.0.0.1/1", 200, None, 1, "AddressBlocked"),
        ("not a URL", 200, None, 1, "RequestError"),
        ("https://suspended.example/1", 200, None, 1, "DomainSuspended"),
        (f"{THIRD}/1", 404, None, MISSING_ATTEMPTS_MAX, "NotFound"),
        (f"{THIRD}/1", 403, None, MISSING_ATTEMPTS_MAX, "Forbidden"),
        (f"{THIRD}/1", 503, None, ATTEMPTS_MAX, "PeerFailing"),
    ],
)
def test_listener_is_repeated_only_if_it_may_succeed(uri, status, document, count, reason):
    ground = Ground(rules=DomainRules.suspending(["suspended.example"]))
    assert attempts_of(ground, uri, status, document) == list(range(1, count + 1))
    [entry] = ground.store.scan(DEAD_ACTIVITIES.at(), limit=10)
    letter = DEAD_ACTIVITIES.decode(entry.value)
    assert letter.attempts == count
    assert letter.reason.startswith(f"{reason}: ")


def test_error_of_the_application_is_repeated():
    ground = Ground()
    attempts: list[int] = []

    def fail(ctx: Any, _: Any) -> None:
        attempts.append(ctx.attempt)
        raise ValueError(CAROL)

    ground.listeners.append(fail)
    assert ground.post(ground.bob.request(ground.bob.activity("Like", object=ALICE), INBOX)).status == 202
    for _ in range(48):
        ground.work()
        ground.clock.pass_s(DAY_S / 48)
    assert len(attempts) == ATTEMPTS_MAX
