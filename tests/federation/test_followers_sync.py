"""Check the synchronisation of followers (FEP-8fcf): the header, the partial collection, and the changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from apcore.collections import Member, PageItems, add_member, remove_member
from apcore.effects import commit_batch
from apcore.federation import Federation
from apcore.federation.followers_sync import FIELD, FOLLOWERS_MAX, FollowersState, followers_at, followers_digest
from apcore.federation.inbox.synchronize import OWN_FOLLOWERS_MAX
from apcore.federation.relations.records import RELATIONS, RelationKey, RelationRecord
from apcore.federation.relations.table import Direction
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import Batch
from apcore.signatures import DEFAULT, cavage, parse_all
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Create, Note, Person

A, B = "https://a.example", "https://b.example"
ALICE = f"{A}/users/alice"
FOLLOWERS = f"{ALICE}/followers"
PARTIAL = f"{FOLLOWERS}/synchronization"
BOB, BEA = f"{B}/users/bob", f"{B}/users/bea"
ZEROS = "0" * 64


def make_node(network: PeerNetwork, origin: str, names: set[str], **options: Any) -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0", **options)

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier in names else None

    federation.on(Create)(lambda ctx, activity: None)
    node = Node(federation, origin, "memory:", transport=network, signer=ReusedKeys(), slots=0)
    network.join(node)
    return node


class Pair:
    """Two servers: that of Alice, and that of her followers Bob and Bea. Carol is a peer that follows her too."""

    def __init__(self, **options: Any) -> None:
        self.network = PeerNetwork()
        self.carol = self.network.peer("https://third.example/users/carol")
        self.a = make_node(self.network, A, {"alice"}, **options)
        self.b = make_node(self.network, B, {"bob", "bea"})
        for name in ("bob", "bea"):
            self.b.follow(ALICE, by=name)
        self.deliver(self.carol, self.carol.activity("Follow", object=ALICE))
        self.work()
        self.carol.received.clear()

    def deliver(self, peer: Peer, activity: Any) -> None:
        assert peer.deliver(self.a, activity).status == 202

    def work(self) -> None:
        for _ in range(4):
            for node in (self.a, self.b):
                node.work(until_idle=True)

    def close(self) -> None:
        self.a.close()
        self.b.close()

    def following(self) -> list[str]:
        return [name for name in ("bob", "bea") if self.b.contains(f"{B}/users/{name}/following", ALICE)]

    def followers(self) -> set[str]:
        return set(self.a.members(FOLLOWERS).items)

    def forget(self, node: Node[None], collection: str, item: str) -> None:
        """Remove a member as a restored database would: without any activity."""
        batch = node.run(remove_member(collection, item))
        assert node.run(commit_batch(batch))

    def add(self, node: Node[None], collection: str, item: str) -> None:
        assert node.run(commit_batch(add_member(collection, Member(item), order="0")))


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


# --- the header ------------------------------------------------------------------------------------------------------


def test_digest_is_the_xor_of_the_digests_of_the_ids() -> None:
    digests = [int(sha256(one.encode()).hexdigest(), 16) for one in (BOB, BEA)]
    assert followers_digest([BOB, BEA]) == followers_digest([BEA, BOB]) == f"{digests[0] ^ digests[1]:064x}"
    assert followers_digest([]) == ZEROS
    assert followers_digest([BOB]) == sha256(BOB.encode()).hexdigest()


def test_header_is_read_as_it_is_written() -> None:
    state = FollowersState(FOLLOWERS, PARTIAL, ZEROS)
    assert FollowersState.parse(state.text) == state
    assert FollowersState.parse(f'digest="{ZEROS}",url="{PARTIAL}" , collectionId="{FOLLOWERS}", more="x"') == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "collectionId=1",
        f'collectionId="{FOLLOWERS}", url="{PARTIAL}"',
        f'collectionId="{FOLLOWERS}", url="{PARTIAL}", digest="{ZEROS[:-1]}"',
        f'collectionId="{FOLLOWERS}", url="{PARTIAL}", digest="{ZEROS}", digest="{ZEROS}"',
        f'collectionId="{FOLLOWERS}" url="{PARTIAL}" digest="{ZEROS}"',
        '"' * 4000,
        'a="' * 1000,
    ],
)
def test_malformed_header_is_no_header(text: str) -> None:
    assert FollowersState.parse(text) is None


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_delivery_for_followers_has_a_signed_header(scheme: Any) -> None:
    pair = Pair(signature_scheme=scheme)
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    [arrival] = pair.carol.received
    state = FollowersState.parse(arrival.request.headers.get(FIELD) or "")
    assert state == FollowersState(FOLLOWERS, PARTIAL, followers_digest([pair.carol.actor]))
    [presented] = parse_all(arrival.request, DEFAULT, now=pair.network.clock())
    assert {FIELD, f'"{FIELD}"'} & {*presented.covered}
    pair.close()


@pytest.mark.parametrize("to", [PUBLIC, "https://third.example/users/carol"], ids=["public", "direct"])
def test_other_deliveries_have_no_header(pair: Pair, to: str) -> None:
    pair.a.publish(Note(content="hi"), by="alice", to=to)
    pair.work()
    [arrival] = pair.carol.received
    assert FIELD not in arrival.request.headers


def test_server_without_followers_gets_no_header(pair: Pair) -> None:
    dan = pair.network.peer("https://fourth.example/users/dan")
    pair.a.publish(Note(content="hi"), by="alice", to=[FOLLOWERS, dan.actor])
    pair.work()
    assert FIELD in pair.carol.received[0].request.headers
    assert FIELD not in dan.received[0].request.headers


def test_followers_of_the_application_are_not_synchronised() -> None:
    network = PeerNetwork()
    carol = network.peer("https://third.example/users/carol")
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    federation.collection("followers")(lambda ctx, identifier, cursor: PageItems([carol.actor]))
    with Node(federation, A, "memory:", transport=network, signer=ReusedKeys(), slots=0) as node:
        network.join(node)
        node.publish(Note(content="hi"), by="alice", to=FOLLOWERS)
        node.work(until_idle=True)
        assert FIELD not in carol.received[0].request.headers
        assert get(node, carol).status == 404


# --- the partial collection ------------------------------------------------------------------------------------------


def get(node: Node[None], signer: Peer | None, url: str = PARTIAL) -> Response:
    request = Request("GET", url, Headers({"Accept": "application/activity+json"}))
    answer = node.handle(request if signer is None else signer.sign(request))
    assert isinstance(answer, Response)
    return answer


def test_server_gets_its_own_followers_only(pair: Pair) -> None:
    answer = get(pair.a, pair.carol)
    assert answer.status == 200
    document = json.loads(answer.body)
    assert (document["id"], document["type"]) == (PARTIAL, "OrderedCollection")
    assert document["orderedItems"] == [pair.carol.actor]
    assert "private" in (answer.headers.get("cache-control") or "")
    stranger = pair.network.peer("https://fourth.example/users/dan")
    assert json.loads(get(pair.a, stranger).body)["orderedItems"] == []


def test_unsigned_request_gets_nothing(pair: Pair) -> None:
    assert get(pair.a, None).status == 401


def test_unknown_actor_has_no_followers(pair: Pair) -> None:
    assert get(pair.a, pair.carol, f"{A}/users/nobody/followers/synchronization").status == 404


# --- the changes -----------------------------------------------------------------------------------------------------


def test_equal_followers_cost_no_request(pair: Pair) -> None:
    pair.network.exchanges.clear()
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    assert PARTIAL not in [exchange.url for exchange in pair.network.exchanges]
    assert pair.following() == ["bob", "bea"]


def test_follower_that_the_sender_has_lost_stops_following(pair: Pair) -> None:
    pair.forget(pair.a, FOLLOWERS, BOB)
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    assert pair.following() == ["bea"]


def test_follower_that_does_not_follow_any_more_is_undone_at_the_sender(pair: Pair) -> None:
    unknown = f"{B}/users/unknown"
    pair.forget(pair.b, f"{BOB}/following", ALICE)
    pair.add(pair.a, FOLLOWERS, unknown)
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    # An actor that does not exist cannot send an Undo.
    assert pair.followers() == {BEA, unknown, pair.carol.actor}


def test_changes_that_follow_soon_are_seen_too(pair: Pair) -> None:
    """The list is fetched anew each time, although a copy may be cached for three minutes."""
    for name in ("bob", "bea"):
        pair.forget(pair.b, f"{B}/users/{name}/following", ALICE)
        pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
        pair.work()
        assert f"{B}/users/{name}" not in pair.followers()


@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_followers_agree_in_both_signature_schemes(scheme: Any) -> None:
    pair = Pair(signature_scheme=scheme)
    pair.forget(pair.a, FOLLOWERS, BOB)
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    assert pair.following() == ["bea"]
    pair.close()


def test_request_that_waits_for_its_accept_stays(pair: Pair) -> None:
    pair.network.down.add(A)
    pair.b.unfollow(ALICE, by="bob")
    pair.b.work(until_idle=True)
    pair.b.follow(ALICE, by="bob")
    pair.b.work(until_idle=True)
    pair.network.down.clear()
    pair.a.publish(Note(content="for followers"), by="alice", to=FOLLOWERS)
    pair.work()
    assert BOB in pair.followers()


def header_request(pair: Pair, state: FollowersState, *, covered: bool = True) -> Request:
    """Make Carol's delivery to the second server, with a header of her choice."""
    note = {"id": "https://third.example/n", "type": "Note", "attributedTo": pair.carol.actor}
    body = json.dumps(pair.carol.activity("Create", object=note)).encode()
    fields = {"Content-Type": "application/activity+json", FIELD: state.text}
    request = Request("POST", f"{B}/inbox", Headers(fields), body)
    names = (*cavage.POST_COVERED, FIELD) if covered else cavage.POST_COVERED
    return cavage.sign(request, pair.carol.key, now=pair.network.clock(), covered=names)


CAROLS = "https://third.example/users/carol/followers"
LIST = f"{CAROLS}/list"


@pytest.fixture
def followed(pair: Pair) -> Pair:
    """Let Bob follow Carol. Her server says now that he does not."""
    carol = Peer("https://third.example/users/carol2", network=pair.network, members={"followers": CAROLS})
    pair.carol = carol
    follow_id = pair.b.follow(carol.actor, by="bob")
    pair.work()
    assert carol.deliver(pair.b, carol.activity("Accept", object=follow_id)).status == 202
    pair.work()
    assert pair.b.contains(f"{BOB}/following", carol.actor)
    serve_list(pair, [])
    return pair


def serve_list(pair: Pair, ids: list[str], **members: Any) -> None:
    context = "https://www.w3.org/ns/activitystreams"
    document = {"@context": context, "id": LIST, "type": "OrderedCollection", "orderedItems": ids}
    pair.carol.serve(LIST, document | members)


def still_follows(pair: Pair, state: FollowersState, *, covered: bool = True) -> bool:
    answer = pair.b.handle(header_request(pair, state, covered=covered))
    assert isinstance(answer, Response)
    assert answer.status == 202
    pair.work()
    return pair.b.contains(f"{BOB}/following", pair.carol.actor)


def test_signed_header_ends_a_follow(followed: Pair) -> None:
    assert not still_follows(followed, FollowersState(CAROLS, LIST, ZEROS))


IGNORED: dict[str, tuple[FollowersState, bool]] = {
    "not covered by the signature": (FollowersState(CAROLS, LIST, ZEROS), False),
    "another collection": (FollowersState(f"{CAROLS}2", LIST, ZEROS), True),
    "a list on another origin": (FollowersState(CAROLS, PARTIAL, ZEROS), True),
    "a list that is not there": (FollowersState(CAROLS, f"{LIST}2", ZEROS), True),
    "a list with another digest": (FollowersState(CAROLS, LIST, "1" * 64), True),
}


@pytest.mark.parametrize(("state", "covered"), IGNORED.values(), ids=IGNORED)
def test_header_that_proves_nothing_changes_nothing(followed: Pair, state: FollowersState, covered: bool) -> None:
    assert still_follows(followed, state, covered=covered)


def test_list_with_pages_is_read_to_its_end(followed: Pair) -> None:
    others = [f"{B}/users/other{number}" for number in range(3)]
    pages = [f"{LIST}/{number}" for number in range(3)]
    serve_list(followed, [], orderedItems=None, first=pages[0])
    for number, page in enumerate(pages):
        members: dict[str, Any] = {"id": page, "type": "OrderedCollectionPage", "orderedItems": [others[number]]}
        members |= {"next": pages[number + 1]} if number < 2 else {}
        followed.carol.serve(page, {"@context": "https://www.w3.org/ns/activitystreams", **members})
    assert not still_follows(followed, FollowersState(CAROLS, LIST, followers_digest(others)))


# --- bounds ----------------------------------------------------------------------------------------------------------


def commit_all(node: Node[None], batches: list[Batch]) -> None:
    for start in range(0, len(batches), 25):
        assert node.run(commit_batch(sum(batches[start + 1 : start + 25], batches[start]).merged))


def test_very_many_followers_are_not_synchronised(pair: Pair) -> None:
    members = [Member(f"{B}/users/{number}") for number in range(FOLLOWERS_MAX)]
    commit_all(pair.a, [add_member(FOLLOWERS, member, order=f"{n:06d}") for n, member in enumerate(members)])
    assert get(pair.a, pair.carol).status == 404
    assert pair.a.run(followers_at(FOLLOWERS, B)) is None


def test_very_many_relations_with_one_actor_are_not_compared(followed: Pair) -> None:
    carol = followed.carol.actor
    puts: list[Batch] = []
    for number in range(OWN_FOLLOWERS_MAX):
        us = f"{B}/users/{number}"
        record = RelationRecord(direction="outbound", us=us, them=carol, members=f"{us}/following", state="pending")
        puts.append(Batch(writes=[RELATIONS.put(RelationKey.of(Direction.OUTBOUND, us, carol), record)]))
    commit_all(followed.b, puts)
    assert still_follows(followed, FollowersState(CAROLS, LIST, ZEROS))
