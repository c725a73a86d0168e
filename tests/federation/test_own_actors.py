"""Aliases, Move and deletion of our own actors, by one call on a node or in a handler."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import pytest

from apcore import AsyncNode, Federation, FollowVerdict
from apcore.adapters.memory import MemoryStore
from apcore.drivers import Stepper
from apcore.effects import Commit, Op
from apcore.errors import ApcoreError, ContractError, Unavailable
from apcore.federation.outbox.send import act, commit_deletion
from apcore.federation.time_limits import SENT_KEPT_S
from apcore.federation.write_notes import PublishObject
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import MadeKey
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import Announce, Delete, Move, Note, Person, Tombstone, Update
from inbox_fixture import Clock

HERE = "https://local.example"
ALICE, CAROL = f"{HERE}/users/alice", f"{HERE}/users/carol"
NEW = "https://third.example/users/alice"


class RecordingKeys(ReusedKeys):
    """A signer that records the keys that it has to drop."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        self.dropped: list[str] = []

    def make_key(self, kind: Any, /) -> MadeKey:
        key = super().make_key(kind)
        self.made.append(key.name)
        return key

    def drop_key(self, key_name: str, /) -> bool:
        self.dropped.append(key_name)
        return True


class AccountServer:
    """A server with the actors alice and carol, a follower bob, and another account of alice on a third server."""

    def __init__(self, *, verdict: FollowVerdict = FollowVerdict.ACCEPT, aliases: Any = ALICE) -> None:
        self.clock = Clock()
        self.signer = RecordingKeys()
        self.network = PeerNetwork(clock=self.clock.now)
        self.store = MemoryStore(clock=self.clock.seconds)
        self.views: dict[str, Any] = {
            name: Person(preferred_username=name, name=f"{name} of here") for name in ("alice", "carol")
        }
        self.federation: Federation[None] = Federation(software="test/1.0")
        self.federation.follows(verdict)
        self.federation.actor("/users/{identifier}")(lambda ctx, identifier: self.views.get(identifier))
        self.act: Callable[[Any], object] = lambda ctx: None
        self.federation.on(Announce)(lambda ctx, announce: self.act(ctx))
        self.options: dict[str, Any] = {"transport": self.network, "signer": self.signer, "runtime": self.clock}
        self.node: Node[None] = Node(self.federation, HERE, self.store, slots=0, **self.options)
        self.network.join(self.node)
        self.bob = self.network.peer("https://remote.example/users/bob")
        self.new = self.network.peer(NEW, members={"alsoKnownAs": aliases})

    def receive(self, peer: Peer, type_name: str, **members: Any) -> None:
        assert peer.deliver(self.node, peer.activity(type_name, **members), to="alice").status == 202
        self.work()

    def work(self) -> None:
        for _ in range(4):
            _ = self.node.work(until_idle=True)

    def get(self, url: str, accept: str = "application/activity+json") -> Response:
        served = self.node.handle(Request("GET", url, Headers({"Accept": accept})))
        assert isinstance(served, Response)
        return served

    def document(self, url: str = ALICE) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.get(url).body)
        return document

    def run_in_handler(self, act: Callable[[Any], object]) -> None:
        self.act = act
        self.receive(self.bob, "Announce", object=f"{ALICE}/x")

    def entries(self) -> dict[Any, bytes]:
        return {entry.key: entry.value for entry in self.store.scan((), limit=1000)}


def received(peer: Peer, type_name: str) -> list[dict[str, Any]]:
    return [delivery.activity for delivery in peer.received if delivery.activity["type"] == type_name]


# --- aliases --------------------------------------------------------------------------------------------------------


def test_aliases_are_served_and_announced_by_an_update_with_the_whole_actor():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    ident = server.node.set_aliases("alice", [NEW, "https://fourth.example/alice"])
    server.work()
    assert server.document()["alsoKnownAs"] == [NEW, "https://fourth.example/alice"]
    [update] = received(server.bob, "Update")
    assert (update["id"], update["cc"]) == (ident, [f"{ALICE}/followers"])
    document = server.document()
    assert update["object"] == {name: value for name, value in document.items() if name != "@context"}
    assert all(context in update["@context"] for context in document["@context"])


def test_new_aliases_replace_stored_ones_and_stand_beside_those_of_the_handler():
    server = AccountServer()
    server.views["alice"] = Person(preferred_username="alice", also_known_as=["https://first.example/a"])
    _ = server.node.set_aliases("alice", [NEW])
    _ = server.node.set_aliases("alice", ["https://fourth.example/alice", "https://first.example/a"])
    assert server.document()["alsoKnownAs"] == ["https://first.example/a", "https://fourth.example/alice"]
    _ = server.node.set_aliases("alice", [])
    assert server.document()["alsoKnownAs"] == ["https://first.example/a"]


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        (["no address"], "aliases='no address' is not the address of an actor"),
        ([ALICE], "is the actor itself"),
        ([f"https://a.example/{number}" for number in range(21)], "21 aliases are too many: an actor has 20 at most"),
    ],
)
def test_unusable_aliases_are_refused_and_nothing_is_stored(aliases, message):
    server = AccountServer()
    before = server.entries()
    with pytest.raises(ValueError, match=message):
        _ = server.node.set_aliases("alice", aliases)
    assert server.entries() == before


# --- Move -----------------------------------------------------------------------------------------------------------


def test_move_is_sent_to_followers_and_served_as_moved_to():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    ident = server.node.move_actor("alice", NEW)
    server.work()
    assert server.document()["movedTo"] == NEW
    [move] = received(server.bob, "Move")
    assert (move["id"], move["actor"], move["object"], move["target"]) == (ident, ALICE, ALICE, NEW)
    assert move["to"] == [f"{ALICE}/followers"]


def test_moved_to_is_a_term_of_the_served_context():
    server = AccountServer()
    _ = server.node.move_actor("alice", NEW)
    contexts = server.document()["@context"]
    assert any(isinstance(context, dict) and "movedTo" in context for context in contexts)


@pytest.mark.parametrize(
    ("aliases", "target", "message"),
    [
        (None, NEW, "does not name https://local.example/users/alice in alsoKnownAs"),
        (CAROL, NEW, "does not name https://local.example/users/alice in alsoKnownAs"),
        (ALICE, f"{NEW}/missing", "cannot move to"),
        (ALICE, CAROL, "does not name"),
        (ALICE, f"{HERE}/users/nobody", "there is no actor 'nobody'"),
    ],
)
def test_move_to_an_account_that_does_not_confirm_it_is_refused_and_nothing_is_stored(aliases, target, message):
    server = AccountServer(aliases=aliases)
    server.receive(server.bob, "Follow", object=ALICE)
    with pytest.raises(ContractError, match=message):
        _ = server.node.move_actor("alice", target)
    server.work()
    assert "movedTo" not in server.document()
    assert not received(server.bob, "Move")


@pytest.mark.parametrize("target", ["no address", ALICE])
def test_move_to_no_other_account_is_refused(target):
    with pytest.raises(ValueError, match="target="):
        _ = AccountServer().node.move_actor("alice", target)


def test_move_sent_as_an_activity_is_checked_in_the_same_way():
    server = AccountServer(aliases=None)
    with pytest.raises(ContractError, match="in alsoKnownAs"):
        _ = server.node.send(Move(object=ALICE, target=NEW), by="alice", to=f"{ALICE}/followers")
    with pytest.raises(ContractError, match="exactly one target"):
        _ = server.node.send(Move(object=ALICE), by="alice", to=f"{ALICE}/followers")


def test_target_that_does_not_answer_is_no_refusal():
    server = AccountServer()
    server.network.down.add("https://third.example")
    with pytest.raises(Unavailable):
        _ = server.node.move_actor("alice", NEW)
    assert "movedTo" not in server.document()


def test_move_between_two_accounts_of_ours_moves_remote_and_local_followers():
    server = AccountServer()
    server.views["dora"] = Person(preferred_username="dora")
    server.receive(server.bob, "Follow", object=ALICE)
    _ = server.node.follow(ALICE, by="dora")
    _ = server.node.set_aliases("carol", [ALICE])
    server.work()
    _ = server.node.move_actor("alice", CAROL)
    server.work()
    assert server.node.members(f"{HERE}/users/dora/following").items == (CAROL,)
    assert server.node.members(f"{CAROL}/followers").items == (f"{HERE}/users/dora",)
    assert received(server.bob, "Move")[0]["target"] == CAROL


def test_move_is_taken_back_by_an_update():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    _ = server.node.move_actor("alice", NEW)
    _ = server.node.move_actor("alice", None)
    server.work()
    assert "movedTo" not in server.document()
    [update] = received(server.bob, "Update")
    assert "movedTo" not in update["object"]


def test_moved_to_of_the_handler_wins():
    server = AccountServer()
    _ = server.node.move_actor("alice", NEW)
    server.views["alice"] = Person(preferred_username="alice", moved_to="https://fourth.example/alice")
    assert server.document()["movedTo"] == "https://fourth.example/alice"


# --- deletion -------------------------------------------------------------------------------------------------------


def test_deleted_actor_is_gone_everywhere_whatever_the_handler_returns():
    server = AccountServer()
    note = server.node.publish(Note(content="hello"), by="alice")
    _ = server.node.delete_actor("alice")
    for view in (server.views["alice"], None):
        server.views["alice"] = view
        answer = server.get(ALICE)
        tombstone = json.loads(answer.body)
        assert (answer.status, tombstone["type"], tombstone["id"]) == (410, "Tombstone", ALICE)
        assert (tombstone["formerType"], tombstone["deleted"]) == ("Person", "2026-01-01T12:00:00Z")
        assert "publicKey" not in tombstone
        for url in (f"{ALICE}/outbox", f"{ALICE}/followers", f"{ALICE}/following?page=true", note):
            assert server.get(url).status == 410
            assert json.loads(server.get(url).body)["reason"] == "actor-gone"
        resource = "acct:alice@local.example"
        assert server.get(f"{HERE}/.well-known/webfinger?resource={resource}", "*/*").status == 410
        assert server.bob.deliver(server.node, server.bob.activity("Follow", object=ALICE), to="alice").status == 410


def test_delete_reaches_followers_followed_actors_and_those_who_asked_once_each():
    server = AccountServer(verdict=FollowVerdict.PENDING)
    erin, frank, gina = (server.network.peer(f"https://{name}.example/u") for name in ("erin", "frank", "gina"))
    server.receive(erin, "Follow", object=ALICE)
    server.receive(frank, "Follow", object=ALICE)
    _ = server.node.follow(server.new.actor, by="alice")
    for actor in (frank, gina):
        server.receive(actor, "Accept", object=server.node.follow(actor.actor, by="alice"))
    _ = server.node.accept_follow(frank.actor, by="alice")
    ident = server.node.delete_actor("alice")
    server.work()
    for peer in (erin, frank, gina, server.new):
        [delete] = received(peer, "Delete")
        assert (delete["id"], delete["actor"], delete["object"]) == (ident, ALICE, ALICE)
    assert not received(server.bob, "Delete")


@pytest.mark.parametrize(
    "ending",
    [
        lambda follow: ("Accept", {"object": follow}),
        lambda follow: ("Undo", {"object": {"type": "Accept", "actor": NEW, "object": follow}}),
        lambda follow: ("Reject", {"object": follow}),
    ],
    ids=["Accept", "Undo of the Accept", "Reject"],
)
@pytest.mark.parametrize("is_accepted", [False, True], ids=["pending", "accepted"])
def test_answer_that_is_processed_after_the_deletion_changes_no_relation(ending: Any, is_accepted: bool) -> None:
    """Otherwise the other actor may pass from one collection to the next while the Delete is planned."""
    server = AccountServer()
    follow = {"id": server.node.follow(NEW, by="alice"), "type": "Follow", "actor": ALICE, "object": NEW}
    server.work()  # the other server fetches our key while it can
    if is_accepted:
        server.receive(server.new, "Accept", object=follow)
    type_name, members = ending(follow)
    assert server.new.deliver(server.node, server.new.activity(type_name, **members), to="alice").status == 202
    _ = server.node.delete_actor("alice")
    server.work()
    assert server.node.members(f"{ALICE}/following").items == ((NEW,) if is_accepted else ())
    assert server.node.members(f"{ALICE}#own-follow-requests").items == (() if is_accepted else (NEW,))
    assert len(received(server.new, "Delete")) == 1


def test_deleted_actor_sends_and_publishes_nothing_more():
    server = AccountServer()
    _ = server.node.delete_actor("alice")
    attempts: list[Callable[[], object]] = [
        lambda: server.node.publish(Note(content="late"), by="alice"),
        lambda: server.node.follow(server.bob.actor, by="alice"),
        lambda: server.node.send(Announce(object=f"{HERE}/x"), by="alice", to=server.bob.actor),
        lambda: server.node.set_aliases("alice", [NEW]),
        lambda: server.node.move_actor("alice", NEW),
        lambda: server.node.move_actor("alice", None),
    ]
    for attempt in attempts:
        with pytest.raises(ContractError, match="'alice' is deleted, so it sends and publishes nothing any more"):
            attempt()
    with pytest.raises(ApcoreError, match="'alice' is deleted"):
        _ = server.node.rotate_keys("alice")


def test_second_deletion_does_nothing():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    assert server.node.delete_actor("alice") is not None
    assert server.node.delete_actor("alice") is None
    _ = server.node.send(Delete(object=ALICE), by="alice", to=server.bob.actor)
    server.work()
    assert len(received(server.bob, "Delete")) == 1


def test_unknown_actor_is_not_deleted_and_a_row_that_is_gone_does_not_prevent_the_deletion():
    server = AccountServer()
    with pytest.raises(ValueError, match="the federation has no such actor"):
        _ = server.node.delete_actor("nobody")
    server.receive(server.bob, "Follow", object=ALICE)
    del server.views["alice"]
    assert server.node.delete_actor("alice") is not None
    server.work()
    assert len(received(server.bob, "Delete")) == 1
    assert server.get(ALICE).status == 410


@pytest.mark.parametrize("when", ["before", "after"])
def test_deletion_that_breaks_off_anywhere_is_whole_or_absent_and_can_be_repeated(
    when: Literal["before", "after"],
) -> None:
    for sabotage in fault_loop(when=when):
        server = AccountServer()
        server.receive(server.bob, "Follow", object=ALICE)
        with suppress(Unavailable):
            _ = server.node.run(inject_failure(commit_deletion(server.node.site(), "alice"), sabotage))
        kinds = Counter(key[0] for key in server.entries())
        is_deleted = server.get(ALICE).status == 410
        assert (kinds["own-actor"], kinds["send"], kinds["keys-due"]) == ((1, 1, 1) if is_deleted else (0, 0, 0))
        assert (server.node.delete_actor("alice") is None) is is_deleted
        server.work()
        assert len(received(server.bob, "Delete")) == 1


def test_publication_that_a_deletion_overtakes_is_refused() -> None:
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)

    def publish_too_late() -> Op[None]:
        step = Stepper(act(server.node.site(), PublishObject(Note(content="late").document, "alice")))
        while step.wants is not None:
            if isinstance(step.wants, Commit):
                _ = server.node.delete_actor("alice")
            answer: object = yield step.wants
            step.resume(answer)

    with pytest.raises(ContractError, match="'alice' is deleted"):
        server.node.run(publish_too_late())
    server.work()
    assert len(received(server.bob, "Delete")) == 1
    assert not received(server.bob, "Create")


def test_local_followers_lose_the_deleted_actor():
    server = AccountServer()
    _ = server.node.follow(ALICE, by="carol")
    server.work()
    assert server.node.members(f"{CAROL}/following").items == (ALICE,)
    _ = server.node.delete_actor("alice")
    server.work()
    assert server.node.members(f"{CAROL}/following").items == ()


@pytest.mark.parametrize("is_down", [False, True])
def test_keys_sign_until_the_deliveries_have_ended_and_are_dropped_then(is_down):
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    alice_keys = [name for name in server.signer.made if name in str(server.entries())]
    if is_down:
        server.network.down.add("https://remote.example")
    _ = server.node.delete_actor("alice")
    for _ in range(48):
        server.work()
        server.clock.pass_s(3600)
    if is_down:
        server.network.down.clear()
        for _ in range(24):
            server.work()
            server.clock.pass_s(3600)
    assert len(received(server.bob, "Delete")) == 1
    assert not server.signer.dropped
    server.clock.pass_s(SENT_KEPT_S)
    server.work()
    assert len(server.signer.dropped) == 2
    assert set(server.signer.dropped) <= set(alice_keys)
    made_before = list(server.signer.made)
    assert server.get(ALICE).status == 410
    assert server.signer.made == made_before


def test_delete_that_is_sent_as_an_activity_deletes_the_actor():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)
    _ = server.node.send(Delete(object=ALICE), by="alice", to=f"{ALICE}/followers")
    assert server.get(ALICE).status == 410
    server.work()
    assert len(received(server.bob, "Delete")) == 1


def test_tombstone_of_the_handler_gives_the_former_type():
    server = AccountServer()
    server.views["alice"] = Tombstone(former_type="Service")
    _ = server.node.delete_actor("alice")
    assert server.document()["formerType"] == "Service"


# --- several actors, contexts, and the update by name ---------------------------------------------------------------


@pytest.mark.parametrize("activity", [Delete(object=CAROL), Update(object=CAROL), Move(object=CAROL, target=NEW)])
def test_actor_cannot_change_another_actor_of_the_same_server(activity):
    server = AccountServer()
    before = server.entries()
    with pytest.raises(ContractError, match=f"'alice' must not change {CAROL}"):
        _ = server.node.send(activity, by="alice", to=f"{ALICE}/followers")
    assert server.entries() == before
    assert server.get(CAROL).status == 200


def test_update_that_names_the_actor_gets_its_document():
    server = AccountServer()
    _ = server.node.send(Update(object=ALICE), by="alice", to=server.bob.actor)
    server.work()
    [update] = received(server.bob, "Update")
    assert update["object"]["name"] == "alice of here"


def test_update_with_a_document_is_sent_as_it_is():
    server = AccountServer()
    _ = server.node.send(Update(object=Person(id=ALICE, name="mine")), by="alice", to=server.bob.actor)
    server.work()
    assert received(server.bob, "Update")[0]["object"]["name"] == "mine"


def test_handler_changes_actors_in_its_own_commit():
    server = AccountServer()
    server.receive(server.bob, "Follow", object=ALICE)

    def move_and_fail(ctx: Any) -> None:
        _ = ctx.move_actor("alice", NEW)
        raise RuntimeError("the handler fails")

    server.run_in_handler(move_and_fail)
    assert "movedTo" not in server.document()
    server.run_in_handler(lambda ctx: (ctx.set_aliases("alice", [NEW]), ctx.move_actor("alice", NEW)))
    assert (server.document()["movedTo"], server.document()["alsoKnownAs"]) == (NEW, [NEW])
    server.run_in_handler(lambda ctx: ctx.delete_actor("alice"))
    assert server.get(ALICE).status == 410


def test_actor_handler_that_fails_for_the_update_is_a_failed_attempt():
    server = AccountServer()

    def break_and_announce(ctx: Any) -> None:
        server.views["alice"] = None
        _ = ctx.set_aliases("alice", [NEW])

    server.run_in_handler(break_and_announce)
    server.views["alice"] = Person(preferred_username="alice")
    assert "alsoKnownAs" not in server.document()


def test_async_node_has_the_same_methods():
    server = AccountServer()

    async def change_and_delete() -> None:
        async with AsyncNode(server.federation, HERE, server.store, **server.options) as node:
            _ = await node.set_aliases("alice", [NEW])
            _ = await node.move_actor("alice", NEW)
            assert (server.document()["movedTo"], server.document()["alsoKnownAs"]) == (NEW, [NEW])
            assert await node.delete_actor("alice") is not None
            assert await node.delete_actor("alice") is None

    del server.options["runtime"]
    asyncio.run(change_and_delete())
    assert server.get(ALICE).status == 410
