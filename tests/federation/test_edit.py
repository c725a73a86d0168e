"""Check that an Update or a Delete of a published object changes the served documents in the commit that sends it."""

import json

import pytest

from apcore.errors import ContractError
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.vocab import PUBLIC, Create, Delete, Note, Person, Update

ORIGIN = "https://ours.example"
ALICE = f"{ORIGIN}/users/alice"


@pytest.fixture
def node():
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    with Node(federation, ORIGIN, "memory:") as node:
        yield node


def get(node, url: str) -> tuple[int, dict]:
    answer = node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    assert isinstance(answer, Response)
    return answer.status, json.loads(answer.body)


def outbox(node) -> list[dict]:
    return get(node, f"{ALICE}/outbox?page=true")[1]["orderedItems"]


@pytest.fixture
def published(node) -> dict:
    node.publish(Note(content="first", name="title"), by="alice", to=PUBLIC)
    [create] = outbox(node)
    return create


def test_update_replaces_the_object_and_its_create_in_the_outbox(node, published) -> None:
    note = published["object"]
    node.send(Update(object=Note(id=note["id"], content="second")), by="alice", to=f"{ALICE}/followers")
    status, served = get(node, note["id"])
    assert (status, served["content"], served["type"]) == (200, "second", "Note")
    assert "name" not in served, "a member survived that the update does not have"
    assert {name: served[name] for name in ("attributedTo", "published", "to", "cc")} == {
        name: note[name] for name in ("attributedTo", "published", "to", "cc")
    }
    [create] = outbox(node)
    assert (create["id"], create["type"]) == (published["id"], "Create")
    assert create["object"]["content"] == "second"
    assert get(node, published["id"])[1]["object"]["content"] == "second"


def test_sent_update_contains_the_served_object(node, published) -> None:
    ident = published["object"]["id"]
    node.send(Update(object=Note(id=ident, content="second")), by="alice", to=f"{ALICE}/followers")
    bodies = [json.loads(entry.value.partition(b"\n")[2]) for entry in node.ports.store.scan(("sent", "1"), limit=10)]
    [update] = [body for body in bodies if body["type"] == "Update"]
    _, served = get(node, ident)
    assert update["object"] == {name: value for name, value in served.items() if name != "@context"}


def test_object_made_private_by_an_update_is_hidden(node, published) -> None:
    note = published["object"]
    bob = "https://theirs.example/bob"
    node.send(Update(object=Note(id=note["id"], content="secret", to=[bob])), by="alice", to=bob)
    assert get(node, note["id"])[0] == 404
    assert get(node, published["id"])[0] == 404
    assert outbox(node) == []
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 0
    node.send(Update(object=Note(id=note["id"], content="public", to=[PUBLIC])), by="alice", to=PUBLIC)
    assert get(node, note["id"])[1]["content"] == "public"
    [create] = outbox(node)
    assert (create["id"], create["object"]["content"], create["to"]) == (published["id"], "public", [PUBLIC])
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 1


def test_create_gets_the_new_audience_of_its_object(node) -> None:
    bob, dora = "https://theirs.example/bob", "https://theirs.example/dora"
    ident = node.publish(Note(content="first"), by="alice", to=bob)
    node.send(Update(object=Note(id=ident, content="second", to=[dora])), by="alice", to=dora)
    documents = [json.loads(entry.value.partition(b"\n")[2]) for entry in node.ports.store.scan(("obj", "1"), limit=10)]
    assert sorted(document["type"] for document in documents) == ["Create", "Note"]
    assert all(document["to"] in (dora, [dora]) for document in documents), documents
    assert outbox(node) == []


def test_delete_leaves_a_tombstone_and_empties_the_outbox(node, published) -> None:
    note = published["object"]
    node.send(Delete(object=note["id"]), by="alice", to=f"{ALICE}/followers")
    status, served = get(node, note["id"])
    assert (status, served["type"], served["formerType"], served["id"]) == (410, "Tombstone", "Note", note["id"])
    assert "content" not in served
    assert outbox(node) == []
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 0
    assert get(node, published["id"])[0] == 404
    node.send(Update(object=Note(id=note["id"], content="risen")), by="alice", to=f"{ALICE}/followers")
    assert get(node, note["id"])[0] == 410, "a deleted object was served again"


def test_object_of_another_actor_cannot_be_changed(node, published) -> None:
    ident = published["object"]["id"]
    for activity in (Update(object=Note(id=ident, content="mine")), Delete(object=ident)):
        with pytest.raises(ContractError, match="which is of"):
            node.send(activity, by="bob", to=f"{ORIGIN}/users/bob/followers")
    assert get(node, ident)[1]["content"] == "first"


@pytest.mark.parametrize(
    "activity",
    [
        pytest.param(lambda ident: Update(object=ident), id="only-names-it"),
        pytest.param(lambda ident: Create(object=Note(id=ident, content="again")), id="no-revision"),
        pytest.param(lambda ident: Update(object=Note(id=f"{ident}x", content="?")), id="another-id"),
        pytest.param(lambda ident: Delete(object="https://remote.example/1"), id="not-ours"),
    ],
)
def test_other_activities_change_no_object(node, published, activity) -> None:
    ident = published["object"]["id"]
    node.send(activity(ident), by="alice", to=f"{ALICE}/followers")
    assert outbox(node) == [published]
    assert get(node, ident)[1]["content"] == "first"
