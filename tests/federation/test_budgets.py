"""Check the budgets of an inbox: unauthenticated requests are bounded by a 503, and known actors pay nothing."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from attrs import evolve

from apcore.effects import Commit, Enqueue, Fetch, Get, MakeKey, Now, RandomBytes, Sign
from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import Put
from apcore.records.format import encode_record, to_epoch_ms
from apcore.remote import Budgets, Rate
from apcore.signatures import PrivateKey, cavage
from apcore.testing.keys import reuse_key
from apcore.testing.peer import Peer
from inbox_fixture import ALICE, BOB, INBOX, NOON, Ground, reason_of

AP = "application/activity+json"
SMALL = Budgets(client=Rate(4, 1.0), host=Rate(6, 1.0), domain=Rate(8, 1.0), overall=Rate(12, 1.0))
NUMBERS = count()
CLIENT, OTHER = "8.8.8.8", "9.9.9.9"


def post(
    ground: Ground,
    *,
    by: Peer | None = None,
    key: PrivateKey | None = None,
    key_id: str | None = None,
    client: str | None = CLIENT,
) -> Response:
    """Deliver a Like with a new id, signed by a peer, optionally with another key or key id."""
    peer = by or ground.bob
    body = {"id": f"{peer.actor}/likes/{next(NUMBERS)}", "type": "Like", "actor": peer.actor, "object": ALICE}
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(body).encode())
    named = (key or peer.key).renamed(key_id=key_id or peer.key_id, owner=peer.actor)
    return ground.post(evolve(cavage.sign(request, named, now=ground.clock.at), client=client))


def flood(ground: Ground, *, client: str | None = CLIENT, times: int = 30, host: str = "victim.test") -> list[Response]:
    return [post(ground, key_id=f"https://{host.format(n)}/users/{n}#k", client=client) for n in range(times)]


def fetched_urls(ground: Ground) -> list[str]:
    return [exchange.url for exchange in ground.network.exchanges]


@pytest.mark.hole(28, 43, 49)
@pytest.mark.parametrize(
    ("client", "host", "fetches"),
    [
        pytest.param(CLIENT, "h{0}.example{0}", 4, id="client"),
        pytest.param(None, "victim.test", 6, id="host"),
        pytest.param("10.0.0.1", "victim.test", 6, id="a-proxy-is-no-client"),
        pytest.param(None, "s{0}.victim.test", 8, id="domain"),
        pytest.param(None, "h{0}.example{0}", 12, id="overall"),
    ],
)
def test_spent_budget_is_503_before_any_fetch_and_known_actors_are_served(client, host, fetches):
    ground = Ground(budgets=SMALL)
    assert post(ground, client=None).status == 202
    ground.clock.pass_s(60)
    ground.network.exchanges.clear()
    answers = flood(ground, client=client, host=host)
    assert {answer.status for answer in answers} == {503}
    refusals = [answer for answer in answers if reason_of(answer) == "budget-spent"]
    assert len(refusals) == len(answers) - fetches == len(answers) - len(fetched_urls(ground))
    assert {int(answer.headers.get("retry-after") or 0) for answer in refusals} == {1}
    assert post(ground, client=client).status == 202, "Bob's cached key was not used"
    assert len(fetched_urls(ground)) == fetches
    # A client that returns at the given time is served.
    carol = ground.network.peer(f"https://{host.format(0)}/users/carol")
    ground.clock.pass_s(1)
    assert post(ground, by=carol, client=client).status == 202


def test_clients_have_separate_budgets():
    ground = Ground(budgets=SMALL)
    flood(ground, client=CLIENT, host="h{0}.example{0}")
    assert reason_of(post(ground, client=CLIENT)) == "budget-spent"
    assert post(ground, client=OTHER).status == 202


@pytest.mark.hole(31, 56)
def test_records_of_a_flood_expire():
    ground = Ground(budgets=SMALL)
    flood(ground, client=None, host="h{0}.example{0}", times=100)
    assert len(ground.store.scan(("key",), limit=100)) == SMALL.overall.burst
    ground.clock.pass_s(601)
    assert ground.kinds() <= {"keys", "private"}


def test_flood_does_not_shut_out_a_known_actor_with_a_stale_key():
    ground = Ground(budgets=SMALL)
    assert post(ground, client=OTHER).status == 202
    day_s = 86400
    ground.clock.pass_s(day_s + 1)
    flood(ground, client=None, host="h{0}.example{0}")
    ground.network.exchanges.clear()
    assert post(ground, client=OTHER).status == 202, "a stale key was refused while it could not be refreshed"
    forged = post(ground, key=reuse_key("forged"), client=OTHER)
    assert (forged.status, reason_of(forged)) == (503, "budget-spent")
    assert not fetched_urls(ground)
    ground.clock.pass_s(60)
    assert post(ground, client=OTHER).status == 202
    assert fetched_urls(ground), "the key was not refreshed when the budget allowed it"
    ground.clock.pass_s(7 * day_s + 1)
    flood(ground, client=None, host="h{0}.example{0}")
    assert reason_of(post(ground, client=OTHER)) == "budget-spent", "a key of more than a week was accepted"


def test_known_actor_pays_no_budget():
    """List the effects of a POST under a cached key: no fetch, and no access to a budget."""
    ground = Ground()
    assert post(ground).status == 202
    ground.asked.clear()
    assert post(ground).status == 202
    effect_types = [type(effect) for effect in ground.asked]
    assert not {Fetch, Sign, MakeKey} & set(effect_types)
    keys = [key for effect in ground.asked if isinstance(effect, Get) for key in effect.keys]
    keys += [write.key for effect in ground.asked if isinstance(effect, Commit) for write in effect.writes]
    assert [key for key in keys if key[0] == "budget"] == []
    assert sum(issubclass(effect_type, (Commit, Enqueue)) for effect_type in effect_types) == 1
    assert [{key[0] for key in effect.keys} for effect in ground.asked if isinstance(effect, Get)] == [
        {"own-actor", "domain-rule", "key", "relation"}
    ], "more than the recipient, the rules for Bob's domain, his key and Alice's block was read"


def test_unknown_actor_pays_once_per_fetch():
    ground = Ground()
    assert post(ground).status == 202
    payments = [
        effect
        for effect in ground.asked
        if isinstance(effect, Commit) and any(write.key[0] == "budget" for write in effect.writes)
    ]
    assert len(payments) == len(fetched_urls(ground)) == 1
    assert len(payments[0].writes) == 4


def test_refused_client_costs_only_reads():
    ground = Ground(budgets=SMALL)
    flood(ground, client=None)
    ground.asked.clear()
    assert reason_of(flood(ground, client=None, times=50)[49]) == "budget-spent"
    assert {type(effect) for effect in ground.asked} & {Fetch, Sign, MakeKey, Commit, RandomBytes, Enqueue} == set()
    reads = [effect for effect in ground.asked if isinstance(effect, (Get, Now))]
    assert len(reads) <= 50 * 10


def test_changed_key_beyond_the_budget_is_503_and_not_401():
    """Change Bob's key while the budget of his host is spent: he is told to come back."""
    ground = Ground(budgets=SMALL)
    assert post(ground).status == 202
    ground.clock.pass_s(301)
    new_key = reuse_key("Bob's next")
    new_entry = ground.bob.document["publicKey"] | {"publicKeyPem": new_key.public.pem}
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": new_entry})
    for number in range(6):
        post(ground, key_id=f"https://remote.example/users/{number}#k", client=None)
    answer = post(ground, key=new_key)
    assert (answer.status, reason_of(answer)) == (503, "budget-spent")
    ground.clock.pass_s(2)
    assert post(ground, key=new_key).status == 202


@pytest.mark.parametrize("hosts", [3, 9], ids=["too-few-to-conclude", "most-of-many"])
def test_failure_during_our_own_outage_is_not_cached(hosts):
    """Lose the connection to most hosts: after the outage, the key is fetched again at once."""
    ground = Ground()
    for number in range(hosts):
        reach = encode_record({"ok": 0, "at": to_epoch_ms(ground.clock.at)})
        ground.store.commit((), (Put(("reach", "1", f"https://h{number}.example"), reach),), token=b"%016d" % number)
    ground.network.down.add("https://remote.example")
    assert reason_of(post(ground)) == "key-unavailable"
    ground.network.down.clear()
    assert post(ground).status == (202 if hosts == 9 else 503)


def test_fetch_of_a_relayed_activity_is_paid_from_the_budget_of_its_host():
    """Relay Bob's activities by Carol: they are fetched from his server within its budget."""
    ground = Ground(budgets=SMALL)
    for number in range(20):
        body = {
            "id": f"{BOB}/likes/x{number}",
            "type": "Like",
            "actor": BOB,
            "object": ALICE,
            "published": NOON.isoformat(),
        }
        ground.bob.serve(body["id"], body)
        request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(body).encode())
        answer = ground.post(cavage.sign(request, ground.carol.key, now=NOON))
        assert answer.status == 202 or (answer.status, reason_of(answer)) == (503, "budget-spent")
    assert sum(url.startswith("https://remote.example") for url in fetched_urls(ground)) == SMALL.host.burst


def test_signed_get_has_the_same_budgets():
    """Require signatures for GET: known viewers are served, unknown ones only within the budget."""
    ground, stranger_key = Ground(budgets=SMALL, authorized_fetch="required"), reuse_key("stranger")

    def get(key: PrivateKey) -> Response:
        request = Request("GET", ALICE, Headers({"accept": AP}))
        return ground.post(evolve(cavage.sign(request, key, now=NOON), client=CLIENT))

    assert get(ground.bob.key).status == 200
    ground.network.exchanges.clear()
    answers = [get(stranger_key.renamed(key_id=f"https://h{n}.example{n}/k", owner=BOB)) for n in range(30)]
    assert [answer.status for answer in answers] == [503] * 30
    assert all(int(answer.headers.get("retry-after") or 0) > 0 for answer in answers)
    assert len(fetched_urls(ground)) == SMALL.client.burst - 1  # Bob's was the first
    assert get(ground.bob.key).status == 200


@pytest.mark.parametrize("budgets", [None, 5, Rate(1, 1.0), Budgets])
def test_invalid_budgets_are_refused_at_construction(budgets: Any):
    with pytest.raises(ConfigurationError, match="budgets takes Budgets"):
        _ = Federation(budgets=budgets)


def test_nodes_use_the_budgets_of_their_federation():
    assert Node(Federation(budgets=SMALL), "https://local.example").site().fetching.budgets == SMALL
