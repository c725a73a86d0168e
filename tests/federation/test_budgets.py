"""What strangers may cost an inbox before they are proved: a 503 that says when, and nothing for those whom we know."""

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
    """Deliver a Like of a fresh id by a peer, signed with another key or under another name if those are given."""
    peer = by or ground.bob
    body = {"id": f"{peer.actor}/likes/{next(NUMBERS)}", "type": "Like", "actor": peer.actor, "object": ALICE}
    request = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(body).encode())
    named = (key or peer.key).renamed(key_id=key_id or peer.key_id, owner=peer.actor)
    return ground.post(evolve(cavage.sign(request, named, now=ground.clock.at), client=client))


def flooded(
    ground: Ground, *, client: str | None = CLIENT, times: int = 30, host: str = "victim.test"
) -> list[Response]:
    return [post(ground, key_id=f"https://{host.format(n)}/users/{n}#k", client=client) for n in range(times)]


def fetched(ground: Ground) -> list[str]:
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
def test_over_a_budget_it_is_503_before_any_fetch_and_who_is_known_is_served(client, host, fetches):
    ground = Ground(budgets=SMALL)
    assert post(ground, client=None).status == 202
    ground.clock.pass_s(60)
    ground.network.exchanges.clear()
    answers = flooded(ground, client=client, host=host)
    assert {answer.status for answer in answers} == {503}
    spent = [answer for answer in answers if reason_of(answer) == "budget-spent"]
    assert len(spent) == len(answers) - fetches == len(answers) - len(fetched(ground))
    assert {int(answer.headers.get("retry-after") or 0) for answer in spent} == {1}
    assert post(ground, client=client).status == 202, "Bob's key is kept"
    assert len(fetched(ground)) == fetches
    # Whoever comes back when told is served.
    carol = ground.network.peer(f"https://{host.format(0)}/users/carol")
    ground.clock.pass_s(1)
    assert post(ground, by=carol, client=client).status == 202


def test_one_client_does_not_spend_anothers_budget():
    ground = Ground(budgets=SMALL)
    flooded(ground, client=CLIENT, host="h{0}.example{0}")
    assert reason_of(post(ground, client=CLIENT)) == "budget-spent"
    assert post(ground, client=OTHER).status == 202


@pytest.mark.hole(31, 56)
def test_what_a_flood_leaves_behind_ends():
    ground = Ground(budgets=SMALL)
    flooded(ground, client=None, host="h{0}.example{0}", times=100)
    assert len(ground.store.scan(("key",), limit=100)) == SMALL.overall.burst
    ground.clock.pass_s(601)
    assert ground.kinds() <= {"keys", "private"}


def test_a_flood_does_not_shut_out_whose_key_has_gone_stale():
    ground = Ground(budgets=SMALL)
    assert post(ground, client=OTHER).status == 202
    day_s = 86400
    ground.clock.pass_s(day_s + 1)
    flooded(ground, client=None, host="h{0}.example{0}")
    ground.network.exchanges.clear()
    assert post(ground, client=OTHER).status == 202, "the key was proved, and nobody could look whether it has changed"
    forged = post(ground, key=reuse_key("forged"), client=OTHER)
    assert (forged.status, reason_of(forged)) == (503, "budget-spent")
    assert not fetched(ground)
    ground.clock.pass_s(60)
    assert post(ground, client=OTHER).status == 202
    assert fetched(ground), "when it can be paid for, it is looked at again"
    ground.clock.pass_s(7 * day_s + 1)
    flooded(ground, client=None, host="h{0}.example{0}")
    assert reason_of(post(ground, client=OTHER)) == "budget-spent", "what is a week old counts no more"


def test_who_is_known_pays_nothing():
    """The whole of what a POST under a key that is kept asks for: neither more effects than without budgets, nor a look at one."""
    ground = Ground()
    assert post(ground).status == 202
    ground.asked.clear()
    assert post(ground).status == 202
    asked = [type(effect) for effect in ground.asked]
    assert not {Fetch, Sign, MakeKey} & set(asked)
    keys = [key for effect in ground.asked if isinstance(effect, Get) for key in effect.keys]
    keys += [write.key for effect in ground.asked if isinstance(effect, Commit) for write in effect.writes]
    assert [key for key in keys if key[0] == "budget"] == []
    assert sum(issubclass(each, (Commit, Enqueue)) for each in asked) == 1
    assert asked.count(Get) == 1, "the key"


def test_who_is_not_known_pays_once_a_fetch():
    ground = Ground()
    assert post(ground).status == 202
    paid = [
        effect
        for effect in ground.asked
        if isinstance(effect, Commit) and any(write.key[0] == "budget" for write in effect.writes)
    ]
    assert len(paid) == len(fetched(ground)) == 1
    assert len(paid[0].writes) == 4


def test_who_is_refused_costs_reads():
    ground = Ground(budgets=SMALL)
    flooded(ground, client=None)
    ground.asked.clear()
    assert reason_of(flooded(ground, client=None, times=50)[49]) == "budget-spent"
    assert {type(effect) for effect in ground.asked} & {Fetch, Sign, MakeKey, Commit, RandomBytes, Enqueue} == set()
    reads = [effect for effect in ground.asked if isinstance(effect, (Get, Now))]
    assert len(reads) <= 50 * 8


def test_a_changed_key_waits_for_the_budget_and_is_not_refused():
    """Bob has another key by the same name, and his server is asked too much: 503, so that he comes back, and not 401."""
    ground = Ground(budgets=SMALL)
    assert post(ground).status == 202
    ground.clock.pass_s(301)
    newer = reuse_key("Bob's next")
    listed = ground.bob.document["publicKey"] | {"publicKeyPem": newer.public.pem}
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": listed})
    for number in range(6):
        post(ground, key_id=f"https://remote.example/users/{number}#k", client=None)
    answer = post(ground, key=newer)
    assert (answer.status, reason_of(answer)) == (503, "budget-spent")
    ground.clock.pass_s(2)
    assert post(ground, key=newer).status == 202


@pytest.mark.parametrize("hosts", [3, 9], ids=["of-too-few-nothing-is-concluded", "most-of-many"])
def test_our_own_outage_is_not_theirs(hosts):
    """While most hosts cannot be reached, it is kept of no key that it could not be had: when we are back, so are they."""
    ground = Ground()
    for number in range(hosts):
        reach = encode_record({"ok": 0, "at": to_epoch_ms(ground.clock.at)})
        ground.store.commit((), (Put(("reach", "1", f"https://h{number}.example"), reach),), token=b"%016d" % number)
    ground.network.down.add("https://remote.example")
    assert reason_of(post(ground)) == "key-unavailable"
    ground.network.down.clear()
    assert post(ground).status == (202 if hosts == 9 else 503)


def test_what_others_bring_is_asked_for_at_their_cost():
    """Carol brings what is Bob's (rule d): his server is asked for it, within the budget of his host."""
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
    assert sum(url.startswith("https://remote.example") for url in fetched(ground)) == SMALL.host.burst


def test_asking_is_held_to_the_same():
    """A signed GET, where the answer depends on who asks: whom we know is answered, and nobody else makes us fetch over the budget."""
    ground, unauthenticated_client = Ground(budgets=SMALL, authorized_fetch="required"), reuse_key("stranger")

    def get(key: PrivateKey) -> Response:
        request = Request("GET", ALICE, Headers({"accept": AP}))
        return ground.post(evolve(cavage.sign(request, key, now=NOON), client=CLIENT))

    assert get(ground.bob.key).status == 200
    ground.network.exchanges.clear()
    answers = [get(unauthenticated_client.renamed(key_id=f"https://h{n}.example{n}/k", owner=BOB)) for n in range(30)]
    assert [answer.status for answer in answers] == [503] * 30
    assert all(int(answer.headers.get("retry-after") or 0) > 0 for answer in answers)
    assert len(fetched(ground)) == SMALL.client.burst - 1  # Bob's was the first
    assert get(ground.bob.key).status == 200


@pytest.mark.parametrize("budgets", [None, 5, Rate(1, 1.0), Budgets])
def test_what_is_no_budget_is_refused_at_the_start(budgets: Any):
    with pytest.raises(ConfigurationError, match="budgets takes Budgets"):
        _ = Federation(budgets=budgets)


def test_the_budgets_of_a_federation_reach_its_nodes():
    assert Node(Federation(budgets=SMALL), "https://local.example").site().fetching.budgets == SMALL
