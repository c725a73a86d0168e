"""Authorised fetch: who asks is found out where it matters, who may not see a thing does not learn that it is there, and nobody is locked out for good."""

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
from apcore.vocab import Article, Follow, Note, Person, Tombstone
from inbox_fixture import BOB, CAROL, Clock

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
VARY = "Accept, Signature, Signature-Input"
AP = Headers({"Accept": "application/activity+json"})


class Guarded:
    """A server with peers who sign; alice has blocked Carol."""

    def __init__(
        self, mode: Any = "off", *, blocks: bool = False, rules: DomainRules | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.network = PeerNetwork(clock=self.clock.now)
        self.bob, self.carol = self.network.peer(BOB), self.network.peer(CAROL)
        self.asked: list[Any] = []
        self.judged: list[Any] = []
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
            observer=lambda effect, place: self.asked.append(effect),
        )

    def _register(self, blocks: bool) -> None:
        def may_see(ctx: Any, identifier: str, viewer: str | None) -> bool:
            self.judged.append(viewer)
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
        """Publish a note by alice, and answer its id."""
        return self.node.publish(Note(content="hi"), by="alice", to=to)

    def fetches(self) -> int:
        return len([effect for effect in self.asked if isinstance(effect, Fetch)])


def said(answer: Response) -> tuple[int, str | None]:
    return answer.status, json.loads(answer.body).get("reason") if answer.status >= 400 else None


def is_private(answer: Response) -> bool:
    vary, caching = answer.headers.get("vary"), answer.headers.get("cache-control") or ""
    private = vary == VARY
    assert vary in {VARY, "Accept"}
    assert caching == ("private, max-age=180" if private else "public, max-age=180")
    return private


# --- off, and what is open in any mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "optional"])
@pytest.mark.parametrize("url", [ALICE, f"{ALICE}/outbox", f"{HERE}/articles/1"])
@pytest.mark.parametrize("signs", [False, True])
def test_where_it_does_not_matter_nobody_is_asked_who_they_are(mode: str, url: str, signs: bool) -> None:
    ground = Guarded(mode)
    answer = ground.get(url, ground.bob if signs else None)
    assert answer.status == 200
    assert not is_private(answer)
    assert ground.fetches() == 0


OPEN = [
    f"{HERE}/actor",
    f"{HERE}/.well-known/webfinger?resource=acct:alice@local.example",
    f"{HERE}/.well-known/host-meta",
    f"{HERE}/.well-known/nodeinfo",
    f"{HERE}/nodeinfo/2.1",
]


@pytest.mark.parametrize("mode", ["off", "optional", "required"])
@pytest.mark.parametrize("url", OPEN)
@pytest.mark.parametrize("signature", ["none", "nonsense", "of one whose key cannot be had"])
def test_how_to_find_us_and_the_instance_actor_are_for_everyone(mode: str, url: str, signature: str) -> None:
    ground = Guarded(mode, blocks=True)
    ground.network.down.add("https://remote.example")
    if signature == "nonsense":
        answer = ground.get(url, signature="nonsense", signature_input="nonsense")
    else:
        answer = ground.get(url, None if signature == "none" else ground.bob)
    assert answer.status == 200
    assert ground.fetches() == 0
    assert "signature" not in (answer.headers.get("vary") or "").lower()


# --- required -------------------------------------------------------------------------------------------------------

EVERYTHING = {
    "an actor": ALICE,
    "an actor that is gone": f"{HERE}/users/gone",
    "nobody": f"{HERE}/users/nobody",
    "a collection": f"{ALICE}/outbox",
    "a page": f"{ALICE}/outbox/page/first",
    "a page by its address of before": f"{ALICE}/outbox?page=true",
    "an object": f"{HERE}/articles/1",
    "no object": f"{HERE}/articles/2",
    "nothing published": f"{ALICE}/objects/nothing",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("url", EVERYTHING.values(), ids=EVERYTHING)
def test_without_a_signature_nothing_is_said(url: str, method: str) -> None:
    answer = Guarded("required").get(url, method=method)
    assert (answer.status, answer.headers.get("vary"), answer.headers.get("cache-control")) == (401, VARY, "no-store")
    assert answer.body == b"" or json.loads(answer.body)["reason"] == "signature-missing"


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize(
    ("url", "status"),
    list(zip(EVERYTHING.values(), [200, 410, 404, 200, 200, 200, 200, 404, 404], strict=True)),
    ids=EVERYTHING,
)
def test_who_signs_sees_what_there_is(url: str, status: int, scheme: Any) -> None:
    ground = Guarded("required")
    ground.bob.scheme = scheme
    answer = ground.get(url, ground.bob)
    assert answer.status == status
    assert answer.headers.get("vary") == VARY
    assert "public" not in (answer.headers.get("cache-control") or "")


def test_a_public_post_is_for_whoever_signs() -> None:
    ground = Guarded("required")
    ident = ground.node.publish(Note(content="hi"), by="alice")
    assert said(ground.get(ident)) == (401, "signature-missing")
    assert is_private(ground.get(ident, ground.carol))


def test_a_key_is_fetched_once_and_as_the_instance_actor() -> None:
    ground = Guarded("required")
    for _ in range(3):
        assert ground.get(ALICE, ground.bob).status == 200
    [fetch] = [effect for effect in ground.asked if isinstance(effect, Fetch)]
    assert f'keyId="{HERE}/actor#main-key"' in (fetch.request.headers.get("signature") or "")


def test_what_is_known_is_not_sent_again_to_who_may_see_it_alone() -> None:
    ground = Guarded("required")
    etag = ground.get(ALICE, ground.bob).headers.get("etag") or ""
    again = ground.get(ALICE, ground.bob, if_none_match=etag)
    assert (again.status, is_private(again)) == (304, True)
    assert ground.get(ALICE, if_none_match=etag).status == 401


def test_who_is_suspended_is_refused_whatever_is_asked_for() -> None:
    ground = Guarded("required", rules=DomainRules.suspending(["third.example"]))
    for url in EVERYTHING.values():
        assert said(ground.get(url, ground.carol)) == (403, "forbidden")
    assert ground.fetches() == 0


def test_strangers_who_name_keys_have_a_budget() -> None:
    ground = Guarded("required", budgets=Budgets(host=Rate(3, 0.001)))
    answers = []
    for number in range(10):
        peer = ground.network.peer(f"https://remote.example/users/{number}", key=reuse_key(BOB))
        answers.append(ground.get(ALICE, peer))
    assert [answer.status for answer in answers] == [200] * 3 + [503] * 7
    assert all(answer.headers.get("retry-after") for answer in answers[3:])
    assert ground.fetches() == 3
    assert ground.get(ALICE, ground.network.peer("https://remote.example/users/0", key=reuse_key(BOB))).status == 200


@pytest.mark.parametrize("policy", [DEFAULT, STRICT], ids=lambda policy: policy.name)
def test_a_401_tells_which_signature_would_do_if_it_is_to(policy: SignaturePolicy) -> None:
    assert Guarded("required").get(ALICE).headers.get("accept-signature") is None
    ground = Guarded("required", accept_signature=True, signatures=policy)
    refused = ground.get(ALICE)
    wanted = read_challenges(refused.headers.get("accept-signature") or "")
    request = Request("GET", ALICE, AP)
    unsigned = answer(request, wanted, key_id=ground.bob.key_id, now=ground.clock.now())
    assert unsigned is not None
    assert ground.send(unsigned.attach(ground.bob.key.sign(unsigned.data))).status == 200
    assert ground.get(f"{HERE}/users/nobody", ground.bob).headers.get("accept-signature") is None


def test_a_401_at_an_inbox_tells_it_too() -> None:
    ground = Guarded(accept_signature=True)
    body = json.dumps(ground.bob.activity("Follow", object=ALICE)).encode()
    refused = ground.send(
        Request("POST", f"{ALICE}/inbox", Headers({"Content-Type": "application/activity+json"}), body)
    )
    [wanted] = read_challenges(refused.headers.get("accept-signature") or "")
    assert refused.status == 401
    assert "content-digest" in [item.value for item in wanted.components]


def test_a_policy_that_does_not_take_rfc_9421_cannot_ask_for_it() -> None:
    with pytest.raises(ConfigurationError, match="RFC 9421"):
        Federation(accept_signature=True, signatures=evolve(DEFAULT, schemes=frozenset({"cavage"})))


def test_a_refusal_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    ground = Guarded("required")
    with caplog.at_level("INFO", logger="apcore.federation.serving.serve"):
        ground.send(spoiled(ground, ALICE, "of another's key"))
    assert "refused at /users/alice: bad-signature:" in caplog.text


# --- signatures that prove nothing ----------------------------------------------------------------------------------


def changed(request: Request, url: str) -> Request:
    return Request("GET", url, request.headers)


def spoiled(ground: Guarded, url: str, how: str) -> Request:
    request = ground.bob.sign(Request("GET", url, AP))
    if how == "of another address":
        return changed(request, f"{HERE}/articles/1")
    if how == "of yesterday":
        ground.clock.at += timedelta(days=1)
    if how == "of another's key":
        key = ground.carol.key.renamed(key_id=ground.bob.key_id, owner=BOB)
        return cavage.sign(Request("GET", url, AP), key, now=ground.clock.now())
    if how == "of a key that cannot be had":
        ground.network.down.add("https://remote.example")
    if how == "nonsense":
        return Request("GET", url, AP.with_set("signature", 'keyId="x'))
    return request


SPOILED = {
    "of another address": 401,
    "of yesterday": 401,
    "of another's key": 401,
    "of a key that cannot be had": 503,
    "nonsense": 400,
}


@pytest.mark.parametrize(("how", "status"), SPOILED.items(), ids=SPOILED)
def test_it_is_said_what_is_wrong_where_a_signature_is_needed(how: str, status: int) -> None:
    ground = Guarded("required")
    answer = ground.send(spoiled(ground, ALICE, how))
    assert answer.status == status
    assert json.loads(answer.body)["reason"] != "signature-missing"
    assert (answer.headers.get("retry-after") is not None) is (status == 503)


@pytest.mark.parametrize("how", SPOILED)
def test_a_signature_that_proves_nothing_is_as_good_as_none(how: str) -> None:
    ground = Guarded(blocks=True)
    request = spoiled(ground, f"{ALICE}/outbox", how)
    answer = ground.send(changed(request, ALICE) if how == "of another address" else request)
    assert (answer.status, is_private(answer)) == (200, True)
    assert ground.judged == [None]


def test_who_signs_the_path_has_not_asked_for_a_page() -> None:
    """draft-cavage as Mastodon reads it too: the query may be left out of what is signed, and then it is anybody's."""
    ground = Guarded("required")
    plain = ground.bob.sign(Request("GET", f"{ALICE}/outbox", AP))
    assert ground.send(plain).status == 200
    for query in ("page=true", "page=true&cursor=x", ""):
        answer = ground.send(changed(plain, f"{ALICE}/outbox?{query}"))
        assert said(answer) == (401, "bad-signature")
    assert ground.get(f"{ALICE}/outbox?page=true", ground.bob).status == 200


def test_who_signs_the_path_alone_has_asked_for_a_page_that_has_no_query() -> None:
    """Takahe, microblog.pub and the Misskey family leave the query out of what they sign."""
    ground = Guarded("required")
    first = json.loads(ground.get(f"{ALICE}/outbox", ground.bob).body)["first"]
    assert ground.get(first, ground.bob).status == 200
    assert said(ground.get(first)) == (401, "signature-missing")
    other = ground.bob.sign(Request("GET", f"{ALICE}/outbox", AP))
    assert said(ground.send(changed(other, first))) == (401, "bad-signature")


CAREFUL = Guarded("required", blocks=True)
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
    url=st.sampled_from([*EVERYTHING.values(), f"{HERE}/notes/1", f"{ALICE}/featured"]),
    signature=st.one_of(st.lists(CAVAGE, max_size=8).map("".join), st.lists(WORDS, max_size=6).map("".join)),
    signature_input=st.none() | st.lists(WORDS, max_size=8).map("".join),
)
def test_whatever_is_put_in_the_place_of_a_signature_opens_nothing(
    url: str, signature: str, signature_input: str | None
) -> None:
    headers = AP.with_set("signature", signature)
    headers = headers if signature_input is None else headers.with_set("signature-input", signature_input)
    answer = CAREFUL.send(Request("GET", url, headers))
    assert answer.status in {400, 401, 503}
    assert "reason" in json.loads(answer.body)


# --- predicates -----------------------------------------------------------------------------------------------------


def test_who_is_blocked_sees_nothing_of_an_actor() -> None:
    ground = Guarded(blocks=True)
    post = ground.node.publish(Note(content="hi"), by="alice")
    for url in (ALICE, f"{ALICE}/outbox", f"{ALICE}/outbox?page=true", f"{ALICE}/followers", post):
        assert said(ground.get(url, ground.carol)) == (404, "no-such-actor")
        for by in (None, ground.bob):
            answer = ground.get(url, by)
            assert (answer.status, is_private(answer)) == (200, True)
    assert set(ground.judged) == {None, BOB, CAROL}


HIDDEN = {
    "an actor": (f"{HERE}/users/alice", f"{HERE}/users/nobody", "carol"),
    "an object": (f"{HERE}/notes/1", f"{HERE}/notes/2", "carol"),
    "a collection": (f"{ALICE}/featured", f"{HERE}/users/nobody/featured", None),
    "a post": ("", f"{ALICE}/objects/nothing", "carol"),
    "a post, unsigned": ("", f"{ALICE}/objects/nothing", None),
    "an object, unsigned": (f"{HERE}/notes/1", f"{HERE}/notes/2", None),
}


@pytest.mark.hole(16)
@pytest.mark.parametrize(("there", "absent", "who"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_what_may_not_be_seen_is_answered_as_if_it_were_not_there(
    there: str, absent: str, who: str | None, mode: str
) -> None:
    ground = Guarded(mode, blocks=True)
    there = there or ground.publish(BOB)
    by = ground.carol if who == "carol" else None
    one, other = ground.get(there, by), ground.get(absent, by)
    assert one == other
    assert one.status == (404 if by else 401)


def test_objects_and_collections_have_predicates_of_their_own() -> None:
    ground = Guarded()
    assert is_private(ground.get(f"{HERE}/notes/1", ground.bob))
    assert ground.get(f"{HERE}/notes/1", ground.carol).status == 404
    assert is_private(ground.get(f"{ALICE}/featured", ground.carol))
    assert ground.get(f"{ALICE}/featured").status == 401
    assert not is_private(ground.get(ALICE))


def test_the_actors_predicate_holds_for_a_collection_with_one_of_its_own() -> None:
    ground = Guarded(blocks=True)
    assert ground.get(f"{ALICE}/featured", ground.bob).status == 200
    assert ground.get(f"{ALICE}/featured", ground.carol).status == 404


async def awaited(ctx: Any, identifier: str, viewer: str | None) -> bool:
    return viewer == BOB


@operation
def asking(ctx: Any, identifier: str, viewer: str | None) -> Op[bool]:
    return (yield from ctx.contains(f"{HERE}/friends", viewer or ""))


@pytest.mark.parametrize("handler_kind", [awaited, asking])
def test_a_predicate_has_any_colour(handler_kind: Any) -> None:
    import asyncio

    ground = Guarded()
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
    assert statuses == ([200, 404] if handler_kind is awaited else [404, 404])


@pytest.mark.parametrize(
    "register",
    [
        lambda f: f.actor("/u/{identifier}", authorize=lambda ctx, identifier: True)(lambda ctx, identifier: None),
        lambda f: f.object(Note, "/n/{number}", authorize=lambda ctx, number: True)(lambda ctx, number: None),
        lambda f: f.object(Note, "/n/{number}", authorize=lambda ctx, viewer: True)(lambda ctx, number: None),
        lambda f: f.collection("x", "/x/{identifier}", authorize=lambda ctx: True)(
            lambda ctx, identifier, cursor: None
        ),
        lambda f: Federation(authorized_fetch="on"),  # type: ignore[arg-type]
    ],
    ids=["actor", "object without viewer", "object without values", "collection", "mode"],
)
def test_what_cannot_be_asked_is_refused_at_registration(register: Any) -> None:
    with pytest.raises(ConfigurationError):
        register(Federation())


def test_a_coroutine_as_predicate_is_refused_by_a_blocking_node() -> None:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}", authorize=awaited)(lambda ctx, identifier: Person())
    with pytest.raises(ConfigurationError, match="awaited is an async def"):
        Node(federation, HERE)


def test_a_collection_that_is_registered_before_its_actor_keeps_its_predicate() -> None:
    federation: Federation[None] = Federation()
    federation.collection("followers", authorize=lambda ctx, identifier, viewer: False)(
        lambda ctx, identifier, cursor: PageItems([], None)
    )
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    served = Node(federation, HERE).handle(Request("GET", f"{ALICE}/followers", AP))
    assert isinstance(served, Response)
    assert served.status == 401


# --- what was published for some ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_who_is_named_sees_a_post_and_others_do_not(mode: str) -> None:
    ground = Guarded(mode)
    ident = ground.publish(BOB)
    answer = ground.get(ident, ground.bob)
    assert (json.loads(answer.body)["content"], is_private(answer)) == ("hi", True)
    assert said(ground.get(ident, ground.carol)) == (404, "no-such-actor")
    assert said(ground.get(ident)) == (401, "signature-missing")


def test_followers_see_what_is_for_followers() -> None:
    ground = Guarded("optional")
    ident = ground.publish(f"{ALICE}/followers")
    assert ground.get(ident, ground.bob).status == 404
    assert ground.bob.deliver(ground.node, ground.bob.activity("Follow", object=ALICE)).status == 202
    ground.node.work(until_idle=True)
    assert ground.get(ident, ground.bob).status == 200
    assert ground.get(ident, ground.carol).status == 404


def test_what_is_for_everyone_costs_no_key_and_may_be_shared() -> None:
    ground = Guarded("optional")
    ident = ground.node.publish(Note(content="hi"), by="alice")
    ground.asked.clear()
    assert not is_private(ground.get(ident, ground.bob))
    assert ground.fetches() == 0


def test_off_means_that_nobody_is_let_in() -> None:
    ground = Guarded("off")
    ident = ground.publish(BOB)
    assert said(ground.get(ident, ground.bob)) == said(ground.get(ident)) == (404, "no-such-actor")
    assert ground.fetches() == 0


# --- two careful servers --------------------------------------------------------------------------------------------


def careful(origin: str, network: PeerNetwork, clock: Clock, heard: list[str]) -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0", authorized_fetch="required")

    @federation.actor("/users/{identifier}", authorize=lambda ctx, identifier, viewer: viewer is not None)
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username="alice") if identifier == "alice" else None

    @federation.on(Follow)
    def followed(ctx: Any, follow: Follow) -> None:
        heard.append(follow.actor.uri)

    store = MemoryStore(clock=clock.seconds)
    node = Node(federation, origin, store, transport=network, signer=ReusedKeys(), runtime=clock)
    network.join(node)
    return node


def test_two_servers_that_demand_signatures_can_begin_to_talk() -> None:
    clock, heard = Clock(), []
    network = PeerNetwork(clock=clock.now)
    a, b = (careful(f"https://{name}.example", network, clock, heard) for name in "ab")
    document = a.reference("https://b.example/users/alice").resolve()
    assert document.id == "https://b.example/users/alice"
    a.send(Follow(object="https://b.example/users/alice"), by="alice", to="https://b.example/users/alice")
    for _ in range(3):
        a.work(until_idle=True)
        b.work(until_idle=True)
    assert heard == ["https://a.example/users/alice"]
    assert {exchange.status for exchange in network.exchanges} == {200, 202}
    asked = [exchange.url for exchange in network.exchanges if exchange.url.endswith("/actor")]
    assert sorted(asked) == ["https://a.example/actor", "https://b.example/actor"], "once each, then kept"
