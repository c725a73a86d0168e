"""Check the contexts of published objects (FEP-7888): their first object, members, order, moderation and service."""

from __future__ import annotations

from typing import Any

import pytest

import effects_fixture
from apcore.federation.interactions.contexts import CONTEXT
from apcore.testing.peer import Peer
from apcore.vocab import Delete, Note, Update
from effects_fixture import ALICE, HERE, PUBLIC
from inbox_fixture import BOB

AWAY = "https://remote.example/notes"


class Servers(effects_fixture.Servers):
    """The servers of the fixture, where each activity has a time of its own."""

    def publish(self, **members: Any) -> str:
        self.clock.pass_s(1)
        return super().publish(**members)

    def receive(self, sender: Any, activity: dict[str, Any]) -> int:
        self.clock.pass_s(1)
        return super().receive(sender, activity)


def reply_of_bob(servers: Servers, parent: str, number: int = 1, **members: Any) -> dict[str, Any]:
    note = {"id": f"{AWAY}/{number}", "type": "Note", "attributedTo": BOB, "inReplyTo": parent, "to": [PUBLIC]}
    return servers.bob.activity("Create", object={**note, **members})


def test_object_that_answers_nothing_begins_a_context() -> None:
    servers = Servers()
    note = servers.publish()
    context = servers.get(note)[CONTEXT]
    assert context == f"{note}/context"
    collection = servers.get(context)
    assert (collection["type"], collection["attributedTo"], collection["totalItems"]) == ("OrderedCollection", ALICE, 1)
    assert servers.listed(context) == [note]
    assert servers.node.reference(context).resolve().id == context


def test_reply_of_ours_has_the_context_of_the_object_that_it_answers() -> None:
    servers = Servers()
    note = servers.publish()
    first = servers.publish(in_reply_to=note, by="dora")
    second = servers.publish(in_reply_to=first)
    for one in (first, second):
        assert servers.get(one)[CONTEXT] == f"{note}/context"
        assert servers.status(f"{one}/context") == 404
    assert servers.listed(f"{note}/context") == [note, first, second]
    assert servers.total(f"{note}/context") == 3


@pytest.mark.parametrize("named", [None, "https://third.example/contexts/1"])
def test_reply_of_ours_to_an_object_elsewhere_has_the_context_that_the_application_names(named: str | None) -> None:
    servers = Servers()
    members = {} if named is None else {"context": named}
    reply = servers.publish(in_reply_to=f"{AWAY}/9", **members)
    assert servers.get(reply).get(CONTEXT) == named
    assert servers.status(f"{reply}/context") == 404


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "not named"])
def test_received_reply_joins_the_context_of_our_object_until_it_is_deleted(is_named: bool) -> None:
    servers = Servers()
    note = servers.publish()
    create = reply_of_bob(servers, note, **({"context": f"{note}/context"} if is_named else {}))
    assert servers.receive(servers.bob, create) == 202
    assert servers.listed(f"{note}/context") == [note, f"{AWAY}/1"]
    assert servers.receive(servers.bob, servers.bob.activity("Delete", object=f"{AWAY}/1")) == 202
    assert servers.listed(f"{note}/context") == [note]


def test_reply_to_a_reply_of_ours_joins_the_context_in_the_order_of_joining() -> None:
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, reply_of_bob(servers, note)) == 202
    ours = servers.publish(in_reply_to=note, by="dora")
    assert servers.receive(servers.bob, reply_of_bob(servers, ours, 2)) == 202
    assert servers.listed(f"{note}/context") == [note, f"{AWAY}/1", ours, f"{AWAY}/2"]


def test_reply_to_a_reply_elsewhere_joins_only_if_it_names_the_context_and_its_parent_has_joined() -> None:
    servers = Servers()
    note = servers.publish()
    context = f"{note}/context"
    for create in (
        reply_of_bob(servers, f"{AWAY}/1", 2, context=context),  # its parent has not joined yet
        reply_of_bob(servers, note),
        reply_of_bob(servers, f"{AWAY}/1", 3),  # it does not name the context
        reply_of_bob(servers, f"{AWAY}/1", 4, context=context),
        reply_of_bob(servers, f"{AWAY}/4", 5, context=context),
    ):
        assert servers.receive(servers.bob, create) == 202
    assert servers.listed(context) == [note, f"{AWAY}/1", f"{AWAY}/4", f"{AWAY}/5"]


@pytest.mark.parametrize(
    "context",
    [f"{HERE}/users/alice/followers", f"{HERE}/users/alice/objects/none/context", "https://third.example/c", "no url"],
)
def test_reply_that_names_no_context_of_ours_joins_nothing(context: str) -> None:
    servers = Servers()
    before = servers.state()
    assert servers.receive(servers.bob, reply_of_bob(servers, f"{AWAY}/9", context=context)) == 202
    assert {key for key in servers.state() if key[0] == "c"} == {key for key in before if key[0] == "c"}


def test_reply_to_an_object_of_ours_joins_no_other_context() -> None:
    servers = Servers()
    note, other = servers.publish(), servers.publish()
    assert servers.receive(servers.bob, reply_of_bob(servers, note, context=f"{other}/context")) == 202
    assert servers.listed(f"{note}/context") == [note, f"{AWAY}/1"]
    assert servers.listed(f"{other}/context") == [other]


def test_actor_that_the_first_author_blocks_joins_by_no_reply() -> None:
    servers = Servers()
    note = servers.publish()
    ours = servers.publish(in_reply_to=note, by="dora")
    _ = servers.node.block(BOB, by="alice")
    create = reply_of_bob(servers, ours)
    assert servers.bob.deliver(servers.node, create, to="dora").status == 202
    servers.work()
    assert servers.listed(f"{note}/context") == [note, ours]
    assert servers.listed(f"{ours}/replies") == [f"{AWAY}/1"]


def test_owner_takes_a_reply_out_of_the_context_and_of_the_replies() -> None:
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, reply_of_bob(servers, note)) == 202
    for name in ("context", "replies"):
        servers.node.remove(f"{note}/{name}", f"{AWAY}/1")
    assert servers.listed(f"{note}/context") == [note]
    assert servers.listed(f"{note}/replies") == []
    assert servers.node.members(f"{note}/context").items == ()


def test_private_reply_is_neither_listed_nor_counted() -> None:
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, reply_of_bob(servers, note, to=[ALICE])) == 202
    assert (servers.listed(f"{note}/context"), servers.total(f"{note}/context")) == ([note], 1)
    assert servers.node.members(f"{note}/context").items == (f"{AWAY}/1",)


def test_context_has_pages_and_each_item_once() -> None:
    servers = Servers()
    note = servers.publish()
    replies = [servers.publish(in_reply_to=note, by="dora") for _ in range(41)]
    url, items, sizes = servers.get(f"{note}/context")["first"], [], []
    while url is not None:
        page = servers.get(url)
        items += page["orderedItems"]
        sizes.append(len(page["orderedItems"]))
        url = page.get("next")
    assert items == [note, *replies]
    assert sizes == [21, 20, 1]


def test_context_ends_with_its_first_object_and_stays_through_an_update() -> None:
    servers = Servers()
    note = servers.publish()
    servers.send(Update(object=Note(id=note, content="changed")))
    assert servers.get(note)[CONTEXT] == f"{note}/context"
    servers.send(Delete(object=note))
    assert servers.status(f"{note}/context") == 404


def test_context_of_an_object_for_followers_is_served_to_nobody_else() -> None:
    servers = Servers()
    note = servers.publish(to=f"{ALICE}/followers")
    assert servers.status(f"{note}/context") == 404


def test_context_needs_the_row_that_keeps_replies() -> None:
    servers = Servers(off=["create"])
    note = servers.publish()
    assert CONTEXT not in servers.get(note)
    assert servers.status(f"{note}/context") == 404


def test_reply_of_another_author_joins_nothing() -> None:
    servers = Servers()
    note = servers.publish()
    eve = Peer("https://remote.example/users/eve", network=servers.network)
    create = eve.activity("Create", object=reply_of_bob(servers, note)["object"])
    assert servers.receive(eve, create) in {202, 403}
    assert servers.listed(f"{note}/context") == [note]
