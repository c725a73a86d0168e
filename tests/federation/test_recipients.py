"""An inbox remembers for a short time that its actor exists, and nothing else about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.federation.known_recipients import KNOWN_RECIPIENTS_MAX, KnownRecipients
from apcore.vocab import Person, Tombstone
from inbox_fixture import ALICE, BOB, HERE, INBOX, NOON, Ground, reason_of


class Town(Ground):
    """A server whose handler answers for the actors in `people`, and records the calls."""

    def __init__(self, **options: Any) -> None:
        self.people: dict[str, Any] = {"alice": Person(preferred_username="alice")}
        self.calls: list[str] = []
        self.actor_options = options
        super().__init__()
        self.number = 0

    def _federation(self, rules: Any, options: dict[str, Any]) -> Federation[None]:
        federation: Federation[None] = Federation(software="test/1.0", **options)

        @federation.actor("/users/{identifier}", **self.actor_options)
        def actor(_ctx: Any, identifier: str) -> Any:
            self.calls.append(identifier)
            return self.people.get(identifier)

        return federation

    def deliver(self, inbox: str = INBOX) -> str | int:
        """Post a new Follow, and return the reason of its refusal, or the status."""
        self.number += 1
        follow = self.bob.activity("Follow", id=f"{BOB}/follows/{self.number}", object=ALICE)
        response = self.post(self.bob.request(follow, inbox))
        return reason_of(response) or response.status


def test_handler_is_called_once_in_ten_seconds():
    town = Town()
    assert [town.deliver() for _ in range(3)] == [202, 202, 202]
    assert town.calls.count("alice") == 1
    town.clock.pass_s(9.9)
    assert town.deliver() == 202
    assert town.calls.count("alice") == 1
    town.clock.pass_s(0.2)
    assert town.deliver() == 202
    assert town.calls.count("alice") == 2


def test_actor_that_the_application_deletes_is_refused_after_ten_seconds():
    town = Town()
    assert town.deliver() == 202
    del town.people["alice"]
    assert town.deliver() == 202
    town.clock.pass_s(10.1)
    assert town.deliver() == "no-such-actor"


def test_actor_that_apcore_deletes_is_refused_at_once():
    town = Town()
    assert town.deliver() == 202
    town.node.delete_actor("alice")
    assert town.deliver() == "actor-gone"


def test_actor_that_does_not_exist_is_asked_for_each_time():
    town = Town()
    carol = f"{HERE}/users/carol/inbox"
    assert [town.deliver(carol), town.deliver(carol)] == ["no-such-actor", "no-such-actor"]
    town.people["carol"] = Person(preferred_username="carol")
    assert town.deliver(carol) == 202
    assert town.calls.count("carol") == 3


def test_tombstone_is_not_remembered():
    town = Town()
    town.people["alice"] = Tombstone(former_type="Person")
    assert [town.deliver(), town.deliver()] == ["actor-gone", "actor-gone"]
    assert town.calls.count("alice") == 2


def test_cache_can_be_switched_off():
    town = Town(inbox_cache_s=0)
    assert [town.deliver(), town.deliver()] == [202, 202]
    assert town.calls.count("alice") == 2
    del town.people["alice"]
    assert town.deliver() == "no-such-actor"


def test_clock_that_was_set_back_ends_the_memory():
    town = Town()
    assert town.deliver() == 202
    town.clock.pass_s(-60)
    assert town.deliver() == 202
    assert town.calls.count("alice") == 2


@pytest.mark.parametrize("seconds", [-1, 3601, float("nan"), float("inf")])
def test_duration_out_of_range_is_refused_at_registration(seconds: float):
    federation: Federation[None] = Federation(software="test/1.0")
    with pytest.raises(ConfigurationError, match=r"inbox_cache_s.*0 to 3600 seconds"):
        federation.actor("/users/{identifier}", inbox_cache_s=seconds)


def test_memory_is_bounded():
    recipients = KnownRecipients()
    for number in range(KNOWN_RECIPIENTS_MAX):
        recipients.add(f"{HERE}/users/{number}", NOON)
    assert recipients.has(f"{HERE}/users/0", NOON, 10.0)
    recipients.add(ALICE, NOON)
    assert recipients.has(ALICE, NOON + timedelta(seconds=9), 10.0)
    assert not recipients.has(f"{HERE}/users/0", NOON, 10.0)
