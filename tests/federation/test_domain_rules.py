"""Check domain rules that change while nodes run: in force at once in all processes, at every door, and removable."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.effects import Get
from apcore.errors import ConfigurationError, ContractError
from apcore.federation import DomainRule, DomainRules, DomainSuspended, Federation, FollowVerdict, Severity
from apcore.federation.moderation_records import DOMAIN_RULES, DomainRuleKey, DomainRuleRecord
from apcore.federation.request_signers import signer_hosts
from apcore.federation.stored_rules import REASON_CHARS_MAX, read_stored_rules
from apcore.http import ACTIVITY_JSON, Headers, Request, Response
from apcore.node import AsyncNode, Node
from apcore.signatures import cavage
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Create, Like, Note, Person
from inbox_fixture import ALICE, BOB, INBOX, NOON, SHARED, Ground, reason_of

AS2 = "https://www.w3.org/ns/activitystreams"
MEDIA = {"attachment": [{"type": "Image", "url": "https://remote.example/1.png"}], "icon": "https://remote.example/2"}
NOTE = f"{BOB}/notes/1"


def deliver(ground: Ground, inbox: str = INBOX, **members: Any) -> Response:
    """Deliver a new activity of Bob."""
    type_name = members.pop("type_name", "Like")
    activity = ground.bob.activity(type_name, **({"object": ALICE} | members))
    return ground.post(evolve(ground.bob.request(activity, inbox), client="8.8.8.8"))


def signed_get(ground: Ground, url: str = ALICE) -> Response:
    request = cavage.sign(
        Request("GET", url, Headers({"Accept": ACTIVITY_JSON})),
        ground.bob.key.renamed(key_id=ground.bob.key_id, owner=BOB),
        now=ground.clock.at,
    )
    return ground.post(request)


# --- writing and listing rules --------------------------------------------------------------------------------------


def test_rules_are_listed_by_domain_in_pages() -> None:
    ground = Ground()
    for number in range(5):
        ground.node.block_domain(f"{number}.Example", reason=f"reason {number}")
    ground.node.block_domain("*.1.example.", severity=Severity.SILENCE)
    first = ground.node.domain_rules(limit=3)
    rest = ground.node.domain_rules(cursor=first.next, limit=3)
    assert [rule.domain for rule in (*first.items, *rest.items)] == [f"{number}.example" for number in range(5)]
    assert first.items[:2] == (
        DomainRule("0.example", Severity.SUSPEND, "reason 0", NOON),
        DomainRule("1.example", Severity.SILENCE, None, NOON),
    )
    assert rest.next is None


def test_removed_rule_is_not_listed() -> None:
    ground = Ground()
    ground.node.block_domain("xn--bel-goa.example")
    assert ground.node.unblock_domain("Übel.example")
    assert not ground.node.unblock_domain("Übel.example")
    assert ground.node.domain_rules().items == ()


@pytest.mark.parametrize(
    ("domain", "options"),
    [
        ("bad.example:8443", {}),
        ("bad.example", {"reason": ""}),
        ("bad.example", {"reason": "x" * (REASON_CHARS_MAX + 1)}),
        ("bad.example", {"severity": "suspend"}),
    ],
)
def test_malformed_rule_is_refused_and_not_stored(domain: str, options: dict[str, Any]) -> None:
    ground = Ground()
    with pytest.raises(ValueError, match=r"domain|reason|severity"):
        ground.node.block_domain(domain, **options)
    assert ground.node.domain_rules().items == ()


@pytest.mark.parametrize("limit", [0, 101])
def test_page_of_rules_is_bounded(limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        Ground().node.domain_rules(limit=limit)


def test_async_node_changes_and_lists_rules() -> None:
    async def main() -> list[DomainRule]:
        node = AsyncNode(Federation(), None, MemoryStore(), transport=PeerNetwork())
        await node.block_domain("bad.example", reason="spam")
        await node.block_domain("worse.example")
        assert await node.unblock_domain("worse.example")
        return list((await node.domain_rules()).items)

    [rule] = asyncio.run(main())
    assert (rule.domain, rule.severity, rule.reason) == ("bad.example", Severity.SUSPEND, "spam")


def test_rule_of_a_newer_release_suspends() -> None:
    ground = Ground()
    record = DomainRuleRecord(severity="quarantine", created=NOON)
    assert ground.store.commit((), (DOMAIN_RULES.put(DomainRuleKey("remote.example"), record),), token=bytes(16))
    assert deliver(ground).status == 403


# --- doors ----------------------------------------------------------------------------------------------------------


def test_rule_is_in_force_in_another_process_at_once_and_until_it_is_removed(tmp_path: Any) -> None:
    """Use two nodes with stores of their own on one file, as two processes do."""
    url = f"sqlite:///{tmp_path / 'rules.db'}"
    network = PeerNetwork()
    network.peer(BOB).serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    with Node(Federation(), None, url, transport=network) as reader, Node(Federation(), None, url) as moderator:
        moderator.block_domain("remote.example")
        with pytest.raises(DomainSuspended):
            reader.reference(NOTE).resolve()
        assert network.exchanges == []
        assert moderator.unblock_domain("remote.example")
        assert reader.reference(NOTE).resolve().id == NOTE


@pytest.mark.parametrize("inbox", [INBOX, SHARED])
@pytest.mark.parametrize("domain", ["remote.example", "example", "*", "REMOTE.example."])
def test_suspended_domain_is_refused_at_the_inboxes(inbox: str, domain: str) -> None:
    ground = Ground()
    ground.node.block_domain(domain)
    refused = deliver(ground, inbox)
    assert (refused.status, reason_of(refused)) == (403, "forbidden")
    assert "rule" not in json.loads(refused.body).get("detail", "")
    assert ground.network.exchanges == []
    ground.node.unblock_domain(domain)
    assert deliver(ground, inbox).status == 202


def test_suspended_domain_is_refused_at_a_signed_get_of_a_public_resource() -> None:
    ground = Ground()
    assert signed_get(ground).status == 200
    ground.node.block_domain("remote.example")
    refused = signed_get(ground)
    assert (refused.status, reason_of(refused)) == (403, "forbidden")
    assert signed_get(ground, "https://local.example/actor").status == 200, "the instance actor is for everyone"
    assert ground.post(Request("GET", ALICE)).status == 200
    ground.node.unblock_domain("remote.example")
    assert signed_get(ground).status == 200


def test_suspended_relay_is_refused_even_if_the_activity_is_proved() -> None:
    ground = Ground()
    proved = ground.carol.prove(ground.carol.activity("Like", object=ALICE))
    ground.node.block_domain("remote.example")
    assert ground.post(ground.bob.request(proved, SHARED)).status == 403
    ground.node.unblock_domain("remote.example")
    assert ground.post(ground.bob.request(proved, SHARED)).status == 202


def test_suspended_owner_of_a_key_elsewhere_is_not_identified() -> None:
    """Let Bob sign with a key on another domain, which is not suspended."""
    ground = Ground(authorized_fetch="required")
    key_id = "https://keys.example/bob"
    entry = {"id": key_id, "owner": BOB, "publicKeyPem": ground.bob.key.public.pem}
    keys = ground.network.peer("https://keys.example/users/x")
    keys.serve(key_id, {"@context": "https://w3id.org/security/v1"} | entry)
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": [entry]})
    get = Request("GET", ALICE, Headers({"Accept": ACTIVITY_JSON}))
    signed = cavage.sign(get, ground.bob.key.renamed(key_id=key_id, owner=BOB), now=ground.clock.at)
    assert ground.post(signed).status == 200
    ground.node.block_domain("remote.example")
    assert ground.post(signed).status == 403


def test_activity_that_waits_is_dropped_when_its_domain_is_suspended() -> None:
    ground = Ground()
    assert deliver(ground).status == 202
    ground.node.block_domain("remote.example")
    ground.work()
    assert ground.heard == []
    ground.node.unblock_domain("remote.example")
    ground.work()
    assert ground.heard == [], "a dropped activity does not come back"
    assert deliver(ground).status == 202
    ground.work()
    assert len(ground.heard) == 1


def test_stored_rule_decides_before_a_rule_of_the_code_for_the_same_domain() -> None:
    ground = Ground(rules=DomainRules.suspending(["remote.example", "third.example"]))
    ground.node.block_domain("remote.example", severity=Severity.ALLOW)
    assert deliver(ground).status == 202
    assert not ground.node.unblock_domain("third.example")


def test_longer_rule_of_the_code_decides_before_a_stored_one() -> None:
    ground = Ground(rules=DomainRules({"remote.example": Severity.ALLOW}))
    ground.node.block_domain("example")
    assert deliver(ground).status == 202


def test_own_origins_are_not_suspended_by_an_allow_list() -> None:
    """Let an actor of one origin of ours follow one of another, over HTTP as any two servers do."""
    other = "https://other.example"
    network = PeerNetwork()
    federation: Federation[None] = Federation()

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person:
        return Person(preferred_username=identifier)

    origins = ["https://local.example", other]
    with Node(federation, origins, MemoryStore(), transport=network, signer=ReusedKeys(), slots=0) as node:
        network.join(node)
        node.block_domain("*")
        node.follow(f"{other}/users/anna", by="alice", origin=origins[0])
        for _ in range(3):
            node.work(until_idle=True)
        assert node.members(f"{other}/users/anna/followers").items == (ALICE,)
        assert node.members(f"{ALICE}/following").items == (f"{other}/users/anna",)


@pytest.mark.parametrize(
    ("name", "value", "hosts"),
    [
        ("Signature", 'keyId="https://A.example/k",algorithm="hs2019",signature="x"', ["a.example"]),
        ("Authorization", 'Signature keyId = "https://a.example:8443/k",signature="x"', ["a.example"]),
        ("Signature-Input", 's1=("@method");keyid="https://a.example/k", s2=();keyid="https://b.example/k"', None),
        ("Signature", 'keyId="acct:bob@a.example"', []),
        ("Signature", 'keyId="https://a.example/k', []),
        ("Signature", 'notkeyid="https://a.example/k"', []),
        ("Authorization", "Bearer token", []),
    ],
)
def test_hosts_of_the_named_keys_are_read_from_every_header(name: str, value: str, hosts: list[str] | None) -> None:
    request = Request("GET", ALICE, Headers({name: value}))
    assert signer_hosts(request) == (["a.example", "b.example"] if hosts is None else hosts)


def test_hosts_of_the_named_keys_are_bounded() -> None:
    value = ", ".join(f's{number}=();keyid="https://{number}.example/k"' for number in range(1000))
    assert len(signer_hosts(Request("GET", ALICE, Headers({"Signature-Input": value})))) == 8


# --- rules from a function ------------------------------------------------------------------------------------------


def test_answer_of_a_function_may_change_at_any_time() -> None:
    suspended_hosts: set[str] = set()
    federation: Federation[None] = Federation()
    federation.blocks(lambda host: Severity.SUSPEND if host in suspended_hosts else None)
    network = PeerNetwork()
    network.peer(BOB).serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB})
    with Node(federation, None, MemoryStore(), transport=network) as node:
        suspended_hosts.add("remote.example")
        with pytest.raises(DomainSuspended, match=r"remote\.example is suspended"):
            node.reference(NOTE).resolve()
        suspended_hosts.clear()
        assert node.reference(NOTE).resolve().id == NOTE


async def decide_later(host: str) -> Severity | None:
    return None


@pytest.mark.parametrize("policy", [decide_later, lambda: None, "bad.example"])
def test_policy_that_is_no_plain_function_of_a_host_is_refused(policy: Any) -> None:
    with pytest.raises(ConfigurationError):
        Federation().blocks(policy)


def test_answer_that_is_no_severity_sends_nothing() -> None:
    federation: Federation[None] = Federation()
    federation.blocks(lambda host: "suspend")  # type: ignore[arg-type, return-value]
    network = PeerNetwork()
    with (
        Node(federation, None, MemoryStore(), transport=network) as node,
        pytest.raises(ContractError, match="suspend"),
    ):
        node.reference(NOTE).resolve()
    assert network.exchanges == []


# --- severities -----------------------------------------------------------------------------------------------------


def test_silenced_actor_is_told_to_the_listener_by_the_rules_of_today() -> None:
    ground = Ground()
    for severity in (Severity.SILENCE, Severity.REJECT_MEDIA):
        ground.node.block_domain("remote.example", severity=severity)
        assert deliver(ground).status == 202
        ground.work()
    ground.node.unblock_domain("remote.example")
    assert deliver(ground).status == 202
    ground.node.block_domain("remote.example", severity=Severity.SILENCE)
    ground.work()
    assert ground.silenced == [True, False, True]


@pytest.mark.parametrize("is_silenced", [True, False])
def test_follow_of_a_silenced_actor_waits_for_approval(is_silenced: bool) -> None:
    ground = Ground()
    if is_silenced:
        ground.node.block_domain("remote.example", severity=Severity.SILENCE)
    assert deliver(ground, type_name="Follow").status == 202
    ground.work()
    pending = [request.actor for request in ground.node.pending_follows("alice").items]
    assert (pending, ground.collection("followers")) == (([BOB], []) if is_silenced else ([], [BOB]))
    ground.node.unblock_domain("remote.example")
    if is_silenced:
        assert ground.node.accept_follow(BOB, by="alice")
        assert ground.collection("followers") == [BOB]


def test_rejected_follow_of_a_silenced_actor_stays_rejected() -> None:
    ground = Ground()
    follows_policy = FollowVerdict.REJECT
    ground.node.federation._follows = follows_policy
    ground.node.block_domain("remote.example", severity=Severity.SILENCE)
    assert deliver(ground, type_name="Follow").status == 202
    ground.work()
    assert list(ground.node.pending_follows("alice").items) == []


def test_media_is_taken_out_of_the_views_and_not_out_of_the_tree() -> None:
    ground = Ground()
    note = {"id": NOTE, "type": "Note", "attributedTo": BOB, "content": "hi", **MEDIA}
    ground.bob.serve(NOTE, {"@context": AS2, **note})
    seen: list[tuple[bool, bool, bool, bool]] = []

    def listen(ctx: Any, activity: Activity) -> None:
        embedded = activity.document.view(Create).object
        assert embedded is not None
        inner = ctx.resolve(embedded).view(Note)
        fetched = ctx.reference(NOTE).resolve(fresh=True).view(Note)
        is_signed_text = "attachment" in activity.document.tree["object"]
        seen.append((ctx.rejects_media, bool(inner.attachment), bool(fetched.attachment), is_signed_text))

    ground.listeners.append(listen)
    assert deliver(ground, type_name="Create", object=note).status == 202
    ground.work()
    ground.node.block_domain("remote.example", severity=Severity.REJECT_MEDIA)
    assert deliver(ground, type_name="Create", object=note).status == 202
    ground.work()
    assert seen == [(False, True, True, True), (True, False, False, True)]


# --- deliveries -----------------------------------------------------------------------------------------------------


def posts(ground: Ground) -> int:
    return sum(exchange.method == "POST" for exchange in ground.network.exchanges)


def test_deliveries_that_wait_for_a_suspended_domain_end_and_later_ones_are_made(caplog: Any) -> None:
    caplog.set_level("INFO")
    ground = Ground()
    for _ in range(2):
        ground.node.send(Like(object=NOTE), by="alice", to=BOB)
        ground.work()
    assert posts(ground) == 2, "Bob's inbox was not looked up"
    ground.node.send(Like(object=NOTE), by="alice", to=BOB)
    ground.network.down.add("https://remote.example")
    ground.work()
    failed_posts = posts(ground)
    ground.node.block_domain("remote.example", reason="spam")
    ground.network.down.clear()
    for _ in range(20):
        ground.clock.pass_s(3600)
        ground.work()
    assert posts(ground) == failed_posts
    assert "remote.example is suspended: by the rule for remote.example (spam)" in caplog.text
    ground.node.unblock_domain("remote.example")
    ground.clock.pass_s(86400)
    ground.work()
    assert posts(ground) == failed_posts, "an ended delivery is not made later"
    ground.node.send(Like(object=NOTE), by="alice", to=BOB)
    ground.work()
    assert posts(ground) == failed_posts + 1


# --- cost -----------------------------------------------------------------------------------------------------------


def test_rules_of_many_hosts_cost_one_read_however_many_rules_there_are() -> None:
    ground = Ground()
    for number in range(300):
        ground.node.block_domain(f"{number}.blocked.example")
    ground.asked.clear()
    hosts = [f"{number}.blocked.example" for number in range(20)]
    rules = ground.node.run(read_stored_rules(hosts))
    assert [[rule.domain for rule in rules[host]] for host in hosts] == [[host] for host in hosts]
    assert [type(effect) for effect in ground.asked] == [Get]


def test_host_of_many_labels_costs_a_bounded_read() -> None:
    ground = Ground()
    ground.asked.clear()
    ground.node.run(read_stored_rules(["a." * 120 + "example"]))
    [read] = ground.asked
    assert isinstance(read, Get)
    assert len(read.keys) == 17
