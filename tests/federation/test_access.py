"""Check authorised fetch: viewers are identified only where it matters, and hidden objects look like missing ones."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.collections import PageItems
from apcore.effects import Fetch, Op
from apcore.errors import ConfigurationError
from apcore.federation import DomainRules, Federation
from apcore.handlers import operation
from apcore.http import Headers, Request, Response
from apcore.node import AsyncNode, Node
from apcore.remote import Budgets, Rate
from apcore.signatures import DEFAULT, STRICT, SignaturePolicy, answer, cavage, read_challenges
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Article, Follow, Note, Page, Person, Tombstone
from inbox_fixture import BOB, CAROL, Clock

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
VARY = "Accept, Signature, Signature-Input"
AP = Headers({"Accept": "application/activity+json"})


class GuardedServer:
    """A server with peers that sign their requests. Its predicate refuses Carol."""

    def __init__(
        self, mode: Any = "off", *, blocks: bool = False, rules: DomainRules | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        self.bob, self.carol = self.network.peer(BOB), self.network.peer(CAROL)
        self.effects: list[Any] = []
        self.judged_viewers: list[Any] = []
        self.federation: Federation[None] = Federation(software="test/1.0", authorized_fetch=mode, **options)
        if rules is not None:
            self.federation.blocks(rules)
        self._register(blocks)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.node = Node(
            self.federation,
            HERE,
            self.store,
            transport=self.network,
            signer=ReusedKeys(),
            runtime=self.clock,
            observer=lambda effect, place: self.effects.append(effect),
        )

    def _register(self, blocks: bool) -> None:
        def may_see(ctx: Any, identifier: str, viewer: str | None) -> bool:
            self.judged_viewers.append(viewer)
            return viewer != CAROL

        @self.federation.actor("/users/{identifier}", authorize=may_see if blocks else None)
        def actor(ctx: Any, identifier: str) -> Person | Tombstone | None:
            if identifier == "gone":
                return Tombstone(former_type="Person")
            return Person(preferred_username=identifier) if identifier == "alice" else None

        @self.federation.object(Note, "/notes/{number}", authorize=lambda ctx, number, viewer: viewer == BOB)
        def note(ctx: Any, number: str) -> Note | None:
            return Note(content=number) if number == "1" else None

        @self.federation.object(Article, "/articles/{number}")
        def article(ctx: Any, number: str) -> Article | None:
            return Article(content=number) if number == "1" else None

        @self.federation.collection(
            "featured", "/users/{identifier}/featured", authorize=lambda ctx, identifier, viewer: viewer is not None
        )
        def featured(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
            return PageItems([f"{HERE}/articles/1"], None)

    def get(self, url: str, by: Peer | None = None, *, method: str = "GET", **headers: str) -> Response:
        request = Request(method, url, Headers(dict(AP) | {k.replace("_", "-"): v for k, v in headers.items()}))
        return self.send(request if by is None else by.sign(request))

    def send(self, request: Request) -> Response:
        served = self.node.handle(request)
        assert isinstance(served, Response)
        return served

    def publish(self, *to: str) -> str:
        """Publish a note by Alice and return its id."""
        return self.node.publish(Note(content="hi"), by="alice", to=to)

    def count_fetches(self) -> int:
        return len([effect for effect in self.effects if isinstance(effect, Fetch)])


def status_and_reason(answer: Response) -> tuple[int, str | None]:
    return answer.status, json.loads(answer.body).get("reason") if answer.status >= 400 else None


def is_private(answer: Response) -> bool:
    vary, caching = answer.headers.get("vary"), answer.headers.get("cache-control") or ""
    varies_by_signature = vary == VARY
    assert vary in {VARY, "Accept"}
    assert caching == ("private, max-age=180" if varies_by_signature else "public, max-age=180")
    return varies_by_signature


# --- off, and documents open in any mode ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "optional"])
@pytest.mark.parametrize("url", [ALICE, f"{ALICE}/outbox", f"{HERE}/articles/1"])
@pytest.mark.parametrize("signs", [False, True])
def test_viewer_of_a_public_document_is_not_identified(mode: str, url: str, signs: bool) -> None:
    ground = GuardedServer(mode)
    answer = ground.get(url, ground.bob if signs else None)
    assert answer.status == 200
    assert not is_private(answer)
    assert ground.count_fetches() == 0


OPEN = [
    f"{HERE}/actor",
    f"{HERE}/.well-known/webfinger?resource=acct:alice@local.example",
    f"{HERE}/.well-known/host-meta",
    f"{HERE}/.well-known/nodeinfo",
    f"{HERE}/nodeinfo/2.1",
]


@pytest.mark.parametrize("mode", ["off", "optional", "required"])
@pytest.mark.parametrize("url", OPEN)
@pytest.mark.parametrize("signature", ["none", "nonsense", "by an unavailable key"])
def test_discovery_and_the_instance_actor_are_open_in_every_mode(mode: str, url: str, signature: str) -> None:
    ground = GuardedServer(mode, blocks=True)
    ground.network.down.add("https://remote.example")
    if signature == "nonsense":
        answer = ground.get(url, signature="nonsense", signature_input="nonsense")
    else:
        answer = ground.get(url, None if signature == "none" else ground.bob)
    assert answer.status == 200
    assert ground.count_fetches() == 0
    assert "signature" not in (answer.headers.get("vary") or "").lower()


# --- required -------------------------------------------------------------------------------------------------------

DOCUMENTS = {
    "an actor": ALICE,
    "an actor that is gone": f"{HERE}/users/gone",
    "no actor": f"{HERE}/users/nobody",
    "a collection": f"{ALICE}/outbox",
    "a page": f"{ALICE}/outbox/page/first",
    "a page by its former URL": f"{ALICE}/outbox?page=true",
    "an object": f"{HERE}/articles/1",
    "no object": f"{HERE}/articles/2",
    "no published object": f"{ALICE}/objects/nothing",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("url", DOCUMENTS.values(), ids=DOCUMENTS)
def test_unsigned_request_is_refused_for_every_document(url: str, method: str) -> None:
    answer = GuardedServer("required").get(url, method=method)
    assert (answer.status, answer.headers.get("vary"), answer.headers.get("cache-control")) == (401, VARY, "no-store")
    assert answer.body == b"" or json.loads(answer.body)["reason"] == "signature-missing"


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize(
    ("url", "status"),
    list(zip(DOCUMENTS.values(), [200, 410, 404, 200, 200, 200, 200, 404, 404], strict=True)),
    ids=DOCUMENTS,
)
def test_signed_request_gets_the_status_of_the_document(url: str, status: int, scheme: Any) -> None:
    ground = GuardedServer("required")
    ground.bob.scheme = scheme
    answer = ground.get(url, ground.bob)
    assert answer.status == status
    assert answer.headers.get("vary") == VARY
    assert "public" not in (answer.headers.get("cache-control") or "")


def test_public_post_is_served_to_any_signed_request() -> None:
    ground = GuardedServer("required")
    ident = ground.node.publish(Note(content="hi"), by="alice")
    assert status_and_reason(ground.get(ident)) == (401, "signature-missing")
    assert is_private(ground.get(ident, ground.carol))


def test_key_of_a_viewer_is_fetched_once_by_the_instance_actor() -> None:
    ground = GuardedServer("required")
    for _ in range(3):
        assert ground.get(ALICE, ground.bob).status == 200
    [fetch] = [effect for effect in ground.effects if isinstance(effect, Fetch)]
    assert f'keyId="{HERE}/actor#main-key"' in (fetch.request.headers.get("signature") or "")


def test_conditional_request_needs_a_signature_too() -> None:
    ground = GuardedServer("required")
    etag = ground.get(ALICE, ground.bob).headers.get("etag") or ""
    not_modified = ground.get(ALICE, ground.bob, if_none_match=etag)
    assert (not_modified.status, is_private(not_modified)) == (304, True)
    assert ground.get(ALICE, if_none_match=etag).status == 401


def test_suspended_viewer_is_refused_every_document() -> None:
    ground = GuardedServer("required", rules=DomainRules.suspending(["third.example"]))
    for url in DOCUMENTS.values():
        assert status_and_reason(ground.get(url, ground.carol)) == (403, "forbidden")
    assert ground.count_fetches() == 0


def test_key_fetches_for_unknown_viewers_have_a_budget() -> None:
    ground = GuardedServer("required", budgets=Budgets(host=Rate(3, 0.001)))
    answers = []
    for number in range(10):
        peer = ground.network.peer(f"https://remote.example/users/{number}", key=reuse_key(BOB))
        answers.append(ground.get(ALICE, peer))
    assert [answer.status for answer in answers] == [200] * 3 + [503] * 7
    assert all(answer.headers.get("retry-after") for answer in answers[3:])
    assert ground.count_fetches() == 3
    assert ground.get(ALICE, ground.network.peer("https://remote.example/users/0", key=reuse_key(BOB))).status == 200


@pytest.mark.parametrize("policy", [DEFAULT, STRICT], ids=lambda policy: policy.name)
def test_401_contains_accept_signature_if_configured(policy: SignaturePolicy) -> None:
    assert GuardedServer("required").get(ALICE).headers.get("accept-signature") is None
    ground = GuardedServer("required", accept_signature=True, signatures=policy)
    refusal = ground.get(ALICE)
    challenges = read_challenges(refusal.headers.get("accept-signature") or "")
    request = Request("GET", ALICE, AP)
    unsigned = answer(request, challenges, key_id=ground.bob.key_id, now=ground.clock.now())
    assert unsigned is not None
    assert ground.send(unsigned.attach(ground.bob.key.sign(unsigned.data))).status == 200
    assert ground.get(f"{HERE}/users/nobody", ground.bob).headers.get("accept-signature") is None


def test_401_of_an_inbox_contains_accept_signature_if_configured() -> None:
    ground = GuardedServer(accept_signature=True)
    body = json.dumps(ground.bob.activity("Follow", object=ALICE)).encode()
    refusal = ground.send(
        Request("POST", f"{ALICE}/inbox", Headers({"Content-Type": "application/activity+json"}), body)
    )
    [challenge] = read_challenges(refusal.headers.get("accept-signature") or "")
    assert refusal.status == 401
    assert "content-digest" in [item.value for item in challenge.components]


def test_accept_signature_without_rfc_9421_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="RFC 9421"):
        Federation(accept_signature=True, signatures=evolve(DEFAULT, schemes=frozenset({"cavage"})))


def test_refusal_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    ground = GuardedServer("required")
    with caplog.at_level("INFO", logger="apcore.federation.serving.serve"):
        ground.send(invalid_request(ground, ALICE, "of another's key"))
    assert "refused at /users/alice: bad-signature:" in caplog.text


# --- invalid signatures ---------------------------------------------------------------------------------------------


def with_url(request: Request, url: str) -> Request:
    return Request("GET", url, request.headers)


def invalid_request(ground: GuardedServer, url: str, fault: str) -> Request:
    request = ground.bob.sign(Request("GET", url, AP))
    if fault == "of another URL":
        return with_url(request, f"{HERE}/articles/1")
    if fault == "of yesterday":
        ground.clock.at += timedelta(days=1)
    if fault == "of another's key":
        key = ground.carol.key.renamed(key_id=ground.bob.key_id, owner=BOB)
        return cavage.sign(Request("GET", url, AP), key, now=ground.clock.now())
    if fault == "of an unavailable key":
        ground.network.down.add("https://remote.example")
    if fault == "nonsense":
        return Request("GET", url, AP.with_set("signature", 'keyId="x'))
    return request


INVALID_SIGNATURES = {
    "of another URL": 401,
    "of yesterday": 401,
    "of another's key": 401,
    "of an unavailable key": 503,
    "nonsense": 400,
}


@pytest.mark.parametrize(("fault", "status"), INVALID_SIGNATURES.items(), ids=INVALID_SIGNATURES)
def test_invalid_signature_is_refused_with_its_reason_if_required(fault: str, status: int) -> None:
    ground = GuardedServer("required")
    answer = ground.send(invalid_request(ground, ALICE, fault))
    assert answer.status == status
    assert json.loads(answer.body)["reason"] != "signature-missing"
    assert (answer.headers.get("retry-after") is not None) is (status == 503)


@pytest.mark.parametrize("fault", INVALID_SIGNATURES)
def test_invalid_signature_counts_as_none_if_optional(fault: str) -> None:
    ground = GuardedServer(blocks=True)
    request = invalid_request(ground, f"{ALICE}/outbox", fault)
    answer = ground.send(with_url(request, ALICE) if fault == "of another URL" else request)
    assert (answer.status, is_private(answer)) == (200, True)
    assert ground.judged_viewers == [None]


def test_signature_without_the_query_does_not_cover_a_url_with_query() -> None:
    """Sign only the path, as draft-cavage allows: the signature does not authorise other queries."""
    ground = GuardedServer("required")
    plain = ground.bob.sign(Request("GET", f"{ALICE}/outbox", AP))
    assert ground.send(plain).status == 200
    for query in ("page=true", "page=true&cursor=x", ""):
        answer = ground.send(with_url(plain, f"{ALICE}/outbox?{query}"))
        assert status_and_reason(answer) == (401, "bad-signature")
    assert ground.get(f"{ALICE}/outbox?page=true", ground.bob).status == 200


def test_page_urls_work_with_signatures_over_the_path_alone() -> None:
    """Request the first page, which has no query: Takahe, microblog.pub and Misskey sign only the path."""
    ground = GuardedServer("required")
    first = json.loads(ground.get(f"{ALICE}/outbox", ground.bob).body)["first"]
    assert ground.get(first, ground.bob).status == 200
    assert status_and_reason(ground.get(first)) == (401, "signature-missing")
    other = ground.bob.sign(Request("GET", f"{ALICE}/outbox", AP))
    assert status_and_reason(ground.send(with_url(other, first))) == (401, "bad-signature")


STRICT_SERVER = GuardedServer("required", blocks=True)
WORDS = st.sampled_from(
    [
        "sig1=",
        "sig2",
        '("@method" "@target-uri")',
        ";created=1767268800",
        f';keyid="{BOB}#main-key"',
        ":AAAA:",
        ", ",
        "(",
        '"',
    ]
)
CAVAGE = st.sampled_from(
    [
        f'keyId="{BOB}#main-key"',
        'headers="(request-target) host date"',
        'signature="AAAA"',
        'algorithm="hs2019"',
        ",",
        "=",
        "é",
    ]
)


@given(
    url=st.sampled_from([*DOCUMENTS.values(), f"{HERE}/notes/1", f"{ALICE}/featured"]),
    signature=st.one_of(st.lists(CAVAGE, max_size=8).map("".join), st.lists(WORDS, max_size=6).map("".join)),
    signature_input=st.none() | st.lists(WORDS, max_size=8).map("".join),
)
def test_any_text_in_place_of_a_signature_is_refused(url: str, signature: str, signature_input: str | None) -> None:
    headers = AP.with_set("signature", signature)
    headers = headers if signature_input is None else headers.with_set("signature-input", signature_input)
    answer = STRICT_SERVER.send(Request("GET", url, headers))
    assert answer.status in {400, 401, 503}
    assert "reason" in json.loads(answer.body)


# --- predicates -----------------------------------------------------------------------------------------------------


def test_blocked_viewer_sees_nothing_of_an_actor() -> None:
    ground = GuardedServer(blocks=True)
    post = ground.node.publish(Note(content="hi"), by="alice")
    for url, reason in (
        (ALICE, "no-such-actor"),
        (f"{ALICE}/outbox", "no-such-collection"),
        (f"{ALICE}/outbox?page=true", "no-such-collection"),
        (f"{ALICE}/followers", "no-such-collection"),
        (post, "no-such-object"),
    ):
        assert status_and_reason(ground.get(url, ground.carol)) == (404, reason)
        for by in (None, ground.bob):
            answer = ground.get(url, by)
            assert (answer.status, is_private(answer)) == (200, True)
    assert set(ground.judged_viewers) == {None, BOB, CAROL}


HIDDEN = {
    "an actor": (f"{HERE}/users/alice", f"{HERE}/users/nobody", "carol"),
    "an object": (f"{HERE}/notes/1", f"{HERE}/notes/2", "carol"),
    "a collection": (f"{ALICE}/featured", f"{HERE}/users/nobody/featured", None),
    "a post": ("", f"{ALICE}/objects/nothing", "carol"),
    "a post, unsigned": ("", f"{ALICE}/objects/nothing", None),
    "an object, unsigned": (f"{HERE}/notes/1", f"{HERE}/notes/2", None),
}


@pytest.mark.hole(16)
@pytest.mark.parametrize(("hidden_url", "missing_url", "viewer"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_hidden_document_is_answered_like_a_missing_one(
    hidden_url: str, missing_url: str, viewer: str | None, mode: str
) -> None:
    ground = GuardedServer(mode, blocks=True)
    hidden_url = hidden_url or ground.publish(BOB)
    signer = ground.carol if viewer == "carol" else None
    hidden, missing = ground.get(hidden_url, signer), ground.get(missing_url, signer)
    assert hidden == missing
    assert hidden.status == (404 if signer else 401)


def test_objects_and_collections_have_their_own_predicates() -> None:
    ground = GuardedServer()
    assert is_private(ground.get(f"{HERE}/notes/1", ground.bob))
    assert ground.get(f"{HERE}/notes/1", ground.carol).status == 404
    assert is_private(ground.get(f"{ALICE}/featured", ground.carol))
    assert ground.get(f"{ALICE}/featured").status == 401
    assert not is_private(ground.get(ALICE))


def test_predicate_of_the_actor_also_holds_for_its_collections() -> None:
    ground = GuardedServer(blocks=True)
    assert ground.get(f"{ALICE}/featured", ground.bob).status == 200
    assert ground.get(f"{ALICE}/featured", ground.carol).status == 404


async def async_predicate(ctx: Any, identifier: str, viewer: str | None) -> bool:
    return viewer == BOB


@operation
def operation_predicate(ctx: Any, identifier: str, viewer: str | None) -> Op[bool]:
    return (yield from ctx.contains(f"{HERE}/friends", viewer or ""))


@pytest.mark.parametrize("handler_kind", [async_predicate, operation_predicate])
def test_predicate_may_be_a_coroutine_or_an_operation(handler_kind: Any) -> None:
    import asyncio

    ground = GuardedServer()
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}", authorize=handler_kind)(lambda ctx, identifier: Person())
    statuses = []

    async def main() -> None:
        async with AsyncNode(federation, HERE, ground.store, transport=ground.network, signer=ReusedKeys()) as node:
            for peer in (ground.bob, ground.carol):
                peer.transport = PeerNetwork()  # type: ignore[misc]
                served = await node.handle(peer.sign(Request("GET", ALICE, AP)))
                assert isinstance(served, Response)
                statuses.append(served.status)

    asyncio.run(main())
    assert statuses == ([200, 404] if handler_kind is async_predicate else [404, 404])


@pytest.mark.parametrize(
    "register",
    [
        lambda f: f.actor("/u/{identifier}", authorize=lambda ctx: True)(lambda ctx, identifier: None),
        lambda f: f.object(Note, "/n/{number}", authorize=lambda: True)(lambda ctx, number: None),
        lambda f: f.object(Note, "/n/{number}", authorize=lambda ctx, viewer: True)(lambda ctx, number: None),
        lambda f: f.collection("x", "/x/{identifier}", authorize=lambda ctx: True)(
            lambda ctx, identifier, cursor: None
        ),
        lambda f: Federation(authorized_fetch="on"),  # type: ignore[arg-type]
    ],
    ids=["actor", "object without context", "object without values", "collection", "mode"],
)
def test_malformed_predicate_is_refused_at_registration(register: Any) -> None:
    with pytest.raises(ConfigurationError):
        register(Federation())


def test_coroutine_predicate_is_refused_by_a_blocking_node() -> None:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}", authorize=async_predicate)(lambda ctx, identifier: Person())
    with pytest.raises(ConfigurationError, match="async_predicate is an async def"):
        Node(federation, HERE)


def test_collection_registered_before_its_actor_keeps_its_predicate() -> None:
    federation: Federation[None] = Federation()
    federation.collection("followers", authorize=lambda ctx, identifier, viewer: False)(
        lambda ctx, identifier, cursor: PageItems([], None)
    )
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    served = Node(federation, HERE).handle(Request("GET", f"{ALICE}/followers", AP))
    assert isinstance(served, Response)
    assert served.status == 401


# --- posts for some viewers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_post_is_visible_only_to_its_recipients(mode: str) -> None:
    ground = GuardedServer(mode)
    ident = ground.publish(BOB)
    answer = ground.get(ident, ground.bob)
    assert (json.loads(answer.body)["content"], is_private(answer)) == ("hi", True)
    assert status_and_reason(ground.get(ident, ground.carol)) == (404, "no-such-object")
    assert status_and_reason(ground.get(ident)) == (401, "signature-missing")


def test_post_for_followers_is_visible_to_followers() -> None:
    ground = GuardedServer("optional")
    ident = ground.publish(f"{ALICE}/followers")
    assert ground.get(ident, ground.bob).status == 404
    assert ground.bob.deliver(ground.node, ground.bob.activity("Follow", object=ALICE)).status == 202
    ground.node.work(until_idle=True)
    assert ground.get(ident, ground.bob).status == 200
    assert ground.get(ident, ground.carol).status == 404


def test_public_post_needs_no_key_and_is_cacheable() -> None:
    ground = GuardedServer("optional")
    ident = ground.node.publish(Note(content="hi"), by="alice")
    ground.effects.clear()
    assert not is_private(ground.get(ident, ground.bob))
    assert ground.count_fetches() == 0


def test_private_post_is_hidden_from_its_recipients_in_mode_off() -> None:
    ground = GuardedServer("off")
    ident = ground.publish(BOB)
    assert (
        status_and_reason(ground.get(ident, ground.bob))
        == status_and_reason(ground.get(ident))
        == (404, "no-such-object")
    )
    assert ground.count_fetches() == 0


LIMITED = {"direct": {"to": [BOB]}, "followers": {"cc": [f"{ALICE}/followers"]}, "a group": {"audience": [BOB]}}


def serve_note(mode: str, audience: dict[str, list[str]]) -> GuardedServer:
    """Return a server with a handler, and without a predicate, for a note at ``/pages/1``. Bob follows Alice."""
    ground = GuardedServer(mode)
    federation: Federation[None] = Federation(software="test/1.0", authorized_fetch=mode)  # type: ignore[arg-type]
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    federation.object(Page, "/pages/{number}")(
        lambda ctx, number: Page(attributed_to=CAROL, **audience) if number == "1" else None
    )
    ground.node = Node(federation, HERE, ground.store, transport=ground.network, signer=ReusedKeys())
    ground.network.clock = ground.node.ports.runtime.now  # type: ignore[misc]
    ground.node.append(f"{ALICE}/followers", BOB)
    return ground


@pytest.mark.parametrize("audience", LIMITED.values(), ids=LIMITED)
def test_object_of_a_handler_is_served_to_its_audience_alone(audience: dict[str, list[str]]) -> None:
    ground = serve_note("optional", audience)
    stranger = ground.network.peer("https://fourth.example/users/dan")
    hidden, missing = f"{HERE}/pages/1", f"{HERE}/pages/2"
    for viewer in (ground.bob, ground.carol):
        answer = ground.get(hidden, viewer)
        assert (answer.status, is_private(answer)) == (200, True)
    for viewer in (stranger, None):
        assert ground.get(hidden, viewer) == ground.get(missing, viewer)
        assert ground.get(hidden, viewer).status == 404


@pytest.mark.parametrize("audience", LIMITED.values(), ids=LIMITED)
def test_limited_object_of_a_handler_is_hidden_in_mode_off(audience: dict[str, list[str]]) -> None:
    ground = serve_note("off", audience)
    assert ground.get(f"{HERE}/pages/1", ground.bob) == ground.get(f"{HERE}/pages/2", ground.bob)
    assert ground.get(f"{HERE}/pages/1", ground.bob).status == 404


@pytest.mark.parametrize("audience", [{}, {"to": [PUBLIC]}, {"to": [BOB], "cc": [PUBLIC]}], ids=str)
@pytest.mark.parametrize("mode", ["off", "optional"])
def test_other_objects_of_a_handler_are_served_to_everyone(mode: str, audience: dict[str, list[str]]) -> None:
    answer = serve_note(mode, audience).get(f"{HERE}/pages/1")
    assert (answer.status, is_private(answer)) == (200, False)


# --- two guarded servers --------------------------------------------------------------------------------------------


def build_guarded_node(origin: str, network: PeerNetwork, clock: Clock, followers: list[str]) -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0", authorized_fetch="required")

    @federation.actor("/users/{identifier}", authorize=lambda ctx, identifier, viewer: viewer is not None)
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username="alice") if identifier == "alice" else None

    @federation.on(Follow)
    def record_follower(ctx: Any, follow: Follow) -> None:
        followers.append(follow.actor.uri)

    store = MemoryStore(clock=clock.seconds)
    node = Node(federation, origin, store, transport=network, signer=ReusedKeys(), runtime=clock)
    network.join(node)
    return node


def test_two_servers_that_require_signatures_can_start_to_federate() -> None:
    clock, followers = Clock(), []
    network = PeerNetwork(clock=clock.now)
    first, second = (build_guarded_node(f"https://{name}.example", network, clock, followers) for name in "ab")
    document = first.reference("https://b.example/users/alice").resolve()
    assert document.id == "https://b.example/users/alice"
    first.send(Follow(object="https://b.example/users/alice"), by="alice", to="https://b.example/users/alice")
    for _ in range(3):
        first.work(until_idle=True)
        second.work(until_idle=True)
    assert followers == ["https://a.example/users/alice"]
    assert {exchange.status for exchange in network.exchanges} == {200, 202}
    actor_fetches = [exchange.url for exchange in network.exchanges if exchange.url.endswith("/actor")]
    assert sorted(actor_fetches) == ["https://a.example/actor", "https://b.example/actor"], (
        "an instance actor was fetched more than once"
    )
