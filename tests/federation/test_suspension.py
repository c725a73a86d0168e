"""Check that a suspended domain is never contacted, through any feature of a node."""

from __future__ import annotations

import ast
import asyncio
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.collections import Member, add_member, traverse
from apcore.discovery import confirm, lookup, lookup_nodeinfo, webfinger
from apcore.effects import Fetch, Op, commit
from apcore.federation import AsyncContext, Context, DomainRules, DomainSuspended, Federation, OpContext, Severity
from apcore.handlers import operation
from apcore.http import ACTIVITY_JSON, Headers, Request, Response, parse_url
from apcore.node import AsyncNode, Node
from apcore.remote import (
    FetchPolicy,
    alternate_of,
    check_quote,
    fetch,
    load,
    load_unverified,
    remote_key,
    resolve,
)
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import PUBLIC, Actor, Announce, Like, Note, Person, View, read_document
from source_tree import MODULES

HERE, GOOD, BAD = "https://here.example", "https://good.test", "https://bad.test"
ALICE, CAROL, BOB = f"{HERE}/users/alice", f"{GOOD}/users/carol", f"{BAD}/users/bob"
AS2 = "https://www.w3.org/ns/activitystreams"
THING = f"{BAD}/notes/1"


def suspend_bad_hosts(host: str) -> Severity | None:
    return Severity.SUSPEND if host.endswith("bad.test") else None


Rules = DomainRules | Callable[[str], Severity | None] | dict[str, Severity]
"""The rules of the code, or, as a dict, rules that are stored while the node runs."""

RULES: dict[str, Rules] = {
    "the domain": DomainRules.suspending(["bad.test"]),
    "a longer rule allows others": DomainRules({"test": Severity.SUSPEND, "good.test": Severity.ALLOW}),
    "an allow list": DomainRules.allowing(["good.test"]),
    "a function": suspend_bad_hosts,
    "a stored rule": {"bad.test": Severity.SUSPEND},
    "a longer stored rule allows others": {"test": Severity.SUSPEND, "good.test": Severity.ALLOW},
    "a stored allow list": {"*": Severity.SUSPEND, "good.test": Severity.ALLOW},
}


def note(uri: str = THING, **members: Any) -> dict[str, Any]:
    return {"@context": AS2, "id": uri, "type": "Note", "content": "hello", **members}


class Net(PeerNetwork):
    """A network with custom responses, on which both domains answer every request."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, Response] = {}

    def send(self, request: Request, /) -> Response:
        page = self.pages.get(request.url)
        answer = super().send(request)
        return answer if page is None else page

    def serve(self, url: str, body: str, media_type: str = ACTIVITY_JSON, *, status: int = 200) -> None:
        self.pages[url] = Response(status, {"Content-Type": media_type}, body.encode())

    def redirect(self, url: str, to: str, *, status: int = 302) -> None:
        self.pages[url] = Response(status, {"Location": to})

    @property
    def contacted(self) -> set[str]:
        return {parse_url(exchange.url).origin.host for exchange in self.exchanges}


class Ground:
    """A node with domain rules, a peer on an allowed domain, and a peer on the suspended domain."""

    def __init__(self, rules: Rules) -> None:
        self.net = Net()
        self.carol = self.net.peer(CAROL)
        self.bob = self.net.peer(BOB)
        self.bob.serve(THING, note(attributedTo=BOB))
        self.outcomes: list[object] = []
        self.listeners: dict[type[View], Callable[..., Any]] = {}
        self.rules = rules
        self._node: Node[None] | None = None

    def federation(self) -> Federation[None]:
        federation: Federation[None] = Federation(
            software="test/1.0", unknown_contexts="fetch", authorized_fetch="required"
        )
        if not isinstance(self.rules, dict):
            federation.blocks(self.rules)

        @federation.actor("/users/{identifier}")
        def actor(ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        for kind, listener in self.listeners.items():
            federation.on(kind)(listener)  # type: ignore[arg-type]
        return federation

    @property
    def node(self) -> Node[None]:
        if self._node is None:
            self._node = Node(self.federation(), HERE, self.store(), transport=self.net, signer=ReusedKeys())
        return self._node

    def async_node(self) -> AsyncNode[None]:
        return AsyncNode(self.federation(), HERE, self.store(), transport=self.net, signer=ReusedKeys())

    def store(self) -> MemoryStore:
        """Return a store with the stored rules."""
        store = MemoryStore()
        if isinstance(self.rules, dict):
            moderator = Node(Federation(), None, store, transport=self.net)
            for domain, severity in self.rules.items():
                moderator.block_domain(domain, severity=severity)
        return store

    def run(self, op: Op[Any]) -> None:
        """Run an operation and record its result or error."""
        try:
            self.outcomes.append(self.node.run(op))
        except Exception as error:  # recorded for the test
            self.outcomes.append(error)

    def work(self) -> None:
        for _ in range(3):
            self.node.work(until_idle=True)

    def announce(self) -> None:
        """Let Carol announce a note of the suspended domain, and process the announcement."""
        assert self.carol.deliver(self.node, self.carol.activity("Announce", object=THING)).status == 202
        self.work()


POLICY = FetchPolicy(unknown_contexts="fetch")
"""The policy of an application, without domain rules."""


# --- requests of the application -------------------------------------------------------------------------------------


def resolve_in_a_plain_listener(ground: Ground) -> None:
    def on_announce(ctx: Context[None], announce: Announce) -> None:
        assert announce.object is not None
        ctx.resolve(announce.object)

    ground.listeners = {Announce: on_announce}
    ground.announce()


def resolve_fresh_in_a_plain_listener(ground: Ground) -> None:
    def on_announce(ctx: Context[None], announce: Announce) -> None:
        ctx.reference(THING).resolve(fresh=True)

    ground.listeners = {Announce: on_announce}
    ground.announce()


def resolve_in_an_operation(ground: Ground) -> None:
    @operation
    def on_announce(ctx: OpContext[None], announce: Announce) -> Op[None]:
        yield from ctx.resolve(THING)

    ground.listeners = {Announce: on_announce}
    ground.announce()


def resolve_in_a_coroutine(ground: Ground) -> None:
    async def on_announce(ctx: AsyncContext[None], announce: Announce) -> None:
        await ctx.resolve(THING)

    ground.listeners = {Announce: on_announce}

    async def main() -> None:
        node = ground.async_node()
        activity = ground.carol.activity("Announce", object=THING)
        assert (await ground.carol.deliver_async(node, activity)).status == 202
        await node.work(until_idle=True)
        await node.aclose()

    asyncio.run(main())


def operation_of_an_async_node(ground: Ground) -> None:
    async def main() -> None:
        node = ground.async_node()
        try:
            ground.outcomes.append(await node.run(load(THING, policy=POLICY)))
        except DomainSuspended as error:
            ground.outcomes.append(error)
        await node.aclose()

    asyncio.run(main())


def reference_of_the_node(ground: Ground) -> None:
    with suppress(DomainSuspended):
        ground.node.reference(THING).resolve()


def request_thing(share: str | None = None) -> Op[Response]:
    return (yield from Fetch(Request("GET", THING), share=share))


def operation_of(name: str, make_operation: Callable[[], Op[Any]]) -> Callable[[Ground], None]:
    def run_operation(ground: Ground) -> None:
        ground.run(make_operation())

    run_operation.__name__ = name
    return run_operation


APPLICATION_REQUESTS = [
    operation_of("bare_request", request_thing),
    operation_of("shareable_request", lambda: request_thing(THING)),
    operation_of("fetch", lambda: fetch(THING, policy=POLICY)),
    operation_of("load", lambda: load(THING, policy=POLICY)),
    operation_of("load_fresh", lambda: load(THING, policy=POLICY, fresh=True)),
    operation_of("load_unverified", lambda: load_unverified(THING, policy=POLICY)),
    operation_of("resolve", lambda: resolve(THING, policy=POLICY)),
    operation_of("remote_key", lambda: remote_key(f"{BOB}#main-key", policy=POLICY)),
    operation_of("alternate_of", lambda: alternate_of(THING, policy=POLICY)),
    operation_of("lookup_a_handle", lambda: lookup("@bob@bad.test", policy=POLICY)),
    operation_of("lookup_a_group", lambda: lookup("!bob@bad.test", policy=POLICY)),
    operation_of("lookup_an_address", lambda: lookup(BOB, policy=POLICY)),
    operation_of("webfinger", lambda: webfinger("acct:bob@bad.test", policy=POLICY)),
    operation_of("webfinger_of_a_page", lambda: webfinger(BOB, policy=POLICY)),
    operation_of("lookup_nodeinfo", lambda: lookup_nodeinfo(BAD, policy=POLICY)),
    operation_of("traverse", lambda: traverse(f"{BOB}/outbox", policy=POLICY)),
    operation_of("another_port", lambda: load(f"{BAD}:8443/notes/1", policy=POLICY)),
    operation_of("a_subdomain", lambda: load("https://a.b.bad.test/notes/1", policy=POLICY)),
    operation_of("another_spelling", lambda: load("https://BAD.test/notes/1", policy=POLICY)),
]


def quote(ground: Ground) -> None:
    post = read_document(note(f"{GOOD}/notes/2", attributedTo=CAROL, quoteUrl=THING), origin=parse_url(CAROL).origin)
    ground.run(check_quote(post, policy=POLICY))


def handle_of_an_actor(ground: Ground) -> None:
    actor = read_document(
        {"@context": AS2, "id": CAROL, "type": "Person", "preferredUsername": "carol", "webfinger": "carol@bad.test"},
        origin=parse_url(CAROL).origin,
    )
    ground.run(confirm(actor.view(Actor), policy=POLICY))


# --- redirects and links --------------------------------------------------------------------------------------------


def led_by(name: str, serve: Callable[[Net], None], make_operation: Callable[[], Op[Any]]) -> Callable[[Ground], None]:
    def serve_and_run(ground: Ground) -> None:
        serve(ground.net)
        ground.run(make_operation())

    serve_and_run.__name__ = name
    return serve_and_run


def jrd(**links: str) -> str:
    return json.dumps(
        {
            "subject": "acct:carol@good.test",
            "links": [{"rel": "self", "type": ACTIVITY_JSON, "href": href} for href in links.values()],
        }
    )


WEBFINGER = f"{GOOD}/.well-known/webfinger?resource=acct%3Acarol%40good.test"
LINKED_REQUESTS = [
    led_by("redirect", lambda net: net.redirect(f"{GOOD}/1", THING), lambda: load(f"{GOOD}/1", policy=POLICY)),
    led_by(
        "second_redirect",
        lambda net: (net.redirect(f"{GOOD}/1", f"{GOOD}/2"), net.redirect(f"{GOOD}/2", THING, status=307))[0],
        lambda: load(f"{GOOD}/1", policy=POLICY),
    ),
    led_by("redirected_key", lambda net: net.redirect(CAROL, BOB), lambda: remote_key(f"{CAROL}#k", policy=POLICY)),
    led_by(
        "redirected_nodeinfo",
        lambda net: net.redirect(f"{GOOD}/.well-known/nodeinfo", f"{BAD}/.well-known/nodeinfo"),
        lambda: lookup_nodeinfo(GOOD, policy=POLICY),
    ),
    led_by(
        "key_of_another_owner",
        lambda net: net.serve(
            f"{GOOD}/key",
            json.dumps(
                {"@context": "https://w3id.org/security/v1", "id": f"{GOOD}/key", "owner": BOB, "publicKeyPem": "x"}
            ),
        ),
        lambda: remote_key(f"{GOOD}/key", policy=POLICY),
    ),
    led_by(
        "linked_actor",
        lambda net: net.serve(WEBFINGER, jrd(href=BOB), "application/jrd+json"),
        lambda: lookup("@carol@good.test", policy=POLICY),
    ),
    led_by(
        "account_of_another_host",
        lambda net: net.serve(
            WEBFINGER, json.dumps({"subject": "acct:bob@bad.test", "links": []}), "application/jrd+json"
        ),
        lambda: lookup("@carol@good.test", policy=POLICY),
    ),
    led_by(
        "redirected_webfinger",
        lambda net: net.redirect(WEBFINGER, f"{BAD}/.well-known/webfinger?resource=acct%3Acarol%40good.test"),
        lambda: webfinger("acct:carol@good.test", policy=POLICY),
    ),
    led_by(
        "alternate_of_a_page",
        lambda net: net.serve(
            f"{GOOD}/@carol", f'<link rel="alternate" type="{ACTIVITY_JSON}" href="{THING}">', "text/html"
        ),
        lambda: lookup(f"{GOOD}/@carol", policy=POLICY),
    ),
    led_by(
        "context",
        lambda net: net.serve(f"{GOOD}/1", json.dumps(note(f"{GOOD}/1") | {"@context": [AS2, f"{BAD}/context"]})),
        lambda: load(f"{GOOD}/1", policy=POLICY),
    ),
]
page_of_a_collection = led_by(
    "page_of_a_collection",
    lambda net: net.serve(
        f"{GOOD}/c", json.dumps({"@context": AS2, "id": f"{GOOD}/c", "type": "Collection", "first": f"{BAD}/c"})
    ),
    lambda: traverse(f"{GOOD}/c", policy=POLICY),
)


def key_behind_a_request(ground: Ground) -> None:
    ground.carol.deliver(ground.node, ground.bob.activity("Like", object=ALICE))


def signature_by_the_suspended_domain(ground: Ground) -> None:
    ground.bob.deliver(ground.node, ground.carol.activity("Like", object=ALICE))


def proof_by_the_suspended_domain(ground: Ground) -> None:
    ground.carol.deliver(ground.node, ground.bob.prove(ground.bob.activity("Like", object=ALICE)))


def key_document_behind_a_redirect(ground: Ground) -> None:
    ground.net.redirect(CAROL, BOB)
    ground.carol.deliver(ground.node, ground.carol.activity("Follow", object=ALICE))


def context_of_an_activity(ground: Ground) -> None:
    activity = ground.carol.activity("Like", object=ALICE) | {"@context": [AS2, f"{BAD}/context"]}
    ground.listeners = {Like: lambda ctx, like: ground.outcomes.append(like)}
    assert ground.carol.deliver(ground.node, activity).status == 202
    ground.work()


def request_for_a_page(ground: Ground) -> None:
    ground.node.handle(ground.bob.sign(Request("GET", ALICE, Headers({"Accept": ACTIVITY_JSON}))))


# --- deliveries -----------------------------------------------------------------------------------------------------


def deliver_to_an_actor(ground: Ground) -> None:
    ground.node.send(Like(object=THING), by="alice", to=BOB)
    ground.work()


def deliver_to_a_named_recipient(ground: Ground) -> None:
    ground.node.publish(Note(content="hi"), by="alice", to=[PUBLIC, BOB])
    ground.work()


def serve_carol_with(ground: Ground, **members: Any) -> None:
    ground.carol.serve(CAROL, ground.carol.document | members)


def deliver_to_a_suspended_inbox(ground: Ground) -> None:
    serve_carol_with(ground, inbox=f"{BAD}/inbox", endpoints=None)
    ground.node.send(Like(object=THING), by="alice", to=CAROL)
    ground.work()


def deliver_to_a_suspended_shared_inbox(ground: Ground) -> None:
    serve_carol_with(ground, endpoints={"sharedInbox": f"{BAD}/inbox"})
    ground.node.send(Like(object=THING, to=[CAROL]), by="alice", to=CAROL)
    ground.work()


def follower_with_a_suspended_inbox(ground: Ground) -> None:
    follow(ground, CAROL, inbox=f"{BAD}/inbox")


def suspended_follower(ground: Ground) -> None:
    follow(ground, BOB, inbox=f"{BOB}/inbox")


def follower_without_a_stored_inbox(ground: Ground) -> None:
    follow(ground, BOB)


def follow(ground: Ground, actor: str, **stored: str) -> None:
    change = add_member(f"{ALICE}/followers", Member(actor, json.dumps(stored).encode() if stored else b""), order="1")
    assert ground.node.run(commit(change.checks, change.writes))
    ground.node.publish(Note(content="hi"), by="alice")
    ground.work()


def answer_to_a_follow(ground: Ground) -> None:
    serve_carol_with(ground, inbox=f"{BAD}/inbox", endpoints=None)
    assert ground.carol.deliver(ground.node, ground.carol.activity("Follow", object=ALICE)).status == 202
    ground.work()


def redirected_delivery(ground: Ground) -> None:
    ground.net.redirect(ground.carol.inbox, f"{BAD}/inbox", status=308)
    ground.node.send(Like(object=THING), by="alice", to=CAROL)
    ground.work()


CHANNELS = [
    resolve_in_a_plain_listener,
    resolve_fresh_in_a_plain_listener,
    resolve_in_an_operation,
    resolve_in_a_coroutine,
    operation_of_an_async_node,
    reference_of_the_node,
    *APPLICATION_REQUESTS,
    quote,
    handle_of_an_actor,
    *LINKED_REQUESTS,
    key_behind_a_request,
    signature_by_the_suspended_domain,
    proof_by_the_suspended_domain,
    key_document_behind_a_redirect,
    context_of_an_activity,
    request_for_a_page,
    deliver_to_an_actor,
    deliver_to_a_named_recipient,
    deliver_to_a_suspended_inbox,
    deliver_to_a_suspended_shared_inbox,
    follower_with_a_suspended_inbox,
    suspended_follower,
    follower_without_a_stored_inbox,
    answer_to_a_follow,
]
SAME_ORIGIN_CHANNELS = [page_of_a_collection, redirected_delivery]
"""Channels that lead nowhere even without rules, since they may not lead to another origin."""


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("run_channel", [*CHANNELS, *SAME_ORIGIN_CHANNELS], ids=lambda channel: channel.__name__)
def test_suspended_domain_is_never_contacted(run_channel: Callable[[Ground], None], rules: Rules) -> None:
    ground = Ground(rules)
    run_channel(ground)
    assert ground.net.contacted <= {"good.test"}


@pytest.mark.parametrize("run_channel", CHANNELS, ids=lambda channel: channel.__name__)
def test_each_channel_contacts_the_domain_without_rules(run_channel: Callable[[Ground], None]) -> None:
    ground = Ground(DomainRules())
    run_channel(ground)
    assert any(host.lower().endswith("bad.test") for host in ground.net.contacted)


# --- the refusal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_channel", APPLICATION_REQUESTS, ids=lambda channel: channel.__name__)
def test_refusal_names_the_host_and_the_rule(run_channel: Callable[[Ground], None]) -> None:
    ground = Ground(DomainRules.suspending(["bad.test"]))
    run_channel(ground)
    [error] = ground.outcomes
    assert isinstance(error, DomainSuspended)
    assert error.host.endswith("bad.test")
    assert error.rule == "bad.test"
    assert str(error) == f"{error.host} is suspended: by the rule for bad.test"
    assert (error.status_hint, error.retryable) == (403, False)


def test_refusal_by_an_allow_list_names_no_rule() -> None:
    error = DomainRules.allowing(["good.test"]).refusal("bad.test")
    assert error is not None
    assert error.rule is None
    assert str(error) == "bad.test is suspended: the allow list has no rule for it"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.host, str(copy)) == (DomainSuspended, "bad.test", str(error))


def test_refusal_is_raised_in_a_listener() -> None:
    ground = Ground(DomainRules.suspending(["bad.test"]))

    def on_announce(ctx: Context[None], announce: Announce) -> None:
        try:
            ctx.resolve(THING)
        except DomainSuspended as error:
            ground.outcomes.append(error.host)

    ground.listeners = {Announce: on_announce}
    ground.announce()
    assert ground.outcomes == ["bad.test"]


def test_own_origin_is_not_suspended_by_an_allow_list() -> None:
    ground = Ground(DomainRules.allowing(["good.test"]))
    ground.net.join(ground.node)
    assert ground.node.reference(ALICE).resolve().id == ALICE


# --- enforcement ---------------------------------------------------------------------------------------------------


def test_only_the_drivers_send_requests() -> None:
    """Find the functions that use a transport: all drivers share one, which checks the domain first."""
    users = {
        f"{module.name}.{function.name}"
        for module in MODULES.values()
        if module.room not in {"testing", "adapters"}
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(node, ast.Attribute) and node.attr == "send" and "transport" in ast.unparse(node)
            for node in ast.walk(function)
        )
    }
    assert users == {
        "apcore.drivers.effect_table._fetch",
        # It makes a blocking transport awaitable, and checks whether `send` is a coroutine function.
        "apcore.drivers.threaded_ports.async_transport",
        # Loaders answer in place of the transport, below the check.
        "apcore.node.loaders.send",
    }  # fmt: skip
    [function] = [
        node
        for node in ast.walk(MODULES["apcore.drivers.effect_table"].tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_fetch"
    ]
    assert ast.unparse(function.body[0]) == (
        "yield from guard_calls(effect.request, ports.outbound, partial(_read_call, ports))"
    )


def test_both_nodes_pass_the_rules_to_their_driver() -> None:
    node = Node(Federation(), HERE, MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys())
    assert node.ports.outbound == node.outbound_refusal

    async def main() -> bool:
        async_node = AsyncNode(Federation(), HERE, MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys())
        return async_node.ports.outbound == async_node.outbound_refusal

    assert asyncio.run(main())
