"""Check a peer that changes its key under the same id: it is accepted at once, and bad signatures cost few fetches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.effects import Fetch
from apcore.federation.inbox.strangers import CLOCK_BEHIND_S
from apcore.remote import FetchPolicy
from apcore.signatures import PrivateKey
from apcore.testing.keys import reuse_key
from apcore.testing.peer import Peer
from inbox_fixture import ALICE, SHARED, Ground

PAUSE_S = FetchPolicy().key_refresh_s


def other_key(number: int = 1) -> PrivateKey:
    return reuse_key(f"another key {number}")


def change_key(peer: Peer, number: int = 1) -> None:
    """Replace the key of a peer and publish it under the same id."""
    peer._key = other_key(number)


def deliver(ground: Ground, activity: dict[str, Any] | None = None) -> int:
    ground.clock.pass_s(1)  # two signatures of one second are the same
    return ground.bob.deliver(ground.node, activity or ground.bob.activity("Like", object=ALICE)).status


def forge(ground: Ground) -> int:
    """Send an activity in Bob's name, signed with another key."""
    ground.clock.pass_s(1)
    honest, ground.bob._key = ground.bob._key, other_key(9)
    request = ground.bob.request(ground.bob.activity("Like", object=ALICE), SHARED)
    ground.bob._key = honest
    return ground.post(request).status


def update(ground: Ground, number: int) -> dict[str, Any]:
    """Build an Update of the actor with a key other than the current one."""
    public = other_key(number).renamed(key_id=ground.bob.key_id, owner=ground.bob.actor).public
    key = {"id": ground.bob.key_id, "owner": ground.bob.actor, "publicKeyPem": public.pem}
    return ground.bob.activity("Update", object=ground.bob.document | {"publicKey": key})


def count_fetches(ground: Ground) -> int:
    count = sum(isinstance(effect, Fetch) for effect in ground.asked)
    ground.asked.clear()
    return count


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize("age_s", [0, 60, 299, 300, 3600])
def test_key_that_changes_after_the_first_delivery_is_accepted(age_s: float, scheme: Any) -> None:
    ground = Ground()
    ground.bob.scheme = scheme
    assert deliver(ground) == 202
    ground.clock.pass_s(age_s)
    change_key(ground.bob)
    assert deliver(ground) == 202


@pytest.mark.parametrize("is_forged", [False, True], ids=["without forgeries", "after a forgery"])
def test_key_that_changes_with_an_update_is_accepted(is_forged: bool) -> None:
    ground = Ground()
    assert deliver(ground) == 202
    if is_forged:
        assert forge(ground) == 401
    assert deliver(ground, update(ground, 1)) == 202
    change_key(ground.bob)
    assert deliver(ground) == 202


def test_update_that_is_signed_with_the_new_key_is_accepted() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    announced = update(ground, 1)
    change_key(ground.bob)
    assert deliver(ground, announced) == 202
    announced = update(ground, 2)
    assert deliver(ground, announced) == 202
    change_key(ground.bob, 2)
    assert deliver(ground) == 202


def test_forgeries_cost_one_fetch_in_five_minutes() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    _ = count_fetches(ground)
    for _round in range(50):
        assert forge(ground) == 401
    assert count_fetches(ground) == 1
    assert deliver(ground) == 202
    ground.clock.pass_s(PAUSE_S)
    for _round in range(50):
        assert forge(ground) == 401
    assert count_fetches(ground) == 1


def test_repeated_update_allows_no_more_fetches_for_forgeries() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    repeated = ground.bob.request(update(ground, 1), SHARED)
    assert ground.post(repeated).status == 202
    ground.clock.pass_s(CLOCK_BEHIND_S)
    _ = count_fetches(ground)
    for _round in range(20):
        _ = forge(ground)
        _ = ground.post(repeated)
    assert count_fetches(ground) == 1


def test_update_of_a_post_changes_nothing_about_keys() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    assert forge(ground) == 401
    _ = count_fetches(ground)
    note = {"id": f"{ground.bob.actor}/notes/1", "type": "Note", "attributedTo": ground.bob.actor}
    assert deliver(ground, ground.bob.activity("Update", object=note)) == 202
    assert forge(ground) == 401
    assert count_fetches(ground) == 0


def test_update_of_another_actor_that_names_the_key_changes_nothing_about_it() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    assert ground.carol.deliver(ground.node, ground.carol.activity("Like", object=ALICE)).status == 202
    assert forge(ground) == 401
    _ = count_fetches(ground)
    document = ground.carol.document | {"publicKey": ground.bob.document["publicKey"]}
    activity = ground.carol.activity("Update", object=document)
    assert ground.carol.deliver(ground.node, json.dumps(activity).encode()).status == 202
    assert forge(ground) == 401
    assert count_fetches(ground) == 0


def test_unavailable_new_key_is_answered_503() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    change_key(ground.bob)
    ground.network.down.add(str(ground.bob.origin))
    assert deliver(ground) == 503
    ground.network.down.clear()
    ground.clock.pass_s(FetchPolicy().key_retry_s)
    assert deliver(ground) == 202


def test_request_without_a_change_costs_no_fetch() -> None:
    ground = Ground()
    assert deliver(ground) == 202
    _ = count_fetches(ground)
    for _round in range(5):
        assert deliver(ground) == 202
        assert deliver(ground, update(ground, 0)) == 202
    assert count_fetches(ground) == 0
